package live_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/live"
)

// TestPastConversationsCallNobody: what was over when it came in raises no
// alert, however bad it was, until somebody says something new.
func TestPastConversationsCallNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		age   time.Duration // of the messages when they arrive; 0: nobody knows
		quiet bool
	}{"一个月前": {30 * 24 * time.Hour, true}, "昨天这时": {24*time.Hour + time.Second, true}, "今天": {23 * time.Hour, false}, "没有时间": {0, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				messages := []qingting.Message{
					{ID: "m1", Role: qingting.RoleCustomer, Text: "孩子受伤了，高，我打12315"},
					{ID: "m2", Role: qingting.RoleAgent, Text: "我三小时内退款给您"},
				}
				for i := range messages {
					if tt.age > 0 {
						messages[i].SentAt = time.Now().Add(-tt.age)
					}
				}
				r, err := g.Ingest(t.Context(), live.IngestRequest{Tenant: tenant, Conversation: "c1", Team: "一组", Messages: messages})
				require.NoError(t, err)
				s, err := g.Wait(t.Context(), key("c1"), r.Conversation.Version)
				require.NoError(t, err)
				require.Equal(t, qingting.RiskHigh, s.Conversation.Overview.Risk, "what it was is shown all the same")
				require.Equal(t, tt.quiet, len(s.Alerts) == 0)
				g.restart()
				time.Sleep(30 * time.Hour) // clocks run out and the promise breaks
				synctest.Wait()
				require.Equal(t, tt.quiet, len(g.state("c1").Alerts) == 0)
				if !tt.quiet {
					return
				}
				require.Empty(t, g.events(qingting.EventAlertRaised))
				s = g.say("c1", qingting.RoleCustomer, "还是没人管，高")
				require.NotEmpty(t, s.Alerts)
				require.Equal(t, qingting.CauseRisk, s.Alerts[0].Cause)
				require.False(t, s.Alerts[0].Quiet)
			})
		})
	}
}
