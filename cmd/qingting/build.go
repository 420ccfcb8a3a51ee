package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/classify"
	"github.com/qingting-ai/qingting/internal/encoder"
	"github.com/qingting-ai/qingting/internal/jieba"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/text"
	"github.com/qingting-ai/qingting/retrieval"
	"github.com/qingting-ai/qingting/sentiment"
	"github.com/qingting-ai/qingting/suggest"
)

// buildOptions say which parts are needed.
type buildOptions struct {
	mode  qingting.Mode // fast leaves the sentence encoder out
	data  string        // data folder; "" keeps the cases in memory
	cases string        // JSONL file of cases instead of the starter library; "" for none
	// policy is the file that decides about replies; "" for the built-in policy.
	policy string
	// now is the clock of deadlines; nil for the real one.
	now func() time.Time
	// later leaves cases without a vector to library.EncodeMissing, so that a
	// server is ready at once.
	later bool
}

// databaseName is the file in the data folder that keeps the cases.
const databaseName = "qingting.db"

// engine is everything that was built. Close it when nobody uses it any more.
type engine struct {
	pipeline *qingting.Pipeline
	library  *retrieval.Library
	store    *store.Store // nil when the cases are in memory
	drafts   *suggest.Suggester
	jieba    *jieba.Segmenter
	ids      identities
	// parts and stages are what library and pipeline were built from, for
	// evaluation to build others that differ in one part.
	parts  retrieval.Parts
	stages qingting.Stages
}

// identities name what an answer depends on.
type identities struct {
	Model, Encoder, Lexicon, Kernel string
	Analysis                        string // hash over model and lexicon
}

func (e *engine) close() {
	if e.store != nil {
		_ = e.store.Close() // every write has been acknowledged before
	}
	if e.jieba != nil {
		e.jieba.Close()
	}
}

// newEngine loads the parts side by side and wires them.
func newEngine(ctx context.Context, o buildOptions) (_ *engine, err error) {
	var (
		e       = &engine{}
		load    errgroup.Group
		cleaner *text.Cleaner
		lex     *lexicon.Lexicon
		model   trained
		enc     *encoder.Encoder
		drafts  *suggest.Suggester
		vectors *retrieval.Vectors
		seed    []qingting.Case
	)
	// First, as its mistakes are the user's to mend: nobody should wait for
	// the models to hear of them.
	rules, err := readPolicy(o.policy)
	if err != nil {
		return nil, err
	}
	load.Go(func() (err error) { e.jieba, err = jieba.New(); return err })
	load.Go(func() (err error) { cleaner, err = text.NewCleaner(); return err })
	load.Go(func() (err error) { lex, err = lexicon.New(); return err })
	load.Go(func() (err error) { model, err = loadModel(); return err })
	load.Go(func() (err error) { drafts, err = newSuggester(rules, o); return err })
	load.Go(func() (err error) { vectors, err = retrieval.StarterVectors(); return err })
	load.Go(func() (err error) { seed, err = seedCases(o.cases); return err })
	if o.mode != qingting.ModeFast {
		load.Go(func() (err error) { enc, err = encoder.New(encoder.Options{}); return err })
	}
	if o.data != "" {
		load.Go(func() (err error) { e.store, err = store.Open(ctx, filepath.Join(o.data, databaseName)); return err })
	}
	if err := load.Wait(); err != nil {
		e.close()
		return nil, err
	}
	e.drafts = drafts
	e.parts = retrieval.Parts{Cleaner: cleaner, Segmenter: e.jieba, Seed: seed, Vectors: vectors, DeferEncoding: o.later}
	// The model names its encoder, so weights and rules are all there is; the
	// name is the same whether the encoder was loaded or not.
	e.ids = identities{Model: model.ID(), Lexicon: lex.ID(), Analysis: hashOf(model.ID(), lex.ID())}
	e.stages = qingting.Stages{
		ModelID: e.ids.Analysis,
		Cleaner: cleaner, Segmenter: e.jieba, Slots: text.Slots{}, Matcher: lex, Scorer: model,
		Classifier: classify.New(),
		Assessor:   sentiment.New(sentiment.Options{ModelID: e.ids.Analysis, Matcher: lex}),
		Suggester:  drafts,
	}
	// A nil pointer in an interface is not nil: the two are set only when there.
	if enc != nil {
		if err := sameEncoder(model, enc); err != nil {
			e.close()
			return nil, err
		}
		e.parts.Encoder, e.stages.Encoder = enc, enc
		e.ids.Encoder, e.ids.Kernel = enc.ID(), enc.Kernel()
	}
	if e.store != nil {
		e.parts.Store = e.store.CasesOf(qingting.DefaultTenant)
	}
	if e.library, err = retrieval.NewLibrary(ctx, e.parts); err != nil {
		e.close()
		return nil, fmt.Errorf("案例库打不开：%w", err)
	}
	e.stages.Retriever = e.library
	if e.pipeline, err = qingting.NewPipeline(e.stages); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func seedCases(file string) ([]qingting.Case, error) {
	if file == "" {
		return retrieval.Starter()
	}
	rows, err := readCaseFile(file)
	if err != nil {
		return nil, err
	}
	cases := make([]qingting.Case, len(rows))
	for i, r := range rows {
		cases[i] = r.Case
		if cases[i].ID == "" {
			cases[i].ID = fmt.Sprintf("line-%d", r.Line)
		}
	}
	return cases, nil
}

// readCaseFile reads a JSONL file of cases; one bad line makes it unusable,
// and every bad line is named.
func readCaseFile(file string) ([]retrieval.Row, error) {
	f, err := os.Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, dataError(fmt.Errorf("找不到案例文件 %s，请检查路径", file))
	case err != nil:
		return nil, dataError(fmt.Errorf("打不开案例文件 %s：%w", file, err))
	}
	defer f.Close()
	return readCases(f, caseInput(file))
}

// readCases reads and checks cases; name is what errors call the input.
func readCases(in io.Reader, name string) ([]retrieval.Row, error) {
	rows, problems, err := retrieval.ReadCases(in)
	if err != nil {
		return nil, dataError(fmt.Errorf("读不了%s：%w", name, err))
	}
	for _, r := range rows {
		for _, p := range retrieval.CheckCase(r.Case) {
			if p.Field == "id" && r.Case.ID == "" {
				continue // it gets one
			}
			p.Line = r.Line
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return nil, dataError(fmt.Errorf("%s 有 %d 处问题，没有使用：%s", name, len(problems), listProblems(problems)))
	}
	return rows, nil
}

func listProblems(problems []retrieval.Problem) string {
	out := ""
	for i, p := range problems {
		if i == 20 {
			out += fmt.Sprintf("\n  …还有 %d 处", len(problems)-i)
			break
		}
		out += "\n  " + p.String()
	}
	return out
}

// hashOf names a combination of parts in 12 hexadecimal digits.
func hashOf(ids ...string) string {
	h := sha256.New()
	for _, id := range ids {
		fmt.Fprintf(h, "%d:%s", len(id), id)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
