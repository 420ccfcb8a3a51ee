package acceptance

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting/internal/hook"
)

// receiver takes webhooks and notes what came.
type receiver struct {
	mu       sync.Mutex
	secret   string
	code     int // of the answer
	attempts map[string]int
	taken    map[string]int // message id → how often with 200
	wrong    []string
}

func (r *receiver) answer(code int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.code = code
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return
	}
	if q.URL.Path != "/hook" || q.Method != http.MethodPost {
		r.wrong = append(r.wrong, q.Method+" "+q.URL.Path)
		return
	}
	id := q.Header.Get("webhook-id")
	seconds, err := strconv.ParseInt(q.Header.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Second {
		r.wrong = append(r.wrong, "timestamp "+q.Header.Get("webhook-timestamp"))
	}
	want, err := hook.Sign([]string{r.secret}, id, time.Unix(seconds, 0), body)
	if err != nil || want != q.Header.Get("webhook-signature") {
		r.wrong = append(r.wrong, "signature of "+id)
	}
	message := between(body, `"message_id":"`, `"`)
	r.attempts[message]++
	if r.code == http.StatusFound {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(r.code)
	if r.code/100 == 2 {
		r.taken[message]++
	}
}

func (r *receiver) has(prefix string, n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := 0
	for id := range r.taken {
		if strings.HasPrefix(id, prefix) {
			found++
		}
	}
	return found == n
}

// TestReceiver delivers webhooks to a receiver that is there, away, slow,
// broken or sends us elsewhere, and through a kill -9: in the end everything
// has arrived, signed, at least once. The second attempt comes 5 s ± 20 %
// after the first; the later steps of the schedule are too long to wait for.
func TestReceiver(t *testing.T) {
	asked(t, "CHAOS")
	t.Parallel()
	r := &receiver{code: http.StatusOK, attempts: map[string]int{}, taken: map[string]int{}}
	target := httptest.NewServer(r)
	defer target.Close()
	middle := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(middle, "receiver", freePort(t), target.Listener.Addr().String())
	require.NoError(t, proxy.Start())
	defer func() { proxy.Stop() }()
	toxic := func(json string) {
		_, err := proxy.Toxics.AddToxicJson(strings.NewReader(json))
		require.NoError(t, err)
	}
	o := setup{data: filepath.Join(t.TempDir(), "data"), env: map[string]string{"QINGTING_WEBHOOKS_ALLOW_HTTP": "true", "QINGTING_WEBHOOKS_ALLOW_PRIVATE": "127.0.0.0/8"}}
	s := start(t, o)
	var made struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	s.do("POST", "/v1/webhooks", map[string]any{"kind": "webhook", "name": "r", "url": "http://" + proxy.Listen + "/hook", "events": []string{"message.created"}}, &made)
	require.NotEmpty(t, made.Secret)
	r.secret = made.Secret
	// What is known of endpoints may be a second old.
	time.Sleep(1200 * time.Millisecond)
	s.begin("c")
	send := func(prefix string, n int) time.Time {
		for i := range n {
			s.do("POST", "/v1/conversations/c/messages", map[string]any{"messages": []say{{ID: fmt.Sprint(prefix, i), Role: "customer", Text: "还没收到货"}}}, nil)
		}
		return time.Now()
	}
	arrives := func(prefix string, n int, soonest, latest time.Duration, since time.Time) {
		t.Helper()
		eventually(t, latest, prefix+" has arrived", func() bool { return r.has(prefix, n) })
		took := time.Since(since)
		t.Logf("%s: %d arrived within %s", prefix, n, took.Round(time.Millisecond))
		require.GreaterOrEqual(t, took, soonest, prefix)
	}
	arrives("up-", 10, 0, 5*time.Second, send("up-", 10))

	proxy.Stop()
	since := send("away-", 3)
	eventually(t, 5*time.Second, "first attempts failed", func() bool {
		return s.metrics()[`qingting_delivery_attempts_total{result="failed"}`] >= 3
	})
	require.NoError(t, proxy.Start())
	arrives("away-", 3, 3*time.Second, 12*time.Second, since)

	r.answer(http.StatusFound)
	since = send("redirected-", 2)
	time.Sleep(time.Second)
	r.answer(http.StatusOK)
	arrives("redirected-", 2, 3*time.Second, 12*time.Second, since)

	r.answer(http.StatusInternalServerError)
	since = send("broken-", 2)
	time.Sleep(time.Second)
	r.answer(http.StatusNoContent)
	arrives("broken-", 2, 3*time.Second, 12*time.Second, since)

	toxic(`{"name":"slow","type":"latency","stream":"upstream","attributes":{"latency":1500,"jitter":300}}`)
	arrives("slow-", 10, time.Second, 12*time.Second, send("slow-", 10))
	require.NoError(t, proxy.Toxics.RemoveToxic(t.Context(), "slow"))

	// The receiver takes it, and its answer is lost: at least once means again.
	toxic(`{"name":"cut","type":"reset_peer","stream":"downstream","attributes":{"timeout":0}}`)
	send("cut-", 2)
	eventually(t, 5*time.Second, "first attempts", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.attempts["cut-0"] > 0 && r.attempts["cut-1"] > 0
	})
	require.NoError(t, proxy.Toxics.RemoveToxic(t.Context(), "cut"))
	eventually(t, 12*time.Second, "told again", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.attempts["cut-0"] > 1 && r.attempts["cut-1"] > 1
	})

	// Nobody is there, and then we are not either.
	proxy.Stop()
	since = send("killed-", 3)
	s.kill()
	require.NoError(t, proxy.Start())
	s = start(t, o)
	arrives("killed-", 3, 0, 40*time.Second, since)

	eventually(t, 10*time.Second, "nothing waits", func() bool { return s.metrics()[`qingting_deliveries{state="pending"}`] == 0 })
	require.Zero(t, s.metrics()[`qingting_deliveries{state="dead"}`])
	r.mu.Lock()
	require.Empty(t, r.wrong)
	r.mu.Unlock()
	s.stop()
}
