package text

import (
	"cmp"
	"slices"
	"time"

	qingting "github.com/qingting-ai/qingting"
)

// personal is a piece of personal data in a view: a text that is half width
// and simplified at least where the words that show personal data are concerned.
// Slots look at clean text, Mask at a view of the original.
type personal struct {
	kind       qingting.SlotKind
	start, end int
	value      string
}

// finder collects personal data, the certain kinds first: what overlaps an
// earlier find is not added.
type finder struct {
	s      []rune
	class  *charClass
	cities wordList
	found  []personal
	taken  taken
}

// findPersonal returns the personal data of s by start, without overlap.
func findPersonal(s []rune) []personal {
	f := finder{s: s, class: classes(), cities: cityList()}
	var digits, han, alnum bool
	run := 0 // digits since the last letter or Han character that is none
	for i, r := range s {
		switch {
		case r == '@':
			f.email(i)
		case isDigit(r):
			alnum = true
			run++
		case chineseDigit(r) >= 0:
			han = true
			run++
		case r == ' ' || separator(r):
			continue
		case isLetter(r):
			alnum = true
			run = 0
		default:
			han = han || isHan(r)
			run = 0
		}
		digits = digits || run >= 6
	}
	if digits {
		f.numbers()
	}
	if alnum {
		f.codes()
		f.plates()
	}
	if han {
		f.addresses()
		f.names()
	}
	slices.SortFunc(f.found, func(a, b personal) int { return cmp.Compare(a.start, b.start) })
	return f.found
}

// taken marks the characters that already belong to something.
type taken []bool

// take marks [start, end) of a text of n characters unless a part of it is
// taken.
func (t *taken) take(start, end, n int) bool {
	if *t == nil {
		*t = make([]bool, n)
	}
	if slices.Contains((*t)[start:end], true) {
		return false
	}
	for i := start; i < end; i++ {
		(*t)[i] = true
	}
	return true
}

// add keeps a find that touches no earlier one.
func (f *finder) add(kind qingting.SlotKind, start, end int, value string) bool {
	if !f.taken.take(start, end, len(f.s)) {
		return false
	}
	f.found = append(f.found, personal{kind, start, end, value})
	return true
}

func isAlnum(r rune) bool { return isDigit(r) || isLetter(r) }

// email finds the address around the @ at i. One space on either side of it is
// an evasion we know.
func (f *finder) email(i int) {
	s := f.s
	local := func(r rune) bool { return isAlnum(r) || r == '.' || r == '_' || r == '-' || r == '+' || r == '%' }
	a, b := i, i+1
	if at(s, a-1) == ' ' {
		a--
	}
	if at(s, b) == ' ' {
		b++
	}
	start, end := a, b
	for start > 0 && local(s[start-1]) && a-start < 64 {
		start--
	}
	for end < len(s) && (isAlnum(s[end]) || s[end] == '.' || s[end] == '-') && end-b < 255 {
		end++
	}
	for end > b && !isLetter(s[end-1]) {
		end--
	}
	dot := end
	for dot > b && s[dot-1] != '.' {
		dot--
	}
	if start == a || dot <= b+1 || end-dot < 2 {
		return
	}
	for _, r := range s[dot:end] {
		if !isLetter(r) {
			return
		}
	}
	f.add(qingting.SlotEmail, start, end, lower(s[start:a])+"@"+lower(s[b:end]))
}

func lower(s []rune) string {
	b := make([]byte, len(s))
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		b[i] = byte(r)
	}
	return string(b)
}

// separator reports what people put between the digits of one number.
func separator(r rune) bool {
	switch r {
	case '-', '—', '.', '·', '_', '~':
		return true
	}
	return false
}

// piece is a group of digits without separators inside.
type piece struct {
	from, to int // digits of the run
}

// Bounds of the number search: no kind has more digits than this, and a gap
// wider than this parts two numbers.
const (
	mostDigits = 40
	widestGap  = 3
)

// numbers finds phones, identity cards, bank cards and bare order numbers in
// runs of digits, Arabic or Chinese, with separators.
func (f *finder) numbers() {
	s := f.s
	var digits []byte
	var where []int // position of each digit
	var pieces []piece
	for i := 0; i < len(s); i++ {
		if digitOf(s[i]) < 0 {
			continue
		}
		digits, where, pieces = digits[:0], where[:0], pieces[:0]
		open := 0
		for j := i; j < len(s); {
			if d := digitOf(s[j]); d >= 0 {
				digits = append(digits, byte('0'+d))
				where = append(where, j)
				j++
				if j < len(s) && digitOf(s[j]) >= 0 && isDigit(s[j]) != isDigit(s[j-1]) { // 13800138000一直
					pieces = append(pieces, piece{open, len(digits)})
					open = len(digits)
				}
				continue
			}
			pieces = append(pieces, piece{open, len(digits)})
			open = len(digits)
			k := j
			for k < len(s) && k-j < widestGap && (s[k] == ' ' || separator(s[k]) || s[k] == '）' && len(pieces) == 1 && digits[0] == '0') {
				k++
			}
			if k == j || k >= len(s) || digitOf(s[k]) < 0 {
				open = -1
				break
			}
			j = k
		}
		if open >= 0 {
			pieces = append(pieces, piece{open, len(digits)})
		}
		i = where[len(where)-1]
		if len(digits) >= 6 {
			f.run(digits, where, pieces)
		}
	}
}

// digitOf is the value of a digit in a number that is read digit by digit.
func digitOf(r rune) int {
	if isDigit(r) {
		return int(r - '0')
	}
	if r < '〇' || r == '两' || r == '俩' {
		return -1
	}
	return chineseDigit(r)
}

// run looks at one run of digits: from each piece on, the longest row of whole
// pieces that makes a number of some kind.
func (f *finder) run(digits []byte, where []int, pieces []piece) {
	for a := 0; a < len(pieces); a++ {
		last := a
		for last+1 < len(pieces) && pieces[last+1].to-pieces[a].from <= mostDigits {
			last++
		}
		start := where[pieces[a].from]
		about := f.context(start)
		for b := last; b >= a; b-- {
			d := digits[pieces[a].from:pieces[b].to]
			end := where[pieces[b].to-1] + 1
			kind, value, end := f.classify(d, start, end, b-a+1, about)
			if kind == "" {
				continue
			}
			if kind == qingting.SlotPhone && at(f.s, start-1) == '+' {
				start--
			}
			f.add(kind, start, end, value)
			a = b
			break
		}
	}
}

// classify says what the digits d are, which stand at [start, end) of the text
// in n pieces. The end grows by the X of an identity card.
func (f *finder) classify(d []byte, start, end, n int, about topic) (qingting.SlotKind, string, int) {
	s := f.s
	if r := at(s, start-1); (isLetter(r) || (r == '-' || r == '_') && isLetter(at(s, start-2))) && about != topicPhone && about != topicID {
		return "", "", end
	}
	// An identity card may end in X.
	if len(d) == 17 {
		j := end
		if at(s, j) == ' ' || at(s, j) == '-' {
			j++
		}
		if r := at(s, j); (r == 'X' || r == 'x' || r == '×') && !isAlnum(at(s, j+1)) {
			id := string(d) + "X"
			if validID(id) || about == topicID {
				return qingting.SlotIDCard, id, j + 1
			}
		}
	}
	if isLetter(at(s, end)) && !(about == topicPhone || about == topicID || about == topicBank) {
		return "", "", end
	}
	v := string(d)
	switch {
	case len(d) == 18 && (validID(v) || about == topicID):
		return qingting.SlotIDCard, v, end
	case len(d) == 15 && (about == topicID || about == topicNone && validOldID(v)):
		return qingting.SlotIDCard, v, end
	}
	if about == topicOrder && len(d) >= 6 {
		if n > 1 {
			for _, r := range s[start:end] { // 订单号 123456-2 and dates stay apart from what follows
				if r == ' ' && len(d) > 24 {
					return "", "", end
				}
			}
		}
		if len(d) == 8 && n > 1 && validDay(v) || len(d) < 8 && n > 1 {
			return "", "", end
		}
		return qingting.SlotOrderNumber, v, end
	}
	if about == topicCode {
		return "", "", end
	}
	if p := mobile(v); p != "" {
		return qingting.SlotPhone, p, end
	}
	if about == topicBank && len(d) >= 12 && len(d) <= 19 || about != topicPhone && len(d) >= 16 && len(d) <= 19 && cardPrefix(v) && luhn(v) || about == topicBank && len(d) >= 13 && len(d) <= 19 {
		return qingting.SlotBankCard, v, end
	}
	if landline(v) && (n > 1 || about == topicPhone || about == topicNone) {
		return qingting.SlotPhone, v, end
	}
	if about == topicPhone && (len(d) == 7 || len(d) == 8) && d[0] >= '2' && d[0] <= '8' && n <= 2 && !validDay(v) {
		return qingting.SlotPhone, v, end
	}
	if n == 1 && len(d) >= 12 && len(d) <= mostDigits && !timestamp(v) && !oneOf(at(s, end), "元块万亿") && !inLink(s, start, end) {
		return qingting.SlotOrderNumber, v, end
	}
	return "", "", end
}

// inLink reports digits inside of a web address.
func inLink(s []rune, start, end int) bool {
	return oneOf(at(s, start-1), "/=") || hasAt(s, end, ".htm")
}

// topic is what the words before a number say about it.
type topic int

const (
	topicNone topic = iota
	topicPhone
	topicID
	topicBank
	topicOrder
	topicCode // goods, versions, devices: nobody's data
)

// topics are the words; of two that end at the same place the earlier row wins.
var topics = []struct {
	about topic
	words []string
}{
	{topicCode, []string{"条码", "条形码", "型号", "货号", "商品编号", "商品编码", "产品编号", "版本", "版本号", "邮编", "统一社会信用代码", "税号", "批号", "生产批号", "尾号"}},
	{topicOrder, []string{
		"订单", "订单号", "订单编号", "订单号码", "单号", "运单", "运单号", "快递", "快递号", "物流", "物流号", "流水号", "工单", "工单号", "受理号", "受理编号", "交易号", "交易单号", "票号", "保单", "保单号",
		"合同号", "合同编号", "发票号", "发票号码", "投诉编号", "编号", "退货单", "售后单", "运单编号", "快件", "包裹号", "申请号",
	}},
	{topicID, []string{"身份证", "身份证号", "身份证号码", "证件号", "证件号码", "身份号码", "证件"}},
	{topicBank, []string{"银行卡", "银行卡号", "卡号", "储蓄卡", "信用卡", "借记卡", "工资卡", "账号", "账户", "帐号", "建行", "工行", "农行", "招行", "中行", "交行", "邮储", "农商行", "建设银行", "工商银行", "农业银行", "招商银行", "中国银行", "银行"}},
	{topicPhone, []string{"电话", "手机", "手机号", "号码", "联系方式", "座机", "固话", "电话号码", "手机号码", "tel", "TEL", "Tel", "致电", "机主", "联系", "打给", "来电", "传真", "热线", "微信"}},
}

// context returns what the nearest word before i, at most a few characters
// away in the same sentence, says a number is.
func (f *finder) context(i int) topic {
	s := f.s
	for j := i; j > 0 && j > i-10; j-- {
		r := s[j-1]
		if j < i && isDigit(r) || oneOf(r, "。！？；\n") {
			return topicNone
		}
		if !isHan(r) && !isLetter(r) {
			continue
		}
		for _, t := range topics {
			for _, w := range t.words {
				if hasBefore(s, j, w) {
					return t.about
				}
			}
		}
	}
	return topicNone
}

// mobile returns the eleven digits of a Chinese mobile number, or "".
func mobile(v string) string {
	switch {
	case len(v) == 13 && v[:2] == "86":
		v = v[2:]
	case len(v) == 15 && v[:4] == "0086":
		v = v[4:]
	case len(v) == 12 && v[0] == '0':
		v = v[1:]
	}
	if len(v) == 11 && v[0] == '1' && v[1] >= '3' {
		return v
	}
	return ""
}

// landline reports an area code and a local number.
func landline(v string) bool {
	if len(v) < 11 || len(v) > 12 || v[0] != '0' {
		return false
	}
	switch {
	case v[1] == '1':
		return v[2] == '0' && len(v) == 11 && v[3] >= '2'
	case v[1] == '2':
		return v[2] != '6' && len(v) == 11 && v[3] >= '2'
	}
	return v[1] >= '3' && v[4] >= '2' && v[4] <= '8'
}

// luhn checks the last digit of a card number.
func luhn(v string) bool {
	sum := 0
	for i := range len(v) {
		d := int(v[len(v)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// cardPrefix reports the first digits cards of the networks in China have.
func cardPrefix(v string) bool {
	switch v[0] {
	case '4', '6', '9':
		return true
	case '5':
		return v[1] >= '1' && v[1] <= '6' || v[1] == '9'
	case '3':
		return v[1] == '5' || v[1] == '6' || v[1] == '7'
	case '2':
		return v[1] >= '2' && v[1] <= '7'
	}
	return false
}

// provinceCode reports the first two digits of an identity card (GB/T 2260).
func provinceCode(v string) bool {
	switch v[0] {
	case '1':
		return v[1] >= '1' && v[1] <= '5'
	case '2':
		return v[1] >= '1' && v[1] <= '3'
	case '3':
		return v[1] >= '1' && v[1] <= '7'
	case '4':
		return v[1] >= '1' && v[1] <= '6'
	case '5':
		return v[1] >= '0' && v[1] <= '4'
	case '6':
		return v[1] >= '1' && v[1] <= '5'
	case '7':
		return v[1] == '1'
	case '8':
		return v[1] >= '1' && v[1] <= '3'
	}
	return v[:2] == "91"
}

// validDay reports yyyymmdd of a real day from 1900 to 2099.
func validDay(v string) bool {
	t, err := time.Parse("20060102", v)
	return err == nil && t.Year() >= 1900 && t.Year() < 2100
}

// timestamp reports yyyymmddhhmm with or without seconds.
func timestamp(v string) bool {
	switch len(v) {
	case 12:
		_, err := time.Parse("200601021504", v)
		return err == nil && v[:2] == "20"
	case 14:
		_, err := time.Parse("20060102150405", v)
		return err == nil && v[:2] == "20"
	}
	return false
}

// validID checks place, birthday and check digit of an identity card
// (GB 11643). v has 18 characters.
func validID(v string) bool {
	if !provinceCode(v) || !validDay(v[6:14]) {
		return false
	}
	const weights = "\x07\x09\x0a\x05\x08\x04\x02\x01\x06\x03\x07\x09\x0a\x05\x08\x04\x02"
	sum := 0
	for i := range 17 {
		sum += int(v[i]-'0') * int(weights[i])
	}
	return "10X98765432"[sum%11] == v[17]
}

// validOldID checks place and birthday of an identity card of 15 digits.
func validOldID(v string) bool { return provinceCode(v) && validDay("19"+v[6:12]) }

// codes finds order numbers with letters in them: after a word for order, or
// by their length.
func (f *finder) codes() {
	s := f.s
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) {
			continue
		}
		start, digits, letters := i, 0, 0
		for i < len(s) && (isAlnum(s[i]) || (s[i] == '-' || s[i] == '_') && isAlnum(at(s, i+1))) {
			switch {
			case isDigit(s[i]):
				digits++
			case isLetter(s[i]):
				letters++
			}
			i++
		}
		if digits < 4 || letters == 0 || digits+letters < 6 || digits+letters > mostDigits || at(s, start-1) == '@' || at(s, i) == '@' || inLink(s, start, i) {
			continue
		}
		if digits >= 8 && letters <= 6 && digits+letters >= 10 || f.context(start) == topicOrder {
			if f.context(start) == topicCode {
				continue
			}
			f.add(qingting.SlotOrderNumber, start, i, code(s[start:i]))
		}
	}
}

// code is an order number in capital letters without dashes.
func code(s []rune) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z':
			b = append(b, byte(r-'a'+'A'))
		case isAlnum(r):
			b = append(b, byte(r))
		}
	}
	return string(b)
}

// plateProvinces begin a number plate.
const plateProvinces = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使"

// plates finds number plates, with new energy ones: 京A12345, 粤B·D12345.
func (f *finder) plates() {
	s := f.s
	for i, r := range s {
		if !f.class.is(r, classPlate) {
			continue
		}
		j := i + 1
		if at(s, j) == ' ' {
			j++
		}
		if !isLetter(at(s, j)) || oneOf(s[j]&^0x20, "IO") {
			continue
		}
		out := append(make([]rune, 0, 8), r, s[j]&^0x20)
		digits, letters := 0, 0
		sep := false
		for j++; j < len(s) && len(out) < 8; j++ {
			c := s[j]
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			if isDigit(c) {
				digits++
			} else if isLetter(c) && c != 'I' && c != 'O' {
				letters++
			} else if len(out) == 6 && oneOf(c, "挂学警港澳试") {
				out = append(out, c)
				j++
				break
			} else if !sep && (c == ' ' || c == '·' || c == '-' || c == '.') && len(out) == 2 {
				sep = true
				continue
			} else {
				break
			}
			out = append(out, c)
		}
		if len(out) < 7 || digits < 2 || letters > 3 || isAlnum(at(s, j)) {
			continue
		}
		if len(out) == 8 && !oneOf(out[2], "DABCEFGHJK") && !oneOf(out[7], "DABCEFGHJK") {
			continue
		}
		f.add(qingting.SlotPlate, i, j, string(out))
	}
}
