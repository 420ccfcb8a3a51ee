package classify

import (
	"regexp"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
)

// blame says whose fault a complaint is. Company faults are admitted, external
// ones explained and coordinated; what is disputed stays unclear for a person.
type blame struct {
	admitted  gated // the agent owns up
	explained gated // the agent names somebody else or a force of nature
	external  gated // the customer names somebody else as the cause
	own       gated // the customer names a fault of their own
}

// gated is a pattern that is tried only on a text with one of the words every
// match has: most texts have none, and the pattern is a hundred times dearer.
type gated struct {
	words   []string
	pattern *regexp.Regexp
}

func gate(words, pattern string) gated {
	return gated{words: strings.Fields(words), pattern: regexp.MustCompile(pattern)}
}

func (g *gated) match(text string) bool {
	return slices.ContainsFunc(g.words, func(w string) bool { return strings.Contains(text, w) }) && g.pattern.MatchString(text)
}

func newBlame() *blame {
	return &blame{
		admitted: gate("失误 疏忽 错误 责任 问题 过错 过失 故障 出错 升级 漏发 错发 发错 不到位 不周 异常",
			`我们的(?:失误|疏忽|错误|责任|问题|过错|工作失误|工作疏忽)|(?:我司|我方|本店|商家|小编|仓库|系统)(?:这边)?的?(?:失误|疏忽|过失|责任|错误|操作失误|工作失误)|(?:由于|因为?|是)(?:我们|我司|我方|系统|工作人员|客服|仓库)[^，。！？]{0,8}(?:失误|疏忽|故障|错误|问题|出错|升级|漏发|错发|发错)|工作(?:失误|疏忽|不到位)|服务不周|服务不到位|系统(?:故障|异常|出错|错误)|漏发|错发|发错`),
		explained: gate("天气 暴雨 台风 大雪 雨雪 洪水 地震 疫情 不可抗力 停电 管制 物业 业主 施工 市政 第三方 航空公司 航司 快递公司 物流公司 承运 银行 支付机构 代理商 供应商 运营商 政府 政策 国家规定 人为 不在保修 不在质保 非质量 非我司",
			`(?:由于|因为?|受|是|属于|遇到)[^，。！？]{0,10}(?:天气|暴雨|台风|大雪|雨雪|洪水|地震|疫情|不可抗力|停电|交通管制|管制|物业|业主|施工|市政|第三方|航空公司|航司|快递公司|物流公司|承运|银行|支付机构|代理商|供应商|运营商|政府|政策|国家规定)|(?:航空公司|航司|快递公司|物流公司|银行|运营商|代理商|供应商|物业|第三方)(?:的|方面|那边)?(?:规定|原因|问题|政策|责任|造成|导致|不同意|不让)|人为(?:损坏|原因|因素)|不在(?:保修|质保)|非(?:质量|我司)问题`),
		external: gate("暴雨 台风 大雪 洪水 地震 疫情 停电 挖断 被雷 雷击 物业 小区 房东 邻居 快递公司 航空公司 第三方",
			`(?:暴雨|台风|大雪|洪水|地震|疫情|停电|挖断|被雷|雷击)|(?:物业|小区|房东|邻居|快递公司|航空公司|第三方)(?:公司)?(?:说)?(?:的)?(?:不让|不同意|不配合|阻挠|弄坏|施工|挖断|原因|规定)`),
		own: gate("不小心 手滑 弄错 填错 输错 写错 选错 点错 摔 忘了 忘记 没看清 没注意 误操作 拍错 买错 下错 弄坏",
			`我(?:自己)?(?:不小心|手滑|弄错|填错|输错|写错|选错|点错|摔|忘了|忘记|没看清|没注意|误操作|拍错|买错|下错)|自己(?:不小心|弄坏|弄错|填错|写错|选错|点错|摔)`),
	}
}

// Confidences of the rules, set by judgement: nobody labelled responsibility.
const (
	admittedConfidence = 0.85
	explainedLikely    = 0.75
	externalLikely     = 0.6
	companyLikely      = 0.6
	unclearConfidence  = 0.5
)

// companyTypes are grievances that lie with the company by their nature.
// Products are not among them: a fault may be the user's or the maker's.
var companyTypes = map[qingting.Type]bool{
	qingting.TypeAttitude: true, qingting.TypeEfficiency: true, qingting.TypeProfessionalism: true,
	qingting.TypeHiddenFee: true, qingting.TypeMismatch: true, qingting.TypeHygiene: true,
	qingting.TypeLeak: true, qingting.TypeHarassment: true, qingting.TypeDiscrimination: true, qingting.TypeMisleading: true,
}

// assign reads the agent's words first, then the customer's, then the type.
// Anything but a complaint is nobody's fault, which is unclear too.
func (b *blame) assign(doc *qingting.Document, kind qingting.Kind, primary qingting.Type) qingting.Score[qingting.Responsibility] {
	score := func(code qingting.Responsibility, p float64) qingting.Score[qingting.Responsibility] {
		return qingting.Score[qingting.Responsibility]{Code: code, Confidence: p}
	}
	if kind != qingting.KindComplaint {
		return score(qingting.ResponsibilityUnclear, unclearConfidence)
	}
	var admitted, explained, external, own bool
	for _, m := range doc.Messages {
		text := string(m.Clean)
		switch {
		case m.Partial():
		case m.Role == qingting.RoleAgent || m.Role == qingting.RoleBot:
			admitted = admitted || b.admitted.match(text)
			explained = explained || b.explained.match(text)
		case m.Role == qingting.RoleCustomer:
			external = external || b.external.match(text)
			own = own || b.own.match(text)
		}
	}
	switch {
	case admitted && !explained:
		return score(qingting.ResponsibilityCompany, admittedConfidence)
	case explained && !admitted:
		return score(qingting.ResponsibilityExternal, explainedLikely)
	case admitted && explained, own:
		return score(qingting.ResponsibilityUnclear, unclearConfidence)
	case external:
		return score(qingting.ResponsibilityExternal, externalLikely)
	case companyTypes[primary]:
		return score(qingting.ResponsibilityCompany, companyLikely)
	}
	return score(qingting.ResponsibilityUnclear, unclearConfidence)
}
