package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/behave"
)

// behaveOptions are the flags of eval behave.
type behaveOptions struct {
	systems, only []string
	json, junit   string
	against       string
	rates         bool
	examples      int
	jobs          int
}

// knownBuiltin names the built-in list of known failures.
const knownBuiltin = "known"

func (p *program) evalBehaveCommand() *cobra.Command {
	o := behaveOptions{}
	cmd := &cobra.Command{
		Use:   "behave [文件…]",
		Short: "行为测试：哪些话必须怎样判，哪些改写不能改变结果",
		Long: `用手写的行为测试（CheckList 方法）检验系统，不需要标注数据。不写文件就用内置的测试。
MFT 最低要求：这些话必须有、或不能有某个标签；INV 不变：繁体、错字、语气词等改写不能改变结果；DIR 方向：加上“我要投诉到12315”，风险不能下降。
--against known 与内置的已知失败清单比较，只有新的失败或失败率上升才算不通过，供 CI 使用。
退出码：0 全部通过，1 有测试不通过（--against：比清单差），64 用法，65 测试文件或清单不对。`,
		Example: `  qingting eval behave
  qingting eval behave --system full,fast --against known
  qingting eval behave 我的测试.yaml --only negation --json behave.json
  qingting eval behave --only 'script.*' --fail-rate`,
		Annotations: map[string]string{"args": "文件…"},
		RunE:        func(cmd *cobra.Command, args []string) error { return p.evalBehave(cmd.Context(), args, &o) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.systems, "system", []string{systemFull}, "系统：full、fast、keyword，用逗号隔开")
	f.StringSliceVar(&o.only, "only", nil, "只做这些测试：名字、以 * 结尾的开头或一种能力")
	f.StringVar(&o.json, "json", "", "另存 JSON 报告，可以交给 eval report --behave")
	f.StringVar(&o.junit, "junit", "", "另存 JUnit 报告；与 --against 一起用时，已知的失败算跳过")
	f.StringVar(&o.against, "against", "", "与已知失败的清单比较：known 为内置的，或一个文件")
	f.BoolVar(&o.rates, "fail-rate", false, "每个测试一行失败率，通过的也列出")
	f.IntVar(&o.examples, "examples", 3, "每个不通过的测试最多列几个用例")
	f.IntVarP(&o.jobs, "jobs", "j", 0, "同时分析几条，0 为处理器核数")
	return cmd
}

func (p *program) evalBehave(ctx context.Context, files []string, o *behaveOptions) error {
	if o.jobs < 0 || o.examples < 0 {
		return usageError("jobs 和 examples 不能是负数")
	}
	if len(o.systems) == 0 {
		return usageError("用 --system 给出系统：full、fast 或 keyword")
	}
	suite, err := behaveSuite(files)
	if err != nil {
		return err
	}
	if len(o.only) > 0 {
		if suite, err = suite.Only(o.only); err != nil {
			return usageError("%s", err)
		}
	}
	known, err := behaveKnown(o.against)
	if err != nil {
		return err
	}
	mode := qingting.ModeFast
	if slices.Contains(o.systems, systemFull) {
		mode = qingting.ModeFull
	}
	for _, name := range o.systems {
		if !slices.Contains([]string{systemFull, systemFast, systemKeyword}, name) {
			return usageError("没有系统 %q，可用的有 full、fast、keyword", name)
		}
		if known != nil && !slices.Contains(known.Systems, name) {
			return usageError("清单里没有系统 %s，只有 %v", name, known.Systems)
		}
	}
	e, err := p.build(ctx, buildOptions{mode: mode})
	if err != nil {
		return err
	}
	defer e.close()
	var reports []*behave.Report
	for _, name := range o.systems {
		system, err := behaveSystem(e, name)
		if err != nil {
			return err
		}
		report, err := p.behaveRun(ctx, suite, system, o)
		if err != nil {
			return err
		}
		reports = append(reports, report)
	}
	for i, r := range reports {
		if known != nil && !o.rates {
			continue // the comparison below says what matters
		}
		if i > 0 {
			fmt.Fprintln(p.out)
		}
		if err := r.Text(p.out, behave.TextOptions{Examples: o.examples, All: o.rates}); err != nil {
			return err
		}
	}
	if err := writeWith(o.json, func(w io.Writer) error { return behave.WriteJSON(w, reports) }); err != nil {
		return err
	}
	if err := writeWith(o.junit, func(w io.Writer) error { return behave.WriteJUnit(w, reports, known, o.examples) }); err != nil {
		return err
	}
	if known != nil {
		worse, better, err := known.Against(reports)
		if err != nil {
			return usageError("%s", err)
		}
		if err := behave.WriteChanges(p.out, worse, better, o.examples); err != nil {
			return err
		}
		if len(worse) > 0 {
			return &exitError{code: exitSome}
		}
		return nil
	}
	if slices.ContainsFunc(reports, func(r *behave.Report) bool { return !r.Passed() }) {
		return &exitError{code: exitSome}
	}
	return nil
}

func (p *program) behaveRun(ctx context.Context, suite *behave.Suite, s eval.System, o *behaveOptions) (*behave.Report, error) {
	var bar *progressbar.ProgressBar
	report, err := behave.Run(ctx, suite, s.Name, s.Analyze, behave.Options{Jobs: o.jobs, Identity: s.Identity, Progress: func(done, total int) {
		if bar == nil {
			bar = p.progress(total, s.Name)
		}
		_ = bar.Set(done)
	}})
	if bar != nil {
		_ = bar.Close()
	}
	return report, err
}

// behaveSystem is one of the systems that read a conversation.
func behaveSystem(e *engine, name string) (eval.System, error) {
	s := &evalSystems{engine: e}
	switch name {
	case systemFast:
		return s.pipeline(name, e.pipeline, qingting.ModeFast), nil
	case systemKeyword:
		rules := e.stages
		rules.Scorer = noModel{}
		only, err := qingting.NewPipeline(rules)
		if err != nil {
			return eval.System{}, err
		}
		return s.pipeline(name, only, qingting.ModeFast), nil
	}
	return s.pipeline(name, e.pipeline, qingting.ModeFull), nil
}

func behaveSuite(files []string) (*behave.Suite, error) {
	if len(files) == 0 {
		builtin, err := behave.Builtin()
		if err != nil {
			return nil, err
		}
		return behave.Load(builtin)
	}
	sources := make([]behave.Source, len(files))
	for i, name := range files {
		b, err := readTestFile(name)
		if err != nil {
			return nil, err
		}
		sources[i] = behave.Source{Name: name, Content: b}
	}
	suite, err := behave.Parse(sources...)
	if err != nil {
		return nil, dataError(err)
	}
	return suite, nil
}

func behaveKnown(name string) (*behave.Known, error) {
	switch name {
	case "":
		return nil, nil
	case knownBuiltin:
		return behave.BuiltinKnown()
	}
	b, err := readTestFile(name)
	if err != nil {
		return nil, err
	}
	known, err := behave.ParseKnown(behave.Source{Name: name, Content: b})
	if err != nil {
		return nil, dataError(err)
	}
	return known, nil
}

func readTestFile(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, dataError(fmt.Errorf("找不到文件 %s，请检查路径", name))
	}
	if err != nil {
		return nil, dataError(fmt.Errorf("读不了 %s：%w", name, err))
	}
	return b, nil
}
