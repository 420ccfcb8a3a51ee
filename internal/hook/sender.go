package hook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Schedule is the pause before each attempt, about 76 hours together. Source:
// the example schedule of the Standard Webhooks specification, "Deliverability
// and reliability". Each pause is drawn from ±20 %.
func Schedule() []time.Duration {
	return []time.Duration{
		0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour,
		5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

const (
	jitter = 0.2
	// robotAttempts of the schedule are made for a robot, about 35 minutes: an
	// alert that nobody claims is raised again, and word of yesterday's only
	// hides today's.
	robotAttempts = 4
	// circuitFailures in a row, timeouts and the like, open an endpoint's
	// circuit: one item at a time is tried then, after a pause that doubles from circuitFirst to circuitLast.
	circuitFailures = 5
	circuitFirst    = 10 * time.Second
	circuitLast     = 5 * time.Minute
	// maxRetryAfter bounds what a receiver may ask for an item, maxHold for
	// everything else of its endpoint.
	maxRetryAfter = 24 * time.Hour
	maxHold       = time.Hour
	// maxResponse is read of an answer; a robot's is a line of JSON.
	maxResponse = 64 << 10
)

// Options are the Sender's. Zero values are the defaults.
type Options struct {
	Guard       *Guard        // nil: https to public addresses only
	Concurrency int           // requests under way at once; 64
	PerEndpoint int           // the same to one endpoint; 8
	Timeout     time.Duration // of one attempt; 15 s
	Poll        time.Duration // how often the outbox is looked at unless woken; 1 s
	Drain       time.Duration // how long Run waits at its end for what is under way; 5 s
	Now         func() time.Time
	Log         *slog.Logger // nil: nothing is logged
}

// Stats are what the Sender did since it was made, and what it does.
type Stats struct {
	Delivered, Failed, Dead uint64 // attempts that arrived, that did not, items given up
	InFlight                int
	Held                    int // endpoints that rest: circuit open, or asked for patience
}

// Sender delivers the outbox: at least once, in no order. One runs for an
// outbox.
type Sender struct {
	outbox    Outbox
	o         Options
	transport http.RoundTripper
	client    *http.Client
	random    func() float64 // in [0, 1)
	wake      chan struct{}
	delivered atomic.Uint64
	failed    atomic.Uint64
	dead      atomic.Uint64

	mu       sync.Mutex
	lanes    map[string]*lane
	inFlight int
	turn     int // which ready endpoint comes first, so that none starves
}

// lane is what the Sender remembers of an endpoint.
type lane struct {
	inFlight int
	failures int         // in a row, of the receiver itself
	opened   int         // how often the circuit opened since the last success
	open     time.Time   // the circuit rests until then
	quiet    time.Time   // the receiver asked for patience until then
	sent     []time.Time // of a robot, within the last minute
	used     time.Time   // when the last attempt began or ended
}

// NewSender returns a sender that does nothing until Run.
func NewSender(outbox Outbox, o Options) (*Sender, error) {
	if outbox == nil {
		return nil, errors.New("hook: no outbox")
	}
	if o.Guard == nil {
		o.Guard = &Guard{}
	}
	o.Concurrency = cmp.Or(o.Concurrency, 64)
	o.PerEndpoint = cmp.Or(o.PerEndpoint, 8)
	o.Timeout = cmp.Or(o.Timeout, 15*time.Second)
	o.Poll = cmp.Or(o.Poll, time.Second)
	o.Drain = cmp.Or(o.Drain, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sender{outbox: outbox, o: o, random: rand.Float64, wake: make(chan struct{}, 1), lanes: map[string]*lane{}}
	s.use(o.Guard.Transport())
	return s, nil
}

// use sets what carries the requests.
func (s *Sender) use(t http.RoundTripper) {
	s.transport = t
	s.client = &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Wake makes the Sender look at the outbox at once. It never blocks.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Stats returns the counters. It may be called at any time.
func (s *Sender) Stats() Stats {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Delivered: s.delivered.Load(), Failed: s.failed.Load(), Dead: s.dead.Load(), InFlight: s.inFlight}
	for _, l := range s.lanes {
		if now.Before(l.open) || now.Before(l.quiet) {
			st.Held++
		}
	}
	return st
}

// Run delivers until ctx ends, then waits Options.Drain for what is under way.
// What is cut off is due again at once; it may arrive twice. Run may be called
// once.
func (s *Sender) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var jobs sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if err := s.dispatch(ctx, work, &jobs); err != nil && ctx.Err() == nil {
			s.o.Log.Warn("读取发件箱失败，稍后再试", "error", err)
		}
		timer.Reset(s.o.Poll)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
	}
	stop := time.AfterFunc(s.o.Drain, cancel)
	jobs.Wait()
	stop.Stop()
	if t, ok := s.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// dispatch starts as many attempts as are due and allowed.
func (s *Sender) dispatch(ctx, work context.Context, jobs *sync.WaitGroup) error {
	ready, err := s.outbox.ReadyEndpoints(ctx, s.o.Now())
	if err != nil {
		return err
	}
	s.forget()
	s.turn++
	for i := range ready {
		e := ready[(i+s.turn)%len(ready)]
		n := s.room(&e)
		if n == 0 {
			continue
		}
		// The lease outlives the attempt and the write of what became of it.
		items, err := s.outbox.ClaimOutbox(ctx, e.Tenant, e.ID, s.o.Now(), 2*s.o.Timeout+time.Minute, n)
		if err != nil {
			return err
		}
		s.take(&e, len(items))
		for _, it := range items {
			jobs.Go(func() {
				s.deliver(work, e, it)
				s.Wake() // there is room now
			})
		}
	}
	return nil
}

// key names an endpoint's lane. A new address starts afresh, and a robot that
// two endpoints speak through has one limit.
func (e *Endpoint) key() string {
	if e.Kind.Robot() {
		return e.URL
	}
	return e.Tenant + "\x00" + e.ID + "\x00" + e.URL
}

// rate is how many messages a robot takes.
type rate struct {
	n   int
	per time.Duration
}

// rates are the limits of a robot. Source: 企业微信《消息推送配置说明》 and 钉钉
// 《自定义机器人接入》, 20 a minute; 飞书《自定义机器人使用指南》, 100 a minute and
// 5 a second. The windows are a little wider, as requests do not arrive as
// evenly as they leave.
func (k Kind) rates() []rate {
	switch k {
	case KindWeCom, KindDingTalk:
		return []rate{{20, 62 * time.Second}}
	case KindFeishu:
		return []rate{{5, 1200 * time.Millisecond}, {100, 62 * time.Second}}
	}
	return nil
}

// room returns how many attempts the endpoint may start now.
func (s *Sender) room(e *Endpoint) int {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(s.o.Concurrency-s.inFlight, s.o.PerEndpoint)
	l := s.lanes[e.key()]
	if l == nil {
		l = &lane{}
	}
	if now.Before(l.open) || now.Before(l.quiet) {
		return 0
	}
	if l.failures >= circuitFailures {
		n = min(n, 1)
	}
	n = min(n, s.o.PerEndpoint-l.inFlight)
	if l.failures >= circuitFailures && l.inFlight > 0 {
		n = 0
	}
	for _, r := range e.Kind.rates() {
		used := 0
		for _, at := range l.sent {
			if now.Sub(at) < r.per {
				used++
			}
		}
		n = min(n, r.n-used)
	}
	return max(n, 0)
}

// take notes that n attempts start.
func (s *Sender) take(e *Endpoint, n int) {
	if n == 0 {
		return
	}
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[e.key()]
	if l == nil {
		l = &lane{}
		s.lanes[e.key()] = l
	}
	s.inFlight += n
	l.inFlight += n
	l.used = now
	if e.Kind.Robot() {
		for range n {
			l.sent = append(l.sent, now)
		}
	}
}

// window is as long as a lane remembers what it sent.
const window = 62 * time.Second

// forget drops what does not matter any more, so that lanes do not pile up.
func (s *Sender) forget() {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, l := range s.lanes {
		old := 0
		for old < len(l.sent) && now.Sub(l.sent[old]) >= window {
			old++
		}
		l.sent = append(l.sent[:0], l.sent[old:]...)
		idle := l.inFlight == 0 && len(l.sent) == 0 && !now.Before(l.open) && !now.Before(l.quiet)
		// Failures matter until nothing was tried for longer than any pause.
		if idle && (l.failures == 0 || now.Sub(l.used) > 2*maxRetryAfter) {
			delete(s.lanes, key)
		}
	}
}

// result is what became of one attempt.
type result struct {
	status  int
	problem string        // Chinese; "" is success
	after   time.Duration // the receiver asks for patience; 0 if not
	gone    bool          // the receiver wants no more at all
	cut     bool          // the process stops, and nothing is known
}

// down reports whether the receiver itself is the problem. One that answers 400
// or 500 has read the event and dislikes it; the next one it may like, so that
// says nothing against the others.
func (r *result) down() bool {
	switch r.status {
	case 0, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return r.problem != ""
	}
	return false
}

// deliver makes one attempt and writes what became of it.
func (s *Sender) deliver(ctx context.Context, e Endpoint, it Item) {
	r := s.attempt(ctx, &e, &it)
	now := s.o.Now()
	probed := s.note(&e, &r, now)
	attempts := len(Schedule())
	if e.Kind.Robot() {
		attempts = robotAttempts
	}
	// The write must not be lost with the process's context.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var err error
	switch {
	case r.cut:
		err = s.outbox.OutboxRetry(ctx, it, now, r.status, r.problem, now)
	case r.problem == "":
		s.delivered.Add(1)
		err = s.outbox.OutboxDone(ctx, it, r.status, now)
	case r.gone || it.Attempts >= attempts:
		s.failed.Add(1)
		s.dead.Add(1)
		s.o.Log.Warn("投递失败，已转入死信", "item", it.ID, "endpoint", it.Endpoint, "problem", r.problem)
		err = s.outbox.OutboxDead(ctx, it, r.status, r.problem, now)
	default:
		s.failed.Add(1)
		err = s.outbox.OutboxRetry(ctx, it, now.Add(max(s.pause(it.Attempts), r.after)), r.status, r.problem, now)
	}
	if r.gone {
		err = errors.Join(err, s.outbox.DisableEndpoint(ctx, e.Tenant, e.ID, "接收方回答 410（不再接收），已停用", now))
	}
	if probed {
		n, problem := s.outbox.ExpireOutbox(ctx, e.Tenant, e.ID, now.Add(-horizon(attempts)), "接收方一直没有恢复，过了重试期限，没有送达", now)
		s.dead.Add(uint64(max(n, 0)))
		err = errors.Join(err, problem)
	}
	if err != nil {
		// The lease ends and the item is sent again: twice, but never not at all.
		s.o.Log.Warn("记录投递结果失败，稍后会再投递一次", "item", it.ID, "error", err)
	}
}

// pause returns how long to wait before the attempt after n failed ones, n at
// least 1 and less than the number of attempts.
func (s *Sender) pause(n int) time.Duration {
	d := float64(Schedule()[n])
	return time.Duration(d * (1 - jitter + 2*jitter*s.random()))
}

// horizon is when the last attempt was made at the latest. Items that an open
// circuit kept from their attempts for longer are given up.
func horizon(attempts int) time.Duration {
	var sum time.Duration
	for _, d := range Schedule()[:attempts] {
		sum += d
	}
	return time.Duration(float64(sum)*(1+jitter)) + time.Hour
}

// note remembers a result in the endpoint's lane, and reports whether it was
// the failed probe of an open circuit.
func (s *Sender) note(e *Endpoint, r *result, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[e.key()]
	s.inFlight--
	l.inFlight--
	l.used = now
	switch {
	case r.cut:
		return false
	case !r.down():
		l.failures, l.opened, l.open = 0, 0, time.Time{}
	}
	if until := now.Add(min(r.after, maxHold)); r.after > 0 && until.After(l.quiet) {
		l.quiet = until
	}
	if !r.down() {
		return false
	}
	l.failures++
	if l.failures < circuitFailures || now.Before(l.open) {
		return false // those that started before the circuit opened fail with it
	}
	l.open = now.Add(min(circuitLast, circuitFirst<<min(l.opened, 10)))
	l.opened++
	return l.opened > 1
}

// attempt sends an item once.
func (s *Sender) attempt(ctx context.Context, e *Endpoint, it *Item) result {
	// The URL may have been written under another configuration.
	if err := s.o.Guard.Check(e.URL); err != nil {
		return result{problem: err.Error()}
	}
	req, err := request(e, it, s.o.Now())
	if err != nil {
		return result{problem: err.Error()}
	}
	try, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	resp, err := s.client.Do(req.WithContext(try))
	if err != nil {
		if ctx.Err() != nil {
			return result{cut: true, problem: "服务停止，投递中断"}
		}
		return result{problem: s.explain(err)}
	}
	defer resp.Body.Close()
	r := result{status: resp.StatusCode}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		if !e.Kind.Robot() {
			// Read, so that the connection can be used again; the content does
			// not matter and is not kept.
			io.CopyN(io.Discard, resp.Body, maxResponse)
			return r
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
		if err != nil && ctx.Err() != nil {
			return result{cut: true, problem: "服务停止，投递中断"}
		}
		r.problem, r.after = e.Kind.verdict(body)
	case code >= 300 && code < 400:
		r.problem = fmt.Sprintf("接收方要求跳转（%d），不会跟随；请把地址改成最终的地址", code)
	case code == http.StatusGone:
		r.problem, r.gone = "接收方回答 410（不再接收）", true
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		r.problem = fmt.Sprintf("接收方回答 %d（繁忙）", code)
		r.after = retryAfter(resp.Header.Get("Retry-After"), s.o.Now())
		if r.after == 0 && code == http.StatusTooManyRequests {
			r.after = 30 * time.Second
		}
	default:
		r.problem = fmt.Sprintf("接收方回答 %d", code)
	}
	return r
}

// request builds the signed request of an attempt at this time.
func request(e *Endpoint, it *Item, now time.Time) (*http.Request, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, errors.New("地址不是合法的 URL")
	}
	body, header := it.Payload, http.Header{}
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("User-Agent", "Qingting-Webhooks/1")
	secrets := e.secrets()
	switch {
	case e.Kind == KindWebhook:
		signature, err := Sign(secrets, it.Event, now, body)
		if err != nil {
			return nil, err
		}
		header.Set("webhook-id", it.Event)
		header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		header.Set("webhook-signature", signature)
	case e.Kind == KindDingTalk && len(secrets) > 0:
		q := u.Query()
		timestamp, sign := signDingTalk(secrets[0], now)
		q.Set("timestamp", timestamp)
		q.Set("sign", sign)
		u.RawQuery = q.Encode()
	case e.Kind == KindFeishu && len(secrets) > 0:
		if !bytes.HasPrefix(body, []byte(`{"`)) {
			return nil, errors.New("机器人消息的格式不对")
		}
		timestamp, sign := signFeishu(secrets[0], now)
		// Base64 and digits need no escapes.
		body = append([]byte(`{"timestamp":"`+timestamp+`","sign":"`+sign+`",`), body[1:]...)
	}
	req, err := http.NewRequest(http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("地址不是合法的 URL")
	}
	req.Header = header
	return req, nil
}

// verdict reads a robot's answer, which is 200 for failures as well. Codes:
// 企业微信《全局错误码》 (45009 too often), 钉钉《自定义机器人接入》 (130101 too
// often, and 10 minutes of silence for it), 飞书《自定义机器人使用指南》 (11232 and
// 9499 too often).
func (k Kind) verdict(body []byte) (problem string, after time.Duration) {
	var a struct {
		ErrCode    *int64 `json:"errcode"`
		ErrMsg     string `json:"errmsg"`
		Code       *int64 `json:"code"`
		Msg        string `json:"msg"`
		StatusCode *int64 `json:"StatusCode"` // what older 飞书 bots answer instead of code
	}
	err := json.Unmarshal(body, &a)
	code, message := a.ErrCode, a.ErrMsg
	if k == KindFeishu {
		code, message = a.Code, a.Msg
		if code == nil {
			code = a.StatusCode
		}
	}
	if err != nil || code == nil {
		return "机器人的回答不是它的接口格式，请检查地址", 0
	}
	if *code == 0 {
		return "", 0
	}
	switch {
	case k == KindWeCom && *code == 45009:
		after = time.Minute
	case k == KindDingTalk && *code == 130101:
		after = 10 * time.Minute
	case k == KindFeishu && (*code == 11232 || *code == 9499 && bytes.Contains(bytes.ToLower(body), []byte("too many"))):
		after = time.Minute
	}
	return fmt.Sprintf("机器人回答错误 %d：%s", *code, plain(message, 80)), after
}

// retryAfter reads the header Retry-After: seconds or a date. It is 0 without
// one, and with one that cannot be meant.
func retryAfter(header string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(header, 10, 64); err == nil && n > 0 {
		return time.Duration(min(n, int64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil && at.After(now) {
		return min(at.Sub(now), maxRetryAfter)
	}
	return 0
}

// explain says in Chinese why no answer came. It never quotes the error: that
// one holds the URL, and with it a robot's key.
func (s *Sender) explain(err error) string {
	var (
		dns     *net.DNSError
		timeout interface{ Timeout() bool }
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		alert   tls.AlertError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	switch {
	case errors.Is(err, ErrRefused):
		return ErrRefused.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("接收方 %v 内没有回答", s.o.Timeout)
	case errors.As(err, &dns):
		return "接收地址的域名解析不了，请检查地址"
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &alert), errors.As(err, &record):
		return "接收方的 TLS 证书不可信，或握手失败"
	case errors.As(err, &op) && op.Op == "dial":
		return "连不上接收方，请检查地址和端口"
	}
	return "连接中途断了，或接收方的回答不是 HTTP"
}
