package text

import (
	"fmt"
	"strings"
	"time"
)

// Date is a day, a month or a time of day named in a cleaned text.
type Date struct {
	// Value is ISO 8601 where the words can be resolved: 2026-11-20,
	// 2026-11-20T20:00, 2026-11, 2026-W47 for a week, 2026 for a year, 15:00 for
	// a time without a day. Else it is the words, with Arabic digits (3天前).
	Value string
	Start int // code points of the text given
	End   int
}

// FindDates finds dates and times of day in a cleaned text, by start, without
// overlap. Relative ones (昨天, 上周三, 三天前) and those without a year are
// resolved against at, in the location of at; when at is zero they keep their
// words. A date without a year is the one nearest to at, where a
// day to come counts as twice as far as a past one.
func FindDates(clean []rune, at time.Time) []Date {
	var out []Date
	c := classes()
	for i := 0; i < len(clean); i++ {
		if !c.is(clean[i], classDate) {
			continue
		}
		p := dateParser{s: clean, at: at}
		if end := p.parse(i); end > i {
			out = append(out, Date{Value: p.value(i, end), Start: i, End: end})
			i = end - 1
			continue
		}
		if isDigit(clean[i]) { // Never start inside of a number.
			for i+1 < len(clean) && isDigit(clean[i+1]) {
				i++
			}
		}
	}
	return out
}

// startsDate reports characters a date or time may begin with.
func startsDate(r rune) bool {
	if r < '〇' {
		return isDigit(r)
	}
	switch r {
	case '今', '昨', '前', '明', '后', '大', '上', '下', '本', '这', '月', '双', '国', '元', '周', '星', '礼', '去', '早', '中', '晚', '凌', '傍', '半', '年', '春', '端':
		return true
	}
	return chineseDigit(r) >= 0 || r == '十'
}

// dateParser reads one date. Fields that were not said are 0, or −1 for the
// time of day.
type dateParser struct {
	s    []rune
	at   time.Time
	kind dateKind
	// day is the day meant; with less precision its first day.
	day          time.Time
	hour, minute int
}

type dateKind int

// How exactly a date is known.
const (
	dateNone  dateKind = iota
	dateWords          // only the words
	dateYear
	dateMonth
	dateWeek
	dateDay
	dateMoment // hour and minute are in day itself
	dateTime   // a time without a day
)

// parse returns the end of the date at i, or i.
func (p *dateParser) parse(i int) int {
	p.hour = -1
	end := p.date(i)
	if end == i {
		end = p.clock(i, true)
		if end > i {
			p.kind = dateTime
		}
		return end
	}
	if p.kind == dateDay || p.kind == dateWords {
		j := end
		if at(p.s, j) == ' ' || at(p.s, j) == '的' {
			j++
		}
		if e := p.clock(j, false); e > j {
			return e
		}
	}
	return end
}

// value writes the date that was parsed out of [i, end).
func (p *dateParser) value(i, end int) string {
	clock := ""
	day := p.day
	if p.hour >= 0 {
		h := p.hour
		if h == 24 {
			h, day = 0, day.AddDate(0, 0, 1)
		}
		clock = fmt.Sprintf("%02d:%02d", h, p.minute)
	}
	switch p.kind {
	case dateYear:
		return day.Format("2006")
	case dateMonth:
		return day.Format("2006-01")
	case dateWeek:
		y, w := day.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", y, w)
	case dateDay:
		if clock != "" {
			return day.Format("2006-01-02") + "T" + clock
		}
		return day.Format("2006-01-02")
	case dateMoment:
		return day.Format("2006-01-02T15:04")
	case dateTime:
		return clock
	}
	return plainWords(p.s[i:end])
}

// plainWords writes words with Arabic digits and without spaces. Days of the
// week and 双十一 keep their names.
func plainWords(s []rune) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == ' ' {
			i++
			continue
		}
		if startsNumber(s[i]) && s[i] != '半' && !oneOf(at(s, i-1), "周期拜双五十") && hasAnyAt(s, i, "五一", "十一假", "十一长", "十一黄", "十一期", "六一八") == 0 {
			if n, ok := parseNumber(s, i); ok && n.end > i {
				b.WriteString(FormatNumber(n.value))
				i = n.end
				continue
			}
		}
		b.WriteRune(s[i])
		i++
	}
	return b.String()
}

// date reads the day, month, week or year at i.
func (p *dateParser) date(i int) int {
	s := p.s
	if isDigit(s[i]) && i > 0 && (isDigit(s[i-1]) || isLetter(s[i-1]) || (s[i-1] == '.' || s[i-1] == '-' || s[i-1] == '/' || s[i-1] == ':') && i > 1 && isDigit(s[i-2])) {
		return i
	}
	if isDigit(s[i]) {
		if end := p.numeric(i); end > i {
			return end
		}
	}
	if isDigit(s[i]) || chineseDigit(s[i]) >= 0 || s[i] == '十' || s[i] == '半' {
		if end := p.counted(i); end > i {
			return end
		}
	}
	if isDigit(s[i]) {
		return p.festival(i)
	}
	if end := p.relative(i); end > i {
		return end
	}
	if end := p.week(i); end > i {
		return end
	}
	return p.festival(i)
}

// valid sets the day when it exists.
func (p *dateParser) valid(y, m, d int) bool {
	if m < 1 || m > 12 || d < 1 || d > 31 {
		return false
	}
	day := time.Date(y, time.Month(m), d, 0, 0, 0, 0, p.location())
	if day.Day() != d {
		return false
	}
	p.day, p.kind = day, dateDay
	return true
}

func (p *dateParser) location() *time.Location {
	if p.at.IsZero() {
		return time.UTC
	}
	return p.at.Location()
}

// futureCost is how much farther a day to come counts than a past one when a
// date has no year: complaints are about what has happened.
const futureCost = 2

// nearest sets month and day of the year that brings them closest to at.
func (p *dateParser) nearest(m, d int) bool {
	if p.at.IsZero() {
		if !p.valid(2024, m, d) { // a leap year
			return false
		}
		p.kind = dateWords
		return true
	}
	best := time.Duration(-1)
	var day time.Time
	for y := p.at.Year() - 1; y <= p.at.Year()+1; y++ {
		if !p.valid(y, m, d) {
			continue
		}
		gap := p.at.Sub(p.day)
		if gap < 0 {
			gap *= -futureCost
		}
		if best < 0 || gap < best {
			best, day = gap, p.day
		}
	}
	p.day = day
	return best >= 0
}

// digits reads at most most Arabic digits.
func digits(s []rune, i, most int) (v, end int) {
	for end = i; end < len(s) && end < i+most && isDigit(s[end]); end++ {
		v = v*10 + int(s[end]-'0')
	}
	return v, end
}

// numeric reads 2026-11-20, 2026/11/20, 2026.11.20, 20261120 and 11.20买.
func (p *dateParser) numeric(i int) int {
	s := p.s
	y, e := digits(s, i, 9)
	n := e - i
	if n == 8 && (y/10000 >= 1990 && y/10000 < 2100) && !isLetter(at(s, e)) && !oneOf(at(s, i-1), "号：") {
		if p.valid(y/10000, y/100%100, y%100) {
			return e
		}
		return i
	}
	sep := at(s, e)
	if n == 4 && y >= 1990 && y < 2100 && (sep == '-' || sep == '/' || sep == '.') {
		m, e2 := digits(s, e+1, 3)
		if e2 > e+1 && at(s, e2) == sep {
			d, e3 := digits(s, e2+1, 3)
			if e3 > e2+1 && e3-e2 <= 3 && !isLetter(at(s, e3)) && p.valid(y, m, d) {
				return e3
			}
		} else if e2 == e+3 && m >= 1 && m <= 12 && sep == '-' && !isLetter(at(s, e2)) {
			p.day, p.kind = time.Date(y, time.Month(m), 1, 0, 0, 0, 0, p.location()), dateMonth
			return e2
		}
		return i
	}
	if n <= 2 && (sep == '.' || sep == '/' || sep == '-') && y >= 1 && y <= 12 && at(s, i-1) != '¥' {
		d, e2 := digits(s, e+1, 3)
		if e2-e < 2 || e2-e > 3 || at(s, e2) == '.' || at(s, e2) == sep && isDigit(at(s, e2+1)) {
			return i
		}
		j := e2
		marked := at(s, j) == '号' || at(s, j) == '日'
		if marked {
			j++
		}
		if at(s, j) == ' ' {
			j++
		}
		if !marked && hasAnyAt(s, j, "买", "购", "下单", "下的单", "拍", "到货", "签收", "办", "发货", "申请", "当天", "那天", "收到", "之前", "以前", "晚", "早上", "上午", "下午", "中午", "凌晨", "开始", "提交", "预约", "入住", "报修", "付款", "出发") == 0 {
			return i
		}
		if p.nearest(y, d) {
			if marked {
				return e2 + 1
			}
			return e2
		}
	}
	return i
}

// counted reads what begins with a number: 2026年11月20日, 11月20号, 20号,
// 三天前.
func (p *dateParser) counted(i int) int {
	s := p.s
	if s[i] == '半' {
		if n := hasAnyAt(s, i+1, "个月", "年", "小时", "个小时", "天"); n > 0 {
			return p.ago(i, 0.5, i+1)
		}
		return i
	}
	n, ok := parseNumber(s, i)
	if !ok {
		return i
	}
	v := int(n.value)
	switch at(s, n.end) {
	case '年':
		if hasAnyAt(s, n.end+1, "前", "以前", "之前", "后", "以后", "之后") > 0 && v < 100 {
			return p.ago(i, n.value, n.end)
		}
		switch {
		case v >= 1990 && v < 2100:
		case v >= 10 && v < 50 && n.end == i+2:
			v += 2000
		default:
			return i
		}
		j := n.end + 1
		if m, e := p.month(j); m > 0 {
			return p.dayOf(v, m, e)
		}
		if v < 1990 || n.end-i != 4 {
			return i
		}
		p.day, p.kind = time.Date(v, 1, 1, 0, 0, 0, 0, p.location()), dateYear
		return j
	case '月':
		if m, e := p.month(i); m > 0 {
			if d, e2 := p.dayNumber(e); d > 0 {
				if p.nearest(m, d) {
					return e2
				}
				return i
			}
			if part := hasAnyAt(s, e, "底", "末"); part > 0 && !p.at.IsZero() && p.nearest(m, 1) {
				p.day = p.day.AddDate(0, 1, -1)
				return e + part
			}
			if !p.nearest(m, 1) {
				return i
			}
			if p.kind == dateDay {
				p.kind = dateMonth
			}
			return e + hasAnyAt(s, e, "份", "底", "末", "初", "中旬", "上旬", "下旬")
		}
		return i
	case '号', '日':
		if v < 1 || v > 31 || n.value != float64(v) || at(s, i-1) == '月' {
			return i
		}
		e := n.end + 1
		if s[n.end] == '号' && !dayFollows(s, i, e) || s[n.end] == '日' && oneOf(at(s, e), "游元韩") {
			return i
		}
		if p.at.IsZero() {
			p.kind = dateWords
			return e
		}
		for _, back := range []int{0, -1, 1} { // this month, else a neighbour that has the day
			first := time.Date(p.at.Year(), p.at.Month()+time.Month(back), 1, 0, 0, 0, 0, p.location())
			if back == 0 && first.AddDate(0, 0, v-1).Sub(p.at) > 20*24*time.Hour {
				continue
			}
			if p.valid(first.Year(), int(first.Month()), v) {
				return e
			}
		}
		return i
	}
	return p.ago(i, n.value, n.end)
}

// dayFollows tells 20号 the day from 20号 the house, the line or the worker.
func dayFollows(s []rune, i, e int) bool {
	if oneOf(at(s, i-1), "路街巷弄村工型尾编单道坊里座栋第") {
		return false
	}
	next := at(s, e)
	return next == 0 || next == ' ' || isChinesePunct(next) || hasAnyAt(s, e, "晚", "早", "上午", "下午", "中午", "凌晨", "当天", "那天", "买", "下单", "下的", "到货", "到现在", "到今", "就", "的", "之前", "以前", "前", "之后", "以后", "后", "发", "说", "去", "收", "申请", "办", "开始", "给", "拍", "付", "我", "你", "打", "寄", "交", "扣", "左右", "还", "才") > 0
}

// month reads N月 and returns 0 when there is none.
func (p *dateParser) month(i int) (m, end int) {
	n, ok := parseNumber(p.s, i)
	if !ok || n.value < 1 || n.value > 12 || n.value != float64(int(n.value)) || at(p.s, n.end) != '月' || oneOf(at(p.s, n.end+1), "租付供饼均") {
		return 0, i
	}
	return int(n.value), n.end + 1
}

// dayNumber reads N日, N号 or a bare N after a month.
func (p *dateParser) dayNumber(i int) (d, end int) {
	if at(p.s, i) == ' ' {
		i++
	}
	n, ok := parseNumber(p.s, i)
	if !ok || n.value < 1 || n.value > 31 || n.value != float64(int(n.value)) {
		return 0, i
	}
	if r := at(p.s, n.end); r == '日' || r == '号' {
		return int(n.value), n.end + 1
	}
	if isMeasure(at(p.s, n.end)) {
		return 0, i
	}
	return int(n.value), n.end
}

// dayOf finishes a date whose year and month are known.
func (p *dateParser) dayOf(y, m, e int) int {
	if d, e2 := p.dayNumber(e); d > 0 && p.valid(y, m, d) {
		return e2
	}
	p.day, p.kind = time.Date(y, time.Month(m), 1, 0, 0, 0, 0, p.location()), dateMonth
	if part := hasAnyAt(p.s, e, "底", "末"); part > 0 {
		p.day, p.kind = p.day.AddDate(0, 1, -1), dateDay
		return e + part
	}
	return e + hasAnyAt(p.s, e, "份", "初", "中旬", "上旬", "下旬")
}

// ago reads what follows a number in 三天前, 两个月后.
func (p *dateParser) ago(i int, v float64, j int) int {
	s := p.s
	var years, months, days int
	var length time.Duration
	whole := v == float64(int(v))
	u := j
	switch {
	case hasAt(s, j, "天"):
		days, u = int(v), j+1
		if !whole {
			length, days = 12*time.Hour, 0
		}
	case hasAt(s, j, "个月"):
		months, u = int(v), j+2
		if !whole {
			days = int(v * 30)
			months = 0
		}
	case hasAnyAt(s, j, "个星期", "个礼拜") > 0:
		days, u = int(v*7), j+3
	case hasAnyAt(s, j, "星期", "礼拜") > 0:
		days, u = int(v*7), j+2
	case hasAt(s, j, "周"):
		days, u = int(v*7), j+1
	case hasAt(s, j, "年"):
		years, u = int(v), j+1
		if !whole {
			years, months = 0, 6
		}
	case hasAt(s, j, "个小时"):
		length, u = time.Duration(v*float64(time.Hour)), j+3
	case hasAt(s, j, "小时"):
		length, u = time.Duration(v*float64(time.Hour)), j+2
	case hasAt(s, j, "分钟"):
		length, u = time.Duration(v*float64(time.Minute)), j+2
	default:
		return i
	}
	if v > 10000 {
		return i
	}
	sign, e := -1, 0
	switch {
	case hasAnyAt(s, u, "以前", "之前") > 0:
		e = u + 2
	case hasAt(s, u, "前") && at(s, u+1) != '后':
		e = u + 1
	case hasAnyAt(s, u, "以后", "之后") > 0:
		sign, e = 1, u+2
	case hasAt(s, u, "后") && !oneOf(at(s, u+1), "台续面"):
		sign, e = 1, u+1
	default:
		return i
	}
	if p.at.IsZero() {
		p.kind = dateWords
		return e
	}
	if length != 0 {
		p.day, p.kind = p.at.Add(time.Duration(sign)*length), dateMoment
		return e
	}
	p.day, p.kind = p.today().AddDate(sign*years, sign*months, sign*days), dateDay
	return e
}

func (p *dateParser) today() time.Time {
	return time.Date(p.at.Year(), p.at.Month(), p.at.Day(), 0, 0, 0, 0, p.at.Location())
}

// set resolves a date relative to today, or leaves the words.
func (p *dateParser) set(kind dateKind, years, months, days int) {
	if p.at.IsZero() {
		p.kind = dateWords
		return
	}
	p.day, p.kind = p.today(), kind
	switch kind {
	case dateYear:
		p.day = time.Date(p.at.Year()+years, 1, 1, 0, 0, 0, 0, p.at.Location())
	case dateMonth:
		p.day = time.Date(p.at.Year(), p.at.Month()+time.Month(months), 1, 0, 0, 0, 0, p.at.Location())
	default:
		p.day = p.day.AddDate(0, 0, days)
	}
}

// relative reads 今天, 前天, 上个月, 去年, 月底.
func (p *dateParser) relative(i int) int {
	s := p.s
	switch s[i] {
	case '大', '前', '昨', '今', '明', '后', '去', '上', '下', '本', '这', '月', '年':
	default:
		return i
	}
	for _, w := range relativeDays {
		if !hasAt(s, i, w.words) {
			continue
		}
		e := i + runeCount(w.words)
		// 目前天气, 之前天天, 提前天, 天天上今天…: 前天 and 后天 need a free left side.
		if (s[i] == '前' || s[i] == '后') && (oneOf(at(s, i-1), "目之以提先当从月年日天周时期最") || oneOf(at(s, e), "气天")) {
			return i
		}
		p.set(dateDay, 0, 0, w.days)
		return e
	}
	for _, w := range relativeMonths {
		if !hasAt(s, i, w.words) {
			continue
		}
		e := i + runeCount(w.words)
		p.set(dateMonth, 0, w.days, 0)
		first := p.day
		if d, e2 := p.dayNumber(e); d > 0 {
			if p.kind == dateWords || p.valid(first.Year(), int(first.Month()), d) {
				return e2
			}
			p.day, p.kind = first, dateMonth
		}
		if n := hasAnyAt(s, e, "底", "末"); n > 0 {
			if p.kind == dateMonth {
				p.day, p.kind = p.day.AddDate(0, 1, -1), dateDay
			}
			return e + n
		}
		return e + hasAnyAt(s, e, "初", "中旬", "上旬", "下旬", "份")
	}
	if n := hasAnyAt(s, i, "月底", "月末", "月初"); n > 0 && !oneOf(at(s, i-1), "个年每当") {
		p.set(dateMonth, 0, 0, 0)
		if s[i+1] != '初' && p.kind == dateMonth {
			p.day, p.kind = p.day.AddDate(0, 1, -1), dateDay
		}
		return i + n
	}
	for _, w := range relativeYears {
		if !hasAt(s, i, w.words) {
			continue
		}
		e := i + runeCount(w.words)
		p.set(dateYear, w.days, 0, 0)
		year := p.day.Year()
		if m, e2 := p.month(e); m > 0 {
			if p.kind == dateWords {
				if _, e3 := p.dayNumber(e2); e3 > e2 {
					return e3
				}
				return e2
			}
			return p.dayOf(year, m, e2)
		}
		festival := dateParser{s: s, at: p.at}
		if e2 := festival.festival(e); e < len(s) && e2 > e {
			if festival.kind == dateDay && p.kind == dateYear {
				p.day, p.kind = time.Date(year, festival.day.Month(), festival.day.Day(), 0, 0, 0, 0, p.location()), dateDay
			} else {
				p.kind = dateWords
			}
			return e2
		}
		return e + hasAnyAt(s, e, "底", "初")
	}
	return i
}

// relativeWord is a word for a day, month or year counted from now.
type relativeWord struct {
	words string
	days  int // or months, or years
}

var (
	relativeDays = []relativeWord{
		{"大前天", -3},
		{"大后天", 3},
		{"前天", -2},
		{"前日", -2},
		{"前晚", -2},
		{"昨天", -1},
		{"昨日", -1},
		{"昨晚", -1},
		{"昨夜", -1},
		{"今天", 0},
		{"今日", 0},
		{"今晚", 0},
		{"今早", 0},
		{"今夜", 0},
		{"明天", 1},
		{"明日", 1},
		{"明晚", 1},
		{"明早", 1},
		{"后天", 2},
		{"后日", 2},
	}
	relativeMonths = []relativeWord{
		{"上上个月", -2}, {"上个月", -1}, {"上月", -1}, {"这个月", 0}, {"本月", 0}, {"这月", 0}, {"下个月", 1}, {"下月", 1},
	}
	relativeYears = []relativeWord{{"前年", -2}, {"去年", -1}, {"今年", 0}, {"本年", 0}, {"明年", 1}, {"后年", 2}}
)

// week reads 上周三, 下个星期天, 周五, 这周.
func (p *dateParser) week(i int) int {
	s := p.s
	j, shift, named := i, 0, false
	switch {
	case hasAnyAt(s, j, "上上") > 0:
		j, shift, named = j+2, -14, true
	case s[j] == '上':
		j, shift, named = j+1, -7, true
	case hasAnyAt(s, j, "下下") > 0:
		j, shift, named = j+2, 14, true
	case s[j] == '下':
		j, shift, named = j+1, 7, true
	case s[j] == '本' || s[j] == '这':
		j, named = j+1, true
	}
	if named && at(s, j) == '个' {
		j++
	}
	n := hasAnyAt(s, j, "星期", "礼拜", "周")
	if n == 0 {
		return i
	}
	if !named && (at(s, i-1) == '每' || startsNumber(at(s, i-1)) || at(s, i-1) == '个') {
		return i
	}
	j += n
	weekday := -1
	switch r := at(s, j); r {
	case '日', '天', '7':
		weekday = 6
	case '末':
		weekday = 5
	default:
		if d := chineseDigit(r); d >= 1 && d <= 6 && r != '两' && r != '俩' {
			weekday = d - 1
		} else if r >= '1' && r <= '6' && !isDigit(at(s, j+1)) && !isMeasure(at(s, j+1)) {
			weekday = int(r - '1')
		}
	}
	if weekday < 0 {
		if !named || oneOf(at(s, j), "边围到年转") {
			return i
		}
		p.set(dateWeek, 0, 0, shift)
		return j
	}
	if n == 1 && s[j] == '天' { // 周天 is said, but 上周天天 is not a day
		if at(s, j+1) == '天' {
			return i
		}
	}
	p.set(dateDay, 0, 0, 0)
	if p.kind == dateDay {
		monday := p.day.AddDate(0, 0, -(int(p.day.Weekday())+6)%7)
		p.day = monday.AddDate(0, 0, shift+weekday)
	}
	return j + 1
}

// festival reads 双十一, 618, 国庆. Moving feasts keep their words.
func (p *dateParser) festival(i int) int {
	s := p.s
	if !classes().is(at(s, i), classFestival) {
		return i
	}
	for _, f := range festivals {
		if !hasAt(s, i, f.words) {
			continue
		}
		e := i + runeCount(f.words)
		if f.after != "" && hasAnyAt(s, e, strings.Fields(f.after)...) == 0 {
			continue
		}
		if startsNumber(at(s, i-1)) || startsNumber(at(s, e)) || isLetter(at(s, i-1)) {
			continue
		}
		if f.month == 0 {
			p.kind = dateWords
			return e
		}
		if p.nearest(f.month, f.day) {
			return e
		}
	}
	return i
}

// festivals are days with a name. after, where not empty, are the words one of
// which must follow.
var festivals = []struct {
	words      string
	month, day int
	after      string
}{
	{"双十一", 11, 11, ""},
	{"双11", 11, 11, ""},
	{"双十二", 12, 12, ""},
	{"双12", 12, 12, ""},
	{"国庆节", 10, 1, ""},
	{"国庆", 10, 1, ""},
	{"元旦", 1, 1, ""},
	{"五一", 5, 1, "节 假 劳动 期间 放假 那 当天 长假 前 后"},
	{"十一", 10, 1, "假 长假 黄金周 期间"},
	{"618", 6, 18, "买 活动 大促 下单 期间 购 那天 当天 的时候 促销"},
	{"六一八", 6, 18, ""},
	{"春节", 0, 0, ""},
	{"中秋节", 0, 0, ""},
	{"中秋", 0, 0, ""},
	{"端午", 0, 0, ""},
}

// periods are the parts of a day with the hours they begin.
var periods = []struct {
	words string
	pm    bool
	noon  bool
	night bool // twelve o'clock ends the day
}{
	{"早上", false, false, false},
	{"上午", false, false, false},
	{"早晨", false, false, false},
	{"清晨", false, false, false},
	{"凌晨", false, false, false},
	{"中午", true, true, false},
	{"下午", true, false, false},
	{"傍晚", true, false, false},
	{"晚上", true, false, true},
	{"半夜", false, false, false},
	{"夜里", true, false, true},
	{"晚", true, false, true},
	{"早", false, false, false},
}

// clock reads a time of day: 下午三点, 8点半, 20:30. alone says that no date
// stands before it, so that 3点 needs something that shows it is a time.
func (p *dateParser) clock(i int, alone bool) int {
	s := p.s
	j := i
	period := -1
	if classes().is(at(s, j), classPeriod) {
		for k := range periods {
			if hasAt(s, j, periods[k].words) {
				period = k
				j += runeCount(periods[k].words)
				break
			}
		}
	}
	if period < 0 && !alone && i > 0 && oneOf(s[i-1], "晚夜早") { // 今晚8点
		for k := range periods {
			if periods[k].words == "晚" && s[i-1] != '早' || periods[k].words == "早" && s[i-1] == '早' {
				period = k
			}
		}
	}
	if at(s, j) == ' ' {
		j++
	}
	if isDigit(at(s, j)) && (isDigit(at(s, j-1)) || isLetter(at(s, j-1)) || at(s, j-1) == '.') {
		return i
	}
	h, e, ok := smallNumber(s, j)
	if !ok || h > 24 {
		return i
	}
	minute := 0
	switch {
	case (at(s, e) == ':' || at(s, e) == '：') && isDigit(at(s, e-1)):
		m, e2 := digits(s, e+1, 3)
		if e2 != e+3 || m > 59 {
			return i
		}
		minute, e = m, e2
		if at(s, e) == ':' {
			if sec, e3 := digits(s, e+1, 3); e3 == e+3 && sec < 60 {
				e = e3
			}
		}
	case at(s, e) == '点' || at(s, e) == '时' && !oneOf(at(s, e+1), "间候代尚"):
		shown := period >= 0 || !alone
		hour := e
		e++
		switch {
		case at(s, e) == '半':
			minute, e, shown = 30, e+1, true
		case at(s, e) == '钟' || at(s, e) == '整':
			e, shown = e+1, true
		case hasAt(s, e, "一刻"):
			minute, e, shown = 15, e+2, true
		case hasAt(s, e, "三刻"):
			minute, e, shown = 45, e+2, true
		default:
			if m, e2, ok := smallNumber(s, e); ok && m < 60 && (at(s, e2) == '分' || e2 == e+2 && !isMeasure(at(s, e2))) {
				minute, e = m, e2
				shown = true
				if at(s, e) == '分' {
					e++
				}
			}
		}
		if !shown && s[hour] == '点' && h > 1 && hasAnyAt(s, e, "多", "左右", "之前", "以前", "前", "之后", "以后", "到", "开始", "才", "就", "下班", "上班", "打", "来", "送") > 0 {
			shown = true
		}
		if !shown {
			return i
		}
	default:
		return i
	}
	if period >= 0 {
		switch f := periods[period]; {
		case f.noon && h < 10:
			h += 12
		case f.night && h == 12:
			h = 24
		case f.pm && !f.noon && h < 12:
			h += 12
		case !f.pm && h == 12 && f.words != "上午":
			h = 0
		}
	}
	if h == 24 && minute > 0 {
		h = 0
	}
	p.hour, p.minute = h, minute
	return e
}

// smallNumber reads at most two Arabic digits or a Chinese number below 100.
func smallNumber(s []rune, i int) (v, end int, ok bool) {
	if isDigit(at(s, i)) {
		v, end = digits(s, i, 3)
		return v, end, end-i <= 2
	}
	j := i
	if at(s, j) == '零' || at(s, j) == '〇' {
		j++
	}
	for end = j; end < len(s) && end < j+3 && (chineseDigit(s[end]) >= 0 || s[end] == '十'); {
		end++
	}
	if end == j {
		return 0, i, false
	}
	n, good := parseNumber(s[:end], j)
	if !good || n.end != end || n.value > 99 {
		return 0, i, false
	}
	return int(n.value), end, true
}
