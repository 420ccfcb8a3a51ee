package text

import (
	"strings"
	"sync"

	qingting "github.com/qingting-ai/qingting"
)

// names finds names of people: after words that announce one (我叫, 姓名,
// 收件人), before a form of address (王先生), and after 我是 where a sentence
// part ends.
func (f *finder) names() {
	s, c, words := f.s, f.class, nameList()
	for i := 0; i < len(s); i++ {
		r := s[i]
		if !c.is(r, className|classTitle) {
			continue
		}
		if c.is(r, className) {
			if n := words.match(s, i); n > 0 {
				j := i + n
				sure := false
				for range 3 {
					if m := hasAnyAt(s, j, "姓名", "名字", "是", "为", "叫", "：", " ", "（", "“", "[", "【", "写的", "写"); m > 0 {
						sure = sure || s[j] != ' '
						j += m
					}
				}
				if r == '姓' && isHan(at(s, i-1)) && !oneOf(at(s, i-1), "我贵傅她他") && n == 1 { // 老百姓
					continue
				}
				// Words for groups of people: 业主权益 is more frequent than a name.
				group := !sure && hasAnyAt(s, i, "业主", "车主", "客户", "患者", "病人", "乘客", "户主", "房东", "申请人", "投诉人", "投保人") > 0
				weak := group || hasAnyAt(s, i, "本人", "我是", "我的名字", "联系") > 0 && hasAnyAt(s, i, "联系人") == 0 && !hasAt(s, i, "我的名字是") && !hasAt(s, i, "我的名字叫")
				if l := f.nameAt(j, !weak); l > 0 && !hasAnyAtSet(s, j, l) {
					f.add(qingting.SlotName, j, j+l, string(s[j:j+l]))
					i = j + l - 1
					continue
				}
			}
		}
		// 王先生, 王小明女士
		if c.is(r, classTitle) {
			if n := hasAnyAt(s, i, titles...); n > 0 {
				if l := f.nameBefore(i, n, hasAnyAt(s, i, "先生", "女士", "小姐", "太太") > 0); l > 0 {
					f.add(qingting.SlotName, i-l, i, string(s[i-l:i]))
				}
				i += n - 1
			}
		}
	}
}

// nameWords announce a name. The longer ones first.
var nameWords = []string{
	"真实姓名", "我的名字", "我叫", "名叫", "姓名", "本人", "收件人", "收货人", "联系人", "寄件人", "户主", "机主", "持卡人", "开户人", "开户名", "户名", "申请人", "投保人", "被保人", "被保险人", "投诉人", "办理人", "经办人", "乘客", "乘机人", "入住人", "患者", "病人",
	"业主", "车主", "房东", "老板叫", "他叫", "她叫", "孩子叫", "我姓", "免贵姓", "贵姓", "姓", "我是", "我老公叫", "我妈叫", "名字叫", "名字是", "客户叫", "客户", "客服叫", "员工叫", "师傅叫", "登记在",
}

// nameList holds nameWords for the search by first character.
var nameList = sync.OnceValue(func() wordList { return newWordList(strings.Join(nameWords, " ")) })

var titles = []string{"先生", "女士", "小姐", "太太", "师傅", "大哥", "大姐", "大爷", "大妈", "阿姨", "老师", "医生", "经理", "主任", "律师", "警官", "同学", "哥", "姐", "总"}

// Surnames, by how safe they are: common ones alone make a name likely, the
// others need a word that announces a name.
const (
	surnames     = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗郑梁谢宋唐许韩冯邓曹彭曾肖萧田董袁潘蒋蔡余杜叶程苏魏吕丁沈任姚卢姜崔钟谭陆汪范廖石金韦贾夏付傅方白邹孟熊秦邱江尹薛闫阎段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤高"
	rareSurnames = "常温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝官封谈匡鞠惠荆乐冀郁胥南班储原栗燕楚鄢劳谌奚皮粟冼蔺楼盘满闻位厉伊仝区郜海阚花权强帅屠豆朴盖练廉禹井祖漆巴丰支卿国狄平计索宣晋相初门云容敬来扈晁芮都普阙浦戈伏鹿薄邸雍辜羊阿乌母裘亓修邰赫杭况那宿鲜印逯隆茹诺战慕危玉银亢嵇公哈湛宾戎勾茅利於呼居揭干但尉冶斯元束檀衣信展阴昝智幸奉植衡富尧闭由"
	compounds    = "欧阳上官司马诸葛东方皇甫尉迟公孙令狐慕容司徒夏侯宇文长孙端木独孤南宫西门轩辕"
)

// nameStops do not stand in a given name.
const nameStops = "的是在了我你他她它们这那有和跟就都也不没要说来去把被给想买从到用让请对吗呢吧啊么电手身订地号办收投退换帮查现今昨明前后上下个位等已经还会能可很太先女小姐士师傅因为但因于及与或又再才只打寄送问找叫姓名住家人：，。、 一二两客老什怎谁客且"

// nameAt returns the length of the name at i, or 0. sure says that a word has
// announced it; otherwise the surname must be a usual one and a sentence part
// must end after the name.
func (f *finder) nameAt(i int, sure bool) int {
	s := f.s
	r := at(s, i)
	if !isHan(r) {
		return 0
	}
	surname := 0
	switch {
	case compoundAt(s, i):
		surname = 2
	case f.class.is(r, classSurname), sure && f.class.is(r, classRare):
		surname = 1
	}
	if sure {
		// 阿卜杜拉·买买提
		j := i
		for j < len(s) && j-i < 10 && isHan(s[j]) {
			j++
		}
		if at(s, j) == '·' && j-i >= 2 {
			k := j + 1
			for k < len(s) && k-j < 10 && isHan(s[k]) && !oneOf(s[k], "的是在了我你他她，电手") {
				k++
			}
			if k-j > 2 {
				return k - i
			}
		}
	}
	if surname == 0 {
		return 0
	}
	n := surname
	if sure && at(s, i+n) == '来' && !isHan(at(s, i+n+1)) { // 魏来
		return n + 1
	}
	for n < surname+2 && isHan(at(s, i+n)) && !f.nameStop(i+n) {
		n++
	}
	if n == surname {
		if hasAnyAt(s, i+n, "先生", "女士", "小姐", "太太", "某", "老师", "师傅") > 0 {
			return n
		}
		if sure && hasBefore(s, i, "姓") && !isHan(at(s, i+n)) {
			return n
		}
		if sure && surname == 2 {
			return n
		}
		return 0
	}
	if f.notName(i) {
		return 0
	}
	if !sure {
		after := at(s, i+n)
		if isHan(after) && hasAnyAt(s, i+n, "电话", "手机", "身份证", "在", "于", "，", "先生", "女士", "要投诉", "的", "订", "住", "来电", "反映", "反应", "称", "表示", "要求", "申请", "退", "改签", "挂号", "漏水", "家", "做") == 0 {
			return 0
		}
	}
	return n
}

// nameStopWords end a name.
var nameStopWords = []string{"电话", "手机", "身份", "订单", "联系", "反映", "反应", "咨询", "购买", "申请", "于20", "居住", "投诉", "先生", "女士", "小姐", "老师", "师傅", "今年", "曾在", "曾于", "家住", "称", "来电", "预约", "之前"}

// nameStop reports that the character at i ends a name.
func (f *finder) nameStop(i int) bool {
	s, r := f.s, f.s[i]
	if !f.class.is(r, classNameStop) {
		return false
	}
	if !oneOf(r, nameStops) {
		return hasAnyAt(s, i, nameStopWords...) > 0
	}
	// Characters of nameStops that names do have inside.
	switch r {
	case '明', '和', '家', '有', '前', '小', '士', '一', '可', '能', '会', '来', '经', '先':
		return hasAnyAt(s, i, "明天", "明明", "和", "家住", "家里", "有", "前", "小姐", "女士", "士", "一直", "一个", "一", "可以", "可能", "可", "能", "会", "来", "已经", "经常", "经", "先生", "先") > 0 && !(oneOf(r, "明家小可一") && hasAnyAt(s, i, "明天", "家住", "家里", "小姐", "一直", "一个", "可以", "可能") == 0)
	}
	return true
}

// notName reports usual words that begin with a surname.
func (f *finder) notName(i int) bool {
	return f.class.is(f.s[i], classNotName) && hasAnyAt(f.s, i, ordinaryWords...) > 0
}

// ordinaryWords begin with a surname and are no names.
var ordinaryWords = []string{
	"顾客", "商家", "方便", "高级", "高兴", "高价", "高端", "高峰", "高铁", "高速", "高温", "高考", "高手", "高度", "高昂", "高层", "高压", "高中", "金牌", "马上", "房东", "房主", "车主", "司机", "安装", "党员", "农民", "江苏", "江西", "江南", "成都", "成年", "白天", "白银", "钻石", "黄金", "黄牛", "常客", "常年", "安徽", "云南", "贵州",
	"温州", "海南", "河南", "平台", "石家庄", "上海", "全部", "全家", "应该", "时候", "时间", "单位", "单独", "关于", "国家", "公司", "公务", "万一", "严重", "任何", "向你", "向您", "包括", "包裹", "代理", "程序", "康复", "管理", "经理", "钱", "查询",
	"连续", "都是", "原来", "原因", "明明", "明确", "终于", "宁愿", "宁可", "林业", "黄色", "白色", "金额", "金卡", "余额", "付款", "付费", "孙子", "孙女", "夏天", "张口", "周末", "周一", "周二", "周三", "周四", "周五", "周六", "周日", "田地", "方式", "方面", "方案", "毛病",
	"路过", "路上", "游客", "游戏", "楼上", "楼下", "楼主", "老板", "花了", "米粉", "麦当劳", "华为", "荣耀", "相信", "普通", "和平", "利息", "信用", "信息", "富士康", "支付", "计算", "修改", "公民", "居民", "左右", "时常", "强烈", "强制", "符合", "解决", "解释", "成功", "简直", "凌晨", "文明", "乐意", "温馨", "盛大", "安全", "景区", "官方", "班主任", "国企", "干部", "服务", "何时", "何种", "何必", "许多", "许可", "石头", "龙岗", "马路", "史上", "熊孩子", "叶子", "武汉", "深圳", "广州", "杭州", "苏州", "郑州", "徐州", "常州", "唐山", "邯郸", "金融", "陆续", "段时间", "严格", "向来", "江北",
}

// hasAnyAtSet reports words that look like a name after 我是 and 客户 but tell
// what somebody is.
func hasAnyAtSet(s []rune, j, l int) bool {
	return hasAnyAt(s, j+l, "会员", "用户", "客户", "卡用户", "卡客户", "公司") > 0
}

func compoundAt(s []rune, i int) bool {
	if i+1 >= len(s) {
		return false
	}
	all := []rune(compounds)
	for k := 0; k+1 < len(all); k += 2 {
		if s[i] == all[k] && s[i+1] == all[k+1] {
			return true
		}
	}
	return false
}

// nameBefore returns the length of the name that ends at i, before a form of
// address of n characters. polite forms (先生, 女士) go with any name; the others
// are ordinary words too and need a usual surname at the start of a part.
func (f *finder) nameBefore(i, n int, polite bool) int {
	s := f.s
	free := func(k int) bool { // a name may begin at k
		r := at(s, k-1)
		return !isHan(r) || oneOf(r, "的是找叫给跟和请让由个位名户客与对向问了你我他她您服说到为下们告") || hasAnyBefore(s, k, "联系人", "收件人", "客服", "本人", "经办人", "快递员", "工号") > 0
	}
	if !polite {
		if oneOf(s[i], "哥姐总") && n == 1 {
			if isHan(at(s, i+1)) || !f.class.is(at(s, i-1), classSurname) || !free(i-1) || oneOf(at(s, i-1), "向万任") {
				return 0
			}
			return 1
		}
		if f.class.is(at(s, i-1), classSurname) && free(i-1) && !oneOf(at(s, i-1), "任向万方白石金江毛史") {
			return 1
		}
		if f.class.is(at(s, i-1), classRare) && oneOf(at(s, i-2), "个找姓叫") && !oneOf(s[i-1], "那和位由应都阿来但安全机相强官门单关文华平普时常车水") {
			return 1
		}
		if l := 3; i >= l && f.class.is(s[i-3], classSurname) && free(i-3) && !f.notName(i-3) && !f.nameStop(i-2) && !f.nameStop(i-1) && isHan(s[i-1]) && isHan(s[i-2]) && !oneOf(s[i-1], "修装送务售递") {
			return 3
		}
		return 0
	}
	best := 0
	for l := 1; l <= 4 && i-l >= 0; l++ {
		k := i - l
		if !isHan(s[k]) || l > 1 && f.nameStop(k+1) && !(l == 4) {
			break
		}
		ok := false
		switch {
		case compoundAt(s, k):
			ok = l >= 2
		case l <= 3 && f.class.is(s[k], classSurname):
			ok = true
		case l <= 3 && f.class.is(s[k], classRare):
			ok = free(k) && !(l == 1 && oneOf(s[k], "那和位由应都阿来但"))
		}
		if ok && (l == 1 || !f.notName(k)) && (free(k) || best == 0) {
			best = l
		}
	}
	if best == 1 && hasAnyBefore(s, i, "对方", "我方", "贵方", "双方", "各位", "主任", "几位") > 0 {
		return 0
	}
	return best
}
