package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting/internal/access"
)

func (p *program) keyCommand() *cobra.Command {
	var f accountFlags
	var name, team, expires string
	var scopes []string
	add := &cobra.Command{
		Use: "add", Short: "新建 API 密钥，只显示一次", Args: exactly(0, "add 不接受参数，名称用 --name 给出"),
		Long: "新建 API 密钥。密钥只在这里显示一次，数据库里只有它的 SHA-256。\n用途：ingest 送入会话，assist 显示分析和建议，supervise 预警，cases 案例库，eval 评测，admin 全部。",
		Example: `  qingting key add --name 客服系统 --scope ingest --scope assist --expires 365d
  curl -s localhost:8080/v1/conversations -H "Authorization: Bearer qt_…" -H 'Content-Type: application/json' -d '{"messages":[{"role":"customer","text":"话费扣多了"}]}'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			until, err := expiry(expires, time.Now())
			if err != nil {
				return err
			}
			k := access.Key{Tenant: f.tenant, Name: name, Team: team, Expires: until}
			for _, s := range scopes {
				k.Scopes = append(k.Scopes, access.Scope(s))
			}
			return p.withGuard(cmd.Context(), f, func(g *access.Guard) error {
				k, secret, err := g.NewKey(cmd.Context(), k)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(p.out, "已新建密钥 %s（%s），编号 %s，到期 %s\n密钥（只显示这一次）：%s\n", k.Name, scopesOf(k), k.ID, day(k.Expires, "不过期"), secret)
				return err
			})
		},
	}
	add.Flags().StringVar(&name, "name", "", "名称，说明给谁用")
	add.Flags().StringSliceVar(&scopes, "scope", nil, "用途，可重复：ingest、assist、supervise、cases、eval、admin")
	add.Flags().StringVar(&team, "team", "", "只看这个团队及其下级，空为全部")
	add.Flags().StringVar(&expires, "expires", "", "多久后到期，如 90d、12h，空为不过期")

	list := &cobra.Command{
		Use: "list", Short: "列出密钥", Args: exactly(0, "list 不接受参数"), Example: "  qingting key list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withGuard(cmd.Context(), f, func(g *access.Guard) error {
				keys, err := g.Store().Keys(cmd.Context(), f.tenant)
				if err != nil {
					return err
				}
				now := time.Now()
				return rows(p, f.json, keys, func(k access.Key) []string {
					state := "可用"
					switch {
					case k.Disabled:
						state = "停用"
					case k.Expires != nil && !k.Expires.After(now):
						state = "已过期"
					}
					return []string{k.ID, k.Start + "…", k.Name, scopesOf(k), orDash(k.Team), state, "到期 " + day(k.Expires, "不过期"), "上次使用 " + day(k.Used, "从未")}
				})
			})
		},
	}
	list.Flags().BoolVar(&f.json, "json", false, "输出 JSON，一行一个")
	disable := &cobra.Command{
		Use: "disable", Short: "停用密钥", Args: exactly(1, "请给出密钥编号"), Annotations: map[string]string{"args": "编号"}, Example: "  qingting key disable ky_…",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withGuard(cmd.Context(), f, func(g *access.Guard) error {
				k, err := g.Store().Key(cmd.Context(), f.tenant, args[0])
				if err != nil {
					return err
				}
				k.Disabled = true
				if err := g.Store().ChangeKey(cmd.Context(), k); err != nil {
					return err
				}
				_, err = fmt.Fprintf(p.out, "已停用密钥：%s（%s）\n", k.ID, k.Name)
				return err
			})
		},
	}
	root := group("key", "API 密钥：新建、查看、停用", "管理程序接入用的密钥。",
		"  qingting key add --name 客服系统 --scope ingest --scope assist\n  qingting key list\n  qingting key disable ky_…", add, list, disable)
	f.add(root)
	return root
}

func scopesOf(k access.Key) string {
	names := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}

// expiry reads 90d or what Go reads as a duration.
func expiry(s string, now time.Time) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 || d > 100*365*24*time.Hour {
		return nil, usageError("--expires %q 不对，请写成 90d 或 12h 的样子", s)
	}
	until := now.Add(d).UTC()
	return &until, nil
}
