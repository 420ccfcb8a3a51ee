package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/transcript"
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
	read, err := readConversation(c, transcript.FormatText)
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
	analyzer, err := s.analyzerOf(c.Request.Context())
	if err != nil {
		return err
	}
	a, err := s.run(c.Request.Context(), analyzer, t, mode)
	if err != nil {
		return err
	}
	return reply(c, http.StatusOK, a)
}

// analyzerOf is the pipeline of whoever asks, with his tenant's cases.
func (s *Server) analyzerOf(ctx context.Context) (Analyzer, error) {
	switch tenant := access.Of(ctx).Tenant; {
	case tenant == "" || tenant == qingting.DefaultTenant:
		return s.analyzer, nil
	case s.options.TenantAnalyzer == nil:
		return nil, errOff
	default:
		return s.options.TenantAnalyzer(tenant)
	}
}

// readConversation reads the one conversation of a request. text is the format of
// text/plain.
func readConversation(c *gin.Context, text transcript.Format) (transcript.Record, error) {
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

// analyzeInput and readInput describe what is read by hand.
type analyzeInput struct {
	Mode string `query:"mode" enum:"full,fast"`
	Body qingting.Transcript
}

type readInput struct{ Body qingting.Transcript }

type readOutput struct {
	qingting.Transcript
	Note string `json:"note,omitempty"`
}

// ingestedOutput is ingested with the analysis spelt out.
type ingestedOutput struct {
	Conversation   qingting.Conversation `json:"conversation" doc:"没有它的是 202：只有未说完的话（is_final 为 false），会话还不存在"`
	Results        []live.Result         `json:"results" doc:"和 messages 一一对应：created、duplicate 或 partial"`
	AnalysisStatus string                `json:"analysis_status,omitempty" enum:"done,pending,failed" doc:"wait=analysis 时才有"`
	Analysis       *qingting.Analysis    `json:"analysis,omitempty"`
}

// readTranscript answers POST /v1/transcripts/read: the conversation of the
// body in the form that /v1/analyze takes, so that whoever pastes a chat can
// show the messages that the spans of the analysis count in. note, a Chinese
// sentence, is there when how the text was read needs a look: nobody is named
// in it, so that everything is taken for the customer's words.
func (s *Server) readTranscript(c *gin.Context) error {
	read, err := readConversation(c, transcript.FormatAuto)
	if err != nil {
		return err
	}
	return reply(c, http.StatusOK, readOutput{read.Transcript, read.Note})
}

// run analyses when it is the request's turn. It answers in time even when
// the analysis does not; the slot stays taken until that has really ended.
func (s *Server) run(ctx context.Context, analyzer Analyzer, t qingting.Transcript, mode qingting.Mode) (*qingting.Analysis, error) {
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
		a, err := analyzer.Analyze(ctx, t, mode)
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

// taxonomyOutput is every code with its name.
type taxonomyOutput struct {
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
}

// taxonomy answers GET /v1/taxonomy.
func (s *Server) taxonomy(c *gin.Context) error {
	return reply(c, http.StatusOK, taxonomyOutput{
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

// health and readiness are what the two say.
type health struct {
	Status string `json:"status"`
}

type readiness struct {
	Status     string        `json:"status"`
	Mode       qingting.Mode `json:"mode"`
	Components []Component   `json:"components"`
}

// healthz says that the process answers.
func (s *Server) healthz(c *gin.Context) error {
	return reply(c, http.StatusOK, health{"ok"})
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
	return reply(c, http.StatusOK, readiness{"ready", s.options.Mode, parts})
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
