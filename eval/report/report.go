// Package report writes a run of the evaluation as one HTML file: the verdict
// against a baseline, the figures with their intervals, curves, confusion,
// slices, times, the behavioural tests that fail, what changed since another
// run, every row, and what made the run. The file needs no network and asks for nothing: styles, drawings and one
// script of ours are inside, and its content security policy forbids the rest.
//
// The same run is also written as Markdown, CSV, JSON, JUnit and TREC files.
// Texts of a dataset are in none of them unless the dataset is given (Options);
// those of the behavioural tests are our own and are shown.
package report

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/behave"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/gate"
)

// Options of a report. The zero value shows the run alone and without texts.
type Options struct {
	// Baseline is the folder of the run that this one is held against.
	Baseline string
	// Policy are the gates; nil: differences to the baseline without a verdict.
	Policy *gate.Policy
	// Compare is the folder of another run, shown beside this one; empty: the
	// baseline.
	Compare string
	// Data is where the rows came from. With it the report holds the texts of the
	// examples: whoever gets the file can read them.
	Data *dataset.Dataset
	// Behave are the results of the behavioural tests, which are no part of a run;
	// Known is the list their failures are held against. Both may be nil.
	Behave []*behave.Report
	Known  *behave.Known
	// Rounds of the resampling of differences; 0: 1,000.
	Rounds int
}

// Report is a run made ready to be written. It is not changed by writing, so
// its methods may be called concurrently, and write the same bytes each time.
type Report struct {
	Name     string // of the run's folder, without where it is
	Manifest *eval.Manifest
	Metrics  *eval.Metrics
	Systems  []System

	// Baseline and Before name the runs of Options, empty without.
	Baseline, Before string
	Verdict          *gate.Verdict // nil: no baseline, no policy, or Note
	Note             string        // why there is no verdict

	// Behave and Known are those of Options.
	Behave []*behave.Report
	Known  *behave.Known

	// Texts are the messages of examples, by suite and hash; Grades the judgements
	// by query. Both are nil without Options.Data.
	Texts  map[Example][]qingting.Message
	Grades map[string]map[string]int
}

// Example names an example of a suite by its hash.
type Example struct {
	Suite dataset.Suite
	Hash  string
}

// System is one system of the run.
type System struct {
	eval.SystemMetrics
	Rows  []*eval.Row
	Times map[string]float64 // milliseconds by id of the example; nil: not kept

	// Before are the rows of the same system in the run before; Comparison and
	// Speed compare with them. All are nil when that run has no such system; Speed
	// is nil as well when the machines differ.
	Before     []*eval.Row
	Comparison *eval.Comparison
	Speed      *eval.Speed
}

// Reads reports whether the system reads the texts at all: a constant baseline
// does not, and its curves say nothing.
func (s *System) Reads() bool { return s.Identity["baseline"] == "" }

// Suite returns the figures on a suite, nil when the system was not run on it.
func (s *System) Suite(name dataset.Suite) *eval.SuiteMetrics {
	for i := range s.Suites {
		if s.Suites[i].Suite == name {
			return &s.Suites[i]
		}
	}
	return nil
}

// Read reads a finished run from its folder, and what Options name.
func Read(run string, o Options) (*Report, error) {
	abs, err := filepath.Abs(run)
	if err != nil {
		return nil, err
	}
	r := &Report{Name: filepath.Base(abs), Behave: o.Behave, Known: o.Known}
	if r.Manifest, err = eval.ReadManifest(run); err != nil {
		return nil, err
	}
	if r.Metrics, err = eval.ReadMetrics(run); err != nil {
		return nil, err
	}
	for _, m := range r.Metrics.Systems {
		s := System{SystemMetrics: m}
		if s.Rows, err = eval.ReadRows(filepath.Join(run, m.Name)); err != nil {
			return nil, err
		}
		if s.Times, err = eval.ReadTimes(filepath.Join(run, m.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		r.Systems = append(r.Systems, s)
	}
	if err := r.judge(run, &o); err != nil {
		return nil, err
	}
	if before := cmp.Or(o.Compare, o.Baseline); before != "" {
		if err := r.compare(before, &o); err != nil {
			return nil, err
		}
	}
	if o.Data != nil {
		return r, r.readTexts(o.Data)
	}
	return r, nil
}

func (r *Report) judge(run string, o *Options) error {
	switch {
	case o.Baseline == "":
		r.Note = "没有基线"
		return nil
	case o.Policy == nil:
		r.Baseline, r.Note = base(o.Baseline), "有基线，没有门限文件：只列出差，不下结论"
		return nil
	}
	r.Baseline = base(o.Baseline)
	v, err := gate.Judge(o.Baseline, run, o.Policy, eval.Resampling{Rounds: 2 * cmp.Or(o.Rounds, 1000)})
	if errors.Is(err, gate.ErrLimited) {
		r.Note = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	v.Base, v.Candidate = r.Baseline, r.Name
	r.Verdict = v
	return nil
}

func base(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return filepath.Base(dir)
}

// compare meets every system with the one of the same name in another run.
func (r *Report) compare(dir string, o *Options) error {
	r.Before = base(dir)
	was, err := eval.ReadMetrics(dir)
	if err != nil {
		return err
	}
	made, err := eval.ReadManifest(dir)
	if err != nil {
		return err
	}
	resampling := eval.Resampling{Rounds: o.Rounds}
	for i := range r.Systems {
		s := &r.Systems[i]
		if !slices.ContainsFunc(was.Systems, func(w eval.SystemMetrics) bool { return w.Name == s.Name }) {
			continue
		}
		if s.Before, err = eval.ReadRows(filepath.Join(dir, s.Name)); err != nil {
			return err
		}
		if s.Comparison, err = eval.Compare(s.Before, s.Rows, resampling, 0.95); err != nil {
			return fmt.Errorf("系统 %s：%w", s.Name, err)
		}
		if name := r.Manifest.Machine["name"]; name == "" || name != made.Machine["name"] || s.Times == nil {
			continue
		}
		times, err := eval.ReadTimes(filepath.Join(dir, s.Name))
		if err != nil {
			continue // a baseline may come without its times
		}
		if speed, err := eval.CompareSpeed(times, s.Times, resampling, 0.95); err == nil {
			s.Speed = &speed
		}
	}
	return nil
}

// readTexts takes from the dataset the texts of the examples in the run.
func (r *Report) readTexts(d *dataset.Dataset) error {
	wanted := map[Example]bool{}
	for i := range r.Systems {
		for _, row := range r.Systems[i].Rows {
			wanted[Example{row.Suite, row.Hash}] = true
		}
	}
	r.Texts, r.Grades = map[Example][]qingting.Message{}, map[string]map[string]int{}
	for i := range d.Files {
		if err := r.readFile(d, &d.Files[i], wanted); err != nil {
			return err
		}
	}
	if len(r.Texts) == 0 {
		return errors.New("数据集里没有这次评测的任何一个样本：检查 --data 是不是评测用的那一份")
	}
	return nil
}

func (r *Report) readFile(d *dataset.Dataset, f *dataset.File, wanted map[Example]bool) error {
	keep := func(p *dataset.Place, messages []qingting.Message) {
		if e := (Example{f.Suite, p.Hash}); wanted[e] {
			r.Texts[e] = messages
		}
	}
	customer := func(text string) []qingting.Message {
		return []qingting.Message{{Role: qingting.RoleCustomer, Text: text}}
	}
	switch f.Suite {
	case dataset.SuiteTriage:
		for e, err := range dataset.Read[dataset.Example](d, f) {
			if err != nil {
				return err
			}
			keep(&e.Place, e.Messages)
		}
	case dataset.SuiteSatisfaction:
		for e, err := range dataset.Read[dataset.Rated](d, f) {
			if err != nil {
				return err
			}
			keep(&e.Place, e.Messages)
		}
	case dataset.SuiteRetrieval:
		grades, err := d.Qrels(f)
		if err != nil {
			return err
		}
		for q, err := range dataset.Read[dataset.Query](d, f) {
			if err != nil {
				return err
			}
			if wanted[Example{f.Suite, q.Hash}] {
				r.Grades[q.ID] = grades[q.ID]
			}
			if q.Text != "" {
				keep(&q.Place, customer(q.Text))
			} else {
				keep(&q.Place, q.Messages)
			}
		}
	case dataset.SuiteReply:
		for e, err := range dataset.Read[dataset.Reply](d, f) {
			if err != nil {
				return err
			}
			keep(&e.Place, customer(eval.Asked(e)))
		}
	case dataset.SuiteText:
		for e, err := range dataset.Read[dataset.Text](d, f) {
			if err != nil {
				return err
			}
			keep(&e.Place, customer(e.Text))
		}
	}
	return nil
}

// suites are those of any system, in the order of dataset.Suites.
func (r *Report) suites() []dataset.Suite {
	var out []dataset.Suite
	for _, name := range dataset.Suites() {
		if slices.ContainsFunc(r.Systems, func(s System) bool { return s.Suite(name) != nil }) {
			out = append(out, name)
		}
	}
	return out
}
