// Package gate decides whether a run may replace the baseline: it compares the
// two example by example, holds every figure against the margins of a policy,
// and says one verdict, as text, JSON and JUnit alike. The baseline moves only
// by Bless, with a reason that is kept.
package gate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/internal/strictyaml"
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
	// least one, or a largest one where lower is better. The value itself is held
	// against it, not its interval.
	Floor *float64 `yaml:"floor"`
}

// SpeedFigure is the ratio of the time per example to the baseline's. Its
// margin 0.2 puts up with 20 % more. It is measured only on the machine the
// baseline was measured on.
const SpeedFigure = "speed.ratio"

// ReadPolicy reads a gates.yaml; unknown keys are errors.
func ReadPolicy(path string) (*Policy, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("读不了门限文件：%w", err)
	}
	var p Policy
	if err := strictyaml.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%s：%s", path, strictyaml.Describe(err))
	}
	p.Confidence = cmp.Or(p.Confidence, 0.95)
	if p.Confidence <= 0 || p.Confidence >= 1 {
		return nil, fmt.Errorf("%s：confidence 是 %g，应当在 0 和 1 之间，例如 0.95", path, p.Confidence)
	}
	if len(p.Gates) == 0 {
		return nil, fmt.Errorf("%s：gates 是空的，没有任何门限", path)
	}
	for i, g := range p.Gates {
		switch {
		case g.Figure == "":
			return nil, fmt.Errorf("%s：第 %d 条门限没有 figure", path, i+1)
		case g.Margin == nil && g.Floor == nil:
			return nil, fmt.Errorf("%s：%s 既没有 margin 也没有 floor", path, g.Figure)
		case g.Margin != nil && *g.Margin < 0:
			return nil, fmt.Errorf("%s：%s 的 margin 是负的；它是能容忍的下降，写 0 或正数", path, g.Figure)
		}
	}
	return &p, nil
}

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
	System     string      `json:"system"`
	Figure     string      `json:"figure"`
	Status     Status      `json:"status"`
	Reason     string      `json:"reason"` // Chinese, for people
	Base       eval.Number `json:"base"`
	Candidate  eval.Number `json:"candidate"`
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
	v := &Verdict{Status: Pass, Base: filepath.Base(base), Candidate: filepath.Base(candidate)}
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
	for _, c := range v.Checks {
		if severity(c.Status) > severity(v.Status) {
			v.Status = c.Status
		}
	}
	return v, nil
}

func severity(s Status) int { return slices.Index([]Status{Pass, Inconclusive, Breached, Missing}, s) }

func missing(system string, g Gate, reason string) Check {
	nan := eval.Number(math.NaN())
	return Check{
		System: system, Figure: g.Figure, Status: Missing, Reason: reason, Margin: g.Margin, Floor: g.Floor,
		Base: nan, Candidate: nan, DamageLow: nan, DamageHigh: nan, P: nan,
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
		out = append(out, judge(system, g, &c.Deltas[at]))
	}
	for _, g := range gates {
		if !slices.ContainsFunc(out, func(c Check) bool { return c.Figure == g.Figure }) {
			out = append(out, missing(system, g, "没有这个指标"))
		}
	}
	return out, nil
}

// judge holds one difference against a gate. A margin is breached when even
// the lower bound of the damage exceeds it, and kept when the upper bound is
// within it; between them there are too few examples to tell.
func judge(system string, g Gate, d *eval.Delta) Check {
	low, high := d.Damage()
	c := Check{
		System: system, Figure: g.Figure, Status: Pass, Margin: g.Margin, Floor: g.Floor,
		Base: d.Base, Candidate: d.Candidate, DamageLow: eval.Number(low), DamageHigh: eval.Number(high), P: d.Holm,
	}
	value := float64(d.Candidate)
	if math.IsNaN(value) {
		c.Status, c.Reason = Missing, "这个指标在数据上没有定义"
		return c
	}
	if g.Floor != nil && (!d.Lower && value < *g.Floor || d.Lower && value > *g.Floor) {
		c.Status, c.Reason = Breached, fmt.Sprintf("%.3f 没有达到底线 %.3f", value, *g.Floor)
		return c
	}
	if g.Margin == nil {
		c.Reason = fmt.Sprintf("%.3f 达到底线 %.3f", value, *g.Floor)
		return c
	}
	c.Status, c.Reason = weigh(low, high, *g.Margin)
	return c
}

// slack forgives the last bits of a float: a margin of 0 with the same answers
// must pass.
const slack = 1e-12

func weigh(low, high, margin float64) (Status, string) {
	switch {
	case math.IsNaN(low) || math.IsNaN(high):
		return Missing, "算不出区间"
	case low > margin+slack:
		return Breached, fmt.Sprintf("变差至少 %.3f，超过允许的 %.3f", low, margin)
	case high <= margin+slack:
		return Pass, fmt.Sprintf("变差至多 %.3f，在允许的 %.3f 以内", max(high, 0), margin)
	}
	return Inconclusive, fmt.Sprintf("变差在 %.3f 到 %.3f 之间，样本太少，判断不了是否超过 %.3f", low, high, margin)
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
	out.Base, out.Candidate, out.DamageLow, out.DamageHigh = 1, s.Ratio, s.Low-1, s.High-1
	out.Status, out.Reason = weigh(float64(s.Low)-1, float64(s.High)-1, *g.Margin)
	return out, nil
}

// Title is the status in Chinese.
func (s Status) Title() string {
	return map[Status]string{Pass: "通过", Inconclusive: "无法判断", Breached: "不通过", Missing: "缺指标"}[s]
}
