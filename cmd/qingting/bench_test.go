package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// BenchmarkAnalyze is the whole triage of the conversation of `eval speed`
// with the starter library; `go test -cpuprofile` on it shows where time goes.
func BenchmarkAnalyze(b *testing.B) {
	e, err := newEngine(b.Context(), buildOptions{mode: qingting.ModeFull})
	require.NoError(b, err)
	defer e.close()
	for _, mode := range []qingting.Mode{qingting.ModeFast, qingting.ModeFull} {
		b.Run(string(mode), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, err := e.pipeline.Analyze(b.Context(), speedTranscript(i), mode)
				require.NoError(b, err)
			}
		})
	}
}
