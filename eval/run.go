package eval

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// System is what is evaluated. A nil function is something it does not do; the
// suites that ask for it are left out. Functions may be called concurrently.
type System struct {
	Name string // of its folder in the run: letters, digits, - and _
	// Identity names everything its answers depend on: hashes of weights, rules,
	// prompt, cases. A run is resumed only by a system of the same identity.
	Identity map[string]string

	Analyze func(context.Context, qingting.Transcript) (*qingting.Analysis, error)
	// Rank orders the cases of a corpus for a query, best first; answered is false
	// when the system would show none of them.
	Rank func(ctx context.Context, corpus string, q *dataset.Query) (ranking []Ranked, answered bool, err error)
	// Reply drafts an answer to a customer.
	Reply func(context.Context, *dataset.Reply) (Draft, error)
	// Alike is how much two texts mean the same; higher is more.
	Alike func(ctx context.Context, a, b string) (float64, error)
	// Read finds personal data in a text, cuts it into words and cleans it.
	Read func(text string) (found []dataset.TextSpan, words []string, clean string)
}

// does reports whether the system takes part in a suite.
func (s *System) does(suite dataset.Suite) bool {
	switch suite {
	case dataset.SuiteTriage, dataset.SuiteSatisfaction:
		return s.Analyze != nil
	case dataset.SuiteRetrieval:
		return s.Rank != nil
	case dataset.SuiteReply:
		return s.Reply != nil
	case dataset.SuiteText:
		return s.Read != nil
	case dataset.SuitePairs:
		return s.Alike != nil
	}
	return false
}

// Options of a run. The zero value of all but Cleaner runs everything with the
// machine's processors.
type Options struct {
	// Cleaner tells the scripts of a text apart, for its slice. Required.
	Cleaner qingting.Cleaner
	Jobs    int           // 0: as many as processors
	Timeout time.Duration // of one example; 0: a minute
	Limit   int           // examples a file; 0: all. A limited run cannot gate
	Suites  []dataset.Suite
	Splits  []dataset.Part // empty: all but train
	Resampling
	// MaxErrors is the share of failed examples from which a run is refused;
	// 0: 5 %.
	MaxErrors float64
	// Progress is told after each example.
	Progress func(system string, done, total int)
}

func (o *Options) jobs() int { return cmp.Or(o.Jobs, runtime.GOMAXPROCS(0)) }

// Takes reports whether the files of a run are to include f.
func (o *Options) Takes(f *dataset.File) bool {
	if len(o.Suites) > 0 && !slices.Contains(o.Suites, f.Suite) {
		return false
	}
	if len(o.Splits) > 0 {
		return slices.Contains(o.Splits, f.Split)
	}
	return f.Split != dataset.Train
}

// ErrTooManyErrors is a run whose figures would say nothing: too many examples
// failed.
var ErrTooManyErrors = errors.New("失败的样本太多")

// Manifest says what made a run. Nothing in it changes while the run is
// resumed but the times.
type Manifest struct {
	Schema  string            `json:"schema"`
	Program string            `json:"program"` // version of the program
	Dataset DatasetID         `json:"dataset"`
	Systems []SystemID        `json:"systems"`
	Limit   int               `json:"limit,omitempty"`
	Seed    uint64            `json:"seed"`
	Rounds  int               `json:"rounds"`
	Started time.Time         `json:"started"`
	Ended   time.Time         `json:"ended,omitzero"`
	Machine map[string]string `json:"machine"`
}

// DatasetID names a dataset by content.
type DatasetID struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Hash    string            `json:"hash"`  // over the files below
	Files   map[string]string `json:"files"` // SHA-256 by path, of the files of the run
}

// SystemID names a system by what its answers depend on.
type SystemID struct {
	Name     string            `json:"name"`
	Identity map[string]string `json:"identity"`
}

// Metrics are the figures of a run. They hold no time and no place, so that
// the same answers give the same bytes.
type Metrics struct {
	Schema  string    `json:"schema"`
	Dataset DatasetID `json:"dataset"`
	Limit   int       `json:"limit,omitempty"`
	// Failed is a run in which too many examples failed: its figures say nothing,
	// nothing may pass by them and no baseline may be made of them.
	Failed  bool            `json:"failed,omitempty"`
	Systems []SystemMetrics `json:"systems"`
}

// SystemMetrics are the figures of one system.
type SystemMetrics struct {
	SystemID
	Suites []SuiteMetrics `json:"suites"`
}

// SuiteMetrics are the figures of one system on one suite.
type SuiteMetrics struct {
	Suite    dataset.Suite     `json:"suite"`
	N        int               `json:"n"`
	Unscored int               `json:"unscored"`
	Errors   map[string]int    `json:"errors,omitempty"` // by code
	Figures  []Figure          `json:"figures"`
	Slices   []SliceFigures    `json:"slices,omitempty"`
	Confused map[string]Matrix `json:"confused,omitempty"`
}

// SliceFigures are the headline figures of the rows with one value of a slice.
type SliceFigures struct {
	Slice   string   `json:"slice"`
	Value   string   `json:"value"`
	Figures []Figure `json:"figures"`
}

// Matrix counts rows by gold (outer) and answered label.
type Matrix struct {
	Labels []string `json:"labels"`
	Counts [][]int  `json:"counts"`
}

const schema = "1"

// Names of the files of a run.
const (
	ManifestFile = "manifest.json"
	MetricsFile  = "metrics.json"
	RowsFile     = "rows.jsonl"
	TimesFile    = "times.jsonl"
)

// Run evaluates the systems on a dataset and writes everything into the folder
// dir. A folder that holds an unfinished run of the same systems on the same
// data is gone on with, whatever ended it; its metrics are the same bytes as
// those of an undisturbed run. It returns ErrTooManyErrors beside the metrics
// when too many examples failed. Nobody else can write into the folder
// meanwhile; a run that finds another at work there is an error.
func Run(ctx context.Context, program, dir string, d *dataset.Dataset, systems []System, o Options) (*Metrics, error) {
	if err := checkSystems(systems); err != nil {
		return nil, err
	}
	id, files, err := identify(d, &o)
	if err != nil {
		return nil, err
	}
	if err := somethingToDo(d, files, systems, &o); err != nil {
		return nil, err
	}
	want := Manifest{
		Schema: schema, Program: program, Dataset: id, Limit: o.Limit, Seed: o.Seed, Rounds: o.rounds(), Started: time.Now().UTC(),
		Machine: map[string]string{"name": machine(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": fmt.Sprint(runtime.NumCPU()), "go": runtime.Version()},
	}
	for _, s := range systems {
		want.Systems = append(want.Systems, SystemID{s.Name, s.Identity})
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("建不了评测目录：%w", err)
	}
	lock, err := lockRun(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := openRun(dir, &want); err != nil {
		return nil, err
	}
	metrics := &Metrics{Schema: schema, Dataset: id, Limit: o.Limit}
	failed := false
	for i := range systems {
		examples, err := answerAll(ctx, filepath.Join(dir, systems[i].Name), d, files, &systems[i], &o)
		if err != nil {
			return nil, err
		}
		rows, err := ReadRows(filepath.Join(dir, systems[i].Name))
		if err != nil {
			return nil, err
		}
		if err := checkRows(filepath.Join(dir, systems[i].Name, RowsFile), rows, examples); err != nil {
			return nil, err
		}
		m := SystemMetrics{SystemID: want.Systems[i]}
		for _, s := range bySuite(rows) {
			suite, err := measureSuite(s.suite, s.rows, o.Resampling)
			if err != nil {
				return nil, err
			}
			failed = failed || float64(suite.Unscored) > cmp.Or(o.MaxErrors, 0.05)*float64(len(s.rows))
			m.Suites = append(m.Suites, *suite)
		}
		metrics.Systems = append(metrics.Systems, m)
	}
	metrics.Failed = failed
	if err := check(metrics); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(dir, MetricsFile), metrics); err != nil {
		return nil, err
	}
	want.Ended = time.Now().UTC()
	if err := writeJSON(filepath.Join(dir, ManifestFile), &want); err != nil {
		return nil, err
	}
	if failed {
		return metrics, ErrTooManyErrors
	}
	return metrics, nil
}

// checkSystems refuses names that would share a folder, or leave the run's.
func checkSystems(systems []System) error {
	if len(systems) == 0 {
		return errors.New("没有要评测的系统")
	}
	for i := range systems {
		name := systems[i].Name
		if name == "" || name != filepath.Base(name) || name == "." || name == ".." {
			return fmt.Errorf("系统名 %q 不能用作目录名：只用字母、数字、- 和 _", name)
		}
		if slices.ContainsFunc(systems[:i], func(s System) bool { return s.Name == name }) {
			return fmt.Errorf("系统 %s 写了两次：一次评测里名字不能重复", name)
		}
	}
	return nil
}

// somethingToDo refuses a run without examples: its figures would be none, and
// nobody would notice.
func somethingToDo(d *dataset.Dataset, files []*dataset.File, systems []System, o *Options) error {
	total := 0
	for _, f := range files {
		n, err := d.Count(f)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%s 里没有一个样本，没有可评测的", f.Path)
		}
		for i := range systems {
			if systems[i].does(f.Suite) {
				total += n
			}
		}
	}
	if total > 0 {
		return nil
	}
	var suites, names []string
	for _, f := range files {
		suites = append(suites, string(f.Suite))
	}
	for i := range systems {
		names = append(names, systems[i].Name)
	}
	slices.Sort(suites)
	return fmt.Errorf("没有一个样本可评测：选中的 suite（%s）系统 %s 都不做", strings.Join(slices.Compact(suites), "、"), strings.Join(names, "、"))
}

// identify hashes the files that the run will read.
func identify(d *dataset.Dataset, o *Options) (DatasetID, []*dataset.File, error) {
	id := DatasetID{Name: d.Name, Version: d.Version, Files: map[string]string{}}
	var files []*dataset.File
	for i := range d.Files {
		f := &d.Files[i]
		if !o.Takes(f) || len(specsOf(f.Suite)) == 0 {
			continue
		}
		digests, err := d.Digests(f)
		if err != nil {
			return id, nil, err
		}
		for _, g := range digests {
			id.Files[g.Path] = g.SHA256
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return id, nil, errors.New("数据集里没有要评测的文件：检查 dataset.yaml 里的 suite 和 split，命令后面写的 suite，和 --split")
	}
	h := sha256.New()
	for _, f := range files {
		// What the rows of a file are taken for counts as much as the rows.
		fmt.Fprintf(h, "%+v\n", *f)
	}
	for _, name := range slices.Sorted(maps.Keys(id.Files)) {
		fmt.Fprintf(h, "%s %s\n", name, id.Files[name])
	}
	id.Hash = hex.EncodeToString(h.Sum(nil))
	return id, files, nil
}

// machine is a name that differs between machines and tells nothing else.
func machine() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte("qingting eval\x00" + host))
	return hex.EncodeToString(sum[:6])
}

// answerAll appends a row for every example of the files that the folder does
// not hold yet, in their order. It returns the hashes of all examples.
func answerAll(ctx context.Context, dir string, d *dataset.Dataset, files []*dataset.File, s *System, o *Options) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("建不了评测目录：%w", err)
	}
	path := filepath.Join(dir, RowsFile)
	done, err := doneRows(path)
	if err != nil {
		return nil, err
	}
	rows, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("写不了评测结果：%w", err)
	}
	defer rows.Close()
	times, err := os.OpenFile(filepath.Join(dir, TimesFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("写不了评测结果：%w", err)
	}
	defer times.Close()

	total, err := countAll(d, files, s, o)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The queue holds one channel an example, in order: whoever writes waits for
	// the first while the others work.
	queue := make(chan chan answered, 4*o.jobs())
	type asked struct {
		examples []string
		err      error
	}
	end := make(chan asked, 1)
	go func() {
		defer close(queue)
		examples, err := ask(ctx, d, files, s, o, resumed{path, done}, queue)
		end <- asked{examples, err}
	}()
	defer func() {
		stop()
		for range queue { // lets the asker end
		}
	}()
	count := len(done)
	for c := range queue {
		a := <-c
		if a.err != nil {
			return nil, a.err
		}
		line, err := json.Marshal(a.row)
		if err != nil {
			return nil, fmt.Errorf("写不了样本 %s 的结果：%w", a.row.ID, err)
		}
		if _, err := rows.Write(append(line, '\n')); err != nil {
			return nil, fmt.Errorf("写不了评测结果：%w", err)
		}
		if line, err = json.Marshal(timed{a.row.ID, a.ms, a.row.recorded}); err != nil {
			return nil, err
		}
		if _, err := times.Write(append(line, '\n')); err != nil {
			return nil, fmt.Errorf("写不了评测结果：%w", err)
		}
		count++
		if o.Progress != nil {
			o.Progress(s.Name, count, total)
		}
	}
	last := <-end
	if last.err != nil {
		return nil, last.err
	}
	return last.examples, errors.Join(rows.Close(), times.Close())
}

// timed is how long an example took.
type timed struct {
	ID string  `json:"id"`
	MS float64 `json:"ms"`
	// Recorded answers took no time that says anything.
	Recorded bool `json:"recorded,omitempty"`
}

// countAll is how many examples a system will have answered.
func countAll(d *dataset.Dataset, files []*dataset.File, s *System, o *Options) (int, error) {
	total := 0
	for _, f := range files {
		if !s.does(f.Suite) {
			continue
		}
		n, err := d.Count(f)
		if err != nil {
			return 0, err
		}
		if o.Limit > 0 {
			n = min(n, o.Limit)
		}
		total += n
	}
	return total, nil
}

type answered struct {
	row Row
	ms  float64
	err error // the run cannot go on
}

// resumed are the rows that an earlier run left: the hashes of their examples.
type resumed struct {
	path string
	done []string
}

// fault says what is wrong with row i, which is not that of the example whose
// turn it is.
func (r *resumed) fault(i int) error {
	what := "不是这个数据集里该在这里的样本"
	if slices.Contains(r.done[:i], r.done[i]) {
		what = "和前面的一行是同一个样本"
	}
	return fmt.Errorf("%s 第 %d 行%s，结果和数据对不上：删掉这个文件，或换一个 --out 目录重新评测", r.path, i+1, what)
}

// checkRows holds what a run has written against its examples: every one once,
// in their order. Figures of anything else would be of another dataset.
func checkRows(path string, rows []*Row, examples []string) error {
	r := resumed{path: path}
	for i, row := range rows {
		r.done = append(r.done, row.Hash)
		if i >= len(examples) || row.Hash != examples[i] {
			return r.fault(i)
		}
	}
	if len(rows) < len(examples) {
		return fmt.Errorf("%s 只有 %d 行，样本有 %d 个，缺了结果：用同样的命令接着跑", path, len(rows), len(examples))
	}
	return nil
}

// ask sends every example that is not done to a worker, and returns the hashes
// of all.
func ask(ctx context.Context, d *dataset.Dataset, files []*dataset.File, s *System, o *Options, old resumed, queue chan<- chan answered) (examples []string, err error) {
	slots := make(chan struct{}, o.jobs())
	var working sync.WaitGroup
	defer working.Wait() // nobody works on when the run is over
	each := func(hash string, work func(context.Context) Row) error {
		at := len(examples)
		examples = append(examples, hash)
		if at < len(old.done) {
			if old.done[at] != hash {
				return old.fault(at)
			}
			return nil
		}
		c := make(chan answered, 1)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case slots <- struct{}{}:
		}
		queue <- c
		working.Go(func() {
			defer func() { <-slots }()
			limited, stop := context.WithTimeout(ctx, cmp.Or(o.Timeout, time.Minute))
			defer stop()
			start := time.Now()
			row := work(limited)
			a := answered{row: row, ms: float64(time.Since(start).Microseconds()) / 1000}
			switch {
			case ctx.Err() != nil:
				// What was cut off is no failure of the system.
				a.err = context.Cause(ctx)
			case slices.Contains(hopeless, row.Error):
				a.err = fmt.Errorf("%s 不能再问下去（%s）：改好以后用同样的命令接着跑", s.Name, row.Error)
			}
			c <- a
		})
		return nil
	}
	for _, f := range files {
		if !s.does(f.Suite) {
			continue
		}
		if err := askFile(d, f, s, o, each); err != nil {
			return examples, err
		}
	}
	if len(examples) < len(old.done) {
		return examples, old.fault(len(examples))
	}
	return examples, nil
}
