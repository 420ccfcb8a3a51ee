package label

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Noise is what confident learning estimates of one column of labels: how
// often a label of each class was given to what truly is each other class.
// Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating
// Uncertainty in Dataset Labels", JAIR 70 (2021), sections 3.1 and 3.2. It is
// immutable.
//
// The method believes that the probabilities are out of sample and roughly
// calibrated, and that wrong labels depend on the class and not on the text.
// A model that is wrong in a way of its own makes right labels look wrong.
type Noise struct {
	given []int
	p     [][]float64
	k     int
	// thresholds are the mean probability of a class over the rows given it; +Inf
	// for a class that no row is given.
	thresholds []float64
	// confident counts rows by given and confidently believed class, the
	// confident joint of the paper before it is calibrated.
	confident [][]int
	counts    [][]int
	joint     [][]float64
}

// Method says which of the rows that the estimate calls wrong are named.
type Method string

// The methods of the paper, section 3.2.
const (
	// ByClass takes of every given class as many rows as are estimated to be
	// wrong, those with the least probability of it.
	ByClass Method = "class"
	// ByNoiseRate takes for every pair of classes as many rows as are estimated
	// to be so confused, those with the largest margin.
	ByNoiseRate Method = "noise-rate"
	// Both takes the rows that the two methods agree on: fewer, and more of them
	// wrong.
	Both Method = "both"
)

// Methods lists every method.
func Methods() []Method { return []Method{ByClass, ByNoiseRate, Both} }

// Suspect is a row whose given label is probably wrong.
type Suspect struct {
	Row       int // index into the rows given to Estimate
	Given     int // class
	Suggested int // the most probable class, never Given
	// GivenP and SuggestedP are the out-of-sample probabilities of both.
	GivenP, SuggestedP float64
	// Margin is the normalised margin, (GivenP − SuggestedP + 1)/2 in [0, 0.5];
	// the smaller, the more suspect.
	Margin float64
}

// leastRows is the smallest column that is looked at; with fewer rows the mean
// probability of a class is one or two rows.
const leastRows = 20

// Estimate looks at n labels, given[i] in 0 … k−1, with the out-of-sample
// probabilities p[i] of the k ≥ 2 classes, each row in [0, 1] and summing to 1.
// It keeps both slices and changes neither.
func Estimate(given []int, p [][]float64) (*Noise, error) {
	if len(given) != len(p) {
		return nil, fmt.Errorf("标注有 %d 行，概率有 %d 行，请逐行对齐", len(given), len(p))
	}
	if len(given) < leastRows {
		return nil, fmt.Errorf("只有 %d 行标注，至少要 %d 行才能估计标注错误", len(given), leastRows)
	}
	e := &Noise{given: given, p: p, k: len(p[0])}
	if e.k < 2 {
		return nil, errors.New("至少要有两个类别")
	}
	for i, row := range p {
		if len(row) != e.k {
			return nil, fmt.Errorf("第 %d 行有 %d 个概率，第 1 行有 %d 个", i+1, len(row), e.k)
		}
		if given[i] < 0 || given[i] >= e.k {
			return nil, fmt.Errorf("第 %d 行的标注是第 %d 类，不在 0 到 %d 之间", i+1, given[i], e.k-1)
		}
		sum := 0.0
		for _, x := range row {
			if !(x >= 0 && x <= 1) {
				return nil, fmt.Errorf("第 %d 行的概率 %v 不在 0 到 1 之间", i+1, x)
			}
			sum += x
		}
		if math.Abs(sum-1) > 1e-3 {
			return nil, fmt.Errorf("第 %d 行的概率之和是 %.4f，应为 1", i+1, sum)
		}
	}
	e.threshold()
	e.count()
	e.calibrate()
	return e, nil
}

func (e *Noise) threshold() {
	e.thresholds = make([]float64, e.k)
	rows := make([]float64, e.k)
	for i, g := range e.given {
		e.thresholds[g] += e.p[i][g]
		rows[g]++
	}
	for j := range e.thresholds {
		if rows[j] == 0 {
			e.thresholds[j] = math.Inf(1)
		} else {
			e.thresholds[j] /= rows[j]
		}
	}
}

// believed is the class a row confidently belongs to: of the classes at or
// above their thresholds the most probable, −1 when there is none. The slack
// keeps a class whose rows all have one probability at its own mean.
func (e *Noise) believed(row []float64) int {
	const slack = 1e-6
	best := -1
	for j, x := range row {
		if x >= e.thresholds[j]-slack && (best < 0 || x > row[best]) {
			best = j
		}
	}
	return best
}

func (e *Noise) count() {
	e.confident = square[int](e.k)
	for i, g := range e.given {
		if j := e.believed(e.p[i]); j >= 0 {
			e.confident[g][j]++
		}
	}
	// A class is never wholly wrong, else its row could not be calibrated.
	for j := range e.k {
		e.confident[j][j] = max(e.confident[j][j], 1)
	}
}

// calibrate scales every row of the confident joint to the number of rows given
// that class, so that the estimate has the label counts of the data.
func (e *Noise) calibrate() {
	e.joint, e.counts = square[float64](e.k), make([][]int, e.k)
	n := make([]float64, e.k)
	for _, g := range e.given {
		n[g]++
	}
	for i, row := range e.confident {
		total := 0
		for _, c := range row {
			total += c
		}
		expected := make([]float64, e.k)
		for j, c := range row {
			expected[j] = float64(c) / float64(total) * n[i]
			e.joint[i][j] = expected[j] / float64(len(e.given))
		}
		e.counts[i] = whole(expected)
	}
}

// whole rounds numbers so that their (whole) sum stays: the ones that rounding
// moved farthest give way.
func whole(x []float64) []int {
	out, order := make([]int, len(x)), make([]int, len(x))
	sum, rounded := 0.0, 0
	for i, v := range x {
		out[i], order[i] = int(math.RoundToEven(v)), i
		sum += v
		rounded += out[i]
	}
	missing := int(math.Round(sum)) - rounded
	step := 1
	if missing < 0 {
		step = -1
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[a]-float64(out[a]), x[b]-float64(out[b])) })
	if step > 0 {
		slices.Reverse(order) // of equals the last, as cleanlab has it
	}
	for _, i := range order[:min(len(order), missing*step)] {
		out[i] += step
	}
	return out
}

func square[N any](k int) [][]N {
	out := make([][]N, k)
	for i := range out {
		out[i] = make([]N, k)
	}
	return out
}

// Joint is the estimated share of rows by given (first index) and true class;
// it sums to 1. The caller may change it.
func (e *Noise) Joint() [][]float64 {
	out := make([][]float64, e.k)
	for i := range out {
		out[i] = slices.Clone(e.joint[i])
	}
	return out
}

// Rate is the estimated share of labels that are wrong, in [0, 1].
func (e *Noise) Rate() float64 {
	right := 0.0
	for j := range e.k {
		right += e.joint[j][j]
	}
	return min(1, max(0, 1-right))
}

// Doubted counts the rows in which another class is more probable than the
// given one.
func (e *Noise) Doubted() int {
	n := 0
	for i, g := range e.given {
		if e.likeliest(i) != g {
			n++
		}
	}
	return n
}

// likeliest is the most probable class of a row; the given label wins a tie.
func (e *Noise) likeliest(i int) int {
	best := e.given[i]
	for j, x := range e.p[i] {
		if x > e.p[i][best] {
			best = j
		}
	}
	return best
}

// Credible reports whether the rate can be believed: that no more rows are
// estimated to be wrong than are doubted at all. It is not with a rare class
// whose rows the model does not know from others: its mean probability is then
// hardly above nothing, and hundreds of rows pass for it.
func (e *Noise) Credible() bool {
	return e.Rate()*float64(len(e.given)) <= float64(e.Doubted())+0.5
}

// Rates are the probabilities of the given label (second index) by true class;
// every row sums to 1, a class that is estimated never to be true is all NaN.
func (e *Noise) Rates() [][]float64 {
	out := square[float64](e.k)
	for j := range e.k {
		total := 0.0
		for i := range e.k {
			total += e.joint[i][j]
		}
		for i := range e.k {
			out[j][i] = math.NaN()
			if total > 0 {
				out[j][i] = e.joint[i][j] / total
			}
		}
	}
	return out
}

// Suspects names the rows whose label is probably wrong, the smallest margin
// first, of equals the earlier row. A row whose given label is the most
// probable one is never named.
func (e *Noise) Suspects(how Method) ([]Suspect, error) {
	var named []bool
	switch how {
	case ByClass:
		named = e.byClass()
	case ByNoiseRate:
		named = e.byNoiseRate()
	case Both:
		named = e.byClass()
		for i, also := range e.byNoiseRate() {
			named[i] = named[i] && also
		}
	default:
		return nil, fmt.Errorf("方法 %q 不认识，只能是 class、noise-rate 或 both", how)
	}
	out := []Suspect{}
	for i, g := range e.given {
		if best := e.likeliest(i); named[i] && best != g {
			out = append(out, Suspect{
				Row: i, Given: g, Suggested: best, GivenP: e.p[i][g], SuggestedP: e.p[i][best],
				Margin: (e.p[i][g] - e.p[i][best] + 1) / 2,
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Suspect) int { return cmp.Compare(a.Margin, b.Margin) })
	return out, nil
}

// rowsOf lists the rows by given class.
func (e *Noise) rowsOf() [][]int {
	out := make([][]int, e.k)
	for i, g := range e.given {
		out[g] = append(out[g], i)
	}
	return out
}

func (e *Noise) byClass() []bool {
	named := make([]bool, len(e.given))
	for k, rows := range e.rowsOf() {
		slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(e.p[a][k], e.p[b][k]) })
		// One row of every class is always left.
		for _, i := range rows[:max(0, len(rows)-max(e.counts[k][k], 1))] {
			named[i] = true
		}
	}
	return named
}

func (e *Noise) byNoiseRate() []bool {
	named := make([]bool, len(e.given))
	for k, rows := range e.rowsOf() {
		if len(rows) < 2 {
			continue
		}
		for j, n := range e.counts[k] {
			if j == k || n == 0 {
				continue
			}
			slices.SortStableFunc(rows, func(a, b int) int {
				return cmp.Compare(e.p[b][j]-e.p[b][k], e.p[a][j]-e.p[a][k])
			})
			for _, i := range rows[:min(n, len(rows))] {
				named[i] = true
			}
		}
	}
	return named
}
