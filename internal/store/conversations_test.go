package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

func TestAppend(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "会话 1'"}
	confidence := 0.8
	final := true
	full := qingting.StoredMessage{
		Message: qingting.Message{
			ID: "m1", Seq: 5, Role: qingting.RoleCustomer, Text: "我的号码是***********，快点退钱😡\x00", IsFinal: &final,
			SentAt: time.Date(2026, 5, 6, 7, 8, 8, 0, time.UTC), ASR: &qingting.ASR{Confidence: confidence, RateCPM: 320},
		},
		Concealed: []qingting.Concealed{{Kind: "phone", Start: 5, End: 16}}, Received: received,
	}
	var told []Appended
	request := AppendRequest{
		Conversation: qingting.Conversation{Tenant: key.Tenant, ID: key.ID, Channel: "asr", Team: "华东"},
		Messages:     []qingting.StoredMessage{full, message("", 0, "等了三天了"), message("m0", 2, "")},
		Outbox: func(a *Appended) ([]hook.Item, error) {
			told = append(told, *a)
			return []hook.Item{{Tenant: "t", Event: "ev", Seq: a.Conversation.Version}}, nil
		},
	}
	first, err := s.Append(ctx, request)
	require.NoError(t, err)
	require.True(t, first.Created)
	made := first.Results[1].MessageID
	require.NotEmpty(t, made)
	require.Equal(t, []AppendResult{{"m1", 5, AppendCreated}, {made, 6, AppendCreated}, {"m0", 2, AppendCreated}}, first.Results)
	require.Len(t, first.New, 3)
	require.EqualValues(t, 1, first.Conversation.Version)
	require.Len(t, told, 1)

	full.IsFinal = nil
	want := []qingting.StoredMessage{message("m0", 2, ""), full, message(made, 6, "等了三天了")}
	got, err := s.Messages(ctx, key)
	require.NoError(t, err)
	require.Equal(t, want, got)
	c, err := s.Conversation(ctx, key)
	require.NoError(t, err)
	require.Equal(t, first.Conversation, c)
	require.Equal(t, 3, c.Messages)
	require.Equal(t, 28, c.Runes)
	require.Equal(t, qingting.ConversationOpen, c.State)
	require.WithinDuration(t, time.Now(), c.Created, time.Minute)

	// The same again, in part with the seq that was given meanwhile, is nothing
	// new; only what was empty is filled in.
	request.Messages = []qingting.StoredMessage{message(made, 6, "等了三天了"), full, message("m0", 0, "")}
	request.Conversation.Agent, request.Conversation.Team = "u1", "华南"
	again, err := s.Append(ctx, request)
	require.NoError(t, err)
	require.Equal(t, []AppendResult{{made, 6, AppendDuplicate}, {"m1", 5, AppendDuplicate}, {"m0", 2, AppendDuplicate}}, again.Results)
	require.Empty(t, again.New)
	require.EqualValues(t, 1, again.Conversation.Version)
	require.Equal(t, "u1", again.Conversation.Agent)
	require.Equal(t, "华东", again.Conversation.Team)
	require.Len(t, told, 1, "nothing to tell")

	for name, m := range map[string]qingting.StoredMessage{
		"text": message("m1", 5, "我的号码"), "seq": func() qingting.StoredMessage { m := full; m.Seq = 7; return m }(),
		"role": func() qingting.StoredMessage { m := full; m.Role = qingting.RoleAgent; return m }(),
	} {
		request.Messages = []qingting.StoredMessage{message("new", 0, "这条也不能留下"), m}
		_, err = s.Append(ctx, request)
		require.ErrorIs(t, err, ErrConflict, name)
	}
	partial := message("p", 0, "我要投")
	partial.IsFinal = new(bool)
	for _, m := range []qingting.StoredMessage{partial, message("n", -1, ""), message("n", maxSeq+1, "")} {
		request.Messages = []qingting.StoredMessage{message("new", 0, "这条也不能留下"), m}
		_, err = s.Append(ctx, request)
		require.ErrorIs(t, err, qingting.ErrInvalid)
	}
	request.Messages = []qingting.StoredMessage{message("new", 0, "这条也不能留下")}
	request.Outbox = func(*Appended) ([]hook.Item, error) { return nil, errors.New("写不出来") }
	_, err = s.Append(ctx, request)
	require.ErrorContains(t, err, "写不出来")
	after, err := s.Conversation(ctx, key)
	require.NoError(t, err)
	require.Equal(t, again.Conversation, after, "what failed left nothing")
	items, _, err := s.Outbox(ctx, "t", OutboxFilter{}, "", 0)
	require.NoError(t, err)
	require.Len(t, items, 1)
	require.EqualValues(t, 1, items[0].Seq)
}

func TestAppendLimits(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	many := make([]qingting.StoredMessage, qingting.MaxMessages)
	for i := range many {
		many[i] = message(fmt.Sprint(i), 0, "嗯")
	}
	long := make([]qingting.StoredMessage, qingting.MaxTranscriptRunes/qingting.MaxMessageRunes)
	for i := range long {
		long[i] = message(fmt.Sprint(i), 0, strings.Repeat("𠮷", qingting.MaxMessageRunes))
	}
	for id, messages := range map[string][]qingting.StoredMessage{"too_many_messages": many, "transcript_too_long": long} {
		key := qingting.Key{Tenant: "t", ID: id}
		say(t, s, key, messages...)
		_, err := s.Append(ctx, AppendRequest{Conversation: qingting.Conversation{Tenant: "t", ID: id}, Messages: []qingting.StoredMessage{message("one more", 0, "嗯")}})
		require.ErrorIs(t, err, qingting.ErrTooLarge)
		var input *qingting.InputError
		require.ErrorAs(t, err, &input)
		require.Equal(t, id, input.Code)
		again := say(t, s, key, messages[0])
		require.Equal(t, AppendDuplicate, again.Results[0].Status, "a delivery again is not refused")
		require.Equal(t, len(messages), again.Conversation.Messages)
	}
}

func TestCloseAndReopen(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "c"}
	say(t, s, key, message("m1", 0, "还没退款"))
	how := qingting.Closing{
		At: received, By: "u1", Outcome: qingting.OutcomeResolved, Satisfied: 4, Solution: "原路退回", Remedy: qingting.RemedyRefund, Cost: 25.5, Note: "好",
	}
	closed, err := s.CloseConversation(ctx, key, how, []hook.Item{{Tenant: "t", Event: "closed"}})
	require.NoError(t, err)
	require.Equal(t, qingting.ConversationClosed, closed.State)
	require.Equal(t, &how, closed.Closing)

	again := say(t, s, key, message("m1", 0, "还没退款"))
	require.False(t, again.Reopened, "a delivery again does not open it")
	require.Equal(t, &how, again.Conversation.Closing)
	filled, err := s.Append(ctx, AppendRequest{Conversation: qingting.Conversation{Tenant: "t", ID: "c", Channel: "im"}})
	require.NoError(t, err)
	require.Equal(t, &how, filled.Conversation.Closing)
	kept, err := s.Conversation(ctx, key)
	require.NoError(t, err)
	require.Equal(t, filled.Conversation, kept)

	opened := say(t, s, key, message("m2", 0, "钱还是没到"))
	require.True(t, opened.Reopened)
	require.Nil(t, opened.Conversation.Closing)
	kept, err = s.Conversation(ctx, key)
	require.NoError(t, err)
	require.Equal(t, opened.Conversation, kept)
	items, _, err := s.Outbox(ctx, "t", OutboxFilter{}, "", 0)
	require.NoError(t, err)
	require.Len(t, items, 1)

	c, err := s.SetAgent(ctx, key, "u2", nil)
	require.NoError(t, err)
	require.Equal(t, "u2", c.Agent)
}

func TestSetTeamTakesOpenWorkAlong(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "c"}
	say(t, s, key, message("m1", 0, "我要打12315"))
	done := newAlert(key, "done")
	done.State = qingting.AlertResolved
	due := received
	_, err := s.SaveAnalysis(ctx, AnalysisRecord{
		Key: key, Version: 1, Alerts: []AlertChange{{Alert: newAlert(key, "a")}, {Alert: done}},
		Promises: []qingting.Promise{{ID: "p", Due: &due}, {ID: "kept", State: qingting.PromiseKept}},
	})
	require.NoError(t, err)
	c, err := s.SetTeam(ctx, key, "华南", nil)
	require.NoError(t, err)
	require.Equal(t, "华南", c.Team)
	a, err := s.Alert(ctx, "t", "a")
	require.NoError(t, err)
	require.Equal(t, "华南", a.Team)
	require.EqualValues(t, 2, a.Version)
	a, err = s.Alert(ctx, "t", "done")
	require.NoError(t, err)
	require.Equal(t, "华东", a.Team)
	p, err := s.Promise(ctx, key, "p")
	require.NoError(t, err)
	require.Equal(t, "华南", p.Team)
	p, err = s.Promise(ctx, key, "kept")
	require.NoError(t, err)
	require.Empty(t, p.Team)
}

// TestAnyOrderOfDelivery delivers the same messages in any order, in any
// portions and several times over: what is kept is the same.
func TestAnyOrderOfDelivery(t *testing.T) {
	s := fresh(t)
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		key := qingting.Key{Tenant: "t", ID: fmt.Sprint(n)}
		count := rapid.IntRange(1, 12).Draw(r, "count")
		want := make([]qingting.StoredMessage, count)
		for i := range want {
			// Some share a seq; then the id decides.
			want[i] = message(fmt.Sprintf("m%02d", i), 1+i/rapid.IntRange(1, 2).Draw(r, "share"), fmt.Sprint("第", i, "句"))
		}
		deliveries := append(slices.Clone(want), rapid.SliceOfN(rapid.SampledFrom(want), 0, 6).Draw(r, "again")...)
		deliveries = rapid.Permutation(deliveries).Draw(r, "order")
		writes := int64(0)
		for len(deliveries) > 0 {
			portion := rapid.IntRange(1, len(deliveries)).Draw(r, "portion")
			if len(say(t, s, key, deliveries[:portion]...).New) > 0 {
				writes++
			}
			deliveries = deliveries[portion:]
		}
		slices.SortFunc(want, func(a, b qingting.StoredMessage) int {
			if a.Seq != b.Seq {
				return a.Seq - b.Seq
			}
			return strings.Compare(a.ID, b.ID)
		})
		got, err := s.Messages(context.Background(), key)
		require.NoError(r, err)
		require.Equal(r, want, got)
		c, err := s.Conversation(context.Background(), key)
		require.NoError(r, err)
		require.Equal(r, count, c.Messages)
		require.Equal(r, writes, c.Version)
		var paged []qingting.StoredMessage
		for after := ""; ; {
			var page []qingting.StoredMessage
			page, after, err = s.MessagesPage(context.Background(), key, after, 5)
			require.NoError(r, err)
			paged = append(paged, page...)
			if after == "" {
				break
			}
		}
		require.Equal(r, want, paged)
	})
}

// TestSeqGivenAtTheSameTime lets many append at once without a seq: each gets
// its own.
func TestSeqGivenAtTheSameTime(t *testing.T) {
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "c"}
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 5 {
				_, err := s.Append(context.Background(), AppendRequest{Conversation: qingting.Conversation{Tenant: "t", ID: "c"}, Messages: []qingting.StoredMessage{message(fmt.Sprint(w, "-", i), 0, "在吗")}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got, err := s.Messages(context.Background(), key)
	require.NoError(t, err)
	require.Len(t, got, 80)
	for i, m := range got {
		require.Equal(t, i+1, m.Seq)
	}
}

func TestConversationList(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	add := func(id, team, agent, ref string, o qingting.Overview) {
		key := qingting.Key{Tenant: "t", ID: id}
		_, err := s.Append(ctx, AppendRequest{Conversation: qingting.Conversation{Tenant: "t", ID: id, Team: team, Agent: agent, CustomerRef: ref}, Messages: []qingting.StoredMessage{message("m", 0, "喂")}})
		require.NoError(t, err)
		_, err = s.SaveAnalysis(ctx, AnalysisRecord{Key: key, Version: 1, Overview: o})
		require.NoError(t, err)
	}
	add("a", "华东", "u1", "r1", qingting.Overview{Primary: qingting.TypeDelay, Risk: qingting.RiskHigh, Priority: "P1"})
	add("b", "华东", "", "r1", qingting.Overview{Primary: qingting.TypeHiddenFee, Risk: qingting.RiskLow, Priority: "P3"})
	add("c", "华南", "u1", "", qingting.Overview{Primary: qingting.TypeHiddenFee, Risk: qingting.RiskMedium, Priority: "P2"})
	add("d", "", "u2", "r2", qingting.Overview{})
	_, err := s.CloseConversation(ctx, qingting.Key{Tenant: "t", ID: "b"}, qingting.Closing{}, nil) // b is the latest now
	require.NoError(t, err)
	cut, err := s.Conversation(ctx, qingting.Key{Tenant: "t", ID: "c"})
	require.NoError(t, err)
	for _, tt := range []struct {
		name   string
		filter ConversationFilter
		want   string
	}{
		{"all", ConversationFilter{}, "bdca"},
		{"oldest first", ConversationFilter{OldestFirst: true}, "acdb"},
		{"open", ConversationFilter{State: qingting.ConversationOpen}, "dca"},
		{"a team", ConversationFilter{Teams: []string{"华东"}}, "ba"},
		{"teams", ConversationFilter{Teams: []string{"华东", "华南"}}, "bca"},
		{"agent", ConversationFilter{Agent: "u1"}, "ca"},
		{"risk", ConversationFilter{Risk: []qingting.RiskLevel{qingting.RiskHigh, qingting.RiskMedium}}, "ca"},
		{"priority", ConversationFilter{Priority: []qingting.Priority{"P3"}}, "b"},
		{"primary", ConversationFilter{Primary: []qingting.Type{qingting.TypeHiddenFee}}, "bc"},
		{"customer", ConversationFilter{CustomerRef: "r1"}, "ba"},
		{"from is inside", ConversationFilter{From: cut.Updated}, "bdc"},
		{"to is outside", ConversationFilter{To: cut.Updated}, "a"},
		{"together", ConversationFilter{Teams: []string{"华东"}, Risk: []qingting.RiskLevel{qingting.RiskLow}, State: qingting.ConversationClosed}, "b"},
		{"a quote is data", ConversationFilter{Teams: []string{"' OR 1=1 --"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, cursor := "", ""
			for {
				page, next, err := s.Conversations(ctx, "t", tt.filter, cursor, 1)
				require.NoError(t, err)
				require.NotNil(t, page)
				for _, c := range page {
					got += c.ID
				}
				if cursor = next; cursor == "" {
					break
				}
			}
			require.Equal(t, tt.want, got)
		})
	}
	for _, bad := range []string{"x", "===", "OjE", cursor(1, "x")[1:]} {
		_, _, err := s.Conversations(ctx, "t", ConversationFilter{}, bad, 0)
		require.ErrorIs(t, err, qingting.ErrInvalid, bad)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(cursor(12, "会话:1"))
	f.Add("OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTp4")
	f.Fuzz(func(t *testing.T, c string) {
		n, id, err := openCursor(c)
		if err != nil {
			require.ErrorIs(t, err, qingting.ErrInvalid)
			return
		}
		n2, id2, err := openCursor(cursor(n, id))
		require.NoError(t, err)
		require.Equal(t, n, n2)
		require.Equal(t, id, id2)
	})
}

// TestPagesAreComplete reads page by page while conversations begin: each that
// was there before is seen once. Oldest first also sees those that change.
func TestPagesAreComplete(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	const before = 120
	for i := range before {
		say(t, s, qingting.Key{Tenant: "t", ID: fmt.Sprintf("old%03d", i)}, message("m", 0, "喂"))
	}
	for _, oldest := range []bool{false, true} {
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for i := range 300 {
					select {
					case <-stop:
						return
					default:
					}
					key := qingting.Key{Tenant: "t", ID: fmt.Sprintf("new%v-%d-%d", oldest, w, i)}
					if oldest && i%2 == 0 {
						key.ID = fmt.Sprintf("old%03d", (w*31+i)%before) // changes
					}
					if _, err := s.Append(ctx, AppendRequest{Conversation: qingting.Conversation{Tenant: key.Tenant, ID: key.ID}, Messages: []qingting.StoredMessage{message("", 0, "喂")}}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		seen := map[string]int{}
		for cursor := ""; ; {
			page, next, err := s.Conversations(ctx, "t", ConversationFilter{OldestFirst: oldest}, cursor, 7)
			require.NoError(t, err)
			for _, c := range page {
				seen[c.ID]++
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		close(stop)
		writers.Wait()
		for i := range before {
			id := fmt.Sprintf("old%03d", i)
			require.Positive(t, seen[id], "%s, oldest first %v", id, oldest)
			if !oldest {
				require.Equal(t, 1, seen[id], id)
			}
		}
	}
}

func TestAnalysis(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "c"}
	say(t, s, key, message("m1", 0, "我要打12315"))
	say(t, s, key, message("m2", 0, "快点"))
	say(t, s, qingting.Key{Tenant: "u", ID: "另一家"}, message("m1", 0, "在吗"))
	behind, err := s.Behind(ctx, qingting.Key{}, 0)
	require.NoError(t, err)
	require.Equal(t, []qingting.Key{key, {Tenant: "u", ID: "另一家"}}, behind)
	behind, err = s.Behind(ctx, key, 1)
	require.NoError(t, err)
	require.Equal(t, []qingting.Key{{Tenant: "u", ID: "另一家"}}, behind)
	_, _, err = s.Analysis(ctx, key)
	require.ErrorIs(t, err, qingting.ErrNotFound)

	overview := qingting.Overview{
		Kind: qingting.KindComplaint, Primary: qingting.TypeDelay, Emotion: "angry", Intensity: 2,
		Risk: qingting.RiskHigh, Score: 0.8, Priority: "P1", Quote: "我要打12315",
	}
	due := received.Add(time.Hour)
	amount := 25.5
	promise := qingting.Promise{
		ID: "p1", Team: "华东", What: qingting.RemedyRefund, Owner: "我", Amount: &amount, Due: &due, DueWords: "今天18点前", State: qingting.PromiseOpen,
		Span: qingting.Span{Message: 1, MessageID: "m2", Start: 0, End: 2, Quote: "快点"}, Updated: received,
	}
	record := AnalysisRecord{
		Key: key, Version: 2, Overview: overview, Body: []byte(`{"schema":"1"}`), Earlier: []string{"c9", "c8"},
		Alerts:   []AlertChange{{Alert: newAlert(key, "a"), Event: qingting.AlertEvent{To: qingting.AlertNew, At: received}}},
		Promises: []qingting.Promise{promise}, Outbox: []hook.Item{{Tenant: "t", Event: "ev"}},
	}
	alerts, err := s.SaveAnalysis(ctx, record)
	require.NoError(t, err)
	require.EqualValues(t, 1, alerts[0].Version)
	c, err := s.Conversation(ctx, key)
	require.NoError(t, err)
	require.Equal(t, overview, c.Overview)
	require.Equal(t, []string{"c9", "c8"}, c.Earlier)
	require.EqualValues(t, 2, c.Analysed)
	body, version, err := s.Analysis(ctx, key)
	require.NoError(t, err)
	require.Equal(t, `{"schema":"1"}`, string(body))
	require.EqualValues(t, 2, version)
	promise.Tenant, promise.Conversation = "t", "c"
	promises, err := s.Promises(ctx, key)
	require.NoError(t, err)
	require.Equal(t, []qingting.Promise{promise}, promises)

	older, ahead, clash, nowhere := record, record, record, record
	older.Version, ahead.Version = 1, 3
	clash.Alerts = []AlertChange{{Alert: newAlert(key, "b")}} // a is open
	nowhere.Key.ID = "没有"
	for _, tt := range []struct {
		record AnalysisRecord
		want   error
	}{{older, ErrStale}, {clash, ErrConflict}, {nowhere, qingting.ErrNotFound}, {ahead, nil}} {
		tt.record.Body = []byte("不能留下")
		_, err := s.SaveAnalysis(ctx, tt.record)
		require.Error(t, err)
		if tt.want != nil {
			require.ErrorIs(t, err, tt.want)
		}
	}
	body, _, err = s.Analysis(ctx, key)
	require.NoError(t, err)
	require.Equal(t, `{"schema":"1"}`, string(body))
	items, _, err := s.Outbox(ctx, "t", OutboxFilter{}, "", 0)
	require.NoError(t, err)
	require.Len(t, items, 1, "a refused analysis tells nobody")

	// What a person did with a promise outlives the next analysis.
	promise.State, promise.Warned = qingting.PromiseKept, true
	kept, err := s.ChangePromise(ctx, PromiseChange{Promise: promise, From: qingting.PromiseOpen}, nil)
	require.NoError(t, err)
	require.Equal(t, promise, kept)
	_, err = s.ChangePromise(ctx, PromiseChange{Promise: promise, From: qingting.PromiseOpen}, nil)
	require.ErrorIs(t, err, ErrConflict)
	again := record
	again.Alerts, again.Promises = nil, []qingting.Promise{{ID: "p1", State: qingting.PromiseOpen, Span: qingting.Span{Message: 4, Quote: "快点", End: 2}}}
	_, err = s.SaveAnalysis(ctx, again)
	require.NoError(t, err)
	promise.Span = qingting.Span{Message: 4, Quote: "快点", End: 2}
	promises, err = s.Promises(ctx, key)
	require.NoError(t, err)
	require.Equal(t, []qingting.Promise{promise}, promises)
	behind, err = s.Behind(ctx, qingting.Key{}, 0)
	require.NoError(t, err)
	require.Len(t, behind, 1)
}

func TestRelated(t *testing.T) {
	ctx := context.Background()
	now := received
	s, err := OpenWith(ctx, t.TempDir()+"/q.db", Options{Now: func() time.Time { return now }})
	require.NoError(t, err)
	defer s.Close()
	add := func(id, ref string, matter qingting.Type, ago time.Duration) {
		now = received.Add(-ago)
		_, err := s.Append(ctx, AppendRequest{Conversation: qingting.Conversation{Tenant: "t", ID: id, CustomerRef: ref}, Messages: []qingting.StoredMessage{message("m", 0, "喂")}})
		require.NoError(t, err)
		_, err = s.SaveAnalysis(ctx, AnalysisRecord{Key: qingting.Key{Tenant: "t", ID: id}, Version: 1, Overview: qingting.Overview{Primary: matter}})
		require.NoError(t, err)
	}
	day := 24 * time.Hour
	add("long ago", "r", qingting.TypeHiddenFee, 91*day)
	add("first", "r", qingting.TypeHiddenFee, 89*day)
	add("family", "r", qingting.TypeUnfair, 2*day)
	add("other matter", "r", qingting.TypeDelay, day)
	add("other customer", "r2", qingting.TypeHiddenFee, day)
	add("look-alike", "r", "pricey", day)
	add("itself", "r", qingting.TypeHiddenFee, time.Hour)
	got, err := s.Related(ctx, qingting.Key{Tenant: "t", ID: "itself"}, "r", qingting.TypeHiddenFee, received)
	require.NoError(t, err)
	require.Equal(t, []string{"family", "first"}, got)
	for _, tt := range []struct{ ref, matter string }{{"", "price.hidden_fee"}, {"r", ""}} {
		got, err = s.Related(ctx, qingting.Key{Tenant: "t", ID: "itself"}, tt.ref, qingting.Type(tt.matter), received)
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

func TestLabels(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	key := qingting.Key{Tenant: "t", ID: "c"}
	require.ErrorIs(t, s.SetLabels(ctx, key, []Label{{Field: qingting.FieldRisk, Value: json.RawMessage(`"low"`)}}, nil), qingting.ErrNotFound)
	say(t, s, key, message("m", 0, "喂"))
	risk := Label{qingting.FieldRisk, json.RawMessage(`"high"`), "u1", received}
	kind := Label{qingting.FieldKind, json.RawMessage(`{"code":"complaint"}`), "u1", received}
	require.NoError(t, s.SetLabels(ctx, key, []Label{risk, kind}, nil))
	require.ErrorContains(t, s.SetLabels(ctx, key, []Label{{Field: qingting.FieldKind, Value: json.RawMessage(`{`)}}, nil), "JSON")
	got, err := s.Labels(ctx, key)
	require.NoError(t, err)
	require.Equal(t, []Label{kind, risk}, got)
	risk.Value, risk.By = json.RawMessage(`"low"`), "u2"
	require.NoError(t, s.SetLabels(ctx, key, []Label{risk, {Field: qingting.FieldKind}}, nil))
	got, err = s.Labels(ctx, key)
	require.NoError(t, err)
	require.Equal(t, []Label{risk}, got)
}
