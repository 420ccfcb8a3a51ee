// Package gate decides whether a run may replace the baseline: it compares the
// two example by example, holds every figure against the margins of a policy,
// and says one verdict, as text, JSON and JUnit alike. The baseline moves only
// by Bless, with a reason that is kept.
package gate

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting/eval"
)

// Policy is a gates.yaml.
type Policy struct {
	// Confidence of the intervals, in (0, 1); 0: 0.95.
	Confidence float64 `yaml:"confidence"`
	Gates      []Gate  `yaml:"gates"`
}

// Gate limits the damage to one figure.
type Gate struct {
	// System the gate is for; empty: every system of the baseline that has the
	// figure.
	System string `yaml:"system"`
	Figure string `yaml:"figure"`
	// Margin is the largest damage that is put up with, in units of the figure;
	// empty: the baseline does not matter.
	Margin *float64 `yaml:"margin"`
	// Floor is the worst value that is put up with, whatever the baseline: a
	// least one, or a largest one where lower is better. The value of all the
	// candidate's rows is held against it, those the baseline has not as well, not
	// its interval. Failed rows are taken both as right and as wrong: it is
	// breached when even the better of the two is beyond it, and cannot be told
	// when only the worse is.
	Floor *float64 `yaml:"floor"`
}

// SpeedFigure is the ratio of the time per example to the baseline's. Its
// margin 0.2 puts up with 20 % more. It is measured only on the machine the
// baseline was measured on.
const SpeedFigure = "speed.ratio"

// Status of a check, and of a verdict.
type Status string

// The statuses, from good to bad.
const (
	Pass         Status = "pass"
	Inconclusive Status = "inconclusive" // too few examples to tell
	Breached     Status = "breached"
	Missing      Status = "missing" // the figure is not there to be checked
)

// Check is one gate held against one system.
type Check struct {
	System string `json:"system"`
	Figure string `json:"figure"`
	Status Status `json:"status"`
	Reason string `json:"reason"` // Chinese, for people
	// Base and Candidate are the figure on the pairs that both scored; N of them
	// are what it is about.
	Base      eval.Number `json:"base"`
	Candidate eval.Number `json:"candidate"`
	N         int         `json:"n"`
	// Worst and Best are the figure on all rows of the candidate with its failed
	// ones wrong, and right; null without a floor.
	Worst      eval.Number `json:"worst"`
	Best       eval.Number `json:"best"`
	DamageLow  eval.Number `json:"damage_low"` // interval of how much worse; negative is better
	DamageHigh eval.Number `json:"damage_high"`
	Margin     *float64    `json:"margin,omitempty"`
	Floor      *float64    `json:"floor,omitempty"`
	P          eval.Number `json:"p"` // that nothing changed, corrected over the comparison
}

// Verdict is the answer of all gates.
type Verdict struct {
	Status    Status  `json:"status"`
	Base      string  `json:"base"`
	Candidate string  `json:"candidate"`
	Checks    []Check `json:"checks"`
}

// Exit codes of a verdict.
const (
	ExitPass         = 0
	ExitBreached     = 1
	ExitInconclusive = 2
)

// Exit is the process status for a verdict.
func (v *Verdict) Exit() int {
	switch v.Status {
	case Pass:
		return ExitPass
	case Inconclusive:
		return ExitInconclusive
	}
	return ExitBreached
}

// ErrLimited is a run over a part of its data, which cannot gate.
var ErrLimited = errors.New("用 --limit 跑的评测不能过门：请完整地重跑一遍")

// ErrFailed is a run in which too many examples failed.
var ErrFailed = errors.New("失败的样本太多，这次评测不能过门，也不能当基线：看 rows.jsonl 里的 error，改好以后重跑")

// notEmpty refuses a run that has measured nothing: whatever it is asked, it
// would have nothing to say against it.
func notEmpty(dir string, m *eval.Metrics) error {
	for _, s := range m.Systems {
		if slices.ContainsFunc(s.Suites, func(s eval.SuiteMetrics) bool { return s.N > 0 && len(s.Figures) > 0 }) {
			return nil
		}
	}
	return fmt.Errorf("%s 里一个样本也没有评测过：请重新运行 eval run", dir)
}

// Judge holds the run in the folder candidate against the one in base.
func Judge(base, candidate string, p *Policy, r eval.Resampling) (*Verdict, error) {
	now, err := eval.ReadMetrics(candidate)
	if err != nil {
		return nil, err
	}
	was, err := eval.ReadMetrics(base)
	if err != nil {
		return nil, err
	}
	if now.Limit > 0 || was.Limit > 0 {
		return nil, ErrLimited
	}
	for _, m := range []*eval.Metrics{was, now} {
		if m.Failed {
			return nil, ErrFailed
		}
	}
	if err := errors.Join(notEmpty(base, was), notEmpty(candidate, now)); err != nil {
		return nil, err
	}
	v := &Verdict{Base: filepath.Base(base), Candidate: filepath.Base(candidate)}
	for _, s := range was.Systems {
		gates := slices.DeleteFunc(slices.Clone(p.Gates), func(g Gate) bool { return g.System != "" && g.System != s.Name })
		if len(gates) == 0 {
			continue
		}
		if !slices.ContainsFunc(now.Systems, func(n eval.SystemMetrics) bool { return n.Name == s.Name }) {
			for _, g := range gates {
				v.Checks = append(v.Checks, missing(s.Name, g, "这次评测没有系统 "+s.Name))
			}
			continue
		}
		checks, err := judgeSystem(s.Name, base, candidate, gates, p.Confidence, r)
		if err != nil {
			return nil, err
		}
		v.Checks = append(v.Checks, checks...)
	}
	for _, g := range p.Gates {
		if g.System != "" && !slices.ContainsFunc(was.Systems, func(s eval.SystemMetrics) bool { return s.Name == g.System }) {
			v.Checks = append(v.Checks, missing(g.System, g, "基线里没有系统 "+g.System))
		}
	}
	v.conclude()
	return v, nil
}

// conclude makes the verdict that of the worst check. Without a check nothing
// was held against anything, so nothing has passed.
func (v *Verdict) conclude() {
	v.Status = Pass
	if len(v.Checks) == 0 {
		v.Status = Missing
	}
	for _, c := range v.Checks {
		if severity(c.Status) > severity(v.Status) {
			v.Status = c.Status
		}
	}
}

func severity(s Status) int { return slices.Index([]Status{Pass, Inconclusive, Breached, Missing}, s) }

func missing(system string, g Gate, reason string) Check {
	nan := eval.Number(math.NaN())
	return Check{
		System: system, Figure: g.Figure, Status: Missing, Reason: reason, Margin: g.Margin, Floor: g.Floor,
		Base: nan, Candidate: nan, Worst: nan, Best: nan, DamageLow: nan, DamageHigh: nan, P: nan,
	}
}

func judgeSystem(system, base, candidate string, gates []Gate, confidence float64, r eval.Resampling) ([]Check, error) {
	was, err := eval.ReadRows(filepath.Join(base, system))
	if err != nil {
		return nil, err
	}
	now, err := eval.ReadRows(filepath.Join(candidate, system))
	if err != nil {
		return nil, err
	}
	c, err := eval.Compare(was, now, r, confidence)
	if err != nil {
		return nil, err
	}
	own, err := eval.Bounds(now)
	if err != nil {
		return nil, err
	}
	var out []Check
	if c.OnlyBase > 0 {
		// An example that is gone could hide whatever it would have shown.
		out = append(out, missing(system, Gate{Figure: "pairs"}, fmt.Sprintf("基线的 %d 个样本这次没有：数据变了就先 bless 新的基线", c.OnlyBase)))
	}
	for _, g := range gates {
		if g.Figure == SpeedFigure {
			check, err := judgeSpeed(system, g, base, candidate, confidence, r)
			if err != nil {
				return nil, err
			}
			out = append(out, check)
			continue
		}
		at := slices.IndexFunc(c.Deltas, func(d eval.Delta) bool { return d.Name == g.Figure })
		if at < 0 {
			if g.System != "" {
				out = append(out, missing(system, g, "没有这个指标"))
			}
			continue
		}
		bound := slices.IndexFunc(own, func(b eval.Bound) bool { return b.Name == g.Figure })
		out = append(out, judge(system, g, &c.Deltas[at], &own[bound]))
	}
	for _, g := range gates {
		if !slices.ContainsFunc(out, func(c Check) bool { return c.Figure == g.Figure }) {
			out = append(out, missing(system, g, "没有这个指标"))
		}
	}
	return out, nil
}

// judge holds one difference, and the candidate's own figure, against a gate. A
// margin is breached when even the lower bound of the damage exceeds it, and
// kept when the upper bound is within it; between them there are too few
// examples to tell. Of margin and floor the worse counts.
func judge(system string, g Gate, d *eval.Delta, own *eval.Bound) Check {
	low, high := d.Damage()
	nan := eval.Number(math.NaN())
	c := Check{
		System: system, Figure: g.Figure, Status: Pass, Margin: g.Margin, Floor: g.Floor, N: d.Counted,
		Base: d.Base, Candidate: d.Candidate, Worst: nan, Best: nan, DamageLow: eval.Number(low), DamageHigh: eval.Number(high), P: d.Holm,
	}
	var reasons []string
	say := func(s Status, reason string) {
		if severity(s) > severity(c.Status) {
			c.Status = s
		}
		reasons = append(reasons, reason)
	}
	if g.Floor != nil {
		c.Worst, c.Best = eval.Number(own.Worst), eval.Number(own.Best)
		say(stand(own, *g.Floor))
	}
	switch {
	case g.Margin == nil:
	case math.IsNaN(float64(d.Candidate)):
		say(Missing, "这个指标在两边都有的样本上没有定义")
	default:
		status, reason := weigh(low, high, *g.Margin)
		if d.Degenerate && status == Pass && math.Abs(high) <= slack && math.Abs(low) <= slack {
			// An interval without width is no certainty; say what was seen.
			reason = fmt.Sprintf("每次重抽样都没有差别，在允许的 %s 以内", eval.Digits(*g.Margin))
		} else if d.Degenerate {
			reason += "（区间不能当真：重抽样几乎都一样，或常常算不出来）"
		}
		say(status, reason)
	}
	c.Reason = strings.Join(reasons, "；")
	return c
}

// stand holds the candidate's own figure against a floor.
func stand(own *eval.Bound, floor float64) (Status, string) {
	kept := func(x float64) bool { return !own.Lower && x >= floor || own.Lower && x <= floor }
	switch {
	case math.IsNaN(own.Best) || math.IsNaN(own.Worst):
		return Missing, "这个指标在数据上没有定义，比不了底线"
	case kept(own.Best) && kept(own.Worst):
		return Pass, fmt.Sprintf("%s 达到底线 %s", eval.Digits(own.Worst), eval.Digits(floor))
	case !kept(own.Best) && !kept(own.Worst):
		return Breached, fmt.Sprintf("%s 没有达到底线 %s", eval.Digits(own.Best), eval.Digits(floor))
	}
	return Inconclusive, fmt.Sprintf("失败的样本让它在 %s 到 %s 之间，判断不了是否达到底线 %s", eval.Digits(min(own.Worst, own.Best)), eval.Digits(max(own.Worst, own.Best)), eval.Digits(floor))
}

// slack forgives the last bits of a float: a margin of 0 with the same answers
// must pass.
const slack = 1e-12

func weigh(low, high, margin float64) (Status, string) {
	switch {
	case math.IsNaN(low) || math.IsNaN(high):
		return Missing, "算不出区间"
	case low > margin+slack:
		return Breached, fmt.Sprintf("变差至少 %s，超过允许的 %s", eval.Digits(low), eval.Digits(margin))
	case high <= margin+slack:
		return Pass, fmt.Sprintf("变差至多 %s，在允许的 %s 以内", eval.Digits(max(high, 0)), eval.Digits(margin))
	}
	return Inconclusive, fmt.Sprintf("变差在 %s 到 %s 之间，样本太少，判断不了是否超过 %s", eval.Digits(low), eval.Digits(high), eval.Digits(margin))
}

func judgeSpeed(system string, g Gate, base, candidate string, confidence float64, r eval.Resampling) (Check, error) {
	if g.Margin == nil {
		return missing(system, g, "speed.ratio 要写 margin，例如 0.2 表示最多慢 20%"), nil
	}
	a, err := eval.ReadManifest(base)
	if err != nil {
		return Check{}, err
	}
	b, err := eval.ReadManifest(candidate)
	if err != nil {
		return Check{}, err
	}
	out := missing(system, g, "")
	if a.Machine["name"] == "" || a.Machine["name"] != b.Machine["name"] {
		out.Status, out.Reason = Inconclusive, "两次评测不在同一台机器上，用时不能比"
		return out, nil
	}
	was, err := eval.ReadTimes(filepath.Join(base, system))
	if err != nil {
		return Check{}, err
	}
	now, err := eval.ReadTimes(filepath.Join(candidate, system))
	if err != nil {
		return Check{}, err
	}
	s, err := eval.CompareSpeed(was, now, r, confidence)
	if err != nil {
		out.Reason = err.Error()
		return out, nil
	}
	out.N, out.Base, out.Candidate, out.DamageLow, out.DamageHigh = s.N, 1, s.Ratio, s.Low-1, s.High-1
	out.Status, out.Reason = weigh(float64(s.Low)-1, float64(s.High)-1, *g.Margin)
	return out, nil
}

// Title is the status in Chinese.
func (s Status) Title() string {
	return map[Status]string{Pass: "通过", Inconclusive: "无法判断", Breached: "不通过", Missing: "缺指标"}[s]
}
