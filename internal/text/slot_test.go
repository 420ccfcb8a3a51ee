package text

import (
	"strings"
	"testing"
	"time"

	qingting "github.com/qingting-ai/qingting"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestFindSlots(t *testing.T) {
	c := newTestCleaner(t)
	for _, tc := range []struct {
		text string
		want []string // kind, quote, value …
	}{
		{"", nil},
		{"态度太差了", nil},
		{"昨天买的华为P60 Pro手机花了４９９９元，今天就坏了", []string{"date", "昨天", "2026-11-19", "product", "华为P60 Pro手机", "华为P60 Pro手机", "amount", "4999元", "4999", "date", "今天", "2026-11-20"}},
		{"iPhone 15屏幕碎了", []string{"product", "iPhone 15", "iPhone 15"}},
		{"IPHONE15ProMax黑屏", []string{"product", "IPHONE15ProMax", "IPHONE15ProMax"}},
		{"三星的售后真差", nil},
		{"宽带断了三天，光猫也坏了", []string{"product", "宽带", "宽带", "product", "光猫", "光猫"}},
		{"办了张建行信用卡，年费十五块八", []string{"product", "建行信用卡", "建行信用卡", "amount", "十五块八", "15.8"}},
		{"外卖小哥态度差", nil},
		{"空气净化器滤芯88", []string{"product", "空气净化器", "空气净化器", "product", "滤芯", "滤芯"}},
		{"訂單號2026112012345678，電話138-0013-8000", []string{"order_number", "2026112012345678", "2026112012345678", "phone", "138-0013-8000", "13800138000"}},
		{"订单sf1234567890123没到", []string{"order_number", "sf1234567890123", "SF1234567890123"}},
		{"我叫王小明，身份证11010519491231002x", []string{"name", "王小明", "王小明", "id_card", "11010519491231002x", "11010519491231002X"}},
		{"退到卡号6222 0212 3456 7890 123", []string{"bank_card", "6222 0212 3456 7890 123", "6222021234567890123"}},
		{"车牌粤b·d12345，邮箱Zhang@Example.com", []string{"plate", "粤b·d12345", "粤BD12345", "email", "Zhang@Example.com", "zhang@example.com"}},
		{"寄到浙江省杭州市西湖区文三路12号，下周三前", []string{"address", "浙江省杭州市西湖区文三路12号", "浙江省杭州市西湖区文三路12号", "date", "下周三", "2026-11-25"}},
		{"退我壹佰贰拾元", []string{"amount", "壹佰贰拾元", "120"}},
		{"打了10086和12315", nil},
		{"手机号13800138000一直没人联系", []string{"phone", "13800138000", "13800138000"}},
		{"手机號碼：138-0013-8000", []string{"phone", "138-0013-8000", "13800138000"}},
		{"我手机13800138000", []string{"phone", "13800138000", "13800138000"}},
		{"华为手机坏了，手机尾号8000", []string{"product", "华为手机", "华为手机"}},
		{"手机2000块买的", []string{"product", "手机", "手机", "amount", "2000块", "2000"}},
		{"家里寬頻断了，宽频师傅不来", []string{"product", "宽频", "宽频", "product", "宽频", "宽频"}},
		{"加我QQ123456789，或者vx13800138", nil},
		{"订单QA123456789没到", []string{"order_number", "QA123456789", "QA123456789"}},
		{"七天无理由，五星好评，一块去，流量500M", []string{"product", "流量", "流量"}},
	} {
		clean, _, _ := c.Clean(tc.text)
		var got []string
		for _, m := range (Slots{}).FindSlots(clean, friday()) {
			got = append(got, string(m.Kind), string(clean[m.Start:m.End]), m.Value)
		}
		require.Equal(t, tc.want, got, "%s", tc.text)
	}
}

// checkFinders holds what every finder promises: places in bounds, in order,
// without overlap, and no panic.
func checkFinders(t require.TestingT, s []rune) {
	for _, moment := range []time.Time{{}, friday()} {
		last := 0
		for _, m := range (Slots{}).FindSlots(s, moment) {
			require.LessOrEqual(t, last, m.Start, "%q", string(s))
			require.Less(t, m.Start, m.End, "%q", string(s))
			require.LessOrEqual(t, m.End, len(s), "%q", string(s))
			require.NotEmpty(t, m.Value, "%q", string(s))
			last = m.End
		}
		last = 0
		for _, d := range FindDates(s, moment) {
			require.True(t, last <= d.Start && d.Start < d.End && d.End <= len(s), "%q", string(s))
			last = d.End
		}
	}
	last := 0
	for _, a := range FindAmounts(s) {
		require.True(t, last <= a.Start && a.Start < a.End && a.End <= len(s), "%q", string(s))
		require.GreaterOrEqual(t, a.Value, 0.0)
		last = a.End
	}
	wholeNumber(string(s))
}

var slotPieces = []string{
	"1", "2", "一", "十", "百", "千", "万", "亿", "零", "半", "点", "元", "块", "毛", "角", "分", "多", "钱", "¥", "RMB", "k", ".", ",", "-", "/", ":", "年", "月", "日", "号", "天", "前", "后", "上", "下", "周", "三", "个", "昨天", "今晚", "双", "2026", "11", "20", "小时", "内", "工作日",
	"扣", "退", "手机", "华为", "P60", "iPhone", " ", "，", "百分之", "几", "路", "栋", "室", "李", "先生", "我叫", "@", "京A", "月底", "去年", "国庆", "下午",
}

func TestFindersProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkFinders(t, []rune(strings.Join(rapid.SliceOfN(rapid.SampledFrom(slotPieces), 0, 24).Draw(t, "parts"), "")))
	})
	rapid.Check(t, func(t *rapid.T) { checkFinders(t, []rune(rapid.String().Draw(t, "text"))) })
}

func FuzzFinders(f *testing.F) {
	for _, s := range []string{"", "三千二百块", "1万2", "2026-11-20 15:30", "上周三下午三点半", "十五块八毛五", "百分之百分之三", "¥", "半", "12:5", "扣了我300多", "11.20买", "浙江省杭州市西湖区文三路12号3栋", "iPhone 15 Pro"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkFinders(t, []rune(s)) })
}

var _ qingting.SlotFinder = Slots{}
