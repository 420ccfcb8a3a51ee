package label

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// column repeats rows: each entry is a given class, its probabilities and how
// many rows are so.
type entry struct {
	given int
	p     []float64
	n     int
}

func column(entries ...entry) (given []int, p [][]float64) {
	for _, e := range entries {
		for range e.n {
			given, p = append(given, e.given), append(p, e.p)
		}
	}
	return given, p
}

// TestEstimateByHand: thresholds are 0.74 and 0.64, so of the 20 rows given 0
// four are confidently 1, and of the 20 given 1 two are confidently 0 and eight
// are neither; calibration spreads those eight.
func TestEstimateByHand(t *testing.T) {
	given, p := column(
		entry{0, []float64{0.9, 0.1}, 16}, entry{0, []float64{0.1, 0.9}, 4},
		entry{1, []float64{0.2, 0.8}, 10}, entry{1, []float64{0.8, 0.2}, 2}, entry{1, []float64{0.45, 0.55}, 8},
	)
	e, err := Estimate(given, p)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{0.74, 0.64}, e.thresholds, 1e-12)
	require.Equal(t, [][]int{{16, 4}, {2, 10}}, e.confident)
	require.InDeltaSlice(t, []float64{0.4, 0.1}, e.Joint()[0], 1e-12)
	require.InDeltaSlice(t, []float64{20.0 / 12 * 2 / 40, 20.0 / 12 * 10 / 40}, e.Joint()[1], 1e-12)
	require.Equal(t, [][]int{{16, 4}, {3, 17}}, e.counts)
	require.InDelta(t, 0.1+1.0/12, e.Rate(), 1e-12)
	require.InDeltaSlice(t, []float64{0.4 / (0.4 + 1.0/12), (1.0 / 12) / (0.4 + 1.0/12)}, e.Rates()[0], 1e-12)

	s, err := e.Suspects(ByNoiseRate)
	require.NoError(t, err)
	require.Len(t, s, 6, "the third row given 1 is more probably 1 and is let go")
	require.Equal(t, Suspect{Row: 16, Given: 0, Suggested: 1, GivenP: 0.1, SuggestedP: 0.9, Margin: 0.1}, rounded(s[0]))
	require.Equal(t, Suspect{Row: 30, Given: 1, Suggested: 0, GivenP: 0.2, SuggestedP: 0.8, Margin: 0.2}, rounded(s[4]))

	e.Joint()[0][0] = 7
	require.InDelta(t, 0.4, e.Joint()[0][0], 1e-12, "the caller's copy")
}

func rounded(s Suspect) Suspect {
	s.Margin = math.Round(s.Margin*1e9) / 1e9
	return s
}

// TestBelieves is that a class below its own threshold is not believed though it
// is the most probable one, which cleanlab does when two others pass.
func TestBelieves(t *testing.T) {
	e := &Noise{k: 4, thresholds: []float64{0.9, 0.2, 0.25, math.Inf(1)}}
	require.Equal(t, 2, e.believed([]float64{0.4, 0.25, 0.3, 0.05}))
	require.Equal(t, 1, e.believed([]float64{0.5, 0.3, 0.1, 0.1}))
	require.Equal(t, -1, e.believed([]float64{0.8, 0.1, 0.05, 0.05}))
	require.Equal(t, -1, e.believed([]float64{0, 0, 0, 1}), "nobody is given the last class")
}

// TestLastOfItsClass is that the only row of a class is left alone.
func TestLastOfItsClass(t *testing.T) {
	given, p := column(entry{0, []float64{0.9, 0.1}, 30}, entry{1, []float64{0.95, 0.05}, 1})
	e, err := Estimate(given, p)
	require.NoError(t, err)
	require.Equal(t, []int{0, 1}, e.counts[1])
	e.counts[1] = []int{1, 0}
	for _, how := range Methods() {
		s, err := e.Suspects(how)
		require.NoError(t, err)
		require.Empty(t, s, how)
	}
}

// TestCredible: a rare class that the model cannot tell gets one row in three,
// which the estimate itself has to disown.
func TestCredible(t *testing.T) {
	given, p := column(
		entry{0, []float64{0.999, 0.001}, 200}, entry{0, []float64{0.97, 0.03}, 90}, entry{1, []float64{0.97, 0.03}, 6},
	)
	e, err := Estimate(given, p)
	require.NoError(t, err)
	require.Equal(t, 6, e.Doubted())
	require.Greater(t, e.Rate(), 0.3)
	require.False(t, e.Credible())

	given, p = column(entry{0, []float64{0.9, 0.1}, 30}, entry{1, []float64{0.1, 0.9}, 30}, entry{0, []float64{0.05, 0.95}, 4})
	e, err = Estimate(given, p)
	require.NoError(t, err)
	require.Equal(t, 4, e.Doubted())
	require.InDelta(t, 4.0/64, e.Rate(), 1e-12)
	require.True(t, e.Credible())
}

func TestWhole(t *testing.T) {
	for name, tt := range map[string]struct {
		x    []float64
		want []int
	}{
		"whole already": {[]float64{3, 0, 2}, []int{3, 0, 2}},
		"one short":     {[]float64{1.4, 1.3, 0.3}, []int{2, 1, 0}},
		"a tie":         {[]float64{1.3, 1.3, 0.4}, []int{1, 1, 1}},
		"equals":        {[]float64{0.4, 0.4, 0.2}, []int{0, 1, 0}},
		"one too many":  {[]float64{1.6, 0.7, 0.7}, []int{1, 1, 1}},
		"nothing":       {[]float64{0, 0}, []int{0, 0}},
	} {
		require.Equal(t, tt.want, whole(tt.x), name)
	}
}

// TestEstimateRefuses holds every message to the row it speaks of.
func TestEstimateRefuses(t *testing.T) {
	good := func() ([]int, [][]float64) {
		var p [][]float64
		for range 20 {
			p = append(p, []float64{0.5, 0.5})
		}
		return make([]int, 20), p
	}
	for want, spoil := range map[string]func(given []int, p [][]float64) ([]int, [][]float64){
		"逐行对齐":           func(g []int, p [][]float64) ([]int, [][]float64) { return g[:19], p },
		"只有 19 行标注":      func(g []int, p [][]float64) ([]int, [][]float64) { return g[:19], p[:19] },
		"第 3 行有 1 个概率":   func(g []int, p [][]float64) ([]int, [][]float64) { p[2] = []float64{1}; return g, p },
		"第 3 行的标注是第 2 类": func(g []int, p [][]float64) ([]int, [][]float64) { g[2] = 2; return g, p },
		"第 3 行的标注是第 -1":  func(g []int, p [][]float64) ([]int, [][]float64) { g[2] = -1; return g, p },
		"第 3 行的概率 NaN":   func(g []int, p [][]float64) ([]int, [][]float64) { p[2] = []float64{math.NaN(), 1}; return g, p },
		"第 3 行的概率 1.5":   func(g []int, p [][]float64) ([]int, [][]float64) { p[2] = []float64{1.5, -0.5}; return g, p },
		"之和是 0.9000":     func(g []int, p [][]float64) ([]int, [][]float64) { p[2] = []float64{0.4, 0.5}; return g, p },
		"至少要有两个类别": func(g []int, p [][]float64) ([]int, [][]float64) {
			for i := range p {
				p[i] = []float64{1}
			}
			return g, p
		},
	} {
		_, err := Estimate(spoil(good()))
		require.ErrorContains(t, err, want)
	}
	e, err := Estimate(good())
	require.NoError(t, err)
	require.Zero(t, e.Rate(), "a class that nobody is given is nobody's true class")
	require.True(t, math.IsNaN(e.Rates()[1][0]) || e.Rates()[1][0] == 0, "%v", e.Rates())
	_, err = e.Suspects("guess")
	require.ErrorContains(t, err, "guess")
}

// TestAgainstCleanlab compares 50 random columns with cleanlab 2.9.0, whose
// answers testdata/cleanlab.py wrote. cleanlab believes the most probable class
// of a row in which several pass their thresholds even where that class does
// not; in columns with such a row the joint may differ by one row each, and the
// suspects are not compared.
func TestAgainstCleanlab(t *testing.T) {
	f, err := os.Open("testdata/cleanlab.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var ref struct {
		Versions map[string]string
		Cases    []struct {
			Given              []int
			P                  [][]int
			Thresholds, Margin []float64
			Confident, Counts  [][]int
			Class, Both        []int
			NoiseRate          []int `json:"noise-rate"`
		}
	}
	require.NoError(t, json.NewDecoder(z).Decode(&ref))
	require.Equal(t, "2.9.0", ref.Versions["cleanlab"])
	require.Len(t, ref.Cases, 50)
	same, named := 0, 0
	for i, c := range ref.Cases {
		p := make([][]float64, len(c.P))
		for r, row := range c.P {
			for _, x := range row {
				p[r] = append(p[r], float64(x)/1e6)
			}
		}
		e, err := Estimate(c.Given, p)
		require.NoError(t, err, i)
		require.InDeltaSlice(t, c.Thresholds, e.thresholds, 1e-9, "case %d", i)
		differ := 0
		for _, row := range p {
			passing, most := 0, 0
			for j, x := range row {
				if x >= e.thresholds[j]-1e-6 {
					passing++
				}
				if x > row[most] {
					most = j
				}
			}
			if passing > 1 && most != e.believed(row) {
				differ++
			}
		}
		apart := 0
		for j := range c.Confident {
			for k := range c.Confident[j] {
				apart += abs(c.Confident[j][k] - e.confident[j][k])
			}
		}
		require.LessOrEqual(t, apart, 2*differ, "case %d", i)
		for _, how := range Methods() {
			s, err := e.Suspects(how)
			require.NoError(t, err)
			rows := []int{}
			for _, x := range s {
				rows = append(rows, x.Row)
				require.InDelta(t, c.Margin[x.Row], x.Margin, 1e-7)
			}
			if differ > 0 {
				continue
			}
			slices.Sort(rows)
			require.Equal(t, map[Method][]int{ByClass: c.Class, ByNoiseRate: c.NoiseRate, Both: c.Both}[how], rows, "case %d %s", i, how)
			named += len(rows)
		}
		if differ == 0 {
			require.Equal(t, c.Counts, e.counts, "case %d", i)
			same++
		}
	}
	t.Logf("%d of %d columns compared to the last suspect, %d suspects", same, len(ref.Cases), named)
	require.GreaterOrEqual(t, same, 47)
	require.Greater(t, named, 4000)
}

func abs(x int) int { return max(x, -x) }

// noisy draws points of k classes in the plane, mislabels them by flip (row:
// true class) and returns out-of-sample probabilities of a nearest-neighbour
// classifier that is trained on the wrong labels, in five folds.
func noisy(n int, flip [][]float64, rng *rand.Rand) (truth, given []int, p [][]float64) {
	k := len(flip)
	x := make([][2]float64, n)
	for i := range n {
		c := rng.IntN(k)
		angle := 2 * math.Pi * float64(c) / float64(k)
		x[i] = [2]float64{2.6*math.Cos(angle) + rng.NormFloat64(), 2.6*math.Sin(angle) + rng.NormFloat64()}
		truth = append(truth, c)
		u, g := rng.Float64(), 0
		for g < k-1 && u >= flip[c][g] {
			u -= flip[c][g]
			g++
		}
		given = append(given, g)
	}
	const folds = 5
	p = make([][]float64, n)
	for f := range folds {
		for i := f; i < n; i += folds {
			p[i] = neighbours(x, given, k, i, f, folds)
		}
	}
	return truth, given, p
}

// neighbours are the shares of the given labels among the 60 nearest points of
// the other folds, one added to each class.
func neighbours(x [][2]float64, given []int, k, at, fold, folds int) []float64 {
	type near struct {
		d float64
		g int
	}
	var all []near
	for i := range x {
		if i%folds != fold {
			a, b := x[i][0]-x[at][0], x[i][1]-x[at][1]
			all = append(all, near{a*a + b*b, given[i]})
		}
	}
	slices.SortFunc(all, func(a, b near) int {
		if a.d < b.d {
			return -1
		}
		return 1
	})
	out := make([]float64, k)
	const most, smooth = 60, 0.2
	for _, n := range all[:most] {
		out[n.g]++
	}
	for j := range out {
		out[j] = (out[j] + smooth) / (most + smooth*float64(k))
	}
	return out
}

// TestRecoversNoise injects known flips and holds the estimate and the rows it
// names to them.
func TestRecoversNoise(t *testing.T) {
	for name, tt := range map[string]struct {
		flip              [][]float64
		precision, recall float64
	}{
		"none":      {[][]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, 0, 0},
		"symmetric": {[][]float64{{0.9, 0.05, 0.05}, {0.05, 0.9, 0.05}, {0.05, 0.05, 0.9}}, 0.75, 0.75},
		"one way":   {[][]float64{{0.75, 0.25, 0}, {0, 1, 0}, {0, 0.1, 0.9}}, 0.75, 0.75},
		"binary":    {[][]float64{{0.95, 0.05}, {0.2, 0.8}}, 0.75, 0.75},
	} {
		t.Run(name, func(t *testing.T) {
			truth, given, p := noisy(1200, tt.flip, rand.New(rand.NewPCG(7, 7)))
			e, err := Estimate(given, p)
			require.NoError(t, err)
			wrong := map[int]bool{}
			actual := square[float64](len(tt.flip))
			for i := range given {
				actual[given[i]][truth[i]] += 1 / float64(len(given))
				if given[i] != truth[i] {
					wrong[i] = true
				}
			}
			rate := float64(len(wrong)) / float64(len(given))
			require.InDelta(t, rate, e.Rate(), 0.03)
			for i, row := range e.Joint() {
				require.InDeltaSlice(t, actual[i], row, 0.02, "given %d", i)
			}
			for i, row := range e.Rates() {
				require.InDeltaSlice(t, tt.flip[i], row, 0.05, "true %d", i)
			}
			for _, how := range Methods() {
				s, err := e.Suspects(how)
				require.NoError(t, err)
				hit, corrected := 0, 0
				for _, x := range s {
					if wrong[x.Row] {
						hit++
						if x.Suggested == truth[x.Row] {
							corrected++
						}
					}
				}
				t.Logf("%s: rate %.3f (true %.3f), %d suspects, %d of %d flips, %d with the right suggestion", how, e.Rate(), rate, len(s), hit, len(wrong), corrected)
				if len(wrong) == 0 {
					require.Less(t, len(s), 36, "3 %% of right labels")
					continue
				}
				require.GreaterOrEqual(t, float64(hit)/float64(len(s)), tt.precision, how)
				require.GreaterOrEqual(t, float64(hit)/float64(len(wrong)), tt.recall, how)
				require.GreaterOrEqual(t, float64(corrected)/float64(hit), 0.9, how)
				// The first are the surest.
				first := 0
				for _, x := range s[:20] {
					if wrong[x.Row] {
						first++
					}
				}
				require.GreaterOrEqual(t, first, 18, how)
			}
		})
	}
}

// TestInvariants draws any probabilities at all.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, n := rapid.IntRange(2, 5).Draw(t, "k"), rapid.IntRange(20, 60).Draw(t, "n")
		given, p := make([]int, n), make([][]float64, n)
		for i := range n {
			given[i] = rapid.IntRange(0, k-1).Draw(t, "given")
			p[i] = make([]float64, k)
			sum := 0.0
			for j := range k {
				p[i][j] = float64(rapid.IntRange(0, 4).Draw(t, "weight"))
				sum += p[i][j]
			}
			if sum == 0 {
				p[i][0], sum = 1, 1
			}
			for j := range k {
				p[i][j] /= sum
			}
		}
		e, err := Estimate(given, p)
		require.NoError(t, err)
		total := 0.0
		for i, row := range e.Joint() {
			share, count := 0.0, 0
			for j, x := range row {
				require.GreaterOrEqual(t, x, 0.0)
				require.GreaterOrEqual(t, e.counts[i][j], 0)
				share += x
				count += e.counts[i][j]
			}
			have := 0
			for _, g := range given {
				have += int(boolTo(g == i))
			}
			require.Equal(t, have, count)
			require.InDelta(t, float64(have)/float64(n), share, 1e-9)
			total += share
		}
		require.InDelta(t, 1, total, 1e-9)
		require.True(t, e.Rate() >= 0 && e.Rate() <= 1)
		rows := map[Method]map[int]bool{}
		for _, how := range Methods() {
			s, err := e.Suspects(how)
			require.NoError(t, err)
			rows[how] = map[int]bool{}
			last := 0.0
			for _, x := range s {
				require.NotEqual(t, x.Given, x.Suggested)
				require.Equal(t, given[x.Row], x.Given)
				require.Greater(t, x.SuggestedP, x.GivenP)
				require.GreaterOrEqual(t, x.Margin, last)
				last = x.Margin
				require.False(t, rows[how][x.Row], "named once")
				rows[how][x.Row] = true
			}
		}
		for i := range n {
			require.Equal(t, rows[ByClass][i] && rows[ByNoiseRate][i], rows[Both][i], fmt.Sprint("row ", i))
		}
	})
}

func boolTo(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
