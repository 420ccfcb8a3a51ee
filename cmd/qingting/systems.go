package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/internal/text"
	"github.com/qingting-ai/qingting/retrieval"
	"github.com/qingting-ai/qingting/suggest/policy"
)

// The names of the systems that eval can run.
const (
	systemFull    = "full"
	systemFast    = "fast"
	systemKeyword = "keyword"
	systemBM25    = "bm25"
)

// evalNow stands still while drafts are evaluated, so that their deadlines,
// and with them the figures, do not depend on the day.
var evalNow = time.Date(2026, 3, 2, 10, 0, 0, 0, time.FixedZone("CST", 8*3600))

// evalSystems are the systems that eval can run on a dataset: the pipeline in
// both modes, the rules without the model, search by words alone, and the
// baselines that read nothing.
type evalSystems struct {
	engine *engine
	data   *dataset.Dataset
	base   string // folder of the dataset, for its corpora

	mu      sync.Mutex
	corpora map[string]*corpus
}

// corpus is a case library that is made when the first query asks for it.
type corpus struct {
	once    sync.Once
	library *retrieval.Library
	err     error
}

// named returns the systems of these names, in their order; models are known
// besides the built-in ones, whose names they cannot take.
func (s *evalSystems) named(names []string, models []*modelSystem, o *eval.Options) ([]eval.System, error) {
	baselines, err := eval.Baselines(s.data, o)
	if err != nil {
		return nil, dataError(err)
	}
	all := append([]eval.System{
		s.pipeline(systemFull, s.engine.pipeline, qingting.ModeFull),
		s.pipeline(systemFast, s.engine.pipeline, qingting.ModeFast),
	}, baselines...)
	rules := s.engine.stages
	rules.Scorer = noModel{}
	rulesOnly, err := qingting.NewPipeline(rules)
	if err != nil {
		return nil, err
	}
	keyword := s.pipeline(systemKeyword, rulesOnly, qingting.ModeFast)
	keyword.Identity = map[string]string{"lexicon": s.engine.ids.Lexicon}
	keyword.Rank, keyword.Read = nil, nil
	all = append(all, keyword, eval.System{
		Name: systemBM25, Identity: map[string]string{"search": "bm25"}, Rank: s.rank(qingting.ModeFast),
	})
	for _, m := range models {
		if slices.ContainsFunc(all, func(s eval.System) bool { return s.Name == m.Name }) {
			return nil, usageError("models 里的 %q 和内置的系统同名，请换一个 name", m.Name)
		}
		all = append(all, m.System)
	}
	var out []eval.System
	for _, name := range names {
		at := slices.IndexFunc(all, func(s eval.System) bool { return s.Name == name })
		if at < 0 {
			known := make([]string, len(all))
			for i := range all {
				known[i] = all[i].Name
			}
			return nil, usageError("没有系统 %q，可用的有 %s", name, strings.Join(known, "、"))
		}
		out = append(out, all[at])
	}
	return out, nil
}

// noModel is a scorer that knows nothing, which leaves the rules.
type noModel struct{}

func (noModel) Score(*qingting.Document) qingting.Scores { return qingting.Scores{} }
func (noModel) ID() string                               { return "" }

func (s *evalSystems) pipeline(name string, p *qingting.Pipeline, mode qingting.Mode) eval.System {
	ids := s.engine.ids
	identity := map[string]string{"mode": string(mode), "model": ids.Model, "lexicon": ids.Lexicon}
	if mode == qingting.ModeFull {
		identity["encoder"], identity["kernel"] = ids.Encoder, ids.Kernel
	}
	out := eval.System{
		Name: name, Identity: identity,
		Analyze: func(ctx context.Context, t qingting.Transcript) (*qingting.Analysis, error) {
			return p.Analyze(ctx, t, mode)
		},
		Rank: s.rank(mode),
		Reply: func(ctx context.Context, e *dataset.Reply) (eval.Draft, error) {
			asked := eval.Asked(e)
			a, err := p.Analyze(ctx, qingting.Transcript{ID: e.ID, Messages: []qingting.Message{{Role: qingting.RoleCustomer, Text: asked}}}, mode)
			if err != nil {
				return eval.Draft{}, err
			}
			return draftOf(a, asked)
		},
		Read: s.read,
	}
	if mode == qingting.ModeFull {
		out.Alike = s.alike
	}
	return out
}

// alike is the cosine of the vectors of two texts.
func (s *evalSystems) alike(ctx context.Context, a, b string) (float64, error) {
	v, err := s.engine.stages.Encoder.Encode(ctx, []string{s.clean(a), s.clean(b)})
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for i := range v[0] {
		sum += float64(v[0][i]) * float64(v[1][i])
	}
	return sum, nil
}

func (s *evalSystems) clean(text string) string {
	clean, _, _ := s.engine.stages.Cleaner.Clean(text)
	return string(clean)
}

// draftOf is the draft an agent would be shown first.
func draftOf(a *qingting.Analysis, asked string) (eval.Draft, error) {
	at := max(0, slices.IndexFunc(a.Suggestions, func(s qingting.Suggestion) bool { return s.Default }))
	if at >= len(a.Suggestions) {
		return eval.Draft{}, eval.ErrNoAnswer
	}
	s := a.Suggestions[at]
	facts := []string{asked, s.Due, policy.DefaultText()}
	for _, c := range a.Cases {
		facts = append(facts, c.Problem, c.Solution)
	}
	return eval.Draft{
		Restate: s.Restate, Text: s.Text,
		Clean:    !slices.ContainsFunc(s.Checks, func(c qingting.Check) bool { return !c.Passed }),
		Grounded: eval.Grounded(s.Text, evalNow, facts...),
	}, nil
}

// read is what the text stage makes of a text.
func (s *evalSystems) read(raw string) (found []dataset.TextSpan, words []string, clean string) {
	_, masked := text.Mask(raw)
	for _, m := range masked {
		found = append(found, dataset.TextSpan{Start: m.Start, End: m.End, Kind: m.Kind})
	}
	runes, _, _ := s.engine.stages.Cleaner.Clean(raw)
	for _, t := range s.engine.stages.Segmenter.Segment(runes) {
		if strings.TrimSpace(t.Text) != "" {
			words = append(words, t.Text)
		}
	}
	return found, words, string(runes)
}

// deepRanking is how many cases of a ranking are kept, as in most TREC runs.
const deepRanking = 100

// warm opens the corpora that the systems will search, so that no query waits
// for one: a few thousand conversations take minutes to encode.
func (s *evalSystems) warm(ctx context.Context, systems []eval.System, o *eval.Options) error {
	for _, f := range s.data.Select(dataset.SuiteRetrieval, "") {
		if len(o.Suites) > 0 && !slices.Contains(o.Suites, dataset.SuiteRetrieval) {
			return nil
		}
		for i := range systems {
			mode := qingting.ModeFast
			if systems[i].Name == systemFull {
				mode = qingting.ModeFull
			}
			if systems[i].Rank == nil {
				continue
			}
			if _, err := s.corpus(ctx, f.Corpus, mode); err != nil {
				return dataError(err)
			}
		}
	}
	return nil
}

func (s *evalSystems) rank(mode qingting.Mode) func(context.Context, string, *dataset.Query) ([]eval.Ranked, bool, error) {
	return func(ctx context.Context, name string, q *dataset.Query) ([]eval.Ranked, bool, error) {
		library, err := s.corpus(ctx, name, mode)
		if err != nil {
			return nil, false, err
		}
		matches, err := library.SearchText(ctx, q.Words(), qingting.CaseFilter{}, deepRanking)
		if err != nil {
			return nil, false, err
		}
		out := make([]eval.Ranked, 0, len(matches))
		for _, m := range matches {
			if m.ID != q.ID { // a conversation is no precedent of itself
				out = append(out, eval.Ranked{ID: m.ID, Score: m.Score})
			}
		}
		return out, len(out) > 0 && out[0].Score >= retrieval.Reliable, nil
	}
}

// corpus opens the cases of a name: the starter library, or a file of
// conversations, whose customer's words are the problem and whose agent's words
// are the solution.
func (s *evalSystems) corpus(ctx context.Context, name string, mode qingting.Mode) (*retrieval.Library, error) {
	s.mu.Lock()
	if s.corpora == nil {
		s.corpora = map[string]*corpus{}
	}
	key := string(mode) + " " + name
	c := s.corpora[key]
	if c == nil {
		c = &corpus{}
		s.corpora[key] = c
	}
	s.mu.Unlock()
	c.once.Do(func() { c.library, c.err = s.open(context.WithoutCancel(ctx), name, mode) })
	return c.library, c.err
}

func (s *evalSystems) open(ctx context.Context, name string, mode qingting.Mode) (*retrieval.Library, error) {
	parts := s.engine.parts
	parts.Store = nil
	if mode == qingting.ModeFast {
		parts.Encoder = nil
	}
	if name != dataset.BuiltinCorpus+"starter" {
		cases, err := conversationCases(beside(s.base, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		parts.Seed, parts.Vectors = cases, nil
	}
	library, err := retrieval.NewLibrary(ctx, parts)
	if err != nil {
		return nil, fmt.Errorf("open corpus %s: %w", name, err)
	}
	return library, nil
}

func conversationCases(path string) ([]qingting.Case, error) {
	d, err := dataset.Open(path)
	if err != nil {
		return nil, err
	}
	var out []qingting.Case
	for e, err := range dataset.Read[dataset.Rated](d, &d.Files[0]) {
		if err != nil {
			return nil, err
		}
		c := qingting.Case{ID: e.ID, Outcome: qingting.CaseResolved}
		for _, m := range e.Messages {
			to := &c.Problem
			if m.Role != qingting.RoleCustomer {
				to = &c.Solution
			}
			if *to != "" {
				*to += "\n"
			}
			*to += m.Text
		}
		out = append(out, c)
	}
	return out, nil
}
