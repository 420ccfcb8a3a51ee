package promise

import (
	"strings"

	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/pattern"
)

// class is what a word does in a clause.
type class uint8

// The classes. Words of class none are there so that a shorter word inside of
// them is not read: 机会 has no 会, 联系方式 is no contact.
const (
	none      class = iota
	verb            // what is done for the customer; its code says which remedy it is
	future          // 会, 将
	vague           // 尽快, 马上: a promise when it is said of us
	estimate        // 预计, 最晚: announces a time
	offer           // 帮您, 给您
	toward          // 与您, 向您: what follows is directed at the customer
	we              // 我, 我们, 小妹
	owner           // 技术部, 师傅, 快递
	you             // 您 alone
	direct          // 请您, 建议: the customer is to act
	negated         // 不会, 无法
	condition       // 如果, 的话
	general         // 一般, 以便: how things are or should be, not what will be done
	past            // 已, 正在
	asked           // 是否, 需要我: a question
	told            // 您说, 之前说: somebody's words
	able            // 可以帮您: what can be done, a promise only with a time
	consent         // 可以吗: asks whether the customer agrees
)

// verbs are what customers wait for, by remedy. The order of the codes does not
// matter; which of several verbs of a clause counts is decided in choose.
var verbs = []struct {
	code  qingting.RemedyCode
	words string
}{
	{qingting.RemedyRefund, "退款 退还 退回 退钱 退费 退给您 退您 退给你 返还 返现 返给您 原路返回 原路退 到账 到帐 打款 打给您卡 退差价 退到您 退到卡 退掉 退换 退货 全额退 退押金 退 退至"},
	{qingting.RemedyCompensate, "赔偿 赔付 补偿 赔您 赔给您 补给您 补您 理赔 赔款 赔钱 补差价 差价 赔"},
	{qingting.RemedyCoupon, "优惠券 优惠卷 代金券 抵用券 抵扣券 现金券 红包 礼券 购物券 京豆 积分 流量券 券"},
	{qingting.RemedyExchange, "换货 换新 更换 换一个 换一台 换一件 换个新 换台新 换件新 调换 换好的 换一双 换一部"},
	{qingting.RemedyResend, "补发 重发 重新发 重寄 补寄 再发一 再寄一 重新寄 重新配送 补送 再发您"},
	{qingting.RemedyRepair, "上门 维修 检修 修好 修复 修理 抢修 恢复 来修 去修 装好 安装"},
	{qingting.RemedyCallback, "回电 回电话 回个电话 打电话 回拨 联系您 联系你 联系亲 联络您 联络你 回复 答复 回访 回话 通知您 通知你 通知到您 告知您 告知你 告诉您 告诉你 反馈您 反馈给您 反馈结果 致电您 致电给您 致电 打给您 打给你 外呼 去电 短信您 给到您 私信您 来电 同步给您 同步您 知会您 发短信 短信告知 短信通知 电话通知 电话告知 回您 回你"},
	{qingting.RemedyCancel, "取消 注销 退订 关闭 关停 停掉 销户 解约 解绑 作废 停机"},
	{qingting.RemedyExplain, "解释 说明原因 说明情况 给您个说法 给您说法 给您一个说法 给您交代 给您一个交代 给出说法 解答"},
	{qingting.RemedyApology, "道歉 赔礼"},
	{qingting.RemedyTransfer, "转交 移交 转接 转派 转给 升级处理 升级给 升级到专员 升级专员处理 升级上去 转到专"},
	{qingting.RemedyExpedite, "处理 解决 跟进 催促 催一下 催催 催下 催 加急 核实 核查 查证 排查 调查 查明 查清 安排 协调 争取 申请 反馈 上报 审核 发货 发出 寄出 送达 送到 配送 派送 派件 派人 开具 开通 办理 办好 弄好 出结果 有结果 给结果 到货 落实 整改 查办 处罚 完成 更正 改好 寄给您 发给您 下发 送货 配货 补货 拦截"},
}

// contact are verbs that mean the customer only when they are directed at
// them; else they are what is done for them.
const contact = "联系 沟通 通知 告知 告诉 反馈 联络 电话联系 取得联系 说明 同步"

// offered are the verbs that make a promise of an offer without any other
// sign, 我帮您催一下; 我帮您查一下 is done while one waits.
const offered = "退款 退还 退回 退 退钱 退费 退差价 返还 返现 全额退 退押金 赔偿 赔付 补偿 赔 补差价 差价 理赔 优惠券 优惠卷 代金券 抵用券 抵扣券 现金券 红包 礼券 购物券 京豆 积分 流量券 券 换货 换新 更换 换一个 换一台 换一件 换个新 换台新 换件新 调换 换好的 换一双 换一部 补发 重发 重新发 重寄 补寄 再发一 再寄一 重新寄 重新配送 补送 维修 取消 退订 关闭 注销 加急 催 催促 催一下 催下 催催 跟进 协调 争取 申请 反馈 上报 处理 安排 转交 转接 转给 升级处理 解决 回电 回电话 回个电话 回拨 答复 退到卡"

var lists = []struct {
	class class
	words string
}{
	{none, `机会 社会 误会 会员 会议 会话 会计 体会 学会 工会 协会 理会 领会 约会 会场 会展 聚会 大会 开会 一会 一会儿 会儿 只会 总会 还会 也会 即会 会导致 会出现 会影响 会造成 会显示 会提示 会产生 会议室 会签
		将来 将近 将就 将您的 将您 将此 将这 将该 将其 将问题 将情况 将手机 将信息
		退款问题 退款申请 退款进度 退款时间 退款方式 退款流程 退款金额 退款情况 退款成功 退款到账时间 退款单 退款账户 退款服务 退款规则 退款政策 退换货 退换 退货运费 退货地址 退货单 退货流程 退货申请 退货包 退回来 退出 退后 退休 辞退 退货商品 退货问题 退票 退换服务
		处理结果 处理中 处理方案 处理进度 处理情况 处理意见 处理完毕 处理时间 处理时效 处理器 处理单 处理流程 处理方式 在处理 受理 解决方案 解决办法 解决方法 解决问题的 跟进中 核实中 核查中 核实处理中 审核中 审核时间 审核时效 审核结果 审核通过 审核周期 核实情况 核实结果 调查结果 催促中 安排中 加急中 申请中 反馈中 配送中 派送中 维修中 退款中 回复中
		联系方式 联系电话 联系人 联系地址 联系不上 联系不到 联系我 联系我们 联系客服 联系在线 联系当地 联系官方 联系过 联系到我 通知单 通知书 通知栏 通知中心 到货通知 回复内容 回复我 回复小编 告知我 告诉我 告知小 告诉小 提供给 反馈表 反馈单 反馈给我 反馈问题 您的反馈 感谢您的反馈 感谢反馈 反馈过 反馈的问题 您反馈 用户反馈 解答完
		维修点 维修网点 维修中心 维修站 维修费 维修费用 维修服务 维修单 检修中 安装包 安装费 安装时间 安装程序 安装软件 安装的 安装应用 下载安装 卸载安装 安装后 重新安装 安装位置 恢复出厂 恢复设置 上门费 上门时间 送货上门 送货上门费 关闭后 请关闭 取消收藏 取消订单后 取消后 取消的 积分商城 红包雨 券后 优惠券的 用券
		申请单 申请人 申请表 申请的 您申请 配送费 配送员在 派送员 快递单号 快递费 快递单 快递公司名 物流单号 物流信息 物流费 发货时间 发货地 发货通知 发货速度 配送时间 配送范围 配送地址 办理人 办理地 办理业务 办理的 办理过 开通的 开通过 开通了
		完成后 完成之后 完成的 未完成 已完成 订单完成 到货后 到货时间 到货了
		差价是 补偿的 补偿方案 赔付标准 升级到 系统升级 升级系统 版本升级 升级版 升级包 更新 系统更新
		不好意思 不便 不周 不满 不满意 不愉快 不用担心 不要担心 不要着急 不用着急 别担心 别着急 您别急 不必担心 不适 不足 不断 不少 不仅 不但 不过 不错 不客气 不管 不论 不太好 没关系 没问题 没事 没事的
		请放心 请您放心 请稍等 请您稍等 请稍候 请您稍候 请耐心 请您耐心 请谅解 请您谅解 请见谅 请您见谅 请理解 请您理解 请留意 请您留意 敬请留意 敬请谅解 请注意 请您注意 请保持 请您保持 请您等待 请等待 敬请等待 请关注 请您关注 敬请关注 还请您稍 还请您耐心 还请您放心 还请稍 还请放心 还请耐心 还请您留意 还请留意 还请您保持 还请保持 还请谅解 还请您谅解 还请您等 请亲放心 请您不要 请不要 请您别 请别 请您相信 请相信 请您理解 麻烦您等 麻烦您稍等 麻烦您耐心 麻烦稍等 麻烦您了 您放心 您稍等 您耐心 您保持 您留意 您注意 辛苦您等 辛苦您稍 辛苦您耐心 辛苦您了
		如有结果 如有进展 如有消息 如有更新 如有处理结果 如有最新 如有答复 如有回复 一旦有结果 一旦有进展 一旦有消息 例如 比如 如下 如此 如今 如何处理 如上
		这边请 我司 我的 您的 你的 我们的 亲的 刚好 刚需 已婚 您好 你好 您们好 一般性 向您道歉 向您致歉 给您道歉 跟您道歉 为您服务 给您造成 给您带来 给您添 为您带来 让您 使您 对您 请问下
		一定程度 一定时 一定的 马上要 及时性 没有及时 再次 优先级 转给我 赔个不是 赔不是 和我们联系 与我们联系 跟我们联系 和我联系 与我联系 跟我联系 向我们反馈 给我们反馈 有结果后 有结果了 有结果的
		正常到账 快递小哥说 师傅们 主管部门 经理级 系统设置 系统存储 系统原因 仓库里 银行卡 银行账户 客服微博 客服电话 客服热线 售后服务 售后政策 售后单 售后网点 售后点 售后申请 售后检测 商家的 物流显示 物流停`},
	{future, "会 将 将会 都会"},
	{vague, "尽快 马上 立即 立刻 稍后 稍候 第一时间 抓紧 尽早 及时 晚点 晚些 晚一点 回头 优先 加紧 随后 这就 现在就 一定 务必 负责 继续 持续 全力 后续 尽量 很快"},
	{estimate, "预计 预期 最晚 最迟 最快 保证 承诺您 承诺 答应您 大概 大约 估计 限时 计划 说好"},
	{offer, "帮您 给您 为您 替您 帮你 给你 为你 替你 帮亲 给亲 为亲 为您的 给您的 帮您的 把您的 现在给您 现在为您 现在帮您 这就给您 这就帮您"},
	{toward, "与您 和您 跟您 向您 同您 与你 和你 跟你 向你"},
	{we, "我 我们 咱们 咱 这边 这里 我方 我司会 本店 小妹 妹子 妹纸 小编 小沃 小二 小客服 本人 本客服 我这边 我们这边 我这里 我们这里 咱们这边"},
	{owner, `处理专员 处理人员 处理部门 审核部 审核组 技术部 技术部门 技术人员 技术团队 技术同事 技术员 技术 工程师 维修师傅 安装师傅 维修人员 维修部 师傅 专员 客服专员 升级专员 售后专员 处理专人 专人 主管 值班主管 经理 大堂经理 客户经理 店长 组长 领导 负责人 财务 财务部 财务部门 仓库 库房 仓储 快递 快递员 快递公司 快递小哥 配送员 骑手 物流 物流公司 站点 网点 售后 售后人员 售后部门 售后团队 工作人员 相关人员 相关部门 有关部门 相关同事 相关工作人员 运营商 商家 卖家 厂家 厂商 供应商 品牌方 平台 酒店 银行 系统 客服 客服人员 同事 门店 团队 后台 分公司 营业厅 客户关怀部 投诉组 投诉专员 理赔部 理赔专员 网络部 维护人员 装维师傅 装维 业务部 业务部门 业务组 司机 物业 保险公司 采购 审核人员 审核部门 专家 质检`},
	{you, "您 你 亲亲 客户"},
	{direct, `请您 请 麻烦您 麻烦 烦请 建议 建议您 您可以 您可 您需要 您需 您先 您再 您试 您尝试 敬请 辛苦您 还请 还请您 劳驾 记得 您也可以 您自行 您尽快 您及时 您直接 需要您 您联系 您去 您到 您把 您要 您得 您应 您能 您务必 你可以 你需要 你先 你再 烦您 劳烦 需您 可自行 可以自行 您方便 方便您 您有空 需要提供 您提供 您稍后再 您明天再 您晚点 您这边可以 亲可以`},
	{negated, `不会 不能 无法 没法 没办法 没有办法 不可以 不支持 不予 不给 不再 未能 还未 尚未 暂未 没有 没 不用 无需 不需要 不必 不用再 不是 并非 不行 不可 未 暂时无法 暂不 不符合 不建议 不方便 不属于 不太可能 不可能 无须 别 不`},
	{condition, `如果 若 若是 若您 假如 要是 倘若 万一 除非 只有 只要 的话 如您 如需 如有需要 如有问题 如有疑问 如有任何 如仍 如还 如不 如遇 如 一旦 假设 哪怕 凡是 的时候 后才能 才能 才可以 视情况 才会 之后才`},
	{general, `一般 一般是 通常 通常是 正常 正常情况 正常情况下 正常是 原则上 按规定 规定 平时 往往 均会 都是 时效 每天 每月 每次 每周 每年 历来 届时 默认 自动为 根据规定 政策 按照规定 活动 以便 便于 方便 以确保 为了 有助于 有利于 希望 想要 愿意 很乐意 乐意`},
	{able, "可以帮您 可以给您 可以为您 可帮您 可给您 可为您 可以帮你 可以给你 可以为你 能帮您 能给您 能为您 可以办理 可以申请"},
	{past, "已 已经 已为您 刚 刚刚 刚才 正在 正为 正给 正帮 昨天 前天 之前 以前 当时 上次 曾 曾经 早已 都已 在为您 在给您 在帮您 方才 上午已 正加急"},
	{asked, `是否 能否 可否 会不会 要不要 需不需要 需要我 需要帮 要我帮 能不能 可不可以 什么 怎么 为何 为什么 哪 谁 有没有 是不是 请问 多少 几点 是想 您是要 您是想 需要小 咨询 想问`},
	{told, `您说 您提到 您希望 您要求 您想 您担心 您认为 您以为 您期望 客户说 客户要求 之前说 上次说 当时说 之前答应 之前承诺 答应过 承诺过 承诺的 答应的 商家说 快递说 师傅说 对方说 客服说 同事说 说过 据说 听说 他说 她说 他们说 告诉过 说的是 您的意思 您需求 您的要求 要求的是`},
	{consent, `可以吗 可以么 可以嘛 好吗 好么 行吗 行么 好不好 行不行 可以不 您看行吗 您看可以吗 您看可以么 您看好吗 好嘛 您看呢 是否可以 您看这样可以吗 您看这样行吗`},
}

// word is what the scanner knows of a word.
type word struct {
	class   class
	code    qingting.RemedyCode
	contact bool // a verb that has to be directed at the customer
	offered bool // a verb that an offer makes a promise
}

// lexicon holds the words of all tables.
type lexicon struct {
	trie  *pattern.Words
	words []word // by number
}

func newLexicon() lexicon {
	l := lexicon{trie: pattern.NewWords()}
	put := func(s string, w word) {
		if n := l.trie.Add([]rune(s)); n < len(l.words) {
			l.words[n] = w
		} else {
			l.words = append(l.words, w)
		}
	}
	for _, v := range verbs {
		for _, s := range strings.Fields(v.words) {
			put(s, word{class: verb, code: v.code})
		}
	}
	for _, s := range strings.Fields(contact) {
		put(s, word{class: verb, code: qingting.RemedyCallback, contact: true})
	}
	for _, list := range lists {
		for _, s := range strings.Fields(list.words) {
			put(s, word{class: list.class})
		}
	}
	for _, s := range strings.Fields(offered) {
		l.words[l.trie.Add([]rune(s))].offered = true
	}
	return l
}

// token is a word of a text.
type token struct {
	word
	start, end int
}

// scan appends the words of a text from left to right, the longest at each
// place.
func (l *lexicon) scan(text []rune, out []token) []token {
	for i := 0; i < len(text); {
		node, best, end := pattern.Root, -1, i
		for k := i; k < len(text); k++ {
			if node = l.trie.Step(node, text[k]); node < 0 {
				break
			}
			if w := l.trie.At(node); w >= 0 {
				best, end = w, k+1
			}
		}
		if best < 0 {
			i++
			continue
		}
		out = append(out, token{l.words[best], i, end})
		i = end
	}
	return out
}
