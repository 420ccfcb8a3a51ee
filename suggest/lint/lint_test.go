package lint

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	qingting "github.com/qingting-ai/qingting"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// told is a customer who has given an order number and a phone number.
var told = Context{Known: []qingting.Slot{
	{Kind: qingting.SlotOrderNumber, Value: "9988776655"},
	{Kind: qingting.SlotPhone, Value: "13700007777"},
}}

// short names of the tables for rules with long ids.
var names = map[string]string{"pii": RulePersonal}

type sentence struct{ want, text string } // want is "" for nothing

func read(t *testing.T, path string) []sentence {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var out []sentence
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		want, text, ok := strings.Cut(line, "|")
		require.True(t, ok, line)
		if long, ok := names[want]; ok {
			want = long
		}
		if want == "ok" {
			want = ""
		} else {
			require.Contains(t, Rules(), want, line)
		}
		out = append(out, sentence{want, strings.ReplaceAll(text, `\n`, "\n")})
	}
	return out
}

func linter(t testing.TB) *Linter {
	l, err := New(Phrase{"你爱怎么样就怎么样", "您的想法我记下了", "顶撞客户"}, Phrase{"没办法", "我来想想别的办法", "直接拒绝"})
	require.NoError(t, err)
	return l
}

func has(fs []Finding, rule string) bool {
	for _, f := range fs {
		if f.Rule == rule {
			return true
		}
	}
	return false
}

func TestFirstList(t *testing.T) {
	l := linter(t)
	bad, good := 0, 0
	for _, s := range read(t, "testdata/first.txt") {
		got := l.Check(s.text, told)
		if s.want == "" {
			good++
			if len(got) > 0 {
				t.Errorf("%s\n  nothing is wrong, found %+v", s.text, got)
			}
			continue
		}
		bad++
		if !has(got, s.want) {
			t.Errorf("%s\n  want %s, found %+v", s.text, s.want, got)
		}
	}
	require.GreaterOrEqual(t, bad, 150)
	require.GreaterOrEqual(t, good, 150)
}

// TestSecondList measures the rules on sentences that were never used to
// tune them. A sentence counts as found when anything is found in it.
func TestSecondList(t *testing.T) {
	l := linter(t)
	var found, missed, wrong, right, rule int
	for _, s := range read(t, "testdata/second.txt") {
		got := l.Check(s.text, told)
		switch {
		case s.want != "" && len(got) > 0:
			found++
			if has(got, s.want) {
				rule++
			} else {
				t.Logf("other rule: %s want %s", s.text, s.want)
			}
		case s.want != "":
			missed++
			t.Logf("missed: %s (%s)", s.text, s.want)
		case len(got) > 0:
			wrong++
			t.Logf("wrong: %s %+v", s.text, got)
		default:
			right++
		}
	}
	precision := float64(found) / float64(found+wrong)
	recall := float64(found) / float64(found+missed)
	t.Logf("precision %.3f, recall %.3f, with the right rule %.3f; %d bad, %d good sentences",
		precision, recall, float64(rule)/float64(found+missed), found+missed, right+wrong)
	require.GreaterOrEqual(t, precision, 0.95)
	require.GreaterOrEqual(t, recall, 0.95)
}

// TestStandingOffer: to call when something changes needs no deadline, any
// other call at the first moment does.
func TestStandingOffer(t *testing.T) {
	l := linter(t)
	require.Empty(t, l.Check("有任何变化我第一时间联系您。", Context{}))
	require.NotEmpty(t, l.Check("我第一时间联系您。", Context{}))
}

func TestSpansAndRewrites(t *testing.T) {
	l := linter(t)
	for _, c := range []struct {
		text    string
		context Context
		want    string // after Rewrite
	}{
		{"😊您好，我不能给您退款。", told, "😊您好，我先为您核实能不能给您退款。"},
		{"这是规定，请理解", told, "我为您说明一下原因，请理解"},
		{"您应该早点说", told, "谢谢您现在告诉我们"},
		{"我们一定会给您退", told, "我们会给您退"},
		{"工单已经建好", told, "处理记录已经建好"},
		{"我们会尽快处理", Context{Due: "今天18点前"}, "我们今天18点前处理"},
		{"后续会有人联系您", Context{Due: "今天18点前"}, "我今天18点前联系您"},
		{"我给您赔偿100元", told, "我给您赔偿一笔金额（由主管审批后答复）"},
		{"我给您赔偿100元", Context{Authority: &Authority{Compensate: 100}}, "我给您赔偿100元"},
		{"电话１３９００００１１１１已登记", told, "电话139****1111已登记"},
		{"订单 2026112112345678 已查到", told, "订单 尾号5678 已查到"},
		{"单号9988776655不用再发", told, "单号尾号6655不用再发"},
		{"请问您的订单号是多少", Context{}, "请问您的订单号是多少"},
		{"", told, ""},
	} {
		require.Equal(t, c.want, Rewrite(c.text, l.Check(c.text, c.context)), c.text)
	}
	got := l.Check("😊\xff您可能误会了，请看www.example.com", told)
	require.Len(t, got, 2)
	require.Equal(t, []int{2, 8}, []int{got[0].Start, got[0].End})
	require.Equal(t, "您可能误会了", got[0].Quote)
	require.Equal(t, RuleLink, got[1].Rule)
}

// TestRewriteHeals checks that the finding that was rewritten is gone.
func TestRewriteHeals(t *testing.T) {
	l := linter(t)
	for _, s := range read(t, "testdata/first.txt") {
		if s.want == "" {
			continue
		}
		before := l.Check(s.text, told)
		after := l.Check(Rewrite(s.text, before), told)
		for _, f := range before {
			if f.Rewrite == "" {
				continue
			}
			for _, g := range after {
				require.False(t, g.Rule == f.Rule && g.Quote == f.Quote, "%s still has %q after %q", s.text, g.Quote, Rewrite(s.text, before))
			}
		}
	}
}

func TestKnownValueEchoed(t *testing.T) {
	l := linter(t)
	known := Context{Known: []qingting.Slot{{Kind: qingting.SlotAddress, Value: "星河路12号3单元501"}, {Kind: qingting.SlotPlate, Value: "京A12345"}}}
	got := l.Check("师傅明天10点到星河路12号3单元501，车牌京A12345", known)
	require.Len(t, got, 2)
	for _, f := range got {
		require.Equal(t, RulePersonal, f.Rule)
	}
}

func TestNewRefusesShortPhrase(t *testing.T) {
	_, err := New(Phrase{Text: "不"})
	require.ErrorContains(t, err, "太短")
}

func TestChineseNumber(t *testing.T) {
	for in, want := range map[string]float64{"三百二": 320, "一千": 1000, "两百": 200, "三百零五": 305, "十五": 15, "一万": 10000, "一万二": 12000, "八十": 80, "二十一": 21} {
		got, ok := chineseNumber(in)
		require.True(t, ok, in)
		require.Equal(t, want, got, in)
	}
}

// TestAnyText holds for whatever an agent types: no panic, spans in range
// and in order, quotes true, and Rewrite total.
func TestAnyText(t *testing.T) {
	l := linter(t)
	pieces := []string{"没办法", "一定会", "您", "“", "”", "13812345678", "100元", "退", "。", "，", "\n", "😊", "\xff", "①②③④", "https://a.cn", "會", "尽快处理", "\u200b", "Ａ", "1.", "订单号是多少"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(pieces), rapid.String()), 0, 30).Draw(t, "text"), "")
		checkFindings(t, l, text)
	})
}

func checkFindings(t require.TestingT, l *Linter, text string) {
	got := l.Check(text, told)
	runes := []rune(text)
	last := 0
	for _, f := range got {
		require.True(t, f.Start >= last && f.Start < f.End && f.End <= len(runes), "%+v in %d", f, len(runes))
		if utf8.ValidString(text) {
			require.Equal(t, string(runes[f.Start:f.End]), f.Quote)
		}
		require.NotEmpty(t, f.Reason)
		last = f.Start
	}
	Rewrite(text, got)
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"", "我不能", "“没办法”", "\xff\xfe", "1.2.3.4.", "赔一万万万元", "您自己", "“"} {
		f.Add(s)
	}
	l := linter(f)
	f.Fuzz(func(t *testing.T, text string) { checkFindings(t, l, text) })
}

func long() string {
	text := strings.Repeat("您好，您反映的扣费我已经登记，由账单专员今天16点前核对明细，我18点前把结果告诉您。我不能让您再等，这是规定之外的情况，一定会认真处理。", 8)
	return string([]rune(text)[:500])
}

func TestFastEnough(t *testing.T) {
	if testing.Short() {
		t.Skip("a clock test")
	}
	l, text := linter(t), long()
	best := time.Hour
	for range 20 {
		start := time.Now()
		l.Check(text, told)
		best = min(best, time.Since(start))
	}
	require.Less(t, best, 20*time.Millisecond)
}

func BenchmarkCheck500(b *testing.B) {
	l, text := linter(b), long()
	b.ReportAllocs()
	for b.Loop() {
		l.Check(text, told)
	}
}

// TestMasks shows how quotations and lists of marks are read.
func TestMasks(t *testing.T) {
	l := linter(t)
	require.True(t, has(l.Check("我会按说的处理。", Context{}), RulePromise))
	require.Empty(t, l.Check("我会“按说的”处理。", Context{}), "a pattern does not reach across a quotation")
	require.True(t, has(l.Check("“处理”，“我会处理", Context{}), RulePromise), "an open quotation is none")
	require.True(t, has(l.Check("①②③④", Context{}), RuleSteps))
	require.False(t, has(l.Check("①②③③", Context{}), RuleSteps))
	require.True(t, has(l.Check("1.，2.，3.，4.，", Context{}), RuleSteps), "a separator may end one mark and begin the next")
}

// TestConcurrent checks in several goroutines at once, for the race detector.
func TestConcurrent(t *testing.T) {
	l, text := linter(t), long()+"我会尽快处理。"
	want := l.Check(text, told)
	require.NotEmpty(t, want)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if !slices.Equal(want, l.Check(text, told)) {
					t.Error("other findings")
				}
			}
		})
	}
	wg.Wait()
}
