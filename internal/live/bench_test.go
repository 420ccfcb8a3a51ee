package live_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/text"
)

// benchService runs a service with the real pipeline and a real store.
func benchService(b *testing.B, mode qingting.Mode, opt live.Options) *live.Service {
	b.Helper()
	pipeline, urgent := realPipeline(b, mode)
	st, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "live.db"))
	require.NoError(b, err)
	opt.Mode = mode
	svc, err := live.New(live.Parts{
		Pipelines: func(string) (live.Pipeline, error) { return pipeline, nil }, Store: st,
		Conceal: text.Conceal, Urgent: urgent, Log: slog.New(slog.DiscardHandler),
	}, opt)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = svc.Run(ctx) })
	b.Cleanup(func() { cancel(); running.Wait(); _ = st.Close() })
	return svc
}

func benchMessage(i int) qingting.Message {
	m := qingting.Message{Role: qingting.RoleCustomer, Text: customerSays[i%len(customerSays)]}
	if i%2 == 1 {
		m.Role, m.Text = qingting.RoleAgent, agentSays[i%len(agentSays)]
	}
	return m
}

// BenchmarkMessage is the time from handing in the n-th message of a
// conversation to its analysis, everything included.
func BenchmarkMessage(b *testing.B) {
	for _, mode := range []qingting.Mode{qingting.ModeFast, qingting.ModeFull} {
		svc := benchService(b, mode, live.Options{})
		for _, n := range []int{5, 50, 500} {
			b.Run(fmt.Sprintf("%s/%d", mode, n), func(b *testing.B) {
				ids := make([]string, b.N)
				for i := range ids {
					ids[i] = qingting.NewID("c")
					var before []qingting.Message
					for j := range n - 1 {
						before = append(before, benchMessage(j))
					}
					r, err := svc.Ingest(b.Context(), live.IngestRequest{Tenant: "default", Conversation: ids[i], Messages: before})
					require.NoError(b, err)
					_, err = svc.Wait(b.Context(), qingting.Key{Tenant: "default", ID: ids[i]}, r.Conversation.Version)
					require.NoError(b, err)
				}
				b.ResetTimer()
				for _, id := range ids {
					r, err := svc.Ingest(b.Context(), live.IngestRequest{Tenant: "default", Conversation: id, Messages: []qingting.Message{benchMessage(n - 1)}})
					require.NoError(b, err)
					_, err = svc.Wait(b.Context(), qingting.Key{Tenant: "default", ID: id}, r.Conversation.Version)
					require.NoError(b, err)
				}
			})
		}
	}
}

// BenchmarkLoad hands in 4 messages a second in each of 500 conversations for
// some seconds, and in between, in fresh conversations, messages that alarm:
// how long until the alert is out.
func BenchmarkLoad(b *testing.B) {
	const (
		conversations = 500
		rate          = 4 // messages a second in each
		senders       = 64
		lasting       = 5 * time.Second
	)
	svc := benchService(b, qingting.ModeFast, live.Options{})
	sub, err := svc.Subscribe(live.Filter{Tenant: "default", Types: []qingting.EventType{qingting.EventAlertRaised}}, "")
	require.NoError(b, err)
	var mu sync.Mutex
	sent := map[string]time.Time{}
	var alerts, acks []time.Duration
	var listening sync.WaitGroup
	listening.Go(func() {
		for e := range sub.Events {
			mu.Lock()
			if at, ok := sent[e.Conversation]; ok {
				alerts = append(alerts, time.Since(at))
				delete(sent, e.Conversation)
			}
			mu.Unlock()
		}
	})
	for b.Loop() {
		begin := time.Now()
		var sending sync.WaitGroup
		for w := range senders {
			sending.Go(func() {
				for i := 0; time.Since(begin) < lasting; i++ {
					// Every sender has its share of the conversations, one after
					// another, and is never ahead of the rate.
					due := begin.Add(time.Duration(float64(i) * float64(time.Second) / (float64(conversations) * rate / senders)))
					time.Sleep(time.Until(due))
					id := fmt.Sprintf("%s-%d", begin.Format("150405.000"), (i*senders+w)%conversations)
					m := benchMessage(i / (conversations / senders) * 2 % 6) // nothing that alarms
					if i%50 == 49 {
						id, m.Text = qingting.NewID("c"), "再不处理我就打12315投诉你们"
						mu.Lock()
						sent[id] = time.Now()
						mu.Unlock()
					}
					start := time.Now()
					_, err := svc.Ingest(b.Context(), live.IngestRequest{Tenant: "default", Conversation: id, Messages: []qingting.Message{m}})
					if err != nil {
						b.Error(err)
					}
					mu.Lock()
					acks = append(acks, time.Since(start))
					mu.Unlock()
				}
			})
		}
		sending.Wait()
		b.ReportMetric(float64(len(acks))/time.Since(begin).Seconds(), "messages/s")
	}
	time.Sleep(2 * time.Second)
	sub.Close()
	listening.Wait()
	st := svc.Stats()
	quantile := func(d []time.Duration, q float64) float64 {
		slices.Sort(d)
		return float64(d[int(q*float64(len(d)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(quantile(acks, 0.5), "ack-p50-ms")
	b.ReportMetric(quantile(acks, 0.99), "ack-p99-ms")
	b.ReportMetric(quantile(alerts, 0.5), "alert-p50-ms")
	b.ReportMetric(quantile(alerts, 1), "alert-max-ms")
	b.ReportMetric(float64(len(sent)), "alerts-missing")
	b.ReportMetric(float64(st.Waiting), "waiting")
	b.ReportMetric(st.Behind.Sum/float64(st.Behind.Count)*1000, "behind-mean-ms")
	b.ReportMetric(st.Analysis.Sum/float64(st.Analysis.Count)*1000, "analysis-mean-ms")
	b.ReportMetric(float64(st.Analysis.Count), "analyses")
}
