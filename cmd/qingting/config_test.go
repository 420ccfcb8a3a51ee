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
	code, _ = run("config", "bogus")
	require.Equal(t, exitUsage, code)
	code, said = run("config", "show")
	require.Equal(t, 0, code)
	require.Contains(t, said, "admin_addr")
}
