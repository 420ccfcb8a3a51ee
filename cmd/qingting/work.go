package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/report"
	jobs "github.com/qingting-ai/qingting/internal/job" // triage has jobs of its own
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/text"
	"github.com/qingting-ai/qingting/internal/web"
	"github.com/qingting-ai/qingting/retrieval"
)

// Folders of the data folder beside the database.
const (
	uploadsName     = "uploads"
	evaluationsName = "evaluations"
)

// work is what takes longer than a request.
type work struct {
	service *service
	folder  *jobs.Folder
	worker  *jobs.Worker
}

// newWork wires the jobs. The live service must be there already.
func newWork(s *service) (*work, error) {
	e, c := s.engine, s.config
	w := &work{service: s, folder: jobs.NewFolder(filepath.Join(c.Data, uploadsName))}
	imports := &jobs.Importer{
		Folder: w.folder, Live: s.live, Conversation: e.store.Conversation, CheckCase: checkCase, Now: time.Now,
		Library: func(name string) (jobs.Library, error) {
			t, err := s.tenants.of(name)
			if err != nil {
				return nil, err
			}
			return caseShelf{t.library}, nil
		},
	}
	if c.Privacy.Conceal {
		imports.Conceal = text.Conceal
	}
	backtests := &jobs.Backtester{Archive: e.store, Cleaner: e.stages.Cleaner}
	var err error
	w.worker, err = jobs.NewWorker(e.store, map[string]jobs.Runner{
		jobs.KindImport: imports.Run, jobs.KindBacktest: backtests.Run, jobs.KindEvaluation: w.evaluate,
	}, jobs.Options{
		Log: s.log, Publish: s.live.Publish, Settled: func(j store.Job) { w.folder.Remove(j.Tenant, j.ID) },
	})
	return w, err
}

// options are what the interface needs.
func (w *work) options() web.Work {
	e := w.service.engine
	lex, _ := e.stages.Matcher.(*lexicon.Lexicon) // nil is a lexicon that is not shown
	return web.Work{
		Jobs: e.store, Folder: w.folder, Wake: w.worker.Wake, Lexicon: lex, Cleaner: e.stages.Cleaner, Report: w.report,
		ChatwootSecret: w.service.config.Webhooks.ChatwootSecret,
	}
}

// run does jobs until ctx ends.
func (w *work) run(ctx context.Context) error {
	if err := w.folder.Sweep(ctx, time.Now(), w.service.engine.store.Job); err != nil && ctx.Err() == nil {
		w.service.log.Warn("没有清理完上传目录", "error", err)
	}
	return w.worker.Run(ctx)
}

// checkCase names what is wrong with a case.
func checkCase(c qingting.Case) []jobs.Fault {
	var out []jobs.Fault
	for _, p := range retrieval.CheckCase(c) {
		out = append(out, jobs.Fault{Column: p.Field, Code: "invalid_case", Message: p.Message})
	}
	return out
}

// caseShelf is the library of a tenant as imports write it.
type caseShelf struct{ *retrieval.Library }

// Put adds or replaces cases by id.
func (l caseShelf) Put(ctx context.Context, cases []qingting.Case) error {
	rows := make([]retrieval.Row, len(cases))
	for i, c := range cases {
		rows[i].Case = c
	}
	done, err := l.Import(ctx, rows, false)
	if err == nil && len(done.Problems) > 0 { // they were checked before
		err = fmt.Errorf("case %s: %s", cases[0].ID, done.Problems[0].Message)
	}
	return err
}

// runFolder is the folder of an evaluation run; both names may hold anything.
func (w *work) runFolder(tenant, id string) string {
	return filepath.Join(w.service.config.Data, evaluationsName, fmt.Sprintf("%x", tenant), filepath.Base(id))
}

// evaluate is the Runner of evaluations. A run that was interrupted is gone on
// with; what is kept of it holds no text.
func (w *work) evaluate(ctx context.Context, r *jobs.Run) ([]byte, error) {
	var req jobs.EvaluationRequest
	j := r.Job()
	if err := json.Unmarshal(j.Request, &req); err != nil {
		return nil, fmt.Errorf("read the request of job %s: %w", j.ID, err)
	}
	// The dataset is named by its file, and a .jsonl is what it must be.
	name := filepath.Join(w.folder.Path(j.Tenant, j.ID)+".d", "labelled.jsonl")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(filepath.Dir(name))
	_ = os.Remove(name)
	if err := os.Link(w.folder.Path(j.Tenant, j.ID), name); err != nil {
		return nil, &jobs.Failure{Message: "上传的文件已经不在了，请重新上传"}
	}
	d, err := dataset.Open(name)
	if err != nil {
		return nil, &jobs.Failure{Message: err.Error()}
	}
	// One at a time: conversations that go on come first.
	o := eval.Options{
		Cleaner: w.service.engine.stages.Cleaner, Jobs: 1, Timeout: time.Minute, Suites: []dataset.Suite{dataset.SuiteTriage},
		Resampling: eval.Resampling{Rounds: defaultRounds},
	}
	if err := w.fits(d); err != nil {
		return nil, err
	}
	if err := lintForRun(d, &o); err != nil {
		return nil, &jobs.Failure{Message: err.Error()}
	}
	all := &evalSystems{engine: w.service.engine, data: d, base: filepath.Dir(name)}
	systems, err := all.named(req.Systems, nil, &o)
	if err != nil {
		return nil, err
	}
	order := map[string]int{}
	for i, s := range req.Systems {
		order[s] = i
	}
	o.Progress = func(system string, done, total int) {
		r.Report(total*len(systems), order[system]*total+done, 0)
	}
	dir := w.runFolder(j.Tenant, j.ID)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	m, err := eval.Run(ctx, version, dir, d, systems, o)
	if err != nil && !errors.Is(err, eval.ErrTooManyErrors) {
		return nil, err
	}
	body, bad := json.Marshal(m)
	if bad != nil {
		return nil, bad
	}
	if err != nil {
		return body, &jobs.Failure{Message: "失败的样本太多，这次的数字不可信"}
	}
	return body, nil
}

// fits holds a dataset against the limit of rows.
func (w *work) fits(d *dataset.Dataset) error {
	n := 0
	for _, err := range dataset.Read[dataset.Example](d, &d.Files[0]) {
		if n++; n > jobs.MaxRows {
			return &jobs.Failure{Message: fmt.Sprintf("超过 %d 行，请减少样本，或用 qingting eval run 在命令行评测", jobs.MaxRows)}
		}
		if err != nil {
			break // lint says what it is
		}
	}
	return nil
}

// report renders an evaluation run without the texts of its examples, which
// are not kept.
func (w *work) report(tenant, id string) ([]byte, error) {
	dir := w.runFolder(tenant, id)
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	r, err := report.Read(dir, report.Options{Rounds: defaultRounds})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = r.HTML(&b)
	return b.Bytes(), err
}
