package access_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "一个足够长的测试密码啊啊"

// clock is a time that a test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) forward(d time.Duration) { c.at.Add(d.Microseconds()) }

func newGuard(t *testing.T, local bool) (*access.Guard, *clock) {
	t.Helper()
	return guardOf(t, filepath.Join(t.TempDir(), "q.db"), local)
}

func guardOf(t *testing.T, path string, local bool) (*access.Guard, *clock) {
	t.Helper()
	kept, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	c := &clock{}
	c.at.Store(time.Now().UnixMicro())
	g, err := access.New(kept, access.Options{Local: local, Now: c.now})
	require.NoError(t, err)
	return g, c
}

func addUser(t *testing.T, g *access.Guard, login string, role access.Role, team string) access.User {
	t.Helper()
	u, err := g.NewUser(t.Context(), access.User{Tenant: "default", Login: login, Name: login, Role: role, Team: team}, password)
	require.NoError(t, err)
	return u
}

func TestKeys(t *testing.T) {
	g, c := newGuard(t, false)
	ctx := t.Context()
	until := c.now().Add(time.Hour)
	k, secret, err := g.NewKey(ctx, access.Key{Tenant: "default", Name: "接入", Scopes: []access.Scope{access.ScopeIngest}, Expires: &until})
	require.NoError(t, err)
	require.Regexp(t, `^qt_[a-z2-7]{26}$`, secret, "130 bits")
	require.True(t, strings.HasPrefix(secret, k.Start))
	require.NotContains(t, k.Hash, secret[3:])
	p, err := g.Key(ctx, secret)
	require.NoError(t, err)
	require.Equal(t, &access.Principal{Tenant: "default", Kind: access.KindKey, ID: k.ID, Name: "接入", Scopes: k.Scopes}, p)
	used, err := g.Store().Key(ctx, "default", k.ID)
	require.NoError(t, err)
	require.Equal(t, c.now(), *used.Used)

	c.forward(time.Hour - time.Microsecond)
	_, err = g.Key(ctx, secret)
	require.NoError(t, err)
	c.forward(time.Microsecond)
	_, err = g.Key(ctx, secret)
	require.ErrorIs(t, err, access.ErrDenied, "expired to the microsecond")

	k, secret, err = g.NewKey(ctx, access.Key{Tenant: "default", Name: "二", Scopes: []access.Scope{access.ScopeEval}})
	require.NoError(t, err)
	k.Disabled = true
	require.NoError(t, g.Store().ChangeKey(ctx, k))
	_, err = g.Key(ctx, secret)
	require.ErrorIs(t, err, access.ErrDenied)
	require.NoError(t, g.Store().UseKey(ctx, "default", k.ID, c.now()), "a use that was under way")
	_, err = g.Key(ctx, secret)
	require.ErrorIs(t, err, access.ErrDenied, "does not enable it again")

	past := c.now()
	for _, bad := range []access.Key{{Name: "三"}, {Name: "三", Scopes: []access.Scope{"root"}}, {Name: " ", Scopes: []access.Scope{access.ScopeEval}}, {Name: "三", Scopes: []access.Scope{access.ScopeEval, access.ScopeEval}}, {Name: "三", Scopes: []access.Scope{access.ScopeEval}, Expires: &past}, {Name: "三", Scopes: []access.Scope{access.ScopeEval}, Team: "没有"}, {Name: "三", Scopes: []access.Scope{access.ScopeEval, access.ScopeAdmin}, Team: "东"}} {
		_, _, err := g.NewKey(ctx, bad)
		require.ErrorIs(t, err, qingting.ErrInvalid)
	}
}

// TestKeysAreRemembered: a second's requests cost one read, and a key that was
// revoked works a second longer at most.
func TestKeysAreRemembered(t *testing.T) {
	kept, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "q.db"))
	require.NoError(t, err)
	defer kept.Close()
	c, counted := &clock{}, &countingStore{Store: kept}
	c.at.Store(time.Now().UnixMicro())
	g, err := access.New(counted, access.Options{Now: c.now})
	require.NoError(t, err)
	until := c.now().Add(10 * time.Second)
	k, secret, err := g.NewKey(t.Context(), access.Key{Tenant: "default", Name: "接入", Scopes: []access.Scope{access.ScopeIngest}, Expires: &until})
	require.NoError(t, err)
	for range 1000 {
		p, err := g.Key(t.Context(), secret)
		require.NoError(t, err)
		require.Equal(t, access.ScopeIngest, p.Scopes[0])
		p.Scopes[0] = "root" // whoever changes his own changes nobody else's
	}
	require.EqualValues(t, 1, counted.reads.Load())
	require.EqualValues(t, 1, counted.uses.Load())
	k.Disabled = true
	require.NoError(t, kept.ChangeKey(t.Context(), k))
	c.forward(access.KeyMemory - time.Microsecond)
	_, err = g.Key(t.Context(), secret)
	require.NoError(t, err)
	c.forward(time.Microsecond)
	_, err = g.Key(t.Context(), secret)
	require.ErrorIs(t, err, access.ErrDenied)
	k.Disabled = false
	require.NoError(t, kept.ChangeKey(t.Context(), k))
	c.forward(9*time.Second - time.Microsecond)
	_, err = g.Key(t.Context(), secret)
	require.NoError(t, err)
	c.forward(time.Microsecond)
	_, err = g.Key(t.Context(), secret)
	require.ErrorIs(t, err, access.ErrDenied, "what is remembered expires to the microsecond too")
	for i := range 5000 { // strangers are not remembered
		_, err := g.Key(t.Context(), fmt.Sprintf("qt_%d", i))
		require.ErrorIs(t, err, access.ErrDenied)
	}
}

// countingStore counts what keys cost.
type countingStore struct {
	access.Store
	reads, uses atomic.Int64
}

func (s *countingStore) KeyByHash(ctx context.Context, hash string) (access.Key, error) {
	s.reads.Add(1)
	return s.Store.KeyByHash(ctx, hash)
}

func (s *countingStore) UseKey(ctx context.Context, tenant, id string, at time.Time) error {
	s.uses.Add(1)
	return s.Store.UseKey(ctx, tenant, id, at)
}

// TestLockedFile: while another program holds the file, known keys and sessions
// still get in without delay, though their use is due to be written; and it is
// written afterwards.
func TestLockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.db")
	g, c := guardOf(t, path, false)
	addUser(t, g, "zhang.san", access.RoleAgent, "")
	cookie, err := login(t, g, "zhang.san", password, "a")
	require.NoError(t, err)
	k, secret, err := g.NewKey(t.Context(), access.Key{Tenant: "default", Name: "接入", Scopes: []access.Scope{access.ScopeIngest}})
	require.NoError(t, err)
	other, err := sql.Open("sqlite3", path)
	require.NoError(t, err)
	defer other.Close()
	other.SetMaxOpenConns(1)
	expiry := func() (at int64) {
		require.NoError(t, other.QueryRow(`SELECT expires_at FROM sessions`).Scan(&at))
		return at
	}
	first := expiry()
	_, err = g.Session(t.Context(), cookie.Value)
	require.NoError(t, err)
	require.Equal(t, first, expiry(), "nearly all of its time is left: nothing is written")

	c.forward(6 * time.Minute)
	_, err = other.Exec(`BEGIN IMMEDIATE`)
	require.NoError(t, err)
	var slowest time.Duration
	for range 20 {
		started := time.Now()
		_, err := g.Session(t.Context(), cookie.Value)
		require.NoError(t, err)
		slowest = max(slowest, time.Since(started))
		started = time.Now()
		_, err = g.Key(t.Context(), secret)
		require.NoError(t, err)
		slowest = max(slowest, time.Since(started))
	}
	t.Logf("the slowest of 40 took %v", slowest)
	require.Less(t, slowest, 100*time.Millisecond)
	_, err = other.Exec(`ROLLBACK`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return expiry() > first }, 5*time.Second, 5*time.Millisecond)
	c.forward(time.Minute)
	_, err = g.Key(t.Context(), secret)
	require.NoError(t, err)
	used, err := g.Store().Key(t.Context(), "default", k.ID)
	require.NoError(t, err)
	require.Equal(t, c.now(), *used.Used)
}

func TestPasswords(t *testing.T) {
	g, _ := newGuard(t, false)
	u := addUser(t, g, "zhang.san", access.RoleAgent, "")
	require.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$`, u.Password)
	again := addUser(t, g, "li.si", access.RoleAgent, "")
	require.NotEqual(t, u.Password, again.Password, "a salt of its own")
	_, err := g.NewUser(t.Context(), access.User{Tenant: "other", Login: "Zhang.San ", Name: "三", Role: access.RoleAgent}, password)
	require.ErrorIs(t, err, access.ErrTaken, "one login in the whole installation")
	for _, bad := range []string{"", "12345678901", strings.Repeat("好", 12), strings.Repeat("长", 129), "wang.wu12345", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		require.ErrorIs(t, access.CheckPassword("wang.wu", bad), qingting.ErrInvalid, bad)
	}
	for _, bad := range []access.User{{Login: "a"}, {Login: "有 空格"}, {Login: "wang.wu", Name: "王五", Role: "boss"}, {Login: "wang.wu", Role: access.RoleAgent}, {Login: "wang.wu", Name: "王\n五", Role: access.RoleAgent}} {
		_, err := g.NewUser(t.Context(), bad, password)
		require.ErrorIs(t, err, qingting.ErrInvalid)
	}
}

func login(t *testing.T, g *access.Guard, name, password, address string) (*http.Cookie, error) {
	t.Helper()
	w := httptest.NewRecorder()
	_, err := g.Login(t.Context(), w, name, password, address)
	if err != nil {
		require.Empty(t, w.Result().Cookies())
		return nil, err
	}
	return w.Result().Cookies()[0], nil
}

func TestSessions(t *testing.T) {
	g, _ := newGuard(t, false)
	u := addUser(t, g, "zhang.san", access.RoleAgent, "")
	cookie, err := login(t, g, "ZHANG.SAN", password, "a")
	require.NoError(t, err)
	p, err := g.Session(t.Context(), cookie.Value)
	require.NoError(t, err)
	require.Equal(t, u.ID, p.ID)
	for _, bad := range []string{"", "x", cookie.Value[1:]} {
		_, err := g.Session(t.Context(), bad)
		require.ErrorIs(t, err, access.ErrDenied)
	}
	other, err := login(t, g, "zhang.san", password, "a")
	require.NoError(t, err)
	require.NotEqual(t, cookie.Value, other.Value)
	require.NoError(t, g.Logout(t.Context(), httptest.NewRecorder(), cookie.Value))
	_, err = g.Session(t.Context(), cookie.Value)
	require.ErrorIs(t, err, access.ErrDenied)

	// A new role ends the others, so that nobody goes on with more than he has.
	u.Role = access.RoleSupervisor
	_, err = g.ChangeUser(t.Context(), u, "")
	require.NoError(t, err)
	_, err = g.Session(t.Context(), other.Value)
	require.ErrorIs(t, err, access.ErrDenied)
	cookie, err = login(t, g, "zhang.san", password, "a")
	require.NoError(t, err)
	u.Disabled = true
	_, err = g.ChangeUser(t.Context(), u, "")
	require.NoError(t, err)
	_, err = g.Session(t.Context(), cookie.Value)
	require.ErrorIs(t, err, access.ErrDenied)
	_, err = login(t, g, "zhang.san", password, "a")
	require.ErrorIs(t, err, access.ErrDenied, "disabled")
}

func TestThrottle(t *testing.T) {
	g, c := newGuard(t, false)
	addUser(t, g, "zhang.san", access.RoleAgent, "")
	for range 20 { // right ones are never counted against anybody
		_, err := login(t, g, "zhang.san", password, "a")
		require.NoError(t, err)
	}
	for range access.LoginLimit {
		_, err := login(t, g, "zhang.san", "错", "b")
		require.ErrorIs(t, err, access.ErrDenied)
	}
	var wait *access.ThrottledError
	_, err := login(t, g, "zhang.san", password, "c")
	require.ErrorAs(t, err, &wait)
	require.InDelta(t, access.LoginWindow.Seconds(), wait.Retry.Seconds(), 1)
	_, err = login(t, g, "li.si", password, "b")
	require.ErrorAs(t, err, &wait, "the address is at its limit too")
	c.forward(access.LoginWindow)
	_, err = login(t, g, "zhang.san", password, "b")
	require.NoError(t, err)

	// Many at once are no way around it.
	var group sync.WaitGroup
	var denied, throttled atomic.Int64
	for range 20 {
		group.Go(func() {
			_, err := g.Login(context.Background(), httptest.NewRecorder(), "li.si", "错错错", "d")
			if _, ok := err.(*access.ThrottledError); ok {
				throttled.Add(1)
			} else if err == access.ErrDenied {
				denied.Add(1)
			}
		})
	}
	group.Wait()
	require.Equal(t, int64(access.LoginLimit), denied.Load())
	require.Equal(t, int64(20-access.LoginLimit), throttled.Load())
}

func TestTickets(t *testing.T) {
	g, c := newGuard(t, false)
	p := &access.Principal{Tenant: "default", Kind: access.KindUser, ID: "us_1", Role: access.RoleAgent, Team: "东"}
	ticket, expires, err := g.NewTicket(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, c.now().Add(30*time.Second), expires)
	got, err := g.Ticket(t.Context(), ticket)
	require.NoError(t, err)
	require.Equal(t, p, got)
	_, err = g.Ticket(t.Context(), ticket)
	require.ErrorIs(t, err, access.ErrDenied, "once")
	ticket, _, err = g.NewTicket(t.Context(), p)
	require.NoError(t, err)
	c.forward(access.TicketLife)
	_, err = g.Ticket(t.Context(), ticket)
	require.ErrorIs(t, err, access.ErrDenied, "late")
}

func TestLocalAdmin(t *testing.T) {
	for local, want := range map[bool]bool{true: true, false: false} {
		g, _ := newGuard(t, local)
		open, err := g.Open(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, open)
		k, _, err := g.NewKey(t.Context(), access.Key{Tenant: "default", Name: "一", Scopes: []access.Scope{access.ScopeEval}})
		require.NoError(t, err)
		open, err = g.Open(t.Context())
		require.NoError(t, err)
		require.False(t, open, "a key exists")
		k.Disabled = true
		require.NoError(t, g.Store().ChangeKey(t.Context(), k))
		open, err = g.Open(t.Context())
		require.NoError(t, err)
		require.False(t, open, "and is not forgotten")
	}
}

func TestReach(t *testing.T) {
	g, _ := newGuard(t, false)
	ctx := t.Context()
	for _, team := range [][2]string{{"总部", ""}, {"东", "总部"}, {"东一", "东"}, {"西", "总部"}} {
		_, err := g.PutTeam(ctx, access.Team{Tenant: "default", ID: team[0], Name: team[0], Parent: team[1]}, true)
		require.NoError(t, err)
	}
	_, err := g.PutTeam(ctx, access.Team{Tenant: "default", ID: "总部", Name: "总部", Parent: "东一"}, false)
	require.ErrorIs(t, err, qingting.ErrInvalid, "a ring")
	require.ErrorIs(t, g.DeleteTeam(ctx, "default", "东"), qingting.ErrInvalid, "a team below it")
	for _, tt := range []struct {
		p    access.Principal
		want access.Reach
	}{
		{access.Principal{Kind: access.KindUser, Role: access.RoleAgent, Team: "东"}, access.Reach{Teams: []string{"", "东"}}},
		{access.Principal{Kind: access.KindUser, Role: access.RoleAgent}, access.Reach{Teams: []string{""}}},
		{access.Principal{Kind: access.KindUser, Role: access.RoleSupervisor, Team: "东"}, access.Reach{Teams: []string{"", "东", "东一"}}},
		{access.Principal{Kind: access.KindUser, Role: access.RoleSupervisor, Team: "总部"}, access.Reach{Teams: []string{"", "总部", "东", "西", "东一"}}},
		{access.Principal{Kind: access.KindUser, Role: access.RoleSupervisor}, access.Reach{All: true}},
		{access.Principal{Kind: access.KindUser, Role: access.RoleAdmin, Team: "东"}, access.Reach{All: true}},
		{access.Principal{Kind: access.KindKey, Team: "东一"}, access.Reach{Teams: []string{"", "东一"}}},
		{access.Principal{Kind: access.KindKey}, access.Reach{All: true}},
		{access.Local("default"), access.Reach{All: true}},
	} {
		tt.p.Tenant = "default"
		got, err := g.Reach(ctx, &tt.p)
		require.NoError(t, err)
		require.Equal(t, tt.want.All, got.All, "%+v", tt.p)
		require.ElementsMatch(t, tt.want.Teams, got.Teams, "%+v", tt.p)
	}
	require.False(t, access.Reach{}.Sees(""), "nobody sees nothing")
}

// TestDenyByDefault: what is not in the table is forbidden, to nobody at all
// and to roles and scopes that do not exist.
func TestDenyByDefault(t *testing.T) {
	for _, p := range []*access.Principal{nil, {}, {Kind: access.KindUser}, {Kind: access.KindUser, Role: "boss"}, {Kind: access.KindKey}, {Kind: access.KindKey, Scopes: []access.Scope{"root"}}, {Kind: "ghost", Role: access.RoleAdmin}} {
		for _, permission := range access.Permissions() {
			require.False(t, p.May(permission), "%+v %s", p, permission)
		}
		require.True(t, p.May(access.Public))
	}
	admin := &access.Principal{Kind: access.KindUser, Role: access.RoleAdmin}
	require.False(t, admin.May("no such thing"))
	for _, permission := range access.Permissions() {
		require.True(t, admin.May(permission), permission)
		require.True(t, (&access.Principal{Kind: access.KindKey, Scopes: []access.Scope{access.ScopeAdmin}}).May(permission), permission)
	}
}
