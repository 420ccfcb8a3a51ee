package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
	"github.com/qingting-ai/qingting/internal/store"
)

// EndpointFields is what an admin says of an endpoint; a nil field is left as
// it is.
type EndpointFields struct {
	Name     *string               `json:"name" maxLength:"64"`
	URL      *string               `json:"url" maxLength:"2048" doc:"https 地址，不能指向内网"`
	Events   *[]qingting.EventType `json:"events" doc:"空为全部"`
	Teams    *[]string             `json:"teams" doc:"空为全部"`
	Disabled *bool                 `json:"disabled"`
	Secret   *string               `json:"secret" maxLength:"512" doc:"群机器人的加签密钥；webhook 的密钥由服务生成，填 rotate 换新，旧的再用到下次更换"`
}

// shownEndpoint is an endpoint as people see it: its address is a secret
// beyond the host, and the key that signs is shown when it is made.
type shownEndpoint struct {
	hook.Endpoint
	Secret string `json:"secret,omitempty" doc:"新的签名密钥，只显示这一次"`
}

func shown(e hook.Endpoint, secret string) shownEndpoint {
	if u, err := url.Parse(e.URL); err == nil {
		e.URL = u.Scheme + "://" + u.Host + "/…"
	} else {
		e.URL = "…"
	}
	return shownEndpoint{e, secret}
}

// putEndpoint applies the fields and keeps the endpoint.
func (s *Server) putEndpoint(ctx context.Context, e hook.Endpoint, f *EndpointFields) (shownEndpoint, error) {
	set(&e.Name, f.Name)
	set(&e.URL, f.URL)
	set(&e.Events, f.Events)
	set(&e.Teams, f.Teams)
	if set(&e.Disabled, f.Disabled); f.Disabled != nil && !e.Disabled {
		e.Reason = ""
	}
	secret := ""
	switch {
	case e.Kind.Robot():
		if f.Secret != nil {
			e.Secret = []byte(*f.Secret)
		}
	case len(e.Secret) == 0:
		secret = hook.NewSecret()
		e.Secret = []byte(secret)
	case f.Secret != nil && *f.Secret == "rotate":
		newest, _, _ := strings.Cut(string(e.Secret), " ")
		secret = hook.NewSecret()
		e.Secret = []byte(secret + " " + newest)
	case f.Secret != nil:
		return shownEndpoint{}, problem(http.StatusUnprocessableEntity, "bad_secret", "webhook 的签名密钥由服务生成；要换新请填 rotate")
	}
	guard := s.options.HookGuard
	if guard == nil {
		guard = &hook.Guard{}
	}
	if err := e.Check(guard); err != nil {
		return shownEndpoint{}, err
	}
	kept, err := s.options.Records.PutEndpoint(ctx, e)
	return shown(kept, secret), err
}

func (s *Server) listEndpoints(ctx context.Context, _ *none) (*answer[list[shownEndpoint]], error) {
	if s.options.Records == nil {
		return nil, errOff
	}
	all, err := s.options.Records.Endpoints(ctx, access.Of(ctx).Tenant)
	out := make([]shownEndpoint, len(all))
	for i, e := range all {
		out[i] = shown(e, "")
	}
	return listed(out, err)
}

func (s *Server) addEndpoint(ctx context.Context, in *struct {
	Body struct {
		Kind hook.Kind `json:"kind" required:"true" enum:"webhook,wecom,dingtalk,feishu"`
		EndpointFields
	}
},
) (*answer[shownEndpoint], error) {
	if s.options.Records == nil {
		return nil, errOff
	}
	e, err := s.putEndpoint(ctx, hook.Endpoint{Tenant: access.Of(ctx).Tenant, Kind: in.Body.Kind}, &in.Body.EndpointFields)
	if err != nil {
		return nil, err
	}
	return created(e)
}

func (s *Server) endpoint(ctx context.Context, id string) (hook.Endpoint, error) {
	if s.options.Records == nil {
		return hook.Endpoint{}, errOff
	}
	return s.options.Records.Endpoint(ctx, access.Of(ctx).Tenant, id)
}

func (s *Server) getEndpoint(ctx context.Context, in *ByID) (*answer[shownEndpoint], error) {
	e, err := s.endpoint(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return ok(shown(e, ""))
}

func (s *Server) changeEndpoint(ctx context.Context, in *struct {
	ByID
	Body EndpointFields
},
) (*answer[shownEndpoint], error) {
	e, err := s.endpoint(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out, err := s.putEndpoint(ctx, e, &in.Body)
	if err != nil {
		return nil, err
	}
	return ok(out)
}

func (s *Server) deleteEndpoint(ctx context.Context, in *ByID) (*none, error) {
	if _, err := s.endpoint(ctx, in.ID); err != nil {
		return nil, err
	}
	return nil, s.options.Records.DeleteEndpoint(ctx, access.Of(ctx).Tenant, in.ID)
}

func (s *Server) listDeliveries(ctx context.Context, in *struct {
	Paged
	State        hook.State         `query:"state" enum:"pending,done,dead" doc:"等待、已送达、死信"`
	Endpoint     string             `query:"endpoint_id" maxLength:"128"`
	Conversation string             `query:"conversation_id" maxLength:"128"`
	Type         qingting.EventType `query:"type" maxLength:"64"`
},
) (*answer[page1[hook.Item]], error) {
	if s.options.Records == nil {
		return nil, errOff
	}
	f := store.OutboxFilter{State: in.State, Endpoint: in.Endpoint, Conversation: in.Conversation, Type: in.Type}
	return turned(s.options.Records.Outbox(ctx, access.Of(ctx).Tenant, f, in.Cursor, in.Limit))
}

// replayed says how many deliveries will be made again.
type replayed struct {
	Replayed int `json:"replayed"`
}

func (s *Server) replay(ctx context.Context, in *struct {
	Body struct {
		IDs []string `json:"ids" required:"true" minItems:"1" maxItems:"500" doc:"死信的编号"`
	}
},
) (*answer[replayed], error) {
	if s.options.Records == nil {
		return nil, errOff
	}
	n, err := s.options.Records.ReplayOutbox(ctx, access.Of(ctx).Tenant, in.Body.IDs, time.Now().UTC())
	if err != nil {
		return nil, err
	}
	if s.options.Wake != nil {
		s.options.Wake()
	}
	return ok(replayed{n})
}
