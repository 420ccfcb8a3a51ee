package eval

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// TestScoreEqualsReference compares with the figures of the project's
// reference scorer on random labels. An analysis that is missing is unscored
// here and wrong there, so none is.
func TestScoreEqualsReference(t *testing.T) {
	byID := map[string]*qingting.Analysis{}
	f, err := os.Open("testdata/score-pred.jsonl")
	require.NoError(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var a qingting.Analysis
		require.NoError(t, json.Unmarshal(s.Bytes(), &a))
		byID[*a.ID] = &a
	}
	d, err := dataset.Open("testdata/score-gold.jsonl")
	require.NoError(t, err)
	var gold []qingting.Labels
	var analyses []*qingting.Analysis
	for e, err := range dataset.Read[dataset.Example](d, &d.Files[0]) {
		require.NoError(t, err)
		gold, analyses = append(gold, e.Labels), append(analyses, byID[e.ID])
	}
	require.Len(t, gold, 116)
	figures, err := Score(gold, analyses)
	require.NoError(t, err)
	got := map[string]Figure{}
	for _, f := range figures {
		got[f.Name[strings.Index(f.Name, ".")+1:]] = f
		require.Equal(t, 116, f.N, f.Name)
		if math.IsNaN(float64(f.Value)) {
			continue
		}
		require.Equal(t, f.Value, f.Worst, "nothing failed")
		if !strings.HasSuffix(f.Name, "_ece") { // resampling adds spread, so its bootstrap lies above it
			require.LessOrEqual(t, f.Low, f.Value, f.Name)
			require.GreaterOrEqual(t, f.High, f.Value, f.Name)
		}
	}
	want, err := os.ReadFile("testdata/score-expected.txt")
	require.NoError(t, err)
	names := map[string]string{"risk": "level"}
	compared := 0
	for line := range strings.Lines(string(want)) {
		var name string
		var value float64
		_, err := fmt.Sscan(line, &name, &value)
		require.NoError(t, err)
		if name == "n" || name == "missing" {
			continue
		}
		if to, ok := names[name]; ok {
			name = to
		}
		require.Contains(t, got, name)
		require.InDelta(t, value, float64(got[name].Value), 1e-12, name)
		compared++
	}
	require.Equal(t, 15, compared)
}

// TestFailuresAreBounded: a failed row is neither wrong nor gone. Its figures
// are those of the others, between all failures wrong and all right.
func TestFailuresAreBounded(t *testing.T) {
	gold := qingting.Labels{
		Kind: qingting.KindComplaint, Types: []qingting.Type{qingting.TypeQuality}, Primary: qingting.TypeQuality, Emotion: qingting.EmotionAngry,
		Intensity: 2, Risk: qingting.RiskHigh, Signals: []qingting.SignalCode{qingting.SignalLegal}, Claims: []qingting.ClaimCode{qingting.ClaimRefund},
		Style: qingting.StyleMixed, Outcome: qingting.OutcomePending,
	}
	calm := gold
	calm.Kind, calm.Types, calm.Primary, calm.Risk, calm.Signals = qingting.KindInquiry, nil, "", qingting.RiskLow, nil
	rows := make([]*Row, 10)
	for i := range rows {
		g := gold
		if i%2 == 0 {
			g = calm
		}
		rows[i] = &Row{Suite: dataset.SuiteTriage, Group: fmt.Sprint(i), Gold: &g}
	}
	rows = fill(failing(rows, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9), best)
	for i := range rows {
		require.Equal(t, rows[i].Gold.Kind, rows[i].Answer.Kind)
	}
	rows = failing(rows, 3, 4)
	figures, err := Figures(dataset.SuiteTriage, rows, Resampling{Rounds: 50})
	require.NoError(t, err)
	for _, f := range figures {
		require.Equal(t, 8, f.N, f.Name)
		require.Equal(t, 2, f.Unscored, f.Name)
		if math.IsNaN(float64(f.Value)) {
			continue
		}
		if f.Lower {
			require.Greater(t, f.Worst, f.Value, f.Name)
		} else {
			require.Less(t, f.Worst, f.Value, f.Name)
		}
		require.Equal(t, f.Value, f.Best, "%s: the others are all right", f.Name)
	}
	require.Equal(t, Number(0.8), figures[0].Worst, figures[0].Name)
}

func failing(rows []*Row, at ...int) []*Row {
	for _, i := range at {
		rows[i].Answer, rows[i].Error = nil, "timeout"
	}
	return rows
}

func TestNumberHasNoNaNInJSON(t *testing.T) {
	b, err := json.Marshal([]Number{Number(math.NaN()), 0.1})
	require.NoError(t, err)
	require.JSONEq(t, `[null, 0.1]`, string(b))
	var n []Number
	require.NoError(t, json.Unmarshal(b, &n))
	require.True(t, math.IsNaN(float64(n[0])))
	require.Equal(t, Number(0.1), n[1])
}
