package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/internal/strictyaml"
	"github.com/qingting-ai/qingting/internal/text"
)

// Exit codes of eval beside those of the other commands.
const (
	exitErrors      = 75  // too many examples failed
	exitInterrupted = 130 // Ctrl-C; the run can be gone on with
)

// evalConfig is an eval.yaml; flags override it.
type evalConfig struct {
	Dataset   string   `yaml:"dataset"` // dataset.yaml or a .jsonl of labelled conversations, from the folder of the file
	Root      string   `yaml:"root"`    // folder of the dataset's files; empty: that of dataset.yaml
	Suites    []string `yaml:"suites"`
	Splits    []string `yaml:"splits"`
	Systems   []string `yaml:"systems"`
	Out       string   `yaml:"out"` // folder of the run
	Jobs      int      `yaml:"jobs"`
	Timeout   string   `yaml:"timeout"` // of one example: 30s
	Limit     int      `yaml:"limit"`   // examples a file
	Seed      uint64   `yaml:"seed"`
	Rounds    int      `yaml:"rounds"`
	MaxErrors float64  `yaml:"max_errors"` // share of failed examples
	// Models are further systems that can be named: chat models behind an
	// OpenAI-compatible service.
	Models []modelConfig `yaml:"models"`
}

func (p *program) evalRunCommand() *cobra.Command {
	var file string
	var c evalConfig
	cmd := &cobra.Command{
		Use:   "run [suite…]",
		Short: "在数据集上评测系统，把每条结果和数字写进一个目录",
		Long: `在数据集上运行一个或几个系统，逐条结果写进 目录/系统/rows.jsonl（不含原文），数字和 95% 区间写进 目录/metrics.json。
中断（Ctrl-C、断电、kill）以后用同样的命令接着跑，metrics.json 与没有中断过的一字不差。

系统：full、fast 是内置流水线的两种模式；keyword 只用规则；bm25 只按词检索；majority、always_high、never_high 什么也不读，是基线。
suite：triage（类型、情绪、风险）、satisfaction（满意度）、retrieval（案例检索）、reply（回复草稿）、
pairs（两句话是不是一个意思）、text（脱敏、分词、转写）。不写就是数据集里有的全部。
先按 eval data lint 检查要用的文件，有错误（会让数字不对的，不含没脱敏的个人信息）就不评测，退出码 65。
一个目录同时只能有一个 eval run 在写。退出码：0 跑完，64 用法，65 数据，75 失败的样本太多，130 中断。`,
		Example: `  qingting eval run --data eval/testdata/suite/dataset.yaml --out runs/today
  qingting eval run triage --data dev.jsonl --system full,fast,majority --out runs/dev
  qingting eval run -c eval.yaml --limit 20 --out runs/try        # 试跑，不能过门

大模型（OpenAI 兼容接口）写在 eval.yaml 里，密钥放在环境变量里，回答录进 cache_dir，重跑不再花钱：
  dataset: dev.jsonl
  systems: [full, qwen]
  timeout: 3m
  models:
    - {name: qwen, base_url: "https://host/v1", model: qwen-plus, key_env: LLM_KEY, cache: live, budget: 20, price_in: 0.8, price_out: 2}`,
		Annotations: map[string]string{"args": "suite…"},
		RunE: func(cmd *cobra.Command, args []string) error {
			config := newEvalConfig()
			if file != "" {
				if err := config.read(file); err != nil {
					return err
				}
			}
			flags := cmd.Flags()
			for name, take := range map[string]func(){
				"data": func() { config.Dataset = c.Dataset }, "system": func() { config.Systems = c.Systems },
				"root": func() { config.Root = c.Root }, "split": func() { config.Splits = c.Splits }, "out": func() { config.Out = c.Out }, "jobs": func() { config.Jobs = c.Jobs },
				"timeout": func() { config.Timeout = c.Timeout }, "limit": func() { config.Limit = c.Limit },
				"seed": func() { config.Seed = c.Seed }, "rounds": func() { config.Rounds = c.Rounds },
			} {
				if flags.Changed(name) {
					take()
				}
			}
			if len(args) > 0 {
				config.Suites = args
			}
			return p.evalRun(cmd.Context(), config)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "config", "c", "", "配置文件 eval.yaml；选项优先于它")
	f.StringVar(&c.Dataset, "data", "", "数据集：dataset.yaml，或一个带标注的 .jsonl")
	f.StringVar(&c.Root, "root", "", "数据集的文件所在的目录，默认是 dataset.yaml 的目录")
	f.StringSliceVar(&c.Systems, "system", []string{systemFull, systemFast}, "系统，用逗号隔开")
	f.StringSliceVar(&c.Splits, "split", nil, "只用这些部分：train、dev、test（默认除 train 外全部）")
	f.StringVar(&c.Out, "out", "", "结果目录")
	f.IntVarP(&c.Jobs, "jobs", "j", 0, "同时评测几条，0 为处理器核数")
	f.StringVar(&c.Timeout, "timeout", "1m", "一条最多用多久")
	f.IntVar(&c.Limit, "limit", 0, "每个文件最多几条；限量的结果不能过门")
	f.Uint64Var(&c.Seed, "seed", 0, "重抽样的种子")
	f.IntVar(&c.Rounds, "rounds", defaultRounds, "重抽样的次数")
	return cmd
}

// newEvalConfig holds what an eval.yaml need not say.
func newEvalConfig() *evalConfig {
	return &evalConfig{Systems: []string{systemFull, systemFast}, Rounds: defaultRounds}
}

// defaultRounds of the bootstrap give an interval its second digit.
const defaultRounds = 1000

// read takes an eval.yaml over the defaults; relative paths in it count from
// its folder.
func (c *evalConfig) read(file string) error {
	if err := readYAML(file, c); err != nil {
		return err
	}
	dir := filepath.Dir(file)
	c.Dataset, c.Root = beside(dir, c.Dataset), beside(dir, c.Root)
	for i := range c.Models {
		m := &c.Models[i]
		m.CacheDir = beside(dir, cmp.Or(m.CacheDir, defaultCacheDir))
	}
	return nil
}

// beside takes a relative path of a file from the folder the file is in.
func beside(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func readYAML(path string, to any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return usageError("找不到配置文件 %s，请检查路径", path)
	}
	if err != nil {
		return dataError(fmt.Errorf("读不了配置文件 %s：%w", path, err))
	}
	if err := strictyaml.Unmarshal(b, to); err != nil {
		return usageError("配置文件 %s %s", path, dataset.YAMLError(err))
	}
	return nil
}

func (c *evalConfig) options() (eval.Options, error) {
	o := eval.Options{Jobs: c.Jobs, Limit: c.Limit, MaxErrors: c.MaxErrors, Resampling: eval.Resampling{Rounds: c.Rounds, Seed: c.Seed}}
	for _, s := range c.Suites {
		suite := dataset.Suite(s)
		if !slices.Contains(dataset.Suites(), suite) {
			return o, usageError("没有 suite %q，可用的有 %v", s, dataset.Suites())
		}
		o.Suites = append(o.Suites, suite)
	}
	for _, s := range c.Splits {
		part := dataset.Part(s)
		if !slices.Contains(dataset.Parts(), part) {
			return o, usageError("没有 split %q，可用的有 %v", s, dataset.Parts())
		}
		o.Splits = append(o.Splits, part)
	}
	if c.Timeout != "" {
		var err error
		if o.Timeout, err = time.ParseDuration(c.Timeout); err != nil || o.Timeout <= 0 {
			return o, usageError("timeout %q 不是一段时间，写成 30s 或 2m", c.Timeout)
		}
	}
	switch {
	case c.Jobs < 0 || c.Limit < 0:
		return o, usageError("jobs 和 limit 不能是负数：jobs 写 0 是处理器核数，limit 写 0 是全部")
	case c.Rounds < 1:
		return o, usageError("rounds 是 %d：重抽样的次数至少是 1，默认 %d", c.Rounds, defaultRounds)
	case !(c.MaxErrors >= 0 && c.MaxErrors <= 1):
		return o, usageError("max_errors 是 %v，要在 0 和 1 之间", c.MaxErrors)
	}
	return o, nil
}

// checkSystems refuses a list of systems that no run could be of.
func (c *evalConfig) checkSystems() error {
	if len(c.Systems) == 0 {
		return usageError("没有写要评测的系统：--system full,fast（选项），或 systems: [full, fast]（配置文件）")
	}
	for i, name := range c.Systems {
		if strings.TrimSpace(name) == "" {
			return usageError("--system 里有一个名字是空的，写成 --system full,fast")
		}
		if slices.Contains(c.Systems[:i], name) {
			return usageError("系统 %s 写了两次，每个只写一次", name)
		}
	}
	for i := range c.Models {
		if slices.ContainsFunc(c.Models[:i], func(m modelConfig) bool { return m.Name == c.Models[i].Name }) {
			return usageError("models 里有两个 %q，请改一个 name", c.Models[i].Name)
		}
	}
	return nil
}

// shownFaults is how many errors of the data a refused run lists.
const shownFaults = 10

// lintForRun refuses data that would give wrong figures, before anything slow is
// loaded or paid for.
func lintForRun(d *dataset.Dataset, o *eval.Options) error {
	cleaner, err := text.NewCleaner()
	if err != nil {
		return err
	}
	r, err := d.Lint(dataset.LintOptions{Cleaner: cleaner, Builtin: builtinCases, Figures: true, Takes: o.Takes})
	if err != nil {
		return err
	}
	if r.OK() {
		return nil
	}
	return dataError(fmt.Errorf("数据集有 %d 个错误，没有评测；改好以后再来，qingting eval data lint 列出全部：\n%s", r.Errors, strings.TrimRight(r.List(dataset.LevelError, shownFaults), "\n")))
}

// evalMemory is what the Go part of an evaluation should stay within; the
// dictionaries of the segmenter, 140 MB, come on top.
const evalMemory = 256 << 20

func (p *program) evalRun(ctx context.Context, c *evalConfig) error {
	if c.Dataset == "" {
		return usageError("用 --data 给出数据集：dataset.yaml，或一个带标注的 .jsonl")
	}
	if c.Out == "" {
		return usageError("用 --out 给出结果目录，例如 --out runs/today")
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	if err := c.checkSystems(); err != nil {
		return err
	}
	if c.Root == "" {
		c.Root = filepath.Dir(c.Dataset)
	}
	d, err := dataset.OpenAt(c.Dataset, c.Root)
	if err != nil {
		return dataError(err)
	}
	// Rows of a large dataset come and go; without a limit what they leave behind
	// would double the memory of a run.
	debug.SetMemoryLimit(evalMemory)
	if err := lintForRun(d, &o); err != nil {
		return err
	}
	mode := qingting.ModeFast
	if slices.Contains(c.Systems, systemFull) {
		mode = qingting.ModeFull
	}
	e, err := p.build(ctx, buildOptions{mode: mode, now: func() time.Time { return evalNow }})
	if err != nil {
		return err
	}
	defer e.close()
	o.Cleaner = e.stages.Cleaner
	all := &evalSystems{engine: e, data: d, base: c.Root}
	models, err := p.models(c)
	defer func() {
		for _, m := range models {
			_ = m.Close() // what was recorded is on disk already
		}
	}()
	if err != nil {
		return err
	}
	systems, err := all.named(c.Systems, models, &o)
	if err != nil {
		return err
	}
	if err := all.warm(ctx, systems, &o); err != nil {
		return err
	}
	var bar *progressbar.ProgressBar
	var now string
	o.Progress = func(system string, done, total int) {
		if bar == nil || system != now {
			if bar != nil {
				_ = bar.Close()
			}
			bar, now = p.progress(total, system), system
		}
		_ = bar.Set(done)
	}
	m, err := eval.Run(ctx, version, c.Out, d, systems, o)
	if bar != nil {
		_ = bar.Close()
	}
	for _, model := range models {
		fmt.Fprintln(p.err, model.summary())
	}
	if ctx.Err() != nil {
		fmt.Fprintf(p.err, "中断了；用同样的命令接着跑：%s\n", c.Out)
		return &exitError{code: exitInterrupted}
	}
	if err != nil && !errors.Is(err, eval.ErrTooManyErrors) {
		return dataError(err)
	}
	if err := printMetrics(p.out, m); err != nil {
		return err
	}
	for _, s := range m.Systems {
		if len(s.Suites) == 0 {
			fmt.Fprintf(p.err, "系统 %s 不做选中的 suite，没有它的数字\n", s.Name)
		}
	}
	fmt.Fprintf(p.out, "\n结果在 %s\n", c.Out)
	if err != nil {
		return &exitError{code: exitErrors, err: fmt.Errorf("失败的样本太多，这次的数字不可信：看 %s 里的 error", filepath.Join(c.Out, "*", eval.RowsFile))}
	}
	return nil
}

// models connects the models that are among the systems of a run.
func (p *program) models(c *evalConfig) ([]*modelSystem, error) {
	var out []*modelSystem
	for _, m := range c.Models {
		if !slices.Contains(c.Systems, m.Name) {
			continue
		}
		s, err := p.modelSystem(m)
		if err != nil {
			return out, err
		}
		out = append(out, s)
	}
	return out, nil
}

// printMetrics writes a table a suite: a row a figure, a column a system.
func printMetrics(w io.Writer, m *eval.Metrics) error {
	var names []dataset.Suite
	for _, s := range m.Systems {
		for _, suite := range s.Suites {
			if !slices.Contains(names, suite.Suite) {
				names = append(names, suite.Suite)
			}
		}
	}
	for _, name := range names {
		var systems []string
		var columns [][]eval.Figure
		for _, s := range m.Systems {
			at := slices.IndexFunc(s.Suites, func(x eval.SuiteMetrics) bool { return x.Suite == name })
			if at < 0 {
				continue
			}
			title := fmt.Sprintf("%s n=%d", s.Name, s.Suites[at].N-s.Suites[at].Unscored)
			if s.Suites[at].Unscored > 0 {
				title += fmt.Sprintf(" 失败%d", s.Suites[at].Unscored)
			}
			systems, columns = append(systems, title), append(columns, s.Suites[at].Figures)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "\n%-28s", name)
		for _, s := range systems {
			fmt.Fprintf(&b, " %-28s", s)
		}
		b.WriteByte('\n')
		for i, f := range columns[0] {
			title := f.Name
			if f.Lower {
				title += " ↓"
			}
			fmt.Fprintf(&b, "%-28s", title)
			for _, c := range columns {
				fmt.Fprintf(&b, " %-28s", interval(c[i]))
			}
			b.WriteByte('\n')
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}
