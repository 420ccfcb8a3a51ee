package text

import (
	"strconv"
	"strings"
	"unicode/utf8"

	qingting "github.com/qingting-ai/qingting"
)

// Masked is one place where Mask has put a placeholder.
type Masked struct {
	Kind        qingting.SlotKind
	Placeholder string // [手机号1]
	Text        string // the bytes it stands for
	Value       string // normalised; the same value has the same placeholder
	Start, End  int    // code points of the original
}

// Mask replaces the personal data of s by placeholders: [手机号1], [身份证1],
// [银行卡1], [车牌1], [邮箱1], [地址1], [姓名1], [订单号1]. It sees through full
// width, spaces, dashes, Chinese digits and invisible characters, and changes no
// byte outside of what it found. found is by start. The same value gets the same
// number however it is written; numbers whose placeholder already stands in s
// are skipped, so that Unmask cannot take the words of s for its own.
func Mask(s string) (masked string, found []Masked) {
	v := newView(s)
	matches := findPersonal(v.runes)
	if len(matches) == 0 {
		return s, nil
	}
	type key struct {
		kind  qingting.SlotKind
		value string
	}
	given := make(map[key]string)
	next := make(map[qingting.SlotKind]int)
	brackets := strings.Contains(s, "[")
	var b strings.Builder
	b.Grow(len(s) + 8*len(matches))
	last := 0
	for _, m := range matches {
		k := key{m.kind, m.value}
		holder, ok := given[k]
		for !ok {
			next[m.kind]++
			holder = "[" + placeholderName(m.kind) + strconv.Itoa(next[m.kind]) + "]"
			ok = !brackets || !strings.Contains(s, holder)
		}
		given[k] = holder
		from, to := v.offset[m.start], v.offset[m.end-1]+v.size(s, m.end-1)
		b.WriteString(s[last:from])
		b.WriteString(holder)
		found = append(found, Masked{
			Kind: m.kind, Placeholder: holder, Text: s[from:to], Value: m.value,
			Start: int(v.index[m.start]), End: int(v.index[m.end-1]) + 1,
		})
		last = to
	}
	b.WriteString(s[last:])
	return b.String(), found
}

// placeholderName is how a kind is called in a placeholder.
func placeholderName(k qingting.SlotKind) string {
	switch k {
	case qingting.SlotPhone:
		return "手机号"
	case qingting.SlotIDCard:
		return "身份证"
	case qingting.SlotBankCard:
		return "银行卡"
	case qingting.SlotPlate:
		return "车牌"
	case qingting.SlotEmail:
		return "邮箱"
	case qingting.SlotAddress:
		return "地址"
	case qingting.SlotName:
		return "姓名"
	case qingting.SlotOrderNumber:
		return "订单号"
	}
	return "信息"
}

// Unmask puts back what Mask has taken out. Of Mask's own result it makes the
// original again, byte for byte. A text that only speaks of the placeholders,
// such as a draft, gets their values too: the n-th time a placeholder occurs it
// is written as the n-th time in the original, and beyond that as the last time.
func Unmask(masked string, found []Masked) string {
	if len(found) == 0 {
		return masked
	}
	texts := make(map[string][]string, len(found))
	longest := 0
	for _, f := range found {
		texts[f.Placeholder] = append(texts[f.Placeholder], f.Text)
		longest = max(longest, len(f.Placeholder))
	}
	var b strings.Builder
	b.Grow(len(masked))
	for {
		i := strings.IndexByte(masked, '[')
		if i < 0 {
			break
		}
		b.WriteString(masked[:i])
		masked = masked[i:]
		end := strings.IndexByte(masked[:min(len(masked), longest)], ']')
		list := texts[masked[:end+1]]
		if len(list) == 0 {
			b.WriteByte('[')
			masked = masked[1:]
			continue
		}
		b.WriteString(list[0])
		if len(list) > 1 {
			texts[masked[:end+1]] = list[1:]
		}
		masked = masked[end+1:]
	}
	b.WriteString(masked)
	return b.String()
}

// view is a text as the finder wants to see it, with the way back.
type view struct {
	runes  []rune
	offset []int   // byte of the original
	index  []int32 // code point of the original
}

func newView(s string) *view {
	n := utf8.RuneCountInString(s)
	v := &view{runes: make([]rune, 0, n), offset: make([]int, 0, n), index: make([]int32, 0, n)}
	at := int32(-1)
	for i, r := range s {
		at++
		if r >= 0x80 || r < 0x20 || r == 0x7f {
			switch {
			case r == '\n':
			case isSpace(r):
				r = ' '
			case r != utf8.RuneError && invisible(r):
				continue
			default:
				r = viewFold(r)
			}
		} else if to := asciiPunct(r); to != 0 {
			r = to
		}
		v.runes = append(v.runes, r)
		v.offset = append(v.offset, i)
		v.index = append(v.index, at)
	}
	return v
}

// size is the number of bytes of the original character behind runes[i].
func (v *view) size(s string, i int) int {
	_, n := utf8.DecodeRuneInString(s[v.offset[i]:])
	return n
}

// asciiPunct gives the Chinese form of sentence punctuation, or 0.
func asciiPunct(r rune) rune {
	switch r {
	case ',':
		return '，'
	case ':':
		return '：'
	case ';':
		return '；'
	case '!':
		return '！'
	case '?':
		return '？'
	case '(':
		return '（'
	case ')':
		return '）'
	}
	return 0
}

// viewFold gives digits and letters in disguise their plain form, and the
// traditional characters that matter to the finder their simplified one.
func viewFold(r rune) rune {
	switch {
	case r >= 0x4e00 && r <= 0x9fff:
		if to, ok := viewScript[r]; ok {
			return to
		}
		return r
	case r >= '！' && r <= '～':
		switch r {
		case '，', '：', '；', '！', '？', '（', '）':
			return r
		}
		return r - '！' + '!'
	case r >= '①' && r <= '⑨':
		return r - '①' + '1'
	case r >= '⑴' && r <= '⑼':
		return r - '⑴' + '1'
	case r >= '❶' && r <= '❾':
		return r - '❶' + '1'
	case r >= '➀' && r <= '➈':
		return r - '➀' + '1'
	case r >= '➊' && r <= '➒':
		return r - '➊' + '1'
	case r == '⓪' || r == '⓿' || r == '🄌':
		return '0'
	case r >= 0x1d7ce && r <= 0x1d7ff:
		return (r-0x1d7ce)%10 + '0'
	case r >= '⁰' && r <= '⁹' && r != '⁰'+1 && r != '⁰'+2 && r != '⁰'+3:
		return r - '⁰' + '0'
	case r >= '₀' && r <= '₉':
		return r - '₀' + '0'
	case r >= '‐' && r <= '―', r == '−', r == '─', r == '﹣':
		return '-'
	case r == '•', r == '・', r == '‧':
		return '·'
	case r == '〜', r == '∼':
		return '~'
	}
	return r
}

// viewScript are the traditional characters of surnames and addresses and of
// the words that announce personal data. Mask works without a Cleaner, and a
// few dozen characters are all the finder needs.
var viewScript = pairs("" +
	"張张陳陈劉刘楊杨黃黄趙赵吳吴孫孙馬马羅罗鄭郑許许韓韩馮冯鄧邓蕭萧蔣蒋葉叶蘇苏魏魏呂吕盧卢鍾钟譚谭陸陆範范賈贾鄒邹閻阎龍龙陶陶賀贺顧顾龔龚萬万錢钱嚴严湯汤莊庄聶聂齊齐歐欧關关蘭兰齡龄" +
	"號号樓楼單单縣县區区鄉乡鎮镇棟栋層层廣广東东門门灣湾園园華华國国際际廈厦場场學学醫医院院衚胡衕同裡里莊庄橋桥" +
	"話话電电機机聯联繫系碼码證证銀银戶户賬账帳账訂订編编運运遞递遲迟單单寶宝郵邮箱箱務务員员師师傅傅經经戶户個个們们這这給给" +
	"貳贰參叁陸陆兩两壹壹京京滬沪遼辽蘇苏贛赣閩闽粵粤貴贵雲云陝陕寧宁瓊琼黑黑長长" +
	"臺台灣湾慶庆蘭兰濟济瀋沈陽阳鄭郑漢汉溫温連连雙双發发從从來来說说嗎吗為为對对問问讓让請请買买貨货還还過过後后點点")

// pairs reads a string of from-to characters.
func pairs(s string) map[rune]rune {
	all := []rune(s)
	m := make(map[rune]rune, len(all)/2)
	for i := 0; i+1 < len(all); i += 2 {
		m[all[i]] = all[i+1]
	}
	return m
}
