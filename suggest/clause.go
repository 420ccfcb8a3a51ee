package suggest

import (
	"iter"
	"slices"
	"strings"
	"unicode"

	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/suggest/lint"
)

// Where no sentence of ours fits, the customer's own clause is told back,
// turned into the second person. Most clauses do not survive the checks, and
// that is the point: a plain sentence is better than a raw cut.

// faultWords are what makes a clause worth telling back.
var faultWords = newTrie("没", "不", "无法", "坏", "错", "慢", "断", "扣", "骗", "迟", "超", "失败", "故障", "异常", "少", "漏", "破", "差", "问题", "无", "停")

// unfit are words that must not come back from an agent: insults, questions,
// other people's names for us, and the beginnings of half sentences.
var unfit = newTrie("垃圾", "傻", "滚", "妈", "屁", "坑", "操", "靠", "草", "狗", "死", "逼", "流氓", "无耻", "恶心", "黑心", "脸", "吗", "么", "呢", "吧", "怎", "为什", "啥", "谁",
	"难道", "凭什么", "请", "谢", "麻烦", "你", "亲", "哈", "呵", "嘛", "哦", "唉", "哎", "呀", "啊", "卧槽", "尼玛", "特么", "他妈", "神马", "木有", "嘞", "哪", "如果", "要是", "因为", "所以", "但是", "虽然", "然后", "而且", "除了",
	"保证", "一定", "绝对", "规定", "投诉", "律师", "起诉", "曝光", "工商", "小区", "号楼", "单元", "住", "路", "先生", "女士", "姓", "名字", "叫", "转发", "关注", "指令", "忽略", "扮演", "提示词", "系统提示", "这是", "客服", "私信", "微博", "何", "多少", "几", "什么",
	"自己", "别人", "联通", "移动", "电信", "京东", "淘宝", "天猫", "老子", "娘", "爷", "尿", "屎", "鬼", "贱", "蛋", "奇葩", "醉", "呸", "人品", "坑爹", "服了", "算了", "罢了", "而已", "不如", "不仅", "不但", "不管", "不然", "不过", "不是", "差点", "差不多", "至少", "不得不", "不错", "啦", "咯", "喔", "呐", "咧", "这样", "那样", "这次", "说是", "告诉", "一下", "没问题", "没有问题", "基本", "比较", "似乎", "好像", "一直说", "回复说", "您说", "想说", "只想", "希望", "建议")

// fillers begin a clause and carry nothing.
var fillers = []string{"就是", "那个", "这个", "反正", "可是", "现在", "感觉", "觉得", "我觉得", "结果", "其实", "真的", "实在", "居然", "竟然", "还是", "而是", "但是", "又", "都", "还", "也", "而", "但", "且", "可", "却", "另外", "目前", "今天", "昨天"}

// clauseOf tells back the clause that carries the evidence of the primary
// type; "" when it does not survive. Any other clause may say the opposite of
// the complaint.
func (s *Suggester) clauseOf(doc *qingting.Document, a *qingting.Analysis) string {
	var evidence []qingting.Span
	if len(a.Types) > 0 {
		evidence = a.Types[0].Evidence
	}
	if len(evidence) == 0 {
		return ""
	}
	for n, p := range doc.Messages {
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		for start, end := range clauses(p.Clean) {
			if covers(p, n, start, end, evidence) {
				if told, ok := s.retell(p, start, end); ok {
					return told
				}
			}
		}
	}
	return ""
}

// clauses yields the range of every clause of a text, empty ones included.
func clauses(text []rune) iter.Seq2[int, int] {
	return func(yield func(start, end int) bool) {
		for start := 0; start < len(text); {
			end := start
			for end < len(text) && !clauseEnd(text[end]) {
				end++
			}
			if !yield(start, end) {
				return
			}
			start = end + 1
		}
	}
}

// unquotable are words that are not repeated to a customer even as her own:
// insults, orders to a machine, and what may be part of a name or an address.
var unquotable = newTrie("垃圾", "傻", "滚", "他妈", "妈的", "尼玛", "特么", "屁", "操", "狗", "逼", "流氓", "无耻", "恶心", "黑心", "贱", "骗子", "死", "不要脸", "奇葩", "坑爹",
	"指令", "忽略", "扮演", "提示词", "系统提示", "号楼", "单元", "先生", "女士", "姓", "名字", "叫", "转发", "投诉", "律师", "起诉", "曝光", "工商", "你好", "您好", "谢谢", "客服你", "亲", "不着急", "不急")

// asking are words of questions: they say what the customer wants to know, not
// what happened.
var asking = newTrie("吗", "呢", "怎么", "凭什么", "为什么", "为啥", "什么时候", "谁", "难道", "能不能", "是不是", "有没有", "是什么", "算什么")

// quarrels are further words of a clause that says what went wrong.
var quarrels = newTrie("涨", "假", "忽悠", "取消", "强制", "崩", "碎", "洒", "烂", "丢", "绕路", "吵", "脏", "臭", "异响", "换了", "收费", "多收", "退", "自动", "掉", "裂", "线", "等了", "血", "头发", "虫", "污", "被", "穿", "费", "冒烟", "排队", "贵", "押金", "卡得", "卡死", "很卡", "太卡", "挂了", "挂断", "拉黑", "偷拍", "偷录", "摸", "锁了", "冻结", "卡了", "爱答不理", "爱理不理", "骂", "吼", "打人", "推搡", "歧视", "泄露", "摔", "烫", "伤", "过敏", "过期", "发霉", "起火", "着火", "漏电", "爆炸", "失灵", "乱", "拖")

// concrete are marks of a clause that reports something.
var concrete = newTrie("了", "的", "天", "月", "次", "在", "把", "给")

// moods are words of a clause that says how somebody feels or what she wants
// done, and nothing of what happened.
var moods = newTrie("失望", "生气", "气死", "无语", "服了", "心寒", "说法", "看着办", "什么情况", "真是", "太过分", "过分", "烦", "难受", "呵呵", "厉害", "牛", "处理", "解决", "回复", "等着", "我要", "希望", "必须", "赶紧", "尽快", "马上", "帮我", "查下", "查一下", "反映", "问问", "想问", "咨询", "好的", "知道了", "可以了", "行了", "什么", "态度", "我是", "我在", "您", "你们", "不客气", "着急用", "急用", "等着用", "折腾", "一下")

// demands are words of a clause that wants something.
var demands = newTrie("我要", "要求", "给我", "退我", "赔我", "赔偿", "退款", "补发", "换货", "重发", "退钱", "退回", "还我", "赔钱", "退货", "着急用", "急用", "等着用", "折腾")

// A clause of fewer characters says too little to be quoted; one of more, with
// its frame, would leave nothing of MaxRestate.
const minQuote, minPositive, maxQuote = 5, 3, 22

// quoteOf is the clause of the customer that best says what happened, word for
// word; "" when none can be quoted. A quote asserts nothing, so that it stands
// where no sentence of ours fits. Loosely, a clause without any word of fault
// will do where there is no better; where the wish is told besides, a clause
// that holds nothing else is not quoted.
func (s *Suggester) quoteOf(doc *qingting.Document, a *qingting.Analysis, loosely, wished bool) string {
	var evidence []qingting.Span
	if len(a.Types) > 0 {
		evidence = a.Types[0].Evidence
	}
	best, score := "", 0
	opening := true
	for n, p := range doc.Messages {
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		for start, end := range clauses(p.Clean) {
			if q := s.quotable(p, start, end); q != "" {
				c := []rune(q)
				fault := faultWords.has(c) || quarrels.has(c)
				meant := positive(p.Clean, start)
				switch wish := demands.has(c); {
				case wish && wished && (loosely || len(c) <= 8) && !strings.ContainsAny(q, "没不"):
					continue
				case fault || meant:
				case !loosely || moods.has(c) || len(c) < 6 || !concrete.has(c) && !s.tables.subjectTrie.has(c):
					continue
				}
				value := min(len(c), 16) / 4
				if !fault && !meant {
					value = 1
				}
				for _, t := range []struct {
					holds bool
					value int
				}{{faultWords.has(c), 3}, {quarrels.has(c), 2}, {covers(p, n, start, end, evidence), 2}, {s.tables.subjectTrie.has(c), 2}, {opening, 1}, {strings.Contains(q, "说"), -2}, {strings.ContainsAny(q, "0123456789"), 1}} {
					if t.holds {
						value += t.value
					}
				}
				if meant {
					value += 6
				}
				if value > score {
					best, score = q, value
				}
			}
		}
		opening = false
	}
	return best
}

// quotable is a clause without the fillers it begins with, or "".
func (s *Suggester) quotable(p *qingting.Prepared, start, end int) string {
	meant, least := positive(p.Clean, start), minQuote
	if meant {
		least = minPositive // what is meant may be short: 我要补发
	}
	if end-start < least || opposed(p.Clean, start, end) || start > 0 && p.Clean[start-1] == '@' || end < len(p.Clean) && (p.Clean[end] == '?' || p.Clean[end] == '？') || s.personal(p, start, end) {
		return ""
	}
	text := string(p.Clean[start:end])
	if meant {
		for _, w := range turns {
			if rest, ok := strings.CutPrefix(text, w); ok {
				text = rest
				break
			}
		}
	}
	text = withoutFillers(text)
	text = strings.TrimRight(text, "啊呀哦哈哇啦嘛吧")
	c := []rune(text)
	if unquotable.has(c) || asking.has(c) || !plain(strings.ReplaceAll(text, "%", ""), least, maxQuote) {
		return ""
	}
	return text
}

// withoutFillers takes the words away that begin a clause and carry nothing.
func withoutFillers(text string) string {
	for again := true; again; {
		again = false
		for _, f := range fillers {
			if rest := strings.TrimPrefix(text, f); rest != text && !bound(f, rest) {
				text, again = rest, true
			}
		}
	}
	return text
}

// bound reports that a filler is part of a longer word, or carries what
// follows: 可以, 今天的, 这个月, 还要.
func bound(filler, rest string) bool {
	switch filler {
	case "这个", "那个":
		return startsWithAny(rest, "月", "星期", "礼拜", "周", "时候", "人")
	case "结果":
		return startsWithAny(rest, "出", "不", "是")
	}
	if startsWithAny(rest, "的") {
		return true
	}
	return len(filler) == len("又") && startsWithAny(rest, "是", "有", "能", "会", "要", "以", "许", "得", "行", "恶", "怜", "好", "且", "给", "让", "收", "扣", "等", "被", "在", "说", "市", "城", "乐")
}

// covers reports whether a clause holds a piece of evidence.
func covers(p *qingting.Prepared, n, start, end int, evidence []qingting.Span) bool {
	if start >= end || end > len(p.From) {
		return false
	}
	from, to := int(p.From[start]), int(p.To[end-1])
	return slices.ContainsFunc(evidence, func(e qingting.Span) bool { return e.Message == n && e.Start < to && e.End > from })
}

// retell turns a clause into the second person, or refuses it.
func (s *Suggester) retell(p *qingting.Prepared, start, end int) (string, bool) {
	if end-start < 5 || end-start > 22 || opposed(p.Clean, start, end) || start > 0 && p.Clean[start-1] == '@' || !faultWords.has(p.Clean[start:end]) || unfit.has(p.Clean[start:end]) {
		return "", false
	}
	if end < len(p.Clean) && (p.Clean[end] == '?' || p.Clean[end] == '？') || s.personal(p, start, end) {
		return "", false
	}
	text := swapPerson(withoutFillers(string(p.Clean[start:end])))
	if !plain(text, 4, 18) {
		return "", false
	}
	if strings.HasPrefix(text, "您") {
		return text, true
	}
	// Anything else needs a subject, or it is a predicate that lost its own.
	if e, _ := s.tables.subjectTrie.longest([]rune(text), 0); e < 0 {
		return "", false
	}
	return "您反映" + text, true
}

// swapPerson turns the customer's 我 into 您 and her 你们 into 我们.
func swapPerson(s string) string {
	return strings.NewReplacer("你们", "我们", "我们家", "您家", "我家", "您家", "我们", "您", "本人", "您", "咱", "您", "俺", "您", "我", "您").Replace(s)
}

// personal reports whether personal data lies in a range of a message: a slot,
// or a name or secret that no slot covers.
func (s *Suggester) personal(p *qingting.Prepared, start, end int) bool {
	// A role word or 密码： may stand a clause before, and no farther.
	from := max(0, start-8)
	if slices.ContainsFunc(lint.Personal(p.Clean[from:min(len(p.Clean), end+3)]), func(r lint.Range) bool { return from+r.Start < end && from+r.End > start }) {
		return true
	}
	return slices.ContainsFunc(p.Slots, func(f qingting.SlotMatch) bool {
		switch f.Kind {
		case qingting.SlotAmount, qingting.SlotDate, qingting.SlotProduct:
			return false
		}
		return f.Start < end && f.End > start
	})
}

// plain reports whether a string may stand in a sentence of ours: Han, a few
// letters and digits, nothing else, and of a fitting length.
func plain(s string, least, most int) bool {
	n, latin, digits := 0, 0, 0
	for _, r := range s {
		n++
		switch {
		case unicode.Is(unicode.Han, r):
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			latin++
		case r >= '0' && r <= '9':
			digits++
		default:
			return false
		}
	}
	return n >= least && n <= most && latin <= 8 && digits <= 4
}

// questionWords mark what an inquiry wants to know.
var questionWords = newTrie("怎么", "如何", "多少", "什么时候", "哪里", "哪儿", "哪个", "能不能", "可不可以", "是不是", "有没有", "为什么", "多久", "几天", "什么", "吗", "怎样", "可以", "能否", "是否", "啥时候", "几点", "咋")

var impolite = newTrie("垃圾", "傻", "滚", "妈", "屁", "坑", "操", "草", "狗", "逼", "流氓", "无耻", "恶心", "你", "亲", "老子", "指令", "忽略", "扮演", "提示词", "保证", "一定", "绝对", "规定", "在吗", "好吗", "什么意思", "怎么回事", "怎么办", "怎么了", "干嘛", "知道", "客服", "人吗", "私信", "闹哪样", "搞什么", "什么鬼", "为毛", "坑爹", "什么情况", "怎么弄", "怎么解决", "解决吗", "帮", "有什么", "几个意思")

// questionOf is the customer's question, told in the second person; "" when
// none can be told well. The latest question stands.
func (s *Suggester) questionOf(doc *qingting.Document) string {
	for n := len(doc.Messages) - 1; n >= 0; n-- {
		p := doc.Messages[n]
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		for end := len(p.Clean); end > 0; {
			start := end
			for start > 0 && !clauseEnd(p.Clean[start-1]) {
				start--
			}
			if q := s.question(p, start, end); q != "" {
				return q
			}
			end = start - 1
		}
	}
	return ""
}

func (s *Suggester) question(p *qingting.Prepared, start, end int) string {
	if end-start < 4 || end-start > 20 || start > 0 && p.Clean[start-1] == '@' {
		return ""
	}
	c := p.Clean[start:end]
	if !questionWords.has(c) || impolite.has(c) || s.personal(p, start, end) {
		return ""
	}
	text := string(c)
	for again := true; again; {
		again = false
		for _, f := range []string{"请问一下", "请问", "我想问一下", "我想问", "想问一下", "想问", "问一下", "咨询一下", "麻烦问下", "问下", "我想知道", "想知道", "那么", "那", "可是", "但是", "就是", "亲", "话说", "还有", "所以", "另外", "然后", "不过", "而且"} {
			if rest, ok := strings.CutPrefix(text, f); ok {
				text, again = rest, true
			}
		}
	}
	text = strings.TrimRight(text, "呢啊呀哦哈哇啦嘛")
	text = strings.TrimSuffix(swapPerson(text), "了吗")
	if rest, ok := strings.CutSuffix(text, "吗"); ok {
		// A yes-no question reads as one only with its verb doubled.
		switch {
		case strings.Count(rest, "可以") == 1:
			text = strings.Replace(rest, "可以", "可不可以", 1)
		case strings.Count(rest, "能") == 1 && !strings.Contains(rest, "功能") && !strings.Contains(rest, "只能") && !strings.Contains(rest, "智能") && !strings.Contains(rest, "不能"):
			text = strings.Replace(rest, "能", "能不能", 1)
		case strings.Count(rest, "有") == 1 && !strings.Contains(rest, "没有"):
			text = strings.Replace(rest, "有", "有没有", 1)
		case strings.Count(rest, "是") == 1 && !strings.Contains(rest, "不是"):
			text = strings.Replace(rest, "是", "是不是", 1)
		case strings.Count(rest, "会") == 1:
			text = strings.Replace(rest, "会", "会不会", 1)
		default:
			return ""
		}
	} else if strings.Contains(text, "可以") && !strings.Contains(text, "怎么") && !strings.Contains(text, "什么") && !strings.Contains(text, "可不可以") && !strings.Contains(text, "哪") && !strings.Contains(text, "多少") {
		return "" // a statement with 可以
	}
	if !plain(text, 4, 18) {
		return ""
	}
	return text
}
