package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/stat"
	"github.com/qingting-ai/qingting/eval/xcheck"
	"github.com/spf13/cobra"
)

// powerOptions are the flags of eval power.
type powerOptions struct {
	n                          int
	discordant, sd             float64
	delta, power, alpha        float64
	cluster, icc               float64
	from, figure               string
	hasN, hasDelta, hasCluster bool
}

func (p *program) evalPowerCommand() *cobra.Command {
	var o powerOptions
	cmd := &cobra.Command{
		Use:   "power",
		Short: "评测集够不够大：能发现的最小差、需要的样本数、功效",
		Long: `计划一次配对比较（两个系统、同样的样本）。比正确率时给出 --discordant：只有一个系统答对的样本占多少；
比别的平均数时给出 --sd：逐样本差值的标准差。也可以用 --from 从两次已有的评测里估计。
--n 和 --delta 都给时算功效；只给 --delta 时算需要的样本数；都不给时列出各种样本数能发现的最小差。
公式是正态近似，用来计划，不用来下结论。样本成组（一个会话几行）时用 --cluster 和 --icc 说明。`,
		Example: `  qingting eval power --discordant 0.15
  qingting eval power --discordant 0.15 --delta 0.03
  qingting eval power --sd 0.4 --delta 0.05 --n 500 --cluster 4 --icc 0.3
  qingting eval power --from runs/main/full runs/today/full --figure emotion.emotion`,
		Annotations: map[string]string{"args": "[候选]"},
		Args: func(cmd *cobra.Command, args []string) error {
			if from := cmd.Flags().Changed("from"); from && len(args) != 1 || !from && len(args) != 0 {
				return usageError("--from 后面要给出两个系统的目录：--from 基线/系统 候选/系统 --figure 名字")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			changed := cmd.Flags().Changed
			o.hasN, o.hasDelta, o.hasCluster = changed("n"), changed("delta"), changed("cluster") || changed("icc")
			if changed("cluster") != changed("icc") {
				return usageError("--cluster 和 --icc 要一起给出")
			}
			if o.hasCluster && !(o.cluster >= 1 && !math.IsInf(o.cluster, 0) && o.icc >= 0 && o.icc <= 1) {
				return usageError("--cluster 至少是 1，--icc 在 0 到 1 之间")
			}
			if (o.from != "") != (o.figure != "") {
				return usageError("--from 和 --figure 要一起给出")
			}
			if o.from != "" && (changed("discordant") || changed("sd")) {
				return usageError("--from 会自己估计，不能再给 --discordant 或 --sd")
			}
			if o.from == "" && changed("discordant") == changed("sd") {
				return usageError("请给出且只给出一个：--discordant（比正确率）、--sd（比平均数）或 --from（从两次评测估计）")
			}
			if changed("sd") && !(o.sd > 0 && !math.IsInf(o.sd, 0)) {
				return usageError("--sd 是 %v：标准差要大于 0，例如 --sd 0.4", o.sd)
			}
			if changed("discordant") && !(o.discordant > 0 && o.discordant <= 1) {
				return usageError("--discordant 是 %v：只有一个系统答对的比例要大于 0、不超过 1，例如 --discordant 0.15", o.discordant)
			}
			if changed("delta") && (o.delta == 0 || math.IsNaN(o.delta) || math.IsInf(o.delta, 0)) {
				return usageError("--delta 是 %v：差值要是不为 0 的数，例如 --delta 0.03", o.delta)
			}
			return p.evalPower(&o, args)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.n, "n", 0, "样本数")
	f.Float64Var(&o.discordant, "discordant", 0, "只有一个系统答对的样本所占的比例，0 到 1")
	f.Float64Var(&o.sd, "sd", 0, "逐样本差值的标准差")
	f.Float64Var(&o.delta, "delta", 0, "真正的差，如 0.03")
	f.Float64Var(&o.power, "power", 0.8, "功效：差真的存在时发现它的概率")
	f.Float64Var(&o.alpha, "alpha", 0.05, "显著性水平（双侧）")
	f.Float64Var(&o.cluster, "cluster", 1, "每组平均几个样本")
	f.Float64Var(&o.icc, "icc", 0, "组内相关系数，0 到 1")
	f.StringVar(&o.from, "from", "", "从两次评测估计：基线的系统目录，候选的写在后面")
	f.StringVar(&o.figure, "figure", "", "--from 时估计哪个数字，如 emotion.emotion")
	return cmd
}

// powerSizes are the rows of the table: from a suite that is read by hand to a
// year of a large hotline.
func powerSizes() []int { return []int{50, 100, 200, 500, 1000, 2000, 5000, 10000} }

func (p *program) evalPower(o *powerOptions, args []string) error {
	design := stat.Design{Alpha: o.alpha, Discordant: o.discordant, SD: o.sd}
	sizes := powerSizes()
	if o.hasCluster {
		design.Effect = stat.DesignEffect(o.cluster, o.icc)
	}
	if o.from != "" {
		n, err := p.estimate(&design, o, args[0])
		if err != nil {
			return err
		}
		sizes = append(sizes, n)
	}
	if o.hasN {
		sizes = append(sizes, o.n)
	}
	var b strings.Builder
	what := fmt.Sprintf("只有一个系统答对的样本占 %.3g", design.Discordant)
	if design.SD > 0 {
		what = fmt.Sprintf("逐样本差值的标准差 %.3g", design.SD)
	}
	fmt.Fprintf(&b, "配对比较，显著性水平 %.3g（双侧），功效 %.3g，%s", o.alpha, o.power, what)
	if design.Effect > 1 {
		fmt.Fprintf(&b, "，设计效应 %.2f", design.Effect)
	}
	b.WriteString("\n")
	if o.hasDelta {
		need, err := design.SampleSize(o.delta, o.power)
		if err != nil {
			return usageError("%s", err)
		}
		fmt.Fprintf(&b, "要有 %.0f%% 的把握发现 %.3g 的差，至少要 %d 个样本\n", 100*o.power, math.Abs(o.delta), need)
	}
	if o.hasN {
		effect, err := design.DetectableEffect(o.n, o.power)
		if err != nil {
			return usageError("%s", err)
		}
		fmt.Fprintf(&b, "%d 个样本能发现的最小差：%s\n", o.n, detectable(effect))
		if o.hasDelta {
			power, err := design.Power(o.n, o.delta)
			if err != nil {
				return usageError("%s", err)
			}
			fmt.Fprintf(&b, "%d 个样本发现 %.3g 的差的功效：%.3f\n", o.n, math.Abs(o.delta), power)
		}
	}
	fmt.Fprintf(&b, "\n%s%s", runewidth.FillLeft("样本数", 8), runewidth.FillLeft("能发现的最小差", 18))
	if o.hasDelta {
		b.WriteString(runewidth.FillLeft(fmt.Sprintf("发现 %.3g 的功效", math.Abs(o.delta)), 22))
	}
	b.WriteString("\n")
	slices.Sort(sizes)
	for _, n := range slices.Compact(sizes) {
		effect, err := design.DetectableEffect(n, o.power)
		if err != nil {
			return usageError("%s", err)
		}
		fmt.Fprintf(&b, "%8d%s", n, runewidth.FillLeft(detectable(effect), 18))
		if o.hasDelta {
			power, err := design.Power(n, o.delta)
			if err != nil {
				return usageError("%s", err)
			}
			fmt.Fprintf(&b, "%22.3f", power)
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

func detectable(effect float64) string {
	if math.IsInf(effect, 0) {
		return "发现不了"
	}
	return fmt.Sprintf("%.4f", effect)
}

// estimate fills the design from two systems on the same examples and returns
// their number. Shares of right answers give the discordant share; of any other
// figure the interval of the difference gives the standard deviation that n
// independent examples would have to have.
func (p *program) estimate(design *stat.Design, o *powerOptions, candidate string) (int, error) {
	base, err := eval.ReadRows(o.from)
	if err != nil {
		return 0, dataError(err)
	}
	now, err := eval.ReadRows(candidate)
	if err != nil {
		return 0, dataError(err)
	}
	c, err := eval.Compare(base, now, eval.Resampling{Rounds: 2000}, 0.95)
	if err != nil {
		return 0, dataError(err)
	}
	at := slices.IndexFunc(c.Deltas, func(d eval.Delta) bool { return d.Name == o.figure })
	if at < 0 {
		var known []string
		for _, d := range c.Deltas {
			known = append(known, d.Name)
		}
		return 0, usageError("两次评测里没有数字 %q，可选 %s", o.figure, strings.Join(known, "、"))
	}
	d := &c.Deltas[at]
	if d.N < 2 {
		return 0, dataError(fmt.Errorf("两个系统都答出来的样本只有 %d 个，估计不了", d.N))
	}
	width := float64(d.High - d.Low)
	if one := d.Discordant; one != nil {
		if one.OnlyBase+one.OnlyCandidate == 0 {
			return 0, dataError(fmt.Errorf("两个系统的 %s 完全一样，没有不一致的样本，估计不了", o.figure))
		}
		n := float64(d.N)
		design.Discordant = float64(one.OnlyBase+one.OnlyCandidate) / n
		fmt.Fprintf(p.out, "%s：%d 个样本，基线 %.3f，候选 %.3f；只有基线对 %d 个，只有候选对 %d 个\n", o.figure, d.N, float64(d.Base), float64(d.Candidate), one.OnlyBase, one.OnlyCandidate)
		if !o.hasCluster && d.Groups < d.N && d.Lost == 0 {
			// The bootstrap draws groups; how much wider its interval is than that of
			// independent rows is the design effect.
			alone := design.Discordant - math.Pow(float64(d.Delta), 2)
			if alone > 0 {
				design.Effect = max(1, math.Pow(width/(2*normal95), 2)*n/alone)
			}
		}
		return d.N, nil
	}
	if o.hasCluster {
		return 0, usageError("%s 的区间已经按组重抽样，不要再给 --cluster 和 --icc", o.figure)
	}
	if !(width > 0) {
		return 0, dataError(fmt.Errorf("两个系统的 %s 没有差别，或者算不出区间，估计不了", o.figure))
	}
	if d.Lost > 0 {
		return 0, dataError(fmt.Errorf("有 %d 个样本失败，%s 的区间不能用来估计：请先补齐", d.Lost, o.figure))
	}
	design.SD = width / (2 * normal95) * math.Sqrt(float64(d.N))
	fmt.Fprintf(p.out, "%s：%d 个样本，基线 %.3f，候选 %.3f，差的 95%% 区间 [%+.3f, %+.3f]\n", o.figure, d.N, float64(d.Base), float64(d.Candidate), float64(d.Low), float64(d.High))
	return d.N, nil
}

// normal95 is the 97.5 % quantile of the normal distribution: half of a 95 %
// interval in standard errors.
const normal95 = 1.959964

func (p *program) evalXcheckCommand() *cobra.Command {
	var python string
	cmd := &cobra.Command{
		Use:   "xcheck",
		Short: "用 scikit-learn、scipy、pytrec_eval 等重算全部指标并比较",
		Long: `随机生成几千个用例，用本程序和 Python 的参考库各算一遍，比较每个数字。平时的测试用的是存好的参考结果，不需要 Python；
这里现算一遍。需要 python3 和 scikit-learn、scipy、statsmodels、krippendorff、pytrec_eval。
退出码：0 全部一致，1 有不一致，64 找不到 Python，65 缺少库或运行失败。`,
		Example: `  qingting eval xcheck
  qingting eval xcheck --python ./venv/bin/python3`,
		Args: exactly(0, "eval xcheck 不接受参数"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := exec.LookPath(python); err != nil {
				return usageError("找不到 %s：请安装 Python 3，或用 --python 给出它的路径", python)
			}
			err := xcheck.Run(cmd.Context(), python, p.out)
			switch {
			case cmd.Context().Err() != nil:
				return err
			case errors.Is(err, xcheck.ErrDisagree):
				return &exitError{code: exitSome, err: err}
			case err != nil:
				return dataError(err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&python, "python", "python3", "python3 的路径")
	return cmd
}
