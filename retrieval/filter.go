package retrieval

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
)

// matcher is a filter made ready: names in lower case, without outer spaces.
//
// The industry must be the same, the product must contain the word (手机 finds
// 智能手机), and a case without a closing time passes no time filter.
type matcher struct {
	types             []qingting.Type
	outcomes          []qingting.CaseOutcome
	industry, product string
	from, to          int64 // closed in from ≤ t < to, in nanoseconds
	all               bool  // nothing is filtered out
}

// never is the closing time of a case that has none.
const never = math.MinInt64

func newMatcher(f qingting.CaseFilter) matcher {
	m := matcher{types: f.Types, outcomes: f.Outcomes, industry: fold(f.Industry), product: fold(f.Product), from: never, to: math.MaxInt64}
	timed := !f.From.IsZero() || !f.To.IsZero()
	if timed {
		m.from = never + 1
	}
	if !f.From.IsZero() {
		m.from = f.From.UnixNano()
	}
	if !f.To.IsZero() {
		m.to = f.To.UnixNano()
	}
	m.all = len(f.Types) == 0 && len(f.Outcomes) == 0 && m.industry == "" && m.product == "" && !timed
	return m
}

func (m *matcher) typ(t string) bool {
	return len(m.types) == 0 || slices.Contains(m.types, qingting.Type(t))
}

func (m *matcher) outcome(o string) bool {
	return len(m.outcomes) == 0 || slices.Contains(m.outcomes, qingting.CaseOutcome(o))
}

func (m *matcher) inIndustry(folded string) bool { return m.industry == "" || m.industry == folded }

func (m *matcher) ofProduct(folded string) bool {
	return m.product == "" || strings.Contains(folded, m.product)
}

func (m *matcher) closed(at int64) bool { return at >= m.from && at < m.to }

// match reports whether a case passes.
func (m *matcher) match(c *qingting.Case) bool {
	return m.all || m.typ(string(c.Type)) && m.outcome(string(c.Outcome)) && m.inIndustry(fold(c.Industry)) &&
		m.ofProduct(fold(c.Product)) && m.closed(nanoseconds(c.ClosedAt))
}

// facts are what a filter reads of an entry: numbers of names, and the time.
type facts struct {
	typ, outcome, industry, product uint32
	closed                          int64 // nanoseconds; never when not closed
}

// names numbers the strings that entries can be filtered by. It never
// shrinks: types, industries and products are few.
type names struct {
	number map[string]uint32
	list   []string
}

func (n *names) intern(s string) uint32 {
	if i, ok := n.number[s]; ok {
		return i
	}
	i := uint32(len(n.list))
	s = strings.Clone(s)
	n.list = append(n.list, s)
	n.number[s] = i
	return i
}

func (n *names) facts(e *Entry) facts {
	return facts{
		typ: n.intern(string(e.Type)), outcome: n.intern(string(e.Outcome)),
		industry: n.intern(fold(e.Industry)), product: n.intern(fold(e.Product)), closed: nanoseconds(e.ClosedAt),
	}
}

// pass asks the filter once for each name instead of once for each entry.
func (n *names) pass(m *matcher) passing {
	p := passing{matcher: m, names: make([]passes, len(n.list))}
	for i, s := range n.list {
		p.names[i] = passes{m.typ(s), m.outcome(s), m.inIndustry(s), m.ofProduct(s)}
	}
	return p
}

type passes struct{ typ, outcome, industry, product bool }

type passing struct {
	matcher *matcher
	names   []passes
}

func (p *passing) match(f *facts) bool {
	return p.names[f.outcome].outcome && p.names[f.typ].typ && p.names[f.industry].industry &&
		p.names[f.product].product && p.matcher.closed(f.closed)
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixNano()
}

func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
