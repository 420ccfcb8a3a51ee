package transcript

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
)

// columns says which field of a row is what; −1 when the table has none.
type columns struct{ id, role, text, at, message int }

// columnNames are the headings we understand, in lower case without spaces,
// underscores and hyphens.
func columnNames() map[string]string {
	return map[string]string{
		"id":      "会话id 会话编号 会话号 会话 对话id 对话编号 工单号 工单编号 工单id 单号 编号 conversationid conversation sessionid session dialogid ticketid id cid",
		"role":    "角色 说话人 说话方 发言人 发送方 发送者 发送人 身份 role speaker sender from",
		"text":    "内容 文本 消息 消息内容 聊天内容 对话内容 会话内容 投诉内容 原文 正文 描述 问题描述 留言 反馈 反馈内容 诉求 text content message body utterance",
		"at":      "时间 发送时间 消息时间 发言时间 日期时间 time sentat timestamp createdat datetime",
		"message": "消息id 消息编号 messageid msgid",
	}
}

func headingOf(name string) string {
	name = strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "", "\u3000", "", "\uFEFF", "").Replace(name))
	for field, names := range columnNames() {
		for n := range strings.FieldsSeq(names) {
			if n == name {
				return field
			}
		}
	}
	return ""
}

// readHeader finds the columns; ok is false when there is no text column.
func readHeader(fields []string) (columns, bool) {
	c := columns{-1, -1, -1, -1, -1}
	slot := map[string]*int{"id": &c.id, "role": &c.role, "text": &c.text, "at": &c.at, "message": &c.message}
	for i, f := range fields {
		if to, ok := slot[headingOf(f)]; ok && *to < 0 {
			*to = i
		}
	}
	return c, c.text >= 0
}

// csvReader groups the rows of a table to conversations: neighbouring rows
// with the same id are one. Without an id or a role column every row is one.
type csvReader struct {
	src     *source
	comma   byte
	cols    columns
	width   int
	ahead   *row
	seed    maphash.Seed
	ids     map[uint64]struct{} // of finished conversations, 8 bytes each
	grammar *grammar
	pending error // after the record that is being returned
}

// row is one record of the table.
type row struct {
	line   int
	fields []string
	err    *Error // bad bytes, bad quoting, another number of fields
}

func newCSVReader(src *source) (*csvReader, error) {
	r := &csvReader{src: src, seed: maphash.MakeSeed(), ids: map[uint64]struct{}{}, grammar: plainText()}
	sample, _ := src.sample()
	r.comma = delimiter(sample)
	first, err := r.row()
	if err == io.EOF {
		return r, nil // Next says that the input is empty
	}
	if err != nil {
		return nil, err
	}
	if first.err != nil {
		return nil, first.err
	}
	r.width = len(first.fields)
	cols, ok := readHeader(first.fields)
	switch {
	case ok:
		r.cols = cols
	case r.width == 1: // a list of texts without a heading
		r.cols = columns{-1, -1, 0, -1, -1}
		r.ahead = &first
	default:
		return nil, errorAt(first.line, "unknown_columns", "", "表头里没有认识的文本列，请把列名写成：会话编号、角色、内容、时间（或 conversation_id、role、text、time）")
	}
	return r, nil
}

// delimiter is the one of comma, tab and semicolon that the first line has
// most of.
func delimiter(sample []byte) byte {
	first, _, _ := bytes.Cut(sample, []byte("\n"))
	best := byte(',')
	for _, c := range []byte{'\t', ';'} {
		if bytes.Count(first, []byte{c}) > bytes.Count(first, []byte{best}) {
			best = c
		}
	}
	return best
}

// row reads the next record that is not blank. Quoted fields may hold line
// ends and doubled quotes; a quote anywhere else is an error, not a guess.
func (r *csvReader) row() (row, error) {
	if r.ahead != nil {
		out := *r.ahead
		r.ahead = nil
		return out, nil
	}
	var l line
	for {
		var err error
		if l, err = r.src.readLine(); err != nil {
			return row{}, err
		}
		if l.err != nil || strings.TrimSpace(l.text) != "" {
			break
		}
	}
	out := row{line: l.no, err: l.err}
	var field strings.Builder
	text, size := l.text, 0
	for {
		if !strings.HasPrefix(text, `"`) {
			end := strings.IndexByte(text, r.comma)
			part := text
			if end >= 0 {
				part = text[:end]
			}
			if strings.Contains(part, `"`) && out.err == nil {
				out.err = errorAt(out.line, "bad_csv", "", "字段中间出现引号：含引号的字段要整个用双引号括起来，里面的引号写成两个")
			}
			out.fields = append(out.fields, part)
			if end < 0 {
				return r.check(out), nil
			}
			text = text[end+1:]
			continue
		}
		text = text[1:]
		field.Reset()
		for {
			i := strings.IndexByte(text, '"')
			if i < 0 { // the field goes on in the next line
				field.WriteString(text)
				field.WriteByte('\n')
				if size += len(text) + 1; size > MaxRecord {
					return row{}, errorAt(out.line, "bad_csv", "", "从这一行开始的引号没有闭合，之后的内容无法分行")
				}
				l, err := r.src.readLine()
				if err == io.EOF {
					return row{}, errorAt(out.line, "bad_csv", "", "从这一行开始的引号没有闭合，之后的内容无法分行")
				}
				if err != nil {
					return row{}, err
				}
				if out.err == nil {
					out.err = l.err
				}
				text = l.text
				continue
			}
			field.WriteString(text[:i])
			if text = text[i+1:]; !strings.HasPrefix(text, `"`) {
				break
			}
			field.WriteByte('"')
			text = text[1:]
		}
		out.fields = append(out.fields, field.String())
		switch {
		case text == "":
			return r.check(out), nil
		case text[0] == r.comma:
			text = text[1:]
		default:
			if out.err == nil {
				out.err = errorAt(out.line, "bad_csv", "", "右引号后面还有文字：含引号的字段要整个用双引号括起来，里面的引号写成两个")
			}
			end := strings.IndexByte(text, r.comma)
			if end < 0 {
				return r.check(out), nil
			}
			text = text[end+1:]
		}
	}
}

func (r *csvReader) check(out row) row {
	if out.err == nil && r.width > 0 && len(out.fields) != r.width {
		out.err = errorAt(out.line, "bad_csv", "", "有 %d 列，表头是 %d 列，请检查逗号和引号", len(out.fields), r.width)
	}
	return out
}

// field returns "" for a column that the table does not have.
func (w row) field(i int) string {
	if i < 0 || i >= len(w.fields) {
		return ""
	}
	return w.fields[i]
}

func (r *csvReader) next() (Record, error) {
	if r.pending != nil {
		return Record{}, r.pending
	}
	first, err := r.row()
	if err != nil {
		return Record{}, err
	}
	rec := Record{Line: first.line, ID: first.field(r.cols.id)}
	rec.Transcript.ID = rec.ID
	if first.err != nil {
		rec.Err = first.err
	}
	if r.cols.id < 0 || r.cols.role < 0 || rec.ID == "" {
		if r.cols.id >= 0 && r.cols.role >= 0 && rec.Err == nil {
			rec.Err = errorAt(first.line, "missing_id", "", "会话编号是空的，不知道这一行属于哪个会话")
		}
		r.alone(&rec, first)
		return rec, nil
	}
	key := maphash.String(r.seed, rec.ID)
	if _, again := r.ids[key]; again && rec.Err == nil {
		rec.Err = errorAt(first.line, "scattered_rows", "", "会话 %q 的行不在一起，请先按会话编号排序", short(rec.ID))
	}
	size := 0
	for current := first; ; {
		if current.err != nil && rec.Err == nil {
			rec.Err = current.err
		}
		if rec.Err == nil {
			m, err := r.message(current)
			if err != nil {
				rec.Err = err
			}
			rec.Transcript.Messages = append(rec.Transcript.Messages, m)
			if size += len(m.Text) + 64; size > MaxRecord {
				rec.Err = tooLarge(rec.Line, "transcript_too_long", "这个会话超过 %d MiB，请拆成多个会话", MaxRecord>>20)
			}
		} else {
			rec.Transcript.Messages = nil
		}
		following, err := r.row()
		if err != nil {
			// The conversation before the end is whole; before an error it may
			// not be, so it is not analysed either.
			if r.pending = err; err != io.EOF && rec.Err == nil {
				rec.Err = err
			}
			break
		}
		if following.field(r.cols.id) != rec.ID {
			r.ahead = &following
			break
		}
		current = following
	}
	r.ids[key] = struct{}{}
	return rec, nil
}

// message reads one row of a conversation.
func (r *csvReader) message(w row) (qingting.Message, error) {
	m := qingting.Message{ID: strings.TrimSpace(w.field(r.cols.message)), Text: w.field(r.cols.text)}
	word := strings.TrimSpace(w.field(r.cols.role))
	if word == "" {
		return m, errorAt(w.line, "missing_role", "", "角色是空的，请填 客户、客服、机器人 或 系统")
	}
	if m.Role = r.grammar.roleOf(word); m.Role == "" {
		return m, errorAt(w.line, "unknown_role", "", "不认识的角色 %q，请写成 客户、客服、机器人 或 系统", short(word))
	}
	at, err := r.time(w)
	m.SentAt = at
	return m, err
}

func (r *csvReader) time(w row) (time.Time, error) {
	s := strings.TrimSpace(w.field(r.cols.at))
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t := parseTime(s); !t.IsZero() {
		return t, nil
	}
	// A clock without a day is common in exports and says nothing wrong.
	if len(s) <= len("15:04:05") && strings.Contains(s, ":") {
		return time.Time{}, nil
	}
	return time.Time{}, errorAt(w.line, "bad_time", "", "时间看不懂，请写成 2026-03-01 09:30:00 的样子")
}

// alone makes a conversation of one row: its text is one message, or a whole
// chat when it is written as one.
func (r *csvReader) alone(rec *Record, w row) {
	if rec.Err != nil {
		return
	}
	if r.cols.role >= 0 {
		m, err := r.message(w)
		if err != nil {
			rec.Err = err
		}
		rec.Transcript.Messages = []qingting.Message{m}
		return
	}
	at, err := r.time(w)
	if err != nil {
		rec.Err = err
		return
	}
	text := w.field(r.cols.text)
	var b textBuilder
	spoken := false
	for i, s := range strings.Split(text, "\n") {
		t, begins := r.grammar.parse(s)
		if i == 0 && !begins {
			break
		}
		spoken = true
		if begins {
			b.begin(qingting.Message{Role: t.role, SentAt: t.at}, t.text)
		} else {
			b.add(0, s)
		}
	}
	if spoken {
		rec.Transcript.Messages = b.finish()
		return
	}
	rec.Transcript.Messages = []qingting.Message{{Role: qingting.RoleCustomer, Text: text, SentAt: at}}
}

// detectFormat looks at the beginning of the input.
func detectFormat(sample []byte, whole bool) Format {
	trimmed := bytes.TrimLeft(sample, " \t\r\n\uFEFF")
	if len(trimmed) == 0 {
		return FormatText
	}
	first, rest, more := bytes.Cut(trimmed, []byte("\n"))
	first = bytes.TrimSpace(first)
	inner := bytes.TrimLeft(trimmed[1:], " \t\r\n")
	switch {
	// {你好} and 【…】 are what a customer types; no JSON begins like that.
	case trimmed[0] == '{' && (len(inner) == 0 || inner[0] < utf8.RuneSelf):
		// A first line that ends what it opens is one record of many.
		if !more && !whole || json.Valid(first) || (first[len(first)-1] == '}' && bytes.HasPrefix(rest, []byte("{"))) || hasRecordLine(rest) {
			return FormatJSONL
		}
		return FormatJSON
	case trimmed[0] == '[' && (len(inner) == 0 || strings.IndexByte(`{["]`, inner[0]) >= 0 || bytes.Contains(first, []byte(`{"`)) || hasRecordLine(rest)):
		if more && json.Valid(first) && bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte("[")) || hasRecordLine(rest) {
			return FormatJSONL
		}
		return FormatJSON
	case whole && trimmed[0] == '[' && json.Valid(trimmed):
		return FormatJSON // [1,2] is a mistake worth naming, not what a customer says
	case isScalar(first) && hasRecordLine(rest):
		return FormatJSONL
	case whole && isScalar(bytes.TrimSpace(trimmed)):
		return FormatJSON // null is a program's mistake
	}
	cols, ok := readHeader(strings.Split(string(first), string(delimiter(trimmed))))
	if ok && (cols.id >= 0 || cols.role >= 0 || headingOf(string(first)) == "text" || cols.at >= 0) {
		return FormatCSV
	}
	return FormatText
}

// isScalar reports null, true, false or a number.
func isScalar(b []byte) bool {
	return len(b) > 0 && b[0] != '"' && b[0] != '{' && b[0] != '[' && json.Valid(b)
}

// hasRecordLine looks for a line that is a whole conversation: then the input
// has one a line, whatever its first line is.
func hasRecordLine(rest []byte) bool {
	for l := range bytes.Lines(rest) {
		l = bytes.TrimSpace(l)
		if len(l) > 1 && l[0] == '{' && l[len(l)-1] == '}' && bytes.Contains(l, []byte(`"messages"`)) && json.Valid(l) {
			return true
		}
		if len(l) > 1 && l[0] == '[' && l[len(l)-1] == ']' && bytes.Contains(l, []byte(`"role"`)) && json.Valid(l) {
			return true
		}
	}
	return false
}
