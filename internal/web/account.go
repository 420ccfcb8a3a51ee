package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
)

// ByID is the input of routes that name one thing.
type ByID struct {
	ID string `path:"id" maxLength:"128" doc:"编号"`
}

// Paged is the input of lists.
type Paged struct {
	Cursor string `query:"cursor" maxLength:"256" doc:"上一页的 next_cursor，首页不填"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"一页最多几条"`
}

// list is a whole list, page one page of it.
type list[T any] struct {
	Items []T `json:"items"`
}

type page1[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor,omitempty" doc:"没有就是最后一页"`
}

func listed[T any](items []T, err error) (*answer[list[T]], error) {
	if err != nil {
		return nil, err
	}
	if items == nil {
		items = []T{}
	}
	return ok(list[T]{items})
}

func turned[T any](items []T, next string, err error) (*answer[page1[T]], error) {
	if err != nil {
		return nil, err
	}
	if items == nil {
		items = []T{}
	}
	return ok(page1[T]{items, next})
}

func (s *Server) guard() (*access.Guard, error) {
	if s.options.Access == nil {
		return nil, errOff
	}
	return s.options.Access, nil
}

// loginInput is the body of POST /v1/session.
type loginInput struct {
	Body struct {
		Login    string `json:"login" required:"true" maxLength:"64"`
		Password string `json:"password" required:"true" maxLength:"128"`
	}
}

// login answers POST /v1/session: the cookie of a session for a password.
func (s *Server) login(c *gin.Context) error {
	g, err := s.guard()
	if err != nil {
		return err
	}
	if err := readable(c); err != nil {
		return err
	}
	data, err := limited(c)
	if err != nil {
		return err
	}
	var in loginInput
	if err := json.Unmarshal(data, &in.Body); err != nil || in.Body.Login == "" || in.Body.Password == "" {
		return problem(http.StatusUnprocessableEntity, "missing_field", "请给出 login 和 password 两个字符串")
	}
	p, err := g.Login(c.Request.Context(), c.Writer, in.Body.Login, in.Body.Password, address(c))
	if err != nil {
		if s.problemOf(c.Request.Context(), err).Code == errUnknown.Code {
			return problem(http.StatusUnauthorized, "wrong_password", "登录名或密码不对")
		}
		return err
	}
	return reply(c, http.StatusOK, p)
}

// logout answers DELETE /v1/session.
func (s *Server) logout(c *gin.Context) error {
	if cookie, err := c.Request.Cookie(sessionCookie); err == nil && s.options.Access != nil {
		if err := s.options.Access.Logout(c.Request.Context(), c.Writer, cookie.Value); err != nil {
			return err
		}
	}
	c.Status(http.StatusNoContent)
	return nil
}

// me is who asks, and what he may do.
type me struct {
	access.Principal
	Permissions []access.Permission `json:"permissions"`
}

func (s *Server) whoAmI(ctx context.Context, _ *none) (*answer[me], error) {
	p := access.Of(ctx)
	out := me{Principal: *p, Permissions: []access.Permission{}}
	for _, permission := range access.Permissions() {
		if p.May(permission) {
			out.Permissions = append(out.Permissions, permission)
		}
	}
	return ok(out)
}

// ticket is a ticket for one stream.
type ticket struct {
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires_at"`
}

func (s *Server) newTicket(ctx context.Context, _ *none) (*answer[ticket], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	t, expires, err := g.NewTicket(ctx, access.Of(ctx))
	if err != nil {
		return nil, err
	}
	return created(ticket{t, expires})
}

// UserFields is what an admin says of a user; a nil field is left as it is.
type UserFields struct {
	Name     *string      `json:"name"`
	Role     *access.Role `json:"role" enum:"agent,supervisor,engineer,admin"`
	Team     *string      `json:"team"`
	Password *string      `json:"password" maxLength:"128"`
	Disabled *bool        `json:"disabled"`
}

func (f *UserFields) apply(u *access.User) (password string) {
	set(&u.Name, f.Name)
	set(&u.Role, f.Role)
	set(&u.Team, f.Team)
	set(&u.Disabled, f.Disabled)
	set(&password, f.Password)
	return password
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s *Server) listUsers(ctx context.Context, _ *none) (*answer[list[access.User]], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	return listed(g.Store().Users(ctx, access.Of(ctx).Tenant))
}

func (s *Server) addUser(ctx context.Context, in *struct {
	Body struct {
		Login string `json:"login" required:"true"`
		UserFields
	}
},
) (*answer[access.User], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	u := access.User{Tenant: access.Of(ctx).Tenant, Login: in.Body.Login}
	password := in.Body.apply(&u)
	if u, err = g.NewUser(ctx, u, password); err != nil {
		return nil, err
	}
	return created(u)
}

func (s *Server) changeUser(ctx context.Context, in *struct {
	ByID
	Body UserFields
},
) (*answer[access.User], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	u, err := g.Store().User(ctx, access.Of(ctx).Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	password := in.Body.apply(&u)
	if u.ID == access.Of(ctx).ID && (u.Disabled || u.Role != access.RoleAdmin) {
		return nil, problem(http.StatusConflict, "own_account", "不能停用自己或去掉自己的管理员角色，请让另一位管理员来做")
	}
	if u, err = g.ChangeUser(ctx, u, password); err != nil {
		return nil, err
	}
	return ok(u)
}

func (s *Server) listTeams(ctx context.Context, _ *none) (*answer[list[access.Team]], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	return listed(g.Store().Teams(ctx, access.Of(ctx).Tenant))
}

// TeamFields is what an admin says of a team.
type TeamFields struct {
	Name   string `json:"name" required:"true" maxLength:"64"`
	Parent string `json:"parent" maxLength:"64" doc:"上级团队，空为顶层"`
}

func (s *Server) addTeam(ctx context.Context, in *struct {
	Body struct {
		ID string `json:"id" required:"true" maxLength:"64"`
		TeamFields
	}
},
) (*answer[access.Team], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	t, err := g.PutTeam(ctx, access.Team{Tenant: access.Of(ctx).Tenant, ID: in.Body.ID, Name: in.Body.Name, Parent: in.Body.Parent}, true)
	if err != nil {
		return nil, err
	}
	return created(t)
}

func (s *Server) changeTeam(ctx context.Context, in *struct {
	ByID
	Body TeamFields
},
) (*answer[access.Team], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	t, err := g.Store().Team(ctx, access.Of(ctx).Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	t.Name, t.Parent = in.Body.Name, in.Body.Parent
	if t, err = g.PutTeam(ctx, t, false); err != nil {
		return nil, err
	}
	return ok(t)
}

func (s *Server) deleteTeam(ctx context.Context, in *ByID) (*none, error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	return nil, g.DeleteTeam(ctx, access.Of(ctx).Tenant, in.ID)
}

func (s *Server) listKeys(ctx context.Context, _ *none) (*answer[list[access.Key]], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	return listed(g.Store().Keys(ctx, access.Of(ctx).Tenant))
}

// keyFields is what an admin says of a key.
type keyFields struct {
	Name    string         `json:"name" required:"true" maxLength:"64"`
	Scopes  []access.Scope `json:"scopes" required:"true" doc:"ingest、assist、supervise、cases、eval、admin"`
	Team    string         `json:"team" maxLength:"64" doc:"只看这个团队及其下级；空为整个租户"`
	Expires *time.Time     `json:"expires_at" doc:"到期时间，空为不过期"`
}

// newKey is a key with its secret, which is shown this once.
type newKey struct {
	access.Key
	Secret string `json:"secret" doc:"只在这里显示一次"`
}

func (s *Server) addKey(ctx context.Context, in *struct{ Body keyFields }) (*answer[newKey], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	p := access.Of(ctx)
	k, secret, err := g.NewKey(ctx, access.Key{
		Tenant: p.Tenant, Name: in.Body.Name, Scopes: in.Body.Scopes, Team: in.Body.Team, Expires: in.Body.Expires, By: p.ID,
	})
	if err != nil {
		return nil, err
	}
	return created(newKey{k, secret})
}

// disableKey answers DELETE /v1/keys/{id}: the key stays in the list, so that
// what it did can be told later.
func (s *Server) disableKey(ctx context.Context, in *ByID) (*answer[access.Key], error) {
	g, err := s.guard()
	if err != nil {
		return nil, err
	}
	k, err := g.Store().Key(ctx, access.Of(ctx).Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	k.Disabled = true
	if err := g.Store().ChangeKey(ctx, k); err != nil {
		return nil, err
	}
	return ok(k)
}

// key names a conversation of the asker's tenant.
func key(ctx context.Context, id string) qingting.Key {
	return qingting.Key{Tenant: access.Of(ctx).Tenant, ID: id}
}
