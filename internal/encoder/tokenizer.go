package encoder

import (
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// tokenizer is BERT's: clean, put spaces around Han characters, strip accents,
// lower case, cut at white space and punctuation, then the longest word pieces
// from the left. It is immutable and safe for concurrent use.
//
// Its ids equal those of Hugging Face tokenizers 0.23.3. Over all of Unicode,
// words differ for 624 code points that Unicode added or moved after the
// tables of that library were made, none of them Chinese, emoji or in the
// vocabulary.
type tokenizer struct {
	start, inner  map[string]int32 // pieces that begin a word; pieces after "##", without it
	unk, cls, sep int32
	longest       int // bytes of the longest piece
}

// longestWord is the number of characters beyond which a word is unknown.
const longestWord = 100

func newTokenizer(vocab string, size int) (*tokenizer, error) {
	t := &tokenizer{start: make(map[string]int32, size), inner: make(map[string]int32, size/2)}
	n := int32(0)
	for word := range strings.Lines(vocab) {
		word = strings.TrimSuffix(word, "\n")
		if rest, ok := strings.CutPrefix(word, "##"); ok && rest != "" {
			t.inner[rest] = n
		} else {
			t.start[word] = n
		}
		t.longest = max(t.longest, len(word))
		n++
	}
	if int(n) != size {
		return nil, fmt.Errorf("vocabulary has %d entries, weights have %d", n, size)
	}
	for name, id := range map[string]*int32{"[UNK]": &t.unk, "[CLS]": &t.cls, "[SEP]": &t.sep} {
		v, ok := t.start[name]
		if !ok {
			return nil, fmt.Errorf("vocabulary lacks %s", name)
		}
		*id = v
	}
	return t, nil
}

// tokenize returns the ids of text, without [CLS] and [SEP]. Names of special
// tokens in the text are ordinary characters. Invalid UTF-8 is dropped.
func (t *tokenizer) tokenize(text string) []int32 {
	ids := make([]int32, 0, len(text)/3+2)
	for word := range words(text) {
		ids = t.pieces(ids, word)
	}
	return ids
}

// words yields the normalised words and punctuation marks of text.
func words(text string) iter.Seq[string] {
	text = lower(norm.NFD.String(clean(text)))
	return func(yield func(string) bool) {
		from := -1 // start of the current word
		for i, r := range text {
			mark := isPunct(r)
			if r != ' ' && !mark {
				if from < 0 {
					from = i
				}
				continue
			}
			if from >= 0 && !yield(text[from:i]) || mark && !yield(text[i:i+utf8.RuneLen(r)]) {
				return
			}
			from = -1
		}
		if from >= 0 {
			yield(text[from:])
		}
	}
}

// clean drops what carries no meaning, turns every white space into a space
// and puts spaces around Han characters.
func clean(text string) string {
	var b strings.Builder
	b.Grow(len(text) * 2)
	for _, r := range text {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			b.WriteByte(' ')
		case r == unicode.ReplacementChar || isControl(r):
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case isHan(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// lower removes the accents that NFD has split off and lowers the rest.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, text)
}

// pieces appends the ids of one word: the longest known piece from the left,
// again and again; a word with an unknown rest is unknown as a whole.
func (t *tokenizer) pieces(ids []int32, word string) []int32 {
	if len(word) > longestWord && len([]rune(word)) > longestWord {
		return append(ids, t.unk)
	}
	begin, known := len(ids), t.start
	for rest := word; rest != ""; known = t.inner {
		end := min(len(rest), t.longest)
		for end > 0 {
			if id, ok := known[rest[:end]]; ok {
				ids = append(ids, id)
				break
			}
			end--
		}
		if end == 0 {
			return append(ids[:begin], t.unk)
		}
		rest = rest[end:]
	}
	return ids
}

func isControl(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co)
}

func isPunct(r rune) bool {
	if r < unicode.MaxASCII {
		return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~'
	}
	return unicode.IsPunct(r)
}

// isHan reports the blocks that the reference calls Chinese characters.
func isHan(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF || r >= 0x20000 && r <= 0x2A6DF ||
		r >= 0x2A700 && r <= 0x2B73F || r >= 0x2B740 && r <= 0x2B81F || r >= 0x2B920 && r <= 0x2CEAF ||
		r >= 0xF900 && r <= 0xFAFF || r >= 0x2F800 && r <= 0x2FA1F
}
