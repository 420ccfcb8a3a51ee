package pattern

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWords(t *testing.T) {
	w := NewWords("退款", "退", "退款慢", "退款", "😀a", "")
	require.Equal(t, 5, w.Len())
	require.Equal(t, 0, w.Add([]rune("退款")))
	require.Equal(t, 5, w.Add([]rune("\uFFFD")))
	require.Equal(t, int32(-1), w.Step(Root, '款'))
	require.Equal(t, 4, w.At(Root), "the empty word")
	at := w.Step(Root, '退')
	require.Equal(t, 1, w.At(at))
	require.Equal(t, 0, w.At(w.Step(at, '款')))
	require.Equal(t, -1, w.At(w.Step(Root, '😀')))
}

func TestSuffix(t *testing.T) {
	w := NewWords("不", "要不", "没打算")
	back := NewWords("不", "不要", "算打没")
	for _, c := range []struct {
		text string
		want int
	}{{"", 0}, {"我不", 1}, {"我要不", 2}, {"没打算", 3}, {"打算", 0}, {"不我", 0}} {
		require.Equal(t, c.want, back.Suffix([]rune(c.text)), c.text)
	}
	require.Equal(t, 3, w.Len())
}

func TestWordsAgainstSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfNDistinct(rapid.StringOfN(rapid.SampledFrom([]rune("退款要不ab😀")), 1, 4, -1), 1, 60, rapid.ID).Draw(t, "words")
		text := rapid.StringOfN(rapid.SampledFrom([]rune("退款要不abc😀")), 0, 20, -1).Draw(t, "text")
		w := NewWords(list...)
		found := map[int]bool{}
		rs := []rune(text)
		for i := range rs {
			for j, at := i, Root; j < len(rs); j++ {
				if at = w.Step(at, rs[j]); at < 0 {
					break
				}
				if n := w.At(at); n >= 0 {
					require.Equal(t, list[n], string(rs[i:j+1]))
					found[n] = true
				}
			}
		}
		for n, word := range list {
			require.Equal(t, strings.Contains(text, word), found[n], "%q in %q", word, text)
		}
	})
}
