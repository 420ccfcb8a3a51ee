package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/qingting-ai/qingting"
)

// Times and limits of the service description.
const (
	IdleTimeout    = 30 * time.Minute
	Lifetime       = 12 * time.Hour
	LoginWindow    = 15 * time.Minute
	LoginLimit     = 5
	TicketLife     = 30 * time.Second
	KeyMemory      = time.Second           // how long a key is believed without looking: a revoked one works that much longer at most
	usedEvery      = time.Minute           // how exactly Key.Used is kept
	extendAfter    = 5 * time.Minute       // a session is written again when that much of IdleTimeout is used up
	noteWait       = 50 * time.Millisecond // for a write that a request can do without
	recentLength   = 4096                  // keys and notes that are remembered
	hashesAtOnce   = 2                     // of passwords: each takes 19 MiB
	secretPrefix   = "qt_"
	startLength    = len(secretPrefix) + 6
	SessionCookie  = "__Host-qingting"
	sessionUser    = "user"
	sessionTenant  = "tenant"
	sessionStamp   = "stamp"
	sessionSeen    = "seen" // when it was last written, in microseconds
	ticketPrefix   = "tk_"
	maxLoginLength = 64
)

// Errors a caller branches on.
var (
	// ErrDenied is a key, session, ticket or password that does not count;
	// why is nobody's business.
	ErrDenied = errors.New("access denied")
	// ErrTaken is a login or id that exists.
	ErrTaken = errors.New("already taken")
)

// ThrottledError is too many login attempts.
type ThrottledError struct{ Retry time.Duration }

func (e *ThrottledError) Error() string { return "too many login attempts" }

// Options change how a Guard works; the zero value is good.
type Options struct {
	// Local makes everybody the admin of the default tenant as long as there
	// is neither a user nor a key. Only for a server that nobody else reaches.
	Local bool
	// Now is the clock of keys, attempts and tickets; nil is time.Now. Sessions
	// always use time.Now.
	Now func() time.Time
}

// Guard knows principals by their credentials. It may be used concurrently.
type Guard struct {
	store       Store
	o           Options
	sessions    *scs.SessionManager
	hashing     chan struct{}
	nobody      string // the hash that an unknown login is held against
	established atomic.Bool
	keys        recent[Key]      // by hash
	notes       recent[struct{}] // what was written, or tried to, in the last minute
}

// New returns a guard over the store.
func New(store Store, o Options) (*Guard, error) {
	if store == nil {
		return nil, errors.New("access: no store")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Guard{
		store: store, o: o, hashing: make(chan struct{}, hashesAtOnce), nobody: HashPassword(rand.Text()),
		keys: recent[Key]{life: KeyMemory}, notes: recent[struct{}]{life: usedEvery},
		// Not scs.New: that starts a store of its own that nobody could stop.
		sessions: &scs.SessionManager{
			IdleTimeout: IdleTimeout, Lifetime: Lifetime, Store: sessionStore{store}, Codec: scs.GobCodec{}, HashTokenInStore: true,
			Cookie: scs.SessionCookie{Name: SessionCookie, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode},
		},
	}, nil
}

// Store is where the guard keeps what it knows.
func (g *Guard) Store() Store { return g.store }

// Open reports whether everybody is the local admin: see Options.Local. Once
// somebody has been set up it never becomes true again, not even when the last
// user is deleted.
func (g *Guard) Open(ctx context.Context) (bool, error) {
	if !g.o.Local || g.established.Load() {
		return false, nil
	}
	found, err := g.store.Established(ctx)
	if err != nil {
		return false, err
	}
	if found {
		g.established.Store(true)
	}
	return !found, nil
}

// Reach says whose conversations the principal sees.
func (g *Guard) Reach(ctx context.Context, p *Principal) (Reach, error) {
	r := reach(p, nil)
	if r.All || p.Kind == KindUser && p.Role != RoleSupervisor {
		return r, nil
	}
	teams, err := g.store.Teams(ctx, p.Tenant)
	if err != nil {
		return Reach{}, err
	}
	return reach(p, teams), nil
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// NewKey fills in id, secret hash and time of a key and keeps it. The secret is
// returned once and kept nowhere.
func (g *Guard) NewKey(ctx context.Context, k Key) (_ Key, secret string, err error) {
	if err := CheckKey(&k); err != nil {
		return k, "", err
	}
	if err := g.knownTeam(ctx, k.Tenant, k.Team); err != nil {
		return k, "", err
	}
	now := g.o.Now().UTC()
	if k.Expires != nil && !k.Expires.After(now) {
		return k, "", &qingting.InputError{Code: "bad_expiry", Where: "expires_at", Message: "到期时间已经过去，请给一个将来的时间"}
	}
	secret = secretPrefix + strings.ToLower(rand.Text())
	k.ID, k.Start, k.Hash, k.Created = qingting.NewID("ky"), secret[:startLength], hashOf(secret), now
	return k, secret, g.store.AddKey(ctx, k)
}

// Key returns the principal of an API key, or ErrDenied. A key that was found
// is believed for KeyMemory, so that thousands of requests a second cost one
// read: a change of it, a revocation too, takes effect within that time.
func (g *Guard) Key(ctx context.Context, secret string) (*Principal, error) {
	if !strings.HasPrefix(secret, secretPrefix) || len(secret) > 64 {
		return nil, ErrDenied
	}
	now, hash := g.o.Now(), hashOf(secret)
	k, known := g.keys.get(hash, now)
	if !known {
		var err error
		if k, err = g.store.KeyByHash(ctx, hash); errors.Is(err, qingting.ErrNotFound) {
			return nil, ErrDenied
		} else if err != nil {
			return nil, err
		}
		if !k.Disabled {
			g.keys.put(hash, k, now)
		}
	}
	if k.Disabled || k.Expires != nil && !k.Expires.After(now) {
		return nil, ErrDenied
	}
	if k.Used == nil || now.Sub(*k.Used) >= usedEvery {
		g.note(ctx, "key:"+k.ID, func(ctx context.Context) { _ = g.store.UseKey(ctx, k.Tenant, k.ID, now.UTC()) })
	}
	return &Principal{Tenant: k.Tenant, Kind: KindKey, ID: k.ID, Name: k.Name, Team: k.Team, Scopes: slices.Clone(k.Scopes)}, nil
}

// note writes what a request can do without: at most once a minute for each
// subject, and it is waited for no longer than noteWait. When the disk is full
// or the file locked, the request goes on without it.
func (g *Guard) note(ctx context.Context, subject string, write func(context.Context)) {
	now := g.o.Now()
	if !g.notes.claim(subject, now) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noteWait)
	defer cancel()
	write(ctx)
}

// NewUser checks and keeps a new user with the password.
func (g *Guard) NewUser(ctx context.Context, u User, password string) (User, error) {
	u.Login = strings.ToLower(strings.TrimSpace(u.Login))
	if err := CheckUser(&u); err != nil {
		return u, err
	}
	if err := CheckPassword(u.Login, password); err != nil {
		return u, err
	}
	if err := g.knownTeam(ctx, u.Tenant, u.Team); err != nil {
		return u, err
	}
	hash, err := g.hash(ctx, password)
	if err != nil {
		return u, err
	}
	now := g.o.Now().UTC()
	u.ID, u.Password, u.Created, u.Updated = qingting.NewID("us"), hash, now, now
	return u, g.store.AddUser(ctx, u)
}

// ChangeUser checks and keeps what changed of a user; password "" leaves the
// password. Sessions under an old password or role end.
func (g *Guard) ChangeUser(ctx context.Context, u User, password string) (User, error) {
	if err := CheckUser(&u); err != nil {
		return u, err
	}
	if err := g.knownTeam(ctx, u.Tenant, u.Team); err != nil {
		return u, err
	}
	if password != "" {
		if err := CheckPassword(u.Login, password); err != nil {
			return u, err
		}
		hash, err := g.hash(ctx, password)
		if err != nil {
			return u, err
		}
		u.Password = hash
	}
	u.Updated = g.o.Now().UTC()
	return u, g.store.ChangeUser(ctx, u)
}

// PutTeam checks a team and adds it, or changes it when fresh is false. A team
// is never its own parent, however far up.
func (g *Guard) PutTeam(ctx context.Context, t Team, fresh bool) (Team, error) {
	if err := checkName("id", t.ID, 64); err != nil {
		return t, err
	}
	if err := checkName("name", t.Name, 64); err != nil {
		return t, err
	}
	teams, err := g.store.Teams(ctx, t.Tenant)
	if err != nil {
		return t, err
	}
	parents := map[string]string{}
	for _, other := range teams {
		parents[other.ID] = other.Parent
	}
	for up, n := t.Parent, 0; up != ""; up, n = parents[up], n+1 {
		if _, ok := parents[up]; !ok || up == t.ID || n > len(parents) {
			return t, &qingting.InputError{Code: "bad_parent", Where: "parent", Message: "上级团队不存在，或者会绕成一圈"}
		}
	}
	if !fresh {
		return t, g.store.ChangeTeam(ctx, t)
	}
	t.Created = g.o.Now().UTC()
	return t, g.store.AddTeam(ctx, t)
}

// DeleteTeam removes a team that nobody and no team below it belongs to.
func (g *Guard) DeleteTeam(ctx context.Context, tenant, id string) error {
	teams, err := g.store.Teams(ctx, tenant)
	if err != nil {
		return err
	}
	users, err := g.store.Users(ctx, tenant)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(teams, func(t Team) bool { return t.Parent == id }) || slices.ContainsFunc(users, func(u User) bool { return u.Team == id }) {
		return &qingting.InputError{Code: "team_in_use", Where: "id", Message: "团队里还有成员或下级团队，请先把它们移走"}
	}
	return g.store.DeleteTeam(ctx, tenant, id)
}

func (g *Guard) knownTeam(ctx context.Context, tenant, team string) error {
	if team == "" {
		return nil
	}
	_, err := g.store.Team(ctx, tenant, team)
	if errors.Is(err, qingting.ErrNotFound) {
		return &qingting.InputError{Code: "unknown_team", Where: "team", Message: "没有这个团队，请先建立团队"}
	}
	return err
}

// hash waits for its turn: passwords are made to be expensive.
func (g *Guard) hash(ctx context.Context, password string) (string, error) {
	select {
	case g.hashing <- struct{}{}:
		defer func() { <-g.hashing }()
		return HashPassword(password), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Login checks a password and opens a session, whose cookie it writes. A wrong
// password, an unknown login and a disabled user are the same ErrDenied after
// the same work; five attempts within 15 minutes for one login or from one
// address are a *ThrottledError.
func (g *Guard) Login(ctx context.Context, w http.ResponseWriter, login, password, address string) (*Principal, error) {
	login = strings.ToLower(strings.TrimSpace(login))
	if login == "" || len(login) > 4*maxLoginLength || len(password) > 4*MaxPassword {
		return nil, ErrDenied
	}
	now := g.o.Now().UTC().Truncate(time.Microsecond)
	byLogin, byAddress := "login:"+hashOf(login), "address:"+address
	earliest, allowed, err := g.store.Attempt(ctx, []string{byLogin, byAddress}, now, now.Add(-LoginWindow), LoginLimit)
	if err != nil {
		return nil, err
	}
	if !allowed {
		return nil, &ThrottledError{Retry: max(time.Second, earliest.Add(LoginWindow).Sub(now))}
	}
	u, err := g.store.UserByLogin(ctx, login)
	hash := u.Password
	switch {
	case errors.Is(err, qingting.ErrNotFound):
		hash = g.nobody
	case err != nil:
		return nil, err
	}
	select {
	case g.hashing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	same, err := matchPassword(hash, password)
	<-g.hashing
	if err != nil {
		return nil, fmt.Errorf("password of user %s: %w", u.ID, err)
	}
	if !same || u.ID == "" || u.Disabled {
		return nil, ErrDenied
	}
	// What was right is no attempt to guess: all of them for the login, this
	// one for the address.
	if err := errors.Join(g.store.Forgive(ctx, []string{byLogin}, time.Time{}), g.store.Forgive(ctx, []string{byAddress}, now)); err != nil {
		return nil, err
	}
	// A fresh token whatever cookie came along: nobody can plant one.
	session, err := g.sessions.Load(ctx, "")
	if err != nil {
		return nil, err
	}
	g.sessions.Put(session, sessionTenant, u.Tenant)
	g.sessions.Put(session, sessionUser, u.ID)
	g.sessions.Put(session, sessionStamp, stamp(&u))
	g.sessions.Put(session, sessionSeen, now.UnixMicro())
	token, expires, err := g.sessions.Commit(session)
	if err != nil {
		return nil, err
	}
	g.sessions.WriteSessionCookie(session, w, token, expires)
	return principal(&u), nil
}

// stamp changes with whatever ends the sessions of a user.
func stamp(u *User) string {
	return hashOf(u.Password + "\x00" + string(u.Role) + "\x00" + u.Tenant)[:16]
}

func principal(u *User) *Principal {
	return &Principal{Tenant: u.Tenant, Kind: KindUser, ID: u.ID, Name: u.Name, Role: u.Role, Team: u.Team}
}

// Session returns the principal of a session token, or ErrDenied. The session
// then lives for another 25 to 30 minutes, at most 12 hours in all: it is
// written again only when less than 25 are left, so that reading writes little.
func (g *Guard) Session(ctx context.Context, token string) (*Principal, error) {
	session, err := g.sessions.Load(ctx, token)
	if err != nil {
		return nil, err
	}
	id := g.sessions.GetString(session, sessionUser)
	if id == "" {
		return nil, ErrDenied
	}
	u, err := g.store.User(ctx, g.sessions.GetString(session, sessionTenant), id)
	if errors.Is(err, qingting.ErrNotFound) {
		return nil, ErrDenied
	}
	if err != nil {
		return nil, err
	}
	if u.Disabled || stamp(&u) != g.sessions.GetString(session, sessionStamp) {
		return nil, ErrDenied
	}
	now := g.o.Now()
	if since := now.Sub(time.UnixMicro(g.sessions.GetInt64(session, sessionSeen))); since < 0 || since >= extendAfter {
		// Without it the session only ends sooner.
		g.note(session, "session:"+hashOf(token), func(limited context.Context) {
			g.sessions.Put(limited, sessionSeen, now.UnixMicro())
			_, _, _ = g.sessions.Commit(limited)
		})
	}
	return principal(&u), nil
}

// Logout ends a session and takes back its cookie.
func (g *Guard) Logout(ctx context.Context, w http.ResponseWriter, token string) error {
	session, err := g.sessions.Load(ctx, token)
	if err != nil {
		return err
	}
	if err := g.sessions.Destroy(session); err != nil {
		return err
	}
	g.sessions.WriteSessionCookie(session, w, "", time.Time{})
	return nil
}

// NewTicket returns a ticket with which the principal can open one stream
// within 30 seconds: browsers cannot send a key with EventSource or WebSocket,
// and an address that holds a key ends up in logs.
func (g *Guard) NewTicket(ctx context.Context, p *Principal) (ticket string, expires time.Time, err error) {
	ticket = ticketPrefix + strings.ToLower(rand.Text())
	expires = g.o.Now().UTC().Add(TicketLife)
	return ticket, expires, g.store.AddTicket(ctx, Ticket{Hash: hashOf(ticket), Principal: *p, Expires: expires})
}

// Ticket returns the principal of a ticket, which is used up, or ErrDenied.
func (g *Guard) Ticket(ctx context.Context, ticket string) (*Principal, error) {
	if !strings.HasPrefix(ticket, ticketPrefix) || len(ticket) > 64 {
		return nil, ErrDenied
	}
	t, err := g.store.TakeTicket(ctx, hashOf(ticket))
	if errors.Is(err, qingting.ErrNotFound) || err == nil && !t.Expires.After(g.o.Now()) {
		return nil, ErrDenied
	}
	if err != nil {
		return nil, err
	}
	return &t.Principal, nil
}

// sessionStore is the store as scs wants it.
type sessionStore struct{ store Store }

func (s sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return s.store.FindSession(ctx, token)
}

func (s sessionStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return s.store.PutSession(ctx, token, b, expiry)
}

func (s sessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.store.DeleteSession(ctx, token)
}

// The forms without a context are never called by scs when those above exist.
func (s sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s sessionStore) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
