package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// Schema is the JSON schema of an answer.
type Schema struct {
	Name string
	JSON json.RawMessage
}

// answer is what the model is asked to say. Pointers tell a missing field from
// a zero.
type answer struct {
	Kind         *choice   `json:"kind"`
	Types        *[]quoted `json:"types"`
	Primary      *string   `json:"primary"`
	Emotion      *feeling  `json:"emotion"`
	Signals      *[]quoted `json:"signals"`
	HighRisk     *float64  `json:"high_risk"`
	Claims       *[]claim  `json:"claims"`
	Style        *choice   `json:"style"`
	Outcome      *choice   `json:"outcome"`
	Satisfaction *votes    `json:"satisfaction"`
}

// votes are the shares of votes −2 … 2.
type votes struct {
	VeryBad  *float64 `json:"-2"`
	Bad      *float64 `json:"-1"`
	Neither  *float64 `json:"0"`
	Good     *float64 `json:"1"`
	VeryGood *float64 `json:"2"`
}

func (v *votes) shares() [5]*float64 {
	return [5]*float64{v.VeryBad, v.Bad, v.Neither, v.Good, v.VeryGood}
}

type choice struct {
	Code *string  `json:"code"`
	P    *float64 `json:"p"`
}

type feeling struct {
	choice
	Intensity *int `json:"intensity"`
}

type quoted struct {
	choice
	Message *int    `json:"message"`
	Quote   *string `json:"quote"`
}

type claim struct {
	quoted
	Amount *float64 `json:"amount"` // null: none was named
}

// analysisSchema is the schema of answer, with the codes of the label guide. It
// keeps to the keywords that every service with json_schema knows, which leaves
// ranges out: numbers are enumerated, because a small model held by a grammar
// alone was seen to write 0.96e+59 for a probability. Where no schema holds the
// model, any number in the range will do.
func analysisSchema() (*Schema, error) {
	number := property{"type": "number", "enum": []float64{0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99}}
	share := property{"type": "number", "enum": []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}}
	intensity := property{"type": "integer", "enum": []int{0, 1, 2, 3}}
	integer, text := property{"type": "integer"}, property{"type": "string"}
	amount := property{"type": []string{"number", "null"}}
	primary := []any{nil}
	for _, t := range qingting.Types() {
		primary = append(primary, t)
	}
	code := func(codes []string) field { return field{"code", property{"type": "string", "enum": codes}} }
	one := func(codes []string, more ...field) any {
		return object(append(append([]field{code(codes)}, more...), field{"p", number}))
	}
	many := func(codes []string, more ...field) any {
		words := append([]field{{"message", integer}, {"quote", text}}, more...)
		return property{"type": "array", "items": one(codes, words...)}
	}
	b, err := json.Marshal(object([]field{
		{"kind", one(names(qingting.Kinds()))},
		{"types", many(names(qingting.Types()))},
		{"primary", property{"type": []string{"string", "null"}, "enum": primary}},
		{"emotion", one(names(qingting.Emotions()), field{"intensity", intensity})},
		{"signals", many(names(qingting.Signals()))},
		{"high_risk", number},
		{"claims", many(names(qingting.Claims()), field{"amount", amount})},
		{"style", one(names(qingting.Styles()))},
		{"outcome", one(names(qingting.Outcomes()))},
		{"satisfaction", object([]field{{"-2", share}, {"-1", share}, {"0", share}, {"1", share}, {"2", share}})},
	}))
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return &Schema{Name: "analysis", JSON: b}, nil
}

// property is a JSON schema.
type property map[string]any

// field is a named property. Models write the fields in the order of the
// schema, so that a quote comes before the probability that rests on it.
type field struct {
	name   string
	schema any
}

type object []field

// MarshalJSON writes the schema of an object that has these fields, all of them
// and no others.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`{"type":"object","properties":{`)
	required := make([]string, len(o))
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		schema, err := json.Marshal(f.schema)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", f.name, schema)
		required[i] = f.name
	}
	list, err := json.Marshal(required)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, `},"required":%s,"additionalProperties":false}`, list)
	return b.Bytes(), nil
}

func names[C ~string](codes []C) []string {
	out := make([]string, len(codes))
	for i, c := range codes {
		out[i] = string(c)
	}
	return out
}

// firstObject returns the first JSON object of a text: models put words, code
// fences and thoughts around it. A brace that no field follows is a word.
func firstObject(s string) ([]byte, error) {
	if at := strings.LastIndex(s, "</think>"); at >= 0 {
		s = s[at+len("</think>"):]
	}
	for {
		at := strings.IndexByte(s, '{')
		if at < 0 {
			return nil, errors.New("里面没有 JSON 对象")
		}
		s = s[at:]
		if next := strings.TrimLeft(s[1:], " \t\r\n"); next == "" || next[0] != '"' && next[0] != '}' {
			s = s[1:]
			continue
		}
		var raw json.RawMessage
		switch err := json.NewDecoder(strings.NewReader(escapeControls(s))).Decode(&raw); {
		case err == nil:
			return raw, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errors.New("JSON 没有写完")
		default:
			// Objects inside of it are not what was asked for.
			return nil, fmt.Errorf("JSON 语法不对：%s", short(err.Error(), 80))
		}
	}
}

// escapeControls escapes line ends and tabs inside of JSON strings: models, and
// the grammars of some services, let them stand as they are.
func escapeControls(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	quoted := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quoted && c == '\\' && i+1 < len(s):
			b.WriteByte(c)
			i++
			c = s[i]
		case c == '"':
			quoted = !quoted
		case quoted && c < 0x20:
			fmt.Fprintf(&b, "\\u%04x", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// parse reads an answer and holds it against the schema and the label guide.
// The problem is in words for the model and for people; code is CodeBadJSON or
// CodeBadLabel.
func parse(s string) (a *answer, code, problem string) {
	raw, err := firstObject(s)
	if err != nil {
		return nil, CodeBadJSON, err.Error()
	}
	if err := transcript.CheckJSON(raw); err != nil {
		return nil, CodeBadJSON, "JSON 有问题：" + short(err.Error(), 120)
	}
	a = &answer{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(a); err != nil {
		var form *json.UnmarshalTypeError
		if errors.As(err, &form) {
			field := strings.NewReplacer(".choice", "", ".quoted", "").Replace(form.Field) // embedded structs of ours
			return nil, CodeBadJSON, fmt.Sprintf("%s 的类型不对，不应当是 %s", field, short(form.Value, 40))
		}
		return nil, CodeBadJSON, "有不认识的字段：" + short(strings.TrimPrefix(err.Error(), "json: unknown field "), 60)
	}
	v := &validator{}
	v.answer(a)
	return a, v.code, v.problem
}

// validator keeps the first problem.
type validator struct{ code, problem string }

func (v *validator) fail(code, format string, args ...any) {
	if v.code == "" {
		v.code, v.problem = code, fmt.Sprintf(format, args...)
	}
}

func (v *validator) answer(a *answer) {
	if a.Types == nil || a.Signals == nil || a.Claims == nil || a.HighRisk == nil || a.Satisfaction == nil {
		v.fail(CodeBadJSON, "缺少字段：kind、types、primary、emotion、signals、high_risk、claims、style、outcome、satisfaction 都要有")
		return
	}
	v.one("kind", a.Kind, names(qingting.Kinds()))
	v.one("style", a.Style, names(qingting.Styles()))
	v.one("outcome", a.Outcome, names(qingting.Outcomes()))
	if a.Emotion == nil || a.Emotion.Intensity == nil {
		v.fail(CodeBadJSON, "缺少 emotion 或它的 intensity")
		return
	}
	v.one("emotion", &a.Emotion.choice, names(qingting.Emotions()))
	if n := *a.Emotion.Intensity; n < 0 || n > 3 {
		v.fail(CodeBadJSON, "emotion.intensity 应当是 0 到 3，却是 %d", n)
	}
	v.probability("high_risk", a.HighRisk)
	for i := range *a.Types {
		v.quoted("types", i, &(*a.Types)[i], names(qingting.Types()))
	}
	for i := range *a.Signals {
		v.quoted("signals", i, &(*a.Signals)[i], names(qingting.Signals()))
	}
	for i := range *a.Claims {
		c := &(*a.Claims)[i]
		v.quoted("claims", i, &c.quoted, names(qingting.Claims()))
		if c.Amount != nil && !(*c.Amount >= 0 && *c.Amount < 1e12) {
			v.fail(CodeBadJSON, "claims[%d].amount 应当是不小于 0 的数", i)
		}
	}
	sum := 0.0
	for _, share := range a.Satisfaction.shares() {
		if share == nil || !(*share >= 0 && *share <= 1e6) {
			v.fail(CodeBadJSON, `satisfaction 要有 "-2"、"-1"、"0"、"1"、"2" 五个数，都不小于 0`)
			return
		}
		sum += *share
	}
	if !(sum > 0) {
		v.fail(CodeBadJSON, "satisfaction 的五个数之和应当是 1")
	}
	if v.code != "" || *a.Kind.Code != string(qingting.KindComplaint) {
		return
	}
	// What the label guide says of a complaint. Other rules of it are mechanical
	// and applied later.
	primary := ""
	if a.Primary != nil {
		primary = *a.Primary
	}
	switch {
	case len(*a.Types) == 0:
		v.fail(CodeBadLabel, "kind 是 complaint 时 types 至少要有一个")
	case !slices.ContainsFunc(*a.Types, func(q quoted) bool { return *q.Code == primary }):
		v.fail(CodeBadLabel, "primary 应当是 types 里的一个代码，却是 %q", short(primary, 40))
	}
}

func (v *validator) one(field string, c *choice, codes []string) {
	if c == nil || c.Code == nil {
		v.fail(CodeBadJSON, "缺少 %s 或它的 code", field)
		return
	}
	if !slices.Contains(codes, *c.Code) {
		v.fail(CodeBadLabel, "%s 没有代码 %q，只能用 %s", field, short(*c.Code, 40), strings.Join(codes, "、"))
	}
	v.probability(field+".p", c.P)
}

func (v *validator) quoted(field string, i int, q *quoted, codes []string) {
	v.one(fmt.Sprintf("%s[%d]", field, i), &q.choice, codes)
	if q.Quote == nil || q.Message == nil {
		v.fail(CodeBadJSON, "%s[%d] 缺少 message 或 quote", field, i)
	}
}

func (v *validator) probability(field string, p *float64) {
	if p == nil || !(*p >= 0 && *p <= 1) {
		v.fail(CodeBadJSON, "%s 应当是 0 到 1 的数", field)
	}
}
