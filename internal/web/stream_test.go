package web

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
)

// slowLive holds the first write back, and says that it came.
type slowLive struct {
	Live
	entered, release chan struct{}
}

func (l slowLive) Ingest(ctx context.Context, r live.IngestRequest) (live.Receipt, error) {
	close(l.entered)
	<-l.release
	return l.Live.Ingest(ctx, r)
}

// failingLive is a full disk.
type failingLive struct{ Live }

func (failingLive) Ingest(context.Context, live.IngestRequest) (live.Receipt, error) {
	return live.Receipt{}, store.ErrUnavailable
}

// events reads a stream; each block is a map of its fields.
type events struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Scanner
}

func (s *service) subscribe(t *testing.T, base, query string, headers ...string) *events {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", base+"/v1/events"+query, nil)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	w, err := client.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { w.Body.Close() })
	require.Equal(t, 200, w.StatusCode)
	require.Equal(t, "text/event-stream; charset=utf-8", w.Header.Get("Content-Type"))
	return &events{t, w.Body, bufio.NewScanner(w.Body)}
}

// next returns the next block that is no comment.
func (e *events) next() map[string]string {
	e.t.Helper()
	out := map[string]string{}
	for e.in.Scan() {
		line := e.in.Text()
		if line == "" {
			if out["event"] != "" {
				return out
			}
			out = map[string]string{}
			continue
		}
		name, value, _ := strings.Cut(line, ": ")
		out[name] = value
	}
	e.t.Fatal("the stream has ended", e.in.Err())
	return nil
}

func TestEventsResume(t *testing.T) {
	s := newService(t, true, nil)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	stream := s.subscribe(t, server.URL, "")
	say := func(id string) {
		t.Helper()
		require.Equal(t, 201, s.ask(nil, "POST", "/v1/conversations?wait=analysis", m{"id": "c1", "messages": []m{customer(id, "我要打12315 "+id)}}).Code)
	}
	say("m1")
	var seen []map[string]string
	for {
		e := stream.next()
		seen = append(seen, e)
		var data struct {
			Type         string `json:"type"`
			Conversation string `json:"conversation_id"`
		}
		require.NoError(t, json.Unmarshal([]byte(e["data"]), &data))
		require.Equal(t, e["event"], data.Type)
		require.Equal(t, "c1", data.Conversation)
		if e["event"] == string(qingting.EventAlertRaised) {
			break
		}
	}
	stream.body.Close()
	say("m2")
	// What came meanwhile is told, from where the reader was, once and in order.
	resumed := s.subscribe(t, server.URL, "", "Last-Event-ID", seen[0]["id"])
	for _, before := range seen[1:] {
		require.Equal(t, before, resumed.next())
	}
	for {
		e := resumed.next()
		require.NotEqual(t, "resync", e["event"])
		if e["event"] == string(qingting.EventMessage) {
			require.Contains(t, e["data"], "m2")
			break
		}
	}
	// A place that is not known any more: read everything again.
	require.Equal(t, "resync", s.subscribe(t, server.URL, "", "Last-Event-ID", "b_old-7").next()["event"])
	require.Equal(t, "resync", s.subscribe(t, server.URL, "?last_event_id=garbage").next()["event"])
	// Narrowed to alerts.
	alerts := s.subscribe(t, server.URL, "?types=alert.raised,alert.updated", "Last-Event-ID", seen[0]["id"])
	require.Equal(t, string(qingting.EventAlertRaised), alerts.next()["event"])
}

func TestEventsBeatAndEnd(t *testing.T) {
	s := newService(t, true, func(o *Options) { o.Streams = 1 })
	server := httptest.NewUnstartedServer(s)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	stream := s.subscribe(t, server.URL, "")
	beats := 0
	for started := time.Now(); time.Since(started) < 300*time.Millisecond && stream.in.Scan(); {
		if stream.in.Text() == ": ping" {
			beats++
		}
	}
	require.GreaterOrEqual(t, beats, 4, "the stream outlives the timeouts of ordinary requests")
	w, err := http.Get(server.URL + "/v1/events")
	require.NoError(t, err)
	require.Equal(t, 503, w.StatusCode, "one stream is the limit here")
	w.Body.Close()
	s.endStreams()
	for stream.in.Scan() { //nolint:revive // only the end counts
	}
	require.NoError(t, stream.in.Err(), "the stream ends in order")
	http.DefaultClient.CloseIdleConnections()
}

// TestEventsEndAtTheTeam: what happens in another team is not told, and a
// ticket opens one stream, once.
func TestEventsEndAtTheTeam(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	got := read[ticket](t, w.ask(w.who["agent"], "POST", "/v1/tickets", nil), 201)
	require.InDelta(t, access.TicketLife.Seconds(), time.Until(got.Expires).Seconds(), 5)
	stream := w.subscribe(t, server.URL, "?types=message.created&ticket="+got.Ticket)
	again, err := http.Get(server.URL + "/v1/events?ticket=" + got.Ticket)
	require.NoError(t, err)
	require.Equal(t, 401, again.StatusCode)
	again.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	require.Equal(t, 401, w.ask(nil, "GET", "/v1/conversations?ticket="+got.Ticket, nil).Code, "tickets are for streams")
	for _, id := range []string{"talk.west", "talk.east1", "talk.east"} {
		require.Equal(t, 201, w.ask(w.who["k:ingest"], "POST", "/v1/conversations/"+id+"/messages", customer("", "还在吗")).Code)
	}
	require.Contains(t, stream.next()["data"], "talk.east\"")
	require.Equal(t, 404, w.ask(w.who["agent"], "GET", "/v1/events?conversation_id=talk.west", nil).Code)
}

func (s *service) dial(t *testing.T, base, path string, o *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(base, "http", "ws", 1)+path, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func say(t *testing.T, conn *websocket.Conn, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, data))
}

func hear(t *testing.T, conn *websocket.Conn) acknowledged {
	t.Helper()
	_, data, err := conn.Read(t.Context())
	require.NoError(t, err)
	var out acknowledged
	require.NoError(t, json.Unmarshal(data, &out), string(data))
	return out
}

func TestSocket(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	stream := s.subscribe(t, server.URL, "?types=message.partial,message.created")
	conn := s.dial(t, server.URL, "/v1/conversations/call1/stream", nil)
	for _, text := range []string{"我", "我要", "我要投"} {
		say(t, conn, m{"message_id": "a1", "role": "customer", "text": text, "is_final": false})
	}
	say(t, conn, m{"message_id": "a1", "role": "customer", "text": "我要投诉", "is_final": true, "asr": m{"confidence": 0.9}})
	require.Equal(t, acknowledged{Type: "ack", MessageID: "a1", Seq: 1, Status: "created", Version: 1}, hear(t, conn), "partial results are not acknowledged")
	// What was acknowledged is there.
	got := read[page1[qingting.StoredMessage]](t, s.ask(nil, "GET", "/v1/conversations/call1/messages", nil), 200)
	require.Len(t, got.Items, 1)
	require.Equal(t, "我要投诉", got.Items[0].Text)
	var told []string
	for len(told) < 4 {
		told = append(told, stream.next()["event"])
	}
	require.Contains(t, told, "message.partial")
	require.Contains(t, told, "message.created")

	// The same again, a contradiction, nonsense: each has its answer, in order,
	// and the socket goes on.
	say(t, conn, m{"message_id": "a1", "role": "customer", "text": "我要投诉"})
	require.Equal(t, live.StatusDuplicate, hear(t, conn).Status)
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(`{"role":"customer","text":"半句`)))
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte("{\"role\":\"customer\",\"text\":1}")))
	require.NoError(t, conn.Write(t.Context(), websocket.MessageBinary, []byte("秘密")))
	say(t, conn, m{"message_id": "a1", "role": "customer", "text": "别的话"})
	say(t, conn, m{"role": "boss", "text": "秘密"})
	say(t, conn, m{"message_id": "a2", "role": "agent", "text": "您好"})
	for _, code := range []string{"bad_json", "wrong_type", "binary_frame", "conflict", "unknown_role"} {
		answer := hear(t, conn)
		require.Equal(t, "error", answer.Type)
		require.Equal(t, code, answer.Code)
		require.NotContains(t, answer.Detail, "秘密")
		require.False(t, answer.Retry)
	}
	require.Equal(t, "a2", hear(t, conn).MessageID)

	// Many at once keep their order.
	for i := range 200 {
		say(t, conn, m{"message_id": "b" + strconv.Itoa(i), "role": "customer", "text": "喂"})
	}
	for i := range 200 {
		require.Equal(t, acknowledged{Type: "ack", MessageID: "b" + strconv.Itoa(i), Seq: i + 3, Status: "created"}, unversioned(hear(t, conn)))
	}
	require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
	stream.body.Close()
}

func unversioned(a acknowledged) acknowledged {
	a.Version = 0
	return a
}

func TestSocketFailures(t *testing.T) {
	s := newService(t, true, nil)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	// Half a frame counts for nothing.
	raw, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(raw, "GET /v1/conversations/call2/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(raw).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "101")
	frame := []byte(`{"message_id":"h1","role":"customer","text":"写到一半"}`)
	_, err = raw.Write(append([]byte{0x81, 0x80 | byte(len(frame)), 0, 0, 0, 0}, frame[:20]...))
	require.NoError(t, err)
	raw.Close()
	require.Eventually(t, func() bool { return s.streams.Load() == 0 }, 5*time.Second, time.Millisecond)
	require.Equal(t, 404, s.ask(nil, "GET", "/v1/conversations/call2", nil).Code)

	// Another web site's page cannot open one.
	_, answer, err := websocket.Dial(t.Context(), strings.Replace(server.URL, "http", "ws", 1)+"/v1/conversations/c/stream",
		&websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://evil.example"}}})
	require.Error(t, err)
	require.Equal(t, 403, answer.StatusCode)

	// A full disk: said in a frame, to be sent again; nothing is acknowledged.
	conn := s.dial(t, server.URL, "/v1/conversations/call3/stream", nil)
	s.options.Live = failingLive{s.options.Live}
	say(t, conn, m{"message_id": "f1", "role": "customer", "text": "喂"})
	require.Equal(t, "storage_unavailable", hear(t, conn).Code)
	// A frame beyond the limit ends the socket.
	long := s.dial(t, server.URL, "/v1/conversations/call4/stream", nil)
	say(t, long, m{"role": "customer", "text": strings.Repeat("长", maxFrame)})
	_, _, err = long.Read(t.Context())
	require.Equal(t, websocket.StatusMessageTooBig, websocket.CloseStatus(err))
	// The service stops: the sender is told to come back.
	s.endStreams()
	_, _, err = conn.Read(t.Context())
	require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))
}

// FuzzFrame: whatever comes in a frame, it is a message within the limits or a
// problem with a code.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{`{"role":"customer","text":"喂"}`, `{"role":"customer","text":"喂","is_final":false,"seq":-1}`, "\xff", `[]`, `null`, `{"asr":{"confidence":9}}`, strings.Repeat("[", 50)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := readFrame(websocket.MessageText, data)
		if got.err == nil {
			require.NoError(t, (&qingting.Transcript{Messages: []qingting.Message{got.message}}).Validate())
			return
		}
		require.NotEqual(t, "internal", (&Server{log: slog.New(slog.DiscardHandler)}).problemOf(t.Context(), got.err).Code)
	})
}
