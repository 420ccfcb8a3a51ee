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
		return math.NaN(), math.NaN(), fmt.Errorf("Wilson 区间要求 0 ≤ 命中数 ≤ 总数且总数至少为 1,收到 %d / %d", hits, n)
	}
	if err := inside("置信水平", confidence); err != nil {
		return math.NaN(), math.NaN(), err
	}
	z := quantile((1 + confidence) / 2)
	total, p := float64(n), float64(hits)/float64(n)
	scale := 1 + z*z/total
	center := (p + z*z/(2*total)) / scale
	half := z / scale * math.Sqrt(p*(1-p)/total+z*z/(4*total*total))
	low, high = max(0, center-half), min(1, center+half)
	// The ends at no hit and at only hits are exactly 0 and 1; rounding must not
	// move them inside.
	if hits == 0 {
		low = 0
	}
	if hits == n {
		high = 1
	}
	return low, high, nil
}

// quantile of the standard normal distribution.
func quantile(p float64) float64 { return mathext.NormalQuantile(p) }

// normal is the distribution function of the standard normal distribution.
func normal(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// inside checks that a probability is strictly between 0 and 1.
func inside(what string, p float64) error {
	if !(p > 0 && p < 1) {
		return fmt.Errorf("%s是 %v,应当大于 0 且小于 1", what, p)
	}
	return nil
}
