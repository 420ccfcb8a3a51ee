package qingting

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestShown holds Shown against the rule it stands for, message by message:
// the level rises at once, and falls, to the higher one of the two, when two
// levels in a row are lower than what is shown.
func TestShown(t *testing.T) {
	levels := RiskLevels()
	for n := range 729 { // every course of six levels
		var shown, before RiskLevel
		lower := 0 // levels in a row below what is shown
		for i := range 6 {
			now := levels[n%3]
			n /= 3
			switch rank := slices.Index(levels, now); {
			case shown == "" || rank >= slices.Index(levels, shown):
				shown, lower = now, 0
			default:
				if lower++; lower == 2 {
					shown, lower = levels[max(rank, slices.Index(levels, before))], 0
					if now != shown {
						lower = 1
					}
				}
			}
			require.Equal(t, shown, Shown(now, before), "level %d, %s after %s", i, now, before)
			before = now
		}
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID("al")
		require.True(t, strings.HasPrefix(id, "al_"))
		require.Regexp(t, `^al_[a-z2-7]{26}$`, id)
		require.False(t, seen[id])
		seen[id] = true
	}
}
