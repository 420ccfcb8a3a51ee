package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fills are the inputs of the exactness tests: random bytes and the extremes,
// which would saturate 16-bit sums.
var fills = map[string]func(*rand.Rand, int) int8{
	"random":  func(r *rand.Rand, _ int) int8 { return int8(r.IntN(255) - 127) },
	"most":    func(*rand.Rand, int) int8 { return 127 },
	"least":   func(*rand.Rand, int) int8 { return -127 },
	"extreme": func(r *rand.Rand, _ int) int8 { return int8(r.IntN(2)*254 - 127) },
	"pairs":   func(_ *rand.Rand, i int) int8 { return int8(i/2%2*254 - 127) },
	"zero":    func(*rand.Rand, int) int8 { return 0 },
	"sparse":  func(r *rand.Rand, _ int) int8 { return int8((r.IntN(255) - 127) * (r.IntN(8) / 7)) },
}

func fill(name string, n int) []int8 {
	r := rand.New(rand.NewPCG(uint64(n), uint64(len(name))))
	out := make([]int8, n)
	for i := range out {
		out[i] = fills[name](r, i)
	}
	return out
}

func floats(r *rand.Rand, n int, scale float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64() * scale)
	}
	return out
}

// each runs a test for every kernel of this machine, the Go twin included.
// QT_EXPECT_KERNELS names kernels that must be among them, so that a run under
// an emulator cannot pass by leaving them out.
func each(t *testing.T, test func(*testing.T, *Kernel)) {
	for _, name := range strings.Fields(os.Getenv("QT_EXPECT_KERNELS")) {
		require.Contains(t, Names(), name)
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			k, err := New(name)
			require.NoError(t, err)
			require.Equal(t, name, k.Name())
			test(t, k)
		})
	}
}

func TestMatMulIsExact(t *testing.T) {
	sizes := []struct{ m, n, k int }{
		{1, 16, 4},
		{2, 16, 8},
		{3, 32, 12},
		{4, 48, 64},
		{5, 16, 100},
		{6, 32, 512},
		{7, 16, 516},
		{8, 80, 64},
		{9, 16, 32},
		{11, 32, 36},
		{13, 64, 128},
		{17, 16, 2048},
		{23, 48, 512},
		{48, 512, 512},
		{3, 16, 20000},
	}
	each(t, func(t *testing.T, k *Kernel) {
		for _, s := range sizes {
			for left := range fills {
				for right := range fills {
					if s.m*s.n*s.k > 1e6 && left != right && left != "random" {
						continue
					}
					a, w := fill(left, s.m*s.k), fill(right, s.n*s.k)
					packed, err := Pack(w, s.n, s.k)
					require.NoError(t, err)
					want := make([]int32, s.m*s.n)
					for i := range s.m {
						for j := range s.n {
							for d := range s.k {
								want[i*s.n+j] += int32(a[i*s.k+d]) * int32(w[j*s.k+d])
							}
						}
					}
					got := make([]int32, s.m*s.n)
					for i := range got {
						got[i] = -1
					}
					k.MatMul(a, s.m, &packed, got)
					require.Equal(t, want, got, "%v, a %s, w %s", s, left, right)
				}
			}
		}
	})
}

func TestDotIsExact(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		for _, dim := range []int{1, 7, 15, 16, 31, 32, 33, 63, 64, 96, 128, 200, 256, 512, 1024, 1025} {
			for _, count := range []int{1, 2, 3, 4, 5, 8, 11} {
				for left := range fills {
					for right := range fills {
						q, rows := fill(left, dim), fill(right, dim*count)
						got, want := make([]int32, count), make([]int32, count)
						for i := range count {
							for d := range dim {
								want[i] += int32(q[d]) * int32(rows[i*dim+d])
							}
						}
						k.Dot(q, rows, dim, got)
						require.Equal(t, want, got, "dim %d, query %s, rows %s", dim, left, right)
						DotI8(q, rows, dim, got)
						require.Equal(t, want, got)
					}
				}
			}
		}
	})
}

func TestAddRowsIsExact(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		for _, width := range []int{1, 7, 8, 10, 16, 94, 129} {
			rows := fill("random", 50*width)
			index, times := []int32{}, []int32{}
			sum, want := make([]int32, width), make([]int32, width)
			for i := range width {
				sum[i], want[i] = int32(i), int32(i)
			}
			for i := range 23 {
				r, v := int32(i*17%50), int32(i*1237%32768-16384)
				index, times = append(index, r), append(times, v)
				for o := range want {
					want[o] += v * int32(rows[int(r)*width+o])
				}
			}
			k.AddRows(rows, index, times, sum)
			require.Equal(t, want, sum, width)
			k.AddRows(rows, nil, nil, sum)
			require.Equal(t, want, sum, width)
			require.Panics(t, func() { k.AddRows(rows, []int32{50}, []int32{1}, sum) })
		}
	})
}

func TestQuantize(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		const rows, cols = 5, 64
		r := rand.New(rand.NewPCG(1, 2))
		x, by := floats(r, rows*cols, 3), floats(r, cols, 1)
		clear(x[cols : 2*cols])
		q, scale := make([]int8, rows*cols), make([]float32, rows)
		k.Quantize(x, by, rows, q, scale)
		for i := range rows {
			var largest float64
			for j := range cols {
				largest = max(largest, math.Abs(float64(x[i*cols+j]*by[j])))
			}
			require.InEpsilon(t, largest/127+1, float64(scale[i])+1, 1e-6)
			peak := int8(0)
			for j := range cols {
				v := q[i*cols+j]
				require.GreaterOrEqual(t, v, int8(-127))
				peak = max(peak, v, -v)
				require.InDelta(t, float64(x[i*cols+j]*by[j]), float64(v)*float64(scale[i]), float64(scale[i])*0.50001)
			}
			require.Equal(t, largest > 0, peak == 127)
		}
		require.Zero(t, scale[1])
	})
}

func TestDequantize(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		acc := []int32{0, 1, -1, 2, 1 << 24, -5, 7, 9, 1, 2, 3, 4, 5, 6, 7, -2147483648}
		rowScale, colScale := []float32{0.5, 2}, []float32{1, 2, 4, 8, 1, 1, 1, 0.25}
		bias := []float32{1, 0, 0, 0, 0, 0, 0, 0}
		out := make([]float32, 16)
		k.Dequantize(acc, 2, rowScale, colScale, bias, out)
		require.Equal(t, []float32{1, 1, -2, 8, 1 << 23, -2.5, 3.5, 1.125, 3, 8, 24, 64, 10, 12, 14, -1 << 30}, out)
	})
}

func TestGELU(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		var x []float32
		for v := -12.0; v < 12; v += 1.0 / 64 {
			x = append(x, float32(v))
		}
		x = append(x, 0, 1e-30, -1e-30, 1e30, -1e30, 100, -100, 88)
		got := append([]float32(nil), x...)
		k.GELU(got)
		for i, v := range x {
			want := float64(v) * 0.5 * math.Erfc(-float64(v)/math.Sqrt2)
			require.InDelta(t, want, float64(got[i]), 3e-7*(1+math.Abs(float64(v))), "GELU(%g)", v)
		}
		require.Panics(t, func() { k.GELU(x[:7]) })
	})
}

func TestAddNorm(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		const rows, cols = 3, 512
		r := rand.New(rand.NewPCG(3, 4))
		gamma, beta := floats(r, cols, 1), floats(r, cols, 1)
		for _, add := range [][]float32{nil, floats(r, rows*cols, 2)} {
			x := floats(r, rows*cols, 5)
			got := append([]float32(nil), x...)
			k.AddNorm(got, add, rows, gamma, beta, 1e-12)
			for i := range rows {
				var mean, square float64
				at := func(j int) float64 {
					v := float64(x[i*cols+j])
					if add != nil {
						v += float64(add[i*cols+j])
					}
					return v
				}
				for j := range cols {
					mean += at(j) / cols
				}
				for j := range cols {
					square += (at(j) - mean) * (at(j) - mean) / cols
				}
				for j := range cols {
					want := (at(j)-mean)/math.Sqrt(square+1e-12)*float64(gamma[j]) + float64(beta[j])
					require.InDelta(t, want, float64(got[i*cols+j]), 2e-5)
				}
			}
		}
	})
}

func TestAttention(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		const heads, dim = 3, 32
		for _, tokens := range []int{1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 33, 70} {
			for _, queries := range []int{1, tokens} {
				for _, scale := range []float64{0.3, 8} { // even and peaked distributions
					r := rand.New(rand.NewPCG(uint64(tokens), uint64(queries)))
					const width = heads * dim
					qkv := floats(r, tokens*3*width, scale)
					got := make([]float32, queries*width)
					scratch := floats(r, AttentionScratch(tokens, dim), 1e9) // left over from another call
					k.Attention(qkv, tokens, queries, heads, dim, got, scratch)
					for h := range heads {
						for i := range queries {
							score, total, most := make([]float64, tokens), 0.0, math.Inf(-1)
							for j := range score {
								for d := range dim {
									score[j] += float64(qkv[i*3*width+h*dim+d]) * float64(qkv[j*3*width+width+h*dim+d])
								}
								most = max(most, score[j])
							}
							for j := range score {
								score[j] = math.Exp(score[j] - most)
								total += score[j]
							}
							for d := range dim {
								want := 0.0
								for j := range score {
									want += score[j] / total * float64(qkv[j*3*width+2*width+h*dim+d])
								}
								require.InDelta(t, want, float64(got[i*width+h*dim+d]), 1e-4*scale,
									"tokens %d queries %d head %d", tokens, queries, h)
							}
						}
					}
				}
			}
		}
	})
}

func TestPackRefusesOddSizes(t *testing.T) {
	for _, s := range [][3]int{{15, 4, 60}, {16, 3, 48}, {0, 4, 0}, {16, 4, 63}, {-16, -4, 64}} {
		_, err := Pack(make([]int8, s[2]), s[0], s[1])
		require.Error(t, err, s)
	}
}

func TestNew(t *testing.T) {
	k, err := New("")
	require.NoError(t, err)
	require.Equal(t, Names()[0], k.Name())
	_, err = New("mmx")
	require.ErrorContains(t, err, "mmx")
	require.ErrorContains(t, err, "可用")
}

// wrong is a kernel with an error in one corner.
type wrong struct{ ops }

func (w wrong) matMul(a []int8, m int, x *Matrix, out []int32) {
	w.ops.matMul(a, m, x, out)
	out[len(out)-1]++
}

func TestVerifyFindsAWrongKernel(t *testing.T) {
	require.NoError(t, (&Kernel{"good", goOps{}}).verify())
	require.Error(t, (&Kernel{"bad", wrong{goOps{}}}).verify())
}

func BenchmarkDot(b *testing.B) {
	const dim, count = 512, 100_000
	q, rows, out := fill("random", dim), fill("random", dim*count), make([]int32, count)
	for _, name := range Names() {
		k, err := New(name)
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(dim * count)
			for b.Loop() {
				k.Dot(q, rows, dim, out)
			}
		})
	}
}

func BenchmarkMatMul(b *testing.B) {
	for _, m := range []int{22, 48} {
		w, err := Pack(fill("random", 2048*512), 2048, 512)
		require.NoError(b, err)
		a, out := fill("random", m*512), make([]int32, m*2048)
		for _, name := range Names() {
			k, err := New(name)
			require.NoError(b, err)
			b.Run(fmt.Sprintf("%d/%s", m, name), func(b *testing.B) {
				for b.Loop() {
					k.MatMul(a, m, &w, out)
				}
				b.ReportMetric(float64(b.N)*float64(m)*2048*512/b.Elapsed().Seconds()/1e9, "GMAC/s")
			})
		}
	}
}
