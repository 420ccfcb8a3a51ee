// Package store keeps what must outlive the program in one SQLite file.
package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is an open database. One connection writes: whoever wants to write
// queues here instead of failing there, and those who wait together share a
// commit. Several connections read, and never wait for the writer. A method
// that writes has written when it returns nil: the commit is on the disk.
//
// Everything belongs to a tenant; what is another tenant's does not exist. A
// Store may be used concurrently.
type Store struct {
	path   string
	writer *sqlx.DB // of writes alone
	writes *writer
	reader *sqlx.DB
	now    func() time.Time
}

// Options change how a Store works; the zero value is good.
type Options struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Open opens the file, creates it with its folder when it is missing, and
// brings it to the present layout. The error is a Chinese sentence that names
// the file and what to do.
func Open(ctx context.Context, path string) (*Store, error) { return OpenWith(ctx, path, Options{}) }

// OpenWith is Open with options.
func OpenWith(ctx context.Context, path string, o Options) (*Store, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("数据库路径 %s 无法识别：%w", path, err)
	}
	if info, err := os.Stat(absolute); err == nil && info.IsDir() {
		return nil, explain(absolute, errFolder)
	}
	if err := os.MkdirAll(filepath.Dir(absolute), 0o700); err != nil {
		return nil, explain(absolute, err)
	}
	// Made here, so that nobody else can read it; SQLite gives its other files
	// the same mode. One that is there must not be opened: closing it would drop
	// the locks that this process holds on it. SQLite says why it cannot be made.
	if file, err := os.OpenFile(absolute, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err == nil {
		_ = file.Close()
	}
	writer, err := connect(absolute, writerOptions)
	if err != nil {
		return nil, explain(absolute, err)
	}
	writer.SetMaxOpenConns(1)
	err = migrate(ctx, writer)
	if err == nil {
		_, err = writer.ExecContext(ctx, checkpointEvery)
	}
	if err != nil {
		return nil, explain(absolute, errors.Join(err, writer.Close()))
	}
	reader, err := connect(absolute, "&_query_only=on&_stmt_cache_size=64")
	if err != nil {
		return nil, explain(absolute, errors.Join(err, writer.Close()))
	}
	reader.SetMaxOpenConns(max(4, runtime.GOMAXPROCS(0)))
	reader.SetMaxIdleConns(max(4, runtime.GOMAXPROCS(0)))
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{path: absolute, writer: writer, writes: newWriter(writer.DB, o.Now, batchLength), reader: reader, now: o.Now}, nil
}

// Close refuses new writes, finishes those that wait, and closes the file.
func (s *Store) Close() error {
	return errors.Join(s.writes.close(), s.reader.Close())
}

// writerOptions give the writer 64 MiB of pages: with SQLite's 2 MiB the pages
// of some hundred conversations push each other out.
const writerOptions = "&_txlock=immediate&_stmt_cache_size=128&_cache_size=-65536"

// checkpointEvery lets the log of writes grow to 16 MiB instead of 4 before its
// pages are copied into the file: those of live conversations are then copied
// once for many writes, 15 % more of which fit into a second.
const checkpointEvery = `PRAGMA wal_autocheckpoint = 4000`

// connect opens a pool. WAL lets readers go on beside the writer;
// synchronous=FULL makes a commit survive a loss of power.
func connect(absolute, extra string) (*sqlx.DB, error) {
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(absolute)}).EscapedPath()}
	name.RawQuery = "_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_foreign_keys=on" + extra
	return sqlx.Open("sqlite3", name.String())
}

var (
	errNewer  = errors.New("database is newer than the program")
	errFolder = errors.New("database path is a folder")
)

// migrate brings a database to the present layout. Two programs that open a
// new file at once get into each other's way: the later one finds the tables
// made, or the file locked while the other switches it to WAL, for which SQLite
// does not wait; it looks again. A lock that SQLite did wait for is final.
func migrate(ctx context.Context, db *sqlx.DB) error {
	began := time.Now()
	for try := 0; ; try++ {
		err := migrateOnce(ctx, db)
		var lite sqlite3.Error
		if !errors.As(err, &lite) || try == 20 {
			return err
		}
		locked := (lite.Code == sqlite3.ErrBusy || lite.Code == sqlite3.ErrLocked) && time.Since(began) < time.Second
		if lite.Code != sqlite3.ErrError && !locked {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func migrateOnce(ctx context.Context, db *sqlx.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db.DB, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return errNewer
	}
	_, err = p.Up(ctx)
	return err
}

// explain says in Chinese why the file cannot be used. The cause stays inside
// for errors.Is.
func explain(path string, err error) error {
	what := "打不开，请检查路径"
	var lite sqlite3.Error
	switch {
	case errors.Is(err, errNewer):
		what = "是更新版本的程序写的，请升级 qingting，或换一个数据文件"
	case errors.Is(err, errFolder):
		what = "是一个文件夹，请给出文件名"
	case errors.Is(err, fs.ErrPermission):
		what = "所在的文件夹不可写，请换一个可写的文件夹，或给运行程序的用户加上写权限"
	case errors.As(err, &lite):
		switch lite.Code {
		case sqlite3.ErrReadonly, sqlite3.ErrCantOpen, sqlite3.ErrPerm:
			what = "所在的文件夹不可写，请换一个可写的文件夹，或给运行程序的用户加上写权限"
		case sqlite3.ErrNotADB, sqlite3.ErrCorrupt:
			what = "不是完好的数据库文件，请换一个文件，或用备份恢复"
		case sqlite3.ErrFull:
			what = "所在的磁盘已满，请腾出空间"
		case sqlite3.ErrBusy, sqlite3.ErrLocked:
			what = "正被另一个程序占用，请先停掉它"
		}
	}
	return &OpenError{Path: path, Message: what, cause: err}
}

// OpenError is a database file that cannot be used.
type OpenError struct {
	Path    string
	Message string // Chinese: why and what to do
	cause   error
}

func (e *OpenError) Error() string { return fmt.Sprintf("数据库 %s %s", e.Path, e.Message) }

func (e *OpenError) Unwrap() error { return e.cause }
