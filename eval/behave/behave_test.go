package behave

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func builtin(t testing.TB) *Suite {
	fsys, err := Builtin()
	require.NoError(t, err)
	s, err := Load(fsys)
	require.NoError(t, err)
	return s
}

// TestBuiltinSuite: the suite is as large and as broad as it claims, and the
// list of known failures speaks of tests that exist.
func TestBuiltinSuite(t *testing.T) {
	s := builtin(t)
	require.GreaterOrEqual(t, len(s.Tests), 80)
	n := 0
	kinds := map[Kind]int{}
	used := map[string]bool{}
	for _, test := range s.Tests {
		cases, err := s.Cases(test, 0)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(cases), 5, test.Name)
		require.Equal(t, test.Capability, strings.Split(test.Name, ".")[0], test.Name)
		n += len(cases)
		kinds[test.Kind]++
		used[test.Capability] = true
	}
	require.GreaterOrEqual(t, n, 6*len(s.Tests))
	for _, c := range Capabilities() {
		require.True(t, used[c.Code], "no test of %s", c.Code)
	}
	require.Greater(t, min(kinds[MFT], kinds[INV], kinds[DIR]), 9, "%v", kinds)

	known, err := BuiltinKnown()
	require.NoError(t, err)
	for name, k := range known.Tests {
		require.True(t, slices.ContainsFunc(s.Tests, func(t *Test) bool { return t.Name == name }), "known.yaml names %s, which is no test", name)
		require.NotEmpty(t, k.Why, name)
		require.NotEmpty(t, k.Failing, name)
	}
}

func TestCasesAreTheSameEachTime(t *testing.T) {
	s, again := builtin(t), builtin(t)
	require.Equal(t, s.Hash, again.Hash)
	moved := 0
	for i, test := range s.Tests {
		a, err := s.Cases(test, 0)
		require.NoError(t, err)
		b, err := again.Cases(again.Tests[i], 0)
		require.NoError(t, err)
		require.Equal(t, a, b, test.Name)
		other, err := s.Cases(test, 1)
		require.NoError(t, err)
		if !slices.EqualFunc(a, other, func(x, y Case) bool { return keyOf(&x.After) == keyOf(&y.After) }) {
			moved++
		}
	}
	require.Greater(t, moved, 5, "another seed must draw other cases")
}

const small = `
slots:
  产品: [耳机, 音箱]
tests:
  - name: escalation.regulator
    title: 提到 12315 要有监管信号
    capability: escalation
    kind: MFT
    texts: [我要打12315, 12315见]
    templates: ["{产品}坏了，去12315"]
    expect: {kind: [complaint], signals: [regulator], risk: [high], risk_min: medium, no_signals: false, intensity_min: 1, slots: ["amount=12"], quotes: ["12315"]}
`

func parse(t testing.TB, yaml string) *Suite {
	s, err := Parse(Source{"a.yaml", []byte(yaml)})
	require.NoError(t, err)
	return s
}

func TestParse(t *testing.T) {
	s := parse(t, small)
	require.Len(t, s.Tests, 1)
	test := s.Tests[0]
	require.Equal(t, 5, test.line)
	require.Equal(t, []string{"耳机", "音箱"}, test.Slots["产品"])
	cases, err := s.Cases(test, 0)
	require.NoError(t, err)
	var got []string
	for _, c := range cases {
		require.Nil(t, c.Before)
		got = append(got, render(&c.After))
	}
	require.Equal(t, []string{"我要打12315", "12315见", "耳机坏了，去12315", "音箱坏了，去12315"}, got)
}

func TestTemplatesAreBounded(t *testing.T) {
	s := parse(t, `
tests:
  - {name: kind.many, title: 很多, capability: kind, kind: MFT, limit: 7, expect: {kind: [complaint]},
     slots: {甲: ["1","2","3","4","5"], 乙: [a, b, c, d], 丙: [x, y, z]}, templates: ["{甲}{乙}{丙}{甲}"]}
`)
	cases, err := s.Cases(s.Tests[0], 3)
	require.NoError(t, err)
	require.Len(t, cases, 7)
	for _, c := range cases {
		require.Regexp(t, `^([1-5])[abcd][xyz][1-5]$`, render(&c.After))
	}
}

func TestParseErrors(t *testing.T) {
	head := "tests:\n  - name: kind.x\n    title: 标题\n    capability: kind\n"
	for name, tt := range map[string]struct{ yaml, want string }{
		"不认识的键":      {head + "    kind: MFT\n    textz: [一]\n", `a.yaml 第 6 行：不认识的键 "textz"`},
		"要求里不认识的键":   {head + "    kind: MFT\n    texts: [一]\n    expect: {knd: [complaint]}\n", `a.yaml 第 7 行：不认识的键 "knd"`},
		"写了两次":       {head + "    kind: MFT\n    kind: INV\n", `a.yaml 第 6 行：键 "kind" 写了两次`},
		"类型不对":       {head + "    kind: MFT\n    limit: 三\n", `a.yaml 第 6 行：值 "三" 的类型不对，应为数`},
		"不是列表":       {head + "    kind: MFT\n    texts: 一\n", "a.yaml 第 6 行"},
		"不是 YAML":    {"tests: [", "a.yaml"},
		"不是 UTF-8":   {"tests: \xff", "a.yaml：不是 UTF-8"},
		"空文件":        {"", "没有找到测试"},
		"空项":         {"tests:\n  -\n", "第 1 项是空的"},
		"名字":         {strings.Replace(head, "kind.x", "Kind", 1) + "    kind: MFT\n    texts: [一]\n    expect: {kind: [complaint]}\n", `a.yaml 第 2 行：name "Kind" 不对`},
		"没有标题":       {"tests:\n  - {name: kind.x, capability: kind, kind: MFT, texts: [一], expect: {kind: [other]}}\n", "a.yaml 第 2 行：测试 kind.x：缺少 title"},
		"能力":         {strings.Replace(head, "capability: kind", "capability: x", 1) + "    kind: MFT\n", `capability "x" 不认识`},
		"种类":         {head + "    kind: ABC\n", `kind "ABC" 不认识`},
		"没有要求":       {head + "    kind: MFT\n    texts: [一]\n    expect: {}\n", "MFT 要写 expect"},
		"要求的码":       {head + "    kind: MFT\n    texts: [一]\n    expect: {kind: [抱怨]}\n", `expect：kind 里的 "抱怨" 不认识，可用的有 complaint`},
		"类型的大类不对":    {head + "    kind: MFT\n    texts: [一]\n    expect: {types: [\"prod.*\"]}\n", `types 里的 "prod.*" 不认识`},
		"强度":         {head + "    kind: MFT\n    texts: [一]\n    expect: {intensity_min: 4}\n", "intensity_min 是 4"},
		"没有文本":       {head + "    kind: MFT\n    expect: {kind: [other]}\n", "一个用例也没有"},
		"没有 slot":    {head + "    kind: MFT\n    templates: [\"{甲}\"]\n    expect: {kind: [other]}\n", "{甲} 没有在 slots 里"},
		"花括号":        {head + "    kind: MFT\n    templates: [\"{甲\"]\n    expect: {kind: [other]}\n", "花括号不成对"},
		"说话人":        {head + "    kind: MFT\n    messages: [[{role: 客户, text: 一}]]\n    expect: {kind: [other]}\n", "role 不认识"},
		"不变的字段":      {head + "    kind: INV\n    texts: [一]\n    perturb: [{name: polite}]\n    unchanged: [mood]\n", `unchanged 里的 "mood" 不认识`},
		"没有变换":       {head + "    kind: INV\n    texts: [一]\n    unchanged: [kind]\n", "要写 perturb 或 pairs"},
		"变换什么也没改":    {head + "    kind: INV\n    texts: [一]\n    perturb: [{name: to_digits}]\n    unchanged: [kind]\n", "一个用例也没有"},
		"不认识的变换":     {head + "    kind: INV\n    texts: [一]\n    perturb: [{name: polite}, {name: magic}]\n    unchanged: [kind]\n", `perturb 第 2 项：没有 "magic" 这种变换`},
		"变换缺参数":      {head + "    kind: INV\n    texts: [一]\n    perturb: [{name: swap, words: [一]}]\n    unchanged: [kind]\n", "swap 要写 with"},
		"方向":         {head + "    kind: DIR\n    texts: [一]\n    perturb: [{name: polite}]\n    direction: {risk: higher}\n", `risk 是 "higher"`},
		"容差":         {head + "    kind: INV\n    texts: [一]\n    perturb: [{name: polite}]\n    unchanged: [kind]\n    tolerance: {kind: 1}\n", "tolerance 只能给"},
		"前后一样":       {head + "    kind: INV\n    pairs: [{from: 一, to: 一}]\n    unchanged: [kind]\n", "from 和 to 一样"},
		"通过的比例":      {head + "    kind: MFT\n    pass: 2\n", "pass 是 2"},
		"MFT 写了方向":   {head + "    kind: MFT\n    texts: [一]\n    expect: {kind: [other]}\n    direction: {risk: up}\n", "MFT 只写 expect"},
		"重复的名字":      {small + strings.TrimPrefix(small[strings.Index(small, "tests:"):], "tests:\n"), "已经有了"},
		"chain 里的名字": {head + "    kind: INV\n    texts: [一]\n    perturb: [{chain: [{name: magic}]}]\n    unchanged: [kind]\n", "chain 第 1 步"},
	} {
		_, err := Parse(Source{"a.yaml", []byte(tt.yaml)})
		require.ErrorContains(t, err, tt.want, name)
	}
	_, err := Load(fstest.MapFS{"b.txt": {Data: []byte("x")}})
	require.ErrorContains(t, err, "没有找到测试")
	// Every broken file is named at once.
	_, err = Load(fstest.MapFS{"b.yaml": {Data: []byte("x: 1")}, "c.yaml": {Data: []byte("y: 1")}})
	require.ErrorContains(t, err, "b.yaml 第 1 行")
	require.ErrorContains(t, err, "c.yaml 第 1 行")
}

func FuzzParse(f *testing.F) {
	fsys, err := Builtin()
	require.NoError(f, err)
	b, err := fsys.Open("robust.yaml")
	require.NoError(f, err)
	var whole bytes.Buffer
	_, err = whole.ReadFrom(b)
	require.NoError(f, err)
	f.Add(small)
	f.Add(whole.String()[:600])
	f.Add("tests:\n - {name: a.b, kind: DIR, direction: {risk: up}, pairs: [{from: '客户：', to: 客服：x}]}")
	f.Add("tests: [null, 1, {}]")
	f.Add("slots: {a: [b]}\ntests: &a\n - *a")
	f.Add("tests:\n- - - ? : -")
	tables := testTables(f)
	f.Fuzz(func(t *testing.T, s string) {
		tests, err := parseFile(Source{"f.yaml", []byte(s)})
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "f.yaml", e.File)
			return
		}
		suite := &Suite{tables: tables}
		for _, test := range tests {
			if test.check() == nil {
				_, _ = suite.Cases(test, 0)
			}
		}
	})
}

// fake is a system of words: wrong on purpose about negation, agents and
// anything it has no word for.
func fake(_ context.Context, t qingting.Transcript) (*qingting.Analysis, error) {
	a := &qingting.Analysis{}
	a.Kind = qingting.Score[qingting.Kind]{Code: qingting.KindInquiry, Confidence: 0.9}
	a.Emotion.Code, a.Risk.Level, a.Priority = qingting.EmotionCalm, qingting.RiskLow, qingting.PriorityP3
	a.Outcome.Code, a.Risk.Score = qingting.OutcomePending, 0.1
	for i, m := range t.Messages {
		if strings.Contains(m.Text, "出错") {
			return nil, &qingting.InputError{Code: "message_too_long"}
		}
		if strings.Contains(m.Text, "坏") {
			a.Kind.Code, a.Priority = qingting.KindComplaint, qingting.PriorityP2
			primary := qingting.TypeQuality
			a.Types, a.Primary = []qingting.TypeScore{{Code: primary}}, &primary
		}
		if strings.Contains(m.Text, "退款") {
			a.Claims = []qingting.Claim{{Code: qingting.ClaimRefund}}
		}
		if n := strings.Count(m.Text, "！"); n > 0 {
			a.Emotion.Code, a.Emotion.Intensity = qingting.EmotionAngry, min(n, 3)
		}
		if at := strings.Index(m.Text, "12315"); at >= 0 {
			a.Risk.Level, a.Risk.Score = qingting.RiskHigh, 0.9
			a.Risk.Signals = append(a.Risk.Signals, qingting.Signal{Code: qingting.SignalRegulator, Span: qingting.Span{Message: i, Quote: "12315"}})
			a.Kind.Code, a.Priority = qingting.KindComplaint, qingting.PriorityP1
		}
	}
	return a, nil
}

// kinds is a suite in which every demand occurs once held and once broken.
const kinds = `
tests:
  - {name: kind.right, title: 对, capability: kind, kind: MFT, texts: [坏了, 音箱坏了！], expect: {kind: [complaint], types: [product.quality], primary: ["product.*"], types_not: ["price.*"], intensity_max: 1, outcome: [pending]}}
  - {name: kind.wrong, title: 错, capability: kind, kind: MFT, texts: [坏了, 怎么开机], expect: {kind: [complaint]}}
  - {name: kind.most, title: 多数对, capability: kind, kind: MFT, pass: 0.5, texts: [坏了, 怎么开机], expect: {kind: [complaint]}}
  - {name: negation.signal, title: 否定, capability: negation, kind: MFT, texts: [我不是要打12315], expect: {no_signals: true, signals_not: [regulator], risk_max: medium, priority: [P3]}}
  - {name: agent.turn, title: 客服, capability: agent, kind: INV, texts: [怎么开机], perturb: [{name: agent_turn, with: [打12315, 您好]}], repeat: 9, unchanged: [signals, risk, risk_score]}
  - {name: script.width, title: 全角, capability: script, kind: INV, texts: [打12315], perturb: [{name: full_width}], unchanged: [signals, kind]}
  - {name: script.fine, title: 语气词, capability: script, kind: INV, texts: [打12315, 坏了！], perturb: [{name: fillers}], unchanged: [signals, kind, intensity, types, family]}
  - {name: escalation.added, title: 加上, capability: escalation, kind: DIR, texts: [坏了, 怎么开机], perturb: [{name: suffix, with: ["，打12315！"]}], direction: {risk: up, risk_score: up, intensity: up, priority: up, signals_appear: [regulator], types_kept: true, emotion_after: [angry], outcome_not_then: [resolved]}}
  - {name: withdrawal.refund, title: 不退款, capability: withdrawal, kind: DIR, texts: [我要退款], perturb: [{name: negate, words: [退款]}], direction: {claims_vanish: [refund], risk: not_up}}
  - {name: withdrawal.calm, title: 解气, capability: withdrawal, kind: DIR, pairs: [{from: 坏了！, to: 好了}, {from: 好了, to: 好了呀}], direction: {intensity: not_up, emotion_leaves: [angry]}}
  - {name: length.error, title: 出错, capability: length, kind: INV, texts: [好的], perturb: [{name: suffix, with: [出错]}], unchanged: [kind]}
`

func TestRun(t *testing.T) {
	s := parse(t, kinds)
	var calls atomic.Int32
	counted := func(ctx context.Context, c qingting.Transcript) (*qingting.Analysis, error) {
		calls.Add(1)
		return fake(ctx, c)
	}
	last, totals := 0, map[int]bool{}
	r, err := Run(t.Context(), s, "fake", counted, Options{Jobs: 3, Progress: func(done, total int) {
		require.Equal(t, last+1, done)
		last, totals[total] = done, true
	}})
	require.NoError(t, err)
	require.Equal(t, map[int]bool{int(calls.Load()): true}, totals, "every conversation is analysed once")
	require.Less(t, int(calls.Load()), r.N*2)

	got := map[string][3]int{}
	why := map[string]string{}
	for _, x := range r.Tests {
		passed := 0
		if x.Passed {
			passed = 1
		}
		got[x.Name] = [3]int{passed, x.Failed, x.N}
		for _, f := range x.Failures {
			why[x.Name] += strings.Join(f.Why, "；") + "|"
		}
	}
	require.Equal(t, map[string][3]int{
		"kind.right": {1, 0, 2}, "kind.wrong": {0, 1, 2}, "kind.most": {1, 1, 2}, "negation.signal": {0, 1, 1}, "agent.turn": {0, 1, 2},
		"script.width": {0, 1, 1}, "script.fine": {1, 0, 2}, "escalation.added": {1, 0, 2}, "withdrawal.refund": {0, 1, 1}, "withdrawal.calm": {0, 1, 2},
		"length.error": {0, 1, 1},
	}, got)
	require.Equal(t, map[string]string{
		"kind.wrong": "来电性质应是投诉，得到咨询|", "kind.most": "来电性质应是投诉，得到咨询|",
		"negation.signal":   "信号不应有监管投诉，得到监管投诉；优先级应是一般，得到高度紧急；不应有信号，得到监管投诉；风险至多是中，得到高|",
		"agent.turn":        "信号变了：无 → 监管投诉；风险变了：低 → 高；风险概率变了：0.10 → 0.90|",
		"script.width":      "信号变了：监管投诉 → 无；来电性质变了：投诉 → 咨询|",
		"withdrawal.refund": "诉求里的退款应当消失：退款 → 退款|", "withdrawal.calm": "之前的情绪应是愤怒，得到平静|",
		"length.error": "系统没有给出结果（message_too_long）|",
	}, why)
	require.False(t, r.Passed())
	require.Equal(t, []int{18, 8, 1}, []int{r.N, r.Failed, r.Errors})
	i := slices.IndexFunc(r.Groups, func(g Group) bool { return g.Capability == "kind" })
	require.Equal(t, []int{3, 2, 6, 2}, []int{r.Groups[i].Tests, r.Groups[i].Passed, r.Groups[i].N, r.Groups[i].Failed})
	require.InDelta(t, 1.0/3, r.Groups[i].Rate.Rate, 1e-12)
	require.True(t, r.Groups[i].Low > 0 && r.Groups[i].Low < 1.0/3 && r.Groups[i].High > 1.0/3)

	one, err := Run(t.Context(), s, "fake", fake, Options{Jobs: 1})
	require.NoError(t, err)
	require.Equal(t, r, one, "jobs change nothing")
}

func TestRunStops(t *testing.T) {
	s := parse(t, kinds)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, s, "fake", func(c context.Context, _ qingting.Transcript) (*qingting.Analysis, error) {
		cancel()
		<-c.Done()
		return nil, c.Err()
	}, Options{Jobs: 2})
	require.ErrorIs(t, err, context.Canceled)

	r, err := Run(t.Context(), s, "down", func(context.Context, qingting.Transcript) (*qingting.Analysis, error) {
		return nil, errors.New("没有电")
	}, Options{})
	require.NoError(t, err)
	require.Equal(t, r.N, r.Errors, "a system that is down fails every case and drops none")
	require.Equal(t, r.N, r.Failed)
	_, err = Run(t.Context(), s, "nil", func(context.Context, qingting.Transcript) (*qingting.Analysis, error) { return nil, nil }, Options{})
	require.ErrorContains(t, err, "neither")
}

func TestOnly(t *testing.T) {
	s := parse(t, kinds)
	for arg, want := range map[string]int{"kind.right": 1, "kind": 3, "script.*": 2, "*": 11} {
		got, err := s.Only([]string{arg})
		require.NoError(t, err)
		require.Len(t, got.Tests, want, arg)
	}
	_, err := s.Only([]string{"kind", "knd"})
	require.ErrorContains(t, err, `没有测试 "knd"`)
}

func TestRender(t *testing.T) {
	s, err := parse(t, kinds).Only([]string{"kind", "agent"})
	require.NoError(t, err)
	r, err := Run(t.Context(), s, "fake", fake, Options{})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, r.Text(&b, TextOptions{Examples: 1}))
	require.Equal(t, `fake：4 个测试，通过 2，不通过 2；8 个用例，失败 3

能力                  通过   用例  失败/用例  失败率 [95% 区间]
来电性质               2/3      6    2/6    33.3% [9.7%, 70.0%]
客服的话               0/1      2    1/2    50.0% [9.5%, 90.5%]

来电性质
  ✗ MFT kind.wrong                                  1/2    50.0% [9.5%, 90.5%]  错
      文  怎么开机
      因  来电性质应是投诉，得到咨询

客服的话
  ✗ INV agent.turn                                  1/2    50.0% [9.5%, 90.5%]  客服
      原  怎么开机
      文  客户：怎么开机 / 客服：打12315（agent_turn）
      因  信号变了：无 → 监管投诉；风险变了：低 → 高；风险概率变了：0.10 → 0.90
`, b.String())
	b.Reset()
	require.NoError(t, r.Text(&b, TextOptions{All: true}))
	require.Contains(t, b.String(), "✓ MFT kind.right")
	require.NotContains(t, b.String(), "怎么开机")

	b.Reset()
	require.NoError(t, WriteJSON(&b, []*Report{r}))
	var back []*Report
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	require.Equal(t, r, back[0])
}

func TestKnown(t *testing.T) {
	s := parse(t, kinds)
	r, err := Run(t.Context(), s, "full", fake, Options{})
	require.NoError(t, err)
	known := func(tests string) *Known {
		k, err := ParseKnown(Source{"k.yaml", []byte("date: \"2026-01-01\"\nmargin: 0.05\nsystems: [full]\ntests:\n" + tests)})
		require.NoError(t, err)
		return k
	}
	all := `  kind.wrong: {why: 一, failing: {full: 0.5}}
  negation.signal: {why: 二, failing: {full: 1}}
  agent.turn: {why: 三, failing: {full: 0.5}}
  script.width: {why: 四, failing: {full: 1}}
  withdrawal.refund: {why: 五, failing: {full: 1}}
  withdrawal.calm: {why: 六, failing: {full: 0.47}}
  length.error: {why: 七, failing: {full: 1}}
`
	worse, better, err := known(all).Against([]*Report{r})
	require.NoError(t, err)
	require.Empty(t, worse, "within the margin of 0.05")
	require.Empty(t, better)

	// One not listed, one listed with less, one with more, one that passes.
	k := known(strings.NewReplacer("  kind.wrong: {why: 一, failing: {full: 0.5}}\n", "", "full: 0.47", "full: 0.4", "{why: 三, failing: {full: 0.5}}", "{why: 三, failing: {full: 0.9}}").Replace(all) +
		"  kind.right: {why: 八, failing: {full: 0.2}}\n")
	worse, better, err = k.Against([]*Report{r})
	require.NoError(t, err)
	name := func(list []Change) (out []string) {
		for _, c := range list {
			out = append(out, c.Test)
		}
		return out
	}
	require.Equal(t, []string{"kind.wrong", "withdrawal.calm"}, name(worse))
	require.Equal(t, []string{"kind.right", "agent.turn"}, name(better))
	var b bytes.Buffer
	require.NoError(t, WriteChanges(&b, worse, better, 1))
	for _, want := range []string{
		"差的有 2 项", "full kind.wrong：原来通过，现在失败 50.0%", "原来失败 40.0%", "kind.wrong: {why: …, failing: {full: 0.5}}",
		"好的有 2 项", "agent.turn：90.0% → 50.0%",
	} {
		require.Contains(t, b.String(), want)
	}
	r.System = "other"
	_, _, err = k.Against([]*Report{r})
	require.ErrorContains(t, err, "没有系统 other")

	for yaml, want := range map[string]string{
		"margin: 0.1":                                              "要写 date 和 systems",
		"date: x\nsystems: [a]\nmargin: 2":                         "margin 是 2",
		"date: x\nsystems: [a]\nmargins: 2":                        `第 3 行：不认识的键 "margins"`,
		"date: x\nsystems: [a]\nmargin: .nan":                      "margin 是 NaN",
		"date: x\nsystems: [a]\ntests: {t.t: {failing: {a: 0}}}":   "应当大于 0",
		"date: x\nsystems: [a]\ntests: {t.t: {failing: {b: 0.1}}}": `系统 "b" 不在 systems 里`,
	} {
		_, err := ParseKnown(Source{"k.yaml", []byte(yaml)})
		require.ErrorContains(t, err, want, yaml)
	}
}

// TestReadJSON: what was written is read back, what a file says beside its
// counts is not believed, and counts that cannot be are refused.
func TestReadJSON(t *testing.T) {
	r, err := Run(t.Context(), parse(t, kinds), "full", fake, Options{Identity: map[string]string{"model": "m1"}})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, WriteJSON(&b, []*Report{r}))
	written := b.String()
	back, err := ReadJSON(Source{"b.json", []byte(written)})
	require.NoError(t, err)
	require.Equal(t, []*Report{r}, back)

	lie := strings.NewReplacer(`"passed": false`, `"passed": true`, `"rate": 0.5`, `"rate": 0`, `"n": 18`, `"n": 7`, `"title": "来电性质"`, `"title": "没有问题"`).Replace(written)
	require.NotEqual(t, written, lie)
	back, err = ReadJSON(Source{"b.json", []byte(lie)})
	require.NoError(t, err)
	require.Equal(t, []*Report{r}, back)

	one := func(test string) string {
		return `[{"schema":"1","system":"full","tests":[` + test + `]}]`
	}
	for in, want := range map[string]string{
		"":                              "b.json：不是行为测试的结果",
		"[]":                            "里面没有结果",
		"[null]":                        "第 1 份结果不是这个版本",
		`{"schema":"1"}`:                "不是行为测试的结果",
		`[{"schema":"9","system":"a"}]`: "第 1 份结果不是这个版本",
		`[{"schema":"1"}]`:              "没有系统的名字",
		`[{"schema":"1","system":"全"},{"schema":"1","system":"全"}]`: `第 2 份结果没有系统的名字，或和前面的重复："全"`,
		one(`{"name":"<b>"}`): `第 1 个测试名字不对，或和前面的重复："<b>"`,
		one(`{"name":"a.b","capability":"kind","kind":"MFT","pass":1,"n":1},{"name":"a.b"}`):        `第 2 个测试名字不对`,
		one(`{"name":"a.b","capability":"天气","kind":"MFT","pass":1,"n":1}`):                         `不认识能力 "天气"`,
		one(`{"name":"a.b","capability":"kind","kind":"BAD","pass":1,"n":1}`):                       `种类 "BAD"`,
		one(`{"name":"a.b","capability":"kind","kind":"MFT","pass":1,"n":0}`):                       "用例 0、失败 0",
		one(`{"name":"a.b","capability":"kind","kind":"MFT","pass":1,"n":3,"failed":4}`):            "用例 3、失败 4",
		one(`{"name":"a.b","capability":"kind","kind":"MFT","pass":1,"n":3,"failed":1,"errors":2}`): "出错 2",
		one(`{"name":"a.b","capability":"kind","kind":"MFT","n":3}`):                                "pass 0 对不上",
		one(`{"name":"a.b","capability":"kind","kind":"MFT","pass":1,"n":3,"failures":[{}]}`):       "对不上",
	} {
		_, err := ReadJSON(Source{"b.json", []byte(in)})
		var e *Error
		require.ErrorAs(t, err, &e, in)
		require.ErrorContains(t, err, want, in)
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add(`[{"schema":"1","system":"full","tests":[{"name":"a.b","title":"对","capability":"kind","kind":"MFT","pass":1,"n":3,"failed":1,"failures":[{"after":"退🈹款","why":["错"]}]}]}]`)
	f.Add(`[{"schema":"1","system":"\ud800","identity":{"model":"x"},"tests":null}]`)
	f.Add(`[{"schema":"1","system":"a","tests":[{"n":9223372036854775807,"pass":1e-300}]}]`)
	f.Add(`[null,{}]`)
	f.Fuzz(func(t *testing.T, s string) {
		reports, err := ReadJSON(Source{"f.json", []byte(s)})
		if err != nil {
			return
		}
		for _, r := range reports {
			passed := 0
			for i := range r.Tests {
				stands, _ := (*Known)(nil).Stands(r.System, &r.Tests[i])
				require.Equal(t, r.Tests[i].Passed, stands == Holds)
				if r.Tests[i].Passed {
					passed++
				}
			}
			all, err := r.Sum("", "")
			require.NoError(t, err)
			require.Equal(t, []int{len(r.Tests), passed, r.N, r.Failed}, []int{all.Tests, all.Passed, all.N, all.Failed})
			for _, x := range []float64{all.Rate.Rate, all.Low, all.High} {
				require.True(t, x >= 0 && x <= 1, "%v", x)
			}
		}
		var b bytes.Buffer
		require.NoError(t, WriteJSON(&b, reports))
	})
}

// TestSum: the kinds of a capability add up to it, and the capabilities to all.
func TestSum(t *testing.T) {
	r, err := Run(t.Context(), parse(t, kinds), "full", fake, Options{})
	require.NoError(t, err)
	all, err := r.Sum("", "")
	require.NoError(t, err)
	require.Equal(t, []int{11, 4, 18, 8}, []int{all.Tests, all.Passed, all.N, all.Failed})
	require.Equal(t, []int{r.N, r.Failed}, []int{all.N, all.Failed})
	got := Group{}
	for _, kind := range Kinds() {
		for _, c := range Capabilities() {
			g, err := r.Sum(c.Code, kind)
			require.NoError(t, err)
			got.Tests, got.Passed, got.N, got.Failed = got.Tests+g.Tests, got.Passed+g.Passed, got.N+g.N, got.Failed+g.Failed
		}
	}
	require.Equal(t, []int{all.Tests, all.Passed, all.N, all.Failed}, []int{got.Tests, got.Passed, got.N, got.Failed})
	none, err := r.Sum("privacy", INV)
	require.NoError(t, err)
	require.Equal(t, Group{Capability: "privacy", Title: "个人信息"}, none, "nothing tested has no rate")
}

// TestStands goes by the shares alone, as a check does; see TestKnown.
func TestStands(t *testing.T) {
	k := &Known{Margin: 0.05, Systems: []string{"full"}, Tests: map[string]KnownTest{"a.b": {Failing: map[string]float64{"full": 0.5}}}}
	for _, tt := range []struct {
		known        *Known
		system, name string
		passed       bool
		rate         float64
		want         Standing
		was          float64
	}{
		{k, "full", "a.c", true, 0, Holds, 0},
		{k, "full", "a.c", true, 0.1, Holds, 0}, // within what the test allows
		{k, "full", "a.c", false, 0.1, New, 0},
		{k, "full", "a.b", false, 0.5, Listed, 0.5},
		{k, "full", "a.b", false, 0.55, Listed, 0.5},
		{k, "full", "a.b", false, 0.56, Worse, 0.5},
		{k, "full", "a.b", false, 0.44, Less, 0.5},
		{k, "full", "a.b", true, 0, Fixed, 0.5},
		{k, "keyword", "a.b", false, 0.5, Unlisted, 0},
		{k, "keyword", "a.b", true, 0, Holds, 0},
		{nil, "full", "a.b", false, 0.5, Unlisted, 0},
	} {
		stands, was := tt.known.Stands(tt.system, &TestResult{Name: tt.name, Passed: tt.passed, Rate: Rate{Rate: tt.rate}})
		require.Equal(t, tt.want, stands, "%+v", tt)
		require.Equal(t, tt.was, was, "%+v", tt)
	}
}

func TestJUnit(t *testing.T) {
	r, err := Run(t.Context(), parse(t, kinds), "full", fake, Options{})
	require.NoError(t, err)
	r.Tests[1].Failures[0].After = "坏了\x00\uffff<]]>\xff" // what XML cannot hold
	write := func(k *Known) junitSuites {
		var b bytes.Buffer
		require.NoError(t, WriteJUnit(&b, []*Report{r}, k, 3))
		var out junitSuites
		require.NoError(t, xml.Unmarshal(b.Bytes(), &out), b.String())
		return out
	}
	all := write(nil)
	require.Equal(t, []int{11, 7, 0}, []int{all.Tests, all.Failures, all.Skipped})
	wrong := all.Suites[0].Cases[1]
	require.Equal(t, "full.kind kind.wrong 错：2 个用例失败 1 个", wrong.Class+" "+wrong.Name+" "+wrong.Failure.Message)
	require.Contains(t, wrong.Failure.Text, "因  来电性质应是投诉，得到咨询")
	require.Nil(t, all.Suites[0].Cases[2].Failure, "passes although a case fails")

	known := write(&Known{Systems: []string{"full"}, Tests: map[string]KnownTest{"kind.wrong": {Why: "还没学会", Failing: map[string]float64{"full": 0.5}}}})
	require.Equal(t, []int{11, 6, 1}, []int{known.Tests, known.Failures, known.Skipped})
	require.Contains(t, known.Suites[0].Cases[1].Skipped.Message, "已知：还没学会")
}

// TestDemands: each demand holds where it should and breaks where it should.
func TestDemands(t *testing.T) {
	of := func(risk string, score float64, intensity float64, signals, claims []string) *answer {
		return &answer{
			labels: map[string][]string{
				"kind": {"complaint"}, "types": {"discrimination", "price.unfair"}, "primary": {"price.unfair"}, "risk": {risk}, "signals": signals, "claims": claims,
				"emotion": {"angry"}, "trend": {"rising"}, "style": {"mixed"}, "outcome": {"pending"}, "priority": {map[string]string{"low": "P3", "medium": "P2", "high": "P1"}[risk]},
			},
			number: map[string]float64{"intensity": intensity, "risk_score": score},
			slots:  []string{"amount=299"}, quotes: []string{"打12315"},
		}
	}
	low := of("low", 0.1, 0, nil, []string{"refund"})
	high := of("high", 0.9, 3, []string{"legal", "regulator"}, nil)
	near := of("low", 0.12, 0, []string{"legal"}, []string{"refund"})

	two := 2
	for i, tt := range []struct {
		e    Expect
		a    *answer
		want string // "" holds
	}{
		{Expect{TypesAny: []string{"price.*"}}, low, ""},
		{Expect{TypesAny: []string{"discrimination"}}, low, ""},
		{Expect{Types: []string{"price.*", "discrimination"}}, low, ""},
		{Expect{Types: []string{"price.unfair", "price.hidden_fee"}}, low, "类型应有隐性收费，得到歧视、价格不公"},
		{Expect{TypesNot: []string{"price.*"}}, low, "类型不应有price.*"},
		{Expect{Primary: []string{"product.*", "service.*"}}, low, "主要类型应是product.*或service.*，得到价格不公"},
		{Expect{Claims: []string{"refund"}}, high, "诉求应有退款，得到无"},
		{Expect{ClaimsAny: []string{"refund", "fix"}}, low, ""},
		{Expect{ClaimsNot: []string{"refund"}}, low, "诉求不应有退款"},
		{Expect{SignalsAny: []string{"media", "legal"}, Signals: []string{"legal"}}, high, ""},
		{Expect{SignalsNot: []string{"media"}, NoSignals: true}, high, "不应有信号，得到法律行动、监管投诉"},
		{Expect{RiskMin: "medium"}, low, "风险至少是中，得到低"},
		{Expect{RiskMax: "medium", Risk: []string{"high"}}, high, "风险至多是中，得到高"},
		{Expect{IntensityMin: &two}, low, "强度至少是 2，得到 0（愤怒）"},
		{Expect{IntensityMax: &two}, high, "强度至多是 2，得到 3（愤怒）"},
		{Expect{IntensityMin: &two, Emotion: []string{"angry"}, Trend: []string{"rising"}, Style: []string{"mixed"}, Priority: []string{"P1"}}, high, ""},
		{Expect{EmotionNot: []string{"angry"}}, low, "情绪不应有愤怒"},
		{Expect{KindNot: []string{"complaint"}}, low, "来电性质不应有投诉"},
		{Expect{Slots: []string{"amount=299"}, Quotes: []string{"12315"}}, low, ""},
		{Expect{Slots: []string{"amount=300"}}, low, "应认出 amount=300，得到 amount=299"},
		{Expect{Quotes: []string{"消协"}}, low, "信号应引用“消协”"},
	} {
		require.NoError(t, tt.e.check())
		got := strings.Join(tt.e.broken(tt.a), "；")
		if tt.want == "" {
			require.Empty(t, got, i)
		} else {
			require.Contains(t, got, tt.want, i)
		}
	}

	slack := map[string]float64{"risk_score": 0.05}
	for i, tt := range []struct {
		d        Direction
		from, to *answer
		want     string
	}{
		{Direction{Risk: Up, RiskScore: Up, Intensity: Up, Priority: Up}, low, high, ""},
		{Direction{Risk: NotDown, Intensity: NotDown}, low, low, ""},
		{Direction{Risk: Up}, low, low, "风险应当上升：低 → 低"},
		{Direction{Risk: Down}, low, high, "风险应当下降：低 → 高"},
		{Direction{Risk: NotUp}, low, high, "风险不应上升"},
		{Direction{Risk: NotDown}, high, low, "风险不应下降"},
		{Direction{Priority: Up}, high, low, "优先级应当上升：高度紧急 → 一般"},
		{Direction{Intensity: Down}, low, low, "强度应当下降：0 → 0"},
		{Direction{RiskScore: NotUp}, low, near, ""}, // within the tolerance
		{Direction{RiskScore: NotUp}, low, high, "风险概率不应上升：0.10 → 0.90"},
		{Direction{RiskScore: NotDown}, near, low, ""},
		{Direction{RiskScore: Up}, near, low, "风险概率应当上升"},
		{Direction{SignalsAppear: []string{"regulator"}, ClaimsVanish: []string{"refund"}}, low, high, ""},
		{Direction{SignalsAppear: []string{"legal"}}, near, high, "信号里应当新出现法律行动"}, // it was there
		{Direction{SignalsVanish: []string{"legal"}}, high, low, ""},
		{Direction{SignalsVanish: []string{"media"}}, high, low, "信号里的媒体曝光应当消失"}, // it was never there
		{Direction{ClaimsAppear: []string{"refund"}}, high, low, ""},
		{Direction{SignalsKept: true}, high, near, "信号不应减少"},
		{Direction{SignalsKept: true, TypesKept: true}, near, high, ""},
		{Direction{NoNewSignals: true}, near, high, "信号不应增加"},
		{Direction{EmotionAfter: []string{"calm"}}, low, high, "之后的情绪应是平静，得到愤怒"},
		{Direction{EmotionLeaves: []string{"angry"}}, low, high, "之后的情绪不应还是愤怒"},
		{Direction{OutcomeAfter: []string{"resolved"}}, low, high, "之后的结果应是已解决"},
		{Direction{OutcomeNotThen: []string{"pending"}}, low, high, "之后的结果不应是处理中"},
	} {
		require.NoError(t, tt.d.check())
		got := strings.Join(tt.d.broken(tt.from, tt.to, slack), "；")
		if tt.want == "" {
			require.Empty(t, got, i)
		} else {
			require.Contains(t, got, tt.want, i)
		}
	}
}
