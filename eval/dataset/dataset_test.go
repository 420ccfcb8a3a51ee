package dataset

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

const header = "name: 试用\nversion: \"1\"\ntaxonomy: \"1.3\"\n"

// open makes a dataset of files in memory.
func open(t testing.TB, suites string, files map[string]string) *Dataset {
	t.Helper()
	m := fstest.MapFS{"dataset.yaml": {Data: []byte(header + "suites:\n" + suites)}}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	d, err := OpenFS(m, "dataset.yaml")
	require.NoError(t, err)
	return d
}

func TestParse(t *testing.T) {
	d, err := Parse([]byte(header + `
licence: 内部使用
group: customer
suites:
  - suite: triage
    path: a/one.jsonl
    split: train
    group: time
    slices: {channel: im}
    sha256: ` + strings.Repeat("Ab", 32) + `
  - {suite: retrieval, path: q.jsonl, qrels: q.qrels, corpus: builtin:starter}
`))
	require.NoError(t, err)
	require.Equal(t, []File{
		{Name: "one", Suite: SuiteTriage, Path: "a/one.jsonl", Split: Train, Group: ByTime, Slices: map[string]string{"channel": "im"}, SHA256: strings.Repeat("ab", 32)},
		{Name: "q", Suite: SuiteRetrieval, Path: "q.jsonl", Split: Test, Group: ByCustomer, Qrels: "q.qrels", Corpus: "builtin:starter"},
	}, d.Files)
	require.Len(t, d.Select(SuiteTriage, ""), 1)
	require.Empty(t, d.Select(SuiteTriage, Test))
	_, err = d.File("三")
	require.ErrorContains(t, err, "只有 one、q")
	for _, err := range d.Rows(&d.Files[0]) {
		require.ErrorContains(t, err, "不是用 Open 打开的")
	}
}

func TestParseRefuses(t *testing.T) {
	suite := "suites:\n  - {suite: triage, path: a.jsonl}\n"
	for _, c := range []struct {
		name, in, part string
		line           int
	}{
		{"empty", " \n", "是空的", 0},
		{"bytes", "name: \xff", "UTF-8", 0},
		{"too long", strings.Repeat("#", maxYAML+1), "1 MiB", 0},
		{"unknown key", header + "lisence: x\n" + suite, `"lisence"`, 4},
		{"unknown key below", header + "suites:\n  - suite: triage\n    pth: a.jsonl\n", `"pth"`, 6},
		{"repeated key", header + "name: 二\n" + suite, "写了两次", 4},
		{"wrong type", header + "suites: 三\n", "结构不对", 4},
		{"list for text", "name: [一, 二]\n", "", 1},
		{"syntax", "name: \"没写完\nversion", "不是合法的 YAML", 1},
		{"bare tag", header + "suites:\n ! 00", "读不懂", 0},
		{"no name", "version: \"1\"\n", "缺少 name", 0},
		{"no version", "name: 一\n", "缺少 version", 0},
		{"taxonomy", "name: 一\nversion: \"1\"\ntaxonomy: \"1.2\"\n", `"1.2"`, 0},
		{"no suites", header, "suites 是空的", 0},
		{"group", header + "group: row\n" + suite, `"row"`, 0},
		{"no path", header + "suites:\n  - {suite: triage}\n", "缺少 path", 0},
		{"suite", header + "suites:\n  - {suite: 分类, path: a.jsonl}\n", `"分类"`, 0},
		{"split", header + "suites:\n  - {suite: triage, path: a.jsonl, split: valid}\n", `"valid"`, 0},
		{"file group", header + "suites:\n  - {suite: triage, path: a.jsonl, group: x}\n", `"x"`, 0},
		{"same name", header + "suites:\n  - {suite: triage, path: a.jsonl}\n  - {suite: triage, path: b/a.jsonl}\n", "重复", 0},
		{"pin", header + "suites:\n  - {suite: triage, path: a.jsonl, sha256: abc}\n", "64 位", 0},
		{"no corpus", header + "suites:\n  - {suite: retrieval, path: a.jsonl}\n", "qrels", 0},
		{"qrels elsewhere", header + "suites:\n  - {suite: triage, path: a.jsonl, qrels: b}\n", "不是 retrieval", 0},
		{"computed slice", header + "suites:\n  - {suite: triage, path: a.jsonl, slices: {length: long}}\n", "算出来的", 0},
	} {
		_, err := Parse([]byte(c.in))
		var e *Error
		require.ErrorAs(t, err, &e, c.name)
		require.Contains(t, e.Message, c.part, c.name)
		require.Equal(t, c.line, e.Line, "%s: %s", c.name, e)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
		return p
	}
	row := `{"id":"a","messages":[{"role":"customer","text":"怎么还不发货"}],"labels":{"kind":"complaint"}}`
	bare := write("会话.jsonl", row+"\n")
	write("deep/dataset.yaml", header+"suites:\n  - {suite: triage, path: ../会话.jsonl}\n")

	d, err := Open(bare)
	require.NoError(t, err)
	require.Equal(t, "会话", d.Name)
	require.Equal(t, SuiteTriage, d.Files[0].Suite)
	other, err := Open(filepath.Join(dir, "deep", "dataset.yaml"))
	require.NoError(t, err)
	for _, d := range []*Dataset{d, other} {
		n := 0
		for e, err := range Read[Example](d, &d.Files[0]) {
			require.NoError(t, err)
			require.Equal(t, "怎么还不发货", e.Messages[0].Text)
			require.Equal(t, qingting.KindComplaint, e.Labels.Kind)
			require.Equal(t, 1, e.Line)
			want, err := Hash([]byte(row))
			require.NoError(t, err)
			require.Equal(t, want, e.Hash)
			n++
		}
		require.Equal(t, 1, n)
	}
	digests, err := d.Digests(&d.Files[0])
	require.NoError(t, err)
	require.Equal(t, int64(len(row)+1), digests[0].Bytes)
	d.Files[0].SHA256 = strings.Repeat("0", 64)
	_, err = d.Digests(&d.Files[0])
	require.ErrorContains(t, err, "内容变了")

	_, err = Open(filepath.Join(dir, "没有.yaml"))
	require.EqualError(t, err, "打不开数据集 没有.yaml：文件不存在")
	_, err = Open(filepath.Join(dir, "没有.jsonl"))
	require.ErrorContains(t, err, "打不开 没有.jsonl：文件不存在")
	_, err = Open(write("bad.yaml", "name: 一\nnmae: 二\n"))
	require.ErrorContains(t, err, "bad.yaml 第 2 行")

	// An embedded dataset cannot look outside of its file system.
	m := fstest.MapFS{"d/dataset.yaml": {Data: []byte(header + "suites:\n  - {suite: triage, path: ../../etc/passwd}\n")}}
	inner, err := OpenFS(m, "d/dataset.yaml")
	require.NoError(t, err)
	for _, err := range inner.Rows(&inner.Files[0]) {
		require.Error(t, err)
	}
}

func TestRead(t *testing.T) {
	const one = `{"id":"a","messages":[{"role":"customer","text":"一"}],"labels":{}}`
	for _, c := range []struct{ name, text, want string }{
		{"second line", one + "\n\n{\"id\":\"b\",\"id\":\"c\"}\n", "a.jsonl 第 3 行键 \"id\" 写了两次"},
		{"utf-8", one + "\n{\"id\":\"\xff\"}", "a.jsonl 第 2 行第 8 个字节起不是合法的 UTF-8"},
		{"not json", "电话没人接\n", "a.jsonl 第 1 行不是合法的 JSON"},
		{"bom", "\ufeff" + one, "a.jsonl 第 1 行以 BOM 开头"},
		{"array", "[1]", "a.jsonl 第 1 行应为一个 JSON 对象"},
		{"type of a field", `{"id":7}`, "a.jsonl 第 1 行的 id 类型不对，不能是数字"},
		{"deep type", `{"id":"a","messages":[{"role":"customer","text":["一"]}]}`, "text 类型不对，不能是列表"},
		{"time", `{"id":"a","time":"昨天"}`, "时间写法不对"},
		{"too long", `{"id":"` + strings.Repeat("长", maxLine/3) + `"}`, "16 MiB"},
	} {
		d := open(t, "  - {suite: triage, path: a.jsonl}\n", map[string]string{"a.jsonl": c.text})
		var last error
		for _, err := range Read[Example](d, &d.Files[0]) {
			require.NoError(t, last, "an error ends the iteration")
			last = err
		}
		require.ErrorContains(t, last, c.want, c.name)
	}

	// No newline at the end, white space, a file's slices.
	d := open(t, "  - {suite: triage, path: a.jsonl, slices: {channel: im, industry: 电商}}\n",
		map[string]string{"a.jsonl": "\r\n  " + strings.Replace(one, `"labels"`, `"slices":{"industry":"银行"},"labels"`, 1) + " \r\n" + one})
	var industries []string
	for e, err := range Read[Example](d, &d.Files[0]) {
		require.NoError(t, err)
		industries = append(industries, e.Slices["industry"]+e.Transcript().Channel)
	}
	require.Equal(t, []string{"银行im", "电商im"}, industries)
}

// TestReadEverySuite reads a row of every suite in the shapes data come in.
func TestReadEverySuite(t *testing.T) {
	d := open(t, `  - {suite: satisfaction, path: s.jsonl}
  - {suite: retrieval, path: q.jsonl, qrels: q.qrels, corpus: c.jsonl}
  - {suite: reply, path: r.jsonl}
  - {suite: pairs, path: p.jsonl}
  - {suite: text, path: t.jsonl}
`, map[string]string{
		"s.jsonl": `{"id":"1","messages":[{"role":"customer","text":"行吧"}],"votes":{"S":{"-2":1,"2":3},"A":{"0":4},"E":{}}}`,
		"q.jsonl": "{\"id\":\"1\",\"text\":\"没到账\"}\n{\"id\":\"2\",\"messages\":[{\"role\":\"agent\",\"text\":\"您好\"},{\"role\":\"customer\",\"text\":\"没到账\"}]}",
		"q.qrels": "1 0 c1 3\n1 0 c2 0\n\n2\t0\tc1\t1\n",
		"c.jsonl": "{\"id\":\"c1\",\"closed_at\":\"2026-01-05T09:00:00Z\"}\n{\"id\":\"c2\"}\n",
		"r.jsonl": `{"id":"1","context":["在吗"],"turns":["退款呢",{"speaker":"agent","text":"今天退"}],"must":[{"fact":"退款","any":["退","钱"]}]}`,
		"p.jsonl": `{"id":"1","a":"没网","b":"断网","label":1}`,
		"t.jsonl": `{"id":"1","text":"找张三","spans":[{"start":1,"end":3,"kind":"name"}],"words":["找","张三"]}`,
	})
	for e, err := range Read[Rated](d, &d.Files[0]) {
		require.NoError(t, err)
		require.Equal(t, Votes{1, 0, 0, 0, 3}, e.Votes.S)
		require.Equal(t, [5]float64{0.25, 0, 0, 0, 0.75}, e.Votes.S.Shares())
		require.Equal(t, [5]float64{}, e.Votes.E.Shares())
	}
	for q, err := range Read[Query](d, &d.Files[1]) {
		require.NoError(t, err)
		require.Equal(t, "没到账", q.Words())
	}
	qrels, err := d.Qrels(&d.Files[1])
	require.NoError(t, err)
	require.Equal(t, Qrels{"1": {"c1": 3, "c2": 0}, "2": {"c1": 1}}, qrels)
	closed, err := d.CaseTimes(&d.Files[1])
	require.NoError(t, err)
	require.Equal(t, map[string]time.Time{"c1": at(5), "c2": {}}, closed)
	for r, err := range Read[Reply](d, &d.Files[2]) {
		require.NoError(t, err)
		require.Equal(t, []Turn{{Text: "退款呢"}, {"agent", "今天退"}}, r.Turns)
		require.True(t, r.Must[0].Said("钱已退"))
		require.False(t, r.Must[0].Said("您好"))
	}
	for p, err := range Read[Pair](d, &d.Files[3]) {
		require.NoError(t, err)
		require.Equal(t, 1.0, p.Label)
	}
	for e, err := range Read[Text](d, &d.Files[4]) {
		require.NoError(t, err)
		require.Equal(t, []TextSpan{{1, 3, qingting.SlotName}}, e.Spans)
	}
	r, err := d.Lint(LintOptions{Cleaner: newCleaner(t)})
	require.NoError(t, err)
	require.Zero(t, r.Errors, r)
}

func TestQrelsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"1 0 c1":             "四列",
		"1 0 c1 4":           "等级",
		"1 0 c1 好":           "等级",
		"1 0 c1 1\n1 0 c1 2": "q.qrels 第 2 行的同一个问题",
	} {
		d := open(t, "  - {suite: retrieval, path: q.jsonl, qrels: q.qrels, corpus: builtin:x}\n", map[string]string{"q.jsonl": "", "q.qrels": text})
		_, err := d.Qrels(&d.Files[0])
		require.ErrorContains(t, err, want)
	}
}

func TestAllSlices(t *testing.T) {
	c := newCleaner(t)
	say := func(texts ...string) (m []qingting.Message) {
		for _, s := range texts {
			m = append(m, qingting.Message{Role: qingting.RoleCustomer, Text: s})
		}
		return append(m, qingting.Message{Role: qingting.RoleAgent, Text: "請稍等，馬上為您處理。"})
	}
	require.Equal(t, map[string]string{"industry": "电商", "length": "short", "turns": "single", "script": "simplified", "punct": "none"},
		AllSlices(map[string]string{"industry": "电商"}, say("喂你好我的快递呢"), c))
	require.Equal(t, map[string]string{"length": "short", "turns": "few", "script": "traditional", "punct": "some"},
		AllSlices(nil, say("請問退貨的運費", "誰出？"), c))
	require.Equal(t, map[string]string{"length": "medium", "turns": "many", "script": "other", "punct": "none"},
		AllSlices(nil, say("hello hello", "help help help", "no one there", "ok"), c))
	require.Equal(t, "long", AllSlices(nil, say(strings.Repeat("催了又催", 40)), c)["length"])
	require.Equal(t, "simplified", AllSlices(nil, say("他显著着急了"), c)["script"])
}

// generated is a file of n rows that exists only while it is read.
type generated struct {
	n, at int
	rest  bytes.Buffer
}

func (g *generated) Open(name string) (fs.File, error) {
	if name != "big.jsonl" {
		return nil, fs.ErrNotExist
	}
	return &generated{n: g.n}, nil
}
func (g *generated) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }
func (g *generated) Close() error               { return nil }
func (g *generated) Read(p []byte) (int, error) {
	for g.rest.Len() < len(p) && g.at < g.n {
		fmt.Fprintf(&g.rest, `{"id":"r%d","messages":[{"role":"customer","text":"第%d次来问了，退款到底什么时候到账？"},{"role":"agent","text":"您好，正在为您核实"}],"labels":{"kind":"complaint"}}`+"\n", g.at, g.at)
		g.at++
	}
	if g.rest.Len() == 0 {
		return 0, io.EOF
	}
	return g.rest.Read(p)
}

func TestReadInConstantMemory(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	d, err := OpenFS(&generated{n: n}, "big.jsonl")
	require.NoError(t, err)
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	rows := 0
	for e, err := range Read[Example](d, &d.Files[0]) {
		require.NoError(t, err)
		if rows++; rows%(n/4) == 0 {
			require.Less(t, live(), before+4<<20, "row %d, %s", rows, e.ID)
		}
	}
	require.Equal(t, n, rows)
}

func BenchmarkRead(b *testing.B) {
	d, err := OpenFS(&generated{n: b.N}, "big.jsonl")
	require.NoError(b, err)
	b.ReportAllocs()
	for _, err := range Read[Example](d, &d.Files[0]) {
		require.NoError(b, err)
	}
}

func BenchmarkLint(b *testing.B) {
	cleaner := newCleaner(b)
	d, err := OpenFS(&generated{n: b.N}, "big.jsonl")
	require.NoError(b, err)
	r, err := d.Lint(LintOptions{Cleaner: cleaner})
	require.NoError(b, err)
	require.Equal(b, b.N, r.Rows["big"])
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(header + "suites:\n  - {suite: triage, path: a.jsonl}\n"))
	f.Add([]byte(header + "suites:\n  - suite: retrieval\n    path: q\n    qrels: r\n    corpus: builtin:starter\n"))
	f.Add([]byte("name: [\n"))
	f.Add([]byte("&a [*a]"))
	f.Add([]byte("a: &x {b: *x}\n"))
	f.Add([]byte("name: x\nsuites:\n ! 00")) // a panic of the YAML reader
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			return
		}
		require.NotEmpty(t, d.Files)
	})
}

// FuzzRow feeds one line to every kind of row and to Lint: nothing panics,
// and what Read takes Lint takes too.
func FuzzRow(f *testing.F) {
	f.Add([]byte(`{"id":"a","messages":[{"role":"customer","text":"退款"}],"labels":{"kind":"complaint","types":["product.quality"],"primary":"product.quality","emotion":"angry","intensity":2,"risk":"medium","signals":[],"claims":[],"style":"mixed","outcome":"pending"}}`))
	f.Add([]byte(`{"id":"a","votes":{"S":{"-2":1}},"messages":null}`))
	f.Add([]byte(`{"id":"a","text":"电话13800138000","spans":[{"start":2,"end":13,"kind":"phone"}],"words":["x"]}`))
	f.Add([]byte(`{"id":"a","text":"x","must":[{"fact":"","any":[""]}],"turns":[1]}`))
	f.Add([]byte(`{"id":"a","a":"x","b":"y","label":1e400}`))
	f.Add([]byte("{\"id\":\"\xff\"}"))
	f.Add([]byte(`{"id":"\u0000","time":"2026-01-02T15:04:05+08:00","slices":{"length":"x"}}`))
	var suites strings.Builder
	for _, s := range Suites() {
		extra := ""
		if s == SuiteRetrieval {
			extra = ", qrels: q.qrels, corpus: a.jsonl"
		}
		fmt.Fprintf(&suites, "  - {name: %s, suite: %s, path: a.jsonl%s}\n", s, s, extra)
	}
	cleaner := newCleaner(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		d := open(t, suites.String(), map[string]string{"a.jsonl": string(b), "q.qrels": "a 0 a 1"})
		r, err := d.Lint(LintOptions{Cleaner: cleaner})
		require.NoError(t, err)
		_ = r.String()
		read := func(f *File, err error) {
			if err != nil {
				require.NotZero(t, r.Errors, "%s: %v", f.Name, err)
			}
		}
		for i := range d.Files {
			file := &d.Files[i]
			switch file.Suite {
			case SuiteTriage:
				for _, err := range Read[Example](d, file) {
					read(file, err)
				}
			case SuiteSatisfaction:
				for _, err := range Read[Rated](d, file) {
					read(file, err)
				}
			case SuiteRetrieval:
				for _, err := range Read[Query](d, file) {
					read(file, err)
				}
			case SuiteReply:
				for _, err := range Read[Reply](d, file) {
					read(file, err)
				}
			case SuitePairs:
				for _, err := range Read[Pair](d, file) {
					read(file, err)
				}
			case SuiteText:
				for _, err := range Read[Text](d, file) {
					read(file, err)
				}
			}
			for _, err := range d.Docs(file) {
				read(file, err)
			}
		}
	})
}
