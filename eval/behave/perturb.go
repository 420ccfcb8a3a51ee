package behave

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"

	"github.com/qingting-ai/qingting"
)

// Perturbation changes a conversation, the same way each time for the same
// seed. Which of the fields a change uses is said beside its name in changes.
type Perturbation struct {
	Name string `yaml:"name"`
	// Chain are perturbations one after another, instead of a name.
	Chain []Perturbation `yaml:"chain"`

	On    Where    `yaml:"on"`    // which messages; empty: every one of the customer
	Count int      `yaml:"count"` // how many places; 0: 1
	Words []string `yaml:"words"` // where: only these words
	With  []string `yaml:"with"`  // what is put there; one is drawn
	Keep  []string `yaml:"keep"`  // words that are not touched, beside those of the test
}

// Where says which messages a perturbation changes.
type Where string

// The places.
const (
	OnCustomer Where = "customer"
	OnFirst    Where = "first" // of the customer's
	OnLast     Where = "last"  // of the customer's
	OnAgent    Where = "agent"
)

// change is one named perturbation: of a text, or of a whole conversation.
type change struct {
	text  func(*edit, []rune) []rune
	whole func(*edit, []qingting.Message) []qingting.Message
	words bool // needs Words
	with  bool // needs With
}

// edit is one application of a perturbation.
type edit struct {
	*Perturbation
	*tables
	rand *rand.Rand
	keep []string
}

// changes are the perturbations by name.
func changes() map[string]change {
	return map[string]change{
		// script and width
		"traditional": {text: each(func(e *edit, r rune) rune { return swapped(e.traditional, r) })},
		"simplified":  {text: each(func(e *edit, r rune) rune { return swapped(e.simplified, r) })},
		"full_width":  {text: each(func(_ *edit, r rune) rune { return fullWidth(r) })},
		"half_width":  {text: each(func(_ *edit, r rune) rune { return halfWidth(r) })},
		// typing; each takes count
		"homophones":    {text: homophones},              // of words, or anywhere
		"pinyin":        {text: toPinyin, words: true},   // words become syllables: tousu
		"swap_adjacent": {text: swapAdjacent},            // two characters change places
		"drop_char":     {text: dropChar},                // a character is lost
		"repeat_char":   {text: repeatChar},              // 好慢 → 好慢慢慢
		"spaces":        {text: between(' ')},            // inside words, or everywhere
		"zero_width":    {text: between('\u200b')},       // the same, with a character nobody sees
		"circled":       {text: circled, words: true},    // 12315 → 12③15
		"de":            {text: deConfused},              // 的 得 地 confused
		"fillers":       {text: fillers},                 // 嗯、那个、就是说 between clauses
		"no_punct":      {text: noPunct},                 // a recogniser writes none
		"repeat_punct":  {text: repeatPunct},             // 。 → 。。。
		"emoji":         {text: appendDrawn, with: true}, // at the end
		"prefix":        {text: prependDrawn, with: true},
		"suffix":        {text: appendDrawn, with: true},
		"polite":        {text: polite}, // greeted and asked for
		// numbers
		"to_chinese_numerals": {text: toChinese},
		"to_digits":           {text: toDigits},
		"spell_digits":        {text: spellDigits, words: true}, // 12315 → 幺二三幺五
		// words
		"swap":   {text: swapWords, words: true, with: true}, // names, brands: one drawn for all
		"negate": {text: negate, words: true},                // 我要退款 → 我不退款了; with: 不是要 → 我不是要退款
		"degree": {text: degree, with: true},                 // 很慢 → 非常慢; words: the adjectives
		// conversations
		"customer_turn": {whole: appendTurn(qingting.RoleCustomer), with: true},
		"agent_turn":    {whole: appendTurn(qingting.RoleAgent), with: true},
		"first_agent":   {whole: prependTurn(qingting.RoleAgent), with: true},
		"split":         {whole: split},  // the last message of the customer that has two clauses
		"merge":         {whole: merge},  // neighbouring messages of the customer
		"reorder":       {text: reorder}, // the first two sentences change places
	}
}

// check finds what is wrong with a perturbation.
func (p *Perturbation) check() error {
	if len(p.Chain) > 0 {
		if p.Name != "" || p.On != "" || p.Count != 0 || p.Words != nil || p.With != nil {
			return fmt.Errorf("chain 里的每一步写自己的参数，chain 旁边只能有 keep")
		}
		for i := range p.Chain {
			if err := p.Chain[i].check(); err != nil {
				return fmt.Errorf("chain 第 %d 步：%w", i+1, err)
			}
		}
		return nil
	}
	c, ok := changes()[p.Name]
	if !ok {
		return fmt.Errorf("没有 %q 这种变换，可用的有 %s", p.Name, strings.Join(slices.Sorted(maps.Keys(changes())), "、"))
	}
	switch {
	case !slices.Contains([]Where{"", OnCustomer, OnFirst, OnLast, OnAgent}, p.On):
		return fmt.Errorf("on %q 不认识，只能是 customer、first、last 或 agent", p.On)
	case p.Count < 0 || p.Count > 100:
		return fmt.Errorf("count 在 0 和 100 之间")
	case c.words && len(p.Words) == 0:
		return fmt.Errorf("%s 要写 words：改哪些词", p.Name)
	case c.with && len(p.With) == 0:
		return fmt.Errorf("%s 要写 with：换成或加上什么", p.Name)
	case slices.Contains(p.Words, "") || slices.Contains(p.With, "") || slices.Contains(p.Keep, ""):
		return fmt.Errorf("words、with 和 keep 里不能有空的词")
	}
	return nil
}

// String names a perturbation in reports.
func (p *Perturbation) String() string {
	if len(p.Chain) == 0 {
		return p.Name
	}
	var names []string
	for i := range p.Chain {
		names = append(names, p.Chain[i].String())
	}
	return strings.Join(names, "+")
}

// apply returns the changed messages; the given ones stay as they are.
func (p *Perturbation) apply(t *tables, rnd *rand.Rand, keep []string, messages []qingting.Message) []qingting.Message {
	keep = slices.Concat(keep, p.Keep)
	if len(p.Chain) > 0 {
		for i := range p.Chain {
			messages = p.Chain[i].apply(t, rnd, keep, messages)
		}
		return messages
	}
	e := &edit{p, t, rnd, keep}
	c := t.steps[p.Name]
	out := slices.Clone(messages)
	if c.whole != nil {
		return c.whole(e, out)
	}
	for i := range out {
		if e.on(out, i) {
			out[i].Text = string(c.text(e, []rune(out[i].Text)))
		}
	}
	return out
}

// on reports whether the perturbation changes message i.
func (e *edit) on(messages []qingting.Message, i int) bool {
	customer := func(m qingting.Message) bool { return m.Role == qingting.RoleCustomer }
	switch e.On {
	case OnAgent:
		return messages[i].Role == qingting.RoleAgent
	case OnFirst:
		return slices.IndexFunc(messages, customer) == i
	case OnLast:
		return customer(messages[i]) && !slices.ContainsFunc(messages[i+1:], customer)
	}
	return customer(messages[i])
}

func (e *edit) count() int { return max(e.Count, 1) }

func (e *edit) draw() []rune { return []rune(e.With[e.rand.IntN(len(e.With))]) }

// held marks the characters of the words that must not change.
func (e *edit) held(t []rune) []bool { return covered(t, e.keep) }

// covered marks the characters of t that belong to one of the words.
func covered(t []rune, words []string) []bool {
	out := make([]bool, len(t))
	for _, w := range words {
		k := []rune(w)
		for i := 0; i+len(k) <= len(t); i++ {
			if slices.Equal(t[i:i+len(k)], k) {
				for j := range k {
					out[i+j] = true
				}
			}
		}
	}
	return out
}

// places are the indices that may change and for which ok holds: inside Words
// where there are any, never inside words that are kept.
func (e *edit) places(t []rune, ok func(i int) bool) []int {
	held, inside := e.held(t), covered(t, e.Words)
	var out []int
	for i := range t {
		if !held[i] && (len(e.Words) == 0 || inside[i]) && ok(i) {
			out = append(out, i)
		}
	}
	return out
}

// pick draws n of the places, in their order.
func (e *edit) pick(places []int, n int) []int {
	drawn := slices.Clone(places)
	e.rand.Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
	drawn = drawn[:min(n, len(drawn))]
	slices.Sort(drawn)
	return drawn
}

// each changes every character that is not kept on its own.
func each(of func(*edit, rune) rune) func(*edit, []rune) []rune {
	return func(e *edit, t []rune) []rune {
		out := slices.Clone(t)
		for _, i := range e.places(t, func(int) bool { return true }) {
			out[i] = of(e, t[i])
		}
		return out
	}
}

func swapped(table map[rune]rune, r rune) rune {
	if to, ok := table[r]; ok {
		return to
	}
	return r
}

// fullWidth gives ASCII its wide form; the space is U+3000.
func fullWidth(r rune) rune {
	switch {
	case r == ' ':
		return '\u3000'
	case r > ' ' && r < 0x7f:
		return r + 0xfee0
	}
	return r
}

// halfWidth is the way back; Chinese commas and stops with a wide form become
// ASCII too.
func halfWidth(r rune) rune {
	switch {
	case r == '\u3000':
		return ' '
	case r > 0xff00 && r < 0xff5f:
		return r - 0xfee0
	}
	return r
}

func homophones(e *edit, t []rune) []rune {
	out := slices.Clone(t)
	for _, i := range e.pick(e.places(t, func(i int) bool { return len(e.homophones[t[i]]) > 0 }), e.count()) {
		like := e.homophones[t[i]]
		out[i] = like[e.rand.IntN(len(like))]
	}
	return out
}

func toPinyin(e *edit, t []rune) []rune {
	places := e.places(t, func(i int) bool { return e.syllable[t[i]] != "" })
	var out []rune
	for i, r := range t {
		if slices.Contains(places, i) {
			out = append(out, []rune(e.syllable[r])...)
		} else {
			out = append(out, r)
		}
	}
	return out
}

func han(r rune) bool { return unicode.Is(unicode.Han, r) }

// swapAdjacent lets the first of two different Chinese characters change place
// with the second.
func swapAdjacent(e *edit, t []rune) []rune {
	held := e.held(t)
	out := slices.Clone(t)
	for _, i := range e.pick(e.places(t, func(i int) bool {
		return i+1 < len(t) && !held[i+1] && han(t[i]) && han(t[i+1]) && t[i] != t[i+1]
	}), e.count()) {
		out[i], out[i+1] = out[i+1], out[i]
	}
	return out
}

func dropChar(e *edit, t []rune) []rune {
	lost := e.pick(e.places(t, func(i int) bool { return han(t[i]) }), e.count())
	var out []rune
	for i, r := range t {
		if !slices.Contains(lost, i) {
			out = append(out, r)
		}
	}
	return out
}

// repeatChar writes the last character of a clause three times more.
func repeatChar(e *edit, t []rune) []rune {
	long := e.pick(e.places(t, func(i int) bool { return han(t[i]) && (i+1 == len(t) || stops(t[i+1])) }), e.count())
	var out []rune
	for i, r := range t {
		out = append(out, r)
		if slices.Contains(long, i) {
			out = append(out, r, r, r)
		}
	}
	return out
}

// between puts a character between those of the words, or of the whole text.
func between(mark rune) func(*edit, []rune) []rune {
	return func(e *edit, t []rune) []rune {
		inside := e.places(t, func(i int) bool { return !unicode.IsSpace(t[i]) })
		var out []rune
		for i, r := range t {
			if i > 0 && slices.Contains(inside, i-1) && slices.Contains(inside, i) {
				out = append(out, mark)
			}
			out = append(out, r)
		}
		return out
	}
}

// circled writes some digits of the words in a circle.
func circled(e *edit, t []rune) []rune {
	out := slices.Clone(t)
	for _, i := range e.pick(e.places(t, func(i int) bool { return t[i] >= '1' && t[i] <= '9' }), e.count()) {
		out[i] = '①' + t[i] - '1'
	}
	return out
}

// deConfused writes one of 的 得 地 for another, as recognisers do.
func deConfused(e *edit, t []rune) []rune {
	const de = "的得地"
	out := slices.Clone(t)
	for _, i := range e.pick(e.places(t, func(i int) bool { return strings.ContainsRune(de, t[i]) }), e.count()) {
		others := []rune(strings.ReplaceAll(de, string(t[i]), ""))
		out[i] = others[e.rand.IntN(len(others))]
	}
	return out
}

// stops reports punctuation that ends a clause or a sentence.
func stops(r rune) bool { return strings.ContainsRune("，。！？；,!?;…\n", r) }

// fillers are what people say while they think.
func fillers(e *edit, t []rune) []rune {
	said := []string{"嗯，", "那个，", "就是说，", "呃，", "然后呢，", "就是，"}
	held := e.held(t)
	var starts []int
	for i := range t {
		inside := i > 0 && held[i-1] && held[i]
		if !inside && !stops(t[i]) && (i == 0 || stops(t[i-1])) {
			starts = append(starts, i)
		}
	}
	at := e.pick(starts, e.count())
	var out []rune
	for i, r := range t {
		if slices.Contains(at, i) {
			out = append(out, []rune(said[e.rand.IntN(len(said))])...)
		}
		out = append(out, r)
	}
	return out
}

// noPunct drops every mark but those that belong to a number or a word.
func noPunct(e *edit, t []rune) []rune {
	held := e.held(t)
	word := func(i int) bool {
		return i >= 0 && i < len(t) && t[i] < 0x80 && (unicode.IsLetter(t[i]) || unicode.IsDigit(t[i]))
	}
	var out []rune
	for i, r := range t {
		if unicode.IsPunct(r) && !held[i] && !(word(i-1) && word(i+1)) && r != '%' {
			continue
		}
		out = append(out, r)
	}
	return out
}

// repeatPunct writes the mark at the end of a sentence three times.
func repeatPunct(e *edit, t []rune) []rune {
	ends := e.pick(e.places(t, func(i int) bool { return strings.ContainsRune("。，", t[i]) }), e.count())
	var out []rune
	for i, r := range t {
		out = append(out, r)
		if slices.Contains(ends, i) {
			out = append(out, r, r)
		}
	}
	return out
}

func prependDrawn(e *edit, t []rune) []rune { return append(e.draw(), t...) }
func appendDrawn(e *edit, t []rune) []rune  { return append(slices.Clone(t), e.draw()...) }

// polite greets before and asks after, without thanks, which are a feeling.
func polite(e *edit, t []rune) []rune {
	before := []string{"您好，", "你好，请问在吗，", "客服您好，麻烦看一下，"}
	after := []string{"，麻烦您了", "，麻烦帮忙看一下", "，辛苦处理一下"}
	body := strings.TrimRight(string(t), "。，")
	return []rune(before[e.rand.IntN(len(before))] + body + after[e.rand.IntN(len(after))])
}

// swapWords puts one drawn word in the place of each of the words.
func swapWords(e *edit, t []rune) []rune {
	to := string(e.draw())
	s := string(t)
	held := e.held(t)
	words := slices.Clone(e.Words)
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	if !slices.Contains(held, true) {
		pairs := make([]string, 0, 2*len(words))
		for _, w := range words {
			pairs = append(pairs, w, to)
		}
		return []rune(strings.NewReplacer(pairs...).Replace(s))
	}
	return replaceFree(t, held, words, func([]rune, int, string) (int, string) { return 0, to })
}

// replaceFree replaces the words outside held characters. of is told the text
// and the index at which the word begins, and says how many characters before
// it go as well and what is put there.
func replaceFree(t []rune, held []bool, words []string, of func(t []rune, i int, word string) (before int, to string)) []rune {
	var out []rune
next:
	for i := 0; i < len(t); i++ {
		for _, w := range words {
			k := []rune(w)
			if i+len(k) <= len(t) && slices.Equal(t[i:i+len(k)], k) && !slices.Contains(held[i:i+len(k)], true) {
				before, to := of(t, i, w)
				// What goes before the word must be ours to take.
				for range before {
					if len(out) > 0 {
						out = out[:len(out)-1]
					}
				}
				out = append(out, []rune(to)...)
				i += len(k) - 1
				continue next
			}
		}
		out = append(out, t[i])
	}
	return out
}

// before returns the longest of the words that ends where t[:i] does, free of
// held characters.
func before(t []rune, held []bool, i int, words []string) int {
	longest := 0
	for _, w := range words {
		k := []rune(w)
		if len(k) <= i && len(k) > longest && slices.Equal(t[i-len(k):i], k) && !slices.Contains(held[i-len(k):i], true) {
			longest = len(k)
		}
	}
	return longest
}

// negate takes a demand back: (想)要退款 → 不退款了. With a phrase it stands
// before the demand instead: 我要投诉 → 我不是要投诉.
func negate(e *edit, t []rune) []rune {
	held := e.held(t)
	wishes := []string{"要", "想", "想要", "要求", "申请", "必须", "一定要", "我要", "我想要"}
	return replaceFree(t, held, e.Words, func(t []rune, i int, word string) (int, string) {
		n := before(t, held, i, wishes)
		subject := ""
		if n > 0 && t[i-n] == '我' {
			subject = "我"
		}
		if len(e.With) > 0 {
			return n, subject + string(e.draw()) + word
		}
		return n, subject + "不" + word + "了"
	})
}

// degree puts a drawn adverb before each adjective, instead of the one there.
func degree(e *edit, t []rune) []rune {
	held := e.held(t)
	words := e.Words
	if len(words) == 0 {
		words = []string{"难吃", "失望", "生气", "着急", "满意", "糟糕", "慢", "差", "贵", "烦", "脏", "吵"}
	}
	adverbs := []string{"很", "太", "有点", "非常", "特别", "挺", "真", "有些", "比较", "十分", "极其"}
	return replaceFree(t, held, words, func(t []rune, i int, word string) (int, string) {
		return before(t, held, i, adverbs), string(e.draw()) + word
	})
}

func appendTurn(role qingting.Role) func(*edit, []qingting.Message) []qingting.Message {
	return func(e *edit, m []qingting.Message) []qingting.Message {
		return append(m, qingting.Message{Role: role, Text: string(e.draw())})
	}
}

func prependTurn(role qingting.Role) func(*edit, []qingting.Message) []qingting.Message {
	return func(e *edit, m []qingting.Message) []qingting.Message {
		return slices.Insert(m, 0, qingting.Message{Role: role, Text: string(e.draw())})
	}
}

// split cuts the last message of the customer that has two clauses behind its
// middle stop.
func split(e *edit, messages []qingting.Message) []qingting.Message {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role != qingting.RoleCustomer {
			continue
		}
		t := []rune(messages[i].Text)
		held := e.held(t)
		var at []int
		for j := 1; j < len(t); j++ {
			if stops(t[j-1]) && !stops(t[j]) && !(held[j-1] && held[j]) && strings.TrimSpace(string(t[j:])) != "" {
				at = append(at, j)
			}
		}
		if len(at) == 0 {
			continue
		}
		cut := at[len(at)/2]
		rest := messages[i]
		rest.Text = string(t[cut:])
		messages[i].Text = strings.TrimRight(string(t[:cut]), "，,；;")
		return slices.Insert(messages, i+1, rest)
	}
	return messages
}

// merge joins neighbouring messages of the customer.
func merge(_ *edit, messages []qingting.Message) []qingting.Message {
	var out []qingting.Message
	for _, m := range messages {
		last := len(out) - 1
		if last < 0 || m.Role != qingting.RoleCustomer || out[last].Role != m.Role {
			out = append(out, m)
			continue
		}
		text := out[last].Text
		if r := []rune(text); len(r) > 0 && !stops(r[len(r)-1]) {
			text += "，"
		}
		out[last].Text = text + m.Text
	}
	return out
}

// reorder lets the first two sentences change places.
func reorder(_ *edit, t []rune) []rune {
	var cut []int
	for i, r := range t {
		if strings.ContainsRune("。！？", r) && (i+1 == len(t) || !stops(t[i+1])) {
			cut = append(cut, i+1)
		}
	}
	if len(cut) == 0 || cut[0] == len(t) {
		return slices.Clone(t)
	}
	second := len(t)
	if len(cut) > 1 {
		second = cut[1]
	}
	out := slices.Clone(t[cut[0]:second])
	if len(out) > 0 && !stops(out[len(out)-1]) {
		out = append(out, '。')
	}
	return slices.Concat(out, t[:cut[0]], t[second:])
}
