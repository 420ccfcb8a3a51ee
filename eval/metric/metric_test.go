package metric_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/qingting-ai/qingting/eval/metric"
)

func TestNMDAndRSNOD(t *testing.T) {
	for _, c := range []struct {
		name       string
		p, q       []float64
		nmd, rsnod float64
	}{
		{"the same, as shares and as votes", []float64{0.25, 0.5, 0.25}, []float64{5, 10, 5}, 0, 0},
		{
			// NMD: cumulative p = 1, 1, 1; q = 0, 0, 1: (1 + 1 + 0) / 2 = 1.
			// RSNOD: squared differences 1, 0, 1.
			//   OD(q‖p) over p's bin 0: DW(0) = 0·1 + 1·0 + 2·1 = 2
			//   OD(p‖q) over q's bin 2: DW(2) = 2·1 + 1·0 + 0·1 = 2
			//   √((2 + 2) / 2 / 2) = 1
			"all votes at opposite ends", []float64{1, 0, 0}, []float64{0, 0, 1}, 1, 1,
		},
		{
			// NMD: cumulative p = 1, 1, 1; q = 0, 1, 1: (1 + 0 + 0) / 2 = 0.5.
			// RSNOD: squared differences 1, 1, 0.
			//   p's bin 0: DW(0) = 0·1 + 1·1 + 2·0 = 1
			//   q's bin 1: DW(1) = 1·1 + 0·1 + 1·0 = 1
			//   √((1 + 1) / 2 / 2) = √0.5
			"all votes one level off", []float64{1, 0, 0}, []float64{0, 1, 0}, 0.5, math.Sqrt(0.5),
		},
		{
			// p = 0.5, 0.5, 0, 0; q = 0, 0.5, 0.25, 0.25.
			// NMD: cumulative p = 0.5, 1, 1, 1; q = 0, 0.5, 0.75, 1:
			//   (0.5 + 0.5 + 0.25 + 0) / 3 = 1.25/3.
			// RSNOD: squared differences 0.25, 0, 0.0625, 0.0625.
			//   DW(0) = 0 + 0 + 2·0.0625 + 3·0.0625 = 0.3125
			//   DW(1) = 0.25 + 0 + 0.0625 + 2·0.0625 = 0.4375
			//   DW(2) = 2·0.25 + 0 + 0 + 0.0625 = 0.5625
			//   DW(3) = 3·0.25 + 0 + 0.0625 + 0 = 0.8125
			//   p's bins 0, 1: (0.3125 + 0.4375) / 2 = 0.375
			//   q's bins 1, 2, 3: (0.4375 + 0.5625 + 0.8125) / 3 = 1.8125/3
			//   √((0.375 + 1.8125/3) / 2 / 3)
			"four levels, empty bins on both sides", []float64{2, 2, 0, 0}, []float64{0, 2, 1, 1}, 1.25 / 3, math.Sqrt((0.375 + 1.8125/3) / 6),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, sides := range [][2][]float64{{c.p, c.q}, {c.q, c.p}} {
				nmd, err := NMD(sides[0], sides[1])
				require.NoError(t, err)
				require.InDelta(t, c.nmd, nmd, 1e-15)
				rsnod, err := RSNOD(sides[0], sides[1])
				require.NoError(t, err)
				require.InDelta(t, c.rsnod, rsnod, 1e-15)
			}
		})
	}
	for name, pair := range map[string][2][]float64{
		"one level":        {{1}, {1}},
		"not as many":      {{1, 0}, {1, 0, 0}},
		"negative":         {{1, 0}, {-1, 2}},
		"NaN":              {{1, 0}, {math.NaN(), 1}},
		"no votes":         {{1, 0}, {0, 0}},
		"infinitely many":  {{1, 0}, {math.Inf(1), 0}},
		"sum is too large": {{1, 0}, {math.MaxFloat64, math.MaxFloat64}},
	} {
		for _, of := range []func(p, q []float64) (float64, error){NMD, RSNOD} {
			v, err := of(pair[0], pair[1])
			require.Error(t, err, name)
			require.True(t, math.IsNaN(v), name)
		}
	}
}

func TestMeanAndRatio(t *testing.T) {
	nan := math.NaN()
	m := Mean([]float64{1, nan, 3})
	require.Equal(t, 3, m.Len())
	require.InDelta(t, 2, m.Value(nil), 0)
	require.InDelta(t, 1.5, m.Value([]float64{3, 9, 1}), 0)
	require.True(t, math.IsNaN(m.Value([]float64{0, 9, 0})), "only an undefined row counts")
	require.True(t, math.IsNaN(Mean(nil).Value(nil)))
	require.True(t, math.IsNaN(Share(nil).Value(nil)))
	require.InDelta(t, 0.75, Share([]bool{true, false}).Value([]float64{3, 1}), 0)
	r, err := Ratio([]float64{1, 0, 1}, []float64{1, 1, 2})
	require.NoError(t, err)
	require.InDelta(t, 0.5, r.Value(nil), 0)
	require.InDelta(t, 0.6, r.Value([]float64{1, 0, 2}), 1e-15)
	require.True(t, math.IsNaN(r.Value([]float64{0, 0, 0})))
	_, err = Ratio([]float64{1}, nil)
	require.ErrorContains(t, err, "按样本逐行对齐")
}

func TestClasses(t *testing.T) {
	c, err := NewClasses([]string{"投诉", "投诉", "咨询", ""}, []string{"投诉", "咨询", "咨询", "😡"})
	require.NoError(t, err)
	require.Equal(t, []string{"", "咨询", "投诉", "😡"}, c.Labels())
	require.Equal(t, Confusion{Labels: c.Labels(), Counts: [][]int{{0, 0, 0, 1}, {0, 1, 0, 0}, {0, 1, 1, 0}, {0, 0, 0, 0}}}, c.Confusion())
	require.InDelta(t, 0.5, c.Recall("投诉").Value(nil), 0)
	require.InDelta(t, 0, c.Recall("").Value(nil), 0)
	require.True(t, math.IsNaN(c.Recall("没有的").Value(nil)))
	require.True(t, math.IsNaN(c.F1("没有的").Value(nil)))
	require.True(t, math.IsNaN(c.Precision("投诉").Value([]float64{0, 1, 1, 1})))
	_, err = NewClasses([]string{"投诉"}, nil)
	require.Error(t, err)

	none, err := NewClasses(nil, nil)
	require.NoError(t, err)
	for name, m := range map[string]Measure{
		"accuracy": none.Accuracy(), "macro": none.MacroF1(), "weighted": none.WeightedF1(), "balanced": none.BalancedAccuracy(),
		"mcc": none.MCC(), "kappa": none.Kappa(), "f1": none.F1("投诉"),
	} {
		require.True(t, math.IsNaN(m.Value(nil)), name)
		require.Zero(t, m.Len(), name)
	}
}

func TestLevels(t *testing.T) {
	l, err := NewLevels([]int{0, 3}, []int{-7, 9}, 4)
	require.NoError(t, err)
	require.InDelta(t, 1, l.QWK().Value(nil), 0, "predictions outside the scale move to its ends")
	require.InDelta(t, 0, l.MAE().Value(nil), 0)
	for _, gold := range []int{-1, 4} {
		_, err = NewLevels([]int{1, gold}, []int{1, 1}, 4)
		require.ErrorContains(t, err, "第 2 行")
	}
	_, err = NewLevels([]int{1}, nil, 4)
	require.Error(t, err)
}

func TestLabelSets(t *testing.T) {
	s, err := NewLabelSets([][]string{{"a", "a", "b"}, {}, nil}, [][]string{{"a"}, {"c", "c"}, {}})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, s.Labels())
	require.InDelta(t, 2.0/4, s.MicroF1().Value(nil), 0, "repeated labels count once: tp 1, fp 1, fn 1")
	require.InDelta(t, 1.0/3, s.SubsetAccuracy().Value(nil), 1e-15)
	require.InDelta(t, 0.5, s.MacroF1(1).Value(nil), 0, "a has 1, b has 0, c has no gold row")
	require.True(t, math.IsNaN(s.MacroF1(2).Value(nil)))
	require.InDelta(t, 1, s.MicroF1().Value([]float64{0, 0, 1}), 0, "nothing to find and nothing found")
	require.True(t, math.IsNaN(s.MacroF1(1).Value([]float64{0, 1, 1})), "a resample without its labels")
	require.True(t, math.IsNaN(s.F1("没有的").Value(nil)))
	_, err = s.HammingLoss(2)
	require.ErrorContains(t, err, "出现了 3 个")
	_, err = NewLabelSets(nil, [][]string{{}})
	require.Error(t, err)

	require.Equal(t, []string{"price", "price.fee", "price.fee.hidden"}, WithAncestors([]string{"price.fee.hidden", "price"}))
	require.Empty(t, WithAncestors(nil))
	h, err := HierarchicalF1([][]string{{"price.hidden_fee"}}, [][]string{{"price.overcharge"}})
	require.NoError(t, err)
	require.InDelta(t, 0.5, h.Value(nil), 0)
}

func TestReliability(t *testing.T) {
	p, err := NewProbabilities([]float64{0, 0.5, 0.5, 0.9, 1}, []bool{false, true, false, true, true})
	require.NoError(t, err)
	require.Equal(t, []Bin{
		{Low: 0, High: 0.5, Count: 3, Positive: 1, Mean: 1.0 / 3, Rate: 1.0 / 3},
		{Low: 0.5, High: 1, Count: 2, Positive: 2, Mean: 0.95, Rate: 1},
	}, p.Reliability(2, EqualWidth))
	require.Equal(t, p.Reliability(1, EqualWidth), p.Reliability(0, EqualMass), "no bins is one")
	for _, how := range []Binning{EqualWidth, EqualMass} {
		for m := 1; m < 12; m++ {
			ece, n := 0.0, 0
			for _, b := range p.Reliability(m, how) {
				ece += float64(b.Count) * math.Abs(b.Mean-b.Rate) / 5
				n += b.Count
			}
			require.Equal(t, 5, n)
			require.InDelta(t, p.ECE(m, how).Value(nil), ece, 1e-15)
		}
	}
	require.False(t, math.IsInf(p.LogLoss().Value(nil), 0), "a certain and wrong probability is finite")
	for _, bad := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1)} {
		_, err := NewProbabilities([]float64{0.5, bad}, []bool{true, true})
		require.ErrorContains(t, err, "第 2 行")
		_, err = MultiBrier([][]float64{{0.5, 0.5}, {bad, 0.5}}, []int{0, 0})
		require.ErrorContains(t, err, "第 2 行")
	}
	_, err = MultiLogLoss([][]float64{{0.5, 0.4}}, []int{0})
	require.ErrorContains(t, err, "应当是 1")
	_, err = MultiLogLoss([][]float64{{0.5, 0.5}}, []int{2})
	require.ErrorContains(t, err, "只有 2 个类别")
	empty, err := NewProbabilities(nil, nil)
	require.NoError(t, err)
	require.True(t, math.IsNaN(empty.ECE(10, EqualMass).Value(nil)))
	require.Len(t, empty.Reliability(3, EqualMass), 3)
}

func TestScores(t *testing.T) {
	s, err := NewScores([]float64{0.2, 0.9, 0.9, 0.9, 0.1}, []bool{false, true, false, true, true})
	require.NoError(t, err)
	require.Equal(t, []Cut{
		{Threshold: math.Inf(1), FN: 3, TN: 2},
		{Threshold: 0.9, TP: 2, FP: 1, FN: 1, TN: 1},
		{Threshold: 0.2, TP: 2, FP: 2, FN: 1},
		{Threshold: 0.1, TP: 3, FP: 2},
	}, s.Cuts())
	budget := func(share float64) float64 {
		m, err := s.RecallAtBudget(share)
		require.NoError(t, err)
		return m.Value(nil)
	}
	require.InDelta(t, 0, budget(0), 0)
	require.InDelta(t, 2.0/9, budget(0.2), 1e-15, "one of a tie of three with two positives, in expectation")
	require.InDelta(t, 2.0/3, budget(0.6), 1e-15)
	require.InDelta(t, 1, budget(1), 0)
	_, err = s.RecallAtBudget(1.5)
	require.Error(t, err)
	require.InDelta(t, (2*1+0)/5.0, s.MinCost(Cost{Miss: 10, FalseAlarm: 1}).Value(nil), 1e-15, "alert on all")
	require.InDelta(t, 2.0/5, s.MinCost(Cost{Miss: 1, FalseAlarm: 1}).Value(nil), 1e-15, "alert from 0.9")
	require.InDelta(t, 3.0/5, s.MinCost(Cost{Miss: 1, FalseAlarm: 100}).Value(nil), 1e-15, "alert on none")
	require.InDelta(t, 1, Cut{FN: 1}.Precision(), 0)
	require.InDelta(t, (10*1+1)/5.0, s.Cuts()[1].Cost(Cost{Miss: 10, FalseAlarm: 1}), 1e-15)
	for _, m := range []Measure{s.AUROC(), s.AveragePrecision()} {
		require.True(t, math.IsNaN(m.Value([]float64{1, 0, 1, 0, 0})), "no positive row counts")
	}
	for _, bad := range []float64{math.NaN(), math.Inf(-1)} {
		_, err = NewScores([]float64{bad}, []bool{true})
		require.ErrorContains(t, err, "第 1 行")
	}
}

func TestLead(t *testing.T) {
	for _, c := range []struct {
		name       string
		scores     []float64
		escalation int
		messages   int
		early      bool
	}{
		{"three messages before", []float64{0.1, 0.8, 0.2, 0.9, 1}, 4, 3, true},
		{"at the escalation itself is too late", []float64{0.1, 0.2, 0.9}, 2, 0, false},
		{"never", []float64{0.1, 0.2, 0.3}, 2, 0, false},
		{"escalates at once", []float64{0.9}, 0, 0, false},
		{"equal to the threshold", []float64{0.5, 0.1}, 1, 1, true},
		{"no messages", nil, 3, 0, false},
	} {
		messages, early := Lead(c.scores, 0.5, c.escalation)
		require.Equal(t, c.messages, messages, c.name)
		require.Equal(t, c.early, early, c.name)
	}
}

func TestAgreement(t *testing.T) {
	codes := Codes([][]string{{"投诉", ""}, {"咨询", "投诉"}})
	require.InDelta(t, 1, codes[0][0], 0)
	require.True(t, math.IsNaN(codes[0][1]))
	require.Equal(t, []float64{0, 1}, codes[1])

	_, err := FleissKappa(codes)
	require.ErrorContains(t, err, "第 1 项有缺失")
	_, err = FleissKappa([][]float64{{1, 1}, {1, 1, 1}})
	require.ErrorContains(t, err, "第 2 项有 3 个")
	_, err = FleissKappa([][]float64{{1}})
	require.Error(t, err)
	_, err = KrippendorffAlpha([][]float64{{1, math.Inf(1)}}, Interval)
	require.Error(t, err)
	_, err = KrippendorffAlpha(nil, Level(7))
	require.Error(t, err)
	empty, err := KrippendorffAlpha([][]float64{{1, Missing()}, {}}, Nominal)
	require.NoError(t, err)
	require.True(t, math.IsNaN(empty.Value(nil)), "nothing is paired")

	// Krippendorff (2011), section C: 4 observers, 12 units; α is 0.743 nominal,
	// 0.815 ordinal and 0.849 interval.
	x := Missing()
	ratings := [][]float64{
		{1, 1, x, 1},
		{2, 2, 3, 2},
		{3, 3, 3, 3},
		{3, 3, 3, 3},
		{2, 2, 2, 2},
		{1, 2, 3, 4},
		{4, 4, 4, 4},
		{1, 1, 2, 1},
		{2, 2, 2, 2},
		{x, 5, 5, 5},
		{x, x, 1, 1},
		{x, x, 3, x},
	}
	for level, want := range map[Level]float64{Nominal: 0.743, Ordinal: 0.815, Interval: 0.849} {
		alpha, err := KrippendorffAlpha(ratings, level)
		require.NoError(t, err)
		require.InDelta(t, want, alpha.Value(nil), 5e-4)
	}
}

func TestErrorsAreForPeople(t *testing.T) {
	_, a := NewScores([]float64{1}, nil)
	_, b := ReadRun(strings.NewReader("q1 Q0 d1 1"))
	for _, err := range []error{a, b} {
		require.Regexp(t, `\p{Han}`, err.Error())
	}
}

func TestTermsAndCounted(t *testing.T) {
	c, err := NewClasses([]string{"投诉", "投诉", "咨询", ""}, []string{"投诉", "咨询", "咨询", "投诉"})
	require.NoError(t, err)
	num, den, ok := Terms(c.Recall("投诉"))
	require.True(t, ok)
	require.Equal(t, []float64{1, 0, 0, 0}, num)
	require.Equal(t, []float64{1, 1, 0, 0}, den)
	_, den, ok = Terms(Share([]bool{true, false}))
	require.True(t, ok)
	require.Equal(t, []float64{1, 1}, den)
	_, _, ok = Terms(c.MacroF1())
	require.False(t, ok)

	require.Equal(t, 2, Counted(c.Recall("投诉")))
	require.Equal(t, 3, Counted(c.Recall("投诉"), c.Precision("投诉")), "rows that either is about")
	require.Equal(t, 0, Counted(c.Recall("没有的")))
	require.Equal(t, 4, Counted(c.MacroF1()))
	require.Equal(t, 1, Counted(Mean([]float64{math.NaN(), 0})))
}
