// Package web serves the product over HTTP: the JSON interface under /v1 and
// one plain page. It is the only place where an error becomes a status code
// and a Chinese sentence, and it never logs what a customer wrote.
package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
)

// Limits of one request, from the service description.
const (
	MaxBody         = 2 << 20  // bytes
	MaxHeader       = 16 << 10 // bytes, request line included
	MaxAnalyzeRunes = 20_000   // characters that /v1/analyze answers at once
	headerTimeout   = 5 * time.Second
	readTimeout     = 15 * time.Second
	handlerTimeout  = 10 * time.Second
	// A server that stops waits bodyTimeout for what clients still send and
	// drainTimeout in all: what is behind it needs time of its own to end.
	bodyTimeout  = 2 * time.Second
	drainTimeout = 6 * time.Second
)

// headerSlop is what net/http reads beyond http.Server.MaxHeaderBytes.
const headerSlop = 4096

// Analyzer is the pipeline. It may be called concurrently.
type Analyzer interface {
	Analyze(ctx context.Context, t qingting.Transcript, mode qingting.Mode) (*qingting.Analysis, error)
}

// Cases is the case library. Get returns qingting.ErrNotFound. It may be
// called concurrently.
type Cases interface {
	List(f qingting.CaseFilter, offset, limit int) (page []qingting.Case, total int)
	Get(id string) (qingting.Case, error)
	SearchText(ctx context.Context, text string, f qingting.CaseFilter, limit int) ([]qingting.Match, error)
	// Add keeps a new case and returns it with its id; a case that breaks a
	// rule is an *qingting.InputError.
	Add(ctx context.Context, c qingting.Case) (qingting.Case, error)
	Update(ctx context.Context, c qingting.Case) error
	Delete(ctx context.Context, id string) error
}

// Component is one part of the service as /readyz shows it.
type Component struct {
	Component string `json:"component"`
	Status    string `json:"status"` // ok, loading, disabled
	ID        string `json:"id,omitempty"`
	Detail    string `json:"detail,omitempty"` // a Chinese sentence
}

// Options change how a Server works; the zero value is good. A part that is
// nil is not there: its routes answer not_configured.
type Options struct {
	Mode       qingting.Mode      // of an analysis that does not name one; "" means full
	Log        *slog.Logger       // nil: no log
	Components func() []Component // for /readyz; may be nil
	// Hosts are the names a browser may call this server by, beside localhost
	// and addresses; nil allows every name. A server on the loopback address
	// needs it: otherwise any web page could reach it under a name of its own.
	Hosts    []string
	Parallel int // analyses at the same time; 0 means one for each processor
	Queue    int // requests that may wait for their turn; 0 means 64, negative none
	InFlight int // requests at the same time, streams aside; 0 means 1,024
	Streams  int // event streams and sockets at the same time; 0 means 2,048
	// Proxies are the addresses or networks of reverse proxies whose
	// X-Forwarded-For is believed, for the limit of logins; nil believes none.
	Proxies []string
	// KeyRate and UserRate are requests a second of one key and one person; 0
	// means 3,000 and 100, negative no limit.
	KeyRate, UserRate float64
	Heartbeat         time.Duration // of streams; 0 means 15 s

	// Access knows who asks. nil: everybody is the admin of the default tenant,
	// which is right only where nobody else can reach the server.
	Access  *access.Guard
	Live    Live
	Records Records
	Lint    Linter
	// Conceal hides the personal data of what an agent typed into feedback; nil
	// keeps it as it is.
	Conceal func(text string) (string, []qingting.Concealed)
	// HookGuard says which addresses may be told of events; nil: public ones
	// over https.
	HookGuard *hook.Guard
	// Observe is told of every answer, with the pattern of the route, "" for an
	// unknown address; a stream counts when it ends. nil: nobody is.
	Observe func(route, method string, status int, took time.Duration)
	// Wake tells the sender that deliveries wait; may be nil.
	Wake func()
	// TenantCases and TenantAnalyzer return what belongs to a tenant other than
	// the default one; nil: there is none.
	TenantCases    func(tenant string) (Cases, error)
	TenantAnalyzer func(tenant string) (Analyzer, error)
	// Work is what takes longer than a request, and the adapters.
	Work Work
}

// Server answers requests. Make it with New.
type Server struct {
	analyzer Analyzer
	cases    Cases
	options  Options
	log      *slog.Logger
	engine   *gin.Engine
	config   huma.Config
	document []byte // /openapi.json
	origins  *http.CrossOriginProtection
	rates    rates
	slots    chan struct{}
	waiting  atomic.Int64
	running  atomic.Int64
	streams  atomic.Int64
	draining atomic.Bool
	closing  chan struct{} // closed when streams must end
	end      sync.Once
	sockets  sync.WaitGroup
}

//go:embed page
var page embed.FS

// handler answers one request, or returns the error that middleware turns
// into a problem.
type handler func(c *gin.Context) error

// New builds the server. It starts nothing.
func New(analyzer Analyzer, cases Cases, o Options) (*Server, error) {
	if analyzer == nil || cases == nil {
		return nil, errors.New("web: no analyzer or no cases")
	}
	if o.Mode == "" {
		o.Mode = qingting.ModeFull
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	or(&o.Queue, 64)
	or(&o.InFlight, 1024)
	or(&o.Streams, 2048)
	or(&o.KeyRate, 3000)
	or(&o.UserRate, 100)
	or(&o.Heartbeat, 15*time.Second)
	s := &Server{
		analyzer: analyzer, cases: cases, options: o, log: o.Log, slots: make(chan struct{}, o.Parallel), closing: make(chan struct{}),
		origins: http.NewCrossOriginProtection(), rates: rates{key: rate.Limit(o.KeyRate), user: rate.Limit(o.UserRate), list: map[string]*limit{}},
	}
	librariesOnce.Do(setLibraries)
	s.engine = gin.New()
	if err := s.engine.SetTrustedProxies(o.Proxies); err != nil {
		return nil, fmt.Errorf("web: 反向代理的地址不对：%w", err)
	}
	s.engine.HandleMethodNotAllowed = true
	s.engine.RedirectTrailingSlash = false
	s.engine.Use(s.around)
	s.configure()
	for _, r := range s.routes() {
		r.bind(s, r, s.operation(r))
	}
	if err := s.writeDocument(); err != nil {
		return nil, err
	}
	s.engine.NoRoute(func(c *gin.Context) {
		s.fail(c, problem(http.StatusNotFound, "not_found", "没有这个地址，请对照接口文档检查路径"))
	})
	s.engine.NoMethod(func(c *gin.Context) {
		s.fail(c, problem(http.StatusMethodNotAllowed, "method_not_allowed", "这个地址不支持 %s，支持的方法见 Allow 头", knownMethod(c.Request.Method)))
	})
	return s, nil
}

func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

func knownMethod(m string) string {
	if slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, m) {
		return m
	}
	return "这种方法"
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// Serve answers on the listener until ctx ends, then says not ready, lets
// running requests finish, and returns nil. Clients have two more seconds to
// send a body that is on its way; after six seconds the connections that are
// left are cut. What was acknowledged is stored by then.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	var bodies bodies
	server := &http.Server{
		Handler: bodies.watch(s), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		// The answer needs time of its own after the longest handler.
		WriteTimeout: readTimeout + handlerTimeout + 5*time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: MaxHeader - headerSlop,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(s.endStreams)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.log.Info("正在停止，等待处理中的请求")
	timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	late := time.AfterFunc(bodyTimeout, bodies.cut)
	defer late.Stop()
	if err := server.Shutdown(timeout); err != nil {
		s.log.Warn("停止时仍有请求没有完成，已断开连接；应答过的写入都已保存", "error", err)
		_ = server.Close()
	}
	<-ended
	// Sockets are told to end, and do so within seconds unless a client hangs.
	gone := make(chan struct{})
	go func() { s.sockets.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-timeout.Done():
		s.log.Warn("停止时仍有 WebSocket 没有关闭，不再等待")
	}
	return nil
}

// bodies are the requests whose body has not been read to its end.
type bodies struct {
	mu     sync.Mutex
	over   bool
	unread map[*unread]struct{}
}

// unread is the body of a request on its way in.
type unread struct {
	io.ReadCloser
	all  *bodies
	conn *http.ResponseController
}

// Read forgets the body at its end: a deadline on the connection would from
// then on end the handler.
func (u *unread) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		u.all.forget(u)
	}
	return n, err
}

func (b *bodies) watch(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			u := &unread{r.Body, b, http.NewResponseController(w)}
			b.mu.Lock()
			if b.over {
				_ = u.conn.SetReadDeadline(time.Now())
			} else {
				if b.unread == nil {
					b.unread = map[*unread]struct{}{}
				}
				b.unread[u] = struct{}{}
			}
			b.mu.Unlock()
			defer b.forget(u)
			r.Body = u
		}
		h.ServeHTTP(w, r)
	})
}

func (b *bodies) forget(u *unread) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.unread, u)
}

// cut lets every read of a body fail from now on.
func (b *bodies) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	for u := range b.unread {
		_ = u.conn.SetReadDeadline(time.Now())
	}
}

// endStreams tells every stream and socket to end.
func (s *Server) endStreams() { s.end.Do(func() { close(s.closing) }) }

// around is everything that happens to every request: an id, safe headers, a
// line in the log, and an answer instead of a panic.
func (s *Server) around(c *gin.Context) {
	started := time.Now()
	id := rand.Text()[:16]
	c.Set(requestID, id)
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), requestKey{}, id))
	h := c.Writer.Header()
	h.Set("X-Request-Id", id)
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	defer func() {
		if r := recover(); r != nil {
			// The value of a panic may quote the text; its place may not.
			s.log.Error("处理请求时出错", "id", id, "route", c.FullPath(), "panic", panicKind(r), "at", panicPlace())
			if !c.Writer.Written() {
				s.fail(c, errInternal)
			}
		}
		took, status := time.Since(started), c.Writer.Status()
		if s.options.Observe != nil {
			s.options.Observe(c.FullPath(), knownMethod(c.Request.Method), status, took)
		}
		// Thousands of good answers a second are for the metrics, not for the log.
		level := slog.LevelDebug
		switch {
		case status >= http.StatusInternalServerError:
			level = slog.LevelWarn
		case status >= http.StatusBadRequest:
			level = slog.LevelInfo
		}
		s.log.Log(c.Request.Context(), level, "请求", "id", id, "method", knownMethod(c.Request.Method), "route", c.FullPath(), "status", status,
			"ms", float64(took.Microseconds())/1000, "bytes", c.Writer.Size())
	}()
	if !s.knownHost(c.Request.Host) {
		s.fail(c, problem(http.StatusMisdirectedRequest, "unknown_host", "服务只接受本机地址的访问；如果经由域名访问，请在启动时用 --host 写明"))
		c.Abort()
		return
	}
	c.Next()
}

func (s *Server) knownHost(host string) bool {
	if s.options.Hosts == nil {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host == "" || host == "localhost" || net.ParseIP(host) != nil || slices.ContainsFunc(s.options.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

const requestID = "request_id"

type requestKey struct{}

// requestOf is the id of the request that a context belongs to.
func requestOf(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

func panicKind(r any) string {
	if err, ok := r.(runtime.Error); ok {
		return err.Error() // an index, a nil pointer: no text
	}
	return fmt.Sprintf("%T", r)
}

// panicPlace names the functions between the panic and us.
func panicPlace() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var out []string
	for {
		f, more := frames.Next()
		if strings.Contains(f.Function, "qingting") {
			out = append(out, fmt.Sprintf("%s:%d", f.Function, f.Line))
		}
		if !more || len(out) == 6 {
			return strings.Join(out, " < ")
		}
	}
}

// Encode writes JSON as every interface of the product shows it: one line,
// Chinese and < > & as they are, a line end. With indent it is laid out for
// people.
func Encode(w io.Writer, v any, indent bool) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}

// encoded is the whole JSON of a value. Its error names the type at fault and
// never the value, which may be what a customer wrote.
func encoded(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := Encode(&b, v, false); err != nil {
		return nil, fmt.Errorf("web: %T does not become JSON: %T", v, err)
	}
	return b.Bytes(), nil
}

// reply answers with JSON. An error is returned before anything is written.
func reply(c *gin.Context, status int, v any) error {
	// A value that JSON cannot say is found before the status is out.
	data, err := encoded(v)
	if err != nil {
		return err
	}
	c.Data(status, "application/json; charset=utf-8", data)
	return nil
}
