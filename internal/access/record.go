package access

import (
	"context"
	"time"
)

// Team is a group of agents with the team above it.
type Team struct {
	Tenant  string    `json:"-"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Parent  string    `json:"parent,omitempty"` // "" is the top
	Created time.Time `json:"created_at"`
}

// User is a person who can log in.
type User struct {
	Tenant   string    `json:"-"`
	ID       string    `json:"id"`
	Login    string    `json:"login"` // lower case, one of its kind in the whole installation
	Name     string    `json:"name"`
	Role     Role      `json:"role"`
	Team     string    `json:"team,omitempty"`
	Disabled bool      `json:"disabled"`
	Password string    `json:"-"` // argon2id, in PHC form
	Created  time.Time `json:"created_at"`
	Updated  time.Time `json:"updated_at"`
}

// Key is an API key without its secret.
type Key struct {
	Tenant   string     `json:"-"`
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Start    string     `json:"start"` // the first characters of the secret, so that people can tell keys apart
	Hash     string     `json:"-"`     // SHA-256 of the secret, hex
	Scopes   []Scope    `json:"scopes"`
	Team     string     `json:"team,omitempty"` // "" reaches the whole tenant
	Expires  *time.Time `json:"expires_at"`     // nil: never
	Disabled bool       `json:"disabled"`
	Used     *time.Time `json:"used_at"` // to within a minute
	By       string     `json:"created_by,omitempty"`
	Created  time.Time  `json:"created_at"`
}

// Ticket lets a browser open one stream, once.
type Ticket struct {
	Hash      string // SHA-256 of the ticket, hex
	Principal Principal
	Expires   time.Time
}

// Store keeps people, keys, teams, sessions, attempts and tickets. Whatever is
// not there is qingting.ErrNotFound, also when it belongs to another tenant; a
// login, an id or a hash that is taken is ErrTaken. It may be called
// concurrently.
type Store interface {
	// Established reports whether any user or key exists, disabled ones too.
	Established(ctx context.Context) (bool, error)

	AddTeam(ctx context.Context, t Team) error
	ChangeTeam(ctx context.Context, t Team) error // name and parent
	DeleteTeam(ctx context.Context, tenant, id string) error
	Team(ctx context.Context, tenant, id string) (Team, error)
	Teams(ctx context.Context, tenant string) ([]Team, error) // by id

	AddUser(ctx context.Context, u User) error
	ChangeUser(ctx context.Context, u User) error // all but tenant, id, login and created
	User(ctx context.Context, tenant, id string) (User, error)
	UserByLogin(ctx context.Context, login string) (User, error)
	Users(ctx context.Context, tenant string) ([]User, error) // by login

	AddKey(ctx context.Context, k Key) error
	ChangeKey(ctx context.Context, k Key) error // name, scopes, team, expiry, disabled
	// UseKey notes when a key was used and changes nothing else. When ctx ends
	// it returns at once, though the note may still be written; so does PutSession.
	UseKey(ctx context.Context, tenant, id string, at time.Time) error
	Key(ctx context.Context, tenant, id string) (Key, error)
	KeyByHash(ctx context.Context, hash string) (Key, error) // of any tenant
	Keys(ctx context.Context, tenant string) ([]Key, error)  // by created, id

	// Attempt notes one more login attempt of each subject, unless one of them
	// already has limit attempts after since: then nothing is noted and the
	// earliest of those attempts is returned. All of it is one transaction, and
	// attempts not after since are forgotten.
	Attempt(ctx context.Context, subjects []string, at, since time.Time, limit int) (earliest time.Time, allowed bool, err error)
	// Forgive forgets the attempts of the subjects at the time, or all of
	// theirs when at is zero.
	Forgive(ctx context.Context, subjects []string, at time.Time) error

	// Sessions as alexedwards/scs wants them; tokens arrive hashed. FindSession
	// finds nothing that has expired.
	FindSession(ctx context.Context, token string) (data []byte, found bool, err error)
	PutSession(ctx context.Context, token string, data []byte, expires time.Time) error
	DeleteSession(ctx context.Context, token string) error

	AddTicket(ctx context.Context, t Ticket) error
	// TakeTicket returns a ticket and deletes it, in one transaction.
	TakeTicket(ctx context.Context, hash string) (Ticket, error)
	// ForgetExpired deletes sessions and tickets that have expired.
	ForgetExpired(ctx context.Context, now time.Time) error
}
