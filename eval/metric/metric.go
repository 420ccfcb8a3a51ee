// Package metric is the arithmetic of the evaluation's figures: what share is
// right, how well probabilities are calibrated, how good a ranking is, how far
// annotators agree. It knows slices of strings, numbers and grades and nothing
// of suites, files or analyses, so every figure can be checked against a
// reference implementation (package xcheck does).
//
// A figure is prepared once on fixed rows and then evaluated under row weights,
// because a bootstrap asks for the same figure a thousand times: labels are
// numbered, scores sorted and probabilities binned once, and each evaluation is
// one pass over the rows. Whole weights mean what repeating the rows would mean.
//
// Figures that do not exist (a recall without a single positive) are NaN, never
// a polite 0; the exceptions are conventions of the reference and are named
// where they apply.
package metric

import (
	"fmt"
	"math"
	"slices"
)

// Measure is one figure prepared on n fixed rows. Value gives it when row i
// counts w[i] times, w[i] ≥ 0; a nil w counts each row once. It is NaN where the
// figure is undefined, so also when the weights sum to 0. A Measure is immutable
// and safe for concurrent use; len(w) must be Len().
type Measure interface {
	Len() int
	Value(w []float64) float64
}

// ratio is Σ w·num / Σ w·den, which most figures are. A nil den is 1 for every
// row. empty is the figure when the rows count but Σ w·den is 0.
type ratio struct {
	num, den []float64
	empty    float64
}

func (r ratio) Len() int { return len(r.num) }

func (r ratio) Value(w []float64) float64 {
	num, den, total := 0.0, 0.0, 0.0
	switch {
	case w == nil && r.den == nil:
		for _, x := range r.num {
			num += x
		}
		den = float64(len(r.num))
		total = den
	case w == nil:
		for i, x := range r.num {
			num += x
			den += r.den[i]
		}
		total = float64(len(r.num))
	case r.den == nil:
		for i, x := range r.num {
			num += w[i] * x
			den += w[i]
		}
		total = den
	default:
		for i, x := range r.num {
			num += w[i] * x
			den += w[i] * r.den[i]
			total += w[i]
		}
	}
	switch {
	case total == 0:
		return math.NaN()
	case den == 0:
		return r.empty
	}
	return num / den
}

// Ratio is the sum of num over the sum of den, for example false alarms per
// neutral row. den must not be negative; the figure is NaN where den sums to 0.
func Ratio(num, den []float64) (Measure, error) {
	if err := sameLength(len(num), len(den)); err != nil {
		return nil, err
	}
	return ratio{num: num, den: den, empty: math.NaN()}, nil
}

// Mean is the mean of one value a row. A NaN value takes no part, as if its row
// were not there: a query without an answer to find, a conversation that never
// escalates.
func Mean(values []float64) Measure {
	num, den := make([]float64, len(values)), make([]float64, len(values))
	for i, x := range values {
		if !math.IsNaN(x) {
			num[i], den[i] = x, 1
		}
	}
	return ratio{num: num, den: den, empty: math.NaN()}
}

// Terms are what the rows add to a figure that is a sum over a sum, such as a
// share or a mean: its value is Σ num / Σ den. ok is false for a figure of any
// other shape. The slices are new.
func Terms(m Measure) (num, den []float64, ok bool) {
	r, ok := m.(ratio)
	if !ok {
		return nil, nil, false
	}
	if den = slices.Clone(r.den); den == nil {
		den = slices.Repeat([]float64{1}, len(r.num))
	}
	return slices.Clone(r.num), den, true
}

// Counted is how many rows at least one of the measures, all on the same rows,
// is about: for a recall the rows that have the label, for a mean those with a
// value. A figure that is no sum over a sum is about every row.
func Counted(measures ...Measure) int {
	counts := map[int]bool{}
	for _, m := range measures {
		r, ok := m.(ratio)
		if !ok || r.den == nil {
			return m.Len()
		}
		for i, d := range r.den {
			if d > 0 {
				counts[i] = true
			}
		}
	}
	return len(counts)
}

// Share is the share of rows that hold.
func Share(holds []bool) Measure {
	num := make([]float64, len(holds))
	for i, b := range holds {
		if b {
			num[i] = 1
		}
	}
	return ratio{num: num}
}

func sameLength(gold, pred int) error {
	if gold != pred {
		return fmt.Errorf("两列的长度不同：一列 %d 行，另一列 %d 行；请按样本逐行对齐后再计算", gold, pred)
	}
	return nil
}

func weight(w []float64, i int) float64 {
	if w == nil {
		return 1
	}
	return w[i]
}
