package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func TestCheckFile(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	path := filepath.Join(dir, "q.db")
	s := open(t, path)
	say(t, s, qingting.Key{Tenant: qingting.DefaultTenant, ID: "c1"}, message("m1", 1, "壶漏水"))
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.EqualValues(t, 0o600, info.Mode().Perm(), name)
	}
	require.NoError(t, CheckFile(ctx, path), "while it is written")

	alone := t.TempDir()
	backup := filepath.Join(alone, "备份 1%.db")
	require.NoError(t, s.Backup(ctx, backup))
	before, err := os.ReadFile(backup)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(backup, 0o400))
	require.NoError(t, CheckFile(ctx, backup))
	after, err := os.ReadFile(backup)
	require.NoError(t, err)
	require.Equal(t, before, after)
	files, err := os.ReadDir(alone)
	require.NoError(t, err)
	require.Len(t, files, 1, "nothing is left beside it")

	make := func(name string, content []byte) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(file, content, 0o600))
		return file
	}
	changed := func(statement string) string {
		t.Helper()
		file := make("改过.db", before)
		db, err := sqlx.Open("sqlite3", file)
		require.NoError(t, err)
		_, err = db.ExecContext(context.Background(), statement)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		return file
	}
	broken := append([]byte{}, before...)
	for i := 4096 + 200; i < len(broken); i += 512 {
		copy(broken[i:], "乱乱乱乱乱乱乱乱")
	}
	foreign := filepath.Join(t.TempDir(), "别的.db")
	db, err := sqlx.Open("sqlite3", foreign)
	require.NoError(t, err)
	_, err = db.ExecContext(ctx, `CREATE TABLE cases (id)`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	for name, c := range map[string]struct{ file, want string }{
		"没有":    {filepath.Join(alone, "none.db"), "找不到数据库"},
		"文件夹":   {alone, "不是一个文件"},
		"空文件":   {make("空.db", nil), "是空文件"},
		"不是数据库": {make("文本.db", []byte("不是数据库，只是一段足够长的文字，只是一段足够长的文字，只是一段足够长的文字")), "不是完好的数据库文件"},
		"半个":    {make("半.db", before[:len(before)/2]), "数据库"},
		"坏了":    {make("坏.db", broken), "数据库"},
		"别的程序的": {foreign, "不是倾听的数据库"},
		"更新的版本": {changed(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`), "更新版本的程序"},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorContains(t, CheckFile(ctx, c.file), c.want) })
	}
	require.NoFileExists(t, filepath.Join(alone, "none.db"))
}
