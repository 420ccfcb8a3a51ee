package suggest

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/suggest/policy"
)

// matter is what the conversation is about, as far as a reply needs it. Every
// string in it is either ours or has passed plain.
type matter struct {
	typ     qingting.Type // "" when no type is known
	thing   string        // 宽带; ""
	domain  policy.Domain
	told    []string // ways to tell the problem back, fullest first; second person
	bare    bool     // nothing is said beyond the matter itself
	vague   bool     // told has a stand-in for the thing: 您的商品坏了
	quoted  bool     // told begins with her own words, which name the thing where one is named
	general []string // ways that only name its type, for when told has none that fits
	asks    string   // what an inquiry asks, in the customer's words; ""
	claim   qingting.ClaimCode
	amount  *float64 // CNY, of the claim
	prefers qingting.RemedyCode
	wished  qingting.ClaimCode           // what a preference amounts to, where no claim is known; asked, not asserted
	known   map[qingting.SlotKind]string // stated facts
	asked   map[qingting.SlotKind]bool   // the agent asked already
	given   map[qingting.SlotKind]bool   // the customer answered, though we cannot read what
	signals map[qingting.SignalCode]bool
	said    int // letters and digits of the customer
	greets  bool

	grave    bool    // somebody is hurt, outed or discriminated against, whatever the type
	sureness float64 // confidence of typ, in [0, 1]
	unsure   bool    // too little is known to name the matter
	asking   bool    // the last thing the customer said is a question
	harmed   bool    // a matter of somebody's safety
	hurt     bool    // somebody is hurt, sick or vulnerable
	food     bool    // it was something to eat or drink
	abstract bool    // it names money, a ticket or a paper, which nobody sends again
	accident bool    // something happened to somebody somewhere: there is no product to switch off
	medicine bool    // it was medicine, which is no food though it is swallowed
	body     bool    // something was in it that does not belong there
	family   bool    // and it concerns somebody of the customer's family
}

// Cut-offs of what is believed. They are asymmetric on purpose: a wrong
// restatement costs more than a plain one.
const (
	minClaim = 0.3 // below it a claim is not repeated to the customer
	minFault = 0.6 // up to it, the prior of a type, the responsibility is not known

	minPrimary = 0.4 // below it the type is not the customer's matter
	minKind    = 0.6 // below it not even the kind of message is asserted
	minAdmit   = 0.5 // below it nothing is admitted
)

func (s *Suggester) understand(doc *qingting.Document, a *qingting.Analysis) matter {
	m := matter{known: map[qingting.SlotKind]string{}, asked: map[qingting.SlotKind]bool{}, given: map[qingting.SlotKind]bool{}, signals: map[qingting.SignalCode]bool{}}
	if a.Primary != nil {
		m.typ = *a.Primary
	} else if len(a.Types) > 0 {
		m.typ = a.Types[0].Code
	}
	for i := range a.Risk.Signals {
		m.signals[a.Risk.Signals[i].Code] = true
	}
	for i := range a.Slots {
		m.known[a.Slots[i].Kind] = a.Slots[i].Value
	}
	for i := range a.Types {
		if a.Types[i].Code == m.typ {
			m.sureness = a.Types[i].Confidence
		}
	}
	m.unsure = a.Kind.Confidence < minKind || a.Kind.Code == qingting.KindComplaint && m.sureness < minPrimary
	// Somebody hurt, outed or discriminated against is handed over even so,
	// but not as a case of a type that was guessed.
	if len(a.Routes) > 0 && (m.signals[qingting.SignalSafetyInjury] || m.signals[qingting.SignalPrivacy] || m.signals[qingting.SignalDiscrimination]) {
		m.grave, m.unsure = m.unsure, false
	}
	// Filming somebody is filed as a leak, and nothing said of leaked data fits.
	if m.typ == qingting.TypeLeak && len(a.Routes) > 0 && slices.ContainsFunc(doc.Messages, func(p *qingting.Prepared) bool {
		return p.Role == qingting.RoleCustomer && filmWords.has(p.Clean)
	}) {
		m.grave, m.unsure = true, false
	}
	s.contradict(doc, a, &m)
	onlyGreeting := true
	var pending []qingting.SlotKind // what the agent's last message asked for
	for _, p := range doc.Messages {
		if p.Partial() {
			continue
		}
		switch p.Role {
		case qingting.RoleCustomer:
			for _, f := range p.Slots {
				m.known[f.Kind] = f.Value
			}
			for _, r := range p.Clean {
				if unicode.IsLetter(r) || unicode.IsDigit(r) {
					m.said++
				}
			}
			m.asking = len(p.Clean) > 0 && (strings.ContainsRune("?？吗呢", p.Clean[len(p.Clean)-1]))
			m.family = m.family || familyWords.has(p.Clean)
			m.hurt = m.hurt || hurtWords.has(p.Clean)
			m.food = m.food || foodWords.has(p.Clean) && !deviceWords.has(p.Clean)
			m.abstract = m.abstract || abstractWords.has(p.Clean)
			m.accident = m.accident || accidentWords.has(p.Clean) && !deviceWords.has(p.Clean)
			m.medicine = m.medicine || medicineWords.has(p.Clean)
			if answers(p.Clean) {
				for _, k := range pending {
					m.given[k] = true
				}
			}
			if !isGreeting(p.Clean) {
				onlyGreeting = false
			}
			if s.sent.has(p.Clean) {
				m.given[qingting.SlotOrderNumber], m.given[qingting.SlotPhone], m.given[qingting.SlotAddress] = true, true, true
			}
			for i := range p.Clean {
				if e, _ := s.prefer.longest(p.Clean, i); e >= 0 && !conditional(p.Clean, i) && !strings.ContainsAny(string(p.Clean[max(0, i-2):i]), "不没别") {
					m.prefers = s.preferred[e]
				}
			}
		case qingting.RoleAgent, qingting.RoleBot:
			pending = pending[:0]
			for i := range p.Clean {
				if e, _ := s.asks.longest(p.Clean, i); e >= 0 {
					m.asked[askKinds[e].kind] = true
					pending = append(pending, askKinds[e].kind)
				}
			}
		}
	}
	m.greets = onlyGreeting
	m.food = m.food && !m.medicine
	s.claimOf(doc, a, &m)
	for claim, remedy := range map[qingting.ClaimCode]qingting.RemedyCode{qingting.ClaimRefund: qingting.RemedyRefund, qingting.ClaimResend: qingting.RemedyResend} {
		if m.prefers == remedy && slices.ContainsFunc(a.Claims, func(c qingting.Claim) bool { return c.Code == claim }) {
			m.claim, m.amount = claim, amountOfClaim(a, claim)
		}
	}
	m.harmed = m.typ == qingting.TypeSafety && !m.unsure || slices.Contains(a.Routes, qingting.RouteRecall) || m.signals[qingting.SignalSafetyInjury]
	m.hurt = m.hurt || m.signals[qingting.SignalSafetyInjury] || m.signals[qingting.SignalVulnerable]
	if m.grave {
		s.tellGrave(doc, a, &m)
		return m
	}
	if m.unsure {
		// Only the customer's own words are repeated, and asked about.
		m.typ, m.sureness = "", 0
		m.thing, m.domain = s.anyThing(doc)
		if told := s.bodyOf(doc, &m); told != "" {
			m.told = []string{told}
		} else if q := s.quoteOf(doc, a, true, m.claim != ""); q != "" {
			m.told = []string{"“" + q + "”"}
		}
		if a.Kind.Code != qingting.KindComplaint {
			m.asks = s.questionOf(doc)
		}
		return m
	}
	s.tellOf(doc, a, &m)
	// What it did to somebody goes before what was found.
	if told := s.bodyOf(doc, &m); told != "" && a.Kind.Code == qingting.KindComplaint && (m.typ != qingting.TypeSafety || len(m.told) == 0 || strings.Contains(m.told[0], "异物")) {
		m.told = append([]string{told}, m.told...)
	}
	if m.medicine && m.domain == policy.DomainFood {
		m.domain = policy.DomainGoods // 饭后吃的药: the meal is not the matter
	}
	if m.domain == "" && m.food {
		m.domain = policy.DomainFood
	}
	if m.family && m.typ == qingting.TypeSafety {
		for i, told := range m.told {
			for _, of := range []string{"您使用", "您用餐"} {
				if rest, ok := strings.CutPrefix(told, "您"); ok && strings.HasPrefix(told, of) {
					m.told[i] = "您的家人" + rest
				}
			}
		}
	}
	return m
}

// Words of a safety matter that decide what is asked first.
var (
	familyWords   = newTrie("孩子", "宝宝", "女儿", "儿子", "小孩", "老人", "妈妈", "爸爸", "母亲", "父亲", "奶奶", "爷爷", "外婆", "老婆", "老公", "妻子", "丈夫", "家人", "我妈", "我爸", "娃")
	hurtWords     = newTrie("受伤", "烫伤", "划伤", "割伤", "砸伤", "烧伤", "夹伤", "扎伤", "骨折", "流血", "过敏", "呕吐", "吐了", "拉肚子", "腹泻", "肚子疼", "肚子痛", "中毒", "住院", "医院", "急诊", "发烧", "晕倒")
	foodWords     = newTrie("食品", "食物", "餐厅", "用餐", "就餐", "外卖", "饭菜", "奶粉", "牛奶", "酸奶", "零食", "饮料", "吃坏", "吃了", "吃完", "吃出", "喝了", "喝完", "蛋糕", "奶茶", "面包", "火锅", "水果", "月饼", "饭里", "菜里", "汤里", "喝出", "吃到", "喝到", "米饭", "面条", "饺子", "包子", "火锅", "咖啡", "饼干", "罐头")
	medicineWords = newTrie("药房", "药店", "吃药", "拿药", "开药", "药品", "药片", "中药", "西药", "感冒药", "退烧药", "处方", "胶囊", "冲剂", "药盒", "口服液", "发药", "配药", "拿错药", "给错药", "这药", "药瓶", "药过期")
	abstractWords = newTrie("机票", "车票", "门票", "钱", "贷款", "公积金", "社保", "资金", "账户", "账上", "转账", "证", "签证", "航班", "车", "房", "号码", "系统", "审批", "到账")
	accidentWords = newTrie("滑倒", "摔倒", "摔骨折", "摔伤", "摔了一跤", "绊倒", "撞伤", "撞到", "打伤", "打人", "推搡", "砸到", "砸伤", "困在", "落水")
	filmWords     = newTrie("偷拍", "偷录", "针孔", "隐藏摄像", "偷窥")
	deviceWords   = newTrie("冒烟", "起火", "着火", "爆炸", "漏电", "触电", "充电", "自燃")
)

// bodies are what does not belong into food, and what it is called.
var (
	bodies    = []string{"头发", "毛发", "虫", "苍蝇", "蟑螂", "老鼠", "钢丝", "铁丝", "玻璃", "塑料", "石子", "石头", "指甲", "创可贴", "钉子", "烟头", "异物"}
	bodyWords = newTrie(bodies...)
	bodyNames = map[string]string{"虫": "虫子", "毛发": "头发"}
	// edible are things of the goods trade that are eaten.
	edible = map[string]bool{"奶粉": true, "水果": true, "苹果": true, "牛奶": true, "大米": true, "零食": true, "茶叶": true, "酒": true}
)

// bodyOf tells of a foreign body in something to eat, and marks it; "" when
// there is none.
func (s *Suggester) bodyOf(doc *qingting.Document, m *matter) string {
	for _, p := range doc.Messages {
		if p.Role != qingting.RoleCustomer || p.Partial() || !foodWords.has(p.Clean) || deviceWords.has(p.Clean) || medicineWords.has(p.Clean) {
			continue
		}
		for i := range p.Clean {
			e, _ := bodyWords.longest(p.Clean, i)
			if e < 0 || negated(p.Clean, i) {
				continue
			}
			body := bodies[e]
			if name, ok := bodyNames[body]; ok {
				body = name
			}
			thing := "食品"
			for j := range i {
				if e, _ := s.tables.subjectTrie.longest(p.Clean, j); e >= 0 {
					if sub := s.tables.subjects[e]; sub.domain == policy.DomainFood || edible[sub.name] {
						thing, m.thing, m.domain = sub.name, sub.name, sub.domain
					}
				}
			}
			m.body, m.food = true, true
			return "您在" + thing + "里发现了" + body
		}
	}
	return ""
}

// wasted reports a meal that nobody can eat: another one tomorrow mends
// nothing.
func (m *matter) wasted() bool {
	return m.body || m.typ == qingting.TypeDamage && m.domain == policy.DomainFood
}

// topic names the type; what was said before is mentioned only when it was.
func (m *matter) topic() string {
	if again, ok := topicsAgain[m.typ]; ok && m.signals[qingting.SignalRepeatContact] {
		return again
	}
	return topics[m.typ]
}

func amountOfClaim(a *qingting.Analysis, code qingting.ClaimCode) *float64 {
	for i := range a.Claims {
		if a.Claims[i].Code == code && a.Claims[i].Amount != nil && *a.Claims[i].Amount > 0 {
			return a.Claims[i].Amount
		}
	}
	return nil
}

// claimOf picks the demand to repeat: the surest one, demands for a thing
// before demands for words when both are about as sure.
func (s *Suggester) claimOf(doc *qingting.Document, a *qingting.Analysis, m *matter) {
	best := 0.0
	wanted, refused := wishesOf(doc)
	// Who demands a thing in so many words does not come for an explanation.
	demanded := slices.ContainsFunc(a.Claims, func(c qingting.Claim) bool {
		switch c.Code {
		case qingting.ClaimRefund, qingting.ClaimExchange, qingting.ClaimResend, qingting.ClaimCompensate, qingting.ClaimCancel:
			return c.Confidence >= minClaim && len(c.Evidence) > 0 && !refused[c.Code]
		}
		return false
	})
	for i := range a.Claims {
		c := &a.Claims[i]
		if refused[c.Code] {
			continue // 别给我退款
		}
		if demanded && (c.Code == qingting.ClaimExplain || c.Code == qingting.ClaimCallback) {
			continue
		}
		score := c.Confidence
		switch c.Code {
		case qingting.ClaimExplain, qingting.ClaimApology:
			score -= 0.25
		case qingting.ClaimPunish:
			score -= 0.3 // an apology is ours to give, a punishment is not
		case qingting.ClaimFix, qingting.ClaimCallback:
			score -= 0.1
		}
		if c.Confidence >= minClaim && (m.claim == "" || score > best) {
			if _, ok := wants[c.Code]; ok {
				m.claim, best, m.amount = c.Code, score, c.Amount
			}
		}
	}
	if m.claim == "" && a.Kind.Code == qingting.KindComplaint && (m.unsure || len(refused) > 0) {
		m.claim = wanted
	}
	if m.amount != nil && (*m.amount <= 0 || *m.amount > 1e7) {
		m.amount = nil
	}
}

// found is one place where the customer names a problem.
type found struct {
	issue, length, message, at int
}

// tellOf finds the words of the problem and what, when and how much goes
// with them.
func (s *Suggester) tellOf(doc *qingting.Document, a *qingting.Analysis, m *matter) {
	types := make([]qingting.Type, 0, 4)
	if m.typ != "" {
		types = append(types, m.typ)
	}
	for i := range a.Types {
		if !slices.Contains(types, a.Types[i].Code) {
			types = append(types, a.Types[i].Code)
		}
	}
	least := 2
	if len(types) == 0 {
		// Nobody said what kind of complaint it is; only plain fault words count.
		types, least = []qingting.Type{qingting.TypeQuality, qingting.TypePerformance, qingting.TypeDelay, qingting.TypeWait}, 3
	}
	// The main grievance in our words, else in hers, else a lesser one.
	for i, typ := range types {
		if s.tellType(doc, m, typ, least) {
			if i > 0 && denial(doc) {
				// What is meant comes after what is not: 不是少发货，是发错货.
				m.typ = typ
				if at := slices.IndexFunc(a.Types, func(t qingting.TypeScore) bool { return t.Code == typ }); at >= 0 {
					m.sureness = min(m.sureness, a.Types[at].Confidence)
				}
			}
			break
		}
		if i == 0 && a.Kind.Code == qingting.KindComplaint {
			if c := s.clauseOf(doc, a); c != "" {
				m.told = append(m.told, c)
				break
			}
		}
	}
	// Faults and weak performance share most of their words, and so do the
	// ways of not being answered.
	if len(m.told) == 0 && len(types) > 0 && m.typ == types[0] {
		if other, ok := siblings[m.typ]; ok {
			s.tellType(doc, m, other, 3)
		}
	}
	if m.thing == "" {
		m.thing, m.domain = s.anyThing(doc)
	}
	if a.Kind.Code == qingting.KindComplaint {
		// What she says of it, word for word, is worth more than the name of a
		// type, or than a sentence of ours about some thing or other.
		if len(m.told) == 0 || m.vague {
			if q := s.quoteOf(doc, a, false, m.claim != ""); q != "" {
				m.told, m.quoted = append([]string{"您提到“" + q + "”"}, m.told...), true
			}
		}
		if m.typ != "" {
			if m.thing != "" {
				if t, ok := topicsOf[m.typ]; ok && topicFits(m.typ, m.domain) {
					m.general = append(m.general, strings.Replace(t, "{物}", m.thing, 1))
				}
			}
			m.general = append(m.general, "您反映的是"+m.topic())
		}
	}
	if a.Kind.Code != qingting.KindComplaint {
		m.asks = s.questionOf(doc)
	}
}

var siblings = map[qingting.Type]qingting.Type{
	qingting.TypeQuality: qingting.TypePerformance, qingting.TypePerformance: qingting.TypeQuality,
	qingting.TypeProfessionalism: qingting.TypeEfficiency, qingting.TypeAttitude: qingting.TypeProfessionalism,
}

// topicFits reports that a thing of a trade can have a problem of a type: a
// telephone has no charges, and a station no speed.
func topicFits(typ qingting.Type, d policy.Domain) bool {
	switch typ {
	case qingting.TypeHiddenFee, qingting.TypeUnfair, qingting.TypeMisleading, qingting.TypeComplexity, qingting.TypeProfessionalism:
		return d == policy.DomainNetwork || d == policy.DomainSoftware
	case qingting.TypeQuality, qingting.TypePerformance:
		return d != policy.DomainPlace && d != policy.DomainParcel
	case qingting.TypeHygiene, qingting.TypeComfort, qingting.TypeNoise:
		return d == policy.DomainPlace || d == policy.DomainFood
	case qingting.TypeMismatch, qingting.TypeDelay, qingting.TypeDamage, qingting.TypeSafety:
		return d == policy.DomainGoods || d == policy.DomainParcel || d == policy.DomainFood
	}
	return true
}

// foreignBody is more than any weight of a phrase.
const foreignBody = 100

// tellType looks for an issue of one type and fills m when there is one.
func (s *Suggester) tellType(doc *qingting.Document, m *matter, typ qingting.Type, least int) bool {
	tr := s.tables.issueTrie[typ]
	best := found{issue: -1, length: -2 * foreignBody}
	var thing subject
	opening := -1
	for n, p := range doc.Messages {
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		if opening < 0 {
			opening = n
		}
		for i := 0; i < len(p.Clean); i++ {
			e, end := tr.longest(p.Clean, i)
			if e < 0 || end-i < least || negated(p.Clean, i) {
				continue
			}
			// What a customer opens with is what she came for.
			weight := end - i
			if n == opening {
				weight += 2
			}
			is := &s.tables.issues[e]
			if m.medicine && strings.Contains(is.before+is.thing, "餐") {
				continue
			}
			if strings.Contains(is.before, "异物") {
				weight -= foreignBody // what it did to somebody matters more
			}
			if weight <= best.length {
				continue
			}
			near, ok := s.nearThing(p.Clean, i, end, is.domains)
			if !ok {
				continue
			}
			best = found{e, weight, n, i}
			thing = near
		}
	}
	if best.issue < 0 {
		return false
	}
	is, p := &s.tables.issues[best.issue], doc.Messages[best.message]
	if from, _ := clauseAround(p.Clean, best.at); thing.name == "" && is.thing != "" && !ownSubject(p.Clean[from:best.at]) {
		// Named elsewhere in the conversation, when it is the only fitting one.
		thing = s.onlyThing(doc, is.domains)
	}
	if m.typ == "" {
		m.typ = typ
	}
	m.thing, m.domain = thing.name, thing.domain
	m.vague = thing.name == "" && (is.thing == "商品" || is.thing == "设备" || is.thing == "产品")
	name := thing.name
	if name == "" && m.medicine && is.thing == "食品" {
		name = "药品"
	}
	if name == "密码" || name == "验证码" {
		name = "" // nobody logs in to a password
	}
	if name != "" && strings.Contains(is.before+is.after, name) {
		name = "" // 您的订单在订单里: let the sentence use its own word
	}
	when := whenOf(p, best.at, s.now())
	amount := ""
	if strings.Contains(is.before+is.after, "{额}") {
		if v, ok := amountNear(p, best.at); ok {
			amount = yuan(v)
			if m.amount == nil && m.claim == qingting.ClaimRefund {
				m.amount = &v
			}
		}
	}
	for _, t := range []string{is.tell(name, when, amount), is.tell(name, "", amount), is.tell(name, "", ""), is.tell("", "", "")} {
		if !slices.Contains(m.told, t) {
			m.told = append(m.told, t)
		}
	}
	return true
}

// nearThing finds the thing named before the problem in the same sentence. It
// is not ok when a thing of a foreign trade stands right there: then the
// issue's sentence would be about something else.
func (s *Suggester) nearThing(text []rune, at, end int, domains []policy.Domain) (subject, bool) {
	if len(domains) == 0 {
		return subject{}, true
	}
	start := at
	for start > 0 && at-start < 24 && !sentenceEnd(text[start-1]) {
		start--
	}
	var last subject
	own, _ := clauseAround(text, at)
	foreign := -1
	for i := start; i < end; i++ {
		if i < own && ownSubject(text[own:at]) {
			continue // 手机没坏，是充电线坏了
		}
		e, stop := s.tables.subjectTrie.longest(text, i)
		if e < 0 {
			continue
		}
		if sub := s.tables.subjects[e]; slices.Contains(domains, sub.domain) {
			if i >= at && last.name == "" && foreign >= 0 && at-foreign <= 6 {
				return subject{}, false // 电视没信号 says nothing of a telephone
			}
			last, foreign = sub, -1
		} else {
			foreign = i
		}
		i = stop - 1
	}
	if last.name == "" && foreign >= 0 && at-foreign <= 6 {
		return subject{}, false
	}
	return last, true
}

// bridges are what may stand between a problem and the thing it befell,
// named a clause before.
var bridges = []string{"突然", "昨天", "今天", "昨晚", "前天", "刚才", "一直", "总是", "老是", "经常", "已经", "结果", "居然", "竟然", "现在", "然后", "到现在", "至今", "五天了", "三天了", "天天", "每天", "有时候", "又", "就", "都", "也", "还", "却", "才", "它", "这", "老", "总", "自己", "直接", "完全", "根本", "全部", "有点", "真的", "实在", "特别", "非常", "很", "太", "无故", "莫名", "我", "说", "里面", "上面", "里", "上", "家里", "家", "不是", "第一次", "打开", "收到", "发现"}

// ownSubject reports that a clause names something of its own before the
// problem, which we have no word for.
func ownSubject(before []rune) bool {
	s := string(before)
	for again := true; again && s != ""; {
		again = false
		for _, w := range bridges {
			if rest := strings.TrimPrefix(s, w); rest != s {
				s, again = rest, true
			}
		}
	}
	if strings.ContainsAny(s, "了过") {
		return false // 用了三天就坏了: a deed, not a thing
	}
	return len([]rune(s)) >= 2
}

// onlyThing is the fitting thing when the customer names exactly one.
func (s *Suggester) onlyThing(doc *qingting.Document, domains []policy.Domain) subject {
	var only subject
	for _, p := range doc.Messages {
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		for i := 0; i < len(p.Clean); i++ {
			e, stop := s.tables.subjectTrie.longest(p.Clean, i)
			if e < 0 {
				continue
			}
			sub := s.tables.subjects[e]
			if from, to := clauseAround(p.Clean, i); opposed(p.Clean, from, to) {
				continue
			}
			if slices.Contains(domains, sub.domain) {
				if only.name != "" && only.name != sub.name {
					return subject{}
				}
				only = sub
			}
			i = stop - 1
		}
	}
	return only
}

// loose are things too often named beside the matter to stand for it.
var loose = map[string]bool{
	"号码": true, "订单": true, "微博": true, "微信": true, "密码": true, "验证码": true, "书": true, "灯": true, "床": true, "酒": true, "药": true, "菜": true, "饭": true,
	"餐": true, "汤": true, "水果": true, "苹果": true, "系统": true, "软件": true, "账号": true, "网页": true, "网站": true, "信号": true, "公众号": true, "营业厅": true,
	"网络": true, "流量": true, "学校": true, "小区": true, "医院": true, "鞋": true, "包": true, "裤子": true, "商品": true, "物流": true, "店里": true, "网点": true,
	"直播": true, "游戏": true, "会员": true, "积分": true, "电池": true, "屏幕": true, "发票": true, "面条": true, "米饭": true, "饮料": true, "客户端": true, "浏览器": true,
}

// anyThing is the thing named most often, the first of them on a tie.
func (s *Suggester) anyThing(doc *qingting.Document) (string, policy.Domain) {
	type count struct{ entry, n int }
	var counts []count
	for _, p := range doc.Messages {
		if len(counts) > 0 {
			break // the first message that names something says what it is about
		}
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		for i := 0; i < len(p.Clean); i++ {
			e, stop := s.tables.subjectTrie.longest(p.Clean, i)
			if e < 0 || loose[s.tables.subjects[e].name] || i > 0 && (p.Clean[i-1] == '[' || p.Clean[i-1] == '@') {
				continue
			}
			k := slices.IndexFunc(counts, func(c count) bool { return s.tables.subjects[c.entry].name == s.tables.subjects[e].name })
			if k < 0 {
				counts = append(counts, count{e, 0})
				k = len(counts) - 1
			}
			counts[k].n++
			i = stop - 1
		}
	}
	if len(counts) == 0 {
		return "", ""
	}
	best := counts[0]
	for _, c := range counts[1:] {
		if c.n > best.n {
			best = c
		}
	}
	return s.tables.subjects[best.entry].name, s.tables.subjects[best.entry].domain
}

// conditional reports a threat or an if in front of a wish: 不然我不要了.
func conditional(text []rune, i int) bool {
	before := string(text[max(0, i-8):i])
	for _, w := range []string{"不然", "否则", "要不", "再不", "如果", "要是"} {
		if strings.Contains(before, w) {
			return true
		}
	}
	return false
}

func sentenceEnd(r rune) bool {
	switch r {
	case '。', '！', '？', '!', '?', ';', '；', '\n', '…':
		return true
	}
	return false
}

func clauseEnd(r rune) bool {
	switch r {
	case '，', ',', '、', '.', '~', '～', ':', '：', ' ', '\t', '#', '@', '[', ']', '(', ')', '（', '）', '【', '】', '"', '“', '”', '/', '>', '<', '《', '》', '-', '—':
		return true
	}
	return sentenceEnd(r)
}

// whenWords are times that stay true when the agent says them back today.
// Days relative to the message (昨天) are used only while they still fit.
var (
	lasting  = newTrie("最近", "近期", "这几天", "这两天", "上个月", "上月", "这个月", "本月", "这周", "上周", "周末", "前几天", "前段时间", "去年", "今年", "双十一", "双11", "一直以来", "连续几天", "每个月", "每月", "每天", "半夜", "晚上")
	today    = newTrie("今天", "今早", "今晚", "刚才", "刚刚", "今天早上", "今天上午", "今天下午", "昨天", "昨晚", "昨天晚上", "昨天下午", "昨天上午", "前天", "上午", "下午")
	lastingS = []string{"最近", "近期", "这几天", "这两天", "上个月", "上月", "这个月", "本月", "这周", "上周", "周末", "前几天", "前段时间", "去年", "今年", "双十一", "双十一", "一直以来", "连续几天", "每个月", "每月", "每天", "半夜", "晚上"}
	todayS   = []string{"今天", "今早", "今晚", "刚才", "刚刚", "今天早上", "今天上午", "今天下午", "昨天", "昨晚", "昨天晚上", "昨天下午", "昨天上午", "前天", "上午", "下午"}
)

// whenOf is the time word of the sentence around a problem; "" when none is
// safe to repeat.
func whenOf(p *qingting.Prepared, at int, now time.Time) string {
	start := at
	for start > 0 && at-start < 20 && !sentenceEnd(p.Clean[start-1]) {
		start--
	}
	when := ""
	fresh := p.SentAt.IsZero() || sameDay(p.SentAt.In(now.Location()), now)
	for i := start; i < at; i++ {
		if e, end := lasting.longest(p.Clean, i); e >= 0 && sameEvent(p.Clean, end, at) {
			when = lastingS[e]
		} else if e, end := today.longest(p.Clean, i); e >= 0 && fresh && sameEvent(p.Clean, end, at) {
			when = todayS[e]
		}
	}
	if when != "" {
		return when
	}
	// A date that was written out stays true.
	for _, f := range p.Slots {
		if f.Kind == qingting.SlotDate && f.Start >= start && f.End <= at && sameEvent(p.Clean, f.End, at) {
			if d, err := time.Parse("2006-01-02", f.Value); err == nil && strings.ContainsRune(string(p.Clean[f.Start:min(f.End, len(p.Clean))]), '月') {
				return strconv.Itoa(int(d.Month())) + "月" + strconv.Itoa(d.Day()) + "日"
			}
		}
	}
	return ""
}

// events are deeds that a time word before them belongs to, rather than to
// the problem after them: 昨天买的电饭煲坏了 broke nobody knows when.
var events = newTrie("买", "购", "下单", "下的单", "订", "点了", "点的", "收到", "收货", "寄", "送", "办", "装", "修", "换", "充值", "开通", "拍", "付", "交了", "交的", "签收", "反映", "联系", "说", "报修", "报了", "申请", "提交", "预约", "约", "发货", "退", "到货", "拿", "去", "来", "入住", "吃", "喝", "用了", "更新", "升级", "找", "答应", "承诺", "通知", "转", "开始", "是", "在")

// sameEvent reports that nothing else happened between a time word and the
// problem.
func sameEvent(text []rune, from, to int) bool {
	return from <= to && !events.has(text[from:to]) && to-from <= 10 && (from >= len(text) || text[from] != '的')
}

func sameDay(a, b time.Time) bool { return a.YearDay() == b.YearDay() && a.Year() == b.Year() }

// amountNear is the amount of the sentence that names the problem, when
// there is exactly one.
func amountNear(p *qingting.Prepared, at int) (float64, bool) {
	value, n := 0.0, 0
	for _, f := range p.Slots {
		if f.Kind != qingting.SlotAmount || f.Start > at+20 || f.End < at-20 {
			continue
		}
		v, err := strconv.ParseFloat(f.Value, 64)
		if err != nil || v <= 0 || v > 1e7 {
			continue
		}
		if n > 0 && v != value {
			return 0, false
		}
		value, n = v, n+1
	}
	return value, n > 0
}

// yuan says a sum as it is written on a bill: 40元, 1299.50元.
func yuan(v float64) string {
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64) + "元"
	}
	return strconv.FormatFloat(v, 'f', 2, 64) + "元"
}

var greetings = map[string]bool{
	"您好": true, "你好": true, "在吗": true, "在": true, "hi": true, "hello": true, "喂": true, "客服": true, "有人吗": true, "人工": true,
	"转人工": true, "人工客服": true, "亲": true, "在不在": true, "你好在吗": true, "您好在吗": true, "有人在吗": true, "早": true, "早上好": true,
	"嗨": true, "哈喽": true, "谢谢": true, "好的": true, "嗯": true, "好": true, "ok": true, "你好啊": true,
}

var yes = map[string]bool{"是": true, "是的": true, "对": true, "对的": true, "没错": true, "嗯": true, "嗯嗯": true, "就是这个": true, "是这个": true, "对是这个": true}

// answers reports that a message answers the question before it: a yes, a
// number, or something that was masked before it came to us ([电话]).
func answers(text []rune) bool {
	var b strings.Builder
	digits := 0
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(r)
		}
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	s := string(text)
	return yes[b.String()] || digits >= 6 || strings.Contains(s, "[电话") || strings.Contains(s, "[号码") || strings.Contains(s, "[订单") || strings.Contains(s, "[数字") || strings.Contains(s, "[地址") || strings.Contains(s, "****")
}

// isGreeting reports that a message says nothing yet.
func isGreeting(text []rune) bool {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	s := b.String()
	return s == "" || greetings[s]
}

// contradict drops a type whose every sign the customer denies, in favour of
// what she says it is: 我不是说客服态度差，是流程太麻烦.
func (s *Suggester) contradict(doc *qingting.Document, a *qingting.Analysis, m *matter) {
	if m.typ == "" || a.Kind.Code != qingting.KindComplaint {
		return
	}
	if said, denied := s.signs(doc, m.typ); said > 0 || denied == 0 && !s.refuted(doc, a, m.typ) {
		return
	}
	best, length := qingting.Type(""), 0
	for _, typ := range qingting.Types() {
		if said, _ := s.signs(doc, typ); said > length {
			best, length = typ, said
		}
	}
	m.typ, m.sureness, m.unsure = best, minPrimary, length < 2
}

// signs is the length of the longest sign of a type that the customer gives,
// and of the longest she denies.
func (s *Suggester) signs(doc *qingting.Document, typ qingting.Type) (said, denied int) {
	tr := s.tables.issueTrie[typ]
	for _, p := range doc.Messages {
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		for i := range p.Clean {
			e, end := tr.longest(p.Clean, i)
			switch {
			case e < 0 || end-i < 2:
			case negated(p.Clean, i):
				denied = max(denied, end-i)
			default:
				said = max(said, end-i)
			}
		}
	}
	return said, denied
}

// tellGrave tells back what was done to somebody when its type is a guess: in
// her words, else by the signal alone. No remedy of the type is thought of.
func (s *Suggester) tellGrave(doc *qingting.Document, a *qingting.Analysis, m *matter) {
	m.typ, m.sureness = "", 0
	m.thing, m.domain = s.anyThing(doc)
	if m.domain == policy.DomainPlace {
		m.thing = "" // where it happened, not what did it
	}
	switch {
	case m.signals[qingting.SignalSafetyInjury]:
		m.general = []string{"您反映的是人身安全受到影响的事"}
	case !m.signals[qingting.SignalDiscrimination]:
		m.general = []string{"您反映的是个人隐私受到侵犯的事"}
	default:
		m.general = []string{"您反映的是受到区别对待的事"}
	}
	if told := s.bodyOf(doc, m); told != "" {
		m.told = []string{told}
	} else if q := s.quoteOf(doc, a, true, m.claim != ""); q != "" {
		m.told, m.quoted = []string{"您提到“" + q + "”"}, true
	}
}

// refuted reports that a type has evidence, and all of it lies in clauses that
// the customer denies.
func (s *Suggester) refuted(doc *qingting.Document, a *qingting.Analysis, typ qingting.Type) bool {
	var evidence []qingting.Span
	for i := range a.Types {
		if a.Types[i].Code == typ {
			evidence = a.Types[i].Evidence
		}
	}
	opposing := false
	for n, p := range doc.Messages {
		if p.Role != qingting.RoleCustomer || p.Partial() {
			continue
		}
		for start, end := range clauses(p.Clean) {
			if !covers(p, n, start, end, evidence) {
				continue
			}
			if !opposed(p.Clean, start, end) {
				return false
			}
			opposing = true
		}
	}
	return opposing
}
