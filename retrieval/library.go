// Package retrieval finds past cases that resemble a complaint: a library of
// cases with an embedded hybrid index (vectors and words), the probability
// that a case is about the same problem, and what speaks for it and against.
package retrieval

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/qingting-ai/qingting"
)

// Store keeps the cases; the index is derived from it. The library calls it
// from one goroutine at a time, except for EachCase.
type Store interface {
	// EachCase visits every case, vectors included, until visit fails.
	EachCase(ctx context.Context, visit func(qingting.Case) error) error
	// PutCases adds or replaces cases by ID: all of them or, with an error, none.
	PutCases(ctx context.Context, cases []qingting.Case) error
	// DeleteCase returns qingting.ErrNotFound when there is no such case.
	DeleteCase(ctx context.Context, id string) error
	// SetCaseVectors keeps the vectors of cases that are otherwise unchanged,
	// made by the encoder named from. Cases that are gone are left out.
	SetCaseVectors(ctx context.Context, from string, ids []string, vectors []qingting.Vector) error
	// SeedCases inserts those cases that were never seeded before, so that a
	// deleted one does not come back, and returns how many.
	SeedCases(ctx context.Context, cases []qingting.Case) (int, error)
}

// Parts are what a library is built from.
type Parts struct {
	Cleaner   qingting.Cleaner
	Segmenter qingting.Segmenter
	// Encoder may be nil: the library is then searched by words alone.
	Encoder qingting.Encoder
	// Store may be nil: the cases then live in memory only.
	Store Store
	// Seed are the cases of the first start, usually Starter().
	Seed []qingting.Case
	// Vectors are known beforehand, usually StarterVectors(); may be nil.
	Vectors *Vectors
	// DeferEncoding leaves cases without a vector of Encoder to EncodeMissing;
	// until then they are found by words alone. Otherwise NewLibrary encodes
	// them, about 5 ms a case.
	DeferEncoding bool
}

// Library is the case library: the truth in its store, searched through its
// index. It implements qingting.Retriever and may be used concurrently;
// searches wait for nobody, changes wait for each other.
type Library struct {
	parts Parts
	index *Index

	writing sync.Mutex // held from the store to the index, so that both see one order
	mu      sync.RWMutex
	cases   map[string]*qingting.Case // without vectors; a case is replaced, never changed
	pending map[string]bool           // cases whose vector is missing
}

// NewLibrary reads the store, seeds it on the first start, and builds the index.
func NewLibrary(ctx context.Context, p Parts) (*Library, error) {
	if p.Cleaner == nil || p.Segmenter == nil {
		return nil, errors.New("case library: Cleaner and Segmenter are needed")
	}
	l := &Library{parts: p, cases: map[string]*qingting.Case{}, pending: map[string]bool{}}
	id, dim := "", 0
	if p.Encoder != nil {
		id, dim = p.Encoder.ID(), p.Encoder.Dim()
	}
	var err error
	if l.index, err = NewIndex(id, dim); err != nil {
		return nil, err
	}
	if p.Store == nil {
		for _, c := range p.Seed {
			if err := l.keep(c); err != nil {
				return nil, err
			}
		}
	} else {
		seed := slices.Clone(p.Seed)
		for i := range seed {
			l.recall(&seed[i])
		}
		if _, err := p.Store.SeedCases(ctx, seed); err != nil {
			return nil, fmt.Errorf("seed the case library: %w", err)
		}
		if err := p.Store.EachCase(ctx, l.keep); err != nil {
			return nil, fmt.Errorf("read the case library: %w", err)
		}
	}
	if !p.DeferEncoding {
		if err := l.EncodeMissing(ctx, nil); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Len is the number of cases.
func (l *Library) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.cases)
}

// Get returns a case without its vector, or qingting.ErrNotFound.
func (l *Library) Get(id string) (qingting.Case, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if c, ok := l.cases[id]; ok {
		return *c, nil
	}
	return qingting.Case{}, fmt.Errorf("%w: 没有编号为 %q 的案例", qingting.ErrNotFound, id)
}

// List returns one page of the cases that pass the filter, by ID, and how
// many pass. A limit of 0 means all.
func (l *Library) List(f qingting.CaseFilter, offset, limit int) (page []qingting.Case, total int) {
	m := newMatcher(f)
	l.mu.RLock()
	var found []*qingting.Case
	for _, c := range l.cases {
		if m.match(c) {
			found = append(found, c)
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(found, func(a, b *qingting.Case) int { return strings.Compare(a.ID, b.ID) })
	total = len(found)
	found = found[min(max(0, offset), total):]
	if limit > 0 {
		found = found[:min(limit, len(found))]
	}
	page = make([]qingting.Case, len(found))
	for i, c := range found {
		page[i] = *c
	}
	return page, total
}

// Add keeps a new case and returns it with its ID, a fresh one when it had
// none. A case that breaks a rule or an ID that is taken is ErrInvalid.
func (l *Library) Add(ctx context.Context, c qingting.Case) (qingting.Case, error) {
	if c.ID == "" {
		c.ID = newID()
	}
	if err := asError(CheckCase(c)); err != nil {
		return c, err
	}
	err := l.put(ctx, []qingting.Case{c}, func(exists bool) error {
		if exists {
			return &qingting.InputError{Code: "case_exists", Message: fmt.Sprintf("编号 %q 已被占用，请换一个或改用更新", c.ID), Where: "id"}
		}
		return nil
	})
	return c, err
}

// Update replaces the case with the same ID, or returns ErrNotFound.
func (l *Library) Update(ctx context.Context, c qingting.Case) error {
	if err := asError(CheckCase(c)); err != nil {
		return err
	}
	return l.put(ctx, []qingting.Case{c}, func(exists bool) error {
		if !exists {
			return fmt.Errorf("%w: 没有编号为 %q 的案例", qingting.ErrNotFound, c.ID)
		}
		return nil
	})
}

// Delete removes a case, or returns ErrNotFound.
func (l *Library) Delete(ctx context.Context, id string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if _, err := l.Get(id); err != nil {
		return err
	}
	if l.parts.Store != nil {
		if err := l.parts.Store.DeleteCase(ctx, id); err != nil && !errors.Is(err, qingting.ErrNotFound) {
			return fmt.Errorf("delete case %s: %w", id, err)
		}
	}
	l.mu.Lock()
	delete(l.cases, id)
	delete(l.pending, id)
	l.mu.Unlock()
	l.index.Delete(id)
	return nil
}

// EncodeMissing gives every case a vector of the library's encoder, in the
// store too. After each batch progress, unless nil, learns how many are done.
// It may run beside searches and changes.
func (l *Library) EncodeMissing(ctx context.Context, progress func(done, all int)) error {
	if l.parts.Encoder == nil {
		return nil
	}
	l.mu.RLock()
	ids := make([]string, 0, len(l.pending))
	for id := range l.pending {
		ids = append(ids, id)
	}
	l.mu.RUnlock()
	slices.Sort(ids)
	const batch = 32
	for done := 0; done < len(ids); {
		n := min(batch, len(ids)-done)
		if err := l.encodeBatch(ctx, ids[done:done+n]); err != nil {
			return err
		}
		done += n
		if progress != nil {
			progress(done, len(ids))
		}
	}
	return nil
}

func (l *Library) encodeBatch(ctx context.Context, ids []string) error {
	var cases []*qingting.Case
	var texts []string
	l.mu.RLock()
	for _, id := range ids {
		if l.pending[id] {
			cases = append(cases, l.cases[id])
			texts = append(texts, l.denseText(l.cases[id]))
		}
	}
	l.mu.RUnlock()
	vectors, err := l.parts.Encoder.Encode(ctx, texts)
	if err != nil {
		return fmt.Errorf("encode cases: %w", err)
	}

	l.writing.Lock()
	defer l.writing.Unlock()
	var kept []string
	var keptVectors []qingting.Vector
	for i, c := range cases {
		l.mu.RLock()
		current := l.cases[c.ID] == c // nobody changed or deleted it meanwhile
		l.mu.RUnlock()
		if current && vectors[i] != nil {
			kept, keptVectors = append(kept, c.ID), append(keptVectors, vectors[i])
		}
	}
	from := l.parts.Encoder.ID()
	if l.parts.Store != nil {
		if err := l.parts.Store.SetCaseVectors(ctx, from, kept, keptVectors); err != nil {
			return fmt.Errorf("keep case vectors: %w", err)
		}
	}
	for i, id := range kept {
		l.mu.RLock()
		c := *l.cases[id]
		l.mu.RUnlock()
		c.Vector, c.VectorFrom = keptVectors[i], from
		if err := l.keep(c); err != nil {
			return err
		}
	}
	return nil
}

// put encodes and keeps cases, store first. check sees, per case and under
// the lock, whether its ID exists already.
func (l *Library) put(ctx context.Context, cases []qingting.Case, check func(exists bool) error) error {
	var missing []int
	var texts []string
	for i := range cases {
		cases[i].Vector, cases[i].VectorFrom = nil, ""
		if l.parts.Encoder != nil && !l.recall(&cases[i]) {
			missing, texts = append(missing, i), append(texts, l.denseText(&cases[i]))
		}
	}
	const batch = 32
	for start := 0; start < len(missing); start += batch {
		end := min(start+batch, len(missing))
		vectors, err := l.parts.Encoder.Encode(ctx, texts[start:end])
		if err != nil {
			return fmt.Errorf("encode cases: %w", err)
		}
		for k, i := range missing[start:end] {
			if vectors[k] != nil {
				cases[i].Vector, cases[i].VectorFrom = vectors[k], l.parts.Encoder.ID()
			}
		}
	}

	l.writing.Lock()
	defer l.writing.Unlock()
	if check != nil {
		for i := range cases {
			l.mu.RLock()
			_, exists := l.cases[cases[i].ID]
			l.mu.RUnlock()
			if err := check(exists); err != nil {
				return err
			}
		}
	}
	if l.parts.Store != nil {
		if err := l.parts.Store.PutCases(ctx, cases); err != nil {
			return fmt.Errorf("keep cases: %w", err)
		}
	}
	for _, c := range cases {
		if err := l.keep(c); err != nil {
			return err
		}
	}
	return nil
}

// keep puts a case into memory and index. A vector of another encoder is
// looked up among the known ones, or left to EncodeMissing.
func (l *Library) keep(c qingting.Case) error {
	e := Entry{
		ID: c.ID, Type: c.Type, Outcome: c.Outcome, Industry: c.Industry, Product: c.Product, ClosedAt: c.ClosedAt,
		Terms: l.terms(lexicalText(&c)),
	}
	encoder := l.parts.Encoder
	missing := false
	if encoder != nil {
		if c.VectorFrom != encoder.ID() || len(c.Vector) != encoder.Dim() {
			missing = !l.recall(&c)
		}
		if !missing {
			e.Vector, e.VectorFrom = c.Vector, c.VectorFrom
		}
	}
	if err := l.index.Put(e); err != nil {
		return err
	}
	c.Vector, c.VectorFrom = nil, ""
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cases[c.ID] = &c
	delete(l.pending, c.ID)
	if missing {
		l.pending[c.ID] = true
	}
	return nil
}

// recall gives a case the vector known for its text, if there is one.
func (l *Library) recall(c *qingting.Case) bool {
	v := l.parts.Vectors
	if v == nil || l.parts.Encoder == nil || v.Encoder != l.parts.Encoder.ID() || v.Dim != l.parts.Encoder.Dim() {
		return false
	}
	vector := v.Lookup(l.denseText(c))
	if vector == nil {
		return false
	}
	c.Vector, c.VectorFrom = vector, v.Encoder
	return true
}

// lexicalText is what the words of a case are taken from. The solution is in
// it because it names the matter once more, in other words: on the tune half
// of starter/queries.jsonl it lifts recall@3 of the lexical search from 0.65
// to 0.72.
func lexicalText(c *qingting.Case) string {
	return c.Title + "\n" + c.Product + "\n" + c.Problem + "\n" + c.Scene + "\n" + c.Solution
}

// denseText is what the vector of a case is made of, cleaned.
func (l *Library) denseText(c *qingting.Case) string {
	return DenseText(l.parts.Cleaner, c)
}

// DenseText is the cleaned text of a case that its vector is made of: the
// title names the matter, which the customer's words often only describe.
// Title and problem reach a recall@3 of 0.84 on the tune half of
// starter/queries.jsonl, the problem alone 0.69.
func DenseText(cleaner qingting.Cleaner, c *qingting.Case) string {
	clean, _, _ := cleaner.Clean(c.Title + "。" + c.Problem)
	return string(clean)
}

func (l *Library) terms(text string) []string {
	clean, _, _ := l.parts.Cleaner.Clean(text)
	return terms(l.parts.Segmenter.Segment(clean))
}

func newID() string { return "case-" + strings.ToLower(rand.Text()[:16]) }

// Search returns the cases most likely about the same problem, best first,
// ties by ID, however unlikely; Reliable tells which can be shown unasked.
func (l *Library) Search(ctx context.Context, q qingting.CaseQuery) ([]qingting.Match, error) {
	question := question{vector: q.Vector}
	if q.Tokens != nil {
		question.terms = terms(q.Tokens)
	} else {
		question.terms = l.terms(q.Text)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = maxShown
	}
	return l.find(ctx, &question, q.Filter, limit)
}

// SearchText is Search for a text as it was typed: cleaned, segmented and,
// when the library has an encoder, encoded.
func (l *Library) SearchText(ctx context.Context, text string, f qingting.CaseFilter, limit int) ([]qingting.Match, error) {
	clean, _, _ := l.parts.Cleaner.Clean(text)
	q := qingting.CaseQuery{Text: string(clean), Tokens: l.parts.Segmenter.Segment(clean), Filter: f, Limit: limit}
	if q.Tokens == nil {
		q.Tokens = []qingting.Token{}
	}
	if l.parts.Encoder != nil && len(clean) > 0 {
		v, err := l.parts.Encoder.Encode(ctx, []string{q.Text})
		if err != nil {
			return nil, fmt.Errorf("encode query: %w", err)
		}
		q.Vector = v[0]
	}
	return l.Search(ctx, q)
}

// find searches, scores and explains.
func (l *Library) find(ctx context.Context, q *question, f qingting.CaseFilter, limit int) ([]qingting.Match, error) {
	if l.parts.Encoder == nil {
		q.vector = nil
	}
	if len(q.terms) == 0 && q.vector == nil {
		return nil, nil
	}
	found, err := l.index.Search(ctx, Query{Terms: q.terms, Vector: q.vector, Filter: f, Limit: max(candidates, limit)})
	if err != nil {
		return nil, err
	}
	type scored struct {
		Candidate
		c *qingting.Case
		p float64
	}
	all := make([]scored, 0, len(found))
	l.mu.RLock()
	for _, f := range found {
		if c, ok := l.cases[f.ID]; ok { // else deleted since
			all = append(all, scored{f, c, q.probability(&f, c)})
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(all, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.p, a.p), strings.Compare(a.ID, b.ID))
	})
	out := make([]qingting.Match, min(limit, len(all)))
	for i := range out {
		s := &all[i]
		out[i] = qingting.Match{Case: *s.c, Score: s.p, Parts: qingting.MatchParts{Dense: s.Dense, Lexical: s.Lexical}}
		out[i].Why, out[i].Differ = q.explain(&out[i], l.index.Shared(s.ID, q.terms))
	}
	return out, nil
}
