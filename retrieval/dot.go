package retrieval

import "github.com/qingting-ai/qingting/internal/simd"

// dotI8 fills out[i] with the dot product of query and row i of rows. All
// values lie in −127…127, as the kernels ask.
func dotI8(query, rows []int8, dim int, out []int32) { simd.DotI8(query, rows, dim, out) }
