package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// Limits of one socket.
const (
	maxFrame      = 64 << 10 // bytes; the longest message, escaped, fits
	socketQueue   = 64       // frames read ahead; a sender that is faster waits
	socketTimeout = 10 * time.Second
	pingEvery     = 20 * time.Second
	closeGrace    = 5 * time.Second
)

// frame is what came in: a message, or what is wrong with it.
type frame struct {
	message qingting.Message
	err     error
}

// acknowledged is a frame that goes out for each final message, when it is
// durable and not before, in the order the messages came in; and for each that
// was refused.
type acknowledged struct {
	Type      string      `json:"type"` // ack or error
	MessageID string      `json:"message_id,omitempty"`
	Seq       int         `json:"seq,omitempty"`
	Status    live.Status `json:"status,omitempty"`
	Version   int64       `json:"version,omitempty"`
	Code      string      `json:"code,omitempty"`
	Detail    string      `json:"detail,omitempty"`
	Retry     bool        `json:"retry,omitempty"` // the same message may be sent again
}

type streamInput struct {
	ByID
	Ticket string `query:"ticket" doc:"浏览器的 WebSocket 不能带密钥时用的一次性票据"`
}

// socket answers GET /v1/conversations/{id}/stream: a WebSocket whose text
// frames are messages, as a speech recogniser finishes them. Partial ones
// (is_final false) are shown to whoever listens and not kept. What is wrong
// with one frame is said in a frame and ends nothing.
func (s *Server) socket(c *gin.Context) error {
	if s.options.Live == nil || s.options.Records == nil {
		return errOff
	}
	ctx, id := c.Request.Context(), c.Param("id")
	req := live.IngestRequest{Tenant: access.Of(ctx).Tenant, Conversation: id}
	if err := checkID("id", id); err != nil {
		return err
	}
	if err := s.mayIngest(ctx, &req, false); err != nil {
		return err
	}
	entry, err := s.enter(c, access.Ingest)
	if err != nil {
		return err
	}
	if c.Request.Method == http.MethodHead {
		return nil
	}
	if err := s.claimStream(); err != nil {
		return err
	}
	defer s.streams.Add(-1)
	s.sockets.Add(1)
	defer s.sockets.Done()
	// Accept checks that the Origin, which browsers send, is this host. Limits
	// of ordinary requests end with the hijack.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{})
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Time{})
	conn, err := websocket.Accept(c.Writer, c.Request, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		// It has answered by itself.
		return nil
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxFrame)
	still := func(ctx context.Context) bool {
		again := req
		return entry.stands(ctx) == nil && s.mayIngest(ctx, &again, false) == nil
	}
	s.converse(context.WithoutCancel(ctx), conn, req, still)
	return nil
}

// converse reads ahead of what it writes to the store, so that messages which
// come fast share a write; their order is kept. It ends when the sender may no
// longer write.
func (s *Server) converse(ctx context.Context, conn *websocket.Conn, req live.IngestRequest, still func(context.Context) bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	frames := make(chan frame, socketQueue)
	go func() {
		defer close(frames)
		for {
			kind, data, err := conn.Read(ctx)
			if err != nil {
				return // gone, too long, or half a frame: nothing of it counts
			}
			f := readFrame(kind, data)
			select {
			case frames <- f:
			case <-ctx.Done():
				return
			}
		}
	}()
	// The reader must have ended before the handler does.
	defer func() {
		cancel()
		for range frames { //nolint:revive // only the end of it counts
		}
	}()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	check := time.NewTicker(s.checkEvery())
	defer check.Stop()
	for {
		select {
		case f, open := <-frames:
			if !open {
				_ = conn.Close(websocket.StatusNormalClosure, "")
				return
			}
			batch := []frame{f}
			for len(batch) < socketQueue {
				select {
				case f, open = <-frames:
				default:
					open = false
				}
				if !open {
					break
				}
				batch = append(batch, f)
			}
			if !s.take(ctx, conn, req, batch) {
				return
			}
		case <-ping.C:
			within, done := context.WithTimeout(ctx, socketTimeout)
			err := conn.Ping(within)
			done()
			if err != nil {
				return
			}
		case <-check.C:
			if !still(ctx) {
				sayGoodbye(conn, websocket.StatusPolicyViolation, "密钥、登录或权限已失效，请重新登录或换密钥")
				return
			}
		case <-s.closing:
			sayGoodbye(conn, websocket.StatusGoingAway, "服务正在停止，请重新连接")
			return
		}
	}
}

// sayGoodbye closes and says why. When the service stops, the sender connects
// again and sends what was not acknowledged.
func sayGoodbye(conn *websocket.Conn, code websocket.StatusCode, why string) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = conn.Close(code, why)
	}()
	select {
	case <-closed:
	case <-time.After(closeGrace):
		_ = conn.CloseNow()
		<-closed
	}
}

// readFrame reads one message. The frame must be text.
func readFrame(kind websocket.MessageType, data []byte) frame {
	if kind != websocket.MessageText {
		return frame{err: problem(http.StatusUnsupportedMediaType, "binary_frame", "请发送文本帧，一帧一条 JSON 消息")}
	}
	if err := transcript.CheckJSON(data); err != nil {
		return frame{err: err}
	}
	var m qingting.Message
	if err := json.Unmarshal(data, &m); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return frame{err: problem(http.StatusUnprocessableEntity, "wrong_type", "字段 %s 的类型不对", wrong.Field)}
		}
		return frame{err: problem(http.StatusUnprocessableEntity, "wrong_type", "不是一条消息，字段见接口文档")}
	}
	one := qingting.Transcript{Messages: []qingting.Message{m}}
	if err := checkMessageIDs(one.Messages); err != nil {
		return frame{err: err}
	}
	return frame{message: m, err: one.Validate()}
}

// take writes the good messages of a batch and answers all of it in order. It
// returns false when the other side has gone.
func (s *Server) take(ctx context.Context, conn *websocket.Conn, req live.IngestRequest, batch []frame) bool {
	req.Messages = nil
	for _, f := range batch {
		if f.err == nil {
			req.Messages = append(req.Messages, f.message)
		}
	}
	out := make([]acknowledged, 0, len(batch))
	results, err := s.takeTogether(ctx, req)
	for _, f := range batch {
		if f.err != nil {
			out = append(out, s.refused(ctx, f.message.ID, f.err))
			continue
		}
		if err == nil {
			if !f.message.Partial() {
				out = append(out, results[0])
			}
			results = results[1:]
			continue
		}
		// One bad message refuses the whole write: then each is tried alone.
		alone := req
		alone.Messages = []qingting.Message{f.message}
		switch single, err := s.takeTogether(ctx, alone); {
		case err != nil:
			out = append(out, s.refused(ctx, f.message.ID, err))
		case !f.message.Partial():
			out = append(out, single[0])
		}
	}
	for i := range out {
		data, err := json.Marshal(&out[i])
		if err != nil {
			return false
		}
		within, done := context.WithTimeout(ctx, socketTimeout)
		err = conn.Write(within, websocket.MessageText, data)
		done()
		if err != nil {
			return false
		}
	}
	return true
}

// takeTogether writes messages and returns what to answer to each.
func (s *Server) takeTogether(ctx context.Context, req live.IngestRequest) ([]acknowledged, error) {
	if len(req.Messages) == 0 {
		return nil, nil
	}
	receipt, err := s.options.Live.Ingest(ctx, req)
	if err != nil {
		return nil, err
	}
	out := make([]acknowledged, len(receipt.Results))
	for i, r := range receipt.Results {
		out[i] = acknowledged{Type: "ack", MessageID: r.MessageID, Seq: r.Seq, Status: r.Status, Version: receipt.Conversation.Version}
	}
	return out, nil
}

func (s *Server) refused(ctx context.Context, id string, err error) acknowledged {
	p := s.problemOf(ctx, err)
	return acknowledged{Type: "error", MessageID: id, Code: p.Code, Detail: p.Detail, Retry: p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests}
}
