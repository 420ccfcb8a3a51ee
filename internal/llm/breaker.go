package llm

import (
	"sync"
	"time"
)

// breaker stops calls to a service that is down. After `after` failures in a
// row nobody passes for `rest`; then one call passes, and what becomes of it
// decides. Forty lines of our own, because a library's breaker counts a call
// that its caller gave up as a success or a failure, and it is neither.
type breaker struct {
	after int // negative: never
	rest  time.Duration

	mu     sync.Mutex
	failed int       // in a row
	until  time.Time // zero: closed
	trial  bool      // a call is out to see
}

// allow reports whether a call may be made now. Each allowed call is followed
// by record or forget.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return true
	}
	if now.Before(b.until) || b.trial {
		return false
	}
	b.trial = true
	return true
}

// record says what became of an allowed call.
func (b *breaker) record(ok bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
	if ok {
		b.failed, b.until = 0, time.Time{}
		return
	}
	if b.failed++; b.after >= 0 && b.failed >= b.after {
		b.until = now.Add(b.rest)
	}
}

// forget is for an allowed call that says nothing of the service.
func (b *breaker) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
}
