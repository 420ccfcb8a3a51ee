// Package classify says what a complaint is: kind, types, claims with their
// amounts, customer style, outcome, responsibility, satisfaction and slots.
//
// Certain rules decide first, then the calibrated model; every threshold is a
// constant here or a cut in qingting.Scores, chosen on out-of-fold predictions
// of the training texts.
package classify

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/evidence"
)

// Classifier implements qingting.Classifier.
type Classifier struct {
	blame *blame
}

// New returns a Classifier.
func New() *Classifier {
	return &Classifier{blame: newBlame()}
}

// Classify implements qingting.Classifier. It fails only when ctx is done.
func (c *Classifier) Classify(ctx context.Context, doc *qingting.Document) (qingting.Classification, error) {
	if err := ctx.Err(); err != nil {
		return qingting.Classification{}, err
	}
	var out qingting.Classification
	out.Slots = slots(doc)
	if saysNothing(doc) {
		return tooLittle(out, doc), nil
	}
	out.Kind = kind(doc)
	out.Style = best(qingting.Styles(), distribution(doc, qingting.FieldStyle, qingting.Styles(), doc.Scores.Style, stylePrior()))
	out.Outcome = outcome(doc, out.Kind)
	quotes := evidence.New(doc)
	if out.Kind.Code == qingting.KindComplaint {
		out.Types, out.Primary = types(doc, quotes)
	}
	out.Claims = claims(doc, quotes)
	out.Expectations = expectations(doc)
	out.Responsibility = c.blame.assign(doc, out.Kind.Code, out.Primary)
	out.Satisfaction = satisfaction(doc.Scores.Satisfaction)
	return out, nil
}

// The shares of each label among the training texts, in percent: what is
// believed when neither a model nor a rule speaks.
func kindPrior() []float64    { return []float64{62, 30, 1, 5, 2} }
func stylePrior() []float64   { return []float64{46, 15, 39} }
func outcomePrior() []float64 { return []float64{27, 46, 27} }

// certainKind is the weight from which a certain rule for a kind overrides a
// model that says otherwise.
const certainKind = 0.95

func kind(doc *qingting.Document) qingting.Score[qingting.Kind] {
	s := best(qingting.Kinds(), distribution(doc, qingting.FieldKind, qingting.Kinds(), doc.Scores.Kind, kindPrior()))
	v := readVoices(doc)
	switch {
	case s.Code == qingting.KindComplaint && v.withdrawn && v.asks && !v.complains:
		return qingting.Score[qingting.Kind]{Code: qingting.KindInquiry, Confidence: withdrawnConfidence}
	case v.praises && v.complains:
		// Praise with a complaint beside it is for the model to weigh.
	case v.praises && s.Code != qingting.KindPraise:
		return qingting.Score[qingting.Kind]{Code: qingting.KindPraise, Confidence: praiseConfidence}
	}
	for _, h := range doc.Hits {
		if h.Rule == praiseRule {
			continue
		}
		if h.Field == qingting.FieldKind && h.Certain && h.Guard == qingting.GuardNone && h.Weight >= certainKind && h.Code != string(s.Code) && s.Confidence < h.Weight {
			s = qingting.Score[qingting.Kind]{Code: qingting.Kind(h.Code), Confidence: h.Weight}
		}
	}
	return s
}

// Confidences of a kind that rules decide against the model.
const (
	// withdrawnConfidence is that of an inquiry whose words of complaint are all
	// denied, supposed or quoted: a person should look.
	withdrawnConfidence = 0.5
	// praiseConfidence is that of outright praise that nothing contradicts.
	praiseConfidence = 0.7
)

// praiseRule finds outright praise. It decides only where nothing complains.
const praiseRule = "kind.praise.service"

// voices is what the rules hear in a text about its kind.
type voices struct {
	// withdrawn: there are words of complaint that the customer denies, supposes
	// or quotes.
	withdrawn bool
	// complains: there are others that count.
	complains bool
	asks      bool
	praises   bool
}

func readVoices(doc *qingting.Document) voices {
	var v voices
	// Words in the clause of guarded ones are no second complaint.
	guarded := map[int][]qingting.Hit{}
	// asked are the clauses of questions: a type named in one is its subject
	// (流量套餐怎么改), no grievance.
	asked := map[int][]qingting.Hit{}
	for _, h := range doc.Hits {
		if h.Field != qingting.FieldKind && h.Field != qingting.FieldSignal {
			continue
		}
		switch h.Guard {
		case qingting.GuardNone:
			if h.Code == string(qingting.KindInquiry) {
				v.asks = true
				asked[h.Message] = append(asked[h.Message], clause(doc, h))
			}
		case qingting.GuardNegated, qingting.GuardHypothetical, qingting.GuardQuoted:
			guarded[h.Message] = append(guarded[h.Message], clause(doc, h))
		}
	}
	v.withdrawn = slices.ContainsFunc(doc.Hits, func(h qingting.Hit) bool {
		switch h.Guard {
		case qingting.GuardNegated, qingting.GuardHypothetical, qingting.GuardQuoted:
			return h.Field == qingting.FieldKind && h.Code == string(qingting.KindComplaint) || h.Field == qingting.FieldSignal && h.Code == string(qingting.SignalRegulator)
		}
		return false
	})
	for _, h := range doc.Hits {
		if h.Guard != qingting.GuardNone {
			continue
		}
		over := func(g qingting.Hit) bool { return g.Start < h.End && h.Start < g.End }
		switch {
		case h.Field == qingting.FieldType && slices.ContainsFunc(asked[h.Message], over):
		case h.Rule == praiseRule:
			v.praises = true
		case complains(h) && !slices.ContainsFunc(guarded[h.Message], over):
			v.complains = true
		}
	}
	return v
}

// clause widens a hit to the clause it stands in; 但 opens another one.
func clause(doc *qingting.Document, h qingting.Hit) qingting.Hit {
	clean := doc.Messages[h.Message].Clean
	mark := func(i int) bool { return strings.ContainsRune(" \n,，.。!！?？;；:：…~～但", clean[i]) }
	for h.Start > 0 && !mark(h.Start-1) {
		h.Start--
	}
	for h.End < len(clean) && !mark(h.End) {
		h.End++
	}
	return h
}

// complains reports whether a rule speaks of a grievance: of the kind itself,
// or surely of a type, a signal or anger.
func complains(h qingting.Hit) bool {
	switch h.Field {
	case qingting.FieldKind:
		return h.Code == string(qingting.KindComplaint)
	case qingting.FieldType, qingting.FieldSignal:
		return h.Certain
	case qingting.FieldEmotion:
		return h.Certain && (h.Code == string(qingting.EmotionAngry) || h.Code == string(qingting.EmotionDisappointed))
	}
	return false
}

// outcome is the model's, except that the guide itself says what a text without
// any answer is: unresolved for a complaint, pending for whoever asks or
// proposes, settled for praise and small talk. That is as sure as the kind.
func outcome(doc *qingting.Document, kind qingting.Score[qingting.Kind]) qingting.Score[qingting.Outcome] {
	answered := slices.ContainsFunc(doc.Messages, func(m *qingting.Prepared) bool {
		return (m.Role == qingting.RoleAgent || m.Role == qingting.RoleBot) && !m.Partial() && len(m.Clean) > 0
	})
	if answered {
		return best(qingting.Outcomes(), distribution(doc, qingting.FieldOutcome, qingting.Outcomes(), doc.Scores.Outcome, outcomePrior()))
	}
	code := qingting.OutcomeResolved
	switch kind.Code {
	case qingting.KindComplaint:
		code = qingting.OutcomeUnresolved
	case qingting.KindInquiry, qingting.KindSuggestion:
		code = qingting.OutcomePending
	}
	return qingting.Score[qingting.Outcome]{Code: code, Confidence: kind.Confidence}
}

// distribution is the model's, or without a model the prior moved by the
// rules that hit: each rule multiplies the odds of its label by what its
// weight says against the prior.
func distribution[L ~string](doc *qingting.Document, field qingting.Field, codes []L, model, prior []float64) []float64 {
	if len(model) == len(codes) {
		return model
	}
	p := slices.Clone(prior)
	total := 0.0
	for _, x := range p {
		total += x
	}
	for i := range p {
		p[i] /= total
	}
	seen := map[string]bool{}
	for _, h := range doc.Hits {
		i := slices.Index(codes, L(h.Code))
		if h.Field != field || h.Guard != qingting.GuardNone || i < 0 || seen[h.Rule] {
			continue
		}
		seen[h.Rule] = true
		w := min(max(h.Weight, 0.02), 0.98)
		base := prior[i] / total
		p[i] *= w / (1 - w) * (1 - base) / base
	}
	total = 0
	for _, x := range p {
		total += x
	}
	for i := range p {
		p[i] /= total
	}
	return p
}

// best returns the likeliest label; the first of equals.
func best[L ~string](codes []L, p []float64) qingting.Score[L] {
	at := (*qingting.Scores)(nil).Likeliest(p)
	return qingting.Score[L]{Code: codes[at], Confidence: p[at]}
}

// Without a model a label is given from this rule weight on.
const ruleCut = 0.5

// certainType and certainClaim are the measured weights from which a certain
// rule gives a label whatever the model says. Chosen on out-of-fold predictions
// of the training texts, where types take more rules (micro-F1 0.563 against
// 0.562 at 0.9, and rare classes gain) and claims do not (0.692 against 0.696).
const (
	certainType  = 0.7
	certainClaim = 0.9
)

// deniedClaim is the model's probability from which a claim is given although
// every rule that saw it was negated (不退款了).
const deniedClaim = 0.95

// chosen is a label that was given, with its probability.
type chosen[L ~string] struct {
	code L
	p    float64
}

// choose gives the labels whose probability passes the cut or that a certain
// rule of at least that weight decides. top is the likeliest label, given or not.
func choose[L ~string](doc *qingting.Document, field qingting.Field, codes []L, model, cut []float64, certain float64) (given []chosen[L], top chosen[L]) {
	rule := ruleWeights(doc, field)
	for i, code := range codes {
		w := rule[string(code)]
		c := chosen[L]{code: code, p: w.any}
		pass := w.any >= ruleCut
		if len(model) == len(codes) {
			c.p = model[i]
			pass = c.p >= doc.Scores.Cut(cut, i)
			if field == qingting.FieldClaim && w.denied && w.any == 0 {
				pass = c.p >= deniedClaim
			}
			if w.certain >= certain {
				c.p, pass = max(c.p, w.certain), true
			}
		}
		if pass {
			given = append(given, c)
		}
		if top.code == "" || c.p > top.p {
			top = c
		}
	}
	slices.SortStableFunc(given, func(a, b chosen[L]) int { return cmp.Compare(b.p, a.p) })
	return given, top
}

type ruleWeight struct {
	certain, any float64
	denied       bool // a rule saw it where the customer does not want it
}

// ruleWeights returns, by code, the heaviest rules of a field that count.
func ruleWeights(doc *qingting.Document, field qingting.Field) map[string]ruleWeight {
	out := map[string]ruleWeight{}
	for _, h := range doc.Hits {
		if h.Field != field {
			continue
		}
		w := out[h.Code]
		if h.Guard != qingting.GuardNone {
			w.denied = w.denied || h.Guard == qingting.GuardNegated
			out[h.Code] = w
			continue
		}
		w.any = max(w.any, h.Weight)
		if h.Certain {
			w.certain = max(w.certain, h.Weight)
		}
		out[h.Code] = w
	}
	return out
}

// types gives the complaint types, at least one, and the main one.
func types(doc *qingting.Document, quotes *evidence.Finder) ([]qingting.TypeScore, qingting.Type) {
	codes := qingting.Types()
	given, top := choose(doc, qingting.FieldType, codes, doc.Scores.Types, doc.Scores.TypeCut, certainType)
	primaries := doc.Scores.Primary
	if len(given) == 0 {
		if len(primaries) == len(codes) {
			p := best(codes, primaries)
			top = chosen[qingting.Type]{p.Code, p.Confidence}
			if len(doc.Scores.Types) == len(codes) {
				top.p = doc.Scores.Types[slices.Index(codes, p.Code)]
			}
		}
		given = append(given, top)
	}
	primary := given[0].code
	if len(primaries) == len(codes) {
		weight := func(g chosen[qingting.Type]) float64 { return primaries[slices.Index(codes, g.code)] }
		primary = slices.MaxFunc(given, func(a, b chosen[qingting.Type]) int { return cmp.Compare(weight(a), weight(b)) }).code
	}
	// What a certain rule says of a legal class weighs more than any other
	// grievance beside it.
	for _, code := range []qingting.Type{qingting.TypeDiscrimination, qingting.TypeLeak, qingting.TypeSafety} {
		if ruleWeights(doc, qingting.FieldType)[string(code)].certain >= certainType {
			primary = code
			break
		}
	}
	out := make([]qingting.TypeScore, len(given))
	for i, g := range given {
		out[i] = qingting.TypeScore{Code: g.code, Confidence: g.p, Evidence: quotes.Find(qingting.FieldType, string(g.code))}
	}
	return out, primary
}

func claims(doc *qingting.Document, quotes *evidence.Finder) []qingting.Claim {
	given, _ := choose(doc, qingting.FieldClaim, qingting.Claims(), doc.Scores.Claims, doc.Scores.ClaimCut, certainClaim)
	out := make([]qingting.Claim, len(given))
	for i, g := range given {
		out[i] = qingting.Claim{Code: g.code, Confidence: g.p, Evidence: quotes.Find(qingting.FieldClaim, string(g.code))}
		out[i].Amount = amount(doc, g.code)
	}
	return out
}

// expectations lists the demands for money or for speed that two or more
// customer messages make.
func expectations(doc *qingting.Document) []qingting.Expectation {
	asked := map[qingting.ExpectationCode][]int{} // hits come in the order of the messages
	for _, h := range doc.Hits {
		if h.Field != qingting.FieldClaim || h.Guard != qingting.GuardNone || !h.Certain {
			continue
		}
		var code qingting.ExpectationCode
		switch qingting.ClaimCode(h.Code) {
		case qingting.ClaimCompensate, qingting.ClaimRefund:
			code = qingting.ExpectCompensate
		case qingting.ClaimExpedite:
			code = qingting.ExpectExpedite
		default:
			continue
		}
		if at := asked[code]; len(at) == 0 || at[len(at)-1] != h.Message {
			asked[code] = append(asked[code], h.Message)
		}
	}
	var out []qingting.Expectation
	for _, code := range []qingting.ExpectationCode{qingting.ExpectCompensate, qingting.ExpectExpedite} {
		if len(asked[code]) >= 2 {
			out = append(out, qingting.Expectation{Code: code, Messages: asked[code]})
		}
	}
	return out
}

// satisfaction turns the distribution over votes −2…2 into its public form.
func satisfaction(p []float64) *qingting.Satisfaction {
	names := []string{"-2", "-1", "0", "1", "2"}
	if len(p) != len(names) {
		return nil
	}
	s := &qingting.Satisfaction{Distribution: make(map[string]float64, len(names))}
	for i, name := range names {
		s.Distribution[name] = p[i]
		s.Mean += float64(i-2) * p[i]
	}
	return s
}

// slots lists what customer and agent stated, by place.
func slots(doc *qingting.Document) []qingting.Slot {
	var out []qingting.Slot
	for i, m := range doc.Messages {
		if m.Role == qingting.RoleSystem || m.Partial() {
			continue
		}
		for _, s := range m.Slots {
			if s.Start < s.End && s.End <= len(m.Clean) {
				out = append(out, qingting.Slot{Kind: s.Kind, Value: s.Value, Span: doc.Span(i, s.Start, s.End)})
			}
		}
	}
	return out
}

// smallTalk are words that open a conversation and say nothing about it.
// Longer ones come first, so that 您好 goes before 好.
var smallTalk = strings.NewReplacer(
	"人工客服", "", "转人工", "", "人工服务", "", "有人在吗", "", "有人吗", "", "在不在", "", "在吗", "", "在么", "", "在嘛", "",
	"你好", "", "您好", "", "早上好", "", "下午好", "", "晚上好", "", "中午好", "", "大家好", "", "亲", "", "客服", "", "人工", "",
	"哈喽", "", "哈罗", "", "嗨", "", "hello", "", "hi", "", "喂", "", "请问", "", "嗯", "", "哦", "", "呃", "", "啊", "", "那个", "",
)

// saysNothing reports whether the customer has not said yet what it is about:
// nothing at all, greetings only, or a single character.
func saysNothing(doc *qingting.Document) bool {
	said := 0
	for _, m := range doc.Messages {
		if m.Role != qingting.RoleCustomer || m.Partial() {
			continue
		}
		for _, r := range smallTalk.Replace(strings.ToLower(string(m.Clean))) {
			if isWordChar(r) {
				said++
			}
		}
	}
	return said < 2
}

// Confidences of a guess that is none: the kind is unknown yet.
const (
	emptyConfidence    = 0   // other, when the customer wrote nothing readable
	greetingConfidence = 0.4 // inquiry, when the customer only said hello
)

// tooLittle fills what is said of a transcript without content: no types, no
// claims, and a kind with low confidence.
func tooLittle(out qingting.Classification, doc *qingting.Document) qingting.Classification {
	out.Kind = qingting.Score[qingting.Kind]{Code: qingting.KindOther, Confidence: emptyConfidence}
	for _, m := range doc.Messages {
		if m.Role == qingting.RoleCustomer && !m.Partial() && strings.ContainsFunc(string(m.Clean), isWordChar) {
			out.Kind = qingting.Score[qingting.Kind]{Code: qingting.KindInquiry, Confidence: greetingConfidence}
		}
	}
	out.Style = qingting.Score[qingting.Style]{Code: qingting.StyleRational, Confidence: emptyConfidence}
	out.Outcome = qingting.Score[qingting.Outcome]{Code: qingting.OutcomePending, Confidence: emptyConfidence}
	out.Responsibility = qingting.Score[qingting.Responsibility]{Code: qingting.ResponsibilityUnclear, Confidence: emptyConfidence}
	return out
}
