package linear

import "math"

// logistic is a multi-output logistic regression over standardised inputs.
type logistic struct {
	inputs, outputs int
	soft            bool      // outputs exclude each other and sum to 1
	weights         []float64 // outputs × inputs
	bias            []float64
}

// logits returns the log odds (softmax: scores up to a constant) of x.
func (l *logistic) logits(x, out []float64) {
	for o := range l.outputs {
		out[o] = l.bias[o] + dot(l.weights[o*l.inputs:(o+1)*l.inputs], x)
	}
}

// fitSteps is the number of steps of a fit. Common labels have converged by
// then; rare ones stop a little early, which holds them back like a larger
// penalty would. Cross-validation sees no difference between 12 and 50.
const fitSteps = 20

// design is the input of a fit, with what every head over the same examples
// shares.
type design struct {
	n, d    int       // examples; inputs and one more for the bias, last
	rows    []float64 // n × d
	columns []float64 // d × n
	gram    *square   // columns · columnsᵀ, lower triangle
}

// newDesign copies the chosen rows of x (rows × inputs).
func newDesign(x []float64, inputs int, chosen []int) *design {
	g := &design{n: len(chosen), d: inputs + 1}
	g.rows, g.columns, g.gram = make([]float64, g.n*g.d), make([]float64, g.n*g.d), newSquare(g.d)
	for k, i := range chosen {
		r := g.rows[k*g.d : (k+1)*g.d]
		copy(r, x[i*inputs:(i+1)*inputs])
		r[inputs] = 1
		for j, v := range r {
			g.columns[j*g.n+k] = v
		}
	}
	const stripe = 16
	parallel((g.d+stripe-1)/stripe, func(s int) {
		product(g.columns[s*stripe*g.n:min((s+1)*stripe, g.d)*g.n], g.columns[:min((s+1)*stripe, g.d)*g.n], g.n, func(i, j int, v float64) {
			if i += s * stripe; j <= i {
				g.gram.row(i)[j] = v
			}
		})
	})
	return g
}

// product gives the inner products of every row of a with every row of b, both
// of length n.
func product(a, b []float64, n int, set func(i, j int, v float64)) {
	ra, rb := len(a)/n, len(b)/n
	row := func(m []float64, i int) []float64 { return m[i*n : (i+1)*n] }
	i := 0
	for ; i+4 <= ra; i += 4 {
		j := 0
		for ; j+2 <= rb; j += 2 {
			var o [8]float64
			dot42(row(a, i), row(a, i+1), row(a, i+2), row(a, i+3), row(b, j), row(b, j+1), &o)
			for k := range 4 {
				set(i+k, j, o[2*k])
				set(i+k, j+1, o[2*k+1])
			}
		}
		for ; j < rb; j++ {
			for k := range 4 {
				set(i+k, j, dot(row(a, i+k), row(b, j)))
			}
		}
	}
	for ; i < ra; i++ {
		for j := range rb {
			set(i, j, dot(row(a, i), row(b, j)))
		}
	}
}

// fit minimises, for each head, the cross-entropy of its targets plus
// penalty/2 · ‖w‖². y holds n × width targets in [0, 1]; those of a soft head
// sum to 1. It uses a fixed upper bound of the curvature (Böhning 1992) with
// Nesterov's momentum, so that one factorisation serves every step, and no
// step size has to be searched.
func (g *design) fit(y []float64, width int, heads []head, penalty float64) ([]*logistic, error) {
	hold := make([]float64, g.d)
	var bounds [2]*square // 0 independent outputs, 1 soft
	for s, curvature := range []float64{0.25, 0.5} {
		h := newSquare(g.d)
		for j := range g.d {
			for i, v := range g.gram.row(j)[:j+1] {
				h.row(j)[i] = curvature * v
			}
			if hold[j] = penalty; j == g.d-1 {
				hold[j] = 1e-6 // the bias is free
			}
			h.row(j)[j] += hold[j]
		}
		if err := h.cholesky(); err != nil {
			return nil, err
		}
		bounds[s] = h
	}
	// Weights and steps are width × d, so that every product is of rows.
	w, v, step := make([]float64, width*g.d), make([]float64, width*g.d), make([]float64, width*g.d)
	p := make([]float64, width*g.n)
	const stripe = 64
	momentum := 1.0
	for range fitSteps {
		parallel((g.n+stripe-1)/stripe, func(s int) {
			from, to := s*stripe, min((s+1)*stripe, g.n)
			product(g.rows[from*g.d:to*g.d], v, g.d, func(i, o int, z float64) { p[o*g.n+from+i] = z })
		})
		parallel(len(heads), func(k int) {
			h := &heads[k]
			z := make([]float64, len(h.codes))
			for i := range g.n {
				for o := range z {
					z[o] = p[(h.at+o)*g.n+i]
				}
				probabilities(z, h.soft)
				for o := range z {
					p[(h.at+o)*g.n+i] = z[o] - y[i*width+h.at+o]
				}
			}
		})
		const columns = 16
		parallel((g.d+columns-1)/columns, func(s int) {
			from, to := s*columns, min((s+1)*columns, g.d)
			product(g.columns[from*g.n:to*g.n], p, g.n, func(j, o int, z float64) {
				j += from
				step[o*g.d+j] = z + hold[j]*v[o*g.d+j]
			})
		})
		parallel(len(heads), func(k int) {
			h, bound := &heads[k], bounds[0]
			if h.soft {
				bound = bounds[1]
			}
			for o := h.at; o < h.at+len(h.codes); o++ {
				bound.solveOne(step[o*g.d : (o+1)*g.d])
			}
		})
		after := (1 + math.Sqrt(1+4*momentum*momentum)) / 2
		for k := range w {
			next := v[k] - step[k]
			v[k] = next + (momentum-1)/after*(next-w[k])
			w[k] = next
		}
		momentum = after
	}
	out := make([]*logistic, len(heads))
	for k, h := range heads {
		l := &logistic{inputs: g.d - 1, outputs: len(h.codes), soft: h.soft}
		for o := h.at; o < h.at+len(h.codes); o++ {
			l.weights = append(l.weights, w[o*g.d:(o+1)*g.d-1]...)
			l.bias = append(l.bias, w[(o+1)*g.d-1])
		}
		out[k] = l
	}
	return out, nil
}

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// softmax replaces scores by probabilities that sum to 1.
func softmax(z []float64) {
	top := math.Inf(-1)
	for _, x := range z {
		top = max(top, x)
	}
	sum := 0.0
	for i := range z {
		z[i] = math.Exp(z[i] - top)
		sum += z[i]
	}
	for i := range z {
		z[i] /= sum
	}
}
