package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qingting-ai/qingting/internal/store"
	"github.com/stretchr/testify/require"
)

func TestConfig(t *testing.T) {
	env := map[string]string{}
	getenv := func(k string) string { return env[k] }
	c, err := readConfig("", getenv)
	require.NoError(t, err)
	require.Equal(t, time.Minute, c.Alerts.Again)
	require.True(t, c.Privacy.Conceal)
	require.Equal(t, "127.0.0.1:8080", c.Addr)

	file := filepath.Join(t.TempDir(), "qingting.yaml")
	write := func(s string) { require.NoError(t, os.WriteFile(file, []byte(s), 0o600)) }
	write("alerts: {again: 30s}\nwebhooks:\n  allow_private: [10.1.2.0/24, 10.9.9.9]\n")
	env["QINGTING_ALERTS_BUDGET_PER_HOUR"], env["QINGTING_PRIVACY_CONCEAL"], env["QINGTING_HOSTS"] = "12", "false", "a.example, b.example"
	c, err = readConfig(file, getenv)
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, c.Alerts.Again)
	require.Equal(t, 12, c.Alerts.BudgetPerHour)
	require.False(t, c.Privacy.Conceal)
	require.Equal(t, []string{"a.example", "b.example"}, c.Hosts)
	require.Equal(t, 30*time.Minute, c.Promises.WarnBefore, "a key that is not named keeps its default")
	nets, err := c.allowedPrivate()
	require.NoError(t, err)
	require.Len(t, nets, 2)

	for text, want := range map[string]string{
		"alert: {again: 30s}":                   "alert",
		"alerts: {again: 1ms}":                  "alerts.again",
		"alerts: {threshold: .nan}":             "alerts.threshold",
		"admin_addr: 0.0.0.0:9090":              "只能是本机",
		"mode: slow":                            "full",
		"data: ''":                              "data",
		"proxies: [nginx]":                      "proxies",
		"limits: {key_requests_per_second: 0}":  "-1",
		"auth: no":                              "auth",
		"addr: '8080'":                          "addr",
		"webhooks: {allow_private: [intranet]}": "allow_private",
		"alerts: {again: 30}":                   "时长",
		"streams: {ring: 3}":                    "streams.ring",
		"log: {level: loud}":                    "log.level",
		"clocks: {p1_human: soon}":              "时长",
	} {
		write(text)
		_, err := readConfig(file, func(string) string { return "" })
		require.ErrorContains(t, err, want, text)
	}
	_, err = readConfig("", func(k string) string { return map[string]string{"QINGTING_ALERTS_AGAIN": "一分钟"}[k] })
	require.ErrorContains(t, err, "QINGTING_ALERTS_AGAIN")
	_, err = readConfig(filepath.Join(t.TempDir(), "none.yaml"), getenv)
	require.ErrorContains(t, err, "找不到配置文件")
}

func TestHealth(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/readyz", r.URL.Path)
		w.WriteHeader(status)
	}))
	addr := strings.TrimPrefix(s.URL, "http://")
	run := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		p := &program{out: &out, err: &errs, getenv: func(string) string { return "" }}
		return p.run(t.Context(), args), out.String() + errs.String()
	}
	code, said := run("health", "--addr", addr)
	require.Equal(t, 0, code, said)
	_, port, _ := strings.Cut(addr, ":")
	code, said = run("health", "--addr", ":"+port)
	require.Equal(t, 0, code, said)
	status = http.StatusServiceUnavailable
	code, said = run("health", "--addr", addr)
	require.Equal(t, exitSome, code)
	require.Contains(t, said, "还没有就绪")
	s.Close()
	code, said = run("health", "--addr", addr)
	require.Equal(t, exitSome, code)
	require.Contains(t, said, "没有回答")
	file := filepath.Join(t.TempDir(), "q.yaml")
	require.NoError(t, os.WriteFile(file, []byte("policy: /nonexistent/政策.yaml\nproxies: [10.0.0.0/8, 127.0.0.1]\n"), 0o600))
	code, said = run("config", "check", file)
	require.Equal(t, exitData, code)
	require.Contains(t, said, "找不到政策文件")
	code, _ = run("config", "bogus")
	require.Equal(t, exitUsage, code)
	code, said = run("config", "show")
	require.Equal(t, 0, code)
	require.Contains(t, said, "admin_addr")
}

func TestBackup(t *testing.T) {
	data := t.TempDir()
	kept, err := store.Open(t.Context(), filepath.Join(data, databaseName))
	require.NoError(t, err)
	defer kept.Close() // the service goes on
	run := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		p := &program{out: &out, err: &errs, getenv: func(string) string { return "" }}
		return p.run(t.Context(), args), out.String() + errs.String()
	}
	file := filepath.Join(t.TempDir(), "备份.db")
	code, said := run("backup", "create", file, "--data", data)
	require.Equal(t, 0, code, said)
	require.Contains(t, said, "已备份到")
	code, said = run("backup", "check", file)
	require.Equal(t, 0, code, said)
	require.Contains(t, said, "完好")
	code, said = run("backup", "create", file, "--data", data)
	require.NotEqual(t, 0, code)
	require.Contains(t, said, "已经存在")
	code, said = run("backup", "create", filepath.Join(data, "x.db"), "--data", filepath.Join(data, "nowhere"))
	require.Equal(t, exitData, code)
	require.Contains(t, said, "找不到数据库")
	require.NoError(t, os.WriteFile(file, []byte("不是数据库"), 0o600))
	code, said = run("backup", "check", file)
	require.Equal(t, exitData, code)
	require.Contains(t, said, "不是完好的数据库文件")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	code, said = run("backup", "check", file)
	require.Equal(t, exitData, code)
	require.Contains(t, said, "是空文件")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Zero(t, info.Size(), "checking writes nothing")
}

func TestSecret(t *testing.T) {
	data := t.TempDir()
	key, err := readSecret(data)
	require.NoError(t, err)
	require.Len(t, key, secretLength)
	again, err := readSecret(data)
	require.NoError(t, err)
	require.Equal(t, key, again)
	info, err := os.Stat(filepath.Join(data, secretName))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	other, err := readSecret(t.TempDir())
	require.NoError(t, err)
	require.NotEqual(t, key, other)
	require.NoError(t, os.WriteFile(filepath.Join(data, secretName), key[:5], 0o600))
	_, err = readSecret(data)
	require.ErrorContains(t, err, "不完整")
	files, err := os.ReadDir(data)
	require.NoError(t, err)
	require.Len(t, files, 1, "nothing is left beside it")
}
