package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/qingting-ai/qingting"
)

// JobState is how a job stands.
type JobState string

// The states of a job.
const (
	JobQueued    JobState = "queued"
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Job is work that takes longer than a request: an import, an evaluation.
type Job struct {
	Tenant   string    `json:"-"`
	ID       string    `json:"id"` // given by the store when empty
	Kind     string    `json:"kind"`
	State    JobState  `json:"state"`
	Request  []byte    `json:"-"` // what is to be done; what it holds depends on Kind
	Result   []byte    `json:"-"` // the same of what came out
	Error    string    `json:"error,omitempty"`
	Total    int       `json:"total"`  // 0 while unknown
	Done     int       `json:"done"`   // of Total, failed ones too
	Failed   int       `json:"failed"` // of Done
	Attempts int       `json:"attempts"`
	By       string    `json:"by,omitempty"`
	Created  time.Time `json:"created_at"`
	Updated  time.Time `json:"updated_at"`
}

const jobColumns = `tenant, id, kind, state, request, result, error, total, done, failed, attempts, put_by, created_at, updated_at`

func scanJob(row scanner) (j Job, err error) {
	var created, updated int64
	err = row.Scan(&j.Tenant, &j.ID, &j.Kind, &j.State, &j.Request, &j.Result, &j.Error, &j.Total, &j.Done, &j.Failed, &j.Attempts,
		&j.By, &created, &updated)
	j.Created, j.Updated = fromMicros(created), fromMicros(updated)
	return j, err
}

// PutJob queues a new job and returns it. An ID that is taken is ErrConflict.
func (s *Store) PutJob(ctx context.Context, j Job) (Job, error) {
	if j.ID == "" {
		j.ID = qingting.NewID("jb")
	}
	j.State, j.Result, j.Error, j.Done, j.Failed, j.Attempts = JobQueued, []byte{}, "", 0, 0, 0
	j.Request = notNull(j.Request)
	err := s.write(ctx, func(t *tx) error {
		j.Created, j.Updated = fromMicros(t.now), fromMicros(t.now)
		_, err := t.exec(`INSERT INTO jobs (`+jobColumns+`, lease_at) VALUES (?, ?, ?, ?, ?, ?, '', ?, 0, 0, 0, ?, ?, ?, 0)`,
			j.Tenant, j.ID, j.Kind, string(j.State), j.Request, j.Result, j.Total, j.By, t.now, t.now)
		if isTaken(err) {
			return fmt.Errorf("%w: 这个编号的任务已存在", ErrConflict)
		}
		return err
	})
	if err != nil {
		return Job{}, err
	}
	return j, nil
}

const (
	// A running job whose lease has ended was left by a process that died.
	waitingJobQuery = `SELECT ` + jobColumns + ` FROM jobs WHERE state IN ('queued', 'running') AND lease_at <= ? AND kind = ?
	ORDER BY created_at, id LIMIT 1`
	claimJobQuery = `UPDATE jobs SET state = 'running', attempts = ?, lease_at = ?, updated_at = ? WHERE tenant = ? AND id = ?`
)

// ClaimJob takes the oldest waiting job of a kind, of any tenant, until the
// lease ends; JobProgress prolongs it. A job whose lease ended waits again.
// Nothing to do is qingting.ErrNotFound.
func (s *Store) ClaimJob(ctx context.Context, kind string, now time.Time, lease time.Duration) (Job, error) {
	// Most of the time nothing waits, and a look costs no commit.
	if _, err := one(ctx, s.reader, "样的任务", scanJob, waitingJobQuery, micros(now), kind); err != nil {
		return Job{}, err
	}
	var out Job
	err := s.write(ctx, func(t *tx) (err error) {
		if out, err = one(context.Background(), t.conn, "样的任务", scanJob, waitingJobQuery, micros(now), kind); err != nil {
			return err
		}
		out.State, out.Attempts, out.Updated = JobRunning, out.Attempts+1, fromMicros(t.now)
		_, err = t.exec(claimJobQuery, out.Attempts, micros(now.Add(lease)), t.now, out.Tenant, out.ID)
		return err
	})
	if err != nil {
		return Job{}, err
	}
	return out, nil
}

// JobProgress notes Total, Done and Failed of a claimed job and prolongs its
// lease. ErrConflict says, here and in FinishJob, that the job is not this
// claim's any more: it was cancelled, or taken over after the lease.
func (s *Store) JobProgress(ctx context.Context, j Job, now time.Time, lease time.Duration) error {
	return s.write(ctx, func(t *tx) error {
		return owned(t.exec(`UPDATE jobs SET total = ?, done = ?, failed = ?, lease_at = ?, updated_at = ?
			WHERE tenant = ? AND id = ? AND state = 'running' AND attempts = ?`,
			j.Total, j.Done, j.Failed, micros(now.Add(lease)), t.now, j.Tenant, j.ID, j.Attempts))
	})
}

// FinishJob settles a claimed job: State, Result, Error and the counts.
func (s *Store) FinishJob(ctx context.Context, j Job) error {
	if j.State != JobDone && j.State != JobFailed && j.State != JobCancelled {
		return fmt.Errorf("finish job: %q is no final state", j.State)
	}
	return s.write(ctx, func(t *tx) error {
		return owned(t.exec(`UPDATE jobs SET state = ?, result = ?, error = ?, total = ?, done = ?, failed = ?, updated_at = ?
			WHERE tenant = ? AND id = ? AND state = 'running' AND attempts = ?`,
			string(j.State), notNull(j.Result), j.Error, j.Total, j.Done, j.Failed, t.now, j.Tenant, j.ID, j.Attempts))
	})
}

func owned(n int64, err error) error {
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: the job was cancelled or taken over", ErrConflict)
	}
	return err
}

// CancelJob ends a job that waits or runs; who runs it learns of it from
// JobProgress. One that is settled is ErrConflict.
func (s *Store) CancelJob(ctx context.Context, tenant, id string) error {
	return s.write(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE jobs SET state = 'cancelled', updated_at = ? WHERE tenant = ? AND id = ? AND state IN ('queued', 'running')`, t.now, tenant, id)
		if err != nil || n > 0 {
			return err
		}
		if _, err := one(context.Background(), t.conn, "个任务", scanOf[int], `SELECT 1 FROM jobs WHERE tenant = ? AND id = ?`, tenant, id); err != nil {
			return err
		}
		return fmt.Errorf("%w: 任务已经结束", ErrConflict)
	})
}

// Job returns a job, or qingting.ErrNotFound.
func (s *Store) Job(ctx context.Context, tenant, id string) (Job, error) {
	return one(ctx, s.reader, "个任务", scanJob, `SELECT `+jobColumns+` FROM jobs WHERE tenant = ? AND id = ?`, tenant, id)
}

const jobsQuery = `SELECT ` + jobColumns + ` FROM jobs`

// Jobs returns a page of the jobs of a tenant, of one kind unless it is "", by
// (Created, ID), newest first, and the cursor of the next page, "" at the end.
// The limit is at most 500; 0 means 500.
func (s *Store) Jobs(ctx context.Context, tenant, kind, cursor string, limit int) ([]Job, string, error) {
	var w where
	w.add(`tenant = ?`, tenant)
	if kind != "" {
		w.add(`kind = ?`, kind)
	}
	if err := w.behind(`created_at`, cursor, false); err != nil {
		return nil, "", err
	}
	return page(ctx, s.reader, limit, scanJob, func(j Job) (int64, string) { return micros(j.Created), j.ID },
		jobsQuery+w.String()+` ORDER BY created_at DESC, id DESC LIMIT ?`, w.args...)
}

// IdempotencyKey names a request that may be sent again: the header
// Idempotency-Key of one principal.
type IdempotencyKey struct {
	Tenant    string
	Principal string
	Key       string
}

// IdempotencyState says what a request with a key is.
type IdempotencyState string

// The states: a new request is to be carried out and then finished or
// forgotten; the reply of a stored one is sent again; one is in flight while
// the first is carried out; a mismatch has the key of another body.
const (
	IdempotencyNew      IdempotencyState = "new"
	IdempotencyStored   IdempotencyState = "stored"
	IdempotencyInFlight IdempotencyState = "in_flight"
	IdempotencyMismatch IdempotencyState = "mismatch"
)

const (
	// idempotencyFor is how long a reply is kept.
	idempotencyFor = 24 * time.Hour
	// flightFor is how long a request may be in flight. Handlers end after 10
	// seconds; what is older was left by a process that died.
	flightFor = time.Minute
)

// StoredReply is the answer to the first request of a key.
type StoredReply struct {
	Status int
	Body   []byte
}

// BeginIdempotent takes a key for a request with the given body hash.
func (s *Store) BeginIdempotent(ctx context.Context, k IdempotencyKey, bodyHash []byte, now time.Time) (IdempotencyState, StoredReply, error) {
	var state IdempotencyState
	var reply StoredReply
	err := s.write(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM idempotency WHERE tenant = ? AND principal = ? AND key = ? AND (begun_at <= ? OR status = 0 AND begun_at <= ?)`,
			k.Tenant, k.Principal, k.Key, micros(now.Add(-idempotencyFor)), micros(now.Add(-flightFor)))
		if err != nil {
			return err
		}
		var hash []byte
		err = t.conn.QueryRowContext(context.Background(), `SELECT body_hash, status, reply FROM idempotency WHERE tenant = ? AND principal = ? AND key = ?`,
			k.Tenant, k.Principal, k.Key).Scan(&hash, &reply.Status, &reply.Body)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			state = IdempotencyNew
			_, err := t.exec(`INSERT INTO idempotency (tenant, principal, key, body_hash, status, begun_at) VALUES (?, ?, ?, ?, 0, ?)`,
				k.Tenant, k.Principal, k.Key, notNull(bodyHash), micros(now))
			return err
		case err != nil:
			return err
		case string(hash) != string(bodyHash):
			state, reply = IdempotencyMismatch, StoredReply{}
		case reply.Status == 0:
			state, reply = IdempotencyInFlight, StoredReply{}
		default:
			state = IdempotencyStored
		}
		return nil
	})
	if err != nil {
		return "", StoredReply{}, err
	}
	return state, reply, nil
}

// FinishIdempotent keeps the reply to the first request of a key. The status
// must not be 0.
func (s *Store) FinishIdempotent(ctx context.Context, k IdempotencyKey, reply StoredReply) error {
	if reply.Status == 0 {
		return errors.New("finish idempotent request: no status")
	}
	return s.write(ctx, func(t *tx) error {
		return found("个幂等键")(t.exec(`UPDATE idempotency SET status = ?, reply = ? WHERE tenant = ? AND principal = ? AND key = ?`,
			reply.Status, notNull(reply.Body), k.Tenant, k.Principal, k.Key))
	})
}

// ForgetIdempotent gives a key free whose request failed, so that it can be
// sent again. A finished one stays.
func (s *Store) ForgetIdempotent(ctx context.Context, k IdempotencyKey) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM idempotency WHERE tenant = ? AND principal = ? AND key = ? AND status = 0`, k.Tenant, k.Principal, k.Key)
		return err
	})
}
