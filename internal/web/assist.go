package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/suggest/lint"
)

// labelFields are the labels a person may correct; a field that is absent is
// the analysis's again.
type labelFields struct {
	// What is left out is taken back, so a slip in a name must not pass for that.
	_ struct{} `json:"-" additionalProperties:"false"`

	Kind      *qingting.Kind        `json:"kind,omitempty"`
	Types     []qingting.Type       `json:"type,omitempty" doc:"投诉类型，可多个"`
	Primary   *qingting.Type        `json:"primary,omitempty"`
	Emotion   *qingting.EmotionCode `json:"emotion,omitempty"`
	Intensity *int                  `json:"intensity,omitempty" minimum:"0" maximum:"3"`
	Risk      *qingting.RiskLevel   `json:"risk,omitempty"`
	Signals   []qingting.SignalCode `json:"signal,omitempty"`
	Claims    []qingting.ClaimCode  `json:"claim,omitempty"`
	Style     *qingting.Style       `json:"style,omitempty"`
	Outcome   *qingting.Outcome     `json:"outcome,omitempty"`
}

// fields are the labels that are there, by field; a code that is not in the
// label guide is an error.
func (f *labelFields) fields() (map[qingting.Field]any, error) {
	out := map[qingting.Field]any{}
	var err error
	one := func(field qingting.Field, there bool, v any, known bool) {
		if !there {
			return
		}
		if !known && err == nil {
			err = problem(http.StatusUnprocessableEntity, "unknown_code", "字段 %s 不是已知的代码，可用的见 /v1/taxonomy", field)
		}
		out[field] = v
	}
	one(qingting.FieldKind, f.Kind != nil, f.Kind, knownCode(qingting.Kinds(), f.Kind))
	one(qingting.FieldType, f.Types != nil, f.Types, knownCodes(qingting.Types(), f.Types))
	one("primary", f.Primary != nil, f.Primary, knownCode(qingting.Types(), f.Primary))
	one(qingting.FieldEmotion, f.Emotion != nil, f.Emotion, knownCode(qingting.Emotions(), f.Emotion))
	one(qingting.FieldIntensity, f.Intensity != nil, f.Intensity, true)
	one(qingting.FieldRisk, f.Risk != nil, f.Risk, knownCode(qingting.RiskLevels(), f.Risk))
	one(qingting.FieldSignal, f.Signals != nil, f.Signals, knownCodes(qingting.Signals(), f.Signals))
	one(qingting.FieldClaim, f.Claims != nil, f.Claims, knownCodes(qingting.Claims(), f.Claims))
	one(qingting.FieldStyle, f.Style != nil, f.Style, knownCode(qingting.Styles(), f.Style))
	one(qingting.FieldOutcome, f.Outcome != nil, f.Outcome, knownCode(qingting.Outcomes(), f.Outcome))
	return out, err
}

func knownCode[T comparable](all []T, v *T) bool { return v == nil || slices.Contains(all, *v) }

func knownCodes[T comparable](all, list []T) bool {
	return !slices.ContainsFunc(list, func(v T) bool { return !slices.Contains(all, v) })
}

func (s *Server) getLabels(ctx context.Context, in *ByID) (*answer[list[store.Label]], error) {
	if _, err := s.conversation(ctx, in.ID); err != nil {
		return nil, err
	}
	return listed(s.options.Records.Labels(ctx, key(ctx, in.ID)))
}

// putLabels answers PUT /v1/conversations/{id}/labels: what is in the body
// stands, the rest is the analysis's again. Labels that stay keep their author.
func (s *Server) putLabels(ctx context.Context, in *struct {
	ByID
	Body labelFields
},
) (*answer[list[store.Label]], error) {
	c, err := s.conversation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	wanted, err := in.Body.fields()
	if err != nil {
		return nil, err
	}
	k := key(ctx, in.ID)
	before, err := s.options.Records.Labels(ctx, k)
	if err != nil {
		return nil, err
	}
	var changes []store.Label
	for _, l := range before {
		if wanted[l.Field] == nil {
			changes = append(changes, store.Label{Field: l.Field})
		}
	}
	for field, v := range wanted {
		value, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		same := func(l store.Label) bool { return l.Field == field && bytes.Equal(l.Value, value) }
		if !slices.ContainsFunc(before, same) {
			changes = append(changes, store.Label{Field: field, Value: value, By: access.Of(ctx).ID, At: time.Now().UTC()})
		}
	}
	if len(changes) > 0 {
		if err := s.options.Records.SetLabels(ctx, k, changes, nil); err != nil {
			return nil, err
		}
		s.options.Live.Publish(qingting.Event{Type: qingting.EventConversation, Tenant: k.Tenant, Team: c.Team, Conversation: c.ID, Seq: c.Version, Data: c})
	}
	return listed(s.options.Records.Labels(ctx, k))
}

func (s *Server) listPromises(ctx context.Context, in *ByID) (*answer[list[qingting.Promise]], error) {
	state, err := s.state(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return listed(state.Promises, nil)
}

func (s *Server) settlePromise(ctx context.Context, in *struct {
	ByID
	Promise string `path:"promise" maxLength:"128"`
	Body    struct {
		State qingting.PromiseState `json:"state" required:"true" enum:"kept,cancelled" doc:"kept：已兑现；cancelled：作废"`
	}
},
) (*answer[qingting.Promise], error) {
	if _, err := s.conversation(ctx, in.ID); err != nil {
		return nil, err
	}
	p, err := s.options.Live.SettlePromise(ctx, key(ctx, in.ID), in.Promise, in.Body.State, access.Of(ctx).ID)
	if err != nil {
		return nil, err
	}
	return ok(p)
}

// conceal hides the personal data in what a member of staff typed: people copy
// numbers and names out of the conversation.
func (s *Server) conceal(text string) string {
	if s.options.Conceal != nil {
		text, _ = s.options.Conceal(text)
	}
	return text
}

// feedbackFields is what an agent did with a draft.
type feedbackFields struct {
	Action qingting.FeedbackAction `json:"action" required:"true" enum:"inserted,edited,replaced,rejected" doc:"插入、编辑、换一条、不合适"`
	Text   string                  `json:"text" maxLength:"4000" doc:"实际发出的话"`
	Reason string                  `json:"reason" maxLength:"500"`
}

// suggestionFeedback answers POST
// /v1/conversations/{id}/suggestions/{suggestion}/feedback. The draft is kept
// as it was shown, so it must be one of the latest analysis.
func (s *Server) suggestionFeedback(ctx context.Context, in *struct {
	ByID
	Suggestion string `path:"suggestion" maxLength:"128"`
	Body       feedbackFields
},
) (*answer[qingting.Feedback], error) {
	state, err := s.state(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var a struct {
		Suggestions []qingting.Suggestion `json:"suggestions"`
	}
	if len(state.Analysis) > 0 {
		if err := json.Unmarshal(state.Analysis, &a); err != nil {
			return nil, err
		}
	}
	at := slices.IndexFunc(a.Suggestions, func(d qingting.Suggestion) bool { return d.ID == in.Suggestion })
	if at < 0 {
		return nil, problem(http.StatusNotFound, "suggestion_not_found", "最新的分析里没有这条建议，可能已经更新，请重新读取")
	}
	p := access.Of(ctx)
	f := qingting.Feedback{
		Tenant: p.Tenant, ID: qingting.NewID("fb"), Conversation: in.ID, Suggestion: a.Suggestions[at],
		Action: in.Body.Action, Text: s.conceal(in.Body.Text), Reason: s.conceal(in.Body.Reason), By: p.ID, At: time.Now().UTC().Truncate(time.Microsecond),
	}
	if f, err = s.options.Records.AddFeedback(ctx, f); err != nil {
		return nil, err
	}
	return created(f)
}

func (s *Server) listFeedback(ctx context.Context, in *ByID) (*answer[list[qingting.Feedback]], error) {
	if _, err := s.conversation(ctx, in.ID); err != nil {
		return nil, err
	}
	return listed(s.options.Records.FeedbackOf(ctx, key(ctx, in.ID)))
}

// Linter checks a reply before it is sent; *lint.Linter is one. It may be
// called concurrently.
type Linter interface {
	Check(text string, c lint.Context) []lint.Finding
}

// linted is what is wrong with a reply.
type linted struct {
	Findings []lint.Finding `json:"findings"`
	Rewrite  string         `json:"rewrite" doc:"能直接改的都改好了的全文；没有可改的就是原文"`
}

func (s *Server) lintText(ctx context.Context, in *struct {
	Body struct {
		Text         string `json:"text" required:"true"`
		Conversation string `json:"conversation_id" maxLength:"128" doc:"给出后，会检查有没有再问客户已经说过的事"`
		Due          string `json:"due" maxLength:"64" doc:"期限的说法，如 今天18点前；有它才能补上承诺里缺的期限"`
	}
},
) (*answer[linted], error) {
	if s.options.Lint == nil {
		return nil, errOff
	}
	text := in.Body.Text
	if n := utf8.RuneCountInString(text); strings.TrimSpace(text) == "" || n > qingting.MaxMessageRunes {
		return nil, problem(http.StatusUnprocessableEntity, "bad_text", "text 应当有 1 到 %d 个字", qingting.MaxMessageRunes)
	}
	c := lint.Context{Due: in.Body.Due}
	if in.Body.Conversation != "" {
		p := access.Of(ctx)
		if !p.May(access.ReadTalk) {
			return nil, problem(http.StatusForbidden, "forbidden", "您的角色或密钥没有这项权限（%s），请联系管理员", access.ReadTalk)
		}
		state, err := s.state(ctx, in.Body.Conversation)
		if err != nil {
			return nil, err
		}
		var a struct {
			Slots []qingting.Slot `json:"slots"`
		}
		if len(state.Analysis) > 0 {
			if err := json.Unmarshal(state.Analysis, &a); err != nil {
				return nil, err
			}
		}
		c.Known = a.Slots
	}
	out := linted{Findings: s.options.Lint.Check(text, c)}
	out.Rewrite = lint.Rewrite(text, out.Findings)
	if out.Findings == nil {
		out.Findings = []lint.Finding{}
	}
	return ok(out)
}

// handover is what the next person needs so that the customer does not have to
// say it again (交接包).
type handover struct {
	Conversation qingting.Conversation `json:"conversation"`
	Problem      string                `json:"problem" doc:"客户说的最要紧的一句话"`
	Types        []qingting.TypeScore  `json:"types"`
	Emotion      *qingting.Emotion     `json:"emotion"`
	Risk         *qingting.Risk        `json:"risk"`
	Priority     qingting.Priority     `json:"priority,omitempty"`
	Routes       []qingting.Route      `json:"routes,omitempty"`
	Claims       []qingting.Claim      `json:"claims"`
	Slots        []qingting.Slot       `json:"slots" doc:"客户已经说过的事实，不要再问"`
	Promises     []qingting.Promise    `json:"promises" doc:"客服承诺过的事"`
	Replies      []handedReply         `json:"replies" doc:"客服说过的话，先后为序，最多最近 20 条"`
	Alerts       []qingting.Alert      `json:"alerts"`
	Clocks       []live.Clock          `json:"clocks"`
	Labels       []store.Label         `json:"labels"`
	Earlier      []string              `json:"earlier" doc:"同一客户同一事由的其他会话"`
	Stale        bool                  `json:"stale" doc:"还有消息没读进分析"`
}

type handedReply struct {
	Seq  int       `json:"seq"`
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// handedReplies is how many replies a handover shows.
const handedReplies = 20

func (s *Server) getHandover(ctx context.Context, in *ByID) (*answer[handover], error) {
	state, err := s.state(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	labels, err := s.options.Records.Labels(ctx, key(ctx, in.ID))
	if err != nil {
		return nil, err
	}
	out := handover{
		Conversation: state.Conversation, Problem: state.Conversation.Overview.Quote, Promises: state.Promises, Alerts: state.Alerts,
		Clocks: state.Clocks, Labels: labels, Earlier: state.Conversation.Earlier, Stale: state.Conversation.Analysed < state.Conversation.Version,
		Replies: []handedReply{},
	}
	if len(state.Analysis) > 0 {
		var a qingting.Analysis
		if err := json.Unmarshal(state.Analysis, &a); err != nil {
			return nil, err
		}
		out.Types, out.Emotion, out.Risk, out.Priority, out.Routes, out.Claims, out.Slots = a.Types, &a.Emotion, &a.Risk, a.Priority, a.Routes, a.Claims, a.Slots
	}
	for _, m := range state.Messages {
		if m.Role == qingting.RoleAgent {
			out.Replies = append(out.Replies, handedReply{m.Seq, m.Received, m.Text})
		}
	}
	out.Replies = out.Replies[max(0, len(out.Replies)-handedReplies):]
	noNil(&out)
	return ok(out)
}

// noNil makes the nil lists of a struct empty ones, for JSON.
func noNil(v any) {
	e := reflect.ValueOf(v).Elem()
	for i := range e.NumField() {
		if f := e.Field(i); f.Kind() == reflect.Slice && f.IsNil() && !strings.Contains(e.Type().Field(i).Tag.Get("json"), "omitempty") {
			f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		}
	}
}

func errorsUnsupported(err error) bool { return errors.Is(err, errors.ErrUnsupported) }
