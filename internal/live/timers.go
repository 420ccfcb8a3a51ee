package live

import (
	"container/heap"
	"sync"
	"time"

	"github.com/qingting-ai/qingting"
)

// timers says which conversation has to be looked at when. A conversation has
// one time at most: what is due then is worked out from its record. It may be
// used concurrently.
type timers struct {
	mu      sync.Mutex
	entries entries
	of      map[qingting.Key]*entry
	changed chan struct{} // has a token when the earliest time may have moved
}

type entry struct {
	key   qingting.Key
	at    time.Time
	index int
}

func newTimers() *timers {
	return &timers{of: map[qingting.Key]*entry{}, changed: make(chan struct{}, 1)}
}

// set moves the conversation's time; the zero time takes it away.
func (t *timers) set(key qingting.Key, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.of[key]
	switch {
	case e == nil && at.IsZero():
		return
	case e == nil:
		e = &entry{key: key, at: at}
		t.of[key] = e
		heap.Push(&t.entries, e)
	case at.IsZero():
		heap.Remove(&t.entries, e.index)
		delete(t.of, key)
	default:
		e.at = at
		heap.Fix(&t.entries, e.index)
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// earlier moves the conversation's time unless it has an earlier one.
func (t *timers) earlier(key qingting.Key, at time.Time) {
	t.mu.Lock()
	e := t.of[key]
	keep := e != nil && !at.Before(e.at)
	t.mu.Unlock()
	if !keep {
		t.set(key, at)
	}
}

// due takes out the conversations whose time has come, and returns the next
// time; zero when there is none.
func (t *timers) due(now time.Time) (keys []qingting.Key, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.entries) > 0 && !t.entries[0].at.After(now) {
		e := heap.Pop(&t.entries).(*entry)
		delete(t.of, e.key)
		keys = append(keys, e.key)
	}
	if len(t.entries) > 0 {
		next = t.entries[0].at
	}
	return keys, next
}

func (t *timers) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

// entries is a heap by time.
type entries []*entry

func (e entries) Len() int           { return len(e) }
func (e entries) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e entries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

func (e *entries) Push(x any) {
	entry := x.(*entry)
	entry.index = len(*e)
	*e = append(*e, entry)
}

func (e *entries) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*e = old[:len(old)-1]
	return last
}
