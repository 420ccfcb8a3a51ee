package eval

import (
	"context"
	"errors"
	"iter"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/metric"
)

// askFile turns the rows of a file into work.
func askFile(d *dataset.Dataset, f *dataset.File, s *System, o *Options, each func(hash string, work func(context.Context) Row) error) error {
	newRow := func(p *dataset.Place, k *dataset.Key, messages []qingting.Message) Row {
		row := Row{Suite: f.Suite, File: f.Name, ID: k.ID, Hash: p.Hash, Group: k.Conversation(), Slices: dataset.AllSlices(k.Slices, messages, o.Cleaner)}
		if f.Group == dataset.ByCustomer && k.Customer != "" {
			row.Group = k.Customer
		}
		return row
	}
	switch f.Suite {
	case dataset.SuiteTriage:
		return askRows(dataset.Read[dataset.Example](d, f), o.Limit, func(e *dataset.Example) error {
			return each(e.Hash, func(ctx context.Context) Row {
				row := newRow(&e.Place, &e.Key, e.Messages)
				row.Gold = &e.Labels
				a, err := s.Analyze(ctx, e.Transcript())
				if err == nil && e.Labels.Risk == qingting.RiskHigh {
					row.Values, err = course(ctx, s, e.Transcript(), a.Risk.Level)
				}
				if row.Error = code(err); err == nil {
					row.Answer = NewAnswer(a)
					_, row.recorded = a.Latency.Stages[stageRecorded]
				}
				return row
			})
		})
	case dataset.SuiteSatisfaction:
		return askRows(dataset.Read[dataset.Rated](d, f), o.Limit, func(e *dataset.Rated) error {
			return each(e.Hash, func(ctx context.Context) Row {
				row := newRow(&e.Place, &e.Key, e.Messages)
				votes := e.Votes.S.Shares()
				row.Votes = &votes
				a, err := s.Analyze(ctx, qingting.Transcript{ID: e.ID, Messages: e.Messages})
				if err == nil && a.Satisfaction == nil {
					err = ErrNoAnswer
				}
				if row.Error = code(err); err == nil {
					row.Shares = shares(a.Satisfaction)
				}
				return row
			})
		})
	case dataset.SuiteRetrieval:
		qrels, err := d.Qrels(f)
		if err != nil {
			return err
		}
		return askRows(dataset.Read[dataset.Query](d, f), o.Limit, func(q *dataset.Query) error {
			return each(q.Hash, func(ctx context.Context) Row {
				row := newRow(&q.Place, &q.Key, said(q.Words()))
				ranking, shown, err := s.Rank(ctx, f.Corpus, q)
				if row.Error = code(err); err == nil {
					row.Ranking = ranking
					row.Values = rankingValues(q.ID, qrels[q.ID], ranking, shown)
				}
				return row
			})
		})
	case dataset.SuiteReply:
		return askRows(dataset.Read[dataset.Reply](d, f), o.Limit, func(e *dataset.Reply) error {
			return each(e.Hash, func(ctx context.Context) Row {
				row := newRow(&e.Place, &e.Key, said(Asked(e)))
				draft, err := s.Reply(ctx, e)
				if row.Error = code(err); err == nil {
					row.Values = replyValues(e, draft)
				}
				return row
			})
		})
	case dataset.SuitePairs:
		return askRows(dataset.Read[dataset.Pair](d, f), o.Limit, func(e *dataset.Pair) error {
			return each(e.Hash, func(ctx context.Context) Row {
				row := newRow(&e.Place, &e.Key, said(e.A))
				alike, err := s.Alike(ctx, e.A, e.B)
				if row.Error = code(err); err == nil {
					row.Values = map[string]float64{"alike": alike, "same": truth(e.Label > 0)}
				}
				return row
			})
		})
	case dataset.SuiteText:
		return askRows(dataset.Read[dataset.Text](d, f), o.Limit, func(e *dataset.Text) error {
			return each(e.Hash, func(context.Context) Row {
				row := newRow(&e.Place, &e.Key, said(e.Text))
				found, words, clean := s.Read(e.Text)
				row.Values = textValues(e, found, words, clean)
				return row
			})
		})
	}
	return nil
}

// askRows sends the rows of a file, all of them or the first few.
func askRows[T any](rows iter.Seq2[*T, error], limit int, send func(*T) error) error {
	n := 0
	for row, err := range rows {
		if err != nil {
			return err
		}
		if n++; limit > 0 && n > limit {
			return nil
		}
		if err := send(row); err != nil {
			return err
		}
	}
	return nil
}

// course analyses a conversation again as it stood after each of the
// customer's messages but the last, after which the level is known.
func course(ctx context.Context, s *System, t qingting.Transcript, last qingting.RiskLevel) (map[string]float64, error) {
	var ends []int
	for i, m := range t.Messages {
		if m.Role == qingting.RoleCustomer {
			ends = append(ends, i)
		}
	}
	if len(ends) < 2 {
		return nil, nil
	}
	var levels []qingting.RiskLevel
	for _, end := range ends[:len(ends)-1] {
		part := t
		part.Messages = t.Messages[:end+1]
		a, err := s.Analyze(ctx, part)
		if err != nil {
			return nil, err
		}
		levels = append(levels, a.Risk.Level)
	}
	return lead(append(levels, last)), nil
}

// Asked is what the customer of a reply example wrote last.
func Asked(e *dataset.Reply) string {
	if e.Text != "" {
		return e.Text
	}
	for _, t := range e.Turns {
		if t.Speaker == "" || t.Speaker == string(qingting.RoleCustomer) {
			return t.Text
		}
	}
	return e.Title
}

// said makes a text a customer's message.
func said(text string) []qingting.Message {
	return []qingting.Message{{Role: qingting.RoleCustomer, Text: text}}
}

func rankingValues(query string, grades map[string]int, ranking []Ranked, shown bool) map[string]float64 {
	run := metric.Run{}
	for _, r := range ranking {
		run[query] = append(run[query], metric.Scored{Document: r.ID, Score: r.Score})
	}
	r := metric.Rankings(metric.Qrels{query: grades}, run)[0]
	out := queryValues(r)
	if r.Relevant(Relevant) > 0 {
		out["answered"] = truth(shown)
	} else {
		out["abstained"] = truth(!shown)
	}
	return out
}

// ErrNoAnswer is an answer without the field, or the draft, a suite asks for.
var ErrNoAnswer = errors.New("no answer")

// hopeless are codes after which asking on would fail alike: the budget is
// spent, the key is wrong. The run ends, to be gone on with.
var hopeless = []string{"llm_budget", "llm_auth", "llm_config"}

// stageRecorded in the latency of an analysis says that it came from a
// recording.
const stageRecorded = "llm_cache"

// code is the stable name of a failure, "" for none. The error itself may
// quote the customer.
func code(err error) string {
	var input *qingting.InputError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &input):
		return input.Code
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, ErrNoAnswer):
		return "no_answer"
	}
	var named interface{ ErrorCode() string }
	if errors.As(err, &named) {
		return named.ErrorCode()
	}
	return "failed"
}
