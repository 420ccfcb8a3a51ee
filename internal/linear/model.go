// Package linear is the trained model: calibrated linear heads for every field
// of the label guide, over lexical features of the whole conversation and, in
// full mode, over the sentence encoder's vectors.
//
// A head adds up the weights of what it finds: runs of one to three characters,
// words, pairs of words, lexicon rules and the shape of the text, each told
// apart by who said it and where; in full mode also how close the
// conversation's vectors are to a few hundred typical ones. Training fits ridge
// bases, stacks their leave-one-out predictions with logistic heads, so that a
// head can use what the others see, calibrates on predictions for texts not
// trained on, and multiplies everything out into one matrix a mode.
//
// Default loads the embedded weights. Train makes new ones from Examples whose
// Doc comes from qingting.Pipeline.Prepare in full mode (an Encoder wrapped by
// NewCache makes repeated training quick); CrossValidate returns out-of-fold
// Scores of every example, for tuning whatever decides after the model. Two
// trainings on the same examples give the same bytes.
package linear

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"math"
	"slices"
	"sync"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/simd"
)

//go:embed weights/model.bin
var embedded []byte

// Default returns the model with the embedded weights.
func Default() (*Model, error) { return Load(embedded) }

// Model implements qingting.Scorer. It is immutable and may be used
// concurrently.
type Model struct {
	id      string
	file    []byte
	encoder string // Encoder.ID of the vectors it was trained on; "" for none
	vocab   vocabulary
	heads   []head
	space   *vectorSpace // nil without a full mode
	fast    *tower
	full    *tower // nil without a full mode
	scratch sync.Pool
}

// tower is everything one mode needs.
type tower struct {
	doc, message  *matrix
	types, signal []float64 // thresholds
	claims        []float64
	high          float64
}

// matrix maps features to log odds. Lexical weights are int8 with one scale a
// block and output; x is rounded to fixed point before multiplying, so that
// the sums are exact and equal everywhere.
type matrix struct {
	width int
	q     []int8               // features × width
	scale [numBlocks][]float32 // per output
	bias  []float32
	dense []float32 // (views × prototypes) × width; empty without vectors
}

// fixed is 1 in fixed point. A block's values have length 1, so that a sum of
// 50,000 products with int8 weights stays below 2^31.
const fixed = 1 << 14

// head is one field of the label guide.
type head struct {
	field qingting.Field
	codes []string
	soft  bool // exactly one label holds
	at    int  // first output
}

// Indices of the heads.
const (
	headKind = iota
	headTypes
	headPrimary
	headEmotion
	headIntensity
	headRisk
	headSignals
	headClaims
	headStyle
	headOutcome
	headSatisfaction
)

// newHeads lists the heads of a transcript; their outputs follow one another.
func newHeads() []head {
	hs := []head{
		{field: qingting.FieldKind, codes: strs(qingting.Kinds()), soft: true},
		{field: qingting.FieldType, codes: strs(qingting.Types())},
		{codes: strs(qingting.Types()), soft: true},
		{field: qingting.FieldEmotion, codes: strs(qingting.Emotions()), soft: true},
		{field: qingting.FieldIntensity, codes: []string{"0", "1", "2", "3"}, soft: true},
		{field: qingting.FieldRisk, codes: strs(qingting.RiskLevels()), soft: true},
		{field: qingting.FieldSignal, codes: strs(qingting.Signals())},
		{field: qingting.FieldClaim, codes: strs(qingting.Claims())},
		{field: qingting.FieldStyle, codes: strs(qingting.Styles()), soft: true},
		{field: qingting.FieldOutcome, codes: strs(qingting.Outcomes()), soft: true},
		{codes: []string{"-2", "-1", "0", "1", "2"}, soft: true},
	}
	return place(hs)
}

// newMessageHeads lists the heads of a single message.
func newMessageHeads() []head {
	return place([]head{
		{field: qingting.FieldEmotion, codes: strs(qingting.Emotions()), soft: true},
		{field: qingting.FieldIntensity, codes: []string{"0", "1", "2", "3"}, soft: true},
	})
}

func place(hs []head) []head {
	at := 0
	for i := range hs {
		hs[i].at = at
		at += len(hs[i].codes)
	}
	return hs
}

func width(hs []head) int { h := hs[len(hs)-1]; return h.at + len(h.codes) }

func strs[S ~string](codes []S) []string {
	out := make([]string, len(codes))
	for i, c := range codes {
		out[i] = string(c)
	}
	return out
}

// vocabulary numbers the features, block by block.
type vocabulary struct {
	keys  []uint64             // by block, ascending within
	start [numBlocks + 1]int32 // of each block in keys
	idf   []float32            // presence blocks: the value itself
	// table is open addressing: the upper bits of the key over the index into
	// keys plus 1, 0 for free. Most features of a text are unknown, and those
	// bits tell them apart without a second look into memory.
	table []uint32
}

// indexBits hold the index in an entry of the table.
const (
	indexBits = 20
	indexMask = 1<<indexBits - 1
)

func (v *vocabulary) index() {
	size := 4
	for size < 2*len(v.keys) {
		size *= 2
	}
	v.table = make([]uint32, size)
	for i, k := range v.keys {
		at := k & uint64(size-1)
		for v.table[at] != 0 {
			at = (at + 1) & uint64(size-1)
		}
		v.table[at] = tag(k) | uint32(i+1)
	}
}

func tag(key uint64) uint32 { return uint32(key>>32) &^ indexMask }

// find returns the number of a feature, −1 for an unknown one.
func (v *vocabulary) find(key uint64) int {
	mask := uint64(len(v.table) - 1)
	want := tag(key)
	for at := key & mask; ; at = (at + 1) & mask {
		entry := v.table[at]
		if entry == 0 {
			return -1
		}
		if entry&^indexMask == want {
			if i := int(entry&indexMask) - 1; v.keys[i] == key {
				return i
			}
		}
	}
}

// scratch is the working memory of one call.
type scratch struct {
	reading reading
	seen    []sighting // every occurrence of a known feature
	spare   []sighting // swapped with seen between the document and its messages
	count   []uint16   // per feature
	share   []float64  // per feature counted: its value over its count, in fixed point
	touched [numBlocks][]int32
	value   [numBlocks][]float64 // parallel to touched
	times   []int32              // value in fixed point
	sums    []int32
	logits  []float64
	views   []float32
	phi     []float64
}

// sighting is one occurrence of a known feature.
type sighting struct {
	feature             int32
	message, start, end int32 // message −1 for features without a place
	block               block
	share               float64 // of the feature's value that this occurrence carries
}

func (m *Model) borrow() *scratch {
	if s, ok := m.scratch.Get().(*scratch); ok {
		return s
	}
	n, w := len(m.vocab.keys), width(m.heads)
	s := &scratch{count: make([]uint16, n), share: make([]float64, n), sums: make([]int32, w), logits: make([]float64, w)}
	if m.space != nil {
		s.views = make([]float32, int(numViews)*m.space.dim)
		s.phi = make([]float64, int(numViews)*m.space.prototypes())
	}
	return s
}

// release forgets the features of the call.
func (m *Model) release(s *scratch) {
	s.forget()
	m.scratch.Put(s)
}

func (s *scratch) forget() {
	s.seen = s.seen[:0]
	for b := range s.touched {
		for _, f := range s.touched[b] {
			s.count[f] = 0
		}
		s.touched[b] = s.touched[b][:0]
	}
}

// extract finds the features of a document and turns their counts into values.
func (m *Model) extract(s *scratch, doc *qingting.Document) {
	s.forget()
	s.reading.read(doc, -1)
	walk(doc, &s.reading, -1, func(o occurrence) { m.see(s, o) })
	m.weigh(s)
}

// extractMessage does the same for one message alone. text are the sightings of
// its characters and words, which the whole document has in common with it.
func (m *Model) extractMessage(s *scratch, doc *qingting.Document, message int, text []sighting) {
	s.forget()
	for i := range text {
		s.add(text[i].block, text[i].feature)
	}
	s.reading.read(doc, message)
	emit := func(o occurrence) { m.see(s, o) }
	rules(doc, &s.reading, message, emit)
	shape(doc, &s.reading, emit)
	m.weigh(s)
}

// see counts an occurrence and keeps where it was.
func (m *Model) see(s *scratch, o occurrence) {
	f := m.vocab.find(o.key)
	if f < 0 {
		return
	}
	s.add(o.block, int32(f))
	p := sighting{feature: int32(f), message: int32(o.message), start: int32(o.start), end: int32(o.end), block: o.block}
	if o.start >= o.end {
		p.message = -1
	}
	s.seen = append(s.seen, p)
}

func (s *scratch) add(b block, f int32) {
	if s.count[f] == 0 {
		s.touched[b] = append(s.touched[b], f)
	}
	if s.count[f] < math.MaxUint16 {
		s.count[f]++
	}
}

func (m *Model) weigh(s *scratch) {
	for b := range numBlocks {
		s.value[b] = weigh(b, s.touched[b], func(f int32) float64 { return float64(s.count[f]) }, m.vocab.idf, s.value[b][:0])
	}
}

// sightings copies every occurrence that extract found and accept takes, with
// its share.
func (s *scratch) sightings(accept func(*sighting) bool) []sighting {
	for b := range numBlocks {
		for i, f := range s.touched[b] {
			s.share[f] = math.RoundToEven(s.value[b][i]*fixed) / fixed / float64(s.count[f])
		}
	}
	n := 0
	for i := range s.seen {
		if accept(&s.seen[i]) {
			n++
		}
	}
	out := make([]sighting, 0, n)
	for i := range s.seen {
		if p := &s.seen[i]; accept(p) {
			out = append(out, *p)
			out[len(out)-1].share = s.share[p.feature]
		}
	}
	return out
}

// weigh turns the counts of a block's features into values.
func weigh(b block, features []int32, count func(int32) float64, idf []float32, out []float64) []float64 {
	if !b.counted() {
		for _, f := range features {
			out = append(out, float64(idf[f]))
		}
		return out
	}
	square := 0.0
	for _, f := range features {
		tf := 1.0
		if c := count(f); c > 1 {
			tf += math.Log(c)
		}
		x := tf * float64(idf[f])
		square += x * x
		out = append(out, x)
	}
	if square > 0 {
		inv := 1 / math.Sqrt(square)
		for i := range out {
			out[i] *= inv
		}
	}
	return out
}

// apply adds up the lexical weights of the features in s.
func (x *matrix) apply(s *scratch, blocks block) []float64 {
	out := s.logits[:x.width]
	for o := range out {
		out[o] = float64(x.bias[o])
	}
	for b := range blocks {
		sums := s.sums[:x.width]
		clear(sums)
		s.times = s.times[:0]
		for _, v := range s.value[b] {
			s.times = append(s.times, int32(math.RoundToEven(v*fixed)))
		}
		simd.AddRowsI8(x.q, s.touched[b], s.times, sums)
		for o, n := range sums {
			out[o] += float64(x.scale[b][o]) * float64(n) / fixed
		}
	}
	return out
}

// addDense adds the weights of the kernel features in phi.
func (x *matrix) addDense(phi, out []float64) {
	for i, v := range phi {
		if v == 0 {
			continue
		}
		w := x.dense[i*x.width : (i+1)*x.width]
		for o := range out {
			out[o] += v * float64(w[o])
		}
	}
}

// pick returns the tower for a document and whether its vectors can be used.
// A document without any vector is read as in fast mode.
func (m *Model) pick(doc *qingting.Document) *tower {
	if m.full == nil || doc.Mode == qingting.ModeFast {
		return m.fast
	}
	for _, p := range doc.Messages {
		if p.Role == qingting.RoleCustomer && !p.Partial() && len(p.Vector) == m.space.dim {
			return m.full
		}
	}
	return m.fast
}

// Score implements qingting.Scorer. The cuts in the result are shared: do not
// change them.
func (m *Model) Score(doc *qingting.Document) qingting.Scores {
	t := m.pick(doc)
	s := m.borrow()
	defer m.release(s)
	m.extract(s, doc)
	z := t.doc.apply(s, numBlocks)
	if len(t.doc.dense) > 0 {
		m.space.views(doc, &s.reading, s.views)
		m.space.phi(s.views, s.phi)
		t.doc.addDense(s.phi, z)
	}
	p := slices.Clone(z)
	part := make([][]float64, len(m.heads))
	for i, h := range m.heads {
		part[i] = p[h.at : h.at+len(h.codes) : h.at+len(h.codes)]
		probabilities(part[i], h.soft)
	}
	out := qingting.Scores{
		Kind: part[headKind], Types: part[headTypes], Primary: part[headPrimary], Emotion: part[headEmotion],
		Intensity: part[headIntensity], Risk: part[headRisk], Signals: part[headSignals], Claims: part[headClaims],
		Style: part[headStyle], Outcome: part[headOutcome], Satisfaction: part[headSatisfaction],
		TypeCut: t.types, SignalCut: t.signal, ClaimCut: t.claims, HighCut: t.high,
		MessageEmotion: make([][]float64, len(doc.Messages)), MessageIntensity: make([][]float64, len(doc.Messages)),
	}
	out.Attribute = m.attributor(doc, s.sightings(func(p *sighting) bool {
		return p.message >= 0 && doc.Messages[p.message].Role == qingting.RoleCustomer
	}))
	// What was seen begins with the words of one customer message after another.
	s.spare, s.seen = s.seen, s.spare[:0]
	seen := s.spare
	for i, msg := range doc.Messages {
		if msg.Role != qingting.RoleCustomer || msg.Partial() || len(msg.Clean) == 0 {
			continue
		}
		n := 0
		for n < len(seen) && int(seen[n].message) == i && seen[n].block <= blockWord {
			n++
		}
		m.extractMessage(s, doc, i, seen[:n])
		seen = seen[n:]
		z := t.message.apply(s, customerBlocks)
		if len(t.message.dense) > 0 && len(msg.Vector) == m.space.dim {
			m.space.views(doc, &s.reading, s.views)
			compare(s.views[:m.space.dim], m.space.customer, s.phi[:m.space.prototypes()])
			t.message.addDense(s.phi[:m.space.prototypes()], z)
		}
		p := slices.Clone(z)
		e := len(qingting.Emotions())
		softmax(p[:e])
		softmax(p[e:])
		out.MessageEmotion[i], out.MessageIntensity[i] = p[:e:e], p[e:]
	}
	return out
}

func probabilities(z []float64, soft bool) {
	if soft {
		softmax(z)
		return
	}
	for i := range z {
		z[i] = sigmoid(z[i])
	}
}

// ID is the hash of the weights, 12 hexadecimal digits.
func (m *Model) ID() string { return m.id }

// EncoderID names the encoder whose vectors the full mode was trained on; ""
// for a model without a full mode. Vectors of another encoder must not be
// given to it.
func (m *Model) EncoderID() string { return m.encoder }

func hashOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])[:12]
}

// attributor returns a function that says how much each character added to the
// log odds of a label against the other labels of its field: the lexical
// weights of the groups of characters, words and rules it belongs to. Its
// result is parallel to doc.Messages; entries of messages that are not the
// customer's are nil. The vectors and the shape of the text have no place and
// are left out. An unknown field or code gives nil. Each label costs a pass over
// seen, the customer's sightings.
func (m *Model) attributor(doc *qingting.Document, seen []sighting) func(field qingting.Field, code string) [][]float64 {
	return func(field qingting.Field, code string) [][]float64 {
		out, _ := m.attribute(doc, seen, field, code)
		for i := range out {
			if doc.Messages[i].Role != qingting.RoleCustomer {
				out[i] = nil
			}
		}
		return out
	}
}

// attribute also returns what has no place: the shape of the text. With the
// sightings of the whole document all shares and the rest add up to the lexical
// log odds without the bias.
func (m *Model) attribute(doc *qingting.Document, seen []sighting, field qingting.Field, code string) ([][]float64, float64) {
	at := slices.IndexFunc(m.heads, func(h head) bool { return field != "" && h.field == field })
	if at < 0 {
		return nil, 0
	}
	h := m.heads[at]
	label := slices.Index(h.codes, code)
	if label < 0 {
		return nil, 0
	}
	x := m.pick(doc).doc
	weight := func(b block, f int) float64 {
		row := x.q[f*x.width : (f+1)*x.width]
		w := float64(x.scale[b][h.at+label]) * float64(row[h.at+label])
		if !h.soft {
			return w
		}
		others := 0.0
		for o := h.at; o < h.at+len(h.codes); o++ {
			if o != h.at+label {
				others += float64(x.scale[b][o]) * float64(row[o])
			}
		}
		return w - others/float64(len(h.codes)-1)
	}
	out := make([][]float64, len(doc.Messages))
	for i, p := range doc.Messages {
		out[i] = make([]float64, len(p.Clean))
	}
	rest := 0.0
	for i := range seen {
		p := &seen[i]
		v := p.share * weight(p.block, int(p.feature))
		if p.message < 0 {
			rest += v
			continue
		}
		v /= float64(p.end - p.start)
		for k := p.start; k < p.end; k++ {
			out[p.message][k] += v
		}
	}
	return out, rest
}
