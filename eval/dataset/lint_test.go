package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// good is a row of which nothing is wrong; edits change its JSON.
func good(id string, edits ...string) string {
	row := `{"id":"` + id + `","messages":[{"role":"customer","text":"第` + id + `次了，机器又坏，退钱！"}],` +
		`"labels":{"kind":"complaint","types":["product.quality"],"primary":"product.quality","emotion":"angry","intensity":2,"risk":"medium","signals":["repeat_contact"],"claims":["refund"],"style":"mixed","outcome":"unresolved"}}`
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(row, edits[i]) {
			panic("nothing to replace: " + edits[i])
		}
		row = strings.Replace(row, edits[i], edits[i+1], 1)
	}
	return row
}

// lint lints one file and returns what it found but for rare classes.
func lint(t *testing.T, suite string, lines ...string) []Finding {
	t.Helper()
	d := open(t, suite, map[string]string{"a.jsonl": strings.Join(lines, "\n"), "q.qrels": "q1 0 c1 3\nq1 0 c1 2\nq9 0 c1 1\nq1 0 c9 1\nq1 0 c2 0\nbad\n"})
	r, err := d.Lint(LintOptions{Cleaner: newCleaner(t), Builtin: func(name string) ([]string, error) {
		if name != "two" {
			return nil, errors.New("只有 two")
		}
		return []string{"c1", "c2"}, nil
	}})
	require.NoError(t, err)
	return slices.DeleteFunc(r.Findings, func(f Finding) bool { return f.Code == CodeClassSmall })
}

func TestLintTriage(t *testing.T) {
	const suite = "  - {suite: triage, path: a.jsonl}\n"
	require.Empty(t, lint(t, suite, good("1"), good("2")))
	for _, c := range []struct {
		name string
		line string
		code string
		lvl  Level
		part string
	}{
		{"utf-8", "{\"id\":\"\xff\"}", CodeUTF8, LevelError, "UTF-8"},
		{"bom", "\ufeff" + good("1"), CodeBOM, LevelError, "BOM"},
		{"json", `{"id":`, CodeJSON, LevelError, "JSON"},
		{"twice", good("1", `"id":"1",`, `"id":"1","id":"1",`), CodeDuplicateKey, LevelError, `"id"`},
		{"no object", `"投诉"`, CodeShape, LevelError, "JSON 对象"},
		{"type", good("1", `"intensity":2`, `"intensity":"2"`), CodeShape, LevelError, "intensity"},
		{"no id", good("1", `"id":"1"`, `"id":""`), CodeMissing, LevelError, "缺少 id"},
		{"no labels", good("1", `"labels"`, `"lables"`), CodeMissing, LevelError, "缺少 labels"},
		{"label missing", good("1", `"style":"mixed",`, ``), CodeMissing, LevelError, "labels.style"},
		{"unknown field", good("1", `"id":"1",`, `"id":"1","industry":"银行",`), CodeUnknownField, LevelWarning, `"industry"`},
		{"unknown label field", good("1", `"style":`, `"mood":"x","style":`), CodeUnknownField, LevelWarning, `"labels.mood"`},
		{"nul", good("1", "机器", `机\u0000器`), CodeNUL, LevelError, "NUL"},
		{"lost", good("1", "机器", "机�"), CodeReplacement, LevelError, "U+FFFD"},
		{"bom inside", good("1", "机器", "机\ufeff器"), CodeBOM, LevelWarning, "U+FEFF"},
		{"no messages", good("1", `{"role":"customer","text":"第1次了，机器又坏，退钱！"}`, ""), CodeMessage, LevelError, "没有消息"},
		{"role", good("1", `"customer"`, `"user"`), CodeMessage, LevelError, "role"},
		{"agent only", good("1", `"customer"`, `"agent"`), CodeEmptyMessage, LevelWarning, "一句话也没有"},
		{"empty message", good("1", `"messages":[`, `"messages":[{"role":"agent","text":" 　"},`), CodeEmptyMessage, LevelWarning, "messages[0].text"},
		{"long message", good("1", "机器", strings.Repeat("啊", qingting.MaxMessageRunes)), CodeMessage, LevelError, "上限"},
		{"kind", good("1", `"kind":"complaint"`, `"kind":"抱怨"`), CodeLabel, LevelError, "labels.kind"},
		{"type code", good("1", `["product.quality"]`, `["product.quality","product.bad"]`), CodeLabel, LevelError, `"product.bad"`},
		{"none", good("1", `["refund"]`, `["none"]`), CodeLabel, LevelError, "[]"},
		{"repeated", good("1", `["refund"]`, `["refund","refund"]`), CodeLabelRepeated, LevelError, "refund"},
		{"no types", good("1", `["product.quality"],"primary":"product.quality"`, `[],"primary":null`), CodeLabelTypes, LevelError, "至少"},
		{"types of an inquiry", good("1", `"kind":"complaint"`, `"kind":"inquiry"`), CodeLabelTypes, LevelError, "应为空"},
		{"primary", good("1", `"primary":"product.quality"`, `"primary":"process.wait"`), CodeLabelPrimary, LevelError, "primary"},
		{"calm", good("1", `"angry"`, `"calm"`), CodeLabelIntensity, LevelError, "intensity 是 2"},
		{"intensity 0", good("1", `"intensity":2`, `"intensity":0`), CodeLabelIntensity, LevelError, "intensity 是 0"},
		{"intensity 4", good("1", `"intensity":2`, `"intensity":4`), CodeLabelIntensity, LevelError, "intensity 是 4"},
		{"risk", good("1", `"risk":"medium"`, `"risk":"low"`), CodeLabelRisk, LevelWarning, "应为 medium"},
		{"privacy", good("1", `["product.quality"]`, `["product.quality","privacy.leak"]`), CodeLabelPrivacy, LevelWarning, "privacy"},
		{"phone", good("1", "机器", "电话13800138000"), CodePersonal, LevelError, "第 8 到 18 个字是电话号码"},
		{"id card", good("1", "机器", "身份证11010519491231002X"), CodePersonal, LevelError, "身份证号"},
		{"name", good("1", "机器", "我叫王小明，机器"), CodePersonal, LevelWarning, "姓名"},
		{"computed slice", good("1", `"id":"1",`, `"id":"1","slices":{"script":"x"},`), CodeSlice, LevelError, "slices.script"},
		{"empty slice", good("1", `"id":"1",`, `"id":"1","slices":{"industry":""},`), CodeSlice, LevelWarning, "slices.industry"},
	} {
		got := lint(t, suite, c.line, good("9"))
		at := slices.IndexFunc(got, func(f Finding) bool { return f.Code == c.code })
		require.GreaterOrEqual(t, at, 0, "%s: %+v", c.name, got)
		require.Equal(t, c.lvl, got[at].Level, c.name)
		require.Equal(t, 1, got[at].Line, c.name)
		require.Equal(t, "a.jsonl", got[at].File, c.name)
		require.Contains(t, got[at].Message, c.part, c.name)
		for _, f := range got {
			require.NotContains(t, f.Message, "13800138000")
			require.NotContains(t, f.Message, "王小明")
		}
	}
}

func TestLintDuplicates(t *testing.T) {
	const suite = "  - {suite: triage, path: a.jsonl}\n"
	same := good("2", "第2次", "第1次")
	got := lint(t, suite, good("1"), good("1", "第1次", "第3次"), same)
	require.Equal(t, []Finding{
		{File: "a.jsonl", Line: 2, ID: "1", Code: CodeDuplicateID, Level: LevelError, Message: "id 和 a.jsonl 第 1 行的重复"},
		{File: "a.jsonl", Line: 3, ID: "2", Code: CodeDuplicateText, Level: LevelWarning, Message: "和 a.jsonl 第 1 行的文字相同"},
	}, got)
	// Punctuation and script do not make another conversation, labels differ.
	got = lint(t, suite, good("1"), good("2", "第2次了，机器又坏，退钱！", "第1次了機器又壞 退錢", `"style":"mixed"`, `"style":"rational"`))
	require.Len(t, got, 1)
	require.Equal(t, CodeDuplicateConflict, got[0].Code)
	// The order of a list is no difference, the speaker is.
	two := `["product.quality","service.attitude"]`
	swapped := `["service.attitude","product.quality"]`
	got = lint(t, suite, good("1", `["product.quality"]`, two), good("2", "第2次", "第1次", `["product.quality"]`, swapped))
	require.Equal(t, CodeDuplicateText, got[0].Code)
	require.Empty(t, lint(t, suite, good("1"), good("2", `"messages":[`, `"messages":[{"role":"agent","text":"您好"},`, "第2次", "第1次")))
}

func TestLintGroups(t *testing.T) {
	got := lint(t, "  - {suite: triage, path: a.jsonl, group: customer}\n", good("1"))
	require.Contains(t, got[0].Message, "缺少 customer")
	got = lint(t, "  - {suite: triage, path: a.jsonl, group: time}\n", good("1", `"id":"1",`, `"id":"1","time":"2026-01-02T03:04:05Z",`), good("2"))
	require.Len(t, got, 1)
	require.Equal(t, 2, got[0].Line)
}

func TestLintOtherSuites(t *testing.T) {
	for _, c := range []struct{ name, suite, line, code, part string }{
		{"votes", "  - {suite: satisfaction, path: a.jsonl}\n", `{"id":"1","messages":[{"role":"customer","text":"行"}],"votes":{"A":{"1":2}}}`, CodeVotes, "votes.S"},
		{"vote", "  - {suite: satisfaction, path: a.jsonl}\n", `{"id":"1","messages":[{"role":"customer","text":"行"}],"votes":{"S":{"3":2}}}`, CodeShape, `"3"`},
		{"negative", "  - {suite: satisfaction, path: a.jsonl}\n", `{"id":"1","messages":[{"role":"customer","text":"行"}],"votes":{"S":{"1":-2}}}`, CodeShape, "负"},
		{"pair", "  - {suite: pairs, path: a.jsonl}\n", `{"id":"1","a":"没网","b":"","label":1}`, CodeMissing, "b 缺失"},
		{"pair label", "  - {suite: pairs, path: a.jsonl}\n", `{"id":"1","a":"没网","b":"断网"}`, CodeMissing, "label"},
		{"pair range", "  - {suite: pairs, path: a.jsonl}\n", `{"id":"1","a":"没网","b":"断网","label":7}`, CodeRange, "0 到 5"},
		{"reply nothing", "  - {suite: reply, path: a.jsonl}\n", `{"id":"1","text":"退款呢"}`, CodeMissing, "must"},
		{"fact", "  - {suite: reply, path: a.jsonl}\n", `{"id":"1","text":"退款呢","must":[{"fact":"退款","any":[]}]}`, CodeFact, "must[0]"},
		{"both", "  - {suite: reply, path: a.jsonl}\n", `{"id":"1","text":"退款呢","must":[{"fact":"退款","any":["退"]}],"must_not":[{"fact":"不退","any":["退"]}]}`, CodeFact, "同时在 must"},
		{"own reply", "  - {suite: reply, path: a.jsonl}\n", `{"id":"1","text":"退款呢","reply":"您好","must":[{"fact":"退款","any":["退"]}]}`, CodeFact, "没有说到"},
		{"own reply says", "  - {suite: reply, path: a.jsonl}\n", `{"id":"1","text":"退款呢","reply":"不退","must_not":[{"fact":"不退","any":["不退"]}]}`, CodeFact, "说了"},
		{"span outside", "  - {suite: text, path: a.jsonl}\n", `{"id":"1","text":"退款😡","spans":[{"start":2,"end":4,"kind":"name"}]}`, CodeSpan, "0 到 3"},
		{"span overlap", "  - {suite: text, path: a.jsonl}\n", `{"id":"1","text":"找张三丰","spans":[{"start":1,"end":3,"kind":"name"},{"start":2,"end":4,"kind":"name"}]}`, CodeSpan, "spans[1]"},
		{"span kind", "  - {suite: text, path: a.jsonl}\n", `{"id":"1","text":"找张三","spans":[{"start":1,"end":3,"kind":"amount"}]}`, CodeSpan, `"amount"`},
		{"no spans", "  - {suite: text, path: a.jsonl}\n", `{"id":"1","text":"找张三"}`, CodeMissing, "spans"},
		{"words", "  - {suite: text, path: a.jsonl}\n", `{"id":"1","text":"找 张三","spans":[],"words":["找","张"]}`, CodeWords, "words"},
		{"no query", "  - {suite: retrieval, path: a.jsonl, qrels: q.qrels, corpus: builtin:two}\n", `{"id":"q1","text":""}`, CodeMissing, "text"},
		{"no corpus", "  - {suite: retrieval, path: a.jsonl, qrels: q.qrels, corpus: builtin:three}\n", `{"id":"q1","text":"退款"}`, CodeUnreadable, "three"},
		{"no qrels", "  - {suite: retrieval, path: a.jsonl, qrels: x.qrels, corpus: builtin:two}\n", `{"id":"q1","text":"退款"}`, CodeUnreadable, "x.qrels"},
		{"no file", "  - {suite: triage, path: x.jsonl}\n", "", CodeUnreadable, "x.jsonl"},
		{"no rows", "  - {suite: triage, path: a.jsonl}\n", "", CodeMissing, "没有一行"},
		{"pin", "  - {suite: triage, path: a.jsonl, sha256: \"" + strings.Repeat("0", 64) + "\"}\n", good("1"), CodeChanged, "内容变了"},
	} {
		got := lint(t, c.suite, c.line)
		require.True(t, slices.ContainsFunc(got, func(f Finding) bool { return f.Code == c.code && strings.Contains(f.Message, c.part) }), "%s: %+v", c.name, got)
	}
	// The fixed qrels of lint: a pair judged twice, an unknown query, an
	// unknown case, a line that is none, and too few cases.
	got := lint(t, "  - {suite: retrieval, path: a.jsonl, qrels: q.qrels, corpus: builtin:two}\n", `{"id":"q1","text":"退款"}`, `{"id":"q2","text":"换货"}`)
	var lines []string
	for _, f := range got {
		require.Equal(t, "q.qrels", f.File)
		lines = append(lines, fmt.Sprint(f.Line, " ", f.Code))
	}
	require.Equal(t, []string{"2 qrels", "3 qrels", "4 qrels", "6 qrels", "0 judged_few", "0 judged_few", "0 no_relevant"}, lines)
}

func TestLintCountsClasses(t *testing.T) {
	lines := make([]string, 5)
	for i := range lines {
		lines[i] = good(fmt.Sprint(i))
	}
	d := open(t, "  - {suite: triage, path: a.jsonl}\n", map[string]string{"a.jsonl": strings.Join(lines, "\n")})
	r, err := d.Lint(LintOptions{Cleaner: newCleaner(t)})
	require.NoError(t, err)
	require.True(t, r.OK())
	require.Equal(t, map[string]int{"product.quality": 5}, r.Labels["test type"])
	require.False(t, slices.ContainsFunc(r.Findings, func(f Finding) bool { return strings.Contains(f.Message, "product.quality") }))
	require.True(t, slices.ContainsFunc(r.Findings, func(f Finding) bool { return strings.Contains(f.Message, "kind praise 只有 0 个样本") }))
	// What is trained on is not reported on.
	d.Files[0].Split = Train
	r, err = d.Lint(LintOptions{Cleaner: newCleaner(t)})
	require.NoError(t, err)
	require.Empty(t, r.Findings)
	_, err = d.Lint(LintOptions{})
	require.Error(t, err)
	b, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(b), `"findings":[]`)
}

// TestLintListsAtMost: a file that is wrong everywhere does not fill memory.
func TestLintListsAtMost(t *testing.T) {
	d := open(t, "  - {suite: triage, path: a.jsonl}\n", map[string]string{"a.jsonl": strings.Repeat("{\n", 1000)})
	r, err := d.Lint(LintOptions{Cleaner: newCleaner(t)})
	require.NoError(t, err)
	require.Equal(t, 1000, r.Counts[CodeJSON])
	require.Equal(t, 1001, r.Errors) // and no usable row
	require.Len(t, r.Findings, mostFindings+1)
	require.Equal(t, 50+1, strings.Count(r.String(), "  错误")+strings.Count(r.String(), "……"))
}

func TestRiskByTable(t *testing.T) {
	type l = qingting.Labels
	const complaint, angry = qingting.KindComplaint, qingting.EmotionAngry
	signals := func(s ...qingting.SignalCode) []qingting.SignalCode { return s }
	for _, c := range []struct {
		l    l
		want qingting.RiskLevel
	}{
		{l{Kind: qingting.KindInquiry, Signals: signals("privacy")}, qingting.RiskHigh},
		{l{Kind: complaint, Emotion: angry, Intensity: 3, Signals: signals("churn")}, qingting.RiskHigh},
		{l{Kind: complaint, Emotion: angry, Intensity: 3, Signals: signals("supervisor_demand")}, qingting.RiskMedium},
		{l{Kind: complaint, Emotion: "disappointed", Intensity: 3, Signals: signals("churn")}, qingting.RiskMedium},
		{l{Kind: complaint, Emotion: angry, Intensity: 2}, qingting.RiskMedium},
		{l{Kind: "inquiry", Emotion: angry, Intensity: 2}, qingting.RiskLow},
		{l{Kind: "praise", Emotion: "satisfied", Intensity: 1, Signals: signals("financial_loss")}, qingting.RiskMedium},
		{l{Kind: complaint, Emotion: angry, Intensity: 1}, qingting.RiskLow},
	} {
		require.Equal(t, c.want, RiskByTable(&c.l), "%+v", c.l)
	}
}

// TestLintFiguresOnly: before a run only what would falsify its figures is
// looked for, in the files that it reads.
func TestLintFiguresOnly(t *testing.T) {
	d := open(t, "  - {suite: triage, path: a.jsonl}\n  - {suite: triage, path: train.jsonl, split: train}\n", map[string]string{
		"a.jsonl":     good("1", "退钱！", "打我电话13812345678"),
		"train.jsonl": "{坏行",
	})
	o := LintOptions{Cleaner: newCleaner(t)}
	r, err := d.Lint(o)
	require.NoError(t, err)
	require.Equal(t, 2, r.Files)
	require.Positive(t, r.Counts[CodeJSON])
	o.Takes = func(f *File) bool { return f.Split != Train }
	r, err = d.Lint(o)
	require.NoError(t, err)
	require.Equal(t, 1, r.Files)
	require.Zero(t, r.Counts[CodeJSON])
	personal := r.Counts[CodePersonal]
	o.Figures = true
	r, err = d.Lint(o)
	require.NoError(t, err)
	require.True(t, r.OK(), r)
	require.Zero(t, r.Counts[CodePersonal])
	require.Positive(t, personal)
	require.Empty(t, r.List(LevelError, 10))
}
