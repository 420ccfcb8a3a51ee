package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	utf "golang.org/x/text/encoding/unicode"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// waitTimeout is how long ?wait=analysis waits. The write is durable before
// it, so that the answer then says that the analysis is still to come.
const waitTimeout = 8 * time.Second

// reach is whose conversations the asker sees.
func (s *Server) reach(ctx context.Context) (access.Reach, error) {
	if s.options.Access == nil {
		return access.Reach{All: true}, nil
	}
	return s.options.Access.Reach(ctx, access.Of(ctx))
}

// conversation is one that the asker may see. Another tenant's and another
// team's are not found: that they exist is none of his business.
func (s *Server) conversation(ctx context.Context, id string) (qingting.Conversation, error) {
	if s.options.Records == nil || s.options.Live == nil {
		return qingting.Conversation{}, errOff
	}
	c, err := s.options.Records.Conversation(ctx, key(ctx, id))
	if err != nil {
		return c, err
	}
	reach, err := s.reach(ctx)
	if err == nil && !reach.Sees(c.Team) {
		err = qingting.ErrNotFound
	}
	return c, err
}

// ingested is the answer of a write.
type ingested struct {
	// Conversation is nil while nothing of it is kept.
	Conversation *qingting.Conversation `json:"conversation,omitempty"`
	Results      []live.Result          `json:"results" doc:"和 messages 一一对应：created、duplicate 或 partial"`
	// AnalysisStatus is there with ?wait=analysis.
	AnalysisStatus string          `json:"analysis_status,omitempty" doc:"wait=analysis 时：done、pending（还没分析完）或 failed"`
	Analysis       json.RawMessage `json:"analysis,omitempty"`
}

// createInput and messagesInput describe what ingest reads by hand.
type createInput struct {
	Wait string `query:"wait" enum:"analysis" doc:"analysis：等读过这次内容的分析，最多 8 秒"`
	Body struct {
		qingting.Transcript
		Team  string `json:"team"`
		Agent string `json:"agent"`
	}
}

type messagesInput struct {
	ByID
	Wait string `query:"wait" enum:"analysis"`
	Body struct {
		Messages []qingting.Message `json:"messages" required:"true"`
	}
}

// ingest answers POST /v1/conversations and POST
// /v1/conversations/{id}/messages. Messages are idempotent by message_id.
func (s *Server) ingest(c *gin.Context) error {
	if s.options.Live == nil {
		return errOff
	}
	ctx, id := c.Request.Context(), c.Param("id")
	wait := c.Query("wait")
	if wait != "" && wait != "analysis" {
		return problem(http.StatusBadRequest, "bad_parameter", "wait 只能是 analysis")
	}
	req, err := readIngest(c, id)
	if err != nil {
		return err
	}
	p := access.Of(ctx)
	req.Tenant = p.Tenant
	if err := s.mayIngest(ctx, &req, id != ""); err != nil {
		return err
	}
	receipt, err := s.options.Live.Ingest(ctx, req)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if id == "" && len(receipt.Results) == 0 && receipt.Conversation.Version <= 1 || slices.ContainsFunc(receipt.Results, func(r live.Result) bool { return r.Status == live.StatusCreated }) {
		status = http.StatusCreated
	}
	if receipt.Conversation.Created.IsZero() {
		// Unfinished words alone are told to listeners and make no conversation.
		return reply(c, http.StatusAccepted, ingested{Results: receipt.Results})
	}
	out := ingested{Conversation: &receipt.Conversation, Results: receipt.Results}
	if wait != "" && receipt.Conversation.Version > 0 {
		within, cancel := context.WithTimeout(ctx, waitTimeout)
		defer cancel()
		state, err := s.options.Live.Wait(within, qingting.Key{Tenant: p.Tenant, ID: receipt.Conversation.ID}, receipt.Conversation.Version)
		switch {
		case err == nil:
			out.AnalysisStatus, out.Analysis, out.Conversation = "done", state.Analysis, &state.Conversation
		case errors.Is(err, live.ErrAnalysis):
			out.AnalysisStatus = "failed"
		default:
			// Whatever it is, the messages are kept and must not be sent again.
			out.AnalysisStatus = "pending"
		}
	}
	return reply(c, status, out)
}

// mayIngest holds a write against the teams that the asker reaches: neither
// into a conversation of another team, nor for one. A key of a team begins
// conversations of that team.
func (s *Server) mayIngest(ctx context.Context, req *live.IngestRequest, known bool) error {
	reach, err := s.reach(ctx)
	if err != nil || reach.All && !known {
		return err
	}
	if !reach.Sees(req.Team) {
		return problem(http.StatusForbidden, "forbidden_team", "您的密钥不属于这个团队")
	}
	if s.options.Records == nil || req.Conversation == "" {
		req.Team = ownTeam(ctx, req.Team)
		return nil
	}
	found, err := s.options.Records.Conversation(ctx, qingting.Key{Tenant: req.Tenant, ID: req.Conversation})
	switch {
	case errors.Is(err, qingting.ErrNotFound) && !known:
		req.Team = ownTeam(ctx, req.Team)
		return nil
	case err != nil:
		return err
	case !reach.Sees(found.Team):
		return qingting.ErrNotFound
	}
	return nil
}

func ownTeam(ctx context.Context, team string) string {
	if team == "" {
		return access.Of(ctx).Team
	}
	return team
}

// readIngest reads the messages of a request. A body of one message alone is
// taken too.
func readIngest(c *gin.Context, id string) (live.IngestRequest, error) {
	data, _, charset, err := body(c, "application/json")
	if err != nil {
		return live.IngestRequest{}, err
	}
	if charset == "utf-8" || charset == "utf8" {
		if err := transcript.CheckJSON(data); err != nil && len(bytes.TrimSpace(data)) > 0 {
			return live.IngestRequest{}, err
		}
	}
	var extra struct {
		ID          string          `json:"id"`
		Channel     string          `json:"channel"`
		CustomerRef string          `json:"customer_ref"`
		Team        string          `json:"team"`
		Agent       string          `json:"agent"`
		Role        string          `json:"role"`
		Messages    json.RawMessage `json:"messages"`
	}
	// What is wrong with it, the reader of transcripts says better.
	plain := json.Unmarshal(inUTF8(data, charset), &extra) == nil
	none := len(extra.Messages) == 0 || string(bytes.TrimSpace(extra.Messages)) == "[]"
	alone := plain && none && extra.Role != ""
	var t qingting.Transcript
	switch {
	case plain && id == "" && none && extra.Role == "":
		t = qingting.Transcript{ID: extra.ID, Channel: extra.Channel, CustomerRef: extra.CustomerRef}
	default:
		if alone {
			data, charset = slices.Concat([]byte(`{"messages":[`), inUTF8(data, charset), []byte(`]}`)), "utf-8"
		}
		read, err := transcript.OneRecord(bytes.NewReader(data), transcript.Options{Format: transcript.FormatJSON, Charset: charset})
		if err != nil {
			return live.IngestRequest{}, err
		}
		t = read.Transcript
		if alone { // what stands beside its role and text is of the conversation
			t.ID, t.Channel, t.CustomerRef = extra.ID, extra.Channel, extra.CustomerRef
		}
	}
	req := live.IngestRequest{
		Conversation: t.ID, Channel: t.Channel, CustomerRef: t.CustomerRef, Team: extra.Team, Agent: extra.Agent, Messages: t.Messages,
	}
	if id != "" {
		if t.ID != "" && t.ID != id {
			return req, problem(http.StatusUnprocessableEntity, "wrong_conversation", "请求体里的 id 和路径里的不同，请去掉一个")
		}
		req.Conversation = id
	}
	for field, v := range map[string]string{"id": req.Conversation, "team": req.Team, "agent": req.Agent, "channel": req.Channel} {
		if err := checkID(field, v); err != nil {
			return req, err
		}
	}
	if err := checkMessageIDs(req.Messages); err != nil {
		return req, err
	}
	if utf8.RuneCountInString(req.CustomerRef) > maxRef {
		return req, &qingting.InputError{Code: "bad_customer_ref", Where: "customer_ref", Message: "最多 256 个字"}
	}
	return req, nil
}

const (
	maxRef = 256
)

// checkID refuses ids that cannot stand in an address or a log, and those that
// look like another one: a direction mark or a zero-width space is not seen.
func checkID(field, id string) error {
	if !goodID(id) || strings.Contains(id, "/") || strings.ContainsFunc(id, unicode.IsSpace) {
		return &qingting.InputError{Code: "bad_" + field, Where: field, Message: "最多 128 个字，不能有空格、斜线、控制字符和看不见的字符，也不能是 . 或 .."}
	}
	return nil
}

// checkMessageIDs does the same for messages; their ids stand in no address.
func checkMessageIDs(messages []qingting.Message) error {
	for i := range messages {
		if !goodID(messages[i].ID) {
			return &qingting.InputError{
				Code: "bad_message_id", Where: "messages[" + strconv.Itoa(i) + "].message_id",
				Message: "最多 128 个字，不能有控制字符和看不见的字符，也不能是 . 或 ..",
			}
		}
	}
	return nil
}

// goodID is what every id must be; "" is none and good.
func goodID(id string) bool {
	return id == "" || qingting.ValidID(id)
}

// inUTF8 decodes a body that the reader of transcripts checks for bad bytes.
func inUTF8(data []byte, charset string) []byte {
	var e encoding.Encoding
	switch charset {
	case "gb18030", "gbk", "gb2312", "cp936", "gb-18030":
		e = simplifiedchinese.GB18030
	case "big5", "big-5", "cp950":
		e = traditionalchinese.Big5
	case "utf-16", "utf16", "utf-16le", "utf16le":
		e = utf.UTF16(utf.LittleEndian, utf.UseBOM)
	case "utf-16be", "utf16be":
		e = utf.UTF16(utf.BigEndian, utf.UseBOM)
	default:
		return data
	}
	out, err := e.NewDecoder().Bytes(data)
	if err != nil {
		return nil
	}
	return out
}

// listInput narrows the list of conversations.
type listInput struct {
	Paged
	State       qingting.ConversationState `query:"state" enum:"open,closed"`
	Team        string                     `query:"team" maxLength:"128"`
	Agent       string                     `query:"agent" maxLength:"128" doc:"me 是自己"`
	Risk        []qingting.RiskLevel       `query:"risk,explode" enum:"low,medium,high"`
	Priority    []qingting.Priority        `query:"priority,explode" enum:"P0,P1,P2,P3"`
	Primary     []qingting.Type            `query:"primary,explode" maxLength:"64"`
	CustomerRef string                     `query:"customer_ref" maxLength:"256"`
	From        time.Time                  `query:"updated_from" doc:"不早于"`
	To          time.Time                  `query:"updated_to" doc:"早于"`
	Order       string                     `query:"order" enum:"newest,oldest" default:"newest" doc:"oldest 适合同步：变动的会话之后还会出现"`
}

func (s *Server) listConversations(ctx context.Context, in *listInput) (*answer[page1[qingting.Conversation]], error) {
	if s.options.Records == nil {
		return nil, errOff
	}
	teams, err := s.teams(ctx, in.Team)
	if err != nil {
		return nil, err
	}
	f := store.ConversationFilter{
		State: in.State, Teams: teams, Agent: in.Agent, Risk: in.Risk, Priority: in.Priority, Primary: in.Primary,
		CustomerRef: s.options.Live.Reference(in.CustomerRef), From: in.From, To: in.To, OldestFirst: in.Order == "oldest",
	}
	if f.Agent == "me" {
		f.Agent = access.Of(ctx).ID
	}
	return turned(s.options.Records.Conversations(ctx, access.Of(ctx).Tenant, f, in.Cursor, in.Limit))
}

// teams are the teams a list is narrowed to: the one that is asked for, when
// the asker reaches it, else all that he reaches; nil for everything.
func (s *Server) teams(ctx context.Context, team string) ([]string, error) {
	reach, err := s.reach(ctx)
	switch {
	case err != nil:
		return nil, err
	case team != "" && !reach.Sees(team):
		return nil, problem(http.StatusForbidden, "forbidden_team", "您看不到这个团队")
	case team != "":
		return []string{team}, nil
	case reach.All:
		return nil, nil
	}
	return reach.Teams, nil
}

func (s *Server) getConversation(ctx context.Context, in *ByID) (*answer[qingting.Conversation], error) {
	c, err := s.conversation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return ok(c)
}

func (s *Server) getState(ctx context.Context, in *ByID) (*answer[live.State], error) {
	state, err := s.state(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return ok(*state)
}

func (s *Server) state(ctx context.Context, id string) (*live.State, error) {
	if _, err := s.conversation(ctx, id); err != nil {
		return nil, err
	}
	return s.options.Live.State(ctx, key(ctx, id))
}

func (s *Server) listMessages(ctx context.Context, in *struct {
	ByID
	Paged
},
) (*answer[page1[qingting.StoredMessage]], error) {
	if _, err := s.conversation(ctx, in.ID); err != nil {
		return nil, err
	}
	return turned(s.options.Records.MessagesPage(ctx, key(ctx, in.ID), in.Cursor, in.Limit))
}

// analysis is the latest analysis of a conversation with what people said of
// its labels: theirs win.
type analysisBody struct {
	Conversation string          `json:"conversation_id"`
	Version      int64           `json:"version" doc:"会话现在的版本"`
	Analysed     int64           `json:"analysed" doc:"这份分析读到的版本；落后时分析还在进行"`
	Failed       bool            `json:"failed" doc:"最新的版本没能分析"`
	Analysis     json.RawMessage `json:"analysis" doc:"和 /v1/analyze 的应答相同；还没有时是 null"`
	Labels       []store.Label   `json:"labels" doc:"人工改过的标签，以它们为准"`
	Clocks       []live.Clock    `json:"clocks"`
}

func (s *Server) getAnalysis(ctx context.Context, in *struct {
	ByID
	Wait    string `query:"wait" enum:"analysis" doc:"analysis：等到读过 version 的分析，最多 8 秒"`
	Version int64  `query:"version" minimum:"0" maximum:"9007199254740991" doc:"不填是现在的版本"`
},
) (*answer[analysisBody], error) {
	c, err := s.conversation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if in.Wait != "" {
		within, cancel := context.WithTimeout(ctx, waitTimeout)
		defer cancel()
		version := in.Version
		if version == 0 {
			version = c.Version
		}
		if _, err := s.options.Live.Wait(within, key(ctx, in.ID), version); err != nil && !errors.Is(err, live.ErrAnalysis) && within.Err() == nil {
			return nil, err
		}
	}
	state, err := s.options.Live.State(ctx, key(ctx, in.ID))
	if err != nil {
		return nil, err
	}
	labels, err := s.options.Records.Labels(ctx, key(ctx, in.ID))
	if err != nil {
		return nil, err
	}
	out := analysisBody{
		Conversation: in.ID, Version: state.Conversation.Version, Analysed: state.Conversation.Analysed, Failed: state.Failed,
		Analysis: state.Analysis, Labels: labels, Clocks: state.Clocks,
	}
	if len(out.Analysis) == 0 {
		out.Analysis = json.RawMessage("null")
	}
	if out.Labels == nil {
		out.Labels = []store.Label{}
	}
	return ok(out)
}

// closingFields is how a person ends a conversation.
type closingFields struct {
	Outcome   qingting.Outcome    `json:"outcome" required:"true" maxLength:"32"`
	Satisfied int                 `json:"satisfaction" minimum:"0" maximum:"5"`
	Solution  string              `json:"solution" maxLength:"2000"`
	Remedy    qingting.RemedyCode `json:"remedy" maxLength:"32"`
	Cost      float64             `json:"cost" minimum:"0" maximum:"1000000000"`
	Note      string              `json:"note" maxLength:"2000"`
}

func (s *Server) closeConversation(ctx context.Context, in *struct {
	ByID
	Body closingFields
},
) (*answer[qingting.Conversation], error) {
	if _, err := s.conversation(ctx, in.ID); err != nil {
		return nil, err
	}
	b := &in.Body
	if !slices.Contains(qingting.Outcomes(), b.Outcome) {
		return nil, wrongField("outcome", "不是已知的代码，可用的见 /v1/taxonomy")
	}
	c, err := s.options.Live.Close(ctx, key(ctx, in.ID), qingting.Closing{
		By: access.Of(ctx).ID, Outcome: b.Outcome, Satisfied: b.Satisfied, Solution: s.conceal(b.Solution), Remedy: b.Remedy, Cost: b.Cost, Note: s.conceal(b.Note),
	})
	if err != nil {
		return nil, err
	}
	return ok(c)
}

func (s *Server) assign(ctx context.Context, in *struct {
	ByID
	Body struct {
		Agent *string `json:"agent" maxLength:"128" doc:"用户编号；空字符串是取消"`
		Team  *string `json:"team" maxLength:"64"`
	}
},
) (*answer[qingting.Conversation], error) {
	c, err := s.conversation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	reach, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	tenant := access.Of(ctx).Tenant
	if team := in.Body.Team; team != nil {
		if !reach.Sees(*team) {
			return nil, problem(http.StatusForbidden, "forbidden_team", "您不能分给这个团队")
		}
		if g := s.options.Access; g != nil && *team != "" {
			if _, err := g.Store().Team(ctx, tenant, *team); errors.Is(err, qingting.ErrNotFound) {
				return nil, problem(http.StatusUnprocessableEntity, "unknown_team", "没有这个团队")
			} else if err != nil {
				return nil, err
			}
		}
	}
	if agent := in.Body.Agent; agent != nil && *agent != "" && s.options.Access != nil {
		if u, err := s.options.Access.Store().User(ctx, tenant, *agent); errors.Is(err, qingting.ErrNotFound) || err == nil && u.Disabled {
			return nil, problem(http.StatusUnprocessableEntity, "unknown_agent", "没有这个用户，或者已经停用")
		} else if err != nil {
			return nil, err
		}
	}
	if in.Body.Team != nil {
		if c, err = s.options.Live.SetTeam(ctx, key(ctx, in.ID), *in.Body.Team); err != nil {
			return nil, err
		}
	}
	if in.Body.Agent != nil {
		if c, err = s.options.Live.SetAgent(ctx, key(ctx, in.ID), *in.Body.Agent); err != nil {
			return nil, err
		}
	}
	return ok(c)
}
