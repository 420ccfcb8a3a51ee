package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

// OutboxItem and Endpoint are named by those who deliver; the store keeps them.
type (
	OutboxItem = hook.Item
	Endpoint   = hook.Endpoint
)

var _ hook.Outbox = (*Store)(nil)

const itemColumns = `tenant, id, endpoint, event, type, conversation, seq, payload, attempts, next_at, state, status, error, created_at, updated_at`

// post writes deliveries. Without ID, Created or Next they get a new one, now
// and at once.
func (t *tx) post(items []hook.Item) error {
	for i := range items {
		o := items[i]
		if o.ID == "" {
			o.ID = qingting.NewID("ob")
		}
		created, next := t.now, t.now
		if !o.Created.IsZero() {
			created = micros(o.Created)
		}
		if !o.Next.IsZero() {
			next = micros(o.Next)
		}
		_, err := t.exec(`INSERT INTO outbox (`+itemColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 'pending', 0, '', ?, ?)`,
			o.Tenant, o.ID, o.Endpoint, o.Event, string(o.Type), o.Conversation, o.Seq, notNull(o.Payload), next, created, t.now)
		if err != nil {
			return fmt.Errorf("write delivery: %w", err)
		}
	}
	return nil
}

// Post writes deliveries that tell of nothing else that is written.
func (s *Store) Post(ctx context.Context, items []hook.Item) error {
	if len(items) == 0 {
		return nil
	}
	return s.write(ctx, func(t *tx) error { return t.post(items) })
}

func scanItem(row scanner) (o hook.Item, err error) {
	var next, created, updated int64
	err = row.Scan(&o.Tenant, &o.ID, &o.Endpoint, &o.Event, &o.Type, &o.Conversation, &o.Seq, &o.Payload, &o.Attempts, &next,
		&o.State, &o.Status, &o.Error, &created, &updated)
	o.Next, o.Created, o.Updated = fromMicros(next), fromMicros(created), fromMicros(updated)
	return o, err
}

const readyQuery = `SELECT ` + endpointColumns + ` FROM endpoints AS e WHERE disabled = 0 AND EXISTS (
	SELECT 1 FROM outbox WHERE tenant = e.tenant AND endpoint = e.id AND state = 'pending' AND next_at <= ?) ORDER BY tenant, id`

// ReadyEndpoints implements hook.Outbox; the order is by (tenant, ID).
func (s *Store) ReadyEndpoints(ctx context.Context, now time.Time) ([]hook.Endpoint, error) {
	return list(ctx, s.reader, scanEndpoint, readyQuery, micros(now))
}

const dueQuery = `SELECT ` + itemColumns + ` FROM outbox WHERE tenant = ? AND endpoint = ? AND state = 'pending' AND next_at <= ?
	ORDER BY next_at, id LIMIT ?`

// ClaimOutbox implements hook.Outbox; items of one Next come by ID. Attempts
// names the claim: it is not this one's any more once another raised it.
func (s *Store) ClaimOutbox(ctx context.Context, tenant, endpoint string, now time.Time, lease time.Duration, limit int) ([]hook.Item, error) {
	var out []hook.Item
	err := s.write(ctx, func(t *tx) (err error) {
		if out, err = list(context.Background(), t.conn, scanItem, dueQuery, tenant, endpoint, micros(now), limit); err != nil {
			return err
		}
		until := micros(now.Add(lease))
		for i := range out {
			o := &out[i]
			o.Attempts, o.Next, o.Updated = o.Attempts+1, fromMicros(until), fromMicros(t.now)
			if _, err := t.exec(`UPDATE outbox SET attempts = ?, next_at = ?, updated_at = ? WHERE tenant = ? AND id = ?`, o.Attempts, until, t.now, tenant, o.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// OutboxDone implements hook.Outbox. The row stays as a record, its payload
// does not: it tells what customers said. ErrConflict says, here and below, that
// another claim took the item over, or that it is settled.
func (s *Store) OutboxDone(ctx context.Context, o hook.Item, status int, now time.Time) error {
	return s.settle(ctx, o, hook.StateDone, now, status, "", now)
}

// OutboxRetry implements hook.Outbox.
func (s *Store) OutboxRetry(ctx context.Context, o hook.Item, next time.Time, status int, problem string, now time.Time) error {
	return s.settle(ctx, o, hook.StatePending, next, status, problem, now)
}

// OutboxDead implements hook.Outbox.
func (s *Store) OutboxDead(ctx context.Context, o hook.Item, status int, problem string, now time.Time) error {
	return s.settle(ctx, o, hook.StateDead, now, status, problem, now)
}

func (s *Store) settle(ctx context.Context, o hook.Item, state hook.State, next time.Time, status int, problem string, now time.Time) error {
	return s.write(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE outbox SET state = ?1, payload = CASE ?1 WHEN 'done' THEN x'' ELSE payload END, next_at = ?2, status = ?3, error = ?4, updated_at = ?5
			WHERE tenant = ?6 AND id = ?7 AND state = 'pending' AND attempts = ?8`,
			string(state), micros(next), status, problem, micros(now), o.Tenant, o.ID, o.Attempts)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: the delivery was taken over or settled", ErrConflict)
		}
		return err
	})
}

const expireQuery = `UPDATE outbox SET state = 'dead', error = ?, updated_at = ?
	WHERE tenant = ? AND endpoint = ? AND state = 'pending' AND created_at < ?`

// ExpireOutbox implements hook.Outbox.
func (s *Store) ExpireOutbox(ctx context.Context, tenant, endpoint string, before time.Time, problem string, now time.Time) (int, error) {
	var n int64
	err := s.write(ctx, func(t *tx) (err error) {
		n, err = t.exec(expireQuery, problem, micros(now), tenant, endpoint, micros(before))
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

// DisableEndpoint implements hook.Outbox. One that is gone needs none.
func (s *Store) DisableEndpoint(ctx context.Context, tenant, endpoint, reason string, now time.Time) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE endpoints SET disabled = 1, reason = ?, updated_at = ?, version = version + 1 WHERE tenant = ? AND id = ?`,
			reason, micros(now), tenant, endpoint)
		return err
	})
}

// OutboxFilter narrows a list; zero fields do not narrow.
type OutboxFilter struct {
	State        hook.State
	Endpoint     string
	Conversation string
	Type         qingting.EventType
}

func (f *OutboxFilter) query(tenant, cursor string) (string, []any, error) {
	var w where
	w.add(`tenant = ?`, tenant)
	if f.State != "" {
		w.add(`state = ?`, string(f.State))
	}
	if f.Endpoint != "" {
		w.add(`endpoint = ?`, f.Endpoint)
	}
	if f.Conversation != "" {
		w.add(`conversation = ?`, f.Conversation)
	}
	if f.Type != "" {
		w.add(`type = ?`, string(f.Type))
	}
	if err := w.behind(`created_at`, cursor, false); err != nil {
		return "", nil, err
	}
	return `SELECT ` + itemColumns + ` FROM outbox` + w.String() + ` ORDER BY created_at DESC, id DESC LIMIT ?`, w.args, nil
}

// Outbox returns a page of the deliveries that pass the filter, by
// (Created, ID), newest first, and the cursor of the next page, "" at the end.
// The limit is at most 500; 0 means 500.
func (s *Store) Outbox(ctx context.Context, tenant string, f OutboxFilter, cursor string, limit int) ([]hook.Item, string, error) {
	query, args, err := f.query(tenant, cursor)
	if err != nil {
		return nil, "", err
	}
	return page(ctx, s.reader, limit, scanItem, func(o hook.Item) (int64, string) { return micros(o.Created), o.ID }, query, args...)
}

// OutboxItem returns one delivery, or qingting.ErrNotFound.
func (s *Store) OutboxItem(ctx context.Context, tenant, id string) (hook.Item, error) {
	return one(ctx, s.reader, "次投递", scanItem, `SELECT `+itemColumns+` FROM outbox WHERE tenant = ? AND id = ?`, tenant, id)
}

// ReplayOutbox makes dead items due again, as if they were new, and returns how
// many: those that are not there, are pending, were delivered and have no
// payload any more, or whose endpoint is gone are left out.
func (s *Store) ReplayOutbox(ctx context.Context, tenant string, ids []string, now time.Time) (int, error) {
	replayed := 0
	err := s.write(ctx, func(t *tx) error {
		for _, id := range ids {
			n, err := t.exec(`UPDATE outbox SET state = 'pending', attempts = 0, next_at = ?, status = 0, error = '', created_at = ?, updated_at = ?
				WHERE tenant = ? AND id = ? AND state = 'dead'
				AND EXISTS (SELECT 1 FROM endpoints WHERE endpoints.tenant = outbox.tenant AND endpoints.id = outbox.endpoint)`,
				micros(now), micros(now), micros(now), tenant, id)
			if err != nil {
				return err
			}
			replayed += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return replayed, nil
}

const endpointColumns = `tenant, id, name, kind, url, secret, events, teams, disabled, reason, created_at, updated_at, version`

func scanEndpoint(row scanner) (e hook.Endpoint, err error) {
	var events, teams sql.NullString
	var created, updated int64
	err = row.Scan(&e.Tenant, &e.ID, &e.Name, &e.Kind, &e.URL, &e.Secret, &events, &teams, &e.Disabled, &e.Reason, &created, &updated, &e.Version)
	if err != nil {
		return e, err
	}
	e.Created, e.Updated = fromMicros(created), fromMicros(updated)
	return e, errors.Join(decode(events, &e.Events), decode(teams, &e.Teams))
}

const selectEndpoint = `SELECT ` + endpointColumns + ` FROM endpoints WHERE tenant = ? AND id = ?`

// PutEndpoint keeps a new endpoint (Version 0), with a new ID unless it has
// one, or a changed one, based on its Version, and returns it. Another version
// and an ID that is taken are ErrConflict, a missing one qingting.ErrNotFound.
func (s *Store) PutEndpoint(ctx context.Context, e hook.Endpoint) (hook.Endpoint, error) {
	events, err := encoded(e.Events)
	if err != nil {
		return hook.Endpoint{}, err
	}
	teams, err := encoded(e.Teams)
	if err != nil {
		return hook.Endpoint{}, err
	}
	if e.ID == "" {
		e.ID = qingting.NewID("ep")
	}
	err = s.write(ctx, func(t *tx) error {
		var n int64
		var err error
		if e.Version == 0 {
			n, err = t.exec(`INSERT INTO endpoints (`+endpointColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`,
				e.Tenant, e.ID, e.Name, string(e.Kind), e.URL, notNull(e.Secret), events, teams, e.Disabled, e.Reason, t.now, t.now)
		} else {
			n, err = t.exec(`UPDATE endpoints SET name = ?, kind = ?, url = ?, secret = ?, events = ?, teams = ?, disabled = ?, reason = ?,
				updated_at = ?, version = version + 1 WHERE tenant = ? AND id = ? AND version = ?`,
				e.Name, string(e.Kind), e.URL, notNull(e.Secret), events, teams, e.Disabled, e.Reason, t.now, e.Tenant, e.ID, e.Version)
		}
		if isTaken(err) {
			return fmt.Errorf("%w: 这个编号的接收地址已存在", ErrConflict)
		}
		if err != nil {
			return fmt.Errorf("write endpoint: %w", err)
		}
		kept, err := one(context.Background(), t.conn, "个接收地址", scanEndpoint, selectEndpoint, e.Tenant, e.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: 接收地址刚被别人改过，请刷新后再试", ErrConflict)
		}
		e = kept
		return nil
	})
	if err != nil {
		return hook.Endpoint{}, err
	}
	return e, nil
}

// DeleteEndpoint removes an endpoint and what waits for it: nobody is there to
// get it, and it holds what customers said.
func (s *Store) DeleteEndpoint(ctx context.Context, tenant, id string) error {
	return s.write(ctx, func(t *tx) error {
		if err := found("个接收地址")(t.exec(`DELETE FROM endpoints WHERE tenant = ? AND id = ?`, tenant, id)); err != nil {
			return err
		}
		_, err := t.exec(`DELETE FROM outbox WHERE tenant = ? AND endpoint = ? AND state = 'pending'`, tenant, id)
		return err
	})
}

// Endpoint returns an endpoint, or qingting.ErrNotFound.
func (s *Store) Endpoint(ctx context.Context, tenant, id string) (hook.Endpoint, error) {
	return one(ctx, s.reader, "个接收地址", scanEndpoint, selectEndpoint, tenant, id)
}

// Endpoints returns the endpoints of a tenant, by ID.
func (s *Store) Endpoints(ctx context.Context, tenant string) ([]hook.Endpoint, error) {
	return list(ctx, s.reader, scanEndpoint, `SELECT `+endpointColumns+` FROM endpoints WHERE tenant = ? ORDER BY id`, tenant)
}

// AllEndpoints returns the endpoints of all tenants, by (tenant, ID).
func (s *Store) AllEndpoints(ctx context.Context) ([]hook.Endpoint, error) {
	return list(ctx, s.reader, scanEndpoint, `SELECT `+endpointColumns+` FROM endpoints ORDER BY tenant, id`)
}
