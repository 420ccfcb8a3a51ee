package linear

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/qingting-ai/qingting"
)

// Example is a prepared conversation with its labels.
type Example struct {
	// Doc comes from Pipeline.Prepare, in full mode where the full heads are to
	// be trained. Doc.Scores is not read.
	Doc    *qingting.Document
	Labels qingting.Labels
	// Votes are the shares of satisfaction votes −2…2, summing to 1; all zero
	// where nobody voted.
	Votes [5]float64
}

// Options change what is trained; the zero value is the product's model.
type Options struct {
	NoRules   bool   // leave lexicon hits out
	NoEncoder bool   // lexical heads only, even for documents with vectors
	EncoderID string // Encoder.ID of the documents' vectors, kept in the weights
	// Progress is told what is being done; nil for silence.
	Progress func(step string)
}

func (o *Options) say(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// leastExamples is the smallest training set that is accepted: below it the
// folds of the calibration would be empty.
const leastExamples = 20

// Weights of the blocks and penalties. Chosen by cross-validation on the
// training texts; docs/model.md has the figures.
var (
	// minDocuments is how many documents a feature must occur in.
	minDocuments = [numBlocks]int{blockChar: 7, blockWord: 8, blockHit: 3, blockShape: 3, blockFirst: 14, blockLast: 12, blockAgent: 20, blockFinal: 20}
	topicWeight  = [numBlocks]float64{blockChar: 1, blockWord: 0.5, blockHit: 0.4, blockShape: 0.15}
	wholeWeight  = [numBlocks]float64{
		blockChar: 1, blockWord: 0.5, blockHit: 0.5, blockShape: 0.25,
		blockFirst: 0.5, blockLast: 0.5, blockAgent: 0.3, blockFinal: 0.3,
	}
)

const (
	topicPenalty   = 1.5
	wholePenalty   = 1.5
	densePenalty   = 1.5
	messagePenalty = 1.5
	stackPenalty   = 250 // for 4,000 examples; in proportion for fewer
	// feelingRunes is the length from which the last customer message of a
	// longer conversation is taken to carry its emotion: a bare 好的 does not.
	feelingRunes = 6
)

// Report says what a training did.
type Report struct {
	Examples, Features int
	Bytes              int
	// Fast and Full are figures on predictions for texts that were not trained
	// on by the second stage; CrossValidate gives the honest ones. Full is nil
	// without vectors.
	Fast, Full Figures
}

// row is a sparse vector of features with their values, block by block.
type row struct {
	features [numBlocks][]int32
	values   [numBlocks][]float64
}

// Train makes a model. It is deterministic: the same examples in the same
// order give the same bytes, whatever the number of cores. Memory grows with
// the square of the number of examples (130 MB for 4,000).
func Train(examples []Example, o Options) (*Model, *Report, error) {
	if len(examples) < leastExamples {
		return nil, nil, fmt.Errorf("只有 %d 条标注，至少需要 %d 条才能训练", len(examples), leastExamples)
	}
	for i := range examples {
		if err := check(&examples[i]); err != nil {
			return nil, nil, fmt.Errorf("第 %d 条标注：%w", i+1, err)
		}
	}
	t := &trainer{o: o, examples: examples, n: len(examples), heads: newHeads()}
	t.width = width(t.heads)
	t.targets()
	o.say("extracting features of %d conversations", t.n)
	t.extract()
	m := &Model{vocab: t.vocab, heads: t.heads}
	var bases []*base
	for _, b := range []struct {
		weight  [numBlocks]float64
		penalty float64
	}{{topicWeight, topicPenalty}, {wholeWeight, wholePenalty}} {
		o.say("fitting a lexical base over %d features", len(t.vocab.keys))
		fitted, err := t.lexicalBase(t.rows, t.y, t.width, b.weight, b.penalty)
		if err != nil {
			return nil, nil, err
		}
		bases = append(bases, fitted)
	}
	report := &Report{Examples: t.n, Features: len(t.vocab.keys)}
	var err error
	if m.fast, report.Fast, err = t.tower(bases, false); err != nil {
		return nil, nil, err
	}
	if !o.NoEncoder {
		m.space = t.newSpace()
	}
	if m.space != nil {
		m.encoder = o.EncoderID
		t.space = m.space
		t.kernels()
		for _, views := range [][numViews]float64{{viewWeighted: 1}, viewWeight} {
			o.say("fitting a base over vectors")
			fitted, err := t.denseBase(views)
			if err != nil {
				return nil, nil, err
			}
			bases = append(bases, fitted)
		}
		if m.full, report.Full, err = t.tower(bases, true); err != nil {
			return nil, nil, err
		}
	}
	file := m.marshal()
	report.Bytes = len(file)
	out, err := Load(file)
	return out, report, err
}

// check refuses labels the heads do not know.
func check(e *Example) error {
	l := &e.Labels
	switch {
	case e.Doc == nil || len(e.Doc.Messages) == 0:
		return errors.New("没有会话内容")
	case !slices.Contains(qingting.Kinds(), l.Kind):
		return fmt.Errorf("kind 不认识：%q", l.Kind)
	case !slices.Contains(qingting.Emotions(), l.Emotion):
		return fmt.Errorf("emotion 不认识：%q", l.Emotion)
	case l.Intensity < 0 || l.Intensity > 3:
		return fmt.Errorf("intensity 应在 0 到 3 之间，这里是 %d", l.Intensity)
	case !slices.Contains(qingting.RiskLevels(), l.Risk):
		return fmt.Errorf("risk 不认识：%q", l.Risk)
	case !slices.Contains(qingting.Styles(), l.Style):
		return fmt.Errorf("style 不认识：%q", l.Style)
	case !slices.Contains(qingting.Outcomes(), l.Outcome):
		return fmt.Errorf("outcome 不认识：%q", l.Outcome)
	case l.Primary != "" && !slices.Contains(qingting.Types(), l.Primary):
		return fmt.Errorf("primary 不认识：%q", l.Primary)
	}
	for _, t := range l.Types {
		if !slices.Contains(qingting.Types(), t) {
			return fmt.Errorf("types 里有不认识的 %q", t)
		}
	}
	for _, s := range l.Signals {
		if !slices.Contains(qingting.Signals(), s) {
			return fmt.Errorf("signals 里有不认识的 %q", s)
		}
	}
	for _, c := range l.Claims {
		if c != "none" && !slices.Contains(qingting.Claims(), c) {
			return fmt.Errorf("claims 里有不认识的 %q", c)
		}
	}
	return nil
}

type trainer struct {
	o        Options
	examples []Example
	n        int
	heads    []head
	width    int
	y        []float64 // n × width
	known    [][]bool  // per head, which examples have a target
	fold     []int     // for the second stage's own predictions
	vocab    vocabulary
	rows     []row
	space    *vectorSpace
	phi      []float64 // n × (views · prototypes)
	// The single messages that stand for their conversation's emotion.
	messageOf  []int // per example, −1 for none
	messageRow []row
	messagePhi []float64
}

// stackFolds is the number of parts for predictions of the second stage.
const stackFolds = 5

// targets fills y, known and fold.
func (t *trainer) targets() {
	t.y = make([]float64, t.n*t.width)
	t.known = make([][]bool, len(t.heads))
	for h := range t.heads {
		t.known[h] = make([]bool, t.n)
	}
	t.fold = make([]int, t.n)
	voted, votes := 0.0, [5]float64{}
	for i := range t.examples {
		t.fold[i] = groupOf(t.examples[i].Doc, "stack", stackFolds)
		if sum(t.examples[i].Votes[:]) > 0 {
			voted++
			for k, v := range t.examples[i].Votes {
				votes[k] += v
			}
		}
	}
	for i := range t.examples {
		l := &t.examples[i].Labels
		given := [][]string{
			{string(l.Kind)},
			strs(l.Types),
			{string(l.Primary)},
			{string(l.Emotion)},
			{fmt.Sprint(l.Intensity)},
			{string(l.Risk)},
			strs(l.Signals), strs(l.Claims),
			{string(l.Style)},
			{string(l.Outcome)},
			nil,
		}
		for h := range t.heads {
			t.known[h][i] = true
			for _, code := range given[h] {
				if at := slices.Index(t.heads[h].codes, code); at >= 0 {
					t.y[i*t.width+t.heads[h].at+at] = 1
				}
			}
		}
		t.known[headPrimary][i] = l.Primary != ""
		// Where nobody voted the bases see the mean; the head itself does not
		// see these examples at all.
		has := sum(t.examples[i].Votes[:]) > 0
		t.known[headSatisfaction][i] = has
		for k := range votes {
			v := votes[k] / max(voted, 1)
			if has {
				v = t.examples[i].Votes[k] / sum(t.examples[i].Votes[:])
			}
			t.y[i*t.width+t.heads[headSatisfaction].at+k] = v
		}
	}
}

// groupOf puts a document into one of n parts, by its first customer message:
// the same text never falls into two parts.
func groupOf(doc *qingting.Document, salt string, n int) int {
	var r reading
	r.read(doc, -1)
	text := ""
	if r.first >= 0 {
		text = string(doc.Messages[r.first].Clean)
	}
	return int(textKey(0, 'x', salt, text) % uint64(n))
}

// extract builds the vocabulary and the rows of documents and messages.
func (t *trainer) extract() {
	type counts struct {
		key   [numBlocks][]uint64
		count [numBlocks][]float64
	}
	gather := func(doc *qingting.Document, only int) *counts {
		var r reading
		r.read(doc, only)
		var all [numBlocks][]uint64
		walk(doc, &r, only, func(o occurrence) {
			if t.o.NoRules && o.block == blockHit {
				return
			}
			all[o.block] = append(all[o.block], o.key)
		})
		c := &counts{}
		for b := range numBlocks {
			slices.Sort(all[b])
			for i := 0; i < len(all[b]); {
				j := i
				for j < len(all[b]) && all[b][j] == all[b][i] {
					j++
				}
				c.key[b] = append(c.key[b], all[b][i])
				c.count[b] = append(c.count[b], float64(j-i))
				i = j
			}
		}
		return c
	}
	docs, messages := make([]*counts, t.n), make([]*counts, t.n)
	t.messageOf = make([]int, t.n)
	parallel(t.n, func(i int) {
		doc := t.examples[i].Doc
		docs[i] = gather(doc, -1)
		if t.messageOf[i] = representative(doc); t.messageOf[i] >= 0 {
			messages[i] = gather(doc, t.messageOf[i])
		}
	})
	for b := range numBlocks {
		frequency := map[uint64]int{}
		for _, d := range docs {
			for _, k := range d.key[b] {
				frequency[k]++
			}
		}
		var keys []uint64
		for k, f := range frequency {
			// A presence feature of every document says nothing.
			if f >= minDocuments[b] && (b.counted() || f < t.n) {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		t.vocab.start[b] = int32(len(t.vocab.keys))
		for _, k := range keys {
			f := float64(frequency[k])
			value := math.Log(float64(t.n+1)/(f+1)) + 1
			if !b.counted() {
				share := f / float64(t.n)
				value = 1 / (max(math.Sqrt(share*(1-share)), 0.1) * math.Sqrt(float64(len(keys))))
			}
			t.vocab.keys = append(t.vocab.keys, k)
			t.vocab.idf = append(t.vocab.idf, float32(value))
		}
	}
	t.vocab.start[numBlocks] = int32(len(t.vocab.keys))
	t.vocab.index()
	build := func(c *counts) row {
		var r row
		if c == nil {
			return r
		}
		for b := range numBlocks {
			var count []float64
			for k, key := range c.key[b] {
				if f := t.vocab.find(key); f >= 0 {
					r.features[b] = append(r.features[b], int32(f))
					count = append(count, c.count[b][k])
				}
			}
			i := 0
			r.values[b] = weigh(b, r.features[b], func(int32) float64 { i++; return count[i-1] }, t.vocab.idf, nil)
		}
		return r
	}
	t.rows, t.messageRow = make([]row, t.n), make([]row, t.n)
	parallel(t.n, func(i int) {
		t.rows[i], t.messageRow[i] = build(docs[i]), build(messages[i])
	})
}

// representative is the message that carries the conversation's emotion: the
// only customer message, or the last one that says enough to carry any.
func representative(doc *qingting.Document) int {
	var r reading
	r.read(doc, -1)
	if len(r.customers) == 1 {
		return r.customers[0]
	}
	for k := len(r.customers) - 1; k >= 0; k-- {
		if len(doc.Messages[r.customers[k]].Clean) >= feelingRunes {
			return r.customers[k]
		}
	}
	return -1
}

// base is a fitted ridge model: what it would have said of each example
// without it, and its weights.
type base struct {
	loo     []float64 // n × width
	lexical []float64 // features × width, block weights multiplied in; nil for a dense base
	dense   []float64 // (views · prototypes) × width; nil for a lexical base
	bias    []float64
}

// gramOf returns the kernel of sparse rows under block weights.
func gramOf(rows []row, features int, weight [numBlocks]float64) *square {
	type entry struct {
		row   int32
		value float32
	}
	postings := make([][]entry, features)
	for i := range rows {
		for b := range numBlocks {
			for k, f := range rows[i].features[b] {
				if weight[b] > 0 {
					postings[f] = append(postings[f], entry{int32(i), float32(rows[i].values[b][k] * math.Sqrt(weight[b]))})
				}
			}
		}
	}
	g := newSquare(len(rows))
	parallel(len(rows), func(i int) {
		out := g.row(i)
		for b := range numBlocks {
			if weight[b] == 0 {
				continue
			}
			for k, f := range rows[i].features[b] {
				x := rows[i].values[b][k] * math.Sqrt(weight[b])
				for _, e := range postings[f] {
					out[e.row] += x * float64(e.value)
				}
			}
		}
	})
	// Rounding of the postings leaves the two halves a hair apart.
	for i := range g.n {
		for j := range i {
			v := (g.a[i*g.n+j] + g.a[j*g.n+i]) / 2
			g.a[i*g.n+j], g.a[j*g.n+i] = v, v
		}
	}
	return g
}

// lexicalBase fits a ridge model over sparse rows.
func (t *trainer) lexicalBase(rows []row, y []float64, width int, weight [numBlocks]float64, penalty float64) (*base, error) {
	features := len(t.vocab.keys)
	g := gramOf(rows, features, weight)
	alpha, mean, loo, err := ridge(g, y, width, penalty)
	if err != nil {
		return nil, err
	}
	b := &base{loo: loo, lexical: t.primal(rows, alpha, width, weight)}
	b.bias = t.balance(rows, mean, b.lexical, width)
	return b, nil
}

// primal turns dual coefficients into weights of the features, to be used on
// values without block weights.
func (t *trainer) primal(rows []row, alpha []float64, width int, weight [numBlocks]float64) []float64 {
	w := make([]float64, len(t.vocab.keys)*width)
	// By output stripe, so that no two cores write the same weight.
	const stripe = 8
	parallel((width+stripe-1)/stripe, func(s int) {
		c0 := s * stripe
		c1 := min(c0+stripe, width)
		for i := range rows {
			a := alpha[i*width+c0 : i*width+c1]
			for b := range numBlocks {
				if weight[b] == 0 {
					continue
				}
				for k, f := range rows[i].features[b] {
					x := rows[i].values[b][k] * weight[b]
					out := w[int(f)*width+c0 : int(f)*width+c1]
					for o, v := range a {
						out[o] += x * v
					}
				}
			}
		}
	})
	return w
}

// balance returns the bias that makes the mean prediction the mean target.
func (t *trainer) balance(rows []row, mean, w []float64, width int) []float64 {
	bias := slices.Clone(mean)
	for i := range rows {
		for b := range numBlocks {
			for k, f := range rows[i].features[b] {
				x := rows[i].values[b][k] / float64(len(rows))
				for o := range width {
					bias[o] -= x * w[int(f)*width+o]
				}
			}
		}
	}
	return bias
}

// newSpace finds mean and prototypes of the vectors; nil when there are none.
func (t *trainer) newSpace() *vectorSpace {
	dim := 0
	for i := range t.examples {
		for _, p := range t.examples[i].Doc.Messages {
			if len(p.Vector) > 0 {
				dim = len(p.Vector)
			}
		}
	}
	if dim == 0 {
		return nil
	}
	s := &vectorSpace{dim: dim, mean: make([]float32, dim)}
	total := make([]float64, dim)
	count := 0.0
	for i := range t.examples {
		for _, p := range t.examples[i].Doc.Messages {
			if len(p.Vector) == dim {
				count++
				for j, v := range p.Vector {
					total[j] += float64(v)
				}
			}
		}
	}
	for j := range total {
		s.mean[j] = float32(total[j] / count)
	}
	var customer, agent []float32
	views := make([]float32, int(numViews)*dim)
	take := func(v view, to *[]float32) {
		if x := views[int(v)*dim : (int(v)+1)*dim]; dot(x, x) > 0 {
			*to = append(*to, x...)
		}
	}
	for i := range t.examples {
		var r reading
		r.read(t.examples[i].Doc, -1)
		s.views(t.examples[i].Doc, &r, views)
		take(viewWeighted, &customer)
		if i%2 == 0 {
			take(viewLast, &customer)
		}
		take(viewAgentLast, &agent)
	}
	t.o.say("choosing %d prototypes", 2*prototypesFor(t.n))
	round := func(rows []float32) []float32 {
		q, scale := quantise8(kmeans(rows, dim, prototypesFor(t.n)), dim)
		return dequantise8(q, scale, dim)
	}
	s.customer, s.agent = round(customer), round(agent)
	return s
}

// kernels compares every document with the prototypes.
func (t *trainer) kernels() {
	prototypes := t.space.prototypes()
	size := int(numViews) * prototypes
	t.phi = make([]float64, t.n*size)
	t.messagePhi = make([]float64, t.n*prototypes)
	parallel(t.n, func(i int) {
		doc := t.examples[i].Doc
		views := make([]float32, int(numViews)*t.space.dim)
		var r reading
		r.read(doc, -1)
		t.space.views(doc, &r, views)
		t.space.phi(views, t.phi[i*size:(i+1)*size])
		if m := t.messageOf[i]; m >= 0 {
			r.read(doc, m)
			t.space.views(doc, &r, views)
			compare(views[:t.space.dim], t.space.customer, t.messagePhi[i*prototypes:(i+1)*prototypes])
		}
	})
}

// jitter keeps the kernel of the prototypes well conditioned: two of them may
// nearly coincide.
const jitter = 0.02

// whitener returns L with L·Lᵀ the kernel of the prototypes: L⁻¹φ turns kernel
// features into coordinates whose products are the kernel (Nyström).
func whitener(protos []float32, dim int) (*square, error) {
	k := newSquare(len(protos) / dim)
	for i := range k.n {
		compare(protos[i*dim:(i+1)*dim], protos, k.row(i))
		k.row(i)[i] += jitter
	}
	return k, k.cholesky()
}

func forward(l *square, x []float64) {
	for i := range x {
		x[i] = (x[i] - dot(l.row(i)[:i], x[:i])) / l.row(i)[i]
	}
}

// backward solves Lᵀx = b for width columns side by side.
func backward(l *square, x []float64, width int) {
	for i := l.n - 1; i >= 0; i-- {
		r := l.row(i)
		xi := x[i*width : (i+1)*width]
		for o := range xi {
			xi[o] /= r[i]
		}
		for j := range i {
			for o, v := range xi {
				x[j*width+o] -= r[j] * v
			}
		}
	}
}

// denseBase fits a ridge model over the kernel features of the views, in the
// primal: there are fewer coordinates than examples.
func (t *trainer) denseBase(weight [numViews]float64) (*base, error) {
	prototypes := t.space.prototypes()
	customer, err := whitener(t.space.customer, t.space.dim)
	if err != nil {
		return nil, err
	}
	agent, err := whitener(t.space.agent, t.space.dim)
	if err != nil {
		return nil, err
	}
	side := func(v view) *square {
		if v < customerViews {
			return customer
		}
		return agent
	}
	var used []view
	for v := range numViews {
		if weight[v] > 0 {
			used = append(used, v)
		}
	}
	d := len(used) * prototypes
	size := int(numViews) * prototypes
	x := make([]float64, t.n*d)
	parallel(t.n, func(i int) {
		for k, v := range used {
			out := x[i*d+k*prototypes : i*d+(k+1)*prototypes]
			copy(out, t.phi[i*size+int(v)*prototypes:])
			forward(side(v), out)
			for j := range out {
				out[j] *= math.Sqrt(weight[v])
			}
		}
	})
	w, mean, loo, err := primalRidge(x, t.n, d, t.y, t.width, densePenalty)
	if err != nil {
		return nil, err
	}
	// Back from coordinates to kernel features.
	b := &base{loo: loo, dense: make([]float64, size*t.width), bias: mean}
	for k, v := range used {
		part := w[k*prototypes*t.width : (k+1)*prototypes*t.width]
		for i := range part {
			part[i] *= math.Sqrt(weight[v])
		}
		backward(side(v), part, t.width)
		copy(b.dense[int(v)*prototypes*t.width:], part)
	}
	return b, nil
}

// primalRidge is ridge for n × d inputs with fewer columns than rows. It
// returns the weights (d × width), the bias and the leave-one-out predictions.
func primalRidge(x []float64, n, d int, y []float64, width int, lambda float64) (w, bias, loo []float64, err error) {
	center := make([]float64, d)
	for i := range n {
		for j := range d {
			center[j] += x[i*d+j] / float64(n)
		}
	}
	mean := make([]float64, width)
	for i := range n {
		for o := range width {
			mean[o] += y[i*width+o] / float64(n)
		}
	}
	columns := make([]float64, d*n)
	length := 0.0
	for i := range n {
		for j := range d {
			v := x[i*d+j] - center[j]
			columns[j*n+i] = v
			length += v * v / float64(n)
		}
	}
	h := newSquare(d)
	blocks := (d + 31) / 32
	parallel(blocks, func(b int) {
		for j := 0; j < min((b+1)*32, d); j++ {
			for i := max(b*32, j); i < min((b+1)*32, d); i++ {
				h.row(i)[j] = dot(columns[i*n:(i+1)*n], columns[j*n:(j+1)*n])
			}
		}
	})
	for j := range d {
		h.row(j)[j] += lambda * max(length, 1e-9)
	}
	if err := h.cholesky(); err != nil {
		return nil, nil, nil, err
	}
	w = make([]float64, d*width)
	parallel(width, func(o int) {
		res := make([]float64, n)
		for i := range n {
			res[i] = y[i*width+o] - mean[o]
		}
		for j := range d {
			w[j*width+o] = dot(columns[j*n:(j+1)*n], res)
		}
	})
	h.solve(w, width)
	bias = slices.Clone(mean)
	for j := range d {
		for o := range width {
			bias[o] -= center[j] * w[j*width+o]
		}
	}
	loo = make([]float64, n*width)
	parallel(n, func(i int) {
		v := make([]float64, d)
		out := loo[i*width : (i+1)*width]
		copy(out, mean)
		for j := range d {
			v[j] = columns[j*n+i]
			for o, c := range w[j*width : (j+1)*width] {
				out[o] += v[j] * c
			}
		}
		forward(h, v)
		leverage := min(dot(v, v)+1/float64(n), 0.999)
		for o := range out {
			t := y[i*width+o]
			out[o] = t - (t-out[o])/(1-leverage)
		}
	})
	return w, bias, loo, nil
}

// tower stacks, calibrates and multiplies out the heads of one mode.
func (t *trainer) tower(bases []*base, dense bool) (*tower, Figures, error) {
	t.o.say("stacking and calibrating heads over %d bases", len(bases))
	// Standardised leave-one-out predictions of every base.
	inputs := len(bases) * t.width
	x := make([]float64, t.n*inputs)
	mean, inv := make([]float64, inputs), make([]float64, inputs)
	for b, base := range bases {
		for o := range t.width {
			at := b*t.width + o
			var s, ss float64
			for i := range t.n {
				v := base.loo[i*t.width+o]
				s += v
				ss += v * v
			}
			mean[at] = s / float64(t.n)
			inv[at] = 1 / max(math.Sqrt(max(ss/float64(t.n)-mean[at]*mean[at], 0)), 0.01)
			for i := range t.n {
				x[i*inputs+at] = (base.loo[i*t.width+o] - mean[at]) * inv[at]
			}
		}
	}
	out := &tower{}
	oof := make([]float64, t.n*t.width) // probabilities
	stack := make([]float64, t.width*inputs)
	bias := make([]float64, t.width)
	heads, err := stackHeads(x, t.n, inputs, t.y, t.width, t.heads, t.known, t.fold)
	if err != nil {
		return nil, Figures{}, err
	}
	for h := range t.heads {
		at, k := t.heads[h].at, len(t.heads[h].codes)
		copy(stack[at*inputs:], heads[h].weights)
		copy(bias[at:], heads[h].bias)
		for i := range t.n {
			copy(oof[i*t.width+at:], heads[h].p[i*k:(i+1)*k])
		}
	}
	// Multiply out: log odds = stack · standardised bases + bias.
	features := len(t.vocab.keys)
	lexical := make([]float64, features*t.width)
	kernels := []float64(nil)
	if dense {
		kernels = make([]float64, int(numViews)*t.space.prototypes()*t.width)
	}
	for b, base := range bases {
		mix := make([]float64, t.width*t.width) // output × base output
		for o := range t.width {
			for p := range t.width {
				at := b*t.width + p
				mix[o*t.width+p] = stack[o*inputs+at] * inv[at]
				bias[o] += mix[o*t.width+p] * (base.bias[p] - mean[at])
			}
		}
		for _, part := range []struct{ from, to []float64 }{{base.lexical, lexical}, {base.dense, kernels}} {
			parallel(len(part.from)/t.width, func(f int) {
				from, to := part.from[f*t.width:(f+1)*t.width], part.to[f*t.width:(f+1)*t.width]
				for o := range to {
					to[o] += dot(mix[o*t.width:(o+1)*t.width], from)
				}
			})
		}
	}
	out.doc = quantise(&t.vocab, lexical, bias, kernels, t.width, numBlocks)
	get := func(h int) ([]float64, []float64) {
		k := len(t.heads[h].codes)
		p, y := make([]float64, t.n*k), make([]float64, t.n*k)
		for i := range t.n {
			copy(p[i*k:(i+1)*k], oof[i*t.width+t.heads[h].at:])
			copy(y[i*k:(i+1)*k], t.y[i*t.width+t.heads[h].at:])
		}
		return p, y
	}
	p, y := get(headTypes)
	kind, _ := get(headKind)
	nk := len(t.heads[headKind].codes)
	k := len(t.heads[headTypes].codes)
	for i := range t.n { // types are only given to complaints
		if top(kind[i*nk:(i+1)*nk]) != 0 {
			clear(p[i*k : (i+1)*k])
		}
	}
	out.types = chooseCuts(p, y, k)
	p, y = get(headSignals)
	out.signal = chooseCuts(p, y, len(t.heads[headSignals].codes))
	p, y = get(headClaims)
	out.claims = chooseCuts(p, y, len(t.heads[headClaims].codes))
	p, y = get(headRisk)
	var high, isHigh []float64
	for i := range t.n {
		high, isHigh = append(high, p[i*3+2]), append(isHigh, y[i*3+2])
	}
	out.high = chooseCuts(high, isHigh, 1)[0]
	if out.message, err = t.messages(dense); err != nil {
		return nil, Figures{}, err
	}
	scores := make([]qingting.Scores, t.n)
	for i := range scores {
		scores[i] = scoresFrom(oof[i*t.width:(i+1)*t.width], t.heads, out)
	}
	return out, figures(scores, t.examples), nil
}

func top(p []float64) int {
	at := 0
	for i := range p {
		if p[i] > p[at] {
			at = i
		}
	}
	return at
}

// stacked is a fitted second stage of one head.
type stacked struct {
	*logistic
	// p (n × codes) are the probabilities each example gets from a head and a
	// calibration fitted without it.
	p []float64
}

// stackHeads fits the second stage of every head on x (n × inputs) and its
// calibration, which is multiplied into the weights. y is n × width, known
// says for each head which examples have a target.
func stackHeads(x []float64, n, inputs int, y []float64, width int, heads []head, known [][]bool, fold []int) ([]stacked, error) {
	out := make([]stacked, len(heads))
	z := make([][]float64, len(heads))
	for h := range heads {
		z[h] = make([]float64, n*len(heads[h].codes))
	}
	for f := range stackFolds + 1 { // the last one leaves nobody out
		fits := make([]*logistic, len(heads))
		// Heads with the same examples are fitted together.
		for h := range heads {
			if fits[h] != nil {
				continue
			}
			var chosen []int
			for i := range n {
				if fold[i] != f && known[h][i] {
					chosen = append(chosen, i)
				}
			}
			var group []head
			var members []int
			at := 0
			for o := h; o < len(heads); o++ {
				if fits[o] == nil && slices.Equal(known[o], known[h]) {
					g := heads[o]
					g.at = at
					at += len(g.codes)
					group, members = append(group, g), append(members, o)
				}
			}
			if len(chosen) < leastExamples/2 { // nothing to learn: all labels alike
				for _, o := range members {
					k := len(heads[o].codes)
					fits[o] = &logistic{inputs: inputs, outputs: k, soft: heads[o].soft, weights: make([]float64, k*inputs), bias: make([]float64, k)}
				}
				continue
			}
			targets := make([]float64, len(chosen)*at)
			for c, i := range chosen {
				for g, o := range members {
					copy(targets[c*at+group[g].at:], y[i*width+heads[o].at:][:len(heads[o].codes)])
				}
			}
			fitted, err := newDesign(x, inputs, chosen).fit(targets, at, group, stackPenalty*float64(len(chosen))/4000)
			if err != nil {
				return nil, err
			}
			for g, o := range members {
				fits[o] = fitted[g]
			}
		}
		for h := range heads {
			k := len(heads[h].codes)
			out[h].logistic = fits[h]
			for i := range n {
				if fold[i] == f {
					fits[h].logits(x[i*inputs:(i+1)*inputs], z[h][i*k:(i+1)*k])
				}
			}
		}
	}
	for h := range heads {
		k := len(heads[h].codes)
		all := calibrate(z[h], y, width, &heads[h], func(i int) bool { return known[h][i] })
		l := out[h].logistic
		for o, c := range all {
			for j := range inputs {
				l.weights[o*inputs+j] *= c.a
			}
			l.bias[o] = c.a*l.bias[o] + c.b
		}
		p := z[h]
		out[h].p = slices.Clone(p)
		for f := range stackFolds {
			lines := calibrate(p, y, width, &heads[h], func(i int) bool { return known[h][i] && fold[i] != f })
			for i := range n {
				if fold[i] == f {
					for o, c := range lines {
						out[h].p[i*k+o] = c.a*p[i*k+o] + c.b
					}
					probabilities(out[h].p[i*k:(i+1)*k], heads[h].soft)
				}
			}
		}
	}
	return out, nil
}

// calibrate fits one line an output on the chosen examples: the same
// temperature for the outputs of a soft head, Platt's line for the others.
func calibrate(z, y []float64, width int, h *head, use func(i int) bool) []line {
	k := len(h.codes)
	var zs, ys []float64
	for i := range len(z) / k {
		if use(i) {
			zs, ys = append(zs, z[i*k:(i+1)*k]...), append(ys, y[i*width+h.at:][:k]...)
		}
	}
	lines := make([]line, k)
	if h.soft {
		a := 1.0
		if len(zs) >= k*leastExamples {
			a = temperature(zs, ys, k)
		}
		for o := range lines {
			lines[o] = line{a, 0}
		}
		return lines
	}
	for o := range lines {
		zo, yo := make([]float64, len(zs)/k), make([]float64, len(zs)/k)
		for i := range zo {
			zo[i], yo[i] = zs[i*k+o], ys[i*k+o]
		}
		lines[o] = platt(zo, yo)
	}
	return lines
}

// messages fits the heads of single messages. Their labels are weak: the
// conversation's emotion is taken for that of the message that carries it.
func (t *trainer) messages(dense bool) (*matrix, error) {
	var use []int
	for i, m := range t.messageOf {
		if m >= 0 {
			use = append(use, i)
		}
	}
	hs := newMessageHeads()
	w := width(hs)
	n := len(use)
	if n == 0 {
		return nil, errors.New("没有一条客户消息，无法训练")
	}
	rows := make([]row, n)
	y := make([]float64, n*w)
	fold := make([]int, n)
	known := make([]bool, n)
	emotions := len(hs[0].codes)
	for k, i := range use {
		rows[k] = t.messageRow[i]
		copy(y[k*w:], t.y[i*t.width+t.heads[headEmotion].at:][:emotions])
		copy(y[k*w+emotions:(k+1)*w], t.y[i*t.width+t.heads[headIntensity].at:])
		fold[k], known[k] = t.fold[i], true
	}
	bases := []*base{}
	prototypes := 0
	if dense {
		prototypes = t.space.prototypes()
	}
	lex, err := t.lexicalBase(rows, y, w, topicWeight, messagePenalty)
	if err != nil {
		return nil, err
	}
	bases = append(bases, lex)
	if dense {
		l, err := whitener(t.space.customer, t.space.dim)
		if err != nil {
			return nil, err
		}
		x := make([]float64, n*prototypes)
		parallel(n, func(k int) {
			out := x[k*prototypes : (k+1)*prototypes]
			copy(out, t.messagePhi[use[k]*prototypes:])
			forward(l, out)
		})
		weights, bias, loo, err := primalRidge(x, n, prototypes, y, w, densePenalty)
		if err != nil {
			return nil, err
		}
		backward(l, weights, w)
		bases = append(bases, &base{loo: loo, dense: weights, bias: bias})
	}
	inputs := len(bases) * w
	x := make([]float64, n*inputs)
	for b := range bases {
		for k := range n {
			copy(x[k*inputs+b*w:k*inputs+(b+1)*w], bases[b].loo[k*w:])
		}
	}
	// Inputs of a few tenths: a hundredth of the penalty of standardised ones.
	for i := range x {
		x[i] *= 5
	}
	lexical := make([]float64, len(t.vocab.keys)*w)
	var kernels []float64
	if dense {
		kernels = make([]float64, prototypes*w)
	}
	bias := make([]float64, w)
	fits, err := stackHeads(x, n, inputs, y, w, hs, [][]bool{known, known}, fold)
	if err != nil {
		return nil, err
	}
	for i, h := range hs {
		fitted := fits[i]
		k := len(h.codes)
		for o := range k {
			bias[h.at+o] += fitted.bias[o]
			for b, base := range bases {
				for p := range w {
					c := fitted.weights[o*inputs+b*w+p] * 5
					bias[h.at+o] += c * base.bias[p]
					for f := range len(base.lexical) / w {
						lexical[f*w+h.at+o] += c * base.lexical[f*w+p]
					}
					for f := range len(base.dense) / w {
						kernels[f*w+h.at+o] += c * base.dense[f*w+p]
					}
				}
			}
		}
	}
	return quantise(&t.vocab, lexical[:int(t.vocab.start[customerBlocks])*w], bias, kernels, w, customerBlocks), nil
}

// quantise rounds lexical weights (features × width) to int8, with the largest
// of each block and output as 127.
func quantise(v *vocabulary, w, bias, dense []float64, width int, blocks block) *matrix {
	m := &matrix{width: width, q: make([]int8, len(w)), bias: make([]float32, width), dense: make([]float32, len(dense))}
	for b := range blocks {
		top := make([]float64, width)
		from, to := int(v.start[b]), int(v.start[b+1])
		for f := from; f < to; f++ {
			for o := range width {
				top[o] = max(top[o], math.Abs(w[f*width+o]))
			}
		}
		m.scale[b] = make([]float32, width)
		for o := range width {
			m.scale[b][o] = float32(top[o] / 127)
			if m.scale[b][o] == 0 {
				continue
			}
			for f := from; f < to; f++ {
				q := math.RoundToEven(w[f*width+o] / float64(m.scale[b][o]))
				m.q[f*width+o] = int8(max(-127, min(127, q)))
			}
		}
	}
	for o, x := range bias {
		m.bias[o] = float32(x)
	}
	for i, x := range dense {
		m.dense[i] = float32(x)
	}
	return m
}

// scoresFrom cuts a row of probabilities into Scores.
func scoresFrom(p []float64, hs []head, t *tower) qingting.Scores {
	part := func(h int) []float64 { return p[hs[h].at : hs[h].at+len(hs[h].codes)] }
	return qingting.Scores{
		Kind: part(headKind), Types: part(headTypes), Primary: part(headPrimary), Emotion: part(headEmotion),
		Intensity: part(headIntensity), Risk: part(headRisk), Signals: part(headSignals), Claims: part(headClaims),
		Style: part(headStyle), Outcome: part(headOutcome), Satisfaction: part(headSatisfaction),
		TypeCut: t.types, SignalCut: t.signal, ClaimCut: t.claims, HighCut: t.high,
	}
}

// Validation holds out-of-fold scores, parallel to the examples.
type Validation struct {
	Fold             []int
	Fast             []qingting.Scores
	Full             []qingting.Scores // nil without vectors
	FastFig, FullFig Figures
}

// CrossValidate trains folds models, each without one part of the examples,
// and scores that part with it: everything that training chooses, thresholds
// and calibration included, is chosen without the examples scored. The same
// text never lies in two parts.
func CrossValidate(examples []Example, o Options, folds int) (*Validation, error) {
	if folds < 2 {
		return nil, fmt.Errorf("交叉验证至少要分 2 份，这里是 %d", folds)
	}
	v := &Validation{Fold: make([]int, len(examples)), Fast: make([]qingting.Scores, len(examples))}
	for i := range examples {
		v.Fold[i] = groupOf(examples[i].Doc, "validate", folds)
	}
	for f := range folds {
		o.say("fold %d of %d", f+1, folds)
		var rest []Example
		for i := range examples {
			if v.Fold[i] != f {
				rest = append(rest, examples[i])
			}
		}
		m, _, err := Train(rest, o)
		if err != nil {
			return nil, fmt.Errorf("fold %d: %w", f+1, err)
		}
		if m.full != nil && v.Full == nil {
			v.Full = make([]qingting.Scores, len(examples))
		}
		parallel(len(examples), func(i int) {
			if v.Fold[i] != f {
				return
			}
			doc := *examples[i].Doc
			if m.full != nil {
				doc.Mode = qingting.ModeFull
				v.Full[i] = m.Score(&doc)
			}
			doc.Mode = qingting.ModeFast
			v.Fast[i] = m.Score(&doc)
		})
	}
	v.FastFig = figures(v.Fast, examples)
	if v.Full != nil {
		v.FullFig = figures(v.Full, examples)
	}
	return v, nil
}

// Figures are simple decisions on Scores measured against labels; nil slices
// of Scores are skipped. The product decides with rules as well, so that its
// own figures differ.
type Figures struct {
	N                                       int
	Kind, Types, PrimaryFamily, Emotion     float64
	Intensity                               float64 // quadratic weighted kappa
	Risk, HighRecall, HighPrecision, HighAP float64
	Signals, Claims, Style, Outcome         float64
	SatisfactionMAE                         float64 // of the mean vote
	KindECE, PrimaryECE, HighECE            float64 // 15 bins of equal mass
	MessageEmotion                          float64 // of the representative message; weak labels
}

// Figures measures scores, parallel to examples, against their labels.
func (v *Validation) Figures(scores []qingting.Scores, examples []Example) Figures {
	return figures(scores, examples)
}

func figures(scores []qingting.Scores, examples []Example) Figures {
	out := Figures{N: len(scores)}
	hs := newHeads()
	n := float64(len(scores))
	var types, signals, claims micro
	var golds, given []int
	var kindP, kindY, primaryP, primaryY, highP, highY []float64
	var tp, fp, fn, voted float64
	has := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	for i := range scores {
		s, l := &scores[i], &examples[i].Labels
		kind := top(s.Kind)
		out.Kind += has(qingting.Kinds()[kind] == l.Kind) / n
		kindP, kindY = append(kindP, s.Kind[kind]), append(kindY, has(qingting.Kinds()[kind] == l.Kind))
		cut := s.TypeCut
		family := "none"
		var picked []string
		if kind == 0 {
			best := 0
			for j, p := range s.Types {
				if p >= cut[j] {
					picked = append(picked, hs[headTypes].codes[j])
				}
				if p/cut[j] > s.Types[best]/cut[best] {
					best = j
				}
			}
			if len(picked) == 0 {
				picked = append(picked, hs[headTypes].codes[best])
			}
			family = familyOf(hs[headTypes].codes[top(s.Primary)])
		}
		types.add(picked, strs(l.Types))
		if l.Primary != "" {
			at := top(s.Primary)
			primaryP, primaryY = append(primaryP, s.Primary[at]), append(primaryY, has(hs[headTypes].codes[at] == string(l.Primary)))
		}
		out.PrimaryFamily += has(family == familyOf(cmp.Or(string(l.Primary), "none"))) / n
		emotion := top(s.Emotion)
		out.Emotion += has(qingting.Emotions()[emotion] == l.Emotion) / n
		level := 0
		if emotion != 0 {
			mean := 0.0
			for k, p := range s.Intensity {
				mean += float64(k) * p
			}
			level = max(1, int(mean+0.5))
		}
		golds, given = append(golds, l.Intensity), append(given, level)
		risk := 0
		switch {
		case s.Risk[2] >= s.HighCut:
			risk = 2
		case s.Risk[1]+s.Risk[2] >= s.Risk[0]:
			risk = 1
		}
		out.Risk += has(qingting.RiskLevels()[risk] == l.Risk) / n
		isHigh := l.Risk == qingting.RiskHigh
		tp += has(isHigh && risk == 2)
		fp += has(!isHigh && risk == 2)
		fn += has(isHigh && risk != 2)
		highP, highY = append(highP, s.Risk[2]), append(highY, has(isHigh))
		signals.add(above(s.Signals, s.SignalCut, hs[headSignals].codes), strs(l.Signals))
		wanted := slices.DeleteFunc(strs(l.Claims), func(c string) bool { return c == "none" })
		claims.add(above(s.Claims, s.ClaimCut, hs[headClaims].codes), wanted)
		out.Style += has(qingting.Styles()[top(s.Style)] == l.Style) / n
		out.Outcome += has(qingting.Outcomes()[top(s.Outcome)] == l.Outcome) / n
		if sum(examples[i].Votes[:]) > 0 {
			voted++
			d := 0.0
			for k := range 5 {
				d += float64(k-2) * (s.Satisfaction[k] - examples[i].Votes[k]/sum(examples[i].Votes[:]))
			}
			out.SatisfactionMAE += math.Abs(d)
		}
	}
	out.Types, out.Signals, out.Claims = types.f1(), signals.f1(), claims.f1()
	out.Intensity = kappa(golds, given, 4)
	out.HighRecall, out.HighPrecision = tp/max(tp+fn, 1), tp/max(tp+fp, 1)
	out.HighAP = averagePrecision(highP, highY)
	out.SatisfactionMAE /= max(voted, 1)
	out.KindECE, out.PrimaryECE, out.HighECE = ece(kindP, kindY), ece(primaryP, primaryY), ece(highP, highY)
	var right, messages float64
	for i := range scores {
		if m := representative(examples[i].Doc); m >= 0 && m < len(scores[i].MessageEmotion) && scores[i].MessageEmotion[m] != nil {
			messages++
			right += has(qingting.Emotions()[top(scores[i].MessageEmotion[m])] == examples[i].Labels.Emotion)
		}
	}
	out.MessageEmotion = right / max(messages, 1)
	return out
}

func above(p, cut []float64, codes []string) []string {
	var out []string
	for i := range p {
		if p[i] >= cut[i] {
			out = append(out, codes[i])
		}
	}
	return out
}

func familyOf(code string) string {
	for i, r := range code {
		if r == '.' {
			return code[:i]
		}
	}
	return code
}

// micro counts labels given and wanted over all texts.
type micro struct{ right, given, wanted float64 }

func (m *micro) add(given, wanted []string) {
	for _, g := range given {
		if slices.Contains(wanted, g) {
			m.right++
		}
	}
	m.given += float64(len(given))
	m.wanted += float64(len(wanted))
}

func (m *micro) f1() float64 {
	if m.given+m.wanted == 0 {
		return 1
	}
	return 2 * m.right / (m.given + m.wanted)
}

// kappa is Cohen's kappa with quadratic weights for levels 0…k−1.
func kappa(a, b []int, k int) float64 {
	n := float64(len(a))
	observed, ra, rb := make([]float64, k*k), make([]float64, k), make([]float64, k)
	for i := range a {
		observed[a[i]*k+b[i]]++
		ra[a[i]]++
		rb[b[i]]++
	}
	var num, den float64
	for i := range k {
		for j := range k {
			d := float64((i - j) * (i - j))
			num += d * observed[i*k+j]
			den += d * ra[i] * rb[j] / n
		}
	}
	if den == 0 {
		return 1
	}
	return 1 - num/den
}

// averagePrecision counts precision once per distinct score.
func averagePrecision(p, y []float64) float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	var right, ap float64
	for i := 0; i < len(order); {
		j, found := i, 0.0
		for j < len(order) && p[order[j]] == p[order[i]] {
			found += y[order[j]]
			j++
		}
		right += found
		ap += found * right / float64(j)
		i = j
	}
	return ap / max(sum(y), 1)
}

// ece is the expected calibration error over 15 bins of equal mass.
func ece(p, y []float64) float64 {
	const bins = 15
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	out := 0.0
	for b := range bins {
		var sp, sy float64
		for _, i := range order[b*len(p)/bins : (b+1)*len(p)/bins] {
			sp += p[i]
			sy += y[i]
		}
		out += math.Abs(sp-sy) / float64(max(len(p), 1))
	}
	return out
}
