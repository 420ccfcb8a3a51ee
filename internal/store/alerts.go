package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

// AlertChange is a new alert or a changed one, with the line of its history.
type AlertChange struct {
	// Alert is the whole alert after the change, except for its Version: that
	// of the alert the change is based on, 0 for a new one. The store keeps
	// Version+1. An empty ID, and a zero Raised or Updated, are filled in.
	Alert qingting.Alert
	// Event is noted in the history unless its To is empty. Its Alert is
	// filled in, and At when it is zero.
	Event qingting.AlertEvent
}

// ChangeAlert keeps a new or changed alert and returns it with its version.
// An alert of another version, and a second open alert of one conversation,
// cause and subject, are ErrConflict; a missing one is qingting.ErrNotFound.
func (s *Store) ChangeAlert(ctx context.Context, c AlertChange, outbox []hook.Item) (qingting.Alert, error) {
	var out qingting.Alert
	err := s.write(ctx, func(t *tx) error {
		changed, err := t.changeAlerts([]AlertChange{c})
		if err != nil {
			return err
		}
		out = changed[0]
		return t.post(outbox)
	})
	if err != nil {
		return qingting.Alert{}, err
	}
	return out, nil
}

func (t *tx) changeAlerts(changes []AlertChange) ([]qingting.Alert, error) {
	out := make([]qingting.Alert, len(changes))
	for i := range changes {
		a := changes[i].Alert
		if err := t.changeAlert(&a); err != nil {
			return nil, err
		}
		e := changes[i].Event
		e.Alert = a.ID
		if e.To != "" {
			if err := t.noteAlert(a.Tenant, &e); err != nil {
				return nil, err
			}
		}
		out[i] = a
	}
	return out, nil
}

const alertColumns = `tenant, id, conversation, team, cause, subject, state, level, priority, score, signals, owner, reason, feedback,
	quiet, tier, raised_at, updated_at, again_at, version`

// changeAlert writes an alert and counts its version.
func (t *tx) changeAlert(a *qingting.Alert) error {
	if a.Signals == nil {
		a.Signals = []qingting.Signal{}
	}
	signals, err := encoded(a.Signals)
	if err != nil {
		return err
	}
	fresh := a.Version == 0
	if fresh && a.ID == "" {
		a.ID = qingting.NewID("al")
	}
	if a.Raised.IsZero() {
		a.Raised = fromMicros(t.now)
	}
	if a.Updated.IsZero() {
		a.Updated = fromMicros(t.now)
	}
	a.Version++
	var n int64
	if fresh {
		n, err = t.exec(`INSERT INTO alerts (`+alertColumns+`, open) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.Tenant, a.ID, a.Conversation, a.Team, string(a.Cause), a.Subject, string(a.State), string(a.Level), string(a.Priority), a.Score,
			signals, a.Owner, a.Reason, a.Feedback, a.Quiet, a.Tier, micros(a.Raised), micros(a.Updated), pointerMicros(a.Again), a.Version, a.State.Open())
	} else {
		n, err = t.exec(`UPDATE alerts SET team = ?, cause = ?, subject = ?, state = ?, open = ?, level = ?, priority = ?, score = ?, signals = ?,
			owner = ?, reason = ?, feedback = ?, quiet = ?, tier = ?, raised_at = ?, updated_at = ?, again_at = ?, version = ?
			WHERE tenant = ? AND id = ? AND version = ?`,
			a.Team, string(a.Cause), a.Subject, string(a.State), a.State.Open(), string(a.Level), string(a.Priority), a.Score, signals,
			a.Owner, a.Reason, a.Feedback, a.Quiet, a.Tier, micros(a.Raised), micros(a.Updated), pointerMicros(a.Again), a.Version,
			a.Tenant, a.ID, a.Version-1)
	}
	switch {
	case isTaken(err):
		return fmt.Errorf("%w: 这个会话已有同一缘由的未了预警", ErrConflict)
	case isOrphan(err):
		return notFound("个会话")
	case err != nil:
		return fmt.Errorf("write alert: %w", err)
	case n == 0:
		kept, err := t.alert(a.Tenant, a.ID)
		if err == nil {
			err = fmt.Errorf("%w: 预警刚被别人改过（版本 %d），请刷新后再试", ErrConflict, kept.Version)
		}
		return err
	}
	return nil
}

func (t *tx) noteAlert(tenant string, e *qingting.AlertEvent) error {
	at := t.now
	if !e.At.IsZero() {
		at = micros(e.At)
	}
	_, err := t.exec(`INSERT INTO alert_events (tenant, alert, at, actor, from_state, to_state, note) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		tenant, e.Alert, at, e.Actor, string(e.From), string(e.To), e.Note)
	if err != nil {
		return fmt.Errorf("write history of alert: %w", err)
	}
	return nil
}

func scanAlert(row scanner) (a qingting.Alert, err error) {
	var signals sql.NullString
	var raised, updated int64
	var again sql.NullInt64
	err = row.Scan(&a.Tenant, &a.ID, &a.Conversation, &a.Team, &a.Cause, &a.Subject, &a.State, &a.Level, &a.Priority, &a.Score, &signals,
		&a.Owner, &a.Reason, &a.Feedback, &a.Quiet, &a.Tier, &raised, &updated, &again, &a.Version)
	if err != nil {
		return a, err
	}
	a.Raised, a.Updated, a.Again = fromMicros(raised), fromMicros(updated), fromPointer(again)
	if err = decode(signals, &a.Signals); err != nil {
		return a, fmt.Errorf("read signals of alert %s: %w", a.ID, err)
	}
	return a, nil
}

const selectAlert = `SELECT ` + alertColumns + ` FROM alerts WHERE tenant = ? AND id = ?`

func (t *tx) alert(tenant, id string) (qingting.Alert, error) {
	return one(context.Background(), t.conn, "条预警", scanAlert, selectAlert, tenant, id)
}

// Alert returns an alert, or qingting.ErrNotFound.
func (s *Store) Alert(ctx context.Context, tenant, id string) (qingting.Alert, error) {
	return one(ctx, s.reader, "条预警", scanAlert, selectAlert, tenant, id)
}

// AlertFilter narrows a list; zero fields do not narrow.
type AlertFilter struct {
	Open         bool // only those on which somebody has to act
	States       []qingting.AlertState
	Teams        []string
	Conversation string
	Cause        qingting.AlertCause
	Level        []qingting.RiskLevel
	Priority     []qingting.Priority
	Owner        string
	From         time.Time // raised at or after
	To           time.Time // raised before
}

func (f *AlertFilter) query(tenant, cursor string) (string, []any, error) {
	var w where
	w.add(`tenant = ?`, tenant)
	if f.Open {
		w.add(`open = 1`)
	}
	in(&w, `state`, f.States)
	in(&w, `team`, f.Teams)
	in(&w, `level`, f.Level)
	in(&w, `priority`, f.Priority)
	if f.Conversation != "" {
		w.add(`conversation = ?`, f.Conversation)
	}
	if f.Cause != "" {
		w.add(`cause = ?`, string(f.Cause))
	}
	if f.Owner != "" {
		w.add(`owner = ?`, f.Owner)
	}
	if !f.From.IsZero() {
		w.add(`raised_at >= ?`, micros(f.From))
	}
	if !f.To.IsZero() {
		w.add(`raised_at < ?`, micros(f.To))
	}
	if err := w.behind(`raised_at`, cursor, false); err != nil {
		return "", nil, err
	}
	return `SELECT ` + alertColumns + ` FROM alerts` + w.String() + ` ORDER BY raised_at DESC, id DESC LIMIT ?`, w.args, nil
}

// Alerts returns a page of the alerts that pass the filter, by (Raised, ID),
// newest first, and the cursor of the next page, "" at the end. The limit is
// at most 500; 0 means 500.
func (s *Store) Alerts(ctx context.Context, tenant string, f AlertFilter, cursor string, limit int) ([]qingting.Alert, string, error) {
	query, args, err := f.query(tenant, cursor)
	if err != nil {
		return nil, "", err
	}
	return page(ctx, s.reader, limit, scanAlert, func(a qingting.Alert) (int64, string) { return micros(a.Raised), a.ID }, query, args...)
}

const openAlertsQuery = `SELECT ` + alertColumns + ` FROM alerts WHERE open = 1 ORDER BY tenant, raised_at, id`

// OpenAlerts returns the alerts of all tenants on which somebody has to act,
// by (tenant, Raised, ID).
func (s *Store) OpenAlerts(ctx context.Context) ([]qingting.Alert, error) {
	return list(ctx, s.reader, scanAlert, openAlertsQuery)
}

// AlertsOf returns the alerts of a conversation, oldest first.
func (s *Store) AlertsOf(ctx context.Context, key qingting.Key) ([]qingting.Alert, error) {
	return list(ctx, s.reader, scanAlert, `SELECT `+alertColumns+` FROM alerts WHERE tenant = ? AND conversation = ? ORDER BY raised_at, id`, key.Tenant, key.ID)
}

// AlertHistory returns what happened to an alert, in order, or
// qingting.ErrNotFound.
func (s *Store) AlertHistory(ctx context.Context, tenant, id string) ([]qingting.AlertEvent, error) {
	out, err := list(ctx, s.reader, func(row scanner) (e qingting.AlertEvent, err error) {
		var at int64
		err = row.Scan(&e.Alert, &at, &e.Actor, &e.From, &e.To, &e.Note)
		e.At = fromMicros(at)
		return e, err
	}, `SELECT alert, at, actor, from_state, to_state, note FROM alert_events WHERE tenant = ? AND alert = ? ORDER BY n`, tenant, id)
	if err == nil && len(out) == 0 {
		_, err = s.Alert(ctx, tenant, id)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Verdicts of people on an alert.
const (
	AlertUseful     = "useful"
	AlertFalseAlarm = "false_alarm"
)

// AlertFeedback keeps what a person thinks of an alert, in place of what was
// said before. It does not ask for a version: two opinions are no conflict.
func (s *Store) AlertFeedback(ctx context.Context, tenant, id, verdict, by string, at time.Time, outbox []hook.Item) (qingting.Alert, error) {
	if verdict != AlertUseful && verdict != AlertFalseAlarm {
		return qingting.Alert{}, &qingting.InputError{Code: "bad_feedback", Message: "只能是 useful（有用）或 false_alarm（误报）", Where: "feedback"}
	}
	var out qingting.Alert
	err := s.write(ctx, func(t *tx) error {
		a, err := t.alert(tenant, id)
		if err != nil {
			return err
		}
		a.Feedback, a.Updated = verdict, at
		e := qingting.AlertEvent{At: at, Actor: by, From: a.State, To: a.State, Note: verdict}
		changed, err := t.changeAlerts([]AlertChange{{Alert: a, Event: e}})
		if err != nil {
			return err
		}
		out = changed[0]
		return t.post(outbox)
	})
	if err != nil {
		return qingting.Alert{}, err
	}
	return out, nil
}

const loudQuery = `SELECT count(*) FROM alerts WHERE tenant = ? AND team = ? AND raised_at >= ? AND quiet = 0`

// LoudAlerts counts the alerts of a team that were raised since and called
// somebody, for the budget.
func (s *Store) LoudAlerts(ctx context.Context, tenant, team string, since time.Time) (int, error) {
	return one(ctx, s.reader, "个数", scanOf[int], loudQuery, tenant, team, micros(since))
}
