package lexicon

import (
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/pattern"
)

// guards holds the compiled expressions of the guards. They read the words
// around a hit, never the hit itself, so one table serves every rule.
type guards struct {
	// negators stand before the hit, with at most maxFillers fillers between:
	// 我不是要〔投诉〕. They are written backwards.
	negators, fillers *pattern.Words
	// meant undoes a negator before it: 别以为我不会〔起诉〕, 不得不〔投诉〕.
	meant *pattern.Pattern
	// unless opens a sentence in which a negation threatens: 要不是…我也不会.
	// needed stands after a negated hit that has to be: 不〔起诉〕是不行了.
	unless, needed *pattern.Pattern
	// waived stands right after the hit: 〔起诉〕就不必了.
	waived *pattern.Pattern
	// Every waived, told or earlier has one of these characters; most texts
	// have none.
	waiving, telling, passed chars
	// conditions open a hypothetical; threat inside makes it a real threat.
	conditions *pattern.Words
	threat     *pattern.Pattern
	// supposed stands right after the hit: 要〔投诉〕的话应该打什么电话; demand
	// before the hit undoes it.
	supposed, demand *pattern.Pattern
	// inquired stands right after the hit in a question about it: 〔消协〕的电话是
	// 多少; demand before the hit undoes it, and so does intent: 我要〔起诉〕.
	inquired, intent *pattern.Pattern
	// asking stands before the hit in a question; dare undoes it.
	asking, dare *pattern.Pattern
	// possible holds in the clause of the hit, up to its end, in a question
	// whether something can happen: 会不会〔自燃〕吗; happened undoes it.
	possible, happened *pattern.Pattern
	// whether asks by itself, without a mark or a particle.
	whether *pattern.Pattern
	// told stands right before the hit: 客服让我去〔投诉〕; own undoes it. hearsay
	// stands there too, 有人喊着要〔曝光〕, and nothing undoes it.
	told, own, hearsay *pattern.Pattern
	// speech stands right before an opening quotation mark; self undoes it.
	speech, self *pattern.Pattern
	// earlier and settled together tell of a matter that is over; again undoes
	// them.
	earlier, settled, again *pattern.Pattern
}

func newGuards() *guards {
	return &guards{
		negators:   backwards(`没有必要 不准备 不存在 不打算 不至于 不需要 从来没 没必要 没打算 不会 不再 不必 不想 不愿 不敢 不是 不用 不要 从未 从没 并不 并非 懒得 拒绝 无意 无需 未曾 没想 没有 不 免 别 未 没`),
		fillers:    backwards(`一点 为了 举报 什么 任何 你们 再去 出现 反映 发现 发生 可以 因为 必要 怎么 急着 意思 感到 感觉 我们 打算 投诉 特别 申请 真的 着急 联系 至于 觉得 这个 这么 遇到 那么 需要 会 你 做 再 到 去 向 太 很 得 急 想 我 打 找 拨 提 是 有 来 求 用 真 给 能 要 让 说 走 跟 过`),
		meant:      must(`(?:是不是|谁说|不是不|并非不|不是没|要不是|若不是|不得不|不能不|难道|以为|别怪|不要怪|别逼|不要逼|不信|如果不是|岂不|何不|动不动|受不了|要不|能不能|会不会|可不可以|不然|否则|忍不住|何尝不|不解决|不处理|不回|不给|不退|不赔|再不|还不)[^,]{0,4}$`),
		unless:     must(`要不是|若不是|如果不是|若非`),
		needed:     must(`^[^,。.!?;]{0,6}(?:是|可)?(?:不行|不成|说不过去)|^[^。.!?;]{0,8}(?:不姓|不是人|誓不)`),
		waived:     must(`^[^,。.!?;]{0,4}(?:就|倒|也|都|是|还)?(?:不必|不用了|算了|不至于|没必要|没有必要|谈不上|免了|不需要|就不了|不去了|不打了)`),
		waiving:    newChars("不没算免谈"),
		telling:    newChars("说称讲复诉让叫喊议劝要胁人闻传报事友居戚句"),
		passed:     newChars("年前上曾当那过"),
		conditions: pattern.NewWords(strings.Fields(`如果 要是 假如 假设 假使 倘若 若是 万一 比如 比方 打个比方 举个例子 哪天 的话`)...),
		threat:     must(`[不没无未]|再(?:这样|拖|打|发|扣|收|乱|犯|出现|敢|骚扰|来|让)|继续|还(?:是|这样|敢|打|发|扣|收)|拒绝|解决|处理|骚扰|忽悠|糊弄|我(?:就|只能|只好|会|一定|必|要|将)`),
		supposed:   must(`^[^,。.!?;]{0,6}的话,?[^,。.!?;]{0,8}(?:什么|怎么|如何|哪|谁|吗|多少)`),
		inquired: must(`^(?:这个|那个|的|会|部门|局)*(?:投诉|举报|客服|服务|咨询|监督)?(?:电话|号码|热线|地址|网址|官网|网站|邮箱|渠道|平台|流程|程序|材料|条件|上班时间|费用?|格式|模板|入口)(?:一般|大概|到底|具体)?(?:要|是|在)?(?:多少|什么|哪|几|谁|怎么|如何|往哪)` +
			`|^(?:的话)?(?:要|该|应该|得|一般)?(?:怎么|如何)(?:走|投诉|打|写|去|联系|寄|发|填|申请|举报|操作|弄|找|查|收费|算)` +
			`|^(?:的话)?(?:一般)?(?:要|需要|得)(?:准备|带|提供|交)?(?:什么|哪些|多少)(?:材料|手续|流程|条件|证据|证件|资料|钱|费用)` +
			`|^(?:会|局|部门)?(?:现在|今天|一般|周末)?(?:几点|上班吗|有人吗)|^是(?:多少|哪|干)|^是不是[^,。.!?;我]{1,10}$` +
			`|^(?:这个|那个)?(?:电话|号码|热线|平台)?(?:是不是|是)(?:你们|谁|政府|国家|真|假)[^,。.!?;]{0,8}(?:[吗么呢?]|$)` +
			`|^[^。.!?;]{0,8},?(?:是真的|真的)[吗么]`),
		intent:   must(`(?:我|我们|本人)(?:已经?|要|会|就|现在|刚|马上|这就|一定|必须)`),
		possible: must(`(?:会不会|有没有可能|(?:^|[^我])会|容易|可能)[^,]{0,10}$`),
		whether:  must(`(?:会不会|有没有可能)[^,]{0,10}$`),
		happened: must(`竟然|居然|怎么会|怎么还会|总会|老会|经常会|还会|都会|又|已经|难道|以为`),
		demand:   must(`再不|再这样|不解决|不处理|不退|不赔|不给|不回|非要|逼`),
		asking:   must(`是不是(?:可以|能|应该|要|该)|能不能|可不可以|可否|能否|是否|要不要|该不该|怎么|如何|去哪|哪里|哪儿|向谁|找谁|问一下|问下|想问|请问|咨询|会不会|需要|可以|应该|归|属于|能|是`),
		dare:     must(`逼|非要|非得|难道|想让|想要|要我|等我|才|信不信|是要|是不是要|不就|必须`),
		told:     must(`(?:客服|人员|店家|商家|卖家|老板|师傅|经理|店员|营业员|人家|他们?|她|你们?|对方|朋友|同事|网友|有人|别人|邻居|你们的人)(?:们|跟我|和我|对我|给我|直接|还|就|居然|竟然|都|在)*(?:说|称|讲|回复|告诉我?|让(?:我们?)?|叫(?:我们?)?|喊我|建议我?|劝我|要我|威胁|声称)[^,。.!?;:]{0,8}$|(?:说|称|讲)(?:他|她)们?(?:自己)?(?:要|会|想|准备|打算|就)[^,。.!?;:]{0,8}$|(?:竟然|居然|反而|却)(?:还)?(?:让|叫)我们?(?:自己|直接)?[^,。.!?;:]{0,3}$`),
		hearsay: must(`(?:有人|别人|人家|网友|某人|群人|些人|多人)(?:在|还|就|都|也|整天|天天)?(?:喊|嚷|吵|闹|叫|扬言|威胁|声称|号称|在传|议论|讨论)[着嚷闹]*[要说去想]*[^,。.!?;:我]{0,6}$` +
			`|(?:听说|据说|传闻|网传)[^,。.!?;:我]{0,12}$|(?:新闻|报道|报纸|电视)[里上中]?(?:的|有)?(?:记者|主持人|人)?(?:说|称|讲|报道|写|提到)+[^,。.!?;:我]{0,12}$` +
			`|(?:同事|朋友|邻居|亲戚|室友|网友)们?(?:以前|之前|去年|曾经|上次|也|都|曾)+[^,。.!?;:我]{0,6}$` +
			`|(?:他|她|客服|对方|人员|店员|老板)(?:就|还|直接|居然|竟然)*(?:回|甩|撂|丢|来)了?(?:给?我)?一?句[^,。.!?;我]{0,6}$`),
		own:     must(`(?:跟|和|向|对|给|问|告诉|通知|请|找|打)[^,。.]{0,6}(?:客服|人员|店家|商家|卖家|老板|师傅|经理|他们?|她|你们?|对方)[^,。.]{0,2}(?:说|讲|称)`),
		speech:  must(`(?:说|讲|问|回复|回答|答复|告诉我?|写着?|喊|叫|称|表示|道|是)[:,:]?$`),
		self:    must(`^我|我说|我就说`),
		earlier: must(`去年|前年|年前|以前|之前|上次|上回|曾经|曾|当年|那次|那时|当时|早前|几年前|前几年|过去`),
		settled: must(`(?:已经?|早就|早|后来|最后|最终|当时|那次|马上|很快|都|就|也)[^,。.!?不没未说会能要等]{0,6}(?:解决(?:[了得好掉完啦过,。.!?;]|$)|处理(?:[了得好掉完过]|$)|搞定|了结|退(?:了|给|回)|赔(?:了|给|付)|办好|弄好|修好|结案|撤(?:诉|销|了))|(?:解决|处理)(?:好|完|掉)?了|过去了|满意|翻篇|老早的事|过去的事|因?为?(?:别|其他|其它|另外)的(?:事|问题)|另一件事`),
		again:   must(`又|再次|还是|仍|依旧|依然|没|不|未|这次也|现在还|才(?:给|肯|能|解决|处理)`),
	}
}

// must compiles an expression of this file, which the tests have seen.
func must(expr string) *pattern.Pattern {
	p, err := pattern.Compile(expr)
	if err != nil {
		panic(err)
	}
	return p
}

// chars is a set of characters; most strangers are told by their last bits.
type chars struct {
	bits uint64
	list []rune
}

func newChars(list string) chars {
	c := chars{list: []rune(list)}
	for _, r := range c.list {
		c.bits |= 1 << (r & 63)
	}
	return c
}

// in reports whether a text has a character of the set.
func (c *chars) in(text []rune) bool {
	for _, r := range text {
		if c.bits>>(r&63)&1 != 0 && slices.Contains(c.list, r) {
			return true
		}
	}
	return false
}

// backwards returns the words of a list written from their ends.
func backwards(list string) *pattern.Words {
	w := pattern.NewWords()
	for _, word := range strings.Fields(list) {
		rs := []rune(word)
		slices.Reverse(rs)
		w.Add(rs)
	}
	return w
}

// before is how many characters in front of a hit the guards read.
const before = 14

// guard returns the first guard of the rule that keeps the hit from counting.
func (l *Lexicon) guard(t *scratch, r *Rule, start, end int) qingting.Guard {
	g, m := l.guards, &t.machine
	s := t.sentence(start)
	from, _ := t.bounds(s)
	_, to := t.bounds(t.sentence(end - 1))
	// Clauses end at commas and blanks; what negates stands in the clause.
	clause := start
	for clause > max(from, start-before) && !slices.Contains([]rune{',', ' ', ':'}, t.runes[clause-1]) {
		clause--
	}
	near := t.runes[clause:start]
	for _, guard := range r.Guards {
		switch guard {
		case qingting.GuardNegated:
			if g.negated(near) && !m.Match(g.meant, near) && !m.Match(g.unless, t.runes[from:start]) && !m.Match(g.needed, t.runes[end:to]) {
				return guard
			}
			if after := t.runes[end:min(end+10, to)]; g.waiving.in(after) && m.Match(g.waived, after) {
				return guard
			}
		case qingting.GuardHypothetical:
			if g.hypothetical(t, s, start, end, to) {
				return guard
			}
		case qingting.GuardQuoted:
			if g.quoted(t, from, start, end) {
				return guard
			}
		case qingting.GuardPast:
			// A settled matter is told in one sentence or in two.
			_, next := t.bounds(min(s+1, len(t.ends)-1))
			around := t.runes[from:max(to, next)]
			if g.passed.in(around) && m.Match(g.earlier, around) && m.Match(g.settled, around) && !m.Match(g.again, around) {
				return guard
			}
		}
	}
	return qingting.GuardNone
}

// maxFillers is how many words may stand between a negator and what it negates.
const maxFillers = 4

// negated reports whether the words before a hit end in a negator.
func (g *guards) negated(near []rune) bool {
	for range maxFillers + 1 {
		if g.negators.Suffix(near) > 0 {
			return true
		}
		n := g.fillers.Suffix(near)
		if n == 0 {
			return false
		}
		near = near[:len(near)-n]
	}
	return false
}

// hypothetical reports whether sentence n only supposes or asks what stands in
// [start, end); the sentence of its last character goes on to to.
func (g *guards) hypothetical(t *scratch, n, start, end, to int) bool {
	m := &t.machine
	from, stop := t.bounds(n)
	before, after := t.runes[from:start], t.runes[end:to]
	if m.Match(g.supposed, after) && !m.Match(g.demand, before) {
		return true
	}
	if m.Match(g.inquired, after) && !m.Match(g.demand, before) && !m.Match(g.intent, before) {
		return true
	}
	if t.opensOf != n {
		t.opensOf, t.opens = n, firstEnd(g.conditions, t.runes[from:stop])
	}
	if t.opens >= 0 && t.opens <= len(before) && !m.Match(g.threat, before[t.opens:]) {
		return true
	}
	clause := len(before)
	for clause > 0 && before[clause-1] != ',' && before[clause-1] != ' ' {
		clause--
	}
	rest := after
	if comma := slices.Index(rest, ','); comma >= 0 {
		rest = rest[:comma]
	}
	if (asks(rest) || m.Match(g.whether, t.runes[from+clause:end])) && m.Match(g.possible, t.runes[from+clause:end]) && !m.Match(g.happened, t.runes[from:end]) && !m.Match(g.dare, before) {
		return true
	}
	return asks(after) && m.Match(g.asking, before[clause:]) && !m.Match(g.dare, before)
}

// asks reports whether a passage ends like a question.
func asks(t []rune) bool {
	for len(t) > 0 && (t[len(t)-1] == ' ' || t[len(t)-1] == '\n') {
		t = t[:len(t)-1]
	}
	return len(t) > 0 && slices.Contains([]rune{'?', '吗', '呢', '嘛'}, t[len(t)-1])
}

// firstEnd returns where the word of a text ends that ends first, or −1.
func firstEnd(words *pattern.Words, text []rune) int {
	end := -1
	for i := range text {
		for j, at := i, pattern.Root; j < len(text) && (end < 0 || j+1 < end); j++ {
			if at = words.Step(at, text[j]); at < 0 {
				break
			}
			if words.At(at) >= 0 {
				end = j + 1
			}
		}
	}
	return end
}

// quoted reports whether somebody else says the hit: after a forwarding mark,
// between quotation marks that a word of speech opens, or reported by 让我去.
func (g *guards) quoted(t *scratch, from, start, end int) bool {
	if start > t.forwarded {
		return true
	}
	if t.quotes {
		open := openQuote(t.runes[:start])
		if open >= 0 && closesAfter(t.runes[open], t.runes[end:]) {
			lead := t.runes[max(0, open-before):open]
			if t.machine.Match(g.speech, lead) && !t.machine.Match(g.self, lead) {
				return true
			}
		}
	}
	clause := start
	for clause > from && t.runes[clause-1] != ',' {
		clause--
	}
	told := t.runes[clause:start]
	if !g.telling.in(told) {
		return false
	}
	return t.machine.Match(g.told, told) && !t.machine.Match(g.own, told) || t.machine.Match(g.hearsay, told)
}

// openQuote returns where the quotation that is open at the end of text
// begins, or −1.
func openQuote(text []rune) int {
	open := -1
	for i, r := range text {
		switch r {
		case '“', '「', '『':
			open = i
		case '”', '」', '』':
			open = -1
		case '"':
			if open >= 0 {
				open = -1
			} else {
				open = i
			}
		}
	}
	return open
}

func closesAfter(open rune, rest []rune) bool {
	closing := map[rune]rune{'“': '”', '「': '」', '『': '』', '"': '"'}[open]
	return slices.Contains(rest, closing)
}
