package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

func newAlert(key qingting.Key, id string) qingting.Alert {
	again := received.Add(time.Minute)
	return qingting.Alert{
		Tenant: key.Tenant, ID: id, Conversation: key.ID, Team: "华东", Cause: qingting.CauseRisk, State: qingting.AlertNew,
		Level: qingting.RiskHigh, Priority: "P1", Score: 0.75,
		Signals: []qingting.Signal{{Code: "regulator", Source: "rule:x", Weight: 0.5, Span: qingting.Span{Message: 0, MessageID: "m1", Start: 2, End: 7, Quote: "12315"}}},
		Raised:  received, Updated: received, Again: &again,
	}
}

func TestAlertLife(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "c"}
	_, err := s.ChangeAlert(ctx, AlertChange{Alert: newAlert(key, "a")}, nil)
	require.ErrorIs(t, err, qingting.ErrNotFound, "no such conversation")
	say(t, s, key, message("m1", 0, "我打12315"))
	a, err := s.ChangeAlert(ctx, AlertChange{Alert: newAlert(key, "a"), Event: qingting.AlertEvent{To: qingting.AlertNew, At: received, Note: "规则"}}, []hook.Item{{Tenant: "t", Event: "raised"}})
	require.NoError(t, err)
	want := newAlert(key, "a")
	want.Version = 1
	require.Equal(t, want, a)
	kept, err := s.Alert(ctx, "t", "a")
	require.NoError(t, err)
	require.Equal(t, want, kept)

	_, err = s.ChangeAlert(ctx, AlertChange{Alert: newAlert(key, "b")}, nil)
	require.ErrorIs(t, err, ErrConflict, "one open alert of a cause")
	other := newAlert(key, "b")
	other.Cause, other.Subject = qingting.CauseSLA, "first_answer"
	_, err = s.ChangeAlert(ctx, AlertChange{Alert: other}, nil)
	require.NoError(t, err)

	a.State, a.Owner, a.Again = qingting.AlertClaimed, "u1", nil
	a, err = s.ChangeAlert(ctx, AlertChange{Alert: a, Event: qingting.AlertEvent{At: received.Add(time.Second), Actor: "u1", From: qingting.AlertNew, To: qingting.AlertClaimed}}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, a.Version)
	stale := a
	stale.Version, stale.Owner = 1, "u2"
	_, err = s.ChangeAlert(ctx, AlertChange{Alert: stale, Event: qingting.AlertEvent{To: qingting.AlertClaimed}}, []hook.Item{{Tenant: "t", Event: "不能留下"}})
	require.ErrorIs(t, err, ErrConflict)
	unknown := a
	unknown.ID = "没有"
	_, err = s.ChangeAlert(ctx, AlertChange{Alert: unknown}, nil)
	require.ErrorIs(t, err, qingting.ErrNotFound)

	a.State = qingting.AlertResolved
	a, err = s.ChangeAlert(ctx, AlertChange{Alert: a}, nil)
	require.NoError(t, err)
	b := newAlert(key, "")
	b, err = s.ChangeAlert(ctx, AlertChange{Alert: b}, nil)
	require.NoError(t, err, "the first is not open any more")
	require.NotEmpty(t, b.ID)

	a, err = s.AlertFeedback(ctx, "t", "a", AlertFalseAlarm, "u1", received.Add(time.Hour), nil)
	require.NoError(t, err)
	require.Equal(t, AlertFalseAlarm, a.Feedback)
	require.EqualValues(t, 4, a.Version)
	_, err = s.AlertFeedback(ctx, "t", "a", "好", "u1", received, nil)
	require.ErrorIs(t, err, qingting.ErrInvalid)
	history, err := s.AlertHistory(ctx, "t", "a")
	require.NoError(t, err)
	require.Equal(t, []qingting.AlertEvent{
		{Alert: "a", At: received, To: qingting.AlertNew, Note: "规则"},
		{Alert: "a", At: received.Add(time.Second), Actor: "u1", From: qingting.AlertNew, To: qingting.AlertClaimed},
		{Alert: "a", At: received.Add(time.Hour), Actor: "u1", From: qingting.AlertResolved, To: qingting.AlertResolved, Note: AlertFalseAlarm},
	}, history)
	history, err = s.AlertHistory(ctx, "t", b.ID)
	require.NoError(t, err)
	require.Empty(t, history)
	items, _, err := s.Outbox(ctx, "t", OutboxFilter{}, "", 0)
	require.NoError(t, err)
	require.Len(t, items, 1)
	of, err := s.AlertsOf(ctx, key)
	require.NoError(t, err)
	require.Len(t, of, 3)
	opened, err := s.OpenAlerts(ctx)
	require.NoError(t, err)
	require.Len(t, opened, 2)
}

// Several claim one alert at once: one of them gets it.
func TestOneClaimWins(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "c"}
	say(t, s, key, message("m1", 0, "我打12315"))
	a, err := s.ChangeAlert(ctx, AlertChange{Alert: newAlert(key, "a")}, nil)
	require.NoError(t, err)
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			mine := a
			mine.State, mine.Owner = qingting.AlertClaimed, fmt.Sprint("u", i)
			if got, err := s.ChangeAlert(ctx, AlertChange{Alert: mine}, nil); err == nil {
				won.Add(1)
				if got.Owner != mine.Owner {
					t.Errorf("%s got %s", mine.Owner, got.Owner)
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, won.Load())
}

func TestAlertList(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	for i, c := range []string{"a", "b", "c", "d"} {
		key := qingting.Key{Tenant: "t", ID: "c" + c}
		say(t, s, key, message("m1", 0, "我打12315"))
		a := newAlert(key, c)
		a.Raised = received.Add(time.Duration(i/2) * time.Minute) // two at a time
		switch c {
		case "b":
			a.Team, a.Quiet = "华南", true
		case "c":
			a.State, a.Owner, a.Level, a.Priority = qingting.AlertResolved, "u1", qingting.RiskMedium, "P0"
		case "d":
			a.Cause, a.State = qingting.CausePromise, qingting.AlertEscalated
		}
		_, err := s.ChangeAlert(ctx, AlertChange{Alert: a}, nil)
		require.NoError(t, err)
	}
	for _, tt := range []struct {
		name   string
		filter AlertFilter
		want   string
	}{
		{"all", AlertFilter{}, "dcba"},
		{"open", AlertFilter{Open: true}, "dba"},
		{"states", AlertFilter{States: []qingting.AlertState{qingting.AlertNew, qingting.AlertResolved}}, "cba"},
		{"team", AlertFilter{Teams: []string{"华南"}}, "b"},
		{"teams, open", AlertFilter{Teams: []string{"华南", "华东"}, Open: true}, "dba"},
		{"conversation", AlertFilter{Conversation: "cc"}, "c"},
		{"cause", AlertFilter{Cause: qingting.CausePromise}, "d"},
		{"level", AlertFilter{Level: []qingting.RiskLevel{qingting.RiskMedium}}, "c"},
		{"priority", AlertFilter{Priority: []qingting.Priority{"P0"}}, "c"},
		{"owner", AlertFilter{Owner: "u1"}, "c"},
		{"from", AlertFilter{From: received.Add(time.Minute)}, "dc"},
		{"to", AlertFilter{To: received.Add(time.Minute)}, "ba"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, cursor := "", ""
			for {
				page, next, err := s.Alerts(ctx, "t", tt.filter, cursor, 1)
				require.NoError(t, err)
				for _, a := range page {
					got += a.ID
				}
				if cursor = next; cursor == "" {
					break
				}
			}
			require.Equal(t, tt.want, got)
		})
	}
	n, err := s.LoudAlerts(ctx, "t", "华东", received)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	n, err = s.LoudAlerts(ctx, "t", "华东", received.Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, 2, n)
	n, err = s.LoudAlerts(ctx, "t", "华南", received)
	require.NoError(t, err)
	require.Zero(t, n, "it called nobody")
}

func TestPromises(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "c"}
	say(t, s, key, message("m1", 0, "快点"))
	soon, later := received.Add(time.Hour), received.Add(2*time.Hour)
	_, err := s.SaveAnalysis(ctx, AnalysisRecord{Key: key, Version: 1, Promises: []qingting.Promise{
		{ID: "later", Due: &later, Span: qingting.Span{Message: 2}}, {ID: "soon", Due: &soon, Span: qingting.Span{Message: 1}}, {ID: "some day"},
	}})
	require.NoError(t, err)
	ids := func(promises []qingting.Promise, err error) (out []string) {
		require.NoError(t, err)
		for _, p := range promises {
			out = append(out, p.ID)
		}
		return out
	}
	require.Equal(t, []string{"some day", "soon", "later"}, ids(s.Promises(ctx, key)))
	require.Equal(t, []string{"some day", "soon", "later"}, ids(s.OpenPromises(ctx)))
	require.Equal(t, []string{"soon"}, ids(s.PromisesDue(ctx, "t", later, 0)))
	p, err := s.Promise(ctx, key, "soon")
	require.NoError(t, err)
	p.State, p.Due = qingting.PromiseBroken, nil
	alert := newAlert(key, "a")
	alert.Cause, alert.Subject = qingting.CausePromise, "soon"
	_, err = s.ChangePromise(ctx, PromiseChange{Promise: p, From: qingting.PromiseOpen, Alerts: []AlertChange{{Alert: alert}}}, []hook.Item{{Tenant: "t"}})
	require.NoError(t, err)
	_, err = s.Alert(ctx, "t", "a")
	require.NoError(t, err)
	require.Equal(t, []string{"some day", "later"}, ids(s.OpenPromises(ctx)))
	p.ID = "没有"
	_, err = s.ChangePromise(ctx, PromiseChange{Promise: p, From: qingting.PromiseOpen}, nil)
	require.ErrorIs(t, err, qingting.ErrNotFound)
}

func TestFeedback(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "c"}
	f := qingting.Feedback{
		Tenant: "t", Conversation: "c", Suggestion: qingting.Suggestion{ID: "s", Style: qingting.StyleRational, Text: "马上为您退款", Steps: []string{"核对"}},
		Action: qingting.FeedbackEdited, Text: "已为您退款", Reason: "太长", By: "u1", At: received,
	}
	_, err := s.AddFeedback(ctx, f)
	require.ErrorIs(t, err, qingting.ErrNotFound)
	say(t, s, key, message("m1", 0, "快点"))
	f, err = s.AddFeedback(ctx, f)
	require.NoError(t, err)
	_, err = s.AddFeedback(ctx, f)
	require.ErrorIs(t, err, ErrConflict)
	second := f
	second.ID, second.Action, second.At = "", qingting.FeedbackRejected, received.Add(time.Minute)
	second, err = s.AddFeedback(ctx, second)
	require.NoError(t, err)
	got, err := s.FeedbackOf(ctx, key)
	require.NoError(t, err)
	require.Equal(t, []qingting.Feedback{f, second}, got)
	counts, err := s.FeedbackCounts(ctx, "t", received, received.Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, map[qingting.FeedbackAction]int{qingting.FeedbackEdited: 1}, counts)
}
