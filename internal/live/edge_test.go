package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
)

// All messages of a request are received at one time: a greeting before the
// complaint is no answer to it, words behind it are.
func TestGreetingIsNoAnswer(t *testing.T) {
	greeting := qingting.Message{Role: qingting.RoleAgent, Text: "您好，请问有什么可以帮您"}
	answer := qingting.Message{Role: qingting.RoleAgent, Text: "我这就联系您"}
	for name, tt := range map[string]struct {
		words string
		clock live.ClockName
	}{"P0": {"孩子受伤了", live.ClockHuman}, "P1": {"我打12315", live.ClockHuman}, "P2": {"我要投诉", live.ClockAnswer}, "P3": {"在吗", live.ClockAnswer}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				put := func(id string, messages ...qingting.Message) {
					r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: id, Messages: messages})
					require.NoError(t, err)
					_, err = g.Wait(t.Context(), key(id), r.Conversation.Version)
					require.NoError(t, err)
				}
				complaint := qingting.Message{Role: qingting.RoleCustomer, Text: tt.words}
				put("c1", greeting, complaint)
				put("c2", greeting, complaint, answer)
				for range 2 {
					require.Equal(t, live.ClockRunning, g.clock("c1", tt.clock).State)
					require.Equal(t, live.ClockMet, g.clock("c2", tt.clock).State)
					g.restart()
				}
				put("c1", answer)
				require.Equal(t, live.ClockMet, g.clock("c1", tt.clock).State)
			})
		})
	}
}

func TestIngestRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		for name, id := range map[string]string{
			"太长": strings.Repeat("号", 129), "换行": "a\nb", "零宽": "a\u200bb", "从右到左": "a\u202eb", "点": ".", "点点": "..", "坏字节": "a\xffb", "删除符": "a\u0085b",
		} {
			for field, req := range map[string]live.IngestRequest{
				"bad_id":         {Conversation: id},
				"bad_message_id": {Conversation: "c1", Messages: []qingting.Message{{ID: id, Role: qingting.RoleCustomer, Text: "在吗"}}},
			} {
				req.Tenant = tenant
				_, err := g.Ingest(t.Context(), req)
				var bad *qingting.InputError
				require.ErrorAs(t, err, &bad, name)
				require.Equal(t, field, bad.Code, name)
			}
		}
		for _, at := range []string{"0001-01-02T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T16:00:00Z", "9999-12-31T23:59:59-08:00"} {
			sent, err := time.Parse(time.RFC3339, at)
			require.NoError(t, err)
			_, err = g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Messages: []qingting.Message{{Role: qingting.RoleCustomer, Text: "在吗", SentAt: sent}}})
			var bad *qingting.InputError
			require.ErrorAs(t, err, &bad, at)
			require.Equal(t, "bad_time", bad.Code)
			require.Equal(t, "messages[0].sent_at", bad.Where)
		}
		_, err := g.State(t.Context(), key("c1"))
		require.ErrorIs(t, err, qingting.ErrNotFound, "nothing of it was written")

		id := strings.Repeat("号", 128)
		for i, at := range []string{"1970-01-01T00:00:00Z", "9999-12-31T23:59:59+08:00"} {
			sent, err := time.Parse(time.RFC3339, at)
			require.NoError(t, err)
			r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: id, Messages: []qingting.Message{{ID: fmt.Sprint(i, id[3:]), Role: qingting.RoleAgent, Text: "三小时内退款", SentAt: sent}}})
			require.NoError(t, err, at)
			s, err := g.Wait(t.Context(), key(id), r.Conversation.Version)
			require.NoError(t, err)
			_, err = json.Marshal(s)
			require.NoError(t, err)
		}
	})
}

// A promise whose time lies behind the last year that JSON knows has none.
func TestPromiseBehindAllYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(p *live.Parts, _ *live.Options) {
			p.FindPromises = func(m []qingting.StoredMessage) []qingting.Promise {
				due := m[0].SentAt.AddDate(0, 0, 3)
				return []qingting.Promise{{ID: "pr_1", What: qingting.RemedyRefund, Due: &due, Span: qingting.Span{MessageID: m[0].ID, End: 1, Quote: "三"}}}
			}
		})
		r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Messages: []qingting.Message{
			{Role: qingting.RoleAgent, Text: "三天内退款", SentAt: time.Date(9999, 12, 31, 9, 0, 0, 0, time.UTC)},
		}})
		require.NoError(t, err)
		s, err := g.Wait(t.Context(), key("c1"), r.Conversation.Version)
		require.NoError(t, err)
		require.Len(t, s.Promises, 1)
		require.Nil(t, s.Promises[0].Due)
		_, err = json.Marshal(s)
		require.NoError(t, err)
	})
}

// A team that is told later gets the alerts and promises that are open.
func TestTeamFilledLater(t *testing.T) {
	for name, tt := range map[string]struct {
		restart  bool
		messages []qingting.Message
	}{"新消息": {false, []qingting.Message{{Role: qingting.RoleCustomer, Text: "在吗"}}}, "没有消息": {false, nil}, "重启以后": {true, nil}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Messages: []qingting.Message{
					{Role: qingting.RoleCustomer, Text: "我打12315"}, {Role: qingting.RoleAgent, Text: "三小时内退款"},
				}})
				require.NoError(t, err)
				s, err := g.Wait(t.Context(), key("c1"), r.Conversation.Version)
				require.NoError(t, err)
				require.Empty(t, s.Alerts[0].Team)
				if tt.restart {
					g.restart()
				}
				_, err = g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Team: "二组", Messages: tt.messages})
				require.NoError(t, err)
				synctest.Wait()
				s = g.state("c1")
				require.Equal(t, "二组", s.Conversation.Team)
				require.Equal(t, "二组", s.Alerts[0].Team)
				require.Equal(t, "二组", s.Promises[0].Team)
				kept, err := g.store.AlertsOf(t.Context(), key("c1"))
				require.NoError(t, err)
				require.Equal(t, s.Alerts, kept)
				_, err = g.Claim(t.Context(), live.Step{Tenant: tenant, Alert: kept[0].ID, By: "小李", Version: kept[0].Version})
				require.NoError(t, err)
			})
		})
	}
}

// slow is a store whose Append waits, as for a locked database.
type slow struct {
	live.Store
	wait chan struct{}
}

func (s *slow) Append(ctx context.Context, r store.AppendRequest) (store.Appended, error) {
	if s.wait != nil {
		<-s.wait
	}
	return s.Store.Append(ctx, r)
}

// Who reads a conversation does not wait for who writes it.
func TestStateWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var st *slow
		g := newRig(t, func(p *live.Parts, _ *live.Options) { st = &slow{Store: p.Store}; p.Store = st })
		want := g.say("c1", qingting.RoleCustomer, "孩子受伤了，高")
		st.wait = make(chan struct{})
		written := make(chan error, 2)
		for _, id := range []string{"c1", "c2"} {
			go func() {
				_, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: id, Messages: []qingting.Message{{Role: qingting.RoleAgent, Text: "您好"}}})
				written <- err
			}()
		}
		synctest.Wait()
		begun := time.Now()
		got := g.state("c1")
		require.LessOrEqual(t, time.Since(begun), 200*time.Millisecond)
		require.Equal(t, want, got)
		_, err := g.State(t.Context(), key("c2"))
		require.ErrorIs(t, err, qingting.ErrNotFound)
		ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		_, err = g.State(ctx, key("c1"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(st.wait)
		require.NoError(t, <-written)
		require.NoError(t, <-written)
		require.Len(t, g.state("c1").Messages, 2)
	})
}

// A conversation without messages is forgotten like any other.
func TestEmptyConversationsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(_ *live.Parts, o *live.Options) { o.Messages = 10 })
		for i := range 30 {
			_, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: fmt.Sprint("c", i)})
			require.NoError(t, err)
		}
		synctest.Wait()
		require.LessOrEqual(t, g.Stats().Conversations, 10)
		require.Empty(t, g.state("c0").Messages)
	})
}

// The level before the last message is not worked out where it cannot change
// what is shown.
func TestHighNeedsNoLevelBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		put := func(id string, texts ...string) *live.State {
			var messages []qingting.Message
			for _, text := range texts {
				messages = append(messages, qingting.Message{Role: qingting.RoleCustomer, Text: text})
			}
			r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: id, Messages: messages})
			require.NoError(t, err)
			s, err := g.Wait(t.Context(), key(id), r.Conversation.Version)
			require.NoError(t, err)
			return s
		}
		require.Equal(t, qingting.RiskHigh, put("c1", "在吗", "高").Conversation.Overview.Risk)
		require.Equal(t, qingting.RiskHigh, put("c1", "好的").Conversation.Overview.Risk)
		require.Equal(t, qingting.RiskLow, put("c1", "谢谢").Conversation.Overview.Risk)
		require.Zero(t, g.words.levels.Load())
		require.Equal(t, qingting.RiskHigh, put("c2", "高", "好的").Conversation.Overview.Risk)
		require.EqualValues(t, 1, g.words.levels.Load())
	})
}
