package llm

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func ask(text string) Request { return Request{Turns: []Turn{{"user", text}}} }

func TestComplete(t *testing.T) {
	s := serve(t, says("您好，请问有什么可以帮您？"))
	zero, seed := 0.0, 7
	c := s.client(t, func(o *Options) { o.Temperature, o.Seed, o.MaxTokens = &zero, &seed, 99 })
	got, err := c.Complete(t.Context(), ask("在吗"))
	require.NoError(t, err)
	require.Equal(t, Reply{Text: "您好，请问有什么可以帮您？", Usage: Usage{In: 10, Out: 5}}, got)
	body := s.calls()[0]
	require.Equal(t, "test-model", body.Model)
	require.Equal(t, 99, body.MaxTokens)
	require.Equal(t, 7, *body.Seed)
	require.NotNil(t, body.Temperature, "a temperature of 0 must reach the service, which would take 1")
	require.Less(t, *body.Temperature, 1e-30)
	require.Equal(t, "Bearer sk-secret-123", s.keys[0])
	require.Equal(t, Stats{Calls: 1, In: 10, Out: 5, Errors: map[string]int{}, Format: FormatSchema}, c.Stats())
}

func TestFailures(t *testing.T) {
	huge := `{"choices":[{"index":0,"message":{"content":"` + strings.Repeat("大", MaxResponse) + `"}}]}`
	tests := []struct {
		name   string
		answer http.HandlerFunc
		code   string
		calls  int // with two retries
	}{
		{"rate limit", refuses(429, "rate_limit_exceeded", "slow down"), CodeRateLimited, 3},
		{"quota", refuses(429, "insufficient_quota", "pay"), CodeRateLimited, 1},
		{"patience asked for is too long", refuses(429, "", "later", "Retry-After", "3600"), CodeRateLimited, 1},
		{"server error", refuses(500, "", "oops"), CodeUnavailable, 3},
		{"gateway's page", raw(502, "<html><h1>502 Bad Gateway</h1></html>"), CodeUnavailable, 3},
		{"page instead of an answer", raw(200, "<html>登录</html>"), CodeUnavailable, 1},
		{"no choices", raw(200, `{"choices":[]}`), CodeUnavailable, 1},
		{"another protocol", raw(200, `{"choices":"你好"}`), CodeUnavailable, 1},
		{"truncated", raw(200, `{"choices":[{"index":0,"message":{"content":"半句`), CodeUnavailable, 3},
		{"cut off", raw(200, `{"choices`, "Content-Length", "500"), CodeUnavailable, 3},
		{"key", refuses(401, "invalid_api_key", "Incorrect API key provided: sk-secret-123"), CodeAuth, 1},
		{"model", refuses(404, "model_not_found", "The model does not exist"), CodeConfig, 1},
		{"parameter", refuses(400, "", "bad parameter"), CodeConfig, 1},
		{"error of another shape", raw(400, `{"error":"json: cannot unmarshal"}`), CodeConfig, 1},
		{"too long", refuses(400, "context_length_exceeded", "maximum context length is 4096"), CodeTooLong, 1},
		{"filter", refuses(400, "data_inspection_failed", "inappropriate content"), CodeRefused, 1},
		{"filter at the end", saysWith("抱歉", "content_filter", 1, 1), CodeRefused, 1},
		{"refusal", raw(200, `{"choices":[{"index":0,"message":{"content":"","refusal":"不行"},"finish_reason":"stop"}]}`), CodeRefused, 1},
		{"max tokens", saysWith("说到一", "length", 1, 9), CodeTruncated, 1},
		{"empty", says(" \n"), CodeBadJSON, 1},
		{"huge", raw(200, huge), CodeTooLarge, 1},
		{"huge error", raw(500, huge), CodeTooLarge, 1},
		{"redirect", raw(307, "", "Location", "/elsewhere"), CodeConfig, 1},
		{"slow", sleeps, CodeTimeout, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.answer)
			c := s.client(t, func(o *Options) { o.Timeout = 500 * time.Millisecond })
			_, err := c.Complete(t.Context(), ask("我的号码是13812345678"))
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.code, e.ErrorCode(), "%v", err)
			require.Len(t, s.calls(), test.calls)
			require.NotContains(t, err.Error(), "sk-secret")
			require.Contains(t, err.Error(), "test-model")
			require.False(t, errors.Is(err, context.DeadlineExceeded), "our own limit is not the caller's")
			require.Equal(t, map[string]int{test.code: 1}, c.Stats().Errors)
		})
	}
}

func TestErrorQuotesNoPersonalDataOrKey(t *testing.T) {
	s := serve(t, refuses(400, "", "cannot parse: 我叫张伟丽，手机13812345678，key sk-secret-123"))
	_, err := s.client(t).Complete(t.Context(), ask("你好"))
	require.ErrorContains(t, err, "cannot parse")
	require.NotContains(t, err.Error(), "13812345678")
	require.NotContains(t, err.Error(), "sk-secret-123")
}

func TestRetryRecovers(t *testing.T) {
	s := serve(t, refuses(429, "", "slow", "Retry-After", "0.2"), refuses(503, "", "busy"), says("好了"))
	c := s.client(t)
	start := time.Now()
	got, err := c.Complete(t.Context(), ask("在吗"))
	require.NoError(t, err)
	require.Equal(t, "好了", got.Text)
	require.GreaterOrEqual(t, time.Since(start), 200*time.Millisecond, "Retry-After is kept")
	require.Equal(t, 2, c.Stats().Retried)
}

func TestRetryNeverOutlivesTheCaller(t *testing.T) {
	s := serve(t, refuses(429, "", "slow", "Retry-After", "10"))
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	start := time.Now()
	_, err := s.client(t).Complete(ctx, ask("在吗"))
	require.Equal(t, CodeRateLimited, codeOf(err))
	require.Less(t, time.Since(start), 500*time.Millisecond, "waiting would be in vain, so it does not wait")
}

func TestNoServer(t *testing.T) {
	s := serve(t, says("好"))
	c := s.client(t)
	s.Close()
	_, err := c.Complete(t.Context(), ask("在吗"))
	require.Equal(t, CodeUnavailable, codeOf(err))
	require.Equal(t, 3, c.Stats().Calls)
	require.Zero(t, c.Stats().In, "what never arrived costs nothing")
}

func TestCancelIsPrompt(t *testing.T) {
	gone := errors.New("the agent closed the window")
	for name, handler := range map[string]http.HandlerFunc{"call": sleeps, "backoff": refuses(429, "", "", "Retry-After", "15"), "stream": streams("")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, handler)
			c := s.client(t)
			ctx, stop := context.WithCancelCause(t.Context())
			time.AfterFunc(100*time.Millisecond, func() { stop(gone) })
			r := ask("在吗")
			if name == "stream" {
				r.OnText = func(string) {}
			}
			start := time.Now()
			_, err := c.Complete(ctx, r)
			require.ErrorIs(t, err, gone)
			require.Less(t, time.Since(start), 2*time.Second)
			require.Empty(t, c.Stats().Errors)
		})
	}
}

func TestStream(t *testing.T) {
	slow := func(o *Options) { o.FirstToken, o.Stall = 400*time.Millisecond, 200*time.Millisecond }
	tests := []struct {
		name   string
		events []any
		text   string // delivered, also by a failure
		code   string
		calls  int
	}{
		{"whole", []any{roleEvent, delta("您"), keepAlive, delta("好"), stopEvent, usageEvent, doneEvent}, "您好", "", 1},
		{"without the final mark", []any{delta("您好"), stopEvent}, "您好", "", 1},
		{"slow but steady", []any{delta("您"), 120, delta("好"), 120, delta("啊"), 120, stopEvent, doneEvent}, "您好啊", "", 1},
		{"nothing comes", []any{roleEvent, ""}, "", CodeTimeout, 1},
		{"keep-alives only", []any{keepAlive, 150, keepAlive, 150, roleEvent, 150, keepAlive, ""}, "", CodeTimeout, 1},
		{"stalls", []any{delta("您"), ""}, "您", CodeTimeout, 1},
		{"breaks off", []any{delta("您")}, "您", CodeUnavailable, 1},
		{"breaks off before a word", []any{roleEvent}, "", CodeUnavailable, 3},
		{"breaks inside an event", []any{delta("您"), brokenEvent}, "您", CodeUnavailable, 1},
		{"garbage", []any{"data: 您好\n\n", doneEvent}, "", CodeUnavailable, 1},
		{"error inside", []any{delta("您"), "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"code\":null}}\n\n"}, "您", CodeUnavailable, 1},
		{"endless", []any{"data: " + strings.Repeat("x", MaxResponse+100)}, "", CodeTooLarge, 1},
		{"cut by max_tokens", []any{delta("您"), strings.Replace(stopEvent, "stop", "length", 1), doneEvent}, "您", CodeTruncated, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, streams(test.events...))
			c := s.client(t, slow)
			var said strings.Builder
			r := ask("在吗")
			r.OnText = func(part string) { said.WriteString(part) }
			got, err := c.Complete(t.Context(), r)
			require.Equal(t, test.text, said.String())
			require.Len(t, s.calls(), test.calls)
			require.True(t, s.calls()[0].Stream)
			if test.code != "" {
				require.Equal(t, test.code, codeOf(err), "%v", err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.text, got.Text)
			require.Equal(t, test.name != "whole", got.Usage.Estimated)
			if test.name == "whole" {
				require.Equal(t, Usage{In: 7, Out: 3}, got.Usage)
			}
		})
	}
}

func TestConcurrencyLimit(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(30 * time.Millisecond)
		says("好")(w, r)
	})
	c := s.client(t, func(o *Options) { o.Concurrency = 2 })
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			_, err := c.Complete(t.Context(), ask("在吗"))
			require.NoError(t, err)
		})
	}
	wg.Wait()
	require.Equal(t, 2, s.most)
}

func TestBreaker(t *testing.T) {
	s := serve(t, refuses(500, "", ""), refuses(500, "", ""), says("回来了"))
	c := s.client(t, func(o *Options) { o.Retries, o.BreakAfter, o.BreakFor = -1, 2, 150*time.Millisecond })
	for range 2 {
		_, err := c.Complete(t.Context(), ask("在吗"))
		require.Equal(t, CodeUnavailable, codeOf(err))
	}
	_, err := c.Complete(t.Context(), ask("在吗"))
	require.ErrorContains(t, err, "暂停")
	require.Len(t, s.calls(), 2, "an open breaker asks nobody")
	time.Sleep(160 * time.Millisecond)
	got, err := c.Complete(t.Context(), ask("在吗"))
	require.NoError(t, err)
	require.Equal(t, "回来了", got.Text)
}

func TestBreakerStates(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	b := breaker{after: 2, rest: 10 * time.Second}
	b.record(false, at(0))
	b.record(true, at(1))
	b.record(false, at(2))
	require.True(t, b.allow(at(3)), "failures count in a row")
	b.record(false, at(3))
	require.False(t, b.allow(at(12)))
	require.True(t, b.allow(at(13)))
	require.False(t, b.allow(at(13)), "one call goes to see")
	b.forget()
	require.True(t, b.allow(at(13)), "who gave up has not seen")
	b.record(false, at(14))
	require.False(t, b.allow(at(23)))
	require.True(t, b.allow(at(24)))
	b.record(true, at(24))
	require.True(t, b.allow(at(24)))
	require.True(t, b.allow(at(24)))
	never := breaker{after: -1}
	for range 100 {
		never.record(false, at(0))
	}
	require.True(t, never.allow(at(0)))
}

func TestBudgetIsAHardStop(t *testing.T) {
	s := serve(t, saysWith("好", "stop", 100, 50))
	// A call costs 100 × 10/1e6 + 50 × 20/1e6 = 0.002; its most is 1,000 tokens
	// out, 0.02, and a little for what is sent.
	budget, err := NewBudget(0.05, 10, 20)
	require.NoError(t, err)
	c := s.client(t, func(o *Options) { o.Budget, o.MaxTokens, o.Concurrency = budget, 1000, 8 })
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() { _, _ = c.Complete(t.Context(), ask("在吗")) })
	}
	wg.Wait()
	spent, exhausted := budget.Spent()
	require.True(t, exhausted)
	require.LessOrEqual(t, spent, 0.05)
	require.InDelta(t, 0.002*float64(len(s.calls())), spent, 1e-9)
	require.InDelta(t, spent, c.Stats().Cost, 1e-9)
	require.Equal(t, 40-len(s.calls()), c.Stats().Errors[CodeBudget])

	for _, bad := range [][3]float64{{-1, 1, 1}, {1, 0, 0}, {1, -1, 1}} {
		_, err := NewBudget(bad[0], bad[1], bad[2])
		require.Error(t, err, "%v", bad)
	}
}

func TestUsageIsEstimatedWhenTheServiceIsSilent(t *testing.T) {
	s := serve(t, raw(200, `{"choices":[{"index":0,"message":{"content":"好的，马上处理"},"finish_reason":"stop"}]}`))
	c := s.client(t)
	got, err := c.Complete(t.Context(), ask("快递怎么还没到"))
	require.NoError(t, err)
	require.Equal(t, Usage{In: 11, Out: 7, Estimated: true}, got.Usage)
	require.Equal(t, 1, c.Stats().Estimated)
	require.Equal(t, 4, tokens("退 abc def")) // one, and three for eight ASCII characters
	require.Equal(t, 0, tokens(""))
}

func TestFormatFallsBack(t *testing.T) {
	noSchema := refuses(400, "", "response_format json_schema is not supported")
	schema := &Schema{Name: "s", JSON: []byte(`{"type":"object"}`)}
	s := serve(t, noSchema, noSchema, says("{}"))
	c := s.client(t)
	r := ask("输出 JSON")
	r.Schema = schema
	for range 2 {
		got, err := c.Complete(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, "{}", got.Text)
	}
	calls := s.calls()
	require.Len(t, calls, 4, "what was refused is remembered")
	require.Equal(t, "json_schema", calls[0].ResponseFormat.Type)
	require.True(t, calls[0].ResponseFormat.JSONSchema.Strict)
	require.JSONEq(t, `{"type":"object"}`, string(calls[0].ResponseFormat.JSONSchema.Schema))
	require.Equal(t, "json_object", calls[1].ResponseFormat.Type)
	require.Nil(t, calls[2].ResponseFormat)
	require.Nil(t, calls[3].ResponseFormat)
	require.Equal(t, FormatPlain, c.Stats().Format)

	s = serve(t, raw(500, `{"error":{"message":"1 validation error: {'loc': ('body', 'response_format', 'type')}","type":"internal_server_error","param":null,"code":null}}`), says("{}"))
	_, err := s.client(t).Complete(t.Context(), r)
	require.NoError(t, err)
	require.Len(t, s.calls(), 2, "llama_cpp.server refuses a format with 500, which is no reason to try again")

	s = serve(t, noSchema)
	_, err = s.client(t, func(o *Options) { o.Format = FormatSchema }).Complete(t.Context(), r)
	require.Equal(t, CodeConfig, codeOf(err))
	require.Len(t, s.calls(), 1, "a format that was asked for is not weakened")

	s = serve(t, refuses(400, "", "model is gone"))
	c = s.client(t)
	_, err = c.Complete(t.Context(), r)
	require.ErrorContains(t, err, "model is gone")
	require.EqualValues(t, 1, c.ladder.Load(), "nothing is learned when everything is refused")
}

func TestReasoningModelsTakeTheNewLimit(t *testing.T) {
	c, err := New(serveNobody{}, Options{Model: "gpt-5-mini", MaxTokens: 77})
	require.NoError(t, err)
	r := ask("在吗")
	q, _ := c.request(&r, FormatPlain)
	require.Equal(t, 77, q.MaxCompletionTokens)
	b, err := json.Marshal(q)
	require.NoError(t, err)
	require.NotContains(t, string(b), "max_tokens")
}

func TestNewRefuses(t *testing.T) {
	chat, _, err := Connect("http://127.0.0.1:1/v1", "", nil)
	require.NoError(t, err)
	hot := 3.0
	for name, o := range map[string]Options{
		"model": {}, "format": {Model: "m", Format: "xml"}, "temperature": {Model: "m", Temperature: &hot},
		"tokens": {Model: "m", MaxTokens: -1}, "concurrency": {Model: "m", Concurrency: -2},
	} {
		_, err := New(chat, o)
		require.Error(t, err, name)
	}
	_, err = New(nil, Options{Model: "m"})
	require.Error(t, err)
	for _, base := range []string{"", "api.example.com/v1", "ftp://h/v1", "https://user:pass@h/v1", "https://h/v1?key=1", "http://", "://"} {
		_, _, err := Connect(base, "", nil)
		require.Error(t, err, base)
	}
	_, host, err := Connect("https://h.example:8443/v1/", "", nil)
	require.NoError(t, err)
	require.Equal(t, "h.example:8443/v1", host)
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "2": 2 * time.Second, "0.5": 500 * time.Millisecond, "-3": 0, "NaN": 0, "1e99": 24 * time.Hour, "abc": 0,
		"Mon, 02 Mar 2026 10:00:07 GMT": 7 * time.Second, "Mon, 02 Mar 2026 09:00:00 GMT": 0,
	} {
		require.Equal(t, want, retryAfter(header, now), header)
	}
}
