package live

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

const (
	// Beyond vectorsOpening messages of the opening and vectorsEnd of the end
	// the pipeline reads no vector of a message, so that none is made; see
	// maxVectors in the root package.
	vectorsOpening = 20
	vectorsEnd     = 180
	// An analysis that failed because something around it did is tried again
	// after retryFirst, then twice as long each time up to retryLast.
	retryFirst = time.Second
	retryLast  = time.Minute
)

// passage is a conversation as a worker reads it, outside the lock.
type passage struct {
	meta       qingting.Conversation
	messages   []*item
	generation int
	levels     map[int]qingting.RiskLevel
}

// reading is what came of it.
type reading struct {
	analysis *qingting.Analysis
	shown    qingting.RiskLevel
	levels   map[int]qingting.RiskLevel // nil when they are not to be kept
	promises []qingting.Promise
	reduced  bool
	begun    time.Time // when the stages had their turn
}

// look brings a conversation up to date: it is analysed when there is
// something new in it, and what is due by its timers is done. One worker at a
// time looks at a conversation.
func (s *Service) look(ctx context.Context, key qingting.Key, since time.Time) (err error) {
	r := s.hold(key)
	defer s.drop(r)
	defer func() {
		// One conversation that makes a stage panic must not take the others
		// along.
		if p := recover(); p != nil {
			s.panicked(p)
			err = fmt.Errorf("%w: panic", ErrAnalysis)
		}
		if err != nil {
			s.failed(ctx, r, err)
		}
	}()
	p, err := s.passage(ctx, r)
	if err != nil {
		return err
	}
	if p != nil {
		read, err := s.read(ctx, p)
		if err != nil {
			return err
		}
		if err := s.keep(ctx, r, p, read); err != nil {
			return err
		}
		s.counts.analysis.observe(time.Since(read.begun))
		s.counts.behind.observe(s.parts.Now().Sub(since))
	}
	return s.with(ctx, key, func(r *record) error { return s.tick(ctx, r) })
}

// passage returns what there is to read, nil when nothing is.
func (s *Service) passage(ctx context.Context, r *record) (*passage, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.leave()
	if err := s.load(ctx, r); err != nil {
		return nil, err
	}
	again := r.reduced && !s.now().Before(r.retry)
	if len(r.messages) == 0 || r.stuck == r.meta.Version || r.meta.Analysed >= r.meta.Version && !again {
		return nil, nil
	}
	return &passage{
		meta: r.meta, generation: r.generation, levels: maps.Clone(r.levels),
		messages: r.messages[:len(r.messages):len(r.messages)],
	}, nil
}

// read runs the stages. It depends on nothing but the messages, unless
// something is out of order; then the reading is marked and made again later.
func (s *Service) read(ctx context.Context, p *passage) (*reading, error) {
	s.stages <- struct{}{}
	defer func() { <-s.stages }()
	mode, out := s.opt.Mode, &reading{begun: time.Now()}
	pipeline, err := s.parts.Pipelines(p.meta.Tenant)
	if err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	var missing *qingting.Unavailable
	if until, from := s.isReduced(); until {
		mode, missing = qingting.ModeFast, &qingting.Unavailable{Component: componentAnalysis, Code: "panics", Since: &from}
		if s.parts.Plain != nil {
			pipeline = s.parts.Plain
		}
	}
	messages, err := s.prepare(ctx, pipeline, p.messages, mode)
	if err != nil && mode == qingting.ModeFull && ctx.Err() == nil {
		s.parts.Log.Warn("encoder failed, reading without it", "error", err)
		mode, missing = qingting.ModeFast, &qingting.Unavailable{Component: componentAnalysis, Code: "encoder_failed"}
		messages, err = s.prepare(ctx, pipeline, p.messages, mode)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	t := qingting.Transcript{ID: p.meta.ID, Channel: p.meta.Channel, CustomerRef: p.meta.CustomerRef}
	a, err := pipeline.AnalyzePrepared(ctx, t, messages, mode)
	if err != nil {
		return nil, fmt.Errorf("analyze: %w", err)
	}
	out.analysis = a
	now := a.Risk.Level
	last := lastCustomer(messages)
	previous, known := p.levels[last]
	if mode != s.opt.Mode {
		known = false
	}
	// What is high already is shown so, whatever was before.
	if last > 0 && !known && now != qingting.RiskHigh {
		s.counts.levels.Add(1)
		if previous, err = pipeline.Level(ctx, t, messages[:last:last], mode); err != nil {
			return nil, fmt.Errorf("level: %w", err)
		}
		known = mode == s.opt.Mode
	}
	out.shown = qingting.Shown(now, previous)
	if mode == s.opt.Mode {
		out.levels = map[int]qingting.RiskLevel{len(messages): now}
		if known {
			out.levels[last] = previous
		}
	}
	addConcealed(a, p.messages)
	if missing != nil {
		a.Mode, out.reduced = qingting.ModeDegraded, true
		a.Unavailable = append(a.Unavailable, *missing)
	}
	if s.parts.FindPromises != nil {
		stored := make([]qingting.StoredMessage, len(p.messages))
		for i, m := range p.messages {
			stored[i] = s.local(m)
		}
		out.promises = s.parts.FindPromises(stored)
	}
	return out, nil
}

// componentAnalysis is the component that this package names as unavailable.
const componentAnalysis = "analysis"

func ours(u qingting.Unavailable) bool { return u.Component == componentAnalysis }

// local is the message with its times in the zone of the customers, whatever
// zone they were written in: relative dates are read in it.
func (s *Service) local(m *item) qingting.StoredMessage {
	out := m.StoredMessage
	out.Received = out.Received.In(s.opt.Zone)
	if !out.SentAt.IsZero() {
		out.SentAt = out.SentAt.In(s.opt.Zone)
	}
	return out
}

// prepare prepares what has not been, and returns the messages as the mode
// reads them.
func (s *Service) prepare(ctx context.Context, pipeline Pipeline, items []*item, mode qingting.Mode) ([]*qingting.Prepared, error) {
	out := make([]*qingting.Prepared, len(items))
	prepare := func(n int) error { // as a conversation of n messages is read
		for i, m := range items[:n] {
			encode := mode == qingting.ModeFull && (i < vectorsOpening || i >= n-vectorsEnd)
			if m.prepared == nil || encode && !m.encoded {
				how := qingting.ModeFast
				if encode {
					how = qingting.ModeFull
				}
				said := s.local(m).Message
				read := said
				if s.parts.Legible != nil && len(m.Concealed) > 0 {
					read.Text = s.parts.Legible(said.Text, m.Concealed)
				}
				prepared, err := pipeline.Prepare(ctx, read, how)
				if err != nil {
					return err
				}
				prepared.Text = said.Text // what quotes are taken from; its characters stand at the same places
				m.prepared, m.encoded = prepared, encode
			}
			out[i] = m.prepared
			if mode == qingting.ModeFast && m.prepared.Vector != nil {
				plain := *m.prepared
				plain.Vector = nil
				out[i] = &plain
			}
		}
		return nil
	}
	if err := prepare(len(items)); err != nil {
		return nil, err
	}
	// The level before the last message of the customer is that of a shorter
	// conversation, whose end has vectors too.
	if last := lastCustomer(out); mode == qingting.ModeFull && last > 0 {
		return out, prepare(last)
	}
	return out, nil
}

// lastCustomer is the index of the last message of the customer that says
// something, or 0.
func lastCustomer(messages []*qingting.Prepared) int {
	for i := len(messages) - 1; i > 0; i-- {
		if messages[i].Role == qingting.RoleCustomer && len(messages[i].Clean) > 0 {
			return i
		}
	}
	return 0
}

// addConcealed adds the personal data that was replaced: that it was told is a
// fact, what it was is not kept. Lists are in order of the conversation.
func addConcealed(a *qingting.Analysis, messages []*item) {
	added := false
	for i, m := range messages {
		var text []rune
		for _, c := range m.Concealed {
			if text == nil {
				text = []rune(m.Text)
			}
			if c.Start < 0 || c.End > len(text) || c.Start >= c.End {
				continue
			}
			quote := string(text[c.Start:c.End])
			a.Slots = append(a.Slots, qingting.Slot{
				Kind: c.Kind, Value: quote,
				Span: qingting.Span{Message: i, MessageID: m.ID, Start: c.Start, End: c.End, Quote: quote},
			})
			added = true
		}
	}
	if added {
		slices.SortStableFunc(a.Slots, func(x, y qingting.Slot) int {
			return cmp.Or(cmp.Compare(x.Message, y.Message), cmp.Compare(x.Start, y.Start))
		})
	}
}

// overview is what lists show of an analysis.
func overview(a *qingting.Analysis, shown qingting.RiskLevel) qingting.Overview {
	o := qingting.Overview{
		Kind: a.Kind.Code, Emotion: a.Emotion.Code, Intensity: a.Emotion.Intensity,
		Risk: shown, Score: a.Risk.Score, Priority: a.Priority,
	}
	if a.Primary != nil {
		o.Primary = *a.Primary
	}
	weight := 0.0
	for _, s := range a.Risk.Signals {
		if s.Weight > weight {
			weight, o.Quote = s.Weight, s.Quote
		}
	}
	for _, t := range a.Types {
		if o.Quote == "" && t.Code == o.Primary && len(t.Evidence) > 0 {
			o.Quote = t.Evidence[0].Quote
		}
	}
	return o
}

// keepTries is how often an analysis is written anew when an alert was changed
// meanwhile behind this service's back.
const keepTries = 3

// keep saves a reading with what follows from it, and tells listeners.
func (s *Service) keep(ctx context.Context, r *record, p *passage, read *reading) error {
	body, err := json.Marshal(read.analysis)
	if err != nil {
		return fmt.Errorf("encode analysis: %w", err)
	}
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	for try := 1; ; try++ {
		if err := s.load(ctx, r); err != nil {
			return err
		}
		err := s.save(ctx, r, p, read, body)
		if err == nil {
			return nil
		}
		s.unload(r)
		if !errors.Is(err, store.ErrConflict) || try == keepTries {
			return fmt.Errorf("save: %w", err)
		}
	}
}

// save is one try of keep. The lock is held and the record is loaded.
func (s *Service) save(ctx context.Context, r *record, p *passage, read *reading, body []byte) error {
	now := s.now()
	version := p.meta.Version
	shown := overview(read.analysis, read.shown)

	earlier, matter := r.meta.Earlier, r.meta.CustomerRef+"\n"+string(shown.Primary)
	if r.matter != matter {
		earlier = nil
		if r.meta.CustomerRef != "" && shown.Primary != "" {
			var err error
			if earlier, err = s.parts.Store.Related(ctx, r.key, r.meta.CustomerRef, shown.Primary, r.meta.Created); err != nil {
				return err
			}
		}
	}
	found := s.found(r, read.promises, now)
	change, news := s.judge(ctx, r, read.analysis, shown, now)

	// Events carry the version that was read, and the conversation as it will
	// be.
	after := r.meta
	after.Analysed, after.Overview, after.Earlier = version, shown, earlier
	at := after
	at.Version = version
	events := []qingting.Event{s.event(&at, qingting.EventAnalysis, Update{Overview: shown, Earlier: earlier, Analysis: body})}
	record := store.AnalysisRecord{
		Key: r.key, Version: version, Overview: shown, Body: body, Earlier: earlier, Promises: found,
	}
	if change != nil {
		record.Alerts = []store.AlertChange{*change}
		next := change.Alert
		next.Version++
		events = append(events, s.event(&at, news, next))
	}
	for _, q := range found {
		if !slices.ContainsFunc(r.promises, func(known qingting.Promise) bool { return known.ID == q.ID }) {
			events = append(events, s.event(&at, qingting.EventPromise, q))
		}
	}
	record.Outbox = s.outbox(events)
	alerts, err := s.parts.Store.SaveAnalysis(ctx, record)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		if r.promises, err = s.parts.Store.Promises(ctx, r.key); err != nil {
			return err
		}
	}
	for _, a := range alerts {
		s.changed(r, a)
	}
	r.meta, r.matter, r.failed, r.attempts = after, matter, 0, 0
	r.since = since(shown.Priority, read.analysis.Risk.Signals, p.messages, r.first())
	if r.generation == p.generation && read.levels != nil {
		r.levels = read.levels
	}
	r.reduced = read.reduced
	if r.reduced {
		r.retry = now.Add(reducedFor)
	}
	s.publish(events...)
	r.answer(version, nil)
	return nil
}

// Update is the data of an analysis.updated event.
type Update struct {
	Overview qingting.Overview `json:"overview"`
	Earlier  []string          `json:"earlier,omitempty"`
	Analysis json.RawMessage   `json:"analysis"`
}

// failed notes that the conversation could not be brought up to date, and when
// to try again. One that made a stage panic is analysed again with its next
// message only; its timers go on.
func (s *Service) failed(ctx context.Context, r *record, err error) {
	if ctx.Err() != nil {
		return // the service ends; what is behind is read after the next start
	}
	s.counts.failures.Add(1)
	s.parts.Log.Error("conversation not brought up to date", "tenant", r.key.Tenant, "conversation", r.key.ID, "error", err)
	if r.enter(ctx) != nil {
		return
	}
	defer r.leave()
	if errors.Is(err, qingting.ErrNotFound) {
		r.answer(1<<62, qingting.ErrNotFound)
		return
	}
	r.failed = r.meta.Version
	if errors.Is(err, ErrAnalysis) {
		r.stuck = r.meta.Version
	}
	s.timer.earlier(r.key, s.now().Add(min(retryFirst<<min(r.attempts, 10), retryLast)))
	r.attempts++
	r.answer(1<<62, ErrAnalysis)
}
