package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

// PromiseChange is a changed promise, with the alert that it raises.
type PromiseChange struct {
	Promise qingting.Promise      // the whole promise after the change
	From    qingting.PromiseState // the state the change is based on
	Alerts  []AlertChange
}

const promiseColumns = `tenant, conversation, id, team, what, owner, amount, due_at, due_words, state, message, message_id, span_start,
	span_end, quote, warned, updated_at`

// ChangePromise keeps a changed promise and returns it. One that is no longer
// in the state From is ErrConflict, a missing one qingting.ErrNotFound.
func (s *Store) ChangePromise(ctx context.Context, c PromiseChange, outbox []hook.Item) (qingting.Promise, error) {
	p := c.Promise
	err := s.write(ctx, func(t *tx) error {
		if p.Updated.IsZero() {
			p.Updated = fromMicros(t.now)
		}
		n, err := t.exec(`UPDATE promises SET team = ?, what = ?, owner = ?, amount = ?, due_at = ?, due_words = ?, state = ?, warned = ?, updated_at = ?
			WHERE tenant = ? AND conversation = ? AND id = ? AND state = ?`,
			p.Team, string(p.What), p.Owner, p.Amount, pointerMicros(p.Due), p.DueWords, string(p.State), p.Warned, micros(p.Updated),
			p.Tenant, p.Conversation, p.ID, string(c.From))
		if err != nil {
			return fmt.Errorf("write promise: %w", err)
		}
		kept, err := t.promise(qingting.Key{Tenant: p.Tenant, ID: p.Conversation}, p.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: 这条承诺刚被别人改过，现在是 %s，请刷新后再试", ErrConflict, kept.State)
		}
		p = kept
		if _, err := t.changeAlerts(c.Alerts); err != nil {
			return err
		}
		return t.post(outbox)
	})
	if err != nil {
		return qingting.Promise{}, err
	}
	return p, nil
}

// findPromise keeps a promise that an analysis found.
func (t *tx) findPromise(p *qingting.Promise) error {
	if p.Updated.IsZero() {
		p.Updated = fromMicros(t.now)
	}
	if p.State == "" {
		p.State = qingting.PromiseOpen
	}
	_, err := t.exec(`INSERT INTO promises (`+promiseColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant, conversation, id) DO UPDATE SET message = excluded.message, message_id = excluded.message_id,
		span_start = excluded.span_start, span_end = excluded.span_end, quote = excluded.quote`,
		p.Tenant, p.Conversation, p.ID, p.Team, string(p.What), p.Owner, p.Amount, pointerMicros(p.Due), p.DueWords, string(p.State),
		p.Message, p.MessageID, p.Start, p.End, p.Quote, p.Warned, micros(p.Updated))
	if err != nil {
		return fmt.Errorf("write promise: %w", err)
	}
	return nil
}

func scanPromise(row scanner) (p qingting.Promise, err error) {
	var amount sql.NullFloat64
	var due sql.NullInt64
	var updated int64
	err = row.Scan(&p.Tenant, &p.Conversation, &p.ID, &p.Team, &p.What, &p.Owner, &amount, &due, &p.DueWords, &p.State,
		&p.Message, &p.MessageID, &p.Start, &p.End, &p.Quote, &p.Warned, &updated)
	if amount.Valid {
		p.Amount = &amount.Float64
	}
	p.Due, p.Updated = fromPointer(due), fromMicros(updated)
	return p, err
}

const selectPromise = `SELECT ` + promiseColumns + ` FROM promises WHERE tenant = ? AND conversation = ? AND id = ?`

func (t *tx) promise(key qingting.Key, id string) (qingting.Promise, error) {
	return one(context.Background(), t.conn, "条承诺", scanPromise, selectPromise, key.Tenant, key.ID, id)
}

// Promise returns a promise of a conversation, or qingting.ErrNotFound.
func (s *Store) Promise(ctx context.Context, key qingting.Key, id string) (qingting.Promise, error) {
	return one(ctx, s.reader, "条承诺", scanPromise, selectPromise, key.Tenant, key.ID, id)
}

// Promises returns what was promised in a conversation, in the order it was
// said; none is an empty list, of an unknown conversation too.
func (s *Store) Promises(ctx context.Context, key qingting.Key) ([]qingting.Promise, error) {
	return list(ctx, s.reader, scanPromise, `SELECT `+promiseColumns+` FROM promises WHERE tenant = ? AND conversation = ?
		ORDER BY message, span_start, id`, key.Tenant, key.ID)
}

const openPromisesQuery = `SELECT ` + promiseColumns + ` FROM promises WHERE state = 'open' ORDER BY tenant, due_at, conversation, id`

// OpenPromises returns the open promises of all tenants, those without a
// deadline too.
func (s *Store) OpenPromises(ctx context.Context) ([]qingting.Promise, error) {
	return list(ctx, s.reader, scanPromise, openPromisesQuery)
}

const duePromisesQuery = `SELECT ` + promiseColumns + ` FROM promises WHERE state = 'open' AND tenant = ? AND due_at < ? ORDER BY due_at, conversation, id LIMIT ?`

// PromisesDue returns the open promises of a tenant that are due before a
// time, the most urgent first, at most limit; 0 means 500.
func (s *Store) PromisesDue(ctx context.Context, tenant string, before time.Time, limit int) ([]qingting.Promise, error) {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	return list(ctx, s.reader, scanPromise, duePromisesQuery, tenant, micros(before), limit)
}
