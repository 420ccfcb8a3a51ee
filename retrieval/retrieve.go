package retrieval

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
)

const (
	// maxShown is how many cases an agent sees: more is a list, not an answer.
	maxShown = 3
	// Reliable is the probability from which a case is shown unasked. On the
	// tune half of starter/queries.jsonl (five-fold, hybrid) 0.4, 0.5 and 0.6
	// give a precision of what is shown of 0.84, 0.86 and 0.94, answer 78, 70
	// and 67 % of the queries that have a case, and 8, 8 and 4 % of those that
	// have none. 0.5 also reads as what it is: more likely than not.
	Reliable = 0.5
	// reliableWarning is the same for the failed look-alike: a wrong warning
	// costs as much trust as a wrong answer.
	reliableWarning = Reliable
	// evidenceWeight favours sentences in which a complaint was recognised;
	// chosen by reading, as no written query has several sentences.
	evidenceWeight = 2
	// minShare leaves out sentences and messages that carry less than this
	// share of what the most telling one does: 你好, 在吗, 快点. By reading too.
	minShare = 0.2
)

// question is what a search is about.
type question struct {
	terms    []string
	vector   qingting.Vector
	primary  qingting.Type // "" when unknown
	types    []qingting.TypeScore
	claims   []qingting.Claim
	style    qingting.Style // "" when unknown
	products []string
	industry string // "" when unknown
}

// Retrieve finds resolved cases about the problem of a document and one
// failed look-alike. What is no complaint or inquiry has no problem to look
// for: the answer is no_reliable_case, as it is below Reliable.
func (l *Library) Retrieve(ctx context.Context, doc *qingting.Document, a *qingting.Analysis) (qingting.Retrieval, error) {
	none := qingting.Retrieval{Status: qingting.RetrievalNoReliableCase}
	if k := a.Kind.Code; k != qingting.KindComplaint && k != qingting.KindInquiry {
		return none, nil
	}
	q := l.ask(doc, a)
	resolved, err := l.find(ctx, q, qingting.CaseFilter{Outcomes: []qingting.CaseOutcome{qingting.CaseResolved}}, maxShown)
	if err != nil {
		return qingting.Retrieval{}, err
	}
	failed, err := l.find(ctx, q, qingting.CaseFilter{Outcomes: []qingting.CaseOutcome{qingting.CaseFailed}}, 1)
	if err != nil {
		return qingting.Retrieval{}, err
	}
	out := none
	for _, m := range resolved {
		if m.Score >= Reliable {
			out.Cases, out.Status = append(out.Cases, m), qingting.RetrievalOK
		}
	}
	if len(failed) > 0 && failed[0].Score >= reliableWarning {
		out.Failed = &failed[0]
	}
	return out, nil
}

// ask turns a document into a question: the words of the customer's sentences
// that say something, and the mean of the message vectors by the same weight.
// Nothing is encoded here.
func (l *Library) ask(doc *qingting.Document, a *qingting.Analysis) *question {
	q := &question{types: a.Types, claims: a.Claims, style: a.Style.Code}
	if a.Primary != nil {
		q.primary = *a.Primary
	}
	for _, s := range a.Slots {
		if s.Kind == qingting.SlotProduct && !slices.Contains(q.products, s.Value) {
			q.products = append(q.products, s.Value)
		}
	}
	type part struct {
		terms  []string
		weight float64
	}
	var sentences []part
	weights := make([]float64, len(doc.Messages))
	for i, m := range doc.Messages {
		if m.Role != qingting.RoleCustomer || m.Partial() {
			continue
		}
		for _, s := range splitSentences(m.Tokens) {
			p := part{terms: terms(s)}
			if len(p.terms) == 0 {
				continue
			}
			p.weight = l.index.Information(p.terms)
			if evident(m, i, s, a.Types) {
				p.weight *= evidenceWeight
			}
			if p.weight > 0 {
				sentences = append(sentences, p)
				weights[i] += p.weight
			}
		}
	}
	most := 0.0
	for _, s := range sentences {
		most = max(most, s.weight)
	}
	for _, s := range sentences {
		if s.weight >= minShare*most {
			q.terms = append(q.terms, s.terms...)
		}
	}
	q.vector = mean(doc.Messages, weights)
	q.industry = industryOf(q.terms)
	return q
}

// mean is the weighted mean direction of the message vectors, nil when there
// is none.
func mean(messages []*qingting.Prepared, weights []float64) qingting.Vector {
	most := 0.0
	for _, w := range weights {
		most = max(most, w)
	}
	var sum qingting.Vector
	for i, m := range messages {
		if m.Vector == nil || weights[i] == 0 || weights[i] < minShare*most {
			continue
		}
		if sum == nil {
			sum = make(qingting.Vector, len(m.Vector))
		}
		for k, f := range m.Vector {
			sum[k] += float32(weights[i]) * f
		}
	}
	norm := 0.0
	for _, f := range sum {
		norm += float64(f) * float64(f)
	}
	if norm == 0 {
		return nil
	}
	norm = math.Sqrt(norm)
	for k := range sum {
		sum[k] = float32(float64(sum[k]) / norm)
	}
	return sum
}

// splitSentences cuts tokens after every mark that ends a sentence.
func splitSentences(tokens []qingting.Token) [][]qingting.Token {
	var out [][]qingting.Token
	start := 0
	for i, t := range tokens {
		if strings.ContainsAny(t.Text, "。！？!?；;\n…") {
			out = append(out, tokens[start:i+1])
			start = i + 1
		}
	}
	if start < len(tokens) {
		out = append(out, tokens[start:])
	}
	return out
}

// evident reports whether the words that show a complaint type lie in the
// sentence. Evidence is in code points of the original text.
func evident(m *qingting.Prepared, index int, sentence []qingting.Token, types []qingting.TypeScore) bool {
	from := int(m.From[sentence[0].Start])
	to := int(m.To[sentence[len(sentence)-1].End-1])
	for _, t := range types {
		for _, e := range t.Evidence {
			if e.Message == index && e.Start < to && e.End > from {
				return true
			}
		}
	}
	return false
}
