package main

import (
	"fmt"
	"math"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting/eval"
)

// evalAlertsCommand chooses the threshold of the live service's alerts.
func (p *program) evalAlertsCommand() *cobra.Command {
	var system string
	var perHour, budget float64
	cmd := &cobra.Command{
		Use:   "alerts 评测目录",
		Short: "按主管每小时能处理的预警数，选出预警门限",
		Long: `把服务的预警规则套在一次评测的分诊结果上：每个门限每小时会响多少次，抓住多少高风险会话，响的里面多少是真的。
选出的门限写进服务配置的 alerts.threshold，低于它的预警只上看板（P0 除外）。
评测数据里高风险的比例可能与您的不同：请用自己的数据评测，或只把召回率当真。`,
		Example: `  qingting eval run --data 我的.jsonl --system full --out runs/mine
  qingting eval alerts runs/mine --per-hour 300 --budget 6`,
		Args: exactly(1, "请给出评测目录"), Annotations: map[string]string{"args": "评测目录"},
		RunE: func(_ *cobra.Command, args []string) error {
			if !(perHour > 0) || !(budget > 0) {
				return usageError("--per-hour 和 --budget 要大于 0，例如 --per-hour 300 --budget 6")
			}
			rows, err := eval.ReadRows(filepath.Join(args[0], system))
			if err != nil {
				return dataError(err)
			}
			curve, err := eval.AlertCurve(rows)
			if err != nil {
				return dataError(err)
			}
			return p.printAlerts(curve, perHour, budget)
		},
	}
	f := cmd.Flags()
	f.StringVar(&system, "system", systemFull, "评测里的系统")
	f.Float64Var(&perHour, "per-hour", 0, "一位主管名下每小时有多少会话")
	f.Float64Var(&budget, "budget", 0, "一位主管每小时最多能处理多少预警")
	return cmd
}

// printAlerts writes some points of the curve and the one that is chosen: the
// lowest threshold within the budget.
func (p *program) printAlerts(curve []eval.AlertPoint, perHour, budget float64) error {
	load := func(a eval.AlertPoint) float64 { return perHour * float64(a.Loud) / float64(a.N) }
	chosen := -1
	for i, a := range curve {
		if load(a) <= budget {
			chosen = i
			break
		}
	}
	const lines = 12
	step := max(1, len(curve)/lines)
	fmt.Fprintf(p.out, "%d 个会话，其中高风险 %d 个；每小时 %g 个会话、最多 %g 次预警\n\n   %8s %10s  %-22s %s\n", curve[0].N, curve[0].High, perHour, budget, "门限", "每小时响", "召回率", "精确率")
	for i, a := range curve {
		if i%step != 0 && i != chosen {
			continue
		}
		mark := "  "
		if i == chosen {
			mark = "→ "
		}
		fmt.Fprintf(p.out, "%s %8.3f %10.1f  %-22s %s\n", mark, a.Threshold, load(a),
			interval(eval.Figure{Value: a.Recall, Low: a.RecallLow, High: a.RecallHigh}), interval(eval.Figure{Value: a.Precision, Low: a.PrecisionLow, High: a.PrecisionHigh}))
	}
	if chosen < 0 {
		_, err := fmt.Fprintf(p.out, "\n再高的门限也超出预算：P0 的预警总是会响，每小时至少 %.1f 次。请增加人手，或提高 --budget\n", load(curve[len(curve)-1]))
		return err
	}
	_, err := fmt.Fprintf(p.out, "\n写进配置：\nalerts:\n  threshold: %g\n", math.Floor(curve[chosen].Threshold*1e4)/1e4) // never above what was measured
	return err
}
