package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/gate"
)

func (p *program) evalCompareCommand() *cobra.Command {
	var rounds int
	cmd := &cobra.Command{
		Use:   "compare 基线 候选",
		Short: "逐条配对比较两次评测：差、95% 区间、p",
		Long: `按样本的哈希把两次评测配成对，每个数字给出差、按会话重抽样的 95% 区间、p（正确率用精确 McNemar 检验，其余用重抽样）和 Holm 校正后的 p。
给 目录 时比较同名的系统；给 目录/系统 时比较这两个系统。

n 是这个数字说的样本有多少对：例如高风险的召回只数高风险的会话。
N 次重抽样的 p 最小是 2/(N+1)，Holm 再乘以数字的个数：所以 p 小于 0.05 的数字自动再抽十倍（默认 2000 次变成 20000 次，
60 个数字校正后最小能到 0.006）。区间后面的 ! 表示不能当真：每次重抽样都一样，或者二十次里有一次以上算不出来；– 表示没有定义。
少于 30 对、重抽样次数太少、用过 --limit 或失败太多时，表后面有提醒。`,
		Example: `  qingting eval compare runs/main runs/today
  qingting eval compare runs/today/fast runs/today/full`,
		Args: exactly(2, "请给出两次评测：eval compare 基线 候选"), Annotations: map[string]string{"args": "基线 候选"},
		RunE: func(_ *cobra.Command, args []string) error {
			if rounds < 1 {
				return usageError("--rounds 是 %d，至少要 1 次；不写就是 2000", rounds)
			}
			pairs, err := systemPairs(args[0], args[1])
			if err != nil {
				return err
			}
			for _, pair := range pairs {
				if err := p.compare(pair[0], pair[1], rounds); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&rounds, "rounds", 2000, "重抽样的次数；p 小于 0.05 的数字用十倍")
	return cmd
}

// compare prints what differs between two systems.
func (p *program) compare(base, candidate string, rounds int) error {
	was, err := eval.ReadRows(base)
	if err != nil {
		return dataError(err)
	}
	now, err := eval.ReadRows(candidate)
	if err != nil {
		return dataError(err)
	}
	c, err := eval.Compare(was, now, eval.Resampling{Rounds: rounds}, 0.95)
	if err != nil {
		return dataError(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s → %s：%d 对样本，只在一边的有 %d 和 %d 条\n", base, candidate, c.Pairs, c.OnlyBase, c.OnlyCandidate)
	column := runewidth.FillLeft
	fmt.Fprintf(&b, "%-28s %6s %s %s %s  %s %7s %7s\n", "figure", "n", column("基线", 8), column("候选", 8), column("差", 9), runewidth.FillRight("95% 区间", 19), "p", "Holm")
	for _, d := range c.Deltas {
		name := d.Name
		if d.Lower {
			name += " ↓"
		}
		interval := eval.Digits(math.NaN())
		if !math.IsNaN(float64(d.Low)) {
			interval = fmt.Sprintf("[%s, %s]", eval.SignedDigits(float64(d.Low)), eval.SignedDigits(float64(d.High)))
		}
		if d.Degenerate {
			interval += "!"
		}
		fmt.Fprintf(&b, "%-28s %6d %8s %8s %9s  %-19s %7s %7s\n", name, d.Counted, eval.Digits(float64(d.Base)), eval.Digits(float64(d.Candidate)),
			eval.SignedDigits(float64(d.Delta)), interval, pDigits(float64(d.P)), pDigits(float64(d.Holm)))
	}
	warnings := c.Warnings()
	for _, dir := range []string{base, candidate} {
		warnings = append(warnings, runWarnings(dir)...)
	}
	for _, w := range warnings {
		fmt.Fprintf(&b, "注意：%s\n", w)
	}
	_, err = io.WriteString(p.out, b.String())
	return err
}

// pDigits writes a p; one too small for its digits is not written as 0.
func pDigits(x float64) string {
	if x < 0.001 {
		return "<0.001"
	}
	return eval.Digits(x)
}

// runWarnings says what the run that a system's folder belongs to must be read
// with. A folder that is in no finished run has nothing to say.
func runWarnings(system string) []string {
	m, err := eval.ReadMetrics(filepath.Dir(filepath.Clean(system)))
	if err != nil {
		return nil
	}
	var out []string
	if m.Limit > 0 {
		out = append(out, fmt.Sprintf("%s 是用 --limit %d 跑的，只有一部分样本", system, m.Limit))
	}
	if m.Failed {
		out = append(out, fmt.Sprintf("%s 失败的样本太多，数字不可信", system))
	}
	return out
}

// systemPairs names the folders of the systems to compare: two systems, or all
// that two runs have in common.
func systemPairs(a, b string) ([][2]string, error) {
	isSystem := func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, eval.RowsFile))
		return err == nil
	}
	if isSystem(a) && isSystem(b) {
		return [][2]string{{a, b}}, nil
	}
	was, err := eval.ReadMetrics(a)
	if err != nil {
		return nil, dataError(err)
	}
	now, err := eval.ReadMetrics(b)
	if err != nil {
		return nil, dataError(err)
	}
	var out [][2]string
	for _, s := range was.Systems {
		if slices.ContainsFunc(now.Systems, func(n eval.SystemMetrics) bool { return n.Name == s.Name }) {
			out = append(out, [2]string{filepath.Join(a, s.Name), filepath.Join(b, s.Name)})
		}
	}
	if len(out) == 0 {
		return nil, dataError(fmt.Errorf("%s 和 %s 没有同名的系统：用 目录/系统 指明要比哪两个", a, b))
	}
	return out, nil
}

func (p *program) evalGateCommand() *cobra.Command {
	var file, base, junit, jsonFile string
	cmd := &cobra.Command{
		Use:   "gate 评测目录",
		Short: "按门限文件判断一次评测能不能取代基线",
		Long: `把一次评测与基线逐条配对，按 gates.yaml 里的每条门限判断：
变差的下界超过 margin 为不通过，上界在 margin 以内为通过，介于两者之间为无法判断；floor 是不论基线如何的底线。
底线用这次的全部样本：失败的样本全当对也达不到为不通过，全当错才达不到为无法判断。
失败太多的评测不能过门，一项也没有比的不算通过。
退出码：0 通过，1 不通过或缺指标，2 无法判断，64 用法，65 数据，70 内部，75 失败的样本太多。`,
		Example: `  qingting eval gate runs/today --policy eval/testdata/gates.yaml --baseline eval/testdata/baseline
  qingting eval gate runs/today --policy gates.yaml --baseline base --junit gate.xml --json gate.json`,
		Args: exactly(1, "请给出评测目录"), Annotations: map[string]string{"args": "评测目录"},
		RunE: func(_ *cobra.Command, args []string) error {
			if base == "" {
				return usageError("用 --baseline 给出基线目录，例如 --baseline eval/testdata/baseline")
			}
			policy, err := gate.ReadPolicy(file)
			if err != nil {
				return usageError("%s", err)
			}
			v, err := gate.Judge(base, args[0], policy, eval.Resampling{})
			if err != nil {
				return gateError(err)
			}
			if err := errors.Join(v.Text(p.out), writeWith(jsonFile, v.JSON), writeWith(junit, v.JUnit)); err != nil {
				return err
			}
			if code := v.Exit(); code != 0 {
				return &exitError{code: code}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "policy", "gates.yaml", "门限文件")
	f.StringVar(&base, "baseline", "", "基线目录")
	f.StringVar(&junit, "junit", "", "另存 JUnit 报告")
	f.StringVar(&jsonFile, "json", "", "另存 JSON 结论")
	return cmd
}

// gateError gives the refusals of package gate their exit codes.
func gateError(err error) error {
	switch {
	case errors.Is(err, gate.ErrLimited):
		return usageError("%s", err)
	case errors.Is(err, gate.ErrFailed):
		return &exitError{code: exitErrors, err: err}
	}
	return dataError(err)
}

// writeWith writes a file with a function; no name, no file.
func writeWith(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("写不了 %s：%w", path, err)
	}
	return errors.Join(write(f), f.Close())
}

func (p *program) evalBlessCommand() *cobra.Command {
	var base, reason string
	cmd := &cobra.Command{
		Use:     "bless 评测目录",
		Short:   "把一次评测立为新的基线，写明原因",
		Long:    "把一次完整的评测复制为基线，并在 history.jsonl 里记下原因、时间和每个变了的数字。基线只能这样移动。",
		Example: `  qingting eval bless runs/today --baseline eval/testdata/baseline --reason "新的停用词表，类型 micro-F1 +0.01"`,
		Args:    exactly(1, "请给出评测目录"), Annotations: map[string]string{"args": "评测目录"},
		RunE: func(_ *cobra.Command, args []string) error {
			if base == "" {
				return usageError("用 --baseline 给出基线目录，例如 --baseline eval/testdata/baseline")
			}
			if strings.TrimSpace(reason) == "" {
				return usageError("移动基线要写明原因：--reason \"…\"")
			}
			b, err := gate.Bless(base, args[0], reason)
			if err != nil {
				return gateError(err)
			}
			fmt.Fprintf(p.out, "基线已更新：%s，%d 个数字变了\n", base, len(b.Moved))
			for _, m := range b.Moved {
				fmt.Fprintf(p.out, "  %-10s %-28s %s → %s\n", m.System, m.Figure, fourDigits(m.From), fourDigits(m.To))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&base, "baseline", "", "基线目录")
	cmd.Flags().StringVar(&reason, "reason", "", "为什么移动基线")
	return cmd
}

// fourDigits shows a move that three would hide.
func fourDigits(n eval.Number) string {
	if math.IsNaN(float64(n)) {
		return eval.Digits(float64(n))
	}
	return fmt.Sprintf("%.4f", float64(n))
}
