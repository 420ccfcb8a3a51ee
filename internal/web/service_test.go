package web

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/suggest/lint"
)

// fakePipeline reads conversations for the live service by one rule: 12315 is
// a high risk. The real pipeline is tested behind the real service in
// cmd/qingting.
type fakePipeline struct{}

func (fakePipeline) Prepare(_ context.Context, m qingting.Message, _ qingting.Mode) (*qingting.Prepared, error) {
	clean := []rune(m.Text)
	p := &qingting.Prepared{Message: m, Clean: clean}
	for i := range clean {
		p.From, p.To = append(p.From, int32(i)), append(p.To, int32(i+1))
	}
	return p, nil
}

func (f fakePipeline) AnalyzePrepared(ctx context.Context, t qingting.Transcript, ms []*qingting.Prepared, mode qingting.Mode) (*qingting.Analysis, error) {
	level, err := f.Level(ctx, t, ms, mode)
	if err != nil {
		return nil, err
	}
	a := &qingting.Analysis{
		Schema: "1", Taxonomy: qingting.TaxonomyVersion, Mode: mode, ID: &t.ID, Kind: qingting.Score[qingting.Kind]{Code: qingting.KindComplaint, Confidence: 1},
		Emotion: qingting.Emotion{Code: "calm"}, Risk: qingting.Risk{Level: level, Signals: []qingting.Signal{}}, Priority: qingting.PriorityP3,
		Slots:       []qingting.Slot{{Kind: qingting.SlotOrderNumber, Value: "A1024"}},
		Suggestions: []qingting.Suggestion{{ID: "sg1", Style: qingting.StyleRational, Text: "已为您登记"}},
		AsOf:        qingting.AsOf{Message: len(ms) - 1},
	}
	if level == qingting.RiskHigh {
		a.Priority, a.Risk.Score = qingting.PriorityP1, 0.9
		for i, m := range ms {
			if at := strings.Index(m.Text, "12315"); at >= 0 {
				start := len([]rune(m.Text[:at]))
				a.Risk.Signals = append(a.Risk.Signals, qingting.Signal{
					Code: "regulator", Source: "rule:test", Weight: 1,
					Span: qingting.Span{Message: i, MessageID: m.ID, Start: start, End: start + 5, Quote: "12315"},
				})
			}
		}
	}
	return a, nil
}

func (fakePipeline) Level(_ context.Context, _ qingting.Transcript, ms []*qingting.Prepared, _ qingting.Mode) (qingting.RiskLevel, error) {
	for _, m := range ms {
		if m.Role == qingting.RoleCustomer && strings.Contains(m.Text, "12315") {
			return qingting.RiskHigh, nil
		}
	}
	return qingting.RiskLow, nil
}

// service is a whole server over a real store and a real live service.
type service struct {
	*Server
	t     testing.TB
	store *store.Store
	live  *live.Service
	guard *access.Guard
}

// newService starts one; local makes everybody an admin until somebody has
// been set up.
func newService(t testing.TB, local bool, change func(*Options)) *service {
	t.Helper()
	kept, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "q.db"))
	require.NoError(t, err)
	guard, err := access.New(kept, access.Options{Local: local})
	require.NoError(t, err)
	alive, err := live.New(live.Parts{
		Pipelines: func(string) (live.Pipeline, error) { return fakePipeline{}, nil }, Store: kept,
		FindPromises: func(ms []qingting.StoredMessage) []qingting.Promise {
			var out []qingting.Promise
			for i, m := range ms {
				if m.Role == qingting.RoleAgent && strings.Contains(m.Text, "退款") {
					out = append(out, qingting.Promise{ID: "pr_" + m.ID, What: qingting.RemedyRefund, Span: qingting.Span{Message: i, MessageID: m.ID, Quote: "退款"}})
				}
			}
			return out
		},
	}, live.Options{Workers: 2})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- alive.Run(ctx) }()
	linter, err := lint.New()
	require.NoError(t, err)
	o := Options{
		Access: guard, Live: alive, Records: kept, Lint: linter, Heartbeat: 50 * time.Millisecond, UserRate: -1,
		TenantCases: func(string) (Cases, error) { return fakeCases{}, nil },
		TenantAnalyzer: func(string) (Analyzer, error) {
			return &fakeAnalyzer{}, nil
		},
	}
	if change != nil {
		change(&o)
	}
	s := &service{newServer(t, &fakeAnalyzer{}, o), t, kept, alive, guard}
	t.Cleanup(func() {
		s.endStreams()
		stop()
		require.NoError(t, <-ended)
		s.sockets.Wait()
		require.NoError(t, kept.Close())
	})
	return s
}

// key makes an API key.
func (s *service) key(tenant, team string, scopes ...access.Scope) string {
	s.t.Helper()
	_, secret, err := s.guard.NewKey(s.t.Context(), access.Key{Tenant: tenant, Name: "测试", Team: team, Scopes: scopes})
	require.NoError(s.t, err)
	return secret
}

const password = "一个足够长的测试密码啊啊"

// user makes a user and logs in; the cookie is returned.
func (s *service) user(tenant, login, team string, role access.Role) (access.User, *http.Cookie) {
	s.t.Helper()
	u, err := s.guard.NewUser(s.t.Context(), access.User{Tenant: tenant, Login: login, Name: login, Role: role, Team: team}, password)
	require.NoError(s.t, err)
	w := httptest.NewRecorder()
	_, err = s.guard.Login(s.t.Context(), w, login, password, "test")
	require.NoError(s.t, err)
	return u, w.Result().Cookies()[0]
}

// ask sends a request. who is a key, a *http.Cookie or nil; body is a string,
// or a value for JSON.
func (s *service) ask(who any, method, path string, body any, headers ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		require.NoError(s.t, err)
		in = strings.NewReader(string(data))
	}
	r := httptest.NewRequest(method, "http://localhost"+path, in)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	switch who := who.(type) {
	case string:
		r.Header.Set("Authorization", "Bearer "+who)
	case *http.Cookie:
		r.AddCookie(who)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// read decodes an answer that must have the status.
func read[T any](t testing.TB, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	var out T
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	return out
}

func codeOf(t testing.TB, w *httptest.ResponseRecorder, status int) string {
	t.Helper()
	p := read[Problem](t, w, status)
	require.Equal(t, "application/problem+json; charset=utf-8", w.Header().Get("Content-Type"))
	require.Equal(t, status, p.Status)
	require.Equal(t, "urn:qingting:problem:"+p.Code, p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Instance)
	return p.Code
}

type m = map[string]any

func customer(id, text string) m { return m{"message_id": id, "role": "customer", "text": text} }

func TestConversationFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	got := read[ingestedOutput](t, s.ask(nil, "POST", "/v1/conversations?wait=analysis", m{
		"id": "c1", "channel": "im", "customer_ref": "k7", "messages": []m{customer("m1", "话费扣多了😡，订单 A1024"), {"message_id": "m2", "role": "agent", "text": "我今天给您退款"}},
	}), 201)
	require.Equal(t, "done", got.AnalysisStatus)
	require.Equal(t, qingting.RiskLow, got.Analysis.Risk.Level)
	require.Equal(t, []live.Result{{MessageID: "m1", Seq: 1, Status: "created"}, {MessageID: "m2", Seq: 2, Status: "created"}}, got.Results)
	require.Equal(t, got.Conversation.Version, got.Conversation.Analysed)

	again := read[ingestedOutput](t, s.ask(nil, "POST", "/v1/conversations/c1/messages", m{"messages": []m{customer("m1", "话费扣多了😡，订单 A1024")}}), 200)
	require.Equal(t, live.StatusDuplicate, again.Results[0].Status)
	require.Equal(t, got.Conversation.Version, again.Conversation.Version)
	require.Equal(t, "conflict", codeOf(t, s.ask(nil, "POST", "/v1/conversations/c1/messages", customer("m1", "另一句")), 409))
	require.Equal(t, "not_found", codeOf(t, s.ask(nil, "POST", "/v1/conversations/c9/messages", customer("m1", "一")), 404))

	one := read[ingestedOutput](t, s.ask(nil, "POST", "/v1/conversations/c1/messages?wait=analysis", customer("m3", "再不退我就打12315")), 201)
	require.Equal(t, qingting.RiskHigh, one.Analysis.Risk.Level)

	page := read[page1[qingting.StoredMessage]](t, s.ask(nil, "GET", "/v1/conversations/c1/messages?limit=2", nil), 200)
	require.Len(t, page.Items, 2)
	page = read[page1[qingting.StoredMessage]](t, s.ask(nil, "GET", "/v1/conversations/c1/messages?limit=2&cursor="+page.Next, nil), 200)
	require.Len(t, page.Items, 1)
	require.Equal(t, "m3", page.Items[0].ID)
	require.Empty(t, page.Next)

	listed := read[page1[qingting.Conversation]](t, s.ask(nil, "GET", "/v1/conversations?risk=high&state=open&customer_ref=k7", nil), 200)
	require.Len(t, listed.Items, 1)
	require.Empty(t, read[page1[qingting.Conversation]](t, s.ask(nil, "GET", "/v1/conversations?state=closed", nil), 200).Items)
	state := read[live.State](t, s.ask(nil, "GET", "/v1/conversations/c1/state", nil), 200)
	require.Len(t, state.Messages, 3)
	require.Len(t, state.Alerts, 1)

	alerts := read[page1[qingting.Alert]](t, s.ask(nil, "GET", "/v1/alerts?open=true", nil), 200)
	require.Len(t, alerts.Items, 1)
	at := "/v1/alerts/" + alerts.Items[0].ID
	require.Equal(t, "missing_reason", codeOf(t, s.ask(nil, "POST", at+"/resolve", nil), 422))
	require.Equal(t, "conflict", codeOf(t, s.ask(nil, "POST", at+"/claim", m{"version": 99}), 409))
	require.Equal(t, qingting.AlertClaimed, read[qingting.Alert](t, s.ask(nil, "POST", at+"/claim", nil), 200).State)
	require.Equal(t, qingting.AlertInProgress, read[qingting.Alert](t, s.ask(nil, "POST", at+"/start", m{}), 200).State)
	require.Equal(t, "useful", read[qingting.Alert](t, s.ask(nil, "POST", at+"/feedback", m{"feedback": "useful"}), 200).Feedback)
	require.Equal(t, qingting.AlertResolved, read[qingting.Alert](t, s.ask(nil, "POST", at+"/resolve", m{"reason": "已退款并回访"}), 200).State)
	require.Equal(t, "wrong_state", codeOf(t, s.ask(nil, "POST", at+"/claim", nil), 409))
	history := read[list[qingting.AlertEvent]](t, s.ask(nil, "GET", at+"/history", nil), 200)
	require.GreaterOrEqual(t, len(history.Items), 4)

	promises := read[list[qingting.Promise]](t, s.ask(nil, "GET", "/v1/conversations/c1/promises", nil), 200)
	require.Len(t, promises.Items, 1)
	kept := read[qingting.Promise](t, s.ask(nil, "POST", "/v1/conversations/c1/promises/"+promises.Items[0].ID, m{"state": "kept"}), 200)
	require.Equal(t, qingting.PromiseKept, kept.State)

	feedback := read[qingting.Feedback](t, s.ask(nil, "POST", "/v1/conversations/c1/suggestions/sg1/feedback", m{"action": "edited", "text": "我这就登记"}), 201)
	require.Equal(t, "已为您登记", feedback.Suggestion.Text)
	require.Equal(t, "suggestion_not_found", codeOf(t, s.ask(nil, "POST", "/v1/conversations/c1/suggestions/sg9/feedback", m{"action": "edited"}), 404))
	require.Len(t, read[list[qingting.Feedback]](t, s.ask(nil, "GET", "/v1/conversations/c1/feedback", nil), 200).Items, 1)

	labels := read[list[store.Label]](t, s.ask(nil, "PUT", "/v1/conversations/c1/labels", m{"risk": "medium", "type": []string{"price.hidden_fee"}, "intensity": 2}), 200)
	require.Len(t, labels.Items, 3)
	labels = read[list[store.Label]](t, s.ask(nil, "PUT", "/v1/conversations/c1/labels", m{"risk": "medium"}), 200)
	require.Equal(t, "local", labels.Items[0].By)
	require.Len(t, labels.Items, 1)
	require.Equal(t, "unknown_code", codeOf(t, s.ask(nil, "PUT", "/v1/conversations/c1/labels", m{"risk": "terrible"}), 422))
	analysis := read[analysisBody](t, s.ask(nil, "GET", "/v1/conversations/c1/analysis?wait=analysis", nil), 200)
	require.Len(t, analysis.Labels, 1)
	require.Equal(t, analysis.Version, analysis.Analysed)

	pack := read[handover](t, s.ask(nil, "GET", "/v1/conversations/c1/handover", nil), 200)
	require.Equal(t, "我今天给您退款", pack.Replies[0].Text)
	require.Equal(t, "A1024", pack.Slots[0].Value)
	require.Len(t, pack.Promises, 1)
	require.Contains(t, s.ask(nil, "GET", "/v1/conversations/c1/handover", nil).Body.String(), `"earlier":[]`)

	asked := read[linted](t, s.ask(nil, "POST", "/v1/lint", m{"text": "请提供一下您的订单号", "conversation_id": "c1"}), 200)
	require.Equal(t, "asked", strings.SplitN(asked.Findings[0].Rule, "_", 2)[0])

	closed := read[qingting.Conversation](t, s.ask(nil, "POST", "/v1/conversations/c1/close", m{"outcome": "resolved", "satisfaction": 5}), 200)
	require.Equal(t, qingting.ConversationClosed, closed.State)
	require.Equal(t, "local", closed.Closing.By)
	require.Equal(t, qingting.ConversationOpen, read[ingestedOutput](t, s.ask(nil, "POST", "/v1/conversations/c1/messages", customer("m4", "还有个问题")), 201).Conversation.State)
}

// TestWrongRequests: every mistake has its status, a stable code and a Chinese
// sentence that names the field and repeats nothing.
func TestWrongRequests(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	require.Equal(t, 201, s.ask(nil, "POST", "/v1/conversations", m{"id": "c1", "messages": []m{customer("m1", "在吗")}}).Code)
	for name, tt := range map[string]struct {
		method, path string
		body         any
		status       int
		code, detail string
	}{
		"角色":       {"POST", "/v1/conversations", m{"messages": []m{{"role": "boss", "text": "秘密"}}}, 422, "unknown_role", "messages[0].role"},
		"编号":       {"POST", "/v1/conversations", m{"id": "a b", "messages": []m{customer("", "一")}}, 422, "bad_id", "空格"},
		"坏字节":      {"POST", "/v1/conversations", "{\"messages\":[{\"role\":\"customer\",\"text\":\"\xff\"}]}", 400, "bad_encoding", "偏移 40"},
		"重复字段":     {"POST", "/v1/conversations", `{"id":"c1","id":"c2"}`, 400, "duplicate_field", ""},
		"两个编号":     {"POST", "/v1/conversations/c1/messages", m{"id": "c2", "messages": []m{customer("", "一")}}, 422, "wrong_conversation", ""},
		"没有消息":     {"POST", "/v1/conversations/c1/messages", m{"messages": []m{}}, 422, "empty_transcript", ""},
		"等什么":      {"POST", "/v1/conversations?wait=forever", m{}, 400, "bad_parameter", "analysis"},
		"页太大":      {"GET", "/v1/conversations?limit=999", nil, 400, "bad_parameter", "1 到 200"},
		"页不是数":     {"GET", "/v1/conversations?limit=秘密", nil, 400, "bad_parameter", "1 到 200"},
		"状态":       {"GET", "/v1/conversations?state=秘密", nil, 400, "bad_parameter", "open、closed"},
		"时间":       {"GET", "/v1/conversations?updated_from=秘密", nil, 400, "bad_parameter", "RFC 3339"},
		"游标":       {"GET", "/v1/conversations?cursor=秘密", nil, 400, "bad_cursor", ""},
		"没有结果":     {"POST", "/v1/conversations/c1/close", m{"note": "秘密"}, 422, "missing_field", "outcome"},
		"结果不认识":    {"POST", "/v1/conversations/c1/close", m{"outcome": "秘密"}, 422, "invalid_field", "outcome"},
		"类型不对":     {"POST", "/v1/conversations/c1/close", m{"outcome": 7}, 422, "wrong_type", "字符串"},
		"满意度太高":    {"POST", "/v1/conversations/c1/close", m{"outcome": "resolved", "satisfaction": 9}, 422, "invalid_field", "不能大于 5"},
		"没有请求体":    {"POST", "/v1/conversations/c1/close", nil, 400, "empty_input", ""},
		"动作":       {"POST", "/v1/conversations/c1/suggestions/x/feedback", m{"action": "秘密"}, 422, "invalid_field", "inserted、edited、replaced、rejected"},
		"没有的预警":    {"GET", "/v1/alerts/al_1", nil, 404, "not_found", ""},
		"没有的会话":    {"GET", "/v1/conversations/秘密", nil, 404, "not_found", ""},
		"没有的用户":    {"POST", "/v1/conversations/c1/assign", m{"agent": "秘密"}, 422, "unknown_agent", ""},
		"没有的团队":    {"POST", "/v1/conversations/c1/assign", m{"team": "秘密"}, 422, "unknown_team", ""},
		"空回复":      {"POST", "/v1/lint", m{"text": " "}, 422, "bad_text", ""},
		"弱密码":      {"POST", "/v1/users", m{"login": "li.si", "name": "李四", "role": "agent", "password": "123"}, 422, "weak_password", "12"},
		"角色名":      {"POST", "/v1/users", m{"login": "li.si", "name": "李四", "role": "秘密", "password": password}, 422, "invalid_field", "supervisor"},
		"没有用途":     {"POST", "/v1/keys", m{"name": "一", "scopes": []string{}}, 422, "bad_scopes", "ingest"},
		"绕圈的团队":    {"POST", "/v1/teams", m{"id": "a", "name": "甲", "parent": "没有"}, 422, "bad_parent", ""},
		"内网地址":     {"POST", "/v1/webhooks", m{"kind": "webhook", "url": "https://127.0.0.1/x"}, 422, "bad_url", ""},
		"明文地址":     {"POST", "/v1/webhooks", m{"kind": "webhook", "url": "http://example.com/x"}, 422, "bad_url", "https"},
		"压缩":       {"POST", "/v1/cases", "x", 400, "bad_json", ""},
		"事件类型":     {"GET", "/v1/events?types=秘密", nil, 400, "bad_parameter", ""},
		"别的会话的事件":  {"GET", "/v1/events?conversation_id=c9", nil, 404, "not_found", ""},
		"案例缺标题":    {"POST", "/v1/cases", m{"problem": "秘密"}, 422, "bad_case", "title"},
		"没有的案例，替换": {"PUT", "/v1/cases/c9", m{"title": "一"}, 404, "case_not_found", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.ask(nil, tt.method, tt.path, tt.body)
			require.Equal(t, tt.code, codeOf(t, w, tt.status))
			require.Contains(t, w.Body.String(), tt.detail)
			require.NotContains(t, w.Body.String(), "秘密")
		})
	}
	w := s.ask(nil, "POST", "/v1/cases", m{"title": "一"}, "Content-Encoding", "gzip")
	require.Equal(t, "compressed_body", codeOf(t, w, 415))
}

// TestOtherCharsets: what is handed in may be in the charset of an old system.
func TestOtherCharsets(t *testing.T) {
	s := newService(t, true, nil)
	body, err := gbkOf(`{"id":"g1","channel":"工单","team":"","messages":[{"role":"customer","text":"话费扣多了"}]}`)
	require.NoError(t, err)
	w := s.ask(nil, "POST", "/v1/conversations", body, "Content-Type", "application/json; charset=gbk")
	require.Equal(t, 201, w.Code, w.Body.String())
	got := read[live.State](t, s.ask(nil, "GET", "/v1/conversations/g1/state", nil), 200)
	require.Equal(t, "话费扣多了", got.Messages[0].Text)
	require.Equal(t, "工单", got.Conversation.Channel)
}

func gbkOf(s string) (string, error) { return simplifiedchinese.GBK.NewEncoder().String(s) }

func TestPaging(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	var want []string
	for i := range 7 {
		id := string(rune('a' + i))
		want = append(want, id)
		require.Equal(t, 201, s.ask(nil, "POST", "/v1/conversations", m{"id": id, "messages": []m{customer("", "在吗")}}).Code)
	}
	var got []string
	for next, turn := "", 0; turn < 10; turn++ {
		page := read[page1[qingting.Conversation]](t, s.ask(nil, "GET", "/v1/conversations?limit=3&cursor="+next, nil), 200)
		for _, c := range page.Items {
			got = append(got, c.ID)
		}
		if next = page.Next; next == "" {
			break
		}
	}
	slices.Sort(got)
	require.Equal(t, want, got)
}
