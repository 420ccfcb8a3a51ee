package hook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/qingting-ai/qingting"
)

// ErrSignature is an incoming event that its sender did not sign, or too long ago.
var ErrSignature = errors.New("签名不对或已过期，请检查双方的密钥和时钟")

// signatureAge is how far the clocks of sender and receiver may be apart.
const signatureAge = 5 * time.Minute

// VerifyChatwoot checks the headers X-Chatwoot-Timestamp and
// X-Chatwoot-Signature of a webhook: "sha256=" and the hexadecimal HMAC-SHA256
// of "timestamp.body", with the secret that Chatwoot shows beside the webhook.
// Source: the Chatwoot user guide, "How to use webhooks". Versions before 4.13
// do not sign; the caller needs another proof then. It returns ErrSignature.
func VerifyChatwoot(secret string, body []byte, timestamp, signature string, now time.Time) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if secret == "" || err != nil {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > signatureAge || age < -signatureAge {
		return ErrSignature
	}
	given, err := hex.DecodeString(strings.TrimPrefix(signature, "sha256="))
	if err != nil {
		return ErrSignature
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	if !hmac.Equal(given, mac.Sum(nil)) {
		return ErrSignature
	}
	return nil
}

// Action is what an incoming event asks for.
type Action string

// The actions.
const (
	ActionIgnore Action = "ignore" // nothing for us: a private note, an edit, another event
	ActionAppend Action = "append" // add the messages; the conversation comes to be if it is new
	ActionClose  Action = "close"  // the conversation was resolved
)

// ChatwootEvent reads a webhook of Chatwoot (message_created,
// conversation_status_changed …). It returns the conversation (ID, Channel,
// CustomerRef), the messages to add and what to do.
//
// Ids are made of Chatwoot's, so that an event delivered again changes nothing,
// and a message's seq is its Chatwoot id, which grows over time: webhooks
// arrive in no order. Customers' messages are "incoming", agents' "outgoing",
// bots' and templates' those of a bot, activities the system's. Private notes
// and edits are ignored. A text beyond qingting.MaxMessageRunes is cut into
// several messages; nothing is dropped. The error is an *qingting.InputError.
func ChatwootEvent(body []byte) (qingting.Conversation, []qingting.Message, Action, error) {
	var none qingting.Conversation
	bad := func(code, where, format string, args ...any) (qingting.Conversation, []qingting.Message, Action, error) {
		return none, nil, ActionIgnore, &qingting.InputError{Code: code, Message: fmt.Sprintf(format, args...), Where: where}
	}
	if !utf8.Valid(body) {
		return bad("bad_utf8", "", "请求不是合法的 UTF-8，请按 Chatwoot 原样转发")
	}
	var ev chatwootEvent
	if err := json.Unmarshal(body, &ev); err != nil {
		return bad("bad_json", "", "请求不是 Chatwoot 的 webhook 格式，请检查 Chatwoot 里填写的地址和订阅的事件")
	}
	switch ev.Event {
	case "message_created":
		if ev.Private || ev.ContentAttributes.Deleted {
			return none, nil, ActionIgnore, nil
		}
		if ev.ID == 0 || ev.Conversation.ID == 0 {
			return bad("bad_chatwoot_event", "conversation.id", "message_created 事件缺少消息或会话的编号")
		}
		c := ev.conversation(&ev.Conversation)
		messages := ev.messages()
		if len(messages) == 0 {
			return c, nil, ActionIgnore, nil
		}
		return c, messages, ActionAppend, nil
	case "conversation_status_changed":
		// The event is the conversation itself.
		if ev.ID == 0 {
			return bad("bad_chatwoot_event", "id", "conversation_status_changed 事件缺少会话的编号")
		}
		c := ev.conversation(&chatwootConversation{ID: ev.ID, Channel: ev.Channel, Meta: ev.Meta, ContactInbox: ev.ContactInbox, Messages: ev.Messages})
		if ev.Status != "resolved" {
			return c, nil, ActionIgnore, nil // open, pending and snoozed: the next message says so
		}
		return c, nil, ActionClose, nil
	case "":
		return bad("bad_chatwoot_event", "event", "请求里没有 event，不是 Chatwoot 的 webhook")
	}
	// conversation_created says nothing that the first message does not.
	return none, nil, ActionIgnore, nil
}

// chatwootEvent holds what is read of the events. Source: Message#webhook_data
// and Conversations::EventDataPresenter of chatwoot/chatwoot.
type chatwootEvent struct {
	Event             string     `json:"event"`
	ID                chatwootID `json:"id"`
	Content           string     `json:"content"`
	ContentAttributes struct {
		Deleted bool `json:"deleted"`
	} `json:"content_attributes"`
	CreatedAt    chatwootTime         `json:"created_at"`
	MessageType  chatwootType         `json:"message_type"`
	Private      bool                 `json:"private"`
	Sender       chatwootSender       `json:"sender"`
	Attachments  []chatwootAttachment `json:"attachments"`
	Conversation chatwootConversation `json:"conversation"`
	Account      struct {
		ID chatwootID `json:"id"`
	} `json:"account"`
	// Of events about a conversation.
	Channel      string               `json:"channel"`
	Status       string               `json:"status"`
	Meta         chatwootMeta         `json:"meta"`
	ContactInbox chatwootContactInbox `json:"contact_inbox"`
	Messages     []struct {
		AccountID chatwootID `json:"account_id"`
	} `json:"messages"`
}

type chatwootConversation struct {
	ID           chatwootID           `json:"id"` // counted within the account
	Channel      string               `json:"channel"`
	Meta         chatwootMeta         `json:"meta"`
	ContactInbox chatwootContactInbox `json:"contact_inbox"`
	Messages     []struct {
		AccountID chatwootID `json:"account_id"`
	} `json:"messages"`
}

type chatwootMeta struct {
	Sender chatwootSender `json:"sender"` // the customer
}

type chatwootContactInbox struct {
	ContactID chatwootID `json:"contact_id"`
}

type chatwootSender struct {
	ID   chatwootID `json:"id"`
	Type string     `json:"type"` // contact, user, agent_bot …
}

type chatwootAttachment struct {
	Type  string `json:"file_type"`
	Title string `json:"fallback_title"`
}

// chatwootID is a positive number, which older versions write as a string.
type chatwootID int64

// UnmarshalJSON reads anything; what is no positive number is 0.
func (id *chatwootID) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(bytes.Trim(b, `"`)), 10, 64)
	if err != nil || n < 0 {
		n = 0
	}
	*id = chatwootID(n)
	return nil
}

// chatwootTime is seconds since 1970, or a date.
type chatwootTime struct{ time.Time }

// UnmarshalJSON reads anything; what is no time is zero.
func (t *chatwootTime) UnmarshalJSON(b []byte) error {
	s := string(bytes.Trim(b, `"`))
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 && n < 1<<35 {
		t.Time = time.Unix(n, 0).UTC()
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05 MST"} {
		// A year beyond 9999 cannot be written as JSON again.
		if at, err := time.Parse(layout, s); err == nil && at.UTC().Year() >= 1970 && at.UTC().Year() <= 9999 {
			t.Time = at.UTC()
			return nil
		}
	}
	return nil
}

// chatwootType is a message's type by name; some events write its number.
type chatwootType string

// UnmarshalJSON reads a name or a number.
func (t *chatwootType) UnmarshalJSON(b []byte) error {
	names := map[string]chatwootType{"0": "incoming", "1": "outgoing", "2": "activity", "3": "template"}
	s := string(bytes.Trim(b, `"`))
	*t = chatwootType(s)
	if name, ok := names[s]; ok {
		*t = name
	}
	return nil
}

// conversation returns ours for theirs.
func (ev *chatwootEvent) conversation(c *chatwootConversation) qingting.Conversation {
	account := ev.Account.ID
	for _, m := range c.Messages { // a conversation's events may name the account here only
		if account == 0 {
			account = m.AccountID
		}
	}
	out := qingting.Conversation{ID: fmt.Sprintf("chatwoot-%d-%d", account, c.ID), Channel: "im"}
	switch c.Channel {
	case "Channel::Email":
		out.Channel = "email"
	case "Channel::Sms", "Channel::TwilioSms":
		out.Channel = "sms"
	}
	contact := c.ContactInbox.ContactID
	if contact == 0 {
		contact = c.Meta.Sender.ID
	}
	if contact == 0 && ev.Sender.Type == "contact" {
		contact = ev.Sender.ID
	}
	if contact > 0 {
		// Their number, not a name or a phone number.
		out.CustomerRef = fmt.Sprintf("chatwoot-%d-contact-%d", account, contact)
	}
	return out
}

// messages returns the message of the event, in parts if it is too long.
func (ev *chatwootEvent) messages() []qingting.Message {
	var role qingting.Role
	switch ev.MessageType {
	case "incoming":
		role = qingting.RoleCustomer
	case "outgoing":
		role = qingting.RoleAgent
		if ev.Sender.Type != "user" && ev.Sender.Type != "" {
			role = qingting.RoleBot
		}
	case "activity":
		role = qingting.RoleSystem
	case "template":
		role = qingting.RoleBot
	default:
		return nil
	}
	text := htmlText(ev.Content)
	for _, a := range ev.Attachments {
		text = strings.TrimPrefix(text+"\n"+a.placeholder(), "\n")
	}
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var out []qingting.Message
	for part := range chunks(text, qingting.MaxMessageRunes) {
		id := fmt.Sprintf("chatwoot-%d", ev.ID)
		if n := len(out); n > 0 {
			id += fmt.Sprintf(".%05d", n) // same seq: they are read in order of their ids
		}
		out = append(out, qingting.Message{ID: id, Seq: int(ev.ID), Role: role, Text: part, SentAt: ev.CreatedAt.Time})
	}
	return out
}

// placeholder stands for what cannot be read.
func (a *chatwootAttachment) placeholder() string {
	names := map[string]string{
		"image": "图片", "audio": "语音", "video": "视频", "file": "文件", "location": "位置", "contact": "名片",
		"share": "分享", "story_mention": "动态", "ig_reel": "视频", "embed": "链接", "fallback": "链接",
	}
	name := names[a.Type]
	if name == "" {
		name = "附件"
	}
	return "〔" + name + "〕"
}

// chunks cuts s into pieces of at most limit characters, behind a line break
// where there is one in the second half.
func chunks(s string, limit int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		runes := []rune(s)
		for len(runes) > limit {
			cut := limit
			for i := limit; i > limit/2; i-- {
				if runes[i-1] == '\n' {
					cut = i
					break
				}
			}
			if !yield(string(runes[:cut])) {
				return
			}
			runes = runes[cut:]
		}
		yield(string(runes))
	}
}

// htmlText returns the text of an HTML fragment. What is no HTML, as most
// messages, stays as it is: 1<2, <我真的服了> and a lone & are words.
func htmlText(s string) string {
	if !hasMarkup(s) {
		return s
	}
	var b strings.Builder
	skip := 0 // depth inside of elements that nobody reads
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken:
			if skip > 0 { // it never ended, so it was none
				return s
			}
			b.Write(z.Raw()) // a tag that never ended
			return strings.TrimSpace(b.String())
		case html.TextToken:
			if skip == 0 {
				b.Write(z.Text())
			}
		case html.CommentToken:
			if raw := z.Raw(); skip == 0 && bytes.HasPrefix(raw, []byte("</")) { // </订单> counts as one
				b.Write(raw)
			}
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			raw := string(z.Raw())
			name, _ := z.TagName()
			switch a := atom.Lookup(name); a {
			case 0: // not an element: somebody's own brackets
				if skip == 0 {
					b.WriteString(raw)
				}
			case atom.Script, atom.Style, atom.Title:
				if kind == html.StartTagToken {
					skip++
				} else if kind == html.EndTagToken && skip > 0 {
					skip--
				}
			case atom.Img:
				if skip == 0 {
					b.WriteString("〔图片〕")
				}
			case atom.Br, atom.P, atom.Div, atom.Li, atom.Tr, atom.Ul, atom.Ol, atom.Table, atom.Blockquote, atom.Hr,
				atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
				if text := b.String(); skip == 0 && text != "" && !strings.HasSuffix(text, "\n") {
					b.WriteByte('\n')
				}
			}
		}
	}
}

// hasMarkup reports whether s is written in HTML: it closes an element, or
// holds one that has no end.
func hasMarkup(s string) bool {
	if !strings.Contains(s, "<") {
		return false
	}
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return false
		case html.EndTagToken:
			if name, _ := z.TagName(); atom.Lookup(name) != 0 {
				return true
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			if a := atom.Lookup(name); a == atom.Br || a == atom.Img || a == atom.Hr || a == atom.P || a == atom.Div {
				return true
			}
		}
	}
}
