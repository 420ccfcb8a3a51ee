package simd

import "math"

// goOps is the reference that every other implementation is compared with.
type goOps struct{}

// matMul does two products in one 64-bit multiplication. With x and y in
// [1, 255], the upper half of (x0·2^32 + x1)·(y1·2^32 + y0) is x0·y0 + x1·y1;
// the lower half is x1·y0 and its sum stays below 2^32 for K up to 2^17. The
// offset of 128 that makes the bytes positive is taken out at the end.
func (goOps) matMul(a []int8, m int, w *Matrix, out []int32) {
	pairs := w.K / 2
	rows, sums := make([]uint64, m*pairs), make([]int32, m)
	for r := range m {
		for i := range pairs {
			x0, x1 := a[r*w.K+2*i], a[r*w.K+2*i+1]
			rows[r*pairs+i] = uint64(int64(x0)+128)<<32 | uint64(int64(x1)+128)
			sums[r] += int32(x0) + int32(x1)
		}
	}
	column := make([]uint64, pairs)
	for n := range w.N {
		panel := w.Data[n/16*16*w.K+n%16*4:]
		for i := range pairs {
			p := panel[i/2*64+i%2*2:]
			column[i] = uint64(int64(p[1])+128)<<32 | uint64(int64(p[0])+128)
		}
		for r := range m {
			row := rows[r*pairs:][:len(column)]
			var even, odd uint64
			i := 0
			for ; i+2 <= len(column); i += 2 {
				even += row[i] * column[i]
				odd += row[i+1] * column[i+1]
			}
			total := int32((even + odd) >> 32)
			out[r*w.N+n] = total - 128*(sums[r]+w.Sum[n]) - int32(w.K)*128*128
		}
	}
}

func (goOps) dot(query, rows []int8, dim int, out []int32) {
	for i := range out {
		row := rows[i*dim:][:dim]
		var sum int32
		for j, q := range query {
			sum += int32(q) * int32(row[j])
		}
		out[i] = sum
	}
}

func (goOps) quantize(x, by []float32, rows int, q []int8, scale []float32) {
	cols := len(by)
	for r := range rows {
		in, to := x[r*cols:][:cols], q[r*cols:][:cols]
		var largest float32
		for i, v := range in {
			v *= by[i]
			largest = max(largest, v, -v)
		}
		scale[r] = largest / 127
		if largest == 0 {
			clear(to)
			continue
		}
		inverse := 127 / largest
		for i, v := range in {
			to[i] = int8(math.RoundToEven(float64(v * by[i] * inverse)))
		}
	}
}

func (goOps) dequantize(acc []int32, rows int, rowScale, colScale, bias, out []float32) {
	n := len(bias)
	for r := range rows {
		for c, b := range bias {
			out[r*n+c] = float32(acc[r*n+c])*(rowScale[r]*colScale[c]) + b
		}
	}
}

func (goOps) gelu(x []float32) {
	for i, v := range x {
		x[i] = v * float32(0.5+0.5*math.Erf(float64(v)*math.Sqrt2/2))
	}
}

func (goOps) addNorm(x, add []float32, rows int, gamma, beta []float32, eps float32) {
	n := len(gamma)
	for r := range rows {
		row := x[r*n:][:n]
		var sum float32
		for i := range row {
			if add != nil {
				row[i] += add[r*n+i]
			}
			sum += row[i]
		}
		mean := sum / float32(n)
		var square float32
		for i := range row {
			row[i] -= mean
			square += row[i] * row[i]
		}
		inverse := 1 / float32(math.Sqrt(float64(square/float32(n)+eps)))
		for i := range row {
			row[i] = row[i]*inverse*gamma[i] + beta[i]
		}
	}
}

func (goOps) attention(qkv []float32, tokens, queries, heads, headDim int, out, scratch []float32) {
	width := heads * headDim
	scores := scratch[:tokens]
	for h := range heads {
		for i := range queries {
			q := qkv[i*3*width+h*headDim:][:headDim]
			largest := float32(math.Inf(-1))
			for j := range scores {
				key := qkv[j*3*width+width+h*headDim:][:headDim]
				var s float32
				for d, v := range q {
					s += v * key[d]
				}
				scores[j] = s
				largest = max(largest, s)
			}
			var total float32
			for j, s := range scores {
				scores[j] = float32(math.Exp(float64(s - largest)))
				total += scores[j]
			}
			to := out[i*width+h*headDim:][:headDim]
			clear(to)
			for j, p := range scores {
				value := qkv[j*3*width+2*width+h*headDim:][:headDim]
				p /= total
				for d, v := range value {
					to[d] += p * v
				}
			}
		}
	}
}

func (goOps) addRows(rows []int8, index, times, sum []int32) {
	for i, r := range index {
		row := rows[int(r)*len(sum):][:len(sum)]
		for o := range sum {
			sum[o] += times[i] * int32(row[o])
		}
	}
}
