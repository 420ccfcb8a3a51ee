package metric

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
)

// LabelSets holds gold and predicted sets of labels, one pair a row. Repeated
// labels count once.
type LabelSets struct {
	labels []string
	// gold and pred are each row's label numbers, ascending.
	gold, pred [][]int32
}

// NewLabelSets pairs gold with predicted sets of labels.
func NewLabelSets(gold, pred [][]string) (*LabelSets, error) {
	if err := sameLength(len(gold), len(pred)); err != nil {
		return nil, err
	}
	var labels []string
	for i := range gold {
		labels = append(append(labels, gold[i]...), pred[i]...)
	}
	sort.Strings(labels)
	labels = slices.Compact(labels)
	number := make(map[string]int32, len(labels))
	for i, l := range labels {
		number[l] = int32(i)
	}
	numbers := func(sets [][]string) [][]int32 {
		out := make([][]int32, len(sets))
		for i, set := range sets {
			row := make([]int32, len(set))
			for j, l := range set {
				row[j] = number[l]
			}
			slices.Sort(row)
			out[i] = slices.Compact(row)
		}
		return out
	}
	return &LabelSets{labels: labels, gold: numbers(gold), pred: numbers(pred)}, nil
}

// counts of one row: labels on both sides, only predicted, only gold.
func (s *LabelSets) counts(row int) (tp, fp, fn int) {
	for _, l := range s.gold[row] {
		if _, both := slices.BinarySearch(s.pred[row], l); both {
			tp++
		}
	}
	return tp, len(s.pred[row]) - tp, len(s.gold[row]) - tp
}

// Labels are the labels that occur on either side, in byte order.
func (s *LabelSets) Labels() []string { return slices.Clone(s.labels) }

// MicroF1 is 2tp/(2tp+fp+fn) over all labels of all rows; 1 when no row has a
// label on either side, as in the project's scorer.
func (s *LabelSets) MicroF1() Measure {
	num, den := make([]float64, len(s.gold)), make([]float64, len(s.gold))
	for i := range s.gold {
		tp, fp, fn := s.counts(i)
		num[i], den[i] = float64(2*tp), float64(2*tp+fp+fn)
	}
	return ratio{num: num, den: den, empty: 1}
}

// MicroPrecision is the share of predicted labels that are right.
func (s *LabelSets) MicroPrecision() Measure {
	num, den := make([]float64, len(s.gold)), make([]float64, len(s.gold))
	for i := range s.gold {
		tp, fp, _ := s.counts(i)
		num[i], den[i] = float64(tp), float64(tp+fp)
	}
	return ratio{num: num, den: den, empty: math.NaN()}
}

// MicroRecall is the share of gold labels that are predicted.
func (s *LabelSets) MicroRecall() Measure {
	num, den := make([]float64, len(s.gold)), make([]float64, len(s.gold))
	for i := range s.gold {
		tp, _, fn := s.counts(i)
		num[i], den[i] = float64(tp), float64(tp+fn)
	}
	return ratio{num: num, den: den, empty: math.NaN()}
}

// SubsetAccuracy is the share of rows whose sets are equal.
func (s *LabelSets) SubsetAccuracy() Measure {
	equal := make([]bool, len(s.gold))
	for i := range s.gold {
		equal[i] = slices.Equal(s.gold[i], s.pred[i])
	}
	return Share(equal)
}

// HammingLoss is the share of wrong yes-or-no decisions when each row decides on
// every label of a taxonomy of that size, in [0, 1].
func (s *LabelSets) HammingLoss(taxonomy int) (Measure, error) {
	if taxonomy < len(s.labels) || taxonomy < 1 {
		return nil, fmt.Errorf("标签体系只有 %d 个标签，数据里却出现了 %d 个；请传入完整的标签数", taxonomy, len(s.labels))
	}
	num := make([]float64, len(s.gold))
	for i := range s.gold {
		_, fp, fn := s.counts(i)
		num[i] = float64(fp+fn) / float64(taxonomy)
	}
	return ratio{num: num}, nil
}

// perLabel counts tp, fp and fn of every label in one pass over what rows hold.
type perLabel struct {
	rows int
	// Row i holds slots[start[i]:start[i+1]], each label*3 + (0 tp, 1 fp, 2 fn).
	start, slots []int32
	labels       []int // the labels that count
	slotCount    int
}

func (m *perLabel) Len() int { return m.rows }

func (m *perLabel) Value(w []float64) float64 {
	counts := make([]float64, m.slotCount)
	for i := range m.rows {
		x := weight(w, i)
		if x == 0 {
			continue
		}
		for _, s := range m.slots[m.start[i]:m.start[i+1]] {
			counts[s] += x
		}
	}
	sum, n := 0.0, 0
	for _, l := range m.labels {
		tp, fp, fn := counts[3*l], counts[3*l+1], counts[3*l+2]
		if tp+fp+fn > 0 {
			sum += 2 * tp / (2*tp + fp + fn)
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}

// MacroF1 is the mean F1 over the labels with at least least ≥ 1 gold rows, as in
// the project's scorer. Which labels those are is settled on the rows as given,
// so a resample is scored on the same labels; one that a resample holds on
// neither side is left out of its mean. NaN when no label has enough.
func (s *LabelSets) MacroF1(least int) Measure {
	m := &perLabel{rows: len(s.gold), start: make([]int32, 1, len(s.gold)+1), slotCount: 3 * len(s.labels)}
	support := make([]int, len(s.labels))
	for i := range s.gold {
		for _, l := range s.gold[i] {
			support[l]++
			if _, both := slices.BinarySearch(s.pred[i], l); both {
				m.slots = append(m.slots, 3*l)
			} else {
				m.slots = append(m.slots, 3*l+2)
			}
		}
		for _, l := range s.pred[i] {
			if _, both := slices.BinarySearch(s.gold[i], l); !both {
				m.slots = append(m.slots, 3*l+1)
			}
		}
		m.start = append(m.start, int32(len(m.slots)))
	}
	for l, n := range support {
		if n >= max(least, 1) {
			m.labels = append(m.labels, l)
		}
	}
	return m
}

// Precision of one label: the share of rows predicted to have it that have it.
func (s *LabelSets) Precision(label string) Measure {
	return s.ofLabel(label, func(gold, pred float64) (float64, float64) { return gold * pred, pred })
}

// Recall of one label: the share of rows that have it that are predicted to.
func (s *LabelSets) Recall(label string) Measure {
	return s.ofLabel(label, func(gold, pred float64) (float64, float64) { return gold * pred, gold })
}

// F1 of one label, 2tp/(2tp+fp+fn); NaN when it occurs on neither side.
func (s *LabelSets) F1(label string) Measure {
	return s.ofLabel(label, func(gold, pred float64) (float64, float64) { return 2 * gold * pred, gold + pred })
}

// ofLabel is a ratio of what a row's 0 or 1 for the label add to it.
func (s *LabelSets) ofLabel(label string, of func(gold, pred float64) (num, den float64)) Measure {
	l, found := slices.BinarySearch(s.labels, label)
	has := func(set []int32) float64 {
		if _, in := slices.BinarySearch(set, int32(l)); in && found {
			return 1
		}
		return 0
	}
	num, den := make([]float64, len(s.gold)), make([]float64, len(s.gold))
	for i := range s.gold {
		num[i], den[i] = of(has(s.gold[i]), has(s.pred[i]))
	}
	return ratio{num: num, den: den, empty: math.NaN()}
}

// HierarchicalF1 is micro-F1 after every code's ancestors are added on both
// sides (Kiritchenko et al. 2006), so that "price.overcharge" for
// "price.hidden_fee" is half right.
func HierarchicalF1(gold, pred [][]string) (Measure, error) {
	up := func(sets [][]string) [][]string {
		out := make([][]string, len(sets))
		for i, set := range sets {
			out[i] = WithAncestors(set)
		}
		return out
	}
	s, err := NewLabelSets(up(gold), up(pred))
	if err != nil {
		return nil, err
	}
	return s.MicroF1(), nil
}

// WithAncestors adds to dotted codes all their prefixes, each once:
// "price.hidden_fee" brings "price". The result is in byte order.
func WithAncestors(codes []string) []string {
	var out []string
	for _, code := range codes {
		for {
			out = append(out, code)
			dot := strings.LastIndexByte(code, '.')
			if dot < 0 {
				break
			}
			code = code[:dot]
		}
	}
	sort.Strings(out)
	return slices.Compact(out)
}
