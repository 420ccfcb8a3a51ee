package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/strictyaml"
)

// defaultConfig is the configuration with comments: the reference of every
// key, and its default.
//
//go:embed config/default.yaml
var defaultConfig string

// config is a qingting.yaml; default.yaml says what each key means.
type config struct {
	Addr      string   `yaml:"addr"`
	AdminAddr string   `yaml:"admin_addr"`
	Data      string   `yaml:"data"`
	Mode      string   `yaml:"mode"`
	Policy    string   `yaml:"policy"`
	Hosts     []string `yaml:"hosts"`
	Proxies   []string `yaml:"proxies"`
	Auth      string   `yaml:"auth"`
	Log       struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	} `yaml:"log"`
	Privacy struct {
		Conceal bool `yaml:"conceal"`
	} `yaml:"privacy"`
	Live struct {
		Workers          int `yaml:"workers"`
		Queue            int `yaml:"queue"`
		MessagesInMemory int `yaml:"messages_in_memory"`
	} `yaml:"live"`
	Alerts struct {
		Again         time.Duration `yaml:"again"`
		BudgetPerHour int           `yaml:"budget_per_hour"`
		Threshold     float64       `yaml:"threshold"`
	} `yaml:"alerts"`
	Clocks struct {
		P0Alert       time.Duration `yaml:"p0_alert"`
		P1Human       time.Duration `yaml:"p1_human"`
		P1Progress    time.Duration `yaml:"p1_progress"`
		P2FirstAnswer time.Duration `yaml:"p2_first_answer"`
		P3Answer      time.Duration `yaml:"p3_answer"`
		ProgressNote  time.Duration `yaml:"progress_note"`
		Warn          float64       `yaml:"warn"`
	} `yaml:"clocks"`
	Promises struct {
		WarnBefore time.Duration `yaml:"warn_before"`
	} `yaml:"promises"`
	Streams struct {
		Ring      int           `yaml:"ring"`
		Queue     int           `yaml:"queue"`
		Heartbeat time.Duration `yaml:"heartbeat"`
	} `yaml:"streams"`
	Limits struct {
		KeyRequestsPerSecond  float64 `yaml:"key_requests_per_second"`
		UserRequestsPerSecond float64 `yaml:"user_requests_per_second"`
	} `yaml:"limits"`
	Webhooks struct {
		AllowHTTP    bool     `yaml:"allow_http"`
		AllowPrivate []string `yaml:"allow_private"`
		Workers      int      `yaml:"workers"`
		// ChatwootSecret checks the signature of POST /v1/adapters/chatwoot.
		ChatwootSecret string `yaml:"chatwoot_secret"`
	} `yaml:"webhooks"`
}

// readConfig reads the defaults, then the file, then the environment. file ""
// is $QINGTING_CONFIG, or none.
func readConfig(file string, getenv func(string) string) (*config, error) {
	c := &config{}
	if err := strictyaml.Unmarshal([]byte(defaultConfig), c); err != nil {
		return nil, fmt.Errorf("built-in configuration: %w", err) // a test reads it
	}
	if file == "" {
		file = getenv("QINGTING_CONFIG")
	}
	if file != "" {
		b, err := os.ReadFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, usageError("找不到配置文件 %s，请检查路径", file)
		case err != nil:
			return nil, usageError("读不了配置文件 %s：%w", file, err)
		}
		if err := strictyaml.Unmarshal(b, c); err != nil && !errors.Is(err, io.EOF) {
			return nil, usageError("配置文件 %s：%s", file, strictyaml.Describe(err))
		}
	}
	if err := fromEnvironment(reflect.ValueOf(c).Elem(), "QINGTING", getenv); err != nil {
		return nil, err
	}
	return c, c.validate()
}

// fromEnvironment sets every key that the environment names.
func fromEnvironment(v reflect.Value, prefix string, getenv func(string) string) error {
	for i := range v.NumField() {
		name := prefix + "_" + strings.ToUpper(v.Type().Field(i).Tag.Get("yaml"))
		if v.Field(i).Kind() == reflect.Struct {
			if err := fromEnvironment(v.Field(i), name, getenv); err != nil {
				return err
			}
			continue
		}
		value := getenv(name)
		if value == "" {
			continue
		}
		to := v.Field(i).Addr().Interface()
		var err error
		switch field := to.(type) {
		case *string:
			*field = value
		case *[]string:
			*field = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		case *time.Duration:
			*field, err = time.ParseDuration(value)
		default:
			err = yaml.Unmarshal([]byte(value), to)
		}
		if err != nil {
			return usageError("环境变量 %s 的值 %q 不对，应当写成 %s 的样子", name, value, example(to))
		}
	}
	return nil
}

func example(to any) string {
	switch to.(type) {
	case *time.Duration:
		return "60s"
	case *bool:
		return "true"
	case *float64:
		return "0.5"
	}
	return "100"
}

// validate names the first value that cannot be.
func (c *config) validate() error {
	if _, err := parseMode(c.Mode); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return usageError("监听地址 addr %q 不对，请写成 127.0.0.1:8080 的样子", c.Addr)
	}
	if c.AdminAddr != "off" {
		host, _, err := net.SplitHostPort(c.AdminAddr)
		if err != nil {
			return usageError("管理地址 admin_addr %q 不对，请写成 127.0.0.1:8081 的样子，或写 off 关闭", c.AdminAddr)
		}
		if !isLoopback(host) {
			return usageError("管理地址 admin_addr 只能是本机（127.0.0.1），指标和性能分析没有登录：%q", c.AdminAddr)
		}
	}
	for _, one := range []struct {
		key, value string
		of         []string
	}{
		{"auth", c.Auth, []string{"auto", "required"}},
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", c.Log.Format, []string{"text", "json"}},
	} {
		if !slices.Contains(one.of, one.value) {
			return usageError("%s 是 %q，只能是 %s", one.key, one.value, strings.Join(one.of, "、"))
		}
	}
	for _, n := range []struct {
		key       string
		value     float64
		low, high float64
	}{
		{"live.workers", float64(c.Live.Workers), 0, 1024},
		{"live.queue", float64(c.Live.Queue), 1, 1e6},
		{"live.messages_in_memory", float64(c.Live.MessagesInMemory), 1000, 1e7},
		{"alerts.budget_per_hour", float64(c.Alerts.BudgetPerHour), 0, 1e6},
		{"alerts.threshold", c.Alerts.Threshold, 0, 1},
		{"streams.ring", float64(c.Streams.Ring), 16, 1e6},
		{"streams.queue", float64(c.Streams.Queue), 8, 1e5},
		{"limits.key_requests_per_second", c.Limits.KeyRequestsPerSecond, -1, 1e6},
		{"limits.user_requests_per_second", c.Limits.UserRequestsPerSecond, -1, 1e6},
		{"clocks.warn", c.Clocks.Warn, 0.1, 1},
		{"webhooks.workers", float64(c.Webhooks.Workers), 1, 256},
	} {
		if !(n.value >= n.low && n.value <= n.high) {
			return usageError("%s 是 %g，应当在 %g 和 %g 之间", n.key, n.value, n.low, n.high)
		}
		if n.value == 0 && strings.HasPrefix(n.key, "limits.") {
			return usageError("%s 是 0，这样谁也不能用；不限请写 -1，停用一个密钥请用 qingting key disable", n.key)
		}
	}
	if strings.TrimSpace(c.Data) == "" {
		return usageError("数据目录 data 是空的，请写一个目录，例如 /var/lib/qingting")
	}
	for _, s := range c.Proxies {
		// As the router reads them.
		if _, _, err := net.ParseCIDR(s); err != nil && net.ParseIP(s) == nil {
			return usageError("proxies 里的 %q 不是地址或网段，请写成 10.1.2.3 或 10.1.2.0/24 的样子", s)
		}
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"alerts.again", c.Alerts.Again},
		{"clocks.p0_alert", c.Clocks.P0Alert},
		{"clocks.p1_human", c.Clocks.P1Human},
		{"clocks.p1_progress", c.Clocks.P1Progress},
		{"clocks.p2_first_answer", c.Clocks.P2FirstAnswer},
		{"clocks.p3_answer", c.Clocks.P3Answer},
		{"clocks.progress_note", c.Clocks.ProgressNote},

		{"promises.warn_before", c.Promises.WarnBefore},
		{"streams.heartbeat", c.Streams.Heartbeat},
	} {
		if d.value < time.Second || d.value > 30*24*time.Hour {
			return usageError("%s 是 %s，应当在 1s 和 720h 之间", d.key, d.value)
		}
	}
	if _, err := c.allowedPrivate(); err != nil {
		return err
	}
	return nil
}

func (c *config) allowedPrivate() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range c.Webhooks.AllowPrivate {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			if a, bad := netip.ParseAddr(s); bad == nil {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
		}
		if err != nil {
			return nil, usageError("webhooks.allow_private 里的 %q 不是网段，请写成 10.1.2.0/24 的样子", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (c *config) mode() qingting.Mode { return qingting.Mode(c.Mode) }

func (p *program) configCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "config", Short: "服务配置：查看默认的，检查自己的",
		Long: `服务配置是一个 YAML 文件，用 serve --config 或 $QINGTING_CONFIG 指定；不写就全用默认值。
  qingting config show > qingting.yaml
  qingting config check qingting.yaml`,
		Example: "  qingting config show > qingting.yaml\n  qingting config check qingting.yaml",
		Args:    subcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		&cobra.Command{
			Use: "show", Short: "输出默认配置，带说明", Args: exactly(0, "show 不接受参数"), Example: "  qingting config show > qingting.yaml",
			RunE: func(*cobra.Command, []string) error { _, err := io.WriteString(p.out, defaultConfig); return err },
		},
		&cobra.Command{
			Use: "check", Short: "检查一个配置文件，连同现在的环境变量", Args: exactly(1, "请给出配置文件"), Annotations: map[string]string{"args": "文件"},
			Example: "  qingting config check qingting.yaml",
			RunE: func(_ *cobra.Command, args []string) error {
				c, err := readConfig(args[0], p.getenv)
				if err != nil {
					return err
				}
				if _, err := readPolicy(c.Policy); err != nil {
					return err
				}
				_, err = fmt.Fprintln(p.out, "检查通过")
				return err
			},
		},
	)
	return root
}
