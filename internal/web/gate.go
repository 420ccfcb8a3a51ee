package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/transcript"
)

const sessionCookie = access.SessionCookie

// gate stands before every handler of the table: who is it, may he, not too
// often, was it said before, and is the body readable at all.
func (s *Server) gate(r route) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := s.origins.Check(c.Request); err != nil {
			s.refuse(c, problem(http.StatusForbidden, "cross_origin", "不接受来自其他网站的请求"))
			return
		}
		if r.permit == access.Public {
			s.next(c, r)
			return
		}
		p, err := s.who(c, r)
		if err != nil {
			s.refuse(c, err)
			return
		}
		c.Request = c.Request.WithContext(access.With(c.Request.Context(), p))
		if !p.May(r.permit) {
			s.refuse(c, problem(http.StatusForbidden, "forbidden", "您的角色或密钥没有这项权限（%s），请联系管理员", r.permit))
			return
		}
		if wait := s.rates.take(p); wait > 0 {
			over := *problem(http.StatusTooManyRequests, "rate_limited", "请求太频繁，请稍后重试")
			over.retry = wait
			s.refuse(c, &over)
			return
		}
		s.next(c, r)
	}
}

// next runs the handler within the limit of requests at the same time.
func (s *Server) next(c *gin.Context, r route) {
	if !r.long {
		if s.running.Add(1) > int64(s.options.InFlight) {
			s.running.Add(-1)
			s.refuse(c, problem(http.StatusServiceUnavailable, "busy", "同时处理的请求太多，请稍后重试"))
			return
		}
		defer s.running.Add(-1)
	}
	if r.json {
		if err := readable(c); err != nil {
			s.refuse(c, err)
			return
		}
	}
	if key := c.GetHeader("Idempotency-Key"); r.once != never && key != "" && c.Request.Method == http.MethodPost {
		s.once(c, r, key)
		return
	}
	c.Next()
}

func (s *Server) refuse(c *gin.Context, err error) {
	s.fail(c, err)
	c.Abort()
}

// who finds the principal: a bearer key, the cookie of a session, a ticket
// where a stream is opened; and in an installation where nobody has been set
// up, whoever is at the machine.
func (s *Server) who(c *gin.Context, r route) (*access.Principal, error) {
	ctx, g := c.Request.Context(), s.options.Access
	local := access.Local(qingting.DefaultTenant)
	if g == nil {
		return &local, nil
	}
	if header := c.GetHeader("Authorization"); header != "" {
		scheme, secret, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, errUnknown
		}
		return g.Key(ctx, strings.TrimSpace(secret))
	}
	if ticket := c.Query("ticket"); r.long && ticket != "" {
		return g.Ticket(ctx, ticket)
	}
	if cookie, err := c.Request.Cookie(sessionCookie); err == nil && cookie.Value != "" {
		p, err := g.Session(ctx, cookie.Value)
		if err == nil || !errors.Is(err, access.ErrDenied) {
			return p, err
		}
	}
	open, err := g.Open(ctx)
	if err != nil {
		return nil, err
	}
	// What a proxy on this machine passes on comes from anywhere.
	for name := range c.Request.Header {
		if name == "Forwarded" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			open = false
		}
	}
	if open {
		return &local, nil
	}
	return nil, errUnknown
}

// readable reads the body of a typed route ahead of huma and refuses what
// encoding/json would let through.
func readable(c *gin.Context) error {
	if c.Request.ContentLength == 0 && c.GetHeader("Content-Type") == "" {
		return nil
	}
	data, _, charset, err := body(c, "application/json")
	if err != nil {
		return err
	}
	if charset != "utf-8" && charset != "utf8" {
		return problem(http.StatusUnsupportedMediaType, "unsupported_charset", "这个接口只接受 UTF-8")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return problem(http.StatusBadRequest, "empty_input", "请求体是空的，请发送 JSON")
	}
	if err := transcript.CheckJSON(data); err != nil {
		return err
	}
	c.Request.Body = kept{bytes.NewReader(data)}
	return nil
}

// kept is a body that has been read already.
type kept struct{ *bytes.Reader }

func (kept) Close() error { return nil }

// repeat says what an Idempotency-Key does at a route.
type repeat int

const (
	never    repeat = iota // the route ignores it
	stored                 // the same request again gets the stored reply
	secretly               // the reply shows a secret once, which is not stored
)

// once answers a request with an Idempotency-Key.
func (s *Server) once(c *gin.Context, r route, key string) {
	if s.options.Records == nil {
		c.Next()
		return
	}
	if len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r < '!' || r > '~' }) {
		s.refuse(c, problem(http.StatusBadRequest, "bad_idempotency_key", "Idempotency-Key 应当是 1 到 255 个可见的 ASCII 字符"))
		return
	}
	data, err := limited(c)
	if err != nil {
		s.refuse(c, err)
		return
	}
	c.Request.Body = kept{bytes.NewReader(data)}
	sum := sha256.New()
	sum.Write([]byte(c.Request.Method + "\x00" + c.Request.URL.RequestURI() + "\x00" + c.GetHeader("Content-Type") + "\x00"))
	sum.Write(data)
	ctx, p := c.Request.Context(), access.Of(c.Request.Context())
	name := store.IdempotencyKey{Tenant: p.Tenant, Principal: string(p.Kind) + ":" + p.ID, Key: key}
	seen, reply, err := s.options.Records.BeginIdempotent(ctx, name, sum.Sum(nil), time.Now())
	if err != nil {
		s.refuse(c, err)
		return
	}
	switch seen {
	case store.IdempotencyStored:
		media := "application/json; charset=utf-8"
		if reply.Status >= http.StatusBadRequest {
			media = problemMedia
		}
		c.Header("Idempotent-Replayed", "true")
		c.Data(reply.Status, media, reply.Body)
		c.Abort()
		return
	case store.IdempotencyInFlight:
		s.refuse(c, problem(http.StatusConflict, "in_flight", "同一个 Idempotency-Key 的请求正在处理，请稍后再查"))
		return
	case store.IdempotencyMismatch:
		s.refuse(c, problem(http.StatusUnprocessableEntity, "idempotency_mismatch", "这个 Idempotency-Key 已经用于另一个请求，请换一个"))
		return
	}
	recorder := &recorder{ResponseWriter: c.Writer}
	c.Writer = recorder
	// What was done is kept even when the client has gone meanwhile, and a
	// panic on its way up to around frees the key.
	after := context.WithoutCancel(ctx)
	settled := false
	defer func() {
		c.Writer = recorder.ResponseWriter
		if !settled {
			_ = s.options.Records.ForgetIdempotent(after, name)
		}
	}()
	c.Next()
	status := recorder.Status()
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || recorder.over {
		return
	}
	keep := store.StoredReply{Status: status, Body: recorder.body.Bytes()}
	if r.once == secretly && status < http.StatusBadRequest {
		var b bytes.Buffer
		done := problem(http.StatusConflict, "already_done", "这个请求已经执行过；密钥只在第一次显示，没有保存")
		_ = Encode(&b, s.complete(c, done), false)
		keep = store.StoredReply{Status: done.Status, Body: b.Bytes()}
	}
	if err := s.options.Records.FinishIdempotent(after, name, keep); err != nil {
		s.log.Error("没有保存幂等应答", "id", c.GetString(requestID), "kind", errorKind(err))
		return
	}
	settled = true
}

// recorder keeps what is answered, up to the size of a request.
type recorder struct {
	gin.ResponseWriter
	body bytes.Buffer
	over bool
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.over = r.over || r.body.Len()+len(b) > MaxBody; !r.over {
		r.body.Write(b)
	}
	return r.ResponseWriter.Write(b)
}

func (r *recorder) WriteString(s string) (int, error) { return r.Write([]byte(s)) }

// rates limits how often each principal may ask.
type rates struct {
	key, user rate.Limit // requests a second; 0 is no limit

	mu   sync.Mutex
	list map[string]*limit
}

type limit struct {
	*rate.Limiter
	used time.Time
}

// maxLimits is how many principals are remembered; beyond it those that have
// been quiet for a minute are forgotten, whose bucket is full again.
const maxLimits = 10_000

// take returns 0, or how long to wait.
func (r *rates) take(p *access.Principal) time.Duration {
	allowed := r.user
	if p.Kind == access.KindKey {
		allowed = r.key
	}
	if allowed <= 0 || p.Kind == access.KindLocal {
		return 0
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	name := p.Tenant + "\x00" + string(p.Kind) + "\x00" + p.ID
	l := r.list[name]
	if l == nil {
		if len(r.list) >= maxLimits {
			for k, old := range r.list {
				if now.Sub(old.used) > time.Minute {
					delete(r.list, k)
				}
			}
		}
		l = &limit{Limiter: rate.NewLimiter(allowed, max(1, int(allowed)))}
		r.list[name] = l
	}
	l.used = now
	reservation := l.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// address is the client's: that of a trusted proxy's X-Forwarded-For, else the
// one that connected.
func address(c *gin.Context) string { return c.ClientIP() }
