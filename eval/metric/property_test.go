package metric_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	. "github.com/qingting-ai/qingting/eval/metric"
)

// row is what every figure here can be made of.
type row struct {
	Gold, Pred         string
	GoldSet, PredSet   []string
	GoldLevel, Level   int
	Positive           bool
	Probability, Value float64
	Ratings            []float64
}

func draw(t *rapid.T, least int) []row {
	label := rapid.SampledFrom([]string{"投诉", "咨询", "建议", ""})
	set := rapid.SliceOfN(rapid.SampledFrom([]string{"price", "price.fee", "late", "rude"}), 0, 3)
	level := rapid.IntRange(0, 3)
	tenth := rapid.Map(rapid.IntRange(0, 10), func(i int) float64 { return float64(i) / 10 })
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
		rating := rapid.Map(level, func(i int) float64 { return float64(i) })
		return row{
			Gold: label.Draw(t, "gold"), Pred: label.Draw(t, "pred"), GoldSet: set.Draw(t, "goldSet"), PredSet: set.Draw(t, "predSet"),
			GoldLevel: level.Draw(t, "goldLevel"), Level: level.Draw(t, "level"), Positive: rapid.Bool().Draw(t, "positive"),
			Probability: tenth.Draw(t, "p"), Value: tenth.Draw(t, "value"), Ratings: []float64{rating.Draw(t, "a"), rating.Draw(t, "b"), rating.Draw(t, "c")},
		}
	}), least, 25).Draw(t, "rows")
}

// all measures of the rows. The flags name two exceptions: figures whose bins or
// labels are laid on the rows as given, so that repeating rows may lay others, and
// α, which knows the size of its sample.
func all(t require.TestingT, rows []row) (measures map[string]Measure, laid, sized map[string]bool) {
	column := func(of func(row) string) []string {
		out := make([]string, len(rows))
		for i, r := range rows {
			out[i] = of(r)
		}
		return out
	}
	var goldSets, predSets [][]string
	var gold, level []int
	var positive []bool
	var p, value []float64
	var ratings [][]float64
	for _, r := range rows {
		goldSets, predSets = append(goldSets, r.GoldSet), append(predSets, r.PredSet)
		gold, level = append(gold, r.GoldLevel), append(level, r.Level)
		positive, p, value = append(positive, r.Positive), append(p, r.Probability), append(value, r.Value)
		ratings = append(ratings, r.Ratings)
	}
	must := func(m Measure, err error) Measure {
		require.NoError(t, err)
		return m
	}
	c, err := NewClasses(column(func(r row) string { return r.Gold }), column(func(r row) string { return r.Pred }))
	require.NoError(t, err)
	s, err := NewLabelSets(goldSets, predSets)
	require.NoError(t, err)
	l, err := NewLevels(gold, level, 4)
	require.NoError(t, err)
	pr, err := NewProbabilities(p, positive)
	require.NoError(t, err)
	sc, err := NewScores(p, positive)
	require.NoError(t, err)
	return map[string]Measure{
		"accuracy": c.Accuracy(), "precision": c.Precision("投诉"), "recall": c.Recall("投诉"), "f1": c.F1("投诉"), "macro": c.MacroF1(),
		"weighted": c.WeightedF1(), "balanced": c.BalancedAccuracy(), "mcc": c.MCC(), "kappa": c.Kappa(),
		"micro": s.MicroF1(), "micro precision": s.MicroPrecision(), "micro recall": s.MicroRecall(), "macro sets": s.MacroF1(2),
		"subset": s.SubsetAccuracy(), "hamming": must(s.HammingLoss(4)), "hierarchical": must(HierarchicalF1(goldSets, predSets)),
		"label": s.F1("late"), "label precision": s.Precision("late"), "label recall": s.Recall("late"),
		"qwk": l.QWK(), "linear": l.LinearKappa(), "mae": l.MAE(),
		"brier": pr.Brier(), "log loss": pr.LogLoss(), "ece": pr.ECE(7, EqualWidth), "ece mass": pr.ECE(5, EqualMass), "mce": pr.MCE(7, EqualWidth),
		"auroc": sc.AUROC(), "ap": sc.AveragePrecision(), "cost": sc.ExpectedCost(Cost{Miss: 5, FalseAlarm: 1}, 0.5),
		"min cost": sc.MinCost(Cost{Miss: 5, FalseAlarm: 1}), "budget": must(sc.RecallAtBudget(0.3)),
		"mean": Mean(value), "fleiss": must(FleissKappa(ratings)),
		"nominal": must(KrippendorffAlpha(ratings, Nominal)), "ordinal": must(KrippendorffAlpha(ratings, Ordinal)), "interval": must(KrippendorffAlpha(ratings, Interval)),
	}, map[string]bool{"ece mass": true, "macro sets": true}, map[string]bool{"nominal": true, "ordinal": true, "interval": true}
}

func same(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-12*max(1, math.Abs(a))
}

func TestWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := draw(t, 0)
		w, ones, double := make([]float64, len(rows)), make([]float64, len(rows)), make([]float64, len(rows))
		var repeated []row
		for i, r := range rows {
			n := rapid.IntRange(0, 3).Draw(t, "weight")
			w[i], ones[i], double[i] = float64(n), 1, float64(2*n)
			for range n {
				repeated = append(repeated, r)
			}
		}
		measures, laid, sized := all(t, rows)
		again, _, _ := all(t, repeated)
		for name, m := range measures {
			require.Equal(t, len(rows), m.Len(), name)
			plain := m.Value(nil)
			require.True(t, same(plain, m.Value(ones)), "%s: weights of one give %v, none %v", name, m.Value(ones), plain)
			weighted := m.Value(w)
			if !sized[name] {
				require.True(t, same(weighted, m.Value(double)), "%s: doubled weights give %v, not %v", name, m.Value(double), weighted)
			}
			if !laid[name] {
				require.True(t, same(weighted, again[name].Value(nil)), "%s: weights give %v, repeated rows %v", name, weighted, again[name].Value(nil))
			}
		}
	})
}

func TestOrderOfRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := draw(t, 0)
		measures, _, _ := all(t, rows)
		shuffled, _, _ := all(t, rapid.Permutation(slices.Clone(rows)).Draw(t, "order"))
		for name, m := range measures {
			require.True(t, same(m.Value(nil), shuffled[name].Value(nil)), name)
		}
	})
}

func TestConfusionSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := draw(t, 0)
		var gold, pred []string
		for _, r := range rows {
			gold, pred = append(gold, r.Gold), append(pred, r.Pred)
		}
		c, err := NewClasses(gold, pred)
		require.NoError(t, err)
		table, total, right := c.Confusion(), 0, 0
		for i := range table.Labels {
			for j, n := range table.Counts[i] {
				total += n
				if i == j {
					right += n
				}
			}
		}
		require.Equal(t, len(rows), total)
		if len(rows) > 0 {
			require.InDelta(t, c.Accuracy().Value(nil), float64(right)/float64(total), 1e-15)
		}
	})
}

func TestRankingInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := rapid.Map(rapid.IntRange(0, 15), func(i int) string { return fmt.Sprint("案例", i) })
		qrels := Qrels{"会话": rapid.MapOf(doc, rapid.IntRange(-1, 3)).Draw(t, "qrels")}
		var docs []Scored
		for d, s := range rapid.MapOf(doc, rapid.IntRange(0, 5)).Draw(t, "run") {
			docs = append(docs, Scored{Document: d, Score: float64(s)})
		}
		r := Rankings(qrels, Run{"会话": docs})[0]
		for _, relevant := range []int{1, 2} {
			require.InDelta(t, r.Precision(1, relevant), r.ReciprocalRank(1, relevant), 0, "MRR@1 = P@1")
			require.InDelta(t, r.Precision(1, relevant), r.Hit(1, relevant), 0)
			for k := 1; k < 20; k++ {
				require.LessOrEqual(t, r.Recall(k, relevant), r.Recall(k+1, relevant))
				require.LessOrEqual(t, r.Hit(k, relevant), r.Hit(k+1, relevant))
				require.LessOrEqual(t, r.ReciprocalRank(k, relevant), r.ReciprocalRank(k+1, relevant))
				require.LessOrEqual(t, r.AveragePrecision(k, relevant), r.AveragePrecision(k+1, relevant))
				require.LessOrEqual(t, r.ReciprocalRank(k, relevant), r.Condensed().ReciprocalRank(k, relevant), "condensing flatters")
			}
			require.InDelta(t, r.AveragePrecision(0, relevant), r.AveragePrecision(99, relevant), 0)
		}
		for k := range 20 {
			require.True(t, r.NDCG(k) >= 0 && r.NDCG(k) <= 1+1e-12)
			require.GreaterOrEqual(t, r.Condensed().NDCG(k), r.NDCG(k)-1e-12)
		}
		require.InDelta(t, min(1, float64(len(docs))), r.Condensed().Judged(0)+boolNumber(len(docs) > 0 && r.Judged(0) == 0), 0)
	})
}

func boolNumber(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func TestConcurrentValues(t *testing.T) {
	rows := rapid.Custom(func(t *rapid.T) []row { return draw(t, 20) }).Example(3)
	measures, _, _ := all(t, rows)
	w := make([]float64, len(rows))
	for i := range w {
		w[i] = float64(i % 3)
	}
	for name, m := range measures {
		want := m.Value(w)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if got := m.Value(w); math.Float64bits(got) != math.Float64bits(want) && !math.IsNaN(want) {
						t.Errorf("%s: %v, not %v", name, got, want)
					}
				}
			})
		}
		wg.Wait()
	}
}
