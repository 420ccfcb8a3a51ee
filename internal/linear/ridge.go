package linear

import (
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// square is a symmetric matrix stored whole, row by row.
type square struct {
	n int
	a []float64
}

func newSquare(n int) *square { return &square{n, make([]float64, n*n)} }

func (s *square) row(i int) []float64 { return s.a[i*s.n : (i+1)*s.n] }

// parallel calls f for 0…n−1 on every core. Each call writes its own results,
// so that nothing depends on timing or on the number of cores.
func parallel(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	wg.Wait()
}

// center subtracts row and column means, which is the same as a bias that is
// not held back by regularisation.
func (s *square) center() {
	mean := make([]float64, s.n)
	total := 0.0
	for i := range s.n {
		for _, x := range s.row(i) {
			mean[i] += x
		}
		mean[i] /= float64(s.n)
		total += mean[i]
	}
	total /= float64(s.n)
	parallel(s.n, func(i int) {
		row := s.row(i)
		for j := range row {
			row[j] += total - mean[i] - mean[j]
		}
	})
}

// meanDiagonal is the mean squared length of the rows the matrix came from.
func (s *square) meanDiagonal() float64 {
	d := 0.0
	for i := range s.n {
		d += s.a[i*s.n+i]
	}
	return d / float64(s.n)
}

const (
	tile = 64  // rows and columns of a tile of the factorisation
	run  = 256 // inner products go through the cache in runs of this length
)

var errNotPositive = errors.New("matrix is not positive definite")

// cholesky replaces the lower triangle by L with L·Lᵀ = A. The order of every
// sum is fixed.
func (s *square) cholesky() error {
	n := s.n
	for k0 := 0; k0 < n; k0 += tile {
		k1 := min(k0+tile, n)
		// Everything left of the panel is final: take it off the panel.
		blocks := (n - k0 + tile - 1) / tile
		parallel(blocks, func(b int) {
			i0 := k0 + b*tile
			subtractProduct(s, i0, min(i0+tile, n), k0, k1, 0, k0)
		})
		for j := k0; j < k1; j++ {
			rj := s.row(j)
			d := rj[j] - dot(rj[k0:j], rj[k0:j])
			if d <= 0 || math.IsNaN(d) {
				return errNotPositive
			}
			d = math.Sqrt(d)
			rj[j] = d
			for i := j + 1; i < k1; i++ {
				ri := s.row(i)
				ri[j] = (ri[j] - dot(ri[k0:j], rj[k0:j])) / d
			}
		}
		parallel(blocks-1, func(b int) {
			i0 := k1 + b*tile
			for i := i0; i < min(i0+tile, n); i++ {
				ri := s.row(i)
				for j := k0; j < k1; j++ {
					rj := s.row(j)
					ri[j] = (ri[j] - dot(ri[k0:j], rj[k0:j])) / rj[j]
				}
			}
		})
	}
	return nil
}

// subtractProduct takes, for rows i and j, the product of their columns
// [c0, c1) off element (i, j).
func subtractProduct(s *square, i0, i1, j0, j1, c0, c1 int) {
	for c := c0; c < c1; c += run {
		e := min(c+run, c1)
		for i := i0; i < i1; i += 4 {
			for j := j0; j < j1; j += 2 {
				if i+4 <= i1 && j+2 <= j1 {
					var out [8]float64
					dot42(s.row(i)[c:e], s.row(i + 1)[c:e], s.row(i + 2)[c:e], s.row(i + 3)[c:e], s.row(j)[c:e], s.row(j + 1)[c:e], &out)
					for k := range 4 {
						s.row(i + k)[j] -= out[2*k]
						s.row(i + k)[j+1] -= out[2*k+1]
					}
					continue
				}
				for ii := i; ii < min(i+4, i1); ii++ {
					for jj := j; jj < min(j+2, j1); jj++ {
						s.row(ii)[jj] -= dot(s.row(ii)[c:e], s.row(jj)[c:e])
					}
				}
			}
		}
	}
}

func dot[F float32 | float64](a, b []F) F {
	b = b[:len(a)]
	var s0, s1, s2, s3 F
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + (s2 + s3)
}

// dot42 multiplies four vectors with two, reading each once.
func dot42(a0, a1, a2, a3, b0, b1 []float64, out *[8]float64) {
	n := len(a0)
	a1, a2, a3, b0, b1 = a1[:n], a2[:n], a3[:n], b0[:n], b1[:n]
	var s00, s01, s10, s11, s20, s21, s30, s31 float64
	for i := range a0 {
		x, y := b0[i], b1[i]
		p := a0[i]
		s00 += p * x
		s01 += p * y
		p = a1[i]
		s10 += p * x
		s11 += p * y
		p = a2[i]
		s20 += p * x
		s21 += p * y
		p = a3[i]
		s30 += p * x
		s31 += p * y
	}
	*out = [8]float64{s00, s01, s10, s11, s20, s21, s30, s31}
}

// solve replaces each column of y (n rows of width outputs) by A⁻¹ times it,
// given L from cholesky.
func (s *square) solve(y []float64, width int) {
	parallel(width, func(c int) {
		v := make([]float64, s.n)
		for i := range v {
			v[i] = y[i*width+c]
		}
		s.solveOne(v)
		for i := range v {
			y[i*width+c] = v[i]
		}
	})
}

func (s *square) solveOne(v []float64) {
	for i := range v {
		v[i] = (v[i] - dot(s.row(i)[:i], v[:i])) / s.a[i*s.n+i]
	}
	for i := len(v) - 1; i >= 0; i-- {
		v[i] /= s.a[i*s.n+i]
		x := v[i]
		for j, l := range s.row(i)[:i] {
			v[j] -= l * x
		}
	}
}

// inverseDiagonal returns the diagonal of A⁻¹, given L from cholesky. Column c
// of L⁻¹ is found by forward substitution, several columns at a time.
func (s *square) inverseDiagonal() []float64 {
	n := s.n
	out := make([]float64, n)
	blocks := (n + tile - 1) / tile
	parallel(blocks, func(b int) {
		c0 := b * tile
		c1 := min(c0+tile, n)
		w := c1 - c0
		m := n - c0 // rows below and in the block
		t := make([]float64, w*m)
		at := func(c int) []float64 { return t[c*m : (c+1)*m] }
		for i0 := c0; i0 < n; i0 += 4 {
			i1 := min(i0+4, n)
			sums := make([]float64, 4*w)
			for r := i0; r < i1; r++ {
				for c := range w {
					sums[(r-i0)*w+c] = 0
				}
			}
			for k := c0; k < i0; k += run {
				e := min(k+run, i0)
				c := 0
				if i1-i0 == 4 {
					for ; c+2 <= w; c += 2 {
						var o [8]float64
						dot42(s.row(i0)[k:e], s.row(i0 + 1)[k:e], s.row(i0 + 2)[k:e], s.row(i0 + 3)[k:e], at(c)[k-c0:e-c0], at(c + 1)[k-c0:e-c0], &o)
						for r := range 4 {
							sums[r*w+c] += o[2*r]
							sums[r*w+c+1] += o[2*r+1]
						}
					}
				}
				for ; c < w; c++ {
					for r := i0; r < i1; r++ {
						sums[(r-i0)*w+c] += dot(s.row(r)[k:e], at(c)[k-c0:e-c0])
					}
				}
			}
			for c := range w {
				tc := at(c)
				for r := i0; r < i1; r++ {
					v := -sums[(r-i0)*w+c]
					for k := i0; k < r; k++ {
						v -= s.row(r)[k] * tc[k-c0]
					}
					if r == c0+c {
						v++
					}
					v /= s.a[r*n+r]
					tc[r-c0] = v
					out[c0+c] += v * v
				}
			}
		}
	})
	return out
}

// ridge solves least squares with an L2 penalty in the dual: K is the kernel
// of the examples (destroyed), y their n × width targets, lambda the penalty
// as a share of K's mean diagonal. It returns
//
//   - alpha, n × width: the prediction for a new example is its mean target
//     plus Σ alpha_i · centred kernel;
//   - mean, the mean target of each output;
//   - loo, n × width: what the model would have predicted for each example had
//     it not been trained on it (exact for the penalised part).
func ridge(k *square, y []float64, width int, lambda float64) (alpha, mean, loo []float64, err error) {
	n := k.n
	mean = make([]float64, width)
	for i := range n {
		for c := range width {
			mean[c] += y[i*width+c] / float64(n)
		}
	}
	k.center()
	penalty := lambda * k.meanDiagonal()
	if penalty <= 0 {
		penalty = lambda
	}
	for i := range n {
		k.a[i*n+i] += penalty
	}
	if err := k.cholesky(); err != nil {
		return nil, nil, nil, err
	}
	alpha = make([]float64, n*width)
	for i := range n {
		for c := range width {
			alpha[i*width+c] = y[i*width+c] - mean[c]
		}
	}
	k.solve(alpha, width)
	diagonal := k.inverseDiagonal()
	loo = make([]float64, n*width)
	for i := range n {
		for c := range width {
			loo[i*width+c] = y[i*width+c] - alpha[i*width+c]/diagonal[i]
		}
	}
	return alpha, mean, loo, nil
}
