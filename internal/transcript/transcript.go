// Package transcript reads conversations as people have them: plain text with
// 客户：/客服： lines, JSON, JSONL and CSV, in UTF-8, GB18030, UTF-16 or Big5.
//
// Reading is strict. A byte that does not belong to the encoding, a field of
// the wrong type, an unknown role, a message beyond the limit: each is an
// error that says where and what to do. Nothing is repaired, shortened or left
// out silently. In a batch one bad conversation is one Record with Err set;
// the ones after it are still read, in order, with memory that depends on the
// largest conversation only.
package transcript

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"

	"github.com/qingting-ai/qingting"
)

// Format is how conversations are written down.
type Format string

// The formats; empty means: look at the first lines.
const (
	FormatAuto  Format = ""
	FormatText  Format = "text"
	FormatJSON  Format = "json"
	FormatJSONL Format = "jsonl"
	FormatCSV   Format = "csv"
)

// ParseFormat reads the name of a format; "auto" and "" mean detection.
func ParseFormat(name string) (Format, error) {
	switch strings.ToLower(name) {
	case "", "auto":
		return FormatAuto, nil
	case "text", "txt":
		return FormatText, nil
	case "json":
		return FormatJSON, nil
	case "jsonl", "ndjson":
		return FormatJSONL, nil
	case "csv", "tsv":
		return FormatCSV, nil
	}
	return "", &qingting.InputError{Code: "unknown_format", Message: fmt.Sprintf("不认识的格式 %q，可选 text、json、jsonl、csv", name)}
}

// FormatOf guesses from a file name. A .json file may hold JSON lines, so it
// is left to detection, as is a name without a telling ending.
func FormatOf(name string) Format {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jsonl", ".ndjson":
		return FormatJSONL
	case ".csv", ".tsv":
		return FormatCSV
	}
	return FormatAuto
}

// Options say what is known about the input. The zero value detects
// everything.
type Options struct {
	Format  Format
	Charset string // utf-8, gb18030, gbk, utf-16, utf-16le, utf-16be, big5; "" detects all but big5
	// Single reads the whole input as one conversation: in plain text blank
	// lines and rules separate nothing.
	Single bool
}

// MaxRecord is the largest conversation in bytes that is kept in memory.
// A conversation within the product's limits is far smaller, even when every
// character of it is escaped; beyond it the record is an error.
const MaxRecord = 16 << 20

// Record is one conversation of a batch.
type Record struct {
	Line       int    // line of the input on which it begins, from 1
	ID         string // its id where one could be read, also of a bad one
	Transcript qingting.Transcript
	Err        error // *Error when this conversation cannot be used
	// Note is what a person should know about how it was read; "" for nothing.
	Note string
}

// Error is an InputError with its place in the input.
type Error struct {
	qingting.InputError
	Line   int   // from 1; 0 when it is not one line
	Column int   // character of the line, from 1; 0 when it is not one place
	Offset int64 // byte of the input, from 0; −1 when it is not one byte
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "第 %d 行", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, "第 %d 个字", e.Column)
		}
		if e.Where != "" {
			b.WriteString(" ")
		}
	}
	b.WriteString(e.Where)
	if b.Len() > 0 {
		b.WriteString("：")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Unwrap gives the InputError, and through it ErrInvalid or ErrTooLarge.
func (e *Error) Unwrap() error { return &e.InputError }

func errorAt(line int, code, where, format string, args ...any) *Error {
	return &Error{
		InputError: qingting.InputError{Code: code, Where: where, Message: fmt.Sprintf(format, args...)},
		Line:       line, Offset: -1,
	}
}

func tooLarge(line int, code, format string, args ...any) *Error {
	e := errorAt(line, code, "", format, args...)
	e.Kind = qingting.ErrTooLarge
	return e
}

// Reader gives the conversations of one input one by one. It is not for
// concurrent use.
type Reader struct {
	Format  Format // as given or detected
	Charset string // as given or detected
	next    func() (Record, error)
	any     bool
	err     error
}

// NewReader looks at the beginning of r and prepares to read it. The error is
// an *Error, or what r returned.
func NewReader(r io.Reader, opts Options) (*Reader, error) {
	src := &source{in: bufio.NewReaderSize(r, sampleSize)}
	if err := src.open(opts.Charset); err != nil {
		return nil, err
	}
	format := opts.Format
	sample, whole := src.sample()
	if format == FormatAuto {
		format = detectFormat(sample, whole)
	}
	out := &Reader{Format: format, Charset: src.set.name}
	switch format {
	case FormatText:
		out.next = newTextReader(src, opts.Single).next
	case FormatJSON:
		out.next = newJSONReader(src).next
	case FormatJSONL:
		out.next = newJSONLReader(src).next
	case FormatCSV:
		c, err := newCSVReader(src)
		if err != nil {
			return nil, err
		}
		out.next = c.next
	default:
		_, err := ParseFormat(string(format))
		return nil, err
	}
	return out, nil
}

// Next returns the next conversation, io.EOF after the last one, or an error
// after which nothing more can be read. An input without any conversation is
// an *Error with the code empty_input.
func (r *Reader) Next() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	rec, err := r.next()
	if err == io.EOF && !r.any {
		err = errorAt(0, "empty_input", "", "输入是空的，没有找到会话")
	}
	if err != nil {
		r.err = err
		return Record{}, err
	}
	r.any = true
	if rec.Err == nil {
		if err := rec.Transcript.Validate(); err != nil {
			rec.Err = place(err, rec.Line)
		}
	}
	if rec.ID == "" {
		rec.ID = rec.Transcript.ID
	}
	if rec.Err != nil {
		rec.Transcript, rec.Note = qingting.Transcript{}, "" // how it was read no longer matters
	}
	return rec, nil
}

// All yields every conversation; a last pair with an error says that the rest
// cannot be read.
func (r *Reader) All() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			rec, err := r.Next()
			if err == io.EOF {
				return
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// One reads exactly one conversation.
func One(r io.Reader, opts Options) (qingting.Transcript, error) {
	rec, err := OneRecord(r, opts)
	return rec.Transcript, err
}

// OneRecord reads exactly one conversation and tells how it was read. With an
// error the record is empty.
func OneRecord(r io.Reader, opts Options) (Record, error) {
	opts.Single = true
	in, err := NewReader(r, opts)
	if err != nil {
		return Record{}, err
	}
	rec, err := in.Next()
	if err != nil {
		return Record{}, err
	}
	if rec.Err != nil {
		return Record{}, rec.Err
	}
	switch more, err := in.Next(); {
	case err == nil && codeOf(more.Err) == "bad_json":
		return Record{}, more.Err // something behind the conversation
	case err == nil:
		return Record{}, errorAt(more.Line, "more_than_one", "", "这里又开始了一个会话，一次只接受一个；多个会话请用 qingting triage 批量处理")
	case err != io.EOF:
		return Record{}, err
	}
	return rec, nil
}

func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// place adds the line to an InputError of the root package.
func place(err error, line int) error {
	var in *qingting.InputError
	if errors.As(err, &in) {
		return &Error{InputError: *in, Line: line, Offset: -1}
	}
	return err
}
