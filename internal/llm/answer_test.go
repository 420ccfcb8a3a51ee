package llm

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// good is a valid answer about "快递三天没动，再不处理我就投诉到12315！赔我50元".
const good = `{"kind":{"code":"complaint","p":1.0},
"types":[{"code":"logistics.delay","p":0.9,"message":0,"quote":"快递三天没动"},{"code":"service.efficiency","p":0.4,"message":0,"quote":""}],"primary":"logistics.delay",
"emotion":{"code":"angry","intensity":2,"p":0.8},
"signals":[{"code":"regulator","p":0.95,"message":0,"quote":"投诉到12315"}],"high_risk":0.9,
"claims":[{"code":"compensate","amount":50,"p":0.7,"message":0,"quote":"赔我50元"},{"code":"expedite","amount":null,"p":0.6,"message":0,"quote":"再不处理"}],
"style":{"code":"emotional","p":0.5},"outcome":{"code":"unresolved","p":0.9},"satisfaction":{"-2":0.5,"-1":0.3,"0":0.2,"1":0,"2":0}}`

func TestParse(t *testing.T) {
	change := func(old, new string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, new, 1)
	}
	tests := []struct {
		name, text, code, problem string
	}{
		{"good", good, "", ""},
		{"in a fence", "好的，结果如下：\n```json\n" + good + "\n```\n希望有帮助！", "", ""},
		{"after thoughts", "<think>先看 {类型} 再说 {\"kind\":1}</think>" + good, "", ""},
		{"after braces in words", "形如 {代码} 的结果：" + good, "", ""},
		{"two objects", good + good, "", ""},
		{"line end in a string", change("快递三天没动", "快递\n三天\t没动\\n\\\"好\\\""), "", ""},
		{"object inside of a broken one", change(`"p":1.0}`, `"p":1.0]`), CodeBadJSON, "语法"},
		{"not a complaint", strings.NewReplacer(`"complaint"`, `"inquiry"`, `"primary":"logistics.delay"`, `"primary":null`).Replace(good), "", ""},
		{"empty", "", CodeBadJSON, "没有 JSON"},
		{"words", "这是一条投诉", CodeBadJSON, "没有 JSON"},
		{"torn", good[:200], CodeBadJSON, "没有写完"},
		{"array", "[1,2]", CodeBadJSON, "没有 JSON"},
		{"empty object", "{}", CodeBadJSON, "缺少字段"},
		{"null", change(`"claims":[{`, `"claims":null,"x":[{`), CodeBadJSON, "不认识的字段"},
		{"unknown field", change(`"high_risk"`, `"risk":"low","high_risk"`), CodeBadJSON, "risk"},
		{"field twice", change(`"high_risk":0.9`, `"high_risk":0.9,"high_risk":0.1`), CodeBadJSON, "两次"},
		{"wrong type", change(`"high_risk":0.9`, `"high_risk":"高"`), CodeBadJSON, "high_risk"},
		{"bad bytes", change("快递三天没动", "快递\xff"), CodeBadJSON, "UTF-8"},
		{"missing code", change(`"style":{"code":"emotional",`, `"style":{`), CodeBadJSON, "style"},
		{"missing p", change(`"style":{"code":"emotional","p":0.5}`, `"style":{"code":"emotional"}`), CodeBadJSON, "style.p"},
		{"missing quote", change(`,"quote":"投诉到12315"`, ``), CodeBadJSON, "signals[0]"},
		{"missing intensity", change(`"intensity":2,`, ``), CodeBadJSON, "intensity"},
		{"percent", change(`"p":0.8`, `"p":80`), CodeBadJSON, "emotion.p"},
		{"negative", change(`"high_risk":0.9`, `"high_risk":-0.1`), CodeBadJSON, "high_risk"},
		{"infinite", change(`"high_risk":0.9`, `"high_risk":1e999`), CodeBadJSON, "high_risk"},
		{"intensity", change(`"intensity":2`, `"intensity":5`), CodeBadJSON, "0 到 3"},
		{"half intensity", change(`"intensity":2`, `"intensity":1.5`), CodeBadJSON, "intensity"},
		{"amount", change(`"amount":50`, `"amount":-50`), CodeBadJSON, "claims[0].amount"},
		{"four votes", change(`,"2":0}`, `}`), CodeBadJSON, "五个数"},
		{"no votes", change(`{"-2":0.5,"-1":0.3,"0":0.2`, `{"-2":0,"-1":0,"0":0`), CodeBadJSON, "之和"},
		{"negative votes", change(`"-2":0.5`, `"-2":-0.5`), CodeBadJSON, "satisfaction"},
		{"another vote", change(`"2":0}`, `"2":0,"3":0}`), CodeBadJSON, "3"},
		{"wrong type inside", change(`"p":0.8`, `"p":"高"`), CodeBadJSON, "emotion.p 的类型"},
		{"made-up kind", change(`"complaint"`, `"rant"`), CodeBadLabel, "rant"},
		{"label instead of code", change(`"complaint"`, `"投诉"`), CodeBadLabel, "complaint、inquiry"},
		{"made-up type", change(`"service.efficiency"`, `"service.slow"`), CodeBadLabel, "service.slow"},
		{"made-up emotion", change(`"angry"`, `"furious"`), CodeBadLabel, "furious"},
		{"made-up signal", change(`"regulator"`, `"suicide"`), CodeBadLabel, "suicide"},
		{"made-up claim", change(`"compensate"`, `"none"`), CodeBadLabel, "none"},
		{"made-up style", change(`"emotional"`, `"sarcastic"`), CodeBadLabel, "sarcastic"},
		{"made-up outcome", change(`"unresolved"`, `"open"`), CodeBadLabel, "open"},
		{"made-up primary", change(`"primary":"logistics.delay"`, `"primary":"slow"`), CodeBadLabel, "slow"},
		{"primary of no type", change(`"primary":"logistics.delay"`, `"primary":"product.quality"`), CodeBadLabel, "primary"},
		{"complaint of no type", change(`"types":[{"code":"logistics.delay","p":0.9,"message":0,"quote":"快递三天没动"},{"code":"service.efficiency","p":0.4,"message":0,"quote":""}]`, `"types":[]`), CodeBadLabel, "至少"},
	}
	for _, test := range tests {
		a, code, problem := parse(test.text)
		require.Equal(t, test.code, code, "%s: %s", test.name, problem)
		require.Contains(t, problem, test.problem, test.name)
		if code == "" {
			require.Len(t, *a.Claims, 2, test.name)
		}
	}
	long := change(`"emotional"`, `"`+strings.Repeat("长", 5000)+`"`)
	_, _, problem := parse(long)
	require.Less(t, len(problem), 500, "a made-up code does not fill the correction")
}

// TestSchema holds the schema and the struct together.
func TestSchema(t *testing.T) {
	s, err := analysisSchema()
	require.NoError(t, err)
	again, err := analysisSchema()
	require.NoError(t, err)
	require.Equal(t, s, again, "the schema is part of the key of a recording")
	var schema, value any
	require.NoError(t, json.Unmarshal(s.JSON, &schema))
	require.NoError(t, json.Unmarshal([]byte(strings.Replace(good, "1.0", "0.99", 1)), &value)) // a schema holds numbers closer
	conform(t, "", schema.(map[string]any), value)
	for _, codes := range [][]string{names(qingting.Types()), names(qingting.Signals()), names(qingting.Claims())} {
		for _, c := range codes {
			require.Contains(t, string(s.JSON), `"`+c+`"`)
		}
	}
}

// conform checks a value against the few keywords that the schema uses, and
// that every object names all its fields and forbids others, as strict services
// demand.
func conform(t *testing.T, path string, schema map[string]any, value any) {
	t.Helper()
	kinds, ok := schema["type"].([]any)
	if !ok {
		kinds = []any{schema["type"]}
	}
	kind := kindOf(value)
	if kind == "integer" && !slices.Contains(kinds, any("integer")) {
		kind = "number"
	}
	require.Contains(t, kinds, kind, path)
	if enum, ok := schema["enum"].([]any); ok {
		require.Contains(t, enum, value, path)
	}
	switch v := value.(type) {
	case map[string]any:
		fields := schema["properties"].(map[string]any)
		require.Equal(t, false, schema["additionalProperties"], path)
		require.Len(t, schema["required"], len(fields), path)
		require.Len(t, v, len(fields), path)
		for _, name := range schema["required"].([]any) {
			conform(t, path+"."+name.(string), fields[name.(string)].(map[string]any), v[name.(string)])
		}
	case []any:
		for _, item := range v {
			conform(t, path+"[]", schema["items"].(map[string]any), item)
		}
	}
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
	}
	return "number"
}

func TestPromptTellsEveryCode(t *testing.T) {
	prompt := systemPrompt()
	var all []string
	all = append(all, names(qingting.Kinds())...)
	all = append(all, names(qingting.Types())...)
	all = append(all, names(qingting.Emotions())...)
	all = append(all, names(qingting.Signals())...)
	all = append(all, names(qingting.Claims())...)
	all = append(all, names(qingting.Styles())...)
	all = append(all, names(qingting.Outcomes())...)
	for _, code := range all {
		require.NotEmpty(t, definitions[code], code)
		require.Contains(t, prompt, "\n"+code+" "+qingting.Label(code)+"："+definitions[code]+"\n")
	}
	for code := range definitions {
		require.Contains(t, all, code, "a definition of a code that is gone")
	}
	at := strings.LastIndex(prompt, "\n{")
	_, code, problem := parse(prompt[at:])
	require.Empty(t, code, "the example in the prompt: %s", problem)
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("<think>{</think>```json\n" + good + "```")
	f.Add(strings.Repeat("{", 1000))
	f.Add(`{"kind":{"code":"complaint","p":1e400}}`)
	f.Add("")
	level := func(qingting.Kind, qingting.EmotionCode, int, []qingting.SignalCode) qingting.RiskLevel {
		return qingting.RiskLow
	}
	c, err := New(serveNobody{}, Options{Model: "m"})
	require.NoError(f, err)
	analyzer, err := NewAnalyzer(c, level, 0)
	require.NoError(f, err)
	conversation := customer("快递三天没动，再不处理我就投诉到12315！赔我50元")
	m := Mask(conversation)
	f.Fuzz(func(t *testing.T, s string) {
		said, code, problem := parse(s)
		if code != "" {
			require.NotEmpty(t, problem)
			return
		}
		a := analyzer.analysis(conversation, m, said)
		_, err := json.Marshal(a) // fails for NaN and infinity
		require.NoError(t, err)
		for _, signal := range a.Risk.Signals {
			require.Equal(t, string([]rune(conversation.Messages[signal.Message].Text)[signal.Start:signal.End]), signal.Quote)
		}
	})
}
