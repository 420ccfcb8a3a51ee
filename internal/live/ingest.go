package live

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

// IngestRequest adds messages to a conversation, which is made when it is new.
type IngestRequest struct {
	Tenant       string
	Conversation string // id; "" for a new one
	// What is known of the conversation; it fills what is empty.
	Channel, CustomerRef, Team, Agent string
	Messages                          []qingting.Message
}

// Status says what became of one message.
type Status string

// A message was new, or known already, or an unfinished ASR result, which is
// told to listeners and not kept.
const (
	StatusCreated   Status = "created"
	StatusDuplicate Status = "duplicate"
	StatusPartial   Status = "partial"
)

// Result is what became of one message.
type Result struct {
	MessageID string `json:"message_id,omitempty"`
	Seq       int    `json:"seq,omitempty"`
	Status    Status `json:"status"`
}

// Receipt acknowledges a write that is durable.
type Receipt struct {
	Conversation qingting.Conversation `json:"conversation"`
	Results      []Result              `json:"results"` // parallel to the messages
}

// Partial is the data of a message.partial event.
type Partial struct {
	MessageID string        `json:"message_id,omitempty"`
	Role      qingting.Role `json:"role"`
	Text      string        `json:"text"`
}

// Ingest takes messages in: all of them or, with an error, none. When it
// returns they are durable, listeners have been told, and the conversation
// waits to be analysed; see Wait. Errors are *qingting.InputError, ErrBusy and
// ErrClosed, and those of the store: store.ErrConflict for a message that
// contradicts an earlier one, store.ErrBusy, store.ErrUnavailable.
func (s *Service) Ingest(ctx context.Context, req IngestRequest) (Receipt, error) {
	if s.closing.Load() {
		return Receipt{}, ErrClosed
	}
	if req.Conversation != "" && !qingting.ValidID(req.Conversation) {
		return Receipt{}, &qingting.InputError{Code: "bad_id", Message: fmt.Sprintf("会话的 id 不能用：要 1 到 %d 个字，不能有控制字符和看不见的字符，也不能是 . 或 ..；不写就由系统编号", qingting.MaxIDRunes), Where: "id"}
	}
	t := qingting.Transcript{Messages: req.Messages}
	if len(req.Messages) > 0 { // a conversation may begin without any
		if err := t.Validate(); err != nil {
			return Receipt{}, err
		}
	}
	key := qingting.Key{Tenant: req.Tenant, ID: req.Conversation}
	if key.ID == "" {
		key.ID = qingting.NewID("c")
	}
	if s.queue.full(key) {
		s.counts.refused.Add(1)
		return Receipt{}, ErrBusy
	}
	final, partial, urgent := s.accept(req.Messages)

	r := s.hold(key)
	defer s.drop(r)
	// The lock is held over the write and its events, so that the events of a
	// conversation are told in the order of its versions. Others' writes
	// share the commit.
	if err := r.enter(ctx); err != nil {
		return Receipt{}, err
	}
	defer r.leave()

	conversation := qingting.Conversation{
		Tenant: key.Tenant, ID: key.ID, Channel: req.Channel, CustomerRef: s.Reference(req.CustomerRef),
		Team: req.Team, Agent: req.Agent,
	}
	if len(final) == 0 && len(partial) > 0 {
		return s.onlyPartial(ctx, r, conversation, partial, len(req.Messages))
	}
	var told []qingting.Event
	appended, err := s.parts.Store.Append(ctx, store.AppendRequest{
		Conversation: conversation, Messages: final,
		Outbox: func(a *store.Appended) ([]store.OutboxItem, error) {
			told = s.appendEvents(a)
			return s.outbox(told), nil
		},
	})
	if err != nil {
		return Receipt{}, err
	}
	c := &appended.Conversation
	if told == nil { // no new messages, but perhaps a new conversation, or something was filled in
		told = s.appendEvents(&appended)
		if r.loaded && (r.meta.Channel != c.Channel || r.meta.CustomerRef != c.CustomerRef || r.meta.Team != c.Team || r.meta.Agent != c.Agent) {
			told = append(told, s.event(c, qingting.EventConversation, *c))
		}
	}
	s.publish(told...)
	s.publishPartial(c, partial)
	filled := !appended.Created && req.Team != "" && (!r.loaded || r.meta.Team != c.Team)
	switch {
	case r.loaded && (len(appended.New) == 0 || r.meta.Version+1 == c.Version):
		r.meta = *c
		r.add(appended.New)
	case appended.Created:
		r.loaded, r.meta, r.levels = true, *c, map[int]qingting.RiskLevel{}
		r.messages, r.alerts, r.acts, r.promises, r.matter, r.reduced = nil, nil, nil, nil, "", false
		r.add(appended.New)
	default:
		s.unload(r)
	}
	s.account(r)
	if len(appended.New) > 0 {
		s.counts.ingested.Add(int64(len(appended.New)))
	}
	if len(appended.New) > 0 || filled { // then open alerts get the team too, see followTeam
		s.queue.push(key, urgent, s.now())
	}

	receipt := Receipt{Conversation: *c, Results: make([]Result, len(req.Messages))}
	next := 0
	for i := range req.Messages {
		if req.Messages[i].Partial() {
			receipt.Results[i] = Result{MessageID: req.Messages[i].ID, Status: StatusPartial}
			continue
		}
		a := appended.Results[next]
		receipt.Results[i] = Result{MessageID: a.MessageID, Seq: a.Seq, Status: Status(a.Status)}
		next++
	}
	return receipt, nil
}

// accept conceals personal data and divides the messages into what is kept and
// what is only told.
func (s *Service) accept(messages []qingting.Message) (final []qingting.StoredMessage, partial []Partial, urgent bool) {
	now := s.now()
	for _, m := range messages {
		var places []qingting.Concealed
		if s.parts.Conceal != nil {
			m.Text, places = s.parts.Conceal(m.Text)
		}
		if m.Partial() {
			partial = append(partial, Partial{MessageID: m.ID, Role: m.Role, Text: m.Text})
			continue
		}
		m.IsFinal = nil
		if m.Role == qingting.RoleCustomer && !urgent && s.parts.Urgent != nil {
			urgent = s.parts.Urgent(m.Text)
		}
		final = append(final, qingting.StoredMessage{Message: m, Concealed: places, Received: now})
	}
	return final, partial, urgent
}

// Reference is a customer's reference as it is stored: one that looks like
// personal data is replaced by a hash, the same for the same customer.
func (s *Service) Reference(ref string) string {
	if ref == "" || s.parts.Conceal == nil {
		return ref
	}
	if _, places := s.parts.Conceal(ref); len(places) == 0 {
		return ref
	}
	mac := hmac.New(sha256.New, s.opt.RefKey)
	mac.Write([]byte(ref))
	return "ref_" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// onlyPartial tells listeners of unfinished results; nothing is written, and
// the conversation may not exist yet. The lock is held.
func (s *Service) onlyPartial(ctx context.Context, r *record, c qingting.Conversation, partial []Partial, n int) (Receipt, error) {
	if r.loaded {
		c = r.meta
	} else if kept, err := s.parts.Store.Conversation(ctx, r.key); err == nil {
		c = kept
	}
	s.publishPartial(&c, partial)
	receipt := Receipt{Conversation: c, Results: make([]Result, n)}
	for i := range receipt.Results {
		receipt.Results[i] = Result{MessageID: partial[i].MessageID, Status: StatusPartial}
	}
	return receipt, nil
}

func (s *Service) publishPartial(c *qingting.Conversation, partial []Partial) {
	for _, p := range partial {
		s.publish(s.event(c, qingting.EventPartial, p))
	}
}

// appendEvents are what listeners hear of a write.
func (s *Service) appendEvents(a *store.Appended) []qingting.Event {
	var events []qingting.Event
	if a.Created || a.Reopened {
		events = append(events, s.event(&a.Conversation, qingting.EventConversation, a.Conversation))
	}
	for _, m := range a.New {
		events = append(events, s.event(&a.Conversation, qingting.EventMessage, m))
	}
	return events
}

// event is a new event of a conversation.
func (s *Service) event(c *qingting.Conversation, kind qingting.EventType, data any) qingting.Event {
	return qingting.Event{
		ID: qingting.NewID("ev"), Type: kind, Tenant: c.Tenant, Team: c.Team,
		Conversation: c.ID, Seq: c.Version, At: s.now(), Data: data,
	}
}
