// Package dataset reads the data of the evaluation: JSONL files described by
// one dataset.yaml. It gives every file and every example a hash, checks the
// rows (Lint), parts them without cutting a conversation or a customer in two
// (Split), and shows what one part knows of another (Leak).
//
// Rows are read one at a time; nothing here holds a whole file. Errors are
// Chinese sentences that name file and line.
package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/strictyaml"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/token"
)

// Suite is what the rows of a file are.
type Suite string

// The suites.
const (
	SuiteTriage       Suite = "triage"       // labelled conversations: Example
	SuiteSatisfaction Suite = "satisfaction" // conversations with votes: Rated
	SuiteRetrieval    Suite = "retrieval"    // queries with qrels and a corpus: Query
	SuiteReply        Suite = "reply"        // texts with replies or with facts: Reply
	SuitePairs        Suite = "pairs"        // two texts, same meaning or not: Pair
	SuiteText         Suite = "text"         // gold of masking and segmentation: Text
)

// Suites lists every suite.
func Suites() []Suite {
	return []Suite{SuiteTriage, SuiteSatisfaction, SuiteRetrieval, SuiteReply, SuitePairs, SuiteText}
}

// Part is one side of a split.
type Part string

// The parts.
const (
	Train Part = "train"
	Dev   Part = "dev"
	Test  Part = "test"
)

// Parts lists the parts in the order of time: test is the latest.
func Parts() []Part { return []Part{Train, Dev, Test} }

// Group is what must not be cut in two by a split.
type Group string

// The groups.
const (
	ByConversation Group = "conversation" // the row's "group", or its id
	ByCustomer     Group = "customer"     // the row's "customer"
	ByTime         Group = "time"         // the row's "time": later ones are tested on
)

// Groups lists every group.
func Groups() []Group { return []Group{ByConversation, ByCustomer, ByTime} }

// BuiltinCorpus begins the name of a corpus that the program carries, such as
// builtin:starter for the cases every new installation has.
const BuiltinCorpus = "builtin:"

// File is one JSONL file of a dataset.
type File struct {
	Name  string `yaml:"name"`  // unique; empty: the file's name without .jsonl
	Suite Suite  `yaml:"suite"` // what the rows are
	Path  string `yaml:"path"`  // from the folder of dataset.yaml
	Split Part   `yaml:"split"` // empty: test
	Group Group  `yaml:"group"` // empty: the dataset's
	// Slices hold for every row that does not say otherwise (channel: im).
	Slices map[string]string `yaml:"slices"`
	// SHA256 pins the content, in hexadecimal; empty: not pinned.
	SHA256 string `yaml:"sha256"`
	// Qrels and Corpus belong to retrieval: judgements in TREC form (query, 0,
	// case, grade) and the cases, a path or BuiltinCorpus with a name.
	Qrels  string `yaml:"qrels"`
	Corpus string `yaml:"corpus"`
}

// Dataset is a dataset.yaml. It is plain data; nobody changes it after Open.
// Its methods may be called concurrently.
type Dataset struct {
	Name        string `yaml:"name"`
	Version     string `yaml:"version"`
	Taxonomy    string `yaml:"taxonomy"` // of the labels, as qingting.TaxonomyVersion
	Licence     string `yaml:"licence"`  // a sentence: who may use it for what
	Description string `yaml:"description"`
	Group       Group  `yaml:"group"` // empty: conversation
	Files       []File `yaml:"suites"`

	open func(name string) (io.ReadCloser, error)
}

// maxYAML bounds a dataset.yaml; a large one has some 5 KB.
const maxYAML = 1 << 20

// Open reads a dataset.yaml, or takes one bare .jsonl file of labelled
// conversations as a dataset of its own. Paths in the file count from its
// folder. No row is read yet.
func Open(name string) (*Dataset, error) { return OpenAt(name, filepath.Dir(name)) }

// OpenAt is Open for a dataset.yaml whose files lie in another folder: sets
// that may be described here and not kept here.
func OpenAt(name, root string) (*Dataset, error) {
	return openWith(filepath.Base(name), func(p string) (io.ReadCloser, error) {
		if p == filepath.Base(name) {
			return os.Open(name)
		}
		p = filepath.FromSlash(p)
		if !filepath.IsAbs(p) {
			p = filepath.Join(root, p)
		}
		return os.Open(p)
	})
}

// OpenFS is Open for a file system such as an embedded one. Paths cannot
// leave it.
func OpenFS(fsys fs.FS, name string) (*Dataset, error) {
	dir := path.Dir(name)
	return openWith(path.Base(name), func(p string) (io.ReadCloser, error) {
		return fsys.Open(path.Join(dir, p))
	})
}

func openWith(base string, open func(string) (io.ReadCloser, error)) (*Dataset, error) {
	if ext := path.Ext(base); ext == ".jsonl" || ext == ".ndjson" {
		d := &Dataset{
			Name: strings.TrimSuffix(base, ext), Taxonomy: qingting.TaxonomyVersion, Group: ByConversation,
			Files: []File{{Name: strings.TrimSuffix(base, ext), Suite: SuiteTriage, Path: base, Split: Test, Group: ByConversation}},
			open:  open,
		}
		f, err := d.file(base)
		if err != nil {
			return nil, err
		}
		return d, f.Close()
	}
	f, err := open(base)
	if err != nil {
		return nil, fmt.Errorf("打不开数据集 %s：%w", base, reason(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxYAML+1))
	if err != nil {
		return nil, fmt.Errorf("读不了数据集 %s：%w", base, reason(err))
	}
	d, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s %w", base, err)
	}
	d.open = open
	return d, nil
}

// reason drops from an error of the file system the path and the operation,
// which our own sentence names.
func reason(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("文件不存在")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("没有读取权限")
	case errors.Is(err, fs.ErrInvalid):
		return errors.New("路径不合法，不能离开数据集所在的目录")
	}
	return err
}

// Error is a dataset.yaml that cannot be used: a Chinese sentence with the
// line where one is known.
type Error struct {
	Line    int // 1-based; 0 when the fault is not one line
	Message string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("第 %d 行：%s", e.Line, e.Message)
}

func fault(format string, args ...any) error { return &Error{Message: fmt.Sprintf(format, args...)} }

// Parse reads the text of a dataset.yaml strictly: an unknown or repeated
// key, a wrong type, an unknown suite are each an *Error. The result cannot
// read rows; Open's can.
func Parse(b []byte) (*Dataset, error) {
	switch {
	case len(b) > maxYAML:
		return nil, fault("超过 1 MiB，请检查是不是选错了文件")
	case !utf8.Valid(b):
		return nil, fault("不是 UTF-8 编码，请另存为 UTF-8 再试")
	case len(bytes.TrimSpace(b)) == 0:
		return nil, fault("是空的，至少要写 name、version、taxonomy 和 suites")
	}
	d := new(Dataset)
	if err := strictyaml.Unmarshal(b, d); err != nil {
		return nil, YAMLError(err)
	}
	if err := d.complete(); err != nil {
		return nil, err
	}
	return d, nil
}

// complete checks the file and fills in its defaults.
func (d *Dataset) complete() error {
	if d.Name == "" {
		return fault("缺少 name，请给数据集起个名字")
	}
	if d.Version == "" {
		return fault(`缺少 version，请写版本号，如 "1.0"`)
	}
	if d.Taxonomy != qingting.TaxonomyVersion {
		return fault(`taxonomy 是 %q，这个程序的标注体系是 "%s"，请核对标注后改成它`, d.Taxonomy, qingting.TaxonomyVersion)
	}
	if d.Group == "" {
		d.Group = ByConversation
	}
	if !slices.Contains(Groups(), d.Group) {
		return fault("group %q 不认识，只能是 conversation、customer 或 time", d.Group)
	}
	if len(d.Files) == 0 {
		return fault("suites 是空的，请至少列一个文件")
	}
	seen := make(map[string]bool)
	for i := range d.Files {
		f := &d.Files[i]
		at := fmt.Sprintf("suites[%d]", i)
		if f.Path == "" {
			return fault("%s 缺少 path", at)
		}
		if f.Name == "" {
			f.Name = strings.TrimSuffix(path.Base(f.Path), path.Ext(f.Path))
		}
		at += "（" + f.Name + "）"
		if seen[f.Name] {
			return fault("%s 的 name 和前面的重复，请改一个", at)
		}
		seen[f.Name] = true
		if !slices.Contains(Suites(), f.Suite) {
			return fault("%s 的 suite %q 不认识，只能是 triage、satisfaction、retrieval、reply、pairs 或 text", at, f.Suite)
		}
		if f.Split == "" {
			f.Split = Test
		}
		if !slices.Contains(Parts(), f.Split) {
			return fault("%s 的 split %q 不认识，只能是 train、dev 或 test", at, f.Split)
		}
		if f.Group == "" {
			f.Group = d.Group
		}
		if !slices.Contains(Groups(), f.Group) {
			return fault("%s 的 group %q 不认识，只能是 conversation、customer 或 time", at, f.Group)
		}
		if f.SHA256 != "" {
			if b, err := hex.DecodeString(f.SHA256); err != nil || len(b) != sha256.Size {
				return fault("%s 的 sha256 要写 64 位十六进制数", at)
			}
			f.SHA256 = strings.ToLower(f.SHA256)
		}
		if f.Suite == SuiteRetrieval && (f.Qrels == "" || f.Corpus == "") {
			return fault("%s 是 retrieval，缺少 qrels 或 corpus", at)
		}
		if f.Suite != SuiteRetrieval && (f.Qrels != "" || f.Corpus != "") {
			return fault("%s 不是 retrieval，请删掉 qrels 和 corpus", at)
		}
		for _, k := range slices.Sorted(maps.Keys(f.Slices)) {
			if derived(k) {
				return fault("%s 的 slices.%s 是从文字算出来的，请删掉", at, k)
			}
		}
	}
	return nil
}

// YAMLError puts the complaint of strictyaml.Unmarshal into Chinese with its
// line, for dataset.yaml and for eval.yaml.
func YAMLError(err error) *Error {
	at := func(t *token.Token, format string, args ...any) *Error {
		e := &Error{Message: fmt.Sprintf(format, args...)}
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
			case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
				want = "数"
			case reflect.Bool:
				want = " true 或 false"
			}
		}
		return at(wrong.Token, "值 %q 的类型不对，应为%s", value(wrong.Token), want)
	case errors.As(err, &node):
		return at(node.Token, "这里的结构不对，请检查缩进")
	case errors.As(err, &syntax) && strings.Contains(syntax.Message, "already defined"):
		return at(syntax.Token, "键 %q 写了两次，请只留一个", value(syntax.Token))
	case errors.As(err, &syntax):
		return at(syntax.Token, "不是合法的 YAML，请检查缩进、冒号和引号")
	}
	return &Error{Message: "读不懂，请检查缩进、冒号和引号"}
}

// file opens a file of the dataset by its path.
func (d *Dataset) file(p string) (io.ReadCloser, error) {
	if d.open == nil {
		return nil, fmt.Errorf("打不开 %s：数据集不是用 Open 打开的", p)
	}
	f, err := d.open(p)
	if err != nil {
		return nil, fmt.Errorf("打不开 %s：%w，请检查路径", p, reason(err))
	}
	return f, nil
}

// File returns the file of that name.
func (d *Dataset) File(name string) (*File, error) {
	for i := range d.Files {
		if d.Files[i].Name == name {
			return &d.Files[i], nil
		}
	}
	names := make([]string, len(d.Files))
	for i, f := range d.Files {
		names[i] = f.Name
	}
	return nil, fmt.Errorf("数据集 %s 里没有 %q，只有 %s", d.Name, name, strings.Join(names, "、"))
}

// Select returns the files of a suite and a part, in the order of
// dataset.yaml; an empty suite or part stands for all.
func (d *Dataset) Select(suite Suite, part Part) []*File {
	var out []*File
	for i := range d.Files {
		if f := &d.Files[i]; (suite == "" || f.Suite == suite) && (part == "" || f.Split == part) {
			out = append(out, f)
		}
	}
	return out
}

// Digest is what identifies the content of one file.
type Digest struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // hexadecimal, of the bytes
	Bytes  int64  `json:"bytes"`
}

// Digests hashes the files that belong to f: the rows, then the qrels and a
// corpus that is a file. A file that is not the pinned one is an error.
func (d *Dataset) Digests(f *File) ([]Digest, error) {
	paths := []string{f.Path}
	if f.Qrels != "" {
		paths = append(paths, f.Qrels)
	}
	if f.Corpus != "" && !strings.HasPrefix(f.Corpus, BuiltinCorpus) {
		paths = append(paths, f.Corpus)
	}
	out := make([]Digest, 0, len(paths))
	for _, p := range paths {
		g, err := d.digest(p)
		if err != nil {
			return nil, err
		}
		if p == f.Path && f.SHA256 != "" && g.SHA256 != f.SHA256 {
			return nil, bad(CodeChanged, "%s 的内容变了：sha256 是 %s…，dataset.yaml 里写的是 %s…，请核对后改掉其中一个", p, g.SHA256[:12], f.SHA256[:12])
		}
		out = append(out, g)
	}
	return out, nil
}

func (d *Dataset) digest(p string) (Digest, error) {
	r, err := d.file(p)
	if err != nil {
		return Digest{}, err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return Digest{}, fmt.Errorf("读不了 %s：%w", p, reason(err))
	}
	return Digest{Path: p, SHA256: hex.EncodeToString(h.Sum(nil)), Bytes: n}, nil
}
