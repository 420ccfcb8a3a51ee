package retrieval

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// writtenQuery is a line of starter/queries.jsonl: a complaint written for
// the starter library with the cases about the same problem, maybe none.
type writtenQuery struct {
	ID       string   `json:"id"`
	Text     string   `json:"text"`
	Relevant []string `json:"relevant"`
	Split    string   `json:"split"` // tune or report

	question question
	matches  []qingting.Match // all candidates, by probability
	found    []Candidate      // the same, by rank fusion
}

func (q *writtenQuery) relevant(id string) bool { return slices.Contains(q.Relevant, id) }

// askAll runs every written query of one split.
func askAll(t *testing.T, l *Library, split string) []*writtenQuery {
	t.Helper()
	raw, err := os.ReadFile("starter/queries.jsonl")
	require.NoError(t, err)
	var out []*writtenQuery
	var texts []string
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		q := &writtenQuery{}
		require.NoError(t, json.Unmarshal(lines.Bytes(), q))
		require.Contains(t, []string{"tune", "report"}, q.Split, q.ID)
		for _, id := range q.Relevant {
			_, err := l.Get(id)
			require.NoError(t, err, "%s names a case that does not exist", q.ID)
		}
		if q.Split != split {
			continue
		}
		clean, _, _ := l.parts.Cleaner.Clean(q.Text)
		q.question = question{terms: l.terms(q.Text)}
		out, texts = append(out, q), append(texts, string(clean))
	}
	if l.parts.Encoder != nil {
		vectors, err := l.parts.Encoder.Encode(context.Background(), texts)
		require.NoError(t, err)
		for i, q := range out {
			q.question.vector = vectors[i]
		}
	}
	for _, q := range out {
		q.found, err = l.index.Search(context.Background(), Query{Terms: q.question.terms, Vector: q.question.vector, Limit: candidates})
		require.NoError(t, err)
		q.matches, err = l.find(context.Background(), &q.question, qingting.CaseFilter{}, candidates)
		require.NoError(t, err)
	}
	return out
}

// figures of a search, each in [0, 1].
type figures struct {
	recall3   float64 // share of the relevant cases among the first three, of those that fit there
	mrr       float64
	precision float64 // of the cases shown: at most three, Reliable or better
	answered  float64 // queries with a relevant case that are shown at least one
	spared    float64 // queries without a relevant case that are shown none
	auroc     float64 // of the best probability, telling the two kinds of query apart
}

func measure(queries []*writtenQuery) figures {
	var f figures
	var with, without, shown, right float64
	var best, bestNone []float64
	for _, q := range queries {
		top := 0.0
		if len(q.matches) > 0 {
			top = q.matches[0].Score
		}
		for _, m := range q.matches[:min(maxShown, len(q.matches))] {
			if m.Score >= Reliable {
				shown++
				if q.relevant(m.ID) {
					right++
				}
			}
		}
		if len(q.Relevant) == 0 {
			without++
			bestNone = append(bestNone, top)
			if top < Reliable {
				f.spared++
			}
			continue
		}
		with++
		best = append(best, top)
		if top >= Reliable {
			f.answered++
		}
		hits := 0.0
		for i, m := range q.matches {
			if !q.relevant(m.ID) {
				continue
			}
			if hits == 0 {
				f.mrr += 1 / float64(i+1)
			}
			if i < 3 {
				f.recall3 += 1 / float64(min(3, len(q.Relevant)))
			}
			hits++
		}
	}
	for _, b := range best {
		for _, n := range bestNone {
			if b > n {
				f.auroc++
			} else if b == n {
				f.auroc += 0.5
			}
		}
	}
	f.recall3, f.mrr, f.answered = f.recall3/with, f.mrr/with, f.answered/with
	f.spared, f.precision, f.auroc = f.spared/without, right/max(1, shown), f.auroc/(with*without)
	return f
}

// TestQuality holds the figures on the report half, which nothing was fitted
// on. The bounds are the committed figures less 0.02, for kernels and word
// lists that change a rank here and there.
func TestQuality(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes every query")
	}
	for _, tt := range []struct {
		name   string
		hybrid bool
		want   figures
	}{
		{"hybrid", true, figures{recall3: 0.882, mrr: 0.978, precision: 0.855, answered: 0.754, spared: 1, auroc: 0.930}},
		{"lexical", false, figures{recall3: 0.640, mrr: 0.707, precision: 0.864, answered: 0.580, spared: 0.96, auroc: 0.822}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			queries := askAll(t, starterLibrary(t, tt.hybrid), "report")
			got := measure(queries)
			t.Logf("%d queries: %+v", len(queries), got)
			const slack = 0.02
			require.GreaterOrEqual(t, got.recall3, tt.want.recall3-slack, "recall@3")
			require.GreaterOrEqual(t, got.mrr, tt.want.mrr-slack, "MRR")
			require.GreaterOrEqual(t, got.precision, tt.want.precision-slack, "precision of what is shown")
			require.GreaterOrEqual(t, got.answered, tt.want.answered-slack, "answered")
			require.GreaterOrEqual(t, got.spared, tt.want.spared-slack, "spared")
			require.GreaterOrEqual(t, got.auroc, tt.want.auroc-slack, "AUROC")
		})
	}
}

// TestCalibration fits the weights of score.go again on the tune half. The
// committed ones must be nearly as good there, or the cases have moved away
// from them: then take the ones it prints.
func TestCalibration(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes every query")
	}
	for _, tt := range []struct {
		name      string
		hybrid    bool
		committed weights
	}{
		{"hybrid", true, hybridWeights()},
		{"lexical", false, lexicalWeights()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			queries := askAll(t, starterLibrary(t, tt.hybrid), "tune")
			t.Logf("tune: %+v", measure(queries))
			var x [][]float64
			var y []bool
			for _, q := range queries {
				for i := range q.found {
					f := &q.found[i]
					row := []float64{1, math.Sqrt(f.Words), share(f)}
					if tt.hybrid {
						row[2] = f.Dense
					}
					x, y = append(x, row), append(y, q.relevant(f.ID))
				}
			}
			fitted := fitLogistic(x, y)
			committed := []float64{tt.committed.bias, tt.committed.words, tt.committed.share}
			if tt.hybrid {
				committed[2] = tt.committed.dense
			}
			t.Logf("bias, words, share or dense: fitted %.2f, committed %.2f", fitted, committed)
			require.Less(t, logLoss(committed, x, y), 1.05*logLoss(fitted, x, y))
		})
	}
}

// ridge keeps the fit finite when the classes can be told apart entirely.
const ridge = 0.01

// fitLogistic is Newton's method on the ridge-penalised likelihood; the first
// column is the constant and not penalised.
func fitLogistic(x [][]float64, y []bool) []float64 {
	n := len(x[0])
	w := make([]float64, n)
	for range 50 {
		gradient := make([]float64, n)
		hessian := make([][]float64, n)
		for i := range hessian {
			hessian[i] = make([]float64, n)
			if i > 0 {
				gradient[i], hessian[i][i] = -ridge*w[i], ridge
			}
		}
		for k, row := range x {
			p := logistic(w, row)
			d := -p
			if y[k] {
				d++
			}
			for i := range row {
				gradient[i] += d * row[i]
				for j := range row {
					hessian[i][j] += p * (1 - p) * row[i] * row[j]
				}
			}
		}
		for i, s := range solve(hessian, gradient) {
			w[i] += s
		}
	}
	return w
}

// solve is Gaussian elimination for a positive definite matrix.
func solve(a [][]float64, b []float64) []float64 {
	n := len(b)
	for i := range n {
		for r := i + 1; r < n; r++ {
			f := a[r][i] / a[i][i]
			for c := i; c < n; c++ {
				a[r][c] -= f * a[i][c]
			}
			b[r] -= f * b[i]
		}
	}
	x := make([]float64, n)
	for i := n - 1; i >= 0; i-- {
		x[i] = b[i]
		for c := i + 1; c < n; c++ {
			x[i] -= a[i][c] * x[c]
		}
		x[i] /= a[i][i]
	}
	return x
}

func logistic(w, row []float64) float64 {
	z := 0.0
	for i := range w {
		z += w[i] * row[i]
	}
	return 1 / (1 + math.Exp(-z))
}

func logLoss(w []float64, x [][]float64, y []bool) float64 {
	sum := 0.0
	for k, row := range x {
		p := logistic(w, row)
		if !y[k] {
			p = 1 - p
		}
		sum -= math.Log(max(p, 1e-12))
	}
	return sum / float64(len(x))
}
