package retrieval

import (
	"context"
	"flag"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/encoder"
	"github.com/qingting-ai/qingting/internal/jieba"
	"github.com/qingting-ai/qingting/internal/text"
)

var update = flag.Bool("update", false, "write starter/vectors.bin anew")

// tools are the real parts, loaded once for all tests.
type tools struct {
	cleaner   qingting.Cleaner
	segmenter qingting.Segmenter
}

var loadTools = sync.OnceValues(func() (tools, error) {
	c, err := text.NewCleaner()
	if err != nil {
		return tools{}, err
	}
	s, err := jieba.New()
	return tools{cleaner: c, segmenter: s}, err
})

var loadEncoder = sync.OnceValues(func() (*encoder.Encoder, error) { return encoder.New(encoder.Options{Threads: 2}) })

func realTools(tb testing.TB) tools {
	tb.Helper()
	t, err := loadTools()
	require.NoError(tb, err)
	return t
}

func realEncoder(tb testing.TB) *encoder.Encoder {
	tb.Helper()
	e, err := loadEncoder()
	require.NoError(tb, err)
	return e
}

// starterLibrary is the library of the first start, in memory.
func starterLibrary(tb testing.TB, withEncoder bool) *Library {
	tb.Helper()
	t := realTools(tb)
	cases, err := Starter()
	require.NoError(tb, err)
	vectors, err := StarterVectors()
	require.NoError(tb, err)
	p := Parts{Cleaner: t.cleaner, Segmenter: t.segmenter, Seed: cases, Vectors: vectors}
	if withEncoder {
		p.Encoder = realEncoder(tb)
	}
	l, err := NewLibrary(context.Background(), p)
	require.NoError(tb, err)
	return l
}

// TestStarterVectors holds cases.jsonl and vectors.bin together: every case
// has its vector, there is no other, and they are the encoder's.
func TestStarterVectors(t *testing.T) {
	parts, encoder := realTools(t), realEncoder(t)
	cases, err := Starter()
	require.NoError(t, err)
	texts := make([]string, len(cases))
	for i := range cases {
		texts[i] = DenseText(parts.cleaner, &cases[i])
	}
	const file = "starter/vectors.bin"
	if *update {
		v := NewVectors(encoder.ID(), encoder.Dim())
		vectors, err := encoder.Encode(context.Background(), texts)
		require.NoError(t, err)
		for i, s := range texts {
			require.NoError(t, v.Put(s, vectors[i]))
		}
		data, err := v.Marshal(texts)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, data, 0o644))
	}
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	v, err := ParseVectors(data)
	require.NoError(t, err)
	const rerun = "案例或编码器改过了：请运行 go generate ./retrieval"
	require.Equal(t, encoder.ID(), v.Encoder, rerun)
	require.Equal(t, encoder.Dim(), v.Dim, rerun)
	require.Equal(t, len(cases), v.Len(), rerun)
	for i, s := range texts {
		require.NotNil(t, v.Lookup(s), "%s: %s", cases[i].ID, rerun)
	}
	sample, err := encoder.Encode(context.Background(), texts[:5])
	require.NoError(t, err)
	for i := range sample {
		require.Greater(t, cosine(sample[i], v.Lookup(texts[i])), 0.999, cases[i].ID)
	}
	again, err := v.Marshal(texts)
	require.NoError(t, err)
	if !*update {
		require.Equal(t, data, again)
	}
}

func cosine(a, b qingting.Vector) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// TestStarterCases holds the quality rules of the starter library.
func TestStarterCases(t *testing.T) {
	cases, err := Starter()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(cases), 150)
	failed, types, industries, seen := 0, map[qingting.Type]int{}, map[string]int{}, map[string]bool{}
	for i := range cases {
		c := &cases[i]
		require.Empty(t, CheckCase(*c), c.ID)
		require.False(t, seen[c.ID], "%s occurs twice", c.ID)
		seen[c.ID] = true
		types[c.Type]++
		industries[c.Industry]++
		require.Equal(t, "starter", c.Source, c.ID)
		require.NotEmpty(t, c.Scene, c.ID)
		require.NotEmpty(t, c.Steps, c.ID)
		require.LessOrEqual(t, len(c.Steps), 3, "%s: a reply may name three steps", c.ID)
		require.NotEmpty(t, c.Owner, c.ID)
		require.Positive(t, c.Hours, c.ID)
		require.False(t, c.ClosedAt.IsZero(), c.ID)
		if c.Outcome == qingting.CaseFailed {
			failed++
		} else {
			require.NotEmpty(t, c.Remedy, c.ID)
		}
	}
	require.GreaterOrEqual(t, failed, 30)
	for _, code := range qingting.Types() {
		require.Positive(t, types[code], "no case of type %s", code)
	}
	for _, name := range []string{"电商", "通信", "银行", "餐饮", "家电", "出行", "政务"} {
		require.Positive(t, industries[name], "no case of %s", name)
	}
}

// TestStarterCasesDiffer compares all pairs by the Jaccard index of their
// 5-character pieces.
func TestStarterCasesDiffer(t *testing.T) {
	cases, err := Starter()
	require.NoError(t, err)
	pieces := make([]map[string]bool, len(cases))
	for i := range cases {
		r := []rune(cases[i].Title + cases[i].Problem + cases[i].Solution)
		pieces[i] = map[string]bool{}
		for k := 0; k+5 <= len(r); k++ {
			pieces[i][string(r[k:k+5])] = true
		}
	}
	for i := range pieces {
		for j := range i {
			both := 0
			for p := range pieces[i] {
				if pieces[j][p] {
					both++
				}
			}
			jaccard := float64(both) / float64(len(pieces[i])+len(pieces[j])-both)
			require.Less(t, jaccard, 0.4, "%s and %s are nearly the same", cases[i].ID, cases[j].ID)
		}
	}
}

// TestStarterCasesKeepToAuthority: a remedy that costs more than the front
// line may give (赔付 50 元, 优惠券 30 元) says that somebody approved it.
// Giving back what was paid is no favour and needs none.
func TestStarterCasesKeepToAuthority(t *testing.T) {
	cases, err := Starter()
	require.NoError(t, err)
	for _, c := range cases {
		limit := 0.0
		switch c.Remedy {
		case qingting.RemedyCompensate:
			limit = 50
		case qingting.RemedyCoupon:
			limit = 30
		default:
			continue
		}
		if c.Cost <= limit {
			continue
		}
		words := c.Solution + strings.Join(c.Steps, "") + c.Lesson
		require.True(t, strings.Contains(words, "审批") || strings.Contains(words, "批准") || strings.Contains(words, "授权") || strings.Contains(words, "获批"),
			"%s promises %.0f 元 and nobody approved it", c.ID, c.Cost)
	}
}

// TestStarterCasesArePrivate: the invented cases name nobody.
func TestStarterCasesArePrivate(t *testing.T) {
	cases, err := Starter()
	require.NoError(t, err)
	for _, c := range cases {
		for _, s := range append([]string{c.Title, c.Scene, c.Problem, c.Solution, c.Owner, c.Lesson, c.Product}, c.Steps...) {
			for _, m := range regexp.MustCompile(`\d{6,}|[\w.]+@\w+\.|1[3-9]\d[\d -]{8}`).FindAllString(s, -1) {
				t.Errorf("%s: %q looks like personal data", c.ID, m)
			}
			_, found := text.Mask(s)
			for _, m := range found {
				// Names and places are guessed, and 街道 alone is no address.
				require.Contains(t, []qingting.SlotKind{qingting.SlotName, qingting.SlotAddress, qingting.SlotAmount, qingting.SlotDate}, m.Kind, "%s: %s", c.ID, s)
			}
		}
	}
}

func TestVectorsFile(t *testing.T) {
	v := NewVectors("测试/1", 3)
	require.NoError(t, v.Put("宽带断网", qingting.Vector{0.6, 0, -0.8}))
	require.NoError(t, v.Put("退款", qingting.Vector{0, 0, 0}))
	require.Error(t, v.Put("x", qingting.Vector{1}))
	data, err := v.Marshal([]string{"退款", "宽带断网"})
	require.NoError(t, err)
	got, err := ParseVectors(data)
	require.NoError(t, err)
	require.Equal(t, v, got)
	require.InDeltaSlice(t, []float32{0.6, 0, -0.8}, []float32(got.Lookup("宽带断网")), 0.005)
	require.Nil(t, got.Lookup("退款"), "a vector without a direction is none")
	require.Nil(t, got.Lookup("别的"))
	_, err = v.Marshal([]string{"别的"})
	require.Error(t, err)

	empty, err := ParseVectors(nil)
	require.NoError(t, err)
	require.Zero(t, empty.Len())
	for i := 1; i < len(data); i++ {
		_, err := ParseVectors(data[:i])
		require.Error(t, err, "cut at %d", i)
	}
	_, err = ParseVectors(append([]byte("QTVEC9\n"), data[7:]...))
	require.Error(t, err)
}

func FuzzParseVectors(f *testing.F) {
	v := NewVectors("e", 2)
	require.NoError(f, v.Put("a", qingting.Vector{0.6, 0.8}))
	data, err := v.Marshal([]string{"a"})
	require.NoError(f, err)
	f.Add(data)
	f.Add(data[:20])
	f.Add([]byte(vectorsMagic + "\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if v, err := ParseVectors(in); err == nil {
			v.Lookup("a")
		}
	})
}
