package label

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
)

// Column is one question that every conversation answers: a single-label field,
// or whether one code of a set field applies.
type Column struct {
	Field string
	Code  string   // of a set field, else empty
	Codes []string // the classes, in the order of the probabilities
	Given []int    // class by conversation
	P     [][]float64
	// Few is true of a code given so rarely that nothing can be estimated; such a
	// column is reported as skipped.
	Few bool
}

// The classes of a column of a set field.
const (
	Absent  = "absent"
	Present = "present"
)

// Columns turns labels and the out-of-sample scores of the same conversations
// into columns, in the order of the label guide. Fields names those wanted as
// Agreement does (kind, types …), none stands for all that a model scores; the
// primary type is scored only within complaints and is left out.
func Columns(labels []qingting.Labels, scores []qingting.Scores, wanted []string) ([]Column, error) {
	if len(labels) != len(scores) {
		return nil, fmt.Errorf("标注有 %d 行，预测有 %d 行，请逐行对齐", len(labels), len(scores))
	}
	for _, name := range wanted {
		if !slices.Contains(NoiseFields(), name) {
			return nil, fmt.Errorf("不能检查字段 %q，可选 %v", name, NoiseFields())
		}
	}
	var out []Column
	for _, f := range fields() {
		of := probabilities(f.name)
		if of == nil || len(wanted) > 0 && !slices.Contains(wanted, f.name) {
			continue
		}
		given, p := make([][]string, len(labels)), make([][]float64, len(labels))
		for i := range labels {
			if err := check(&labels[i]); err != nil {
				return nil, fmt.Errorf("第 %d 份标注%w", i+1, err)
			}
			given[i], p[i] = f.values(&labels[i]), of(&scores[i])
			if len(p[i]) != len(f.codes) {
				return nil, fmt.Errorf("模型没有给出 %s 的概率（第 %d 个会话）", f.name, i+1)
			}
		}
		if !f.set {
			c := Column{Field: f.name, Codes: f.codes, Given: make([]int, len(labels)), P: p}
			for i := range given {
				c.Given[i] = slices.Index(f.codes, given[i][0])
			}
			out = append(out, c)
			continue
		}
		for k, code := range f.codes {
			c := Column{Field: f.name, Code: code, Codes: []string{Absent, Present}, Given: make([]int, len(labels)), P: make([][]float64, len(labels))}
			n := 0
			for i := range given {
				if slices.Contains(given[i], code) {
					c.Given[i] = 1
					n++
				}
				c.P[i] = []float64{1 - p[i][k], p[i][k]}
			}
			c.Few = n < leastGiven
			out = append(out, c)
		}
	}
	return out, nil
}

// NoiseFields lists the fields that Columns knows.
func NoiseFields() []string {
	var out []string
	for _, f := range fields() {
		if probabilities(f.name) != nil {
			out = append(out, f.name)
		}
	}
	return out
}

// probabilities is where the scores of a field are, nil when it has none.
func probabilities(field string) func(*qingting.Scores) []float64 {
	switch field {
	case "kind":
		return func(s *qingting.Scores) []float64 { return s.Kind }
	case "types":
		return func(s *qingting.Scores) []float64 { return s.Types }
	case "emotion":
		return func(s *qingting.Scores) []float64 { return s.Emotion }
	case "intensity":
		return func(s *qingting.Scores) []float64 { return s.Intensity }
	case "risk":
		return func(s *qingting.Scores) []float64 { return s.Risk }
	case "signals":
		return func(s *qingting.Scores) []float64 { return s.Signals }
	case "claims":
		return func(s *qingting.Scores) []float64 { return s.Claims }
	case "style":
		return func(s *qingting.Scores) []float64 { return s.Style }
	case "outcome":
		return func(s *qingting.Scores) []float64 { return s.Outcome }
	}
	return nil
}

// NoiseReport is what Inspect found.
type NoiseReport struct {
	Rows    int           `json:"rows"`
	Method  Method        `json:"method"`
	Columns []ColumnNoise `json:"columns"`
	// Suspicions are the suspect labels of all columns, the smallest margin first.
	Suspicions []Suspicion `json:"suspicions"`
}

// ColumnNoise is the estimate for one column.
type ColumnNoise struct {
	Field string `json:"field"`
	Code  string `json:"code,omitempty"` // of a set field
	// Few says that the code is given too rarely; nothing else is then filled.
	Few     bool     `json:"few,omitempty"`
	Classes []string `json:"classes,omitempty"`
	Given   []int    `json:"given,omitempty"` // rows by class
	// Rate is the estimated share of rows with a wrong label; Credible is false
	// where the model does not know the classes apart, see Noise.Credible.
	Rate     eval.Number `json:"rate"`
	Credible bool        `json:"credible"`
	// Doubted rows have another class that is more probable.
	Doubted int `json:"doubted"`
	// Joint is the estimated share of rows by given (outer) and true class.
	Joint    [][]float64 `json:"joint,omitempty"`
	Suspects int         `json:"suspects"`
}

// Suspicion is one label to look at again.
type Suspicion struct {
	ID    string `json:"id"`
	Field string `json:"field"`
	// Code is the code of a set field that Given and Suggested, Absent or Present,
	// speak of.
	Code       string  `json:"code,omitempty"`
	Given      string  `json:"given"`
	Suggested  string  `json:"suggested"`
	GivenP     float64 `json:"given_p"`
	SuggestedP float64 `json:"suggested_p"`
	Margin     float64 `json:"margin"` // as Suspect.Margin
}

// Inspect estimates the noise of every column and lists the suspect labels of
// all of them together. ids name the rows of the columns.
func Inspect(ids []string, columns []Column, how Method) (*NoiseReport, error) {
	if len(columns) == 0 {
		return nil, errors.New("没有要检查的字段")
	}
	r := &NoiseReport{Rows: len(ids), Method: how, Suspicions: []Suspicion{}}
	for _, c := range columns {
		name := c.Field
		if c.Code != "" {
			name += " " + c.Code
		}
		if len(c.Given) != len(ids) {
			return nil, fmt.Errorf("%s 有 %d 行，会话有 %d 个，请逐行对齐", name, len(c.Given), len(ids))
		}
		n := ColumnNoise{Field: c.Field, Code: c.Code, Few: c.Few}
		if c.Few {
			r.Columns = append(r.Columns, n)
			continue
		}
		e, err := Estimate(c.Given, c.P)
		if err != nil {
			return nil, fmt.Errorf("%s：%w", name, err)
		}
		suspects, err := e.Suspects(how)
		if err != nil {
			return nil, err
		}
		n.Classes, n.Given = c.Codes, make([]int, len(c.Codes))
		for _, g := range c.Given {
			n.Given[g]++
		}
		n.Rate, n.Credible, n.Doubted = eval.Number(e.Rate()), e.Credible(), e.Doubted()
		n.Joint, n.Suspects = e.Joint(), len(suspects)
		r.Columns = append(r.Columns, n)
		for _, s := range suspects {
			r.Suspicions = append(r.Suspicions, Suspicion{
				ID: ids[s.Row], Field: c.Field, Code: c.Code, Given: c.Codes[s.Given], Suggested: c.Codes[s.Suggested],
				GivenP: s.GivenP, SuggestedP: s.SuggestedP, Margin: s.Margin,
			})
		}
	}
	slices.SortStableFunc(r.Suspicions, func(a, b Suspicion) int { return cmp.Compare(a.Margin, b.Margin) })
	return r, nil
}
