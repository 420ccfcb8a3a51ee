package stat

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Measure is a figure prepared on Len() rows; Value gives it when row i counts
// w[i] ≥ 0 times (nil: once each), NaN where undefined. It must be safe for
// concurrent use and must not keep w. Package metric provides them.
type Measure interface {
	Len() int
	Value(w []float64) float64
}

// Difference is candidate − base on the same rows; bootstrapping it is the
// paired bootstrap, because both sides see every resample alike.
func Difference(candidate, base Measure) (Measure, error) {
	if candidate.Len() != base.Len() {
		return nil, fmt.Errorf("两个系统的样本数不同（%d 与 %d）；请先按样本配对", candidate.Len(), base.Len())
	}
	return difference{candidate, base}, nil
}

type difference struct{ candidate, base Measure }

func (d difference) Len() int                  { return d.base.Len() }
func (d difference) Value(w []float64) float64 { return d.candidate.Value(w) - d.base.Value(w) }

// Resampled is one figure with its values on resamples.
type Resampled struct {
	Value float64 // on the rows as given
	// Samples are the resampled values, ascending, undefined ones left out.
	Samples []float64
	// Undefined is how many resamples had no value, for example because no
	// positive row was drawn. Where it is not small the interval is not to be
	// trusted.
	Undefined int
}

// Interval is the percentile interval at a confidence such as 0.95; both ends
// are NaN when no resample had a value. One end alone bounds with confidence
// (1+confidence)/2.
func (r Resampled) Interval(confidence float64) (low, high float64) {
	return r.Quantile((1 - confidence) / 2), r.Quantile((1 + confidence) / 2)
}

// Quantile of the samples, interpolated linearly (numpy's default), q ∈ [0, 1];
// NaN without samples.
func (r Resampled) Quantile(q float64) float64 {
	n := len(r.Samples)
	if n == 0 || math.IsNaN(q) {
		return math.NaN()
	}
	at := min(max(q, 0), 1) * float64(n-1)
	i := int(at)
	if i+1 >= n {
		return r.Samples[n-1]
	}
	return r.Samples[i] + (r.Samples[i+1]-r.Samples[i])*(at-float64(i))
}

// PValue is the two-sided bootstrap p that the figure, a difference, is 0: twice
// the smaller share of samples at or beyond 0, with one added to count and number
// (Davison and Hinkley 1997, (k+1)/(N+1)), at most 1. It agrees with Interval: a
// p below α is an interval at 1−α that leaves out 0, up to one sample. NaN
// without samples.
func (r Resampled) PValue() float64 {
	if len(r.Samples) == 0 {
		return math.NaN()
	}
	below, above := 0, 0
	for _, x := range r.Samples {
		if x <= 0 {
			below++
		}
		if x >= 0 {
			above++
		}
	}
	return min(1, 2*float64(min(below, above)+1)/float64(len(r.Samples)+1))
}

// Bootstrap resamples groups with replacement, as many as there are, and gives
// every measure on every resample: a row counts as often as its group was drawn.
// All measures see the same resamples. groups[i] is the group of row i, any
// number (a conversation); nil makes every row its own. The result depends on
// the seed alone, not on the number of processors.
func Bootstrap(measures []Measure, groups []int, rounds int, seed uint64) ([]Resampled, error) {
	if len(measures) == 0 {
		return nil, nil
	}
	if rounds < 1 {
		return nil, fmt.Errorf("重抽样次数是 %d，至少要 1 次", rounds)
	}
	n := measures[0].Len()
	for _, m := range measures {
		if m.Len() != n {
			return nil, fmt.Errorf("各指标的样本数不同（%d 与 %d），不能一起重抽样", n, m.Len())
		}
	}
	group, count, err := number(groups, n)
	if err != nil {
		return nil, err
	}
	values := make([][]float64, len(measures)) // values[m][round]
	for m := range values {
		values[m] = make([]float64, rounds)
	}
	eachRound(rounds, func() func(round int) {
		drawn, w := make([]float64, count), make([]float64, n)
		return func(round int) {
			clear(drawn)
			rng := rand.New(rand.NewPCG(seed, uint64(round)))
			for range count {
				drawn[rng.IntN(count)]++
			}
			for i, g := range group {
				w[i] = drawn[g]
			}
			for m, measure := range measures {
				values[m][round] = measure.Value(w)
			}
		}
	})
	out := make([]Resampled, len(measures))
	for m, measure := range measures {
		samples := slices.DeleteFunc(values[m], math.IsNaN)
		slices.Sort(samples)
		out[m] = Resampled{Value: measure.Value(nil), Samples: samples, Undefined: rounds - len(samples)}
	}
	return out, nil
}

// number renumbers groups 0 … count−1 in order of appearance.
func number(groups []int, n int) (group []int, count int, err error) {
	if n == 0 {
		return nil, 0, errors.New("没有样本，无法重抽样")
	}
	group = make([]int, n)
	if groups == nil {
		for i := range group {
			group[i] = i
		}
		return group, n, nil
	}
	if len(groups) != n {
		return nil, 0, fmt.Errorf("分组有 %d 行，样本有 %d 行；请给每个样本一个分组", len(groups), n)
	}
	seen := map[int]int{}
	for i, g := range groups {
		k, known := seen[g]
		if !known {
			k = len(seen)
			seen[g] = k
		}
		group[i] = k
	}
	return group, len(seen), nil
}

// eachRound runs rounds on all processors; worker makes what one goroutine
// needs, so rounds share nothing.
func eachRound(rounds int, worker func() func(round int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), rounds) {
		wg.Go(func() {
			do := worker()
			for {
				round := int(next.Add(1)) - 1
				if round >= rounds {
					return
				}
				do(round)
			}
		})
	}
	wg.Wait()
}

// Randomise is the paired approximate randomisation test (Noreen 1989) of a
// figure of two systems on the same n examples. both is that figure prepared on
// 2n rows, the base's n and then the candidate's n in the same order of examples,
// so that the figure of either, or of any mixture, is a choice of rows. Each
// round swaps the systems in every group with probability ½; p is the share of
// rounds whose |difference| is at least the observed, as (k+1)/(N+1). groups has
// n entries or is nil. delta is candidate − base. Rounds where the figure is
// undefined count as at least as large, which is the careful side.
func Randomise(both Measure, groups []int, rounds int, seed uint64) (delta, p float64, err error) {
	if both.Len()%2 != 0 {
		return math.NaN(), math.NaN(), fmt.Errorf("配对检验需要两个系统各一半样本，收到 %d 行", both.Len())
	}
	if rounds < 1 {
		return math.NaN(), math.NaN(), fmt.Errorf("置换次数是 %d，至少要 1 次", rounds)
	}
	n := both.Len() / 2
	group, count, err := number(groups, n)
	if err != nil {
		return math.NaN(), math.NaN(), err
	}
	// of is the difference of the systems made of the chosen rows and of the rest.
	of := func(w, rest []float64) float64 { return both.Value(w) - both.Value(rest) }
	w, rest := make([]float64, 2*n), make([]float64, 2*n)
	for i := range n {
		w[n+i], rest[i] = 1, 1
	}
	delta = of(w, rest)
	if math.IsNaN(delta) {
		return delta, math.NaN(), nil
	}
	// Equal differences must count as equal though their sums round differently.
	observed := math.Abs(delta) - 1e-12
	var beyond atomic.Int64
	eachRound(rounds, func() func(round int) {
		swap := make([]float64, count)
		w, rest := make([]float64, 2*n), make([]float64, 2*n)
		return func(round int) {
			rng := rand.New(rand.NewPCG(seed, uint64(round)))
			for g := range swap {
				swap[g] = float64(rng.Uint64() >> 63)
			}
			for i, g := range group {
				w[i], w[n+i] = swap[g], 1-swap[g]
				rest[i], rest[n+i] = 1-swap[g], swap[g]
			}
			if d := math.Abs(of(w, rest)); !(d < observed) {
				beyond.Add(1)
			}
		}
	})
	return delta, float64(beyond.Load()+1) / float64(rounds+1), nil
}
