package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/behave"
)

// behaveExamples is how many failing cases of a test are shown.
const behaveExamples = 3

// behaveClip bounds a shown text, in characters.
const behaveClip = 400

// behaved is what the behavioural tests say of one system.
type behaved struct {
	System string `json:"system"`
	Suite  string `json:"suite"` // hash of the test files
	Seed   uint64 `json:"seed"`
	// Other says in what the tested system is not the one of the run; empty when
	// nothing is known to differ.
	Other string `json:"differs,omitempty"`
	// Listed: the list of known failures speaks of this system.
	Listed bool            `json:"listed"`
	Stands map[string]int  `json:"stands"` // tests by behave.Standing
	All    behaveGroup     `json:"all"`
	Kinds  []behaveGroup   `json:"kinds"` // in the order of behave.Kinds
	Groups []behavedByKind `json:"capabilities"`
	Tests  []behavedTest   `json:"tests"` // what needs a look first, then as in the suite
}

type (
	behaveGroup struct {
		Kind    behave.Kind `json:"kind,omitempty"`
		Tests   int         `json:"tests"`
		Passed  int         `json:"passed"`
		Failing int         `json:"failing"`
		behave.Rate
		Bar interval `json:"-"`
	}
	behavedByKind struct {
		Code  string        `json:"capability"`
		Title string        `json:"title"`
		All   behaveGroup   `json:"all"`
		Kinds []behaveGroup `json:"kinds"`
	}
	behavedTest struct {
		behave.TestResult
		Stands behave.Standing `json:"stands"`
		Was    float64         `json:"was"`           // share of failing cases in the list
		Why    string          `json:"why,omitempty"` // from the list
		Topic  string          `json:"-"`             // the capability in Chinese
		Bar    interval        `json:"-"`
		More   int             `json:"-"` // failing cases that are not shown
	}
)

// standings are the ways a test may stand, in the order they need a look, with
// a mark and words beside the colour.
func standings() []standing {
	return []standing{
		{behave.New, "✗ 新的失败", "新的"},
		{behave.Worse, "✗ 比清单差", "比清单差"},
		{behave.Unlisted, "✗ 不通过", "不在清单范围"},
		{behave.Listed, "✗ 已知失败", "已知"},
		{behave.Less, "✗ 已知失败，变少了", "已知但变少"},
		{behave.Fixed, "✓ 通过，清单该更新", "清单里有、现在通过"},
		{behave.Holds, "✓ 通过", "通过"},
	}
}

type standing struct {
	Stands      behave.Standing
	Title, Word string
}

// behaviour sums up Options.Behave.
func (r *Report) behaviour() ([]behaved, error) {
	out := make([]behaved, 0, len(r.Behave))
	for _, report := range r.Behave {
		b := behaved{System: report.System, Suite: report.Suite, Seed: report.Seed, Other: r.otherSystem(report), Stands: map[string]int{}}
		b.Listed = r.Known != nil && slices.Contains(r.Known.Systems, report.System)
		var err error
		if b.All, b.Kinds, err = byKind(report, ""); err != nil {
			return nil, err
		}
		topics := map[string]string{}
		for _, c := range behave.Capabilities() {
			g := behavedByKind{Code: c.Code, Title: c.Title}
			if g.All, g.Kinds, err = byKind(report, c.Code); err != nil {
				return nil, err
			}
			topics[c.Code] = c.Title
			if g.All.Tests > 0 {
				b.Groups = append(b.Groups, g)
			}
		}
		for _, s := range standings() {
			for _, t := range report.Tests {
				stands, was := r.Known.Stands(report.System, &t)
				if stands != s.Stands {
					continue
				}
				x := behavedTest{TestResult: t, Stands: stands, Was: was, Topic: topics[t.Capability], Bar: rateBar(t.Rate)}
				if was > 0 {
					x.Why = r.Known.Tests[t.Name].Why
				}
				x.Failures = clipped(t.Failures)
				x.More = t.Failed - len(x.Failures)
				b.Stands[string(stands)]++
				b.Tests = append(b.Tests, x)
			}
		}
		out = append(out, b)
	}
	return out, nil
}

func byKind(r *behave.Report, capability string) (behaveGroup, []behaveGroup, error) {
	one := func(kind behave.Kind) (behaveGroup, error) {
		g, err := r.Sum(capability, kind)
		return behaveGroup{kind, g.Tests, g.Passed, g.Tests - g.Passed, g.Rate, rateBar(g.Rate)}, err
	}
	all, err := one("")
	if err != nil {
		return all, nil, err
	}
	var kinds []behaveGroup
	for _, kind := range behave.Kinds() {
		g, err := one(kind)
		if err != nil {
			return all, nil, err
		}
		kinds = append(kinds, g)
	}
	return all, kinds, nil
}

func rateBar(r behave.Rate) interval {
	if r.N == 0 {
		return newInterval(0, 0, 0, 0, 0)
	}
	return newInterval(eval.Number(r.Rate), eval.Number(r.Low), eval.Number(r.High), 0, 1)
}

// clipped are the first failures, with texts of a length to be read.
func clipped(failures []behave.Failure) []behave.Failure {
	out := slices.Clone(failures[:min(behaveExamples, len(failures))])
	clip := func(s string) string {
		runes := []rune(strings.ReplaceAll(s, "\u200b", "·")) // nobody sees a space without width
		if len(runes) > behaveClip {
			return string(runes[:behaveClip]) + fmt.Sprintf("…（共 %d 字）", len(runes))
		}
		return string(runes)
	}
	for i := range out {
		out[i].Before, out[i].After = clip(out[i].Before), clip(out[i].After)
	}
	return out
}

// otherSystem says in what the tested system is not the one of the run.
func (r *Report) otherSystem(b *behave.Report) string {
	for _, s := range r.Manifest.Systems {
		if s.Name != b.System {
			continue
		}
		var differ []string
		for _, key := range slices.Sorted(maps.Keys(b.Identity)) {
			if now, both := s.Identity[key]; both && now != b.Identity[key] {
				differ = append(differ, key)
			}
		}
		if len(differ) > 0 {
			return "行为测试用的系统与这次评测的不是同一个，不同的有 " + strings.Join(differ, "、") + "；请用现在的程序重做行为测试"
		}
		return ""
	}
	return "这次评测没有跑这个系统"
}

// behaveMarkdown writes what the behavioural tests found: a line a system, and
// a line for each test that fails in any of them.
func (r *Report) behaveMarkdown(w io.Writer) error {
	all, err := r.behaviour()
	if err != nil || len(all) == 0 {
		return err
	}
	var b strings.Builder
	b.WriteString("## 行为测试\n\n| 系统 | 测试 | 通过 | 不通过 |")
	for _, kind := range behave.Kinds() {
		fmt.Fprintf(&b, " %s |", kind)
	}
	b.WriteString(" 失败/用例 | 失败率 [95% Wilson] |\n|---|---:|---:|---|" + strings.Repeat("---:|", len(behave.Kinds())) + "---:|---|\n")
	for i := range all {
		s := &all[i]
		fmt.Fprintf(&b, "| %s | %d | %d | %d", plain(s.System), s.All.Tests, s.All.Passed, s.All.Failing)
		if words := s.words(false); len(words) > 0 {
			b.WriteString("（" + strings.Join(words, "，") + "）")
		}
		b.WriteString(" |")
		for _, k := range s.Kinds {
			fmt.Fprintf(&b, " %d/%d |", k.Passed, k.Tests)
		}
		fmt.Fprintf(&b, " %d/%d | %s [%s, %s] |\n", s.All.Failed, s.All.N, share(s.All.Rate.Rate), share(s.All.Low), share(s.All.High))
	}
	b.WriteByte('\n')
	for i := range all {
		if all[i].Other != "" {
			fmt.Fprintf(&b, "%s：%s。\n\n", plain(all[i].System), plain(all[i].Other))
		}
	}
	var names []string
	cells := map[string]map[string]string{} // by test and system
	titles := map[string]string{}
	for i := range all {
		for j := range all[i].Tests {
			t := &all[i].Tests[j]
			if cells[t.Name] == nil {
				cells[t.Name] = map[string]string{}
			}
			cells[t.Name][all[i].System] = "✓"
			if t.Passed {
				continue
			}
			cells[t.Name][all[i].System] = fmt.Sprintf("%d/%d %s", t.Failed, t.N, titleOf(t.Stands))
			if titles[t.Name] == "" {
				names = append(names, t.Name)
				titles[t.Name] = string(t.Kind) + " " + t.Title
			}
		}
	}
	if len(names) > 0 {
		b.WriteString("今天不通过的测试（失败/用例）：\n\n| 测试 |")
		for i := range all {
			b.WriteString(" " + plain(all[i].System) + " |")
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(all)) + "\n")
		for _, name := range names {
			fmt.Fprintf(&b, "| `%s` %s |", name, plain(titles[name]))
			for i := range all {
				cell := cells[name][all[i].System]
				if cell == "" {
					cell = "—"
				}
				b.WriteString(" " + cell + " |")
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func titleOf(s behave.Standing) string {
	for _, known := range standings() {
		if known.Stands == s {
			return known.Title
		}
	}
	return string(s)
}

// words count the tests by how they stand, but for those that pass as they
// should; fixed says whether those that the list still names are counted.
func (b *behaved) words(fixed bool) []string {
	var out []string
	for _, s := range standings() {
		n := b.Stands[string(s.Stands)]
		if n == 0 || s.Stands == behave.Holds || s.Stands == behave.Fixed && !fixed || s.Stands == behave.Unlisted && !b.Listed {
			continue
		}
		out = append(out, fmt.Sprintf("%s %d", s.Word, n))
	}
	return out
}

// Words are for the template.
func (b *behaved) Words() []string { return b.words(true) }

// Topics are the capabilities that any system was tested for.
func (p *page) Topics() []behave.Capability {
	return slices.DeleteFunc(behave.Capabilities(), func(c behave.Capability) bool {
		return !slices.ContainsFunc(p.Behaved, func(b behaved) bool {
			return slices.ContainsFunc(b.Groups, func(g behavedByKind) bool { return g.Code == c.Code })
		})
	})
}

// BehaveSystems are those of the run that read a conversation and that the
// command for the behavioural tests knows.
func (p *page) BehaveSystems() string {
	var out []string
	for _, s := range p.Systems {
		if slices.Contains([]string{"full", "fast", "keyword"}, s.Name) {
			out = append(out, s.Name)
		}
	}
	if len(out) == 0 {
		return "full"
	}
	return strings.Join(out, ",")
}

// share writes a share in per cent.
func share(x float64) string { return format(100*x, "%.1f%%") }
