// The C kernels of package simd. See simd.go for what each operation does;
// sizes have been checked there. A kernel is named by its number.
#ifndef QT_KERNELS_H
#define QT_KERNELS_H

#include <stdint.h>

enum { QT_AVX512VNNI, QT_AVX2, QT_NEONDOT, QT_NEON, QT_C, QT_KERNELS };

// qt_has says whether this processor and system run the kernel.
int qt_has(int kernel);

void qt_matmul(int kernel, const int8_t *a, int m, const int8_t *w, const int32_t *sum, int n, int k, int32_t *out);
void qt_dot(int kernel, const int8_t *query, const int8_t *rows, int dim, int count, int32_t *out);
void qt_quantize(int kernel, const float *x, const float *by, int rows, int cols, int8_t *q, float *scale);
void qt_dequantize(int kernel, const int32_t *acc, int rows, int cols, const float *row_scale, const float *col_scale,
                   const float *bias, float *out);
void qt_gelu(int kernel, float *x, int count);
void qt_add_norm(int kernel, float *x, const float *add, int rows, int cols, const float *gamma, const float *beta, float eps);
void qt_attention(int kernel, const float *qkv, int tokens, int queries, int heads, int head_dim, float *out, float *scratch);
void qt_add_rows(int kernel, const int8_t *rows, const int32_t *index, const int32_t *times, int count, int32_t *sum, int width);

#endif
