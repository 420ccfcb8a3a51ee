package behave

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// WriteJSON writes the reports of several systems as a list of objects.
func WriteJSON(w io.Writer, reports []*Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(reports)
}

// ReadJSON reads what WriteJSON wrote. Shares, intervals and sums are made
// again from the counts, so that a file cannot contradict itself; counts that
// cannot be are an *Error with the name of the file.
func ReadJSON(src Source) ([]*Report, error) {
	at := func(format string, args ...any) error { return &Error{src.Name, 0, fmt.Sprintf(format, args...)} }
	var reports []*Report
	if err := json.Unmarshal(src.Content, &reports); err != nil {
		return nil, at("不是行为测试的结果，请给出 qingting eval behave --json 写的文件（%s）", err)
	}
	if len(reports) == 0 {
		return nil, at("里面没有结果，请给出 qingting eval behave --json 写的文件")
	}
	systems := map[string]bool{}
	for i, r := range reports {
		switch {
		case r == nil || r.Schema != schema:
			return nil, at("第 %d 份结果不是这个版本的程序写的，请用 qingting eval behave --json 重做", i+1)
		case r.System == "" || systems[r.System]:
			return nil, at("第 %d 份结果没有系统的名字，或和前面的重复：%q", i+1, r.System)
		}
		systems[r.System] = true
		names := map[string]bool{}
		for j := range r.Tests {
			t := &r.Tests[j]
			known := slices.ContainsFunc(Capabilities(), func(c Capability) bool { return c.Code == t.Capability })
			switch {
			case !nameForm.MatchString(t.Name) || names[t.Name]:
				return nil, at("系统 %s 的第 %d 个测试名字不对，或和前面的重复：%q", r.System, j+1, t.Name)
			case !known || !slices.Contains(Kinds(), t.Kind):
				return nil, at("系统 %s 的测试 %s：不认识能力 %q 或种类 %q", r.System, t.Name, t.Capability, t.Kind)
			case t.N < 1 || t.Failed < 0 || t.Failed > t.N || t.Errors < 0 || t.Errors > t.Failed || len(t.Failures) > t.Failed || !(t.Pass > 0 && t.Pass <= 1):
				return nil, at("系统 %s 的测试 %s：用例 %d、失败 %d、出错 %d、pass %v 对不上", r.System, t.Name, t.N, t.Failed, t.Errors, t.Pass)
			}
			names[t.Name] = true
			if err := t.interval(); err != nil {
				return nil, err
			}
			t.Passed = t.holds()
		}
		if err := r.sum(); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// TextOptions say how much of a report is written.
type TextOptions struct {
	Examples int  // failing cases a test
	All      bool // a line for tests that pass too
}

// Text writes a table by capability and below it the failing tests with
// examples.
func (r *Report) Text(w io.Writer, o TextOptions) error {
	var b strings.Builder
	passed := 0
	for i := range r.Tests {
		if r.Tests[i].Passed {
			passed++
		}
	}
	fmt.Fprintf(&b, "%s：%d 个测试，通过 %d，不通过 %d；%d 个用例，失败 %d", r.System, len(r.Tests), passed, len(r.Tests)-passed, r.N, r.Failed)
	if r.Errors > 0 {
		fmt.Fprintf(&b, "（其中 %d 个系统没有给出结果）", r.Errors)
	}
	fmt.Fprintf(&b, "\n\n%s %s %s  失败/用例  失败率 [95%% 区间]\n", runewidth.FillRight("能力", 16), runewidth.FillLeft("通过", 9), runewidth.FillLeft("用例", 6))
	for _, g := range r.Groups {
		fmt.Fprintf(&b, "%s %9s %6d  %s\n", runewidth.FillRight(g.Title, 16), fmt.Sprintf("%d/%d", g.Passed, g.Tests), g.N, g.Rate.text())
	}
	for _, g := range r.Groups {
		if g.Passed == g.Tests && !o.All {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", g.Title)
		for i := range r.Tests {
			t := &r.Tests[i]
			if t.Capability != g.Capability || t.Passed && !o.All {
				continue
			}
			mark := "✗"
			if t.Passed {
				mark = "✓"
			}
			fmt.Fprintf(&b, "  %s %s %s  %s  %s\n", mark, t.Kind, runewidth.FillRight(t.Name, 40), t.Rate.text(), t.Title)
			if t.Passed {
				continue
			}
			for j, f := range t.Failures {
				if j == o.Examples {
					if o.Examples > 0 {
						fmt.Fprintf(&b, "      … 另有 %d 个\n", len(t.Failures)-j)
					}
					break
				}
				f.write(&b)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Rate) text() string {
	return fmt.Sprintf("%3d/%-3d %5.1f%% [%.1f%%, %.1f%%]", r.Failed, r.N, 100*r.Rate, 100*r.Low, 100*r.High)
}

func (f *Failure) write(b *strings.Builder) {
	line := func(s string) string { return strings.ReplaceAll(visible(s), "\n", " / ") }
	if f.Before != "" {
		fmt.Fprintf(b, "      原  %s\n", line(f.Before))
	}
	how := ""
	if f.How != "" {
		how = "（" + f.How + "）"
	}
	fmt.Fprintf(b, "      文  %s%s\n      因  %s\n", line(f.After), how, strings.Join(f.Why, "；"))
}

// visible shows the characters that nobody sees.
func visible(s string) string { return strings.ReplaceAll(s, "\u200b", "·") }
