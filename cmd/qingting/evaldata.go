package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/label"
	"github.com/qingting-ai/qingting/internal/linear"
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
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("没有 %q 这个命令，运行 qingting eval data --help 看有哪些命令", args[0])
			}
			return nil
		},
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

// splitOptions are the flags of eval data split.
type splitOptions struct {
	by, stratify, out, file, suite string
	shares                         dataset.Shares
	seed                           uint64
}

func (p *program) dataSplitCommand() *cobra.Command {
	var o splitOptions
	cmd := &cobra.Command{
		Use:   "split 数据集",
		Short: "切成 train、dev、test，不把一个会话或客户切成两半",
		Long: `把一个文件切成三份，写到 --out 目录：train.jsonl、dev.jsonl、test.jsonl 和带校验和的 dataset.yaml。
同一会话（或客户）的行总在同一份里；按时间切时，最晚的是 test。会话和客户两种切法尽量让各份的标签分布一致。
同样的数据和种子得到同样的切分，与行的顺序无关。已有的文件不会被覆盖。`,
		Example: `  qingting eval data split all.jsonl --out parts
  qingting eval data split all.jsonl --by customer --train 0.7 --dev 0.15 --test 0.15 --stratify risk --out parts
  qingting eval data split dataset.yaml --file hotline --by time --out parts`,
		Args: exactly(1, "请给出一个数据集：dataset.yaml 或 .jsonl"), Annotations: map[string]string{"args": "数据集"},
		RunE: func(_ *cobra.Command, args []string) error { return p.dataSplit(args[0], &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "写到这个目录")
	f.StringVar(&o.file, "file", "", "dataset.yaml 里有几个文件时，切哪一个（name）")
	f.StringVar(&o.by, "by", string(dataset.ByConversation), "什么不能切成两半：conversation、customer，或按时间先后 time")
	f.StringVar(&o.stratify, "stratify", string(qingting.FieldKind), "按哪个标注字段保持分布：kind、type、emotion、intensity、risk、style、outcome；none 不管")
	f.Float64Var(&o.shares.Train, "train", 0.8, "train 的份额")
	f.Float64Var(&o.shares.Dev, "dev", 0.1, "dev 的份额")
	f.Float64Var(&o.shares.Test, "test", 0.1, "test 的份额")
	f.Uint64Var(&o.seed, "seed", 1, "种子")
	f.StringVar(&o.suite, "suite", "", suiteHelp)
	return cmd
}

func (p *program) dataSplit(path string, o *splitOptions) error {
	if o.out == "" {
		return usageError("请用 --out 给出要写到哪个目录")
	}
	field := qingting.Field(o.stratify)
	if field == "none" {
		field = ""
	} else if !slices.Contains(append(dataset.LabelFields(), qingting.FieldIntensity), field) {
		return usageError("--stratify 的值 %q 不对，可选 kind、type、emotion、intensity、risk、signal、claim、style、outcome、none", o.stratify)
	}
	if !slices.Contains(dataset.Groups(), dataset.Group(o.by)) {
		return usageError("--by 的值 %q 不对，可选 conversation、customer 或 time", o.by)
	}
	d, err := openData(path, o.suite)
	if err != nil {
		return err
	}
	f := &d.Files[0]
	switch {
	case o.file != "":
		if f, err = d.File(o.file); err != nil {
			return usageError("%s", err)
		}
	case len(d.Files) > 1:
		return usageError("%s 里有 %d 个文件，请用 --file 说明切哪一个", path, len(d.Files))
	}
	units, err := d.Units(f, field)
	if err != nil {
		return dataError(err)
	}
	parts, err := dataset.Split(units, dataset.Group(o.by), o.shares, o.seed)
	if err != nil {
		return usageError("%s", err)
	}
	if err := writeParts(d, f, parts, o); err != nil {
		return err
	}
	return p.printParts(units, parts, o)
}

// partsFile is the dataset.yaml of a split.
type partsFile struct {
	Name     string      `yaml:"name"`
	Version  string      `yaml:"version"`
	Taxonomy string      `yaml:"taxonomy"`
	Licence  string      `yaml:"licence,omitempty"`
	Group    string      `yaml:"group"`
	Suites   []partEntry `yaml:"suites"`
}

type partEntry struct {
	Suite  string            `yaml:"suite"`
	Path   string            `yaml:"path"`
	Split  string            `yaml:"split"`
	Slices map[string]string `yaml:"slices,omitempty"`
	Qrels  string            `yaml:"qrels,omitempty"`
	Corpus string            `yaml:"corpus,omitempty"`
	SHA256 string            `yaml:"sha256"`
}

// writeParts writes the parts that have rows and a dataset.yaml of them. The
// latter comes last, so a folder with it is complete.
func writeParts(d *dataset.Dataset, f *dataset.File, parts []dataset.Part, o *splitOptions) error {
	if f.Suite == dataset.SuiteRetrieval {
		return usageError("%s 是 retrieval，判分和案例是一套，不能切分", f.Name)
	}
	names := map[dataset.Part]string{}
	for _, part := range dataset.Parts() {
		if slices.Contains(parts, part) {
			names[part] = filepath.Join(o.out, string(part)+".jsonl")
		}
	}
	list := filepath.Join(o.out, "dataset.yaml")
	for _, name := range append(slices.Sorted(maps.Values(names)), list) {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return usageError("%s 已经有了，不会覆盖：请换一个 --out 目录", name)
		}
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("建不了目录 %s：%w", o.out, err)
	}
	to, files := map[dataset.Part]io.Writer{}, []*os.File{}
	for part, name := range names {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("写不了 %s：%w", name, err)
		}
		defer file.Close()
		to[part], files = file, append(files, file)
	}
	if err := d.WriteParts(f, parts, to); err != nil {
		return dataError(err)
	}
	for _, file := range files {
		if err := file.Close(); err != nil {
			return fmt.Errorf("写不了 %s：%w", file.Name(), err)
		}
	}
	y := partsFile{Name: f.Name + "-split", Version: "1.0", Taxonomy: d.Taxonomy, Licence: d.Licence, Group: o.by}
	for _, part := range dataset.Parts() {
		if names[part] == "" {
			continue
		}
		written, err := dataset.Open(names[part])
		if err != nil {
			return dataError(err)
		}
		digests, err := written.Digests(&written.Files[0])
		if err != nil {
			return dataError(err)
		}
		y.Suites = append(y.Suites, partEntry{
			Suite: string(f.Suite), Path: string(part) + ".jsonl", Split: string(part), Slices: f.Slices, SHA256: digests[0].SHA256,
		})
	}
	b, err := yaml.Marshal(y)
	if err != nil {
		return err
	}
	if err := os.WriteFile(list, b, 0o644); err != nil {
		return fmt.Errorf("写不了 %s：%w", list, err)
	}
	return nil
}

func (p *program) printParts(units []dataset.Unit, parts []dataset.Part, o *splitOptions) error {
	rows, groups, labels := map[dataset.Part]int{}, map[dataset.Part]map[string]bool{}, map[string]map[dataset.Part]int{}
	for i, part := range parts {
		rows[part]++
		if groups[part] == nil {
			groups[part] = map[string]bool{}
		}
		key := units[i].Conversation()
		if o.by == string(dataset.ByCustomer) {
			key = units[i].Customer
		}
		groups[part][key] = true
		if labels[units[i].Label] == nil {
			labels[units[i].Label] = map[dataset.Part]int{}
		}
		labels[units[i].Label][part]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%8s%8s%8s\n", runewidth.FillRight("", 20), dataset.Train, dataset.Dev, dataset.Test)
	line := func(name string, of func(dataset.Part) int) {
		b.WriteString(runewidth.FillRight(runewidth.Truncate(name, 19, "…"), 20))
		for _, part := range dataset.Parts() {
			fmt.Fprintf(&b, "%8d", of(part))
		}
		b.WriteByte('\n')
	}
	line("行", func(part dataset.Part) int { return rows[part] })
	line(map[bool]string{true: "客户", false: "会话"}[o.by == string(dataset.ByCustomer)], func(part dataset.Part) int { return len(groups[part]) })
	// Sets of codes are as many as there are rows; only a short list is one.
	if len(labels) > 1 && len(labels) <= 30 {
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			line("  "+name, func(part dataset.Part) int { return labels[name][part] })
		}
	}
	fmt.Fprintf(&b, "写到 %s\n", o.out)
	_, err := io.WriteString(p.out, b.String())
	return err
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

func (p *program) dataIAACommand() *cobra.Command {
	var o label.Options
	var jsonFile string
	cmd := &cobra.Command{
		Use:   "iaa 标注文件…",
		Short: "标注一致性：Cohen、Fleiss κ，Krippendorff α，带 95% 区间",
		Long: `计算两个或更多标注人的一致性，逐个字段：一致率、κ（两人 Cohen，更多人 Fleiss）、Krippendorff α
（强度和风险另算有序 α）、多选字段的 micro-F1，以及最常见的分歧。区间按会话重抽样。
给一个文件时，每行是 {"id":"…","a":{标注},"b":{标注}}，a、b 是标注人的名字；
给几个文件时，每个文件是一个标注人的 .jsonl，按 id 配对。
α ≥ 0.8 可靠，0.667 到 0.8 只能得出初步结论，再低要先改标注手册。`,
		Example: `  qingting eval data iaa annotators.jsonl
  qingting eval data iaa 甲.jsonl 乙.jsonl 丙.jsonl --json iaa.json`,
		Args: atLeast(1, "请给出标注文件"), Annotations: map[string]string{"args": "标注文件…"},
		RunE: func(_ *cobra.Command, args []string) error {
			if o.Rounds < 1 || o.Confused < 1 {
				return usageError("--rounds 和 --confused 至少是 1")
			}
			a, err := annotations(args)
			if err != nil {
				return dataError(err)
			}
			agreement, err := label.Measure(a, o)
			if err != nil {
				return dataError(err)
			}
			if err := agreement.Text(p.out); err != nil {
				return err
			}
			return writeWith(jsonFile, agreement.JSON)
		},
	}
	cmd.Flags().StringVar(&jsonFile, "json", "", "另存 JSON 报告")
	cmd.Flags().IntVar(&o.Rounds, "rounds", 1000, "重抽样的次数")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "重抽样的种子")
	cmd.Flags().IntVar(&o.Confused, "confused", 5, "每个字段最多列几种分歧")
	return cmd
}

func annotations(paths []string) (*label.Annotations, error) {
	if len(paths) == 1 {
		d, err := dataset.Open(paths[0])
		if err != nil {
			return nil, err
		}
		files := d.Select(dataset.SuiteTriage, "")
		if len(files) != 1 {
			return nil, fmt.Errorf("%s 里有 %d 个标注文件，请直接给出 .jsonl", paths[0], len(files))
		}
		a, err := label.Annotated(d, files[0])
		if err == nil && len(a.Annotators) < 2 {
			return nil, fmt.Errorf("%s 里只有一份标注：单个文件要每行有几份 {\"id\",\"a\":{…},\"b\":{…}}，或者给出几个标注人各自的 .jsonl", paths[0])
		}
		return a, err
	}
	var annotators []string
	var rows [][]dataset.Example
	for _, path := range paths {
		d, err := dataset.Open(path)
		if err != nil {
			return nil, err
		}
		var mine []dataset.Example
		for _, f := range d.Select(dataset.SuiteTriage, "") {
			for e, err := range dataset.Read[dataset.Example](d, f) {
				if err != nil {
					return nil, err
				}
				mine = append(mine, *e)
			}
		}
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		if slices.Contains(annotators, name) {
			name = path // two folders, one file name
		}
		annotators, rows = append(annotators, name), append(rows, mine)
	}
	return label.Pair(annotators, rows)
}

// noiseOptions are the flags of eval data noise.
type noiseOptions struct {
	data, cache, method, json string
	fields                    []string
	folds, top                int
	any                       bool
}

func (p *program) dataNoiseCommand() *cobra.Command {
	var o noiseOptions
	cmd := &cobra.Command{
		Use:   "noise",
		Short: "用置信学习找可疑的标注（要重新训练几次，几分钟）",
		Long: `分成几份，每份用其余几份训练出来的模型预测，再用置信学习（Northcutt 等，2021）估计每个字段的标注错误率，
列出最可疑的标注：id、标注、建议和两者的概率，不显示原文。请人看过再改。
只用于训练数据：DIR 里的 labelled/train*.jsonl 或 train*.jsonl，train*.jsonl 文件，或 dataset.yaml 里 split 为 train 的文件。
评测数据上按模型的意见改标注，评测就不再独立；确实要看时加 --any。`,
		Example: `  qingting eval data noise --data ../shared/data --cache cache
  qingting eval data noise --data train.jsonl --field kind,risk --top 20
  qingting eval data noise --data dataset.yaml --method both --json noise.json`,
		Args: exactly(0, "eval data noise 不接受参数，数据用 --data 给出"),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.dataNoise(cmd.Context(), &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "../shared/data", "训练数据：目录、.jsonl 或 dataset.yaml")
	f.IntVar(&o.folds, "folds", 5, "分几份")
	f.StringVar(&o.cache, "cache", "", "句向量缓存目录，再次运行时不必重新计算（只存哈希和向量，不存文本）")
	f.StringSliceVar(&o.fields, "field", nil, "只看这些字段，用逗号隔开："+strings.Join(label.NoiseFields(), "、"))
	f.StringVar(&o.method, "method", string(label.ByNoiseRate), "挑选的方法：class、noise-rate，或两者都认为可疑的 both")
	f.IntVar(&o.top, "top", 50, "最多列几个")
	f.StringVar(&o.json, "json", "", "另存 JSON 报告，列出全部可疑的标注")
	f.BoolVar(&o.any, "any", false, "也接受 dev 和 test 的数据")
	return cmd
}

func (p *program) dataNoise(ctx context.Context, o *noiseOptions) error {
	if o.folds < 2 || o.top < 1 {
		return usageError("--folds 至少是 2，--top 至少是 1")
	}
	if !slices.Contains(label.Methods(), label.Method(o.method)) {
		return usageError("--method 的值 %q 不对，可选 class、noise-rate 或 both", o.method)
	}
	for _, name := range o.fields {
		if !slices.Contains(label.NoiseFields(), name) {
			return usageError("不能检查字段 %q，可选 %s", name, strings.Join(label.NoiseFields(), "、"))
		}
	}
	// What is refused is refused before the encoder is loaded.
	rows, err := noiseRows(o.data, o.any)
	if err != nil {
		return err
	}
	l, err := newLaboratory(o.cache)
	if err != nil {
		return err
	}
	defer l.close()
	// The model of a folder learns from its votes as well, as train has it.
	var votes map[string][5]float64
	if info, err := os.Stat(o.data); err == nil && info.IsDir() {
		if votes, err = satisfactionVotes(filepath.Join(o.data, "satisfaction", "train.jsonl")); err != nil {
			return err
		}
	}
	examples, err := p.prepareAll(ctx, l, rows, votes)
	if err != nil {
		return err
	}
	// One step a fold; what training says within a fold is for train.
	bar := p.progress(o.folds, "交叉验证")
	defer bar.Close()
	v, err := linear.CrossValidate(examples, linear.Options{EncoderID: l.preparer.Encoder.ID(), Progress: func(step string) {
		if ctx.Err() == nil && strings.HasPrefix(step, "fold ") {
			_ = bar.Add(1)
		}
	}}, o.folds)
	if err != nil {
		return dataError(err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	scores := v.Full
	if scores == nil {
		scores = v.Fast
	}
	ids, labels := make([]string, len(rows)), make([]qingting.Labels, len(rows))
	for i := range rows {
		ids[i], labels[i] = rows[i].ID, rows[i].Labels
	}
	columns, err := label.Columns(labels, scores, o.fields)
	if err != nil {
		return dataError(err)
	}
	r, err := label.Inspect(ids, columns, label.Method(o.method))
	if err != nil {
		return dataError(err)
	}
	if err := r.Text(p.out, o.top); err != nil {
		return err
	}
	return writeWith(o.json, r.JSON)
}

// noiseRows reads the training rows of a folder, a file or a dataset.yaml.
func noiseRows(data string, other bool) ([]dataset.Example, error) {
	info, err := os.Stat(data)
	if err != nil {
		return nil, dataError(fmt.Errorf("找不到 %s，请检查 --data", data))
	}
	var paths []string
	if info.IsDir() {
		for _, pattern := range []string{filepath.Join(data, "labelled", "train*.jsonl"), filepath.Join(data, "train*.jsonl")} {
			if paths, err = filepath.Glob(pattern); err != nil {
				return nil, dataError(err)
			}
			if len(paths) > 0 {
				break
			}
		}
		if len(paths) == 0 {
			return nil, dataError(fmt.Errorf("%s 里没有 labelled/train*.jsonl，也没有 train*.jsonl，请用 --data 指定训练数据", data))
		}
	} else {
		paths = []string{data}
	}
	var out []dataset.Example
	for _, path := range paths {
		d, err := openData(path, "")
		if err != nil {
			return nil, err
		}
		part := dataset.Train
		if other {
			part = ""
		}
		files := d.Select(dataset.SuiteTriage, part)
		if len(files) == 0 {
			return nil, usageError("%s 里没有训练数据（triage，split 为 train，或名字以 train 开头的 .jsonl）；评测数据不能按模型的意见改标注，确实要看时加 --any", path)
		}
		for _, f := range files {
			for e, err := range dataset.Read[dataset.Example](d, f) {
				if err != nil {
					return nil, dataError(err)
				}
				out = append(out, *e)
			}
		}
	}
	return out, nil
}

// powerOptions are the flags of eval power.
type powerOptions struct {
	n                          int
	discordant, sd             float64
	delta, power, alpha        float64
	cluster, icc               float64
	from, figure               string
	hasN, hasDelta, hasCluster bool
}
