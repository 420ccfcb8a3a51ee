// Package live keeps the state of conversations that go on: it takes messages
// in, reads them again and again as they grow, raises alerts, watches service
// clocks and promises, and tells everybody who listens.
//
// What is analysed and saved depends on nothing but the final messages in the
// order of (seq, message_id): not on the order they arrived in, how they were
// split into requests, or whether the program was restarted meanwhile. The
// store is the truth; everything in memory can be dropped and is read again
// when it is needed.
//
// How it runs: a write is acknowledged when the store has committed it. The
// conversation then stands in a queue, at most once, until a worker reads
// everything that is new in it. A conversation's record in memory and in the
// store change together under one lock per conversation, which also puts its
// events in order; stages run outside that lock. Timers are a heap of
// conversations by the time something may be due; at that time the
// conversation stands in the same queue.
package live

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

// Errors a caller branches on, beside those of the store and of root.
var (
	// ErrBusy is too much work waiting; trying again in a second helps.
	ErrBusy = errors.New("too many conversations wait to be analysed")
	// ErrClosed is a service that ends or has ended.
	ErrClosed = errors.New("the live service has ended")
	// ErrAnalysis is a conversation whose latest version could not be analysed.
	// Its messages are kept.
	ErrAnalysis = errors.New("the conversation could not be analysed")
	// ErrState is a step that the alert's or promise's state does not allow.
	ErrState = errors.New("the present state does not allow it")
)

// Pipeline reads conversations; *qingting.Pipeline is one. It may be called
// concurrently.
type Pipeline interface {
	Prepare(ctx context.Context, m qingting.Message, mode qingting.Mode) (*qingting.Prepared, error)
	AnalyzePrepared(ctx context.Context, t qingting.Transcript, messages []*qingting.Prepared, mode qingting.Mode) (*qingting.Analysis, error)
	Level(ctx context.Context, t qingting.Transcript, messages []*qingting.Prepared, mode qingting.Mode) (qingting.RiskLevel, error)
}

// Parts are what a Service is made of. Pipelines and Store are required. Every
// function may be called concurrently.
type Parts struct {
	// Pipelines returns the pipeline of a tenant, with its own cases.
	Pipelines func(tenant string) (Pipeline, error)
	// Plain reads without search and drafts, in fast mode, after too many
	// panics; nil: the tenant's own pipeline does, in fast mode.
	Plain Pipeline
	Store Store
	// Conceal replaces the personal data of a text by asterisks, one for each
	// character; nil leaves texts as they are.
	Conceal func(text string) (string, []qingting.Concealed)
	// Legible replaces the asterisks of Conceal, one character for one, by what
	// the stages read best; nil lets them read asterisks. Quotes are taken from
	// the stored text.
	Legible func(concealed string, places []qingting.Concealed) string
	// FindPromises finds what agents promised, in the order of the messages; nil
	// finds nothing.
	FindPromises func(messages []qingting.StoredMessage) []qingting.Promise
	// Urgent reports whether a customer's message by itself carries a signal of
	// the rules, so that its conversation is read before others; nil: none is.
	Urgent func(text string) bool
	// Chain returns a team and the teams above it, nearest first; nil: no team
	// is above another.
	Chain func(tenant, team string) []string
	// Outbox renders the deliveries of an event, which the store writes in the
	// transaction of what the event tells; nil: none.
	Outbox func(e qingting.Event) []store.OutboxItem
	// Tenants lists the tenants whose open conversations have clocks to go on
	// with after a restart; nil: the default one.
	Tenants func(ctx context.Context) ([]string, error)
	// Now is the clock; nil: the real one.
	Now func() time.Time
	// Log gets what went wrong, never a customer's words; nil: nobody does.
	Log *slog.Logger
}

// Options are the settings of a Service; a zero field means its default.
type Options struct {
	Mode     qingting.Mode // full or fast; fast by default
	Workers  int           // stages that run at once; the number of processors by default
	Queue    int           // conversations that may wait for an analysis; 10,000
	Messages int           // prepared messages kept in memory, of all conversations; 60,000
	Ring     int           // events kept for Last-Event-ID, for each tenant; 4,096
	RingSize int           // and at most so many encoded bytes; 16 MiB
	Behind   int           // events a subscriber may be behind; 256
	Drain    time.Duration // how long Run may take to read what waits when it is told to end; 8 s
	// RefKey is the key of the hash that replaces a customer_ref which looks
	// like personal data; empty: a constant one.
	RefKey []byte
	// Zone is where the customers' clocks stand: relative dates (昨天) are read
	// in it. China by default.
	Zone  *time.Location
	Rules Rules
}

// Rules are the times and numbers of product rules; a zero field means its
// default.
type Rules struct {
	Again  time.Duration // an unclaimed alert is raised again after; 60 s
	Budget int           // loud alerts for each team and hour; 0 is no limit
	// Threshold is the probability of high risk below which a risk alert is
	// quiet, unless it is P0; in [0, 1]. It is chosen on the evaluation curve.
	Threshold float64

	Alert    time.Duration // P0: until somebody is alerted; 1 min
	Human    time.Duration // P0 and P1: until a person acts; 3 min
	Progress time.Duration // P0 and P1: until the next step; 2 h
	AnswerP2 time.Duration // P2: first answer; 30 min
	AnswerP3 time.Duration // P3: first answer; 24 h
	Note     time.Duration // complaints: from one progress note to the next; 24 h
	// Warn is the share of a clock's or promise's time after which people are
	// warned; 0.8. A promise is warned WarnPromise (30 min) before it is due
	// when that is later.
	Warn        float64
	WarnPromise time.Duration
}

func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

func (o *Options) defaults(processors int) {
	or(&o.Mode, qingting.ModeFast)
	or(&o.Workers, processors)
	or(&o.Queue, 10_000)
	or(&o.Messages, 60_000)
	or(&o.Ring, 4096)
	or(&o.RingSize, 16<<20)
	or(&o.Behind, 256)
	or(&o.Drain, 8*time.Second)
	or(&o.Zone, time.FixedZone("CST", 8*60*60))
	r := &o.Rules
	or(&r.Again, time.Minute)
	or(&r.Alert, time.Minute)
	or(&r.Human, 3*time.Minute)
	or(&r.Progress, 2*time.Hour)
	or(&r.AnswerP2, 30*time.Minute)
	or(&r.AnswerP3, 24*time.Hour)
	or(&r.Note, 24*time.Hour)
	or(&r.Warn, 0.8)
	or(&r.WarnPromise, 30*time.Minute)
}

// Service is the live state of all conversations. Every method may be called
// concurrently, before, while and after Run runs; analyses and timers happen
// only while it does.
type Service struct {
	parts Parts
	opt   Options
	hub   *hub
	queue *queue
	timer *timers

	mu       sync.Mutex // guards what follows, and place and refs of records
	records  map[qingting.Key]*record
	recent   *list.List // of *record that are loaded, the latest used first
	messages int        // in memory
	panics   []time.Time
	reduced  time.Time // analyses are reduced until then

	stages  chan struct{} // has room for the stages that may run at once
	closing atomic.Bool   // Run drains
	ended   chan struct{} // closed when Run has returned
	running atomic.Bool
	counts  counts
}

// New checks the parts. It starts nothing; Run does.
func New(p Parts, o Options) (*Service, error) {
	switch {
	case p.Pipelines == nil:
		return nil, errors.New("live: no Pipelines")
	case p.Store == nil:
		return nil, errors.New("live: no Store")
	case o.Mode != "" && o.Mode != qingting.ModeFull && o.Mode != qingting.ModeFast:
		return nil, errors.New("live: mode must be full or fast")
	case o.Workers < 0, o.Queue < 0, o.Messages < 0, o.Ring < 0, o.Behind < 0, o.Rules.Budget < 0:
		return nil, errors.New("live: a number is negative")
	case !(o.Rules.Threshold >= 0 && o.Rules.Threshold <= 1):
		return nil, errors.New("live: Threshold must be in [0, 1]")
	case o.Rules.Warn < 0 || o.Rules.Warn > 1:
		return nil, errors.New("live: Warn must be in [0, 1]")
	}
	o.defaults(runtime.GOMAXPROCS(0))
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		parts: p, opt: o,
		hub:     newHub(qingting.NewID("b"), o.Ring, o.RingSize, o.Behind),
		queue:   newQueue(o.Queue),
		timer:   newTimers(),
		records: map[qingting.Key]*record{},
		recent:  list.New(),
		stages:  make(chan struct{}, o.Workers),
		ended:   make(chan struct{}),
	}, nil
}

// now is the time as the store keeps it.
func (s *Service) now() time.Time { return s.parts.Now().UTC().Truncate(time.Microsecond) }

// Subscribe starts a subscription behind the event whose Cursor is last, or
// with now when last is "". A cursor that is unknown, as after a restart,
// gives a resync event first. The caller closes it.
func (s *Service) Subscribe(f Filter, last string) (*Subscription, error) {
	return s.hub.subscribe(f, last)
}

// Publish tells subscribers of something that happened outside this package,
// such as a changed case. The event gets an id and a time unless it has them.
func (s *Service) Publish(e qingting.Event) {
	s.publish(e)
}

func (s *Service) publish(events ...qingting.Event) {
	for i := range events {
		if events[i].ID == "" {
			events[i].ID = qingting.NewID("ev")
		}
		if events[i].At.IsZero() {
			events[i].At = s.now()
		}
	}
	if err := s.hub.publish(events...); err != nil {
		s.parts.Log.Error("event lost", "error", err)
	}
}

// outbox renders the deliveries of events that are about to be written.
func (s *Service) outbox(events []qingting.Event) []store.OutboxItem {
	if s.parts.Outbox == nil {
		return nil
	}
	var items []store.OutboxItem
	for _, e := range events {
		items = append(items, s.parts.Outbox(e)...)
	}
	return items
}
