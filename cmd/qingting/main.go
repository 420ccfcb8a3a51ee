// Command qingting is a complaint triage service for Chinese customer service
// in one binary: it says what kind of complaint a conversation is, how the
// customer feels, how likely it escalates, which past cases were resolved
// well, and drafts a reply for a person to send.
//
//	qingting serve                     # http://127.0.0.1:8080
//	qingting triage 会话.txt           # analyse conversations, 客户：…/客服：… lines
//	cat a.jsonl | qingting triage - --jsonl > out.jsonl
//	qingting cases search 宽带退费     # the case library
//
// This package holds flags, environment and wiring, nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// gcPercent is how much the heap may grow between two collections.
const gcPercent = 300

// version is set by the linker.
var version = "unknown"

// Exit codes, as documented.
const (
	exitOK        = 0
	exitSome      = 1  // some records failed
	exitUsage     = 64 // wrong flags or arguments
	exitData      = 65 // input that cannot be read
	exitInternal  = 70
	exitInterrupt = 130
	exitPipe      = 141 // whoever read our output has gone
)

// exitError ends the program with a code. Without err nothing is printed:
// what is wrong has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func dataError(err error) error { return &exitError{exitData, err} }

// program is what a command may use of the world, so that tests can run
// commands without a process.
type program struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	build    func(context.Context, buildOptions) (*engine, error)
}

func main() {
	// Most memory is weights and dictionaries outside the collected heap, which
	// stays small: collecting it a third as often makes fast mode a tenth faster
	// and costs some 50 MB. GOGC in the environment has the last word.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// A closed pipe is then an error of Write, handled like any other.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends us at once
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, build: newEngine}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.command()
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, syscall.EPIPE):
		return exitPipe
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintf(p.err, "错误：%s\n", explain(exit.err))
		}
		return exit.code
	case ctx.Err() != nil:
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintf(p.err, "错误：%s\n", explain(err))
		}
		fmt.Fprintln(p.err, "已中断")
		return exitInterrupt
	}
	fmt.Fprintf(p.err, "错误：%s\n", explain(err))
	return exitInternal
}

// explain is the sentence of an error with what the operating system says in
// it put in Chinese. Our sentences name the file already, so that the system's
// operation and path are dropped.
func explain(err error) string {
	var (
		number  syscall.Errno
		file    *fs.PathError
		link    *os.LinkError
		network *net.OpError
		call    *os.SyscallError
		said    []string // the widest first
		path    string
		reason  string
	)
	if errors.As(err, &file) {
		said, path = append(said, file.Error()), file.Path
	}
	if errors.As(err, &link) {
		said = append(said, link.Error())
	}
	if errors.As(err, &network) {
		said = append(said, network.Error())
	}
	if errors.As(err, &call) {
		said = append(said, call.Error())
	}
	switch {
	case errors.As(err, &number):
		said, reason = append(said, number.Error()), reasonOf(number)
	case errors.Is(err, fs.ErrNotExist): // of a file system that is not the system's
		reason = reasonOf(syscall.ENOENT)
	default:
		return err.Error()
	}
	for _, s := range said {
		before, after, found := strings.Cut(err.Error(), s)
		if !found {
			continue
		}
		if path != "" && !strings.Contains(before+after, path) {
			reason = path + " " + reason // our sentence has not named it
		}
		return before + reason + after
	}
	return err.Error()
}

// reasonOf says in Chinese why the operating system refused.
func reasonOf(n syscall.Errno) string {
	switch n {
	case syscall.ENOENT:
		return "文件不存在"
	case syscall.EACCES, syscall.EPERM:
		return "没有权限"
	case syscall.EISDIR:
		return "这是一个目录，不是文件"
	case syscall.ENOTDIR:
		return "路径中有一段不是目录"
	case syscall.EEXIST:
		return "已经存在"
	case syscall.ENOTEMPTY:
		return "目录不是空的"
	case syscall.ENOSPC, syscall.EDQUOT:
		return "磁盘满了"
	case syscall.EROFS:
		return "文件系统是只读的"
	case syscall.ENAMETOOLONG:
		return "文件名太长"
	case syscall.EMFILE, syscall.ENFILE:
		return "打开的文件太多"
	case syscall.EIO:
		return "磁盘读写出错"
	case syscall.EINVAL:
		return "系统不接受这个参数"
	case syscall.EADDRINUSE:
		return "地址已被占用"
	case syscall.EADDRNOTAVAIL:
		return "本机没有这个地址"
	case syscall.ECONNREFUSED:
		return "对方拒绝连接"
	}
	return fmt.Sprintf("系统错误 %d", int(n))
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "qingting",
		Short:         "倾听：中文客服投诉分诊",
		Long:          "倾听 (qingting) 把客服会话变成可以处理的投诉：类型、情绪走势、升级风险、优先级、\n诉求、相似案例和回复草稿。全部在本机完成，不需要网络、密钥或显卡；草稿由人确认后再发送。",
		SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("没有 %q 这个命令，运行 qingting --help 看有哪些命令", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Example: `  qingting serve
  qingting triage 会话.txt
  qingting triage 导出.csv --jsonl > 结果.jsonl`,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(p.serveCommand(), p.triageCommand(), p.casesCommand(), p.policyCommand(), p.configCommand(), p.healthCommand(), p.backupCommand(), p.userCommand(), p.teamCommand(), p.keyCommand(), p.trainCommand(), p.evalCommand(), p.versionCommand())
	chinese(root)
	return root
}

// chinese gives a command and everything below it Chinese help and errors.
func chinese(c *cobra.Command) {
	c.SetHelpFunc(func(c *cobra.Command, _ []string) {
		about := c.Long
		if about == "" {
			about = c.Short
		}
		fmt.Fprintf(c.OutOrStdout(), "%s\n\n%s", about, usage(c))
	})
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	c.SetHelpCommand(&cobra.Command{Use: "help", Hidden: true, RunE: func(cmd *cobra.Command, args []string) error {
		target, rest, err := cmd.Root().Find(args)
		if err != nil || target == nil || len(rest) > 0 {
			return usageError("没有 %q 这个命令，运行 qingting --help 看有哪些命令", args)
		}
		return target.Help()
	}})
	c.Flags().BoolP("help", "h", false, "显示帮助")
	c.Flags().SortFlags = false
	for _, sub := range c.Commands() {
		chinese(sub)
	}
}

func flagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	hint := fmt.Sprintf("运行 %s --help 看用法", cmd.CommandPath())
	switch {
	case errors.As(err, &unknown):
		return usageError("没有 --%s 这个选项，%s", unknown.GetSpecifiedName(), hint)
	case errors.As(err, &missing):
		return usageError("--%s 后面要给出值，%s", missing.GetSpecifiedName(), hint)
	case errors.As(err, &invalid):
		return usageError("--%s 的值 %q 不对，%s", invalid.GetFlag().Name, invalid.GetValue(), hint)
	}
	return usageError("选项写法不对（%v），%s", err, hint)
}

// exactly refuses another number of arguments in Chinese.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError("%s，运行 %s --help 看用法", what, cmd.CommandPath())
		}
		return nil
	}
}

// terminal returns the width of w when it is a terminal.
func terminal(w any) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// usage is the help of a command, without its description.
func usage(c *cobra.Command) string {
	var b strings.Builder
	var commands []*cobra.Command
	wide := 0
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			commands = append(commands, sub)
			wide = max(wide, len(sub.Name()))
		}
	}
	fmt.Fprintf(&b, "用法：\n  %s", c.CommandPath())
	if len(commands) > 0 {
		b.WriteString(" 命令")
	}
	b.WriteString(" [选项]")
	if args := c.Annotations["args"]; args != "" {
		b.WriteString(" " + args)
	}
	b.WriteString("\n")
	if c.Example != "" {
		fmt.Fprintf(&b, "\n例子：\n%s\n", c.Example)
	}
	if len(commands) > 0 {
		b.WriteString("\n命令：\n")
		for _, sub := range commands {
			fmt.Fprintf(&b, "  %-*s  %s\n", wide, sub.Name(), sub.Short)
		}
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.AddFlagSet(c.LocalFlags())
	flags.AddFlagSet(c.InheritedFlags())
	b.WriteString("\n选项：\n" + regexp.MustCompile(`\(default ([^)]*)\)`).ReplaceAllString(flags.FlagUsages(), "（默认 $1）"))
	if len(commands) > 0 {
		fmt.Fprintf(&b, "\n每个命令的用法：%s 命令 --help\n", c.CommandPath())
	}
	return b.String()
}
