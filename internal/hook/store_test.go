package hook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
	"github.com/qingting-ai/qingting/internal/store"
)

// forgetful is a store whose process dies after the receiver's answer and
// before the note of it: every third settling is lost.
type forgetful struct {
	*store.Store
	mu sync.Mutex
	n  int
}

func (f *forgetful) OutboxDone(ctx context.Context, it hook.Item, status int, now time.Time) error {
	f.mu.Lock()
	f.n++
	lost := f.n%3 == 0
	f.mu.Unlock()
	if lost {
		return errors.New("the process died")
	}
	return f.Store.OutboxDone(ctx, it, status, now)
}

// TestDurable runs the sender on the real store, over a real connection:
// what was written is delivered, through a crash and a restart, to an endpoint
// that is up, and waits for one that wants no more.
func TestDurable(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusGone)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		got[r.Header.Get("webhook-id")]++
	}))
	defer server.Close()
	guard := &hook.Guard{HTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	path := filepath.Join(t.TempDir(), "qingting.db")
	ctx := t.Context()
	open := func() *store.Store {
		s, err := store.Open(ctx, path)
		require.NoError(t, err)
		return s
	}
	s := open()
	var endpoints []hook.Endpoint
	for _, url := range []string{server.URL, server.URL + "/gone"} {
		e := hook.Endpoint{Tenant: "t1", Kind: hook.KindWebhook, URL: url, Secret: []byte(hook.NewSecret())}
		require.NoError(t, e.Check(guard))
		e, err := s.PutEndpoint(ctx, e)
		require.NoError(t, err)
		endpoints = append(endpoints, e)
	}
	began := time.Now()
	const events = 60
	for i := range events {
		ev := qingting.Event{ID: fmt.Sprint("b-", i), Type: qingting.EventConversation, Tenant: "t1", Conversation: "c1", Seq: int64(i), At: began}
		items, err := hook.Render(ev, endpoints, nil, began)
		require.NoError(t, err)
		require.Len(t, items, 2)
		require.NoError(t, s.Post(ctx, items))
	}
	count := func(state hook.State) int {
		items, _, err := s.Outbox(ctx, "t1", store.OutboxFilter{State: state, Endpoint: endpoints[0].ID}, "", 0)
		require.NoError(t, err)
		return len(items)
	}
	run := func(outbox hook.Outbox, now func() time.Time, want int) {
		sender, err := hook.NewSender(outbox, hook.Options{Guard: guard, Poll: 10 * time.Millisecond, Now: now})
		require.NoError(t, err)
		ending, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- sender.Run(ending) }()
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(got) == events && count(hook.StateDone) >= want
		}, 8*time.Second, 10*time.Millisecond)
		cancel()
		require.NoError(t, <-done)
	}
	run(&forgetful{Store: s}, time.Now, events*2/3)
	require.Equal(t, events/3, count(hook.StatePending), "leased, not lost")

	require.NoError(t, s.Close())
	s = open()
	defer s.Close()
	// The leases have run out after the restart.
	run(s, func() time.Time { return time.Now().Add(5 * time.Minute) }, events)
	twice := 0
	for id, n := range got {
		require.LessOrEqual(t, n, 2, id)
		twice += n - 1
	}
	require.Equal(t, events/3, twice, "the lost ones, and no other")

	gone, err := s.Endpoint(ctx, "t1", endpoints[1].ID)
	require.NoError(t, err)
	require.True(t, gone.Disabled)
	require.Contains(t, gone.Reason, "410")
}
