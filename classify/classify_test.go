package classify

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/text"
)

// bench prepares documents with the real cleaner, slots and lexicon.
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
		p.Slots = text.Slots{}.FindSlots(p.Clean, m.SentAt)
		doc.Messages = append(doc.Messages, p)
	}
	doc.Hits = b.lexicon.Match(doc)
	return doc
}

func customer(s string) qingting.Message {
	return qingting.Message{Role: qingting.RoleCustomer, Text: s}
}

func agent(s string) qingting.Message {
	return qingting.Message{Role: qingting.RoleAgent, Text: s}
}

func classify(t testing.TB, doc *qingting.Document) qingting.Classification {
	t.Helper()
	c, err := New().Classify(context.Background(), doc)
	require.NoError(t, err)
	return c
}

// scores of a model that is sure of a complaint and knows nothing else.
func scores() qingting.Scores {
	n := len(qingting.Types())
	return qingting.Scores{
		Kind:  []float64{0.9, 0.05, 0.02, 0.02, 0.01},
		Types: make([]float64, n), Primary: uniform(n), Claims: make([]float64, len(qingting.Claims())),
		Style: []float64{0.2, 0.1, 0.7}, Outcome: []float64{0.1, 0.2, 0.7},
		Satisfaction: []float64{0.4, 0.3, 0.2, 0.1, 0},
	}
}

func uniform(n int) []float64 {
	p := make([]float64, n)
	for i := range p {
		p[i] = 1 / float64(n)
	}
	return p
}

func typeAt(p []float64, t qingting.Type, v float64) {
	for i, c := range qingting.Types() {
		if c == t {
			p[i] = v
		}
	}
}

func codes(types []qingting.TypeScore) []qingting.Type {
	var out []qingting.Type
	for _, t := range types {
		out = append(out, t.Code)
	}
	return out
}

func TestTypesPassTheirCut(t *testing.T) {
	b := newBench(t)
	doc := b.doc(customer("宽带用着不顺，客服也那样"), agent("请私信"))
	doc.Scores = scores()
	typeAt(doc.Scores.Types, qingting.TypePerformance, 0.6)
	typeAt(doc.Scores.Types, qingting.TypeEfficiency, 0.35)
	typeAt(doc.Scores.Types, qingting.TypeAttitude, 0.2)
	doc.Scores.TypeCut = uniform(len(qingting.Types()))
	for i := range doc.Scores.TypeCut {
		doc.Scores.TypeCut[i] = 0.3
	}
	typeAt(doc.Scores.Primary, qingting.TypeEfficiency, 0.5)
	typeAt(doc.Scores.Primary, qingting.TypeAttitude, 0.9) // not given, so not the main one either
	c := classify(t, doc)
	require.Equal(t, []qingting.Type{qingting.TypePerformance, qingting.TypeEfficiency}, codes(c.Types))
	require.Equal(t, qingting.TypeEfficiency, c.Primary)
	require.Equal(t, 0.6, c.Types[0].Confidence)
	require.Equal(t, qingting.Score[qingting.Style]{Code: qingting.StyleMixed, Confidence: 0.7}, c.Style)
	require.Equal(t, qingting.Score[qingting.Outcome]{Code: qingting.OutcomeUnresolved, Confidence: 0.7}, c.Outcome)
	require.InDelta(t, -1.0, c.Satisfaction.Mean, 1e-12)
	require.Equal(t, 0.4, c.Satisfaction.Distribution["-2"])
	for _, ty := range c.Types {
		require.NotEmpty(t, ty.Evidence, ty.Code)
	}
}

// TestUnanswered holds the guide's ruling on a text without any answer.
func TestUnanswered(t *testing.T) {
	b := newBench(t)
	for i, want := range []qingting.Outcome{qingting.OutcomeUnresolved, qingting.OutcomePending, qingting.OutcomePending, qingting.OutcomeResolved, qingting.OutcomeResolved} {
		doc := b.doc(customer("宽带用着就这样"), agent("  "))
		doc.Scores = scores()
		doc.Scores.Outcome = []float64{0.3, 0.3, 0.4}
		doc.Scores.Kind = []float64{0.1, 0.1, 0.1, 0.1, 0.1}
		doc.Scores.Kind[i] = 0.6
		require.Equal(t, qingting.Score[qingting.Outcome]{Code: want, Confidence: 0.6}, classify(t, doc).Outcome, "%v", qingting.Kinds()[i])
	}
}

func TestComplaintHasAType(t *testing.T) {
	doc := newBench(t).doc(customer("这也行吗"))
	doc.Scores = scores()
	typeAt(doc.Scores.Types, qingting.TypeWait, 0.12)
	typeAt(doc.Scores.Primary, qingting.TypeWait, 0.4)
	c := classify(t, doc)
	require.Equal(t, []qingting.Type{qingting.TypeWait}, codes(c.Types))
	require.Equal(t, qingting.TypeWait, c.Primary)
	require.Equal(t, 0.12, c.Types[0].Confidence)
	require.Equal(t, "这也行吗", c.Types[0].Evidence[0].Quote)
}

func TestOnlyComplaintsHaveTypes(t *testing.T) {
	doc := newBench(t).doc(customer("请问手机坏了保修期多久？想退款"))
	doc.Scores = scores()
	doc.Scores.Kind = []float64{0.1, 0.8, 0.05, 0.03, 0.02}
	typeAt(doc.Scores.Types, qingting.TypeQuality, 0.9)
	doc.Scores.Claims[0] = 0.8
	c := classify(t, doc)
	require.Equal(t, qingting.Score[qingting.Kind]{Code: qingting.KindInquiry, Confidence: 0.8}, c.Kind)
	require.Empty(t, c.Types)
	require.Empty(t, c.Primary)
	require.Equal(t, qingting.ResponsibilityUnclear, c.Responsibility.Code)
	require.Equal(t, qingting.ClaimRefund, c.Claims[0].Code)
	require.Equal(t, "退款", c.Claims[0].Evidence[0].Quote)
}

// TestTooLittle holds the rule that too little said is no guess.
func TestTooLittle(t *testing.T) {
	b := newBench(t)
	no := false
	for _, c := range []struct {
		name     string
		messages []qingting.Message
		want     qingting.Kind
	}{
		{"empty", []qingting.Message{customer("")}, qingting.KindOther},
		{"blank", []qingting.Message{customer(" 　 \n")}, qingting.KindOther},
		{"marks", []qingting.Message{customer("？？？")}, qingting.KindOther},
		{"invalid UTF-8", []qingting.Message{customer("\xff\xfe")}, qingting.KindOther},
		{"agent only", []qingting.Message{agent("您好，请问有什么可以帮您")}, qingting.KindOther},
		{"greeting", []qingting.Message{customer("你好")}, qingting.KindInquiry},
		{"greetings", []qingting.Message{customer("在吗？"), agent("您好"), customer("亲，有人吗～")}, qingting.KindInquiry},
		{"traditional", []qingting.Message{customer("您好，請問")}, qingting.KindInquiry},
		{"partial", []qingting.Message{{Role: qingting.RoleCustomer, Text: "我要投诉", IsFinal: &no}}, qingting.KindOther},
	} {
		doc := b.doc(c.messages...)
		doc.Scores = scores()
		typeAt(doc.Scores.Types, qingting.TypeQuality, 0.9)
		got := classify(t, doc)
		require.Equal(t, c.want, got.Kind.Code, c.name)
		require.LessOrEqual(t, got.Kind.Confidence, 0.5, c.name)
		require.Empty(t, got.Types, c.name)
		require.Empty(t, got.Claims, c.name)
		require.Empty(t, got.Primary, c.name)
		require.Equal(t, qingting.OutcomePending, got.Outcome.Code, c.name)
	}
	doc := b.doc(customer("你好，网断了"))
	doc.Scores = scores()
	require.Equal(t, qingting.KindComplaint, classify(t, doc).Kind.Code)
}

func TestCertainRuleOverridesTheModel(t *testing.T) {
	doc := newBench(t).doc(customer("什么垃圾宽带，我要投诉你们"))
	doc.Scores = scores()
	doc.Scores.Kind = []float64{0.3, 0.6, 0.05, 0.03, 0.02}
	got := classify(t, doc)
	require.Equal(t, qingting.KindComplaint, got.Kind.Code)
	require.Greater(t, got.Kind.Confidence, certainKind)
	require.NotEmpty(t, got.Types)
}

func TestCertainTypeRule(t *testing.T) {
	doc := newBench(t).doc(customer("网速慢得像蜗牛"))
	doc.Scores = scores()
	typeAt(doc.Scores.Types, qingting.TypePerformance, 0.1)
	typeAt(doc.Scores.Types, qingting.TypeQuality, 0.2)
	got := classify(t, doc)
	require.Equal(t, []qingting.Type{qingting.TypePerformance}, codes(got.Types))
	require.GreaterOrEqual(t, got.Types[0].Confidence, certainType)
	require.Equal(t, "网速慢得像蜗牛", got.Types[0].Evidence[0].Quote)
}

func TestWithoutAModel(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		text string
		kind qingting.Kind
		typ  qingting.Type
	}{
		{"垃圾公司，用了三天就坏了，我要投诉！", qingting.KindComplaint, qingting.TypeQuality},
		{"坑爹的宽带，网速慢得像蜗牛，受不了", qingting.KindComplaint, qingting.TypePerformance},
		{"请问怎么开发票", qingting.KindInquiry, ""},
	} {
		got := classify(t, b.doc(customer(c.text)))
		require.Equal(t, c.kind, got.Kind.Code, c.text)
		require.Equal(t, c.typ, got.Primary, c.text)
		require.Nil(t, got.Satisfaction, c.text)
	}
}

func TestAmount(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		texts []string
		claim qingting.ClaimCode
		want  float64 // 0 for none
	}{
		{[]string{"请退我199元"}, qingting.ClaimRefund, 199},
		{[]string{"上月扣了300元，你们要退我200块"}, qingting.ClaimRefund, 200},
		{[]string{"要求赔偿五百元"}, qingting.ClaimCompensate, 500},
		{[]string{"买的时候付了88元", "现在给我退款"}, qingting.ClaimRefund, 88},
		{[]string{"付了88元，又付了12元", "现在给我退款"}, qingting.ClaimRefund, 0},
		{[]string{"给我退款"}, qingting.ClaimRefund, 0},
		{[]string{"199元的套餐怎么取消"}, qingting.ClaimCancel, 0},
	} {
		var messages []qingting.Message
		for _, s := range c.texts {
			messages = append(messages, customer(s))
		}
		got := amount(b.doc(messages...), c.claim)
		if c.want == 0 {
			require.Nil(t, got, "%v", c.texts)
			continue
		}
		require.NotNil(t, got, "%v", c.texts)
		require.InDelta(t, c.want, *got, 1e-9, "%v", c.texts)
	}
}

func TestExpectations(t *testing.T) {
	b := newBench(t)
	doc := b.doc(customer("快点发货，急用"), agent("好的"), customer("赔偿我损失"), agent("抱歉"), customer("到底什么时候赔偿？赶紧发货"), customer("赔钱"))
	require.Equal(t, []qingting.Expectation{
		{Code: qingting.ExpectCompensate, Messages: []int{2, 4, 5}},
		{Code: qingting.ExpectExpedite, Messages: []int{0, 4}},
	}, expectations(doc))
	require.Empty(t, expectations(b.doc(customer("快点快点，赶紧发货"), agent("尽快发货"))), "one message is no repetition")
	require.Empty(t, expectations(b.doc(customer("不用赔偿"), customer("也不用退款"))))
}

func TestResponsibility(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		messages []qingting.Message
		primary  qingting.Type
		want     qingting.Responsibility
	}{
		{[]qingting.Message{customer("发错了"), agent("非常抱歉，是我们的失误")}, qingting.TypeMismatch, qingting.ResponsibilityCompany},
		{[]qingting.Message{customer("登不上"), agent("由于系统故障导致，正在抢修")}, qingting.TypeQuality, qingting.ResponsibilityCompany},
		{[]qingting.Message{customer("还没到"), agent("受台风天气影响，航班停飞")}, qingting.TypeDelay, qingting.ResponsibilityExternal},
		{[]qingting.Message{customer("退票扣一半"), agent("退票费是航空公司规定的")}, qingting.TypeUnfair, qingting.ResponsibilityExternal},
		{[]qingting.Message{customer("不给装"), agent("物业不同意施工，我们也在协调")}, qingting.TypeComplexity, qingting.ResponsibilityExternal},
		{[]qingting.Message{customer("小区物业不让装宽带")}, qingting.TypeComplexity, qingting.ResponsibilityExternal},
		{[]qingting.Message{customer("坏了"), agent("检测是人为损坏，不在保修范围")}, qingting.TypeQuality, qingting.ResponsibilityExternal},
		{[]qingting.Message{customer("慢"), agent("我们的失误，也因为暴雨")}, qingting.TypeDelay, qingting.ResponsibilityUnclear},
		{[]qingting.Message{customer("我自己不小心摔的，不给修")}, qingting.TypeComplexity, qingting.ResponsibilityUnclear},
		{[]qingting.Message{customer("客服骂人")}, qingting.TypeAttitude, qingting.ResponsibilityCompany},
		{[]qingting.Message{customer("手机坏了")}, qingting.TypeQuality, qingting.ResponsibilityUnclear},
	} {
		got := newBlame().assign(b.doc(c.messages...), qingting.KindComplaint, c.primary)
		require.Equal(t, c.want, got.Code, "%v", c.messages)
		require.GreaterOrEqual(t, got.Confidence, 0.5)
	}
}

func TestSlots(t *testing.T) {
	b := newBench(t)
	no := false
	doc := b.doc(customer("订单号是 A20260101234567，付了１９９元"), agent("退您50元"),
		qingting.Message{Role: qingting.RoleSystem, Text: "系统补贴10元"}, qingting.Message{Role: qingting.RoleCustomer, Text: "20元", IsFinal: &no})
	var amounts []string
	for _, s := range slots(doc) {
		rs := []rune(doc.Transcript.Messages[s.Message].Text)
		require.Equal(t, string(rs[s.Start:s.End]), s.Quote)
		if s.Kind == qingting.SlotAmount {
			amounts = append(amounts, s.Value)
		}
	}
	require.Len(t, amounts, 2)
	for i, want := range []float64{199, 50} {
		v, err := strconv.ParseFloat(amounts[i], 64)
		require.NoError(t, err)
		require.Equal(t, want, v)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := New().Classify(ctx, newBench(t).doc(customer("坏了")))
	require.ErrorIs(t, err, context.Canceled)
}

// TestConsistency holds what must be true of every answer.
func TestConsistency(t *testing.T) {
	b := newBench(t)
	words := []string{"坏了", "退款", "垃圾", "谢谢", "你好", "投诉", "12315", "！", "，", "199元", "客服态度差", "没人管", "", "没"}
	rapid.Check(t, func(t *rapid.T) {
		var messages []qingting.Message
		for range rapid.IntRange(1, 4).Draw(t, "n") {
			s := ""
			for range rapid.IntRange(0, 6).Draw(t, "words") {
				s += rapid.SampledFrom(words).Draw(t, "word")
			}
			messages = append(messages, qingting.Message{Role: rapid.SampledFrom([]qingting.Role{qingting.RoleCustomer, qingting.RoleAgent}).Draw(t, "role"), Text: s})
		}
		doc := b.doc(messages...)
		if rapid.Bool().Draw(t, "model") {
			doc.Scores = scores()
			for i := range doc.Scores.Types {
				doc.Scores.Types[i] = rapid.Float64Range(0, 1).Draw(t, "p")
			}
			k := rapid.IntRange(0, 4).Draw(t, "kind")
			doc.Scores.Kind = []float64{0.1, 0.1, 0.1, 0.1, 0.1}
			doc.Scores.Kind[k] = 0.6
		}
		c, err := New().Classify(context.Background(), doc)
		if err != nil {
			t.Fatal(err)
		}
		if complaint := c.Kind.Code == qingting.KindComplaint; complaint != (len(c.Types) > 0) || complaint != (c.Primary != "") {
			t.Fatalf("kind %v, types %v, primary %q", c.Kind, c.Types, c.Primary)
		}
		given := c.Primary == ""
		for i, ty := range c.Types {
			given = given || ty.Code == c.Primary
			if len(ty.Evidence) == 0 || ty.Confidence < 0 || ty.Confidence > 1 || i > 0 && ty.Confidence > c.Types[i-1].Confidence {
				t.Fatalf("type %+v", ty)
			}
		}
		if !given {
			t.Fatalf("primary %q is none of %v", c.Primary, c.Types)
		}
		for _, cl := range c.Claims {
			for _, s := range cl.Evidence {
				if rs := []rune(doc.Messages[s.Message].Text); string(rs[s.Start:s.End]) != s.Quote {
					t.Fatalf("span %+v", s)
				}
			}
		}
	})
}

// TestWithdrawnComplaintsAreQuestions: the words of complaint are all denied,
// supposed or quoted, and the customer asks something.
func TestWithdrawnComplaintsAreQuestions(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		text string
		want qingting.Kind
	}{
		{"我不是要投诉，就是问下流量套餐怎么改", qingting.KindInquiry},
		{"没有投诉的意思，客服小姐姐很耐心，想了解下会员怎么续费", qingting.KindInquiry},
		{"如果我要投诉的话应该打什么电话？", qingting.KindInquiry},
		{"海报上写着“不满意可拨打12315投诉”，请问这个会员怎么开", qingting.KindInquiry},
		{"我不是要投诉，但你们太垃圾了，请问有没有人管", qingting.KindComplaint},
		{"再不处理我去消协投诉的话你们怎么办", qingting.KindComplaint},
		{"我要投诉你们，怎么投诉", qingting.KindComplaint},
	} {
		doc := b.doc(customer(c.text))
		doc.Scores = scores()
		doc.Scores.Kind = []float64{0.89, 0.08, 0.01, 0.01, 0.01}
		got := classify(t, doc)
		require.Equal(t, c.want, got.Kind.Code, c.text)
		if c.want == qingting.KindInquiry {
			require.Less(t, got.Kind.Confidence, 0.6, c.text)
			require.Empty(t, got.Types, c.text)
		}
	}
}

func TestOutrightPraise(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		text string
		want qingting.Kind
	}{
		{"小王服务特别好，给她点个赞", qingting.KindPraise},
		{"师傅特别耐心", qingting.KindPraise},
		{"服务真好，等了三天没人理，投诉", qingting.KindComplaint},
		{"不是服务很好吗，垃圾", qingting.KindComplaint},
	} {
		doc := b.doc(customer(c.text))
		doc.Scores = scores()
		doc.Scores.Kind = []float64{0.47, 0.2, 0.03, 0.25, 0.05}
		require.Equal(t, c.want, classify(t, doc).Kind.Code, c.text)
	}
}

// TestLegalClassIsPrimary: the model's main type gives way to a legal class
// that a certain rule gives.
func TestLegalClassIsPrimary(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		text string
		want qingting.Type
	}{
		{"因为我是河南人就不让我办理，流程太复杂", qingting.TypeDiscrimination},
		{"你们把我的信息泄露给了中介，流程太复杂", qingting.TypeLeak},
		{"电水壶漏电，流程太复杂", qingting.TypeSafety},
		{"退个货流程太复杂", qingting.TypeComplexity},
	} {
		doc := b.doc(customer(c.text))
		doc.Scores = scores()
		doc.Scores.Kind = []float64{0.97, 0.01, 0.01, 0.005, 0.005}
		doc.Scores.Primary = uniform(len(qingting.Types()))
		typeAt(doc.Scores.Primary, qingting.TypeComplexity, 0.9)
		typeAt(doc.Scores.Types, qingting.TypeComplexity, 0.9)
		require.Equal(t, c.want, classify(t, doc).Primary, c.text)
	}
}

// TestLiteralDemands are given whatever the model says.
func TestLiteralDemands(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		text string
		want qingting.ClaimCode
		ok   bool
	}{
		{"衣服破了，赔我300", qingting.ClaimCompensate, true},
		{"赔500，不然没完", qingting.ClaimCompensate, true},
		{"你们必须给我赔", qingting.ClaimCompensate, true},
		{"他们已经赔300了", qingting.ClaimCompensate, false},
		{"能不能换一台", qingting.ClaimExchange, true},
		{"屏幕花了，给我换个新的", qingting.ClaimExchange, true},
		{"不用给我换一台", qingting.ClaimExchange, false},
		{"能不能先补发", qingting.ClaimResend, true},
		{"少了一只，给我补一双", qingting.ClaimResend, true},
		{"不要给我补发了", qingting.ClaimResend, false},
	} {
		doc := b.doc(customer(c.text))
		doc.Scores = scores()
		doc.Scores.Kind = []float64{0.97, 0.01, 0.01, 0.005, 0.005}
		doc.Scores.Claims = make([]float64, len(qingting.Claims()))
		var got []qingting.ClaimCode
		for _, claim := range classify(t, doc).Claims {
			got = append(got, claim.Code)
		}
		if c.ok {
			require.Contains(t, got, c.want, c.text)
		} else {
			require.NotContains(t, got, c.want, c.text)
		}
	}
}
