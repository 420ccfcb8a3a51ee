package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting/eval/behave"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/gate"
	"github.com/qingting-ai/qingting/eval/report"
)

// reportFlags are what the commands report and view have in common.
type reportFlags struct {
	baseline, policy, compare, data, behave, known string
	rounds                                         int
}

func (o *reportFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.baseline, "baseline", "", "基线目录，开头的结论与它比")
	f.StringVar(&o.policy, "policy", "", "门限文件 gates.yaml，要和 --baseline 一起给")
	f.StringVar(&o.compare, "compare", "", "另一次评测的目录，逐条对比；不写就用基线")
	f.StringVar(&o.data, "data", "", "评测用的数据集；给了它，报告里就带样本的原文")
	f.StringVar(&o.behave, "behave", "", "行为测试的结果：eval behave --json 写的文件")
	f.StringVar(&o.known, "known", "", "行为测试与这份已知失败的清单比：known 为内置的，或一个文件；不写时，内置的测试与内置的比")
	f.IntVar(&o.rounds, "rounds", 1000, "对比时重抽样的次数")
}

func (o *reportFlags) read(run string) (*report.Report, error) {
	options := report.Options{Baseline: o.baseline, Compare: o.compare, Rounds: o.rounds}
	var err error
	if o.policy != "" {
		if o.baseline == "" {
			return nil, usageError("--policy 要和 --baseline 一起给：门限是与基线比的")
		}
		if options.Policy, err = gate.ReadPolicy(o.policy); err != nil {
			return nil, usageError("%s", err)
		}
	}
	if o.rounds < 1 {
		return nil, usageError("rounds 至少是 1")
	}
	if o.data != "" {
		if options.Data, err = dataset.Open(o.data); err != nil {
			return nil, dataError(err)
		}
	}
	if o.known != "" && o.behave == "" {
		return nil, usageError("--known 要和 --behave 一起给：它是行为测试的清单")
	}
	if o.behave != "" {
		if options.Behave, err = readBehaved(o.behave); err != nil {
			return nil, err
		}
		list := o.known
		if list == "" {
			// The built-in list would call every failure of other tests a new one.
			suite, err := behaveSuite(nil)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(options.Behave, func(r *behave.Report) bool { return r.Suite != suite.Hash }) {
				list = knownBuiltin
			}
		}
		if options.Known, err = behaveKnown(list); err != nil {
			return nil, err
		}
	}
	r, err := report.Read(run, options)
	if err != nil {
		return nil, dataError(err)
	}
	return r, nil
}

func readBehaved(name string) ([]*behave.Report, error) {
	b, err := readTestFile(name)
	if err != nil {
		return nil, err
	}
	reports, err := behave.ReadJSON(behave.Source{Name: name, Content: b})
	if err != nil {
		return nil, dataError(err)
	}
	return reports, nil
}

func (p *program) evalReportCommand() *cobra.Command {
	var o reportFlags
	var out, markdown, csv, json, junit, trec string
	cmd := &cobra.Command{
		Use:   "report 评测目录",
		Short: "把一次评测写成一个网页文件，不用网络就能看",
		Long: `把一次评测写成一个 HTML 文件：结论、数字和区间、混淆矩阵、风险曲线、每个标签、检索、用时、切片、行为测试、与另一次评测的对比、逐条列表、来历。
行为测试要先用 eval behave --json 跑好，再用 --behave 给出；报告写明今天哪些不通过，是新的还是已知的。
文件里什么都有，打开时不访问网络。默认不含样本的原文；给 --data 才有，转给别人前请想一想。
--csv 另写一个同名的 .rows.csv，一行一条结果。--trec 写 TREC 的 run 文件；qrels 要有 --data 才写。`,
		Example: `  qingting eval report runs/today --out report.html
  qingting eval report runs/today --out report.html --baseline eval/testdata/baseline --policy eval/testdata/gates.yaml
  qingting eval report runs/today --out report.html --behave behave.json
  qingting eval report runs/today --out report.html --compare runs/yesterday --data eval/testdata/suite/dataset.yaml`,
		Args: exactly(1, "请给出评测目录"), Annotations: map[string]string{"args": "评测目录"},
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" && markdown == "" && csv == "" && json == "" && junit == "" && trec == "" {
				return usageError("用 --out 给出要写的文件，例如 --out report.html")
			}
			r, err := o.read(args[0])
			if err != nil {
				return err
			}
			if junit != "" && r.Verdict == nil {
				return usageError("写 JUnit 要有结论：%s；请给 --baseline 和 --policy", r.Note)
			}
			rows := ""
			if csv != "" {
				rows = report.RowsName(csv)
			}
			for _, file := range []struct {
				name  string
				write func(io.Writer) error
			}{{out, r.HTML}, {markdown, r.Markdown}, {csv, r.CSV}, {rows, r.RowsCSV}, {json, r.JSON}, {junit, r.JUnit}} {
				if file.name == "" {
					continue
				}
				if err := writeWith(file.name, file.write); err != nil {
					return err
				}
				fmt.Fprintln(p.out, "写好了", file.name)
			}
			if trec != "" {
				names, err := r.TREC(trec)
				if err != nil {
					return dataError(err)
				}
				for _, name := range names {
					fmt.Fprintln(p.out, "写好了", name)
				}
				if o.data == "" {
					fmt.Fprintln(p.err, "没有写 qrels：它在数据集里，要给 --data")
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "写成这个 HTML 文件")
	o.add(cmd)
	f.StringVar(&markdown, "markdown", "", "另存主要数字的 Markdown 表")
	f.StringVar(&csv, "csv", "", "另存全部数字的 CSV，和逐条结果的 .rows.csv")
	f.StringVar(&json, "json", "", "另存数字、结论和对比的 JSON")
	f.StringVar(&junit, "junit", "", "另存结论的 JUnit 报告，要有基线和门限")
	f.StringVar(&trec, "trec", "", "把检索结果写成 TREC 格式，放进这个目录")
	return cmd
}

func (p *program) evalViewCommand() *cobra.Command {
	var o reportFlags
	cmd := &cobra.Command{
		Use:   "view 评测目录",
		Short: "在本机的浏览器里看一次评测的报告",
		Long:  "生成报告，在 127.0.0.1 的一个空闲端口上给浏览器看，打印网址；按 Ctrl-C 结束。只有本机能打开，也不访问网络。",
		Example: `  qingting eval view runs/today
  qingting eval view runs/today --compare runs/yesterday --data eval/testdata/suite/dataset.yaml`,
		Args: exactly(1, "请给出评测目录"), Annotations: map[string]string{"args": "评测目录"},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.read(args[0])
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := r.HTML(&b); err != nil {
				return err
			}
			listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				return fmt.Errorf("开不了本机端口：%w", err)
			}
			fmt.Fprintf(p.out, "http://%s/\n", listener.Addr())
			fmt.Fprintln(p.err, "在浏览器里打开它；按 Ctrl-C 结束")
			return serveReport(cmd.Context(), listener, b.Bytes())
		},
	}
	o.add(cmd)
	return cmd
}

// serveReport serves one page until ctx ends. Only requests that name the
// listener's own address are answered, so that no other site's name that points
// to this machine can read the report.
func serveReport(ctx context.Context, listener net.Listener, page []byte) error {
	address := listener.Addr().String()
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Host != address:
				http.Error(w, "misdirected request", http.StatusMisdirectedRequest)
			case r.URL.Path != "/":
				http.NotFound(w, r)
			case r.Method != http.MethodGet && r.Method != http.MethodHead:
				http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			default:
				h := w.Header()
				h.Set("Content-Type", "text/html; charset=utf-8")
				h.Set("Cache-Control", "no-store")
				h.Set("X-Content-Type-Options", "nosniff")
				h.Set("X-Frame-Options", "DENY")
				h.Set("Referrer-Policy", "no-referrer")
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
			}
		}),
	}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("报告的服务停了：%w", err)
	}
	return nil
}
