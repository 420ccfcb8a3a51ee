package eval

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/metric"
	"github.com/qingting-ai/qingting/eval/stat"
)

// Delta compares one figure of a candidate with that of a base on the examples
// both have met.
type Delta struct {
	Suite dataset.Suite `json:"suite"`
	Name  string        `json:"name"`
	Lower bool          `json:"lower"` // lower is better
	// Base and Candidate are the figure on the pairs that both scored, Delta their
	// difference.
	Base      Number `json:"base"`
	Candidate Number `json:"candidate"`
	Delta     Number `json:"delta"`
	// Low and High bound Delta at the confidence asked for, by a bootstrap of
	// groups that draws both alike. An example that one of them failed widens
	// them: its answer may have been right or wrong. One that both failed tells
	// nothing of a difference and is left out.
	Low  Number `json:"low"`
	High Number `json:"high"`
	// Degenerate is an interval that says less than it seems to: every resample
	// gave the same difference, or more than a twentieth gave none.
	Degenerate bool `json:"degenerate,omitempty"`
	// P is the two-sided p that nothing changed: the exact McNemar test for shares
	// of right answers, the bootstrap's otherwise. Holm is P after Holm's
	// correction over the deltas of this comparison.
	P    Number `json:"p"`
	Holm Number `json:"holm"`
	N    int    `json:"n"` // pairs that both scored
	// Counted of them are what the figure is about, on either side.
	Counted int `json:"counted"`
	Lost    int `json:"unscored"` // pairs that one of them, or both, failed
	// Groups is how many groups the scored pairs come from.
	Groups int `json:"groups"`
	// Discordant is set for shares of right answers: the pairs that only the base
	// and only the candidate has right.
	Discordant *Discordant `json:"discordant,omitempty"`
}

// Discordant counts the pairs of which one side is right.
type Discordant struct {
	OnlyBase      int `json:"only_base"`
	OnlyCandidate int `json:"only_candidate"`
}

// Damage bounds how much worse the candidate is; negative is better.
func (d *Delta) Damage() (low, high float64) {
	if d.Lower {
		return float64(d.Low), float64(d.High)
	}
	return -float64(d.High), -float64(d.Low)
}

// Pairing says how far two runs met the same examples.
type Pairing struct {
	Pairs         int `json:"pairs"`
	OnlyBase      int `json:"only_base"`
	OnlyCandidate int `json:"only_candidate"`
}

// Comparison is all figures of two runs on their common examples.
type Comparison struct {
	Pairing
	Deltas []Delta `json:"deltas"`
	// LeastP is the smallest p that the resamples could have shown, Tests how many
	// figures Holm's correction is over.
	LeastP Number `json:"least_p"`
	Tests  int    `json:"tests"`
}

// fewPairs is the number of pairs below which an interval of resamples is too
// narrow to be taken at its word: of 30 normal values the percentile interval
// called 95 % holds the mean in 94 %, of 10 in 90 % (by Student's t).
const fewPairs = 30

// soughtP is the corrected p a comparison must be able to show.
const soughtP = 0.01

// Warnings says, in Chinese sentences, what a reader of the comparison must
// know: suites with few pairs, and rounds too few for so many figures.
func (c *Comparison) Warnings() []string {
	var out []string
	var few []dataset.Suite
	for _, d := range c.Deltas {
		if d.N < fewPairs && !slices.Contains(few, d.Suite) {
			few = append(few, d.Suite)
			out = append(out, fmt.Sprintf("%s 只有 %d 对样本，少于 %d：区间偏窄，p 只能当参考", d.Suite, d.N, fewPairs))
		}
	}
	if p := float64(c.LeastP) * float64(c.Tests); p >= soughtP {
		out = append(out, fmt.Sprintf("重抽样次数太少：%d 个数字校正以后，重抽样的 p 最小只能到 %s，达不到 %g；请加大 --rounds", c.Tests, Digits(min(p, 1)), soughtP))
	}
	return out
}

// Rounds of a comparison. Two digits of an interval and any p above unlikely
// need no more than the first; whatever seems unlikely is resampled refine times
// as often, because the smallest p of N rounds is 2/(N+1), and Holm multiplies it
// by the number of figures: 2/20,001 for 60 figures is 0.006. Stopping early
// where p is large is the sequential test of Besag and Clifford (1991).
const (
	comparisonRounds = 2000
	refine           = 10
	unlikely         = 0.05
)

func (r Resampling) forComparison() Resampling {
	if r.Rounds <= 0 {
		r.Rounds = comparisonRounds
	}
	return r
}

// Compare pairs the rows of two systems by suite and hash of the example. Of
// examples that occur several times the first of one run meets the first of the
// other; one that a run has more often than the other has is an error, as it
// would count as often as anyone liked. confidence is that of the intervals,
// such as 0.95. r.Rounds are those of figures whose p is 0.05 or more, 0: 2,000;
// the others have ten times as many.
func Compare(base, candidate []*Row, r Resampling, confidence float64) (*Comparison, error) {
	if len(base) == 0 || len(candidate) == 0 {
		return nil, fmt.Errorf("没有可以比较的结果（一边 %d 个样本，一边 %d 个）：评测目录是空的吗？", len(base), len(candidate))
	}
	r = r.forComparison()
	left, right, pairing, err := pairUp(base, candidate)
	if err != nil {
		return nil, err
	}
	out := &Comparison{Pairing: pairing}
	if len(left) == 0 {
		return nil, fmt.Errorf("两次评测没有一个相同的样本（一边 %d 个，一边 %d 个）：它们用的是不同的数据集吗？", len(base), len(candidate))
	}
	suites := bySuite(right)
	for i, b := range bySuite(left) {
		deltas, err := compareSuite(b.suite, b.rows, suites[i].rows, r, confidence)
		if err != nil {
			return nil, err
		}
		out.Deltas = append(out.Deltas, deltas...)
	}
	ps := make([]float64, 0, len(out.Deltas))
	for _, d := range out.Deltas {
		if !math.IsNaN(float64(d.P)) {
			ps = append(ps, float64(d.P))
		}
	}
	out.Tests, out.LeastP = len(ps), Number(2/float64(refine*r.Rounds+1))
	corrected := stat.Holm(ps)
	for i := range out.Deltas {
		d := &out.Deltas[i]
		if d.Holm = Number(math.NaN()); !math.IsNaN(float64(d.P)) {
			d.Holm, corrected = Number(corrected[0]), corrected[1:]
		}
	}
	return out, nil
}

// pairUp returns the common examples side by side, in the order of the base.
func pairUp(base, candidate []*Row) (left, right []*Row, p Pairing, err error) {
	type key struct {
		suite dataset.Suite
		hash  string
	}
	free := map[key][]int{}
	for i := range candidate {
		k := key{candidate[i].Suite, candidate[i].Hash}
		free[k] = append(free[k], i)
	}
	has := map[key]int{}
	for i := range base {
		has[key{base[i].Suite, base[i].Hash}]++
	}
	// Repetitions are counted by the rows, so that the first one is named.
	repeated := func(side string, rows []*Row, times, other func(key) int) error {
		for _, row := range rows {
			k := key{row.Suite, row.Hash}
			if n := times(k); n > max(1, other(k)) {
				return fmt.Errorf("%s里 %s 的样本 %s 出现了 %d 次，另一边 %d 次：请去掉重复的样本，重新评测", side, row.Suite, row.ID, n, other(k))
			}
		}
		return nil
	}
	inBase, inCandidate := func(k key) int { return has[k] }, func(k key) int { return len(free[k]) }
	if err := cmp.Or(repeated("基线", base, inBase, inCandidate), repeated("候选", candidate, inCandidate, inBase)); err != nil {
		return nil, nil, p, err
	}
	for i := range base {
		k := key{base[i].Suite, base[i].Hash}
		at := free[k]
		if len(at) == 0 {
			p.OnlyBase++
			continue
		}
		left, right = append(left, base[i]), append(right, candidate[at[0]])
		free[k] = at[1:]
	}
	p.Pairs = len(left)
	p.OnlyCandidate = len(candidate) - len(left)
	return left, right, p, nil
}

func compareSuite(suite dataset.Suite, base, candidate []*Row, r Resampling, confidence float64) ([]Delta, error) {
	both := func(i int) bool { return base[i].Error == "" && candidate[i].Error == "" }
	b, c := pick(base, both), pick(candidate, both)
	now, resampled, err := differences(suite, b, c, r)
	if err == nil {
		err = refined(now, resampled, groups(b), r)
	}
	if err != nil {
		return nil, err
	}
	low, high := resampled, resampled
	one := func(i int) bool { return base[i].Error == "" || candidate[i].Error == "" }
	if from, to := pick(base, one), pick(candidate, one); len(b) < len(from) {
		if _, low, err = differences(suite, fill(from, best), fill(to, worst), r); err == nil {
			_, high, err = differences(suite, fill(from, worst), fill(to, best), r)
		}
		if err != nil {
			return nil, err
		}
	}
	drawn := 0
	if g := groups(b); len(g) > 0 {
		drawn = slices.Max(g) + 1
	}
	out := make([]Delta, len(now))
	for i, m := range now {
		d := Delta{
			Suite: suite, Name: m.name, Lower: m.lower, Base: Number(m.base), Candidate: Number(m.candidate), Delta: Number(m.candidate - m.base),
			P: Number(resampled[i].PValue()), N: len(b), Counted: m.counted, Lost: len(base) - len(b), Groups: drawn,
		}
		at, to := low[i], high[i]
		if m.lower {
			at, to = to, at // the pessimist's difference is the larger one
		}
		l, _ := at.Interval(confidence)
		_, h := to.Interval(confidence)
		d.Low, d.High = Number(l), Number(h)
		d.Degenerate = !math.IsNaN(l) && (degenerate(l, h, at) || degenerate(l, h, to))
		if m.right != nil {
			d.Discordant = &Discordant{}
			for k := range b {
				was, is := m.right(b[k].Gold, b[k].Answer), m.right(c[k].Gold, c[k].Answer)
				switch {
				case was && !is:
					d.Discordant.OnlyBase++
				case is && !was:
					d.Discordant.OnlyCandidate++
				}
			}
			d.P = Number(stat.McNemar(d.Discordant.OnlyBase, d.Discordant.OnlyCandidate))
		}
		out[i] = d
	}
	return out, nil
}

func pick(rows []*Row, keep func(int) bool) []*Row {
	out := make([]*Row, 0, len(rows))
	for i := range rows {
		if keep(i) {
			out = append(out, rows[i])
		}
	}
	return out
}

// both is one figure of two systems on the same examples.
type both struct {
	spec
	stat.Measure
	base, candidate float64
	counted         int
}

func differences(suite dataset.Suite, base, candidate []*Row, r Resampling) ([]both, []stat.Resampled, error) {
	b, err := measure(suite, base)
	if err != nil {
		return nil, nil, err
	}
	c, err := measure(suite, candidate)
	if err != nil {
		return nil, nil, err
	}
	values, deltas := make([]both, len(b)), make([]stat.Measure, len(b))
	for i := range b {
		if deltas[i], err = stat.Difference(c[i].Measure, b[i].Measure); err != nil {
			return nil, nil, err
		}
		values[i] = both{b[i].spec, deltas[i], b[i].Value(nil), c[i].Value(nil), metric.Counted(b[i].Measure, c[i].Measure)}
	}
	if len(base) == 0 {
		return values, make([]stat.Resampled, len(b)), nil
	}
	resampled, err := stat.Bootstrap(deltas, groups(base), r.rounds(), r.Seed)
	return values, resampled, err
}

// refined resamples the figures whose p is small again, with more rounds: the
// first ones give the same resamples as before.
func refined(values []both, resampled []stat.Resampled, groups []int, r Resampling) error {
	var at []int
	var measures []stat.Measure
	for i, v := range values {
		// The exact test of a share needs no resamples.
		if v.right == nil && resampled[i].PValue() < unlikely {
			at, measures = append(at, i), append(measures, v.Measure)
		}
	}
	more, err := stat.Bootstrap(measures, groups, refine*r.rounds(), r.Seed)
	if err != nil {
		return err
	}
	for k, i := range at {
		resampled[i] = more[k]
	}
	return nil
}

// Speed compares how long two systems took for the same examples: the
// geometric mean of the ratios candidate to base. Above 1 the candidate is
// slower. Times of different machines say nothing about the systems.
type Speed struct {
	Ratio Number `json:"ratio"`
	Low   Number `json:"low"`
	High  Number `json:"high"`
	N     int    `json:"n"`
}

// CompareSpeed pairs times in milliseconds by the id of the example.
func CompareSpeed(base, candidate map[string]float64, r Resampling, confidence float64) (Speed, error) {
	var logs []float64
	for _, id := range slices.Sorted(maps.Keys(base)) {
		if c, ok := candidate[id]; ok && c > 0 && base[id] > 0 {
			logs = append(logs, math.Log(c/base[id]))
		}
	}
	if len(logs) == 0 {
		return Speed{}, fmt.Errorf("两次评测没有可以配对的用时")
	}
	s, err := stat.Bootstrap([]stat.Measure{metric.Mean(logs)}, nil, r.rounds(), r.Seed)
	if err != nil {
		return Speed{}, err
	}
	low, high := s[0].Interval(confidence)
	return Speed{Number(math.Exp(s[0].Value)), Number(math.Exp(low)), Number(math.Exp(high)), len(logs)}, nil
}
