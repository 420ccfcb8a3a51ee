package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

// AnalysisRecord is what one analysis changes, all at once.
type AnalysisRecord struct {
	Key      qingting.Key
	Version  int64 // of the conversation, as it was read
	Overview qingting.Overview
	Body     []byte   // the analysis as JSON
	Earlier  []string // ids of related conversations, see Related
	Alerts   []AlertChange
	// Promises are what was found. New ones are kept as they are given. Of one
	// that is known, by ID, only the words and their place are renewed: how it
	// stands, who is told and by when is the business of ChangePromise.
	Promises []qingting.Promise
	Outbox   []hook.Item
}

// SaveAnalysis keeps the latest analysis of a conversation. An older version
// than the kept one is ErrStale, an alert that changed meanwhile ErrConflict;
// the same version again replaces it. It returns the alerts as they are now,
// parallel to r.Alerts.
func (s *Store) SaveAnalysis(ctx context.Context, r AnalysisRecord) ([]qingting.Alert, error) {
	earlier, err := encoded(r.Earlier)
	if err != nil {
		return nil, err
	}
	var alerts []qingting.Alert
	err = s.write(ctx, func(t *tx) error {
		o := &r.Overview
		n, err := t.exec(`UPDATE conversations SET analysed = ?, kind = ?, primary_type = ?, emotion = ?, intensity = ?, risk = ?, score = ?,
			priority = ?, quote = ?, earlier = ? WHERE tenant = ? AND id = ? AND analysed <= ? AND version >= ?`,
			r.Version, string(o.Kind), string(o.Primary), string(o.Emotion), o.Intensity, string(o.Risk), o.Score, string(o.Priority), o.Quote, earlier,
			r.Key.Tenant, r.Key.ID, r.Version, r.Version)
		if err != nil {
			return fmt.Errorf("write overview: %w", err)
		}
		if n == 0 {
			kept, err := t.conversation(r.Key)
			if err == nil && kept.Analysed > r.Version {
				err = fmt.Errorf("%w: version %d after %d", ErrStale, r.Version, kept.Analysed)
			} else if err == nil {
				err = fmt.Errorf("analysis of version %d, but the conversation has %d", r.Version, kept.Version)
			}
			return err
		}
		_, err = t.exec(`INSERT INTO analyses (tenant, conversation, version, body) VALUES (?, ?, ?, ?)
			ON CONFLICT (tenant, conversation) DO UPDATE SET version = excluded.version, body = excluded.body`,
			r.Key.Tenant, r.Key.ID, r.Version, notNull(r.Body))
		if err != nil {
			return fmt.Errorf("write analysis: %w", err)
		}
		if alerts, err = t.changeAlerts(r.Alerts); err != nil {
			return err
		}
		for i := range r.Promises {
			p := r.Promises[i]
			p.Tenant, p.Conversation = r.Key.Tenant, r.Key.ID
			if err := t.findPromise(&p); err != nil {
				return err
			}
		}
		return t.post(r.Outbox)
	})
	if err != nil {
		return nil, err
	}
	return alerts, nil
}

// notNull keeps a nil slice as an empty blob.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Analysis returns the latest analysis as it was saved, and the version of the
// conversation that it has read; qingting.ErrNotFound before the first.
func (s *Store) Analysis(ctx context.Context, key qingting.Key) (body []byte, version int64, err error) {
	type saved struct {
		body    []byte
		version int64
	}
	a, err := one(ctx, s.reader, "个会话的分析", func(row scanner) (a saved, err error) { return a, row.Scan(&a.body, &a.version) },
		`SELECT body, version FROM analyses WHERE tenant = ? AND conversation = ?`, key.Tenant, key.ID)
	return a.body, a.version, err
}

// Label is what a person said of one field of a conversation. It wins over
// the analysis.
type Label struct {
	Field qingting.Field  `json:"field"`
	Value json.RawMessage `json:"value"` // as in the analysis; nil takes the label away
	By    string          `json:"by"`
	At    time.Time       `json:"at"`
}

// SetLabels keeps labels, each in place of the one before of its field.
func (s *Store) SetLabels(ctx context.Context, key qingting.Key, labels []Label, outbox []hook.Item) error {
	return s.write(ctx, func(t *tx) error {
		if _, err := t.conversation(key); err != nil {
			return err
		}
		for _, l := range labels {
			if l.Value == nil {
				if _, err := t.exec(`DELETE FROM labels WHERE tenant = ? AND conversation = ? AND field = ?`, key.Tenant, key.ID, string(l.Field)); err != nil {
					return err
				}
				continue
			}
			if !json.Valid(l.Value) {
				return errors.New("a label is not JSON")
			}
			at := t.now
			if !l.At.IsZero() {
				at = micros(l.At)
			}
			_, err := t.exec(`INSERT INTO labels (tenant, conversation, field, value, set_by, set_at) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (tenant, conversation, field) DO UPDATE SET value = excluded.value, set_by = excluded.set_by, set_at = excluded.set_at`,
				key.Tenant, key.ID, string(l.Field), string(l.Value), l.By, at)
			if err != nil {
				return fmt.Errorf("write label: %w", err)
			}
		}
		return t.post(outbox)
	})
}

// Labels returns what people said of a conversation, by field; none is an
// empty list, of an unknown conversation too.
func (s *Store) Labels(ctx context.Context, key qingting.Key) ([]Label, error) {
	return list(ctx, s.reader, func(row scanner) (l Label, err error) {
		var value string
		var at int64
		err = row.Scan(&l.Field, &value, &l.By, &at)
		l.Value, l.At = json.RawMessage(value), fromMicros(at)
		return l, err
	}, `SELECT field, value, set_by, set_at FROM labels WHERE tenant = ? AND conversation = ? ORDER BY field`, key.Tenant, key.ID)
}
