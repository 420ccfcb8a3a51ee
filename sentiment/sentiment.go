// Package sentiment says how the customer feels, message by message and at
// the end, and how likely the conversation escalates, with a ledger of the
// words that say so.
package sentiment

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/qingting-ai/qingting"
)

// Options are the parts an Assessor can do without.
type Options struct {
	// ModelID names the weights in the ledger. "" when there is no model.
	ModelID string
	// Matcher lets the ledger check that without the quoted words no rule fires
	// any more. nil: not checked.
	Matcher qingting.Matcher
}

// Assessor implements qingting.Assessor.
type Assessor struct {
	modelID string
	matcher qingting.Matcher
}

// New returns an Assessor.
func New(o Options) *Assessor {
	return &Assessor{modelID: o.ModelID, matcher: o.Matcher}
}

// Assess implements qingting.Assessor. It fails only when ctx is done.
func (a *Assessor) Assess(ctx context.Context, doc *qingting.Document, c *qingting.Classification) (qingting.Feeling, error) {
	if err := ctx.Err(); err != nil {
		return qingting.Feeling{}, err
	}
	emotion := emotion(doc)
	return qingting.Feeling{Emotion: emotion, Risk: a.risk(doc, c, &emotion)}, nil
}

// customers lists the final customer messages that have text.
func customers(doc *qingting.Document) []int {
	var out []int
	for i, m := range doc.Messages {
		if m.Role == qingting.RoleCustomer && !m.Partial() && len(m.Clean) > 0 {
			out = append(out, i)
		}
	}
	return out
}

// emotion judges every customer message, and the end by the whole
// conversation.
func emotion(doc *qingting.Document) qingting.Emotion {
	turns := customers(doc)
	out := qingting.Emotion{Code: qingting.EmotionCalm, Confidence: silentConfidence, Trend: qingting.TrendUnknown}
	if len(turns) == 0 {
		return out
	}
	felt := feelings(doc)
	for _, i := range turns {
		code, intensity := ofMessage(doc, felt[i], i)
		out.ByMessage = append(out.ByMessage, qingting.MessageEmotion{Message: i, Code: code, Intensity: intensity})
	}
	out.Code, out.Confidence, out.Intensity = ending(doc, felt, turns, out.ByMessage)
	if len(turns) == 1 {
		// What one message says and what the conversation says are the same words.
		out.ByMessage[0].Code, out.ByMessage[0].Intensity = out.Code, out.Intensity
	}
	out.Trend = trend(out.ByMessage)
	if out.Trend == qingting.TrendFalling && out.Code == qingting.EmotionAngry && out.Intensity >= 2 && !calmed(out.ByMessage, feelingTurn(doc, felt, turns)) {
		// A bare 好的 at the end of a quarrel is no better mood.
		out.Trend = qingting.TrendSteady
	}
	peak := out.ByMessage[0]
	for _, m := range out.ByMessage[1:] {
		if m.Intensity > peak.Intensity {
			peak = m
		}
	}
	out.Peak = &qingting.EmotionPeak{Message: peak.Message, Intensity: peak.Intensity}
	return out
}

// silentConfidence is what calm is worth when the customer has said nothing.
const silentConfidence = 0.5

// feelings lists, per message, the hits of certain rules about emotion and
// intensity that count.
func feelings(doc *qingting.Document) [][]qingting.Hit {
	out := make([][]qingting.Hit, len(doc.Messages))
	for _, h := range doc.Hits {
		if (h.Field == qingting.FieldEmotion || h.Field == qingting.FieldIntensity) && h.Certain && h.Guard == qingting.GuardNone {
			out[h.Message] = append(out[h.Message], h)
		}
	}
	return out
}

// calmed reports whether the message that carries the last feeling is calm or
// satisfied.
func calmed(turns []qingting.MessageEmotion, message int) bool {
	return slices.ContainsFunc(turns, func(t qingting.MessageEmotion) bool {
		return t.Message == message && (t.Code == qingting.EmotionCalm || t.Code == qingting.EmotionSatisfied)
	})
}

// sour reports whether a message holds words that people use when they are
// anything but satisfied.
func sour(p *qingting.Prepared) bool {
	s := string(p.Clean)
	return strings.Contains(s, "呵呵") || strings.Contains(s, "行吧")
}

// likeliest is the likeliest emotion; a sour message is never satisfied.
func likeliest(s *qingting.Scores, p []float64, sour bool) int {
	if sour {
		p = slices.Clone(p)
		p[slices.Index(qingting.Emotions(), qingting.EmotionSatisfied)] = 0
	}
	return s.Likeliest(p)
}

// ofMessage judges one message by the model's reading of it alone, or by rules.
// felt are its hits about feelings.
func ofMessage(doc *qingting.Document, felt []qingting.Hit, i int) (qingting.EmotionCode, int) {
	s := &doc.Scores
	codes := qingting.Emotions()
	if i < len(s.MessageEmotion) && len(s.MessageEmotion[i]) == len(codes) {
		code := codes[likeliest(s, s.MessageEmotion[i], sour(doc.Messages[i]))]
		intensity := ruleIntensity(felt, code)
		if i < len(s.MessageIntensity) && len(s.MessageIntensity[i]) == 4 {
			intensity = level(s.MessageIntensity[i])
			if extreme(felt) {
				intensity = 3
			}
		}
		return agree(code, intensity)
	}
	// Without a model a message is calm until a rule says otherwise.
	code, weight := qingting.EmotionCalm, 0.0
	for _, h := range felt {
		if h.Code == string(qingting.EmotionSatisfied) && sour(doc.Messages[i]) {
			continue
		}
		if h.Field == qingting.FieldEmotion && h.Weight > weight {
			code, weight = qingting.EmotionCode(h.Code), h.Weight
		}
	}
	return agree(code, ruleIntensity(felt, code))
}

// ruleIntensity is the strongest intensity a certain rule finds in a message,
// and 1 for a feeling that no rule finds strong.
func ruleIntensity(felt []qingting.Hit, code qingting.EmotionCode) int {
	if code == qingting.EmotionCalm {
		return 0
	}
	out := 1
	for _, h := range felt {
		if h.Field != qingting.FieldIntensity {
			continue
		}
		if n, err := strconv.Atoi(h.Code); err == nil {
			out = max(out, n)
		}
	}
	return out
}

// extreme reports whether a message holds what the guide calls extreme:
// insults, profanity, threats of harm, five exclamation marks. In the last turn
// with feeling of the training texts five marks meant intensity 3 in 88 % of
// 91 cases.
func extreme(felt []qingting.Hit) bool {
	return slices.ContainsFunc(felt, func(h qingting.Hit) bool { return h.Field == qingting.FieldIntensity && h.Code == "3" })
}

// bareTurn is the number of Chinese characters below which a turn without any
// word of feeling (好的, 已私信, a number) carries none.
const bareTurn = 6

// feelingTurn is the last customer message that carries feeling, or the last
// one. turns are the customer messages, at least one.
func feelingTurn(doc *qingting.Document, felt [][]qingting.Hit, turns []int) int {
	for k := len(turns) - 1; k >= 0; k-- {
		if len(felt[turns[k]]) > 0 {
			return turns[k]
		}
		han := 0
		for _, r := range doc.Messages[turns[k]].Clean {
			if unicode.Is(unicode.Han, r) {
				han++
			}
		}
		if han >= bareTurn {
			return turns[k]
		}
	}
	return turns[len(turns)-1]
}

// agree holds the guide's rule that intensity is 0 always and only with calm.
func agree(code qingting.EmotionCode, intensity int) (qingting.EmotionCode, int) {
	if code == qingting.EmotionCalm {
		return code, 0
	}
	return code, max(1, intensity)
}

// ending judges the customer's dominant emotion at the end. The model has read
// the whole conversation; without it the last turn that carries feeling
// decides: a bare 好的 or a number does not reset anger.
func ending(doc *qingting.Document, felt [][]qingting.Hit, said []int, turns []qingting.MessageEmotion) (qingting.EmotionCode, float64, int) {
	s := &doc.Scores
	codes := qingting.Emotions()
	if len(s.Emotion) == len(codes) {
		at := likeliest(s, s.Emotion, sour(doc.Messages[said[len(said)-1]]))
		intensity := 1
		if len(s.Intensity) == 4 {
			intensity = level(s.Intensity)
		}
		if extreme(felt[feelingTurn(doc, felt, said)]) {
			intensity = 3
		}
		code, intensity := agree(codes[at], intensity)
		return code, s.Emotion[at], intensity
	}
	for k := len(turns) - 1; k >= 0; k-- {
		if turns[k].Code != qingting.EmotionCalm {
			return turns[k].Code, ruleConfidence, turns[k].Intensity
		}
	}
	return qingting.EmotionCalm, ruleConfidence, 0
}

// ruleConfidence is how often the rules alone are right about the emotion of a
// training text.
const ruleConfidence = 0.45

// level turns a distribution over intensities 0…3 into one of them: the
// rounded mean, which agrees better with people on an ordered scale than the
// likeliest value.
func level(p []float64) int {
	mean, total := 0.0, 0.0
	for i, x := range p {
		mean += float64(i) * x
		total += x
	}
	if total <= 0 {
		return 0
	}
	return int(mean/total + 0.5)
}

// trend compares the mean discontent of the second half of the customer
// messages with that of the first. Satisfaction counts as negative discontent,
// so that thanks after a quarrel fall.
func trend(turns []qingting.MessageEmotion) qingting.Trend {
	if len(turns) < 2 {
		return qingting.TrendUnknown
	}
	half := len(turns) / 2
	first, second := discontent(turns[:half]), discontent(turns[len(turns)-half:])
	switch d := second - first; {
	case d >= trendStep:
		return qingting.TrendRising
	case d <= -trendStep:
		return qingting.TrendFalling
	}
	return qingting.TrendSteady
}

// trendStep is the change in mean intensity that is called a trend.
const trendStep = 0.5

func discontent(turns []qingting.MessageEmotion) float64 {
	total := 0.0
	for _, t := range turns {
		if t.Code == qingting.EmotionSatisfied {
			total -= float64(t.Intensity)
		} else {
			total += float64(t.Intensity)
		}
	}
	return total / float64(len(turns))
}
