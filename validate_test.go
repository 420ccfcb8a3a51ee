package qingting_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func TestValidID(t *testing.T) {
	for _, id := range []string{"m1", "会话 1", "😤", "...", "a/b", strings.Repeat("号", 128)} {
		require.True(t, qingting.ValidID(id), "%q", id)
	}
	for _, id := range []string{"", ".", "..", "a\x00", "a\tb", "\u0085", "\u200b", "a\u00adb", "\ufeffm1", "\u202e", "\xff", strings.Repeat("号", 129)} {
		require.False(t, qingting.ValidID(id), "%q", id)
	}
}

// FuzzValidate: whatever a transcript holds, one that passes can be told in
// JSON in UTC, in China, and in the zone it came in.
func FuzzValidate(f *testing.F) {
	f.Add("m1", int64(0), 0)
	f.Add("", int64(-1), 8*3600)
	f.Add("a\u200b", int64(253402271999), 8*3600) // the last second of 9999 in China
	f.Add("..", int64(253402272000), 0)
	f.Add("m1", int64(253402271999), 14*3600)
	f.Add("m1", int64(0), -12*3600)
	f.Add("m1", int64(1772000000), 25*3600)
	f.Fuzz(func(t *testing.T, id string, unix int64, offset int) {
		at := time.Unix(unix, 0).In(time.FixedZone("", offset%(30*3600)))
		in := qingting.Transcript{Messages: []qingting.Message{{ID: id, Role: qingting.RoleCustomer, Text: "在吗", SentAt: at}}}
		if in.Validate() != nil {
			return
		}
		require.True(t, id == "" || qingting.ValidID(id))
		for _, z := range []*time.Location{at.Location(), time.UTC, time.FixedZone("CST", 8*3600)} {
			in.Messages[0].SentAt = at.In(z)
			_, err := json.Marshal(in)
			require.NoError(t, err)
		}
	})
}
