package encoder

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/qingting-ai/qingting/internal/simd"
)

//go:embed weights/weights.bin
var weightsFile string

//go:embed weights/vocab.txt
var vocabFile string

// model is the network in the form the kernels read. The int8 tensors are
// slices of the embedded file, so they cost no memory of their own and are
// paged in when they are first used; the float32 tensors (0.3 MB) are copies.
type model struct {
	name, sha256             string
	hidden, heads, positions int
	epsilon                  float32
	word, position           table
	embedNorm                affine
	layers                   []layer
}

// table is an embedding table of int8 rows; entry (r, c) is
// rows[r][c]·scale[r]·columns[c].
type table struct {
	rows           []int8
	scale, columns []float32
}

type affine struct{ weight, bias []float32 }

// linear is a packed weight matrix with a scale and a bias per output, and a
// factor per input that is applied before quantisation.
type linear struct {
	simd.Matrix
	smooth, scale, bias []float32
}

type layer struct {
	qkv, attn, up, down linear
	attnNorm, downNorm  affine
}

const (
	magic = "QTENCODE"
	// preprocessing names what the tokenizer does; weights made for another
	// are refused, and a change to the tokenizer's results changes this name.
	preprocessing = "bert-uncased-1"
)

// loader reads tensors by name and keeps the first error.
type loader struct {
	data    string // after the header
	tensors map[string]tensor
	err     error
}

type tensor struct {
	Type   string
	Shape  []int
	Offset int
}

// loadModel reads the format that convert/convert.py documents. Every size is
// checked, so that a damaged file is an error and never a crash later.
func loadModel(file string) (*model, int, error) {
	if len(file) < 12 || file[:8] != magic {
		return nil, 0, errors.New("no weights file of this program")
	}
	size := int(binary.LittleEndian.Uint32([]byte(file[8:12])))
	if size > len(file)-12 {
		return nil, 0, errors.New("header cut off")
	}
	var head struct {
		Model, Preprocessing, Sha256            string
		Hidden, Heads, Layers, Vocab, Positions int
		Epsilon                                 float64
		Tensors                                 map[string]tensor
	}
	if err := json.Unmarshal([]byte(file[12:12+size]), &head); err != nil {
		return nil, 0, fmt.Errorf("header: %w", err)
	}
	if len(head.Sha256) != 64 || head.Hidden <= 0 || head.Heads <= 0 || head.Hidden%(head.Heads*16) != 0 ||
		head.Layers <= 0 || head.Vocab <= 0 || head.Positions < 3 {
		return nil, 0, errors.New("header with impossible sizes")
	}
	if head.Preprocessing != preprocessing {
		return nil, 0, fmt.Errorf("weights made for text preparation %q, want %q", head.Preprocessing, preprocessing)
	}
	l := &loader{data: file[12+size:], tensors: head.Tensors}
	h := head.Hidden
	m := &model{
		name: head.Model, sha256: head.Sha256,
		hidden: h, heads: head.Heads, positions: head.Positions, epsilon: float32(head.Epsilon),
		word:      l.table("word", head.Vocab, h),
		position:  l.table("position", head.Positions, h),
		embedNorm: l.affine("embed.norm", h),
	}
	for i := range head.Layers {
		p := "layer." + strconv.Itoa(i)
		wide := l.outputs(p + ".up.scale")
		m.layers = append(m.layers, layer{
			qkv:      l.linear(p+".qkv", 3*h, h),
			attn:     l.linear(p+".attn", h, h),
			up:       l.linear(p+".up", wide, h),
			down:     l.linear(p+".down", h, wide),
			attnNorm: l.affine(p+".attn.norm", h),
			downNorm: l.affine(p+".down.norm", h),
		})
	}
	return m, head.Vocab, l.err
}

// bytes returns count·size bytes of the named tensor, checked.
func (l *loader) bytes(name, kind string, count, size int) string {
	t, ok := l.tensors[name]
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	if !ok || t.Type != kind || n != count || t.Offset < 0 || t.Offset > len(l.data) || len(l.data)-t.Offset < n*size {
		if l.err == nil {
			l.err = fmt.Errorf("tensor %s is missing or has another type or size than %d %s", name, count, kind)
		}
		return string(make([]byte, count*size))
	}
	return l.data[t.Offset:][:n*size]
}

// int8s is a view of the file; nobody may write to it.
func (l *loader) int8s(name string, n int) []int8 {
	s := l.bytes(name, "i8", n, 1)
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.StringData(s))), len(s))
}

func (l *loader) int32s(name string, n int) []int32 {
	s := []byte(l.bytes(name, "i32", n, 4))
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(s[i*4:]))
	}
	return out
}

func (l *loader) floats(name string, n int) []float32 {
	s := []byte(l.bytes(name, "f32", n, 4))
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(s[i*4:]))
	}
	return out
}

func (l *loader) table(name string, rows, columns int) table {
	return table{l.int8s(name+".weight", rows*columns), l.floats(name+".scale", rows), l.floats(name+".columns", columns)}
}

func (l *loader) affine(name string, n int) affine {
	return affine{l.floats(name+".weight", n), l.floats(name+".bias", n)}
}

func (l *loader) linear(name string, n, k int) linear {
	if n <= 0 || n%16 != 0 || k%16 != 0 {
		if l.err == nil {
			l.err = fmt.Errorf("%s is %d×%d, want multiples of 16", name, n, k)
		}
		return linear{}
	}
	return linear{
		Matrix: simd.Matrix{Data: l.int8s(name+".weight", n*k), Sum: l.int32s(name+".sum", n), N: n, K: k},
		smooth: l.floats(name+".smooth", k),
		scale:  l.floats(name+".scale", n),
		bias:   l.floats(name+".bias", n),
	}
}

// outputs is the length of a vector, for the one size the header leaves out.
func (l *loader) outputs(name string) int {
	if t, ok := l.tensors[name]; ok && len(t.Shape) == 1 && t.Shape[0] > 0 && t.Shape[0] <= 1<<16 {
		return t.Shape[0]
	}
	return 0
}
