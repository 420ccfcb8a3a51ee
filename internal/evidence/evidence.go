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
	"sort"
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

// Finder finds the evidence for the labels of one document. It is not safe for
// concurrent use: it keeps what the labels have in common.
type Finder struct {
	doc     *qingting.Document
	guarded []window // see guarded
	words   [][]word // by message, once one was asked for
}

// New returns a Finder for a document whose Scores and Hits are complete.
func New(doc *qingting.Document) *Finder {
	return &Finder{doc: doc, guarded: guarded(doc), words: make([][]word, len(doc.Messages))}
}

// Find returns one or two quotes that show the label, in order of appearance:
// the words of rules that are usually meant so, else what the model weighed. It
// is empty only when no final customer message has text, and for a signal when
// all that could show it stands where the customer denies, supposes or quotes.
func (f *Finder) Find(field qingting.Field, code string) []qingting.Span {
	doc := f.doc
	var found, denied []window
	if field == qingting.FieldSignal {
		denied = f.guarded
	}
	anyDenied := len(denied) > 0
	sure := false
	for _, h := range doc.Hits {
		if h.Field != field || h.Code != code || h.Guard != qingting.GuardNone || !readable(doc, h.Message) {
			continue
		}
		w := window{message: h.Message, start: h.Start, end: h.End, weight: ruleBonus * h.Weight}
		if !h.Certain {
			w.weight *= hintShare
			if slices.ContainsFunc(denied, w.overlaps) {
				continue
			}
		}
		sure = sure || h.Certain && h.Weight >= sureRule && h.End-h.Start <= maxRuleQuote
		found = append(found, w)
	}
	var shares [][]float64
	if doc.Scores.Attribute != nil && !sure {
		shares = doc.Scores.Attribute(field, code)
	}
	for i := range found {
		w := &found[i]
		if w.end-w.start > maxRuleQuote {
			*w = f.narrow(*w, shares)
		}
		// A rule that reads on to the end of a clause quotes no mark.
		for clean := doc.Messages[w.message].Clean; w.end > w.start+1 && clauseMark(clean[w.end-1]); {
			w.end--
		}
		found[i].weight += sum(shares, found[i])
	}
	floor := 0.0
	cost := lengthCost * highest(shares)
	for i := range doc.Messages {
		// The guarded clauses are in the order of the messages.
		n := 0
		for n < len(denied) && denied[n].message == i {
			n++
		}
		here := denied[:n]
		denied = denied[n:]
		if readable(doc, i) && i < len(shares) && len(shares[i]) == len(doc.Messages[i].Clean) {
			if all := (window{message: i, end: len(doc.Messages[i].Clean)}); len(here) > 0 {
				// Where the guarded words weigh most, the model spoke of them, and what
				// is left shows nothing.
				for _, w := range f.heaviest(all, shares[i], cost, nil) {
					if slices.ContainsFunc(here, w.overlaps) {
						floor = max(floor, secondShare*w.weight)
					}
				}
			}
			found = append(found, f.heaviest(window{message: i, end: len(doc.Messages[i].Clean)}, shares[i], cost, here)...)
		}
	}
	if anyDenied {
		found = slices.DeleteFunc(found, func(w window) bool { return w.weight < floor })
	}
	chosen := choose(found)
	if len(chosen) == 0 && !anyDenied {
		chosen = opening(doc)
	}
	spans := make([]qingting.Span, 0, len(chosen))
	for _, w := range chosen {
		spans = append(spans, doc.Span(w.message, w.start, w.end))
	}
	return spans
}

// guarded returns the clauses in which a signal or a complaint is denied,
// supposed, quoted or settled, in the order of the messages. The whole clause
// counts, as a guard speaks of more than the word the rule found.
func guarded(doc *qingting.Document) []window {
	var out []window
	for _, h := range doc.Hits {
		if h.Field != qingting.FieldSignal && h.Field != qingting.FieldKind {
			continue
		}
		switch h.Guard {
		case qingting.GuardNegated, qingting.GuardHypothetical, qingting.GuardQuoted, qingting.GuardPast:
		default:
			continue
		}
		w := window{message: h.Message, start: h.Start, end: h.End}
		clean := doc.Messages[h.Message].Clean
		for w.start > 0 && !clauseMark(clean[w.start-1]) {
			w.start--
		}
		for w.end < len(clean) && !clauseMark(clean[w.end]) {
			w.end++
		}
		if n := len(out); n == 0 || out[n-1] != w {
			out = append(out, w)
		}
	}
	slices.SortStableFunc(out, func(a, b window) int { return cmp.Compare(a.message, b.message) })
	return out
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
func (f *Finder) narrow(w window, shares [][]float64) window {
	if w.message < len(shares) && len(shares[w.message]) == len(f.doc.Messages[w.message].Clean) {
		if best := f.heaviest(w, shares[w.message], 0, nil); len(best) > 0 {
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
// of their characters; none when no word is worth its cost. Words in a denied
// window are left out, and so are windows of empty words only.
func (f *Finder) heaviest(w window, share []float64, cost float64, denied []window) []window {
	p := f.doc.Messages[w.message]
	words := f.wordsIn(w)
	if len(denied) > 0 {
		words = slices.DeleteFunc(slices.Clone(words), func(x word) bool {
			return slices.ContainsFunc(denied, window{message: w.message, start: x.start, end: x.end}.overlaps)
		})
	}
	upTo := make([]float64, w.end-w.start+1) // sums of share from w.start
	for i := range w.end - w.start {
		upTo[i+1] = upTo[i] + share[w.start+i]
	}
	var out []window
	for range 2 {
		var best window
		for i, a := range words {
			// A window that begins with a word not worth its cost is better
			// without it.
			if upTo[a.end-w.start]-upTo[a.start-w.start] <= cost*float64(a.end-a.start) {
				continue
			}
			says := false
			for j, b := range words[i:] {
				if b.end-a.start > MaxQuote || j > 0 && slices.ContainsFunc(p.Clean[words[i+j-1].end:b.start], clauseMark) {
					break
				}
				says = says || !b.empty
				total := upTo[b.end-w.start] - upTo[a.start-w.start]
				next := window{message: w.message, start: a.start, end: b.end, weight: total - cost*float64(b.end-a.start)}
				// Words that weigh nothing do not make a quote longer.
				better := next.weight > best.weight || next.weight == best.weight && next.end-next.start < best.end-best.start
				if says && better && !slices.ContainsFunc(out, next.overlaps) {
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

type word struct {
	start, end int
	empty      bool // shows nothing by itself
}

// isEmpty reports words that show nothing by themselves: around an order number,
// greetings, thanks, and what is left of them when they are cut in two.
func isEmpty(w []rune) bool {
	if !slices.ContainsFunc(w, func(r rune) bool { return !unicode.IsDigit(r) && r != '-' && r != '.' }) {
		return true
	}
	switch string(w) {
	case "单号", "订单", "订单号", "编号", "号", "号码", "运单号", "快递单号", "好的", "好", "的", "了", "是", "我", "我的",
		"嗯", "哦", "谢谢", "多谢", "感谢", "谢", "你好", "您好", "在吗", "请问":
		return true
	}
	return false
}

// wordsIn returns the words of a message between two positions.
func (f *Finder) wordsIn(w window) []word {
	if f.words[w.message] == nil {
		f.words[w.message] = wordsOf(f.doc.Messages[w.message])
	}
	words := f.words[w.message]
	from := sort.Search(len(words), func(i int) bool { return words[i].start >= w.start })
	to := from + sort.Search(len(words)-from, func(i int) bool { return words[from+i].end > w.end })
	return words[from:to]
}

// wordsOf returns the words of a message; one without tokens is cut into
// characters. Marks at the edge of a quote say nothing, so they are no words.
func wordsOf(p *qingting.Prepared) []word {
	words := make([]word, 0, max(len(p.Tokens), 1))
	add := func(start, end int) {
		if slices.ContainsFunc(p.Clean[start:end], func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			words = append(words, word{start, end, isEmpty(p.Clean[start:end])})
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
