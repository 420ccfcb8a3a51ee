package pattern

import (
	"regexp/syntax"
	"slices"
)

// Machine runs patterns and owns the memory that takes. Its zero value is
// ready; it may not be used concurrently.
type Machine struct {
	stack  []job
	groups []int
	// visited has one bit for each fork at each character from base on, row
	// after row; only the first rows are clean.
	visited     []uint64
	base, width int
	rows        int
}

// job is what is left to try: the ways of a fork from the given one on, or a
// group's slot to be put back.
type job struct {
	inst, way int32
	at        int
}

// restore stands for a way where a job puts a slot back.
const restore = -1

// At matches the pattern at character i of the text and returns where the
// match ends, −1 when there is none.
func (m *Machine) At(p *Pattern, text []rune, i int) int {
	if p.anchored && i > 0 || i < len(text) && p.first&bit(text[i]) == 0 {
		return -1
	}
	m.reset(p, i)
	return m.run(p, text, i)
}

// Find returns the first match that begins at character from or later, as
// regexp would find it; −1, −1 when there is none.
func (m *Machine) Find(p *Pattern, text []rune, from int) (start, end int) {
	m.reset(p, from)
	for i := from; i <= len(text); i++ {
		if p.anchored && i > 0 {
			break
		}
		if i < len(text) && p.first&bit(text[i]) == 0 {
			continue
		}
		// What failed from one beginning fails from the next, so that all of
		// them together visit every place once.
		if end := m.run(p, text, i); end >= 0 {
			return i, end
		}
	}
	return -1, -1
}

// Next is Find without the matches that are empty: with the end of one match
// as the beginning of the search for the next it lists all that regexp lists,
// save those.
func (m *Machine) Next(p *Pattern, text []rune, from int) (start, end int) {
	for {
		start, end = m.Find(p, text, from)
		if start < end || start < 0 {
			return start, end
		}
		from = end + 1
	}
}

// Match reports whether the pattern matches anywhere in the text.
func (m *Machine) Match(p *Pattern, text []rune) bool {
	start, _ := m.Find(p, text, 0)
	return start >= 0
}

// Group returns what group k ≥ 1 of the last match held; −1, −1 when the match
// went past it. It is valid until the next match.
func (m *Machine) Group(k int) (start, end int) {
	if 2*k+1 >= len(m.groups) {
		return -1, -1
	}
	return m.groups[2*k], m.groups[2*k+1]
}

func (m *Machine) reset(p *Pattern, base int) {
	m.base, m.width, m.rows = base, (p.forks+63)/64, 0
}

// visit marks a fork at a character and reports whether it was marked before.
func (m *Machine) visit(fork rune, at int) bool {
	row := at - m.base
	if row >= m.rows {
		need := (row + 1) * m.width
		if need > len(m.visited) {
			m.visited = slices.Grow(m.visited, need-len(m.visited))
			m.visited = m.visited[:cap(m.visited)]
		}
		clear(m.visited[m.rows*m.width : need])
		m.rows = row + 1
	}
	word, mark := &m.visited[row*m.width+int(fork>>6)], uint64(1)<<(fork&63)
	seen := *word&mark != 0
	*word |= mark
	return seen
}

// run matches at character i, with what is already visited.
func (m *Machine) run(p *Pattern, text []rune, i int) int {
	if p.slots > 2 {
		m.groups = append(m.groups[:0], make([]int, p.slots)...)
		for k := range m.groups {
			m.groups[k] = -1
		}
	} else {
		m.groups = m.groups[:0]
	}
	m.stack = m.stack[:0]
	at, way := p.start, int32(0)
	for {
		in := &p.insts[at]
		ok := false
		switch in.op {
		case opMatch:
			return i
		case opRune:
			ok = i < len(text) && text[i] == in.r
			i++
		case opClass:
			ok = i < len(text) && within(p.ranges[in.from:in.to], text[i])
			i++
		case opEmpty:
			ok = holds(syntax.EmptyOp(in.r), text, i)
		case opRecord:
			m.stack = append(m.stack, job{inst: int32(in.r), way: restore, at: m.groups[in.r]})
			m.groups[in.r], ok = i, true
		case opFork:
			if way == 0 && m.visit(in.r, i) {
				break
			}
			next := anything
			if i < len(text) {
				next = bit(text[i])
			}
			ways := p.ways[in.from+way : in.to]
			k := open(ways, next)
			if k == len(ways) {
				break
			}
			if rest := k + 1 + open(ways[k+1:], next); rest < len(ways) {
				m.stack = append(m.stack, job{at, way + int32(rest), i})
			}
			at, way = ways[k].to, 0
			continue
		}
		if ok {
			at, way = in.out, 0
			continue
		}
		for { // back to the last place with a way left
			if len(m.stack) == 0 {
				return -1
			}
			j := m.stack[len(m.stack)-1]
			m.stack = m.stack[:len(m.stack)-1]
			if j.way != restore {
				at, way, i = j.inst, j.way, j.at
				break
			}
			m.groups[j.inst] = j.at
		}
	}
}

// open returns the first way that may begin with the next character.
func open(ways []way, next hint) int {
	for k := range ways {
		if ways[k].first&next != 0 {
			return k
		}
	}
	return len(ways)
}

func within(ranges []rune, r rune) bool {
	for k := 0; k+1 < len(ranges); k += 2 {
		if r <= ranges[k+1] {
			return r >= ranges[k]
		}
	}
	return false
}

// holds reports whether what is asked of a place between two characters holds.
func holds(want syntax.EmptyOp, text []rune, i int) bool {
	before, after := rune(-1), rune(-1)
	if i > 0 {
		before = text[i-1]
	}
	if i < len(text) {
		after = text[i]
	}
	return want&^syntax.EmptyOpContext(before, after) == 0
}
