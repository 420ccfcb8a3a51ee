package llm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/text"
)

// Masked is a conversation as the model may see it: personal data are
// placeholders, the same value the same one in every message. Placeholders
// survive the way to the model and back: a quote is found by its masked words
// and named by its place in the original.
type Masked struct {
	lines []maskedLine
	found []text.Masked
}

type maskedLine struct {
	message int // index into Transcript.Messages
	id      string
	role    qingting.Role
	text    string
	runes   []rune // of text
	// from and to are, for each of runes, the code points of the original that
	// it stands for.
	from, to []int
	original []rune
}

// Mask orders the messages as they were said and masks them. Unfinished ASR
// results are left out. The transcript must be valid.
func Mask(t qingting.Transcript) *Masked {
	out := &Masked{}
	var all [][]text.Masked
	var everything strings.Builder
	for _, i := range asSaid(&t) {
		m := &t.Messages[i]
		// Each invalid byte becomes one replacement character, as offsets count it.
		original := []rune(m.Text)
		_, found := text.Mask(string(original))
		out.lines = append(out.lines, maskedLine{message: i, id: m.ID, role: m.Role, original: original})
		all = append(all, found)
		everything.WriteString(strings.ReplaceAll(string(original), "\x00", " "))
		everything.WriteByte(0)
	}
	names := holders{taken: everything.String(), given: map[holderKey]string{}, next: map[string]int{}}
	known := map[string]text.Masked{} // by the words, for messages where only they stand
	for i := range all {
		for j := range all[i] {
			f := &all[i][j]
			f.Placeholder = names.of(f)
			out.found = append(out.found, *f)
			if worthSeeking(f) {
				known[f.Text] = *f
			}
		}
	}
	seek(everything.String(), all, known)
	for i := range out.lines {
		out.lines[i].mask(all[i])
	}
	return out
}

// Unmask puts personal data back into what the model wrote.
func (m *Masked) Unmask(s string) string { return text.Unmask(s, m.found) }

// holders gives one placeholder to one value through a whole conversation.
type holders struct {
	taken string // the original words: a placeholder that somebody wrote is not ours
	given map[holderKey]string
	next  map[string]int
}

type holderKey struct {
	kind  qingting.SlotKind
	value string
}

func (h *holders) of(f *text.Masked) string {
	k := holderKey{f.Kind, f.Value}
	if given, ok := h.given[k]; ok {
		return given
	}
	name := strings.TrimRight(strings.Trim(f.Placeholder, "[]"), "0123456789")
	for {
		h.next[name]++
		holder := "[" + name + strconv.Itoa(h.next[name]) + "]"
		if !strings.Contains(h.taken, holder) {
			h.given[k] = holder
			return holder
		}
	}
}

// worthSeeking reports whether the words of a find are masked wherever they
// stand: a name that was once introduced, a number that was once announced.
func worthSeeking(f *text.Masked) bool {
	n := utf8.RuneCountInString(f.Text)
	return n >= 6 || f.Kind == qingting.SlotName && n >= 2
}

// seek adds to the finds of each message the words that were found in others.
// everything is the messages in order, each with a NUL behind it. Longer words come
// first, so that the result does not depend on the order of a map.
func seek(everything string, found [][]text.Masked, known map[string]text.Masked) {
	var starts []int
	for at := 0; at < len(everything); {
		starts = append(starts, at)
		at += strings.IndexByte(everything[at:], 0) + 1
	}
	for _, words := range slices.SortedFunc(maps.Keys(known), func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) }) {
		f := known[words]
		for at := 0; ; {
			i := strings.Index(everything[at:], words)
			if i < 0 {
				break
			}
			i += at
			at = i + len(words)
			line, ok := slices.BinarySearch(starts, i)
			if !ok {
				line--
			}
			f.Start = utf8.RuneCountInString(everything[starts[line]:i])
			f.End = f.Start + utf8.RuneCountInString(words)
			if !slices.ContainsFunc(found[line], func(o text.Masked) bool { return f.Start < o.End && o.Start < f.End }) {
				found[line] = append(found[line], f)
			}
		}
	}
	for _, list := range found {
		slices.SortFunc(list, func(a, b text.Masked) int { return a.Start - b.Start })
	}
}

// mask writes the placeholders and keeps the way back.
func (l *maskedLine) mask(found []text.Masked) {
	keep := func(to int) {
		for i := lastOf(l.to); i < to; i++ {
			l.runes, l.from, l.to = append(l.runes, l.original[i]), append(l.from, i), append(l.to, i+1)
		}
	}
	for _, f := range found {
		keep(f.Start)
		for _, r := range f.Placeholder {
			l.runes, l.from, l.to = append(l.runes, r), append(l.from, f.Start), append(l.to, f.End)
		}
	}
	keep(len(l.original))
	l.text = string(l.runes)
}

func lastOf(s []int) int {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1]
}

// render writes the conversation as data: a message a line, as JSON, so that no
// text can begin a line of its own, between marks that hold a hash of what
// stands between them, so that no text can contain its own end.
func (m *Masked) render() string {
	var b strings.Builder
	encode := json.NewEncoder(&b)
	encode.SetEscapeHTML(false)
	for _, l := range m.lines {
		// A struct of an integer and strings cannot fail.
		_ = encode.Encode(struct {
			Message int    `json:"message"`
			Role    string `json:"role"`
			Text    string `json:"text"`
		}{l.message, string(l.role), l.text})
	}
	sum := sha256.Sum256([]byte(b.String()))
	mark := hex.EncodeToString(sum[:6])
	return fmt.Sprintf("<会话 %s>\n%s</会话 %s>", mark, b.String(), mark)
}

// find returns where the customer wrote a quote, in the original. The message
// that the model names is looked at first. White space, punctuation, width and
// case may differ.
func (m *Masked) find(quote string, message int) (qingting.Span, bool) {
	order := make([]*maskedLine, 0, len(m.lines))
	for i := range m.lines {
		l := &m.lines[i]
		switch {
		case l.role != qingting.RoleCustomer:
		case l.message == message:
			order = slices.Insert(order, 0, l)
		default:
			order = append(order, l)
		}
	}
	exact := []rune(strings.TrimSpace(quote))
	if len(exact) == 0 {
		return qingting.Span{}, false
	}
	for _, l := range order {
		if at := strings.Index(l.text, string(exact)); at >= 0 {
			start := utf8.RuneCountInString(l.text[:at])
			return l.span(start, start+len(exact)), true
		}
	}
	folded, _ := fold(exact)
	if len(folded) < 2 {
		return qingting.Span{}, false
	}
	for _, l := range order {
		words, place := fold(l.runes)
		if at := strings.Index(string(words), string(folded)); at >= 0 {
			start := utf8.RuneCountInString(string(words)[:at])
			return l.span(place[start], place[start+len(folded)-1]+1), true
		}
	}
	return qingting.Span{}, false
}

func (l *maskedLine) span(start, end int) qingting.Span {
	from, to := l.from[start], l.to[end-1]
	return qingting.Span{Message: l.message, MessageID: l.id, Start: from, End: to, Quote: string(l.original[from:to])}
}

// fold keeps letters and digits, in one width and case, and where they stood.
func fold(s []rune) (out []rune, place []int) {
	for i, r := range s {
		if r >= '！' && r <= '～' {
			r = r - '！' + '!'
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			out, place = append(out, unicode.ToLower(r)), append(place, i)
		}
	}
	return out, place
}

// says reports whether an amount stands in the conversation.
func (m *Masked) says(amount float64) bool {
	digits := text.FormatNumber(amount)
	for _, l := range m.lines {
		if strings.Contains(l.text, digits) {
			return true
		}
		for _, a := range text.FindAmounts(l.runes) {
			if a.Value-amount < 0.005 && amount-a.Value < 0.005 {
				return true
			}
		}
	}
	return false
}

// last is the index of the last message, −1 for none.
func (m *Masked) last() int {
	if len(m.lines) == 0 {
		return -1
	}
	return m.lines[len(m.lines)-1].message
}

// asSaid returns the indexes of the messages in the order they were said, each
// delivery once, without unfinished ASR results; the rules are those of the
// pipeline.
func asSaid(t *qingting.Transcript) []int {
	place := make([]int, len(t.Messages))
	seen := map[string]bool{}
	var order []int
	for i := range t.Messages {
		m := &t.Messages[i]
		if place[i] = m.Seq; m.Seq == 0 && i > 0 {
			place[i] = place[i-1]
		}
		if m.Partial() || m.ID != "" && seen[m.ID] {
			continue
		}
		seen[m.ID] = true
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return place[a] - place[b] })
	return order
}
