package metric

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// table is the weighted k × k confusion table, row gold, column predicted, flat.
type table struct {
	k     int
	cells []float64
}

func (t table) at(gold, pred int) float64 { return t.cells[gold*t.k+pred] }

func (t table) margins() (gold, pred []float64, total float64) {
	gold, pred = make([]float64, t.k), make([]float64, t.k)
	for i := range t.k {
		for j := range t.k {
			gold[i] += t.at(i, j)
			pred[j] += t.at(i, j)
		}
	}
	for _, x := range gold {
		total += x
	}
	return gold, pred, total
}

// tabled is a figure of the confusion table of numbered labels.
type tabled struct {
	cell []int32 // of each row: gold*k + pred
	k    int
	of   func(table) float64 // never called on an empty table
}

func (m tabled) Len() int { return len(m.cell) }

func (m tabled) Value(w []float64) float64 {
	t := table{k: m.k, cells: make([]float64, m.k*m.k)}
	total := float64(len(m.cell))
	if w == nil {
		for _, c := range m.cell {
			t.cells[c]++
		}
	} else {
		total = 0
		for i, c := range m.cell {
			t.cells[c] += w[i]
			total += w[i]
		}
	}
	if total == 0 {
		return math.NaN()
	}
	return m.of(t)
}

// Classes holds gold and predicted labels of a single-label task, numbered once
// so that its figures share them. The labels are all that occur on either side.
type Classes struct {
	labels []string
	cell   []int32
}

// NewClasses pairs gold with predicted labels, row by row. An empty string is a
// label like any other.
func NewClasses(gold, pred []string) (*Classes, error) {
	if err := sameLength(len(gold), len(pred)); err != nil {
		return nil, err
	}
	labels := slices.Concat(gold, pred)
	sort.Strings(labels)
	labels = slices.Compact(labels)
	number := make(map[string]int, len(labels))
	for i, l := range labels {
		number[l] = i
	}
	cell := make([]int32, len(gold))
	for i := range gold {
		cell[i] = int32(number[gold[i]]*len(labels) + number[pred[i]])
	}
	return &Classes{labels: labels, cell: cell}, nil
}

// Labels are the labels that occur, in byte order.
func (c *Classes) Labels() []string { return slices.Clone(c.labels) }

func (c *Classes) measure(of func(table) float64) Measure {
	return tabled{cell: c.cell, k: len(c.labels), of: of}
}

// Accuracy is the share of rows whose label is right. It is micro-F1 as well,
// which for one label a row is the same number.
func (c *Classes) Accuracy() Measure {
	num := make([]float64, len(c.cell))
	for i, x := range c.cell {
		if int(x)/len(c.labels) == int(x)%len(c.labels) {
			num[i] = 1
		}
	}
	return ratio{num: num}
}

// Precision of one label: the share of rows predicted as it that are it; NaN
// when none is predicted.
func (c *Classes) Precision(label string) Measure {
	return c.ofLabel(label, func(gold, pred float64) (float64, float64) { return gold * pred, pred })
}

// Recall of one label: the share of its rows that are predicted as it; NaN when
// it has no row.
func (c *Classes) Recall(label string) Measure {
	return c.ofLabel(label, func(gold, pred float64) (float64, float64) { return gold * pred, gold })
}

// F1 of one label, 2tp/(2tp+fp+fn); NaN when it occurs on neither side.
func (c *Classes) F1(label string) Measure {
	return c.ofLabel(label, func(gold, pred float64) (float64, float64) { return 2 * gold * pred, gold + pred })
}

// ofLabel is a ratio of what a row's 0 or 1 for the label add to it; a label
// that never occurs is 0 on every row.
func (c *Classes) ofLabel(label string, of func(gold, pred float64) (num, den float64)) Measure {
	l, found := slices.BinarySearch(c.labels, label)
	num, den := make([]float64, len(c.cell)), make([]float64, len(c.cell))
	for i, x := range c.cell {
		gold, pred := int(x)/len(c.labels), int(x)%len(c.labels)
		num[i], den[i] = of(number(found && gold == l), number(found && pred == l))
	}
	return ratio{num: num, den: den, empty: math.NaN()}
}

// MacroF1 is the mean F1 over the labels that occur on either side, as
// scikit-learn has it.
func (c *Classes) MacroF1() Measure {
	return c.measure(func(t table) float64 {
		gold, pred, _ := t.margins()
		sum, n := 0.0, 0
		for i := range t.k {
			if gold[i]+pred[i] > 0 {
				sum += 2 * t.at(i, i) / (gold[i] + pred[i])
				n++
			}
		}
		return sum / float64(n)
	})
}

// WeightedF1 is the mean F1 over labels, each weighted by its gold rows.
func (c *Classes) WeightedF1() Measure {
	return c.measure(func(t table) float64 {
		gold, pred, total := t.margins()
		sum := 0.0
		for i := range t.k {
			if gold[i] > 0 {
				sum += gold[i] * 2 * t.at(i, i) / (gold[i] + pred[i])
			}
		}
		return sum / total
	})
}

// BalancedAccuracy is the mean recall over the labels that have gold rows.
func (c *Classes) BalancedAccuracy() Measure {
	return c.measure(func(t table) float64 {
		gold, _, _ := t.margins()
		sum, n := 0.0, 0
		for i := range t.k {
			if gold[i] > 0 {
				sum += t.at(i, i) / gold[i]
				n++
			}
		}
		return sum / float64(n)
	})
}

// MCC is the Matthews correlation coefficient for any number of labels (Gorodkin
// 2004), in [−1, 1]. As in scikit-learn it is 0, not undefined, when either side
// is constant: such predictions tell nothing.
func (c *Classes) MCC() Measure {
	return c.measure(func(t table) float64 {
		gold, pred, n := t.margins()
		right, cross, gg, pp := 0.0, 0.0, 0.0, 0.0
		for i := range t.k {
			right += t.at(i, i)
			cross += gold[i] * pred[i]
			gg += gold[i] * gold[i]
			pp += pred[i] * pred[i]
		}
		den := (n*n - gg) * (n*n - pp)
		if den <= 0 {
			return 0
		}
		return (right*n - cross) / math.Sqrt(den)
	})
}

// Kappa is Cohen's κ, the agreement beyond chance, in [−1, 1]; NaN when both
// sides are one and the same constant. It serves annotators as well as systems.
func (c *Classes) Kappa() Measure {
	return c.measure(func(t table) float64 { return kappa(t, func(i, j int) float64 { return 1 }) })
}

// kappa is Cohen's κ with the cost of confusing i with j ≠ i.
func kappa(t table, cost func(i, j int) float64) float64 {
	gold, pred, n := t.margins()
	observed, expected := 0.0, 0.0
	for i := range t.k {
		for j := range t.k {
			if i != j {
				observed += cost(i, j) * t.at(i, j)
				expected += cost(i, j) * gold[i] * pred[j] / n
			}
		}
	}
	if expected == 0 {
		return math.NaN()
	}
	return 1 - observed/expected
}

// Confusion is the table of gold (rows) against predicted labels (columns).
// Counts sum to the number of rows.
type Confusion struct {
	Labels []string
	Counts [][]int
}

// Confusion counts the rows by gold and predicted label.
func (c *Classes) Confusion() Confusion {
	out := Confusion{Labels: c.Labels(), Counts: make([][]int, len(c.labels))}
	for i := range out.Counts {
		out.Counts[i] = make([]int, len(c.labels))
	}
	for _, x := range c.cell {
		out.Counts[int(x)/len(c.labels)][int(x)%len(c.labels)]++
	}
	return out
}

// Levels holds gold and predicted levels 0 … k−1 of an ordinal task.
type Levels struct {
	k          int
	gold, pred []int
}

// NewLevels pairs gold with predicted levels. Predicted levels outside the scale
// are moved to its nearest end, as the project's scorer does; gold ones are an
// error.
func NewLevels(gold, pred []int, k int) (*Levels, error) {
	if err := sameLength(len(gold), len(pred)); err != nil {
		return nil, err
	}
	l := &Levels{k: k, gold: slices.Clone(gold), pred: make([]int, len(pred))}
	for i, g := range gold {
		if g < 0 || g >= k {
			return nil, fmt.Errorf("第 %d 行的标注等级是 %d，不在 0 到 %d 之间；请检查标注", i+1, g, k-1)
		}
		l.pred[i] = min(max(pred[i], 0), k-1)
	}
	return l, nil
}

// QWK is Cohen's κ with quadratic weights, in [−1, 1]. Where both sides are one
// and the same constant it is 1, as in the project's scorer: there is nothing to
// disagree about.
func (l *Levels) QWK() Measure {
	return l.kappa(func(i, j int) float64 { return float64((i - j) * (i - j)) })
}

// LinearKappa is Cohen's κ with linear weights, otherwise as QWK.
func (l *Levels) LinearKappa() Measure {
	return l.kappa(func(i, j int) float64 { return math.Abs(float64(i - j)) })
}

func (l *Levels) kappa(cost func(i, j int) float64) Measure {
	cell := make([]int32, len(l.gold))
	for i := range l.gold {
		cell[i] = int32(l.gold[i]*l.k + l.pred[i])
	}
	return tabled{cell: cell, k: l.k, of: func(t table) float64 {
		if v := kappa(t, cost); !math.IsNaN(v) {
			return v
		}
		return 1
	}}
}

// MAE is the mean absolute error in levels.
func (l *Levels) MAE() Measure {
	num := make([]float64, len(l.gold))
	for i := range l.gold {
		num[i] = math.Abs(float64(l.gold[i] - l.pred[i]))
	}
	return ratio{num: num}
}

func over(num, den float64) float64 {
	if den == 0 {
		return math.NaN()
	}
	return num / den
}
