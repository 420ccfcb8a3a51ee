package suggest

import (
	"fmt"
	"time"
)

// quiet hours: a deadline of half a day or more is not promised into the
// night, when nobody is there to keep it or to read the answer.
const (
	morning = 9
	evening = 20
)

// working hours: a promise made outside them is kept by people who come in
// the next morning, on every day of the week as customer service does.
const (
	opens   = 9
	closes  = 18
	settled = 10 // the earliest deadline of the day
)

// urgent matters (P0, P1) are kept by whoever is on duty, at any hour.
const urgent = 2 * time.Hour

// earliest is the first moment a deadline set now may have.
func earliest(now time.Time) time.Time {
	day := time.Date(now.Year(), now.Month(), now.Day(), settled, 0, 0, 0, now.Location())
	switch {
	case now.Hour() < opens:
		return day
	case now.Hour() >= closes:
		return day.AddDate(0, 0, 1)
	}
	return now
}

// deadline is now plus d, rounded down to the half hour so that what is said
// is never later than what policy allows, and moved forward out of the night;
// at night it is not before the next morning, unless it is urgent.
func deadline(now time.Time, d time.Duration) time.Time {
	at := now.Add(d)
	at = at.Add(-time.Duration(at.Minute()%30)*time.Minute - time.Duration(at.Second())*time.Second - time.Duration(at.Nanosecond()))
	if d >= 12*time.Hour {
		day := time.Date(at.Year(), at.Month(), at.Day(), evening, 0, 0, 0, at.Location())
		switch {
		case at.Hour() < morning:
			if day = day.AddDate(0, 0, -1); day.After(now.Add(time.Hour)) {
				at = day
			}
		case at.After(day):
			at = day
		}
	}
	if !at.After(now) {
		at = now.Add(d).Truncate(time.Minute)
	}
	if first := earliest(now); d > urgent && at.Before(first) {
		at = first
	}
	return at
}

// inWords says a deadline as people do: 今天18点前, 明天9点半前.
func inWords(at, now time.Time) string {
	day := ""
	switch dayNumber(at) - dayNumber(now) {
	case 0:
		day = "今天"
	case 1:
		day = "明天"
	case 2:
		day = "后天"
	default:
		day = fmt.Sprintf("%d月%d日", int(at.Month()), at.Day())
	}
	switch at.Minute() {
	case 0:
		return fmt.Sprintf("%s%d点前", day, at.Hour())
	case 30:
		return fmt.Sprintf("%s%d点半前", day, at.Hour())
	}
	return fmt.Sprintf("%s%d点%02d分前", day, at.Hour(), at.Minute())
}

func dayNumber(t time.Time) int {
	y, m, d := t.Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// checkBy is when the owner's own step ends: well before the answer is due,
// on the same day when there is room, never in the past.
func checkBy(now, final time.Time) time.Time {
	at := checkAt(now, final)
	if first := earliest(now); at.Before(first) && !first.After(final) {
		at = first
	}
	return at
}

func checkAt(now, final time.Time) time.Time {
	day := time.Date(now.Year(), now.Month(), now.Day(), evening, 0, 0, 0, now.Location())
	switch left := final.Sub(now); {
	case left >= 12*time.Hour && day.Sub(now) >= 3*time.Hour:
		return day
	case left >= 12*time.Hour && final.Hour() > morning+1:
		return time.Date(final.Year(), final.Month(), final.Day(), morning+1, 0, 0, 0, final.Location())
	case left >= 3*time.Hour:
		return final.Add(-time.Hour)
	case left >= time.Hour:
		return final.Add(-30 * time.Minute)
	}
	return final
}
