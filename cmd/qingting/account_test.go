package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/store"
)

// account runs one command of people, teams and keys.
func account(t *testing.T, data, in string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	p := &program{in: strings.NewReader(in), out: &out, err: &out, getenv: func(string) string { return "" }}
	root := &cobra.Command{Use: "qingting", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(p.userCommand(), p.teamCommand(), p.keyCommand())
	chinese(root)
	root.SetArgs(append(args, "--data", data))
	root.SetOut(&out)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

func TestAccounts(t *testing.T) {
	data := t.TempDir()
	run := func(in string, args ...string) string {
		t.Helper()
		out, err := account(t, data, in, args...)
		require.NoError(t, err)
		return out
	}
	refused := func(in, want string, args ...string) {
		t.Helper()
		_, err := account(t, data, in, args...)
		require.ErrorContains(t, err, want)
		require.Regexp(t, `\p{Han}`, err.Error())
	}
	run("", "team", "add", "客服中心")
	require.Contains(t, run("", "team", "add", "售后", "--name", "售后组", "--parent", "客服中心"), "上级 客服中心")
	refused("", "绕成一圈", "team", "set", "客服中心", "--parent", "售后")
	refused("", "下级团队", "team", "delete", "客服中心")
	require.Contains(t, run("", "team", "list"), "共 2 个")

	require.Contains(t, run("一个足够长的测试密码啊啊\r\n", "user", "add", "Zhang.San", "--name", "张三", "--role", "supervisor", "--team", "售后"), "zhang.san（张三，主管）")
	refused("短\n", "12 到 128", "user", "add", "li.si")
	refused("", "没有密码", "user", "add", "li.si")
	refused("一个足够长的测试密码啊啊\n", "已经有人用了", "user", "add", "zhang.san")
	refused("一个足够长的测试密码啊啊\n", "角色只能是", "user", "add", "li.si", "--role", "boss")
	refused("", "没有这个编号或登录名", "user", "disable", "nobody")
	refused("", "没有这个编号或登录名", "user", "disable", "zhang.san", "--tenant", "other")
	made := run("", "user", "add", "li.si", "--generate")
	secret := regexp.MustCompile(`只显示这一次）：(\S{20,})`).FindStringSubmatch(made)
	require.Len(t, secret, 2, made)
	run("", "user", "set", "zhang.san", "--role", "admin")
	run("", "user", "disable", "li.si")
	require.Regexp(t, `zhang\.san +张三 +管理员 +售后 +可用`, run("", "user", "list"))
	require.Regexp(t, `li\.si +li\.si +客服 +- +停用`, run("", "user", "list"))
	require.NotContains(t, run("", "user", "list", "--json"), "argon2")

	out := run("", "key", "add", "--name", "客服系统", "--scope", "ingest,assist", "--expires", "90d")
	key := regexp.MustCompile(`qt_[a-z2-7]{26}`).FindString(out)
	id := regexp.MustCompile(`ky_\w+`).FindString(out)
	require.NotEmpty(t, key)
	require.NotContains(t, run("", "key", "list"), key)
	refused("", "90d 或 12h", "key", "add", "--name", "一", "--scope", "ingest", "--expires", "-3d")
	refused("", "用途", "key", "add", "--name", "一", "--scope", "root")
	refused("", "name", "key", "add", "--scope", "ingest")
	refused("", "没有", "key", "nonsense")

	kept, err := store.Open(t.Context(), filepath.Join(data, databaseName))
	require.NoError(t, err)
	g, err := access.New(kept, access.Options{})
	require.NoError(t, err)
	p, err := g.Key(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, []access.Scope{access.ScopeIngest, access.ScopeAssist}, p.Scopes)
	require.Contains(t, run("", "key", "disable", id), "已停用")
	require.Eventually(t, func() bool { _, err := g.Key(context.Background(), key); return errors.Is(err, access.ErrDenied) }, 3*time.Second, 50*time.Millisecond, "it counts within a second, in a service that runs")
	require.NoError(t, kept.Close())

	for _, command := range []string{"user", "team", "key"} {
		require.Contains(t, run("", command), "例子：")
	}
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute} {
		got, err := expiry(in, now)
		require.NoError(t, err)
		require.Equal(t, now.Add(want), *got)
	}
	got, err := expiry("", now)
	require.NoError(t, err)
	require.Nil(t, got)
	for _, bad := range []string{"d", "-1d", "0h", "明天", "99999999999d", "1e3d"} {
		_, err := expiry(bad, now)
		require.Error(t, err, bad)
	}
}
