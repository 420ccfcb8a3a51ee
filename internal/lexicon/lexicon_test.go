package lexicon

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/text"
)

// prepare cleans messages the way the pipeline does.
func prepare(t testing.TB, messages ...qingting.Message) *qingting.Document {
	t.Helper()
	c, err := text.NewCleaner()
	require.NoError(t, err)
	return clean(c, messages...)
}

func clean(c qingting.Cleaner, messages ...qingting.Message) *qingting.Document {
	doc := &qingting.Document{Transcript: qingting.Transcript{Messages: messages}}
	for _, m := range messages {
		p := &qingting.Prepared{Message: m}
		p.Clean, p.From, p.To = c.Clean(m.Text)
		doc.Messages = append(doc.Messages, p)
	}
	return doc
}

func customer(s string) qingting.Message {
	return qingting.Message{Role: qingting.RoleCustomer, Text: s}
}

func agent(s string) qingting.Message {
	return qingting.Message{Role: qingting.RoleAgent, Text: s}
}

func newLexicon(t testing.TB) *Lexicon {
	t.Helper()
	l, err := New()
	require.NoError(t, err)
	return l
}

// certain returns the hits of certain rules for a label, "field.code".
func certain(l *Lexicon, doc *qingting.Document, label string) []qingting.Hit {
	var out []qingting.Hit
	for _, h := range l.Match(doc) {
		if h.Certain && string(h.Field)+"."+h.Code == label {
			out = append(out, h)
		}
	}
	return out
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	var out []string
	for _, line := range strings.Split(string(b), "\n") {
		if line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out
}

// TestSentences holds every label against sentences that mean it and near
// misses that do not.
func TestSentences(t *testing.T) {
	l := newLexicon(t)
	c, err := text.NewCleaner()
	require.NoError(t, err)
	label := ""
	type count struct{ plus, minus int }
	counts := map[string]*count{}
	for _, line := range lines(t, "testdata/sentences.txt") {
		mark, s := line[0], line[2:]
		switch mark {
		case '=':
			label = s
			counts[label] = &count{}
			continue
		case '+':
			counts[label].plus++
		case '-':
			counts[label].minus++
		default:
			t.Fatalf("line %q", line)
		}
		doc := clean(c, customer(s))
		live := false
		var seen []string
		for _, h := range certain(l, doc, label) {
			live = live || h.Guard == qingting.GuardNone
			seen = append(seen, h.Rule+"〔"+string(doc.Messages[0].Clean[h.Start:h.End])+"〕"+string(h.Guard))
		}
		if live != (mark == '+') {
			t.Errorf("%s: %q: want %v, got %v: %v", label, s, mark == '+', live, seen)
		}
	}
	for _, field := range []qingting.Field{qingting.FieldSignal, qingting.FieldClaim, qingting.FieldType} {
		codes, _ := codesOf(field)
		for _, code := range codes {
			n := counts[string(field)+"."+code]
			require.NotNil(t, n, "%s.%s has no sentences", field, code)
			require.GreaterOrEqual(t, n.plus, 4, "%s.%s", field, code)
			require.GreaterOrEqual(t, n.minus, 4, "%s.%s", field, code)
		}
	}
}

// TestGuards holds each guard against sentences, and against others that only
// look as if it applied.
func TestGuards(t *testing.T) {
	l := newLexicon(t)
	c, err := text.NewCleaner()
	require.NoError(t, err)
	all := lines(t, "testdata/guards.txt")
	require.GreaterOrEqual(t, len(all), 60)
	for _, line := range all {
		f := strings.SplitN(line, "\t", 3)
		require.Len(t, f, 3, line)
		want := qingting.Guard(f[0])
		if f[0] == "none" {
			want = qingting.GuardNone
		}
		hits := certain(l, clean(c, customer(f[2])), f[1])
		if len(hits) == 0 {
			t.Errorf("%s: %q: no hit", f[1], f[2])
			continue
		}
		got := hits[0].Guard
		for _, h := range hits {
			if h.Guard == qingting.GuardNone {
				got = qingting.GuardNone
			}
		}
		if got != want {
			t.Errorf("%s: %q: guard %q, want %q", f[1], f[2], got, want)
		}
	}
}

func TestRoleAndPartial(t *testing.T) {
	l := newLexicon(t)
	no := false
	doc := prepare(t,
		agent("您也可以拨打12315反映"),
		qingting.Message{Role: qingting.RoleCustomer, Text: "我要打12315", IsFinal: &no},
		qingting.Message{Role: qingting.RoleBot, Text: "投诉请打12315"},
		qingting.Message{Role: qingting.RoleSystem, Text: "客户提到12315"},
		customer("我要打12315"))
	var got []qingting.Guard
	var at []int
	for _, h := range certain(l, doc, "signal.regulator") {
		got, at = append(got, h.Guard), append(at, h.Message)
	}
	require.Equal(t, []qingting.Guard{qingting.GuardRole, qingting.GuardPartial, qingting.GuardRole, qingting.GuardNone}, got)
	require.Equal(t, []int{0, 1, 2, 4}, at)
}

func TestLast(t *testing.T) {
	rules, err := Parse("t", "outcome.resolved.a hint last\n  好了\noutcome.pending.c hint role=agent last\n  稍等\n")
	require.NoError(t, err)
	l, err := build(rules)
	require.NoError(t, err)
	ids := func(messages ...qingting.Message) (out []string) {
		for _, h := range l.Match(prepare(t, messages...)) {
			out = append(out, h.Rule)
		}
		return out
	}
	require.Equal(t, []string{"outcome.resolved.a"}, ids(customer("好了"), agent("不客气")))
	require.Equal(t, []string{"outcome.resolved.a"}, ids(agent("不客气"), customer("好了")))
	require.Empty(t, ids(customer("好了"), agent("您好"), customer("又坏了")))
	require.Equal(t, []string{"outcome.pending.c"}, ids(agent("稍等"), customer("嗯"), customer("  ")))
}

func TestHitsResolve(t *testing.T) {
	rules, err := Parse("t", strings.Join([]string{
		"signal.legal.a certain guards=none", "  起诉 起诉你们", "  /要.{0,3}起诉/", "  but 不起诉",
		"signal.legal.b hint guards=none whole", "  /(?:![^!]{0,3}){3,}/",
	}, "\n"))
	require.NoError(t, err)
	l, err := build(rules)
	require.NoError(t, err)
	doc := prepare(t, customer("我要去起诉你们！真的！真！起诉。不起诉"))
	var got []string
	for _, h := range l.Match(doc) {
		got = append(got, h.Rule+":"+string(doc.Messages[0].Clean[h.Start:h.End]))
	}
	require.Equal(t, []string{"signal.legal.a:要去起诉", "signal.legal.b:！真的！真！起诉。", "signal.legal.a:起诉"}, got)
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"  12315", "第 1 行"},
		{"signal.regulator certain\n  a", "field.code.name"},
		{"mood.angry.a certain\n  a", "字段"},
		{"signal.police.a certain\n  a", "police"},
		{"signal.legal.a perhaps\n  a", "certain 或 hint"},
		{"signal.legal.a certain loud\n  a", "loud"},
		{"signal.legal.a certain role=boss\n  a", "boss"},
		{"signal.legal.a certain guards=luck\n  a", "luck"},
		{"signal.legal.a certain", "没有词"},
		{"signal.legal.a certain\n  a\nsignal.legal.a hint\n  b", "写了两次"},
	} {
		_, err := Parse("自定义", c.text)
		require.ErrorContains(t, err, c.want, c.text)
	}
	_, err := New("signal.legal.mine certain\n  /[/")
	require.ErrorContains(t, err, "signal.legal.mine")
	_, err = New("signal.legal.mine certain\n  /.{3}/")
	require.ErrorContains(t, err, "固定的字")
}

// TestExtraRules shows that a deployment adds rules and replaces ours, and
// that the id tells the difference.
func TestExtraRules(t *testing.T) {
	plain := newLexicon(t)
	l, err := New("signal.regulator.hotline certain\n  市民热线\nsignal.regulator.own certain\n  总台")
	require.NoError(t, err)
	require.NotEqual(t, plain.ID(), l.ID())
	again := newLexicon(t)
	require.Equal(t, plain.ID(), again.ID())
	require.Empty(t, certain(l, prepare(t, customer("我打12315")), "signal.regulator"))
	require.Len(t, certain(l, prepare(t, customer("我打市民热线，再找总台")), "signal.regulator"), 2)
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		expr  string
		start []string
		need  []string
	}{
		{"[投告].{0,4}工商", []string{"告", "投"}, []string{"工商"}},
		{"(?:打|拨)(?:一下)?(?:12315|96315)", []string{"打", "拨"}, []string{"12315", "96315"}},
		{"我?要?投(?:诉|靠)", []string{"我", "投诉", "投靠", "要"}, []string{"投诉", "投靠"}},
		{"(?:ABC)+x?", []string{"abc"}, []string{"abc"}},
		{"[^,]{2}歧视", nil, []string{"歧视"}},
		{"^你好", nil, []string{"你好"}},
		{"(?:退款|.)慢", nil, []string{"慢"}},
	} {
		p, err := planFor(c.expr)
		require.NoError(t, err, c.expr)
		require.Equal(t, c.start, p.start, c.expr)
		require.Equal(t, c.need, p.need[0], c.expr)
	}
	_, err := planFor(".*")
	require.Error(t, err)
}

func TestMeasure(t *testing.T) {
	rules, err := Parse("t", "signal.legal.a certain\n  起诉\ntype.product.quality.b hint\n  坏了\n")
	require.NoError(t, err)
	l, err := build(rules)
	require.NoError(t, err)
	docs := []*qingting.Document{
		prepare(t, customer("我要起诉，坏了")), prepare(t, customer("我不会起诉，坏了")),
		prepare(t, customer("起诉你")), prepare(t, agent("起诉")),
	}
	labels := []qingting.Labels{
		{Kind: qingting.KindComplaint, Signals: []qingting.SignalCode{qingting.SignalLegal}, Types: []qingting.Type{qingting.TypeQuality}},
		{Kind: qingting.KindInquiry},
		{Kind: qingting.KindComplaint},
		{Kind: qingting.KindComplaint},
	}
	stats, err := l.Measure(docs, labels)
	require.NoError(t, err)
	require.Equal(t, []Stat{
		{Rule: "signal.legal.a", Matched: 2, Meant: 1, Labeled: 1, Guarded: 1, Denied: 1},
		{Rule: "type.product.quality.b", Matched: 1, Meant: 1, Labeled: 1},
	}, stats)
	require.InDelta(t, (1+2*priorCertain)/4, stats[0].Weight(priorCertain), 1e-12)
	require.InDelta(t, (1+2*0.92)/4, stats[0].Weight(0.92), 1e-12)
	var b strings.Builder
	require.NoError(t, WriteWeights(&b, stats))
	back, err := ParseWeights("# comment\n" + b.String())
	require.NoError(t, err)
	require.Equal(t, Stat{Rule: "signal.legal.a", Matched: 2, Meant: 1}, back["signal.legal.a"])
	_, err = l.Measure(docs, nil)
	require.Error(t, err)
	for _, bad := range []string{"a\t1", "a\tx\t1", "a\t1\t2", "a\t1\t-1"} {
		_, err := ParseWeights(bad)
		require.Error(t, err, bad)
	}
}

// TestRulesAreSound holds the embedded rules against what the format cannot
// say by itself.
func TestRulesAreSound(t *testing.T) {
	l := newLexicon(t)
	seen := map[string]bool{}
	have := map[string]bool{}
	for _, r := range l.Rules() {
		require.False(t, seen[r.ID], r.ID)
		seen[r.ID] = true
		require.Greater(t, r.Weight, 0.0, r.ID)
		require.LessOrEqual(t, r.Weight, 1.0, r.ID)
		if r.Certain {
			have[string(r.Field)+"."+r.Code] = true
		}
		for _, w := range r.Words {
			require.Equal(t, strings.ToLower(w), w, r.ID)
		}
	}
	for _, f := range []qingting.Field{qingting.FieldSignal, qingting.FieldType, qingting.FieldClaim} {
		codes, _ := codesOf(f)
		for _, c := range codes {
			require.True(t, have[string(f)+"."+c], "%s.%s has no certain rule", f, c)
		}
	}
}

// checkHits asserts what every caller relies on.
func checkHits(t interface{ Fatalf(string, ...any) }, l *Lexicon, doc *qingting.Document) {
	hits := l.Match(doc)
	for i, h := range hits {
		p := doc.Messages[h.Message]
		if h.Start < 0 || h.End > len(p.Clean) || h.Start >= h.End {
			t.Fatalf("hit %v out of %d characters", h, len(p.Clean))
		}
		s := doc.Span(h.Message, h.Start, h.End)
		if rs := []rune(p.Text); s.Start < 0 || s.End > len(rs) || string(rs[s.Start:s.End]) != string([]rune(s.Quote)) {
			t.Fatalf("span %+v of %q", s, p.Text)
		}
		if i > 0 && (hits[i-1].Message > h.Message || hits[i-1].Message == h.Message && hits[i-1].Start > h.Start) {
			t.Fatalf("hits out of order: %v, %v", hits[i-1], h)
		}
	}
}

func TestMatchProperties(t *testing.T) {
	l := newLexicon(t)
	c, err := text.NewCleaner()
	require.NoError(t, err)
	pieces := []string{"我要投诉", "12315", "不是", "如果", "？", "！", "，", "。", "“", "”", "他说", "//@", "退款", "去年", "解决了", "垃圾", " ", "\n", "①②", "曝光", "@晚报", "说好三天", "没来", "👍", "ＡＢ", "投訴"}
	rapid.Check(t, func(t *rapid.T) {
		var messages []qingting.Message
		for range rapid.IntRange(0, 4).Draw(t, "messages") {
			var b strings.Builder
			for range rapid.IntRange(0, 12).Draw(t, "pieces") {
				if rapid.Bool().Draw(t, "known") {
					b.WriteString(rapid.SampledFrom(pieces).Draw(t, "piece"))
				} else {
					b.WriteString(rapid.StringN(0, 6, -1).Draw(t, "any"))
				}
			}
			role := rapid.SampledFrom([]qingting.Role{qingting.RoleCustomer, qingting.RoleAgent, qingting.RoleBot, qingting.RoleSystem}).Draw(t, "role")
			messages = append(messages, qingting.Message{Role: role, Text: b.String()})
		}
		checkHits(t, l, clean(c, messages...))
	})
}

// slow finds the matches of every rule in the customer's words the plain way:
// each word looked for by itself, each expression run by package regexp.
type slow struct {
	rules       []Rule
	exprs, buts [][]*regexp.Regexp
}

func newSlow(rules []Rule) *slow {
	compile := func(list []string) (out []*regexp.Regexp) {
		for _, e := range list {
			out = append(out, regexp.MustCompile(e))
		}
		return out
	}
	o := &slow{rules: rules}
	for _, r := range rules {
		o.exprs, o.buts = append(o.exprs, compile(r.Exprs)), append(o.buts, compile(r.ButExprs))
	}
	return o
}

func (o *slow) match(clean []rune) []span {
	var s scratch
	s.read(clean)
	text := string(s.runes)
	char := func(at int) int { return utf8.RuneCountInString(text[:at]) }
	for n, r := range o.rules {
		if r.Role != qingting.RoleCustomer {
			continue
		}
		for _, set := range []struct {
			words []string
			exprs []*regexp.Regexp
			but   bool
		}{{r.Words, o.exprs[n], false}, {r.ButWords, o.buts[n], true}} {
			for _, w := range set.words {
				for i := range text {
					if strings.HasPrefix(text[i:], w) {
						s.found = append(s.found, span{int32(n), char(i), char(i + len(w)), set.but})
					}
				}
			}
			for _, re := range set.exprs {
				start := 0
				for _, end := range s.ends {
					if r.Whole {
						start, end = 0, len(s.runes)
					}
					before := len(string(s.runes[:start]))
					for _, m := range re.FindAllStringIndex(string(s.runes[start:end]), -1) {
						s.found = append(s.found, span{int32(n), char(before + m[0]), char(before + m[1]), set.but})
					}
					start = end
					if r.Whole {
						break
					}
				}
			}
		}
	}
	return s.resolve()
}

// TestSameAsSlow writes texts out of what the rules look for and holds the
// matches against those of the plain way.
func TestSameAsSlow(t *testing.T) {
	l := newLexicon(t)
	rules := l.Rules()
	plain := newSlow(rules)
	number := map[string]int32{}
	var words []string
	var exprs []*rapid.Generator[string]
	for i, r := range rules {
		number[r.ID] = int32(i)
		words = append(append(words, r.Words...), r.ButWords...)
		for _, e := range append(slices.Clone(r.Exprs), r.ButExprs...) {
			exprs = append(exprs, rapid.StringMatching(e))
		}
	}
	fillers := []string{"我", "你们", "了", "的", "不", "也", "一", "3", ",", "，", "。", "!", "！！", "?", "…", "~", ".", " ", "\n", "@", "#", "a.b", "👍", "�", "İ", "K"}
	found, texts := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		texts++
		var b strings.Builder
		for range rapid.IntRange(1, 16).Draw(t, "parts") {
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				b.WriteString(rapid.SampledFrom(fillers).Draw(t, "filler"))
			case 1:
				b.WriteString(rapid.SampledFrom(words).Draw(t, "word"))
			default:
				b.WriteString(rapid.SampledFrom(exprs).Draw(t, "expr").Draw(t, "match"))
			}
		}
		clean := []rune(b.String())
		var got []span
		for _, h := range l.Match(&qingting.Document{Messages: []*qingting.Prepared{{Message: customer(b.String()), Clean: clean}}}) {
			got = append(got, span{number[h.Rule], h.Start, h.End, false})
		}
		want := plain.match(clean)
		found += len(want)
		require.Equal(t, append([]span(nil), want...), got, "%q", b.String())
	})
	// How many texts rapid draws depends on -short.
	require.Greater(t, found, 3*texts, "texts with something to find")
}

// TestNoSecondTry shows that nothing is found inside of a match, also of one
// that is taken away, and that words may reach over the end of a sentence.
func TestNoSecondTry(t *testing.T) {
	for _, c := range []struct {
		rule, text string
		want       []span
	}{
		{"  /告.{0,6}你/\n  but 告我", "告我告你", nil},
		{"  /告.{0,6}你/\n  but 告我", "告他告你", []span{{0, 0, 4, false}}},
		{"  /[^,]{2}起诉/\n  but 一", "一二起诉起诉", nil},
		{"  /[^,]{2}起诉/\n  but 一", "二三起诉四五起诉", []span{{0, 0, 4, false}, {0, 4, 8, false}}},
		{"  告?你 /告!你/ /告[!]/", "告!你告?你", []span{{0, 0, 2, false}, {0, 3, 6, false}}},
	} {
		rules, err := Parse("t", "signal.legal.a certain guards=none\n"+strings.ReplaceAll(c.rule, " /告", "\n  /告"))
		require.NoError(t, err)
		l, err := build(rules)
		require.NoError(t, err)
		var got []span
		for _, h := range l.Match(&qingting.Document{Messages: []*qingting.Prepared{{Message: customer(c.text), Clean: []rune(c.text)}}}) {
			got = append(got, span{0, h.Start, h.End, false})
		}
		require.Equal(t, c.want, got, "%s on %q", c.rule, c.text)
		require.Equal(t, append([]span(nil), newSlow(rules).match([]rune(c.text))...), got, "%s on %q", c.rule, c.text)
	}
}

// TestForwarded shows that all after the first forwarding mark is quoted.
func TestForwarded(t *testing.T) {
	l := newLexicon(t)
	for text, want := range map[string]qingting.Guard{
		"我要起诉//@某人：转": qingting.GuardNone, "看//@某甲：我要起诉//@某乙：转": qingting.GuardQuoted, "///@某甲：我要起诉": qingting.GuardQuoted, "/@某甲：我要起诉": qingting.GuardNone,
	} {
		hits := certain(l, prepare(t, customer(text)), "signal.legal")
		require.NotEmpty(t, hits, text)
		require.Equal(t, want, hits[0].Guard, text)
	}
}

// TestConcurrent matches in several goroutines at once, for the race detector.
func TestConcurrent(t *testing.T) {
	l := newLexicon(t)
	doc := prepare(t, longTranscript()...)
	want := l.Match(doc)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if !slices.Equal(want, l.Match(doc)) {
					t.Error("other hits")
				}
			}
		})
	}
	wg.Wait()
}

// TestFold holds the short way for ideographs against the Unicode tables.
func TestFold(t *testing.T) {
	for r := '一'; r <= '龥'; r++ {
		require.Equal(t, unicode.ToLower(r), fold(r))
	}
	require.Equal(t, "a,b:!?~[(", string([]rune{fold('A'), fold('，'), fold('b'), fold('：'), fold('！'), fold('？'), fold('～'), fold('【'), fold('（')}))
	require.Equal(t, unicode.ReplacementChar, fold(-1))
}

func FuzzMatch(f *testing.F) {
	l := newLexicon(f)
	c, err := text.NewCleaner()
	require.NoError(f, err)
	for _, s := range []string{"", "我要投诉到12315！！！！！", "他说“起诉”", "//@某人：再也不来了", "如果不退款，就曝光", "\xff\xfe投诉", "!00\x81!00!00", strings.Repeat("!", 200), "说好三天到，到现在没来", "１２３１５", "\u0000工商局"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 20_000 {
			return
		}
		checkHits(t, l, clean(c, customer(s), agent(s)))
	})
}

// FuzzParse reads rules as a deployment might write them.
func FuzzParse(f *testing.F) {
	f.Add("signal.legal.a certain guards=none\n  起诉 上诉\n  /告.{0,3}你们/\n  but 不告\n")
	f.Add("# only a comment\n\n")
	f.Add("signal.legal.a hint last whole role=agent\n  /(/\n  //\n  but /x/\n")
	f.Fuzz(func(t *testing.T, s string) {
		rules, err := Parse("f", s)
		if err != nil {
			return
		}
		l, err := build(rules)
		if err != nil {
			return
		}
		l.Match(&qingting.Document{Messages: []*qingting.Prepared{{Message: customer(s), Clean: []rune(s)}}})
	})
}

// longTranscript is 500 characters of a quarrel, written for the benchmark.
func longTranscript() []qingting.Message {
	return []qingting.Message{
		customer("你好，我上个月在你们营业厅办了宽带，当时师傅说三天之内上门安装，结果等了一个星期也没有人联系我！打客服电话打了五六次，每次都说已经催了让我等，我请了两天假在家等你们，误工费谁来赔？"),
		agent("非常抱歉给您带来不便，请您提供一下办理时登记的手机号码和安装地址，我这边马上帮您核实并反馈给装维部门，工作人员会尽快与您联系，请您保持电话畅通，感谢您的理解与支持。"),
		customer("手机号都说了三遍了，你们系统里没有吗？什么垃圾服务，收钱的时候比谁都快！199元的初装费已经扣了，网一天都没用上，现在又跟我说没有端口要等扩容，当初办的时候怎么不说？这不是欺骗消费者是什么？"),
		agent("您好，经核实您所在的小区端口确实已满，目前正在申请扩容，预计还需要十个工作日左右，给您造成的不便我们深表歉意，如果您不愿意等待，可以到原营业厅办理退费手续，需要携带本人身份证原件。"),
		customer("我再跑一趟营业厅？凭什么！今天之内给我解决，要么装好要么把钱退给我，不然我就打12315，再找电视台曝光你们，以后再也不用你们家的宽带了！！！"),
	}
}

func BenchmarkMatch(b *testing.B) {
	l := newLexicon(b)
	doc := prepare(b, longTranscript()...)
	b.ReportAllocs()
	for b.Loop() {
		l.Match(doc)
	}
}

func TestHotlineIsNoPress(t *testing.T) {
	l, err := New()
	require.NoError(t, err)
	text := "我要退款，不然找12315"
	p := &qingting.Prepared{Message: qingting.Message{Role: qingting.RoleCustomer, Text: text}, Clean: []rune(text)}
	found := map[string]bool{}
	for _, h := range l.Match(&qingting.Document{Messages: []*qingting.Prepared{p}}) {
		if h.Guard == qingting.GuardNone {
			found[h.Code] = true
		}
	}
	require.True(t, found["refund"])
	require.True(t, found["regulator"])
	require.False(t, found["media"], "the last digits of a hotline are not the programme 315")
}

// TestDemands holds that a literal demand weighs enough to decide the claim by
// itself, and that what is told, asked, refused or taken back does not.
func TestDemands(t *testing.T) {
	const decides = 0.9
	l := newLexicon(t)
	c, err := text.NewCleaner()
	require.NoError(t, err)
	for _, tt := range []struct {
		claim     string
		yes, noes []string
	}{
		{
			"refund",
			[]string{"我要退款", "直接退款2999", "退我20块", "我要退现金80元", "差一天就降价，补差价100", "必须全额退款", "请给我退押金", "不是不要退款，是要全额退款"},
			[]string{"我不退款，我要换货", "别给我退款，我要补发", "不退款了", "客服说给我退款", "商家只肯退我20块", "退款多久到账", "他直接给我退三十块打发我", "已经退款了，谢谢"},
		},
		{
			"exchange",
			[]string{"要求换货", "鞋底开胶，要求换货", "我要换个新的", "請給我換一台新的"},
			[]string{"不用换货了", "换货流程是什么", "我想换个套餐", "上次坏了，当时要求换新的"},
		},
		{
			"resend",
			[]string{"我要补发", "能补发吗", "少了一包，请给我补发", "能不能重新寄一份"},
			[]string{"别补发了", "补发的那件收到了", "他能重新发一个也可以", "请重新发送验证码"},
		},
		{
			"compensate",
			[]string{"赔我壹佰贰拾元", "你们得赔", "必须照价赔偿", "我要求赔偿损失"},
			[]string{"不用赔了", "已经赔了五十", "没说要赔偿", "怎么赔的"},
		},
		{
			"apology",
			[]string{"给我道歉", "要求道歉", "叫那个店员给我道歉", "我要书面道歉"},
			[]string{"没有给我道歉", "不要你们道歉", "为什么要她道歉", "道歉有什么用"},
		},
		{
			"punish",
			[]string{"处罚这个员工", "要求处理责任人", "把那个客服开除了", "必须严惩这个司机"},
			[]string{"请相关人员尽快处理", "没要你们开除谁", "处理一下订单", "打击盗版做得好"},
		},
		{
			"callback",
			[]string{"让你们经理给我回电话", "麻烦尽快联系我", "请店长亲自给我打电话", "希望你们给我回个电话"},
			[]string{"没人给我打电话", "不用给我回电话", "客服说会给我回电话", "我给你们打电话了"},
		},
		{
			"cancel",
			[]string{"取消订单", "把套餐退了", "请取消这笔订单", "帮我退订彩铃"},
			[]string{"我不取消订单了", "怎么取消订单", "客服刚刚帮我取消了", "订单被取消了", "告知是我要取消"},
		},
	} {
		decided := func(s string) bool {
			return slices.ContainsFunc(certain(l, clean(c, customer(s)), "claim."+tt.claim), func(h qingting.Hit) bool {
				return h.Guard == qingting.GuardNone && h.Weight >= decides
			})
		}
		for _, s := range tt.yes {
			require.True(t, decided(s), "%s: %s", tt.claim, s)
		}
		for _, s := range tt.noes {
			require.False(t, decided(s), "%s: %s", tt.claim, s)
		}
	}
}

// TestKind holds the rules of the kind that the classifier believes over the
// model, and the threats that make an intensity of 3.
func TestKind(t *testing.T) {
	l := newLexicon(t)
	c, err := text.NewCleaner()
	require.NoError(t, err)
	for _, tt := range []struct {
		rule, text string
		want       bool
	}{
		{"kind.praise.service", "客服小王态度特别好，帮我弄好了，谢谢", true},
		{"kind.praise.service", "师傅非常耐心", true},
		{"kind.praise.service", "你们态度好一点行不行", false},
		{"kind.praise.service", "态度也挺一般", false},
		{"kind.complaint.word", "我要投诉", true},
		{"kind.complaint.word", "投诉建议走哪个渠道", false},
		{"kind.complaint.word", "请问投诉电话是多少", false},
		{"kind.complaint.word", "举报找哪个部门", false},
		{"intensity.3.threat", "再不退钱我砸了你们店", true},
		{"intensity.3.threat", "信不信我弄死你", true},
		{"intensity.3.threat", "我从你们楼顶跳下去", true},
		{"intensity.3.threat", "真想砸了这破手机", false},
		{"intensity.3.threat", "打死你们也不承认", false},
		{"intensity.3.threat", "我没说要砸你们店", false},
	} {
		got := slices.ContainsFunc(l.Match(clean(c, customer(tt.text))), func(h qingting.Hit) bool {
			return h.Rule == tt.rule && h.Guard == qingting.GuardNone
		})
		require.Equal(t, tt.want, got, "%s: %s", tt.rule, tt.text)
	}
}
