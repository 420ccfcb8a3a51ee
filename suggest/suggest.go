// Package suggest drafts replies for an agent to send or change: the
// structure 听→问→应→解→谢 of the product description, filled from the words of
// the conversation, the policy and the matched past cases, in a rational and
// an emotional style at once. It never promises what the policy does not
// allow, never echoes personal data in full, and drops a draft rather than
// show one that its own lint would refuse.
package suggest

import (
	"context"
	"errors"
	"time"

	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/suggest/lint"
	"github.com/qingting-ai/qingting/suggest/policy"
)

// Options tune a Suggester; the zero value is ready to use.
type Options struct {
	Now func() time.Time // nil: time.Now
	// Location is where deadlines are spoken of; nil: UTC+8.
	Location *time.Location
}

// Suggester drafts replies from a policy. It holds no state between calls
// and may be used concurrently.
type Suggester struct {
	policy    policy.Policy
	now       func() time.Time
	linter    *lint.Linter
	authority lint.Authority
	tables    *tables
	prefer    trie // words of the policy's preferences
	preferred []qingting.RemedyCode
	asks      trie
	sent      trie
}

// New checks the policy and compiles the tables.
func New(p policy.Policy, o Options) (*Suggester, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Location == nil {
		o.Location = time.FixedZone("UTC+8", 8*60*60)
	}
	var banned []lint.Phrase
	for _, f := range p.Forbidden {
		banned = append(banned, lint.Phrase{Text: f.Text, Rewrite: f.Rewrite, Reason: f.Reason})
	}
	linter, err := lint.New(banned...)
	if err != nil {
		return nil, err
	}
	tables, err := loadTables()
	if err != nil {
		return nil, err
	}
	s := &Suggester{
		policy: p, linter: linter, tables: tables,
		now:       func() time.Time { return o.Now().In(o.Location) },
		authority: lint.Authority{Compensate: p.Authority.Compensate, Coupon: p.Authority.Coupon, Refund: p.Authority.Refund},
	}
	for _, f := range p.Preferences {
		for _, w := range f.Words {
			s.prefer.add(w, len(s.preferred))
			s.preferred = append(s.preferred, f.Remedy)
		}
	}
	for i, a := range askKinds {
		s.asks.add(a.word, i)
	}
	for i, w := range sentWords {
		s.sent.add(w, i)
	}
	return s, nil
}

// Check holds a text that an agent typed against the lint rules, with the
// policy's forbidden phrases and limits of authority.
func (s *Suggester) Check(text string, c lint.Context) []lint.Finding {
	authority := s.authority
	c.Authority = &authority
	return s.linter.Check(text, c)
}

// Suggest implements qingting.Suggester: at most one draft a style, the one
// that fits the customer first. There is none where the customer has said
// nothing; it is an error when none of them keeps the rules.
func (s *Suggester) Suggest(ctx context.Context, doc *qingting.Document, a *qingting.Analysis) ([]qingting.Suggestion, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if doc.LastCustomer() < 0 {
		return nil, nil
	}
	m := s.understand(doc, a)
	if m.said == 0 {
		return nil, nil
	}
	styles := [2]qingting.Style{qingting.StyleRational, qingting.StyleEmotional}
	if defaultStyle(a) == qingting.StyleEmotional {
		styles[0], styles[1] = styles[1], styles[0]
	}
	plan := s.plan(a, &m)
	seed := seedOf(doc)
	var out []qingting.Suggestion
	for _, style := range styles {
		g, ok := s.draft(a, &m, &plan, style, seed)
		if ok && (len(out) == 0 || out[0].Text != g.Text) {
			g.Default = len(out) == 0
			out = append(out, g)
		}
	}
	if len(out) == 0 {
		return nil, errNoDraft // silence would look like nothing to say
	}
	return out, nil
}

// errNoDraft says that every draft broke a rule of the lint.
var errNoDraft = errors.New("no draft passed the lint")

// defaultStyle is the style to show first. A mixed customer is answered by
// how she feels: clear anger, disappointment or worry wants to be heard first.
func defaultStyle(a *qingting.Analysis) qingting.Style {
	switch a.Style.Code {
	case qingting.StyleRational, qingting.StyleEmotional:
		return a.Style.Code
	}
	switch a.Emotion.Code {
	case qingting.EmotionAngry, qingting.EmotionDisappointed, qingting.EmotionAnxious:
		if a.Emotion.Intensity >= 2 {
			return qingting.StyleEmotional
		}
	}
	return qingting.StyleRational
}
