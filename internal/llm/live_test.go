package llm

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// TestRealService runs against a real OpenAI-compatible service:
//
//	QINGTING_LLM_URL=http://127.0.0.1:8000/v1 QINGTING_LLM_MODEL=name QINGTING_LLM_KEY=… go test -run TestRealService -v ./internal/llm
//
// It holds the protocol, not the quality: a weak model may fail with the codes
// of an answer that does not fit, and with no other.
func TestRealService(t *testing.T) {
	base := os.Getenv("QINGTING_LLM_URL")
	if base == "" {
		t.Skip("QINGTING_LLM_URL is not set")
	}
	key := os.Getenv("QINGTING_LLM_KEY")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	chat, host, err := Connect(base, key, transport)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	zero, seed := 0.0, 1
	client := func(mode Mode) *Client {
		c, err := New(chat, Options{
			Model: os.Getenv("QINGTING_LLM_MODEL"), Host: host, Temperature: &zero, Seed: &seed, MaxTokens: 500,
			Timeout: 5 * time.Minute, FirstToken: 2 * time.Minute, Stall: time.Minute, Cache: openCache(t, path, mode), Secrets: []string{key},
		})
		require.NoError(t, err)
		return c
	}
	recorder := client(ModeRecord)

	var parts int
	r := ask("用一句话说：您好。")
	r.OnText = func(string) { parts++ }
	reply, err := recorder.Complete(t.Context(), r)
	if codeOf(err) != CodeTruncated {
		require.NoError(t, err)
		require.NotEmpty(t, reply.Text)
	}
	require.Greater(t, parts, 1, "a stream comes in parts")
	t.Logf("stream: %d parts, %+v, %q, %v", parts, reply.Usage, short(reply.Text, 80), err)

	conversations := []qingting.Transcript{
		customer("快递三天没动，打电话也没人接，再不处理我就投诉到12315！"),
		customer("请问怎么开发票？"),
		customer(hostile[0]),
	}
	analyze := func(c *Client) (out []string) {
		analyzer, err := NewAnalyzer(c, level, 0)
		require.NoError(t, err)
		for _, conversation := range conversations {
			start := time.Now()
			a, err := analyzer.Analyze(t.Context(), conversation)
			if err != nil {
				require.Contains(t, []string{CodeBadJSON, CodeBadLabel, CodeTruncated}, codeOf(err), "%v", err)
				out = append(out, codeOf(err))
			} else {
				out = append(out, strings.Join([]string{string(a.Kind.Code), string(a.Emotion.Code), string(a.Risk.Level)}, " "))
			}
			t.Logf("%s: %s %v", time.Since(start).Round(time.Millisecond), out[len(out)-1], err)
		}
		return out
	}
	was := analyze(recorder)
	t.Logf("%+v", recorder.Stats())
	recorded, err := os.ReadFile(path)
	require.NoError(t, err)
	for line := range strings.Lines(string(recorded)) {
		e, ok := parseEntry([]byte(line))
		require.True(t, ok)
		t.Logf("%.8s %+v %s", e.Key, e.Usage, short(strings.Join(strings.Fields(e.Text), " "), 600))
	}
	if recorder.Stats().Errors[CodeTruncated] > 0 {
		t.Skip("answers that were cut off are failures, which are not recorded")
	}
	player := client(ModeReplay)
	require.Equal(t, was, analyze(player))
	require.Zero(t, player.Stats().Calls)
}
