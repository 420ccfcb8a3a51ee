package llm

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service speaks the protocol byte for byte. Each call is answered by the next
// handler, the last one again and again, and its body is kept.
type service struct {
	*httptest.Server
	handlers []http.HandlerFunc

	mu     sync.Mutex
	bodies []sent
	keys   []string
	live   int // calls at once
	most   int
}

// sent is what the tests look at in the body of a call.
type sent struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
	Temperature    *float64 `json:"temperature"`
	Seed           *int     `json:"seed"`
	MaxTokens      int      `json:"max_tokens"`
	Stream         bool     `json:"stream"`
	ResponseFormat *struct {
		Type       string `json:"type"`
		JSONSchema *struct {
			Name   string          `json:"name"`
			Strict bool            `json:"strict"`
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
}

func serve(t testing.TB, handlers ...http.HandlerFunc) *service {
	t.Helper()
	s := &service{handlers: handlers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" {
			http.NotFound(w, r)
			return
		}
		b, _ := io.ReadAll(r.Body)
		var body sent
		if err := json.Unmarshal(b, &body); err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		s.mu.Lock()
		n := len(s.bodies)
		s.bodies, s.keys = append(s.bodies, body), append(s.keys, r.Header.Get("Authorization"))
		s.live++
		s.most = max(s.most, s.live)
		s.mu.Unlock()
		s.handlers[min(n, len(s.handlers)-1)](w, r)
		s.mu.Lock()
		s.live--
		s.mu.Unlock()
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) calls() []sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies
}

// client asks the service with short waits, changed by each of change.
func (s *service) client(t testing.TB, change ...func(*Options)) *Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	chat, host, err := Connect(s.URL+"/v1", "sk-secret-123", transport)
	require.NoError(t, err)
	require.NotContains(t, host, "http")
	o := Options{Model: "test-model", Host: "test.example/v1", Backoff: time.Millisecond, Timeout: 5 * time.Second, Secrets: []string{"sk-secret-123"}}
	for _, f := range change {
		f(&o)
	}
	c, err := New(chat, o)
	require.NoError(t, err)
	return c
}

// says answers with a text, and 10 tokens in and 5 out.
func says(text string) http.HandlerFunc { return saysWith(text, "stop", 10, 5) }

func saysWith(text, finish string, in, out int) http.HandlerFunc {
	content, _ := json.Marshal(text)
	return raw(200, fmt.Sprintf(`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"test-model",
"choices":[{"index":0,"message":{"role":"assistant","content":%s},"logprobs":null,"finish_reason":%q}],
"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`, content, finish, in, out, in+out))
}

func raw(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// refuses answers with OpenAI's error object.
func refuses(status int, code, message string, headers ...string) http.HandlerFunc {
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "param": nil, "code": code}})
	return raw(status, string(b), headers...)
}

// sleeps answers only when the client has gone.
func sleeps(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// streams writes events; a number is a pause in milliseconds, an empty string
// hangs until the client has gone.
func streams(events ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		flush := http.NewResponseController(w).Flush
		_ = flush()
		for _, e := range events {
			switch e := e.(type) {
			case int:
				select {
				case <-r.Context().Done():
					return
				case <-time.After(time.Duration(e) * time.Millisecond):
				}
			case string:
				if e == "" {
					<-r.Context().Done()
					return
				}
				_, _ = io.WriteString(w, e)
				_ = flush()
			}
		}
	}
}

func delta(text string) string {
	b, _ := json.Marshal(text)
	return fmt.Sprintf("data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%s},\"finish_reason\":null}]}\n\n", b)
}

const (
	roleEvent   = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"
	stopEvent   = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	usageEvent  = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\n"
	doneEvent   = "data: [DONE]\n\n"
	keepAlive   = ": keep-alive\n\n"
	brokenEvent = "data: {\"id\":\"c\",\"choi"
)
