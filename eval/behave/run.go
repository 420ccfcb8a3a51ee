package behave

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/stat"
)

// Options of a run. The zero value runs everything with the machine's
// processors.
type Options struct {
	Jobs    int           // analyses at once; 0: as many as processors
	Timeout time.Duration // of one analysis; 0: a minute
	Seed    uint64        // of templates and perturbations
	// Identity names what the answers of the system depend on, for Report.Identity.
	Identity map[string]string
	// Progress is told after each analysis, one at a time.
	Progress func(done, total int)
}

// Report is what a system made of a suite. It holds no time, so that the same
// answers give the same bytes.
type Report struct {
	Schema string `json:"schema"`
	Suite  string `json:"suite"` // hash of the test files
	System string `json:"system"`
	// Identity names what the answers depend on, as that of an evaluated system
	// does: hashes of weights and words. Reports without one are older.
	Identity map[string]string `json:"identity,omitempty"`
	Seed     uint64            `json:"seed"`
	N        int               `json:"n"`      // cases
	Failed   int               `json:"failed"` // cases, errors included
	Errors   int               `json:"errors"` // cases without an answer
	Groups   []Group           `json:"capabilities"`
	Tests    []TestResult      `json:"tests"` // in the order of the suite
}

// Group sums up the tests of one capability.
type Group struct {
	Capability string `json:"capability"`
	Title      string `json:"title"`
	Tests      int    `json:"tests"`
	Passed     int    `json:"passed"`
	Rate
}

// Rate is a share of failed cases with its 95 % Wilson interval.
type Rate struct {
	N      int     `json:"n"`
	Failed int     `json:"failed"`
	Rate   float64 `json:"rate"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// TestResult is what a system made of one test.
type TestResult struct {
	Name       string  `json:"name"`
	Title      string  `json:"title"`
	Capability string  `json:"capability"`
	Kind       Kind    `json:"kind"`
	Pass       float64 `json:"pass"` // the share of cases that must hold
	Passed     bool    `json:"passed"`
	Rate
	Errors   int       `json:"errors"`
	Failures []Failure `json:"failures,omitempty"` // in the order of the cases
}

// Failure is a case that does not hold. The texts are the suite's own.
type Failure struct {
	Before string   `json:"before,omitempty"`
	After  string   `json:"after"`
	How    string   `json:"how,omitempty"`
	Why    []string `json:"why"`
	Error  string   `json:"error,omitempty"` // code of the failure of the system
}

const schema = "1"

// Run tests a system. A case whose analysis fails has failed, and is counted
// among the errors too. The error of Run is that of ctx, or of an analysis
// that is neither an answer nor an error.
func Run(ctx context.Context, s *Suite, name string, system System, o Options) (*Report, error) {
	// Every conversation is analysed once, however many cases it is part of.
	var inputs []*qingting.Transcript
	place := map[string]int{}
	index := func(t *qingting.Transcript) int {
		key := keyOf(t)
		if _, ok := place[key]; !ok {
			place[key] = len(inputs)
			inputs = append(inputs, t)
		}
		return place[key]
	}
	type planned struct{ before, after int }
	cases := make([][]Case, len(s.Tests))
	plan := make([][]planned, len(s.Tests))
	for i, t := range s.Tests {
		var err error
		if cases[i], err = s.Cases(t, o.Seed); err != nil {
			return nil, &Error{t.file, t.line, fmt.Sprintf("测试 %s：%s", t.Name, err)}
		}
		for j := range cases[i] {
			p := planned{before: -1, after: index(&cases[i][j].After)}
			if cases[i][j].Before != nil {
				p.before = index(cases[i][j].Before)
			}
			plan[i] = append(plan[i], p)
		}
	}
	answers, errs, err := analyze(ctx, system, inputs, &o)
	if err != nil {
		return nil, err
	}

	report := &Report{Schema: schema, Suite: s.Hash, System: name, Identity: o.Identity, Seed: o.Seed}
	for i, t := range s.Tests {
		r := TestResult{Name: t.Name, Title: t.Title, Capability: t.Capability, Kind: t.Kind, Pass: cmp.Or(t.Pass, 1)}
		r.N = len(cases[i])
		for j := range cases[i] {
			c, p := &cases[i][j], plan[i][j]
			f := Failure{After: render(&c.After), How: c.How}
			failed := errs[p.after]
			if c.Before != nil {
				f.Before = render(c.Before)
				failed = cmp.Or(errs[p.before], failed)
			}
			switch {
			case failed != "":
				f.Error, f.Why = failed, []string{"系统没有给出结果（" + failed + "）"}
				r.Errors++
			case t.Kind == MFT:
				f.Why = t.Expect.broken(answers[p.after])
			case t.Kind == INV:
				f.Why = t.changed(answers[p.before], answers[p.after])
			default:
				f.Why = t.Direction.broken(answers[p.before], answers[p.after], t.Tolerance)
			}
			if len(f.Why) > 0 {
				r.Failures = append(r.Failures, f)
			}
		}
		r.Failed = len(r.Failures)
		if err := r.interval(); err != nil {
			return nil, err
		}
		r.Passed = r.holds()
		report.Tests = append(report.Tests, r)
	}
	return report, report.sum()
}

// analyze asks the system for every input, at most so many at once.
func analyze(ctx context.Context, system System, inputs []*qingting.Transcript, o *Options) ([]*answer, []string, error) {
	answers, errs := make([]*answer, len(inputs)), make([]string, len(inputs))
	var mu sync.Mutex
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cmp.Or(o.Jobs, runtime.GOMAXPROCS(0)))
	for i := range inputs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			one, cancel := context.WithTimeout(ctx, cmp.Or(o.Timeout, time.Minute))
			defer cancel()
			a, err := system(one, *inputs[i])
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				errs[i] = code(err)
			case a == nil:
				return errors.New("behave: the system gave neither an analysis nor an error")
			default:
				answers[i] = newAnswer(a)
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			if o.Progress != nil {
				o.Progress(done, len(inputs))
			}
			return nil
		})
	}
	err := g.Wait()
	return answers, errs, err
}

// code is the stable name of a failure.
func code(err error) string {
	var input *qingting.InputError
	var named interface{ ErrorCode() string }
	switch {
	case errors.As(err, &input):
		return input.Code
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &named):
		return named.ErrorCode()
	}
	return "failed"
}

// holds reports whether enough cases hold.
func (r *TestResult) holds() bool {
	return r.N > 0 && float64(r.N-r.Failed) >= r.Pass*float64(r.N)-1e-9
}

func (r *Rate) interval() error {
	if r.N == 0 {
		return nil
	}
	r.Rate = float64(r.Failed) / float64(r.N)
	var err error
	r.Low, r.High, err = stat.Wilson(r.Failed, r.N, 0.95)
	return err
}

// sum fills in the totals and the capabilities.
func (r *Report) sum() error {
	all, err := r.Sum("", "")
	if err != nil {
		return err
	}
	r.N, r.Failed, r.Errors, r.Groups = all.N, all.Failed, 0, nil
	for i := range r.Tests {
		r.Errors += r.Tests[i].Errors
	}
	for _, c := range Capabilities() {
		g, err := r.Sum(c.Code, "")
		if err != nil {
			return err
		}
		if g.Tests > 0 {
			r.Groups = append(r.Groups, g)
		}
	}
	return nil
}

// Sum counts the tests of one capability and of one kind; "" is any. Its
// interval takes the cases for independent, which several changes of one text
// are not quite.
func (r *Report) Sum(capability string, kind Kind) (Group, error) {
	g := Group{Capability: capability}
	for _, c := range Capabilities() {
		if c.Code == capability {
			g.Title = c.Title
		}
	}
	for i := range r.Tests {
		t := &r.Tests[i]
		if capability != "" && t.Capability != capability || kind != "" && t.Kind != kind {
			continue
		}
		g.Tests++
		if t.Passed {
			g.Passed++
		}
		g.N += t.N
		g.Failed += t.Failed
	}
	return g, g.interval()
}

// Passed reports whether every test passes.
func (r *Report) Passed() bool {
	for i := range r.Tests {
		if !r.Tests[i].Passed {
			return false
		}
	}
	return true
}
