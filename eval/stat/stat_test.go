package stat_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting/eval/metric"
	. "github.com/qingting-ai/qingting/eval/stat"
	"github.com/qingting-ai/qingting/eval/xcheck"
)

// TestReference compares every figure with what scipy and statsmodels gave for
// the committed cases; `go test ./eval/xcheck -python=… -update` renews them.
func TestReference(t *testing.T) {
	file, err := os.Open("testdata/reference.json.gz")
	require.NoError(t, err)
	defer file.Close()
	ref, err := xcheck.Read(file)
	require.NoError(t, err)
	require.NotEmpty(t, ref.Versions["statsmodels"])
	results, err := ref.Compare(xcheck.Stat)
	require.NoError(t, err)
	require.Len(t, results, 3)
	for _, r := range results {
		t.Logf("%-14s %d cases, %d figures, largest |Δ| %.2g", r.Family, r.Cases, r.Figures, r.Largest)
		require.GreaterOrEqual(t, r.Cases, 200, r.Family)
		require.True(t, r.OK(), "%s: |Δ| %g at %s", r.Family, r.Largest, r.Where)
	}
}

// normals are n values by group: each group has a mean of its own with standard
// deviation between, and its rows vary around it with within.
func normals(groups, each int, between, within float64, seed uint64) (values []float64, group []int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	for g := range groups {
		mean := between * rng.NormFloat64()
		for range each {
			values, group = append(values, mean+within*rng.NormFloat64()), append(group, g)
		}
	}
	return values, group
}

func width(t *testing.T, m Measure, groups []int) float64 {
	t.Helper()
	r, err := Bootstrap([]Measure{m}, groups, 2000, 1)
	require.NoError(t, err)
	low, high := r[0].Interval(0.95)
	return high - low
}

// TestBootstrapWidth holds the width of intervals against theory: ±1.96 standard
// errors, of rows when rows are independent and of groups when they are not.
func TestBootstrapWidth(t *testing.T) {
	values, groups := normals(400, 5, 0, 1, 3)
	theory := 2 * 1.96 / math.Sqrt(2000)
	require.InEpsilon(t, theory, width(t, metric.Mean(values), nil), 0.08)
	require.InEpsilon(t, theory, width(t, metric.Mean(values), groups), 0.12)
	values, groups = normals(400, 5, 1, 0, 3)
	theory = 2 * 1.96 / math.Sqrt(400)
	require.InEpsilon(t, theory, width(t, metric.Mean(values), groups), 0.12, "five copies of a row are one row")
	require.InEpsilon(t, theory/math.Sqrt(5), width(t, metric.Mean(values), nil), 0.12, "resampling rows would hide it")
}

func TestBootstrapIsReproducible(t *testing.T) {
	values, groups := normals(30, 3, 1, 1, 5)
	m := []Measure{metric.Mean(values), metric.Mean(values)}
	run := func(seed uint64) []Resampled {
		r, err := Bootstrap(m, groups, 200, seed)
		require.NoError(t, err)
		return r
	}
	want := run(7)
	require.Equal(t, want[0], want[1], "all measures see the same resamples")
	require.NotEqual(t, want, run(8))
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	for _, procs := range []int{1, 3, 8} {
		runtime.GOMAXPROCS(procs)
		require.Equal(t, want, run(7), "%d processors", procs)
	}
	renamed := make([]int, len(groups))
	for i, g := range groups {
		renamed[i] = -1000 * g
	}
	r, err := Bootstrap(m, renamed, 200, 7)
	require.NoError(t, err)
	require.Equal(t, want, r, "names of groups do not matter")
}

func TestBootstrapUndefined(t *testing.T) {
	gold := make([]bool, 10)
	gold[0] = true
	s, err := metric.NewScores(make([]float64, 10), gold)
	require.NoError(t, err)
	r, err := Bootstrap([]Measure{s.AUROC()}, nil, 1000, 1)
	require.NoError(t, err)
	require.InDelta(t, 1000*math.Pow(0.9, 10), r[0].Undefined, 60, "resamples that miss the only positive row")
	require.Len(t, r[0].Samples, 1000-r[0].Undefined)

	none, err := metric.NewScores([]float64{1, 2}, []bool{false, false})
	require.NoError(t, err)
	r, err = Bootstrap([]Measure{none.AUROC()}, nil, 10, 1)
	require.NoError(t, err)
	low, high := r[0].Interval(0.95)
	for _, x := range []float64{r[0].Value, low, high, r[0].PValue()} {
		require.True(t, math.IsNaN(x))
	}
	require.Equal(t, 10, r[0].Undefined)
}

func TestDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "n")
		label := rapid.SampledFrom([]string{"投诉", "咨询"})
		gold := rapid.SliceOfN(label, n, n).Draw(t, "gold")
		pred := rapid.SliceOfN(label, n, n).Draw(t, "pred")
		groups := rapid.SliceOfN(rapid.IntRange(0, 5), n, n).Draw(t, "groups")
		c, err := metric.NewClasses(gold, pred)
		require.NoError(t, err)
		d, err := Difference(c.MacroF1(), c.MacroF1())
		require.NoError(t, err)
		r, err := Bootstrap([]Measure{d}, groups, 50, 3)
		require.NoError(t, err)
		low, high := r[0].Interval(0.95)
		require.Equal(t, []float64{0, 0, 0, 1}, []float64{r[0].Value, low, high, r[0].PValue()}, "compare(A, A)")
	})
	_, err := Difference(metric.Mean([]float64{1}), metric.Mean(nil))
	require.ErrorContains(t, err, "按样本配对")
}

// TestPairedBootstrapIsPaired is that what both systems share does not widen the
// interval of their difference.
func TestPairedBootstrapIsPaired(t *testing.T) {
	base, _ := normals(300, 1, 0, 1, 1)
	candidate := make([]float64, len(base))
	for i, x := range base {
		candidate[i] = x + 0.01
	}
	d, err := Difference(metric.Mean(candidate), metric.Mean(base))
	require.NoError(t, err)
	r, err := Bootstrap([]Measure{d}, nil, 999, 1)
	require.NoError(t, err)
	low, high := r[0].Interval(0.95)
	require.InDelta(t, 0.01, low, 1e-9)
	require.InDelta(t, 0.01, high, 1e-9)
	require.InDelta(t, 2.0/1000, r[0].PValue(), 1e-15)
}

func TestBootstrapRefuses(t *testing.T) {
	m := metric.Mean([]float64{1, 2})
	for want, call := range map[string]func() ([]Resampled, error){
		"至少要 1 次": func() ([]Resampled, error) { return Bootstrap([]Measure{m}, nil, 0, 1) },
		"样本数不同":   func() ([]Resampled, error) { return Bootstrap([]Measure{m, metric.Mean(nil)}, nil, 9, 1) },
		"分组有 1 行": func() ([]Resampled, error) { return Bootstrap([]Measure{m}, []int{1}, 9, 1) },
		"没有样本":    func() ([]Resampled, error) { return Bootstrap([]Measure{metric.Mean(nil)}, nil, 9, 1) },
	} {
		_, err := call()
		require.ErrorContains(t, err, want)
	}
	r, err := Bootstrap(nil, nil, 9, 1)
	require.NoError(t, err)
	require.Empty(t, r)
	require.InDelta(t, 3, Resampled{Samples: []float64{3}}.Quantile(0.4), 0)
	require.True(t, math.IsNaN(Resampled{Samples: []float64{3}}.Quantile(math.NaN())))
}

// TestRandomise holds the test against the exact p of all 2⁸ swaps.
func TestRandomise(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for try := range 5 {
		const groups, each = 8, 3
		var base, candidate []float64
		var group []int
		sums := make([]float64, groups)
		for g := range groups {
			for range each {
				// Tenths make equal differences, which must count as equal.
				b, c := math.Round(rng.Float64()*10)/10, math.Round((rng.Float64()+0.1*float64(try))*10)/10
				base, candidate, group = append(base, b), append(candidate, c), append(group, g)
				sums[g] += c - b
			}
		}
		observed := 0.0
		for _, s := range sums {
			observed += s
		}
		beyond := 0
		for mask := range 1 << groups {
			d := 0.0
			for g, s := range sums {
				if mask>>g&1 == 1 {
					s = -s
				}
				d += s
			}
			if math.Abs(d) >= math.Abs(observed)-1e-9 {
				beyond++
			}
		}
		exact := float64(beyond) / (1 << groups)
		const rounds = 20000
		delta, p, err := Randomise(metric.Mean(append(append([]float64{}, base...), candidate...)), group, rounds, 4)
		require.NoError(t, err)
		require.InDelta(t, observed/(groups*each), delta, 1e-12)
		require.InDelta(t, exact, p, 5*math.Sqrt(exact*(1-exact)/rounds)+1e-4, "try %d", try)
	}
}

// TestRandomiseAlike is that identical systems give p = 1 and that a figure
// which is no mean is swapped as a whole.
func TestRandomiseAlike(t *testing.T) {
	gold := []string{"投诉", "咨询", "投诉", "建议"}
	both, err := metric.NewClasses(append(gold, gold...), []string{"投诉", "投诉", "咨询", "建议", "投诉", "投诉", "咨询", "建议"})
	require.NoError(t, err)
	delta, p, err := Randomise(both.MacroF1(), nil, 99, 1)
	require.NoError(t, err)
	require.Zero(t, delta)
	require.InDelta(t, 1, p, 0)

	perfect, err := metric.NewClasses(append(gold, gold...), append([]string{"建议", "建议", "建议", "投诉"}, gold...))
	require.NoError(t, err)
	delta, p, err = Randomise(perfect.MacroF1(), nil, 9999, 1)
	require.NoError(t, err)
	require.InDelta(t, 1, delta, 1e-15)
	require.InDelta(t, 2.0/16, p, 0.02, "only all and none of four swaps are as far apart")

	_, _, err = Randomise(metric.Mean([]float64{1}), nil, 9, 1)
	require.ErrorContains(t, err, "配对检验")
	_, _, err = Randomise(metric.Mean([]float64{1, 2}), nil, 0, 1)
	require.Error(t, err)
	_, _, err = Randomise(metric.Mean(nil), nil, 9, 1)
	require.Error(t, err)
	nan := math.NaN()
	_, p, err = Randomise(metric.Mean([]float64{nan, 1}), nil, 9, 1)
	require.NoError(t, err)
	require.True(t, math.IsNaN(p))
}

// TestFalseAlarms runs the paired bootstrap and the randomisation test on pairs
// of systems that do not differ: about 5 % may be called different.
func TestFalseAlarms(t *testing.T) {
	if testing.Short() {
		t.Skip("a simulation")
	}
	const pairs = 300
	bootstrap, randomised := 0, 0
	for i := range pairs {
		base, groups := normals(60, 2, 1, 1, uint64(2*i))
		candidate, _ := normals(60, 2, 1, 1, uint64(2*i+1))
		d, err := Difference(metric.Mean(candidate), metric.Mean(base))
		require.NoError(t, err)
		r, err := Bootstrap([]Measure{d}, groups, 400, 1)
		require.NoError(t, err)
		if r[0].PValue() <= 0.05 {
			bootstrap++
		}
		_, p, err := Randomise(metric.Mean(append(base, candidate...)), groups, 400, 1)
		require.NoError(t, err)
		if p <= 0.05 {
			randomised++
		}
	}
	// 15 are expected; 30 would be four standard deviations more.
	require.Less(t, bootstrap, 30)
	require.Less(t, randomised, 30)
	require.Positive(t, bootstrap)
	require.Positive(t, randomised)
}

func TestMcNemarByHand(t *testing.T) {
	// One of six: 2·(1 + 6)/64; mid-p leaves out half of the observed table twice.
	require.InDelta(t, 14.0/64, McNemar(1, 5), 1e-15)
	require.InDelta(t, 8.0/64, McNemarMidP(5, 1), 1e-15)
	require.InDelta(t, 1, McNemar(2, 2), 0)
	require.InDelta(t, 1-6.0/32, McNemarMidP(2, 2), 1e-15)
	require.InDelta(t, 1, McNemar(0, 0), 0)
	require.InDelta(t, 1, McNemarMidP(0, 0), 0)
	require.InDelta(t, math.Ldexp(1, -29), McNemar(0, 30), 1e-20)
	require.True(t, math.IsNaN(McNemar(-1, 3)))
	require.True(t, math.IsNaN(McNemarMidP(-1, 3)))
}

func TestHolm(t *testing.T) {
	nan := math.NaN()
	p := []float64{0.04, nan, 0.01, 0.03}
	got := Holm(p)
	require.InDeltaSlice(t, []float64{0.06, 0.03, 0.06}, []float64{got[0], got[2], got[3]}, 1e-15)
	require.True(t, math.IsNaN(got[1]))
	require.InDelta(t, 0.04, p[0], 0, "the input stays")
	require.Empty(t, Holm(nil))
}

func TestWilson(t *testing.T) {
	low, high, err := Wilson(0, 10, 0.95)
	require.NoError(t, err)
	require.Zero(t, low)
	require.InDelta(t, 0.277533, high, 1e-6)
	for n := 1; n < 500; n++ {
		low, _, err := Wilson(0, n, 0.9)
		require.NoError(t, err)
		_, high, err := Wilson(n, n, 0.9)
		require.NoError(t, err)
		require.Equal(t, []float64{0, 1}, []float64{low, high}, "n = %d", n)
	}
	for _, bad := range [][2]int{{0, 0}, {-1, 5}, {6, 5}} {
		_, _, err = Wilson(bad[0], bad[1], 0.95)
		require.Error(t, err, fmt.Sprint(bad))
	}
	for _, bad := range []float64{0, 1, math.NaN()} {
		_, _, err = Wilson(1, 5, bad)
		require.ErrorContains(t, err, "置信水平")
	}
}

// TestPowerIsTrue simulates what Design promises: with SampleSize examples the
// McNemar test finds the difference about as often as asked.
func TestPowerIsTrue(t *testing.T) {
	if testing.Short() {
		t.Skip("a simulation")
	}
	d := Design{Alpha: 0.05, Discordant: 0.2}
	n, err := d.SampleSize(0.06, 0.8)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	found := 0
	const tries = 2000
	for range tries {
		base, candidate := 0, 0
		for range n {
			switch u := rng.Float64(); {
			case u < 0.07:
				base++
			case u < 0.20:
				candidate++
			}
		}
		if McNemarMidP(base, candidate) <= 0.05 {
			found++
		}
	}
	require.InDelta(t, 0.8, float64(found)/tries, 0.03)
}

func TestDesign(t *testing.T) {
	for _, d := range []Design{{Alpha: 0.05, Discordant: 0.3}, {Alpha: 0.01, SD: 0.5}} {
		n, err := d.SampleSize(0.05, 0.9)
		require.NoError(t, err)
		effect, err := d.DetectableEffect(n, 0.9)
		require.NoError(t, err)
		require.LessOrEqual(t, effect, 0.05)
		require.InDelta(t, 0.05, effect, 1e-3)
		power, err := d.Power(n, -0.05)
		require.NoError(t, err)
		require.GreaterOrEqual(t, power, 0.9, "the sign does not matter")
		before, err := d.Power(n-1, 0.05)
		require.NoError(t, err)
		require.Less(t, before, 0.9, "one example fewer is not enough")
		none, err := d.Power(n, 0)
		require.NoError(t, err)
		require.InDelta(t, d.Alpha, none, 1e-12, "no difference is found α of the time")

		d.Effect = DesignEffect(4, 0.25)
		require.InDelta(t, 1.75, d.Effect, 1e-15)
		more, err := d.SampleSize(0.05, 0.9)
		require.NoError(t, err)
		require.InEpsilon(t, 1.75*float64(n), more, 0.01)
	}
	few, err := Design{Alpha: 0.05, Discordant: 0.1}.DetectableEffect(20, 0.8)
	require.NoError(t, err)
	require.True(t, math.IsInf(few, 1), "two discordant examples show nothing")
	for name, d := range map[string]Design{
		"neither": {Alpha: 0.05}, "both": {Alpha: 0.05, SD: 1, Discordant: 0.1}, "no α": {SD: 1}, "share": {Alpha: 0.05, Discordant: 1.5},
		"NaN": {Alpha: 0.05, SD: math.NaN()}, "effect": {Alpha: 0.05, SD: 1, Effect: 0.5}, "infinite": {Alpha: 0.05, SD: math.Inf(1)},
	} {
		_, err := d.Power(10, 0.1)
		require.Error(t, err, name)
		_, err = d.SampleSize(0.1, 0.8)
		require.Error(t, err, name)
		_, err = d.DetectableEffect(10, 0.8)
		require.Error(t, err, name)
	}
	ok := Design{Alpha: 0.05, Discordant: 0.1}
	for _, delta := range []float64{0, 0.2, math.NaN(), math.Inf(1), 1e-300} {
		_, err := ok.SampleSize(delta, 0.8)
		require.Error(t, err, "%v", delta)
	}
	for _, power := range []float64{0, 1, 0.01, math.NaN()} {
		_, err := ok.SampleSize(0.05, power)
		require.Error(t, err, "%v", power)
	}
	_, err = ok.Power(0, 0.05)
	require.Error(t, err)
	_, err = ok.Power(10, 0.2)
	require.Error(t, err)
	_, err = ok.DetectableEffect(0, 0.8)
	require.Error(t, err)
	// One system is right wherever the other is wrong: the difference cannot vary.
	for n, want := range map[int]float64{5: 1, 2: 0} {
		power, err := Design{Alpha: 0.05, Discordant: 1}.Power(n, 1)
		require.NoError(t, err)
		require.InDelta(t, want, power, 0)
	}
	_, err = ok.Power(10, math.NaN())
	require.Error(t, err)
}

// BenchmarkBootstrap is ten figures of 10,000 rows in 2,500 conversations, 1,000
// resamples.
func BenchmarkBootstrap(b *testing.B) {
	for _, rows := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			measures, groups := tenMeasures(b, rows)
			for b.Loop() {
				_, err := Bootstrap(measures, groups, 1000, 1)
				require.NoError(b, err)
			}
		})
	}
}

func tenMeasures(tb testing.TB, rows int) (measures []Measure, groups []int) {
	rng := rand.New(rand.NewPCG(1, 1))
	names := make([]string, 30)
	for i := range names {
		names[i] = fmt.Sprint("类", i/6, ".", i)
	}
	gold, pred, sets, predSets := make([]string, rows), make([]string, rows), make([][]string, rows), make([][]string, rows)
	level, levelPred := make([]int, rows), make([]int, rows)
	p, y := make([]float64, rows), make([]bool, rows)
	groups = make([]int, rows)
	for i := range rows {
		groups[i] = i / 4
		gold[i], pred[i] = names[rng.IntN(30)], names[rng.IntN(30)]
		sets[i], predSets[i] = []string{gold[i], names[rng.IntN(30)]}, []string{gold[i], pred[i]}
		level[i], levelPred[i] = rng.IntN(4), rng.IntN(4)
		p[i] = rng.Float64()
		y[i] = rng.Float64() < p[i]
	}
	c, err := metric.NewClasses(gold, pred)
	require.NoError(tb, err)
	s, err := metric.NewLabelSets(sets, predSets)
	require.NoError(tb, err)
	l, err := metric.NewLevels(level, levelPred, 4)
	require.NoError(tb, err)
	pr, err := metric.NewProbabilities(p, y)
	require.NoError(tb, err)
	sc, err := metric.NewScores(p, y)
	require.NoError(tb, err)
	return []Measure{
		c.Accuracy(), c.MacroF1(), c.MCC(), s.MicroF1(), s.MacroF1(5), l.QWK(), pr.Brier(), pr.ECE(10, metric.EqualMass), sc.AUROC(), sc.AveragePrecision(),
	}, groups
}

// TestClusteredWilson: rows alone are Wilson's, rows that repeat their group tell
// no more than one each, and what is seen nowhere is still possible.
func TestClusteredWilson(t *testing.T) {
	share := func(hits, n, each int) (hit, of []float64, group []int) {
		for i := range n {
			group, of = append(group, i/each), append(of, 1)
			if i < hits {
				hit = append(hit, 1)
			} else {
				hit = append(hit, 0)
			}
		}
		return hit, of, group
	}
	for _, tt := range []struct {
		name           string
		hits, n, each  int
		asHits, asRows int
	}{
		{"independent rows", 27, 40, 1, 27, 40},
		{"all right, alone", 30, 30, 1, 30, 30},
		{"all right, in groups", 30, 30, 3, 10, 10},
		{"none right, in groups", 0, 30, 3, 0, 10},
		{"groups of one mind", 15, 30, 3, 5, 10},
	} {
		hit, of, group := share(tt.hits, tt.n, tt.each)
		low, high, err := ClusteredWilson(hit, of, group, 0.95)
		require.NoError(t, err)
		wantLow, wantHigh, err := Wilson(tt.asHits, tt.asRows, 0.95)
		require.NoError(t, err)
		require.InDelta(t, wantLow, low, 1e-12, tt.name)
		require.InDelta(t, wantHigh, high, 1e-12, tt.name)
		require.Less(t, low, high, tt.name)
	}
	// Rows that do not count change nothing, and nil groups are rows alone.
	low, high, err := ClusteredWilson([]float64{1, 0, 1, 0}, []float64{1, 1, 1, 0}, nil, 0.95)
	require.NoError(t, err)
	wantLow, wantHigh, err := Wilson(2, 3, 0.95)
	require.NoError(t, err)
	require.Equal(t, []float64{wantLow, wantHigh}, []float64{low, high})

	for _, empty := range [][]float64{nil, {0, 0}} {
		low, _, err := ClusteredWilson(empty, empty, nil, 0.95)
		require.NoError(t, err)
		require.True(t, math.IsNaN(low))
	}
	for name, call := range map[string]func() (float64, float64, error){
		"half a hit":     func() (float64, float64, error) { return ClusteredWilson([]float64{0.5}, []float64{1}, nil, 0.95) },
		"hit of nothing": func() (float64, float64, error) { return ClusteredWilson([]float64{1}, []float64{0}, nil, 0.95) },
		"NaN": func() (float64, float64, error) {
			return ClusteredWilson([]float64{math.NaN()}, []float64{1}, nil, 0.95)
		},
		"lengths": func() (float64, float64, error) { return ClusteredWilson([]float64{1}, []float64{1, 1}, nil, 0.95) },
		"groups": func() (float64, float64, error) {
			return ClusteredWilson([]float64{1}, []float64{1}, []int{1, 2}, 0.95)
		},
		"sure of nothing": func() (float64, float64, error) { return ClusteredWilson([]float64{1}, []float64{1}, nil, 1) },
	} {
		_, _, err := call()
		require.Error(t, err, name)
	}
}

// TestClusteredWilsonCovers: of 2,000 samples of 30 groups whose rows agree with
// each other, the interval holds the true share about as often as it says, where
// one that takes the rows for independent does not.
func TestClusteredWilsonCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	const truth, samples = 0.9, 2000
	held, alone := 0, 0
	for range samples {
		var hits, of []float64
		var group []int
		right := 0
		for g := range 30 {
			common := rng.Float64() < truth
			for range 4 {
				is := common
				if rng.Float64() > 0.6 { // correlation 0.36 within a group
					is = rng.Float64() < truth
				}
				of, group = append(of, 1), append(group, g)
				if is {
					hits, right = append(hits, 1), right+1
				} else {
					hits = append(hits, 0)
				}
			}
		}
		low, high, err := ClusteredWilson(hits, of, group, 0.95)
		require.NoError(t, err)
		if low <= truth && truth <= high {
			held++
		}
		low, high, err = Wilson(right, len(of), 0.95)
		require.NoError(t, err)
		if low <= truth && truth <= high {
			alone++
		}
	}
	t.Logf("covers %.3f, %.3f with independent rows", float64(held)/samples, float64(alone)/samples)
	require.Greater(t, held, samples*92/100)
	require.Less(t, alone, samples*90/100)
}
