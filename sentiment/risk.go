package sentiment

import (
	"cmp"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/evidence"
)

// highAlone are the signals that make the risk high by themselves.
var highAlone = [...]qingting.SignalCode{
	qingting.SignalRegulator, qingting.SignalMedia, qingting.SignalLegal, qingting.SignalSafetyInjury,
	qingting.SignalPrivacy, qingting.SignalDiscrimination, qingting.SignalVulnerable,
}

// highWithRage are the signals that make the risk high together with anger of
// intensity 3.
var highWithRage = [...]qingting.SignalCode{
	qingting.SignalRepeatContact, qingting.SignalBrokenPromise, qingting.SignalChurn, qingting.SignalFinancialLoss,
}

// medium lists the signals that make the risk at least medium, whatever the kind.
func medium() []qingting.SignalCode {
	return append(highWithRage[:len(highWithRage):len(highWithRage)], qingting.SignalSupervisorDemand)
}

// Level is the table of the label guide, which the risk follows always.
func Level(kind qingting.Kind, emotion qingting.EmotionCode, intensity int, signals []qingting.SignalCode) qingting.RiskLevel {
	any := func(codes []qingting.SignalCode) bool {
		return slices.ContainsFunc(signals, func(s qingting.SignalCode) bool { return slices.Contains(codes, s) })
	}
	angry := emotion == qingting.EmotionAngry
	switch {
	case any(highAlone[:]), angry && intensity >= 3 && any(highWithRage[:]):
		return qingting.RiskHigh
	case kind == qingting.KindComplaint && angry && intensity >= 2, any(medium()):
		return qingting.RiskMedium
	}
	return qingting.RiskLow
}

const (
	// certainSignal is the measured weight from which a certain rule gives a
	// signal whatever the model says. Chosen on out-of-fold predictions of the
	// training texts (fast mode): high risk is found in 66 % of its cases with
	// precision 0.84, against 55 % and 0.88 by the model alone, which has the same
	// rules among its features; at 0.65 it would be 65 % and 0.85.
	certainSignal = 0.5
	// loneCut is the model's probability from which it may raise the risk to high
	// by itself. Chosen as above: accuracy of the level 0.844 here, 0.843 below.
	loneCut = 0.5
	// signalDoubt is the model's probability below which a signal that a rule
	// gives is shown as a conflict.
	signalDoubt = 0.05
	// guardedCut is the model's probability from which a signal is given although
	// every rule that saw it was guarded (我不是要投诉); that is a conflict.
	guardedCut = 0.9
)

// risk builds the ledger and reads the level off it.
func (a *Assessor) risk(doc *qingting.Document, c *qingting.Classification, e *qingting.Emotion) qingting.Risk {
	var out qingting.Risk
	var codes []qingting.SignalCode
	p := doc.Scores.Signals
	modelled := len(p) == len(qingting.Signals())
	quotes := evidence.New(doc)
	for i, code := range qingting.Signals() {
		hits, denied := meant(doc, c, code)
		byModel := modelled && p[i] >= doc.Scores.Cut(doc.Scores.SignalCut, i)
		if len(hits) == 0 && (slices.Contains(highAlone[:], code) || calm(doc)) {
			byModel = byModel && p[i] >= loneCut
		}
		byRule := heaviest(hits) >= certainSignal
		switch {
		case byRule || byModel && len(hits) > 0:
			out.Signals = append(out.Signals, a.quote(doc, c, code, hits)...)
			out.Conflict = out.Conflict || modelled && p[i] < signalDoubt
		case byModel && (!denied || p[i] >= guardedCut):
			out.Signals = append(out.Signals, a.byModel(quotes, code, p[i])...)
			out.Conflict = out.Conflict || denied
		}
		// A signal must have words that show it.
		if n := len(out.Signals); n > 0 && out.Signals[n-1].Code == code {
			codes = append(codes, code)
		}
	}
	out.Level = Level(c.Kind.Code, e.Code, e.Intensity, codes)
	out.Score = score(doc, out.Level, out.Signals)
	return out
}

// calm reports that the model thinks the risk is more likely low than not.
// The cuts of single signals are made for finding them; over a dozen signals
// their errors add up, and this keeps the sum in check.
func calm(doc *qingting.Document) bool {
	return len(doc.Scores.Risk) > 0 && doc.Scores.Risk[0] > 0.5
}

// mention marks rules that read the tagging of an account. Tags count in
// complaints only, the guide says.
const mention = ".mention"

// meant returns the hits of certain rules for a signal that count. denied
// reports that there is none, but the customer's own words for it were guarded.
func meant(doc *qingting.Document, c *qingting.Classification, code qingting.SignalCode) (hits []qingting.Hit, denied bool) {
	for _, h := range doc.Hits {
		if h.Field != qingting.FieldSignal || h.Code != string(code) || !h.Certain {
			continue
		}
		switch h.Guard {
		case qingting.GuardRole, qingting.GuardPartial:
		case qingting.GuardNone:
			if !strings.HasSuffix(h.Rule, mention) || c.Kind.Code == qingting.KindComplaint {
				hits = append(hits, h)
			}
		default:
			denied = true
		}
	}
	return hits, denied && len(hits) == 0
}

func heaviest(hits []qingting.Hit) float64 {
	w := 0.0
	for _, h := range hits {
		w = max(w, h.Weight)
	}
	return w
}

// Sources of a signal in the ledger.
const (
	ruleSource  = "rule:"
	modelSource = "model:"
)

// blank stands for a quoted character when the ledger is checked.
const blank = '□'

// quote lists every hit of a signal. Masking what is listed must silence the
// rules, so a pattern that would still match across the masked words is
// listed too.
func (a *Assessor) quote(doc *qingting.Document, c *qingting.Classification, code qingting.SignalCode, hits []qingting.Hit) []qingting.Signal {
	listed := cover(hits)
	for range 3 {
		if a.matcher == nil {
			break
		}
		// Only messages with a hit of the signal can still have one.
		masked := *doc
		masked.Messages = make([]*qingting.Prepared, len(doc.Messages))
		for i, p := range doc.Messages {
			masked.Messages[i] = &qingting.Prepared{Message: p.Message}
		}
		for _, h := range listed {
			p := masked.Messages[h.Message]
			if p.Clean == nil {
				*p = *doc.Messages[h.Message]
				p.Clean = slices.Clone(p.Clean)
			}
			for i := h.Start; i < h.End; i++ {
				p.Clean[i] = blank
			}
		}
		masked.Hits = a.matcher.Match(&masked)
		rest, _ := meant(&masked, c, code)
		if len(rest) == 0 {
			break
		}
		listed = cover(append(listed, rest...))
	}
	out := make([]qingting.Signal, len(listed))
	for i, h := range listed {
		out[i] = qingting.Signal{Code: code, Source: ruleSource + h.Rule, Weight: h.Weight, Span: doc.Span(h.Message, h.Start, h.End)}
	}
	return out
}

// cover leaves out hits that lie inside another, and orders the rest by place.
func cover(hits []qingting.Hit) []qingting.Hit {
	hits = slices.Clone(hits)
	slices.SortFunc(hits, func(a, b qingting.Hit) int {
		return cmp.Or(cmp.Compare(a.Message, b.Message), cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Rule, b.Rule))
	})
	var out []qingting.Hit
	for _, h := range hits {
		if n := len(out); n > 0 && out[n-1].Message == h.Message && h.End <= out[n-1].End {
			continue
		}
		out = append(out, h)
	}
	return out
}

// byModel lists the words that weighed most for a signal no rule saw.
func (a *Assessor) byModel(quotes *evidence.Finder, code qingting.SignalCode, p float64) []qingting.Signal {
	var out []qingting.Signal
	for _, s := range quotes.Find(qingting.FieldSignal, string(code)) {
		out = append(out, qingting.Signal{Code: code, Source: modelSource + a.modelID, Weight: p, Span: s})
	}
	return out
}

// Scores without a model: what the lower levels are worth by rules alone.
const (
	lowScore    = 0.03
	mediumScore = 0.1
)

// quietShare discounts the model's probability of high when the ledger shows
// nothing high. Chosen with the rest of score on out-of-fold predictions:
// average precision 0.749 for the model's head alone, 0.773 together with the
// table's reading of the fields, 0.795 with the rules, 0.798 with this; the mean
// score stays that of the labels (0.083 against 0.089).
const quietShare = 0.6

// score is the probability of high. The model has two opinions, its head for
// risk and what the table makes of its other heads; a rule in the ledger is
// wrong only as often as its weight says. A level that is not high keeps the
// score below that of an equal text with a signal, so that sorting by score
// puts what the ledger can explain first.
func score(doc *qingting.Document, level qingting.RiskLevel, signals []qingting.Signal) float64 {
	base := 0.0
	if len(doc.Scores.Risk) == 3 {
		base = (doc.Scores.Risk[2] + byTable(&doc.Scores)) / 2
	} else if level == qingting.RiskLow {
		base = lowScore
	} else {
		base = mediumScore
	}
	if level != qingting.RiskHigh {
		return quietShare * base
	}
	wrong := 1 - base
	seen := map[qingting.SignalCode]float64{}
	for _, s := range signals {
		if strings.HasPrefix(s.Source, ruleSource) && slices.Contains(highAlone[:], s.Code) {
			seen[s.Code] = max(seen[s.Code], s.Weight)
		}
	}
	for _, code := range highAlone {
		wrong *= 1 - seen[code]
	}
	return 1 - wrong
}

// byTable is the probability that the table of the label guide makes the risk
// high, were the model's fields independent.
func byTable(s *qingting.Scores) float64 {
	none := func(codes []qingting.SignalCode) float64 {
		p := 1.0
		for i, code := range qingting.Signals() {
			if i < len(s.Signals) && slices.Contains(codes, code) {
				p *= 1 - s.Signals[i]
			}
		}
		return p
	}
	rage := 0.0
	if len(s.Emotion) == len(qingting.Emotions()) && len(s.Intensity) == 4 {
		rage = s.Emotion[slices.Index(qingting.Emotions(), qingting.EmotionAngry)] * s.Intensity[3]
	}
	return 1 - none(highAlone[:])*(1-rage*(1-none(highWithRage[:])))
}
