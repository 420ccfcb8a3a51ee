package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/web"
)

// accountFlags are shared by the commands of people, teams and keys.
type accountFlags struct {
	data, tenant string
	json         bool
}

func (f *accountFlags) add(c *cobra.Command) {
	c.PersistentFlags().StringVar(&f.data, "data", "", "数据目录，默认 $QINGTING_DATA 或 ./"+defaultData)
	c.PersistentFlags().StringVar(&f.tenant, "tenant", qingting.DefaultTenant, "租户")
}

// group is a command that only has commands below it.
func group(use, short, long, example string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("%s 没有 %q 这个命令，运行 qingting %s --help 看有哪些命令", use, args[0], use)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(below...)
	return c
}

// withGuard runs f over the database of the data folder, which a running
// service may use at the same time: what changes here counts there at once.
func (p *program) withGuard(ctx context.Context, flags accountFlags, f func(*access.Guard) error) error {
	kept, err := store.Open(ctx, filepath.Join(p.dataFolder(flags.data), databaseName))
	if err != nil {
		return err
	}
	g, err := access.New(kept, access.Options{})
	if err == nil {
		err = f(g)
	}
	switch {
	case errors.Is(err, qingting.ErrInvalid):
		err = dataError(err)
	case errors.Is(err, access.ErrTaken):
		err = dataError(errors.New("这个编号或登录名已经有人用了，请换一个"))
	case errors.Is(err, qingting.ErrNotFound):
		err = dataError(errors.New("没有这个编号或登录名，请用 list 查看"))
	}
	return errors.Join(err, kept.Close())
}

func (p *program) userCommand() *cobra.Command {
	var f accountFlags
	var u access.User
	var role string
	var generate bool
	add := &cobra.Command{
		Use: "add", Short: "加入用户", Args: exactly(1, "请给出登录名"), Annotations: map[string]string{"args": "登录名"},
		Long:    fmt.Sprintf("加入用户。密码至少 %d 个字符：在终端里会提示输入，否则从标准输入读一行；--generate 生成一个并显示一次。", access.MinPassword),
		Example: "  qingting user add zhang.san --name 张三 --role supervisor --team 售后\n  qingting user add admin --name 管理员 --role admin --generate",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := p.password(generate)
			if err != nil {
				return err
			}
			return p.withGuard(cmd.Context(), f, func(g *access.Guard) error {
				u := u
				u.Tenant, u.Login, u.Role = f.tenant, args[0], access.Role(role)
				if u.Name == "" {
					u.Name = args[0]
				}
				made, err := g.NewUser(cmd.Context(), u, password)
				if err != nil {
					return err
				}
				fmt.Fprintf(p.out, "已加入 %s（%s，%s），编号 %s\n", made.Login, made.Name, roleName(made.Role), made.ID)
				if generate {
					fmt.Fprintf(p.out, "密码（只显示这一次）：%s\n", password)
				}
				return nil
			})
		},
	}
	add.Flags().StringVar(&u.Name, "name", "", "姓名，默认同登录名")
	add.Flags().StringVar(&role, "role", string(access.RoleAgent), "角色：agent 客服、supervisor 主管、engineer 工程师、admin 管理员")
	add.Flags().StringVar(&u.Team, "team", "", "团队编号")
	add.Flags().BoolVar(&generate, "generate", false, "生成密码")

	list := &cobra.Command{
		Use: "list", Short: "列出用户", Args: exactly(0, "list 不接受参数"), Example: "  qingting user list\n  qingting user list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withGuard(cmd.Context(), f, func(g *access.Guard) error {
				users, err := g.Store().Users(cmd.Context(), f.tenant)
				if err != nil {
					return err
				}
				return rows(p, f.json, users, func(u access.User) []string {
					state := "可用"
					if u.Disabled {
						state = "停用"
					}
					return []string{u.Login, u.Name, roleName(u.Role), orDash(u.Team), state, u.ID}
				})
			})
		},
	}
	list.Flags().BoolVar(&f.json, "json", false, "输出 JSON，一行一个")

	change := func(use, short, example string, apply func(cmd *cobra.Command, u *access.User) (password string, err error)) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: exactly(1, "请给出登录名"), Annotations: map[string]string{"args": "登录名"}, Example: example,
			RunE: func(cmd *cobra.Command, args []string) error {
				return p.withGuard(cmd.Context(), f, func(g *access.Guard) error {
					u, err := g.Store().UserByLogin(cmd.Context(), strings.ToLower(args[0]))
					if err != nil {
						return err
					}
					if u.Tenant != f.tenant {
						return qingting.ErrNotFound
					}
					password, err := apply(cmd, &u)
					if err != nil {
						return err
					}
					if _, err := g.ChangeUser(cmd.Context(), u, password); err != nil {
						return err
					}
					_, err = fmt.Fprintf(p.out, "已%s：%s\n", short, u.Login)
					return err
				})
			},
		}
	}
	var name, newRole, team string
	edit := change("set", "修改用户", "  qingting user set zhang.san --role supervisor --team 售后", func(cmd *cobra.Command, u *access.User) (string, error) {
		for flag, to := range map[string]func(){
			"name": func() { u.Name = name }, "role": func() { u.Role = access.Role(newRole) }, "team": func() { u.Team = team },
		} {
			if cmd.Flags().Changed(flag) {
				to()
			}
		}
		return "", nil
	})
	edit.Flags().StringVar(&name, "name", "", "姓名")
	edit.Flags().StringVar(&newRole, "role", "", "角色")
	edit.Flags().StringVar(&team, "team", "", "团队编号，空为不属于团队")
	reset := change("password", "更换密码", "  qingting user password zhang.san", func(*cobra.Command, *access.User) (string, error) { return p.password(false) })
	disable := change("disable", "停用用户", "  qingting user disable zhang.san", func(_ *cobra.Command, u *access.User) (string, error) { u.Disabled = true; return "", nil })
	enable := change("enable", "启用用户", "  qingting user enable zhang.san", func(_ *cobra.Command, u *access.User) (string, error) { u.Disabled = false; return "", nil })

	root := group("user", "用户：加入、修改、停用", "管理能登录网页的人。改密码、改角色或停用后，这个人已有的登录立即失效。",
		"  qingting user add zhang.san --name 张三 --role agent --team 售后\n  qingting user list", add, list, edit, reset, disable, enable)
	f.add(root)
	return root
}

// password reads a password, or makes one.
func (p *program) password(generate bool) (string, error) {
	if generate {
		return strings.ToLower(rand.Text()), nil
	}
	if in, isFile := p.in.(*os.File); isFile && term.IsTerminal(int(in.Fd())) {
		fmt.Fprint(p.err, "密码：")
		first, err := term.ReadPassword(int(in.Fd()))
		if err != nil {
			return "", dataError(fmt.Errorf("没有读到密码：%w", err))
		}
		fmt.Fprint(p.err, "\n再输入一次：")
		second, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(p.err)
		if err != nil || string(first) != string(second) {
			return "", dataError(errors.New("两次输入的密码不同，请重来"))
		}
		return string(first), nil
	}
	line, err := bufio.NewReader(io.LimitReader(p.in, 4096)).ReadString('\n')
	if err != nil && err != io.EOF || strings.TrimRight(line, "\r\n") == "" {
		return "", dataError(errors.New("标准输入里没有密码，请写一行密码，或用 --generate 生成"))
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func roleName(r access.Role) string {
	switch r {
	case access.RoleAgent:
		return "客服"
	case access.RoleSupervisor:
		return "主管"
	case access.RoleEngineer:
		return "工程师"
	case access.RoleAdmin:
		return "管理员"
	}
	return string(r)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func day(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.Local().Format("2006-01-02 15:04")
}

// rows shows a list, a line each, in columns, or as JSON.
func rows[T any](p *program, asJSON bool, list []T, cells func(T) []string) error {
	out := bufio.NewWriter(p.out)
	if asJSON {
		for i := range list {
			if err := web.Encode(out, &list[i], false); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	pg := p.page()
	var table [][]string
	var wide []int
	for _, v := range list {
		line := cells(v)
		for i, cell := range line {
			if i == len(wide) {
				wide = append(wide, 0)
			}
			line[i] = clean(cell)
			wide[i] = max(wide[i], pg.wide.StringWidth(line[i]))
		}
		table = append(table, line)
	}
	for _, line := range table {
		for i, cell := range line {
			if i < len(line)-1 {
				cell = pad(pg, cell, wide[i]+2)
			}
			pg.WriteString(cell)
		}
		pg.WriteString("\n")
	}
	fmt.Fprintf(&pg.Buffer, "共 %d 个\n", len(list))
	_, err := pg.WriteTo(p.out)
	return err
}
