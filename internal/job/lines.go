package job

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"github.com/qingting-ai/qingting/internal/transcript"
)

// Fault is what is wrong with one line of an import. Message is a Chinese
// sentence; it may name a wrong code, but holds no message of a customer.
type Fault struct {
	Line    int    `json:"line"` // of the file, from 1; in a sheet the row; 0 when it is not one line
	Column  string `json:"column,omitempty"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func faultAt(line int, column, code, format string, args ...any) Fault {
	return Fault{line, column, code, fmt.Sprintf(format, args...)}
}

// sampleSize is how much of a file detection looks at; see package transcript.
const sampleSize = 64 << 10

// charsetOf settles the charset of a file: the declared one, or the one that
// package transcript detects. The name it returns tells the byte order of
// UTF-16.
func charsetOf(file *os.File, declared string) (string, error) {
	detect := func(from int64) (string, error) {
		in, err := transcript.NewReader(io.NewSectionReader(file, from, 1<<62), transcript.Options{Format: transcript.FormatJSONL, Charset: declared})
		if err != nil {
			return "", err
		}
		return in.Charset, nil
	}
	name, err := detect(0)
	if err != nil || declared != "" || name != "utf-8" {
		return name, err
	}
	// Nothing but ASCII at the beginning says nothing: the first other byte decides.
	at, err := firstBeyondASCII(file)
	if err != nil || at < sampleSize {
		return name, err
	}
	if name, err = detect(at); strings.HasPrefix(name, "utf-16") {
		name = "utf-8" // what stands before it was not UTF-16
	}
	return name, err
}

// firstBeyondASCII is the offset of the first byte beyond ASCII, −1 when there
// is none.
func firstBeyondASCII(file *os.File) (int64, error) {
	in := io.NewSectionReader(file, 0, 1<<62)
	buf := make([]byte, 64<<10)
	for offset := int64(0); ; {
		n, err := in.Read(buf)
		if at := bytes.IndexFunc(buf[:n], func(r rune) bool { return r >= utf8.RuneSelf }); at >= 0 {
			return offset + int64(at), nil
		}
		offset += int64(n)
		if err == io.EOF {
			return -1, nil
		}
		if err != nil {
			return -1, err
		}
	}
}

// lines reads a file line by line as UTF-8.
type lines struct {
	in   *bufio.Reader
	set  string
	enc  encoding.Encoding // nil for UTF-8 and UTF-16
	unit int               // bytes of a code unit
	big  bool              // byte order of UTF-16
	no   int               // of the line that was read last, from 1
}

func newLines(file *os.File, set string) (*lines, error) {
	l := &lines{in: bufio.NewReaderSize(io.NewSectionReader(file, 0, 1<<62), sampleSize), set: set, unit: 1}
	mark := ""
	switch set {
	case "utf-8":
		mark = "\xEF\xBB\xBF"
	case "gb18030":
		l.enc = simplifiedchinese.GB18030
	case "big5":
		l.enc = traditionalchinese.Big5
	case "utf-16le":
		l.unit, mark = 2, "\xFF\xFE"
	case "utf-16be":
		l.unit, l.big, mark = 2, true, "\xFE\xFF"
	default:
		return nil, fmt.Errorf("charset %q is not known here", set)
	}
	if head, _ := l.in.Peek(len(mark)); mark != "" && string(head) == mark {
		if _, err := l.in.Discard(len(mark)); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// next returns the next line without its end; io.EOF after the last one. A
// line that is too long comes empty and with a fault, one with bad bytes with
// U+FFFD for them.
func (l *lines) next() (text string, fault *Fault, err error) {
	raw, long, err := l.raw()
	if err != nil {
		return "", nil, err
	}
	l.no++
	if long {
		f := faultAt(l.no, "", "line_too_long", "这一行超过 %d MiB，请拆开", MaxLine>>20)
		return "", &f, nil
	}
	text, good := l.decode(raw)
	if !good {
		f := faultAt(l.no, "", "bad_encoding", "这一行有不是 %s 编码的字节，请用参数 charset 指明正确的字符集，或把文件另存为 UTF-8", strings.ToUpper(l.set))
		fault = &f
	}
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), fault, nil
}

// raw returns the bytes of a line with its end.
func (l *lines) raw() (line []byte, long bool, err error) {
	keep := func(p []byte) {
		if long = long || len(line)+len(p) > MaxLine; !long {
			line = append(line, p...)
		}
	}
	size := 0
	for {
		part, err := l.in.ReadSlice('\n')
		keep(part)
		size += len(part)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && err != io.EOF {
			return nil, false, fmt.Errorf("read upload: %w", err)
		}
		if err == io.EOF {
			if size == 0 {
				return nil, false, io.EOF
			}
			return line, long, nil
		}
		if err != nil {
			continue
		}
		if l.unit == 1 {
			return line, long, nil
		}
		// The byte 0A may be half of a character: of 上, for one.
		switch before := byte(1); {
		case l.big && size%2 == 0:
			if len(part) > 1 {
				before = part[len(part)-2]
			} else if !long && len(line) > 1 {
				before = line[len(line)-2]
			}
			if before == 0 {
				return line, long, nil
			}
		case !l.big && size%2 == 1:
			if next, _ := l.in.Peek(1); len(next) == 1 && next[0] == 0 {
				_, _ = l.in.Discard(1) // it was there
				keep([]byte{0})
				return line, long, nil
			}
		}
	}
}

// decode turns the bytes of a line into UTF-8; good is false when some do not
// belong to the charset.
func (l *lines) decode(raw []byte) (text string, good bool) {
	switch {
	case l.unit == 2:
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i]) | uint16(raw[2*i+1])<<8
			if l.big {
				units[i] = units[i]>>8 | units[i]<<8
			}
		}
		runes := utf16.Decode(units)
		good = len(raw)%2 == 0
		for i := 0; i < len(units); i++ {
			switch u := rune(units[i]); {
			case !utf16.IsSurrogate(u):
			case u < 0xDC00 && i+1 < len(units) && units[i+1] >= 0xDC00 && units[i+1] < 0xE000:
				i++
			default:
				good = false
			}
		}
		return string(runes), good
	case l.enc == nil:
		return strings.ToValidUTF8(string(raw), "\uFFFD"), utf8.Valid(raw)
	}
	out, err := l.enc.NewDecoder().Bytes(raw)
	return string(out), err == nil && !bytes.ContainsRune(out, utf8.RuneError)
}

// decoded gives a file as UTF-8 and remembers the lines that are not right.
type decoded struct {
	lines  *lines
	rest   []byte
	faults map[int]Fault
}

func (d *decoded) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		text, fault, err := d.lines.next()
		if err != nil {
			return 0, err
		}
		if fault != nil {
			d.faults[fault.Line] = *fault
		}
		d.rest = append(append(d.rest[:0], text...), '\n')
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}
