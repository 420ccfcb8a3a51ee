package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// TestNoSuchSubcommand: a command that only has others below it refuses a name
// that none of them has, wherever it stands.
func TestNoSuchSubcommand(t *testing.T) {
	groups := 0
	var all func(c *cobra.Command, path []string)
	all = func(c *cobra.Command, path []string) {
		if len(c.Commands()) == 0 {
			return
		}
		groups++
		code, out, errOut := run(t, "", append(path[:len(path):len(path)], "harvset")...)
		require.Equal(t, exitUsage, code, path)
		require.Contains(t, errOut, `没有 "harvset" 这个命令`, path)
		require.Empty(t, out, path)
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				all(sub, append(path[:len(path):len(path)], sub.Name()))
			}
		}
	}
	all((&program{}).command(), nil)
	require.GreaterOrEqual(t, groups, 5) // the program, cases, policy, eval, eval data
}

func TestEvalHelp(t *testing.T) {
	_, out, _ := run(t, "", "eval", "--help")
	for _, verb := range []string{"run --data", "compare", "gate", "bless", "report", "behave", "data lint"} {
		require.Contains(t, out, "qingting eval "+verb)
	}
	_, out, _ = run(t, "", "eval", "run", "--help")
	for _, suite := range dataset.Suites() {
		require.Contains(t, out, string(suite))
	}
}

// TestEvalRunUsage: what is wrong on the command line or in eval.yaml is said
// before anything is loaded, and leaves no folder.
func TestEvalRunUsage(t *testing.T) {
	good := jsonl(t, "dev.jsonl", talk("1", "壶坏了", "complaint", ""), talk("2", "问一下保修", "inquiry", ""))
	yaml := func(content string) string {
		path := filepath.Join(t.TempDir(), "eval.yaml")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	for _, tt := range []struct {
		want string
		code int
		args []string
	}{
		{"没有写要评测的系统", 64, []string{"--data", good, "--system", ""}},
		{"有一个名字是空的", 64, []string{"--data", good, "--system", "fast,"}},
		{"系统 fast 写了两次", 64, []string{"--data", good, "--system", "fast,majority,fast"}},
		{"没有系统 \"slow\"", 64, []string{"--data", good, "--system", "slow"}},
		{"没有写要评测的系统", 64, []string{"-c", yaml("dataset: x.jsonl\nsystems: []\n")}},
		{"rounds 是 0", 64, []string{"--data", good, "--rounds", "0"}},
		{"rounds 是 -1", 64, []string{"--data", good, "--rounds", "-1"}},
		{"rounds 是 0", 64, []string{"-c", yaml("dataset: x.jsonl\nrounds: 0\n")}},
		{"max_errors 是", 64, []string{"-c", yaml("dataset: x.jsonl\nmax_errors: .nan\n")}},
		{"models 里有两个 \"a\"", 64, []string{"-c", yaml("dataset: x.jsonl\nmodels: [{name: a}, {name: a}]\n")}},
		{"eval.yaml 第 2 行：不认识的键 \"root_dir\"", 64, []string{"-c", yaml("dataset: x.jsonl\nroot_dir: y\n")}},
		{"eval.yaml 第 1 行：值 \"三\" 的类型不对，应为数", 64, []string{"-c", yaml("jobs: 三\n")}},
		{"eval.yaml 第 2 行：不是合法的 YAML", 64, []string{"-c", yaml("dataset: [x\n  y: : :")}},
		{"没有要评测的文件", 65, []string{"--data", good, "--split", "dev"}},
		{"没有要评测的文件", 65, []string{"reply", "--data", good}},
		{"没有一个样本可评测", 65, []string{"--data", good, "--system", "bm25"}},
		{"里没有一行可用的数据", 65, []string{"--data", jsonl(t, "空.jsonl")}},
		{"--cases 和 --rounds 至少是 1", 64, nil},
	} {
		out := filepath.Join(t.TempDir(), "run")
		args := append([]string{"run", "--out", out}, tt.args...)
		if tt.args == nil {
			args = []string{"speed", "--rounds", "0"}
		}
		_, errOut := evalData(t, tt.code, args...)
		require.Contains(t, errOut, tt.want)
		require.NotRegexp(t, `unknown|cannot|unexpected|invalid`, errOut)
		require.NoDirExists(t, out, tt.want)
	}
}

// TestEvalRunLintsFirst: errors that make figures wrong stop a run with file
// and line; warnings and personal data, of which no figure depends, do not.
func TestEvalRunLintsFirst(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	bad := jsonl(t, "dev.jsonl", talk("1", "壶坏了", "complaint", ""), talk("1", "壶漏水", "complaint", ""),
		strings.Replace(talk("3", "问一下保修", "inquiry", ""), "inquiry", "询问", 1), `{"id":`)
	_, errOut := evalData(t, 65, "run", "--data", bad, "--system", "fast", "--out", out)
	for _, want := range []string{"数据集有 3 个错误，没有评测", "dev.jsonl:2（1）：id 和 dev.jsonl 第 1 行的重复", `dev.jsonl:3（3）：labels.kind 是 "询问"`, "dev.jsonl:4：这一行不是合法的 JSON"} {
		require.Contains(t, errOut, want)
	}
	require.NoDirExists(t, out)

	var many []string
	for range 30 {
		many = append(many, talk("同一个", "壶坏了", "complaint", ""))
	}
	_, errOut = evalData(t, 65, "run", "--data", jsonl(t, "dev.jsonl", many...), "--out", out)
	require.Contains(t, errOut, "有 29 个错误")
	require.Equal(t, shownFaults, strings.Count(errOut, "[duplicate_id]"))

	told := jsonl(t, "dev.jsonl", talk("1", "壶漏水 打我电话13812345678", "complaint", ""), talk("2", "壶漏水 打我电话13812345678", "complaint", ""))
	_, errOut = evalData(t, 0, "run", "--data", told, "--system", "majority,bm25", "--rounds", "20", "--out", out)
	require.Contains(t, errOut, "系统 bm25 不做选中的 suite")
	m, err := eval.ReadMetrics(out)
	require.NoError(t, err)
	require.False(t, m.Failed)
}
