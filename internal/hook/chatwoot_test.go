package hook

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// message returns a message_created event with these fields changed.
func message(changes string) []byte {
	base := `{"event":"message_created","id":912,"content":"宽带又断了，到底什么时候修","created_at":"2026-03-01T08:00:00.123Z","message_type":"incoming",
		"content_type":"text","private":false,"content_attributes":{},"source_id":null,
		"sender":{"id":31,"name":"客户","type":"contact","identifier":null,"phone_number":"+8613800000000"},
		"inbox":{"id":2,"name":"官网"},"account":{"id":1,"name":"示例"},
		"conversation":{"id":57,"inbox_id":2,"status":"open","channel":"Channel::WebWidget","contact_inbox":{"id":8,"contact_id":31,"source_id":"s"},
			"meta":{"sender":{"id":31,"type":"contact"},"assignee":null},"messages":[{"id":912,"account_id":1}],"created_at":1772352000}}`
	var m, c map[string]json.RawMessage
	if json.Unmarshal([]byte(base), &m) != nil || json.Unmarshal([]byte(changes), &c) != nil {
		panic("bad fixture " + changes)
	}
	for k, v := range c {
		m[k] = v
	}
	out, _ := json.Marshal(m)
	return out
}

func TestChatwootMessages(t *testing.T) {
	at := time.Date(2026, 3, 1, 8, 0, 0, 123_000_000, time.UTC)
	conversation := qingting.Conversation{ID: "chatwoot-1-57", Channel: "im", CustomerRef: "chatwoot-1-contact-31"}
	for _, tc := range []struct {
		what, changes string
		role          qingting.Role // "" is ignored
		text          string
	}{
		{"customer", `{}`, qingting.RoleCustomer, "宽带又断了，到底什么时候修"},
		{"customer, type as number", `{"message_type":0}`, qingting.RoleCustomer, "宽带又断了，到底什么时候修"},
		{"agent", `{"message_type":"outgoing","sender":{"id":5,"type":"user"}}`, qingting.RoleAgent, "宽带又断了，到底什么时候修"},
		{"agent without sender", `{"message_type":1,"sender":null}`, qingting.RoleAgent, "宽带又断了，到底什么时候修"},
		{"bot", `{"message_type":"outgoing","sender":{"id":5,"type":"agent_bot"}}`, qingting.RoleBot, "宽带又断了，到底什么时候修"},
		{"template", `{"message_type":"template","content":"您好，请留言"}`, qingting.RoleBot, "您好，请留言"},
		{"activity", `{"message_type":"activity","sender":null,"content":"会话已分配给小王"}`, qingting.RoleSystem, "会话已分配给小王"},
		{"private note", `{"message_type":"outgoing","private":true}`, "", ""},
		{"deleted", `{"content_attributes":{"deleted":true}}`, "", ""},
		{"unknown type", `{"message_type":"whisper"}`, "", ""},
		{"no type", `{"message_type":null}`, "", ""},
		{"empty", `{"content":""}`, "", ""},
		{"null", `{"content":null}`, "", ""},
		{"blank", `{"content":" \n "}`, "", ""},
		{"picture only", `{"content":null,"attachments":[{"file_type":"image","data_url":"https://x/1.png"}]}`, qingting.RoleCustomer, "〔图片〕"},
		{
			"text and files", `{"content":"看这个","attachments":[{"file_type":"image"},{"file_type":"audio"},{"file_type":"video"},{"file_type":"file"},{"file_type":"location"},{"file_type":"什么"}]}`,
			qingting.RoleCustomer, "看这个\n〔图片〕\n〔语音〕\n〔视频〕\n〔文件〕\n〔位置〕\n〔附件〕",
		},
		{"full width and emoji", `{"content":"退！款！！😡１２３１５"}`, qingting.RoleCustomer, "退！款！！😡１２３１５"},
		{"HTML", `{"content":"<p>你好，<b>急</b>！</p><p>订单&nbsp;A1<br>退款</p><img src=x><style>p{}</style>"}`, qingting.RoleCustomer, "你好，急！\n订单\u00a0A1\n退款\n〔图片〕"},
		{"no HTML", `{"content":"1<2 & 3>2，<我真的服了>，a <b 吧"}`, qingting.RoleCustomer, "1<2 & 3>2，<我真的服了>，a <b 吧"},
		{"HTML that breaks off", `{"content":"<p>你好<a 我要退款"}`, qingting.RoleCustomer, "你好<a 我要退款"},
		{"a script that never ends", `{"content":"<p>你好</p><script>我要退款"}`, qingting.RoleCustomer, "<p>你好</p><script>我要退款"},
		{"no elements of HTML", `{"content":"</订单><br><order>A1</order>"}`, qingting.RoleCustomer, "</订单>\n<order>A1</order>"},
		{"a comment", `{"content":"<p>你好<!-- 内部 --></p>"}`, qingting.RoleCustomer, "你好"},
		{"markdown stays", `{"message_type":"outgoing","sender":{"id":5,"type":"user"},"content":"**您好** [链接](https://x)"}`, qingting.RoleAgent, "**您好** [链接](https://x)"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			c, messages, action, err := ChatwootEvent(message(tc.changes))
			require.NoError(t, err)
			if tc.role == "" {
				require.Equal(t, ActionIgnore, action)
				require.Empty(t, messages)
				return
			}
			require.Equal(t, ActionAppend, action)
			require.Equal(t, conversation, c)
			require.Equal(t, []qingting.Message{{ID: "chatwoot-912", Seq: 912, Role: tc.role, Text: tc.text, SentAt: at}}, messages)
			_, again, _, err := ChatwootEvent(message(tc.changes))
			require.NoError(t, err)
			require.Equal(t, messages, again, "idempotent")
		})
	}
}

func TestChatwootConversation(t *testing.T) {
	for _, tc := range []struct {
		what, changes string
		want          qingting.Conversation
	}{
		{"mail", `{"conversation":{"id":57,"channel":"Channel::Email","contact_inbox":{"contact_id":9}}}`, qingting.Conversation{ID: "chatwoot-1-57", Channel: "email", CustomerRef: "chatwoot-1-contact-9"}},
		{"SMS", `{"conversation":{"id":57,"channel":"Channel::TwilioSms","meta":{"sender":{"id":9}}}}`, qingting.Conversation{ID: "chatwoot-1-57", Channel: "sms", CustomerRef: "chatwoot-1-contact-9"}},
		{"ids as strings", `{"id":"912","conversation":{"id":"57"},"account":{"id":"1"},"created_at":"2026-03-01 08:00:00.123 UTC"}`, qingting.Conversation{ID: "chatwoot-1-57", Channel: "im", CustomerRef: "chatwoot-1-contact-31"}},
		{"nobody knows who", `{"sender":null,"conversation":{"id":57}}`, qingting.Conversation{ID: "chatwoot-1-57", Channel: "im"}},
		{"an agent is no customer", `{"sender":{"id":5,"type":"user"},"message_type":"outgoing","conversation":{"id":57}}`, qingting.Conversation{ID: "chatwoot-1-57", Channel: "im"}},
		{"account by the messages", `{"account":null}`, qingting.Conversation{ID: "chatwoot-1-57", Channel: "im", CustomerRef: "chatwoot-1-contact-31"}},
	} {
		c, messages, action, err := ChatwootEvent(message(tc.changes))
		require.NoError(t, err, tc.what)
		require.Equal(t, ActionAppend, action, tc.what)
		require.Equal(t, tc.want, c, tc.what)
		require.Equal(t, 912, messages[0].Seq)
	}
	status := func(s string) string {
		return `{"event":"conversation_status_changed","id":57,"status":"` + s + `","channel":"Channel::WebWidget","contact_inbox":{"contact_id":31},
			"messages":[{"id":912,"account_id":1,"content":"谢谢","message_type":0}],"changed_attributes":[{"status":{}}]}`
	}
	for s, want := range map[string]Action{"resolved": ActionClose, "open": ActionIgnore, "pending": ActionIgnore, "snoozed": ActionIgnore} {
		c, messages, action, err := ChatwootEvent([]byte(status(s)))
		require.NoError(t, err)
		require.Equal(t, want, action, s)
		require.Equal(t, qingting.Conversation{ID: "chatwoot-1-57", Channel: "im", CustomerRef: "chatwoot-1-contact-31"}, c, "the same as with its messages")
		require.Empty(t, messages)
	}
	for _, event := range []string{"conversation_created", "conversation_updated", "message_updated", "contact_created", "webwidget_triggered", "新事件"} {
		_, messages, action, err := ChatwootEvent([]byte(`{"event":"` + event + `","id":57,"status":"open","content":"改过的话","message_type":"incoming"}`))
		require.NoError(t, err, event)
		require.Equal(t, ActionIgnore, action, event)
		require.Empty(t, messages)
	}
}

func TestChatwootTimes(t *testing.T) {
	for in, want := range map[string]time.Time{
		`1772352000`:                      time.Unix(1772352000, 0).UTC(),
		`"2026-03-01T16:00:00.000+08:00"`: time.Unix(1772352000, 0).UTC(),
		`"2026-03-01 08:00:00 UTC"`:       time.Unix(1772352000, 0).UTC(),
		`"昨天"`:                            {}, `null`: {}, `-5`: {}, `99999999999999`: {}, `{}`: {}, `"99999-01-01T00:00:00Z"`: {}, `"1066-10-14T00:00:00Z"`: {},
	} {
		_, messages, _, err := ChatwootEvent(message(`{"created_at":` + in + `}`))
		require.NoError(t, err, in)
		require.True(t, want.Equal(messages[0].SentAt), "%s: %v", in, messages[0].SentAt)
	}
}

// TestChatwootLong holds that nothing of a long mail is dropped.
func TestChatwootLong(t *testing.T) {
	long := strings.Repeat(strings.Repeat("等", 999)+"\n", 9) + "完"
	body, err := json.Marshal(long)
	require.NoError(t, err)
	_, messages, action, err := ChatwootEvent(message(`{"content":` + string(body) + `}`))
	require.NoError(t, err)
	require.Equal(t, ActionAppend, action)
	var all strings.Builder
	ids := []string{}
	for _, m := range messages {
		require.LessOrEqual(t, utf8.RuneCountInString(m.Text), qingting.MaxMessageRunes)
		require.Equal(t, 912, m.Seq)
		ids = append(ids, m.ID)
		all.WriteString(m.Text)
	}
	require.Equal(t, []string{"chatwoot-912", "chatwoot-912.00001", "chatwoot-912.00002"}, ids)
	require.IsIncreasing(t, ids)
	require.Equal(t, long, all.String())
	require.True(t, strings.HasSuffix(messages[0].Text, "\n"), "cut behind a line")
}

func TestChatwootErrors(t *testing.T) {
	for what, body := range map[string]string{
		"empty": "", "no JSON": "你好", "list": "[]", "text": `"x"`, "no event": `{}`, "content as number": string(message(`{"content":5}`)),
		"no message": string(message(`{"id":null}`)), "no conversation": string(message(`{"conversation":null}`)), "bad id": string(message(`{"id":"x"}`)),
		"negative id": string(message(`{"id":-3}`)), "huge id": string(message(`{"id":99999999999999999999999}`)),
		"status without id": `{"event":"conversation_status_changed","status":"resolved"}`, "half": `{"event":"message_created","id":`, "bad UTF-8": "{\"event\":\"\xff\"}",
	} {
		_, messages, action, err := ChatwootEvent([]byte(body))
		require.ErrorIs(t, err, qingting.ErrInvalid, what)
		require.Equal(t, ActionIgnore, action)
		require.Nil(t, messages)
	}
}

func TestVerifyChatwoot(t *testing.T) {
	body := []byte(`{"event":"message_created","id":7}`)
	now := time.Unix(1700000000, 0)
	// Computed by Python's hmac.
	const signature = "sha256=d4f434a0b491ee04384824fb83aa57b99fcf8bfbf44e0969db851d15e4c20b98"
	require.NoError(t, VerifyChatwoot("cw-secret", body, "1700000000", signature, now))
	require.NoError(t, VerifyChatwoot("cw-secret", body, "1700000000", signature, now.Add(4*time.Minute)))
	require.NoError(t, VerifyChatwoot("cw-secret", body, "1700000000", signature, now.Add(-4*time.Minute)))
	for what, err := range map[string]error{
		"old":            VerifyChatwoot("cw-secret", body, "1700000000", signature, now.Add(6*time.Minute)),
		"from tomorrow":  VerifyChatwoot("cw-secret", body, "1700000000", signature, now.Add(-6*time.Minute)),
		"other secret":   VerifyChatwoot("cw-secret2", body, "1700000000", signature, now),
		"no secret":      VerifyChatwoot("", body, "1700000000", signature, now),
		"other body":     VerifyChatwoot("cw-secret", append(body, ' '), "1700000000", signature, now),
		"other time":     VerifyChatwoot("cw-secret", body, "1700000001", signature, now),
		"no time":        VerifyChatwoot("cw-secret", body, "", signature, now),
		"no signature":   VerifyChatwoot("cw-secret", body, "1700000000", "", now),
		"half signature": VerifyChatwoot("cw-secret", body, "1700000000", signature[:20], now),
		"no hex":         VerifyChatwoot("cw-secret", body, "1700000000", "sha256=投诉", now),
	} {
		require.ErrorIs(t, err, ErrSignature, what)
	}
}

// FuzzChatwootEvent holds that whatever arrives is an answer or an InputError:
// messages are valid, within the limits, and come out the same again.
func FuzzChatwootEvent(f *testing.F) {
	for _, changes := range []string{
		`{}`, `{"message_type":"activity"}`, `{"attachments":[{"file_type":"image"}]}`, `{"content":"<p>你好</p><br><script>x</script>"}`,
		`{"content":"</b>1<2<!-- x"}`, `{"private":true}`, `{"created_at":1772352000}`, `{"id":"912"}`, `{"content":"\u0000\ud800"}`,
	} {
		f.Add(message(changes))
	}
	f.Add([]byte(`{"event":"conversation_status_changed","id":57,"status":"resolved","messages":[{"account_id":1}]}`))
	f.Add([]byte(`{"event":"message_created","id":1,"conversation":{"id":1},"message_type":0,"content":"<div>` + strings.Repeat("长", 5000) + `"}`))
	f.Add([]byte(`{"event":`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, messages, action, err := ChatwootEvent(body)
		if err != nil {
			require.ErrorIs(t, err, qingting.ErrInvalid)
			require.Equal(t, ActionIgnore, action)
			return
		}
		if action != ActionAppend {
			require.Empty(t, messages)
			return
		}
		require.NotEmpty(t, c.ID)
		seen := map[string]bool{}
		for _, m := range messages {
			require.True(t, utf8.ValidString(m.Text))
			require.LessOrEqual(t, utf8.RuneCountInString(m.Text), qingting.MaxMessageRunes)
			require.False(t, seen[m.ID])
			require.Positive(t, m.Seq)
			seen[m.ID] = true
		}
		_, err = json.Marshal(messages)
		require.NoError(t, err)
		_, again, _, err := ChatwootEvent(body)
		require.NoError(t, err)
		require.Equal(t, messages, again)
	})
}
