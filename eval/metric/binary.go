package metric

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// Scores holds scores of a yes-or-no question, higher meaning yes, and the gold
// answers, sorted once by falling score. Rows of equal score form a tie that no
// figure here breaks: all of a tie is above a threshold or none.
type Scores struct {
	score []float64 // as given
	gold  []bool
	order []int32 // rows by falling score
	last  []bool  // whether order[i] is the last of its tie
}

// NewScores pairs finite scores with gold answers.
func NewScores(score []float64, gold []bool) (*Scores, error) {
	if err := sameLength(len(gold), len(score)); err != nil {
		return nil, err
	}
	s := &Scores{score: slices.Clone(score), gold: slices.Clone(gold), order: make([]int32, len(score)), last: make([]bool, len(score))}
	for i, x := range score {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("第 %d 行的分数是 %v，不是有限的数；请检查模型输出", i+1, x)
		}
		s.order[i] = int32(i)
	}
	sort.SliceStable(s.order, func(a, b int) bool { return score[s.order[a]] > score[s.order[b]] })
	for i, row := range s.order {
		s.last[i] = i+1 == len(s.order) || score[s.order[i+1]] != score[row]
	}
	return s, nil
}

// swept is a figure found by lowering the threshold tie by tie. begin is called
// with the weight of positives and of all rows and returns what each tie is
// shown to (the weight of positives and of all rows in it) and the result.
type swept struct {
	*Scores
	begin func(positives, all float64) (tie func(positives, all float64), result func() float64)
}

func (m swept) Len() int { return len(m.score) }

func (m swept) Value(w []float64) float64 {
	positives, all := 0.0, 0.0
	for i, g := range m.gold {
		x := weight(w, i)
		all += x
		if g {
			positives += x
		}
	}
	if all == 0 {
		return math.NaN()
	}
	tie, result := m.begin(positives, all)
	p, a := 0.0, 0.0
	for i, row := range m.order {
		x := weight(w, int(row))
		a += x
		if m.gold[row] {
			p += x
		}
		if m.last[i] {
			if a > 0 {
				tie(p, a)
			}
			p, a = 0, 0
		}
	}
	return result()
}

// AUROC is the probability that a positive row scores above a negative one, ties
// counting half; NaN without rows of both kinds.
func (s *Scores) AUROC() Measure {
	return swept{s, func(positives, all float64) (func(p, a float64), func() float64) {
		above, sum := 0.0, 0.0
		return func(p, a float64) {
				sum += (a - p) * (above + p/2)
				above += p
			}, func() float64 {
				return over(sum, positives*(all-positives))
			}
	}}
}

// AveragePrecision is Σ (R_n − R_{n−1}) P_n over the distinct scores, falling, as
// scikit-learn's average_precision_score; NaN without a positive row.
func (s *Scores) AveragePrecision() Measure {
	return swept{s, func(positives, _ float64) (func(p, a float64), func() float64) {
		tp, seen, sum := 0.0, 0.0, 0.0
		return func(p, a float64) {
				tp += p
				seen += a
				sum += p * tp / seen
			}, func() float64 {
				return over(sum, positives)
			}
	}}
}

// RecallAtBudget is the share of the positive rows among the share ∈ [0, 1] of
// all rows with the highest scores: how much of the trouble is seen when agents
// have time for that share of conversations. A tie cut by the budget counts in
// proportion, which is its expectation over orders, so the order of rows does
// not matter. For a budget of N alerts pass N/n. NaN without a positive row.
func (s *Scores) RecallAtBudget(share float64) (Measure, error) {
	if !(share >= 0 && share <= 1) {
		return nil, fmt.Errorf("告警预算是 %v，应当是 0 到 1 之间的比例", share)
	}
	return swept{s, func(positives, all float64) (func(p, a float64), func() float64) {
		left, found := share*all, 0.0
		return func(p, a float64) {
				found += p * min(left/a, 1)
				left = max(left-a, 0)
			}, func() float64 {
				return over(found, positives)
			}
	}}, nil
}

// Cost is what mistakes cost, in any unit; a right decision costs nothing.
type Cost struct {
	Miss       float64 // a positive row below the threshold
	FalseAlarm float64 // a negative row at or above it
}

// ExpectedCost is the mean cost a row when rows scoring at least the threshold
// are alerted.
func (s *Scores) ExpectedCost(c Cost, threshold float64) Measure {
	num := make([]float64, len(s.score))
	for i, x := range s.score {
		switch {
		case s.gold[i] && x < threshold:
			num[i] = c.Miss
		case !s.gold[i] && x >= threshold:
			num[i] = c.FalseAlarm
		}
	}
	return ratio{num: num}
}

// MinCost is the least mean cost a row that any threshold reaches, alerting on
// none and on all included. It is chosen on the rows it is measured on and so
// is a bound, not a promise.
func (s *Scores) MinCost(c Cost) Measure {
	return swept{s, func(positives, all float64) (func(p, a float64), func() float64) {
		now := positives * c.Miss
		least := now
		return func(p, a float64) {
				now += (a-p)*c.FalseAlarm - p*c.Miss
				least = min(least, now)
			}, func() float64 {
				return least / all
			}
	}}
}

// Cut is what alerting at a threshold does to the rows; curves are drawn of it.
type Cut struct {
	// Threshold is the lowest alerted score; +Inf alerts on none.
	Threshold      float64
	TP, FP, FN, TN int
}

// TPR is the recall, the y of a ROC curve and the x of a precision-recall curve;
// 0 without positives.
func (c Cut) TPR() float64 { return float64(c.TP) / float64(max(1, c.TP+c.FN)) }

// FPR is the x of a ROC curve; 0 without negatives.
func (c Cut) FPR() float64 { return float64(c.FP) / float64(max(1, c.FP+c.TN)) }

// Precision of the alerts; 1 when there are none, where a curve begins.
func (c Cut) Precision() float64 {
	if c.TP+c.FP == 0 {
		return 1
	}
	return float64(c.TP) / float64(c.TP+c.FP)
}

// Cost is the mean cost a row, the y of a cost curve; 0 without rows.
func (c Cut) Cost(of Cost) float64 {
	return (float64(c.FN)*of.Miss + float64(c.FP)*of.FalseAlarm) / float64(max(1, c.TP+c.FP+c.FN+c.TN))
}

// Cuts are all cuts that differ, by falling threshold: none alerted first, then
// one for every distinct score. ROC, precision-recall and cost curves are their
// points.
func (s *Scores) Cuts() []Cut {
	at := Cut{Threshold: math.Inf(1)}
	for _, g := range s.gold {
		if g {
			at.FN++
		} else {
			at.TN++
		}
	}
	out := []Cut{at}
	for i, row := range s.order {
		if s.gold[row] {
			at.TP++
			at.FN--
		} else {
			at.FP++
			at.TN--
		}
		if s.last[i] {
			at.Threshold = s.score[row]
			out = append(out, at)
		}
	}
	return out
}

// Lead is how many messages before a conversation's escalation the first alert
// came: scores[i] is the risk after message i, escalation the index of the
// message that escalates. Early is false when no score before the escalation
// reached the threshold, and messages is 0 then.
func Lead(scores []float64, threshold float64, escalation int) (messages int, early bool) {
	for i, x := range scores[:min(max(escalation, 0), len(scores))] {
		if x >= threshold {
			return escalation - i, true
		}
	}
	return 0, false
}
