package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/fatih/color"
	"github.com/mattn/go-runewidth"

	"github.com/qingting-ai/qingting"
)

// unsure is the confidence below which a label is shown as 待确认. It is a
// matter of display only: labels are decided by the model's own cuts.
const unsure = 0.6

// view writes an analysis for people, for a terminal of a given width.
type view struct {
	width int
	wide  *runewidth.Condition
	paint map[string]*color.Color
}

func newView(width int, colored bool) *view {
	if width <= 0 {
		width = 80
	}
	v := &view{width: max(40, min(width, 100)), wide: runewidth.NewCondition(), paint: map[string]*color.Color{
		"head": color.New(color.Bold), "dim": color.New(color.Faint), "bad": color.New(color.FgRed, color.Bold),
		"warn": color.New(color.FgYellow), "good": color.New(color.FgGreen), "label": color.New(color.FgCyan),
	}}
	// The locale of the machine must not decide how a Chinese text is wrapped.
	v.wide.EastAsianWidth = false
	for _, c := range v.paint {
		if colored {
			c.EnableColor()
		} else {
			c.DisableColor()
		}
	}
	return v
}

func (v *view) style(name, s string) string {
	if s == "" {
		return ""
	}
	return v.paint[name].Sprint(s)
}

// page is what one conversation is written to.
type page struct {
	*view
	bytes.Buffer
}

// labelWidth is the width of the left column, room for four characters.
const labelWidth = 10

func (v *view) render(r *result) []byte {
	p := &page{view: v}
	if r.index > 0 {
		p.WriteByte('\n')
	}
	if r.err != nil {
		d := describe(r.err)
		title := fmt.Sprintf("会话 %d", r.index+1)
		if r.record.ID != "" {
			title += " · " + clean(r.record.ID)
		}
		p.WriteString(p.style("bad", "✗ "+title+" 无法分析") + "\n")
		p.row("", d.Message)
		return p.Bytes()
	}
	p.analysis(r)
	return p.Bytes()
}

func (p *page) analysis(r *result) {
	a := r.analysis
	p.title(r)
	if r.record.Note != "" {
		p.row("提示", r.record.Note)
	}
	if len(a.Emotion.ByMessage) == 0 {
		// Not a word of the customer: whatever stands in the analysis is no
		// judgement of hers.
		p.row("状态", p.style("warn", "客户还没有说话")+"，等客户说了什么再判断，现在不作猜测")
		p.facts(a)
		p.unavailable(a)
		return
	}
	p.kind(a)
	p.types(a)
	p.emotion(a)
	p.risk(a)
	p.priority(a)
	p.claims(a)
	p.facts(a)
	p.customer(a)
	p.cases(a)
	p.suggestions(a)
	p.unavailable(a)
}

func (p *page) title(r *result) {
	a := r.analysis
	parts := []string{fmt.Sprintf("会话 %d", r.index+1)}
	if a.ID != nil {
		parts = append(parts, clean(*a.ID))
	}
	mode := map[qingting.Mode]string{qingting.ModeFull: "完整模式", qingting.ModeFast: "快速模式", qingting.ModeDegraded: "降级"}[a.Mode]
	parts = append(parts, fmt.Sprintf("%d 条消息", len(r.record.Transcript.Messages)), mode)
	p.WriteString(p.style("head", strings.Join(parts, " · ")) + "\n" + p.style("dim", strings.Repeat("─", p.width)) + "\n")
}

// row writes a label and a text beside it, wrapped; an empty label continues
// the row above.
func (p *page) row(label, text string) {
	p.rowIndent(label, "", text)
}

// rowIndent wraps the lines after the first one by hang more columns.
func (p *page) rowIndent(label, hang, text string) {
	pad := labelWidth - p.wide.StringWidth(label)
	p.WriteString(p.style("label", label) + strings.Repeat(" ", max(1, pad)))
	for i, line := range p.wrap(text, p.width-labelWidth, p.wide.StringWidth(hang)) {
		if i > 0 {
			p.WriteString(strings.Repeat(" ", labelWidth) + hang)
		}
		p.WriteString(line + "\n")
	}
}

// wrap breaks a text at width columns. Latin words and numbers stay whole
// when they fit, and closing punctuation does not begin a line.
func (p *page) wrap(text string, width, hang int) []string {
	var lines []string
	for _, paragraph := range strings.Split(text, "\n") {
		var line strings.Builder
		used, room := 0, width
		if len(lines) > 0 {
			room -= hang
		}
		for _, word := range words(paragraph) {
			w := p.visible(word)
			// One column over is better than a line that begins with 。
			if used > 0 && used+w > room && !(closing(word) && used+w <= room+2) {
				lines = append(lines, strings.TrimRight(line.String(), " "))
				line.Reset()
				used, room = 0, width-hang
				if word == " " {
					continue
				}
			}
			line.WriteString(word)
			used += w
		}
		lines = append(lines, line.String())
	}
	return lines
}

// visible is the width without colour codes.
func (p *page) visible(s string) int {
	if strings.HasPrefix(s, "\x1b") {
		return 0
	}
	return p.wide.StringWidth(s)
}

// words cuts a text where a line may break: around every wide character, and
// between runs of others. Colour codes are words of their own.
func words(s string) []string {
	var out []string
	rs := []rune(s)
	narrow := func(r rune) bool { return r > ' ' && r < 0x2000 }
	for i := 0; i < len(rs); {
		j := i + 1
		switch {
		case rs[i] == '\x1b':
			for j < len(rs) && rs[j-1] != 'm' {
				j++
			}
		case narrow(rs[i]):
			for j < len(rs) && narrow(rs[j]) && j-i < 24 {
				j++
			}
		default: // an emoji with its modifiers stays together
			for j < len(rs) && (unicode.Is(unicode.Mn, rs[j]) || rs[j] == 0x200D || rs[j-1] == 0x200D || (rs[j] >= 0x1F3FB && rs[j] <= 0x1F3FF)) {
				j++
			}
		}
		out = append(out, string(rs[i:j]))
		i = j
	}
	return out
}

func closing(word string) bool {
	r := []rune(word)
	return len(r) == 1 && strings.ContainsRune("，。！？；：、）」』】》”’…%", r[0])
}

// clean makes a customer's text harmless for a terminal: no control codes, no
// characters that turn the direction of writing.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, r == 0x200E || r == 0x200F, r == 0x2028 || r == 0x2029:
			return '·'
		}
		return r
	}, s)
}

// cleanLines keeps line ends.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

func quote(s string) string {
	s = clean(s)
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return "「" + s + "」"
}

func percent(f float64) string { return fmt.Sprintf("%.0f%%", 100*f) }

func (p *page) sure(confidence float64) string {
	if confidence < unsure {
		return percent(confidence) + " " + p.style("warn", "待确认")
	}
	return percent(confidence)
}

// bar shows a share of one in ten cells.
func bar(f float64) string {
	n := max(0, min(10, int(10*f+0.5)))
	return strings.Repeat("█", n) + strings.Repeat("░", 10-n)
}

func (p *page) kind(a *qingting.Analysis) {
	p.row("性质", p.style("head", qingting.Label(string(a.Kind.Code)))+" "+p.sure(a.Kind.Confidence))
}

func (p *page) types(a *qingting.Analysis) {
	if len(a.Types) == 0 {
		return
	}
	wide := 0
	for _, t := range a.Types {
		wide = max(wide, p.wide.StringWidth(qingting.Label(string(t.Code))))
	}
	label := "类型"
	for _, t := range a.Types {
		name := qingting.Label(string(t.Code))
		line := name + strings.Repeat(" ", wide-p.wide.StringWidth(name)) + " " + bar(t.Confidence) + " " + p.sure(t.Confidence)
		if a.Primary != nil && *a.Primary == t.Code && len(a.Types) > 1 {
			line += " 主要"
		}
		if len(t.Evidence) > 0 {
			line += " " + quote(t.Evidence[0].Quote)
		}
		p.rowIndent(label, strings.Repeat(" ", wide+1), line)
		label = ""
	}
}

func (p *page) emotion(a *qingting.Analysis) {
	e := a.Emotion
	var course, feelings strings.Builder
	var last qingting.EmotionCode
	for _, m := range e.ByMessage {
		course.WriteRune([]rune("▁▃▅▇")[max(0, min(3, m.Intensity))])
		if m.Code != last {
			if feelings.Len() > 0 {
				feelings.WriteString("→")
			}
			feelings.WriteString(qingting.Label(string(m.Code)))
			last = m.Code
		}
	}
	line := p.style("head", qingting.Label(string(e.Code)))
	if e.Intensity > 0 {
		line += "（" + []string{"", "轻微", "明显", "强烈"}[max(0, min(3, e.Intensity))] + "）"
	}
	line += " " + p.sure(e.Confidence)
	p.row("情绪", line)
	if len(e.ByMessage) > 1 {
		line = course.String() + " " + feelings.String() + "，趋势" + qingting.Label(string(e.Trend))
		if e.Peak != nil && e.Peak.Intensity > 0 {
			line += fmt.Sprintf("，第 %d 条最强", e.Peak.Message+1)
		}
		p.row("", line)
	}
}

func (p *page) risk(a *qingting.Analysis) {
	tone := map[qingting.RiskLevel]string{qingting.RiskHigh: "bad", qingting.RiskMedium: "warn", qingting.RiskLow: "good"}[a.Risk.Level]
	if tone == "" {
		tone = "warn"
	}
	line := p.style(tone, qingting.Label(string(a.Risk.Level))) + " " + bar(a.Risk.Score) + " 升级概率 " + percent(a.Risk.Score)
	if a.Risk.Conflict {
		line += " " + p.style("warn", "信号冲突，按较高的等级")
	}
	p.row("升级风险", line)
	for _, s := range a.Risk.Signals {
		p.rowIndent("", "  ", fmt.Sprintf("· %s %s 第 %d 条 %s", qingting.Label(string(s.Code)), quote(s.Quote), s.Message+1, p.style("dim", clean(s.Source))))
	}
}

func (p *page) priority(a *qingting.Analysis) {
	tone := map[qingting.Priority]string{qingting.PriorityP0: "bad", qingting.PriorityP1: "bad", qingting.PriorityP2: "warn"}[a.Priority]
	line := string(a.Priority) + " " + qingting.Label(string(a.Priority))
	if tone != "" {
		line = p.style(tone, line)
	}
	for _, r := range a.Routes {
		line += " → " + qingting.Label(string(r))
	}
	p.row("优先级", line)
}

func money(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) + " 元" }

func (p *page) claims(a *qingting.Analysis) {
	var parts []string
	for _, c := range a.Claims {
		s := qingting.Label(string(c.Code))
		if c.Amount != nil {
			s += " " + money(*c.Amount)
		}
		parts = append(parts, s+" "+p.sure(c.Confidence))
	}
	if len(parts) > 0 {
		p.row("诉求", strings.Join(parts, "；"))
	}
	for i, e := range a.Expectations {
		label := "潜在期望"
		if i > 0 {
			label = ""
		}
		var at []string
		for _, m := range e.Messages {
			at = append(at, strconv.Itoa(m+1))
		}
		p.row(label, qingting.Label(string(e.Code))+"（第 "+strings.Join(at, "、")+" 条反复提到）")
	}
}

func (p *page) facts(a *qingting.Analysis) {
	var parts []string
	seen := map[string]bool{}
	for _, s := range a.Slots {
		value := clean(s.Value)
		if s.Kind == qingting.SlotAmount {
			value += " 元"
		}
		part := qingting.Label(string(s.Kind)) + " " + value
		if !seen[part] {
			seen[part] = true
			parts = append(parts, part)
		}
	}
	if len(parts) > 0 {
		p.row("事实", strings.Join(parts, "；"))
	}
}

func (p *page) customer(a *qingting.Analysis) {
	line := qingting.Label(string(a.Style.Code)) + " " + p.sure(a.Style.Confidence)
	if a.Responsibility.Code != "" && a.Responsibility.Code != qingting.ResponsibilityUnclear {
		line += "；" + qingting.Label(string(a.Responsibility.Code)) + " " + p.sure(a.Responsibility.Confidence)
	}
	line += "；" + qingting.Label(string(a.Outcome.Code)) + " " + p.sure(a.Outcome.Confidence)
	if a.Satisfaction != nil {
		line += fmt.Sprintf("；预计满意度 %+.1f（−2 到 2）", a.Satisfaction.Mean)
	}
	p.row("客户", line)
}

func (p *page) cases(a *qingting.Analysis) {
	if a.Retrieval.Status != qingting.RetrievalOK {
		if a.Kind.Code == qingting.KindComplaint || a.Retrieval.Status == qingting.RetrievalUnavailable {
			label := qingting.Label(string(a.Retrieval.Status))
			p.row("相似案例", p.style("dim", label))
		}
	}
	for i, m := range a.Cases {
		label := ""
		if i == 0 {
			label = "相似案例"
		}
		p.rowIndent(label, "   ", fmt.Sprintf("%d. %s %s", i+1, p.style("head", clean(m.Title)), percent(m.Score)))
		p.match(&m)
	}
	if m := a.FailedCase; m != nil {
		p.rowIndent("前车之鉴", "   ", p.style("warn", "⚠ "+clean(m.Title))+" "+percent(m.Score))
		if m.Lesson != "" {
			p.rowIndent("", "         ", "   教训："+clean(m.Lesson))
		}
	}
}

func (p *page) match(m *qingting.Match) {
	p.rowIndent("", "         ", "   做法："+clean(m.Solution))
	if len(m.Why) > 0 {
		p.rowIndent("", "         ", "   相似："+clean(strings.Join(m.Why, "；")))
	}
	if len(m.Differ) > 0 {
		p.rowIndent("", "         ", "   不同："+clean(strings.Join(m.Differ, "；")))
	}
}

func (p *page) suggestions(a *qingting.Analysis) {
	for _, s := range a.Suggestions {
		name := map[qingting.Style]string{qingting.StyleRational: "理性版", qingting.StyleEmotional: "情绪版"}[s.Style]
		if name == "" {
			name = qingting.Label(string(s.Style))
		}
		line := p.style("head", name)
		if s.Default {
			line += " " + p.style("good", "推荐")
		}
		if s.Remedy != nil {
			line += " · " + qingting.Label(string(s.Remedy.Code))
			if s.Remedy.Amount != nil {
				line += " " + money(*s.Remedy.Amount)
			}
			if s.Remedy.Authority == "approval" {
				line += " " + p.style("warn", "需审批")
			}
		}
		p.row("回复草稿", line)
		p.row("", cleanLines(s.Text))
		for i, step := range s.Steps {
			// Usually the text lists the steps itself: not twice.
			if !strings.Contains(s.Text, step) {
				p.rowIndent("", "   ", fmt.Sprintf("%d. %s", i+1, clean(step)))
			}
		}
		var after []string
		if s.Owner != "" {
			after = append(after, "负责："+clean(s.Owner))
		}
		if s.Due != "" {
			after = append(after, "时限："+clean(s.Due))
		} else if s.DueAt != nil {
			after = append(after, "时限："+s.DueAt.Format("01-02 15:04"))
		}
		var broken []string
		for _, c := range s.Checks {
			if !c.Passed {
				broken = append(broken, clean(c.Rule))
			}
		}
		if len(after) > 0 {
			p.row("", p.style("dim", strings.Join(after, "；")))
		}
		if len(broken) > 0 {
			p.row("", p.style("bad", "未通过检查："+strings.Join(broken, "、")))
		}
	}
}

func (p *page) unavailable(a *qingting.Analysis) {
	names := map[string]string{"encoder": "句向量", "retrieval": "案例检索", "suggest": "回复草稿", "llm": "大模型"}
	reasons := map[string]string{"fast_mode": "快速模式不用", "disabled": "未启用", "failed": "出错", "timeout": "超时", "loading": "加载中"}
	var parts []string
	for _, u := range a.Unavailable {
		// That no language model is set up is how the product works, not news.
		if u.Component == "llm" && u.Code == "disabled" {
			continue
		}
		name, reason := names[u.Component], reasons[u.Code]
		if name == "" {
			name = u.Component
		}
		if reason == "" {
			reason = u.Code
		}
		parts = append(parts, name+"（"+reason+"）")
	}
	if len(parts) > 0 {
		p.row("未参与", p.style("dim", strings.Join(parts, "、")))
	}
}
