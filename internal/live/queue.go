package live

import (
	"sync"
	"time"

	"github.com/qingting-ai/qingting"
)

// urgentRun is how many urgent conversations are read in a row before one of
// the others has its turn, so that a storm of them does not stop the rest.
const urgentRun = 8

// queue holds the conversations that have to be looked at, each at most once:
// one that is pushed while a worker has it comes back when the worker is done.
// It may be used concurrently.
type queue struct {
	limit int // how many may wait

	mu      sync.Mutex
	waiting map[qingting.Key]*job
	urgent  []*job
	normal  []*job
	number  int // that wait, without those that have moved or run
	streak  int
	ready   chan struct{} // has a token whenever something may wait
}

// job is one conversation in the queue.
type job struct {
	key     qingting.Key
	since   time.Time // of the oldest push that nobody has seen to
	urgent  bool
	running bool
	again   bool // pushed while running
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, waiting: map[qingting.Key]*job{}, ready: make(chan struct{}, 1)}
}

// full reports whether a write to the conversation has to be refused: too many
// others wait. One that waits already makes no more work.
func (q *queue) full(key qingting.Key) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.number >= q.limit && q.waiting[key] == nil
}

// push asks for a look at the conversation, before those that are not urgent.
// It never refuses: what was acknowledged is read.
func (q *queue) push(key qingting.Key, urgent bool, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.waiting[key]
	switch {
	case j == nil:
		j = &job{key: key, since: now}
		q.waiting[key] = j
		q.line(j, urgent)
	case j.running:
		if !j.again {
			j.again, j.since = true, now
		}
		j.urgent = j.urgent || urgent
		return
	case urgent && !j.urgent:
		// Its place among the others stays behind and is skipped.
		moved := *j
		q.waiting[key] = &moved
		q.number--
		q.line(&moved, true)
	}
}

func (q *queue) line(j *job, urgent bool) {
	q.number++
	if j.urgent = urgent; urgent {
		q.urgent = append(q.urgent, j)
	} else {
		q.normal = append(q.normal, j)
	}
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// pop returns the next conversation and since when it waits. The caller calls
// done with it. ok is false when nobody waits.
func (q *queue) pop() (key qingting.Key, since time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		from := &q.urgent
		if len(q.urgent) == 0 || q.streak >= urgentRun && len(q.normal) > 0 {
			from = &q.normal
		}
		if len(*from) == 0 {
			return key, since, false
		}
		j := (*from)[0]
		(*from)[0] = nil
		*from = (*from)[1:]
		if q.waiting[j.key] != j || j.running {
			continue // it moved
		}
		if j.urgent {
			q.streak++
		} else {
			q.streak = 0
		}
		q.number--
		j.running, j.urgent = true, false
		if q.number > 0 {
			q.wake() // for the next worker
		}
		return j.key, j.since, true
	}
}

// done gives a conversation back.
func (q *queue) done(key qingting.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.waiting[key]
	if j == nil {
		return
	}
	if !j.again {
		delete(q.waiting, key)
		return
	}
	j.running, j.again = false, false
	q.line(j, j.urgent)
}

// length returns how many wait, how many of them urgently, and for how long
// the first of the others has.
func (q *queue) length(now time.Time) (all, urgent int, oldest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.waiting {
		if j.running {
			continue
		}
		if j.urgent {
			urgent++
		}
		oldest = max(oldest, now.Sub(j.since))
	}
	return q.number, urgent, oldest
}

// count is how many wait.
func (q *queue) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.number
}
