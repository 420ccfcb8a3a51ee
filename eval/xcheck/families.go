package xcheck

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"

	"github.com/qingting-ai/qingting/eval/metric"
	"github.com/qingting-ai/qingting/eval/stat"
)

// Figures agree to the rounding of sums; trec_eval prints and the libraries sum
// rankings in float32 here and there.
const (
	exact   = 1e-9
	ranking = 1e-6
)

func families() []family {
	of := func(statistic bool, f family) family {
		f.statistic = statistic
		return f
	}
	return []family{
		of(false, newFamily("classes", exact, makeClasses, classes)),
		of(false, newFamily("sets", exact, makeSets, sets)),
		of(false, newFamily("levels", exact, makeLevels, levels)),
		of(false, newFamily("distributions", exact, makeDistributions, distributions)),
		of(false, newFamily("calibration", exact, makeCalibration, calibration)),
		of(false, newFamily("binary", exact, makeBinary, binary)),
		of(false, newFamily("curve", exact, makeBinary, curve)),
		of(false, newFamily("ranking", ranking, makeRanking, rankings)),
		of(false, newFamily("agreement", exact, makeAgreement, agreement)),
		of(true, newFamily("intervals", exact, makeIntervals, intervals)),
		of(true, newFamily("tests", exact, makeTests, tests)),
		of(true, newFamily("designs", exact, makeDesigns, designs)),
	}
}

// weights are of n rows, small whole numbers with zeros, or nil in half of the
// cases.
func weights(rng *rand.Rand, n int) []int {
	if rng.IntN(2) == 0 {
		return nil
	}
	out := make([]int, n)
	for i := range out {
		out[i] = rng.IntN(4)
	}
	return out
}

func floats(w []int) []float64 {
	if w == nil {
		return nil
	}
	out := make([]float64, len(w))
	for i, x := range w {
		out[i] = float64(x)
	}
	return out
}

func bools(y []int) []bool {
	out := make([]bool, len(y))
	for i, x := range y {
		out[i] = x == 1
	}
	return out
}

// skewed is one of k, the first ones more often, so that later classes stay empty.
func skewed(rng *rand.Rand, k int) int { return int(float64(k) * rng.Float64() * rng.Float64()) }

// places rounds to so many decimals, which makes ties and short fixtures.
func places(x float64, n int) float64 {
	scale := math.Pow(10, float64(n))
	return math.Round(x*scale) / scale
}

// values evaluates measures under one weighting.
func values(w []float64, measures map[string]metric.Measure) map[string]float64 {
	out := make(map[string]float64, len(measures))
	for name, m := range measures {
		out[name] = m.Value(w)
	}
	return out
}

type classesCase struct {
	Gold    []string `json:"gold"`
	Pred    []string `json:"pred"`
	Label   string   `json:"label"`
	Weights []int    `json:"weights,omitempty"`
}

func makeClasses(rng *rand.Rand) classesCase {
	names := []string{"退款", "物流", "质量", "态度", "价格"}
	n, k := 1+rng.IntN(40), 1+rng.IntN(len(names))
	right := rng.Float64()
	c := classesCase{Label: names[rng.IntN(k)], Weights: weights(rng, n)}
	for range n {
		gold := skewed(rng, k)
		pred := skewed(rng, k)
		if rng.Float64() < right {
			pred = gold
		}
		c.Gold, c.Pred = append(c.Gold, names[gold]), append(c.Pred, names[pred])
	}
	return c
}

func classes(c classesCase) (map[string]float64, error) {
	m, err := metric.NewClasses(c.Gold, c.Pred)
	if err != nil {
		return nil, err
	}
	return values(floats(c.Weights), map[string]metric.Measure{
		"accuracy": m.Accuracy(), "micro_f1": m.Accuracy(), "macro_f1": m.MacroF1(), "weighted_f1": m.WeightedF1(),
		"balanced": m.BalancedAccuracy(), "mcc": m.MCC(), "kappa": m.Kappa(),
		"precision": m.Precision(c.Label), "recall": m.Recall(c.Label), "f1": m.F1(c.Label),
	}), nil
}

type setsCase struct {
	Gold     [][]string `json:"gold"`
	Pred     [][]string `json:"pred"`
	Taxonomy []string   `json:"taxonomy"`
	Least    int        `json:"least"`
}

func makeSets(rng *rand.Rand) setsCase {
	names := []string{"price", "price.hidden_fee", "price.overcharge", "delivery.late", "delivery.lost", "service.rude", "a.b.c"}
	c := setsCase{Taxonomy: names[:2+rng.IntN(len(names)-1)], Least: 1 + rng.IntN(5)}
	often, right := rng.Float64()/2, rng.Float64()
	for range 1 + rng.IntN(25) {
		gold, pred := []string{}, []string{}
		for _, name := range c.Taxonomy {
			has := rng.Float64() < often
			if has {
				gold = append(gold, name)
			}
			if rng.Float64() >= right {
				has = rng.Float64() < often
			}
			if has {
				pred = append(pred, name)
			}
		}
		c.Gold, c.Pred = append(c.Gold, gold), append(c.Pred, pred)
	}
	return c
}

func sets(c setsCase) (map[string]float64, error) {
	m, err := metric.NewLabelSets(c.Gold, c.Pred)
	if err != nil {
		return nil, err
	}
	hamming, err := m.HammingLoss(len(c.Taxonomy))
	if err != nil {
		return nil, err
	}
	up, err := metric.HierarchicalF1(c.Gold, c.Pred)
	if err != nil {
		return nil, err
	}
	one := c.Taxonomy[0]
	return values(nil, map[string]metric.Measure{
		"micro_f1": m.MicroF1(), "micro_precision": m.MicroPrecision(), "micro_recall": m.MicroRecall(),
		"macro_f1": m.MacroF1(c.Least), "subset": m.SubsetAccuracy(), "hamming": hamming, "hierarchical_f1": up,
		"label_f1": m.F1(one), "label_precision": m.Precision(one), "label_recall": m.Recall(one),
	}), nil
}

type levelsCase struct {
	K       int   `json:"k"`
	Gold    []int `json:"gold"`
	Pred    []int `json:"pred"`
	Weights []int `json:"weights,omitempty"`
}

func makeLevels(rng *rand.Rand) levelsCase {
	n, used := 1+rng.IntN(40), 0
	c := levelsCase{K: 2 + rng.IntN(5), Weights: weights(rng, n)}
	used = 1 + rng.IntN(c.K) // levels that occur; 1 is the degenerate table
	for range n {
		gold := rng.IntN(used)
		c.Gold, c.Pred = append(c.Gold, gold), append(c.Pred, min(max(gold+rng.IntN(3)-1, 0), used-1))
	}
	return c
}

func levels(c levelsCase) (map[string]float64, error) {
	m, err := metric.NewLevels(c.Gold, c.Pred, c.K)
	if err != nil {
		return nil, err
	}
	return values(floats(c.Weights), map[string]metric.Measure{"qwk": m.QWK(), "linear": m.LinearKappa(), "mae": m.MAE()}), nil
}

type distributionsCase struct {
	P []int `json:"p"`
	Q []int `json:"q"`
}

func makeDistributions(rng *rand.Rand) distributionsCase {
	bins := 2 + rng.IntN(6)
	votes := func() []int {
		out := make([]int, bins)
		for range 1 + rng.IntN(19) {
			out[skewed(rng, bins)]++
		}
		rng.Shuffle(bins, func(i, j int) { out[i], out[j] = out[j], out[i] })
		return out
	}
	return distributionsCase{P: votes(), Q: votes()}
}

func distributions(c distributionsCase) (map[string]float64, error) {
	nmd, err := metric.NMD(floats(c.P), floats(c.Q))
	if err != nil {
		return nil, err
	}
	rsnod, err := metric.RSNOD(floats(c.P), floats(c.Q))
	if err != nil {
		return nil, err
	}
	return map[string]float64{"nmd": nmd, "rsnod": rsnod}, nil
}

type calibrationCase struct {
	P       []float64   `json:"p"`
	Gold    []int       `json:"gold"`
	Bins    int         `json:"bins"`
	Weights []int       `json:"weights,omitempty"`
	Multi   [][]float64 `json:"multi"`
	Class   []int       `json:"class"`
}

func makeCalibration(rng *rand.Rand) calibrationCase {
	n, k := 2+rng.IntN(30), 2+rng.IntN(3)
	c := calibrationCase{Bins: 1 + rng.IntN(15), Weights: weights(rng, n)}
	round := 1 + rng.IntN(3) // one decimal makes ties, and probabilities on the cuts
	for range n {
		p := places(rng.Float64(), round)
		y := 0
		if rng.Float64() < p*p {
			y = 1
		}
		c.P, c.Gold = append(c.P, p), append(c.Gold, y)
	}
	for range 1 + rng.IntN(8) {
		row := make([]float64, k)
		left := 100
		for j := range k - 1 {
			row[j] = float64(rng.IntN(left + 1))
			left -= int(row[j])
		}
		row[k-1] = float64(left)
		for j := range row {
			row[j] = places(row[j]/100, 2)
		}
		c.Multi, c.Class = append(c.Multi, row), append(c.Class, rng.IntN(k))
	}
	return c
}

func calibration(c calibrationCase) (map[string]float64, error) {
	m, err := metric.NewProbabilities(c.P, bools(c.Gold))
	if err != nil {
		return nil, err
	}
	brier, err := metric.MultiBrier(c.Multi, c.Class)
	if err != nil {
		return nil, err
	}
	loss, err := metric.MultiLogLoss(c.Multi, c.Class)
	if err != nil {
		return nil, err
	}
	out := values(floats(c.Weights), map[string]metric.Measure{
		"brier": m.Brier(), "log_loss": m.LogLoss(),
		"ece_width": m.ECE(c.Bins, metric.EqualWidth), "ece_mass": m.ECE(c.Bins, metric.EqualMass),
		"mce_width": m.MCE(c.Bins, metric.EqualWidth), "mce_mass": m.MCE(c.Bins, metric.EqualMass),
	})
	out["multi_brier"], out["multi_log_loss"] = brier.Value(nil), loss.Value(nil)
	return out, nil
}

type binaryCase struct {
	Score     []float64 `json:"score"`
	Gold      []int     `json:"gold"`
	Weights   []int     `json:"weights,omitempty"`
	Threshold float64   `json:"threshold"`
	Miss      float64   `json:"miss"`
	Alarm     float64   `json:"alarm"`
	Share     float64   `json:"share"`
}

func makeBinary(rng *rand.Rand) binaryCase {
	n := 1 + rng.IntN(40)
	c := binaryCase{
		Weights: weights(rng, n), Threshold: places(rng.Float64(), 1), Miss: float64(1 + rng.IntN(20)), Alarm: float64(rng.IntN(3)),
		Share: places(rng.Float64(), 2),
	}
	rate, round := rng.Float64(), rng.IntN(3)
	if rng.IntN(10) == 0 {
		rate = float64(rng.IntN(2)) // a single class
	}
	for range n {
		y := 0
		if rng.Float64() < rate {
			y = 1
		}
		c.Gold = append(c.Gold, y)
		c.Score = append(c.Score, places((rng.Float64()+float64(y)*rng.Float64())/2, round))
	}
	return c
}

func binary(c binaryCase) (map[string]float64, error) {
	m, err := metric.NewScores(c.Score, bools(c.Gold))
	if err != nil {
		return nil, err
	}
	budget, err := m.RecallAtBudget(c.Share)
	if err != nil {
		return nil, err
	}
	cost := metric.Cost{Miss: c.Miss, FalseAlarm: c.Alarm}
	return values(floats(c.Weights), map[string]metric.Measure{
		"auroc": m.AUROC(), "ap": m.AveragePrecision(), "cost": m.ExpectedCost(cost, c.Threshold), "min_cost": m.MinCost(cost),
		"recall_at_budget": budget,
	}), nil
}

// curve sums the points of both curves with their ranks, so that one figure
// tells any wrong point.
func curve(c binaryCase) (map[string]float64, error) {
	m, err := metric.NewScores(c.Score, bools(c.Gold))
	if err != nil {
		return nil, err
	}
	roc, pr := 0.0, 0.0
	cuts := m.Cuts()
	for i, cut := range cuts {
		roc += float64(i+1) * (cut.FPR() + 2*cut.TPR())
		pr += float64(i+1) * (cut.Precision() + 2*cut.TPR())
	}
	positives := cuts[0].FN
	if positives == 0 {
		pr = math.NaN()
	}
	if positives == 0 || positives == len(c.Gold) {
		roc = math.NaN()
	}
	return map[string]float64{"roc": roc, "pr": pr}, nil
}

type rankingCase struct {
	Qrels    map[string]map[string]int `json:"qrels"`
	Run      map[string][][2]any       `json:"run"` // document, score
	K        int                       `json:"k"`
	Relevant int                       `json:"relevant"`
}

func makeRanking(rng *rand.Rand) rankingCase {
	c := rankingCase{Qrels: map[string]map[string]int{}, Run: map[string][][2]any{}, K: 1 + rng.IntN(10), Relevant: 1 + rng.IntN(2)}
	for q := range 1 + rng.IntN(5) {
		query := fmt.Sprint("q", q)
		most := rng.IntN(4) // 0: a query without a relevant document
		c.Qrels[query] = map[string]int{}
		for range 1 + rng.IntN(12) {
			c.Qrels[query][fmt.Sprint("d", rng.IntN(20))] = rng.IntN(most + 1)
		}
		if rng.IntN(5) == 0 {
			continue // a query the run misses
		}
		for i, d := range rng.Perm(20)[:rng.IntN(16)] {
			// Scores come from ranks, some of them tied: trec_eval keeps float32.
			c.Run[query] = append(c.Run[query], [2]any{fmt.Sprint("d", d), float64(20-i/(1+rng.IntN(3))) / 2})
		}
	}
	if rng.IntN(4) == 0 {
		c.Run["unjudged"] = [][2]any{{"d1", 1.5}}
	}
	return c
}

func rankings(c rankingCase) (map[string]float64, error) {
	run := metric.Run{}
	for query, docs := range c.Run {
		for _, d := range docs {
			doc, isText := d[0].(string)
			score, isNumber := d[1].(float64)
			if !isText || !isNumber {
				return nil, fmt.Errorf("查询 %s 的文档 %v 不是编号和分数", query, d)
			}
			run[query] = append(run[query], metric.Scored{Document: doc, Score: score})
		}
	}
	all := metric.Rankings(c.Qrels, run)
	k, relevant := c.K, c.Relevant
	out := map[string]float64{}
	for name, figure := range map[string]func(metric.Ranking) float64{
		"ndcg_k":   func(r metric.Ranking) float64 { return r.NDCG(k) },
		"ndcg":     func(r metric.Ranking) float64 { return r.NDCG(0) },
		"p_k":      func(r metric.Ranking) float64 { return r.Precision(k, relevant) },
		"recall_k": func(r metric.Ranking) float64 { return r.Recall(k, relevant) },
		"map_k":    func(r metric.Ranking) float64 { return r.AveragePrecision(k, relevant) },
		"map":      func(r metric.Ranking) float64 { return r.AveragePrecision(0, relevant) },
		"hit_k":    func(r metric.Ranking) float64 { return r.Hit(k, relevant) },
		"mrr":      func(r metric.Ranking) float64 { return r.ReciprocalRank(0, relevant) },
		"mrr_k":    func(r metric.Ranking) float64 { return r.ReciprocalRank(k, relevant) },
		"judged_k": func(r metric.Ranking) float64 { return r.Judged(k) },

		"condensed_ndcg_k": func(r metric.Ranking) float64 { return r.Condensed().NDCG(k) },
		"condensed_map_k":  func(r metric.Ranking) float64 { return r.Condensed().AveragePrecision(k, relevant) },
	} {
		out[name] = metric.Mean(metric.PerQuery(all, figure)).Value(nil)
	}
	return out, nil
}

type agreementCase struct {
	Ratings [][]*float64 `json:"ratings"` // items × annotators, null missing
}

func makeAgreement(rng *rand.Rand) agreementCase {
	var c agreementCase
	annotators, k := 2+rng.IntN(4), 1+rng.IntN(5)
	agree, absent := rng.Float64(), 0.0
	if rng.IntN(2) == 0 {
		absent = rng.Float64() / 2
	}
	for range 2 + rng.IntN(20) {
		item := make([]*float64, annotators)
		truth := skewed(rng, k)
		for a := range item {
			if rng.Float64() < absent {
				continue
			}
			x := float64(truth)
			if rng.Float64() >= agree {
				x = float64(rng.IntN(k))
			}
			item[a] = &x
		}
		c.Ratings = append(c.Ratings, item)
	}
	// An annotation without a single rating has no agreement to speak of.
	x := 0.0
	c.Ratings[0][0], c.Ratings[0][1] = &x, &x
	return c
}

func agreement(c agreementCase) (map[string]float64, error) {
	ratings := make([][]float64, len(c.Ratings))
	complete := true
	for i, item := range c.Ratings {
		for _, x := range item {
			if x == nil {
				complete = false
				ratings[i] = append(ratings[i], metric.Missing())
				continue
			}
			ratings[i] = append(ratings[i], *x)
		}
	}
	out := map[string]float64{"fleiss": math.NaN()}
	if complete {
		fleiss, err := metric.FleissKappa(ratings)
		if err != nil {
			return nil, err
		}
		out["fleiss"] = fleiss.Value(nil)
	}
	for name, level := range map[string]metric.Level{"nominal": metric.Nominal, "ordinal": metric.Ordinal, "interval": metric.Interval} {
		alpha, err := metric.KrippendorffAlpha(ratings, level)
		if err != nil {
			return nil, err
		}
		out[name] = alpha.Value(nil)
	}
	return out, nil
}

type intervalsCase struct {
	Hits       int       `json:"hits"`
	N          int       `json:"n"`
	Confidence float64   `json:"confidence"`
	Samples    []float64 `json:"samples"`
}

func makeIntervals(rng *rand.Rand) intervalsCase {
	c := intervalsCase{N: 1 + rng.IntN(2000), Confidence: []float64{0.8, 0.9, 0.95, 0.99}[rng.IntN(4)]}
	c.Hits = rng.IntN(c.N + 1)
	if rng.IntN(5) == 0 {
		c.Hits = c.N * rng.IntN(2)
	}
	for range 1 + rng.IntN(40) {
		c.Samples = append(c.Samples, places(rng.NormFloat64()+rng.Float64(), 1))
	}
	return c
}

func intervals(c intervalsCase) (map[string]float64, error) {
	low, high, err := stat.Wilson(c.Hits, c.N, c.Confidence)
	if err != nil {
		return nil, err
	}
	sort.Float64s(c.Samples)
	r := stat.Resampled{Samples: c.Samples}
	out := map[string]float64{"wilson_low": low, "wilson_high": high, "p": r.PValue()}
	out["quantile_low"], out["quantile_high"] = r.Interval(c.Confidence)
	return out, nil
}

type testsCase struct {
	Base      int       `json:"base"`
	Candidate int       `json:"candidate"`
	P         []float64 `json:"p"`
}

func makeTests(rng *rand.Rand) testsCase {
	most := []int{3, 30, 300, 30000}[rng.IntN(4)]
	c := testsCase{Base: rng.IntN(most), Candidate: rng.IntN(most)}
	if rng.IntN(2) == 0 { // near the middle, where p is neither 0 nor 1
		c.Candidate = max(0, c.Base+rng.IntN(7)-3)
	}
	for range 1 + rng.IntN(8) {
		c.P = append(c.P, places(rng.Float64()*rng.Float64(), 2))
	}
	return c
}

func tests(c testsCase) (map[string]float64, error) {
	out := map[string]float64{"mcnemar": stat.McNemar(c.Base, c.Candidate), "mid_p": stat.McNemarMidP(c.Base, c.Candidate)}
	for i, p := range stat.Holm(c.P) {
		out[fmt.Sprint("holm_", i)] = p
	}
	return out, nil
}

type designsCase struct {
	N          int     `json:"n"`
	Delta      float64 `json:"delta"`
	SD         float64 `json:"sd"`
	Discordant float64 `json:"discordant"`
	Alpha      float64 `json:"alpha"`
	Power      float64 `json:"power"`
}

func makeDesigns(rng *rand.Rand) designsCase {
	c := designsCase{
		N: 10 + rng.IntN(3000), SD: places(0.1+rng.Float64(), 2), Discordant: places(0.02+rng.Float64()*0.6, 2),
		Alpha: []float64{0.01, 0.05, 0.1}[rng.IntN(3)], Power: []float64{0.5, 0.8, 0.9, 0.95}[rng.IntN(4)],
	}
	c.Delta = places(c.Discordant*(0.05+rng.Float64()*0.8), 3)
	return c
}

func designs(c designsCase) (map[string]float64, error) {
	out := map[string]float64{}
	for name, d := range map[string]stat.Design{"mean": {Alpha: c.Alpha, SD: c.SD}, "share": {Alpha: c.Alpha, Discordant: c.Discordant}} {
		power, err := d.Power(c.N, c.Delta)
		if err != nil {
			return nil, err
		}
		effect, err := d.DetectableEffect(c.N, c.Power)
		if err != nil {
			return nil, err
		}
		n, err := d.SampleSize(c.Delta, c.Power)
		if err != nil {
			return nil, err
		}
		out[name+"_power"], out[name+"_effect"], out[name+"_n"] = power, effect, float64(n)
	}
	return out, nil
}
