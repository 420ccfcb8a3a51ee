package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

// hold lets the writer wait inside a write, so that what comes after it queues
// up and shares one commit. release lets it go on.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	inside, gate := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.write(context.Background(), func(*tx) error { close(inside); <-gate; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-inside
	return sync.OnceFunc(func() { close(gate); done.Wait() })
}

// waiting waits until n writes queue up.
func waiting(t *testing.T, s *Store, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.writes.queue) == n }, 5*time.Second, time.Millisecond)
}

func mark(id string) func(*tx) error {
	return func(t *tx) error {
		_, err := t.exec(`INSERT INTO seeded_cases (tenant, id, seeded_at) VALUES ('t', ?, ?)`, id, t.now)
		return err
	}
}

func marks(t *testing.T, s *Store) []string {
	t.Helper()
	out, err := list(context.Background(), s.reader, scanOf[string], `SELECT id FROM seeded_cases ORDER BY seeded_at`)
	require.NoError(t, err)
	return out
}

func TestWritesShareACommit(t *testing.T) {
	s := fresh(t)
	release := hold(t, s)
	stop := errors.New("no")
	writes := []func(*tx) error{
		mark("a"),
		func(t *tx) error { return errors.Join(mark("b")(t), stop) },
		mark("c"),
		func(t *tx) error { _ = mark("d")(t); panic("断了") },
		mark("a"), // taken by the first
		mark("e"),
	}
	errs := make([]error, len(writes))
	var all sync.WaitGroup
	for i, f := range writes {
		all.Go(func() { errs[i] = s.write(context.Background(), f) })
		waiting(t, s, i+1)
	}
	before := s.writes.commits.Load()
	release()
	all.Wait()
	require.EqualValues(t, 2, s.writes.commits.Load()-before, "that which was held, and all the others together")
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], stop)
	require.NoError(t, errs[2])
	require.ErrorContains(t, errs[3], "断了")
	require.True(t, isTaken(errs[4]), "%v", errs[4])
	require.NoError(t, errs[5])
	require.Equal(t, []string{"a", "c", "e"}, marks(t, s))
	stats, err := s.Stats(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 6, stats.Largest)
	require.EqualValues(t, 3, stats.Failed)
	require.EqualValues(t, 4, stats.Writes)
	require.Zero(t, stats.Waiting)
	require.Positive(t, stats.FileBytes)
}

// A commit that fails fails for everybody: nobody is told that he has written.
func TestFailedCommitFailsAll(t *testing.T) {
	s := fresh(t)
	release := hold(t, s)
	var a, b error
	var all sync.WaitGroup
	all.Go(func() { a = s.write(context.Background(), mark("a")) })
	waiting(t, s, 1)
	all.Go(func() {
		b = s.write(context.Background(), func(t *tx) error {
			// A reference that is only looked at when the transaction ends.
			if _, err := t.exec(`PRAGMA defer_foreign_keys = on`); err != nil {
				return err
			}
			_, err := t.exec(`INSERT INTO analyses (tenant, conversation, version, body) VALUES ('t', '没有', 1, x'00')`)
			return err
		})
	})
	waiting(t, s, 2)
	release()
	all.Wait()
	require.ErrorContains(t, a, "FOREIGN KEY")
	require.ErrorContains(t, b, "FOREIGN KEY")
	require.Empty(t, marks(t, s))
	require.NoError(t, s.write(context.Background(), mark("later")))
}

func TestFullQueueIsBusy(t *testing.T) {
	s := fresh(t)
	release := hold(t, s)
	defer release()
	for len(s.writes.queue) < queueLength {
		s.writes.queue <- &request{run: func(*tx) error { return nil }, done: make(chan error, 1)}
	}
	started := time.Now()
	require.ErrorIs(t, s.write(context.Background(), mark("a")), ErrBusy)
	require.Less(t, time.Since(started), 50*time.Millisecond)
	release()
	require.Eventually(t, func() bool { return s.write(context.Background(), mark("b")) == nil }, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"b"}, marks(t, s))
}

// A write whose caller gave up either does not happen, or is answered.
func TestCancelledWrite(t *testing.T) {
	s := fresh(t)
	release := hold(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	var all sync.WaitGroup
	all.Go(func() { err = s.write(ctx, mark("waits")) })
	waiting(t, s, 1)
	cancel()
	all.Wait()
	require.ErrorIs(t, err, context.Canceled)
	release()

	ctx, cancel = context.WithCancel(context.Background())
	require.NoError(t, s.write(ctx, func(t *tx) error { cancel(); return mark("runs")(t) }))
	require.Equal(t, []string{"runs"}, marks(t, s))
}

func TestCloseFinishesWhatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.db")
	s := open(t, path)
	var mu sync.Mutex
	var acknowledged []string
	var all sync.WaitGroup
	for c := range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", c, i)
				if err := s.write(context.Background(), mark(id)); err != nil {
					if !errors.Is(err, ErrUnavailable) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, id)
				mu.Unlock()
			}
		})
	}
	time.Sleep(30 * time.Millisecond)
	require.NoError(t, s.Close())
	all.Wait()
	require.NotEmpty(t, acknowledged)
	require.ElementsMatch(t, acknowledged, marks(t, open(t, path)))
}

// Times of writes rise even when the clock goes back.
func TestTimesRise(t *testing.T) {
	clock := []time.Time{received, received.Add(-time.Hour), received}
	i := 0
	s, err := OpenWith(context.Background(), filepath.Join(t.TempDir(), "q.db"), Options{Now: func() time.Time { i++; return clock[(i-1)%len(clock)] }})
	require.NoError(t, err)
	defer s.Close()
	var last time.Time
	for n := range 5 {
		c := say(t, s, qingting.Key{Tenant: "t", ID: fmt.Sprint(n)}).Conversation
		require.True(t, c.Updated.After(last), "%v after %v", c.Updated, last)
		last = c.Updated
	}
}

// TestUnavailable spoils the file in every way in which it cannot be written.
func TestUnavailable(t *testing.T) {
	ctx := context.Background()
	key := qingting.Key{Tenant: "t", ID: "c"}
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, s *Store) (mend func())
	}{
		{"full disk", func(t *testing.T, s *Store) func() {
			var pages int
			require.NoError(t, s.writer.Get(&pages, `PRAGMA page_count`))
			_, err := s.writer.Exec(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages))
			require.NoError(t, err)
			return func() {
				_, err := s.writer.Exec(`PRAGMA max_page_count = 4294967294`)
				require.NoError(t, err)
			}
		}},
		{"read-only", func(t *testing.T, s *Store) func() {
			_, err := s.writer.Exec(`PRAGMA query_only = on`)
			require.NoError(t, err)
			return func() {
				_, err := s.writer.Exec(`PRAGMA query_only = off`)
				require.NoError(t, err)
			}
		}},
		{"locked by another program", func(t *testing.T, s *Store) func() {
			_, err := s.writer.Exec(`PRAGMA busy_timeout = 50`)
			require.NoError(t, err)
			other := mustConnect(t, s.path)
			_, err = other.Exec(`BEGIN IMMEDIATE`)
			require.NoError(t, err)
			return func() {
				_, err := other.Exec(`ROLLBACK`)
				require.NoError(t, err)
				require.NoError(t, other.Close())
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := fresh(t)
			say(t, s, key, message("m0", 0, "还没发货"))
			mend := tt.spoil(t, s)
			big := message("", 0, "")
			for range 4000 {
				big.Text += "退"
			}
			// Many at once, so that they share a transaction; some may fit into
			// pages that are there, and then they are really kept.
			var mu sync.Mutex
			var all sync.WaitGroup
			failed := 0
			acknowledged := map[string]bool{"m0": true}
			for i := range 12 {
				all.Go(func() {
					m := big
					m.ID = fmt.Sprint("big", i)
					_, err := s.Append(ctx, AppendRequest{Conversation: qingting.Conversation{Tenant: "t", ID: "c"}, Messages: []qingting.StoredMessage{m}})
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						acknowledged[m.ID] = true
					} else if failed++; !errors.Is(err, ErrUnavailable) {
						t.Errorf("not unavailable: %v", err)
					}
				})
			}
			all.Wait()
			require.Positive(t, failed)
			kept, err := s.Messages(ctx, key)
			require.NoError(t, err, "reads go on")
			require.Len(t, kept, len(acknowledged), "nothing but what was acknowledged")
			for _, m := range kept {
				require.True(t, acknowledged[m.ID], m.ID)
			}
			mend()
			say(t, s, key, message("after", 0, "又好了"))
			require.NoError(t, s.Check(ctx))
		})
	}
}

func TestBackupBesideWriters(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	var mu sync.Mutex
	var acknowledged []string
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 32 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("m%d-%d", w, i)
				_, err := s.Append(ctx, AppendRequest{
					Conversation: qingting.Conversation{Tenant: "t", ID: fmt.Sprint("c", w)}, Messages: []qingting.StoredMessage{message(id, 0, "还没退款")},
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, id)
				mu.Unlock()
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	mu.Lock()
	before := append([]string{}, acknowledged...)
	mu.Unlock()
	path := filepath.Join(t.TempDir(), "备份 'a'.db")
	require.NoError(t, s.Backup(ctx, path))
	close(stop)
	writers.Wait()
	require.NotEmpty(t, before)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoFileExists(t, path+".partial")
	require.ErrorContains(t, s.Backup(ctx, path), "已经存在")

	copied := open(t, path)
	require.NoError(t, copied.Check(ctx))
	kept, err := list(ctx, copied.reader, scanOf[string], `SELECT id FROM messages`)
	require.NoError(t, err)
	require.Subset(t, kept, before)
	conversations, _, err := copied.Conversations(ctx, "t", ConversationFilter{}, "", 0)
	require.NoError(t, err)
	total := 0
	for _, c := range conversations {
		total += c.Messages
	}
	require.Equal(t, len(kept), total, "no half transaction")

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	other := filepath.Join(t.TempDir(), "b.db")
	require.Error(t, s.Backup(cancelled, other))
	require.NoFileExists(t, other)
	require.NoFileExists(t, other+".partial")
	require.ErrorContains(t, s.Backup(ctx, filepath.Join(t.TempDir(), "没有", "b.db")), "文件夹")
}

func TestCheckFindsDamage(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	require.NoError(t, s.Check(ctx))
	_, err := s.writer.Exec(`PRAGMA foreign_keys = off`)
	require.NoError(t, err)
	_, err = s.writer.Exec(`INSERT INTO analyses (tenant, conversation, version, body) VALUES ('t', '没有', 1, x'00')`)
	require.NoError(t, err)
	require.ErrorContains(t, s.Check(ctx), "analyses")
}

func TestForget(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	e, err := s.PutEndpoint(ctx, hook.Endpoint{Tenant: "t", Kind: hook.KindWebhook, URL: "https://example.com"})
	require.NoError(t, err)
	items := make([]hook.Item, 2*forgetLength+5)
	for i := range items {
		items[i] = hook.Item{Tenant: "t", ID: fmt.Sprintf("%05d", i), Endpoint: e.ID}
	}
	require.NoError(t, s.Post(ctx, items))
	now := time.Now().Add(time.Minute)
	_, err = s.writer.Exec(`UPDATE outbox SET state = CASE id WHEN '00000' THEN 'pending' WHEN '00001' THEN 'dead' ELSE 'done' END`)
	require.NoError(t, err)
	k := IdempotencyKey{"t", "p", "k"}
	_, _, err = s.BeginIdempotent(ctx, k, nil, now.Add(-25*time.Hour))
	require.NoError(t, err)
	_, _, err = s.BeginIdempotent(ctx, IdempotencyKey{"t", "p", "k2"}, nil, now.Add(-23*time.Hour))
	require.NoError(t, err)
	j, err := s.PutJob(ctx, Job{Tenant: "t", Kind: "import"})
	require.NoError(t, err)
	require.NoError(t, s.CancelJob(ctx, "t", j.ID))
	waits, err := s.PutJob(ctx, Job{Tenant: "t", Kind: "import"})
	require.NoError(t, err)

	n, err := s.Forget(ctx, now, now)
	require.NoError(t, err)
	require.Equal(t, 2*forgetLength+3+1+1, n)
	left, _, err := s.Outbox(ctx, "t", OutboxFilter{}, "", 0)
	require.NoError(t, err)
	require.Len(t, left, 2)
	_, err = s.Job(ctx, "t", waits.ID)
	require.NoError(t, err)
	stats, err := s.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, stats.Pending)
	require.Equal(t, 1, stats.Dead)
}

// Deliveries to nobody do not stay: what waits for an endpoint that is gone
// goes at once, what died before it as if it were settled, and what waits for a
// disabled one is dead when its schedule is over.
func TestForgetDeliveriesToNobody(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	now := time.Now()
	for _, id := range []string{"on", "off"} {
		putEndpoint(t, s, "t", id)
	}
	require.NoError(t, s.DisableEndpoint(ctx, "t", "off", "停用", now))
	putEndpoint(t, s, "u", "gone") // another tenant's does not count
	var items []hook.Item
	for _, endpoint := range []string{"on", "off", "gone"} {
		for age, created := range map[string]time.Time{"new": now, "day": now.Add(-24 * time.Hour), "old": now.Add(-97 * time.Hour), "dead": now.Add(-97 * time.Hour)} {
			items = append(items, hook.Item{Tenant: "t", ID: endpoint + " " + age, Endpoint: endpoint, Created: created, Payload: []byte("{}")})
		}
	}
	require.NoError(t, s.Post(ctx, items))
	_, err := s.writer.Exec(`UPDATE outbox SET state = 'dead', updated_at = created_at WHERE id LIKE '% dead'`)
	require.NoError(t, err)
	n, err := s.Forget(ctx, now, now.Add(-30*24*time.Hour))
	require.NoError(t, err)
	require.Equal(t, 3+1, n)
	left := func() (out []string) {
		got, _, err := s.Outbox(ctx, "t", OutboxFilter{}, "", 0)
		require.NoError(t, err)
		for _, o := range got {
			out = append(out, o.ID+" "+string(o.State))
		}
		return out
	}
	stay := []string{"on new pending", "on day pending", "on old pending", "on dead dead", "off new pending", "off day pending", "off old dead", "off dead dead"}
	require.ElementsMatch(t, append([]string{"gone dead dead"}, stay...), left())
	n, err = s.Forget(ctx, now, now.Add(-96*time.Hour))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.ElementsMatch(t, stay, left())
}

// lock lets another connection hold the file.
func lock(t *testing.T, s *Store) (release func()) {
	t.Helper()
	other := mustConnect(t, s.path)
	_, err := other.Exec(`BEGIN IMMEDIATE`)
	require.NoError(t, err)
	release = sync.OnceFunc(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	return release
}

// Those who queue while the file is locked wait once, together, and not batch
// after batch; and afterwards they write again.
func TestLockedFileAnswersAll(t *testing.T) {
	s := fresh(t)
	const patience = time.Second
	_, err := s.writer.Exec(fmt.Sprintf(`PRAGMA busy_timeout = %d`, patience.Milliseconds()))
	require.NoError(t, err)
	s.writes.limit = 5
	release := lock(t, s)
	started := time.Now()
	errs := make([]error, 50)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = s.write(context.Background(), mark(fmt.Sprint(i))) })
	}
	all.Wait()
	took := time.Since(started)
	t.Logf("50 writers were refused after %v", took)
	require.GreaterOrEqual(t, took, patience*9/10)
	require.Less(t, took, patience*9/5, "one wait, not eleven")
	for _, err := range errs {
		require.ErrorIs(t, err, ErrUnavailable)
	}
	require.EqualValues(t, 50, s.writes.failed.Load())
	release()
	require.NoError(t, s.write(context.Background(), mark("later")))
	require.Equal(t, []string{"later"}, marks(t, s))
}

// A note does not keep its caller waiting, and may be written yet.
func TestNoteDoesNotWait(t *testing.T) {
	s := fresh(t)
	release := lock(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	started := time.Now()
	require.ErrorIs(t, s.note(ctx, mark("a")), context.DeadlineExceeded)
	require.Less(t, time.Since(started), time.Second)
	release()
	require.Eventually(t, func() bool { return len(marks(t, s)) == 1 }, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, s.note(context.Background(), mark("b")))
	require.Equal(t, []string{"a", "b"}, marks(t, s))
}
