package llm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/qingting-ai/qingting"
)

// LevelFunc is the table of the label guide that the risk follows.
type LevelFunc func(kind qingting.Kind, emotion qingting.EmotionCode, intensity int, signals []qingting.SignalCode) qingting.RiskLevel

// Stages of Analysis.Latency. A time under StageCached says nothing of the
// model: at least one answer came from a recording.
const (
	StageModel  = "llm"
	StageCached = "llm_cache"
)

// Analyzer reads conversations with a model. It may be used concurrently.
type Analyzer struct {
	client *Client
	level  LevelFunc
	system string
	schema *Schema
	repeat int
}

// NewAnalyzer makes an analyzer. repeat numbers independent readings of the
// same conversations, from 0.
func NewAnalyzer(c *Client, level LevelFunc, repeat int) (*Analyzer, error) {
	if c == nil || level == nil {
		return nil, errors.New("llm: no client, or no table of risk levels")
	}
	schema, err := analysisSchema()
	if err != nil {
		return nil, err
	}
	return &Analyzer{client: c, level: level, system: systemPrompt(), schema: schema, repeat: repeat}, nil
}

// Identity names everything that the answers depend on.
func (a *Analyzer) Identity() map[string]string {
	o := &a.client.o
	prompt := sha256.New()
	for _, s := range []string{a.system, question(&Masked{}), correction(""), string(a.schema.JSON)} {
		prompt.Write([]byte(s))
		prompt.Write([]byte{0})
	}
	id := map[string]string{
		"model": o.Model, "host": o.Host, "prompt": hex.EncodeToString(prompt.Sum(nil)[:8]),
		"format": string(o.Format), "max_tokens": strconv.Itoa(o.MaxTokens), "repeat": strconv.Itoa(a.repeat),
		"temperature": "default", "seed": "none",
	}
	if o.Temperature != nil {
		id["temperature"] = strconv.FormatFloat(*o.Temperature, 'g', -1, 64)
	}
	if o.Seed != nil {
		id["seed"] = strconv.Itoa(*o.Seed)
	}
	return id
}

// ID is a hash of the identity, as Analysis.Model shows it.
func (a *Analyzer) ID() string {
	sum := sha256.Sum256([]byte(fmt.Sprint(a.Identity()))) // fmt prints maps in the order of their keys
	return hex.EncodeToString(sum[:6])
}

// Analyze reads a conversation. An answer that does not fit the schema or the
// label guide is asked for once more, with what is wrong. It returns an
// *qingting.InputError for input that breaks a limit, an *Error for a model that
// fails, and the cause of ctx when that ends first.
//
// The risk level follows the table of the label guide. Quotes that the customer
// never wrote are dropped, and signals without words with them. The course of
// the emotion, slots, cases and suggestions are not asked for.
func (a *Analyzer) Analyze(ctx context.Context, t qingting.Transcript) (*qingting.Analysis, error) {
	start := time.Now()
	if err := t.Validate(); err != nil {
		return nil, err
	}
	m := Mask(t)
	r := Request{Turns: []Turn{{"system", a.system}, {"user", question(m)}}, Schema: a.schema, Repeat: a.repeat}
	reply, err := a.client.Complete(ctx, r)
	if err != nil {
		return nil, err
	}
	cached := reply.Cached
	said, code, problem := parse(reply.Text)
	if code != "" {
		a.client.count(func(s *Stats) { s.Repaired++ })
		r.Turns = append(r.Turns, Turn{"assistant", short(reply.Text, 4000)}, Turn{"user", correction(problem)})
		if reply, err = a.client.Complete(ctx, r); err != nil {
			return nil, err
		}
		cached = cached || reply.Cached
		if said, code, problem = parse(reply.Text); code != "" {
			a.client.count(func(s *Stats) { s.Errors[code]++ })
			return nil, a.client.fail(code, "两次回答都不合格：%s", problem)
		}
	}
	out := a.analysis(t, m, said)
	elapsed := float64(time.Since(start).Microseconds()) / 1000
	out.Latency = qingting.Latency{Total: elapsed, Stages: map[string]float64{StageModel: elapsed}}
	if cached {
		out.Latency.Stages = map[string]float64{StageCached: elapsed}
	}
	return out, nil
}

// clip keeps a stated probability away from certainty, which no model has: one
// wrong certainty would outweigh a whole evaluation.
func clip(p float64) float64 { return min(max(p, 0.01), 0.99) }

// analysis turns a valid answer into the product's form.
func (a *Analyzer) analysis(t qingting.Transcript, m *Masked, s *answer) *qingting.Analysis {
	invented := 0
	evidence := func(q *quoted) []qingting.Span {
		if *q.Quote == "" {
			return []qingting.Span{}
		}
		if span, ok := m.find(*q.Quote, *q.Message); ok {
			return []qingting.Span{span}
		}
		invented++
		return []qingting.Span{}
	}
	out := &qingting.Analysis{
		Schema: qingting.SchemaVersion, Taxonomy: qingting.TaxonomyVersion, Model: a.ID(), Mode: qingting.ModeFull,
		Unavailable:    []qingting.Unavailable{{Component: "retrieval", Code: "disabled"}, {Component: "suggest", Code: "disabled"}},
		AsOf:           qingting.AsOf{Message: m.last()},
		Kind:           score[qingting.Kind](s.Kind),
		Types:          []qingting.TypeScore{},
		Claims:         []qingting.Claim{},
		Expectations:   []qingting.Expectation{},
		Style:          score[qingting.Style](s.Style),
		Outcome:        score[qingting.Outcome](s.Outcome),
		Responsibility: qingting.Score[qingting.Responsibility]{Code: qingting.ResponsibilityUnclear}, // not asked for
		Slots:          []qingting.Slot{},
		Retrieval:      qingting.RetrievalInfo{Status: qingting.RetrievalUnavailable},
		Cases:          []qingting.Match{},
		Suggestions:    []qingting.Suggestion{},
	}
	if t.ID != "" {
		out.ID = &t.ID
	}
	if out.Kind.Code == qingting.KindComplaint { // others have no types, whatever was said
		for i := range *s.Types {
			q := &(*s.Types)[i]
			code := qingting.Type(*q.Code)
			if !slices.ContainsFunc(out.Types, func(o qingting.TypeScore) bool { return o.Code == code }) {
				out.Types = append(out.Types, qingting.TypeScore{Code: code, Confidence: clip(*q.P), Evidence: evidence(q)})
			}
		}
		primary := qingting.Type(*s.Primary)
		out.Primary = &primary
	}
	for i := range *s.Claims {
		c := &(*s.Claims)[i]
		code := qingting.ClaimCode(*c.Code)
		if slices.ContainsFunc(out.Claims, func(o qingting.Claim) bool { return o.Code == code }) {
			continue
		}
		item := qingting.Claim{Code: code, Confidence: clip(*c.P), Evidence: evidence(&c.quoted)}
		if c.Amount != nil && m.says(*c.Amount) {
			item.Amount = c.Amount
		}
		out.Claims = append(out.Claims, item)
	}

	emotion := score[qingting.EmotionCode](&s.Emotion.choice)
	intensity := max(1, *s.Emotion.Intensity)
	if emotion.Code == qingting.EmotionCalm { // 0 always and only with calm
		intensity = 0
	}
	out.Emotion = qingting.Emotion{
		Code: emotion.Code, Intensity: intensity, Confidence: emotion.Confidence,
		Trend: qingting.TrendUnknown, ByMessage: []qingting.MessageEmotion{},
	}

	out.Risk = qingting.Risk{Score: clip(*s.HighRisk), Signals: []qingting.Signal{}}
	var signals []qingting.SignalCode
	for i := range *s.Signals {
		q := &(*s.Signals)[i]
		code := qingting.SignalCode(*q.Code)
		spans := evidence(q)
		if len(spans) == 0 || slices.Contains(signals, code) {
			continue
		}
		signals = append(signals, code)
		out.Risk.Signals = append(out.Risk.Signals, qingting.Signal{Code: code, Source: "model:" + out.Model, Weight: clip(*q.P), Span: spans[0]})
	}
	out.Risk.Level = a.level(out.Kind.Code, emotion.Code, intensity, signals)
	out.Priority, out.Routes = qingting.Prioritize(out.Kind.Code, out.Types, out.Risk.Signals)

	sum, mean := 0.0, 0.0
	for i, v := range s.Satisfaction.shares() {
		sum += *v
		mean += *v * float64(i-2)
	}
	out.Satisfaction = &qingting.Satisfaction{Mean: mean / sum, Distribution: map[string]float64{}}
	for i, v := range s.Satisfaction.shares() {
		out.Satisfaction.Distribution[strconv.Itoa(i-2)] = *v / sum
	}
	a.client.count(func(st *Stats) { st.Invented += invented })
	return out
}

func score[L ~string](c *choice) qingting.Score[L] {
	return qingting.Score[L]{Code: L(*c.Code), Confidence: clip(*c.P)}
}
