package report

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// labelField is one field of the label guide, single or a set.
type labelField struct {
	Key  string `json:"key"`
	Name string `json:"name"`
	Set  bool   `json:"set"`
	of   func(*qingting.Labels) []string
}

// labelFields lists the fields in the order in which the page holds them.
func labelFields() []labelField {
	one := func(of func(*qingting.Labels) string) func(*qingting.Labels) []string {
		return func(l *qingting.Labels) []string { return []string{of(l)} }
	}
	return []labelField{
		{"kind", "性质", false, one(func(l *qingting.Labels) string { return string(l.Kind) })},
		{"primary", "主类型", false, one(func(l *qingting.Labels) string { return string(l.Primary) })},
		{"types", "类型", true, func(l *qingting.Labels) []string { return set(l.Types) }},
		{"emotion", "情绪", false, one(func(l *qingting.Labels) string { return string(l.Emotion) })},
		{"intensity", "强度", false, one(func(l *qingting.Labels) string { return fmt.Sprint(l.Intensity) })},
		{"risk", "风险", false, one(func(l *qingting.Labels) string { return string(l.Risk) })},
		{"signals", "信号", true, func(l *qingting.Labels) []string { return set(l.Signals) }},
		{"claims", "诉求", true, func(l *qingting.Labels) []string { return set(l.Claims) }},
		{"style", "客户风格", false, one(func(l *qingting.Labels) string { return string(l.Style) })},
		{"outcome", "处理结果", false, one(func(l *qingting.Labels) string { return string(l.Outcome) })},
	}
}

// fieldOf is the field of a key of labelFields.
func fieldOf(key string) labelField {
	fields := labelFields()
	return fields[slices.IndexFunc(fields, func(f labelField) bool { return f.Key == key })]
}

// set puts codes in order, each once, without the guide's word for nothing.
func set[C ~string](codes []C) []string {
	out := make([]string, 0, len(codes))
	for _, c := range codes {
		if c != "none" {
			out = append(out, string(c))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// good reports whether an answer of a suite other than triage is right as a
// whole; known is false where right and wrong do not apply.
func good(r *eval.Row) (right, known bool) {
	if len(r.Values) == 0 {
		return false, false
	}
	if r.Suite == dataset.SuiteRetrieval {
		if v, ok := r.Values["hit@5"]; ok {
			return v == 1, true
		}
		v, ok := r.Values["abstained"]
		return v == 1, ok
	}
	for _, v := range r.Values {
		if v < 1 {
			return false, true
		}
	}
	return true, true
}

// The data of the row explorer. Names are short and labels stand in the order
// of labelFields: there are thousands of rows.
type (
	pageData struct {
		Run      string            `json:"run"`
		Before   string            `json:"before"`
		Systems  []string          `json:"systems"`
		Fields   []labelField      `json:"fields"`
		Names    map[string]string `json:"names"`
		Suites   map[string]string `json:"suites"`
		Slices   [][2]string       `json:"slices"` // slice and value
		SliceZh  []string          `json:"slice_names"`
		Examples []pageExample     `json:"examples"`
		Now      [][]*pageAnswer   `json:"now"` // by system and example
		Old      [][]*pageAnswer   `json:"old"` // of the run before; empty without
		Values   map[string]string `json:"values"`
		texts    bool
		at       map[exampleKey]int
		slice    map[[2]string]int
	}
	pageExample struct {
		ID       string         `json:"i"`
		Hash     string         `json:"h"`
		Suite    string         `json:"s"`
		Group    string         `json:"g,omitempty"`
		Slices   []int          `json:"l"`
		Gold     []any          `json:"y,omitempty"`
		Votes    []float64      `json:"v,omitempty"`
		Messages [][2]string    `json:"m,omitempty"` // role and text
		Grades   map[string]int `json:"q,omitempty"`
	}
	pageAnswer struct {
		Error    string             `json:"e,omitempty"`
		Labels   []any              `json:"y,omitempty"`
		P        []float64          `json:"p,omitempty"` // kind, emotion, style, outcome, high
		TypesP   []float64          `json:"t,omitempty"` // in the answer's order of types
		Types    []string           `json:"o,omitempty"` // that order
		Evidence [][5]any           `json:"x,omitempty"`
		Shares   []float64          `json:"d,omitempty"`
		Values   map[string]float64 `json:"a,omitempty"`
		Ranking  [][2]any           `json:"r,omitempty"`
		Right    *bool              `json:"k,omitempty"`
		MS       float64            `json:"ms,omitempty"`
	}
	// exampleKey tells repeated examples apart by which of them it is.
	exampleKey struct {
		Example
		nth int
	}
)

// rankingShown is how many cases of a ranking the page keeps.
const rankingShown = 10

// shortHash is how much of a hash tells 5,000 examples apart.
const shortHash = 12

func (r *Report) pageData() *pageData {
	d := &pageData{
		Run: r.Name, Before: r.Before, Fields: labelFields(), Names: map[string]string{}, Suites: map[string]string{}, Values: map[string]string{},
		Slices: [][2]string{}, SliceZh: []string{}, Examples: []pageExample{}, texts: r.Texts != nil,
		at: map[exampleKey]int{}, slice: map[[2]string]int{},
	}
	for _, s := range r.suites() {
		d.Suites[string(s)] = suiteName(s)
	}
	d.Names[""] = labelName("")
	for i := range r.Systems {
		s := &r.Systems[i]
		d.Systems = append(d.Systems, s.Name)
		d.add(r, s.Rows)
	}
	old := false
	for i := range r.Systems {
		old = old || r.Systems[i].Before != nil
	}
	for i := range r.Systems {
		s := &r.Systems[i]
		d.Now = append(d.Now, d.answers(s.Rows, s.Times))
		if old {
			d.Old = append(d.Old, d.answers(s.Before, nil))
		}
	}
	return d
}

// eachKey numbers rows that are the same example.
func eachKey(rows []*eval.Row, do func(exampleKey, *eval.Row)) {
	seen := map[Example]int{}
	for _, row := range rows {
		e := Example{row.Suite, row.Hash}
		do(exampleKey{e, seen[e]}, row)
		seen[e]++
	}
}

// add takes up the examples of rows that are not there yet.
func (d *pageData) add(r *Report, rows []*eval.Row) {
	eachKey(rows, func(k exampleKey, row *eval.Row) {
		if _, ok := d.at[k]; ok {
			return
		}
		d.at[k] = len(d.Examples)
		e := pageExample{ID: row.ID, Hash: row.Hash[:min(shortHash, len(row.Hash))], Suite: string(row.Suite), Gold: d.labels(row.Gold), Slices: []int{}}
		if row.Group != row.ID {
			e.Group = row.Group
		}
		if row.Votes != nil {
			e.Votes = rounded(row.Votes[:])
		}
		for name, value := range row.Slices {
			at, ok := d.slice[[2]string{name, value}]
			if !ok {
				at = len(d.Slices)
				d.slice[[2]string{name, value}] = at
				d.Slices = append(d.Slices, [2]string{name, value})
			}
			e.Slices = append(e.Slices, at)
		}
		for _, m := range r.Texts[k.Example] {
			e.Messages = append(e.Messages, [2]string{string(m.Role), m.Text})
		}
		if row.Suite == dataset.SuiteRetrieval {
			e.Grades = r.Grades[row.ID]
		}
		d.Examples = append(d.Examples, e)
	})
	d.sortSlices()
}

// sortSlices puts the slices in order, whatever the order of the maps they
// came from.
func (d *pageData) sortSlices() {
	sorted := slices.Clone(d.Slices)
	slices.SortFunc(sorted, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	to := make([]int, len(sorted))
	d.SliceZh = d.SliceZh[:0]
	for i, s := range sorted {
		to[d.slice[s]] = i
		d.SliceZh = append(d.SliceZh, sliceName(s[0])+" · "+sliceName(s[1]))
	}
	for i := range d.Examples {
		for k, at := range d.Examples[i].Slices {
			d.Examples[i].Slices[k] = to[at]
		}
		slices.Sort(d.Examples[i].Slices)
	}
	for i, s := range sorted {
		d.slice[s] = i
	}
	d.Slices = sorted
}

func (d *pageData) answers(rows []*eval.Row, times map[string]float64) []*pageAnswer {
	out := make([]*pageAnswer, len(d.Examples))
	eachKey(rows, func(k exampleKey, row *eval.Row) {
		at, ok := d.at[k]
		if !ok {
			return // an example of the other run only
		}
		a := &pageAnswer{Error: row.Error, MS: round(times[row.ID])}
		out[at] = a
		if row.Error != "" {
			return
		}
		if row.Answer != nil {
			x := row.Answer
			a.Labels, a.P, a.TypesP = d.labels(x.Labels), rounded([]float64{x.KindP, x.EmotionP, x.StyleP, x.OutcomeP, x.HighP}), rounded(x.TypesP)
			for _, t := range x.Types {
				a.Types = append(a.Types, string(t))
			}
			for _, m := range x.Evidence {
				d.name(m.Code)
				a.Evidence = append(a.Evidence, [5]any{m.Field, m.Code, m.Message, m.Start, m.End})
			}
		}
		if row.Shares != nil {
			a.Shares = rounded(row.Shares[:])
		}
		if len(row.Values) > 0 {
			a.Values = map[string]float64{}
			for name, v := range row.Values {
				a.Values[name] = round(v)
				d.Values[name] = figureName(string(row.Suite) + "." + name)
			}
			if right, known := good(row); known {
				a.Right = &right
			}
		}
		for _, c := range row.Ranking[:min(rankingShown, len(row.Ranking))] {
			a.Ranking = append(a.Ranking, [2]any{c.ID, round(c.Score)})
		}
	})
	return out
}

func (d *pageData) labels(l *qingting.Labels) []any {
	if l == nil {
		return nil
	}
	var out []any
	for _, f := range d.Fields {
		codes := f.of(l)
		for _, c := range codes {
			d.name(c)
		}
		if f.Set {
			out = append(out, codes)
		} else {
			out = append(out, codes[0])
		}
	}
	return out
}

func (d *pageData) name(code string) {
	if _, ok := d.Names[code]; !ok {
		d.Names[code] = labelName(code)
	}
}

// round keeps what a page shows of a number, which is a third of its bytes.
func round(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return math.Round(x*1000) / 1000
}

func rounded(xs []float64) []float64 {
	out := make([]float64, len(xs))
	for i, x := range xs {
		out[i] = round(x)
	}
	return out
}

// pack is the data as the page carries it: JSON, gzip, base64, which has no
// character that HTML could take for its own.
func (d *pageData) pack() (string, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if err := json.NewEncoder(z).Encode(d); err != nil {
		return "", fmt.Errorf("pack rows: %w", err)
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}
