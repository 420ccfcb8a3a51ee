// Package job does the work that takes longer than a request: imports,
// backtests of rules, evaluation runs. What is to be done waits in the store,
// so that it survives a restart: a Worker takes a job under a lease, and who
// finds the lease ended takes the job over from its beginning. Whatever a
// runner writes must therefore be the same when it is written again.
package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

// The kinds of jobs.
const (
	KindImport     = "import"
	KindBacktest   = "backtest"
	KindEvaluation = "evaluation"
)

// EventProgress is the type of the event that tells how a job stands. Its data
// is the store.Job, without request and result.
const EventProgress qingting.EventType = "job.updated"

// Store keeps the jobs; *store.Store is one, and its methods say what they do.
type Store interface {
	ClaimJob(ctx context.Context, kind string, now time.Time, lease time.Duration) (store.Job, error)
	JobProgress(ctx context.Context, j store.Job, now time.Time, lease time.Duration) error
	FinishJob(ctx context.Context, j store.Job) error
}

// Runner does the jobs of one kind and returns what came out, which is kept
// with the job. A *Failure or an *qingting.InputError ends the job with its
// sentence; ctx ends when the job was cancelled or taken over, or the program
// ends. A runner is called for one job at a time.
type Runner func(ctx context.Context, r *Run) (result []byte, err error)

// Failure is why a job cannot be done, in a Chinese sentence for whoever
// ordered it.
type Failure struct{ Message string }

func (f *Failure) Error() string { return f.Message }

func failure(format string, args ...any) error { return &Failure{fmt.Sprintf(format, args...)} }

// Run is one job while it is done.
type Run struct {
	job  store.Job
	mu   sync.Mutex // guards the counts of job
	seen int        // the most that an earlier claim had done
}

// Job returns the job as it stands.
func (r *Run) Job() store.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.job
}

// Report says how far the job is; it is written within Options.Beat. What an
// earlier claim had done is not taken back while this one gets there.
func (r *Run) Report(total, done, failed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Total, r.job.Done, r.job.Failed = total, min(max(done, r.seen), total), failed
}

// Options change how a Worker works; a zero field means its default.
type Options struct {
	Lease time.Duration // a job that nobody has reported on for so long is taken over; 30 s
	Beat  time.Duration // from one report to the next; 1 s
	Poll  time.Duration // how often it looks for jobs that nobody told it of; 5 s
	// Attempts is how often a job is begun: one that ends the program each time
	// must not do so for ever. 10.
	Attempts int
	Now      func() time.Time // nil: the real clock
	Log      *slog.Logger     // never told a customer's words; nil: nobody is
	// Publish tells listeners how a job stands; nil: nobody is told.
	Publish func(qingting.Event)
	// Settled is called when a job is done, failed or was cancelled while it ran,
	// to remove what it no longer needs; nil: nothing is.
	Settled func(store.Job)
}

func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// Worker does jobs, one of each kind at a time. Wake may be called
// concurrently with Run, and Run only once.
type Worker struct {
	store   Store
	runners map[string]Runner
	opt     Options
	wake    map[string]chan struct{}
}

// NewWorker returns a worker for the kinds that have a runner. It starts
// nothing; Run does.
func NewWorker(s Store, runners map[string]Runner, o Options) (*Worker, error) {
	if s == nil {
		return nil, errors.New("job: no Store")
	}
	or(&o.Lease, 30*time.Second)
	or(&o.Beat, time.Second)
	or(&o.Poll, 5*time.Second)
	or(&o.Attempts, 10)
	if o.Beat < 0 || o.Poll < 0 || o.Attempts < 0 || o.Lease <= o.Beat {
		return nil, errors.New("job: the lease must be longer than the beat, and no time negative")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Worker{store: s, runners: runners, opt: o, wake: map[string]chan struct{}{}}
	for kind, r := range runners {
		if r == nil {
			return nil, fmt.Errorf("job: no runner for %s", kind)
		}
		w.wake[kind] = make(chan struct{}, 1)
	}
	return w, nil
}

// Wake tells the worker that a job waits.
func (w *Worker) Wake() {
	for _, c := range w.wake {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Run does jobs until ctx ends. A job that is under way then is left for the
// next start, which need not wait for the lease to end.
func (w *Worker) Run(ctx context.Context) error {
	var kinds errgroup.Group
	for kind := range w.runners {
		kinds.Go(func() error { w.loop(ctx, kind); return nil })
	}
	return kinds.Wait()
}

func (w *Worker) loop(ctx context.Context, kind string) {
	for ctx.Err() == nil {
		j, err := w.store.ClaimJob(ctx, kind, w.opt.Now(), w.opt.Lease)
		if err == nil {
			w.do(ctx, j)
			continue
		}
		if !errors.Is(err, qingting.ErrNotFound) && ctx.Err() == nil {
			w.opt.Log.Warn("取不到后台任务，稍后再试", "kind", kind, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-w.wake[kind]:
		case <-time.After(w.opt.Poll):
		}
	}
}

// errTaken ends a run whose job is not this worker's any more.
var errTaken = errors.New("the job was cancelled or taken over")

// do runs one job and settles it.
func (w *Worker) do(ctx context.Context, j store.Job) {
	r := &Run{job: j, seen: j.Done}
	if j.Attempts > w.opt.Attempts {
		w.settle(r, store.JobFailed, nil, "这个任务开始了很多次都没有做完，已停止；请检查内容后重新提交")
		return
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		w.beat(running, r, cancel)
	}()
	w.publish(r.Job())
	result, err := w.run(running, r)
	taken := errors.Is(context.Cause(running), errTaken)
	cancel(nil)
	<-beating
	var known *Failure
	var in *qingting.InputError
	switch {
	case taken:
		// Whoever cancelled it has settled it, or the other one will.
		w.told(r)
	case err == nil:
		w.settle(r, store.JobDone, result, "")
	case ctx.Err() != nil:
		w.giveBack(r)
	case errors.As(err, &known):
		w.settle(r, store.JobFailed, result, known.Message)
	case errors.As(err, &in):
		w.settle(r, store.JobFailed, result, in.Error())
	default:
		w.opt.Log.Error("后台任务出错", "kind", j.Kind, "job", j.ID, "error", err)
		w.settle(r, store.JobFailed, result, "任务执行时内部出错，请把任务编号告诉管理员")
	}
}

// errPanic is a runner that panicked.
var errPanic = errors.New("panic in a job")

func (w *Worker) run(ctx context.Context, r *Run) (result []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			// The value of a panic may quote a text; that of the runtime does not.
			if bad, ok := p.(runtime.Error); ok {
				err = fmt.Errorf("%w: %w", errPanic, bad)
			} else {
				err = fmt.Errorf("%w: %T", errPanic, p)
			}
		}
	}()
	return w.runners[r.job.Kind](ctx, r)
}

// beat writes how far the job is and prolongs the lease, until ctx ends.
func (w *Worker) beat(ctx context.Context, r *Run, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(w.opt.Beat)
	defer tick.Stop()
	last, told := w.opt.Now(), r.Job()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		j := r.Job()
		switch err := w.store.JobProgress(ctx, j, w.opt.Now(), w.opt.Lease); {
		case err == nil:
			last = w.opt.Now()
			if j.Done != told.Done || j.Total != told.Total {
				told = j
				w.publish(j)
			}
		case errors.Is(err, store.ErrConflict):
			cancel(errTaken)
			return
		case w.opt.Now().Sub(last) > w.opt.Lease-w.opt.Beat:
			// Somebody else may have it by now.
			cancel(errTaken)
			return
		}
	}
}

// settleTries is how often the end of a job is written: a database that is
// busy for a moment must not make a day's work be done again.
const settleTries = 20

func (w *Worker) settle(r *Run, state store.JobState, result []byte, message string) {
	j := r.Job()
	j.State, j.Result, j.Error = state, result, message
	if state == store.JobDone {
		j.Done = j.Total
	}
	for try := 1; ; try++ {
		err := w.store.FinishJob(context.Background(), j)
		if errors.Is(err, store.ErrConflict) {
			w.told(r)
			return
		}
		if err == nil {
			break
		}
		if try == settleTries {
			w.opt.Log.Error("任务的结果没有写成，稍后会重做", "job", j.ID, "error", err)
			return
		}
		time.Sleep(w.opt.Beat / 2)
	}
	if w.opt.Settled != nil {
		w.opt.Settled(j)
	}
	w.publish(j)
}

// told tells listeners of a job that somebody else settles.
func (w *Worker) told(r *Run) {
	j := r.Job()
	j.State = store.JobCancelled
	w.opt.Log.Info("后台任务已被取消或由别的进程接手", "kind", j.Kind, "job", j.ID)
	w.publish(j)
}

// giveBack ends the lease at once.
func (w *Worker) giveBack(r *Run) {
	if err := w.store.JobProgress(context.Background(), r.Job(), w.opt.Now(), 0); err != nil && !errors.Is(err, store.ErrConflict) {
		w.opt.Log.Warn("任务没有交还，租期过后再继续", "job", r.job.ID, "error", err)
	}
}

func (w *Worker) publish(j store.Job) {
	if w.opt.Publish == nil {
		return
	}
	j.Request, j.Result = nil, nil
	w.opt.Publish(qingting.Event{Type: EventProgress, Tenant: j.Tenant, Data: j})
}

// retried are the errors of a service that is busy for a while.
func retried(err error, also ...error) bool {
	for _, e := range append(also, store.ErrBusy, store.ErrUnavailable) {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// patience is how long a job waits for a database that cannot be written.
const patience = 5 * time.Minute

// persist calls f until it succeeds, fails for good, or patience ends.
func persist(ctx context.Context, f func() error, busy ...error) error {
	deadline := time.Now().Add(patience)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := f()
		if err == nil || !retried(err, busy...) {
			return err
		}
		if time.Now().After(deadline) {
			return failure("数据一直写不进去（磁盘已满、只读或被占用），任务停止；已写入的都保留，修好后重新提交同一个文件即可")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// short keeps a wrong value readable in a message.
func short(s string) string {
	r := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	if len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return string(r)
}

// EvaluationRequest is what an evaluation job is to do; its upload, labelled
// conversations, one a line, lies in the Folder.
type EvaluationRequest struct {
	Systems []string `json:"systems"`
	SHA     string   `json:"sha256"`
}
