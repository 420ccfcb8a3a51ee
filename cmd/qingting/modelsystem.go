package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/internal/llm"
	"github.com/qingting-ai/qingting/sentiment"
)

// modelConfig is one entry of `models:` in an eval.yaml: a chat model behind an
// OpenAI-compatible service, evaluated like any other system.
type modelConfig struct {
	Name    string `yaml:"name"`     // of the system: letters, digits, - and _
	BaseURL string `yaml:"base_url"` // https://host/v1
	Model   string `yaml:"model"`
	// KeyEnv names the environment variable that holds the key; empty for a
	// service without one. The key itself never stands in a file.
	KeyEnv string `yaml:"key_env"`

	Cache    string `yaml:"cache"`     // live, record, replay or off; empty: live
	CacheDir string `yaml:"cache_dir"` // empty: .qingting-llm; the file in it is NAME.jsonl

	// Budget is the most that one run may spend, in the currency of the prices of
	// a million tokens; 0 is no limit.
	Budget   float64 `yaml:"budget"`
	PriceIn  float64 `yaml:"price_in"`
	PriceOut float64 `yaml:"price_out"`

	Temperature *float64 `yaml:"temperature"` // nil: what the service takes
	Seed        *int     `yaml:"seed"`
	MaxTokens   int      `yaml:"max_tokens"`
	Format      string   `yaml:"format"`      // auto, json_schema, json_object or plain
	Timeout     string   `yaml:"timeout"`     // of one try: 30s
	Concurrency int      `yaml:"concurrency"` // calls at once
	Repeat      int      `yaml:"repeat"`      // numbers independent readings, from 0
}

const (
	cacheOff        = "off"
	defaultCacheDir = ".qingting-llm"
)

// modelSystem is a model that can be evaluated.
type modelSystem struct {
	eval.System
	*modelClient
}

// modelSystem makes the system of an entry. Nothing is asked of the service
// before the first conversation. Close it after the run.
func (p *program) modelSystem(c modelConfig) (*modelSystem, error) {
	m, err := p.modelClient(c)
	if err != nil {
		return nil, err
	}
	analyzer, err := llm.NewAnalyzer(m.Client, sentiment.Level, c.Repeat)
	if err != nil {
		_ = m.Close()
		return nil, usageError("models 里的 %q：%s", c.Name, err)
	}
	identity := analyzer.Identity()
	identity["kind"] = "llm"
	return &modelSystem{modelClient: m, System: eval.System{
		Name: c.Name, Identity: identity,
		Analyze: func(ctx context.Context, t qingting.Transcript) (*qingting.Analysis, error) {
			return analyzer.Analyze(ctx, t)
		},
	}}, nil
}

// modelClient is a chat model of an eval.yaml that can be asked.
type modelClient struct {
	*llm.Client
	name     string
	identity map[string]string // what its answers depend on, beside the prompt
	cache    *llm.Cache
	budget   *llm.Budget
	idle     func() // closes connections
}

// modelClient connects the model of an entry. Nothing is asked of the service
// yet. Close it after use.
func (p *program) modelClient(c modelConfig) (*modelClient, error) {
	bad := func(format string, args ...any) (*modelClient, error) {
		return nil, usageError("models 里的 %q：%s", c.Name, fmt.Sprintf(format, args...))
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(c.Name) {
		return bad("name 只能用字母、数字、- 和 _，最多 64 个")
	}
	timeout := time.Duration(0)
	if c.Timeout != "" {
		var err error
		if timeout, err = time.ParseDuration(c.Timeout); err != nil || timeout <= 0 {
			return bad("timeout %q 不是一段时间，写成 30s 或 2m", c.Timeout)
		}
	}
	mode := cmp.Or(llm.Mode(c.Cache), llm.ModeLive)
	key := ""
	if c.KeyEnv != "" {
		if key = strings.TrimSpace(p.getenv(c.KeyEnv)); key == "" && mode != llm.ModeReplay {
			return bad("环境变量 %s 是空的：把密钥放进去，或去掉 key_env", c.KeyEnv)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	chat, host, err := llm.Connect(c.BaseURL, key, transport)
	if err != nil {
		return bad("%s", err)
	}
	budget, err := llm.NewBudget(c.Budget, c.PriceIn, c.PriceOut)
	if err != nil {
		return bad("%s", err)
	}
	m := &modelClient{name: c.Name, budget: budget, idle: transport.CloseIdleConnections}
	if c.Cache != cacheOff {
		if m.cache, err = llm.OpenCache(filepath.Join(cmp.Or(c.CacheDir, defaultCacheDir), c.Name+".jsonl"), mode); err != nil {
			return bad("%s", err)
		}
	}
	options := llm.Options{
		Model: c.Model, Host: host, Temperature: c.Temperature, Seed: c.Seed, MaxTokens: c.MaxTokens, Format: llm.Format(c.Format),
		Timeout: timeout, Concurrency: c.Concurrency, Budget: budget, Cache: m.cache,
		// Every example is asked: an answer must not depend on those before it.
		BreakAfter: -1,
	}
	if key != "" {
		options.Secrets = []string{key}
	}
	if m.Client, err = llm.New(chat, options); err != nil {
		_ = m.Close()
		return bad("%s", err)
	}
	m.identity = map[string]string{
		"name": c.Name, "model": c.Model, "host": host, "format": cmp.Or(c.Format, string(llm.FormatAuto)), "max_tokens": strconv.Itoa(c.MaxTokens),
		"repeat": strconv.Itoa(c.Repeat), "temperature": "default", "seed": "none",
	}
	if c.Temperature != nil {
		m.identity["temperature"] = strconv.FormatFloat(*c.Temperature, 'g', -1, 64)
	}
	if c.Seed != nil {
		m.identity["seed"] = strconv.Itoa(*c.Seed)
	}
	return m, nil
}

// Close ends the recording and the connections.
func (m *modelClient) Close() error {
	m.idle()
	return m.cache.Close()
}

// summary says in a few lines what the run cost.
func (m *modelClient) summary() string {
	st := m.Stats()
	var b strings.Builder
	fmt.Fprintf(&b, "模型 %s：调用 %d 次（重试 %d，要求改正 %d，格式 %s），录制里取 %d 次；发出 %d、收到 %d token", m.name, st.Calls, st.Retried, st.Repaired, st.Format, st.Cached, st.In, st.Out)
	if st.Estimated > 0 {
		fmt.Fprintf(&b, "（其中 %d 次为估计）", st.Estimated)
	}
	if st.Cost > 0 {
		fmt.Fprintf(&b, "；花费 %.4f", st.Cost)
	}
	if st.Invented > 0 {
		fmt.Fprintf(&b, "；编造的引文 %d 处，未采用", st.Invented)
	}
	if _, exhausted := m.budget.Spent(); exhausted {
		b.WriteString("；预算用完了，其余没有问")
	}
	for _, code := range slices.Sorted(maps.Keys(st.Errors)) {
		fmt.Fprintf(&b, "\n  %s %d", code, st.Errors[code])
	}
	if _, torn := m.cache.Size(); torn > 0 {
		fmt.Fprintf(&b, "\n  录制里有 %d 行不完整，已跳过", torn)
	}
	return b.String()
}
