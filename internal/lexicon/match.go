package lexicon

import (
	"cmp"
	"slices"
	"sort"
	"unicode"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/pattern"
)

// Match implements qingting.Matcher. Hits of one rule in one message do not
// overlap; a shorter one inside a longer one is left out. Signals are looked
// for in the agent's words too and come back with GuardRole.
func (l *Lexicon) Match(doc *qingting.Document) []qingting.Hit {
	s, _ := l.spare.Get().(*scratch)
	if s == nil {
		s = &scratch{states: make([]state, len(l.exprs)), seen: make([]int64, l.needs), known: make([]int64, len(l.words))}
	}
	defer l.spare.Put(s)
	last := lastOf(doc)
	s.hits = s.hits[:0]
	for i, p := range doc.Messages {
		if len(p.Clean) > 0 && (reader(p.Role) == qingting.RoleCustomer || reader(p.Role) == qingting.RoleAgent) {
			l.matchMessage(s, p, i, last)
		}
	}
	if len(s.hits) == 0 {
		return nil
	}
	return slices.Clone(s.hits)
}

// latest is where the last final message of each role stands that is not
// blank; 0 when there is none.
type latest struct{ customer, agent int }

func (l latest) of(role qingting.Role) int {
	if role == qingting.RoleAgent {
		return l.agent
	}
	return l.customer
}

func lastOf(doc *qingting.Document) latest {
	var last latest
	for i, p := range doc.Messages {
		if len(p.Clean) == 0 || p.Partial() {
			continue
		}
		switch reader(p.Role) {
		case qingting.RoleCustomer:
			last.customer = i
		case qingting.RoleAgent:
			last.agent = i
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

// scratch is the memory of one call of Match, kept for the next ones.
type scratch struct {
	passage
	machine pattern.Machine
	// Sentences are numbered on from message to message, from 1, so that
	// nothing has to be cleared between them. A state or a set seen is of this
	// message when its number is not below that of the message's first sentence.
	number int64
	states []state // of every expression
	seen   []int64 // the last sentence with a word of each set
	known  []int64 // the last sentence with each word
	// sights are the words of a sentence that start an expression, wide those
	// of the message.
	sights, wide []sight
	// opens is where the first condition ends in sentence opensOf of the
	// message, counted from the sentence's beginning; −1 when there is none.
	opens, opensOf int
	found, kept    []span
	hits           []qingting.Hit
}

// state is how far an expression has come.
type state struct {
	number   int64 // of the sentence it was last asked for
	possible bool  // whether the passage holds all it needs
	next     int   // before this character it is not tried again
}

// sight is a word that begins at a character.
type sight struct{ at, word int }

// matchMessage appends the hits of one message to those of the scratch.
func (l *Lexicon) matchMessage(s *scratch, p *qingting.Prepared, at int, last latest) {
	s.read(p.Clean)
	s.found, s.wide, s.opensOf = s.found[:0], s.wide[:0], -1
	role, first, start := reader(p.Role), s.number+1, 0
	reads := func(rule int32) bool { return l.reads(rule, role, at, last) }
	for _, end := range s.ends {
		s.number++
		l.look(s, start, end, reads)
		for _, w := range s.sights {
			for _, e := range l.words[w.word].sentence.starts {
				l.try(s, e, w.at, start, end, s.number, reads)
			}
		}
		start = end
	}
	for _, w := range s.wide {
		for _, e := range l.words[w.word].message.starts {
			l.try(s, e, w.at, 0, len(s.runes), first, reads)
		}
	}
	for _, m := range s.resolve() {
		r := &l.rules[m.rule]
		h := qingting.Hit{
			Rule: r.ID, Field: r.Field, Code: r.Code, Weight: r.Weight, Certain: r.Certain,
			Message: at, Start: m.start, End: m.end,
		}
		switch {
		case role != r.Role:
			h.Guard = qingting.GuardRole
		case p.Partial():
			h.Guard = qingting.GuardPartial
		default:
			h.Guard = l.guard(s, r, m.start, m.end)
		}
		s.hits = append(s.hits, h)
	}
}

// look finds the words that begin in a sentence.
func (l *Lexicon) look(s *scratch, start, end int, reads func(int32) bool) {
	s.sights = s.sights[:0]
	for i := start; i < end; i++ {
		for j, node := i, pattern.Root; j < len(s.runes); j++ {
			if node = l.index.Step(node, s.runes[j]); node < 0 {
				break
			}
			n := l.index.At(node)
			if n < 0 {
				continue
			}
			w := &l.words[n]
			for _, lit := range w.rules {
				if reads(lit.rule) {
					s.found = append(s.found, span{lit.rule, i, j + 1, lit.but})
				}
			}
			// A word that goes on into the next sentence is in neither.
			if j < end {
				if s.known[n] != s.number {
					s.known[n] = s.number
					for _, set := range w.sentence.needs {
						s.seen[set] = s.number
					}
				}
				if len(w.sentence.starts) > 0 {
					s.sights = append(s.sights, sight{i, n})
				}
			}
			for _, set := range w.message.needs {
				s.seen[set] = s.number
			}
			if len(w.message.starts) > 0 {
				s.wide = append(s.wide, sight{i, n})
			}
		}
	}
}

// try runs an expression on the passage [from, to) when it may match there:
// at character at, or anywhere when that is not known. number is that of the
// passage's first sentence.
func (l *Lexicon) try(s *scratch, n int32, at, from, to int, number int64, reads func(int32) bool) {
	e, st := &l.exprs[n], &s.states[n]
	fresh := st.number < number
	if fresh {
		*st = state{number: number, possible: reads(e.rule) && s.has(e.needs, number)}
	}
	if !st.possible || at < st.next || !e.anchored && !fresh {
		return
	}
	text := s.runes[from:to]
	if e.anchored {
		st.next = at + 1
		if end := s.machine.At(e.Pattern, text, at-from); end > at-from {
			st.next = from + end
			s.found = append(s.found, span{e.rule, at, st.next, e.but})
		}
		return
	}
	for i := 0; ; {
		start, end := s.machine.Find(e.Pattern, text, i)
		if start < 0 {
			return
		}
		if start < end {
			s.found = append(s.found, span{e.rule, from + start, from + end, e.but})
		}
		i = max(end, start+1)
	}
}

// has reports whether a word of each set was seen since a sentence.
func (s *scratch) has(needs []int32, since int64) bool {
	for _, set := range needs {
		if s.seen[set] < since {
			return false
		}
	}
	return true
}

// reads reports whether a rule looks at a message at all.
func (l *Lexicon) reads(rule int32, role qingting.Role, at int, last latest) bool {
	r := &l.rules[rule]
	if role != r.Role {
		return r.Field == qingting.FieldSignal && role == qingting.RoleAgent
	}
	return !r.Last || last.of(role) == at
}

// resolve leaves, for each rule, the longest matches that do not overlap and
// that nothing takes away, ordered by (start, rule).
func (s *scratch) resolve() []span {
	slices.SortFunc(s.found, func(a, b span) int {
		if a.rule != b.rule {
			return cmp.Compare(a.rule, b.rule)
		}
		if a.start != b.start {
			return cmp.Compare(a.start, b.start)
		}
		return cmp.Compare(b.end, a.end)
	})
	s.kept = s.kept[:0]
	for i := 0; i < len(s.found); {
		j, buts := i, false
		for j < len(s.found) && s.found[j].rule == s.found[i].rule {
			buts = buts || s.found[j].but
			j++
		}
		group := s.found[i:j]
		end := -1
		for _, m := range group {
			if m.but || m.start < end {
				continue
			}
			taken := buts && slices.ContainsFunc(group, func(o span) bool { return o.but && o.start < m.end && m.start < o.end })
			if !taken {
				s.kept = append(s.kept, m)
				end = m.end
			}
		}
		i = j
	}
	slices.SortFunc(s.kept, func(a, b span) int {
		if a.start != b.start {
			return cmp.Compare(a.start, b.start)
		}
		return cmp.Compare(a.rule, b.rule)
	})
	return s.kept
}

// passage is a message made ready for matching.
type passage struct {
	runes []rune // lower case, as long as Prepared.Clean
	ends  []int  // one past the last rune of each sentence, marks included
	// forwarded is where a forwarding mark stands, or past the end; quotes
	// tells that there are quotation marks.
	forwarded int
	quotes    bool
}

func (t *passage) read(clean []rune) {
	t.runes, t.ends, t.forwarded, t.quotes = t.runes[:0], t.ends[:0], len(clean), false
	for i, r := range clean {
		r = fold(r)
		t.runes = append(t.runes, r)
		if i+1 == len(clean) || ending(clean, i) && !ending(clean, i+1) {
			t.ends = append(t.ends, i+1)
		}
		switch r {
		case '“', '「', '『', '"':
			t.quotes = true
		case '@':
			if i >= 2 && i-2 < t.forwarded && t.runes[i-1] == '/' && t.runes[i-2] == '/' {
				t.forwarded = i - 2
			}
		}
	}
}

// fold makes a character comparable with those of the rules: Latin letters in
// lower case and punctuation in half width, whichever the cleaner prefers.
func fold(r rune) rune {
	if r >= '一' && r <= '龥' {
		return r // most of a text, and none of them changes
	}
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
