package live

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/qingting-ai/qingting"
)

// State is everything there is to show of a conversation, at one moment.
type State struct {
	Conversation qingting.Conversation    `json:"conversation"`
	Messages     []qingting.StoredMessage `json:"messages"`
	// Analysis is the latest, as it was saved: of Conversation.Analysed, which
	// may be behind Version. Null before the first.
	Analysis json.RawMessage    `json:"analysis"`
	Alerts   []qingting.Alert   `json:"alerts"`
	Promises []qingting.Promise `json:"promises"`
	Clocks   []Clock            `json:"clocks"`
	// Failed says that the latest version could not be analysed.
	Failed bool `json:"failed,omitempty"`
}

// stateWait is how long a reader waits for a write to the conversation, which
// may itself wait for a locked database.
const stateWait = 100 * time.Millisecond

// State returns what there is of a conversation, or qingting.ErrNotFound. While
// a write takes long it is what the store has, read bit by bit: messages may be
// newer than Conversation, and Failed is not known.
func (s *Service) State(ctx context.Context, key qingting.Key) (*State, error) {
	r := s.hold(key)
	defer s.drop(r)
	patient, stop := context.WithTimeout(ctx, stateWait)
	err := r.enter(patient)
	stop()
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, ctx.Err()
	case err != nil:
		r = &record{key: key} // nobody else knows it
		if err := s.fetch(ctx, r); err != nil {
			return nil, err
		}
		return s.state(ctx, r)
	}
	defer r.leave()
	if err := s.load(ctx, r); err != nil {
		return nil, err
	}
	return s.state(ctx, r)
}

// state copies the record, whose lock is held.
func (s *Service) state(ctx context.Context, r *record) (*State, error) {
	body, _, err := s.parts.Store.Analysis(ctx, r.key)
	if err != nil && !errors.Is(err, qingting.ErrNotFound) {
		return nil, err
	}
	out := &State{
		Conversation: r.meta, Analysis: body, Alerts: copied(r.alerts), Promises: copied(r.promises),
		Messages: make([]qingting.StoredMessage, len(r.messages)),
		Clocks:   s.opt.Rules.clocks(r.facts(), s.now()),
		Failed:   r.failed > 0 && r.failed == r.meta.Version,
	}
	for i, m := range r.messages {
		out.Messages[i] = m.StoredMessage
	}
	return out, nil
}

// copied is a copy that is never nil, for JSON.
func copied[T any](list []T) []T { return append(make([]T, 0, len(list)), list...) }

// Wait waits until an analysis has read the version and returns the state of
// that moment, which may be newer. It returns ErrAnalysis when the analysis
// failed, ErrClosed when the service ends first, and ctx.Err.
func (s *Service) Wait(ctx context.Context, key qingting.Key, version int64) (*State, error) {
	r := s.hold(key)
	defer s.drop(r)
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	out, w, err := s.await(ctx, r, version)
	r.leave()
	if out != nil || err != nil {
		return out, err
	}
	select {
	case err = <-w.done:
	case <-s.ended:
		err = ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		err = r.enter(ctx)
	} else if r.enter(context.WithoutCancel(ctx)) == nil {
		r.waiters = slices.DeleteFunc(r.waiters, func(o waiter) bool { return o.done == w.done })
		r.leave()
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	defer r.leave()
	if err := s.load(ctx, r); err != nil {
		return nil, err
	}
	return s.state(ctx, r)
}

// await returns the state when there is nothing to wait for, otherwise who
// waits. The lock is held.
func (s *Service) await(ctx context.Context, r *record, version int64) (*State, waiter, error) {
	if err := s.load(ctx, r); err != nil {
		return nil, waiter{}, err
	}
	switch {
	case version > r.meta.Version:
		return nil, waiter{}, &qingting.InputError{Code: "unknown_version", Message: "会话还没有这个版本", Where: "version"}
	case r.meta.Analysed >= version:
		out, err := s.state(ctx, r)
		return out, waiter{}, err
	case r.failed >= version:
		return nil, waiter{}, ErrAnalysis
	}
	w := waiter{version: version, done: make(chan error, 1)}
	r.waiters = append(r.waiters, w)
	s.queue.push(r.key, false, s.now()) // it stands there already, unless it was left behind
	return nil, w, nil
}
