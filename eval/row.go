package eval

import (
	"cmp"
	"slices"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// Row is what one system made of one example: labels, numbers and places, no
// text, so that the rows of a public suite may be committed. Gold and answer
// stand together, and a figure needs nothing else.
type Row struct {
	Suite  dataset.Suite     `json:"suite"`
	File   string            `json:"file"` // File.Name in dataset.yaml
	ID     string            `json:"id"`
	Hash   string            `json:"hash"`  // of the example; runs are paired by it
	Group  string            `json:"group"` // conversation, customer or time that is drawn as one
	Slices map[string]string `json:"slices,omitempty"`
	// Error is the stable code of a failure. Nothing but gold follows then; the
	// row is unscored, never 0 and never dropped.
	Error string `json:"error,omitempty"`

	// Gold and Answer belong to triage.
	Gold   *qingting.Labels `json:"gold,omitempty"`
	Answer *Answer          `json:"answer,omitempty"`
	// Votes and Shares belong to satisfaction: the shares of votes −2 … 2, given
	// and predicted.
	Votes  *[5]float64 `json:"votes,omitempty"`
	Shares *[5]float64 `json:"shares,omitempty"`
	// Values are figures of this example alone, of the other suites; a figure
	// that it has no part in is missing.
	Values map[string]float64 `json:"values,omitempty"`
	// Ranking is the answer to a query, best first.
	Ranking []Ranked `json:"ranking,omitempty"`

	recorded bool // the answer came from a recording
}

// Ranked is one case of a ranking.
type Ranked struct {
	ID    string  `json:"id"`
	Score float64 `json:"score"`
}

// Answer is what a system said of a conversation.
type Answer struct {
	*qingting.Labels
	// Probabilities of the labels above, in [0, 1]; Types in their order.
	KindP    float64   `json:"kind_p"`
	TypesP   []float64 `json:"types_p"`
	EmotionP float64   `json:"emotion_p"`
	StyleP   float64   `json:"style_p"`
	OutcomeP float64   `json:"outcome_p"`
	HighP    float64   `json:"high_p"` // that the risk is high
	Evidence []Mark    `json:"evidence,omitempty"`
}

// Mark is a quote without its words.
type Mark struct {
	Field   qingting.Field `json:"field"`
	Code    string         `json:"code"`
	Message int            `json:"message"`
	Start   int            `json:"start"`
	End     int            `json:"end"`
}

// NewAnswer takes out of an analysis what figures need.
func NewAnswer(a *qingting.Analysis) *Answer {
	out := &Answer{
		Labels: &qingting.Labels{
			Kind: a.Kind.Code, Emotion: a.Emotion.Code, Intensity: a.Emotion.Intensity,
			Risk: a.Risk.Level, Style: a.Style.Code, Outcome: a.Outcome.Code,
			Types: []qingting.Type{}, Signals: []qingting.SignalCode{}, Claims: []qingting.ClaimCode{},
		},
		KindP: a.Kind.Confidence, EmotionP: a.Emotion.Confidence, StyleP: a.Style.Confidence, OutcomeP: a.Outcome.Confidence,
		HighP: a.Risk.Score, TypesP: []float64{},
	}
	if a.Primary != nil {
		out.Primary = *a.Primary
	}
	mark := func(field qingting.Field, code string, spans ...qingting.Span) {
		for _, s := range spans {
			out.Evidence = append(out.Evidence, Mark{field, code, s.Message, s.Start, s.End})
		}
	}
	for _, t := range a.Types {
		out.Types = append(out.Types, t.Code)
		out.TypesP = append(out.TypesP, t.Confidence)
		mark(qingting.FieldType, string(t.Code), t.Evidence...)
	}
	for _, c := range a.Claims {
		if c.Code != claimNone {
			out.Claims = append(out.Claims, c.Code)
		}
		mark(qingting.FieldClaim, string(c.Code), c.Evidence...)
	}
	for _, s := range a.Risk.Signals {
		if !slices.Contains(out.Signals, s.Code) {
			out.Signals = append(out.Signals, s.Code)
		}
		mark(qingting.FieldSignal, string(s.Code), s.Span)
	}
	return out
}

// claimNone is how the label guide writes that nothing is claimed.
const claimNone = "none"

// completed stands for answers that are missing: all right, or all wrong. The
// figures of a run with failures lie between the two.
type completed bool

const (
	worst completed = false
	best  completed = true
)

// fill returns rows in which every failed one has an answer.
func fill(rows []*Row, how completed) []*Row {
	out := slices.Clone(rows)
	for i := range out {
		if out[i].Error == "" {
			continue
		}
		filled := *out[i]
		r := &filled
		out[i], r.Error = r, ""
		switch {
		case r.Gold != nil && how == best:
			r.Answer = &Answer{
				Labels: r.Gold, KindP: 1, EmotionP: 1, StyleP: 1, OutcomeP: 1, TypesP: slices.Repeat([]float64{1}, len(r.Gold.Types)),
			}
			if r.Gold.Risk == qingting.RiskHigh {
				r.Answer.HighP = 1
			}
		case r.Gold != nil:
			r.Answer = wrong(r.Gold)
		case r.Votes != nil && how == best:
			r.Shares = r.Votes
		case r.Votes != nil:
			// The farthest distribution has all its weight at the far end.
			mean := 0.0
			for i, v := range r.Votes {
				mean += v * float64(i-2)
			}
			far := [5]float64{4: 1}
			if mean > 0 {
				far = [5]float64{0: 1}
			}
			r.Shares = &far
		default:
			// valueBounds knows the worst and the best of each value.
			r.Values = map[string]float64{}
			for _, s := range specsOf(r.Suite) {
				if s.value != "" {
					bound := s.worst
					if how == best {
						bound = s.best
					}
					r.Values[s.value] = bound
				}
			}
		}
	}
	return out
}

// wrong is the answer that is wrong in every field: another code, one code
// too many where a set is asked and none of the right ones, the farthest
// level, and sure of it.
func wrong(gold *qingting.Labels) *Answer {
	a := &Answer{Labels: &qingting.Labels{}, KindP: 1, EmotionP: 1, StyleP: 1, OutcomeP: 1, TypesP: []float64{1}}
	a.Kind = other(gold.Kind, qingting.Kinds())
	a.Types = stranger(gold.Types, qingting.Types())
	a.Primary = a.Types[0]
	for _, t := range qingting.Types() {
		if family(string(t)) != family(string(gold.Primary)) {
			a.Primary = t
			break
		}
	}
	a.Emotion = other(gold.Emotion, qingting.Emotions())
	if gold.Intensity < 2 {
		a.Intensity = 3
	}
	a.Risk, a.HighP = qingting.RiskHigh, 1
	if gold.Risk == qingting.RiskHigh {
		a.Risk, a.HighP = qingting.RiskLow, 0
	}
	a.Signals = stranger(gold.Signals, qingting.Signals())
	a.Claims = stranger(gold.Claims, qingting.Claims())
	a.Style = other(gold.Style, qingting.Styles())
	a.Outcome = other(gold.Outcome, qingting.Outcomes())
	return a
}

func other[C comparable](code C, all []C) C {
	for _, c := range all {
		if c != code {
			return c
		}
	}
	return code
}

// stranger is one code that is not in gold.
func stranger[C comparable](gold, all []C) []C {
	for _, c := range all {
		if !slices.Contains(gold, c) {
			return []C{c}
		}
	}
	return nil
}

// scored returns the rows that have an answer.
func scored(rows []*Row) []*Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r *Row) bool { return r.Error != "" })
}

// groups numbers the groups of rows, for the bootstrap.
func groups(rows []*Row) []int {
	number := map[string]int{}
	out := make([]int, len(rows))
	for i := range rows {
		g, ok := number[rows[i].Group]
		if !ok {
			g = len(number)
			number[rows[i].Group] = g
		}
		out[i] = g
	}
	return out
}

// bySuite parts rows into suites, in the order of their names.
func bySuite(rows []*Row) []suiteRows {
	var out []suiteRows
	for _, r := range rows {
		at := slices.IndexFunc(out, func(s suiteRows) bool { return s.suite == r.Suite })
		if at < 0 {
			at = len(out)
			out = append(out, suiteRows{suite: r.Suite})
		}
		out[at].rows = append(out[at].rows, r)
	}
	slices.SortFunc(out, func(a, b suiteRows) int { return cmp.Compare(a.suite, b.suite) })
	return out
}

type suiteRows struct {
	suite dataset.Suite
	rows  []*Row
}
