package behave

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
)

// answer is an analysis as tests ask for it.
type answer struct {
	labels map[string][]string // by field: one code, or several in the order of their names
	number map[string]float64  // by numeric field
	slots  []string            // kind=value
	quotes []string            // of signals
}

// fields are what INV may name: labels, and numbers with a tolerance.
func fields() []string {
	return append([]string{"kind", "types", "primary", "family", "signals", "claims", "risk", "emotion", "style", "outcome", "priority"}, numericFields()...)
}

// numericFields are compared with a tolerance: intensity in levels 0…3, the
// others probabilities.
func numericFields() []string { return []string{"intensity", "risk_score", "kind_confidence"} }

func newAnswer(a *qingting.Analysis) *answer {
	out := &answer{
		labels: map[string][]string{
			"kind": {string(a.Kind.Code)}, "emotion": {string(a.Emotion.Code)}, "risk": {string(a.Risk.Level)}, "trend": {string(a.Emotion.Trend)},
			"style": {string(a.Style.Code)}, "outcome": {string(a.Outcome.Code)}, "priority": {string(a.Priority)},
		},
		number: map[string]float64{"intensity": float64(a.Emotion.Intensity), "risk_score": a.Risk.Score, "kind_confidence": a.Kind.Confidence},
	}
	add := func(field, code string) {
		if code != "" && code != "none" && !slices.Contains(out.labels[field], code) {
			out.labels[field] = append(out.labels[field], code)
		}
	}
	if a.Primary != nil {
		add("primary", string(*a.Primary))
		family, _, _ := strings.Cut(string(*a.Primary), ".")
		add("family", family)
	}
	for _, t := range a.Types {
		add("types", string(t.Code))
	}
	for _, c := range a.Claims {
		add("claims", string(c.Code))
	}
	for _, s := range a.Risk.Signals {
		add("signals", string(s.Code))
		out.quotes = append(out.quotes, s.Quote)
	}
	for _, s := range a.Slots {
		out.slots = append(out.slots, string(s.Kind)+"="+s.Value)
	}
	for _, field := range []string{"types", "claims", "signals"} {
		slices.Sort(out.labels[field])
	}
	return out
}

// zh names codes for people, "无" for none.
func zh(field string, codes []string) string {
	if len(codes) == 0 {
		return "无"
	}
	out := make([]string, len(codes))
	for i, c := range codes {
		out[i] = c
		if field != "family" && !strings.HasSuffix(c, ".*") {
			out[i] = qingting.Label(c)
		}
	}
	return strings.Join(out, "、")
}

// fieldNames are the fields as reports name them.
var fieldNames = map[string]string{
	"kind": "来电性质", "types": "类型", "primary": "主要类型", "family": "类型大类", "signals": "信号", "claims": "诉求", "risk": "风险", "emotion": "情绪",
	"style": "客户类型", "outcome": "结果", "trend": "走势", "priority": "优先级",
	"intensity": "强度", "risk_score": "风险概率", "kind_confidence": "性质的概率",
}

// allowed are the codes of a field.
func allowed(field string) []string {
	switch field {
	case "kind":
		return texts(qingting.Kinds())
	case "types", "primary":
		out := texts(qingting.Types())
		for _, t := range texts(qingting.Types()) {
			if family, _, ok := strings.Cut(t, "."); ok && !slices.Contains(out, family+".*") {
				out = append(out, family+".*")
			}
		}
		return out
	case "signals":
		return texts(qingting.Signals())
	case "claims":
		return texts(qingting.Claims())
	case "risk":
		return texts(qingting.RiskLevels())
	case "emotion":
		return texts(qingting.Emotions())
	case "style":
		return texts(qingting.Styles())
	case "outcome":
		return texts(qingting.Outcomes())
	case "trend":
		return texts([]qingting.Trend{qingting.TrendRising, qingting.TrendSteady, qingting.TrendFalling, qingting.TrendUnknown})
	case "priority":
		return texts([]qingting.Priority{qingting.PriorityP0, qingting.PriorityP1, qingting.PriorityP2, qingting.PriorityP3})
	}
	return nil
}

func texts[C ~string](codes []C) []string {
	out := make([]string, len(codes))
	for i, c := range codes {
		out[i] = string(c)
	}
	return out
}

// demand is one line of an Expect.
type demand struct {
	key, field string
	how        quantifier
	codes      []string
}

type quantifier int

const (
	all quantifier = iota
	anyOf
	noneOf
)

func (e *Expect) demands() []demand {
	return []demand{
		{"kind", "kind", anyOf, e.Kind},
		{"kind_not", "kind", noneOf, e.KindNot},
		{"types", "types", all, e.Types},
		{"types_any", "types", anyOf, e.TypesAny},
		{"types_not", "types", noneOf, e.TypesNot},
		{"primary", "primary", anyOf, e.Primary},
		{"signals", "signals", all, e.Signals},
		{"signals_any", "signals", anyOf, e.SignalsAny},
		{"signals_not", "signals", noneOf, e.SignalsNot},
		{"claims", "claims", all, e.Claims},
		{"claims_any", "claims", anyOf, e.ClaimsAny},
		{"claims_not", "claims", noneOf, e.ClaimsNot},
		{"risk", "risk", anyOf, e.Risk},
		{"emotion", "emotion", anyOf, e.Emotion},
		{"emotion_not", "emotion", noneOf, e.EmotionNot},
		{"trend", "trend", anyOf, e.Trend},
		{"style", "style", anyOf, e.Style},
		{"outcome", "outcome", anyOf, e.Outcome},
		{"priority", "priority", anyOf, e.Priority},
	}
}

func (e *Expect) check() error {
	if e == nil {
		return nil
	}
	for _, d := range e.demands() {
		if err := known(d.key, d.field, d.codes); err != nil {
			return err
		}
	}
	for key, level := range map[string]string{"risk_min": e.RiskMin, "risk_max": e.RiskMax} {
		if level != "" && !slices.Contains(allowed("risk"), level) {
			return fmt.Errorf("%s 是 %q，只能是 %s", key, level, strings.Join(allowed("risk"), "、"))
		}
	}
	for key, n := range map[string]*int{"intensity_min": e.IntensityMin, "intensity_max": e.IntensityMax} {
		if n != nil && (*n < 0 || *n > 3) {
			return fmt.Errorf("%s 是 %d，应当在 0 和 3 之间", key, *n)
		}
	}
	for _, s := range e.Slots {
		if kind, value, ok := strings.Cut(s, "="); !ok || kind == "" || value == "" {
			return fmt.Errorf("slots 里的 %q 应当像 amount=299", s)
		}
	}
	return nil
}

func known(key, field string, codes []string) error {
	for _, c := range codes {
		if !slices.Contains(allowed(field), c) {
			return fmt.Errorf("%s 里的 %q 不认识，可用的有 %s", key, c, strings.Join(allowed(field), "、"))
		}
	}
	return nil
}

// has reports whether one of the codes is the asked one, or of its family.
func has(codes []string, want string) bool {
	family, wild := strings.CutSuffix(want, ".*")
	return slices.ContainsFunc(codes, func(c string) bool { return c == want || wild && (c == family || strings.HasPrefix(c, family+".")) })
}

// broken lists in Chinese what an answer does not fulfil.
func (e *Expect) broken(a *answer) []string {
	var out []string
	fail := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, d := range e.demands() {
		if len(d.codes) == 0 {
			continue
		}
		got := a.labels[d.field]
		name, is := fieldNames[d.field], zh(d.field, got)
		held := func(c string) bool { return has(got, c) }
		switch {
		case d.how == anyOf && !slices.ContainsFunc(d.codes, held):
			fail("%s应是%s，得到%s", name, strings.ReplaceAll(zh(d.field, d.codes), "、", "或"), is)
		case d.how == noneOf && slices.ContainsFunc(d.codes, held):
			fail("%s不应有%s，得到%s", name, zh(d.field, d.codes), is)
		case d.how == all:
			for _, c := range d.codes {
				if !held(c) {
					fail("%s应有%s，得到%s", name, zh(d.field, []string{c}), is)
				}
			}
		}
	}
	if e.NoSignals && len(a.labels["signals"]) > 0 {
		fail("不应有信号，得到%s", zh("signals", a.labels["signals"]))
	}
	risk := rank("risk", a.labels["risk"])
	if e.RiskMin != "" && risk < rank("risk", []string{e.RiskMin}) {
		fail("风险至少是%s，得到%s", zh("risk", []string{e.RiskMin}), zh("risk", a.labels["risk"]))
	}
	if e.RiskMax != "" && risk > rank("risk", []string{e.RiskMax}) {
		fail("风险至多是%s，得到%s", zh("risk", []string{e.RiskMax}), zh("risk", a.labels["risk"]))
	}
	intensity := int(a.number["intensity"])
	if e.IntensityMin != nil && intensity < *e.IntensityMin {
		fail("强度至少是 %d，得到 %d（%s）", *e.IntensityMin, intensity, zh("emotion", a.labels["emotion"]))
	}
	if e.IntensityMax != nil && intensity > *e.IntensityMax {
		fail("强度至多是 %d，得到 %d（%s）", *e.IntensityMax, intensity, zh("emotion", a.labels["emotion"]))
	}
	for _, s := range e.Slots {
		if !slices.Contains(a.slots, s) {
			fail("应认出 %s，得到 %s", s, orNone(a.slots))
		}
	}
	for _, q := range e.Quotes {
		if !slices.ContainsFunc(a.quotes, func(quote string) bool { return strings.Contains(quote, q) }) {
			fail("信号应引用“%s”，得到 %s", q, orNone(a.quotes))
		}
	}
	return out
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "无"
	}
	return strings.Join(list, "、")
}

// rank is the place of a code in its field; −1 for none. Priority counts
// upwards in urgency.
func rank(field string, codes []string) int {
	if len(codes) == 0 {
		return -1
	}
	at := slices.Index(allowed(field), codes[0])
	if field == "priority" {
		return len(allowed(field)) - at
	}
	return at
}

// changed lists in Chinese which of the fields moved further than they may.
func (t *Test) changed(before, after *answer) []string {
	var out []string
	for _, field := range t.Unchanged {
		if slices.Contains(numericFields(), field) {
			if d := math.Abs(after.number[field] - before.number[field]); d > t.Tolerance[field]+1e-9 {
				out = append(out, fmt.Sprintf("%s变了：%s → %s", fieldNames[field], digits(field, before), digits(field, after)))
			}
			continue
		}
		if b, a := before.labels[field], after.labels[field]; !slices.Equal(a, b) {
			out = append(out, fmt.Sprintf("%s变了：%s → %s", fieldNames[field], zh(field, b), zh(field, a)))
		}
	}
	return out
}

func digits(field string, a *answer) string {
	if field == "intensity" {
		return fmt.Sprint(a.number[field])
	}
	return fmt.Sprintf("%.2f", a.number[field])
}

func (d *Direction) check() error {
	if d == nil {
		return nil
	}
	for key, m := range map[string]Move{"risk": d.Risk, "risk_score": d.RiskScore, "intensity": d.Intensity, "priority": d.Priority} {
		if m != "" && !slices.Contains([]Move{Up, Down, NotUp, NotDown}, m) {
			return fmt.Errorf("%s 是 %q，只能是 up、down、not_up 或 not_down", key, m)
		}
	}
	for _, l := range []demand{
		{"signals_appear", "signals", all, d.SignalsAppear},
		{"signals_vanish", "signals", all, d.SignalsVanish},
		{"claims_appear", "claims", all, d.ClaimsAppear},
		{"claims_vanish", "claims", all, d.ClaimsVanish},
		{"emotion_after", "emotion", all, d.EmotionAfter},
		{"emotion_leaves", "emotion", all, d.EmotionLeaves},
		{"outcome_after", "outcome", all, d.OutcomeAfter},
		{"outcome_not_then", "outcome", all, d.OutcomeNotThen},
	} {
		if err := known(l.key, l.field, l.codes); err != nil {
			return err
		}
	}
	return nil
}

// broken lists in Chinese what did not move as it should.
func (d *Direction) broken(before, after *answer, tolerance map[string]float64) []string {
	var out []string
	fail := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	move := func(field string, m Move, from, to, slack float64, show func(*answer) string) {
		delta := to - from
		told := map[Move]string{Up: "应当上升", Down: "应当下降", NotUp: "不应上升", NotDown: "不应下降"}[m]
		if m == Up && delta <= 0 || m == Down && delta >= 0 || m == NotUp && delta > slack+1e-9 || m == NotDown && delta < -slack-1e-9 {
			fail("%s%s：%s → %s", fieldNames[field], told, show(before), show(after))
		}
	}
	label := func(field string) func(*answer) string {
		return func(a *answer) string { return zh(field, a.labels[field]) }
	}
	level := func(field string, m Move) {
		move(field, m, float64(rank(field, before.labels[field])), float64(rank(field, after.labels[field])), 0, label(field))
	}
	level("risk", d.Risk)
	level("priority", d.Priority)
	for _, n := range []struct {
		field string
		move  Move
	}{{"risk_score", d.RiskScore}, {"intensity", d.Intensity}} {
		move(n.field, n.move, before.number[n.field], after.number[n.field], tolerance[n.field], func(a *answer) string { return digits(n.field, a) })
	}
	for _, l := range []struct {
		field            string
		appear, vanish   []string
		kept, nothingNew bool
	}{
		{"signals", d.SignalsAppear, d.SignalsVanish, d.SignalsKept, d.NoNewSignals},
		{"claims", d.ClaimsAppear, d.ClaimsVanish, false, false},
		{"types", nil, nil, d.TypesKept, false},
	} {
		b, a := before.labels[l.field], after.labels[l.field]
		moved := zh(l.field, b) + " → " + zh(l.field, a)
		for _, c := range l.appear {
			if has(b, c) || !has(a, c) {
				fail("%s里应当新出现%s：%s", fieldNames[l.field], zh(l.field, []string{c}), moved)
			}
		}
		for _, c := range l.vanish {
			if !has(b, c) || has(a, c) {
				fail("%s里的%s应当消失：%s", fieldNames[l.field], zh(l.field, []string{c}), moved)
			}
		}
		if l.kept && slices.ContainsFunc(b, func(c string) bool { return !has(a, c) }) {
			fail("%s不应减少：%s", fieldNames[l.field], moved)
		}
		if l.nothingNew && slices.ContainsFunc(a, func(c string) bool { return !has(b, c) }) {
			fail("%s不应增加：%s", fieldNames[l.field], moved)
		}
	}
	one := func(field string, codes []string, want bool, told string) {
		if len(codes) > 0 && slices.ContainsFunc(codes, func(c string) bool { return has(after.labels[field], c) }) != want {
			fail("之后的%s%s%s，得到%s", fieldNames[field], told, strings.ReplaceAll(zh(field, codes), "、", "或"), zh(field, after.labels[field]))
		}
	}
	one("emotion", d.EmotionAfter, true, "应是")
	one("emotion", d.EmotionLeaves, false, "不应还是")
	one("outcome", d.OutcomeAfter, true, "应是")
	one("outcome", d.OutcomeNotThen, false, "不应是")
	if len(d.EmotionLeaves) > 0 && !slices.ContainsFunc(d.EmotionLeaves, func(c string) bool { return has(before.labels["emotion"], c) }) {
		fail("之前的情绪应是%s，得到%s", strings.ReplaceAll(zh("emotion", d.EmotionLeaves), "、", "或"), zh("emotion", before.labels["emotion"]))
	}
	return out
}
