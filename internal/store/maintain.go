package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Backup writes a copy of the database to a new file while others go on
// writing. Every write that was acknowledged before it began is in it. The
// file appears under its name when it is complete; one that exists is left
// alone.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("备份路径 %s 无法识别：%w", path, err)
	}
	if _, err := os.Lstat(absolute); err == nil {
		return fmt.Errorf("备份文件 %s 已经存在，请换一个文件名", absolute)
	}
	partial := absolute + ".partial"
	// Made here, so that nobody else can read it, and empty, which VACUUM wants.
	file, err := os.OpenFile(partial, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("备份文件 %s 写不了，请检查文件夹是否存在、可写，并删掉没写完的旧备份：%w", partial, err)
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	// A connection of its own: it reads for long and must not take one away
	// from the readers; and those may not write, not even another file.
	db, err := connect(s.path, "")
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, partial); err != nil {
		return fmt.Errorf("备份 %s 没有写成：%w", absolute, err)
	}
	if err := file.Sync(); err != nil {
		return err
	}
	// A link, unlike renaming, fails when the name was taken meanwhile.
	if err := os.Link(partial, absolute); err != nil {
		return err
	}
	if err := os.Remove(partial); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(absolute))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Check reads the whole file and says what is broken; nil is a sound one. It
// takes a while, and others go on meanwhile.
func (s *Store) Check(ctx context.Context) error {
	problems, err := list(ctx, s.reader, scanOf[string], `PRAGMA integrity_check`)
	if err != nil {
		return err
	}
	if len(problems) != 1 || problems[0] != "ok" {
		return fmt.Errorf("数据库 %s 已损坏，请用备份恢复：%s", s.path, strings.Join(problems, "；"))
	}
	orphans, err := list(ctx, s.reader, func(row scanner) (string, error) {
		var table, parent string
		var id sql.NullInt64
		var n int
		err := row.Scan(&table, &id, &parent, &n)
		return table + " → " + parent, err
	}, `PRAGMA foreign_key_check`)
	if err != nil {
		return err
	}
	if len(orphans) > 0 {
		return fmt.Errorf("数据库 %s 里有 %d 行失去了所属的记录，请用备份恢复：%s", s.path, len(orphans), orphans[0])
	}
	return nil
}

// Stats are figures for the metrics.
type Stats struct {
	FileBytes int64 // of the database file
	WALBytes  int64 // of the log of writes beside it
	FreeBytes int64 // inside the file, free to be used again
	Waiting   int   // writes in the queue
	Queue     int   // how many fit in
	Writes    int64 // acknowledged since the start, as are the next two
	Failed    int64 // refused or failed, those of a full queue not counted
	Commits   int64
	Largest   int64 // most writes that shared a commit
	Pending   int   // deliveries that wait
	Dead      int   // deliveries that were given up
}

const (
	pendingCountQuery = `SELECT count(*) FROM outbox WHERE state = 'pending'`
	deadCountQuery    = `SELECT count(*) FROM outbox WHERE state = 'dead' AND state <> 'pending'`
)

// Stats returns figures of the moment.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	w := s.writes
	out := Stats{
		Waiting: len(w.queue), Queue: cap(w.queue),
		Writes: w.writes.Load(), Failed: w.failed.Load(), Commits: w.commits.Load(), Largest: w.largest.Load(),
	}
	out.FileBytes, out.WALBytes = fileSize(s.path), fileSize(s.path+"-wal")
	var errs [4]error
	var pages, size int64
	pages, errs[0] = one(ctx, s.reader, "", scanOf[int64], `PRAGMA freelist_count`)
	size, errs[1] = one(ctx, s.reader, "", scanOf[int64], `PRAGMA page_size`)
	out.FreeBytes = pages * size
	out.Pending, errs[2] = one(ctx, s.reader, "", scanOf[int], pendingCountQuery)
	out.Dead, errs[3] = one(ctx, s.reader, "", scanOf[int], deadCountQuery)
	return out, errors.Join(errs[:]...)
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// forgetLength is how many rows one write forgets at most, so that those who
// wait behind it do not wait long.
const forgetLength = 1000

// disabledFor is how long items wait for an endpoint that is disabled, about
// as long as the schedule of deliveries goes on: then they are dead.
const disabledFor = 4 * 24 * time.Hour

// Forget deletes what nobody needs any more: replies to requests after 24
// hours, expired sessions and tickets, deliveries and jobs that were settled
// before a time, and deliveries that wait for an endpoint that is gone. Dead
// deliveries stay as long as their endpoint: they wait for a person. What has
// waited for a disabled endpoint for disabledFor is dead. It returns how many
// rows went or died.
func (s *Store) Forget(ctx context.Context, now, settled time.Time) (int, error) {
	if err := s.ForgetExpired(ctx, now); err != nil {
		return 0, err
	}
	total := 0
	for _, q := range forgetQueries(now, settled) {
		for {
			var n int64
			err := s.write(ctx, func(t *tx) (err error) {
				n, err = t.exec(q.query, append(slices.Clone(q.args), forgetLength)...)
				return err
			})
			if err != nil {
				return total, err
			}
			total += int(n)
			if n < forgetLength {
				break
			}
		}
	}
	return total, nil
}

// forgetQuery is a statement whose last argument, not among args, is how many
// rows it may touch.
type forgetQuery struct {
	query string
	args  []any
}

func forgetQueries(now, settled time.Time) []forgetQuery {
	const endpoint = `SELECT 1 FROM endpoints AS e WHERE e.tenant = outbox.tenant AND e.id = outbox.endpoint`
	return []forgetQuery{
		{`DELETE FROM idempotency WHERE rowid IN (SELECT rowid FROM idempotency WHERE begun_at <= ? LIMIT ?)`, []any{micros(now.Add(-idempotencyFor))}},
		{`DELETE FROM outbox WHERE rowid IN (SELECT rowid FROM outbox WHERE state <> 'pending' AND updated_at < ?
			AND (state = 'done' OR NOT EXISTS (` + endpoint + `)) LIMIT ?)`, []any{micros(settled)}},
		{`DELETE FROM outbox WHERE rowid IN (SELECT rowid FROM outbox WHERE state = 'pending' AND NOT EXISTS (` + endpoint + `) LIMIT ?)`, nil},
		{
			`UPDATE outbox SET state = 'dead', error = '接收地址已停用，过了重试期限，没有送达', updated_at = ? WHERE rowid IN (
			SELECT rowid FROM outbox WHERE state = 'pending' AND created_at < ? AND EXISTS (` + endpoint + ` AND e.disabled <> 0) LIMIT ?)`,
			[]any{micros(now), micros(now.Add(-disabledFor))},
		},
		{`DELETE FROM jobs WHERE rowid IN (SELECT rowid FROM jobs WHERE state NOT IN ('queued', 'running') AND updated_at < ? LIMIT ?)`, []any{micros(settled)}},
	}
}
