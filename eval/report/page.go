package report

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/behave"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/gate"
	"github.com/qingting-ai/qingting/eval/stat"
)

//go:embed page.html.tmpl page.css page.js
var files embed.FS

// HTML writes the report as one file.
func (r *Report) HTML(w io.Writer) error {
	p, err := r.page()
	if err != nil {
		return err
	}
	source, err := files.ReadFile("page.html.tmpl")
	if err != nil {
		return err
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"digits": digits, "signed": signed, "short": signedShort, "figure": figureName, "label": labelName, "suite": suiteName, "slice": sliceName,
		"share": share, "standing": titleOf,
	}).Parse(string(source))
	if err != nil {
		return fmt.Errorf("parse the page of the report: %w", err)
	}
	return t.Execute(w, p)
}

// page is everything the template writes, in its order.
type page struct {
	*Report
	CSP    string
	Style  template.CSS
	Script template.JS
	// Packed is base64, which needs no escaping; see pageData.pack.
	Packed  template.HTML
	Texts   bool
	Started string
	Took    string

	Verdict  *verdict
	Headline []figureTable
	Rest     []figureTable
	Confused []confusedSystem
	Curves   []*chart
	Reliable []*chart
	Labels   []labelSystem
	Found    *foundTable
	Times    []timesSystem
	Slices   []sliceSystem
	Behaved  []behaved
	Kinds    []behave.Kind
	Changes  []changes
	Command  string
	Examples int
	Picks    map[string]picks
}

// picks are the systems that one section of the page can show.
type picks struct {
	Name    string
	Systems []string
}

func (p *page) pick(name string, systems []string) {
	if p.Picks == nil {
		p.Picks = map[string]picks{}
	}
	p.Picks[name] = picks{name, systems}
}

func (r *Report) page() (*page, error) {
	data := r.pageData()
	packed, err := data.pack()
	if err != nil {
		return nil, err
	}
	style, err := files.ReadFile("page.css")
	if err != nil {
		return nil, err
	}
	script, err := files.ReadFile("page.js")
	if err != nil {
		return nil, err
	}
	p := &page{
		Report: r, Packed: template.HTML(packed), Style: template.CSS(style), Script: template.JS(script), Texts: r.Texts != nil,
		// Nothing may be loaded from anywhere, not even from this folder; what is
		// inside runs by its hash.
		CSP:     fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; img-src data:; base-uri 'none'; form-action 'none'", pin(style), pin(script)),
		Started: r.Manifest.Started.UTC().Format("2006-01-02 15:04:05 UTC"), Took: took(r.Manifest), Command: r.command(), Examples: len(data.Examples),
	}
	p.Verdict = r.verdict()
	p.Headline, p.Rest = r.figureTables(true), r.figureTables(false)
	p.Confused = r.confused()
	if p.Curves, p.Reliable, err = r.riskCharts(); err != nil {
		return nil, err
	}
	if p.Labels, err = r.labelTables(); err != nil {
		return nil, err
	}
	p.Found, p.Times, p.Slices, p.Changes = r.found(), r.times(), r.sliceTables(), r.changes()
	if p.Behaved, err = r.behaviour(); err != nil {
		return nil, err
	}
	p.Kinds = behave.Kinds()
	p.pick("behave", names(p.Behaved, func(b behaved) string { return b.System }))
	p.pick("confusion", names(p.Confused, func(s confusedSystem) string { return s.System }))
	p.pick("labels", names(p.Labels, func(s labelSystem) string { return s.System }))
	p.pick("slices", names(p.Slices, func(s sliceSystem) string { return s.System }))
	p.pick("changes", names(p.Changes, func(s changes) string { return s.System }))
	return p, nil
}

func names[T any](of []T, name func(T) string) []string {
	out := make([]string, len(of))
	for i := range of {
		out[i] = name(of[i])
	}
	return out
}

func pin(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func took(m *eval.Manifest) string {
	if m.Ended.IsZero() {
		return "没有跑完"
	}
	return m.Ended.Sub(m.Started).Round(time.Second / 10).String()
}

// command is how the run is made again.
func (r *Report) command() string {
	m := r.Manifest
	names := make([]string, len(m.Systems))
	for i, s := range m.Systems {
		names[i] = s.Name
	}
	out := fmt.Sprintf("qingting eval run --data 数据集/dataset.yaml --system %s --seed %d --rounds %d", strings.Join(names, ","), m.Seed, m.Rounds)
	if m.Limit > 0 {
		out += fmt.Sprintf(" --limit %d", m.Limit)
	}
	return out + " --out runs/again"
}

// interval is a value between two bounds on a small axis, for people who read
// lengths faster than digits.
type interval struct {
	Low, High, Value float64 // places on an axis of intervalWidth
	Zero, Limit      float64 // places of the zero and of a margin; −1 is none
	Shown            bool
}

// intervalWidth is that of the drawing; the edges leave room for a dot.
const (
	intervalWidth = 96
	intervalEdge  = 4
)

func newInterval(value, low, high eval.Number, from, to float64) interval {
	at := func(v eval.Number) float64 {
		return short(intervalEdge + (intervalWidth-2*intervalEdge)*min(max((float64(v)-from)/(to-from), 0), 1))
	}
	bad := func(v eval.Number) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }
	if bad(value) || bad(low) || bad(high) || to <= from {
		return interval{Zero: -1, Limit: -1}
	}
	return interval{Low: at(low), High: at(high), Value: at(value), Zero: -1, Limit: -1, Shown: true}
}

// with puts the zero line, and a limit if there is one, on the axis.
func (i interval) with(from, to float64, limit *float64) interval {
	at := func(v float64) float64 {
		return short(intervalEdge + (intervalWidth-2*intervalEdge)*min(max((v-from)/(to-from), 0), 1))
	}
	if !i.Shown {
		return i
	}
	i.Zero = at(0)
	if limit != nil {
		i.Limit = at(*limit)
	}
	return i
}

// Width and End are for the template.
func (interval) Width() int { return intervalWidth }
func (interval) End() int   { return intervalWidth - intervalEdge }

// verdict is the banner.
type verdict struct {
	Class, Title, Text string
	Checks             []checkRow
	Count              []string
}

type checkRow struct {
	gate.Check
	Class, Title string
	Damage       interval
}

// marks of a status, beside its colour and its word.
var statusMarks = map[gate.Status]string{gate.Pass: "✓", gate.Inconclusive: "？", gate.Breached: "✗", gate.Missing: "✗"}

func (r *Report) verdict() *verdict {
	if r.Verdict == nil {
		return &verdict{Class: "none", Title: r.Note}
	}
	v := &verdict{
		Class: string(r.Verdict.Status), Title: statusMarks[r.Verdict.Status] + " " + r.Verdict.Status.Title(),
		Text: fmt.Sprintf("%s 对比基线 %s，%d 项", r.Name, r.Baseline, len(r.Verdict.Checks)),
	}
	for _, s := range []gate.Status{gate.Missing, gate.Breached, gate.Inconclusive, gate.Pass} {
		n := 0
		for _, c := range r.Verdict.Checks {
			if c.Status != s {
				continue
			}
			n++
			v.Checks = append(v.Checks, checkRow{c, string(s), statusMarks[s] + " " + s.Title(), r.damage(&c)})
		}
		if n > 0 {
			v.Count = append(v.Count, fmt.Sprintf("%s %d", s.Title(), n))
		}
	}
	return v
}

// damage draws how much worse a figure is, on an axis of its own: a ratio of
// times and a share do not fit on one.
func (r *Report) damage(c *gate.Check) interval {
	span := 0.02
	if c.Margin != nil {
		span = max(span, 1.25**c.Margin)
	}
	for _, x := range []eval.Number{c.DamageLow, c.DamageHigh} {
		if !math.IsNaN(float64(x)) {
			span = max(span, math.Abs(float64(x)))
		}
	}
	value := c.Base - c.Candidate
	if c.Figure == gate.SpeedFigure || r.lower(c.System, c.Figure) {
		value = -value
	}
	return newInterval(value, c.DamageLow, c.DamageHigh, -span, span).with(-span, span, c.Margin)
}

// lower reports whether a figure of a system is better when lower.
func (r *Report) lower(system, figure string) bool {
	for i := range r.Systems {
		if r.Systems[i].Name != system {
			continue
		}
		for _, m := range r.Systems[i].Suites {
			for _, f := range m.Figures {
				if f.Name == figure {
					return f.Lower
				}
			}
		}
	}
	return false
}

// figureTable are the figures of one suite: a row a figure, a column a system.
type figureTable struct {
	Suite   dataset.Suite
	Systems []figureHead
	Rows    []figureRow
}

type (
	figureHead struct {
		Name, About string
		N, Unscored int
	}
	figureRow struct {
		Name  string
		Lower bool
		Cells []figureCell
	}
	figureCell struct {
		eval.Figure
		Bar   interval
		Best  bool
		Shown bool
	}
)

func (r *Report) figureTables(short bool) []figureTable {
	var out []figureTable
	for _, suite := range r.suites() {
		t := figureTable{Suite: suite}
		var columns []*eval.SuiteMetrics
		var reads []bool
		for i := range r.Systems {
			if m := r.Systems[i].Suite(suite); m != nil {
				columns, reads = append(columns, m), append(reads, r.Systems[i].Reads())
				t.Systems = append(t.Systems, figureHead{r.Systems[i].Name, systemNames[r.Systems[i].Name], m.N - m.Unscored, m.Unscored})
			}
		}
		for _, name := range figureOrder(columns) {
			if headline(name) == short {
				t.Rows = append(t.Rows, newFigureRow(name, columns, reads))
			}
		}
		if len(t.Rows) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// figureOrder lists the figures of any system in the order they were measured.
func figureOrder(columns []*eval.SuiteMetrics) []string {
	var out []string
	for _, m := range columns {
		for _, f := range m.Figures {
			if !slices.Contains(out, f.Name) {
				out = append(out, f.Name)
			}
		}
	}
	return out
}

// ofTheData are figures that say how much the others know, not how good a
// system is.
var ofTheData = map[string]bool{"retrieval.judged@5": true, "retrieval.ndcg@5_random": true}

func newFigureRow(name string, columns []*eval.SuiteMetrics, reads []bool) figureRow {
	row := figureRow{Name: name}
	from, to, best := 0.0, 1.0, math.NaN()
	for i, m := range columns {
		cell := figureCell{}
		if at := slices.IndexFunc(m.Figures, func(f eval.Figure) bool { return f.Name == name }); at >= 0 {
			cell = figureCell{Figure: m.Figures[at], Shown: true}
			row.Lower = cell.Lower
			for _, x := range []eval.Number{cell.Low, cell.High, cell.Value} {
				if v := float64(x); !math.IsNaN(v) {
					from, to = min(from, v), max(to, v)
				}
			}
			v := float64(cell.Value)
			if reads[i] && !math.IsNaN(v) && (math.IsNaN(best) || cell.Lower && v < best || !cell.Lower && v > best) {
				best = v
			}
		}
		row.Cells = append(row.Cells, cell)
	}
	for i := range row.Cells {
		c := &row.Cells[i]
		c.Bar = newInterval(c.Value, c.Low, c.High, from, to)
		c.Best = c.Shown && reads[i] && len(columns) > 1 && float64(c.Value) == best && !ofTheData[name]
	}
	return row
}

// confusedSystem are the confusion matrices of one system.
type confusedSystem struct {
	System   string
	Matrices []confusedTable
}

type (
	confusedTable struct {
		Field, Name string
		Labels      []string
		Rows        []confusedRow
	}
	confusedRow struct {
		Label string
		Total int
		Cells []confusedCell
	}
	confusedCell struct {
		Label string // answered
		Count int
		Level int // 0 … 8: share of the row
		Right bool
	}
)

func (r *Report) confused() []confusedSystem {
	var out []confusedSystem
	for i := range r.Systems {
		m := r.Systems[i].Suite(dataset.SuiteTriage)
		if m == nil || len(m.Confused) == 0 {
			continue
		}
		c := confusedSystem{System: r.Systems[i].Name}
		for _, key := range []string{"kind", "risk", "outcome", "emotion", "primary"} {
			if matrix, ok := m.Confused[key]; ok {
				c.Matrices = append(c.Matrices, newConfused(fieldOf(key), matrix))
			}
		}
		out = append(out, c)
	}
	return out
}

func newConfused(f labelField, m eval.Matrix) confusedTable {
	t := confusedTable{Field: f.Key, Name: f.Name}
	order := guideOrder(m.Labels)
	for _, at := range order {
		t.Labels = append(t.Labels, m.Labels[at])
		row := confusedRow{Label: m.Labels[at]}
		for _, n := range m.Counts[at] {
			row.Total += n
		}
		for _, to := range order {
			n := m.Counts[at][to]
			cell := confusedCell{Label: m.Labels[to], Count: n, Right: at == to}
			if n > 0 {
				cell.Level = 1 + int(math.Round(7*float64(n)/float64(row.Total)))
			}
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// guideOrder puts labels in the order of the guide: low before high.
func guideOrder(labels []string) []int {
	var guide []string
	for _, field := range [][]string{
		codes(qingting.Kinds()), codes(qingting.Types()), codes(qingting.Emotions()), codes(qingting.RiskLevels()), codes(qingting.Outcomes()),
	} {
		guide = append(guide, field...)
	}
	out := make([]int, len(labels))
	for i := range out {
		out[i] = i
	}
	place := func(i int) int {
		if at := slices.Index(guide, labels[i]); at >= 0 {
			return at
		}
		return len(guide)
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(labels[a], labels[b])) })
	return out
}

func codes[C ~string](of []C) []string {
	out := make([]string, len(of))
	for i, c := range of {
		out[i] = string(c)
	}
	return out
}

// labelSystem are the figures of every label of one system.
type labelSystem struct {
	System string
	Fields []labelTable
}

type (
	labelTable struct {
		Field, Name string
		Rows        []labelRow
		Totals      []eval.Figure
	}
	labelRow struct {
		Label               string
		Support, Called     int
		Precision, Recall   eval.Number
		PLow, PHigh         eval.Number
		RLow, RHigh         eval.Number
		F1                  eval.Number
		PrecisionB, RecallB interval
	}
)

// totals are the figures over all labels of a field.
var totals = map[string][]string{
	"types": {"type.types_micro", "type.types_macro5"}, "claims": {"type.claims_micro"}, "signals": {"risk.signals_micro"},
	"kind": {"type.kind", "type.kind_macro_f1"}, "emotion": {"emotion.emotion", "emotion.macro_f1"}, "risk": {"risk.level", "risk.macro_f1"},
	"primary": {"type.primary"}, "style": {"type.style"}, "outcome": {"type.outcome"},
}

func (r *Report) labelTables() ([]labelSystem, error) {
	var out []labelSystem
	for i := range r.Systems {
		s := &r.Systems[i]
		m := s.Suite(dataset.SuiteTriage)
		if m == nil || !s.Reads() {
			continue
		}
		l := labelSystem{System: s.Name}
		for _, key := range []string{"types", "signals", "claims", "kind", "emotion", "risk", "outcome", "style"} {
			t, err := newLabelTable(fieldOf(key), s.Rows)
			if err != nil {
				return nil, err
			}
			for _, figure := range m.Figures {
				if slices.Contains(totals[key], figure.Name) {
					t.Totals = append(t.Totals, figure)
				}
			}
			l.Fields = append(l.Fields, *t)
		}
		out = append(out, l)
	}
	return out, nil
}

// newLabelTable counts every label of a field. Shares are bounded by Wilson's
// interval, which takes rows for independent.
func newLabelTable(f labelField, rows []*eval.Row) (*labelTable, error) {
	type counts struct{ right, gold, called int }
	by := map[string]*counts{}
	at := func(label string) *counts {
		if by[label] == nil {
			by[label] = &counts{}
		}
		return by[label]
	}
	for _, row := range rows {
		if row.Gold == nil || row.Answer == nil || row.Error != "" {
			continue
		}
		gold, answer := f.of(row.Gold), f.of(row.Answer.Labels)
		for _, l := range gold {
			at(l).gold++
			if slices.Contains(answer, l) {
				at(l).right++
			}
		}
		for _, l := range answer {
			at(l).called++
		}
	}
	t := &labelTable{Field: f.Key, Name: f.Name}
	for _, label := range slices.Sorted(maps.Keys(by)) {
		c := by[label]
		row := labelRow{Label: label, Support: c.gold, Called: c.called}
		var err error
		if row.Precision, row.PLow, row.PHigh, err = wilson(c.right, c.called); err == nil {
			row.Recall, row.RLow, row.RHigh, err = wilson(c.right, c.gold)
		}
		if err != nil {
			return nil, err
		}
		row.F1 = eval.Number(2 * float64(c.right) / float64(c.gold+c.called))
		row.PrecisionB, row.RecallB = newInterval(row.Precision, row.PLow, row.PHigh, 0, 1), newInterval(row.Recall, row.RLow, row.RHigh, 0, 1)
		t.Rows = append(t.Rows, row)
	}
	slices.SortStableFunc(t.Rows, func(a, b labelRow) int { return cmp.Compare(b.Support, a.Support) })
	return t, nil
}

func wilson(hits, n int) (value, low, high eval.Number, err error) {
	if n == 0 {
		nan := eval.Number(math.NaN())
		return nan, nan, nan, nil
	}
	l, h, err := stat.Wilson(hits, n, 0.95)
	return eval.Number(float64(hits) / float64(n)), eval.Number(l), eval.Number(h), err
}

// foundTable is the retrieval of every system.
type foundTable struct {
	Systems []foundSystem
	Names   []string
	Queries []foundQuery
	All     int
	Judged  bool // the number of relevant cases is known
}

type (
	foundSystem struct {
		Name                             string
		Plain, Condensed, Random, Judged eval.Figure
		Bars                             [3]interval
	}
	foundQuery struct {
		ID       string
		Relevant int
		Cells    []foundCell
	}
	foundCell struct {
		Shown                    bool
		Error                    string
		Plain, Condensed, Judged eval.Number
		Rank                     string // of the first relevant case
		Said                     string // whether it would have been shown
	}
)

// queriesShown is how many queries the page lists, the worst ones; all are in
// the explorer.
const queriesShown = 200

func (r *Report) found() *foundTable {
	t := &foundTable{Judged: r.Grades != nil}
	at := map[string]int{}
	for i := range r.Systems {
		s := &r.Systems[i]
		m := s.Suite(dataset.SuiteRetrieval)
		if m == nil {
			continue
		}
		f := foundSystem{Name: s.Name}
		for name, to := range map[string]*eval.Figure{"ndcg@5": &f.Plain, "ndcg@5_condensed": &f.Condensed, "ndcg@5_random": &f.Random, "judged@5": &f.Judged} {
			for _, x := range m.Figures {
				if x.Name == "retrieval."+name {
					*to = x
				}
			}
		}
		for k, x := range []eval.Figure{f.Plain, f.Condensed, f.Random} {
			f.Bars[k] = newInterval(x.Value, x.Low, x.High, 0, 1)
		}
		t.Systems, t.Names = append(t.Systems, f), append(t.Names, s.Name)
		for _, row := range s.Rows {
			if row.Suite != dataset.SuiteRetrieval {
				continue
			}
			k, ok := at[row.ID]
			if !ok {
				k = len(t.Queries)
				at[row.ID] = k
				q := foundQuery{ID: row.ID}
				for _, g := range r.Grades[row.ID] {
					if g >= eval.Relevant {
						q.Relevant++
					}
				}
				t.Queries = append(t.Queries, q)
			}
			q := &t.Queries[k]
			for len(q.Cells) < len(t.Names)-1 {
				q.Cells = append(q.Cells, foundCell{})
			}
			if len(q.Cells) < len(t.Names) {
				q.Cells = append(q.Cells, newFoundCell(row))
			}
		}
	}
	if len(t.Systems) == 0 {
		return nil
	}
	for i := range t.Queries {
		for len(t.Queries[i].Cells) < len(t.Names) {
			t.Queries[i].Cells = append(t.Queries[i].Cells, foundCell{})
		}
	}
	t.All = len(t.Queries)
	slices.SortStableFunc(t.Queries, func(a, b foundQuery) int {
		return cmp.Or(cmp.Compare(a.Cells[0].Plain, b.Cells[0].Plain), cmp.Compare(a.ID, b.ID))
	})
	t.Queries = t.Queries[:min(queriesShown, len(t.Queries))]
	return t
}

func newFoundCell(row *eval.Row) foundCell {
	c := foundCell{Shown: true, Error: row.Error}
	value := func(name string) eval.Number {
		if v, ok := row.Values[name]; ok {
			return eval.Number(v)
		}
		return eval.Number(math.NaN())
	}
	c.Plain, c.Condensed, c.Judged, c.Rank = value("ndcg@5"), value("ndcg@5_condensed"), value("judged@5"), "—"
	if v := float64(value("mrr@10")); v > 0 {
		c.Rank = fmt.Sprintf("%.0f", 1/v)
	} else if v == 0 {
		c.Rank = ">10"
	}
	switch {
	case float64(value("answered")) == 1:
		c.Said = "给出"
	case float64(value("answered")) == 0:
		c.Said = "没给（有案例）"
	case float64(value("abstained")) == 1:
		c.Said = "不给（对）"
	case float64(value("abstained")) == 0:
		c.Said = "给了（无案例）"
	}
	return c
}

// timesSystem is how long one system took.
type timesSystem struct {
	System string
	Rows   []timesRow
	Chart  *chart
}

type timesRow struct {
	Suite              string
	N                  int
	P50, P95, P99, Max string
}

func (r *Report) times() []timesSystem {
	var out []timesSystem
	for i := range r.Systems {
		s := &r.Systems[i]
		if !s.Reads() {
			continue // how long a constant takes is nobody's concern
		}
		by, all := map[dataset.Suite][]float64{}, []float64{}
		for _, row := range s.Rows {
			if ms, ok := s.Times[row.ID]; ok {
				by[row.Suite] = append(by[row.Suite], ms)
				all = append(all, ms)
			}
		}
		if len(all) == 0 {
			continue
		}
		t := timesSystem{System: s.Name, Chart: histogram(i, s.Name, all)}
		for _, suite := range r.suites() {
			if len(by[suite]) > 0 {
				t.Rows = append(t.Rows, newTimesRow(suiteName(suite), by[suite]))
			}
		}
		t.Rows = append(t.Rows, newTimesRow("全部", all))
		out = append(out, t)
	}
	return out
}

func newTimesRow(name string, ms []float64) timesRow {
	ms = slices.Sorted(slices.Values(ms))
	at := func(q float64) string {
		// Linear between the two nearest, as most tools have it.
		x := q * float64(len(ms)-1)
		k := int(x)
		v := ms[k]
		if k+1 < len(ms) {
			v += (ms[k+1] - v) * (x - float64(k))
		}
		switch {
		case v >= 100:
			return fmt.Sprintf("%.0f", v)
		case v >= 1:
			return fmt.Sprintf("%.1f", v)
		}
		return fmt.Sprintf("%.2f", v)
	}
	return timesRow{name, len(ms), at(0.5), at(0.95), at(0.99), at(1)}
}

// sliceSystem are the headline figures of one system on every slice.
type sliceSystem struct {
	System string
	Tables []sliceTable
}

type (
	sliceTable struct {
		Suite   dataset.Suite
		Figures []eval.Figure // of the whole
		Rows    []sliceRow
	}
	sliceRow struct {
		Slice, Value string
		First        bool // of its slice
		Cells        []sliceCell
		N            int
	}
	sliceCell struct {
		eval.Figure
		Delta eval.Number
		Class string // of the scale: worse4 … worse1, even, better1 … better4
		Sure  bool   // the whole lies outside the interval
	}
)

// steps of the scale of the heat map.
var steps = []float64{0.02, 0.05, 0.1, 0.2}

func (r *Report) sliceTables() []sliceSystem {
	var out []sliceSystem
	for i := range r.Systems {
		s := sliceSystem{System: r.Systems[i].Name}
		if !r.Systems[i].Reads() {
			continue
		}
		for _, suite := range r.suites() {
			m := r.Systems[i].Suite(suite)
			if m == nil {
				continue
			}
			t := sliceTable{Suite: m.Suite}
			last := ""
			for _, part := range m.Slices {
				row := sliceRow{Slice: part.Slice, Value: part.Value, First: part.Slice != last}
				last = part.Slice
				for _, f := range part.Figures {
					at := slices.IndexFunc(m.Figures, func(w eval.Figure) bool { return w.Name == f.Name })
					if at < 0 {
						continue
					}
					whole := m.Figures[at]
					if !slices.ContainsFunc(t.Figures, func(x eval.Figure) bool { return x.Name == f.Name }) {
						t.Figures = append(t.Figures, whole)
					}
					row.N = max(row.N, f.N)
					row.Cells = append(row.Cells, newSliceCell(f, whole))
				}
				t.Rows = append(t.Rows, row)
			}
			if len(t.Rows) > 0 {
				s.Tables = append(s.Tables, t)
			}
		}
		if len(s.Tables) > 0 {
			out = append(out, s)
		}
	}
	return out
}

func newSliceCell(f, whole eval.Figure) sliceCell {
	c := sliceCell{Figure: f, Delta: f.Value - whole.Value, Class: "even", Sure: f.Low > whole.Value || f.High < whole.Value}
	level := 0
	for _, s := range steps {
		if math.Abs(float64(c.Delta)) >= s {
			level++
		}
	}
	if level > 0 {
		c.Class = fmt.Sprintf("better%d", level)
		if (c.Delta < 0) != f.Lower {
			c.Class = fmt.Sprintf("worse%d", level)
		}
	}
	return c
}

// changes is what became different since the run before, of one system.
type changes struct {
	System string
	eval.Pairing
	Speed  *eval.Speed
	Short  []deltaRow
	Rest   []deltaRow
	Fields []changedField
}

type (
	deltaRow struct {
		eval.Delta
		Bar   interval
		Class string // better, worse or even, after Holm
		Title string
		First bool // of its suite
	}
	changedField struct {
		Key, Name            string
		Fixed, Broken, Moved int
	}
)

func (r *Report) changes() []changes {
	var out []changes
	for i := range r.Systems {
		s := &r.Systems[i]
		if s.Comparison == nil || !s.Reads() {
			continue
		}
		c := changes{System: s.Name, Pairing: s.Comparison.Pairing, Speed: s.Speed, Fields: changedFields(s)}
		span := 0.02
		for _, d := range s.Comparison.Deltas {
			for _, x := range []eval.Number{d.Low, d.High} {
				if v := math.Abs(float64(x)); !math.IsNaN(v) && !math.IsInf(v, 0) && v <= 1 {
					span = max(span, v)
				}
			}
		}
		order := r.suites()
		deltas := slices.Clone(s.Comparison.Deltas)
		slices.SortStableFunc(deltas, func(a, b eval.Delta) int {
			return cmp.Compare(slices.Index(order, a.Suite), slices.Index(order, b.Suite))
		})
		for _, d := range deltas {
			row := deltaRow{Delta: d, Bar: newInterval(d.Delta, d.Low, d.High, -span, span).with(-span, span, nil), Class: "even", Title: "没有显著变化"}
			if d.Holm < 0.05 && d.Delta != 0 {
				if row.Class, row.Title = "better", "▲ 变好"; (d.Delta < 0) != d.Lower {
					row.Class, row.Title = "worse", "▼ 变差"
				}
			}
			to := &c.Rest
			if headline(d.Name) {
				to = &c.Short
			}
			row.First = len(*to) == 0 || (*to)[len(*to)-1].Suite != d.Suite
			*to = append(*to, row)
		}
		out = append(out, c)
	}
	return out
}

// changedFields counts the examples that became right, that became wrong, and
// that are wrong in another way.
func changedFields(s *System) []changedField {
	before := map[exampleKey]*eval.Row{}
	eachKey(s.Before, func(k exampleKey, row *eval.Row) { before[k] = row })
	var out []changedField
	for _, f := range labelFields() {
		c := changedField{Key: f.Key, Name: f.Name}
		eachKey(s.Rows, func(k exampleKey, row *eval.Row) {
			was := before[k]
			if was == nil || was.Answer == nil || row.Answer == nil || row.Gold == nil {
				return
			}
			gold, old, now := f.of(row.Gold), f.of(was.Answer.Labels), f.of(row.Answer.Labels)
			wasRight, isRight := slices.Equal(old, gold), slices.Equal(now, gold)
			switch {
			case isRight && !wasRight:
				c.Fixed++
			case wasRight && !isRight:
				c.Broken++
			case !slices.Equal(old, now):
				c.Moved++
			}
		})
		out = append(out, c)
	}
	if !slices.ContainsFunc(s.Rows, func(r *eval.Row) bool { return r.Gold != nil }) {
		return nil
	}
	return out
}
