package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/judge"
)

// Where replies come from beside the two modes of the pipeline.
const (
	repliesTemplate = "template" // templateReply, whatever the customer says
	repliesHuman    = "human"    // the reply in the dataset
)

// templateReply is the baseline of drafts: polite, safe and empty.
const templateReply = "您好，非常抱歉给您带来不好的体验。您反映的问题我们已经记录，会尽快核实处理并与您联系，请您保持电话畅通。感谢您的反馈。"

// Files of a comparison.
const (
	judgeFile   = "judge.json"
	repliesFile = "replies.jsonl"
)

// judgeFlags are those of eval judge.
type judgeFlags struct {
	config, judge, data, root, base, candidate, rules, out, timeout string
	splits                                                          []string
	limit, jobs, rounds                                             int
	seed                                                            uint64
}

func (p *program) evalJudgeCommand() *cobra.Command {
	var o judgeFlags
	cmd := &cobra.Command{
		Use:   "judge",
		Short: "让大模型比较两套回复：胜率、区间、位置和长短的偏差",
		Long: `对数据集里 suite 为 reply 的每一条起草两份回复，由 eval.yaml 的 models 里的一个模型按“听问应解谢”比较。
每一对按两种先后各判一次，结论随先后而变的算平；先要通过校准（一组答案明显的回复），否则不给出胜率，退出码 75。
判不出来的不丢弃，算失败，胜率给出全负和全胜的界限；失败超过 5% 时退出码也是 75。

回复的来源：full、fast（内置流水线的两种模式）、template（一段固定的客气话）、human（数据集里的人工回复，没有的不参加）。
写 目录/judge.json（结论、逐对的理由，个人信息已隐去）和 目录/replies.jsonl（两套回复的原文，转给别人前请想一想）。
回答录进 cache_dir，重跑不再花钱，judge.json 一字不差。人工回复常常知道会话以外的事，裁判看不到出处，可能当成编造。`,
		Example: `  qingting eval judge --data eval/testdata/suite/dataset.yaml --base template --candidate full -c eval.yaml --judge qwen --out runs/judge
  qingting eval judge --data sets.yaml --root ../data --base human --candidate full -c eval.yaml --limit 50 --out runs/human`,
		Args: exactly(0, "eval judge 不接受参数"),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.evalJudge(cmd.Context(), &o) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", "", "有 models 的 eval.yaml")
	f.StringVar(&o.judge, "judge", "", "做裁判的模型在 models 里的 name；只有一个模型时可以不写")
	f.StringVar(&o.data, "data", "", "数据集 dataset.yaml；不写就用配置文件里的 dataset")
	f.StringVar(&o.root, "root", "", "数据集的文件所在的目录，默认是 dataset.yaml 的目录")
	f.StringVar(&o.base, "base", repliesTemplate, "基线回复：full、fast、template 或 human")
	f.StringVar(&o.candidate, "candidate", systemFull, "候选回复：full、fast、template 或 human")
	f.StringVar(&o.rules, "rules", "", "写明客服权限的文本文件；不写就用通用的")
	f.StringSliceVar(&o.splits, "split", nil, "只用这些部分：train、dev、test（默认除 train 外全部）")
	f.StringVar(&o.out, "out", "", "结果目录")
	f.IntVar(&o.limit, "limit", 0, "每个文件最多几条，0 为全部")
	f.IntVarP(&o.jobs, "jobs", "j", 0, "同时判几对，0 为模型的 concurrency，没有就是 4")
	f.StringVar(&o.timeout, "timeout", "3m", "一对的一种先后最多判多久")
	f.Uint64Var(&o.seed, "seed", 0, "重抽样的种子")
	f.IntVar(&o.rounds, "rounds", defaultRounds, "重抽样的次数")
	return cmd
}

func (p *program) evalJudge(ctx context.Context, o *judgeFlags) error {
	config, model, err := o.read()
	if err != nil {
		return err
	}
	options, err := config.options() // checks splits, timeout and counts
	if err != nil {
		return err
	}
	d, err := dataset.OpenAt(config.Dataset, config.Root)
	if err != nil {
		return dataError(err)
	}
	jo := judge.Options{Jobs: cmp.Or(o.jobs, model.Concurrency), Timeout: options.Timeout, Repeat: model.Repeat, Resampling: options.Resampling}
	if o.rules != "" {
		b, err := os.ReadFile(o.rules)
		if err != nil {
			return dataError(fmt.Errorf("读不了 --rules 的文件 %s：检查路径和权限", o.rules))
		}
		jo.Rules = string(b)
	}
	client, err := p.modelClient(*model)
	if err != nil {
		return err
	}
	defer client.Close() // what was recorded is on disk already
	var bar *progressbar.ProgressBar
	jo.Progress = func(stage string, done, total int) {
		if done == 1 {
			bar = p.progress(total, map[string]string{judge.StageCalibration: "校准", judge.StagePairs: "比较"}[stage])
		}
		_ = bar.Set(done)
		if done == total {
			_ = bar.Close()
		}
	}
	j, err := judge.New(client.Client, jo)
	if err != nil {
		return usageError("%s", err)
	}
	sources, err := p.replySources(ctx, d, o.base, o.candidate)
	if err != nil {
		return err
	}
	defer sources.close()
	pairs, left, err := draftPairs(ctx, d, &options, sources.base, sources.candidate)
	if err != nil {
		if ctx.Err() != nil {
			return &exitError{code: exitInterrupted}
		}
		return dataError(err)
	}
	if left > 0 {
		fmt.Fprintf(p.err, "%d 条没有人工回复，不参加比较\n", left)
	}
	r, err := j.Compare(ctx, pairs)
	fmt.Fprintln(p.err, client.summary())
	if ctx.Err() != nil {
		fmt.Fprintln(p.err, "中断了；录制开着时，用同样的命令接着跑")
		return &exitError{code: exitInterrupted}
	}
	if err != nil && r == nil {
		return dataError(err)
	}
	maps.Copy(r.Judge, client.identity)
	r.Base, r.Candidate = sources.base.SystemID(), sources.candidate.SystemID()
	r.Dataset = strings.TrimSpace(d.Name + " " + d.Version)
	if werr := errors.Join(writeJudgement(o.out, r, pairs), r.WriteText(p.out)); werr != nil {
		return werr
	}
	fmt.Fprintf(p.out, "\n结果在 %s\n", o.out)
	switch {
	case err != nil: // ErrNotCalibrated
		return &exitError{code: exitErrors, err: fmt.Errorf("%w：没有胜率，原因在上面和 %s 里", err, filepath.Join(o.out, judgeFile))}
	case float64(r.WinRate.Unscored) > cmp.Or(config.MaxErrors, 0.05)*float64(r.N):
		return &exitError{code: exitErrors, err: fmt.Errorf("判不出来的太多（%d/%d），这次的胜率不可信：看 %s 里的 error", r.WinRate.Unscored, r.N, filepath.Join(o.out, judgeFile))}
	}
	return nil
}

// read takes the configuration with the flags over it, and the judge's entry.
func (o *judgeFlags) read() (*evalConfig, *modelConfig, error) {
	if o.config == "" {
		return nil, nil, usageError("用 -c 给出有 models 的 eval.yaml：裁判是其中的一个模型")
	}
	if o.out == "" {
		return nil, nil, usageError("用 --out 给出结果目录，例如 --out runs/judge")
	}
	if o.base == o.candidate {
		return nil, nil, usageError("--base 和 --candidate 都是 %s，没有可比的", o.base)
	}
	c := newEvalConfig()
	if err := c.read(o.config); err != nil {
		return nil, nil, err
	}
	if o.data != "" {
		c.Dataset, c.Root = o.data, ""
	}
	if o.root != "" {
		c.Root = o.root
	}
	if c.Dataset == "" {
		return nil, nil, usageError("用 --data 给出数据集 dataset.yaml")
	}
	if c.Root == "" {
		c.Root = filepath.Dir(c.Dataset)
	}
	if len(o.splits) > 0 {
		c.Splits = o.splits
	}
	c.Suites, c.Limit, c.Timeout, c.Seed, c.Rounds = nil, o.limit, o.timeout, o.seed, o.rounds
	var names []string
	for i := range c.Models {
		if c.Models[i].Name == o.judge || o.judge == "" && len(c.Models) == 1 {
			return c, &c.Models[i], nil
		}
		names = append(names, c.Models[i].Name)
	}
	if o.judge == "" && len(names) > 0 {
		return nil, nil, usageError("%s 里有几个模型，用 --judge 指明一个：%s", o.config, strings.Join(names, "、"))
	}
	return nil, nil, usageError("%s 的 models 里没有 %q，可用的有 %s", o.config, o.judge, cmp.Or(strings.Join(names, "、"), "（空）"))
}

// replySource drafts replies. A reply that does not exist is errNoHuman.
type replySource struct {
	name     string
	identity map[string]string
	reply    func(context.Context, *dataset.Reply) (string, error)
}

// SystemID names the source as runs do.
func (s *replySource) SystemID() eval.SystemID {
	return eval.SystemID{Name: s.name, Identity: s.identity}
}

type replySources struct {
	base, candidate *replySource
	engine          *engine
}

func (s *replySources) close() {
	if s.engine != nil {
		s.engine.close()
	}
}

var errNoHuman = errors.New("no reply in the dataset")

// replySources makes both sources. The pipeline is built only for those that
// need it.
func (p *program) replySources(ctx context.Context, d *dataset.Dataset, base, candidate string) (*replySources, error) {
	names := []string{base, candidate}
	known := []string{systemFull, systemFast, repliesTemplate, repliesHuman}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, usageError("没有回复来源 %q，可用的有 %s", n, strings.Join(known, "、"))
		}
	}
	out := &replySources{}
	if slices.Contains(names, systemFull) || slices.Contains(names, systemFast) {
		mode := qingting.ModeFast
		if slices.Contains(names, systemFull) {
			mode = qingting.ModeFull
		}
		var err error
		if out.engine, err = p.build(ctx, buildOptions{mode: mode, now: func() time.Time { return evalNow }}); err != nil {
			return nil, err
		}
	}
	systems := &evalSystems{engine: out.engine, data: d}
	source := func(name string) *replySource {
		switch name {
		case repliesTemplate:
			return &replySource{name, map[string]string{"baseline": name}, func(context.Context, *dataset.Reply) (string, error) { return templateReply, nil }}
		case repliesHuman:
			return &replySource{name, map[string]string{"baseline": name}, func(_ context.Context, e *dataset.Reply) (string, error) { return humanReply(e) }}
		}
		mode := qingting.ModeFast
		if name == systemFull {
			mode = qingting.ModeFull
		}
		s := systems.pipeline(name, out.engine.pipeline, mode)
		return &replySource{name, s.Identity, func(ctx context.Context, e *dataset.Reply) (string, error) {
			draft, err := s.Reply(ctx, e)
			return draft.Text, err
		}}
	}
	out.base, out.candidate = source(base), source(candidate)
	return out, nil
}

// humanReply is the reply of a row: its own, or the agent's first turn after
// the customer's.
func humanReply(e *dataset.Reply) (string, error) {
	if s := strings.TrimSpace(e.Reply); s != "" {
		return s, nil
	}
	asked := false
	for _, t := range e.Turns {
		switch {
		case t.Speaker == "" || t.Speaker == string(qingting.RoleCustomer):
			asked = true
		case asked && strings.TrimSpace(t.Text) != "":
			return strings.TrimSpace(t.Text), nil
		}
	}
	return "", errNoHuman
}

// draftPairs drafts both replies of every row. left counts rows without a human
// reply where one was to be compared.
func draftPairs(ctx context.Context, d *dataset.Dataset, o *eval.Options, base, candidate *replySource) (pairs []judge.Pair, left int, err error) {
	var rows []*dataset.Reply
	for _, f := range d.Select(dataset.SuiteReply, "") {
		if len(o.Splits) > 0 && !slices.Contains(o.Splits, f.Split) || len(o.Splits) == 0 && f.Split == dataset.Train {
			continue
		}
		n := 0
		for row, err := range dataset.Read[dataset.Reply](d, f) {
			if err != nil {
				return nil, 0, err
			}
			if n++; o.Limit > 0 && n > o.Limit {
				break
			}
			rows = append(rows, row)
		}
	}
	all, missing := make([]judge.Pair, len(rows)), make([]bool, len(rows))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i, row := range rows {
		work.Go(func() error {
			pair := judge.Pair{ID: row.ID, Group: row.Conversation(), Before: row.Context, Customer: eval.Asked(row)}
			for k, s := range []*replySource{base, candidate} {
				reply, err := s.reply(ctx, row)
				switch {
				case ctx.Err() != nil:
					return context.Cause(ctx)
				case errors.Is(err, errNoHuman):
					missing[i] = true
				case err != nil:
					pair.Error = cmp.Or(pair.Error, draftError(err))
				case k == 0:
					pair.Base = reply
				default:
					pair.Candidate = reply
				}
			}
			all[i] = pair
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, 0, err
	}
	for i := range all {
		if missing[i] {
			left++
			continue
		}
		pairs = append(pairs, all[i])
	}
	return pairs, left, nil
}

// draftError is the stable code of a reply that could not be drafted; the error
// itself may quote the customer.
func draftError(err error) string {
	var input *qingting.InputError
	switch {
	case errors.As(err, &input):
		return input.Code
	case errors.Is(err, eval.ErrNoAnswer):
		return "no_answer"
	}
	return "failed"
}

// writeJudgement writes the result and the replies that it is about, for the
// owner's eyes: both quote customers.
func writeJudgement(dir string, r *judge.Result, pairs []judge.Pair) error {
	result, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", judgeFile, err)
	}
	var replies bytes.Buffer
	encode := json.NewEncoder(&replies)
	encode.SetEscapeHTML(false)
	for i := range pairs {
		// A struct of strings cannot fail.
		_ = encode.Encode(struct {
			ID        string `json:"id"`
			Base      string `json:"base"`
			Candidate string `json:"candidate"`
		}{pairs[i].ID, pairs[i].Base, pairs[i].Candidate})
	}
	if err = os.MkdirAll(dir, 0o755); err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, judgeFile), append(result, '\n'), 0o600), os.WriteFile(filepath.Join(dir, repliesFile), replies.Bytes(), 0o600))
	}
	if err != nil {
		return dataError(fmt.Errorf("写不了 --out 的目录 %s：%w", dir, err))
	}
	return nil
}
