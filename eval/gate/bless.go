package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/qingting-ai/qingting/eval"
)

// historyFile keeps why the baseline moved, one JSON object a line.
const historyFile = "history.jsonl"

// Blessing is one move of the baseline.
type Blessing struct {
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
	Program string    `json:"program"`
	Dataset string    `json:"dataset"` // hash
	Moved   []Move    `json:"moved"`   // figures that are not what they were
}

// Move is one figure of the baseline that changed.
type Move struct {
	System string      `json:"system"`
	Figure string      `json:"figure"`
	From   eval.Number `json:"from"`
	To     eval.Number `json:"to"`
}

// Bless makes the run in the folder candidate the baseline in the folder base.
// A reason is required and kept with every figure that moved. Rows hold no
// text, so a baseline may be committed where its dataset may be named.
func Bless(base, candidate, reason string) (*Blessing, error) {
	reason = strings.TrimSpace(reason)
	if reason == "" {
		return nil, errors.New("移动基线要写明原因：--reason \"…\"")
	}
	now, err := eval.ReadMetrics(candidate)
	if err != nil {
		return nil, err
	}
	if now.Limit > 0 {
		return nil, ErrLimited
	}
	if now.Failed {
		return nil, ErrFailed
	}
	if err := notEmpty(candidate, now); err != nil {
		return nil, err
	}
	for _, s := range now.Systems {
		if err := whole(filepath.Join(candidate, s.Name), &s); err != nil {
			return nil, err
		}
	}
	manifest, err := eval.ReadManifest(candidate)
	if err != nil {
		return nil, err
	}
	b := &Blessing{At: time.Now().UTC().Truncate(time.Second), Reason: reason, Program: manifest.Program, Dataset: now.Dataset.Hash, Moved: []Move{}}
	was, err := eval.ReadMetrics(base)
	switch {
	case err == nil:
		b.Moved = moved(was, now)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, fmt.Errorf("建不了基线目录：%w", err)
	}
	files := []string{eval.MetricsFile, eval.ManifestFile}
	for _, s := range now.Systems {
		if err := os.MkdirAll(filepath.Join(base, s.Name), 0o755); err != nil {
			return nil, fmt.Errorf("建不了基线目录：%w", err)
		}
		files = append(files, filepath.Join(s.Name, eval.RowsFile), filepath.Join(s.Name, eval.TimesFile))
	}
	for _, name := range files {
		if err := copyFile(filepath.Join(base, name), filepath.Join(candidate, name)); err != nil {
			return nil, err
		}
	}
	line, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(base, historyFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("写不了基线的历史：%w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return b, errors.Join(err, f.Close())
}

// whole checks that the rows of a system are those its figures were made of:
// from now on they are what every run is compared with.
func whole(dir string, s *eval.SystemMetrics) error {
	rows, err := eval.ReadRows(dir)
	if err != nil {
		return err
	}
	n := 0
	for _, suite := range s.Suites {
		n += suite.N
	}
	if n != len(rows) {
		return fmt.Errorf("%s 里有 %d 条结果，而数字是 %d 条的：请重新运行 eval run", dir, len(rows), n)
	}
	return nil
}

func moved(was, now *eval.Metrics) []Move {
	type key struct{ system, figure string }
	before := map[key]eval.Number{}
	for _, s := range was.Systems {
		for _, suite := range s.Suites {
			for _, f := range suite.Figures {
				before[key{s.Name, f.Name}] = f.Value
			}
		}
	}
	out := []Move{}
	for _, s := range now.Systems {
		for _, suite := range s.Suites {
			for _, f := range suite.Figures {
				if v, ok := before[key{s.Name, f.Name}]; ok && v != f.Value && (v == v || f.Value == f.Value) {
					out = append(out, Move{s.Name, f.Name, v, f.Value})
				}
			}
		}
	}
	return out
}

func copyFile(to, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("读不了这次评测：%w", err)
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("写不了基线：%w", err)
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}
