package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/internal/text"
)

// constantRun is a run of the baselines on the suite that comes with the
// program.
func constantRun(t *testing.T) string {
	d, err := dataset.Open("../../eval/testdata/suite/dataset.yaml")
	require.NoError(t, err)
	cleaner, err := text.NewCleaner()
	require.NoError(t, err)
	o := eval.Options{Cleaner: cleaner, Suites: []dataset.Suite{dataset.SuiteTriage}, Resampling: eval.Resampling{Rounds: 10}}
	systems, err := eval.Baselines(d, &o)
	require.NoError(t, err)
	systems = append(systems, eval.System{Name: "full", Analyze: func(_ context.Context, tr qingting.Transcript) (*qingting.Analysis, error) {
		a := &qingting.Analysis{}
		a.Kind.Code, a.Emotion.Code, a.Risk.Level = qingting.KindComplaint, qingting.EmotionAngry, qingting.RiskLow
		a.Risk.Score = float64(len(tr.Messages)%5) / 5
		a.Style.Code, a.Outcome.Code = qingting.StyleMixed, qingting.OutcomePending
		return a, nil
	}})
	dir := filepath.Join(t.TempDir(), "run")
	_, err = eval.Run(context.Background(), "test", dir, d, systems, o)
	require.NoError(t, err)
	return dir
}

func TestReportCommand(t *testing.T) {
	run, dir := constantRun(t), t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(in("gates.yaml"), []byte("gates:\n  - {system: full, figure: type.kind, margin: 0.1}\n"), 0o600))
	// Results of the built-in tests, and of others: the built-in list of known
	// failures speaks of the first only.
	suite, err := behaveSuite(nil)
	require.NoError(t, err)
	result := `[{"schema":"1","suite":%q,"system":"full","tests":[{"name":"escalation.churn","title":"流失","capability":"escalation","kind":"MFT","pass":1,"n":2,"failed":1,"failures":[{"after":"我要换别家😤","why":["没有信号"]}]}]}]`
	require.NoError(t, os.WriteFile(in("behave.json"), fmt.Appendf(nil, result, suite.Hash), 0o600))
	require.NoError(t, os.WriteFile(in("mine.json"), fmt.Appendf(nil, result, "mine"), 0o600))
	require.NoError(t, os.WriteFile(in("known.yaml"), []byte("date: \"2026-01-02\"\nsystems: [full]\ntests: {}\n"), 0o600))
	tests := []struct {
		name  string
		args  []string
		code  int
		err   string
		files []string
	}{
		{"nothing to write", []string{run}, exitUsage, "--out", nil},
		{"no run", []string{t.TempDir(), "--out", in("x.html")}, exitData, "没有评测", nil},
		{"policy alone", []string{run, "--out", in("x.html"), "--policy", in("gates.yaml")}, exitUsage, "--baseline", nil},
		{"junit without a verdict", []string{run, "--junit", in("x.xml")}, exitUsage, "没有基线", nil},
		{"no rankings", []string{run, "--trec", in("trec")}, exitData, "TREC", nil},
		{"no behavioural tests", []string{run, "--out", in("x.html"), "--behave", in("none.json")}, exitData, "找不到文件", nil},
		{"other than behavioural tests", []string{run, "--out", in("x.html"), "--behave", in("gates.yaml")}, exitData, "不是行为测试的结果", nil},
		{"a bad list", []string{run, "--out", in("x.html"), "--behave", in("behave.json"), "--known", in("gates.yaml")}, exitData, "不认识的键", nil},
		{"a list alone", []string{run, "--out", in("x.html"), "--known", in("known.yaml")}, exitUsage, "--behave", nil},
		{"behaviour", []string{run, "--out", in("c.html"), "--behave", in("behave.json")}, exitOK, "", []string{"c.html"}},
		{"behaviour, own list", []string{run, "--out", in("d.html"), "--behave", in("behave.json"), "--known", in("known.yaml")}, exitOK, "", []string{"d.html"}},
		{"own behaviour", []string{run, "--out", in("e.html"), "--behave", in("mine.json")}, exitOK, "", []string{"e.html"}},
		{"page alone", []string{run, "--out", in("a.html")}, exitOK, "", []string{"a.html"}},
		{"all", []string{
			run, "--out", in("b.html"), "--baseline", run, "--policy", in("gates.yaml"), "--data", "../../eval/testdata/suite/dataset.yaml",
			"--markdown", in("b.md"), "--csv", in("b.csv"), "--json", in("b.json"), "--junit", in("b.xml"), "--rounds", "50",
		}, exitOK, "", []string{"b.html", "b.md", "b.csv", "b.rows.csv", "b.json", "b.xml"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			p := &program{out: &out, err: io.Discard}
			cmd := p.evalReportCommand()
			cmd.SetArgs(tt.args)
			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			err := cmd.Execute()
			if tt.code != exitOK {
				var exit *exitError
				require.ErrorAs(t, err, &exit)
				require.Equal(t, tt.code, exit.code, "%v", err)
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			for _, f := range tt.files {
				b, err := os.ReadFile(in(f))
				require.NoError(t, err)
				require.NotEmpty(t, b)
				require.Contains(t, out.String(), f)
				if strings.HasSuffix(f, ".xml") {
					require.NoError(t, xml.Unmarshal(b, new(struct{})))
				}
			}
		})
	}
	require.Contains(t, [][]string{{"known"}, {"less"}, {"worse"}}, behaved(t, in("c.html")), "the built-in list names the test")
	require.Equal(t, []string{"new"}, behaved(t, in("d.html")))
	require.Equal(t, []string{"unlisted"}, behaved(t, in("e.html")))
	require.Empty(t, behaved(t, in("a.html")))
}

// behaved are the standings of the behavioural tests in a page.
func behaved(t *testing.T, page string) []string {
	b, err := os.ReadFile(page)
	require.NoError(t, err)
	var out []string
	for _, m := range regexp.MustCompile(`data-stands="(\w+)"`).FindAllStringSubmatch(string(b), -1) {
		out = append(out, m[1])
	}
	return out
}

// TestServeReport asks as a browser does, and as another site's name would.
func TestServeReport(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveReport(ctx, listener, []byte("<!DOCTYPE html>报告")) }()
	address := listener.Addr().String()
	tests := []struct {
		method, path, host string
		status             int
	}{
		{http.MethodGet, "/", address, 200},
		{http.MethodHead, "/", address, 200},
		{http.MethodPost, "/", address, 405},
		{http.MethodGet, "/favicon.ico", address, 404},
		{http.MethodGet, "/", "evil.example", 421},
	}
	for _, tt := range tests {
		r, err := http.NewRequest(tt.method, "http://"+address+tt.path, nil)
		require.NoError(t, err)
		r.Host = tt.host
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, tt.status, res.StatusCode, "%v", tt)
		require.Equal(t, tt.status == 200 && tt.method == http.MethodGet, strings.Contains(string(b), "报告"))
		if tt.status == 200 {
			require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
		}
	}
	stop()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(5 * time.Second):
		t.Fatal("the server did not stop")
	}
}
