package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/web"
)

// shared is one real engine for every test that writes nothing: loading it
// takes a second. Its clock stands still, so that deadlines can be compared.
var shared = sync.OnceValues(func() (*engine, error) {
	return newEngine(context.Background(), buildOptions{mode: qingting.ModeFull, now: noon})
})

func noon() time.Time { return time.Date(2026, 3, 2, 12, 10, 0, 0, time.UTC) }

// run executes a command line in an empty environment.
func run(t testing.TB, stdin string, args ...string) (code int, out, errOut string) {
	return runWith(t, nil, stdin, args...)
}

func runWith(t testing.TB, env map[string]string, stdin string, args ...string) (code int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	p := &program{in: strings.NewReader(stdin), out: &stdout, err: &stderr, getenv: func(k string) string { return env[k] }}
	p.build = func(ctx context.Context, o buildOptions) (*engine, error) {
		if o.data != "" || o.cases != "" || o.policy != "" {
			return newEngine(ctx, o)
		}
		e, err := shared()
		if err != nil {
			return nil, err
		}
		return &engine{pipeline: e.pipeline, library: e.library, ids: e.ids, parts: e.parts, stages: e.stages}, nil // close leaves it open
	}
	code = p.run(t.Context(), args)
	return code, stdout.String(), stderr.String()
}

func TestUsageErrors(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "x.db")
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"没有的命令":        {[]string{"trriage"}, 64, `没有 "trriage" 这个命令`},
		"没有的选项":        {[]string{"triage", "--jsn", "-"}, 64, "没有 --jsn 这个选项"},
		"没有文件":         {[]string{"triage"}, 64, "请给出一个文件"},
		"两个文件":         {[]string{"triage", "a", "b"}, 64, "请给出一个文件"},
		"选项没有值":        {[]string{"triage", "-", "--mode"}, 64, "--mode 后面要给出值"},
		"选项值不对":        {[]string{"triage", "-", "-j", "x"}, 64, `--workers 的值 "x" 不对`},
		"模式不对":         {[]string{"triage", "-", "--mode", "best"}, 64, "可选 full 或 fast"},
		"格式不对":         {[]string{"triage", "-", "--format", "xlsx"}, 64, "text、json、jsonl、csv"},
		"编码不对":         {[]string{"triage", "-", "--charset", "latin1"}, 64, "不认识的编码"},
		"线程数不对":        {[]string{"triage", "-", "-j", "0"}, 64, "-j 至少是 1"},
		"两种案例":         {[]string{"triage", "-", "--data", "a", "--cases", "b"}, 64, "只能用一个"},
		"没有这个文件":       {[]string{"triage", "没有.txt"}, 65, "找不到文件 没有.txt"},
		"是目录":          {[]string{"triage", "."}, 65, "是一个目录"},
		"没有案例文件":       {[]string{"triage", "-", "--cases", bad}, 65, "找不到案例文件"},
		"serve 多了参数":   {[]string{"serve", "x"}, 64, "serve 不接受参数"},
		"没有政策文件":       {[]string{"triage", "-", "--policy", bad}, 65, "找不到政策文件"},
		"没有要检查的政策":     {[]string{"policy", "check", bad}, 65, "找不到政策文件"},
		"没有写政策文件":      {[]string{"policy", "check"}, 64, "请给出政策文件"},
		"policy 没有的命令": {[]string{"policy", "shw"}, 64, `没有 "shw" 这个命令，运行 qingting policy`},
		"地址不对":         {[]string{"serve", "--addr", "8080"}, 64, "127.0.0.1:8080 的样子"},
		"cases 没有的命令":  {[]string{"cases", "lst"}, 64, `没有 "lst" 这个命令，运行 qingting cases`},
		"案例类型不对":       {[]string{"cases", "list", "--type", "x"}, 64, "price.hidden_fee"},
		"检索没有写":        {[]string{"cases", "search"}, 64, "请写出要检索的问题"},
	} {
		code, out, errOut := run(t, "客户：一", tt.args...)
		require.Equal(t, tt.code, code, "%s: %s", name, errOut)
		require.Contains(t, errOut, tt.want, name)
		require.Empty(t, out, name)
	}
}

// TestHelpIsChinese: every command explains itself with an example, and no
// English sentence of the library is left.
func TestHelpIsChinese(t *testing.T) {
	var all func(c *cobra.Command, path []string)
	n := 0
	all = func(c *cobra.Command, path []string) {
		code, out, errOut := run(t, "", append(path, "--help")...)
		require.Equal(t, 0, code)
		require.Empty(t, errOut)
		require.Contains(t, out, "用法：")
		require.Contains(t, out, "例子：")
		require.NotRegexp(t, `Usage|Flags|Available|help for|default `, out)
		n++
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				all(sub, append(path[:len(path):len(path)], sub.Name()))
			}
		}
	}
	all((&program{}).command(), nil)
	require.GreaterOrEqual(t, n, 11)
	code, out, _ := run(t, "", "help", "triage")
	require.Equal(t, 0, code)
	require.Contains(t, out, "--charset")
}

func TestVersion(t *testing.T) {
	code, out, errOut := run(t, "", "version")
	require.Equal(t, 0, code, errOut)
	for _, want := range []string{"倾听 qingting", "提交", "句向量 bge", "词典", "内核", "标签   1.3"} {
		require.Contains(t, out, want)
	}
	// The model is the one that every analysis names.
	_, analysis, _ := run(t, "客户：话费扣多了\n", "triage", "-", "--json", "--mode", "fast")
	require.Regexp(t, `模型   `+decode(t, analysis).Model+`（.*\n权重   [0-9a-z]+\n词典   [0-9a-z]+\n`, out)
}

func TestTriageText(t *testing.T) {
	code, out, errOut := run(t, "", "triage", "../../examples/renewal.txt")
	require.Equal(t, 0, code, errOut)
	require.Empty(t, errOut, "one conversation needs no summary")
	require.NotContains(t, out, "\x1b")
	for _, want := range []string{"7 条消息", "完整模式", "投诉", "12315", "监管投诉", "优先级    P1", "回复草稿", "理性版", "情绪版"} {
		require.Contains(t, out, want)
	}
}

func TestTriageJSON(t *testing.T) {
	code, out, errOut := run(t, "客户：你们的外卖汤全洒了😡，我要退款\n", "triage", "-", "--json")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, 1, strings.Count(out, "\n"), "one line when it is not a terminal")
	a := decode(t, out)
	require.Equal(t, "1", a.Schema)
	require.Equal(t, qingting.ModeFull, a.Mode)
	require.Equal(t, qingting.KindComplaint, a.Kind.Code)
	require.Len(t, a.Model, 12)

	code, out, _ = run(t, "客户：你们的外卖汤全洒了😡，我要退款\n", "triage", "-", "--jsonl", "--mode", "fast")
	require.Equal(t, 0, code)
	require.Equal(t, qingting.ModeFast, decode(t, out).Mode)
}

func decode(t testing.TB, line string) *qingting.Analysis {
	var a qingting.Analysis
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&a), line)
	return &a
}

// TestQuotesAreOriginal: every span of every example lies on the characters
// that were submitted.
func TestQuotesAreOriginal(t *testing.T) {
	lines, err := os.ReadFile("../../examples/batch.jsonl")
	require.NoError(t, err)
	code, out, errOut := run(t, string(lines), "triage", "-", "--jsonl", "-j", "2")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, errOut, "共 5 个会话，失败 0 个")
	in := strings.Split(strings.TrimSpace(string(lines)), "\n")
	spans := 0
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var tr qingting.Transcript
		require.NoError(t, json.Unmarshal([]byte(in[i]), &tr))
		a := decode(t, line)
		require.Equal(t, tr.ID, *a.ID)
		check := func(s qingting.Span) {
			spans++
			text := []rune(tr.Messages[s.Message].Text)
			require.Equal(t, string(text[s.Start:s.End]), s.Quote)
			require.Equal(t, tr.Messages[s.Message].ID, s.MessageID)
		}
		for _, x := range a.Types {
			for _, s := range x.Evidence {
				check(s)
			}
		}
		for _, x := range a.Claims {
			for _, s := range x.Evidence {
				check(s)
			}
		}
		for _, x := range a.Risk.Signals {
			check(x.Span)
		}
		for _, x := range a.Slots {
			check(x.Span)
		}
	}
	require.Positive(t, spans)
}

// TestOrderOfDelivery: however its messages arrive, and however often, the
// conversation is the same; what is quoted lies on the message as submitted.
func TestOrderOfDelivery(t *testing.T) {
	const (
		m1 = `{"message_id":"m1","seq":1,"role":"customer","text":"你们多扣了我30块话费，查一下"}`
		m2 = `{"message_id":"m2","seq":2,"role":"agent","text":"已经给您登记，请耐心等待"}`
		m3 = `{"message_id":"m3","seq":3,"role":"customer","text":"等了三天了！再不退我就打12315投诉"}`
		m4 = `{"message_id":"m4","seq":4,"role":"customer","text":"30块今天必须退给我"}`
	)
	analyze := func(messages ...string) *qingting.Analysis {
		code, out, errOut := run(t, `{"id":"c","messages":[`+strings.Join(messages, ",")+`]}`, "triage", "-", "--json", "--mode", "fast")
		require.Equal(t, 0, code, errOut)
		a := decode(t, out)
		a.Latency = qingting.Latency{}
		return a
	}
	want := analyze(m1, m2, m3, m4)
	require.Equal(t, 3, want.AsOf.Message)
	require.NotEmpty(t, want.Risk.Signals)
	for _, order := range [][]string{{m3, m1, m4, m2}, {m4, m3, m2, m1}, {m1, m2, m2, m3, m1, m4}, {m2, m2, m4, m1, m3, m4}} {
		got := analyze(order...)
		raw, err := json.Marshal(got)
		require.NoError(t, err)
		// Put back as they were said, the indexes are those of the original.
		was := regexp.MustCompile(`"message":(\d+)`).ReplaceAllStringFunc(string(raw), func(s string) string {
			i, err := strconv.Atoi(strings.TrimPrefix(s, `"message":`))
			require.NoError(t, err)
			return fmt.Sprintf(`"message":%d`, slices.Index([]string{m1, m2, m3, m4}, order[i]))
		})
		was = regexp.MustCompile(`"messages":\[([\d,]+)\]`).ReplaceAllStringFunc(was, func(s string) string {
			return regexp.MustCompile(`\d+`).ReplaceAllStringFunc(s, func(s string) string {
				i, err := strconv.Atoi(s)
				require.NoError(t, err)
				return strconv.Itoa(slices.Index([]string{m1, m2, m3, m4}, order[i]))
			})
		})
		wanted, err := json.Marshal(want)
		require.NoError(t, err)
		require.JSONEq(t, string(wanted), was)
		for _, s := range got.Risk.Signals {
			var m qingting.Message
			require.NoError(t, json.Unmarshal([]byte(order[s.Message]), &m))
			require.Equal(t, s.Quote, string([]rune(m.Text)[s.Start:s.End]))
			require.Equal(t, m.ID, s.MessageID)
		}
	}
}

func TestTriageBatch(t *testing.T) {
	in := `{"id":"a","messages":[{"role":"customer","text":"快递丢了"}]}` + "\n" +
		`{"id":"b","messages":[{"role":"customer","text":3}]}` + "\n" +
		`not json` + "\n" +
		`{"id":"d","messages":[{"role":"customer","text":"谢谢你们，处理得很快"}]}` + "\n"
	code, out, errOut := run(t, in, "triage", "-", "--jsonl")
	require.Equal(t, 1, code)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, "a", *decode(t, lines[0]).ID)
	require.JSONEq(t, `{"line":2,"id":"b","error":{"code":"wrong_type","message":"第 2 行 messages[0].text：应当是字符串，却是数字"}}`, lines[1])
	require.Contains(t, lines[2], `{"line":3,"id":null,"error":{"code":"bad_json"`)
	require.Equal(t, "d", *decode(t, lines[3]).ID)
	require.Contains(t, errOut, "共 4 个会话，失败 2 个")

	code, out, _ = run(t, in, "triage", "-")
	require.Equal(t, 1, code)
	require.Contains(t, out, "✗ 会话 2 · b 无法分析")
	require.Contains(t, out, "会话 4 · d · 1 条消息")
}

func TestTriageCSVInGBK(t *testing.T) {
	data, err := os.ReadFile("../../examples/tickets.csv")
	require.NoError(t, err)
	gbk, err := simplifiedchinese.GB18030.NewEncoder().Bytes(data)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "导出.csv")
	require.NoError(t, os.WriteFile(file, gbk, 0o600))
	code, out, errOut := run(t, "", "triage", file, "--jsonl", "--mode", "fast")
	require.Equal(t, 0, code, errOut)
	var ids []string
	for line := range strings.Lines(out) {
		ids = append(ids, *decode(t, line).ID)
	}
	require.Equal(t, []string{"T-1001", "T-1002", "T-1003"}, ids)
}

// TestTriageExitCodes also holds that every error is said once: in its place
// in the output, or, where there is no such place, beside it.
func TestTriageExitCodes(t *testing.T) {
	for name, tt := range map[string]struct {
		in      string
		args    []string
		code    int
		out     string // the error in the output
		errOut  string // the error beside it
		records int
	}{
		"空":         {"", nil, 65, "", "标准输入：输入是空的", 0},
		"只有空行":      {"\n \n", []string{"--format", "jsonl"}, 65, "", "标准输入：输入是空的", 0},
		"空数组":       {"[]", nil, 65, "", "标准输入：输入是空的", 0},
		"坏字节":       {"客户：一二三\n客服：\xff好", nil, 65, `"code":"bad_encoding"`, "", 1},
		"坏 JSON":    {`{"messages":[`, nil, 65, "没有结束", "", 1},
		"后面还有":      {`{"messages":[{"role":"customer","text":"一"}]} 完`, []string{"--format", "json"}, 65, "第 1 行第 47 个字", "", 2},
		"一条太长":      {"客户：" + strings.Repeat("长", 4001), nil, 1, "message_too_long", "", 1},
		"坏的一行":      {"{\"messages\":1}\n", []string{"--format", "jsonl"}, 1, "wrong_type", "", 1},
		"编号重复":      {`{"messages":[{"message_id":"a","role":"customer","text":"一"},{"message_id":"a","role":"customer","text":"二"}]}`, nil, 1, "和 messages[0] 的 message_id 相同", "", 1},
		"表头不认识":     {"a,b\n1,2\n", []string{"--format", "csv"}, 65, "", "表头", 0},
		"没有说什么":     {"客户：\n", nil, 0, "", "", 1},
		"认不出说话人":    {"A：发票呢\nB：您去投诉我们\n", nil, 65, "unknown_speakers", "", 1},
		"一批里的对话":    {"A：发票呢\nB：您去投诉我们\n\n客户：一", nil, 1, "unknown_speakers", "", 2},
		"null":      {"null\n", nil, 1, "却是null", "", 1},
		"Big5":      {"\xab\xc8\xa4\xe1\xa1G\xb0h\xbf\xfa", nil, 65, "--charset big5", "", 1},
		"坏字节没有提示":   {"在吗\n我的快递\xff呢", []string{"--charset", "utf-8"}, 65, "bad_encoding", "", 1},
		"GBK 当 UTF": {"\xbf\xcd\xbb\xa7\xa3\xba\xcd\xcb\xc7\xae", []string{"--charset", "utf-8"}, 65, "bad_encoding", "", 1},
	} {
		code, out, errOut := run(t, tt.in, append([]string{"triage", "-", "--json", "--mode", "fast"}, tt.args...)...)
		require.Equal(t, tt.code, code, "%s: %s %s", name, out, errOut)
		require.Contains(t, out, tt.out, name)
		require.Equal(t, tt.records, strings.Count(out, "\n"), "%s: %s", name, out)
		if tt.errOut == "" {
			require.NotContains(t, errOut, "错误", name)
		} else {
			require.Contains(t, errOut, tt.errOut, name)
			require.Equal(t, 1, strings.Count(errOut, "错误"), "%s: %s", name, errOut)
		}
		require.NotContains(t, errOut, "全部当作客户的话", name)
		// The view for people follows the same rule.
		again, out, errOut := run(t, tt.in, append([]string{"triage", "-", "--mode", "fast"}, tt.args...)...)
		require.Equal(t, code, again, name)
		require.LessOrEqual(t, strings.Count(out, "无法分析")+strings.Count(errOut, "错误"), 1, "%s: %s %s", name, out, errOut)
	}
}

// TestServeAnswersLikeTriage runs the real service on a real port and compares
// its answers with the command's, byte for byte but for the time they took.
func TestServeAnswersLikeTriage(t *testing.T) {
	e, err := shared()
	require.NoError(t, err)
	server := newTestService(t, e)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.run(ctx, ln, nil) }()
	base := "http://" + ln.Addr().String()
	post := func(path, media, body string) string {
		response, err := http.Post(base+path, media, strings.NewReader(body))
		require.NoError(t, err)
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		require.NoError(t, err)
		require.Equal(t, 200, response.StatusCode, string(got))
		return string(got)
	}

	const markup = `{"id":"c<b>1","messages":[{"message_id":"m1","role":"customer","text":"<b>你们</b>店的蛋糕里吃出头发，我要退款 & 赔偿200，不然找12315😡","sent_at":"2026-03-01T09:00:00+08:00"}]}`
	examples, err := os.ReadFile("../../examples/batch.jsonl")
	require.NoError(t, err)
	renewal, err := os.ReadFile("../../examples/renewal.txt")
	require.NoError(t, err)
	conversations := append(strings.Split(strings.TrimSpace(string(examples)), "\n"),
		markup,
		`[{"role":"customer","text":"宽帶又斷了，報修３次没人来"},{"role":"agent","text":"您好，给您登记了"}]`,
		`{"messages":[{"seq":2,"role":"customer","text":"不退我就打12315"},{"seq":1,"role":"customer","text":"多扣我30块"}]}`,
		`{"messages":[{"role":"customer","text":"我要投","is_final":false}]}`,
		`{"messages":[{"role":"customer","text":""}]}`,
	)
	for _, mode := range []string{"full", "fast"} {
		for _, in := range conversations {
			code, want, errOut := run(t, in, "triage", "-", "--json", "--mode", mode)
			require.Equal(t, 0, code, errOut)
			require.Equal(t, stable(want), stable(post("/v1/analyze?mode="+mode, "application/json", in)))
		}
		code, want, errOut := run(t, string(renewal), "triage", "-", "--json", "--mode", mode)
		require.Equal(t, 0, code, errOut)
		require.Equal(t, stable(want), stable(post("/v1/analyze?mode="+mode, "text/plain", string(renewal))))
	}
	require.Contains(t, post("/v1/analyze", "application/json", markup), "<b>", "not escaped")

	// The command builds fast mode without the encoder; the service has it.
	fast, err := newEngine(t.Context(), buildOptions{mode: qingting.ModeFast, now: noon})
	require.NoError(t, err)
	defer fast.close()
	var tr qingting.Transcript
	require.NoError(t, json.Unmarshal([]byte(markup), &tr))
	a, err := fast.pipeline.Analyze(t.Context(), tr, qingting.ModeFast)
	require.NoError(t, err)
	var line bytes.Buffer
	require.NoError(t, web.Encode(&line, a, false))
	require.Equal(t, stable(line.String()), stable(post("/v1/analyze?mode=fast", "application/json", markup)))

	ready, err := http.Get(base + "/readyz")
	require.NoError(t, err)
	body, _ := io.ReadAll(ready.Body)
	ready.Body.Close()
	require.Contains(t, string(body), `"component":"encoder","status":"ok","id":"bge`)
	require.Contains(t, string(body), `{"component":"model","status":"ok","id":"`+a.Model+`"`, "the name that every analysis has")
	require.Contains(t, string(body), `{"component":"weights","status":"ok","id":"`+e.ids.Model+`"`)
	require.Contains(t, post("/v1/cases/search", "application/json", `{"query":"蛋糕里吃出头发","limit":2}`), `"status":"`)
	stop()
	require.NoError(t, <-ended)
}

// newTestService wires a service over the shared engine with a database of its
// own.
func newTestService(t *testing.T, shared *engine) *service {
	t.Helper()
	c, err := readConfig("", func(string) string { return "" })
	require.NoError(t, err)
	c.Data = t.TempDir()
	kept, err := store.Open(t.Context(), filepath.Join(c.Data, databaseName))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	e := *shared
	e.store = kept
	s, err := newService(&e, c, slog.New(slog.DiscardHandler), true)
	require.NoError(t, err)
	return s
}

// stable takes away the time that an answer took.
func stable(answer string) string {
	return regexp.MustCompile(`"latency_ms":\{.*\}\}`).ReplaceAllString(answer, "")
}

// syncBuffer is written by the service and read by the test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestServeCommand starts the command as a user does, with an empty folder
// and environment, and stops it as a process manager does.
func TestServeCommand(t *testing.T) {
	data := filepath.Join(t.TempDir(), "新的目录")
	var log syncBuffer
	p := &program{in: strings.NewReader(""), out: io.Discard, err: &log, getenv: func(string) string { return "" }, build: newEngine}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	started := time.Now()
	go func() {
		ended <- p.run(ctx, []string{"serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", data})
	}()
	var base string
	require.Eventually(t, func() bool {
		m := regexp.MustCompile(`网页=(http://[^/]+)/`).FindStringSubmatch(log.String())
		if m != nil {
			base = m[1]
		}
		return m != nil
	}, 30*time.Second, 10*time.Millisecond, log.String())
	t.Logf("ready after %v", time.Since(started))
	response, err := http.Post(base+"/v1/analyze?mode=fast", "text/plain", strings.NewReader("客户：绝密原话，快递丢了"))
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, 200, response.StatusCode)
	require.FileExists(t, filepath.Join(data, databaseName))
	_, _, second := runServe(t, base)
	require.Contains(t, second, "已被占用")
	stop()
	require.Equal(t, 0, <-ended)
	require.NotContains(t, log.String(), "绝密原话")
	require.Contains(t, log.String(), "已停止")
}

// runServe tries to serve on an address that is taken.
func runServe(t testing.TB, base string) (code int, out, errOut string) {
	return run(t, "", "serve", "--addr", strings.TrimPrefix(base, "http://"))
}

func TestCases(t *testing.T) {
	code, out, errOut := run(t, "", "cases", "list", "--data", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 0, code, errOut)
	require.Regexp(t, `共 \d{3} 个案例`, out)
	require.Greater(t, strings.Count(out, "\n"), 100, "all of them")
	code, out, _ = run(t, "", "cases", "list", "--type", "privacy.leak", "--limit", "2", "--json", "--data", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 0, code)
	require.Equal(t, 2, strings.Count(out, `"type":"privacy.leak"`))

	env := map[string]string{"QINGTING_DATA": filepath.Join(t.TempDir(), "data")}
	one := `{"id":"new-1","title":"共享充电宝归还后仍计费","type":"price.hidden_fee","problem":"充电宝明明还了，机器没识别，一晚上扣了九十九","solution":"核对归还记录，退还多扣费用并修复仓位传感器","outcome":"resolved"}`
	code, out, errOut = runWith(t, env, one, "cases", "add", "-")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "已加入案例 new-1")
	code, _, errOut = runWith(t, env, one, "cases", "add", "-")
	require.Equal(t, 65, code)
	require.Contains(t, errOut, "new-1")
	code, _, errOut = runWith(t, env, `{"id":"x","title":"缺内容","type":"what","outcome":"resolved"}`, "cases", "add", "-")
	require.Equal(t, 65, code, errOut)

	code, out, errOut = runWith(t, env, "", "cases", "search", "充电宝还了还在扣钱")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "1. ")
	require.Contains(t, strings.SplitN(out, "\n", 2)[0], "共享充电宝归还后仍计费")
	code, out, _ = runWith(t, env, "", "cases", "show", "new-1")
	require.Equal(t, 0, code)
	require.Contains(t, out, "核对归还记录")
	require.Regexp(t, `记录      \d{4}-.* 加入，.* 改动，第 1 版`, out)
	code, out, errOut = runWith(t, env, "", "cases", "list", "--product", "没有这种产品")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, "共 0 个案例\n", out)
	code, out, errOut = runWith(t, env, "", "cases", "list", "--json", "--type", "price.hidden_fee")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, `"id":"new-1"`)
	require.NotContains(t, out, "Version", "what can be imported again")
	code, _, errOut = runWith(t, env, "", "cases", "delete", "new-1")
	require.Equal(t, 0, code, errOut)
	code, _, errOut = runWith(t, env, "", "cases", "show", "new-1")
	require.Equal(t, 65, code)
	require.Contains(t, errOut, "没有编号为 new-1 的案例")

	file := filepath.Join(t.TempDir(), "cases.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(one+"\n"+strings.Replace(one, "new-1", "new-2", 1)+"\n"), 0o600))
	code, out, errOut = runWith(t, env, "", "cases", "import", file, "--dry-run")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "将新增 2 个")
	code, out, errOut = runWith(t, env, "", "cases", "import", file)
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "新增 2 个、替换 0 个")
	code, out, errOut = runWith(t, env, one+"\n", "cases", "import", "-")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "新增 0 个、替换 1 个")
	code, _, errOut = runWith(t, env, "{\"id\":\"bad\"}\n", "cases", "import", "-")
	require.Equal(t, 65, code)
	require.Contains(t, errOut, "标准输入")
	require.NoError(t, os.WriteFile(file, []byte(one+"\n{\"id\":\"bad\"}\nx\n"), 0o600))
	code, _, errOut = runWith(t, env, "", "cases", "import", file)
	require.Equal(t, 65, code)
	require.Contains(t, errOut, "第 2 行")
	require.Contains(t, errOut, "第 3 行")

	require.NoError(t, os.WriteFile(file, []byte(one+"\n"), 0o600))
	code, out, errOut = run(t, "客户：充电宝还了还在扣钱，扣了99，退给我\n", "triage", "-", "--json", "--cases", file)
	require.Equal(t, 0, code, errOut)
	for _, m := range decode(t, out).Cases {
		require.Equal(t, "new-1", m.ID)
	}
}

// TestBrokenLinesStayErrors: one broken line of JSON must not turn the valid
// ones into the words of a customer.
func TestBrokenLinesStayErrors(t *testing.T) {
	code, out, errOut := run(t, "{bad\n"+`{"id":"7","messages":[{"role":"customer","text":"话费扣多了"}]}`+"\n", "triage", "-", "--jsonl", "--mode", "fast")
	require.Equal(t, 1, code, errOut)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], `"code":"bad_json"`)
	require.Equal(t, "7", *decode(t, lines[1]).ID)
}

// TestSystemErrorsAreChinese: whatever the operating system refuses, people
// read it in Chinese, with the path.
func TestSystemErrorsAreChinese(t *testing.T) {
	none := filepath.Join(t.TempDir(), "没有")
	for name, args := range map[string][]string{
		"比较":  {"eval", "compare", none, none},
		"案例":  {"cases", "import", none},
		"会话":  {"triage", none},
		"政策":  {"triage", "-", "--policy", none},
		"数据集": {"eval", "run", "--data", none, "--out", none},
	} {
		code, _, errOut := run(t, "客户：一\n", args...)
		require.NotZero(t, code, name)
		require.Contains(t, errOut, "错误：", name)
		require.NotRegexp(t, `no such|open |stat |directory`, errOut, name)
		require.Contains(t, errOut, "没有", name)
	}
	_, missing := os.Open(none)
	for want, err := range map[string]error{
		"读不了 " + none + "：文件不存在":   fmt.Errorf("读不了 %s：%w", none, missing),
		"读不了案例：" + none + " 文件不存在": fmt.Errorf("读不了案例：%w", missing),
		"写不了：磁盘满了，请清理":             fmt.Errorf("写不了：%w，请清理", os.NewSyscallError("write", syscall.ENOSPC)),
		"不能监听：没有权限":                fmt.Errorf("不能监听：%w", &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)}),
		"改不了名：已经存在":                fmt.Errorf("改不了名：%w", &os.LinkError{Op: "rename", Old: "a", New: "b", Err: syscall.EEXIST}),
		"读：系统错误 38":                fmt.Errorf("读：%w", syscall.Errno(38)),
		"没有这回事":                    errors.New("没有这回事"),
	} {
		require.Equal(t, want, explain(err))
	}
}

// TestCasesAreProofread: no word stands twice in what we write ourselves, as
// it does after a careless edit. Customers may say 走着走着.
func TestCasesAreProofread(t *testing.T) {
	_, out, _ := run(t, "", "cases", "list", "--json", "--data", filepath.Join(t.TempDir(), "none"))
	for line := range strings.Lines(out) {
		var c qingting.Case
		require.NoError(t, json.Unmarshal([]byte(line), &c))
		for _, text := range append([]string{c.Title, c.Scene, c.Solution, c.Owner, c.Lesson}, c.Steps...) {
			r := []rune(text)
			for n := 2; n <= 6; n++ {
				for i := 0; i+2*n <= len(r); i++ {
					word := string(r[i : i+n])
					require.False(t, word == string(r[i+n:i+2*n]) && !strings.HasSuffix(word, "着"), "%s %s %s", c.ID, text, word)
				}
			}
		}
	}
}

// TestMetrics asks the figures that deploy/grafana.json shows: every one must
// be there.
func TestMetrics(t *testing.T) {
	e, err := shared()
	require.NoError(t, err)
	s := newTestService(t, e)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, ln, admin) }()
	body := `{"id":"c1","messages":[{"role":"customer","text":"再不退款我就打12315，电话13800138000"}]}`
	response, err := http.Post("http://"+ln.Addr().String()+"/v1/conversations?wait=analysis", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	response.Body.Close()
	require.Less(t, response.StatusCode, 300)
	var got string
	require.Eventually(t, func() bool { // an answer is counted when it has been sent
		response, err := http.Get("http://" + admin.Addr().String() + "/metrics")
		if err != nil {
			return false
		}
		b, err := io.ReadAll(response.Body)
		response.Body.Close()
		got = string(b)
		return err == nil && strings.Contains(got, "qingting_http_requests_total{")
	}, 5*time.Second, 20*time.Millisecond)
	require.Contains(t, got, `qingting_messages_total 1`)
	require.Contains(t, got, `qingting_alerts_total{how="loud"} 1`)
	require.Contains(t, got, `qingting_http_requests_total{method="POST",route="/v1/conversations",status="201"} 1`)
	dashboard, err := os.ReadFile("../../deploy/grafana.json")
	require.NoError(t, err)
	names := regexp.MustCompile(`(qingting|process|go)_[a-z_]+`).FindAllString(string(dashboard), -1)
	require.Greater(t, len(names), 25)
	for _, name := range names {
		require.Contains(t, got, name)
	}
	stop()
	require.NoError(t, <-ended)
}
