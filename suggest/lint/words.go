package lint

import "github.com/qingting-ai/qingting/internal/pattern"

// words finds many words in one pass over a text. Rules look for their
// anchors in its answer before any pattern runs; most sentences have none.
type words struct{ *pattern.Words }

// maxWords bounds the anchor words of one Linter; New refuses more.
const maxWords = 64 * len(wordSet{})

// wordSet is a set of words by their numbers.
type wordSet [12]uint64

func (s *wordSet) add(n int) { s[n/64] |= 1 << (n % 64) }

func (s *wordSet) meets(t *wordSet) bool {
	for i := range s {
		if s[i]&t[i] != 0 {
			return true
		}
	}
	return false
}

func (w words) set(list ...string) wordSet {
	var s wordSet
	for _, word := range list {
		if n := w.Add([]rune(word)); n < maxWords {
			s.add(n)
		}
	}
	return s
}

// in adds every word of the text to the set, words inside words included.
func (w words) in(text []rune, found *wordSet) {
	for i := range text {
		for at, j := pattern.Root, i; j < len(text); j++ {
			if at = w.Step(at, text[j]); at < 0 {
				break
			}
			if n := w.At(at); n >= 0 {
				found.add(n)
			}
		}
	}
}
