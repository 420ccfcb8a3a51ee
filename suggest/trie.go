package suggest

import "github.com/qingting-ai/qingting/internal/pattern"

// trie finds words of a fixed list in a text, the longest at each place. The
// zero value is empty.
type trie struct {
	words   *pattern.Words
	entries []int // by number of the word
}

// add maps a word to an entry; the first entry of a word stays.
func (t *trie) add(word string, entry int) {
	if t.words == nil {
		t.words = pattern.NewWords()
	}
	if n := t.words.Add([]rune(word)); n == len(t.entries) {
		t.entries = append(t.entries, entry)
	}
}

// longest returns the entry of the longest word that starts at i and its
// end, or −1.
func (t *trie) longest(text []rune, i int) (entry, end int) {
	entry = -1
	if t.words == nil {
		return entry, end
	}
	for at := pattern.Root; i < len(text); i++ {
		if at = t.words.Step(at, text[i]); at < 0 {
			break
		}
		if n := t.words.At(at); n >= 0 {
			entry, end = t.entries[n], i+1
		}
	}
	return entry, end
}

// has reports whether any word occurs in the text.
func (t *trie) has(text []rune) bool {
	for i := range text {
		if e, _ := t.longest(text, i); e >= 0 {
			return true
		}
	}
	return false
}

func newTrie(words ...string) *trie {
	t := &trie{}
	for i, w := range words {
		t.add(w, i)
	}
	return t
}
