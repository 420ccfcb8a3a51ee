package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/internal/text"
	"github.com/qingting-ai/qingting/internal/web"
	"github.com/qingting-ai/qingting/retrieval"
)

// evalDataCommands are the commands about the data that figures rest on, and
// about the arithmetic: data, power, xcheck.
func (p *program) evalDataCommands() []*cobra.Command {
	return []*cobra.Command{p.evalDataCommand(), p.evalPowerCommand(), p.evalXcheckCommand()}
}

func (p *program) evalDataCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "检查和切分数据：lint、split、leak、iaa、noise",
		Long: `评测的数字不会比数据更可靠。这里检查数据、切分数据、查训练集和评测集之间的泄漏、
计算标注一致性、找可疑的标注。输出只有文件、行号、id 和代码，没有原文。
退出码：0 没有问题，1 有错误或泄漏，64 用法，65 读不了。`,
		Example: `  qingting eval data lint dataset.yaml
  qingting eval data leak train.jsonl dev.jsonl
  qingting eval data iaa 甲.jsonl 乙.jsonl`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.dataLintCommand(), p.dataSplitCommand(), p.dataLeakCommand(), p.dataIAACommand(), p.dataNoiseCommand())
	return cmd
}

// openData opens a dataset.yaml or a .jsonl, whose rows are of the given suite
// and of the part that its name begins with, such as train-2.jsonl.
func openData(path, suite string) (*dataset.Dataset, error) {
	if suite != "" && !slices.Contains(dataset.Suites(), dataset.Suite(suite)) {
		return nil, usageError("没有 suite %q，可选 triage、satisfaction、reply、pairs、text", suite)
	}
	d, err := dataset.Open(path)
	if err != nil {
		return nil, dataError(err)
	}
	if !bareFile(path) {
		return d, nil
	}
	if suite == string(dataset.SuiteRetrieval) {
		return nil, usageError("retrieval 还要有 qrels 和案例，请写成 dataset.yaml")
	}
	if suite != "" {
		d.Files[0].Suite = dataset.Suite(suite)
	}
	for _, part := range dataset.Parts() {
		if strings.HasPrefix(filepath.Base(path), string(part)) {
			d.Files[0].Split = part
		}
	}
	return d, nil
}

// bareFile tells rows without a dataset.yaml.
func bareFile(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".jsonl" || ext == ".ndjson"
}

const suiteHelp = "单个 .jsonl 里的行是什么：triage、satisfaction、reply、pairs 或 text"

func (p *program) dataLintCommand() *cobra.Command {
	var suite, jsonFile string
	cmd := &cobra.Command{
		Use:   "lint 数据集…",
		Short: "检查每一行：格式、编码、标注、重复、没脱敏的个人信息",
		Long: `逐行检查数据集：不合法的 JSON 和编码、缺少的字段、标注手册里没有的代码、互相矛盾的标注、
重复的会话、没有脱敏的电话和证件号、样本太少的类别、对不上的判分。只报文件、行号和 id，不显示原文。
退出码：0 没有错误（可以有警告），1 有错误，64 用法，65 打不开数据集。`,
		Example: `  qingting eval data lint eval/testdata/suite/dataset.yaml
  qingting eval data lint train.jsonl dev.jsonl --json lint.json
  qingting eval data lint votes.jsonl --suite satisfaction`,
		Args: atLeast(1, "请给出数据集：dataset.yaml 或 .jsonl"), Annotations: map[string]string{"args": "数据集…"},
		RunE: func(_ *cobra.Command, args []string) error {
			cleaner, err := text.NewCleaner()
			if err != nil {
				return err
			}
			reports := make(map[string]*dataset.LintReport, len(args))
			bad := false
			for _, path := range args {
				d, err := openData(path, suite)
				if err != nil {
					return err
				}
				r, err := d.Lint(dataset.LintOptions{Cleaner: cleaner, Builtin: builtinCases})
				if err != nil {
					return err
				}
				if len(args) > 1 {
					fmt.Fprintf(p.out, "%s：", path)
				}
				fmt.Fprint(p.out, r)
				reports[path], bad = r, bad || !r.OK()
			}
			if err := writeWith(jsonFile, func(w io.Writer) error { return web.Encode(w, reports, true) }); err != nil {
				return err
			}
			return someIf(bad)
		},
	}
	cmd.Flags().StringVar(&suite, "suite", "", suiteHelp)
	cmd.Flags().StringVar(&jsonFile, "json", "", "另存 JSON 报告")
	return cmd
}

// someIf ends the program with 1 when something was found, which has been said.
func someIf(found bool) error {
	if found {
		return &exitError{code: exitSome}
	}
	return nil
}

func atLeast(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usageError("%s，运行 %s --help 看用法", what, cmd.CommandPath())
		}
		return nil
	}
}

// builtinCases lists the ids of a corpus that the program carries.
func builtinCases(name string) ([]string, error) {
	if name != "starter" {
		return nil, errors.New("只有 starter")
	}
	cases, err := retrieval.Starter()
	if err != nil {
		return nil, err
	}
	out := make([]string, len(cases))
	for i := range cases {
		out[i] = cases[i].ID
	}
	return out, nil
}

func (p *program) dataLeakCommand() *cobra.Command {
	var suite, jsonFile string
	var threshold float64
	cmd := &cobra.Command{
		Use:   "leak 数据集 | 训练数据 评测数据",
		Short: "查训练集和评测集之间的泄漏：同一会话、原文相同、近似重复",
		Long: `给两个数据集时，查后一个里有哪些行前一个已经见过；给一个 dataset.yaml 时，查它的 train、dev、test 之间，
以及 retrieval 里比提问更晚结案的案例。
原文相同：去掉标点、大小写、繁简和全半角的差别后一字不差。近似重复：五字片段的 Jaccard 相似度达到 --threshold。
会话只比客户说的话。退出码：0 没有泄漏，1 有泄漏，64 用法，65 读不了。`,
		Example: `  qingting eval data leak labelled/train.jsonl labelled/dev.jsonl
  qingting eval data leak dataset.yaml --threshold 0.7 --json leak.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return usageError("请给出一个数据集，或训练和评测两个，运行 %s --help 看用法", cmd.CommandPath())
			}
			return nil
		},
		Annotations: map[string]string{"args": "数据集 [评测数据]"},
		RunE: func(_ *cobra.Command, args []string) error {
			if !(threshold > 0 && threshold <= 1) {
				return usageError("--threshold 要大于 0、不超过 1")
			}
			cleaner, err := text.NewCleaner()
			if err != nil {
				return err
			}
			comparisons, err := p.leaks(args, suite, dataset.LeakOptions{Threshold: threshold, Cleaner: cleaner})
			if err != nil {
				return err
			}
			found := false
			for _, c := range comparisons {
				fmt.Fprintf(p.out, "%s → %s\n%s", c.From, c.To, c.Report)
				found = found || c.Report.Found()
			}
			if err := writeWith(jsonFile, func(w io.Writer) error { return web.Encode(w, comparisons, true) }); err != nil {
				return err
			}
			return someIf(found)
		},
	}
	cmd.Flags().Float64Var(&threshold, "threshold", 0.8, "近似重复的相似度门槛，0 到 1")
	cmd.Flags().StringVar(&suite, "suite", "", suiteHelp)
	cmd.Flags().StringVar(&jsonFile, "json", "", "另存 JSON 报告")
	return cmd
}

// leakBetween is what one part knows of another.
type leakBetween struct {
	From   string              `json:"from"`
	To     string              `json:"to"`
	Report *dataset.LeakReport `json:"report"`
}

func (p *program) leaks(paths []string, suite string, o dataset.LeakOptions) ([]leakBetween, error) {
	var out []leakBetween
	compare := func(fromName, toName string, from, to iter.Seq2[dataset.Doc, error]) error {
		r, err := dataset.Leak(from, to, o)
		if err != nil {
			return dataError(err)
		}
		for _, side := range []struct {
			name string
			rows int
		}{{fromName, r.Train}, {toName, r.Test}} {
			if side.rows == 0 {
				return dataError(fmt.Errorf("%s 里没有一行数据，查不了泄漏", side.name))
			}
		}
		out = append(out, leakBetween{fromName, toName, r})
		return nil
	}
	first, err := openData(paths[0], suite)
	if err != nil {
		return nil, err
	}
	if len(paths) == 2 {
		second, err := openData(paths[1], suite)
		if err != nil {
			return nil, err
		}
		return out, compare(paths[0], paths[1], docs(first, first.Select("", "")), docs(second, second.Select("", "")))
	}
	parts := dataset.Parts()
	for i, from := range parts {
		for _, to := range parts[i+1:] {
			a, b := first.Select("", from), first.Select("", to)
			if len(a) == 0 || len(b) == 0 {
				continue
			}
			if err := compare(string(from), string(to), docs(first, a), docs(first, b)); err != nil {
				return nil, err
			}
		}
	}
	compared := len(out) > 0
	for _, f := range first.Select(dataset.SuiteRetrieval, "") {
		if strings.HasPrefix(f.Corpus, dataset.BuiltinCorpus) {
			continue // cases of a new installation are not of any day
		}
		compared = true
		r, err := later(first, f)
		if err != nil {
			return nil, dataError(err)
		}
		out = append(out, leakBetween{f.Corpus, f.Path, r})
	}
	if !compared {
		return nil, usageError("%s 里只有一个部分，没有可以互相比较的：请给出训练和评测两个数据集", paths[0])
	}
	return out, nil
}

// docs are the texts of several files one after another.
func docs(d *dataset.Dataset, files []*dataset.File) iter.Seq2[dataset.Doc, error] {
	return func(yield func(dataset.Doc, error) bool) {
		for _, f := range files {
			for doc, err := range d.Docs(f) {
				if !yield(doc, err) {
					return
				}
			}
		}
	}
}

func later(d *dataset.Dataset, f *dataset.File) (*dataset.LeakReport, error) {
	closed, err := d.CaseTimes(f)
	if err != nil {
		return nil, err
	}
	qrels, err := d.Qrels(f)
	if err != nil {
		return nil, err
	}
	var queries []dataset.Doc
	for doc, err := range d.Docs(f) {
		if err != nil {
			return nil, err
		}
		queries = append(queries, doc)
	}
	return dataset.Later(queries, closed, qrels), nil
}
