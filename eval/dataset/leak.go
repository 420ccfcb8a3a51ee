package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/qingting-ai/qingting"
)

// Doc is a text whose presence in two parts would be a leak.
type Doc struct {
	Place
	ID    string
	Group string // conversation; empty: none is known
	// Customer is compared too; empty where customers may be in both parts.
	Customer string
	Time     time.Time
	Text     string
}

// LeakOptions adjust Leak; zero fields mean the defaults.
type LeakOptions struct {
	// Threshold is the Jaccard similarity of the sets of character 5-grams
	// from which two texts count as the same, in (0, 1]; 0 means 0.8.
	Threshold float64
	Cleaner   qingting.Cleaner // required
}

// The kinds of leak.
const (
	LeakExact = "exact" // the same text but for punctuation, case, script and width
	LeakNear  = "near"  // Jaccard similarity at or above the threshold
	LeakGroup = "group" // the same conversation, or customer where files are grouped by customer
	LeakLater = "later" // a case that was closed after its query was asked
)

// LeakPair is one row of the second part and what the first part knows of it.
type LeakPair struct {
	Kind       string  `json:"kind"`
	Train      string  `json:"train"` // where: file and line
	Test       string  `json:"test"`
	TrainID    string  `json:"train_id"`
	TestID     string  `json:"test_id"`
	Similarity float64 `json:"similarity"` // Jaccard, in [0, 1]; 0 where texts were not compared
}

// LeakCheck is one check: how many rows were looked at, or why none was.
type LeakCheck struct {
	Kind    string `json:"kind"`
	Rows    int    `json:"rows"`
	Found   int    `json:"found"` // test rows concerned
	Skipped string `json:"skipped,omitempty"`
}

// LeakReport is the result, in the order of the test rows. For each of them a
// kind is named once, with the most similar training row.
type LeakReport struct {
	Train  int         `json:"train"` // rows
	Test   int         `json:"test"`
	Pairs  []LeakPair  `json:"pairs"`
	Checks []LeakCheck `json:"checks"`
}

// Found reports whether there is any leak.
func (r *LeakReport) Found() bool { return len(r.Pairs) > 0 }

// Parameters of the near-duplicate search: MinHash (Broder 1997) with 128
// permutations, cut into bands (locality-sensitive hashing, Indyk and Motwani
// 1998). shingle is the length of the character n-grams.
const (
	permutations = 128
	shingle      = 5
	// leastRecall is the probability to find a pair right at the threshold;
	// it decides how many values make a band.
	leastRecall = 0.99
	// slack is how far below the threshold the estimate from the signatures
	// may lie before a candidate is dropped unverified: more than four
	// standard deviations, sqrt(0.8·0.2/128) = 0.035.
	slack = 0.15
	// mostCandidates and mostVerified bound the work on one row where a
	// template makes thousands of texts alike.
	mostCandidates = 1024
	mostVerified   = 32
)

// Leak compares the texts and conversations of two parts. It holds the
// normalised training texts and some 500 bytes for each, and looks at the test
// texts one by one. The error is the first of either sequence.
//
// Texts of fewer than five characters are compared whole. The similarity of a
// reported pair is exact, not estimated.
func Leak(train, test iter.Seq2[Doc, error], o LeakOptions) (*LeakReport, error) {
	if o.Threshold == 0 {
		o.Threshold = 0.8
	}
	if !(o.Threshold > 0 && o.Threshold <= 1) {
		return nil, errors.New("相似度的门槛要大于 0、不超过 1")
	}
	if o.Cleaner == nil {
		return nil, errors.New("缺少文本清洗器")
	}
	x := newIndex(o.Threshold)
	r := &LeakReport{Pairs: []LeakPair{}}
	type origin struct{ where, id string }
	var docs []origin // of the unique texts, the first row
	exact := make(map[string]int32)
	groups := make(map[string]origin)
	for d, err := range train {
		if err != nil {
			return nil, err
		}
		r.Train++
		at := origin{d.Where(), d.ID}
		for _, g := range groupKeys(&d) {
			if _, ok := groups[g]; !ok {
				groups[g] = at
			}
		}
		text := Normal(o.Cleaner, d.Text)
		if text == "" {
			continue
		}
		if _, ok := exact[text]; ok {
			continue
		}
		exact[text] = int32(len(docs))
		docs = append(docs, at)
		x.add(text)
	}
	x.build()
	checks := map[string]*LeakCheck{}
	for _, kind := range []string{LeakGroup, LeakExact, LeakNear} {
		checks[kind] = &LeakCheck{Kind: kind}
	}
	for d, err := range test {
		if err != nil {
			return nil, err
		}
		r.Test++
		report := func(kind string, with origin, similarity float64) {
			checks[kind].Found++
			r.Pairs = append(r.Pairs, LeakPair{Kind: kind, Train: with.where, TrainID: with.id, Test: d.Where(), TestID: d.ID, Similarity: similarity})
		}
		if keys := groupKeys(&d); len(keys) > 0 {
			checks[LeakGroup].Rows++
			for _, g := range keys {
				if with, ok := groups[g]; ok {
					report(LeakGroup, with, 0)
					break
				}
			}
		}
		text := Normal(o.Cleaner, d.Text)
		if text == "" {
			continue
		}
		checks[LeakExact].Rows++
		checks[LeakNear].Rows++
		if i, ok := exact[text]; ok {
			report(LeakExact, docs[i], 1)
		} else if i, similarity := x.nearest(text); i >= 0 {
			report(LeakNear, docs[i], similarity)
		}
	}
	for _, kind := range []string{LeakGroup, LeakExact, LeakNear} {
		c := *checks[kind]
		if c.Rows == 0 {
			c.Skipped = "没有可比的样本"
			if kind == LeakGroup {
				c.Skipped = "样本没有 id，也没有 group"
			}
		}
		r.Checks = append(r.Checks, c)
	}
	return r, nil
}

// groupKeys are the names under which a row's group is known: its id, the
// conversation it was cut from, and the customer.
func groupKeys(d *Doc) []string {
	var keys []string
	for _, k := range []string{d.ID, d.Group} {
		if k != "" && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	if d.Customer != "" {
		keys = append(keys, "\x00"+d.Customer) // no id has a NUL
	}
	return keys
}

// Later finds judged cases (grade ≥ 1) that were closed after their query was
// asked: at that time they could not have helped. Where no query or no case
// has a time the check is skipped and says so.
func Later(queries []Doc, closed map[string]time.Time, qrels Qrels) *LeakReport {
	r := &LeakReport{Train: len(closed), Test: len(queries), Pairs: []LeakPair{}}
	check := LeakCheck{Kind: LeakLater}
	timed := 0
	for _, t := range closed {
		if !t.IsZero() {
			timed++
		}
	}
	for i := range queries {
		q := &queries[i]
		if q.Time.IsZero() {
			continue
		}
		compared, found := false, false
		ids := make([]string, 0, len(qrels[q.ID]))
		for id, grade := range qrels[q.ID] {
			if grade > 0 {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		for _, id := range ids {
			t := closed[id]
			if t.IsZero() {
				continue
			}
			compared = true
			if t.After(q.Time) {
				found = true
				r.Pairs = append(r.Pairs, LeakPair{Kind: LeakLater, Train: "案例 " + id, TrainID: id, Test: q.Where(), TestID: q.ID})
			}
		}
		if compared {
			check.Rows++
		}
		if found {
			check.Found++
		}
	}
	switch {
	case timed == 0:
		check.Skipped = "案例没有结案时间"
	case check.Rows == 0:
		check.Skipped = "查询没有时间，或没有判过带时间的案例"
	}
	r.Checks = []LeakCheck{check}
	return r
}

// Normal is a text for comparison: clean (simplified, half width), lower
// case, without punctuation, white space and mathematical signs such as ~.
func Normal(c qingting.Cleaner, text string) string {
	clean, _, _ := c.Clean(text)
	var b strings.Builder
	b.Grow(3 * len(clean))
	for _, r := range clean {
		switch {
		case r >= 0x4e00 && r <= 0x9fff:
			b.WriteRune(r)
		case unicode.IsPunct(r), unicode.IsSpace(r), unicode.In(r, unicode.Sm, unicode.Sk):
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// shingles returns the hashes of the character 5-grams of a text, sorted,
// each once. A shorter text is one shingle.
func shingles(text string, buf []uint64) []uint64 {
	var at [shingle + 1]int // where the last characters begin
	buf = buf[:0]
	n := 0
	for i := range text {
		if n >= shingle {
			buf = append(buf, hash64(text[at[n%shingle]:i]))
		}
		at[n%shingle] = i
		n++
	}
	if n >= shingle {
		buf = append(buf, hash64(text[at[n%shingle]:]))
	} else {
		buf = append(buf, hash64(text))
	}
	slices.Sort(buf)
	return slices.Compact(buf)
}

// hash64 is FNV-1a with the finalizer of splitmix64.
func hash64(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h ^= uint64(s[i])
		h *= 1099511628211
	}
	return finish(h)
}

// jaccard is |a∩b| / |a∪b| of two sorted sets that are not empty.
func jaccard(a, b []uint64) float64 {
	both, i, j := 0, 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			both++
			i++
			j++
		}
	}
	return float64(both) / float64(len(a)+len(b)-both)
}

type signature [permutations]uint32

// index finds the training text most like another one.
type index struct {
	threshold float64
	values    int // of a signature in one band
	factors   [permutations]uint64
	offsets   [permutations]uint64
	texts     []string
	signs     []sketch
	bands     [][]entry // sorted by key, then text, once build was called
	a, b      []uint64  // room for shingles
	seen      []uint32  // the query that last met the text
	query     uint32
}

type entry struct{ key, text uint32 }

// sketch keeps one byte of every value of a signature, a quarter of the room
// (b-bit minwise hashing, Li and König 2010): two bytes that differ by right
// are equal once in 256 times, which can only let a candidate pass.
type sketch [permutations]uint8

func (s *signature) sketch() (out sketch) {
	for i, v := range s {
		out[i] = uint8(v)
	}
	return out
}

func newIndex(threshold float64) *index {
	x := &index{threshold: threshold, values: bandValues(threshold)}
	x.bands = make([][]entry, permutations/x.values)
	state := uint64(1) // fixed: the same data give the same report
	for i := range permutations {
		state += 0x9e3779b97f4a7c15
		x.factors[i] = finish(state) | 1
		state += 0x9e3779b97f4a7c15
		x.offsets[i] = finish(state)
	}
	return x
}

// bandValues is the largest number of values to a band that still finds a
// pair at the threshold with the probability leastRecall:
// 1 − (1 − tʳ)^⌊128/r⌋.
func bandValues(threshold float64) int {
	r := 1
	for next := 2; next <= 16; next++ {
		if 1-math.Pow(1-math.Pow(threshold, float64(next)), float64(permutations/next)) < leastRecall {
			break
		}
		r = next
	}
	return r
}

// sign computes the signature of a set: the least value of each of 128
// multiply-shift hashes (Dietzfelbinger et al. 1997).
func (x *index) sign(set []uint64, s *signature) {
	for i := range s {
		s[i] = math.MaxUint32
	}
	for _, v := range set {
		for i := range s {
			if h := uint32((v*x.factors[i] + x.offsets[i]) >> 32); h < s[i] {
				s[i] = h
			}
		}
	}
}

func (x *index) key(s *signature, band int) uint32 {
	h := uint64(band)
	for _, v := range s[band*x.values : (band+1)*x.values] {
		h = finish(h ^ uint64(v))
	}
	return uint32(h)
}

func (x *index) add(text string) {
	x.a = shingles(text, x.a)
	var s signature
	x.sign(x.a, &s)
	for band := range x.bands {
		x.bands[band] = append(x.bands[band], entry{x.key(&s, band), uint32(len(x.texts))})
	}
	x.texts = append(x.texts, text)
	x.signs = append(x.signs, s.sketch())
}

func (x *index) build() {
	for _, list := range x.bands {
		slices.SortFunc(list, func(a, b entry) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.text, b.text)) })
	}
	x.seen = make([]uint32, len(x.texts))
}

// nearest returns the training text most like the given one and their Jaccard
// similarity, the earliest of equals, or −1 when none reaches the threshold.
func (x *index) nearest(text string) (best int, similarity float64) {
	x.a = shingles(text, x.a)
	var s signature
	x.sign(x.a, &s)
	mine := s.sketch()
	x.query++
	type candidate struct {
		text  uint32
		equal int // of the 128 values
	}
	var list []candidate
	met := 0
	least := int((x.threshold - slack) * permutations)
search:
	for band, entries := range x.bands {
		key := x.key(&s, band)
		i, _ := slices.BinarySearchFunc(entries, key, func(e entry, k uint32) int { return cmp.Compare(e.key, k) })
		for ; i < len(entries) && entries[i].key == key; i++ {
			t := entries[i].text
			if x.seen[t] == x.query {
				continue
			}
			x.seen[t] = x.query
			if met++; met > mostCandidates {
				break search
			}
			equal := 0
			for k, v := range &x.signs[t] {
				if v == mine[k] {
					equal++
				}
			}
			if equal >= least {
				list = append(list, candidate{t, equal})
			}
		}
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.equal, a.equal), cmp.Compare(a.text, b.text))
	})
	best = -1
	for _, c := range list[:min(len(list), mostVerified)] {
		x.b = shingles(x.texts[c.text], x.b)
		j := jaccard(x.a, x.b)
		if j >= x.threshold && (best < 0 || j > similarity || j == similarity && int(c.text) < best) {
			best, similarity = int(c.text), j
		}
	}
	return best, similarity
}

// Docs yields the texts of a file for Leak. Of a conversation only what the
// customer wrote counts: the phrases of agents repeat and leak no label.
func (d *Dataset) Docs(f *File) iter.Seq2[Doc, error] {
	return func(yield func(Doc, error) bool) {
		for row, err := range d.Rows(f) {
			if err != nil {
				yield(Doc{}, err)
				return
			}
			var v struct {
				Key
				Text     string             `json:"text"`
				A        string             `json:"a"`
				B        string             `json:"b"`
				Context  []string           `json:"context"`
				Turns    []Turn             `json:"turns"`
				Messages []qingting.Message `json:"messages"`
			}
			if err := decode(row.JSON, &v); err != nil {
				yield(Doc{}, fmt.Errorf("%s%w", row.Where(), err))
				return
			}
			text := v.Text
			switch {
			case len(v.Messages) > 0:
				text = customerText(v.Messages)
			case v.A != "" || v.B != "":
				text = v.A + "\n" + v.B
			case text == "" && len(v.Turns) > 0:
				text = strings.Join(append(v.Context, v.Turns[0].Text), "\n")
			}
			doc := Doc{Place: row.Place, ID: v.ID, Group: v.Group, Time: v.Time, Text: text}
			if f.Group == ByCustomer {
				doc.Customer = v.Customer
			}
			if !yield(doc, nil) {
				return
			}
		}
	}
}

// String lists the leaks for a terminal, at most 20 of a kind.
func (r *LeakReport) String() string {
	names := map[string]string{LeakGroup: "同一会话或客户", LeakExact: "原文相同", LeakNear: "近似重复", LeakLater: "案例晚于提问"}
	var b strings.Builder
	fmt.Fprintf(&b, "泄漏检查：%d 行对 %d 行\n", r.Train, r.Test)
	for _, c := range r.Checks {
		if c.Skipped != "" {
			fmt.Fprintf(&b, "  %s：未检查（%s）\n", names[c.Kind], c.Skipped)
			continue
		}
		fmt.Fprintf(&b, "  %s：查了 %d 行，命中 %d 行\n", names[c.Kind], c.Rows, c.Found)
		shown := 0
		for _, p := range r.Pairs {
			if p.Kind != c.Kind {
				continue
			}
			if shown++; shown > 20 {
				b.WriteString("    ……\n")
				break
			}
			fmt.Fprintf(&b, "    %s（%s）← %s（%s）", p.Test, p.TestID, p.Train, p.TrainID)
			if p.Kind == LeakNear {
				fmt.Fprintf(&b, " 相似度 %.2f", p.Similarity)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
