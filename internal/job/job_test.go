package job

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

// workAt makes a store and a worker of one runner.
func workAt(t *testing.T, run Runner, change func(*Options)) (*place, *Worker) {
	t.Helper()
	p := &place{t: t, path: filepath.Join(t.TempDir(), "q.db")}
	var err error
	p.store, err = store.Open(t.Context(), p.path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.store.Close()) })
	o := Options{Lease: 150 * time.Millisecond, Beat: 15 * time.Millisecond, Poll: 15 * time.Millisecond}
	if change != nil {
		change(&o)
	}
	w, err := NewWorker(p.store, map[string]Runner{"test": run}, o)
	require.NoError(t, err)
	return p, w
}

func (p *place) put() store.Job {
	p.t.Helper()
	j, err := p.store.PutJob(p.t.Context(), store.Job{Tenant: "default", Kind: "test"})
	require.NoError(p.t, err)
	return j
}

func TestHowJobsEnd(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		run    Runner
		state  store.JobState
		says   string
		result string
	}{
		"做成":  {func(_ context.Context, r *Run) ([]byte, error) { r.Report(3, 2, 1); return []byte("好"), nil }, store.JobDone, "", "好"},
		"做不成": {func(context.Context, *Run) ([]byte, error) { return []byte("一半"), failure("第 %d 行不对", 3) }, store.JobFailed, "第 3 行不对", "一半"},
		"内容不对": {func(context.Context, *Run) ([]byte, error) {
			return nil, &qingting.InputError{Code: "x", Message: "太长", Where: "text"}
		}, store.JobFailed, "text：太长", ""},
		"内部出错": {func(context.Context, *Run) ([]byte, error) { return nil, errors.New("客户原话") }, store.JobFailed, "任务执行时内部出错，请把任务编号告诉管理员", ""},
		"崩溃":   {func(context.Context, *Run) ([]byte, error) { panic("客户原话") }, store.JobFailed, "任务执行时内部出错，请把任务编号告诉管理员", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told sync.Map
			p, w := workAt(t, tt.run, func(o *Options) {
				o.Publish = func(e qingting.Event) { told.Store(e.Data.(store.Job).State, e.Tenant) }
			})
			j := p.put()
			defer start(w)()
			w.Wake()
			j = p.settled(j)
			require.Equal(t, tt.state, j.State)
			require.Equal(t, tt.says, j.Error)
			require.Equal(t, tt.result, string(j.Result))
			require.Eventually(t, func() bool { _, ok := told.Load(tt.state); return ok }, time.Second, time.Millisecond)
			if tt.state == store.JobDone {
				require.Equal(t, []int{3, 3, 1}, []int{j.Total, j.Done, j.Failed})
			}
		})
	}
}

func TestCancelEndsARun(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan bool), make(chan error, 1)
	p, w := workAt(t, func(ctx context.Context, _ *Run) ([]byte, error) {
		begun <- true
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	}, nil)
	j := p.put()
	defer start(w)()
	<-begun
	require.NoError(t, p.store.CancelJob(t.Context(), j.Tenant, j.ID))
	require.ErrorIs(t, <-ended, errTaken)
	require.Equal(t, store.JobCancelled, p.settled(j).State)
}

// TestAnotherWorkerGoesOn: a worker that stops beating, as a killed one does,
// loses its job when the lease ends, and cannot settle it afterwards.
func TestAnotherWorkerGoesOn(t *testing.T) {
	t.Parallel()
	p, w := workAt(t, func(_ context.Context, r *Run) ([]byte, error) {
		r.Report(10, 10, 0)
		return []byte("第二个"), nil
	}, nil)
	j := p.put()
	dead, err := p.store.ClaimJob(t.Context(), "test", time.Now(), 100*time.Millisecond)
	require.NoError(t, err)
	defer start(w)()
	j = p.settled(j)
	require.Equal(t, 2, j.Attempts)
	require.Equal(t, "第二个", string(j.Result))
	dead.State = store.JobDone
	require.ErrorIs(t, p.store.FinishJob(t.Context(), dead), store.ErrConflict)
}

// TestStopGivesTheJobBack: the next start need not wait for the lease.
func TestStopGivesTheJobBack(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	begun := make(chan bool, 2)
	p, w := workAt(t, func(ctx context.Context, r *Run) ([]byte, error) {
		begun <- true
		if runs.Add(1) > 1 {
			r.Report(10, 1, 0)
			if r.Job().Done != 7 {
				return nil, failure("进度退回到 %d", r.Job().Done)
			}
			return nil, nil
		}
		r.Report(10, 7, 0)
		<-ctx.Done()
		return nil, ctx.Err()
	}, func(o *Options) { o.Lease = time.Hour })
	j := p.put()
	stop := start(w)
	<-begun
	stop()
	kept, err := p.store.Job(t.Context(), j.Tenant, j.ID)
	require.NoError(t, err)
	require.Equal(t, store.JobRunning, kept.State)
	require.Equal(t, 7, kept.Done)
	again, err := NewWorker(p.store, w.runners, w.opt)
	require.NoError(t, err)
	defer start(again)()
	j = p.settled(j)
	require.Equal(t, store.JobDone, j.State, j.Error)
}

func TestAJobThatNeverEndsIsGivenUp(t *testing.T) {
	t.Parallel()
	p, w := workAt(t, func(context.Context, *Run) ([]byte, error) { return nil, nil }, func(o *Options) { o.Attempts = 2 })
	j := p.put()
	for range 2 {
		_, err := p.store.ClaimJob(t.Context(), "test", time.Now(), -time.Second)
		require.NoError(t, err)
	}
	defer start(w)()
	j = p.settled(j)
	require.Equal(t, store.JobFailed, j.State)
	require.Contains(t, j.Error, "很多次")
}

func TestWorkersAreChecked(t *testing.T) {
	for name, o := range map[string]Options{"租期太短": {Lease: time.Second, Beat: time.Second}, "负的": {Poll: -1}} {
		_, err := NewWorker(&store.Store{}, nil, o)
		require.Error(t, err, name)
	}
	_, err := NewWorker(nil, nil, Options{})
	require.Error(t, err)
	_, err = NewWorker(&store.Store{}, map[string]Runner{"x": nil}, Options{})
	require.Error(t, err)
}
