package pattern

// Words finds many words in a text: a trie whose edges lie in one hash table,
// so that a step costs one look whatever the alphabet. Once filled it may be
// used concurrently.
type Words struct {
	// An edge is found by its node and character; zero keys are free. The
	// length is a power of two, more than half of it free.
	edges []edge
	shift uint
	used  int
	// words holds, for every node, the number of the word that ends there, or −1.
	words []int32
	count int
}

type edge struct {
	key uint64 // node and character, the character plus one
	to  int32
}

// Root is the node where every word begins.
const Root int32 = 0

// NewWords returns words numbered from 0 in the order given; a word given
// twice has one number.
func NewWords(words ...string) *Words {
	w := &Words{edges: make([]edge, 16), shift: 64 - 4, words: []int32{-1}}
	for _, word := range words {
		w.Add([]rune(word))
	}
	return w
}

// Add puts a word in and returns its number.
func (w *Words) Add(word []rune) int {
	at := Root
	for _, r := range word {
		slot := w.slot(key(at, r))
		if w.edges[slot].key == 0 {
			w.edges[slot] = edge{key(at, r), int32(len(w.words))}
			w.words = append(w.words, -1)
			w.used++
		}
		at = w.edges[slot].to
		if 2*w.used >= len(w.edges) {
			w.grow()
		}
	}
	if w.words[at] < 0 {
		w.words[at] = int32(w.count)
		w.count++
	}
	return int(w.words[at])
}

// Len returns how many words there are.
func (w *Words) Len() int { return w.count }

// Step returns the node a character leads to, or −1.
func (w *Words) Step(node int32, r rune) int32 {
	e := &w.edges[w.slot(key(node, r))]
	if e.key == 0 {
		return -1
	}
	return e.to
}

// At returns the number of the word that ends at a node, or −1.
func (w *Words) At(node int32) int { return int(w.words[node]) }

// Suffix returns the length in characters of the longest word, written
// backwards in w, that ends the text; 0 when none does.
func (w *Words) Suffix(text []rune) int {
	long := 0
	for n, at := 1, Root; n <= len(text); n++ {
		if at = w.Step(at, text[len(text)-n]); at < 0 {
			break
		}
		if w.words[at] >= 0 {
			long = n
		}
	}
	return long
}

func key(node int32, r rune) uint64 { return uint64(node)<<32 | uint64(uint32(r)+1) }

// slot returns where an edge lies or would lie. The multiplier is 2⁶⁴ divided
// by the golden ratio (Knuth, The Art of Computer Programming, 6.4).
func (w *Words) slot(key uint64) int {
	i := int(key * 0x9E3779B97F4A7C15 >> w.shift)
	for w.edges[i].key != key && w.edges[i].key != 0 {
		i = (i + 1) & (len(w.edges) - 1)
	}
	return i
}

func (w *Words) grow() {
	old := w.edges
	w.edges, w.shift = make([]edge, 2*len(old)), w.shift-1
	for _, e := range old {
		if e.key != 0 {
			w.edges[w.slot(e.key)] = e
		}
	}
}
