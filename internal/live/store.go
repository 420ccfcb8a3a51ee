package live

import (
	"context"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

// Store keeps everything; *store.Store is one, and its methods say what they
// do. A method that writes returns after the commit. It may be called
// concurrently.
type Store interface {
	Append(ctx context.Context, r store.AppendRequest) (store.Appended, error)
	Conversation(ctx context.Context, key qingting.Key) (qingting.Conversation, error)
	Conversations(ctx context.Context, tenant string, f store.ConversationFilter, cursor string, limit int) ([]qingting.Conversation, string, error)
	Messages(ctx context.Context, key qingting.Key) ([]qingting.StoredMessage, error)
	CloseConversation(ctx context.Context, key qingting.Key, how qingting.Closing, outbox []store.OutboxItem) (qingting.Conversation, error)
	SetAgent(ctx context.Context, key qingting.Key, agent string, outbox []store.OutboxItem) (qingting.Conversation, error)
	SetTeam(ctx context.Context, key qingting.Key, team string, outbox []store.OutboxItem) (qingting.Conversation, error)
	Behind(ctx context.Context, after qingting.Key, limit int) ([]qingting.Key, error)
	Related(ctx context.Context, key qingting.Key, customerRef string, matter qingting.Type, before time.Time) ([]string, error)

	SaveAnalysis(ctx context.Context, r store.AnalysisRecord) ([]qingting.Alert, error)
	Analysis(ctx context.Context, key qingting.Key) (body []byte, version int64, err error)

	Alert(ctx context.Context, tenant, id string) (qingting.Alert, error)
	AlertsOf(ctx context.Context, key qingting.Key) ([]qingting.Alert, error)
	OpenAlerts(ctx context.Context) ([]qingting.Alert, error)
	AlertHistory(ctx context.Context, tenant, id string) ([]qingting.AlertEvent, error)
	ChangeAlert(ctx context.Context, c store.AlertChange, outbox []store.OutboxItem) (qingting.Alert, error)
	LoudAlerts(ctx context.Context, tenant, team string, since time.Time) (int, error)

	Promises(ctx context.Context, key qingting.Key) ([]qingting.Promise, error)
	OpenPromises(ctx context.Context) ([]qingting.Promise, error)
	ChangePromise(ctx context.Context, c store.PromiseChange, outbox []store.OutboxItem) (qingting.Promise, error)
}
