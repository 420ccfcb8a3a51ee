package retrieval

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

var (
	_ qingting.Retriever = (*Library)(nil)
	_ Store              = (*store.CaseStore)(nil)
)

// hashEncoder stands in for an encoder of another ID, one that fails, and one
// whose calls are counted: its vectors count characters.
type hashEncoder struct {
	id    string
	calls atomic.Int64 // texts encoded
	err   error
}

func (e *hashEncoder) ID() string { return e.id }
func (e *hashEncoder) Dim() int   { return 64 }

func (e *hashEncoder) Encode(_ context.Context, texts []string) ([]qingting.Vector, error) {
	if e.err != nil {
		return nil, e.err
	}
	out := make([]qingting.Vector, len(texts))
	for i, s := range texts {
		e.calls.Add(1)
		if s == "" {
			continue
		}
		v := make(qingting.Vector, e.Dim())
		for _, r := range s {
			v[(int(r)*31+len(e.id))%len(v)]++
		}
		norm := mean([]*qingting.Prepared{{Vector: v}}, []float64{1})
		out[i] = norm
	}
	return out, nil
}

func newLibrary(t *testing.T, p Parts) *Library {
	t.Helper()
	parts := realTools(t)
	p.Cleaner, p.Segmenter = parts.cleaner, parts.segmenter
	l, err := NewLibrary(context.Background(), p)
	require.NoError(t, err)
	return l
}

func sampleCases() []qingting.Case {
	return []qingting.Case{
		{
			ID: "fee", Title: "视频会员自动续费没有提醒", Type: qingting.TypeHiddenFee, Industry: "电商", Product: "视频会员",
			Problem: "试用到期自动扣了二十五块，根本没通知我要续费", Solution: "核对扣费记录后退回当月费用并关闭自动续费",
			Outcome: qingting.CaseResolved, Remedy: qingting.RemedyRefund, Style: qingting.StyleRational, Reopened: true,
		},
		{
			ID: "fee-failed", Title: "会员连续包月退不掉", Type: qingting.TypeHiddenFee, Industry: "电商", Product: "音乐会员",
			Problem: "自动续费扣款三个月，客服一直说系统问题不给退", Solution: "只关闭了续费，没有退款，客户投诉到平台", Lesson: "扣费争议先核对授权记录，再谈责任",
			Outcome: qingting.CaseFailed, Style: qingting.StyleEmotional,
		},
		{
			ID: "net", Title: "宽带反复断网", Type: qingting.TypePerformance, Industry: "通信", Product: "宽带",
			Problem: "每天晚上宽带断网，光猫红灯一直闪", Solution: "上门更换光猫并重做接头", Outcome: qingting.CaseResolved, Remedy: qingting.RemedyRepair,
			ClosedAt: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		},
		{
			ID: "fridge", Title: "冰箱漏水泡坏地板", Type: qingting.TypeQuality, Industry: "家电", Product: "智能冰箱",
			Problem: "冰箱底下漏水，木地板都泡起来了", Solution: "更换排水管，地板损失经审批后赔付", Outcome: qingting.CaseResolved, Remedy: qingting.RemedyCompensate,
		},
	}
}

func ids(matches []qingting.Match) []string {
	out := make([]string, len(matches))
	for i, m := range matches {
		out[i] = m.ID
	}
	return out
}

func TestLibraryChangesAreSearchableAtOnce(t *testing.T) {
	ctx := context.Background()
	l := newLibrary(t, Parts{Seed: sampleCases()})
	require.Equal(t, 4, l.Len())
	search := func(text string) []string {
		m, err := l.SearchText(ctx, text, qingting.CaseFilter{}, 1)
		require.NoError(t, err)
		return ids(m)
	}
	require.Equal(t, []string{"net"}, search("光猫紅燈，家裡寬帶又斷網了"), "traditional script finds simplified cases")

	added, err := l.Add(ctx, qingting.Case{
		Title: "快递放驿站丢件", Type: qingting.TypeDelivery, Problem: "快递员没打电话就放驿站，包裹丢了",
		Solution: "补发并教育快递员", Outcome: qingting.CaseResolved,
	})
	require.NoError(t, err)
	require.NotEmpty(t, added.ID)
	require.Equal(t, []string{added.ID}, search("驿站把我包裹弄丢了"))
	_, err = l.Add(ctx, added)
	require.ErrorIs(t, err, qingting.ErrInvalid)
	require.ErrorContains(t, err, "已被占用")

	added.Title, added.Problem, added.Solution = "空调不制冷", "空调外机不转，吹出来是热风", "加氟"
	require.NoError(t, l.Update(ctx, added))
	require.Equal(t, []string{added.ID}, search("空调吹热风"))
	require.Empty(t, search("驿站"), "the old words are gone")
	got, err := l.Get(added.ID)
	require.NoError(t, err)
	require.Equal(t, added, got)

	require.NoError(t, l.Delete(ctx, added.ID))
	require.Empty(t, search("空调吹热风"))
	_, err = l.Get(added.ID)
	require.ErrorIs(t, err, qingting.ErrNotFound)
	require.ErrorIs(t, l.Delete(ctx, added.ID), qingting.ErrNotFound)
	require.ErrorIs(t, l.Update(ctx, added), qingting.ErrNotFound)

	_, err = l.Add(ctx, qingting.Case{ID: "x"})
	require.ErrorIs(t, err, qingting.ErrInvalid)
	require.ErrorContains(t, err, "字段 title")
}

func TestLibrarySearchFilters(t *testing.T) {
	ctx := context.Background()
	l := newLibrary(t, Parts{Seed: sampleCases()})
	for _, tt := range []struct {
		name   string
		text   string
		filter qingting.CaseFilter
		want   []string
	}{
		{"by outcome", "自动续费扣款", qingting.CaseFilter{Outcomes: []qingting.CaseOutcome{qingting.CaseFailed}}, []string{"fee-failed"}},
		{"by type", "漏水 断网 续费", qingting.CaseFilter{Types: []qingting.Type{qingting.TypeQuality}}, []string{"fridge"}},
		{"by industry", "漏水 断网 续费", qingting.CaseFilter{Industry: " 通信"}, []string{"net"}},
		{"by product", "漏水 断网 续费", qingting.CaseFilter{Product: "冰箱"}, []string{"fridge"}},
		{"by time", "漏水 断网 续费", qingting.CaseFilter{From: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}, []string{"net"}},
		{"nothing passes", "漏水", qingting.CaseFilter{Industry: "银行"}, []string{}},
		{"no word in common", "今天天气不错", qingting.CaseFilter{}, []string{}},
		{"only stop words", "你们到底怎么回事？？？！！！", qingting.CaseFilter{}, []string{}},
		{"empty", "", qingting.CaseFilter{}, []string{}},
		{"invalid UTF-8", "漏\xff水\x00冰箱", qingting.CaseFilter{}, []string{"fridge"}},
		{"full width and emoji", "！！宽带😡断网ＡＡ", qingting.CaseFilter{}, []string{"net"}},
		{"very long", strings.Repeat("气死我了宽带断网，", 400), qingting.CaseFilter{}, []string{"net"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := l.SearchText(ctx, tt.text, tt.filter, 1)
			require.NoError(t, err)
			require.Equal(t, tt.want, ids(got))
			page, total := l.List(tt.filter, 0, 0)
			require.Len(t, page, total)
		})
	}
	page, total := l.List(qingting.CaseFilter{}, 1, 2)
	require.Equal(t, 4, total)
	require.Equal(t, []string{"fee-failed", "fridge"}, []string{page[0].ID, page[1].ID})
	page, total = l.List(qingting.CaseFilter{Outcomes: []qingting.CaseOutcome{qingting.CaseFailed}}, 7, 2)
	require.Equal(t, 1, total)
	require.Empty(t, page)
}

// document prepares a conversation as the pipeline does; full mode encodes.
func document(t *testing.T, e qingting.Encoder, messages ...qingting.Message) *qingting.Document {
	t.Helper()
	parts := realTools(t)
	doc := &qingting.Document{Transcript: qingting.Transcript{Messages: messages}, Mode: qingting.ModeFast}
	for _, m := range messages {
		p := &qingting.Prepared{Message: m}
		p.Clean, p.From, p.To = parts.cleaner.Clean(m.Text)
		p.Tokens = parts.segmenter.Segment(p.Clean)
		if e != nil {
			v, err := e.Encode(context.Background(), []string{string(p.Clean)})
			require.NoError(t, err)
			p.Vector, doc.Mode = v[0], qingting.ModeFull
		}
		doc.Messages = append(doc.Messages, p)
	}
	return doc
}

func says(text string) qingting.Message {
	return qingting.Message{Role: qingting.RoleCustomer, Text: text}
}

func about(t qingting.Type) *qingting.Analysis {
	a := &qingting.Analysis{Kind: qingting.Score[qingting.Kind]{Code: qingting.KindComplaint, Confidence: 1}}
	if t != "" {
		a.Primary = &t
		a.Types = []qingting.TypeScore{{Code: t, Confidence: 1}}
	}
	return a
}

func TestRetrieve(t *testing.T) {
	ctx := context.Background()
	cases, err := Starter()
	require.NoError(t, err)
	l := newLibrary(t, Parts{Seed: append(cases, sampleCases()...)})
	partial := false
	of := func(kind qingting.Kind) *qingting.Analysis {
		a := about("")
		a.Kind.Code = kind
		return a
	}
	fee := "视频会员试用到期自动续费，没有通知就扣了我二十五块"
	for _, tt := range []struct {
		name     string
		messages []qingting.Message
		analysis *qingting.Analysis
		status   qingting.RetrievalStatus
		first    string // among the cases
	}{
		{"a complaint", []qingting.Message{says("你好"), says(fee + "！！！"), says("快点")}, about(qingting.TypeHiddenFee), qingting.RetrievalOK, "fee"},
		{"an inquiry", []qingting.Message{says(fee)}, of(qingting.KindInquiry), qingting.RetrievalOK, "fee"},
		{"praise", []qingting.Message{says(fee)}, of(qingting.KindPraise), qingting.RetrievalNoReliableCase, ""},
		{"other", []qingting.Message{says(fee)}, of(qingting.KindOther), qingting.RetrievalNoReliableCase, ""},
		{"a suggestion", []qingting.Message{says(fee)}, of(qingting.KindSuggestion), qingting.RetrievalNoReliableCase, ""},
		{"empty", []qingting.Message{says("")}, about(""), qingting.RetrievalNoReliableCase, ""},
		{"only anger", []qingting.Message{says("垃圾！！！气死我了！！！"), says("？？？")}, about(qingting.TypeAttitude), qingting.RetrievalNoReliableCase, ""},
		{"the agent's words", []qingting.Message{says("在吗"), {Role: qingting.RoleAgent, Text: fee}}, about(""), qingting.RetrievalNoReliableCase, ""},
		{"a partial result", []qingting.Message{{Role: qingting.RoleCustomer, Text: fee, IsFinal: &partial}}, about(""), qingting.RetrievalNoReliableCase, ""},
		{"something else", []qingting.Message{says("我想问问你们公司年会在哪里开")}, about(""), qingting.RetrievalNoReliableCase, ""},
		{"half a sentence", []qingting.Message{says("我那个")}, about(""), qingting.RetrievalNoReliableCase, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := l.Retrieve(ctx, document(t, nil, tt.messages...), tt.analysis)
			require.NoError(t, err)
			require.Equal(t, tt.status, got.Status)
			require.LessOrEqual(t, len(got.Cases), maxShown)
			if tt.first == "" {
				require.Empty(t, got.Cases)
				require.Nil(t, got.Failed)
				return
			}
			require.Equal(t, tt.first, got.Cases[0].ID)
			for _, m := range got.Cases {
				require.Equal(t, qingting.CaseResolved, m.Outcome)
				require.GreaterOrEqual(t, m.Score, Reliable)
				require.LessOrEqual(t, m.Score, 1.0)
				require.Nil(t, m.Vector)
			}
		})
	}
}

func TestRetrieveWarnsOfOneFailedCase(t *testing.T) {
	l := newLibrary(t, Parts{Seed: sampleCases()[1:]}) // the failed one without its resolved sister
	got, err := l.Retrieve(context.Background(), document(t, nil, says("音乐会员连续包月自动续费扣款三个月，退不掉，客服一直说是系统问题")), about(qingting.TypeHiddenFee))
	require.NoError(t, err)
	require.Equal(t, qingting.RetrievalNoReliableCase, got.Status, "a failed case is a warning, not an answer")
	require.Empty(t, got.Cases)
	require.NotNil(t, got.Failed)
	require.Equal(t, "fee-failed", got.Failed.ID)
	require.NotEmpty(t, got.Failed.Lesson)
}

func TestWhyAndDiffers(t *testing.T) {
	l := newLibrary(t, Parts{Seed: sampleCases()})
	a := about(qingting.TypeHiddenFee)
	a.Style.Code = qingting.StyleEmotional
	a.Claims = []qingting.Claim{{Code: qingting.ClaimApology}, {Code: qingting.ClaimRefund}}
	a.Slots = []qingting.Slot{{Kind: qingting.SlotProduct, Value: "健身会员"}}
	doc := document(t, nil, says("银行卡被自动续费扣款，会员到期没通知，信用卡都扣了"))
	m, err := l.find(context.Background(), l.ask(doc, a), qingting.CaseFilter{}, 4)
	require.NoError(t, err)
	require.Equal(t, "fee", m[0].ID)
	require.Equal(t, []string{"同一问题类型：隐性收费", "共同词：" + strings.TrimPrefix(m[0].Why[1], "共同词："), "诉求一致：退款"}, m[0].Why)
	require.Contains(t, m[0].Why[1], "续费")
	require.Equal(t, []string{
		"行业不同：本次银行，案例电商", "产品不同：本次健身会员，案例视频会员", "客户类型不同：本次情绪型，案例理性型", "该案例办结后客户曾再次来访",
	}, m[0].Differ)

	a = about(qingting.TypeDelay)
	a.Claims = []qingting.Claim{{Code: qingting.ClaimRefund}}
	m, err = l.find(context.Background(), l.ask(document(t, nil, says("光猫断网")), a), qingting.CaseFilter{}, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"问题类型不同：本次物流延误，案例产品性能", "诉求不同：本次退款，案例以维修了结"}, m[0].Differ)
}

// TestSemanticSearch needs the real encoder: the words differ, the matter is
// the same.
func TestSemanticSearch(t *testing.T) {
	if testing.Short() {
		t.Skip("loads the encoder")
	}
	l := starterLibrary(t, true)
	require.Empty(t, l.pending, "the starter library needs no encoding")
	e := l.parts.Encoder
	doc := document(t, e, says("您好"), says("我家宽带断了一天了，光猫亮红灯，楼里邻居也都上不了网"), says("什么时候能好"))
	got, err := l.Retrieve(context.Background(), doc, about(qingting.TypeQuality))
	require.NoError(t, err)
	require.Equal(t, qingting.RetrievalOK, got.Status)
	require.Equal(t, "s004", got.Cases[0].ID)
	require.Contains(t, strings.Join(got.Cases[0].Why, "；"), "语义相近 0.")
	require.Positive(t, got.Cases[0].Parts.Dense)

	// A conversation encoded by something else is refused, not guessed at.
	other := document(t, &hashEncoder{id: "other"}, says("宽带断网了"))
	_, err = l.Retrieve(context.Background(), other, about(""))
	require.ErrorContains(t, err, "refuses")
}

func TestLibraryRestart(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "q.db")
	start := func(e *hashEncoder, deferred bool) (*Library, *store.Store) {
		s, err := store.Open(ctx, path)
		require.NoError(t, err)
		p := Parts{Seed: sampleCases(), Store: s.CasesOf(qingting.DefaultTenant), DeferEncoding: deferred}
		if e != nil {
			p.Encoder = e
		}
		return newLibrary(t, p), s
	}
	first := &hashEncoder{id: "one"}
	l, s := start(first, false)
	require.EqualValues(t, 4, first.calls.Load(), "each case is encoded once")
	require.NoError(t, l.Delete(ctx, "net"))
	_, err := l.Add(ctx, qingting.Case{ID: "自建", Title: "空调不制冷", Type: qingting.TypePerformance, Problem: "外机不转", Solution: "加氟", Outcome: qingting.CaseResolved})
	require.NoError(t, err)
	require.EqualValues(t, 5, first.calls.Load())
	require.NoError(t, s.Close())

	again := &hashEncoder{id: "one"}
	l, s = start(again, false)
	require.Zero(t, again.calls.Load(), "vectors come from the store")
	require.Equal(t, 4, l.Len())
	_, err = l.Get("net")
	require.ErrorIs(t, err, qingting.ErrNotFound, "a deleted starter case does not come back")
	m, err := l.SearchText(ctx, "外机不转", qingting.CaseFilter{}, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"自建"}, ids(m))
	require.InDelta(t, 0.7, m[0].Parts.Dense, 0.3)
	require.NoError(t, s.Close())

	other := &hashEncoder{id: "another"}
	l, s = start(other, true)
	require.Len(t, l.pending, 4, "vectors of another encoder do not count")
	m, err = l.SearchText(ctx, "外机不转", qingting.CaseFilter{}, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"自建"}, ids(m), "until then it is found by words")
	require.Zero(t, m[0].Parts.Dense)
	var steps []int
	require.NoError(t, l.EncodeMissing(ctx, func(done, all int) { steps = append(steps, done, all) }))
	require.Equal(t, []int{4, 4}, steps)
	require.Empty(t, l.pending)
	require.NoError(t, s.Close())

	other = &hashEncoder{id: "another"}
	_, s = start(other, false)
	require.Zero(t, other.calls.Load(), "the new vectors were written back")
	require.NoError(t, s.Close())

	l, s = start(nil, false)
	require.Equal(t, 4, l.Len(), "no encoder: words only, vectors stay in the store")
	require.NoError(t, s.Close())
	other = &hashEncoder{id: "another"}
	_, s = start(other, false)
	require.Zero(t, other.calls.Load())
	require.NoError(t, s.Close())
}

func TestLibraryWithAFailingEncoder(t *testing.T) {
	ctx := context.Background()
	parts := realTools(t)
	broken := &hashEncoder{id: "x", err: errors.New("encoder is gone")}
	_, err := NewLibrary(ctx, Parts{Cleaner: parts.cleaner, Segmenter: parts.segmenter, Encoder: broken, Seed: sampleCases()})
	require.ErrorIs(t, err, broken.err)
	_, err = NewLibrary(ctx, Parts{})
	require.Error(t, err)

	l := newLibrary(t, Parts{Encoder: broken, Seed: sampleCases(), DeferEncoding: true})
	_, err = l.Add(ctx, qingting.Case{ID: "新", Title: "新", Type: qingting.TypeNoise, Problem: "吵", Solution: "停", Outcome: qingting.CaseResolved})
	require.ErrorIs(t, err, broken.err)
	require.Equal(t, 4, l.Len(), "a case that could not be encoded is not half there")
	_, err = l.SearchText(ctx, "断网", qingting.CaseFilter{}, 1)
	require.ErrorIs(t, err, broken.err)
}

// failingStore refuses writes, so that the library must not show them.
type failingStore struct{ Store }

func (failingStore) PutCases(context.Context, []qingting.Case) error { return errors.New("disk full") }
func (failingStore) DeleteCase(context.Context, string) error        { return errors.New("disk full") }

func TestStoreComesFirst(t *testing.T) {
	ctx := context.Background()
	s, err := store.Open(ctx, filepath.Join(t.TempDir(), "q.db"))
	require.NoError(t, err)
	defer s.Close()
	l := newLibrary(t, Parts{Seed: sampleCases(), Store: failingStore{s.CasesOf(qingting.DefaultTenant)}})
	c := sampleCases()[0]
	c.Title = "改"
	require.ErrorContains(t, l.Update(ctx, c), "disk full")
	require.ErrorContains(t, l.Delete(ctx, "fee"), "disk full")
	got, err := l.Get("fee")
	require.NoError(t, err)
	require.Equal(t, sampleCases()[0], got)
}

// TestLibraryConcurrently is for the race detector.
func TestLibraryConcurrently(t *testing.T) {
	ctx := context.Background()
	l := newLibrary(t, Parts{Encoder: &hashEncoder{id: "one"}, Seed: sampleCases(), DeferEncoding: true})
	doc := document(t, &hashEncoder{id: "one"}, says("宽带断网，光猫红灯"))
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := range 20 {
				c := sampleCases()[0]
				c.ID = fmt.Sprintf("g%d-%d", g, i)
				if _, err := l.Add(ctx, c); err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					if err := l.Delete(ctx, c.ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				got, err := l.Retrieve(ctx, doc, about(qingting.TypePerformance))
				if err != nil || len(got.Cases) == 0 || got.Cases[0].ID != "net" {
					t.Error(ids(got.Cases), err)
				}
				l.List(qingting.CaseFilter{}, 0, 3)
			}
		})
	}
	wg.Go(func() {
		if err := l.EncodeMissing(ctx, nil); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	require.Equal(t, 24, l.Len())
	require.Empty(t, l.pending)
}
