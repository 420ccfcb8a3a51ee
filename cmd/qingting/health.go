package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout is what a service may take to answer that it lives.
const healthTimeout = 2 * time.Second

// healthCommand asks a running service, for containers that hold nothing but
// this program.
func (p *program) healthCommand() *cobra.Command {
	var file, addr string
	cmd := &cobra.Command{
		Use: "health", Short: "问一个运行中的服务是否就绪，供容器和脚本使用",
		Long:    "请求服务的 /readyz：就绪时退出码是 0，否则是 1。地址取自 --addr、$QINGTING_ADDR 或配置文件。",
		Example: "  qingting health\n  qingting health --addr 127.0.0.1:9000",
		Args:    exactly(0, "health 不接受参数"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig(file, p.getenv)
			if err != nil {
				return err
			}
			if addr == "" {
				addr = c.Addr
			}
			return p.health(cmd.Context(), addr)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "", "服务的地址")
	cmd.Flags().StringVar(&file, "config", "", "配置文件，默认 $QINGTING_CONFIG")
	return cmd
}

func (p *program) health(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usageError("地址 %q 不对，请写成 127.0.0.1:8080 的样子", addr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // where a service that listens everywhere can be asked
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return usageError("地址 %q 不对，请写成 127.0.0.1:8080 的样子", addr)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return &exitError{exitSome, fmt.Errorf("%s 没有回答，服务可能没有启动", addr)}
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return &exitError{exitSome, fmt.Errorf("%s 还没有就绪（%d）", addr, answer.StatusCode)}
	}
	_, err = fmt.Fprintln(p.out, "就绪")
	return err
}
