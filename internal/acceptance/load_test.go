package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// within checks a latency: it keeps the promise, or is no worse than so many
// times what the bare program needed in the same run, where the machine is too
// slow or too busy for anything better.
func within(t *testing.T, what string, got, promised, bare time.Duration, times float64) {
	t.Helper()
	limit := max(promised, time.Duration(times*float64(bare)))
	if got > limit {
		t.Errorf("%s is %s: more than the promised %s, and more than %g times the %s of the bare program", what, got, promised, times, bare)
	}
}

// profile writes what the server computes on, when QINGTING_PROFILE names a
// folder.
func profile(t *testing.T, s *server, name string, lasts time.Duration) (wait func()) {
	folder := os.Getenv("QINGTING_PROFILE")
	if folder == "" {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.admin, max(1, int(lasts.Seconds())-1)))
		if err != nil {
			t.Log(err)
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil {
			err = os.WriteFile(folder+"/"+name+".pprof", b, 0o600)
		}
		if err != nil {
			t.Log(err)
		}
	}()
	return func() { <-done }
}

// spread is message i of a load over so many conversations; ids never repeat.
func spread(prefix string, conversations int) func(i int) shot {
	return func(i int) shot {
		return oneMessage(fmt.Sprintf("%s%d", prefix, i%conversations), fmt.Sprint("x", i), i)
	}
}

// open conversations for spread.
func (s *server) beginMany(prefix string, n, messages int) {
	s.t.Helper()
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := w; i < n; i += 8 {
				var said []say
				if messages > 0 {
					said = talk(i*messages, messages)
				}
				body := map[string]any{"id": fmt.Sprint(prefix, i)}
				if said != nil {
					body["messages"] = said
				}
				status, b, err := s.try("POST", "/v1/conversations", body)
				if err != nil || status/100 != 2 {
					s.t.Errorf("begin %s%d: %d %v %s", prefix, i, status, err, b)
					return
				}
			}
		})
	}
	all.Wait()
}

// complete checks that every acknowledged message of a spread is there once, by
// the interface and in the file.
func complete(t *testing.T, s *server, prefix string, conversations int, hits []hit) {
	t.Helper()
	want := map[string]bool{} // conversation/id → acknowledged
	good := 0
	for i, h := range hits {
		if accepted(h) {
			want[fmt.Sprintf("%s%d/x%d", prefix, i%conversations, i)] = true
			good++
		}
	}
	seen := 0
	for c := range conversations {
		name := fmt.Sprint(prefix, c)
		for _, m := range items[qingting.StoredMessage](s, "/v1/conversations/"+name+"/messages") {
			if want[name+"/"+m.ID] {
				seen++
				delete(want, name+"/"+m.ID)
			}
		}
	}
	require.Empty(t, want, "acknowledged messages that are lost")
	require.Equal(t, good, seen)
	db := s.open()
	defer db.Close()
	var kept int
	require.NoError(t, db.Get(&kept, `SELECT count(*) FROM messages WHERE id LIKE 'x%' AND conversation LIKE ?`, prefix+"%"))
	require.GreaterOrEqual(t, kept, good)
	s.intact()
}

// behind describes how far analyses were behind their messages.
func behind(m map[string]float64) string {
	n, sum := m["qingting_analysis_behind_seconds_count"], m["qingting_analysis_behind_seconds_sum"]
	runs, cost := m["qingting_analysis_seconds_count"], m["qingting_analysis_seconds_sum"]
	return fmt.Sprintf("%.0f analyses, %.1f ms each, on average %.0f ms behind the oldest message; %.1f writes a commit", runs, 1000*cost/max(runs, 1), 1000*sum/max(n, 1),
		m["qingting_store_writes_total"]/max(1, m["qingting_store_commits_total"]))
}

// TestLoadMessages is 2,000 messages a second in fast mode over 500
// conversations and 64 connections, and beside it conversations that a
// supervisor must hear of within a second.
func TestLoadMessages(t *testing.T) {
	asked(t, "LOAD")
	lasts := lasting(time.Minute)
	const rate, conversations, connections = 2000, 500, 64

	bareAddr, endBare := startBaseline(t)
	bareHits := paced{addr: bareAddr, rate: rate, lasts: max(3*time.Second, lasts/3), connections: connections, next: spread("b", conversations)}.run(t)
	bareMost := flood(t, bareAddr, "", connections, max(2*time.Second, lasts/6), func(i int) shot { return spread("f", conversations)(i) })
	endBare()
	bare := latencies(bareHits, anyHit)
	t.Logf("bare program at %d/s: %s; at most %.0f/s; load average %s", rate, bare, bareMost, loadAverage())

	s := start(t, setup{keyed: true})
	s.beginMany("c", conversations, 0)
	// A little of it first: caches, the heap, the lexicons' pages.
	paced{addr: s.addr, key: s.key, rate: 500, lasts: time.Second, connections: connections, next: spread("c", conversations)}.run(t)
	events := s.collect("?types=alert.raised")
	alarms := make(chan struct{})
	var sent sync.Map
	go func() { // twice a second somebody threatens
		defer close(alarms)
		began := time.Now()
		for i := 0; time.Since(began) < lasts; i++ {
			id := fmt.Sprint("alarm", i)
			sent.Store(id, time.Now())
			status, b, err := s.try("POST", "/v1/conversations", map[string]any{"id": id, "messages": []say{{Role: "customer", Text: alarming}}})
			if err != nil || status != http.StatusCreated {
				t.Errorf("alarm: %d %v %s", status, err, b)
			}
			time.Sleep(500 * time.Millisecond)
		}
	}()
	profiled := profile(t, s, "messages", lasts)
	cpu, began := s.cpu(), time.Now()
	from := 1000 // ids after the warming up
	hits := paced{addr: s.addr, key: s.key, rate: rate, lasts: lasts, connections: connections, next: func(i int) shot { return spread("c", conversations)(i + from) }}.run(t)
	spent := time.Since(began)
	cpu = s.cpu() - cpu
	m := s.metrics()
	profiled()
	<-alarms
	caught := s.caughtUp(time.Minute)
	q := latencies(hits, anyHit)
	t.Logf("service at %d/s: %s; server computed %.2f of 2 processors; %s; caught up %s after the end; RSS %d MB; load average %s",
		rate, q, cpu.Seconds()/spent.Seconds(), behind(m), caught.Round(time.Millisecond), s.rss()>>20, loadAverage())
	require.Equal(t, map[int]int{http.StatusCreated: len(hits)}, statuses(hits))

	var told []time.Duration
	sent.Range(func(_, _ any) bool { told = append(told, -1); return true })
	want := len(told)
	told = told[:0]
	for len(told) < want {
		select {
		case e := <-events:
			if at, ok := sent.LoadAndDelete(between(e.data, `"conversation_id":"`, `"`)); ok {
				told = append(told, e.at.Sub(at.(time.Time)))
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%d of %d alerts were told", len(told), want)
		}
	}
	a := of(told)
	t.Logf("alerts under this load: %s", a)

	shifted := make([]hit, from+len(hits)) // of the warming up we did not ask
	copy(shifted[from:], hits)
	complete(t, s, "c", conversations, shifted)
	within(t, "p50", q.p50, 10*time.Millisecond, bare.p50, 6)
	within(t, "p95", q.p95, 50*time.Millisecond, bare.p95, 6)
	within(t, "p99", q.p99, 150*time.Millisecond, bare.p99, 6)
	within(t, "alert", a.max, time.Second, bare.max, 6)
	s.stop()
}

// TestLoadFull is 200 messages a second in full mode, with vectors, search and
// drafts.
func TestLoadFull(t *testing.T) {
	asked(t, "LOAD")
	lasts := lasting(time.Minute)
	const rate, conversations = 200, 100
	s := start(t, setup{mode: "full", keyed: true})
	s.loaded()
	s.beginMany("c", conversations, 0)
	profiled := profile(t, s, "full", lasts)
	cpu, began := s.cpu(), time.Now()
	hits := paced{addr: s.addr, key: s.key, rate: rate, lasts: lasts, connections: 64, next: spread("c", conversations)}.run(t)
	spent := time.Since(began)
	cpu = s.cpu() - cpu
	m := s.metrics()
	profiled()
	caught := s.caughtUp(2 * time.Minute)
	q := latencies(hits, anyHit)
	t.Logf("full mode at %d/s: %s; server computed %.2f of 2 processors; %s; caught up %s after the end; RSS %d MB; load average %s",
		rate, q, cpu.Seconds()/spent.Seconds(), behind(m), caught.Round(time.Millisecond), s.rss()>>20, loadAverage())
	require.Equal(t, map[int]int{http.StatusCreated: len(hits)}, statuses(hits))
	complete(t, s, "c", conversations, hits)
	within(t, "p95", q.p95, 50*time.Millisecond, 0, 0)
	within(t, "p99", q.p99, 150*time.Millisecond, 0, 0)
	within(t, "catching up", caught, 5*time.Second, 0, 0)
	s.stop()
}

// loaded waits until the vectors of the cases are made.
func (s *server) loaded() time.Duration {
	s.t.Helper()
	return eventually(s.t, 2*time.Minute, "vectors of all cases", func() bool {
		return s.metrics()[`qingting_component_up{component="cases"}`] == 1
	})
}

// TestLoadWait asks for the analysis with the message, twenty times a second,
// while a thousand conversations are held.
func TestLoadWait(t *testing.T) {
	asked(t, "LOAD")
	for _, mode := range []string{"fast", "full"} {
		t.Run(mode, func(t *testing.T) {
			lasts := lasting(time.Minute)
			s := start(t, setup{mode: mode, keyed: true})
			s.loaded()
			s.beginMany("c", 1000, 12)
			s.caughtUp(5 * time.Minute)
			require.GreaterOrEqual(t, s.metrics()["qingting_conversations_in_memory"], 1000.0)
			var pending atomic.Int64
			profiled := profile(t, s, "wait-"+mode, lasts)
			hits := paced{
				addr: s.addr, key: s.key, rate: 20, lasts: lasts, connections: 32,
				next: func(i int) shot {
					one := oneMessage(fmt.Sprint("c", rand.IntN(1000)), fmt.Sprint("w", i), i)
					one.path += "?wait=analysis"
					return one
				},
				done: func(_ int, _ hit, answer []byte) {
					var a struct {
						Status   string          `json:"analysis_status"`
						Analysis json.RawMessage `json:"analysis"`
					}
					if json.Unmarshal(answer, &a) != nil || a.Status != "done" || len(a.Analysis) < 100 {
						pending.Add(1)
					}
				},
			}.run(t)
			profiled()
			q := latencies(hits, anyHit)
			t.Logf("%s mode, wait=analysis at 20/s, 1,000 conversations held: %s; RSS %d MB; load average %s", mode, q, s.rss()>>20, loadAverage())
			require.Equal(t, map[int]int{http.StatusCreated: len(hits)}, statuses(hits))
			require.Zero(t, pending.Load(), "answers without the analysis")
			within(t, "p95", q.p95, 50*time.Millisecond, 0, 0)
			s.stop()
		})
	}
}

// TestLoadStreams has a thousand event streams that get ten events a second
// each.
func TestLoadStreams(t *testing.T) {
	asked(t, "LOAD")
	for _, c := range []struct {
		name, query string
		rate        float64 // messages a second that give ten events
		kinds       int
	}{
		{"messages", "?types=message.created", 10, 1},
		{"everything", "", 5, 2}, // a message and an analysis
	} {
		t.Run(c.name, func(t *testing.T) {
			lasts := lasting(30 * time.Second)
			const streams = 1000
			s := start(t, setup{keyed: true})
			s.beginMany("c", 50, 2)
			s.caughtUp(time.Minute)
			time.Sleep(time.Second)
			before := s.rss()
			ctx, cancel := context.WithCancel(context.Background())
			var mu sync.Mutex
			var late []time.Duration
			var got, bytes atomic.Int64
			var opened, ended sync.WaitGroup
			var broken atomic.Int64
			for range streams {
				opened.Add(1)
				var once sync.Once
				ended.Go(func() {
					mine := make([]time.Duration, 0, 1024)
					err := s.stream(ctx, c.query, func() { once.Do(opened.Done) }, func(e event) {
						got.Add(1)
						bytes.Add(int64(len(e.data)))
						if at, err := time.Parse(time.RFC3339Nano, between(e.data, `"at":"`, `"`)); err == nil {
							mine = append(mine, e.at.Sub(at))
						}
					})
					if ctx.Err() == nil {
						broken.Add(1)
						t.Logf("a stream ended: %v", err)
					}
					once.Do(opened.Done)
					mu.Lock()
					late = append(late, mine...)
					mu.Unlock()
				})
			}
			opened.Wait()
			profiled := profile(t, s, "streams-"+c.name, lasts)
			cpu := s.cpu()
			hits := paced{addr: s.addr, key: s.key, rate: c.rate, lasts: lasts, connections: 16, next: spread("c", 50)}.run(t)
			during := s.rss()
			s.caughtUp(20 * time.Second)
			time.Sleep(500 * time.Millisecond)
			cpu = s.cpu() - cpu
			profiled()
			m := s.metrics()
			cancel()
			ended.Wait()
			q := of(late)
			each := (during - before) / streams >> 10
			t.Logf("%d streams, %s: %.1f events a second each, %d bytes an event: %s after they happened; writes %s; %d KB a stream (RSS %d MB before); server computed %.2f of 2 processors; dropped %g; load average %s",
				streams, c.name, float64(got.Load())/streams/lasts.Seconds(), bytes.Load()/max(1, got.Load()), q, latencies(hits, anyHit), each, before>>20, cpu.Seconds()/lasts.Seconds(), m["qingting_stream_dropped_total"], loadAverage())
			require.Equal(t, map[int]int{http.StatusCreated: len(hits)}, statuses(hits))
			require.Zero(t, broken.Load())
			require.GreaterOrEqual(t, got.Load(), int64(streams*len(hits)), "events are missing")
			within(t, "p99", q.p99, 300*time.Millisecond, 0, 0)
			require.LessOrEqual(t, each, int64(120), "KB a stream")
			s.stop()
		})
	}
}

// TestIdle is what starting costs, and being there with everything loaded.
func TestIdle(t *testing.T) {
	asked(t, "LOAD")
	data := t.TempDir() + "/data"
	for _, what := range []string{"first start", "later start"} {
		s := start(t, setup{mode: "full", data: data})
		took := s.loaded()
		for range 5 { // every stage has run
			s.do("POST", "/v1/analyze", map[string]any{"messages": talk(0, 20)}, nil)
		}
		time.Sleep(3 * time.Second)
		rss := s.rss() >> 20
		t.Logf("%s: ready after %s (computed %s), all vectors after %s, RSS %d MB with everything loaded; load average %s", what, s.ready.Round(time.Millisecond), s.readyCPU, took.Round(time.Millisecond), rss, loadAverage())
		// On a busy machine what it computed says more than the clock.
		within(t, "ready", min(s.ready, s.readyCPU+time.Second), 3*time.Second, 0, 0)
		require.LessOrEqual(t, rss, int64(450), "MB")
		s.stop()
	}
}

// TestTooMuch offers twice what can be had: refused work is told so at once,
// accepted work is still quick, and afterwards everything is as before.
func TestTooMuch(t *testing.T) {
	asked(t, "LOAD")
	lasts := lasting(20 * time.Second)
	const conversations = 500
	s := start(t, setup{keyed: true, env: map[string]string{"QINGTING_LIMITS_KEY_REQUESTS_PER_SECOND": "-1"}})
	s.beginMany("c", conversations, 0)
	s.beginMany("f", conversations, 0)
	most := flood(t, s.addr, s.key, 64, max(2*time.Second, lasts/4), spread("f", conversations))
	s.caughtUp(time.Minute)
	rate := 2 * most
	profiled := profile(t, s, "toomuch", lasts)
	hits := paced{addr: s.addr, key: s.key, rate: rate, lasts: lasts, connections: 2048, next: spread("c", conversations)}.run(t)
	ended := time.Now()
	profiled()
	refused := func(h hit) bool {
		return h.status == http.StatusTooManyRequests || h.status == http.StatusServiceUnavailable
	}
	good, no := latencies(hits, accepted), latencies(hits, refused)
	var back quantiles
	for {
		probe := paced{addr: s.addr, key: s.key, rate: 100, lasts: time.Second, connections: 64, next: func(i int) shot {
			return oneMessage(fmt.Sprint("c", i), fmt.Sprint("after", time.Now().UnixNano(), "-", i), i)
		}}.run(t)
		back = latencies(probe, anyHit)
		if statuses(probe)[http.StatusCreated] == len(probe) && back.p95 <= 50*time.Millisecond || time.Since(ended) > 30*time.Second {
			break
		}
	}
	normal := time.Since(ended)
	t.Logf("sustained %.0f/s; offered %.0f/s: answers %v; accepted %s; refused %s; normal again after %s (%s); load average %s",
		most, rate, statuses(hits), good, no, normal.Round(10*time.Millisecond), back, loadAverage())
	for i, h := range hits {
		require.True(t, accepted(h) || refused(h) && h.retry, "request %d: status %d, Retry-After %v", i, h.status, h.retry)
	}
	complete(t, s, "c", conversations, hits)
	within(t, "p99 of accepted work", good.p99, 300*time.Millisecond, 0, 0)
	within(t, "p99 of refusals", no.p99, 50*time.Millisecond, 0, 0)
	within(t, "normal again", normal, 5*time.Second, 0, 0)
	s.stop()
}
