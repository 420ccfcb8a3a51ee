package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
)

func TestIdempotency(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	talk := m{"messages": []m{customer("m1", "在吗")}}
	first := s.ask(nil, "POST", "/v1/conversations", talk, "Idempotency-Key", "k1")
	require.Equal(t, 201, first.Code, first.Body.String())
	again := s.ask(nil, "POST", "/v1/conversations", talk, "Idempotency-Key", "k1")
	require.Equal(t, 201, again.Code)
	require.Equal(t, "true", again.Header().Get("Idempotent-Replayed"))
	require.Equal(t, first.Body.String(), again.Body.String(), "the same conversation, not a second one")
	require.Equal(t, "idempotency_mismatch", codeOf(t, s.ask(nil, "POST", "/v1/conversations", m{}, "Idempotency-Key", "k1"), 422))
	require.Equal(t, "bad_idempotency_key", codeOf(t, s.ask(nil, "POST", "/v1/conversations", talk, "Idempotency-Key", "有空 格"), 400))
	require.Len(t, read[page1[qingting.Conversation]](t, s.ask(nil, "GET", "/v1/conversations", nil), 200).Items, 1)

	// A refusal is an answer like another.
	bad := m{"messages": []m{{"role": "boss", "text": "一"}}}
	require.Equal(t, "unknown_role", codeOf(t, s.ask(nil, "POST", "/v1/conversations", bad, "Idempotency-Key", "k2"), 422))
	w := s.ask(nil, "POST", "/v1/conversations", bad, "Idempotency-Key", "k2")
	require.Equal(t, "unknown_role", codeOf(t, w, 422))
	require.Equal(t, "true", w.Header().Get("Idempotent-Replayed"))

	// A secret is not stored, so that it cannot be shown again.
	made := m{"name": "接入", "scopes": []string{"admin"}}
	w = s.ask(nil, "POST", "/v1/keys", made, "Idempotency-Key", "k3")
	secret := read[newKey](t, w, 201).Secret
	again = s.ask(secret, "POST", "/v1/keys", made, "Idempotency-Key", "k3")
	require.Equal(t, 201, again.Code, "another principal's key is another request")
	again = s.ask(secret, "POST", "/v1/keys", made, "Idempotency-Key", "k3")
	require.Equal(t, "already_done", codeOf(t, again, 409))
	require.NotContains(t, again.Body.String(), "qt_")
}

func TestIdempotencyInFlight(t *testing.T) {
	s := newService(t, true, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	s.options.Live = slowLive{s.options.Live, entered, release}
	talk := m{"messages": []m{customer("m1", "在吗")}}
	var group sync.WaitGroup
	group.Go(func() {
		require.Equal(t, 201, s.ask(nil, "POST", "/v1/conversations", talk, "Idempotency-Key", "k1").Code)
	})
	<-entered
	require.Equal(t, "in_flight", codeOf(t, s.ask(nil, "POST", "/v1/conversations", talk, "Idempotency-Key", "k1"), 409))
	close(release)
	group.Wait()

	// A request that failed on our side may be tried again.
	s.options.Live = failingLive{s.options.Live}
	require.Equal(t, 503, s.ask(nil, "POST", "/v1/conversations", talk, "Idempotency-Key", "k2").Code)
	s.options.Live = s.live
	require.Equal(t, 201, s.ask(nil, "POST", "/v1/conversations", talk, "Idempotency-Key", "k2").Code)
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	s := newService(t, false, func(o *Options) { o.KeyRate = 2 })
	key, other := s.key("default", "", access.ScopeIngest), s.key("default", "", access.ScopeIngest)
	require.Equal(t, 200, s.ask(key, "GET", "/v1/session", nil).Code)
	require.Equal(t, 200, s.ask(key, "GET", "/v1/session", nil).Code)
	w := s.ask(key, "GET", "/v1/session", nil)
	require.Equal(t, "rate_limited", codeOf(t, w, 429))
	seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, seconds)
	require.Equal(t, 200, s.ask(other, "GET", "/v1/session", nil).Code, "the limit is each key's own")
}

func TestTooManyAtOnce(t *testing.T) {
	s := newService(t, true, func(o *Options) { o.InFlight = 1 })
	entered, release := make(chan struct{}), make(chan struct{})
	s.options.Live = slowLive{s.options.Live, entered, release}
	var group sync.WaitGroup
	group.Go(func() { s.ask(nil, "POST", "/v1/conversations", m{"messages": []m{customer("", "在吗")}}) })
	<-entered
	started := time.Now()
	w := s.ask(nil, "GET", "/v1/conversations", nil)
	require.Less(t, time.Since(started), 50*time.Millisecond)
	require.Equal(t, "busy", codeOf(t, w, 503))
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	close(release)
	group.Wait()
	require.Equal(t, 200, s.ask(nil, "GET", "/v1/conversations", nil).Code)
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	require.Equal(t, 200, s.ask(nil, "GET", "/v1/session", nil).Code, "nobody has been set up: the local admin")
	key := s.key("default", "", access.ScopeAssist)
	require.Equal(t, "unauthenticated", codeOf(t, s.ask(nil, "GET", "/v1/session", nil), 401), "a key exists: nobody is let in without one")
	require.Equal(t, `Bearer realm="qingting"`, s.ask(nil, "GET", "/v1/session", nil).Header().Get("WWW-Authenticate"))
	require.Equal(t, access.KindKey, read[me](t, s.ask(key, "GET", "/v1/session", nil), 200).Kind)
	for _, bad := range []string{"", "qt_", "qt_" + strings.Repeat("a", 26), key + "x", strings.ToUpper(key), strings.Repeat("q", 9000)} {
		require.Equal(t, 401, s.ask(bad, "GET", "/v1/session", nil).Code, bad)
	}
	require.Equal(t, 401, s.ask(nil, "GET", "/v1/session", nil, "Authorization", "Basic "+key).Code)

	_, cookie := s.user("default", "zhang.san", "", access.RoleAdmin)
	require.Equal(t, "__Host-qingting", cookie.Name)
	require.True(t, cookie.Secure && cookie.HttpOnly && cookie.Path == "/" && cookie.Domain == "" && cookie.SameSite == http.SameSiteStrictMode)
	require.Equal(t, "zhang.san", read[me](t, s.ask(cookie, "GET", "/v1/session", nil), 200).Name)
	require.Equal(t, "cross_origin", codeOf(t, s.ask(cookie, "POST", "/v1/tickets", m{}, "Sec-Fetch-Site", "cross-site"), 403))

	// Through the interface: in, out, and a session that has ended stays so.
	w := s.ask(nil, "POST", "/v1/session", m{"login": "Zhang.San", "password": password})
	require.Equal(t, access.RoleAdmin, read[access.Principal](t, w, 200).Role)
	in := w.Result().Cookies()[0]
	require.Equal(t, 200, s.ask(in, "GET", "/v1/session", nil).Code)
	w = s.ask(in, "DELETE", "/v1/session", nil)
	require.Equal(t, 204, w.Code)
	require.Negative(t, w.Result().Cookies()[0].MaxAge)
	require.Equal(t, 401, s.ask(in, "GET", "/v1/session", nil).Code)
	require.Equal(t, 200, s.ask(cookie, "GET", "/v1/session", nil).Code, "the other session goes on")

	// An admin cannot lock himself out, and a new password ends all sessions.
	id := read[me](t, s.ask(cookie, "GET", "/v1/session", nil), 200).ID
	require.Equal(t, "own_account", codeOf(t, s.ask(cookie, "PUT", "/v1/users/"+id, m{"disabled": true}), 409))
	require.Equal(t, 200, s.ask(cookie, "PUT", "/v1/users/"+id, m{"password": password + "新"}).Code)
	require.Equal(t, 401, s.ask(cookie, "GET", "/v1/session", nil).Code)
	require.NotContains(t, s.ask(s.key("default", "", access.ScopeAdmin), "GET", "/v1/users", nil).Body.String(), "argon2")
}

func TestLoginsAreThrottled(t *testing.T) {
	t.Parallel()
	s := newService(t, false, nil)
	s.user("default", "zhang.san", "", access.RoleAgent)
	login := func(login, password, address string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "http://localhost/v1/session", strings.NewReader(`{"login":"`+login+`","password":"`+password+`"}`))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = address + ":1234"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	for i := range access.LoginLimit {
		require.Equal(t, "wrong_password", codeOf(t, login("zhang.san", "错的密码错的密码错的密码", "192.0.2."+strconv.Itoa(i)), 401))
	}
	w := login("zhang.san", password, "192.0.2.99")
	require.Equal(t, "too_many_logins", codeOf(t, w, 429), "the right password does not help either")
	seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
	require.NoError(t, err)
	require.InDelta(t, 900, seconds, 30)
	for i := range access.LoginLimit {
		require.Equal(t, 401, login("nobody"+strconv.Itoa(i), password, "198.51.100.7").Code)
	}
	require.Equal(t, "too_many_logins", codeOf(t, login("nobody9", password, "198.51.100.7"), 429), "one address, many logins")
}

// TestOpenAPI: the document is OpenAPI 3.1, holds every route, and every
// reference in it leads somewhere.
func TestOpenAPI(t *testing.T) {
	s := newServer(t, &fakeAnalyzer{}, Options{})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/openapi.json", nil))
	require.Equal(t, 200, w.Code)
	type operation struct {
		OperationID string `json:"operationId"`
		Summary     string
		Parameters  []struct {
			Name, In string
			Required bool
			Schema   m
		}
		RequestBody *struct{ Content map[string]any }
		Responses   map[string]struct {
			Description string
			Content     map[string]any
		}
		Security []map[string][]string
	}
	var doc struct {
		OpenAPI string
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]operation
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
	require.Equal(t, "3.1.0", doc.OpenAPI)
	require.NotEmpty(t, doc.Info.Title)
	require.NotEmpty(t, doc.Info.Version)
	ids := map[string]bool{}
	for _, r := range s.routes() {
		if !strings.HasPrefix(r.path, "/v1/") {
			continue
		}
		op, ok := doc.Paths[r.path][strings.ToLower(r.method)]
		require.True(t, ok, "%s %s", r.method, r.path)
		require.NotEmpty(t, op.Summary, r.path)
		require.False(t, ids[op.OperationID], op.OperationID)
		ids[op.OperationID] = true
		require.NotEmpty(t, op.Responses, r.path)
		require.Contains(t, op.Responses, "default", "%s %s: errors", r.method, r.path)
		require.Contains(t, op.Responses["default"].Content, "application/problem+json; charset=utf-8")
		require.Equal(t, r.permit == access.Public, len(op.Security) == 0, r.path)
		inPath := map[string]bool{}
		for _, p := range op.Parameters {
			require.Contains(t, []string{"path", "query", "header"}, p.In)
			require.NotEmpty(t, p.Schema, p.Name)
			if p.In == "path" {
				require.True(t, p.Required, p.Name)
				inPath[p.Name] = true
			}
		}
		for _, name := range regexp.MustCompile(`\{([a-z]+)\}`).FindAllStringSubmatch(r.path, -1) {
			require.True(t, inPath[name[1]], "%s %s: parameter %s", r.method, r.path, name[1])
		}
	}
	var all any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &all))
	types := []string{"string", "number", "integer", "boolean", "array", "object", "null"}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case m:
			if ref, ok := v["$ref"].(string); ok {
				place := all
				for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					place = place.(m)[part]
				}
				require.NotNil(t, place, ref)
			}
			if kind, ok := v["type"].(string); ok && strings.Contains(at, "chema") && !strings.HasSuffix(at, "properties") && !strings.Contains(at, "securitySchemes") {
				require.Contains(t, types, kind, at)
			}
			for k, inner := range v {
				walk(at+"/"+k, inner)
			}
		case []any:
			for i, inner := range v {
				walk(at+"/"+strconv.Itoa(i), inner)
			}
		}
	}
	walk("", all)
	for _, leak := range []string{"json-schema.org/draft", "unpkg", "http://", "$schema"} {
		require.NotContains(t, w.Body.String(), leak)
	}
}

// TestHead: HEAD answers as GET does, without a body.
func TestHead(t *testing.T) {
	s := newService(t, true, nil)
	server := httptest.NewServer(s)
	defer server.Close()
	for _, path := range []string{"/v1/conversations", "/v1/taxonomy", "/openapi.json", "/v1/events"} {
		r, err := http.Head(server.URL + path)
		require.NoError(t, err)
		require.Equal(t, 200, r.StatusCode, path)
		r.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}
