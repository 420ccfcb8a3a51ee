package behave

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Known lists the tests that are known to fail, so that a check may complain
// of new failures only. It is written by a person: it says what is not good
// yet, and why.
type Known struct {
	Date string `yaml:"date"` // on which the shares were measured, 2026-01-31
	// Margin is how far the share of failing cases may rise, in [0, 1].
	Margin float64 `yaml:"margin"`
	// Systems are those the list speaks about; others have no known failures.
	Systems []string             `yaml:"systems"`
	Tests   map[string]KnownTest `yaml:"tests"`
}

// KnownTest is one test that fails.
type KnownTest struct {
	Why string `yaml:"why"`
	// Failing is the share of failing cases by system.
	Failing map[string]float64 `yaml:"failing"`
}

// BuiltinKnown is the list of known failures of the built-in suite.
func BuiltinKnown() (*Known, error) {
	b, err := embedded.ReadFile("testdata/known.yaml")
	if err != nil {
		return nil, fmt.Errorf("known failures: %w", err)
	}
	return ParseKnown(Source{"known.yaml", b})
}

// ParseKnown reads a list of known failures; unknown keys are errors.
func ParseKnown(src Source) (k *Known, err error) {
	defer func() {
		if v := recover(); v != nil {
			k, err = nil, &Error{src.Name, 0, "不是合法的 YAML，请检查缩进、冒号和引号"}
		}
	}()
	k = &Known{}
	if err := yaml.UnmarshalWithOptions(src.Content, k, yaml.Strict()); err != nil {
		return nil, translate(src.Name, err)
	}
	if k.Date == "" || len(k.Systems) == 0 {
		return nil, &Error{src.Name, 0, "要写 date 和 systems：什么时候、用哪些系统测的"}
	}
	if !(k.Margin >= 0 && k.Margin <= 1) {
		return nil, &Error{src.Name, 0, fmt.Sprintf("margin 是 %v，应当在 0 和 1 之间", k.Margin)}
	}
	for _, name := range slices.Sorted(maps.Keys(k.Tests)) {
		for system, share := range k.Tests[name].Failing {
			if !(share > 0 && share <= 1) {
				return nil, &Error{src.Name, 0, fmt.Sprintf("%s 的 failing.%s 是 %v，应当大于 0、不超过 1", name, system, share)}
			}
			if !slices.Contains(k.Systems, system) {
				return nil, &Error{src.Name, 0, fmt.Sprintf("%s 的 failing 里的系统 %q 不在 systems 里", name, system)}
			}
		}
	}
	return k, nil
}

// Change is a test that fails otherwise than the list says.
type Change struct {
	Test     string    `json:"test"`
	System   string    `json:"system"`
	Was      float64   `json:"was"` // known share of failing cases; 0: not known to fail
	Now      float64   `json:"now"`
	Failures []Failure `json:"failures,omitempty"`
}

// Standing is how a test stands against the list of known failures.
type Standing string

// The standings. A report and a check both go by them.
const (
	Holds    Standing = "pass"     // passes, and the list does not say otherwise
	Fixed    Standing = "fixed"    // passes; the list should no longer name it
	Less     Standing = "less"     // fails less often than listed
	Listed   Standing = "known"    // fails as listed
	Worse    Standing = "worse"    // fails more often than listed
	New      Standing = "new"      // fails and is not listed
	Unlisted Standing = "unlisted" // fails; the list says nothing of this system
)

// Stands compares one test of a system with the list; k may be nil. The share
// is that of failing cases which the list names, 0 when it names none.
func (k *Known) Stands(system string, t *TestResult) (Standing, float64) {
	if k == nil || !slices.Contains(k.Systems, system) {
		if t.Passed {
			return Holds, 0
		}
		return Unlisted, 0
	}
	was, now := k.Tests[t.Name].Failing[system], t.share()
	switch {
	case was == 0 && now == 0:
		return Holds, 0
	case now == 0:
		return Fixed, was
	case was == 0:
		return New, 0
	case now > was+k.Margin+1e-9:
		return Worse, was
	case now < was-k.Margin-1e-9:
		return Less, was
	}
	return Listed, was
}

// share of the cases that fail; a test that passes has none to answer for.
func (r *TestResult) share() float64 {
	if r.Passed {
		return 0
	}
	return r.Rate.Rate
}

// Against compares reports with the list: what is worse, and what the list
// should no longer name or name with a smaller share.
func (k *Known) Against(reports []*Report) (worse, better []Change, err error) {
	for _, r := range reports {
		if !slices.Contains(k.Systems, r.System) {
			return nil, nil, fmt.Errorf("已知失败的清单里没有系统 %s，只有 %s", r.System, strings.Join(k.Systems, "、"))
		}
		for i := range r.Tests {
			t := &r.Tests[i]
			stands, was := k.Stands(r.System, t)
			c := Change{Test: t.Name, System: r.System, Was: was, Now: t.share()}
			switch stands {
			case New, Worse:
				c.Failures = t.Failures
				worse = append(worse, c)
			case Fixed, Less:
				better = append(better, c)
			}
		}
	}
	return worse, better, nil
}

// WriteChanges writes what differs from the list for people; the worse ones
// with examples and with the lines that would accept them.
func WriteChanges(w io.Writer, worse, better []Change, examples int) error {
	var b strings.Builder
	if len(worse) == 0 {
		b.WriteString("没有新的失败，也没有失败率上升的测试\n")
	} else {
		fmt.Fprintf(&b, "比已知失败的清单差的有 %d 项：\n", len(worse))
	}
	for _, c := range worse {
		was := "原来通过"
		if c.Was > 0 {
			was = fmt.Sprintf("原来失败 %.1f%%", 100*c.Was)
		}
		fmt.Fprintf(&b, "  ✗ %s %s：%s，现在失败 %.1f%%\n", c.System, c.Test, was, 100*c.Now)
		for i := range min(examples, len(c.Failures)) {
			c.Failures[i].write(&b)
		}
	}
	if len(worse) > 0 {
		b.WriteString("\n如果有意接受，把这些写进清单的 tests，写明原因：\n")
		var names []string
		shares := map[string][]string{}
		for _, c := range worse {
			if shares[c.Test] == nil {
				names = append(names, c.Test)
			}
			shares[c.Test] = append(shares[c.Test], fmt.Sprintf("%s: %v", c.System, roundUp(c.Now)))
		}
		for _, name := range names {
			fmt.Fprintf(&b, "  %s: {why: …, failing: {%s}}\n", name, strings.Join(shares[name], ", "))
		}
	}
	if len(better) > 0 {
		fmt.Fprintf(&b, "\n比清单好的有 %d 项，请更新清单：\n", len(better))
		for _, c := range better {
			fmt.Fprintf(&b, "  ✓ %s %s：%.1f%% → %.1f%%\n", c.System, c.Test, 100*c.Was, 100*c.Now)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// roundUp gives a share three decimals, never below itself.
func roundUp(share float64) float64 { return math.Ceil(share*1000-1e-9) / 1000 }
