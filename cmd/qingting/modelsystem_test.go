package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/internal/llm"
)

// modelAnswer is what a model says of any conversation; its quote is in ours.
const modelAnswer = `{"kind":{"code":"complaint","p":0.9},"types":[{"code":"logistics.delay","p":0.8,"message":0,"quote":"快递还没到"}],"primary":"logistics.delay","emotion":{"code":"angry","intensity":3,"p":0.8},"signals":[{"code":"churn","p":0.9,"message":0,"quote":"再也不买了"}],"high_risk":0.7,"claims":[],"style":{"code":"emotional","p":0.6},"outcome":{"code":"unresolved","p":0.7},"satisfaction":{"-2":0.6,"-1":0.4,"0":0,"1":0,"2":0}}`

func modelService(t *testing.T, calls *atomic.Int32) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.Header.Get("Authorization") != "Bearer sk-of-test" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":{"message":"Incorrect API key provided: `+r.Header.Get("Authorization")+`"}}`)
			return
		}
		content := strings.ReplaceAll(modelAnswer, `"`, `\"`)
		_, _ = io.WriteString(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"`+content+`"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200}}`)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

func TestModelSystem(t *testing.T) {
	var calls atomic.Int32
	base, dir := modelService(t, &calls), filepath.Join(t.TempDir(), "cache")
	zero := 0.0
	config := modelConfig{
		Name: "small-model", BaseURL: base, Model: "small", KeyEnv: "TEST_KEY", CacheDir: dir,
		Budget: 1, PriceIn: 2, PriceOut: 8, Temperature: &zero, Timeout: "5s",
	}
	p := &program{getenv: func(name string) string { return map[string]string{"TEST_KEY": " sk-of-test\n"}[name] }}
	conversation := qingting.Transcript{Messages: []qingting.Message{{Role: qingting.RoleCustomer, Text: "快递还没到！！！！！再也不买了"}}}

	live, err := p.modelSystem(config)
	require.NoError(t, err)
	a, err := live.Analyze(t.Context(), conversation)
	require.NoError(t, err)
	require.Equal(t, qingting.RiskHigh, a.Risk.Level, "anger of 3 with churn, by the table of the label guide")
	require.NotContains(t, a.Latency.Stages, llm.StageCached)
	require.Equal(t, "模型 small-model：调用 1 次（重试 0，要求改正 0，格式 json_schema），录制里取 0 次；发出 1000、收到 200 token；花费 0.0036", live.summary())
	require.Equal(t, "small", live.Identity["model"])
	require.NotContains(t, live.Identity["host"], "http")
	require.NoError(t, live.Close())

	config.Cache, p.getenv = "replay", func(string) string { return "" } // replay needs no key
	replay, err := p.modelSystem(config)
	require.NoError(t, err)
	defer replay.Close()
	again, err := replay.Analyze(t.Context(), conversation)
	require.NoError(t, err)
	require.Contains(t, again.Latency.Stages, llm.StageCached)
	require.Equal(t, live.Identity, replay.Identity)
	a.Latency, again.Latency = qingting.Latency{}, qingting.Latency{}
	require.Equal(t, a, again)
	require.EqualValues(t, 1, calls.Load())
	require.Nil(t, replay.Rank)
	require.Nil(t, replay.Reply)
	require.Nil(t, replay.Read)
}

func TestModelSystemWrongKeyIsNotTold(t *testing.T) {
	var calls atomic.Int32
	p := &program{getenv: func(string) string { return "sk-wrong-key" }}
	s, err := p.modelSystem(modelConfig{Name: "m", BaseURL: modelService(t, &calls), Model: "m", KeyEnv: "K", Cache: "off"})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Analyze(t.Context(), qingting.Transcript{Messages: []qingting.Message{{Role: qingting.RoleCustomer, Text: "在吗"}}})
	var coded interface{ ErrorCode() string }
	require.ErrorAs(t, err, &coded)
	require.Equal(t, "llm_auth", coded.ErrorCode())
	require.NotContains(t, err.Error(), "sk-wrong")
	require.Contains(t, s.summary(), "llm_auth 1")
}

func TestModelConfigIsChecked(t *testing.T) {
	p := &program{getenv: func(string) string { return "" }}
	good := modelConfig{Name: "m", BaseURL: "http://127.0.0.1:9/v1", Model: "m", Cache: "off"}
	s, err := p.modelSystem(good)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	hot := 9.0
	for want, change := range map[string]func(*modelConfig){
		"name 只能用":      func(c *modelConfig) { c.Name = "../x" },
		"base_url":      func(c *modelConfig) { c.BaseURL = "127.0.0.1/v1" },
		"没有写模型":         func(c *modelConfig) { c.Model = " " },
		"环境变量 MY_KEY":   func(c *modelConfig) { c.KeyEnv = "MY_KEY" },
		`cache "often"`: func(c *modelConfig) { c.Cache, c.CacheDir = "often", t.TempDir() },
		"没有录制文件":        func(c *modelConfig) { c.Cache, c.CacheDir = "replay", t.TempDir() },
		"budget":        func(c *modelConfig) { c.Budget = 5 },
		"不小于 0":         func(c *modelConfig) { c.PriceIn = -1 },
		"temperature":   func(c *modelConfig) { c.Temperature = &hot },
		"format":        func(c *modelConfig) { c.Format = "xml" },
		"timeout":       func(c *modelConfig) { c.Timeout = "soon" },
		"max_tokens":    func(c *modelConfig) { c.MaxTokens = -1 },
	} {
		bad := good
		change(&bad)
		_, err := p.modelSystem(bad)
		require.ErrorContains(t, err, want)
		var exit *exitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, exitUsage, exit.code)
	}
}

// TestEvalRunAsksAModel runs a model beside the pipeline from an eval.yaml, and
// again from its recording without the service. A wrong key ends the run and
// leaves no rows of failures behind.
func TestEvalRunAsksAModel(t *testing.T) {
	var refused, calls atomic.Int32
	dir := t.TempDir()
	row := `{"id":"c%d","messages":[{"role":"customer","text":"第%d单快递还没到！！！！！再也不买了"}],"labels":{"kind":"complaint","types":["logistics.delay"],"primary":"logistics.delay","emotion":"angry","intensity":3,"risk":"high","signals":["churn"],"claims":[],"style":"emotional","outcome":"unresolved"}}` + "\n"
	data := ""
	for i := range 3 {
		data += strings.ReplaceAll(row, "%d", strconv.Itoa(i))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(data), 0o600))
	file := filepath.Join(dir, "eval.yaml")
	configure := func(base string) {
		config := "dataset: rows.jsonl\nsystems: [fast, small]\nrounds: 50\nmodels:\n  - {name: small, base_url: " + base + ", model: small, key_env: KEY, cache: live, temperature: 0}\n"
		require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	}

	configure(modelService(t, &refused))
	code, _, errOut := runWith(t, map[string]string{"KEY": "sk-wrong"}, "", "eval", "run", "-c", file, "--out", filepath.Join(dir, "wrong"))
	require.Equal(t, exitData, code, errOut)
	require.Contains(t, errOut, "llm_auth")
	rows, err := eval.ReadRows(filepath.Join(dir, "wrong", "small"))
	require.NoError(t, err)
	require.Empty(t, rows)

	configure(modelService(t, &calls))
	code, out, errOut := runWith(t, map[string]string{"KEY": "sk-of-test"}, "", "eval", "run", "-c", file, "--out", filepath.Join(dir, "live"))
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "small n=3")
	require.Contains(t, errOut, "模型 small：调用 3 次")
	require.EqualValues(t, 3, calls.Load())
	times, err := eval.ReadTimes(filepath.Join(dir, "live", "small"))
	require.NoError(t, err)
	require.Len(t, times, 3)

	code, _, errOut = runWith(t, map[string]string{"KEY": "sk-of-test"}, "", "eval", "run", "-c", file, "--out", filepath.Join(dir, "again"))
	require.Equal(t, 0, code, errOut)
	require.EqualValues(t, 3, calls.Load(), "the recording answers")
	times, err = eval.ReadTimes(filepath.Join(dir, "again", "small"))
	require.NoError(t, err)
	require.Empty(t, times, "recorded answers have no time")
	live, err := os.ReadFile(filepath.Join(dir, "live", eval.MetricsFile))
	require.NoError(t, err)
	again, err := os.ReadFile(filepath.Join(dir, "again", eval.MetricsFile))
	require.NoError(t, err)
	require.Equal(t, string(live), string(again))
}
