package live

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/qingting-ai/qingting"
)

// EventResync tells a subscriber that events were lost to it: it reads the
// present state again and goes on from there.
const EventResync qingting.EventType = "resync"

// Published is an event as subscribers get it.
type Published struct {
	qingting.Event
	// Cursor is the place in the tenant's stream, "<boot>-<n>", for
	// Last-Event-ID. The event's own ID is the same in streams and webhooks.
	Cursor string
	// JSON is the encoded event, made once for all subscribers. Nobody changes
	// it.
	JSON []byte
}

// Filter says which events of a tenant a subscriber gets; zero fields do not
// narrow.
type Filter struct {
	Tenant string
	// Teams are the teams whose events are seen; nil is all of them, an empty
	// list none but the events of no team.
	Teams        []string
	Conversation string
	Types        []qingting.EventType
}

func (f *Filter) wants(e *qingting.Event) bool {
	return (f.Conversation == "" || f.Conversation == e.Conversation) &&
		(f.Teams == nil || e.Team == "" || slices.Contains(f.Teams, e.Team)) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, e.Type))
}

// hub hands events to subscribers and remembers the latest of each tenant. It
// never waits for a subscriber. It may be used concurrently.
type hub struct {
	boot  string // names this run of the program, so that an old cursor is not taken for a new one
	size  int    // events kept for each tenant
	bytes int    // and at most so many encoded bytes
	queue int    // events a subscriber may be behind

	mu      sync.Mutex
	closed  bool
	streams map[string]*stream
	dropped int64
	events  int64
}

// stream is one tenant's part of the hub.
type stream struct {
	n           int64 // number of the latest event
	ring        []Published
	first       int // index of the oldest in ring
	bytes       int
	subscribers map[*Subscription]struct{}
}

func newHub(boot string, size, bytes, queue int) *hub {
	return &hub{boot: boot, size: size, bytes: bytes, queue: queue, streams: map[string]*stream{}}
}

// Subscription is one reader's place in the stream of events.
type Subscription struct {
	// Events are in the order they were published. The channel is closed after
	// a resync event that says the reader was too slow, and when the service
	// ends or Close was called.
	Events <-chan Published

	hub    *hub
	filter Filter
	events chan Published
	once   sync.Once
}

// Close ends the subscription and may be called more than once.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.end()
}

// end is called with the lock of the hub held.
func (s *Subscription) end() {
	s.once.Do(func() {
		if st := s.hub.streams[s.filter.Tenant]; st != nil {
			delete(st.subscribers, s)
		}
		close(s.events)
	})
}

func (h *hub) stream(tenant string) *stream {
	st := h.streams[tenant]
	if st == nil {
		st = &stream{subscribers: map[*Subscription]struct{}{}}
		h.streams[tenant] = st
	}
	return st
}

func (h *hub) cursor(n int64) string { return h.boot + "-" + strconv.FormatInt(n, 10) }

// publish numbers the events and gives them to everyone who wants them. The
// order of calls is the order of the stream. An event whose data has no JSON
// form is a mistake of the program and is returned as an error; the others go
// out.
func (h *hub) publish(events ...qingting.Event) error {
	encoded := make([][]byte, len(events))
	var bad error
	for i := range events {
		var err error
		if encoded[i], err = json.Marshal(&events[i]); err != nil {
			bad = fmt.Errorf("encode event %s: %w", events[i].Type, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return bad
	}
	for i, e := range events {
		if encoded[i] == nil {
			continue
		}
		st := h.stream(e.Tenant)
		st.n++
		h.events++
		p := Published{Event: e, Cursor: h.cursor(st.n), JSON: encoded[i]}
		st.keep(p, h.size, h.bytes)
		for sub := range st.subscribers {
			if sub.filter.wants(&e) {
				h.send(sub, p)
			}
		}
	}
	return bad
}

// send never blocks: the last place of the queue is kept for the word that the
// subscriber was too slow.
func (h *hub) send(sub *Subscription, p Published) {
	if len(sub.events) < cap(sub.events)-1 {
		sub.events <- p
		return
	}
	sub.events <- h.resync(sub.filter.Tenant, p.Cursor)
	h.dropped++
	sub.end()
}

func (h *hub) resync(tenant, cursor string) Published {
	e := qingting.Event{ID: cursor, Type: EventResync, Tenant: tenant}
	b, _ := json.Marshal(&e) // plain fields always encode
	return Published{Event: e, Cursor: cursor, JSON: b}
}

// keep adds an event to the ring and forgets the oldest beyond the limits.
func (st *stream) keep(p Published, size, bytes int) {
	st.bytes += len(p.JSON)
	if len(st.ring) < size {
		st.ring = append(st.ring, p)
	} else {
		st.bytes -= len(st.ring[st.first].JSON)
		st.ring[st.first] = p
		st.first = (st.first + 1) % size
	}
	if st.bytes <= bytes {
		return
	}
	ordered := slices.Concat(st.ring[st.first:], st.ring[:st.first])
	for len(ordered) > 1 && st.bytes > bytes/2 { // half, so that it is rarely done
		st.bytes -= len(ordered[0].JSON)
		ordered = ordered[1:]
	}
	st.ring, st.first = slices.Clone(ordered), 0
}

// subscribe starts a subscription behind the event whose cursor is last; with
// "" it starts now. A cursor of another run, or one that the ring has
// forgotten, gives a resync event first.
func (h *hub) subscribe(f Filter, last string) (*Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	st := h.stream(f.Tenant)
	var missed []Published
	if last != "" {
		n, known := h.number(last)
		oldest := st.n - int64(len(st.ring)) // the number before the oldest kept
		switch {
		case !known || n > st.n || n < oldest:
			missed = append(missed, h.resync(f.Tenant, h.cursor(st.n)))
		default:
			for i := int(n - oldest); i < len(st.ring); i++ {
				if p := st.ring[(st.first+i)%len(st.ring)]; f.wants(&p.Event) {
					missed = append(missed, p)
				}
			}
		}
	}
	sub := &Subscription{hub: h, filter: f, events: make(chan Published, len(missed)+h.queue+1)}
	sub.Events = sub.events
	for _, p := range missed {
		sub.events <- p
	}
	st.subscribers[sub] = struct{}{}
	return sub, nil
}

func (h *hub) number(cursor string) (int64, bool) {
	digits, ours := strings.CutPrefix(cursor, h.boot+"-")
	if !ours || len(digits) > 18 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == digits
}

// close ends every subscription; later events go nowhere.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, st := range h.streams {
		for sub := range st.subscribers {
			sub.end()
		}
	}
}
