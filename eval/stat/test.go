package stat

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// McNemar is the exact two-sided McNemar test: whether of the examples that only
// one of two systems gets right, onlyBase and onlyCandidate, either is favoured.
// It is the binomial test of ½. p is 1 when there are none.
func McNemar(onlyBase, onlyCandidate int) float64 {
	k, n := min(onlyBase, onlyCandidate), onlyBase+onlyCandidate
	if k < 0 {
		return math.NaN()
	}
	return min(1, 2*atMost(k, n))
}

// McNemarMidP is McNemar with the observed table counted half (Fagerland,
// Lydersen and Laake 2013): less conservative than the exact test, which hardly
// ever reaches its α, at the price of exceeding it now and then.
func McNemarMidP(onlyBase, onlyCandidate int) float64 {
	k, n := min(onlyBase, onlyCandidate), onlyBase+onlyCandidate
	switch {
	case k < 0:
		return math.NaN()
	case n == 0:
		return 1
	case 2*k == n:
		// Both tails meet in the middle, whose mass is counted once in all.
		return 1 - (atMost(k, n)-atMost(k-1, n))/2
	}
	return atMost(k, n) + atMost(k-1, n)
}

// atMost is P(X ≤ k) for X of n fair coins, by the incomplete beta function.
func atMost(k, n int) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n:
		return 1
	}
	return mathext.RegIncBeta(float64(n-k), float64(k+1), 0.5)
}

// Holm adjusts p-values for having made all these tests (Holm 1979): reject
// where the adjusted value is at most α, and the chance of any false rejection is
// at most α. The order is that of p; a NaN stays NaN and counts as no test.
func Holm(p []float64) []float64 {
	out := slices.Clone(p)
	var tests []int
	for i, x := range p {
		if !math.IsNaN(x) {
			tests = append(tests, i)
		}
	}
	slices.SortStableFunc(tests, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	sofar := 0.0
	for rank, i := range tests {
		sofar = max(sofar, min(1, float64(len(tests)-rank)*p[i]))
		out[i] = sofar
	}
	return out
}

// Design is a planned comparison at a two-sided α of one figure of two systems
// on the same examples. Its formulas are the normal approximations, so they are
// for planning, not for verdicts.
//
// A difference of proportions (McNemar) has Discordant, the share of examples
// that exactly one system gets right; the mean difference then varies with
// Discordant − δ² (Connor 1987). A difference of means has SD, the standard
// deviation of the differences by example. Exactly one of both is above 0.
type Design struct {
	Alpha      float64 // such as 0.05
	Discordant float64 // in (0, 1], for proportions
	SD         float64 // > 0, for means
	// Effect is the design effect by which clustered rows count less, 0 for
	// independent rows; see DesignEffect.
	Effect float64
}

// DesignEffect is 1 + (m−1)ρ: how many times the examples are needed when they
// come in groups of mean size m with intra-class correlation ρ (Kish 1965).
func DesignEffect(m, rho float64) float64 { return max(1, 1+(m-1)*rho) }

func (d Design) validate() error {
	if err := inside("显著性水平", d.Alpha); err != nil {
		return err
	}
	if (d.Discordant > 0) == (d.SD > 0) || !(d.Discordant >= 0 && d.Discordant <= 1) || !(d.SD >= 0) || math.IsInf(d.SD, 0) {
		return fmt.Errorf("请给出且只给出一个：两系统判断不一致的比例（0 到 1，现为 %v），或逐样本差值的标准差（现为 %v）", d.Discordant, d.SD)
	}
	if !(d.Effect == 0 || d.Effect >= 1) || math.IsInf(d.Effect, 0) {
		return fmt.Errorf("设计效应是 %v，应当至少为 1（0 表示样本独立）", d.Effect)
	}
	return nil
}

// power at n examples, possibly a fraction, with validated inputs.
func (d Design) power(n, delta float64) float64 {
	delta = math.Abs(delta)
	under, if0 := d.SD, d.SD // standard deviation when the difference is δ, and when it is 0
	if d.Discordant > 0 {
		if0 = math.Sqrt(d.Discordant)
		under = math.Sqrt(max(0, d.Discordant-delta*delta))
	}
	if d.Effect > 0 {
		n /= d.Effect
	}
	z := quantile(1 - d.Alpha/2)
	shift := delta * math.Sqrt(n)
	if under == 0 {
		if shift > z*if0 {
			return 1
		}
		return 0
	}
	return normal((shift-z*if0)/under) + normal((-shift-z*if0)/under)
}

// Power is the probability that a test on n ≥ 1 examples finds a true difference
// delta.
func (d Design) Power(n int, delta float64) (float64, error) {
	if err := d.validate(); err != nil {
		return math.NaN(), err
	}
	if n < 1 {
		return math.NaN(), fmt.Errorf("样本数是 %d，至少为 1", n)
	}
	if math.IsNaN(delta) || d.Discordant > 0 && math.Abs(delta) > d.Discordant {
		return math.NaN(), fmt.Errorf("差值 %v 无效：不能超过判断不一致的比例 %v", delta, d.Discordant)
	}
	return d.power(float64(n), delta), nil
}

// DetectableEffect is the least true difference that a test on n ≥ 1 examples
// finds with this power, such as 0.8. It is +Inf when proportions with so few
// discordant examples cannot show any.
func (d Design) DetectableEffect(n int, power float64) (float64, error) {
	if err := d.planned(power); err != nil {
		return math.NaN(), err
	}
	if n < 1 {
		return math.NaN(), fmt.Errorf("样本数是 %d，至少为 1", n)
	}
	most := d.Discordant
	if d.SD > 0 {
		for most = d.SD; d.power(float64(n), most) < power; most *= 2 {
		}
	} else if d.power(float64(n), most) < power {
		return math.Inf(1), nil
	}
	return bisect(0, most, func(x float64) bool { return d.power(float64(n), x) >= power }), nil
}

// SampleSize is the least number of examples with which a test finds a true
// difference delta ≠ 0 with this power.
func (d Design) SampleSize(delta, power float64) (int, error) {
	if err := d.planned(power); err != nil {
		return 0, err
	}
	if math.IsNaN(delta) || delta == 0 || math.IsInf(delta, 0) || d.Discordant > 0 && math.Abs(delta) > d.Discordant {
		return 0, fmt.Errorf("差值 %v 无效：不能为 0，也不能超过判断不一致的比例 %v", delta, d.Discordant)
	}
	// Beyond this many examples nobody asks, and whole floats still are exact.
	const most = 1 << 52
	if d.power(most, delta) < power {
		return 0, fmt.Errorf("差值 %v 太小，任何可行的样本数都不足以发现它", delta)
	}
	n := math.Ceil(bisect(0, most, func(n float64) bool { return d.power(n, delta) >= power }))
	return max(1, int(n)), nil
}

func (d Design) planned(power float64) error {
	if err := d.validate(); err != nil {
		return err
	}
	if err := inside("检验功效", power); err != nil {
		return err
	}
	if power < d.Alpha {
		return fmt.Errorf("检验功效 %v 低于显著性水平 %v，没有意义", power, d.Alpha)
	}
	return nil
}

// bisect finds where a monotone condition begins to hold in (low, high], to the
// last bit; it holds at high.
func bisect(low, high float64, holds func(float64) bool) float64 {
	for {
		middle := low + (high-low)/2
		if middle <= low || middle >= high {
			return high
		}
		if holds(middle) {
			high = middle
		} else {
			low = middle
		}
	}
}
