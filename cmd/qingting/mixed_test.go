package main

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// TestMixedConversations analyses conversations put together from clauses of
// our suite, which say and deny everything at once: no stage may fail, every
// quote is the text at its place, and a complaint has two drafts.
func TestMixedConversations(t *testing.T) {
	e, err := shared()
	require.NoError(t, err)
	d, err := dataset.Open(suiteData)
	require.NoError(t, err)
	var clauses [2][]string
	for x, err := range dataset.Read[dataset.Example](d, d.Select(dataset.SuiteTriage, "")[0]) {
		require.NoError(t, err)
		for _, m := range x.Messages {
			side := 0
			if m.Role != qingting.RoleCustomer {
				side = 1
			}
			clauses[side] = append(clauses[side], strings.FieldsFunc(m.Text, func(r rune) bool { return strings.ContainsRune("，。！？,!?；\n", r) })...)
		}
	}
	joints := []string{"，", "。", "！", "，不是", "，没有", "，如果", "？", "，但是", " ", "，你们说", "\n", "，别"}
	n := 1500
	if testing.Short() {
		n = 300
	}
	for i := range n {
		rng := rand.New(rand.NewPCG(uint64(i), 9))
		tr := qingting.Transcript{}
		for range 1 + rng.IntN(4) {
			side := rng.IntN(4) / 3
			var b strings.Builder
			for range 1 + rng.IntN(4) {
				b.WriteString(clauses[side][rng.IntN(len(clauses[side]))])
				b.WriteString(joints[rng.IntN(len(joints))])
			}
			tr.Messages = append(tr.Messages, qingting.Message{Role: [2]qingting.Role{qingting.RoleCustomer, qingting.RoleAgent}[side], Text: b.String()})
		}
		a, err := e.pipeline.Analyze(t.Context(), tr, qingting.ModeFast)
		require.NoError(t, err, tr.Messages)
		require.Equal(t, qingting.ModeFast, a.Mode, "a stage failed on %v", tr.Messages)
		if a.Kind.Code == qingting.KindComplaint {
			require.Len(t, a.Suggestions, 2, tr.Messages)
		}
		check := func(spans ...qingting.Span) {
			for _, s := range spans {
				require.Equal(t, s.Quote, string([]rune(tr.Messages[s.Message].Text)[s.Start:s.End]))
			}
		}
		for _, x := range a.Types {
			check(x.Evidence...)
		}
		for _, x := range a.Claims {
			check(x.Evidence...)
		}
		for _, x := range a.Risk.Signals {
			check(x.Span)
		}
		for _, x := range a.Slots {
			check(x.Span)
		}
	}
}
