package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/gate"
)

const (
	suiteData = "../../eval/testdata/suite/dataset.yaml"
	suiteGate = "../../eval/testdata/gates.yaml"
	baseline  = "../../eval/testdata/baseline"
)

// worse is the model with noise on what it says: of every third
// conversation it believes the kind and the risk of another one.
type worse struct{ qingting.Scorer }

func (w worse) Score(doc *qingting.Document) qingting.Scores {
	s := w.Scorer.Score(doc)
	rng := rand.New(rand.NewPCG(uint64(len(doc.Messages[0].Clean)), 1))
	if rng.IntN(3) == 0 {
		s.Kind = slices.Clone(s.Kind)
		slices.Reverse(s.Kind)
		s.Emotion = slices.Clone(s.Emotion)
		slices.Reverse(s.Emotion)
	}
	return s
}

// refactored gives the same answers in another way.
type refactored struct{ qingting.Scorer }

func (r refactored) Score(doc *qingting.Document) qingting.Scores {
	s := r.Scorer.Score(doc)
	s.Kind = slices.Concat(s.Kind)
	return s
}

// TestGate holds the real pipeline against the committed baseline, as CI
// does: a refactoring passes, a worsened model and a search that lost its words
// or its vectors do not.
func TestGate(t *testing.T) {
	e, err := newEngine(t.Context(), buildOptions{mode: qingting.ModeFast, now: func() time.Time { return evalNow }})
	require.NoError(t, err)
	defer e.close()
	d, err := dataset.Open(suiteData)
	require.NoError(t, err)
	policy, err := gate.ReadPolicy(suiteGate)
	require.NoError(t, err)
	// The baseline of fast mode alone: full mode is CI's.
	base := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(base, systemFast), os.DirFS(filepath.Join(baseline, systemFast))))
	m, err := eval.ReadMetrics(baseline)
	require.NoError(t, err)
	m.Systems = slices.DeleteFunc(m.Systems, func(s eval.SystemMetrics) bool { return s.Name != systemFast })
	require.Len(t, m.Systems, 1)
	writeMetrics(t, base, m)

	for _, tt := range []struct {
		name   string
		change func(*engine)
		mend   func(*eval.System)
		status gate.Status
		figure string
	}{
		{"as it is", nil, nil, gate.Pass, ""},
		{"refactored", func(e *engine) { e.stages.Scorer = refactored{e.stages.Scorer} }, nil, gate.Pass, ""},
		{"worsened", func(e *engine) { e.stages.Scorer = worse{e.stages.Scorer} }, nil, gate.Breached, "type.kind"},
		{"search lost a leg", nil, func(s *eval.System) {
			s.Rank = func(context.Context, string, *dataset.Query) ([]eval.Ranked, bool, error) { return nil, false, nil }
		}, gate.Breached, "retrieval.ndcg@5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := *e
			if tt.change != nil {
				tt.change(&changed)
				changed.pipeline, err = qingting.NewPipeline(changed.stages)
				require.NoError(t, err)
			}
			all := &evalSystems{engine: &changed, data: d, base: filepath.Dir(suiteData)}
			o := eval.Options{Cleaner: e.stages.Cleaner, MaxErrors: 1}
			systems, err := all.named([]string{systemFast}, nil, &o)
			require.NoError(t, err)
			if tt.mend != nil {
				tt.mend(&systems[0])
			}
			dir := t.TempDir()
			_, err = eval.Run(t.Context(), "test", dir, d, systems, o)
			require.NoError(t, err)
			v, err := gate.Judge(base, dir, policy, eval.Resampling{Rounds: 500})
			require.NoError(t, err)
			var out strings.Builder
			require.NoError(t, v.Text(&out))
			require.Equal(t, tt.status, v.Status, out.String())
			if tt.figure != "" {
				at := slices.IndexFunc(v.Checks, func(c gate.Check) bool { return c.Figure == tt.figure })
				require.Equal(t, gate.Breached, v.Checks[at].Status, out.String())
			}
		})
	}
}

func writeMetrics(t *testing.T, dir string, m *eval.Metrics) {
	t.Helper()
	b, err := json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, eval.MetricsFile), b, 0o600))
}
