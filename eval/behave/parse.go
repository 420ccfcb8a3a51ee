package behave

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// file is a test file.
type file struct {
	Slots map[string][]string `yaml:"slots"` // of every template of the file
	Tests []*Test             `yaml:"tests"`
}

// maxFile bounds a test file; the built-in ones have some 10 KB.
const maxFile = 1 << 20

func parseFile(src Source) (tests []*Test, err error) {
	defer func() {
		// The YAML reader panics on some broken documents.
		if v := recover(); v != nil {
			tests, err = nil, &Error{src.Name, 0, "不是合法的 YAML，请检查缩进、冒号和引号"}
		}
	}()
	if len(src.Content) > maxFile {
		return nil, &Error{src.Name, 0, fmt.Sprintf("超过 %d MiB，请拆成几个文件", maxFile>>20)}
	}
	if !utf8.Valid(src.Content) {
		return nil, &Error{src.Name, 0, "不是 UTF-8，请另存为 UTF-8"}
	}
	var f file
	if err := yaml.UnmarshalWithOptions(src.Content, &f, yaml.Strict()); err != nil {
		return nil, translate(src.Name, err)
	}
	lines := testLines(src.Content)
	for i, t := range f.Tests {
		line := 0
		if i < len(lines) {
			line = lines[i]
		}
		if t == nil {
			return nil, &Error{src.Name, line, fmt.Sprintf("tests 的第 %d 项是空的，请删掉它或写完整", i+1)}
		}
		t.file, t.line = src.Name, line
		for name, words := range f.Slots {
			if _, own := t.Slots[name]; !own {
				if t.Slots == nil {
					t.Slots = map[string][]string{}
				}
				t.Slots[name] = words
			}
		}
	}
	return f.Tests, nil
}

// testLines returns the line on which each test begins.
func testLines(content []byte) []int {
	f, err := parser.ParseBytes(content, 0)
	if err != nil || len(f.Docs) == 0 {
		return nil
	}
	top, ok := f.Docs[0].Body.(ast.MapNode)
	if !ok {
		return nil
	}
	for it := top.MapRange(); it.Next(); {
		if it.Key().String() != "tests" {
			continue
		}
		list, ok := it.Value().(*ast.SequenceNode)
		if !ok {
			return nil
		}
		var lines []int
		for _, v := range list.Values {
			line := 0
			if m, ok := v.(ast.MapNode); ok {
				if first := m.MapRange(); first.Next() {
					line = first.Key().GetToken().Position.Line
				}
			} else if t := v.GetToken(); t != nil && t.Position != nil {
				line = t.Position.Line
			}
			lines = append(lines, line)
		}
		return lines
	}
	return nil
}

// translate puts the YAML reader's complaint into Chinese with its line.
func translate(name string, err error) error {
	at := func(t *token.Token, format string, args ...any) error {
		e := &Error{File: name, Message: fmt.Sprintf(format, args...)}
		if t != nil && t.Position != nil {
			e.Line = t.Position.Line
		}
		return e
	}
	value := func(t *token.Token) string {
		if t == nil {
			return ""
		}
		return t.Value
	}
	var (
		unknown  *yaml.UnknownFieldError
		repeated *yaml.DuplicateKeyError
		wrong    *yaml.TypeError
		node     *yaml.UnexpectedNodeTypeError
		syntax   *yaml.SyntaxError
	)
	switch {
	case errors.As(err, &unknown):
		return at(unknown.Token, "不认识的键 %q，请检查拼写或删掉它", value(unknown.Token))
	case errors.As(err, &repeated):
		return at(repeated.Token, "键 %q 写了两次，请只留一个", value(repeated.Token))
	case errors.As(err, &wrong):
		want := "文字"
		if wrong.DstType != nil {
			switch wrong.DstType.Kind() {
			case reflect.Slice:
				want = "列表"
			case reflect.Map, reflect.Struct:
				want = "一组键值"
			case reflect.Int, reflect.Float64:
				want = "数"
			case reflect.Bool:
				want = " true 或 false"
			}
		}
		return at(wrong.Token, "值 %q 的类型不对，应为%s", value(wrong.Token), want)
	case errors.As(err, &node):
		return at(node.Token, "这里的结构不对，请检查缩进，列表写成 [甲, 乙]")
	case errors.As(err, &syntax) && strings.Contains(syntax.Message, "already defined"):
		return at(syntax.Token, "键 %q 写了两次，请只留一个", value(syntax.Token))
	case errors.As(err, &syntax):
		return at(syntax.Token, "不是合法的 YAML，请检查缩进、冒号和引号")
	}
	return &Error{name, 0, "读不懂，请检查缩进、冒号和引号"}
}

func hashOf(sources []Source) string {
	h := sha256.New()
	for _, s := range sources {
		fmt.Fprintf(h, "%s %d\n", s.Name, len(s.Content))
		h.Write(s.Content)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
