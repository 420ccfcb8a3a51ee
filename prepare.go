package qingting

import (
	"context"
	"fmt"
	"slices"
)

// maxVectors is how many messages of one transcript get a vector: at about
// 6 ms each a longer one would take minutes. The opening states the matter and
// the end its state, so the first openingVectors and the last of the others
// have one; the rest is read by words and rules alone.
const (
	maxVectors     = 200
	openingVectors = 20
)

// Preparer does everything that comes before the model. Training uses it
// without a Pipeline. Encoder may be nil: full mode is then refused. It may
// be used concurrently.
type Preparer struct {
	Cleaner   Cleaner
	Segmenter Segmenter
	Slots     SlotFinder
	Encoder   Encoder
	Matcher   Matcher
}

// Message cleans, segments and, in full mode, encodes one message. The result
// never changes and may be kept for the life of the conversation.
func (p *Preparer) Message(ctx context.Context, m Message, mode Mode) (*Prepared, error) {
	out := &Prepared{Message: m}
	out.Clean, out.From, out.To = p.Cleaner.Clean(m.Text)
	if len(out.Clean) == 0 {
		return out, nil
	}
	out.Tokens = p.Segmenter.Segment(out.Clean)
	out.Slots = p.Slots.FindSlots(out.Clean, m.SentAt)
	if mode == ModeFull {
		v, err := p.Encoder.Encode(ctx, []string{string(out.Clean)})
		if err != nil {
			return nil, fmt.Errorf("encode: %w", err)
		}
		out.Vector = v[0]
	}
	return out, nil
}

// Document validates a transcript, prepares every message and finds the
// rules. In full mode at most 200 messages get a vector. It returns an
// *InputError for input that breaks a limit.
func (p *Preparer) Document(ctx context.Context, t Transcript, mode Mode) (*Document, error) {
	if mode == ModeFull && p.Encoder == nil {
		return nil, &InputError{Code: "no_encoder", Message: "这个程序没有句向量模型，只能用 fast 模式", Where: "mode"}
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	messages := make([]*Prepared, len(t.Messages))
	var texts []string
	var of []*Prepared
	for i := range t.Messages {
		// Vectors are made for all messages at once, which is quicker.
		m, err := p.Message(ctx, t.Messages[i], ModeFast)
		if err != nil {
			return nil, fmt.Errorf("prepare message %d: %w", i, err)
		}
		messages[i] = m
		if mode == ModeFull && hasVector(i, len(t.Messages)) && len(m.Clean) > 0 {
			texts, of = append(texts, string(m.Clean)), append(of, m)
		}
	}
	if len(texts) > 0 {
		vectors, err := p.Encoder.Encode(ctx, texts)
		if err != nil {
			return nil, fmt.Errorf("encode: %w", err)
		}
		for i, v := range vectors {
			of[i].Vector = v
		}
	}
	return p.assemble(t, messages, mode), nil
}

// hasVector reports whether message i of n gets one.
func hasVector(i, n int) bool {
	return i < openingVectors || i >= n-(maxVectors-openingVectors)
}

// assemble makes a document of prepared messages, which are left as they are;
// t.Messages are theirs, or nil.
func (p *Preparer) assemble(t Transcript, messages []*Prepared, mode Mode) *Document {
	doc := &Document{Transcript: t, Messages: messages, Mode: mode}
	copied := false
	for i, m := range messages {
		if m.Vector == nil || hasVector(i, len(messages)) {
			continue
		}
		// It had one when it was among the last; a conversation is read the same
		// whether it grew or came whole.
		if !copied {
			doc.Messages, copied = slices.Clone(messages), true
		}
		m := *m
		m.Vector = nil
		doc.Messages[i] = &m
	}
	if t.Messages == nil {
		doc.Transcript.Messages = make([]Message, len(messages))
		for i, m := range messages {
			doc.Transcript.Messages[i] = m.Message
		}
	}
	doc.Hits = p.Matcher.Match(doc)
	return doc
}
