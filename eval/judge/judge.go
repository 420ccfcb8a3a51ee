// Package judge has a chat model compare two replies to the same customer and
// say which is better and why.
//
// Models like what stands first, what is long and what tells them to like it,
// so nothing a judge says counts at once. Every pair is judged in both orders,
// and a verdict that changes with the order is a tie. Before the figures of an
// evaluation are shown, the judge must pass a calibration set whose right
// answers are obvious; without that there is no win rate at all. Customers and
// replies are data in the prompt, never instructions, and the calibration set
// holds replies that try to bribe the judge. A pair that could not be judged is
// an error: unscored, and the bounds of the win rate show what it could have
// been.
package judge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/internal/llm"
	"github.com/qingting-ai/qingting/internal/text"
)

// Model is the chat model that judges; *llm.Client is one. It may be called
// concurrently.
type Model interface {
	Complete(context.Context, llm.Request) (llm.Reply, error)
}

// Pair is two replies to one customer.
type Pair struct {
	ID        string
	Group     string   // pairs of one group (a conversation) are drawn as one; empty: ID
	Before    []string // what was said before, oldest first; may be empty
	Customer  string   // what the replies answer
	Base      string
	Candidate string
	// Error is the stable code of a reply that could not be drafted. The pair is
	// then not judged and stays unscored.
	Error string
}

// Winner is a verdict on a pair. It names the reply, not the place it stood in.
type Winner string

// The verdicts.
const (
	Base      Winner = "base"
	Candidate Winner = "candidate"
	Tie       Winner = "tie"
)

// Verdict is what became of one pair. It holds no text of customer or replies;
// reasons may quote them, masked.
type Verdict struct {
	ID    string `json:"id"`
	Group string `json:"group"`
	// Error is the stable code of a failure; nothing else is set then.
	Error string `json:"error,omitempty"`
	// Winner is what both orders agree on; Tie where they do not.
	Winner Winner `json:"winner,omitempty"`
	// Same replies are a tie that nobody is asked about; Orders is empty.
	Same bool `json:"same,omitempty"`
	// Orders are what was said with the base first, and with the candidate first.
	Orders []Opinion `json:"orders,omitempty"`
	// Longer is the reply with more characters; Tie when both have as many.
	Longer Winner `json:"longer,omitempty"`
}

// Opinion is one answer of the judge, by reply.
type Opinion struct {
	Winner     Winner   `json:"winner"`
	Confidence float64  `json:"confidence"` // in [0, 1], as the model states it
	Reasons    []Reason `json:"reasons"`    // one a criterion, in the order of Criteria
}

// Reason is what was said under one criterion.
type Reason struct {
	Criterion string `json:"criterion"`
	Better    Winner `json:"better"`
	Why       string `json:"why"`
}

// Usage counts the answers that a result rests on and their tokens, whether
// they were asked for now or came from a recording, so that it repeats.
type Usage struct {
	Answers  int `json:"answers"`
	Repaired int `json:"repaired"` // answers asked for again because they did not fit
	In       int `json:"in"`       // tokens
	Out      int `json:"out"`
}

func (u *Usage) add(o Usage) {
	u.Answers += o.Answers
	u.Repaired += o.Repaired
	u.In += o.In
	u.Out += o.Out
}

// Options of a judge. The zero value works.
type Options struct {
	Rules   string        // what the front line may promise, in words; "": DefaultRules
	Jobs    int           // pairs at once; 0: 4
	Timeout time.Duration // of one order of one pair, repairs included; 0: 3 minutes
	Repeat  int           // numbers independent judgements of the same pairs, from 0
	eval.Resampling
	// Progress is told after each pair.
	Progress func(stage string, done, total int)
}

// Stages, as Progress is told them.
const (
	StageCalibration = "calibration"
	StagePairs       = "pairs"
)

// Judge compares replies. It may be used concurrently.
type Judge struct {
	model  Model
	o      Options
	schema *llm.Schema
}

// New makes a judge. It asks nothing yet.
func New(m Model, o Options) (*Judge, error) {
	if m == nil {
		return nil, errors.New("judge: no model")
	}
	if o.Jobs < 0 || o.Timeout < 0 || o.Rounds < 0 {
		return nil, errors.New("jobs、timeout、rounds 不能是负数")
	}
	o.Jobs, o.Timeout = cmp.Or(o.Jobs, 4), cmp.Or(o.Timeout, 3*time.Minute)
	if o.Rules = strings.TrimSpace(o.Rules); o.Rules == "" {
		o.Rules = DefaultRules
	}
	return &Judge{model: m, o: o, schema: &llm.Schema{Name: "verdict", JSON: schemaJSON()}}, nil
}

// Identity is a hash of all that the judge is told beside the replies: prompt,
// rules, schema and calibration set.
func (j *Judge) Identity() string {
	h := sha256.New()
	for _, s := range []string{prompt(j.o.Rules), prompt(DefaultRules), question(&comparison{}), correction(""), string(j.schema.JSON), calibrationText, fmt.Sprint(j.o.Repeat)} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// hopeless are codes after which asking on would fail alike.
var hopeless = map[string]bool{llm.CodeAuth: true, llm.CodeConfig: true, llm.CodeCache: true}

// all judges pairs in their order. It fails only when ctx ends or when no
// further question can succeed.
func (j *Judge) all(ctx context.Context, stage, rules string, pairs []Pair) ([]Verdict, Usage, error) {
	out, used := make([]Verdict, len(pairs)), make([]Usage, len(pairs))
	done := make(chan struct{}, len(pairs))
	told := make(chan struct{})
	go func() { // one goroutine tells, so that Progress need not be safe
		defer close(told)
		n := 0
		for range done {
			if n++; j.o.Progress != nil {
				j.o.Progress(stage, n, len(pairs))
			}
		}
	}()
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(j.o.Jobs)
	for i := range pairs {
		work.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			var err error
			if out[i], used[i], err = j.pair(ctx, rules, &pairs[i]); err != nil {
				return err
			}
			done <- struct{}{}
			return nil
		})
	}
	err := work.Wait()
	close(done)
	<-told
	var sum Usage
	for _, u := range used {
		sum.add(u)
	}
	return out, sum, err
}

// pair judges one pair in both orders.
func (j *Judge) pair(ctx context.Context, rules string, p *Pair) (Verdict, Usage, error) {
	v := Verdict{ID: p.ID, Group: cmp.Or(p.Group, p.ID), Error: p.Error}
	var used Usage
	if v.Error != "" {
		return v, used, nil
	}
	if p.Base == p.Candidate {
		v.Winner, v.Longer, v.Same = Tie, Tie, true
		return v, used, nil
	}
	c := masked(p)
	for _, swapped := range []bool{false, true} {
		o, u, err := j.order(ctx, rules, c, swapped)
		used.add(u)
		switch {
		case err != nil && ctx.Err() != nil:
			return v, used, context.Cause(ctx)
		case err != nil && hopeless[code(err)]:
			return v, used, err
		case err != nil:
			return Verdict{ID: v.ID, Group: v.Group, Error: code(err)}, used, nil
		}
		v.Orders = append(v.Orders, *o)
	}
	if v.Winner = v.Orders[0].Winner; v.Orders[1].Winner != v.Winner {
		v.Winner = Tie
	}
	switch d := len([]rune(p.Candidate)) - len([]rune(p.Base)); {
	case d > 0:
		v.Longer = Candidate
	case d < 0:
		v.Longer = Base
	default:
		v.Longer = Tie
	}
	return v, used, nil
}

// order asks once, and once more for an answer that does not fit.
func (j *Judge) order(ctx context.Context, rules string, c comparison, swapped bool) (*Opinion, Usage, error) {
	ctx, stop := context.WithTimeout(ctx, j.o.Timeout)
	defer stop()
	if swapped {
		c.A, c.B = c.B, c.A
	}
	r := llm.Request{Turns: []llm.Turn{{Role: "system", Text: prompt(rules)}, {Role: "user", Text: question(&c)}}, Schema: j.schema, Repeat: j.o.Repeat}
	var used Usage
	for {
		reply, err := j.model.Complete(ctx, r)
		if err != nil {
			return nil, used, err
		}
		used.add(Usage{Answers: 1, In: reply.Usage.In, Out: reply.Usage.Out})
		a, failure := parse(reply.Text)
		if failure == nil {
			return a.opinion(swapped), used, nil
		}
		if used.Repaired > 0 {
			return nil, used, failure
		}
		used.Repaired++
		r.Turns = append(r.Turns, llm.Turn{Role: "assistant", Text: short(reply.Text, 4000)}, llm.Turn{Role: "user", Text: correction(failure.Message)})
	}
}

// comparison is a pair as the judge sees it, without personal data.
type comparison struct {
	Before   []string
	Customer string
	A, B     string
}

// masked hides personal data. All texts are masked as one, so that a number
// has the same placeholder in the customer's words and in the replies.
func masked(p *Pair) comparison {
	const between = "\n\x00\n"
	parts := append([]string{p.Customer, p.Base, p.Candidate}, p.Before...)
	for i := range parts {
		parts[i] = strings.ReplaceAll(strings.ToValidUTF8(parts[i], "�"), "\x00", " ")
	}
	all, _ := text.Mask(strings.Join(parts, between))
	hidden := strings.Split(all, between)
	if len(hidden) != len(parts) { // something was found across two texts
		for i := range parts {
			parts[i], _ = text.Mask(parts[i])
		}
		hidden = parts
	}
	return comparison{Customer: hidden[0], A: hidden[1], B: hidden[2], Before: hidden[3:]}
}

// code is the stable name of a failure.
func code(err error) string {
	var named interface{ ErrorCode() string }
	switch {
	case errors.As(err, &named):
		return named.ErrorCode()
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "failed"
}
