package web

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/job"
	"github.com/qingting-ai/qingting/internal/store"
)

// evaluationSystems are the systems that can be evaluated here.
func evaluationSystems() []string { return []string{"full", "fast"} }

// evaluation is an evaluation run as people see it.
type evaluation struct {
	jobStanding
	Systems   []string        `json:"systems"`
	Rows      int             `json:"rows" doc:"带标注的会话数乘以系统数"`
	Metrics   json.RawMessage `json:"metrics,omitempty" doc:"和 qingting eval run 写的 metrics.json 相同；列表里没有"`
	ReportURL string          `json:"report_url"`
}

// evaluationShown is evaluation for the description.
type evaluationShown struct {
	jobStanding
	Systems   []string       `json:"systems"`
	Rows      int            `json:"rows"`
	Metrics   map[string]any `json:"metrics,omitempty"`
	ReportURL string         `json:"report_url"`
}

func evaluationOf(j *store.Job, metrics bool) (evaluation, error) {
	var req job.EvaluationRequest
	if err := json.Unmarshal(j.Request, &req); err != nil {
		return evaluation{}, err
	}
	out := evaluation{jobStanding: standing(j), Systems: req.Systems, Rows: j.Total, ReportURL: "/v1/evaluations/" + j.ID + "/report"}
	if metrics && len(j.Result) > 0 {
		out.Metrics = j.Result
	}
	return out, nil
}

// evaluationInput describes what addEvaluation reads by hand.
type evaluationInput struct {
	Systems string `query:"systems" default:"full,fast" doc:"full、fast 或两个"`
	Once    string `header:"Idempotency-Key" doc:"同一个值和同一个文件再来，得到同一个任务"`
	RawBody []byte `contentType:"application/x-ndjson"`
}

// addEvaluation answers POST /v1/evaluations: the body are labelled
// conversations, one a line.
func (s *Server) addEvaluation(c *gin.Context) error {
	w := s.options.Work
	if w.Jobs == nil || w.Folder == nil || w.Report == nil {
		return errOff
	}
	systems := evaluationSystems()
	if q := c.Query("systems"); q != "" {
		systems = strings.Split(q, ",")
		for i, name := range systems {
			if !slices.Contains(evaluationSystems(), name) || slices.Contains(systems[:i], name) {
				return problem(http.StatusBadRequest, "bad_parameter", "systems 只能是 full、fast，每个最多一次")
			}
		}
	}
	known := map[string]string{mediaNDJSON: job.FormatJSONL, "application/jsonl": job.FormatJSONL, "application/json-lines": job.FormatJSONL}
	_, charset, err := uploadFormat(c, known)
	if err != nil {
		return err
	}
	if charset != "" && charset != "utf-8" && charset != "utf8" {
		return problem(http.StatusUnsupportedMediaType, "unsupported_charset", "这个接口只接受 UTF-8")
	}
	j, err := s.order(c, job.KindEvaluation, func(u job.Upload) any {
		return job.EvaluationRequest{Systems: systems, SHA: u.SHA}
	})
	if err != nil {
		return err
	}
	out, err := evaluationOf(&j, true)
	if err != nil {
		return err
	}
	c.Header("Location", "/v1/evaluations/"+j.ID)
	return reply(c, http.StatusAccepted, out)
}

func (s *Server) listEvaluations(ctx context.Context, in *struct{ Paged }) (*answer[page1[evaluation]], error) {
	return jobs(ctx, s, job.KindEvaluation, in.Paged, func(j *store.Job) (evaluation, bool, error) {
		out, err := evaluationOf(j, false)
		return out, true, err
	})
}

func (s *Server) getEvaluation(ctx context.Context, in *ByID) (*answer[evaluation], error) {
	j, err := s.job(ctx, job.KindEvaluation, in.ID)
	if err != nil {
		return nil, err
	}
	out, err := evaluationOf(&j, true)
	if err != nil {
		return nil, err
	}
	return ok(out)
}

// evaluationReport answers GET /v1/evaluations/{id}/report. The page brings its
// own script and style; the sandbox keeps it from speaking for its reader.
func (s *Server) evaluationReport(c *gin.Context) error {
	j, err := s.job(c.Request.Context(), job.KindEvaluation, c.Param("id"))
	switch {
	case err != nil:
		return err
	case s.options.Work.Report == nil:
		return errOff
	case !ended(&j):
		return problem(http.StatusConflict, "job_running", "评测还没有结束，结束后才有报告")
	case j.State != store.JobDone:
		return problem(http.StatusConflict, "no_report", "这次评测没有做成，没有报告")
	}
	page, err := s.options.Work.Report(j.Tenant, j.ID)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, qingting.ErrNotFound) {
		return problem(http.StatusNotFound, "report_gone", "这次评测的文件已经不在了")
	}
	if err != nil {
		return err
	}
	c.Header("Content-Security-Policy", "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	c.Data(http.StatusOK, "text/html; charset=utf-8", page)
	return nil
}
