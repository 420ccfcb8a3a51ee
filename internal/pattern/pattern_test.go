package pattern

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// all returns the bounds of every match and group, in characters.
func all(m *Machine, p *Pattern, text []rune, groups int) [][]int {
	var out [][]int
	last := -1
	for from := 0; from <= len(text); {
		start, end := m.Find(p, text, from)
		if start < 0 {
			break
		}
		one := []int{start, end}
		for g := 1; g <= groups; g++ {
			a, b := m.Group(g)
			one = append(one, a, b)
		}
		if start < end || start != last {
			out = append(out, one)
		}
		last = end
		from = end
		if start == end {
			from++
		}
	}
	return out
}

// reference is what package regexp finds, in characters.
func reference(re *regexp.Regexp, text []rune) [][]int {
	s := string(text)
	var out [][]int
	for _, m := range re.FindAllStringSubmatchIndex(s, -1) {
		one := make([]int, len(m))
		for i, at := range m {
			one[i] = -1
			if at >= 0 {
				one[i] = utf8.RuneCountInString(s[:at])
			}
		}
		out = append(out, one)
	}
	return out
}

func compare(t require.TestingT, expr string, texts ...string) {
	re, err := regexp.Compile(expr)
	require.NoError(t, err, expr)
	p, err := Compile(expr)
	require.NoError(t, err, expr)
	var m Machine
	for _, s := range texts {
		text := []rune(strings.ToValidUTF8(s, "\uFFFD"))
		want := reference(re, text)
		require.Equal(t, want, all(&m, p, text, re.NumSubexp()), "%q on %q", expr, s)
		require.Equal(t, re.MatchString(string(text)), m.Match(p, text), "%q on %q", expr, s)
		whole := regexp.MustCompile("^(?:" + expr + ")").FindStringIndex(string(text))
		end := -1
		if whole != nil {
			end = utf8.RuneCountInString(string(text)[:whole[1]])
		}
		require.Equal(t, end, m.At(p, text, 0), "%q at the beginning of %q", expr, s)
	}
}

func TestSameAsRegexp(t *testing.T) {
	for _, c := range []struct {
		expr  string
		texts []string
	}{
		{`(?:退|换)[^,。]{0,4}(?:货|款)`, []string{"", "退", "我要退这个货款", "退,款", "退一二三四款退款", "换货退款"}},
		{`[投告].{0,4}工商`, []string{"投诉到工商局", "投\n工商", "告告告告告工商"}},
		{`(?:a*)*b`, []string{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aab", "b"}},
		{`(a|ab)(c|bcd)(d*)`, []string{"abcd", "acd", "xabcdd"}},
		{`(a?)(a?)(a?)aaa`, []string{"aaa", "aaaa", "aaaaaa"}},
		{`a*?`, []string{"aaa", "baa", ""}},
		{`(?:^|[^有])(没办法)$`, []string{"没办法", "有没办法", "也没办法", "没办法吗"}},
		{`(?i)app|ＡＰＰ`, []string{"APP", "aPp", "ＡＰＰ"}},
		{`\bok\b|\d{1,2}:\d{2}`, []string{"ok", "不ok", "oks", "12:30", "1:2"}},
		{`(?m)^行$`, []string{"行\n行", "一行"}},
		{`((?:一|二)+?)三?|四`, []string{"一二三四", "四四", "五"}},
		{`(x)|(y)|`, []string{"xy", "zz", ""}},
		{`!+[^!]{0,3}!`, []string{"!!!!", "!a!b!", "！"}},
		{`\x{1F600}|好`, []string{"😀好", "\xff😀"}},
		{`$^|。`, []string{"", "。"}},
		{`[^\x00-\x{10FFFF}]|a`, []string{"a", "b"}},
	} {
		compare(t, c.expr, c.texts...)
	}
	_, err := Compile("(")
	require.Error(t, err)
}

// manyWays is an alternative with more branches than a fork takes.
func TestManyWays(t *testing.T) {
	var words []string
	for r := '一'; len(words) < 3*maxWays; r += 7 {
		words = append(words, string(r)+"甲"+string(r+1), string(r+2))
	}
	expr := "(?:" + strings.Join(words, "|") + ")末?"
	compare(t, expr, strings.Join(words, "末"), strings.Join(words[100:], ""))
}

func TestRandomExpressions(t *testing.T) {
	atoms := []string{"a", "b", "ab", "退", "款", "[ab]", "[^a,]", ".", `\d`, "(退款|退)", "(?:a|)", "^", "$", `\b`}
	tails := []string{"", "", "", "*", "+", "?", "*?", "??", "{0,3}", "{2}"}
	var expr func(t *rapid.T, depth int) string
	expr = func(t *rapid.T, depth int) string {
		var b strings.Builder
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			if depth > 0 && rapid.IntRange(0, 3).Draw(t, "nest") == 0 {
				b.WriteString("(" + expr(t, depth-1) + "|" + expr(t, depth-1) + ")")
			} else {
				b.WriteString(rapid.SampledFrom(atoms).Draw(t, "atom"))
			}
			b.WriteString(rapid.SampledFrom(tails).Draw(t, "tail"))
		}
		return b.String()
	}
	rapid.Check(t, func(t *rapid.T) {
		e := expr(t, 2)
		text := rapid.StringOfN(rapid.SampledFrom([]rune("aab1,退款\n 😀")), 0, 12, -1).Draw(t, "text")
		if _, err := regexp.Compile(e); err != nil {
			return // such as a repetition of a repetition
		}
		compare(t, e, text)
	})
}

func FuzzCompile(f *testing.F) {
	f.Add(`(?:要求|想)(?:全额)?退(?:款|钱)`, "我要求全额退款，想退钱")
	f.Add(`(a*)*|b`, "aab")
	f.Add(`[^,]{0,4}$`, "\xff,好")
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 60 || len(text) > 200 {
			return
		}
		if _, err := regexp.Compile(expr); err != nil {
			return
		}
		compare(t, expr, text)
	})
}

// TestLinear holds an expression that a plain backtracking search never
// finishes.
func TestLinear(t *testing.T) {
	p, err := Compile(`(?:(?:a|aa)+)+$`)
	require.NoError(t, err)
	var m Machine
	require.False(t, m.Match(p, []rune(strings.Repeat("a", 5000)+"b")))
}

func BenchmarkFind(b *testing.B) {
	const expr = `(?:已经?|早就|后来|最后|都|就|也)[^,。!?不没未]{0,6}(?:解决|处理好|搞定|了结|退(?:了|给|回)|赔(?:了|给|付)|修好|结案)`
	text := []rune("我上周就打电话说过，师傅也来看了一次，到现在都还没有人把这个机器给我修好，最后你们才退了一半的钱")
	b.Run("pattern", func(b *testing.B) {
		p, err := Compile(expr)
		require.NoError(b, err)
		var m Machine
		b.ReportAllocs()
		for b.Loop() {
			m.Find(p, text, 0)
		}
	})
	b.Run("regexp", func(b *testing.B) {
		re, s := regexp.MustCompile(expr), string(text)
		b.ReportAllocs()
		for b.Loop() {
			re.FindStringIndex(s)
		}
	})
}
