package live_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/classify"
	"github.com/qingting-ai/qingting/internal/encoder"
	"github.com/qingting-ai/qingting/internal/jieba"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/linear"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/text"
	"github.com/qingting-ai/qingting/retrieval"
	"github.com/qingting-ai/qingting/sentiment"
	"github.com/qingting-ai/qingting/suggest"
	"github.com/qingting-ai/qingting/suggest/policy"
)

// noon is the clock of drafts, so that a deadline in one does not depend on
// when the test runs.
func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.FixedZone("CST", 8*60*60)) }

// realPipeline wires the stages as the program does, and returns the check for
// urgent messages.
func realPipeline(t testing.TB, mode qingting.Mode) (*qingting.Pipeline, func(string) bool) {
	t.Helper()
	seg, err := jieba.New()
	require.NoError(t, err)
	t.Cleanup(seg.Close)
	cleaner, err := text.NewCleaner()
	require.NoError(t, err)
	lex, err := lexicon.New()
	require.NoError(t, err)
	model, err := linear.Default()
	require.NoError(t, err)
	rules, err := policy.Default()
	require.NoError(t, err)
	drafts, err := suggest.New(rules, suggest.Options{Now: noon})
	require.NoError(t, err)
	seed, err := retrieval.Starter()
	require.NoError(t, err)
	parts := retrieval.Parts{Cleaner: cleaner, Segmenter: seg, Seed: seed}
	stages := qingting.Stages{
		ModelID: "test", Cleaner: cleaner, Segmenter: seg, Slots: text.Slots{}, Matcher: lex, Scorer: model,
		Classifier: classify.New(), Assessor: sentiment.New(sentiment.Options{ModelID: "test", Matcher: lex}), Suggester: drafts,
	}
	if mode == qingting.ModeFull {
		enc, err := encoder.New(encoder.Options{})
		require.NoError(t, err)
		vectors, err := retrieval.StarterVectors()
		require.NoError(t, err)
		parts.Encoder, parts.Vectors, stages.Encoder = enc, vectors, enc
	}
	library, err := retrieval.NewLibrary(context.Background(), parts)
	require.NoError(t, err)
	stages.Retriever = library
	p, err := qingting.NewPipeline(stages)
	require.NoError(t, err)
	urgent := func(s string) bool {
		clean, from, to := cleaner.Clean(s)
		doc := &qingting.Document{Messages: []*qingting.Prepared{{Message: qingting.Message{Role: qingting.RoleCustomer, Text: s}, Clean: clean, From: from, To: to}}}
		return slices.ContainsFunc(lex.Match(doc), func(h qingting.Hit) bool {
			return h.Field == qingting.FieldSignal && h.Guard == qingting.GuardNone
		})
	}
	return p, urgent
}

var customerSays = []string{
	"你好，在吗？", "我的快递三天了还没到，你们到底管不管😡", "订单号 A20260304887766，昨天说今天送", "再不处理我就打12315投诉你们",
	"我不是要投诉，就问问", "退款什么时候到账", "这都第三次联系了！！上次也说24小时", "算了不用了", "行吧，谢谢", "   ", "？？？",
	"收到的杯子是碎的，孩子手被划伤了", "赔我500块钱，不然发抖音曝光", "態度太差了，叫你們經理來", "我电话13800138000", "嗯", "好的 满意",
}

var agentSays = []string{
	"您好，请问有什么可以帮您？", "给您带来不便非常抱歉，我马上帮您核实", "已为您申请退款，预计明天18点前到账", "您稍等", "这个不归我们管",
}

// drawTalk makes a conversation whose messages have a seq and an id, some the
// same seq.
func drawTalk(t *rapid.T, most int) []qingting.Message {
	n := rapid.IntRange(1, most).Draw(t, "messages")
	out := make([]qingting.Message, n)
	for i := range out {
		m := qingting.Message{ID: fmt.Sprintf("m%c", 'a'+rapid.IntRange(0, 20).Draw(t, "id")*26/21) + fmt.Sprint(i), Seq: 1 + i, Role: qingting.RoleCustomer}
		if rapid.IntRange(0, 9).Draw(t, "same seq") == 0 {
			m.Seq = max(1, i)
		}
		if rapid.IntRange(0, 2).Draw(t, "agent") == 0 {
			m.Role, m.Text = qingting.RoleAgent, rapid.SampledFrom(agentSays).Draw(t, "text")
		} else {
			m.Text = rapid.SampledFrom(customerSays).Draw(t, "text")
		}
		if rapid.Bool().Draw(t, "sent") {
			m.SentAt = noon().Add(time.Duration(i) * 7 * time.Minute)
		}
		out[i] = m
	}
	return out
}

// expected is what the pipeline says of the whole conversation at once.
func expected(t require.TestingT, p *qingting.Pipeline, id string, messages []qingting.Message) (*qingting.Analysis, qingting.RiskLevel) {
	said := slices.Clone(messages)
	slices.SortFunc(said, func(a, b qingting.Message) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.ID, b.ID)) })
	var places []qingting.Slot
	for i := range said {
		hidden, concealed := text.Conceal(said[i].Text)
		said[i].Text = hidden
		for _, c := range concealed {
			quote := string([]rune(hidden)[c.Start:c.End])
			places = append(places, qingting.Slot{Kind: c.Kind, Value: quote, Span: qingting.Span{Message: i, MessageID: said[i].ID, Start: c.Start, End: c.End, Quote: quote}})
		}
	}
	whole := qingting.Transcript{ID: id, Channel: "im", Messages: said}
	a, err := p.Analyze(context.Background(), whole, qingting.ModeFast)
	require.NoError(t, err)
	before := qingting.RiskLevel("")
	for i := len(said) - 1; i > 0; i-- {
		if said[i].Role == qingting.RoleCustomer && strings.TrimSpace(said[i].Text) != "" {
			whole.Messages = said[:i]
			short, err := p.Analyze(context.Background(), whole, qingting.ModeFast)
			require.NoError(t, err)
			before = short.Risk.Level
			break
		}
	}
	a.Slots = append(a.Slots, places...)
	slices.SortStableFunc(a.Slots, func(x, y qingting.Slot) int {
		return cmp.Or(cmp.Compare(x.Message, y.Message), cmp.Compare(x.Start, y.Start))
	})
	return a, qingting.Shown(a.Risk.Level, before)
}

// plain is an analysis without what may differ from run to run.
func plain(t require.TestingT, body []byte) string {
	var a qingting.Analysis
	require.NoError(t, json.Unmarshal(body, &a))
	a.Latency = qingting.Latency{}
	out, err := json.MarshalIndent(&a, "", " ")
	require.NoError(t, err)
	return string(out)
}

// In whatever order messages arrive, however often, in whatever requests, and
// whatever is dropped from memory or restarted in between: the end is what the
// pipeline says of the whole conversation.
func TestAnyArrival(t *testing.T) {
	pipeline, urgent := realPipeline(t, qingting.ModeFast)
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "live.db"))
	require.NoError(t, err)
	defer st.Close()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		id := fmt.Sprintf("c%d", n)
		messages := drawTalk(rt, 12)
		opt := live.Options{Workers: rapid.IntRange(1, 3).Draw(rt, "workers")}
		if rapid.Bool().Draw(rt, "evict") {
			opt.Messages = 1 // nothing stays in memory
		}
		var svc *live.Service
		var stop func()
		start := func() {
			var err error
			svc, err = live.New(live.Parts{
				Pipelines: func(string) (live.Pipeline, error) { return pipeline, nil }, Store: st,
				Conceal: text.Conceal, Urgent: urgent, Log: slog.New(slog.DiscardHandler),
			}, opt)
			require.NoError(rt, err)
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			running.Go(func() { _ = svc.Run(ctx) })
			stop = func() { cancel(); running.Wait() }
		}
		start()
		defer func() { stop() }()

		// The deliveries: every message, some twice, in any order.
		deliveries := slices.Clone(messages)
		for range rapid.IntRange(0, 4).Draw(rt, "again") {
			deliveries = append(deliveries, rapid.SampledFrom(messages).Draw(rt, "twice"))
		}
		if rapid.IntRange(0, 3).Draw(rt, "in order") > 0 {
			deliveries = rapid.Permutation(deliveries).Draw(rt, "order")
		}
		version := int64(0)
		k := qingting.Key{Tenant: qingting.DefaultTenant, ID: id}
		for len(deliveries) > 0 {
			size := rapid.IntRange(1, len(deliveries)).Draw(rt, "request")
			r, err := svc.Ingest(context.Background(), live.IngestRequest{Tenant: k.Tenant, Conversation: id, Channel: "im", Messages: deliveries[:size]})
			require.NoError(rt, err)
			require.GreaterOrEqual(rt, r.Conversation.Version, version)
			version, deliveries = r.Conversation.Version, deliveries[size:]
			switch rapid.IntRange(0, 5).Draw(rt, "then") {
			case 0:
				_, err := svc.Wait(context.Background(), k, version)
				require.NoError(rt, err)
			case 1:
				stop()
				start()
			}
		}
		s, err := svc.Wait(context.Background(), k, version)
		require.NoError(rt, err)
		require.Len(rt, s.Messages, len(messages))
		a, shown := expected(rt, pipeline, id, messages)
		want, err := json.Marshal(a)
		require.NoError(rt, err)
		require.Equal(rt, plain(rt, want), plain(rt, s.Analysis))
		o := s.Conversation.Overview
		require.Equal(rt, shown, o.Risk)
		primary := qingting.Type("")
		if a.Primary != nil {
			primary = *a.Primary
		}
		require.Equal(rt, qingting.Overview{
			Kind: a.Kind.Code, Primary: primary, Emotion: a.Emotion.Code, Intensity: a.Emotion.Intensity,
			Risk: shown, Score: a.Risk.Score, Priority: a.Priority, Quote: o.Quote,
		}, o)
	})
}
