//go:build cgo && (amd64 || arm64)

// One file for all processors: each function is compiled for its instruction
// set by an attribute, and a function that the processor lacks is never called.
// -DQT_EMULATE builds the AVX512-VNNI kernel with SIMDe in place of the
// processor, so that it is tested on machines without it (emulate.sh).

#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wpsabi"

typedef float v8 __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef int8_t v8b __attribute__((vector_size(8)));
typedef float v8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t v8iu __attribute__((vector_size(32), aligned(4), may_alias));
typedef int8_t v8bu __attribute__((vector_size(8), aligned(1), may_alias));

#define LOAD8(p) ((v8) * (const v8u *)(p))
#define STORE8(p, v) (*(v8u *)(p) = (v8u)(v))
#define SET8(x) ((v8){x, x, x, x, x, x, x, x})

// Portable C: for processors without any of the sets below.

static void matmul_c(const int8_t *a, int m, const int8_t *w, const int32_t *sum, int n, int k, int32_t *out) {
	(void)sum;
	for (int block = 0; block < n / 16; block++, w += 16 * (int64_t)k)
		for (int r = 0; r < m; r++) {
			const int8_t *x = a + (int64_t)r * k;
			int32_t acc[16] = {0};
			for (int g = 0; g < k / 4; g++)
				for (int c = 0; c < 16; c++) {
					const int8_t *p = w + (int64_t)g * 64 + c * 4;
					acc[c] += x[g * 4] * p[0] + x[g * 4 + 1] * p[1] + x[g * 4 + 2] * p[2] + x[g * 4 + 3] * p[3];
				}
			memcpy(out + (int64_t)r * n + block * 16, acc, sizeof acc);
		}
}

static int32_t dot_tail(const int8_t *q, const int8_t *row, int from, int dim) {
	int32_t sum = 0;
	for (int i = from; i < dim; i++) sum += q[i] * row[i];
	return sum;
}

static void dot_c(const int8_t *query, const int8_t *rows, int dim, int count, int32_t *out) {
	for (int i = 0; i < count; i++) out[i] = dot_tail(query, rows + (int64_t)i * dim, 0, dim);
}

#define FN(name) name##_c
#define TARGET
#include "float.h"
#undef FN
#undef TARGET

// EACH_ROW passes over all rows with tiles of at most MOST rows (6 or 8), each
// of them a constant to the compiler. The callers' outer loop is over blocks of
// columns, so that a panel of weights stays in the cache meanwhile.
#define EACH_ROW(TILE, MOST)                             \
	for (int r = 0, rows; r < m; r += rows) {            \
		rows = m - r < MOST ? m - r : MOST;              \
		switch (rows) {                                  \
		case 1: TILE(1); break;                          \
		case 2: TILE(2); break;                          \
		case 3: TILE(3); break;                          \
		case 4: TILE(4); break;                          \
		case 5: TILE(5); break;                          \
		case 6: TILE(6); break;                          \
		case 7: TILE(MOST < 7 ? MOST : 7); break;        \
		case 8: TILE(MOST); break;                       \
		}                                                \
	}

#if defined(__x86_64__)

#if defined(QT_EMULATE)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#define KEEP(v)
#define TARGET_AVX2
#define TARGET_AVX512
#else
#include <immintrin.h>
// KEEP stops the compiler from loading all rows of a tile first, which leaves no
// registers for the sums.
#define KEEP(v) __asm__("" : "+v"(v))
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#define TARGET_AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")))
#endif

// AVX2 without VNNI. Bytes are widened to 16 bits, where vpmaddwd adds two
// exact products into 32 bits: as fast here as vpmaddubsw on bytes, which
// saturates at 16 bits, and it needs no second step.
//
// A tile is R rows by 8 columns. Its rows lie in memory as [k/4][R][4], so that
// one pointer walks through them. A 64-bit broadcast holds four inputs of a
// row, so each sum holds two halves for four columns, added at the end.
//
__attribute__((always_inline)) TARGET_AVX2 static inline void tile_avx2(const int R, const int16_t *a, const int8_t *w, int n,
                                                                        int k, int32_t *out) {
	__m256i acc[6][2];
	for (int r = 0; r < R; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
	for (int g = 0; g < k / 4; g++, w += 64, a += 4 * R) {
		__m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w));
		__m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 16)));
		for (int r = 0; r < R; r++) {
			int64_t four;
			memcpy(&four, a + 4 * r, 8);
			__m256i x = _mm256_set1_epi64x(four);
			acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(x, w0));
			acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(x, w1));
			KEEP(acc[r][0]);
			KEEP(acc[r][1]);
		}
	}
	for (int r = 0; r < R; r++) {
		__m256i sum = _mm256_permute4x64_epi64(_mm256_hadd_epi32(acc[r][0], acc[r][1]), 0xD8);
		_mm256_storeu_si256((__m256i *)(out + (int64_t)r * n), sum);
	}
}

TARGET_AVX2 static void matmul_avx2(const int8_t *a, int m, const int8_t *w, const int32_t *sum, int n, int k, int32_t *out) {
	int16_t *wide = malloc((size_t)m * k * 2);
	if (!wide) {
		matmul_c(a, m, w, sum, n, k, out);
		return;
	}
	int16_t *to = wide;
	for (int r = 0; r < m; r += 6)
		for (int g = 0; g < k; g += 4)
			for (int i = r; i < m && i < r + 6; i++, to += 4) {
				int32_t four;
				memcpy(&four, a + (int64_t)i * k + g, 4);
				_mm_storel_epi64((__m128i *)to, _mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
			}
	for (int block = 0; block < n / 16; block++, w += 16 * (int64_t)k)
		for (int half = 0; half < 2; half++) {
#define TILE(R) tile_avx2(R, wide + (int64_t)r * k, w + half * 32, n, k, out + (int64_t)r * n + block * 16 + half * 8)
			EACH_ROW(TILE, 6)
#undef TILE
		}
	free(wide);
}

// |q|·(row with the sign of q) fits vpmaddubsw without saturation, because no
// value is −128: 2·127² < 2^15.
TARGET_AVX2 static inline __m256i step_avx2(__m256i acc, __m256i q, __m256i magnitude, const int8_t *row) {
	__m256i x = _mm256_sign_epi8(_mm256_loadu_si256((const __m256i *)row), q);
	return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, x), _mm256_set1_epi16(1)));
}

TARGET_AVX2 static inline int32_t total_avx2(__m256i v) {
	__m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
	return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1)));
}

// Rows come from memory, not from a cache, so the next four are asked for
// early: that doubles the speed of a scan of 50 MB.
TARGET_AVX2 static void dot_avx2(const int8_t *query, const int8_t *rows, int dim, int count, int32_t *out) {
	const int whole = dim / 32 * 32;
	int i = 0;
	for (; i + 4 <= count; i += 4, rows += 4 * (int64_t)dim) {
		__m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
		for (int j = 0; j < whole; j += 32) {
			__m256i q = _mm256_loadu_si256((const __m256i *)(query + j)), magnitude = _mm256_abs_epi8(q);
			const char *next = (const char *)rows + 4 * (int64_t)dim + 4 * j;
			_mm_prefetch(next, _MM_HINT_T0);
			_mm_prefetch(next + 64, _MM_HINT_T0);
			a = step_avx2(a, q, magnitude, rows + j);
			b = step_avx2(b, q, magnitude, rows + dim + j);
			c = step_avx2(c, q, magnitude, rows + 2 * (int64_t)dim + j);
			d = step_avx2(d, q, magnitude, rows + 3 * (int64_t)dim + j);
		}
		out[i] = total_avx2(a) + dot_tail(query, rows, whole, dim);
		out[i + 1] = total_avx2(b) + dot_tail(query, rows + dim, whole, dim);
		out[i + 2] = total_avx2(c) + dot_tail(query, rows + 2 * (int64_t)dim, whole, dim);
		out[i + 3] = total_avx2(d) + dot_tail(query, rows + 3 * (int64_t)dim, whole, dim);
	}
	for (; i < count; i++, rows += dim) {
		__m256i a = _mm256_setzero_si256();
		for (int j = 0; j < whole; j += 32) {
			__m256i q = _mm256_loadu_si256((const __m256i *)(query + j));
			a = step_avx2(a, q, _mm256_abs_epi8(q), rows + j);
		}
		out[i] = total_avx2(a) + dot_tail(query, rows, whole, dim);
	}
}

// AVX512-VNNI. vpdpbusd multiplies unsigned by signed bytes, so activations
// get 128 added, which adds 128 times the sum of the weights to the result.
//
// A tile is R rows, interleaved as above, by B blocks of 16 columns.
__attribute__((always_inline)) TARGET_AVX512 static inline void tile_avx512(const int R, const int B, const uint8_t *a,
                                                                            const int8_t *w, const int32_t *sum, int n, int k,
                                                                            int32_t *out) {
	__m512i acc[8][2];
	for (int r = 0; r < R; r++)
		for (int b = 0; b < B; b++) acc[r][b] = _mm512_setzero_si512();
	for (int g = 0; g < k / 4; g++, w += 64, a += 4 * R) {
		__m512i w0 = _mm512_loadu_si512(w), w1 = w0;
		if (B == 2) w1 = _mm512_loadu_si512(w + 16 * (int64_t)k);
		for (int r = 0; r < R; r++) {
			int32_t four;
			memcpy(&four, a + 4 * r, 4);
			__m512i x = _mm512_set1_epi32(four);
			acc[r][0] = _mm512_dpbusd_epi32(acc[r][0], x, w0);
			KEEP(acc[r][0]);
			if (B == 2) {
				acc[r][1] = _mm512_dpbusd_epi32(acc[r][1], x, w1);
				KEEP(acc[r][1]);
			}
		}
	}
	for (int b = 0; b < B; b++) {
		__m512i offset = _mm512_slli_epi32(_mm512_loadu_si512(sum + b * 16), 7);
		for (int r = 0; r < R; r++)
			_mm512_storeu_si512(out + (int64_t)r * n + b * 16, _mm512_sub_epi32(acc[r][b], offset));
	}
}

TARGET_AVX512 static void matmul_avx512(const int8_t *a, int m, const int8_t *w, const int32_t *sum, int n, int k, int32_t *out) {
	uint8_t *shifted = malloc((size_t)m * k);
	if (!shifted) {
		matmul_c(a, m, w, sum, n, k, out);
		return;
	}
	uint8_t *to = shifted;
	for (int r = 0; r < m; r += 8)
		for (int g = 0; g < k; g += 4)
			for (int i = r; i < m && i < r + 8; i++, to += 4) {
				uint32_t four;
				memcpy(&four, a + (int64_t)i * k + g, 4);
				four ^= 0x80808080;
				memcpy(to, &four, 4);
			}
	int block = 0;
	for (; block + 2 <= n / 16; block += 2, w += 32 * (int64_t)k) {
#define TILE(R) tile_avx512(R, 2, shifted + (int64_t)r * k, w, sum + block * 16, n, k, out + (int64_t)r * n + block * 16)
		EACH_ROW(TILE, 8)
#undef TILE
	}
	for (; block < n / 16; block++, w += 16 * (int64_t)k) {
#define TILE(R) tile_avx512(R, 1, shifted + (int64_t)r * k, w, sum + block * 16, n, k, out + (int64_t)r * n + block * 16)
		EACH_ROW(TILE, 8)
#undef TILE
	}
	free(shifted);
}

// Rows are read as unsigned by flipping their top bit; the query's own sum
// undoes it.
TARGET_AVX512 static void dot_avx512(const int8_t *query, const int8_t *rows, int dim, int count, int32_t *out) {
	const int whole = dim / 64 * 64;
	const __m512i flip = _mm512_set1_epi8((char)0x80);
	int32_t offset = 0;
	for (int j = 0; j < whole; j++) offset += query[j];
	offset *= 128;
	for (int i = 0; i < count; i++, rows += dim) {
		__m512i a = _mm512_setzero_si512(), b = a;
		int j = 0;
		for (; j + 128 <= whole; j += 128) {
			a = _mm512_dpbusd_epi32(a, _mm512_xor_si512(_mm512_loadu_si512(rows + j), flip), _mm512_loadu_si512(query + j));
			b = _mm512_dpbusd_epi32(b, _mm512_xor_si512(_mm512_loadu_si512(rows + j + 64), flip),
			                        _mm512_loadu_si512(query + j + 64));
		}
		if (j < whole)
			a = _mm512_dpbusd_epi32(a, _mm512_xor_si512(_mm512_loadu_si512(rows + j), flip), _mm512_loadu_si512(query + j));
		a = _mm512_add_epi32(a, b);
		__m256i sum = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
		out[i] = total_avx2(sum) - offset + dot_tail(query, rows, whole, dim);
	}
}

#define FN(name) name##_avx2
#define TARGET TARGET_AVX2
#include "float.h"
#undef FN
#undef TARGET

#endif // __x86_64__

#if defined(__aarch64__)

#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#define TARGET_DOT __attribute__((target("arch=armv8.2-a+dotprod")))

// NEON with the dot product of ARMv8.2: four inputs of four columns at once.
__attribute__((always_inline)) TARGET_DOT static inline void tile_neondot(const int R, const int8_t *a, const int8_t *w, int n,
                                                                          int k, int32_t *out) {
	int32x4_t acc[6][4];
	for (int r = 0; r < R; r++)
		for (int c = 0; c < 4; c++) acc[r][c] = vdupq_n_s32(0);
	for (int g = 0; g < k / 4; g++, w += 64) {
		int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 32), w3 = vld1q_s8(w + 48);
		for (int r = 0; r < R; r++) {
			int32_t four;
			memcpy(&four, a + (int64_t)r * k + g * 4, 4);
			int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four));
			acc[r][0] = vdotq_s32(acc[r][0], w0, x);
			acc[r][1] = vdotq_s32(acc[r][1], w1, x);
			acc[r][2] = vdotq_s32(acc[r][2], w2, x);
			acc[r][3] = vdotq_s32(acc[r][3], w3, x);
		}
	}
	for (int r = 0; r < R; r++)
		for (int c = 0; c < 4; c++) vst1q_s32(out + (int64_t)r * n + c * 4, acc[r][c]);
}

TARGET_DOT static void matmul_neondot(const int8_t *a, int m, const int8_t *w, const int32_t *sum, int n, int k, int32_t *out) {
	(void)sum;
	for (int block = 0; block < n / 16; block++, w += 16 * (int64_t)k) {
#define TILE(R) tile_neondot(R, a + (int64_t)r * k, w, n, k, out + (int64_t)r * n + block * 16)
		EACH_ROW(TILE, 6)
#undef TILE
	}
}

TARGET_DOT static void dot_neondot(const int8_t *query, const int8_t *rows, int dim, int count, int32_t *out) {
	const int whole = dim / 32 * 32;
	for (int i = 0; i < count; i++, rows += dim) {
		int32x4_t a = vdupq_n_s32(0), b = a;
		for (int j = 0; j < whole; j += 32) {
			a = vdotq_s32(a, vld1q_s8(rows + j), vld1q_s8(query + j));
			b = vdotq_s32(b, vld1q_s8(rows + j + 16), vld1q_s8(query + j + 16));
		}
		out[i] = vaddvq_s32(vaddq_s32(a, b)) + dot_tail(query, rows, whole, dim);
	}
}

// NEON of every 64-bit ARM: exact 16-bit products, added in pairs to 32 bits.
// Each accumulator holds two halves for two columns.
__attribute__((always_inline)) static inline void tile_neon(const int R, const int8_t *a, const int8_t *w, int n, int k,
                                                            int32_t *out) {
	int32x4_t acc[2][8];
	for (int r = 0; r < R; r++)
		for (int c = 0; c < 8; c++) acc[r][c] = vdupq_n_s32(0);
	for (int g = 0; g < k / 4; g++, w += 64)
		for (int r = 0; r < R; r++) {
			int32_t four;
			memcpy(&four, a + (int64_t)r * k + g * 4, 4);
			int8x8_t x = vreinterpret_s8_s32(vdup_n_s32(four));
			for (int c = 0; c < 8; c++) acc[r][c] = vpadalq_s16(acc[r][c], vmull_s8(vld1_s8(w + c * 8), x));
		}
	for (int r = 0; r < R; r++)
		for (int c = 0; c < 4; c++) vst1q_s32(out + (int64_t)r * n + c * 4, vpaddq_s32(acc[r][2 * c], acc[r][2 * c + 1]));
}

static void matmul_neon(const int8_t *a, int m, const int8_t *w, const int32_t *sum, int n, int k, int32_t *out) {
	(void)sum;
	for (int block = 0; block < n / 16; block++, w += 16 * (int64_t)k) {
		int r = 0;
		for (; r + 2 <= m; r += 2) tile_neon(2, a + (int64_t)r * k, w, n, k, out + (int64_t)r * n + block * 16);
		if (r < m) tile_neon(1, a + (int64_t)r * k, w, n, k, out + (int64_t)r * n + block * 16);
	}
}

static void dot_neon(const int8_t *query, const int8_t *rows, int dim, int count, int32_t *out) {
	const int whole = dim / 16 * 16;
	for (int i = 0; i < count; i++, rows += dim) {
		int32x4_t a = vdupq_n_s32(0), b = a;
		for (int j = 0; j < whole; j += 16) {
			a = vpadalq_s16(a, vmull_s8(vld1_s8(rows + j), vld1_s8(query + j)));
			b = vpadalq_s16(b, vmull_s8(vld1_s8(rows + j + 8), vld1_s8(query + j + 8)));
		}
		out[i] = vaddvq_s32(vaddq_s32(a, b)) + dot_tail(query, rows, whole, dim);
	}
}

#endif // __aarch64__

int qt_has(int kernel) {
	switch (kernel) {
	case QT_C:
		return 1;
#if defined(__x86_64__)
#if defined(QT_EMULATE)
	case QT_AVX512VNNI:
	case QT_AVX2:
		return 1;
#else
	case QT_AVX512VNNI:
		return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
	case QT_AVX2:
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#endif
#if defined(__aarch64__)
	case QT_NEON:
		return 1;
	case QT_NEONDOT:
#if defined(__linux__)
		return (getauxval(AT_HWCAP) >> 20 & 1) != 0; // HWCAP_ASIMDDP
#elif defined(__APPLE__)
		return 1;
#endif
#endif
	default:
		return 0;
	}
}

void qt_matmul(int kernel, const int8_t *a, int m, const int8_t *w, const int32_t *sum, int n, int k, int32_t *out) {
	switch (kernel) {
#if defined(__x86_64__)
	case QT_AVX512VNNI: matmul_avx512(a, m, w, sum, n, k, out); return;
	case QT_AVX2: matmul_avx2(a, m, w, sum, n, k, out); return;
#endif
#if defined(__aarch64__)
	case QT_NEONDOT: matmul_neondot(a, m, w, sum, n, k, out); return;
	case QT_NEON: matmul_neon(a, m, w, sum, n, k, out); return;
#endif
	default: matmul_c(a, m, w, sum, n, k, out);
	}
}

void qt_dot(int kernel, const int8_t *query, const int8_t *rows, int dim, int count, int32_t *out) {
	switch (kernel) {
#if defined(__x86_64__)
	case QT_AVX512VNNI: dot_avx512(query, rows, dim, count, out); return;
	case QT_AVX2: dot_avx2(query, rows, dim, count, out); return;
#endif
#if defined(__aarch64__)
	case QT_NEONDOT: dot_neondot(query, rows, dim, count, out); return;
	case QT_NEON: dot_neon(query, rows, dim, count, out); return;
#endif
	default: dot_c(query, rows, dim, count, out);
	}
}

// These operations differ by the width of their vectors only: AVX2, or
// what the compiler may use on every processor (SSE2, NEON).
#if defined(__x86_64__)
#define BY_WIDTH(name, ...)                                 \
	if (kernel == QT_AVX2 || kernel == QT_AVX512VNNI)       \
		name##_avx2(__VA_ARGS__);                           \
	else                                                    \
		name##_c(__VA_ARGS__)
#else
#define BY_WIDTH(name, ...) (void)kernel, name##_c(__VA_ARGS__)
#endif

void qt_quantize(int kernel, const float *x, const float *by, int rows, int cols, int8_t *q, float *scale) {
	BY_WIDTH(quantize, x, by, rows, cols, q, scale);
}

void qt_dequantize(int kernel, const int32_t *acc, int rows, int cols, const float *row_scale, const float *col_scale,
                   const float *bias, float *out) {
	BY_WIDTH(dequantize, acc, rows, cols, row_scale, col_scale, bias, out);
}

void qt_gelu(int kernel, float *x, int count) { BY_WIDTH(gelu, x, count); }

void qt_add_norm(int kernel, float *x, const float *add, int rows, int cols, const float *gamma, const float *beta, float eps) {
	BY_WIDTH(add_norm, x, add, rows, cols, gamma, beta, eps);
}

void qt_attention(int kernel, const float *qkv, int tokens, int queries, int heads, int head_dim, float *out, float *scratch) {
	BY_WIDTH(attention, qkv, tokens, queries, heads, head_dim, out, scratch);
}

void qt_add_rows(int kernel, const int8_t *rows, const int32_t *index, const int32_t *times, int count, int32_t *sum, int width) {
	BY_WIDTH(add_rows, rows, index, times, count, sum, width);
}
