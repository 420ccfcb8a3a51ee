package text

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// number is a parsed number that ends before end.
type number struct {
	value float64
	end   int
	plain bool // Arabic digits only, without unit or decimals
}

// chineseDigit is the value of a digit character, or −1.
func chineseDigit(r rune) int {
	switch r {
	case '零', '〇':
		return 0
	case '一', '壹', '幺':
		return 1
	case '二', '贰', '貳', '两', '兩', '俩':
		return 2
	case '三', '叁', '參':
		return 3
	case '四', '肆':
		return 4
	case '五', '伍':
		return 5
	case '六', '陆', '陸':
		return 6
	case '七', '柒':
		return 7
	case '八', '捌':
		return 8
	case '九', '玖':
		return 9
	}
	return -1
}

// numberUnit is the value of a unit character, or 0.
func numberUnit(r rune) float64 {
	switch r {
	case '十', '拾':
		return 10
	case '百', '佰':
		return 100
	case '千', '仟':
		return 1000
	case '万', '萬':
		return 1e4
	case '亿', '億':
		return 1e8
	}
	return 0
}

// latinUnit is the value of k and w where no word goes on.
func latinUnit(s []rune, i int) float64 {
	if i+1 < len(s) && isLetter(s[i+1]) {
		return 0
	}
	switch s[i] {
	case 'k', 'K':
		return 1000
	case 'w', 'W':
		return 1e4
	}
	return 0
}

// startsNumber reports whether a number may begin with r.
func startsNumber(r rune) bool {
	if r < 0x80 {
		return isDigit(r)
	}
	return r >= '〇' && (chineseDigit(r) >= 0 || r == '十' || r == '拾' || r == '百' || r == '千' || r == '半')
}

// longestNumber bounds the search; no number is written with more characters.
const longestNumber = 64

// parseNumber reads the longest number at i of a half width text. It reports
// false for a guess (三四百, 十几) as well as for no number at all; end is then
// where the guess ends, or i.
func parseNumber(s []rune, i int) (number, bool) {
	start := i
	if i >= len(s) {
		return number{end: i}, false
	}
	if s[i] == '半' {
		return number{value: 0.5, end: i + 1}, true
	}
	if hasAt(s, i, "百分之") || hasAt(s, i, "千分之") {
		n, ok := parseNumber(s, i+3)
		if !ok {
			return number{end: i}, false
		}
		if s[i] == '百' {
			return number{value: round(n.value/100, 6), end: n.end}, true
		}
		return number{value: round(n.value/1000, 7), end: n.end}, true
	}
	var (
		total, section float64
		cur            float64 // digits that wait for their unit
		have           bool    // cur holds something
		single         bool    // cur is one digit
		zero           bool    // a 零 came before cur
		last           float64 // the unit before cur
		units          int
		plain          = isDigit(s[i])
		seq            int // Chinese digits in a row
	)
	for i < len(s) {
		r := s[i]
		if i-start > longestNumber {
			return number{end: i}, false
		}
		if d := chineseDigit(r); d >= 0 {
			switch {
			case !have && d == 0 && units > 0: // 两千零五
				if i+1 >= len(s) || chineseDigit(s[i+1]) < 0 && s[i+1] != '十' {
					goto done
				}
				zero = true
				i++
				plain = false
				continue
			case !have:
				cur, have, single, seq = float64(d), true, true, 1
			case units > 0 || seq == 0:
				goto done
			default: // 壹贰叁, 二〇二六
				cur, single, seq = cur*10+float64(d), false, seq+1
			}
			plain = false
			i++
			// 三点五
			if i+1 < len(s) && s[i] == '点' && chineseDigit(s[i+1]) >= 0 {
				scale := 0.1
				for i++; i < len(s) && chineseDigit(s[i]) >= 0; i++ {
					cur += float64(chineseDigit(s[i])) * scale
					scale /= 10
				}
				cur, single = round(cur, 9), false
			}
			continue
		}
		if isDigit(r) {
			if have {
				goto done
			}
			v, end, whole := arabic(s, i)
			cur, have, single, seq = v, true, whole && end == i+1, 0
			plain = plain && units == 0 && whole
			i = end
			continue
		}
		u := numberUnit(r)
		if u == 0 && have && seq == 0 {
			u = latinUnit(s, i)
		}
		if u == 0 {
			break
		}
		plain = false
		if seq > 1 && u < 1e4 || seq > 1 && units == 0 && seq == 2 { // 三四百, 五六万
			return number{end: i + 1}, false
		}
		if u >= 1e4 {
			if have && units > 0 && !zero && last >= 1e4 && u >= last {
				goto done
			}
			v := section
			if have {
				v += cur
			}
			if v == 0 {
				goto done
			}
			if u == 1e8 {
				total = (total + v) * u
			} else {
				total += v * u
			}
			section, cur, have, zero, last, seq = 0, 0, false, false, u, 0
			units++
			i++
			continue
		}
		if !have {
			if u != 10 || section != 0 || last == 10 || units > 0 && !zero && last < 1e4 {
				goto done
			}
			cur = 1
		}
		if units > 0 && u >= last && last < 1e4 {
			goto done
		}
		section += cur * u
		cur, have, zero, last, seq = 0, false, false, u, 0
		units++
		i++
	}
done:
	if i == start || !have && units == 0 {
		return number{end: start}, false
	}
	if i < len(s) && s[i] == '几' { // 十几
		return number{end: i + 1}, false
	}
	if have {
		if single && !zero && last >= 100 && units > 0 {
			cur *= last / 10
		}
		section += cur
	}
	value := total + section
	if math.IsInf(value, 0) {
		return number{end: i}, false
	}
	return number{value: value, end: i, plain: plain}, true
}

// arabic reads digits with thousands commas and decimals. whole is false when
// there was a comma or a point.
func arabic(s []rune, i int) (value float64, end int, whole bool) {
	var buf [32]byte
	digits := buf[:0]
	start := i
	whole = true
	for i < len(s) {
		switch {
		case isDigit(s[i]):
			digits = append(digits, byte(s[i]))
			i++
			continue
		case s[i] == ',' && i-start <= 3 || s[i] == ',' && i >= 4 && s[i-4] == ',':
			if i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]) && (i+4 >= len(s) || !isDigit(s[i+4])) {
				whole = false
				i++
				continue
			}
		case s[i] == '.' && i+1 < len(s) && isDigit(s[i+1]):
			// Not a version or an address: 1.2.3 has no value.
			j := i + 1
			for j < len(s) && isDigit(s[j]) {
				j++
			}
			if j+1 < len(s) && s[j] == '.' && isDigit(s[j+1]) {
				break
			}
			digits = append(digits, '.')
			for _, r := range s[i+1 : j] {
				digits = append(digits, byte(r))
			}
			whole = false
			i = j
		}
		break
	}
	value, _ = strconv.ParseFloat(string(digits), 64)
	return value, i, whole
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// hasAt reports whether s continues with word at i.
func hasAt(s []rune, i int, word string) bool {
	if i < 0 || i >= len(s) {
		return word == ""
	}
	if !mayBegin(word, s[i]) {
		return false
	}
	for _, r := range word {
		if i >= len(s) || s[i] != r {
			return false
		}
		i++
	}
	return true
}

// mayBegin reports whether a word may begin with r. Most words fail on their
// first character, nearly always one of three bytes: this decodes that one
// without a loop, and small enough to be inlined.
func mayBegin(word string, r rune) bool {
	return len(word) < 3 || word[0]&0xf0 != 0xe0 || r == rune(word[0]&0x0f)<<12|rune(word[1]&0x3f)<<6|rune(word[2]&0x3f)
}

// hasAnyAt returns the length in runes of the first of words that s continues
// with at i, or 0.
func hasAnyAt(s []rune, i int, words ...string) int {
	if i < 0 || i >= len(s) {
		return 0
	}
	for _, w := range words {
		if mayBegin(w, s[i]) && hasAt(s, i, w) {
			return runeCount(w)
		}
	}
	return 0
}

// hasBefore reports whether s[:i] ends with word.
func hasBefore(s []rune, i int, word string) bool {
	return endsWith(s, i, word) > 0
}

// endsWith returns the length of word in runes when s[:i] ends with it, or 0.
func endsWith(s []rune, i int, word string) int {
	if i <= 0 || i > len(s) {
		return 0
	}
	if n := len(word); n >= 3 && word[n-3]&0xf0 == 0xe0 && s[i-1] != rune(word[n-3]&0x0f)<<12|rune(word[n-2]&0x3f)<<6|rune(word[n-1]&0x3f) {
		return 0
	}
	if n := runeCount(word); hasAt(s, i-n, word) {
		return n
	}
	return 0
}

// hasAnyBefore returns the length in runes of the first of words that s[:i]
// ends with, or 0.
func hasAnyBefore(s []rune, i int, words ...string) int {
	for _, w := range words {
		if n := endsWith(s, i, w); n > 0 {
			return n
		}
	}
	return 0
}

func runeCount(s string) int { return utf8.RuneCountInString(s) }

// oneOf reports whether r is one of the characters of set.
func oneOf(r rune, set string) bool { return strings.ContainsRune(set, r) }

// at returns s[i], or 0 outside of s.
func at(s []rune, i int) rune {
	if i < 0 || i >= len(s) {
		return 0
	}
	return s[i]
}

// FormatNumber writes v with as few decimals as it needs: 199, 15.8.
func FormatNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Amount is a sum of money in a cleaned text.
type Amount struct {
	Value  float64 // CNY, rounded to 0.01
	Approx bool    // 三百多块, 大概500元
	Start  int     // code points of the text given
	End    int
}

// FindAmounts finds sums of money in a cleaned text, by start. A number counts
// when it has a unit or a sign (元 块 毛 ¥ RMB 人民币 …), or when a word of paying
// stands before it and no other measure after it (扣了我300). Prices are not
// told from fees; 一块 is a sum only before 钱 or digits.
func FindAmounts(clean []rune) []Amount {
	var out []Amount
	c := classes()
	for i := 0; i < len(clean); i++ {
		r := clean[i]
		if !c.is(r, classAmount) {
			continue
		}
		start := i
		signed := false
		switch {
		case r == '¥' || r == '￥':
			signed = true
			i++
		case (r == 'R' || r == 'r') && (hasAt(clean, i, "RMB") || hasAt(clean, i, "rmb")) && !isLetter(at(clean, i-1)):
			signed = true
			i += 3
		case r == 'C' && hasAt(clean, i, "CNY") && !isLetter(at(clean, i-1)):
			signed = true
			i += 3
		case r == '人' && hasAt(clean, i, "人民币"):
			signed = true
			i += 3
		case !startsNumber(r):
			continue
		}
		if signed {
			for i < len(clean) && (clean[i] == ' ' || clean[i] == '：') {
				i++
			}
			if i >= len(clean) || !startsNumber(clean[i]) {
				i = max(start, i-1)
				continue
			}
		}
		a, end, ok := amountAt(clean, i, signed)
		if ok {
			a.Start = start
			if n := hasAnyBefore(clean, start, "大概", "大约", "将近", "差不多", "近", "约"); n > 0 {
				a.Approx = true
			}
			out = append(out, a)
		}
		i = max(end, i+1) - 1
	}
	return out
}

// amountAt reads the sum whose number begins at i. end is where the search may
// go on.
func amountAt(s []rune, i int, signed bool) (Amount, int, bool) {
	if isDigit(s[i]) && i > 0 && (isDigit(s[i-1]) || isLetter(s[i-1]) && !signed || s[i-1] == '.' || s[i-1] == '-' && i > 1 && isDigit(s[i-2])) {
		_, end, _ := arabic(s, i)
		return Amount{}, end, false
	}
	n, ok := parseNumber(s, i)
	if !ok || n.end == i {
		return Amount{}, n.end, false
	}
	a := Amount{Value: n.value}
	end := n.end
	if signed {
		if m := hasAnyAt(s, end, "元整", "元", "块钱", "块"); m > 0 {
			end += m
		}
		a.End, a.Value = end, round(a.Value, 2)
		return a, end, a.Value < 1e12
	}
	if n.value > 1e10 || s[i] == '半' {
		return Amount{}, end, false
	}
	j := end
	if at(s, j) == ' ' {
		j++
	}
	if m := hasAnyAt(s, j, "多个", "来个"); m == 0 && (at(s, j) == '多' || at(s, j) == '来') {
		a.Approx = true
		j++
		if oneOf(at(s, j), "万千") { // 三百多万
			a.Value *= numberUnit(s[j])
			j++
		}
	}
	yuan, cents := a.Value, 0.0
	switch {
	case hasAt(s, j, "人民币"):
		end = j + 3
	case (hasAt(s, j, "RMB") || hasAt(s, j, "rmb") || hasAt(s, j, "CNY") || hasAt(s, j, "cny")) && !isLetter(at(s, j+3)):
		end = j + 3
	case at(s, j) == '元' || hasAt(s, j, "圆整") || at(s, j) == '块':
		unit := s[j]
		j++
		if unit == '元' && (oneOf(at(s, j), "素宵旦首老帅论化") || s[i] == '三' && n.end == i+1 && hasAnyAt(s, j, "里", "桥", "牛", "奶", "食品") > 0) {
			return Amount{}, j, false
		}
		end = j
		tail := false // something after 块 says that it is money
		if m := hasAnyAt(s, j, "人民币", "大洋", "钱", "整"); m > 0 {
			end, tail = j+m, true
			if s[j] == '钱' && at(s, j+1) == '整' {
				end++
			}
		} else if at(s, j) == '半' && !isHan(at(s, j+1)) || hasAt(s, j, "半钱") {
			cents, end, tail = 0.5, j+1, true
		} else if at(s, j) == '多' {
			a.Approx, end, tail = true, j+1, true
			if at(s, j+1) == '钱' {
				end++
			}
		} else if c, e, ok := cash(s, j, unit); ok {
			cents, end, tail = c, e, true
		}
		if unit == '块' && !tail && notMoney(s, i, n, j) {
			return Amount{}, j, false
		}
	case at(s, j) == '毛' || at(s, j) == '角':
		unit := s[j]
		if n.value >= 100 || j != n.end && !a.Approx {
			return Amount{}, end, false
		}
		j++
		yuan = n.value / 10
		end = j
		switch {
		case at(s, j) == '钱':
			end++
		case unit == '毛' && oneOf(at(s, j), "病巾衣线绒笔豆利重孩发不坯呢毯毛躁"):
			return Amount{}, j, false
		default:
			d, e := digitAt(s, j)
			switch {
			case d >= 0 && at(s, e) == '分':
				cents, end = d/100, e+1
				if at(s, end) == '钱' {
					end++
				}
			case d >= 0 && unit == '毛' && !startsNumber(at(s, e)) && !isHan(at(s, e)):
				cents, end = d/100, e
			case unit == '角': // 三角, 五角星
				return Amount{}, j, false
			}
		}
	case hasAt(s, j, "分钱"):
		// 一分钱没见着 says nothing about a sum: nobody complains of one fen.
		if s[i] == '一' && n.end == i+1 {
			return Amount{}, j + 2, false
		}
		yuan, end = n.value/100, j+2
	default:
		if e, ok := bare(s, i, n, j); ok {
			end = e
			break
		}
		return Amount{}, n.end, false
	}
	a.Value, a.End = round(yuan+cents, 2), end
	return a, end, true
}

// cash reads what follows 块 or 元: 8, 八毛, 5角3分, 八毛五.
func cash(s []rune, j int, unit rune) (float64, int, bool) {
	if at(s, j) == '零' {
		if d, e := digitAt(s, j+1); d >= 0 && at(s, e) == '分' {
			return d / 100, e + 1, true
		}
	}
	d, e := digitAt(s, j)
	if d < 0 {
		return 0, j, false
	}
	switch {
	case at(s, e) == '毛' || at(s, e) == '角':
		v := d / 10
		e++
		if at(s, e) == '钱' {
			return v, e + 1, true
		}
		if f, e2 := digitAt(s, e); f >= 0 {
			if at(s, e2) == '分' {
				return v + f/100, e2 + 1, true
			}
			if !isHan(at(s, e2)) && !isDigit(at(s, e2)) {
				return v + f/100, e2, true
			}
		}
		return v, e, true
	case at(s, e) == '分' && unit == '元':
		return d / 100, e + 1, true
	case unit != '块':
		return 0, j, false
	case isDigit(at(s, e)): // 15块85
		if isDigit(at(s, e+1)) {
			return 0, j, false
		}
		return d/10 + float64(s[e]-'0')/100, e + 1, !isMeasure(at(s, e+1))
	case numberUnit(at(s, e)) != 0 || chineseDigit(at(s, e)) >= 0 || isMeasure(at(s, e)):
		return 0, j, false // 三块两个
	case isHan(at(s, e)) && !oneOf(at(s, e), "的了吧呢啊吗就都还也啦呀一"):
		return 0, j, false
	}
	return d / 10, e, true
}

// digitAt reads one digit, Arabic or Chinese, or gives −1.
func digitAt(s []rune, i int) (float64, int) {
	r := at(s, i)
	if isDigit(r) {
		return float64(r - '0'), i + 1
	}
	if d := chineseDigit(r); d >= 0 {
		return float64(d), i + 1
	}
	return -1, i
}

// notMoney reports whether 块 after the number n at i counts things: 一块去,
// 两块电池. j is the place after 块.
func notMoney(s []rune, i int, n number, j int) bool {
	if n.value == 1 && n.end == i+1 && s[i] != '1' {
		return true // 一块: together, or one piece
	}
	if at(s, j) == '儿' {
		return true
	}
	if n.value > 20 || n.value != math.Trunc(n.value) {
		return false
	}
	return hasAnyAt(s, j, "电池", "手表", "屏", "肉", "砖", "地砖", "地板", "地毯", "地皮", "糖", "板", "布", "石", "牌", "巧克力", "豆腐", "香皂",
		"肥皂", "饼", "蛋糕", "玻璃", "瓷", "内存", "硬盘", "显卡", "主板", "面包", "披萨", "排骨", "鸡", "牛", "猪", "鱼", "表", "充电", "奶酪", "毛巾",
		"移动硬盘", "钢化", "广告", "区域", "内容", "田", "木", "姜", "冰", "墙", "抹布", "腕表", "固态", "尿") > 0
}

// isMeasure reports a character that, after a number, counts something that is
// not money.
func isMeasure(r rune) bool {
	return oneOf(r, "个個件次天月年日号號小时時分秒台部只隻条條张張套单單份瓶盒箱包袋斤克公里米升度倍折人位户名家点點颗双粒片届级期楼层栋室岁周星成代本把支根节種种批回遍趟轮样间辆架门股名元块毛角多来几%‰/-:.~") ||
		isLetter(r) || isDigit(r) || chineseDigit(r) >= 0 || numberUnit(r) != 0
}

// payWords may stand before a sum that has no unit.
var payWords = []string{
	"赔偿", "赔付", "补偿", "退款", "退还", "退回", "扣费", "扣款", "扣除", "扣掉", "收费", "收取", "花费", "充值", "话费", "付款", "支付", "转账", "损失",
	"价格", "售价", "原价", "现价", "总价", "标价", "单价", "押金", "定金", "订金", "违约金", "手续费", "运费", "首付", "差价", "金额", "罚款", "欠费", "月租", "服务费", "打车费",
	"赔", "退", "扣", "收", "花", "充", "付", "补", "交", "缴", "卖",
}

// bare accepts a number of two characters or more without a unit after a word
// of paying (扣了我300, not 退一赔三) when nothing else is counted.
func bare(s []rune, i int, n number, j int) (int, bool) {
	if n.value < 10 || n.end-i < 2 || n.value > 1e7 || n.end-i > 9 || n.value == 12315 || n.value == 12345 || n.value == 10086 {
		return 0, false
	}
	if next := at(s, n.end); isMeasure(next) && next != '多' || at(s, n.end) == ' ' && isMeasure(at(s, n.end+1)) {
		return 0, false
	}
	k := i
	for range 3 {
		m := hasAnyBefore(s, k, "给我", "我们", "你们", "他们", "一共", "总共", "大概", "差不多", "了", "我", "你", "他", "您", "是", "为", "：", " ", "才", "就", "要", "给", "共", "约", "近", "到", "回", "掉", "走")
		if m == 0 {
			break
		}
		k -= m
	}
	if hasAnyBefore(s, k, payWords...) == 0 {
		return 0, false
	}
	if j > n.end && at(s, n.end) == '多' {
		return n.end + 1, true
	}
	return n.end, true
}
