package metric

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// smallest keeps log loss finite: probabilities are clipped to [ε, 1−ε] with the
// double's ε, as scikit-learn does.
const smallest = 0x1p-52

// Probabilities holds predicted probabilities of a yes-or-no question and its
// gold answers.
type Probabilities struct {
	p    []float64
	gold []bool
}

// NewProbabilities pairs probabilities in [0, 1] of the positive class with gold
// answers.
func NewProbabilities(p []float64, gold []bool) (*Probabilities, error) {
	if err := sameLength(len(gold), len(p)); err != nil {
		return nil, err
	}
	for i, x := range p {
		if !(x >= 0 && x <= 1) {
			return nil, fmt.Errorf("第 %d 行的概率是 %v，不在 0 到 1 之间；请检查模型输出", i+1, x)
		}
	}
	return &Probabilities{p: slices.Clone(p), gold: slices.Clone(gold)}, nil
}

// Brier is the mean squared error of the probability, in [0, 1].
func (c *Probabilities) Brier() Measure {
	return c.mean(func(p, y float64) float64 { return (p - y) * (p - y) })
}

// LogLoss is the mean −ln of the probability given to what was the case.
func (c *Probabilities) LogLoss() Measure {
	return c.mean(func(p, y float64) float64 {
		clip := func(x float64) float64 { return min(max(x, smallest), 1-smallest) }
		no, yes := clip(1-p), clip(p)
		if y == 1 {
			return -math.Log(yes / (no + yes))
		}
		return -math.Log(no / (no + yes))
	})
}

func (c *Probabilities) mean(of func(p, y float64) float64) Measure {
	num := make([]float64, len(c.p))
	for i, p := range c.p {
		num[i] = of(p, number(c.gold[i]))
	}
	return ratio{num: num}
}

// Binning says how probabilities are put into bins.
type Binning int

const (
	// EqualWidth cuts [0, 1] into m bins (lo, hi] of one width; 0 is in the first.
	EqualWidth Binning = iota
	// EqualMass cuts at the quantiles of the probabilities as given (linear
	// interpolation), so that bins hold about as many rows each. Equal
	// probabilities share a bin; a cut at a value belongs to the lower bin.
	EqualMass
)

// edges are the m−1 inner cuts; bin b holds edges[b-1] < p ≤ edges[b].
func (c *Probabilities) edges(m int, how Binning) []float64 {
	out := make([]float64, 0, m)
	sorted := slices.Clone(c.p)
	slices.Sort(sorted)
	for i := 1; i < m; i++ {
		if how == EqualWidth || len(sorted) == 0 {
			out = append(out, float64(i)/float64(m))
			continue
		}
		// The quantile i/m lies at position i(n−1)/m of the sorted values; the
		// whole part in whole numbers keeps a cut on a value exactly there.
		at, rest := i*(len(sorted)-1)/m, i*(len(sorted)-1)%m
		cut := sorted[at]
		if rest > 0 {
			cut += (sorted[at+1] - cut) * float64(rest) / float64(m)
		}
		out = append(out, cut)
	}
	return out
}

// binned is a figure of the gap between probability and rate, bin by bin. The
// bins are laid on the rows as given; weights change what they hold.
type binned struct {
	bin  []int32
	p, y []float64
	m    int
	// of folds one bin's share of the rows and |mean p − rate| into the figure.
	of func(sofar, share, gap float64) float64
}

func (b *binned) Len() int { return len(b.p) }

func (b *binned) Value(w []float64) float64 {
	sums := make([]struct{ w, p, y float64 }, b.m)
	total := 0.0
	for i, k := range b.bin {
		x := weight(w, i)
		s := &sums[k]
		s.w += x
		s.p += x * b.p[i]
		s.y += x * b.y[i]
		total += x
	}
	if total == 0 {
		return math.NaN()
	}
	value := 0.0
	for _, s := range sums {
		if s.w > 0 {
			value = b.of(value, s.w/total, math.Abs(s.p-s.y)/s.w)
		}
	}
	return value
}

// ECE is the expected calibration error over m ≥ 1 bins: the mean over rows of
// |mean probability − rate of positives| of their bin (Naeini et al. 2015), in
// [0, 1]. It falls with fewer bins and rises with fewer rows, so compare only
// like with like.
func (c *Probabilities) ECE(m int, how Binning) Measure {
	return c.binned(m, how, func(sofar, share, gap float64) float64 { return sofar + share*gap })
}

// MCE is the largest |mean probability − rate of positives| of any bin.
func (c *Probabilities) MCE(m int, how Binning) Measure {
	return c.binned(m, how, func(sofar, share, gap float64) float64 { return max(sofar, gap) })
}

func (c *Probabilities) binned(m int, how Binning, of func(sofar, share, gap float64) float64) Measure {
	m = max(m, 1)
	edges := c.edges(m, how)
	b := &binned{bin: make([]int32, len(c.p)), p: c.p, y: make([]float64, len(c.p)), m: m, of: of}
	for i, p := range c.p {
		b.bin[i] = int32(sort.SearchFloat64s(edges, p))
		b.y[i] = number(c.gold[i])
	}
	return b
}

// Bin is one bin of a reliability diagram.
type Bin struct {
	Low, High float64 // bounds; the bin holds Low < p ≤ High, the first also p = Low
	Count     int
	Positive  int
	Mean      float64 // mean probability; 0 when Count is 0
	Rate      float64 // Positive / Count; 0 when Count is 0
}

// Reliability are the m ≥ 1 bins of a reliability diagram, empty ones included;
// ECE is Σ Count·|Mean − Rate| / n over them.
func (c *Probabilities) Reliability(m int, how Binning) []Bin {
	m = max(m, 1)
	edges := c.edges(m, how)
	out := make([]Bin, m)
	for b := range out {
		out[b].High = 1
		if b < m-1 {
			out[b].High = edges[b]
		}
		if b > 0 {
			out[b].Low = edges[b-1]
		}
	}
	for i, p := range c.p {
		b := &out[sort.SearchFloat64s(edges, p)]
		b.Count++
		b.Mean += p
		if c.gold[i] {
			b.Positive++
		}
	}
	for b := range out {
		if n := float64(out[b].Count); n > 0 {
			out[b].Mean /= n
			out[b].Rate = float64(out[b].Positive) / n
		}
	}
	return out
}

// MultiBrier is the mean over rows of Σ_k (p_k − y_k)², in [0, 2]; p[i] are the
// probabilities of all classes, gold[i] the right one's index.
func MultiBrier(p [][]float64, gold []int) (Measure, error) {
	return multi(p, gold, func(p []float64, gold int) float64 {
		sum := 0.0
		for k, x := range p {
			if k == gold {
				x--
			}
			sum += x * x
		}
		return sum
	})
}

// MultiLogLoss is the mean −ln of the probability given to the right class.
func MultiLogLoss(p [][]float64, gold []int) (Measure, error) {
	return multi(p, gold, func(p []float64, gold int) float64 {
		sum := 0.0
		for _, x := range p {
			sum += min(max(x, smallest), 1-smallest)
		}
		return -math.Log(min(max(p[gold], smallest), 1-smallest) / sum)
	})
}

func multi(p [][]float64, gold []int, of func(p []float64, gold int) float64) (Measure, error) {
	if err := sameLength(len(gold), len(p)); err != nil {
		return nil, err
	}
	num := make([]float64, len(p))
	for i, row := range p {
		sum := 0.0
		for _, x := range row {
			if !(x >= 0 && x <= 1) {
				return nil, fmt.Errorf("第 %d 行的概率里有 %v，不在 0 到 1 之间；请检查模型输出", i+1, x)
			}
			sum += x
		}
		if math.Abs(sum-1) > 1e-6 {
			return nil, fmt.Errorf("第 %d 行的概率之和是 %v，应当是 1；请先归一化", i+1, sum)
		}
		if gold[i] < 0 || gold[i] >= len(row) {
			return nil, fmt.Errorf("第 %d 行的标注类别是 %d，但只有 %d 个类别的概率", i+1, gold[i], len(row))
		}
		num[i] = of(row, gold[i])
	}
	return ratio{num: num}, nil
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
