package eval

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// TestScoreEqualsReference compares with the figures of the project's
// reference scorer on random labels; four of 120 analyses are missing.
func TestScoreEqualsReference(t *testing.T) {
	gold, err := Load("testdata/score-gold.jsonl")
	require.NoError(t, err)
	require.Len(t, gold, 120)

	byID := map[string]*qingting.Analysis{}
	f, err := os.Open("testdata/score-pred.jsonl")
	require.NoError(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var a qingting.Analysis
		require.NoError(t, json.Unmarshal(s.Bytes(), &a))
		byID[*a.ID] = &a
	}
	analyses := make([]*qingting.Analysis, len(gold))
	for i := range gold {
		analyses[i] = byID[gold[i].ID]
	}

	want, err := os.ReadFile("testdata/score-expected.txt")
	require.NoError(t, err)
	figures := Score(gold, analyses)
	lines := strings.Split(strings.TrimSpace(string(want)), "\n")
	require.Len(t, figures, len(lines))
	for i, line := range lines {
		var name string
		var value float64
		_, err := fmt.Sscan(line, &name, &value)
		require.NoError(t, err)
		require.Equal(t, name, figures[i].Name)
		require.InDelta(t, value, figures[i].Value, 1e-12, name)
		require.LessOrEqual(t, figures[i].Low, figures[i].Value, name)
		require.GreaterOrEqual(t, figures[i].High, figures[i].Value, name)
	}
}

func TestLoadNamesTheLine(t *testing.T) {
	path := t.TempDir() + "/bad.jsonl"
	require.NoError(t, os.WriteFile(path, []byte(`{"id":"a","labels":{"kind":"other"}}`+"\n\n{oops\n"), 0o600))
	_, err := Load(path)
	require.ErrorContains(t, err, "第 3 行")
	require.NoError(t, os.WriteFile(path, []byte(`{"id":"a"}`+"\n"), 0o600))
	_, err = Load(path)
	require.ErrorContains(t, err, "第 1 行没有 labels.kind")
}

func TestMaskKeepsTheOriginal(t *testing.T) {
	in := qingting.Transcript{Messages: []qingting.Message{{Text: "再不退款我就去消协"}}}
	out := mask(in, []qingting.Span{{Start: 7, End: 9}})
	require.Equal(t, "再不退款我就去■■", out.Messages[0].Text)
	require.Equal(t, "再不退款我就去消协", in.Messages[0].Text)
}
