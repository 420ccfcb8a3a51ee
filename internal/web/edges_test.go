package web

import (
	"context"
	"encoding/json"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/text"
)

// ends waits until a stream has ended, and fails when it goes on.
func (e *events) ends() {
	e.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for e.in.Scan() { //nolint:revive // only the end counts
		}
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		e.t.Fatal("the stream goes on")
	}
}

// TestStreamsEndWithTheirRight: a stream does not outlive the key, the user,
// the session or the reach that opened it, and others go on.
func TestStreamsEndWithTheirRight(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newService(t, false, nil)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	_, err := s.guard.PutTeam(ctx, access.Team{Tenant: "default", ID: "east", Name: "东"}, true)
	require.NoError(t, err)
	admin := s.key("default", "", access.ScopeAdmin)
	newKey := func(scopes ...access.Scope) (string, string) {
		k, secret, err := s.guard.NewKey(ctx, access.Key{Tenant: "default", Name: "一", Scopes: scopes})
		require.NoError(t, err)
		return k.ID, secret
	}
	bearer := func(secret string) []string { return []string{"Authorization", "Bearer " + secret} }
	stays := s.subscribe(t, server.URL, "?types=message.created", bearer(admin)...)

	id, secret := newKey(access.ScopeAssist)
	stream := s.subscribe(t, server.URL, "", bearer(secret)...)
	require.Equal(t, 200, s.ask(admin, "DELETE", "/v1/keys/"+id, nil).Code)
	stream.ends()

	id, secret = newKey(access.ScopeAssist)
	stream = s.subscribe(t, server.URL, "", bearer(secret)...)
	k, err := s.guard.Store().Key(ctx, "default", id)
	require.NoError(t, err)
	k.Team = "east"
	require.NoError(t, s.guard.Store().ChangeKey(ctx, k))
	stream.ends() // its reach has changed: it must subscribe anew

	user, cookie := s.user("default", "agent.a", "", access.RoleAgent)
	stream = s.subscribe(t, server.URL, "", "Cookie", cookie.String())
	pass := read[ticket](t, s.ask(cookie, "POST", "/v1/tickets", nil), 201)
	other := s.subscribe(t, server.URL, "?ticket="+pass.Ticket)
	require.Equal(t, 200, s.ask(admin, "PUT", "/v1/users/"+user.ID, m{"disabled": true}).Code)
	stream.ends()
	other.ends()

	_, cookie = s.user("default", "agent.b", "", access.RoleAgent)
	stream = s.subscribe(t, server.URL, "", "Cookie", cookie.String())
	require.Equal(t, 204, s.ask(cookie, "DELETE", "/v1/session", nil).Code)
	stream.ends()

	user, cookie = s.user("default", "agent.c", "", access.RoleAgent)
	stream = s.subscribe(t, server.URL, "", "Cookie", cookie.String())
	require.Equal(t, 200, s.ask(admin, "PUT", "/v1/users/"+user.ID, m{"role": "engineer"}).Code)
	stream.ends()

	id, secret = newKey(access.ScopeIngest)
	conn := s.dial(t, server.URL, "/v1/conversations/call1/stream", &websocket.DialOptions{HTTPHeader: map[string][]string{"Authorization": {"Bearer " + secret}}})
	say(t, conn, m{"message_id": "a1", "role": "customer", "text": "喂"})
	require.Equal(t, "ack", hear(t, conn).Type)
	require.Equal(t, 200, s.ask(admin, "DELETE", "/v1/keys/"+id, nil).Code)
	_, _, err = conn.Read(ctx)
	require.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err))

	require.Contains(t, stays.next()["data"], "call1")
	stays.body.Close()
	require.LessOrEqual(t, (&Server{options: Options{Heartbeat: time.Hour}}).checkEvery(), 15*time.Second)
}

// TestUnsayable: what JSON cannot say is an error, not a 200 without a body.
func TestUnsayable(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	require.Error(t, reply(c, 200, math.NaN()))
	require.Zero(t, w.Body.Len())
	// The same behind huma, whose status comes first otherwise.
	s.options.Live = nanLive{s.options.Live}
	require.Equal(t, 201, s.ask(nil, "POST", "/v1/conversations", m{"id": "c1", "messages": []m{customer("m1", "在吗")}}).Code)
	require.Equal(t, "internal", codeOf(t, s.ask(nil, "POST", "/v1/conversations/c1/close", m{"outcome": "resolved"}), 500))
	require.Equal(t, "internal", codeOf(t, s.ask(nil, "POST", "/v1/conversations/c1/close", m{"outcome": "resolved"}, "Idempotency-Key", "k1"), 500))
}

func TestDeliveryStates(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	for _, state := range []hook.State{hook.StatePending, hook.StateDone, hook.StateDead} {
		require.Equal(t, 200, s.ask(nil, "GET", "/v1/deliveries?state="+string(state), nil).Code, state)
	}
	require.Equal(t, "bad_parameter", codeOf(t, s.ask(nil, "GET", "/v1/deliveries?state=delivered", nil), 400))
}

// TestOneMessageAlone: its conversation is the one that it names.
func TestOneMessageAlone(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	body := m{"id": "c7", "channel": "im", "customer_ref": "k7", "message_id": "m1", "role": "customer", "text": "在吗"}
	for _, status := range []int{201, 200} {
		got := read[ingestedOutput](t, s.ask(nil, "POST", "/v1/conversations", body), status)
		require.Equal(t, "c7", got.Conversation.ID)
		require.Equal(t, "im", got.Conversation.Channel)
		require.Equal(t, "k7", got.Conversation.CustomerRef)
		require.Equal(t, 1, got.Conversation.Messages)
	}
	require.Equal(t, "wrong_conversation", codeOf(t, s.ask(nil, "POST", "/v1/conversations/c8/messages", body), 422))
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for id, good := range map[string]bool{
		"": true, "c1": true, "工单-7": true, strings.Repeat("长", 128): true, "😡": true, "...": true,
		".": false, "..": false, strings.Repeat("长", 129): false, "a\x00": false, "a\u0085": false, "a\u200b": false, "\u202ea": false, "\ufeffa": false, "\xff": false,
	} {
		require.Equal(t, good, checkID("id", id) == nil, "%q", id)
		require.Equal(t, good, checkMessageIDs([]qingting.Message{{}, {ID: id}}) == nil, "%q", id)
	}
	for _, id := range []string{"a b", "a/b", "a\u3000b"} {
		require.Error(t, checkID("id", id))
		require.NoError(t, checkMessageIDs([]qingting.Message{{ID: id}}))
	}
	s := newService(t, true, nil)
	one := m{"messages": []m{customer("m1", "在吗")}}
	for _, path := range []string{"/v1/conversations/a%E2%80%8Bb/messages", "/v1/conversations/%FF/messages", "/v1/conversations/%2E%2E/messages"} {
		require.Equal(t, "bad_id", codeOf(t, s.ask(nil, "POST", path, one), 422), path)
	}
	require.Equal(t, "bad_id", codeOf(t, s.ask(nil, "GET", "/v1/conversations/a%E2%80%8Bb/stream", nil), 422))
	require.Equal(t, "bad_message_id", codeOf(t, s.ask(nil, "POST", "/v1/conversations", m{"messages": []m{customer("a\u200b", "在吗")}}), 422))
	require.Equal(t, "bad_message_id", codeOf(t, s.ask(nil, "POST", "/v1/conversations", customer("..", "在吗")), 422))
	f := readFrame(websocket.MessageText, []byte(`{"message_id":"\u202e","role":"customer","text":"喂"}`))
	require.Equal(t, "bad_message_id", s.problemOf(t.Context(), f.err).Code)
}

// TestLabelsKeepOnASlip: a field nobody knows changes nothing.
func TestLabelsKeepOnASlip(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	require.Equal(t, 201, s.ask(nil, "POST", "/v1/conversations", m{"id": "c1", "messages": []m{customer("m1", "在吗")}}).Code)
	require.Len(t, read[list[store.Label]](t, s.ask(nil, "PUT", "/v1/conversations/c1/labels", m{"risk": "low"}), 200).Items, 1)
	w := s.ask(nil, "PUT", "/v1/conversations/c1/labels", m{"秘密": "high"})
	require.Equal(t, "unknown_field", codeOf(t, w, 422))
	require.NotContains(t, w.Body.String(), "秘密")
	require.Len(t, read[list[store.Label]](t, s.ask(nil, "GET", "/v1/conversations/c1/labels", nil), 200).Items, 1)
}

// TestPartialAlone: unfinished words make no conversation, and none is answered.
func TestPartialAlone(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	half := m{"messages": []m{{"role": "customer", "text": "我要投", "is_final": false}}}
	w := s.ask(nil, "POST", "/v1/conversations/p1/messages", half)
	if w.Code == 404 { // only a conversation that is there takes messages
		w = s.ask(nil, "POST", "/v1/conversations", m{"id": "p1", "messages": half["messages"]})
	}
	require.Equal(t, 202, w.Code, w.Body.String())
	require.JSONEq(t, `{"results":[{"status":"partial"}]}`, w.Body.String())
	require.Equal(t, 404, s.ask(nil, "GET", "/v1/conversations/p1", nil).Code)
}

// TestStaffTextIsConcealed: what people copy out of a conversation is hidden
// like what the customer wrote.
func TestStaffTextIsConcealed(t *testing.T) {
	t.Parallel()
	s := newService(t, true, func(o *Options) { o.Conceal = text.Conceal })
	const said = "打 13912345678 联系"
	got := read[ingestedOutput](t, s.ask(nil, "POST", "/v1/conversations?wait=analysis", m{"id": "c1", "messages": []m{customer("m1", "我要打12315")}}), 201)
	require.Equal(t, "done", got.AnalysisStatus)
	alerts := read[page1[qingting.Alert]](t, s.ask(nil, "GET", "/v1/alerts", nil), 200)
	require.NotEmpty(t, alerts.Items)
	id := alerts.Items[0].ID
	for _, ask := range []struct {
		path string
		body m
	}{
		{"/v1/conversations/c1/suggestions/sg1/feedback", m{"action": "edited", "text": said, "reason": said}},
		{"/v1/alerts/" + id + "/escalate", m{"reason": said}},
		{"/v1/alerts/" + id + "/resolve", m{"reason": said}},
		{"/v1/conversations/c1/close", m{"outcome": "resolved", "solution": said, "note": said}},
	} {
		w := s.ask(nil, "POST", ask.path, ask.body)
		require.Less(t, w.Code, 300, w.Body.String())
		require.NotContains(t, w.Body.String(), "13912345678", ask.path)
	}
	for _, path := range []string{"/v1/alerts/" + id + "/history", "/v1/conversations/c1/feedback", "/v1/conversations/c1"} {
		w := s.ask(nil, "GET", path, nil)
		require.Equal(t, 200, w.Code)
		require.Contains(t, w.Body.String(), "联系", path)
		require.NotContains(t, w.Body.String(), "13912345678", path)
	}
}

// nanLive answers with a figure that JSON does not know.
type nanLive struct{ Live }

func (nanLive) Close(context.Context, qingting.Key, qingting.Closing) (qingting.Conversation, error) {
	return qingting.Conversation{Closing: &qingting.Closing{Cost: math.NaN()}}, nil
}

// TestOpenAPIIsExact: what may be null, what a message must have, and the
// statuses that streams and writes answer.
func TestOpenAPIIsExact(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeAnalyzer{}, Options{})
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Content map[string]any }
		}
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]m
			}
		}
	}
	require.NoError(t, json.Unmarshal(s.document, &doc))
	for _, field := range [][2]string{{"Analysis", "satisfaction"}, {"Analysis", "failed_case"}, {"Emotion", "peak"}} {
		require.Contains(t, doc.Components.Schemas[field[0]].Properties[field[1]], "anyOf", field)
	}
	require.ElementsMatch(t, []string{"role", "text"}, doc.Components.Schemas["Message"].Required)
	require.Contains(t, doc.Paths["/v1/events"]["get"].Responses["200"].Content, "text/event-stream")
	require.NotContains(t, doc.Paths["/v1/events"]["get"].Responses, "204")
	require.Contains(t, doc.Paths["/v1/conversations/{id}/stream"]["get"].Responses, "101")
	for _, path := range []string{"/v1/conversations", "/v1/conversations/{id}/messages"} {
		for _, status := range []string{"200", "201", "202"} {
			require.NotEmpty(t, doc.Paths[path]["post"].Responses[status].Content, path+status)
		}
	}
}
