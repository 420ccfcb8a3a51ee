package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"
)

// CheckFile reads a whole database file, a backup for example, and says in
// Chinese what is wrong with it; nil is a sound one of this program. It writes
// nothing into the file and brings it to no other layout.
func CheckFile(ctx context.Context, path string) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("数据库路径 %s 无法识别：%w", path, err)
	}
	info, err := os.Stat(absolute)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("找不到数据库 %s，请检查路径", path)
	case err != nil:
		return fmt.Errorf("读不了数据库 %s，请检查权限：%w", path, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s 不是一个文件，请给出数据库或备份的文件名", path)
	case info.Size() == 0:
		return fmt.Errorf("%s 是空文件，不是备份，请重新备份", path)
	}
	// A backup stands alone and nobody writes to it: SQLite then leaves no file
	// beside it either. The database of a running service is its log as well.
	query := "mode=ro&_query_only=on&_busy_timeout=5000"
	if _, err := os.Stat(absolute + "-wal"); errors.Is(err, fs.ErrNotExist) {
		query += "&immutable=1"
	}
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(absolute)}).EscapedPath(), RawQuery: query}
	db, err := sqlx.Open("sqlite3", name.String())
	if err != nil {
		return explain(absolute, err)
	}
	defer db.Close()
	if err := ours(ctx, db, absolute); err != nil {
		return err
	}
	if err := (&Store{path: absolute, reader: db}).Check(ctx); err != nil {
		var lite sqlite3.Error
		if errors.As(err, &lite) {
			return explain(absolute, err)
		}
		return err
	}
	return nil
}

// ours reports a file that is none of this program, or of a newer one.
func ours(ctx context.Context, db *sqlx.DB, absolute string) error {
	var tables int
	if err := db.GetContext(ctx, &tables, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('goose_db_version', 'cases')`); err != nil {
		return explain(absolute, err)
	}
	if tables < 2 {
		return fmt.Errorf("%s 不是倾听的数据库，请检查是不是拿错了文件", absolute)
	}
	var version, newest int
	if err := db.GetContext(ctx, &version, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`); err != nil {
		return explain(absolute, err)
	}
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("migration %s has no number: %w", f.Name(), err)
		}
		newest = max(newest, n)
	}
	if version > newest {
		return explain(absolute, errNewer)
	}
	return nil
}
