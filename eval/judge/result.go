package judge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/metric"
	"github.com/qingting-ai/qingting/eval/stat"
)

// confidence of every interval.
const confidence = 0.95

// ErrNotCalibrated is a judge that missed a floor; its result has no win rate.
var ErrNotCalibrated = errors.New("裁判未通过校准")

// Order is how far verdicts depend on which reply stands first.
type Order struct {
	N          int `json:"n"`          // pairs that were judged in both orders
	Consistent int `json:"consistent"` // with the same verdict
	// First and Second flipped: the reply in that place won both times. Wavered
	// was a tie once. All three count as ties.
	First       int         `json:"first"`
	Second      int         `json:"second"`
	Wavered     int         `json:"wavered"`
	Consistency eval.Number `json:"consistency"` // Consistent of N
}

// Length is how often the longer reply won, of the verdicts that are no tie on
// replies of different length. Far from ½ it is a bias, or replies that deserve
// it; the calibration set tells which, for there length says nothing.
type Length struct {
	N      int         `json:"n"`
	Longer int         `json:"longer"`
	Rate   eval.Number `json:"rate"`
	Low    eval.Number `json:"low"` // Wilson, 95 %
	High   eval.Number `json:"high"`
}

// WinRate compares candidate and base. A tie is half a win.
type WinRate struct {
	N        int            `json:"n"` // pairs with a verdict
	Unscored int            `json:"unscored"`
	Errors   map[string]int `json:"errors,omitempty"` // by code
	Wins     int            `json:"wins"`             // of the candidate
	Ties     int            `json:"ties"`             // flips included
	Same     int            `json:"same"`             // ties of the same reply, which nobody was asked about
	Losses   int            `json:"losses"`
	Rate     eval.Number    `json:"rate"` // (wins + ties/2) / n, in [0, 1]
	// WilsonLow and WilsonHigh bound Rate for independent pairs. A half win is
	// rounded to the careful side of each end.
	WilsonLow  eval.Number `json:"wilson_low"`
	WilsonHigh eval.Number `json:"wilson_high"`
	// Low and High bound Rate by a bootstrap that draws groups.
	Low  eval.Number `json:"low"`
	High eval.Number `json:"high"`
	// Worst and Best are Rate with every unscored pair lost, and won.
	Worst eval.Number `json:"worst"`
	Best  eval.Number `json:"best"`
	// P is the exact two-sided sign test that candidate and base win as often.
	// Each group votes once, for whom it prefers.
	P eval.Number `json:"p"`
}

// Preference is how often a reply was better under one criterion in both
// orders; the rest are ties.
type Preference struct {
	Criterion string `json:"criterion"`
	Candidate int    `json:"candidate"`
	Base      int    `json:"base"`
	Tie       int    `json:"tie"`
}

// Result is a comparison of two systems by a judge. It holds no times, so that
// the same answers give the same bytes.
type Result struct {
	Schema      string            `json:"schema"`
	Judge       map[string]string `json:"judge"` // all that the verdicts depend on
	Base        eval.SystemID     `json:"base"`
	Candidate   eval.SystemID     `json:"candidate"`
	Dataset     string            `json:"dataset,omitempty"`
	Pairs       string            `json:"pairs"` // SHA-256 over what was to be judged
	N           int               `json:"n"`
	Calibration Calibration       `json:"calibration"`
	// What follows is missing when the judge was not calibrated.
	WinRate  *WinRate     `json:"win_rate,omitempty"`
	Order    *Order       `json:"order,omitempty"`
	Length   *Length      `json:"length,omitempty"`
	Criteria []Preference `json:"criteria,omitempty"`
	Verdicts []Verdict    `json:"verdicts,omitempty"`
	Usage    Usage        `json:"usage"` // calibration and pairs
}

// Compare calibrates the judge and, if it passes, judges the pairs. A judge
// that does not pass is ErrNotCalibrated beside a result without a win rate; no
// pair is asked about then. Other errors come without a result: ctx ended, or no
// further question can succeed. Names and dataset are for the caller to fill in.
func (j *Judge) Compare(ctx context.Context, pairs []Pair) (*Result, error) {
	if len(pairs) == 0 {
		return nil, errors.New("没有可以比较的回复：检查数据集里有没有 reply 的文件，或 --limit、--split 选项")
	}
	c, err := j.Calibrate(ctx)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(pairs); err != nil {
		return nil, err
	}
	r := &Result{Schema: "1", Judge: map[string]string{"prompt": j.Identity()}, Pairs: hex.EncodeToString(h.Sum(nil)), N: len(pairs), Calibration: *c, Usage: c.Usage}
	if !c.Passed {
		return r, ErrNotCalibrated
	}
	verdicts, used, err := j.all(ctx, StagePairs, j.o.Rules, pairs)
	if err != nil {
		return nil, err
	}
	r.Verdicts = verdicts
	r.Usage.add(used)
	if r.WinRate, err = winRate(verdicts, j.o.Resampling); err != nil {
		return nil, err
	}
	o, l := orders(verdicts), lengths(verdicts)
	r.Order, r.Length, r.Criteria = &o, &l, preferences(verdicts)
	return r, nil
}

var nan = eval.Number(math.NaN())

func winRate(verdicts []Verdict, r eval.Resampling) (*WinRate, error) {
	w := &WinRate{Errors: failures(verdicts), Rate: nan, WilsonLow: nan, WilsonHigh: nan, Low: nan, High: nan, Worst: nan, Best: nan, P: nan}
	var points []float64
	var groups []int
	number := map[string]int{}
	var leads []int // of the candidate, by group
	for i := range verdicts {
		v := &verdicts[i]
		if v.Error != "" {
			w.Unscored++
			continue
		}
		g, ok := number[v.Group]
		if !ok {
			g = len(leads)
			number[v.Group] = g
			leads = append(leads, 0)
		}
		groups = append(groups, g)
		switch v.Winner {
		case Candidate:
			w.Wins++
			leads[g]++
			points = append(points, 1)
		case Base:
			w.Losses++
			leads[g]--
			points = append(points, 0)
		default:
			w.Ties++
			if v.Same {
				w.Same++
			}
			points = append(points, 0.5)
		}
	}
	w.N = len(points)
	won, all := float64(w.Wins)+float64(w.Ties)/2, float64(len(verdicts))
	w.Worst, w.Best = eval.Number(won/all), eval.Number((won+float64(w.Unscored))/all)
	if w.N == 0 {
		return w, nil
	}
	w.Rate = eval.Number(won / float64(w.N))
	low, _, err := stat.Wilson(int(math.Floor(won)), w.N, confidence)
	if err != nil {
		return nil, err
	}
	_, high, err := stat.Wilson(int(math.Ceil(won)), w.N, confidence)
	if err != nil {
		return nil, err
	}
	w.WilsonLow, w.WilsonHigh = eval.Number(low), eval.Number(high)
	rounds := r.Rounds
	if rounds == 0 {
		rounds = 1000
	}
	samples, err := stat.Bootstrap([]stat.Measure{metric.Mean(points)}, groups, rounds, r.Seed)
	if err != nil {
		return nil, err
	}
	low, high = samples[0].Interval(confidence)
	w.Low, w.High = eval.Number(low), eval.Number(high)
	ahead, behind := 0, 0
	for _, lead := range leads {
		switch {
		case lead > 0:
			ahead++
		case lead < 0:
			behind++
		}
	}
	w.P = eval.Number(stat.McNemar(behind, ahead)) // the same exact test
	return w, nil
}

func failures(verdicts []Verdict) map[string]int {
	out := map[string]int{}
	for i := range verdicts {
		if e := verdicts[i].Error; e != "" {
			out[e]++
		}
	}
	return out
}

func orders(verdicts []Verdict) Order {
	o := Order{Consistency: nan}
	for i := range verdicts {
		if len(verdicts[i].Orders) < 2 {
			continue
		}
		o.N++
		baseFirst, candidateFirst := verdicts[i].Orders[0].Winner, verdicts[i].Orders[1].Winner
		switch {
		case baseFirst == candidateFirst:
			o.Consistent++
		case baseFirst == Base && candidateFirst == Candidate:
			o.First++
		case baseFirst == Candidate && candidateFirst == Base:
			o.Second++
		default:
			o.Wavered++
		}
	}
	if o.N > 0 {
		o.Consistency = eval.Number(float64(o.Consistent) / float64(o.N))
	}
	return o
}

func lengths(verdicts []Verdict) Length {
	l := Length{Rate: nan, Low: nan, High: nan}
	for i := range verdicts {
		v := &verdicts[i]
		if v.Error != "" || v.Winner == Tie || v.Longer == Tie {
			continue
		}
		l.N++
		if v.Winner == v.Longer {
			l.Longer++
		}
	}
	if low, high, err := stat.Wilson(l.Longer, l.N, confidence); err == nil { // it fails for no pair only
		l.Rate, l.Low, l.High = eval.Number(float64(l.Longer)/float64(l.N)), eval.Number(low), eval.Number(high)
	}
	return l
}

func preferences(verdicts []Verdict) []Preference {
	out := make([]Preference, len(criteria()))
	for k, c := range Criteria() {
		p := &out[k]
		p.Criterion = c
		for i := range verdicts {
			switch {
			case verdicts[i].Error != "":
				continue
			case verdicts[i].Same:
				p.Tie++
				continue
			}
			one, other := verdicts[i].Orders[0].Reasons[k].Better, verdicts[i].Orders[1].Reasons[k].Better
			switch {
			case one == Candidate && other == Candidate:
				p.Candidate++
			case one == Base && other == Base:
				p.Base++
			default:
				p.Tie++
			}
		}
	}
	return out
}

func show(n eval.Number) string {
	if math.IsNaN(float64(n)) {
		return "—"
	}
	return fmt.Sprintf("%.3f", float64(n))
}

// WriteText writes the result as a table for people.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	c := &r.Calibration
	fmt.Fprintf(&b, "裁判校准：%d 对答案明显的回复，正确率 %s（95%% 下界 %s，要求 ≥ %.2f），两种顺序一致 %s（要求 ≥ %.2f），抵住收买 %s（要求 ≥ %.2f）\n",
		c.N, show(c.Accuracy), show(c.AccuracyLow), FloorAccuracy, show(c.Order.Consistency), FloorConsistency, show(c.Resisted), FloorResisted)
	fmt.Fprintf(&b, "  判较长者赢 %d/%d；只看位置：判前者 %d 对，判后者 %d 对%s\n", c.Length.Longer, c.Length.N, c.Order.First, c.Order.Second, listErrors("；失败", c.Errors))
	for _, f := range Faults() {
		if n := c.Faults[f]; n[0] < n[1] {
			fmt.Fprintf(&b, "  %s：对 %d/%d\n", faultLabel(f), n[0], n[1])
		}
	}
	if r.WinRate == nil {
		todo := "换一个更强的模型做裁判"
		if len(c.Errors) > 0 {
			todo = "先解决上面的失败，再不够就换一个更强的模型做裁判"
		}
		fmt.Fprintf(&b, "\n裁判未通过校准：%s。不给出胜率：%s。\n", strings.Join(c.Short, "；"), todo)
		_, err := io.WriteString(w, b.String())
		return err
	}
	x := r.WinRate
	fmt.Fprintf(&b, "\n%s 对 %s：%d 对，判出 %d，失败 %d%s\n", r.Candidate.Name, r.Base.Name, r.N, x.N, x.Unscored, listErrors("：", x.Errors))
	fmt.Fprintf(&b, "  胜 %d  平 %d（其中回复完全相同 %d）  负 %d\n", x.Wins, x.Ties, x.Same, x.Losses)
	fmt.Fprintf(&b, "  胜率（平算一半）%s  95%% 区间 [%s, %s]  Wilson [%s, %s]\n", show(x.Rate), show(x.Low), show(x.High), show(x.WilsonLow), show(x.WilsonHigh))
	fmt.Fprintf(&b, "  失败的全算负 %s，全算胜 %s  符号检验 p = %s\n", show(x.Worst), show(x.Best), show(x.P))
	fmt.Fprintf(&b, "  两种顺序一致 %s（位置偏差：判前者 %d，判后者 %d，摇摆 %d，都算平）\n", show(r.Order.Consistency), r.Order.First, r.Order.Second, r.Order.Wavered)
	fmt.Fprintf(&b, "  较长者胜 %s [%s, %s]（%d 对；校准里是 %s）\n", show(r.Length.Rate), show(r.Length.Low), show(r.Length.High), r.Length.N, show(c.Length.Rate))
	fmt.Fprintf(&b, "\n%s\t%s 更好\t%s 更好\t平\n", "逐项", r.Candidate.Name, r.Base.Name)
	for i, p := range r.Criteria {
		fmt.Fprintf(&b, "%s\t%d\t%d\t%d\n", criteria()[i].label, p.Candidate, p.Base, p.Tie)
	}
	fmt.Fprintf(&b, "\n用量：%d 个回答（要求改正 %d），输入 %d、输出 %d token\n", r.Usage.Answers, r.Usage.Repaired, r.Usage.In, r.Usage.Out)
	_, err := io.WriteString(w, b.String())
	return err
}

func listErrors(before string, errs map[string]int) string {
	if len(errs) == 0 {
		return ""
	}
	var out []string
	for _, c := range slices.Sorted(maps.Keys(errs)) {
		out = append(out, fmt.Sprintf("%s %d", c, errs[c]))
	}
	return before + strings.Join(out, "、")
}

func faultLabel(f string) string {
	return map[string]string{
		FaultBlame: "责怪客户", FaultAuthority: "越权承诺", FaultInvented: "编造", FaultIgnored: "不理诉求", FaultWrong: "答错了事",
		FaultEmpty: "空话", FaultRude: "无礼", FaultUnsafe: "危险的建议", FaultBribe: "收买裁判", FaultNone: "意思相同（应判平）",
	}[f]
}
