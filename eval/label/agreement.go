package label

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/metric"
	"github.com/qingting-ai/qingting/eval/stat"
)

// Item is one conversation with the labels each annotator gave it.
type Item struct {
	ID     string
	Group  string             // what is drawn as one in the bootstrap; empty: the id
	Labels []*qingting.Labels // by annotator; nil: did not label it
}

// Annotations are the labels of several annotators.
type Annotations struct {
	Annotators []string
	Items      []Item
}

// Agreement is how far annotators agree, field by field.
type Agreement struct {
	Annotators []string `json:"annotators"`
	Items      int      `json:"items"`
	// Single items were labelled by fewer than two annotators and say nothing.
	Single int              `json:"single"`
	Rounds int              `json:"rounds"` // of the bootstrap
	Fields []FieldAgreement `json:"fields"`
}

// FieldAgreement is the agreement on one field. Figures that do not exist are
// NaN here and null in JSON.
type FieldAgreement struct {
	Field string `json:"field"`
	N     int    `json:"n"` // items that at least two annotators labelled
	// Raw is the share of pairs of annotators that gave the same label, of a set
	// exactly the same set.
	Raw Figure `json:"raw"`
	// MicroF1 is that of a set field, one annotator's codes against another's,
	// pooled over pairs; which of them counts as gold makes no difference.
	MicroF1 *Figure `json:"micro_f1,omitempty"`
	// Kappa is Cohen's κ of two annotators and Fleiss' κ of more, which leaves out
	// items that one of them skipped. Of a set field it is the mean of the κ of
	// its codes, those given at least five times.
	Kappa Figure `json:"kappa"`
	// Alpha is Krippendorff's α for labels without order; of a set field the mean
	// over its codes as for Kappa. AlphaOrdinal is the one for scales.
	Alpha        Figure  `json:"alpha"`
	AlphaOrdinal *Figure `json:"alpha_ordinal,omitempty"`
	// Codes are the agreement on each code of a set field that was given at all,
	// in the order of the label guide.
	Codes []CodeAgreement `json:"codes,omitempty"`
	// Confused are the most frequent disagreements, most frequent first.
	Confused []Confused `json:"confused"`
}

// Figure is a value with its 95 % interval, a bootstrap that draws groups.
type Figure struct {
	Value eval.Number `json:"value"`
	Low   eval.Number `json:"low"`
	High  eval.Number `json:"high"`
}

// CodeAgreement is the agreement on whether one code applies.
type CodeAgreement struct {
	Code  string      `json:"code"`
	Given []int       `json:"given"` // how often, by annotator
	Kappa eval.Number `json:"kappa"`
}

// Confused is a disagreement: one annotator gave A where the other gave B. In
// a set field B is empty: the other did not give A.
type Confused struct {
	A     string `json:"a"`
	B     string `json:"b,omitempty"`
	Count int    `json:"count"` // pairs of annotators
	// First is how many of them are with A from the earlier annotator. Far from
	// half of Count, the two annotators read the guide differently.
	First int `json:"first"`
}

// Options adjust Measure; zero fields mean the defaults.
type Options struct {
	eval.Resampling
	Confused int // disagreements a field; 0: 5
}

// Measure computes the agreement of two or more annotators. The error is in
// Chinese: too few annotators, or no item that two of them labelled.
func Measure(a *Annotations, o Options) (*Agreement, error) {
	if len(a.Annotators) < 2 {
		return nil, errors.New("至少要有两个标注人才能计算一致性")
	}
	out := &Agreement{Annotators: a.Annotators, Items: len(a.Items), Rounds: cmp.Or(max(o.Rounds, 0), defaultRounds)}
	var items []Item
	for _, item := range a.Items {
		if len(item.Labels) != len(a.Annotators) {
			return nil, fmt.Errorf("会话 %s 有 %d 份标注，标注人有 %d 个", item.ID, len(item.Labels), len(a.Annotators))
		}
		if len(raters(item)) < 2 {
			out.Single++
			continue
		}
		items = append(items, item)
	}
	if len(items) == 0 {
		return nil, errors.New("没有一个会话有两份标注：请检查几个文件的 id 是不是对得上")
	}
	groups := groupsOf(items)
	for _, f := range fields() {
		m, err := measure(f, items, len(a.Annotators))
		if err != nil {
			return nil, err
		}
		m.shown.Confused = confusions(f, items, cmp.Or(o.Confused, defaultConfused))
		r, err := stat.Bootstrap(m.measures, groups, out.Rounds, o.Seed)
		if err != nil {
			return nil, err
		}
		for i, to := range m.figures {
			low, high := r[i].Interval(0.95)
			*to = Figure{eval.Number(r[i].Value), eval.Number(low), eval.Number(high)}
		}
		out.Fields = append(out.Fields, *m.shown)
	}
	return out, nil
}

const (
	defaultRounds   = 1000 // two digits of a 95 % interval
	defaultConfused = 5
)

// raters lists who labelled an item.
func raters(item Item) []int {
	var out []int
	for i, l := range item.Labels {
		if l != nil {
			out = append(out, i)
		}
	}
	return out
}

func groupsOf(items []Item) []int {
	number := map[string]int{}
	out := make([]int, len(items))
	for i, item := range items {
		g := cmp.Or(item.Group, item.ID)
		if _, ok := number[g]; !ok {
			number[g] = len(number)
		}
		out[i] = number[g]
	}
	return out
}

// fieldMeasures are the measures of a field and where their figures go.
type fieldMeasures struct {
	shown    *FieldAgreement
	measures []stat.Measure
	figures  []*Figure
}

func (m *fieldMeasures) add(to *Figure, measure stat.Measure) {
	m.measures, m.figures = append(m.measures, measure), append(m.figures, to)
}

func measure(f field, items []Item, annotators int) (*fieldMeasures, error) {
	m := &fieldMeasures{shown: &FieldAgreement{Field: f.name, N: len(items)}}
	raw, f1, err := pairwise(f, items)
	if err != nil {
		return nil, err
	}
	m.add(&m.shown.Raw, raw)
	if !f.set {
		ratings := rate(items, annotators, func(l *qingting.Labels) float64 { return float64(slices.Index(f.codes, f.values(l)[0])) })
		kappa, err := chanceCorrected(ratings)
		if err != nil {
			return nil, err
		}
		m.add(&m.shown.Kappa, kappa)
		alpha, err := metric.KrippendorffAlpha(ratings, metric.Nominal)
		if err != nil {
			return nil, err
		}
		m.add(&m.shown.Alpha, alpha)
		if f.ordinal {
			if alpha, err = metric.KrippendorffAlpha(ratings, metric.Ordinal); err != nil {
				return nil, err
			}
			m.shown.AlphaOrdinal = new(Figure)
			m.add(m.shown.AlphaOrdinal, alpha)
		}
		return m, nil
	}
	m.shown.MicroF1 = new(Figure)
	m.add(m.shown.MicroF1, f1)
	kappas, alphas := meanOf{n: len(items)}, meanOf{n: len(items)}
	for _, code := range f.codes {
		c := CodeAgreement{Code: code, Given: make([]int, annotators)}
		total := 0
		ratings := rate(items, annotators, func(l *qingting.Labels) float64 {
			if slices.Contains(f.values(l), code) {
				return 1
			}
			return 0
		})
		for _, row := range ratings {
			for a, x := range row {
				if x == 1 {
					c.Given[a]++
					total++
				}
			}
		}
		if total == 0 {
			continue
		}
		kappa, err := chanceCorrected(ratings)
		if err != nil {
			return nil, err
		}
		c.Kappa = eval.Number(kappa.Value(nil))
		m.shown.Codes = append(m.shown.Codes, c)
		if total >= leastGiven {
			alpha, err := metric.KrippendorffAlpha(ratings, metric.Nominal)
			if err != nil {
				return nil, err
			}
			kappas.of, alphas.of = append(kappas.of, kappa), append(alphas.of, alpha)
		}
	}
	m.add(&m.shown.Kappa, kappas)
	m.add(&m.shown.Alpha, alphas)
	return m, nil
}

// pairwise are the raw agreement of all pairs of annotators and, pooled over
// them, the micro-F1 of their codes.
func pairwise(f field, items []Item) (raw, f1 stat.Measure, err error) {
	n := len(items)
	same, pairs, common, all := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i, item := range items {
		eachPair(item, func(a, b *qingting.Labels) {
			left, right := unique(f.values(a)), unique(f.values(b))
			pairs[i]++
			if slices.Equal(left, right) {
				same[i]++
			}
			for _, code := range left {
				if slices.Contains(right, code) {
					common[i] += 2
				}
			}
			all[i] += float64(len(left) + len(right))
		})
	}
	if raw, err = metric.Ratio(same, pairs); err != nil {
		return nil, nil, err
	}
	f1, err = metric.Ratio(common, all)
	return raw, f1, err
}

// eachPair calls do for every pair of annotators that labelled the item, the
// earlier first.
func eachPair(item Item, do func(a, b *qingting.Labels)) {
	who := raters(item)
	for i, a := range who {
		for _, b := range who[i+1:] {
			do(item.Labels[a], item.Labels[b])
		}
	}
}

func unique(codes []string) []string { return slices.Compact(slices.Sorted(slices.Values(codes))) }

// rate makes the table items × annotators of one number each.
func rate(items []Item, annotators int, of func(*qingting.Labels) float64) [][]float64 {
	out := make([][]float64, len(items))
	for i, item := range items {
		out[i] = make([]float64, annotators)
		for a, l := range item.Labels {
			out[i][a] = metric.Missing()
			if l != nil {
				out[i][a] = of(l)
			}
		}
	}
	return out
}

// chanceCorrected is Cohen's κ of two annotators and Fleiss' κ of more, on the
// items that all of them rated.
func chanceCorrected(ratings [][]float64) (stat.Measure, error) {
	m := onRows{n: len(ratings)}
	var complete [][]float64
	for i, row := range ratings {
		if !slices.ContainsFunc(row, math.IsNaN) {
			m.rows, complete = append(m.rows, i), append(complete, row)
		}
	}
	if len(complete) == 0 {
		return m, nil
	}
	var err error
	if len(complete[0]) > 2 {
		m.of, err = metric.FleissKappa(complete)
		return m, err
	}
	left, right := make([]string, len(complete)), make([]string, len(complete))
	for i, row := range complete {
		left[i], right[i] = fmt.Sprint(row[0]), fmt.Sprint(row[1])
	}
	classes, err := metric.NewClasses(left, right)
	if err != nil {
		return nil, err
	}
	m.of = classes.Kappa()
	return m, nil
}

// onRows is a measure of some of the rows; without any it is NaN.
type onRows struct {
	of   stat.Measure
	rows []int
	n    int
}

func (m onRows) Len() int { return m.n }

func (m onRows) Value(w []float64) float64 {
	if m.of == nil {
		return math.NaN()
	}
	if w == nil {
		return m.of.Value(nil)
	}
	picked := make([]float64, len(m.rows))
	for i, row := range m.rows {
		picked[i] = w[row]
	}
	return m.of.Value(picked)
}

// meanOf is the mean of measures of the same n rows, those that exist.
type meanOf struct {
	of []stat.Measure
	n  int
}

func (m meanOf) Len() int { return m.n }

func (m meanOf) Value(w []float64) float64 {
	sum, n := 0.0, 0
	for _, one := range m.of {
		if v := one.Value(w); !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}

// confusions counts disagreements by the codes concerned.
func confusions(f field, items []Item, most int) []Confused {
	type key [2]string
	found := map[key]*Confused{}
	add := func(a, b string, first bool) {
		c := found[key{a, b}]
		if c == nil {
			c = &Confused{A: a, B: b}
			found[key{a, b}] = c
		}
		c.Count++
		if first {
			c.First++
		}
	}
	for _, item := range items {
		eachPair(item, func(a, b *qingting.Labels) {
			left, right := unique(f.values(a)), unique(f.values(b))
			if !f.set {
				switch order := slices.Index(f.codes, left[0]) - slices.Index(f.codes, right[0]); {
				case order < 0:
					add(left[0], right[0], true)
				case order > 0:
					add(right[0], left[0], false)
				}
				return
			}
			for _, code := range left {
				if !slices.Contains(right, code) {
					add(code, "", true)
				}
			}
			for _, code := range right {
				if !slices.Contains(left, code) {
					add(code, "", false)
				}
			}
		})
	}
	out := make([]Confused, 0, len(found))
	for _, c := range slices.SortedFunc(maps.Values(found), func(a, b *Confused) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
	}) {
		out = append(out, *c)
	}
	return out[:min(most, len(out))]
}
