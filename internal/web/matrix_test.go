package web

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/hook"
	"github.com/qingting-ai/qingting/internal/job"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
)

// Everybody who may ask, for the expectations below. "k:" are keys by scope;
// k:team may do what ingest, assist and supervise may, within one team.
const (
	everyone  = "nobody " + known
	known     = "agent supervisor engineer admin k:ingest k:assist k:supervise k:cases k:eval k:admin k:team"
	people    = "agent supervisor engineer admin"
	frontline = "agent supervisor admin k:assist k:supervise k:admin k:team"
	alerted   = "agent supervisor admin k:supervise k:admin k:team"
	acting    = "supervisor admin k:supervise k:admin k:team"
	reading   = people + " k:assist k:supervise k:cases k:eval k:admin k:team"
	analysing = people + " k:ingest k:assist k:supervise k:eval k:admin k:team"
	writing   = "supervisor admin k:cases k:admin"
	feeding   = "admin k:ingest k:admin k:team"
	admins    = "admin k:admin"
	importing = "supervisor admin k:ingest k:cases k:admin k:team"
	measuring = "engineer admin k:eval k:admin"
)

// expectation is who may use a route, on what, and with which body. It is
// written by hand and does not look at the table of permissions.
type expectation struct {
	who  string
	on   string // what {id} names: talk, alert, case, user, team, key, hook; "" none
	body any
}

func expectations() map[string]expectation {
	reason := m{"reason": "已处理"}
	const talk, alert = "/v1/conversations/{id}", "/v1/alerts/{id}"
	return map[string]expectation{
		"GET /healthz":              {who: everyone},
		"GET /readyz":               {who: everyone},
		"GET /openapi.json":         {who: everyone},
		"GET /":                     {who: everyone},
		"GET /assets/app.js":        {who: everyone},
		"GET /assets/app.css":       {who: everyone},
		"GET /assets/icon.svg":      {who: everyone},
		"POST /v1/analyze":          {who: analysing, body: m{"messages": []m{customer("", "在吗")}}},
		"POST /v1/transcripts/read": {who: analysing, body: m{"messages": []m{customer("", "在吗")}}},
		"POST /v1/lint":             {who: analysing, body: m{"text": "您好"}},
		"GET /v1/taxonomy":          {who: analysing},

		"POST /v1/conversations":                              {who: feeding, body: m{"messages": []m{customer("", "在吗")}}},
		"GET /v1/conversations":                               {who: frontline},
		"GET " + talk:                                         {who: frontline, on: "talk"},
		"GET " + talk + "/state":                              {who: frontline, on: "talk"},
		"POST " + talk + "/messages":                          {who: feeding, on: "talk", body: customer("", "还在吗")},
		"GET " + talk + "/messages":                           {who: frontline, on: "talk"},
		"GET " + talk + "/stream":                             {who: feeding, on: "talk"},
		"GET " + talk + "/analysis":                           {who: frontline, on: "talk"},
		"POST " + talk + "/close":                             {who: frontline, on: "talk", body: m{"outcome": "resolved"}},
		"POST " + talk + "/assign":                            {who: "supervisor admin k:ingest k:supervise k:admin k:team", on: "talk", body: m{"agent": ""}},
		"GET " + talk + "/labels":                             {who: frontline, on: "talk"},
		"PUT " + talk + "/labels":                             {who: frontline, on: "talk", body: m{"risk": "low"}},
		"GET " + talk + "/handover":                           {who: frontline, on: "talk"},
		"GET " + talk + "/promises":                           {who: frontline, on: "talk"},
		"POST " + talk + "/promises/{promise}":                {who: frontline, on: "talk", body: m{"state": "kept"}},
		"GET " + talk + "/feedback":                           {who: frontline, on: "talk"},
		"POST " + talk + "/suggestions/{suggestion}/feedback": {who: frontline, on: "talk", body: m{"action": "inserted"}},
		"GET /v1/alerts":                                      {who: alerted},
		"GET " + alert:                                        {who: alerted, on: "alert"},
		"GET " + alert + "/history":                           {who: alerted, on: "alert"},
		"POST " + alert + "/claim":                            {who: acting, on: "alert"},
		"POST " + alert + "/start":                            {who: acting, on: "alert"},
		"POST " + alert + "/resolve":                          {who: acting, on: "alert", body: reason},
		"POST " + alert + "/dismiss":                          {who: acting, on: "alert", body: reason},
		"POST " + alert + "/escalate":                         {who: alerted, on: "alert", body: reason},
		"POST " + alert + "/feedback":                         {who: acting, on: "alert", body: m{"feedback": "useful"}},
		"GET /v1/events":                                      {who: frontline},
		"POST /v1/tickets":                                    {who: known},
		"GET /v1/cases":                                       {who: reading},
		"POST /v1/cases":                                      {who: writing, body: m{"title": "一"}},
		"POST /v1/cases/search":                               {who: reading, body: m{"query": "扣费"}},
		"GET /v1/cases/{id}":                                  {who: reading, on: "case"},
		"PUT /v1/cases/{id}":                                  {who: writing, on: "case", body: m{"title": "一"}},
		"DELETE /v1/cases/{id}":                               {who: writing, on: "case"},
		"POST /v1/imports":                                    {who: importing, body: m{}},
		"GET /v1/imports":                                     {who: importing},
		"GET /v1/imports/{id}":                                {who: importing, on: "import"},
		"GET /v1/imports/{id}/errors":                         {who: importing, on: "import"},
		"POST /v1/imports/{id}/cancel":                        {who: writing, on: "import"}, // of cases, as this one is,
		"POST /v1/adapters/chatwoot":                          {who: feeding, body: m{"event": "conversation_created"}},
		"GET /v1/lexicon":                                     {who: measuring},
		"POST /v1/lexicon/preview":                            {who: measuring, body: m{"rules": rulesTried, "texts": []string{"在吗"}}},
		"POST /v1/lexicon/backtest":                           {who: measuring, body: m{"rules": rulesTried}},
		"GET /v1/lexicon/backtests/{id}":                      {who: measuring, on: "backtest"},
		"GET /v1/evaluations":                                 {who: measuring},
		"POST /v1/evaluations":                                {who: measuring, body: m{}},
		"GET /v1/evaluations/{id}":                            {who: measuring, on: "evaluation"},
		"GET /v1/evaluations/{id}/report":                     {who: measuring, on: "evaluation"},
		"POST /v1/session":                                    {who: everyone, body: m{"login": "admin.x", "password": password}},
		"DELETE /v1/session":                                  {who: everyone},
		"GET /v1/session":                                     {who: known},
		"GET /v1/users":                                       {who: admins},
		"POST /v1/users":                                      {who: admins, body: m{"login": "new.user", "name": "新人", "role": "agent", "password": password}},
		"PUT /v1/users/{id}":                                  {who: admins, on: "user", body: m{"name": "改名"}},
		"GET /v1/teams":                                       {who: people + " k:supervise k:admin k:team"},
		"POST /v1/teams":                                      {who: admins, body: m{"id": "new", "name": "新组"}},
		"PUT /v1/teams/{id}":                                  {who: admins, on: "team", body: m{"name": "改名"}},
		"DELETE /v1/teams/{id}":                               {who: admins, on: "team"},
		"GET /v1/keys":                                        {who: admins},
		"POST /v1/keys":                                       {who: admins, body: m{"name": "一", "scopes": []string{"ingest"}}},
		"DELETE /v1/keys/{id}":                                {who: admins, on: "key"},
		"GET /v1/webhooks":                                    {who: admins},
		"POST /v1/webhooks":                                   {who: admins, body: m{"kind": "webhook", "url": "https://example.com/x"}},
		"GET /v1/webhooks/{id}":                               {who: admins, on: "hook"},
		"PUT /v1/webhooks/{id}":                               {who: admins, on: "hook", body: m{"name": "改名"}},
		"DELETE /v1/webhooks/{id}":                            {who: admins, on: "hook"},
		"GET /v1/deliveries":                                  {who: admins},
		"POST /v1/deliveries/replay":                          {who: admins, body: m{"ids": []string{"ob_1"}}},
	}
}

// world is a tenant with teams 总部 over 东 over 东一, and 西; and another tenant.
type world struct {
	*service
	who map[string]any               // by name: a key or a cookie
	ids map[string]map[string]string // by kind and team: an id; "other" is the other tenant's
}

func newWorld(t *testing.T) *world {
	s := newService(t, false, nil)
	s.withWork(false)
	ctx := t.Context()
	w := &world{service: s, who: map[string]any{"nobody": nil}, ids: map[string]map[string]string{}}
	put := w.put
	for _, team := range [][2]string{{"hq", ""}, {"east", "hq"}, {"east1", "east"}, {"west", "hq"}} {
		_, err := s.guard.PutTeam(ctx, access.Team{Tenant: "default", ID: team[0], Name: team[0], Parent: team[1]}, true)
		require.NoError(t, err)
	}
	_, err := s.guard.PutTeam(ctx, access.Team{Tenant: "other", ID: "elsewhere", Name: "别处"}, true)
	require.NoError(t, err)
	put("team", "other", "elsewhere")
	for _, role := range access.Roles() {
		_, w.who[string(role)] = s.user("default", string(role)+".x", "east", role)
	}
	for _, scope := range access.Scopes() {
		w.who["k:"+string(scope)] = s.key("default", "", scope)
	}
	w.who["k:team"] = s.key("default", "east", access.ScopeIngest, access.ScopeAssist, access.ScopeSupervise)

	for tenant, place := range map[string]string{"default": "own", "other": "other"} {
		u, err := s.guard.NewUser(ctx, access.User{Tenant: tenant, Login: "someone." + tenant, Name: "某人", Role: access.RoleAgent}, password)
		require.NoError(t, err)
		put("user", place, u.ID)
		k, _, err := s.guard.NewKey(ctx, access.Key{Tenant: tenant, Name: "某个", Scopes: []access.Scope{access.ScopeEval}})
		require.NoError(t, err)
		put("key", place, k.ID)
	}
	for tenant, place := range map[string]string{"default": "own", "other": "other"} {
		for kind, name := range map[string]string{job.KindImport: "import", job.KindBacktest: "backtest", job.KindEvaluation: "evaluation"} {
			j, err := s.store.PutJob(ctx, store.Job{Tenant: tenant, Kind: kind, Request: []byte(`{"kind":"cases","systems":["fast"]}`)})
			require.NoError(t, err)
			put(name, place, j.ID)
		}
	}
	put("case", "own", "c1")
	put("case", "other", "c9")
	for _, team := range []string{"east", "east1", "west", "", "other"} {
		tenant, of := "default", team
		if team == "other" {
			tenant, of = "other", ""
		}
		r, err := s.live.Ingest(ctx, live.IngestRequest{Tenant: tenant, Conversation: "talk." + team, Team: of, Messages: []qingting.Message{
			{ID: "m1", Role: qingting.RoleCustomer, Text: "我要打12315"}, {ID: "m2", Role: qingting.RoleAgent, Text: "给您退款"},
		}})
		require.NoError(t, err)
		key := qingting.Key{Tenant: tenant, ID: r.Conversation.ID}
		state, err := s.live.Wait(ctx, key, r.Conversation.Version)
		require.NoError(t, err)
		require.NotEmpty(t, state.Alerts)
		put("talk", team, r.Conversation.ID)
		put("alert", team, state.Alerts[0].ID)
	}
	return w
}

func (w *world) put(kind, place, id string) {
	if w.ids[kind] == nil {
		w.ids[kind] = map[string]string{}
	}
	w.ids[kind][place] = id
}

// deletables makes what one round of requests deletes.
func (w *world) deletables() {
	ctx, team := w.t.Context(), strings.ToLower(rand.Text())
	_, err := w.guard.PutTeam(ctx, access.Team{Tenant: "default", ID: team, Name: "空组"}, true)
	require.NoError(w.t, err)
	w.put("team", "own", team)
	for tenant, place := range map[string]string{"default": "own", "other": "other"} {
		e, err := w.store.PutEndpoint(ctx, hook.Endpoint{Tenant: tenant, Kind: hook.KindWebhook, URL: "https://example.com/hook", Secret: []byte(hook.NewSecret())})
		require.NoError(w.t, err)
		w.put("hook", place, e.ID)
	}
}

// sees is which teams' conversations each of them sees.
func sees(who string) string {
	switch who {
	case "agent":
		return "east,"
	case "supervisor", "k:team":
		return "east,east1,"
	}
	return "east,east1,west,"
}

// TestWhoMayDoWhat goes through every role and scope, every route of the
// table, and what belongs to his own team, a team below, another team, no team
// and another tenant. A route without an expectation fails.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	wanted := expectations()
	var names []string
	table := newServer(t, &fakeAnalyzer{}, Options{}).routes()
	for _, r := range table {
		name := r.method + " " + r.path
		require.Contains(t, wanted, name, "a route needs a line in expectations")
		names = append(names, name)
	}
	require.Len(t, wanted, len(names), "expectations for routes that are gone")
	// What deletes comes last, so that everything else finds what it needs; and
	// logging out after that.
	rank := func(name string) int {
		switch {
		case name == "DELETE /v1/session":
			return 2
		case strings.HasPrefix(name, "DELETE"):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	w, checked := newWorld(t), 0
	for _, who := range strings.Fields(everyone) {
		w.deletables()
		t.Run(who, func(t *testing.T) {
			for _, name := range names {
				e := wanted[name]
				method, path, _ := strings.Cut(name, " ")
				places := map[string]string{"": ""}
				if e.on != "" {
					places = w.ids[e.on]
				}
				for place, id := range places {
					at := strings.NewReplacer("{id}", id, "{promise}", "pr_m2", "{suggestion}", "sg1").Replace(path)
					got := w.status(who, method, at, e.body)
					checked++
					note := []any{"%s %s on %q answers %d", who, name, place, got}
					switch {
					case !slices.Contains(strings.Fields(e.who), who):
						want := http.StatusForbidden
						if who == "nobody" {
							want = http.StatusUnauthorized
						} else if e.on == "import" && place == "other" && slices.Contains(strings.Fields(importing), who) {
							want = http.StatusNotFound // what it imports decides, and it is not there
						}
						require.Equal(t, want, got, note...)
					case e.on != "" && place == "other":
						// A stream may begin a conversation, as POST /v1/conversations may:
						// it is one of the asker's own tenant.
						if strings.HasSuffix(path, "/stream") {
							require.Equal(t, http.StatusUpgradeRequired, got, note...)
							continue
						}
						require.Equal(t, http.StatusNotFound, got, note...)
					case (e.on == "talk" || e.on == "alert") && place != "" && !strings.Contains(sees(who), place+","):
						require.Equal(t, http.StatusNotFound, got, note...)
					default:
						require.NotContains(t, []int{401, 403, 404, 500, 503}, got, note...)
					}
				}
			}
		})
	}
	t.Logf("%d requests", checked)
	require.Greater(t, checked, 1000)
}

// cut ends the request with the first bytes of its answer.
type cut struct {
	*httptest.ResponseRecorder
	end func()
}

func (c cut) Write(b []byte) (int, error) {
	c.end()
	return c.ResponseRecorder.Write(b)
}

// status asks, and cuts a stream off that would go on.
func (w *world) status(who, method, path string, body any) int {
	if path == "/v1/events" {
		ctx, cancel := context.WithCancel(w.t.Context())
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, method, "http://localhost"+path, nil)
		if key, ok := w.who[who].(string); ok {
			r.Header.Set("Authorization", "Bearer "+key)
		} else if cookie, ok := w.who[who].(*http.Cookie); ok {
			r.AddCookie(cookie)
		}
		rec := httptest.NewRecorder()
		w.ServeHTTP(cut{rec, cancel}, r)
		return rec.Code
	}
	return w.ask(w.who[who], method, path, body).Code
}

// TestListsEndAtTheTeam: a list shows what its reader may see, and a team that
// is out of reach cannot be asked for.
func TestListsEndAtTheTeam(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for who, want := range map[string][]string{
		"agent": {"talk.", "talk.east"}, "supervisor": {"talk.", "talk.east", "talk.east1"}, "k:team": {"talk.", "talk.east", "talk.east1"},
		"admin": {"talk.", "talk.east", "talk.east1", "talk.west"}, "k:supervise": {"talk.", "talk.east", "talk.east1", "talk.west"},
	} {
		var got, alerts []string
		for _, c := range read[page1[qingting.Conversation]](t, w.ask(w.who[who], "GET", "/v1/conversations", nil), 200).Items {
			got = append(got, c.ID)
		}
		for _, a := range read[page1[qingting.Alert]](t, w.ask(w.who[who], "GET", "/v1/alerts", nil), 200).Items {
			alerts = append(alerts, a.Conversation)
		}
		slices.Sort(got)
		slices.Sort(alerts)
		require.Equal(t, want, got, who)
		require.Equal(t, want, alerts, who)
	}
	require.Equal(t, "forbidden_team", codeOf(t, w.ask(w.who["agent"], "GET", "/v1/conversations?team=west", nil), 403))
	require.Equal(t, "forbidden_team", codeOf(t, w.ask(w.who["k:team"], "POST", "/v1/conversations", m{"team": "west"}), 403))
	require.Equal(t, "forbidden_team", codeOf(t, w.ask(w.who["supervisor"], "POST", "/v1/conversations/talk.east/assign", m{"team": "west"}), 403))
	// A key of a team begins conversations of that team.
	got := read[ingestedOutput](t, w.ask(w.who["k:team"], "POST", "/v1/conversations", m{"messages": []m{customer("", "在吗")}}), 201)
	require.Equal(t, "east", got.Conversation.Team)
	// Handing in under the id of another team's conversation is no way into it.
	require.Equal(t, "not_found", codeOf(t, w.ask(w.who["k:team"], "POST", "/v1/conversations", m{"id": "talk.west", "messages": []m{customer("", "在吗")}}), 404))
}
