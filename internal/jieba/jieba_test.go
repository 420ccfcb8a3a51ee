package jieba

import (
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func newSegmenter(t testing.TB, extra ...string) *Segmenter {
	t.Helper()
	s, err := New(extra...)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func words(tokens []qingting.Token) string {
	var out []string
	for _, token := range tokens {
		out = append(out, token.Text)
	}
	return strings.Join(out, "/")
}

func TestSegment(t *testing.T) {
	s := newSegmenter(t, "聆听宝")
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"   ", ""},
		{"我要去银保监会投诉你们", "我要/去/银保监会/投诉/你们"},
		{"七天无理由退货 怎么就不行", "七天无理由退货/怎么/就/不行"},
		{"价保申请了三次", "价保/申请/了/三次"},
		{"快递员态度恶劣😡!!", "快递员/态度恶劣/😡/!/!"},
		{"聆听宝坏了", "聆听宝/坏/了"},
		{"拨打12315", "拨打/12315"},
		{"a\x00投诉", "a/投诉"},
	} {
		require.Equal(t, tt.want, words(s.Segment([]rune(tt.in))), "in %q", tt.in)
	}
}

// FuzzSegment holds the contract: tokens are the text, in order, white space
// left out, whatever the runes are.
func FuzzSegment(f *testing.F) {
	s, err := New()
	require.NoError(f, err)
	defer s.Close()
	for _, seed := range []string{"宽带断了三天没人管", "\x00", "\xff\xfe", "👨‍👩‍👧 投诉", "a b　c", strings.Repeat("长", 5000), "\u202e反转"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		clean := []rune(in)
		at := 0
		for _, token := range s.Segment(clean) {
			require.GreaterOrEqual(t, token.Start, at)
			require.Greater(t, token.End, token.Start)
			require.LessOrEqual(t, token.End, len(clean))
			require.Equal(t, toString(clean[token.Start:token.End]), token.Text)
			skipped := toString(clean[at:token.Start])
			require.Empty(t, strings.TrimFunc(skipped, unicode.IsSpace))
			at = token.End
		}
		require.Empty(t, strings.TrimFunc(toString(clean[at:]), unicode.IsSpace))
	})
}

// TestCloseWhileCutting would crash the process, not fail, if the dictionary
// were freed under a running call.
func TestCloseWhileCutting(t *testing.T) {
	s, err := New()
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				require.NotEmpty(t, s.Segment([]rune("宽带断了三天没有人来维修")))
			}
		})
	}
	s.Close()
	wg.Wait()
	require.Equal(t, "投/诉", words(s.Segment([]rune("投诉"))))
	s.Close()
}

func TestExtraWordsAreChecked(t *testing.T) {
	for _, bad := range []string{"", "两 个", "换\n行", "\xff"} {
		_, err := New(bad)
		require.Error(t, err, "word %q", bad)
	}
}

func BenchmarkSegment(b *testing.B) {
	s := newSegmenter(b)
	clean := []rune(strings.Repeat("上个月办的宽带一直掉线，打了三次客服电话都说给我处理，结果没有一个人来。", 10))
	b.SetBytes(int64(len(string(clean))))
	for b.Loop() {
		s.Segment(clean)
	}
}
