package transcript

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
)

// MaxDepth is how deep JSON may be nested.
const MaxDepth = 32

// jsonlReader reads one conversation a line.
type jsonlReader struct{ src *source }

func newJSONLReader(src *source) *jsonlReader { return &jsonlReader{src} }

func (r *jsonlReader) next() (Record, error) {
	for {
		l, err := r.src.readLine()
		if err != nil {
			return Record{}, err
		}
		if l.err != nil {
			return Record{Line: l.no, Err: l.err}, nil
		}
		if strings.TrimSpace(l.text) == "" {
			continue
		}
		return parseRecord(value{[]byte(l.text), l.no, 1}), nil
	}
}

// value is one JSON value and where it begins, from 1.
type value struct {
	data         []byte
	line, column int
}

// jsonReader reads one object, an array of messages, or an array of
// conversations, element by element.
type jsonReader struct {
	in      *bufio.Reader
	line    int  // of the next byte, from 1
	column  int  // of the next byte, in characters from 1
	inside  bool // the [ of the outer array has been read
	done    bool
	started bool
}

func newJSONReader(src *source) *jsonReader {
	return &jsonReader{in: bufio.NewReader(src), line: 1, column: 1}
}

func (r *jsonReader) next() (Record, error) {
	opening := !r.started
	v, err := r.element()
	if err != nil {
		return oversized(v.line, err)
	}
	if !opening || !r.inside || !isMessage(v.data) {
		return parseRecord(v), nil
	}
	// An array of messages is one conversation.
	rec := Record{Line: v.line}
	for i := 0; ; i++ {
		m, err := parseMessage(v, i)
		if err != nil && rec.Err == nil {
			rec.Err = err
		}
		if len(rec.Transcript.Messages) <= qingting.MaxMessages {
			rec.Transcript.Messages = append(rec.Transcript.Messages, m)
		}
		v, err = r.element()
		if err == io.EOF {
			return rec, nil
		}
		if err != nil {
			return oversized(v.line, err)
		}
	}
}

// oversized makes one record of a value that was too long to keep; every
// other error ends the input.
func oversized(no int, err error) (Record, error) {
	if errors.Is(err, qingting.ErrTooLarge) {
		return Record{Line: no, Err: err}, nil
	}
	return Record{}, err
}

// element returns the next value of the outer array, or of the input when
// there is none. With an error only its line is known, if that.
func (r *jsonReader) element() (value, error) {
	c, err := r.skipSpace()
	switch {
	case err == io.EOF && r.inside && !r.done:
		return value{}, r.unended()
	case err != nil:
		return value{}, err
	case r.done, r.started && !r.inside && c != '{' && c != '[':
		return value{}, r.broken("会话到这里之前已经结束，这里多出了内容，请删掉")
	case c == '[' && !r.started:
		r.inside = true
		if c, err = r.skipSpace(); err != nil && err != io.EOF {
			return value{}, err
		}
		if c == ']' {
			r.done = true
			return value{}, io.EOF
		}
	case c == ']' && r.inside:
		r.done = true
		return r.element()
	case c == ',' && r.inside && r.started:
		if c, err = r.skipSpace(); err != nil && err != io.EOF {
			return value{}, err
		}
	case r.inside && r.started:
		return value{}, r.broken("这里和前一个元素之间缺少逗号")
	}
	if err == io.EOF {
		return value{}, r.unended()
	}
	r.started = true
	return r.value(c)
}

// value collects one value that begins with c. It follows strings and
// brackets only; whether the value is right is seen when it is parsed.
func (r *jsonReader) value(c byte) (value, error) {
	v := value{line: r.line, column: r.column - 1}
	var buf []byte
	depth, quoted, escaped, long := 0, false, false, false
	for {
		if len(buf) >= MaxRecord {
			long, buf = true, buf[:0]
		}
		buf = append(buf, c)
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		next, err := r.in.Peek(1)
		if err == io.EOF {
			if depth > 0 || quoted {
				return value{}, errorAt(v.line, "bad_json", "", "从这一行开始的 JSON 没有结束，缺少 } 或 ] 或引号")
			}
			break
		}
		if err != nil {
			return value{}, err
		}
		if depth <= 0 && !quoted {
			// A value in brackets ends with them; any other at a delimiter.
			if c == '}' || c == ']' || next[0] == ',' || next[0] == ']' || next[0] <= ' ' {
				break
			}
		}
		c = r.read()
	}
	if long {
		return v, tooLarge(v.line, "transcript_too_long", "从这一行开始的会话超过 %d MiB，请拆成多个会话", MaxRecord>>20)
	}
	v.data = buf
	return v, nil
}

func (r *jsonReader) read() byte {
	c, _ := r.in.ReadByte()
	switch {
	case c == '\n':
		r.line, r.column = r.line+1, 1
	case utf8.RuneStart(c):
		r.column++
	}
	return c
}

func (r *jsonReader) skipSpace() (byte, error) {
	for {
		if _, err := r.in.Peek(1); err != nil {
			return 0, err
		}
		if c := r.read(); c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c, nil
		}
	}
}

// broken is an error at the character that was read last.
func (r *jsonReader) broken(what string) *Error {
	e := errorAt(r.line, "bad_json", "", "%s", what)
	e.Column = r.column - 1
	return e
}

func (r *jsonReader) unended() *Error {
	return errorAt(r.line, "bad_json", "", "JSON 不完整：数组没有结束，缺少 ]")
}

// isMessage tells a message from a conversation by its fields.
func isMessage(data []byte) bool {
	var has struct{ Messages, Role, Text json.RawMessage }
	if json.Unmarshal(data, &has) != nil {
		return false
	}
	return has.Messages == nil && (has.Role != nil || has.Text != nil)
}

// parseRecord reads one conversation: an object, or an array of messages.
func parseRecord(v value) Record {
	rec := Record{Line: v.line}
	w, err := newWalker(v)
	if err == nil {
		switch next := w.peek(); next {
		case '{':
			err = w.transcript(&rec.Transcript)
		case '[':
			err = w.array("", func(i int) error {
				return w.addMessage(&rec.Transcript, fmt.Sprintf("[%d]", i))
			})
		default:
			err = errorAt(v.line, "wrong_type", "", "应当是一个会话对象 {\"messages\":[…]}，却是%s；如果这是客户说的话，请在前面写上 客户：", kindOf(next))
		}
	}
	rec.ID = rec.Transcript.ID
	if err != nil {
		rec.Err = err
	}
	return rec
}

func parseMessage(v value, i int) (qingting.Message, error) {
	w, err := newWalker(v)
	if err != nil {
		return qingting.Message{}, err
	}
	return w.message(fmt.Sprintf("[%d]", i))
}

// walker reads known fields in one pass and names what is wrong by path and
// line. It refuses what encoding/json lets through: fields given twice, lone
// surrogates, deep nesting.
type walker struct {
	value
	dec *json.Decoder
}

func newWalker(v value) (*walker, error) {
	w := &walker{v, json.NewDecoder(bytes.NewReader(v.data))}
	data := v.data
	w.dec.UseNumber()
	var raw json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &raw); errors.As(err, &syntax) {
		at := max(0, min(int(syntax.Offset)-1, len(data)))
		e := w.fail(at, "bad_json", "", "JSON 写法有误，请检查这附近的引号、逗号和括号")
		if strings.Contains(syntax.Error(), "after top-level value") {
			e.Message = "到这里之前已经结束，这里多出了内容，请删掉"
		}
		e.Column = w.columnAt(at)
		return nil, e
	} else if err != nil {
		return nil, errorAt(v.line, "bad_json", "", "JSON 写法有误，请检查引号、逗号和括号")
	}
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return nil, w.fail(i, "json_too_deep", "", "JSON 嵌套超过 %d 层", MaxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return w, nil
}

// CheckJSON refuses what encoding/json would let through: bytes that are not
// UTF-8, fields given twice, lone surrogates, nesting beyond MaxDepth. The
// error is an *Error.
func CheckJSON(data []byte) error {
	if _, _, bad := decode8(data, true); bad >= 0 {
		e := errorAt(1+bytes.Count(data[:bad], []byte("\n")), "bad_encoding", "", "第 %d 个字节（偏移 %d）不是有效的 UTF-8 编码", bad+1, bad)
		e.Offset = int64(bad)
		return e
	}
	w, err := newWalker(value{data, 1, 1})
	if err != nil {
		return err
	}
	return w.ignore("")
}

func (w *walker) lineAt(offset int) int { return w.line + bytes.Count(w.data[:offset], []byte("\n")) }

func (w *walker) columnAt(offset int) int {
	start := bytes.LastIndexByte(w.data[:offset], '\n') + 1
	column := utf8.RuneCount(w.data[start:offset]) + 1
	if start == 0 {
		column += w.column - 1
	}
	return column
}

// fail is an error at an offset of the data. The line is counted only here:
// counting it for every value would make long conversations quadratic.
func (w *walker) fail(offset int, code, path, format string, args ...any) *Error {
	return errorAt(w.lineAt(offset), code, path, format, args...)
}

// skip is the offset of the next value.
func (w *walker) skip() int {
	i := int(w.dec.InputOffset())
	for i < len(w.data) && strings.IndexByte(" \t\r\n:,", w.data[i]) >= 0 {
		i++
	}
	return i
}

func (w *walker) peek() byte {
	if i := w.skip(); i < len(w.data) {
		return w.data[i]
	}
	return 0
}

func kindOf(c byte) string {
	switch c {
	case '{':
		return "对象"
	case '[':
		return "数组"
	case '"':
		return "字符串"
	case 't', 'f':
		return "布尔值"
	case 'n':
		return "null"
	}
	return "数字"
}

func (w *walker) expect(c byte, path, want string) error {
	if got := w.peek(); got != c {
		return w.fail(w.skip(), "wrong_type", path, "应当是%s，却是%s", want, kindOf(got))
	}
	return nil
}

// object calls f for every field with the value still to be read.
func (w *walker) object(path string, f func(key string) error) error {
	if err := w.expect('{', path, "对象"); err != nil {
		return err
	}
	seen := map[string]bool{}
	w.token()
	for w.dec.More() {
		start := w.skip()
		key, err := w.str(path)
		if err != nil {
			return err
		}
		if seen[key] {
			return w.fail(start, "duplicate_field", join(path, short(key)), "这个字段出现了两次，请只保留一个")
		}
		seen[key] = true
		if err := f(key); err != nil {
			return err
		}
	}
	w.token()
	return nil
}

func (w *walker) array(path string, f func(i int) error) error {
	if err := w.expect('[', path, "数组"); err != nil {
		return err
	}
	w.token()
	for i := 0; w.dec.More(); i++ {
		if err := f(i); err != nil {
			return err
		}
	}
	w.token()
	return nil
}

// token moves on; the syntax has been checked before.
func (w *walker) token() json.Token {
	t, _ := w.dec.Token()
	return t
}

func (w *walker) str(path string) (string, error) {
	if err := w.expect('"', path, "字符串"); err != nil {
		return "", err
	}
	start := w.skip()
	s, _ := w.token().(string)
	if strings.ContainsRune(s, utf8.RuneError) && loneSurrogate(w.data[start:w.dec.InputOffset()]) {
		return "", w.fail(start, "lone_surrogate", path, "含有不成对的 \\ud8xx 转义，不是有效的字符")
	}
	return s, nil
}

// loneSurrogate looks for half of a surrogate pair among the escapes.
func loneSurrogate(raw []byte) bool {
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if raw[i+1] != 'u' {
			i++
			continue
		}
		r, _ := strconv.ParseUint(string(raw[i+2:i+6]), 16, 32)
		i += 5
		if r < 0xD800 || r > 0xDFFF {
			continue
		}
		if r >= 0xDC00 || i+6 >= len(raw) || raw[i+1] != '\\' || raw[i+2] != 'u' {
			return true
		}
		low, _ := strconv.ParseUint(string(raw[i+3:i+7]), 16, 32)
		if low < 0xDC00 || low > 0xDFFF {
			return true
		}
		i += 6
	}
	return false
}

// null reads null as absence.
func (w *walker) null() bool {
	if w.peek() != 'n' {
		return false
	}
	w.token()
	return true
}

func (w *walker) number(path string) (json.Number, error) {
	if c := w.peek(); c != '-' && (c < '0' || c > '9') {
		return "", w.fail(w.skip(), "wrong_type", path, "应当是数字，却是%s", kindOf(c))
	}
	n, _ := w.token().(json.Number)
	return n, nil
}

// ignore skips a value of an unknown field. Its inside is checked like the rest.
func (w *walker) ignore(path string) error {
	switch w.peek() {
	case '{':
		return w.object(path, func(key string) error { return w.ignore(join(path, short(key))) })
	case '[':
		return w.array(path, func(i int) error { return w.ignore(fmt.Sprintf("%s[%d]", path, i)) })
	case '"':
		_, err := w.str(path)
		return err
	}
	w.token()
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (w *walker) transcript(t *qingting.Transcript) error {
	start, found := w.skip(), false
	err := w.object("", func(key string) (err error) {
		switch key {
		case "id":
			err = w.optionalString(key, &t.ID)
		case "channel":
			err = w.optionalString(key, &t.Channel)
		case "customer_ref":
			err = w.optionalString(key, &t.CustomerRef)
		case "messages":
			found = true
			err = w.array(key, func(i int) error { return w.addMessage(t, fmt.Sprintf("messages[%d]", i)) })
		default:
			err = w.ignore(key)
		}
		return err
	})
	if err == nil && !found {
		err = w.fail(start, "missing_messages", "messages", "缺少 messages，请给出消息数组")
	}
	return err
}

// addMessage stops keeping messages beyond the limit; Validate then refuses
// the transcript.
func (w *walker) addMessage(t *qingting.Transcript, path string) error {
	m, err := w.message(path)
	if err == nil && len(t.Messages) <= qingting.MaxMessages {
		t.Messages = append(t.Messages, m)
	}
	return err
}

func (w *walker) optionalString(path string, to *string) (err error) {
	if !w.null() {
		*to, err = w.str(path)
	}
	return err
}

func (w *walker) message(path string) (qingting.Message, error) {
	var m qingting.Message
	start, role, text := w.skip(), false, false
	err := w.object(path, func(key string) (err error) {
		at := join(path, key)
		switch key {
		case "message_id":
			err = w.optionalString(at, &m.ID)
		case "role":
			role = true
			start := w.skip()
			var s string
			if s, err = w.str(at); err != nil {
				return err
			}
			switch m.Role = qingting.Role(s); m.Role {
			case qingting.RoleCustomer, qingting.RoleAgent, qingting.RoleBot, qingting.RoleSystem:
			default:
				err = w.fail(start, "unknown_role", at, "不认识的角色 %q，只能是 customer、agent、bot 或 system", short(s))
			}
		case "text":
			text = true
			m.Text, err = w.str(at)
		case "seq":
			err = w.seq(at, &m.Seq)
		case "sent_at":
			err = w.time(at, &m.SentAt)
		case "is_final":
			err = w.bool(at, &m.IsFinal)
		case "asr":
			err = w.asr(at, &m.ASR)
		default:
			err = w.ignore(at)
		}
		return err
	})
	switch {
	case err != nil:
	case !role:
		err = w.fail(start, "missing_role", join(path, "role"), "缺少 role，请填 customer、agent、bot 或 system")
	case !text:
		err = w.fail(start, "missing_text", join(path, "text"), "缺少 text，请填这条消息的原文")
	}
	return m, err
}

func (w *walker) seq(path string, to *int) error {
	if w.null() {
		return nil
	}
	start := w.skip()
	n, err := w.number(path)
	if err != nil {
		return err
	}
	switch *to, err = strconv.Atoi(n.String()); {
	case errors.Is(err, strconv.ErrRange):
		*to = 0
		return w.fail(start, "bad_seq", path, "这个编号太大，最大是 %d", math.MaxInt)
	case err != nil:
		return w.fail(start, "wrong_type", path, "应当是整数")
	}
	if *to < 1 { // 0 would mean that there is none
		return w.fail(start, "bad_seq", path, "应当从 1 开始，不编号就不要写")
	}
	return nil
}

func (w *walker) time(path string, to *time.Time) error {
	if w.null() {
		return nil
	}
	start := w.skip()
	s, err := w.str(path)
	if err != nil {
		return err
	}
	if *to, err = time.Parse(time.RFC3339, s); err != nil {
		return w.fail(start, "bad_time", path, "不是 RFC 3339 时间，请写成 2026-03-01T09:30:00+08:00 的样子")
	}
	return nil
}

func (w *walker) bool(path string, to **bool) error {
	if w.null() {
		return nil
	}
	if c := w.peek(); c != 't' && c != 'f' {
		return w.fail(w.skip(), "wrong_type", path, "应当是 true 或 false，却是%s", kindOf(c))
	}
	b, _ := w.token().(bool)
	*to = &b
	return nil
}

func (w *walker) asr(path string, to **qingting.ASR) error {
	if w.null() {
		return nil
	}
	out := &qingting.ASR{}
	err := w.object(path, func(key string) error {
		at := join(path, key)
		switch key {
		case "confidence", "rate_cpm":
			if w.null() {
				return nil
			}
			start := w.skip()
			n, err := w.number(at)
			if err != nil {
				return err
			}
			f, err := n.Float64()
			if err != nil {
				return w.fail(start, "wrong_type", at, "这个数字太大")
			}
			if key == "rate_cpm" {
				out.RateCPM = f
				return nil
			}
			if f < 0 || f > 1 {
				return w.fail(start, "bad_confidence", at, "识别置信度应当在 0 到 1 之间，百分数请除以 100")
			}
			out.Confidence = f
			return nil
		}
		return w.ignore(at)
	})
	*to = out
	return err
}
