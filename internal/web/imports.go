package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/job"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// Work is what takes longer than a request, and who does it. Jobs and Folder
// go together; what is nil is not there.
type Work struct {
	Jobs   Jobs
	Folder *job.Folder // of uploads
	Wake   func()      // tells the worker that a job waits; may be nil
	// Lexicon are the rules in force, to be shown; Cleaner reads texts for rules
	// that are tried.
	Lexicon *lexicon.Lexicon
	Cleaner qingting.Cleaner
	// Report renders the report of an evaluation run as one HTML file.
	Report func(tenant, id string) ([]byte, error)
	// ChatwootSecret checks the signature of Chatwoot's webhooks; "" leaves it
	// at the key.
	ChatwootSecret string
}

// Jobs keeps jobs; *store.Store is one, and its methods say what they do. It
// may be called concurrently.
type Jobs interface {
	PutJob(ctx context.Context, j store.Job) (store.Job, error)
	Job(ctx context.Context, tenant, id string) (store.Job, error)
	Jobs(ctx context.Context, tenant, kind, cursor string, limit int) ([]store.Job, string, error)
	CancelJob(ctx context.Context, tenant, id string) error
}

// uploadTimeout is how long an upload may take to arrive: 64 MiB over a slow
// line.
const uploadTimeout = 5 * time.Minute

// accepted is a binding whose usual answer is 202.
func accepted(bind binding) binding {
	return func(s *Server, r route, op huma.Operation) {
		op.DefaultStatus = http.StatusAccepted
		bind(s, r, op)
	}
}

// jobStanding is how a job stands.
type jobStanding struct {
	ID       string         `json:"id"`
	State    store.JobState `json:"state" enum:"queued,running,done,failed,cancelled"`
	Progress float64        `json:"progress" doc:"0 到 1"`
	Error    string         `json:"error,omitempty" doc:"没有做成的原因"`
	By       string         `json:"by,omitempty"`
	Created  time.Time      `json:"created_at"`
	Updated  time.Time      `json:"updated_at"`
}

func standing(j *store.Job) jobStanding {
	out := jobStanding{ID: j.ID, State: j.State, Error: j.Error, By: j.By, Created: j.Created, Updated: j.Updated}
	switch {
	case j.State == store.JobDone:
		out.Progress = 1
	case j.Total > 0:
		out.Progress = float64(j.Done) / float64(j.Total)
	}
	return out
}

// ended reports whether nothing more will happen to a job.
func ended(j *store.Job) bool { return j.State != store.JobQueued && j.State != store.JobRunning }

// importJob is an import as people see it.
type importJob struct {
	jobStanding
	Kind      string `json:"kind" enum:"cases,conversations"`
	Format    string `json:"format"`
	DryRun    bool   `json:"dry_run"`
	Rows      int    `json:"rows" doc:"会话或案例的个数；还没读完时是已读到的"`
	Failed    int    `json:"failed" doc:"其中不能用的"`
	Added     int    `json:"added"`
	Updated   int    `json:"updated"`
	Unchanged int    `json:"unchanged" doc:"已有、内容相同的"`
	Messages  int    `json:"messages" doc:"新写入的消息数"`
	Past      int    `json:"past" doc:"最后一条消息早于 24 小时前、已作为历史会话关闭的"`
	ErrorsURL string `json:"errors_url"`
}

func importOf(j *store.Job) (importJob, error) {
	var req job.ImportRequest
	if err := json.Unmarshal(j.Request, &req); err != nil {
		return importJob{}, err
	}
	var got job.ImportResult
	if len(j.Result) > 0 {
		if err := json.Unmarshal(j.Result, &got); err != nil {
			return importJob{}, err
		}
	}
	return importJob{
		jobStanding: standing(j), Kind: req.Kind, Format: req.Format, DryRun: req.DryRun, Rows: j.Total, Failed: j.Failed,
		Added: got.Added, Updated: got.Updated, Unchanged: got.Unchanged, Messages: got.Messages, Past: got.Past,
		ErrorsURL: "/v1/imports/" + j.ID + "/errors",
	}, nil
}

// mayImport is whether the asker may import anything at all. What is imported
// decides which permission it takes.
func mayImport(ctx context.Context, kind string) error {
	p := access.Of(ctx)
	conversations, cases := p.May(access.Ingest), p.May(access.WriteCases)
	switch {
	case kind == job.Conversations && conversations, kind == job.Cases && cases, kind == "" && (conversations || cases):
		return nil
	case kind == job.Conversations || kind == "":
		return problem(http.StatusForbidden, "forbidden", "您的角色或密钥没有这项权限（%s），请联系管理员", access.Ingest)
	}
	return problem(http.StatusForbidden, "forbidden", "您的角色或密钥没有这项权限（%s），请联系管理员", access.WriteCases)
}

// importInput describes what addImport reads by hand.
type importInput struct {
	Kind    string `query:"kind" required:"true" enum:"cases,conversations"`
	DryRun  bool   `query:"dry_run" doc:"true：全部检查，什么也不写"`
	Charset string `query:"charset" enum:"utf-8,gbk,gb18030,big5,utf-16,utf-16le,utf-16be" doc:"不写就用 Content-Type 里的，都没有就自动识别（big5 除外）"`
	Once    string `header:"Idempotency-Key" doc:"同一个值和同一个文件再来，得到同一个任务；不同的文件是 422"`
	RawBody []byte `contentType:"text/csv"`
}

const (
	mediaXLSX   = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	mediaNDJSON = "application/x-ndjson"
)

// formats are the media types of imports.
func formats() map[string]string {
	return map[string]string{
		"text/csv": job.FormatCSV, "text/tab-separated-values": job.FormatCSV, mediaXLSX: job.FormatXLSX,
		mediaNDJSON: job.FormatJSONL, "application/jsonl": job.FormatJSONL, "application/json-lines": job.FormatJSONL,
	}
}

// addImport answers POST /v1/imports: the body is kept, and a job is queued
// that reads it.
func (s *Server) addImport(c *gin.Context) error {
	ctx := c.Request.Context()
	if err := mayImport(ctx, ""); err != nil {
		return err
	}
	w := s.options.Work
	if w.Jobs == nil || w.Folder == nil {
		return errOff
	}
	kind := c.Query("kind")
	if kind != job.Conversations && kind != job.Cases {
		return problem(http.StatusBadRequest, "bad_parameter", "kind 只能是 cases 或 conversations")
	}
	if err := mayImport(ctx, kind); err != nil {
		return err
	}
	req := job.ImportRequest{Kind: kind}
	var err error
	if dry := c.Query("dry_run"); dry != "" {
		if req.DryRun, err = strconv.ParseBool(dry); err != nil {
			return problem(http.StatusBadRequest, "bad_parameter", "dry_run 只能是 true 或 false")
		}
	}
	if req.Format, req.Charset, err = uploadFormat(c, formats()); err != nil {
		return err
	}
	p := access.Of(ctx)
	if kind == job.Conversations {
		reach, err := s.reach(ctx)
		if err != nil {
			return err
		}
		if !reach.All {
			req.Team, req.Teams = p.Team, reach.Teams
		}
	} else {
		req.Team = p.Team
	}
	j, err := s.order(c, job.KindImport, func(u job.Upload) any {
		req.SHA = u.SHA
		return req
	})
	if err != nil {
		return err
	}
	out, err := importOf(&j)
	if err != nil {
		return err
	}
	c.Header("Location", "/v1/imports/"+j.ID)
	return reply(c, http.StatusAccepted, out)
}

// uploadFormat reads what the body is from its header and the parameter
// charset.
func uploadFormat(c *gin.Context, known map[string]string) (format, charset string, err error) {
	names := make([]string, 0, len(known))
	for m := range known {
		names = append(names, m)
	}
	slices.Sort(names)
	media, params, bad := mime.ParseMediaType(c.GetHeader("Content-Type"))
	format, ok := known[media]
	if bad != nil || !ok {
		c.Header("Accept", strings.Join(names, ", "))
		return "", "", problem(http.StatusUnsupportedMediaType, "unsupported_media_type", "请用 Content-Type: %s", strings.Join(names, " 或 "))
	}
	charset = strings.ToLower(c.Query("charset"))
	if charset == "" {
		charset = strings.ToLower(params["charset"])
	}
	if charset != "" && !transcript.KnownCharset(charset) {
		return "", "", problem(http.StatusUnsupportedMediaType, "unsupported_charset", "不支持这种字符集，可选 utf-8、gbk、gb18030、big5、utf-16")
	}
	return format, charset, nil
}

// order receives the body and queues the job that reads it. With an
// Idempotency-Key the job has a name of its own, so that it is ordered once.
func (s *Server) order(c *gin.Context, kind string, request func(job.Upload) any) (store.Job, error) {
	w, ctx := s.options.Work, c.Request.Context()
	gz := false
	switch e := strings.TrimSpace(c.GetHeader("Content-Encoding")); {
	case strings.EqualFold(e, "gzip"):
		gz = true
	case e != "" && !strings.EqualFold(e, "identity"):
		c.Header("Accept-Encoding", "gzip, identity")
		return store.Job{}, problem(http.StatusUnsupportedMediaType, "compressed_body", "只接受 gzip 压缩的文件")
	}
	if c.Request.ContentLength > job.MaxUpload {
		return store.Job{}, problem(http.StatusRequestEntityTooLarge, "upload_too_large", "文件超过 %d MiB，请拆成几个，或在命令行处理", job.MaxUpload>>20)
	}
	p := access.Of(ctx)
	id, once := qingting.NewID("jb"), c.GetHeader("Idempotency-Key")
	if once != "" {
		if len(once) > 255 || strings.ContainsFunc(once, func(r rune) bool { return r < '!' || r > '~' }) {
			return store.Job{}, problem(http.StatusBadRequest, "bad_idempotency_key", "Idempotency-Key 应当是 1 到 255 个可见的 ASCII 字符")
		}
		sum := sha256.Sum256([]byte(kind + "\x00" + string(p.Kind) + "\x00" + p.ID + "\x00" + once))
		id = "jb_" + hex.EncodeToString(sum[:16])
	}
	// The limits of ordinary requests are too short for what may come here.
	control := http.NewResponseController(c.Writer)
	for _, err := range []error{
		control.SetReadDeadline(time.Now().Add(uploadTimeout)), control.SetWriteDeadline(time.Now().Add(uploadTimeout + handlerTimeout)),
	} {
		if err != nil && !errorsUnsupported(err) {
			return store.Job{}, err
		}
	}
	// A repeated order is received beside the first one.
	at := id
	if once != "" {
		at = qingting.NewID("up")
	}
	u, err := w.Folder.Receive(p.Tenant, at, c.Request.Body, gz)
	if err != nil {
		return store.Job{}, uploadError(err)
	}
	if u.Size == 0 {
		w.Folder.Remove(p.Tenant, at)
		return store.Job{}, problem(http.StatusBadRequest, "empty_input", "文件是空的")
	}
	body, err := json.Marshal(request(u))
	if err != nil {
		return store.Job{}, err
	}
	if at != id {
		switch known, err := w.Jobs.Job(ctx, p.Tenant, id); {
		case err == nil:
			w.Folder.Remove(p.Tenant, at)
			if !bytes.Equal(known.Request, body) {
				return store.Job{}, problem(http.StatusUnprocessableEntity, "idempotency_mismatch", "这个 Idempotency-Key 已经用于另一个请求，请换一个")
			}
			return known, nil
		case !errors.Is(err, qingting.ErrNotFound):
			w.Folder.Remove(p.Tenant, at)
			return store.Job{}, err
		}
		if err := w.Folder.Rename(p.Tenant, at, id); err != nil {
			return store.Job{}, uploadError(err)
		}
	}
	j, err := w.Jobs.PutJob(ctx, store.Job{Tenant: p.Tenant, ID: id, Kind: kind, Request: body, By: p.ID})
	if err != nil {
		w.Folder.Remove(p.Tenant, id)
		return store.Job{}, err
	}
	s.wakeWorker()
	return j, nil
}

func (s *Server) wakeWorker() {
	if s.options.Work.Wake != nil {
		s.options.Work.Wake()
	}
}

func uploadError(err error) error {
	var in *qingting.InputError
	switch {
	case errors.As(err, &in), errors.Is(err, store.ErrUnavailable):
		return err
	case errors.Is(err, job.ErrTooMany):
		return problem(http.StatusTooManyRequests, "too_many_uploads", "还有 %d 个文件没有处理完，请等它们结束，或取消几个", job.MaxWaiting)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem(http.StatusRequestTimeout, "slow_body", "文件没有在 %d 分钟内收完，请检查网络后重发", int(uploadTimeout.Minutes()))
	case errors.Is(err, fs.ErrExist):
		return problem(http.StatusConflict, "in_flight", "同一个 Idempotency-Key 的请求正在处理，请稍后再查")
	}
	return problem(http.StatusBadRequest, "incomplete_body", "文件没有收完整，请重发")
}

// job is a job of a kind in the asker's tenant.
func (s *Server) job(ctx context.Context, kind, id string) (store.Job, error) {
	if s.options.Work.Jobs == nil {
		return store.Job{}, errOff
	}
	j, err := s.options.Work.Jobs.Job(ctx, access.Of(ctx).Tenant, id)
	if err == nil && j.Kind != kind {
		err = qingting.ErrNotFound
	}
	return j, err
}

// jobs is a page of jobs of a kind, each as show makes it; those for which it
// says no are left out.
func jobs[T any](ctx context.Context, s *Server, kind string, in Paged, show func(j *store.Job) (T, bool, error)) (*answer[page1[T]], error) {
	if s.options.Work.Jobs == nil {
		return nil, errOff
	}
	list, next, err := s.options.Work.Jobs.Jobs(ctx, access.Of(ctx).Tenant, kind, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(list))
	for i := range list {
		one, mine, err := show(&list[i])
		if err != nil {
			return nil, err
		}
		if mine {
			out = append(out, one)
		}
	}
	return turned(out, next, nil)
}

// importFor is an import that the asker may see: one of another team's key is
// not found.
func (s *Server) importFor(ctx context.Context, id string) (store.Job, error) {
	if err := mayImport(ctx, ""); err != nil {
		return store.Job{}, err
	}
	j, err := s.job(ctx, job.KindImport, id)
	if err != nil {
		return j, err
	}
	reach, err := s.reach(ctx)
	if err == nil && !reach.Sees(teamOf(&j)) {
		err = qingting.ErrNotFound
	}
	return j, err
}

func teamOf(j *store.Job) string {
	var req job.ImportRequest
	_ = json.Unmarshal(j.Request, &req) // it was written by us
	return req.Team
}

func (s *Server) listImports(ctx context.Context, in *struct{ Paged }) (*answer[page1[importJob]], error) {
	if err := mayImport(ctx, ""); err != nil {
		return nil, err
	}
	reach, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	return jobs(ctx, s, job.KindImport, in.Paged, func(j *store.Job) (importJob, bool, error) {
		if !reach.Sees(teamOf(j)) {
			return importJob{}, false, nil
		}
		out, err := importOf(j)
		return out, true, err
	})
}

func (s *Server) getImport(ctx context.Context, in *ByID) (*answer[importJob], error) {
	j, err := s.importFor(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out, err := importOf(&j)
	if err != nil {
		return nil, err
	}
	return ok(out)
}

func (s *Server) cancelImport(ctx context.Context, in *ByID) (*answer[importJob], error) {
	j, err := s.importFor(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var req job.ImportRequest
	if err := json.Unmarshal(j.Request, &req); err != nil {
		return nil, err
	}
	if err := mayImport(ctx, req.Kind); err != nil {
		return nil, err
	}
	if j.State != store.JobCancelled {
		if j, err = s.cancel(ctx, &j); err != nil {
			return nil, err
		}
	}
	out, err := importOf(&j)
	if err != nil {
		return nil, err
	}
	return ok(out)
}

// cancel ends a job and removes its upload; a runner that reads it has it open.
func (s *Server) cancel(ctx context.Context, j *store.Job) (store.Job, error) {
	w := s.options.Work
	if err := w.Jobs.CancelJob(ctx, j.Tenant, j.ID); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return store.Job{}, problem(http.StatusConflict, "wrong_state", "任务已经结束，不能取消")
		}
		return store.Job{}, err
	}
	if w.Folder != nil {
		w.Folder.Remove(j.Tenant, j.ID)
	}
	return w.Jobs.Job(ctx, j.Tenant, j.ID)
}

// importErrors answers GET /v1/imports/{id}/errors: a table that opens in any
// spreadsheet.
func (s *Server) importErrors(c *gin.Context) error {
	j, err := s.importFor(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if !ended(&j) {
		return problem(http.StatusConflict, "job_running", "导入还没有结束，结束后才有错误清单")
	}
	var got job.ImportResult
	if len(j.Result) > 0 {
		if err := json.Unmarshal(j.Result, &got); err != nil {
			return err
		}
	}
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Header("Content-Disposition", `attachment; filename="import-errors.csv"`)
	c.Status(http.StatusOK)
	writeFaults(c.Writer, &j, &got)
	return nil
}

// writeFaults writes errors as CSV with a byte order mark, without which Excel
// takes it for GBK.
func writeFaults(to io.Writer, j *store.Job, got *job.ImportResult) {
	_, _ = io.WriteString(to, "\uFEFF") // headers are out: an error now is a client that has gone
	w := csv.NewWriter(to)
	_ = w.Write([]string{"line", "column", "code", "message"})
	line := func(f job.Fault) {
		at := ""
		if f.Line > 0 {
			at = strconv.Itoa(f.Line)
		}
		_ = w.Write([]string{at, harmless(f.Column), harmless(f.Code), harmless(f.Message)})
	}
	if j.Error != "" {
		line(job.Fault{Code: "import_failed", Message: j.Error})
	}
	for _, f := range got.Errors {
		line(f)
	}
	if got.More > 0 {
		line(job.Fault{Code: "more", Message: "还有 " + strconv.Itoa(got.More) + " 处没有列出，请先改好上面的"})
	}
	w.Flush()
}

// harmless keeps a spreadsheet from taking a cell for a formula.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
		return "'" + cell
	}
	return cell
}
