package sentiment

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/text"
)

type bench struct {
	cleaner *text.Cleaner
	lexicon *lexicon.Lexicon
}

func newBench(t testing.TB) bench {
	t.Helper()
	c, err := text.NewCleaner()
	require.NoError(t, err)
	l, err := lexicon.New()
	require.NoError(t, err)
	return bench{c, l}
}

func (b bench) doc(messages ...qingting.Message) *qingting.Document {
	doc := &qingting.Document{Transcript: qingting.Transcript{Messages: messages}}
	for _, m := range messages {
		p := &qingting.Prepared{Message: m}
		p.Clean, p.From, p.To = b.cleaner.Clean(m.Text)
		doc.Messages = append(doc.Messages, p)
	}
	doc.Hits = b.lexicon.Match(doc)
	return doc
}

func (b bench) assess(t testing.TB, doc *qingting.Document, kind qingting.Kind) qingting.Feeling {
	t.Helper()
	c := &qingting.Classification{Kind: qingting.Score[qingting.Kind]{Code: kind, Confidence: 0.9}}
	f, err := New(Options{ModelID: "m1", Matcher: b.lexicon}).Assess(context.Background(), doc, c)
	require.NoError(t, err)
	return f
}

func customer(s string) qingting.Message {
	return qingting.Message{Role: qingting.RoleCustomer, Text: s}
}

func agent(s string) qingting.Message {
	return qingting.Message{Role: qingting.RoleAgent, Text: s}
}

func TestLevelTable(t *testing.T) {
	type s = qingting.SignalCode
	for _, c := range []struct {
		kind      qingting.Kind
		emotion   qingting.EmotionCode
		intensity int
		signals   []s
		want      qingting.RiskLevel
	}{
		{qingting.KindComplaint, qingting.EmotionCalm, 0, nil, qingting.RiskLow},
		{qingting.KindComplaint, qingting.EmotionAngry, 1, nil, qingting.RiskLow},
		{qingting.KindComplaint, qingting.EmotionAngry, 2, nil, qingting.RiskMedium},
		{qingting.KindComplaint, qingting.EmotionAngry, 3, nil, qingting.RiskMedium},
		{qingting.KindComplaint, qingting.EmotionDisappointed, 3, nil, qingting.RiskLow},
		{qingting.KindInquiry, qingting.EmotionAngry, 2, nil, qingting.RiskLow},
		{qingting.KindInquiry, qingting.EmotionCalm, 0, []s{"repeat_contact"}, qingting.RiskMedium},
		{qingting.KindPraise, qingting.EmotionSatisfied, 2, []s{"churn"}, qingting.RiskMedium},
		{qingting.KindComplaint, qingting.EmotionAngry, 3, []s{"supervisor_demand"}, qingting.RiskMedium},
		{qingting.KindComplaint, qingting.EmotionAngry, 3, []s{"churn"}, qingting.RiskHigh},
		{qingting.KindComplaint, qingting.EmotionAngry, 2, []s{"churn", "financial_loss"}, qingting.RiskMedium},
		{qingting.KindComplaint, qingting.EmotionDisappointed, 3, []s{"churn"}, qingting.RiskMedium},
		{qingting.KindComplaint, qingting.EmotionCalm, 0, []s{"regulator"}, qingting.RiskHigh},
		{qingting.KindInquiry, qingting.EmotionCalm, 0, []s{"safety_injury"}, qingting.RiskHigh},
		{qingting.KindComplaint, qingting.EmotionCalm, 0, []s{"vulnerable"}, qingting.RiskHigh},
		{qingting.KindComplaint, qingting.EmotionCalm, 0, []s{"made_up"}, qingting.RiskLow},
	} {
		require.Equal(t, c.want, Level(c.kind, c.emotion, c.intensity, c.signals), "%+v", c)
	}
}

func TestLedger(t *testing.T) {
	b := newBench(t)
	doc := b.doc(customer("再不解决我就打１２３１５！"), agent("您可以拨打12315"), customer("还要找记者曝光你们"))
	f := b.assess(t, doc, qingting.KindComplaint)
	require.Equal(t, qingting.RiskHigh, f.Risk.Level)
	var got []string
	for _, s := range f.Risk.Signals {
		require.True(t, strings.HasPrefix(s.Source, "rule:signal."), s.Source)
		require.Greater(t, s.Weight, 0.0)
		rs := []rune(doc.Transcript.Messages[s.Message].Text)
		require.Equal(t, string(rs[s.Start:s.End]), s.Quote)
		got = append(got, string(s.Code)+":"+s.Quote)
	}
	require.Equal(t, "regulator:１２３１５", got[0])
	require.Contains(t, strings.Join(got[1:], " "), "media:")
}

// TestGuardedAndPartialRaiseNothing covers negation, hypotheticals, quotes,
// settled matters, the agent's words and unfinished recognition.
func TestGuardedAndPartialRaiseNothing(t *testing.T) {
	b := newBench(t)
	no := false
	for _, messages := range [][]qingting.Message{
		{customer("我不是要打12315")},
		{customer("是不是可以打12315咨询？")},
		{customer("朋友建议我打12315")},
		{customer("去年打过12315，后来解决了")},
		{customer("嗯"), agent("您可以拨打12315")},
		{{Role: qingting.RoleCustomer, Text: "我要打12315曝光你们", IsFinal: &no}},
		{customer("嗯"), {Role: qingting.RoleSystem, Text: "提示：12315"}},
	} {
		f := b.assess(t, b.doc(messages...), qingting.KindComplaint)
		require.Empty(t, f.Risk.Signals, "%v", messages)
	}
}

func TestMentionsCountInComplaintsOnly(t *testing.T) {
	b := newBench(t)
	doc := b.doc(customer("我家又断网了 @临江晚报"))
	require.Equal(t, qingting.RiskHigh, b.assess(t, doc, qingting.KindComplaint).Risk.Level)
	require.Empty(t, b.assess(t, doc, qingting.KindInquiry).Risk.Signals)
}

func signalScores(code qingting.SignalCode, p float64) qingting.Scores {
	s := qingting.Scores{
		Emotion: []float64{0.7, 0.1, 0.05, 0.05, 0.05, 0.05}, Intensity: []float64{0.9, 0.1, 0, 0},
		Risk: []float64{0.6, 0.2, 0.2}, Signals: make([]float64, len(qingting.Signals())), HighCut: 0.4,
	}
	for i, c := range qingting.Signals() {
		if c == code {
			s.Signals[i] = p
		}
	}
	return s
}

func TestModelOnlySignal(t *testing.T) {
	b := newBench(t)
	doc := b.doc(customer("这事我肯定要让全城的人看看"))
	doc.Hits = nil
	doc.Scores = signalScores(qingting.SignalMedia, 0.8)
	f := b.assess(t, doc, qingting.KindComplaint)
	require.Equal(t, qingting.RiskHigh, f.Risk.Level)
	require.Len(t, f.Risk.Signals, 1)
	require.Equal(t, "model:m1", f.Risk.Signals[0].Source)
	require.Equal(t, 0.8, f.Risk.Signals[0].Weight)
	require.NotEmpty(t, f.Risk.Signals[0].Quote)
	require.False(t, f.Risk.Conflict)

	doc.Scores.SignalCut = make([]float64, len(qingting.Signals()))
	for i := range doc.Scores.SignalCut {
		doc.Scores.SignalCut[i] = 0.9
	}
	require.Empty(t, b.assess(t, doc, qingting.KindComplaint).Risk.Signals)
}

func TestConflictShowsTheSaferLevel(t *testing.T) {
	b := newBench(t)
	doc := b.doc(customer("我要打12315"))
	doc.Scores = signalScores(qingting.SignalRegulator, 0.02)
	f := b.assess(t, doc, qingting.KindComplaint)
	require.Equal(t, qingting.RiskHigh, f.Risk.Level)
	require.True(t, f.Risk.Conflict)
	require.Greater(t, f.Risk.Score, 0.4)
	doc.Scores = signalScores(qingting.SignalRegulator, 0.7)
	require.False(t, b.assess(t, doc, qingting.KindComplaint).Risk.Conflict)
}

// TestMaskingSilencesTheRules replaces every quoted character and asks again.
func TestMaskingSilencesTheRules(t *testing.T) {
	b := newBench(t)
	for _, s := range []string{
		"再不解决我就打12315，工信部也去，@12315平台",
		"打客服电话打了五六次，每次都说催了，投诉过三次，报修了两次，客服说不知道，客服又说没办法",
		"说好三天退款，到现在没到账，答应的事至今没做到，多扣了我50元，又扣了30块钱",
		"再也不来了，打死也不来，以后再也不会买，果断销号，下个月转网",
		"叫你们经理来，我要找你们领导，换个能做主的来跟我说",
		"孩子被夹到手受伤了，送医院，吃了还拉肚子，漏电触电",
	} {
		for _, mask := range []string{"□", "*", "某", " "} {
			doc := b.doc(customer(s))
			f := b.assess(t, doc, qingting.KindComplaint)
			require.NotEmpty(t, f.Risk.Signals, s)
			rs := []rune(s)
			for _, g := range f.Risk.Signals {
				for i := g.Start; i < g.End; i++ {
					rs[i] = []rune(mask)[0]
				}
			}
			again := b.assess(t, b.doc(customer(string(rs))), qingting.KindComplaint)
			for _, g := range again.Risk.Signals {
				require.Failf(t, "a rule still fires", "%q masked to %q: %+v", s, string(rs), g)
			}
		}
	}
}

func TestEmotionCourse(t *testing.T) {
	b := newBench(t)
	no := false
	for _, c := range []struct {
		name      string
		messages  []qingting.Message
		code      qingting.EmotionCode
		intensity int
		trend     qingting.Trend
		peak      int
	}{
		{"anger stays through a bare answer", []qingting.Message{customer("垃圾公司，气死我了"), agent("请私信"), customer("好的，已私信")}, qingting.EmotionAngry, 2, qingting.TrendSteady, 0},
		{"a number resets nothing", []qingting.Message{customer("真坑爹，太过分"), agent("请提供号码"), customer("13800000000")}, qingting.EmotionAngry, 2, qingting.TrendSteady, 0},
		{"insults are the extreme", []qingting.Message{customer("一群傻逼"), customer("去死吧")}, qingting.EmotionAngry, 3, qingting.TrendSteady, 0},
		{"five exclamation marks", []qingting.Message{customer("太过分了！！！！！")}, qingting.EmotionAngry, 3, qingting.TrendUnknown, 0},
		{"rising", []qingting.Message{customer("你好，请看下订单"), agent("抱歉"), customer("什么垃圾服务，受不了")}, qingting.EmotionAngry, 2, qingting.TrendRising, 2},
		{"calm throughout", []qingting.Message{customer("请看下订单"), customer("号码是五")}, qingting.EmotionCalm, 0, qingting.TrendSteady, 0},
		{"a partial message does not count", []qingting.Message{customer("请看下订单"), {Role: qingting.RoleCustomer, Text: "垃圾", IsFinal: &no}}, qingting.EmotionCalm, 0, qingting.TrendUnknown, 0},
	} {
		f := b.assess(t, b.doc(c.messages...), qingting.KindComplaint)
		require.Equal(t, c.code, f.Emotion.Code, c.name)
		require.Equal(t, c.intensity, f.Emotion.Intensity, c.name)
		require.Equal(t, c.trend, f.Emotion.Trend, c.name)
		require.Equal(t, c.peak, f.Emotion.Peak.Message, c.name)
	}
	f := b.assess(t, b.doc(agent("您好")), qingting.KindOther)
	require.Nil(t, f.Emotion.Peak)
	require.Empty(t, f.Emotion.ByMessage)
	require.Equal(t, qingting.TrendUnknown, f.Emotion.Trend)
}

func TestModelEmotion(t *testing.T) {
	b := newBench(t)
	doc := b.doc(customer("一"), agent("二"), customer("三"))
	doc.Scores = qingting.Scores{
		Emotion: []float64{0.1, 0, 0, 0.2, 0.1, 0.6}, Intensity: []float64{0.1, 0.2, 0.5, 0.2},
		MessageEmotion:   [][]float64{{0.1, 0, 0, 0, 0.9, 0}, nil, {0, 0, 0, 0, 0, 1}},
		MessageIntensity: [][]float64{{0, 0, 0.2, 0.8}, nil, {0, 1, 0, 0}},
	}
	f := b.assess(t, doc, qingting.KindComplaint)
	require.Equal(t, qingting.Emotion{
		Code: qingting.EmotionSatisfied, Intensity: 2, Confidence: 0.6, Trend: qingting.TrendFalling,
		Peak:      &qingting.EmotionPeak{Message: 0, Intensity: 3},
		ByMessage: []qingting.MessageEmotion{{Message: 0, Code: qingting.EmotionAngry, Intensity: 3}, {Message: 2, Code: qingting.EmotionSatisfied, Intensity: 1}},
	}, f.Emotion)
}

// TestInvariants: risk follows from the other fields, and intensity 0 comes
// always and only with calm.
func TestInvariants(t *testing.T) {
	b := newBench(t)
	words := []string{"垃圾", "12315", "不是", "好的", "谢谢", "！！！！！", "傻逼", "再也不来了", "，", "打了三次电话", "？", "如果", "退款"}
	rapid.Check(t, func(t *rapid.T) {
		var messages []qingting.Message
		for range rapid.IntRange(0, 4).Draw(t, "n") {
			s := strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 6).Draw(t, "words"), "")
			messages = append(messages, qingting.Message{Role: rapid.SampledFrom([]qingting.Role{qingting.RoleCustomer, qingting.RoleAgent}).Draw(t, "role"), Text: s})
		}
		doc := b.doc(messages...)
		if rapid.Bool().Draw(t, "model") {
			doc.Scores = signalScores(rapid.SampledFrom(qingting.Signals()).Draw(t, "signal"), rapid.Float64Range(0, 1).Draw(t, "p"))
			doc.Scores.Emotion = rapid.SliceOfN(rapid.Float64Range(0, 1), 6, 6).Draw(t, "emotion")
			doc.Scores.Intensity = rapid.SliceOfN(rapid.Float64Range(0, 1), 4, 4).Draw(t, "intensity")
		}
		kind := rapid.SampledFrom(qingting.Kinds()).Draw(t, "kind")
		c := &qingting.Classification{Kind: qingting.Score[qingting.Kind]{Code: kind}}
		f, err := New(Options{Matcher: b.lexicon}).Assess(context.Background(), doc, c)
		if err != nil {
			t.Fatal(err)
		}
		var codes []qingting.SignalCode
		for _, s := range f.Risk.Signals {
			codes = append(codes, s.Code)
		}
		if want := Level(kind, f.Emotion.Code, f.Emotion.Intensity, codes); f.Risk.Level != want {
			t.Fatalf("level %s, the table says %s", f.Risk.Level, want)
		}
		if f.Risk.Score < 0 || f.Risk.Score > 1 {
			t.Fatalf("score %v", f.Risk.Score)
		}
		check := func(code qingting.EmotionCode, intensity int) {
			if (code == qingting.EmotionCalm) != (intensity == 0) || intensity > 3 {
				t.Fatalf("%s with intensity %d", code, intensity)
			}
		}
		check(f.Emotion.Code, f.Emotion.Intensity)
		for _, m := range f.Emotion.ByMessage {
			check(m.Code, m.Intensity)
		}
	})
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := New(Options{}).Assess(ctx, newBench(t).doc(customer("坏了")), &qingting.Classification{})
	require.ErrorIs(t, err, context.Canceled)
}

// TestGuardedWordsAreNoModelSignal: words the customer denies, supposes or
// quotes are no evidence for a signal that only the model sees.
func TestGuardedWordsAreNoModelSignal(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		text, weighs string
		given        bool
	}{
		{"海报上写着“不满意可拨打12315投诉”，请问会员怎么开", "12315投诉", false},
		{"室友说他要去12315投诉你们，我想问下快递几天到", "投诉", false},
		{"我要投诉的话应该打什么电话", "投诉", false},
		{"我不是要投诉，反映好几回了", "反映好几回", true},
	} {
		doc := b.doc(customer(c.text))
		doc.Scores = signalScores(qingting.SignalRepeatContact, 0.95)
		doc.Scores.Attribute = func(qingting.Field, string) [][]float64 {
			share := make([]float64, len(doc.Messages[0].Clean))
			text := string(doc.Messages[0].Clean)
			at := len([]rune(text[:strings.Index(text, c.weighs)]))
			for i := range []rune(c.weighs) {
				share[at+i] = 1
			}
			share[0] += 0.3
			share[len(share)-1] += 0.3
			return [][]float64{share}
		}
		f := b.assess(t, doc, qingting.KindComplaint)
		if !c.given {
			require.Empty(t, f.Risk.Signals, c.text)
			require.Equal(t, qingting.RiskLow, f.Risk.Level, c.text)
			continue
		}
		require.Len(t, f.Risk.Signals, 1, c.text)
		require.Contains(t, f.Risk.Signals[0].Quote, "反映好几回", c.text)
	}
}

func TestSourWordsAreNeverSatisfied(t *testing.T) {
	b := newBench(t)
	for _, s := range []string{"呵呵", "呵呵，谢谢", "行吧", "行吧，谢谢"} {
		doc := b.doc(customer(s))
		require.NotEqual(t, qingting.EmotionSatisfied, b.assess(t, doc, qingting.KindComplaint).Emotion.Code, s)
		doc.Scores = signalScores("", 0)
		doc.Scores.Emotion = []float64{0.1, 0.05, 0.05, 0.1, 0.1, 0.6}
		doc.Scores.MessageEmotion = [][]float64{{0.1, 0.05, 0.05, 0.1, 0.1, 0.6}}
		f := b.assess(t, doc, qingting.KindComplaint)
		require.NotEqual(t, qingting.EmotionSatisfied, f.Emotion.Code, s)
		require.NotEqual(t, qingting.EmotionSatisfied, f.Emotion.ByMessage[0].Code, s)
	}
	require.Equal(t, qingting.EmotionSatisfied, b.assess(t, b.doc(customer("行，谢谢")), qingting.KindOther).Emotion.Code)
}

// BenchmarkAssessLong holds the stage to linear time: twice the messages take
// about twice as long.
func BenchmarkAssessLong(b *testing.B) {
	bench := newBench(b)
	for _, n := range []int{1000, 2000} {
		var messages []qingting.Message
		for range n {
			messages = append(messages, customer("太过分了，垃圾服务，气死我了"))
		}
		doc := bench.doc(messages...)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				emotion(doc)
			}
		})
	}
}
