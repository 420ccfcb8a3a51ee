package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/job"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/store"
)

// Limits of rules that are tried.
const (
	maxRuleText   = 16 << 10 // bytes
	maxRules      = 50
	maxRuleTexts  = 100
	maxRulesRunes = MaxAnalyzeRunes // of all texts together
)

// ruleShown is a rule of the lexicon.
type ruleShown struct {
	ID      string           `json:"id"`
	Field   qingting.Field   `json:"field"`
	Code    string           `json:"code"`
	Label   string           `json:"label"`
	Pattern rulePattern      `json:"pattern"`
	Weight  float64          `json:"weight" doc:"0 到 1，命中后果真如此的比例"`
	Certain bool             `json:"certain" doc:"不经模型就算数"`
	Role    qingting.Role    `json:"role"`
	Guards  []qingting.Guard `json:"guards"`
}

type rulePattern struct {
	Words    []string `json:"words"`
	Exprs    []string `json:"exprs"`
	ButWords []string `json:"but_words" doc:"碰到它们就不算"`
	ButExprs []string `json:"but_exprs"`
	Whole    bool     `json:"whole" doc:"表达式按整条消息，而不是按句匹配"`
	Last     bool     `json:"last" doc:"只看这一方的最后一条消息"`
}

// lexiconShown is the whole lexicon.
type lexiconShown struct {
	ID    string      `json:"id"`
	Rules []ruleShown `json:"rules"`
}

// getLexicon answers GET /v1/lexicon. The rules are those of the program: rules
// of a tenant can be tried, but not put into force yet.
func (s *Server) getLexicon(_ context.Context, in *struct {
	Field qingting.Field `query:"field" maxLength:"32" doc:"只要这个字段的规则，如 signal"`
},
) (*answer[lexiconShown], error) {
	l := s.options.Work.Lexicon
	if l == nil {
		return nil, errOff
	}
	out := lexiconShown{ID: l.ID(), Rules: []ruleShown{}}
	for _, r := range l.Rules() {
		if in.Field != "" && r.Field != in.Field {
			continue
		}
		one := ruleShown{
			ID: r.ID, Field: r.Field, Code: r.Code, Label: qingting.Label(r.Code), Weight: r.Weight, Certain: r.Certain, Role: r.Role, Guards: r.Guards,
			Pattern: rulePattern{Words: r.Words, Exprs: r.Exprs, ButWords: r.ButWords, ButExprs: r.ButExprs, Whole: r.Whole, Last: r.Last},
		}
		noNil(&one)
		noNil(&one.Pattern)
		out.Rules = append(out.Rules, one)
	}
	return ok(out)
}

// tried are rules somebody wants to try.
func tried(text string) (*lexicon.Lexicon, error) {
	if len(text) > maxRuleText || !utf8.ValidString(text) {
		return nil, problem(http.StatusUnprocessableEntity, "bad_rules", "规则最多 %d KiB", maxRuleText>>10)
	}
	l, err := lexicon.Only(text)
	var at *lexicon.LineError
	if errors.As(err, &at) {
		p := problem(http.StatusUnprocessableEntity, "bad_rules", "规则第 %d 行：%s", at.Line, at.Message)
		p.Pointer, p.Line = "rules", at.Line
		return nil, p
	}
	if err != nil {
		return nil, err
	}
	switch n := len(l.Rules()); {
	case n == 0:
		return nil, problem(http.StatusUnprocessableEntity, "bad_rules", "没有规则：先写一行 field.code.name certain 或 hint，下面缩进写词")
	case n > maxRules:
		return nil, problem(http.StatusUnprocessableEntity, "bad_rules", "一次最多试 %d 条规则", maxRules)
	}
	return l, nil
}

// previewed is what rules find in one text.
type previewed struct {
	Hits []job.RuleHit `json:"hits" doc:"start、end 是 text 的字符下标；guard 不空的命中了但不算数"`
}

// previewLexicon answers POST /v1/lexicon/preview.
func (s *Server) previewLexicon(_ context.Context, in *struct {
	Body struct {
		Rules string        `json:"rules" required:"true" doc:"规则文本，写法和内置的 rules 文件相同"`
		Texts []string      `json:"texts" required:"true" minItems:"1" maxItems:"100"`
		Role  qingting.Role `json:"role" enum:"customer,agent" doc:"这些话是谁说的，默认 customer"`
	}
},
) (*answer[list[previewed]], error) {
	if s.options.Work.Cleaner == nil {
		return nil, errOff
	}
	rules, err := tried(in.Body.Rules)
	if err != nil {
		return nil, err
	}
	role, all := in.Body.Role, 0
	if role == "" {
		role = qingting.RoleCustomer
	}
	out := make([]previewed, len(in.Body.Texts))
	for i, text := range in.Body.Texts {
		n := utf8.RuneCountInString(text)
		if all += n; n > qingting.MaxMessageRunes || all > maxRulesRunes {
			p := problem(http.StatusUnprocessableEntity, "bad_text", "一句最多 %d 个字，全部最多 %d 个字", qingting.MaxMessageRunes, maxRulesRunes)
			p.Pointer = "texts"
			return nil, p
		}
		out[i].Hits = job.Match(rules, s.options.Work.Cleaner, []qingting.Message{{Role: role, Text: text}})
		noNil(&out[i])
	}
	return ok(list[previewed]{out})
}

// backtestJob is a backtest as people see it.
type backtestJob struct {
	jobStanding
	Result *job.Backtest `json:"result" doc:"结束前是 null"`
	Hidden bool          `json:"examples_hidden" doc:"您不能看会话，所以没有例句"`
}

// addBacktest answers POST /v1/lexicon/backtest.
func (s *Server) addBacktest(ctx context.Context, in *struct {
	Body struct {
		Rules string    `json:"rules" required:"true"`
		From  time.Time `json:"from" doc:"会话最近变动的时间，不早于；不填是 30 天前"`
		To    time.Time `json:"to" doc:"早于；不填是现在"`
		Limit int       `json:"limit" minimum:"0" maximum:"10000" doc:"最多读几个会话，从新到旧；默认 1000"`
	}
},
) (*answer[backtestJob], error) {
	if s.options.Work.Jobs == nil {
		return nil, errOff
	}
	b := &in.Body
	if _, err := tried(b.Rules); err != nil {
		return nil, err
	}
	if b.Limit == 0 {
		b.Limit = 1000
	}
	if b.To.IsZero() {
		b.To = time.Now()
	}
	if b.From.IsZero() {
		b.From = b.To.AddDate(0, 0, -30)
	}
	if !b.From.Before(b.To) {
		return nil, problem(http.StatusUnprocessableEntity, "bad_period", "from 要早于 to")
	}
	request, err := json.Marshal(job.BacktestRequest{Rules: b.Rules, From: b.From.UTC(), To: b.To.UTC(), Limit: b.Limit})
	if err != nil {
		return nil, err
	}
	p := access.Of(ctx)
	j, err := s.options.Work.Jobs.PutJob(ctx, store.Job{Tenant: p.Tenant, Kind: job.KindBacktest, Request: request, By: p.ID})
	if err != nil {
		return nil, err
	}
	s.wakeWorker()
	return &answer[backtestJob]{http.StatusAccepted, backtestJob{jobStanding: standing(&j)}}, nil
}

// getBacktest answers GET /v1/lexicon/backtests/{id}. Quotes are of
// conversations, and shown to those who may see them.
func (s *Server) getBacktest(ctx context.Context, in *ByID) (*answer[backtestJob], error) {
	j, err := s.job(ctx, job.KindBacktest, in.ID)
	if err != nil {
		return nil, err
	}
	out := backtestJob{jobStanding: standing(&j)}
	if j.State != store.JobDone {
		return ok(out)
	}
	out.Result = &job.Backtest{}
	if err := json.Unmarshal(j.Result, out.Result); err != nil {
		return nil, err
	}
	reach, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	out.Hidden = !access.Of(ctx).May(access.ReadTalk)
	for i := range out.Result.Rules {
		r := &out.Result.Rules[i]
		seen := []job.Example{}
		for _, e := range r.Examples {
			if !out.Hidden && reach.Sees(e.Team) {
				seen = append(seen, e)
			}
		}
		r.Examples = seen
	}
	return ok(out)
}
