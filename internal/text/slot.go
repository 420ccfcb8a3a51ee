package text

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	qingting "github.com/qingting-ai/qingting"
)

// Slots implements qingting.SlotFinder. Its zero value is ready.
type Slots struct{}

// FindSlots implements qingting.SlotFinder: personal data, then dates, sums of
// money and products in what is left. Values are normalised: digits only for
// numbers (a plate and an order number keep their letters, in capitals), sums
// with as few decimals as they need, dates as Date.Value says.
func (Slots) FindSlots(clean []rune, at time.Time) []qingting.SlotMatch {
	var out []qingting.SlotMatch
	var used taken
	add := func(kind qingting.SlotKind, value string, start, end int) {
		if !used.take(start, end, len(clean)) {
			return
		}
		out = append(out, qingting.SlotMatch{Kind: kind, Value: value, Start: start, End: end})
	}
	for _, p := range findPersonal(clean) {
		if p.kind == qingting.SlotOrderNumber && isChatAccount(p.value) {
			used.take(p.start, p.end, len(clean)) // masked as a number, but nobody's order
			continue
		}
		add(p.kind, p.value, p.start, p.end)
	}
	for _, d := range FindDates(clean, at) {
		add(qingting.SlotDate, d.Value, d.Start, d.End)
	}
	for _, a := range FindAmounts(clean) {
		add(qingting.SlotAmount, FormatNumber(a.Value), a.Start, a.End)
	}
	for _, p := range findProducts(clean) {
		add(qingting.SlotProduct, p.value, p.start, p.end)
	}
	slices.SortFunc(out, func(a, b qingting.SlotMatch) int { return cmp.Compare(a.Start, b.Start) })
	return out
}

// isChatAccount reports an account of a chat service that is written like an
// order number: QQ123456789.
func isChatAccount(v string) bool {
	digits := strings.TrimLeft(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	switch v[:len(v)-len(digits)] {
	case "QQ", "VX", "WX", "WEIXIN", "WECHAT":
		return len(digits) >= 5 && len(digits) <= 11 && strings.Trim(digits, "0123456789") == ""
	}
	return false
}

// findProducts finds what a customer has bought or uses: a product noun, with
// the brand and model before it where they stand there, or a brand with a
// model. A brand alone is a company, not a product.
func findProducts(s []rune) []personal {
	words, c := productWords(), classes()
	var out []personal
	for i := 0; i < len(s); i++ {
		if !c.is(s[i], classProduct|classBrand) {
			continue
		}
		start := i
		if isAlnum(s[i]) && i > 0 && isAlnum(s[i-1]) {
			continue
		}
		end := i
		brand := words.brands.match(s, i)
		named := false
		if brand > 0 {
			end += brand
			e := model(s, end)
			named = e > end
			end = e
			if words.lines.match(s, i) > 0 { // iPhone, 洗地机 of one maker: a product by itself
				named = true
			}
		}
		j := end
		if at(s, j) == ' ' {
			j++
		}
		noun := words.nouns.match(s, j)
		if noun > 0 && brand == 0 && isNumberLabel(s, j, noun) {
			i = j + noun - 1
			continue
		}
		if noun > 0 && !words.not.at(s, j) {
			end = j + noun
		} else if !named {
			continue
		}
		out = append(out, personal{kind: qingting.SlotProduct, start: start, end: end, value: strings.TrimSpace(string(s[start:end]))})
		i = end - 1
	}
	return out
}

// isNumberLabel reports that the noun at i only says what the number behind it
// is: 手机13800138000, 手机：138 0013 8000. Models of phones are shorter.
func isNumberLabel(s []rune, i, n int) bool {
	switch string(s[i : i+n]) {
	case "手机", "固话", "银行卡", "信用卡", "储蓄卡":
	default:
		return false
	}
	digits := 0
	for _, r := range s[i+n:] {
		switch {
		case isDigit(r):
			digits++
		case digits == 0 && oneOf(r, ":：是为") || r == ' ' || r == '-':
		default:
			return digits >= 7
		}
	}
	return digits >= 7
}

// model reads a model after a brand: P60 Pro, 15Pro Max, 14.
func model(s []rune, i int) int {
	end := i
	for range 3 {
		j := end
		if at(s, j) == ' ' || at(s, j) == '-' {
			j++
		}
		k := j
		for k < len(s) && k-j < 12 && (isAlnum(s[k]) || s[k] == '+') {
			k++
		}
		if k == j || isAlnum(at(s, k)) || oneOf(at(s, k), "元块年月日号个台件次天折点:%.") {
			break
		}
		end = k
	}
	return end
}

// wordList finds the longest word of a list by its first character.
type wordList struct {
	first map[rune][][]rune
	brand bool // for the class of its first characters
}

func newWordList(words string) wordList {
	l := wordList{first: make(map[rune][][]rune)}
	for _, w := range strings.Fields(words) {
		r := []rune(w)
		for i := range r {
			r[i] = lowerRune(r[i])
		}
		l.first[r[0]] = append(l.first[r[0]], r)
	}
	for _, list := range l.first {
		slices.SortFunc(list, func(a, b []rune) int { return len(b) - len(a) })
	}
	return l
}

func lowerRune(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// match returns the length of the longest word at i, or 0. Latin letters match
// in any case.
func (l wordList) match(s []rune, i int) int {
	if i >= len(s) {
		return 0
	}
next:
	for _, w := range l.first[lowerRune(s[i])] {
		if len(s)-i < len(w) {
			continue
		}
		for k, r := range w {
			if lowerRune(s[i+k]) != r {
				continue next
			}
		}
		return len(w)
	}
	return 0
}

func (l wordList) at(s []rune, i int) bool { return l.match(s, i) > 0 }

type products struct {
	nouns, brands, lines, not wordList
}

// productWords is built on the first use and never changes.
var productWords = sync.OnceValue(func() products {
	p := products{
		nouns: newWordList(`手机 智能手机 老人机 电话手表 手机壳 手机膜 钢化膜 充电器 充电线 数据线 充电宝 移动电源 耳机 蓝牙耳机 无线耳机 音箱 智能音箱 手表 智能手表 手环 平板 平板电脑 电脑 笔记本 笔记本电脑 台式机 显示器 显卡 主板 内存条 固态硬盘 移动硬盘 硬盘 U盘 键盘 鼠标 打印机 墨盒 硒鼓 投影仪 路由器 光猫 机顶盒 摄像头 监控 相机 照相机 镜头 无人机 游戏机 手柄 电池
			电视 电视机 冰箱 洗衣机 空调 热水器 燃气热水器 电热水器 油烟机 抽油烟机 燃气灶 洗碗机 消毒柜 微波炉 烤箱 电饭煲 电饭锅 电压力锅 电磁炉 豆浆机 破壁机 榨汁机 料理机 空气炸锅 养生壶 电水壶 热水壶 饮水机 净水器 净水机 滤芯 吸尘器 扫地机 扫地机器人 洗地机 拖把 吹风机 电吹风 剃须刀 电动牙刷 电风扇 风扇 取暖器 加湿器 除湿机 空气净化器 按摩椅 按摩仪 电热毯 挂烫机 熨斗 智能锁 门锁 马桶 智能马桶 花洒 水龙头 浴霸 灯具 台灯 吸顶灯
			沙发 床垫 床 衣柜 书桌 椅子 电脑椅 餐桌 茶几 窗帘 地板 瓷砖 橱柜 行李箱 拉杆箱 保温杯 水杯 被子 枕头 四件套 毛巾 雨伞 轮胎 行车记录仪 电动车 电瓶车 自行车 汽车 新能源车 头盔 婴儿车 安全座椅 玩具 积木
			衣服 上衣 外套 羽绒服 大衣 毛衣 卫衣 T恤 衬衫 裤子 牛仔裤 裙子 连衣裙 内衣 内裤 袜子 鞋 鞋子 运动鞋 跑鞋 皮鞋 靴子 凉鞋 拖鞋 包包 背包 书包 帽子 围巾 手套 皮带 眼镜 墨镜 项链 戒指 手镯 耳环 首饰 金条
			面膜 口红 粉底 粉底液 精华 面霜 乳液 洗面奶 防晒霜 防晒 眼霜 爽肤水 卸妆水 气垫 眉笔 香水 洗发水 沐浴露 护发素 牙膏 洗衣液 纸巾 卫生纸 卫生巾 尿不湿 纸尿裤 奶瓶 奶粉 辅食 保健品 药品 药 口罩 隐形眼镜
			外卖 套餐 蛋糕 奶茶 咖啡 牛奶 酸奶 零食 水果 蔬菜 牛肉 猪肉 海鲜 大闸蟹 火锅 烧烤 披萨 汉堡 炸鸡 面包 月饼 茶叶 白酒 红酒 啤酒 饮料 矿泉水 大米 食用油 坚果 狗粮 猫粮
			宽带 宽频 光纤 流量 流量包 流量卡 话费 手机卡 电话卡 号卡 副卡 SIM卡 固话 彩铃 宽带套餐 手机套餐 国际漫游 增值业务 携号转网
			信用卡 借记卡 储蓄卡 银行卡 贷款 房贷 车贷 网贷 消费贷 花呗 借呗 白条 理财 理财产品 基金 保险 车险 医疗险 重疾险 运费险 退货运费险 存款 定期存款 网银 手机银行 POS机 ETC
			会员 年卡 月卡 健身卡 优惠券 代金券 礼品卡 购物卡 加油卡 充值卡 门票 电影票 演唱会门票 机票 火车票 高铁票 车票 酒店 民宿 房间 旅游 旅游团 签证 网约车 快车 顺风车 出租车 共享单车 租车 快递 包裹 课程 网课 培训班 驾校 健身房 美容院 物业费 物业 电梯 停车位 车位 暖气 供暖 水费 电费 燃气费 燃气 自来水 公交车 公交 地铁 社保 医保 公积金 社保卡 医保卡 居住证 驾照 营业执照`),
		brands: newWordList(`华为 荣耀 小米 红米 苹果 三星 一加 真我 魅族 努比亚 中兴 联想 戴尔 惠普 华硕 宏碁 索尼 佳能 尼康 大疆 任天堂 微软 罗技 海尔 美的 格力 海信 创维 长虹 康佳 西门子 博世 松下 夏普 东芝 飞利浦 老板 方太 九阳 苏泊尔 小天鹅 奥克斯 志高 石头 科沃斯 追觅 添可 戴森 云米 米家 小度 天猫精灵 安踏 李宁 特步 耐克 阿迪达斯 优衣库 海澜之家 雅诗兰黛 兰蔻 欧莱雅 完美日记 花西子 特斯拉 比亚迪 蔚来 理想 小鹏 雅迪 爱玛 移动 联通 电信 广电 建行 工行 农行 招行 中行 交行 浦发 中信 平安 民生 光大
			OPPO vivo realme Redmi iQOO HUAWEI Xiaomi Apple iPhone iPad Macbook iMac AirPods Samsung ThinkPad Thinkbook Kindle Switch PS5 PS4 Xbox GoPro Beats Bose JBL Sony Dell Lenovo Nike Adidas TCL SKII`),
		lines: newWordList(`iPhone iPad Macbook iMac AirPods Kindle PS5 PS4 Xbox GoPro Switch 天猫精灵`),
		// Words that only begin like a product.
		not: newWordList(`手机号 手机尾号 药店 床上用品店 包裹着 包包子 酒店员 手表示 流量大 会员工 保险起见 保险一点 防晒伤 旅游局 物业公司 物业经理 房间隔 精华帖 床前 床位 监控室 快递员 快递小哥 快递公司 快递费 快递单 快递站 快递柜 外卖员 外卖小哥 外卖平台 网约车司机 出租车司机 公交站 地铁站 酒店前台 基金会 保险公司 药监`),
	}
	p.brands.brand = true
	return p
})
