package linear

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// prepare makes a document without the other packages: words are pairs of
// characters, vectors are drawn from the text's own hash around a direction
// for each of a few topics.
func prepare(mode qingting.Mode, turns ...string) *qingting.Document {
	doc := &qingting.Document{Mode: mode}
	for i, turn := range turns {
		role, text := qingting.RoleCustomer, turn
		if rest, ok := strings.CutPrefix(turn, "客服："); ok {
			role, text = qingting.RoleAgent, rest
		}
		m := qingting.Message{Role: role, Text: text}
		doc.Transcript.Messages = append(doc.Transcript.Messages, m)
		p := &qingting.Prepared{Message: m, Clean: []rune(text)}
		for k := range p.Clean {
			p.From, p.To = append(p.From, int32(k)), append(p.To, int32(k+1))
		}
		for k := 0; k < len(p.Clean); k += 2 {
			e := min(k+2, len(p.Clean))
			p.Tokens = append(p.Tokens, qingting.Token{Text: string(p.Clean[k:e]), Start: k, End: e})
		}
		if mode == qingting.ModeFull && len(p.Clean) > 0 {
			p.Vector = vectorOf(text)
		}
		if at := strings.Index(text, "12315"); at >= 0 && role == qingting.RoleCustomer {
			start := len([]rune(text[:at]))
			doc.Hits = append(doc.Hits, qingting.Hit{Rule: "signal.regulator.hotline", Field: qingting.FieldSignal, Code: "regulator", Weight: 0.9, Certain: true, Message: i, Start: start, End: start + 5})
		}
		doc.Messages = append(doc.Messages, p)
	}
	return doc
}

func vectorOf(text string) qingting.Vector {
	const dim = 16
	rng := rand.New(rand.NewPCG(textKey(0, 't', text), 1))
	v := make(qingting.Vector, dim)
	for i := range v {
		v[i] = float32(rng.NormFloat64() * 0.3)
	}
	for k, word := range []string{"屏", "退款", "快递", "谢谢", "怎么"} {
		if strings.Contains(text, word) {
			v[k] += 2
		}
	}
	normalise(v)
	return v
}

// written returns n examples made from a few sentences of ours.
func written(n int, mode qingting.Mode) []Example {
	type pattern struct {
		turns  []string
		labels qingting.Labels
	}
	patterns := []pattern{
		{[]string{"新买的手机%d天就黑屏了，什么破质量！！", "客服：您好，请提供订单号", "订单号早发了，还是没人管"}, qingting.Labels{
			Kind: qingting.KindComplaint, Types: []qingting.Type{qingting.TypeQuality, qingting.TypeEfficiency}, Primary: qingting.TypeQuality,
			Emotion: qingting.EmotionAngry, Intensity: 2, Risk: qingting.RiskMedium, Signals: []qingting.SignalCode{qingting.SignalRepeatContact},
			Claims: []qingting.ClaimCode{qingting.ClaimFix}, Style: qingting.StyleMixed, Outcome: qingting.OutcomeUnresolved,
		}},
		{[]string{"扣了我%d块钱，不给退款我就打12315", "客服：已为您登记"}, qingting.Labels{
			Kind: qingting.KindComplaint, Types: []qingting.Type{qingting.TypeHiddenFee}, Primary: qingting.TypeHiddenFee,
			Emotion: qingting.EmotionAngry, Intensity: 3, Risk: qingting.RiskHigh, Signals: []qingting.SignalCode{qingting.SignalRegulator, qingting.SignalFinancialLoss},
			Claims: []qingting.ClaimCode{qingting.ClaimRefund}, Style: qingting.StyleEmotional, Outcome: qingting.OutcomePending,
		}},
		{[]string{"请问第%d期发票怎么开呀", "客服：在订单页里点开发票", "好的，谢谢"}, qingting.Labels{
			Kind: qingting.KindInquiry, Emotion: qingting.EmotionCalm, Risk: qingting.RiskLow, Claims: []qingting.ClaimCode{"none"},
			Style: qingting.StyleRational, Outcome: qingting.OutcomeResolved,
		}},
		{[]string{"快递都%d天了还不动，能不能催一下", "客服：马上为您催办"}, qingting.Labels{
			Kind: qingting.KindComplaint, Types: []qingting.Type{qingting.TypeDelay}, Primary: qingting.TypeDelay,
			Emotion: qingting.EmotionAnxious, Intensity: 1, Risk: qingting.RiskLow, Claims: []qingting.ClaimCode{qingting.ClaimExpedite},
			Style: qingting.StyleRational, Outcome: qingting.OutcomePending,
		}},
		{[]string{"谢谢%d号客服小姐姐，问题一下就解决了[赞]"}, qingting.Labels{
			Kind: qingting.KindPraise, Emotion: qingting.EmotionSatisfied, Intensity: 1, Risk: qingting.RiskLow, Style: qingting.StyleEmotional, Outcome: qingting.OutcomeResolved,
		}},
	}
	var out []Example
	for i := range n {
		p := patterns[i%len(patterns)]
		turns := slices.Clone(p.turns)
		turns[0] = fmt.Sprintf(turns[0], i/len(patterns)+2)
		e := Example{Doc: prepare(mode, turns...), Labels: p.labels}
		if i%2 == 0 {
			e.Votes = [5]float64{0.1, 0.2, 0.4, 0.2, 0.1}
		}
		out = append(out, e)
	}
	return out
}

func trained(t *testing.T, mode qingting.Mode) (*Model, []Example) {
	t.Helper()
	examples := written(80, mode)
	m, report, err := Train(examples, Options{EncoderID: "test-16"})
	require.NoError(t, err)
	require.Equal(t, 80, report.Examples)
	return m, examples
}

func TestTrainLearnsAndScores(t *testing.T) {
	m, _ := trained(t, qingting.ModeFull)
	require.Equal(t, "test-16", m.EncoderID())
	for _, mode := range []qingting.Mode{qingting.ModeFast, qingting.ModeFull} {
		doc := prepare(mode, "又扣我钱，不退款就找12315投诉", "客服：请稍等")
		s := m.Score(doc)
		require.Equal(t, 0, top(s.Kind), "%s: %v", mode, s.Kind)
		require.Equal(t, 4, top(s.Emotion), "%s: %v", mode, s.Emotion)
		require.Equal(t, 2, top(s.Risk), "%s: %v", mode, s.Risk)
		require.GreaterOrEqual(t, s.Signals[0], s.SignalCut[0], "%s regulator", mode)
		require.GreaterOrEqual(t, s.Types[7], s.TypeCut[7], "%s hidden fee", mode)
		for name, p := range map[string][]float64{"kind": s.Kind, "primary": s.Primary, "emotion": s.Emotion, "intensity": s.Intensity, "risk": s.Risk, "style": s.Style, "outcome": s.Outcome, "satisfaction": s.Satisfaction, "message": s.MessageEmotion[0]} {
			require.InDelta(t, 1, sum(p), 1e-9, "%s %s", mode, name)
		}
		require.Nil(t, s.MessageEmotion[1], "an agent has no emotion")
		require.Len(t, s.MessageIntensity[0], 4)
	}
}

func TestTrainIsDeterministic(t *testing.T) {
	examples := written(60, qingting.ModeFull)
	a, _, err := Train(examples, Options{})
	require.NoError(t, err)
	// The environment variable is read at start only: the call is what counts.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b, _, err := Train(written(60, qingting.ModeFull), Options{})
	require.NoError(t, err)
	require.Equal(t, a.Bytes(), b.Bytes())
	require.Equal(t, a.ID(), b.ID())
	examples[0].Labels.Outcome = qingting.OutcomeResolved
	c, _, err := Train(examples, Options{})
	require.NoError(t, err)
	require.NotEqual(t, a.ID(), c.ID(), "another label must give other weights")
}

func TestAblations(t *testing.T) {
	examples := written(60, qingting.ModeFull)
	m, _, err := Train(examples, Options{NoEncoder: true, NoRules: true})
	require.NoError(t, err)
	require.Nil(t, m.full)
	require.Equal(t, m.vocab.start[blockHit], m.vocab.start[blockHit+1])
	doc := prepare(qingting.ModeFull, "怎么开发票")
	fast := prepare(qingting.ModeFast, "怎么开发票")
	require.Equal(t, plain(m.Score(fast)), plain(m.Score(doc)), "without full heads vectors are not read")
}

func TestTrainRefuses(t *testing.T) {
	examples := written(60, qingting.ModeFast)
	_, _, err := Train(examples[:3], Options{})
	require.ErrorContains(t, err, "至少需要")
	examples[7].Labels.Types = []qingting.Type{"product.unknown"}
	_, _, err = Train(examples, Options{})
	require.ErrorContains(t, err, "第 8 条标注")
	_, err = CrossValidate(written(60, qingting.ModeFast), Options{}, 1)
	require.ErrorContains(t, err, "2 份")
}

func TestCrossValidateKeepsTextsTogether(t *testing.T) {
	examples := written(100, qingting.ModeFast)
	examples = append(examples, examples[:20]...) // twins
	v, err := CrossValidate(examples, Options{}, 3)
	require.NoError(t, err)
	require.Nil(t, v.Full)
	for i := range 20 {
		require.Equal(t, v.Fold[i], v.Fold[100+i])
		require.Equal(t, plain(v.Fast[i]), plain(v.Fast[100+i]))
	}
	require.Greater(t, v.FastFig.Kind, 0.9)
	require.Len(t, v.Fast[0].Kind, 5)
}

func TestAttributionAddsUp(t *testing.T) {
	m, _ := trained(t, qingting.ModeFull)
	doc := prepare(qingting.ModeFast, "黑屏了！！不退款就打12315", "客服：已为您登记退款", "怎么还没退款")
	for _, c := range []struct {
		field qingting.Field
		code  string
		head  int
		label int
	}{
		{qingting.FieldType, "product.quality", headTypes, 0},
		{qingting.FieldSignal, "regulator", headSignals, 0},
		{qingting.FieldClaim, "refund", headClaims, 0},
	} {
		all := m.borrow()
		m.extract(all, doc)
		shares, rest := m.attribute(doc, all.sightings(func(*sighting) bool { return true }), c.field, c.code)
		total := rest
		for i, s := range shares {
			require.Len(t, s, len(doc.Messages[i].Clean))
			total += sum(s)
		}
		s := m.Score(doc)
		p := map[int][]float64{headTypes: s.Types, headSignals: s.Signals, headClaims: s.Claims}[c.head][c.label]
		at := newHeads()[c.head].at + c.label
		require.InDelta(t, math.Log(p/(1-p)), total+float64(m.fast.doc.bias[at]), 1e-6, c.code)
	}
	attribute := m.Score(doc).Attribute
	public := attribute(qingting.FieldSignal, "regulator")
	require.Nil(t, public[1], "the agent's words are no evidence")
	best := slices.Index(public[0], slices.Max(public[0]))
	require.Contains(t, "12315", string(doc.Messages[0].Clean[best]))
	require.Nil(t, attribute(qingting.FieldType, "no.such"))
	require.Nil(t, attribute("nothing", "calm"))
}

// plain leaves the function out, which cannot be compared.
func plain(s qingting.Scores) qingting.Scores {
	s.Attribute = nil
	return s
}

func TestFeatures(t *testing.T) {
	keys := func(turns ...string) map[uint64]bool {
		doc := prepare(qingting.ModeFast, turns...)
		var r reading
		r.read(doc, -1)
		out := map[uint64]bool{}
		walk(doc, &r, -1, func(o occurrence) { out[o.key] = true })
		return out
	}
	require.Equal(t, keys("好 ABC"), keys("好 ABC"))
	has := func(k map[uint64]bool, b block, gram string) bool {
		var packed uint64
		for _, r := range gram {
			packed = packed<<21 | (uint64(fold(r)) + 1)
		}
		return k[gramKey(b, packed)]
	}
	k := keys("退 款啊", "客服：好的", "Ok吧")
	for _, c := range []struct {
		b    block
		gram string
		want bool
	}{
		{blockChar, "退款啊", true}, // white space inside does not part a gram
		{blockChar, "啊o", false}, // grams do not cross messages
		{blockFirst, "退款", true},
		{blockLast, "退款", false},
		{blockLast, "ok吧", true}, // letters are folded
		{blockAgent, "好的", true},
		{blockChar, "好的", false},
		{blockFinal, "吧", true},
	} {
		require.Equal(t, c.want, has(k, c.b, c.gram), "%d %s", c.b, c.gram)
	}
	require.NotEqual(t, keys("坏了"), keys("坏了！"))

	empty := prepare(qingting.ModeFast, "", "客服：")
	var r reading
	r.read(empty, -1)
	require.Equal(t, -1, r.first)
	partial := false
	doc := prepare(qingting.ModeFast, "半句")
	doc.Messages[0].IsFinal = &partial
	r.read(doc, -1)
	require.Empty(t, r.customers, "an unfinished ASR result is not read")
}

func TestScoreOfOddDocuments(t *testing.T) {
	m, _ := trained(t, qingting.ModeFull)
	for name, doc := range map[string]*qingting.Document{
		"nothing said":    prepare(qingting.ModeFull, ""),
		"agent only":      prepare(qingting.ModeFull, "客服：在吗"),
		"unknown letters": prepare(qingting.ModeFull, "ᚠᚢᚦ😀"),
		"very long":       prepare(qingting.ModeFull, strings.Repeat("退款退款！", 800)),
		"other encoder":   prepare(qingting.ModeFast, "退款"),
	} {
		if name == "other encoder" {
			doc.Mode = qingting.ModeFull
			doc.Messages[0].Vector = make(qingting.Vector, 3)
		}
		s := m.Score(doc)
		for _, p := range append(slices.Clone(s.Types), s.Kind...) {
			require.False(t, math.IsNaN(p) || p < 0 || p > 1, "%s: %v", name, p)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	m, _ := trained(t, qingting.ModeFull)
	good := m.Bytes()
	_, err := Load(good)
	require.NoError(t, err)
	damage := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	for name, b := range map[string][]byte{
		"empty":       nil,
		"foreign":     []byte(strings.Repeat("PK\x03\x04", 100)),
		"cut off":     good[:len(good)-5],
		"longer":      append(slices.Clone(good), 0),
		"flipped":     damage(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }),
		"other magic": damage(func(b []byte) []byte { b[0] = 'X'; return b }),
		"new format":  damage(func(b []byte) []byte { b[8] = 9; return b }),
	} {
		_, err := Load(b)
		require.Error(t, err, name)
		require.True(t, strings.ContainsFunc(err.Error(), func(r rune) bool { return unicode.Is(unicode.Han, r) }), "%s: %v", name, err)
	}
}

// FuzzLoad checks that no body, however wrong, makes reading it panic.
func FuzzLoad(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0})
	f.Add([]byte(strings.Repeat("\xff", 64)))
	m, _, err := Train(written(30, qingting.ModeFast), Options{})
	require.NoError(f, err)
	file := m.Bytes()
	f.Add(file[16:2000])
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, err := unmarshal(body); err == nil {
			m.Score(prepare(qingting.ModeFast, "退款"))
		}
	})
}

func TestQuantisationError(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	v := vocabulary{keys: make([]uint64, 50)}
	for b := range v.start {
		v.start[b] = int32(min(b*10, 50))
	}
	const w = 3
	weights := make([]float64, 50*w)
	for i := range weights {
		weights[i] = rng.NormFloat64()
	}
	m := quantise(&v, weights, make([]float64, w), nil, w, numBlocks)
	for b := range numBlocks {
		for f := int(v.start[b]); f < int(v.start[b+1]); f++ {
			for o := range w {
				got := float64(m.scale[b][o]) * float64(m.q[f*w+o])
				require.InDelta(t, weights[f*w+o], got, float64(m.scale[b][o])/2*1.001, "half a step at most")
			}
		}
	}
}

func TestCalibrationIsMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var z, y []float64
	for range 600 {
		x := rng.NormFloat64() * 3
		label := 0.0
		if rng.Float64() < sigmoid(0.4*x-0.7) {
			label = 1
		}
		z, y = append(z, x), append(y, label)
	}
	l := platt(z, y)
	require.InDelta(t, 0.4, l.a, 0.08)
	require.InDelta(t, -0.7, l.b, 0.25)
	flipped := make([]float64, len(y))
	for i := range y {
		flipped[i] = 1 - y[i]
	}
	require.Greater(t, platt(z, flipped).a, 0.0, "a calibration never turns an order over")
	require.Equal(t, line{1, 0}, platt(z[:10], y[:10]), "too few to say anything")

	var zs, ys []float64
	for range 900 {
		a, b := rng.NormFloat64()*2, rng.NormFloat64()*2
		p := []float64{a / 2, b / 2}
		softmax(p)
		k := 0.0
		if rng.Float64() < p[0] {
			k = 1
		}
		zs, ys = append(zs, a, b), append(ys, k, 1-k)
	}
	require.InDelta(t, 0.5, temperature(zs, ys, 2), 0.1)
}

func TestChooseCuts(t *testing.T) {
	// One common label whose scores part at 0.3, and one too rare to judge.
	var p, y []float64
	for i := range 400 {
		score, label := 0.1+0.0004*float64(i), 0.0
		if i >= 200 {
			score, label = 0.35+0.001*float64(i-200), 1
		}
		p, y = append(p, score, 0), append(y, label, 0)
	}
	cuts := chooseCuts(p, y, 2)
	require.Greater(t, cuts[0], 0.17)
	require.LessOrEqual(t, cuts[0], 0.36)
}

// TestLogisticGradient checks that the fit ends where the gradient of the
// penalised loss, taken numerically, is zero.
func TestLogisticGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const n, d, k = 120, 4, 3
	x, y := make([]float64, n*d), make([]float64, n*k)
	for i := range n {
		for j := range d {
			x[i*d+j] = rng.NormFloat64()
		}
		y[i*k+rng.IntN(k)] = 1
	}
	for _, soft := range []bool{true, false} {
		chosen := make([]int, n)
		for i := range chosen {
			chosen[i] = i
		}
		fitted, err := newDesign(x, d, chosen).fit(y, k, []head{{codes: []string{"a", "b", "c"}, soft: soft}}, 2)
		require.NoError(t, err)
		l := fitted[0]
		loss := func() float64 {
			s := 0.0
			z := make([]float64, k)
			for i := range n {
				l.logits(x[i*d:(i+1)*d], z)
				probabilities(z, soft)
				for o := range k {
					s -= y[i*k+o] * math.Log(z[o])
					if !soft {
						s -= (1 - y[i*k+o]) * math.Log(1-z[o])
					}
				}
			}
			for _, w := range l.weights {
				s += w * w // penalty 2, halved
			}
			return s
		}
		for i := range l.weights {
			const h = 1e-5
			w := l.weights[i]
			l.weights[i] = w + h
			up := loss()
			l.weights[i] = w - h
			down := loss()
			l.weights[i] = w
			require.InDelta(t, 0, (up-down)/(2*h), 1e-3, "weight %d, soft %v", i, soft)
		}
	}
}

// TestRidgeLeaveOneOut compares the shortcut with really leaving one out.
func TestRidgeLeaveOneOut(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	const n, d, w = 150, 5, 2
	x, y := make([]float64, n*d), make([]float64, n*w)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	for i := range y {
		y[i] = rng.NormFloat64() + x[i/w*d]
	}
	kernel := func() *square {
		k := newSquare(n)
		for i := range n {
			for j := range n {
				k.row(i)[j] = dot(x[i*d:(i+1)*d], x[j*d:(j+1)*d])
			}
		}
		return k
	}
	alpha, mean, loo, err := ridge(kernel(), y, w, 0.5)
	require.NoError(t, err)
	weights, bias, primal, err := primalRidge(x, n, d, y, w, 0.5)
	require.NoError(t, err)
	// Dual and primal give the same predictions.
	center := make([]float64, d)
	for i := range n {
		for j := range d {
			center[j] += x[i*d+j] / n
		}
	}
	for o := range w {
		fromDual, fromPrimal := mean[o], bias[o]
		for j := range d {
			v := 0.0
			for i := range n {
				v += alpha[i*w+o] * x[i*d+j]
			}
			fromDual += v * (x[3*d+j] - center[j])
			fromPrimal += weights[j*w+o] * x[3*d+j]
		}
		require.InDelta(t, fromPrimal, fromDual, 1e-8)
	}
	for i := range n {
		rest, targets := slices.Clone(x), slices.Clone(y)
		rest, targets = slices.Delete(rest, i*d, (i+1)*d), slices.Delete(targets, i*w, (i+1)*w)
		// The penalty is a share of the mean squared length, which leaving one
		// out barely moves: the comparison allows for that.
		ws, b, _, err := primalRidge(rest, n-1, d, targets, w, 0.5)
		require.NoError(t, err)
		for o := range w {
			want := b[o]
			for j := range d {
				want += ws[j*w+o] * x[i*d+j]
			}
			require.InDelta(t, want, primal[i*w+o], 0.03, "primal, example %d", i)
			require.InDelta(t, want, loo[i*w+o], 0.03, "dual, example %d", i)
		}
	}
}

func TestCholeskyAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, n := range []int{1, 3, 63, 64, 65, 200} {
		b := newSquare(n)
		for i := range b.a {
			b.a[i] = rng.NormFloat64()
		}
		a := newSquare(n)
		for i := range n {
			for j := range n {
				a.row(i)[j] = dot(b.row(i), b.row(j))
			}
			a.row(i)[i] += float64(n)
		}
		l := newSquare(n)
		copy(l.a, a.a)
		require.NoError(t, l.cholesky())
		for i := range n {
			for j := range i + 1 {
				require.InDelta(t, a.row(i)[j], dot(l.row(i)[:j+1], l.row(j)[:j+1]), 1e-8*float64(n), "n %d", n)
			}
		}
		inv := l.inverseDiagonal()
		for c := range min(n, 5) {
			e := make([]float64, n)
			e[c] = 1
			l.solve(e, 1)
			require.InDelta(t, e[c], inv[c], 1e-9)
		}
	}
	bad := newSquare(2)
	bad.a = []float64{1, 2, 2, 1}
	require.ErrorIs(t, bad.cholesky(), errNotPositive)
}

func BenchmarkScore(b *testing.B) {
	m, _, err := Train(written(80, qingting.ModeFast), Options{})
	require.NoError(b, err)
	turn := strings.Repeat("新买的手机三天就黑屏，客服一直不回，", 5)[:200]
	doc := prepare(qingting.ModeFast, turn, "客服："+turn, turn, "客服："+turn, turn, "客服："+turn)
	b.ReportAllocs()
	for b.Loop() {
		m.Score(doc)
	}
}
