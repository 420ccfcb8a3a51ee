package live

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

// workersWaiting is how many workers there are for each that may run stages: an
// analysis waits for its commit longer than it takes, and the store commits
// what waits together. Measured at 2,000 messages a second.
const workersWaiting = 4

// Run analyses what waits and does what timers are due until ctx ends. Then it
// refuses new messages, reads what waits for at most Options.Drain, ends all
// subscriptions, and returns when nothing of it runs any more. What was not
// read is read after the next start. It first takes up what an earlier run
// left; an error means that the store could not be read. It runs once.
func (s *Service) Run(ctx context.Context) error {
	if s.running.Swap(true) {
		return errors.New("live: Run runs already, or has ended")
	}
	defer close(s.ended)
	defer s.hub.close()
	defer s.closing.Store(true)

	// Work goes on after ctx has ended, until it is done or takes too long.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := s.resume(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("take up what was left: %w", err)
	}
	var workers sync.WaitGroup
	for range s.opt.Workers * workersWaiting {
		workers.Go(func() { s.worker(ctx, working) })
	}
	var others sync.WaitGroup
	others.Go(func() { s.watch(ctx) })
	others.Go(func() { s.resumeClocks(ctx) })

	<-ctx.Done()
	s.closing.Store(true)
	others.Wait()
	late := time.AfterFunc(s.opt.Drain, stop)
	workers.Wait()
	late.Stop()
	return nil
}

// worker looks at one conversation after another. After ctx has ended it goes
// on until nobody waits.
func (s *Service) worker(ctx, working context.Context) {
	for working.Err() == nil {
		key, since, ok := s.queue.pop()
		if ok {
			_ = s.look(working, key, since) // it has been noted
			s.queue.done(key)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-s.queue.ready:
		case <-ctx.Done():
		}
	}
}

// watch puts conversations into the queue when one of their timers is due.
func (s *Service) watch(ctx context.Context) {
	for {
		keys, next := s.timer.due(s.now())
		for _, key := range keys {
			s.queue.push(key, true, s.now())
		}
		wait := time.Hour
		if !next.IsZero() {
			// Never less than a moment: the clock counts whole microseconds.
			wait = max(next.Sub(s.now()), time.Millisecond)
		}
		alarm := time.NewTimer(wait)
		select {
		case <-alarm.C:
		case <-s.timer.changed:
		case <-ctx.Done():
			alarm.Stop()
			return
		}
		alarm.Stop()
	}
}

// resume takes up what was not analysed, and the timers of alerts and
// promises.
func (s *Service) resume(ctx context.Context) error {
	var after qingting.Key
	for {
		keys, err := s.parts.Store.Behind(ctx, after, 0)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			s.queue.push(key, false, s.now())
		}
		after = keys[len(keys)-1]
	}
	alerts, err := s.parts.Store.OpenAlerts(ctx)
	if err != nil {
		return err
	}
	for _, a := range alerts {
		if a.Again != nil && unclaimed(a.State) {
			s.timer.earlier(qingting.Key{Tenant: a.Tenant, ID: a.Conversation}, *a.Again)
		}
	}
	promises, err := s.parts.Store.OpenPromises(ctx)
	if err != nil {
		return err
	}
	for _, p := range promises {
		if p.Due == nil {
			continue
		}
		// Nobody knows yet when it was made; the first look sets the right time.
		at := s.now()
		if p.Warned {
			at = *p.Due
		} else if warn := p.Due.Add(-s.opt.Rules.WarnPromise); warn.After(at) {
			at = warn
		}
		s.timer.earlier(qingting.Key{Tenant: p.Tenant, ID: p.Conversation}, at)
	}
	return nil
}

const (
	// After a start the clocks of open conversations are looked at a few at a
	// time, so that new messages need not wait behind them.
	resumeAtOnce = 16
	resumePause  = 10 * time.Millisecond
)

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// resumeClocks looks at the open conversations, the latest first, so that
// their clocks go on.
func (s *Service) resumeClocks(ctx context.Context) {
	tenants, err := s.tenants(ctx)
	for _, tenant := range tenants {
		for cursor := ""; err == nil && ctx.Err() == nil; {
			var page []qingting.Conversation
			page, cursor, err = s.parts.Store.Conversations(ctx, tenant, store.ConversationFilter{State: qingting.ConversationOpen}, cursor, 0)
			for _, c := range page {
				if c.Overview.Priority == "" || ctx.Err() != nil {
					continue // its analysis will see to it
				}
				for s.queue.count() >= resumeAtOnce && ctx.Err() == nil {
					pause(ctx, resumePause)
				}
				s.queue.push(qingting.Key{Tenant: tenant, ID: c.ID}, false, s.now())
			}
			if cursor == "" {
				break
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		s.parts.Log.Error("clocks not taken up", "error", err)
	}
}

func (s *Service) tenants(ctx context.Context) ([]string, error) {
	if s.parts.Tenants == nil {
		return []string{qingting.DefaultTenant}, nil
	}
	return s.parts.Tenants(ctx)
}

const (
	// panicsAllowed within panicWindow make analyses go without search and
	// vectors for reducedFor.
	panicsAllowed = 3
	panicWindow   = time.Minute
	reducedFor    = time.Minute
)

// panicked notes a panic: its kind and place, never its value, which may quote
// a customer.
func (s *Service) panicked(p any) {
	kind := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		kind = e.Error() // "index out of range [5] with length 3"
	}
	s.counts.panics.Add(1)
	s.parts.Log.Error("panic", "kind", kind, "place", place())
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.panics = append(slices.DeleteFunc(s.panics, func(t time.Time) bool { return !t.After(now.Add(-panicWindow)) }), now)
	if len(s.panics) >= panicsAllowed {
		s.reduced = now.Add(reducedFor)
	}
}

// place is where the present panic began.
func place() string {
	pc := make([]uintptr, 64)
	frames := runtime.CallersFrames(pc[:runtime.Callers(0, pc)])
	seen := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			seen = true
		case seen && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf("%s (%s:%d)", f.Function, filepath.Base(f.File), f.Line)
		}
		if !more {
			return "unknown"
		}
	}
}

// isReduced reports whether analyses are reduced now, and since when.
func (s *Service) isReduced() (bool, time.Time) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.reduced), s.reduced.Add(-reducedFor)
}
