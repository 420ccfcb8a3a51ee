package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/qingting-ai/qingting"
)

// AddFeedback keeps what became of a suggestion and returns it; an empty ID
// and a zero At are filled in. An ID that is taken is ErrConflict, an unknown
// conversation qingting.ErrNotFound.
func (s *Store) AddFeedback(ctx context.Context, f qingting.Feedback) (qingting.Feedback, error) {
	suggestion, err := encoded(f.Suggestion)
	if err != nil {
		return qingting.Feedback{}, err
	}
	if f.ID == "" {
		f.ID = qingting.NewID("fb")
	}
	err = s.write(ctx, func(t *tx) error {
		if f.At.IsZero() {
			f.At = fromMicros(t.now)
		}
		_, err := t.exec(`INSERT INTO feedback (tenant, id, conversation, suggestion, action, text, reason, given_by, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			f.Tenant, f.ID, f.Conversation, suggestion, string(f.Action), f.Text, f.Reason, f.By, micros(f.At))
		switch {
		case isTaken(err):
			return fmt.Errorf("%w: 这个编号的反馈已存在", ErrConflict)
		case isOrphan(err):
			return notFound("个会话")
		}
		return err
	})
	if err != nil {
		return qingting.Feedback{}, err
	}
	return f, nil
}

// FeedbackOf returns the feedback of a conversation, oldest first; none is an
// empty list, of an unknown conversation too.
func (s *Store) FeedbackOf(ctx context.Context, key qingting.Key) ([]qingting.Feedback, error) {
	return list(ctx, s.reader, func(row scanner) (f qingting.Feedback, err error) {
		var suggestion sql.NullString
		var at int64
		if err = row.Scan(&f.Tenant, &f.ID, &f.Conversation, &suggestion, &f.Action, &f.Text, &f.Reason, &f.By, &at); err != nil {
			return f, err
		}
		f.At = fromMicros(at)
		return f, decode(suggestion, &f.Suggestion)
	}, `SELECT tenant, id, conversation, suggestion, action, text, reason, given_by, at FROM feedback
		WHERE tenant = ? AND conversation = ? ORDER BY at, id`, key.Tenant, key.ID)
}

const feedbackCountsQuery = `SELECT action, count(*) FROM feedback WHERE tenant = ? AND at >= ? AND at < ? GROUP BY action`

// FeedbackCounts counts the feedback of a tenant by action, from a time up to
// another.
func (s *Store) FeedbackCounts(ctx context.Context, tenant string, from, to time.Time) (map[qingting.FeedbackAction]int, error) {
	type count struct {
		action qingting.FeedbackAction
		n      int
	}
	counts, err := list(ctx, s.reader, func(row scanner) (c count, err error) { return c, row.Scan(&c.action, &c.n) },
		feedbackCountsQuery, tenant, micros(from), micros(to))
	if err != nil {
		return nil, err
	}
	out := map[qingting.FeedbackAction]int{}
	for _, c := range counts {
		out[c.action] = c.n
	}
	return out, nil
}
