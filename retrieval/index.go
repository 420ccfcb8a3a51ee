package retrieval

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/qingting-ai/qingting"
)

const (
	// bm25K1 and bm25B are Robertson's usual values as Lucene ships them.
	// Case texts are short and of like length, so both matter little: on the
	// tune half of starter/queries.jsonl every k1 in 0.6…2 with b in 0.4…0.9
	// gives an MRR within 0.01 of these.
	bm25K1 = 1.2
	bm25B  = 0.75
	// fusionK damps the first ranks of reciprocal rank fusion; 60 is the value
	// of Cormack, Clarke and Büttcher (SIGIR 2009).
	fusionK = 60
	// candidates is how many rows of the int8 scan are scored again exactly,
	// and how many rows of each search take part in the fusion.
	candidates = 40
	// maxQueryTerms caps the work of a long rant: only the terms with the
	// highest inverse document frequency are looked up.
	maxQueryTerms = 32
	// blockRows is how many vectors lie in one allocation. Blocks never move,
	// so that adding a case copies no other vector.
	blockRows = 256
)

// Entry is what the index keeps of a case.
type Entry struct {
	ID       string
	Type     qingting.Type
	Outcome  qingting.CaseOutcome
	Industry string
	Product  string
	ClosedAt time.Time
	Terms    []string // words of the case, with repetitions
	Vector   qingting.Vector
	// VectorFrom is the ID of the encoder that made Vector; the index refuses
	// a vector of another encoder than its own.
	VectorFrom string
}

// Query asks the index. Without Vector the search is lexical, without Terms
// it is dense, and with both the two rankings are fused.
type Query struct {
	Terms  []string
	Vector qingting.Vector // made by the encoder of the index
	Filter qingting.CaseFilter
	Limit  int // 0 means 10
}

// Candidate is an entry that was found. Both parts are exact whichever of
// the searches found it.
type Candidate struct {
	ID      string
	Dense   float64 // cosine, in [−1, 1]; 0 when query or entry has no vector
	Lexical float64 // BM25
	Words   float64 // Lexical in units of a word that one entry has once, which grows less with the library
	Self    float64 // BM25 of the query against itself
	Fused   float64 // reciprocal rank fusion, the order of the result
}

// Index is a flat vector index and an inverted word index over the same
// entries, in memory. Every filter is applied before scoring, so that a rare
// filter costs less, not recall. Putting and deleting cost as much as the
// entry is long, however many others there are. It may be used concurrently:
// searches do not block each other.
//
// A vector is kept as two planes of int8: v ≈ scale·(256·hi + lo). The scan
// reads only hi; the best candidates are scored again from both, which is
// exact to about 1e-6 at one kilobyte per 512 dimensions, against 2.5 for an
// int8 plane beside a float32 copy.
type Index struct {
	encoder string
	dim     int

	mu       sync.RWMutex
	slots    []slot // by slot number, as are facts, lengths and scales
	facts    []facts
	lengths  []float32
	scales   []float32
	byID     map[string]uint32
	free     []uint32
	live     bitmap
	dense    bitmap // slots that have a vector
	hi, lo   [][]int8
	names    names
	words    map[string]uint32 // word to its number in postings; never shrinks
	postings [][]posting
	total    float64 // sum of lengths

	scratch sync.Pool // *scratch
}

// slot holds what updates need; the numbers that filters and scoring read lie
// in arrays of their own.
type slot struct {
	id    string
	words []wordRef
}

// wordRef points from an entry to its posting, so that deletion needs no search.
type wordRef struct {
	word uint32
	at   uint32 // position in postings[word]
}

// posting points from a word to an entry and back.
type posting struct {
	slot  uint32
	ref   uint16 // position in slots[slot].words
	count uint16
}

// NewIndex makes an empty index for the vectors of one encoder. Dim 0 makes a
// lexical index that refuses every vector.
func NewIndex(encoderID string, dim int) (*Index, error) {
	if dim < 0 || dim > 0 && encoderID == "" {
		return nil, fmt.Errorf("index: dimension %d with encoder %q", dim, encoderID)
	}
	return &Index{encoder: encoderID, dim: dim, byID: map[string]uint32{}, words: map[string]uint32{}, names: names{number: map[string]uint32{}}}, nil
}

// EncoderID names the encoder whose vectors the index takes; "" for none.
func (x *Index) EncoderID() string { return x.encoder }

// Dim is the length of the vectors.
func (x *Index) Dim() int { return x.dim }

// Len is the number of entries.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.byID)
}

// Put adds an entry or replaces the one with its ID.
func (x *Index) Put(e Entry) error {
	if e.ID == "" {
		return errors.New("index: entry without an ID")
	}
	if e.Vector != nil && (x.dim == 0 || e.VectorFrom != x.encoder || len(e.Vector) != x.dim) {
		return fmt.Errorf("index of encoder %q with %d dimensions refuses the vector of %s: encoder %q, %d dimensions",
			x.encoder, x.dim, e.ID, e.VectorFrom, len(e.Vector))
	}
	counts := make(map[string]uint16, len(e.Terms))
	for _, t := range e.Terms {
		if counts[t] < math.MaxUint16 {
			counts[t]++
		}
	}
	if len(counts) > math.MaxUint16 {
		return fmt.Errorf("index: entry %s has %d different words, more than %d", e.ID, len(counts), math.MaxUint16)
	}
	words := slices.Sorted(maps.Keys(counts))

	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(e.ID)
	s := x.take()
	x.byID[e.ID] = s
	x.live.set(s)
	if e.Vector != nil {
		x.dense.set(s)
		x.scales[s] = split(e.Vector, x.row(x.hi, s), x.row(x.lo, s))
	}
	x.lengths[s] = float32(len(e.Terms))
	x.total += float64(len(e.Terms))
	x.facts[s] = x.names.facts(&e)
	x.slots[s] = slot{id: e.ID, words: make([]wordRef, 0, len(words))}
	for i, w := range words {
		n := x.word(w)
		x.slots[s].words = append(x.slots[s].words, wordRef{word: n, at: uint32(len(x.postings[n]))})
		x.postings[n] = append(x.postings[n], posting{slot: s, ref: uint16(i), count: counts[w]})
	}
	return nil
}

// Delete removes an entry and reports whether there was one.
func (x *Index) Delete(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.remove(id)
}

// Search returns the best entries by reciprocal rank fusion, best first, ties
// by ID. An empty result means that nothing passes the filter or shares a word.
func (x *Index) Search(ctx context.Context, q Query) ([]Candidate, error) {
	if q.Vector != nil && len(q.Vector) != x.dim {
		return nil, fmt.Errorf("index of %d dimensions refuses a query of %d", x.dim, len(q.Vector))
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 10
	}
	depth := max(candidates, limit)

	x.mu.RLock()
	defer x.mu.RUnlock()
	w, _ := x.scratch.Get().(*scratch)
	if w == nil {
		w = &scratch{}
	}
	defer x.scratch.Put(w)
	allowed := x.allow(q.Filter, w)

	self, err := x.scanWords(ctx, q.Terms, allowed, w)
	defer w.reset()
	if err != nil {
		return nil, err
	}
	lexical := newTop(x, depth)
	for _, s := range w.touched {
		lexical.add(s, w.scores[s])
	}
	var near top
	if q.Vector != nil {
		if near, err = x.scanVectors(ctx, q.Vector, allowed, depth, w); err != nil {
			return nil, err
		}
	}

	unit := x.idf(1)
	out := make([]Candidate, 0, 2*depth)
	found := make(map[uint32]int, 2*depth)
	add := func(s uint32, rank int) *Candidate {
		i, ok := found[s]
		if !ok {
			i = len(out)
			found[s] = i
			out = append(out, Candidate{ID: x.slots[s].id, Lexical: float64(w.scores[s]), Words: float64(w.scores[s]) / unit, Self: self})
		}
		out[i].Fused += 1 / float64(fusionK+rank+1)
		return &out[i]
	}
	for rank, r := range near.rows {
		add(r.slot, rank).Dense = float64(r.score)
	}
	for rank, r := range lexical.rows {
		_, scored := found[r.slot]
		c := add(r.slot, rank)
		if q.Vector != nil && !scored && x.dense.has(r.slot) {
			c.Dense = x.cosine(q.Vector, r.slot)
		}
	}
	slices.SortFunc(out, func(a, b Candidate) int {
		if a.Fused != b.Fused {
			if a.Fused > b.Fused {
				return -1
			}
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	return slices.Clip(out[:min(limit, len(out))]), nil
}

// Information is how much the index could tell by these words: the sum of the
// inverse document frequencies of those it knows, each word counted once.
func (x *Index) Information(terms []string) float64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	sum := 0.0
	for i, t := range terms {
		if n, ok := x.words[t]; ok && !slices.Contains(terms[:i], t) {
			sum += x.idf(len(x.postings[n]))
		}
	}
	return sum
}

// Shared returns the words that the query and an entry have in common, those
// that weigh most first. It is empty when the entry is gone.
func (x *Index) Shared(id string, terms []string) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s, ok := x.byID[id]
	if !ok {
		return nil
	}
	type weighed struct {
		word   string
		weight float64
	}
	var shared []weighed
	for _, q := range x.weigh(terms) {
		for _, ref := range x.slots[s].words {
			if q.known && ref.word == q.number {
				p := x.postings[ref.word][ref.at]
				shared = append(shared, weighed{q.word, q.idf * x.saturate(float64(p.count), float64(x.lengths[s]))})
			}
		}
	}
	slices.SortStableFunc(shared, func(a, b weighed) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return strings.Compare(a.word, b.word)
	})
	out := make([]string, len(shared))
	for i, w := range shared {
		out[i] = w.word
	}
	return out
}

// remove deletes an entry; the caller holds the lock.
func (x *Index) remove(id string) bool {
	s, ok := x.byID[id]
	if !ok {
		return false
	}
	for _, ref := range x.slots[s].words {
		list := x.postings[ref.word]
		last := list[len(list)-1]
		list[ref.at] = last
		x.slots[last.slot].words[last.ref].at = ref.at
		x.postings[ref.word] = list[:len(list)-1]
	}
	x.total -= float64(x.lengths[s])
	x.slots[s], x.lengths[s] = slot{}, 0
	x.live.clear(s)
	x.dense.clear(s)
	delete(x.byID, id)
	x.free = append(x.free, s)
	return true
}

// take returns an unused slot; the caller holds the lock.
func (x *Index) take() uint32 {
	if n := len(x.free); n > 0 {
		s := x.free[n-1]
		x.free = x.free[:n-1]
		return s
	}
	s := uint32(len(x.slots))
	x.slots = append(x.slots, slot{})
	x.facts = append(x.facts, facts{})
	x.lengths = append(x.lengths, 0)
	x.scales = append(x.scales, 0)
	x.live.grow(len(x.slots))
	x.dense.grow(len(x.slots))
	if x.dim > 0 && int(s)%blockRows == 0 {
		x.hi = append(x.hi, make([]int8, blockRows*x.dim))
		x.lo = append(x.lo, make([]int8, blockRows*x.dim))
	}
	return s
}

// word returns the number of a word, a new one when it is unknown; the caller
// holds the lock. The word is cloned because it may be a piece of a long text.
func (x *Index) word(w string) uint32 {
	if n, ok := x.words[w]; ok {
		return n
	}
	n := uint32(len(x.postings))
	x.postings = append(x.postings, nil)
	x.words[strings.Clone(w)] = n
	return n
}

// allow returns the slots that pass the filter.
func (x *Index) allow(f qingting.CaseFilter, w *scratch) bitmap {
	m := newMatcher(f)
	if m.all {
		return x.live
	}
	pass := x.names.pass(&m)
	w.allowed = append(w.allowed[:0], x.live...)
	for s := range w.allowed.each {
		if !pass.match(&x.facts[s]) {
			w.allowed.clear(s)
		}
	}
	return w.allowed
}

// scratch is the memory of one search, reused.
type scratch struct {
	allowed bitmap
	scores  []float32 // BM25 by slot
	touched []uint32  // slots with a score
	dots    []int32
	query   []int8
}

func (w *scratch) reset() {
	for _, s := range w.touched {
		w.scores[s] = 0
	}
	w.touched = w.touched[:0]
}

// queryWord is a word of a query with its weight.
type queryWord struct {
	word   string
	number uint32
	known  bool
	idf    float64
}

// weigh returns the different words of a query that are worth looking up.
func (x *Index) weigh(terms []string) []queryWord {
	out := make([]queryWord, 0, len(terms))
	seen := make(map[string]bool, len(terms))
	for _, t := range terms {
		if seen[t] {
			continue
		}
		seen[t] = true
		q := queryWord{word: t}
		if n, ok := x.words[t]; ok && len(x.postings[n]) > 0 {
			q.number, q.known, q.idf = n, true, x.idf(len(x.postings[n]))
		} else {
			q.idf = x.idf(1) // an unknown word says as much as one seen once
		}
		out = append(out, q)
	}
	if len(out) > maxQueryTerms {
		slices.SortStableFunc(out, func(a, b queryWord) int {
			switch {
			case a.known != b.known && a.known:
				return -1
			case a.known != b.known:
				return 1
			case a.idf > b.idf:
				return -1
			case a.idf < b.idf:
				return 1
			}
			return 0
		})
		out = out[:maxQueryTerms]
	}
	return out
}

// scanWords adds the BM25 of every allowed entry to w.scores and returns the
// score of the query against itself.
func (x *Index) scanWords(ctx context.Context, terms []string, allowed bitmap, w *scratch) (self float64, err error) {
	if n := len(x.slots); len(w.scores) < n {
		w.scores = make([]float32, n+n/4+64)
	}
	query := x.weigh(terms)
	average := x.averageLength()
	for _, q := range query {
		self += q.idf * x.saturate(1, float64(len(query)))
		if !q.known {
			continue
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		gain := float32(q.idf * (bm25K1 + 1))
		base, slope := float32(bm25K1*(1-bm25B)), float32(bm25K1*bm25B/average)
		for _, p := range x.postings[q.number] {
			if !allowed.has(p.slot) {
				continue
			}
			if w.scores[p.slot] == 0 {
				w.touched = append(w.touched, p.slot)
			}
			count := float32(p.count)
			w.scores[p.slot] += gain * count / (count + base + slope*x.lengths[p.slot])
		}
	}
	return self, nil
}

// idf is the inverse document frequency as Lucene smooths it, never negative.
func (x *Index) idf(n int) float64 {
	return math.Log1p((float64(len(x.byID)-n) + 0.5) / (float64(n) + 0.5))
}

func (x *Index) averageLength() float64 {
	return max(1, x.total/float64(max(1, len(x.byID))))
}

// saturate is BM25's share of one word that occurs count times in a text of
// the given length.
func (x *Index) saturate(count, length float64) float64 {
	return count * (bm25K1 + 1) / (count + bm25K1*(1-bm25B+bm25B*length/x.averageLength()))
}

// scanVectors returns the allowed entries nearest to the query, best first:
// chosen by the int8 scan, then ordered by the exact cosine.
func (x *Index) scanVectors(ctx context.Context, v qingting.Vector, allowed bitmap, depth int, w *scratch) (top, error) {
	if len(w.query) != x.dim {
		w.query, w.dots = make([]int8, x.dim), make([]int32, blockRows)
	}
	quantise(v, w.query)
	rough := newTop(x, depth)
	for b, rows := range x.hi {
		if err := ctx.Err(); err != nil {
			return top{}, err
		}
		first := b * blockRows
		n := min(blockRows, len(x.slots)-first)
		for word := first / 64; word*64 < first+n; word++ {
			set := allowed[word] & x.dense[word]
			if set == 0 {
				continue
			}
			start := word * 64
			count := min(64, first+n-start)
			x.scanRows(w.query, rows[(start-first)*x.dim:], set, count, w.dots)
			for s := range set.each {
				slot := uint32(start) + s
				rough.add(slot, float32(w.dots[s])*x.scales[slot])
			}
		}
	}
	exact := newTop(x, depth)
	for _, r := range rough.rows {
		exact.add(r.slot, float32(x.cosine(v, r.slot)))
	}
	return exact, nil
}

// scanRows fills dots for the rows whose bit is set. When most are set one
// call of the kernel for all is cheaper than one each.
func (x *Index) scanRows(query, rows []int8, set word64, count int, dots []int32) {
	if set.count() >= count/4 {
		dotI8(query, rows[:count*x.dim], x.dim, dots[:count])
		return
	}
	for s := range set.each {
		dotI8(query, rows[int(s)*x.dim:int(s+1)*x.dim], x.dim, dots[s:s+1])
	}
}

// cosine is the exact similarity of a unit vector and an entry that has one.
func (x *Index) cosine(v qingting.Vector, s uint32) float64 {
	hi, lo := x.row(x.hi, s), x.row(x.lo, s)
	var sum [4]float32 // four sums at a time keep the processor busy
	for len(v) >= 4 && len(hi) >= 4 && len(lo) >= 4 {
		sum[0] += v[0] * float32(int32(hi[0])<<8+int32(lo[0]))
		sum[1] += v[1] * float32(int32(hi[1])<<8+int32(lo[1]))
		sum[2] += v[2] * float32(int32(hi[2])<<8+int32(lo[2]))
		sum[3] += v[3] * float32(int32(hi[3])<<8+int32(lo[3]))
		v, hi, lo = v[4:], hi[4:], lo[4:]
	}
	for i, f := range v {
		sum[0] += f * float32(int32(hi[i])<<8+int32(lo[i]))
	}
	total := float64(sum[0]) + float64(sum[1]) + float64(sum[2]) + float64(sum[3])
	return min(1, max(-1, total*float64(x.scales[s])))
}

func (x *Index) row(plane [][]int8, s uint32) []int8 {
	b, r := int(s)/blockRows, int(s)%blockRows
	return plane[b][r*x.dim : (r+1)*x.dim]
}

// split writes a vector into two planes, v ≈ scale·(256·hi + lo), and returns
// the scale. 127·256 is the largest value whose high part still fits.
func split(v qingting.Vector, hi, lo []int8) (scale float32) {
	most := float32(0)
	for _, f := range v {
		most = max(most, float32(math.Abs(float64(f))))
	}
	if most == 0 {
		clear(hi)
		clear(lo)
		return 0
	}
	scale = most / (127 * 256)
	for i, f := range v {
		n := int(math.Round(float64(f / scale)))
		h := (n + 128) >> 8 // rounds to the nearest, so that lo fits in −128…127
		hi[i], lo[i] = int8(h), int8(n-h<<8)
	}
	return scale
}

// quantise writes the direction of a vector in int8. The scan compares rows
// under one query, so that the query's own scale does not matter.
func quantise(v qingting.Vector, out []int8) (scale float32) {
	most := float32(0)
	for _, f := range v {
		most = max(most, float32(math.Abs(float64(f))))
	}
	if most == 0 {
		clear(out)
		return 0
	}
	scale = most / 127
	for i, f := range v {
		out[i] = int8(math.Round(float64(f / scale)))
	}
	return scale
}

// top keeps the best rows in order, ties by the ID of the entry.
type top struct {
	index *Index
	depth int
	rows  []row
}

type row struct {
	slot  uint32
	score float32
}

func newTop(x *Index, depth int) top {
	return top{index: x, depth: depth, rows: make([]row, 0, depth)}
}

func (t *top) add(s uint32, score float32) {
	r := row{s, score}
	if n := len(t.rows); n == t.depth {
		if score < t.rows[n-1].score || !t.before(r, t.rows[n-1]) {
			return
		}
		t.rows = t.rows[:n-1]
	}
	i := len(t.rows)
	t.rows = append(t.rows, r)
	for ; i > 0 && t.before(r, t.rows[i-1]); i-- {
		t.rows[i] = t.rows[i-1]
	}
	t.rows[i] = r
}

func (t *top) before(a, b row) bool {
	if a.score != b.score {
		return a.score > b.score
	}
	return t.index.slots[a.slot].id < t.index.slots[b.slot].id
}
