package retrieval

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
)

// Limits of a case. Beyond them a case is refused, never truncated.
const (
	maxIDRunes    = 64
	maxNameRunes  = 100   // title, industry, product, owner, source
	maxTextRunes  = 4_000 // problem, solution, scene, lesson, one step
	maxCaseSteps  = 20
	maxLineBytes  = 1 << 20
	maxCaseHours  = 10 * 365 * 24
	maxCaseAmount = 1e9
)

// Problem is what is wrong with one field of a case.
type Problem struct {
	Line    int    `json:"line,omitempty"` // of the file, from 1; 0 outside a file
	Field   string `json:"field"`          // JSON name; "" when the line cannot be read at all
	Message string `json:"message"`        // Chinese: what is wrong and what to do
}

// String names line and field.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "第 %d 行", p.Line)
	}
	if p.Field != "" {
		if b.Len() > 0 {
			b.WriteString("，")
		}
		fmt.Fprintf(&b, "字段 %s", p.Field)
	}
	if b.Len() > 0 {
		b.WriteString("：")
	}
	return b.String() + p.Message
}

// CheckCase returns everything that is wrong with a case, in the order of its
// fields.
func CheckCase(c qingting.Case) []Problem {
	var out []Problem
	add := func(field, format string, args ...any) {
		out = append(out, Problem{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	text := func(field, s string, limit int, needed string) {
		switch n := utf8.RuneCountInString(s); {
		case !utf8.ValidString(s):
			add(field, "不是有效的 UTF-8，请转换编码后再导入")
		case strings.TrimSpace(s) == "" && needed != "":
			add(field, "不能为空，%s", needed)
		case n > limit:
			add(field, "有 %d 个字，上限是 %d 个字，请精简", n, limit)
		}
	}
	text("id", c.ID, maxIDRunes, "请填一个不重复的编号")
	if strings.ContainsFunc(c.ID, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '/' }) {
		add("id", "不能含空格、斜杠或控制字符")
	}
	text("title", c.Title, maxNameRunes, "请用一句话写明是什么事")
	if !slices.Contains(qingting.Types(), c.Type) {
		add("type", "%q 不是投诉类型，请用标签手册里的编码，例如 price.hidden_fee", short(string(c.Type)))
	}
	text("industry", c.Industry, maxNameRunes, "")
	text("product", c.Product, maxNameRunes, "")
	text("scene", c.Scene, maxTextRunes, "")
	text("problem", c.Problem, maxTextRunes, "请写客户遇到的问题")
	needed := "请写怎样解决的"
	if c.Outcome == qingting.CaseFailed {
		needed = "请写当时怎样处理的"
	}
	text("solution", c.Solution, maxTextRunes, needed)
	if len(c.Steps) > maxCaseSteps {
		add("steps", "有 %d 步，上限是 %d 步", len(c.Steps), maxCaseSteps)
	}
	for i, s := range c.Steps[:min(len(c.Steps), maxCaseSteps)] {
		text(fmt.Sprintf("steps[%d]", i), s, maxTextRunes, "请删去这一步或写明内容")
	}
	text("owner", c.Owner, maxNameRunes, "")
	if c.Outcome != qingting.CaseResolved && c.Outcome != qingting.CaseFailed {
		add("outcome", "%q 不认识，只能是 resolved（已解决）或 failed（未成功）", short(string(c.Outcome)))
	}
	if !(c.Hours >= 0 && c.Hours <= maxCaseHours) {
		add("hours", "应为 0 到 %d 之间的小时数", maxCaseHours)
	}
	if !(c.Cost >= 0 && c.Cost <= maxCaseAmount) {
		add("cost", "应为不小于 0 的金额（元）")
	}
	if c.Satisfied < 0 || c.Satisfied > 5 {
		add("satisfaction", "应为 1 到 5，0 表示未知")
	}
	if c.Style != "" && !slices.Contains(qingting.Styles(), c.Style) {
		add("style", "%q 不认识，只能是 rational、emotional 或 mixed", short(string(c.Style)))
	}
	if c.Remedy != "" && !slices.Contains(remedies(), c.Remedy) {
		add("remedy", "%q 不认识，请用 refund、exchange、resend、repair、compensate、coupon、explain、expedite、callback、cancel、apology 或 transfer", short(string(c.Remedy)))
	}
	text("lesson", c.Lesson, maxTextRunes, "")
	if c.Outcome == qingting.CaseFailed && strings.TrimSpace(c.Lesson) == "" {
		add("lesson", "未成功的案例要写明教训：哪里做错了")
	}
	text("source", c.Source, maxNameRunes, "")
	if y := c.ClosedAt.Year(); !c.ClosedAt.IsZero() && (y < 1970 || y > 2200) {
		add("closed_at", "年份 %d 不合理", y)
	}
	return out
}

func remedies() []qingting.RemedyCode {
	return []qingting.RemedyCode{
		qingting.RemedyRefund, qingting.RemedyExchange, qingting.RemedyResend, qingting.RemedyRepair,
		qingting.RemedyCompensate, qingting.RemedyCoupon, qingting.RemedyExplain, qingting.RemedyExpedite,
		qingting.RemedyCallback, qingting.RemedyCancel, qingting.RemedyApology, qingting.RemedyTransfer,
	}
}

// short keeps a wrong code readable in a message.
func short(s string) string {
	r := []rune(s)
	if len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// asError returns the problems of one case as one *qingting.InputError, nil
// when there are none.
func asError(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.String()
	}
	return &qingting.InputError{Code: "invalid_case", Message: strings.Join(lines, "；")}
}

// Row is a case and the line of the file it came from, from 1.
type Row struct {
	Line int
	Case qingting.Case
}

// ReadCases reads JSON Lines of cases. Lines that are no case are problems,
// the others rows; empty lines are skipped. The error is the reader's own.
func ReadCases(r io.Reader) ([]Row, []Problem, error) {
	var rows []Row
	var problems []Problem
	in := bufio.NewReaderSize(r, 64<<10)
	for line := 1; ; line++ {
		raw, tooLong, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return rows, problems, err
		}
		end := err != nil
		if line == 1 {
			raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
		}
		raw = bytes.TrimSpace(raw)
		switch {
		case tooLong:
			problems = append(problems, Problem{Line: line, Message: fmt.Sprintf("这一行超过 %d MiB，请拆开", maxLineBytes>>20)})
		case len(raw) == 0:
		default:
			c, p := parseCase(raw)
			if p != nil {
				p.Line = line
				problems = append(problems, *p)
			} else {
				rows = append(rows, Row{Line: line, Case: c})
			}
		}
		if end {
			return rows, problems, nil
		}
	}
}

// readLine reads to the end of a line of any length but keeps only what is
// within the limit.
func readLine(in *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) <= maxLineBytes {
			line = append(line, part...)
		} else {
			tooLong = true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}

func parseCase(raw []byte) (qingting.Case, *Problem) {
	var c qingting.Case
	if !utf8.Valid(raw) {
		return c, &Problem{Message: "不是有效的 UTF-8，请转换编码后再导入"}
	}
	err := json.Unmarshal(raw, &c)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return c, &Problem{Field: wrongType.Field, Message: fmt.Sprintf("应为%s，却是%s", kindName(wrongType.Type.Kind().String()), kindName(wrongType.Value))}
	case err != nil && strings.Contains(err.Error(), "parsing time"):
		return c, &Problem{Field: "closed_at", Message: "时间要写成 2026-05-01T09:30:00+08:00 的样子"}
	case err != nil:
		return c, &Problem{Message: "不是完整的 JSON 对象，一行写一个案例"}
	}
	return c, nil
}

func kindName(kind string) string {
	for _, k := range []struct{ prefix, name string }{
		{"string", "文字"},
		{"number", "数字"},
		{"float", "数字"},
		{"int", "整数"},
		{"bool", "true 或 false"},
		{"slice", "列表"},
		{"array", "列表"},
		{"object", "对象"},
		{"struct", "对象"},
	} {
		if strings.HasPrefix(kind, k.prefix) {
			return k.name
		}
	}
	return kind
}

// Imported is the outcome of an import.
type Imported struct {
	Added, Updated int
	Problems       []Problem
}

// Import adds rows or replaces cases with the same ID, all of them or none:
// when a row breaks a rule nothing is written and Problems says where. A row
// without an ID gets one. With dryRun nothing is written in any case.
func (l *Library) Import(ctx context.Context, rows []Row, dryRun bool) (Imported, error) {
	var out Imported
	cases := make([]qingting.Case, len(rows))
	lines := map[string]int{}
	for i, r := range rows {
		c := r.Case
		if c.ID == "" {
			c.ID = newID()
		}
		for _, p := range CheckCase(c) {
			p.Line = r.Line
			out.Problems = append(out.Problems, p)
		}
		if first, ok := lines[c.ID]; ok {
			out.Problems = append(out.Problems, Problem{Line: r.Line, Field: "id", Message: fmt.Sprintf("编号 %q 与第 %d 行重复", short(c.ID), first)})
		} else {
			lines[c.ID] = r.Line
		}
		if _, err := l.Get(c.ID); err == nil {
			out.Updated++
		} else {
			out.Added++
		}
		cases[i] = c
	}
	if len(out.Problems) > 0 {
		return Imported{Problems: out.Problems}, nil
	}
	if dryRun || len(cases) == 0 {
		return out, nil
	}
	return out, l.put(ctx, cases, nil)
}
