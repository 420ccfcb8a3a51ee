package acceptance

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// slope is the least-squares line through y over x, with half the width of the
// 95 % interval of its slope. Neighbouring samples of memory resemble each
// other, so that the true interval is wider.
func slope(x, y []float64) (b, half float64) {
	n := float64(len(x))
	var mx, my, sxx, sxy, rest float64
	for i := range x {
		mx += x[i] / n
		my += y[i] / n
	}
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	b = sxy / sxx
	for i := range x {
		d := y[i] - my - b*(x[i]-mx)
		rest += d * d
	}
	return b, 1.96 * math.Sqrt(rest/(n-2)/sxx)
}

func TestSlope(t *testing.T) {
	b, half := slope([]float64{0, 1, 2, 3}, []float64{1, 3, 5, 7})
	require.InDelta(t, 2, b, 1e-12)
	require.InDelta(t, 0, half, 1e-12)
	b, half = slope([]float64{0, 1, 2, 3}, []float64{0, 1, 0, 1})
	require.InDelta(t, 0.2, b, 1e-12)
	require.Greater(t, half, b)
}

// TestSoak is mixed work at a modest rate for ten minutes. Memory must not
// grow, and nothing of the work is left when it is over.
func TestSoak(t *testing.T) {
	asked(t, "SOAK")
	lasts := lasting(10 * time.Minute)
	// What is kept in memory on purpose is full before the warming up ends.
	s := start(t, setup{mode: "full", keyed: true, env: map[string]string{"QINGTING_LIVE_MESSAGES_IN_MEMORY": "2000", "QINGTING_STREAMS_RING": "512"}})
	s.loaded()
	// The readers of the database are opened when they are first needed, and
	// stay.
	var warm sync.WaitGroup
	for range 64 {
		warm.Go(func() { _, _, _ = s.try("GET", "/v1/cases", nil); _, _, _ = s.try("GET", "/v1/conversations", nil) })
	}
	warm.Wait()
	s.http.CloseIdleConnections()
	time.Sleep(time.Second)
	first := s.metrics()

	ctx, cancel := context.WithTimeout(context.Background(), lasts)
	defer cancel()
	var all sync.WaitGroup
	var counts [8]atomic.Int64
	var failed atomic.Int64
	every := func(kind int, pause time.Duration, work func(i int) error) {
		all.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				if err := work(i); err != nil && ctx.Err() == nil {
					if failed.Add(1) < 10 {
						t.Errorf("kind %d, %d: %v", kind, i, err)
					}
				} else {
					counts[kind].Add(1)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	call := func(method, path string, body any, want int) error {
		status, b, err := s.try(method, path, body)
		if err == nil && status != want {
			err = fmt.Errorf("%s %s: %d %.300s", method, path, status, b)
		}
		return err
	}
	// Conversations of thirty messages, one after another in eight places, so
	// that what is kept in memory reaches its limits.
	place := func(i int) (string, say) {
		role, text := said(i)
		return fmt.Sprintf("s%d-%d", i%8, i/240), say{ID: fmt.Sprint("m", i), Role: role, Text: text}
	}
	every(0, 50*time.Millisecond, func(i int) error {
		id, m := place(i)
		return call("POST", "/v1/conversations", map[string]any{"id": id, "messages": []say{m}}, http.StatusCreated)
	})
	every(1, 200*time.Millisecond, func(i int) error {
		role, text := said(i)
		return call("POST", "/v1/conversations?wait=analysis", map[string]any{"id": fmt.Sprint("w", i/20), "messages": []say{{Role: role, Text: text}}}, http.StatusCreated)
	})
	every(2, 300*time.Millisecond, func(i int) error {
		_, text := said(3 * i)
		return call("POST", "/v1/cases/search", map[string]any{"query": text}, http.StatusOK)
	})
	every(3, 250*time.Millisecond, func(i int) error { // streams come and go
		within, stop := context.WithTimeout(ctx, time.Duration(rand.IntN(2000))*time.Millisecond)
		defer stop()
		err := s.stream(within, "", nil, func(event) {})
		if within.Err() != nil {
			return nil
		}
		return err
	})
	every(4, 500*time.Millisecond, func(i int) error { // sockets as well, some of them rudely
		header := http.Header{"Authorization": {"Bearer " + s.key}}
		c, resp, err := websocket.Dial(ctx, fmt.Sprintf("ws://%s/v1/conversations/v%d/stream", s.addr, i/4), &websocket.DialOptions{HTTPHeader: header})
		if err != nil {
			return err
		}
		if resp.Body != nil {
			_ = resp.Body.Close()
		}
		defer c.CloseNow() //nolint:errcheck // it is closed well, or meant to break
		for n := range 5 {
			partial := fmt.Sprintf(`{"message_id":"v%d-%d","role":"customer","text":"我的快递怎","is_final":false}`, i, n)
			final := fmt.Sprintf(`{"message_id":"v%d-%d","role":"customer","text":"我的快递怎么还没到，都第%d天了"}`, i, n, n+2)
			for _, text := range []string{partial, final} {
				if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
					return err
				}
			}
			if _, _, err := c.Read(ctx); err != nil {
				return err
			}
		}
		if i%3 == 0 {
			return c.CloseNow()
		}
		return c.Close(websocket.StatusNormalClosure, "")
	})
	every(5, time.Second, func(i int) error { // an alert, looked after, and the end of its conversation
		id := fmt.Sprint("a", i)
		if err := call("POST", "/v1/conversations?wait=analysis", map[string]any{"id": id, "messages": []say{{Role: "customer", Text: alarming}}}, http.StatusCreated); err != nil {
			return err
		}
		for _, a := range items[qingting.Alert](s, "/v1/alerts?conversation_id="+id) {
			for path, body := range map[string]any{"/feedback": map[string]string{"feedback": "useful"}, "/resolve": map[string]string{"reason": "已回电"}} {
				if err := call("POST", "/v1/alerts/"+a.ID+path, body, http.StatusOK); err != nil {
					return err
				}
			}
		}
		return call("POST", "/v1/conversations/"+id+"/close", map[string]any{"outcome": "resolved", "satisfaction": 4}, http.StatusOK)
	})
	every(6, 500*time.Millisecond, func(i int) error { // boards
		for _, path := range []string{"/v1/conversations?limit=50", "/v1/alerts?open=true", fmt.Sprintf("/v1/conversations/w%d/state", i/8)} {
			if status, b, err := s.try("GET", path, nil); err != nil || status != http.StatusOK && status != http.StatusNotFound {
				return fmt.Errorf("%s: %d %w %.200s", path, status, err, b)
			}
		}
		return nil
	})
	every(7, 400*time.Millisecond, func(int) error {
		return call("POST", "/v1/analyze", map[string]any{"messages": talk(rand.IntN(1000), 12)}, http.StatusOK)
	})

	var x, y []float64
	began := time.Now()
	for ctx.Err() == nil {
		time.Sleep(min(time.Second, lasts/60))
		// Warming up: the first half of it, in which caches fill, those of SQLite
		// as well.
		if at := time.Since(began); at > lasts/2 {
			x, y = append(x, at.Minutes()), append(y, float64(s.rss())/(1<<20))
		}
	}
	all.Wait()
	b, half := slope(x, y)
	var n [8]int64
	for i := range counts {
		n[i] = counts[i].Load()
	}
	t.Logf("%s of messages, waits, searches, streams, sockets, alerts, boards, analyses: %v; RSS %.0f → %.0f MB, slope %+.2f ± %.2f MB/min; load average %s",
		lasts, n, y[0], y[len(y)-1], b, half, loadAverage())
	require.Zero(t, failed.Load())
	s.caughtUp(20 * time.Second)
	s.http.CloseIdleConnections()
	var last map[string]float64
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		s.http.CloseIdleConnections()
		last = s.metrics()
		if last["go_goroutines"] <= first["go_goroutines"]+5 && last["process_open_fds"] <= first["process_open_fds"]+5 || time.Now().After(until) {
			break
		}
	}
	t.Logf("goroutines %g → %g, descriptors %g → %g", first["go_goroutines"], last["go_goroutines"], first["process_open_fds"], last["process_open_fds"])
	require.LessOrEqual(t, last["go_goroutines"], first["go_goroutines"]+5)
	require.LessOrEqual(t, last["process_open_fds"], first["process_open_fds"]+5)
	if short() {
		t.Log("too short to judge the slope")
	} else {
		require.Less(t, b-half, 1.0, "MB a minute, at least")
	}
	s.stop()
	s.intact()
}
