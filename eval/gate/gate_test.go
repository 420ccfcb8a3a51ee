package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
)

type plainCleaner struct{}

func (plainCleaner) Clean(s string) (clean []rune, from, to []int32) {
	clean = []rune(s)
	for i := range clean {
		from, to = append(from, int32(i)), append(to, int32(i+1))
	}
	return clean, from, to
}

// a system that is right with a given probability; the fault is done to its
// answers.
type subject struct {
	data  string
	right float64
	fault func(i int, rng *rand.Rand, a *qingting.Analysis)
	fail  func(i int) error
	slow  float64 // factor on the times
	limit int
}

const examples = 400

func writeDataset(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	for i := range examples {
		row := map[string]any{
			"id": fmt.Sprintf("c%d", i), "labels": goldOf(i),
			"messages": []qingting.Message{{Role: qingting.RoleCustomer, Text: fmt.Sprintf("第%d号会话", i)}},
		}
		line, err := json.Marshal(row)
		require.NoError(t, err)
		b.Write(append(line, '\n'))
	}
	path := filepath.Join(t.TempDir(), "data.jsonl")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

func goldOf(i int) qingting.Labels {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	l := qingting.Labels{
		Kind: qingting.KindComplaint, Types: []qingting.Type{qingting.Types()[rng.IntN(21)]}, Emotion: qingting.EmotionAngry, Intensity: 2,
		Risk: qingting.RiskMedium, Signals: []qingting.SignalCode{}, Claims: []qingting.ClaimCode{}, Style: qingting.StyleMixed, Outcome: qingting.OutcomePending,
	}
	l.Primary = l.Types[0]
	switch rng.IntN(4) {
	case 0:
		l.Risk, l.Signals = qingting.RiskHigh, []qingting.SignalCode{qingting.SignalRegulator}
	case 1:
		l.Kind, l.Types, l.Primary, l.Emotion, l.Intensity, l.Risk = qingting.KindInquiry, nil, "", qingting.EmotionCalm, 0, qingting.RiskLow
	}
	return l
}

// answer is what a model would say: its score for high is noisy, and the level
// follows from a threshold of 0.5.
func answer(i int, right float64) (*qingting.Analysis, *rand.Rand) {
	gold := goldOf(i)
	rng := rand.New(rand.NewPCG(uint64(i), 2))
	a := &qingting.Analysis{}
	a.Kind.Code, a.Kind.Confidence = gold.Kind, right
	if rng.Float64() > right {
		a.Kind.Code = qingting.KindSuggestion
	}
	for _, t := range gold.Types {
		if rng.Float64() > right {
			t = qingting.Types()[rng.IntN(21)]
		}
		a.Types, a.Primary = append(a.Types, qingting.TypeScore{Code: t, Confidence: right}), &t
	}
	a.Emotion.Code, a.Emotion.Intensity = gold.Emotion, gold.Intensity
	a.Risk.Level, a.Risk.Score = gold.Risk, 0.25+0.2*rng.NormFloat64()
	if gold.Risk == qingting.RiskHigh {
		a.Risk.Score = 0.75 + 0.2*rng.NormFloat64()
	}
	a.Risk.Score = min(max(a.Risk.Score, 0), 1)
	a.Style.Code, a.Outcome.Code = gold.Style, gold.Outcome
	return a, rng
}

func level(a *qingting.Analysis, threshold float64) {
	switch {
	case a.Risk.Score >= threshold:
		a.Risk.Level = qingting.RiskHigh
	case a.Risk.Level == qingting.RiskHigh:
		a.Risk.Level = qingting.RiskMedium
	}
}

// evaluate runs a subject and returns the folder.
func evaluate(t testing.TB, s subject) string {
	t.Helper()
	d, err := dataset.Open(s.data)
	require.NoError(t, err)
	dir := t.TempDir()
	_, err = eval.Run(t.Context(), "test", dir, d, []eval.System{{
		Name: "model",
		Analyze: func(_ context.Context, tr qingting.Transcript) (*qingting.Analysis, error) {
			var i int
			if _, err := fmt.Sscanf(tr.Messages[0].Text, "第%d号", &i); err != nil {
				return nil, err
			}
			if s.fail != nil {
				if err := s.fail(i); err != nil {
					return nil, err
				}
			}
			a, rng := answer(i, s.right)
			level(a, 0.5)
			if s.fault != nil {
				s.fault(i, rng, a)
			}
			return a, nil
		},
	}}, eval.Options{Cleaner: plainCleaner{}, Jobs: 2, Limit: s.limit, MaxErrors: 1, Resampling: eval.Resampling{Rounds: 100}})
	require.NoError(t, err)
	// Times of a real run are noisy; these are not, so that the factor is known.
	var b bytes.Buffer
	rng := rand.New(rand.NewPCG(3, uint64(s.slow*100)))
	for i := range examples {
		fmt.Fprintf(&b, `{"id":"c%d","ms":%.3f}`+"\n", i, max(s.slow, 1)*(2+float64(i%7))*(0.8+0.4*rng.Float64()))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model", eval.TimesFile), b.Bytes(), 0o600))
	return dir
}

func policyOf(t testing.TB, text string) *Policy {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gates.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	p, err := ReadPolicy(path)
	require.NoError(t, err)
	return p
}

const gates = `
gates:
  - {figure: type.kind, margin: 0.02, floor: 0.7}
  - {figure: type.types_micro, margin: 0.02}
  - {figure: risk.high_recall, margin: 0.03}
  - {figure: risk.cost, margin: 0.05}
  - {figure: speed.ratio, margin: 0.2}
`

// TestMutations injects faults and shows that the gate sees each of them, in
// the figure that tells of it, and lets a change pass that changes no answer.
func TestMutations(t *testing.T) {
	data := writeDataset(t)
	base := evaluate(t, subject{data: data, right: 0.9})
	p := policyOf(t, gates)
	for _, m := range []struct {
		name   string
		s      subject
		status Status
		figure string // that is not passed
	}{
		{"a refactoring", subject{right: 0.9}, Pass, ""},
		{"labels swapped", subject{right: 0.9, fault: func(i int, _ *rand.Rand, a *qingting.Analysis) {
			if i%5 == 0 {
				a.Kind.Code = map[bool]qingting.Kind{true: qingting.KindInquiry, false: qingting.KindComplaint}[a.Kind.Code == qingting.KindComplaint]
			}
		}}, Breached, "type.kind"},
		{"types lost", subject{right: 0.9, fault: func(i int, _ *rand.Rand, a *qingting.Analysis) {
			if i%4 == 0 {
				a.Types, a.Primary = nil, nil
			}
		}}, Breached, "type.types_micro"},
		{"threshold shifted", subject{right: 0.9, fault: func(_ int, _ *rand.Rand, a *qingting.Analysis) { level(a, 0.75) }}, Breached, "risk.high_recall"},
		{"alarms everywhere", subject{right: 0.9, fault: func(_ int, _ *rand.Rand, a *qingting.Analysis) { level(a, 0.05) }}, Breached, "risk.cost"},
		{"30 % slower", subject{right: 0.9, slow: 1.3}, Breached, "speed.ratio"},
		{"crashes now and then", subject{right: 0.9, fail: func(i int) error {
			if i%6 == 0 {
				return fmt.Errorf("crash")
			}
			return nil
		}}, Inconclusive, "type.kind"},
		{"crashes often", subject{right: 0.9, fail: func(i int) error {
			if i%2 == 0 {
				return fmt.Errorf("crash")
			}
			return nil
		}}, Inconclusive, "type.kind"},
		{"a little worse", subject{right: 0.89}, Inconclusive, "type.types_micro"},
	} {
		t.Run(m.name, func(t *testing.T) {
			m.s.data = data
			v, err := Judge(base, evaluate(t, m.s), p, eval.Resampling{Rounds: 200})
			require.NoError(t, err)
			require.Len(t, v.Checks, 5)
			var out strings.Builder
			require.NoError(t, v.Text(&out))
			require.Equal(t, m.status, v.Status, out.String())
			for _, c := range v.Checks {
				require.NotEmpty(t, c.Reason)
				if c.Figure == m.figure {
					require.NotEqual(t, Pass, c.Status, out.String())
				}
				if m.figure == "" {
					require.Equal(t, Pass, c.Status, out.String())
				}
			}
		})
	}
}

// TestFalseAlarms compares systems that are equally good, a thousand times on
// resampled examples: the bound of 95 % two-sided may be broken in 2.5 % of
// them.
func TestFalseAlarms(t *testing.T) {
	const population, n, runs = 2000, 150, 1000
	rng := rand.New(rand.NewPCG(5, 6))
	type pair [2]float64
	pairs := make([]pair, population)
	for i := range pairs {
		hard := rng.Float64() < 0.3
		for k := range 2 {
			p := 0.95
			if hard {
				p = 0.4
			}
			if rng.Float64() < p {
				pairs[i][k] = 1
			}
		}
	}
	m := 0.0
	alarms, improved := 0, 0
	for r := range runs {
		var base, candidate []*eval.Row
		for i := range n {
			pair := pairs[rng.IntN(population)]
			if rng.IntN(2) == 0 { // makes the null hypothesis true
				pair[0], pair[1] = pair[1], pair[0]
			}
			row := eval.Row{Suite: dataset.SuiteText, Hash: fmt.Sprint(i), Group: fmt.Sprint(i)}
			b, c := row, row
			b.Values, c.Values = map[string]float64{"script": pair[0]}, map[string]float64{"script": pair[1]}
			base, candidate = append(base, &b), append(candidate, &c)
		}
		c, err := eval.Compare(base, candidate, eval.Resampling{Rounds: 400, Seed: uint64(r)}, 0.95)
		require.NoError(t, err)
		for i := range c.Deltas {
			if d := &c.Deltas[i]; d.Name == "text.script" {
				check := judge("model", Gate{Figure: d.Name, Margin: &m}, d, &eval.Bound{})
				if check.Status == Breached {
					alarms++
				}
				if low, high := d.Damage(); high < 0 && low < 0 {
					improved++
				}
			}
		}
	}
	t.Logf("%d false alarms, %d false improvements in %d comparisons", alarms, improved, runs)
	// 2.5 % of 1,000 is 25; 40 is exceeded by chance once in 500 times.
	require.LessOrEqual(t, alarms, 40)
	require.LessOrEqual(t, improved, 40)
}

func TestJudgeMissesNothing(t *testing.T) {
	data := writeDataset(t)
	base := evaluate(t, subject{data: data, right: 0.9})
	v, err := Judge(base, base, policyOf(t, "gates:\n  - {figure: no.such, margin: 0}\n"), eval.Resampling{Rounds: 20})
	require.NoError(t, err)
	require.Equal(t, Missing, v.Status)
	require.Equal(t, ExitBreached, v.Exit())
	v, err = Judge(base, base, policyOf(t, "gates:\n  - {system: other, figure: type.kind, margin: 0}\n"), eval.Resampling{Rounds: 20})
	require.NoError(t, err)
	require.Equal(t, Missing, v.Status)
	v, err = Judge(base, base, policyOf(t, "gates:\n  - {figure: type.kind, margin: 0}\n"), eval.Resampling{Rounds: 20})
	require.NoError(t, err)
	require.Equal(t, Pass, v.Status, "compare(A, A) is no damage at all")
	require.Equal(t, eval.Number(0), v.Checks[0].DamageHigh)
	require.Contains(t, v.Checks[0].Reason, "每次重抽样都没有差别", "no interval of width 0 is shown as one")
	require.Equal(t, examples, v.Checks[0].N)

	limited := evaluate(t, subject{data: data, right: 0.9, limit: 10})
	_, err = Judge(base, limited, policyOf(t, gates), eval.Resampling{})
	require.ErrorIs(t, err, ErrLimited)

	// Whoever drops the hard examples does not get away with it.
	rows := filepath.Join(base, "model", eval.RowsFile)
	b, err := os.ReadFile(rows)
	require.NoError(t, err)
	fewer := t.TempDir()
	require.NoError(t, os.CopyFS(fewer, os.DirFS(base)))
	require.NoError(t, os.WriteFile(filepath.Join(fewer, "model", eval.RowsFile), bytes.Join(bytes.SplitAfter(b, []byte("\n"))[10:], nil), 0o600))
	v, err = Judge(base, fewer, policyOf(t, gates), eval.Resampling{Rounds: 20})
	require.NoError(t, err)
	require.Equal(t, Missing, v.Status)
}

func TestOneVerdictInEveryForm(t *testing.T) {
	data := writeDataset(t)
	base := evaluate(t, subject{data: data, right: 0.9})
	v, err := Judge(base, evaluate(t, subject{data: data, right: 0.5}), policyOf(t, gates), eval.Resampling{Rounds: 100})
	require.NoError(t, err)
	require.Equal(t, ExitBreached, v.Exit())
	var text, object, junit bytes.Buffer
	require.NoError(t, v.Text(&text))
	require.NoError(t, v.JSON(&object))
	require.NoError(t, v.JUnit(&junit))
	breached := 0
	for _, c := range v.Checks {
		if c.Status == Breached {
			breached++
		}
	}
	require.Equal(t, breached, strings.Count(text.String(), "不通过")-1, text.String())
	var back Verdict
	require.NoError(t, json.Unmarshal(object.Bytes(), &back))
	require.Equal(t, v.Status, back.Status)
	require.Len(t, back.Checks, len(v.Checks))
	var suites junitSuites
	require.NoError(t, xml.Unmarshal(junit.Bytes(), &suites))
	require.Equal(t, breached, suites.Failures)
	require.Equal(t, len(v.Checks), suites.Tests)
}

func TestBlessNeedsAReason(t *testing.T) {
	data, base := writeDataset(t), filepath.Join(t.TempDir(), "baseline")
	first := evaluate(t, subject{data: data, right: 0.8})
	_, err := Bless(base, first, "  ")
	require.ErrorContains(t, err, "--reason")
	require.NoDirExists(t, base)
	b, err := Bless(base, first, "第一条基线")
	require.NoError(t, err)
	require.Empty(t, b.Moved)

	better := evaluate(t, subject{data: data, right: 0.95})
	b, err = Bless(base, better, "新的权重")
	require.NoError(t, err)
	require.NotEmpty(t, b.Moved)
	require.Equal(t, "type.kind", b.Moved[0].Figure)
	require.Greater(t, b.Moved[0].To, b.Moved[0].From)
	history, err := os.ReadFile(filepath.Join(base, historyFile))
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(history), "\n"))
	require.Contains(t, string(history), "新的权重")
	v, err := Judge(base, better, policyOf(t, gates), eval.Resampling{Rounds: 20})
	require.NoError(t, err)
	require.Equal(t, Pass, v.Status)
	_, err = Bless(base, evaluate(t, subject{data: data, right: 0.9, limit: 5}), "试试")
	require.ErrorIs(t, err, ErrLimited)
}

// TestFloorTakesFailuresBothWays: whoever fails on what is hard keeps a good
// figure on the rest, which a floor must not be taken in by.
func TestFloorTakesFailuresBothWays(t *testing.T) {
	data := writeDataset(t)
	base := evaluate(t, subject{data: data, right: 0.9})
	sixth := func(i int) error {
		if i%6 == 0 {
			return fmt.Errorf("crash")
		}
		return nil
	}
	for _, tt := range []struct {
		name   string
		s      subject
		floor  float64
		status Status
	}{
		{"kept", subject{right: 0.9}, 0.8, Pass},
		{"kept however the failures are taken", subject{right: 0.9, fail: sixth}, 0.6, Pass},
		{"kept by those that did not fail", subject{right: 0.9, fail: sixth}, 0.85, Inconclusive},
		{"not kept at best", subject{right: 0.5, fail: sixth}, 0.85, Breached},
		{"not kept", subject{right: 0.5}, 0.85, Breached},
		{"nothing but failures", subject{right: 0.9, fail: func(int) error { return fmt.Errorf("crash") }}, 0.5, Inconclusive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.data = data
			v, err := Judge(base, evaluate(t, tt.s), policyOf(t, fmt.Sprintf("gates:\n  - {figure: type.kind, floor: %g}\n", tt.floor)), eval.Resampling{Rounds: 20})
			require.NoError(t, err)
			require.Len(t, v.Checks, 1)
			c := v.Checks[0]
			require.Equal(t, tt.status, v.Status, c.Reason)
			require.LessOrEqual(t, c.Worst, c.Best)
		})
	}
	// A largest value is put up with from the other side.
	lower := &eval.Bound{Lower: true, Value: 0.2, Best: 0.1, Worst: 0.3}
	for floor, want := range map[float64]Status{0.05: Breached, 0.2: Inconclusive, 0.3: Pass} {
		status, reason := stand(lower, floor)
		require.Equal(t, want, status, reason)
	}
	status, _ := stand(&eval.Bound{Best: math.NaN(), Worst: 1}, 0)
	require.Equal(t, Missing, status)
}

// rowsOf reads the rows of a run and writes what they are changed to.
func rowsOf(t *testing.T, dir string, change func(lines [][]byte) [][]byte) string {
	t.Helper()
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	path := filepath.Join(copied, "model", eval.RowsFile)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := change(bytes.SplitAfter(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")))
	require.NoError(t, os.WriteFile(path, bytes.Join(lines, nil), 0o600))
	return copied
}

// TestFloorCountsWhatOnlyTheCandidateHas: new examples have no pair, yet they
// are part of what the candidate answers.
func TestFloorCountsWhatOnlyTheCandidateHas(t *testing.T) {
	data := writeDataset(t)
	base := evaluate(t, subject{data: data, right: 0.95})
	p := policyOf(t, "gates:\n  - {figure: type.kind, margin: 0, floor: 0.8}\n")
	more := rowsOf(t, base, func(lines [][]byte) [][]byte {
		lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
		for i := range examples / 2 {
			var row eval.Row
			require.NoError(t, json.Unmarshal(lines[i], &row))
			row.ID, row.Hash, row.Answer.Kind = "新"+row.ID, "new"+row.Hash, qingting.KindSuggestion
			line, err := json.Marshal(row)
			require.NoError(t, err)
			lines = append(lines, append(line, '\n'))
		}
		return lines
	})
	v, err := Judge(base, more, p, eval.Resampling{Rounds: 20})
	require.NoError(t, err)
	require.Equal(t, Breached, v.Status)
	require.Contains(t, v.Checks[0].Reason, "底线")
	require.Equal(t, v.Checks[0].Base, v.Checks[0].Candidate, "the pairs do not differ")

	twice := rowsOf(t, base, func(lines [][]byte) [][]byte {
		lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
		return append(lines, lines[0])
	})
	_, err = Judge(base, twice, p, eval.Resampling{Rounds: 20})
	require.ErrorContains(t, err, "c0 出现了 2 次")
}

// metricsOf writes changed metrics into a copy of a run.
func metricsOf(t *testing.T, dir string, change func(*eval.Metrics)) string {
	t.Helper()
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	m, err := eval.ReadMetrics(dir)
	require.NoError(t, err)
	change(m)
	b, err := json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(copied, eval.MetricsFile), b, 0o600))
	return copied
}

// TestNothingPassesByNothing: failed and empty runs have nothing to say, and
// silence is no pass.
func TestNothingPassesByNothing(t *testing.T) {
	data := writeDataset(t)
	good := evaluate(t, subject{data: data, right: 0.9})
	p := policyOf(t, "gates:\n  - {figure: type.kind, margin: 0.1}\n")
	failed := metricsOf(t, good, func(m *eval.Metrics) { m.Failed = true })
	bare := metricsOf(t, good, func(m *eval.Metrics) { m.Systems = nil })
	unasked := metricsOf(t, good, func(m *eval.Metrics) { m.Systems[0].Suites = nil })
	noRows := rowsOf(t, good, func([][]byte) [][]byte { return nil })
	for name, bad := range map[string]string{"failed": failed, "no system": bare, "no suite": unasked, "no row": noRows} {
		_, err := Judge(good, bad, p, eval.Resampling{Rounds: 20})
		require.Error(t, err, name)
		_, err = Judge(bad, good, p, eval.Resampling{Rounds: 20})
		require.Error(t, err, name)
		_, err = Judge(bad, bad, p, eval.Resampling{Rounds: 20})
		require.Error(t, err, name)
	}
	for _, pair := range [][2]string{{good, failed}, {failed, good}} {
		_, err := Judge(pair[0], pair[1], p, eval.Resampling{Rounds: 20})
		require.ErrorIs(t, err, ErrFailed)
	}
	for _, bad := range []string{failed, bare, unasked, noRows} {
		base := filepath.Join(t.TempDir(), "baseline")
		_, err := Bless(base, bad, "试试")
		require.Error(t, err)
		require.NoDirExists(t, base)
	}
	v := &Verdict{}
	v.conclude()
	require.Equal(t, Missing, v.Status)
	require.NotEqual(t, ExitPass, v.Exit())
}

func TestReadPolicyNamesMistakes(t *testing.T) {
	for _, tt := range []struct{ text, want, line string }{
		{"gates: []\n", "空的", ""},
		{"", "空的", ""},
		{"gates:\n  - {margin: 0.1}\n", "没有 figure", "第 2 行"},
		{"gates:\n  - {figure: a.b, margin: 0.1}\n\n  - {figure: type.kind}\n", "既没有 margin 也没有 floor", "第 4 行"},
		{"gates:\n  - {figure: type.kind, margin: -0.1}\n", "负的", "第 2 行"},
		{"gates:\n  - {figure: a.b, margin: .nan}\n", "有限的数", "第 2 行"},
		{"gates:\n  - {figure: a.b, margin: .inf}\n", "有限的数", "第 2 行"},
		{"gates:\n  - {figure: a.b, floor: -.inf}\n", "有限的数", "第 2 行"},
		{"gates:\n  - figure: a.b\n    floor: .NaN\n", "有限的数", "第 2 行"},
		{"gates:\n  - {figure: speed.ratio, floor: 1}\n", "speed.ratio", "第 2 行"},
		{"confidence: 1.5\ngates:\n  - {figure: a.b, margin: 0.1}\n", "confidence", "第 1 行"},
		{"gates:\n  - {figure: a.b, margin: 0.1}\nconfidence: .nan\n", "confidence", "第 3 行"},
		{"gates:\n  - {figure: a.b, margn: 0.1}\n", "\"margn\" 这个字段", "第 2 行"},
		{"gates:\n  - {figure: a.b, margin: 0.1}\n其他: 1\n", "\"其他\" 这个字段", "第 3 行"},
		{"gates:\n  - {figure: a.b, margin: 很小}\n", "数字", "第 2 行"},
		{"gates:\n  - {figure: a.b, margin: 0.1, margin: 0.2}\n", "写了两次", "第 2 行"},
		{"gates:\n  - {figure: a.b\n", "YAML", "第"},
		{"gates:\n ! 00\n", "gates", ""},
	} {
		path := filepath.Join(t.TempDir(), "gates.yaml")
		require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
		_, err := ReadPolicy(path)
		require.ErrorContains(t, err, tt.want, tt.text)
		require.ErrorContains(t, err, tt.line, tt.text)
		require.ErrorContains(t, err, path)
		t.Log(strings.TrimPrefix(err.Error(), filepath.Dir(path)))
	}
	_, err := ReadPolicy(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorContains(t, err, "找不到门限文件")
	require.NotContains(t, err.Error(), "no such")
}

// FuzzReadPolicy: no file makes the reader panic, and what it lets through can
// stop something.
func FuzzReadPolicy(f *testing.F) {
	f.Add([]byte("confidence: 0.9\ngates:\n  - {figure: type.kind, margin: 0.03, floor: 0.8}\n"))
	f.Add([]byte("gates:\n  - {figure: a, margin: .nan}\n"))
	f.Add([]byte("gates:\n ! 00"))
	f.Add([]byte("gates: [{figure: 高, floor: &a 1}, {figure: 低, floor: *a}]"))
	f.Add([]byte("\xff\xfe"))
	path := filepath.Join(f.TempDir(), "gates.yaml")
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, os.WriteFile(path, b, 0o600))
		p, err := ReadPolicy(path)
		if err != nil {
			return
		}
		require.NotEmpty(t, p.Gates)
		for _, g := range p.Gates {
			for _, x := range []*float64{g.Margin, g.Floor} {
				require.False(t, x != nil && (math.IsNaN(*x) || math.IsInf(*x, 0)))
			}
		}
	})
}
