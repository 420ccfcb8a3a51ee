package lexicon

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
)

// Match implements qingting.Matcher. Hits of one rule in one message do not
// overlap; a shorter one inside a longer one is left out. Signals are looked
// for in the agent's words too and come back with GuardRole.
func (l *Lexicon) Match(doc *qingting.Document) []qingting.Hit {
	var hits []qingting.Hit
	last := lastOf(doc)
	for i, p := range doc.Messages {
		if len(p.Clean) > 0 {
			hits = l.matchMessage(hits, p, i, last)
		}
	}
	return hits
}

// lastOf returns the last final message of each role that is not blank.
func lastOf(doc *qingting.Document) map[qingting.Role]int {
	last := map[qingting.Role]int{}
	for i, p := range doc.Messages {
		if len(p.Clean) > 0 && !p.Partial() {
			last[reader(p.Role)] = i
		}
	}
	return last
}

// reader is the role whose rules read a message: a bot speaks for the agent,
// and a system notice is nobody's words.
func reader(r qingting.Role) qingting.Role {
	if r == qingting.RoleBot {
		return qingting.RoleAgent
	}
	return r
}

type span struct {
	rule       int32
	start, end int
	but        bool
}

// state is how far an expression has come in a message.
type state struct {
	passage  int32 // number of the sentence it was last asked for, plus one
	possible bool  // whether that sentence holds all it needs
	end      int   // where its last match ends
}

// matchMessage appends the hits of one message to hits.
func (l *Lexicon) matchMessage(hits []qingting.Hit, p *qingting.Prepared, at int, last map[qingting.Role]int) []qingting.Hit {
	t := newPassage(p.Clean)
	role := reader(p.Role)
	states := make([]state, len(l.exprs))
	var found []span
	for i, first := range t.runes {
		found = l.matchAt(found, t, i, l.index[[2]rune{first}], states, role, at, last)
		if i+1 < len(t.runes) {
			found = l.matchAt(found, t, i, l.index[[2]rune{first, t.runes[i+1]}], states, role, at, last)
		}
	}
	for _, s := range resolve(found) {
		r := &l.rules[s.rule]
		h := qingting.Hit{
			Rule: r.ID, Field: r.Field, Code: r.Code, Weight: r.Weight, Certain: r.Certain,
			Message: at, Start: s.start, End: s.end,
		}
		switch {
		case role != r.Role:
			h.Guard = qingting.GuardRole
		case p.Partial():
			h.Guard = qingting.GuardPartial
		default:
			h.Guard = l.guard(t, r, s.start, s.end)
		}
		hits = append(hits, h)
	}
	return hits
}

// matchAt looks for literals that begin at character i.
func (l *Lexicon) matchAt(found []span, t *passage, i int, literals []literal, states []state, role qingting.Role, at int, last map[qingting.Role]int) []span {
	for _, lit := range literals {
		end := i + lit.size
		if end > len(t.runes) || lit.size > 2 && !slices.Equal(t.runes[i+2:end], lit.tail) {
			continue
		}
		if lit.rule >= 0 {
			if l.reads(lit.rule, role, at, last) {
				found = append(found, span{lit.rule, i, end, lit.but})
			}
			continue
		}
		e, st := &l.exprs[lit.expr], &states[lit.expr]
		from, to, number, chars := 0, len(t.runes), 0, t.chars
		if !e.whole {
			number = t.sentence(i)
			from, to = t.bounds(number)
			chars = t.sentences[number]
		}
		fresh := st.passage != int32(number)+1
		if fresh {
			*st = state{passage: int32(number) + 1}
			st.possible = l.reads(e.rule, role, at, last) && e.possible(t.slice(from, to), chars)
		}
		switch {
		case !st.possible:
		case e.anchored && i >= st.end:
			if m := e.re.FindStringIndex(t.slice(i, to)); m != nil && m[1] > 0 {
				st.end = t.rune(t.offsets[i] + m[1])
				found = append(found, span{e.rule, i, st.end, e.but})
			}
		case !e.anchored && fresh:
			for _, m := range e.re.FindAllStringIndex(t.slice(from, to), -1) {
				if m[0] < m[1] {
					found = append(found, span{e.rule, t.rune(m[0] + t.offsets[from]), t.rune(m[1] + t.offsets[from]), e.but})
				}
			}
		}
	}
	return found
}

// possible reports whether a passage, with its characters, holds what a match
// needs. That is much cheaper to see than a match.
func (e *expr) possible(passage string, chars charset) bool {
	for _, set := range e.need {
		if !slices.ContainsFunc(set, func(w needle) bool { return chars.covers(w.chars) && strings.Contains(passage, w.text) }) {
			return false
		}
	}
	return true
}

// charset is a small set of characters that may report strangers as members,
// never members as strangers.
type charset [4]uint64

func (c *charset) add(r rune) { c[r>>6&3] |= 1 << (r & 63) }

func (c charset) covers(o charset) bool {
	return o[0]&^c[0] == 0 && o[1]&^c[1] == 0 && o[2]&^c[2] == 0 && o[3]&^c[3] == 0
}

// needle is a literal and its characters.
type needle struct {
	text  string
	chars charset
}

func newNeedle(text string) needle {
	n := needle{text: text}
	for _, r := range text {
		n.chars.add(r)
	}
	return n
}

// reads reports whether a rule looks at a message at all.
func (l *Lexicon) reads(rule int32, role qingting.Role, at int, last map[qingting.Role]int) bool {
	r := &l.rules[rule]
	if role != r.Role {
		return r.Field == qingting.FieldSignal && role == qingting.RoleAgent
	}
	return !r.Last || last[role] == at
}

// resolve leaves, for each rule, the longest matches that do not overlap and
// that nothing takes away, ordered by (start, rule).
func resolve(found []span) []span {
	slices.SortFunc(found, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	var kept []span
	for i := 0; i < len(found); {
		j := i
		for j < len(found) && found[j].rule == found[i].rule {
			j++
		}
		group := found[i:j]
		end := -1
		for _, s := range group {
			if s.but || s.start < end {
				continue
			}
			taken := slices.ContainsFunc(group, func(o span) bool { return o.but && o.start < s.end && s.start < o.end })
			if !taken {
				kept = append(kept, s)
				end = s.end
			}
		}
		i = j
	}
	slices.SortStableFunc(kept, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	return kept
}

// passage is a message made ready for matching.
type passage struct {
	runes   []rune // lower case, as long as Prepared.Clean
	lower   string
	offsets []int // byte offset of every rune, and the length of lower
	ends    []int // one past the last rune of each sentence, marks included
	// sentences and chars are the characters of each sentence and of all.
	sentences []charset
	chars     charset
}

func newPassage(clean []rune) *passage {
	t := &passage{runes: make([]rune, len(clean)), offsets: make([]int, len(clean)+1)}
	var b strings.Builder
	b.Grow(3 * len(clean))
	var chars charset
	for i, r := range clean {
		r = fold(r)
		t.runes[i], t.offsets[i] = r, b.Len()
		b.WriteRune(r)
		chars.add(r)
		if i+1 == len(clean) || ending(clean, i) && !ending(clean, i+1) {
			t.ends, t.sentences = append(t.ends, i+1), append(t.sentences, chars)
			for k := range chars {
				t.chars[k] |= chars[k]
			}
			chars = charset{}
		}
	}
	t.lower, t.offsets[len(clean)] = b.String(), b.Len()
	return t
}

// fold makes a character comparable with those of the rules: Latin letters in
// lower case and punctuation in half width, whichever the cleaner prefers.
func fold(r rune) rune {
	switch r {
	case '，':
		return ','
	case '：':
		return ':'
	case '（':
		return '('
	case '）':
		return ')'
	case '【':
		return '['
	case '】':
		return ']'
	case '！':
		return '!'
	case '？':
		return '?'
	case '；':
		return ';'
	case '～':
		return '~'
	}
	if r = unicode.ToLower(r); !utf8.ValidRune(r) {
		return unicode.ReplacementChar
	}
	return r
}

// ending reports whether a sentence ends at character i. A full stop inside a
// number or an address does not end one.
func ending(clean []rune, i int) bool {
	switch clean[i] {
	case '。', '!', '?', ';', '\n', '…', '~', '！', '？', '；', '～':
		return true
	case '.':
		return !(i > 0 && i+1 < len(clean) && plain(clean[i-1]) && plain(clean[i+1]))
	}
	return false
}

func plain(r rune) bool { return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// sentence returns the number of the sentence that holds character i.
func (t *passage) sentence(i int) int {
	return sort.Search(len(t.ends), func(k int) bool { return t.ends[k] > i })
}

// bounds returns where sentence s starts and ends.
func (t *passage) bounds(s int) (start, end int) {
	if s > 0 {
		start = t.ends[s-1]
	}
	return start, t.ends[s]
}

// rune returns the number of the character at a byte offset.
func (t *passage) rune(offset int) int {
	return sort.SearchInts(t.offsets, offset)
}

// slice returns characters [start, end).
func (t *passage) slice(start, end int) string {
	return t.lower[t.offsets[start]:t.offsets[end]]
}
