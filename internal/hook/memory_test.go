package hook

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/qingting-ai/qingting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is an Outbox that lives in memory. It keeps the contract, and can be
// told to lose what a Sender settles, as a process that dies would.
type memory struct {
	mu        sync.Mutex
	endpoints []Endpoint
	items     map[string]*Item
	lose      int // so many settlings fail, and nothing is written
}

var errLost = errors.New("the process died")

func newMemory(endpoints ...Endpoint) *memory {
	return &memory{endpoints: endpoints, items: map[string]*Item{}}
}

func (m *memory) add(items ...Item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, it := range items {
		m.items[it.ID] = &it
	}
}

func (m *memory) get(id string) Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.items[id]
}

func (m *memory) count(s State) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, it := range m.items {
		if it.State == s {
			n++
		}
	}
	return n
}

func (m *memory) due(e *Endpoint, now time.Time) []*Item {
	var out []*Item
	for _, it := range m.items {
		if it.Tenant == e.Tenant && it.Endpoint == e.ID && it.State == StatePending && !it.Next.After(now) {
			out = append(out, it)
		}
	}
	slices.SortFunc(out, func(a, b *Item) int { return cmp.Or(a.Next.Compare(b.Next), cmp.Compare(a.ID, b.ID)) })
	return out
}

func (m *memory) ReadyEndpoints(_ context.Context, now time.Time) ([]Endpoint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Endpoint
	for _, e := range m.endpoints {
		if !e.Disabled && len(m.due(&e, now)) > 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

func (m *memory) ClaimOutbox(_ context.Context, tenant, endpoint string, now time.Time, lease time.Duration, limit int) ([]Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	due := m.due(&Endpoint{Tenant: tenant, ID: endpoint}, now)
	out := make([]Item, 0, limit)
	for _, it := range due[:min(limit, len(due))] {
		it.Attempts++
		it.Next = now.Add(lease)
		out = append(out, *it)
	}
	return out, nil
}

func (m *memory) settle(ctx context.Context, it Item, state State, next, now time.Time, status int, problem string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.lose > 0 {
		m.lose--
		return errLost
	}
	kept := m.items[it.ID]
	if kept.State != StatePending || kept.Attempts != it.Attempts {
		return errors.New("taken over")
	}
	kept.State, kept.Next, kept.Updated, kept.Status, kept.Error = state, next, now, status, problem
	return nil
}

func (m *memory) OutboxDone(ctx context.Context, it Item, status int, now time.Time) error {
	return m.settle(ctx, it, StateDone, now, now, status, "")
}

func (m *memory) OutboxRetry(ctx context.Context, it Item, next time.Time, status int, problem string, now time.Time) error {
	return m.settle(ctx, it, StatePending, next, now, status, problem)
}

func (m *memory) OutboxDead(ctx context.Context, it Item, status int, problem string, now time.Time) error {
	return m.settle(ctx, it, StateDead, now, now, status, problem)
}

func (m *memory) ExpireOutbox(_ context.Context, tenant, endpoint string, before time.Time, problem string, now time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, it := range m.items {
		if it.Tenant == tenant && it.Endpoint == endpoint && it.State == StatePending && it.Created.Before(before) {
			it.State, it.Updated, it.Error = StateDead, now, problem
			n++
		}
	}
	return n, nil
}

func (m *memory) DisableEndpoint(_ context.Context, tenant, endpoint, reason string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.endpoints {
		if e := &m.endpoints[i]; e.Tenant == tenant && e.ID == endpoint {
			e.Disabled, e.Reason, e.Updated = true, reason, now
			e.Version++
		}
	}
	return nil
}

const testSecret = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=" // 32 times k

func webhook(id, url string) Endpoint {
	return Endpoint{Tenant: "t1", ID: id, Kind: KindWebhook, URL: url, Secret: []byte(testSecret)}
}

func waiting(id, endpoint string, now time.Time) Item {
	return Item{
		Tenant: "t1", ID: id, Event: "ev_" + id, Type: qingting.EventAlertRaised, Endpoint: endpoint, Conversation: "c1", Seq: 3,
		Payload: []byte(`{"id":"ev_` + id + `"}`), State: StatePending, Next: now, Created: now, Updated: now,
	}
}
