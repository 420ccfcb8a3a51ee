package eval

import (
	"math"
	"slices"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/metric"
	"github.com/qingting-ai/qingting/internal/text"
)

// Relevant is the grade from which a case counts as found: the same problem.
const Relevant = 2

// queryValues are the figures of one query. Figures that need a relevant case
// are over the queries that have one, as hit and reciprocal rank are usually
// given; nDCG counts every query of the judgements, 0 where there is nothing to
// gain, as trec_eval -c does. The n beside a figure says over how many.
func queryValues(r metric.Ranking) map[string]float64 {
	out := map[string]float64{}
	put := func(name string, v float64) {
		if !math.IsNaN(v) {
			out[name] = v
		}
	}
	put("ndcg@5", r.NDCG(5))
	put("ndcg@10", r.NDCG(10))
	put("judged@5", r.Judged(5))
	put("ndcg@5_condensed", r.Condensed().NDCG(5))
	put("ndcg@5_random", metric.RandomOrder([]metric.Ranking{r}, func(r metric.Ranking) float64 { return r.NDCG(5) }, randomOrders, 0)[0])
	if r.Relevant(Relevant) > 0 {
		put("p@1", r.Precision(1, Relevant))
		put("hit@5", r.Hit(5, Relevant))
		put("recall@10", r.Recall(10, Relevant))
		put("mrr@10", r.ReciprocalRank(10, Relevant))
		put("map", r.AveragePrecision(100, Relevant))
	}
	return out
}

// randomOrders of the judged cases are averaged for the figure of chance.
const randomOrders = 200

func retrievalSpecs() []spec {
	one := func(value string, headline bool) spec {
		return spec{name: "retrieval." + value, value: value, headline: headline, worst: 0, best: 1}
	}
	// Queries are right or wrong in these.
	share := func(value string, headline bool) spec {
		s := one(value, headline)
		s.share = true
		return s
	}
	return []spec{
		one("ndcg@5", true), one("judged@5", true), one("ndcg@5_condensed", true), one("ndcg@5_random", true),
		one("ndcg@10", false), share("p@1", false), share("hit@5", true), one("recall@10", false), one("mrr@10", true), one("map", false),
		share("answered", false), share("abstained", false),
	}
}

// Draft is what a system would say to a customer, with what it rests on.
type Draft struct {
	Restate string
	Text    string
	Clean   bool // every rule of the lint passed
	// Grounded: every amount, date and number in the text occurs in the
	// conversation, in the policy or in a case it names.
	Grounded bool
}

// maxRestate is the longest restatement, in characters with punctuation.
const maxRestate = 30

func replyValues(row *dataset.Reply, d Draft) map[string]float64 {
	out := map[string]float64{"lint": truth(d.Clean), "grounded": truth(d.Grounded), "restate_fits": truth(len([]rune(d.Restate)) <= maxRestate && d.Restate != "")}
	if n := len(row.Must); n > 0 {
		said := 0
		for i := range row.Must {
			if row.Must[i].Said(d.Text) {
				said++
			}
		}
		out["must"] = float64(said) / float64(n)
	}
	if n := len(row.MustNot); n > 0 {
		out["must_not"] = truth(!slices.ContainsFunc(row.MustNot, func(f dataset.Fact) bool { return f.Said(d.Text) }))
	}
	return out
}

func replySpecs() []spec {
	one := func(value string, headline bool) spec {
		return spec{name: "reply." + value, value: value, headline: headline, share: value != "must", worst: 0, best: 1}
	}
	return []spec{one("must", true), one("must_not", true), one("lint", true), one("grounded", true), one("restate_fits", false)}
}

// textValues are the figures of one text: personal data by character, words by
// their boundaries, script by the whole text.
func textValues(row *dataset.Text, found []dataset.TextSpan, words []string, clean string) map[string]float64 {
	out := map[string]float64{}
	size := len([]rune(row.Text))
	gold, masked := make([]bool, size), make([]bool, size)
	mark := func(spans []dataset.TextSpan, in []bool) {
		for _, s := range spans {
			for i := max(0, s.Start); i < min(s.End, size); i++ {
				in[i] = true
			}
		}
	}
	mark(row.Spans, gold)
	mark(found, masked)
	both, inGold, inMasked := 0, 0, 0
	for i := range size {
		inGold += int(truth(gold[i]))
		inMasked += int(truth(masked[i]))
		both += int(truth(gold[i] && masked[i]))
	}
	if inGold > 0 {
		out["mask_recall"] = float64(both) / float64(inGold)
	}
	if inMasked > 0 {
		out["mask_precision"] = float64(both) / float64(inMasked)
	}
	if len(row.Words) > 0 {
		out["words_f1"] = wordF1(row.Words, words)
	}
	if row.Clean != "" {
		out["script"] = truth(clean == row.Clean)
	}
	return out
}

// wordF1 compares two ways to cut one text: a word is right when both of its
// ends are.
func wordF1(gold, cut []string) float64 {
	ends := func(words []string) map[[2]int]bool {
		out := map[[2]int]bool{}
		at := 0
		for _, w := range words {
			n := len([]rune(w))
			out[[2]int{at, at + n}] = true
			at += n
		}
		return out
	}
	g, c := ends(gold), ends(cut)
	right := 0
	for k := range g {
		if c[k] {
			right++
		}
	}
	return 2 * float64(right) / float64(len(g)+len(c))
}

func pairSpecs() []spec {
	scores := func(figure func(*metric.Scores) metric.Measure) func(*columns) (metric.Measure, error) {
		return func(c *columns) (metric.Measure, error) {
			s, err := once(c, "pairs", func() (*metric.Scores, error) {
				score, same := make([]float64, len(c.rows)), make([]bool, len(c.rows))
				for i, r := range c.rows {
					score[i], same[i] = r.Values["alike"], r.Values["same"] > 0
				}
				return metric.NewScores(score, same)
			})
			return built(s, err, figure)
		}
	}
	return []spec{
		{name: "pairs.auroc", headline: true, build: scores((*metric.Scores).AUROC)},
		{name: "pairs.ap", headline: true, build: scores((*metric.Scores).AveragePrecision)},
	}
}

func textSpecs() []spec {
	one := func(value string) spec {
		return spec{name: "text." + value, value: value, headline: true, share: value == "script", worst: 0, best: 1}
	}
	return []spec{one("mask_recall"), one("mask_precision"), one("words_f1"), one("script")}
}

// lead says whether the risk was called high before the customer's last
// message, and how many messages before it. levels are those after each of the
// customer's messages. Values of a conversation that is not high are missing:
// there was nothing to see.
func lead(levels []qingting.RiskLevel) map[string]float64 {
	scores := make([]float64, len(levels))
	for i, l := range levels {
		scores[i] = truth(l == qingting.RiskHigh)
	}
	messages, early := metric.Lead(scores, 1, len(levels)-1)
	out := map[string]float64{"early": truth(early)}
	if early {
		out["lead"] = float64(messages)
	}
	return out
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// shares puts the predicted distribution of votes in the order −2 … 2.
func shares(s *qingting.Satisfaction) *[5]float64 {
	if s == nil {
		return nil
	}
	var out [5]float64
	for i, name := range voteNames() {
		out[i] = s.Distribution[name]
	}
	return &out
}

// Grounded reports whether every sum of money, number of an order, a phone or
// a card, and every past date of a draft occurs in one of the facts. A date
// that is still to come, by now, is a deadline of our own and needs no source:
// the lint asks for its owner.
func Grounded(draft string, now time.Time, facts ...string) bool {
	known := map[string]bool{}
	for _, f := range facts {
		for _, s := range (text.Slots{}).FindSlots([]rune(f), now) {
			known[string(s.Kind)+s.Value] = true
		}
	}
	today := now.Format(time.DateOnly)
	for _, s := range (text.Slots{}).FindSlots([]rune(draft), now) {
		switch s.Kind {
		case qingting.SlotProduct, qingting.SlotName, qingting.SlotAddress:
			continue
		case qingting.SlotDate:
			// Absolute dates are written 2006-01-02, so they compare as text.
			if s.Value >= today {
				continue
			}
		}
		if !known[string(s.Kind)+s.Value] {
			return false
		}
	}
	return true
}
