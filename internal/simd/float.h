// The operations written once with vectors of eight and compiled for each
// instruction set, float32 all but the last: kernels.c defines FN(name) and TARGET and includes
// this file again and again. No include guard, on purpose.

// exp for x ≤ 0, to about 1e-7 (coefficients of Cephes expf).
TARGET static inline void FN(exp8)(v8 *px) {
	v8 x = *px;
	const v8 low = SET8(-87.0f), magic = SET8(12582912.0f);
	v8i under = x < low;
	x = (v8)((under & (v8i)low) | (~under & (v8i)x));
	v8 shifted = x * 1.44269504088896341f + magic; // the integer lies in the low bits
	v8 n = shifted - magic;
	v8 r = x - n * 0.693359375f + n * 2.12194440e-4f;
	v8 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * (r * r) + r + 1.0f;
	*px = (v8)((v8i)p + ((v8i)shifted << 23));
}

TARGET static inline float FN(sum8)(const v8 *v) {
	return (((*v)[0] + (*v)[1]) + ((*v)[2] + (*v)[3])) + (((*v)[4] + (*v)[5]) + ((*v)[6] + (*v)[7]));
}

TARGET static inline float FN(max8)(const v8 *v) {
	float m = (*v)[0];
	for (int i = 1; i < 8; i++) m = (*v)[i] > m ? (*v)[i] : m;
	return m;
}

TARGET static void FN(quantize)(const float *x, const float *by, int rows, int cols, int8_t *q, float *scale) {
	for (int r = 0; r < rows; r++, x += cols, q += cols) {
		v8 most = SET8(0.0f);
		for (int i = 0; i < cols; i += 8) {
			v8 v = (v8)((v8i)(LOAD8(x + i) * LOAD8(by + i)) & 0x7fffffff);
			v8i more = v > most;
			most = (v8)((more & (v8i)v) | (~more & (v8i)most));
		}
		float largest = FN(max8)(&most);
		scale[r] = largest / 127;
		float inverse = largest > 0 ? 127 / largest : 0;
		for (int i = 0; i < cols; i += 8) {
			// Adding 1.5·2^23 leaves the value, rounded to even, in the low byte.
			v8i bits = (v8i)(LOAD8(x + i) * LOAD8(by + i) * inverse + 12582912.0f);
			*(v8bu *)(q + i) = __builtin_convertvector(bits, v8b);
		}
	}
}

TARGET static void FN(dequantize)(const int32_t *acc, int rows, int cols, const float *row_scale, const float *col_scale,
                                  const float *bias, float *out) {
	for (int r = 0; r < rows; r++, acc += cols, out += cols)
		for (int i = 0; i < cols; i += 8) {
			v8 v = __builtin_convertvector(*(const v8iu *)(acc + i), v8);
			STORE8(out + i, v * (LOAD8(col_scale + i) * row_scale[r]) + LOAD8(bias + i));
		}
}

// x·Φ(x) with erf by formula 7.1.26 of Abramowitz and Stegun (error 1.5e-7).
TARGET static void FN(gelu)(float *x, int count) {
	for (int i = 0; i < count; i += 8) {
		v8 v = LOAD8(x + i);
		v8i sign = (v8i)v & (int)0x80000000;
		v8 a = (v8)((v8i)v & 0x7fffffff) * 0.70710678118654752f;
		v8 t = 1.0f / (a * 0.3275911f + 1.0f);
		v8 e = -(a * a);
		FN(exp8)(&e);
		v8 p = t * 1.061405429f - 1.453152027f;
		p = p * t + 1.421413741f;
		p = p * t - 0.284496736f;
		p = p * t + 0.254829592f;
		v8 erf = 1.0f - p * t * e;
		STORE8(x + i, v * 0.5f * (1.0f + (v8)((v8i)erf ^ sign)));
	}
}

TARGET static void FN(add_norm)(float *x, const float *add, int rows, int cols, const float *gamma, const float *beta, float eps) {
	for (int r = 0; r < rows; r++, x += cols) {
		v8 sum = SET8(0.0f), square = SET8(0.0f);
		for (int i = 0; i < cols; i += 8) {
			v8 v = LOAD8(x + i);
			if (add) v += LOAD8(add + i);
			sum += v;
			STORE8(x + i, v);
		}
		float mean = FN(sum8)(&sum) / cols;
		for (int i = 0; i < cols; i += 8) {
			v8 v = LOAD8(x + i) - mean;
			square += v * v;
		}
		float inverse = 1 / sqrtf(FN(sum8)(&square) / cols + eps);
		for (int i = 0; i < cols; i += 8)
			STORE8(x + i, (LOAD8(x + i) - mean) * (LOAD8(gamma + i) * inverse) + LOAD8(beta + i));
		if (add) add += cols;
	}
}

// c[R][16] = a[R][depth] · b[depth][16], times factor[R].
#define FLOAT_TILE(R)                                                                                             \
	TARGET static inline void FN(tile##R)(const float *a, int lda, const float *b, int ldb, int depth, float *c, \
	                                      int ldc, const float *factor) {                                        \
		v8 acc[R][2];                                                                                            \
		for (int r = 0; r < R; r++) acc[r][0] = acc[r][1] = SET8(0.0f);                                          \
		for (int d = 0; d < depth; d++) {                                                                        \
			v8 b0 = LOAD8(b + (int64_t)d * ldb), b1 = LOAD8(b + (int64_t)d * ldb + 8);                           \
			for (int r = 0; r < R; r++) {                                                                        \
				float v = a[(int64_t)r * lda + d];                                                               \
				acc[r][0] += b0 * v;                                                                             \
				acc[r][1] += b1 * v;                                                                             \
			}                                                                                                    \
		}                                                                                                        \
		for (int r = 0; r < R; r++) {                                                                            \
			STORE8(c + (int64_t)r * ldc, acc[r][0] * factor[r]);                                                 \
			STORE8(c + (int64_t)r * ldc + 8, acc[r][1] * factor[r]);                                             \
		}                                                                                                        \
	}
FLOAT_TILE(1)
FLOAT_TILE(4)
#undef FLOAT_TILE

TARGET static void FN(attention)(const float *qkv, int tokens, int queries, int heads, int head_dim, float *out, float *scratch) {
	const int width = heads * head_dim, stride = 3 * width, padded = (tokens + 15) / 16 * 16;
	float *keys = scratch, *scores = scratch + (int64_t)padded * head_dim; // [head_dim][padded], [4][padded]
	const float one[4] = {1, 1, 1, 1};
	for (int h = 0; h < heads; h++) {
		const float *q = qkv + h * head_dim, *k = q + width, *v = k + width;
		for (int j = 0; j < padded; j++)
			for (int d = 0; d < head_dim; d++) keys[(int64_t)d * padded + j] = j < tokens ? k[(int64_t)j * stride + d] : 0;
		for (int i = 0; i < queries;) {
			int rows = queries - i >= 4 ? 4 : 1;
			for (int j = 0; j < padded; j += 16) {
				if (rows == 4)
					FN(tile4)(q + (int64_t)i * stride, stride, keys + j, padded, head_dim, scores + j, padded, one);
				else
					FN(tile1)(q + (int64_t)i * stride, stride, keys + j, padded, head_dim, scores + j, padded, one);
			}
			float factor[4];
			for (int r = 0; r < rows; r++) {
				float *s = scores + (int64_t)r * padded;
				for (int j = tokens; j < padded; j++) s[j] = -1e30f;
				v8 most = LOAD8(s), sum = SET8(0.0f);
				for (int j = 8; j < padded; j += 8) {
					v8 x = LOAD8(s + j);
					v8i more = x > most;
					most = (v8)((more & (v8i)x) | (~more & (v8i)most));
				}
				float largest = FN(max8)(&most);
				for (int j = 0; j < padded; j += 8) {
					v8 x = LOAD8(s + j) - largest;
					FN(exp8)(&x);
					sum += x;
					STORE8(s + j, x);
				}
				factor[r] = 1 / FN(sum8)(&sum);
			}
			float *to = out + (int64_t)i * width + h * head_dim;
			for (int d = 0; d < head_dim; d += 16) {
				if (rows == 4)
					FN(tile4)(scores, padded, v + d, stride, tokens, to + d, width, factor);
				else
					FN(tile1)(scores, padded, v + d, stride, tokens, to + d, width, factor);
			}
			i += rows;
		}
	}
}

// Rows are far apart in memory, so the next one is asked for early.
TARGET static void FN(add_rows)(const int8_t *rows, const int32_t *index, const int32_t *times, int count, int32_t *sum,
                                int width) {
	for (int r = 0; r < count; r++) {
		const int8_t *row = rows + (int64_t)index[r] * width;
		if (r + 4 < count) {
			const int8_t *next = rows + (int64_t)index[r + 4] * width;
			__builtin_prefetch(next);
			__builtin_prefetch(next + width - 1);
		}
		int i = 0;
		for (; i + 8 <= width; i += 8)
			*(v8iu *)(sum + i) += __builtin_convertvector(*(const v8bu *)(row + i), v8i) * times[r];
		for (; i < width; i++) sum[i] += row[i] * times[r];
	}
}
