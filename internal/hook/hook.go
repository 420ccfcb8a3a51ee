// Package hook carries what happens out of the service and conversations into
// it: events to webhooks (Standard Webhooks) and to the group robots of
// 企业微信, 钉钉 and 飞书, from a durable outbox, at least once; and the events
// of Chatwoot in.
//
// Render turns an event into outbox items, which the store writes in the
// transaction of what they tell. The Sender delivers them, through a Guard
// that connects to no private address.
package hook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
)

// Kind says what listens at an endpoint.
type Kind string

// The kinds of endpoints. A robot is told of raised alerts only, in words.
const (
	KindWebhook  Kind = "webhook"  // Standard Webhooks
	KindWeCom    Kind = "wecom"    // 企业微信 group robot
	KindDingTalk Kind = "dingtalk" // 钉钉 custom robot
	KindFeishu   Kind = "feishu"   // 飞书 custom bot
)

// Robot reports whether it is a chat group that listens, not a program.
func (k Kind) Robot() bool { return k == KindWeCom || k == KindDingTalk || k == KindFeishu }

// Endpoint is a receiver (接收地址) of one tenant.
type Endpoint struct {
	Tenant string `json:"-"`
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	Kind   Kind   `json:"kind"`
	// URL holds the robot's key, and perhaps a receiver's: it is a secret.
	URL string `json:"url"`
	// Secret signs what is sent. A webhook has one secret or more, "whsec_" and
	// base64, the newest first with spaces between; with two a receiver can
	// change over. A robot has one or none, as its group shows it.
	Secret []byte `json:"-"`
	// Events are the types that are sent; empty means every type.
	Events []qingting.EventType `json:"events"`
	// Teams are the teams whose events are sent; empty means every team.
	Teams []string `json:"teams"`
	// Disabled endpoints get nothing: no new item is written for them, and
	// items that wait, wait on. Reason says in Chinese why.
	Disabled bool      `json:"disabled"`
	Reason   string    `json:"disabled_reason,omitempty"`
	Created  time.Time `json:"created_at"`
	Updated  time.Time `json:"updated_at"`
	Version  int64     `json:"version"` // grows with every change
}

func (e *Endpoint) secrets() []string { return strings.Fields(string(e.Secret)) }

// Wants reports whether the endpoint is to hear of the event.
func (e *Endpoint) Wants(ev *qingting.Event) bool {
	switch {
	case e.Disabled, e.Tenant != ev.Tenant, ev.Type == qingting.EventPartial:
		return false
	case e.Kind.Robot() && ev.Type != qingting.EventAlertRaised:
		return false
	case len(e.Events) > 0 && !slices.Contains(e.Events, ev.Type):
		return false
	}
	return len(e.Teams) == 0 || slices.Contains(e.Teams, ev.Team)
}

// State is how a delivery stands.
type State string

// The states. A dead item (死信) waits for a person to replay it.
const (
	StatePending State = "pending"
	StateDone    State = "done"
	StateDead    State = "dead"
)

// Item is one delivery of one event to one endpoint: a row of the outbox. It
// is written in the transaction of what it tells.
type Item struct {
	Tenant string `json:"-"`
	ID     string `json:"id"`
	// Event is the same in every attempt and at every endpoint, so that a
	// receiver can drop what it has seen: the header webhook-id.
	Event        string             `json:"event_id"`
	Type         qingting.EventType `json:"type"`
	Endpoint     string             `json:"endpoint_id"`
	Conversation string             `json:"conversation_id,omitempty"`
	Seq          int64              `json:"seq"`
	Payload      []byte             `json:"-"` // JSON as it is sent, but for a robot's signature
	State        State              `json:"state"`
	Attempts     int                `json:"attempts"` // begun so far
	Next         time.Time          `json:"next_at"`  // not before; while it is being sent, when the lease ends
	// Created is when the item was written or replayed: its schedule starts there.
	Created time.Time `json:"created_at"`
	Updated time.Time `json:"updated_at"`
	Status  int       `json:"status,omitempty"` // HTTP status of the last answer, 0 when there was none
	Error   string    `json:"error,omitempty"`  // of the last attempt, Chinese; holds no address and no secret
}

// Outbox is what the Sender needs of the store. It may be called concurrently.
type Outbox interface {
	// ReadyEndpoints returns the endpoints of all tenants that are not disabled
	// and have a pending item with Next at or before now, in a fixed order.
	ReadyEndpoints(ctx context.Context, now time.Time) ([]Endpoint, error)
	// ClaimOutbox takes at most limit pending items of one endpoint with Next at
	// or before now, the oldest Next first. In one transaction each gets one
	// attempt more and is due again when the lease ends, should the process die.
	ClaimOutbox(ctx context.Context, tenant, endpoint string, now time.Time, lease time.Duration, limit int) ([]Item, error)
	// OutboxDone, OutboxRetry and OutboxDead settle a claimed item: it arrived,
	// is due again at next, or is given up. Their error says as well that
	// another claim has taken the item over meanwhile.
	OutboxDone(ctx context.Context, it Item, status int, now time.Time) error
	OutboxRetry(ctx context.Context, it Item, next time.Time, status int, problem string, now time.Time) error
	OutboxDead(ctx context.Context, it Item, status int, problem string, now time.Time) error
	// ExpireOutbox gives up the pending items of an endpoint with Created before
	// that time, and returns how many.
	ExpireOutbox(ctx context.Context, tenant, endpoint string, before time.Time, problem string, now time.Time) (int, error)
	// DisableEndpoint stops deliveries to an endpoint. reason is Chinese.
	DisableEndpoint(ctx context.Context, tenant, endpoint, reason string, now time.Time) error
}

// secretPrefix marks a secret of Standard Webhooks.
const secretPrefix = "whsec_"

// NewSecret returns a new signing secret of 256 random bits.
func NewSecret() string {
	key := make([]byte, 32)
	rand.Read(key) // never fails, see crypto/rand
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}
