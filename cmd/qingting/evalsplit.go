package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
)

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
同样的数据和种子得到同样的切分，与行的顺序无关。已有的文件不会被覆盖。
三个份额都在 0 和 1 之间，加起来是 1；份额大于 0 却分不到一行时不写文件，退出码 65。`,
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
	f.Float64Var(&o.shares.Train, "train", 0.8, "train 的份额，0 到 1；三份加起来是 1")
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
	if len(units) == 0 {
		return dataError(fmt.Errorf("%s 里没有一行数据，没有可切分的", path))
	}
	parts, err := dataset.Split(units, dataset.Group(o.by), o.shares, o.seed)
	if err != nil {
		return usageError("%s", err)
	}
	if err := noneEmpty(parts, o); err != nil {
		return err
	}
	if err := writeParts(d, f, parts, o); err != nil {
		return err
	}
	return p.printParts(units, parts, o)
}

// noneEmpty refuses a part that was asked for and got nothing: what is trained
// or measured on it later would be measured on nothing.
func noneEmpty(parts []dataset.Part, o *splitOptions) error {
	for i, share := range []float64{o.shares.Train, o.shares.Dev, o.shares.Test} {
		if part := dataset.Parts()[i]; share > 0 && !slices.Contains(parts, part) {
			what := map[string]string{string(dataset.ByCustomer): "客户", string(dataset.ByTime): "开始时间"}[o.by]
			return dataError(fmt.Errorf("%d 行数据里%s太少，%s 要占 %v 却一行也分不到：加数据、把份额调大，或写 --%s 0", len(parts), cmp.Or(what, "会话"), part, share, part))
		}
	}
	return nil
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
