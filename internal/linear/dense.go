package linear

import (
	"math"

	"github.com/qingting-ai/qingting"
)

// view is one vector a document is summed up as.
type view int

// The views. The customer's come first: they are compared with the customer
// prototypes, the others with the agent prototypes.
const (
	viewWeighted  view = iota // all customer messages, each weighing the square root of its length
	viewMean                  // all customer messages alike
	viewFirst                 // first customer message
	viewLast                  // last customer message
	viewAgentLast             // last agent message
	viewAgentMean             // all agent messages
	numViews
	customerViews = viewAgentLast
)

// viewWeight is the share of each view in the base that reads all of them.
var viewWeight = [numViews]float64{2, 1, 1, 1, 0.5, 0.5}

// sharpness is γ of the kernel exp(γ(cos − 1)) between a view and a prototype.
// Cross-validation: such a kernel between all texts explains 29 % of the
// variance of the types, with 300 prototypes 27 %, a plain linear map of the
// same vector 22 % at best; 2 and 3 differ little, 5 is worse.
const sharpness = 3

// mostPrototypes is how many typical vectors each side has; a small training
// set gets fewer.
const (
	mostPrototypes  = 300
	leastPrototypes = 8
)

func prototypesFor(examples int) int {
	return min(mostPrototypes, max(leastPrototypes, examples/12))
}

// prototypes is how many there are on each side.
func (s *vectorSpace) prototypes() int { return len(s.customer) / s.dim }

// vectorSpace holds the prototypes that vectors are compared with.
type vectorSpace struct {
	dim      int
	mean     []float32 // of all messages; vectors are centred before use
	customer []float32 // of them × dim, length 1 after quantisation
	agent    []float32
}

// views fills out (numViews × dim) with centred unit vectors; a view without
// any message stays zero. It reports whether any customer message has a vector.
func (s *vectorSpace) views(doc *qingting.Document, r *reading, out []float32) bool {
	clear(out)
	at := func(v view) []float32 { return out[int(v)*s.dim : (int(v)+1)*s.dim] }
	found := false
	add := func(v view, x qingting.Vector, w float32) {
		o := at(v)
		for i := range o {
			o[i] += w * (x[i] - s.mean[i])
		}
	}
	for _, m := range r.customers {
		x := doc.Messages[m].Vector
		if len(x) != s.dim {
			continue
		}
		if !found {
			add(viewFirst, x, 1)
		}
		found = true
		n := s.length(x)
		add(viewWeighted, x, float32(math.Sqrt(float64(len(doc.Messages[m].Clean))))/n)
		add(viewMean, x, 1/n)
		clear(at(viewLast))
		add(viewLast, x, 1)
	}
	for _, m := range r.agents {
		x := doc.Messages[m].Vector
		if len(x) != s.dim {
			continue
		}
		add(viewAgentMean, x, 1/s.length(x))
		clear(at(viewAgentLast))
		add(viewAgentLast, x, 1)
	}
	for v := range numViews {
		normalise(at(v))
	}
	return found
}

// length of x after centring.
func (s *vectorSpace) length(x qingting.Vector) float32 {
	d := float32(0)
	for i, v := range x {
		v -= s.mean[i]
		d += v * v
	}
	return max(float32(math.Sqrt(float64(d))), 1e-6)
}

func normalise(x []float32) {
	d := 0.0
	for _, v := range x {
		d += float64(v) * float64(v)
	}
	if d == 0 {
		return
	}
	inv := float32(1 / math.Sqrt(d))
	for i := range x {
		x[i] *= inv
	}
}

// compare fills out (one value a prototype) with the kernel between x and each
// prototype; zeros for a zero vector.
func compare(x, protos []float32, out []float64) {
	dim := len(x)
	zero := true
	for _, v := range x {
		if v != 0 {
			zero = false
			break
		}
	}
	if zero {
		clear(out)
		return
	}
	for p := range out {
		out[p] = math.Exp(sharpness * (float64(dot(x, protos[p*dim:(p+1)*dim])) - 1))
	}
}

// phi fills out (numViews × their number) with the kernel features of the views.
func (s *vectorSpace) phi(views []float32, out []float64) {
	for v := range numViews {
		protos := s.customer
		if v >= customerViews {
			protos = s.agent
		}
		n := len(protos) / s.dim
		compare(views[int(v)*s.dim:(int(v)+1)*s.dim], protos, out[int(v)*n:(int(v)+1)*n])
	}
}

// kmeans finds k typical directions among unit vectors (rows of dim). It
// starts from rows spread evenly over the list and is deterministic. Fewer
// rows than k are returned as they are, repeated.
func kmeans(rows []float32, dim, k int) []float32 {
	n := len(rows) / dim
	out := make([]float32, k*dim)
	if n == 0 {
		return out
	}
	for p := range k {
		i := p * n / k
		copy(out[p*dim:(p+1)*dim], rows[i*dim:(i+1)*dim])
	}
	nearest := make([]int, n)
	for range kmeansSteps {
		parallel(n, func(i int) {
			best := float32(math.Inf(-1))
			for p := range k {
				if d := dot(rows[i*dim:(i+1)*dim], out[p*dim:(p+1)*dim]); d > best {
					best, nearest[i] = d, p
				}
			}
		})
		sums := make([]float32, k*dim)
		for i, p := range nearest {
			s := sums[p*dim : (p+1)*dim]
			for j, v := range rows[i*dim : (i+1)*dim] {
				s[j] += v
			}
		}
		for p := range k {
			s := sums[p*dim : (p+1)*dim]
			normalise(s)
			if dot(s, s) > 0 { // an empty cluster keeps its centre
				copy(out[p*dim:(p+1)*dim], s)
			}
		}
	}
	return out
}

const kmeansSteps = 6

// quantise8 rounds each row of unit vectors to int8 steps of its largest
// element and back, so that training sees exactly what the weights file keeps.
func quantise8(rows []float32, dim int) (q []int8, scale []float32) {
	n := len(rows) / dim
	q, scale = make([]int8, len(rows)), make([]float32, n)
	for i := range n {
		row := rows[i*dim : (i+1)*dim]
		top := float32(0)
		for _, v := range row {
			top = max(top, v, -v)
		}
		if top == 0 {
			continue
		}
		scale[i] = top / 127
		for j, v := range row {
			q[i*dim+j] = int8(math.RoundToEven(float64(v / scale[i])))
		}
	}
	return q, scale
}

func dequantise8(q []int8, scale []float32, dim int) []float32 {
	out := make([]float32, len(q))
	for i, v := range q {
		out[i] = float32(v) * scale[i/dim]
	}
	return out
}
