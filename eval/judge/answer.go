package judge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/qingting-ai/qingting/internal/llm"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// answer is what the model is asked to say. Pointers tell a missing field from
// a zero.
type answer struct {
	Criteria   map[string]*finding `json:"criteria"`
	Winner     *string             `json:"winner"`
	Confidence *float64            `json:"confidence"`
}

type finding struct {
	Why    *string `json:"why"`
	Better *string `json:"better"`
}

const (
	placeA   = "A"
	placeB   = "B"
	placeTie = "tie"
	maxWhy   = 200 // characters; the prompt asks for 40
)

// schemaJSON is the schema of answer. Reasons come before the winner, so that
// it rests on them. Confidence is enumerated, because a small model held by a
// grammar alone was seen to write 0.96e+59 for a probability.
func schemaJSON() json.RawMessage {
	const place = `{"type":"string","enum":["A","B","tie"]}`
	var fields, names []string
	for _, c := range Criteria() {
		fields = append(fields, fmt.Sprintf(`%q:{"type":"object","properties":{"why":{"type":"string"},"better":%s},"required":["why","better"],"additionalProperties":false}`, c, place))
		names = append(names, fmt.Sprintf("%q", c))
	}
	return json.RawMessage(`{"type":"object","properties":{"criteria":{"type":"object","properties":{` + strings.Join(fields, ",") +
		`},"required":[` + strings.Join(names, ",") + `],"additionalProperties":false},"winner":` + place +
		`,"confidence":{"type":"number","enum":[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95,0.99]}},"required":["criteria","winner","confidence"],"additionalProperties":false}`)
}

// onlyObject returns the JSON object of a text: models put words, code fences
// and thoughts around it. A text with two objects is refused, because the other
// one may be a reply's, quoted.
func onlyObject(s string) ([]byte, error) {
	if at := strings.LastIndex(s, "</think>"); at >= 0 {
		s = s[at+len("</think>"):]
	}
	at := strings.IndexByte(s, '{')
	if at < 0 {
		return nil, errors.New("里面没有 JSON 对象")
	}
	d := json.NewDecoder(strings.NewReader(s[at:]))
	var raw json.RawMessage
	switch err := d.Decode(&raw); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("JSON 没有写完")
	case err != nil:
		return nil, fmt.Errorf("JSON 语法不对：%s", short(err.Error(), 80))
	case strings.ContainsRune(s[at+int(d.InputOffset()):], '{'):
		return nil, errors.New("只能有一个 JSON 对象")
	}
	return raw, nil
}

// parse reads an answer and holds it against the schema. The error's message is
// in words for the model and for people.
func parse(s string) (*answer, *llm.Error) {
	fail := func(code, format string, args ...any) (*answer, *llm.Error) {
		return nil, &llm.Error{Code: code, Message: fmt.Sprintf(format, args...)}
	}
	raw, err := onlyObject(s)
	if err != nil {
		return fail(llm.CodeBadJSON, "%s", err)
	}
	if err := transcript.CheckJSON(raw); err != nil {
		return fail(llm.CodeBadJSON, "JSON 有问题：%s", short(err.Error(), 120))
	}
	a := &answer{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(a); err != nil {
		return fail(llm.CodeBadJSON, "字段或类型不对：%s", short(strings.TrimPrefix(err.Error(), "json: "), 100))
	}
	if len(a.Criteria) != len(criteria()) || a.Winner == nil || a.Confidence == nil {
		return fail(llm.CodeBadJSON, "criteria 要有 %s 各一项，winner、confidence 都要有", strings.Join(Criteria(), "、"))
	}
	if c := *a.Confidence; !(c >= 0 && c <= 1) {
		return fail(llm.CodeBadJSON, "confidence 应当是 0 到 1 的数")
	}
	if !isPlace(*a.Winner) {
		return fail(llm.CodeBadLabel, "winner 只能是 A、B 或 tie，却是 %q", short(*a.Winner, 40))
	}
	supported := *a.Winner == placeTie
	for _, c := range Criteria() {
		f := a.Criteria[c]
		switch {
		case f == nil || f.Why == nil || f.Better == nil:
			return fail(llm.CodeBadJSON, "criteria 缺少 %s，或它缺少 why、better", c)
		case !isPlace(*f.Better):
			return fail(llm.CodeBadLabel, "criteria.%s.better 只能是 A、B 或 tie，却是 %q", c, short(*f.Better, 40))
		case strings.TrimSpace(*f.Why) == "" || utf8.RuneCountInString(*f.Why) > maxWhy:
			return fail(llm.CodeBadJSON, "criteria.%s.why 要写出依据，不超过 40 字", c)
		}
		supported = supported || *f.Better == *a.Winner
	}
	if !supported {
		return fail(llm.CodeBadLabel, "winner 是 %s，criteria 里却没有一项是它更好", *a.Winner)
	}
	return a, nil
}

func isPlace(s string) bool { return s == placeA || s == placeB || s == placeTie }

// opinion turns places into replies; swapped is the order with the candidate
// first. The answer must be valid.
func (a *answer) opinion(swapped bool) *Opinion {
	who := func(place string) Winner {
		switch {
		case place == placeTie:
			return Tie
		case (place == placeA) == swapped:
			return Candidate
		}
		return Base
	}
	o := &Opinion{Winner: who(*a.Winner), Confidence: *a.Confidence}
	for _, c := range Criteria() {
		f := a.Criteria[c]
		o.Reasons = append(o.Reasons, Reason{c, who(*f.Better), strings.TrimSpace(*f.Why)})
	}
	return o
}

// short cuts a text to n characters.
func short(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n]) + "…"
}
