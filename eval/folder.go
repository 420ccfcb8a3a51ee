package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// openRun begins a run in a folder, or checks that the run in it is the same.
func openRun(dir string, want *Manifest) error {
	path := filepath.Join(dir, ManifestFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return writeJSON(path, want)
	}
	if err != nil {
		return fmt.Errorf("读不了评测目录：%w", err)
	}
	var have Manifest
	if err := json.Unmarshal(b, &have); err != nil {
		return fmt.Errorf("%s 不是评测的清单：%s", path, jsonFault(err))
	}
	same := have.Dataset.Hash == want.Dataset.Hash && have.Limit == want.Limit && have.Seed == want.Seed && have.Rounds == want.Rounds &&
		slices.EqualFunc(have.Systems, want.Systems, func(a, b SystemID) bool { return a.Name == b.Name && maps.Equal(a.Identity, b.Identity) })
	if !same {
		return fmt.Errorf("%s 里是另一次评测（数据、系统或选项不同）：换一个 --out 目录，或先删掉它", dir)
	}
	want.Started = have.Started
	return nil
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
				return nil, fmt.Errorf("%s 第 %d 行坏了：%s", f.Name(), n, jsonFault(err))
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

// jsonFault says in Chinese why a file that we wrote cannot be read back.
func jsonFault(err error) string {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &syntax) && strings.HasPrefix(syntax.Error(), "unexpected end"):
		return "没有写完"
	case errors.As(err, &syntax):
		return fmt.Sprintf("第 %d 个字节处不是合法的 JSON", syntax.Offset)
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Sprintf("%s 的类型不对", wrong.Field)
	}
	return "内容不是评测写的样子"
}

// ReadManifest reads what made a run.
func ReadManifest(dir string) (*Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		return nil, fmt.Errorf("%s 里没有评测：%w", dir, err)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s 坏了：%s", filepath.Join(dir, ManifestFile), jsonFault(err))
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
			return nil, fmt.Errorf("%s 坏了：%s", f.Name(), jsonFault(err))
		}
		if !t.Recorded {
			out[t.ID] = t.MS
		}
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
		return nil, fmt.Errorf("%s 坏了：%s", filepath.Join(dir, MetricsFile), jsonFault(err))
	}
	return &m, nil
}

// writeJSON replaces a file at once, so that a sudden end leaves the old one.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("写不了 %s：%w", path, err)
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
