//go:build cgo && (amd64 || arm64)

package simd

// -O3 unrolls the tiles so that their sums stay in registers.

/*
#cgo CFLAGS: -std=gnu11 -O3 -Wall
#cgo LDFLAGS: -lm
#cgo noescape qt_matmul
#cgo nocallback qt_matmul
#cgo noescape qt_dot
#cgo nocallback qt_dot
#cgo noescape qt_quantize
#cgo nocallback qt_quantize
#cgo noescape qt_dequantize
#cgo nocallback qt_dequantize
#cgo noescape qt_gelu
#cgo nocallback qt_gelu
#cgo noescape qt_add_norm
#cgo nocallback qt_add_norm
#cgo noescape qt_attention
#cgo nocallback qt_attention
#cgo noescape qt_add_rows
#cgo nocallback qt_add_rows
#include "kernels.h"
*/
import "C"

import "unsafe"

// kernelNames are in the order of the numbers in kernels.h, fastest first.
var kernelNames = [C.QT_KERNELS]string{"avx512vnni", "avx2", "neondot", "neon", "c"}

func nativeNames() []string {
	var names []string
	for i, name := range kernelNames {
		if C.qt_has(C.int(i)) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func nativeOps(name string) ops {
	for i, n := range kernelNames {
		if n == name {
			return cOps(i)
		}
	}
	return goOps{}
}

// cOps is the number of a C kernel. Every operation is one call into C.
type cOps C.int

func i8(s []int8) *C.int8_t    { return (*C.int8_t)(unsafe.Pointer(unsafe.SliceData(s))) }
func i32(s []int32) *C.int32_t { return (*C.int32_t)(unsafe.Pointer(unsafe.SliceData(s))) }
func f32(s []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(s))) }

func (k cOps) matMul(a []int8, m int, w *Matrix, out []int32) {
	C.qt_matmul(C.int(k), i8(a), C.int(m), i8(w.Data), i32(w.Sum), C.int(w.N), C.int(w.K), i32(out))
}

func (k cOps) dot(query, rows []int8, dim int, out []int32) {
	C.qt_dot(C.int(k), i8(query), i8(rows), C.int(dim), C.int(len(out)), i32(out))
}

func (k cOps) quantize(x, by []float32, rows int, q []int8, scale []float32) {
	C.qt_quantize(C.int(k), f32(x), f32(by), C.int(rows), C.int(len(by)), i8(q), f32(scale))
}

func (k cOps) dequantize(acc []int32, rows int, rowScale, colScale, bias, out []float32) {
	C.qt_dequantize(C.int(k), i32(acc), C.int(rows), C.int(len(bias)), f32(rowScale), f32(colScale), f32(bias), f32(out))
}

func (k cOps) gelu(x []float32) { C.qt_gelu(C.int(k), f32(x), C.int(len(x))) }

func (k cOps) addNorm(x, add []float32, rows int, gamma, beta []float32, eps float32) {
	C.qt_add_norm(C.int(k), f32(x), f32(add), C.int(rows), C.int(len(gamma)), f32(gamma), f32(beta), C.float(eps))
}

func (k cOps) attention(qkv []float32, tokens, queries, heads, headDim int, out, scratch []float32) {
	C.qt_attention(C.int(k), f32(qkv), C.int(tokens), C.int(queries), C.int(heads), C.int(headDim), f32(out), f32(scratch))
}

func (k cOps) addRows(rows []int8, index, times, sum []int32) {
	C.qt_add_rows(C.int(k), i8(rows), i32(index), i32(times), C.int(len(index)), i32(sum), C.int(len(sum)))
}
