package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/label"
	"github.com/qingting-ai/qingting/internal/linear"
)

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
		switch {
		case err == nil && len(a.Items) == 0:
			return nil, noLabels(paths[0])
		case err == nil && len(a.Annotators) < 2:
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
		if len(mine) == 0 {
			return nil, noLabels(path)
		}
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		if slices.Contains(annotators, name) {
			name = path // two folders, one file name
		}
		annotators, rows = append(annotators, name), append(rows, mine)
	}
	return label.Pair(annotators, rows)
}

func noLabels(path string) error {
	return fmt.Errorf("%s 里没有一行标注，算不了一致性：请检查是不是选错了文件", path)
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
	if len(out) == 0 {
		return nil, dataError(fmt.Errorf("%s 里没有一行标注，请检查 --data", data))
	}
	return out, nil
}
