package web

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// buffer is written by the server and read by the test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// TestServeCutsHalfBodies: a client that never finishes its body does not keep
// the server from stopping, and one whose body has arrived is answered.
func TestServeCutsHalfBodies(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	a := &fakeAnalyzer{do: func(ctx context.Context) error {
		close(entered)
		select {
		case <-release:
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}}
	var log buffer
	s := newServer(t, a, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- s.Serve(ctx, ln) }()
	half, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer half.Close()
	_, err = io.WriteString(half, "POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"mess")
	require.NoError(t, err)
	answered := make(chan int, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := client.Post("http://"+ln.Addr().String()+"/v1/analyze", "application/json", strings.NewReader(good))
		if err != nil {
			answered <- 0
			return
		}
		r.Body.Close()
		answered <- r.StatusCode
	}()
	<-entered
	time.Sleep(50 * time.Millisecond) // the half body has been begun
	started := time.Now()
	stop()
	said, err := io.ReadAll(half)
	require.NoError(t, err)
	require.Contains(t, string(said), "408")
	took := time.Since(started)
	require.Greater(t, took, bodyTimeout-200*time.Millisecond, "it had time to finish")
	require.Less(t, took, bodyTimeout+2*time.Second)
	close(release)
	require.Equal(t, 200, <-answered, "a request that was read is not cut")
	require.NoError(t, <-ended)
}

// TestServeCutsAfterAll: a handler that does not end is left after six seconds.
func TestServeCutsAfterAll(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	a := &fakeAnalyzer{do: func(context.Context) error { close(entered); <-release; return nil }}
	var log buffer
	s := newServer(t, a, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	go func() {
		if r, err := http.Post("http://"+ln.Addr().String()+"/v1/analyze", "application/json", strings.NewReader(good)); err == nil {
			r.Body.Close()
		}
	}()
	<-entered
	started := time.Now()
	stop()
	require.NoError(t, <-ended)
	require.InDelta(t, drainTimeout.Seconds(), time.Since(started).Seconds(), 1.5)
	log.mu.Lock()
	defer log.mu.Unlock()
	require.Contains(t, log.b.String(), "已断开连接")
}

// TestForwardedIsNotLocal: nobody has been set up, and a proxy on this machine
// passes on the requests of others.
func TestForwardedIsNotLocal(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	require.Equal(t, 200, s.ask(nil, "GET", "/v1/conversations", nil).Code)
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "X-Real-IP"} {
		require.Equal(t, 401, s.ask(nil, "GET", "/v1/conversations", nil, header, "x").Code, header)
	}
}
