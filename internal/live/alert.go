package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

// judge decides what an analysis means for the alert about the risk: nil for
// nothing. The lock is held; the change is not written yet.
//
// An alert is raised when the shown level is high or the priority P0 or P1. An
// open one takes in what is new. Falling risk is noted and closes nothing.
// After a person closed it, it is raised anew only for a signal that no alert
// of the conversation has had, or for a higher priority: what a person has
// judged is not asked again.
func (s *Service) judge(ctx context.Context, r *record, a *qingting.Analysis, o qingting.Overview, now time.Time) (*store.AlertChange, qingting.EventType) {
	alarming := o.Risk == qingting.RiskHigh || o.Priority == qingting.PriorityP0 || o.Priority == qingting.PriorityP1
	var open *qingting.Alert
	var judged []qingting.Alert
	for i := range r.alerts {
		switch k := &r.alerts[i]; {
		case k.Cause != qingting.CauseRisk:
		case k.State.Open():
			open = k
		default:
			judged = append(judged, *k)
		}
	}
	if open == nil {
		if !alarming || r.past() || len(judged) > 0 && !exceeds(a.Risk.Signals, o.Priority, judged) {
			return nil, ""
		}
		note := "升级风险高"
		if o.Risk != qingting.RiskHigh {
			note = "优先级 " + string(o.Priority)
		}
		return s.raise(ctx, r, qingting.Alert{
			Cause: qingting.CauseRisk, Level: o.Risk, Priority: o.Priority, Score: o.Score, Signals: copied(a.Risk.Signals),
		}, note, now), qingting.EventAlertRaised
	}

	next, notes := *open, []string{}
	if fresh := newCodes(a.Risk.Signals, []qingting.Alert{*open}); len(fresh) > 0 {
		notes = append(notes, "新信号："+strings.Join(fresh, "、"))
		// What it was raised for stays, although it may have been taken back.
		next.Signals = copied(a.Risk.Signals)
		for _, old := range open.Signals {
			if !slices.ContainsFunc(a.Risk.Signals, func(n qingting.Signal) bool { return n.Code == old.Code }) {
				next.Signals = append(next.Signals, old)
			}
		}
	}
	louder := false
	if higher(o.Priority, open.Priority) {
		notes = append(notes, fmt.Sprintf("优先级从 %s 升到 %s", open.Priority, o.Priority))
		next.Priority = o.Priority
		louder = open.Quiet && o.Priority == qingting.PriorityP0
	}
	if open.Level != o.Risk {
		notes = append(notes, fmt.Sprintf("风险从%s变为%s", qingting.Label(string(open.Level)), qingting.Label(string(o.Risk))))
		next.Level = o.Risk
	}
	if open.Quiet && open.Score < s.opt.Rules.Threshold && o.Score >= s.opt.Rules.Threshold && !s.overBudget(ctx, open.Tenant, open.Team, now) {
		notes = append(notes, "概率升到预警门限以上")
		louder = true
	}
	if len(notes) == 0 {
		return nil, ""
	}
	next.Score, next.Updated = o.Score, now
	event := qingting.EventAlertChanged
	if louder { // it was quiet, but is no longer to be missed
		next.Quiet, event = false, qingting.EventAlertRaised
		again := now.Add(s.opt.Rules.Again)
		next.Again = &again
	}
	return &store.AlertChange{Alert: next, Event: qingting.AlertEvent{At: now, From: open.State, To: open.State, Note: strings.Join(notes, "；")}}, event
}

// exceeds reports whether there is a signal or a priority that the alerts have
// not had.
func exceeds(signals []qingting.Signal, p qingting.Priority, judged []qingting.Alert) bool {
	if len(newCodes(signals, judged)) > 0 {
		return true
	}
	return !slices.ContainsFunc(judged, func(a qingting.Alert) bool { return !higher(p, a.Priority) })
}

// newCodes are the names of the signals that none of the alerts has.
func newCodes(signals []qingting.Signal, alerts []qingting.Alert) []string {
	var out []string
	for _, s := range signals {
		known := slices.ContainsFunc(alerts, func(a qingting.Alert) bool {
			return slices.ContainsFunc(a.Signals, func(k qingting.Signal) bool { return k.Code == s.Code })
		})
		if label := qingting.Label(string(s.Code)); !known && !slices.Contains(out, label) {
			out = append(out, label)
		}
	}
	return out
}

// higher reports whether p is more urgent than q: P0 is the highest, none the
// lowest.
func higher(p, q qingting.Priority) bool {
	return p != "" && (q == "" || p < q)
}

// raise fills in a new alert: whose it is, and whether it may call anybody.
// The lock of the record is held.
func (s *Service) raise(ctx context.Context, r *record, a qingting.Alert, note string, now time.Time) *store.AlertChange {
	o := &r.meta.Overview
	a.Tenant, a.ID, a.Conversation, a.Team = r.key.Tenant, qingting.NewID("al"), r.key.ID, r.meta.Team
	a.State, a.Raised, a.Updated = qingting.AlertNew, now, now
	if a.Cause != qingting.CauseRisk {
		a.Level, a.Priority, a.Score = o.Risk, o.Priority, o.Score
	}
	if a.Signals == nil {
		a.Signals = []qingting.Signal{}
	}
	switch {
	case a.Priority == qingting.PriorityP0:
	case a.Cause == qingting.CauseRisk && a.Score < s.opt.Rules.Threshold:
		a.Quiet = true
		note += "（概率低于预警门限，静默）"
	case s.overBudget(ctx, a.Tenant, a.Team, now):
		a.Quiet = true
		note += "（超出本小时预警额度，静默）"
	}
	if !a.Quiet {
		again := now.Add(s.opt.Rules.Again)
		a.Again = &again
	}
	return &store.AlertChange{Alert: a, Event: qingting.AlertEvent{At: now, To: qingting.AlertNew, Note: note}}
}

// budgetWindow is the time over which loud alerts are counted.
const budgetWindow = time.Hour

// overBudget reports whether the team has been called often enough. Two
// conversations that ask at the same moment may both be told no; then one more
// is loud, which does no harm.
func (s *Service) overBudget(ctx context.Context, tenant, team string, now time.Time) bool {
	if s.opt.Rules.Budget == 0 {
		return false
	}
	n, err := s.parts.Store.LoudAlerts(ctx, tenant, team, now.Add(-budgetWindow))
	if err != nil {
		s.parts.Log.Error("alerts not counted, so this one is loud", "error", err)
		return false
	}
	return n >= s.opt.Rules.Budget
}

// changed takes a written alert into the record. The lock is held.
func (s *Service) changed(r *record, a qingting.Alert) {
	i := slices.IndexFunc(r.alerts, func(k qingting.Alert) bool { return k.ID == a.ID })
	if i >= 0 {
		r.alerts[i] = a
		return
	}
	r.alerts = append(r.alerts, a)
	if a.Quiet {
		s.counts.quiet.Add(1)
		return
	}
	s.counts.raised.Add(1)
}

// settle closes an alert. by is "" when the service itself does.
func (s *Service) settle(a qingting.Alert, by, why string, now time.Time) store.AlertChange {
	e := qingting.AlertEvent{At: now, Actor: by, From: a.State, To: qingting.AlertResolved, Note: why}
	a.State, a.Reason, a.Again, a.Updated = qingting.AlertResolved, why, nil, now
	return store.AlertChange{Alert: a, Event: e}
}

// tick does what is due in a conversation by its timers, and sets the next
// time. The lock is held and the record is loaded.
func (s *Service) tick(ctx context.Context, r *record) error {
	if err := s.followTeam(ctx, r); err != nil {
		return err
	}
	now := s.now()
	next, err := s.tickAlerts(ctx, r, now)
	if err == nil {
		var t time.Time
		t, err = s.tickPromises(ctx, r, now)
		next = sooner(next, t)
	}
	if err == nil {
		var t time.Time
		t, err = s.tickClocks(ctx, r, now)
		next = sooner(next, t)
	}
	if err != nil {
		return err
	}
	for _, a := range r.alerts { // those raised just now too
		if a.Again != nil && unclaimed(a.State) {
			next = sooner(next, *a.Again)
		}
	}
	if r.reduced {
		next = sooner(next, r.retry)
	}
	s.timer.set(r.key, next)
	return nil
}

// unclaimed reports whether nobody has taken the alert at its tier.
func unclaimed(s qingting.AlertState) bool {
	return s == qingting.AlertNew || s == qingting.AlertEscalated
}

// tickAlerts raises again what nobody claimed, each time one step further up
// the chain. It is raised once however long nobody looked at the timers.
func (s *Service) tickAlerts(ctx context.Context, r *record, now time.Time) (next time.Time, err error) {
	for _, a := range slices.Clone(r.alerts) {
		if a.Again == nil || !unclaimed(a.State) || now.Before(*a.Again) {
			continue
		}
		again := now.Add(s.patience(&a, now))
		a.Again, a.Updated, a.Tier = &again, now, s.above(&a)
		change := store.AlertChange{Alert: a, Event: qingting.AlertEvent{
			At: now, From: a.State, To: a.State, Note: fmt.Sprintf("无人认领，第 %d 级再次提醒", a.Tier),
		}}
		if _, err := s.changeAlert(ctx, r, change, qingting.EventAlertRaised); err != nil {
			return next, err
		}
		s.counts.again.Add(1)
	}
	return next, nil
}

// longestPatience is the longest pause between two calls about one alert.
const longestPatience = 15 * time.Minute

// patience is the pause until an alert that is raised again is raised once
// more. Where nobody is left to ask, the pauses double: who did not come within
// minutes will not come sooner for a thousand calls a day.
func (s *Service) patience(a *qingting.Alert, now time.Time) time.Duration {
	again := s.opt.Rules.Again
	if s.above(a) > a.Tier {
		return again
	}
	return max(again, min(now.Sub(a.Raised), longestPatience))
}

// above is the next tier of an alert, at most the top of the chain.
func (s *Service) above(a *qingting.Alert) int {
	if s.parts.Chain == nil {
		return a.Tier
	}
	return max(a.Tier, min(a.Tier+1, len(s.parts.Chain(a.Tenant, a.Team))-1))
}

// tickClocks warns of clocks that are about to run out, once each, takes the
// warning back when the clock was kept, and returns the next time.
func (s *Service) tickClocks(ctx context.Context, r *record, now time.Time) (next time.Time, err error) {
	// The clocks of what an old version of the messages said do not count.
	for _, c := range s.opt.Rules.clocks(r.facts(), now) {
		i := slices.IndexFunc(r.alerts, func(a qingting.Alert) bool {
			return a.Cause == qingting.CauseSLA && a.Subject == string(c.Name) && (a.State.Open() || !a.Raised.Before(c.Started))
		})
		switch {
		case i >= 0 && c.State == ClockMet && r.alerts[i].State == qingting.AlertNew,
			i >= 0 && c.Name == ClockNote && r.alerts[i].State == qingting.AlertNew && r.alerts[i].Raised.Before(c.Started):
			if _, err := s.changeAlert(ctx, r, s.settle(r.alerts[i], "", "已按时处理", now), qingting.EventAlertChanged); err != nil {
				return next, err
			}
			if c.State == ClockRunning {
				next = sooner(next, c.Warn)
			}
		case i >= 0 || c.Met != nil || r.meta.State == qingting.ConversationClosed || r.past():
		case now.Before(c.Warn):
			next = sooner(next, c.Warn)
		default:
			note := "时限将到"
			if c.State == ClockBroken {
				note = "时限已过"
			}
			change := s.raise(ctx, r, qingting.Alert{Cause: qingting.CauseSLA, Subject: string(c.Name)}, note, now)
			if _, err := s.changeAlert(ctx, r, *change, qingting.EventAlertRaised); err != nil {
				return next, err
			}
		}
	}
	return next, nil
}

// changeAlert writes a change and tells listeners. The lock is held.
func (s *Service) changeAlert(ctx context.Context, r *record, c store.AlertChange, kind qingting.EventType) (qingting.Alert, error) {
	told := c.Alert
	told.Version++
	event := s.event(&r.meta, kind, told)
	event.Team = told.Team
	kept, err := s.parts.Store.ChangeAlert(ctx, c, s.outbox([]qingting.Event{event}))
	if err != nil {
		s.unload(r)
		return kept, fmt.Errorf("change alert: %w", err)
	}
	s.changed(r, kept)
	if c.Event.Actor != "" && c.Event.From != c.Event.To {
		r.acts = append(r.acts, c.Event.At)
		slices.SortFunc(r.acts, time.Time.Compare)
	}
	s.publish(event)
	return kept, nil
}

// Step is what a person does to an alert.
type Step struct {
	Tenant string
	Alert  string // id
	By     string // id of the user or key
	Reason string
	// Version is the alert's that the person saw; 0 does not ask. Another one
	// is store.ErrConflict.
	Version int64
}

// Claim makes the alert By's own. One that somebody else has claimed is
// ErrState.
func (s *Service) Claim(ctx context.Context, p Step) (qingting.Alert, error) {
	return s.step(ctx, p, func(a *qingting.Alert) error {
		if !unclaimed(a.State) {
			if a.Owner == p.By && a.State.Open() {
				return errSame
			}
			return refuse(a)
		}
		a.State, a.Owner, a.Again = qingting.AlertClaimed, p.By, nil
		return nil
	})
}

// Start says that By works on the alert now, whoever claimed it.
func (s *Service) Start(ctx context.Context, p Step) (qingting.Alert, error) {
	return s.step(ctx, p, func(a *qingting.Alert) error {
		switch {
		case !a.State.Open():
			return refuse(a)
		case a.State == qingting.AlertInProgress && a.Owner == p.By:
			return errSame
		}
		a.State, a.Owner, a.Again = qingting.AlertInProgress, p.By, nil
		return nil
	})
}

// Escalate hands the alert one step up the chain, where it is unclaimed.
func (s *Service) Escalate(ctx context.Context, p Step) (qingting.Alert, error) {
	return s.step(ctx, p, func(a *qingting.Alert) error {
		if !a.State.Open() {
			return refuse(a)
		}
		again := s.now().Add(s.opt.Rules.Again)
		a.State, a.Owner, a.Quiet, a.Again, a.Tier = qingting.AlertEscalated, "", false, &again, s.above(a)
		return nil
	})
}

// Resolve closes the alert: what it asked for is done.
func (s *Service) Resolve(ctx context.Context, p Step) (qingting.Alert, error) {
	return s.step(ctx, p, func(a *qingting.Alert) error {
		if !a.State.Open() {
			return refuse(a)
		}
		a.State, a.Again = qingting.AlertResolved, nil
		if a.Owner == "" {
			a.Owner = p.By
		}
		return nil
	})
}

// Dismiss closes the alert as a false alarm, for a reason.
func (s *Service) Dismiss(ctx context.Context, p Step) (qingting.Alert, error) {
	if strings.TrimSpace(p.Reason) == "" {
		return qingting.Alert{}, &qingting.InputError{Code: "missing_reason", Message: "请写明为什么是误报", Where: "reason"}
	}
	return s.step(ctx, p, func(a *qingting.Alert) error {
		if !a.State.Open() {
			return refuse(a)
		}
		a.State, a.Again = qingting.AlertDismissed, nil
		if a.Owner == "" {
			a.Owner = p.By
		}
		if a.Feedback == "" {
			a.Feedback = store.AlertFalseAlarm
		}
		return nil
	})
}

// Feedback notes whether the alert was worth it: store.AlertUseful or
// store.AlertFalseAlarm. It asks for no version and changes no state.
func (s *Service) Feedback(ctx context.Context, p Step, verdict string) (qingting.Alert, error) {
	if verdict != store.AlertUseful && verdict != store.AlertFalseAlarm {
		return qingting.Alert{}, &qingting.InputError{Code: "bad_feedback", Message: "只能是 useful（有用）或 false_alarm（误报）", Where: "feedback"}
	}
	p.Version = 0
	reason := p.Reason
	p.Reason = ""
	return s.step(ctx, p, func(a *qingting.Alert) error {
		if a.Feedback == verdict && reason == "" {
			return errSame
		}
		a.Feedback = verdict
		return nil
	}, verdict, reason)
}

// errSame says that a step has been taken already.
var errSame = errors.New("nothing to do")

func refuse(a *qingting.Alert) error {
	if a.State.Open() {
		return fmt.Errorf("%w: 预警已由 %s 认领", ErrState, a.Owner)
	}
	if a.State == qingting.AlertDismissed {
		return fmt.Errorf("%w: 预警已判为误报", ErrState)
	}
	return fmt.Errorf("%w: 预警已解除", ErrState)
}

// step reads the alert, lets move change it, and writes it. notes are added to
// the line of the history.
func (s *Service) step(ctx context.Context, p Step, move func(*qingting.Alert) error, notes ...string) (qingting.Alert, error) {
	kept, err := s.parts.Store.Alert(ctx, p.Tenant, p.Alert)
	if err != nil {
		return kept, err
	}
	var out qingting.Alert
	err = s.with(ctx, qingting.Key{Tenant: p.Tenant, ID: kept.Conversation}, func(r *record) error {
		i := slices.IndexFunc(r.alerts, func(a qingting.Alert) bool { return a.ID == p.Alert })
		if i < 0 {
			return fmt.Errorf("%w: 没有这条预警", qingting.ErrNotFound)
		}
		a := r.alerts[i]
		if p.Version != 0 && p.Version != a.Version {
			return fmt.Errorf("%w: 预警刚被改过（版本 %d），请刷新后再试", store.ErrConflict, a.Version)
		}
		from := a.State
		if err := move(&a); err != nil {
			out = a
			return err
		}
		now := s.now()
		a.Updated = now
		if a.Reason = p.Reason; p.Reason == "" {
			a.Reason = r.alerts[i].Reason
		}
		note := strings.Join(slices.DeleteFunc(append([]string{p.Reason}, notes...), func(n string) bool { return n == "" }), " ")
		change := store.AlertChange{Alert: a, Event: qingting.AlertEvent{At: now, Actor: p.By, From: from, To: a.State, Note: note}}
		kind := qingting.EventAlertChanged
		if a.State == qingting.AlertEscalated && from != a.State || a.Again != nil && a.Tier != r.alerts[i].Tier {
			kind = qingting.EventAlertRaised // somebody else is called
		}
		if out, err = s.changeAlert(ctx, r, change, kind); err != nil {
			return err
		}
		return s.tick(ctx, r)
	})
	if errors.Is(err, errSame) {
		err = nil
	}
	return out, err
}
