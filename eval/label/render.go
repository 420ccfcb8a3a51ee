package label

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/qingting-ai/qingting/eval"
)

// Bounds of Krippendorff's α: from the first on conclusions may be drawn, from
// the second on tentative ones (Krippendorff, Content Analysis, 2004, p. 241).
const (
	reliable  = 0.8
	tentative = 0.667
)

// enoughRows is about where cross-validated models begin to follow the labels:
// on the 168 conversations of our own suite, trained on half of them, four in
// ten labels of the kind look wrong, on 3,955 conversations fewer than one in
// ten.
const enoughRows = 1000

// table collects cells and writes them in columns of equal width.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (t table) write(b *strings.Builder) {
	var widths []int
	for _, cells := range t {
		for i, c := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], runewidth.StringWidth(c))
		}
	}
	for _, cells := range t {
		var line strings.Builder
		for i, c := range cells {
			line.WriteString(runewidth.FillRight(c, widths[i]+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

func digits(x eval.Number) string {
	if math.IsNaN(float64(x)) {
		return "—"
	}
	return fmt.Sprintf("%.3f", float64(x))
}

func (f *Figure) cell() string {
	switch {
	case f == nil:
		return ""
	case math.IsNaN(float64(f.Value)):
		return "—"
	}
	return fmt.Sprintf("%s [%s, %s]", digits(f.Value), digits(f.Low), digits(f.High))
}

// Text writes the agreement as tables. Codes are written as in the files.
func (a *Agreement) Text(w io.Writer) error {
	var b strings.Builder
	kappa := "Cohen κ"
	if len(a.Annotators) > 2 {
		kappa = "Fleiss κ"
	}
	fmt.Fprintf(&b, "%d 个标注人（%s），%d 个会话", len(a.Annotators), strings.Join(a.Annotators, "、"), a.Items-a.Single)
	if a.Single > 0 {
		fmt.Fprintf(&b, "，另有 %d 个只有不到两份标注，没有计入", a.Single)
	}
	fmt.Fprintf(&b, "\n方括号里是按会话重抽样 %d 次的 95%% 区间；多选字段的 κ 和 α 是各代码的平均\n\n", a.Rounds)
	t := table{}
	t.row("字段", "一致率", "micro-F1", kappa, "Krippendorff α", "有序 α")
	var weak, poor []string
	for i := range a.Fields {
		f := &a.Fields[i]
		t.row(f.Field, f.Raw.cell(), f.MicroF1.cell(), f.Kappa.cell(), f.Alpha.cell(), f.AlphaOrdinal.cell())
		alpha := f.Alpha.Value
		if f.AlphaOrdinal != nil {
			alpha = f.AlphaOrdinal.Value
		}
		switch {
		case alpha < tentative:
			poor = append(poor, f.Field)
		case alpha < reliable:
			weak = append(weak, f.Field)
		}
	}
	t.write(&b)
	if len(poor) > 0 {
		fmt.Fprintf(&b, "\nα 低于 %.3f，标注还不可靠，先改标注手册：%s\n", tentative, strings.Join(poor, "、"))
	}
	if len(weak) > 0 {
		fmt.Fprintf(&b, "\nα 在 %.3f 到 %.1f 之间，只能得出初步结论：%s\n", tentative, reliable, strings.Join(weak, "、"))
	}
	a.writeConfused(&b)
	a.writeCodes(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (a *Agreement) writeConfused(b *strings.Builder) {
	t := table{}
	for _, f := range a.Fields {
		for _, c := range f.Confused {
			other := c.B
			if other == "" {
				other = "（没有标）"
			}
			how := ""
			if len(a.Annotators) == 2 {
				how = fmt.Sprintf("%s 标前者 %d 次，%s %d 次", a.Annotators[0], c.First, a.Annotators[1], c.Count-c.First)
			}
			t.row("  "+f.Field, c.A, "↔ "+other, fmt.Sprintf("%d 次", c.Count), how)
		}
	}
	if len(t) > 0 {
		b.WriteString("\n最常见的分歧：\n")
		t.write(b)
	}
}

// writeCodes lists the codes of the set fields that annotators agree on least.
func (a *Agreement) writeCodes(b *strings.Builder) {
	t := table{}
	for _, f := range a.Fields {
		codes := slices.DeleteFunc(slices.Clone(f.Codes), func(c CodeAgreement) bool {
			total := 0
			for _, n := range c.Given {
				total += n
			}
			return total < leastGiven || !(c.Kappa < reliable)
		})
		for _, c := range codes {
			t.row("  "+f.Field, c.Code, "κ "+digits(c.Kappa), "各标 "+strings.Trim(strings.ReplaceAll(fmt.Sprint(c.Given), " ", "、"), "[]")+" 次")
		}
	}
	if len(t) > 0 {
		fmt.Fprintf(b, "\nκ 低于 %.1f 的代码（至少标过 %d 次）：\n", reliable, leastGiven)
		t.write(b)
	}
}

// JSON writes the agreement as an object.
func (a *Agreement) JSON(w io.Writer) error { return writeJSON(w, a) }

// JSON writes the report, every suspicion included, as an object.
func (r *NoiseReport) JSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Text writes the estimates and the top most suspect labels.
func (r *NoiseReport) Text(w io.Writer, top int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d 个会话，置信学习（%s），概率来自没有见过该会话的模型\n", r.Rows, r.Method)
	b.WriteString("错误率是估计，模型学不会的标注也会算进去；可疑的标注请人看过再改\n")
	if r.Rows < enoughRows {
		fmt.Fprintf(&b, "会话不到 %d 个，模型还学不好，错误率会估得过高，只看排在前面的\n", enoughRows)
	}
	b.WriteString("\n")
	t, few, unknown := table{}, []string{}, false
	t.row("字段", "代码", "标过", "估计错误率", "可疑", "最多的混淆（标注 → 应为）")
	for _, c := range r.Columns {
		if c.Few {
			few = append(few, c.Field+" "+c.Code)
			continue
		}
		given := fmt.Sprint(r.Rows)
		if c.Code != "" {
			given = fmt.Sprint(c.Given[1])
		}
		rate, worst := fmt.Sprintf("%.1f%%", 100*float64(c.Rate)), c.worst(r.Rows)
		if !c.Credible {
			rate, worst, unknown = "—", "", true
		}
		t.row(c.Field, c.Code, given, rate, fmt.Sprint(c.Suspects), worst)
	}
	t.write(&b)
	if unknown {
		b.WriteString("\n错误率是 — 的，模型还不认得（多半样本太少），估计不可信；列出的可疑标注仍可参考\n")
	}
	if len(few) > 0 {
		fmt.Fprintf(&b, "\n标过不到 %d 次，没有检查：%s\n", leastGiven, strings.Join(few, "、"))
	}
	t = table{}
	t.row("  id", "字段", "标注", "建议", "标注的概率", "建议的概率")
	for _, s := range r.Suspicions[:min(max(top, 0), len(r.Suspicions))] {
		given, suggested := s.Given, s.Suggested
		if s.Code != "" {
			given, suggested = chinese(s.Given)+" "+s.Code, chinese(s.Suggested)
		}
		t.row("  "+s.ID, s.Field, given, suggested, fmt.Sprintf("%.3f", s.GivenP), fmt.Sprintf("%.3f", s.SuggestedP))
	}
	if len(t) > 1 {
		fmt.Fprintf(&b, "\n最可疑的 %d 个标注（共 %d 个）：\n", len(t)-1, len(r.Suspicions))
		t.write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func chinese(class string) string {
	if class == Present {
		return "有"
	}
	return "没有"
}

// worst names the pair of classes that is confused most.
func (c *ColumnNoise) worst(rows int) string {
	most, at := 0.0, ""
	for i := range c.Joint {
		for j, share := range c.Joint[i] {
			if i != j && share > most {
				given, truly := c.Classes[i], c.Classes[j]
				if c.Code != "" {
					given, truly = chinese(given), chinese(truly)
				}
				most, at = share, fmt.Sprintf("%s → %s 约 %.0f", given, truly, share*float64(rows))
			}
		}
	}
	return at
}
