package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
)

func putEndpoint(t *testing.T, s *Store, tenant, id string) hook.Endpoint {
	t.Helper()
	e, err := s.PutEndpoint(context.Background(), hook.Endpoint{
		Tenant: tenant, ID: id, Name: "质检", Kind: hook.KindWebhook, URL: "https://example.com/h?k=1", Secret: []byte("whsec_x"),
		Events: []qingting.EventType{qingting.EventAlertRaised}, Teams: []string{"华东"},
	})
	require.NoError(t, err)
	return e
}

func TestOutboxLife(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	putEndpoint(t, s, "t", "e1")
	putEndpoint(t, s, "t", "e2")
	now := received
	item := func(id, endpoint string, next time.Time) hook.Item {
		return hook.Item{
			Tenant: "t", ID: id, Event: "ev" + id, Type: qingting.EventAlertRaised, Endpoint: endpoint, Conversation: "c", Seq: 3,
			Payload: []byte(`{"a":1}`), Next: next, Created: now,
		}
	}
	require.NoError(t, s.Post(ctx, []hook.Item{item("b", "e1", now), item("a", "e1", now), item("late", "e1", now.Add(time.Hour)), item("c", "e1", now.Add(-time.Second))}))
	require.ErrorContains(t, s.Post(ctx, []hook.Item{item("new", "e1", now), item("a", "e1", now)}), "UNIQUE")
	ready, err := s.ReadyEndpoints(ctx, now)
	require.NoError(t, err)
	require.Len(t, ready, 1)
	require.Equal(t, "e1", ready[0].ID)
	ready, err = s.ReadyEndpoints(ctx, now.Add(-time.Minute))
	require.NoError(t, err)
	require.Empty(t, ready)

	claimed, err := s.ClaimOutbox(ctx, "t", "e1", now, time.Minute, 2)
	require.NoError(t, err)
	require.Len(t, claimed, 2)
	require.Equal(t, "c", claimed[0].ID)
	require.Equal(t, "a", claimed[1].ID)
	kept, err := s.OutboxItem(ctx, "t", "c")
	require.NoError(t, err)
	require.Equal(t, claimed[0], kept)
	require.Equal(t, 1, kept.Attempts)
	require.Equal(t, now.Add(time.Minute), kept.Next)
	require.Equal(t, `{"a":1}`, string(kept.Payload))

	// Settled in three ways; the fourth was never claimed.
	require.NoError(t, s.OutboxDone(ctx, claimed[0], 204, now.Add(time.Second)))
	require.NoError(t, s.OutboxRetry(ctx, claimed[1], now.Add(5*time.Second), 503, "接收方忙", now.Add(time.Second)))
	require.ErrorIs(t, s.OutboxDone(ctx, claimed[0], 200, now), ErrConflict, "it is settled")
	kept, err = s.OutboxItem(ctx, "t", "c")
	require.NoError(t, err)
	require.Empty(t, kept.Payload, "what customers said has arrived and is kept no longer")
	require.Equal(t, 204, kept.Status)
	kept, err = s.OutboxItem(ctx, "t", "a")
	require.NoError(t, err)
	require.Equal(t, `{"a":1}`, string(kept.Payload), "it is sent again")
	claimed, err = s.ClaimOutbox(ctx, "t", "e1", now, time.Minute, 10)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	require.Equal(t, "b", claimed[0].ID)
	require.NoError(t, s.OutboxDead(ctx, claimed[0], 0, "连不上", now.Add(2*time.Second)))

	// A claim that was lost is claimed again when the lease ends; the first
	// claimant has nothing to say any more.
	first, err := s.ClaimOutbox(ctx, "t", "e1", now.Add(5*time.Second), time.Minute, 10)
	require.NoError(t, err)
	require.Len(t, first, 1)
	require.Equal(t, 2, first[0].Attempts)
	second, err := s.ClaimOutbox(ctx, "t", "e1", now.Add(64*time.Second), time.Minute, 10)
	require.NoError(t, err)
	require.Empty(t, second)
	second, err = s.ClaimOutbox(ctx, "t", "e1", now.Add(65*time.Second), time.Minute, 10)
	require.NoError(t, err)
	require.Len(t, second, 1)
	require.ErrorIs(t, s.OutboxDone(ctx, first[0], 200, now), ErrConflict)
	require.NoError(t, s.OutboxDone(ctx, second[0], 200, now))

	n, err := s.ReplayOutbox(ctx, "t", []string{"b", "c", "late", "没有"}, now.Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, 1, n, "only what is dead")
	kept, err = s.OutboxItem(ctx, "t", "b")
	require.NoError(t, err)
	require.Equal(t, hook.StatePending, kept.State)
	require.Zero(t, kept.Attempts)
	require.Empty(t, kept.Error)
	require.Equal(t, `{"a":1}`, string(kept.Payload))
	require.Equal(t, now.Add(time.Minute), kept.Created)

	n, err = s.ExpireOutbox(ctx, "t", "e1", now.Add(time.Second), "过了期限", now)
	require.NoError(t, err)
	require.Equal(t, 1, n, "late, but not what was replayed")

	require.NoError(t, s.DisableEndpoint(ctx, "t", "e1", "接收方不再接收", now))
	require.NoError(t, s.DisableEndpoint(ctx, "t", "没有", "", now))
	ready, err = s.ReadyEndpoints(ctx, now.Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, ready)
	require.NoError(t, s.DeleteEndpoint(ctx, "t", "e1"))
	require.ErrorIs(t, s.DeleteEndpoint(ctx, "t", "e1"), qingting.ErrNotFound)
	for _, tt := range []struct {
		filter OutboxFilter
		want   string
	}{
		{OutboxFilter{State: hook.StateDead}, "late "}, // b was waiting
		{OutboxFilter{State: hook.StatePending}, ""},
		{OutboxFilter{State: hook.StateDone}, "c a "},
		{OutboxFilter{Endpoint: "e1"}, "late c a "},
		{OutboxFilter{Endpoint: "e2"}, ""},
		{OutboxFilter{Conversation: "c", Type: qingting.EventAlertRaised}, "late c a "},
		{OutboxFilter{Type: "x"}, ""},
	} {
		got, cursor := "", ""
		for {
			page, next, err := s.Outbox(ctx, "t", tt.filter, cursor, 1)
			require.NoError(t, err)
			for _, o := range page {
				got += o.ID + " "
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		require.Equal(t, tt.want, got, "%+v", tt.filter)
	}
	n, err = s.ReplayOutbox(ctx, "t", []string{"late"}, now)
	require.NoError(t, err)
	require.Zero(t, n, "nobody is there to get it")
}

// Several senders claim at once: no item goes to two of them.
func TestClaimsDoNotOverlap(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	items := make([]hook.Item, 100)
	for i := range items {
		items[i] = hook.Item{Tenant: "t", ID: fmt.Sprint(i), Endpoint: "e"}
	}
	require.NoError(t, s.Post(ctx, items))
	now := time.Now().Add(time.Minute)
	var mu sync.Mutex
	seen := map[string]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				got, err := s.ClaimOutbox(ctx, "t", "e", now, time.Hour, 7)
				if err != nil {
					t.Error(err)
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, o := range got {
					seen[o.ID]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Len(t, seen, 100)
	for id, n := range seen {
		require.Equal(t, 1, n, id)
	}
}

func TestEndpoints(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	e := putEndpoint(t, s, "t", "")
	require.NotEmpty(t, e.ID)
	require.EqualValues(t, 1, e.Version)
	kept, err := s.Endpoint(ctx, "t", e.ID)
	require.NoError(t, err)
	require.Equal(t, e, kept)
	again := e
	again.Version = 0
	_, err = s.PutEndpoint(ctx, again)
	require.ErrorIs(t, err, ErrConflict)
	e.Name, e.Events, e.Secret = "改了", nil, nil
	changed, err := s.PutEndpoint(ctx, e)
	require.NoError(t, err)
	require.Equal(t, "改了", changed.Name)
	require.Empty(t, changed.Events)
	require.EqualValues(t, 2, changed.Version)
	_, err = s.PutEndpoint(ctx, e)
	require.ErrorIs(t, err, ErrConflict)
	e.ID = "没有"
	_, err = s.PutEndpoint(ctx, e)
	require.ErrorIs(t, err, qingting.ErrNotFound)
	putEndpoint(t, s, "u", "x")
	of, err := s.Endpoints(ctx, "t")
	require.NoError(t, err)
	require.Len(t, of, 1)
	all, err := s.AllEndpoints(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2)
}

func TestPeople(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	yes, err := s.Established(ctx)
	require.NoError(t, err)
	require.False(t, yes)
	east := access.Team{Tenant: "t", ID: "east", Name: "华东", Created: received}
	sub := access.Team{Tenant: "t", ID: "east-1", Name: "一组", Parent: "east", Created: received}
	require.NoError(t, s.AddTeam(ctx, east))
	require.ErrorIs(t, s.AddTeam(ctx, east), access.ErrTaken)
	require.NoError(t, s.AddTeam(ctx, sub))
	sub.Name = "二组"
	require.NoError(t, s.ChangeTeam(ctx, sub))
	teams, err := s.Teams(ctx, "t")
	require.NoError(t, err)
	require.Equal(t, []access.Team{east, sub}, teams)
	require.ErrorIs(t, s.DeleteTeam(ctx, "t", "east"), ErrConflict, "a team below it")

	u := access.User{
		Tenant: "t", ID: "u1", Login: "zhang", Name: "小张", Role: access.RoleAgent, Team: "east-1", Password: "$argon2id$x", Created: received, Updated: received,
	}
	require.NoError(t, s.AddUser(ctx, u))
	elsewhere := u
	elsewhere.Tenant = "u"
	require.ErrorIs(t, s.AddUser(ctx, elsewhere), access.ErrTaken, "a login is one of its kind")
	require.ErrorIs(t, s.DeleteTeam(ctx, "t", "east-1"), ErrConflict, "somebody is in it")
	u.Role, u.Team, u.Disabled, u.Password = access.RoleAdmin, "", true, ""
	require.NoError(t, s.ChangeUser(ctx, u))
	got, err := s.User(ctx, "t", "u1")
	require.NoError(t, err)
	require.Equal(t, u, got)
	got, err = s.UserByLogin(ctx, "zhang")
	require.NoError(t, err)
	require.Equal(t, u, got)
	_, err = s.UserByLogin(ctx, "ZHANG")
	require.ErrorIs(t, err, qingting.ErrNotFound)
	require.NoError(t, s.DeleteTeam(ctx, "t", "east-1"))
	require.ErrorIs(t, s.DeleteTeam(ctx, "t", "east-1"), qingting.ErrNotFound)
	yes, err = s.Established(ctx)
	require.NoError(t, err)
	require.True(t, yes, "a disabled user counts")

	expires := received.Add(time.Hour)
	k := access.Key{
		Tenant: "t", ID: "k1", Name: "网关", Start: "qt_abc", Hash: "ff", Scopes: []access.Scope{access.ScopeIngest}, Team: "east", Expires: &expires, By: "u1", Created: received,
	}
	require.NoError(t, s.AddKey(ctx, k))
	require.ErrorIs(t, s.AddKey(ctx, k), access.ErrTaken)
	k.Scopes, k.Expires, k.Disabled, k.Name = []access.Scope{}, nil, true, "新"
	require.NoError(t, s.ChangeKey(ctx, k))
	used := received.Add(time.Minute)
	k.Used = &used
	require.NoError(t, s.UseKey(ctx, "t", "k1", used))
	byHash, err := s.KeyByHash(ctx, "ff")
	require.NoError(t, err)
	require.Equal(t, k, byHash)
	keys, err := s.Keys(ctx, "t")
	require.NoError(t, err)
	require.Equal(t, []access.Key{k}, keys)
	_, err = s.KeyByHash(ctx, "")
	require.ErrorIs(t, err, qingting.ErrNotFound)
}

func TestAttempts(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	const window = 15 * time.Minute
	try := func(at time.Time, subjects ...string) (time.Time, bool) {
		earliest, allowed, err := s.Attempt(ctx, subjects, at, at.Add(-window), 2)
		require.NoError(t, err)
		return earliest, allowed
	}
	_, ok := try(received, "login:a", "ip:1")
	require.True(t, ok)
	_, ok = try(received.Add(time.Minute), "login:b", "ip:1")
	require.True(t, ok)
	earliest, ok := try(received.Add(2*time.Minute), "login:a", "ip:1")
	require.False(t, ok, "the address has two")
	require.Equal(t, received, earliest)
	_, ok = try(received.Add(2*time.Minute), "login:a")
	require.True(t, ok, "what is refused is not noted")
	require.NoError(t, s.Forgive(ctx, []string{"ip:1"}, received.Add(time.Minute)))
	_, ok = try(received.Add(3*time.Minute), "ip:1")
	require.True(t, ok)
	require.NoError(t, s.Forgive(ctx, []string{"login:a"}, time.Time{}))
	_, ok = try(received.Add(3*time.Minute), "login:a")
	require.True(t, ok)
	_, ok = try(received.Add(window), "ip:1")
	require.True(t, ok, "the first is over")

	var mu sync.Mutex
	allowed := 0
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, ok, err := s.Attempt(ctx, []string{"login:x"}, received, received.Add(-window), 5)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if ok {
				allowed++
			}
		})
	}
	all.Wait()
	require.Equal(t, 5, allowed)
}

func TestSessionsAndTickets(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	later := time.Now().Add(time.Hour)
	require.NoError(t, s.PutSession(ctx, "live", []byte("a"), later))
	require.NoError(t, s.PutSession(ctx, "live", []byte("b"), later))
	require.NoError(t, s.PutSession(ctx, "over", []byte("c"), time.Now().Add(-time.Second)))
	data, found, err := s.FindSession(ctx, "live")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "b", string(data))
	_, found, err = s.FindSession(ctx, "over")
	require.NoError(t, err)
	require.False(t, found)
	ticket := access.Ticket{Hash: "h", Principal: access.Principal{Tenant: "t", Kind: access.KindUser, ID: "u1", Scopes: []access.Scope{access.ScopeAssist}}, Expires: time.UnixMicro(later.UnixMicro()).UTC()}
	require.NoError(t, s.AddTicket(ctx, ticket))
	old := ticket
	old.Hash, old.Expires = "old", received
	require.NoError(t, s.AddTicket(ctx, old))
	require.NoError(t, s.ForgetExpired(ctx, time.Now()))
	_, err = s.TakeTicket(ctx, "old")
	require.ErrorIs(t, err, qingting.ErrNotFound)

	var mu sync.Mutex
	var got []access.Ticket
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			one, err := s.TakeTicket(ctx, "h")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got = append(got, one)
			} else if !errors.Is(err, qingting.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, []access.Ticket{ticket}, got, "once")
	require.NoError(t, s.DeleteSession(ctx, "live"))
	_, found, err = s.FindSession(ctx, "live")
	require.NoError(t, err)
	require.False(t, found)
}

func TestJobs(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	now := time.Now()
	_, err := s.ClaimJob(ctx, "import", now, time.Minute)
	require.ErrorIs(t, err, qingting.ErrNotFound)
	first, err := s.PutJob(ctx, Job{Tenant: "t", Kind: "import", Request: []byte("x"), Total: 3, By: "u1"})
	require.NoError(t, err)
	require.Equal(t, JobQueued, first.State)
	_, err = s.PutJob(ctx, first)
	require.ErrorIs(t, err, ErrConflict)
	second, err := s.PutJob(ctx, Job{Tenant: "u", ID: "second", Kind: "import"})
	require.NoError(t, err)
	_, err = s.PutJob(ctx, Job{Tenant: "t", Kind: "eval"})
	require.NoError(t, err)

	a, err := s.ClaimJob(ctx, "import", now, time.Minute)
	require.NoError(t, err)
	require.Equal(t, first.ID, a.ID)
	require.Equal(t, JobRunning, a.State)
	b, err := s.ClaimJob(ctx, "import", now, time.Minute)
	require.NoError(t, err)
	require.Equal(t, second.ID, b.ID)
	_, err = s.ClaimJob(ctx, "import", now, time.Minute)
	require.ErrorIs(t, err, qingting.ErrNotFound)
	a.Total, a.Done, a.Failed = 4, 2, 1
	require.NoError(t, s.JobProgress(ctx, a, now.Add(50*time.Second), time.Minute))
	// The lease of b ended, that of a was prolonged.
	taken, err := s.ClaimJob(ctx, "import", now.Add(time.Minute), time.Minute)
	require.NoError(t, err)
	require.Equal(t, b.ID, taken.ID)
	require.Equal(t, 2, taken.Attempts)
	b.State = JobDone
	require.ErrorIs(t, s.FinishJob(ctx, b), ErrConflict)
	require.ErrorIs(t, s.JobProgress(ctx, b, now, time.Minute), ErrConflict)
	a.State, a.Result, a.Done, a.Error = JobDone, []byte("r"), 4, "一行读不了"
	require.NoError(t, s.FinishJob(ctx, a))
	got, err := s.Job(ctx, "t", a.ID)
	require.NoError(t, err)
	a.Updated = got.Updated
	require.Equal(t, a, got)
	a.State = JobRunning
	require.Error(t, s.FinishJob(ctx, a))
	require.ErrorIs(t, s.CancelJob(ctx, "t", a.ID), ErrConflict)
	require.ErrorIs(t, s.CancelJob(ctx, "t", "没有"), qingting.ErrNotFound)
	require.NoError(t, s.CancelJob(ctx, "u", taken.ID))
	require.ErrorIs(t, s.JobProgress(ctx, taken, now, time.Minute), ErrConflict)

	all, next, err := s.Jobs(ctx, "t", "", "", 1)
	require.NoError(t, err)
	require.Equal(t, "eval", all[0].Kind)
	all, next, err = s.Jobs(ctx, "t", "", next, 1)
	require.NoError(t, err)
	require.Equal(t, a.ID, all[0].ID)
	require.Empty(t, next)
	all, _, err = s.Jobs(ctx, "t", "import", "", 0)
	require.NoError(t, err)
	require.Len(t, all, 1)
}

func TestIdempotency(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	k := IdempotencyKey{Tenant: "t", Principal: "key:1", Key: "abc"}
	begin := func(k IdempotencyKey, hash string, after time.Duration) (IdempotencyState, StoredReply) {
		state, reply, err := s.BeginIdempotent(ctx, k, []byte(hash), received.Add(after))
		require.NoError(t, err)
		return state, reply
	}
	state, _ := begin(k, "h", 0)
	require.Equal(t, IdempotencyNew, state)
	state, _ = begin(k, "h", time.Second)
	require.Equal(t, IdempotencyInFlight, state)
	state, _ = begin(k, "other", time.Second)
	require.Equal(t, IdempotencyMismatch, state)
	other := k
	other.Principal = "key:2"
	state, _ = begin(other, "other", 0)
	require.Equal(t, IdempotencyNew, state)
	require.NoError(t, s.ForgetIdempotent(ctx, k))
	state, _ = begin(k, "h2", time.Second)
	require.Equal(t, IdempotencyNew, state)
	state, _ = begin(k, "h2", time.Second+flightFor)
	require.Equal(t, IdempotencyNew, state, "whoever had it has died")
	require.NoError(t, s.FinishIdempotent(ctx, k, StoredReply{Status: 201, Body: []byte(`{}`)}))
	require.NoError(t, s.ForgetIdempotent(ctx, k))
	state, reply := begin(k, "h2", 2*time.Hour)
	require.Equal(t, IdempotencyStored, state)
	require.Equal(t, StoredReply{201, []byte(`{}`)}, reply)
	state, reply = begin(k, "h", 2*time.Hour)
	require.Equal(t, IdempotencyMismatch, state)
	require.Zero(t, reply)
	state, _ = begin(k, "h", 25*time.Hour)
	require.Equal(t, IdempotencyNew, state)
	require.ErrorIs(t, s.FinishIdempotent(ctx, IdempotencyKey{Tenant: "t"}, StoredReply{Status: 200}), qingting.ErrNotFound)
	require.Error(t, s.FinishIdempotent(ctx, k, StoredReply{}))

	var mu sync.Mutex
	counts := map[IdempotencyState]int{}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			state, _, err := s.BeginIdempotent(ctx, IdempotencyKey{"t", "p", "race"}, []byte("h"), received)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			counts[state]++
		})
	}
	all.Wait()
	require.Equal(t, map[IdempotencyState]int{IdempotencyNew: 1, IdempotencyInFlight: 15}, counts)
}
