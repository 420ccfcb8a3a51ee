package llm

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// level stands for the table of the label guide, which another package holds.
func level(kind qingting.Kind, emotion qingting.EmotionCode, intensity int, signals []qingting.SignalCode) qingting.RiskLevel {
	if len(signals) > 0 {
		return qingting.RiskHigh
	}
	if kind == qingting.KindComplaint && emotion == qingting.EmotionAngry && intensity >= 2 {
		return qingting.RiskMedium
	}
	return qingting.RiskLow
}

func (s *service) analyzer(t testing.TB, change ...func(*Options)) *Analyzer {
	t.Helper()
	a, err := NewAnalyzer(s.client(t, change...), level, 0)
	require.NoError(t, err)
	return a
}

const delayed = "快递三天没动，再不处理我就投诉到12315！赔我50元"

func TestAnalyze(t *testing.T) {
	s := serve(t, says(good))
	analyzer := s.analyzer(t)
	conversation := customer(delayed)
	conversation.ID = "c1"
	a, err := analyzer.Analyze(t.Context(), conversation)
	require.NoError(t, err)
	require.Positive(t, a.Latency.Stages[StageModel])
	a.Latency = qingting.Latency{}
	id, primary, fifty := "c1", qingting.TypeDelay, 50.0
	span := func(start, end int, quote string) qingting.Span {
		return qingting.Span{Start: start, End: end, Quote: quote}
	}
	require.Equal(t, &qingting.Analysis{
		Schema: "1", Taxonomy: "1.3", Model: analyzer.ID(), ID: &id, Mode: qingting.ModeFull,
		Unavailable: []qingting.Unavailable{{Component: "retrieval", Code: "disabled"}, {Component: "suggest", Code: "disabled"}},
		Kind:        qingting.Score[qingting.Kind]{Code: qingting.KindComplaint, Confidence: 0.99},
		Types: []qingting.TypeScore{
			{Code: qingting.TypeDelay, Confidence: 0.9, Evidence: []qingting.Span{span(0, 6, "快递三天没动")}},
			{Code: qingting.TypeEfficiency, Confidence: 0.4, Evidence: []qingting.Span{}},
		},
		Primary: &primary,
		Emotion: qingting.Emotion{Code: qingting.EmotionAngry, Intensity: 2, Confidence: 0.8, Trend: qingting.TrendUnknown, ByMessage: []qingting.MessageEmotion{}},
		Risk: qingting.Risk{Level: qingting.RiskHigh, Score: 0.9, Signals: []qingting.Signal{
			{Code: qingting.SignalRegulator, Source: "model:" + analyzer.ID(), Weight: 0.95, Span: span(13, 21, "投诉到12315")},
		}},
		Priority: qingting.PriorityP1,
		Claims: []qingting.Claim{
			{Code: qingting.ClaimCompensate, Amount: &fifty, Confidence: 0.7, Evidence: []qingting.Span{span(22, 27, "赔我50元")}},
			{Code: qingting.ClaimExpedite, Confidence: 0.6, Evidence: []qingting.Span{span(7, 11, "再不处理")}},
		},
		Expectations:   []qingting.Expectation{},
		Style:          qingting.Score[qingting.Style]{Code: qingting.StyleEmotional, Confidence: 0.5},
		Responsibility: qingting.Score[qingting.Responsibility]{Code: qingting.ResponsibilityUnclear},
		Outcome:        qingting.Score[qingting.Outcome]{Code: qingting.OutcomeUnresolved, Confidence: 0.9},
		Satisfaction:   &qingting.Satisfaction{Mean: -1.3, Distribution: map[string]float64{"-2": 0.5, "-1": 0.3, "0": 0.2, "1": 0, "2": 0}},
		Slots:          []qingting.Slot{}, Retrieval: qingting.RetrievalInfo{Status: qingting.RetrievalUnavailable},
		Cases: []qingting.Match{}, Suggestions: []qingting.Suggestion{},
	}, a)
	call := s.calls()[0]
	require.Equal(t, "json_schema", call.ResponseFormat.Type)
	require.Equal(t, "analysis", call.ResponseFormat.JSONSchema.Name)
	require.Len(t, call.Messages, 2)
	require.Equal(t, "system", call.Messages[0].Role)
	require.Contains(t, call.Messages[1].Content, delayed)
}

func TestAnalyzeMasks(t *testing.T) {
	answer := strings.NewReplacer("快递三天没动", "[手机号1]打了没人接", "投诉到12315", "打12315").Replace(good)
	s := serve(t, says(answer))
	a, err := s.analyzer(t).Analyze(t.Context(), customer("我是李小龙女，13812345678打了没人接，再不处理我就打12315，赔我50元"))
	require.NoError(t, err)
	require.NotContains(t, s.calls()[0].Messages[1].Content, "13812345678")
	require.Equal(t, "13812345678打了没人接", a.Types[0].Evidence[0].Quote)
}

func TestAnalyzeBelievesNoInventedQuote(t *testing.T) {
	answer := strings.NewReplacer("投诉到12315", "我要去法院起诉你们", "赔我50元", "赔我五百").Replace(good)
	answer = strings.Replace(answer, `"amount":50`, `"amount":500`, 1)
	s := serve(t, says(answer))
	analyzer := s.analyzer(t)
	a, err := analyzer.Analyze(t.Context(), customer("快递三天没动，赔我50元，再不处理就算了"))
	require.NoError(t, err)
	require.Empty(t, a.Risk.Signals, "a signal needs the customer's words")
	require.Equal(t, qingting.RiskMedium, a.Risk.Level, "and without it the level follows the table")
	require.Equal(t, qingting.ClaimCompensate, a.Claims[0].Code)
	require.Empty(t, a.Claims[0].Evidence)
	require.Nil(t, a.Claims[0].Amount, "an amount that nobody named")
	require.Equal(t, 2, analyzer.client.Stats().Invented)
}

func TestAnalyzeMechanicalRules(t *testing.T) {
	calm := strings.NewReplacer(`"complaint"`, `"inquiry"`, `"angry"`, `"calm"`).Replace(good)
	again := strings.Replace(good, `"service.efficiency","p":0.4`, `"logistics.delay","p":0.4`, 1)
	flat := strings.Replace(good, `"intensity":2`, `"intensity":0`, 1)
	s := serve(t, says(calm), says(again), says(flat))
	analyzer := s.analyzer(t)
	a, err := analyzer.Analyze(t.Context(), customer(delayed))
	require.NoError(t, err)
	require.Empty(t, a.Types, "only complaints have types")
	require.Nil(t, a.Primary)
	require.Equal(t, 0, a.Emotion.Intensity, "calm has no intensity")
	a, err = analyzer.Analyze(t.Context(), customer(delayed))
	require.NoError(t, err)
	require.Len(t, a.Types, 1)
	a, err = analyzer.Analyze(t.Context(), customer(delayed))
	require.NoError(t, err)
	require.Equal(t, 1, a.Emotion.Intensity, "and only calm has none")
}

func TestAnalyzeRepairsOnce(t *testing.T) {
	bad := strings.Replace(good, `"complaint"`, `"rant"`, 1)
	s := serve(t, says(bad), says(good))
	analyzer := s.analyzer(t)
	_, err := analyzer.Analyze(t.Context(), customer(delayed))
	require.NoError(t, err)
	second := s.calls()[1].Messages
	require.Len(t, second, 4)
	require.Equal(t, bad, second[2].Content)
	require.Contains(t, second[3].Content, `没有代码 "rant"`)
	require.Equal(t, 1, analyzer.client.Stats().Repaired)

	for _, test := range []struct{ answer, code string }{
		{bad, CodeBadLabel},
		{"抱歉，我做不到", CodeBadJSON},
		{good[:300], CodeBadJSON},
	} {
		s := serve(t, says(test.answer))
		analyzer := s.analyzer(t)
		_, err := analyzer.Analyze(t.Context(), customer(delayed))
		require.Equal(t, test.code, codeOf(err))
		require.Len(t, s.calls(), 2)
		require.Equal(t, map[string]int{test.code: 1}, analyzer.client.Stats().Errors)
	}
}

// TestHostileAnswers are models that did what a customer told them: whatever
// they say is an answer that fits, or a failure.
func TestHostileAnswers(t *testing.T) {
	for _, attack := range hostile {
		s := serve(t, says(attack))
		_, err := s.analyzer(t).Analyze(t.Context(), customer(attack))
		require.Contains(t, []string{CodeBadJSON, CodeBadLabel}, codeOf(err), attack)
		for _, call := range s.calls() {
			require.Equal(t, systemPrompt(), call.Messages[0].Content)
			for _, m := range call.Messages[1:] {
				require.NotEqual(t, "system", m.Role)
			}
		}
	}
}

func TestAnalyzeRefusesInput(t *testing.T) {
	s := serve(t, says(good))
	var input *qingting.InputError
	for _, bad := range []qingting.Transcript{{}, customer(strings.Repeat("长", 5000)), {Messages: []qingting.Message{{Role: "boss", Text: "好"}}}} {
		_, err := s.analyzer(t).Analyze(t.Context(), bad)
		require.ErrorAs(t, err, &input)
	}
	require.Empty(t, s.calls())
	for _, odd := range []string{"", "😡😡😡", "\xff\xfe", "ｗｔｆ！！", "怎么还没"} {
		_, err := s.analyzer(t).Analyze(t.Context(), customer(odd))
		require.NoError(t, err, "%q", odd)
	}
}

func TestAnalyzeKeepsTheCallersLimit(t *testing.T) {
	s := serve(t, sleeps)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	_, err := s.analyzer(t).Analyze(ctx, customer(delayed))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestReplayIsTheSame records with a service and replays without one.
func TestReplayIsTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	bad := strings.Replace(good, `"complaint"`, `"rant"`, 1)
	// The service refuses the schema first: the key must not depend on it.
	s := serve(t, refuses(400, "", "no json_schema"), says(bad), says(good))
	recorder := s.analyzer(t, with(openCache(t, path, ModeRecord)))
	was, err := recorder.Analyze(t.Context(), customer(delayed))
	require.NoError(t, err)
	s.Close()
	player := s.analyzer(t, with(openCache(t, path, ModeReplay)))
	got, err := player.Analyze(t.Context(), customer(delayed))
	require.NoError(t, err)
	require.Contains(t, got.Latency.Stages, StageCached)
	require.NotContains(t, got.Latency.Stages, StageModel)
	got.Latency, was.Latency = qingting.Latency{}, qingting.Latency{}
	require.Equal(t, was, got)
	_, err = player.Analyze(t.Context(), customer("没有录过的话"))
	require.Equal(t, CodeNotRecorded, codeOf(err))
	second, err := NewAnalyzer(player.client, level, 1)
	require.NoError(t, err)
	_, err = second.Analyze(t.Context(), customer(delayed))
	require.Equal(t, CodeNotRecorded, codeOf(err), "a repetition is a reading of its own")
}

func TestIdentity(t *testing.T) {
	s := serve(t, http.NotFound)
	zero, seed := 0.0, 5
	a, b := s.analyzer(t), s.analyzer(t, func(o *Options) { o.Temperature, o.Seed = &zero, &seed })
	require.NotEqual(t, a.ID(), b.ID())
	id := b.Identity()
	require.Len(t, id["prompt"], 16)
	delete(id, "prompt")
	require.Equal(t, map[string]string{
		"model": "test-model", "host": "test.example/v1", "format": "auto", "max_tokens": "1500", "repeat": "0", "temperature": "0", "seed": "5",
	}, id)
	_, err := NewAnalyzer(nil, level, 0)
	require.Error(t, err)
}
