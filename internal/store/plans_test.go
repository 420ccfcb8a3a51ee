package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

// small tables hold as much as people type; to read one whole is fine.
var small = []string{"endpoints", "teams", "users", "keys"}

// TestNoQueryReadsAWholeTable looks at the plans of the queries over tables
// that grow: each goes through an index, and the lists also in its order, so
// that a page costs what it shows and not what is there.
func TestNoQueryReadsAWholeTable(t *testing.T) {
	s := fresh(t)
	c := cursor(1, "x")
	type plan struct {
		name, query string
		args        []any
		sorts       bool // a sort of few rows is fine
	}
	// Where a filter is narrow, its own index is to be used.
	index := map[string]string{
		"conversations team": "_by_team", "conversations since": "_by_team", "conversations agent": "_by_agent", "conversations risk": "_by_risk",
		"conversations customer": "_by_customer", "related": "_by_customer", "behind": "_behind", "messages": "_by_id",
		"alerts team": "_by_team", "alerts open": "alerts_open", "open alerts": "alerts_open", "alerts conversation": "_by_conversation",
		"outbox state": "_by_state", "outbox endpoint": "_by_endpoint", "due": "outbox_due", "ready": "outbox_due", "loud alerts": "_by_team",
	}
	var plans []plan
	add := func(name string, sorts bool) func(string, []any, error) {
		return func(query string, args []any, err error) {
			t.Helper()
			require.NoError(t, err)
			plans = append(plans, plan{name, query, append(args, 10), sorts})
		}
	}
	for name, f := range map[string]ConversationFilter{
		"all": {}, "open": {State: qingting.ConversationOpen}, "team": {Teams: []string{"a"}}, "teams": {Teams: []string{"a", "b"}}, "agent": {Agent: "a"},
		"risk": {Risk: []qingting.RiskLevel{qingting.RiskHigh}}, "customer": {CustomerRef: "r"}, "oldest": {OldestFirst: true},
		"since": {From: received, Teams: []string{"a"}}, "priority": {Priority: []qingting.Priority{"P0"}},
		"team, risk": {Teams: []string{"a"}, Risk: []qingting.RiskLevel{qingting.RiskHigh}},
	} {
		add("conversations "+name, f.CustomerRef != "")(f.query("t", ""))
		add("conversations behind "+name, f.CustomerRef != "")(f.query("t", c))
	}
	for name, f := range map[string]AlertFilter{
		"all": {}, "open": {Open: true}, "team": {Teams: []string{"a"}}, "teams": {Teams: []string{"a", "b"}}, "open teams": {Open: true, Teams: []string{"a", "b"}},
		"conversation": {Conversation: "c"}, "owner": {Owner: "u"}, "level": {Level: []qingting.RiskLevel{qingting.RiskHigh}},
	} {
		add("alerts "+name, false)(f.query("t", ""))
		add("alerts behind "+name, false)(f.query("t", c))
	}
	for name, f := range map[string]OutboxFilter{
		"all": {}, "state": {State: hook.StateDead}, "endpoint": {Endpoint: "e"}, "both": {State: hook.StateDead, Endpoint: "e"}, "conversation": {Conversation: "c"},
	} {
		add("outbox "+name, false)(f.query("t", ""))
		add("outbox behind "+name, false)(f.query("t", c))
	}
	plans = append(plans, []plan{
		{"behind", behindQuery, []any{"t", "c", 1}, false},
		{"related", relatedQuery, []any{"t", "r", 1, 2, "c", "a", "a.", "a/"}, false},
		{"tenants", tenantsQuery, nil, false},
		{"conversation", selectConversation, []any{"t", "c"}, false},
		{"messages", `SELECT ` + messageColumns + ` FROM messages WHERE tenant = ? AND conversation = ? ORDER BY seq, id`, []any{"t", "c"}, true},
		{"alert", selectAlert, []any{"t", "a"}, false},
		{"open alerts", openAlertsQuery, nil, false},
		{"loud alerts", loudQuery, []any{"t", "g", 1}, false},
		{"alert history", `SELECT note FROM alert_events WHERE tenant = ? AND alert = ? ORDER BY n`, []any{"t", "a"}, false},
		{"promise", selectPromise, []any{"t", "c", "p"}, false},
		{"open promises", openPromisesQuery, nil, true},
		{"due promises", duePromisesQuery, []any{"t", 1, 10}, true},
		{"feedback counts", feedbackCountsQuery, []any{"t", 1, 2}, true},
		{"ready", readyQuery, []any{1}, false},
		{"due", dueQuery, []any{"t", "e", 1, 10}, false},
		{"expire", expireQuery, []any{"", 1, "t", "e", 2}, false},
		{"waiting job", waitingJobQuery, []any{1, "import"}, true},
		{"jobs", jobsQuery + ` WHERE tenant = ? ORDER BY created_at DESC, id DESC LIMIT 5`, []any{"t"}, false},
		{"pending count", pendingCountQuery, nil, false},
		{"dead count", deadCountQuery, nil, false},
	}...)
	for _, q := range forgetQueries(time.Now(), time.Now()) {
		plans = append(plans, plan{q.query, q.query, append(q.args, 1), false})
	}
	for _, p := range plans {
		steps, err := list(context.Background(), s.reader, func(row scanner) (step string, err error) {
			var id, parent, unused int
			return step, row.Scan(&id, &parent, &unused, &step)
		}, `EXPLAIN QUERY PLAN `+p.query, p.args...)
		require.NoError(t, err, p.name)
		all := fmt.Sprintf("%s\n%s\n%s", p.name, p.query, strings.Join(steps, "\n"))
		require.Contains(t, strings.Join(steps, "\n"), index[p.name], all)
		for _, step := range steps {
			if table, whole := strings.CutPrefix(step, "SCAN "); whole && !strings.Contains(step, "INDEX") {
				ok := false
				for _, name := range small {
					ok = ok || table == name || table == "e" || table == "each" // endpoints AS e; the tenants found so far
				}
				require.True(t, ok, all)
			}
			require.False(t, !p.sorts && strings.Contains(step, "TEMP B-TREE"), all)
		}
	}
}
