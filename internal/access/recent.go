package access

import (
	"sync"
	"time"
)

// recent remembers values for a while; the zero value of all but life is
// ready. It holds at most recentLength and forgets everything when it is full:
// what it spares is only work. It may be used concurrently.
type recent[T any] struct {
	life time.Duration
	mu   sync.Mutex
	kept map[string]dated[T]
}

type dated[T any] struct {
	value T
	at    time.Time
}

// get returns what was put less than life before now. A clock that went back
// finds nothing.
func (r *recent[T]) get(name string, now time.Time) (T, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(name, now)
}

func (r *recent[T]) find(name string, now time.Time) (value T, ok bool) {
	d, ok := r.kept[name]
	if age := now.Sub(d.at); !ok || age < 0 || age >= r.life {
		return value, false
	}
	return d.value, true
}

// put remembers a value as it was at a time.
func (r *recent[T]) put(name string, value T, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(name, dated[T]{value, at})
}

func (r *recent[T]) keep(name string, d dated[T]) {
	if r.kept == nil {
		r.kept = map[string]dated[T]{}
	}
	if _, there := r.kept[name]; !there && len(r.kept) >= recentLength {
		clear(r.kept)
	}
	r.kept[name] = d
}

// claim remembers the name and reports whether it was not remembered: of many
// at once one is told yes.
func (r *recent[T]) claim(name string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.find(name, now); there {
		return false
	}
	var nothing T
	r.keep(name, dated[T]{nothing, now})
	return true
}
