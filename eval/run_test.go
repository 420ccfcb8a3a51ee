package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// plainCleaner leaves a text as it is: these tests are not about text.
type plainCleaner struct{}

func (plainCleaner) Clean(s string) (clean []rune, from, to []int32) {
	clean = []rune(s)
	for i := range clean {
		from, to = append(from, int32(i)), append(to, int32(i+1))
	}
	return clean, from, to
}

// writeDataset makes n labelled conversations and returns their file.
func writeDataset(t testing.TB, n int) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	var b bytes.Buffer
	for i := range n {
		l := qingting.Labels{
			Kind: qingting.KindComplaint, Types: []qingting.Type{qingting.Types()[rng.IntN(21)]}, Emotion: qingting.EmotionAngry, Intensity: 1 + rng.IntN(3),
			Risk: qingting.RiskLevels()[rng.IntN(3)], Signals: []qingting.SignalCode{}, Claims: []qingting.ClaimCode{}, Style: qingting.StyleMixed, Outcome: qingting.OutcomePending,
		}
		l.Primary = l.Types[0]
		row := map[string]any{
			"id": fmt.Sprintf("c%d", i), "group": fmt.Sprintf("g%d", i/2), "labels": l, "slices": map[string]string{"industry": []string{"电商", "银行"}[i%2]},
			"messages": []qingting.Message{{Role: qingting.RoleCustomer, Text: fmt.Sprintf("第 %d 次了，还是没人处理", i)}},
		}
		line, err := json.Marshal(row)
		require.NoError(t, err)
		b.Write(append(line, '\n'))
	}
	path := filepath.Join(t.TempDir(), "data.jsonl")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

// guesser answers by the number in the text, wrong now and then, and fails on
// every 50th.
func guesser(delay time.Duration) System {
	return System{
		Name: "guess", Identity: map[string]string{"version": "1"},
		Analyze: func(ctx context.Context, t qingting.Transcript) (*qingting.Analysis, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(delay):
			}
			var i int
			if _, err := fmt.Sscanf(t.Messages[0].Text, "第 %d", &i); err != nil {
				return nil, err
			}
			if i%50 == 49 {
				return nil, &qingting.InputError{Code: "too_odd", Message: "不行"}
			}
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			primary := qingting.Types()[rng.IntN(21)]
			a := &qingting.Analysis{Primary: &primary, Types: []qingting.TypeScore{{Code: primary, Confidence: rng.Float64()}}}
			a.Kind.Code, a.Kind.Confidence = qingting.KindComplaint, 0.9
			a.Emotion.Code, a.Emotion.Intensity = qingting.EmotionAngry, 1+rng.IntN(3)
			a.Risk.Level, a.Risk.Score = qingting.RiskLevels()[rng.IntN(3)], rng.Float64()
			a.Style.Code, a.Outcome.Code = qingting.StyleMixed, qingting.OutcomePending
			return a, nil
		},
	}
}

func run(t testing.TB, dir, data string, s System, o Options) (*Metrics, error) {
	t.Helper()
	d, err := dataset.Open(data)
	require.NoError(t, err)
	o.Cleaner, o.Rounds = plainCleaner{}, 50
	return Run(t.Context(), "test", dir, d, []System{s}, o)
}

func metricsOf(t testing.TB, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, MetricsFile))
	require.NoError(t, err)
	return string(b)
}

func TestRunKeepsOrderAndCountsFailures(t *testing.T) {
	data, dir := writeDataset(t, 120), t.TempDir()
	var last, total int
	m, err := run(t, dir, data, guesser(0), Options{Jobs: 8, Progress: func(_ string, done, all int) { last, total = done, all }})
	require.NoError(t, err)
	require.Equal(t, []int{120, 120}, []int{last, total})
	suite := m.Systems[0].Suites[0]
	require.Equal(t, 120, suite.N)
	require.Equal(t, 2, suite.Unscored)
	require.Equal(t, map[string]int{"too_odd": 2}, suite.Errors)
	rows, err := ReadRows(filepath.Join(dir, "guess"))
	require.NoError(t, err)
	for i, r := range rows {
		require.Equal(t, fmt.Sprintf("c%d", i), r.ID)
		require.Equal(t, fmt.Sprintf("g%d", i/2), r.Group)
	}
	times, err := ReadTimes(filepath.Join(dir, "guess"))
	require.NoError(t, err)
	require.Len(t, times, 120)
	b, err := os.ReadFile(filepath.Join(dir, "guess", RowsFile))
	require.NoError(t, err)
	require.NotContains(t, string(b), "处理", "a row holds no text")

	// The same answers give the same bytes, however many work at once.
	again := t.TempDir()
	_, err = run(t, again, data, guesser(0), Options{Jobs: 1})
	require.NoError(t, err)
	require.Equal(t, metricsOf(t, dir), metricsOf(t, again))

	// A folder takes one run only.
	other := guesser(0)
	other.Identity = map[string]string{"version": "2"}
	_, err = run(t, dir, data, other, Options{})
	require.ErrorContains(t, err, "另一次评测")
}

func TestRunRefusesTooManyErrors(t *testing.T) {
	broken := System{Name: "broken", Analyze: func(context.Context, qingting.Transcript) (*qingting.Analysis, error) {
		return nil, errors.New("down")
	}}
	dir := t.TempDir()
	m, err := run(t, dir, writeDataset(t, 10), broken, Options{})
	require.ErrorIs(t, err, ErrTooManyErrors)
	require.True(t, m.Failed)
	kept, err := ReadMetrics(dir)
	require.NoError(t, err)
	require.True(t, kept.Failed, "whoever reads the figures must learn it")
	require.Equal(t, 10, m.Systems[0].Suites[0].Unscored)
	require.Equal(t, Number(0), m.Systems[0].Suites[0].Figures[0].Worst)
	require.Equal(t, Number(1), m.Systems[0].Suites[0].Figures[0].Best)
}

func TestRunTimesOut(t *testing.T) {
	m, err := run(t, t.TempDir(), writeDataset(t, 4), guesser(time.Hour), Options{Timeout: time.Millisecond})
	require.ErrorIs(t, err, ErrTooManyErrors)
	require.Equal(t, map[string]int{"timeout": 4}, m.Systems[0].Suites[0].Errors)
}

// TestInterruptedRunIsNoFailure: what was cut off is asked again.
func TestInterruptedRunIsNoFailure(t *testing.T) {
	data, dir := writeDataset(t, 60), t.TempDir()
	d, err := dataset.Open(data)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	o := Options{Cleaner: plainCleaner{}, Jobs: 2, Resampling: Resampling{Rounds: 50}, Progress: func(_ string, done, _ int) {
		if done == 20 {
			stop()
		}
	}}
	_, err = Run(ctx, "test", dir, d, []System{guesser(time.Millisecond)}, o)
	require.ErrorIs(t, err, context.Canceled)
	m, err := run(t, dir, data, guesser(0), Options{})
	require.NoError(t, err)
	require.Equal(t, 1, m.Systems[0].Suites[0].Unscored)
	undisturbed := t.TempDir()
	_, err = run(t, undisturbed, data, guesser(0), Options{})
	require.NoError(t, err)
	require.Equal(t, metricsOf(t, undisturbed), metricsOf(t, dir))
}

// childEnv names the folder and the data of a run in a process of its own.
const childEnv = "QINGTING_EVAL_CHILD"

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		dir, data, _ := strings.Cut(child, "|")
		d, err := dataset.Open(data)
		if err == nil {
			_, err = Run(context.Background(), "test", dir, d, []System{guesser(time.Millisecond)},
				Options{Cleaner: plainCleaner{}, Jobs: 4, Resampling: Resampling{Rounds: 50}})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKilledRunGoesOn kills a run with SIGKILL at ten random moments. The
// metrics of the run that is gone on with are the bytes of an undisturbed one.
func TestKilledRunGoesOn(t *testing.T) {
	data, dir, undisturbed := writeDataset(t, 1200), t.TempDir(), t.TempDir()
	start := func(dir string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir+"|"+data)
		cmd.Stderr = os.Stderr
		return cmd
	}
	begin := time.Now()
	require.NoError(t, start(undisturbed).Run())
	whole := time.Since(begin)
	killed := 0
	for i := range 10 {
		cmd := start(dir)
		require.NoError(t, cmd.Start())
		time.Sleep(time.Duration(rand.Float64() * float64(whole) / 8))
		require.NoError(t, cmd.Process.Kill())
		if err := cmd.Wait(); err != nil {
			killed++
		}
		if rows, err := doneRows(filepath.Join(dir, "guess", RowsFile)); err == nil {
			t.Logf("kill %d: %d rows", i+1, len(rows))
		}
	}
	require.Greater(t, killed, 5, "the run ended before it was killed")
	require.NoError(t, start(dir).Run())
	require.Equal(t, metricsOf(t, undisturbed), metricsOf(t, dir))
}

// TestTornRowIsAskedAgain cuts the rows at every byte of the last two lines.
func TestTornRowIsAskedAgain(t *testing.T) {
	data, dir := writeDataset(t, 12), t.TempDir()
	_, err := run(t, dir, data, guesser(0), Options{})
	require.NoError(t, err)
	want := metricsOf(t, dir)
	path := filepath.Join(dir, "guess", RowsFile)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	last := len(lines[len(lines)-2]) + len(lines[len(lines)-3])
	for cut := len(whole) - last; cut < len(whole); cut += 7 {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		_, err := run(t, dir, data, guesser(0), Options{})
		require.NoError(t, err)
		require.Equal(t, want, metricsOf(t, dir), "cut at %d", cut)
	}
}

// TestOneRunAFolder: a second run in a folder at the same time is refused; the
// first leaves nothing but its files behind, and the folder free.
func TestOneRunAFolder(t *testing.T) {
	data, dir := writeDataset(t, 60), t.TempDir()
	started, goOn := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		d, err := dataset.Open(data)
		if err == nil {
			once := sync.OnceFunc(func() { close(started); <-goOn })
			_, err = Run(context.Background(), "test", dir, d, []System{guesser(0)}, Options{
				Cleaner: plainCleaner{}, Jobs: 2, Resampling: Resampling{Rounds: 50}, Progress: func(string, int, int) { once() },
			})
		}
		first <- err
	}()
	<-started
	_, err := run(t, dir, data, guesser(0), Options{})
	require.ErrorContains(t, err, "另一个 eval run 正在写 "+dir)
	close(goOn)
	require.NoError(t, <-first)
	rows, err := ReadRows(filepath.Join(dir, "guess"))
	require.NoError(t, err)
	require.Len(t, rows, 60)
	var files []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if !e.IsDir() {
			files = append(files, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	}))
	require.ElementsMatch(t, []string{ManifestFile, MetricsFile, "guess/" + RowsFile, "guess/" + TimesFile}, files)
	_, err = run(t, dir, data, guesser(0), Options{})
	require.NoError(t, err)
}

// TestRowsMustBeTheExamples: rows that somebody doubled, took out or brought
// from elsewhere give no figures.
func TestRowsMustBeTheExamples(t *testing.T) {
	data, dir := writeDataset(t, 12), t.TempDir()
	_, err := run(t, dir, data, guesser(0), Options{})
	require.NoError(t, err)
	path := filepath.Join(dir, "guess", RowsFile)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(bytes.TrimSpace(whole), []byte("\n"))
	lines[11] = append(lines[11], '\n')
	foreign := []byte(`{"suite":"triage","id":"x","hash":"f00","error":"failed"}` + "\n")
	for name, tt := range map[string]struct {
		lines [][]byte
		want  string
	}{
		"一行写了两次":   {slices.Insert(slices.Clone(lines), 5, lines[4]), "第 6 行和前面的一行是同一个样本"},
		"末尾多了一行旧的": {append(slices.Clone(lines), lines[3]), "第 13 行和前面的一行是同一个样本"},
		"少了中间一行":   {slices.Delete(slices.Clone(lines), 3, 4), "第 4 行不是这个数据集里该在这里的样本"},
		"别处来的一行":   {slices.Insert(slices.Clone(lines), 2, foreign), "第 3 行不是这个数据集里该在这里的样本"},
		"末尾别处来的一行": {append(slices.Clone(lines), foreign), "第 13 行不是这个数据集里该在这里的样本"},
	} {
		require.NoError(t, os.WriteFile(path, bytes.Join(tt.lines, nil), 0o600))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, MetricsFile)))
		_, err := run(t, dir, data, guesser(0), Options{})
		require.ErrorContains(t, err, path+" "+tt.want, name)
		require.NoFileExists(t, filepath.Join(dir, MetricsFile), name)
	}

	// What another process writes while the run goes on is found at its end.
	require.NoError(t, os.RemoveAll(path))
	_, err = run(t, dir, data, guesser(0), Options{Jobs: 1, Progress: func(_ string, done, _ int) {
		if done == 6 {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.Write(lines[0])
			require.NoError(t, errors.Join(err, f.Close()))
		}
	}})
	require.ErrorContains(t, err, "第 7 行和前面的一行是同一个样本")
	require.NoFileExists(t, filepath.Join(dir, MetricsFile))
}

func TestRunRefusesNothingToDo(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "空.jsonl")
	require.NoError(t, os.WriteFile(empty, []byte("\n \n"), 0o600))
	data, dir := writeDataset(t, 4), filepath.Join(t.TempDir(), "run")
	_, err := run(t, dir, empty, guesser(0), Options{})
	require.ErrorContains(t, err, "空.jsonl 里没有一个样本")
	_, err = run(t, dir, data, guesser(0), Options{Splits: []dataset.Part{dataset.Dev}})
	require.ErrorContains(t, err, "--split")
	_, err = run(t, dir, data, System{Name: "reader", Read: func(string) ([]dataset.TextSpan, []string, string) { return nil, nil, "" }}, Options{})
	require.ErrorContains(t, err, "triage")
	require.ErrorContains(t, err, "reader")

	d, err := dataset.Open(data)
	require.NoError(t, err)
	for want, systems := range map[string][]System{
		"没有要评测的系统":   nil,
		"guess 写了两次": {guesser(0), guesser(0)},
		`系统名 ""`:     {{}},
		`系统名 "../x"`: {{Name: "../x"}},
	} {
		_, err := Run(t.Context(), "test", dir, d, systems, Options{Cleaner: plainCleaner{}})
		require.ErrorContains(t, err, want)
	}
	require.NoDirExists(t, dir, "what is refused leaves nothing")
}

// TestBrokenRunIsNamedInChinese: files of a run that somebody damaged.
func TestBrokenRunIsNamedInChinese(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	for content, want := range map[string]string{
		`{"schema":"1"`:  "没有写完",
		`{"schema":1}`:   "schema 的类型不对",
		`{"schema":"1"x`: "第 14 个字节处不是合法的 JSON",
		`[]`:             "内容不是评测写的样子",
	} {
		write(MetricsFile, content)
		write(ManifestFile, content)
		_, err := ReadMetrics(dir)
		require.EqualError(t, err, filepath.Join(dir, MetricsFile)+" 坏了："+want)
		_, err = ReadManifest(dir)
		require.EqualError(t, err, filepath.Join(dir, ManifestFile)+" 坏了："+want)
	}
	write(RowsFile, "{}\n{\"id\":\n")
	_, err := ReadRows(dir)
	require.ErrorContains(t, err, "第 2 行坏了：没有写完")
}
