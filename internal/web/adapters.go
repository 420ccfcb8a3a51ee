package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
	"github.com/qingting-ai/qingting/internal/live"
)

// chatwootInput describes what chatwoot reads by hand.
type chatwootInput struct {
	Token     string `query:"token" doc:"有 ingest 用途的 API 密钥；Chatwoot 的 webhook 不能带 Authorization 头时写在地址里"`
	Timestamp string `header:"X-Chatwoot-Timestamp"`
	Signature string `header:"X-Chatwoot-Signature" doc:"配置了 webhooks.chatwoot_secret 时必须有"`
	RawBody   []byte `contentType:"application/json"`
}

// chatwootOutput says what became of an event.
type chatwootOutput struct {
	Action       hook.Action `json:"action" enum:"ignore,append,close"`
	Conversation string      `json:"conversation_id,omitempty"`
}

// tokenOf finds whoever a request names by ?token=, else as everywhere.
func (s *Server) tokenOf(c *gin.Context) (*access.Principal, error) {
	if token := c.Query("token"); token != "" && s.options.Access != nil {
		return s.options.Access.Key(c.Request.Context(), token)
	}
	return s.who(c, route{})
}

// chatwoot answers POST /v1/adapters/chatwoot: the webhook of a Chatwoot
// account. What is not for us is 200 as well, or Chatwoot would call it a
// failure. It stands outside of the gate's permission because the key may come
// as a parameter; what the gate does is done here.
func (s *Server) chatwoot(c *gin.Context) error {
	p, err := s.tokenOf(c)
	if err != nil {
		return err
	}
	if !p.May(access.Ingest) {
		return problem(http.StatusForbidden, "forbidden", "您的角色或密钥没有这项权限（%s），请联系管理员", access.Ingest)
	}
	if wait := s.rates.take(p); wait > 0 {
		over := *problem(http.StatusTooManyRequests, "rate_limited", "请求太频繁，请稍后重试")
		over.retry = wait
		return &over
	}
	if s.options.Live == nil {
		return errOff
	}
	c.Request = c.Request.WithContext(access.With(c.Request.Context(), p))
	ctx := c.Request.Context()
	data, _, _, err := body(c, "application/json")
	if err != nil {
		return err
	}
	if secret := s.options.Work.ChatwootSecret; secret != "" {
		if err := hook.VerifyChatwoot(secret, data, c.GetHeader("X-Chatwoot-Timestamp"), c.GetHeader("X-Chatwoot-Signature"), time.Now()); err != nil {
			return problem(http.StatusUnauthorized, "bad_signature", "%s", hook.ErrSignature)
		}
	}
	talk, messages, action, err := hook.ChatwootEvent(data)
	if err != nil {
		return err
	}
	out := chatwootOutput{Action: action, Conversation: talk.ID}
	switch action {
	case hook.ActionAppend:
		req := live.IngestRequest{Tenant: p.Tenant, Conversation: talk.ID, Channel: talk.Channel, CustomerRef: talk.CustomerRef, Messages: messages}
		if err := s.mayIngest(ctx, &req, false); err != nil {
			return err
		}
		if _, err := s.options.Live.Ingest(ctx, req); err != nil {
			return err
		}
	case hook.ActionClose:
		err := s.closeFor(c, talk.ID)
		if errors.Is(err, qingting.ErrNotFound) {
			out.Action, err = hook.ActionIgnore, nil // it never had a message for us
		}
		if err != nil {
			return err
		}
	}
	return reply(c, http.StatusOK, out)
}

// closeFor ends a conversation that was resolved elsewhere. One that is closed
// already stays as it was closed.
func (s *Server) closeFor(c *gin.Context, id string) error {
	ctx := c.Request.Context()
	found, err := s.conversation(ctx, id)
	if err != nil || found.State == qingting.ConversationClosed {
		return err
	}
	_, err = s.options.Live.Close(ctx, key(ctx, id), qingting.Closing{
		By: access.Of(ctx).ID, Outcome: qingting.OutcomeResolved, Note: "在 Chatwoot 里标为已解决",
	})
	return err
}
