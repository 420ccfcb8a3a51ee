package live_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/live"
)

// An alert that nobody claims is raised again after a minute, one step further
// up, and so on to the top. A restart in the middle changes nothing.
func TestAlertGoesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := g.say("c1", qingting.RoleCustomer, "再不处理我打12315")
		require.Len(t, s.Alerts, 1)
		a := s.Alerts[0]
		require.Equal(t, qingting.AlertNew, a.State)
		require.Equal(t, qingting.PriorityP1, a.Priority)
		require.Equal(t, "12315", a.Signals[0].Quote)
		require.Equal(t, time.Now().Add(time.Minute), a.Again.Local())
		require.Len(t, g.raised(), 1)

		for i, tier := range []int{1, 2} {
			time.Sleep(59 * time.Second)
			synctest.Wait()
			require.Empty(t, g.raised(), "minute %d", i)
			time.Sleep(time.Second)
			synctest.Wait()
			raised := g.raised()
			require.Len(t, raised, 1, "minute %d", i)
			require.Equal(t, tier, raised[0].Tier)
		}

		g.stop()
		time.Sleep(10 * time.Minute) // nobody is called meanwhile …
		g.start()
		synctest.Wait()
		require.Len(t, g.raised(), 1, "… and once when the service is back")

		claimed, err := g.Claim(t.Context(), live.Step{Tenant: tenant, Alert: a.ID, By: "小王"})
		require.NoError(t, err)
		require.Equal(t, "小王", claimed.Owner)
		require.Nil(t, claimed.Again)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Empty(t, g.raised(), "a claimed alert is quiet")
		history, err := g.store.AlertHistory(t.Context(), tenant, a.ID)
		require.NoError(t, err)
		require.Equal(t, "小王", history[len(history)-1].Actor)
	})
}

func TestAlertSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		id := g.say("c1", qingting.RoleCustomer, "我要打12315").Alerts[0].ID
		by := func(who string) live.Step { return live.Step{Tenant: tenant, Alert: id, By: who} }

		_, err := g.Claim(t.Context(), live.Step{Tenant: "t2", Alert: id, By: "别家"})
		require.ErrorIs(t, err, qingting.ErrNotFound)
		a, err := g.Claim(t.Context(), by("小王"))
		require.NoError(t, err)
		again, err := g.Claim(t.Context(), by("小王"))
		require.NoError(t, err)
		require.Equal(t, a, again, "claiming twice is claiming once")
		_, err = g.Claim(t.Context(), by("小李"))
		require.ErrorIs(t, err, live.ErrState)
		_, err = g.Start(t.Context(), live.Step{Tenant: tenant, Alert: id, By: "小王", Version: a.Version + 7})
		require.ErrorContains(t, err, "请刷新")
		a, err = g.Start(t.Context(), by("小王"))
		require.NoError(t, err)
		require.Equal(t, qingting.AlertInProgress, a.State)
		a, err = g.Escalate(t.Context(), live.Step{Tenant: tenant, Alert: id, By: "小王", Reason: "要总部批"})
		require.NoError(t, err)
		require.Equal(t, []any{qingting.AlertEscalated, 1, ""}, []any{a.State, a.Tier, a.Owner})
		a, err = g.Claim(t.Context(), by("张经理"))
		require.NoError(t, err)
		require.Equal(t, "张经理", a.Owner)
		_, err = g.Dismiss(t.Context(), by("张经理"))
		require.ErrorIs(t, err, qingting.ErrInvalid)
		a, err = g.Dismiss(t.Context(), live.Step{Tenant: tenant, Alert: id, By: "张经理", Reason: "顾客在开玩笑"})
		require.NoError(t, err)
		require.Equal(t, []any{qingting.AlertDismissed, "false_alarm"}, []any{a.State, a.Feedback})
		_, err = g.Resolve(t.Context(), by("张经理"))
		require.ErrorIs(t, err, live.ErrState)
		a, err = g.Feedback(t.Context(), by("张经理"), "useful")
		require.NoError(t, err)
		require.Equal(t, "useful", a.Feedback)
		_, err = g.Feedback(t.Context(), by("张经理"), "不错")
		require.ErrorIs(t, err, qingting.ErrInvalid)
	})
}

// What a person has closed comes back for a new signal or a higher priority
// only; while it is open there is one.
func TestAlertAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		risk := func(s *live.State) (open, all []qingting.Alert) {
			for _, a := range s.Alerts {
				if a.Cause != qingting.CauseRisk {
					continue
				}
				if all = append(all, a); a.State.Open() {
					open = append(open, a)
				}
			}
			return open, all
		}
		g.say("c1", qingting.RoleCustomer, "12315见")
		open, all := risk(g.say("c1", qingting.RoleCustomer, "也要起诉你们"))
		require.Len(t, all, 1)
		require.Len(t, open[0].Signals, 2, "an open alert takes in what is new")
		require.Equal(t, qingting.RiskLow, open[0].Level)
		resolve := func(id string) {
			_, err := g.Resolve(t.Context(), live.Step{Tenant: tenant, Alert: id, By: "小王"})
			require.NoError(t, err)
		}
		resolve(open[0].ID)
		open, _ = risk(g.say("c1", qingting.RoleCustomer, "12315！！说到做到"))
		require.Empty(t, open, "the same threat again")
		open, _ = risk(g.say("c1", qingting.RoleCustomer, "高度不满"))
		require.Empty(t, open, "a level says nothing that was not judged")
		open, all = risk(g.say("c1", qingting.RoleCustomer, "孩子受伤了"))
		require.Len(t, open, 1)
		require.Len(t, all, 2)
		require.Equal(t, qingting.PriorityP0, open[0].Priority)
		g.restart()
		resolve(open[0].ID)
		open, _ = risk(g.say("c1", qingting.RoleCustomer, "受伤，12315，起诉"))
		require.Empty(t, open)

		// A falling risk is noted and closes nothing.
		g.say("c2", qingting.RoleCustomer, "高")
		g.say("c2", qingting.RoleCustomer, "好")
		s := g.say("c2", qingting.RoleCustomer, "好的")
		open, _ = risk(s)
		require.Len(t, open, 1)
		require.Equal(t, qingting.RiskLow, s.Conversation.Overview.Risk)
		require.Equal(t, qingting.RiskLow, open[0].Level)
		history, err := g.store.AlertHistory(t.Context(), tenant, open[0].ID)
		require.NoError(t, err)
		require.Equal(t, "风险从高变为低", history[len(history)-1].Note)
	})
}

func TestShownLevelFallsAtTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		shown := []qingting.RiskLevel{}
		for _, m := range []string{"在吗", "高", "算了", "好吧", "中"} {
			shown = append(shown, g.say("c1", qingting.RoleCustomer, m).Conversation.Overview.Risk)
			g.say("c1", qingting.RoleAgent, "您好")
		}
		require.Equal(t, []qingting.RiskLevel{"low", "high", "high", "low", "medium"}, shown)
		require.Zero(t, g.words.levels.Load(), "messages in order cost one analysis each")
	})
}

// A message that comes between others changes the level before the last one,
// also when it comes while the others are being read.
func TestLateMessageBetween(t *testing.T) {
	for _, meanwhile := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			block := make(chan struct{})
			g := newRig(t, func(p *live.Parts, _ *live.Options) {
				w := &words{block: block}
				p.Pipelines = func(string) (live.Pipeline, error) { return w, nil }
			})
			put := func(seq int, text string) int64 {
				r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Messages: []qingting.Message{{Seq: seq, Role: "customer", Text: text}}})
				require.NoError(t, err)
				return r.Conversation.Version
			}
			put(20, "好")
			version := put(10, "高")
			synctest.Wait()
			if !meanwhile {
				close(block)
				synctest.Wait()
			}
			version = max(version, put(5, "嗯"))
			if meanwhile {
				close(block)
			}
			s, err := g.Wait(t.Context(), key("c1"), version)
			require.NoError(t, err)
			require.Equal(t, qingting.RiskHigh, s.Conversation.Overview.Risk)
		})
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(_ *live.Parts, o *live.Options) { o.Rules.Budget, o.Rules.Again = 2, time.Hour*100 })
		quiet := func(id, text string) bool { return g.say(id, qingting.RoleCustomer, text).Alerts[0].Quiet }
		require.False(t, quiet("c1", "12315"))
		time.Sleep(30 * time.Second)
		require.False(t, quiet("c2", "12315"))
		require.True(t, quiet("c3", "12315"))
		require.False(t, quiet("c4", "受伤了"), "nothing keeps P0 quiet")
		g.restart()
		require.True(t, quiet("c5", "12315"), "the budget outlives a restart")
		s := g.say("c3", qingting.RoleCustomer, "有人受伤")
		require.False(t, s.Alerts[0].Quiet, "a quiet one that becomes P0 calls")
		require.NotNil(t, s.Alerts[0].Again)
		time.Sleep(time.Hour)
		for _, id := range []string{"c1", "c2", "c3", "c4", "c5"} { // so that no clock calls
			_, err := g.Close(t.Context(), key(id), qingting.Closing{Outcome: qingting.OutcomeResolved})
			require.NoError(t, err)
		}
		time.Sleep(time.Hour)
		require.False(t, quiet("c6", "12315"), "an hour later there is a new budget")
	})
}

// Below the threshold an alert is on the board and calls nobody, until the
// probability rises above it or it becomes P0.
func TestThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(_ *live.Parts, o *live.Options) { o.Rules.Threshold, o.Rules.Again = 0.5, time.Hour })
		s := g.say("c1", qingting.RoleCustomer, "12315")
		require.True(t, s.Alerts[0].Quiet)
		require.Nil(t, s.Alerts[0].Again)
		s = g.say("c1", qingting.RoleCustomer, "我肯定去")
		require.Len(t, s.Alerts, 1)
		require.False(t, s.Alerts[0].Quiet)
		require.NotNil(t, s.Alerts[0].Again)
		require.False(t, g.say("c2", qingting.RoleCustomer, "12315，肯定去").Alerts[0].Quiet)
		require.False(t, g.say("c3", qingting.RoleCustomer, "受伤了").Alerts[0].Quiet, "nothing keeps P0 quiet")
	})
}

// Where nobody is left to ask, the pauses grow to a quarter of an hour: a
// hundred calls in a day, not a thousand.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		a := g.say("c1", qingting.RoleCustomer, "再不处理我打12315").Alerts[0]
		calls := func() int {
			history, err := g.store.AlertHistory(t.Context(), tenant, a.ID)
			require.NoError(t, err)
			return len(history)
		}
		require.Equal(t, 1, calls())
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Equal(t, 1+4, calls(), "after 1, 2, 3 and 6 minutes")
		time.Sleep(23*time.Hour + 50*time.Minute)
		synctest.Wait()
		require.InDelta(t, 100, calls(), 5)
	})
}

func TestPromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		g.say("c1", qingting.RoleCustomer, "什么时候退")
		s := g.say("c1", qingting.RoleAgent, "我三小时内退款给您")
		require.Len(t, s.Promises, 1)
		require.Equal(t, qingting.PromiseOpen, s.Promises[0].State)
		require.Len(t, g.events(qingting.EventPromise), 1)

		time.Sleep(2*time.Hour + 20*time.Minute)
		g.restart()
		time.Sleep(3 * time.Minute) // 80 % of three hours are 2 h 24 min, half an hour before is later
		synctest.Wait()
		require.False(t, g.state("c1").Promises[0].Warned)
		time.Sleep(7*time.Minute + time.Millisecond)
		synctest.Wait()
		require.True(t, g.state("c1").Promises[0].Warned)
		require.Equal(t, qingting.PromiseOpen, g.state("c1").Promises[0].State)
		require.Len(t, g.events(qingting.EventPromise), 1)

		time.Sleep(29 * time.Minute)
		synctest.Wait()
		require.Empty(t, g.events(qingting.EventAlertRaised))
		g.stop()
		time.Sleep(5 * time.Minute) // it breaks while nobody looks
		g.start()
		synctest.Wait()
		s = g.state("c1")
		require.Equal(t, qingting.PromiseBroken, s.Promises[0].State)
		require.Len(t, s.Alerts, 1)
		require.Equal(t, qingting.CausePromise, s.Alerts[0].Cause)
		require.Equal(t, s.Promises[0].ID, s.Alerts[0].Subject)
		require.Equal(t, "我三小时内退款给您", s.Alerts[0].Signals[0].Quote)

		p, err := g.SettlePromise(t.Context(), key("c1"), s.Promises[0].ID, qingting.PromiseKept, "小王")
		require.NoError(t, err)
		require.Equal(t, qingting.PromiseKept, p.State)
		s = g.say("c1", qingting.RoleCustomer, "收到了")
		require.Equal(t, qingting.PromiseKept, s.Promises[0].State, "an analysis changes no promise")
		require.Equal(t, qingting.AlertResolved, s.Alerts[0].State)
		_, err = g.SettlePromise(t.Context(), key("c1"), p.ID, qingting.PromiseCancelled, "小王")
		require.ErrorIs(t, err, live.ErrState)
		_, err = g.SettlePromise(t.Context(), key("c1"), "没有", qingting.PromiseKept, "小王")
		require.ErrorIs(t, err, qingting.ErrNotFound)
	})
}

// The clocks of the service rules: warned at four fifths, broken at the end,
// and met by an answer.
func TestClocks(t *testing.T) {
	tests := []struct {
		name, text string
		clock      live.ClockName
		limit      time.Duration
	}{
		{"P0 person", "孩子受伤了", live.ClockHuman, 3 * time.Minute},
		{"P1 person", "我打12315", live.ClockHuman, 3 * time.Minute},
		{"P1 progress", "我打12315", live.ClockProgress, 2 * time.Hour},
		{"P2 answer", "我要投诉", live.ClockAnswer, 30 * time.Minute},
		{"P3 answer", "请问几点开门", live.ClockAnswer, 24 * time.Hour},
		{"note", "我要投诉", live.ClockNote, 24 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, func(_ *live.Parts, o *live.Options) { o.Rules.Again = 100 * time.Hour })
				g.say("c1", qingting.RoleCustomer, tt.text)
				c := g.clock("c1", tt.clock)
				require.NotNil(t, c)
				require.Equal(t, live.ClockRunning, c.State)
				require.Equal(t, tt.limit, c.Due.Sub(c.Started))
				warn := tt.limit * 8 / 10
				time.Sleep(warn / 2)
				g.restart() // timers are worked out from the store
				time.Sleep(warn - warn/2 - time.Second)
				synctest.Wait()
				require.NotContains(t, sla(g.state("c1")), string(tt.clock))
				time.Sleep(time.Second + time.Millisecond)
				synctest.Wait()
				require.Contains(t, sla(g.state("c1")), string(tt.clock))
				require.Equal(t, live.ClockRunning, g.clock("c1", tt.clock).State)
				time.Sleep(tt.limit - warn)
				synctest.Wait()
				require.Equal(t, live.ClockBroken, g.clock("c1", tt.clock).State)
			})
		})
	}
}

func TestClockMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(_ *live.Parts, o *live.Options) { o.Rules.Again = 1000 * time.Hour })
		s := g.say("c1", qingting.RoleCustomer, "孩子受伤了")
		require.Equal(t, live.ClockMet, g.clock("c1", live.ClockAlert).State, "the alert is up at once")
		time.Sleep(time.Minute)
		_, err := g.Claim(t.Context(), live.Step{Tenant: tenant, Alert: s.Alerts[0].ID, By: "小王"})
		require.NoError(t, err)
		require.Equal(t, live.ClockMet, g.clock("c1", live.ClockHuman).State)
		require.Equal(t, live.ClockRunning, g.clock("c1", live.ClockProgress).State)
		g.restart()
		require.Equal(t, live.ClockMet, g.clock("c1", live.ClockHuman).State, "who claimed it is in the store")
		time.Sleep(100 * time.Minute)
		synctest.Wait()
		require.Equal(t, qingting.AlertNew, sla(g.state("c1"))["progress"].State)
		g.say("c1", qingting.RoleAgent, "已联系医院，费用我们先垫付")
		require.Equal(t, live.ClockMet, g.clock("c1", live.ClockProgress).State)
		synctest.Wait()
		require.Equal(t, qingting.AlertResolved, sla(g.state("c1"))["progress"].State, "a warning in time is taken back")

		g.say("c2", qingting.RoleCustomer, "我要投诉")
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		require.Contains(t, sla(g.state("c2")), "answer")
		_, err = g.Close(t.Context(), key("c2"), qingting.Closing{By: "小王", Outcome: qingting.OutcomeResolved})
		require.NoError(t, err)
		require.Equal(t, qingting.AlertResolved, sla(g.state("c2"))["answer"].State)
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		require.Len(t, g.state("c2").Alerts, 1, "a closed conversation has no clocks")
		reopened := g.say("c2", qingting.RoleCustomer, "还是没解决，投诉")
		require.Equal(t, qingting.ConversationOpen, reopened.Conversation.State)
	})
}

// A panic in one conversation is contained, and its timers go on.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(p *live.Parts, _ *live.Options) { p.Plain = &words{} })
		g.say("c0", qingting.RoleCustomer, "12315")
		wait := func(id, text string) error {
			r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: id, Messages: []qingting.Message{{Role: "customer", Text: text}}})
			require.NoError(t, err)
			_, err = g.Wait(t.Context(), key(id), r.Conversation.Version)
			return err
		}
		require.ErrorIs(t, wait("c0", "恐慌"), live.ErrAnalysis)
		require.True(t, g.state("c0").Failed)
		require.NoError(t, wait("c1", "您好"), "others are read")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.EqualValues(t, 1, g.Stats().Panics, "nobody tries it again and again")
		require.Equal(t, 2, g.state("c0").Alerts[0].Tier, "its alert goes up all the same")

		for _, id := range []string{"p1", "p2", "p3"} {
			require.ErrorIs(t, wait(id, "恐慌"), live.ErrAnalysis)
		}
		require.True(t, g.Stats().Reduced)
		require.NoError(t, wait("c1", "还在吗"))
		require.Contains(t, string(g.state("c1").Analysis), `"mode":"degraded"`)
		require.Contains(t, string(g.state("c1").Analysis), `"component":"analysis","code":"panics"`)
		g.restart()
		require.NoError(t, wait("c2", "您好"))
		time.Sleep(2*time.Minute + time.Second)
		synctest.Wait()
		require.NotContains(t, string(g.state("c2").Analysis), "degraded")
	})
}

func TestReducedIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(p *live.Parts, _ *live.Options) { p.Plain = &words{} })
		for _, id := range []string{"p1", "p2", "p3"} {
			r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: id, Messages: []qingting.Message{{Role: "customer", Text: "恐慌"}}})
			require.NoError(t, err)
			_, err = g.Wait(t.Context(), key(id), r.Conversation.Version)
			require.ErrorIs(t, err, live.ErrAnalysis)
		}
		require.Contains(t, string(g.say("c1", qingting.RoleCustomer, "您好").Analysis), "degraded")
		time.Sleep(61 * time.Second)
		synctest.Wait()
		require.NotContains(t, string(g.state("c1").Analysis), "degraded")
	})
}

func TestIngest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		no := false
		r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", CustomerRef: "13912345678", Messages: []qingting.Message{
			{ID: "a", Role: qingting.RoleCustomer, Text: "我电话13912345678，快递没到😤"},
			{ID: "b", Role: qingting.RoleCustomer, Text: "你们到底", IsFinal: &no},
			{ID: "a", Role: qingting.RoleCustomer, Text: "我电话13912345678，快递没到😤"},
		}})
		require.NoError(t, err)
		require.Equal(t, []live.Result{
			{MessageID: "a", Seq: 1, Status: live.StatusCreated}, {MessageID: "b", Status: live.StatusPartial}, {MessageID: "a", Seq: 1, Status: live.StatusDuplicate},
		}, r.Results)
		require.EqualValues(t, 1, r.Conversation.Version)
		require.Regexp(t, `^ref_[0-9a-f]{32}$`, r.Conversation.CustomerRef)
		s, err := g.Wait(t.Context(), key("c1"), 1)
		require.NoError(t, err)
		require.Len(t, s.Messages, 1)
		require.Equal(t, "我电话***********，快递没到😤", s.Messages[0].Text)
		require.Contains(t, string(s.Analysis), `"kind":"phone","value":"***********"`)

		synctest.Wait()
		var kinds []qingting.EventType
		var seqs []int64
		for _, e := range g.events(qingting.EventConversation, qingting.EventMessage, qingting.EventPartial, qingting.EventAnalysis) {
			kinds, seqs = append(kinds, e.Type), append(seqs, e.Seq)
			require.NotContains(t, string(e.JSON), "13912345678")
		}
		require.Equal(t, []qingting.EventType{"conversation.updated", "message.created", "message.partial", "analysis.updated"}, kinds)
		require.Equal(t, []int64{1, 1, 1, 1}, seqs)

		again, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Messages: []qingting.Message{{ID: "a", Role: qingting.RoleCustomer, Text: "我电话13912345678，快递没到😤"}}})
		require.NoError(t, err)
		require.EqualValues(t, 1, again.Conversation.Version, "a delivery again changes nothing")
		_, err = g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Messages: []qingting.Message{{ID: "a", Role: qingting.RoleCustomer, Text: "别的"}}})
		require.ErrorContains(t, err, "message_id")
		_, err = g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Messages: []qingting.Message{{Role: "店小二", Text: "在"}}})
		require.ErrorIs(t, err, qingting.ErrInvalid)
		only, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "新的", Messages: []qingting.Message{{Role: qingting.RoleCustomer, Text: "12315", IsFinal: &no}}})
		require.NoError(t, err)
		require.Equal(t, []live.Result{{Status: live.StatusPartial}}, only.Results)
		_, err = g.State(t.Context(), key("新的"))
		require.ErrorIs(t, err, qingting.ErrNotFound, "an unfinished sentence is not kept")
		_, err = g.State(t.Context(), qingting.Key{Tenant: "t2", ID: "c1"})
		require.ErrorIs(t, err, qingting.ErrNotFound)
		_, err = g.Wait(t.Context(), key("c1"), 9)
		require.ErrorIs(t, err, qingting.ErrInvalid)
	})
}

// Memory holds so many messages and no more; what was dropped is read from the
// store again.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(_ *live.Parts, o *live.Options) { o.Messages = 10 })
		for round := range 2 {
			for i := range 20 {
				id := fmt.Sprintf("c%d", i)
				s := g.say(id, qingting.RoleCustomer, "在吗")
				require.Len(t, s.Messages, round+1)
				synctest.Wait()
				require.LessOrEqual(t, g.Stats().Messages, 10)
			}
		}
		st := g.Stats()
		require.Greater(t, st.Evictions, int64(20))
		require.GreaterOrEqual(t, st.Loads, int64(20))
		require.LessOrEqual(t, st.Conversations, 10)
	})
}

// Whoever listens hears of the messages of a conversation in the order of its
// versions, however many write at once, and of an analysis after what it read.
func TestEventsInOrder(t *testing.T) {
	g := newRig(t, func(_ *live.Parts, o *live.Options) { o.Behind = 1000 })
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 10 {
				_, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Messages: []qingting.Message{
					{ID: fmt.Sprintf("%d-%d", w, i), Role: qingting.RoleCustomer, Text: "在吗"},
				}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	s, err := g.Wait(t.Context(), key("c1"), 80)
	require.NoError(t, err)
	require.Len(t, s.Messages, 80)
	said, read := int64(0), int64(0)
	for _, e := range g.events(qingting.EventMessage, qingting.EventAnalysis) {
		if e.Type == qingting.EventMessage {
			said++
			require.Equal(t, said, e.Seq)
			continue
		}
		require.Greater(t, e.Seq, read)
		require.LessOrEqual(t, e.Seq, said)
		read = e.Seq
	}
	require.EqualValues(t, 80, said)
	require.EqualValues(t, 80, read)
	require.Less(t, g.words.calls.Load(), int64(81), "several messages are read at once")
}

func TestEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		g.say("c1", qingting.RoleCustomer, "快递还没到，投诉")
		time.Sleep(time.Hour)
		g.say("c2", qingting.RoleCustomer, "发票呢")
		time.Sleep(time.Hour)
		s := g.say("c3", qingting.RoleCustomer, "快递又没到！")
		require.Equal(t, []string{"c1"}, s.Conversation.Earlier)
		g.restart()
		require.Equal(t, []string{"c1"}, g.say("c3", qingting.RoleCustomer, "人呢").Conversation.Earlier)
	})
}

// When too many conversations wait, messages are refused before anything is
// written; what was acknowledged is read.
func TestBusyAndDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		g := newRig(t, func(p *live.Parts, o *live.Options) {
			o.Workers, o.Queue = 1, 2
			w := &words{block: block}
			p.Pipelines = func(string) (live.Pipeline, error) { return w, nil }
		})
		put := func(id string) error {
			_, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: id, Messages: []qingting.Message{{Role: "customer", Text: "在吗"}}})
			return err
		}
		for _, id := range []string{"c1", "c2", "c3", "c4"} {
			require.NoError(t, put(id))
		}
		synctest.Wait() // the workers have them
		require.NoError(t, put("c5"))
		require.NoError(t, put("c6"))
		require.ErrorIs(t, put("c7"), live.ErrBusy)
		require.NoError(t, put("c6"), "one that waits already is no more work")
		_, err := g.State(t.Context(), key("c7"))
		require.ErrorIs(t, err, qingting.ErrNotFound)
		require.Equal(t, 2, g.Stats().Waiting)
		require.EqualValues(t, 1, g.Stats().Refused)

		time.AfterFunc(time.Second, func() { close(block) })
		g.stop()
		for _, id := range []string{"c1", "c2", "c3", "c4", "c5", "c6"} {
			c, err := g.store.Conversation(t.Context(), key(id))
			require.NoError(t, err)
			require.Equal(t, c.Version, c.Analysed, id)
		}
		require.ErrorIs(t, put("c8"), live.ErrClosed)
		_, err = g.Subscribe(live.Filter{Tenant: tenant}, "")
		require.ErrorIs(t, err, live.ErrClosed)
	})
}

// What was acknowledged and not read before the end is read after the start.
func TestBehindIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		g.stop()
		s, err := live.New(g.parts, g.opt) // nobody runs it
		require.NoError(t, err)
		_, err = s.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Messages: []qingting.Message{{Role: "customer", Text: "12315"}}})
		require.NoError(t, err)
		g.start()
		synctest.Wait()
		require.Len(t, g.state("c1").Alerts, 1)
	})
}

func TestTeams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		id := g.say("c1", qingting.RoleCustomer, "12315").Alerts[0].ID
		c, err := g.SetTeam(t.Context(), key("c1"), "二组")
		require.NoError(t, err)
		require.Equal(t, "二组", c.Team)
		a, err := g.Claim(t.Context(), live.Step{Tenant: tenant, Alert: id, By: "小李"})
		require.NoError(t, err, "the store has changed the alert too")
		require.Equal(t, "二组", a.Team)
		c, err = g.SetAgent(t.Context(), key("c1"), "小李")
		require.NoError(t, err)
		require.Equal(t, "小李", c.Agent)
	})
}
