package metric_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting/eval/xcheck"
)

// TestReference compares every figure with what the reference libraries gave for
// the committed cases; the versions are in the file, and `go test ./eval/xcheck
// -python=… -update` renews it.
func TestReference(t *testing.T) {
	file, err := os.Open("testdata/reference.json.gz")
	require.NoError(t, err)
	defer file.Close()
	ref, err := xcheck.Read(file)
	require.NoError(t, err)
	require.NotEmpty(t, ref.Versions["scikit-learn"])
	results, err := ref.Compare(xcheck.Metric)
	require.NoError(t, err)
	require.Len(t, results, 9)
	for _, r := range results {
		t.Logf("%-14s %d cases, %d figures, largest |Δ| %.2g", r.Family, r.Cases, r.Figures, r.Largest)
		require.GreaterOrEqual(t, r.Cases, 200, r.Family)
		require.True(t, r.OK(), "%s: |Δ| %g at %s", r.Family, r.Largest, r.Where)
	}
}
