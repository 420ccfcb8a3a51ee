package label

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/metric"
)

// given is a full set of labels, changed by the functions.
func given(change ...func(*qingting.Labels)) *qingting.Labels {
	l := &qingting.Labels{
		Kind: qingting.KindComplaint, Types: []qingting.Type{qingting.TypeDelay}, Primary: qingting.TypeDelay,
		Emotion: qingting.EmotionAngry, Intensity: 2, Risk: qingting.RiskMedium, Signals: []qingting.SignalCode{},
		Claims: []qingting.ClaimCode{qingting.ClaimExpedite}, Style: qingting.StyleMixed, Outcome: qingting.OutcomePending,
	}
	for _, c := range change {
		c(l)
	}
	return l
}

func inquiry(l *qingting.Labels) {
	l.Kind, l.Types, l.Primary, l.Emotion, l.Intensity, l.Risk = qingting.KindInquiry, nil, "", qingting.EmotionCalm, 0, qingting.RiskLow
}

func types(codes ...qingting.Type) func(*qingting.Labels) {
	return func(l *qingting.Labels) { l.Types, l.Primary = codes, codes[0] }
}

func intensity(i int) func(*qingting.Labels) {
	return func(l *qingting.Labels) { l.Intensity = i }
}

func items(rows ...[]*qingting.Labels) []Item {
	var out []Item
	for i, r := range rows {
		out = append(out, Item{ID: string(rune('a' + i)), Labels: r})
	}
	return out
}

func repeat(n int, row ...*qingting.Labels) [][]*qingting.Labels {
	return slices.Repeat([][]*qingting.Labels{row}, n)
}

func fieldOf(t *testing.T, a *Agreement, name string) *FieldAgreement {
	t.Helper()
	at := slices.IndexFunc(a.Fields, func(f FieldAgreement) bool { return f.Field == name })
	require.GreaterOrEqual(t, at, 0)
	return &a.Fields[at]
}

func value(f *Figure) float64 { return float64(f.Value) }

// TestTwoAnnotators has figures worked out by hand. Of 20 conversations kind is
// complaint twice 12 times, inquiry twice 4 times, and 4 times only a says
// complaint: κ = (0.8 − (0.8·0.6 + 0.2·0.4))/(1 − 0.56) = 6/11.
func TestTwoAnnotators(t *testing.T) {
	rows := slices.Concat(
		repeat(10, given(), given()),
		repeat(2, given(types(qingting.TypeDelay, qingting.TypeWait)), given()),
		repeat(4, given(inquiry), given(inquiry)),
		repeat(4, given(intensity(1)), given(inquiry)),
	)
	a, err := Measure(&Annotations{Annotators: []string{"甲", "乙"}, Items: items(rows...)}, Options{})
	require.NoError(t, err)
	require.Equal(t, 20, a.Items)
	require.Zero(t, a.Single)
	require.Len(t, a.Fields, len(fields()))

	kind := fieldOf(t, a, "kind")
	require.Equal(t, 20, kind.N)
	require.InDelta(t, 0.8, value(&kind.Raw), 1e-12)
	require.InDelta(t, 6.0/11, value(&kind.Kappa), 1e-12)
	// 40 ratings, 28 of them complaint: expected disagreement 2·28·12/(40·39).
	require.InDelta(t, 1-0.2/(2*28*12/(40.0*39)), value(&kind.Alpha), 1e-12)
	require.Nil(t, kind.MicroF1)
	require.Nil(t, kind.AlphaOrdinal)
	require.Equal(t, []Confused{{A: "complaint", B: "inquiry", Count: 4, First: 4}}, kind.Confused)
	require.Less(t, kind.Raw.Low, eval.Number(0.8))
	require.Greater(t, kind.Raw.High, eval.Number(0.8))

	set := fieldOf(t, a, "types")
	require.InDelta(t, 14.0/20, value(&set.Raw), 1e-12)
	// a gives 16 + 2 codes, b 12, of which 12 are common.
	require.InDelta(t, 24.0/30, value(set.MicroF1), 1e-12)
	require.Equal(t, "process.wait", set.Codes[0].Code)
	require.Equal(t, []int{2, 0}, set.Codes[0].Given)
	require.Equal(t, "logistics.delay", set.Codes[1].Code)
	require.Equal(t, []int{16, 12}, set.Codes[1].Given)
	require.InDelta(t, 6.0/11, float64(set.Codes[1].Kappa), 1e-12)
	require.InDelta(t, 6.0/11, value(&set.Kappa), 1e-12, "a code given twice in all takes no part")
	require.Equal(t, []Confused{{A: "logistics.delay", Count: 4, First: 4}, {A: "process.wait", Count: 2, First: 2}}, set.Confused)

	primary := fieldOf(t, a, "primary_l1")
	require.Equal(t, []Confused{{A: "none", B: "logistics", Count: 4, First: 0}}, primary.Confused)

	scale := fieldOf(t, a, "intensity")
	require.Equal(t, []Confused{{A: "0", B: "1", Count: 4, First: 0}}, scale.Confused)
	require.NotNil(t, scale.AlphaOrdinal)
	require.Greater(t, scale.AlphaOrdinal.Value, scale.Alpha.Value, "0 for 1 is a small step of the scale")

	style := fieldOf(t, a, "style")
	require.InDelta(t, 1, value(&style.Raw), 0)
	require.True(t, math.IsNaN(value(&style.Kappa)), "one style throughout tells nothing")
	require.Empty(t, style.Confused)
	require.True(t, math.IsNaN(value(fieldOf(t, a, "signals").MicroF1)), "nobody gave a signal")

	var out, js bytes.Buffer
	require.NoError(t, a.Text(&out))
	for _, want := range []string{"2 个标注人（甲、乙），20 个会话", "Cohen κ", "0.800 [", "0.545", "complaint", "↔ inquiry", "4 次  甲 标前者 4 次，乙 0 次", "先改标注手册：kind、types、primary、primary_l1、emotion、risk\n", "κ 低于 0.8 的代码"} {
		require.Contains(t, out.String(), want)
	}
	require.NotContains(t, out.String(), "NaN")
	require.NoError(t, a.JSON(&js))
	require.NotContains(t, js.String(), "NaN")
	var back Agreement
	require.NoError(t, json.Unmarshal(js.Bytes(), &back))
	require.InDelta(t, 6.0/11, float64(back.Fields[0].Kappa.Value), 1e-12)

	again, err := Measure(&Annotations{Annotators: []string{"甲", "乙"}, Items: items(rows...)}, Options{})
	require.NoError(t, err)
	var twice bytes.Buffer
	require.NoError(t, again.JSON(&twice))
	require.Equal(t, js.String(), twice.String())
}

// TestSymmetric is that nobody is gold: swapping two annotators changes no
// figure.
func TestSymmetric(t *testing.T) {
	rows := slices.Concat(repeat(9, given(), given(intensity(3))), repeat(6, given(types(qingting.TypeWait)), given()), repeat(5, given(inquiry), given(inquiry)))
	swapped := make([][]*qingting.Labels, len(rows))
	for i, r := range rows {
		swapped[i] = []*qingting.Labels{r[1], r[0]}
	}
	a, err := Measure(&Annotations{[]string{"a", "b"}, items(rows...)}, Options{})
	require.NoError(t, err)
	b, err := Measure(&Annotations{[]string{"a", "b"}, items(swapped...)}, Options{})
	require.NoError(t, err)
	for i := range a.Fields {
		f, g := &a.Fields[i], &b.Fields[i]
		for _, pair := range [][2]*Figure{{&f.Raw, &g.Raw}, {&f.Kappa, &g.Kappa}, {&f.Alpha, &g.Alpha}, {f.MicroF1, g.MicroF1}, {f.AlphaOrdinal, g.AlphaOrdinal}} {
			if pair[0] == nil {
				continue
			}
			require.InDelta(t, num(pair[0].Value), num(pair[1].Value), 1e-12, f.Field)
			require.InDelta(t, num(pair[0].Low), num(pair[1].Low), 1e-12, f.Field)
		}
	}
}

func num(x eval.Number) float64 {
	if math.IsNaN(float64(x)) {
		return -9
	}
	return float64(x)
}

// TestThreeAnnotators with a label missing holds the figures to those of
// package metric.
func TestThreeAnnotators(t *testing.T) {
	c, i := given(), given(inquiry)
	rows := slices.Concat(
		repeat(6, c, c, c), repeat(3, i, i, i), repeat(3, c, c, i), repeat(2, i, c, i), repeat(2, c, nil, i), repeat(2, nil, c, c), repeat(2, nil, nil, c),
	)
	a, err := Measure(&Annotations{[]string{"a", "b", "c"}, items(rows...)}, Options{Confused: 1})
	require.NoError(t, err)
	require.Equal(t, 20, a.Items)
	require.Equal(t, 2, a.Single)
	kind := fieldOf(t, a, "kind")
	require.Equal(t, 18, kind.N)
	// 6·3 + 3·3 + 3·1 + 2·1 + 2·0 + 2·1 of 14·3 + 4 pairs agree.
	require.InDelta(t, 34.0/46, value(&kind.Raw), 1e-12)
	ratings := func(rows [][]*qingting.Labels) (out [][]float64) {
		for _, r := range rows {
			var one []float64
			for _, l := range r {
				switch l {
				case nil:
					one = append(one, metric.Missing())
				case c:
					one = append(one, 0)
				default:
					one = append(one, 1)
				}
			}
			out = append(out, one)
		}
		return out
	}
	fleiss, err := metric.FleissKappa(ratings(rows[:14]))
	require.NoError(t, err)
	require.InDelta(t, fleiss.Value(nil), value(&kind.Kappa), 1e-12)
	alpha, err := metric.KrippendorffAlpha(ratings(rows), metric.Nominal)
	require.NoError(t, err)
	require.InDelta(t, alpha.Value(nil), value(&kind.Alpha), 1e-12)
	require.Len(t, kind.Confused, 1)
	// c c i has two pairs, a and b first; i c i two, b first in one; c nil i one.
	require.Equal(t, Confused{A: "complaint", B: "inquiry", Count: 12, First: 10}, kind.Confused[0])
	var out bytes.Buffer
	require.NoError(t, a.Text(&out))
	require.Contains(t, out.String(), "Fleiss κ")
	require.Contains(t, out.String(), "另有 2 个只有不到两份标注")
	require.NotContains(t, out.String(), "标前者", "which of three says what is not told")
}

// TestOnRows: weights go to the rows that are rated.
func TestOnRows(t *testing.T) {
	m := onRows{of: metric.Mean([]float64{10, 20}), rows: []int{1, 3}, n: 4}
	require.Equal(t, 4, m.Len())
	require.InDelta(t, 15, m.Value(nil), 0)
	require.InDelta(t, (10.0+3*20)/4, m.Value([]float64{7, 1, 8, 3}), 1e-12)
	require.True(t, math.IsNaN(onRows{n: 2}.Value([]float64{1, 1})))
	require.True(t, math.IsNaN(meanOf{n: 2}.Value(nil)))
}

// TestGroups is that conversations of one group are drawn together: the
// interval of doubled data is that of the data.
func TestGroups(t *testing.T) {
	rows := slices.Concat(repeat(14, given(), given()), repeat(6, given(), given(inquiry)))
	single, double := items(rows...), []Item{}
	for _, item := range single {
		item.Group = "g" + item.ID
		double = append(double, item, item)
		double[len(double)-1].ID += "2"
	}
	a, err := Measure(&Annotations{[]string{"a", "b"}, single}, Options{})
	require.NoError(t, err)
	b, err := Measure(&Annotations{[]string{"a", "b"}, double}, Options{})
	require.NoError(t, err)
	require.Equal(t, fieldOf(t, a, "kind").Raw, fieldOf(t, b, "kind").Raw)
	require.Equal(t, 40, fieldOf(t, b, "kind").N)
}

func TestMeasureRefuses(t *testing.T) {
	_, err := Measure(&Annotations{Annotators: []string{"a"}, Items: items([]*qingting.Labels{given()})}, Options{})
	require.ErrorContains(t, err, "至少要有两个标注人")
	_, err = Measure(&Annotations{Annotators: []string{"a", "b"}, Items: items([]*qingting.Labels{given(), nil}, []*qingting.Labels{nil, given()})}, Options{})
	require.ErrorContains(t, err, "没有一个会话有两份标注")
	_, err = Measure(&Annotations{Annotators: []string{"a", "b"}, Items: items([]*qingting.Labels{given()})}, Options{})
	require.ErrorContains(t, err, "会话 a 有 1 份标注，标注人有 2 个")
}

const labelsJSON = `{"kind":"complaint","types":["logistics.delay"],"primary":"logistics.delay","emotion":"angry","intensity":2,"risk":"medium","signals":[],"claims":["expedite"],"style":"mixed","outcome":"pending"}`

func annotated(rows string) (*Annotations, error) {
	d, err := dataset.OpenFS(fstest.MapFS{"标注.jsonl": {Data: []byte(rows)}}, "标注.jsonl")
	if err != nil {
		return nil, err
	}
	return Annotated(d, &d.Files[0])
}

func TestAnnotated(t *testing.T) {
	a, err := annotated(`{"id":"1","group":"g","b":` + labelsJSON + `,"a":` + labelsJSON + "}\n" + `{"id":"2","a":null,"c":` + labelsJSON + `,"source":"自拟"}`)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, a.Annotators)
	require.Equal(t, "g", a.Items[0].Group)
	require.Equal(t, given(), a.Items[0].Labels[0])
	require.Nil(t, a.Items[0].Labels[2])
	require.Equal(t, []*qingting.Labels{nil, nil, given()}, a.Items[1].Labels)

	for want, rows := range map[string]string{
		"第 1 行：缺少 id":                      `{"a":` + labelsJSON + `}`,
		"第 2 行：id 和前面的重复":                  `{"id":"1"}` + "\n" + `{"id":"1"}`,
		"第 1 行：应为一个 JSON 对象":               `[1]`,
		"id 应为文字":                          `{"id":1}`,
		"a 应为一份标注":                         `{"id":"1","a":"我要退款"}`,
		"b 应为一份标注":                         `{"id":"1","b":{"x":1}}`,
		`kind 的 "投诉" 标注手册里没有`:              `{"id":"1","a":` + strings.Replace(labelsJSON, "complaint", "投诉", 1) + `}`,
		`types 的 "logistics.slow" 标注手册里没有`: `{"id":"1","a":` + strings.Replace(labelsJSON, `["logistics.delay"]`, `["logistics.slow"]`, 1) + `}`,
		`intensity 的 "7" 标注手册里没有`:          `{"id":"1","a":` + strings.Replace(labelsJSON, `:2`, `:7`, 1) + `}`,
		"第 1 行": "{\"id\":\"\xff\"}",
	} {
		_, err := annotated(rows)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "标注.jsonl")
	}
}

func FuzzAnnotated(f *testing.F) {
	for _, s := range []string{
		`{"id":"1","a":` + labelsJSON + `,"b":` + labelsJSON + `}`, `{"id":"1","a":null,"b":{}}`, `{"id":"","a":[]}`, "", "\n", "null", `{"id":"一","group":5}`, "{\"id\":\"\xed\xa0\x80\"}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rows string) {
		a, err := annotated(rows)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		for _, item := range a.Items {
			require.NotEmpty(t, item.ID)
			require.Len(t, item.Labels, len(a.Annotators))
		}
		if m, err := Measure(a, Options{Resampling: eval.Resampling{Rounds: 3}}); err == nil {
			var out bytes.Buffer
			require.NoError(t, m.JSON(&out))
			require.NoError(t, m.Text(&out))
			require.NotContains(t, out.String(), "NaN")
		}
	})
}

func TestPair(t *testing.T) {
	row := func(id string, l *qingting.Labels) dataset.Example {
		return dataset.Example{Place: dataset.Place{File: "甲.jsonl", Line: 4}, Key: dataset.Key{ID: id, Group: "g" + id}, Labels: *l}
	}
	a, err := Pair([]string{"甲", "乙"}, [][]dataset.Example{{row("1", given()), row("2", given())}, {row("3", given(inquiry)), row("1", given(inquiry))}})
	require.NoError(t, err)
	require.Equal(t, []Item{
		{"1", "g1", []*qingting.Labels{given(), given(inquiry)}},
		{"2", "g2", []*qingting.Labels{given(), nil}},
		{"3", "g3", []*qingting.Labels{nil, given(inquiry)}},
	}, a.Items)
	_, err = Pair([]string{"甲"}, [][]dataset.Example{{row("1", given()), row("1", given())}})
	require.ErrorContains(t, err, "甲.jsonl 第 4 行：id 和前面的重复")
	_, err = Pair([]string{"甲"}, [][]dataset.Example{{row("1", given(func(l *qingting.Labels) { l.Style = "急躁" }))}})
	require.ErrorContains(t, err, `style 的 "急躁"`)
}

// scores are those of a model that is sure of the labels.
func scores(l *qingting.Labels) qingting.Scores {
	sure := func(n, at int) []float64 {
		out := slices.Repeat([]float64{0.1 / float64(n-1)}, n)
		out[at] = 0.9
		return out
	}
	each := func(n int, has func(int) bool) []float64 {
		out := make([]float64, n)
		for i := range out {
			if out[i] = 0.05; has(i) {
				out[i] = 0.95
			}
		}
		return out
	}
	return qingting.Scores{
		Kind: sure(5, slices.Index(qingting.Kinds(), l.Kind)), Emotion: sure(6, slices.Index(qingting.Emotions(), l.Emotion)),
		Intensity: sure(4, l.Intensity), Risk: sure(3, slices.Index(qingting.RiskLevels(), l.Risk)),
		Style: sure(3, slices.Index(qingting.Styles(), l.Style)), Outcome: sure(3, slices.Index(qingting.Outcomes(), l.Outcome)),
		Types:   each(21, func(i int) bool { return slices.Contains(l.Types, qingting.Types()[i]) }),
		Signals: each(12, func(i int) bool { return slices.Contains(l.Signals, qingting.Signals()[i]) }),
		Claims:  each(12, func(i int) bool { return slices.Contains(l.Claims, qingting.Claims()[i]) }),
	}
}

// TestInspect gives a model that knows the truth labels of which three are
// wrong, each in another field.
func TestInspect(t *testing.T) {
	var ids []string
	var labels []qingting.Labels
	var all []qingting.Scores
	for i := range 60 {
		l := given()
		if i%2 == 1 {
			l = given(inquiry)
		}
		ids, labels, all = append(ids, "c"+string(rune('A'+i))), append(labels, *l), append(all, scores(l))
	}
	labels[0].Kind = qingting.KindInquiry // was a complaint
	labels[2].Types = []qingting.Type{}   // had a type
	labels[4].Claims = append(slices.Clone(labels[4].Claims), qingting.ClaimRefund)
	for i := 20; i < 23; i++ { // too few exchanges
		labels[i].Claims = append(slices.Clone(labels[i].Claims), qingting.ClaimExchange)
	}
	for i := 10; i < 18; i++ { // enough refunds to look at
		labels[i].Claims = append(slices.Clone(labels[i].Claims), qingting.ClaimRefund)
		all[i] = scores(&labels[i])
	}
	columns, err := Columns(labels, all, nil)
	require.NoError(t, err)
	require.Len(t, columns, 6+21+12+12)
	r, err := Inspect(ids, columns, ByNoiseRate)
	require.NoError(t, err)
	require.Equal(t, 60, r.Rows)
	type found struct{ id, field, code, given, suggested string }
	var got []found
	for _, s := range r.Suspicions {
		got = append(got, found{s.ID, s.Field, s.Code, s.Given, s.Suggested})
	}
	require.ElementsMatch(t, []found{
		{"cA", "kind", "", "inquiry", "complaint"}, {"cC", "types", "logistics.delay", Absent, Present}, {"cE", "claims", "refund", Present, Absent},
	}, got)
	require.True(t, slices.IsSortedFunc(r.Suspicions, func(a, b Suspicion) int { return cmp.Compare(a.Margin, b.Margin) }))
	require.Equal(t, "kind", r.Suspicions[2].Field, "0.02 against 0.9 is not as far as 0.05 against 0.95")
	at := slices.IndexFunc(r.Columns, func(c ColumnNoise) bool { return c.Field == "kind" })
	require.Equal(t, []int{29, 31, 0, 0, 0}, r.Columns[at].Given)
	require.InDelta(t, 1.0/60, float64(r.Columns[at].Rate), 1e-9)
	require.Equal(t, 1, r.Columns[at].Suspects)
	require.Equal(t, 1, r.Columns[at].Doubted)
	require.True(t, r.Columns[at].Credible)
	few := 0
	for _, c := range r.Columns {
		if c.Few {
			few++
			require.Empty(t, c.Joint)
		}
	}
	require.Equal(t, 20+12+10, few)

	var out, js bytes.Buffer
	unknown := *r
	unknown.Columns = slices.Clone(r.Columns)
	unknown.Columns[at].Credible = false
	require.NoError(t, unknown.Text(&out, 2))
	require.Contains(t, out.String(), "模型还不认得")
	require.NotContains(t, out.String(), "inquiry → complaint")
	out.Reset()
	require.NoError(t, r.Text(&out, 2))
	require.NotContains(t, out.String(), "模型还不认得")
	for _, want := range []string{"60 个会话", "估计错误率", "1.7%", "inquiry → complaint 约 1", "标过不到 5 次", "最可疑的 2 个标注（共 3 个）", "cC"} {
		require.Contains(t, out.String(), want)
	}
	require.NoError(t, r.JSON(&js))
	require.NotContains(t, js.String(), "NaN")
	var back NoiseReport
	require.NoError(t, json.Unmarshal(js.Bytes(), &back))
	require.Equal(t, r.Suspicions, back.Suspicions)

	only, err := Columns(labels, all, []string{"risk"})
	require.NoError(t, err)
	require.Len(t, only, 1)
	require.Equal(t, "risk", only[0].Field)
}

func TestColumnsRefuse(t *testing.T) {
	one, s := []qingting.Labels{*given()}, []qingting.Scores{scores(given())}
	_, err := Columns(one, nil, nil)
	require.ErrorContains(t, err, "逐行对齐")
	_, err = Columns(one, s, []string{"primary"})
	require.ErrorContains(t, err, "primary")
	_, err = Columns(one, []qingting.Scores{{}}, nil)
	require.ErrorContains(t, err, "模型没有给出 kind 的概率")
	_, err = Columns([]qingting.Labels{*given(intensity(4))}, s, nil)
	require.ErrorContains(t, err, `第 1 份标注里 intensity 的 "4"`)
	columns, err := Columns(one, s, nil)
	require.NoError(t, err)
	_, err = Inspect([]string{"a"}, columns, ByClass)
	require.ErrorContains(t, err, "kind：只有 1 行标注")
	_, err = Inspect([]string{"a", "b"}, columns, ByClass)
	require.ErrorContains(t, err, "逐行对齐")
	_, err = Inspect(nil, nil, ByClass)
	require.ErrorContains(t, err, "没有要检查的字段")
}

// TestFields holds the names of this package to the label guide.
func TestFields(t *testing.T) {
	var got []string
	for _, f := range fields() {
		got = append(got, f.name)
		require.NotEmpty(t, f.codes)
		for _, code := range f.values(given()) {
			require.Contains(t, f.codes, code, f.name)
		}
	}
	require.Equal(t, []string{"kind", "types", "primary", "primary_l1", "emotion", "intensity", "risk", "signals", "claims", "style", "outcome"}, got)
	require.Equal(t, []string{"kind", "types", "emotion", "intensity", "risk", "signals", "claims", "style", "outcome"}, NoiseFields())
	require.Equal(t, []string{"none"}, fields()[3].values(given(inquiry)))
}
