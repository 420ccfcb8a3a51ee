package suggest

// trie finds words of a fixed list in a text, the longest at each place.
type trie struct {
	root map[rune]*node
}

type node struct {
	next []edge
	id   int // 1 + index of the word's entry; 0 is none
}

type edge struct {
	r  rune
	to *node
}

func (n *node) child(r rune) *node {
	for i := range n.next {
		if n.next[i].r == r {
			return n.next[i].to
		}
	}
	return nil
}

// add maps a word to an entry; the first entry of a word stays.
func (t *trie) add(word string, entry int) {
	if t.root == nil {
		t.root = map[rune]*node{}
	}
	var at *node
	for _, r := range word {
		var to *node
		if at == nil {
			if to = t.root[r]; to == nil {
				to = &node{}
				t.root[r] = to
			}
		} else if to = at.child(r); to == nil {
			to = &node{}
			at.next = append(at.next, edge{r, to})
		}
		at = to
	}
	if at != nil && at.id == 0 {
		at.id = entry + 1
	}
}

// longest returns the entry of the longest word that starts at i and its
// end, or −1.
func (t *trie) longest(text []rune, i int) (entry, end int) {
	entry = -1
	for at, j := t.root[text[i]], i+1; at != nil; j++ {
		if at.id != 0 {
			entry, end = at.id-1, j
		}
		if j >= len(text) {
			break
		}
		at = at.child(text[j])
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
