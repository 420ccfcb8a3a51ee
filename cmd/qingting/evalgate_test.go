package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting/eval"
)

// changedRun is a copy of a run with other metrics.
func changedRun(t *testing.T, dir string, change func(*eval.Metrics)) string {
	t.Helper()
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	m, err := eval.ReadMetrics(dir)
	require.NoError(t, err)
	change(m)
	b, err := json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(copied, eval.MetricsFile), b, 0o600))
	return copied
}

// TestGateCommands: what is wrong is said in Chinese, with the exit code of its
// kind.
func TestGateCommands(t *testing.T) {
	good, dir := constantRun(t), t.TempDir()
	in := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	policy := in("gates.yaml", "gates:\n  - {system: full, figure: type.kind, margin: 0.1, floor: 0.1}\n")
	failed := changedRun(t, good, func(m *eval.Metrics) { m.Failed = true })
	limited := changedRun(t, good, func(m *eval.Metrics) { m.Limit = 3 })
	empty := changedRun(t, good, func(m *eval.Metrics) { m.Systems = nil })
	base := filepath.Join(dir, "baseline")
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"gate passes":            {[]string{"gate", good, "--baseline", good, "--policy", policy}, exitOK, "通过"},
		"gate without baseline":  {[]string{"gate", good, "--policy", policy}, exitUsage, "--baseline"},
		"bless without baseline": {[]string{"bless", good, "--reason", "新的权重"}, exitUsage, "--baseline"},
		"bless without reason":   {[]string{"bless", good, "--baseline", base}, exitUsage, "--reason"},
		"no policy":              {[]string{"gate", good, "--baseline", good, "--policy", filepath.Join(dir, "none.yaml")}, exitUsage, "找不到门限文件"},
		"policy of nothing":      {[]string{"gate", good, "--baseline", good, "--policy", in("nan.yaml", "gates:\n  - {figure: type.kind, margin: .nan}\n")}, exitUsage, "第 2 行"},
		"gate of a failed run":   {[]string{"gate", failed, "--baseline", good, "--policy", policy}, exitErrors, "失败的样本太多"},
		"gate by a failed base":  {[]string{"gate", good, "--baseline", failed, "--policy", policy}, exitErrors, "失败的样本太多"},
		"bless of a failed run":  {[]string{"bless", failed, "--baseline", base, "--reason", "试试"}, exitErrors, "失败的样本太多"},
		"gate of a limited run":  {[]string{"gate", limited, "--baseline", good, "--policy", policy}, exitUsage, "--limit"},
		"gate of nothing":        {[]string{"gate", empty, "--baseline", good, "--policy", policy}, exitData, "一个样本也没有"},
		"gate by nothing":        {[]string{"gate", good, "--baseline", empty, "--policy", policy}, exitData, "一个样本也没有"},
		"bless of nothing":       {[]string{"bless", empty, "--baseline", base, "--reason", "试试"}, exitData, "一个样本也没有"},
		"no rounds":              {[]string{"compare", good, good, "--rounds", "0"}, exitUsage, "--rounds"},
		"fewer than none":        {[]string{"compare", good, good, "--rounds=-5"}, exitUsage, "--rounds"},
		"compare":                {[]string{"compare", good, good, "--rounds", "20"}, exitOK, "Holm"},
		"compare of a limited":   {[]string{"compare", good, limited, "--rounds", "20"}, exitOK, "用 --limit 3 跑的"},
		"compare of a failed":    {[]string{"compare", good + "/full", failed + "/full", "--rounds", "20"}, exitOK, "注意：" + failed + "/full 失败的样本太多"},
		"compare with few":       {[]string{"compare", good + "/full", good + "/majority", "--rounds", "20"}, exitOK, "加大 --rounds"},
	} {
		code, out, errOut := run(t, "", append([]string{"eval"}, tt.args...)...)
		require.Equal(t, tt.code, code, "%s: %s%s", name, out, errOut)
		require.Contains(t, out+errOut, tt.want, name)
		require.NotContains(t, out+errOut, "required flag", name)
		require.NotContains(t, out, "NaN", name)
		require.NotContains(t, out, "-0.000", name)
	}
	require.NoDirExists(t, base)
	_, out, _ := run(t, "", "eval", "compare", good+"/full", good+"/full", "--rounds", "20")
	require.Contains(t, out, "[0.000, 0.000]!", "no width, so a mark")
	require.Contains(t, out, "–", "undefined, as the signals' lead of a system that never calls")
}

func TestEvalAlerts(t *testing.T) {
	dir := t.TempDir()
	code, _, errs := run(t, "", "eval", "run", "--data", suiteData, "--system", "fast", "--out", dir)
	require.Equal(t, 0, code, errs)
	code, out, errs := run(t, "", "eval", "alerts", dir, "--system", "fast", "--per-hour", "100", "--budget", "12")
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "→")
	require.Contains(t, out, "threshold: 0.")
	code, out, _ = run(t, "", "eval", "alerts", dir, "--system", "fast", "--per-hour", "100", "--budget", "0.1")
	require.Equal(t, 0, code)
	require.Contains(t, out, "总是会响")
	code, _, errs = run(t, "", "eval", "alerts", dir, "--system", "fast")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "--per-hour")
	code, _, _ = run(t, "", "eval", "alerts", dir, "--system", "none", "--per-hour", "1", "--budget", "1")
	require.Equal(t, exitData, code)
}
