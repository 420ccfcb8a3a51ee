package eval

import (
	"errors"
	"math"
	"slices"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/stat"
)

// AlertPoint is what a threshold of the live service would do to the
// conversations of a run.
type AlertPoint struct {
	Threshold float64 `json:"threshold"` // on the probability of high risk, in [0, 1]
	Loud      int     `json:"loud"`      // conversations that call a supervisor
	Caught    int     `json:"caught"`    // those of them that are high risks
	High      int     `json:"high"`      // high risks there are
	N         int     `json:"n"`
	// Intervals (Wilson, 95 %) of Caught/High and of Caught/Loud; NaN where there
	// is nothing to count.
	Recall, Precision, RecallLow, RecallHigh, PrecisionLow, PrecisionHigh Number
}

// AlertCurve holds the rule of the live service against the rows of triage: an
// alert is loud when the level is high or the priority P0 or P1, and the
// probability of high risk reaches the threshold or the priority is P0. Every
// threshold that changes something is a point, by rising threshold, 0 first.
func AlertCurve(rows []*Row) ([]AlertPoint, error) {
	type conversation struct {
		score          float64
		alarming, high bool
		always         bool // P0
	}
	var all []conversation
	cuts := []float64{0}
	for _, r := range rows {
		if r.Suite != dataset.SuiteTriage || r.Error != "" || r.Answer == nil || r.Gold == nil {
			continue
		}
		types := make([]qingting.TypeScore, len(r.Answer.Types))
		for i, t := range r.Answer.Types {
			types[i].Code = t
		}
		signals := make([]qingting.Signal, len(r.Answer.Signals))
		for i, s := range r.Answer.Signals {
			signals[i].Code = s
		}
		p, _ := qingting.Prioritize(r.Answer.Kind, types, signals)
		c := conversation{score: r.Answer.HighP, high: r.Gold.Risk == qingting.RiskHigh, always: p == qingting.PriorityP0}
		c.alarming = r.Answer.Risk == qingting.RiskHigh || p == qingting.PriorityP0 || p == qingting.PriorityP1
		all = append(all, c)
		if c.alarming && !c.always {
			cuts = append(cuts, c.score)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("这次评测里没有分诊的结果")
	}
	slices.Sort(cuts)
	var out []AlertPoint
	for _, cut := range slices.Compact(cuts) {
		point := AlertPoint{Threshold: cut, N: len(all)}
		for _, c := range all {
			if c.high {
				point.High++
			}
			if c.alarming && (c.always || c.score >= cut) {
				point.Loud++
				if c.high {
					point.Caught++
				}
			}
		}
		point.Recall, point.RecallLow, point.RecallHigh = share(point.Caught, point.High)
		point.Precision, point.PrecisionLow, point.PrecisionHigh = share(point.Caught, point.Loud)
		out = append(out, point)
	}
	return out, nil
}

func share(hits, n int) (value, low, high Number) {
	if n == 0 {
		none := Number(math.NaN())
		return none, none, none
	}
	l, h, _ := stat.Wilson(hits, n, 0.95) // counts and confidence are right
	return Number(float64(hits) / float64(n)), Number(l), Number(h)
}
