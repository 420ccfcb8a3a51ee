package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/pattern"
)

// patterns are the rules that need more than one pattern: they count, weigh
// an amount or look at the sentence around.
type patterns struct {
	bullet, ordinal, sequence                   *pattern.Pattern
	vague, commit, offer, moment, owner, nobody *pattern.Pattern
	notPromise, notSoon                         *pattern.Pattern
	amount, give, approved, hearsay             *pattern.Pattern
	digits, serial, email                       *pattern.Pattern
	ask, askNumber, told                        *pattern.Pattern
	link                                        *pattern.Pattern
	// Words without which a pattern need not run.
	commitWords, vagueWords, verbWords, momentWords, ownerWords, nobodyWords wordSet
	giveWords, contactWords, stepWords, unitWords, askWords, pleaseWords     wordSet
	fourthWords, numberWords, itemWords, tailWords                           wordSet
}

// commitVerbs are what a customer waits for once it is promised.
const commitVerbs = `(?:处理|解决|回复|答复|联系|回电|回访|安排|核实|核查|跟进|反馈|通知|告知|告诉|排查|退款|退[给回还]|给您退|补发|寄出|派人|催促|催|致电|来电|上门|打给您|办理|修复|改进|优化|落实|查明|调查)`

func compilePatterns(w words) (p patterns, err error) {
	p.commitWords = w.set("会", "将", "帮您", "为您", "给您")
	p.vagueWords = w.set("尽快", "尽早", "稍", "晚点", "晚些", "过几天", "过两天", "后续", "后面", "后期", "回头", "抓紧", "及时", "有结果", "有消息", "有进展", "有回音", "第一时间", "耐心")
	p.verbWords = w.set("处理", "解决", "回复", "答复", "联系", "回电", "回访", "安排", "核实", "核查", "跟进", "反馈", "通知", "告", "排查", "退", "补发", "寄出", "派人", "催", "电", "上门", "打给", "办理", "修复", "改进", "优化", "落实", "查明", "调查", "争取", "协调")
	p.momentWords = w.set("今天", "明天", "现在", "小时内", "点前", "马上", "立即")
	p.ownerWords = w.set("我", "专员", "主管", "工程师", "师傅", "团队", "小组", "负责人")
	p.nobodyWords = w.set("有人", "有专人", "相关", "有关", "工作人员", "专门人员", "技术人员", "专业人员")
	p.giveWords = w.set("赔", "补", "退", "返", "减", "免", "券", "红包", "送您", "赠送")
	p.contactWords = w.set("号", "电话", "地址", "联系方式", "订单")
	p.unitWords = w.set("元", "块", "¥", "￥", "圆", "rmb", "RMB")
	p.askWords = w.set("提供", "告知", "告诉", "发", "报", "留", "给", "说", "讲", "填", "输入", "核对", "私信", "补充", "确认", "多少", "什么", "哪个", "几号", "哪里")
	p.pleaseWords = w.set("请", "麻烦", "方便", "烦", "多少", "?", "？")
	p.stepWords = w.set("首先", "其次", "再次", "然后", "接着", "随后", "最后")
	// What a fourth item of a list looks like; without one no list is too long.
	p.fourthWords = w.set("4.", "4、", "4)", "4．", "四、", "④", "(四", "4:")
	p.tailWords = w.set("尾号")
	p.numberWords = w.set("第")
	p.itemWords = w.set("步")
	for _, c := range []struct {
		to   **pattern.Pattern
		expr string
	}{
		// A list number stands at the start of a clause and no digit follows its mark.
		{&p.bullet, `(?:^|[\s：:，,。；;])(?:[（(]?(\d{1,2})[.、．)）]|([一二三四五六七八九十])[、])(?:[^0-9]|$)|([①②③④⑤⑥⑦⑧⑨])|[（(](\d{1,2}|[一二三四五六七八九])[)）]`},
		{&p.ordinal, `第([一二三四五六七八九]|\d)步`},
		{&p.sequence, `首先|其次|再次|然后|接着|随后|之后再|最后`},
		{&p.vague, `((?:会|将|会再|再)?(?:尽快|尽早|稍后|稍候|晚些时候|晚点|后续|后面|后期|回头|抓紧|及时|过几天|过两天|有(?:结果|消息|进展|回音)(?:了|后|以后)?(?:就|会|再|第一时间)*|第一时间|耐心等待)[^，,。]{0,10}?` + commitVerbs + `[^，,。]{0,4})`},
		{&p.commit, `(?:^|[^机误体社不才您该])((?:会|将)(?:有人|有专人|再|继续|持续|马上|立即)?(?:帮|为|给|向|跟|和|与|把)?[^，,。]{0,8}?` + commitVerbs + `[^，,。]{0,4})`},
		{&p.offer, `(我们?(?:这边|这里)?(?:先|再|来|去|就|可以)?(?:帮|为|给)您(?:再)?(?:催|跟进|反馈|处理|争取|协调)(?:一下|下)?)`},
		{&p.moment, `\d+ ?(?:分钟|个?小时|个?工作日|天|点|时|日|号|周|个月|秒)|\d{1,2}:\d{2}|[一二两三四五六七八九十半]+个?(?:分钟|小时|工作日|天|点|日|号|周|星期|月内)|今天|今日|今晚|今早|今天内|明天|明日|明早|明晚|明儿|后天|本周|这周|下周|周[一二三四五六日末天]|星期[一二三四五六日天]|月底|月初|现在|马上|立即|立刻|这就|当场|当天|当日|刚刚|刚才|已经?|正在|在线等`},
		// These look like a time and name none.
		{&p.notSoon, `过两天|过几天|晚点|两三天|三两天|一两天|差一点|有一点|早一点|快一点|一点点`},
		{&p.owner, `我|专员|主管|经理|工程师|师傅|团队|小组|负责人|同事|客服|站点|门店|店长|仓库|财务|快递员|配送员|骑手|检测员|技术员|运营商|维修部|售后|店员`},
		{&p.nobody, `有(?:人|专人)|相关(?:部门|人员|同事|工作人员|负责人|团队)|有关(?:部门|人员)|工作人员|专门人员|技术人员|专业人员`},
		{&p.notPromise, `会不会|有任何变化我|能不能|是否|会是|您(?:可以|能|就|也)?会|如果|要是|请您?(?:尽快|及时|稍后|尽早|第一时间)|请(?:尽快|及时)|您(?:尽快|及时|稍后|这边尽快)|建议您?|提醒您|没有(?:及时|尽快|人)|没能?(?:及时|尽快)|未(?:能|及时)|不(?:够)?及时|一直|您(?:希望|想|要求|盼|说|提到|反映)|希望(?:能|可以|我们)?(?:尽快|及时)|为什么|不会`},
		{&p.amount, `(?:[¥￥] ?(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?) ?(万|千|百)? ?(?:元|块|rmb|RMB|圆)|([一二两三四五六七八九十百千万零]+) ?(?:元|块))`},
		{&p.give, `赔|补偿|补给|补贴|退|返|减免|免去|免掉|优惠券|代金券|抵用券|抵扣券|现金券|券|红包|再补您|给您补|补您|送您|赠送`},
		{&p.approved, `申请|审批|批准|审核|主管|经理批|是否|能否|能不能|可不可以|视情况|核实后|确认后|以.{0,6}为准`},
		{&p.hearsay, `您(?:最|主要是?|更)?(?:要求|希望|想|看重|提到|说|提出|反映|认为|申请|之前|要|主张|的诉求)|(?:要求|希望|想要)(?:我们)?(?:退|赔|补)|已经?(?:退|赔|补|返|到|为您退)|退款?已|到账了|退到了|不(?:能|可以)(?:退|赔|补)|没有?(?:退|赔|到账)|退货(?:运|邮)费|被退|扣(?:了|的|除)?款?\d`},
		{&p.digits, `\d(?:[ \-]?\d){6,}[xX]?`},
		{&p.serial, `[A-Za-z]{1,6}\d[A-Za-z0-9\-]{7,}`},
		{&p.email, `[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+`},
		{&p.ask, `(?:提供|告知|告诉|发|报|留|给|说|讲|填|输入|核对|报一下|私信|补充|确认)[^，,。？?]{0,8}(订单(?:编?号码?)?|单号|手机号码?|电话号码?|联系(?:电话|方式)|电话|号码|业务号码|收货地址|详细地址|地址)|(?:把)?您?的?(订单编?号码?|单号|手机号码?|电话号码?|联系电话|联系方式|电话|号码|地址)[^，,。？?]{0,6}(?:发|告诉|提供|告知|报|留|说|给|私信)`},
		{&p.askNumber, `(订单编?号码?|单号|手机号码?|电话号码?|联系电话|联系方式|电话|号码|收货地址|地址)(?:是)?(?:多少|什么|哪个|几号|哪里)|(?:哪个|什么|多少)(订单号|手机号|号码|地址)|留个(电话|号码|手机号|地址)`},
		{&p.told, `不用|不必|无需|不需要|已经|已收到|看到了|我(?:这边)?有|记下了|核实到|查到|尾号|收到您|您(?:之前|刚才|刚刚|已|已经)?(?:提供|发来|发给|发|留|说|报|给)(?:的|过|了)|谢谢您(?:提供|发)|打(?:过去|给)|号码是对|给您打|拨打|打电话(?:把|给|告诉)|电话(?:告诉|告知|联系|通知|回复|把|里|给您|答复|打)|(?:发|寄|送|打)到您`},
		{&p.link, `(?i)https?://[^\s，。；）)]+|www\.[^\s，。；）)]+|[a-z0-9\-]+(?:\.[a-z0-9\-]+)*\.(?:com|cn|net|org|top|xyz|cc|io|shop|link|info|vip|hk|tw)(?:/[^\s，。；）)]*)?`},
	} {
		if *c.to, err = pattern.Compile(c.expr); err != nil {
			return p, fmt.Errorf("lint pattern: %w", err)
		}
	}
	return p, nil
}

func (p *patterns) steps(d *draft, out []Finding) []Finding {
	report := func(at, end int) []Finding {
		return append(out, d.finding(RuleSteps, at, end, "步骤超过三步，客户记不住；请合并或先说最要紧的三步", ""))
	}
	// fourth finds the first mark after MaxSteps different ones.
	fourth := func(re *pattern.Pattern) (start, end int, ok bool) {
		seen := map[string]bool{}
		// The mark may need the separator before it, so matches may not
		// consume the character after: the search goes on at the end of the mark.
		for from := 0; from < len(d.masked); from = end {
			start, end = d.machine.Next(re, d.masked[from:], 0)
			if start < 0 {
				break
			}
			for g := 1; g <= markGroups; g++ {
				if a, b := d.machine.Group(g); a >= 0 {
					start, end = a, b
				}
			}
			start, end = from+start, from+end
			if seen[string(d.masked[start:end])] = true; len(seen) > MaxSteps {
				return start, end, true
			}
		}
		return 0, 0, false
	}
	if d.all.meets(&p.fourthWords) {
		if a, b, ok := fourth(p.bullet); ok {
			return report(a, b)
		}
	}
	if d.all.meets(&p.itemWords) && d.all.meets(&p.numberWords) {
		if a, b, ok := fourth(p.ordinal); ok {
			return report(a, b)
		}
	}
	if d.all.meets(&p.stepWords) {
		if a, b, ok := fourth(p.sequence); ok {
			return report(a, b)
		}
	}
	return out
}

// markGroups is how many kinds of marks the pattern of list numbers tells apart.
const markGroups = 4

func (p *patterns) promises(d *draft, c Context, out []Finding) []Finding {
	for i := range d.sentences {
		s := &d.sentences[i]
		sentence := d.masked[s.start:s.end]
		vague := s.words.meets(&p.vagueWords)
		if !s.words.meets(&p.verbWords) || !vague && !s.words.meets(&p.commitWords) {
			continue
		}
		if !vague && s.words.meets(&p.momentWords) && s.words.meets(&p.ownerWords) && !s.words.meets(&p.nobodyWords) {
			continue // the usual good promise, without a pattern
		}
		if last := sentence[len(sentence)-1]; last == '？' || last == '?' {
			continue
		}
		from, to := -1, -1
		for _, re := range []*pattern.Pattern{p.vague, p.commit, p.offer} {
			if re == p.vague && !vague {
				continue
			}
			for start, end := d.machine.Next(re, sentence, 0); start >= 0; start, end = d.machine.Next(re, sentence, end) {
				a, b := d.machine.Group(1)
				if !d.match(p.notPromise, clause(sentence, a, b)) {
					from, to = a, b
					break
				}
			}
			if from >= 0 {
				break
			}
		}
		if from < 0 {
			continue
		}
		around := sentence
		if i+1 < len(d.sentences) {
			around = d.masked[s.start:d.sentences[i+1].end]
		}
		timed := d.match(p.moment, d.without(p.notSoon, around))
		owned := d.match(p.owner, d.without(p.nobody, sentence))
		if timed && owned {
			continue
		}
		reason := "承诺没有时限；请写明几点前或几小时内"
		switch {
		case timed:
			reason = "承诺没有责任人；请写明由谁来做"
		case !owned:
			reason = "承诺没有责任人和时限；请写明由谁、几点前做"
		}
		rewrite := ""
		if quote := sentence[from:to]; c.Due != "" && !timed {
			rewrite = c.Due + stripVague(string(quote))
			if !owned {
				rewrite = "我" + rewrite
			}
		}
		out = append(out, d.finding(RulePromise, s.start+from, s.start+to, reason, rewrite))
	}
	return out
}

// without returns a text without what a pattern matches, valid until the next
// call.
func (d *draft) without(p *pattern.Pattern, text []rune) []rune {
	d.spare = d.spare[:0]
	for done := 0; ; {
		start, end := d.machine.Next(p, text, done)
		if start < 0 {
			d.spare = append(d.spare, text[done:]...)
			return d.spare
		}
		d.spare = append(d.spare, text[done:start]...)
		done = end
	}
}

// stripVague leaves the deed of a promise: 会尽快处理 → 处理.
func stripVague(s string) string {
	for again := true; again; {
		again = false
		for _, w := range []string{"会", "将", "尽快", "尽早", "稍后", "稍候", "后续", "后面", "后期", "回头", "抓紧", "及时", "第一时间", "有人", "有专人", "有结果了", "有结果后", "有结果", "有消息", "有进展", "就", "再"} {
			if rest := strings.TrimPrefix(s, w); rest != s && rest != "" {
				s, again = rest, true
			}
		}
	}
	return s
}

func (p *patterns) amounts(d *draft, c Context, out []Finding) []Finding {
	if !d.all.meets(&p.unitWords) {
		return out
	}
	limits := DefaultAuthority()
	if c.Authority != nil {
		limits = *c.Authority
	}
	for i := range d.sentences {
		s := &d.sentences[i]
		if !s.words.meets(&p.giveWords) || !s.words.meets(&p.unitWords) {
			continue
		}
		sentence := d.masked[s.start:s.end]
		for start, end := d.machine.Next(p.amount, sentence, 0); start >= 0; start, end = d.machine.Next(p.amount, sentence, end) {
			value, ok := d.readAmount(sentence)
			before := string(sentence[max(0, start-2):start])
			if !ok || strings.HasSuffix(before, "满") || strings.HasSuffix(before, "满¥") {
				continue
			}
			around := clause(sentence, start, end)
			here := string(around)
			limit, kind := limits.Compensate, "赔付"
			switch {
			case strings.Contains(here, "券") || strings.Contains(here, "优惠码"):
				limit, kind = limits.Coupon, "优惠券"
			case strings.Contains(here, "退") || strings.Contains(here, "返"):
				limit, kind = limits.Refund, "退款"
			}
			if value <= limit || !d.match(p.give, around) || d.match(p.approved, around) || d.match(p.hearsay, around) || p.approvalFollows(string(sentence[end:])) {
				continue
			}
			reason := fmt.Sprintf("%s超出权限（上限 %s 元），要主管审批，不能直接答应", kind, strconv.FormatFloat(limit, 'f', -1, 64))
			out = append(out, d.finding(RuleAmount, s.start+start, s.start+end, reason, "一笔金额（由主管审批后答复）"))
		}
	}
	return out
}

// approvalFollows reports whether the clause after an amount leaves the
// decision to somebody else: 补偿200元，由主管审批后答复.
func (p *patterns) approvalFollows(rest string) bool {
	i := strings.IndexAny(rest, "，,")
	if i < 0 {
		return false
	}
	next := strings.TrimLeft(rest[i:], "，,")
	if j := strings.IndexAny(next, "，,。"); j >= 0 {
		next = next[:j]
	}
	return strings.Contains(next, "审批") || strings.Contains(next, "批准") || strings.Contains(next, "主管同意")
}

// readAmount reads the sum of money that the amount pattern has just matched.
func (d *draft) readAmount(sentence []rune) (float64, bool) {
	group := func(k int) string {
		start, end := d.machine.Group(k)
		return string(sentence[max(start, 0):max(end, 0)])
	}
	if s := group(1); s != "" {
		v, err := strconv.ParseFloat(s, 64)
		return v, err == nil
	}
	if s := group(2); s != "" {
		v, err := strconv.ParseFloat(s, 64)
		switch group(3) {
		case "百":
			v *= 100
		case "千":
			v *= 1000
		case "万":
			v *= 10000
		}
		return v, err == nil
	}
	return chineseNumber(group(4))
}

// chineseNumber reads 三百二 as 320, 一万 as 10000; false for nonsense.
func chineseNumber(s string) (float64, bool) {
	total, section, digit, unit := 0.0, 0.0, 0.0, 1.0
	seen := false
	for _, r := range s {
		if i := strings.IndexRune("零一二三四五六七八九", r); i >= 0 {
			digit, seen = float64(i/len("零")), true
			if r == '零' {
				unit = 10 // 三百零五: the next digit stands for itself
			}
			continue
		}
		switch r {
		case '两':
			digit, seen = 2, true
		case '十', '百', '千':
			unit = map[rune]float64{'十': 10, '百': 100, '千': 1000}[r]
			section += max(digit, 1) * unit
			digit, seen = 0, true
		case '万':
			total += max(section+digit, 1) * 10000
			section, digit, unit, seen = 0, 0, 10000, true
		default:
			return 0, false
		}
	}
	if digit > 0 && unit > 10 {
		digit *= unit / 10
	}
	return total + section + digit, seen
}

func (p *patterns) personal(d *draft, c Context, out []Finding) []Finding {
	add := func(a, b int, what, rewrite string) {
		out = append(out, d.plain(RulePersonal, a, b, "完整的"+what+"不要发在聊天里；只写尾号", rewrite))
	}
	text := d.folded
	is := func(i int, r rune) bool { return i >= 0 && i < len(text) && text[i] == r }
	if longRun(text) {
		for a, b := d.machine.Next(p.digits, text, 0); a >= 0; a, b = d.machine.Next(p.digits, text, b) {
			// A letter before the digits makes it a serial number, found below.
			if a > 0 && isLetter(text[a-1]) || is(a-1, '*') || is(a-1, '.') || is(b, '*') {
				continue
			}
			n := onlyDigits(text[a:b])
			switch what := numberKind(n); {
			case what == "":
			case what == "手机号":
				add(a, b, what, n[:3]+"****"+n[7:])
			default:
				add(a, b, what, "尾号"+n[len(n)-4:])
			}
		}
		for a, b := d.machine.Next(p.serial, text, 0); a >= 0; a, b = d.machine.Next(p.serial, text, b) {
			if n := onlyDigits(text[a:b]); len(n) >= 8 && !is(b, '*') {
				add(a, b, "订单号或单号", "尾号"+n[len(n)-4:])
			}
		}
	}
	if slices.Contains(text, '@') {
		for a, b := d.machine.Next(p.email, text, 0); a >= 0; a, b = d.machine.Next(p.email, text, b) {
			add(a, b, "邮箱", "您预留的邮箱")
		}
	}
	for _, r := range Personal(text) {
		out = append(out, d.plain(RulePersonal, r.Start, r.End, "姓名全名、密码和账号不要发在聊天里；请去掉", ""))
	}
	for _, k := range c.Known {
		v := []rune(strings.TrimSpace(foldString(k.Value)))
		label, short := "", 4
		switch k.Kind {
		case qingting.SlotOrderNumber:
			label, short = "订单号", 5
		case qingting.SlotPhone, qingting.SlotIDCard, qingting.SlotBankCard, qingting.SlotPlate, qingting.SlotEmail:
			label, short = qingting.Label(string(k.Kind)), 5
		case qingting.SlotAddress:
			label, short = "地址", 6
		default:
			continue
		}
		if len(v) < short {
			continue
		}
		if at := index(text, v, 0); at >= 0 {
			add(at, at+len(v), label, "您预留的"+label)
		}
	}
	return out
}

// longRun reports a run of seven or more letters and digits with a digit in
// it, spaces and hyphens between them allowed: nothing shorter is a number
// worth a pattern.
func longRun(s []rune) bool {
	run, digits := 0, 0
	for _, b := range s {
		switch {
		case b >= '0' && b <= '9':
			run, digits = run+1, digits+1
		case isLetter(b):
			run++
		case b == ' ' || b == '-':
		default:
			run, digits = 0, 0
		}
		if run >= 7 && digits > 0 {
			return true
		}
	}
	return false
}

// dotted reports a dot between letters or digits, or the mark of a scheme.
func dotted(s []rune) bool {
	for i := 1; i+1 < len(s); i++ {
		if s[i] == '.' && isLetter(s[i+1]) && s[i-1] != ' ' || s[i] == ':' && s[i+1] == '/' {
			return true
		}
	}
	return false
}

// numberKind names a run of digits by its shape; "" when it is harmless:
// hotlines, amounts, dates and short numbers.
func numberKind(n string) string {
	switch {
	case len(n) == 11 && n[0] == '1' && n[1] >= '3':
		return "手机号"
	case len(n) == 18 && plausibleBirth(n[6:14]):
		return "身份证号"
	case len(n) == 13 && strings.HasPrefix(n, "861") && n[3] >= '3':
		return "手机号码"
	case strings.HasPrefix(n, "400") && len(n) == 10, strings.HasPrefix(n, "800") && len(n) == 10, strings.HasPrefix(n, "95") && len(n) <= 8:
		return ""
	case len(n) >= 16 && len(n) <= 19 && (n[0] == '6' || n[0] == '4' || n[0] == '5') && luhn(n):
		return "银行卡号"
	case len(n) >= 10:
		return "订单号"
	}
	return ""
}

func plausibleBirth(s string) bool {
	year, _ := strconv.Atoi(s[:4])
	month, _ := strconv.Atoi(s[4:6])
	day, _ := strconv.Atoi(strings.TrimRight(s[6:8], "xX"))
	return year >= 1900 && year <= 2100 && month >= 1 && month <= 12 && day >= 1 && day <= 31
}

func luhn(n string) bool {
	sum := 0
	for i := range len(n) {
		d := int(n[len(n)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func onlyDigits(s []rune) string {
	var b strings.Builder
	for _, r := range s {
		if r >= '0' && r <= '9' || r == 'x' || r == 'X' {
			b.WriteRune(r)
		}
	}
	return strings.TrimLeft(b.String(), "xX")
}

func isLetter(b rune) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }

func (p *patterns) asked(d *draft, c Context, out []Finding) []Finding {
	var order, phone, address bool
	for _, k := range c.Known {
		order = order || k.Kind == qingting.SlotOrderNumber
		phone = phone || k.Kind == qingting.SlotPhone
		address = address || k.Kind == qingting.SlotAddress
	}
	if !order && !phone && !address || !d.all.meets(&p.contactWords) {
		return out
	}
	for i := range d.sentences {
		s := &d.sentences[i]
		if !s.words.meets(&p.contactWords) {
			continue
		}
		sentence := d.masked[s.start:s.end]
		if !s.words.meets(&p.askWords) || s.words.meets(&p.tailWords) && !s.words.meets(&p.pleaseWords) {
			continue
		}
		for _, re := range []*pattern.Pattern{p.ask, p.askNumber} {
			for start, end := d.machine.Next(re, sentence, 0); start >= 0; start, end = d.machine.Next(re, sentence, end) {
				var word []rune
				for g := 1; g <= askGroups; g++ {
					if a, b := d.machine.Group(g); a >= 0 {
						word = sentence[a:b]
					}
				}
				isOrder := slices.Contains(word, '单')
				isPlace := index(word, []rune("地址"), 0) >= 0
				if isOrder && !order || isPlace && !address || !isOrder && !isPlace && !phone {
					continue
				}
				if d.match(p.told, clause(sentence, start, end)) {
					continue
				}
				out = append(out, d.finding(RuleAsked, s.start+start, s.start+end, "客户已经说过，不要再问一遍", ""))
			}
		}
	}
	return out
}

// askGroups is how many groups the patterns of questions have at most.
const askGroups = 3

func (p *patterns) links(d *draft, out []Finding) []Finding {
	if !dotted(d.folded) {
		return out
	}
	for a, b := d.machine.Next(p.link, d.folded, 0); a >= 0; a, b = d.machine.Next(p.link, d.folded, b) {
		if a > 0 && d.folded[a-1] == '@' {
			continue // the domain of an e-mail address
		}
		out = append(out, d.plain(RuleLink, a, b, "外部链接可能被当成诈骗；请说明在哪个菜单里办", ""))
	}
	return out
}
