package job

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/text"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// readingPipeline finds 12315 and nothing else; what is tested here is how
// conversations come in.
type readingPipeline struct{}

func (readingPipeline) Prepare(_ context.Context, m qingting.Message, _ qingting.Mode) (*qingting.Prepared, error) {
	return &qingting.Prepared{Message: m, Clean: []rune(m.Text)}, nil
}

func (p readingPipeline) AnalyzePrepared(ctx context.Context, t qingting.Transcript, ms []*qingting.Prepared, mode qingting.Mode) (*qingting.Analysis, error) {
	level, err := p.Level(ctx, t, ms, mode)
	a := &qingting.Analysis{Schema: "1", ID: &t.ID, Mode: mode, Kind: qingting.Score[qingting.Kind]{Code: qingting.KindComplaint}, Priority: qingting.PriorityP3}
	a.Risk.Level, a.Outcome.Code = level, qingting.OutcomeResolved
	if level == qingting.RiskHigh {
		a.Priority = qingting.PriorityP1
	}
	return a, err
}

func (readingPipeline) Level(_ context.Context, _ qingting.Transcript, ms []*qingting.Prepared, _ qingting.Mode) (qingting.RiskLevel, error) {
	for _, m := range ms {
		if strings.Contains(m.Text, "12315") {
			return qingting.RiskHigh, nil
		}
	}
	return qingting.RiskLow, nil
}

// shelf is a case library in memory.
type shelf struct {
	mu   sync.Mutex
	kept map[string]qingting.Case
	puts int
}

func (s *shelf) Get(id string) (qingting.Case, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.kept[id]; ok {
		return c, nil
	}
	return qingting.Case{}, qingting.ErrNotFound
}

func (s *shelf) Put(_ context.Context, cases []qingting.Case) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range cases {
		s.kept[c.ID] = c
		s.puts++
	}
	return nil
}

// checkSome is as much of the rules of cases as tests need.
func checkSome(c qingting.Case) []Fault {
	var out []Fault
	for field, v := range map[string]string{"title": c.Title, "problem": c.Problem} {
		if v == "" {
			out = append(out, Fault{Column: field, Code: "invalid_case", Message: "不能为空"})
		}
	}
	if !strings.Contains(string(c.Type), ".") {
		out = append(out, Fault{Column: "type", Code: "invalid_case", Message: "不是投诉类型"})
	}
	return out
}

// place is a store with a live service and an importer over it.
type place struct {
	t        testing.TB
	path     string
	store    *store.Store
	live     *live.Service
	folder   *Folder
	library  *shelf
	importer *Importer
}

func newPlace(t testing.TB) *place {
	t.Helper()
	dir := t.TempDir()
	p := &place{t: t, path: filepath.Join(dir, "q.db"), folder: NewFolder(filepath.Join(dir, "uploads")), library: &shelf{kept: map[string]qingting.Case{}}}
	var err error
	p.store, err = store.Open(t.Context(), p.path)
	require.NoError(t, err)
	p.live, err = live.New(live.Parts{
		Pipelines: func(string) (live.Pipeline, error) { return readingPipeline{}, nil }, Store: p.store, Conceal: text.Conceal,
	}, live.Options{Workers: 2})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.live.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, p.store.Close())
	})
	p.importer = &Importer{
		Folder: p.folder, Live: p.live, Conversation: p.store.Conversation, CheckCase: checkSome, Conceal: text.Conceal, Now: time.Now,
		Library: func(string) (Library, error) { return p.library, nil },
	}
	return p
}

// order uploads a file and queues its import.
func (p *place) order(req ImportRequest, content string) store.Job {
	p.t.Helper()
	id := qingting.NewID("jb")
	u, err := p.folder.Receive("default", id, strings.NewReader(content), false)
	require.NoError(p.t, err)
	req.SHA = u.SHA
	body, err := json.Marshal(req)
	require.NoError(p.t, err)
	j, err := p.store.PutJob(p.t.Context(), store.Job{Tenant: "default", ID: id, Kind: KindImport, Request: body, By: "tester"})
	require.NoError(p.t, err)
	return j
}

// work runs a worker until the job is settled.
func (p *place) work(j store.Job) (store.Job, ImportResult) {
	p.t.Helper()
	w := p.worker(nil)
	stop := start(w)
	defer stop()
	j = p.settled(j)
	var out ImportResult
	if len(j.Result) > 0 {
		require.NoError(p.t, json.Unmarshal(j.Result, &out))
	}
	return j, out
}

func (p *place) worker(change func(*Options)) *Worker {
	p.t.Helper()
	o := Options{
		Lease: 300 * time.Millisecond, Beat: 20 * time.Millisecond, Poll: 20 * time.Millisecond,
		Settled: func(j store.Job) { p.folder.Remove(j.Tenant, j.ID) },
	}
	if change != nil {
		change(&o)
	}
	w, err := NewWorker(p.store, map[string]Runner{KindImport: p.importer.Run}, o)
	require.NoError(p.t, err)
	return w
}

// start runs a worker; the function that is returned stops it.
func start(w *Worker) func() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return func() { cancel(); <-ended }
}

func (p *place) settled(j store.Job) store.Job {
	p.t.Helper()
	var err error
	require.Eventually(p.t, func() bool {
		j, err = p.store.Job(p.t.Context(), j.Tenant, j.ID)
		return err != nil || j.State != store.JobQueued && j.State != store.JobRunning
	}, 20*time.Second, 5*time.Millisecond)
	require.NoError(p.t, err)
	return j
}

// counts is how many rows each table has, the jobs aside.
func (p *place) counts() map[string]int {
	p.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+p.path+"?mode=ro")
	require.NoError(p.t, err)
	defer db.Close()
	rows, err := db.QueryContext(p.t.Context(), `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'jobs'`)
	require.NoError(p.t, err)
	var names []string
	for rows.Next() {
		var name string
		require.NoError(p.t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(p.t, rows.Err())
	require.NoError(p.t, rows.Close())
	require.Greater(p.t, len(names), 10)
	out := map[string]int{}
	for _, name := range names {
		var n int
		require.NoError(p.t, db.QueryRowContext(p.t.Context(), `SELECT count(*) FROM "`+name+`"`).Scan(&n))
		out[name] = n
	}
	return out
}

func (p *place) uploads() []string {
	var out []string
	_ = filepath.WalkDir(p.folder.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return nil
	})
	return out
}
