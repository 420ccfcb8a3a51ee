package eval

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// leastSlice is how many scored rows a value of a slice must have to be shown.
const leastSlice = 20

// measureSuite makes all figures of one system on one suite.
func measureSuite(suite dataset.Suite, rows []*Row, r Resampling) (*SuiteMetrics, error) {
	out := &SuiteMetrics{Suite: suite, N: len(rows), Errors: map[string]int{}}
	for i := range rows {
		if e := rows[i].Error; e != "" {
			out.Unscored++
			out.Errors[e]++
		}
	}
	var err error
	if out.Figures, err = Figures(suite, rows, r); err != nil {
		return nil, err
	}
	if out.Slices, err = bySlice(suite, rows, r); err != nil {
		return nil, err
	}
	if suite == dataset.SuiteTriage {
		out.Confused, err = confused(rows)
	}
	return out, err
}

// bySlice measures the headline figures on every slice that is large enough.
// The intervals of slices take a fifth of the rounds: there are many slices, and
// one digit is all that they are read for.
func bySlice(suite dataset.Suite, rows []*Row, r Resampling) ([]SliceFigures, error) {
	sizes := map[string]map[string]int{}
	for _, row := range rows {
		if row.Error != "" {
			continue
		}
		for name, value := range row.Slices {
			if sizes[name] == nil {
				sizes[name] = map[string]int{}
			}
			sizes[name][value]++
		}
	}
	r.Rounds = max(r.rounds()/5, min(r.rounds(), 200))
	var out []SliceFigures
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		if len(sizes[name]) < 2 {
			continue // says nothing that the whole does not say
		}
		for _, value := range slices.Sorted(maps.Keys(sizes[name])) {
			if sizes[name][value] < leastSlice {
				continue
			}
			part := pick(rows, func(i int) bool { return rows[i].Slices[name] == value })
			f, err := figures(suite, part, r, func(s spec) bool { return s.headline })
			if err != nil {
				return nil, err
			}
			out = append(out, SliceFigures{name, value, f})
		}
	}
	return out, nil
}

// confused counts the single labels by gold and answer.
func confused(rows []*Row) (map[string]Matrix, error) {
	out := map[string]Matrix{}
	c := &columns{rows: scored(rows)}
	for name, of := range map[string]func(*qingting.Labels) string{
		"kind":    func(l *qingting.Labels) string { return string(l.Kind) },
		"primary": func(l *qingting.Labels) string { return string(l.Primary) },
		"emotion": func(l *qingting.Labels) string { return string(l.Emotion) },
		"risk":    func(l *qingting.Labels) string { return string(l.Risk) },
		"outcome": func(l *qingting.Labels) string { return string(l.Outcome) },
	} {
		classes, err := c.classes(field{name, of})
		if err != nil {
			return nil, err
		}
		m := classes.Confusion()
		out[name] = Matrix{Labels: m.Labels, Counts: m.Counts}
	}
	return out, nil
}

// check asserts what must hold of any figures; a run that breaks it has a fault
// in the harness, and says so instead of a number.
func check(m *Metrics) error {
	for _, s := range m.Systems {
		for _, suite := range s.Suites {
			where := fmt.Sprintf("%s/%s", s.Name, suite.Suite)
			value := map[string]float64{}
			for _, f := range suite.Figures {
				value[f.Name] = float64(f.Value)
				if f.N+f.Unscored != suite.N {
					return fmt.Errorf("harness: %s: %s counts %d rows of %d", where, f.Name, f.N+f.Unscored, suite.N)
				}
				if f.Counted > f.N {
					return fmt.Errorf("harness: %s: %s is about %d rows of %d", where, f.Name, f.Counted, f.N)
				}
				if f.Low > f.High || f.Low == f.High && !f.Degenerate {
					return fmt.Errorf("harness: %s: %s has the interval [%v, %v]", where, f.Name, f.Low, f.High)
				}
			}
			for name, c := range suite.Confused {
				total := 0
				for _, row := range c.Counts {
					for _, n := range row {
						total += n
					}
				}
				if total != suite.N-suite.Unscored {
					return fmt.Errorf("harness: %s: the confusion of %s sums to %d, not %d", where, name, total, suite.N-suite.Unscored)
				}
			}
			if a, b := value["retrieval.hit@5"], value["retrieval.mrr@10"]; !math.IsNaN(a) && a+1e-12 < value["retrieval.p@1"] {
				return fmt.Errorf("harness: %s: hit@5 %v is below p@1, mrr@10 is %v", where, a, b)
			}
		}
	}
	return nil
}

// Score measures analyses against labels, parallel to each other; a nil
// analysis is one that failed. No conversation occurs twice.
func Score(gold []qingting.Labels, analyses []*qingting.Analysis) ([]Figure, error) {
	rows := make([]*Row, len(gold))
	for i := range gold {
		rows[i] = &Row{Suite: dataset.SuiteTriage, Group: fmt.Sprint(i), Gold: &gold[i]}
		if analyses[i] == nil {
			rows[i].Error = "failed"
		} else {
			rows[i].Answer = NewAnswer(analyses[i])
		}
	}
	return Figures(dataset.SuiteTriage, rows, Resampling{})
}
