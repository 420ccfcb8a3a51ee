// Package promise finds what agents promise in their own words (承诺): who does
// what, for how much and by when.
//
// A promise is a clause in which the company says it will do something for
// this customer: a verb customers wait for (回电, 退款, 上门, 处理 …) together with
// a sign that it lies ahead (会, 尽快, 预计, a deadline, 我帮您申请). Not promises
// are questions, conditions (如果…), refusals, what is already done, what the
// customer is asked to do, somebody's words, and how things usually go
// (一般7天内到账): a rule the agent hedged on purpose must not ring an alarm,
// while 预计3个工作日到账, said of this case, is one. A condition the customer
// only has to wait for (有结果后通知您) leaves a promise without a deadline.
// 您看可以吗 behind a promise is politeness and does not make it a question.
package promise

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/text"
)

// Options are the parts a Finder can do without.
type Options struct {
	// Location is the time zone deadlines are meant in; nil: China, UTC+8.
	// Messages sent with another zone are read in this one.
	Location *time.Location
}

// Finder finds promises. It never changes and may be used concurrently.
type Finder struct {
	cleaner  qingting.Cleaner
	words    lexicon
	location *time.Location
	spare    sync.Pool // of *reader
}

// New returns a finder that reads what the cleaner makes of a message.
func New(c qingting.Cleaner, o Options) *Finder {
	f := &Finder{cleaner: c, words: newLexicon(), location: o.Location}
	if f.location == nil {
		f.location = time.FixedZone("CST", 8*60*60)
	}
	return f
}

// Find returns the promises of a conversation, in order of message and place.
// Only final messages of agents are read. Deadlines are counted from SentAt:
// who keeps another time, such as that of receipt, puts it there; without one,
// and where the time counts from an event (收到退货后3天内), Due is nil and
// DueWords hold the words. Team, Conversation and Tenant are left to the caller.
//
// A promise said again is listed once, where it was said first: same remedy,
// no other sum, and no deadline or the same one up to an hour. So its id, and
// what is kept under it, lasts. The result depends on nothing but the messages
// in the order given, and further messages never change or remove what was
// found before.
func (f *Finder) Find(messages []qingting.Message) []qingting.Promise {
	var out []qingting.Promise
	for i := range messages {
		m := &messages[i]
		if m.Role != qingting.RoleAgent || m.Partial() || m.Text == "" {
			continue
		}
		for _, p := range f.message(i, m) {
			if !slices.ContainsFunc(out, func(q qingting.Promise) bool { return again(&q, &p) }) {
				out = append(out, p)
			}
		}
	}
	return out
}

// sameDue is how far apart two deadlines may be to be the same: 24小时内 said
// twice in one talk.
const sameDue = time.Hour

// again reports whether q, said later, says no more than p.
func again(p, q *qingting.Promise) bool {
	if p.What != q.What || q.Amount != nil && (p.Amount == nil || *p.Amount != *q.Amount) {
		return false
	}
	if q.Due == nil {
		return q.DueWords == "" || q.DueWords == p.DueWords
	}
	if p.Due == nil {
		return false
	}
	d := q.Due.Sub(*p.Due)
	return d <= sameDue && d >= -sameDue
}

// id names a promise by what does not change when the conversation goes on.
func id(message string, index int, p *qingting.Promise) string {
	if message == "" {
		message = fmt.Sprintf("#%d", index)
	}
	h := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d\x00%s\x00%s", message, p.Start, p.End, p.What, p.Quote))
	return "pr_" + hex.EncodeToString(h[:12])
}

// reader is one message being read, and memory for the next.
type reader struct {
	s       []rune
	tokens  []token
	dues    []due
	clauses []clause
	sums    []text.Amount
	summed  bool
}

// clause is a part of a sentence between commas, spaces and full stops.
type clause struct {
	start, end int
	sentence   bool // begins a sentence
	spaced     bool // only a space parts it from the clause before
	question   bool // ends in a question mark
	tokens     []token
	dues       []due
	held       bool // is a promise
	first      int  // clause the promise begins in
	last       int
	verb       token
	code       qingting.RemedyCode
	due        *due
}

func (f *Finder) message(index int, m *qingting.Message) []qingting.Promise {
	clean, from, to := f.cleaner.Clean(m.Text)
	r, _ := f.spare.Get().(*reader)
	if r == nil {
		r = &reader{}
	}
	defer f.spare.Put(r)
	r.s, r.summed = clean, false
	r.tokens = f.words.scan(clean, r.tokens[:0])
	if !slices.ContainsFunc(r.tokens, func(t token) bool { return t.class == verb }) {
		return nil
	}
	var sent time.Time
	if !m.SentAt.IsZero() {
		sent = m.SentAt.In(f.location)
	}
	r.dues = dues(clean, sent, r.dues[:0])
	r.split()
	var out []qingting.Promise
	var offsets []int
	for i := range r.clauses {
		if !r.read(i) {
			continue
		}
		c := &r.clauses[i]
		p := qingting.Promise{What: c.code, Owner: r.owner(i), State: qingting.PromiseOpen}
		start, end := r.trim(r.clauses[c.first].start, r.clauses[c.last].end)
		if offsets == nil {
			for i := range m.Text {
				offsets = append(offsets, i)
			}
			offsets = append(offsets, len(m.Text))
		}
		p.Message, p.MessageID, p.Start, p.End = index, m.ID, int(from[start]), int(to[end-1])
		p.Quote = m.Text[offsets[p.Start]:offsets[p.End]]
		if c.due != nil {
			p.DueWords = string(clean[c.due.start:c.due.end])
			if !c.due.at.IsZero() && !r.event(i) {
				at := c.due.at
				p.Due = &at
			}
		}
		if v, ok := r.amount(i); ok {
			p.Amount = &v
		}
		out = append(out, p)
	}
	out = together(out)
	for i := range out {
		out[i].ID = id(m.ID, index, &out[i])
	}
	return out
}

// together joins what one message says twice: the deadline or the sum is often
// in another sentence than the promise (我给您申请20元补偿。补偿明天到账).
func together(list []qingting.Promise) []qingting.Promise {
	out := list[:0]
next:
	for _, p := range list {
		for i := range out {
			q := &out[i]
			if q.What != p.What || q.Amount != nil && p.Amount != nil && *q.Amount != *p.Amount {
				continue
			}
			if q.DueWords == "" || p.DueWords == "" || again(q, &p) {
				if q.DueWords == "" && p.DueWords != "" {
					p.Amount = firstOf(p.Amount, q.Amount)
					if p.Owner == "" {
						p.Owner = q.Owner
					}
					*q = p
				}
				q.Amount = firstOf(q.Amount, p.Amount)
				continue next
			}
		}
		out = append(out, p)
	}
	return out
}

func firstOf(a, b *float64) *float64 {
	if a != nil {
		return a
	}
	return b
}

// split cuts the text into clauses and deals out words and times.
func (r *reader) split() {
	s := r.s
	r.clauses = r.clauses[:0]
	start, sentence, spaced := 0, true, false
	cut := func(i int, stop, space, question bool) {
		if start < i {
			r.clauses = append(r.clauses, clause{start: start, end: i, sentence: sentence, spaced: spaced, question: question})
			sentence, spaced = false, false
		}
		if stop {
			sentence = true
		}
		spaced = space && !stop
		start = i + 1
	}
	for i, c := range s {
		digits := i > 0 && i+1 < len(s) && isDigit(s[i-1]) && isDigit(s[i+1])
		switch c {
		case '。', '！', '!', '；', ';', '\n', '…':
			cut(i, true, false, false)
		case '？', '?':
			cut(i, true, false, true)
		case '~', '～':
			if !digits {
				cut(i, true, false, false)
			}
		case '.':
			if !digits && (i == 0 || !isLetter(s[i-1])) {
				cut(i, true, false, false)
			}
		case '，', ',', ':', '：':
			if !digits {
				cut(i, false, false, false)
			}
		case ' ':
			// A space beside a digit or a letter is part of the writing.
			if i > 0 && i+1 < len(s) && (isDigit(s[i-1]) || isLetter(s[i-1]) || isLetter(s[i+1])) {
				continue
			}
			cut(i, false, true, false)
		}
	}
	cut(len(s), true, false, false)
	t, d := 0, 0
	quote := rune(0)
	for i := range r.clauses {
		c := &r.clauses[i]
		first := t
		for ; t < len(r.tokens) && r.tokens[t].start < c.end; t++ {
		}
		c.tokens = r.tokens[first:t]
		first = d
		for ; d < len(r.dues) && r.dues[d].start < c.end; d++ {
		}
		c.dues = r.dues[first:d]
		// Words between quotation marks are not the agent's.
		open := quote
		for k := c.start; k < c.end; k++ {
			switch s[k] {
			case '“', '「', '『':
				quote = s[k]
			case '”', '」', '』':
				quote = 0
			}
			if open == 0 {
				open = quote
			}
		}
		if open != 0 {
			c.tokens, c.dues = nil, nil
		}
	}
}

// reach is how many clauses back a sentence is looked through for a condition
// or an owner, so that an endless sentence takes no endless time.
const reach = 12

// linked reports whether clause i goes on the sentence of the one before.
func (r *reader) linked(i int) bool { return i > 0 && !r.clauses[i].sentence }

// timeOnly reports a clause that says when and nothing else.
func (c *clause) timeOnly() bool {
	if len(c.dues) == 0 {
		return false
	}
	for _, t := range c.tokens {
		switch t.class {
		case none, estimate, owner, we, future, vague:
		case past: // 之前
			if !c.inDue(t) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// inDue reports whether a word is part of a time.
func (c *clause) inDue(t token) bool {
	return slices.ContainsFunc(c.dues, func(d due) bool { return t.start < d.end && d.start < t.end })
}

// read decides whether clause i is a promise.
func (r *reader) read(i int) bool {
	c := &r.clauses[i]
	c.first, c.last, c.due, c.held = i, i, nil, false
	// The earliest sign that something lies ahead, and how sure a sign it is.
	mark, offerAt, sure, weak := -1, -1, false, false
	earliest := func(at int) {
		if mark < 0 || at < mark {
			mark = at
		}
	}
	for _, t := range c.tokens {
		switch t.class {
		case future, estimate:
			earliest(t.start)
			sure = true
		case vague:
			earliest(t.start)
			weak = true
		case offer:
			if offerAt < 0 {
				offerAt = t.start
			}
		}
	}
	for k := range c.dues {
		earliest(c.dues[k].start)
		sure = true
	}
	if r.linked(i) && !sure && r.clauses[i-1].timeOnly() && !r.clauses[i-1].question {
		c.first, sure = i-1, true
		mark = c.start
	}
	if !sure && i+1 < len(r.clauses) && r.linked(i+1) && r.clauses[i+1].timeOnly() && (offerAt >= 0 || weak || r.ours(c)) {
		c.last, sure = i+1, true
		if mark < 0 {
			mark = c.start
		}
	}
	if !sure && !weak {
		// 核实后给您回电: the event lies ahead, and what follows it too.
		if e := eventEnd(r.s, c.start, c.end); e >= 0 {
			earliest(e)
			weak = true
		} else if p := i - 1; r.linked(i) && eventEnd(r.s, max(r.clauses[p].start, r.clauses[p].end-3), r.clauses[p].end) >= 0 {
			earliest(c.start)
			weak = true
		}
	}
	offered := false
	if mark < 0 {
		if offerAt < 0 || !r.offers(c, offerAt) {
			return false
		}
		mark, offered = offerAt, true
	}
	v, code, ok := r.choose(i, mark)
	if !ok && len(c.dues) > 0 {
		v, code, ok = r.choose(i, c.start) // 给您退款最晚明天
	}
	if !ok && (weak || sure) && offerAt >= 0 && offerAt < mark {
		v, code, ok = r.choose(i, offerAt) // 给您退款尽快
	}
	if !ok || offered && !v.offered {
		return false
	}
	if weak && !sure && !r.directed(i, v) || !r.open(i, v, sure, offered) {
		return false
	}
	c.held, c.verb, c.code = true, v, code
	r.time(i)
	return true
}

// ours reports whether a clause speaks of the company's side.
func (r *reader) ours(c *clause) bool {
	return slices.ContainsFunc(c.tokens, func(t token) bool { return t.class == we || t.class == owner })
}

// offers reports an offer that begins a clause, or that we make: 我帮您, 这就给您.
func (r *reader) offers(c *clause, at int) bool {
	for _, t := range c.tokens {
		switch {
		case t.start >= at:
			return true
		case t.class != none && t.class != we && t.class != owner && t.class != vague:
			return false
		}
	}
	return true
}

// directed reports whether a hasty word (尽快) is said of the company: somebody
// of it stands in the clause or the one before, or the verb is for the customer.
func (r *reader) directed(i int, v token) bool {
	c := &r.clauses[i]
	for _, t := range c.tokens {
		switch t.class {
		case we, owner, offer, toward:
			return true
		}
	}
	if strings.ContainsAny(string(r.s[v.start:v.end]), "您你") {
		return true
	}
	return r.linked(i) && (r.clauses[i-1].held || r.ours(&r.clauses[i-1]))
}

// choose returns the verb a clause is about, of those from a place on, and
// its remedy: the first that says what the customer gets, else the first.
func (r *reader) choose(i, from int) (token, qingting.RemedyCode, bool) {
	c := &r.clauses[i]
	best, found := token{}, false
	var code qingting.RemedyCode
	for k, t := range c.tokens {
		if t.class != verb || t.start < from {
			continue
		}
		what, ok := r.meaning(i, k)
		if !ok {
			continue
		}
		switch {
		case !found:
			best, code, found = t, what, true
		case code == qingting.RemedyExpedite && what != code:
			best, code = t, what
		case code == qingting.RemedyCompensate && what == qingting.RemedyRefund && strings.HasSuffix(string(r.s[best.start:best.end]), "差价"):
			best, code = t, what // 把差价退给您
		case what == qingting.RemedyCoupon && (code == qingting.RemedyCompensate || code == qingting.RemedyRefund || code == qingting.RemedyResend):
			best, code = t, what
		}
	}
	return best, code, found
}

// meaning is the remedy of verb k of clause i, and whether it is a deed at all.
func (r *reader) meaning(i, k int) (qingting.RemedyCode, bool) {
	c := &r.clauses[i]
	t := c.tokens[k]
	words := string(r.s[t.start:t.end])
	// 您反馈的信息: a verb that only says which thing is meant. At the end of a
	// clause 的 is a particle.
	if hasAt(r.s, t.end, "的") && t.end+1 < c.end && !strings.ContainsRune("哦呢哈呀啦啊亲[~", r.s[t.end+1]) {
		return t.code, false
	}
	switch {
	case t.code == qingting.RemedyCoupon:
		// A coupon is promised when somebody gives it.
		for _, o := range c.tokens {
			if o.class == offer || o.class == verb && o.start < t.start && o.code != qingting.RemedyCoupon {
				return t.code, true
			}
		}
		return t.code, strings.ContainsAny(string(r.s[c.start:c.end]), "送赠补发返申退奖")
	case words == "到账" || words == "到帐":
		return r.arriving(i), true
	case words == "退" && (hasAt(r.s, t.end, "的") || hasAt(r.s, t.end, "出")):
		return t.code, false
	case words == "致电" || words == "来电":
		ok := hasAt(r.s, t.end, "给") || hasAt(r.s, t.end, "您") || k > 0 && (c.tokens[k-1].class == toward || c.tokens[k-1].class == offer)
		return t.code, ok || words == "致电" && k > 0 && c.tokens[k-1].class != direct && hasAt(r.s, t.end, "与您")
	case t.contact:
		if hasAt(r.s, t.end, "您") || hasAt(r.s, t.end, "你") {
			return t.code, true
		}
		if hasAt(r.s, t.end, "给您") || hasAt(r.s, t.end, "到您") {
			return t.code, true
		}
		if t.end < c.end && (hasAt(r.s, t.end, "给") || hasAt(r.s, t.end, "到") || hasAt(r.s, t.end, "至")) {
			return qingting.RemedyExpedite, words != "联系" || r.ours(c)
		}
		for _, o := range c.tokens[:k] {
			if o.class == toward || o.class == offer && r.s[o.start] == '给' {
				return t.code, true
			}
		}
		company := false
		for _, o := range c.tokens[:k] {
			company = company || o.class == we || o.class == owner || o.class == offer
		}
		next := t.end
		if next >= c.end || strings.ContainsRune("的哦呢哈呀~沟处核并", r.s[next]) {
			if strings.Contains(words, "反馈") {
				return qingting.RemedyExpedite, company
			}
			return t.code, company
		}
		return qingting.RemedyExpedite, company
	}
	return t.code, true
}

// arriving is what comes when something is said to arrive (到账): what the
// sentence speaks of, else a refund.
func (r *reader) arriving(i int) qingting.RemedyCode {
	code := qingting.RemedyRefund
	for k := i; k >= max(0, i-reach) && code == qingting.RemedyRefund; k-- {
		for _, t := range r.clauses[k].tokens {
			switch {
			case t.class == verb && t.code == qingting.RemedyCoupon:
				return t.code
			case t.class == verb && t.code == qingting.RemedyCompensate:
				code = t.code
			}
		}
		if !r.linked(k) {
			break
		}
	}
	return code
}

// open reports that nothing speaks against verb v of clause i: it is not
// denied, done, asked, conditional, a rule, the customer's task or somebody's
// words.
func (r *reader) open(i int, v token, sure, offered bool) bool {
	c := &r.clauses[i]
	if r.conditional(i) {
		return false
	}
	agreed := false
	for _, t := range c.tokens {
		agreed = agreed || t.class == consent && t.start >= v.end
	}
	if c.last == i && !agreed && r.asks(c) {
		return false
	}
	// What stands between a word and the verb decides whether it reaches it.
	for k, t := range c.tokens {
		if t.start >= v.start {
			break
		}
		if c.inDue(t) {
			continue
		}
		ahead, company := false, false
		for _, o := range c.tokens[k+1:] {
			if o.start >= v.start {
				break
			}
			switch o.class {
			case future, estimate:
				ahead, company = true, true
			case we, owner:
				company = company || !strings.ContainsRune("与和跟给向", r.s[o.start-1])
			case offer, toward:
				company = true
			}
		}
		for _, d := range c.dues {
			ahead = ahead || d.start >= t.end && d.end <= v.start
		}
		switch t.class {
		case asked, told, general:
			return false
		case condition:
			return false
		case negated, past:
			if !ahead {
				return false
			}
		case able:
			if !ahead && len(c.dues) == 0 {
				return false
			}
		case direct:
			if !company {
				return false
			}
		case you:
			object := k > 0 && c.tokens[k-1].class == verb && c.tokens[k-1].end == t.start // 补偿您
			if !object && !company && !hasAt(r.s, t.end, "这") && !hasAt(r.s, t.end, "那") && v.code != qingting.RemedyCallback && !strings.HasPrefix(string(r.s[v.start:v.end]), "到") {
				return false
			}
		}
	}
	// 退款了, 给您退好了: done.
	lasting := false
	for _, t := range c.tokens {
		lasting = lasting || t.class == future || t.class == estimate
	}
	for _, d := range c.dues {
		lasting = lasting || d.length
	}
	if !lasting {
		for _, t := range c.tokens {
			if t.class == verb && t.start >= v.start && (hasAt(r.s, t.end, "了") || hasAt(r.s, t.end, "过") || hasAt(r.s, t.end, "好了") || hasAt(r.s, t.end, "完") || hasAt(r.s, t.end, "成功") || hasAt(r.s, t.end, "中")) {
				return false
			}
			if offered && t.class == verb && t.start < v.end && (hasAt(r.s, t.end, "的") || hasAt(r.s, t.end, "了") || hasAt(r.s, t.end, "过")) {
				return false
			}
		}
	}
	// 退款流程, 回电的时候: a thing, not a deed.
	for _, w := range []string{"的时候", "的方式", "的问题", "的话", "的流程", "的进度", "的原因", "需要", "要求", "政策", "规则", "失败", "不了", "不到", "不上"} {
		if hasAt(r.s, v.end, w) {
			return false
		}
	}
	return true
}

// asks reports a clause that is a question and not a promise with 可以吗.
func (r *reader) asks(c *clause) bool {
	if c.question {
		return true
	}
	end := c.end
	for end > c.start && strings.ContainsRune("呢哈呀哦亲的", r.s[end-1]) {
		end--
	}
	return end > c.start && strings.ContainsRune("吗么嘛不", r.s[end-1])
}

// conditional reports whether clause i hangs on a condition of its sentence
// (如果…, 您提交后…). A space ends the reach of a condition after one clause.
func (r *reader) conditional(i int) bool {
	c := &r.clauses[i]
	if r.customers(c.start, c.end) {
		return true
	}
	for k := i - 1; k >= max(0, i-reach) && r.linked(k+1); k-- {
		p := &r.clauses[k]
		for _, t := range p.tokens {
			if t.class == condition {
				return true
			}
		}
		if k == i-1 && (p.question || r.customers(p.start, p.end) || r.elsewhere(p)) {
			return true
		}
		if p.spaced {
			break
		}
	}
	return false
}

// elsewhere reports that the customer is sent to another place to ask for
// what the next clause says happens there: 请在官网提交申请，会有人员联系您.
func (r *reader) elsewhere(p *clause) bool {
	if !slices.ContainsFunc(p.tokens, func(t token) bool { return t.class == direct }) {
		return false
	}
	words := string(r.s[p.start:p.end])
	for _, w := range []string{"提交", "拨打", "登录", "登陆", "官网", "前往", "添加", "点击", "公众号", "热线", "在线客服"} {
		if strings.Contains(words, w) {
			return true
		}
	}
	return false
}

// customers reports an event in a part of the text that the customer has to
// bring about: 您提交后, 收到您的私信后, 确认收货之后.
func (r *reader) customers(start, end int) bool {
	k := eventEnd(r.s, start, end)
	if k < 0 {
		return false
	}
	words := string(r.s[start:k])
	for _, w := range []string{"您", "亲", "提交", "提供", "私信", "下单", "付款", "支付", "登记", "点击", "签收", "收货", "寄回", "登录", "拨打"} {
		if strings.Contains(words, w) {
			return true
		}
	}
	return false
}

// eventEnd is where 后 or 之后 stands that makes the words before it an event,
// or −1. 后天, 最后, 稍后 and 两小时后 are none.
func eventEnd(s []rune, start, end int) int {
	for k := start + 1; k < end; k++ {
		if s[k] != '后' || k+1 < len(s) && strings.ContainsRune("天续期台面来", s[k+1]) || strings.ContainsRune("最今随稍然售往先背今日前时天钟周月", s[k-1]) {
			continue
		}
		if (s[k-1] == '之' || s[k-1] == '以') && k-2 >= start && strings.ContainsRune("时天钟周月日", s[k-2]) {
			continue
		}
		if k-1 == start && (s[k-1] == '之' || s[k-1] == '以') {
			continue
		}
		return k
	}
	return -1
}

// event reports whether the time of clause i counts from an event nobody knows
// the time of: 审核通过后3天内, 到货后, 收到退货后.
func (r *reader) event(i int) bool {
	c := &r.clauses[i]
	d := c.due
	if !d.length {
		return false
	}
	for k := i; k >= 0; k-- {
		p := &r.clauses[k]
		if e := eventEnd(r.s, p.start, min(p.end, d.start)); e >= 0 {
			return true
		}
		if !r.linked(k) || k < c.first {
			break
		}
	}
	return false
}

// time finds the deadline of clause i: the nearest before the verb, else the
// first behind it, else one in the clause that says nothing else.
func (r *reader) time(i int) {
	c := &r.clauses[i]
	for k := range c.dues {
		if d := &c.dues[k]; d.start < c.verb.start || c.due == nil {
			c.due = d
		}
	}
	if c.due == nil && c.first < i {
		c.due = &r.clauses[c.first].dues[len(r.clauses[c.first].dues)-1]
	}
	if c.due == nil && c.last == i && i+1 < len(r.clauses) && r.linked(i+1) && r.clauses[i+1].timeOnly() {
		c.last = i + 1
	}
	if c.due == nil && c.last > i {
		c.due = &r.clauses[c.last].dues[0]
	}
	if c.due == nil && r.linked(i) && r.clauses[i-1].timeOnly() && !r.clauses[i-1].question {
		c.first = i - 1
		c.due = &r.clauses[i-1].dues[len(r.clauses[i-1].dues)-1]
	}
}

// trim takes what is not a word off both ends.
func (r *reader) trim(start, end int) (int, int) {
	const edge = " ，,。.!！~～、：:()（）"
	for start < end-1 && strings.ContainsRune(edge, r.s[start]) {
		start++
	}
	for end-1 > start && strings.ContainsRune(edge, r.s[end-1]) {
		end--
	}
	return start, end
}

// owner is who keeps the promise of clause i: the nearest one named before the
// verb, in this clause or one before it in the sentence.
func (r *reader) owner(i int) string {
	for k := i; k >= max(0, i-reach); k-- {
		c := &r.clauses[k]
		for n := len(c.tokens) - 1; n >= 0; n-- {
			t := c.tokens[n]
			if k == i && t.start >= r.clauses[i].verb.start || t.class != we && t.class != owner {
				continue
			}
			if t.class == owner && t.start > c.start && strings.ContainsRune("向给跟和与同对", r.s[t.start-1]) {
				continue
			}
			return name(string(r.s[t.start:t.end]), t.class)
		}
		if !r.linked(k) {
			break
		}
	}
	return ""
}

// name is how an owner is shown; agents have many words for themselves.
func name(words string, c class) string {
	switch {
	case c != we:
		return words
	case strings.Contains(words, "们") || words == "咱" || words == "我方" || words == "本店" || words == "我司会":
		return "我们"
	}
	return "我"
}

// amount is the sum of the promise of clause i, where a sum makes sense.
func (r *reader) amount(i int) (float64, bool) {
	c := &r.clauses[i]
	switch c.code {
	case qingting.RemedyRefund, qingting.RemedyCompensate, qingting.RemedyCoupon:
	default:
		return 0, false
	}
	if !r.summed {
		r.sums, r.summed = text.FindAmounts(r.s), true
	}
	best, distance := -1, 0
	for k := i; k >= max(0, i-1); k-- {
		for n, a := range r.sums {
			if a.Start < r.clauses[k].start || a.End > r.clauses[k].end {
				continue
			}
			d := max(a.Start-c.verb.end, c.verb.start-a.End, 0)
			if best < 0 || d < distance {
				best, distance = n, d
			}
		}
		if best >= 0 || !r.linked(k) || k == i && !strings.HasPrefix(string(r.s[c.verb.start:c.verb.end]), "到") {
			break
		}
	}
	if best < 0 {
		return 0, false
	}
	return r.sums[best].Value, true
}
