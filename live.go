package qingting

import (
	"crypto/rand"
	"strings"
	"time"
)

// This file names what the running service keeps beside an analysis:
// conversations that grow, alerts, promises, feedback and events. Everything
// belongs to one tenant; a tenant never sees another's.

// DefaultTenant is the tenant of an installation that has one only.
const DefaultTenant = "default"

// NewID returns a name nobody can guess, with 128 random bits, for a new alert
// ("al"), promise ("pr"), event …
func NewID(prefix string) string { return prefix + "_" + strings.ToLower(rand.Text()) }

// Key names one conversation.
type Key struct {
	Tenant string
	ID     string
}

// ConversationState says whether a conversation goes on.
type ConversationState string

// The states of a conversation. A message reopens a closed one.
const (
	ConversationOpen   ConversationState = "open"
	ConversationClosed ConversationState = "closed"
)

// Conversation is a transcript that grows, as the service keeps it. Its
// messages are kept beside it.
type Conversation struct {
	Tenant      string            `json:"-"`
	ID          string            `json:"id"`
	Channel     string            `json:"channel,omitempty"`
	CustomerRef string            `json:"customer_ref,omitempty"`
	Team        string            `json:"team,omitempty"`
	Agent       string            `json:"agent,omitempty"` // id of the user who serves it
	State       ConversationState `json:"state"`
	Messages    int               `json:"messages"` // how many; unfinished ASR results do not count
	Runes       int               `json:"-"`        // of all messages together
	// Version grows by one with every accepted write to the messages. Analysed
	// is the version that the latest analysis has read.
	Version  int64     `json:"version"`
	Analysed int64     `json:"analysed"`
	Created  time.Time `json:"created_at"`
	Updated  time.Time `json:"updated_at"`
	Closing  *Closing  `json:"closing,omitempty"`
	Overview Overview  `json:"overview"`
	// Earlier are the ids of this customer's other conversations about the same
	// matter, latest first.
	Earlier []string `json:"earlier,omitempty"`
}

// Overview is what lists and boards show of the latest analysis; zero before
// the first.
type Overview struct {
	Kind      Kind        `json:"kind,omitempty"`
	Primary   Type        `json:"primary,omitempty"`
	Emotion   EmotionCode `json:"emotion,omitempty"`
	Intensity int         `json:"intensity"`
	Risk      RiskLevel   `json:"risk,omitempty"` // the shown level, see Shown
	Score     float64     `json:"score"`          // probability of high risk
	Priority  Priority    `json:"priority,omitempty"`
	Quote     string      `json:"quote,omitempty"` // the words that weigh most
}

// Closing is how a conversation ended.
type Closing struct {
	At        time.Time  `json:"at"`
	By        string     `json:"by,omitempty"` // user or key
	Outcome   Outcome    `json:"outcome"`
	Satisfied int        `json:"satisfaction,omitempty"` // 1…5, 0 unknown
	Solution  string     `json:"solution,omitempty"`
	Remedy    RemedyCode `json:"remedy,omitempty"`
	Cost      float64    `json:"cost,omitempty"` // CNY
	Note      string     `json:"note,omitempty"`
}

// Concealed is a place of a stored text whose characters were replaced by
// asterisks, one for each, so that every other character stays where it was
// submitted.
type Concealed struct {
	Kind  SlotKind `json:"kind"`
	Start int      `json:"start"` // code points, half-open
	End   int      `json:"end"`
}

// StoredMessage is a message as the service keeps it: with a seq, an id and,
// by default, without personal data.
type StoredMessage struct {
	Message
	Concealed []Concealed `json:"concealed,omitempty"`
	Received  time.Time   `json:"received_at"`
}

// Shown is the risk level people see: the higher one of the whole conversation
// and of the conversation before its last customer message. It rises at once
// and falls only when two levels in a row are lower, and depends on nothing
// but the messages, in whatever order they arrived.
func Shown(now, before RiskLevel) RiskLevel {
	for _, l := range []RiskLevel{RiskHigh, RiskMedium, RiskLow} {
		if now == l || before == l {
			return l
		}
	}
	return now
}

// AlertState is a step in the life of an alert.
type AlertState string

// The states: 新→已认领→处理中→已解除/已升级. Dismissed is a false alarm.
const (
	AlertNew        AlertState = "new"
	AlertClaimed    AlertState = "claimed"
	AlertInProgress AlertState = "in_progress"
	AlertResolved   AlertState = "resolved"
	AlertEscalated  AlertState = "escalated"
	AlertDismissed  AlertState = "dismissed"
)

// Open reports whether somebody still has to act.
func (s AlertState) Open() bool {
	return s == AlertNew || s == AlertClaimed || s == AlertInProgress || s == AlertEscalated
}

// AlertCause says what an alert is about.
type AlertCause string

// The causes of alerts.
const (
	CauseRisk    AlertCause = "risk"    // the shown level is high, or the priority P0 or P1
	CauseSLA     AlertCause = "sla"     // a service clock is about to run out, or has
	CausePromise AlertCause = "promise" // a promise is about to break, or has
)

// Alert asks a supervisor to look (预警). There is at most one open alert of a
// cause in a conversation.
type Alert struct {
	Tenant       string     `json:"-"`
	ID           string     `json:"id"`
	Conversation string     `json:"conversation_id"`
	Team         string     `json:"team,omitempty"`
	Cause        AlertCause `json:"cause"`
	Subject      string     `json:"subject,omitempty"` // id of the promise, name of the clock
	State        AlertState `json:"state"`
	Level        RiskLevel  `json:"level,omitempty"`
	Priority     Priority   `json:"priority,omitempty"`
	Score        float64    `json:"score"`
	Signals      []Signal   `json:"signals"` // the quotes that say why
	Owner        string     `json:"owner,omitempty"`
	Reason       string     `json:"reason,omitempty"`   // of the last change of state, by a person
	Feedback     string     `json:"feedback,omitempty"` // useful or false_alarm
	// Quiet alerts are over the budget: on the board, but nobody is called.
	Quiet bool `json:"quiet,omitempty"`
	// Tier counts how far up the chain the alert went: 0 the team's
	// supervisors, 1 those of the parent team …
	Tier    int        `json:"tier"`
	Raised  time.Time  `json:"raised_at"`
	Updated time.Time  `json:"updated_at"`
	Again   *time.Time `json:"again_at"` // when it is raised again unless somebody claims it
	Version int64      `json:"version"`  // grows with every change
}

// AlertEvent is one line of an alert's history.
type AlertEvent struct {
	Alert string     `json:"alert_id"`
	At    time.Time  `json:"at"`
	Actor string     `json:"actor,omitempty"` // "" is the service itself
	From  AlertState `json:"from,omitempty"`
	To    AlertState `json:"to"`
	Note  string     `json:"note,omitempty"`
}

// PromiseState is how a promise stands.
type PromiseState string

// The states of a promise.
const (
	PromiseOpen      PromiseState = "open"
	PromiseKept      PromiseState = "kept"
	PromiseBroken    PromiseState = "broken"
	PromiseCancelled PromiseState = "cancelled"
)

// Promise is what an agent said would be done (承诺): who, what, how much, by
// when, and the words that say so.
type Promise struct {
	Tenant       string       `json:"-"`
	ID           string       `json:"id"` // the same for the same words, see promise.Find
	Conversation string       `json:"conversation_id"`
	Team         string       `json:"team,omitempty"`
	What         RemedyCode   `json:"what"`
	Owner        string       `json:"owner,omitempty"` // 我, 技术部, 快递 …
	Amount       *float64     `json:"amount,omitempty"`
	Due          *time.Time   `json:"due_at"` // nil: no deadline was named
	DueWords     string       `json:"due,omitempty"`
	State        PromiseState `json:"state"`
	Span
	Warned  bool      `json:"warned"` // the agent was told that it is about to break
	Updated time.Time `json:"updated_at"`
}

// FeedbackAction is what an agent did with a suggestion.
type FeedbackAction string

// The actions: 插入, 编辑, 换一条, 不合适.
const (
	FeedbackInserted FeedbackAction = "inserted"
	FeedbackEdited   FeedbackAction = "edited"
	FeedbackReplaced FeedbackAction = "replaced"
	FeedbackRejected FeedbackAction = "rejected"
)

// Feedback is what became of a suggestion. Suggestion is the draft as it was
// shown.
type Feedback struct {
	Tenant       string         `json:"-"`
	ID           string         `json:"id"`
	Conversation string         `json:"conversation_id"`
	Suggestion   Suggestion     `json:"suggestion"`
	Action       FeedbackAction `json:"action"`
	Text         string         `json:"text,omitempty"` // what was sent instead, without personal data
	Reason       string         `json:"reason,omitempty"`
	By           string         `json:"by,omitempty"`
	At           time.Time      `json:"at"`
}

// EventType is what happened.
type EventType string

// The events of streams and webhooks.
const (
	EventMessage      EventType = "message.created"
	EventPartial      EventType = "message.partial" // streams only
	EventAnalysis     EventType = "analysis.updated"
	EventConversation EventType = "conversation.updated"
	EventAlertRaised  EventType = "alert.raised" // again as well
	EventAlertChanged EventType = "alert.updated"
	EventPromise      EventType = "promise.updated"
	EventCase         EventType = "case.updated"
)

// Event is one thing that happened, for streams and webhooks.
type Event struct {
	ID           string    `json:"id"`
	Type         EventType `json:"type"`
	Tenant       string    `json:"-"`
	Team         string    `json:"team,omitempty"`
	Conversation string    `json:"conversation_id,omitempty"`
	// Seq is the version of the conversation the event belongs to, so that a
	// receiver can put events in order.
	Seq  int64     `json:"seq"`
	At   time.Time `json:"at"`
	Data any       `json:"data"` // Analysis, Alert, Promise …, by Type
}
