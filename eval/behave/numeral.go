package behave

import (
	"slices"
	"strconv"
	"strings"
)

// units follow a number that may be written either way.
var units = []string{"元", "块", "个", "天", "月", "年", "号", "日", "点", "次", "小时", "分钟", "遍", "台", "件", "折", "岁", "人", "毫升", "公里"}

const numerals = "零一二三四五六七八九"

// unitAt returns the unit that begins at t[i:], "" for none.
func unitAt(t []rune, i int) string {
	for _, u := range units {
		if strings.HasPrefix(string(t[i:min(len(t), i+2)]), u) {
			return u
		}
	}
	return ""
}

// toChinese writes amounts, counts and dates in Chinese numerals; years digit
// by digit. Numbers without a unit (phones, orders, 12315) stay.
func toChinese(e *edit, t []rune) []rune {
	held := e.held(t)
	var out []rune
	for i := 0; i < len(t); {
		j := i
		for j < len(t) && (t[j] >= '0' && t[j] <= '9' || t[j] == '.' && j > i && j+1 < len(t) && t[j+1] >= '0' && t[j+1] <= '9') {
			j++
		}
		free := j > i && !slices.Contains(held[i:j], true) && (i == 0 || t[i-1] >= 0x80 || t[i-1] == ' ')
		if unit := unitAt(t, j); free && unit != "" {
			if s, ok := spoken(string(t[i:j]), unit); ok {
				out = append(out, []rune(s)...)
				i = j
				continue
			}
		}
		j = max(j, i+1)
		out = append(out, t[i:j]...)
		i = j
	}
	return out
}

// spoken is the Chinese form of a number of at most eight digits.
func spoken(digits, unit string) (string, bool) {
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(whole) > 8 || len(whole) > 1 && whole[0] == '0' || strings.Contains(fraction, ".") {
		return "", false
	}
	if unit == "年" && len(whole) == 4 && fraction == "" {
		return spelled(whole), true
	}
	n, err := strconv.Atoi(whole)
	if err != nil {
		return "", false
	}
	s := reading(n)
	if fraction != "" {
		return s + "点" + spelled(fraction), true
	}
	if n == 2 && slices.Contains([]string{"个", "天", "年", "次", "小时", "块", "台", "件", "遍", "人"}, unit) {
		s = "两"
	}
	return s, true
}

// spelled writes digit by digit.
func spelled(digits string) string {
	var b strings.Builder
	for _, r := range digits {
		b.WriteRune([]rune(numerals)[r-'0'])
	}
	return b.String()
}

// reading is n, below 10^8, as it is read: 105 → 一百零五, 12 → 十二.
func reading(n int) string {
	if n == 0 {
		return "零"
	}
	if n >= 10_000 {
		s := reading(n/10_000) + "万"
		switch rest := n % 10_000; {
		case rest == 0:
			return s
		case rest < 1000:
			return s + "零" + fourDigits(rest)
		default:
			return s + fourDigits(rest)
		}
	}
	s := fourDigits(n)
	if n < 20 && n >= 10 {
		s = strings.TrimPrefix(s, "一")
	}
	return s
}

func fourDigits(n int) string {
	var b strings.Builder
	gap := false
	for _, place := range []struct {
		value int
		name  string
	}{{1000, "千"}, {100, "百"}, {10, "十"}, {1, ""}} {
		d := n / place.value % 10
		switch {
		case d == 0:
			gap = b.Len() > 0
		default:
			if gap {
				b.WriteString("零")
				gap = false
			}
			b.WriteRune([]rune(numerals)[d])
			b.WriteString(place.name)
		}
	}
	return b.String()
}

// toDigits is the way back. A lone 一 stays: it is seldom a number.
func toDigits(e *edit, t []rune) []rune {
	const numeral = numerals + "两十百千万"
	held := e.held(t)
	is := func(i int) bool { return i < len(t) && strings.ContainsRune(numeral, t[i]) }
	var out []rune
	for i := 0; i < len(t); {
		j := i
		for is(j) || j > i && j+1 < len(t) && t[j] == '点' && is(j+1) && !strings.ContainsRune("十百千万", t[j+1]) {
			j++
		}
		if s, ok := value(string(t[i:j])); ok && !slices.Contains(held[i:j], true) && string(t[i:j]) != "一" && unitAt(t, j) != "" {
			out = append(out, []rune(s)...)
			i = j
			continue
		}
		j = max(j, i+1)
		out = append(out, t[i:j]...)
		i = j
	}
	return out
}

// value reads a Chinese number, as reading or spelled writes it.
func value(s string) (string, bool) {
	if s == "" {
		return "", false
	}
	if whole, fraction, ok := strings.Cut(s, "点"); ok {
		v, okWhole := value(whole)
		f, okFraction := digitwise(fraction)
		return v + "." + f, okWhole && okFraction
	}
	if !strings.ContainsAny(s, "十百千万") {
		d, ok := digitwise(s)
		if len([]rune(s)) > 1 && (strings.Contains(s, "两") || len([]rune(s)) != 4) {
			return "", false // 三四天 is no 34
		}
		return d, ok
	}
	total, section, digit := 0, 0, -1
	for _, r := range s {
		switch r {
		case '零':
			digit = -1
		case '十', '百', '千':
			place := map[rune]int{'十': 10, '百': 100, '千': 1000}[r]
			if digit < 0 {
				if r != '十' {
					return "", false
				}
				digit = 1
			}
			section += digit * place
			digit = -1
		case '万':
			if digit > 0 {
				section += digit
			}
			if section == 0 || total > 0 {
				return "", false
			}
			total, section, digit = section*10_000, 0, -1
		default:
			if digit >= 0 {
				return "", false
			}
			digit = slices.Index([]rune(numerals), r)
			if r == '两' {
				digit = 2
			}
		}
	}
	n := total + section + max(digit, 0)
	// What is not read back the same way (一百二, 两百) is checked by reading it.
	if got := reading(n); got != s && got != strings.ReplaceAll(s, "两", "二") && got != strings.TrimPrefix(s, "一") {
		return "", false
	}
	return strconv.Itoa(n), true
}

func digitwise(s string) (string, bool) {
	var b strings.Builder
	for _, r := range s {
		d := slices.Index([]rune(numerals), r)
		if r == '两' {
			d = 2
		}
		if d < 0 {
			return "", false
		}
		b.WriteString(strconv.Itoa(d))
	}
	return b.String(), b.Len() > 0
}

// spellDigits writes the digits of the words as they are said on the phone.
func spellDigits(e *edit, t []rune) []rune {
	out := slices.Clone(t)
	for _, i := range e.places(t, func(i int) bool { return t[i] >= '0' && t[i] <= '9' }) {
		out[i] = []rune("零幺二三四五六七八九")[t[i]-'0']
	}
	return out
}
