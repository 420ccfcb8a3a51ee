// Package web serves the product over HTTP: the JSON interface under /v1 and
// one plain page. It is the only place where an error becomes a status code
// and a Chinese sentence, and it never logs what a customer wrote.
package web

import (
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
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
)

// Limits of one request, from the service description.
const (
	MaxBody         = 2 << 20  // bytes
	MaxHeader       = 16 << 10 // bytes, request line included
	MaxAnalyzeRunes = 20_000   // characters that /v1/analyze answers at once
	headerTimeout   = 5 * time.Second
	readTimeout     = 15 * time.Second
	handlerTimeout  = 10 * time.Second
	drainTimeout    = 10 * time.Second
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
}

// Component is one part of the service as /readyz shows it.
type Component struct {
	Component string `json:"component"`
	Status    string `json:"status"` // ok, loading, disabled
	ID        string `json:"id,omitempty"`
	Detail    string `json:"detail,omitempty"` // a Chinese sentence
}

// Options change how a Server works; the zero value is good.
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
}

// Server answers requests. Make it with New.
type Server struct {
	analyzer Analyzer
	cases    Cases
	options  Options
	log      *slog.Logger
	engine   *gin.Engine
	slots    chan struct{}
	waiting  atomic.Int64
	draining atomic.Bool
}

//go:embed page
var page embed.FS

// handler answers one request, or returns the error that middleware turns
// into a problem.
type handler func(c *gin.Context) error

// route is one line of the table.
type route struct {
	method, path string
	handle       handler
}

// routes is every address of the service.
func (s *Server) routes() []route {
	return []route{
		{"POST", "/v1/analyze", s.analyze},
		{"POST", "/v1/transcripts/read", s.readTranscript},
		{"GET", "/v1/taxonomy", s.taxonomy},
		{"GET", "/v1/cases", s.listCases},
		{"GET", "/v1/cases/:id", s.getCase},
		{"POST", "/v1/cases/search", s.searchCases},
		{"GET", "/healthz", s.healthz},
		{"GET", "/readyz", s.readyz},
		{"GET", "/", s.asset("page/index.html", "text/html; charset=utf-8")},
		{"GET", "/assets/app.js", s.asset("page/app.js", "text/javascript; charset=utf-8")},
		{"GET", "/assets/app.css", s.asset("page/app.css", "text/css; charset=utf-8")},
		{"GET", "/assets/icon.svg", s.asset("page/icon.svg", "image/svg+xml")},
	}
}

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
	if o.Queue == 0 {
		o.Queue = 64
	}
	s := &Server{analyzer: analyzer, cases: cases, options: o, log: o.Log, slots: make(chan struct{}, o.Parallel)}
	gin.SetMode(gin.ReleaseMode)
	s.engine = gin.New()
	if err := s.engine.SetTrustedProxies(nil); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s.engine.HandleMethodNotAllowed = true
	s.engine.RedirectTrailingSlash = false
	s.engine.Use(s.around)
	origins := http.NewCrossOriginProtection()
	for _, r := range s.routes() {
		methods := []string{r.method}
		if r.method == http.MethodGet { // net/http leaves the body out of a HEAD
			methods = append(methods, http.MethodHead)
		}
		s.engine.Match(methods, r.path, func(c *gin.Context) {
			if err := origins.Check(c.Request); err != nil {
				s.fail(c, problem(http.StatusForbidden, "cross_origin", "不接受来自其他网站的请求"))
				return
			}
			if err := r.handle(c); err != nil {
				s.fail(c, err)
			}
		})
	}
	s.engine.NoRoute(func(c *gin.Context) {
		s.fail(c, problem(http.StatusNotFound, "not_found", "没有这个地址，请对照接口文档检查路径"))
	})
	s.engine.NoMethod(func(c *gin.Context) {
		s.fail(c, problem(http.StatusMethodNotAllowed, "method_not_allowed", "这个地址不支持 %s，支持的方法见 Allow 头", knownMethod(c.Request.Method)))
	})
	return s, nil
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
// running requests finish, for 10 seconds at most, and returns nil.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		// The answer needs time of its own after the longest handler.
		WriteTimeout: readTimeout + handlerTimeout + 5*time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: MaxHeader - headerSlop,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
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
	if err := server.Shutdown(timeout); err != nil {
		_ = server.Close()
		return fmt.Errorf("停止时仍有请求没有完成：%w", err)
	}
	<-ended
	return nil
}

// around is everything that happens to every request: an id, safe headers, a
// line in the log, and an answer instead of a panic.
func (s *Server) around(c *gin.Context) {
	started := time.Now()
	id := rand.Text()[:16]
	c.Set(requestID, id)
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
		s.log.Info("请求", "id", id, "method", knownMethod(c.Request.Method), "route", c.FullPath(), "status", c.Writer.Status(),
			"ms", float64(time.Since(started).Microseconds())/1000, "bytes", c.Writer.Size())
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

func reply(c *gin.Context, status int, v any) error {
	c.Header("Content-Type", "application/json; charset=utf-8")
	c.Status(status)
	// Headers are out: an error now is a client that has gone.
	_ = Encode(c.Writer, v, false)
	return nil
}
