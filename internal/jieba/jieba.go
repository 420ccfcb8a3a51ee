// Package jieba cuts cleaned Chinese text into words. It is the only user of
// gojieba: it brings the dictionaries inside the binary, adds the words of
// customer service, and hides the library's traps.
package jieba

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/yanyiwu/gojieba"

	"github.com/qingting-ai/qingting"
)

// The main dictionary and the hidden Markov model are cppjieba's (MIT, see
// dict/LICENSE); domain.utf8 is ours: word, frequency on the scale of the
// main dictionary, part of speech.
//
//go:embed dict/jieba.dict.utf8 dict/hmm_model.utf8 dict/domain.utf8
var dictionaries embed.FS

// Only keyword extraction reads these two, and we do not use it. One line
// each keeps the library's 6 MB tables out of memory.
const (
	stubIDF  = "的 1.0\n"
	stubStop = "的\n"
)

// Segmenter implements qingting.Segmenter. One instance takes about 140 MB;
// share it. It may be used concurrently.
type Segmenter struct {
	mu    sync.RWMutex // held for reading while cutting: freeing a dictionary in use kills the process
	jieba *gojieba.Jieba
}

// New loads the embedded dictionaries and the extra words, which must not
// contain white space. It needs a temporary folder it can write to for the
// duration of the call.
func New(extra ...string) (*Segmenter, error) {
	var user strings.Builder
	domain, err := dictionaries.ReadFile("dict/domain.utf8")
	if err != nil {
		return nil, err
	}
	user.Write(domain)
	for _, word := range extra {
		if word == "" || !utf8.ValidString(word) || strings.ContainsFunc(word, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return nil, fmt.Errorf("词库里的词 %q 不能为空，也不能含空白或控制字符", word)
		}
		fmt.Fprintf(&user, "%s 2000 nz\n", word)
	}

	// The library only reads files, and its default paths point into the
	// module cache of the machine that built the binary.
	dir, err := os.MkdirTemp("", "qingting-dict-")
	if err != nil {
		return nil, fmt.Errorf("分词词典需要一个可写的临时目录（可用环境变量 TMPDIR 指定）：%w", err)
	}
	defer os.RemoveAll(dir)
	var paths []string
	write := func(name string, content []byte) error {
		path := filepath.Join(dir, name)
		paths = append(paths, path)
		return os.WriteFile(path, content, 0o600)
	}
	for _, name := range []string{"jieba.dict.utf8", "hmm_model.utf8"} {
		content, err := dictionaries.ReadFile("dict/" + name)
		if err != nil {
			return nil, err
		}
		if err := write(name, content); err != nil {
			return nil, fmt.Errorf("写临时词典：%w", err)
		}
	}
	err = errors.Join(
		write("user.utf8", []byte(user.String())),
		write("idf.utf8", []byte(stubIDF)),
		write("stop.utf8", []byte(stubStop)),
	)
	if err != nil {
		return nil, fmt.Errorf("写临时词典：%w", err)
	}
	return &Segmenter{jieba: gojieba.NewJieba(paths...)}, nil
}

// Close frees the dictionary once every running Segment has returned. After
// it Segment cuts into single characters.
func (s *Segmenter) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jieba != nil {
		s.jieba.Free()
		s.jieba = nil
	}
}

// Segment returns the words of a cleaned text in order, white space left out.
func (s *Segmenter) Segment(clean []rune) []qingting.Token {
	if len(clean) == 0 {
		return nil
	}
	text := toString(clean)
	s.mu.RLock()
	var words []string
	if s.jieba != nil {
		words = s.jieba.Cut(text, true)
	} else {
		words = strings.Split(text, "")
	}
	s.mu.RUnlock()

	tokens := make([]qingting.Token, 0, len(words))
	at := 0
	for _, word := range words {
		n := utf8.RuneCountInString(word)
		if strings.TrimSpace(word) != "" {
			tokens = append(tokens, qingting.Token{Text: word, Start: at, End: at + n})
		}
		at += n
	}
	return tokens
}

// toString encodes the text. A NUL ends a C string, and the library returns
// nothing at all for invalid UTF-8: neither may reach it, whoever calls.
func toString(clean []rune) string {
	var b strings.Builder
	b.Grow(3 * len(clean))
	for _, r := range clean {
		if r == 0 {
			r = ' '
		}
		b.WriteRune(r) // writes U+FFFD for what is no character
	}
	return b.String()
}
