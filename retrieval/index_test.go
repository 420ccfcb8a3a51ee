package retrieval

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
)

// plainIndex is the index written as naively as possible: every search reads
// every entry and computes every number from the definitions.
type plainIndex map[string]Entry

func (p plainIndex) search(q Query) []Candidate {
	m := newMatcher(q.Filter)
	total := 0
	frequency := map[string]int{}
	for _, e := range p {
		total += len(e.Terms)
		for _, t := range slices.Compact(slices.Sorted(slices.Values(e.Terms))) {
			frequency[t]++
		}
	}
	average := max(1, float64(total)/float64(max(1, len(p))))
	idf := func(t string) float64 {
		n := float64(max(1, frequency[t]))
		return math.Log(1 + (float64(len(p))-n+0.5)/(n+0.5))
	}
	saturate := func(count, length float64) float64 {
		return count * (bm25K1 + 1) / (count + bm25K1*(1-bm25B+bm25B*length/average))
	}
	var words []string
	for _, t := range q.Terms {
		if !slices.Contains(words, t) {
			words = append(words, t)
		}
	}
	self := 0.0
	for _, t := range words {
		self += idf(t) * saturate(1, float64(len(words)))
	}
	var all []Candidate
	hasVector := map[string]bool{}
	// Entries with equal scores but for rounding must come in the same order,
	// so the rank comes from the sum in float32, word after word.
	rounded := map[string]float32{}
	for _, e := range p {
		if !m.match(&qingting.Case{Type: e.Type, Outcome: e.Outcome, Industry: e.Industry, Product: e.Product, ClosedAt: e.ClosedAt}) {
			continue
		}
		c := Candidate{ID: e.ID, Self: self}
		for _, t := range words {
			count := 0
			for _, w := range e.Terms {
				if w == t {
					count++
				}
			}
			if count > 0 {
				c.Lexical += idf(t) * saturate(float64(count), float64(len(e.Terms)))
				n := float32(count)
				rounded[e.ID] += float32(idf(t)*(bm25K1+1)) * n / (n + float32(bm25K1*(1-bm25B)) + float32(bm25K1*bm25B/average)*float32(len(e.Terms)))
			}
		}
		if q.Vector != nil && e.Vector != nil {
			hasVector[e.ID] = true
			for i := range q.Vector {
				c.Dense += float64(q.Vector[i]) * float64(e.Vector[i])
			}
		}
		all = append(all, c)
	}
	for i := range all {
		all[i].Words = all[i].Lexical / math.Log(1+(float64(len(p))-0.5)/1.5)
	}
	fuse := func(takes func(Candidate) bool, score func(Candidate) float64) {
		var list []int
		for i, c := range all {
			if takes(c) {
				list = append(list, i)
			}
		}
		slices.SortFunc(list, func(a, b int) int {
			return cmp.Or(cmp.Compare(score(all[b]), score(all[a])), strings.Compare(all[a].ID, all[b].ID))
		})
		for rank, i := range list[:min(len(list), max(candidates, q.Limit))] {
			all[i].Fused += 1 / float64(fusionK+rank+1)
		}
	}
	fuse(func(c Candidate) bool { return hasVector[c.ID] }, func(c Candidate) float64 { return c.Dense })
	fuse(func(c Candidate) bool { return c.Lexical > 0 }, func(c Candidate) float64 { return float64(rounded[c.ID]) })
	all = slices.DeleteFunc(all, func(c Candidate) bool { return c.Fused == 0 })
	slices.SortFunc(all, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.Fused, a.Fused), strings.Compare(a.ID, b.ID))
	})
	limit := q.Limit
	if limit <= 0 {
		limit = 10
	}
	return all[:min(limit, len(all))]
}

const testEncoder = "test-encoder"

// TestIndexAgainstPlain drives both indexes through the same random puts,
// replacements, deletions and searches. The vectors lie on the grid of int8,
// so that no candidate is lost to rounding at the end of the first scan.
func TestIndexAgainstPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const dim = 24
		x, err := NewIndex(testEncoder, dim)
		require.NoError(t, err)
		plain := plainIndex{}
		words := []string{"宽带", "断网", "退款", "师傅", "没来", "扣费", "会员", "续费", "冰箱", "漏水"}
		types := []qingting.Type{qingting.TypeQuality, qingting.TypeHiddenFee, qingting.TypeDelay}
		industries := []string{"", "通信", "电商", " App "}
		products := []string{"", "手机", "智能手机", "iPhone"}
		outcomes := []qingting.CaseOutcome{qingting.CaseResolved, qingting.CaseFailed}
		day := func(n int) time.Time {
			if n == 0 {
				return time.Time{}
			}
			return time.Date(2026, 1, n, 8, 0, 0, 0, time.UTC)
		}
		vector := func() qingting.Vector {
			if rapid.IntRange(0, 4).Draw(t, "no vector") == 0 {
				return nil
			}
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
			return gridVector(r, dim)
		}
		id := func() string { return fmt.Sprintf("c%03d", rapid.IntRange(0, 120).Draw(t, "id")) }
		terms := func(label string) []string {
			return rapid.SliceOfN(rapid.SampledFrom(words), 0, 12).Draw(t, label)
		}
		entry := func(id string) Entry {
			return Entry{
				ID: id, Type: rapid.SampledFrom(types).Draw(t, "type"), Outcome: rapid.SampledFrom(outcomes).Draw(t, "outcome"),
				Industry: rapid.SampledFrom(industries).Draw(t, "industry"), Product: rapid.SampledFrom(products).Draw(t, "product"),
				ClosedAt: day(rapid.IntRange(0, 9).Draw(t, "day")), Terms: terms("terms"), Vector: vector(), VectorFrom: testEncoder,
			}
		}
		put := func(e Entry) {
			require.NoError(t, x.Put(e))
			plain[e.ID] = e
		}
		for i := range rapid.IntRange(0, 110).Draw(t, "first") {
			put(entry(fmt.Sprintf("c%03d", i)))
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) { put(entry(id())) },
			"delete": func(t *rapid.T) {
				i := id()
				_, had := plain[i]
				require.Equal(t, had, x.Delete(i))
				delete(plain, i)
			},
			"search": func(t *rapid.T) {
				q := Query{Terms: terms("query"), Vector: vector(), Limit: rapid.IntRange(0, 60).Draw(t, "limit")}
				if rapid.Bool().Draw(t, "filtered") {
					q.Filter = qingting.CaseFilter{
						Types:    rapid.SliceOfN(rapid.SampledFrom(types), 0, 2).Draw(t, "types"),
						Outcomes: rapid.SliceOfN(rapid.SampledFrom(outcomes), 0, 1).Draw(t, "outcomes"),
						Industry: rapid.SampledFrom([]string{"", "通信", "app"}).Draw(t, "in"),
						Product:  rapid.SampledFrom([]string{"", "手机", "IPHONE"}).Draw(t, "of"),
						From:     day(rapid.IntRange(0, 9).Draw(t, "from")), To: day(rapid.IntRange(0, 9).Draw(t, "to")),
					}
				}
				got, err := x.Search(context.Background(), q)
				require.NoError(t, err)
				want := plain.search(q)
				require.Equal(t, len(want), len(got))
				for i := range want {
					require.Equal(t, want[i].ID, got[i].ID, "rank %d of %v", i, q)
					require.InDelta(t, want[i].Fused, got[i].Fused, 1e-12)
					require.InDelta(t, want[i].Dense, got[i].Dense, 1e-4)
					require.InDelta(t, want[i].Lexical, got[i].Lexical, 1e-3)
					require.InDelta(t, want[i].Words, got[i].Words, 1e-3)
					require.InDelta(t, want[i].Self, got[i].Self, 1e-9)
				}
			},
			"": func(t *rapid.T) { require.Equal(t, len(plain), x.Len()) },
		})
	})
}

func randomVector(r *rand.Rand, dim int) qingting.Vector {
	v := make(qingting.Vector, dim)
	norm := 0.0
	for i := range v {
		v[i] = float32(r.NormFloat64())
		norm += float64(v[i]) * float64(v[i])
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(norm))
	}
	return v
}

// gridVector has directions that int8 holds exactly: whole numbers up to 127.
func gridVector(r *rand.Rand, dim int) qingting.Vector {
	v := make(qingting.Vector, dim)
	v[0] = 127
	norm := 127.0 * 127
	for i := 1; i < dim; i++ {
		v[i] = float32(r.IntN(255) - 127)
		norm += float64(v[i]) * float64(v[i])
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(norm))
	}
	return v
}

func TestIndexRefusesForeignVectors(t *testing.T) {
	x, err := NewIndex("bge/1", 3)
	require.NoError(t, err)
	v := qingting.Vector{1, 0, 0}
	require.NoError(t, x.Put(Entry{ID: "a", Vector: v, VectorFrom: "bge/1"}))
	require.ErrorContains(t, x.Put(Entry{ID: "b", Vector: v, VectorFrom: "bge/2"}), "refuses")
	require.ErrorContains(t, x.Put(Entry{ID: "b", Vector: v[:2], VectorFrom: "bge/1"}), "refuses")
	require.ErrorContains(t, x.Put(Entry{Vector: v, VectorFrom: "bge/1"}), "without an ID")
	require.Equal(t, 1, x.Len(), "a refused entry leaves the index as it was")
	_, err = x.Search(context.Background(), Query{Vector: v[:2]})
	require.ErrorContains(t, err, "refuses")

	lexical, err := NewIndex("", 0)
	require.NoError(t, err)
	require.ErrorContains(t, lexical.Put(Entry{ID: "a", Vector: v, VectorFrom: "bge/1"}), "refuses")
	_, err = lexical.Search(context.Background(), Query{Vector: v})
	require.ErrorContains(t, err, "refuses")
	for _, bad := range []struct {
		id  string
		dim int
	}{{"", 3}, {"bge/1", -1}} {
		_, err := NewIndex(bad.id, bad.dim)
		require.Error(t, err, "%v", bad)
	}
}

func TestIndexBreaksTiesByID(t *testing.T) {
	x, err := NewIndex(testEncoder, 2)
	require.NoError(t, err)
	for _, id := range []string{"d", "b", "a", "c"} {
		require.NoError(t, x.Put(Entry{ID: id, Terms: []string{"退款"}, Vector: qingting.Vector{0.6, 0.8}, VectorFrom: testEncoder}))
	}
	got, err := x.Search(context.Background(), Query{Terms: []string{"退款"}, Vector: qingting.Vector{0.6, 0.8}, Limit: 3})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, candidateIDs(got))
}

func TestIndexReusesSlots(t *testing.T) {
	x, err := NewIndex(testEncoder, 4)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 1))
	for round := range 50 {
		for i := range 10 {
			require.NoError(t, x.Put(Entry{ID: fmt.Sprint(i), Terms: []string{"宽带", fmt.Sprint("词", round)}, Vector: randomVector(r, 4), VectorFrom: testEncoder}))
		}
		for i := range 5 {
			require.True(t, x.Delete(fmt.Sprint(i)))
			require.False(t, x.Delete(fmt.Sprint(i)))
		}
	}
	require.Len(t, x.slots, 10)
	require.Len(t, x.hi, 1)
	require.Len(t, x.postings[x.words["宽带"]], 5)
	require.InDelta(t, 10.0, x.total, 1e-9)
}

func TestIndexStopsWhenCancelled(t *testing.T) {
	x, err := NewIndex(testEncoder, 2)
	require.NoError(t, err)
	require.NoError(t, x.Put(Entry{ID: "a", Terms: []string{"退款"}, Vector: qingting.Vector{1, 0}, VectorFrom: testEncoder}))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = x.Search(ctx, Query{Terms: []string{"退款"}})
	require.ErrorIs(t, err, context.Canceled)
	_, err = x.Search(ctx, Query{Vector: qingting.Vector{1, 0}})
	require.ErrorIs(t, err, context.Canceled)
	// What a stopped search had counted must not leak into the next one.
	got, err := x.Search(context.Background(), Query{Terms: []string{"别的"}})
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestIndexLongQueryKeepsTheRarestWords(t *testing.T) {
	x, err := NewIndex("", 0)
	require.NoError(t, err)
	var common []string
	for i := range 40 {
		common = append(common, fmt.Sprint("常", i))
	}
	for i := range 30 {
		require.NoError(t, x.Put(Entry{ID: fmt.Sprintf("x%02d", i), Terms: common}))
	}
	require.NoError(t, x.Put(Entry{ID: "rare", Terms: []string{"光猫"}}))
	got, err := x.Search(context.Background(), Query{Terms: append(slices.Clone(common), "光猫"), Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []string{"rare"}, candidateIDs(got))
	require.Equal(t, []string{"光猫"}, x.Shared("rare", append(slices.Clone(common), "光猫")))
	require.Empty(t, x.Shared("gone", []string{"光猫"}))
}

// TestIndexConcurrently is for the race detector: searches beside changes
// must see whole entries only.
func TestIndexConcurrently(t *testing.T) {
	x, err := NewIndex(testEncoder, 16)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 400 {
				id := fmt.Sprint(r.IntN(50))
				if r.IntN(3) == 0 {
					x.Delete(id)
				} else {
					x.Put(Entry{ID: id, Type: qingting.TypeQuality, Terms: []string{"退款", fmt.Sprint("词", r.IntN(9))}, Vector: randomVector(r, 16), VectorFrom: testEncoder})
				}
			}
		})
	}
	for g := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 2))
			for range 400 {
				got, err := x.Search(context.Background(), Query{
					Terms: []string{"退款"}, Vector: randomVector(r, 16),
					Filter: qingting.CaseFilter{Types: []qingting.Type{qingting.TypeQuality}},
				})
				if err != nil {
					t.Error(err)
				}
				for _, c := range got {
					if c.Lexical <= 0 || c.Dense == 0 {
						t.Errorf("half an entry: %+v", c)
					}
					x.Shared(c.ID, []string{"退款"})
				}
			}
		})
	}
	wg.Wait()
}

func TestSplitIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	hi, lo := make([]int8, 512), make([]int8, 512)
	worst := 0.0
	for range 200 {
		v, q := randomVector(r, 512), randomVector(r, 512)
		scale := split(v, hi, lo)
		exact, got := 0.0, 0.0
		for i := range v {
			exact += float64(q[i]) * float64(v[i])
			got += float64(q[i]) * float64(scale) * float64(int(hi[i])*256+int(lo[i]))
		}
		worst = max(worst, math.Abs(exact-got))
	}
	require.Less(t, worst, 1e-5)
	require.Zero(t, split(make(qingting.Vector, 512), hi, lo))
	require.Equal(t, make([]int8, 512), hi)
}

func candidateIDs(list []Candidate) []string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = c.ID
	}
	return out
}
