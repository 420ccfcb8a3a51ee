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
	since      time.Time // when the priority began, see since
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

// account counts the messages of a record after a change; its lock is held.
func (s *Service) account(r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages += len(r.messages) - r.size
	r.size = len(r.messages)
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
	r.since, r.reduced = time.Time{}, false
	if body != nil {
		var saved savedAnalysis
		if err := json.Unmarshal(body, &saved); err != nil {
			return fmt.Errorf("read analysis of %s: %w", r.key.ID, err)
		}
		r.since = since(meta.Overview.Priority, saved.Risk.Signals, r.messages, r.first())
		r.reduced = slices.ContainsFunc(saved.Unavailable, ours)
	}
	r.loaded = true
	s.counts.loads.Add(1)
	s.account(r)
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

// first is when the first message of the customer was received.
func (r *record) first() time.Time {
	var first time.Time
	for _, m := range r.messages {
		if m.Role == qingting.RoleCustomer && (first.IsZero() || m.Received.Before(first)) {
			first = m.Received
		}
	}
	return first
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
			f.answers = append(f.answers, m.Received)
		}
	}
	slices.SortFunc(f.answers, time.Time.Compare)
	f.acts = slices.Concat(f.answers, r.acts)
	slices.SortFunc(f.acts, time.Time.Compare)
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
