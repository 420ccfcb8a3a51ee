// Package lint reads a reply before it is sent, a draft of ours or the
// agent's own typing, and finds what must not reach a customer: phrases that
// inflame, blame, promises nobody can keep or nobody owns, jargon, too many
// steps, amounts beyond authority, personal data, questions already answered
// and links. Where a better wording is known the finding carries it.
//
// The rules are patterns over single sentences and look for what surrounds a
// word, because the same word is fine elsewhere: 没办法 said of us is a
// refusal, 您没办法登录 is a fact. Quoted text counts as the customer's words
// and only personal data and links are looked for in it.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/pattern"
)

// The rules. They are stable ids: clients show and count them.
const (
	RuleForbidden   = "forbidden"     // 禁用语
	RuleBlame       = "blame"         // 责备客户
	RuleOverPromise = "over_promise"  // 过度承诺
	RuleJargon      = "jargon"        // 内部用语
	RuleSteps       = "steps"         // 超过三步
	RulePromise     = "promise"       // 承诺没有责任人或时限
	RuleAmount      = "amount"        // 金额超出权限
	RulePersonal    = "personal_data" // 完整的个人信息
	RuleAsked       = "asked"         // 问了客户已经说过的
	RuleLink        = "link"          // 链接
)

// Rules lists every rule in the order of the product description.
func Rules() []string {
	return []string{
		RuleForbidden, RuleBlame, RuleOverPromise, RuleJargon, RuleSteps,
		RulePromise, RuleAmount, RulePersonal, RuleAsked, RuleLink,
	}
}

// MaxSteps is how many steps a customer can follow in one message.
const MaxSteps = 3

// Finding is one fault. Start and End count code points of the text as given,
// half open; Quote is text[Start:End].
type Finding struct {
	Rule   string `json:"rule"`
	Start  int    `json:"start"`
	End    int    `json:"end"`
	Quote  string `json:"quote"`
	Reason string `json:"reason"` // a Chinese sentence for the agent
	// Rewrite is what to put in the place of Quote; "" when only a person can say.
	Rewrite string `json:"rewrite,omitempty"`
}

// Context is what the reply is held against. The zero value is the default
// authority and a customer who has said nothing.
type Context struct {
	// Authority is what the agent may grant; nil: 50 CNY, coupon 30.
	Authority *Authority
	// Known are facts the customer has already given.
	Known []qingting.Slot
	// Due is a deadline in words (今天18点前). With it, promises without one
	// can be rewritten.
	Due string
}

// Authority is what may be granted without approval, in CNY.
type Authority struct {
	Compensate, Coupon, Refund float64
}

// DefaultAuthority follows the product description, section 4.
func DefaultAuthority() Authority { return Authority{Compensate: 50, Coupon: 30, Refund: 50} }

// Phrase is a wording that a deployment bans.
type Phrase struct{ Text, Rewrite, Reason string }

// Linter holds compiled rules. It never changes and may be used concurrently.
type Linter struct {
	words words
	rules []rule
	extra []banned
	grams patterns
	spare sync.Pool // of *draft
}

// banned is a phrase with its text folded.
type banned struct {
	Phrase
	text []rune
}

// New compiles the built-in rules and adds banned phrases to them.
func New(extra ...Phrase) (*Linter, error) {
	l := &Linter{words: words{pattern.NewWords()}}
	for _, s := range specs() {
		r, err := s.compile(l.words)
		if err != nil {
			return nil, fmt.Errorf("lint rule %s: %w", s.id, err)
		}
		l.rules = append(l.rules, r)
	}
	for _, p := range extra {
		if utf8.RuneCountInString(p.Text) < 2 {
			return nil, fmt.Errorf("禁用语 %q 太短，至少两个字", p.Text)
		}
		p.Text = foldString(p.Text)
		l.extra = append(l.extra, banned{p, []rune(p.Text)})
	}
	var err error
	if l.grams, err = compilePatterns(l.words); err != nil {
		return nil, err
	}
	if l.words.Len() > maxWords {
		return nil, fmt.Errorf("lint: %d anchor words, room for %d", l.words.Len(), maxWords)
	}
	return l, nil
}

// spec is a rule as it is written in the table.
type spec struct {
	id      string
	anchors string // words of which one must occur, separated by spaces: the cheap test
	match   string // over one sentence; group 1, if any, is the finding
	unless  string // over the clause of the finding: then it is not one
	reason  string
	rewrite string
}

type rule struct {
	id              string
	anchors         wordSet
	match, unless   *pattern.Pattern
	reason, rewrite string
}

func (s spec) compile(w words) (rule, error) {
	r := rule{id: s.id, anchors: w.set(strings.Fields(s.anchors)...), reason: s.reason, rewrite: s.rewrite}
	var err error
	if r.match, err = pattern.Compile(s.match); err != nil {
		return r, err
	}
	if s.unless != "" {
		r.unless, err = pattern.Compile(s.unless)
	}
	return r, err
}

// Check returns the findings by start. Overlapping findings of different
// rules are all returned; of one rule only the first. Text that is not UTF-8
// is read with U+FFFD in place of the bad bytes, one for each.
func (l *Linter) Check(text string, c Context) []Finding {
	if text == "" {
		return nil
	}
	d, _ := l.spare.Get().(*draft)
	if d == nil {
		d = &draft{}
	}
	defer l.spare.Put(d)
	d.read(text, l.words)
	var out []Finding
	for i := range l.rules {
		out = l.rules[i].find(d, out)
	}
	for i := range l.extra {
		p := &l.extra[i]
		for at := index(d.masked, p.text, 0); at >= 0; at = index(d.masked, p.text, at+len(p.text)) {
			if !guarded(string(d.masked[max(0, at-18):at]), p.Text) {
				out = append(out, d.finding(RuleForbidden, at, at+len(p.text), p.Reason, p.Rewrite))
			}
		}
	}
	out = l.grams.steps(d, out)
	out = l.grams.promises(d, c, out)
	out = l.grams.amounts(d, c, out)
	out = l.grams.personal(d, c, out)
	out = l.grams.asked(d, c, out)
	out = l.grams.links(d, out)
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.Rule, b.Rule))
	})
	// A longer finding of the same rule says all that a shorter one inside it says.
	kept := out[:0]
	for _, f := range out {
		if !slices.ContainsFunc(kept, func(k Finding) bool { return k.Rule == f.Rule && f.Start < k.End }) {
			kept = append(kept, f)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// Rewrite puts the rewrites of the findings into the text, left to right.
// Findings without one stay as they are, and so does a finding that overlaps
// one already replaced.
func Rewrite(text string, findings []Finding) string {
	var b strings.Builder
	runes, done := []rune(text), 0
	for _, f := range findings {
		if f.Rewrite == "" || f.Start < done || f.End > len(runes) || f.Start > f.End {
			continue
		}
		b.WriteString(string(runes[done:f.Start]))
		b.WriteString(f.Rewrite)
		done = f.End
	}
	b.WriteString(string(runes[done:]))
	return b.String()
}

// draft is a text prepared for the rules: folded one character to one
// character, and once more with quoted parts blanked.
type draft struct {
	text      string
	folded    []rune
	masked    []rune
	sentences []part
	all       wordSet // words of every sentence
	offsets   []int   // byte offset in text of each code point, and its length at the end
	starts    []int   // code point of each character of masked, and their number at the end
	machine   pattern.Machine
	spare     []rune
}

// part is one sentence: a range of masked, and its words.
type part struct {
	start, end int
	words      wordSet
}

// read prepares a text, in the memory of the text before.
func (d *draft) read(text string, w words) {
	d.text, d.folded, d.masked, d.offsets, d.starts = text, d.folded[:0], d.masked[:0], d.offsets[:0], d.starts[:0]
	for i, r := range text {
		d.offsets = append(d.offsets, i)
		d.folded = append(d.folded, fold(r))
	}
	d.offsets = append(d.offsets, len(text))
	var closing rune
	var missing []rune   // marks that do not come any more, so that nobody looks for them twice
	opened, mask := 0, 0 // where the open quotation begins, in folded and in masked
	for k, r := range d.folded {
		switch {
		case closing == 0:
			if c := closer(r); c != 0 && !slices.Contains(missing, c) {
				if slices.Contains(d.folded[k+1:], c) {
					closing, opened, mask = c, k+1, len(d.masked)+1
				} else {
					missing = append(missing, c)
				}
			}
		case r == closing:
			d.masked, d.starts = d.masked[:mask], d.starts[:mask]
			for j := opened; j < k; j++ {
				// One blank for each byte, so that a pattern that allows a few
				// characters does not reach across a quotation.
				for range utf8.RuneLen(d.folded[j]) {
					d.masked, d.starts = append(d.masked, '_'), append(d.starts, j)
				}
			}
			closing = 0
		}
		d.masked, d.starts = append(d.masked, r), append(d.starts, k)
	}
	d.starts = append(d.starts, len(d.folded))
	d.sentences, d.all = d.sentences[:0], wordSet{}
	start := 0
	for i, r := range d.masked {
		switch r {
		case '。', '！', '？', '!', '?', '；', ';', '\n':
		default:
			if i+1 < len(d.masked) {
				continue
			}
		}
		p := part{start: start, end: i + 1}
		w.in(d.masked[p.start:p.end], &p.words)
		for i := range p.words {
			d.all[i] |= p.words[i]
		}
		d.sentences = append(d.sentences, p)
		start = p.end
	}
}

// match reports whether a pattern matches anywhere in a part of the text.
func (d *draft) match(p *pattern.Pattern, text []rune) bool { return d.machine.Match(p, text) }

func closer(r rune) rune {
	switch r {
	case '“':
		return '”'
	case '「':
		return '」'
	case '『':
		return '』'
	case '‘':
		return '’'
	case '"':
		return '"'
	case '《':
		return '》'
	}
	return 0
}

// finding makes a finding of a range of the masked text.
func (d *draft) finding(id string, start, end int, reason, rewrite string) Finding {
	return d.plain(id, d.starts[start], d.starts[end], reason, rewrite)
}

// plain makes a finding of a range of the folded text.
func (d *draft) plain(id string, from, to int, reason, rewrite string) Finding {
	return Finding{Rule: id, Start: from, End: to, Quote: d.text[d.offsets[from]:d.offsets[to]], Reason: reason, Rewrite: rewrite}
}

func (r *rule) find(d *draft, out []Finding) []Finding {
	if !d.all.meets(&r.anchors) {
		return out
	}
	for i := range d.sentences {
		s := &d.sentences[i]
		if !s.words.meets(&r.anchors) {
			continue
		}
		sentence := d.masked[s.start:s.end]
		for next := 0; ; {
			from, to := d.machine.Next(r.match, sentence, next)
			if from < 0 {
				break
			}
			next = to
			if a, b := d.machine.Group(1); a >= 0 {
				from, to = a, b
			}
			if from == to || r.unless != nil && d.match(r.unless, clause(sentence, from, to)) {
				continue
			}
			out = append(out, d.finding(r.id, s.start+from, s.start+to, r.reason, r.rewrite))
		}
	}
	return out
}

// clause widens a range of a sentence to the commas around it.
func clause(sentence []rune, from, to int) []rune {
	for from > 0 && !strings.ContainsRune("，,：:、", sentence[from-1]) {
		from--
	}
	for to < len(sentence) && !strings.ContainsRune("，,。！？!?；;\n", sentence[to]) {
		to++
	}
	return sentence[from:to]
}

// index returns where a word first stands in the text from a character on,
// or −1.
func index(text, word []rune, from int) int {
	for i := from; i+len(word) <= len(text); i++ {
		if text[i] == word[0] && slices.Equal(text[i:i+len(word)], word) {
			return i
		}
	}
	return -1
}

// guarded reports whether a banned phrase, after the text before, is said of the customer's side
// (您没办法登录) or is part of a longer, harmless word (有没办法).
func guarded(before, phrase string) bool {
	before = before[max(0, len(before)-18):]
	if phrase == "没办法" {
		for _, w := range []string{"您", "有", "不是", "手机", "电脑", "机器", "页面", "系统", "暂时"} {
			if strings.HasSuffix(before, w) || w == "您" && strings.Contains(lastClause(before), w) && !strings.Contains(lastClause(before), "我") && !strings.Contains(lastClause(before), "给您") && !strings.Contains(lastClause(before), "为您") && !strings.Contains(lastClause(before), "帮您") {
				return true
			}
		}
	}
	return strings.HasSuffix(before, "不是说") || strings.HasSuffix(before, "不会说") || strings.HasSuffix(before, "不该说")
}

func lastClause(s string) string {
	if i := strings.LastIndexAny(s, "，。！？；,!?;\n"); i >= 0 {
		return s[i:]
	}
	return s
}

// fold maps a character to the one the rules are written in: half width, 您
// for 你, and the traditional forms that occur in the rules.
func fold(r rune) rune {
	switch {
	case r == '，' || r == '。' || r == '！' || r == '？' || r == '；' || r == '：':
		return r
	case r >= 0xFF01 && r <= 0xFF5E:
		return r - 0xFEE0
	case r == '你' || r == '妳':
		return '您'
	case r == 0x3000 || r == 0xA0:
		return ' '
	case r < 0x4E00:
		return r
	}
	return traditional.fold(r)
}

func foldString(s string) string { return strings.Map(fold, s) }
