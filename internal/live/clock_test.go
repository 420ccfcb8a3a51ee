package live

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func TestClockStates(t *testing.T) {
	var rules Options
	rules.defaults(1)
	start := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return start.Add(d) }
	began := mark{at: start}
	is := func(d time.Duration) mark { return mark{at: in(d)} }
	says := func(d time.Duration, seq int) mark { return mark{at: in(d), seq: seq, id: "m"} }
	tests := []struct {
		name string
		f    facts
		now  time.Duration
		want map[ClockName]ClockState
	}{
		{"nobody has spoken", facts{priority: qingting.PriorityP3}, time.Hour, map[ClockName]ClockState{}},
		{"P3 waits", facts{priority: qingting.PriorityP3, first: began}, 23 * time.Hour, map[ClockName]ClockState{ClockAnswer: ClockRunning}},
		{"P3 is over", facts{priority: qingting.PriorityP3, first: began}, 24 * time.Hour, map[ClockName]ClockState{ClockAnswer: ClockBroken}},
		{"P2 answered late", facts{priority: qingting.PriorityP2, first: began, answers: []mark{is(31 * time.Minute)}}, time.Hour, map[ClockName]ClockState{ClockAnswer: ClockBroken}},
		{"an answer before the question", facts{priority: qingting.PriorityP2, first: began, answers: []mark{is(-time.Minute)}}, time.Minute, map[ClockName]ClockState{ClockAnswer: ClockRunning}},
		{
			"P1 one step",
			facts{priority: qingting.PriorityP1, complaint: true, first: began, since: is(time.Hour), acts: []mark{is(time.Minute), is(61 * time.Minute)}},
			2 * time.Hour,
			map[ClockName]ClockState{ClockHuman: ClockMet, ClockProgress: ClockRunning, ClockNote: ClockRunning},
		},
		{
			"P1 two steps",
			facts{priority: qingting.PriorityP1, first: began, since: began, acts: []mark{is(4 * time.Minute), is(time.Hour)}},
			3 * time.Hour,
			map[ClockName]ClockState{ClockHuman: ClockBroken, ClockProgress: ClockMet},
		},
		{
			"P0 that was up already",
			facts{priority: qingting.PriorityP0, first: began, since: is(time.Hour), raised: in(time.Minute)},
			61 * time.Minute,
			map[ClockName]ClockState{ClockAlert: ClockMet, ClockHuman: ClockRunning, ClockProgress: ClockRunning},
		},
		{"closed in time", facts{priority: qingting.PriorityP2, complaint: true, first: began, closed: in(time.Minute)}, 99 * time.Hour, map[ClockName]ClockState{ClockAnswer: ClockMet}},
		{"closed too late", facts{priority: qingting.PriorityP2, complaint: true, first: began, closed: in(time.Hour)}, 99 * time.Hour, map[ClockName]ClockState{ClockAnswer: ClockBroken}},
		{
			"P1 greeted in the same request before the complaint",
			facts{priority: qingting.PriorityP1, first: says(0, 2), since: says(0, 2), acts: []mark{says(0, 1)}},
			time.Hour,
			map[ClockName]ClockState{ClockHuman: ClockBroken, ClockProgress: ClockRunning},
		},
		{
			"P1 answered in the same request",
			facts{priority: qingting.PriorityP1, first: says(0, 2), since: says(0, 2), acts: []mark{says(0, 1), says(0, 3)}},
			time.Hour,
			map[ClockName]ClockState{ClockHuman: ClockMet, ClockProgress: ClockRunning},
		},
		{
			"P1 a greeting that arrives late is no answer, a step on the alert is",
			facts{priority: qingting.PriorityP1, first: says(0, 2), since: says(0, 2), acts: []mark{says(time.Minute, 1), is(2 * time.Minute)}},
			time.Hour,
			map[ClockName]ClockState{ClockHuman: ClockMet, ClockProgress: ClockRunning},
		},
		{"P2 only greeted", facts{priority: qingting.PriorityP2, first: says(0, 2), answers: []mark{says(0, 1)}}, time.Minute, map[ClockName]ClockState{ClockAnswer: ClockRunning}},
		{"no note for a day", facts{priority: qingting.PriorityP2, complaint: true, first: began, answers: []mark{is(time.Minute)}, acts: []mark{is(time.Minute)}}, 25 * time.Hour, map[ClockName]ClockState{ClockAnswer: ClockMet, ClockNote: ClockBroken}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[ClockName]ClockState{}
			for _, c := range rules.Rules.clocks(tt.f, in(tt.now)) {
				require.False(t, c.Warn.After(c.Due))
				got[c.Name] = c.State
			}
			require.Equal(t, tt.want, got)
		})
	}
}
