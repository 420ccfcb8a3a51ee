package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/transcript"
	"github.com/qingting-ai/qingting/retrieval"
)

func mediaType(header string, accepted []string) (media, charset string, ok bool) {
	media, params, err := mime.ParseMediaType(header)
	if err != nil || !slices.Contains(accepted, media) {
		return "", "", false
	}
	charset = strings.ToLower(params["charset"])
	if charset == "" {
		charset = "utf-8"
	}
	return media, charset, true
}

// analyze answers POST /v1/analyze: one conversation, as JSON or as text with
// 客户：/客服： lines.
func (s *Server) analyze(c *gin.Context) error {
	mode := s.options.Mode
	if q := c.Query("mode"); q != "" {
		mode = qingting.Mode(q)
		if mode != qingting.ModeFull && mode != qingting.ModeFast {
			return problem(http.StatusBadRequest, "bad_parameter", "mode 只能是 full 或 fast")
		}
	}
	read, err := conversation(c, transcript.FormatText)
	if err != nil {
		return err
	}
	t := read.Transcript
	runes := 0
	for i := range t.Messages {
		runes += utf8.RuneCountInString(t.Messages[i].Text)
	}
	if runes > MaxAnalyzeRunes {
		return problem(http.StatusRequestEntityTooLarge, "transcript_too_long", "会话共 %d 个字，这个接口一次最多分析 %d 个字；更长的会话请用 qingting triage 在命令行处理", runes, MaxAnalyzeRunes)
	}
	a, err := s.run(c.Request.Context(), t, mode)
	if err != nil {
		return err
	}
	return reply(c, http.StatusOK, a)
}

// conversation reads the one conversation of a request. text is the format of
// text/plain.
func conversation(c *gin.Context, text transcript.Format) (transcript.Record, error) {
	data, media, charset, err := body(c, "application/json", "text/plain")
	if err != nil {
		return transcript.Record{}, err
	}
	format := transcript.FormatJSON
	if media == "text/plain" {
		format = text
	}
	return transcript.OneRecord(bytes.NewReader(data), transcript.Options{Format: format, Charset: charset})
}

// readTranscript answers POST /v1/transcripts/read: the conversation of the
// body in the form that /v1/analyze takes, so that whoever pastes a chat can
// show the messages that the spans of the analysis count in. note, a Chinese
// sentence, is there when how the text was read needs a look: nobody is named
// in it, so that everything is taken for the customer's words.
func (s *Server) readTranscript(c *gin.Context) error {
	read, err := conversation(c, transcript.FormatAuto)
	if err != nil {
		return err
	}
	return reply(c, http.StatusOK, struct {
		qingting.Transcript
		Note string `json:"note,omitempty"`
	}{read.Transcript, read.Note})
}

// run analyses when it is the request's turn. It answers in time even when
// the analysis does not; the slot stays taken until that has really ended.
func (s *Server) run(ctx context.Context, t qingting.Transcript, mode qingting.Mode) (*qingting.Analysis, error) {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	select {
	case s.slots <- struct{}{}:
	default:
		if s.waiting.Add(1) > int64(s.options.Queue) {
			s.waiting.Add(-1)
			cancel()
			return nil, errBusy
		}
		select {
		case s.slots <- struct{}{}:
			s.waiting.Add(-1)
		case <-ctx.Done():
			s.waiting.Add(-1)
			cancel()
			return nil, ctx.Err()
		}
	}
	type answer struct {
		analysis *qingting.Analysis
		err      error
	}
	done := make(chan answer, 1)
	go func() {
		defer cancel()
		defer func() { <-s.slots }()
		defer func() {
			if r := recover(); r != nil {
				s.log.Error("分析时出错", "panic", panicKind(r), "at", panicPlace())
				done <- answer{err: errInternal}
			}
		}()
		a, err := s.analyzer.Analyze(ctx, t, mode)
		done <- answer{a, err}
	}()
	select {
	case out := <-done:
		return out.analysis, out.err
	case <-ctx.Done():
		// Both may be ready: an answer is better than none.
		select {
		case out := <-done:
			return out.analysis, out.err
		default:
			return nil, ctx.Err()
		}
	}
}

// code is a label with its Chinese name.
type code struct {
	Code  string `json:"code"`
	Label string `json:"label"`
}

func codesOf[L ~string](list []L) []code {
	out := make([]code, len(list))
	for i, l := range list {
		out[i] = code{string(l), qingting.Label(string(l))}
	}
	return out
}

// taxonomy answers GET /v1/taxonomy.
func (s *Server) taxonomy(c *gin.Context) error {
	return reply(c, http.StatusOK, struct {
		Taxonomy       string `json:"taxonomy"`
		Kinds          []code `json:"kinds"`
		Types          []code `json:"types"`
		Emotions       []code `json:"emotions"`
		Trends         []code `json:"trends"`
		RiskLevels     []code `json:"risk_levels"`
		Signals        []code `json:"signals"`
		Claims         []code `json:"claims"`
		Styles         []code `json:"styles"`
		Outcomes       []code `json:"outcomes"`
		Priorities     []code `json:"priorities"`
		Routes         []code `json:"routes"`
		Responsibility []code `json:"responsibilities"`
		Expectations   []code `json:"expectations"`
		Slots          []code `json:"slots"`
		Remedies       []code `json:"remedies"`
		CaseOutcomes   []code `json:"case_outcomes"`
	}{
		qingting.TaxonomyVersion, codesOf(qingting.Kinds()), codesOf(qingting.Types()), codesOf(qingting.Emotions()),
		codesOf([]qingting.Trend{qingting.TrendRising, qingting.TrendSteady, qingting.TrendFalling, qingting.TrendUnknown}),
		codesOf(qingting.RiskLevels()), codesOf(qingting.Signals()), codesOf(qingting.Claims()), codesOf(qingting.Styles()), codesOf(qingting.Outcomes()),
		codesOf([]qingting.Priority{qingting.PriorityP0, qingting.PriorityP1, qingting.PriorityP2, qingting.PriorityP3}),
		codesOf([]qingting.Route{qingting.RouteCompliance, qingting.RouteRecall, qingting.RouteInvestigation}),
		codesOf([]qingting.Responsibility{qingting.ResponsibilityCompany, qingting.ResponsibilityExternal, qingting.ResponsibilityUnclear}),
		codesOf([]qingting.ExpectationCode{qingting.ExpectCompensate, qingting.ExpectExpedite}),
		codesOf([]qingting.SlotKind{
			qingting.SlotOrderNumber, qingting.SlotPhone, qingting.SlotAmount, qingting.SlotDate, qingting.SlotProduct, qingting.SlotIDCard,
			qingting.SlotBankCard, qingting.SlotPlate, qingting.SlotEmail, qingting.SlotAddress, qingting.SlotName,
		}),
		codesOf([]qingting.RemedyCode{
			qingting.RemedyRefund, qingting.RemedyExchange, qingting.RemedyResend, qingting.RemedyRepair, qingting.RemedyCompensate, qingting.RemedyCoupon,
			qingting.RemedyExplain, qingting.RemedyExpedite, qingting.RemedyCallback, qingting.RemedyCancel, qingting.RemedyApology, qingting.RemedyTransfer,
		}),
		codesOf([]qingting.CaseOutcome{qingting.CaseResolved, qingting.CaseFailed}),
	})
}

// Pages of the case list.
const (
	defaultPage = 50
	maxPage     = 200
	maxMatches  = 20
)

func number(c *gin.Context, name string, otherwise, low, high int) (int, error) {
	s := c.Query(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, problem(http.StatusBadRequest, "bad_parameter", "%s 应当是 %d 到 %d 的整数", name, low, high)
	}
	return n, nil
}

func checkFilter(f qingting.CaseFilter) error {
	for _, t := range f.Types {
		if !slices.Contains(qingting.Types(), t) {
			return problem(http.StatusBadRequest, "bad_parameter", "不认识的投诉类型，可用的代码见 /v1/taxonomy")
		}
	}
	for _, o := range f.Outcomes {
		if o != qingting.CaseResolved && o != qingting.CaseFailed {
			return problem(http.StatusBadRequest, "bad_parameter", "案例结果只能是 resolved 或 failed")
		}
	}
	return nil
}

// listCases answers GET /v1/cases?type=&outcome=&industry=&product=&offset=&limit=.
func (s *Server) listCases(c *gin.Context) error {
	offset, err := number(c, "offset", 0, 0, 100_000_000)
	if err != nil {
		return err
	}
	limit, err := number(c, "limit", defaultPage, 1, maxPage)
	if err != nil {
		return err
	}
	f := qingting.CaseFilter{Industry: c.Query("industry"), Product: c.Query("product")}
	for _, t := range c.QueryArray("type") {
		f.Types = append(f.Types, qingting.Type(t))
	}
	for _, o := range c.QueryArray("outcome") {
		f.Outcomes = append(f.Outcomes, qingting.CaseOutcome(o))
	}
	if err := checkFilter(f); err != nil {
		return err
	}
	list, total := s.cases.List(f, offset, limit)
	if list == nil {
		list = []qingting.Case{}
	}
	return reply(c, http.StatusOK, struct {
		Total  int             `json:"total"`
		Offset int             `json:"offset"`
		Limit  int             `json:"limit"`
		Cases  []qingting.Case `json:"cases"`
	}{total, offset, limit, list})
}

// getCase answers GET /v1/cases/{id}.
func (s *Server) getCase(c *gin.Context) error {
	found, err := s.cases.Get(c.Param("id"))
	if err != nil {
		return err
	}
	return reply(c, http.StatusOK, found)
}

// searchCases answers POST /v1/cases/search.
func (s *Server) searchCases(c *gin.Context) error {
	data, _, charset, err := body(c, "application/json")
	if err != nil {
		return err
	}
	if charset != "utf-8" && charset != "utf8" {
		return problem(http.StatusUnsupportedMediaType, "unsupported_charset", "这个接口只接受 UTF-8")
	}
	if err := transcript.CheckJSON(data); err != nil {
		return err
	}
	var q struct {
		Query  string              `json:"query"`
		Limit  int                 `json:"limit"`
		Filter qingting.CaseFilter `json:"filter"`
	}
	if err := json.Unmarshal(data, &q); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return problem(http.StatusUnprocessableEntity, "wrong_type", "字段 %s 的类型不对", wrong.Field)
		}
		return problem(http.StatusUnprocessableEntity, "wrong_type", "字段的写法不对，时间请用 RFC 3339")
	}
	if n := utf8.RuneCountInString(q.Query); strings.TrimSpace(q.Query) == "" || n > qingting.MaxMessageRunes {
		return problem(http.StatusUnprocessableEntity, "bad_query", "query 应当有 1 到 %d 个字", qingting.MaxMessageRunes)
	}
	if q.Limit < 0 || q.Limit > maxMatches {
		return problem(http.StatusUnprocessableEntity, "bad_parameter", "limit 应当是 1 到 %d 的整数", maxMatches)
	}
	if err := checkFilter(q.Filter); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), handlerTimeout)
	defer cancel()
	matches, err := s.cases.SearchText(ctx, q.Query, q.Filter, q.Limit)
	if err != nil {
		return err
	}
	status := qingting.RetrievalNoReliableCase
	if len(matches) > 0 && matches[0].Score >= retrieval.Reliable {
		status = qingting.RetrievalOK
	}
	if matches == nil {
		matches = []qingting.Match{}
	}
	return reply(c, http.StatusOK, struct {
		Status qingting.RetrievalStatus `json:"status"`
		Cases  []qingting.Match         `json:"cases"`
	}{status, matches})
}

// healthz says that the process answers.
func (s *Server) healthz(c *gin.Context) error {
	return reply(c, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// readyz says whether new work should come here, and what works.
func (s *Server) readyz(c *gin.Context) error {
	if s.draining.Load() {
		return problem(http.StatusServiceUnavailable, "draining", "服务正在停止")
	}
	parts := []Component{}
	if s.options.Components != nil {
		parts = s.options.Components()
	}
	return reply(c, http.StatusOK, struct {
		Status     string        `json:"status"`
		Mode       qingting.Mode `json:"mode"`
		Components []Component   `json:"components"`
	}{"ready", s.options.Mode, parts})
}

// asset serves one embedded file. Browsers ask whether it has changed.
func (s *Server) asset(name, media string) handler {
	data, err := page.ReadFile(name)
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(c *gin.Context) error {
		if err != nil {
			return errInternal // cannot happen: the file is embedded
		}
		c.Header("Cache-Control", "no-cache")
		c.Header("ETag", tag)
		if c.GetHeader("If-None-Match") == tag {
			c.Status(http.StatusNotModified)
			return nil
		}
		c.Data(http.StatusOK, media, data)
		return nil
	}
}
