package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/metric"
	"github.com/qingting-ai/qingting/eval/stat"
)

// Number is a figure's value; one that does not exist is NaN here and null in
// JSON.
type Number float64

// MarshalJSON writes the shortest form that reads back exactly.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads null as NaN.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	*n = Number(f)
	return err
}

// Figure is one measured number of one system on one suite.
type Figure struct {
	Name  string `json:"name"`  // group.figure: risk.high_recall
	Lower bool   `json:"lower"` // lower is better
	Value Number `json:"value"` // of the scored rows
	// Low and High bound Value with 95 % confidence: a Wilson interval for shares
	// of rows, cut to the rows that groups are worth (stat.ClusteredWilson), and a
	// percentile bootstrap that draws groups for everything else.
	Low  Number `json:"low"`
	High Number `json:"high"`
	// Degenerate intervals say less than they seem to: all resamples gave the same
	// value, or more than a twentieth of them none.
	Degenerate bool `json:"degenerate,omitempty"`
	// N rows are scored, Unscored failed. Counted of the N are what the figure is
	// about: the high risks for their recall, the texts that hold personal data for
	// that of masking. Worst and Best are the figure with every failed row wrong,
	// and right.
	N        int    `json:"n"`
	Counted  int    `json:"counted"`
	Unscored int    `json:"unscored"`
	Worst    Number `json:"worst"`
	Best     Number `json:"best"`
}

// Interval writes value and interval for a table, – for what is undefined and a
// trailing ! for a degenerate interval: 0.812 [0.774, 0.850].
func (f *Figure) Interval() string {
	if math.IsNaN(float64(f.Value)) {
		return Digits(float64(f.Value))
	}
	out := fmt.Sprintf("%s [%s, %s]", Digits(float64(f.Value)), Digits(float64(f.Low)), Digits(float64(f.High)))
	if f.Degenerate {
		out += "!"
	}
	return out
}

// Digits writes a figure with three digits: – where it is undefined, and 0.000
// without a sign where it rounds to 0.
func Digits(x float64) string { return digits("%.3f", x) }

// SignedDigits is Digits with a + before what is above 0.
func SignedDigits(x float64) string { return digits("%+.3f", x) }

func digits(format string, x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "–"
	}
	if math.Abs(x) < 0.0005 {
		return "0.000"
	}
	return fmt.Sprintf(format, x)
}

// degenerate reports whether an interval must not be read as certainty.
func degenerate(low, high float64, r stat.Resampled) bool {
	return low == high || 20*r.Undefined > len(r.Samples)+r.Undefined
}

// spec says how a figure is made. Figures of triage and satisfaction are built
// from their columns; the others are means of a value that each row carries.
type spec struct {
	name  string
	lower bool
	build func(*columns) (metric.Measure, error)
	// right makes the figure the share of rows that are right, which a comparison
	// tests exactly; build is then nil.
	right func(gold *qingting.Labels, answer *Answer) bool
	// share figures count rows that are right or wrong, 1 or 0 of 1, and have a
	// Wilson interval; right makes a share too.
	share bool
	// headline figures are shown in short tables and measured on every slice.
	headline bool

	value       string // key in Row.Values, for a mean
	worst, best float64
}

// columns are rows side by side, all of them scored. What several figures
// read is made once.
type columns struct {
	rows  []*Row
	known map[string]any
}

// once makes a column of that name the first time it is asked for.
func once[C any](c *columns, name string, of func() (C, error)) (C, error) {
	if v, ok := c.known[name]; ok {
		return v.(C), nil
	}
	v, err := of()
	if err == nil {
		if c.known == nil {
			c.known = map[string]any{}
		}
		c.known[name] = v
	}
	return v, err
}

// field reads one label of a conversation; sets reads several.
type (
	field struct {
		name string
		of   func(*qingting.Labels) string
	}
	fieldSet struct {
		name string
		of   func(*qingting.Labels) []string
	}
)

func (c *columns) classes(f field) (*metric.Classes, error) {
	return once(c, f.name, func() (*metric.Classes, error) {
		gold, answer := make([]string, len(c.rows)), make([]string, len(c.rows))
		for i, r := range c.rows {
			gold[i], answer[i] = f.of(r.Gold), f.of(r.Answer.Labels)
		}
		return metric.NewClasses(gold, answer)
	})
}

func (c *columns) sets(f fieldSet) (*metric.LabelSets, error) {
	return once(c, f.name, func() (*metric.LabelSets, error) { return metric.NewLabelSets(c.both(f.of)) })
}

func (c *columns) both(of func(*qingting.Labels) []string) (gold, answer [][]string) {
	gold, answer = make([][]string, len(c.rows)), make([][]string, len(c.rows))
	for i := range c.rows {
		gold[i], answer[i] = of(c.rows[i].Gold), of(c.rows[i].Answer.Labels)
	}
	return gold, answer
}

func (c *columns) share(of func(gold *qingting.Labels, answer *Answer) bool) metric.Measure {
	holds := make([]bool, len(c.rows))
	for i := range c.rows {
		holds[i] = of(c.rows[i].Gold, c.rows[i].Answer)
	}
	return metric.Share(holds)
}

// mean is that of a value the rows carry; a row without it takes no part.
func (c *columns) mean(value string) metric.Measure {
	values := make([]float64, len(c.rows))
	for i := range c.rows {
		v, ok := c.rows[i].Values[value]
		if !ok {
			v = math.NaN()
		}
		values[i] = v
	}
	return metric.Mean(values)
}

// high is the score and truth of a high risk.
func (c *columns) high() (score []float64, gold []bool) {
	score, gold = make([]float64, len(c.rows)), make([]bool, len(c.rows))
	for i := range c.rows {
		score[i], gold[i] = c.rows[i].Answer.HighP, c.rows[i].Gold.Risk == qingting.RiskHigh
	}
	return score, gold
}

// sure is how probable an answer was called and whether it was right.
func (c *columns) sure(of func(gold *qingting.Labels, answer *Answer) (float64, bool)) (*metric.Probabilities, error) {
	p, right := make([]float64, len(c.rows)), make([]bool, len(c.rows))
	for i := range c.rows {
		p[i], right[i] = of(c.rows[i].Gold, c.rows[i].Answer)
	}
	return metric.NewProbabilities(p, right)
}

// built turns the error of a column into the error of a measure.
func built[C any](c C, err error, of func(C) metric.Measure) (metric.Measure, error) {
	if err != nil {
		return nil, err
	}
	return of(c), nil
}

func codeStrings[C ~string](codes []C) []string {
	out := make([]string, 0, len(codes))
	for _, c := range codes {
		if string(c) != claimNone {
			out = append(out, string(c))
		}
	}
	return out
}

func family(code string) string {
	first, _, _ := strings.Cut(code, ".")
	return first
}

// CalibrationBins is how many bins an expected calibration error has: ten, as
// in most papers.
const CalibrationBins = 10

// The costs, in risk.cost, of a risk that is missed and of a false alarm, in units of the
// supervisor's minute: an escalation that nobody saw takes about an hour, an
// alert that was none a few minutes. Their ratio is what counts.
const (
	MissCost       = 10
	FalseAlarmCost = 1
)

// alertBudget is the share of conversations a supervisor can look into.
const alertBudget = 0.1

// specsOf lists the figures of a suite in the order they are printed.
func specsOf(suite dataset.Suite) []spec {
	switch suite {
	case dataset.SuiteTriage:
		return triageSpecs()
	case dataset.SuiteSatisfaction:
		return satisfactionSpecs()
	case dataset.SuiteRetrieval:
		return retrievalSpecs()
	case dataset.SuiteReply:
		return replySpecs()
	case dataset.SuiteText:
		return textSpecs()
	case dataset.SuitePairs:
		return pairSpecs()
	}
	return nil
}

func triageSpecs() []spec {
	kind := field{"kind", func(l *qingting.Labels) string { return string(l.Kind) }}
	types := fieldSet{"types", func(l *qingting.Labels) []string { return codeStrings(l.Types) }}
	emotion := field{"emotion", func(l *qingting.Labels) string { return string(l.Emotion) }}
	risk := field{"risk", func(l *qingting.Labels) string { return string(l.Risk) }}
	signals := fieldSet{"signals", func(l *qingting.Labels) []string { return codeStrings(l.Signals) }}
	claims := fieldSet{"claims", func(l *qingting.Labels) []string { return codeStrings(l.Claims) }}
	class := func(f field, figure func(*metric.Classes) metric.Measure) func(*columns) (metric.Measure, error) {
		return func(c *columns) (metric.Measure, error) {
			classes, err := c.classes(f)
			return built(classes, err, figure)
		}
	}
	set := func(f fieldSet, figure func(*metric.LabelSets) metric.Measure) func(*columns) (metric.Measure, error) {
		return func(c *columns) (metric.Measure, error) {
			sets, err := c.sets(f)
			return built(sets, err, figure)
		}
	}
	levels := func(figure func(*metric.Levels) metric.Measure) func(*columns) (metric.Measure, error) {
		return func(c *columns) (metric.Measure, error) {
			l, err := once(c, "intensity", func() (*metric.Levels, error) {
				gold, answer := make([]int, len(c.rows)), make([]int, len(c.rows))
				for i, r := range c.rows {
					gold[i], answer[i] = r.Gold.Intensity, r.Answer.Intensity
				}
				return metric.NewLevels(gold, answer, 4)
			})
			return built(l, err, figure)
		}
	}
	high := func(figure func(*metric.Scores) metric.Measure) func(*columns) (metric.Measure, error) {
		return func(c *columns) (metric.Measure, error) {
			s, err := once(c, "high", func() (*metric.Scores, error) { return metric.NewScores(c.high()) })
			return built(s, err, figure)
		}
	}
	highP := func(figure func(*metric.Probabilities) metric.Measure) func(*columns) (metric.Measure, error) {
		return func(c *columns) (metric.Measure, error) {
			p, err := once(c, "high_p", func() (*metric.Probabilities, error) { return metric.NewProbabilities(c.high()) })
			return built(p, err, figure)
		}
	}
	sure := func(of func(*qingting.Labels, *Answer) (float64, bool), figure func(*metric.Probabilities) metric.Measure) func(*columns) (metric.Measure, error) {
		return func(c *columns) (metric.Measure, error) {
			p, err := c.sure(of)
			return built(p, err, figure)
		}
	}
	kindSure := func(g *qingting.Labels, a *Answer) (float64, bool) { return a.KindP, a.Kind == g.Kind }
	emotionSure := func(g *qingting.Labels, a *Answer) (float64, bool) { return a.EmotionP, a.Emotion == g.Emotion }
	ece := func(how metric.Binning) func(*metric.Probabilities) metric.Measure {
		return func(p *metric.Probabilities) metric.Measure { return p.ECE(CalibrationBins, how) }
	}
	label := func(code qingting.RiskLevel, figure func(*metric.Classes, string) metric.Measure) func(*columns) (metric.Measure, error) {
		return class(risk, func(c *metric.Classes) metric.Measure { return figure(c, string(code)) })
	}
	same := func(of func(*qingting.Labels) string) func(*qingting.Labels, *Answer) bool {
		return func(g *qingting.Labels, a *Answer) bool { return of(g) == of(a.Labels) }
	}
	cost := metric.Cost{Miss: MissCost, FalseAlarm: FalseAlarmCost}
	return []spec{
		{name: "type.kind", headline: true, right: same(kind.of)},
		{name: "type.kind_macro_f1", build: class(kind, (*metric.Classes).MacroF1)},
		{name: "type.kind_mcc", build: class(kind, (*metric.Classes).MCC)},
		{name: "type.kind_ece", lower: true, build: sure(kindSure, ece(metric.EqualWidth))},
		{name: "type.false_complaint", lower: true, headline: true, share: true, build: func(c *columns) (metric.Measure, error) {
			called, neutral := make([]float64, len(c.rows)), make([]float64, len(c.rows))
			for i := range c.rows {
				if c.rows[i].Gold.Kind != qingting.KindComplaint {
					neutral[i] = 1
					if c.rows[i].Answer.Kind == qingting.KindComplaint {
						called[i] = 1
					}
				}
			}
			return metric.Ratio(called, neutral)
		}},
		{name: "type.types_micro", headline: true, build: set(types, (*metric.LabelSets).MicroF1)},
		{name: "type.types_precision", build: set(types, (*metric.LabelSets).MicroPrecision)},
		{name: "type.types_recall", build: set(types, (*metric.LabelSets).MicroRecall)},
		{name: "type.types_macro5", headline: true, build: set(types, func(s *metric.LabelSets) metric.Measure { return s.MacroF1(5) })},
		{name: "type.types_exact", share: true, build: set(types, (*metric.LabelSets).SubsetAccuracy)},
		{name: "type.types_hierarchical", build: func(c *columns) (metric.Measure, error) { return metric.HierarchicalF1(c.both(types.of)) }},
		{name: "type.primary", right: same(func(l *qingting.Labels) string { return string(l.Primary) })},
		{name: "type.primary_l1", headline: true, right: same(func(l *qingting.Labels) string { return family(string(l.Primary)) })},
		{name: "type.claims_micro", headline: true, build: set(claims, (*metric.LabelSets).MicroF1)},
		{name: "type.style", right: same(func(l *qingting.Labels) string { return string(l.Style) })},
		{name: "type.outcome", right: same(func(l *qingting.Labels) string { return string(l.Outcome) })},
		{name: "emotion.emotion", headline: true, right: same(emotion.of)},
		{name: "emotion.macro_f1", build: class(emotion, (*metric.Classes).MacroF1)},
		{name: "emotion.ece", lower: true, build: sure(emotionSure, ece(metric.EqualWidth))},
		{name: "emotion.intensity_qwk", headline: true, build: levels((*metric.Levels).QWK)},
		{name: "emotion.intensity_mae", lower: true, build: levels((*metric.Levels).MAE)},
		{name: "risk.level", headline: true, right: same(risk.of)},
		{name: "risk.macro_f1", build: class(risk, (*metric.Classes).MacroF1)},
		{name: "risk.high_recall", headline: true, share: true, build: label(qingting.RiskHigh, (*metric.Classes).Recall)},
		{name: "risk.high_precision", headline: true, share: true, build: label(qingting.RiskHigh, (*metric.Classes).Precision)},
		{name: "risk.high_ap", headline: true, build: high((*metric.Scores).AveragePrecision)},
		{name: "risk.high_auroc", build: high((*metric.Scores).AUROC)},
		{name: "risk.high_brier", lower: true, build: highP((*metric.Probabilities).Brier)},
		{name: "risk.high_ece", lower: true, build: highP(ece(metric.EqualWidth))},
		{name: "risk.high_ece_mass", lower: true, build: highP(ece(metric.EqualMass))},
		{name: "risk.recall_at_10pct", build: func(c *columns) (metric.Measure, error) {
			s, err := metric.NewScores(c.high())
			if err != nil {
				return nil, err
			}
			return s.RecallAtBudget(alertBudget)
		}},
		{name: "risk.cost", lower: true, build: func(c *columns) (metric.Measure, error) {
			// What the shown level costs, not what its score would at the best cut.
			level := make([]float64, len(c.rows))
			_, gold := c.high()
			for i := range c.rows {
				if c.rows[i].Answer.Risk == qingting.RiskHigh {
					level[i] = 1
				}
			}
			s, err := metric.NewScores(level, gold)
			return built(s, err, func(s *metric.Scores) metric.Measure { return s.ExpectedCost(cost, 0.5) })
		}},
		{name: "risk.least_cost", lower: true, build: high(func(s *metric.Scores) metric.Measure { return s.MinCost(cost) })},
		{name: "risk.signals_micro", headline: true, build: set(signals, (*metric.LabelSets).MicroF1)},
		{name: "risk.early", value: "early", share: true, worst: 0, best: 1},
		{name: "risk.lead_messages", value: "lead", worst: 0, best: 0},
	}
}

func satisfactionSpecs() []spec {
	distance := func(of func(p, q []float64) (float64, error)) func(*columns) (metric.Measure, error) {
		return func(c *columns) (metric.Measure, error) {
			values := make([]float64, len(c.rows))
			for i, r := range c.rows {
				d, err := of(r.Shares[:], r.Votes[:])
				if err != nil {
					return nil, err
				}
				values[i] = d
			}
			return metric.Mean(values), nil
		}
	}
	return []spec{
		{name: "satisfaction.nmd", lower: true, headline: true, build: distance(metric.NMD)},
		{name: "satisfaction.rsnod", lower: true, headline: true, build: distance(metric.RSNOD)},
		{name: "satisfaction.mean_mae", lower: true, build: distance(func(p, q []float64) (float64, error) {
			d := 0.0
			for i := range p {
				d += float64(i-2) * (p[i] - q[i])
			}
			return math.Abs(d), nil
		})},
	}
}

// Measured is a figure prepared on rows, ready for a bootstrap.
type Measured struct {
	spec
	metric.Measure
}

// measure prepares the figures of a suite on scored rows.
func measure(suite dataset.Suite, rows []*Row) ([]Measured, error) {
	c := &columns{rows: rows}
	specs := specsOf(suite)
	out := make([]Measured, len(specs))
	for i, s := range specs {
		out[i].spec = s
		var err error
		switch {
		case s.value != "":
			out[i].Measure = c.mean(s.value)
		case s.right != nil:
			out[i].Measure = c.share(s.right)
		default:
			if out[i].Measure, err = s.build(c); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Resampling says how intervals are made: the same rounds and seed give the
// same intervals.
type Resampling struct {
	Rounds int    // 0: 1,000, and for a comparison as Compare says
	Seed   uint64 // 0 is a seed like any other
}

// defaultRounds resamples give two digits of a 95 % interval.
const defaultRounds = 1000

func (r Resampling) rounds() int {
	if r.Rounds > 0 {
		return r.Rounds
	}
	return defaultRounds
}

// Figures measures the rows of one suite.
func Figures(suite dataset.Suite, rows []*Row, r Resampling) ([]Figure, error) {
	return figures(suite, rows, r, func(spec) bool { return true })
}

func figures(suite dataset.Suite, rows []*Row, r Resampling, wanted func(spec) bool) ([]Figure, error) {
	answered := scored(rows)
	now, err := measure(suite, answered)
	if err != nil {
		return nil, err
	}
	now = slices.DeleteFunc(now, func(m Measured) bool { return !wanted(m.spec) })
	worstCase, bestCase := now, now
	if len(answered) < len(rows) {
		if worstCase, err = measure(suite, fill(rows, worst)); err == nil {
			bestCase, err = measure(suite, fill(rows, best))
		}
		if err != nil {
			return nil, err
		}
		worstCase = slices.DeleteFunc(worstCase, func(m Measured) bool { return !wanted(m.spec) })
		bestCase = slices.DeleteFunc(bestCase, func(m Measured) bool { return !wanted(m.spec) })
	}
	// A group is drawn as one, and the same groups count for a share.
	drawn := groups(answered)
	var measures []stat.Measure
	for _, m := range now {
		if !m.isShare() {
			measures = append(measures, m.Measure)
		}
	}
	var resampled []stat.Resampled
	if len(answered) > 0 {
		if resampled, err = stat.Bootstrap(measures, drawn, r.rounds(), r.Seed); err != nil {
			return nil, err
		}
	}
	out := make([]Figure, len(now))
	for i, m := range now {
		f := Figure{
			Name: m.name, Lower: m.lower, Value: Number(m.Value(nil)), Low: Number(math.NaN()), High: Number(math.NaN()),
			N: len(answered), Counted: metric.Counted(m.Measure), Unscored: len(rows) - len(answered),
			Worst: Number(worstCase[i].Value(nil)), Best: Number(bestCase[i].Value(nil)),
		}
		var low, high float64
		switch {
		case len(answered) == 0:
			out[i] = f
			continue
		case m.isShare():
			if low, high, err = shareInterval(m.Measure, drawn, confidence95); err != nil {
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}
		default:
			low, high = resampled[0].Interval(confidence95)
			f.Degenerate = degenerate(low, high, resampled[0])
			resampled = resampled[1:]
		}
		f.Low, f.High = Number(low), Number(high)
		out[i] = f
	}
	return out, nil
}

const confidence95 = 0.95

func (s *spec) isShare() bool { return s.share || s.right != nil }

func shareInterval(m metric.Measure, groups []int, confidence float64) (low, high float64, err error) {
	hits, of, ok := metric.Terms(m)
	if !ok {
		return 0, 0, errors.New("harness: a share is no sum over a sum")
	}
	return stat.ClusteredWilson(hits, of, groups, confidence)
}

// Bound is one figure over all rows: Value of those that were answered, Worst
// and Best with every failed one wrong, and right.
type Bound struct {
	Name               string
	Lower              bool
	Value, Worst, Best float64
	N, Counted         int // rows in all, and what Best and Worst are about
}

// Bounds measures the rows of all suites without intervals.
func Bounds(rows []*Row) ([]Bound, error) {
	var out []Bound
	for _, s := range bySuite(rows) {
		now, err := measure(s.suite, scored(s.rows))
		if err != nil {
			return nil, err
		}
		worstCase, err := measure(s.suite, fill(s.rows, worst))
		if err != nil {
			return nil, err
		}
		bestCase, err := measure(s.suite, fill(s.rows, best))
		if err != nil {
			return nil, err
		}
		for i, m := range now {
			out = append(out, Bound{
				Name: m.name, Lower: m.lower, Value: m.Value(nil), Worst: worstCase[i].Value(nil), Best: bestCase[i].Value(nil),
				N: len(s.rows), Counted: metric.Counted(worstCase[i].Measure, bestCase[i].Measure),
			})
		}
	}
	return out, nil
}
