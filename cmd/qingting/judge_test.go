package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting/eval/judge"
)

// judgeService plays a judge over the protocol: fair on the calibration set,
// and anything but the template is better than it. With biased it likes the
// first reply; a customer who says crash breaks it.
func judgeService(t *testing.T, biased bool, calls *atomic.Int32) string {
	known, err := judge.CalibrationSet()
	require.NoError(t, err)
	worth := map[string]int{templateReply: 2}
	for _, k := range known {
		worth[k.Good], worth[k.Bad] = 2, 1
		if k.Fault == judge.FaultNone {
			worth[k.Bad] = 2
		}
	}
	of := func(s string) int {
		if n, ok := worth[s]; ok {
			return n
		}
		return 3
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var body struct {
			Messages []struct{ Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		said := map[string]string{}
		for line := range strings.Lines(body.Messages[1].Content) {
			if strings.HasPrefix(line, "{") {
				_ = json.Unmarshal([]byte(line), &said)
			}
		}
		if strings.Contains(said["customer"], "crash") {
			panic(http.ErrAbortHandler)
		}
		winner := "tie"
		switch a, b := of(said["A"]), of(said["B"]); {
		case a > b || biased:
			winner = "A"
		case a < b:
			winner = "B"
		}
		criteria := map[string]any{}
		for _, c := range judge.Criteria() {
			criteria[c] = map[string]string{"why": "依据", "better": winner}
		}
		answer, _ := json.Marshal(map[string]any{"criteria": criteria, "winner": winner, "confidence": 0.9})
		content, _ := json.Marshal(string(answer))
		_, _ = fmt.Fprintf(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":{"prompt_tokens":900,"completion_tokens":90,"total_tokens":990}}`, content)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

// runJudge runs the command alone.
func runJudge(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	e, err := shared()
	require.NoError(t, err)
	p := &program{out: &stdout, err: &stderr, getenv: func(string) string { return "" }}
	p.build = func(context.Context, buildOptions) (*engine, error) {
		return &engine{pipeline: e.pipeline, library: e.library, ids: e.ids, parts: e.parts, stages: e.stages}, nil // close leaves it open
	}
	cmd := p.evalJudgeCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		var exit *exitError
		require.True(t, errors.As(err, &exit), "%v", err)
		return exit.code, stdout.String(), stderr.String() + exit.Error()
	}
	return 0, stdout.String(), stderr.String()
}

func TestEvalJudge(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	rows := `{"id":"r1","text":"快递三天没动，帮我催一下","reply":"已为您加急，物流专员24小时内回电。"}
{"id":"r2","text":"充电器烧黑了，电话13800138000","reply":"请先停用，售后专员24小时内打13800138000联系您。"}
{"id":"r3","text":"多扣了我20块","turns":[{"speaker":"customer","text":"多扣了我20块"},{"speaker":"agent","text":"我登记核查，24小时内回电。"}]}
{"id":"r4","text":"没有人回我"}
`
	write("reply.jsonl", rows)
	write("bad.jsonl", rows+`{"id":"r5","text":"crash 了，怎么办","reply":"我登记核查。"}`+"\n")
	set := func(name, path string) string {
		return write(name, "name: ours\nversion: \"1\"\ntaxonomy: \"1.3\"\nlicence: ours\ndescription: test\ngroup: conversation\nsuites:\n  - {name: r, suite: reply, path: "+path+", split: test}\n")
	}
	data, broken := set("set.yaml", "reply.jsonl"), set("broken.yaml", "bad.jsonl")
	var calls, biasedCalls atomic.Int32
	config := write("eval.yaml", "dataset: set.yaml\nmodels:\n"+
		"  - {name: fair, base_url: "+judgeService(t, false, &calls)+", model: m, temperature: 0, price_in: 1, price_out: 2, concurrency: 8}\n"+
		"  - {name: first, base_url: "+judgeService(t, true, &biasedCalls)+", model: m, cache: \"off\", concurrency: 8}\n")
	out := filepath.Join(dir, "out")

	code, table, errOut := runJudge(t, "-c", config, "--judge", "fair", "--base", "template", "--candidate", "human", "--out", out, "--rounds", "50")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, errOut, "1 条没有人工回复")
	require.Contains(t, errOut, "花费")
	require.Contains(t, table, "human 对 template：3 对，判出 3，失败 0")
	require.Contains(t, table, "胜 3  平 0")
	first, err := os.ReadFile(filepath.Join(out, "judge.json"))
	require.NoError(t, err)
	var r judge.Result
	require.NoError(t, json.Unmarshal(first, &r))
	require.InDelta(t, 1, float64(r.WinRate.Rate), 1e-12)
	require.InDelta(t, 0.25, float64(r.WinRate.P), 1e-12)
	require.True(t, r.Calibration.Passed)
	require.Equal(t, "ours 1", r.Dataset)
	require.Equal(t, "0", r.Judge["temperature"])
	require.NotContains(t, r.Judge["host"], "http")
	require.NotContains(t, string(first), "13800138000")
	replies, err := os.ReadFile(filepath.Join(out, "replies.jsonl"))
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(string(replies), "\n"))
	info, err := os.Stat(filepath.Join(out, "replies.jsonl"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	n := calls.Load()
	code, _, errOut = runJudge(t, "-c", config, "--judge", "fair", "--data", data, "--base", "template", "--candidate", "human", "--out", out, "--rounds", "50")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, n, calls.Load(), "the recording answers")
	again, err := os.ReadFile(filepath.Join(out, "judge.json"))
	require.NoError(t, err)
	require.Equal(t, string(first), string(again))

	// A judge that breaks off on one pair of four: 25 % failed, bounds shown.
	code, table, errOut = runJudge(t, "-c", config, "--judge", "fair", "--data", broken, "--base", "template", "--candidate", "human", "--out", out)
	require.Equal(t, exitErrors, code)
	require.Contains(t, table, "判出 3，失败 1：llm_unavailable 1")
	require.Contains(t, table, "失败的全算负 0.750，全算胜 1.000")
	require.Contains(t, errOut, "1/4")

	code, table, errOut = runJudge(t, "-c", config, "--judge", "first", "--base", "template", "--candidate", "human", "--out", out)
	require.Equal(t, exitErrors, code)
	require.Contains(t, errOut, "裁判未通过校准")
	require.NotContains(t, table, "区间")
	refused, err := os.ReadFile(filepath.Join(out, "judge.json"))
	require.NoError(t, err)
	require.NotContains(t, string(refused), `"win_rate"`)
	require.EqualValues(t, 96, biasedCalls.Load(), "no pair is judged after a failed calibration")

	// The pipeline drafts.
	code, table, errOut = runJudge(t, "-c", config, "--judge", "fair", "--data", "../../eval/testdata/suite/dataset.yaml", "--base", "template", "--candidate", "fast", "--limit", "4", "--out", out)
	require.Equal(t, 0, code, errOut)
	require.Contains(t, table, "fast 对 template：4 对，判出 4")
}

func TestEvalJudgeUsage(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "eval.yaml")
	require.NoError(t, os.WriteFile(config, []byte("dataset: none.yaml\nmodels:\n  - {name: a, base_url: \"http://127.0.0.1:9/v1\", model: m, cache: \"off\"}\n  - {name: b, base_url: \"http://127.0.0.1:9/v1\", model: m, key_env: NO_KEY, cache: \"off\"}\n"), 0o600))
	for want, args := range map[string][]string{
		"用 -c 给出":        {},
		"用 --out 给出":     {"-c", config},
		"没有可比的":          {"-c", config, "--out", dir, "--base", "full"},
		"用 --judge 指明":   {"-c", config, "--out", dir},
		"没有 \"c\"":       {"-c", config, "--out", dir, "--judge", "c"},
		"找不到配置文件":        {"-c", filepath.Join(dir, "x.yaml"), "--out", dir},
		"不是一段时间":         {"-c", config, "--out", dir, "--judge", "a", "--timeout", "soon"},
		"不能是负数":          {"-c", config, "--out", dir, "--judge", "a", "--limit", "-1"},
		"环境变量 NO_KEY":    {"-c", config, "--out", dir, "--judge", "b", "--data", "../../eval/testdata/suite/dataset.yaml"},
		"没有回复来源 \"gpt\"": {"-c", config, "--out", dir, "--judge", "a", "--data", "../../eval/testdata/suite/dataset.yaml", "--base", "gpt"},
	} {
		code, _, errOut := runJudge(t, args...)
		require.Equal(t, exitUsage, code, "%v: %s", args, errOut)
		require.Contains(t, errOut, want, "%v", args)
	}
	code, _, errOut := runJudge(t, "-c", config, "--out", dir, "--judge", "a")
	require.Equal(t, exitData, code, errOut)
	require.Contains(t, errOut, "none.yaml")
}
