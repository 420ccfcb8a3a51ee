// Package stat says how sure a figure is: intervals by a cluster bootstrap,
// tests of a difference, correction for many tests, and how large a difference a
// test set can show at all.
//
// Rows of one conversation resemble each other, so whatever resamples or permutes
// here does so by group, never by row. Everything random takes a seed and gives
// the same numbers on every machine and with any number of processors.
//
// Distribution functions are gonum's and the standard library's.
package stat

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Wilson is the Wilson score interval for a share of hits in n ≥ 1 independent
// trials (Wilson 1927), at a confidence such as 0.95. Unlike ±1.96σ it stays in
// [0, 1] and is not empty at 0 and n.
func Wilson(hits, n int, confidence float64) (low, high float64, err error) {
	if n < 1 || hits < 0 || hits > n {
		return math.NaN(), math.NaN(), fmt.Errorf("Wilson 区间要求 0 ≤ 命中数 ≤ 总数且总数至少为 1，收到 %d / %d", hits, n)
	}
	if err := inside("置信水平", confidence); err != nil {
		return math.NaN(), math.NaN(), err
	}
	low, high = wilson(float64(hits)/float64(n), float64(n), confidence)
	return low, high, nil
}

// wilson is the interval of a share p seen in n trials, n not always whole.
func wilson(p, n, confidence float64) (low, high float64) {
	z := quantile((1 + confidence) / 2)
	scale := 1 + z*z/n
	center := (p + z*z/(2*n)) / scale
	half := z / scale * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	low, high = max(0, center-half), min(1, center+half)
	// The ends at no hit and at only hits are exactly 0 and 1; rounding must not
	// move them inside.
	if p == 0 {
		low = 0
	}
	if p == 1 {
		high = 1
	}
	return low, high
}

// ClusteredWilson is the Wilson interval of a share of rows that come in groups.
// Row i counts when of[i] is 1 and is a hit when hits[i] is 1 as well, all 0 or 1;
// groups[i] is its group, nil makes every row its own.
//
// The number of rows is divided by the design effect, the variance of the share
// between groups over that of independent rows (Rao and Scott 1992), which is
// kept between 1, independent rows, and Σm²/n for groups of m rows, where a group
// tells as much as one row. With only hits, or none, the rows do not say how
// alike their groups are, and the larger one is taken: the interval of as many
// rows as there are groups, where all are of one size. With a group a row it is
// Wilson.
//
// Both ends are NaN when no row counts.
func ClusteredWilson(hits, of []float64, groups []int, confidence float64) (low, high float64, err error) {
	fail := func(err error) (float64, float64, error) { return math.NaN(), math.NaN(), err }
	if err := inside("置信水平", confidence); err != nil {
		return fail(err)
	}
	if len(hits) != len(of) {
		return fail(fmt.Errorf("命中有 %d 行，计数有 %d 行，应当一样多", len(hits), len(of)))
	}
	if len(of) == 0 {
		return fail(nil)
	}
	group, count, err := number(groups, len(of))
	if err != nil {
		return fail(err)
	}
	size, hit := make([]float64, count), make([]float64, count)
	n, k := 0.0, 0.0
	for i, g := range group {
		if of[i] != 0 && of[i] != 1 || hits[i] != 0 && hits[i] != 1 || hits[i] > of[i] {
			return fail(fmt.Errorf("第 %d 行不是比例的一行：命中 %v，计数 %v，应当是 0 或 1", i+1, hits[i], of[i]))
		}
		size[g] += of[i]
		hit[g] += hits[i]
		n += of[i]
		k += hits[i]
	}
	if n == 0 {
		return fail(nil)
	}
	p := k / n
	between, squares, drawn := 0.0, 0.0, 0.0
	for g, m := range size {
		if m > 0 {
			drawn++
			squares += m * m
			between += (hit[g] - p*m) * (hit[g] - p*m)
		}
	}
	effect := squares / n
	if k > 0 && k < n && drawn > 1 {
		effect = min(max(1, between*drawn/(drawn-1)/(n*p*(1-p))), effect)
	}
	low, high = wilson(p, n/effect, confidence)
	return low, high, nil
}

// quantile of the standard normal distribution.
func quantile(p float64) float64 { return mathext.NormalQuantile(p) }

// normal is the distribution function of the standard normal distribution.
func normal(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// inside checks that a probability is strictly between 0 and 1.
func inside(what string, p float64) error {
	if !(p > 0 && p < 1) {
		return fmt.Errorf("%s是 %v，应当大于 0 且小于 1", what, p)
	}
	return nil
}
