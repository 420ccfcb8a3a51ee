package retrieval

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
)

// explain says in Chinese what speaks for a match and what differs. shared are
// the common words, the weightiest first.
func (q *question) explain(m *qingting.Match, shared []string) (why, differs []string) {
	c := &m.Case
	switch {
	case q.primary == "":
	case q.primary == c.Type || q.hasType(c.Type):
		why = append(why, "同一问题类型："+qingting.Label(string(c.Type)))
	default:
		differs = append(differs, fmt.Sprintf("问题类型不同：本次%s，案例%s", qingting.Label(string(q.primary)), qingting.Label(string(c.Type))))
	}
	if words := telling(shared); len(words) > 0 {
		why = append(why, "共同词："+strings.Join(words, "、"))
	}
	if q.vector != nil && m.Parts.Dense >= 0.5 {
		why = append(why, fmt.Sprintf("语义相近 %.2f", m.Parts.Dense))
	}
	if same, other := q.claimsAgainst(c.Remedy); same != "" {
		why = append(why, "诉求一致："+qingting.Label(string(same)))
	} else if other != "" {
		differs = append(differs, fmt.Sprintf("诉求不同：本次%s，案例以%s了结", qingting.Label(string(other)), qingting.Label(string(c.Remedy))))
	}
	if q.industry != "" && c.Industry != "" {
		if fold(c.Industry) == q.industry {
			why = append(why, "同一行业："+c.Industry)
		} else {
			differs = append(differs, fmt.Sprintf("行业不同：本次%s，案例%s", q.industry, c.Industry))
		}
	}
	if len(q.products) > 0 && c.Product != "" {
		product := fold(c.Product)
		if slices.ContainsFunc(q.products, func(p string) bool {
			p = fold(p)
			return strings.Contains(product, p) || strings.Contains(p, product)
		}) {
			why = append(why, "同一产品："+c.Product)
		} else {
			differs = append(differs, fmt.Sprintf("产品不同：本次%s，案例%s", q.products[0], c.Product))
		}
	}
	if q.style != "" && c.Style != "" && q.style != c.Style && q.style != qingting.StyleMixed && c.Style != qingting.StyleMixed {
		differs = append(differs, fmt.Sprintf("客户类型不同：本次%s，案例%s", qingting.Label(string(q.style)), qingting.Label(string(c.Style))))
	}
	if c.Reopened {
		differs = append(differs, "该案例办结后客户曾再次来访")
	}
	if why == nil {
		why = []string{}
	}
	if differs == nil {
		differs = []string{}
	}
	return why, differs
}

func (q *question) hasType(t qingting.Type) bool {
	return slices.ContainsFunc(q.types, func(s qingting.TypeScore) bool { return s.Code == t })
}

// telling returns at most four words that mean something to a reader: a
// single character rarely does.
func telling(shared []string) []string {
	var out []string
	for _, w := range shared {
		if utf8.RuneCountInString(w) >= 2 && len(out) < 4 {
			out = append(out, w)
		}
	}
	return out
}

// claimsAgainst returns the claim that the remedy of a case meets, or else
// the first claim when the case has a remedy at all.
func (q *question) claimsAgainst(r qingting.RemedyCode) (same, other qingting.ClaimCode) {
	if r == "" || len(q.claims) == 0 {
		return "", ""
	}
	for _, c := range q.claims {
		if slices.Contains(remediesFor(c.Code), r) {
			return c.Code, ""
		}
	}
	return "", q.claims[0].Code
}

// remediesFor returns the remedies that meet a claim.
func remediesFor(c qingting.ClaimCode) []qingting.RemedyCode {
	switch c {
	case qingting.ClaimRefund:
		return []qingting.RemedyCode{qingting.RemedyRefund}
	case qingting.ClaimExchange:
		return []qingting.RemedyCode{qingting.RemedyExchange}
	case qingting.ClaimResend:
		return []qingting.RemedyCode{qingting.RemedyResend}
	case qingting.ClaimFix:
		return []qingting.RemedyCode{qingting.RemedyRepair}
	case qingting.ClaimCompensate:
		return []qingting.RemedyCode{qingting.RemedyCompensate, qingting.RemedyCoupon}
	case qingting.ClaimApology:
		return []qingting.RemedyCode{qingting.RemedyApology}
	case qingting.ClaimExplain:
		return []qingting.RemedyCode{qingting.RemedyExplain}
	case qingting.ClaimExpedite:
		return []qingting.RemedyCode{qingting.RemedyExpedite}
	case qingting.ClaimCancel:
		return []qingting.RemedyCode{qingting.RemedyCancel}
	case qingting.ClaimCallback:
		return []qingting.RemedyCode{qingting.RemedyCallback}
	}
	return nil
}

// industryOf names the industry whose words occur most, "" when none leads.
// It serves to say what differs, never to filter.
func industryOf(terms []string) string {
	counts := map[string]int{}
	for _, t := range terms {
		if i := industryWord(t); i != "" {
			counts[i]++
		}
	}
	best, most := "", 0
	for name, n := range counts {
		switch {
		case n > most:
			best, most = name, n
		case n == most:
			best = "" // a tie; a later industry may still lead
		}
	}
	return best
}

// industryWord returns the industry a word belongs to, "" for most words.
func industryWord(w string) string {
	switch w {
	case "快递", "下单", "店铺", "卖家", "淘宝", "发货", "包邮", "网购", "旗舰店", "直播间", "预售", "物流", "包裹", "尺码":
		return "电商"
	case "宽带", "流量", "话费", "套餐", "手机卡", "电信", "移动", "联通", "携号转网", "信号", "光猫", "运营商", "5g", "4g", "月租":
		return "通信"
	case "银行", "信用卡", "贷款", "利息", "网点", "柜台", "理财", "转账", "atm", "储蓄卡", "银行卡", "征信", "年费", "逾期":
		return "银行"
	case "餐厅", "外卖", "骑手", "吃饭", "服务员", "菜品", "火锅", "奶茶", "餐具", "堂食", "饭店", "上菜", "蟑螂":
		return "餐饮"
	case "冰箱", "洗衣机", "空调", "电视", "热水器", "油烟机", "师傅", "上门", "安装", "保修", "压缩机", "电饭煲", "扫地机":
		return "家电"
	case "司机", "打车", "航班", "机票", "高铁", "地铁", "公交", "酒店", "网约车", "退票", "改签", "机场", "乘客", "单车", "租车":
		return "出行"
	case "社保", "窗口", "街道", "居委会", "政务", "户口", "公积金", "医保", "办事", "大厅", "物业", "小区", "城管", "施工":
		return "政务"
	}
	return ""
}
