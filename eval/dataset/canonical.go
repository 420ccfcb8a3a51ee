package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// RowError is a row that cannot be read: a stable code and a Chinese sentence
// that never contains the customer's text.
type RowError struct {
	Code    string
	Message string
}

func (e *RowError) Error() string { return e.Message }

func bad(code, format string, args ...any) error {
	return &RowError{code, fmt.Sprintf(format, args...)}
}

// Canonical returns the canonical form of one JSON value: the keys of every
// object sorted by their UTF-16 code units, no white space, strings in UTF-8
// with only the escapes JSON demands. It follows RFC 8785 (JCS) with one
// difference: numbers are kept as they are written, so 1, 1.0 and 1e0 are
// three values. Labels and votes are read as text, and a number must not
// change because a program read it as a double.
//
// Like RFC 8785 it refuses what has no single meaning: invalid UTF-8, an
// object with the same key twice, half a surrogate pair. The error is
// a *RowError.
func Canonical(src []byte) ([]byte, error) {
	if !utf8.Valid(src) {
		return nil, bad(CodeUTF8, "第 %d 个字节起不是合法的 UTF-8，请另存为 UTF-8 再试", firstInvalid(src)+1)
	}
	if bytes.HasPrefix(src, []byte(bom)) {
		return nil, bad(CodeBOM, "以 BOM 开头，请另存为不带 BOM 的 UTF-8")
	}
	if !json.Valid(src) {
		return nil, syntaxError(src)
	}
	c := canon{src: src, out: make([]byte, 0, len(src))}
	if err := c.value(); err != nil {
		return nil, err
	}
	return c.out, nil
}

// Hash is the SHA-256, in lower-case hexadecimal, of the canonical form.
func Hash(src []byte) (string, error) {
	b, err := Canonical(src)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

const bom = "\ufeff"

func firstInvalid(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// syntaxError says where src stops being JSON.
func syntaxError(src []byte) error {
	var v json.RawMessage
	err := json.Unmarshal(src, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		if syntax.Error() == "unexpected end of JSON input" {
			return bad(CodeJSON, "不是合法的 JSON：到行尾还没写完，请检查引号和括号")
		}
		return bad(CodeJSON, "不是合法的 JSON：第 %d 个字节处写错了，请检查引号、逗号和括号", syntax.Offset)
	}
	return bad(CodeJSON, "不是合法的 JSON")
}

// canon writes a valid JSON text in canonical form. It trusts that the text
// is valid.
type canon struct {
	src []byte
	at  int
	out []byte
	// key is room for a decoded string.
	key []rune
}

func (c *canon) space() {
	for c.at < len(c.src) {
		switch c.src[c.at] {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

func (c *canon) value() error {
	c.space()
	switch c.src[c.at] {
	case '{':
		return c.object()
	case '[':
		return c.array()
	case '"':
		s, err := c.text()
		if err != nil {
			return err
		}
		c.quote(s)
		return nil
	}
	// A number or true, false, null.
	start := c.at
	for c.at < len(c.src) {
		switch c.src[c.at] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			c.out = append(c.out, c.src[start:c.at]...)
			return nil
		}
		c.at++
	}
	c.out = append(c.out, c.src[start:]...)
	return nil
}

func (c *canon) array() error {
	c.at++
	c.out = append(c.out, '[')
	for first := true; ; first = false {
		c.space()
		switch c.src[c.at] {
		case ']':
			c.at++
			c.out = append(c.out, ']')
			return nil
		case ',':
			c.at++
		}
		if !first {
			c.out = append(c.out, ',')
		}
		if err := c.value(); err != nil {
			return err
		}
	}
}

// member is one key with the place of its value in out.
type member struct {
	units    []uint16
	from, to int // out[from:to] is "key":value
}

func (c *canon) object() error {
	c.at++
	c.out = append(c.out, '{')
	start := len(c.out)
	var members []member
	for {
		c.space()
		switch c.src[c.at] {
		case '}':
			c.at++
			return c.close(start, members)
		case ',':
			c.at++
			c.space()
			c.out = append(c.out, ',')
		}
		key, err := c.text()
		if err != nil {
			return err
		}
		m := member{units: utf16.Encode(key), from: len(c.out)}
		c.quote(key)
		c.space()
		c.at++ // the colon
		c.out = append(c.out, ':')
		if err := c.value(); err != nil {
			return err
		}
		m.to = len(c.out)
		members = append(members, m)
	}
}

// close puts the members of an object, which stand at out[start:], in order.
func (c *canon) close(start int, members []member) error {
	byKey := func(a, b member) int { return slices.Compare(a.units, b.units) }
	sorted := slices.IsSortedFunc(members, byKey)
	if !sorted {
		slices.SortFunc(members, byKey)
	}
	for i := 1; i < len(members); i++ {
		if slices.Equal(members[i].units, members[i-1].units) {
			return bad(CodeDuplicateKey, "键 %q 写了两次，请只留一个", string(utf16.Decode(members[i].units)))
		}
	}
	if !sorted {
		body := slices.Clone(c.out[start:])
		c.out = c.out[:start]
		for i, m := range members {
			if i > 0 {
				c.out = append(c.out, ',')
			}
			c.out = append(c.out, body[m.from-start:m.to-start]...)
		}
	}
	c.out = append(c.out, '}')
	return nil
}

// text reads a string. The result is good until the next call.
func (c *canon) text() ([]rune, error) {
	c.at++ // the quote
	s := c.key[:0]
	for {
		b := c.src[c.at]
		switch {
		case b == '"':
			c.at++
			c.key = s
			return s, nil
		case b == '\\':
			r, err := c.escape()
			if err != nil {
				return nil, err
			}
			s = append(s, r)
		case b < utf8.RuneSelf:
			c.at++
			s = append(s, rune(b))
		default:
			r, n := utf8.DecodeRune(c.src[c.at:])
			c.at += n
			s = append(s, r)
		}
	}
}

func (c *canon) escape() (rune, error) {
	e := c.src[c.at+1]
	c.at += 2
	switch e {
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r := c.unit()
		if !utf16.IsSurrogate(r) {
			return r, nil
		}
		if c.at+1 < len(c.src) && c.src[c.at] == '\\' && c.src[c.at+1] == 'u' {
			c.at += 2
			if whole := utf16.DecodeRune(r, c.unit()); whole != utf8.RuneError {
				return whole, nil
			}
		}
		return 0, bad(CodeUTF8, `有半个 UTF-16 代理项（\ud800 到 \udfff 必须成对），请重新导出这一行`)
	}
	return rune(e), nil // " \ /
}

// unit reads four hexadecimal digits.
func (c *canon) unit() rune {
	var r rune
	for _, b := range c.src[c.at : c.at+4] {
		r <<= 4
		switch {
		case b >= 'a':
			r |= rune(b - 'a' + 10)
		case b >= 'A':
			r |= rune(b - 'A' + 10)
		default:
			r |= rune(b - '0')
		}
	}
	c.at += 4
	return r
}

// quote writes a string with the escapes of RFC 8785, section 3.2.2.2.
func (c *canon) quote(s []rune) {
	c.out = append(c.out, '"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			c.out = append(c.out, '\\', byte(r))
		case '\b':
			c.out = append(c.out, `\b`...)
		case '\f':
			c.out = append(c.out, `\f`...)
		case '\n':
			c.out = append(c.out, `\n`...)
		case '\r':
			c.out = append(c.out, `\r`...)
		case '\t':
			c.out = append(c.out, `\t`...)
		default:
			if r < ' ' {
				c.out = fmt.Appendf(c.out, `\u%04x`, r)
			} else {
				c.out = utf8.AppendRune(c.out, r)
			}
		}
	}
	c.out = append(c.out, '"')
}
