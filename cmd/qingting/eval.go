package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/internal/web"
)

func (p *program) evalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "在标注数据上测量质量和速度",
		Long:  "在标注数据上测量质量，在本机测量速度。数字都是现算的：同样的数据和程序得到同样的质量数字。",
		Example: `  qingting eval data lint dataset.yaml                                       # 先检查数据
  qingting eval run --data dataset.yaml --system full,majority --out runs/today
  qingting eval compare runs/main runs/today                                # 逐条配对比较
  qingting eval gate runs/today --policy gates.yaml --baseline baseline     # CI 里判断能不能合并
  qingting eval bless runs/today --baseline baseline --reason "换了词表"     # 立为新的基线
  qingting eval report runs/today --out report.html
  qingting eval behave                                                      # 行为测试
  qingting eval quick --data ../shared/data                                 # 主要数字
  qingting eval speed`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.evalRunCommand(), p.evalCompareCommand(), p.evalGateCommand(), p.evalBlessCommand(), p.evalReportCommand(), p.evalViewCommand(), p.evalBehaveCommand(), p.evalQuickCommand(), p.evalSpeedCommand(), p.evalAlertsCommand())
	cmd.AddCommand(p.evalJudgeCommand())
	cmd.AddCommand(p.evalDataCommands()...)
	return cmd
}

// subcommand refuses, for a command that only has others below it, a name that
// none of them has.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("没有 %q 这个命令，运行 %s --help 看有哪些命令", args[0], cmd.CommandPath())
	}
	return nil
}

func (p *program) evalQuickCommand() *cobra.Command {
	var data, out, cache string
	var ablation bool
	cmd := &cobra.Command{
		Use:   "quick",
		Short: "主要数字：full 和 fast 两种模式，带 95% 区间",
		Long: `在 DIR/labelled/dev.jsonl 上分析每个会话，与标注比较，打印每个数字和按会话重抽样的 95% 区间，
并检查证据：引用的字是不是原文，遮住引用后类型的概率是否下降、规则信号是否消失。
--ablation 另外用 DIR 里的训练数据重新训练几个模型，看每个部分各增加多少（几分钟）。`,
		Example: `  qingting eval quick --data ../shared/data
  qingting eval quick --data ../shared/data --ablation
  qingting eval quick --data ../shared/data --out out   # 另存逐条预测 out/dev-full.jsonl`,
		Args: exactly(0, "eval quick 不接受参数"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ablation {
				return p.evalAblation(cmd.Context(), data, cache)
			}
			return p.evalQuick(cmd.Context(), data, out)
		},
	}
	cmd.Flags().StringVar(&data, "data", "../shared/data", "数据目录，要有 labelled/dev.jsonl")
	cmd.Flags().StringVar(&out, "out", "", "把逐条分析写进这个目录，供别的评分程序使用")
	cmd.Flags().StringVar(&cache, "cache", "", "--ablation 用的句向量缓存目录")
	cmd.Flags().BoolVar(&ablation, "ablation", false, "重新训练并比较：只用词句特征、加句向量、加规则")
	return cmd
}

// floors are the figures the built-in model must reach in full mode on the
// report set; a change that falls below one fails.
var floors = map[string]float64{
	"type.kind": 0.84, "type.types_micro": 0.56, "emotion.emotion": 0.60, "risk.level": 0.75, "risk.high_recall": 0.60, "risk.high_precision": 0.50,
}

func (p *program) evalQuick(ctx context.Context, data, out string) error {
	gold, err := loadDev(data)
	if err != nil {
		return err
	}
	e, err := p.build(ctx, buildOptions{mode: qingting.ModeFull})
	if err != nil {
		return err
	}
	defer e.close()
	full, err := p.analyzeAll(ctx, e.pipeline, gold, qingting.ModeFull, "full")
	if err != nil {
		return err
	}
	fast, err := p.analyzeAll(ctx, e.pipeline, gold, qingting.ModeFast, "fast")
	if err != nil {
		return err
	}
	if out != "" {
		if err := errors.Join(writePredictions(out, "dev-full.jsonl", full), writePredictions(out, "dev-fast.jsonl", fast)); err != nil {
			return err
		}
	}
	labels := make([]qingting.Labels, len(gold))
	for i := range gold {
		labels[i] = gold[i].Labels
	}
	fullFigures, err := eval.Score(labels, full)
	if err != nil {
		return err
	}
	fastFigures, err := eval.Score(labels, fast)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%d 个会话，模型 %s，95%% 区间按会话重抽样\n\n", len(gold), e.ids.Analysis)
	fmt.Fprintf(p.out, "%-24s %-22s %-22s %s\n", "figure", "full", "fast", "floor (full)")
	var short []string
	for i, f := range fullFigures {
		floor, has := floors[f.Name]
		mark := ""
		if has {
			mark = fmt.Sprintf("≥ %.2f", floor)
			if float64(f.Value) < floor {
				short = append(short, f.Name)
				mark += "  不足"
			}
		}
		fmt.Fprintf(p.out, "%-24s %-22s %-22s %s\n", f.Name, interval(f), interval(fastFigures[i]), mark)
	}
	transcripts := make([]qingting.Transcript, len(gold))
	for i := range gold {
		transcripts[i] = gold[i].Transcript()
	}
	ev, err := eval.CheckEvidence(ctx, e.pipeline, qingting.ModeFull, transcripts, full)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "\n证据：%d 处引用，中位长度 %d 字，与原文不符 %d 处\n", ev.Quotes, ev.MedianRunes, ev.BadSpans)
	fmt.Fprintf(p.out, "遮住引用后：类型概率下降 %d/%d（%.1f%%），规则信号消失 %d/%d\n", ev.TypesLowered, ev.Types, 100*ev.LoweredShare, ev.RulesRemoved, ev.Rules)
	if ev.BadSpans > 0 || ev.RulesRemoved < ev.Rules || ev.LoweredShare < 0.8 || ev.MedianRunes > 20 {
		short = append(short, "evidence")
	}
	if len(short) > 0 {
		fmt.Fprintf(p.out, "\n不足：%s\n", strings.Join(short, "、"))
		return &exitError{code: exitSome}
	}
	return nil
}

// interval is a figure with its interval, and over how many examples it is when
// they are not all.
func interval(f eval.Figure) string {
	if f.Counted < f.N {
		return fmt.Sprintf("%s n=%d", f.Interval(), f.Counted)
	}
	return f.Interval()
}

func loadDev(data string) ([]dataset.Example, error) {
	path := filepath.Join(data, "labelled", "dev.jsonl")
	if _, err := os.Stat(path); err != nil {
		return nil, dataError(fmt.Errorf("找不到 %s：--data 要指向有 labelled/dev.jsonl 的数据目录（程序里不带标注数据）", path))
	}
	return labelled(path)
}

// analyzeAll keeps the order of the examples; one that fails is nil.
func (p *program) analyzeAll(ctx context.Context, pipe *qingting.Pipeline, gold []dataset.Example, mode qingting.Mode, what string) ([]*qingting.Analysis, error) {
	out := make([]*qingting.Analysis, len(gold))
	bar := p.progress(len(gold), what)
	defer bar.Close()
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i := range gold {
		work.Go(func() error {
			a, err := pipe.Analyze(ctx, gold[i].Transcript(), mode)
			if err != nil && !errors.Is(err, qingting.ErrInvalid) && !errors.Is(err, qingting.ErrTooLarge) {
				return fmt.Errorf("%s: %w", gold[i].ID, err)
			}
			out[i] = a
			return bar.Add(1)
		})
	}
	return out, work.Wait()
}

// progress is a bar on a terminal and nothing anywhere else.
func (p *program) progress(n int, what string) *progressbar.ProgressBar {
	var w io.Writer = io.Discard
	if _, ok := terminal(p.err); ok {
		w = p.err
	}
	return progressbar.NewOptions(n, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
}

func writePredictions(dir, name string, analyses []*qingting.Analysis) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b bytes.Buffer
	for _, a := range analyses {
		if a == nil {
			continue
		}
		if err := web.Encode(&b, a, false); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644)
}
