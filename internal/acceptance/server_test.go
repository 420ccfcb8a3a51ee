package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // to look into the file

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
)

const tags = "netgo,osusergo,sqlite_omit_load_extension,nomsgpack" // those of the Makefile

// jobVariable makes this test binary another program: see baseline.
const jobVariable = "QINGTING_ACCEPTANCE_JOB"

func TestMain(m *testing.M) {
	if os.Getenv(jobVariable) == "baseline" {
		if err := baseline(os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if built.folder != "" {
		_ = os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

// asked skips the test unless its group is wanted.
func asked(t *testing.T, group string) {
	t.Helper()
	if name := "QINGTING_" + group; os.Getenv(name) == "" {
		t.Skipf("%s=1 runs it: it takes long and wants the machine for itself", name)
	}
}

// lasting is how long a phase lasts that normally lasts d.
func lasting(d time.Duration) time.Duration {
	if s, err := strconv.ParseFloat(os.Getenv("QINGTING_SECONDS"), 64); err == nil && s > 0 {
		return min(d, time.Duration(s*float64(time.Second)))
	}
	return d
}

// short reports whether QINGTING_SECONDS asks for a quick look only.
func short() bool { return lasting(time.Minute) < 30*time.Second }

// rounds is n, or few when a quick look is wanted.
func rounds(n, few int) int {
	if short() {
		return few
	}
	return n
}

var built struct {
	once   sync.Once
	folder string
	path   string
	err    error
}

// binary is the program, built once.
func binary(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("QINGTING_BINARY"); given != "" {
		return given
	}
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "qingting-acceptance-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.folder, "qingting")
		out, err := exec.Command("go", "build", "-trimpath", "-tags", tags, "-o", built.path, "../../cmd/qingting").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	require.NoError(t, built.err)
	return built.path
}

// setup is how a server is started; the zero value is good.
type setup struct {
	mode   string            // fast unless said
	data   string            // a new folder unless said
	env    map[string]string // configuration, QINGTING_…
	keyed  bool              // log in with an API key, as integrators do; else everybody is admin
	before []string          // command that runs the program, its last argument
	fails  bool              // it is expected to end by itself
}

// server is a running program.
type server struct {
	t           *testing.T
	cmd         *exec.Cmd
	addr, admin string
	data        string
	key         string
	ready       time.Duration // from the start of the process to the first 200 of /readyz
	readyCPU    time.Duration // what it computed until then
	log         *os.File
	ended       chan struct{}
	err         error // of the process; after ended
	http        *http.Client
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// start runs the program and returns when it is ready.
func start(t *testing.T, o setup) *server {
	t.Helper()
	if o.mode == "" {
		o.mode = "fast"
	}
	if o.data == "" {
		o.data = filepath.Join(t.TempDir(), "data")
	}
	program := binary(t)
	s := &server{t: t, addr: freePort(t), admin: freePort(t), data: o.data, ended: make(chan struct{})}
	s.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	if o.keyed {
		out, err := exec.Command(program, "key", "add", "--data", o.data, "--name", "acceptance", "--scope", "admin").CombinedOutput()
		require.NoError(t, err, "%s", out)
		_, s.key, _ = strings.Cut(strings.TrimSpace(string(out)), "：")
		s.key = s.key[strings.LastIndex(s.key, "qt_"):]
	}
	args := append(append([]string{}, o.before...), program, "serve", "--addr", s.addr, "--admin", s.admin, "--data", o.data, "--mode", o.mode)
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir()}
	for k, v := range o.env {
		s.cmd.Env = append(s.cmd.Env, k+"="+v)
	}
	var err error
	s.log, err = os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	began := time.Now()
	require.NoError(t, s.cmd.Start())
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.http.CloseIdleConnections()
		s.kill()
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.logTail(6000))
		}
		_ = s.log.Close()
	})
	if o.fails {
		return s
	}
	for {
		if status, _, err := s.try("GET", "/readyz", nil); err == nil && status == http.StatusOK {
			break
		}
		select {
		case <-s.ended:
			t.Fatalf("the server ended: %v\n%s", s.err, s.logTail(4000))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("the server is not ready after a minute\n%s", s.logTail(4000))
		}
	}
	s.ready = time.Since(began)
	s.readyCPU = s.cpu()
	return s
}

func (s *server) logTail(n int64) string {
	b, err := os.ReadFile(s.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, int64(len(b))-n):])
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// kill ends the process at once.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// stop ends it as an operator does and checks that it ended well.
func (s *server) stop() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	s.wait(15 * time.Second)
	require.NoError(s.t, s.err, "after SIGTERM")
}

func (s *server) wait(limit time.Duration) {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(limit):
		s.t.Fatalf("still running after %s", limit)
	}
}

// request builds a request to the server.
func (s *server) request(ctx context.Context, method, path string, body []byte) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+path, bytes.NewReader(body))
	require.NoError(s.t, err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.key != "" {
		r.Header.Set("Authorization", "Bearer "+s.key)
	}
	return r
}

// send answers with status, headers and body, or that nobody answered.
func (s *server) send(r *http.Request) (int, http.Header, []byte, error) {
	resp, err := s.http.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, b, err
}

// try sends JSON of body; nil is none.
func (s *server) try(method, path string, body any) (int, []byte, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	status, _, b, err := s.send(s.request(context.Background(), method, path, data))
	return status, b, err
}

// do sends what must succeed and reads the answer into out, unless it is nil.
func (s *server) do(method, path string, body, out any) {
	s.t.Helper()
	status, b, err := s.try(method, path, body)
	require.NoError(s.t, err, "%s %s", method, path)
	require.Less(s.t, status, 300, "%s %s: %s", method, path, b)
	if out != nil {
		require.NoError(s.t, json.Unmarshal(b, out), "%s", b)
	}
}

// say is one message of a request.
type say struct {
	ID   string `json:"message_id,omitempty"`
	Seq  int    `json:"seq,omitempty"`
	Role string `json:"role"`
	Text string `json:"text"`
	Sent string `json:"sent_at,omitempty"`
}

// begin makes a conversation with messages, which may be none.
func (s *server) begin(id string, messages ...say) {
	s.t.Helper()
	body := map[string]any{"id": id}
	if len(messages) > 0 {
		body["messages"] = messages
	}
	s.do("POST", "/v1/conversations", body, nil)
}

// items reads a list, all of its pages.
func items[T any](s *server, path string) []T {
	s.t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	out := []T{}
	for cursor := ""; ; {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next_cursor"`
		}
		s.do("GET", path+separator+"limit=200&cursor="+cursor, nil, &page)
		out = append(out, page.Items...)
		if cursor = page.Next; cursor == "" {
			return out
		}
	}
}

// metrics reads every sample of /metrics by its name with labels.
func (s *server) metrics() map[string]float64 {
	s.t.Helper()
	resp, err := s.http.Get("http://" + s.admin + "/metrics")
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	out := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
				out[line[:at]] = v
			}
		}
	}
	return out
}

// rss is the resident memory in bytes.
func (s *server) rss() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid()))
	require.NoError(s.t, err)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			require.NoError(s.t, err)
			return n << 10
		}
	}
	s.t.Fatal("no VmRSS")
	return 0
}

// cpu is what the process has computed.
func (s *server) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
	require.NoError(s.t, err)
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from field 3 on
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// caughtUp waits until every conversation has been analysed.
func (s *server) caughtUp(limit time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	db := s.open()
	defer db.Close()
	for {
		var behind int
		require.NoError(s.t, db.Get(&behind, `SELECT count(*) FROM conversations WHERE analysed < version`))
		if behind == 0 {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			s.t.Fatalf("%d conversations are not analysed after %s", behind, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// open looks into the file, beside the server or after it.
func (s *server) open() *sqlx.DB {
	s.t.Helper()
	db, err := sqlx.Open("sqlite3", "file:"+filepath.Join(s.data, "qingting.db")+"?_query_only=on&_busy_timeout=5000")
	require.NoError(s.t, err)
	return db
}

// intact checks the file.
func (s *server) intact() {
	s.t.Helper()
	db := s.open()
	defer db.Close()
	var said string
	require.NoError(s.t, db.Get(&said, `PRAGMA integrity_check`))
	require.Equal(s.t, "ok", said)
	var orphans int
	require.NoError(s.t, db.Get(&orphans, `SELECT count(*) FROM pragma_foreign_key_check`))
	require.Zero(s.t, orphans)
}

// eventually checks until it is true.
func eventually(t *testing.T, limit time.Duration, what string, check func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !check() {
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// loadAverage is the first of /proc/loadavg, to be read beside any figure.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
