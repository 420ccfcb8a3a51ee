package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/text"
	"github.com/qingting-ai/qingting/internal/web"
	"github.com/qingting-ai/qingting/retrieval"
	"github.com/qingting-ai/qingting/suggest/promise"
)

// directoryAge is how old what is known of endpoints and teams may be: a change
// takes effect within it, and thousands of events a second ask the store once.
const directoryAge = time.Second

// service is everything that runs while `qingting serve` does.
type service struct {
	engine    *engine
	config    *config
	log       *slog.Logger
	access    *access.Guard
	live      *live.Service
	sender    *hook.Sender
	web       *web.Server
	tenants   *tenants
	work      *work
	requests  *requests
	promises  *promise.Finder
	endpoints directory[[]hook.Endpoint]
	teams     directory[[]access.Team]
	encoding  atomic.Bool // vectors are being made
	overdue   bool        // run has returned before everything had ended
}

// newService wires the parts. local says that only this machine reaches the
// server.
func newService(e *engine, c *config, log *slog.Logger, local bool) (*service, error) {
	s := &service{engine: e, config: c, log: log, tenants: newTenants(e), requests: newRequests(), promises: promise.New(e.stages.Cleaner, promise.Options{})}
	s.endpoints = directory[[]hook.Endpoint]{read: e.store.Endpoints}
	s.teams = directory[[]access.Team]{read: e.store.Teams}
	var err error
	if s.access, err = access.New(e.store, access.Options{Local: local && c.Auth == "auto"}); err != nil {
		return nil, err
	}
	private, err := c.allowedPrivate()
	if err != nil {
		return nil, err
	}
	guard := &hook.Guard{Allow: private, HTTP: c.Webhooks.AllowHTTP}
	if s.sender, err = hook.NewSender(e.store, hook.Options{Guard: guard, Concurrency: c.Webhooks.Workers, Log: log, Drain: behindTimeout}); err != nil {
		return nil, err
	}
	if s.live, err = s.newLive(); err != nil {
		return nil, err
	}
	if s.work, err = newWork(s); err != nil {
		return nil, err
	}
	o := web.Options{
		Work: s.work.options(),
		Mode: c.mode(), Log: log, Components: s.components, Heartbeat: c.Streams.Heartbeat,
		KeyRate: c.Limits.KeyRequestsPerSecond, UserRate: c.Limits.UserRequestsPerSecond, Proxies: c.Proxies,
		Access: s.access, Live: s.live, Records: e.store, Lint: e.drafts, HookGuard: guard, Wake: s.sender.Wake, Observe: s.requests.observe,
		TenantCases: func(name string) (web.Cases, error) {
			t, err := s.tenants.of(name)
			if err != nil {
				return nil, err
			}
			return t.library, nil
		},
		TenantAnalyzer: func(name string) (web.Analyzer, error) {
			t, err := s.tenants.of(name)
			if err != nil {
				return nil, err
			}
			return t.pipeline, nil
		},
	}
	if c.Privacy.Conceal {
		o.Conceal = text.Conceal
	}
	if local {
		o.Hosts = append([]string{}, c.Hosts...)
	}
	s.web, err = web.New(e.pipeline, e.library, o)
	return s, err
}

func (s *service) newLive() (*live.Service, error) {
	e, c := s.engine, s.config
	plain := e.stages
	plain.Encoder, plain.Retriever, plain.Suggester = nil, nil, nil
	bare, err := qingting.NewPipeline(plain)
	if err != nil {
		return nil, err
	}
	parts := live.Parts{
		Pipelines: func(name string) (live.Pipeline, error) {
			t, err := s.tenants.of(name)
			if err != nil {
				return nil, err
			}
			return t.pipeline, nil
		},
		Plain: bare, Store: e.store, Urgent: e.urgent, FindPromises: s.findPromises, Chain: s.chain, Outbox: s.outbox,
		Tenants: e.store.Tenants, Log: s.log,
	}
	if c.Privacy.Conceal {
		parts.Conceal, parts.Legible = text.Conceal, text.Legible
	}
	secret, err := readSecret(c.Data)
	if err != nil {
		return nil, err
	}
	workers := c.Live.Workers
	if workers == 0 && c.mode() == qingting.ModeFast {
		// One processor is left to those who write: at 2,000 messages a second on
		// two, their p50 was 15 to 20 ms with one worker and 374 to 1,576 with two.
		workers = max(1, runtime.GOMAXPROCS(0)-1)
	}
	return live.New(parts, live.Options{
		RefKey: secret,
		Drain:  behindTimeout,
		Mode:   c.mode(), Workers: workers, Queue: c.Live.Queue, Messages: c.Live.MessagesInMemory,
		Ring: c.Streams.Ring, Behind: c.Streams.Queue,
		Rules: live.Rules{
			Again: c.Alerts.Again, Budget: c.Alerts.BudgetPerHour, Threshold: c.Alerts.Threshold,
			Alert: c.Clocks.P0Alert, Human: c.Clocks.P1Human, Progress: c.Clocks.P1Progress,
			AnswerP2: c.Clocks.P2FirstAnswer, AnswerP3: c.Clocks.P3Answer, Note: c.Clocks.ProgressNote,
			Warn: c.Clocks.Warn, WarnPromise: c.Promises.WarnBefore,
		},
	})
}

// pressing are the signals that make a conversation be read before others:
// those that raise an alert by themselves. Mild ones, such as a repeated
// contact, are in a third of all messages, and then nobody is first.
var pressing = []qingting.SignalCode{
	qingting.SignalRegulator, qingting.SignalMedia, qingting.SignalLegal, qingting.SignalSafetyInjury, qingting.SignalPrivacy,
	qingting.SignalDiscrimination, qingting.SignalVulnerable, qingting.SignalSupervisorDemand,
}

// urgent reports whether a customer's message by itself carries a pressing
// signal of the rules.
func (e *engine) urgent(said string) bool {
	clean, from, to := e.stages.Cleaner.Clean(said)
	p := &qingting.Prepared{Message: qingting.Message{Role: qingting.RoleCustomer, Text: said}, Clean: clean, From: from, To: to}
	hits := e.stages.Matcher.Match(&qingting.Document{Messages: []*qingting.Prepared{p}, Mode: qingting.ModeFast})
	return slices.ContainsFunc(hits, func(h qingting.Hit) bool {
		return h.Field == qingting.FieldSignal && h.Guard == qingting.GuardNone && slices.Contains(pressing, qingting.SignalCode(h.Code))
	})
}

// findPromises reads what agents promised; a deadline counts from the receipt
// of a message that does not say when it was sent.
func (s *service) findPromises(messages []qingting.StoredMessage) []qingting.Promise {
	plain := make([]qingting.Message, len(messages))
	for i := range messages {
		plain[i] = messages[i].Message
		if plain[i].SentAt.IsZero() {
			plain[i].SentAt = messages[i].Received
		}
	}
	return s.promises.Find(plain)
}

// outbox renders the deliveries of an event.
func (s *service) outbox(ev qingting.Event) []store.OutboxItem {
	endpoints, err := s.endpoints.of(ev.Tenant)
	if err != nil || len(endpoints) == 0 {
		if err != nil {
			s.log.Error("读不到接收地址，这个事件没有投递", "event", ev.Type, "error", err)
		}
		return nil
	}
	items, err := hook.Render(ev, endpoints, nil, time.Now())
	if err != nil {
		s.log.Error("事件写不成投递内容", "event", ev.Type, "error", err)
	}
	return items
}

// chain is a team and the teams above it.
func (s *service) chain(tenant, team string) []string {
	teams, err := s.teams.of(tenant)
	if err != nil {
		s.log.Error("读不到团队，预警只发给本团队", "error", err)
		return []string{team}
	}
	var out []string
	for team != "" && !slices.Contains(out, team) {
		out = append(out, team)
		at := slices.IndexFunc(teams, func(t access.Team) bool { return t.ID == team })
		if at < 0 {
			break
		}
		team = teams[at].Parent
	}
	return out
}

// encode makes the vectors that libraries lack, until ctx ends.
func (s *service) encode(ctx context.Context) {
	for {
		s.encoding.Store(len(s.tenants.fresh) > 0)
		select {
		case <-ctx.Done():
			return
		case l := <-s.tenants.fresh:
			s.encoding.Store(true)
			if err := l.EncodeMissing(ctx, nil); err != nil && ctx.Err() == nil {
				s.log.Error("案例向量没有算完，相应案例只能按词检索", "error", err)
			}
		}
	}
}

// behindTimeout is how long what is behind the requests may take to end: with
// the web server's six seconds a service stops within ten. What is not done by
// then is taken up at the next start.
const behindTimeout = 3 * time.Second

// run serves until ctx ends, then drains: no new requests, streams closed,
// analyses that wait done, deliveries under way finished. When a part ends by
// itself everything else is stopped in the same order, and its error returned:
// a service that only half works must not say that it is ready.
func (s *service) run(ctx context.Context, ln, admin net.Listener) error {
	parts, ctx := errgroup.WithContext(ctx)
	// What is behind the requests ends after them.
	behind, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	part := func(name string, run func(context.Context) error) {
		parts.Go(func() error {
			err := run(behind)
			if behind.Err() != nil {
				if err != nil && !errors.Is(err, context.Canceled) {
					s.log.Error("一个部件停止时出错", "part", name, "error", err)
				}
				return nil
			}
			if err == nil {
				err = errors.New("自己停了")
			}
			s.log.Error("一个部件出错，服务将停止", "part", name, "error", err)
			return fmt.Errorf("部件 %s 出错，服务已停止，请看日志后重新启动：%w", name, err)
		})
	}
	part("encode", func(ctx context.Context) error { s.encode(ctx); return nil })
	part("live", s.live.Run)
	part("sender", s.sender.Run)
	part("work", s.work.run)
	part("tidy", func(ctx context.Context) error { s.tidy(ctx); return nil })
	if admin != nil {
		server := &http.Server{Handler: s.admin(), ReadHeaderTimeout: 5 * time.Second}
		part("admin", func(context.Context) error {
			if err := server.Serve(admin); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		context.AfterFunc(behind, func() { _ = server.Close() })
	}
	parts.Go(func() error {
		defer stop()
		return s.web.Serve(ctx, ln)
	})
	ended := make(chan error, 1)
	go func() { ended <- parts.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-behind.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(behindTimeout + time.Second/2):
		s.overdue = true
		s.log.Warn("停止时仍有后台工作没有完成，不再等待，下次启动时继续")
		return context.Cause(ctx)
	}
}

// settledFor is how long deliveries that arrived or were given up are kept.
const settledFor = 30 * 24 * time.Hour

// tidy forgets what has expired, every ten minutes.
func (s *service) tidy(ctx context.Context) {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		now := time.Now()
		if _, err := s.engine.store.Forget(ctx, now, now.Add(-settledFor)); err != nil && ctx.Err() == nil {
			s.log.Error("清理过期记录时出错", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// admin is what only this machine may ask: figures and profiles.
func (s *service) admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}

// components is what /readyz shows.
func (s *service) components() []web.Component {
	e := s.engine
	library := web.Component{Component: "cases", Status: "ok", Detail: fmt.Sprintf("%d 个案例", e.library.Len())}
	if s.encoding.Load() {
		library.Status, library.Detail = "loading", "正在计算案例向量，未算完的案例暂时只按词检索"
	}
	reading := web.Component{Component: "live", Status: "ok"}
	if s.live.Stats().Reduced {
		reading.Status, reading.Detail = "degraded", "分析连续出错，一分钟内只用快速模式，不检索也不起草"
	}
	return []web.Component{
		s.kept(),
		{Component: "model", Status: "ok", ID: e.ids.Analysis, Detail: "权重和词典合起来的编号，就是分析结果里的 model"},
		{Component: "weights", Status: "ok", ID: e.ids.Model},
		{Component: "lexicon", Status: "ok", ID: e.ids.Lexicon},
		{Component: "encoder", Status: "ok", ID: e.ids.Encoder, Detail: e.ids.Kernel},
		library, reading,
		{Component: "llm", Status: "disabled", Detail: "没有接入大模型，回复草稿由模板生成"},
	}
}

// kept says whether the database answers within a second. Whether it can be
// written shows only in qingting_store_failed_total.
func (s *service) kept() web.Component {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := s.engine.store.Established(ctx); err != nil {
		return web.Component{Component: "store", Status: "unavailable", Detail: "数据库读不出来，请检查磁盘和数据目录"}
	}
	return web.Component{Component: "store", Status: "ok"}
}

// tenant is what a tenant has for itself.
type tenant struct {
	pipeline *qingting.Pipeline
	library  *retrieval.Library
}

// tenants opens the case library of a tenant when it is first needed.
type tenants struct {
	engine *engine
	mu     sync.Mutex
	list   map[string]*tenant
	fresh  chan *retrieval.Library // opened, vectors missing
}

func newTenants(e *engine) *tenants {
	t := &tenants{engine: e, list: map[string]*tenant{qingting.DefaultTenant: {e.pipeline, e.library}}, fresh: make(chan *retrieval.Library, 1024)}
	t.fresh <- e.library
	return t
}

func (t *tenants) of(name string) (*tenant, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one, ok := t.list[name]; ok {
		return one, nil
	}
	parts := t.engine.parts
	parts.Store = t.engine.store.CasesOf(name)
	library, err := retrieval.NewLibrary(context.Background(), parts)
	if err != nil {
		return nil, fmt.Errorf("案例库打不开：%w", err)
	}
	one := &tenant{t.engine.pipeline.With(library), library}
	t.list[name] = one
	t.fresh <- library
	return one, nil
}

// directory remembers what the store says of a tenant for directoryAge.
type directory[T any] struct {
	read func(ctx context.Context, tenant string) (T, error)
	mu   sync.Mutex
	list map[string]entry[T]
}

type entry[T any] struct {
	value T
	at    time.Time
}

// of returns what was read last; a store that does not answer does not take
// back what was known.
func (d *directory[T]) of(tenant string) (T, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := d.list[tenant]
	if ok && time.Since(known.at) < directoryAge {
		return known.value, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	value, err := d.read(ctx, tenant)
	if err != nil {
		if ok {
			return known.value, nil
		}
		return value, err
	}
	if d.list == nil {
		d.list = map[string]entry[T]{}
	}
	d.list[tenant] = entry[T]{value, time.Now()}
	return value, nil
}
