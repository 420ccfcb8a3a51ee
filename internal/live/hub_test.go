package live

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
)

func message(conversation string, seq int64) qingting.Event {
	return qingting.Event{ID: "e", Type: qingting.EventMessage, Tenant: "t1", Conversation: conversation, Seq: seq, Data: "在吗"}
}

// take reads what is there, and whether the subscription has ended.
func take(s *Subscription) (got []string, ended bool) {
	for {
		select {
		case e, ok := <-s.Events:
			if !ok {
				return got, true
			}
			if e.Type == EventResync {
				got = append(got, "resync")
			} else {
				got = append(got, fmt.Sprintf("%s%d", e.Conversation, e.Seq))
			}
		default:
			return got, false
		}
	}
}

func TestHubResumes(t *testing.T) {
	h := newHub("b1", 4, 1<<20, 8)
	for i := range 6 {
		require.NoError(t, h.publish(message("c", int64(i+1))))
	}
	tests := []struct {
		last string
		want []string
	}{
		{"", nil},
		{"b1-6", nil},
		{"b1-4", []string{"c5", "c6"}},
		{"b1-2", []string{"c3", "c4", "c5", "c6"}},
		{"b1-1", []string{"resync"}}, // c2 is forgotten
		{"b1-7", []string{"resync"}}, // never was
		{"b0-6", []string{"resync"}}, // of an earlier run
		{"b1-06", []string{"resync"}},
		{"b1--6", []string{"resync"}},
		{"b1-99999999999999999999", []string{"resync"}},
		{"乱七八糟", []string{"resync"}},
	}
	for _, tt := range tests {
		s, err := h.subscribe(Filter{Tenant: "t1"}, tt.last)
		require.NoError(t, err)
		got, _ := take(s)
		require.Equal(t, tt.want, got, "after %q", tt.last)
		require.NoError(t, h.publish(qingting.Event{Tenant: "t2", Conversation: "x"}))
		s.Close()
		s.Close()
	}
	s, err := h.subscribe(Filter{Tenant: "t1", Conversation: "d"}, "b1-2")
	require.NoError(t, err)
	require.NoError(t, h.publish(message("c", 7), message("d", 1)))
	got, _ := take(s)
	require.Equal(t, []string{"d1"}, got)
	h.close()
	_, ended := take(s)
	require.True(t, ended)
	require.NoError(t, h.publish(message("d", 2)))
	_, err = h.subscribe(Filter{Tenant: "t1"}, "")
	require.ErrorIs(t, err, ErrClosed)
}

func TestHubFilters(t *testing.T) {
	h := newHub("b1", 4, 1<<20, 8)
	defer h.close()
	of := func(f Filter) *Subscription {
		f.Tenant = "t1"
		s, err := h.subscribe(f, "")
		require.NoError(t, err)
		return s
	}
	all, team, none := of(Filter{}), of(Filter{Teams: []string{"一组"}}), of(Filter{Teams: []string{}})
	alerts := of(Filter{Types: []qingting.EventType{qingting.EventAlertRaised}})
	for i, e := range []qingting.Event{
		{Type: qingting.EventMessage, Team: "一组"}, {Type: qingting.EventAlertRaised, Team: "二组"}, {Type: qingting.EventCase},
	} {
		e.Tenant, e.Conversation, e.Seq = "t1", "c", int64(i)
		require.NoError(t, h.publish(e))
	}
	for _, tt := range []struct {
		sub  *Subscription
		want []string
	}{{all, []string{"c0", "c1", "c2"}}, {team, []string{"c0", "c2"}}, {none, []string{"c2"}}, {alerts, []string{"c1"}}} {
		got, _ := take(tt.sub)
		require.Equal(t, tt.want, got)
	}
	require.Error(t, h.publish(qingting.Event{Tenant: "t1", Data: make(chan int)}))
}

// One that does not read is told so and dropped; the others are not kept
// waiting.
func TestHubSlow(t *testing.T) {
	h := newHub("b1", 100, 1<<20, 3)
	slow, err := h.subscribe(Filter{Tenant: "t1"}, "")
	require.NoError(t, err)
	quick, err := h.subscribe(Filter{Tenant: "t1"}, "")
	require.NoError(t, err)
	for i := range 20 {
		require.NoError(t, h.publish(message("c", int64(i))))
		got, ended := take(quick)
		require.Len(t, got, 1)
		require.False(t, ended)
	}
	got, ended := take(slow)
	require.Equal(t, []string{"c0", "c1", "c2", "resync"}, got)
	require.True(t, ended)
	require.EqualValues(t, 1, h.dropped)
	slow.Close()
	quick.Close()
}

func TestHubForgetsBytes(t *testing.T) {
	h := newHub("b1", 1000, 10_000, 8)
	for i := range 200 {
		e := message("c", int64(i))
		e.Data = strings.Repeat("长", 100)
		require.NoError(t, h.publish(e))
		st := h.streams["t1"]
		size := 0
		for _, p := range st.ring {
			size += len(p.JSON)
		}
		require.Equal(t, size, st.bytes)
		require.LessOrEqual(t, size, 10_000)
	}
	s, err := h.subscribe(Filter{Tenant: "t1"}, "b1-198")
	require.NoError(t, err)
	got, _ := take(s)
	require.Equal(t, []string{"c198", "c199"}, got)
	s.Close()
}

// Whoever resumes from the last cursor he saw has every event once, in order,
// or a resync.
func TestHubProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 6).Draw(t, "size")
		h := newHub("b1", size, 1<<20, 50)
		seen, last, published := int64(0), "b1-0", int64(0)
		for range rapid.IntRange(1, 20).Draw(t, "rounds") {
			more := rapid.Int64Range(0, 8).Draw(t, "events")
			for range more {
				published++
				require.NoError(t, h.publish(message("c", published)))
			}
			s, err := h.subscribe(Filter{Tenant: "t1"}, last)
			require.NoError(t, err)
			resync := false
			for len(s.Events) > 0 {
				e := <-s.Events
				if last = e.Cursor; e.Type == EventResync {
					require.Greater(t, published-seen, int64(size))
					resync, seen = true, published
					continue
				}
				seen++
				require.Equal(t, seen, e.Seq)
			}
			require.Equal(t, published, seen)
			require.True(t, resync || more <= int64(size))
			s.Close()
		}
	})
}

func FuzzCursor(f *testing.F) {
	for _, s := range []string{"", "b1-1", "b1-", "b1-+1", "b1-00", "b2-1", "b1-9223372036854775807", "b1-１"} {
		f.Add(s)
	}
	h := newHub("b1", 4, 1<<20, 8)
	for i := range 9 {
		_ = h.publish(message("c", int64(i+1)))
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		s, err := h.subscribe(Filter{Tenant: "t1"}, cursor)
		require.NoError(t, err)
		defer s.Close()
		got, ended := take(s)
		require.False(t, ended)
		if len(got) > 0 && got[0] != "resync" {
			require.Equal(t, "c9", got[len(got)-1])
			require.LessOrEqual(t, len(got), 4)
		}
	})
}

func TestQueue(t *testing.T) {
	q := newQueue(3)
	k := func(id string) qingting.Key { return qingting.Key{Tenant: "t", ID: id} }
	now := time.Unix(0, 0)
	pop := func() string {
		key, _, ok := q.pop()
		if !ok {
			return ""
		}
		return key.ID
	}
	q.push(k("a"), false, now)
	q.push(k("b"), false, now)
	q.push(k("a"), false, now.Add(time.Second))
	q.push(k("c"), true, now)
	require.True(t, q.full(k("d")))
	require.False(t, q.full(k("b")), "it waits already")
	q.push(k("b"), true, now.Add(time.Second))
	all, urgent, oldest := q.length(now.Add(time.Minute))
	require.Equal(t, []any{3, 2, time.Minute}, []any{all, urgent, oldest})
	require.Equal(t, []string{"c", "b", "a", ""}, []string{pop(), pop(), pop(), pop()})
	q.push(k("a"), true, now)
	q.push(k("a"), false, now)
	require.Empty(t, pop(), "a worker has it")
	q.done(k("c"))
	q.done(k("a"))
	require.Equal(t, "a", pop(), "what came meanwhile")
	q.done(k("a"))
	q.done(k("b"))
	require.Empty(t, pop())
	require.Empty(t, q.waiting)

	// Urgent ones go first, but not for ever.
	q = newQueue(1000)
	q.push(k("slow"), false, now)
	for i := range 50 {
		q.push(k(fmt.Sprint(i)), true, now)
	}
	at := 0
	for at = 1; pop() != "slow"; at++ {
	}
	require.Equal(t, urgentRun+1, at)
}
