package live

import (
	"cmp"
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

// mark is when something happened and, of a message, where it stands in the
// conversation; seq is 0 for what is no message. All messages of one request
// are received at one time, so that the time alone does not tell a greeting
// from an answer.
type mark struct {
	at  time.Time
	seq int
	id  string
}

func markOf(m *item) mark { return mark{at: m.Received, seq: m.Seq, id: m.ID} }

// compareMarks orders by time, and within one by place.
func compareMarks(a, b mark) int {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq), cmp.Compare(a.id, b.id))
}

// follows reports whether m can be an answer to start: it happened no earlier
// and, when it is a message, stands behind it.
func (m mark) follows(start mark) bool {
	return !m.at.Before(start.at) && (m.seq == 0 || cmp.Or(cmp.Compare(m.seq, start.seq), cmp.Compare(m.id, start.id)) > 0)
}

// facts are what the clocks of one conversation depend on.
type facts struct {
	priority  qingting.Priority
	complaint bool
	since     mark      // the message that gave the priority
	first     mark      // the first message of the customer; zero: nothing runs
	answers   []mark    // of agents, rising
	acts      []mark    // answers, and what people did to alerts; rising
	raised    time.Time // first alert about the risk; zero: none
	closed    time.Time // zero while the conversation is open
}

// clocks returns the clocks of a conversation as they stand at now, in the
// order of their due times. It depends on nothing else, so that timers survive
// a restart.
func (r *Rules) clocks(f facts, now time.Time) []Clock {
	out := []Clock{}
	if f.first.at.IsZero() {
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
	since, first := f.since.at, f.first.at
	switch f.priority {
	case qingting.PriorityP0, qingting.PriorityP1:
		if f.priority == qingting.PriorityP0 {
			raised := f.raised
			if !raised.IsZero() && raised.Before(since) {
				raised = since // it was up already
			}
			add(ClockAlert, since, r.Alert, raised)
		}
		add(ClockHuman, since, r.Human, after(f.acts, f.since, 0))
		add(ClockProgress, since, r.Progress, after(f.acts, f.since, 1))
	case qingting.PriorityP2:
		add(ClockAnswer, first, r.AnswerP2, after(f.answers, f.first, 0))
	default:
		add(ClockAnswer, first, r.AnswerP3, after(f.answers, f.first, 0))
	}
	if f.complaint && f.closed.IsZero() {
		last := first
		if n := len(f.acts); n > 0 && f.acts[n-1].at.After(last) {
			last = f.acts[n-1].at
		}
		add(ClockNote, last, r.Note, time.Time{})
	}
	slices.SortStableFunc(out, func(a, b Clock) int { return a.Due.Compare(b.Due) })
	return out
}

// after is the time of the mark that follows start behind n others that do,
// zero when there is none; marks rise.
func after(marks []mark, start mark, n int) time.Time {
	for _, m := range marks {
		if !m.follows(start) {
			continue
		}
		if n == 0 {
			return m.at
		}
		n--
	}
	return time.Time{}
}

// since is the message that gave the conversation its priority: the earliest
// received whose signal alone would give it, otherwise the first of the
// customer.
func since(p qingting.Priority, signals []qingting.Signal, messages []*item, first mark) mark {
	var earliest mark
	for i := range signals {
		s := &signals[i]
		if s.Message < 0 || s.Message >= len(messages) {
			continue
		}
		if alone, _ := qingting.Prioritize(qingting.KindOther, nil, signals[i:i+1]); alone != p || p == qingting.PriorityP3 {
			continue
		}
		if m := markOf(messages[s.Message]); earliest.at.IsZero() || compareMarks(m, earliest) < 0 {
			earliest = m
		}
	}
	if earliest.at.IsZero() {
		return first
	}
	return earliest
}
