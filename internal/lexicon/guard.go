package lexicon

import (
	"regexp"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
)

// guards holds the compiled expressions of the guards. They read the words
// around a hit, never the hit itself, so one table serves every rule.
type guards struct {
	// negators stand before the hit, with at most maxFillers fillers between:
	// 我不是要〔投诉〕. Longer words come first.
	negators, fillers []string
	// meant undoes a negator before it: 别以为我不会〔起诉〕, 不得不〔投诉〕.
	meant *regexp.Regexp
	// unless opens a sentence in which a negation threatens: 要不是…我也不会.
	unless *regexp.Regexp
	// waived stands right after the hit: 〔起诉〕就不必了.
	waived *regexp.Regexp
	// conditions open a hypothetical; threat inside makes it a real threat.
	conditions []string
	threat     *regexp.Regexp
	// supposed stands right after the hit: 要〔投诉〕的话应该打什么电话; demand
	// before the hit undoes it.
	supposed, demand *regexp.Regexp
	// asking stands before the hit in a question; dare undoes it.
	asking, dare *regexp.Regexp
	// told stands right before the hit: 客服让我去〔投诉〕; own undoes it.
	told, own *regexp.Regexp
	// speech stands right before an opening quotation mark.
	speech *regexp.Regexp
	// earlier and settled together tell of a matter that is over; again undoes
	// them.
	earlier, settled, again *regexp.Regexp
}

func newGuards() *guards {
	return &guards{
		negators:   strings.Fields(`没有必要 不准备 不存在 不打算 不至于 不需要 从来没 没必要 没打算 不会 不再 不必 不想 不愿 不敢 不是 不用 不要 从未 从没 并不 并非 懒得 拒绝 无意 无需 未曾 没想 没有 不 免 别 未 没`),
		fillers:    strings.Fields(`一点 为了 举报 什么 任何 你们 再去 出现 反映 发现 发生 可以 因为 必要 怎么 急着 意思 感到 感觉 我们 打算 投诉 特别 申请 真的 着急 联系 至于 觉得 这个 这么 遇到 那么 需要 会 你 做 再 到 去 向 太 很 得 急 想 我 打 找 拨 提 是 有 来 求 用 真 给 能 要 让 说 走 跟 过`),
		meant:      regexp.MustCompile(`(?:是不是|要不是|若不是|不得不|不能不|难道|以为|别怪|不要怪|别逼|不要逼|不信|如果不是|岂不|何不|动不动|受不了|要不|能不能|会不会|可不可以|不然|否则|忍不住|何尝不|不解决|不处理|不回|不给|不退|不赔|再不|还不)[^,]{0,4}$`),
		unless:     regexp.MustCompile(`要不是|若不是|如果不是|若非`),
		waived:     regexp.MustCompile(`^[^,。.!?;]{0,4}(?:就|倒|也|都|是|还)?(?:不必|不用了|算了|不至于|没必要|没有必要|谈不上|免了|不需要|就不了|不去了|不打了)`),
		conditions: strings.Fields(`如果 要是 假如 假设 假使 倘若 若是 万一 比如 比方 打个比方 举个例子 哪天 的话`),
		threat:     regexp.MustCompile(`[不没无未]|再(?:这样|拖|打|发|扣|收|乱|犯|出现|敢|骚扰|来|让)|继续|还(?:是|这样|敢|打|发|扣|收)|拒绝|解决|处理|骚扰|忽悠|糊弄|我(?:就|只能|只好|会|一定|必|要|将)`),
		supposed:   regexp.MustCompile(`^[^,。.!?;]{0,6}的话,?[^,。.!?;]{0,8}(?:什么|怎么|如何|哪|谁|吗|多少)`),
		demand:     regexp.MustCompile(`再不|再这样|不解决|不处理|不退|不赔|不给|不回|非要|逼`),
		asking:     regexp.MustCompile(`是不是(?:可以|能|应该|要|该)|能不能|可不可以|可否|能否|是否|要不要|该不该|怎么|如何|去哪|哪里|哪儿|向谁|找谁|问一下|问下|想问|请问|咨询|会不会|需要|可以|应该|归|属于|能|是`),
		dare:       regexp.MustCompile(`逼|非要|非得|难道|想让|想要|要我|等我|才|信不信|是要|是不是要|不就|必须`),
		told:       regexp.MustCompile(`(?:客服|人员|店家|商家|卖家|老板|师傅|经理|店员|营业员|人家|他们?|她|你们?|对方|朋友|同事|网友|有人|别人|邻居|你们的人)(?:们|跟我|和我|对我|给我|直接|还|就|居然|竟然|都|在)*(?:说|称|讲|回复|告诉我?|让我们?|叫我们?|喊我|建议我?|劝我|要我|威胁|声称)[^,。.!?;:]{0,8}$|(?:说|称|讲)(?:他|她)们?(?:自己)?(?:要|会|想|准备|打算|就)[^,。.!?;:]{0,8}$`),
		own:        regexp.MustCompile(`(?:跟|和|向|对|给|问|告诉|通知|请|找|打)[^,。.]{0,6}(?:客服|人员|店家|商家|卖家|老板|师傅|经理|他们?|她|你们?|对方)[^,。.]{0,2}(?:说|讲|称)`),
		speech:     regexp.MustCompile(`(?:说|讲|问|回复|回答|答复|告诉我?|写着?|喊|叫|称|表示|道|是)[:,:]?$`),
		earlier:    regexp.MustCompile(`去年|前年|以前|之前|上次|上回|曾经|曾|当年|那次|那时|当时|早前|几年前|前几年|过去`),
		settled:    regexp.MustCompile(`(?:已经?|早就|早|后来|最后|最终|当时|那次|马上|很快|都|就|也)[^,。.!?不没未]{0,6}(?:解决|处理好|处理完|搞定|了结|退(?:了|给|回)|赔(?:了|给|付)|办好|弄好|修好|结案|撤(?:诉|销|了))|(?:解决|处理)(?:好|完|掉)?了|过去了|满意|翻篇`),
		again:      regexp.MustCompile(`又|再次|还是|仍|依旧|依然|没|不|未|这次也|现在还|才(?:给|肯|能|解决|处理)`),
	}
}

// before is how many characters in front of a hit the guards read.
const before = 14

// guard returns the first guard of the rule that keeps the hit from counting.
func (l *Lexicon) guard(t *passage, r *Rule, start, end int) qingting.Guard {
	g := l.guards
	s := t.sentence(start)
	from, _ := t.bounds(s)
	_, to := t.bounds(t.sentence(end - 1))
	// Clauses end at commas and blanks; what negates stands in the clause.
	clause := from
	for i := start - 1; i >= from; i-- {
		if c := t.runes[i]; c == ',' || c == ' ' || c == ':' || c == '，' {
			clause = i + 1
			break
		}
	}
	near := t.slice(max(clause, start-before), start)
	for _, guard := range r.Guards {
		switch guard {
		case qingting.GuardNegated:
			if g.negated(near) && !g.meant.MatchString(near) && !g.unless.MatchString(t.slice(from, start)) {
				return guard
			}
			if after := t.slice(end, min(end+10, to)); strings.ContainsAny(after, "不没算免谈") && g.waived.MatchString(after) {
				return guard
			}
		case qingting.GuardHypothetical:
			if hypothetical(g, t.slice(from, start), t.slice(end, to)) {
				return guard
			}
		case qingting.GuardQuoted:
			if quoted(g, t, from, start, end, to) {
				return guard
			}
		case qingting.GuardPast:
			// A settled matter is told in one sentence or in two.
			_, next := t.bounds(min(s+1, len(t.ends)-1))
			around := t.slice(from, max(to, next))
			if strings.ContainsAny(around, "年前上曾当那过") && g.earlier.MatchString(around) && g.settled.MatchString(around) && !g.again.MatchString(around) {
				return guard
			}
		}
	}
	return qingting.GuardNone
}

// maxFillers is how many words may stand between a negator and what it negates.
const maxFillers = 4

// negated reports whether the words before a hit end in a negator.
func (g *guards) negated(near string) bool {
	for range maxFillers + 1 {
		ends := func(w string) bool { return strings.HasSuffix(near, w) }
		if slices.ContainsFunc(g.negators, ends) {
			return true
		}
		i := slices.IndexFunc(g.fillers, ends)
		if i < 0 {
			return false
		}
		near = strings.TrimSuffix(near, g.fillers[i])
	}
	return false
}

// hypothetical reports whether a sentence only supposes or asks what stands
// between its parts before and after.
func hypothetical(g *guards, before, after string) bool {
	if strings.Contains(after, "的话") && g.supposed.MatchString(after) && !g.demand.MatchString(before) {
		return true
	}
	opens := -1
	for _, c := range g.conditions {
		if i := strings.Index(before, c); i >= 0 && (opens < 0 || i+len(c) < opens) {
			opens = i + len(c)
		}
	}
	if opens >= 0 && !g.threat.MatchString(before[opens:]) {
		return true
	}
	end := strings.TrimRight(after, " \n")
	if !strings.HasSuffix(end, "?") && !strings.HasSuffix(end, "吗") && !strings.HasSuffix(end, "呢") && !strings.HasSuffix(end, "嘛") {
		return false
	}
	clause := before[strings.LastIndexAny(before, ", ")+1:]
	return g.asking.MatchString(clause) && !g.dare.MatchString(before)
}

// quoted reports whether somebody else says the hit: after a forwarding mark,
// between quotation marks that a word of speech opens, or reported by 让我去.
func quoted(g *guards, t *passage, from, start, end, to int) bool {
	if i := strings.Index(t.lower, "//@"); i >= 0 && t.offsets[start] > i {
		return true
	}
	open := openQuote(t.runes[:start])
	if open >= 0 && closesAfter(t.runes[open], t.runes[end:]) {
		lead := t.slice(max(0, open-before), open)
		if g.speech.MatchString(lead) && !strings.HasPrefix(lead, "我") && !strings.Contains(lead, "我说") && !strings.Contains(lead, "我就说") {
			return true
		}
	}
	clause := t.slice(from, start)
	clause = clause[strings.LastIndexAny(clause, ",")+1:]
	return strings.ContainsAny(clause, "说称讲复诉让叫喊议劝要胁") && g.told.MatchString(clause) && !g.own.MatchString(clause)
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
