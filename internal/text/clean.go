// Package text makes the words of customers ready for every later step:
// cleaning with one offset map to the original, traditional to simplified,
// numbers, amounts and dates in Chinese, masking of personal data, and slots.
//
// Everything here is deterministic, needs no network and may be used
// concurrently. Positions are code points, where one invalid UTF-8 byte counts
// as one code point, as in Go's range.
//
// # Canonical form
//
// Clean text is written the way rules, dictionaries and the encoder expect it:
//
//   - letters, digits and signs are half width ASCII (１２３ＡＢＣ％ → 123ABC%);
//     compatibility forms are spelled out (①⑴ → 1, Ⅲ → III, ㎡ → m2, ½ → 1/2);
//   - sentence punctuation is Chinese: ，。！？；：（）“”‘’、. The ASCII forms
//     customers type become the Chinese ones, except where they belong to a
//     number, a time or a word (1,299.00  10:30  a.b  http:); Taiwanese quotes
//     「」『』 become “”‘’;
//   - white space is one space, none at the ends; characters nobody sees
//     (NUL, control, zero width, bidi, variation selectors, combining marks,
//     soft hyphen, broken bytes) are gone;
//   - script is simplified;
//   - evasions that cut a text into single characters are undone
//     (1 2 3 1 5, 1-2-3-1-5 and 投 诉 你 们, from four characters up).
//
// Letter case, emoji and repeated characters stay: they carry emphasis.
package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// What the main loop does with a character of the basic plane.
const (
	actKeep   = iota // stands for itself
	actDrop          // invisible
	actSpace         // white space
	actFold          // replaced by an entry of folds
	actScript        // the script tables may touch it
	actPunct         // its form depends on its neighbours
	actOpen          // "(" or "（": may open a pinyin note
)

// Cleaner implements qingting.Cleaner. It never changes after construction.
type Cleaner struct {
	act    [0x10000]uint8
	folds  map[rune][]rune
	script *script
}

// NewCleaner builds the tables, which takes some 25 ms. It fails only when the
// conversion dictionaries in the program are damaged.
func NewCleaner() (*Cleaner, error) {
	s, err := newScript()
	if err != nil {
		return nil, fmt.Errorf("text cleaner: %w", err)
	}
	c := &Cleaner{folds: make(map[rune][]rune), script: s}
	for r := rune(0); r < 0x10000; r++ {
		switch {
		case isSpace(r):
			c.act[r] = actSpace
		case invisible(r):
			c.act[r] = actDrop
		case r == '(' || r == '（':
			c.act[r] = actOpen
		case r == ',' || r == ':' || r == '.':
			c.act[r] = actPunct
		case s.touches(r):
			c.act[r] = actScript
		}
	}
	// Ranges with compatibility forms; the rest of Unicode maps to itself.
	for _, block := range [][2]rune{
		{0x21, 0x7e},
		{0xa1, 0x2ff},
		{0x370, 0x3ff},
		{0x1d2c, 0x1dbf},
		{0x2000, 0x33ff},
		{0xa69c, 0xa7f9},
		{0xf900, 0xfb06},
		{0xfe10, 0xffef},
		{0x1d400, 0x1d7ff},
		{0x1f100, 0x1f2ff},
		{0x1fbf0, 0x1fbf9},
		{0x2f800, 0x2fa1f},
	} {
		for r := block[0]; r <= block[1]; r++ {
			if r < 0x10000 && (c.act[r] == actSpace || c.act[r] == actDrop) {
				continue
			}
			to, ok := fold(r)
			if !ok {
				continue
			}
			c.folds[r] = to
			if r < 0x10000 && c.act[r] != actOpen {
				c.act[r] = actFold
			}
		}
	}
	return c, nil
}

// isSpace reports what becomes a plain space.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || r == 0x2800 // the blank braille pattern looks like one
}

// invisible reports characters a reader does not see or that only change how
// others are drawn. Broken bytes arrive as U+FFFD.
func invisible(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0xad, r == utf8.RuneError:
		return true
	case r < 0x300:
		return false
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r):
		return true
	case r <= 0x36f, r >= 0x1ab0 && r <= 0x1aff, r >= 0x1dc0 && r <= 0x1dff,
		r >= 0x20d0 && r <= 0x20ff, r >= 0xfe20 && r <= 0xfe2f:
		return true // combining marks, as in struck-through words and keycaps
	case r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0: // Hangul fillers
		return true
	case r >= 0xfff0 && r <= 0xffff, r >= 0xe0000 && r <= 0xe0fff:
		return true
	}
	return false
}

// canon is the form of single characters that NFKC leaves alone or treats in a
// way that does not serve matching.
var canon = map[rune]string{
	'!': "！", '?': "？", ';': "；", '(': "（", ')': "）",
	'，': "，", '！': "！", '？': "？", '；': "；", '：': "：", '（': "（", '）': "）",
	'．': ".", '｡': "。", '､': "、", '﹒': ".", '﹐': "，", '﹑': "、", '︐': "，", '︑': "、", '︒': "。", '︓': "：", '︔': "；", '︕': "！", '︖': "？",
	'﹔': "；", '﹕': "：", '﹖': "？", '﹗': "！", '﹙': "（", '﹚': "）", '︵': "（", '︶': "）",
	'‼': "！！", '⁇': "？？", '⁈': "？！", '⁉': "！？",
	'「': "“", '」': "”", '『': "‘", '』': "’", '｢': "“", '｣': "”", '﹁': "“", '﹂': "”", '﹃': "‘", '﹄': "’", '〝': "“", '〞': "”", '〟': "”", '„': "“", '‟': "“", '‚': "‘", '‛': "‘",
	'…': "…", '⋯': "…", '︙': "…", '‥': "…", '—': "—", '―': "—", '─': "—", '━': "—", '︱': "—", '﹘': "—", '⸺': "——",
	'‐': "-", '‑': "-", '‒': "-", '–': "-", '−': "-", '﹣': "-", '－': "-", '⁻': "-",
	'～': "~", '〜': "~", '∼': "~", '˜': "~", '￣': "￣", '¯': "¯",
	'￥': "¥", '•': "·", '・': "·", '‧': "·", '･': "·", '∙': "·", '⋅': "·",
	'⁄': "/", '∕': "/", '⁎': "*", '∗': "*", '＊': "*", '﹡': "*",
	'™': "TM", '№': "No", '℃': "℃", '℉': "℉", '㏄': "cc", '㎜': "mm", '㎝': "cm", '㎞': "km", '㎎': "mg", '㎏': "kg", '㎡': "m2",
	'´': "´", '¨': "¨", '¸': "¸", '˘': "˘", '˙': "˙", '˚': "˚", '˛': "˛", '˝': "˝", '΄': "΄", '΅': "΅", '‗': "‗",
}

// fold returns the canonical form of r when it is not r itself.
func fold(r rune) ([]rune, bool) {
	if to, ok := canon[r]; ok {
		out := []rune(to)
		return out, len(out) != 1 || out[0] != r
	}
	switch {
	case r >= '①' && r <= '⑳', r >= '⑴' && r <= '⒇', r >= '⓪' && r <= '⓾' && r != '⓪':
		return []rune(enclosed(r)), true
	case r == '⓪', r == '⓿':
		return []rune("0"), true
	case r >= '❶' && r <= '❿':
		return []rune(fmt.Sprint(r - '❶' + 1)), true
	case r >= '➀' && r <= '➉':
		return []rune(fmt.Sprint(r - '➀' + 1)), true
	case r >= '➊' && r <= '➓':
		return []rune(fmt.Sprint(r - '➊' + 1)), true
	}
	if norm.NFKC.QuickSpanString(string(r)) == utf8.RuneLen(r) {
		return nil, false
	}
	s := norm.NFKC.String(string(r))
	if r >= '㈠' && r <= '㉃' || r >= '⒈' && r <= '⒛' || r >= '⒜' && r <= '⒵' {
		s = strings.Trim(s, "().")
	}
	var out []rune
	for _, x := range s {
		if isSpace(x) || invisible(x) {
			return nil, false // a lone accent: leave it as it is
		}
		if to, ok := canon[x]; ok {
			out = append(out, []rune(to)...)
		} else {
			out = append(out, x)
		}
	}
	return out, len(out) != 1 || out[0] != r
}

// enclosed is the number in a circle or in parentheses.
func enclosed(r rune) string {
	switch {
	case r >= '⓵':
		return fmt.Sprint(r - '⓵' + 1)
	case r >= '⓫':
		return fmt.Sprint(r - '⓫' + 11)
	case r >= '⑴':
		return fmt.Sprint(r - '⑴' + 1)
	}
	return fmt.Sprint(r - '①' + 1)
}

// What the first pass saw, so that the later passes run only when needed.
const (
	sawScript = 1 << iota
	sawPunct
	sawOpen
	sawSpace
)

// Clean implements qingting.Cleaner. The three slices have equal length; for
// every i, clean[i] came from the code points from[i] up to to[i] of text, and
// neither from nor to ever decreases. Clean of a clean text is the same text.
func (c *Cleaner) Clean(text string) (clean []rune, from, to []int32) {
	if text == "" {
		return nil, nil, nil
	}
	n := utf8.RuneCountInString(text)
	buf := make([]rune, 2*n)
	b := buffer{clean: buf[:0:n], from: buf[n:n:len(buf)]}
	var saw uint8
	var at int32 = -1
	space := int32(-1) // where the pending white space began
	for _, r := range text {
		at++
		var act uint8
		if r < 0x10000 {
			act = c.act[r]
		} else {
			act = c.astral(r)
		}
		switch act {
		case actDrop:
			continue
		case actSpace:
			if space < 0 {
				space = at
			}
			continue
		}
		if space >= 0 {
			if len(b.clean) > 0 {
				b.add(' ', space)
				saw |= sawSpace
			}
			space = -1
		}
		switch act {
		case actKeep:
			b.add(r, at)
		case actScript:
			saw |= sawScript
			b.add(r, at)
		case actPunct:
			saw |= sawPunct
			b.add(r, at)
		case actOpen:
			saw |= sawOpen
			b.add('（', at)
		case actFold:
			for _, x := range c.folds[r] {
				switch c.act[x&0xffff] {
				case actScript:
					saw |= sawScript
				case actPunct:
					saw |= sawPunct
				case actOpen:
					saw |= sawOpen
				}
				b.add(x, at)
			}
		}
	}
	if saw&sawOpen != 0 {
		b.dropPinyin()
	}
	b.join(saw&sawSpace != 0)
	if saw&sawScript != 0 {
		c.script.convert(b.clean)
	}
	if saw&sawPunct != 0 {
		b.punctuate()
	}
	if len(b.clean) == 0 {
		return nil, nil, nil
	}
	to = make([]int32, len(b.from))
	for i, f := range b.from {
		to[i] = f + 1
	}
	return b.clean, b.from, to
}

// astral decides for characters beyond the basic plane, most of them emoji.
func (c *Cleaner) astral(r rune) uint8 {
	if r >= 0x1d400 && r <= 0x1d7ff || r >= 0x1f100 && r <= 0x1f2ff || r >= 0x1fbf0 && r <= 0x1fbf9 || r >= 0x2f800 && r <= 0x2fa1f {
		if _, ok := c.folds[r]; ok {
			return actFold
		}
	}
	if invisible(r) {
		return actDrop
	}
	return actKeep
}

// buffer is a clean text that grows, with the position each character came
// from. Every character comes from exactly one of the original.
type buffer struct {
	clean []rune
	from  []int32
}

func (b *buffer) add(r rune, at int32) {
	b.clean = append(b.clean, r)
	b.from = append(b.from, at)
}

// keep moves the character i to the place n.
func (b *buffer) keep(n, i int) {
	b.clean[n], b.from[n] = b.clean[i], b.from[i]
}

func (b *buffer) cut(n int) { b.clean, b.from = b.clean[:n], b.from[:n] }

// dropPinyin removes readings in parentheses that recognisers and textbooks
// put after a character, as in 務（wù）. Only letters with at least one tone
// mark count: （wu） may be meant.
func (b *buffer) dropPinyin() {
	n := 0
	for i := 0; i < len(b.clean); i++ {
		if b.clean[i] == '（' && n > 0 && isHan(b.clean[n-1]) {
			if end := pinyinEnd(b.clean, i+1); end > 0 {
				i = end
				continue
			}
		}
		b.keep(n, i)
		n++
	}
	b.cut(n)
}

// pinyinEnd returns the index of the parenthesis that closes a toned syllable
// starting at i, or 0.
func pinyinEnd(s []rune, i int) int {
	toned := false
	for j := i; j < len(s) && j <= i+6; j++ {
		switch r := s[j]; {
		case r == '）':
			if toned {
				return j
			}
			return 0
		case r >= 'a' && r <= 'z', r == 'ü':
		case strings.ContainsRune("āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜńňǹḿ", r):
			toned = true
		default:
			return 0
		}
	}
	return 0
}

// join undoes texts cut into single characters: at least four digits, each
// alone between spaces or dashes, or four Han characters between spaces.
func (b *buffer) join(spaces bool) {
	s := b.clean
	const least = 4
	n, i := 0, 0
	for i < len(s) {
		if i+2*least-2 < len(s) && (s[i+1] == '-' || spaces && s[i+1] == ' ') && (i == 0 || joinClass(s[i-1]) != joinClass(s[i])) {
			class, sep := joinClass(s[i]), s[i+1]
			if class == 1 || class == 2 && sep == ' ' {
				end := i // last single character of the chain
				for end+2 < len(s) && s[end+1] == sep && joinClass(s[end+2]) == class &&
					(end+3 >= len(s) || joinClass(s[end+3]) != class) {
					end += 2
				}
				if end-i >= 2*least-2 {
					for ; i < end; i += 2 {
						b.keep(n, i)
						n++
					}
				}
			}
		}
		b.keep(n, i)
		n++
		i++
	}
	b.cut(n)
}

// joinClass is 1 for digits, 2 for Han characters, else 0.
func joinClass(r rune) uint8 {
	switch {
	case r >= '0' && r <= '9':
		return 1
	case isHan(r):
		return 2
	}
	return 0
}

// punctuate gives , : . their Chinese form where they end a part of a
// sentence. A mark between two digits, before or inside a word of letters, or
// one that belongs to an address of the web keeps its own.
func (b *buffer) punctuate() {
	s := b.clean
	for i, r := range s {
		if r != ',' && r != ':' && r != '.' {
			continue
		}
		var prev, next rune
		if i > 0 {
			prev = s[i-1]
		}
		if i+1 < len(s) {
			next = s[i+1]
		}
		switch r {
		case ',':
			if !(isDigit(prev) && isDigit(next)) {
				s[i] = '，'
			}
		case ':':
			if !(isDigit(prev) && isDigit(next)) && !(isLetter(prev) && next == '/') {
				s[i] = '：'
			}
		case '.':
			if (isHan(prev) || isChinesePunct(prev)) && !isDigit(next) && !isLetter(next) {
				s[i] = '。'
			}
		}
	}
}

func isDigit(r rune) bool  { return r >= '0' && r <= '9' }
func isLetter(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }

// isHan reports unified ideographs and 〇; radicals and compatibility forms
// have been folded before.
func isHan(r rune) bool {
	return r >= 0x4e00 && r <= 0x9fff || r >= 0x3400 && r <= 0x4dbf || r == '〇' || r >= 0x20000 && r <= 0x3ffff
}

func isChinesePunct(r rune) bool {
	switch r {
	case '，', '。', '！', '？', '；', '：', '、', '…', '—', '”', '’', '）', '》', '】', '~':
		return true
	}
	return false
}
