package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/metric"
	"github.com/qingting-ai/qingting/eval/stat"
)

// chart is a drawing with its numbers already in the coordinates of its view
// box; the template only writes it down.
type chart struct {
	ID, Title, Desc string
	W, H            float64
	Left, Right     float64 // edges of the plotting area
	Top, Bottom     float64
	XLabel, YLabel  string
	XTicks, YTicks  []tick
	Lines           []line
	Bars            []bar
	Notes           []note
	Legend          []legend
}

type (
	tick struct {
		At   float64
		Text string
	}
	// line is a path with a class for colour and dash; Marks are the shapes on it.
	line struct {
		Class string
		D     string
		Marks string
	}
	bar struct {
		Class      string
		X, Y, W, H float64
		Text       string // above it
		TX, TY     float64
	}
	note struct {
		X, Y   float64
		Anchor string
		Text   string
	}
	legend struct {
		Class, Mark, Name, Value string
	}
)

// The view box. At the width of a phone a unit is about a pixel.
const (
	chartW, chartH = 360, 270
	chartLeft      = 46
	chartRight     = 348
	chartTop       = 12
	chartBottom    = 226
)

func newChart(id, title, xLabel, yLabel string) *chart {
	return &chart{
		ID: id, Title: title, XLabel: xLabel, YLabel: yLabel,
		W: chartW, H: chartH, Left: chartLeft, Right: chartRight, Top: chartTop, Bottom: chartBottom,
	}
}

// x and y place a share of the axis, 0 … 1.
func (c *chart) x(v float64) float64 { return c.Left + v*(c.Right-c.Left) }
func (c *chart) y(v float64) float64 { return c.Bottom - v*(c.Bottom-c.Top) }

// Places of the labels, for the template.
func (c *chart) TickX() float64   { return c.Left - 6 }
func (c *chart) TickY() float64   { return c.Bottom + 15 }
func (c *chart) NameY() float64   { return c.Bottom + 32 }
func (c *chart) MiddleX() float64 { return (c.Left + c.Right) / 2 }
func (c *chart) MiddleY() float64 { return (c.Top + c.Bottom) / 2 }

// shares puts ticks at the fifths of both axes, 0 … 1.
func (c *chart) shares() *chart {
	for i := 0; i <= 5; i++ {
		v := float64(i) / 5
		c.XTicks = append(c.XTicks, tick{c.x(v), fmt.Sprintf("%.1f", v)})
		c.YTicks = append(c.YTicks, tick{c.y(v), fmt.Sprintf("%.1f", v)})
	}
	return c
}

// xy is a point of a curve, in shares of the axes.
type xy struct{ x, y float64 }

// shapes of the marks, one a system, so that colour alone never tells.
var shapes = []string{
	"M%[1]g %[2]gm-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0z",
	"M%[1]g %[2]gm-3.3 -3.3h6.6v6.6h-6.6z",
	"M%[1]g %[2]gm0 -4.4l4.2 7.4h-8.4z",
	"M%[1]g %[2]gm0 -4.6l4.6 4.6l-4.6 4.6l-4.6 -4.6z",
	"M%[1]g %[2]gm-1.2 -4h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8v-2.4h2.8z",
	"M%[1]g %[2]gm0 4.4l4.2 -7.4h-8.4z",
	"M%[1]g %[2]gm-4 -1.2h8v2.4h-8z",
}

// series are the classes of the style sheet: colours s0 … s6 with a dash each.
const series = 7

func shape(of int, x, y float64) string { return fmt.Sprintf(shapes[of%series], short(x), short(y)) }

func class(of int) string { return fmt.Sprintf("s%d", of%series) }

func short(x float64) float64 { return math.Round(x*10) / 10 }

// curve draws points as a line, as steps where between two points nothing is
// known, with some six marks on it.
func (c *chart) curve(of int, points []xy, steps bool) {
	var d, marks strings.Builder
	lastX, lastY, nextMark := math.Inf(-1), math.Inf(-1), float64(of)/series/6
	for i, p := range points {
		x, y := c.x(p.x), c.y(p.y)
		// A thousand cuts are drawn no finer than half a unit.
		if i > 0 && i < len(points)-1 && math.Abs(x-lastX) < 0.5 && math.Abs(y-lastY) < 0.5 {
			continue
		}
		switch {
		case i == 0:
			fmt.Fprintf(&d, "M%g %g", short(x), short(y))
		case steps:
			fmt.Fprintf(&d, "H%gV%g", short(x), short(y))
		default:
			fmt.Fprintf(&d, "L%g %g", short(x), short(y))
		}
		lastX, lastY = x, y
		if p.x >= nextMark {
			marks.WriteString(shape(of, x, y))
			nextMark = p.x + 1.0/6
		}
	}
	c.Lines = append(c.Lines, line{class(of), d.String(), marks.String()})
}

// guide draws a thin line that is no system's.
func (c *chart) guide(from, to xy) {
	c.Lines = append(c.Lines, line{Class: "guide", D: fmt.Sprintf("M%g %gL%g %g", short(c.x(from.x)), short(c.y(from.y)), short(c.x(to.x)), short(c.y(to.y)))})
}

// now marks where the system stands with the level that it shows.
func (c *chart) now(of int, at xy) {
	x, y := c.x(at.x), c.y(at.y)
	c.Lines = append(c.Lines, line{Class: class(of) + " here", Marks: fmt.Sprintf("M%[1]g %[2]gm-7 0a7 7 0 1 0 14 0a7 7 0 1 0 -14 0z", short(x), short(y)) + shape(of, x, y)})
}

func (c *chart) legend(of int, name, value string) {
	c.Legend = append(c.Legend, legend{class(of), shape(of, 16, 7), name, value})
}

// highRisk is one system's scores of a high risk beside the gold.
type highRisk struct {
	of     int
	system *System
	scores []float64
	gold   []bool
	shown  metric.Cut // of the level that is shown
	cuts   []metric.Cut
}

func (r *Report) highRisks() ([]highRisk, error) {
	var out []highRisk
	for i := range r.Systems {
		h := highRisk{of: i, system: &r.Systems[i]}
		distinct := map[float64]bool{}
		for _, row := range h.system.Rows {
			if row.Suite != dataset.SuiteTriage || row.Error != "" || row.Answer == nil || row.Gold == nil {
				continue
			}
			gold, shown := row.Gold.Risk == qingting.RiskHigh, row.Answer.Risk == qingting.RiskHigh
			h.scores, h.gold = append(h.scores, row.Answer.HighP), append(h.gold, gold)
			distinct[row.Answer.HighP] = true
			switch {
			case gold && shown:
				h.shown.TP++
			case gold:
				h.shown.FN++
			case shown:
				h.shown.FP++
			default:
				h.shown.TN++
			}
		}
		// One score for all is no curve.
		if len(distinct) < 2 {
			continue
		}
		s, err := metric.NewScores(h.scores, h.gold)
		if err != nil {
			return nil, err
		}
		h.cuts = s.Cuts()
		out = append(out, h)
	}
	return out, nil
}

func (h *highRisk) figure(name string) eval.Number {
	if suite := h.system.Suite(dataset.SuiteTriage); suite != nil {
		for _, f := range suite.Figures {
			if f.Name == name {
				return f.Value
			}
		}
	}
	return eval.Number(math.NaN())
}

// riskCharts draws the curves of a high risk, all systems overlaid, and one
// reliability diagram a system.
func (r *Report) riskCharts() (curves, reliability []*chart, err error) {
	all, err := r.highRisks()
	if err != nil || len(all) == 0 {
		return nil, nil, err
	}
	pr := newChart("pr", "精确率–召回率", "召回率", "精确率").shares()
	roc := newChart("roc", "ROC", "误报率（非高风险里被报的）", "召回率").shares()
	budget := newChart("budget", "告警预算与召回率", "告警占全部会话的比例", "看到的高风险（召回率）").shares()
	cost := newChart("cost", "门槛与成本", "高风险概率的门槛", "每会话成本")
	highest := 0.0
	for i := range all {
		for _, cut := range all[i].cuts {
			highest = max(highest, cut.Cost(metric.Cost{Miss: eval.MissCost, FalseAlarm: eval.FalseAlarmCost}))
		}
	}
	highest = max(niceCeil(highest), 0.1)
	for i := 0; i <= 5; i++ {
		v := float64(i) / 5
		cost.YTicks = append(cost.YTicks, tick{cost.y(v), fmt.Sprintf("%.2g", v*highest)})
	}
	for _, p := range []float64{0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99} {
		cost.XTicks = append(cost.XTicks, tick{short(cost.x(odds(p))), fmt.Sprintf("%g", p)})
	}
	first := all[0].cuts[len(all[0].cuts)-1]
	n := float64(max(1, first.TP+first.FP))
	prevalence := float64(first.TP) / n
	pr.guide(xy{0, prevalence}, xy{1, prevalence})
	roc.guide(xy{0, 0}, xy{1, 1})
	budget.guide(xy{0, 0}, xy{1, 1})
	pr.Desc = fmt.Sprintf("高风险占 %.1f%%（细线）。", 100*prevalence)
	roc.Desc = "细线是瞎猜。"
	budget.Desc = "按风险概率从高到低告警；细线是随机告警。"
	cost.Desc = fmt.Sprintf("漏报一个高风险算 %d，误报一个算 %d。虚线横线是现在显示的等级的成本。", eval.MissCost, eval.FalseAlarmCost)
	for i := range all {
		h := &all[i]
		name := h.system.Name
		h.drawPR(pr)
		h.drawROC(roc)
		h.drawBudget(budget)
		h.drawCost(cost, highest)
		pr.legend(h.of, name, "AP "+digits(h.figure("risk.high_ap")))
		roc.legend(h.of, name, "AUROC "+digits(h.figure("risk.high_auroc")))
		budget.legend(h.of, name, "10% 时 "+digits(h.figure("risk.recall_at_10pct")))
		cost.legend(h.of, name, "现在 "+digits(h.figure("risk.cost"))+"，最低 "+h.least())
		one, err := h.reliability()
		if err != nil {
			return nil, nil, err
		}
		reliability = append(reliability, one)
	}
	curves = []*chart{pr, roc, budget, cost}
	for _, c := range curves {
		for _, l := range c.Legend {
			c.Desc += l.Name + "：" + l.Value + "。"
		}
	}
	return curves, reliability, nil
}

func (h *highRisk) drawPR(c *chart) {
	var points []xy
	for _, cut := range h.cuts[1:] {
		if len(points) == 0 {
			points = append(points, xy{0, cut.Precision()})
		}
		points = append(points, xy{cut.TPR(), cut.Precision()})
	}
	// Steps, because a straight line between two cuts promises what no cut gives.
	c.curve(h.of, points, true)
	if h.shown.TP+h.shown.FP > 0 {
		c.now(h.of, xy{h.shown.TPR(), h.shown.Precision()})
	}
}

func (h *highRisk) drawROC(c *chart) {
	points := make([]xy, len(h.cuts))
	for i, cut := range h.cuts {
		points[i] = xy{cut.FPR(), cut.TPR()}
	}
	c.curve(h.of, points, false)
	c.now(h.of, xy{h.shown.FPR(), h.shown.TPR()})
}

func (h *highRisk) drawBudget(c *chart) {
	n := float64(max(1, len(h.gold)))
	points := make([]xy, len(h.cuts))
	for i, cut := range h.cuts {
		points[i] = xy{float64(cut.TP+cut.FP) / n, cut.TPR()}
	}
	c.curve(h.of, points, false)
	c.now(h.of, xy{float64(h.shown.TP+h.shown.FP) / n, h.shown.TPR()})
}

func (h *highRisk) drawCost(c *chart, highest float64) {
	of := metric.Cost{Miss: eval.MissCost, FalseAlarm: eval.FalseAlarmCost}
	// By rising threshold: a cut holds from the score below it, not included, up
	// to its own.
	var points []xy
	for i := len(h.cuts) - 1; i > 0; i-- {
		y := h.cuts[i].Cost(of) / highest
		from := 0.0
		if i < len(h.cuts)-1 {
			from = h.cuts[i+1].Threshold
		}
		points = append(points, xy{odds(from), y})
	}
	points = append(points, xy{odds(h.cuts[1].Threshold), h.cuts[0].Cost(of) / highest}, xy{1, h.cuts[0].Cost(of) / highest})
	c.curve(h.of, points, true)
	now := c.y(h.shown.Cost(of) / highest)
	c.Lines = append(c.Lines, line{Class: class(h.of) + " level", D: fmt.Sprintf("M%g %gH%g", c.Left, short(now), c.Right)})
}

// odds places a threshold on the axis of the cost curve, by its log odds: the
// thresholds worth a look are near 0, and a linear axis would hide them.
func odds(p float64) float64 {
	const least = 0.005
	edge := math.Log(least / (1 - least))
	p = min(max(p, least), 1-least)
	return 0.5 - math.Log(p/(1-p))/(2*edge)
}

// least is the cheapest threshold and its cost.
func (h *highRisk) least() string {
	of := metric.Cost{Miss: eval.MissCost, FalseAlarm: eval.FalseAlarmCost}
	at := 0
	for i := range h.cuts {
		if h.cuts[i].Cost(of) < h.cuts[at].Cost(of) {
			at = i
		}
	}
	if at == 0 {
		return fmt.Sprintf("%.3f（从不告警）", h.cuts[0].Cost(of))
	}
	return fmt.Sprintf("%.3f（门槛 %.3g）", h.cuts[at].Cost(of), h.cuts[at].Threshold)
}

// reliability draws how often a high risk came true, by how probable it was
// called, with the Wilson interval of each bin and the bins' sizes below.
func (h *highRisk) reliability() (*chart, error) {
	p, err := metric.NewProbabilities(h.scores, h.gold)
	if err != nil {
		return nil, err
	}
	c := newChart("reliability-"+fmt.Sprint(h.of), h.system.Name, "说的概率", "真的比例")
	c.Bottom, c.H = 182, 280
	c.shares()
	c.guide(xy{0, 0}, xy{1, 1})
	bins := p.Reliability(eval.CalibrationBins, metric.EqualWidth)
	most := 1
	for _, b := range bins {
		most = max(most, b.Count)
	}
	var points []xy
	var whiskers strings.Builder
	var says []string
	for _, b := range bins {
		x, w := c.x(b.Low), c.x(b.High)-c.x(b.Low)
		tall := 26 * float64(b.Count) / float64(most)
		if b.Count > 0 {
			tall = max(tall, 1)
		}
		c.Bars = append(c.Bars, bar{class(h.of), short(x + 1), short(274 - tall), short(w - 2), short(tall), fmt.Sprint(b.Count), short(x + w/2), short(271 - tall)})
		if b.Count == 0 {
			continue
		}
		low, high, err := stat.Wilson(b.Positive, b.Count, 0.95)
		if err != nil {
			return nil, err
		}
		points = append(points, xy{b.Mean, b.Rate})
		fmt.Fprintf(&whiskers, "M%[1]g %[2]gV%[3]gm-3 0h6M%[1]g %[2]gm-3 0h6", short(c.x(b.Mean)), short(c.y(low)), short(c.y(high)))
		says = append(says, fmt.Sprintf("说 %.2f 真 %.2f（%d 条）", b.Mean, b.Rate, b.Count))
	}
	c.Lines = append(c.Lines, line{Class: class(h.of) + " whisker", D: whiskers.String()})
	c.curve(h.of, points, false)
	marks := ""
	for _, p := range points {
		marks += shape(h.of, c.x(p.x), c.y(p.y))
	}
	c.Lines[len(c.Lines)-1].Marks = marks
	c.Legend = []legend{{class(h.of), shape(h.of, 16, 7), h.system.Name, "ECE " + digits(h.figure("risk.high_ece")) + "，Brier " + digits(h.figure("risk.high_brier"))}}
	c.Desc = "柱子是每档的条数。" + strings.Join(says, "；")
	return c, nil
}

// niceCeil is the next of 1, 2, 2.5, 5, 10 times a power of ten.
func niceCeil(x float64) float64 {
	if x <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if x <= m*unit*(1+1e-9) {
			return m * unit
		}
	}
	return 10 * unit
}

// histogram draws how long examples took, in bins of which each is a bit more
// than twice the one before.
func histogram(of int, name string, ms []float64) *chart {
	edges := []float64{0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, math.Inf(1)}
	counts := make([]int, len(edges)-1)
	for _, x := range ms {
		at, found := slices.BinarySearch(edges, x)
		if !found {
			at--
		}
		counts[min(at, len(counts)-1)]++
	}
	from, to, most := len(counts), 0, 1
	for i, n := range counts {
		if n > 0 {
			from, to = min(from, i), i+1
		}
		most = max(most, n)
	}
	c := newChart("latency-"+fmt.Sprint(of), name, "毫秒（每档右端）", "条数")
	c.H, c.Bottom = 150, 108
	if from >= to {
		return c
	}
	w := (c.Right - c.Left) / float64(to-from)
	w = min(w, 46)
	var says []string
	for i := from; i < to; i++ {
		x, tall := c.Left+w*float64(i-from), 80*float64(counts[i])/float64(most)
		c.Bars = append(c.Bars, bar{class(of), short(x + 1.5), short(c.Bottom - tall), short(w - 3), short(tall), fmt.Sprint(counts[i]), short(x + w/2), short(c.Bottom - tall - 4)})
		label := "更久"
		if !math.IsInf(edges[i+1], 1) {
			label = fmt.Sprintf("%g", edges[i+1])
		}
		c.XTicks = append(c.XTicks, tick{short(x + w/2), label})
		says = append(says, fmt.Sprintf("%s 毫秒以内 %d 条", label, counts[i]))
	}
	c.Desc = strings.Join(says, "；")
	return c
}
