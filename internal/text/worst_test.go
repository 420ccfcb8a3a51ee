package text

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWorstCase holds that no text of the greatest message size makes the
// search slow: every rule looks at a bounded neighbourhood.
func TestWorstCase(t *testing.T) {
	c := newTestCleaner(t)
	for _, s := range []string{"1 ", "1-", "1", "一", "一1", "路1号", "姓名李", "京A1", "@", "a@b.", "[手机号1]", "壹", "著", "我 ", "北京", "省市区县", "138", "x1", "。", "十", "万", "块", "元5", "上周", "点", "11.1", "12:", "王先生"} {
		text := strings.Repeat(s, 20000/len([]rune(s)))
		start := time.Now()
		clean, _, _ := c.Clean(text)
		Slots{}.FindSlots(clean, friday())
		masked, found := Mask(text)
		require.Equal(t, text, Unmask(masked, found))
		took := time.Since(start)
		t.Logf("%-12s %v", s, took.Round(time.Millisecond))
		require.Less(t, took, 2*time.Second, "%s", s)
	}
}
