package qingting

import "slices"

// asSaid returns the conversation as it was said: a message that was delivered
// twice counts once, and messages with a seq stand in its order. A message
// without one stays behind the message it was submitted behind. from[i] is the
// submitted index of message i; it is nil, and the transcript t itself, when
// nothing had to move.
//
// t must be valid: messages of one id that say different things are refused
// by Validate. A partial result is not a delivery; it is kept where it stands
// and nobody reads it.
func (t *Transcript) asSaid() (said Transcript, from []int) {
	place := make([]int, len(t.Messages)) // the seq, or that of the message before
	seen := map[string]bool{}
	ordered := true
	from = make([]int, 0, len(t.Messages))
	for i := range t.Messages {
		m := &t.Messages[i]
		if place[i] = m.Seq; m.Seq == 0 && i > 0 {
			place[i] = place[i-1]
		}
		if m.ID != "" && !m.Partial() {
			if seen[m.ID] {
				continue
			}
			seen[m.ID] = true
		}
		if n := len(from); n > 0 && place[from[n-1]] > place[i] {
			ordered = false
		}
		from = append(from, i)
	}
	if ordered && len(from) == len(t.Messages) {
		return *t, nil
	}
	slices.SortStableFunc(from, func(a, b int) int { return place[a] - place[b] })
	said = *t
	said.Messages = make([]Message, len(from))
	for i, at := range from {
		said.Messages[i] = t.Messages[at]
	}
	return said, from
}

// lastRead is the index of the last message that counts, or −1: an unfinished
// ASR result has not been read.
func (t *Transcript) lastRead() int {
	for i := len(t.Messages) - 1; i >= 0; i-- {
		if !t.Messages[i].Partial() {
			return i
		}
	}
	return -1
}

// renumber turns the message indexes of an analysis into submitted ones; from
// is that of asSaid. Lists keep their order, which is that of the
// conversation.
func (a *Analysis) renumber(from []int) {
	if from == nil {
		return
	}
	move := func(index *int) {
		if *index >= 0 {
			*index = from[*index]
		}
	}
	spans := func(list []Span) {
		for i := range list {
			move(&list[i].Message)
		}
	}
	move(&a.AsOf.Message)
	for i := range a.Types {
		spans(a.Types[i].Evidence)
	}
	for i := range a.Claims {
		spans(a.Claims[i].Evidence)
	}
	if a.Emotion.Peak != nil {
		move(&a.Emotion.Peak.Message)
	}
	for i := range a.Emotion.ByMessage {
		move(&a.Emotion.ByMessage[i].Message)
	}
	for i := range a.Risk.Signals {
		move(&a.Risk.Signals[i].Message)
	}
	for i := range a.Expectations {
		for j := range a.Expectations[i].Messages {
			move(&a.Expectations[i].Messages[j])
		}
	}
	for i := range a.Slots {
		move(&a.Slots[i].Message)
	}
}
