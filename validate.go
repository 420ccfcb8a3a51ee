package qingting

import (
	"fmt"
	"unicode/utf8"
)

// Limits of one transcript. Beyond them input is refused, never truncated.
const (
	MaxMessageRunes    = 4_000
	MaxMessages        = 20_000
	MaxTranscriptRunes = 200_000
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

// Validate checks a transcript against the limits, and that messages of one id
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
