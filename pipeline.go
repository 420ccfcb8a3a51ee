package qingting

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Stages are the parts of a Pipeline, in the order they run. Encoder,
// Retriever and Suggester may be nil: full mode is then refused, or the
// analysis says what is unavailable.
type Stages struct {
	Cleaner    Cleaner
	Segmenter  Segmenter
	Slots      SlotFinder
	Encoder    Encoder
	Matcher    Matcher
	Scorer     Scorer
	Classifier Classifier
	Assessor   Assessor
	Retriever  Retriever
	Suggester  Suggester
	// ModelID is the hash of weights and rules, shown in every analysis.
	ModelID string
}

// Pipeline turns a transcript into an analysis. It holds no state between
// calls and may be used concurrently.
type Pipeline struct {
	stages   Stages
	preparer Preparer
}

// NewPipeline checks that no required stage is missing.
func NewPipeline(s Stages) (*Pipeline, error) {
	switch {
	case s.Cleaner == nil:
		return nil, errors.New("pipeline: no Cleaner")
	case s.Segmenter == nil:
		return nil, errors.New("pipeline: no Segmenter")
	case s.Slots == nil:
		return nil, errors.New("pipeline: no SlotFinder")
	case s.Matcher == nil:
		return nil, errors.New("pipeline: no Matcher")
	case s.Scorer == nil:
		return nil, errors.New("pipeline: no Scorer")
	case s.Classifier == nil:
		return nil, errors.New("pipeline: no Classifier")
	case s.Assessor == nil:
		return nil, errors.New("pipeline: no Assessor")
	}
	return &Pipeline{
		stages:   s,
		preparer: Preparer{Cleaner: s.Cleaner, Segmenter: s.Segmenter, Slots: s.Slots, Encoder: s.Encoder, Matcher: s.Matcher},
	}, nil
}

// With returns a pipeline that searches the cases of another library; all
// other stages are shared. A tenant has its own cases.
func (p *Pipeline) With(r Retriever) *Pipeline {
	other := *p
	other.stages.Retriever = r
	return &other
}

// Analyze runs every stage over the messages in order of their seq, each that
// was delivered twice once. Indexes in the answer are those of the transcript
// as it was submitted. It returns an *InputError for input that breaks a
// limit. A retriever or suggester that fails degrades the answer and is named
// in Unavailable; the other stages are needed and fail the call.
func (p *Pipeline) Analyze(ctx context.Context, t Transcript, mode Mode) (*Analysis, error) {
	clock := newStopwatch()
	if err := t.Validate(); err != nil {
		return nil, err // before sorting: it names messages by their submitted index
	}
	t, from := t.asSaid()
	doc, err := p.preparer.Document(ctx, t, mode)
	if err != nil {
		return nil, err
	}
	clock.lap("prepare")
	a, err := p.analyze(ctx, doc, clock)
	if err != nil {
		return nil, err
	}
	a.renumber(from)
	return a, nil
}

// Prepare does the work of one message of a live conversation; the result is
// kept and given to AnalyzePrepared with every later message.
func (p *Pipeline) Prepare(ctx context.Context, m Message, mode Mode) (*Prepared, error) {
	return p.preparer.Message(ctx, m, mode)
}

// AnalyzePrepared answers as Analyze does for the conversation t with the
// messages that were prepared: valid, each once, in the order they are to be
// read; t.Messages is nil. Indexes are those of the slice. mode must be the one the
// messages were prepared in.
func (p *Pipeline) AnalyzePrepared(ctx context.Context, t Transcript, messages []*Prepared, mode Mode) (*Analysis, error) {
	clock := newStopwatch()
	doc := p.preparer.assemble(t, messages, mode)
	clock.lap("prepare")
	return p.analyze(ctx, doc, clock)
}

// Level is the risk level alone of a conversation as AnalyzePrepared takes it,
// without search and drafts.
func (p *Pipeline) Level(ctx context.Context, t Transcript, messages []*Prepared, mode Mode) (RiskLevel, error) {
	doc := p.preparer.assemble(t, messages, mode)
	_, f, err := p.understand(ctx, doc, newStopwatch())
	return f.Risk.Level, err
}

// understand runs the stages that every answer needs.
func (p *Pipeline) understand(ctx context.Context, doc *Document, clock *stopwatch) (c Classification, f Feeling, err error) {
	doc.Scores = p.stages.Scorer.Score(doc)
	clock.lap("score")
	if c, err = p.stages.Classifier.Classify(ctx, doc); err != nil {
		return c, f, fmt.Errorf("classify: %w", err)
	}
	clock.lap("classify")
	if f, err = p.stages.Assessor.Assess(ctx, doc, &c); err != nil {
		return c, f, fmt.Errorf("assess: %w", err)
	}
	clock.lap("assess")
	return c, f, nil
}

func (p *Pipeline) analyze(ctx context.Context, doc *Document, clock *stopwatch) (*Analysis, error) {
	c, f, err := p.understand(ctx, doc, clock)
	if err != nil {
		return nil, err
	}
	t, mode := &doc.Transcript, doc.Mode
	a := &Analysis{
		Schema: SchemaVersion, Taxonomy: TaxonomyVersion, Model: p.stages.ModelID, Mode: mode,
		Unavailable: []Unavailable{{Component: "llm", Code: "disabled"}},
		AsOf:        AsOf{Message: t.lastRead()},
		Kind:        c.Kind, Types: notNil(c.Types), Emotion: f.Emotion, Risk: f.Risk,
		Claims: notNil(c.Claims), Expectations: notNil(c.Expectations), Style: c.Style,
		Responsibility: c.Responsibility, Outcome: c.Outcome, Satisfaction: c.Satisfaction, Slots: notNil(c.Slots),
		Cases: []Match{}, Suggestions: []Suggestion{},
	}
	if t.ID != "" {
		a.ID = &t.ID
	}
	if c.Primary != "" {
		a.Primary = &c.Primary
	}
	a.Emotion.ByMessage = notNil(a.Emotion.ByMessage)
	a.Risk.Signals = notNil(a.Risk.Signals)
	if mode == ModeFast {
		a.Unavailable = append(a.Unavailable, Unavailable{Component: "encoder", Code: "fast_mode"})
	}
	a.Priority, a.Routes = Prioritize(a.Kind.Code, a.Types, a.Risk.Signals)

	a.Retrieval.Status = RetrievalUnavailable
	if p.stages.Retriever != nil {
		r, err := p.stages.Retriever.Retrieve(ctx, doc, a)
		if err == nil {
			a.Retrieval.Status, a.Cases, a.FailedCase = r.Status, notNil(r.Cases), r.Failed
		} else {
			a.degrade("retrieval", err)
		}
		clock.lap("retrieve")
	} else {
		a.Unavailable = append(a.Unavailable, Unavailable{Component: "retrieval", Code: "disabled"})
	}
	if p.stages.Suggester != nil {
		s, err := p.stages.Suggester.Suggest(ctx, doc, a)
		if err == nil {
			a.Suggestions = notNil(s)
		} else {
			a.degrade("suggest", err)
		}
		clock.lap("suggest")
	} else {
		a.Unavailable = append(a.Unavailable, Unavailable{Component: "suggest", Code: "disabled"})
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.Latency = Latency{Total: milliseconds(time.Since(clock.start)), Stages: clock.stages}
	return a, nil
}

// degrade marks a component that failed. The error itself stays inside: it
// may quote the customer.
func (a *Analysis) degrade(component string, err error) {
	code := "failed"
	if errors.Is(err, context.DeadlineExceeded) {
		code = "timeout"
	}
	a.Mode = ModeDegraded
	a.Unavailable = append(a.Unavailable, Unavailable{Component: component, Code: code})
}

// Prioritize derives the priority, first match from P0 to P3, and the routes
// of the legal classes, from the table at the end of the label guide.
func Prioritize(kind Kind, types []TypeScore, signals []Signal) (Priority, []Route) {
	hasType := func(t Type) bool {
		return slices.ContainsFunc(types, func(s TypeScore) bool { return s.Code == t })
	}
	hasSignal := func(codes ...SignalCode) bool {
		return slices.ContainsFunc(signals, func(s Signal) bool { return slices.Contains(codes, s.Code) })
	}
	var routes []Route
	if hasType(TypeLeak) || hasSignal(SignalPrivacy) {
		routes = append(routes, RouteCompliance)
	}
	if hasType(TypeSafety) || hasSignal(SignalSafetyInjury) {
		routes = append(routes, RouteRecall)
	}
	if hasType(TypeDiscrimination) || hasSignal(SignalDiscrimination) {
		routes = append(routes, RouteInvestigation)
	}
	switch {
	case hasSignal(SignalSafetyInjury, SignalMedia) || hasType(TypeSafety):
		return PriorityP0, routes
	case hasSignal(SignalRegulator, SignalLegal, SignalPrivacy, SignalDiscrimination, SignalVulnerable),
		hasType(TypeQuality) && hasSignal(SignalFinancialLoss):
		return PriorityP1, routes
	case kind == KindComplaint:
		return PriorityP2, routes
	}
	return PriorityP3, routes
}

type stopwatch struct {
	start, last time.Time
	stages      map[string]float64
}

func newStopwatch() *stopwatch {
	now := time.Now()
	return &stopwatch{start: now, last: now, stages: map[string]float64{}}
}

func (s *stopwatch) lap(stage string) {
	now := time.Now()
	s.stages[stage] = milliseconds(now.Sub(s.last))
	s.last = now
}

// milliseconds rounds to a microsecond, which is as much as the clock means.
func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}

// notNil makes an absent list [] in JSON, not null.
func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
