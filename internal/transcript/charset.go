package transcript

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/transform"
)

// sampleSize is how much of the input detection looks at.
const sampleSize = 64 << 10

// charset decodes one encoding strictly.
type charset struct {
	name string
	unit int               // bytes of a code unit: 2 for UTF-16
	big  bool              // byte order of UTF-16
	enc  encoding.Encoding // nil for UTF-8 and UTF-16
}

func charsets() map[string]charset {
	utf8, le, be := charset{name: "utf-8", unit: 1}, charset{name: "utf-16le", unit: 2}, charset{name: "utf-16be", unit: 2, big: true}
	gb := charset{name: "gb18030", unit: 1, enc: simplifiedchinese.GB18030}
	big5 := charset{name: "big5", unit: 1, enc: traditionalchinese.Big5}
	return map[string]charset{
		"utf-8": utf8, "utf8": utf8, "us-ascii": utf8, "ascii": utf8,
		"gb18030": gb, "gbk": gb, "gb2312": gb, "cp936": gb, "gb-18030": gb,
		"utf-16le": le, "utf16le": le, "utf-16be": be, "utf16be": be,
		"utf-16": le, "utf16": le, // the byte order mark, or detection, decides
		"big5": big5, "big-5": big5, "cp950": big5,
	}
}

// KnownCharset reports whether Options.Charset may be name.
func KnownCharset(name string) bool {
	_, ok := charsets()[strings.ToLower(name)]
	return ok
}

// decode turns src into UTF-8. used is the number of bytes that were read:
// all of them, or fewer by an incomplete character at the end unless final.
// bad is the offset of the first byte that does not belong to the encoding,
// or −1; out then has U+FFFD in its place and goes on.
func (c charset) decode(src []byte, final bool) (out []byte, used, bad int) {
	switch {
	case c.unit == 2:
		return c.decode16(src, final)
	case c.enc == nil:
		return decode8(src, final)
	}
	used = len(src)
	if !final {
		used = c.whole(src)
	}
	// The GB18030 and Big5 decoders write U+FFFD for what they cannot read,
	// and never fail on a complete input.
	out, _, _ = transform.Bytes(c.enc.NewDecoder(), src[:used])
	if !bytes.ContainsRune(out, utf8.RuneError) {
		return out, used, -1
	}
	for i := 0; i < used; {
		n := min(c.width(src[i:used]), used-i)
		one, _, _ := transform.Bytes(c.enc.NewDecoder(), src[i:i+n])
		// 84 31 A4 37 is how GB18030 really writes U+FFFD.
		if bytes.ContainsRune(one, utf8.RuneError) && !bytes.Equal(src[i:i+n], []byte{0x84, 0x31, 0xA4, 0x37}) {
			return out, used, i
		}
		i += n
	}
	return out, used, -1
}

// width is the length of the character at the beginning of src, which may be
// longer than src.
func (c charset) width(src []byte) int {
	switch {
	case src[0] <= 0x80 || src[0] == 0xFF:
		return 1
	case c.name == "gb18030" && len(src) > 1 && src[1] >= '0' && src[1] <= '9':
		return 4
	}
	return 2
}

// whole is the length of src without an incomplete last character.
func (c charset) whole(src []byte) int {
	i := 0
	for i < len(src) {
		n := c.width(src[i:])
		if i+n > len(src) {
			break
		}
		i += n
	}
	return i
}

func decode8(src []byte, final bool) (out []byte, used, bad int) {
	used = len(src)
	if !final {
		for i := 1; i < utf8.UTFMax && i <= len(src); i++ {
			if b := src[len(src)-i]; utf8.RuneStart(b) {
				if !utf8.FullRune(src[len(src)-i:]) {
					used -= i
				}
				break
			}
		}
	}
	src = src[:used]
	if utf8.Valid(src) {
		return src, used, -1
	}
	for bad < len(src) {
		r, n := utf8.DecodeRune(src[bad:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		bad += n
	}
	return bytes.ToValidUTF8(src, []byte("\uFFFD")), used, bad
}

func (c charset) decode16(src []byte, final bool) (out []byte, used, bad int) {
	bad = -1
	at := func(i int) rune {
		if c.big {
			return rune(src[i])<<8 | rune(src[i+1])
		}
		return rune(src[i+1])<<8 | rune(src[i])
	}
	fail := func(i int) {
		out = utf8.AppendRune(out, utf8.RuneError)
		if bad < 0 {
			bad = i
		}
	}
	out = make([]byte, 0, len(src)*3/2)
	i := 0
	for i+1 < len(src) {
		r := at(i)
		switch {
		case !utf16.IsSurrogate(r):
			out = utf8.AppendRune(out, r)
		case r >= 0xDC00:
			fail(i)
		case i+3 >= len(src):
			if !final {
				return out, i, bad
			}
			fail(i)
		default:
			if pair := utf16.DecodeRune(r, at(i+2)); pair != utf8.RuneError {
				out = utf8.AppendRune(out, pair)
				i += 2
			} else {
				fail(i)
			}
		}
		i += 2
	}
	if i < len(src) && final {
		fail(i)
		i = len(src)
	}
	return out, i, bad
}

// source gives the input as decoded lines or as a decoded stream, and knows
// where it is.
type source struct {
	in     *bufio.Reader
	set    charset
	open8  bool  // nothing but ASCII so far: the first other byte decides
	offset int64 // bytes read so far
	lines  int   // lines read so far
	rest   []byte
	ended  bool
}

// open settles the encoding and skips a byte order mark.
func (s *source) open(name string) error {
	sample, err := s.in.Peek(sampleSize)
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return fmt.Errorf("read input: %w", err)
	}
	name = strings.ToLower(name)
	if name == "auto" {
		name = ""
	}
	set, known := charsets()[name]
	if name != "" && !known {
		return errorAt(0, "unknown_charset", "", "不认识的字符集 %q，可选 utf-8、gb18030（gbk）、utf-16、utf-16le、utf-16be、big5", name)
	}
	marks := []struct {
		mark string
		set  string
	}{{"\xEF\xBB\xBF", "utf-8"}, {"\xFF\xFE", "utf-16le"}, {"\xFE\xFF", "utf-16be"}}
	for _, m := range marks {
		marked := charsets()[m.set]
		// A mark of the encoding named by the caller is skipped too; another
		// one is data, and will most likely be an error.
		if !bytes.HasPrefix(sample, []byte(m.mark)) || (name != "" && set.name != marked.name && !(set.unit == 2 && (name == "utf-16" || name == "utf16"))) {
			continue
		}
		s.set = marked
		n, _ := s.in.Discard(len(m.mark))
		s.offset = int64(n)
		return nil
	}
	switch {
	case name == "utf-16" || name == "utf16":
		s.set = set
		if plausible(charsets()["utf-16be"], sample) > plausible(set, sample) {
			s.set = charsets()["utf-16be"]
		}
	case known:
		s.set = set
	default:
		s.set = detectCharset(sample, err == io.EOF)
		if s.set.name == "gb18030" && looksBig5(sample) {
			return errorAt(0, "bad_encoding", "", "这份输入看起来是繁体的 Big5 编码，请加上 --charset big5；如果确实是 GBK，请加上 --charset gbk")
		}
		s.open8 = s.set.name == "utf-8" && ascii(sample)
	}
	return nil
}

// sample returns the beginning of the input, decoded, and whether that is all
// of it.
func (s *source) sample() (text []byte, whole bool) {
	raw, err := s.in.Peek(sampleSize - 8) // a mark may already have been skipped
	text, _, _ = s.set.decode(raw, false)
	return text, err == io.EOF
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf || c == 0 {
			return false
		}
	}
	return true
}

// decide looks again once the first character beyond ASCII has come.
func (s *source) decide(raw []byte) {
	if !s.open8 || ascii(raw) {
		return
	}
	more, _ := s.in.Peek(sampleSize / 2)
	s.set = detectCharset(append(bytes.Clone(raw), more...), false)
	if s.set.unit == 2 {
		s.set = charsets()["utf-8"] // the lines before it were not UTF-16
	}
	s.open8 = false
}

// line is one line of the input without its end.
type line struct {
	no   int
	text string
	err  *Error // bytes outside the encoding, or a line beyond MaxRecord
}

// readLine returns io.EOF after the last line. A line with bad bytes is
// returned with U+FFFD for them and err set, so that its structure can still
// be followed.
func (s *source) readLine() (line, error) {
	var buf []byte
	start, long := s.offset, false
	for {
		part, err := s.in.ReadSlice('\n')
		s.offset += int64(len(part))
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return line{}, fmt.Errorf("read input: %w", err)
		}
		// Parity of the offset, not of the buffer, tells the code units apart.
		odd := (s.offset-start)%2 == 1
		ended := err == nil && s.set.unit == 1
		if err == nil && s.set.unit == 2 {
			if s.set.big {
				ended = !odd && len(part) > 1 && part[len(part)-2] == 0
				if !odd && len(part) == 1 { // the zero byte is in the part before
					ended = len(buf) > 0 && buf[len(buf)-1] == 0
				}
			} else if odd {
				if next, peekErr := s.in.Peek(1); peekErr == nil && next[0] == 0 {
					ended = true
				}
			}
		}
		if len(buf)+len(part) > MaxRecord {
			long = true
			part = part[max(0, len(part)-1):]
			buf = buf[:0]
		}
		buf = append(buf, part...)
		if ended && s.set.unit == 2 && !s.set.big {
			b, _ := s.in.ReadByte()
			s.offset++
			buf = append(buf, b)
		}
		if ended {
			break
		}
		if err == io.EOF {
			if s.offset == start {
				return line{}, io.EOF
			}
			break
		}
	}
	s.lines++
	out := line{no: s.lines}
	if long {
		out.err = tooLarge(out.no, "line_too_long", "这一行超过 %d MiB，请拆成多个会话", MaxRecord>>20)
		return out, nil
	}
	s.decide(buf)
	text, _, bad := s.set.decode(buf, true)
	if bad >= 0 {
		out.err = s.badByte(out.no, start+int64(bad), buf)
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	out.text = string(bytes.TrimSuffix(text, []byte("\r")))
	return out, nil
}

// badByte is the error of a byte; around are those read with it.
func (s *source) badByte(no int, offset int64, around []byte) *Error {
	hint := "请用 --charset 指明正确的字符集"
	if looksBig5(around) {
		hint = "看起来是繁体的 Big5，请用 --charset big5"
	}
	e := errorAt(no, "bad_encoding", "", "第 %d 个字节（偏移 %d）不是有效的 %s 编码，%s，或把文件另存为 UTF-8", offset+1, offset, strings.ToUpper(s.set.name), hint)
	e.Offset = offset
	return e
}

// Read gives the input as UTF-8, for formats that are not made of lines. A bad
// byte ends it with an *Error.
func (s *source) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		raw, err := s.in.Peek(sampleSize / 2)
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return 0, fmt.Errorf("read input: %w", err)
		}
		s.ended = err == io.EOF
		s.decide(raw)
		text, used, bad := s.set.decode(raw, s.ended)
		if bad >= 0 {
			s.lines += bytes.Count(raw[:bad], []byte("\n"))
			return 0, s.badByte(s.lines+1, s.offset+int64(bad), raw)
		}
		s.rest = bytes.Clone(text)
		s.lines += bytes.Count(s.rest, []byte("\n"))
		s.offset += int64(used)
		if _, err := s.in.Discard(used); err != nil {
			return 0, fmt.Errorf("read input: %w", err)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// detectCharset chooses between UTF-8, GB18030 and UTF-16. Big5 cannot be told
// from GB18030 safely: it has to be named.
func detectCharset(sample []byte, whole bool) charset {
	all := charsets()
	utf, gb := all["utf-8"], all["gb18030"]
	le, be := plausible(all["utf-16le"], sample), plausible(all["utf-16be"], sample)
	wide, best := all["utf-16le"], le
	if be > le {
		wide, best = all["utf-16be"], be
	}
	_, _, bad := utf.decode(sample, whole)
	zeros := bytes.IndexByte(sample, 0) >= 0
	switch {
	case zeros && best > 0.9:
		return wide
	case bad < 0:
		return utf
	}
	// Chinese text in UTF-8 is made of three-byte characters. One damaged byte
	// among them is an error to report, not a reason to read it as GBK.
	good, broken := 0, 0
	for i := 0; i < len(sample); {
		r, n := utf8.DecodeRune(sample[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			broken++
		case n >= 3:
			good++
		}
		i += n
	}
	if good > broken {
		return utf
	}
	narrow := plausible(gb, sample)
	switch {
	case best > 0.9 && best > narrow:
		return wide
	case narrow > 0.7:
		return gb
	}
	return utf
}

// looksBig5 reports bytes that are most likely traditional Chinese in Big5. Its
// common characters begin with A1 to C6, and two in five end below A1, where
// GBK has rare characters only, most of which begin outside of that range.
// That is sure enough to ask, not to decide.
func looksBig5(b []byte) bool {
	pairs, common, low := 0, 0, 0
	for i := 0; i+1 < len(b); i++ {
		if b[i] < utf8.RuneSelf {
			continue
		}
		lead, trail := b[i], b[i+1]
		if lead < 0xA1 || lead > 0xF9 || trail < 0x40 || trail > 0x7E && trail < 0xA1 || trail == 0xFF {
			return false
		}
		pairs++
		if lead <= 0xC6 {
			common++
		}
		if trail <= 0x7E {
			low++
		}
		i++
	}
	return pairs > 1 && 10*common >= 9*pairs && 5*low >= pairs
}

// plausible is the share of characters, in [0, 1], that Chinese customers use;
// 0 when the bytes do not belong to the encoding at all.
func plausible(c charset, sample []byte) float64 {
	if len(sample) < 2 {
		return 0
	}
	text, _, bad := c.decode(sample, false)
	if bad >= 0 && c.unit == 2 {
		return 0
	}
	good, all := 0, 0
	for _, r := range string(text) {
		all++
		switch {
		case r == '\n', r == '\r', r == '\t', r >= ' ' && r < 0x7F,
			r >= 0x4E00 && r <= 0x9FA5, r >= 0x3000 && r <= 0x303F, r >= 0xFF01 && r <= 0xFF5E,
			r >= 0x2010 && r <= 0x2026, r >= 0x1F300 && r <= 0x1FAFF, r == 0xB7, r == 0xA5, r == 0xFFE5:
			good++
		}
	}
	if all == 0 {
		return 0
	}
	return float64(good) / float64(all)
}
