package dataset

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
)

// Place says where a row came from and which row it is.
type Place struct {
	File string // path as dataset.yaml writes it
	Line int    // 1-based
	Hash string // SHA-256 of the row's canonical JSON, hexadecimal
}

func (p *Place) place(at Place) { *p = at }

// Where is the row in words: "triage.jsonl 第 3 行".
func (p *Place) Where() string { return fmt.Sprintf("%s 第 %d 行", p.File, p.Line) }

// Key is what groups a row; every suite's rows may have these fields.
type Key struct {
	ID       string            `json:"id"`
	Source   string            `json:"source,omitempty"`
	Group    string            `json:"group,omitempty"`    // the conversation it was cut from; empty: its own id
	Customer string            `json:"customer,omitempty"` // a pseudonym
	Time     time.Time         `json:"time,omitzero"`      // RFC 3339: when the row was written
	Slices   map[string]string `json:"slices,omitempty"`   // industry, channel, noise …
}

// Conversation is the row's conversation.
func (k *Key) Conversation() string {
	if k.Group != "" {
		return k.Group
	}
	return k.ID
}

// Example is a labelled conversation, a row of the suite triage.
type Example struct {
	Place `json:"-"`
	Key
	Messages []qingting.Message `json:"messages"`
	Labels   qingting.Labels    `json:"labels"`
}

// Transcript returns the conversation without its labels.
func (e *Example) Transcript() qingting.Transcript {
	return qingting.Transcript{ID: e.ID, Channel: e.Slices["channel"], Messages: e.Messages}
}

// Votes are annotators' votes by score −2 … 2.
type Votes [5]float64

// UnmarshalJSON reads {"-2": n, …, "2": n}; a missing score has no votes.
func (v *Votes) UnmarshalJSON(b []byte) error {
	var m map[string]float64
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	*v = Votes{}
	for k, n := range m {
		i, err := strconv.Atoi(k)
		if err != nil || i < -2 || i > 2 {
			return bad(CodeShape, "的评分 %q 不认识，只能是 -2 到 2", k)
		}
		if n < 0 {
			return bad(CodeShape, "的评分 %s 的票数是负的", k)
		}
		v[i+2] = n
	}
	return nil
}

// Shares are the votes divided by their number; all zero without votes.
func (v Votes) Shares() [5]float64 {
	total := 0.0
	for _, n := range v {
		total += n
	}
	if total > 0 {
		for i := range v {
			v[i] /= total
		}
	}
	return v
}

// Rated is a conversation with votes, a row of the suite satisfaction.
type Rated struct {
	Place `json:"-"`
	Key
	Messages []qingting.Message `json:"messages"`
	Votes    struct {
		S Votes `json:"S"` // satisfaction
		A Votes `json:"A"` // task accomplished
		E Votes `json:"E"` // effectiveness
	} `json:"votes"`
}

// Query asks the case library, a row of the suite retrieval. It has a text or
// a conversation.
type Query struct {
	Place `json:"-"`
	Key
	Text     string             `json:"text,omitempty"`
	Messages []qingting.Message `json:"messages,omitempty"`
}

// Words are what the customer wrote: the text, or the messages of the
// customer.
func (q *Query) Words() string {
	if q.Text != "" {
		return q.Text
	}
	return customerText(q.Messages)
}

// Fact is something a reply must or must not say. A reply says it when it
// has one of the wordings.
type Fact struct {
	Fact string   `json:"fact"` // for people
	Any  []string `json:"any"`
}

// Said reports whether the reply has one of the wordings.
func (f *Fact) Said(reply string) bool {
	for _, w := range f.Any {
		if w != "" && strings.Contains(reply, w) {
			return true
		}
	}
	return false
}

// Turn is one turn of a chat: a string, or {"speaker", "text"}.
type Turn struct {
	Speaker string
	Text    string
}

// UnmarshalJSON reads either form.
func (t *Turn) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &t.Text)
	}
	var v struct{ Speaker, Text string }
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	t.Speaker, t.Text = v.Speaker, v.Text
	return nil
}

// Reply is a customer's text with the agent's reply, with facts, or with
// both, a row of the suite reply. Chats come as Context and Turns (customer,
// agent).
type Reply struct {
	Place `json:"-"`
	Key
	Title   string   `json:"title,omitempty"`
	Text    string   `json:"text,omitempty"`
	Reply   string   `json:"reply,omitempty"`
	Context []string `json:"context,omitempty"`
	Turns   []Turn   `json:"turns,omitempty"`
	Must    []Fact   `json:"must,omitempty"`
	MustNot []Fact   `json:"must_not,omitempty"`
}

// Pair is two texts with a label: 1 when they mean the same, 0 when not, or a
// grade up to 5. A row of the suite pairs.
type Pair struct {
	Place `json:"-"`
	Key
	A     string  `json:"a"`
	B     string  `json:"b"`
	Label float64 `json:"label"`
}

// TextSpan is personal data in a text.
type TextSpan struct {
	Start int               `json:"start"` // code points of Text, half open
	End   int               `json:"end"`
	Kind  qingting.SlotKind `json:"kind"`
}

// Text is a text with its personal data, words and simplified form, a row of
// the suite text. Every gold field but Spans may be missing.
type Text struct {
	Place `json:"-"`
	Key
	Text  string     `json:"text"`
	Spans []TextSpan `json:"spans"` // in order, without overlap; empty: nothing to mask
	// Words, joined, are Text (or its clean form) without white space.
	Words []string `json:"words,omitempty"`
	// Clean is the text in simplified script and half width.
	Clean string `json:"clean,omitempty"`
}

// maxLine bounds a row. The largest transcript the product takes has 200,000
// characters, some 2.4 MB when every one is an escaped surrogate pair.
const maxLine = 16 << 20

// Row is one line that is valid UTF-8 and valid JSON without repeated keys.
type Row struct {
	Place
	JSON []byte // as written; good until the next row
}

// Rows reads a file line by line, in constant memory, and skips empty lines.
// A line that cannot be used is an error and ends the iteration, as does one
// longer than 16 MiB.
func (d *Dataset) Rows(f *File) iter.Seq2[Row, error] {
	return d.rows(f.Path, false)
}

// Count counts the rows of a file without looking into them.
func (d *Dataset) Count(f *File) (int, error) {
	file, err := d.file(f.Path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	n := 0
	for _, err := range lines(file) {
		if err != nil {
			return 0, fmt.Errorf("%s%w", f.Path, err)
		}
		n++
	}
	return n, nil
}

// rows reads lines; with goOn it skips over a bad line once the error was
// yielded.
func (d *Dataset) rows(p string, goOn bool) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		file, err := d.file(p)
		if err != nil {
			yield(Row{}, err)
			return
		}
		defer file.Close()
		for line, err := range lines(file) {
			row := Row{Place: Place{File: p, Line: line.number}, JSON: line.text}
			if err != nil {
				yield(row, fmt.Errorf("%s%w", row.Where(), err))
				return
			}
			if goOn && line.number == 1 && bytes.HasPrefix(row.JSON, []byte(bom)) {
				_, err := Canonical(row.JSON)
				row.JSON = row.JSON[len(bom):]
				if !yield(row, fmt.Errorf("%s%w", row.Where(), err)) {
					return
				}
			}
			canonical, err := Canonical(row.JSON)
			if err != nil {
				if !yield(row, fmt.Errorf("%s%w", row.Where(), err)) || !goOn {
					return
				}
				continue
			}
			sum := sha256.Sum256(canonical)
			row.Hash = hex.EncodeToString(sum[:])
			if !yield(row, nil) {
				return
			}
		}
	}
}

type line struct {
	number int
	text   []byte // without white space around it
}

// lines yields the non-empty lines of r.
func lines(r io.Reader) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		b := bufio.NewReaderSize(r, 64<<10)
		var long []byte
		for n := 1; ; n++ {
			text, err := b.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				long = append(long[:0], text...)
				for errors.Is(err, bufio.ErrBufferFull) {
					text, err = b.ReadSlice('\n')
					if len(long)+len(text) > maxLine {
						yield(line{number: n}, bad(CodeShape, "超过 16 MiB，请拆成多行"))
						return
					}
					long = append(long, text...)
				}
				text = long
			}
			if err != nil && !errors.Is(err, io.EOF) {
				yield(line{number: n}, bad(CodeUnreadable, "读不下去：%v", reason(err)))
				return
			}
			text = bytes.Trim(text, " \t\r\n")
			if len(text) > 0 && !yield(line{n, text}, nil) {
				return
			}
			if err != nil {
				return
			}
		}
	}
}

// placer is a pointer to a row type.
type placer[T any] interface {
	*T
	place(Place)
}

// Read reads the rows of a file as T: Example, Rated, Query, Reply, Pair or
// Text, as the file's suite says. Memory is constant. An error ends the
// iteration. Fields that T lacks are passed over; Lint names them.
func Read[T any, P placer[T]](d *Dataset, f *File) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for row, err := range d.Rows(f) {
			if err != nil {
				yield(nil, err)
				return
			}
			v := new(T)
			if err := decode(row.JSON, v); err != nil {
				yield(nil, fmt.Errorf("%s%w", row.Where(), err))
				return
			}
			P(v).place(row.Place)
			if k, ok := any(v).(interface{ inherit(*File) }); ok {
				k.inherit(f)
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// inherit takes the slices of the file that the row does not give itself.
func (k *Key) inherit(f *File) {
	if len(f.Slices) == 0 {
		return
	}
	all := maps.Clone(f.Slices)
	maps.Copy(all, k.Slices)
	k.Slices = all
}

// decode reads valid JSON into a row. The error is Chinese.
func decode(b []byte, v any) error {
	err := json.Unmarshal(b, v)
	var wrong *json.UnmarshalTypeError
	var when *time.ParseError
	var own *RowError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field == "":
		return bad(CodeShape, "应为一个 JSON 对象 {…}，不能是%s", jsonKind(wrong.Value))
	case errors.As(err, &wrong):
		return bad(CodeShape, "的 %s 类型不对，不能是%s", strings.TrimPrefix(wrong.Field, "Key."), jsonKind(wrong.Value))
	case errors.As(err, &when):
		return bad(CodeShape, "的时间写法不对，请写成 2026-01-02T15:04:05+08:00")
	case errors.As(err, &own):
		return own
	}
	return bad(CodeShape, "的内容读不懂，请对照这一套数据的格式")
}

func jsonKind(s string) string {
	s, _, _ = strings.Cut(s, " ")
	switch s {
	case "string":
		return "文字"
	case "number":
		return "数字"
	case "bool":
		return "真假值"
	case "array":
		return "列表"
	case "object":
		return "一组键值"
	}
	return s
}

// customerText joins what the customer wrote; without a customer, everything.
func customerText(messages []qingting.Message) string {
	var b strings.Builder
	for _, only := range []bool{true, false} {
		for i := range messages {
			if !only || messages[i].Role == qingting.RoleCustomer {
				if b.Len() > 0 {
					b.WriteByte('\n')
				}
				b.WriteString(messages[i].Text)
			}
		}
		if b.Len() > 0 {
			break
		}
	}
	return b.String()
}

// Qrels are grades by query and case.
type Qrels map[string]map[string]int

// Qrels reads the judgements of a retrieval file: lines of query, 0, case,
// grade, between white space.
func (d *Dataset) Qrels(f *File) (Qrels, error) {
	out := make(Qrels)
	for q, err := range d.judgements(f) {
		if err != nil {
			return nil, err
		}
		if out[q.query] == nil {
			out[q.query] = make(map[string]int)
		}
		if _, ok := out[q.query][q.id]; ok {
			return nil, fmt.Errorf("%s 第 %d 行的同一个问题和案例判了两次，请只留一个", f.Qrels, q.line)
		}
		out[q.query][q.id] = q.grade
	}
	return out, nil
}

type judgement struct {
	line      int
	query, id string
	grade     int
}

func (d *Dataset) judgements(f *File) iter.Seq2[judgement, error] {
	return func(yield func(judgement, error) bool) {
		file, err := d.file(f.Qrels)
		if err != nil {
			yield(judgement{}, err)
			return
		}
		defer file.Close()
		for l, err := range lines(file) {
			q := judgement{line: l.number}
			if err != nil {
				yield(q, fmt.Errorf("%s 第 %d 行%w", f.Qrels, l.number, err))
				return
			}
			fields := strings.Fields(string(l.text))
			var fault error
			if len(fields) != 4 {
				fault = errors.New("应为四列：问题、0、案例、等级")
			} else if q.grade, err = strconv.Atoi(fields[3]); err != nil || q.grade < 0 || q.grade > 3 {
				fault = errors.New("等级只能是 0、1、2 或 3")
			} else {
				q.query, q.id = fields[0], fields[2]
			}
			if fault != nil {
				fault = fmt.Errorf("%s 第 %d 行%w", f.Qrels, l.number, fault)
			}
			if !yield(q, fault) {
				return
			}
		}
	}
}

// CaseTimes reads the corpus of a retrieval file: when each case was closed,
// by id, the zero time where it does not say. A built-in corpus is the
// caller's to read.
func (d *Dataset) CaseTimes(f *File) (map[string]time.Time, error) {
	if strings.HasPrefix(f.Corpus, BuiltinCorpus) {
		return nil, fmt.Errorf("%s 是程序内置的案例库，不在数据集里", f.Corpus)
	}
	out := make(map[string]time.Time)
	for row, err := range d.rows(f.Corpus, false) {
		if err != nil {
			return nil, err
		}
		var c struct {
			ID       string    `json:"id"`
			ClosedAt time.Time `json:"closed_at"`
		}
		if err := decode(row.JSON, &c); err != nil {
			return nil, fmt.Errorf("%s%w", row.Where(), err)
		}
		out[c.ID] = c.ClosedAt
	}
	return out, nil
}
