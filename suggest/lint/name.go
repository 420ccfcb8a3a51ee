package lint

import (
	"slices"
	"strings"
)

// Range is a half-open range of code points of a text.
type Range struct{ Start, End int }

// Names of people and secrets have no shape that gives them away, as numbers
// do. A name is believed where a surname and characters that people are named
// with stand beside a word that people stand beside; a secret where the word
// for it is followed by letters or digits. Both lists are of what is common,
// so that a rare name is missed rather than every other noun reported.
const (
	surnames = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文庞樊兰殷施陶洪翟安颜倪严牛温芦季俞章鲁葛伍韦申尤毕聂丛焦向柳邢骆岳齐梅莫庄辛管祝左涂谷祁时舒耿牟卜路詹关苗凌费纪靳盛童欧甄项曲成游阳裴席卫查屈鲍位覃霍翁隋植甘景薄单包司柏宁柯阮桂闵解强柴华车冉房边"
	given    = "伟娜芳敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建国德志文斌波辉鹏飞宇浩博轩昊晨雨欣怡婷雪琴琳莉萍玲燕梅春凤荣珍珠慧颖倩丹晶佳嘉琪梦瑶诗涵子梓俊豪凯旭鑫帅龙虎彬峰岭松柏林森海江河雷震宁康健福贵祥瑞祺泽润恒永庆昌盛兴旺富财忠义仁礼智信诚良善美淑贤惠芬芝莲菊香蓉蕾薇娇媛妍姝娥婉钰钧铭锐锋钢铁柱栋梁威武毅坚卫东向阳振威学思远达亮光耀辰星宏伦晓小大爱霖然恩一可欢乐亚云月冰清雅洁馨韵茜蓓薪尧舜禹树根生发财喜顺成才宝悦凡思若依彦楠菲妮薪岚翠媚绍启承泉炜烨煜奕弘逸尧昕曦莹滢芷茹蕊冉嫣彤璐璇瑾琼瑜焕炳焱勋勤俭"
)

// common are words that begin as a name would.
var common = []string{
	"高明", "高峰", "高清", "高雅", "高兴", "高达", "高大", "高铁", "高温", "高考", "高中", "高血", "高烧", "高速", "高空", "高层", "白天", "白血", "白云", "白玉", "白色", "安静", "安宁", "安康", "安阳", "安全", "安装", "安信", "安东", "安卓", "安排", "宁波", "苏宁", "沈阳", "石英", "金海", "金银", "金龙", "金牌", "金色", "金额", "文明", "文艺", "文化",
	"平安", "成功", "成才", "成都", "成人", "成本", "成绩", "成交", "康复", "温馨", "温和", "温度", "温州", "江海", "江苏", "汪洋", "林业", "龙华", "龙江", "华东", "华为", "华润", "华丽", "武汉", "江山", "乐清", "方便", "方法", "方向", "方案", "方达", "方可", "万一", "万达", "万科", "于是", "任何", "任务", "任一", "时间", "时候", "常用", "常常", "何时", "何况", "周末", "周期", "周一", "周年", "周六", "周日", "马上", "马路", "许多", "许可", "单一", "单独", "单号", "关于", "关机", "关键", "关系", "经常", "严重", "严厉",
	"查清", "查明", "查一", "查可", "包子", "包装", "包裹", "包月", "包括", "车子", "车库", "车票", "管子", "房子", "房间", "房东", "盛大", "易信", "向东", "向阳", "游乐", "路东", "解可", "关卫", "费大", "边上", "边远", "毛病", "毛小", "钱可", "钱一", "钱大", "时小", "成长", "单子", "单发", "席子", "管大", "位大", "强大", "强化", "强制", "明细", "阳光", "阳台", "夏天", "项目", "左右", "程序", "顾客", "牛奶", "田园", "水果", "花费", "童装", "司机", "解决", "谢谢", "马达", "桂林", "海信", "雷达", "黄金", "黄河", "兰花", "田地", "石子", "石头", "梅花", "桂花", "焦急", "范围", "章程", "段子", "毕业", "段一", "向您", "何方", "于一", "余可", "何一", "余生", "文可", "查小", "边可", "常可", "申可", "成一", "白小", "包小",
}

// beside are words right before a name.
var (
	kin      = []string{"爸", "妈", "父亲", "母亲", "老公", "老婆", "妻子", "丈夫", "儿子", "女儿", "奶奶", "爷爷", "外婆", "外公", "哥", "姐", "弟", "妹", "叔", "舅", "姨", "朋友", "同事", "同学", "室友", "户主", "机主", "收件人", "寄件人", "联系人", "乘客", "姓名", "姓名是", "户名", "户名是", "名字是", "名字", "本人", "我叫", "名叫", "叫做", "叫"}
	beside   = []string{"查下", "查一下", "查", "帮", "帮忙给", "给", "替", "是", "和", "跟", "我是", "员", "客服", "医生", "老师", "师傅", "经理", "司机", "用户", "客户", "为", "让", "找", "，", "。", "“", "！", "？", ",", ":", "：", "；", " ", "\n", "(", "（", "、", "“"}
	follows  = []string{"的", "订", "买", "办", "下单", "被", "收", "查", "点的", "申请", "预", "反映", "先生", "女士", "小姐", "名下", "这个", "本人", "同学", "师傅", "经理", "医生", "老师", "在", "去", "说", "打", "寄", "开的", "住", "充", "交", "付", "绑"}
	secrets  = []string{"密码", "验证码", "校验码", "口令", "动态码", "提取码", "取件码", "qq", "微信号", "微信", "vx", "wx"}
	joiners  = []rune("号是为就:：= 码叫我的“\"'")
	minOwner = map[string]int{"qq": 5, "微信": 5, "微信号": 5, "vx": 5, "wx": 5}
)

// Personal returns where a text names a person in full or gives a secret
// away: a password, a code, a number of a chat account. The ranges come in
// order; none for a harmless text.
func Personal(text []rune) []Range {
	var out []Range
	for i := range text {
		if r, ok := nameAt(text, i); ok && (len(out) == 0 || i >= out[len(out)-1].End) {
			out = append(out, r)
		}
		if r, ok := secretAt(text, i); ok && (len(out) == 0 || i >= out[len(out)-1].End) {
			out = append(out, r)
		}
	}
	return out
}

func nameAt(text []rune, i int) (Range, bool) {
	// The names of most people are told apart from most text by the character
	// after the surname, or by a word for family before it.
	if i+1 >= len(text) || !han(text[i+1]) || !strings.ContainsRune(surnames, text[i]) || slices.Contains(common, string(text[i:i+2])) {
		return Range{}, false
	}
	before := string(text[max(0, i-4):i])
	ends := func(list []string) bool {
		return slices.ContainsFunc(list, func(w string) bool { return strings.HasSuffix(before, w) })
	}
	family := ends(kin)
	if i > 0 && !family && !ends(beside) {
		return Range{}, false
	}
	for n := 3; n >= 2; n-- {
		end := i + n
		if end > len(text) {
			continue
		}
		after := string(text[end:min(end+3, len(text))])
		if end < len(text) && !slices.ContainsFunc(follows, func(w string) bool { return strings.HasPrefix(after, w) }) && !(family && strings.ContainsRune("，。,！!；、 ”)）", text[end])) {
			continue
		}
		if end == len(text) && !family {
			continue
		}
		named := true
		for k, r := range text[i+1 : end] {
			// 发 and 成 and the like are verbs far more often than the only
			// character of a given name.
			named = named && (strings.ContainsRune(given, r) && !(n == 2 && strings.ContainsRune("发成生达可一大小向爱学信清", r)) || family && n == 3 && han(r) && !strings.ContainsRune("的了是在有不没被我您们这那个就都也还要会能", r) && k < 2)
		}
		if named {
			return Range{i, end}, true
		}
	}
	return Range{}, false
}

func secretAt(text []rune, i int) (Range, bool) {
	switch text[i] {
	case '密', '验', '校', '口', '动', '提', '取', '微', 'q', 'Q', 'v', 'V', 'w', 'W':
	default:
		return Range{}, false
	}
	for _, w := range secrets {
		word := []rune(w)
		if i+len(word) > len(text) || !strings.EqualFold(string(text[i:i+len(word)]), w) {
			continue
		}
		at := i + len(word)
		for at < len(text) && at < i+len(word)+3 && slices.Contains(joiners, text[at]) {
			at++
		}
		end, digits := at, 0
		for end < len(text) && (isLetter(text[end]) || text[end] >= '0' && text[end] <= '9' || strings.ContainsRune("_-@#!$.", text[end])) {
			if text[end] >= '0' && text[end] <= '9' {
				digits++
			}
			end++
		}
		least := 3
		if n, ok := minOwner[w]; ok {
			least = n
		}
		if end-at >= least && (digits > 0 || end-at >= 6 && at > i+len(word)) {
			return Range{i, end}, true
		}
	}
	return Range{}, false
}

func han(r rune) bool { return r >= 0x4E00 && r <= 0x9FFF }
