package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// sampleResult is an analysis that has everything there is to show.
func sampleResult() *result {
	primary := qingting.TypeHiddenFee
	seventyFive, twenty := 75.0, 20.0
	quote := func(message int, s string) qingting.Span { return qingting.Span{Message: message, Quote: s, End: 1} }
	return &result{
		record: transcript.Record{Line: 1, Transcript: qingting.Transcript{ID: "c1", Messages: make([]qingting.Message, 7)}},
		analysis: &qingting.Analysis{
			ID: new("c1"), Mode: qingting.ModeDegraded,
			Unavailable: []qingting.Unavailable{{Component: "llm", Code: "disabled"}, {Component: "encoder", Code: "timeout"}},
			Kind:        qingting.Score[qingting.Kind]{Code: qingting.KindComplaint, Confidence: 0.97},
			Types: []qingting.TypeScore{
				{Code: qingting.TypeHiddenFee, Confidence: 0.91, Evidence: []qingting.Span{quote(0, "怎么多了 25 块")}},
				{Code: qingting.TypeEfficiency, Confidence: 0.42, Evidence: []qingting.Span{quote(4, "到现在一分钱没见着😡\x1b[31m红\u202e反")}},
			},
			Primary: &primary,
			Emotion: qingting.Emotion{
				Code: qingting.EmotionAngry, Intensity: 2, Confidence: 0.8, Trend: qingting.TrendRising, Peak: &qingting.EmotionPeak{Message: 6, Intensity: 3},
				ByMessage: []qingting.MessageEmotion{{Message: 0, Code: "confused", Intensity: 1}, {Message: 2, Code: "angry", Intensity: 2}, {Message: 4, Code: "angry", Intensity: 2}, {Message: 6, Code: "angry", Intensity: 3}},
			},
			Risk: qingting.Risk{Level: qingting.RiskHigh, Score: 0.86, Conflict: true, Signals: []qingting.Signal{
				{Code: qingting.SignalRegulator, Source: "rule:signal.regulator.hotline", Weight: 0.9, Span: quote(6, "12315")},
				{Code: qingting.SignalRepeatContact, Source: "model:abc", Weight: 0.6, Span: quote(4, "上个月打过一次电话")},
			}},
			Priority: qingting.PriorityP1, Routes: []qingting.Route{qingting.RouteCompliance},
			Claims:       []qingting.Claim{{Code: qingting.ClaimRefund, Amount: &seventyFive, Confidence: 0.9}, {Code: qingting.ClaimExplain, Confidence: 0.55}},
			Expectations: []qingting.Expectation{{Code: qingting.ExpectCompensate, Messages: []int{4, 6}}},
			Style:        qingting.Score[qingting.Style]{Code: qingting.StyleEmotional, Confidence: 0.7}, Responsibility: qingting.Score[qingting.Responsibility]{Code: qingting.ResponsibilityCompany, Confidence: 0.6},
			Outcome: qingting.Score[qingting.Outcome]{Code: qingting.OutcomeUnresolved, Confidence: 0.8}, Satisfaction: &qingting.Satisfaction{Mean: -0.9},
			Slots:     []qingting.Slot{{Kind: qingting.SlotAmount, Value: "25"}, {Kind: qingting.SlotAmount, Value: "25"}, {Kind: qingting.SlotDate, Value: "2026-03-02"}},
			Retrieval: qingting.RetrievalInfo{Status: qingting.RetrievalOK},
			Cases: []qingting.Match{{
				Case:  qingting.Case{Title: "增值业务未经同意开通", Solution: "核对开通凭证，凭证缺失的当天关闭并退还全部费用，同时关闭短信开通渠道，防止再次误开。"},
				Score: 0.92, Why: []string{"同一问题类型：隐性收费", "共同词：短信、扣费"}, Differ: []string{"产品不同"},
			}},
			FailedCase: &qingting.Match{Case: qingting.Case{Title: "退订后又自动开通", Lesson: "只退费没有关闭渠道，第二个月又扣。"}, Score: 0.8},
			Suggestions: []qingting.Suggestion{
				{Style: qingting.StyleEmotional, Default: true, Text: "莫名其妙被扣了三个月，换成谁都会生气，实在对不起。\n1. 我现在就关闭这项业务。\n您看这样可以吗？", Steps: []string{"我现在就关闭这项业务", "今天18点前退还费用"}, Owner: "账单专员", Due: "今天18点前", Remedy: &qingting.Remedy{Code: qingting.RemedyRefund, Amount: &seventyFive, Authority: "approval"}, Checks: []qingting.Check{{Rule: "steps", Passed: true}}},
				{Style: qingting.StyleRational, Text: "您好，先和您核对：三个月共扣 75 元。", Remedy: &qingting.Remedy{Code: qingting.RemedyCoupon, Amount: &twenty, Authority: "agent"}, Checks: []qingting.Check{{Rule: "over_promise", Passed: false}}},
			},
		},
	}
}

// TestNothingSaid: without a final word of the customer nothing is guessed.
func TestNothingSaid(t *testing.T) {
	for name, in := range map[string]string{
		"半句":    `{"messages":[{"role":"customer","text":"我要投诉你们乱扣","is_final":false}]}`,
		"只有客服":  `{"messages":[{"role":"agent","text":"您好，请问有什么可以帮您"},{"role":"bot","text":"排队中"},{"role":"system","text":"会话开始"}]}`,
		"只有空话":  `{"messages":[{"role":"customer","text":"  "}]}`,
		"半句加客服": `{"messages":[{"role":"agent","text":"您好"},{"role":"customer","text":"我的快递丢了","is_final":false}]}`,
	} {
		for _, mode := range []string{"full", "fast"} {
			code, out, errOut := run(t, in, "triage", "-", "--mode", mode)
			require.Equal(t, 0, code, "%s: %s", name, errOut)
			require.Contains(t, out, "客户还没有说话", name)
			for _, guess := range []string{"性质", "情绪", "升级风险", "优先级", "待确认", "回复草稿"} {
				require.NotContains(t, out, guess, name)
			}
		}
	}
	_, out, _ := run(t, "客户：？？", "triage", "-", "--mode", "fast")
	require.Contains(t, out, "性质")
}

// TestViewGolden shows a change of the view in the diff. UPDATE_GOLDEN=1
// writes the file anew.
func TestViewGolden(t *testing.T) {
	v := newView(80, false)
	got := string(v.render(sampleResult()))
	bad := &result{index: 1, record: transcript.Record{Line: 9, ID: "c2"}, err: &transcript.Error{InputError: qingting.InputError{Code: "unknown_role", Where: "messages[0].role", Message: "不认识的角色"}, Line: 9, Offset: -1}}
	got += string(v.render(bad))
	got += string(v.render(&result{index: 2, err: errors.New("内部秘密")}))
	const golden = "testdata/view.golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
	require.NotContains(t, got, "\x1b")
	require.NotContains(t, got, "\u202e")
	require.NotContains(t, got, "秘密")
	for line := range strings.SplitSeq(got, "\n") {
		require.LessOrEqual(t, v.wide.StringWidth(line), 82, line)
	}
}

func TestViewColour(t *testing.T) {
	colored := string(newView(80, true).render(sampleResult()))
	plain := string(newView(80, false).render(sampleResult()))
	require.Contains(t, colored, "\x1b[")
	var stripped strings.Builder
	for _, w := range words(colored) {
		if !strings.HasPrefix(w, "\x1b") {
			stripped.WriteString(w)
		}
	}
	require.Equal(t, plain, stripped.String(), "colour changes nothing of the layout")
}

func TestWrap(t *testing.T) {
	p := &page{view: newView(80, false)}
	for name, tt := range map[string]struct {
		text  string
		width int
		want  []string
	}{
		"中文":     {"一二三四五六", 8, []string{"一二三四", "五六"}},
		"标点不在行首": {"一二三四，五六", 8, []string{"一二三四，", "五六"}},
		"词不拆开":   {"订单 DD2026 已发", 10, []string{"订单", "DD2026 已", "发"}},
		"太长的词":   {strings.Repeat("a", 50), 20, []string{strings.Repeat("a", 24), strings.Repeat("a", 24), "aa"}},
		"emoji":  {"好😡👨‍👩‍👧好", 6, []string{"好😡👨‍👩‍👧", "好"}},
		"空":      {"", 8, []string{""}},
		"换行":     {"一\n\n二", 8, []string{"一", "", "二"}},
		"行尾空格":   {"一二 三四", 4, []string{"一二", "三四"}},
		"颜色不占宽度": {"\x1b[31m一二\x1b[0m三四", 8, []string{"\x1b[31m一二\x1b[0m三四"}},
	} {
		require.Equal(t, tt.want, p.wrap(tt.text, tt.width, 0), name)
	}
}
