// Package llm asks a chat model that speaks the OpenAI protocol, and reads a
// conversation with it.
//
// Client is the careful caller: it limits time, size, concurrency and cost,
// tries again where that helps, stops asking a service that is down, and can
// record answers and replay them. Analyzer asks for a whole analysis of a
// conversation: personal data leaves masked, what the customer wrote is data in
// the prompt and never instructions, and an answer counts only when it fits the
// schema and the label guide. Every failure is an *Error with a stable code.
package llm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

// Chat is what the client needs of the SDK; Connect returns one that also
// limits the size of answers. It may be called concurrently.
type Chat interface {
	CreateChatCompletion(context.Context, openai.ChatCompletionRequest) (openai.ChatCompletionResponse, error)
	CreateChatCompletionStream(context.Context, openai.ChatCompletionRequest) (*openai.ChatCompletionStream, error)
}

// Format is how the service is asked for JSON.
type Format string

// The formats, strictest first. Auto begins with a schema and falls back when
// the service refuses the request.
const (
	FormatAuto   Format = "auto"
	FormatSchema Format = "json_schema"
	FormatObject Format = "json_object"
	FormatPlain  Format = "plain"
)

// Formats lists every format.
func Formats() []Format { return []Format{FormatAuto, FormatSchema, FormatObject, FormatPlain} }

// Options of a client. Only Model is required.
type Options struct {
	Model string
	// Host is the service as Connect names it. It is part of the key of a
	// recorded answer: what one service said never stands for another.
	Host        string
	Temperature *float64 // in [0, 2]; nil: what the service takes
	Seed        *int
	MaxTokens   int    // of an answer; 0: 1500
	Format      Format // "": auto

	Timeout     time.Duration // of one try; 0: 30 s
	FirstToken  time.Duration // until a stream says something; 0: 15 s
	Stall       time.Duration // between two parts of a stream; 0: 10 s
	Retries     int           // after the first try; 0: 2, negative: none
	Backoff     time.Duration // before the second try, doubled for each further one; 0: 500 ms
	Concurrency int           // calls at once; 0: 4
	// BreakAfter failures in a row the service is left alone for BreakFor, then
	// asked with a single call. 0: 5; negative: never, as an evaluation wants it.
	BreakAfter int
	BreakFor   time.Duration // 0: 10 s

	Budget *Budget // nil: unlimited
	Cache  *Cache  // nil: none
	// Secrets are taken out of every message and every recorded answer.
	Secrets []string
}

const maxBackoff = 20 * time.Second

// Client asks one model. It may be used concurrently.
type Client struct {
	chat    Chat
	o       Options
	slots   chan struct{}
	breaker breaker
	// ladder is the index into Formats of the strictest format that the service
	// has not refused.
	ladder atomic.Int32

	mu    sync.Mutex
	stats Stats
}

// New checks the options. It does not call the service.
func New(chat Chat, o Options) (*Client, error) {
	o.MaxTokens = cmp.Or(o.MaxTokens, 1500)
	o.Format = cmp.Or(o.Format, FormatAuto)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.FirstToken = cmp.Or(o.FirstToken, 15*time.Second)
	o.Stall = cmp.Or(o.Stall, 10*time.Second)
	o.Retries = max(0, cmp.Or(o.Retries, 2))
	o.Backoff = cmp.Or(o.Backoff, 500*time.Millisecond)
	o.Concurrency = cmp.Or(o.Concurrency, 4)
	o.BreakAfter = cmp.Or(o.BreakAfter, 5)
	o.BreakFor = cmp.Or(o.BreakFor, 10*time.Second)
	start := 0
	for i, f := range Formats() {
		if f == o.Format {
			start = max(1, i)
		}
	}
	switch {
	case chat == nil:
		return nil, errors.New("llm: no Chat")
	case strings.TrimSpace(o.Model) == "":
		return nil, errors.New("没有写模型的名字：填 model")
	case start == 0:
		return nil, fmt.Errorf("format %q 不认识，可用的有 %v", o.Format, Formats())
	case o.Temperature != nil && !(*o.Temperature >= 0 && *o.Temperature <= 2):
		return nil, errors.New("temperature 应当在 0 和 2 之间")
	case o.MaxTokens < 0 || o.Timeout < 0 || o.FirstToken < 0 || o.Stall < 0 || o.Backoff < 0 || o.Concurrency < 0 || o.BreakFor < 0:
		return nil, errors.New("max_tokens、timeout、concurrency 等不能是负数")
	}
	c := &Client{chat: chat, o: o, slots: make(chan struct{}, o.Concurrency)}
	c.breaker = breaker{after: o.BreakAfter, rest: o.BreakFor}
	c.ladder.Store(int32(start))
	c.stats.Errors = map[string]int{}
	return c, nil
}

// Turn is one message of a request.
type Turn struct {
	Role string `json:"role"` // system, user or assistant
	Text string `json:"text"`
}

// Request is one question.
type Request struct {
	Turns  []Turn
	Schema *Schema // nil: free text
	// Repeat tells repeated questions apart in the cache.
	Repeat int
	// OnText is given each part of the answer as it arrives; the answer is then
	// streamed. A call that has delivered text is not tried again. What is
	// delivered may still turn out to be a failure.
	OnText func(part string)
}

// Usage counts tokens.
type Usage struct {
	In        int  `json:"in"`
	Out       int  `json:"out"`
	Estimated bool `json:"estimated,omitempty"` // the service did not say
}

// Reply is an answer.
type Reply struct {
	Text  string
	Usage Usage
	// Cached answers came from a recording: their time means nothing and they
	// cost nothing.
	Cached bool
}

// Stats are totals since the client was made.
type Stats struct {
	Calls     int // tries that reached for the service
	Cached    int
	Retried   int
	Repaired  int // answers asked for again because they did not fit the schema
	Invented  int // quotes that the customer never wrote
	In, Out   int // tokens
	Estimated int // calls whose tokens are estimated
	Cost      float64
	Errors    map[string]int // by code, of whole questions
	// Format is the strictest one that the service has not refused.
	Format Format
}

// Stats returns the totals so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Format = Formats()[c.ladder.Load()]
	s.Errors = make(map[string]int, len(c.stats.Errors))
	for k, v := range c.stats.Errors {
		s.Errors[k] = v
	}
	return s
}

func (c *Client) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// Complete asks and returns the answer as it came, or an *Error; when ctx ends
// first, the cause of that. It tries again after 429, 5xx and network failures,
// unless text was delivered or ctx would end before.
func (c *Client) Complete(ctx context.Context, r Request) (Reply, error) {
	reply, err := c.complete(ctx, &r)
	if err != nil && ctx.Err() == nil {
		code := codeOf(err)
		c.count(func(s *Stats) { s.Errors[code]++ })
	}
	return reply, err
}

func (c *Client) complete(ctx context.Context, r *Request) (Reply, error) {
	if err := ctx.Err(); err != nil {
		return Reply{}, context.Cause(ctx)
	}
	key, err := c.key(r)
	if err != nil {
		return Reply{}, err
	}
	if reply, ok, err := c.o.Cache.get(key); err != nil {
		return Reply{}, err
	} else if ok {
		c.count(func(s *Stats) { s.Cached++ })
		if r.OnText != nil {
			r.OnText(reply.Text)
		}
		return reply, nil
	}
	reply, err := c.persist(ctx, r)
	if err != nil {
		return Reply{}, err
	}
	return reply, c.o.Cache.put(key, c.o.Host, c.o.Model, reply, c.o.Secrets)
}

// persist tries until an answer comes or trying again is of no use.
func (c *Client) persist(ctx context.Context, r *Request) (Reply, error) {
	delivered := false
	if hand := r.OnText; hand != nil {
		watched := *r
		watched.OnText = func(part string) { delivered = true; hand(part) }
		r = &watched
	}
	wait := c.o.Backoff
	for try := 0; ; try++ {
		reply, failure := c.try(ctx, r)
		if failure == nil {
			return reply, nil
		}
		if ctx.Err() != nil {
			return Reply{}, context.Cause(ctx)
		}
		if !failure.again || delivered || try >= c.o.Retries {
			return Reply{}, failure
		}
		pause := max(failure.after, wait/2+rand.N(wait/2+1))
		if deadline, ok := ctx.Deadline(); failure.after > maxBackoff || ok && time.Until(deadline) <= pause {
			return Reply{}, failure
		}
		wait = min(2*wait, maxBackoff)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return Reply{}, context.Cause(ctx)
		case <-timer.C:
		}
		c.count(func(s *Stats) { s.Retried++ })
	}
}

// Causes of a try that was cut off.
var (
	errTimeout = errors.New("no answer in time")
	errStall   = errors.New("stream stalled")
)

// try asks once, format fallbacks included.
func (c *Client) try(ctx context.Context, r *Request) (Reply, *Error) {
	select {
	case <-ctx.Done():
		return Reply{}, &Error{Code: CodeTimeout}
	case c.slots <- struct{}{}:
	}
	defer func() { <-c.slots }()
	if !c.breaker.allow(time.Now()) {
		return Reply{}, c.fail(CodeUnavailable, "最近的调用接连失败，暂停 %s 再试", c.o.BreakFor)
	}
	reply, failure := c.send(ctx, r)
	switch {
	case failure == nil:
		c.breaker.record(true, time.Now())
	case errors.Is(ctx.Err(), context.Canceled) || failure.Code == CodeBudget:
		c.breaker.forget() // nobody waits any more, or nobody asked: that says nothing of the service
	default:
		down := ctx.Err() != nil || failure.Code == CodeTimeout || failure.Code == CodeUnavailable
		c.breaker.record(!down, time.Now())
	}
	return reply, failure
}

// send asks in the strictest format that the service takes.
func (c *Client) send(ctx context.Context, r *Request) (Reply, *Error) {
	if r.Schema == nil {
		return c.call(ctx, r, FormatPlain)
	}
	first := int(c.ladder.Load())
	var refused *Error
	for i := first; i < len(Formats()); i++ {
		reply, failure := c.call(ctx, r, Formats()[i])
		if failure == nil {
			c.ladder.CompareAndSwap(int32(first), int32(i))
			return reply, nil
		}
		if failure.Code != CodeConfig || !failure.formatDoubt || c.o.Format != FormatAuto {
			return Reply{}, failure
		}
		if refused == nil {
			refused = failure
		}
	}
	return Reply{}, refused
}

// call makes one HTTP call and settles its cost.
func (c *Client) call(ctx context.Context, r *Request, format Format) (Reply, *Error) {
	request, in := c.request(r, format)
	held, ok := c.o.Budget.reserve(in, c.o.MaxTokens)
	if !ok {
		return Reply{}, c.fail(CodeBudget, "预算用完了：提高 budget，或换便宜的模型")
	}
	note := &headerNote{}
	ctx, stop := context.WithTimeoutCause(context.WithValue(ctx, noteKey{}, note), c.o.Timeout, errTimeout)
	defer stop()
	var reply Reply
	var finish openai.FinishReason
	var refusal string
	var err error
	if r.OnText == nil {
		reply, finish, refusal, err = c.whole(ctx, request)
	} else {
		reply, finish, refusal, err = c.stream(ctx, request, r.OnText)
	}
	var failure *Error
	if err != nil {
		failure = c.classify(ctx, err, note.retryAfter)
	}
	if reply.Usage.In == 0 && reply.Usage.Out == 0 && (failure == nil || failure.Code == CodeTimeout || reply.Text != "") {
		// What was sent and not refused is paid for, even when nothing came back.
		reply.Usage = Usage{In: in, Out: tokens(reply.Text), Estimated: true}
	}
	cost := c.o.Budget.settle(held, reply.Usage)
	c.count(func(s *Stats) {
		s.Calls++
		s.In += reply.Usage.In
		s.Out += reply.Usage.Out
		s.Cost += cost
		if reply.Usage.Estimated {
			s.Estimated++
		}
	})
	switch {
	case failure != nil:
		return Reply{}, failure
	case refusal != "" || finish == openai.FinishReasonContentFilter:
		return Reply{}, c.fail(CodeRefused, "模型拒绝回答这段会话")
	case finish == openai.FinishReasonLength:
		return Reply{}, c.fail(CodeTruncated, "回答超过 %d 个 token，没有写完：提高 max_tokens", c.o.MaxTokens)
	case strings.TrimSpace(reply.Text) == "":
		return Reply{}, c.fail(CodeBadJSON, "模型的回答是空的")
	}
	return reply, nil
}

// request builds the body of a call and estimates its tokens.
func (c *Client) request(r *Request, format Format) (openai.ChatCompletionRequest, int) {
	q := openai.ChatCompletionRequest{Model: c.o.Model, Seed: c.o.Seed}
	in := 0
	for _, t := range r.Turns {
		q.Messages = append(q.Messages, openai.ChatCompletionMessage{Role: t.Role, Content: t.Text})
		in += tokens(t.Text) + 4 // what separates messages
	}
	if t := c.o.Temperature; t != nil {
		// The SDK leaves a zero out, and services then take 1.
		q.Temperature = float32(max(*t, math.SmallestNonzeroFloat32))
	}
	switch {
	case r.Schema == nil:
	case format == FormatSchema:
		q.ResponseFormat = &openai.ChatCompletionResponseFormat{
			Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: r.Schema.Name, Schema: r.Schema.JSON, Strict: true},
		}
		in += tokens(string(r.Schema.JSON))
	case format == FormatObject:
		q.ResponseFormat = &openai.ChatCompletionResponseFormat{Type: openai.ChatCompletionResponseFormatTypeJSONObject}
	}
	// The SDK refuses max_tokens for the models of OpenAI that need its successor,
	// which many other services do not know yet.
	//lint:ignore SA1019 see above
	q.MaxTokens = c.o.MaxTokens
	if errors.Is(openai.NewReasoningValidator().Validate(q), openai.ErrReasoningModelMaxTokensDeprecated) {
		//lint:ignore SA1019 see above
		q.MaxTokens, q.MaxCompletionTokens = 0, c.o.MaxTokens
	}
	if r.OnText != nil {
		q.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	}
	return q, in
}

func (c *Client) whole(ctx context.Context, q openai.ChatCompletionRequest) (Reply, openai.FinishReason, string, error) {
	a, err := c.chat.CreateChatCompletion(ctx, q)
	if err != nil {
		return Reply{}, "", "", err
	}
	if len(a.Choices) == 0 {
		return Reply{}, "", "", errNoChoice
	}
	m := a.Choices[0]
	return Reply{Text: m.Message.Content, Usage: Usage{In: a.Usage.PromptTokens, Out: a.Usage.CompletionTokens}}, m.FinishReason, m.Message.Refusal, nil
}

// stream reads the answer part by part. A watchdog ends it when nothing comes:
// keep-alive comments and empty parts are nothing.
func (c *Client) stream(ctx context.Context, q openai.ChatCompletionRequest, hand func(string)) (Reply, openai.FinishReason, string, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watchdog := time.AfterFunc(c.o.FirstToken, func() { stop(errStall) })
	defer watchdog.Stop()
	s, err := c.chat.CreateChatCompletionStream(ctx, q)
	if err != nil {
		return Reply{}, "", "", cmp.Or(cutOff(ctx), err)
	}
	defer s.Close()
	var reply Reply
	var said, refusal strings.Builder
	var finish openai.FinishReason
	for {
		part, err := s.Recv()
		reply.Text = said.String()
		switch {
		case errors.Is(err, io.EOF) && finish == "":
			return reply, "", "", io.ErrUnexpectedEOF // it broke off
		case errors.Is(err, io.EOF):
			return reply, finish, refusal.String(), nil
		case err != nil:
			return reply, "", "", cmp.Or(cutOff(ctx), err)
		}
		if part.Usage != nil {
			reply.Usage = Usage{In: part.Usage.PromptTokens, Out: part.Usage.CompletionTokens}
		}
		for _, choice := range part.Choices {
			if choice.Index != 0 {
				continue
			}
			d := choice.Delta
			if d.Content != "" || d.ReasoningContent != "" || d.Refusal != "" {
				watchdog.Reset(c.o.Stall)
			}
			if choice.FinishReason != "" && choice.FinishReason != openai.FinishReasonNull {
				finish = choice.FinishReason
			}
			refusal.WriteString(d.Refusal)
			if d.Content != "" {
				said.WriteString(d.Content)
				hand(d.Content)
			}
		}
	}
}

// cutOff is the cause of a context that ended, nil while it lives.
func cutOff(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// tokens estimates how many tokens a text has, on the high side for the
// tokenizers in use: one for a Chinese character, one for three ASCII ones.
func tokens(s string) int {
	ascii, wide := 0, 0
	for _, r := range s {
		if r < 0x80 {
			ascii++
		} else {
			wide++
		}
	}
	return wide + (ascii+2)/3
}
