package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
)

// alert is one that the asker may see.
func (s *Server) alert(ctx context.Context, id string) (qingting.Alert, error) {
	if s.options.Records == nil || s.options.Live == nil {
		return qingting.Alert{}, errOff
	}
	a, err := s.options.Records.Alert(ctx, access.Of(ctx).Tenant, id)
	if err != nil {
		return a, err
	}
	reach, err := s.reach(ctx)
	if err == nil && !reach.Sees(a.Team) {
		err = qingting.ErrNotFound
	}
	return a, err
}

// alertsInput narrows the list of alerts.
type alertsInput struct {
	Paged
	Open         bool                  `query:"open" doc:"只要还需要人处理的"`
	State        []qingting.AlertState `query:"state,explode" enum:"new,claimed,in_progress,resolved,escalated,dismissed"`
	Cause        qingting.AlertCause   `query:"cause" enum:"risk,sla,promise"`
	Level        []qingting.RiskLevel  `query:"level,explode" enum:"low,medium,high"`
	Priority     []qingting.Priority   `query:"priority,explode" enum:"P0,P1,P2,P3"`
	Team         string                `query:"team" maxLength:"128"`
	Owner        string                `query:"owner" maxLength:"128" doc:"me 是自己"`
	Conversation string                `query:"conversation_id" maxLength:"128"`
}

func (s *Server) listAlerts(ctx context.Context, in *alertsInput) (*answer[page1[qingting.Alert]], error) {
	if s.options.Records == nil {
		return nil, errOff
	}
	teams, err := s.teams(ctx, in.Team)
	if err != nil {
		return nil, err
	}
	f := store.AlertFilter{
		Open: in.Open, States: in.State, Teams: teams, Conversation: in.Conversation, Cause: in.Cause, Level: in.Level,
		Priority: in.Priority, Owner: in.Owner,
	}
	if f.Owner == "me" {
		f.Owner = access.Of(ctx).ID
	}
	return turned(s.options.Records.Alerts(ctx, access.Of(ctx).Tenant, f, in.Cursor, in.Limit))
}

func (s *Server) getAlert(ctx context.Context, in *ByID) (*answer[qingting.Alert], error) {
	a, err := s.alert(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return ok(a)
}

func (s *Server) alertHistory(ctx context.Context, in *ByID) (*answer[list[qingting.AlertEvent]], error) {
	if _, err := s.alert(ctx, in.ID); err != nil {
		return nil, err
	}
	return listed(s.options.Records.AlertHistory(ctx, access.Of(ctx).Tenant, in.ID))
}

// stepInput is a step in the life of an alert.
type stepInput struct {
	ByID
	Body *struct {
		Reason  string `json:"reason" maxLength:"500" doc:"解除、升级和误报要写原因"`
		Version int64  `json:"version" minimum:"0" doc:"您看到的 version；已经变了就是 409，不填不检查"`
	}
}

// step moves an alert on. Whoever ends one or hands it up says why.
func (s *Server) step(move func(Live, context.Context, live.Step) (qingting.Alert, error), why bool) func(context.Context, *stepInput) (*answer[qingting.Alert], error) {
	return func(ctx context.Context, in *stepInput) (*answer[qingting.Alert], error) {
		if _, err := s.alert(ctx, in.ID); err != nil {
			return nil, err
		}
		p := access.Of(ctx)
		step := live.Step{Tenant: p.Tenant, Alert: in.ID, By: p.ID}
		if in.Body != nil {
			step.Reason, step.Version = s.conceal(strings.TrimSpace(in.Body.Reason)), in.Body.Version
		}
		if why && step.Reason == "" {
			return nil, problem(http.StatusUnprocessableEntity, "missing_reason", "请在 reason 里写明原因")
		}
		a, err := move(s.options.Live, ctx, step)
		if err != nil {
			return nil, err
		}
		return ok(a)
	}
}

func (s *Server) alertFeedback(ctx context.Context, in *struct {
	ByID
	Body struct {
		Feedback string `json:"feedback" required:"true" enum:"useful,false_alarm" doc:"有用、误报"`
	}
},
) (*answer[qingting.Alert], error) {
	if _, err := s.alert(ctx, in.ID); err != nil {
		return nil, err
	}
	p := access.Of(ctx)
	a, err := s.options.Live.Feedback(ctx, live.Step{Tenant: p.Tenant, Alert: in.ID, By: p.ID}, in.Body.Feedback)
	if err != nil {
		return nil, err
	}
	return ok(a)
}
