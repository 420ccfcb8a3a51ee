package store

import (
	"context"
	"database/sql"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// at makes a database of an earlier version.
func at(t *testing.T, path string, version int64) *sql.DB {
	t.Helper()
	db := mustConnect(t, path)
	files, err := fs.Sub(migrations, "migrations")
	require.NoError(t, err)
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = p.UpTo(context.Background(), version)
	require.NoError(t, err)
	return db
}

// fill1 puts into a database of version 1 what a user of it may have.
func fill1(t *testing.T, db *sql.DB) {
	t.Helper()
	_, err := db.Exec(`INSERT INTO cases (id, title, type, industry, product, scene, problem, solution, steps, owner, outcome, hours, cost,
		satisfaction, reopened, style, remedy, lesson, source, closed_at, vector, vector_from, created_at, updated_at, version)
		VALUES ('c1', '会员自动续费没有提醒', 'price.hidden_fee', '电商', '视频会员 VIP', '免费试用到期', '试用七天,第八天就扣了我25块😡', '退回 25 元并关闭续费',
		'["核对扣费记录","当天原路退款"]', '客服专员', 'resolved', 3.5, 25, 4, 1, 'mixed', 'refund', '到期前三天发短信', 'starter', 1772600767000008,
		x'9a99193fcdcc4cbf', 'bge/1', 1772600000000000, 1772600000000001, 3)`)
	require.NoError(t, err)
	_, err = db.Exec(`INSERT INTO seeded_cases (id, seeded_at) VALUES ('c1', 1), ('deleted', 1)`)
	require.NoError(t, err)
}

// check1 looks whether it is still there.
func check1(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	cases := s.CasesOf(qingting.DefaultTenant)
	got, err := cases.GetCase(ctx, "c1")
	require.NoError(t, err)
	want := fullCase("c1")
	require.Equal(t, want, got.Case)
	require.Equal(t, 3, got.Version)
	require.EqualValues(t, 1772600000000001, got.Updated.UnixMicro())
	n, err := cases.SeedCases(ctx, []qingting.Case{{ID: "deleted"}, {ID: "c1"}})
	require.NoError(t, err)
	require.Zero(t, n, "what was deleted stays deleted")
	_, total, err := s.CasesOf("another").ListCases(ctx, qingting.CaseFilter{}, 0, 0)
	require.NoError(t, err)
	require.Zero(t, total)
}

func TestUpgrade(t *testing.T) {
	ctx := context.Background()
	t.Run("from 1", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "q.db")
		db := at(t, path, 1)
		fill1(t, db)
		require.NoError(t, db.Close())
		s := open(t, path)
		check1(t, s)
		require.NoError(t, s.Check(ctx))
		plant(t, s, "t", "随后") // and everything new works in it
	})
	// A database of the present version is opened as it is. A later migration
	// gets its own line here, from this version, with the data of plant.
	t.Run("from 2", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "q.db")
		db := at(t, path, 1)
		fill1(t, db)
		require.NoError(t, db.Close())
		require.NoError(t, at(t, path, 2).Close())
		s, err := Open(ctx, path)
		require.NoError(t, err)
		plant(t, s, "t", "在 2 里写的")
		var before []any
		for _, r := range reads() {
			got, err := r.do(s, "t")
			require.NoError(t, err)
			before = append(before, got)
		}
		require.NoError(t, s.Close())
		s = open(t, path)
		check1(t, s)
		for i, r := range reads() {
			got, err := r.do(s, "t")
			require.NoError(t, err)
			require.Equal(t, before[i], got, r.method)
		}
	})
	t.Run("every version is tested", func(t *testing.T) {
		files, err := fs.ReadDir(migrations, "migrations")
		require.NoError(t, err)
		require.Len(t, files, 2, "add the upgrade from the version before")
	})
}
