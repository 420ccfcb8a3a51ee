package live_test

import (
	"context"
	"flag"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/text"
)

func TestMain(m *testing.M) {
	// The property test commits hundreds of times; -rapid.checks asks for more.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// words is a pipeline that reads a few words, so that a test can say what an
// analysis finds: the stages themselves are tested elsewhere, and together
// with this package in TestAnyArrival.
type words struct {
	calls, levels atomic.Int64
	block         chan struct{} // when set, an analysis waits until it is closed
}

func (w *words) Prepare(_ context.Context, m qingting.Message, mode qingting.Mode) (*qingting.Prepared, error) {
	p := &qingting.Prepared{Message: m}
	for _, r := range m.Text {
		if !unicode.IsSpace(r) {
			p.Clean = append(p.Clean, r)
		}
	}
	if mode == qingting.ModeFull && len(p.Clean) > 0 {
		p.Vector = qingting.Vector{1}
	}
	return p, nil
}

func (w *words) AnalyzePrepared(ctx context.Context, t qingting.Transcript, messages []*qingting.Prepared, mode qingting.Mode) (*qingting.Analysis, error) {
	w.calls.Add(1)
	if w.block != nil {
		<-w.block
	}
	a := &qingting.Analysis{ID: &t.ID, Mode: mode, AsOf: qingting.AsOf{Message: len(messages) - 1}, Kind: qingting.Score[qingting.Kind]{Code: qingting.KindInquiry}}
	a.Risk.Level = w.level(messages)
	for i, m := range messages {
		if strings.Contains(m.Text, "恐慌") {
			panic("顾客的原话")
		}
		if m.Role != qingting.RoleCustomer {
			continue
		}
		for word, code := range map[string]qingting.SignalCode{"12315": qingting.SignalRegulator, "起诉": qingting.SignalLegal, "受伤": qingting.SignalSafetyInjury, "不用了": qingting.SignalChurn} {
			if at := strings.Index(m.Text, word); at >= 0 {
				start := len([]rune(m.Text[:at]))
				a.Risk.Signals = append(a.Risk.Signals, qingting.Signal{
					Code: code, Source: "rule:test", Weight: 0.5,
					Span: qingting.Span{Message: i, MessageID: m.ID, Start: start, End: start + len([]rune(word)), Quote: word},
				})
			}
		}
		if strings.Contains(m.Text, "投诉") || len(a.Risk.Signals) > 0 {
			a.Kind.Code = qingting.KindComplaint
		}
		if strings.Contains(m.Text, "肯定") {
			a.Risk.Score = 0.9
		}
		if strings.Contains(m.Text, "快递") {
			a.Primary = new(qingting.TypeDelay)
		}
	}
	a.Priority, a.Routes = qingting.Prioritize(a.Kind.Code, nil, a.Risk.Signals)
	return a, nil
}

func (w *words) Level(_ context.Context, _ qingting.Transcript, messages []*qingting.Prepared, _ qingting.Mode) (qingting.RiskLevel, error) {
	w.levels.Add(1)
	return w.level(messages), nil
}

// level is what the last customer says with 高, 中, or anything else.
func (w *words) level(messages []*qingting.Prepared) qingting.RiskLevel {
	level := qingting.RiskLow
	for _, m := range messages {
		if m.Role == qingting.RoleCustomer {
			switch {
			case strings.Contains(m.Text, "高"):
				level = qingting.RiskHigh
			case strings.Contains(m.Text, "中"):
				level = qingting.RiskMedium
			default:
				level = qingting.RiskLow
			}
		}
	}
	return level
}

// promises finds 我三小时内退款 in an agent's words: due three hours after it
// was sent.
func promises(messages []qingting.StoredMessage) []qingting.Promise {
	var out []qingting.Promise
	for i, m := range messages {
		if m.Role != qingting.RoleAgent || !strings.Contains(m.Text, "三小时内退款") {
			continue
		}
		due := m.Received.Add(3 * time.Hour)
		n := len([]rune(m.Text))
		out = append(out, qingting.Promise{
			ID: "pr_" + m.ID, What: qingting.RemedyRefund, Due: &due, DueWords: "三小时内",
			Span: qingting.Span{Message: i, MessageID: m.ID, Start: 0, End: n, Quote: m.Text},
		})
	}
	return out
}

// rig is a running service on a real store.
type rig struct {
	*live.Service
	t     *testing.T
	store *store.Store
	words *words
	parts live.Parts
	opt   live.Options
	stop  func()
	sub   *live.Subscription
}

const tenant = "t1"

func key(id string) qingting.Key { return qingting.Key{Tenant: tenant, ID: id} }

// newRig opens a store in a new folder and starts a service on it. change may
// be nil.
func newRig(t *testing.T, change func(*live.Parts, *live.Options)) *rig {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "live.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	w := &words{}
	g := &rig{t: t, store: st, words: w, parts: live.Parts{
		Pipelines: func(string) (live.Pipeline, error) { return w, nil }, Store: st,
		Conceal: text.Conceal, FindPromises: promises,
		Urgent:  func(s string) bool { return strings.Contains(s, "12315") },
		Tenants: func(context.Context) ([]string, error) { return []string{tenant}, nil },
		Chain:   func(_, team string) []string { return []string{team, "华东", "全国"} },
		Log:     slog.New(slog.DiscardHandler),
	}, opt: live.Options{Workers: 2}}
	if change != nil {
		change(&g.parts, &g.opt)
	}
	g.start()
	t.Cleanup(func() { g.stop() })
	return g
}

// start makes a new service on the store and runs it.
func (g *rig) start() {
	g.t.Helper()
	var err error
	g.Service, err = live.New(g.parts, g.opt)
	require.NoError(g.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	g.sub, err = g.Subscribe(live.Filter{Tenant: tenant}, "")
	require.NoError(g.t, err)
	g.stop = func() {
		g.stop = func() {}
		cancel()
		require.NoError(g.t, <-done)
	}
}

// restart ends the service and starts another on the same store.
func (g *rig) restart() { g.stop(); g.start() }

// say takes one message in and waits until it has been read.
func (g *rig) say(id string, role qingting.Role, text string) *live.State {
	g.t.Helper()
	r, err := g.Ingest(g.t.Context(), live.IngestRequest{
		Tenant: tenant, Conversation: id, Team: "一组", CustomerRef: "k-1",
		Messages: []qingting.Message{{Role: role, Text: text}},
	})
	require.NoError(g.t, err)
	s, err := g.Wait(g.t.Context(), key(id), r.Conversation.Version)
	require.NoError(g.t, err)
	return s
}

func (g *rig) state(id string) *live.State {
	g.t.Helper()
	s, err := g.State(g.t.Context(), key(id))
	require.NoError(g.t, err)
	return s
}

// events takes what has arrived.
func (g *rig) events(kinds ...qingting.EventType) []live.Published {
	var out []live.Published
	for {
		select {
		case e, ok := <-g.sub.Events:
			if !ok {
				return out
			}
			for _, k := range kinds {
				if e.Type == k {
					out = append(out, e)
				}
			}
		default:
			return out
		}
	}
}

// raised returns the alerts about the risk that have been raised, or raised
// again, since the last call.
func (g *rig) raised() []qingting.Alert {
	var out []qingting.Alert
	for _, e := range g.events(qingting.EventAlertRaised) {
		if a := e.Data.(qingting.Alert); a.Cause == qingting.CauseRisk {
			out = append(out, a)
		}
	}
	return out
}

func (g *rig) clock(id string, name live.ClockName) *live.Clock {
	g.t.Helper()
	for _, c := range g.state(id).Clocks {
		if c.Name == name {
			return &c
		}
	}
	return nil
}

// sla returns the alerts about service clocks, by clock.
func sla(s *live.State) map[string]qingting.Alert {
	out := map[string]qingting.Alert{}
	for _, a := range s.Alerts {
		if a.Cause == qingting.CauseSLA {
			out[a.Subject] = a
		}
	}
	return out
}
