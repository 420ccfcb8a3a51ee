package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
)

// Defaults of a deployment; environment and flags come before them.
const (
	defaultAddr = "127.0.0.1:8080"
	defaultData = "qingting-data"
)

// dataFolder is the flag, else $QINGTING_DATA, else ./qingting-data.
func (p *program) dataFolder(flag string) string {
	if flag != "" {
		return flag
	}
	if env := p.getenv("QINGTING_DATA"); env != "" {
		return env
	}
	return defaultData
}

func (p *program) serveCommand() *cobra.Command {
	var file string
	var flags config
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "启动服务：接口、事件流和网页",
		Long: `启动服务：网页在 http://127.0.0.1:8080/，接口在 /v1 下，说明在 /openapi.json，指标在 http://127.0.0.1:8081/metrics。

只监听本机、又还没有建任何用户和密钥时不用登录；监听其他地址时必须先建（qingting user add、qingting key add），并在前面加上 HTTPS。
配置文件见 qingting config show；命令行参数优先于环境变量，环境变量优先于配置文件。
按 Ctrl-C 或发送 SIGTERM 停止：不再接新请求，处理中的最多等 10 秒，已经应答的写入不会丢。`,
		Example: `  qingting serve
  qingting serve --config /etc/qingting/qingting.yaml
  qingting serve --addr 127.0.0.1:9000 --data /var/lib/qingting --mode fast
  curl -s localhost:8080/v1/analyze -H 'Content-Type: text/plain' --data-binary @会话.txt`,
		Args: exactly(0, "serve 不接受参数"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig(file, p.getenv)
			if err != nil {
				return err
			}
			for name, field := range map[string][2]*string{
				"addr": {&c.Addr, &flags.Addr}, "admin": {&c.AdminAddr, &flags.AdminAddr}, "data": {&c.Data, &flags.Data},
				"mode": {&c.Mode, &flags.Mode}, "policy": {&c.Policy, &flags.Policy},
			} {
				if cmd.Flags().Changed(name) {
					*field[0] = *field[1]
				}
			}
			if cmd.Flags().Changed("host") {
				c.Hosts = flags.Hosts
			}
			if err := c.validate(); err != nil {
				return err
			}
			return p.serve(cmd.Context(), c)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&file, "config", "", "配置文件，默认 $QINGTING_CONFIG 或全用默认值")
	fl.StringVar(&flags.Addr, "addr", "", "监听地址，默认 "+defaultAddr)
	fl.StringVar(&flags.AdminAddr, "admin", "", "指标和性能分析的地址，只能是本机，off 为关闭，默认 127.0.0.1:8081")
	fl.StringVar(&flags.Data, "data", "", "数据目录，默认 ./"+defaultData)
	fl.StringVar(&flags.Mode, "mode", "", "分析模式：full 或 fast，默认 full")
	fl.StringVar(&flags.Policy, "policy", "", policyHelp)
	fl.StringSliceVar(&flags.Hosts, "host", nil, "监听本机时，允许浏览器用的域名（反向代理后面需要）")
	return cmd
}

func (p *program) serve(ctx context.Context, c *config) error {
	started := time.Now()
	log := c.logger(p.err)
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return err
	}
	// The ports first: that one is taken should not need a second to find out.
	ln, err := listen(ctx, c.Addr, "--addr")
	if err != nil {
		return err
	}
	defer ln.Close()
	var admin net.Listener
	if c.AdminAddr != "off" {
		if admin, err = listen(ctx, c.AdminAddr, "--admin"); err != nil {
			return err
		}
		defer admin.Close()
	}
	if _, err := readPolicy(c.Policy); err != nil {
		return err // before the folder is made
	}
	lock, err := lockData(c.Data)
	if err != nil {
		return err
	}
	defer lock.Close()
	// Both modes can be asked for, so everything is loaded whatever the default.
	e, err := p.build(ctx, buildOptions{mode: qingting.ModeFull, data: c.Data, policy: c.Policy, later: true})
	if err != nil {
		return stopped(ctx, err)
	}
	overdue := false // parts still use the engine; the process ends them
	defer func() {
		if !overdue {
			e.close()
		}
	}()
	local := isLoopback(host)
	s, err := newService(e, c, log, local)
	if err != nil {
		return stopped(ctx, err)
	}
	open, err := s.access.Open(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	established, err := e.store.Established(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	switch {
	case open:
		log.Info("还没有用户和密钥，本机不用登录")
	case !established:
		log.Warn("还没有用户和密钥，谁也进不来：请先运行 qingting user add 或 qingting key add")
	case !local:
		log.Warn("服务对本机以外开放：请放在 HTTPS 的反向代理后面", "addr", c.Addr)
	}
	built := "内置"
	if c.Policy != "" {
		built = c.Policy
	}
	log.Info("已就绪", "网页", "http://"+ln.Addr().String()+"/", "数据目录", c.Data, "模式", c.Mode, "案例", e.library.Len(), "模型", e.ids.Analysis, "政策", built,
		"用时", time.Since(started).Round(time.Millisecond).String())
	err = s.run(ctx, ln, admin)
	overdue = s.overdue
	if err := stopped(ctx, err); err != nil {
		return err
	}
	log.Info("已停止")
	return nil
}

// stopped is err, or nil when it only says that the service was told to stop.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// lockName is the file in the data folder that a running service holds.
const lockName = "qingting.lock"

// listen opens a port; flag is what chooses another.
func listen(ctx context.Context, addr, flag string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s 已被占用，请停掉占用它的程序，或用 %s 换一个端口", addr, flag)
	case err != nil:
		return nil, fmt.Errorf("不能监听 %s：%w", addr, err)
	}
	return ln, nil
}

// logger writes to w as the configuration says.
func (c *config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Log.Level)) // checked by validate
	o := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
