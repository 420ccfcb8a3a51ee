package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
)

// planted is in everything that belongs to the first tenant.
const planted = "甲家的秘密"

// plant gives a tenant one of everything, with the same ids in each.
func plant(t *testing.T, s *Store, tenant, secret string) {
	t.Helper()
	ctx := context.Background()
	key := qingting.Key{Tenant: tenant, ID: "c"}
	must := func(err error) { t.Helper(); require.NoError(t, err) }
	_, err := s.Append(ctx, AppendRequest{
		Conversation: qingting.Conversation{Tenant: tenant, ID: "c", CustomerRef: "r", Team: "华东", Agent: "a", Channel: secret},
		Messages:     []qingting.StoredMessage{message("m", 1, secret)},
	})
	must(err)
	due := received
	a := newAlert(key, "a")
	a.Reason = secret
	p := qingting.Promise{ID: "p", Due: &due, Span: qingting.Span{Quote: secret}}
	_, err = s.SaveAnalysis(ctx, AnalysisRecord{
		Key: key, Version: 1, Overview: qingting.Overview{Primary: "price.unfair", Quote: secret}, Body: []byte(`"` + secret + `"`),
		Alerts:   []AlertChange{{Alert: a, Event: qingting.AlertEvent{To: qingting.AlertNew, Note: secret}}},
		Promises: []qingting.Promise{p}, Outbox: []hook.Item{{Tenant: tenant, ID: "o", Endpoint: "e", Event: secret, Payload: []byte(secret)}},
	})
	must(err)
	say(t, s, qingting.Key{Tenant: tenant, ID: "c2"}, message("m", 1, secret))
	must(s.SetLabels(ctx, key, []Label{{Field: qingting.FieldRisk, Value: json.RawMessage(`"` + secret + `"`)}}, nil))
	_, err = s.AddFeedback(ctx, qingting.Feedback{Tenant: tenant, ID: "f", Conversation: "c", Action: "inserted", Text: secret, At: received})
	must(err)
	must(s.AddTeam(ctx, access.Team{Tenant: tenant, ID: "g", Name: secret}))
	must(s.AddUser(ctx, access.User{Tenant: tenant, ID: "u", Login: tenant + "-u", Name: secret}))
	must(s.AddKey(ctx, access.Key{Tenant: tenant, ID: "k", Hash: tenant, Name: secret}))
	_, err = s.PutEndpoint(ctx, hook.Endpoint{Tenant: tenant, ID: "e", Name: secret})
	must(err)
	_, err = s.PutJob(ctx, Job{Tenant: tenant, ID: "j", Kind: "import", By: secret})
	must(err)
	k := IdempotencyKey{tenant, "p", "k"}
	_, _, err = s.BeginIdempotent(ctx, k, []byte(secret), received)
	must(err)
	must(s.FinishIdempotent(ctx, k, StoredReply{200, []byte(secret)}))
	must(s.CasesOf(tenant).PutCases(ctx, []qingting.Case{{ID: "case", Title: secret}}))
	_, err = s.CasesOf(tenant).SeedCases(ctx, []qingting.Case{{ID: "seed", Title: secret}})
	must(err)
}

// read is one method that reads, asked for something by its id or for a list.
type read struct {
	method string
	do     func(s *Store, tenant string) (any, error)
}

func reads() []read {
	ctx := context.Background()
	key := func(tenant string) qingting.Key { return qingting.Key{Tenant: tenant, ID: "c"} }
	two := func(v, w any, err error) (any, error) { return []any{v, w}, err }
	return []read{
		{"Messages", func(s *Store, t string) (any, error) { return s.Messages(ctx, key(t)) }},
		{"MessagesPage", func(s *Store, t string) (any, error) { return two(s.MessagesPage(ctx, key(t), "", 0)) }},
		{"Conversation", func(s *Store, t string) (any, error) { return s.Conversation(ctx, key(t)) }},
		{"Conversations", func(s *Store, t string) (any, error) {
			return two(s.Conversations(ctx, t, ConversationFilter{}, "", 0))
		}},
		{"Analysis", func(s *Store, t string) (any, error) { b, _, err := s.Analysis(ctx, key(t)); return string(b), err }},
		{"Related", func(s *Store, t string) (any, error) {
			return s.Related(ctx, qingting.Key{Tenant: t, ID: "c2"}, "r", "price.unfair", time.Now().Add(time.Hour))
		}},
		{"Labels", func(s *Store, t string) (any, error) {
			labels, err := s.Labels(ctx, key(t))
			return fmt.Sprintf("%s", labels), err
		}},
		{"Alert", func(s *Store, t string) (any, error) { return s.Alert(ctx, t, "a") }},
		{"Alerts", func(s *Store, t string) (any, error) { return two(s.Alerts(ctx, t, AlertFilter{}, "", 0)) }},
		{"AlertsOf", func(s *Store, t string) (any, error) { return s.AlertsOf(ctx, key(t)) }},
		{"AlertHistory", func(s *Store, t string) (any, error) { return s.AlertHistory(ctx, t, "a") }},
		{"LoudAlerts", func(s *Store, t string) (any, error) { return s.LoudAlerts(ctx, t, "华东", received) }},
		{"Promise", func(s *Store, t string) (any, error) { return s.Promise(ctx, key(t), "p") }},
		{"Promises", func(s *Store, t string) (any, error) { return s.Promises(ctx, key(t)) }},
		{"PromisesDue", func(s *Store, t string) (any, error) { return s.PromisesDue(ctx, t, received.Add(time.Second), 0) }},
		{"FeedbackOf", func(s *Store, t string) (any, error) { return s.FeedbackOf(ctx, key(t)) }},
		{"FeedbackCounts", func(s *Store, t string) (any, error) {
			return s.FeedbackCounts(ctx, t, received, received.Add(time.Second))
		}},
		{"Team", func(s *Store, t string) (any, error) { return s.Team(ctx, t, "g") }},
		{"Teams", func(s *Store, t string) (any, error) { return s.Teams(ctx, t) }},
		{"User", func(s *Store, t string) (any, error) { return s.User(ctx, t, "u") }},
		{"Users", func(s *Store, t string) (any, error) { return s.Users(ctx, t) }},
		{"Key", func(s *Store, t string) (any, error) { return s.Key(ctx, t, "k") }},
		{"Keys", func(s *Store, t string) (any, error) { return s.Keys(ctx, t) }},
		{"Outbox", func(s *Store, t string) (any, error) { return two(s.Outbox(ctx, t, OutboxFilter{}, "", 0)) }},
		{"OutboxItem", func(s *Store, t string) (any, error) { return s.OutboxItem(ctx, t, "o") }},
		{"Endpoint", func(s *Store, t string) (any, error) { return s.Endpoint(ctx, t, "e") }},
		{"Endpoints", func(s *Store, t string) (any, error) { return s.Endpoints(ctx, t) }},
		{"Job", func(s *Store, t string) (any, error) { return s.Job(ctx, t, "j") }},
		{"Jobs", func(s *Store, t string) (any, error) { return two(s.Jobs(ctx, t, "", "", 0)) }},
		{"GetCase", func(s *Store, t string) (any, error) { return s.CasesOf(t).GetCase(ctx, "case") }},
		{"ListCases", func(s *Store, t string) (any, error) {
			return two(s.CasesOf(t).ListCases(ctx, qingting.CaseFilter{}, 0, 0))
		}},
		{"EachCase", func(s *Store, t string) (any, error) {
			titles := []string{}
			err := s.CasesOf(t).EachCase(ctx, func(c qingting.Case) error { titles = append(titles, c.Title); return nil })
			return titles, err
		}},
	}
}

// TestTenantsDoNotSeeEachOther asks every method that reads: a tenant without
// anything finds nothing, and one with the same ids finds its own.
func TestTenantsDoNotSeeEachOther(t *testing.T) {
	s := fresh(t)
	plant(t, s, "甲", planted)
	before := map[string]any{}
	for _, r := range reads() {
		got, err := r.do(s, "甲")
		require.NoError(t, err, r.method)
		before[r.method] = got
		own := fmt.Sprintf("%+v", got)
		nothing, err := r.do(s, "乙")
		if err != nil {
			require.ErrorIs(t, err, qingting.ErrNotFound, r.method)
		}
		require.NotContains(t, fmt.Sprintf("%+v", nothing), planted, r.method)
		require.NotEqual(t, own, fmt.Sprintf("%+v", nothing), "%s finds something of its own", r.method)
	}
	plant(t, s, "乙", "乙家的")
	for _, r := range reads() {
		got, err := r.do(s, "乙")
		require.NoError(t, err, r.method)
		require.NotContains(t, fmt.Sprintf("%+v", got), planted, r.method)
		own, err := r.do(s, "甲")
		require.NoError(t, err, r.method)
		require.Equal(t, before[r.method], own, "%s: what the other did changes nothing", r.method)
	}
	tenants, err := s.Tenants(context.Background())
	require.NoError(t, err)
	require.Equal(t, []string{"乙", "甲"}, tenants)
	require.NotContains(t, fmt.Sprint(must2(s.BeginIdempotent(context.Background(), IdempotencyKey{"乙", "p", "k"}, []byte("乙家的"), received))), planted)
}

func must2(state IdempotencyState, reply StoredReply, err error) string {
	return fmt.Sprint(state, string(reply.Body), err)
}

// TestEveryReadIsAsked fails when a method that takes a tenant is added and
// the tests above and below do not know it.
func TestEveryReadIsAsked(t *testing.T) {
	known := []string{
		// These are of no tenant or of all of them, for the service itself.
		"Backup", "Behind", "Check", "Close", "Stats", "Forget", "ForgetExpired", "CasesOf", "OpenAlerts", "OpenPromises", "AllEndpoints",
		"ReadyEndpoints", "Established", "ClaimJob", "PutCases", "SeedCases", "UserByLogin", "KeyByHash",
		"Attempt", "Forgive", "Tenants", "FindSession", "PutSession", "DeleteSession", "AddTicket", "TakeTicket",
	}
	for _, r := range reads() {
		known = append(known, r.method)
	}
	for _, w := range writes() {
		known = append(known, strings.Fields(w.method)[0])
	}
	for _, of := range []reflect.Type{reflect.TypeFor[*Store](), reflect.TypeFor[*CaseStore]()} {
		for m := range of.Methods() {
			require.Contains(t, known, m.Name)
		}
	}
}

type write struct {
	method string
	do     func(s *Store, tenant string) error
}

// writes are the methods that change what is there, for the ids of plant.
func writes() []write {
	ctx := context.Background()
	key := func(t string) qingting.Key { return qingting.Key{Tenant: t, ID: "c"} }
	second := func(_ any, err error) error { return err }
	return []write{
		{"Append", func(s *Store, t string) error {
			_, err := s.Append(ctx, AppendRequest{Conversation: qingting.Conversation{Tenant: t, ID: "c"}, Messages: []qingting.StoredMessage{message("m", 1, "另一句")}})
			return err
		}},
		{"SaveAnalysis", func(s *Store, t string) error {
			return second(s.SaveAnalysis(ctx, AnalysisRecord{Key: key(t), Version: 1, Body: []byte("x")}))
		}},
		{"CloseConversation", func(s *Store, t string) error {
			return second(s.CloseConversation(ctx, key(t), qingting.Closing{}, nil))
		}},
		{"SetAgent", func(s *Store, t string) error { return second(s.SetAgent(ctx, key(t), "x", nil)) }},
		{"SetTeam", func(s *Store, t string) error { return second(s.SetTeam(ctx, key(t), "x", nil)) }},
		{"SetLabels", func(s *Store, t string) error { return s.SetLabels(ctx, key(t), []Label{{Field: "risk"}}, nil) }},
		{"ChangeAlert", func(s *Store, t string) error {
			a := newAlert(key(t), "a")
			a.Version = 1
			return second(s.ChangeAlert(ctx, AlertChange{Alert: a}, nil))
		}},
		{"AlertFeedback", func(s *Store, t string) error {
			return second(s.AlertFeedback(ctx, t, "a", AlertUseful, "", received, nil))
		}},
		{"ChangePromise", func(s *Store, t string) error {
			return second(s.ChangePromise(ctx, PromiseChange{Promise: qingting.Promise{Tenant: t, Conversation: "c", ID: "p"}, From: qingting.PromiseOpen}, nil))
		}},
		{"AddFeedback", func(s *Store, t string) error {
			return second(s.AddFeedback(ctx, qingting.Feedback{Tenant: t, Conversation: "c"}))
		}},
		{"ChangeTeam", func(s *Store, t string) error { return s.ChangeTeam(ctx, access.Team{Tenant: t, ID: "g"}) }},
		{"ChangeUser", func(s *Store, t string) error { return s.ChangeUser(ctx, access.User{Tenant: t, ID: "u"}) }},
		{"ChangeKey", func(s *Store, t string) error { return s.ChangeKey(ctx, access.Key{Tenant: t, ID: "k"}) }},
		{"UseKey", func(s *Store, t string) error { return s.UseKey(ctx, t, "k", received) }},
		{"PutEndpoint", func(s *Store, t string) error {
			return second(s.PutEndpoint(ctx, hook.Endpoint{Tenant: t, ID: "e", Version: 1}))
		}},
		{"OutboxDone", func(s *Store, t string) error { return s.OutboxDone(ctx, hook.Item{Tenant: t, ID: "o"}, 200, received) }},
		{"OutboxRetry", func(s *Store, t string) error {
			return s.OutboxRetry(ctx, hook.Item{Tenant: t, ID: "o"}, received, 0, "", received)
		}},
		{"OutboxDead", func(s *Store, t string) error {
			return s.OutboxDead(ctx, hook.Item{Tenant: t, ID: "o"}, 0, "", received)
		}},
		{"ClaimOutbox", func(s *Store, t string) error {
			return some(s.ClaimOutbox(ctx, t, "e", time.Now().Add(time.Hour), time.Minute, 9))
		}},
		{"ExpireOutbox", func(s *Store, t string) error {
			return count(s.ExpireOutbox(ctx, t, "e", time.Now().Add(time.Hour), "", received))
		}},
		{"ReplayOutbox", func(s *Store, t string) error { return count(s.ReplayOutbox(ctx, t, []string{"o"}, received)) }},
		{"DisableEndpoint", func(s *Store, t string) error { return s.DisableEndpoint(ctx, t, "e", "", received) }},
		{"CancelJob", func(s *Store, t string) error { return s.CancelJob(ctx, t, "j") }},
		{"JobProgress", func(s *Store, t string) error { return s.JobProgress(ctx, Job{Tenant: t, ID: "j"}, received, 0) }},
		{"FinishJob", func(s *Store, t string) error { return s.FinishJob(ctx, Job{Tenant: t, ID: "j", State: JobDone}) }},
		{"FinishIdempotent", func(s *Store, t string) error {
			return s.FinishIdempotent(ctx, IdempotencyKey{t, "p", "k"}, StoredReply{Status: 500})
		}},
		{"ForgetIdempotent", func(s *Store, t string) error { return s.ForgetIdempotent(ctx, IdempotencyKey{t, "p", "k"}) }},
		{"SetCaseVectors", func(s *Store, t string) error {
			return s.CasesOf(t).SetCaseVectors(ctx, "x", []string{"case"}, []qingting.Vector{{1}})
		}},
		{"DeleteCase", func(s *Store, t string) error { return s.CasesOf(t).DeleteCase(ctx, "case") }},
		{"DeleteTeam", func(s *Store, t string) error { return s.DeleteTeam(ctx, t, "g") }},
		{"DeleteEndpoint", func(s *Store, t string) error { return s.DeleteEndpoint(ctx, t, "e") }},
		// What makes something new makes it in the tenant that is named.
		{"Post", func(s *Store, t string) error { return s.Post(ctx, []hook.Item{{Tenant: t, ID: "o2"}}) }},
		{"PutJob", func(s *Store, t string) error { return second(s.PutJob(ctx, Job{Tenant: t, ID: "j2"})) }},
		{"BeginIdempotent", func(s *Store, t string) error {
			return errors.New(must2(s.BeginIdempotent(ctx, IdempotencyKey{t, "p", "k"}, nil, received)))
		}},
		{"AddTeam", func(s *Store, t string) error { return s.AddTeam(ctx, access.Team{Tenant: t, ID: "g2"}) }},
		{"AddUser", func(s *Store, t string) error { return s.AddUser(ctx, access.User{Tenant: t, ID: "u2", Login: "x"}) }},
		{"AddKey", func(s *Store, t string) error { return s.AddKey(ctx, access.Key{Tenant: t, ID: "k2", Hash: "x"}) }},
	}
}

func some[T any](got []T, err error) error { return count(len(got), err) }

func count(n int, err error) error {
	if err == nil && n == 0 {
		return qingting.ErrNotFound
	}
	return err
}

// TestTenantsDoNotTouchEachOther lets another tenant write to the same ids:
// whatever comes of it, the first tenant's things stay as they are.
func TestTenantsDoNotTouchEachOther(t *testing.T) {
	s := fresh(t)
	plant(t, s, "甲", planted)
	state := func() (out []string) {
		for _, r := range reads() {
			got, err := r.do(s, "甲")
			require.NoError(t, err, r.method)
			out = append(out, fmt.Sprintf("%s %+v", r.method, got))
		}
		return out
	}
	before := state()
	missing := []string{
		"CloseConversation", "SetAgent", "SetTeam", "SetLabels", "ChangeAlert", "AlertFeedback", "ChangePromise", "AddFeedback", "ChangeTeam", "ChangeUser",
		"ChangeKey", "UseKey", "PutEndpoint", "ClaimOutbox", "ExpireOutbox", "ReplayOutbox", "CancelJob", "FinishIdempotent", "DeleteCase", "DeleteTeam", "DeleteEndpoint",
	}
	for _, w := range writes() {
		err := w.do(s, "丙"+w.method)
		if slices.Contains(missing, w.method) {
			require.ErrorIs(t, err, qingting.ErrNotFound, w.method)
		}
		require.Equal(t, before, state(), w.method)
	}
}
