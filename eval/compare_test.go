package eval

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/metric"
)

// labelled are n rows of triage that are answered right, the wrong ones but for
// everything.
func labelled(n int, wrongs func(i int) bool) []*Row {
	rows := make([]*Row, n)
	for i := range rows {
		gold := qingting.Labels{
			Kind: qingting.KindComplaint, Types: []qingting.Type{qingting.Types()[i%7]}, Primary: qingting.Types()[i%7], Emotion: qingting.EmotionAngry, Intensity: 1 + i%3,
			Risk: qingting.RiskLevels()[i%3], Signals: []qingting.SignalCode{}, Claims: []qingting.ClaimCode{qingting.Claims()[i%3]}, Style: qingting.StyleMixed, Outcome: qingting.OutcomePending,
		}
		rows[i] = &Row{Suite: dataset.SuiteTriage, ID: fmt.Sprint("会话", i), Hash: fmt.Sprint(i), Group: fmt.Sprint(i), Gold: &gold, Error: "timeout"}
	}
	right, off := fill(rows, best), fill(rows, worst)
	for i := range rows {
		if wrongs(i) {
			right[i] = off[i]
		}
	}
	return right
}

// TestDifferencesCanBeSignificant: a system that is right everywhere against one
// that is wrong in a third must be seen through Holm's correction over all the
// figures, in those too that have no exact test.
func TestDifferencesCanBeSignificant(t *testing.T) {
	base := labelled(200, func(i int) bool { return i%3 == 0 })
	candidate := labelled(200, func(int) bool { return false })
	c, err := Compare(base, candidate, Resampling{}, 0.95)
	require.NoError(t, err)
	require.Greater(t, c.Tests, 30)
	seen := map[string]float64{}
	for _, d := range c.Deltas {
		seen[d.Name] = float64(d.Holm)
	}
	for _, name := range []string{"type.kind", "type.types_micro", "type.claims_micro", "emotion.intensity_mae", "risk.cost"} {
		require.Less(t, seen[name], 0.01, name)
	}
	require.Empty(t, c.Warnings())
	// With a twentieth of the rounds it could not be seen, and is said so.
	c, err = Compare(base, candidate, Resampling{Rounds: 100}, 0.95)
	require.NoError(t, err)
	require.Len(t, c.Warnings(), 1)
	require.Contains(t, c.Warnings()[0], "--rounds")
	// Few pairs are said to be few.
	c, err = Compare(base[:29], candidate[:29], Resampling{}, 0.95)
	require.NoError(t, err)
	require.Len(t, c.Warnings(), 1)
	require.Contains(t, c.Warnings()[0], "29 对")
}

// TestNothingChanged: the same answers differ by nothing in any figure, at p = 1,
// and intervals without width are marked.
func TestNothingChanged(t *testing.T) {
	rows := labelled(60, func(i int) bool { return i%4 == 0 })
	c, err := Compare(rows, rows, Resampling{Rounds: 200}, 0.95)
	require.NoError(t, err)
	for _, d := range c.Deltas {
		if math.IsNaN(float64(d.Delta)) {
			continue
		}
		require.Equal(t, []Number{0, 0, 0, 1}, []Number{d.Delta, d.Low, d.High, d.P}, d.Name)
		require.True(t, d.Degenerate, d.Name)
	}
}

func TestCompareRefusesRepeatedAndEmpty(t *testing.T) {
	rows := labelled(20, func(int) bool { return false })
	again := append(rows[:20:20], rows[3], rows[3])
	for name, pair := range map[string][2][]*Row{"候选": {rows, again}, "基线": {again, rows}} {
		_, err := Compare(pair[0], pair[1], Resampling{Rounds: 10}, 0.95)
		require.ErrorContains(t, err, name+"里", name)
		require.ErrorContains(t, err, "会话3 出现了 3 次")
	}
	// What only the candidate has may not be there twice either.
	other := *rows[0]
	other.Hash, other.ID = "新的", "新会话"
	_, err := Compare(rows, append(rows[:20:20], &other, &other), Resampling{Rounds: 10}, 0.95)
	require.ErrorContains(t, err, "新会话 出现了 2 次")
	// Twice on both sides is the data's affair.
	_, err = Compare(again, again, Resampling{Rounds: 10}, 0.95)
	require.NoError(t, err)
	for _, pair := range [][2][]*Row{{rows, nil}, {nil, rows}, {nil, nil}} {
		_, err := Compare(pair[0], pair[1], Resampling{}, 0.95)
		require.ErrorContains(t, err, "空的")
	}
}

// TestSharesAreNeverCertain: thirty right of thirty do not make a system that is
// always right; what has no such interval is marked.
func TestSharesAreNeverCertain(t *testing.T) {
	rows := labelled(30, func(int) bool { return false })
	for i := range rows {
		rows[i].Group = fmt.Sprint(i / 3)
	}
	figures, err := Figures(dataset.SuiteTriage, rows, Resampling{Rounds: 50})
	require.NoError(t, err)
	got := map[string]Figure{}
	for _, f := range figures {
		got[f.Name] = f
		if !math.IsNaN(float64(f.Value)) && f.Low == f.High {
			require.True(t, f.Degenerate, f.Name)
			require.True(t, strings.HasSuffix(f.Interval(), "]!"), f.Interval())
		}
	}
	kind, recall := got["type.kind"], got["risk.high_recall"]
	require.Equal(t, "1.000 [0.722, 1.000]", kind.Interval(), "ten groups of one mind, by Wilson")
	require.False(t, kind.Degenerate)
	require.Equal(t, 10, recall.Counted, "a third are high")
	require.Less(t, recall.Low, Number(0.8))
	require.Equal(t, 30, got["emotion.intensity_qwk"].Counted)
	micro := got["type.types_micro"]
	require.Equal(t, "1.000 [1.000, 1.000]!", micro.Interval())
}

// TestQueriesCount: nDCG and judged@k are over all queries, as trec_eval -c has
// them, what needs a relevant case over the queries that have one, and the
// figure says over how many.
func TestQueriesCount(t *testing.T) {
	found := []Ranked{{"a", 2}, {"b", 1}}
	qrels, run := metric.Qrels{}, metric.Run{}
	var rows []*Row
	for i, grades := range []map[string]int{{"a": 3, "b": 0}, {"b": 2}, {"c": 2}, {"a": 1, "b": 1}, {"a": 0}, {}} {
		query := fmt.Sprint("q", i)
		qrels[query], run[query] = grades, []metric.Scored{{Document: "a", Score: 2}, {Document: "b", Score: 1}}
		rows = append(rows, &Row{
			Suite: dataset.SuiteRetrieval, Group: query, Hash: query, Values: rankingValues(query, grades, found, true),
		})
	}
	figures, err := Figures(dataset.SuiteRetrieval, rows, Resampling{Rounds: 50})
	require.NoError(t, err)
	rankings := metric.Rankings(qrels, run)
	want := map[string]float64{}
	for name, of := range map[string]func(metric.Ranking) float64{
		"ndcg@5": func(r metric.Ranking) float64 { return r.NDCG(5) }, "judged@5": func(r metric.Ranking) float64 { return r.Judged(5) },
		"p@1": func(r metric.Ranking) float64 { return r.Precision(1, Relevant) }, "hit@5": func(r metric.Ranking) float64 { return r.Hit(5, Relevant) },
		"recall@10": func(r metric.Ranking) float64 { return r.Recall(10, Relevant) }, "mrr@10": func(r metric.Ranking) float64 { return r.ReciprocalRank(10, Relevant) },
		"map": func(r metric.Ranking) float64 { return r.AveragePrecision(100, Relevant) },
	} {
		over := rankings
		if name != "ndcg@5" && name != "judged@5" {
			over = slices.DeleteFunc(slices.Clone(rankings), func(r metric.Ranking) bool { return r.Relevant(Relevant) == 0 })
			require.Len(t, over, 3)
		}
		want["retrieval."+name] = metric.Mean(metric.PerQuery(over, of)).Value(nil)
	}
	seen := 0
	for _, f := range figures {
		require.Equal(t, 6, f.N, f.Name)
		all := strings.Contains(f.Name, "ndcg") || f.Name == "retrieval.judged@5"
		require.Equal(t, map[bool]int{true: 6, false: 3}[all], f.Counted, "%s: half of the queries have a case", f.Name)
		if w, ok := want[f.Name]; ok {
			require.InDelta(t, w, float64(f.Value), 1e-12, f.Name)
			seen++
		}
	}
	require.Equal(t, len(want), seen)
	// A failed query is not left out of the bounds.
	rows[0] = &Row{Suite: dataset.SuiteRetrieval, Group: "q0", Hash: "q0", Error: "timeout"}
	bounds, err := Bounds(rows)
	require.NoError(t, err)
	hit := bounds[slices.IndexFunc(bounds, func(b Bound) bool { return b.Name == "retrieval.hit@5" })]
	require.Equal(t, Bound{Name: "retrieval.hit@5", Value: 1.0 / 2, Worst: 1.0 / 3, Best: 2.0 / 3, N: 6, Counted: 3}, hit)
}

// TestQueriesAreThoseOfTrecEval: a query's figures are those metric.Ranking
// computes, which are checked against pytrec_eval.
func TestQueriesAreThoseOfTrecEval(t *testing.T) {
	grades := map[string]int{"a": 3, "b": 0, "c": 2, "d": 1}
	values := rankingValues("q", grades, []Ranked{{"b", 3}, {"x", 2}, {"c", 1}}, false)
	r := metric.Rankings(metric.Qrels{"q": grades}, metric.Run{"q": {{Document: "b", Score: 3}, {Document: "x", Score: 2}, {Document: "c", Score: 1}}})[0]
	for name, want := range map[string]float64{
		"ndcg@5": r.NDCG(5), "ndcg@10": r.NDCG(10), "judged@5": 0.4, "p@1": 0, "hit@5": 1, "recall@10": 0.5, "mrr@10": 1.0 / 3, "map": 1.0 / 6, "answered": 0,
	} {
		require.InDelta(t, want, values[name], 1e-12, name)
	}
	require.NotContains(t, values, "abstained")
}

func TestDigits(t *testing.T) {
	for x, want := range map[float64]string{0: "0.000", -0.0001: "0.000", 0.0004: "0.000", -0.0006: "-0.001", 0.25: "0.250", math.NaN(): "–", math.Inf(1): "–"} {
		require.Equal(t, want, Digits(x))
	}
	require.Equal(t, "+0.100", SignedDigits(0.1))
	require.Equal(t, "0.000", SignedDigits(-0.0002))
	require.Equal(t, "-0.100", SignedDigits(-0.1))
	undefined := Figure{Value: Number(math.NaN())}
	require.Equal(t, "–", undefined.Interval())
}
