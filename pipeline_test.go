package qingting_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// plain is a set of stages small enough to read: it keeps the text as it is,
// cuts single characters, and calls everything a complaint about quality.
type plain struct {
	retrieveErr error
	suggestErr  error
}

func (plain) Clean(text string) (clean []rune, from, to []int32) {
	for i, r := range []rune(text) {
		clean, from, to = append(clean, r), append(from, int32(i)), append(to, int32(i+1))
	}
	return clean, from, to
}

func (plain) Segment(clean []rune) (out []qingting.Token) {
	for i, r := range clean {
		out = append(out, qingting.Token{Text: string(r), Start: i, End: i + 1})
	}
	return out
}

func (plain) FindSlots([]rune, time.Time) []qingting.SlotMatch { return nil }
func (plain) Match(*qingting.Document) []qingting.Hit          { return nil }
func (plain) Score(*qingting.Document) qingting.Scores         { return qingting.Scores{} }
func (plain) ID() string                                       { return "plain" }

func (plain) Classify(_ context.Context, doc *qingting.Document) (qingting.Classification, error) {
	return qingting.Classification{
		Kind:    qingting.Score[qingting.Kind]{Code: qingting.KindComplaint, Confidence: 1},
		Types:   []qingting.TypeScore{{Code: qingting.TypeQuality, Confidence: 0.9, Evidence: []qingting.Span{doc.Span(0, 2, 4)}}},
		Primary: qingting.TypeQuality,
	}, nil
}

func (plain) Assess(context.Context, *qingting.Document, *qingting.Classification) (qingting.Feeling, error) {
	return qingting.Feeling{Emotion: qingting.Emotion{Code: qingting.EmotionCalm}, Risk: qingting.Risk{Level: qingting.RiskLow}}, nil
}

func (p plain) Retrieve(context.Context, *qingting.Document, *qingting.Analysis) (qingting.Retrieval, error) {
	return qingting.Retrieval{Status: qingting.RetrievalNoReliableCase}, p.retrieveErr
}

func (p plain) Suggest(context.Context, *qingting.Document, *qingting.Analysis) ([]qingting.Suggestion, error) {
	return nil, p.suggestErr
}

func stages(p plain) qingting.Stages {
	return qingting.Stages{
		Cleaner: p, Segmenter: p, Slots: p, Matcher: p, Scorer: p, Classifier: p, Assessor: p, Retriever: p, Suggester: p, ModelID: "m",
	}
}

func customer(texts ...string) qingting.Transcript {
	var t qingting.Transcript
	for _, text := range texts {
		t.Messages = append(t.Messages, qingting.Message{Role: qingting.RoleCustomer, Text: text})
	}
	return t
}

func TestAnalyze(t *testing.T) {
	p, err := qingting.NewPipeline(stages(plain{}))
	require.NoError(t, err)
	a, err := p.Analyze(t.Context(), customer("手机坏了"), qingting.ModeFast)
	require.NoError(t, err)
	require.Equal(t, qingting.ModeFast, a.Mode)
	require.Equal(t, []qingting.Span{{Message: 0, Start: 2, End: 4, Quote: "坏了"}}, a.Types[0].Evidence)
	require.Equal(t, qingting.PriorityP2, a.Priority)
	require.Equal(t, []qingting.Unavailable{{Component: "llm", Code: "disabled"}, {Component: "encoder", Code: "fast_mode"}}, a.Unavailable)

	raw, err := json.Marshal(a)
	require.NoError(t, err)
	for _, list := range []string{"claims", "expectations", "slots", "cases", "suggestions", "signals", "by_message"} {
		require.Contains(t, string(raw), `"`+list+`":[]`, "an empty list is [] in JSON, never null")
	}
	require.Contains(t, string(raw), `"failed_case":null`)
}

func TestAnalyzeDegrades(t *testing.T) {
	p, err := qingting.NewPipeline(stages(plain{retrieveErr: errors.New("disk of 张三 gone"), suggestErr: context.DeadlineExceeded}))
	require.NoError(t, err)
	a, err := p.Analyze(t.Context(), customer("手机坏了"), qingting.ModeFast)
	require.NoError(t, err)
	require.Equal(t, qingting.ModeDegraded, a.Mode)
	require.Equal(t, qingting.RetrievalUnavailable, a.Retrieval.Status)
	require.Subset(t, a.Unavailable, []qingting.Unavailable{{Component: "retrieval", Code: "failed"}, {Component: "suggest", Code: "timeout"}})
	raw, err := json.Marshal(a)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "张三", "an internal error may quote the customer and stays inside")
}

func TestAnalyzeWithoutEncoderRefusesFullMode(t *testing.T) {
	p, err := qingting.NewPipeline(stages(plain{}))
	require.NoError(t, err)
	_, err = p.Analyze(t.Context(), customer("手机坏了"), qingting.ModeFull)
	require.ErrorIs(t, err, qingting.ErrInvalid)
}

// counting is an encoder that counts what it is asked for.
type counting struct{ n *int }

func (c counting) Encode(_ context.Context, texts []string) ([]qingting.Vector, error) {
	*c.n += len(texts)
	return make([]qingting.Vector, len(texts)), nil
}
func (counting) ID() string { return "counting" }
func (counting) Dim() int   { return 1 }

func TestLongTranscriptsAreEncodedInPart(t *testing.T) {
	for messages, want := range map[int]int{1: 1, 200: 200, 201: 200, 3000: 200} {
		n := 0
		p := qingting.Preparer{Cleaner: plain{}, Segmenter: plain{}, Slots: plain{}, Matcher: plain{}, Encoder: counting{&n}}
		doc, err := p.Document(t.Context(), customer(strings.Split(strings.Repeat("坏", messages), "")...), qingting.ModeFull)
		require.NoError(t, err)
		require.Len(t, doc.Messages, messages)
		require.Equal(t, want, n, "%d messages", messages)
	}
}

func TestNewPipelineNamesTheMissingStage(t *testing.T) {
	s := stages(plain{})
	s.Scorer = nil
	_, err := qingting.NewPipeline(s)
	require.ErrorContains(t, err, "Scorer")
}

func TestValidate(t *testing.T) {
	many := qingting.Transcript{Messages: make([]qingting.Message, qingting.MaxMessages+1)}
	big := customer()
	for range 51 {
		big.Messages = append(big.Messages, qingting.Message{Role: qingting.RoleCustomer, Text: strings.Repeat("长", 4000)})
	}
	for _, tt := range []struct {
		name, code, where string
		in                qingting.Transcript
		is                error
	}{
		{"no messages", "empty_transcript", "messages", qingting.Transcript{}, qingting.ErrInvalid},
		{"no role", "missing_role", "messages[0].role", qingting.Transcript{Messages: []qingting.Message{{Text: "x"}}}, qingting.ErrInvalid},
		{"odd role", "unknown_role", "messages[0].role", qingting.Transcript{Messages: []qingting.Message{{Role: "robot", Text: "x"}}}, qingting.ErrInvalid},
		{"long message", "message_too_long", "messages[1].text", customer("好", strings.Repeat("长", 4001)), qingting.ErrTooLarge},
		{"long transcript", "transcript_too_long", "messages", big, qingting.ErrTooLarge},
		{"seq below zero", "bad_seq", "messages[0].seq", qingting.Transcript{Messages: []qingting.Message{{Role: "customer", Text: "x", Seq: -1}}}, qingting.ErrInvalid},
		{"one id, two texts", "duplicate_message_id", "messages[2].message_id", qingting.Transcript{Messages: []qingting.Message{
			{ID: "m1", Role: "customer", Text: "退款"}, {ID: "m2", Role: "agent", Text: "好"}, {ID: "m1", Role: "customer", Text: "不退了"},
		}}, qingting.ErrInvalid},
		{"one id, two roles", "duplicate_message_id", "messages[1].message_id", qingting.Transcript{Messages: []qingting.Message{
			{ID: "m1", Role: "customer", Text: "好"}, {ID: "m1", Role: "agent", Text: "好"},
		}}, qingting.ErrInvalid},
		{"long id of an unfinished message", "bad_message_id", "messages[0].message_id", qingting.Transcript{Messages: []qingting.Message{{ID: strings.Repeat("a", 129), Role: "customer", Text: "x", IsFinal: new(bool)}}}, qingting.ErrInvalid},
		{"before 1970", "bad_time", "messages[0].sent_at", qingting.Transcript{Messages: []qingting.Message{{Role: "customer", Text: "x", SentAt: time.Unix(-1, 0)}}}, qingting.ErrInvalid},
		{"year 10000 in China", "bad_time", "messages[0].sent_at", qingting.Transcript{Messages: []qingting.Message{{Role: "customer", Text: "x", SentAt: time.Unix(253402272000, 0).UTC()}}}, qingting.ErrInvalid},
		{"many messages", "too_many_messages", "messages", many, qingting.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.in.Validate()
			var e *qingting.InputError
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.code, e.Code)
			require.Equal(t, tt.where, e.Where)
			require.ErrorIs(t, err, tt.is)
		})
	}
	ok := customer(strings.Repeat("长", 4000))
	require.NoError(t, ok.Validate())
	// The same message delivered twice is no error, and neither is a partial
	// result that the final one completes.
	partial := new(bool)
	again := qingting.Transcript{Messages: []qingting.Message{
		{ID: "m1", Role: "customer", Text: "我要退", IsFinal: partial}, {ID: "m1", Role: "customer", Text: "我要退款"}, {ID: "m1", Role: "customer", Text: "我要退款"},
	}}
	require.NoError(t, again.Validate())
}

// TestAsOf: an unfinished ASR result has not been read.
func TestAsOf(t *testing.T) {
	p, err := qingting.NewPipeline(stages(plain{}))
	require.NoError(t, err)
	partial := new(bool)
	for name, tt := range map[string]struct {
		in   []qingting.Message
		want int
	}{
		"全读了":  {[]qingting.Message{{Role: "customer", Text: "手机坏了"}, {Role: "agent", Text: "好的"}}, 1},
		"末尾半句": {[]qingting.Message{{Role: "customer", Text: "手机坏了"}, {Role: "customer", Text: "我要", IsFinal: partial}}, 0},
		"只有半句": {[]qingting.Message{{Role: "customer", Text: "手机坏了", IsFinal: partial}}, -1},
		"乱序":   {[]qingting.Message{{Role: "agent", Text: "给您退款", Seq: 2}, {Role: "customer", Text: "手机坏了", Seq: 1}}, 0},
	} {
		a, err := p.Analyze(t.Context(), qingting.Transcript{Messages: tt.in}, qingting.ModeFast)
		require.NoError(t, err, name)
		require.Equal(t, tt.want, a.AsOf.Message, name)
	}
}

// TestPrioritize follows the table at the end of the label guide, first match
// from P0 down.
func TestPrioritize(t *testing.T) {
	ty := func(codes ...qingting.Type) (out []qingting.TypeScore) {
		for _, c := range codes {
			out = append(out, qingting.TypeScore{Code: c})
		}
		return out
	}
	sig := func(codes ...qingting.SignalCode) (out []qingting.Signal) {
		for _, c := range codes {
			out = append(out, qingting.Signal{Code: c})
		}
		return out
	}
	for _, tt := range []struct {
		name     string
		kind     qingting.Kind
		types    []qingting.TypeScore
		signals  []qingting.Signal
		priority qingting.Priority
		routes   []qingting.Route
	}{
		{"plain complaint", qingting.KindComplaint, ty(qingting.TypeDelay), nil, qingting.PriorityP2, nil},
		{"plain inquiry", qingting.KindInquiry, nil, nil, qingting.PriorityP3, nil},
		{"safety type", qingting.KindComplaint, ty(qingting.TypeSafety), nil, qingting.PriorityP0, []qingting.Route{qingting.RouteRecall}},
		{"injury in an inquiry", qingting.KindInquiry, nil, sig(qingting.SignalSafetyInjury), qingting.PriorityP0, []qingting.Route{qingting.RouteRecall}},
		{"media beats regulator", qingting.KindComplaint, ty(qingting.TypeDelay), sig(qingting.SignalRegulator, qingting.SignalMedia), qingting.PriorityP0, nil},
		{"regulator", qingting.KindComplaint, ty(qingting.TypeDelay), sig(qingting.SignalRegulator), qingting.PriorityP1, nil},
		{"privacy", qingting.KindComplaint, ty(qingting.TypeLeak), sig(qingting.SignalPrivacy), qingting.PriorityP1, []qingting.Route{qingting.RouteCompliance}},
		{"discrimination", qingting.KindComplaint, ty(qingting.TypeDiscrimination), sig(qingting.SignalDiscrimination), qingting.PriorityP1, []qingting.Route{qingting.RouteInvestigation}},
		{"quality with loss", qingting.KindComplaint, ty(qingting.TypeQuality), sig(qingting.SignalFinancialLoss), qingting.PriorityP1, nil},
		{"delay with loss", qingting.KindComplaint, ty(qingting.TypeDelay), sig(qingting.SignalFinancialLoss), qingting.PriorityP2, nil},
		{"churn", qingting.KindComplaint, ty(qingting.TypeDelay), sig(qingting.SignalChurn), qingting.PriorityP2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			priority, routes := qingting.Prioritize(tt.kind, tt.types, tt.signals)
			require.Equal(t, tt.priority, priority)
			require.Equal(t, tt.routes, routes)
		})
	}
}

// TestSpan has cleaned text that is shorter, longer and elsewhere than the
// original: 退①款 became 退1款 with a zero-width space dropped, and ㈱ two runes.
func TestSpan(t *testing.T) {
	p := &qingting.Prepared{
		Message: qingting.Message{ID: "m9", Text: "退\u200b①款😡㈱啊"},
		Clean:   []rune("退1款😡(株啊"),
		From:    []int32{0, 2, 3, 4, 5, 5, 6},
		To:      []int32{1, 3, 4, 5, 6, 6, 7},
	}
	doc := &qingting.Document{Messages: []*qingting.Prepared{p}}
	for _, tt := range []struct {
		start, end int
		want       string
	}{
		{0, 1, "退"}, {0, 3, "退\u200b①款"}, {3, 4, "😡"}, {4, 5, "㈱"}, {5, 6, "㈱"}, {6, 7, "啊"}, {0, 7, p.Text},
	} {
		s := doc.Span(0, tt.start, tt.end)
		require.Equal(t, tt.want, s.Quote)
		require.Equal(t, "m9", s.MessageID)
		require.Equal(t, s.End-s.Start, utf8.RuneCountInString(s.Quote))
	}
}

func TestEveryCodeHasALabel(t *testing.T) {
	var codes []string
	for _, c := range qingting.Kinds() {
		codes = append(codes, string(c))
	}
	for _, c := range qingting.Types() {
		codes = append(codes, string(c))
	}
	for _, c := range qingting.Emotions() {
		codes = append(codes, string(c))
	}
	for _, c := range qingting.Signals() {
		codes = append(codes, string(c))
	}
	for _, c := range qingting.Claims() {
		codes = append(codes, string(c))
	}
	for _, c := range qingting.Outcomes() {
		codes = append(codes, string(c))
	}
	for _, code := range codes {
		require.NotEqual(t, code, qingting.Label(code))
	}
}
