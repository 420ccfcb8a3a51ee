package lexicon

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func TestOnlyTheRulesOfTheText(t *testing.T) {
	l, err := Only("# 试一试\nsignal.media.ours certain\n  发抖音\n")
	require.NoError(t, err)
	require.Len(t, l.Rules(), 1)
	read := func(text string) []qingting.Hit {
		p := &qingting.Prepared{Message: qingting.Message{Role: qingting.RoleCustomer, Text: text}, Clean: []rune(text)}
		return l.Match(&qingting.Document{Messages: []*qingting.Prepared{p}})
	}
	require.Empty(t, read("我要打12315投诉"), "the embedded rules are not there")
	hits := read("我明天就发抖音")
	require.Len(t, hits, 1)
	require.Equal(t, qingting.GuardNone, hits[0].Guard)
	require.Equal(t, qingting.GuardNegated, read("我不会发抖音的")[0].Guard)
}

func TestWrongRulesNameTheirLine(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		line int
		says string
	}{
		"没有规则":     {"  投诉", 1, "前面没有规则"},
		"字段":       {"\nsignl.media.a certain\n  甲", 2, "signl"},
		"代码":       {"signal.nothing.a certain\n  甲", 1, "nothing"},
		"没有词":      {"signal.media.a hint\n  甲\n\nsignal.media.b hint\n", 4, "没有词"},
		"表达式":      {"signal.media.a hint\n  甲\nsignal.media.b hint\n  乙\n  /曝光(/\n", 5, "曝光("},
		"没有固定的字":   {"signal.media.a hint\n  /.*/\n", 2, "固定的字"},
		"例外的表达式":   {"signal.media.a hint\n  甲\n  but /[/\n", 3, "写错了"},
		"写了两次":     {"signal.media.a hint\n  甲\nsignal.media.a hint\n  乙", 3, "两次"},
		"不是 UTF-8": {"signal.media.\xff hint", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Only(tt.text)
			var at *LineError
			require.ErrorAs(t, err, &at)
			require.Equal(t, tt.line, at.Line, at.Message)
			require.Contains(t, at.Message, tt.says)
		})
	}
}

func FuzzOnly(f *testing.F) {
	f.Add("signal.media.a certain\n  发抖音\n  but /发抖音广告/\n")
	f.Add("signal.media.a hint\n  /曝光(/")
	f.Add("\xff\x00\n \n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Only(text)
		if err != nil {
			var at *LineError
			require.ErrorAs(t, err, &at)
			require.Positive(t, at.Line)
			return
		}
		p := &qingting.Prepared{Message: qingting.Message{Role: qingting.RoleCustomer}, Clean: []rune("我要曝光你们，发抖音")}
		l.Match(&qingting.Document{Messages: []*qingting.Prepared{p}})
	})
}
