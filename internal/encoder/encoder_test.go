package encoder

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/simd"
)

func readLines(t testing.TB, name string) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// half converts an IEEE float16 that is normal, subnormal or zero.
func half(b uint16) float32 {
	sign, exp, frac := float64(1), int(b>>10&31), float64(b&1023)
	if b>>15 == 1 {
		sign = -1
	}
	if exp == 0 {
		return float32(sign * math.Ldexp(frac, -24))
	}
	return float32(sign * math.Ldexp(1024+frac, exp-25))
}

func readVectors(t testing.TB) [][]float32 {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.f16")
	require.NoError(t, err)
	out := make([][]float32, len(data)/1024)
	for i := range out {
		out[i] = make([]float32, 512)
		for j := range out[i] {
			out[i][j] = half(binary.LittleEndian.Uint16(data[i*1024+j*2:]))
		}
	}
	return out
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

// TestVectors holds every kernel against ONNX Runtime in fp32. The fastest
// reads all texts, the others every twentieth unless QT_ALL_TEXTS is set; with
// -short (under an emulator) the fastest does so, too.
func TestVectors(t *testing.T) {
	texts, want := readLines(t, "sentences.txt"), readVectors(t)
	require.Len(t, texts, 506)
	require.Len(t, want, len(texts))
	for i, kernel := range simd.Names() {
		step := 1
		if (i > 0 || testing.Short()) && os.Getenv("QT_ALL_TEXTS") == "" {
			step = 20
		}
		t.Run(kernel, func(t *testing.T) {
			e, err := New(Options{Kernel: kernel, Threads: 2})
			require.NoError(t, err)
			require.Equal(t, kernel, e.Kernel())
			var some []string
			for i := 0; i < len(texts); i += step {
				some = append(some, texts[i])
			}
			got, err := e.Encode(context.Background(), some)
			require.NoError(t, err)
			sum, least, at := 0.0, 1.0, 0
			for i := range got {
				length := 0.0
				for _, x := range got[i] {
					length += float64(x) * float64(x)
				}
				require.InDelta(t, 1, length, 1e-5)
				c := cosine(got[i], want[i*step])
				sum += c
				if c < least {
					least, at = c, i
				}
			}
			mean := sum / float64(len(got))
			t.Logf("%d texts: cosine mean %.5f, minimum %.5f at %q", len(got), mean, least, some[at])
			require.GreaterOrEqual(t, mean, 0.998)
			require.GreaterOrEqual(t, least, 0.99, "text %q", some[at])
		})
	}
}

func TestTokens(t *testing.T) {
	texts := readLines(t, "sentences.txt")
	for _, line := range readLines(t, "hostile.txt") {
		s, err := strconv.Unquote(line)
		require.NoError(t, err, line)
		texts = append(texts, s)
	}
	want := readLines(t, "tokens.txt")
	require.Len(t, want, len(texts))
	tok := newTestTokenizer(t)
	for i, text := range texts {
		var got []string
		for _, id := range tok.tokenize(text) {
			got = append(got, strconv.Itoa(int(id)))
		}
		require.Equal(t, want[i], strings.Join(got, " "), "line %d: %q %+q", i+1, text, text)
	}
}

func newTestTokenizer(t testing.TB) *tokenizer {
	t.Helper()
	tok, err := newTokenizer(vocabFile, 21128)
	require.NoError(t, err)
	return tok
}

func FuzzTokenize(f *testing.F) {
	for _, s := range []string{"", "退款还没到账！！", "我的iPhone闪退了😡", "a\x00b\xff\xfe", "e\u0301 İ ẞ", "\u200d\ufeff\u3000", "##[CLS]", strings.Repeat("x", 101), "한국어 ﬁ ㎏"} {
		f.Add(s)
	}
	tok := newTestTokenizer(f)
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.tokenize(text)
		for _, id := range ids {
			require.True(t, id > 0 && id < 21128 && id != tok.cls && id != tok.sep, "id %d of %q", id, text)
		}
		require.Equal(t, ids, tok.tokenize(strings.ToValidUTF8(text, "")), "invalid bytes of %q changed the ids", text)
		require.Equal(t, append(ids, ids...), tok.tokenize(text+" "+text), "a space did not part %q", text)
	})
}

func TestEncode(t *testing.T) {
	e, err := New(Options{})
	require.NoError(t, err)
	texts := []string{"APP打不开了", "", "手机软件打不开", " \t\u200b\x00\xff", "鞋子打不开了", "app打不开了", "妳好"}
	got, err := e.Encode(context.Background(), texts)
	require.NoError(t, err)
	require.Len(t, got, len(texts))
	require.Nil(t, got[1])
	require.Nil(t, got[3])
	require.Len(t, got[0], e.Dim())
	require.Equal(t, got[0], got[5], "upper and lower case")
	require.Greater(t, cosine(got[0], got[2]), cosine(got[0], got[4])+0.1)

	none, err := e.Encode(context.Background(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

// TestConcurrent holds that neither threads, nor other callers, nor buffers
// left over from longer texts change a vector.
func TestConcurrent(t *testing.T) {
	texts := readLines(t, "sentences.txt")[80:140]
	alone, err := New(Options{})
	require.NoError(t, err)
	want, err := alone.Encode(context.Background(), texts)
	require.NoError(t, err)
	shared, err := New(Options{Threads: 3})
	require.NoError(t, err)
	var group errgroup.Group
	for range 3 {
		group.Go(func() error {
			got, err := shared.Encode(context.Background(), texts)
			if err == nil && !reflect.DeepEqual(want, got) {
				err = errors.New("vectors differ from those of one thread")
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
}

func TestWindows(t *testing.T) {
	e, err := New(Options{})
	require.NoError(t, err)
	one := func(text string) qingting.Vector {
		v, err := e.Encode(context.Background(), []string{text})
		require.NoError(t, err)
		return v[0]
	}
	a, b := strings.Repeat("退", 255), strings.Repeat("货", 255)
	whole := one(a + b)             // 510 tokens: one window
	parts := one(a + "款" + b + "物") // 512 tokens: two of 256
	left, right := one(a+"款"), one(b+"物")
	mean := make(qingting.Vector, len(left))
	for i := range mean {
		mean[i] = left[i] + right[i]
	}
	normalize(mean)
	require.InDelta(t, 1, cosine(mean, parts), 1e-6)
	require.Less(t, cosine(whole, parts), 0.9999, "510 tokens must not be cut")
}

func TestCancel(t *testing.T) {
	for _, threads := range []int{1, 2} {
		e, err := New(Options{Threads: threads})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		got, err := e.Encode(ctx, []string{"退款", strings.Repeat("退款", 5000)})
		require.ErrorIs(t, err, context.Canceled)
		require.Nil(t, got)
	}
}

func TestID(t *testing.T) {
	e, err := New(Options{})
	require.NoError(t, err)
	size := 12 + int(binary.LittleEndian.Uint32([]byte(weightsFile[8:12])))
	sum := sha256.New()
	sum.Write([]byte(weightsFile[size:]))
	sum.Write([]byte(vocabFile))
	sum.Write([]byte(preprocessing))
	require.Equal(t, e.model.sha256, hex.EncodeToString(sum.Sum(nil)), "weights, vocabulary and header must belong together")
	require.Equal(t, "bge-small-zh-v1.5-int8-"+e.model.sha256[:8], e.ID())
}

// TestWeightSums holds that the sums which one of the kernels relies on are
// those of the weights.
func TestWeightSums(t *testing.T) {
	m, _, err := loadModel(weightsFile)
	require.NoError(t, err)
	require.Len(t, m.layers, 4)
	for _, l := range m.layers {
		for _, w := range []linear{l.qkv, l.attn, l.up, l.down} {
			sums := make([]int32, w.N)
			for i, v := range w.Data {
				require.NotEqual(t, int8(-128), v)
				sums[i/(16*w.K)*16+i%64/4] += int32(v)
			}
			require.Equal(t, sums, w.Sum)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := New(Options{Kernel: "sse9"})
	require.ErrorContains(t, err, "sse9")

	size := 12 + int(binary.LittleEndian.Uint32([]byte(weightsFile[8:12])))
	header, tensors := weightsFile[12:size], weightsFile[size:]
	build := func(header string) string {
		return magic + string(binary.LittleEndian.AppendUint32(nil, uint32(len(header)))) + header + tensors
	}
	_, _, err = loadModel(build(header))
	require.NoError(t, err)
	for _, c := range [][2]string{
		{`"heads":8`, `"heads":7`},
		{`"hidden":512`, `"hidden":-512`},
		{`"layers":4`, `"layers":5`},
		{`"vocab":21128`, `"vocab":21129`},
		{`"positions":512`, `"positions":2`},
		{preprocessing, "bert-cased-1"},
		{`"offset":0}`, `"offset":-64}`},
		{`"offset":0}`, `"offset":24000000}`},
		{`"offset":0}`, `"offset":9223372036854775807}`},
		{`"word.weight"`, `"work.weight"`},
		{`"shape":[21128,512]`, `"shape":[21128,511]`},
		{`"type":"i8"`, `"type":"f32"`},
		{`{"model"`, `{{"model"`},
	} {
		require.Contains(t, header, c[0])
		_, _, err := loadModel(build(strings.Replace(header, c[0], c[1], 1)))
		require.Error(t, err, "%s → %s", c[0], c[1])
	}
	for name, file := range map[string]string{
		"empty":       "",
		"other magic": "PK" + weightsFile[2:size],
		"no header":   weightsFile[:12],
		"huge header": weightsFile[:8] + "\xff\xff\xff\xff",
		"header only": weightsFile[:size],
		"cut off":     weightsFile[:len(weightsFile)-1],
	} {
		_, _, err := loadModel(file)
		require.Error(t, err, name)
	}
	_, err = newTokenizer("a\nb\n", 2)
	require.ErrorContains(t, err, "[")
	_, err = newTokenizer(vocabFile, 21127)
	require.Error(t, err)
}

// BenchmarkEncode measures one text on one thread; compare with
// convert/ort_bench.py, which reads the same texts. On a busy machine compare
// the least times.
func BenchmarkEncode(b *testing.B) {
	long := strings.Repeat("我上周在你们店里买的电饭煲用了三天就坏了，打客服电话一直没人接，你们到底管不管？", 20)
	for _, kernel := range simd.Names() {
		e, err := New(Options{Kernel: kernel})
		require.NoError(b, err)
		for _, n := range []int{20, 100, 300, 500} {
			texts := []string{string([]rune(long)[:n])}
			b.Run(kernel+"/"+strconv.Itoa(n), func(b *testing.B) {
				least := time.Hour
				for b.Loop() {
					start := time.Now()
					if _, err := e.Encode(context.Background(), texts); err != nil {
						b.Fatal(err)
					}
					least = min(least, time.Since(start))
				}
				b.ReportMetric(least.Seconds()*1e3, "least-ms")
			})
		}
	}
}

func BenchmarkTokenize(b *testing.B) {
	tok, text := newTestTokenizer(b), readLines(b, "sentences.txt")[499]
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.tokenize(text)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
