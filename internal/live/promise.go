package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

// found returns the promises that are new, or whose words have moved. The lock
// is held.
func (s *Service) found(r *record, promises []qingting.Promise, now time.Time) []qingting.Promise {
	var out []qingting.Promise
	for _, p := range promises {
		i := slices.IndexFunc(r.promises, func(k qingting.Promise) bool { return k.ID == p.ID })
		if i >= 0 && r.promises[i].Span == p.Span || slices.ContainsFunc(out, func(o qingting.Promise) bool { return o.ID == p.ID }) {
			continue
		}
		p.Tenant, p.Conversation, p.Team = r.key.Tenant, r.key.ID, r.meta.Team
		p.State, p.Warned, p.Updated = qingting.PromiseOpen, false, now
		if p.Due != nil {
			due := p.Due.UTC().Truncate(time.Microsecond)
			p.Due = &due
			if due.Year() > 9999 { // no JSON can say it
				p.Due = nil
			}
		}
		if i >= 0 { // its state is kept
			span := p.Span
			p = r.promises[i]
			p.Span = span
		}
		out = append(out, p)
	}
	return out
}

// warnAt is when people are told that a promise is about to break: WarnPromise
// before it is due, or after Warn of its time when that is later. said is zero
// when nobody knows when it was made.
func (u *Rules) warnAt(p *qingting.Promise, said time.Time) time.Time {
	at := p.Due.Add(-u.WarnPromise)
	if said.IsZero() {
		return at
	}
	if share := said.Add(time.Duration(float64(p.Due.Sub(said)) * u.Warn)); share.After(at) {
		return share
	}
	return at
}

// said is when the words of a promise were received.
func (r *record) said(p *qingting.Promise) time.Time {
	for _, m := range r.messages {
		if m.ID == p.MessageID {
			return m.Received
		}
	}
	return time.Time{}
}

// tickPromises warns of promises and breaks them, and returns the next time
// one is due. The lock is held.
func (s *Service) tickPromises(ctx context.Context, r *record, now time.Time) (next time.Time, err error) {
	for i := range r.promises {
		p := r.promises[i]
		if p.State != qingting.PromiseOpen || p.Due == nil {
			continue
		}
		warn := s.opt.Rules.warnAt(&p, r.said(&p))
		change := store.PromiseChange{From: qingting.PromiseOpen}
		var events []qingting.Event
		switch {
		case !now.Before(*p.Due):
			p.State, p.Warned = qingting.PromiseBroken, true
			if alert := s.broken(ctx, r, &p, now); alert != nil {
				change.Alerts = []store.AlertChange{*alert}
				told := alert.Alert
				told.Version++
				events = append(events, s.event(&r.meta, qingting.EventAlertRaised, told))
			}
		case !p.Warned && !now.Before(warn):
			p.Warned = true
			next = sooner(next, *p.Due)
		case p.Warned:
			next = sooner(next, *p.Due)
			continue
		default:
			next = sooner(next, warn)
			continue
		}
		p.Updated, change.Promise = now, p
		events = append(events, s.event(&r.meta, qingting.EventPromise, p))
		if err := s.changePromise(ctx, r, i, change, events); err != nil {
			return next, err
		}
	}
	return next, nil
}

// broken is the alert about a promise that was not kept; nil when there is one
// already, or the conversation is past.
func (s *Service) broken(ctx context.Context, r *record, p *qingting.Promise, now time.Time) *store.AlertChange {
	if r.past() || slices.ContainsFunc(r.alerts, func(a qingting.Alert) bool {
		return a.Cause == qingting.CausePromise && a.Subject == p.ID
	}) {
		return nil
	}
	return s.raise(ctx, r, qingting.Alert{
		Cause: qingting.CausePromise, Subject: p.ID,
		Signals: []qingting.Signal{{Code: qingting.SignalBrokenPromise, Source: "promise:" + p.ID, Weight: 1, Span: p.Span}},
	}, "承诺到期未兑现", now)
}

// changePromise writes a change of r.promises[i] and tells listeners. The lock
// is held.
func (s *Service) changePromise(ctx context.Context, r *record, i int, change store.PromiseChange, events []qingting.Event) error {
	kept, err := s.parts.Store.ChangePromise(ctx, change, s.outbox(events))
	if err != nil {
		s.unload(r)
		return fmt.Errorf("change promise: %w", err)
	}
	r.promises[i] = kept
	for _, c := range change.Alerts {
		c.Alert.Version++
		s.changed(r, c.Alert)
	}
	s.publish(events...)
	return nil
}

// SettlePromise says what became of a promise: kept, also when it was late, or
// cancelled. It returns ErrState for one that is settled otherwise, and
// qingting.ErrNotFound.
func (s *Service) SettlePromise(ctx context.Context, key qingting.Key, id string, to qingting.PromiseState, by string) (qingting.Promise, error) {
	if to != qingting.PromiseKept && to != qingting.PromiseCancelled {
		return qingting.Promise{}, &qingting.InputError{Code: "bad_promise_state", Message: "只能是 kept（已兑现）或 cancelled（已取消）", Where: "state"}
	}
	var out qingting.Promise
	err := s.with(ctx, key, func(r *record) error {
		i := slices.IndexFunc(r.promises, func(p qingting.Promise) bool { return p.ID == id })
		if i < 0 {
			return fmt.Errorf("%w: 没有这条承诺", qingting.ErrNotFound)
		}
		p := r.promises[i]
		if p.State == to {
			out = p
			return nil
		}
		if p.State != qingting.PromiseOpen && p.State != qingting.PromiseBroken {
			return fmt.Errorf("%w: 这条承诺已经是 %s", ErrState, p.State)
		}
		now := s.now()
		change := store.PromiseChange{From: p.State}
		p.State, p.Updated = to, now
		change.Promise = p
		events := []qingting.Event{s.event(&r.meta, qingting.EventPromise, p)}
		// Nobody has to look after a promise that is settled.
		for _, a := range r.alerts {
			if a.Cause == qingting.CausePromise && a.Subject == id && a.State.Open() {
				done := s.settle(a, by, "承诺已处理", now)
				change.Alerts = append(change.Alerts, done)
				done.Alert.Version++
				events = append(events, s.event(&r.meta, qingting.EventAlertChanged, done.Alert))
			}
		}
		if err := s.changePromise(ctx, r, i, change, events); err != nil {
			return err
		}
		out = r.promises[i]
		return nil
	})
	if err != nil && errors.Is(err, store.ErrConflict) {
		return out, fmt.Errorf("%w: 承诺刚被改过，请刷新后再试", store.ErrConflict)
	}
	return out, err
}

// sooner is the earlier of two times, of which the zero one is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
