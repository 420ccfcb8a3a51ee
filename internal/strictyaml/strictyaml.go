// Package strictyaml reads YAML files that people write: unknown and repeated
// keys are errors, and no input makes the reader panic.
package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/printer"
	"github.com/goccy/go-yaml/token"
)

// Unmarshal reads b into the struct that to points to. The error is one of
// goccy/go-yaml, which knows its line (Describe), or says that the reader gave
// up: version 1.19.2 dereferences nil where a list is expected and a bare tag
// stands.
func Unmarshal(b []byte, to any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml reader: %v", v)
		}
	}()
	return yaml.UnmarshalWithOptions(b, to, yaml.Strict())
}

// Describe says in Chinese what an error of Unmarshal is, with the lines around
// its place.
func Describe(err error) string {
	var (
		unknown   *yaml.UnknownFieldError
		duplicate *yaml.DuplicateKeyError
		wrong     *yaml.TypeError
		overflow  *yaml.OverflowError
		node      *yaml.UnexpectedNodeTypeError
		syntax    *yaml.SyntaxError
	)
	switch {
	case errors.As(err, &unknown):
		return at(unknown.Token, fmt.Sprintf("不认识的键 %s，请检查拼写和缩进", unknown.Token.Value))
	case errors.As(err, &duplicate):
		return at(duplicate.Token, fmt.Sprintf("键 %s 写了两次", duplicate.Token.Value))
	case errors.As(err, &wrong):
		return at(wrong.Token, fmt.Sprintf("%q 不能用在这里，这里要的是%s", wrong.Token.Value, kindOf(wrong.DstType)))
	case errors.As(err, &overflow):
		return at(overflow.Token, fmt.Sprintf("%s 太大或是负数，这里要的是%s", overflow.SrcNum, kindOf(overflow.DstType)))
	case errors.As(err, &node):
		return at(node.Token, "这里的写法不对，要的是"+nodeKinds[node.Expected.YAMLName()])
	case errors.As(err, &syntax) && strings.Contains(syntax.Message, "already defined"):
		return at(syntax.Token, "这个键写了两次")
	case errors.As(err, &syntax):
		return at(syntax.Token, "不是正确的 YAML，请检查缩进、引号和冒号（"+syntax.Message+"）")
	}
	// The reader does not say where a duration stands.
	if _, word, found := strings.Cut(err.Error(), "time: invalid duration "); found {
		return "时长 " + word + " 的写法不对，请写成 30s、10m 或 2h 的样子"
	}
	return "YAML 读不了：" + err.Error()
}

// nodeKinds are the Chinese names of what YAML calls its parts.
var nodeKinds = map[string]string{
	"mapping": "一组“键: 值”", "sequence": "一个列表，例如 [a, b]", "string": "文字", "integer": "整数", "float": "数", "boolean": "true 或 false",
}

func kindOf(t reflect.Type) string {
	if t == nil {
		return "另一种值"
	}
	if t == reflect.TypeFor[time.Duration]() {
		return "时长，例如 30s、10m、2h"
	}
	switch t.Kind() {
	case reflect.Bool:
		return " true 或 false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "整数"
	case reflect.Float32, reflect.Float64:
		return "数"
	case reflect.String:
		return "文字"
	case reflect.Slice, reflect.Array:
		return "一个列表，例如 [a, b]"
	case reflect.Map, reflect.Struct:
		return "一组“键: 值”"
	case reflect.Pointer:
		return kindOf(t.Elem())
	}
	return "另一种值"
}

// at puts a sentence before the lines of its place.
func at(t *token.Token, sentence string) string {
	if t == nil || t.Position == nil {
		return sentence
	}
	place := fmt.Sprintf("第 %d 行第 %d 列：%s", t.Position.Line, t.Position.Column, sentence)
	var p printer.Printer
	return place + "\n" + strings.TrimRight(p.PrintErrorToken(t, false), "\n")
}
