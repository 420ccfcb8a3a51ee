package live

import (
	"context"
	"fmt"
	"slices"

	"github.com/qingting-ai/qingting"
)

// Close ends a conversation. Its clocks stop, and warnings about them are
// taken back; alerts about risk and broken promises stay until somebody closes
// them.
func (s *Service) Close(ctx context.Context, key qingting.Key, how qingting.Closing) (qingting.Conversation, error) {
	if how.At.IsZero() {
		how.At = s.now()
	}
	return s.change(ctx, key, func(r *record) (qingting.Conversation, error) {
		after := r.meta
		after.State, after.Closing = qingting.ConversationClosed, &how
		return s.parts.Store.CloseConversation(ctx, key, how, s.outbox([]qingting.Event{s.event(&after, qingting.EventConversation, after)}))
	}, func(r *record) error {
		for _, a := range copied(r.alerts) {
			if a.Cause != qingting.CauseSLA || !a.State.Open() {
				continue
			}
			if _, err := s.changeAlert(ctx, r, s.settle(a, how.By, "会话已结束", s.now()), qingting.EventAlertChanged); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetAgent gives a conversation to a user; "" takes it away.
func (s *Service) SetAgent(ctx context.Context, key qingting.Key, agent string) (qingting.Conversation, error) {
	return s.change(ctx, key, func(r *record) (qingting.Conversation, error) {
		after := r.meta
		after.Agent = agent
		return s.parts.Store.SetAgent(ctx, key, agent, s.outbox([]qingting.Event{s.event(&after, qingting.EventConversation, after)}))
	}, nil)
}

// SetTeam moves a conversation to a team, with its open alerts and promises.
func (s *Service) SetTeam(ctx context.Context, key qingting.Key, team string) (qingting.Conversation, error) {
	return s.change(ctx, key, func(r *record) (qingting.Conversation, error) {
		after := r.meta
		after.Team = team
		return s.parts.Store.SetTeam(ctx, key, team, s.outbox([]qingting.Event{s.event(&after, qingting.EventConversation, after)}))
	}, func(r *record) error { return s.moved(ctx, r) })
}

// followTeam gives open alerts and promises the team of the conversation where
// a message has filled it in after they were raised. The lock is held.
func (s *Service) followTeam(ctx context.Context, r *record) error {
	if r.meta.Team == "" ||
		!slices.ContainsFunc(r.alerts, func(a qingting.Alert) bool { return a.Team == "" && a.State.Open() }) &&
			!slices.ContainsFunc(r.promises, func(p qingting.Promise) bool { return p.Team == "" && p.State == qingting.PromiseOpen }) {
		return nil
	}
	kept, err := s.parts.Store.SetTeam(ctx, r.key, r.meta.Team, s.outbox([]qingting.Event{s.event(&r.meta, qingting.EventConversation, r.meta)}))
	if err != nil {
		return fmt.Errorf("set team: %w", err)
	}
	r.meta = kept
	s.publish(s.event(&kept, qingting.EventConversation, kept))
	return s.moved(ctx, r)
}

// moved reads the alerts and promises again, which the store has given another
// team. The lock is held.
func (s *Service) moved(ctx context.Context, r *record) (err error) {
	if err = s.loadAlerts(ctx, r); err == nil {
		r.promises, err = s.parts.Store.Promises(ctx, r.key)
	}
	if err != nil {
		s.unload(r)
	}
	return err
}

// change writes a change of a conversation, tells listeners, does what follows
// from it, and looks at its timers.
func (s *Service) change(ctx context.Context, key qingting.Key, write func(*record) (qingting.Conversation, error), then func(*record) error) (qingting.Conversation, error) {
	var out qingting.Conversation
	err := s.with(ctx, key, func(r *record) (err error) {
		if out, err = write(r); err != nil {
			return err
		}
		r.meta = out
		s.publish(s.event(&out, qingting.EventConversation, out))
		if then != nil {
			if err := then(r); err != nil {
				return err
			}
		}
		return s.tick(ctx, r)
	})
	return out, err
}
