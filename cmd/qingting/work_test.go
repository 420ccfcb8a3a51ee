package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/qingting-ai/qingting/eval"
)

// TestWorkOfTheService orders each kind of job from the real service: what
// comes out is what the command line says, and no text is left behind.
func TestWorkOfTheService(t *testing.T) {
	e, err := shared()
	require.NoError(t, err)
	s := newTestService(t, e)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, ln, nil) }()
	base := "http://" + ln.Addr().String()
	ask := func(method, path, media, body string) []byte {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", media)
		got, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer got.Body.Close()
		b, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		require.Less(t, got.StatusCode, 300, string(b))
		return b
	}
	type standing struct {
		ID, State, Error     string
		Added, Failed, Total int
		Metrics              json.RawMessage
	}
	order := func(path, media, body string) standing {
		t.Helper()
		var j standing
		require.NoError(t, json.Unmarshal(ask("POST", path, media, body), &j))
		at := strings.SplitN(path, "?", 2)[0] + "/" + j.ID
		require.Eventually(t, func() bool {
			require.NoError(t, json.Unmarshal(ask("GET", at, "", ""), &j))
			return j.State != "queued" && j.State != "running"
		}, 20*time.Second, 20*time.Millisecond)
		return j
	}

	table, err := simplifiedchinese.GB18030.NewEncoder().String("标题,类型,问题,方案,结果\n空调漏水赔了地板,产品质量,空调内机漏水泡坏地板，联系13812345678,上门修好并赔偿地板,已解决\n坏的,没有这种,问,方,已解决\n")
	require.NoError(t, err)
	j := order("/v1/imports?kind=cases", "text/csv", table)
	require.Equal(t, []any{"done", 1, 1}, []any{j.State, j.Added, j.Failed}, j.Error)
	require.Contains(t, string(ask("GET", "/v1/imports/"+j.ID+"/errors", "", "")), "3,type,invalid_case,")
	found := string(ask("POST", "/v1/cases/search", "application/json", `{"query":"空调内机漏水泡坏地板","limit":1}`))
	require.Contains(t, found, "空调漏水赔了地板")
	require.NotContains(t, found, "13812345678")

	labelled, err := os.ReadFile(filepath.FromSlash("../../eval/testdata/suite/triage.jsonl"))
	require.NoError(t, err)
	few := bytes.Join(bytes.SplitN(labelled, []byte("\n"), 7)[:6], []byte("\n"))
	j = order("/v1/evaluations?systems=fast", "application/x-ndjson", string(few))
	require.Equal(t, "done", j.State, j.Error)
	var m eval.Metrics
	require.NoError(t, json.Unmarshal(j.Metrics, &m))
	require.Equal(t, 6, m.Systems[0].Suites[0].N)
	kept, err := os.ReadFile(filepath.Join(s.work.runFolder("default", j.ID), eval.MetricsFile))
	require.NoError(t, err)
	require.JSONEq(t, string(kept), string(j.Metrics))
	require.Contains(t, string(ask("GET", "/v1/evaluations/"+j.ID+"/report", "", "")), "评测报告")
	j = order("/v1/evaluations", "application/x-ndjson", `{"id":"x"}`)
	require.Equal(t, "failed", j.State)
	require.Contains(t, j.Error, "labels")

	require.NotContains(t, string(ask("GET", "/v1/lexicon", "", "")), `"rules":[]`)
	require.Contains(t, string(ask("POST", "/v1/lexicon/preview", "application/json", `{"rules":"signal.media.x hint\n  发抖音","texts":["我要發抖音"]}`)), "發抖音")

	// Neither uploads nor the words of an evaluation are left.
	require.NoError(t, filepath.WalkDir(s.config.Data, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if rel, _ := filepath.Rel(s.config.Data, path); strings.HasPrefix(rel, uploadsName) {
			require.True(t, d.IsDir(), path)
		} else if strings.HasPrefix(rel, evaluationsName) && !d.IsDir() {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NotContains(t, string(b), "耳机", path)
		}
		return nil
	}))
	stop()
	require.NoError(t, <-ended)
}
