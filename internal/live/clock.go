package live

import (
	"slices"
	"time"

	"github.com/qingting-ai/qingting"
)

// ClockName names a service clock.
type ClockName string

// The clocks of the service rules.
const (
	ClockAlert    ClockName = "alert"    // P0: somebody is alerted
	ClockHuman    ClockName = "human"    // P0, P1: a person acts, by an answer or on the alert
	ClockProgress ClockName = "progress" // P0, P1: the person's next step
	ClockAnswer   ClockName = "answer"   // P2, P3: first answer
	ClockNote     ClockName = "note"     // complaints: the next progress note
)

// ClockState is how a clock stands.
type ClockState string

// The states of a clock. A broken clock may have been met late.
const (
	ClockRunning ClockState = "running"
	ClockMet     ClockState = "met"
	ClockBroken  ClockState = "broken"
)

// Clock is one time the service has to keep. Times are those at which the
// service received what started and met it.
type Clock struct {
	Name    ClockName  `json:"name"`
	State   ClockState `json:"state"`
	Started time.Time  `json:"started_at"`
	Warn    time.Time  `json:"warn_at"`
	Due     time.Time  `json:"due_at"`
	Met     *time.Time `json:"met_at"`
}

// facts are what the clocks of one conversation depend on.
type facts struct {
	priority  qingting.Priority
	complaint bool
	since     time.Time   // the message that gave the priority
	first     time.Time   // the first message of the customer; zero: nothing runs
	answers   []time.Time // of agents, rising
	acts      []time.Time // answers, and what people did to alerts; rising
	raised    time.Time   // first alert about the risk; zero: none
	closed    time.Time   // zero while the conversation is open
}

// clocks returns the clocks of a conversation as they stand at now, in the
// order of their due times. It depends on nothing else, so that timers survive
// a restart.
func (r *Rules) clocks(f facts, now time.Time) []Clock {
	out := []Clock{}
	if f.first.IsZero() {
		return out
	}
	add := func(name ClockName, started time.Time, limit time.Duration, met time.Time) {
		c := Clock{Name: name, State: ClockRunning, Started: started, Warn: started.Add(time.Duration(float64(limit) * r.Warn)), Due: started.Add(limit)}
		if met.IsZero() {
			met = f.closed // nobody has to act on a conversation that has ended
		}
		switch {
		case met.IsZero() && !now.Before(c.Due):
			c.State = ClockBroken
		case met.After(c.Due):
			c.State, c.Met = ClockBroken, &met
		case !met.IsZero():
			c.State, c.Met = ClockMet, &met
		}
		out = append(out, c)
	}
	human := after(f.acts, f.since)
	switch f.priority {
	case qingting.PriorityP0, qingting.PriorityP1:
		if f.priority == qingting.PriorityP0 {
			raised := f.raised
			if !raised.IsZero() && raised.Before(f.since) {
				raised = f.since // it was up already
			}
			add(ClockAlert, f.since, r.Alert, raised)
		}
		add(ClockHuman, f.since, r.Human, at(human, 0))
		add(ClockProgress, f.since, r.Progress, at(human, 1))
	case qingting.PriorityP2:
		add(ClockAnswer, f.first, r.AnswerP2, at(after(f.answers, f.first), 0))
	default:
		add(ClockAnswer, f.first, r.AnswerP3, at(after(f.answers, f.first), 0))
	}
	if f.complaint && f.closed.IsZero() {
		last := f.first
		if n := len(f.acts); n > 0 && f.acts[n-1].After(last) {
			last = f.acts[n-1]
		}
		add(ClockNote, last, r.Note, time.Time{})
	}
	slices.SortStableFunc(out, func(a, b Clock) int { return a.Due.Compare(b.Due) })
	return out
}

// after returns the times that are not before t; times rise.
func after(times []time.Time, t time.Time) []time.Time {
	i, _ := slices.BinarySearchFunc(times, t, time.Time.Compare)
	return times[i:]
}

func at(times []time.Time, i int) time.Time {
	if i >= len(times) {
		return time.Time{}
	}
	return times[i]
}

// since is when the message was received that gave the conversation its
// priority: the earliest whose signal alone would give it, otherwise the first
// of the customer.
func since(p qingting.Priority, signals []qingting.Signal, messages []*item, first time.Time) time.Time {
	var earliest time.Time
	for i := range signals {
		s := &signals[i]
		if s.Message < 0 || s.Message >= len(messages) {
			continue
		}
		if alone, _ := qingting.Prioritize(qingting.KindOther, nil, signals[i:i+1]); alone != p || p == qingting.PriorityP3 {
			continue
		}
		if t := messages[s.Message].Received; earliest.IsZero() || t.Before(earliest) {
			earliest = t
		}
	}
	if earliest.IsZero() {
		return first
	}
	return earliest
}
