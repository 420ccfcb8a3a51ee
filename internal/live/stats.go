package live

import (
	"sync/atomic"
	"time"
)

// counts grow for the life of the service.
type counts struct {
	ingested, refused, failures, panics atomic.Int64
	loads, evictions, levels            atomic.Int64
	raised, quiet, again                atomic.Int64
	analysis                            histogram // time of an analysis, with saving it
	behind                              histogram // from the message to the end of its analysis
}

// bounds of the histograms, in seconds.
var bounds = [...]float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10}

// histogram counts durations. It may be used concurrently.
type histogram struct {
	buckets [len(bounds) + 1]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d.Seconds() > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// Histogram is a distribution of durations. Buckets are cumulative, as
// Prometheus wants them: how many took at most so many seconds.
type Histogram struct {
	Count   uint64
	Sum     float64 // seconds
	Buckets map[float64]uint64
}

func (h *histogram) snapshot() Histogram {
	out := Histogram{Sum: time.Duration(h.sum.Load()).Seconds(), Buckets: make(map[float64]uint64, len(bounds))}
	for i := range h.buckets {
		out.Count += uint64(h.buckets[i].Load())
		if i < len(bounds) {
			out.Buckets[bounds[i]] = out.Count
		}
	}
	return out
}

// Stats are figures for metrics: some of the moment, some that only grow.
type Stats struct {
	// Of the moment.
	Waiting       int           // conversations in the queue
	WaitingUrgent int           // those of them that are read first
	Oldest        time.Duration // how long the first of them has waited
	Conversations int           // in memory
	Messages      int           // in memory
	Timers        int           // conversations with a timer
	Subscribers   int
	RingEvents    int
	RingBytes     int
	Reduced       bool // analyses go without search and vectors, after panics

	// That only grow.
	Ingested     int64 // messages
	Refused      int64 // writes, with ErrBusy
	Failures     int64 // analyses and timers
	Panics       int64
	Loads        int64 // conversations read from the store
	Evictions    int64 // conversations dropped from memory
	Levels       int64 // levels that had to be worked out beside an analysis
	AlertsRaised int64
	AlertsQuiet  int64
	AlertsAgain  int64
	Events       int64
	Dropped      int64 // subscribers that were too slow

	Analysis Histogram // of one analysis, with saving it
	Behind   Histogram // from the oldest unread message to the end of its analysis
}

// Stats returns the present figures.
func (s *Service) Stats() Stats {
	out := Stats{
		Timers: s.timer.len(), Ingested: s.counts.ingested.Load(), Refused: s.counts.refused.Load(), Failures: s.counts.failures.Load(),
		Panics: s.counts.panics.Load(), Loads: s.counts.loads.Load(), Evictions: s.counts.evictions.Load(), Levels: s.counts.levels.Load(),
		AlertsRaised: s.counts.raised.Load(), AlertsQuiet: s.counts.quiet.Load(), AlertsAgain: s.counts.again.Load(),
		Analysis: s.counts.analysis.snapshot(), Behind: s.counts.behind.snapshot(),
	}
	out.Waiting, out.WaitingUrgent, out.Oldest = s.queue.length(s.now())
	out.Reduced, _ = s.isReduced()
	s.mu.Lock()
	out.Conversations, out.Messages = len(s.records), s.messages
	s.mu.Unlock()
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	out.Events, out.Dropped = s.hub.events, s.hub.dropped
	for _, st := range s.hub.streams {
		out.Subscribers += len(st.subscribers)
		out.RingEvents += len(st.ring)
		out.RingBytes += st.bytes
	}
	return out
}
