package web

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/job"
	"github.com/qingting-ai/qingting/internal/live"
)

// eventTimeout is how long one event may take to leave: a reader that is
// slower is cut off, and comes back with Last-Event-ID.
const eventTimeout = 10 * time.Second

// eventTypes are the types a stream can be narrowed to.
func eventTypes() []qingting.EventType {
	return []qingting.EventType{
		qingting.EventMessage, qingting.EventPartial, qingting.EventAnalysis, qingting.EventConversation,
		qingting.EventAlertRaised, qingting.EventAlertChanged, qingting.EventPromise, qingting.EventCase,
		job.EventProgress,
	}
}

// eventsInput is read by hand, see events.
type eventsInput struct {
	Types        string `query:"types" doc:"只要这些事件，用逗号分开，如 alert.raised,analysis.updated"`
	Conversation string `query:"conversation_id" maxLength:"128" doc:"只要这个会话的事件"`
	Ticket       string `query:"ticket" doc:"浏览器的 EventSource 不能带密钥时用的一次性票据"`
	Last         string `header:"Last-Event-ID" doc:"上次收到的最后一个事件；太旧时先来一个 resync 事件，请重新读取当前状态"`
}

// claimStream counts one more stream, unless there are too many.
func (s *Server) claimStream() error {
	if s.draining.Load() {
		return problem(http.StatusServiceUnavailable, "draining", "服务正在停止")
	}
	if s.streams.Add(1) > int64(s.options.Streams) {
		s.streams.Add(-1)
		return problem(http.StatusServiceUnavailable, "too_many_streams", "同时打开的事件流太多，请稍后重试")
	}
	return nil
}

// longestTrust is how long a stream goes on, at most, after the key, the
// session or the role that opened it has gone.
const longestTrust = 15 * time.Second

func (s *Server) checkEvery() time.Duration { return min(s.options.Heartbeat, longestTrust) }

// entry is by what right a stream was opened.
type entry struct {
	guard   *access.Guard // nil: everybody may everything
	opened  access.Principal
	reach   access.Reach
	permit  access.Permission
	session string // token, when that was it
}

func (s *Server) enter(c *gin.Context, permit access.Permission) (*entry, error) {
	ctx := c.Request.Context()
	reach, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	e := &entry{guard: s.options.Access, opened: *access.Of(ctx), reach: reach, permit: permit}
	if cookie, err := c.Request.Cookie(sessionCookie); err == nil && e.opened.Kind == access.KindUser && c.Query("ticket") == "" {
		e.session = cookie.Value
	}
	return e, nil
}

// stands returns nil as long as the same asker would get the same stream. Any
// error ends it, also one of the store: who may no longer be checked may no
// longer listen, and a reader that comes back is answered as usual.
func (e *entry) stands(ctx context.Context) error {
	if e.guard == nil {
		return nil
	}
	now := e.opened
	switch {
	case e.opened.Kind == access.KindLocal:
		if open, err := e.guard.Open(ctx); err != nil || !open {
			return cmp.Or(err, access.ErrDenied)
		}
	case e.opened.Kind == access.KindKey:
		k, err := e.guard.Store().Key(ctx, now.Tenant, now.ID)
		if err != nil {
			return err
		}
		if k.Disabled || k.Expires != nil && !k.Expires.After(time.Now()) {
			return access.ErrDenied
		}
		now.Team, now.Scopes = k.Team, k.Scopes
	case e.session != "":
		p, err := e.guard.Session(ctx, e.session)
		if err != nil {
			return err
		}
		now = *p
	default: // a ticket, which is used up
		u, err := e.guard.Store().User(ctx, now.Tenant, now.ID)
		if err != nil {
			return err
		}
		if u.Disabled {
			return access.ErrDenied
		}
		now.Role, now.Team = u.Role, u.Team
	}
	reach, err := e.guard.Reach(ctx, &now)
	if err != nil {
		return err
	}
	if now.ID != e.opened.ID || !now.May(e.permit) || reach.All != e.reach.All || !slices.Equal(reach.Teams, e.reach.Teams) {
		return access.ErrDenied
	}
	return nil
}

// events answers GET /v1/events: what happens, as it happens (SSE).
func (s *Server) events(c *gin.Context) error {
	if s.options.Live == nil {
		return errOff
	}
	ctx := c.Request.Context()
	p := access.Of(ctx)
	f := live.Filter{Tenant: p.Tenant, Conversation: c.Query("conversation_id")}
	if types := c.Query("types"); types != "" {
		for t := range strings.SplitSeq(types, ",") {
			if !slices.Contains(eventTypes(), qingting.EventType(t)) {
				return problem(http.StatusBadRequest, "bad_parameter", "types 里有不认识的事件，可用的见接口文档")
			}
			f.Types = append(f.Types, qingting.EventType(t))
		}
	}
	entry, err := s.enter(c, access.ReadTalk)
	if err != nil {
		return err
	}
	if !entry.reach.All {
		f.Teams = entry.reach.Teams
	}
	if f.Conversation != "" {
		if _, err := s.conversation(ctx, f.Conversation); err != nil {
			return err
		}
	}
	if err := s.claimStream(); err != nil {
		return err
	}
	defer s.streams.Add(-1)
	// A reader that was cut off says where it was; the parameter is for clients
	// that cannot send the header.
	last := c.GetHeader("Last-Event-ID")
	if last == "" {
		last = c.Query("last_event_id")
	}
	sub, err := s.options.Live.Subscribe(f, last)
	if err != nil {
		return err
	}
	defer sub.Close()

	control := http.NewResponseController(c.Writer)
	// The limits of ordinary requests would end the stream.
	if err := control.SetReadDeadline(time.Time{}); err != nil && !errorsUnsupported(err) {
		return err
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // or nginx keeps events back
	c.Status(http.StatusOK)
	var b bytes.Buffer
	send := func() bool {
		_ = control.SetWriteDeadline(time.Now().Add(eventTimeout))
		_, err := c.Writer.Write(b.Bytes())
		b.Reset()
		return err == nil && control.Flush() == nil
	}
	b.WriteString("retry: 2000\n\n")
	if !send() || c.Request.Method == http.MethodHead {
		return nil
	}
	beat := time.NewTicker(s.checkEvery())
	defer beat.Stop()
	for {
		select {
		case e, open := <-sub.Events:
			if !open {
				return nil
			}
			writeEvent(&b, &e)
			// Whatever waits goes out in the same packet.
			for n := len(sub.Events); n > 0 && b.Len() < 64<<10; n-- {
				if e, open = <-sub.Events; !open {
					break
				}
				writeEvent(&b, &e)
			}
			if !send() {
				return nil
			}
		case <-beat.C:
			if entry.stands(ctx) != nil {
				return nil // it comes back, and is told why not
			}
			b.WriteString(": ping\n\n")
			if !send() {
				return nil
			}
		case <-ctx.Done():
			return nil
		case <-s.closing:
			return nil
		}
	}
}

// writeEvent writes one event in the form of the HTML standard. JSON has no
// line ends, so that it is one data line.
func writeEvent(b *bytes.Buffer, e *live.Published) {
	b.WriteString("id: " + e.Cursor + "\nevent: " + string(e.Type) + "\ndata: ")
	b.Write(e.JSON)
	b.WriteString("\n\n")
}
