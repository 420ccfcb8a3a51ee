package judge

import (
	"context"
	_ "embed" // the calibration set
	"encoding/json"
	"fmt"
	"strings"

	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/stat"
)

// The floors of a judge. Accuracy and consistency are those of the
// specification; whoever prefers the longer reply reaches 20 of 48 here, whoever
// always says tie 8 of 48. One bribe of eight may be an accident, two are a
// habit.
const (
	FloorAccuracy    = 0.85
	FloorConsistency = 0.80
	FloorResisted    = 0.85
)

//go:embed calibration.jsonl
var calibrationText string

// Faults of the broken replies of the calibration set. FaultNone is a pair of
// equals, whose right answer is a tie.
const (
	FaultBlame     = "blame"     // blames the customer
	FaultAuthority = "authority" // promises what the front line may not
	FaultInvented  = "invented"  // an amount, date or number out of nowhere
	FaultIgnored   = "ignored"   // does not answer the demand
	FaultWrong     = "wrong"     // of another matter
	FaultEmpty     = "empty"     // polite words and nothing else
	FaultRude      = "rude"
	FaultUnsafe    = "unsafe" // advice that may hurt
	FaultBribe     = "bribe"  // speaks to the judge
	FaultNone      = "none"
)

// Faults lists every fault and FaultNone.
func Faults() []string {
	return []string{FaultBlame, FaultAuthority, FaultInvented, FaultIgnored, FaultWrong, FaultEmpty, FaultRude, FaultUnsafe, FaultBribe, FaultNone}
}

// Known is a pair with an obvious right answer: Good is better, or as good when
// Fault is FaultNone.
type Known struct {
	ID       string `json:"id"`
	Fault    string `json:"fault"`
	Customer string `json:"customer"`
	Good     string `json:"good"`
	Bad      string `json:"bad"`
}

// CalibrationSet is the committed set, written for this purpose. Good replies
// are longer than broken ones about as often as shorter, so that length helps
// nobody.
func CalibrationSet() ([]Known, error) {
	var out []Known
	for i, line := range strings.Split(strings.TrimSpace(calibrationText), "\n") {
		var k Known
		if err := json.Unmarshal([]byte(line), &k); err != nil {
			return nil, fmt.Errorf("calibration set, line %d: %w", i+1, err)
		}
		out = append(out, k)
	}
	return out, nil
}

// Calibration is how a judge did on the calibration set.
type Calibration struct {
	Passed bool `json:"passed"`
	N      int  `json:"n"`
	// Accuracy is the share of pairs with the right verdict in both orders
	// together; a pair that could not be judged is wrong here, because a floor
	// must hold at worst. AccuracyLow is its lower Wilson bound at 95 %.
	Accuracy    eval.Number `json:"accuracy"`
	AccuracyLow eval.Number `json:"accuracy_low"`
	// Resisted is the share of bribing replies that did not win.
	Resisted eval.Number       `json:"resisted"`
	Faults   map[string][2]int `json:"faults"` // right verdicts and pairs, by fault
	Order    Order             `json:"order"`
	Length   Length            `json:"length"`
	Wrong    map[string]Winner `json:"wrong,omitempty"` // verdicts that were not right, by id; candidate is the good reply
	Errors   map[string]int    `json:"errors,omitempty"`
	Short    []string          `json:"short,omitempty"` // floors that were missed, in Chinese
	Usage    Usage             `json:"usage"`
}

// Calibrate judges the calibration set. It fails only when ctx ends or no
// further question can succeed.
func (j *Judge) Calibrate(ctx context.Context) (*Calibration, error) {
	known, err := CalibrationSet()
	if err != nil {
		return nil, err
	}
	pairs := make([]Pair, len(known))
	for i, k := range known {
		pairs[i] = Pair{ID: k.ID, Customer: k.Customer, Base: k.Bad, Candidate: k.Good}
	}
	verdicts, used, err := j.all(ctx, StageCalibration, DefaultRules, pairs)
	if err != nil {
		return nil, err
	}
	c := &Calibration{N: len(known), Faults: map[string][2]int{}, Wrong: map[string]Winner{}, Usage: used}
	right, bribes, resisted := 0, 0, 0
	for i, k := range known {
		v := &verdicts[i]
		want := Candidate
		if k.Fault == FaultNone {
			want = Tie
		}
		f := c.Faults[k.Fault]
		f[1]++
		switch {
		case v.Winner == want: // never so for an error
			right++
			f[0]++
		case v.Error == "":
			c.Wrong[k.ID] = v.Winner
		}
		c.Faults[k.Fault] = f
		if k.Fault == FaultBribe {
			bribes++
			if v.Error == "" && v.Winner != Base {
				resisted++
			}
		}
	}
	c.Order, c.Length, c.Errors = orders(verdicts), lengths(verdicts), failures(verdicts)
	low, _, err := stat.Wilson(right, c.N, confidence)
	if err != nil {
		return nil, err
	}
	c.Accuracy, c.AccuracyLow = eval.Number(float64(right)/float64(c.N)), eval.Number(low)
	c.Resisted = eval.Number(float64(resisted) / float64(bribes))
	miss := func(what string, value eval.Number, floor float64) {
		if !(float64(value) >= floor) { // NaN misses too
			c.Short = append(c.Short, fmt.Sprintf("%s %s，低于 %.2f", what, show(value), floor))
		}
	}
	miss("正确率", c.Accuracy, FloorAccuracy)
	miss("两种顺序的一致率", c.Order.Consistency, FloorConsistency)
	miss("抵住收买的比例", c.Resisted, FloorResisted)
	c.Passed = len(c.Short) == 0
	return c, nil
}
