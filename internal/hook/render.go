package hook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/qingting-ai/qingting"
)

// payload is the body of a webhook. Fields may be added, never renamed.
type payload struct {
	ID           string             `json:"id"`
	Type         qingting.EventType `json:"type"`
	Timestamp    time.Time          `json:"timestamp"`
	Team         string             `json:"team,omitempty"`
	Conversation string             `json:"conversation_id,omitempty"`
	Seq          int64              `json:"seq"`
	Data         any                `json:"data"`
}

// Render returns one item for each endpoint that wants the event, due at now.
// link gives the address of the page that shows an alert; it may be nil, or
// return "". An event without an id gets a new one. Quiet alerts are told to
// webhooks and to no robot. The data of an alert event is a qingting.Alert or
// a pointer to one.
func Render(ev qingting.Event, endpoints []Endpoint, link func(qingting.Alert) string, now time.Time) ([]Item, error) {
	var items []Item
	bodies := map[Kind][]byte{} // endpoints of a kind hear the same
	for i := range endpoints {
		e := &endpoints[i]
		if !e.Wants(&ev) {
			continue
		}
		if ev.ID == "" {
			ev.ID = qingting.NewID("ev")
		}
		body, done := bodies[e.Kind]
		if !done {
			var err error
			if body, err = render(&ev, e.Kind, link); err != nil {
				return nil, fmt.Errorf("render event %s for %s: %w", ev.ID, e.Kind, err)
			}
			bodies[e.Kind] = body
		}
		if body == nil {
			continue
		}
		items = append(items, Item{
			Tenant: e.Tenant, ID: qingting.NewID("ob"), Event: ev.ID, Type: ev.Type,
			Endpoint: e.ID, Conversation: ev.Conversation, Seq: ev.Seq,
			Payload: body, State: StatePending, Next: now, Created: now, Updated: now,
		})
	}
	return items, nil
}

// render returns the body for one kind of endpoint; nil is nothing to say.
func render(ev *qingting.Event, kind Kind, link func(qingting.Alert) string) ([]byte, error) {
	if kind == KindWebhook {
		return json.Marshal(payload{ev.ID, ev.Type, ev.At.UTC(), ev.Team, ev.Conversation, ev.Seq, ev.Data})
	}
	var a qingting.Alert
	switch data := ev.Data.(type) {
	case qingting.Alert:
		a = data
	case *qingting.Alert:
		if data == nil {
			return nil, fmt.Errorf("an %s event without an alert", ev.Type)
		}
		a = *data
	default:
		return nil, fmt.Errorf("the data of an %s event is %T, not an alert", ev.Type, ev.Data)
	}
	if a.Quiet {
		return nil, nil
	}
	message := compose(&a, link)
	switch kind {
	case KindWeCom:
		return message.wecom()
	case KindDingTalk:
		return message.dingtalk()
	case KindFeishu:
		return message.feishu()
	}
	return nil, fmt.Errorf("unknown kind of endpoint %q", kind)
}

// notice is what a robot says. Every string is plain already: a customer's
// words cannot become a link, a mention or a heading of ours.
type notice struct {
	title string
	lines []string // 名称：内容
	link  string   // "" for none
}

const (
	quoteRunes  = 60 // a glance, not the transcript
	quoteNumber = 3
)

// compose says in a few lines why somebody should look.
func compose(a *qingting.Alert, link func(qingting.Alert) string) notice {
	causes := map[qingting.AlertCause]string{
		qingting.CauseRisk: "升级风险", qingting.CauseSLA: "服务时限", qingting.CausePromise: "承诺到期",
	}
	cause := causes[a.Cause]
	if cause == "" {
		cause = plain(string(a.Cause), quoteRunes)
	}
	// 投诉预警 opens every message, so that it can be the keyword the security
	// settings of 钉钉 and 飞书 robots ask for.
	n := notice{title: "投诉预警：" + cause}
	if a.Priority != "" {
		n.title += "（" + plain(string(a.Priority), quoteRunes) + "）"
	}
	if a.Tier > 0 {
		n.lines = append(n.lines, fmt.Sprintf("提醒：无人认领，已上报到上 %d 级", a.Tier))
	}
	n.lines = append(n.lines, "会话："+plain(a.Conversation, quoteRunes))
	if a.Team != "" {
		n.lines = append(n.lines, "团队："+plain(a.Team, quoteRunes))
	}
	if a.Level != "" {
		n.lines = append(n.lines, "风险："+plain(qingting.Label(string(a.Level)), quoteRunes))
	}
	if a.Priority != "" {
		code := string(a.Priority)
		n.lines = append(n.lines, "优先级："+plain(strings.TrimSpace(code+" "+qingting.Label(code)), quoteRunes))
	}
	signals := slices.Clone(a.Signals)
	slices.SortStableFunc(signals, func(x, y qingting.Signal) int {
		switch {
		case x.Weight > y.Weight:
			return -1
		case x.Weight < y.Weight:
			return 1
		}
		return 0
	})
	for i, s := range signals {
		if i == quoteNumber {
			break
		}
		n.lines = append(n.lines, "依据："+plain(qingting.Label(string(s.Code)), quoteRunes)+"「"+plain(s.Quote, quoteRunes)+"」")
	}
	if link != nil {
		n.link = strings.NewReplacer("(", "%28", ")", "%29", " ", "%20", "\n", "", "\r", "", "<", "%3C", ">", "%3E").Replace(link(*a))
	}
	return n
}

// markup are the characters that mean something to one of the robots, and
// what looks like them and means nothing.
var markup = map[rune]rune{
	'<': '＜', '>': '＞', '[': '［', ']': '］', '(': '（', ')': '）', '*': '＊', '_': '＿', '#': '＃', '`': '｀',
	'~': '～', '|': '｜', '@': '＠', '!': '！', '\\': '＼', '&': '＆', ':': '：',
}

// plain returns at most limit characters of s without markup, in one line. A
// longer text ends in ….
func plain(s string, limit int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range strings.TrimSpace(s) {
		if unicode.IsSpace(r) {
			space = true
			continue
		}
		if !unicode.IsPrint(r) { // invisible and bidirectional characters
			continue
		}
		if n >= limit {
			b.WriteRune('…')
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		if safe, ok := markup[r]; ok {
			r = safe
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// marshal is json.Marshal without HTML escapes, which robots count as length.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// wecom is a markdown message of at most 4,096 bytes. Source: 企业微信开发者中心
// 《消息推送（原“群机器人”）配置说明》, document/path/99110 and 91770.
func (n *notice) wecom() ([]byte, error) {
	text := "### <font color=\"warning\">" + n.title + "</font>\n> " + strings.Join(n.lines, "\n> ")
	if n.link != "" {
		text += "\n[查看会话](" + n.link + ")"
	}
	type markdown struct {
		Content string `json:"content"`
	}
	return marshal(struct {
		Type     string   `json:"msgtype"`
		Markdown markdown `json:"markdown"`
	}{"markdown", markdown{text}})
}

// dingtalk is a markdown message. Source: 钉钉开放平台《自定义机器人接入》 and
// 《消息类型与数据格式》.
func (n *notice) dingtalk() ([]byte, error) {
	text := "### " + n.title + "\n\n- " + strings.Join(n.lines, "\n- ")
	if n.link != "" {
		text += "\n\n[查看会话](" + n.link + ")"
	}
	type markdown struct {
		Title string `json:"title"`
		Text  string `json:"text"`
	}
	return marshal(struct {
		Type     string   `json:"msgtype"`
		Markdown markdown `json:"markdown"`
	}{"markdown", markdown{n.title, text}})
}

// feishu is a card of at most 20 KB. Source: 飞书开放平台《自定义机器人使用指南》,
// 发送消息卡片, and 《卡片 JSON 1.0 结构》.
func (n *notice) feishu() ([]byte, error) {
	type text struct {
		Tag     string `json:"tag"`
		Content string `json:"content"`
	}
	type button struct {
		Tag  string `json:"tag"`
		Text text   `json:"text"`
		URL  string `json:"url"`
		Type string `json:"type"`
	}
	type element struct {
		Tag     string   `json:"tag"`
		Text    *text    `json:"text,omitempty"`
		Actions []button `json:"actions,omitempty"`
	}
	type header struct {
		Title    text   `json:"title"`
		Template string `json:"template"`
	}
	type card struct {
		Header   header    `json:"header"`
		Elements []element `json:"elements"`
	}
	elements := []element{{Tag: "div", Text: &text{"lark_md", strings.Join(n.lines, "\n")}}}
	if n.link != "" {
		elements = append(elements, element{Tag: "action", Actions: []button{{"button", text{"plain_text", "查看会话"}, n.link, "primary"}}})
	}
	return marshal(struct {
		Type string `json:"msg_type"`
		Card card   `json:"card"`
	}{"interactive", card{header{text{"plain_text", n.title}, "red"}, elements}})
}
