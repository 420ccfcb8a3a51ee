package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func writePolicy(t *testing.T, pairs ...string) string {
	t.Helper()
	_, text, _ := run(t, "", "policy", "show")
	edited := strings.NewReplacer(pairs...).Replace(text)
	require.NotEqual(t, text, edited)
	file := filepath.Join(t.TempDir(), "政策.yaml")
	require.NoError(t, os.WriteFile(file, []byte(edited), 0o600))
	return file
}

// TestPolicyOfADeployment: what the default policy leaves to the agent, a
// stricter one sends to approval by whom it names.
func TestPolicyOfADeployment(t *testing.T) {
	code, text, errOut := run(t, "", "policy", "show")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, text, "# 一线权限")
	own := filepath.Join(t.TempDir(), "默认.yaml")
	require.NoError(t, os.WriteFile(own, []byte(text), 0o600))
	code, out, errOut := run(t, "", "policy", "check", own)
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "检查通过。一线权限：赔付 50 元、优惠券 30 元、退款 50 元，超过由主管审批")

	const said = "客户：你们多扣了我30块话费，把30块退给我\n"
	draft := func(args ...string) (authority, text string) {
		code, out, errOut := run(t, said, append([]string{"triage", "-", "--json", "--mode", "fast"}, args...)...)
		require.Equal(t, 0, code, errOut)
		g := decode(t, out).Suggestions[0]
		require.NotNil(t, g.Remedy.Amount)
		return g.Remedy.Authority, g.Text
	}
	authority, _ := draft()
	require.Equal(t, "agent", authority)
	strict := writePolicy(t, "refund: 50", "refund: 20", "approver: 主管", "approver: 值班经理")
	authority, words := draft("--policy", strict)
	require.Equal(t, "approval", authority)
	require.Contains(t, words, "值班经理审批")

	p := &program{getenv: func(k string) string { return map[string]string{"QINGTING_POLICY": strict}[k] }}
	require.Equal(t, strict, p.policyFile(""))
	require.Equal(t, own, p.policyFile(own), "the flag wins")
}

func TestPolicyMistakes(t *testing.T) {
	for name, tt := range map[string]struct{ old, with, want string }{
		"键写错":  {"  coupon: 30", "  cupon: 30", `第 11 行：不认识的键 "cupon"`},
		"数不对":  {"compensate: 50", "compensate: -5", "第 10 行：authority.compensate"},
		"不是数":  {"compensate: 50", "compensate: 五十", "第 10 行：值 \"五十\" 的类型不对"},
		"缩进乱了": {"  coupon: 30", " coupon: 30", "行：不是合法的 YAML"},
	} {
		file := writePolicy(t, tt.old, tt.with)
		for _, args := range [][]string{{"policy", "check", file}, {"triage", "-", "--policy", file}, {"serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "none"), "--policy", file}} {
			code, out, errOut := run(t, "客户：一", args...)
			require.Equal(t, 65, code, name)
			require.Empty(t, out, name)
			require.Contains(t, errOut, tt.want, name)
			require.Contains(t, errOut, file, name)
			require.Equal(t, 1, strings.Count(errOut, "错误"), name)
		}
	}
}
