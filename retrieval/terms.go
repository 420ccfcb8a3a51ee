package retrieval

import (
	"strings"
	"unicode"

	"github.com/qingting-ai/qingting"
)

// terms returns the words of a text that a search can use: in lower case,
// without stop words, punctuation and long numbers.
func terms(tokens []qingting.Token) []string {
	out := make([]string, 0, len(tokens))
	for _, t := range tokens {
		if w := term(t.Text); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// term returns the form in which a word is indexed, or "".
func term(word string) string {
	word = strings.ToLower(word)
	letters, digits := 0, 0
	for _, r := range word {
		switch {
		case unicode.IsDigit(r):
			digits++
		case unicode.IsLetter(r):
			letters++
		}
	}
	// A number of six digits or more is an order, a phone or an amount: it
	// names one customer's affair, not a kind of problem.
	if letters+digits == 0 || letters == 0 && digits >= 6 {
		return ""
	}
	if isStopWord(word) {
		return ""
	}
	return word
}

// isStopWord tells the words that say nothing about the matter: grammar,
// courtesy, the customer's feelings, and what every complaint has in common.
// Feelings are left out because a case is about a problem, not a mood.
func isStopWord(w string) bool {
	switch w {
	case "的", "了", "着", "过", "地", "得", "之", "所", "者", "吗", "呢", "吧", "啊", "呀", "哦", "哈", "嗯", "哎", "唉", "嘛", "啦", "喂", "噢", "呵呵", "哈哈", "么", "哇",
		"我", "你", "您", "他", "她", "它", "我们", "你们", "他们", "她们", "它们", "咱", "咱们", "自己", "人家", "大家", "别人", "本人", "俺",
		"这", "那", "这个", "那个", "这些", "那些", "这样", "那样", "这么", "那么", "这种", "那种", "这里", "那里", "这儿", "那儿", "这边", "那边", "此", "该", "其", "某",
		"什么", "怎么", "怎样", "怎么样", "为什么", "为何", "如何", "哪", "哪里", "哪个", "哪些", "谁", "几", "多少", "怎么办", "怎么回事", "咋", "啥", "凭什么", "为啥", "干嘛",
		"是", "有", "在", "和", "与", "跟", "同", "及", "以及", "或", "或者", "还是", "并", "并且", "而", "而且", "但", "但是", "可是", "不过", "只是", "然而",
		"因为", "所以", "因此", "由于", "如果", "要是", "假如", "虽然", "尽管", "即使", "除了", "关于", "对于", "根据", "按照", "通过", "为了", "以为", "至于",
		"把", "被", "给", "让", "叫", "使", "对", "对方", "从", "向", "往", "到", "由", "用", "以", "于", "按", "比", "为", "当", "替", "离",
		"就", "都", "也", "还", "又", "再", "才", "只", "很", "太", "更", "最", "非常", "特别", "十分", "比较", "真", "真的", "真是", "实在", "确实", "简直", "有点", "有些", "一点", "挺", "好",
		"不", "没", "没有", "别", "不是", "是不是", "有没有", "能不能", "可不可以", "不会", "不要", "不用", "无", "未", "非",
		"会", "能", "可以", "可", "要", "想", "想要", "应该", "应当", "必须", "需要", "得到", "肯", "愿意", "可能", "也许", "大概", "好像", "似乎",
		"一", "一个", "一下", "一直", "一样", "一些", "一种", "一定", "一次", "一起", "两", "二", "三", "个", "次", "天", "些", "点", "件", "位", "条", "下", "上", "里", "中", "内", "外", "前", "后", "时", "时候", "里面", "之后", "之前", "以后", "以前", "后来", "然后", "接着", "最后", "结果", "目前", "现在", "今天", "昨天", "明天", "刚", "刚刚", "刚才", "已经", "已", "正在", "曾", "曾经", "总是", "老是", "经常", "往往", "每次", "每天", "当时", "如今",
		"来", "去", "做", "弄", "搞", "说", "讲", "看", "看到", "知道", "觉得", "感觉", "认为", "发现", "告诉", "请", "请问", "帮", "帮忙", "帮我", "麻烦", "谢谢", "感谢", "你好", "您好", "不好意思", "对不起", "抱歉", "好的", "可以吗", "行", "亲",
		"问题", "情况", "事情", "事", "东西", "方面", "投诉", "反映", "反馈", "咨询", "客服", "处理", "解决", "解释", "说法", "要求", "希望", "公司", "商家", "平台",
		"居然", "竟然", "到底", "究竟", "反正", "根本", "完全", "全部", "所有", "任何", "每", "各", "各种", "多", "少", "大", "小", "几个", "几次", "几天",
		"垃圾", "坑", "坑爹", "坑人", "无语", "气死", "气愤", "生气", "愤怒", "恶心", "差劲", "太差", "失望", "难受", "受不了", "忍", "骗子", "tmd", "他妈的", "妈的", "服了", "醉", "呵", "敢", "真心", "心寒", "过分", "烦", "烦死":
		return true
	}
	return false
}
