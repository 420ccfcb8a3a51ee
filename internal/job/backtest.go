package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/store"
)

// BacktestRequest asks what rules would have found in the conversations of a
// time.
type BacktestRequest struct {
	Rules string    `json:"rules"` // in the format of lexicon.Parse
	From  time.Time `json:"from"`  // of the latest change of a conversation, inclusive
	To    time.Time `json:"to"`    // exclusive; zero: until now
	Limit int       `json:"limit"` // conversations at most, latest first
}

// MaxBacktest is how many conversations a backtest reads at most.
const MaxBacktest = 10_000

// maxExamples is how many quotes are shown of a rule.
const maxExamples = 20

// Backtest is what came of it.
type Backtest struct {
	Conversations int            `json:"conversations"` // that were read
	Rules         []RuleBacktest `json:"rules"`         // in the order of the text
}

// RuleBacktest counts the conversations in which a rule counts, guards
// respected.
type RuleBacktest struct {
	ID         string    `json:"id"`
	Hits       int       `json:"conversations"`
	Guarded    int       `json:"guarded"` // in which every match was kept from counting
	Alerted    int       `json:"alerted"`
	High       int       `json:"high"`       // shown risk
	Complaints int       `json:"complaints"` // by the analysis
	Examples   []Example `json:"examples"`   // at most 20
}

// Example is a match with the words around it.
type Example struct {
	Conversation string `json:"conversation_id"`
	MessageID    string `json:"message_id"`
	Team         string `json:"team,omitempty"`
	Quote        string `json:"quote"`
	Around       string `json:"around"` // without personal data, as it is stored
}

// Archive is what a backtest reads; *store.Store is one.
type Archive interface {
	Conversations(ctx context.Context, tenant string, f store.ConversationFilter, cursor string, limit int) ([]qingting.Conversation, string, error)
	Messages(ctx context.Context, key qingting.Key) ([]qingting.StoredMessage, error)
	Alerts(ctx context.Context, tenant string, f store.AlertFilter, cursor string, limit int) ([]qingting.Alert, string, error)
}

// Backtester does backtests.
type Backtester struct {
	Archive Archive
	Cleaner qingting.Cleaner
}

// Run is the Runner of backtests. It writes nothing.
func (b *Backtester) Run(ctx context.Context, r *Run) ([]byte, error) {
	var req BacktestRequest
	j := r.Job()
	if err := json.Unmarshal(j.Request, &req); err != nil {
		return nil, fmt.Errorf("read the request of job %s: %w", j.ID, err)
	}
	rules, err := lexicon.Only(req.Rules)
	if err != nil {
		return nil, &Failure{err.Error()}
	}
	out := Backtest{Rules: []RuleBacktest{}}
	for _, rule := range rules.Rules() {
		out.Rules = append(out.Rules, RuleBacktest{ID: rule.ID, Examples: []Example{}})
	}
	limit := min(max(req.Limit, 1), MaxBacktest)
	f := store.ConversationFilter{From: req.From, To: req.To}
	for cursor := ""; out.Conversations < limit; {
		page, next, err := b.Archive.Conversations(ctx, j.Tenant, f, cursor, min(200, limit-out.Conversations))
		if err != nil {
			return nil, err
		}
		for i := range page {
			if err := b.read(ctx, j.Tenant, rules, &page[i], &out); err != nil {
				return nil, err
			}
			out.Conversations++
			r.Report(limit, out.Conversations, 0)
		}
		if cursor = next; next == "" || len(page) == 0 {
			break
		}
	}
	r.Report(out.Conversations, out.Conversations, 0)
	return json.Marshal(out)
}

func (b *Backtester) read(ctx context.Context, tenant string, rules *lexicon.Lexicon, c *qingting.Conversation, out *Backtest) error {
	messages, err := b.Archive.Messages(ctx, qingting.Key{Tenant: tenant, ID: c.ID})
	if err != nil {
		return err
	}
	plain := make([]qingting.Message, len(messages))
	for i := range messages {
		plain[i] = messages[i].Message
	}
	hits := Match(rules, b.Cleaner, plain)
	if len(hits) == 0 {
		return nil
	}
	alerts, _, err := b.Archive.Alerts(ctx, tenant, store.AlertFilter{Conversation: c.ID}, "", 1)
	if err != nil {
		return err
	}
	for i := range out.Rules {
		rule, counts, guarded := &out.Rules[i], false, false
		for _, h := range hits {
			switch {
			case h.Rule != rule.ID:
			case h.Guard != qingting.GuardNone:
				guarded = true
			case !counts:
				counts = true
				if len(rule.Examples) < maxExamples {
					rule.Examples = append(rule.Examples, Example{
						Conversation: c.ID, MessageID: h.MessageID, Team: c.Team, Quote: h.Quote, Around: around(plain[h.Message].Text, h.Start, h.End),
					})
				}
			}
		}
		switch {
		case counts:
			rule.Hits++
			if len(alerts) > 0 {
				rule.Alerted++
			}
			if c.Overview.Risk == qingting.RiskHigh {
				rule.High++
			}
			if c.Overview.Kind == qingting.KindComplaint {
				rule.Complaints++
			}
		case guarded:
			rule.Guarded++
		}
	}
	return nil
}

// besides is how many characters are shown on either side of a match.
const besides = 20

func around(text string, start, end int) string {
	r := []rune(text)
	return string(r[max(0, start-besides):min(len(r), end+besides)])
}

// RuleHit is a match of a rule in a text, with its place in it.
type RuleHit struct {
	Rule   string         `json:"rule"`
	Field  qingting.Field `json:"field"`
	Code   string         `json:"code"`
	Guard  qingting.Guard `json:"guard,omitempty"` // not empty: it matched, but does not count
	Weight float64        `json:"weight"`
	qingting.Span
}

// Match returns the matches of rules in messages, by (message, start, rule).
// Spans count code points of the messages' texts.
func Match(rules *lexicon.Lexicon, cleaner qingting.Cleaner, messages []qingting.Message) []RuleHit {
	prepared := make([]*qingting.Prepared, len(messages))
	for i, m := range messages {
		clean, from, to := cleaner.Clean(m.Text)
		prepared[i] = &qingting.Prepared{Message: m, Clean: clean, From: from, To: to}
	}
	var out []RuleHit
	for _, h := range rules.Match(&qingting.Document{Messages: prepared, Mode: qingting.ModeFast}) {
		p := prepared[h.Message]
		start, end := int(p.From[h.Start]), int(p.To[h.End-1])
		out = append(out, RuleHit{
			Rule: h.Rule, Field: h.Field, Code: h.Code, Guard: h.Guard, Weight: h.Weight,
			Span: qingting.Span{Message: h.Message, MessageID: p.ID, Start: start, End: end, Quote: string([]rune(p.Text)[start:end])},
		})
	}
	slices.SortStableFunc(out, func(a, b RuleHit) int {
		if a.Message != b.Message {
			return a.Message - b.Message
		}
		return a.Start - b.Start
	})
	return out
}
