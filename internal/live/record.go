package live

import (
	"cmp"
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/qingting-ai/qingting"
)

// record is what memory holds of one conversation. refs and place belong to
// the Service; everything below lock is read and changed by whoever holds it
// (see enter), except for the prepared parts of items, which belong to the one
// worker that reads the conversation.
type record struct {
	key   qingting.Key
	place *list.Element // in Service.recent; nil when nothing is loaded
	refs  int           // holders; a record without any can be dropped
	size  int           // messages that count in Service.messages

	lock chan struct{} // has one token when nobody holds it

	loaded     bool // what follows is what the store has
	meta       qingting.Conversation
	messages   []*item // by (seq, id); the array is never changed below its length
	generation int     // grows when messages were put between others
	alerts     []qingting.Alert
	acts       []time.Time // when people did something to the alerts
	promises   []qingting.Promise
	since      mark // where the priority began, see since
	levels     map[int]qingting.RiskLevel
	matter     string // what Earlier was looked up for
	reduced    bool   // the saved analysis lacks parts and is made again
	retry      time.Time
	failed     int64 // the version that could not be analysed, 0 for none
	stuck      int64 // the version that made a stage panic
	attempts   int   // that failed in a row
	waiters    []waiter
}

// item is one message. Its stored part never changes.
type item struct {
	qingting.StoredMessage
	prepared *qingting.Prepared
	encoded  bool // prepared in full mode
}

// waiter waits until a version has been read or has failed.
type waiter struct {
	version int64
	done    chan error // gets one value; has room for it
}

// hold returns the record of a conversation, which stays in memory until drop.
func (s *Service) hold(key qingting.Key) *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[key]
	if r == nil {
		r = &record{key: key, lock: make(chan struct{}, 1)}
		r.lock <- struct{}{}
		s.records[key] = r
	}
	r.refs++
	return r
}

// drop gives the record back, and forgets the conversations that nobody has
// used for longest while there are too many messages in memory.
func (s *Service) drop(r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.refs--
	switch {
	case r.refs > 0:
	case r.place == nil:
		delete(s.records, r.key)
	default:
		s.recent.MoveToFront(r.place)
	}
	for e := s.recent.Back(); e != nil && s.messages > s.opt.Messages; {
		old, before := e.Value.(*record), e.Prev()
		if old.refs == 0 {
			s.recent.Remove(e)
			s.messages -= old.size
			delete(s.records, old.key)
			s.counts.evictions.Add(1)
		}
		e = before
	}
}

// account counts the messages of a record after a change; its lock is held. A
// conversation without any takes memory too and counts as one.
func (s *Service) account(r *record) {
	size := 0
	if r.loaded {
		size = max(1, len(r.messages))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages += size - r.size
	r.size = size
	switch {
	case r.loaded && r.place == nil:
		r.place = s.recent.PushFront(r)
	case !r.loaded && r.place != nil:
		s.recent.Remove(r.place)
		r.place = nil
	}
}

// enter waits for the record's lock.
func (r *record) enter(ctx context.Context) error {
	select {
	case <-r.lock:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *record) leave() { r.lock <- struct{}{} }

// with runs f while it holds the loaded record of a conversation.
func (s *Service) with(ctx context.Context, key qingting.Key, f func(*record) error) error {
	r := s.hold(key)
	defer s.drop(r)
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	if err := s.load(ctx, r); err != nil {
		return err
	}
	return f(r)
}

// unload forgets what was loaded, after a write of which nobody knows whether
// the record still agrees with the store. The lock is held.
func (s *Service) unload(r *record) {
	r.loaded, r.messages, r.levels, r.alerts, r.acts, r.promises = false, nil, nil, nil, nil, nil
	r.generation++
	s.account(r)
}

// load reads what the store has, unless it is in memory. The lock is held.
func (s *Service) load(ctx context.Context, r *record) error {
	if r.loaded {
		return nil
	}
	if err := s.fetch(ctx, r); err != nil {
		return err
	}
	r.loaded = true
	s.counts.loads.Add(1)
	s.account(r)
	return nil
}

// fetch reads what the store has. Either the lock is held, or nobody else
// knows the record.
func (s *Service) fetch(ctx context.Context, r *record) error {
	meta, err := s.parts.Store.Conversation(ctx, r.key)
	if err != nil {
		return err
	}
	stored, err := s.parts.Store.Messages(ctx, r.key)
	if err != nil {
		return err
	}
	promises, err := s.parts.Store.Promises(ctx, r.key)
	if err != nil {
		return err
	}
	body, _, err := s.parts.Store.Analysis(ctx, r.key)
	if err != nil && !errors.Is(err, qingting.ErrNotFound) {
		return err
	}
	r.meta, r.promises = meta, promises
	r.messages = make([]*item, len(stored))
	for i := range stored {
		r.messages[i] = &item{StoredMessage: stored[i]}
	}
	r.levels = map[int]qingting.RiskLevel{}
	r.generation++
	r.matter = ""
	if err := s.loadAlerts(ctx, r); err != nil {
		return err
	}
	r.since, r.reduced = mark{}, false
	if body != nil {
		var saved savedAnalysis
		if err := json.Unmarshal(body, &saved); err != nil {
			return fmt.Errorf("read analysis of %s: %w", r.key.ID, err)
		}
		r.since = since(meta.Overview.Priority, saved.Risk.Signals, r.messages, r.first())
		r.reduced = slices.ContainsFunc(saved.Unavailable, ours)
	}
	return nil
}

// savedAnalysis is what a loaded record needs of the analysis.
type savedAnalysis struct {
	Unavailable []qingting.Unavailable `json:"unavailable"`
	Risk        struct {
		Signals []qingting.Signal `json:"signals"`
	} `json:"risk"`
}

// loadAlerts reads the alerts and what people did to them.
func (s *Service) loadAlerts(ctx context.Context, r *record) (err error) {
	if r.alerts, err = s.parts.Store.AlertsOf(ctx, r.key); err != nil {
		return err
	}
	r.acts = nil
	for _, a := range r.alerts {
		if a.Owner == "" && a.Reason == "" && a.State == qingting.AlertNew {
			continue // nobody has touched it
		}
		history, err := s.parts.Store.AlertHistory(ctx, a.Tenant, a.ID)
		if err != nil {
			return err
		}
		for _, e := range history {
			if e.Actor != "" && e.From != e.To {
				r.acts = append(r.acts, e.At)
			}
		}
	}
	slices.SortFunc(r.acts, time.Time.Compare)
	return nil
}

// add puts new messages where they belong. The lock is held.
func (r *record) add(news []qingting.StoredMessage) {
	for i := range news {
		m := &item{StoredMessage: news[i]}
		at := len(r.messages)
		if at > 0 && before(m, r.messages[at-1]) {
			at, _ = slices.BinarySearchFunc(r.messages, m, compare)
		}
		if at == len(r.messages) {
			r.messages = append(r.messages, m)
			continue
		}
		// A worker may be reading the array.
		r.messages = slices.Insert(slices.Clone(r.messages), at, m)
		r.generation++
		for n := range r.levels {
			if n > at {
				delete(r.levels, n)
			}
		}
	}
}

func compare(a, b *item) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.ID, b.ID)) }

func before(a, b *item) bool { return compare(a, b) < 0 }

// first is the message of the customer that was received first.
func (r *record) first() mark {
	var first mark
	for _, m := range r.messages {
		if m.Role == qingting.RoleCustomer && (first.at.IsZero() || m.Received.Before(first.at)) {
			first = markOf(m)
		}
	}
	return first
}

// pastAfter is how long before it was received the last message must have been
// sent for the conversation to be over.
const pastAfter = 24 * time.Hour

// past reports whether the conversation was over when it came in, as one that
// is imported: every message was sent more than pastAfter before it was
// received. Nobody is called for it, and no clock warns; a new message changes
// that at once. It depends on nothing but the messages.
func (r *record) past() bool {
	for _, m := range r.messages {
		if m.SentAt.IsZero() || m.Received.Sub(m.SentAt) <= pastAfter {
			return false
		}
	}
	return len(r.messages) > 0
}

// facts collects what the clocks depend on.
func (r *record) facts() facts {
	f := facts{
		priority:  r.meta.Overview.Priority,
		complaint: r.meta.Overview.Kind == qingting.KindComplaint,
		since:     r.since,
	}
	if f.priority == "" {
		return f // nobody has read it yet
	}
	f.first = r.first()
	for _, m := range r.messages {
		if m.Role == qingting.RoleAgent {
			f.answers = append(f.answers, markOf(m))
		}
	}
	slices.SortFunc(f.answers, compareMarks)
	f.acts = slices.Clone(f.answers)
	for _, t := range r.acts {
		f.acts = append(f.acts, mark{at: t})
	}
	slices.SortFunc(f.acts, compareMarks)
	for _, a := range r.alerts {
		if a.Cause == qingting.CauseRisk && (f.raised.IsZero() || a.Raised.Before(f.raised)) {
			f.raised = a.Raised
		}
	}
	if r.meta.Closing != nil {
		f.closed = r.meta.Closing.At
	}
	return f
}

// answer tells those who wait for a version up to this one. The lock is held.
func (r *record) answer(version int64, err error) {
	r.waiters = slices.DeleteFunc(r.waiters, func(w waiter) bool {
		if w.version > version {
			return false
		}
		w.done <- err
		return true
	})
}
