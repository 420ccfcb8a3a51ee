package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
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
			v, err := Judge(base, evaluate(t, m.s), p, eval.Resampling{Rounds: 500})
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
				check := judge("model", Gate{Figure: d.Name, Margin: &m}, d)
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

func TestReadPolicyNamesMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"gates: []\n":                                               "空的",
		"gates:\n  - {margin: 0.1}\n":                               "没有 figure",
		"gates:\n  - {figure: type.kind}\n":                         "既没有 margin 也没有 floor",
		"gates:\n  - {figure: type.kind, margin: -0.1}\n":           "负的",
		"confidence: 1.5\ngates:\n  - {figure: a.b, margin: 0.1}\n": "confidence",
		"gates:\n  - {figure: a.b, margn: 0.1}\n":                   "margn",
		"gates:\n ! 00\n":                                           "gates.yaml",
	} {
		path := filepath.Join(t.TempDir(), "gates.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := ReadPolicy(path)
		require.ErrorContains(t, err, want, text)
	}
	_, err := ReadPolicy(filepath.Join(t.TempDir(), "none.yaml"))
	require.Error(t, err)
}
