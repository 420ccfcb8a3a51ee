package eval

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"github.com/qingting-ai/qingting"
)

// Figure is one measured number.
type Figure struct {
	Name string
	// Value is the figure on all examples; Low and High bound it with 95 %
	// confidence by a percentile bootstrap over conversations.
	Value, Low, High float64
}

// pair is one example with its analysis; a is nil when the analysis failed,
// which counts as wrong everywhere. The sets of codes are taken out once, not
// once per resample.
type pair struct {
	gold                   qingting.Labels
	a                      *qingting.Analysis
	types, signals, claims codeSets
}

// codeSets are the distinct codes of one field: as labelled, as predicted.
type codeSets struct{ gold, predicted []string }

func newPair(gold qingting.Labels, a *qingting.Analysis) pair {
	p := pair{gold: gold, a: a}
	p.types.gold, p.signals.gold, p.claims.gold = codes(gold.Types), codes(gold.Signals), without(codes(gold.Claims), "none")
	if a != nil {
		p.types.predicted = distinct(a.Types, func(t qingting.TypeScore) string { return string(t.Code) })
		p.signals.predicted = distinct(a.Risk.Signals, func(s qingting.Signal) string { return string(s.Code) })
		p.claims.predicted = without(distinct(a.Claims, func(c qingting.Claim) string { return string(c.Code) }), "none")
	}
	return p
}

// metrics in the order they are printed. Each is a pure function of the pairs.
var metrics = []struct {
	name string
	of   func([]pair) float64
}{
	{"kind", accuracy(func(p pair) bool { return p.a != nil && p.a.Kind.Code == p.gold.Kind })},
	{"false_complaint", falseComplaint},
	{"types_micro", microF1(func(p *pair) codeSets { return p.types })},
	{"types_macro5", typesMacro},
	{"primary_l1", accuracy(func(p pair) bool { return family(string(p.gold.Primary)) == family(primary(p.a)) })},
	{"emotion", accuracy(func(p pair) bool { return p.a != nil && p.a.Emotion.Code == p.gold.Emotion })},
	{"intensity_qwk", intensityQWK},
	{"risk", accuracy(func(p pair) bool { return p.a != nil && p.a.Risk.Level == p.gold.Risk })},
	{"high_recall", func(ps []pair) float64 { r, _ := highRecallPrecision(ps); return r }},
	{"high_precision", func(ps []pair) float64 { _, p := highRecallPrecision(ps); return p }},
	{"high_ap", highAveragePrecision},
	{"signals_micro", microF1(func(p *pair) codeSets { return p.signals })},
	{"claims_micro", microF1(func(p *pair) codeSets { return p.claims })},
	{"style", accuracy(func(p pair) bool { return p.a != nil && p.a.Style.Code == p.gold.Style })},
	{"outcome", accuracy(func(p pair) bool { return p.a != nil && p.a.Outcome.Code == p.gold.Outcome })},
}

// bootstrapRounds resamples are enough for two digits of a 95 % interval.
const bootstrapRounds = 1000

// Score measures analyses against labels, parallel to each other; a nil
// analysis is one that failed and counts as wrong. The order and the
// definitions are those of the project's reference scorer: accuracy, micro-F1
// over sets of codes, macro-F1 over labels with at least five examples,
// quadratically weighted kappa, average precision as scikit-learn has it.
func Score(gold []Example, analyses []*qingting.Analysis) []Figure {
	pairs := make([]pair, len(gold))
	for i := range gold {
		pairs[i] = newPair(gold[i].Labels, analyses[i])
	}
	out := make([]Figure, len(metrics))
	samples := make([][]float64, len(metrics))
	rng := rand.New(rand.NewPCG(1, 2))
	resampled := make([]pair, len(pairs))
	for range bootstrapRounds {
		for i := range resampled {
			resampled[i] = pairs[rng.IntN(len(pairs))]
		}
		for k, m := range metrics {
			samples[k] = append(samples[k], m.of(resampled))
		}
	}
	for k, m := range metrics {
		low, high := interval95(samples[k])
		out[k] = Figure{Name: m.name, Value: m.of(pairs), Low: low, High: high}
	}
	return out
}

// interval95 leaves undefined resamples (a class that was not drawn) out.
func interval95(samples []float64) (low, high float64) {
	samples = slices.DeleteFunc(samples, math.IsNaN)
	if len(samples) == 0 {
		return math.NaN(), math.NaN()
	}
	slices.Sort(samples)
	at := func(q float64) float64 { return samples[int(q*float64(len(samples)-1)+0.5)] }
	return at(0.025), at(0.975)
}

func accuracy(right func(pair) bool) func([]pair) float64 {
	return func(ps []pair) float64 {
		n := 0
		for _, p := range ps {
			if right(p) {
				n++
			}
		}
		return float64(n) / float64(len(ps))
	}
}

func falseComplaint(ps []pair) float64 {
	wrong, n := 0, 0
	for _, p := range ps {
		if p.gold.Kind == qingting.KindComplaint {
			continue
		}
		n++
		if p.a != nil && p.a.Kind.Code == qingting.KindComplaint {
			wrong++
		}
	}
	return float64(wrong) / float64(max(1, n))
}

func microF1(sets func(*pair) codeSets) func([]pair) float64 {
	return func(ps []pair) float64 {
		tp, fp, fn := 0, 0, 0
		for i := range ps {
			c := sets(&ps[i])
			both := 0
			for _, x := range c.gold {
				if slices.Contains(c.predicted, x) {
					both++
				}
			}
			tp, fp, fn = tp+both, fp+len(c.predicted)-both, fn+len(c.gold)-both
		}
		return f1(tp, fp, fn)
	}
}

func f1(tp, fp, fn int) float64 {
	if tp+fp+fn == 0 {
		return 1
	}
	return 2 * float64(tp) / float64(2*tp+fp+fn)
}

func typesMacro(ps []pair) float64 {
	sum, n := 0.0, 0
	for _, t := range qingting.Types() {
		tp, fp, fn := 0, 0, 0
		for _, p := range ps {
			g, q := slices.Contains(p.types.gold, string(t)), slices.Contains(p.types.predicted, string(t))
			switch {
			case g && q:
				tp++
			case q:
				fp++
			case g:
				fn++
			}
		}
		if tp+fn >= 5 {
			sum += f1(tp, fp, fn)
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}

// intensityQWK is Cohen's kappa with quadratic weights over the levels 0–3.
func intensityQWK(ps []pair) float64 {
	const k = 4
	var o [k][k]float64
	for _, p := range ps {
		b := 0
		if p.a != nil {
			b = min(max(p.a.Emotion.Intensity, 0), k-1)
		}
		o[p.gold.Intensity][b]++
	}
	var rows, cols [k]float64
	for i := range k {
		for j := range k {
			rows[i] += o[i][j]
			cols[j] += o[i][j]
		}
	}
	num, den := 0.0, 0.0
	for i := range k {
		for j := range k {
			d := float64((i - j) * (i - j))
			num += d * o[i][j]
			den += d * rows[i] * cols[j] / float64(len(ps))
		}
	}
	if den == 0 {
		return 1
	}
	return 1 - num/den
}

func highRecallPrecision(ps []pair) (recall, precision float64) {
	both, gold, said := 0, 0, 0
	for _, p := range ps {
		g := p.gold.Risk == qingting.RiskHigh
		h := p.a != nil && p.a.Risk.Level == qingting.RiskHigh
		if g {
			gold++
		}
		if h {
			said++
		}
		if g && h {
			both++
		}
	}
	return float64(both) / float64(max(1, gold)), float64(both) / float64(max(1, said))
}

// highAveragePrecision takes the precision once per distinct score.
func highAveragePrecision(ps []pair) float64 {
	type scored struct {
		score float64
		high  bool
	}
	all := make([]scored, len(ps))
	positives := 0
	for i, p := range ps {
		all[i].high = p.gold.Risk == qingting.RiskHigh
		if p.a != nil {
			all[i].score = p.a.Risk.Score
		}
		if all[i].high {
			positives++
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].score > all[j].score })
	ap, tp := 0.0, 0
	for i := 0; i < len(all); {
		k, j := 0, i
		for ; j < len(all) && all[j].score == all[i].score; j++ {
			if all[j].high {
				k++
			}
		}
		tp += k
		ap += float64(k) * float64(tp) / float64(j)
		i = j
	}
	return ap / float64(max(1, positives))
}

func primary(a *qingting.Analysis) string {
	if a == nil || a.Primary == nil {
		return ""
	}
	return string(*a.Primary)
}

// family is the first level of a type code, "none" for no type.
func family(code string) string {
	if code == "" {
		return "none"
	}
	family, _, _ := strings.Cut(code, ".")
	return family
}

func codes[L ~string](labels []L) []string {
	return distinct(labels, func(l L) string { return string(l) })
}

func distinct[T any](items []T, code func(T) string) []string {
	var out []string
	for _, item := range items {
		if c := code(item); !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func without(codes []string, code string) []string {
	return slices.DeleteFunc(codes, func(c string) bool { return c == code })
}
