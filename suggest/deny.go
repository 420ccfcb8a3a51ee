package suggest

import (
	"slices"
	"strings"

	qingting "github.com/qingting-ai/qingting"
)

// What a customer denies must never be told back as what happened. Negation
// in Chinese reaches to the next 是 of the clause, not a fixed number of
// characters: 我没说快递丢了，我说的是外包装破损了.

// negated reports that the problem at i is denied or only supposed: 没有闪退,
// 不是打不通, 我不是说客服态度差, 万一坏了.
func negated(text []rune, i int) bool {
	start, end := clauseAround(text, i)
	before := string(text[start:i])
	for again := true; again; {
		again = false
		for _, w := range []string{"再", "又", "真的", "怎么", "出现", "发生", "遇到", "任何", "完全", "那么", "这么"} {
			if rest, ok := strings.CutSuffix(before, w); ok {
				before, again = rest, true
			}
		}
	}
	if strings.HasSuffix(before, "不是") && strings.Contains(string(text[i:end]), "就是") {
		return false // 不是断网就是掉线: both
	}
	for _, w := range []string{"没", "没有", "不是", "不会", "如果", "不", "要是", "怕", "别", "以免"} {
		if strings.HasSuffix(before, w) && !(w == "不" && !strings.HasSuffix(before, "是不")) {
			return true
		}
	}
	return denies(text[start:i], text[i:end], end < len(text) && (text[end] == '?' || text[end] == '？'))
}

func clauseAround(text []rune, i int) (start, end int) {
	start, end = i, i
	for start > 0 && !clauseEnd(text[start-1]) {
		start--
	}
	for end < len(text) && !clauseEnd(text[end]) {
		end++
	}
	return start, end
}

// denies reports that what follows before, within the same clause, is denied.
func denies(before, after []rune, question bool) bool {
	clause := string(before) + string(after)
	asks := question || strings.HasSuffix(clause, "吗") || strings.HasSuffix(clause, "嘛") || strings.HasSuffix(clause, "么") || strings.Contains(clause, "怎么") || strings.Contains(clause, "为什么")
	denied := false
	for j := 0; j < len(before); j++ {
		head, rest := string(before[:j]), string(before[j:])+string(after)
		switch {
		case strings.HasPrefix(rest, "不是"):
			if j > 0 && before[j-1] == '是' || asks || otherSubject(head) || startsWithAny(rest[len("不是"):], "说好", "我买", "我要", "我点", "我订", "我的", "我选", "我想", "我拍", "一", "第", "头一", "两", "很", "太") || strings.Contains(rest, "就是") {
				j++
				continue
			}
			denied = true
			j++
		case startsWithAny(rest, "没说", "没有说", "没讲", "没有讲", "没反映", "没投诉"):
			if !asks && !otherSubject(head) && !startsWithAny(rest[len("没说"):], "清", "明", "好", "要收") {
				denied = true
			}
		case startsWithAny(rest, "如果", "万一", "假如", "担心", "生怕", "以免", "免得", "要是") && !endsIn(before[:j], "主只重"):
			denied = true
			j++ // the 是 of 要是 takes nothing back
		case before[j] == '是' && (j == 0 || !strings.ContainsRune("不总老要还", before[j-1])), before[j] == '但', before[j] == '却':
			denied = false
		}
	}
	return denied
}

// endsIn reports that a text ends in one of some characters: 主要是 is no 要是.
func endsIn(text []rune, of string) bool {
	return len(text) > 0 && strings.ContainsRune(of, text[len(text)-1])
}

// otherSubject reports that a denial is somebody else's: 你们不是说…, 客服没说…
func otherSubject(head string) bool {
	for _, w := range []string{"你", "您", "他", "她", "客服", "商家", "店", "当初", "当时", "之前", "难道", "岂", "可", "还", "员", "师傅", "人家", "是不是"} {
		if strings.Contains(head, w) {
			return true
		}
	}
	return false
}

func startsWithAny(s string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(s, w) })
}

// turns begin a clause that says what is meant after one that says what is not.
var turns = []string{"而是", "我说的是", "我是说", "我说是", "我只是", "是因为", "就是", "只是", "是"}

// opposed reports that a clause is denied as a whole, by itself (不是少发货,
// 别给我退款) or by the clause after it (手机没坏，是充电线坏了).
func opposed(text []rune, start, end int) bool {
	clause := text[start:end]
	if denies(clause, nil, end < len(text) && (text[end] == '?' || text[end] == '？')) {
		return true
	}
	s := strings.TrimLeft(string(clause), "我请也都先又可从并")
	if startsWithAny(s, "别", "不要", "不用", "不需要", "不想要", "不是", "没要求", "没有要求", "没说要") && !startsWithAny(s, "别再", "不要再", "别人", "别的", "不要脸", "不用再", "不用心", "不是第", "不是一") {
		return true
	}
	next := min(end+1, len(text))
	_, stop := clauseAround(text, next)
	after := string(text[next:stop])
	if startsWithAny(after, "就是", "只是") && startsWithAny(s, "没", "不") {
		return true // 没有漏水，就是声音很大
	}
	if startsWithAny(s, "没让", "没要", "没叫", "没想", "没说", "不想") && startsWithAny(after, "我只是", "我只想", "我要", "我是", "我想", "只是", "只想", "要") {
		return true
	}
	return strings.ContainsAny(string(clause), "没不别") && startsWithAny(after, "而是", "我说的是", "我是说", "是") && !startsWithAny(after, "是不", "是否", "是吗", "是吧")
}

// positive reports that a clause says what is meant, after one that says what
// is not.
func positive(text []rune, start int) bool {
	if start < 2 {
		return false
	}
	from, to := clauseAround(text, start-2)
	return to == start-1 && opposed(text, from, to)
}

// denial reports whether any clause of the customer denies something.
func denial(doc *qingting.Document) bool {
	for _, p := range doc.Messages {
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		for start, end := range clauses(p.Clean) {
			if start < end && opposed(p.Clean, start, end) {
				return true
			}
		}
	}
	return false
}

// wishWords name a demand in so many words.
var (
	wishCodes = []qingting.ClaimCode{
		qingting.ClaimResend, qingting.ClaimResend, qingting.ClaimResend, qingting.ClaimRefund, qingting.ClaimRefund, qingting.ClaimRefund, qingting.ClaimRefund,
		qingting.ClaimExchange, qingting.ClaimExchange, qingting.ClaimExchange, qingting.ClaimCompensate, qingting.ClaimCompensate, qingting.ClaimCompensate, qingting.ClaimCompensate, qingting.ClaimApology,
	}
	wishWords = newTrie("补发", "重发", "重新发", "退款", "退钱", "退货", "退我", "换货", "换新", "换一", "赔偿", "补偿", "赔钱", "赔我", "道歉")
)

// wishesOf reads the demands that are worded plainly: the last one wanted, ""
// for none, and those refused and not wanted.
func wishesOf(doc *qingting.Document) (wanted qingting.ClaimCode, refused map[qingting.ClaimCode]bool) {
	refused = map[qingting.ClaimCode]bool{}
	for _, p := range doc.Messages {
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		for i := range p.Clean {
			e, _ := wishWords.longest(p.Clean, i)
			if e < 0 {
				continue
			}
			code := wishCodes[e]
			start, _ := clauseAround(p.Clean, i)
			head := string(p.Clean[start:i])
			near := string(p.Clean[max(start, i-6):i])
			switch {
			case containsAny(near, "没要求", "没有要求", "没说要"):
				refused[code] = true
			case containsAny(near, "必须", "请你", "请您", "要求你") && !containsAny(near, "不", "没"):
				wanted = code
			case otherSubject(head):
			case containsAny(near, "别", "不要", "不想", "不用", "不需要", "不是要", "没说要", "没要"):
				refused[code] = true
			case containsAny(near, "要", "想", "给我", "帮我", "希望", "请") && !containsAny(near, "不", "没", "想问", "想知道", "请问"):
				wanted = code
			}
		}
	}
	delete(refused, wanted)
	return wanted, refused
}

func containsAny(s string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s, w) })
}
