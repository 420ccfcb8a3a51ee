package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

// maxSeq is the greatest seq: what JSON readers hold exactly, with room for
// the numbers given behind it.
const maxSeq = 1 << 52

// AppendRequest adds messages to a conversation, which is made when it is new.
type AppendRequest struct {
	// Conversation gives Tenant, ID, and what is known of Channel, CustomerRef,
	// Team and Agent; of an existing conversation they only fill what is empty.
	Conversation qingting.Conversation
	// Messages are final, within the limits of one message and, unless
	// somebody switched that off, without personal data. None is fine.
	Messages []qingting.StoredMessage
	// Outbox makes what is to be delivered of it, in the same transaction;
	// it is called only when there are new messages. It must be quick, because
	// every other write waits, and touch nothing but its argument. May be nil.
	Outbox func(*Appended) ([]hook.Item, error)
}

// AppendStatus says what became of a message.
type AppendStatus string

// What becomes of a message: a delivery again changes nothing.
const (
	AppendCreated   AppendStatus = "created"
	AppendDuplicate AppendStatus = "duplicate"
)

// AppendResult is what became of one message.
type AppendResult struct {
	MessageID string       `json:"message_id"`
	Seq       int          `json:"seq"`
	Status    AppendStatus `json:"status"`
}

// Appended is the conversation after a write, and what became of each message.
type Appended struct {
	Conversation qingting.Conversation
	Created      bool           // the conversation is new
	Reopened     bool           // it had been closed
	Results      []AppendResult // one for each message of the request, in its order
	New          []qingting.StoredMessage
}

// Append adds messages: all of them or, with an error, none. A message without
// ID gets one, a message without Seq the next behind the greatest.
//
// A message that is there already, by its ID, is a duplicate when role and
// text are the same and the Seq is the same or 0; otherwise ErrConflict.
// Duplicates alone change nothing. New messages raise the version by one and
// reopen a closed conversation. Too many messages or characters are an
// *qingting.InputError of ErrTooLarge, a partial result one of ErrInvalid.
func (s *Store) Append(ctx context.Context, r AppendRequest) (Appended, error) {
	var out Appended
	err := s.write(ctx, func(t *tx) (err error) {
		out, err = t.append(&r)
		return err
	})
	if err != nil {
		return Appended{}, err
	}
	return out, nil
}

func (t *tx) append(r *AppendRequest) (Appended, error) {
	var out Appended
	key := qingting.Key{Tenant: r.Conversation.Tenant, ID: r.Conversation.ID}
	kept, err := t.conversation(key)
	switch {
	case err == nil:
	case errors.Is(err, qingting.ErrNotFound):
		out.Created = true
		kept = keptConversation{Conversation: qingting.Conversation{
			Tenant: key.Tenant, ID: key.ID, State: qingting.ConversationOpen, Created: fromMicros(t.now), Updated: fromMicros(t.now),
		}}
	default:
		return out, err
	}
	c := &kept.Conversation
	filled := fill(&c.Channel, r.Conversation.Channel)
	filled = fill(&c.CustomerRef, r.Conversation.CustomerRef) || filled
	filled = fill(&c.Team, r.Conversation.Team) || filled
	filled = fill(&c.Agent, r.Conversation.Agent) || filled
	if out.Created {
		// First, because the messages refer to it.
		if err := t.insertConversation(&kept); err != nil {
			return out, err
		}
	}
	out.Results = make([]AppendResult, len(r.Messages))
	for i := range r.Messages {
		m := r.Messages[i]
		if m.Partial() || m.Seq < 0 || m.Seq > maxSeq {
			return out, &qingting.InputError{Code: "bad_message", Message: "只能保存说完的消息，seq 从 1 开始", Where: fmt.Sprintf("messages[%d]", i)}
		}
		m.IsFinal = nil
		if m.ID == "" {
			m.ID = qingting.NewID("ms")
		} else {
			seq, again, err := t.again(key, &m)
			if err != nil {
				return out, err
			}
			if again {
				out.Results[i] = AppendResult{MessageID: m.ID, Seq: seq, Status: AppendDuplicate}
				continue
			}
		}
		if m.Seq == 0 {
			m.Seq = kept.lastSeq + 1
		}
		kept.lastSeq = max(kept.lastSeq, m.Seq)
		if m.Received.IsZero() {
			m.Received = fromMicros(t.now)
		}
		if err := t.insertMessage(key, &m); err != nil {
			return out, fmt.Errorf("write message: %w", err)
		}
		c.Messages++
		c.Runes += utf8.RuneCountInString(m.Text)
		out.Results[i] = AppendResult{MessageID: m.ID, Seq: m.Seq, Status: AppendCreated}
		out.New = append(out.New, m)
	}
	if c.Messages > qingting.MaxMessages {
		return out, &qingting.InputError{Code: "too_many_messages", Message: fmt.Sprintf("加上这些会有 %d 条消息，上限是 %d 条，请另开一个会话", c.Messages, qingting.MaxMessages), Where: "messages", Kind: qingting.ErrTooLarge}
	}
	if c.Runes > qingting.MaxTranscriptRunes {
		return out, &qingting.InputError{Code: "transcript_too_long", Message: fmt.Sprintf("加上这些会共有 %d 个字，一个会话的上限是 %d 个字，请另开一个会话", c.Runes, qingting.MaxTranscriptRunes), Where: "messages", Kind: qingting.ErrTooLarge}
	}
	if len(out.New) > 0 {
		c.Version++
		if c.State != qingting.ConversationOpen {
			c.State, c.Closing, out.Reopened = qingting.ConversationOpen, nil, true
		}
	}
	// Two statements, because an index is written when one of its columns is
	// named, whether it changes or not.
	if filled && !out.Created || out.Reopened {
		_, err := t.exec(`UPDATE conversations SET channel = ?, customer_ref = ?, team = ?, agent = ?, state = ?, closing = CASE WHEN ? THEN NULL ELSE closing END WHERE tenant = ? AND id = ?`,
			c.Channel, c.CustomerRef, c.Team, c.Agent, string(c.State), out.Reopened, key.Tenant, key.ID)
		if err != nil {
			return out, fmt.Errorf("write conversation: %w", err)
		}
	}
	if len(out.New) > 0 || filled && !out.Created {
		c.Updated = fromMicros(t.now)
		_, err := t.exec(`UPDATE conversations SET messages = ?, runes = ?, last_seq = ?, version = ?, updated_at = ? WHERE tenant = ? AND id = ?`,
			c.Messages, c.Runes, kept.lastSeq, c.Version, t.now, key.Tenant, key.ID)
		if err != nil {
			return out, fmt.Errorf("write conversation: %w", err)
		}
	}
	out.Conversation = *c
	if r.Outbox != nil && len(out.New) > 0 {
		items, err := r.Outbox(&out)
		if err != nil {
			return out, fmt.Errorf("make deliveries: %w", err)
		}
		return out, t.post(items)
	}
	return out, nil
}

// fill sets what is empty and reports whether it did.
func fill(to *string, from string) bool {
	if *to != "" || from == "" {
		return false
	}
	*to = from
	return true
}

// again looks whether a message is there already, and the same.
func (t *tx) again(key qingting.Key, m *qingting.StoredMessage) (seq int, again bool, err error) {
	var role, text string
	err = t.conn.QueryRowContext(context.Background(), `SELECT seq, role, text FROM messages WHERE tenant = ? AND conversation = ? AND id = ?`,
		key.Tenant, key.ID, m.ID).Scan(&seq, &role, &text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	case role != string(m.Role) || text != m.Text || m.Seq != 0 && m.Seq != seq:
		return 0, false, fmt.Errorf("%w: 会话里已有 message_id 为 %q 的消息，role、text 或 seq 却不同；请给每条消息不同的 message_id，重发的消息要和第一次一样", ErrConflict, m.ID)
	}
	return seq, true, nil
}

const messageColumns = `seq, id, role, text, sent_at, asr, concealed, received_at`

func (t *tx) insertMessage(key qingting.Key, m *qingting.StoredMessage) error {
	asr, err := optional(m.ASR, m.ASR != nil)
	if err != nil {
		return err
	}
	concealed, err := optional(m.Concealed, len(m.Concealed) > 0)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO messages (tenant, conversation, `+messageColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		key.Tenant, key.ID, m.Seq, m.ID, string(m.Role), m.Text, maybeMicros(m.SentAt), asr, concealed, micros(m.Received))
	return err
}

func scanMessage(row scanner) (m qingting.StoredMessage, err error) {
	var sent sql.NullInt64
	var asr, concealed sql.NullString
	var received int64
	if err = row.Scan(&m.Seq, &m.ID, &m.Role, &m.Text, &sent, &asr, &concealed, &received); err != nil {
		return m, err
	}
	m.SentAt, m.Received = fromMaybe(sent), fromMicros(received)
	if err = decode(asr, &m.ASR); err != nil {
		return m, fmt.Errorf("read asr of message %s: %w", m.ID, err)
	}
	if err = decode(concealed, &m.Concealed); err != nil {
		return m, fmt.Errorf("read concealed of message %s: %w", m.ID, err)
	}
	return m, nil
}

// Messages returns the messages of a conversation in order of (seq, id), or
// qingting.ErrNotFound. IsFinal is always nil: what is kept is final.
func (s *Store) Messages(ctx context.Context, key qingting.Key) ([]qingting.StoredMessage, error) {
	out, err := list(ctx, s.reader, scanMessage, `SELECT `+messageColumns+` FROM messages
		WHERE tenant = ? AND conversation = ? ORDER BY seq, id`, key.Tenant, key.ID)
	if err == nil && len(out) == 0 {
		err = s.exists(ctx, key)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// MessagesPage returns a page of them, behind the cursor, and the cursor of
// the next page, "" at the end. The limit is at most 500; 0 means 500.
func (s *Store) MessagesPage(ctx context.Context, key qingting.Key, after string, limit int) ([]qingting.StoredMessage, string, error) {
	var w where
	w.add(`tenant = ? AND conversation = ?`, key.Tenant, key.ID)
	if err := w.behind(`seq`, after, true); err != nil {
		return nil, "", err
	}
	out, next, err := page(ctx, s.reader, limit, scanMessage, func(m qingting.StoredMessage) (int64, string) { return int64(m.Seq), m.ID },
		`SELECT `+messageColumns+` FROM messages`+w.String()+` ORDER BY seq, id LIMIT ?`, w.args...)
	if err == nil && len(out) == 0 {
		err = s.exists(ctx, key)
	}
	if err != nil {
		return nil, "", err
	}
	return out, next, nil
}

// exists returns qingting.ErrNotFound when there is no such conversation.
func (s *Store) exists(ctx context.Context, key qingting.Key) error {
	_, err := one(ctx, s.reader, "个会话", scanOf[int], `SELECT 1 FROM conversations WHERE tenant = ? AND id = ?`, key.Tenant, key.ID)
	return err
}

// keptConversation is a conversation with what only the store knows.
type keptConversation struct {
	qingting.Conversation
	lastSeq int
}

const conversationColumns = `tenant, id, channel, customer_ref, team, agent, state, messages, runes, last_seq, version, analysed,
	created_at, updated_at, closing, kind, primary_type, emotion, intensity, risk, score, priority, quote, earlier`

func scanKept(row scanner) (c keptConversation, err error) {
	var created, updated int64
	var closing, earlier sql.NullString
	o := &c.Overview
	err = row.Scan(&c.Tenant, &c.ID, &c.Channel, &c.CustomerRef, &c.Team, &c.Agent, &c.State, &c.Messages, &c.Runes, &c.lastSeq,
		&c.Version, &c.Analysed, &created, &updated, &closing, &o.Kind, &o.Primary, &o.Emotion, &o.Intensity, &o.Risk, &o.Score,
		&o.Priority, &o.Quote, &earlier)
	if err != nil {
		return c, err
	}
	c.Created, c.Updated = fromMicros(created), fromMicros(updated)
	if err = decode(closing, &c.Closing); err != nil {
		return c, fmt.Errorf("read closing of conversation %s: %w", c.ID, err)
	}
	if err = decode(earlier, &c.Earlier); err != nil {
		return c, fmt.Errorf("read earlier of conversation %s: %w", c.ID, err)
	}
	return c, nil
}

func scanConversation(row scanner) (qingting.Conversation, error) {
	c, err := scanKept(row)
	return c.Conversation, err
}

const selectConversation = `SELECT ` + conversationColumns + ` FROM conversations WHERE tenant = ? AND id = ?`

func (t *tx) conversation(key qingting.Key) (keptConversation, error) {
	return one(context.Background(), t.conn, "个会话", scanKept, selectConversation, key.Tenant, key.ID)
}

func (t *tx) insertConversation(c *keptConversation) error {
	_, err := t.exec(`INSERT INTO conversations (`+conversationColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, ?, ?, NULL, '', '', '', 0, '', 0, '', '', 'null')`,
		c.Tenant, c.ID, c.Channel, c.CustomerRef, c.Team, c.Agent, string(c.State), t.now, t.now)
	if err != nil {
		return fmt.Errorf("write conversation: %w", err)
	}
	return nil
}

// Conversation returns a conversation without its messages, or
// qingting.ErrNotFound.
func (s *Store) Conversation(ctx context.Context, key qingting.Key) (qingting.Conversation, error) {
	return one(ctx, s.reader, "个会话", scanConversation, selectConversation, key.Tenant, key.ID)
}

// ConversationFilter narrows a list; zero fields do not narrow.
type ConversationFilter struct {
	State       qingting.ConversationState
	Teams       []string
	Agent       string
	Risk        []qingting.RiskLevel
	Priority    []qingting.Priority
	CustomerRef string
	Primary     []qingting.Type
	From        time.Time // updated at or after
	To          time.Time // updated before
	// OldestFirst lists in rising order of Updated, so that nothing is missed
	// while conversations go on: what changes comes again further on. The
	// other order, newest first, misses what moves to the front meanwhile.
	OldestFirst bool
}

func (f *ConversationFilter) query(tenant, cursor string) (string, []any, error) {
	var w where
	w.add(`tenant = ?`, tenant)
	if f.State != "" {
		w.add(`state = ?`, string(f.State))
	}
	in(&w, `team`, f.Teams)
	in(&w, `risk`, f.Risk)
	in(&w, `priority`, f.Priority)
	in(&w, `primary_type`, f.Primary)
	if f.Agent != "" {
		// The second condition is always true; it lets SQLite use the index
		// over those that have one.
		w.add(`agent = ? AND agent <> ''`, f.Agent)
	}
	if f.CustomerRef != "" {
		w.add(`customer_ref = ?`, f.CustomerRef)
	}
	if !f.From.IsZero() {
		w.add(`updated_at >= ?`, micros(f.From))
	}
	if !f.To.IsZero() {
		w.add(`updated_at < ?`, micros(f.To))
	}
	if err := w.behind(`updated_at`, cursor, f.OldestFirst); err != nil {
		return "", nil, err
	}
	from, order := ` FROM conversations`, ` ORDER BY updated_at DESC, id DESC LIMIT ?`
	if f.CustomerRef != "" {
		// SQLite would rather walk through everybody's conversations in order
		// of time than sort the few of this customer.
		from += ` INDEXED BY conversations_by_customer`
	}
	if f.OldestFirst {
		order = ` ORDER BY updated_at, id LIMIT ?`
	}
	return `SELECT ` + conversationColumns + from + w.String() + order, w.args, nil
}

// Conversations returns a page of the conversations that pass the filter, by
// (Updated, ID), newest first unless the filter says otherwise, and the cursor
// of the next page, "" at the end. The limit is at most 500; 0 means 500.
func (s *Store) Conversations(ctx context.Context, tenant string, f ConversationFilter, cursor string, limit int) ([]qingting.Conversation, string, error) {
	query, args, err := f.query(tenant, cursor)
	if err != nil {
		return nil, "", err
	}
	return page(ctx, s.reader, limit, scanConversation, func(c qingting.Conversation) (int64, string) { return micros(c.Updated), c.ID }, query, args...)
}

// CloseConversation says how a conversation ended, or corrects it. A zero
// Closing.At is now.
func (s *Store) CloseConversation(ctx context.Context, key qingting.Key, how qingting.Closing, outbox []hook.Item) (qingting.Conversation, error) {
	return s.changeConversation(ctx, key, outbox, func(t *tx) (int64, error) {
		if how.At.IsZero() {
			how.At = fromMicros(t.now)
		}
		how.At = how.At.UTC()
		closing, err := encoded(how)
		if err != nil {
			return 0, err
		}
		return t.exec(`UPDATE conversations SET state = 'closed', closing = ?, updated_at = ? WHERE tenant = ? AND id = ?`, closing, t.now, key.Tenant, key.ID)
	})
}

// SetAgent gives a conversation to a user; "" takes it away.
func (s *Store) SetAgent(ctx context.Context, key qingting.Key, agent string, outbox []hook.Item) (qingting.Conversation, error) {
	return s.changeConversation(ctx, key, outbox, func(t *tx) (int64, error) {
		return t.exec(`UPDATE conversations SET agent = ?, updated_at = ? WHERE tenant = ? AND id = ?`, agent, t.now, key.Tenant, key.ID)
	})
}

// SetTeam moves a conversation to a team, with its open alerts and promises.
func (s *Store) SetTeam(ctx context.Context, key qingting.Key, team string, outbox []hook.Item) (qingting.Conversation, error) {
	return s.changeConversation(ctx, key, outbox, func(t *tx) (int64, error) {
		if _, err := t.exec(`UPDATE alerts SET team = ?, version = version + 1, updated_at = ? WHERE tenant = ? AND conversation = ? AND open = 1`, team, t.now, key.Tenant, key.ID); err != nil {
			return 0, err
		}
		if _, err := t.exec(`UPDATE promises SET team = ?, updated_at = ? WHERE tenant = ? AND conversation = ? AND state = 'open'`, team, t.now, key.Tenant, key.ID); err != nil {
			return 0, err
		}
		return t.exec(`UPDATE conversations SET team = ?, updated_at = ? WHERE tenant = ? AND id = ?`, team, t.now, key.Tenant, key.ID)
	})
}

// changeConversation runs a change and returns the conversation after it.
func (s *Store) changeConversation(ctx context.Context, key qingting.Key, outbox []hook.Item, change func(*tx) (int64, error)) (qingting.Conversation, error) {
	var out qingting.Conversation
	err := s.write(ctx, func(t *tx) error {
		n, err := change(t)
		if err != nil {
			return err
		}
		if n == 0 {
			return notFound("个会话")
		}
		kept, err := t.conversation(key)
		if err != nil {
			return err
		}
		out = kept.Conversation
		return t.post(outbox)
	})
	if err != nil {
		return qingting.Conversation{}, err
	}
	return out, nil
}

// Behind returns conversations of all tenants whose latest messages no
// analysis has read, by (tenant, ID), behind a key; the zero key is the
// beginning. The limit is at most 500; 0 means 500.
func (s *Store) Behind(ctx context.Context, after qingting.Key, limit int) ([]qingting.Key, error) {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	return list(ctx, s.reader, func(row scanner) (k qingting.Key, err error) { return k, row.Scan(&k.Tenant, &k.ID) },
		behindQuery, after.Tenant, after.ID, limit)
}

const behindQuery = `SELECT tenant, id FROM conversations WHERE analysed < version AND (tenant, id) > (?, ?) ORDER BY tenant, id LIMIT ?`

// relatedFor is how long two complaints about one matter belong together.
const relatedFor = 90 * 24 * time.Hour

// Related returns the ids of the customer's other conversations about the same
// matter, latest first, at most 20: those with a primary type of the same
// family (price.*) that began within 90 days before the given time.
func (s *Store) Related(ctx context.Context, key qingting.Key, customerRef string, matter qingting.Type, before time.Time) ([]string, error) {
	if customerRef == "" || matter == "" {
		return []string{}, nil
	}
	family, _, _ := strings.Cut(string(matter), ".")
	return list(ctx, s.reader, scanOf[string], relatedQuery, key.Tenant, customerRef, micros(before.Add(-relatedFor)), micros(before), key.ID, family, family+".", family+"/")
}

// A family is everything from "price." up to the character behind the dot.
const relatedQuery = `SELECT id FROM conversations INDEXED BY conversations_by_customer
	WHERE tenant = ? AND customer_ref = ? AND created_at >= ? AND created_at < ? AND id <> ?
	AND (primary_type = ? OR primary_type >= ? AND primary_type < ?)
	ORDER BY created_at DESC, id DESC LIMIT 20`
