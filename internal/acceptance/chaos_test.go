package acceptance

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// oneMessage is a request with one message.
func oneMessage(conversation, id string, n int) shot {
	role, text := said(n)
	body, _ := json.Marshal(map[string]any{"messages": []say{{ID: id, Role: role, Text: text}}}) // plain strings
	return shot{"/v1/conversations/" + conversation + "/messages", body}
}

// TestKilled kills the server at any moment, again and again on one folder:
// every write that was acknowledged is there, what was not analysed is
// analysed after the next start, and the history of every alert is one line of
// steps.
func TestKilled(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	const conversations, writers = 20, 8
	data := filepath.Join(t.TempDir(), "data")
	acknowledged := map[string]int{} // message id → round
	n := rounds(20, 3)
	for round := range n {
		s := start(t, setup{data: data})
		if round == 0 {
			for c := range conversations {
				s.begin(fmt.Sprint("c", c))
			}
		}
		var mu sync.Mutex
		var first sync.Once
		acked := make(chan struct{})
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				var c wire
				defer c.close()
				for i := 0; ; i++ {
					conversation := fmt.Sprint("c", rand.IntN(conversations))
					id := fmt.Sprintf("%s-%d-%d-%d", conversation, round, w, i)
					one := oneMessage(conversation, id, rand.IntN(1000))
					if i%40 == 7 {
						one.body, _ = json.Marshal(map[string]any{"messages": []say{{ID: id, Role: "customer", Text: alarming}}})
					}
					status, _, _ := c.post(s.addr, "", one)
					if status == 0 {
						return // killed
					}
					if status == http.StatusCreated {
						mu.Lock()
						acknowledged[id] = round
						mu.Unlock()
						first.Do(func() { close(acked) })
					}
				}
			})
		}
		<-acked
		time.Sleep(time.Duration(rand.IntN(800_000)) * time.Microsecond)
		s.kill()
		all.Wait()
		s.intact()
	}

	// Once more, and for good.
	last := start(t, setup{data: data})
	took := last.caughtUp(time.Minute)
	kept := map[string]bool{}
	for c := range conversations {
		var seqs []int
		for _, m := range items[qingting.StoredMessage](last, fmt.Sprintf("/v1/conversations/c%d/messages", c)) {
			require.False(t, kept[m.ID], "%s is there twice", m.ID)
			kept[m.ID] = true
			seqs = append(seqs, m.Seq)
		}
		require.True(t, slices.IsSorted(seqs))
	}
	for id, round := range acknowledged {
		require.True(t, kept[id], "%s was acknowledged in round %d and is lost", id, round)
	}
	alerts := saneAlerts(t, last)
	last.stop()
	last.intact()
	t.Logf("%d rounds: %d acknowledged, %d kept, %d alerts; the last start caught up within %s", n, len(acknowledged), len(kept), alerts, took.Round(time.Millisecond))
	require.Positive(t, alerts)
}

// saneAlerts checks every alert's history and returns how many there are.
func saneAlerts(t *testing.T, s *server) int {
	t.Helper()
	open := map[string]string{}
	all := items[qingting.Alert](s, "/v1/alerts")
	for _, a := range all {
		history := items[qingting.AlertEvent](s, "/v1/alerts/"+a.ID+"/history")
		require.NotEmpty(t, history, "alert %s has no history", a.ID)
		state := qingting.AlertState("")
		for i, e := range history {
			require.Equal(t, state, e.From, "alert %s, step %d: %+v", a.ID, i, history)
			require.False(t, i > 0 && e.At.Before(history[i-1].At), "alert %s goes back in time: %+v", a.ID, history)
			state = e.To
		}
		require.Equal(t, a.State, state, "alert %s: %+v", a.ID, history)
		if a.State.Open() {
			name := a.Conversation + " " + string(a.Cause) + " " + a.Subject
			require.Empty(t, open[name], "two open alerts of %s", name)
			open[name] = a.ID
		}
	}
	return len(all)
}

// TestTerminated ends the server as an operator does, while everything is under
// way: not ready at once, streams and sockets closed, what was acknowledged
// kept, gone within ten seconds, exit 0.
func TestTerminated(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	for name, lazy := range map[string]bool{"busy clients": false, "and one that never finishes its request": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t, setup{})
			s.begin("c")
			streams := make(chan error, 8)
			var opened sync.WaitGroup
			for range cap(streams) {
				opened.Add(1)
				go func() { streams <- s.stream(context.Background(), "", opened.Done, func(event) {}) }()
			}
			opened.Wait()
			socket, _, err := websocket.Dial(context.Background(), "ws://"+s.addr+"/v1/conversations/ws/stream", nil)
			require.NoError(t, err)
			defer socket.CloseNow() //nolint:errcheck // closed below
			socketEnded := make(chan websocket.StatusCode, 1)
			go func() {
				for {
					if _, _, err := socket.Read(context.Background()); err != nil {
						socketEnded <- websocket.CloseStatus(err)
						return
					}
				}
			}()
			if lazy {
				half := dial(t, s)
				defer half.Close()
				_, err := fmt.Fprintf(half, "POST /v1/analyze HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"mess", s.addr)
				require.NoError(t, err)
			}
			var mu sync.Mutex
			var acknowledged []string
			counts := map[int]int{}
			var all sync.WaitGroup
			for w := range 8 {
				all.Go(func() {
					var c wire
					defer c.close()
					for i := 0; ; i++ {
						one := oneMessage("c", fmt.Sprintf("m-%d-%d", w, i), i)
						if w == 0 {
							one.path += "?wait=analysis"
						}
						status, _, _ := c.post(s.addr, "", one)
						mu.Lock()
						counts[status]++
						if status == http.StatusCreated {
							acknowledged = append(acknowledged, fmt.Sprintf("m-%d-%d", w, i))
						}
						mu.Unlock()
						if status == 0 {
							return
						}
					}
				})
			}
			time.Sleep(lasting(500 * time.Millisecond))
			began := time.Now()
			require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
			notReady := eventually(t, 2*time.Second, "not ready", func() bool {
				status, _, err := s.try("GET", "/readyz", nil)
				return err != nil || status != http.StatusOK
			})
			for range cap(streams) {
				select {
				case err := <-streams:
					require.Error(t, err)
				case <-time.After(5 * time.Second):
					t.Fatal("a stream is still open 5 s after SIGTERM")
				}
			}
			streamsEnded := time.Since(began)
			select {
			case code := <-socketEnded:
				require.Equal(t, websocket.StatusGoingAway, code)
			case <-time.After(8 * time.Second):
				t.Fatal("the socket is still open")
			}
			s.wait(11*time.Second - time.Since(began))
			took := time.Since(began)
			all.Wait()
			t.Logf("not ready after %s, streams closed after %s, ended after %s; %d acknowledged; answers %v", notReady.Round(time.Millisecond), streamsEnded.Round(time.Millisecond), took.Round(time.Millisecond), len(acknowledged), counts)
			require.NoError(t, s.err, "exit status\n%s", s.logTail(2000))
			require.Less(t, notReady, 500*time.Millisecond)
			for status := range counts {
				require.Contains(t, []int{0, http.StatusCreated, http.StatusServiceUnavailable}, status)
			}
			s.intact()
			db := s.open()
			defer db.Close()
			var ids []string
			require.NoError(t, db.Select(&ids, `SELECT id FROM messages`))
			for _, id := range acknowledged {
				require.Contains(t, ids, id)
			}
			var behind int
			require.NoError(t, db.Get(&behind, `SELECT count(*) FROM conversations WHERE analysed < version`))
			require.Zero(t, behind, "analyses that waited were not done")
		})
	}
}

// refusedWrites sends writes of every kind and checks that each is refused with
// 503 and Retry-After, and that reads answer.
func refusedWrites(t *testing.T, s *server, prefix string) {
	t.Helper()
	var all sync.WaitGroup
	for i, w := range []struct{ path, body string }{
		{"/v1/conversations/c/messages", fmt.Sprintf(`{"messages":[{"message_id":"%s-a","role":"customer","text":"还没收到货"}]}`, prefix)},
		{"/v1/conversations", fmt.Sprintf(`{"id":"%s-new","messages":[{"message_id":"b","role":"customer","text":"还没收到货"}]}`, prefix)},
		{"/v1/conversations/c/close", `{"outcome":"resolved"}`},
		{"/v1/teams", `{"id":"` + prefix + `","name":"一组"}`},
	} {
		all.Go(func() {
			began := time.Now()
			status, header, answer, err := s.send(s.request(context.Background(), "POST", w.path, []byte(w.body)))
			if err != nil || status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || time.Since(began) > 11*time.Second {
				t.Errorf("write %d (%s): %v, status %d after %s, Retry-After %q: %s", i, w.path, err, status, time.Since(began), header.Get("Retry-After"), answer)
			}
		})
	}
	for range 5 {
		for _, path := range []string{"/v1/conversations", "/v1/conversations/c", "/v1/conversations/c/state", "/v1/conversations/c/messages", "/v1/alerts", "/v1/cases"} {
			began := time.Now()
			status, answer, err := s.try("GET", path, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, "%s: %s", path, answer)
			require.Less(t, time.Since(began), 3*time.Second, path)
		}
		status, answer, err := s.try("POST", "/v1/analyze", map[string]any{"messages": []say{{Role: "customer", Text: "多扣了我的话费"}}})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, "%s", answer)
		time.Sleep(50 * time.Millisecond)
	}
	all.Wait()
}

// recovered checks that writes work again and that nothing of the refused ones
// is there.
func recovered(t *testing.T, s *server, prefix string) {
	t.Helper()
	took := eventually(t, 10*time.Second, "a write works again", func() bool {
		status, _, err := s.try("POST", "/v1/conversations/c/messages", map[string]any{"messages": []say{{ID: prefix + "-after", Role: "customer", Text: "现在呢"}}})
		return err == nil && status/100 == 2
	})
	t.Logf("%s: writes work again %s after the fault ended", prefix, took.Round(time.Millisecond))
	for _, m := range items[qingting.StoredMessage](s, "/v1/conversations/c/messages") {
		require.NotEqual(t, prefix+"-a", m.ID, "a refused write is there")
	}
	status, _, err := s.try("GET", "/v1/conversations/"+prefix+"-new", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, status, "a refused write is there")
	var c qingting.Conversation
	s.do("GET", "/v1/conversations/c", nil, &c)
	require.Equal(t, qingting.ConversationOpen, c.State)
	s.caughtUp(30 * time.Second)
}

// TestLocked locks the database from another program.
func TestLocked(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	s := start(t, setup{})
	s.begin("c", talk(0, 3)...)
	s.caughtUp(20 * time.Second)
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(s.data, "qingting.db")+"?_txlock=immediate")
	require.NoError(t, err)
	defer db.Close()
	lock, err := db.Begin()
	require.NoError(t, err)
	refusedWrites(t, s, "locked")
	require.NoError(t, lock.Rollback())
	recovered(t, s, "locked")
	s.stop()
	s.intact()
}

// TestDiskFull fills the disk that the data folder is on: a small one in a
// mount namespace of its own.
func TestDiskFull(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	data := t.TempDir()
	mount := []string{"unshare", "-rm", "sh", "-c", `mount -t tmpfs -o size=48m tmpfs "$0" && exec "$@"`, data}
	if out, err := exec.Command(mount[0], append(slices.Clone(mount[1:]), "true")...).CombinedOutput(); err != nil {
		t.Skipf("this system gives no disk of one's own (unshare -rm, tmpfs): %v %s", err, out)
	}
	s := start(t, setup{data: data, before: mount})
	s.begin("c", talk(0, 3)...)
	eventually(t, 20*time.Second, "analysed", func() bool {
		var c qingting.Conversation
		s.do("GET", "/v1/conversations/c", nil, &c)
		return c.Analysed == c.Version
	})
	filler := fmt.Sprintf("/proc/%d/root%s/filler", s.pid(), data)
	f, err := os.Create(filler)
	require.NoError(t, err)
	block := bytes.Repeat([]byte("x"), 1<<16)
	for err == nil {
		_, err = f.Write(block)
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	for err = nil; err == nil; { // the last page
		_, err = f.Write(block[:512])
	}
	require.NoError(t, f.Close())
	// What the log of writes still has room for may succeed, and must then be
	// kept; then it is full.
	var kept []string
	eventually(t, 60*time.Second, "a write is refused", func() bool {
		id := fmt.Sprint("filling-", len(kept))
		status, answer, err := s.try("POST", "/v1/conversations/c/messages", map[string]any{"messages": []say{{ID: id, Role: "customer", Text: strings.Repeat("还没收到货，", 600)}}})
		require.NoError(t, err)
		if status/100 == 2 {
			kept = append(kept, id)
			return false
		}
		require.Contains(t, []int{http.StatusServiceUnavailable, http.StatusRequestEntityTooLarge}, status, "%s", answer)
		require.Equal(t, http.StatusServiceUnavailable, status, "the conversation is full before the disk is")
		return true
	})
	refusedWrites(t, s, "full")
	require.NoError(t, os.Remove(filler))
	took := eventually(t, 10*time.Second, "a write works again", func() bool {
		status, _, err := s.try("POST", "/v1/conversations/c/messages", map[string]any{"messages": []say{{ID: "after", Role: "customer", Text: "现在呢"}}})
		return err == nil && status/100 == 2
	})
	have := map[string]bool{}
	for _, m := range items[qingting.StoredMessage](s, "/v1/conversations/c/messages") {
		have[m.ID] = true
	}
	require.False(t, have["full-a"], "a refused write is there")
	for _, id := range kept {
		require.True(t, have[id], "%s was acknowledged on the full disk and is lost", id)
	}
	eventually(t, 20*time.Second, "analysed", func() bool {
		var c qingting.Conversation
		s.do("GET", "/v1/conversations/c", nil, &c)
		return c.Analysed == c.Version
	})
	t.Logf("%d writes were kept before the disk was full; writes work again after %s", len(kept), took.Round(time.Millisecond))
	copied := filepath.Join(t.TempDir(), "qingting.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/root%s/qingting.db%s", s.pid(), data, suffix))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(copied+suffix, b, 0o600))
	}
	s.data = filepath.Dir(copied)
	s.intact()
	s.stop()
}

// TestReadOnly starts on a folder that cannot be written: it ends at once and
// says why, instead of taking what it could not keep.
func TestReadOnly(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, setup{data: data})
	s.begin("c", talk(0, 3)...)
	s.stop()
	mount := []string{"unshare", "-rm", "sh", "-c", `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"`, data}
	if out, err := exec.Command(mount[0], append(slices.Clone(mount[1:]), "true")...).CombinedOutput(); err != nil {
		t.Skipf("this system gives no mounts of one's own (unshare -rm): %v %s", err, out)
	}
	s = start(t, setup{data: data, before: mount, fails: true})
	s.wait(20 * time.Second)
	require.Error(t, s.err)
	require.Contains(t, s.logTail(2000), "不可写")
}

// TestAnyOrder sends one conversation twenty times, each time in another
// order, in other requests and with repetitions, and with times that jump: what
// is kept and what is understood is the same.
func TestAnyOrder(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	s := start(t, setup{mode: "full"})
	messages := talk(100, 24)
	for i := range messages {
		messages[i].Seq = i + 1
		// The clock of the sender goes back, stands still and leaps.
		messages[i].Sent = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC).Add([]time.Duration{0, time.Minute, -time.Hour, 40 * 24 * time.Hour, time.Minute}[i%5]).Format(time.RFC3339)
	}
	messages[9] = say{ID: messages[9].ID, Seq: 10, Role: "customer", Text: alarming, Sent: messages[9].Sent}
	messages[11] = say{ID: messages[11].ID, Seq: 12, Role: "agent", Text: "非常抱歉，我今天下午六点前给您退款199元到原账户", Sent: messages[11].Sent}
	messages[12].Seq = 12 // two of one seq: the id decides
	n := rounds(20, 6)
	names := make([]string, n)
	for i := range n {
		names[i] = fmt.Sprint("order-", i)
		order := rand.New(rand.NewPCG(uint64(i), 1)).Perm(len(messages))
		if i == 0 {
			slices.Sort(order)
		}
		for len(order) > 0 {
			take := min(len(order), 1+rand.IntN(5))
			var body []say
			for _, at := range order[:take] {
				body = append(body, messages[at])
				if rand.IntN(3) == 0 {
					body = append(body, messages[order[0]]) // in the same request
				}
			}
			order = order[take:]
			s.do("POST", "/v1/conversations", map[string]any{"id": names[i], "messages": body}, nil)
			if rand.IntN(2) == 0 { // the whole request again, as after a lost answer
				s.do("POST", "/v1/conversations", map[string]any{"id": names[i], "messages": body}, nil)
			}
			if rand.IntN(3) == 0 {
				time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // so that some is analysed meanwhile
			}
		}
	}
	s.caughtUp(time.Minute)
	first := ""
	for _, name := range names {
		got := finalState(t, s, name)
		if first == "" {
			first = got
			require.Contains(t, got, `"regulator"`)
		}
		require.Equal(t, first, got, "%s differs from %s", name, names[0])
	}
	// A redelivery that contradicts is refused and changes nothing.
	status, answer, err := s.try("POST", "/v1/conversations/"+names[0]+"/messages", map[string]any{"messages": []say{{ID: messages[3].ID, Seq: 4, Role: messages[3].Role, Text: "别的话"}}})
	require.NoError(t, err)
	require.Equal(t, http.StatusConflict, status, "%s", answer)
	require.Equal(t, first, finalState(t, s, names[0]))
}

// finalState is all that depends on the messages alone, as text.
func finalState(t *testing.T, s *server, id string) string {
	t.Helper()
	var state map[string]any
	s.do("GET", "/v1/conversations/"+id+"/state", nil, &state)
	out := map[string]any{}
	messages, _ := json.Marshal(state["messages"])
	var list []map[string]any
	require.NoError(t, json.Unmarshal(messages, &list))
	for _, m := range list {
		delete(m, "received_at")
	}
	out["messages"] = list
	analysis, _ := state["analysis"].(map[string]any)
	require.NotNil(t, analysis, "no analysis of %s", id)
	for _, k := range []string{"latency_ms", "id"} {
		delete(analysis, k)
	}
	suggestions, _ := analysis["suggestions"].([]any)
	for _, one := range suggestions {
		if m, ok := one.(map[string]any); ok {
			delete(m, "id")
			delete(m, "due_at") // from now on
		}
	}
	out["analysis"] = analysis
	promises, _ := state["promises"].([]any)
	for _, one := range promises {
		if m, ok := one.(map[string]any); ok {
			for _, k := range []string{"id", "conversation_id", "updated_at"} {
				delete(m, k)
			}
		}
	}
	out["promises"] = promises
	conversation, _ := state["conversation"].(map[string]any)
	out["overview"], out["count"] = conversation["overview"], conversation["messages"]
	b, err := json.MarshalIndent(out, "", " ")
	require.NoError(t, err)
	return string(b)
}

// TestDeadStreams has readers that never read beside good ones: the good ones
// get everything in time, writers do not wait, and the dead ones are let go.
func TestDeadStreams(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	s := start(t, setup{})
	s.begin("c")
	const dead, good = 30, 5
	for range dead {
		c := dial(t, s)
		require.NoError(t, c.SetReadBuffer(4096))
		defer c.Close()
		_, err := fmt.Fprintf(c, "GET /v1/events HTTP/1.1\r\nHost: %s\r\n\r\n", s.addr)
		require.NoError(t, err)
	}
	var streams []<-chan event
	for range good {
		streams = append(streams, s.collect("?types=message.created"))
	}
	eventually(t, 5*time.Second, "all streams are open", func() bool { return s.metrics()["qingting_stream_subscribers"] == dead+good })
	const n = 1500
	due := map[string]time.Time{}
	var mu sync.Mutex
	hits := paced{
		addr: s.addr, rate: 150, lasts: n / 150 * time.Second, connections: 16,
		next: func(i int) shot {
			id := fmt.Sprint("m", i)
			mu.Lock()
			due[id] = time.Now()
			mu.Unlock()
			return oneMessage(fmt.Sprint("c", i%20), id, i)
		},
	}
	for i := range 20 {
		s.begin(fmt.Sprint("c", i))
	}
	got := hits.run(t)
	require.Equal(t, map[int]int{http.StatusCreated: n}, statuses(got))
	var late []time.Duration
	for i, stream := range streams {
		for seen := 0; seen < n; seen++ {
			select {
			case e, open := <-stream:
				require.True(t, open, "good stream %d was ended after %d events", i, seen)
				late = append(late, e.at.Sub(due[between(e.data, `"message_id":"`, `"`)]))
			case <-time.After(5 * time.Second):
				t.Fatalf("good stream %d got %d of %d events", i, seen, n)
			}
		}
	}
	eventually(t, 20*time.Second, "dead streams are let go", func() bool { return s.metrics()["qingting_stream_subscribers"] == good })
	q, w := of(late), latencies(got, anyHit)
	t.Logf("beside %d dead streams: events %s; writes %s; load average %s", dead, q, w, loadAverage())
	require.Less(t, q.p99, 2*time.Second)
	s.stop()
}
