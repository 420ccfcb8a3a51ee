package suggest

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/suggest/lint"
	"github.com/qingting-ai/qingting/suggest/policy"
)

// MaxRestate is the length of a restatement in code points, punctuation
// counted; product description, section 4.
const MaxRestate = 30

// plan is what will be done, the same for both styles.
type plan struct {
	mode     mode
	severe   bool
	fault    qingting.Responsibility
	owner    string
	check    string // what the owner does first
	due      time.Time
	dueSaid  string // 今天18点前
	checkDue string
	remedy   *qingting.Remedy
	legal    *policy.RouteRule
	need     qingting.SlotKind // what must be known first and is not; "" for nothing
	ask      bool              // and nobody asked for it yet
	admit    bool              // the fault may be called ours
	answers  bool              // the wish is known though the matter is not
	field    bool              // the check needs a visit or another team
	sources  []string
}

// mode is what kind of message the moment wants.
type mode int

const (
	modeMatter     mode = iota // a problem to work on
	modeInquiry                // a question to answer
	modeSuggestion             // an idea to pass on
	modePraise
	modeOther
	modeGreeting // too little said
	modeClosing  // solved
	modeClarify  // what the matter is must be asked first
)

func (s *Suggester) plan(a *qingting.Analysis, m *matter) plan {
	now := s.now()
	p := plan{}
	switch {
	case m.greets || m.said < 2:
		p.mode = modeGreeting
		return p
	case m.unsure && a.Kind.Code != qingting.KindOther && !m.solved(a) && !(a.Kind.Code == qingting.KindInquiry && m.asks != "" && len(a.Routes) == 0):
		p.mode = modeClarify
		p.setDue(now, deadline(now, s.service(a).Progress), currentAgent)
		p.remedy = &qingting.Remedy{Code: qingting.RemedyExplain, Authority: "agent"}
		p.sources = []string{"policy:service." + string(a.Priority)}
		if a.Kind.Code == qingting.KindComplaint {
			s.planWish(m, &p)
		}
		return p
	case a.Kind.Code == qingting.KindPraise:
		p.mode = modePraise
		return p
	case m.solved(a):
		p.mode = modeClosing
		if a.Kind.Code == qingting.KindComplaint {
			p.setDue(now, deadline(now, 24*time.Hour), currentAgent)
		}
		return p
	case a.Kind.Code == qingting.KindSuggestion:
		p.mode = modeSuggestion
		p.setDue(now, deadline(now, s.service(a).Progress), "产品同事")
		p.sources = []string{"policy:service." + string(a.Priority)}
		return p
	case a.Kind.Code == qingting.KindOther:
		p.mode = modeOther
		return p
	case a.Kind.Code == qingting.KindInquiry && len(m.told) == 0 && len(a.Routes) == 0:
		p.mode = modeInquiry
		p.setDue(now, checkBy(now, deadline(now, s.service(a).Progress)), currentAgent)
		p.remedy = &qingting.Remedy{Code: qingting.RemedyExplain, Authority: "agent"}
		p.sources = []string{"policy:service." + string(a.Priority)}
		return p
	}
	p.severe = a.Emotion.Intensity == 3 || a.Priority == qingting.PriorityP0 || a.Priority == qingting.PriorityP1
	if len(a.Routes) > 0 {
		s.planLegal(a, m, &p, now)
		return p
	}
	typ := m.typ
	if typ == "" {
		typ = qingting.TypeComplexity // the least presuming: somebody looks at what can be done
	}
	rule := s.policy.Types[typ]
	p.sources = append(p.sources, "policy:types."+string(typ))
	p.fault = rule.Fault
	if a.Responsibility.Confidence > minFault && a.Responsibility.Code != "" {
		p.fault = a.Responsibility.Code
		p.admit = p.fault == qingting.ResponsibilityCompany && m.sureness >= minAdmit
	}
	p.owner, p.check = rule.Owner, rule.Check
	if o, ok := rule.OwnerBy[m.domain]; ok {
		p.owner = o
	}
	if c, ok := rule.CheckBy[m.domain]; ok {
		p.check = c
	}
	due := rule.Due
	if service := s.service(a); service.Progress < due {
		due = service.Progress
		p.sources = append(p.sources, "policy:service."+string(a.Priority))
	}
	p.setDue(now, deadline(now, due), p.owner)
	needs := rule.Needs
	if n, ok := rule.NeedsBy[m.domain]; ok {
		needs = n
	}
	for _, n := range needs {
		if _, ok := m.known[n]; !ok && !m.given[n] && !(n == qingting.SlotPhone && m.known[qingting.SlotOrderNumber] != "") {
			p.need, p.ask = n, !m.asked[n]
			break
		}
	}
	if _, named := m.known[qingting.SlotProduct]; m.thing == "" && !m.quoted && !named && (typ == qingting.TypeQuality || typ == qingting.TypePerformance) {
		p.need, p.ask = qingting.SlotProduct, true // nobody can look at an unnamed thing
	}
	s.planRemedy(a, m, &p, typ, &rule)
	if m.claim == "" && p.remedy.Code == m.prefers {
		m.wished = claimFor[m.prefers]
	}
	if precedent(a, typ) {
		if step := caseStep(a.Cases[0].Steps); step != "" && len(s.linter.Check(step, lint.Context{Authority: &s.authority})) == 0 {
			p.check = step
			p.sources = append(p.sources, a.Cases[0].ID)
		}
	}
	p.field = fieldWork.has([]rune(p.check))
	return p
}

// currentAgent owns what is not handed to anybody else.
const currentAgent = "当前客服"

// fieldWork are the words of a check that no desk can finish at once: by the
// deadline there is a first report, not a completed inspection.
var fieldWork = newTrie("检测", "核查", "上门", "立案", "现场", "排查线路", "核实事情经过")

// solved reports that the matter is closed; a customer who still asks has
// not been answered, whatever was said before.
func (m *matter) solved(a *qingting.Analysis) bool {
	switch {
	case a.Outcome.Code != qingting.OutcomeResolved:
		return false
	case a.Kind.Code == qingting.KindInquiry:
		return !m.asking
	}
	return a.Kind.Code == qingting.KindComplaint
}

func (p *plan) setDue(now, at time.Time, owner string) {
	p.due, p.owner = at, owner
	p.dueSaid = inWords(at, now)
	p.checkDue = inWords(checkBy(now, at), now)
}

func (s *Suggester) service(a *qingting.Analysis) policy.Service {
	if v, ok := s.policy.Service[a.Priority]; ok {
		return v
	}
	return s.policy.Service[qingting.PriorityP3]
}

// planLegal hands a legal class over. Nothing is admitted and nothing is
// offered before the team has looked at it.
func (s *Suggester) planLegal(a *qingting.Analysis, m *matter, p *plan, now time.Time) {
	route := a.Routes[0]
	for _, r := range []qingting.Route{qingting.RouteRecall, qingting.RouteCompliance, qingting.RouteInvestigation} {
		if slices.Contains(a.Routes, r) {
			route = r // danger to people first
			break
		}
	}
	rule, ok := s.policy.Routes[route]
	if !ok {
		rule = s.policy.Routes[qingting.RouteCompliance]
	}
	p.legal, p.check, p.fault, p.field = &rule, rule.Action, qingting.ResponsibilityUnclear, true
	due := min(rule.Due, s.service(a).Progress)
	p.setDue(now, deadline(now, due), rule.Owner)
	p.remedy = &qingting.Remedy{Code: qingting.RemedyTransfer, Authority: "agent"}
	p.sources = append(p.sources, "policy:routes."+string(route))
	if p.legal.Advice != "" && (m.grave && m.thing == "" || m.accident && route == qingting.RouteRecall) {
		// What the policy says is for leaked data and for broken goods.
		general := rule
		general.Advice = adviceGrave
		p.legal = &general
		if route == qingting.RouteCompliance {
			p.check = checkGrave
		}
	}
}

// planRemedy picks what is offered: the customer's preference, then her
// claim, then what worked before, then the policy's order. Money is offered
// only to those who ask for it.
func (s *Suggester) planRemedy(a *qingting.Analysis, m *matter, p *plan, typ qingting.Type, rule *policy.TypeRule) {
	trade := m.domain
	if m.body {
		trade = policy.DomainFood // nobody wants another one, wherever it was bought
	}
	order := rule.Order(trade, p.severe)
	can := func(c qingting.RemedyCode, asked bool) bool {
		if c == "" || !slices.Contains(order, c) {
			return false
		}
		switch c {
		case qingting.RemedyExchange, qingting.RemedyResend:
			switch m.domain {
			case policy.DomainGoods, policy.DomainParcel:
				return true
			case policy.DomainFood:
				return asked || typ == qingting.TypeMismatch
			}
			return m.domain == "" && (asked || typ == qingting.TypeMismatch || typ == qingting.TypeDamage)
		case qingting.RemedyRepair:
			return m.domain != policy.DomainFood && !edible[m.thing]
		case qingting.RemedyRefund:
			return asked || m.wasted()
		case qingting.RemedyCompensate, qingting.RemedyCoupon:
			return asked
		}
		return true
	}
	var code qingting.RemedyCode
	claim := remedyOf[m.claim]
	switch {
	case can(m.prefers, true):
		code = m.prefers
		p.sources = append(p.sources, "policy:preferences")
	case can(claim, true):
		code = claim
	default:
		if m.claim == "" && precedent(a, typ) && can(a.Cases[0].Remedy, false) {
			code = a.Cases[0].Remedy
			p.sources = append(p.sources, a.Cases[0].ID)
			break
		}
		for _, c := range order {
			if can(c, false) {
				code = c
				break
			}
		}
		if code == "" {
			code = qingting.RemedyExplain
		}
	}
	s.grant(m, p, code)
}

// planWish answers the wish of a customer whose matter nobody is sure of:
// what she asks for is clear all the same.
func (s *Suggester) planWish(m *matter, p *plan) {
	code := m.prefers
	if code == qingting.RemedyResend && m.domain != "" && m.domain != policy.DomainGoods && m.domain != policy.DomainParcel && m.domain != policy.DomainFood {
		code = "" // nobody sends a loan again
	}
	if code == qingting.RemedyResend && m.abstract && m.domain == "" {
		code = ""
	}
	if code == "" {
		code = remedyOf[m.claim]
	} else {
		p.sources = append(p.sources, "policy:preferences")
		if m.claim == "" || m.claim == qingting.ClaimExplain || m.claim == qingting.ClaimCallback {
			m.claim = claimFor[code]
		}
	}
	if code == "" {
		return
	}
	p.answers = true
	if code == qingting.RemedyApology {
		p.owner = supervisor
	}
	s.grant(m, p, code)
}

// claimFor is the wish behind a preference of the policy.
var claimFor = map[qingting.RemedyCode]qingting.ClaimCode{qingting.RemedyResend: qingting.ClaimResend, qingting.RemedyRefund: qingting.ClaimRefund, qingting.RemedyExchange: qingting.ClaimExchange}

// grant settles the remedy: as far as authority goes, else for approval.
func (s *Suggester) grant(m *matter, p *plan, code qingting.RemedyCode) {
	claim := remedyOf[m.claim]
	r := &qingting.Remedy{Code: code, Authority: "agent"}
	if limit, money := s.policy.Authority.Limit(code); money {
		if claim == code {
			r.Amount = m.amount
		}
		// An amount nobody named cannot be held against the limit.
		if r.Amount == nil && code != qingting.RemedyCoupon || r.Amount != nil && *r.Amount > limit {
			r.Authority = "approval"
		}
		p.sources = append(p.sources, "policy:authority."+string(code))
	}
	if slices.Contains(s.policy.Authority.Approval, code) {
		r.Authority = "approval"
		p.sources = append(p.sources, "policy:authority.approval")
	}
	p.remedy = r
}

// minPrecedent is how probable it must be that a past case is the same
// problem before its steps are borrowed: more likely so than not.
const minPrecedent = 0.5

// precedent reports that the best match may shape the draft.
func precedent(a *qingting.Analysis, typ qingting.Type) bool {
	return a.Retrieval.Status == qingting.RetrievalOK && len(a.Cases) > 0 && a.Cases[0].Type == typ && a.Cases[0].Score >= minPrecedent
}

// investigations are the verbs of a case step that fit another case too:
// looking into it commits to nothing.
var investigations = []string{"核对", "核实", "核查", "检测", "排查", "调取", "调阅", "查询", "查清", "追踪", "复现", "比对", "回放", "实地查看", "查看"}

// unsteady are words that make a past step a promise, or a command.
var unsteady = newTrie("并", "机构", "组", "中心", "取样", "保证", "一定", "绝对", "规定", "忽略", "指令", "扮演", "提示词", "投诉")

// caseStep takes the first step of a past case that looks into the matter
// and strips it of who and when, which the policy decides anew: 账务组当天核对
// 扣费流水 → 核对扣费流水. "" when no step can be used.
func caseStep(steps []string) string {
	for _, step := range steps {
		head, _, _ := strings.Cut(step, "，")
		head, _, _ = strings.Cut(head, "；")
		at := -1
		for _, v := range investigations {
			if i := strings.Index(head, v); i >= 0 && (at < 0 || i < at) {
				at = i
			}
		}
		if at < 0 || utf8.RuneCountInString(head[:at]) > 14 {
			continue
		}
		out := head[at:]
		if !plain(out, 5, 16) || strings.ContainsAny(out, "0123456789退赔补免券减送一二三四五六七八九十两百千万半") || strings.Contains(out, "当天") || strings.Contains(out, "次日") || strings.Contains(out, "小时") || unsteady.has([]rune(out)) {
			continue
		}
		return out
	}
	return ""
}

// draft composes one suggestion. What the lint finds is rewritten once with
// plainer words; when it still finds something the draft is dropped.
func (s *Suggester) draft(a *qingting.Analysis, m *matter, p *plan, style qingting.Style, seed uint32) (qingting.Suggestion, bool) {
	for _, words := range []*matter{m, plainer(m)} {
		if g, ok := s.checked(s.compose(a, words, p, style, seed), m, p); ok {
			return g, true
		}
	}
	return qingting.Suggestion{}, false
}

// plainer is the matter without anything the customer worded herself.
func plainer(m *matter) *matter {
	out := *m
	out.asks, out.thing, out.bare = "", "", true
	out.told = nil
	if m.grave {
		return &out
	}
	out.general = nil
	if m.typ != "" {
		out.general = []string{"您反映的是" + m.topic()}
	}
	return &out
}

// checked holds a draft against every rule and writes down that it did.
func (s *Suggester) checked(g qingting.Suggestion, m *matter, p *plan) (qingting.Suggestion, bool) {
	known := make([]qingting.Slot, 0, len(m.known))
	for k, v := range m.known {
		known = append(known, qingting.Slot{Kind: k, Value: v})
	}
	if len(s.linter.Check(g.Text, lint.Context{Authority: &s.authority, Known: known})) > 0 {
		return g, false
	}
	if utf8.RuneCountInString(g.Restate) > MaxRestate || len(g.Steps) > lint.MaxSteps || utf8.RuneCountInString(g.Text) > s.policy.Tone.MaxRunes {
		return g, false
	}
	for _, rule := range append([]string{"structure", "restate_length"}, lint.Rules()...) {
		g.Checks = append(g.Checks, qingting.Check{Rule: rule, Passed: true})
	}
	g.Sources = slices.Clone(p.sources)
	slices.Sort(g.Sources)
	g.Sources = slices.Compact(g.Sources)
	if g.Sources == nil {
		g.Sources = []string{}
	}
	sum := sha256.Sum256([]byte(string(g.Style) + "\x00" + g.Text))
	g.ID = "t-" + hex.EncodeToString(sum[:8])
	return g, true
}

// voice picks among wordings: the same content always picks the same.
type voice struct {
	seed uint32
	n    uint32
}

func (v *voice) pick(list []string) string {
	if len(list) == 0 {
		return ""
	}
	v.n++
	x := (v.seed + v.n*0x9E3779B9) * 0x85EBCA6B
	x ^= x >> 15
	return list[int(x%uint32(len(list)))]
}

func seedOf(doc *qingting.Document) uint32 {
	h := fnv.New32a()
	for _, p := range doc.Messages {
		if p.Role == qingting.RoleCustomer {
			h.Write([]byte(string(p.Clean)))
			h.Write([]byte{0})
		}
	}
	return h.Sum32()
}

func (s *Suggester) compose(a *qingting.Analysis, m *matter, p *plan, style qingting.Style, seed uint32) qingting.Suggestion {
	v := &voice{seed: seed}
	if style == qingting.StyleEmotional {
		v.n = 100
	}
	g := qingting.Suggestion{Style: style, Steps: []string{}, Remedy: p.remedy, Origin: "template", Owner: p.owner}
	if !p.due.IsZero() {
		due := p.due
		g.DueAt, g.Due = &due, p.dueSaid
	}
	switch p.mode {
	case modeGreeting, modeOther, modePraise, modeSuggestion, modeClosing:
		s.short(a, m, p, v, &g)
	case modeClarify:
		s.clarify(a, m, p, v, &g)
	case modeInquiry:
		s.answer(a, m, p, v, &g)
	default:
		s.work(a, m, p, v, &g)
	}
	return g
}

// clarify is the draft for a matter that nobody is sure of: it asserts
// nothing but the customer's own words and asks whether they were understood.
func (s *Suggester) clarify(a *qingting.Analysis, m *matter, p *plan, v *voice, g *qingting.Suggestion) {
	g.Confirm = v.pick([]string{"我理解得对吗？", "是这件事，对吗？"})
	switch {
	case len(m.told) > 0:
		g.Restate = m.told[0]
	case m.thing != "":
		g.Restate = "和" + m.thing + "有关的事"
	case !p.answers:
		g.Restate, g.Confirm = "您遇到的情况我记下了", "您最想让我们处理的是哪一点呢？"
	}
	if p.answers {
		// The longest way to say it that still fits; the wish alone always does.
		fact := g.Restate
		for _, wish := range wishes(m) {
			if g.Restate = "您" + wish; fact == "" {
				break
			}
			if utf8.RuneCountInString(fact+"，"+wish) <= MaxRestate {
				g.Restate = fact + "，" + wish
				break
			}
		}
	}
	first := "我马上请专人看完您说的经过"
	if m.escalates() {
		first = "我现在把情况报给" + supervisor + "，由专人看完您说的经过"
	}
	g.Steps = []string{first, p.dueSaid + "我给您第一次答复"}
	if p.answers {
		g.Steps[1] = s.result(m, p, v)
	}
	opening := "您好，"
	if g.Style == qingting.StyleEmotional {
		opening = "给您带来不便，很抱歉。"
		if a.Kind.Code != qingting.KindComplaint {
			opening = "您好，您的话我认真看了。"
		}
	}
	ask := "我先确认一下：您说的是" + g.Restate + "，" + g.Confirm
	switch {
	case strings.HasPrefix(g.Restate, "您") && p.answers:
		ask = "我先确认一下：" + g.Restate + "，" + g.Confirm
	case len(m.told) == 0 && m.thing == "":
		ask = g.Restate + "。" + g.Confirm
	}
	end := ""
	if tense(a, m) {
		end = onChange
	}
	g.Text = opening + ask + strings.Join(g.Steps, "，") + "。" + end
}

// harmSorry is owed to whoever was hurt, whoever is to blame.
func harmSorry(m *matter) string {
	if m.family {
		return "让您和家人遇到这样的事，很抱歉。"
	}
	return sorry[1] + "。"
}

// escalates reports that somebody above the agent must know.
func (m *matter) escalates() bool {
	return m.signals[qingting.SignalSupervisorDemand] || m.signals[qingting.SignalRegulator] || m.signals[qingting.SignalMedia] || m.signals[qingting.SignalLegal]
}

// tense reports that thanks for patience would sound like mockery.
func tense(a *qingting.Analysis, m *matter) bool {
	return m.signals[qingting.SignalRegulator] || m.signals[qingting.SignalMedia] || m.signals[qingting.SignalLegal] ||
		a.Emotion.Code == qingting.EmotionAngry && a.Emotion.Intensity >= 2
}

// work is the full structure for a problem.
func (s *Suggester) work(a *qingting.Analysis, m *matter, p *plan, v *voice, g *qingting.Suggestion) {
	g.Restate = restate(m)
	g.Steps = s.steps(m, p, v, a)
	g.Confirm = v.pick(confirmPlan)
	if goal := s.goal(m); goal != "" && p.legal == nil {
		g.Confirm = strings.Replace(v.pick(confirmGoal), "{标}", goal, 1)
	}
	question := ""
	if p.ask {
		question = v.pick(questions[p.need])
	}
	weight := s.weight(m, p, v)
	advice := ""
	if p.legal != nil && p.legal.Advice != "" {
		advice = p.legal.Advice + "。"
	}
	care := ""
	if m.harmed && (m.food || m.hurt) {
		care = "先请您看看现在身体怎么样，需要就医请先就医，保留票据。"
		if m.family {
			care = "先请您看一下家人现在怎么样，需要就医请先就医，保留票据。"
		}
		advice, _, _ = strings.Cut(advice, "；") // the rest says to see a doctor, which was said first
		if advice != "" {
			advice = strings.TrimSuffix(advice, "。") + "。"
		}
		if m.food {
			advice = "请保留剩余食品和小票。"
		}
	}
	regret := func(otherwise []string) string {
		switch {
		case care != "":
			return harmSorry(m)
		case p.legal != nil:
			return v.pick(legalGrave) + "。"
		case p.admit:
			return v.pick(admitted) + "。"
		case p.fault == qingting.ResponsibilityCompany:
			return sorry[0] + "。"
		}
		return v.pick(otherwise) + "。"
	}
	var head, fault, lead, thanks string
	if g.Style == qingting.StyleEmotional {
		head = s.mirror(a, m, p, v) + "。"
		head += regret(sorry)
		fault = v.pick(listens) + g.Restate + "。"
		lead, thanks = v.pick(planCare), v.pick(thanksCare)
	} else {
		head = v.pick(openings) + g.Restate + "。"
		why := unclear
		if p.fault == qingting.ResponsibilityExternal {
			why = external
		}
		fault = regret(why)
		lead, thanks = v.pick(planFacts), v.pick(thanksFacts)
	}
	switch {
	case tense(a, m):
		thanks = onChange
	case !s.policy.Tone.Thanks:
		thanks = ""
	}
	if rest, ok := strings.CutPrefix(head, "您好，"); ok && care != "" {
		care, head = "您好，"+care, rest
	}
	build := func() string {
		var b strings.Builder
		b.WriteString(care)
		b.WriteString(head)
		b.WriteString(fault)
		b.WriteString(weight)
		b.WriteString(lead)
		for i, step := range g.Steps {
			b.WriteString("\n")
			b.WriteString(strconv.Itoa(i + 1))
			b.WriteString(". ")
			b.WriteString(step)
			b.WriteString("。")
		}
		b.WriteString("\n")
		b.WriteString(advice)
		b.WriteString(question)
		b.WriteString(g.Confirm)
		b.WriteString(thanks)
		return b.String()
	}
	g.Text = build()
	// What can be missed goes first when a deployment wants short drafts.
	for _, part := range []*string{&thanks, &weight} {
		if utf8.RuneCountInString(g.Text) <= s.policy.Tone.MaxRunes {
			break
		}
		*part = ""
		g.Text = build()
	}
}

// restate is the fullest way to tell the problem and the wish that fits.
func restate(m *matter) string {
	wish := append(wishes(m), "")
	// A fact alone is worth more than the name of a type and a wish.
	for _, list := range [][]string{m.told, m.general} {
		for _, w := range wish {
			for _, told := range list {
				out := told
				if w != "" {
					out += "，" + w
				}
				if utf8.RuneCountInString(out) <= MaxRestate {
					return out
				}
			}
		}
	}
	return "您遇到的问题我记下了"
}

// wishes are the ways to tell the claim, fullest first; none without a claim.
func wishes(m *matter) []string {
	var wish []string
	if m.claim != "" {
		w := wants[m.claim]
		if m.amount != nil && w[0] != "" {
			wish = append(wish, strings.Replace(w[0], "{额}", yuan(*m.amount), 1))
		}
		plainWish := w[1]
		if f, ok := fits[m.typ]; ok && (m.claim == qingting.ClaimFix || m.claim == qingting.ClaimExpedite) {
			plainWish = f
		} else if m.claim == qingting.ClaimFix && m.domain == policy.DomainNetwork && strings.HasPrefix(string(m.typ), "product.") {
			plainWish = "希望尽快恢复"
		}
		wish = append(wish, plainWish)
	}
	return wish
}

// goal is the customer's wish as the object of a sentence; "" when unknown.
func (s *Suggester) goal(m *matter) string {
	claim := m.claim
	if claim == "" {
		claim = m.wished
	}
	w, ok := goals[claim]
	if !ok {
		return ""
	}
	if m.amount != nil && w[0] != "" {
		return strings.Replace(w[0], "{额}", yuan(*m.amount), 1)
	}
	return w[1]
}

// mirror says back the feeling, with what it is like when it is strong
// enough to be named.
func (s *Suggester) mirror(a *qingting.Analysis, m *matter, p *plan, v *voice) string {
	code := a.Emotion.Code
	lists, ok := mirrors[code]
	if !ok {
		lists = mirrors[qingting.EmotionCalm]
	}
	list := lists[0]
	if a.Emotion.Intensity >= 3 {
		list = lists[1]
	}
	feeling := v.pick(list)
	switch code {
	case qingting.EmotionAngry, qingting.EmotionDisappointed, qingting.EmotionAnxious:
	default:
		return feeling
	}
	impact := impacts[m.typ]
	if again, ok := impactsAgain[m.typ]; ok && m.signals[qingting.SignalRepeatContact] {
		impact = again
	}
	if by, ok := impactsBy[m.domain]; ok && (m.typ == qingting.TypeQuality || m.typ == qingting.TypePerformance) {
		impact = by
	}
	if m.harmed && m.food {
		impact = impactsFood
	}
	if len(impact) == 0 {
		return feeling
	}
	return v.pick(impact) + "，" + feeling
}

// weight is at most one more line: what went wrong before, or who suffers.
func (s *Suggester) weight(m *matter, p *plan, v *voice) string {
	switch {
	case m.bare:
		return ""
	case m.signals[qingting.SignalBrokenPromise] && p.admit:
		return v.pick(broken) + "。"
	case m.signals[qingting.SignalBrokenPromise]:
		return strings.NewReplacer("{人}", p.owner, "{时}", p.checkDue).Replace(brokenUnclear) + "。"
	case m.signals[qingting.SignalRepeatContact] && p.admit:
		return v.pick(repeated) + "。"
	case m.signals[qingting.SignalRepeatContact]:
		return "同一件事让您说了不止一次，让您费心了。"
	case m.signals[qingting.SignalVulnerable]:
		return v.pick(preferred) + "。"
	}
	return ""
}

// steps are intake, investigation and result, each with who and by when.
func (s *Suggester) steps(m *matter, p *plan, v *voice, a *qingting.Analysis) []string {
	var intake string
	switch {
	case p.legal != nil:
		intake = "我现在把情况报给{人}，由{人}专门接手"
	case p.need != "" && !p.ask && !m.signals[qingting.SignalSupervisorDemand]:
		intake = "收到您的" + needNames[p.need] + "后，我马上登记给{人}"
	case p.need == "" || p.ask:
		intake = v.pick(intakes)
	}
	if p.legal == nil && p.owner != supervisor && m.escalates() {
		intake = "我现在把{号}情况报给" + supervisor + "，由{人}专门跟进"
	}
	check := p.owner + p.checkDue + p.check
	result := s.result(m, p, v)
	if p.field {
		check = "由" + p.owner + p.check + "，" + p.checkDue + "给第一次反馈"
		switch p.remedy.Code {
		case qingting.RemedyRepair, qingting.RemedyExplain, qingting.RemedyTransfer:
			if p.remedy.Authority == "agent" {
				result = s.fill(m, p).Replace(v.pick(firstNews))
			}
		}
	}
	return []string{s.fill(m, p).Replace(intake), check, result}
}

// fill replaces the holes of a sentence.
func (s *Suggester) fill(m *matter, p *plan) *strings.Replacer {
	return strings.NewReplacer("{人}", p.owner, "{时}", p.dueSaid, "{批}", s.policy.Authority.Approver, "{额}", amountOf(p.remedy), "{号}", numberOf(m))
}

// result is the last step: what comes of it, and by when.
func (s *Suggester) result(m *matter, p *plan, v *voice) string {
	last := results[p.remedy.Code]
	if p.remedy.Authority == "approval" {
		if last = approvals[p.remedy.Code]; last == nil {
			last = []string{approvalAny}
		}
	}
	if p.remedy.Code == qingting.RemedyRepair && p.remedy.Authority == "agent" {
		switch {
		case !strings.HasPrefix(string(m.typ), "product."):
			last = solved
		case m.domain == policy.DomainNetwork || m.domain == policy.DomainSoftware:
			last = restored
		}
	}
	result := v.pick(last)
	if m.claim == qingting.ClaimPunish && p.remedy.Code == qingting.RemedyApology {
		result = punished
	}
	return s.fill(m, p).Replace(result)
}

// supervisor is who is told when the customer wants one or names an authority.
const supervisor = "客服主管"

var needNames = map[qingting.SlotKind]string{qingting.SlotOrderNumber: "订单号", qingting.SlotPhone: "号码", qingting.SlotAddress: "门店信息"}

func amountOf(r *qingting.Remedy) string {
	if r == nil || r.Amount == nil {
		return ""
	}
	return yuan(*r.Amount)
}

// numberOf names the order or number by its last four digits: enough for the
// customer to see that it is hers.
func numberOf(m *matter) string {
	if n := tail(m.known[qingting.SlotOrderNumber]); n != "" && !strings.HasPrefix(strings.ToLower(m.known[qingting.SlotOrderNumber]), "qq") {
		return "尾号" + n + "订单的"
	}
	if n := tail(m.known[qingting.SlotPhone]); n != "" {
		return "尾号" + n + "号码的"
	}
	return ""
}

func tail(value string) string {
	if len(value) < 8 {
		return ""
	}
	for _, r := range value[len(value)-4:] {
		if r < '0' || r > '9' {
			return ""
		}
	}
	return value[len(value)-4:]
}

// answer is the structure for a question.
func (s *Suggester) answer(a *qingting.Analysis, m *matter, p *plan, v *voice, g *qingting.Suggestion) {
	unclear := false
	switch {
	case m.asks != "":
		g.Restate = "您想知道" + m.asks
	case m.thing != "" && m.claim == qingting.ClaimFix:
		g.Restate = "您在" + m.thing + "的使用上遇到了问题"
	case m.thing != "":
		g.Restate = "您想了解" + m.thing + "的事"
	default:
		g.Restate, unclear = "您有一件事想问清楚", true
	}
	number := numberOf(m)
	switch {
	case m.claim == qingting.ClaimFix:
		g.Steps = []string{v.pick([]string{"我现在就查" + number + "原因", "我现在为您排查" + number + "原因"}), p.dueSaid + v.pick([]string{"我把解决办法告诉您", "我告诉您怎么处理"})}
	case m.claim == qingting.ClaimChange || m.claim == qingting.ClaimCancel:
		g.Steps = []string{v.pick([]string{"我现在核对办理条件", "我现在查怎么办理最省事"}), p.dueSaid + v.pick([]string{"我把办理方法告诉您", "我告诉您能不能办、怎么办"})}
	case m.claim == qingting.ClaimExpedite:
		g.Steps = []string{v.pick([]string{"我现在就查进度", "我现在去催并查进度"}), p.dueSaid + v.pick([]string{"我告诉您预计的时间", "我把进展告诉您"})}
	default:
		g.Steps = []string{v.pick([]string{"我现在就核对相关信息", "我现在为您查"}), p.dueSaid + v.pick([]string{"我给您准确的答复", "我把查到的结果告诉您"})}
	}
	g.Confirm = v.pick([]string{"我理解得对吗？", "您是想问这个，对吗？", "您想问的就是这一点，对吗？"})
	question := ""
	if unclear {
		question = "您方便再说一下是哪方面的事吗？"
	}
	steps := strings.Join(g.Steps, "，") + "。"
	thanks := v.pick(thanksAsking)
	if tense(a, m) {
		thanks = onChange
	}
	if g.Style == qingting.StyleEmotional {
		head := v.pick([]string{"谢谢您来问，", "您来问就对了，", "您好，"})
		if a.Emotion.Code == qingting.EmotionAnxious || a.Emotion.Code == qingting.EmotionAngry || a.Emotion.Code == qingting.EmotionDisappointed {
			head = v.pick([]string{"您着急我很理解，", "给您添麻烦了，"})
		}
		g.Text = head + "我来帮您弄清楚。" + g.Restate + "，" + g.Confirm + steps + question + thanks
	} else {
		g.Text = "您好，" + g.Restate + "，" + g.Confirm + steps + question + thanks
	}
}

// short is everything that needs no plan.
func (s *Suggester) short(a *qingting.Analysis, m *matter, p *plan, v *voice, g *qingting.Suggestion) {
	warm := g.Style == qingting.StyleEmotional
	choose := func(facts, care []string) string {
		if warm {
			return v.pick(care)
		}
		return v.pick(facts)
	}
	about := m.thing
	switch p.mode {
	case modeGreeting:
		g.Text = choose([]string{"您好，请问您遇到了什么问题？我来处理。", "您好，我在的，请问需要我处理什么事？"}, []string{"您好，我在的，您慢慢说，是遇到什么事了？", "您好，很高兴为您服务，您想说的是什么事呢？"})
	case modeOther:
		g.Text = choose([]string{"您好，您的留言收到了。有需要处理的事情，直接告诉我就行。", "您好，已经看到您的留言。需要我办什么，请告诉我。"}, []string{"谢谢您的留言。有需要我帮忙的，随时告诉我。", "您好呀，谢谢您来说说话。有需要我帮忙的，直接告诉我。"})
	case modePraise:
		g.Restate = "您对我们的服务表示认可"
		g.Text = choose([]string{"谢谢您的肯定。" + g.Restate + "，我会在今天转告相关同事。以后有需要，随时找我们。", "感谢您的认可，" + g.Restate + "，我今天就转告同事。"}, []string{"看到您的话真的很开心，谢谢您！" + g.Restate + "，我今天就把这份鼓励转告同事。", "谢谢您特意来说这些！" + g.Restate + "，我今天转告同事，他们会很受鼓舞。"})
	case modeSuggestion:
		g.Restate = "您提了一条改进建议"
		if about != "" {
			g.Restate = "您对" + about + "提了一条建议"
		}
		g.Steps = []string{"我现在把您的原话记下来", p.dueSaid + "我转给产品同事评估"}
		g.Confirm = v.pick([]string{"我理解得对吗？", "您希望我们改进的就是这一点，对吗？"})
		g.Text = choose([]string{"谢谢您的建议。", "感谢您提出建议。"}, []string{"谢谢您这么用心！", "您愿意提出来，真的谢谢您！"}) + g.Restate + "，" + strings.Join(g.Steps, "，") + "。" + g.Confirm
	case modeClosing:
		g.Restate = "您反映的问题已经处理好"
		if a.Kind.Code == qingting.KindInquiry {
			g.Restate = "您问的事情已经有了答案"
			if about != "" {
				g.Restate = "您问的" + about + "的事已经有了答案"
			}
			g.Confirm = v.pick([]string{"都清楚了，对吗？", "没有别的疑问了，对吗？"})
		} else {
			if about != "" {
				g.Restate = "您反映的" + about + "的问题已经处理好"
			}
			g.Steps = []string{p.dueSaid + "我再回访一次，看有没有再出现"}
			g.Confirm = v.pick([]string{"现在都正常了，对吗？", "这样处理您满意，对吗？"})
		}
		steps := ""
		if len(g.Steps) > 0 {
			steps = strings.Join(g.Steps, "，") + "。"
		}
		switch a.Emotion.Code {
		case qingting.EmotionAngry, qingting.EmotionDisappointed, qingting.EmotionAnxious:
			// Solved is not yet forgiven; a question answered needs no pardon.
			if a.Kind.Code != qingting.KindComplaint {
				break
			}
			g.Confirm = v.pick([]string{"现在这样处理可以了，对吗？", "目前没有再出现，对吗？"})
			g.Text = choose([]string{"您好，" + g.Restate + "，" + g.Confirm + steps + "前面耽误了您的时间，对不起，有问题随时联系我们。"}, []string{"这件事让您受累了，对不起。" + g.Restate + "，" + g.Confirm + steps + "还有不放心的地方，您直接告诉我。", "前面给您添堵了，对不起。" + g.Restate + "，" + g.Confirm + steps + onChange})
			return
		}
		g.Text = choose([]string{g.Restate + "，" + g.Confirm + steps + "之后有问题随时联系我们，谢谢您。", "您好，" + g.Restate + "，" + g.Confirm + steps + "感谢您的配合。"}, []string{"太好了，" + g.Restate + "，" + g.Confirm + steps + "谢谢您的耐心，祝您一切顺利。", "听到有结果我也安心了。" + g.Restate + "，" + g.Confirm + steps + "谢谢您一路的体谅。"})
	}
}
