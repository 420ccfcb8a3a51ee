package retrieval

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// benchDim is the dimension of the built-in encoder.
const benchDim = 512

// benchEntries are cases as real ones look: vectors in clusters, since cases
// are about few matters, and about 60 words of which few are frequent.
func benchEntries(n int) []Entry {
	r := rand.New(rand.NewPCG(1, 2))
	words := rand.NewZipf(r, 1.1, 20, 30_000)
	common := randomVector(r, benchDim)
	centres := make([]qingting.Vector, 300)
	for i := range centres {
		centres[i] = mix(common, randomVector(r, benchDim), 0.6)
	}
	out := make([]Entry, n)
	for i := range out {
		e := Entry{
			ID: fmt.Sprintf("case-%07d", i), Type: qingting.Types()[i%21], Outcome: qingting.CaseResolved,
			Industry: []string{"电商", "通信", "银行", "餐饮"}[r.IntN(4)], Product: fmt.Sprint("产品", r.IntN(200)),
			Vector: mix(centres[r.IntN(len(centres))], randomVector(r, benchDim), 0.7), VectorFrom: testEncoder,
		}
		if i%5 == 0 {
			e.Outcome = qingting.CaseFailed
		}
		for range 60 {
			e.Terms = append(e.Terms, fmt.Sprint("词", words.Uint64()))
		}
		out[i] = e
	}
	return out
}

// mix returns the unit vector between a and b; share is the weight of a.
func mix(a, b qingting.Vector, share float32) qingting.Vector {
	out := make(qingting.Vector, len(a))
	for i := range out {
		out[i] = share*a[i] + (1-share)*b[i]
	}
	return mean([]*qingting.Prepared{{Vector: out}}, []float64{1})
}

var benchIndexes struct {
	sync.Mutex
	bySize map[int]*Index
}

func benchIndex(tb testing.TB, n int) *Index {
	tb.Helper()
	benchIndexes.Lock()
	defer benchIndexes.Unlock()
	if x := benchIndexes.bySize[n]; x != nil {
		return x
	}
	x, err := NewIndex(testEncoder, benchDim)
	require.NoError(tb, err)
	for _, e := range benchEntries(n) {
		require.NoError(tb, x.Put(e))
	}
	if benchIndexes.bySize == nil {
		benchIndexes.bySize = map[int]*Index{}
	}
	benchIndexes.bySize[n] = x
	return x
}

// benchQueries resemble entries without being any.
func benchQueries(n, count int) []Query {
	r := rand.New(rand.NewPCG(3, 4))
	entries := benchEntries(n)
	out := make([]Query, count)
	for i := range out {
		e := entries[r.IntN(n)]
		out[i] = Query{Vector: mix(e.Vector, randomVector(r, benchDim), 0.7), Terms: e.Terms[:30], Limit: 10}
	}
	return out
}

func BenchmarkSearch(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		queries := benchQueries(n, 50)
		for _, kind := range []struct {
			name   string
			change func(*Query)
		}{
			{"hybrid", func(*Query) {}},
			{"dense", func(q *Query) { q.Terms = nil }},
			{"lexical", func(q *Query) { q.Vector = nil }},
			{"filtered", func(q *Query) { q.Filter.Outcomes = []qingting.CaseOutcome{qingting.CaseResolved} }},
			{"rare", func(q *Query) {
				q.Filter = qingting.CaseFilter{Types: []qingting.Type{qingting.TypeNoise}, Industry: "银行"}
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				x := benchIndex(b, n)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					q := queries[i%len(queries)]
					i++
					kind.change(&q)
					if _, err := x.Search(context.Background(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkPut(b *testing.B) {
	x := benchIndex(b, 100_000)
	entries := benchEntries(1_000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := x.Put(entries[i%len(entries)]); err != nil { // replaces
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkRetrieveFast is what fast mode pays for one transcript.
func BenchmarkRetrieveFast(b *testing.B) {
	parts := realTools(b)
	cases, err := Starter()
	require.NoError(b, err)
	l, err := NewLibrary(context.Background(), Parts{Cleaner: parts.cleaner, Segmenter: parts.segmenter, Seed: cases})
	require.NoError(b, err)
	doc := benchDocument(parts)
	a := about(qingting.TypeHiddenFee)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Retrieve(context.Background(), doc, a); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRetrieveFull has 10,000 cases with vectors and real words.
func BenchmarkRetrieveFull(b *testing.B) {
	parts := realTools(b)
	starter, err := Starter()
	require.NoError(b, err)
	e := &hashEncoder{id: "bench"}
	l, err := NewLibrary(context.Background(), Parts{Cleaner: parts.cleaner, Segmenter: parts.segmenter, Encoder: e, DeferEncoding: true})
	require.NoError(b, err)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 10_000 {
		c := starter[i%len(starter)]
		other := starter[r.IntN(len(starter))]
		c.ID, c.Scene = fmt.Sprintf("c%05d", i), other.Scene
		c.Vector, c.VectorFrom = randomVector(r, e.Dim()), e.ID()
		require.NoError(b, l.keep(c))
	}
	doc := benchDocument(parts)
	for _, m := range doc.Messages {
		m.Vector = randomVector(r, e.Dim())
	}
	a := about(qingting.TypeHiddenFee)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Retrieve(context.Background(), doc, a); err != nil {
			b.Fatal(err)
		}
	}
}

func benchDocument(p tools) *qingting.Document {
	doc := &qingting.Document{}
	for i, s := range []string{
		"你好，在吗", "我上个月办的视频会员，说好试用七天不要钱的，结果第八天直接扣了我二十五块", "您好，请问是哪个会员呢",
		"就是那个连续包月的，我根本没看到哪里写了会自动续费，页面上一个字都没提醒", "给您核实一下", "都等了两天了还没有退款，再不退我就去12315投诉你们！！！",
	} {
		m := &qingting.Prepared{Message: qingting.Message{Role: qingting.RoleCustomer, Text: s}}
		if i == 2 || i == 4 {
			m.Role = qingting.RoleAgent
		}
		m.Clean, m.From, m.To = p.cleaner.Clean(s)
		m.Tokens = p.segmenter.Segment(m.Clean)
		doc.Messages = append(doc.Messages, m)
	}
	return doc
}

// TestRecallOfTheScan compares the int8 scan with an exact search.
func TestRecallOfTheScan(t *testing.T) {
	const n = 10_000
	x := benchIndex(t, n)
	entries := benchEntries(n)
	var hits, total int
	for _, q := range benchQueries(n, 30) {
		q.Terms = nil
		got, err := x.Search(context.Background(), q)
		require.NoError(t, err)
		exact := make([]row, n)
		for i := range entries {
			exact[i] = row{uint32(i), float32(cosine(q.Vector, entries[i].Vector))}
		}
		slices.SortFunc(exact, func(a, b row) int {
			return cmp.Or(cmp.Compare(b.score, a.score), strings.Compare(entries[a.slot].ID, entries[b.slot].ID))
		})
		for i, c := range got {
			total++
			if c.ID == entries[exact[i].slot].ID {
				hits++ // the same case at the same rank
			}
		}
	}
	t.Logf("%d of %d ranks exact", hits, total)
	require.GreaterOrEqual(t, float64(hits)/float64(total), 0.99)
}

// TestMemoryPerCase keeps the promise of the type's comment.
func TestMemoryPerCase(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the heap")
	}
	const n = 10_240
	entries := benchEntries(n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x, err := NewIndex(testEncoder, benchDim)
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, x.Put(e))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / n
	runtime.KeepAlive(x)
	runtime.KeepAlive(entries)
	t.Logf("%.0f bytes a case of 512 dimensions and 60 words", each)
	require.Less(t, each, 4096.0)
}
