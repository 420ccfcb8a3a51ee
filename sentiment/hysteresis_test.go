package sentiment

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
)

func TestHysteresis(t *testing.T) {
	const l, m, h = qingting.RiskLow, qingting.RiskMedium, qingting.RiskHigh
	for _, c := range []struct {
		name       string
		seen, want []qingting.RiskLevel
	}{
		{"rises at once", []qingting.RiskLevel{l, m, h}, []qingting.RiskLevel{l, m, h}},
		{"one lower changes nothing", []qingting.RiskLevel{h, l, h, l, h}, []qingting.RiskLevel{h, h, h, h, h}},
		{"two lower in a row", []qingting.RiskLevel{h, l, l, l}, []qingting.RiskLevel{h, h, l, l}},
		{"falls to the higher of the two", []qingting.RiskLevel{h, m, l, l}, []qingting.RiskLevel{h, h, m, l}},
		{"medium flicker", []qingting.RiskLevel{m, l, m, l, l}, []qingting.RiskLevel{m, m, m, m, l}},
	} {
		var state Hysteresis
		for i, level := range c.seen {
			state = state.Next(i, level)
			require.Equal(t, c.want[i], state.Shown, "%s, step %d", c.name, i)
		}
	}
}

func TestHysteresisIgnoresLateAnalyses(t *testing.T) {
	state := Hysteresis{}.Next(5, qingting.RiskHigh)
	require.Equal(t, state, state.Next(4, qingting.RiskLow))
	require.Equal(t, state, state.Next(5, qingting.RiskLow), "the same message again is no second opinion")
	state = state.Next(6, qingting.RiskLow)
	require.Equal(t, state, state.Next(6, qingting.RiskLow))
	require.Equal(t, qingting.RiskLow, state.Next(7, qingting.RiskLow).Shown)
	require.Equal(t, qingting.RiskMedium, Hysteresis{}.Next(5, qingting.RiskMedium).Next(4, qingting.RiskHigh).Shown, "a late rise changes nothing")
}

// TestHysteresisProperties: never below the newest level, and never above
// everything seen since the level before last.
func TestHysteresisProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var state Hysteresis
		seen := rapid.SliceOfN(rapid.SampledFrom(qingting.RiskLevels()), 1, 30).Draw(t, "levels")
		for i, level := range seen {
			before := state.Shown
			state = state.Next(i, level)
			if rank(state.Shown) < rank(level) {
				t.Fatalf("shown %s below %s", state.Shown, level)
			}
			if before != "" && rank(state.Shown) < rank(before) && rank(level) >= rank(before) {
				t.Fatalf("fell from %s to %s on %s", before, state.Shown, level)
			}
			if i > 0 && rank(seen[i]) < rank(before) && rank(seen[i-1]) < rank(before) && state.Shown == before && rank(seen[i-1]) != rank(before) {
				t.Fatalf("did not fall from %s after %s, %s", before, seen[i-1], seen[i])
			}
		}
	})
}
