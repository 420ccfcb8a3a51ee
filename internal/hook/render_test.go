package hook

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func raised() (qingting.Event, qingting.Alert) {
	at := time.Date(2026, 3, 1, 16, 0, 0, 0, time.FixedZone("", 8*3600))
	a := qingting.Alert{
		Tenant: "t1", ID: "al_1", Conversation: "c-1", Team: "华东", Cause: qingting.CauseRisk, State: qingting.AlertNew,
		Level: qingting.RiskHigh, Priority: qingting.PriorityP1, Score: 0.86, Raised: at,
		Signals: []qingting.Signal{
			{Code: qingting.SignalChurn, Weight: 0.2, Span: qingting.Span{Quote: "以后再也不来了"}},
			{Code: qingting.SignalRegulator, Weight: 0.9, Span: qingting.Span{Quote: "我这就打12315，电话***********"}},
			{Code: qingting.SignalMedia, Weight: 0.5, Span: qingting.Span{Quote: "发到网上去"}},
			{Code: qingting.SignalLegal, Weight: 0.1, Span: qingting.Span{Quote: "找律师"}},
		},
	}
	return qingting.Event{ID: "b1-7", Type: qingting.EventAlertRaised, Tenant: "t1", Team: "华东", Conversation: "c-1", Seq: 4, At: at, Data: a}, a
}

func TestRenderWebhook(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	ev, a := raised()
	ev.Data = &a
	items, err := Render(ev, []Endpoint{webhook("e1", "https://a.example/"), webhook("e2", "https://b.example/")}, nil, now)
	require.NoError(t, err)
	require.Len(t, items, 2)
	require.NotEqual(t, items[0].ID, items[1].ID)
	for i, it := range items {
		require.Equal(t, Item{
			Tenant: "t1", ID: it.ID, Event: "b1-7", Type: qingting.EventAlertRaised, Endpoint: []string{"e1", "e2"}[i], Conversation: "c-1", Seq: 4,
			Payload: it.Payload, State: StatePending, Next: now, Created: now, Updated: now,
		}, it)
	}
	var body map[string]any
	require.NoError(t, json.Unmarshal(items[0].Payload, &body))
	require.Equal(t, "b1-7", body["id"])
	require.Equal(t, "alert.raised", body["type"])
	require.Equal(t, "2026-03-01T08:00:00Z", body["timestamp"])
	require.Equal(t, "华东", body["team"])
	require.Equal(t, "c-1", body["conversation_id"])
	require.EqualValues(t, 4, body["seq"])
	require.Equal(t, "al_1", body["data"].(map[string]any)["id"])
	require.NotContains(t, body, "tenant")

	ev.ID = ""
	items, err = Render(ev, []Endpoint{webhook("e1", "https://a.example/"), webhook("e2", "https://b.example/")}, nil, now)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(items[0].Event, "ev_"), items[0].Event)
	require.Equal(t, items[0].Event, items[1].Event, "one event, one id")

	ev.Data = math.NaN()
	_, err = Render(ev, []Endpoint{webhook("e1", "https://a.example/")}, nil, now)
	require.Error(t, err)
}

func TestWants(t *testing.T) {
	ev, _ := raised()
	robot := Endpoint{Tenant: "t1", ID: "r", Kind: KindFeishu, URL: "https://r.example/"}
	for _, tc := range []struct {
		what string
		e    Endpoint
		ev   func(*qingting.Event, *Endpoint)
		want bool
	}{
		{"all", webhook("e", ""), func(*qingting.Event, *Endpoint) {}, true},
		{"another tenant", webhook("e", ""), func(ev *qingting.Event, _ *Endpoint) { ev.Tenant = "t2" }, false},
		{"disabled", webhook("e", ""), func(_ *qingting.Event, e *Endpoint) { e.Disabled = true }, false},
		{"of this type", webhook("e", ""), func(_ *qingting.Event, e *Endpoint) { e.Events = []qingting.EventType{qingting.EventAlertRaised} }, true},
		{"of another type", webhook("e", ""), func(_ *qingting.Event, e *Endpoint) { e.Events = []qingting.EventType{qingting.EventCase} }, false},
		{"of this team", webhook("e", ""), func(_ *qingting.Event, e *Endpoint) { e.Teams = []string{"华北", "华东"} }, true},
		{"of another team", webhook("e", ""), func(_ *qingting.Event, e *Endpoint) { e.Teams = []string{"华北"} }, false},
		{"partial", webhook("e", ""), func(ev *qingting.Event, _ *Endpoint) { ev.Type = qingting.EventPartial }, false},
		{"partial, asked for", webhook("e", ""), func(ev *qingting.Event, e *Endpoint) {
			ev.Type = qingting.EventPartial
			e.Events = []qingting.EventType{qingting.EventPartial}
		}, false},
		{"robot, alert", robot, func(*qingting.Event, *Endpoint) {}, true},
		{"robot, message", robot, func(ev *qingting.Event, _ *Endpoint) { ev.Type = qingting.EventMessage }, false},
		{"robot, alert changed", robot, func(ev *qingting.Event, _ *Endpoint) { ev.Type = qingting.EventAlertChanged }, false},
	} {
		ev, e := ev, tc.e
		tc.ev(&ev, &e)
		require.Equal(t, tc.want, e.Wants(&ev), tc.what)
	}
}

func TestRenderRobots(t *testing.T) {
	ev, a := raised()
	endpoints := []Endpoint{{Tenant: "t1", ID: "w", Kind: KindWeCom}, {Tenant: "t1", ID: "d", Kind: KindDingTalk}, {Tenant: "t1", ID: "f", Kind: KindFeishu}}
	link := func(a qingting.Alert) string { return "https://qt.example/alerts/" + a.ID + "?a=(1)" }
	items, err := Render(ev, endpoints, link, time.Now())
	require.NoError(t, err)
	require.Len(t, items, 3)
	require.Equal(t, `{"msgtype":"markdown","markdown":{"content":"### <font color=\"warning\">投诉预警：升级风险（P1）</font>\n`+
		`> 会话：c-1\n> 团队：华东\n> 风险：高\n> 优先级：P1 高度紧急\n`+
		`> 依据：监管投诉「我这就打12315，电话＊＊＊＊＊＊＊＊＊＊＊」\n> 依据：媒体曝光「发到网上去」\n> 依据：流失「以后再也不来了」\n`+
		`[查看会话](https://qt.example/alerts/al_1?a=%281%29)"}}`, string(items[0].Payload))
	var ding struct {
		MsgType  string `json:"msgtype"`
		Markdown struct{ Title, Text string }
	}
	require.NoError(t, json.Unmarshal(items[1].Payload, &ding))
	require.Equal(t, "markdown", ding.MsgType)
	require.Equal(t, "投诉预警：升级风险（P1）", ding.Markdown.Title)
	require.Contains(t, ding.Markdown.Text, "\n- 依据：监管投诉「")
	var lark struct {
		MsgType string `json:"msg_type"`
		Card    struct {
			Header   struct{ Title struct{ Content string } }
			Elements []struct {
				Tag     string
				Text    struct{ Tag, Content string }
				Actions []struct{ URL string }
			}
		}
	}
	require.NoError(t, json.Unmarshal(items[2].Payload, &lark))
	require.Equal(t, "interactive", lark.MsgType)
	require.Equal(t, "投诉预警：升级风险（P1）", lark.Card.Header.Title.Content)
	require.Equal(t, "lark_md", lark.Card.Elements[0].Text.Tag)
	require.Equal(t, "https://qt.example/alerts/al_1?a=%281%29", lark.Card.Elements[1].Actions[0].URL)

	a.Tier = 2
	ev.Data = a
	items, err = Render(ev, endpoints[:1], nil, time.Now())
	require.NoError(t, err)
	require.Contains(t, string(items[0].Payload), "无人认领，已上报到上 2 级")
	require.NotContains(t, string(items[0].Payload), "查看会话")

	a.Quiet = true
	ev.Data = a
	items, err = Render(ev, append(endpoints, webhook("e1", "")), nil, time.Now())
	require.NoError(t, err)
	require.Len(t, items, 1, "nobody is called, programs are told")
	require.Equal(t, "e1", items[0].Endpoint)

	for _, data := range []any{nil, "alert", (*qingting.Alert)(nil), qingting.Promise{}} {
		ev.Data = data
		_, err = Render(ev, endpoints, nil, time.Now())
		require.Error(t, err)
	}
}

// TestRobotsQuoteOnly holds that a customer's words stay words: no mention, no
// link, no heading, and no more than a robot takes.
func TestRobotsQuoteOnly(t *testing.T) {
	for _, quote := range []string{
		"<@all> 快来", "<at id=all></at>", "@所有人 看这里", "[点这里](https://evil.example/)", "https://evil.example/pay",
		"</font>**加粗**\n# 标题\n> 引用", "`代码` ![图](http://x)", "\u202e反\u200b隐\u0000控", "半句\xff话", "🙏😡🔥", "",
		strings.Repeat("退钱！", 3000),
	} {
		ev, a := raised()
		a.Conversation, a.Team = quote, quote
		a.Signals = []qingting.Signal{{Code: "regulator", Span: qingting.Span{Quote: quote}}, {Code: "没见过", Span: qingting.Span{Quote: quote}}}
		ev.Data = a
		items, err := Render(ev, []Endpoint{{Tenant: "t1", Kind: KindWeCom}, {Tenant: "t1", Kind: KindDingTalk}, {Tenant: "t1", Kind: KindFeishu}}, nil, time.Now())
		require.NoError(t, err)
		for _, it := range items {
			body := strings.NewReplacer(`<font color=\"warning\">`, "", "</font>", "").Replace(string(it.Payload))
			for _, bad := range []string{"<", "@", "](", "://", "**", "`", "\u202e", "\u200b", "\\u0000", "\n"} {
				require.NotContains(t, body, bad, "%q", quote)
			}
			require.True(t, json.Valid(it.Payload))
			require.True(t, utf8.Valid(it.Payload))
			require.Less(t, len(it.Payload), 4096, "the smallest limit, of 企业微信")
		}
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":            "",
		"  a \n\t b ": "a b",
		"一二三四五六":      "一二三四五…",
		"一二三四五":       "一二三四五",
		"1<2":         "1＜2",
		"（全角）":        "（全角）",
	} {
		require.Equal(t, want, plain(in, 5), "%q", in)
	}
}
