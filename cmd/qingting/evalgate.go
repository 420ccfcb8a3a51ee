package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/gate"
	"github.com/spf13/cobra"
)

func (p *program) evalCompareCommand() *cobra.Command {
	var rounds int
	cmd := &cobra.Command{
		Use:   "compare 基线 候选",
		Short: "逐条配对比较两次评测：差、95% 区间、p",
		Long: `按样本的哈希把两次评测配成对，每个数字给出差、按会话重抽样的 95% 区间、p（正确率用精确 McNemar 检验，其余用重抽样）和 Holm 校正后的 p。
给 目录 时比较同名的系统；给 目录/系统 时比较这两个系统。`,
		Example: `  qingting eval compare runs/main runs/today
  qingting eval compare runs/today/fast runs/today/full`,
		Args: exactly(2, "请给出两次评测：eval compare 基线 候选"), Annotations: map[string]string{"args": "基线 候选"},
		RunE: func(_ *cobra.Command, args []string) error {
			pairs, err := systemPairs(args[0], args[1])
			if err != nil {
				return err
			}
			for _, pair := range pairs {
				was, err := eval.ReadRows(pair[0])
				if err != nil {
					return dataError(err)
				}
				now, err := eval.ReadRows(pair[1])
				if err != nil {
					return dataError(err)
				}
				c, err := eval.Compare(was, now, eval.Resampling{Rounds: rounds}, 0.95)
				if err != nil {
					return dataError(err)
				}
				fmt.Fprintf(p.out, "\n%s → %s：%d 对样本，只在一边的有 %d 和 %d 条\n", pair[0], pair[1], c.Pairs, c.OnlyBase, c.OnlyCandidate)
				fmt.Fprintf(p.out, "%-28s %8s %8s %9s  %-20s %7s %7s\n", "figure", "基线", "候选", "差", "95% 区间", "p", "Holm")
				for _, d := range c.Deltas {
					name := d.Name
					if d.Lower {
						name += " ↓"
					}
					fmt.Fprintf(p.out, "%-28s %8.3f %8.3f %+9.3f  [%+.3f, %+.3f]     %7.3f %7.3f\n", name, float64(d.Base), float64(d.Candidate), float64(d.Delta), float64(d.Low), float64(d.High), float64(d.P), float64(d.Holm))
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&rounds, "rounds", 1000, "重抽样的次数")
	return cmd
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
退出码：0 通过，1 不通过或缺指标，2 无法判断，64 用法，65 数据，70 内部。`,
		Example: `  qingting eval gate runs/today --policy eval/testdata/gates.yaml --baseline eval/testdata/baseline
  qingting eval gate runs/today --policy gates.yaml --baseline base --junit gate.xml --json gate.json`,
		Args: exactly(1, "请给出评测目录"), Annotations: map[string]string{"args": "评测目录"},
		RunE: func(_ *cobra.Command, args []string) error {
			policy, err := gate.ReadPolicy(file)
			if err != nil {
				return usageError("%s", err)
			}
			v, err := gate.Judge(base, args[0], policy, eval.Resampling{Rounds: 2000})
			if errors.Is(err, gate.ErrLimited) {
				return usageError("%s", err)
			}
			if err != nil {
				return dataError(err)
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
	_ = cmd.MarkFlagRequired("baseline")
	return cmd
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
			if strings.TrimSpace(reason) == "" {
				return usageError("移动基线要写明原因：--reason \"…\"")
			}
			b, err := gate.Bless(base, args[0], reason)
			if errors.Is(err, gate.ErrLimited) {
				return usageError("%s", err)
			}
			if err != nil {
				return dataError(err)
			}
			fmt.Fprintf(p.out, "基线已更新：%s，%d 个数字变了\n", base, len(b.Moved))
			for _, m := range b.Moved {
				fmt.Fprintf(p.out, "  %-10s %-28s %.4f → %.4f\n", m.System, m.Figure, float64(m.From), float64(m.To))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&base, "baseline", "", "基线目录")
	cmd.Flags().StringVar(&reason, "reason", "", "为什么移动基线")
	_ = cmd.MarkFlagRequired("baseline")
	return cmd
}
