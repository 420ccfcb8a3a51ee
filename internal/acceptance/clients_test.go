package acceptance

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func dial(t *testing.T, s *server) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.addr, 5*time.Second)
	require.NoError(t, err)
	return c.(*net.TCPConn)
}

// endOf reads until the server ends the connection and returns the status of
// the first answer, 0 when there was none.
func endOf(c net.Conn, limit time.Duration) (status int, err error) {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	in := bufio.NewReader(c)
	if resp, err := http.ReadResponse(in, nil); err == nil {
		status = resp.StatusCode
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	_, err = io.Copy(io.Discard, in)
	if e, ok := err.(net.Error); ok && e.Timeout() { //nolint:errorlint // of the connection itself
		return status, fmt.Errorf("still open after %s", limit)
	}
	return status, nil
}

// TestLazyClients has clients that are slow, stop half-way or do nothing: each
// is sent away in time, others do not notice, and nothing is left of them.
func TestLazyClients(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	s := start(t, setup{})
	s.begin("c", talk(0, 2)...)
	s.caughtUp(20 * time.Second)
	s.http.CloseIdleConnections()
	time.Sleep(100 * time.Millisecond)
	before := s.metrics()

	var all sync.WaitGroup
	gone := func(name string, c net.Conn, want []int, soonest, latest time.Duration) {
		began := time.Now()
		all.Go(func() {
			defer c.Close()
			status, err := endOf(c, latest+2*time.Second)
			took := time.Since(began)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			found := false
			for _, w := range want {
				found = found || w == status
			}
			if !found || took < soonest || took > latest {
				t.Errorf("%s: ended with %d after %s, want one of %v between %s and %s", name, status, took.Round(time.Millisecond), want, soonest, latest)
			}
		})
	}
	const idle = 1000
	for range idle {
		gone("says nothing", dial(t, s), []int{0, http.StatusRequestTimeout, http.StatusBadRequest}, 4*time.Second, 9*time.Second)
	}
	for i := range 20 {
		c := dial(t, s)
		_, err := fmt.Fprintf(c, "POST /v1/conversations/c/messages HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n{\"messages\":[{\"message_id\":\"half-%d\",\"role\":\"customer\",\"te", s.addr, i)
		require.NoError(t, err)
		gone("sends half a body", c, []int{0, http.StatusRequestTimeout}, 13*time.Second, 20*time.Second)
	}
	for range 20 { // headers a byte at a time
		c := dial(t, s)
		stop := make(chan struct{})
		go func() {
			for _, b := range []byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + strings.Repeat("a", 1000)) {
				if _, err := c.Write([]byte{b}); err != nil {
					break
				}
				time.Sleep(200 * time.Millisecond)
			}
			close(stop)
		}()
		t.Cleanup(func() { _ = c.Close(); <-stop })
		gone("drips headers", c, []int{0, http.StatusRequestTimeout, http.StatusBadRequest}, 4*time.Second, 9*time.Second)
	}
	var times []time.Duration
	for i := range 100 { // meanwhile
		began := time.Now()
		s.do("POST", "/v1/conversations/c/messages", map[string]any{"messages": []say{{ID: fmt.Sprint("good-", i), Role: "customer", Text: "还没收到货"}}}, nil)
		times = append(times, time.Since(began))
	}
	q := of(times)
	t.Logf("beside %d idle and 40 slow connections, one client's writes: %s; load average %s", idle, q, loadAverage())
	require.Less(t, q.p95, time.Second)
	all.Wait()
	for _, m := range items[qingting.StoredMessage](s, "/v1/conversations/c/messages") {
		require.NotContains(t, m.ID, "half", "half a request was taken")
	}
	s.http.CloseIdleConnections()
	eventually(t, 10*time.Second, "nothing is left of them", func() bool {
		now := s.metrics()
		return now["go_goroutines"] <= before["go_goroutines"]+5 && now["process_open_fds"] <= before["process_open_fds"]+5
	})
	s.stop()
}

// TestOversize sends more than is taken: refused at once with the status that
// says so, and nothing of it is read into memory or kept.
func TestOversize(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	s := start(t, setup{})
	s.begin("c", talk(0, 2)...)
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	for range 64 {
		_, err := w.Write(bytes.Repeat([]byte(" "), 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	message := func(text string) []byte {
		return []byte(`{"messages":[{"role":"customer","text":"` + text + `"}]}`)
	}
	many := func(n int, text string) []byte {
		one := `{"role":"customer","text":"` + text + `"}`
		return []byte(`{"messages":[` + strings.Repeat(one+",", n-1) + one + `]}`)
	}
	for _, c := range []struct {
		name, path string
		body       []byte
		header     map[string]string
		want       []int
	}{
		{"3 MiB", "/v1/conversations", message(strings.Repeat("a", 3<<20)), nil, []int{413}},
		{"3 MiB to a typed route", "/v1/lint", []byte(`{"text":"` + strings.Repeat("a", 3<<20) + `"}`), nil, []int{413}},
		{"a message of 4,001 characters", "/v1/conversations/c/messages", message(strings.Repeat("货", 4001)), nil, []int{422}},
		{"20,001 messages", "/v1/conversations", many(20_001, "在"), nil, []int{413, 422}},
		{"200,001 characters", "/v1/conversations", many(51, strings.Repeat("a", 3999)), nil, []int{413, 422}},
		{"gzip bomb", "/v1/conversations", bomb.Bytes(), map[string]string{"Content-Encoding": "gzip"}, []int{415}},
		{"gzip bomb to analyze", "/v1/analyze", bomb.Bytes(), map[string]string{"Content-Encoding": "gzip"}, []int{415}},
		{"gzip bomb to a typed route", "/v1/lint", bomb.Bytes(), map[string]string{"Content-Encoding": "gzip"}, []int{415}},
		{"headers of 20 KiB", "/v1/conversations", message("在吗"), map[string]string{"X-Long": strings.Repeat("a", 20<<10)}, []int{431}},
		{"JSON of depth 40", "/v1/conversations", []byte(`{"messages":[{"role":"customer","text":"在","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}]}`), nil, []int{400}},
		{"bad UTF-8", "/v1/conversations", message("在\xff吗"), nil, []int{400}},
	} {
		r := s.request(context.Background(), "POST", c.path, c.body)
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		began := time.Now()
		status, _, answer, err := s.send(r)
		if err != nil { // it may hang up while we send, but must have answered
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !contains(c.want, status) || time.Since(began) > 5*time.Second {
			t.Errorf("%s: status %d after %s, want %v: %.300s", c.name, status, time.Since(began), c.want, answer)
		}
	}
	// A body without a known length that never ends is cut off at the limit.
	r := s.request(context.Background(), "POST", "/v1/conversations", nil)
	r.Body, r.ContentLength = io.NopCloser(endless{}), -1
	r.Header.Set("Content-Type", "application/json")
	status, _, _, err := s.send(r)
	if err == nil {
		require.Equal(t, http.StatusRequestEntityTooLarge, status)
	}
	require.Len(t, items[qingting.StoredMessage](s, "/v1/conversations/c/messages"), 2)
	require.Len(t, items[qingting.Conversation](s, "/v1/conversations"), 1, "something refused was kept")
	s.stop()
}

// endless is a body of spaces, sent not too fast.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func contains(list []int, v int) bool {
	for _, one := range list {
		if one == v {
			return true
		}
	}
	return false
}
