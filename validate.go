package qingting

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of one transcript. Beyond them input is refused, never truncated.
const (
	MaxMessageRunes    = 4_000
	MaxMessages        = 20_000
	MaxTranscriptRunes = 200_000
	MaxIDRunes         = 128
)

// InputError says in Chinese what is wrong with the input and where. It
// unwraps to ErrInvalid or ErrTooLarge.
type InputError struct {
	Code    string // stable: empty_transcript, unknown_role, message_too_long …
	Message string // a sentence a person can act on; never contains the customer's text
	Where   string // "messages[3].role", "第 7 行", "" when it is the whole input
	Kind    error  // ErrInvalid or ErrTooLarge; nil means ErrInvalid
}

func (e *InputError) Error() string {
	if e.Where == "" {
		return e.Message
	}
	return e.Where + "：" + e.Message
}

// Unwrap makes errors.Is(err, ErrInvalid) work.
func (e *InputError) Unwrap() error {
	if e.Kind == nil {
		return ErrInvalid
	}
	return e.Kind
}

// ValidID reports whether an id from outside, of a conversation or a message,
// can stand in a path, a log and a list: valid UTF-8 of 1 to MaxIDRunes
// characters, none of which is a control or format character (Unicode Cc and
// Cf: such an id looks like another one), and neither "." nor "..".
func ValidID(id string) bool {
	return id != "" && id != "." && id != ".." && utf8.ValidString(id) && utf8.RuneCountInString(id) <= MaxIDRunes &&
		!strings.ContainsFunc(id, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf) })
}

// Times of messages lie in the years 1970 to 9999, in UTC as well as in China:
// RFC 3339, and with it JSON, knows no year behind.
var (
	minSentAt = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	maxSentAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.FixedZone("CST", 8*60*60)) // excluded
)

// validTime reports whether a message's time is in range, and can be written
// in the zone it came in.
func validTime(t time.Time) bool {
	_, err := t.MarshalText()
	return err == nil && !t.Before(minSentAt) && t.Before(maxSentAt)
}

// Validate checks a transcript against the limits, that ids are as ValidID
// wants them and times in the years 1970 to 9999, and that messages of one id
// are one message; the error is an *InputError.
func (t *Transcript) Validate() error {
	if len(t.Messages) == 0 {
		return &InputError{Code: "empty_transcript", Message: "会话里没有消息，请至少给出一条 role 和 text 齐全的消息", Where: "messages"}
	}
	if len(t.Messages) > MaxMessages {
		return &InputError{Code: "too_many_messages", Message: fmt.Sprintf("有 %d 条消息，上限是 %d 条，请拆成多个会话", len(t.Messages), MaxMessages), Where: "messages", Kind: ErrTooLarge}
	}
	total := 0
	delivered := map[string]int{} // by id, the message that has it
	for i := range t.Messages {
		m := &t.Messages[i]
		switch m.Role {
		case RoleCustomer, RoleAgent, RoleBot, RoleSystem:
		case "":
			return &InputError{Code: "missing_role", Message: "缺少 role，请填 customer、agent、bot 或 system", Where: fmt.Sprintf("messages[%d].role", i)}
		default:
			return &InputError{Code: "unknown_role", Message: "role 不认识，只能是 customer、agent、bot 或 system", Where: fmt.Sprintf("messages[%d].role", i)}
		}
		n := utf8.RuneCountInString(m.Text)
		if n > MaxMessageRunes {
			return &InputError{Code: "message_too_long", Message: fmt.Sprintf("有 %d 个字，一条消息的上限是 %d 个字，请拆成多条", n, MaxMessageRunes), Where: fmt.Sprintf("messages[%d].text", i), Kind: ErrTooLarge}
		}
		total += n
		if m.Seq < 0 {
			return &InputError{Code: "bad_seq", Message: "seq 应当从 1 开始，不编号就不要写", Where: fmt.Sprintf("messages[%d].seq", i)}
		}
		if m.ID != "" && !ValidID(m.ID) {
			return &InputError{Code: "bad_message_id", Message: fmt.Sprintf("message_id 不能用：要 1 到 %d 个字，不能有控制字符和看不见的字符，也不能是 . 或 ..；不编号就不要写", MaxIDRunes), Where: fmt.Sprintf("messages[%d].message_id", i)}
		}
		if !m.SentAt.IsZero() && !validTime(m.SentAt) {
			return &InputError{Code: "bad_time", Message: "sent_at 超出范围，要在 1970 年到 9999 年之间；不知道时间就不要写", Where: fmt.Sprintf("messages[%d].sent_at", i)}
		}
		if m.ID == "" || m.Partial() {
			continue
		}
		first, again := delivered[m.ID]
		if !again {
			delivered[m.ID] = i
			continue
		}
		// Deliveries are idempotent by id: the same message again is no second
		// one. Another text under the same id is a mistake that only the sender
		// can resolve.
		if was := &t.Messages[first]; was.Role != m.Role || was.Text != m.Text || was.Seq != m.Seq {
			return &InputError{Code: "duplicate_message_id", Message: fmt.Sprintf("和 messages[%d] 的 message_id 相同，role、text 或 seq 却不同；请给每条消息不同的 message_id，重发的消息要和第一次一样", first), Where: fmt.Sprintf("messages[%d].message_id", i)}
		}
	}
	if total > MaxTranscriptRunes {
		return &InputError{Code: "transcript_too_long", Message: fmt.Sprintf("共 %d 个字，一个会话的上限是 %d 个字，请拆成多个会话", total, MaxTranscriptRunes), Where: "messages", Kind: ErrTooLarge}
	}
	return nil
}
