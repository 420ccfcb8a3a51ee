// Package access says who may do what: people and keys, roles and scopes, one
// table of permissions, passwords, sessions, keys and the tickets of streams.
// It knows nothing of routes; internal/web asks it before every handler.
package access

import (
	"context"
	"slices"
)

// Kind is what a principal is.
type Kind string

// The kinds of principals.
const (
	KindUser  Kind = "user"  // a person with a session
	KindKey   Kind = "key"   // a program with an API key
	KindLocal Kind = "local" // whoever sits at the machine, while nobody has been set up
)

// Role is what a person does.
type Role string

// The roles of people. An integrator is a key with scopes, not a role.
const (
	RoleAgent      Role = "agent"
	RoleSupervisor Role = "supervisor"
	RoleEngineer   Role = "engineer"
	RoleAdmin      Role = "admin"
)

// Roles returns every role.
func Roles() []Role { return []Role{RoleAgent, RoleSupervisor, RoleEngineer, RoleAdmin} }

// Scope is what a key may be used for.
type Scope string

// The scopes of keys.
const (
	ScopeIngest    Scope = "ingest"    // hand in conversations
	ScopeAssist    Scope = "assist"    // show an agent what is understood
	ScopeSupervise Scope = "supervise" // alerts
	ScopeCases     Scope = "cases"     // the case library
	ScopeEval      Scope = "eval"      // evaluation
	ScopeAdmin     Scope = "admin"     // everything in the tenant
)

// Scopes returns every scope.
func Scopes() []Scope {
	return []Scope{ScopeIngest, ScopeAssist, ScopeSupervise, ScopeCases, ScopeEval, ScopeAdmin}
}

// Principal is whoever makes a request.
type Principal struct {
	Tenant string  `json:"tenant"`
	Kind   Kind    `json:"kind"`
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Role   Role    `json:"role,omitempty"` // of a person
	Team   string  `json:"team,omitempty"`
	Scopes []Scope `json:"scopes,omitempty"`
}

// Local is the principal of an installation in which nobody has been set up.
func Local(tenant string) Principal {
	return Principal{Tenant: tenant, Kind: KindLocal, ID: "local", Name: "本机", Role: RoleAdmin}
}

// Permission is one thing somebody may be allowed to do.
type Permission string

// The permissions. Public and Known are not in the table: the first needs
// nobody, the second anybody who is known.
const (
	Public        Permission = ""
	Known         Permission = "known"
	Analyze       Permission = "analyze"      // stateless analysis, lint, taxonomy
	Ingest        Permission = "ingest"       // hand in conversations and messages
	ReadTalk      Permission = "conversation" // see conversations, analyses, promises, streams
	ServeTalk     Permission = "serve"        // close, correct labels, keep promises, say what a draft was worth
	AssignTalk    Permission = "assign"       // give a conversation to an agent or a team
	ReadAlerts    Permission = "alerts"       // see alerts
	ActAlerts     Permission = "alerts.act"   // claim, work on, resolve and dismiss them
	EscalateAlert Permission = "alerts.raise" // hand one up the chain
	ReadCases     Permission = "cases"        // see and search cases
	WriteCases    Permission = "cases.write"  // change the library
	ReadTeams     Permission = "teams"        // see who works where
	Administer    Permission = "administer"   // people, teams, keys
	Integrate     Permission = "integrate"    // webhooks and their deliveries
	Evaluate      Permission = "evaluate"     // evaluation runs
)

// grant is one line of the table.
type grant struct {
	permission Permission
	roles      []Role
	scopes     []Scope
}

// table is who may do what; what is not in it is forbidden. An admin key may
// do whatever an admin may.
func table() []grant {
	const (
		agent, supervisor, engineer, admin     = RoleAgent, RoleSupervisor, RoleEngineer, RoleAdmin
		ingest, assist, supervise, cases, eval = ScopeIngest, ScopeAssist, ScopeSupervise, ScopeCases, ScopeEval
		all                                    = ScopeAdmin
	)
	return []grant{
		{Analyze, []Role{agent, supervisor, engineer, admin}, []Scope{ingest, assist, supervise, eval, all}},
		{Ingest, []Role{admin}, []Scope{ingest, all}},
		{ReadTalk, []Role{agent, supervisor, admin}, []Scope{assist, supervise, all}},
		{ServeTalk, []Role{agent, supervisor, admin}, []Scope{assist, supervise, all}},
		{AssignTalk, []Role{supervisor, admin}, []Scope{ingest, supervise, all}},
		{ReadAlerts, []Role{agent, supervisor, admin}, []Scope{supervise, all}},
		{ActAlerts, []Role{supervisor, admin}, []Scope{supervise, all}},
		{EscalateAlert, []Role{agent, supervisor, admin}, []Scope{supervise, all}},
		{ReadCases, []Role{agent, supervisor, engineer, admin}, []Scope{assist, supervise, cases, eval, all}},
		{WriteCases, []Role{supervisor, admin}, []Scope{cases, all}},
		{ReadTeams, []Role{agent, supervisor, engineer, admin}, []Scope{supervise, all}},
		{Administer, []Role{admin}, []Scope{all}},
		{Integrate, []Role{admin}, []Scope{all}},
		{Evaluate, []Role{engineer, admin}, []Scope{eval, all}},
	}
}

// Permissions returns every permission of the table.
func Permissions() []Permission {
	var out []Permission
	for _, g := range table() {
		out = append(out, g.permission)
	}
	return out
}

// May reports whether the principal may do it.
func (p *Principal) May(what Permission) bool {
	if p == nil || p.Kind == "" {
		return what == Public
	}
	if what == Public || what == Known || p.Kind == KindLocal {
		return true
	}
	for _, g := range table() {
		if g.permission == what {
			if p.Kind == KindUser {
				return slices.Contains(g.roles, p.Role)
			}
			return slices.ContainsFunc(p.Scopes, func(s Scope) bool { return slices.Contains(g.scopes, s) })
		}
	}
	return false
}

// Reach is whose conversations a principal sees. One that belongs to no team
// is everybody's: somebody has to take it.
type Reach struct {
	All   bool
	Teams []string // when not All; always with "", for conversations without a team
}

// Sees reports whether a conversation of the team is within reach.
func (r Reach) Sees(team string) bool { return r.All || slices.Contains(r.Teams, team) }

// reach follows the tree of teams: an agent sees his own team, a supervisor
// and a key the teams below theirs as well, an admin everything. A supervisor
// or key without a team stands at the top of the tree.
func reach(p *Principal, teams []Team) Reach {
	wide := p.Kind == KindKey || p.Role == RoleSupervisor
	switch {
	case p.Kind == KindLocal, p.Kind == KindUser && p.Role == RoleAdmin, wide && p.Team == "":
		return Reach{All: true}
	case p.Team == "":
		return Reach{Teams: []string{""}}
	case !wide:
		return Reach{Teams: []string{"", p.Team}}
	}
	out := []string{"", p.Team}
	for i := 1; i < len(out); i++ {
		for _, t := range teams {
			if t.Parent == out[i] && !slices.Contains(out, t.ID) { // a ring of parents ends here too
				out = append(out, t.ID)
			}
		}
	}
	return Reach{Teams: out}
}

type contextKey struct{}

// With returns a context that carries the principal.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// Of returns the principal of a context; nobody when there is none.
func Of(ctx context.Context) *Principal {
	if p, ok := ctx.Value(contextKey{}).(*Principal); ok {
		return p
	}
	return &Principal{}
}
