package text

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	qingting "github.com/qingting-ai/qingting"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConceal(t *testing.T) {
	for _, tc := range []struct {
		name, text, want string
		places           []qingting.Concealed
	}{
		{"nothing", "我要退款，等了3天了", "我要退款，等了3天了", nil},
		{"empty", "", "", nil},
		{"phone", "电话13800138000没人接", "电话***********没人接", []qingting.Concealed{{Kind: qingting.SlotPhone, Start: 2, End: 13}}},
		{"separators are hidden too", "电话 138-0013-8000。", "电话 *************。", []qingting.Concealed{{Kind: qingting.SlotPhone, Start: 3, End: 16}}},
		{"full width", "打１３８００１３８０００找我😡", "打***********找我😡", []qingting.Concealed{{Kind: qingting.SlotPhone, Start: 1, End: 12}}},
		{"invisible inside", "号138\u200b00138000", "号************", []qingting.Concealed{{Kind: qingting.SlotPhone, Start: 1, End: 13}}},
		{"not UTF-8 around", "\xff13800138000\xe4", "\xff***********\xe4", []qingting.Concealed{{Kind: qingting.SlotPhone, Start: 1, End: 12}}},
		{"order numbers stay", "订单号2026112012345678，手机13800138000", "订单号2026112012345678，手机***********", []qingting.Concealed{{Kind: qingting.SlotPhone, Start: 22, End: 33}}},
		{"name", "我叫王小明，住幸福小区5号楼3单元602室", "我叫***，住**************", []qingting.Concealed{{Kind: qingting.SlotName, Start: 2, End: 5}, {Kind: qingting.SlotAddress, Start: 7, End: 21}}},
		{"plate and mail", "京A12345，发到zhang@example.com", "*******，发到*****************", []qingting.Concealed{{Kind: qingting.SlotPlate, End: 7}, {Kind: qingting.SlotEmail, Start: 10, End: 27}}},
		{"asterisks of the customer", "尾号****1234，电话13800138000", "尾号****1234，电话***********", []qingting.Concealed{{Kind: qingting.SlotPhone, Start: 13, End: 24}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, places := Conceal(tc.text)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.places, places)
		})
	}
}

func TestLegible(t *testing.T) {
	c := newTestCleaner(t)
	for _, tc := range []struct{ text, want string }{
		{"我要退款", "我要退款"},
		{"电话13800138000没人接", "电话[电话]没人接"},
		{"我叫王小明，住幸福小区5号楼3单元602室", "我叫某，住[地址]"},
		{"京A12345发到zhang@example.com", "[车牌]发到[邮箱]"},
		{"身份证" + idCard("11010119900307123"), "身份证[号码]"},
	} {
		got, places := Conceal(tc.text)
		text := Legible(got, places)
		require.Equal(t, utf8.RuneCountInString(tc.text), utf8.RuneCountInString(text))
		clean, _, _ := c.Clean(text)
		require.Equal(t, tc.want, string(clean))
	}
	require.Equal(t, "ab*", Legible("ab*", []qingting.Concealed{{Kind: qingting.SlotPhone, Start: 7, End: 9}}))
	require.Equal(t, "ab某", Legible("ab*", []qingting.Concealed{{Kind: qingting.SlotPhone, Start: 2, End: 3}}))
}

// TestConcealRecall holds the figures of the service rules: what Mask is
// measured on, hidden to the last character.
func TestConcealRecall(t *testing.T) {
	for _, tc := range []struct {
		name    string
		least   float64
		secrets []secret
	}{
		{"checksummed", 0.995, numberSecrets()},
		{"addresses", 0.90, marked(t, qingting.SlotAddress, places)},
		{"names", 0.85, marked(t, qingting.SlotName, people)},
		{"addresses, later", 0.90, marked(t, qingting.SlotAddress, placesLater)},
		{"names, later", 0.85, marked(t, qingting.SlotName, peopleLater)},
		{"addresses, blind", 0.85, marked(t, qingting.SlotAddress, placesBlind)},
		{"names, blind", 0.85, marked(t, qingting.SlotName, peopleBlind)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := 0
			for _, s := range tc.secrets {
				before, _, _ := strings.Cut(s.text, "%s")
				got, _ := Conceal(strings.Replace(strings.Replace(s.text, "%s", s.value, 1), "%%", "%", 1))
				from := utf8.RuneCountInString(before)
				hidden := []rune(got)[from : from+utf8.RuneCountInString(s.value)]
				if strings.Trim(string(hidden), "*") == "" {
					n++
				} else {
					t.Logf("missed %s in %s", s.kind, got)
				}
			}
			got := float64(n) / float64(len(tc.secrets))
			t.Logf("recall %.3f of %d", got, len(tc.secrets))
			require.GreaterOrEqual(t, got, tc.least)
		})
	}
}

func TestConcealHarmless(t *testing.T) {
	for _, s := range harmless {
		got, places := Conceal(s)
		require.Equal(t, s, got)
		require.Empty(t, places, "%s", s)
	}
}

// checkConceal holds what every caller relies on: each character stays where it
// was, or is an asterisk in one of the places.
func checkConceal(t require.TestingT, s string) {
	got, places := Conceal(s)
	require.Equal(t, utf8.RuneCountInString(s), utf8.RuneCountInString(got), "%q", s)
	if len(places) == 0 {
		require.Equal(t, s, got)
	}
	// The characters of the original, as bytes: runes would make all bytes that
	// are not UTF-8 one.
	split := func(s string) (out []string) {
		for len(s) > 0 {
			_, n := utf8.DecodeRuneInString(s)
			out, s = append(out, s[:n]), s[n:]
		}
		return out
	}
	was, is := split(s), split(got)
	last := 0
	for _, p := range places {
		require.True(t, last <= p.Start && p.Start < p.End && p.End <= len(was), "%q: %v", s, places)
		require.NotEmpty(t, p.Kind)
		require.NotEqual(t, qingting.SlotOrderNumber, p.Kind)
		require.Equal(t, was[last:p.Start], is[last:p.Start], "%q", s)
		require.Equal(t, strings.Repeat("*", p.End-p.Start), strings.Join(is[p.Start:p.End], ""), "%q", s)
		last = p.End
	}
	require.Equal(t, was[last:], is[last:], "%q", s)
	legible := split(Legible(got, places))
	require.Len(t, legible, len(was), "%q", s)
	last = 0
	for _, p := range places {
		require.Equal(t, is[last:p.Start], legible[last:p.Start], "%q", s)
		require.NotContains(t, strings.Join(legible[p.Start:p.End], ""), "*", "%q", s)
		last = p.End
	}
	require.Equal(t, is[last:], legible[last:], "%q", s)
	if len(was) > 300 {
		return // may be a text that takes all the rounds
	}
	again, more := Conceal(got)
	require.Equal(t, got, again, "%q", s)
	require.Empty(t, more, "%q", s)
	_, found := Mask(got)
	for _, f := range found {
		require.Equal(t, qingting.SlotOrderNumber, f.Kind, "%q still shows %q", s, f.Text)
	}
}

// TestConcealWorst holds that a text whose places come to light one after the
// other does not make the search slow.
func TestConcealWorst(t *testing.T) {
	for _, s := range []string{"2026112012345678座3栋12栋", "138", "1 ", "路1号", "姓名李", "a@b.cn", "13800138000，"} {
		text := strings.Repeat(s, 20000/len([]rune(s)))
		start := time.Now()
		checkConceal(t, text)
		took := time.Since(start)
		t.Logf("%s %v", s, took.Round(time.Millisecond))
		require.Less(t, took, 4*time.Second, "%s", s)
	}
}

func TestConcealProperties(t *testing.T) {
	pieces := append([]string{"*", "＊", "***", "路", "号", "12栋", "女士"}, maskPieces...)
	rapid.Check(t, func(t *rapid.T) {
		checkConceal(t, strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 30).Draw(t, "parts"), ""))
	})
	rapid.Check(t, func(t *rapid.T) { checkConceal(t, rapid.String().Draw(t, "text")) })
}

func FuzzConceal(f *testing.F) {
	for _, s := range []string{"", "我叫王小明，电话13800138000", "[手机号1]13800138000", "身份证11010519491231002X", "\xff138\xe40013 8000", "杭州市西湖区文三路12号3栋501", "京A12345", "a@b.cn", "138***38000", "地址*路12号3栋", "收件人：王＊明 １３８００１３８０００"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkConceal(t, s) })
}

func BenchmarkConceal(b *testing.B) {
	for _, tc := range []struct{ name, text string }{
		{"none", "你们这个空调装了三天了还不制冷，打了好几次电话都说安排师傅，到现在没有人来，我要求退款。"},
		{"some", "我叫王小明，电话13800138000，住幸福小区5号楼3单元602室，空调装了三天了还不制冷。"},
	} {
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				Conceal(tc.text)
			}
		})
	}
}
