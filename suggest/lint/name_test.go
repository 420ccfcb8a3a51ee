package lint

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPersonalNames(t *testing.T) {
	l := linter(t)
	for text, want := range map[string]string{
		"您爸爸陈建国的卡我查到了": "陈建国", "张伟订的酒店已经取消": "张伟", "我查一下刘德发的宽带": "刘德发", "李娜的退款还在审核": "李娜", "您好，王丽女士": "王丽", "户主李秀英的燃气": "李秀英",
		"您的密码是abc123": "密码是abc123", "验证码445566不对": "验证码445566", "密码：qwe789": "密码：qwe789", "加您QQ12345678": "QQ12345678", "ＱＱ号：１２３４５６７": "ＱＱ号：１２３４５６７", "“张伟订的酒店”": "张伟",
	} {
		got := l.Check(text, Context{})
		require.True(t, has(got, RulePersonal), text)
		found := false
		for _, f := range got {
			found = found || f.Rule == RulePersonal && f.Quote == want
		}
		require.True(t, found, "%s: %+v", text, got)
	}
	for _, text := range []string{
		"高峰期的网络会慢一些", "方便的话请告诉我", "安全的做法是先断电", "金额的明细在账单里", "请不要把验证码告诉别人", "验证码5分钟内有效", "密码至少8位", "周末的快递也会派送", "王先生您好", "我是客服小李", "您的包裹在路上", "安装的师傅下午到", "平安的保单", "任何的问题都可以说",
		"高清的画面", "成功的订单", "QQ音乐的会员", "微信支付的退款", "华为的手机", "单独的账单", "查明的情况", "常用的地址", "康复的过程", "黄金的价格", "文明施工的通知", "张经理在跟进", "温馨提示", "毛巾的颜色", "余额在账户里", "苏宁的订单", "许多的用户", "石英的表", "司机的电话", "包子的味道", "您的客户经理在核对",
	} {
		require.False(t, has(l.Check(text, Context{}), RulePersonal), "%s %+v", text, l.Check(text, Context{}))
	}
}

func FuzzPersonal(f *testing.F) {
	for _, s := range []string{"", "张", "张伟", "我爸陈建国的", "密码是", "qq：1", "QQ密码密码是a1b2", "\xff王"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := []rune(s)
		last := 0
		for _, r := range Personal(text) {
			require.True(t, last <= r.Start && r.Start < r.End && r.End <= len(text))
			last = r.End
		}
	})
}
