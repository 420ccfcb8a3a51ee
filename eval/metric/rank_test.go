package metric_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/qingting-ai/qingting/eval/metric"
)

func TestRankings(t *testing.T) {
	qrels := Qrels{"q1": {"d1": 2, "d2": 0, "d3": 1}, "q2": {"d1": 0}, "q3": {"d9": 1}}
	run := Run{
		"q1": {{"d1", 0.5}, {"新案例", 0.9}, {"d3", 0.5}, {"d2", 0.1}}, // order: 新案例, d3, d1, d2
		"q2": {{"d1", 1}},
		"q9": {{"d1", 1}},
	}
	rs := Rankings(qrels, run)
	require.Len(t, rs, 3)
	q1, q2, q3 := rs[0], rs[1], rs[2]
	require.Equal(t, []string{"q1", "q2", "q3"}, []string{q1.Query, q2.Query, q3.Query})
	ideal := 2 + 1/math.Log2(3)
	require.InDelta(t, (1/math.Log2(3)+2/math.Log2(4))/ideal, q1.NDCG(0), 1e-15, "ties by id descending: d3 before d1")
	require.InDelta(t, 1/math.Log2(3)/ideal, q1.NDCG(2), 1e-15)
	require.InDelta(t, 1.0/2, q1.ReciprocalRank(0, 1), 0)
	require.InDelta(t, 1.0/3, q1.ReciprocalRank(0, 2), 0)
	require.InDelta(t, 0, q1.ReciprocalRank(2, 2), 0)
	require.InDelta(t, 2.0/10, q1.Precision(10, 1), 0, "places beyond a short ranking hold nothing")
	require.InDelta(t, 2.0/4, q1.Precision(0, 1), 0)
	require.InDelta(t, 1, q1.Recall(3, 1), 0)
	require.InDelta(t, (1.0/2+2.0/3)/2, q1.AveragePrecision(0, 1), 1e-15)
	require.InDelta(t, 3.0/4, q1.Judged(0), 0)
	require.InDelta(t, 3.0/5, q1.Judged(5), 0)
	require.Equal(t, 2, q1.Relevant(1))
	c := q1.Condensed()
	require.InDelta(t, 1, c.ReciprocalRank(1, 1), 0)
	require.InDelta(t, 1, c.Judged(3), 0)
	require.InDelta(t, 0, q1.ReciprocalRank(1, 0), 0, "an unjudged document is relevant at no grade")
	for _, r := range []Ranking{q2, q3} {
		for _, v := range []float64{r.NDCG(5), r.Precision(5, 1), r.Recall(5, 1), r.Hit(5, 1), r.ReciprocalRank(5, 1), r.AveragePrecision(5, 1)} {
			require.Zero(t, v, r.Query)
		}
	}
	require.Equal(t, "d1", run["q1"][0].Document, "the run is not reordered")
}

func TestRandomOrder(t *testing.T) {
	qrels := Qrels{"q1": {"a": 1, "b": 0, "c": 0, "d": 0}, "q2": {"a": 2, "b": 1}}
	first := func(r Ranking) float64 { return r.ReciprocalRank(0, 1) }
	both := RandomOrder(Rankings(qrels, nil), first, 20000, 7)
	// One relevant of four is at each place equally often: (1 + 1/2 + 1/3 + 1/4)/4.
	require.InDelta(t, 25.0/48, both[0], 0.01)
	require.InDelta(t, 1, both[1], 0)
	delete(qrels, "q2")
	require.Equal(t, both[:1], RandomOrder(Rankings(qrels, nil), first, 20000, 7), "other queries change nothing")
	require.NotEqual(t, both[:1], RandomOrder(Rankings(qrels, nil), first, 20000, 8))
	require.Equal(t, []float64{0}, RandomOrder(Rankings(qrels, nil), first, 0, 7))
}

func TestTRECRoundTrip(t *testing.T) {
	qrels := Qrels{"会话1": {"案例b": 2, "案例a": 0}, "q0": {"d": -1}}
	var out bytes.Buffer
	require.NoError(t, WriteQrels(&out, qrels))
	require.Equal(t, "q0 0 d -1\n会话1 0 案例a 0\n会话1 0 案例b 2\n", out.String())
	back, err := ReadQrels(&out)
	require.NoError(t, err)
	require.Equal(t, qrels, back)

	run := Run{"q1": {{"d2", 1.5}, {"d1", 1e-7}}}
	out.Reset()
	require.NoError(t, WriteRun(&out, run, "full"))
	require.Equal(t, "q1 Q0 d2 1 1.5 full\nq1 Q0 d1 2 1e-07 full\n", out.String())
	again, err := ReadRun(&out)
	require.NoError(t, err)
	require.Equal(t, run, again)

	for _, id := range []string{"", "有 空格", "全角 空格", "换\n行", "\xff"} {
		require.Error(t, WriteRun(&out, Run{id: {{"d", 1}}}, "t"), "%q", id)
		require.Error(t, WriteRun(&out, Run{"q": {{"d", 1}}}, id), "%q", id)
		require.Error(t, WriteQrels(&out, Qrels{"q": {id: 1}}), "%q", id)
	}
}

func TestTRECIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		"q1 Q0 d1 1 0.5 t\nq1 Q0 d1 2 0.4 t": "第 2 行：查询 q1 的文档 d1 出现了两次",
		"\nq1 Q0 d1 1 0.5":                   "第 2 行有 5 列",
		"q1 Q0 d1 one 0.5 t":                 "名次",
		"q1 Q0 d1 1 NaN t":                   "不是有限的数",
		"q1 Q0 d1 1 1e999 t":                 "不是有限的数",
		"q1 Q0 d1 1 高 t":                     "不是有限的数",
		"q1 Q0 \xff 1 1 t":                   "UTF-8",
		strings.Repeat("长", 1<<20):           "之后",
	} {
		_, err := ReadRun(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
	for text, want := range map[string]string{
		"q1 0 d1 1\nq1 0 d1 1": "第 2 行：查询 q1 的文档 d1 标注了两次",
		"q1 0 d1 0.5":          "不是整数",
		"q1 0 d1":              "第 1 行有 3 列",
	} {
		_, err := ReadQrels(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
	run, err := ReadRun(strings.NewReader("\uFEFFq1\tQ0  d1 1 .5 t\r\n\r\n"))
	require.NoError(t, err)
	require.Equal(t, Run{"q1": {{"d1", 0.5}}}, run)
}

func FuzzReadTREC(f *testing.F) {
	for _, s := range []string{"", "q1 Q0 d1 1 0.5 t\n", "q1 0 d1 2\n会话 0 案例 0", "\uFEFFq 0 d 1", "q 0 d\u00a0e 1", "q1 Q0 d1 1 0x1p3 t", "\xff", "q 0 \uFEFFd 9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if q, err := ReadQrels(strings.NewReader(text)); err == nil {
			var out bytes.Buffer
			if WriteQrels(&out, q) == nil {
				back, err := ReadQrels(&out)
				require.NoError(t, err)
				require.Equal(t, q, back)
			}
		}
		if run, err := ReadRun(strings.NewReader(text)); err == nil {
			var out bytes.Buffer
			if WriteRun(&out, run, "t") == nil {
				back, err := ReadRun(&out)
				require.NoError(t, err)
				require.Equal(t, run, back)
			}
			for _, r := range Rankings(Qrels{"q1": {"d1": 1}}, run) {
				require.False(t, math.IsNaN(r.NDCG(5)))
			}
		}
	})
}
