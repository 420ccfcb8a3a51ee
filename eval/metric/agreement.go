package metric

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
)

// Missing is the rating of an annotator who did not rate an item.
func Missing() float64 { return math.NaN() }

// Codes numbers labels so that Fleiss and Krippendorff can take them: items ×
// annotators, an empty string is a missing rating. Numbers follow byte order.
func Codes(labels [][]string) [][]float64 {
	set := map[string]bool{}
	for _, item := range labels {
		for _, l := range item {
			if l != "" {
				set[l] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(set))
	out := make([][]float64, len(labels))
	for i, item := range labels {
		out[i] = make([]float64, len(item))
		for j, l := range item {
			out[i][j] = Missing()
			if l != "" {
				at, _ := slices.BinarySearch(names, l)
				out[i][j] = float64(at)
			}
		}
	}
	return out
}

// fleiss holds of each item the agreement of its pairs of annotators and the
// share of each category.
type fleiss struct {
	agreement []float64
	share     [][]float64
	k         int
}

func (m *fleiss) Len() int { return len(m.agreement) }

func (m *fleiss) Value(w []float64) float64 {
	share := make([]float64, m.k)
	observed, total := 0.0, 0.0
	for i, a := range m.agreement {
		x := weight(w, i)
		total += x
		observed += x * a
		for k, s := range m.share[i] {
			share[k] += x * s
		}
	}
	if total == 0 {
		return math.NaN()
	}
	observed /= total
	expected, only := 0.0, 0
	for _, s := range share {
		expected += s / total * s / total
		if s > 0 {
			only++
		}
	}
	if only <= 1 {
		return math.NaN()
	}
	return (observed - expected) / (1 - expected)
}

// FleissKappa is Fleiss' κ of items × annotators, a nominal agreement beyond
// chance; every item needs the same number ≥ 2 of ratings and none missing
// (KrippendorffAlpha takes the rest). A row is an item. NaN when all ratings are
// one category.
func FleissKappa(ratings [][]float64) (Measure, error) {
	values, number := scale(ratings)
	m := &fleiss{agreement: make([]float64, len(ratings)), share: make([][]float64, len(ratings)), k: len(values)}
	for i, item := range ratings {
		if len(item) < 2 || len(item) != len(ratings[0]) {
			return nil, fmt.Errorf("第 %d 项有 %d 个标注；Fleiss κ 要求每项的标注数相同且不少于两个，缺失时请改用 Krippendorff α", i+1, len(item))
		}
		m.share[i] = make([]float64, len(values))
		for _, x := range item {
			if math.IsNaN(x) {
				return nil, fmt.Errorf("第 %d 项有缺失的标注；Fleiss κ 不能有缺失，请改用 Krippendorff α", i+1)
			}
			m.share[i][number[x]]++
		}
		n := float64(len(item))
		for k, c := range m.share[i] {
			m.agreement[i] += c * (c - 1) / (n * (n - 1))
			m.share[i][k] = c / n
		}
	}
	return m, nil
}

// Level is what the differences of ratings mean.
type Level int

const (
	Nominal  Level = iota // equal or not
	Ordinal               // an order
	Interval              // a distance
)

type krippendorff struct {
	values []float64
	level  Level
	// units are the items' ratings as value numbers, those with fewer than two
	// ratings empty.
	units [][]int
}

func (m *krippendorff) Len() int { return len(m.units) }

func (m *krippendorff) Value(w []float64) float64 {
	k := len(m.values)
	coincidence := make([]float64, k*k)
	for i, unit := range m.units {
		if len(unit) == 0 {
			continue
		}
		x := weight(w, i) / float64(len(unit)-1)
		for a, c := range unit {
			for b, d := range unit {
				if a != b {
					coincidence[c*k+d] += x
				}
			}
		}
	}
	margin := make([]float64, k)
	n := 0.0
	for c := range k {
		for d := range k {
			margin[c] += coincidence[c*k+d]
		}
		n += margin[c]
	}
	distance := m.distance(margin)
	observed, expected := 0.0, 0.0
	for c := range k {
		for d := range k {
			if c != d {
				delta := distance(c, d)
				observed += coincidence[c*k+d] * delta
				expected += margin[c] * margin[d] * delta
			}
		}
	}
	if expected == 0 {
		return math.NaN()
	}
	return 1 - (n-1)*observed/expected
}

func (m *krippendorff) distance(margin []float64) func(c, d int) float64 {
	switch m.level {
	case Ordinal:
		below := make([]float64, len(margin)+1)
		for i, x := range margin {
			below[i+1] = below[i] + x
		}
		return func(c, d int) float64 {
			c, d = min(c, d), max(c, d)
			between := below[d+1] - below[c] - (margin[c]+margin[d])/2
			return between * between
		}
	case Interval:
		return func(c, d int) float64 { return (m.values[c] - m.values[d]) * (m.values[c] - m.values[d]) }
	default:
		return func(c, d int) float64 { return 1 }
	}
}

// KrippendorffAlpha is Krippendorff's α of items × annotators, missing ratings
// as Missing; at least two ratings make an item count. A row is an item. It is
// 1 − D_observed/D_expected with the small-sample factor n−1, so unlike other
// figures here it is not quite the same when all weights double. NaN when
// nothing is paired or all ratings are one value. Source: Krippendorff,
// "Computing Krippendorff's Alpha-Reliability", 2011.
func KrippendorffAlpha(ratings [][]float64, level Level) (Measure, error) {
	if level < Nominal || level > Interval {
		return nil, fmt.Errorf("未知的测量水平 %d；可选 nominal、ordinal、interval", level)
	}
	values, number := scale(ratings)
	m := &krippendorff{values: values, level: level, units: make([][]int, len(ratings))}
	for i, item := range ratings {
		var unit []int
		for _, x := range item {
			if math.IsInf(x, 0) {
				return nil, fmt.Errorf("第 %d 项的标注是 %v，不是有限的数", i+1, x)
			}
			if !math.IsNaN(x) {
				unit = append(unit, number[x])
			}
		}
		if len(unit) > 1 {
			m.units[i] = unit
		}
	}
	return m, nil
}

// scale numbers the ratings that occur, ascending.
func scale(ratings [][]float64) ([]float64, map[float64]int) {
	var values []float64
	for _, item := range ratings {
		for _, x := range item {
			if !math.IsNaN(x) {
				values = append(values, x)
			}
		}
	}
	sort.Float64s(values)
	values = slices.Compact(values)
	number := make(map[float64]int, len(values))
	for i, x := range values {
		number[x] = i
	}
	return values, number
}
