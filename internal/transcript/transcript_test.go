package transcript

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/qingting-ai/qingting"
)

const (
	customer = qingting.RoleCustomer
	agent    = qingting.RoleAgent
	bot      = qingting.RoleBot
	system   = qingting.RoleSystem
)

type said struct {
	role qingting.Role
	text string
}

// outcome is a record in short: what was said, or the code of the error.
type outcome struct {
	line int
	id   string
	said []said
	err  string
}

func readAll(t testing.TB, in io.Reader, opts Options) (out []outcome, fatal string) {
	r, err := NewReader(in, opts)
	if err != nil {
		return nil, mustCode(t, err)
	}
	for rec, err := range r.All() {
		if err != nil {
			return out, mustCode(t, err)
		}
		o := outcome{line: rec.Line, id: rec.ID}
		if rec.Err != nil {
			o.err = mustCode(t, rec.Err)
		}
		for _, m := range rec.Transcript.Messages {
			o.said = append(o.said, said{m.Role, m.Text})
		}
		out = append(out, o)
	}
	return out, ""
}

func mustCode(t testing.TB, err error) string {
	var e *Error
	require.ErrorAs(t, err, &e)
	require.True(t, errors.Is(err, qingting.ErrInvalid) || errors.Is(err, qingting.ErrTooLarge))
	require.True(t, utf8.ValidString(err.Error()))
	return e.Code
}

func TestText(t *testing.T) {
	tests := map[string]struct {
		in     string
		single bool
		want   []outcome
		fatal  string
	}{
		"全角和半角冒号": {
			in:   "客户：宽带又断了！\n客服:请稍等\n",
			want: []outcome{{line: 1, said: []said{{customer, "宽带又断了！"}, {agent, "请稍等"}}}},
		},
		"各种称呼": {
			in: "顾客：一\n用戶：二\n买家:三\n我：四\n坐席：五\n商家：六\n卖家：七\n机器人：八\n系统：九\nCustomer: ten\nAGENT：十一\n智能客服：十二\n人工客服:十三",
			want: []outcome{{line: 1, said: []said{
				{customer, "一"},
				{customer, "二"},
				{customer, "三"},
				{customer, "四"},
				{agent, "五"},
				{agent, "六"},
				{agent, "七"},
				{bot, "八"},
				{system, "九"},
				{customer, "ten"},
				{agent, "十一"},
				{bot, "十二"},
				{agent, "十三"},
			}}},
		},
		"时间、工号和名字": {
			in: "[10:21] 客户：a\n10:21:05 客服001：b\n2026-03-01 10:22 客户：c\n【客服】：d\n王小明（客户）：e\n客服(小李)：f\n(10:30) 客服小美：g\n1. 客户：h\n客服 张三：i\n客户 10:40\nj\n小陈-客服：k\n客户 [10:41]：l",
			want: []outcome{{line: 1, said: []said{
				{customer, "a"},
				{agent, "b"},
				{customer, "c"},
				{agent, "d"},
				{customer, "e"},
				{agent, "f"},
				{agent, "g"},
				{customer, "h"},
				{agent, "i"},
				{customer, "j"},
				{agent, "k"},
				{customer, "l"},
			}}},
		},
		"接着上一条的行": {
			in:   "客户：我买的锅\n收到就是裂的\n\n订单号：A123\n客服：抱歉",
			want: []outcome{{line: 1, said: []said{{customer, "我买的锅\n收到就是裂的\n\n订单号：A123"}, {agent, "抱歉"}}}},
		},
		"话里的冒号不是说话人": {
			in:   "客户：我说一下经过\n客服态度太差了：一直推\n客户要求：退款",
			want: []outcome{{line: 1, said: []said{{customer, "我说一下经过\n客服态度太差了：一直推\n客户要求：退款"}}}},
		},
		"空行和横线分开会话": {
			in: "\n客户：一\n\n客户：二\n客服：三\n----\n客户：四\n===\n\n客服：五\n",
			want: []outcome{
				{line: 2, said: []said{{customer, "一"}}},
				{line: 4, said: []said{{customer, "二"}, {agent, "三"}}},
				{line: 7, said: []said{{customer, "四"}}},
				{line: 10, said: []said{{agent, "五"}}},
			},
		},
		"整份是一个会话": {
			in: "客户：一\n\n客服：二\n---\n客户：三", single: true,
			want: []outcome{{line: 1, said: []said{{customer, "一"}, {agent, "二\n---"}, {customer, "三"}}}},
		},
		"没有说话人就是客户": {
			in:   "什么破网😡天天掉线\n打了三次电话没人管\n\n第二个人的留言",
			want: []outcome{{line: 1, said: []said{{customer, "什么破网😡天天掉线\n打了三次电话没人管"}}}, {line: 4, said: []said{{customer, "第二个人的留言"}}}},
		},
		"空的消息留着": {
			in:   "客户：\n客服：在的",
			want: []outcome{{line: 1, said: []said{{customer, ""}, {agent, "在的"}}}},
		},
		"开头没人认领": {
			in:   "喂你好\n客户：一\n\n客户：二",
			want: []outcome{{line: 1, err: "missing_role"}, {line: 4, said: []said{{customer, "二"}}}},
		},
		"不认识的说话人": {
			in:   "[10:20] 客户：一\n[10:21] 老板：二\n\n客户：三",
			want: []outcome{{line: 1, err: "unknown_role"}, {line: 4, said: []said{{customer, "三"}}}},
		},
		"一条太长": {
			in:   "客户：一\n客服：" + strings.Repeat("长", 4001) + "\n\n客户：二",
			want: []outcome{{line: 1, err: "message_too_long"}, {line: 4, said: []said{{customer, "二"}}}},
		},
		"正好四千": {
			in:   "客户：" + strings.Repeat("😡", 4000),
			want: []outcome{{line: 1, said: []said{{customer, strings.Repeat("😡", 4000)}}}},
		},
		"会话太长": {
			in:   strings.Repeat("客户："+strings.Repeat("长", 3999)+"\n", 51) + "\n客户：二",
			want: []outcome{{line: 1, err: "transcript_too_long"}, {line: 53, said: []said{{customer, "二"}}}},
		},
		"大得放不下": {
			in:   strings.Repeat("客户："+strings.Repeat("长", 3000)+"\n", 2000) + "\n客户：二",
			want: []outcome{{line: 1, err: "transcript_too_long"}, {line: 2002, said: []said{{customer, "二"}}}},
		},
		"坏字节只坏一个会话": {
			in:   "客户：网络不好\n客服：好\xff的我们看看\n\n客户：二",
			want: []outcome{{line: 1, err: "bad_encoding"}, {line: 4, said: []said{{customer, "二"}}}},
		},
		"空文件":  {in: "", fatal: "empty_input"},
		"只有空行": {in: "\n \n---\n", fatal: "empty_input"},
		"CRLF": {in: "客户：一\r\n客服：二\r\n", want: []outcome{{line: 1, said: []said{{customer, "一"}, {agent, "二"}}}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, fatal := readAll(t, strings.NewReader(tt.in), Options{Format: FormatText, Single: tt.single})
			require.Equal(t, tt.fatal, fatal)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestTextTimes(t *testing.T) {
	in := "2026-03-01 10:22:30 客户：a\n[2026年3月1日 10:23] 客服：b\n客户 2026/3/1 10:24\nc\n10:25 客户：d"
	tr, err := One(strings.NewReader(in), Options{})
	require.NoError(t, err)
	beijing := time.FixedZone("CST", 8*3600)
	for i, want := range []time.Time{time.Date(2026, 3, 1, 10, 22, 30, 0, beijing), time.Date(2026, 3, 1, 10, 23, 0, 0, beijing), time.Date(2026, 3, 1, 10, 24, 0, 0, beijing), {}} {
		require.True(t, want.Equal(tr.Messages[i].SentAt), "%d: %v", i, tr.Messages[i].SentAt)
	}
}

func TestJSON(t *testing.T) {
	one := []said{{customer, "一"}}
	deep := strings.Repeat("[", 31) + strings.Repeat("]", 31)
	tests := map[string]struct {
		in    string
		want  []outcome
		fatal string
	}{
		"对象":   {in: `{"id":"c1","future":{"a":[1,"x",null,true]},"messages":[{"role":"customer","text":"一","seq":1,"is_final":false,"asr":{"confidence":0.9,"x":1},"sent_at":"2026-03-01T09:00:00+08:00"}]}`, want: []outcome{{line: 1, id: "c1", said: one}}},
		"多行对象": {in: "\n{\n \"messages\": [\n {\"role\":\"customer\",\n\"text\":\"一\"}]\n}\n", want: []outcome{{line: 2, said: one}}},
		"消息数组": {in: `[{"role":"customer","text":"一"},{"role":"agent","text":"二"}]`, want: []outcome{{line: 1, said: []said{{customer, "一"}, {agent, "二"}}}}},
		"会话数组": {in: "[{\"id\":\"a\",\"messages\":[{\"role\":\"customer\",\"text\":\"一\"}]},\n{\"id\":\"b\",\"messages\":[]},\n {\"id\":\"c\",\"messages\":[{\"role\":\"customer\",\"text\":\"一\"}]}]", want: []outcome{
			{line: 1, id: "a", said: one}, {line: 2, id: "b", err: "empty_transcript"}, {line: 3, id: "c", said: one},
		}},
		"数组的数组": {in: `[[{"role":"customer","text":"一"}],[{"role":"customer","text":"一"}]]`, want: []outcome{{line: 1, said: one}, {line: 1, said: one}}},
		"一行一个": {in: "{\"id\":\"a\",\"messages\":[{\"role\":\"customer\",\"text\":\"一\"}]}\n\n{\"id\":\"b\",\"messages\":[{\"role\":\"customer\"\n{\"id\":\"c\",\"messages\":[{\"role\":\"客户\",\"text\":\"一\"}]}\n[{\"role\":\"customer\",\"text\":\"一\"}]", want: []outcome{
			{line: 1, id: "a", said: one}, {line: 3, err: "bad_json"}, {line: 4, id: "c", err: "unknown_role"}, {line: 5, said: one},
		}},
		"坏字节只坏一行": {in: "{\"messages\":[{\"role\":\"customer\",\"text\":\"一二三四\"}]}\n{\"messages\":[{\"role\":\"customer\",\"text\":\"一\xff\"}]}\n{\"messages\":[{\"role\":\"customer\",\"text\":\"一\"}]}", want: []outcome{
			{line: 1, said: []said{{customer, "一二三四"}}}, {line: 2, err: "bad_encoding"}, {line: 3, said: one},
		}},
		"text 不是字符串":    {in: `{"id":"x","messages":[{"role":"customer","text":12}]}`, want: []outcome{{line: 1, id: "x", err: "wrong_type"}}},
		"缺 text":        {in: `{"messages":[{"role":"customer"}]}`, want: []outcome{{line: 1, err: "missing_text"}}},
		"text 是 null":   {in: `{"messages":[{"role":"customer","text":null}]}`, want: []outcome{{line: 1, err: "wrong_type"}}},
		"缺 role":        {in: `{"messages":[{"text":"一"}]}`, want: []outcome{{line: 1, err: "missing_role"}}},
		"缺 messages":    {in: `{"id":"x"}`, want: []outcome{{line: 1, id: "x", err: "missing_messages"}}},
		"messages 不是数组": {in: `{"messages":{"role":"customer"}}`, want: []outcome{{line: 1, err: "wrong_type"}}},
		"id 是数字":        {in: `{"id":7,"messages":[]}`, want: []outcome{{line: 1, err: "wrong_type"}}},
		"时间写错":          {in: `{"messages":[{"role":"customer","text":"一","sent_at":"昨天"}]}`, want: []outcome{{line: 1, err: "bad_time"}}},
		"重复的字段":         {in: `{"messages":[{"role":"customer","text":"一","text":"二"}]}`, want: []outcome{{line: 1, err: "duplicate_field"}}},
		"半个代理对":         {in: `{"messages":[{"role":"customer","text":"\ud83d"}]}`, want: []outcome{{line: 1, err: "lone_surrogate"}}},
		"整个代理对":         {in: `{"messages":[{"role":"customer","text":"\ud83d\ude21\ufffd"}]}`, want: []outcome{{line: 1, said: []said{{customer, "😡\uFFFD"}}}}},
		"32 层":          {in: `{"x":` + deep + `,"messages":[{"role":"customer","text":"一"}]}`, want: []outcome{{line: 1, said: one}}},
		"33 层":          {in: `{"x":[` + deep + `],"messages":[]}`, want: []outcome{{line: 1, err: "json_too_deep"}}},
		"没有结束":          {in: "{\n\"messages\":[", fatal: "bad_json"},
		"数组没有结束":        {in: `[{"messages":[{"role":"customer","text":"一"}]}`, want: []outcome{{line: 1, said: one}}, fatal: "bad_json"},
		"后面还有":          {in: `[{"messages":[{"role":"customer","text":"一"}]}] 完`, want: []outcome{{line: 1, said: one}}, fatal: "bad_json"},
		"空数组":           {in: `[]`, fatal: "empty_input"},
		"一条坏消息":         {in: `[{"role":"customer","text":"一"},{"role":"boss","text":"二"},{"role":"agent","text":"三"}]`, want: []outcome{{line: 1, err: "unknown_role"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, fatal := readAll(t, strings.NewReader(tt.in), Options{})
			require.Equal(t, tt.fatal, fatal)
			require.Equal(t, tt.want, got)
		})
	}
}

// TestJSONNamesThePlaceOfGarbage: what stands behind a conversation is named
// where it stands, not where the conversation begins.
func TestJSONNamesThePlaceOfGarbage(t *testing.T) {
	const one = `{"messages":[{"role":"customer","text":"扣费😡"}]}` // 47 characters
	const extra = "到这里之前已经结束，这里多出了内容，请删掉"
	for name, tt := range map[string]struct {
		in     string
		format Format
		want   string
	}{
		"同一行":    {one + " 谢谢", FormatJSON, "第 1 行第 49 个字：会话" + extra},
		"右括号":    {one + "}", FormatJSON, "第 1 行第 48 个字：会话" + extra},
		"数字":     {one + "\n\n  7", FormatJSON, "第 3 行第 3 个字：会话" + extra},
		"逗号":     {"\n" + one + ",\n" + one, FormatJSON, "第 2 行第 48 个字：会话" + extra},
		"数组之后":   {"[" + one + "]\n 完", FormatJSON, "第 2 行第 2 个字：会话" + extra},
		"自动识别":   {one + "x", FormatAuto, "第 1 行第 48 个字：会话" + extra},
		"缺逗号":    {"[" + one + " " + one + "]", FormatJSON, "第 1 行第 50 个字：这里和前一个元素之间缺少逗号"},
		"元素里面":   {"[" + one + ",{\"messages\":[}]]", FormatJSON, "第 1 行第 63 个字：JSON 写法有误，请检查这附近的引号、逗号和括号"},
		"一行一个":   {one + " x", FormatJSONL, "第 1 行第 49 个字：" + extra},
		"第二行一个":  {one + "\n" + one + "]", FormatJSONL, "第 2 行第 48 个字：" + extra},
		"写到一半":   {"{\n \"messages\" [", FormatJSON, "从这一行开始的 JSON 没有结束"},
		"两个会话":   {one + "\n" + one, FormatJSON, "一次只接受一个"},
		"第二个是坏的": {one + "\n{\"a\" 1}", FormatJSON, "第 2 行第 6 个字：JSON 写法有误"},
	} {
		in, err := NewReader(strings.NewReader(tt.in), Options{Format: tt.format})
		require.NoError(t, err, name)
		var last error
		for rec, err := range in.All() {
			if rec.Err != nil {
				last = rec.Err
			} else if err != nil {
				last = err
			}
		}
		if strings.Contains(tt.want, "一次") {
			require.NoError(t, last, name)
		} else {
			require.ErrorContains(t, last, tt.want, name)
		}
		if tt.format == FormatJSON && !strings.HasPrefix(tt.in, "[") {
			_, err = One(strings.NewReader(tt.in), Options{Format: tt.format})
			require.ErrorContains(t, err, tt.want, name)
		}
	}
	require.ErrorContains(t, CheckJSON([]byte("{}\n {")), "第 2 行第 2 个字")
}

func TestSeqBeginsAtOne(t *testing.T) {
	for _, seq := range []string{"0", "-3"} {
		_, err := One(strings.NewReader(`{"messages":[{"role":"customer","text":"一","seq":`+seq+`}]}`), Options{})
		require.EqualError(t, err, "第 1 行 messages[0].seq：应当从 1 开始，不编号就不要写")
	}
	_, err := One(strings.NewReader(`{"messages":[{"role":"customer","text":"一","seq":null}]}`), Options{})
	require.NoError(t, err)
}

func TestJSONErrorsNamePathAndLine(t *testing.T) {
	_, err := One(strings.NewReader("{\"messages\":[\n{\"role\":\"customer\",\"text\":\"一\"},\n{\"role\":\"老板\",\"text\":\"二\"}]}"), Options{})
	require.EqualError(t, err, `第 3 行 messages[1].role：不认识的角色 "老板"，只能是 customer、agent、bot 或 system`)

	_, err = One(strings.NewReader(`{"messages":[{"role":"customer","text":{"a":1}}]}`), Options{})
	require.EqualError(t, err, `第 1 行 messages[0].text：应当是字符串，却是对象`)

	_, err = One(strings.NewReader("{\"messages\":[{\"role\":\"customer\",\"text\":\"一\"}],\n\"id\" \"x\"}"), Options{})
	require.EqualError(t, err, `第 2 行第 6 个字：JSON 写法有误，请检查这附近的引号、逗号和括号`)

	_, err = One(strings.NewReader("{\"messages\":[]}\n{\"messages\":[]}"), Options{})
	require.ErrorContains(t, err, "第 1 行 messages")

	_, err = One(strings.NewReader("{\"messages\":[{\"role\":\"agent\",\"text\":\"\"}]}\n{\"messages\":[]}"), Options{})
	require.ErrorContains(t, err, "一次只接受一个")
}

func TestJSONFields(t *testing.T) {
	in := `{"id":"c1","channel":"asr","customer_ref":"u9","messages":[{"message_id":"m1","seq":3,"role":"customer","text":"一","sent_at":"2026-03-01T09:00:00+08:00","is_final":true,"asr":{"confidence":0.9,"rate_cpm":320}}]}`
	got, err := One(strings.NewReader(in), Options{})
	require.NoError(t, err)
	var want qingting.Transcript
	require.NoError(t, json.Unmarshal([]byte(in), &want))
	require.True(t, want.Messages[0].SentAt.Equal(got.Messages[0].SentAt))
	want.Messages[0].SentAt = got.Messages[0].SentAt
	require.Equal(t, want, got)
}

func TestCSV(t *testing.T) {
	tests := map[string]struct {
		in    string
		want  []outcome
		fatal string
	}{
		"按会话编号合并": {in: "会话编号,角色,内容,时间\nc1,客户,\"又断了,第三次\",2026-03-01 10:00\nc1,客服,\"请\n\"\"稍等\"\"\",\n\nc2,用户,一,10:01\n", want: []outcome{
			{line: 2, id: "c1", said: []said{{customer, "又断了,第三次"}, {agent, "请\n\"稍等\""}}}, {line: 6, id: "c2", said: []said{{customer, "一"}}},
		}},
		"英文表头、制表符": {in: "Conversation ID\trole\ttext\na\tcustomer\t一\na\tagent\t二\n", want: []outcome{{line: 2, id: "a", said: []said{{customer, "一"}, {agent, "二"}}}}},
		"一列内容":     {in: "投诉内容\n第一条\n\"客户：一\n客服：二\"\n", want: []outcome{{line: 2, said: []said{{customer, "第一条"}}}, {line: 3, said: []said{{customer, "一"}, {agent, "二"}}}}},
		"空的内容留着":   {in: "会话编号,角色,内容\na,客户,\na,客服,二\n", want: []outcome{{line: 2, id: "a", said: []said{{customer, ""}, {agent, "二"}}}}},
		"不认识的角色":   {in: "会话编号,角色,内容\na,老板,一\nb,客户,一\n", want: []outcome{{line: 2, id: "a", err: "unknown_role"}, {line: 3, id: "b", said: []said{{customer, "一"}}}}},
		"列数不对":     {in: "会话编号,角色,内容\na,客户,一,多了\nb,客户,一\n", want: []outcome{{line: 2, id: "a", err: "bad_csv"}, {line: 3, id: "b", said: []said{{customer, "一"}}}}},
		"引号在中间":    {in: "会话编号,角色,内容\na,客户,说\"好\"\nb,客户,\"一\"二\nc,客户,一\n", want: []outcome{{line: 2, id: "a", err: "bad_csv"}, {line: 3, id: "b", err: "bad_csv"}, {line: 4, id: "c", said: []said{{customer, "一"}}}}},
		"引号没有闭合":   {in: "会话编号,角色,内容\na,客户,一\nb,客户,\"一\nc,客户,一\n", want: []outcome{{line: 2, id: "a", err: "bad_csv"}}, fatal: "bad_csv"},
		"行不在一起":    {in: "会话编号,角色,内容\na,客户,一\nb,客户,二\na,客服,三\n", want: []outcome{{line: 2, id: "a", said: []said{{customer, "一"}}}, {line: 3, id: "b", said: []said{{customer, "二"}}}, {line: 4, id: "a", err: "scattered_rows"}}},
		"没有编号":     {in: "会话编号,角色,内容\n,客户,一\n", want: []outcome{{line: 2, err: "missing_id"}}},
		"没有角色列":    {in: "工单号,内容\nT1,一\nT2,二\n", want: []outcome{{line: 2, id: "T1", said: []said{{customer, "一"}}}, {line: 3, id: "T2", said: []said{{customer, "二"}}}}},
		"坏字节只坏一个":  {in: "会话编号,角色,内容\na,客户,好\xfe的\nb,客户,一\n", want: []outcome{{line: 2, id: "a", err: "bad_encoding"}, {line: 3, id: "b", said: []said{{customer, "一"}}}}},
		"看不懂的时间":   {in: "会话编号,角色,内容,时间\na,客户,一,前天\n", want: []outcome{{line: 2, id: "a", err: "bad_time"}}},
		"只有表头":     {in: "会话编号,角色,内容\n", fatal: "empty_input"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, fatal := readAll(t, strings.NewReader(tt.in), Options{})
			require.Equal(t, tt.fatal, fatal)
			require.Equal(t, tt.want, got)
		})
	}
	_, fatal := readAll(t, strings.NewReader("a,b\n1,2\n"), Options{Format: FormatCSV})
	require.Equal(t, "unknown_columns", fatal)
	got, fatal := readAll(t, strings.NewReader("第一条\n第二条\n"), Options{Format: FormatCSV})
	require.Empty(t, fatal)
	require.Len(t, got, 2)
}

// encodings gives the same text in every encoding that is detected.
func encodings(t testing.TB, s string) map[string][]byte {
	must := func(b []byte, err error) []byte {
		require.NoError(t, err)
		return b
	}
	le := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	be := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	return map[string][]byte{
		"utf-8": []byte(s), "utf-8 bom": []byte("\xEF\xBB\xBF" + s),
		"gb18030":      must(simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(s))),
		"utf-16le bom": append([]byte("\xFF\xFE"), must(le.NewEncoder().Bytes([]byte(s)))...),
		"utf-16be bom": append([]byte("\xFE\xFF"), must(be.NewEncoder().Bytes([]byte(s)))...),
		"utf-16le":     must(le.NewEncoder().Bytes([]byte(s))),
		"utf-16be":     must(be.NewEncoder().Bytes([]byte(s))),
	}
}

func TestEncodings(t *testing.T) {
	inputs := map[string]string{
		"文本":  "客户：快递放门口被雨淋了😡，上海的“上”和ĊĀ都要对\n客服：好的，我来处理\n",
		"短句":  "退钱",
		"行":   "{\"messages\":[{\"role\":\"customer\",\"text\":\"快递员把件丢在楼下，丢了谁赔\"}]}\n{\"messages\":[{\"role\":\"customer\",\"text\":\"一个\"}]}\n",
		"对象":  "{\n\"messages\":[{\"role\":\"customer\",\"text\":\"快递员把件丢在楼下，丢了谁赔\"}]}\n",
		"表":   "会话编号,角色,内容\nc1,客户,我的快递不见了\nc1,客服,请稍等\n",
		"长":   strings.Repeat("客户：话费莫名其妙少了五十块，你们给个说法\n客服：我查一下账单\n\n", 3000),
		"英文头": strings.Repeat("Customer: please call me back\n\n", 3000) + "客户：先说英文，后面才有中文\n",
	}
	for name, in := range inputs {
		want, fatal := readAll(t, strings.NewReader(in), Options{})
		require.Empty(t, fatal)
		for set, data := range encodings(t, in) {
			if name == "短句" && set != "utf-8" && set != "utf-8 bom" && !strings.HasSuffix(set, "bom") {
				continue // four bytes do not tell GBK from UTF-16
			}
			t.Run(name+"/"+set, func(t *testing.T) {
				got, fatal := readAll(t, bytes.NewReader(data), Options{})
				require.Empty(t, fatal)
				require.Equal(t, want, got)
				explicit, fatal := readAll(t, bytes.NewReader(data), Options{Charset: strings.TrimSuffix(set, " bom")})
				require.Empty(t, fatal)
				require.Equal(t, want, explicit)
			})
		}
	}
	big5, err := traditionalchinese.Big5.NewEncoder().Bytes([]byte("客戶：網路又斷了\n客服：您好"))
	require.NoError(t, err)
	got, fatal := readAll(t, bytes.NewReader(big5), Options{Charset: "Big5"})
	require.Empty(t, fatal)
	require.Equal(t, []outcome{{line: 1, said: []said{{customer, "網路又斷了"}, {agent, "您好"}}}}, got)

	_, fatal = readAll(t, strings.NewReader("客户：一"), Options{Charset: "ebcdic"})
	require.Equal(t, "unknown_charset", fatal)
}

func TestBadBytesAreNamed(t *testing.T) {
	gbk, err := simplifiedchinese.GB18030.NewEncoder().Bytes([]byte("客户：快递丢了谁来赔偿\n客服：请您稍等\n"))
	require.NoError(t, err)
	tests := map[string]struct {
		in     []byte
		set    string
		line   int
		offset int64
	}{
		"utf-8":        {in: []byte("客户：一二三\n客服：好\xC0的"), line: 2, offset: 19 + 9 + 3},
		"截断的字符":        {in: []byte("客户：一二三\xE4\xBD"), line: 1, offset: 18},
		"gb18030":      {in: append(bytes.Clone(gbk), 0xFF), line: 3, offset: int64(len(gbk))},
		"gbk 当成 utf-8": {in: gbk, set: "utf-8", line: 1, offset: 0},
		"utf-16 半个字":   {in: []byte("\xFF\xFE\xA2\x5B\x37"), line: 1, offset: 4},
		"utf-16 半个代理对": {in: []byte("\xFF\xFE\xA2\x5B\x3D\xD8\x0A\x00\xA2\x5B"), line: 1, offset: 4},
		"utf-8 的 json": {in: []byte("{\n\"messages\":[{\"role\":\"customer\",\"text\":\"一\xff\"}]}"), line: 2, offset: 44},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := One(bytes.NewReader(tt.in), Options{Charset: tt.set})
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "bad_encoding", e.Code)
			require.Equal(t, tt.offset, e.Offset)
			require.Equal(t, tt.line, e.Line)
			require.ErrorContains(t, err, fmt.Sprintf("第 %d 个字节", tt.offset+1))
		})
	}
}

// endless writes the same record n times without holding them.
type endless struct {
	record []byte
	n      int
	rest   []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.n == 0 {
			return 0, io.EOF
		}
		e.n--
		e.rest = e.record
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func TestBatchMemoryIsConstant(t *testing.T) {
	for name, record := range map[string]string{
		"text":  "客户：网速太慢了，一直转圈\n客服：请重启一下光猫\n\n",
		"jsonl": "{\"messages\":[{\"role\":\"customer\",\"text\":\"网速太慢了，一直转圈\"}]}\n",
		"array": "[{\"messages\":[{\"role\":\"customer\",\"text\":\"网速太慢了，一直转圈\"}]}", // continued below
	} {
		t.Run(name, func(t *testing.T) {
			var in io.Reader = &endless{record: []byte(record), n: 30_000}
			if name == "array" {
				in = io.MultiReader(strings.NewReader(record), &endless{record: []byte("," + record[1:]), n: 30_000}, strings.NewReader("]"))
			}
			r, err := NewReader(in, Options{})
			require.NoError(t, err)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			n := 0
			for rec, err := range r.All() {
				require.NoError(t, err)
				require.NoError(t, rec.Err)
				n++
				if n == 25_000 {
					runtime.GC()
					runtime.ReadMemStats(&after)
				}
			}
			require.GreaterOrEqual(t, n, 30_000)
			require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(4<<20))
		})
	}
}

func TestLongLineIsOneBadRecord(t *testing.T) {
	in := io.MultiReader(strings.NewReader("{\"id\":\"a\",\"messages\":[{\"role\":\"customer\",\"text\":\"一\"}]}\n{\"x\":\""),
		&endless{record: bytes.Repeat([]byte("长"), 1000), n: 6000}, strings.NewReader("\"}\n{\"id\":\"c\",\"messages\":[{\"role\":\"customer\",\"text\":\"一\"}]}"))
	got, fatal := readAll(t, in, Options{})
	require.Empty(t, fatal)
	one := []said{{customer, "一"}}
	require.Equal(t, []outcome{{line: 1, id: "a", said: one}, {line: 2, err: "line_too_long"}, {line: 3, id: "c", said: one}}, got)
}

func TestReadErrorIsNotEnd(t *testing.T) {
	r, err := NewReader(io.MultiReader(strings.NewReader(strings.Repeat("客户：一\n\n", 20000)), badReader{}), Options{})
	require.NoError(t, err)
	for _, err = range r.All() {
		if err != nil {
			break
		}
	}
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, again := r.Next()
	require.ErrorIs(t, again, io.ErrUnexpectedEOF)
}

type badReader struct{}

func (badReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestFormats(t *testing.T) {
	for name, want := range map[string]Format{"": "", "auto": "", "TXT": FormatText, "ndjson": FormatJSONL, "tsv": FormatCSV, "json": FormatJSON} {
		got, err := ParseFormat(name)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	_, err := ParseFormat("xlsx")
	require.ErrorContains(t, err, "xlsx")
	require.Equal(t, FormatJSONL, FormatOf("a/b.JSONL"))
	require.Equal(t, FormatCSV, FormatOf("b.csv"))
	require.Equal(t, FormatAuto, FormatOf("b.json"))
	for in, want := range map[string]Format{
		"[10:21] 客户：一": FormatText, "[微笑]你好": FormatText, "{你好}": FormatText, "内容是空的": FormatText, "客户,客服：一": FormatText,
		`{"a":1}`: FormatJSONL, "{\n\"a\":1}": FormatJSON, "[\n{}]": FormatJSON, "会话编号,角色,内容\n": FormatCSV, "text": FormatCSV,
	} {
		require.Equal(t, want, detectFormat([]byte(in), true), in)
	}
}

// FuzzReader holds what is true of any input: no panic, an end, valid
// transcripts, and errors with a place.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		"客户：一\n客服：二", "{\"messages\":[{\"role\":\"customer\",\"text\":\"\\ud83d\\ude21\"}]}", "[{\"role\":\"agent\",\"text\":\"\"}]",
		"会话编号,角色,内容\na,客户,\"一\n\"\"\"", "\xFF\xFE\xA2\x5B\x0A\x00", "\xBF\xCD\xBB\xA7\xA3\xBA", "[[]]", "[{}]x", "客户：一\r客服：二", "【客户】一\n(客服) 10:21 二", "A：一\nB：二", "{bad\n{\"messages\":[]}", "null", "\xab\xc8\xa4\xe1", "\"", "---\n===", "{\"messages\":[{\"role\":\"customer\",\"text\":\"\\u", "\n\xff",
	} {
		f.Add([]byte(s), uint8(0), uint8(0))
		f.Add([]byte(s), uint8(3), uint8(2))
	}
	formats := []Format{FormatAuto, FormatText, FormatJSON, FormatJSONL, FormatCSV}
	sets := []string{"", "utf-8", "gb18030", "utf-16", "utf-16be", "big5"}
	f.Fuzz(func(t *testing.T, data []byte, format, set uint8) {
		r, err := NewReader(bytes.NewReader(data), Options{Format: formats[int(format)%len(formats)], Charset: sets[int(set)%len(sets)]})
		if err != nil {
			mustCode(t, err)
			return
		}
		last, n := 0, 0
		for rec, err := range r.All() {
			if n++; n > len(data)+1 {
				t.Fatal("does not end")
			}
			if err != nil {
				mustCode(t, err)
				break
			}
			require.GreaterOrEqual(t, rec.Line, last)
			last = rec.Line
			if rec.Err != nil {
				mustCode(t, rec.Err)
				continue
			}
			require.NoError(t, rec.Transcript.Validate())
			for _, m := range rec.Transcript.Messages {
				require.True(t, utf8.ValidString(m.Text))
			}
		}
	})
}

// FuzzJSON compares one record with encoding/json: what we accept means the
// same there.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"id":"a","messages":[{"role":"customer","text":"一\n\"😡","seq":1,"is_final":true,"asr":{"confidence":1e-1}}]}`))
	f.Add([]byte(`{"messages":[{"role":"customer","text":"\ud83d\ude21\ud83d"}],"x":[{"y":1,"y":2}]}`))
	f.Add([]byte(` [ {"role":"agent","text":"","sent_at":"2026-03-01T09:00:00Z"} ] `))
	f.Fuzz(func(t *testing.T, data []byte) {
		// encoding/json takes "Text" for "text"; we do not.
		if !utf8.Valid(data) || bytes.ContainsAny(data, "ABCDEFGHIJKLMNOPQRSTUVWXYZſK") || bytes.Contains(data, []byte(`\u00`)) {
			return
		}
		rec := parseRecord(value{data, 1, 1})
		if rec.Err != nil {
			mustCode(t, rec.Err)
			return
		}
		var want qingting.Transcript
		if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("[")) {
			require.NoError(t, json.Unmarshal(data, &want.Messages))
		} else {
			require.NoError(t, json.Unmarshal(data, &want))
		}
		require.Equal(t, len(want.Messages), len(rec.Transcript.Messages))
		for i, m := range rec.Transcript.Messages {
			require.Equal(t, want.Messages[i].Text, m.Text)
			require.Equal(t, want.Messages[i].Role, m.Role)
		}
	})
}

func TestUnlabelledLinesAreNoted(t *testing.T) {
	for in, noted := range map[string]bool{
		"快递三天没动静，什么情况":       false,
		"你好\n我的快递到哪了\n您好请稍等": true,
		"客户：快递到哪了\n客服：请稍等":   false,
	} {
		r, err := NewReader(strings.NewReader(in), Options{Format: FormatText})
		require.NoError(t, err)
		rec, err := r.Next()
		require.NoError(t, err)
		require.NoError(t, rec.Err)
		require.Equal(t, noted, rec.Note != "", "%q", in)
	}
}

// TestLabelsWithoutColon: chat tools write the speaker in many ways; none of
// them may make the agent's words the customer's.
func TestLabelsWithoutColon(t *testing.T) {
	for in, want := range map[string][]said{
		"【客户】我想问下发票怎么开\n【客服】您可以去12315投诉我们":          {{customer, "我想问下发票怎么开"}, {agent, "您可以去12315投诉我们"}},
		"[客服]您好\n（客户）在吗😡\n(系统) 已转接\n【机器人】：请稍等":      {{agent, "您好"}, {customer, "在吗😡"}, {system, "已转接"}, {bot, "请稍等"}},
		"【客户】\n发票呢\n【客服小美】\n您好":                     {{customer, "发票呢"}, {agent, "您好"}},
		"10:21 【客户】发票呢\n[10:22]【客服】您好":              {{customer, "发票呢"}, {agent, "您好"}},
		"【客户】10:21 发票呢\n【客服】2026-03-01 10:22:05 您好": {{customer, "发票呢"}, {agent, "您好"}},
		"客户 10:21 发票呢\n客服小美 10:22:05 您好\n客户 10:23":  {{customer, "发票呢"}, {agent, "您好"}, {customer, ""}},
		"客户 10:21：发票呢\n客服 10:22:05: 您好":             {{customer, "发票呢"}, {agent, "您好"}},
		"客户 2026-03-01 10:21\t发票呢\n客服 10:22\n您好":    {{customer, "发票呢"}, {agent, "您好"}},
		"客户：发票呢\r客服：您好\r\r客户：好\r\n":                 {{customer, "发票呢"}, {agent, "您好"}, {customer, "好"}},
		"客户：[微笑]发票呢\n[微笑]谢谢":                        {{customer, "[微笑]发票呢\n[微笑]谢谢"}},
		"订单号：A1\n问题：没收到\n订单号：A2\n问题：也没收到":           {{customer, "订单号：A1\n问题：没收到\n订单号：A2\n问题：也没收到"}},
		"客户：我要退\n颜色：红\n颜色：黑\n客服：好的":                 {{customer, "我要退\n颜色：红\n颜色：黑"}, {agent, "好的"}},
		"客服 他们一直不回我\n我 等了三天":                        {{customer, "客服 他们一直不回我\n我 等了三天"}},
	} {
		tr, err := One(strings.NewReader(in), Options{Format: FormatText})
		require.NoError(t, err, "%q", in)
		var got []said
		for _, m := range tr.Messages {
			got = append(got, said{m.Role, m.Text})
		}
		require.Equal(t, want, got, "%q", in)
	}
}

// TestUnknownSpeakersAreRefused: a dialogue nobody can be told apart in is
// better refused than taken for one customer's words.
func TestUnknownSpeakersAreRefused(t *testing.T) {
	for in, want := range map[string]string{
		"A：发票怎么开\nB：您去投诉我们":                     "“A”“B”",
		"a: 发票怎么开\rb: 您去投诉我们":                   "“a”“b”",
		"小王：发票呢\n小美：您好\n我查一下\n小王：快点":            "“小王”“小美”",
		"【旺旺】发票呢\n【小二】您好\n【旺旺】快点":               "“旺旺”“小二”",
		"10:21 小王：发票呢\n10:22 小美：您好\n10:23 小王：快": "“小王”“小美”",
		"客户：发票呢\n小美：您好\n客户：在吗\n小美：在的":           "“小美”",
		"客户 发票呢\n客服 您好":                         "“客户”“客服”",
		"客户\n发票呢\n客服\n您好":                       "“客户”“客服”",
		"10:21 客户 发票呢\n10:22 客服 您好":             "“客户”“客服”",
	} {
		_, err := One(strings.NewReader(in), Options{})
		require.Equal(t, "unknown_speakers", mustCode(t, err), "%q", in)
		require.ErrorContains(t, err, want, "%q", in)
		require.ErrorContains(t, err, "客户：", "%q", in)
	}
}

// TestLoneCarriageReturns: lines are counted, and the conversations after a
// bad one still read.
func TestLoneCarriageReturns(t *testing.T) {
	got, fatal := readAll(t, strings.NewReader("客户：一\r客服：二\r\r客户：\xff\r\r客户：三\n客服：四\n\n客户：五"), Options{Charset: "utf-8"})
	require.Empty(t, fatal)
	require.Equal(t, []outcome{
		{line: 1, said: []said{{customer, "一"}, {agent, "二"}}},
		{line: 4, err: "bad_encoding"},
		{line: 6, said: []said{{customer, "三"}, {agent, "四"}}},
		{line: 9, said: []said{{customer, "五"}}},
	}, got)
}

// TestBracesAreJSON: what begins like JSON is read as JSON, so that one broken
// line does not make the rest a customer's words.
func TestBracesAreJSON(t *testing.T) {
	const seven = `{"id":"7","messages":[{"role":"customer","text":"一"}]}`
	ok := outcome{line: 2, id: "7", said: []said{{customer, "一"}}}
	for in, want := range map[string][]outcome{
		"{bad\n" + seven:                              {{line: 1, err: "bad_json"}, ok},
		"{\"id\":1,\n" + seven + "\n{bad":             {{line: 1, err: "bad_json"}, ok, {line: 3, err: "bad_json"}},
		"null\n" + seven:                              {{line: 1, err: "wrong_type"}, ok},
		"[bad\n" + seven:                              {{line: 1, err: "bad_json"}, ok},
		"[bad\n[{\"role\":\"agent\",\"text\":\"二\"}]": {{line: 1, err: "bad_json"}, {line: 2, said: []said{{agent, "二"}}}},
		"null":       {{line: 1, err: "wrong_type"}},
		" true\n":    {{line: 1, err: "wrong_type"}},
		"12.5":       {{line: 1, err: "wrong_type"}},
		"{你好":        {{line: 1, said: []said{{customer, "{你好"}}}},
		"12315\n还我钱": {{line: 1, said: []said{{customer, "12315\n还我钱"}}}},
	} {
		got, fatal := readAll(t, strings.NewReader(in), Options{})
		require.Empty(t, fatal, "%q", in)
		require.Equal(t, want, got, "%q", in)
	}
	_, fatal := readAll(t, strings.NewReader("{bad\n{bad"), Options{})
	require.Equal(t, "bad_json", fatal)
	_, err := One(strings.NewReader("null"), Options{})
	require.ErrorContains(t, err, "却是null")
	require.ErrorContains(t, err, "客户：")
}

func TestNumbersOutOfRange(t *testing.T) {
	for field, want := range map[string]string{
		`"seq":99999999999999999999`:     "messages[0].seq：这个编号太大",
		`"seq":1.5`:                      "messages[0].seq：应当是整数",
		`"asr":{"confidence":1.01}`:      "messages[0].asr.confidence：识别置信度应当在 0 到 1 之间",
		`"asr":{"confidence":-0.1}`:      "messages[0].asr.confidence：识别置信度应当在 0 到 1 之间",
		`"asr":{"x":1,"rate_cpm":1e999}`: "messages[0].asr.rate_cpm：这个数字太大",
	} {
		_, err := One(strings.NewReader(`{"messages":[{"role":"customer","text":"一",`+field+`}]}`), Options{})
		require.ErrorContains(t, err, want, field)
	}
	_, err := One(strings.NewReader(`{"messages":[{"role":"customer","text":"一","asr":{"confidence":1,"rate_cpm":300}}]}`), Options{})
	require.NoError(t, err)
}

// TestBig5IsHinted: Big5 is never guessed, but whoever sends it is told what
// to say.
func TestBig5IsHinted(t *testing.T) {
	for _, in := range []string{"客戶：網路又斷了，打了三次電話沒人理\n客服：您好，很抱歉造成您的困擾", "退錢"} {
		big5, err := traditionalchinese.Big5.NewEncoder().Bytes([]byte(in))
		require.NoError(t, err)
		for _, set := range []string{"", "utf-8"} {
			_, err := One(bytes.NewReader(big5), Options{Charset: set})
			require.Equal(t, "bad_encoding", mustCode(t, err), "%s %q", in, set)
			require.ErrorContains(t, err, "--charset big5", "%s %q", in, set)
		}
	}
	for _, in := range []string{"网速又掉了，打了三次电话没人理，退钱", "退錢，網路又斷了，打了三次電話沒人理", "喆喆的快递丢了", "abc 好的"} {
		gbk, err := simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(in))
		require.NoError(t, err)
		tr, err := One(bytes.NewReader(gbk), Options{})
		require.NoError(t, err, in)
		require.Equal(t, in, tr.Messages[0].Text)
	}
}

// TestNoNoteBesideAnError: how a conversation was read does not matter when it
// could not be.
func TestNoNoteBesideAnError(t *testing.T) {
	r, err := NewReader(strings.NewReader("在吗\n我的快递\xff呢\n急"), Options{Charset: "utf-8"})
	require.NoError(t, err)
	rec, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, "bad_encoding", mustCode(t, rec.Err))
	require.Empty(t, rec.Note)
}

func TestNoteTravels(t *testing.T) {
	rec, err := OneRecord(strings.NewReader("在吗\n我的快递呢"), Options{})
	require.NoError(t, err)
	require.Contains(t, rec.Note, "全部当作客户的话")
}
