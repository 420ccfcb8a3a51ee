package suggest

import (
	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/suggest/policy"
)

// The wording. Parts are chosen by type, emotion and responsibility and put
// together by draft.go; {X} marks a hole. Where there are several, the
// content of the conversation picks one, so that the same conversation always
// gets the same words and two conversations rarely do.

// topics name a type in a sentence: 您反映的是宽带的质量问题.
var topics = map[qingting.Type]string{
	qingting.TypeQuality: "质量问题", qingting.TypePerformance: "使用效果问题", qingting.TypeSafety: "安全问题", qingting.TypeMismatch: "收到的商品和订单不符的问题",
	qingting.TypeAttitude: "服务态度问题", qingting.TypeEfficiency: "没有及时答复的问题", qingting.TypeProfessionalism: "答复不清楚的问题",
	qingting.TypeHiddenFee: "收费问题", qingting.TypeUnfair: "价格和优惠问题", qingting.TypeComplexity: "办理不顺的问题", qingting.TypeWait: "等待太久的问题",
	qingting.TypeDelay: "发货和送达慢的问题", qingting.TypeDamage: "运输破损的问题", qingting.TypeDelivery: "配送服务问题",
	qingting.TypeHygiene: "卫生问题", qingting.TypeNoise: "噪音问题", qingting.TypeComfort: "环境不舒适的问题",
	qingting.TypeLeak: "个人信息安全问题", qingting.TypeHarassment: "营销打扰问题", qingting.TypeDiscrimination: "受到区别对待的问题", qingting.TypeMisleading: "宣传和实际不一致的问题",
}

// topicsAgain replace topics for a customer who has been here before; said to
// anybody else they would invent a history.
var topicsAgain = map[qingting.Type]string{
	qingting.TypeEfficiency: "联系不上、没人答复的问题", qingting.TypeProfessionalism: "问题迟迟没有解决的情况",
}

// impactsAgain are the impacts for her.
var impactsAgain = map[qingting.Type][]string{
	qingting.TypeEfficiency:      {"一次次联系都没有回音", "有事找不到人，只能干等"},
	qingting.TypeProfessionalism: {"来回说了几遍还是没有解决", "问题没解决，还要反复解释"},
}

// impactsFood are the impacts of food that harmed somebody.
var impactsFood = []string{"吃的东西出了问题", "吃进肚子的东西让人不放心"}

// topicsOf tell a type back with the thing, where that reads well.
var topicsOf = map[qingting.Type]string{
	qingting.TypeQuality: "您反映的是{物}的质量问题", qingting.TypePerformance: "您反映的是{物}的使用效果问题", qingting.TypeSafety: "您反映的是{物}的安全问题",
	qingting.TypeMismatch: "您收到的{物}和订单不符", qingting.TypeHiddenFee: "您反映的是{物}的收费问题", qingting.TypeUnfair: "您反映的是{物}的价格和优惠问题",
	qingting.TypeComplexity: "您反映的是{物}办理不顺的问题", qingting.TypeWait: "您反映的是{物}等待太久的问题", qingting.TypeDelay: "您反映的是{物}送达慢的问题",
	qingting.TypeDamage: "您反映的是{物}在运输中破损", qingting.TypeHygiene: "您反映的是{物}的卫生问题", qingting.TypeComfort: "您反映的是{物}环境不舒适",
	qingting.TypeMisleading: "您反映的是{物}和宣传的不一致", qingting.TypeProfessionalism: "您反映的是{物}的事没有答复清楚",
}

// impacts say what it is like for the customer; they open a mirroring
// sentence, "左等右等还是没有收到，…".
var impacts = map[qingting.Type][]string{
	qingting.TypeQuality:         {"买来的东西不能正常用", "用得好好的突然出问题，事情都被耽误了"},
	qingting.TypePerformance:     {"用起来总是不顺", "花了钱却用得不痛快"},
	qingting.TypeSafety:          {"遇到安全上的事", "东西用出了安全问题"},
	qingting.TypeMismatch:        {"盼了几天，拿到手却不是想要的", "收到的东西和下单的对不上"},
	qingting.TypeAttitude:        {"来求助却受了冷落", "好好来问事情，却遇到这样的态度"},
	qingting.TypeEfficiency:      {"没有及时答复您", "有事来问却没有及时得到答复"},
	qingting.TypeProfessionalism: {"给您的答复不清楚", "得到的答复前后不一致"},
	qingting.TypeHiddenFee:       {"钱扣得不明不白", "没弄清楚就被收了钱"},
	qingting.TypeUnfair:          {"花了钱还觉得吃亏", "价格上没有得到公平的对待"},
	qingting.TypeComplexity:      {"想办的事办得不顺", "想办的事办不下来"},
	qingting.TypeWait:            {"等了这么久还没有结果", "一天天等下去没有个准信"},
	qingting.TypeDelay:           {"左等右等还是没有收到", "东西迟迟不到，计划都被打乱了"},
	qingting.TypeDamage:          {"盼来的东西成了这样", "东西在路上出了问题"},
	qingting.TypeDelivery:        {"收个件这么不省心", "东西没有好好送到手上"},
	qingting.TypeHygiene:         {"花钱消费却碰上不干净", "看到这样的卫生状况"},
	qingting.TypeNoise:           {"一直被吵着，休息不好", "噪音吵得人静不下来"},
	qingting.TypeComfort:         {"花了钱却待得不舒服", "环境没有达到您的预期"},
	qingting.TypeLeak:            {"自己的信息可能被别人拿到", "个人信息出了问题"},
	qingting.TypeHarassment:      {"总被推销打扰，清静不了", "电话短信不断，实在影响生活"},
	qingting.TypeDiscrimination:  {"没有受到一样的对待", "遇到让人不舒服的对待"},
	qingting.TypeMisleading:      {"和当初听到的不一样", "满心信任却和说的不一样"},
}

// mirrors name the feeling after an impact, by emotion; the second list is
// for intensity 3.
var mirrors = map[qingting.EmotionCode][2][]string{
	qingting.EmotionCalm:         {{"给您添麻烦了", "确实不方便"}, {"给您添麻烦了"}},
	qingting.EmotionConfused:     {{"您有疑问很正常", "弄不明白是怎么回事，心里不踏实"}, {"摸不着头脑，心里当然不踏实"}},
	qingting.EmotionAnxious:      {{"您着急我很理解", "心里着急是难免的"}, {"您有多着急，我完全明白", "急成这样，我感同身受"}},
	qingting.EmotionDisappointed: {{"难免会失望", "心里委屈是应该的", "您失望我很理解"}, {"心里该有多委屈", "换成我也会很寒心"}},
	qingting.EmotionAngry:        {{"换成我也会生气", "您生气我很理解", "有火气是正常的"}, {"换成谁都会非常生气", "您这么生气，我完全理解", "憋着一肚子火，我明白"}},
	qingting.EmotionSatisfied:    {{"谢谢您还这么体谅", "您还这么客气"}, {"谢谢您还这么体谅"}},
}

// sorry is said when nobody knows yet whose fault it is, and admitted when
// the company's. External faults are explained and coordinated.
var (
	sorry      = []string{"给您带来不便，很抱歉", "让您遇到这样的事，很抱歉", "这段时间让您费心了，抱歉"}
	admitted   = []string{"这是我们没有做好，对不起", "这件事是我们做得不到位，向您道歉", "在这件事上我们没有做好，对不起"}
	external   = []string{"这一环虽由合作方承运，由我们出面协调，您不用来回跑", "合作方那边由我们去对接，您不用再费心联系"}
	unclear    = []string{"原因还要核实，我先把核实的安排说清楚", "原因查清以前我不下结论，先把怎么查告诉您", "现在还不能判断原因，我按下面的安排去查"}
	legalGrave = []string{"这件事我们非常重视", "这件事我不敢耽搁"}
)

// Lines for what weighs besides the matter itself.
var (
	repeated  = []string{"同一件事让您说了不止一次，是我们跟进不到位", "前面反映过还没有解决，是我们没有跟好"}
	broken    = []string{"之前答应您的没有做到，是我们失信了", "说好的事没有兑现，是我们不对"}
	preferred = []string{"您的情况特殊，我按优先处理登记", "考虑到您的情况，我给您按优先处理"}
)

// brokenUnclear is said of a broken promise before anybody knows whose fault
// it was: who looks at it, and by when.
const brokenUnclear = "之前答应您的事，{人}{时}一并核实"

// A grave matter of no known type: nothing is known to have leaked, and no
// product to be switched off.
const (
	adviceGrave = "请把时间、地点和当时的情形留个记录，方便核实"
	checkGrave  = "立案核实事情经过"
)

// wants turn a claim into the end of a restatement. {额} is replaced by the
// amount; the second form is used without one.
var wants = map[qingting.ClaimCode][2]string{
	qingting.ClaimRefund:     {"想要退回{额}", "想要退款"},
	qingting.ClaimExchange:   {"", "想要换货"},
	qingting.ClaimResend:     {"", "希望补发"},
	qingting.ClaimFix:        {"", "希望尽快解决"},
	qingting.ClaimCompensate: {"要求赔偿{额}", "希望得到补偿"},
	qingting.ClaimApology:    {"", "希望得到道歉"},
	qingting.ClaimExplain:    {"", "想知道原因"},
	qingting.ClaimExpedite:   {"", "希望加快处理"},
	qingting.ClaimCancel:     {"", "想要取消"},
	qingting.ClaimCallback:   {"", "希望有人联系您"},
	qingting.ClaimChange:     {"", "希望能办成"},
	qingting.ClaimPunish:     {"", "希望处理相关人员"},
}

// goals turn a claim into what the confirmation asks: 您最希望的是退款，对吗？
var goals = map[qingting.ClaimCode][2]string{
	qingting.ClaimRefund:     {"退回这{额}", "退款"},
	qingting.ClaimExchange:   {"", "换一件好的"},
	qingting.ClaimResend:     {"", "重新补发"},
	qingting.ClaimFix:        {"", "把问题解决好"},
	qingting.ClaimCompensate: {"得到{额}的补偿", "得到合理的补偿"},
	qingting.ClaimApology:    {"", "得到一个道歉"},
	qingting.ClaimExplain:    {"", "把原因弄清楚"},
	qingting.ClaimExpedite:   {"", "快一点办好"},
	qingting.ClaimCancel:     {"", "把它取消掉"},
	qingting.ClaimCallback:   {"", "尽快接到回电"},
	qingting.ClaimChange:     {"", "把这件事办成"},
	qingting.ClaimPunish:     {"", "让相关人员得到处理"},
}

// fits are wishes of the types that a claim of fix or expedite really means.
var fits = map[qingting.Type]string{
	qingting.TypeDelay: "希望尽快送到", qingting.TypeWait: "希望尽快有结果", qingting.TypeNoise: "希望安静下来",
	qingting.TypeHygiene: "希望整改", qingting.TypeComfort: "希望改善", qingting.TypeHarassment: "希望不再被打扰",
	qingting.TypeEfficiency: "希望尽快有人处理", qingting.TypeDelivery: "希望好好送到",
}

// openings begin the rational style, listens the emotional one, plans lead
// to the steps.
var (
	openings  = []string{"您好，先和您核对情况：", "您好，您的情况我记下了：", "您好，我先把您说的核对一下："}
	listens   = []string{"您说的我听明白了：", "我把您说的记下来了：", "我都看了，您说的是："}
	planFacts = []string{"处理安排如下：", "接下来这样处理：", "我按这几步办："}
	planCare  = []string{"接下来的事交给我：", "我来跟到有结果：", "我现在就办这几件事："}
)

// intakes are first steps; {人} is the owner, {号} the order, if known.
var intakes = []string{
	"我现在把{号}情况登记给{人}，您说的经过都写上",
	"我现在就把{号}经过转给{人}，您不用再说一遍",
	"我马上把{号}情况交给{人}，您说过的都记在里面",
}

// results are last steps; {时} is the deadline, {额} the amount, {批} the
// approver, {人} the owner. Promise variants are only used within authority.
var results = map[qingting.RemedyCode][]string{
	qingting.RemedyRepair:     {"{时}我告诉您检查结果和修复时间", "{时}我把结果告诉您，需要维修的当时就约好时间"},
	qingting.RemedyExchange:   {"符合换货条件的，{时}我为您登记换货", "{时}我把核对结果告诉您，能换的当时就登记换货"},
	qingting.RemedyResend:     {"核对后{时}我告诉您补发的安排", "{时}我把补发的时间和单号尾号告诉您"},
	qingting.RemedyRefund:     {"核对无误的，{时}我为您办理退回{额}", "{时}我把核对结果告诉您，该退的{额}当时就办"},
	qingting.RemedyCompensate: {"核对无误的，{时}我为您办理补偿{额}", "{时}我把核对结果告诉您，该补偿的{额}当时就办"},
	qingting.RemedyCoupon:     {"{时}我把核对结果告诉您，符合条件的当时就发券", "核对后{时}我为您办理优惠券"},
	qingting.RemedyExplain:    {"{时}我把原因和依据讲给您听", "{时}我把查到的原因和处理办法告诉您"},
	qingting.RemedyExpedite:   {"{时}我把催办的结果和新的时间告诉您", "{时}我告诉您进展和预计的时间"},
	qingting.RemedyCallback:   {"{时}我给您回电，把结果说清楚", "{时}我打电话把结果告诉您"},
	qingting.RemedyCancel:     {"核对无误的，{时}我办好取消并告诉您", "{时}我把取消的结果告诉您"},
	qingting.RemedyApology:    {"核实后{时}由{人}向您道歉，并说明怎么处理", "{时}我把核实结果告诉您，由{人}向您致歉"},
	qingting.RemedyTransfer:   {"{时}我把进展告诉您", "{时}我给您第一次进展"},
}

// approvals replace results when the amount is beyond authority or unknown.
var approvals = map[qingting.RemedyCode][]string{
	qingting.RemedyRefund:     {"退款我为您提交申请，由{批}审批，{时}我答复您结果", "我为您申请退款，{批}审批后，{时}我把结果告诉您"},
	qingting.RemedyCompensate: {"补偿我为您提交申请，由{批}审批，{时}我答复您结果", "我为您申请补偿，{批}审批后，{时}我把结果告诉您"},
	qingting.RemedyCoupon:     {"优惠券我为您提交申请，由{批}审批，{时}我答复您结果"},
}

// approvalAny is the last step for any other remedy that needs approval.
const approvalAny = "我为您提交申请，由{批}审批，{时}我答复您结果"

// solved are the last steps of a repair that is not the repair of a thing.
var solved = []string{"{时}我把解决办法和时间告诉您", "{时}我告诉您查到的结果和解决办法"}

// restored are the last steps of a repair of a network or of software.
var restored = []string{"{时}我告诉您原因和恢复的时间", "{时}我把排查结果和恢复的时间告诉您"}

// punished is the last step when the customer wants somebody held to account.
const punished = "{时}我把核实结果和对相关人员的处理意见告诉您"

// firstNews are the last steps of a check that a desk cannot finish.
var firstNews = []string{"{时}我给您第一次进展和下一步的安排", "{时}我把第一次反馈和后面的安排告诉您"}

// onChange ends a draft to whom thanks would sound like mockery.
const onChange = "有任何变化我第一时间联系您。"

// questions ask for what is missing, one thing, answerable in a word.
var questions = map[qingting.SlotKind][]string{
	qingting.SlotOrderNumber: {"您方便告诉我订单号吗？", "是哪一笔订单，您方便发一下订单号吗？"},
	qingting.SlotPhone:       {"是哪个号码遇到的，您方便告诉我吗？", "您方便告诉我办理业务的号码吗？"},
	qingting.SlotProduct:     {"您说的是哪款产品，方便告诉我吗？", "方便告诉我是哪款产品或哪项业务吗？"},
	qingting.SlotAddress:     {"您方便告诉我是哪家门店吗？", "这是在哪家门店遇到的，方便说一下吗？"},
}

var (
	confirmGoal  = []string{"您最希望的是{标}，对吗？", "您主要是想{标}，我理解得对吗？", "您看重的是{标}，对吗？"}
	confirmPlan  = []string{"我这样理解您的意思，对吗？", "您要反映的主要就是这件事，对吗？"}
	thanksFacts  = []string{"谢谢您把情况说清楚。", "谢谢您的配合。", "感谢您反映。"}
	thanksAsking = []string{"谢谢您来咨询。", "感谢您的信任。", "谢谢您的耐心。"}
	thanksCare   = []string{"谢谢您告诉我们。", "谢谢您还愿意给我们机会。", "谢谢您的耐心。"}
)

// askKinds are the words with which an agent asks for a fact.
var askKinds = []struct {
	word string
	kind qingting.SlotKind
}{
	{"订单号", qingting.SlotOrderNumber},
	{"单号", qingting.SlotOrderNumber},
	{"订单编号", qingting.SlotOrderNumber},
	{"手机号", qingting.SlotPhone},
	{"号码", qingting.SlotPhone},
	{"联系电话", qingting.SlotPhone},
	{"联系方式", qingting.SlotPhone},
	{"您的电话", qingting.SlotPhone},
	{"账号", qingting.SlotPhone},
	{"地址", qingting.SlotAddress},
	{"哪家", qingting.SlotAddress},
	{"门店", qingting.SlotAddress},
	{"哪个店", qingting.SlotAddress},
	{"位置", qingting.SlotAddress},
}

// sentWords say that the customer has given what was asked, out of sight.
var sentWords = []string{"已私信", "私信了", "已经私信", "发给你了", "发您了", "发你了", "发给您了", "已提供", "提供了", "已发", "私信过", "发私信了", "图片发"}

// remedyOf is the remedy that answers a claim.
var remedyOf = map[qingting.ClaimCode]qingting.RemedyCode{
	qingting.ClaimRefund: qingting.RemedyRefund, qingting.ClaimExchange: qingting.RemedyExchange, qingting.ClaimResend: qingting.RemedyResend,
	qingting.ClaimFix: qingting.RemedyRepair, qingting.ClaimCompensate: qingting.RemedyCompensate, qingting.ClaimApology: qingting.RemedyApology,
	qingting.ClaimExplain: qingting.RemedyExplain, qingting.ClaimExpedite: qingting.RemedyExpedite, qingting.ClaimCancel: qingting.RemedyCancel,
	qingting.ClaimCallback: qingting.RemedyCallback, qingting.ClaimPunish: qingting.RemedyApology, qingting.ClaimChange: qingting.RemedyExplain,
}

// impactsBy replace the impacts of a product that is a service.
var impactsBy = map[policy.Domain][]string{
	policy.DomainNetwork:  {"网用不好，做什么都受影响", "要用的时候偏偏用不了"},
	policy.DomainSoftware: {"要用的时候偏偏用不了", "用着用着出问题，事情都被耽误了"},
	policy.DomainFood:     {"一顿饭没有吃好", "满心期待却没吃好"},
}
