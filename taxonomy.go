package qingting

// Codes of the label guide, version 1.3. The lists fix the order of every
// probability slice in Scores, so a code is appended, never inserted.

// Mode says how deep an analysis went.
type Mode string

// The modes. Fast leaves the sentence encoder out.
const (
	ModeFull     Mode = "full"
	ModeFast     Mode = "fast"
	ModeDegraded Mode = "degraded"
)

// Kind is what the customer wants of us at all (来电性质).
type Kind string

// The kinds.
const (
	KindComplaint  Kind = "complaint"
	KindInquiry    Kind = "inquiry"
	KindSuggestion Kind = "suggestion"
	KindPraise     Kind = "praise"
	KindOther      Kind = "other"
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{KindComplaint, KindInquiry, KindSuggestion, KindPraise, KindOther}
}

// Type is a complaint type (投诉类型), "family.leaf".
type Type string

// The complaint types.
const (
	TypeQuality         Type = "product.quality"
	TypePerformance     Type = "product.performance"
	TypeSafety          Type = "product.safety"
	TypeMismatch        Type = "product.mismatch"
	TypeAttitude        Type = "service.attitude"
	TypeEfficiency      Type = "service.efficiency"
	TypeProfessionalism Type = "service.professionalism"
	TypeHiddenFee       Type = "price.hidden_fee"
	TypeUnfair          Type = "price.unfair"
	TypeComplexity      Type = "process.complexity"
	TypeWait            Type = "process.wait"
	TypeDelay           Type = "logistics.delay"
	TypeDamage          Type = "logistics.damage"
	TypeDelivery        Type = "logistics.delivery"
	TypeHygiene         Type = "environment.hygiene"
	TypeNoise           Type = "environment.noise"
	TypeComfort         Type = "environment.comfort"
	TypeLeak            Type = "privacy.leak"
	TypeHarassment      Type = "privacy.harassment"
	TypeDiscrimination  Type = "discrimination"
	TypeMisleading      Type = "disclosure.misleading"
)

// Types lists every complaint type.
func Types() []Type {
	return []Type{
		TypeQuality, TypePerformance, TypeSafety, TypeMismatch,
		TypeAttitude, TypeEfficiency, TypeProfessionalism,
		TypeHiddenFee, TypeUnfair, TypeComplexity, TypeWait,
		TypeDelay, TypeDamage, TypeDelivery,
		TypeHygiene, TypeNoise, TypeComfort,
		TypeLeak, TypeHarassment, TypeDiscrimination, TypeMisleading,
	}
}

// EmotionCode is the customer's dominant emotion (情绪).
type EmotionCode string

// The emotions.
const (
	EmotionCalm         EmotionCode = "calm"
	EmotionConfused     EmotionCode = "confused"
	EmotionAnxious      EmotionCode = "anxious"
	EmotionDisappointed EmotionCode = "disappointed"
	EmotionAngry        EmotionCode = "angry"
	EmotionSatisfied    EmotionCode = "satisfied"
)

// Emotions lists every emotion.
func Emotions() []EmotionCode {
	return []EmotionCode{EmotionCalm, EmotionConfused, EmotionAnxious, EmotionDisappointed, EmotionAngry, EmotionSatisfied}
}

// Trend is the course of the emotion's intensity.
type Trend string

// The trends; unknown with fewer than two customer messages.
const (
	TrendRising  Trend = "rising"
	TrendSteady  Trend = "steady"
	TrendFalling Trend = "falling"
	TrendUnknown Trend = "unknown"
)

// RiskLevel is the escalation risk (升级风险).
type RiskLevel string

// The risk levels.
const (
	RiskLow    RiskLevel = "low"
	RiskMedium RiskLevel = "medium"
	RiskHigh   RiskLevel = "high"
)

// RiskLevels lists the levels, lowest first.
func RiskLevels() []RiskLevel { return []RiskLevel{RiskLow, RiskMedium, RiskHigh} }

// SignalCode is a risk signal (风险信号).
type SignalCode string

// The signals of the label guide, and one the service adds.
const (
	SignalRegulator        SignalCode = "regulator"
	SignalMedia            SignalCode = "media"
	SignalLegal            SignalCode = "legal"
	SignalChurn            SignalCode = "churn"
	SignalRepeatContact    SignalCode = "repeat_contact"
	SignalSupervisorDemand SignalCode = "supervisor_demand"
	SignalSafetyInjury     SignalCode = "safety_injury"
	SignalPrivacy          SignalCode = "privacy"
	SignalDiscrimination   SignalCode = "discrimination"
	SignalVulnerable       SignalCode = "vulnerable"
	SignalBrokenPromise    SignalCode = "broken_promise"
	SignalFinancialLoss    SignalCode = "financial_loss"
)

// Signals lists every signal of the label guide.
func Signals() []SignalCode {
	return []SignalCode{
		SignalRegulator, SignalMedia, SignalLegal, SignalChurn, SignalRepeatContact, SignalSupervisorDemand,
		SignalSafetyInjury, SignalPrivacy, SignalDiscrimination, SignalVulnerable, SignalBrokenPromise, SignalFinancialLoss,
	}
}

// ClaimCode is what the customer demands (诉求).
type ClaimCode string

// The claims.
const (
	ClaimRefund     ClaimCode = "refund"
	ClaimExchange   ClaimCode = "exchange"
	ClaimResend     ClaimCode = "resend"
	ClaimFix        ClaimCode = "fix"
	ClaimCompensate ClaimCode = "compensate"
	ClaimApology    ClaimCode = "apology"
	ClaimExplain    ClaimCode = "explain"
	ClaimExpedite   ClaimCode = "expedite"
	ClaimCancel     ClaimCode = "cancel"
	ClaimCallback   ClaimCode = "callback"
	ClaimChange     ClaimCode = "change"
	ClaimPunish     ClaimCode = "punish"
)

// Claims lists every claim.
func Claims() []ClaimCode {
	return []ClaimCode{
		ClaimRefund, ClaimExchange, ClaimResend, ClaimFix, ClaimCompensate, ClaimApology,
		ClaimExplain, ClaimExpedite, ClaimCancel, ClaimCallback, ClaimChange, ClaimPunish,
	}
}

// Style is how the customer argues (客户类型).
type Style string

// The styles.
const (
	StyleRational  Style = "rational"
	StyleEmotional Style = "emotional"
	StyleMixed     Style = "mixed"
)

// Styles lists every style.
func Styles() []Style { return []Style{StyleRational, StyleEmotional, StyleMixed} }

// Outcome is where the conversation stands at its last turn (结果).
type Outcome string

// The outcomes.
const (
	OutcomeResolved   Outcome = "resolved"
	OutcomePending    Outcome = "pending"
	OutcomeUnresolved Outcome = "unresolved"
)

// Outcomes lists every outcome.
func Outcomes() []Outcome { return []Outcome{OutcomeResolved, OutcomePending, OutcomeUnresolved} }

// CaseOutcome is how a past case ended.
type CaseOutcome string

// A case was resolved or it failed.
const (
	CaseResolved CaseOutcome = "resolved"
	CaseFailed   CaseOutcome = "failed"
)

// RetrievalStatus says whether a past case can be relied on.
type RetrievalStatus string

// The states of the case search.
const (
	RetrievalOK             RetrievalStatus = "ok"
	RetrievalNoReliableCase RetrievalStatus = "no_reliable_case"
	RetrievalUnavailable    RetrievalStatus = "unavailable"
)

// Priority is P0 (紧急危机) to P3 (一般).
type Priority string

// The priorities.
const (
	PriorityP0 Priority = "P0"
	PriorityP1 Priority = "P1"
	PriorityP2 Priority = "P2"
	PriorityP3 Priority = "P3"
)

// Route is where a legal class goes at once.
type Route string

// The routes.
const (
	RouteCompliance    Route = "compliance"    // privacy leak
	RouteRecall        Route = "recall"        // product safety
	RouteInvestigation Route = "investigation" // discrimination
)

// Responsibility is whose fault it is (责任).
type Responsibility string

// Company faults are admitted, external ones explained and coordinated.
const (
	ResponsibilityCompany  Responsibility = "company"
	ResponsibilityExternal Responsibility = "external"
	ResponsibilityUnclear  Responsibility = "unclear"
)

// ExpectationCode is a latent expectation (潜在期望).
type ExpectationCode string

// A repeated demand for money, or for speed.
const (
	ExpectCompensate ExpectationCode = "compensate"
	ExpectExpedite   ExpectationCode = "expedite"
)

// SlotKind is the kind of a stated fact.
type SlotKind string

// The slots.
const (
	SlotOrderNumber SlotKind = "order_number"
	SlotPhone       SlotKind = "phone"
	SlotAmount      SlotKind = "amount"
	SlotDate        SlotKind = "date"
	SlotProduct     SlotKind = "product"
	SlotIDCard      SlotKind = "id_card"
	SlotBankCard    SlotKind = "bank_card"
	SlotPlate       SlotKind = "plate"
	SlotEmail       SlotKind = "email"
	SlotAddress     SlotKind = "address"
	SlotName        SlotKind = "name"
)

// RemedyCode is what an agent can offer.
type RemedyCode string

// The remedies.
const (
	RemedyRefund     RemedyCode = "refund"
	RemedyExchange   RemedyCode = "exchange"
	RemedyResend     RemedyCode = "resend"
	RemedyRepair     RemedyCode = "repair"
	RemedyCompensate RemedyCode = "compensate"
	RemedyCoupon     RemedyCode = "coupon"
	RemedyExplain    RemedyCode = "explain"
	RemedyExpedite   RemedyCode = "expedite"
	RemedyCallback   RemedyCode = "callback"
	RemedyCancel     RemedyCode = "cancel"
	RemedyApology    RemedyCode = "apology"
	RemedyTransfer   RemedyCode = "transfer" // to compliance, recall or investigation
)

// Label is the Chinese name of a code, as people see it; the code itself when
// there is none.
func Label(code string) string {
	if zh, ok := labels[code]; ok {
		return zh
	}
	return code
}

// Codes are unique across fields except refund, exchange … which mean the
// same as claim and as remedy.
var labels = map[string]string{
	"complaint": "投诉", "inquiry": "咨询", "suggestion": "建议", "praise": "表扬", "other": "其他",
	"product.quality": "产品质量", "product.performance": "产品性能", "product.safety": "产品安全", "product.mismatch": "货不对板",
	"service.attitude": "服务态度", "service.efficiency": "响应效率", "service.professionalism": "专业度",
	"price.hidden_fee": "隐性收费", "price.unfair": "价格不公", "process.complexity": "流程复杂", "process.wait": "等待时间长",
	"logistics.delay": "物流延误", "logistics.damage": "物流破损", "logistics.delivery": "配送服务",
	"environment.hygiene": "卫生", "environment.noise": "噪音", "environment.comfort": "舒适度",
	"privacy.leak": "信息泄露", "privacy.harassment": "营销骚扰", "discrimination": "歧视", "disclosure.misleading": "误导宣传",
	"calm": "平静", "confused": "困惑", "anxious": "焦急", "disappointed": "失望/委屈", "angry": "愤怒", "satisfied": "满意",
	"rising": "上升", "steady": "平稳", "falling": "回落", "unknown": "尚不明确",
	"low": "低", "medium": "中", "high": "高",
	"regulator": "监管投诉", "media": "媒体曝光", "legal": "法律行动", "churn": "流失", "repeat_contact": "重复投诉",
	"supervisor_demand": "要求上级", "safety_injury": "人身安全", "privacy": "隐私", "vulnerable": "弱势人群",
	"broken_promise": "承诺未兑现", "financial_loss": "经济损失",
	"refund": "退款", "exchange": "换货", "resend": "补发", "fix": "维修/解决故障", "compensate": "赔偿", "apology": "道歉",
	"explain": "解释/说法", "expedite": "加急/催办", "cancel": "取消/销户/退订", "callback": "回电/联系", "change": "办理/变更/破例", "punish": "处理责任人",
	"repair": "维修", "coupon": "优惠券", "transfer": "转专门团队",
	"rational": "理性型", "emotional": "情绪型", "mixed": "混合",
	"resolved": "已解决", "pending": "处理中", "unresolved": "未解决", "failed": "未成功",
	"ok": "有可靠案例", "no_reliable_case": "无可靠相似案例", "unavailable": "不可用",
	"P0": "紧急危机", "P1": "高度紧急", "P2": "重要非紧急", "P3": "一般",
	"compliance": "合规团队", "recall": "召回程序", "investigation": "调查小组",
	"company": "企业责任", "external": "外部责任", "unclear": "责任待定",
	"order_number": "订单号", "phone": "电话", "amount": "金额", "date": "日期", "product": "产品",
	"id_card": "身份证", "bank_card": "银行卡", "plate": "车牌", "email": "邮箱", "address": "地址", "name": "姓名",
}
