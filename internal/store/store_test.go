package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// When the test binary is started as a helper process it does one job on a
// file and never returns to the tests.
func TestMain(m *testing.M) {
	switch path := os.Getenv("QINGTING_STORE_TEST_FILE"); os.Getenv("QINGTING_STORE_TEST_JOB") {
	case "":
		os.Exit(m.Run())
	case "append":
		fmt.Fprintln(os.Stderr, appendForever(path, os.Getenv("QINGTING_STORE_TEST_ROUND")))
		os.Exit(1)
	case "open":
		s, err := Open(context.Background(), path)
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		s.Close()
		os.Exit(0)
	}
}

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(context.Background(), path)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func fullCase(id string) qingting.Case {
	return qingting.Case{
		ID: id, Title: "会员自动续费没有提醒", Type: qingting.TypeHiddenFee, Industry: "电商", Product: "视频会员 VIP",
		Scene: "免费试用到期", Problem: "试用七天,第八天就扣了我25块😡", Solution: "退回 25 元并关闭续费",
		Steps: []string{"核对扣费记录", "当天原路退款"}, Owner: "客服专员", Outcome: qingting.CaseResolved,
		Hours: 3.5, Cost: 25, Satisfied: 4, Reopened: true, Style: qingting.StyleMixed, Remedy: qingting.RemedyRefund,
		Lesson: "到期前三天发短信", Source: "starter", ClosedAt: time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC),
		Vector: qingting.Vector{0.6, -0.8}, VectorFrom: "bge/1",
	}
}

func TestCaseSurvivesRestart(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "数据 库?#%1", "案例.db") // created with its folder
	s, err := Open(ctx, path)
	require.NoError(t, err)
	bare := qingting.Case{ID: "空", Title: "''; DROP TABLE cases; --", Problem: "x"}
	require.NoError(t, s.CasesOf("t").PutCases(ctx, []qingting.Case{fullCase("c1"), bare}))
	require.NoError(t, s.Close())
	require.FileExists(t, path)

	s = open(t, path)
	got, err := s.CasesOf("t").GetCase(ctx, "c1")
	require.NoError(t, err)
	require.Equal(t, fullCase("c1"), got.Case)
	require.Equal(t, 1, got.Version)
	require.WithinDuration(t, time.Now(), got.Created, time.Minute)
	require.Equal(t, got.Created, got.Updated)
	got, err = s.CasesOf("t").GetCase(ctx, "空")
	require.NoError(t, err)
	require.Equal(t, bare, got.Case)

	changed := fullCase("c1")
	changed.Title, changed.Steps, changed.Vector, changed.VectorFrom = "改了", nil, nil, ""
	require.NoError(t, s.CasesOf("t").PutCases(ctx, []qingting.Case{changed}))
	after, err := s.CasesOf("t").GetCase(ctx, "c1")
	require.NoError(t, err)
	require.Equal(t, changed, after.Case)
	require.Equal(t, 2, after.Version)
	require.False(t, after.Updated.Before(after.Created))

	require.NoError(t, s.CasesOf("t").DeleteCase(ctx, "c1"))
	require.ErrorIs(t, s.CasesOf("t").DeleteCase(ctx, "c1"), qingting.ErrNotFound)
	_, err = s.CasesOf("t").GetCase(ctx, "c1")
	require.ErrorIs(t, err, qingting.ErrNotFound)
	require.ErrorContains(t, err, "没有编号为")
}

func TestListCases(t *testing.T) {
	ctx := context.Background()
	s := open(t, filepath.Join(t.TempDir(), "q.db"))
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	cases := []qingting.Case{
		{ID: "a", Type: qingting.TypeQuality, Outcome: qingting.CaseResolved, Industry: "家电", Product: "智能冰箱", ClosedAt: day(1)},
		{ID: "b", Type: qingting.TypeQuality, Outcome: qingting.CaseFailed, Industry: " 家电 ", Product: "冰箱", ClosedAt: day(2)},
		{ID: "c", Type: qingting.TypeDelay, Outcome: qingting.CaseResolved, Industry: "电商", Product: "iPhone 壳", ClosedAt: day(3)},
		{ID: "d", Type: qingting.TypeNoise, Outcome: qingting.CaseResolved},
	}
	require.NoError(t, s.CasesOf("t").PutCases(ctx, cases))
	for _, tt := range []struct {
		name          string
		filter        qingting.CaseFilter
		offset, limit int
		want          string
		total         int
	}{
		{"all", qingting.CaseFilter{}, 0, 0, "abcd", 4},
		{"second page", qingting.CaseFilter{}, 2, 1, "c", 4},
		{"beyond the end", qingting.CaseFilter{}, 9, 5, "", 4},
		{"negative offset", qingting.CaseFilter{}, -1, 1, "a", 4},
		{"types", qingting.CaseFilter{Types: []qingting.Type{qingting.TypeDelay, qingting.TypeNoise}}, 0, 0, "cd", 2},
		{"outcome", qingting.CaseFilter{Outcomes: []qingting.CaseOutcome{qingting.CaseFailed}}, 0, 0, "b", 1},
		{"industry", qingting.CaseFilter{Industry: "家电"}, 0, 0, "ab", 2},
		{"product contains", qingting.CaseFilter{Product: "冰箱"}, 0, 0, "ab", 2},
		{"product ignores case", qingting.CaseFilter{Product: "IPHONE"}, 0, 0, "c", 1},
		{"from is inside", qingting.CaseFilter{From: day(2)}, 0, 0, "bc", 2},
		{"to is outside, never closed is left out", qingting.CaseFilter{To: day(2)}, 0, 0, "a", 1},
		{"together", qingting.CaseFilter{Types: []qingting.Type{qingting.TypeQuality}, Outcomes: []qingting.CaseOutcome{qingting.CaseResolved}, Product: "箱"}, 0, 9, "a", 1},
		{"a quote is data", qingting.CaseFilter{Industry: "' OR 1=1 --"}, 0, 0, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, total, err := s.CasesOf("t").ListCases(ctx, tt.filter, tt.offset, tt.limit)
			require.NoError(t, err)
			ids := ""
			for _, c := range got {
				ids += c.ID
			}
			require.Equal(t, tt.want, ids)
			require.Equal(t, tt.total, total)
		})
	}
	var ids string
	require.NoError(t, s.CasesOf("t").EachCase(ctx, func(c qingting.Case) error { ids += c.ID; return nil }))
	require.Equal(t, "abcd", ids)
	stop := errors.New("stop")
	require.ErrorIs(t, s.CasesOf("t").EachCase(ctx, func(qingting.Case) error { return stop }), stop)
}

func TestSeededCaseDoesNotComeBack(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "q.db")
	s := open(t, path)
	own := qingting.Case{ID: "s3", Title: "我自己写的"}
	require.NoError(t, s.CasesOf("t").PutCases(ctx, []qingting.Case{own}))
	seed := []qingting.Case{fullCase("s1"), fullCase("s2"), fullCase("s3")}
	n, err := s.CasesOf("t").SeedCases(ctx, seed)
	require.NoError(t, err)
	require.Equal(t, 2, n, "a case of one's own with the same ID stays")
	require.NoError(t, s.CasesOf("t").DeleteCase(ctx, "s1"))
	require.NoError(t, s.CasesOf("t").DeleteCase(ctx, "s3"))
	edited := fullCase("s2")
	edited.Title = "改过的标题"
	require.NoError(t, s.CasesOf("t").PutCases(ctx, []qingting.Case{edited}))
	require.NoError(t, s.Close())

	s = open(t, path)
	n, err = s.CasesOf("t").SeedCases(ctx, append(seed, fullCase("s4"))) // a later version brings one more
	require.NoError(t, err)
	require.Equal(t, 1, n)
	all, total, err := s.CasesOf("t").ListCases(ctx, qingting.CaseFilter{}, 0, 0)
	require.NoError(t, err)
	require.Equal(t, 2, total)
	require.Equal(t, "改过的标题", all[0].Title)
	require.Equal(t, "s4", all[1].ID)
}

func TestSetCaseVectors(t *testing.T) {
	ctx := context.Background()
	s := open(t, filepath.Join(t.TempDir(), "q.db"))
	require.NoError(t, s.CasesOf("t").PutCases(ctx, []qingting.Case{fullCase("a"), fullCase("b")}))
	require.NoError(t, s.CasesOf("t").SetCaseVectors(ctx, "bge/2", []string{"b", "gone"}, []qingting.Vector{{1, 0, 0}, {0, 1, 0}}))
	b, err := s.CasesOf("t").GetCase(ctx, "b")
	require.NoError(t, err)
	require.Equal(t, qingting.Vector{1, 0, 0}, b.Vector)
	require.Equal(t, "bge/2", b.VectorFrom)
	require.Equal(t, 1, b.Version, "a vector is derived: the case did not change")
	a, err := s.CasesOf("t").GetCase(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "bge/1", a.VectorFrom)
	_, err = s.CasesOf("t").GetCase(ctx, "gone")
	require.ErrorIs(t, err, qingting.ErrNotFound)
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	ctx := context.Background()
	s := open(t, filepath.Join(t.TempDir(), "q.db"))
	_, err := s.writer.Exec(`CREATE TRIGGER refuse BEFORE INSERT ON cases WHEN new.id = 'bad' BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	require.NoError(t, err)
	require.ErrorContains(t, s.CasesOf("t").PutCases(ctx, []qingting.Case{fullCase("good"), fullCase("bad")}), "refused")
	_, err = s.CasesOf("t").SeedCases(ctx, []qingting.Case{fullCase("good"), fullCase("bad")})
	require.ErrorContains(t, err, "refused")
	_, total, err := s.CasesOf("t").ListCases(ctx, qingting.CaseFilter{}, 0, 0)
	require.NoError(t, err)
	require.Zero(t, total)
	n, err := s.CasesOf("t").SeedCases(ctx, []qingting.Case{fullCase("good")})
	require.NoError(t, err)
	require.Equal(t, 1, n, "the failed seeding is not remembered either")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, s.CasesOf("t").PutCases(cancelled, []qingting.Case{fullCase("late")}), context.Canceled)
}

func TestReadersBesideAWriter(t *testing.T) {
	ctx := context.Background()
	s := open(t, filepath.Join(t.TempDir(), "q.db"))
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 3 {
		writers.Go(func() {
			for i := range 40 {
				pair := []qingting.Case{fullCase(fmt.Sprintf("w%d-%d-a", w, i)), fullCase(fmt.Sprintf("w%d-%d-b", w, i))}
				if err := s.CasesOf("t").PutCases(ctx, pair); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_, total, err := s.CasesOf("t").ListCases(ctx, qingting.CaseFilter{}, 0, 10)
				if err != nil || total%2 != 0 {
					t.Errorf("saw %d cases, %v", total, err)
				}
				n := 0
				if err := s.CasesOf("t").EachCase(ctx, func(qingting.Case) error { n++; return nil }); err != nil || n%2 != 0 {
					t.Errorf("streamed %d cases, %v", n, err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	_, total, err := s.CasesOf("t").ListCases(ctx, qingting.CaseFilter{}, 0, 1)
	require.NoError(t, err)
	require.Equal(t, 240, total)
}

func TestOpenExplainsWhatIsWrong(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}

	s := open(t, file("empty.db", "")) // an empty file is an empty database
	_, total, err := s.CasesOf("t").ListCases(ctx, qingting.CaseFilter{}, 0, 0)
	require.NoError(t, err)
	require.Zero(t, total)

	newer := filepath.Join(dir, "newer.db")
	s, err = Open(ctx, newer)
	require.NoError(t, err)
	_, err = s.writer.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	require.NoError(t, err)
	require.NoError(t, s.Close())

	for _, tt := range []struct{ name, path, want string }{
		{"no database", file("text.db", strings.Repeat("不是数据库。", 200)), "不是完好的数据库文件"},
		{"a folder", dir, "是一个文件夹"},
		{"under a file", filepath.Join(file("plain", "x"), "q.db"), "打不开"},
		{"of a later program", newer, "请升级 qingting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(ctx, tt.path)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, tt.path)
			var e *OpenError
			require.ErrorAs(t, err, &e)
			require.Error(t, errors.Unwrap(e))
		})
	}
}

// Several programs open a new file at once, as when a command is run while the
// service starts.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.db")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s, err := Open(context.Background(), path)
			if err != nil {
				t.Error(err, errors.Unwrap(err))
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestReadOnlyFolder opens a file in a folder that the process may not write.
// Nothing is forbidden to root, so that root asks a helper process without rights.
func TestReadOnlyFolder(t *testing.T) {
	root, err := os.MkdirTemp("", "qingting-store-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	dir := filepath.Join(root, "只读")
	require.NoError(t, os.Mkdir(dir, 0o555))
	require.NoError(t, os.Chmod(root, 0o755))
	binary := filepath.Join(root, "store.test")
	copyFile(t, os.Args[0], binary)
	for _, path := range []string{filepath.Join(dir, "q.db"), filepath.Join(dir, "新建", "q.db")} {
		cmd := exec.Command(binary)
		cmd.Dir = root
		cmd.Env = []string{"QINGTING_STORE_TEST_JOB=open", "QINGTING_STORE_TEST_FILE=" + path}
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		require.Error(t, err, "it must not open")
		require.Contains(t, string(out), "文件夹不可写")
		require.Contains(t, string(out), path)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, err)
	require.NoError(t, out.Close())
}

func BenchmarkPutOneCase(b *testing.B) {
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(b.TempDir(), "q.db"))
	require.NoError(b, err)
	defer s.Close()
	for i := range b.N {
		if err := s.CasesOf("t").PutCases(ctx, []qingting.Case{fullCase(fmt.Sprint(i))}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEachCase(b *testing.B) {
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(b.TempDir(), "q.db"))
	require.NoError(b, err)
	defer s.Close()
	cases := make([]qingting.Case, 10_000)
	for i := range cases {
		cases[i] = fullCase(fmt.Sprintf("%05d", i))
		cases[i].Vector = make(qingting.Vector, 512)
	}
	require.NoError(b, s.CasesOf("t").PutCases(ctx, cases))
	for b.Loop() {
		n := 0
		if err := s.CasesOf("t").EachCase(ctx, func(qingting.Case) error { n++; return nil }); err != nil || n != len(cases) {
			b.Fatal(n, err)
		}
	}
}
