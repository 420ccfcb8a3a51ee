package promise

import (
	"slices"
	"strings"
	"time"

	"github.com/qingting-ai/qingting/internal/text"
)

// A deadline that names a day ends when the service does: a promise for today
// is kept in the evening or not at all, and a warning at midnight reaches
// nobody. Working days end with the office.
const (
	dayEnds  = 20 // o'clock
	workEnds = 18
)

// due is a time a text names.
type due struct {
	start, end int
	at         time.Time // zero: not known
	length     bool      // a length of time (3天内), not a day or an hour
}

// longest is the longest time anybody promises anything within, in days.
const longest = 366

// dues returns the times a text names that are not over, by start. A day and
// the time of day behind it are one. sent is when the text was written, in
// the time zone of the customer; when it is zero nothing can be resolved.
func dues(s []rune, sent time.Time, out []due) []due {
	begin := len(out)
	digits := false
	for i := 0; i < len(s); i++ {
		if _, ok := numeral(s[i]); !ok || i > 0 && isDigit(s[i]) && (isDigit(s[i-1]) || s[i-1] == '.') {
			continue
		}
		digits = true
		if d, ok := lengthAt(s, i, sent); ok {
			out = append(out, d)
			i = d.end - 1
		}
	}
	taken := func(from, to int) bool {
		return slices.ContainsFunc(out[begin:], func(d due) bool { return from < d.end && d.start < to })
	}
	if digits || slices.ContainsFunc(s, func(r rune) bool { return strings.ContainsRune("今明后周期拜月", r) }) {
		for _, d := range text.FindDates(s, sent) {
			if taken(d.Start, d.End) {
				continue
			}
			if d, ok := dayAt(s, d, sent); ok && !taken(d.start, d.end) {
				out = append(out, d)
			}
		}
	}
	for i := range s {
		if !strings.ContainsRune("下晚上中次隔第当", s[i]) {
			continue
		}
		if d, ok := periodAt(s, i, sent); ok && !taken(d.start, d.end) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out[begin:], func(a, b due) int { return a.start - b.start })
	return out
}

// numeral is the value of a digit; 10 for 十, 0.5 for 半.
func numeral(r rune) (float64, bool) {
	if isDigit(r) {
		return float64(r - '0'), true
	}
	switch r {
	case '半':
		return 0.5, true
	case '一':
		return 1, true
	case '二', '两':
		return 2, true
	case '三':
		return 3, true
	case '四':
		return 4, true
	case '五':
		return 5, true
	case '六':
		return 6, true
	case '七':
		return 7, true
	case '八':
		return 8, true
	case '九':
		return 9, true
	case '十':
		return 10, true
	}
	return 0, false
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

// number reads a number up to four digits, of 两三 the larger one.
func number(s []rune, i int) (v float64, end int) {
	for end = i; end < len(s) && end < i+4 && isDigit(s[end]); end++ {
		v = v*10 + float64(s[end]-'0')
	}
	if end > i {
		if end+1 < len(s) && s[end] == '.' && isDigit(s[end+1]) {
			v += float64(s[end+1]-'0') / 10
			end += 2
		}
		return v, end
	}
	for end = i; end < len(s) && end < i+3; end++ {
		d, ok := numeral(s[end])
		switch {
		case !ok || isDigit(s[end]) || s[end] == '半' && end > i:
			return v, end
		case s[end] == '半':
			return d, end + 1
		case s[end] == '十':
			v = max(v, 1) * 10
		case v >= 10:
			v += d
		default:
			v = d
		}
	}
	return v, end
}

// units are the lengths of time by their words.
var units = []struct {
	words string
	unit  byte
}{
	{"个小时", 'h'},
	{"小时", 'h'},
	{"个钟头", 'h'},
	{"钟头", 'h'},
	{"h", 'h'},
	{"H", 'h'},
	{"分钟", 'm'},
	{"个工作日", 'w'},
	{"工作日", 'w'},
	{"个自然日", 'd'},
	{"自然日", 'd'},
	{"天", 'd'},
	{"日", 'd'},
	{"个星期", '7'},
	{"星期", '7'},
	{"个礼拜", '7'},
	{"礼拜", '7'},
	{"周", '7'},
	{"个月", 'M'},
}

// notLength follows a length of time that is no deadline: 7天无理由, 24小时在线.
var notLength = []string{"无理由", "在线", "客服", "热线", "服务", "营业", "人工", "保价", "价保", "免费", "的时间", "前", "之前", "以前", "多前", "没", "未", "多了", "了", "质保", "保修", "上网", "流量", "来", "体验", "试用", "价格", "有效"}

// within are the words behind a length of time.
var within = []string{"之内", "以内", "内", "左右", "之后", "以后", "后", "上下"}

// lengthAt reads 24小时内, 1-3个工作日, 两个半小时后 at i.
func lengthAt(s []rune, i int, sent time.Time) (due, bool) {
	v, end := number(s, i)
	if end == i || i > 0 && (strings.ContainsRune("第每超满近过了隔前点:：月年号.", s[i-1]) || isDigit(s[i-1]) || isLetter(s[i-1])) {
		return due{}, false
	}
	unit, e := unitAt(s, end)
	if unit == 0 && end < len(s) && strings.ContainsRune("-~～—到至", s[end]) || unit != 0 && e < len(s) && strings.ContainsRune("-~～—到至", s[e]) {
		from := end
		if unit != 0 {
			from = e
		}
		if w, e2 := number(s, from+1); e2 > from+1 {
			if u, e3 := unitAt(s, e2); u != 0 {
				v, unit, e, end = w, u, e3, e2
			}
		}
	}
	if unit == 0 {
		return due{}, false
	}
	if hasAt(s, end, "个半") {
		v += 0.5
	}
	if unit == 'd' && i > 1 && s[i-1] == '明' && s[i-2] == '今' { // 今明两天
		return due{start: i - 2, end: suffix(s, e), at: after(sent, 1, unit), length: true}, true
	}
	for _, w := range notLength {
		if hasAt(s, e, w) {
			return due{}, false
		}
	}
	for _, w := range within {
		if hasAt(s, e, w) {
			bare := s[e-1] == '日' && !hasAt(s, e-3, "工作日") && !hasAt(s, e-3, "自然日")
			if bare && !strings.HasSuffix(w, "内") {
				return due{}, false
			}
			return due{start: i, end: e + len([]rune(w)), at: after(sent, v, unit), length: true}, true
		}
	}
	if s[e-1] == '日' && !hasAt(s, e-3, "工作日") && !hasAt(s, e-3, "自然日") || s[e-1] == '周' {
		return due{}, false // 25日 is a day
	}
	return due{start: i, end: e, at: after(sent, v, unit), length: true}, true
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// unitAt reads the unit behind a number, over a half between the two (个半小时).
func unitAt(s []rune, i int) (unit byte, end int) {
	if hasAt(s, i, " ") {
		i++
	}
	if hasAt(s, i, "个半") {
		if u, e := unitAt(s, i+2); u != 0 {
			return u, e
		}
	}
	for _, u := range units {
		if hasAt(s, i, u.words) {
			end = i + len([]rune(u.words))
			if u.unit == 'h' && len(u.words) == 1 && end < len(s) && isLetter(s[end]) {
				return 0, i
			}
			return u.unit, end
		}
	}
	return 0, i
}

// after is the end of a length of time. Hours and minutes are exact; days end
// with the day. Working days begin with the one after the message and leave
// out Saturdays and Sundays; public holidays are not known here.
func after(sent time.Time, v float64, unit byte) time.Time {
	if sent.IsZero() || v <= 0 {
		return time.Time{}
	}
	whole := int(v)
	if float64(whole) < v {
		whole++
	}
	if whole > 24*longest {
		return time.Time{}
	}
	switch unit {
	case 'm':
		return sent.Add(time.Duration(v * float64(time.Minute)))
	case 'h':
		return sent.Add(time.Duration(v * float64(time.Hour)))
	}
	if whole > longest {
		return time.Time{}
	}
	switch unit {
	case 'd':
		return endOf(sent.AddDate(0, 0, whole), sent)
	case '7':
		return endOf(sent.AddDate(0, 0, int(v*7)), sent)
	case 'M':
		if v == 0.5 {
			return endOf(sent.AddDate(0, 0, 15), sent)
		}
		return endOf(sent.AddDate(0, whole, 0), sent)
	}
	day := sent
	for whole > 0 {
		day = day.AddDate(0, 0, 1)
		if w := day.Weekday(); w != time.Saturday && w != time.Sunday {
			whole--
		}
	}
	return clock(day, workEnds, 0)
}

// clock is a time of a day. 24 is the next midnight.
func clock(day time.Time, hour, minute int) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, day.Location())
}

// endOf is when a promise for a day is due.
func endOf(day, sent time.Time) time.Time {
	if at := clock(day, dayEnds, 0); at.After(sent) {
		return at
	}
	return clock(day, 24, 0)
}

// periods are the parts of a day and the hour each is over, with 前 behind
// them the hour they begin.
var periods = []struct {
	words      string
	ends, from int
}{
	{"下班之前", workEnds, 0},
	{"下班前", workEnds, 0},
	{"一早", 10, 0},
	{"早上", 10, 0},
	{"早晨", 10, 0},
	{"上午", 12, 0},
	{"中午", 13, 12},
	{"下午", 18, 0},
	{"傍晚", 19, 0},
	{"晚上", 22, 18},
	{"晚间", 22, 18},
	{"凌晨", 6, 0},
	{"晚些时候", 20, 0},
}

// notDue follows a day that is not the day of a promise: 今天下单的.
var notDue = []string{"下单", "购买", "拍的", "买的", "提交", "反映", "咨询", "反馈的", "申请的", "预约的", "到期", "开始", "起", "活动", "的讲", "刚", "收到的", "付款", "早上下", "订的", "的订单", "的包裹", "之后购", "办理的", "充值", "过期"}

// dayAt makes a deadline of a date.
func dayAt(s []rune, d text.Date, sent time.Time) (due, bool) {
	out := due{start: d.Start, end: d.End}
	for _, w := range notDue {
		if hasAt(s, d.End, w) {
			return due{}, false
		}
	}
	words := string(s[d.Start:d.End])
	if strings.HasSuffix(words, "前") || strings.HasPrefix(words, "昨") || strings.HasPrefix(words, "前") || strings.HasPrefix(words, "去年") || strings.HasPrefix(words, "上") {
		return due{}, false
	}
	zone := sent.Location()
	switch {
	case sent.IsZero():
		out.end = suffix(s, periodEnd(s, d.End))
		return out, true
	case len(d.Value) == len("2006-01-02T15:04"):
		at, err := time.ParseInLocation("2006-01-02T15:04", d.Value, zone)
		if err != nil {
			return due{}, false
		}
		out.at, out.end = daytime(s, d, at, sent)
	case len(d.Value) == len("2006-01-02"):
		day, err := time.ParseInLocation(time.DateOnly, d.Value, zone)
		if err != nil {
			return due{}, false
		}
		today := clock(sent, 0, 0)
		if day.Before(today) {
			switch {
			case strings.HasPrefix(words, "周") || strings.HasPrefix(words, "星期") || strings.HasPrefix(words, "礼拜"):
				day = day.AddDate(0, 0, 7)
			case strings.HasSuffix(words, "号") && !strings.Contains(words, "月"):
				day = day.AddDate(0, 1, 0)
			}
		}
		out.end = periodEnd(s, d.End)
		hour := 0
		if out.end > d.End {
			hour = periodHour(s, d.End, out.end)
		} else if r := s[d.End-1]; d.End-d.Start == 2 && (r == '早' || r == '晚' || r == '夜') {
			hour = map[rune]int{'早': 10, '晚': 22, '夜': 24}[r]
		}
		switch {
		case hour > 0:
			out.at = clock(day, hour, 0)
		case day.Before(today):
			return due{}, false
		default:
			out.at = endOf(day, sent)
		}
	case len(d.Value) == len("2006-01") && d.Value[4] == '-':
		month, err := time.ParseInLocation("2006-01", d.Value, zone)
		if err != nil || s[d.End-1] == '初' || s[d.End-1] == '旬' {
			return out, err == nil
		}
		out.at = endOf(month.AddDate(0, 1, -1), sent)
	case strings.Contains(d.Value, "-W"):
		// 本周 and 下周 are over with the Sunday.
		monday := clock(sent, 0, 0).AddDate(0, 0, -(int(sent.Weekday())+6)%7)
		if strings.HasPrefix(words, "下") {
			monday = monday.AddDate(0, 0, 7*strings.Count(words, "下"))
		}
		out.at = endOf(monday.AddDate(0, 0, 6), sent)
	case len(d.Value) == len("15:04") && d.Value[2] == ':':
		at, err := time.ParseInLocation("15:04", d.Value, zone)
		if err != nil {
			return due{}, false
		}
		out.at, out.end = daytime(s, d, clock(sent, at.Hour(), at.Minute()), sent)
		if !out.at.After(sent) {
			out.at = out.at.AddDate(0, 0, 1)
		}
	default:
		return due{}, false
	}
	if !out.at.After(sent) || out.at.Sub(sent) > longest*24*time.Hour {
		return due{}, false
	}
	out.end = suffix(s, out.end)
	return out, true
}

// daytime finishes a time of day: what is said without 上午 or 下午 is meant in
// the hours people work, and of 14点到16点 the end counts.
func daytime(s []rune, d text.Date, at, sent time.Time) (time.Time, int) {
	if !strings.ContainsAny(string(s[d.Start:d.End]), "早上晨午晚夜") && (at.Hour() < 8 && at.Hour() > 0 || at.Hour() < 12 && !at.After(sent)) {
		at = at.Add(12 * time.Hour)
	}
	end := d.End
	if end < len(s) && strings.ContainsRune("-~～—到至", s[end]) {
		hour, e := number(s, end+1)
		minute := 0.0
		switch {
		case e == end+1 || hour > 24:
			return at, end
		case hasAt(s, e, "点半"):
			minute, e = 30, e+2
		case hasAt(s, e, "点") || hasAt(s, e, "时"):
			e++
		case hasAt(s, e, ":"):
			if minute, e = number(s, e+1); minute > 59 {
				return at, end
			}
		default:
			return at, end
		}
		if hour < 12 && at.Hour() >= 12 {
			hour += 12
		}
		if to := clock(at, int(hour), int(minute)); to.After(at) {
			return to, e
		}
	}
	return at, end
}

// periodEnd is the end of the part of a day named behind a date, or i.
func periodEnd(s []rune, i int) int {
	j := i
	if hasAt(s, j, "的") || hasAt(s, j, " ") {
		j++
	}
	for _, p := range periods {
		if hasAt(s, j, p.words) {
			return j + len([]rune(p.words))
		}
	}
	return i
}

// periodHour is when the part of a day in s[i:end] is over.
func periodHour(s []rune, i, end int) int {
	words := strings.TrimLeft(string(s[i:end]), "的 ")
	for _, p := range periods {
		if p.words == words {
			if p.from > 0 && (hasAt(s, end, "前") || hasAt(s, end, "之前") || hasAt(s, end, "以前")) {
				return p.from
			}
			return p.ends
		}
	}
	return 0
}

// periodAt reads a part of the day, or a day, that stands alone: 下班前, 次日.
func periodAt(s []rune, i int, sent time.Time) (due, bool) {
	for _, w := range []struct {
		words string
		days  int
	}{{"次日", 1}, {"隔天", 1}, {"第二天", 1}, {"当天", 0}, {"当日", 0}} {
		if !hasAt(s, i, w.words) || hasAt(s, i+len([]rune(w.words)), "的") {
			continue
		}
		d := due{start: i, end: i + len([]rune(w.words))}
		day := sent.AddDate(0, 0, w.days)
		at := endOf(day, sent)
		if e := periodEnd(s, d.end); e > d.end {
			at, d.end = clock(day, periodHour(s, d.end, e), 0), e
		}
		d.end = suffix(s, d.end)
		if sent.IsZero() {
			return d, true
		}
		d.at = at
		return d, d.at.After(sent)
	}
	if i > 0 && strings.ContainsRune("早今明后天日号每一两", s[i-1]) {
		return due{}, false
	}
	end := periodEnd(s, i)
	if end == i || s[i] == '的' || s[i] == ' ' || hasAt(s, end, "好") || hasAt(s, end, "的") {
		return due{}, false
	}
	d := due{start: i, end: suffix(s, end)}
	if sent.IsZero() {
		return d, true
	}
	if d.at = clock(sent, periodHour(s, i, end), 0); !d.at.After(sent) {
		d.at = clock(sent.AddDate(0, 0, 1), periodHour(s, i, end), 0)
	}
	return d, true
}

// suffix is the end of the words behind a time.
func suffix(s []rune, i int) int {
	for _, w := range []string{"之前", "以前", "前", "之内", "以内", "内", "左右"} {
		if hasAt(s, i, w) {
			return i + len([]rune(w))
		}
	}
	return i
}

// hasAt reports whether s continues with word at i.
func hasAt(s []rune, i int, word string) bool {
	if i < 0 {
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
