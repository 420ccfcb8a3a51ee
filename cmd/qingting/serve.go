package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/web"
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
	var addr, data, mode, policy string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "启动 HTTP 服务和网页",
		Long: `启动服务：网页在 http://127.0.0.1:8080/，接口在 /v1 下。

默认只监听本机。监听其他地址时请自行在前面加上登录和 HTTPS：这个版本没有登录。
按 Ctrl-C 或发送 SIGTERM 停止，处理中的请求最多等 10 秒。`,
		Example: `  qingting serve
  qingting serve --addr 127.0.0.1:9000 --data /var/lib/qingting
  curl -s localhost:8080/v1/analyze -H 'Content-Type: text/plain' --data-binary @会话.txt`,
		Args: exactly(0, "serve 不接受参数"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if addr == "" {
				addr = p.getenv("QINGTING_ADDR")
			}
			if addr == "" {
				addr = defaultAddr
			}
			return p.serve(cmd.Context(), addr, p.dataFolder(data), mode, p.policyFile(policy), hosts)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&addr, "addr", "", "监听地址，默认 $QINGTING_ADDR 或 "+defaultAddr)
	fl.StringVar(&data, "data", "", "数据目录，默认 $QINGTING_DATA 或 ./"+defaultData)
	fl.StringVar(&mode, "mode", string(qingting.ModeFull), "请求没有指定时的分析模式：full 或 fast")
	fl.StringVar(&policy, "policy", "", policyHelp)
	fl.StringSliceVar(&hosts, "host", nil, "监听本机时，允许浏览器用的域名（反向代理后面需要）")
	return cmd
}

func (p *program) serve(ctx context.Context, addr, data, modeName, policy string, hosts []string) error {
	mode, err := parseMode(modeName)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return usageError("监听地址 %q 不对，请写成 127.0.0.1:8080 的样子", addr)
	}
	started := time.Now()
	log := slog.New(slog.NewTextHandler(p.err, nil))
	// The port first: that it is taken should not need a second to find out.
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s 已被占用，请停掉占用它的程序，或用 --addr 换一个端口", addr)
	case err != nil:
		return fmt.Errorf("不能监听 %s：%w", addr, err)
	}
	defer ln.Close()
	built := "内置"
	if policy != "" {
		built = policy
	}
	// Both modes can be asked for, so everything is loaded whatever the default.
	e, err := p.build(ctx, buildOptions{mode: qingting.ModeFull, data: data, policy: policy, later: true})
	if err != nil {
		return err
	}
	defer e.close()

	var encoding atomic.Bool
	encoding.Store(true)
	encoded := make(chan struct{})
	encodeCtx, stopEncoding := context.WithCancel(ctx)
	go func() {
		defer close(encoded)
		if err := e.library.EncodeMissing(encodeCtx, nil); err != nil && encodeCtx.Err() == nil {
			log.Error("案例向量没有算完，相应案例只能按词检索", "error", err)
			return
		}
		encoding.Store(false)
	}()
	defer func() { stopEncoding(); <-encoded }()

	loopback := isLoopback(host)
	o := web.Options{Mode: mode, Log: log, Components: func() []web.Component { return e.components(encoding.Load()) }}
	if loopback {
		o.Hosts = append([]string{}, hosts...)
	} else {
		log.Warn("服务对本机以外开放，而这个版本没有登录：请放在有登录和 HTTPS 的反向代理后面", "addr", addr)
	}
	server, err := web.New(e.pipeline, e.library, o)
	if err != nil {
		return err
	}
	log.Info("已就绪", "网页", "http://"+ln.Addr().String()+"/", "数据目录", data, "案例", e.library.Len(), "模型", e.ids.Analysis, "政策", built,
		"用时", time.Since(started).Round(time.Millisecond).String())
	if err := server.Serve(ctx, ln); err != nil {
		return err
	}
	log.Info("已停止")
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// components is what /readyz shows.
func (e *engine) components(encoding bool) []web.Component {
	library := web.Component{Component: "cases", Status: "ok", Detail: fmt.Sprintf("%d 个案例", e.library.Len())}
	if encoding {
		library.Status, library.Detail = "loading", "正在计算案例向量，未算完的案例暂时只按词检索"
	}
	return []web.Component{
		{Component: "model", Status: "ok", ID: e.ids.Analysis, Detail: "权重和词典合起来的编号，就是分析结果里的 model"},
		{Component: "weights", Status: "ok", ID: e.ids.Model},
		{Component: "lexicon", Status: "ok", ID: e.ids.Lexicon},
		{Component: "encoder", Status: "ok", ID: e.ids.Encoder, Detail: e.ids.Kernel},
		library,
		{Component: "llm", Status: "disabled", Detail: "没有接入大模型，回复草稿由模板生成"},
	}
}
