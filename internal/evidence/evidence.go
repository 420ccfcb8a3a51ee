// Package evidence chooses the customer's words that show a label. The stages
// share it because they may not import each other.
//
// Words come from the lexicon where a reliable rule found some, and otherwise
// from the model: Scores.Attribute says how much each character weighed, and the
// window that weighs most for its length is quoted, whole words of one clause.
package evidence

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/qingting-ai/qingting"
)

const (
	// MaxQuote is the longest window chosen from attributions, in characters.
	MaxQuote = 16
	// maxRuleQuote is the longest hit of a rule quoted as it is; a longer one is
	// narrowed to its heaviest window.
	maxRuleQuote = 20
	// sureRule is the measured weight from which the words of a certain rule are
	// quoted without asking the model.
	sureRule = 0.7
	// lengthCost is what a character of a window costs, as a share of the highest
	// that any character weighs: it keeps words that say little outside.
	lengthCost = 0.08
	// secondShare is how much a second window must weigh, as a share of the
	// first, to be quoted too.
	secondShare = 0.5
	// ruleBonus is added to what the words of a rule weigh by attribution, in
	// proportion to the weight of the rule, so that of two quotes that weigh the
	// same the one a person would point at wins. hintShare is the part of it that
	// the hit of a hint gets.
	ruleBonus = 0.3
	hintShare = 0.5
)

// window is a stretch of one message and what it weighs.
type window struct {
	message, start, end int
	weight              float64
}

func (w window) overlaps(o window) bool {
	return w.message == o.message && w.start < o.end && o.start < w.end
}

// Find returns one or two quotes that show the label, in order of appearance:
// the words of rules that are usually meant so, else what the model weighed. It
// is empty only when no final customer message has text.
func Find(doc *qingting.Document, field qingting.Field, code string) []qingting.Span {
	var found []window
	sure := false
	for _, h := range doc.Hits {
		if h.Field != field || h.Code != code || h.Guard != qingting.GuardNone || !readable(doc, h.Message) {
			continue
		}
		w := window{message: h.Message, start: h.Start, end: h.End, weight: ruleBonus * h.Weight}
		if !h.Certain {
			w.weight *= hintShare
		}
		sure = sure || h.Certain && h.Weight >= sureRule && h.End-h.Start <= maxRuleQuote
		found = append(found, w)
	}
	var shares [][]float64
	if doc.Scores.Attribute != nil && !sure {
		shares = doc.Scores.Attribute(field, code)
	}
	for i := range found {
		if w := &found[i]; w.end-w.start > maxRuleQuote {
			*w = narrow(doc, *w, shares)
		}
		found[i].weight += sum(shares, found[i])
	}
	cost := lengthCost * highest(shares)
	for i := range doc.Messages {
		if readable(doc, i) && i < len(shares) && len(shares[i]) == len(doc.Messages[i].Clean) {
			found = append(found, heaviest(doc, window{message: i, end: len(doc.Messages[i].Clean)}, shares[i], cost)...)
		}
	}
	chosen := choose(found)
	if len(chosen) == 0 {
		chosen = opening(doc)
	}
	spans := make([]qingting.Span, 0, len(chosen))
	for _, w := range chosen {
		spans = append(spans, doc.Span(w.message, w.start, w.end))
	}
	return spans
}

// highest is the largest share of one character.
func highest(shares [][]float64) float64 {
	top := 0.0
	for _, message := range shares {
		for _, x := range message {
			top = max(top, x)
		}
	}
	return top
}

// readable reports whether message i is a final customer message with text.
func readable(doc *qingting.Document, i int) bool {
	m := doc.Messages[i]
	return m.Role == qingting.RoleCustomer && !m.Partial() && len(m.Clean) > 0
}

// choose returns the heaviest window and, when it weighs enough, the heaviest
// that does not overlap it, in order of appearance.
func choose(found []window) []window {
	found = slices.DeleteFunc(found, func(w window) bool { return w.weight <= 0 || w.start >= w.end })
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b window) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.message, b.message), cmp.Compare(a.start, b.start))
	})
	chosen := found[:1:1]
	for _, w := range found[1:] {
		if w.weight < secondShare*chosen[0].weight {
			break
		}
		if !w.overlaps(chosen[0]) {
			chosen = append(chosen, w)
			break
		}
	}
	slices.SortFunc(chosen, func(a, b window) int {
		return cmp.Or(cmp.Compare(a.message, b.message), cmp.Compare(a.start, b.start))
	})
	return chosen
}

// narrow cuts a long hit to its heaviest window, or to its first words when
// nothing is known of weights.
func narrow(doc *qingting.Document, w window, shares [][]float64) window {
	if w.message < len(shares) && len(shares[w.message]) == len(doc.Messages[w.message].Clean) {
		if best := heaviest(doc, w, shares[w.message], 0); len(best) > 0 {
			return best[0]
		}
	}
	w.end = w.start + maxRuleQuote
	return w
}

func sum(shares [][]float64, w window) float64 {
	if w.message >= len(shares) || w.end > len(shares[w.message]) {
		return 0
	}
	total := 0.0
	for _, x := range shares[w.message][w.start:w.end] {
		total += x
	}
	return total
}

// heaviest returns up to two windows of whole words inside one clause of w, at
// most MaxQuote characters each, with the largest sums of share less the cost
// of their characters; none when no word is worth its cost.
func heaviest(doc *qingting.Document, w window, share []float64, cost float64) []window {
	p := doc.Messages[w.message]
	words := wordsIn(p, w.start, w.end)
	upTo := make([]float64, w.end-w.start+1) // sums of share from w.start
	for i := range w.end - w.start {
		upTo[i+1] = upTo[i] + share[w.start+i]
	}
	var out []window
	for range 2 {
		var best window
		for i, a := range words {
			for j, b := range words[i:] {
				if b.end-a.start > MaxQuote || j > 0 && slices.ContainsFunc(p.Clean[words[i+j-1].end:b.start], clauseMark) {
					break
				}
				total := upTo[b.end-w.start] - upTo[a.start-w.start]
				next := window{message: w.message, start: a.start, end: b.end, weight: total - cost*float64(b.end-a.start)}
				// Words that weigh nothing do not make a quote longer.
				better := next.weight > best.weight || next.weight == best.weight && next.end-next.start < best.end-best.start
				if better && !slices.ContainsFunc(out, next.overlaps) {
					best = next
				}
			}
		}
		if best.weight <= 0 {
			break
		}
		out = append(out, best)
	}
	return out
}

// clauseMark reports whether a character between two words ends a clause.
func clauseMark(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune(",，.。!！?？;；:：…~～@#", r)
}

type word struct{ start, end int }

// wordsIn returns the words of a message between two positions; a message
// without tokens is cut into characters. Marks at the edge of a quote say
// nothing, so they are no words.
func wordsIn(p *qingting.Prepared, from, to int) []word {
	var words []word
	add := func(start, end int) {
		if start >= from && end <= to && slices.ContainsFunc(p.Clean[start:end], func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			words = append(words, word{start, end})
		}
	}
	if len(p.Tokens) > 0 {
		for _, t := range p.Tokens {
			add(t.Start, t.End)
		}
		return words
	}
	for i := range p.Clean {
		add(i, i+1)
	}
	return words
}

// opening is the last resort: the first words of the longest customer message.
func opening(doc *qingting.Document) []window {
	longest := -1
	for i, m := range doc.Messages {
		if readable(doc, i) && (longest < 0 || len(m.Clean) > len(doc.Messages[longest].Clean)) {
			longest = i
		}
	}
	if longest < 0 {
		return nil
	}
	return []window{{message: longest, end: min(MaxQuote, len(doc.Messages[longest].Clean))}}
}
