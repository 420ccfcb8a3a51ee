package web

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
)

// TestExamples runs the client examples against a real server: what the
// documentation shows works.
func TestExamples(t *testing.T) {
	root, err := filepath.Abs("../../examples")
	require.NoError(t, err)
	for name, example := range map[string]struct {
		tool    string
		command []string
		dir     string
		local   bool // against a server on which nobody has been set up, without a key
	}{
		"go":            {"go", []string{"go", "run", "."}, "go", false},
		"python":        {"python3", []string{"python3", "client.py"}, "python", false},
		"curl":          {"curl", []string{"sh", "client.sh"}, "curl", false},
		"go, local":     {"go", []string{"go", "run", "."}, "go", true},
		"python, local": {"python3", []string{"python3", "client.py"}, "python", true},
		"curl, local":   {"curl", []string{"sh", "client.sh"}, "curl", true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(example.tool); err != nil {
				t.Skipf("%s is not installed", example.tool)
			}
			s := newService(t, example.local, nil)
			var key any
			environment := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "QINGTING_KEY=") })
			if !example.local {
				secret := s.key("default", "", access.ScopeIngest, access.ScopeAssist, access.ScopeSupervise)
				key, environment = secret, append(environment, "QINGTING_KEY="+secret)
			}
			server := httptest.NewServer(s)
			t.Cleanup(server.Close)
			cmd := exec.CommandContext(t.Context(), example.command[0], example.command[1:]...)
			cmd.Dir = filepath.Join(root, example.dir)
			cmd.Env = append(environment, "QINGTING_URL="+server.URL)
			var out, failed bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &failed
			require.NoError(t, cmd.Run(), "%s%s", out.String(), failed.String())
			require.Contains(t, out.String(), "高风险", failed.String())
			require.Contains(t, out.String(), "已认领")
			got := read[page1[qingting.Alert]](t, s.ask(key, "GET", "/v1/alerts?state=claimed", nil), 200)
			require.Len(t, got.Items, 1)
			talk := read[page1[qingting.Conversation]](t, s.ask(key, "GET", "/v1/conversations", nil), 200)
			require.Len(t, talk.Items, 1, "sent twice, kept once")
			require.Equal(t, 2, talk.Items[0].Messages)
		})
	}
}
