package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-sqlite3"
)

// Errors a caller branches on, beside qingting.ErrNotFound, ErrInvalid and
// ErrTooLarge. With every error nothing of the write has happened.
var (
	// ErrConflict is a write that contradicts what is kept: a message id with
	// another text, an alert that somebody changed meanwhile.
	ErrConflict = errors.New("conflict")
	// ErrStale is an analysis of an older version than the one that is kept.
	ErrStale = errors.New("older than what is kept")
	// ErrBusy is a full queue of writes; trying again later helps.
	ErrBusy = errors.New("too many writes are waiting")
	// ErrUnavailable is a file that cannot be written at present: locked by
	// another program, read-only, on a full disk, or closed. Reads may go on.
	ErrUnavailable = errors.New("the database cannot be written")
)

const (
	// queueLength is how many writes wait at most; beyond it they are refused.
	queueLength = 4096
	// batchLength is how many writes share a commit at most. One commit costs
	// as much as some hundred writes, so that more of them gain nothing and
	// only make the first ones wait.
	batchLength = 512
)

// request is one write on its way through the queue.
type request struct {
	run   func(*tx) error
	state atomic.Int32 // waiting until the committer or the caller takes it
	err   error        // of run
	done  chan error   // gets one value
}

const (
	requestWaiting int32 = iota
	requestTaken         // by the committer: it will be answered
	requestLeft          // by the caller: it will not run
)

// tx is the shared transaction as one write sees it.
type tx struct {
	conn *sql.Conn
	now  int64 // microseconds; greater than that of every write before
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	r, err := t.conn.ExecContext(context.Background(), query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// writer is the only one who writes. It takes what is waiting, runs it in one
// transaction and answers everybody after the commit: so that many writers
// share one synchronisation of the disk (group commit).
type writer struct {
	db    *sql.DB
	queue chan *request
	quit  chan struct{} // closed by close
	ended chan struct{} // closed when run returns
	once  sync.Once
	now   func() time.Time
	limit int // of a batch

	writes, failed, commits atomic.Int64
	largest                 atomic.Int64 // batch
}

func newWriter(db *sql.DB, now func() time.Time, limit int) *writer {
	w := &writer{
		db: db, now: now, limit: limit, queue: make(chan *request, queueLength),
		quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go w.run()
	return w
}

// close lets the waiting writes finish and refuses later ones.
func (w *writer) close() error {
	w.once.Do(func() { close(w.quit) })
	<-w.ended
	return w.db.Close()
}

// write runs f in the shared transaction and returns after the commit; with an
// error nothing of f has happened, whatever became of the others. f is
// called by another goroutine, but never after write has returned: when ctx
// ends while f waits it will not run at all, and once it runs its commit is
// waited for. f must not block, and it reads through its tx.
func (s *Store) write(ctx context.Context, f func(*tx) error) error {
	return s.enqueue(ctx, f, true)
}

// note is write for what its caller can do without: when ctx ends, note returns
// at once, even while f runs or its transaction waits for a lock, and f may
// have happened or happen yet. So f must not touch what its caller uses.
func (s *Store) note(ctx context.Context, f func(*tx) error) error {
	return s.enqueue(ctx, f, false)
}

func (s *Store) enqueue(ctx context.Context, f func(*tx) error, certain bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := s.writes
	r := &request{run: f, done: make(chan error, 1)}
	select {
	case <-w.quit:
		return fmt.Errorf("%w: it is closed", ErrUnavailable)
	default:
	}
	select {
	case w.queue <- r:
	default:
		return ErrBusy
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(requestWaiting, requestLeft) || !certain {
			return ctx.Err()
		}
		return <-r.done
	case <-w.ended: // it slipped in behind the last batch, or was in it
		if r.state.CompareAndSwap(requestWaiting, requestLeft) {
			return fmt.Errorf("%w: it is closed", ErrUnavailable)
		}
		return <-r.done
	}
}

func (w *writer) run() {
	defer close(w.ended)
	batch := make([]*request, 0, batchLength)
	// The latest time given to a write; times never repeat or go back, even
	// when the clock does, so that a list in order of time is complete.
	var last int64
	for {
		batch = batch[:0]
		select {
		case r := <-w.queue:
			batch = append(batch, r)
		case <-w.quit:
		}
	take:
		for len(batch) < w.limit {
			select {
			case r := <-w.queue:
				batch = append(batch, r)
			default:
				break take
			}
		}
		if len(batch) == 0 {
			return
		}
		w.commit(batch, &last)
		clear(batch)
	}
}

// commit runs a batch in one transaction and answers every request of it. When
// another program holds the lock until the wait for it is over, those who queue
// meanwhile have waited as well: they get the same answer, not a wait of their own.
func (w *writer) commit(batch []*request, last *int64) {
	taken := batch[:0:0]
	for _, r := range batch {
		if r.take() {
			taken = append(taken, r)
		}
	}
	if len(taken) == 0 {
		return
	}
	w.largest.Store(max(w.largest.Load(), int64(len(taken))))
	err := w.transact(taken, last)
	w.commits.Add(1)
	for _, r := range taken {
		w.answer(r, err)
	}
	if !isLocked(err) {
		return
	}
	for range len(w.queue) { // nobody else takes from it
		if r := <-w.queue; r.take() {
			w.answer(r, err)
		}
	}
}

func (r *request) take() bool { return r.state.CompareAndSwap(requestWaiting, requestTaken) }

// answer tells a request its own mistake, or else what became of its transaction.
func (w *writer) answer(r *request, err error) {
	if r.err != nil {
		err = r.err
	}
	if err == nil {
		w.writes.Add(1)
	} else {
		w.failed.Add(1)
	}
	r.done <- unavailable(err)
}

// isLocked reports that another program holds the lock of the file.
func isLocked(err error) bool {
	var lite sqlite3.Error
	return errors.As(err, &lite) && (lite.Code == sqlite3.ErrBusy || lite.Code == sqlite3.ErrLocked)
}

// transact runs the requests in one transaction. Each leaves its own mistake
// in its err; the error returned is that of all the others.
func (w *writer) transact(batch []*request, last *int64) (err error) {
	ctx := context.Background()
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// It fails when SQLite has rolled back by itself, which is as good.
			_, _ = conn.ExecContext(ctx, `ROLLBACK`)
		}
	}()
	t := &tx{conn: conn}
	for _, r := range batch {
		t.now = max(w.now().UnixMicro(), *last+1)
		*last = t.now
		if _, err := conn.ExecContext(ctx, `SAVEPOINT one`); err != nil {
			return err
		}
		if r.err = call(r.run, t); r.err != nil {
			if _, err := conn.ExecContext(ctx, `ROLLBACK TO one`); err != nil {
				// A full disk and the like end the whole transaction: what
				// the others wrote is gone as well.
				return errors.Join(r.err, err)
			}
		}
		if _, err := conn.ExecContext(ctx, `RELEASE one`); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, `COMMIT`)
	return err
}

// call contains a panic of f: it must not take everybody's writes along.
func call(f func(*tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while writing: %v\n%s", p, debug.Stack())
		}
	}()
	return f(t)
}

// unavailable marks the errors of SQLite that say that the file cannot be
// used at present, and leaves others alone.
func unavailable(err error) error {
	var lite sqlite3.Error
	if err == nil || errors.Is(err, ErrUnavailable) || !errors.As(err, &lite) {
		return err
	}
	switch lite.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrFull, sqlite3.ErrReadonly, sqlite3.ErrIoErr, sqlite3.ErrCantOpen,
		sqlite3.ErrPerm, sqlite3.ErrNomem, sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrProtocol:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// isTaken reports a broken UNIQUE or PRIMARY KEY.
func isTaken(err error) bool {
	var lite sqlite3.Error
	return errors.As(err, &lite) && (lite.ExtendedCode == sqlite3.ErrConstraintUnique || lite.ExtendedCode == sqlite3.ErrConstraintPrimaryKey)
}

// isOrphan reports a broken FOREIGN KEY: the conversation is not there.
func isOrphan(err error) bool {
	var lite sqlite3.Error
	return errors.As(err, &lite) && lite.ExtendedCode == sqlite3.ErrConstraintForeignKey
}

// found turns a statement that changed nothing into qingting.ErrNotFound.
func found(what string) func(int64, error) error {
	return func(n int64, err error) error {
		if err == nil && n == 0 {
			return notFound(what)
		}
		return err
	}
}
