package report

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/behave"
)

// behaveSuite has a test that passes, one that fails with more cases than are
// shown, one that fails and is new, one that the list should no longer name,
// and one whose texts are long or try to break out of the page.
const behaveSuite = `
tests:
  - {name: kind.broken, title: 坏了就是投诉, capability: kind, kind: MFT, texts: [坏了, 又坏了], expect: {kind: [complaint]}}
  - {name: kind.known, title: 都该是投诉, capability: kind, kind: MFT, texts: [不退钱, 退钱啊, 骗子, 还我钱😡, 坏了], expect: {kind: [complaint]}}
  - {name: escalation.added, title: 加上１２３１５, capability: escalation, kind: DIR, texts: [坏了], perturb: [{name: suffix, with: ["，打12315！"]}], direction: {risk: up}}
  - {name: script.fine, title: 语气词不变, capability: script, kind: INV, texts: [坏了], perturb: [{name: fillers}], unchanged: [kind]}
  - {name: kind.most, title: 多数是投诉, capability: kind, kind: MFT, pass: 0.5, texts: [坏了, 在吗], expect: {kind: [complaint]}}
  - {name: length.hostile, title: '<img src=x onerror="alert(1)">', capability: length, kind: MFT, texts: [HOSTILE, LONG], expect: {kind: [complaint]}}
`

const behaveList = `
date: "2026-01-02"
margin: 0.05
systems: [full]
tests:
  kind.known: {why: 只认得坏, failing: {full: 0.8}}
  script.fine: {why: 以前不行, failing: {full: 1}}
  length.hostile: {why: 太长, failing: {full: 0.5}}
`

// tested are the results of two systems on behaveSuite: one that knows one word,
// and one that fails on everything.
func tested(t testing.TB, identity map[string]string) ([]*behave.Report, *behave.Known) {
	source := strings.NewReplacer("HOSTILE", fmt.Sprintf("%q", "</script><img src=x> 👩‍👩‍👧 \u200b"), "LONG", strings.Repeat("退", 2000)).Replace(behaveSuite)
	suite, err := behave.Parse(behave.Source{Name: "a.yaml", Content: []byte(source)})
	require.NoError(t, err)
	word := func(_ context.Context, tr qingting.Transcript) (*qingting.Analysis, error) {
		a := &qingting.Analysis{}
		a.Kind.Code, a.Risk.Level = qingting.KindInquiry, qingting.RiskLow
		if strings.Contains(tr.Messages[0].Text, "坏") {
			a.Kind.Code = qingting.KindComplaint
		}
		return a, nil
	}
	down := func(context.Context, qingting.Transcript) (*qingting.Analysis, error) {
		return nil, context.DeadlineExceeded
	}
	full, err := behave.Run(t.Context(), suite, "full", word, behave.Options{Identity: identity})
	require.NoError(t, err)
	fast, err := behave.Run(t.Context(), suite, "fast", down, behave.Options{})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, behave.WriteJSON(&b, []*behave.Report{full, fast}))
	reports, err := behave.ReadJSON(behave.Source{Name: "behave.json", Content: b.Bytes()})
	require.NoError(t, err)
	known, err := behave.ParseKnown(behave.Source{Name: "known.yaml", Content: []byte(behaveList)})
	require.NoError(t, err)
	return reports, known
}

// section is the part of a page with the behavioural tests.
func section(t testing.TB, page string) string {
	got := regexp.MustCompile(`(?s)<section class="card" id="behave".*?</section>`).FindString(page)
	require.NotEmpty(t, got)
	return got
}

func TestBehaviour(t *testing.T) {
	run := makeRun(t, writeData(t, 30), 0.8)
	reports, known := tested(t, nil)
	r := readReport(t, run, Options{Behave: reports, Known: known})
	all, err := r.behaviour()
	require.NoError(t, err)
	require.Len(t, all, 2)
	full := all[0]
	require.Equal(t, []int{6, 3, 3}, []int{full.All.Tests, full.All.Passed, full.All.Failing})
	require.Equal(t, map[string]int{"new": 1, "worse": 1, "known": 1, "fixed": 1, "pass": 2}, full.Stands)
	order := names(full.Tests, func(x behavedTest) string { return string(x.Stands) + " " + x.Name })
	require.Equal(t, []string{"new escalation.added", "worse length.hostile", "known kind.known", "fixed script.fine", "pass kind.broken", "pass kind.most"}, order)
	require.Equal(t, "只认得坏", full.Tests[2].Why)
	require.Equal(t, []int{3, 1}, []int{len(full.Tests[2].Failures), full.Tests[2].More}, "three of four failing cases are shown")
	require.Equal(t, "kind", full.Groups[0].Code)
	require.Equal(t, []int{3, 2, 0, 0}, []int{full.Groups[0].Kinds[0].Tests, full.Groups[0].Kinds[0].Passed, full.Groups[0].Kinds[1].Tests, full.Groups[0].Kinds[2].Tests})
	require.False(t, all[1].Listed)
	require.Equal(t, map[string]int{"unlisted": 6}, all[1].Stands)

	page := render(t, r)
	got := section(t, page)
	text := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(got, ""))
	for _, want := range []string{
		"6 个测试，通过 3，不通过 3：新的 1，比清单差 1，已知 1，清单里有、现在通过 1。", "6 个测试，通过 0，不通过 6（清单不含这个系统）。",
		"（61.5%，35.5% – 82.3%）", "✗ 新的失败 DIR升级风险 加上１２３１５ escalation.added", "✗ 比清单差", "✗ 已知失败", "✓ 通过，清单该更新", "已知的原因：只认得坏",
		"3 个不成立的用例（另有 1 个）", "还我钱", "来电性质应是投诉，得到咨询", "系统没有给出结果（timeout）", "成立 50.0% 就算通过", "清单 80.0%",
		`</script><img src=x> 👩‍👩‍👧 ·`, "…（共 2000 字）", "清单是 2026-01-02 写的",
	} {
		require.Contains(t, text, strings.NewReplacer("还我钱", "骗子").Replace(want))
	}
	require.NotContains(t, got, "<img")
	require.NotContains(t, text, "还我钱", "the fourth failing case is not shown")
	require.Less(t, len(got), 60_000, "long texts are cut")
	require.Equal(t, 6+6, strings.Count(got, `data-stands="`))
	require.Equal(t, 3, strings.Count(got, `data-passed="true"`))
	require.Equal(t, 3, strings.Count(got, ` hidden><p class="what">`), "what passes is shown when asked for")
	// Every number of a capability and a kind that has failing tests leads to them.
	for _, m := range regexp.MustCompile(`data-capability="(\w+)" data-kind="(\w+)" aria-label="[^"]*看不通过的 (\d+) 个"`).FindAllStringSubmatch(got, -1) {
		require.GreaterOrEqual(t, len(regexp.MustCompile(`data-passed="false" data-capability="`+m[1]+`" data-kind="`+m[2]+`"`).FindAllString(got, -1)), 1, m[0])
	}
	require.NotContains(t, got, "ZgotmplZ")
	require.NotContains(t, got, "NaN")
	require.Equal(t, page, render(t, r))
}

func TestBehaviourIsOfTheSameSystem(t *testing.T) {
	run := makeRun(t, writeData(t, 30), 0.8)
	for _, tt := range []struct {
		name     string
		identity map[string]string
		want     string
	}{
		{"same", map[string]string{"skill": "0.8"}, ""},
		{"more is known of it", map[string]string{"skill": "0.8", "kernel": "avx2"}, ""},
		{"not kept", nil, ""},
		{"other", map[string]string{"skill": "0.9"}, "不是同一个，不同的有 skill"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reports, _ := tested(t, tt.identity)
			got := section(t, render(t, readReport(t, run, Options{Behave: reports})))
			require.Equal(t, tt.want != "", strings.Contains(got, "不是同一个"))
			require.Contains(t, got, tt.want)
			require.Contains(t, got, "没有与已知失败的清单比")
		})
	}
	reports, _ := tested(t, nil)
	reports[1].System = "keyword"
	require.Contains(t, section(t, render(t, readReport(t, run, Options{Behave: reports}))), "这次评测没有跑这个系统")
}

func TestNoBehaviour(t *testing.T) {
	r := readReport(t, makeRun(t, writeData(t, 30), 0.8), Options{})
	got := section(t, render(t, r))
	require.Contains(t, got, "qingting eval behave --system full,fast --json behave.json\n")
	require.Contains(t, got, "--behave behave.json")
	require.NotContains(t, got, "<table")
	var b bytes.Buffer
	require.NoError(t, r.Markdown(&b))
	require.NotContains(t, b.String(), "行为测试")
	b.Reset()
	require.NoError(t, r.JSON(&b))
	require.NotContains(t, b.String(), `"behave"`)
}

func TestBehaviourExports(t *testing.T) {
	reports, known := tested(t, nil)
	r := readReport(t, makeRun(t, writeData(t, 30), 0.8), Options{Behave: reports, Known: known})
	var b bytes.Buffer
	require.NoError(t, r.Markdown(&b))
	for _, want := range []string{
		"## 行为测试\n", "| full | 6 | 3 | 3（新的 1，比清单差 1，已知 1） | 2/4 | 1/1 | 0/1 | 8/13 | 61.5% [", "| fast | 6 | 0 | 6 | 0/4 | 0/1 | 0/1 | 13/13 | 100.0% [",
		"| `kind.known` MFT 都该是投诉 | 4/5 ✗ 已知失败 | 5/5 ✗ 不通过 |\n", "| `kind.broken` MFT 坏了就是投诉 | ✓ | 2/2 ✗ 不通过 |\n", "&lt;img",
	} {
		require.Contains(t, b.String(), want)
	}

	b.Reset()
	require.NoError(t, r.JSON(&b))
	var v struct {
		Behave []struct {
			System string
			All    struct{ Tests, Passed, N, Failed int }
			Tests  []struct {
				Name, Stands string
				Failures     []behave.Failure
			}
		}
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &v))
	require.Len(t, v.Behave, 2)
	require.Equal(t, "full", v.Behave[0].System)
	require.Equal(t, 6, v.Behave[0].All.Tests)
	require.Equal(t, "new", v.Behave[0].Tests[0].Stands)
	for _, test := range v.Behave[0].Tests {
		require.LessOrEqual(t, len(test.Failures), behaveExamples)
	}

	b.Reset()
	require.NoError(t, r.CSV(&b))
	lines, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	at := indexOf(lines, "behave.failed")
	require.Equal(t, []string{"full", "behave", "", "", "behave.failed", "true"}, lines[at][:6])
	require.Equal(t, "13", lines[at][9])
	require.Equal(t, []string{"full", "behave", "capability", "kind", "behave.failed", "true"}, lines[at+1][:6])
}

// TestHeadlines holds the headline figures of the page to those that a run
// measures on every slice.
func TestHeadlines(t *testing.T) {
	r := readReport(t, makeRun(t, writeData(t, 300), 0.8), Options{})
	checked := 0
	for _, s := range r.Systems {
		for _, m := range s.Suites {
			if len(m.Slices) == 0 {
				continue
			}
			want := map[string]bool{}
			for _, f := range m.Slices[0].Figures {
				want[f.Name] = true
			}
			for _, f := range m.Figures {
				require.Equal(t, want[f.Name], headline(f.Name), f.Name)
				checked++
			}
		}
	}
	require.Greater(t, checked, 30)
}
