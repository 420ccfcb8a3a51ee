package linear

import (
	"math"
	"slices"
)

// line is a calibration of log odds: a·z + b with a > 0, so that it never
// changes an order.
type line struct{ a, b float64 }

const (
	// fewPositives is the number of examples below which a label keeps the
	// uncalibrated slope: a line through so few says nothing.
	fewPositives = 15
	// leastSlope keeps a calibration from flattening or turning a label over.
	leastSlope = 0.2
)

// platt fits the line that makes sigmoid(a·z + b) most likely, with Platt's
// smoothed targets, by Newton's method.
func platt(z, y []float64) line {
	positive := 0.0
	for _, v := range y {
		positive += v
	}
	n := float64(len(y))
	if positive < fewPositives || n-positive < fewPositives {
		return line{1, 0}
	}
	hi, lo := (positive+1)/(positive+2), 1/(n-positive+2)
	target := make([]float64, len(y))
	for i := range y {
		target[i] = lo + y[i]*(hi-lo)
	}
	loss := func(l line) float64 {
		sum := 0.0
		for i, x := range z {
			v := l.a*x + l.b
			// log(1 + eᵛ) − t·v, without overflow.
			sum += max(v, 0) + math.Log1p(math.Exp(-math.Abs(v))) - target[i]*v
		}
		return sum
	}
	l := line{1, 0}
	now := loss(l)
	for range 50 {
		var ga, gb, haa, hab, hbb float64
		for i, x := range z {
			p := sigmoid(l.a*x + l.b)
			e, w := p-target[i], p*(1-p)
			ga += e * x
			gb += e
			haa += w * x * x
			hab += w * x
			hbb += w
		}
		haa += 1e-6
		hbb += 1e-6
		det := haa*hbb - hab*hab
		if det <= 1e-12 {
			break
		}
		da, db := (hbb*ga-hab*gb)/det, (haa*gb-hab*ga)/det
		// A whole step may overshoot where most probabilities are 0 or 1.
		size, better := 1.0, false
		for range 30 {
			next := line{l.a - size*da, l.b - size*db}
			if v := loss(next); v < now {
				l, now, better = next, v, now-v > 1e-9*now
				break
			}
			size /= 2
		}
		if !better {
			break
		}
	}
	if !(l.a >= leastSlope) || math.IsNaN(l.b) || math.IsInf(l.a+l.b, 0) {
		return line{1, 0}
	}
	return l
}

// temperature returns the factor for scores z (n × k) that makes the targets y
// most likely, by golden-section search over its logarithm.
func temperature(z, y []float64, k int) float64 {
	loss := func(t float64) float64 {
		sum := 0.0
		p := make([]float64, k)
		for i := 0; i < len(z); i += k {
			for j := range k {
				p[j] = z[i+j] * t
			}
			softmax(p)
			for j := range k {
				if y[i+j] > 0 {
					sum -= y[i+j] * math.Log(max(p[j], 1e-12))
				}
			}
		}
		return sum
	}
	const golden = 0.6180339887498949
	a, b := math.Log(leastSlope), math.Log(5)
	c, d := b-golden*(b-a), a+golden*(b-a)
	fc, fd := loss(math.Exp(c)), loss(math.Exp(d))
	for range 40 {
		if fc < fd {
			b, d, fd = d, c, fc
			c = b - golden*(b-a)
			fc = loss(math.Exp(c))
		} else {
			a, c, fc = c, d, fd
			d = a + golden*(b-a)
			fd = loss(math.Exp(d))
		}
	}
	return math.Exp((a + b) / 2)
}

// cutGrid are the thresholds tried.
func cutGrid() []float64 {
	var out []float64
	for c := 0.08; c < 0.705; c += 0.01 {
		out = append(out, math.Round(c*100)/100)
	}
	return out
}

// chooseCuts returns a threshold a label (k of them) that together maximise
// micro-F1 of p against y (both n × k). A rare label keeps the threshold that
// is best for all; the others are drawn towards it, because a threshold fitted
// to a few dozen examples is mostly noise.
func chooseCuts(p, y []float64, k int) []float64 {
	grid := cutGrid()
	n := len(p) / k
	// tp and given count, for each label and threshold.
	tp, given := make([][]float64, k), make([][]float64, k)
	gold := make([]float64, k)
	for j := range k {
		tp[j], given[j] = make([]float64, len(grid)), make([]float64, len(grid))
		for i := range n {
			gold[j] += y[i*k+j]
			for g, c := range grid {
				if p[i*k+j] >= c {
					given[j][g]++
					tp[j][g] += y[i*k+j]
				}
			}
		}
	}
	total := sum(gold)
	all, best := 0, -1.0
	for g := range grid {
		t, m := 0.0, 0.0
		for j := range k {
			t += tp[j][g]
			m += given[j][g]
		}
		if f := 2 * t / max(total+m, 1); f > best {
			all, best = g, f
		}
	}
	at := slices.Repeat([]int{all}, k)
	for range 4 {
		for j := range k {
			if gold[j] < fewPositives {
				continue
			}
			t, m := 0.0, 0.0
			for o := range k {
				if o != j {
					t += tp[o][at[o]]
					m += given[o][at[o]]
				}
			}
			top := -1.0
			for g := range grid {
				f := 2 * (t + tp[j][g]) / max(total+m+given[j][g], 1)
				f -= 1e-4 * math.Abs(grid[g]-grid[all])
				if f > top {
					top, at[j] = f, g
				}
			}
		}
	}
	out := make([]float64, k)
	for j := range k {
		share := gold[j] / (gold[j] + 60)
		out[j] = grid[all] + share*(grid[at[j]]-grid[all])
	}
	return out
}

func sum(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s
}
