package metric

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// Qrels are the judgements of a ranking: query → document → grade. Grades above
// 0 are gains; a document that is not listed is unjudged.
type Qrels map[string]map[string]int

// Scored is one retrieved document.
type Scored struct {
	Document string
	Score    float64
}

// Run is what a system retrieved: query → documents, in any order; the order
// that counts is that of the scores.
type Run map[string][]Scored

// Ranking is the ranking of one query met with its judgements. Its figures are
// those of trec_eval: unjudged documents count as grade 0, gains are linear and
// discounted by log2(rank+1), and a query without a relevant document has 0.
// k = 0 stands for the whole ranking; relevant is the least grade that counts as
// relevant (trec_eval's -l, 1 by default).
type Ranking struct {
	Query string
	// grades and judged are of the ranked documents, in order.
	grades []int
	judged []bool
	// pool are the grades of all judged documents of the query, falling.
	pool []int
}

// Rankings meets a run with judgements, one ranking for each query of the
// judgements in byte order, as trec_eval -c: a query that the run misses has an
// empty ranking, so every figure of it is 0, and a query without judgements is
// not counted. Documents are ordered by falling score, ties by falling id.
// Scores are compared as float64, while trec_eval rounds them to float32.
func Rankings(qrels Qrels, run Run) []Ranking {
	out := make([]Ranking, 0, len(qrels))
	for _, query := range slices.Sorted(maps.Keys(qrels)) {
		grades := qrels[query]
		r := Ranking{Query: query, pool: slices.Collect(maps.Values(grades))}
		sort.Sort(sort.Reverse(sort.IntSlice(r.pool)))
		ranked := slices.Clone(run[query])
		slices.SortFunc(ranked, func(a, b Scored) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.Document, a.Document))
		})
		for _, d := range ranked {
			grade, judged := grades[d.Document]
			r.grades = append(r.grades, grade)
			r.judged = append(r.judged, judged)
		}
		out = append(out, r)
	}
	return out
}

func (r Ranking) top(k int) []int {
	if k <= 0 {
		return r.grades
	}
	return r.grades[:min(k, len(r.grades))]
}

// Relevant is how many of the query's judged documents are relevant. Where it is
// 0 nothing can be found; a figure over the other queries only drops those.
func (r Ranking) Relevant(relevant int) int {
	n := 0
	for _, g := range r.pool {
		if g >= relevant {
			n++
		}
	}
	return n
}

// NDCG is the discounted cumulative gain of the first k documents over that of
// the best order of the judged ones, in [0, 1] (trec_eval ndcg_cut_k, ndcg).
func (r Ranking) NDCG(k int) float64 {
	gain := func(grades []int) float64 {
		sum := 0.0
		for i, g := range grades {
			sum += float64(max(g, 0)) / math.Log2(float64(i+2))
		}
		return sum
	}
	ideal := r.pool
	if k > 0 {
		ideal = ideal[:min(k, len(ideal))]
	}
	best := gain(ideal)
	if best == 0 {
		return 0
	}
	return gain(r.top(k)) / best
}

// Precision is the share of the first k places that hold a relevant document;
// places beyond a short ranking hold none (P_k). k = 0 divides by the length of
// the ranking.
func (r Ranking) Precision(k, relevant int) float64 {
	return share(r.found(k, relevant), max(k, 0), len(r.grades))
}

// Recall is the share of the relevant documents that are among the first k
// (recall_k).
func (r Ranking) Recall(k, relevant int) float64 {
	all := r.Relevant(relevant)
	return share(r.found(k, relevant), all, all)
}

// Hit is 1 when a relevant document is among the first k, else 0 (success_k).
func (r Ranking) Hit(k, relevant int) float64 { return number(r.found(k, relevant) > 0) }

func (r Ranking) found(k, relevant int) int {
	n := 0
	for i, g := range r.top(k) {
		if r.judged[i] && g >= relevant {
			n++
		}
	}
	return n
}

// ReciprocalRank is 1/rank of the first relevant document if it is among the
// first k, else 0 (recip_rank for k = 0); its mean over queries is MRR.
func (r Ranking) ReciprocalRank(k, relevant int) float64 {
	for i, g := range r.top(k) {
		if r.judged[i] && g >= relevant {
			return 1 / float64(i+1)
		}
	}
	return 0
}

// AveragePrecision is the mean over all relevant documents of the precision at
// their rank, 0 for those not among the first k (map_cut_k, map); its mean over
// queries is MAP.
func (r Ranking) AveragePrecision(k, relevant int) float64 {
	all := r.Relevant(relevant)
	if all == 0 {
		return 0
	}
	found, sum := 0, 0.0
	for i, g := range r.top(k) {
		if r.judged[i] && g >= relevant {
			found++
			sum += float64(found) / float64(i+1)
		}
	}
	return sum / float64(all)
}

// Judged is the share of the first k places that hold a judged document: how
// much the other figures know. k = 0 divides by the length of the ranking.
func (r Ranking) Judged(k int) float64 {
	n := 0
	for i := range r.top(k) {
		if r.judged[i] {
			n++
		}
	}
	return share(n, max(k, 0), len(r.grades))
}

// share is n over k, or over otherwise for k = 0; 0 when that is 0 too.
func share(n, k, otherwise int) float64 {
	if k == 0 {
		k = otherwise
	}
	return float64(n) / float64(max(1, k))
}

// Condensed is the ranking without its unjudged documents. Figures of it flatter
// deep rankings, so show them only beside the plain ones.
func (r Ranking) Condensed() Ranking {
	out := Ranking{Query: r.Query, pool: r.pool}
	for i, g := range r.grades {
		if r.judged[i] {
			out.grades = append(out.grades, g)
			out.judged = append(out.judged, true)
		}
	}
	return out
}

// PerQuery is a figure of each ranking, in their order; Mean of it is the figure
// of the run.
func PerQuery(rankings []Ranking, figure func(Ranking) float64) []float64 {
	out := make([]float64, len(rankings))
	for i, r := range rankings {
		out[i] = figure(r)
	}
	return out
}

// RandomOrder is the mean of a figure over random orders of each query's judged
// documents: what a system that knows nothing would reach on condensed rankings.
// The same seed gives the same values, whatever other queries there are.
func RandomOrder(rankings []Ranking, figure func(Ranking) float64, orders int, seed uint64) []float64 {
	out := make([]float64, len(rankings))
	for i, r := range rankings {
		rng := rand.New(rand.NewPCG(seed, hash(r.Query)))
		shuffled := Ranking{Query: r.Query, pool: r.pool, grades: slices.Clone(r.pool), judged: make([]bool, len(r.pool))}
		for j := range shuffled.judged {
			shuffled.judged[j] = true
		}
		sum := 0.0
		for range orders {
			rng.Shuffle(len(shuffled.grades), func(a, b int) {
				shuffled.grades[a], shuffled.grades[b] = shuffled.grades[b], shuffled.grades[a]
			})
			sum += figure(shuffled)
		}
		out[i] = sum / float64(max(1, orders))
	}
	return out
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
