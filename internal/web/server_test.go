package web

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
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/qingting-ai/qingting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeAnalyzer answers with what it was given, so that tests see what came
// through; the real pipeline is tested behind the real routes in cmd/qingting.
type fakeAnalyzer struct {
	mu   sync.Mutex
	seen []qingting.Transcript
	mode qingting.Mode
	do   func(ctx context.Context) error
}

func (f *fakeAnalyzer) Analyze(ctx context.Context, t qingting.Transcript, mode qingting.Mode) (*qingting.Analysis, error) {
	f.mu.Lock()
	f.seen, f.mode = append(f.seen, t), mode
	f.mu.Unlock()
	if f.do != nil {
		if err := f.do(ctx); err != nil {
			return nil, err
		}
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return &qingting.Analysis{Schema: "1", ID: &t.ID, Mode: mode, Types: []qingting.TypeScore{{Code: "a<b>&", Evidence: []qingting.Span{}}}}, nil
}

type fakeCases struct{ list []qingting.Case }

func (f fakeCases) List(filter qingting.CaseFilter, offset, limit int) ([]qingting.Case, int) {
	var out []qingting.Case
	for _, c := range f.list {
		if len(filter.Types) == 0 || filter.Types[0] == c.Type {
			out = append(out, c)
		}
	}
	all := len(out)
	out = out[min(offset, all):]
	return out[:min(limit, len(out))], all
}

func (f fakeCases) Get(id string) (qingting.Case, error) {
	for _, c := range f.list {
		if c.ID == id {
			return c, nil
		}
	}
	return qingting.Case{}, qingting.ErrNotFound
}

func (f fakeCases) Add(_ context.Context, c qingting.Case) (qingting.Case, error) {
	if c.Title == "" {
		return c, &qingting.InputError{Code: "bad_case", Message: "缺少标题", Where: "title"}
	}
	c.ID = "c3"
	return c, nil
}

func (f fakeCases) Update(_ context.Context, c qingting.Case) error {
	_, err := f.Get(c.ID)
	return err
}

func (f fakeCases) Delete(_ context.Context, id string) error {
	_, err := f.Get(id)
	return err
}

func (f fakeCases) SearchText(_ context.Context, text string, _ qingting.CaseFilter, _ int) ([]qingting.Match, error) {
	switch text {
	case "出错":
		return nil, errors.New("秘密：客户原话")
	case "没有":
		return nil, nil
	}
	return []qingting.Match{{Case: f.list[0], Score: 0.9, Why: []string{}, Differ: []string{}}}, nil
}

func newServer(t testing.TB, a *fakeAnalyzer, o Options) *Server {
	s, err := New(a, fakeCases{[]qingting.Case{
		{ID: "c1", Title: "一", Type: qingting.TypeDelay, Outcome: qingting.CaseResolved}, {ID: "c2", Title: "二", Type: qingting.TypeHiddenFee, Outcome: qingting.CaseFailed},
	}}, o)
	require.NoError(t, err)
	return s
}

const good = `{"id":"c1","messages":[{"role":"customer","text":"话费扣多了😡"}]}`

func TestStatuses(t *testing.T) {
	long := func(n, each int) string {
		m := make([]string, n)
		for i := range m {
			m[i] = `{"role":"customer","text":"` + strings.Repeat("长", each) + `"}`
		}
		return `{"messages":[` + strings.Join(m, ",") + `]}`
	}
	encode := func(b []byte, err error) string {
		require.NoError(t, err)
		return string(b)
	}
	gbk := encode(simplifiedchinese.GBK.NewEncoder().Bytes([]byte(`{"messages":[{"role":"customer","text":"话费扣多了"}]}`)))
	big5 := encode(traditionalchinese.Big5.NewEncoder().Bytes([]byte("客戶：話費扣多了")))
	utf16 := encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes([]byte("客户：话费扣多了")))
	const asJSON, asText = "application/json", "text/plain"
	tests := map[string]struct {
		method, path, media, body string
		header                    map[string]string
		status                    int
		code                      string // of the problem
		detail                    string
	}{
		"分析":        {"POST", "/v1/analyze", asJSON, good, nil, 200, "", ""},
		"分析文本":      {"POST", "/v1/analyze?mode=fast", asText, "客户：话费扣多了\n客服：好", nil, 200, "", ""},
		"消息数组":      {"POST", "/v1/analyze", asJSON, `[{"role":"customer","text":"一"}]`, nil, 200, "", ""},
		"GBK":       {"POST", "/v1/analyze", asJSON + "; charset=GBK", gbk, nil, 200, "", ""},
		"Big5":      {"POST", "/v1/analyze", asText + ";charset=big5", big5, nil, 200, "", ""},
		"UTF-16":    {"POST", "/v1/analyze", asText + ";charset=utf-16", utf16, nil, 200, "", ""},
		"读会话":       {"POST", "/v1/transcripts/read", asText, "客户：一\n客服：二", nil, 200, "", ""},
		"认不出说话人":    {"POST", "/v1/transcripts/read", asText, "A：发票呢\nB：您去投诉我们", nil, 422, "unknown_speakers", "“A”“B”"},
		"分析认不出说话人":  {"POST", "/v1/analyze", asText, "A：发票呢\nB：您去投诉我们", nil, 422, "unknown_speakers", "客户："},
		"置信度":       {"POST", "/v1/analyze", asJSON, `{"messages":[{"role":"customer","text":"一","asr":{"confidence":87}}]}`, nil, 422, "bad_confidence", "messages[0].asr.confidence"},
		"次序太大":      {"POST", "/v1/analyze", asJSON, `{"messages":[{"role":"customer","text":"一","seq":99999999999999999999}]}`, nil, 422, "bad_seq", "太大"},
		"粘贴了 null":  {"POST", "/v1/transcripts/read", asText, "null", nil, 422, "wrong_type", "null"},
		"读粘贴的 JSON": {"POST", "/v1/transcripts/read", asText, good, nil, 200, "", ""},
		"模式不对":      {"POST", "/v1/analyze?mode=best", asJSON, good, nil, 400, "bad_parameter", "full"},
		"不是 JSON":   {"POST", "/v1/analyze", asJSON, `{"messages":[`, nil, 400, "bad_json", ""},
		"JSON 后面还有": {"POST", "/v1/analyze", asJSON, good + " x", nil, 400, "bad_json", "多出了内容"},
		"空的":        {"POST", "/v1/analyze", asJSON, ``, nil, 400, "empty_input", ""},
		"坏字节":       {"POST", "/v1/analyze", asJSON, "{\"messages\":[{\"role\":\"customer\",\"text\":\"\xff\"}]}", nil, 400, "bad_encoding", "第 41 个字节（偏移 40）"},
		"GBK 没有写明":  {"POST", "/v1/analyze", asJSON, gbk, nil, 400, "bad_encoding", "charset"},
		"嵌套太深":      {"POST", "/v1/analyze", asJSON, strings.Repeat("[", 40) + strings.Repeat("]", 40), nil, 400, "json_too_deep", ""},
		"重复的字段":     {"POST", "/v1/analyze", asJSON, `{"messages":[],"messages":[]}`, nil, 400, "duplicate_field", ""},
		"没有消息":      {"POST", "/v1/analyze", asJSON, `{"messages":[]}`, nil, 422, "empty_transcript", ""},
		"角色不对":      {"POST", "/v1/analyze", asJSON, `{"messages":[{"role":"boss","text":"一"}]}`, nil, 422, "unknown_role", "messages[0].role"},
		"类型不对":      {"POST", "/v1/analyze", asJSON, `{"messages":[{"role":"agent","text":1}]}`, nil, 422, "wrong_type", "messages[0].text"},
		"编号重复":      {"POST", "/v1/analyze", asJSON, `{"messages":[{"message_id":"a","role":"customer","text":"一"},{"message_id":"a","role":"customer","text":"二"}]}`, nil, 422, "duplicate_message_id", "messages[1].message_id：和 messages[0]"},
		"重发一次":      {"POST", "/v1/analyze", asJSON, `{"messages":[{"message_id":"a","role":"customer","text":"一"},{"message_id":"a","role":"customer","text":"一"}]}`, nil, 200, "", ""},
		"次序不对":      {"POST", "/v1/analyze", asJSON, `{"messages":[{"seq":0,"role":"customer","text":"一"}]}`, nil, 422, "bad_seq", "messages[0].seq"},
		"两个会话":      {"POST", "/v1/analyze", asJSON, good + good, nil, 422, "more_than_one", "triage"},
		"消息太长":      {"POST", "/v1/analyze", asJSON, long(1, 4001), nil, 422, "message_too_long", "messages[0].text"},
		"一次分析太多":    {"POST", "/v1/analyze", asJSON, long(6, 3500), nil, 413, "transcript_too_long", "triage"},
		"会话太长":      {"POST", "/v1/analyze", asJSON, long(60, 3500), nil, 413, "transcript_too_long", ""},
		"请求体太大":     {"POST", "/v1/analyze", asJSON, strings.Repeat(" ", MaxBody+1), nil, 413, "body_too_large", ""},
		"没有类型":      {"POST", "/v1/analyze", "", good, nil, 415, "unsupported_media_type", "application/json"},
		"表单":        {"POST", "/v1/analyze", "application/x-www-form-urlencoded", good, nil, 415, "unsupported_media_type", ""},
		"字符集":       {"POST", "/v1/analyze", asJSON + "; charset=latin1", good, nil, 415, "unsupported_charset", ""},
		"压缩":        {"POST", "/v1/analyze", asJSON, good, map[string]string{"Content-Encoding": "gzip"}, 415, "compressed_body", ""},
		"其他网站":      {"POST", "/v1/analyze", asText, "客户：一", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, "cross_origin", ""},
		"其他域名":      {"GET", "/v1/cases", "", "", map[string]string{"Host": "evil.example:8080"}, 421, "unknown_host", ""},
		"允许的域名":     {"GET", "/v1/cases", "", "", map[string]string{"Host": "qt.example.com"}, 200, "", ""},
		"标签":        {"GET", "/v1/taxonomy", "", "", nil, 200, "", ""},
		"案例":        {"GET", "/v1/cases?type=price.hidden_fee&limit=1", "", "", nil, 200, "", ""},
		"案例页码不对":    {"GET", "/v1/cases?limit=9999", "", "", nil, 400, "bad_parameter", "1 到 200"},
		"案例类型不对":    {"GET", "/v1/cases?type=x", "", "", nil, 400, "bad_parameter", "taxonomy"},
		"案例结果不对":    {"GET", "/v1/cases?outcome=x", "", "", nil, 400, "bad_parameter", "resolved"},
		"一个案例":      {"GET", "/v1/cases/c2", "", "", nil, 200, "", ""},
		"没有的案例":     {"GET", "/v1/cases/c9", "", "", nil, 404, "case_not_found", ""},
		"检索":        {"POST", "/v1/cases/search", asJSON, `{"query":"扣费","filter":{"types":["price.hidden_fee"]}}`, nil, 200, "", ""},
		"检索没有写":     {"POST", "/v1/cases/search", asJSON, `{"query":" "}`, nil, 422, "bad_query", ""},
		"检索类型不对":    {"POST", "/v1/cases/search", asJSON, `{"query":7}`, nil, 422, "wrong_type", "query"},
		"检索太多":      {"POST", "/v1/cases/search", asJSON, `{"query":"一","limit":1000}`, nil, 422, "bad_parameter", ""},
		"检索不是 JSON": {"POST", "/v1/cases/search", asText, `扣费`, nil, 415, "unsupported_media_type", ""},
		"检索重复字段":    {"POST", "/v1/cases/search", asJSON, `{"query":"一","query":"二"}`, nil, 400, "duplicate_field", ""},
		"检索出错":      {"POST", "/v1/cases/search", asJSON, `{"query":"出错"}`, nil, 500, "internal", ""},
		"没有的地址":     {"GET", "/v2", "", "", nil, 404, "not_found", ""},
		"方法不对":      {"GET", "/v1/analyze", "", "", nil, 405, "method_not_allowed", "GET"},
		"方法不对，案例":   {"PATCH", "/v1/cases/c1", "", "", nil, 405, "method_not_allowed", "PATCH"},
		"健康":        {"GET", "/healthz", "", "", nil, 200, "", ""},
		"就绪":        {"GET", "/readyz", "", "", nil, 200, "", ""},
		"网页":        {"GET", "/", "", "", nil, 200, "", ""},
		"脚本":        {"GET", "/assets/app.js", "", "", nil, 200, "", ""},
		"样式":        {"GET", "/assets/app.css", "", "", nil, 200, "", ""},
		"图标":        {"GET", "/assets/icon.svg", "", "", nil, 200, "", ""},
		"不出目录":      {"GET", "/assets/..%2fserver.go", "", "", nil, 404, "not_found", ""},
	}
	s := newServer(t, &fakeAnalyzer{}, Options{Hosts: []string{"qt.example.com"}})
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "http://localhost"+tt.path, strings.NewReader(tt.body))
			if tt.media != "" {
				r.Header.Set("Content-Type", tt.media)
			}
			for k, v := range tt.header {
				r.Header.Set(k, v)
				if k == "Host" {
					r.Host = v
				}
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code, w.Body.String())
			for _, h := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options", "X-Request-Id"} {
				require.NotEmpty(t, w.Header().Get(h), h)
			}
			require.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe")
			if tt.code == "" {
				require.NotContains(t, w.Header().Get("Content-Type"), "problem")
				return
			}
			require.Equal(t, "application/problem+json; charset=utf-8", w.Header().Get("Content-Type"))
			var p Problem
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
			require.Equal(t, tt.code, p.Code)
			require.Equal(t, tt.status, p.Status)
			require.Contains(t, p.Detail, tt.detail)
			require.Regexp(t, regexp.MustCompile(`\p{Han}`), p.Detail)
			require.Equal(t, "urn:qingting:problem:"+tt.code, p.Type)
			require.Contains(t, p.Instance, w.Header().Get("X-Request-Id"))
			require.NotContains(t, w.Body.String(), "秘密")
			if tt.status == 405 {
				require.NotEmpty(t, w.Header().Get("Allow"))
			}
		})
	}
}

func post(s *Server, path, media, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://localhost"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", media)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestGarbageHasPlace(t *testing.T) {
	w := post(newServer(t, &fakeAnalyzer{}, Options{}), "/v1/analyze", "application/json", good+"\n  x")
	var p Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, []int{2, 3}, []int{p.Line, p.Column})
	require.Contains(t, p.Detail, "第 2 行第 3 个字")
}

func TestBadByteHasOffset(t *testing.T) {
	w := post(newServer(t, &fakeAnalyzer{}, Options{}), "/v1/analyze", "text/plain", "客户：一\n客服：\xff")
	var p Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, int64(22), *p.Offset)
	require.Equal(t, 2, p.Line)
}

func TestConversationArrivesAsWritten(t *testing.T) {
	a := &fakeAnalyzer{}
	s := newServer(t, a, Options{})
	w := post(s, "/v1/analyze", "application/json", `{"id":"c1","messages":[{"role":"customer","text":"<b>😡</b> & \"12③15\"","message_id":"m1"}],"new":1}`)
	require.Equal(t, 200, w.Code)
	require.Equal(t, qingting.Transcript{ID: "c1", Messages: []qingting.Message{{ID: "m1", Role: "customer", Text: `<b>😡</b> & "12③15"`}}}, a.seen[0])
	require.Equal(t, qingting.ModeFull, a.mode)
	require.Contains(t, w.Body.String(), `"a<b>&"`, "no HTML escapes")
	require.True(t, strings.HasSuffix(w.Body.String(), "}\n"))

	post(s, "/v1/analyze?mode=fast", "text/plain", "客户：一\n\n客服：二")
	require.Equal(t, qingting.ModeFast, a.mode)
	require.Len(t, a.seen[1].Messages, 2, "a blank line does not end the conversation")

	w = post(s, "/v1/transcripts/read", "text/plain", "客户：一😡\n客服：二")
	require.JSONEq(t, `{"messages":[{"role":"customer","text":"一😡"},{"role":"agent","text":"二"}]}`, w.Body.String())
}

func TestTaxonomyNamesEveryCode(t *testing.T) {
	w := httptest.NewRecorder()
	newServer(t, &fakeAnalyzer{}, Options{}).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/v1/taxonomy", nil))
	var got map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	require.JSONEq(t, `"1.3"`, string(got["taxonomy"]))
	n := 0
	for field, raw := range got {
		var list []code
		if json.Unmarshal(raw, &list) != nil {
			continue
		}
		for _, c := range list {
			n++
			require.Regexp(t, regexp.MustCompile(`\p{Han}`), c.Label, "%s %s", field, c.Code)
		}
	}
	require.Greater(t, n, 90)
}

func TestCaseAnswers(t *testing.T) {
	s := newServer(t, &fakeAnalyzer{}, Options{})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/v1/cases?offset=1", nil))
	require.JSONEq(t, `{"total":2,"offset":1,"limit":50,"cases":[{"id":"c2","title":"二","type":"price.hidden_fee","problem":"","solution":"","outcome":"failed"}]}`, w.Body.String())
	require.Contains(t, post(s, "/v1/cases/search", "application/json", `{"query":"一"}`).Body.String(), `"status":"ok"`)
	require.JSONEq(t, `{"status":"no_reliable_case","cases":[]}`, post(s, "/v1/cases/search", "application/json", `{"query":"没有"}`).Body.String())
}

func TestReadyNamesComponents(t *testing.T) {
	s := newServer(t, &fakeAnalyzer{}, Options{Components: func() []Component { return []Component{{Component: "encoder", Status: "ok", ID: "e1"}} }})
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/readyz", nil))
		return w
	}
	require.JSONEq(t, `{"status":"ready","mode":"full","components":[{"component":"encoder","status":"ok","id":"e1"}]}`, get().Body.String())
	s.draining.Store(true)
	require.Equal(t, 503, get().Code)
}

func TestBusyIsSaidAtOnce(t *testing.T) {
	release := make(chan struct{})
	a := &fakeAnalyzer{do: func(context.Context) error { <-release; return nil }}
	s := newServer(t, a, Options{Parallel: 1, Queue: 1})
	var group sync.WaitGroup
	codes := make(chan int, 2)
	for range 2 { // one is analysed, one waits
		group.Go(func() { codes <- post(s, "/v1/analyze", "application/json", good).Code })
	}
	require.Eventually(t, func() bool { return len(s.slots) == 1 && s.waiting.Load() == 1 }, 5*time.Second, time.Millisecond)
	started := time.Now()
	w := post(s, "/v1/analyze", "application/json", good)
	require.Less(t, time.Since(started), 50*time.Millisecond)
	require.Equal(t, 503, w.Code)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), `"code":"busy"`)
	close(release)
	group.Wait()
	require.Equal(t, 200, <-codes)
	require.Equal(t, 200, <-codes)
	require.Equal(t, 200, post(s, "/v1/analyze", "application/json", good).Code)
}

func TestFailuresKeepTextToThemselves(t *testing.T) {
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	a := &fakeAnalyzer{do: func(context.Context) error { panic("客户原话：话费扣多了") }}
	s := newServer(t, a, Options{Log: log})
	w := post(s, "/v1/analyze?mode=full&x=客户原话", "application/json", good)
	require.Equal(t, 500, w.Code)
	a.do = func(context.Context) error { return errors.New("客户原话") }
	require.Equal(t, 500, post(s, "/v1/analyze", "application/json", good).Code)
	a.do = func(context.Context) error { return context.DeadlineExceeded }
	require.Contains(t, post(s, "/v1/analyze", "application/json", good).Body.String(), `"timeout"`)
	a.do = nil
	require.Equal(t, 200, post(s, "/v1/analyze", "application/json", good).Code, "the slot of the panic is free again")
	require.Equal(t, 422, post(s, "/v1/analyze", "application/json", `{"messages":[{"role":"客户原话","text":"话费扣多了"}]}`).Code)
	require.Contains(t, logged.String(), "route=/v1/analyze status=500")
	for _, secret := range []string{"客户原话", "话费"} {
		require.NotContains(t, logged.String(), secret)
	}
}

func TestServeStopsGently(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	a := &fakeAnalyzer{do: func(context.Context) error { close(entered); <-release; return nil }}
	s := newServer(t, a, Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answered := make(chan int, 1)
	go func() {
		r, err := client.Post("http://"+ln.Addr().String()+"/v1/analyze", "application/json", strings.NewReader(good))
		if err != nil {
			answered <- 0
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		answered <- r.StatusCode
	}()
	<-entered
	stop()
	require.Eventually(t, s.draining.Load, time.Second, time.Millisecond)
	close(release)
	require.Equal(t, 200, <-answered, "the running request is finished")
	require.NoError(t, <-ended)
	_, err = client.Get("http://" + ln.Addr().String() + "/healthz")
	require.Error(t, err)
}

// TestHeaderLimit: request line and headers together are 16 KiB at most, to
// the byte, whatever body follows.
func TestHeaderLimit(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := newServer(t, &fakeAnalyzer{}, Options{})
	go func() { ended <- s.Serve(ctx, ln) }()
	body := strings.Replace(good, "\"text\":\"", "\"text\":\""+strings.Repeat("长", 3000), 1)
	for size, want := range map[int]string{
		MaxHeader - 1: "HTTP/1.1 200", MaxHeader: "HTTP/1.1 200", MaxHeader + 1: "HTTP/1.1 431", 20_000: "HTTP/1.1 431",
	} {
		start := fmt.Sprintf("POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Long: ", len(body))
		head := start + strings.Repeat("x", size-len(start)-len("\r\n\r\n")) + "\r\n\r\n"
		require.Len(t, head, size)
		c, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(c, head+body)
		require.NoError(t, err)
		got := make([]byte, len(want))
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, want, string(got), "%d bytes", size)
		c.Close()
	}
	stop()
	require.NoError(t, <-ended)
}

func TestAssetsAreCachedByContent(t *testing.T) {
	s := newServer(t, &fakeAnalyzer{}, Options{})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/", nil))
	tag := w.Header().Get("ETag")
	require.NotEmpty(t, tag)
	r := httptest.NewRequest("GET", "http://localhost/", nil)
	r.Header.Set("If-None-Match", tag)
	w = httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Equal(t, 304, w.Code)
	require.Empty(t, w.Body.String())
}

// TestPageObeysItsPolicy: what the Content-Security-Policy would block, and
// what could turn text into markup, does not occur in the page.
func TestPageObeysItsPolicy(t *testing.T) {
	html, err := os.ReadFile("page/index.html")
	require.NoError(t, err)
	require.NotRegexp(t, `(?i)<style|\sstyle=|\son[a-z]+=|<script>|https?://`, string(html))
	js, err := os.ReadFile("page/app.js")
	require.NoError(t, err)
	require.NotRegexp(t, `innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\("style"`, string(js))
	for _, url := range regexp.MustCompile(`https?://[^"']+`).FindAllString(string(js), -1) {
		require.Equal(t, "http://www.w3.org/2000/svg", url)
	}
	css, err := os.ReadFile("page/app.css")
	require.NoError(t, err)
	require.NotContains(t, string(css), "url(")
}

// TestReadingIsNoted: that everything was taken for the customer's words is
// said beside the conversation, which stays what /v1/analyze takes.
func TestReadingIsNoted(t *testing.T) {
	a := &fakeAnalyzer{}
	s := newServer(t, a, Options{})
	w := post(s, "/v1/transcripts/read", "text/plain", "在吗\r我的快递呢")
	var got struct {
		Messages []qingting.Message
		Note     string
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	require.Len(t, got.Messages, 1)
	require.Contains(t, got.Note, "全部当作客户的话")
	require.Equal(t, 200, post(s, "/v1/analyze", "application/json", w.Body.String()).Code)
	require.Equal(t, "在吗\n我的快递呢", a.seen[0].Messages[0].Text)
	w = post(s, "/v1/transcripts/read", "text/plain", "【客户】我的快递呢\n【客服】请稍等")
	require.JSONEq(t, `{"messages":[{"role":"customer","text":"我的快递呢"},{"role":"agent","text":"请稍等"}]}`, w.Body.String())
}

// TestSlowBody: a body that does not arrive in time is the client's network,
// not a wrong request.
func TestSlowBody(t *testing.T) {
	server := httptest.NewUnstartedServer(newServer(t, &fakeAnalyzer{}, Options{}))
	server.Config.ReadTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	for length, want := range map[int]string{200: "HTTP/1.1 408", 3: "HTTP/1.1 400"} {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		_, err = fmt.Fprintf(c, "POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{\"a", length)
		require.NoError(t, err)
		answer, err := io.ReadAll(c)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(answer), want), string(answer))
		if want == "HTTP/1.1 408" {
			require.Contains(t, string(answer), `"code":"slow_body"`)
			require.Contains(t, string(answer), "application/problem+json")
		}
		c.Close()
	}
}

// TestPageSaysWhatIsMissing: the page shows how the text was read, and does
// not blame the customer for a draft that was held back.
func TestPageSaysWhatIsMissing(t *testing.T) {
	js, err := os.ReadFile("page/app.js")
	require.NoError(t, err)
	require.Contains(t, string(js), "transcript.note")
	require.Contains(t, string(js), "草稿没有通过检查，请人工回复")
}
