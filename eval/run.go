package eval

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/metric"
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

func (o *Options) takes(f *dataset.File) bool {
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
	Schema  string          `json:"schema"`
	Dataset DatasetID       `json:"dataset"`
	Limit   int             `json:"limit,omitempty"`
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
// when too many examples failed.
func Run(ctx context.Context, program, dir string, d *dataset.Dataset, systems []System, o Options) (*Metrics, error) {
	id, files, err := identify(d, &o)
	if err != nil {
		return nil, err
	}
	want := Manifest{
		Schema: schema, Program: program, Dataset: id, Limit: o.Limit, Seed: o.Seed, Rounds: o.rounds(), Started: time.Now().UTC(),
		Machine: map[string]string{"name": machine(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": fmt.Sprint(runtime.NumCPU()), "go": runtime.Version()},
	}
	for _, s := range systems {
		want.Systems = append(want.Systems, SystemID{s.Name, s.Identity})
	}
	if err := openRun(dir, &want); err != nil {
		return nil, err
	}
	metrics := &Metrics{Schema: schema, Dataset: id, Limit: o.Limit}
	failed := false
	for i := range systems {
		if err := answerAll(ctx, filepath.Join(dir, systems[i].Name), d, files, &systems[i], &o); err != nil {
			return nil, err
		}
		rows, err := ReadRows(filepath.Join(dir, systems[i].Name))
		if err != nil {
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

// identify hashes the files that the run will read.
func identify(d *dataset.Dataset, o *Options) (DatasetID, []*dataset.File, error) {
	id := DatasetID{Name: d.Name, Version: d.Version, Files: map[string]string{}}
	var files []*dataset.File
	for i := range d.Files {
		f := &d.Files[i]
		if !o.takes(f) || len(specsOf(f.Suite)) == 0 {
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
		return id, nil, errors.New("数据集里没有要评测的文件：检查 suites 里的 suite 和 split，或 --suite、--split 选项")
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

// openRun makes the folder of a run, or checks that the run in it is the same.
func openRun(dir string, want *Manifest) error {
	path := filepath.Join(dir, ManifestFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("建不了评测目录：%w", err)
		}
		return writeJSON(path, want)
	}
	if err != nil {
		return fmt.Errorf("读不了评测目录：%w", err)
	}
	var have Manifest
	if err := json.Unmarshal(b, &have); err != nil {
		return fmt.Errorf("%s 不是评测的清单：%w", path, err)
	}
	same := have.Dataset.Hash == want.Dataset.Hash && have.Limit == want.Limit && have.Seed == want.Seed && have.Rounds == want.Rounds &&
		slices.EqualFunc(have.Systems, want.Systems, func(a, b SystemID) bool { return a.Name == b.Name && maps.Equal(a.Identity, b.Identity) })
	if !same {
		return fmt.Errorf("%s 里是另一次评测（数据、系统或选项不同）：换一个 --out 目录，或先删掉它", dir)
	}
	want.Started = have.Started
	return nil
}

// answerAll appends a row for every example of the files that the folder does
// not hold yet, in their order.
func answerAll(ctx context.Context, dir string, d *dataset.Dataset, files []*dataset.File, s *System, o *Options) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("建不了评测目录：%w", err)
	}
	done, err := doneRows(filepath.Join(dir, RowsFile))
	if err != nil {
		return err
	}
	rows, err := os.OpenFile(filepath.Join(dir, RowsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("写不了评测结果：%w", err)
	}
	defer rows.Close()
	times, err := os.OpenFile(filepath.Join(dir, TimesFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("写不了评测结果：%w", err)
	}
	defer times.Close()

	total, err := countAll(d, files, s, o)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The queue holds one channel an example, in order: whoever writes waits for
	// the first while the others work.
	queue := make(chan chan answered, 4*o.jobs())
	failed := make(chan error, 1)
	go func() {
		defer close(queue)
		failed <- ask(ctx, d, files, s, o, done, queue)
	}()
	count := len(done)
	for c := range queue {
		a := <-c
		if a.err != nil {
			stop()
			for range queue { // lets the asker end
			}
			return errors.Join(a.err, <-failed)
		}
		line, err := json.Marshal(a.row)
		if err != nil {
			return fmt.Errorf("写不了样本 %s 的结果：%w", a.row.ID, err)
		}
		if _, err := rows.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("写不了评测结果：%w", err)
		}
		if line, err = json.Marshal(timed{a.row.ID, a.ms}); err != nil {
			return err
		}
		if _, err := times.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("写不了评测结果：%w", err)
		}
		count++
		if o.Progress != nil {
			o.Progress(s.Name, count, total)
		}
	}
	if err := <-failed; err != nil {
		return err
	}
	return errors.Join(rows.Close(), times.Close())
}

// timed is how long an example took.
type timed struct {
	ID string  `json:"id"`
	MS float64 `json:"ms"`
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

// ask sends every example that is not done to a worker.
func ask(ctx context.Context, d *dataset.Dataset, files []*dataset.File, s *System, o *Options, done []string, queue chan<- chan answered) error {
	slots := make(chan struct{}, o.jobs())
	at := 0
	each := func(hash string, work func(context.Context) Row) error {
		if at < len(done) {
			if done[at] != hash {
				return errors.New("数据和已有的结果对不上：换一个 --out 目录重新评测")
			}
			at++
			return nil
		}
		at++
		c := make(chan answered, 1)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case slots <- struct{}{}:
		}
		queue <- c
		go func() {
			defer func() { <-slots }()
			limited, stop := context.WithTimeout(ctx, cmp.Or(o.Timeout, time.Minute))
			defer stop()
			start := time.Now()
			row := work(limited)
			a := answered{row: row, ms: float64(time.Since(start).Microseconds()) / 1000}
			if ctx.Err() != nil {
				// What was cut off is no failure of the system.
				a.err = context.Cause(ctx)
			}
			c <- a
		}()
		return nil
	}
	for _, f := range files {
		if !s.does(f.Suite) {
			continue
		}
		if err := askFile(ctx, d, f, s, o, each); err != nil {
			return err
		}
	}
	return nil
}

// askFile turns the rows of a file into work.
func askFile(ctx context.Context, d *dataset.Dataset, f *dataset.File, s *System, o *Options, each func(hash string, work func(context.Context) Row) error) error {
	n := 0
	more := func() bool { n++; return o.Limit == 0 || n <= o.Limit }
	newRow := func(p *dataset.Place, k *dataset.Key, messages []qingting.Message) Row {
		row := Row{Suite: f.Suite, File: f.Name, ID: k.ID, Hash: p.Hash, Group: k.Conversation(), Slices: dataset.AllSlices(k.Slices, messages, o.Cleaner)}
		if f.Group == dataset.ByCustomer && k.Customer != "" {
			row.Group = k.Customer
		}
		return row
	}
	switch f.Suite {
	case dataset.SuiteTriage:
		for e, err := range dataset.Read[dataset.Example](d, f) {
			if err != nil {
				return err
			}
			if !more() {
				return nil
			}
			err := each(e.Hash, func(ctx context.Context) Row {
				row := newRow(&e.Place, &e.Key, e.Messages)
				row.Gold = &e.Labels
				a, err := s.Analyze(ctx, e.Transcript())
				if err == nil && e.Labels.Risk == qingting.RiskHigh {
					row.Values, err = course(ctx, s, e.Transcript(), a.Risk.Level)
				}
				if row.Error = code(err); err == nil {
					row.Answer = NewAnswer(a)
				}
				return row
			})
			if err != nil {
				return err
			}
		}
	case dataset.SuiteSatisfaction:
		for e, err := range dataset.Read[dataset.Rated](d, f) {
			if err != nil {
				return err
			}
			if !more() {
				return nil
			}
			err := each(e.Hash, func(ctx context.Context) Row {
				row := newRow(&e.Place, &e.Key, e.Messages)
				votes := e.Votes.S.Shares()
				row.Votes = &votes
				a, err := s.Analyze(ctx, qingting.Transcript{ID: e.ID, Messages: e.Messages})
				if err == nil && a.Satisfaction == nil {
					err = ErrNoAnswer
				}
				if row.Error = code(err); err == nil {
					row.Shares = shares(a.Satisfaction)
				}
				return row
			})
			if err != nil {
				return err
			}
		}
	case dataset.SuiteRetrieval:
		qrels, err := d.Qrels(f)
		if err != nil {
			return err
		}
		for q, err := range dataset.Read[dataset.Query](d, f) {
			if err != nil {
				return err
			}
			if !more() {
				return nil
			}
			err := each(q.Hash, func(ctx context.Context) Row {
				row := newRow(&q.Place, &q.Key, said(q.Words()))
				ranking, shown, err := s.Rank(ctx, f.Corpus, q)
				if row.Error = code(err); err == nil {
					row.Ranking = ranking
					row.Values = rankingValues(q.ID, qrels[q.ID], ranking, shown)
				}
				return row
			})
			if err != nil {
				return err
			}
		}
	case dataset.SuiteReply:
		for e, err := range dataset.Read[dataset.Reply](d, f) {
			if err != nil {
				return err
			}
			if !more() {
				return nil
			}
			err := each(e.Hash, func(ctx context.Context) Row {
				row := newRow(&e.Place, &e.Key, said(Asked(e)))
				draft, err := s.Reply(ctx, e)
				if row.Error = code(err); err == nil {
					row.Values = replyValues(e, draft)
				}
				return row
			})
			if err != nil {
				return err
			}
		}
	case dataset.SuitePairs:
		for e, err := range dataset.Read[dataset.Pair](d, f) {
			if err != nil {
				return err
			}
			if !more() {
				return nil
			}
			err := each(e.Hash, func(ctx context.Context) Row {
				row := newRow(&e.Place, &e.Key, said(e.A))
				alike, err := s.Alike(ctx, e.A, e.B)
				if row.Error = code(err); err == nil {
					row.Values = map[string]float64{"alike": alike, "same": truth(e.Label > 0)}
				}
				return row
			})
			if err != nil {
				return err
			}
		}
	case dataset.SuiteText:
		for e, err := range dataset.Read[dataset.Text](d, f) {
			if err != nil {
				return err
			}
			if !more() {
				return nil
			}
			err := each(e.Hash, func(context.Context) Row {
				row := newRow(&e.Place, &e.Key, said(e.Text))
				found, words, clean := s.Read(e.Text)
				row.Values = textValues(e, found, words, clean)
				return row
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// course analyses a conversation again as it stood after each of the
// customer's messages but the last, after which the level is known.
func course(ctx context.Context, s *System, t qingting.Transcript, last qingting.RiskLevel) (map[string]float64, error) {
	var ends []int
	for i, m := range t.Messages {
		if m.Role == qingting.RoleCustomer {
			ends = append(ends, i)
		}
	}
	if len(ends) < 2 {
		return nil, nil
	}
	var levels []qingting.RiskLevel
	for _, end := range ends[:len(ends)-1] {
		part := t
		part.Messages = t.Messages[:end+1]
		a, err := s.Analyze(ctx, part)
		if err != nil {
			return nil, err
		}
		levels = append(levels, a.Risk.Level)
	}
	return lead(append(levels, last)), nil
}

// Asked is what the customer of a reply example wrote last.
func Asked(e *dataset.Reply) string {
	if e.Text != "" {
		return e.Text
	}
	for _, t := range e.Turns {
		if t.Speaker == "" || t.Speaker == string(qingting.RoleCustomer) {
			return t.Text
		}
	}
	return e.Title
}

// said makes a text a customer's message.
func said(text string) []qingting.Message {
	return []qingting.Message{{Role: qingting.RoleCustomer, Text: text}}
}

func rankingValues(query string, grades map[string]int, ranking []Ranked, shown bool) map[string]float64 {
	run := metric.Run{}
	for _, r := range ranking {
		run[query] = append(run[query], metric.Scored{Document: r.ID, Score: r.Score})
	}
	r := metric.Rankings(metric.Qrels{query: grades}, run)[0]
	out := queryValues(r)
	if r.Relevant(relevant) > 0 {
		out["answered"] = truth(shown)
	} else {
		out["abstained"] = truth(!shown)
	}
	return out
}

// ErrNoAnswer is an answer without the field, or the draft, a suite asks for.
var ErrNoAnswer = errors.New("no answer")

// code is the stable name of a failure, "" for none. The error itself may
// quote the customer.
func code(err error) string {
	var input *qingting.InputError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &input):
		return input.Code
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, ErrNoAnswer):
		return "no_answer"
	}
	var named interface{ ErrorCode() string }
	if errors.As(err, &named) {
		return named.ErrorCode()
	}
	return "failed"
}

// doneRows returns the hashes of the rows a folder holds, and cuts off a last
// line that a sudden end left unfinished.
func doneRows(path string) ([]string, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("读不了已有的结果：%w", err)
	}
	defer f.Close()
	var done []string
	whole := int64(0)
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("读不了已有的结果：%w", err)
		}
		var row struct {
			Hash string `json:"hash"`
		}
		if json.Unmarshal(line, &row) != nil || row.Hash == "" {
			break
		}
		done = append(done, row.Hash)
		whole += int64(len(line))
	}
	return done, f.Truncate(whole)
}

// ReadRows reads the rows of one system of a run: the folder RUN/SYSTEM. Equal
// labels and slices are shared between rows: do not change them.
func ReadRows(dir string) ([]*Row, error) {
	f, err := os.Open(filepath.Join(dir, RowsFile))
	if err != nil {
		return nil, fmt.Errorf("%s 里没有评测结果（应当是 评测目录/系统名）：%w", dir, err)
	}
	defer f.Close()
	var out []*Row
	var same shared
	r := bufio.NewReaderSize(f, 1<<20)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			row := &Row{}
			if err := json.Unmarshal(line, row); err != nil {
				return nil, fmt.Errorf("%s 第 %d 行坏了：%w", f.Name(), n, err)
			}
			same.row(row)
			out = append(out, row)
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("读 %s：%w", f.Name(), err)
		}
	}
}

// shared keeps one copy of what many rows say alike: a hundred thousand rows
// then need 50 MB, not 500.
type shared struct {
	labels map[string]*qingting.Labels
	slices map[string]map[string]string
	names  map[string]string
}

func (s *shared) row(r *Row) {
	if s.labels == nil {
		*s = shared{map[string]*qingting.Labels{}, map[string]map[string]string{}, map[string]string{}}
	}
	r.Suite, r.File = dataset.Suite(s.name(string(r.Suite))), s.name(r.File)
	if r.Group == r.ID {
		r.Group = r.ID
	}
	if r.Gold != nil {
		r.Gold = s.label(r.Gold)
	}
	if r.Answer != nil {
		r.Answer.Labels = s.label(r.Answer.Labels)
	}
	if len(r.Slices) > 0 {
		key := fmt.Sprint(r.Slices)
		if _, ok := s.slices[key]; !ok {
			s.slices[key] = r.Slices
		}
		r.Slices = s.slices[key]
	}
}

func (s *shared) name(n string) string {
	if _, ok := s.names[n]; !ok {
		s.names[n] = n
	}
	return s.names[n]
}

func (s *shared) label(l *qingting.Labels) *qingting.Labels {
	key := fmt.Sprint(*l)
	if _, ok := s.labels[key]; !ok {
		s.labels[key] = l
	}
	return s.labels[key]
}

// ReadManifest reads what made a run.
func ReadManifest(dir string) (*Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		return nil, fmt.Errorf("%s 里没有评测：%w", dir, err)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s 的 %s 坏了：%w", dir, ManifestFile, err)
	}
	return &m, nil
}

// ReadTimes reads how many milliseconds one system of a run took for each
// example, by id. Of an example that occurs several times the last counts.
func ReadTimes(dir string) (map[string]float64, error) {
	f, err := os.Open(filepath.Join(dir, TimesFile))
	if err != nil {
		return nil, fmt.Errorf("%s 里没有用时：%w", dir, err)
	}
	defer f.Close()
	out := map[string]float64{}
	for d := json.NewDecoder(bufio.NewReader(f)); ; {
		var t timed
		if err := d.Decode(&t); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return out, nil // a sudden end may have cut the last line
		} else if err != nil {
			return nil, fmt.Errorf("%s 坏了：%w", f.Name(), err)
		}
		out[t.ID] = t.MS
	}
}

// ReadMetrics reads the figures of a finished run.
func ReadMetrics(dir string) (*Metrics, error) {
	b, err := os.ReadFile(filepath.Join(dir, MetricsFile))
	if err != nil {
		return nil, fmt.Errorf("%s 里没有跑完的评测：%w", dir, err)
	}
	var m Metrics
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s 的 %s 坏了：%w", dir, MetricsFile, err)
	}
	return &m, nil
}

// writeJSON replaces a file at once, so that a sudden end leaves the old one.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("写不了 %s：%w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("写不了 %s：%w", path, err)
	}
	return nil
}
