// Package xcheck re-derives the figures of packages metric and stat with
// scikit-learn, scipy, statsmodels, krippendorff and pytrec_eval and compares
// every one. The cases are made here from a seed, with the trouble real data has:
// ties, classes that nobody predicts, single classes, rows of weight 0, queries
// that a run misses. The reference figures of the same cases are committed beside
// both packages, so their tests need no Python; Run asks the libraries again.
package xcheck

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

//go:embed reference.py
var script string

// casesPerFamily is how many random cases each family has.
const casesPerFamily = 200

// seed makes the cases; a reference keeps its own cases, so changing it changes
// only what is derived anew.
const seed = 20240601

// Reference holds cases and what the reference libraries say of them. Figures
// that do not exist are nil.
type Reference struct {
	Versions map[string]string                `json:"versions"`
	Cases    map[string][]json.RawMessage     `json:"cases"`
	Figures  map[string][]map[string]*float64 `json:"figures"`
}

// Result is one family's comparison.
type Result struct {
	Family         string
	Cases, Figures int
	// Largest is the largest |Δ|; +Inf where one side has a figure that the other
	// has not. Where names case and figure.
	Largest, Tolerance float64
	Where              string
}

// OK tells whether every figure agrees.
func (r Result) OK() bool { return r.Largest <= r.Tolerance }

// family makes the cases of one kind of figures and computes them with our code.
type family struct {
	name      string
	statistic bool // of package stat, else metric
	tolerance float64
	make      func(*rand.Rand) any
	figures   func(json.RawMessage) (map[string]float64, error)
}

func newFamily[T any](name string, tolerance float64, create func(*rand.Rand) T, figures func(T) (map[string]float64, error)) family {
	return family{
		name: name, tolerance: tolerance,
		make: func(rng *rand.Rand) any { return create(rng) },
		figures: func(raw json.RawMessage) (map[string]float64, error) {
			var c T
			if err := json.Unmarshal(raw, &c); err != nil {
				return nil, err
			}
			return figures(c)
		},
	}
}

// Scope selects families by the package that has the figures.
type Scope int

const (
	All Scope = iota
	Metric
	Stat
)

func (s Scope) families() []family {
	return slices.DeleteFunc(families(), func(f family) bool {
		return s == Metric && f.statistic || s == Stat && !f.statistic
	})
}

// Derive makes the cases of a scope and asks the given python3 for the reference
// figures.
func Derive(ctx context.Context, python string, scope Scope) (Reference, error) {
	ref := Reference{Cases: map[string][]json.RawMessage{}}
	for _, f := range scope.families() {
		// A family's cases must not depend on which other families there are.
		name := fnv.New64a()
		name.Write([]byte(f.name))
		rng := rand.New(rand.NewPCG(seed, name.Sum64()))
		for range casesPerFamily {
			raw, err := json.Marshal(f.make(rng))
			if err != nil {
				return Reference{}, err
			}
			ref.Cases[f.name] = append(ref.Cases[f.name], raw)
		}
	}
	input, err := json.Marshal(ref.Cases)
	if err != nil {
		return Reference{}, err
	}
	cmd := exec.CommandContext(ctx, python, "-c", script)
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return Reference{}, ctx.Err()
		}
		return Reference{}, fmt.Errorf("运行参考脚本(%s):%w;请确认它是可用的 python3\n%s", python, err, tail(stderr.String()))
	}
	var answer struct {
		Missing  []string                         `json:"missing"`
		Versions map[string]string                `json:"versions"`
		Figures  map[string][]map[string]*float64 `json:"figures"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
		return Reference{}, fmt.Errorf("参考脚本的输出不是 JSON:%w\n%s", err, tail(stderr.String()))
	}
	if len(answer.Missing) > 0 {
		return Reference{}, fmt.Errorf("%s 缺少参考库 %s;请安装:apt install python3-sklearn python3-scipy python3-statsmodels,以及 pip install krippendorff pytrec_eval(没有编译环境时用 pytrec_eval-terrier)",
			python, strings.Join(answer.Missing, "、"))
	}
	ref.Versions, ref.Figures = answer.Versions, answer.Figures
	return ref, nil
}

// tail is the end of a traceback, which says what went wrong.
func tail(s string) string {
	const most = 2000
	s = strings.ToValidUTF8(s, "?")
	return s[max(0, len(s)-most):]
}

// Compare computes every case of the reference with our code. It is an error
// when the reference has no cases of a family in scope, or figures that we lack.
func (r Reference) Compare(scope Scope) ([]Result, error) {
	var out []Result
	for _, f := range scope.families() {
		cases, answers := r.Cases[f.name], r.Figures[f.name]
		if len(cases) == 0 || len(cases) != len(answers) {
			return nil, fmt.Errorf("参考数据的 %s 有 %d 个用例和 %d 份答案;请重新生成", f.name, len(cases), len(answers))
		}
		result := Result{Family: f.name, Cases: len(cases), Tolerance: f.tolerance}
		for i, raw := range cases {
			ours, err := f.figures(raw)
			if err != nil {
				return nil, fmt.Errorf("%s 的第 %d 个用例:%w", f.name, i, err)
			}
			names := map[string]bool{}
			for name := range ours {
				names[name] = true
			}
			for name := range answers[i] {
				names[name] = true
			}
			for _, name := range slices.Sorted(maps.Keys(names)) {
				result.Figures++
				own, have := ours[name]
				theirs, known := answers[i][name]
				delta := math.Inf(1)
				if have && known {
					delta = distance(own, theirs)
				}
				if delta > result.Largest {
					result.Largest, result.Where = delta, fmt.Sprintf("#%d %s", i, name)
				}
			}
		}
		out = append(out, result)
	}
	return out, nil
}

// distance is |Δ|, relative above 1 because sample sizes and points summed over a
// curve are large; a figure that does not exist agrees only with another.
func distance(own float64, theirs *float64) float64 {
	absent := math.IsNaN(own) || math.IsInf(own, 0)
	switch {
	case absent && theirs == nil:
		return 0
	case absent || theirs == nil:
		return math.Inf(1)
	}
	return math.Abs(own-*theirs) / max(1, math.Abs(*theirs))
}

// Run derives the reference figures of all families with the given python3,
// compares every figure and prints a table. The error says that a library is
// missing or that figures disagree.
func Run(ctx context.Context, python string, w io.Writer) error {
	ref, err := Derive(ctx, python, All)
	if err != nil {
		return err
	}
	results, err := ref.Compare(All)
	if err != nil {
		return err
	}
	return Print(w, ref.Versions, results)
}

// ErrDisagree is returned when a figure is off by more than its tolerance.
var ErrDisagree = errors.New("与参考库的结果不一致")

// Print writes the table of results. The error is of writing, or ErrDisagree.
func Print(w io.Writer, versions map[string]string, results []Result) error {
	var out strings.Builder
	line := func(cells ...string) {
		for i, width := range []int{16, 8, 10, 14, 12} {
			out.WriteString(runewidth.FillRight(cells[i], width))
		}
		out.WriteString(strings.TrimRight(cells[5], " ") + "\n")
	}
	line("类别", "用例", "指标数", "最大 |Δ|", "容许", "最大处")
	worst := []string{}
	for _, r := range results {
		line(r.Family, fmt.Sprint(r.Cases), fmt.Sprint(r.Figures), fmt.Sprintf("%.2g", r.Largest), fmt.Sprintf("%.0e", r.Tolerance), r.Where)
		if !r.OK() {
			worst = append(worst, r.Family)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		fmt.Fprintf(&out, "%s %s\n", name, versions[name])
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return err
	}
	if len(worst) > 0 {
		return fmt.Errorf("%w:%s", ErrDisagree, strings.Join(worst, "、"))
	}
	return nil
}

// Read reads a reference that Write wrote.
func Read(r io.Reader) (Reference, error) {
	var ref Reference
	z, err := gzip.NewReader(r)
	if err != nil {
		return ref, fmt.Errorf("参考数据不是 gzip:%w", err)
	}
	if err := json.NewDecoder(z).Decode(&ref); err != nil {
		return ref, fmt.Errorf("参考数据不是 JSON:%w", err)
	}
	return ref, nil
}

// Write writes a reference as gzipped JSON; the same reference gives the same
// bytes.
func (r Reference) Write(w io.Writer) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(z).Encode(r); err != nil {
		return err
	}
	return z.Close()
}
