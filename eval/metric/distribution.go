package metric

import (
	"fmt"
	"math"
)

// NMD is the normalised match distance of two distributions over the same L ≥ 2
// ordered bins: Σ|cp(i) − cq(i)| / (L−1) with cumulative p and q, the earth
// mover's distance in [0, 1]. Both are normalised to sum 1 first, so vote counts
// will do. Source: Sakai, "Comparing Two Binned Probability Distributions for
// Information Access Evaluation", SIGIR 2018, as in NTCIR STC-3 and DialEval.
func NMD(p, q []float64) (float64, error) {
	p, q, err := distributions(p, q)
	if err != nil {
		return math.NaN(), err
	}
	cp, cq, sum := 0.0, 0.0, 0.0
	for i := range p {
		cp += p[i]
		cq += q[i]
		sum += math.Abs(cp - cq)
	}
	return sum / float64(len(p)-1), nil
}

// RSNOD is the root symmetric normalised order-aware divergence of two
// distributions over the same L ≥ 2 ordered bins, in [0, 1]; source as for NMD.
//
//	DW(i)   = Σ_j |i−j| (p(j) − q(j))²
//	OD(p‖q) = mean of DW(i) over the bins i with q(i) > 0
//	RSNOD   = √( (OD(p‖q) + OD(q‖p)) / 2 / (L−1) )
func RSNOD(p, q []float64) (float64, error) {
	p, q, err := distributions(p, q)
	if err != nil {
		return math.NaN(), err
	}
	divergence := func(of []float64) float64 {
		sum, bins := 0.0, 0
		for i := range of {
			if of[i] <= 0 {
				continue
			}
			bins++
			for j := range p {
				d := p[j] - q[j]
				sum += math.Abs(float64(i-j)) * d * d
			}
		}
		return sum / float64(bins)
	}
	return math.Sqrt((divergence(p) + divergence(q)) / 2 / float64(len(p)-1)), nil
}

// distributions checks and normalises both.
func distributions(p, q []float64) (np, nq []float64, err error) {
	if len(p) != len(q) || len(p) < 2 {
		return nil, nil, fmt.Errorf("两个分布要有同样多的等级，且至少两个：一个 %d 级，另一个 %d 级", len(p), len(q))
	}
	normalised := func(x []float64) ([]float64, error) {
		sum := 0.0
		for i, v := range x {
			if !(v >= 0) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("分布的第 %d 级是 %v；概率或票数必须是非负的有限数", i+1, v)
			}
			sum += v
		}
		if sum == 0 || math.IsInf(sum, 0) {
			return nil, fmt.Errorf("分布各级之和是 %v，无法归一化；请检查标注票数", sum)
		}
		out := make([]float64, len(x))
		for i, v := range x {
			out[i] = v / sum
		}
		return out, nil
	}
	if np, err = normalised(p); err != nil {
		return nil, nil, err
	}
	if nq, err = normalised(q); err != nil {
		return nil, nil, err
	}
	return np, nq, nil
}
