package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/classify"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/internal/encoder"
	"github.com/qingting-ai/qingting/internal/jieba"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/linear"
	"github.com/qingting-ai/qingting/internal/text"
	"github.com/qingting-ai/qingting/sentiment"
)

func (p *program) trainCommand() *cobra.Command {
	var data, out, cache string
	var folds int
	cmd := &cobra.Command{
		Use:   "train",
		Short: "用标注数据重新训练内置模型",
		Long: `读 DIR/labelled/train*.jsonl（没有 labelled 目录时读 DIR/train*.jsonl），每行一个会话：
  {"id":"…","messages":[{"role":"customer","text":"…"}],"labels":{"kind":"…","types":[…],"primary":…,"emotion":"…","intensity":0,"risk":"…","signals":[…],"claims":[…],"style":"…","outcome":"…"}}
有 DIR/satisfaction/train.jsonl 时同时学习满意度投票。同样的数据和程序写出完全相同的字节。
写出的权重替换 internal/linear/weights/model.bin 后重新编译，就成为内置模型。`,
		Example: `  qingting train --data ../shared/data --out model.bin
  qingting train --data ../shared/data --cv 5        # 只做交叉验证，不写文件`,
		Args: exactly(0, "train 不接受参数"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (out == "") == (folds == 0) {
				return usageError("--out 和 --cv 要给一个，也只能给一个")
			}
			return p.train(cmd.Context(), data, out, cache, folds)
		},
	}
	cmd.Flags().StringVar(&data, "data", "../shared/data", "数据目录")
	cmd.Flags().StringVar(&out, "out", "", "权重写到这个文件")
	cmd.Flags().StringVar(&cache, "cache", "", "句向量缓存目录，再次训练时不必重新计算（只存哈希和向量，不存文本）")
	cmd.Flags().IntVar(&folds, "cv", 0, "不写权重，改为分几份做交叉验证")
	return cmd
}

func (p *program) train(ctx context.Context, data, out, cache string, folds int) error {
	l, err := newLaboratory(cache)
	if err != nil {
		return err
	}
	defer l.close()
	examples, err := p.trainingSet(ctx, l, data)
	if err != nil {
		return err
	}
	o := linear.Options{EncoderID: l.preparer.Encoder.ID(), Progress: func(step string) { fmt.Fprintln(p.err, step) }}
	if folds > 0 {
		v, err := linear.CrossValidate(examples, o, folds)
		if err != nil {
			return dataError(err)
		}
		fmt.Fprintf(p.out, "%d 个会话，%d 份交叉验证，95%% 区间按会话重抽样\n\n%-16s %-22s %s\n", len(examples), folds, "figure", "full", "fast")
		full, err := l.score(ctx, examples, func(i int) qingting.Scores { return v.Full[i] }, false)
		if err != nil {
			return err
		}
		fast, err := l.score(ctx, examples, func(i int) qingting.Scores { return v.Fast[i] }, false)
		if err != nil {
			return err
		}
		for i := range full {
			fmt.Fprintf(p.out, "%-16s %-22s %s\n", full[i].Name, interval(full[i]), interval(fast[i]))
		}
		fmt.Fprintf(p.out, "\n模型自己的判断，不经规则：full %+v\nfast %+v\n", v.FullFig, v.FastFig)
		fmt.Fprintf(p.out, "\n校准误差 ECE（15 等量分箱，full）：kind %.3f，primary %.3f，P(high) %.3f\n", v.FullFig.KindECE, v.FullFig.PrimaryECE, v.FullFig.HighECE)
		return nil
	}
	m, report, err := linear.Train(examples, o)
	if err != nil {
		return dataError(err)
	}
	// Whoever reads the file sees the old weights or the new ones, never half.
	temporary := out + ".new"
	if err := os.WriteFile(temporary, m.Bytes(), 0o644); err != nil {
		return fmt.Errorf("写不了权重文件：%w", err)
	}
	if err := os.Rename(temporary, out); err != nil {
		return fmt.Errorf("写不了权重文件：%w", err)
	}
	fmt.Fprintf(p.out, "用 %d 个会话训练完成：%d 个特征，%.1f MB，模型 %s，写到 %s\n", report.Examples, report.Features, float64(report.Bytes)/1e6, m.ID(), out)
	return nil
}

// laboratory prepares documents and decides on given scores; the embedded
// model takes no part.
type laboratory struct {
	preparer   qingting.Preparer
	classifier *classify.Classifier
	assessor   *sentiment.Assessor
	jieba      *jieba.Segmenter
	cache      *linear.Cache // nil without a folder
}

func newLaboratory(cache string) (*laboratory, error) {
	l := &laboratory{}
	cleaner, err := text.NewCleaner()
	if err != nil {
		return nil, err
	}
	lex, err := lexicon.New()
	if err != nil {
		return nil, err
	}
	enc, err := encoder.New(encoder.Options{})
	if err != nil {
		return nil, err
	}
	if l.jieba, err = jieba.New(); err != nil {
		return nil, err
	}
	l.preparer = qingting.Preparer{Cleaner: cleaner, Segmenter: l.jieba, Slots: text.Slots{}, Encoder: enc, Matcher: lex}
	if cache != "" {
		if l.cache, err = linear.NewCache(cache, enc); err != nil {
			l.close()
			return nil, err
		}
		l.preparer.Encoder = l.cache
	}
	l.classifier = classify.New()
	l.assessor = sentiment.New(sentiment.Options{Matcher: lex})
	return l, nil
}

func (l *laboratory) close() {
	l.jieba.Close()
	if l.cache != nil {
		_ = l.cache.Close() // only costs time when it is lost
	}
}

// trainingSet loads and prepares every training file of a data folder.
func (p *program) trainingSet(ctx context.Context, l *laboratory, data string) ([]linear.Example, error) {
	files, err := filepath.Glob(filepath.Join(data, "labelled", "train*.jsonl"))
	if err == nil && len(files) == 0 {
		files, err = filepath.Glob(filepath.Join(data, "train*.jsonl"))
	}
	if err != nil || len(files) == 0 {
		return nil, dataError(fmt.Errorf("%s 里没有 labelled/train*.jsonl，也没有 train*.jsonl，请用 --data 指定训练数据目录", data))
	}
	var rows []dataset.Example
	for _, file := range files {
		part, err := labelled(file)
		if err != nil {
			return nil, err
		}
		rows = append(rows, part...)
	}
	votes, err := satisfactionVotes(filepath.Join(data, "satisfaction", "train.jsonl"))
	if err != nil {
		return nil, err
	}
	return p.prepareAll(ctx, l, rows, votes)
}

// labelled reads one file of labelled conversations.
func labelled(path string) ([]dataset.Example, error) {
	d, err := dataset.Open(path)
	if err != nil {
		return nil, dataError(err)
	}
	var out []dataset.Example
	for e, err := range dataset.Read[dataset.Example](d, &d.Files[0]) {
		if err != nil {
			return nil, dataError(err)
		}
		out = append(out, *e)
	}
	return out, nil
}

// satisfactionVotes reads the shares of votes −2 … 2 by conversation; none
// where the file is missing.
func satisfactionVotes(path string) (map[string][5]float64, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	d, err := dataset.Open(path)
	if err != nil {
		return nil, dataError(err)
	}
	out := map[string][5]float64{}
	for e, err := range dataset.Read[dataset.Rated](d, &d.Files[0]) {
		if err != nil {
			return nil, dataError(err)
		}
		out[e.ID] = e.Votes.S.Shares()
	}
	return out, nil
}

func (p *program) prepareAll(ctx context.Context, l *laboratory, rows []dataset.Example, votes map[string][5]float64) ([]linear.Example, error) {
	out := make([]linear.Example, len(rows))
	bar := p.progress(len(rows), "清洗、分词、编码")
	defer bar.Close()
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i := range rows {
		work.Go(func() error {
			doc, err := l.preparer.Document(ctx, rows[i].Transcript(), qingting.ModeFull)
			if err != nil {
				return dataError(fmt.Errorf("会话 %s：%w", rows[i].ID, err))
			}
			out[i] = linear.Example{Doc: doc, Labels: rows[i].Labels, Votes: votes[rows[i].ID]}
			return bar.Add(1)
		})
	}
	return out, work.Wait()
}

// score lets the stages decide on the given scores and measures the result.
// Without rules the decisions see no lexicon hit either.
func (l *laboratory) score(ctx context.Context, examples []linear.Example, scores func(int) qingting.Scores, noRules bool) ([]eval.Figure, error) {
	gold := make([]qingting.Labels, len(examples))
	analyses := make([]*qingting.Analysis, len(examples))
	for i := range examples {
		gold[i] = examples[i].Labels
		doc := *examples[i].Doc
		doc.Scores = scores(i)
		if noRules {
			doc.Hits = nil
		}
		c, err := l.classifier.Classify(ctx, &doc)
		if err != nil {
			return nil, err
		}
		f, err := l.assessor.Assess(ctx, &doc, &c)
		if err != nil {
			return nil, err
		}
		analyses[i] = &qingting.Analysis{
			Kind: c.Kind, Types: c.Types, Emotion: f.Emotion, Risk: f.Risk, Claims: c.Claims, Style: c.Style, Outcome: c.Outcome,
		}
		if c.Primary != "" {
			analyses[i].Primary = &c.Primary
		}
	}
	return eval.Score(gold, analyses)
}

// evalAblation trains three models and shows what each part adds on the
// report set: lexical features alone, with vectors, with rules as features
// and in the decisions.
func (p *program) evalAblation(ctx context.Context, data, cache string) error {
	gold, err := loadDev(data)
	if err != nil {
		return err
	}
	l, err := newLaboratory(cache)
	if err != nil {
		return err
	}
	defer l.close()
	examples, err := p.trainingSet(ctx, l, data)
	if err != nil {
		return err
	}
	dev, err := p.prepareAll(ctx, l, gold, nil)
	if err != nil {
		return err
	}
	variants := []struct {
		name string
		o    linear.Options
		mode qingting.Mode
	}{
		{"words only", linear.Options{NoRules: true, NoEncoder: true}, qingting.ModeFast},
		{"+ encoder", linear.Options{NoRules: true}, qingting.ModeFull},
		{"+ rules", linear.Options{}, qingting.ModeFull},
	}
	table := make([][]eval.Figure, len(variants))
	for i, v := range variants {
		v.o.EncoderID = l.preparer.Encoder.ID()
		v.o.Progress = func(step string) { fmt.Fprintf(p.err, "%s: %s\n", v.name, step) }
		m, _, err := linear.Train(examples, v.o)
		if err != nil {
			return dataError(err)
		}
		scores := func(i int) qingting.Scores {
			doc := *dev[i].Doc
			doc.Mode = v.mode
			if v.o.NoRules {
				doc.Hits = nil
			}
			return m.Score(&doc)
		}
		if table[i], err = l.score(ctx, dev, scores, v.o.NoRules); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.out, "%-16s", "figure")
	for _, v := range variants {
		fmt.Fprintf(p.out, " %-22s", v.name)
	}
	fmt.Fprintln(p.out)
	for k := range table[0] {
		fmt.Fprintf(p.out, "%-16s", table[0][k].Name)
		for i := range variants {
			fmt.Fprintf(p.out, " %-22s", interval(table[i][k]))
		}
		fmt.Fprintln(p.out)
	}
	return nil
}
