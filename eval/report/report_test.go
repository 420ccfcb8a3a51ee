package report

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/behave"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/gate"
	"github.com/qingting-ai/qingting/eval/metric"
	"github.com/qingting-ai/qingting/internal/text"
)

// hostile is what an id, a slice or a customer may try to do to a page.
const hostile = `</script></template><img src=x onerror="alert('壞')"> & 'q' ` + "\u202e" + ` 😡`

// random draws one of the codes.
func random[C any](r *rand.Rand, of []C) C { return of[r.IntN(len(of))] }

func labels(r *rand.Rand) qingting.Labels {
	l := qingting.Labels{
		Kind: random(r, qingting.Kinds()), Types: []qingting.Type{}, Emotion: random(r, qingting.Emotions()), Intensity: r.IntN(4), Risk: random(r, qingting.RiskLevels()),
		Signals: []qingting.SignalCode{}, Claims: []qingting.ClaimCode{}, Style: random(r, qingting.Styles()), Outcome: random(r, qingting.Outcomes()),
	}
	if l.Kind == qingting.KindComplaint {
		l.Primary = random(r, qingting.Types())
		l.Types = append(l.Types, l.Primary)
	}
	for _, s := range qingting.Signals() {
		if r.IntN(6) == 0 {
			l.Signals = append(l.Signals, s)
		}
	}
	return l
}

// writeData makes a dataset of conversations and of queries.
func writeData(t testing.TB, n int) string {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for i := range n {
		id := fmt.Sprintf("t%05d", i)
		if i == 1 {
			id = hostile
		}
		require.NoError(t, e.Encode(map[string]any{
			"id": id, "slices": map[string]string{"industry": random(r, []string{"电商", "银行", "<b>餐饮</b>"})},
			"messages": []map[string]string{
				{"role": "customer", "text": fmt.Sprintf("😡第%d次打电话了，再不退我%d块钱就去12315，%s", i, r.IntN(900), hostile)},
				{"role": "agent", "text": "您好，这边马上为您核实"},
			},
			"labels": labels(r),
		}))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.jsonl"), b.Bytes(), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "q.jsonl"), []byte(`{"id":"q1","text":"退款一直不到账"}`+"\n"+`{"id":"q2","text":"宽带老断"}`+"\n"+`{"id":"q3","text":"随便问问"}`+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "s.jsonl"), []byte(`{"id":"s1","messages":[{"role":"customer","text":"行吧"}],"votes":{"S":{"-1":2,"0":1}}}`+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "q.qrels"), []byte("q1 0 c1 3\nq1 0 c2 0\nq2 0 c2 2\nq3 0 c1 0\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dataset.yaml"), []byte(`
name: "<i>合成</i>"
version: "1"
taxonomy: "1.3"
suites:
  - {name: a, suite: triage, path: a.jsonl}
  - {name: q, suite: retrieval, path: q.jsonl, qrels: q.qrels, corpus: "builtin:starter"}
  - {name: s, suite: satisfaction, path: s.jsonl}
`), 0o600))
	return filepath.Join(dir, "dataset.yaml")
}

// guesser is a system that is right about as often as skill says, and fails on
// every hundredth conversation.
func guesser(t testing.TB, d *dataset.Dataset, name string, skill float64) eval.System {
	gold := map[string]qingting.Labels{}
	f, err := d.File("a")
	require.NoError(t, err)
	for e, err := range dataset.Read[dataset.Example](d, f) {
		require.NoError(t, err)
		gold[e.ID] = e.Labels
	}
	return eval.System{
		Name: name, Identity: map[string]string{"skill": fmt.Sprint(skill)},
		Analyze: func(_ context.Context, tr qingting.Transcript) (*qingting.Analysis, error) {
			seed := uint64(len(name))
			for _, c := range tr.ID {
				seed = seed*31 + uint64(c)
			}
			r := rand.New(rand.NewPCG(seed, uint64(1000*skill)))
			if seed%100 == 7 {
				return nil, errors.New("broken")
			}
			l := labels(r)
			if r.Float64() < skill {
				l = gold[tr.ID]
			}
			a := &qingting.Analysis{Satisfaction: &qingting.Satisfaction{Distribution: map[string]float64{"-1": 0.5, "0": 0.5}}}
			a.Kind.Code, a.Kind.Confidence = l.Kind, r.Float64()
			a.Emotion.Code, a.Emotion.Intensity, a.Emotion.Confidence = l.Emotion, l.Intensity, r.Float64()
			a.Risk.Level, a.Risk.Score = l.Risk, 0.7*r.Float64()
			if l.Risk == qingting.RiskHigh {
				a.Risk.Score = 0.3 + 0.7*r.Float64()
			}
			a.Style.Code, a.Outcome.Code = l.Style, l.Outcome
			if l.Primary != "" {
				a.Primary = &l.Primary
			}
			for _, ty := range l.Types {
				a.Types = append(a.Types, qingting.TypeScore{Code: ty, Confidence: r.Float64(), Evidence: []qingting.Span{{Message: 0, Start: 1, End: 6}, {Message: 0, Start: r.IntN(8), End: 9 + r.IntN(9)}}})
			}
			for _, s := range l.Signals {
				a.Risk.Signals = append(a.Risk.Signals, qingting.Signal{Code: s, Span: qingting.Span{Message: 0, Start: 2, End: 8}})
			}
			return a, nil
		},
		Rank: func(context.Context, string, *dataset.Query) ([]eval.Ranked, bool, error) {
			return []eval.Ranked{{ID: "c1", Score: skill}, {ID: "c9", Score: skill / 2}, {ID: "c2", Score: skill / 4}}, true, nil
		},
	}
}

// makeRun evaluates two guessers and a constant; skill is that of the first.
func makeRun(t testing.TB, data string, skill float64) string {
	d, err := dataset.Open(data)
	require.NoError(t, err)
	cleaner, err := text.NewCleaner()
	require.NoError(t, err)
	o := eval.Options{Cleaner: cleaner, Resampling: eval.Resampling{Rounds: 20}}
	constants, err := eval.Baselines(d, &o)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "today")
	_, err = eval.Run(context.Background(), "v<1>", dir, d, []eval.System{guesser(t, d, "full", skill), guesser(t, d, "fast", 0.5), constants[0]}, o)
	require.NoError(t, err)
	return dir
}

func readReport(t testing.TB, run string, o Options) *Report {
	o.Rounds = 50
	r, err := Read(run, o)
	require.NoError(t, err)
	return r
}

func render(t testing.TB, r *Report) string {
	var b bytes.Buffer
	require.NoError(t, r.HTML(&b))
	return b.String()
}

// unpack reads the rows back as the browser does.
func unpack(t testing.TB, page string) *pageData {
	packed := regexp.MustCompile(`<template id="data">([^<]*)</template>`).FindStringSubmatch(page)
	require.Len(t, packed, 2)
	b, err := base64.StdEncoding.DecodeString(packed[1])
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(b))
	require.NoError(t, err)
	var d pageData
	require.NoError(t, json.NewDecoder(z).Decode(&d))
	return &d
}

func TestPageIsClosed(t *testing.T) {
	data := writeData(t, 60)
	run := makeRun(t, data, 0.8)
	d, err := dataset.Open(data)
	require.NoError(t, err)
	for name, o := range map[string]Options{"plain": {}, "texts": {Data: d, Compare: run}} {
		t.Run(name, func(t *testing.T) {
			got := render(t, readReport(t, run, o))
			require.True(t, strings.HasPrefix(got, "<!DOCTYPE html>"), got[:40])
			// Nothing is loaded: the only addresses are those of the icon and of
			// places in the page.
			require.NotRegexp(t, `(?i)https?://|@import|url\(`, got)
			for _, m := range regexp.MustCompile(`(?i)\b(?:src|href|action|data|poster|srcset)\s*=\s*["']?([^"'\s>]*)`).FindAllStringSubmatch(html.UnescapeString(markup(got)), -1) {
				if !strings.Contains(m[0], "src=x") { // the hostile text, which is no element: see below
					require.Regexp(t, `^(#|data:,$)`, m[1], m[0])
				}
			}
			require.NotContains(t, got, "<img")
			require.NotContains(t, got, "<b>餐饮")
			require.NotContains(t, got, "<i>合成")
			require.NotRegexp(t, `\sstyle="`, got, "the policy forbids inline styles")
			require.NotRegexp(t, `\son[a-z]+="`, markup(got), "the policy forbids inline handlers")
			require.Equal(t, 1, strings.Count(got, "<script>"), "one script")
			require.Equal(t, 1, strings.Count(got, "</script>"))
			require.NotContains(t, got, "ZgotmplZ", "html/template refused a value")
			require.NotContains(t, markup(got), "NaN")
			require.NotContains(t, markup(got), "Infinity")
			// The policy names the very style and script.
			for _, tag := range []string{"style", "script"} {
				inside := regexp.MustCompile(`(?s)<` + tag + `>(.*?)</` + tag + `>`).FindStringSubmatch(got)
				require.Len(t, inside, 2)
				require.Contains(t, html.UnescapeString(got[:600]), pin([]byte(inside[1])), tag)
			}
			ids := map[string]bool{}
			for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(markup(got), -1) {
				require.False(t, ids[m[1]], "id %s twice", m[1])
				ids[m[1]] = true
			}
			rows := unpack(t, got)
			require.Len(t, rows.Examples, 64)
			require.Equal(t, hostile, rows.Examples[1].ID)
			require.Equal(t, name == "texts", rows.Examples[0].Messages != nil)
			if name == "texts" {
				require.Contains(t, rows.Examples[0].Messages[0][1], hostile)
				require.Equal(t, map[string]int{"c1": 3, "c2": 0}, rows.Examples[60].Grades)
			} else {
				require.NotContains(t, markup(got), "打电话")
			}
		})
	}
}

// markup is the page without style, script and rows.
func markup(page string) string {
	return regexp.MustCompile(`(?s)<style>.*?</style>|<script>.*?</script>|<template.*?</template>`).ReplaceAllString(page, "")
}

func TestSameRunSameBytes(t *testing.T) {
	data := writeData(t, 40)
	run := makeRun(t, data, 0.8)
	other := makeRun(t, data, 0.6)
	d, err := dataset.Open(data)
	require.NoError(t, err)
	first := readReport(t, run, Options{Compare: other, Data: d})
	require.Equal(t, render(t, first), render(t, first))
	require.Equal(t, render(t, first), render(t, readReport(t, run, Options{Compare: other, Data: d})))
	require.NotEqual(t, render(t, first), render(t, readReport(t, run, Options{})))
}

// TestSize holds the promise of 5 MB for 5,000 examples and three systems, with
// the behavioural tests, and for the same with texts and another run beside it.
func TestSize(t *testing.T) {
	data := writeData(t, 5000)
	run := makeRun(t, data, 0.8)
	d, err := dataset.Open(data)
	require.NoError(t, err)
	// Three systems that fail every one of 150 behavioural tests.
	var tests []behave.TestResult
	for i := range 150 {
		f := behave.Failure{Before: strings.Repeat("再不退款我就去12315投诉！", 5), After: strings.Repeat("再不退款，我就去12315投诉了！！", 5), How: "fillers", Why: []string{"信号变了：监管投诉 → 无", "风险变了：高 → 低"}}
		tests = append(tests, behave.TestResult{
			Name: fmt.Sprintf("robustness.test_%03d", i), Title: "关键词以外打成同音字，来电性质和信号不变", Capability: "robustness", Kind: behave.INV, Pass: 1,
			Rate: behave.Rate{N: 9, Failed: 9, Rate: 1, Low: 0.7, High: 1}, Failures: slices.Repeat([]behave.Failure{f}, 9),
		})
	}
	r := readReport(t, run, Options{Data: d, Behave: []*behave.Report{{System: "full", Tests: tests}, {System: "fast", Tests: tests}, {System: "keyword", Tests: tests}}})
	alone := *r
	alone.Texts, alone.Grades = nil, nil
	size := len(render(t, &alone))
	// The other run is the same one, which takes as much room as any.
	r.Before = "yesterday"
	for i := range r.Systems {
		// alone shares the systems, and has been written by now
		r.Systems[i].Before, r.Systems[i].Comparison = r.Systems[i].Rows, &eval.Comparison{}
	}
	full := render(t, r)
	t.Logf("5,000 examples, 3 systems: %.2f MB; with texts and a second run %.2f MB", float64(size)/1e6, float64(len(full))/1e6)
	// The browser test opens this page to see that thousands of rows stay fast.
	if name := os.Getenv("QINGTING_LARGE_REPORT"); name != "" {
		require.NoError(t, os.WriteFile(name, []byte(full), 0o600))
	}
	require.Less(t, size, 5_000_000)
	require.Less(t, len(full), 8_000_000)
}

func TestRowsAreTheRun(t *testing.T) {
	data := writeData(t, 60)
	run := makeRun(t, data, 0.8)
	r := readReport(t, run, Options{})
	rows := unpack(t, render(t, r))
	require.Equal(t, []string{"full", "fast", "majority"}, rows.Systems)
	at := 0
	for _, row := range r.Systems[0].Rows {
		got := rows.Now[0][at]
		require.Equal(t, row.ID, rows.Examples[at].ID)
		require.Equal(t, row.Error, got.Error)
		if row.Answer != nil {
			require.Equal(t, string(row.Answer.Kind), got.Labels[0])
			require.InDelta(t, row.Answer.HighP, got.P[4], 0.0005)
			require.Len(t, got.Evidence, len(row.Answer.Evidence))
		}
		if row.Suite == dataset.SuiteRetrieval {
			require.Equal(t, row.Values["hit@5"] == 1, *got.Right, row.ID)
		}
		at++
	}
	require.Len(t, rows.Examples, at)
	require.Nil(t, rows.Now[2][60], "a constant does not search")
	require.Equal(t, []float64{0, 0.667, 0.333, 0, 0}, rows.Examples[63].Votes)
	require.Equal(t, []float64{0, 0.5, 0.5, 0, 0}, rows.Now[0][63].Shares)
	// every slice of a row is found again
	for i, e := range rows.Examples {
		got := map[string]string{}
		for _, l := range e.Slices {
			got[rows.Slices[l][0]] = rows.Slices[l][1]
		}
		require.Equal(t, r.Systems[0].Rows[i].Slices, got)
	}
}

// TestCurves holds the curves to the figures of the run: the same cost, the
// same recall at the shown level.
func TestCurves(t *testing.T) {
	r := readReport(t, makeRun(t, writeData(t, 200), 0.7), Options{})
	all, err := r.highRisks()
	require.NoError(t, err)
	require.Len(t, all, 2, "a constant has no curve")
	for _, h := range all {
		require.InDelta(t, float64(h.figure("risk.cost")), h.shown.Cost(metric.Cost{Miss: eval.MissCost, FalseAlarm: eval.FalseAlarmCost}), 1e-12)
		require.InDelta(t, float64(h.figure("risk.high_recall")), h.shown.TPR(), 1e-12)
		require.InDelta(t, float64(h.figure("risk.high_precision")), h.shown.Precision(), 1e-12)
		least := math.Inf(1)
		for _, c := range h.cuts {
			least = min(least, c.Cost(metric.Cost{Miss: eval.MissCost, FalseAlarm: eval.FalseAlarmCost}))
		}
		require.InDelta(t, float64(h.figure("risk.least_cost")), least, 1e-12)
	}
	curves, reliability, err := r.riskCharts()
	require.NoError(t, err)
	require.Len(t, curves, 4)
	require.Len(t, reliability, 2)
	for _, c := range append(curves, reliability...) {
		for _, l := range c.Lines {
			for _, n := range regexp.MustCompile(`[MLHV](-?[\d.]+)`).FindAllStringSubmatch(l.D, -1) {
				var x float64
				_, err := fmt.Sscan(n[1], &x)
				require.NoError(t, err)
				require.GreaterOrEqual(t, x, 0.0)
				require.LessOrEqual(t, x, c.W)
			}
		}
	}
}

func TestOdds(t *testing.T) {
	require.Equal(t, 0.0, odds(0))
	require.Equal(t, 0.5, odds(0.5))
	require.InDelta(t, 1.0, odds(1), 1e-12)
	require.Less(t, odds(0.02), odds(0.03))
}

func TestNiceCeil(t *testing.T) {
	for x, want := range map[float64]float64{0: 0, 0.07: 0.1, 0.1: 0.1, 1.1: 2, 2.14: 2.5, 2.6: 5, 7: 10, 130: 200} {
		require.InDelta(t, want, niceCeil(x), 1e-12, "%v", x)
	}
}

// TestLabelsAddUp holds the table of labels to the figures of the run.
func TestLabelsAddUp(t *testing.T) {
	r := readReport(t, makeRun(t, writeData(t, 200), 0.7), Options{})
	tables, err := r.labelTables()
	require.NoError(t, err)
	require.Len(t, tables, 2)
	for i, s := range tables {
		for _, f := range s.Fields {
			support, called := 0, 0
			for _, row := range f.Rows {
				support += row.Support
				called += row.Called
			}
			if !fieldOf(f.Field).Set {
				n := r.Systems[i].Suite(dataset.SuiteTriage)
				require.Equal(t, n.N-n.Unscored, support, f.Field)
				require.Equal(t, support, called, f.Field)
			}
		}
	}
}

func TestVerdict(t *testing.T) {
	data := writeData(t, 200)
	good, poor := makeRun(t, data, 0.95), makeRun(t, data, 0.3)
	margin := 0.05
	policy := &gate.Policy{Confidence: 0.95, Gates: []gate.Gate{{System: "full", Figure: "type.kind", Margin: &margin}}}
	tests := []struct {
		name, run string
		o         Options
		status    gate.Status
		says      string
	}{
		{"no baseline", good, Options{}, "", "没有基线"},
		{"no policy", good, Options{Baseline: poor}, "", "没有门限"},
		{"better", good, Options{Baseline: poor, Policy: policy}, gate.Pass, "✓ 通过"},
		{"worse", poor, Options{Baseline: good, Policy: policy}, gate.Breached, "✗ 不通过"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := readReport(t, tt.run, tt.o)
			if tt.status == "" {
				require.Nil(t, r.Verdict)
				require.Error(t, r.JUnit(&bytes.Buffer{}))
			} else {
				require.Equal(t, tt.status, r.Verdict.Status)
				var b bytes.Buffer
				require.NoError(t, r.JUnit(&b))
				require.NoError(t, xml.Unmarshal(b.Bytes(), new(struct{})))
			}
			require.Contains(t, render(t, r), tt.says)
			var b bytes.Buffer
			require.NoError(t, r.Markdown(&b))
			require.Contains(t, b.String(), tt.says)
			require.NotContains(t, render(t, r), filepath.Dir(tt.run), "where a run lies on this machine is nobody's concern")
		})
	}
}

func TestChanges(t *testing.T) {
	data := writeData(t, 200)
	now, before := makeRun(t, data, 0.95), makeRun(t, data, 0.3)
	r := readReport(t, now, Options{Compare: before})
	changes := r.changes()
	require.Len(t, changes, 2)
	require.Equal(t, "full", changes[0].System)
	require.Greater(t, changes[0].Fields[0].Fixed, 10*max(1, changes[0].Fields[0].Broken))
	for _, f := range changes[1].Fields {
		require.Zero(t, f.Fixed+f.Broken+f.Moved, "fast did not change")
	}
	kind := changes[0].Short[0]
	require.Equal(t, "type.kind", kind.Name)
	require.Equal(t, "better", kind.Class)
}

func TestExports(t *testing.T) {
	data := writeData(t, 60)
	run := makeRun(t, data, 0.8)
	d, err := dataset.Open(data)
	require.NoError(t, err)
	r := readReport(t, run, Options{Data: d, Compare: run})

	var b bytes.Buffer
	require.NoError(t, r.CSV(&b))
	lines, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"full", "triage", "", "", "type.kind", "false"}, lines[indexOf(lines, "type.kind")][:6])

	b.Reset()
	require.NoError(t, r.RowsCSV(&b))
	require.NotContains(t, b.String(), "打电话", "rows hold no text")
	lines, err = csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	require.Len(t, lines, 1+64+64+61)

	b.Reset()
	require.NoError(t, r.JSON(&b))
	var v struct {
		Run      string
		Metrics  eval.Metrics
		Compared []struct{ System string }
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &v))
	require.Equal(t, "today", v.Run)
	require.Len(t, v.Compared, 3)
	require.Len(t, v.Metrics.Systems, 3)

	dir := filepath.Join(t.TempDir(), "trec")
	names, err := r.TREC(dir)
	require.NoError(t, err)
	require.Len(t, names, 3)
	f, err := os.Open(filepath.Join(dir, "full.run"))
	require.NoError(t, err)
	defer f.Close()
	back, err := metric.ReadRun(f)
	require.NoError(t, err)
	require.Len(t, back["q1"], 3)
	q, err := os.Open(filepath.Join(dir, "retrieval.qrels"))
	require.NoError(t, err)
	defer q.Close()
	grades, err := metric.ReadQrels(q)
	require.NoError(t, err)
	// trec_eval's mean over the queries with a case to find is the figure.
	sum, n := 0.0, 0
	for _, ranking := range metric.Rankings(grades, back) {
		sum += ranking.NDCG(5)
		n++
	}
	for _, fig := range r.Systems[0].Suite(dataset.SuiteRetrieval).Figures {
		if fig.Name == "retrieval.ndcg@5" {
			require.InDelta(t, float64(fig.Value), sum/float64(n), 1e-12)
		}
	}
}

func indexOf(lines [][]string, figure string) int {
	for i, l := range lines {
		if l[4] == figure {
			return i
		}
	}
	return 0
}

func TestCell(t *testing.T) {
	for in, want := range map[string]string{"": "", "t1": "t1", "=1+1": "'=1+1", "@x": "'@x", "-1": "'-1", "电商": "电商"} {
		require.Equal(t, want, cell(in))
	}
}

func TestReadRefuses(t *testing.T) {
	data := writeData(t, 30)
	run := makeRun(t, data, 0.8)
	_, err := Read(t.TempDir(), Options{})
	require.ErrorContains(t, err, "没有评测")
	_, err = Read(run, Options{Compare: t.TempDir()})
	require.ErrorContains(t, err, "没有跑完的评测")
	other, err := dataset.Open(writeOther(t))
	require.NoError(t, err)
	_, err = Read(run, Options{Data: other})
	require.ErrorContains(t, err, "检查 --data")
}

func writeOther(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "b.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(`{"id":"x","messages":[{"role":"customer","text":"在吗"}],"labels":{"kind":"other"}}`+"\n"), 0o600))
	return path
}
