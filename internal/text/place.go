package text

import (
	"slices"

	qingting "github.com/qingting-ai/qingting"
)

// addresses finds places where a person can be met: a street with a number, a
// building with a flat, or a row of places after a word like 住址. A city or a
// district alone is nobody's address.
func (f *finder) addresses() {
	s, c := f.s, f.class
	done := 0 // nothing before it is looked at again
	for i := 0; i < len(s); i++ {
		if i < done || !c.is(s[i], classUnit|classAddress|classCity) {
			continue
		}
		start, told := -1, false
		switch {
		case c.is(s[i], classUnit) && addressUnit(s, i) > 0 && i > 0 && numeral(s[i-1]):
			start = f.leftBound(numeralStart(s, i), done)
		case c.is(s[i], classAddress) && hasAnyAt(s, i, addressWords...) > 0:
			start, told = i+hasAnyAt(s, i, addressWords...), true
			for k := 0; k < 3; k++ {
				if n := hasAnyAt(s, start, "是", "为", "：", " ", "改成", "改到", "在", "写的", "填的", "就是", "了"); n > 0 {
					start += n
				}
			}
		case f.cityAt(i) > 0:
			start = i
		}
		if start < 0 || start < done {
			continue
		}
		if n := hasAnyAt(s, start, "家在", "家", "地址", "了"); n > 0 && (told || start > 0 && oneOf(s[start-1], "我你在到是住回")) && f.suffixLen(start+n) == 0 {
			start += n
		}
		p := f.parsePlace(start)
		if p.end > start && p.address(s[start:p.end], told) {
			if f.add(qingting.SlotAddress, start, p.end, string(s[start:p.end])) {
				done = p.end
			}
		}
	}
}

// place is what a row of place names and numbers holds.
type place struct {
	end                                       int
	city, district, town, street, village     int
	community, details, group, soft, streetNo int
}

// address reports whether the row s leads to a door. told: a word like 住址 came
// before it.
func (p *place) address(s []rune, told bool) bool {
	area := p.city + p.district + p.town
	named := p.street + p.village + p.community + p.soft
	switch {
	case p.streetNo > 0 && (p.street > 0 || p.village > 0), p.details >= 2 && (area+named > 0 || slices.ContainsFunc(s, isDigit)), p.details >= 1 && named >= 1, p.village > 0 && p.group > 0:
		return true
	case p.streetNo+p.details+p.group > 0 && area >= 2:
		return true
	case told:
		return area+named >= 2 || named >= 1 && p.details+p.streetNo > 0
	}
	return area >= 3 && p.town > 0 || area >= 2 && p.city > 0 && p.street+p.village+p.community > 0
}

// addressWords come before an address.
var addressWords = []string{
	"收货地址", "收件地址", "家庭住址", "家庭地址", "配送地址", "送货地址", "安装地址", "户籍地址", "通讯地址", "居住地址", "装机地址", "地址", "住址", "住在", "家住", "现住",
	"送货到", "配送到", "寄送到", "邮寄到", "寄到", "送到", "发到", "搬到", "寄往", "改寄", "改送", "户籍", "位于",
}

// placeStops never stand in the name of a place; placeStop knows the
// exceptions.
const placeStops = "我你您他她它们的了是在到去来从给把被和跟就都也不没有要说这那吗呢吧啊住于址寄送往离叫让用请发为收货拿带买修装接打找问告查每很太再已被又还着过才只想去呀哦嗯对但如因所以及与或等第啦哪什么怎谁"

// placeStopWords end the name of a place.
var placeStopWords = []string{"电话", "手机", "联系", "姓名", "麻烦", "谢谢", "快递", "客服", "师傅", "附近", "门口", "快点", "尽快", "一直", "什么", "订单", "公里", "千米", "号码", "投诉", "今天", "昨天", "明天"}

// placeStop reports that the character at i does not belong to a place.
func (f *finder) placeStop(i int) bool {
	s, r := f.s, f.s[i]
	if !isHan(r) {
		return !isAlnum(r) && r != '-' && r != '#' && r != '·'
	}
	if !f.class.is(r, classStop) {
		return f.class.is(r, classStopWord) && hasAnyAt(s, i, placeStopWords...) > 0
	}
	prev, next := at(s, i-1), at(s, i+1)
	switch r {
	case '和':
		return !oneOf(next, "平谐睦县田硕静路街园苑里家花小大村镇乡府庭雅信顺美盛兴") && !oneOf(prev, "祥颐永太中仁义人政广泰惠呼")
	case '都':
		return !oneOf(prev, "成丰于首新江古花望") && !oneOf(next, "江匀昌安兰")
	case '发':
		return prev != '开' && next != '展'
	case '来':
		return !oneOf(next, "广安宾福凤") && !oneOf(prev, "东蓬")
	case '于':
		return !oneOf(next, "洪都田")
	case '太':
		return oneOf(next, "差慢贵坏久烂坑过远大小吵多少脏乱黑")
	case '第':
		return !numeral(next)
	case '打':
		return next != '虎'
	case '想':
		return prev != '理' && prev != '梦'
	case '住':
		return next != '院'
	case '装':
		return prev != '服'
	case '有':
		return prev != '大'
	case '问', '接', '带', '用', '找', '修', '买':
		return !oneOf(next, "津岭渡顶")
	}
	return true
}

// leftBound goes left from a number to the beginning of the place it belongs
// to.
func (f *finder) leftBound(i, least int) int {
	s := f.s
	k := i
	for k > least && i-k < 36 {
		r := s[k-1]
		if r == ' ' {
			if k-2 < least || !oneOf(s[k-2], "省市区县镇乡路街道村园苑号栋") || k >= len(s) {
				break
			}
			k--
			continue
		}
		if isDigit(r) || f.placeStop(k-1) {
			// 来 and its like inside of a name, after a part that ends clearly.
			if isHan(r) && oneOf(at(s, k-2), "区县市镇") && f.cityBefore(k-2) {
				k--
				continue
			}
			break
		}
		if n := hasAnyBefore(s, k, "电话", "手机", "联系", "姓名", "麻烦", "谢谢", "快递", "客服", "师傅", "附近", "订单", "投诉", "今天", "昨天", "明天", "公司", "改派", "改成", "修改", "换成", "门店", "小哥", "人员"); n > 0 {
			break
		}
		k--
	}
	for k < i && (s[k] == ' ' || s[k] == '-' || s[k] == '#' || s[k] == '·') {
		k++
	}
	// A name of a city inside of the stretch is where the place begins.
	for j := k; j < i; j++ {
		if f.cityAt(j) > 0 && !oneOf(at(s, j-1), "省市区县镇乡") { // not 长宁区延安西路
			return j
		}
	}
	return k
}

// cityBefore reports a known city not far before i.
func (f *finder) cityBefore(i int) bool {
	for j := max(0, i-14); j < i; j++ {
		if f.cityAt(j) > 0 {
			return true
		}
	}
	return false
}

// numeral reports characters house numbers are made of.
func numeral(r rune) bool {
	return isAlnum(r) || chineseDigit(r) >= 0 || r == '十' || r == '百'
}

// numeralStart returns where the number that ends at i begins.
func numeralStart(s []rune, i int) int {
	least := i - longestNumber
	for i > 0 && i > least && (numeral(s[i-1]) || s[i-1] == '-' || s[i-1] == '#') {
		i--
	}
	return i
}

// addressUnit returns the length of a unit that follows house numbers, or 0.
func addressUnit(s []rune, i int) int {
	switch s[i] {
	case '号':
		switch {
		case oneOf(at(s, i+1), "楼院门馆"):
			return 2
		case oneOf(at(s, i+1), "线码技客工键车桌窗机床柜"):
			return 0
		}
		return 1
	case '单':
		if at(s, i+1) == '元' {
			return 2
		}
	case '栋', '幢', '座', '层', '室', '弄', '户', '组', '队', '床':
		return 1
	case '楼':
		return 1
	case '社':
		if at(s, i+1) == '区' || at(s, i+1) == '会' || at(s, i+1) == '保' {
			return 0
		}
		return 1
	case '房':
		if at(s, i+1) == '间' {
			return 2
		}
		return 1
	}
	return 0
}

// suffixLen returns the length of the suffix of a place name at i, or 0.
func (f *finder) suffixLen(i int) int {
	n, _ := f.suffixAt(i)
	return n
}

// level is how closely a suffix says where a place is.
type level int

const (
	levelNone level = iota
	levelCity
	levelDistrict
	levelTown
	levelStreet
	levelVillage
	levelCommunity
	levelSoft // a community only before a number
)

var longSuffixes = []struct {
	words string
	level level
}{
	{"自治区", levelCity},
	{"自治州", levelCity},
	{"自治县", levelDistrict},
	{"街道", levelTown},
	{"大道", levelStreet},
	{"大街", levelStreet},
	{"胡同", levelStreet},
	{"公路", levelStreet},
	{"社区", levelVillage},
	{"小区", levelCommunity},
	{"花园", levelCommunity},
	{"公寓", levelCommunity},
	{"家园", levelCommunity},
	{"大厦", levelCommunity},
	{"广场", levelCommunity},
	{"新村", levelCommunity},
	{"新城", levelCommunity},
	{"山庄", levelCommunity},
	{"宿舍", levelCommunity},
	{"家属院", levelCommunity},
	{"工业园", levelCommunity},
	{"科技园", levelCommunity},
	{"产业园", levelCommunity},
	{"开发区", levelDistrict},
	{"高新区", levelDistrict},
	{"新区", levelDistrict},
	{"写字楼", levelCommunity},
	{"国际", levelSoft},
	{"中心", levelSoft},
	{"商城", levelSoft},
	{"大学", levelSoft},
	{"中学", levelSoft},
	{"小学", levelSoft},
	{"医院", levelSoft},
	{"酒店", levelSoft},
	{"宾馆", levelSoft},
	{"国道", levelStreet},
	{"雅苑", levelCommunity},
	{"学院", levelSoft},
}

// suffixStarts are the first characters of suffixes.
const suffixStarts = "省市区县旗镇乡村路街巷弄里苑府庭湾城坊屯庄园桥段道自大胡公社小花家广新山宿工科产开高写国中商医酒宾雅学邸郡轩墅台岸院州盟线"

// suffixAt returns the suffix of a place name at i.
func (f *finder) suffixAt(i int) (int, level) {
	s := f.s
	r := at(s, i)
	if !f.class.is(r, classSuffix) {
		return 0, levelNone
	}
	for _, l := range longSuffixes {
		if hasAt(s, i, l.words) {
			return runeCount(l.words), l.level
		}
	}
	switch r {
	case '省', '市', '州', '盟':
		return 1, levelCity
	case '区', '县', '旗':
		return 1, levelDistrict
	case '镇', '乡':
		return 1, levelTown
	case '道':
		if oneOf(at(s, i-1), "知报味频渠管轨隧难说过通") {
			return 0, levelNone
		}
		return 1, levelStreet
	case '路', '街', '巷', '弄':
		return 1, levelStreet
	case '村', '屯':
		return 1, levelVillage
	case '苑':
		return 1, levelCommunity
	case '里', '府', '庭', '湾', '城', '坊', '庄', '园', '桥', '段', '邸', '郡', '轩', '墅', '台', '岸', '院', '线':
		return 1, levelSoft
	}
	return 0, levelNone
}

// parsePlace reads a row of place names and house numbers from i on. Its end
// is after the last part that was understood.
func (f *finder) parsePlace(i int) place {
	s := f.s
	const longestName, longest = 12, 80
	p := place{end: i}
	last := levelNone
	name := 0 // characters since the last part
	for begin := i; i < len(s) && i-begin < longest; {
		r := s[i]
		if r == ' ' {
			if name > 0 || i == begin || !(isHan(at(s, i+1)) || isAlnum(at(s, i+1))) {
				break
			}
			i++
			continue
		}
		if name == 0 {
			if n := f.cityAt(i); n > 0 && p.street+p.details+p.streetNo == 0 && p.city < 3 {
				p.city++
				i += n
				if oneOf(at(s, i), "省市") && !oneOf(at(s, i+1), "区") {
					i++
				}
				p.end, last = i, levelCity
				continue
			}
		}
		if numeral(r) || r == '#' {
			e := i + 1
			for e < len(s) && (numeral(s[e]) || s[e] == '-' || s[e] == '#') {
				e++
			}
			if at(s, e) == ' ' && e+1 < len(s) && addressUnit(s, e+1) > 0 {
				e++
			}
			if e < len(s) {
				if n, kind, ok := p.number(s, i, e, last, name); ok {
					i = e + n
					p.end, last, name = i, kind, 0
					continue
				}
			}
			// 3栋2单元501, 3-2-501
			if isDigit(r) && e-i <= 9 && p.details+p.streetNo+p.community+p.soft > 0 && name == 0 && !oneOf(at(s, e), "年月日元块万个天点时分件台次：.%平米多余人户") && (p.details+p.streetNo > 0 || e-i >= 3) && e-i >= 2 && !(e-i > 5 && !hasDash(s[i:e])) {
				p.details++
				p.end, i = e, e
				break
			}
			if isDigit(r) {
				break
			}
			name += e - i
			i = e
			continue
		}
		if last == levelCity && name == 0 {
			if n := districtAt(s, i); n > 0 { // 让胡路区, 来安县
				p.district++
				i += n
				p.end, last = i, levelDistrict
				continue
			}
		}
		if last == levelStreet && name == 0 && oneOf(r, "与和") && streetAfter(s, i+1) {
			name++
			i++
			continue
		}
		if last == levelStreet && name == 0 {
			if n := hasAnyAt(s, i, "交叉口", "交汇处", "交界处", "路口", "十字路口"); n > 0 {
				p.streetNo++
				p.end = i + n
				break
			}
		}
		if f.placeStop(i) {
			break
		}
		if p.details > 0 && name == 0 && oneOf(r, "东西南北中甲乙") && hasAt(s, i+1, "单元") {
			p.details++
			i += 3
			p.end, last = i, levelNone
			continue
		}
		if n, l := f.suffixAt(i); n > 0 && (name > 0 || n > 1 && i > begin && l != levelDistrict && l != levelCity || r == '段' && last == levelStreet) {
			if l == levelSoft && !(n >= 2 && p.streetNo > 0) && !numeral(at(s, i+n)) && !(at(s, i+n) == ' ' && numeral(at(s, i+n+1))) {
				name += n
				i += n
				continue
			}
			switch l {
			case levelCity:
				p.city++
			case levelDistrict:
				p.district++
			case levelTown:
				p.town++
			case levelStreet:
				p.street++
			case levelVillage:
				p.village++
			case levelCommunity:
				p.community++
			case levelSoft:
				p.soft++
			}
			i += n
			p.end, last, name = i, l, 0
			continue
		}
		name++
		i++
		if name > longestName {
			break
		}
	}
	return p
}

// number takes the unit at e, after the house number s[i:e], and says what it
// was.
func (p *place) number(s []rune, i, e int, last level, name int) (int, level, bool) {
	if n := addressUnit(s, e); n > 0 {
		letters := !slices.ContainsFunc(s[i:e], func(r rune) bool { return numeral(r) && !isLetter(r) })
		switch r := s[e]; {
		case r == '号' && letters: // QQ号
			return 0, levelNone, false
		case r == '组' || r == '队' || r == '社':
			p.group++
			return n, levelNone, true
		case r == '号' && n == 1:
			if (last == levelStreet || last == levelVillage || last == levelTown || last == levelSoft) && name <= 2 {
				p.streetNo++
			} else {
				p.details++
			}
			return n, levelNone, true
		case r == '弄':
			p.street++
			p.streetNo++
			return n, levelStreet, true
		}
		p.details++
		return n, levelNone, true
	}
	switch r := s[e]; {
	case r == '门' && p.details > 0:
		p.details++
		return 1, levelNone, true
	case r == '期' || r == '区' && last != levelNone:
		return 1, last, true
	case r == '路' || r == '街' || r == '巷':
		p.street++
		return 1, levelStreet, true
	case r == '村':
		p.village++
		return 1, levelVillage, true
	case hasAt(s, e, "大街"), hasAt(s, e, "大道"), hasAt(s, e, "马路"):
		p.street++
		return 2, levelStreet, true
	}
	return 0, levelNone, false
}

// districtAt returns the length of the name of a district or county right
// after a city, whatever characters it is made of.
func districtAt(s []rune, i int) int {
	for k := i; k < i+5 && isHan(at(s, k)); k++ {
		if oneOf(s[k], "我你他您的了是") {
			return 0
		}
		if k >= i+1 && (s[k] == '区' || s[k] == '县') && !oneOf(s[k-1], "小社市园") {
			return k + 1 - i
		}
	}
	return 0
}

// streetAfter reports the name of a street at i.
func streetAfter(s []rune, i int) bool {
	for k := i; k < i+7 && isHan(at(s, k)); k++ {
		if k > i && oneOf(s[k], "路街道") {
			return true
		}
	}
	return false
}

func hasDash(s []rune) bool {
	for _, r := range s {
		if r == '-' || r == '#' {
			return true
		}
	}
	return false
}

// cityAt returns the length of the name of a province or large city at i,
// without its suffix, or 0.
func (f *finder) cityAt(i int) int {
	if !f.class.is(at(f.s, i), classCity) {
		return 0
	}
	return f.cities.match(f.s, i)
}

var cities = []string{
	"北京", "上海", "天津", "重庆", "河北", "山西", "内蒙古", "辽宁", "吉林", "黑龙江", "江苏", "浙江", "安徽", "福建", "江西", "山东", "河南", "湖北", "湖南", "广东", "广西", "海南", "四川", "贵州", "云南", "陕西", "甘肃", "青海", "台湾", "宁夏", "新疆", "西藏", "香港", "澳门",
	"深圳", "广州", "杭州", "南京", "武汉", "成都", "西安", "苏州", "无锡", "常州", "徐州", "扬州", "镇江", "盐城", "南通", "淮安", "连云港", "泰州", "宿迁", "宁波", "温州", "嘉兴", "湖州", "绍兴", "金华", "衢州", "舟山", "台州", "丽水",
	"合肥", "芜湖", "蚌埠", "马鞍山", "铜陵", "安庆", "黄山", "滁州", "阜阳", "宿州", "六安", "亳州", "池州", "宣城", "淮南", "淮北", "福州", "厦门", "莆田", "三明", "泉州", "漳州", "南平", "龙岩", "宁德", "南昌", "景德镇", "九江", "赣州", "吉安", "宜春", "抚州", "上饶",
	"济南", "青岛", "淄博", "枣庄", "东营", "烟台", "潍坊", "济宁", "泰安", "威海", "日照", "临沂", "德州", "聊城", "滨州", "菏泽", "郑州", "开封", "洛阳", "平顶山", "安阳", "新乡", "焦作", "濮阳", "许昌", "漯河", "南阳", "商丘", "信阳", "周口", "驻马店",
	"黄石", "十堰", "宜昌", "襄阳", "鄂州", "荆门", "孝感", "荆州", "黄冈", "咸宁", "随州", "恩施", "长沙", "株洲", "湘潭", "衡阳", "邵阳", "岳阳", "常德", "张家界", "益阳", "郴州", "永州", "怀化", "娄底",
	"珠海", "汕头", "佛山", "韶关", "湛江", "肇庆", "江门", "茂名", "惠州", "梅州", "汕尾", "河源", "阳江", "清远", "东莞", "中山", "潮州", "揭阳", "云浮", "南宁", "柳州", "桂林", "梧州", "北海", "钦州", "玉林", "海口", "三亚",
	"绵阳", "德阳", "南充", "宜宾", "自贡", "泸州", "乐山", "眉山", "达州", "攀枝花", "贵阳", "遵义", "毕节", "昆明", "曲靖", "玉溪", "大理", "丽江", "拉萨", "咸阳", "宝鸡", "渭南", "延安", "榆林", "汉中", "兰州", "西宁", "银川", "乌鲁木齐",
	"沈阳", "大连", "鞍山", "抚顺", "丹东", "锦州", "营口", "长春", "哈尔滨", "齐齐哈尔", "牡丹江", "佳木斯", "大庆", "呼和浩特", "包头", "赤峰", "石家庄", "唐山", "秦皇岛", "邯郸", "邢台", "保定", "张家口", "承德", "沧州", "廊坊", "衡水", "太原", "大同", "运城", "晋中", "临汾", "长治",
}
