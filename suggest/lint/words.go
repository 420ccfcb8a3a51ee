package lint

// words finds many words in one pass over a text. Rules look for their
// anchors in its answer before any pattern runs; most sentences have none.
type words struct {
	root map[rune]*node
	n    int
}

type node struct {
	next []edge
	id   int // of the word that ends here; 0 is none
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

// maxWords bounds the anchor words of one Linter; New refuses more.
const maxWords = 64 * len(wordSet{})

// wordSet is a set of word ids.
type wordSet [12]uint64

func (s *wordSet) add(id int) { s[id/64] |= 1 << (id % 64) }
func (s *wordSet) meets(t *wordSet) bool {
	for i := range s {
		if s[i]&t[i] != 0 {
			return true
		}
	}
	return false
}

// add puts a word in and returns its id; the same word keeps its id.
func (w *words) add(word string) int {
	if w.root == nil {
		w.root = map[rune]*node{}
	}
	var at *node
	for i, r := range word {
		var to *node
		if i == 0 {
			if to = w.root[r]; to == nil {
				to = &node{}
				w.root[r] = to
			}
		} else if to = at.child(r); to == nil {
			to = &node{}
			at.next = append(at.next, edge{r, to})
		}
		at = to
	}
	if at.id == 0 {
		w.n++
		at.id = w.n
	}
	return at.id
}

func (w *words) set(list ...string) wordSet {
	var s wordSet
	for _, word := range list {
		if id := w.add(word); id < maxWords {
			s.add(id)
		}
	}
	return s
}

// in adds every word of the text to the set, words inside words included.
func (w *words) in(text []rune, found *wordSet) {
	for i, r := range text {
		for at, j := w.root[r], i+1; at != nil; j++ {
			if at.id != 0 {
				found.add(at.id)
			}
			if j >= len(text) {
				break
			}
			at = at.child(text[j])
		}
	}
}
