package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting/internal/access"
)

func (p *program) teamCommand() *cobra.Command {
	var f accountFlags
	var name, parent string
	put := func(use, short, example string, fresh bool) *cobra.Command {
		c := &cobra.Command{
			Use: use, Short: short, Args: exactly(1, "请给出团队编号"), Annotations: map[string]string{"args": "编号"}, Example: example,
			RunE: func(cmd *cobra.Command, args []string) error {
				return p.withGuard(cmd.Context(), f, func(g *access.Guard) error {
					t := access.Team{Tenant: f.tenant, ID: args[0], Name: name, Parent: parent}
					if !fresh {
						old, err := g.Store().Team(cmd.Context(), f.tenant, args[0])
						if err != nil {
							return err
						}
						if !cmd.Flags().Changed("name") {
							t.Name = old.Name
						}
						if !cmd.Flags().Changed("parent") {
							t.Parent = old.Parent
						}
					} else if t.Name == "" {
						t.Name = t.ID
					}
					t, err := g.PutTeam(cmd.Context(), t, fresh)
					if err != nil {
						return err
					}
					_, err = fmt.Fprintf(p.out, "已%s：%s（%s），上级 %s\n", short, t.ID, t.Name, orDash(t.Parent))
					return err
				})
			},
		}
		c.Flags().StringVar(&name, "name", "", "团队名称")
		c.Flags().StringVar(&parent, "parent", "", "上级团队的编号，空为顶层")
		return c
	}
	list := &cobra.Command{
		Use: "list", Short: "列出团队", Args: exactly(0, "list 不接受参数"), Example: "  qingting team list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withGuard(cmd.Context(), f, func(g *access.Guard) error {
				teams, err := g.Store().Teams(cmd.Context(), f.tenant)
				if err != nil {
					return err
				}
				return rows(p, f.json, teams, func(t access.Team) []string { return []string{t.ID, t.Name, "上级 " + orDash(t.Parent)} })
			})
		},
	}
	list.Flags().BoolVar(&f.json, "json", false, "输出 JSON，一行一个")
	remove := &cobra.Command{
		Use: "delete", Short: "删除团队", Args: exactly(1, "请给出团队编号"), Annotations: map[string]string{"args": "编号"}, Example: "  qingting team delete 售后",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withGuard(cmd.Context(), f, func(g *access.Guard) error {
				if err := g.DeleteTeam(cmd.Context(), f.tenant, args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(p.out, "已删除团队：%s\n", args[0])
				return err
			})
		},
	}
	root := group("team", "团队：建立、修改、删除", "团队有上下级：客服看本团队的会话，主管也看下级团队的；预警没人认领时报到上级团队。",
		"  qingting team add 客服中心\n  qingting team add 售后 --name 售后组 --parent 客服中心",
		put("add", "建立团队", "  qingting team add 售后 --name 售后组 --parent 客服中心", true), list,
		put("set", "修改团队", "  qingting team set 售后 --parent 客服中心", false), remove)
	f.add(root)
	return root
}
