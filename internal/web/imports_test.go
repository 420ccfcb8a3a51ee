package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
	"github.com/qingting-ai/qingting/internal/job"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/text"
)

const rulesTried = "signal.regulator.tried certain\n  12315\n"

// memoryShelf is a case library that imports write.
type memoryShelf struct {
	mu   sync.Mutex
	kept map[string]qingting.Case
}

func (s *memoryShelf) Get(id string) (qingting.Case, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.kept[id]; ok {
		return c, nil
	}
	return qingting.Case{}, qingting.ErrNotFound
}

func (s *memoryShelf) Put(_ context.Context, cases []qingting.Case) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range cases {
		s.kept[c.ID] = c
	}
	return nil
}

// withWork gives the server jobs, and a worker that does them when running.
// Evaluations are those of cmd/qingting; here one only reads its upload.
func (s *service) withWork(running bool) *job.Folder {
	s.t.Helper()
	folder := job.NewFolder(s.t.TempDir())
	cleaner, err := text.NewCleaner()
	require.NoError(s.t, err)
	rules, err := lexicon.New()
	require.NoError(s.t, err)
	shelves := map[string]*memoryShelf{"default": {kept: map[string]qingting.Case{}}, "other": {kept: map[string]qingting.Case{}}}
	imports := &job.Importer{
		Folder: folder, Live: s.live, Conversation: s.store.Conversation, Now: time.Now,
		Library: func(tenant string) (job.Library, error) { return shelves[tenant], nil },
		CheckCase: func(c qingting.Case) []job.Fault {
			if c.Title == "" || strings.HasPrefix(c.Title, "=") {
				return []job.Fault{{Column: "title", Code: "invalid_case", Message: "=标题不行：" + c.Title}}
			}
			return nil
		},
	}
	backtests := &job.Backtester{Archive: s.store, Cleaner: cleaner}
	worker, err := job.NewWorker(s.store, map[string]job.Runner{
		job.KindImport: imports.Run, job.KindBacktest: backtests.Run,
		job.KindEvaluation: func(_ context.Context, r *job.Run) ([]byte, error) {
			r.Report(2, 2, 0)
			return []byte(`{"schema":"1"}`), nil
		},
	}, job.Options{
		Beat: 20 * time.Millisecond, Poll: time.Hour, Publish: s.live.Publish,
		Settled: func(j store.Job) { folder.Remove(j.Tenant, j.ID) },
	})
	require.NoError(s.t, err)
	s.options.Work = Work{
		Jobs: s.store, Folder: folder, Wake: worker.Wake, Lexicon: rules, Cleaner: cleaner,
		Report: func(tenant, id string) ([]byte, error) { return []byte("<p>" + tenant), nil },
	}
	if running {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- worker.Run(ctx) }()
		s.t.Cleanup(func() { stop(); require.NoError(s.t, <-ended) })
	}
	return folder
}

// settled waits until a job has ended.
func settled[T any](s *service, who any, path string) T {
	s.t.Helper()
	var w *httptest.ResponseRecorder
	require.Eventually(s.t, func() bool {
		w = s.ask(who, "GET", path, nil)
		var j jobStanding
		return w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &j) == nil && j.State != store.JobQueued && j.State != store.JobRunning
	}, 10*time.Second, 3*time.Millisecond)
	return read[T](s.t, w, 200)
}

const talkTable = "会话编号,角色,内容\nc1,客户,我要打12315\nc1,客服,在的\nc2,老板,在吗\n"

func TestImportFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	s.withWork(true)
	sub, err := s.live.Subscribe(live.Filter{Tenant: "default", Types: []qingting.EventType{job.EventProgress}}, "")
	require.NoError(t, err)
	defer sub.Close()
	w := s.ask(nil, "POST", "/v1/imports?kind=conversations", talkTable, "Content-Type", "text/csv", "Idempotency-Key", "k1")
	made := read[importJob](t, w, 202)
	require.Equal(t, "/v1/imports/"+made.ID, w.Header().Get("Location"))
	require.Equal(t, store.JobQueued, made.State)
	done := settled[importJob](s, nil, "/v1/imports/"+made.ID)
	require.Equal(t, store.JobDone, done.State, done.Error)
	require.Equal(t, []any{1.0, 2, 1, 1, 2, "conversations", "local"}, []any{done.Progress, done.Rows, done.Failed, done.Added, done.Messages, done.Kind, done.By})
	state := read[live.State](t, s.ask(nil, "GET", "/v1/conversations/c1/state", nil), 200)
	require.Len(t, state.Messages, 2)

	faults := s.ask(nil, "GET", done.ErrorsURL, nil)
	require.Equal(t, "text/csv; charset=utf-8", faults.Header().Get("Content-Type"))
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(faults.Body.String(), "\uFEFF"))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"line", "column", "code", "message"}, rows[0])
	require.Equal(t, []string{"4", "角色", "unknown_role"}, rows[1][:3])

	again := read[importJob](t, s.ask(nil, "POST", "/v1/imports?kind=conversations", talkTable, "Content-Type", "text/csv", "Idempotency-Key", "k1"), 202)
	require.Equal(t, made.ID, again.ID)
	require.Equal(t, "idempotency_mismatch", codeOf(t, s.ask(nil, "POST", "/v1/imports?kind=conversations", talkTable+"\n", "Content-Type", "text/csv", "Idempotency-Key", "k1"), 422))

	var z bytes.Buffer
	gz := gzip.NewWriter(&z)
	_, err = gz.Write([]byte("标题,类型,问题,方案,结果\n一,隐性收费,二,三,已解决\n=cmd|1,隐性收费,二,三,已解决\n"))
	require.NoError(t, err)
	require.NoError(t, gz.Close())
	cases := read[importJob](t, s.ask(nil, "POST", "/v1/imports?kind=cases&dry_run=true", z.String(), "Content-Type", "text/csv; charset=utf-8", "Content-Encoding", "gzip"), 202)
	require.True(t, cases.DryRun)
	cases = settled[importJob](s, nil, "/v1/imports/"+cases.ID)
	require.Equal(t, []int{2, 1, 1}, []int{cases.Rows, cases.Failed, cases.Added})
	require.Contains(t, s.ask(nil, "GET", cases.ErrorsURL, nil).Body.String(), "title,invalid_case,'=标题不行：=cmd|1", "no formula")
	require.Equal(t, "wrong_state", codeOf(t, s.ask(nil, "POST", "/v1/imports/"+cases.ID+"/cancel", nil), 409))

	page := read[page1[importJob]](t, s.ask(nil, "GET", "/v1/imports?limit=1", nil), 200)
	require.Equal(t, cases.ID, page.Items[0].ID)
	page = read[page1[importJob]](t, s.ask(nil, "GET", "/v1/imports?limit=5&cursor="+page.Next, nil), 200)
	require.Equal(t, made.ID, page.Items[0].ID)
	told := <-sub.Events
	require.Equal(t, job.EventProgress, told.Type)
	require.Contains(t, string(told.JSON), made.ID)
}

func TestCancelAnImportThatWaits(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	s.withWork(false)
	made := read[importJob](t, s.ask(nil, "POST", "/v1/imports?kind=conversations", talkTable, "Content-Type", "text/csv"), 202)
	require.Equal(t, "job_running", codeOf(t, s.ask(nil, "GET", made.ErrorsURL, nil), 409))
	for range 2 {
		got := read[importJob](t, s.ask(nil, "POST", "/v1/imports/"+made.ID+"/cancel", nil), 200)
		require.Equal(t, store.JobCancelled, got.State)
	}
	for range job.MaxWaiting { // its file is gone: the folder has room
		require.Equal(t, 202, s.ask(nil, "POST", "/v1/imports?kind=conversations", talkTable, "Content-Type", "text/csv").Code)
	}
	require.Equal(t, "too_many_uploads", codeOf(t, s.ask(nil, "POST", "/v1/imports?kind=conversations", talkTable, "Content-Type", "text/csv"), 429))
}

func TestWrongImports(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	folder := s.withWork(false)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := z.Write(make([]byte, 8<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	for name, tt := range map[string]struct {
		path, body, media, encoding string
		status                      int
		code                        string
	}{
		"种类":      {"/v1/imports", "x", "text/csv", "", 400, "bad_parameter"},
		"种类不认识":   {"/v1/imports?kind=秘密", "x", "text/csv", "", 400, "bad_parameter"},
		"试跑":      {"/v1/imports?kind=cases&dry_run=秘密", "x", "text/csv", "", 400, "bad_parameter"},
		"类型":      {"/v1/imports?kind=cases", "x", "application/json", "", 415, "unsupported_media_type"},
		"旧表格":     {"/v1/imports?kind=cases", "x", "application/vnd.ms-excel", "", 415, "unsupported_media_type"},
		"字符集":     {"/v1/imports?kind=cases", "x", "text/csv; charset=latin1", "", 415, "unsupported_charset"},
		"字符集参数":   {"/v1/imports?kind=cases&charset=koi8", "x", "text/csv", "", 415, "unsupported_charset"},
		"空":       {"/v1/imports?kind=cases", "", "text/csv", "", 400, "empty_input"},
		"压缩":      {"/v1/imports?kind=cases", "x", "text/csv", "br", 415, "compressed_body"},
		"不是 gzip": {"/v1/imports?kind=cases", "x", "text/csv", "gzip", 422, "bad_gzip"},
		"炸弹":      {"/v1/imports?kind=cases", bomb.String(), "text/csv", "gzip", 413, "compression_ratio"},
		"太大":      {"/v1/imports?kind=cases", strings.Repeat("x", job.MaxUpload+1), "text/csv", "", 413, "upload_too_large"},
		"评测系统":    {"/v1/evaluations?systems=秘密", "x", mediaNDJSON, "", 400, "bad_parameter"},
		"评测两次":    {"/v1/evaluations?systems=fast,fast", "x", mediaNDJSON, "", 400, "bad_parameter"},
		"评测字符集":   {"/v1/evaluations", "x", mediaNDJSON + "; charset=gbk", "", 415, "unsupported_charset"},
		"评测类型":    {"/v1/evaluations", "x", "text/csv", "", 415, "unsupported_media_type"},
	} {
		w := s.ask(nil, "POST", tt.path, tt.body, "Content-Type", tt.media, "Content-Encoding", tt.encoding)
		require.Equal(t, tt.code, codeOf(t, w, tt.status), name)
		require.NotContains(t, w.Body.String(), "秘密", name)
	}
	require.Equal(t, "bad_idempotency_key", codeOf(t, s.ask(nil, "POST", "/v1/imports?kind=cases", "x", "Content-Type", "text/csv", "Idempotency-Key", "中 文"), 400))
	// A body that ends early leaves nothing behind.
	r := httptest.NewRequest("POST", "http://localhost/v1/imports?kind=cases", strings.NewReader("x"))
	r.Header.Set("Content-Type", "text/csv")
	r.Body = broken{}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Equal(t, "incomplete_body", codeOf(t, w, 400))
	require.NoError(t, folder.Sweep(t.Context(), time.Now().Add(time.Hour*2), s.store.Job))
	list := read[page1[importJob]](t, s.ask(nil, "GET", "/v1/imports", nil), 200)
	require.Empty(t, list.Items)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fmt.Errorf("connection reset") }
func (broken) Close() error             { return nil }

// TestImportsAreTheTenants: neither the jobs nor what they write is seen by
// another tenant, and a team's key sees its own.
func TestImportsAreTheTenants(t *testing.T) {
	t.Parallel()
	s := newService(t, false, nil)
	s.withWork(true)
	for _, team := range []string{"east", "west"} {
		_, err := s.guard.PutTeam(t.Context(), access.Team{Tenant: "default", ID: team, Name: team}, true)
		require.NoError(t, err)
	}
	all := s.key("default", "", access.ScopeIngest, access.ScopeSupervise)
	east, west := s.key("default", "east", access.ScopeIngest), s.key("default", "west", access.ScopeIngest)
	other := s.key("other", "", access.ScopeAdmin)
	made := read[importJob](t, s.ask(east, "POST", "/v1/imports?kind=conversations", talkTable, "Content-Type", "text/csv", "Idempotency-Key", "same"), 202)
	theirs := read[importJob](t, s.ask(other, "POST", "/v1/imports?kind=conversations", talkTable, "Content-Type", "text/csv", "Idempotency-Key", "same"), 202)
	require.NotEqual(t, made.ID, theirs.ID)
	for _, id := range []string{made.ID, theirs.ID} {
		who := map[string]string{made.ID: east, theirs.ID: other}[id]
		require.Equal(t, store.JobDone, settled[importJob](s, who, "/v1/imports/"+id).State)
	}
	for _, who := range []string{west, other} {
		for _, path := range []string{"", "/errors"} {
			require.Equal(t, "not_found", codeOf(t, s.ask(who, "GET", "/v1/imports/"+made.ID+path, nil), 404))
		}
		require.Equal(t, "not_found", codeOf(t, s.ask(who, "POST", "/v1/imports/"+made.ID+"/cancel", nil), 404))
	}
	require.Empty(t, read[page1[importJob]](t, s.ask(west, "GET", "/v1/imports", nil), 200).Items)
	require.Len(t, read[page1[importJob]](t, s.ask(all, "GET", "/v1/imports", nil), 200).Items, 1)
	require.Equal(t, "east", read[qingting.Conversation](t, s.ask(all, "GET", "/v1/conversations/c1", nil), 200).Team)
	require.Equal(t, "forbidden", codeOf(t, s.ask(east, "POST", "/v1/imports?kind=cases", "x", "Content-Type", "text/csv"), 403))
}

const chatwootMessage = `{"event":"message_created","id":7,"content":"再不退就打12315","message_type":"incoming","created_at":1789000000,"conversation":{"id":3},"account":{"id":1},"sender":{"id":4,"type":"contact"}}`

func TestChatwootComesIn(t *testing.T) {
	t.Parallel()
	s := newService(t, false, nil)
	s.withWork(false)
	key := s.key("default", "", access.ScopeIngest)
	post := func(body string, headers ...string) *httptest.ResponseRecorder {
		return s.ask(nil, "POST", "/v1/adapters/chatwoot?token="+key, body, headers...)
	}
	require.Equal(t, "unauthenticated", codeOf(t, s.ask(nil, "POST", "/v1/adapters/chatwoot?token=qt_wrong", chatwootMessage), 401))
	require.Equal(t, "forbidden", codeOf(t, s.ask(nil, "POST", "/v1/adapters/chatwoot?token="+s.key("default", "", access.ScopeEval), chatwootMessage), 403))
	for range 2 { // delivered again
		require.Equal(t, chatwootOutput{hook.ActionAppend, "chatwoot-1-3"}, read[chatwootOutput](t, post(chatwootMessage), 200))
	}
	require.Equal(t, 200, s.ask(key, "POST", "/v1/adapters/chatwoot", chatwootMessage).Code, "the key may stand in the header")
	kept, err := s.store.Messages(t.Context(), qingting.Key{Tenant: "default", ID: "chatwoot-1-3"})
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.Equal(t, hook.ActionIgnore, read[chatwootOutput](t, post(`{"event":"webwidget_triggered"}`), 200).Action)
	require.Equal(t, "bad_json", codeOf(t, post(`{`), 400))
	require.Equal(t, "bad_chatwoot_event", codeOf(t, post(`{}`), 422))
	resolved := func(id int) string {
		return fmt.Sprintf(`{"event":"conversation_status_changed","id":%d,"status":"resolved","account":{"id":1}}`, id)
	}
	for range 2 {
		require.Equal(t, hook.ActionClose, read[chatwootOutput](t, post(resolved(3)), 200).Action)
	}
	c, err := s.store.Conversation(t.Context(), qingting.Key{Tenant: "default", ID: "chatwoot-1-3"})
	require.NoError(t, err)
	require.Equal(t, qingting.ConversationClosed, c.State)
	require.Equal(t, hook.ActionIgnore, read[chatwootOutput](t, post(resolved(99)), 200).Action, "one without a message for us")

	s.options.Work.ChatwootSecret = "暗号"
	require.Equal(t, "bad_signature", codeOf(t, post(chatwootMessage), 401))
	at := fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, []byte("暗号"))
	mac.Write([]byte(at + "." + chatwootMessage))
	require.Equal(t, 200, post(chatwootMessage, "X-Chatwoot-Timestamp", at, "X-Chatwoot-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil))).Code)
}

func TestLexiconIsShownAndTried(t *testing.T) {
	t.Parallel()
	s := newService(t, false, nil)
	s.withWork(true)
	engineer, admin := s.key("default", "", access.ScopeEval), s.key("default", "", access.ScopeAdmin)
	all := read[lexiconShown](t, s.ask(engineer, "GET", "/v1/lexicon", nil), 200)
	signals := read[lexiconShown](t, s.ask(engineer, "GET", "/v1/lexicon?field=signal", nil), 200)
	require.Greater(t, len(all.Rules), len(signals.Rules))
	require.NotEmpty(t, signals.Rules)
	require.NotContains(t, s.ask(engineer, "GET", "/v1/lexicon", nil).Body.String(), "null")

	got := read[list[previewed]](t, s.ask(engineer, "POST", "/v1/lexicon/preview", m{
		"rules": rulesTried, "texts": []string{"😀我要打１２３１５！", "我不会打12315的", "在吗", ""},
	}), 200)
	require.Len(t, got.Items, 4)
	require.Equal(t, "１２３１５", got.Items[0].Hits[0].Quote, "the span is that of the text as it was written")
	require.Equal(t, []int{4, 9}, []int{got.Items[0].Hits[0].Start, got.Items[0].Hits[0].End})
	require.Equal(t, qingting.GuardNegated, got.Items[1].Hits[0].Guard)
	require.Empty(t, got.Items[2].Hits)
	for name, body := range map[string]m{
		"写错":  {"rules": "signal.media.a hint\n  甲\n  /曝光(/", "texts": []string{"一"}},
		"空":   {"rules": "# 空的", "texts": []string{"一"}},
		"太长":  {"rules": strings.Repeat("# 长\n", maxRuleText), "texts": []string{"一"}},
		"长话":  {"rules": rulesTried, "texts": []string{strings.Repeat("长", qingting.MaxMessageRunes+1)}},
		"没有话": {"rules": rulesTried, "texts": []string{}},
	} {
		w := s.ask(engineer, "POST", "/v1/lexicon/preview", body)
		require.Equal(t, 422, w.Code, name)
		if name == "写错" {
			require.Equal(t, 3, read[Problem](t, w, 422).Line)
		}
	}

	for i, said := range []string{"我要打12315", "我不会打12315的", "在吗"} {
		_, err := s.live.Ingest(t.Context(), live.IngestRequest{Tenant: "default", Conversation: fmt.Sprint("c", i), Messages: []qingting.Message{{ID: "m1", Role: qingting.RoleCustomer, Text: said}}})
		require.NoError(t, err)
		_, err = s.live.Wait(t.Context(), qingting.Key{Tenant: "default", ID: fmt.Sprint("c", i)}, 1)
		require.NoError(t, err)
	}
	_, err := s.live.Ingest(t.Context(), live.IngestRequest{Tenant: "other", Conversation: "theirs", Messages: []qingting.Message{{ID: "m1", Role: qingting.RoleCustomer, Text: "我要打12315"}}})
	require.NoError(t, err)
	made := read[backtestJob](t, s.ask(engineer, "POST", "/v1/lexicon/backtest", m{"rules": rulesTried}), 202)
	require.Nil(t, made.Result)
	for _, who := range []string{engineer, admin} {
		done := settled[backtestJob](s, who, "/v1/lexicon/backtests/"+made.ID)
		require.Equal(t, store.JobDone, done.State, done.Error)
		require.Equal(t, 3, done.Result.Conversations, "of the tenant")
		r := done.Result.Rules[0]
		require.Equal(t, []int{1, 1, 1, 1, 1}, []int{r.Hits, r.Guarded, r.Alerted, r.High, r.Complaints})
		require.Equal(t, who == engineer, done.Hidden)
		if who == engineer {
			require.Empty(t, r.Examples, "an engineer does not read conversations")
			continue
		}
		require.Equal(t, []job.Example{{Conversation: "c0", MessageID: "m1", Quote: "12315", Around: "我要打12315"}}, r.Examples)
	}
	require.Equal(t, "not_found", codeOf(t, s.ask(s.key("other", "", access.ScopeAdmin), "GET", "/v1/lexicon/backtests/"+made.ID, nil), 404))
	require.Equal(t, "not_found", codeOf(t, s.ask(admin, "GET", "/v1/imports/"+made.ID, nil), 404), "a job of another kind")
	require.Equal(t, "bad_period", codeOf(t, s.ask(engineer, "POST", "/v1/lexicon/backtest", m{"rules": rulesTried, "from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}), 422))
}

func TestEvaluationsAreKept(t *testing.T) {
	t.Parallel()
	s := newService(t, true, nil)
	s.withWork(true)
	made := read[evaluation](t, s.ask(nil, "POST", "/v1/evaluations?systems=fast", `{"id":"x"}`, "Content-Type", mediaNDJSON), 202)
	require.Equal(t, []string{"fast"}, made.Systems)
	done := settled[evaluation](s, nil, "/v1/evaluations/"+made.ID)
	require.JSONEq(t, `{"schema":"1"}`, string(done.Metrics))
	page := read[page1[evaluation]](t, s.ask(nil, "GET", "/v1/evaluations", nil), 200)
	require.Len(t, page.Items, 1)
	require.Empty(t, page.Items[0].Metrics)
	w := s.ask(nil, "GET", done.ReportURL, nil)
	require.Equal(t, "<p>default", w.Body.String())
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "sandbox")
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Equal(t, "not_found", codeOf(t, s.ask(nil, "GET", "/v1/evaluations/jb_none/report", nil), 404))
}

func TestFormulasAreHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "+86": "'+86", "-1": "'-1", "@a": "'@a", "\t=1": "'\t=1", "\r=1": "'\r=1", "＝1": "'＝1", "一=1": "一=1", "": "",
	} {
		require.Equal(t, want, harmless(in))
	}
}
