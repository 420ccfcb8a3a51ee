package sentiment

import "github.com/qingting-ai/qingting"

// Hysteresis keeps the level a supervisor sees from flickering while a
// conversation goes on. It rises at once and falls only when two analyses in a
// row are lower. The zero value has shown nothing yet. It is plain data: Next
// returns the state after one more analysis and changes nothing.
type Hysteresis struct {
	Shown qingting.RiskLevel // "" before the first analysis
	// Below is the level of the previous analysis when it was lower than Shown,
	// else "".
	Below qingting.RiskLevel
	// Message is the index of the last message read. Analyses that come late,
	// out of message order, change nothing.
	Message int
}

// Next returns the state after an analysis that has read up to message and
// found level.
func (h Hysteresis) Next(message int, level qingting.RiskLevel) Hysteresis {
	switch {
	case h.Shown == "" || rank(level) >= rank(h.Shown) && message >= h.Message:
		return Hysteresis{Shown: level, Message: message}
	case message <= h.Message:
		return h
	case h.Below == "":
		return Hysteresis{Shown: h.Shown, Below: level, Message: message}
	case rank(h.Below) > rank(level):
		return Hysteresis{Shown: h.Below, Below: level, Message: message}
	}
	return Hysteresis{Shown: level, Message: message}
}

// rank orders the levels, lowest first; an unknown level is lowest.
func rank(level qingting.RiskLevel) int {
	for i, l := range qingting.RiskLevels() {
		if l == level {
			return i
		}
	}
	return -1
}
