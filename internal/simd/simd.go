// Package simd holds the arithmetic of the sentence encoder and of the case
// index: int8 matrix products with int32 results, int8 dot products over many
// rows, and the float32 steps between two matrix products of a transformer.
//
// Every operation exists as C kernels (AVX512-VNNI, AVX2, NEON with and
// without dot product, portable C), chosen at run time, and as a plain Go twin
// that is used without cgo and that the tests compare all others with. Integer
// results are exactly equal on all of them. Float results agree to about six
// digits: summation order, exp and erf differ.
//
// Integer operands must lie in [−127, 127]; −128 is never produced by
// Quantize and is not supported. Sums stay within int32 for inner sizes up to
// 2^31 / 127² ≈ 133,000.
package simd

import (
	"fmt"
	"sync"
)

// Kernel is one implementation of the operations. Its methods may be called
// concurrently, on different outputs; they neither allocate nor keep a slice.
// A slice that is too short is a mistake of the caller and panics like an
// index out of range.
type Kernel struct {
	name string
	ops
}

// ops is what an implementation provides. Sizes have been checked.
type ops interface {
	matMul(a []int8, m int, w *Matrix, out []int32)
	dot(query, rows []int8, dim int, out []int32)
	quantize(x, by []float32, rows int, q []int8, scale []float32)
	dequantize(acc []int32, rows int, rowScale, colScale, bias, out []float32)
	gelu(x []float32)
	addNorm(x, add []float32, rows int, gamma, beta []float32, eps float32)
	attention(qkv []float32, tokens, queries, heads, headDim int, out, scratch []float32)
	addRows(rows []int8, index, times, sum []int32)
}

// GoName is the name of the twin in plain Go, which runs everywhere.
const GoName = "go"

// New returns the kernel of that name, or the fastest one that this machine
// runs correctly when name is empty. A kernel that fails its check against the
// Go twin is not returned: an empty name falls through to the next one.
func New(name string) (*Kernel, error) {
	if name != "" {
		k, err := open(name)
		if err == nil {
			err = k.verify()
		}
		if err != nil {
			return nil, fmt.Errorf("计算内核 %q 不可用：%w。可用的有 %v，请改用其中之一或留空自动选择", name, err, Names())
		}
		return k, nil
	}
	for _, n := range nativeNames() {
		if k, err := open(n); err == nil && k.verify() == nil {
			return k, nil
		}
	}
	return open(GoName)
}

// Names lists the kernels that this machine can run, fastest first.
func Names() []string {
	return append(nativeNames(), GoName)
}

func open(name string) (*Kernel, error) {
	if name == GoName {
		return &Kernel{GoName, goOps{}}, nil
	}
	for _, n := range nativeNames() {
		if n == name {
			return &Kernel{name, nativeOps(name)}, nil
		}
	}
	return nil, fmt.Errorf("this machine or build does not have it")
}

// Name says which implementation this is: avx512vnni, avx2, neondot, neon, c
// or go.
func (k *Kernel) Name() string { return k.name }

// Matrix is an int8 matrix of N output and K input channels, packed for the
// kernels as [N/16][K/4][16][4]: block of outputs, group of inputs, output,
// input. Sum[n] is the sum over K of output n.
type Matrix struct {
	Data []int8
	Sum  []int32
	N, K int // N is a multiple of 16, K of 4
}

// Pack makes a Matrix of the row-major w[n][k].
func Pack(w []int8, n, k int) (Matrix, error) {
	if n <= 0 || k <= 0 || n%16 != 0 || k%4 != 0 || len(w) != n*k {
		return Matrix{}, fmt.Errorf("pack %d values as %d×%d: want outputs in 16s and inputs in 4s", len(w), n, k)
	}
	m := Matrix{Data: make([]int8, n*k), Sum: make([]int32, n), N: n, K: k}
	for i := range n {
		for j := range k {
			v := w[i*k+j]
			m.Data[(i/16*(k/4)+j/4)*64+i%16*4+j%4] = v
			m.Sum[i] += int32(v)
		}
	}
	return m, nil
}

// MatMul computes out[m][N] = a[m][K] · wᵀ exactly.
func (k *Kernel) MatMul(a []int8, m int, w *Matrix, out []int32) {
	if m == 0 {
		return
	}
	_, _ = w.Data[:w.N*w.K], w.Sum[:w.N]
	k.matMul(a[:m*w.K], m, w, out[:m*w.N])
}

// Dot computes out[i] = query · rows[i] exactly, for all rows of dim values
// that lie one after another; their number is len(out).
func (k *Kernel) Dot(query, rows []int8, dim int, out []int32) {
	if len(out) == 0 {
		return
	}
	k.dot(query[:dim], rows[:len(out)*dim], dim, out)
}

// Quantize rounds every row of x[rows][len(by)] to q = x·by / scale in
// [−127, 127], with scale[r] = max|x·by| / 127; a row of zeros has scale 0.
// The length of by is a multiple of 8.
func (k *Kernel) Quantize(x, by []float32, rows int, q []int8, scale []float32) {
	n := len(by)
	if n%8 != 0 {
		panic("simd: Quantize needs a multiple of 8 columns")
	}
	if rows == 0 {
		return
	}
	k.quantize(x[:rows*n], by, rows, q[:rows*n], scale[:rows])
}

// Dequantize computes out[r][c] = acc[r][c]·rowScale[r]·colScale[c] + bias[c]
// for rows of len(bias) columns, a multiple of 8.
func (k *Kernel) Dequantize(acc []int32, rows int, rowScale, colScale, bias, out []float32) {
	n := len(bias)
	if n%8 != 0 {
		panic("simd: Dequantize needs a multiple of 8 columns")
	}
	if rows == 0 {
		return
	}
	k.dequantize(acc[:rows*n], rows, rowScale[:rows], colScale[:n], bias, out[:rows*n])
}

// GELU replaces every x by x·Φ(x), the exact form with erf. len(x) is a
// multiple of 8.
func (k *Kernel) GELU(x []float32) {
	if len(x)%8 != 0 {
		panic("simd: GELU needs a multiple of 8 values")
	}
	if len(x) > 0 {
		k.gelu(x)
	}
}

// AddNorm replaces every row of x by LayerNorm(x + add)·gamma + beta, over
// len(gamma) columns, a multiple of 8. A nil add counts as zero.
func (k *Kernel) AddNorm(x, add []float32, rows int, gamma, beta []float32, eps float32) {
	n := len(gamma)
	if n%8 != 0 {
		panic("simd: AddNorm needs a multiple of 8 columns")
	}
	if rows == 0 {
		return
	}
	if add != nil {
		add = add[:rows*n]
	}
	k.addNorm(x[:rows*n], add, rows, gamma, beta[:n], eps)
}

// Attention computes softmax(q·kᵀ)·v per head for the first queries tokens.
// A row of qkv holds query, key and value, each heads·headDim long; the
// factor 1/√headDim is already in the query. out is [queries][heads·headDim].
// headDim is a multiple of 16. scratch holds at least AttentionScratch values.
func (k *Kernel) Attention(qkv []float32, tokens, queries, heads, headDim int, out, scratch []float32) {
	if headDim%16 != 0 {
		panic("simd: Attention needs a head dimension that is a multiple of 16")
	}
	if queries == 0 {
		return
	}
	width := heads * headDim
	k.attention(qkv[:tokens*width*3], tokens, queries, heads, headDim, out[:queries*width],
		scratch[:AttentionScratch(tokens, headDim)])
}

// AttentionScratch is the number of scratch values Attention needs.
func AttentionScratch(tokens, headDim int) int {
	padded := (tokens + 15) / 16 * 16
	return padded*headDim + 4*padded
}

// AddRows adds times[i]·rows[index[i]] to sum for every i, where rows holds
// rows of len(sum) values one after another. Sums must stay within int32.
func (k *Kernel) AddRows(rows []int8, index, times, sum []int32) {
	if len(index) == 0 || len(sum) == 0 {
		return
	}
	last := int32(len(rows)/len(sum)) - 1
	for _, r := range index {
		if r < 0 || r > last {
			panic("simd: AddRows of a row that is not there")
		}
	}
	k.addRows(rows, index, times[:len(index)], sum)
}

var fastest = sync.OnceValues(func() (*Kernel, error) { return New("") })

// DotI8 is Kernel.Dot on the fastest kernel of this machine, which is looked
// for at the first call.
func DotI8(query, rows []int8, dim int, out []int32) {
	k, err := fastest()
	if err != nil { // cannot happen: the Go twin always opens
		panic(err)
	}
	k.Dot(query, rows, dim, out)
}

// AddRowsI8 is Kernel.AddRows on the fastest kernel of this machine.
func AddRowsI8(rows []int8, index, times, sum []int32) {
	k, err := fastest()
	if err != nil { // cannot happen: the Go twin always opens
		panic(err)
	}
	k.AddRows(rows, index, times, sum)
}

// verify compares the integer results of k with the Go twin on a small fixed
// input that contains the extremes, so that a kernel that this machine (or an
// emulator) runs wrongly is never used.
func (k *Kernel) verify() error {
	const m, n, d = 7, 32, 64
	state := uint32(1)
	fill := func(size int) []int8 {
		v := make([]int8, size)
		for i := range v {
			state = state*1664525 + 1013904223
			switch x := state >> 24; {
			case x < 40:
				v[i] = 127
			case x < 80:
				v[i] = -127
			default:
				v[i] = int8(x%255) - 127
			}
		}
		return v
	}
	w, err := Pack(fill(n*d), n, d)
	if err != nil {
		return err
	}
	a, rows := fill(m*d), fill(n*d)
	got, want := make([]int32, m*n), make([]int32, m*n)
	k.MatMul(a, m, &w, got)
	goOps{}.matMul(a, m, &w, want)
	for i := range want {
		if got[i] != want[i] {
			return fmt.Errorf("matrix product differs from the reference: %d, want %d", got[i], want[i])
		}
	}
	k.Dot(a[:d], rows, d, got[:n])
	goOps{}.dot(a[:d], rows, d, want[:n])
	for i := range n {
		if got[i] != want[i] {
			return fmt.Errorf("dot product differs from the reference: %d, want %d", got[i], want[i])
		}
	}
	index, times := []int32{n - 1, 0, 3}, []int32{1 << 14, -1 << 14, 77}
	clear(got[:d])
	clear(want[:d])
	k.AddRows(rows, index, times, got[:d])
	goOps{}.addRows(rows, index, times, want[:d])
	for i := range d {
		if got[i] != want[i] {
			return fmt.Errorf("sum of rows differs from the reference: %d, want %d", got[i], want[i])
		}
	}
	return nil
}
