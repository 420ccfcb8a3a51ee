package retrieval

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func TestCheckCase(t *testing.T) {
	require.Empty(t, CheckCase(sampleCases()[0]))
	for _, tt := range []struct {
		name   string
		change func(*qingting.Case)
		want   string // of Problem.String
	}{
		{"no id", func(c *qingting.Case) { c.ID = "" }, "字段 id：不能为空，请填一个不重复的编号"},
		{"id with a space", func(c *qingting.Case) { c.ID = "a b" }, "字段 id：不能含空格、斜杠或控制字符"},
		{"blank title", func(c *qingting.Case) { c.Title = " 　" }, "字段 title：不能为空，请用一句话写明是什么事"},
		{"long title", func(c *qingting.Case) { c.Title = strings.Repeat("长", 101) }, "字段 title：有 101 个字，上限是 100 个字，请精简"},
		{"unknown type", func(c *qingting.Case) { c.Type = "物流" }, `字段 type："物流" 不是投诉类型，请用标签手册里的编码，例如 price.hidden_fee`},
		{"invalid UTF-8", func(c *qingting.Case) { c.Problem = "坏\xff" }, "字段 problem：不是有效的 UTF-8，请转换编码后再导入"},
		{"no problem", func(c *qingting.Case) { c.Problem = "" }, "字段 problem：不能为空，请写客户遇到的问题"},
		{"no solution", func(c *qingting.Case) { c.Solution = "" }, "字段 solution：不能为空，请写怎样解决的"},
		{"blank step", func(c *qingting.Case) { c.Steps = []string{"核对", ""} }, "字段 steps[1]：不能为空，请删去这一步或写明内容"},
		{"many steps", func(c *qingting.Case) { c.Steps = strings.Split(strings.Repeat("步", 21), "") }, "字段 steps：有 21 步，上限是 20 步"},
		{"unknown outcome", func(c *qingting.Case) { c.Outcome = "done" }, `字段 outcome："done" 不认识，只能是 resolved（已解决）或 failed（未成功）`},
		{"negative hours", func(c *qingting.Case) { c.Hours = -1 }, "字段 hours：应为 0 到 87600 之间的小时数"},
		{"hours are no number", func(c *qingting.Case) { c.Hours = math.NaN() }, "字段 hours：应为 0 到 87600 之间的小时数"},
		{"negative cost", func(c *qingting.Case) { c.Cost = -0.01 }, "字段 cost：应为不小于 0 的金额（元）"},
		{"satisfaction", func(c *qingting.Case) { c.Satisfied = 6 }, "字段 satisfaction：应为 1 到 5，0 表示未知"},
		{"style", func(c *qingting.Case) { c.Style = "生气" }, `字段 style："生气" 不认识，只能是 rational、emotional 或 mixed`},
		{"failed without lesson", func(c *qingting.Case) { c.Outcome = qingting.CaseFailed }, "字段 lesson：未成功的案例要写明教训：哪里做错了"},
		{"year", func(c *qingting.Case) { c.ClosedAt = time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC) }, "字段 closed_at：年份 1 不合理"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sampleCases()[0]
			tt.change(&c)
			got := CheckCase(c)
			require.Len(t, got, 1)
			require.Equal(t, tt.want, got[0].String())
		})
	}
	c := sampleCases()[0]
	c.Remedy = qingting.RemedyCode(strings.Repeat("赔", 50))
	require.Contains(t, CheckCase(c)[0].Message, "…", "a wrong code is quoted in short")
}

func TestReadCases(t *testing.T) {
	in := "\xef\xbb\xbf" + `{"id":"a","title":"宽带断网","hours":2.5,"closed_at":"2026-05-01T09:30:00+08:00","new_field":1}` + "\r\n" +
		"\n" +
		`{"id":"b","hours":"三小时"}` + "\n" +
		`{"id":"c","steps":"先查再退"}` + "\n" +
		`{"id":"d"` + "\n" +
		"{\"id\":\"\xff\"}\n" +
		`{"id":"e","closed_at":"昨天"}` + "\n" +
		`["f"]` + "\n" +
		`{"id":"g","title":"` + strings.Repeat("长", 400_000) + `"}` + "\n" +
		`{"id":"h","steps":["查","退"]}`
	rows, problems, err := ReadCases(strings.NewReader(in))
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, 1, rows[0].Line)
	require.Equal(t, "宽带断网", rows[0].Case.Title)
	require.True(t, rows[0].Case.ClosedAt.Equal(time.Date(2026, 5, 1, 1, 30, 0, 0, time.UTC)))
	require.Equal(t, Row{Line: 10, Case: qingting.Case{ID: "h", Steps: []string{"查", "退"}}}, rows[1])
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	require.Equal(t, []string{
		"第 3 行，字段 hours：应为数字，却是文字",
		"第 4 行，字段 steps：应为列表，却是文字",
		"第 5 行：不是完整的 JSON 对象，一行写一个案例",
		"第 6 行：不是有效的 UTF-8，请转换编码后再导入",
		"第 7 行，字段 closed_at：时间要写成 2026-05-01T09:30:00+08:00 的样子",
		"第 8 行：应为对象，却是列表",
		"第 9 行：这一行超过 1 MiB，请拆开",
	}, got)

	broken := errors.New("cable pulled")
	_, _, err = ReadCases(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
}

func FuzzReadCases(f *testing.F) {
	f.Add([]byte(`{"id":"a","title":"宽带断网","type":"product.quality","problem":"断","solution":"修","outcome":"resolved"}` + "\n"))
	f.Add([]byte("\xef\xbb\xbf{\"id\":1}\r\n{}\n[]\nnull\n"))
	f.Add([]byte(`{"id":"a","id":"b","steps":[null,1]}`))
	f.Add([]byte("{\"closed_at\":\"9999-99-99\"}\n\xff\x00\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		rows, problems, err := ReadCases(bytes.NewReader(in))
		require.NoError(t, err)
		last := 0
		lines := bytes.Count(in, []byte("\n")) + 1
		for _, r := range rows {
			require.Greater(t, r.Line, last)
			last = r.Line
			CheckCase(r.Case)
		}
		require.LessOrEqual(t, last, lines)
		require.LessOrEqual(t, len(rows)+len(problems), lines)
		for _, p := range problems {
			require.Positive(t, p.Line)
			require.NotEmpty(t, p.Message)
		}
	})
}

func TestImport(t *testing.T) {
	ctx := context.Background()
	l := newLibrary(t, Parts{Seed: sampleCases()})
	changed := sampleCases()[2]
	changed.Title = "宽带夜间断网"
	fresh := sampleCases()[0]
	fresh.ID, fresh.Title = "", "游戏点券重复扣费"
	rows := []Row{{Line: 2, Case: changed}, {Line: 5, Case: fresh}}

	bad := append(rows, Row{Line: 6, Case: qingting.Case{ID: "net", Title: "x"}})
	got, err := l.Import(ctx, bad, false)
	require.NoError(t, err)
	require.Zero(t, got.Added+got.Updated)
	require.Equal(t, "第 6 行，字段 type：\"\" 不是投诉类型，请用标签手册里的编码，例如 price.hidden_fee", got.Problems[0].String())
	require.Equal(t, "第 6 行，字段 id：编号 \"net\" 与第 2 行重复", got.Problems[len(got.Problems)-1].String())
	require.Equal(t, 4, l.Len(), "nothing is written when a row is wrong")

	got, err = l.Import(ctx, rows, true)
	require.NoError(t, err)
	require.Equal(t, Imported{Added: 1, Updated: 1}, got)
	require.Equal(t, 4, l.Len(), "a dry run writes nothing")

	got, err = l.Import(ctx, rows, false)
	require.NoError(t, err)
	require.Equal(t, Imported{Added: 1, Updated: 1}, got)
	require.Equal(t, 5, l.Len())
	net, err := l.Get("net")
	require.NoError(t, err)
	require.Equal(t, "宽带夜间断网", net.Title)
	m, err := l.SearchText(ctx, "游戏点券", qingting.CaseFilter{}, 1)
	require.NoError(t, err)
	require.Equal(t, "游戏点券重复扣费", m[0].Title)
	require.NotEmpty(t, m[0].ID)

	got, err = l.Import(ctx, nil, false)
	require.NoError(t, err)
	require.Equal(t, Imported{}, got)
}
