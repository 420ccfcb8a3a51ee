package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDefault(t *testing.T) {
	p, err := Default()
	require.NoError(t, err)
	require.Equal(t, 50.0, p.Authority.Compensate)
	require.Equal(t, 30.0, p.Authority.Coupon)
	require.Len(t, p.Types, 21)
}

func TestParseRefuses(t *testing.T) {
	edit := func(old, with string) string {
		out := strings.Replace(string(defaultYAML), old, with, 1)
		if out == string(defaultYAML) {
			t.Fatalf("%q is not in the default policy", old)
		}
		return out
	}
	for _, c := range []struct{ name, in, want string }{
		{"empty", " \n", "是空的"},
		{"not UTF-8", "version: \xff", "不是 UTF-8"},
		{"not YAML", "version: [1", "行："},
		{"unknown key", edit("  coupon: 30", "  cupon: 30"), "第 11 行：不认识的键 \"cupon\""},
		{"repeated key", edit("  coupon: 30", "  coupon: 30\n  coupon: 31"), "第 12 行：键 \"coupon\" 写了两次"},
		{"word for number", edit("compensate: 50", "compensate: 五十"), "第 10 行：值 \"五十\" 的类型不对，应为数字"},
		{"bad duration", edit("contact: 1m", "contact: 1分钟"), "时长"},
		{"negative", edit("compensate: 50", "compensate: -1"), "authority.compensate 金额要在"},
		{"not a number", edit("compensate: 50", "compensate: .nan"), "authority.compensate 金额要在"},
		{"version", edit("version: 1", "version: 9"), "version 是 9"},
		{"unknown type", edit("  environment.noise:", "  environment.nose:"), "不认识的代码 \"environment.nose\""},
		{"missing route", edit("  recall:", "  recal:"), "routes 里有不认识的代码 \"recal\""},
		{"unknown remedy", edit("approval: []", "approval: [gift]"), "补救方式 \"gift\" 不认识"},
		{"unknown priority", edit("  P3: {", "  P4: {"), "service 里有不认识的代码 \"P4\""},
		{"progress beyond a day", edit("contact: 30m, progress: 24h", "contact: 30m, progress: 48h"), "service.P2"},
		{"owner with digits", edit("owner: 账单专员", "owner: 账单9号"), "不要句号、换行和数字"},
		{"unknown domain", edit("owner_by: {network", "owner_by: {net"), "行业 \"net\" 不认识"},
		{"ask for id card", edit("needs: [order_number]", "needs: [id_card]"), "不能问"},
		{"one rune preference", edit("words: [着急用,", "words: [急,"), "每个词至少两个字"},
		{"rewrite keeps the phrase", edit("rewrite: 我为您说明一下原因", "rewrite: 这是规定，没得商量"), "还有禁用语"},
		{"no reason", edit("reason: 推诿", "reason: \"\""), "缺少 reason"},
		{"no tone", edit("max_runes: 300", "max_runes: 5"), "tone.max_runes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.in))
			require.ErrorContains(t, err, c.want)
			require.IsType(t, &Error{}, err)
		})
	}
}

// TestFaultsHaveLines: whoever edits the file is shown the line, also of a
// value that is well written and does not fit.
func TestFaultsHaveLines(t *testing.T) {
	for _, c := range []struct{ old, with string }{
		{"compensate: 50", "compensate: -1"},
		{"contact: 1m", "contact: 1分钟"},
		{"contact: 30m, progress: 24h", "contact: 30m, progress: 48h"},
		{"  P3: {", "  P4: {"},
		{"  environment.noise:", "  environment.nose:"},
		{"owner: 账单专员", "owner: 账单9号"},
		{"approval: []", "approval: [gift]"},
		{"words: [着急用,", "words: [急,"},
		{"reason: 推诿", "reason: \"\""},
		{"max_runes: 300", "max_runes: 5"},
		{"due: 24h\n", "due: 25h\n"},
	} {
		at := strings.Index(string(defaultYAML), c.old)
		require.Positive(t, at, c.old)
		want := 1 + strings.Count(string(defaultYAML[:at]), "\n")
		_, err := Parse([]byte(strings.Replace(string(defaultYAML), c.old, c.with, 1)))
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, want, e.Line, "%s: %v", c.with, err)
		require.Contains(t, err.Error(), "行：")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(defaultYAML)
	for _, s := range []string{"", "version: 1", "authority: {compensate: 1e400}", "types: [1]", "a: &a [*a]", "version: 1\nversion: 1", "\x00", "？：", "service: {P0: 3}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			require.IsType(t, &Error{}, err)
			return
		}
		require.NoError(t, p.Validate())
	})
}
