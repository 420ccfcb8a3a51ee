package report

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/gate"
	"github.com/qingting-ai/qingting/eval/metric"
)

// Markdown writes the verdict, the headline figures and the behavioural tests
// that fail as tables for a merge request.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# 评测 %s\n\n", plain(r.Name))
	if v := r.verdict(); r.Verdict != nil {
		fmt.Fprintf(&b, "**%s**（%s）\n\n| 结论 | 系统 | 数字 | 基线 | 现在 | 变差的 95%% 区间 | 说明 |\n|---|---|---|---:|---:|---|---|\n", v.Title, plain(v.Text))
		for _, c := range v.Checks {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | [%s, %s] | %s |\n", c.Title, plain(c.System), plain(c.Figure), digits(c.Base), digits(c.Candidate), signed(c.DamageLow), signed(c.DamageHigh), plain(c.Reason))
		}
		b.WriteByte('\n')
	} else {
		fmt.Fprintf(&b, "**%s**\n\n", r.Note)
	}
	for _, t := range r.figureTables(true) {
		fmt.Fprintf(&b, "## %s\n\n| 数字 |", suiteName(t.Suite))
		for _, s := range t.Systems {
			fmt.Fprintf(&b, " %s (n=%d", plain(s.Name), s.N)
			if s.Unscored > 0 {
				fmt.Fprintf(&b, "，失败 %d", s.Unscored)
			}
			b.WriteString(") |")
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(t.Systems)) + "\n")
		for _, row := range t.Rows {
			name := figureName(row.Name)
			if row.Lower {
				name += " ↓"
			}
			fmt.Fprintf(&b, "| %s `%s` |", plain(name), row.Name)
			for _, c := range row.Cells {
				switch {
				case !c.Shown:
					b.WriteString(" — |")
					continue
				case c.Best:
					fmt.Fprintf(&b, " **%s** ★", digits(c.Value))
				default:
					fmt.Fprintf(&b, " %s", digits(c.Value))
				}
				fmt.Fprintf(&b, " [%s, %s]", digits(c.Low), digits(c.High))
				if c.Unscored > 0 {
					fmt.Fprintf(&b, "（最坏 %s，最好 %s）", digits(c.Worst), digits(c.Figure.Best))
				}
				b.WriteString(" |")
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	if err := r.behaveMarkdown(&b); err != nil {
		return err
	}
	m := r.Manifest
	fmt.Fprintf(&b, "方括号里是按会话重抽样的 95%% 区间；↓ 越低越好；★ 是会读文本的系统里最好的。\n数据集 %s %s `%.12s`，程序 `%s`，种子 %d，%d 轮。\n", plain(m.Dataset.Name), plain(m.Dataset.Version), m.Dataset.Hash, plain(m.Program), m.Seed, m.Rounds)
	_, err := io.WriteString(w, b.String())
	return err
}

// plain keeps a name inside its cell.
func plain(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "\n", " ", "\r", " ", "<", "&lt;", "`", "\\`", "*", "\\*", "[", "\\[").Replace(s)
}

// CSV writes every figure of every system: one figure a line. The share of
// failing cases of the behavioural tests is a line a capability.
func (r *Report) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	lines := [][]string{{"system", "suite", "slice", "value_of_slice", "figure", "lower_is_better", "value", "low", "high", "n", "unscored", "worst", "best"}}
	for i := range r.Systems {
		s := &r.Systems[i]
		for _, m := range s.Suites {
			for _, f := range m.Figures {
				lines = append(lines, figureLine(s.Name, m.Suite, "", "", f))
			}
			for _, part := range m.Slices {
				for _, f := range part.Figures {
					lines = append(lines, figureLine(s.Name, m.Suite, part.Slice, part.Value, f))
				}
			}
		}
	}
	all, err := r.behaviour()
	if err != nil {
		return err
	}
	for i := range all {
		line := func(slice, value string, g behaveGroup) []string {
			return []string{cell(all[i].System), "behave", slice, value, "behave.failed", "true", number(eval.Number(g.Rate.Rate)), number(eval.Number(g.Low)), number(eval.Number(g.High)), strconv.Itoa(g.N), "0", "", ""}
		}
		lines = append(lines, line("", "", all[i].All))
		for _, g := range all[i].Groups {
			lines = append(lines, line("capability", g.Code, g.All))
		}
	}
	return c.WriteAll(lines)
}

func figureLine(system string, suite dataset.Suite, slice, value string, f eval.Figure) []string {
	return []string{
		cell(system), string(suite), cell(slice), cell(value), f.Name, strconv.FormatBool(f.Lower), number(f.Value), number(f.Low), number(f.High),
		strconv.Itoa(f.N), strconv.Itoa(f.Unscored), number(f.Worst), number(f.Best),
	}
}

// number writes all digits; a figure that does not exist is empty.
func number(x eval.Number) string {
	if x != x {
		return ""
	}
	return strconv.FormatFloat(float64(x), 'g', -1, 64)
}

// cell keeps a spreadsheet from taking a name for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// RowsName is where the rows go beside a CSV of figures.
func RowsName(csv string) string {
	return strings.TrimSuffix(csv, filepath.Ext(csv)) + ".rows.csv"
}

// RowsCSV writes every row of every system: labels, probabilities and values,
// no text. Sets are joined by a space.
func (r *Report) RowsCSV(w io.Writer) error {
	fields := labelFields()
	values := map[string]bool{}
	for i := range r.Systems {
		for _, row := range r.Systems[i].Rows {
			for name := range row.Values {
				values[name] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(values))
	head := []string{"system", "suite", "id", "hash", "group", "error", "ms"}
	for _, f := range fields {
		head = append(head, "gold_"+f.Key, "answer_"+f.Key)
	}
	head = append(head, "kind_p", "emotion_p", "style_p", "outcome_p", "high_p")
	for _, name := range names {
		head = append(head, "value_"+name)
	}
	c := csv.NewWriter(w)
	if err := c.Write(head); err != nil {
		return err
	}
	for i := range r.Systems {
		s := &r.Systems[i]
		for _, row := range s.Rows {
			line := []string{cell(s.Name), string(row.Suite), cell(row.ID), row.Hash, cell(row.Group), cell(row.Error), ""}
			if ms, ok := s.Times[row.ID]; ok {
				line[6] = strconv.FormatFloat(ms, 'g', -1, 64)
			}
			for _, f := range fields {
				gold, answer := "", ""
				if row.Gold != nil {
					gold = cell(strings.Join(f.of(row.Gold), " "))
				}
				if row.Answer != nil {
					answer = cell(strings.Join(f.of(row.Answer.Labels), " "))
				}
				line = append(line, gold, answer)
			}
			if a := row.Answer; a != nil {
				for _, p := range []float64{a.KindP, a.EmotionP, a.StyleP, a.OutcomeP, a.HighP} {
					line = append(line, number(eval.Number(p)))
				}
			} else {
				line = append(line, "", "", "", "", "")
			}
			for _, name := range names {
				v := ""
				if x, ok := row.Values[name]; ok {
					v = number(eval.Number(x))
				}
				line = append(line, v)
			}
			if err := c.Write(line); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

// JSON writes the figures with what made them, the verdict, the behavioural
// tests and the comparison.
func (r *Report) JSON(w io.Writer) error {
	type compared struct {
		System string `json:"system"`
		*eval.Comparison
		Speed *eval.Speed `json:"speed,omitempty"`
	}
	out := struct {
		Run      string         `json:"run"`
		Before   string         `json:"before,omitempty"`
		Note     string         `json:"note,omitempty"`
		Verdict  *gate.Verdict  `json:"verdict,omitempty"`
		Manifest *eval.Manifest `json:"manifest"`
		Metrics  *eval.Metrics  `json:"metrics"`
		Behave   []behaved      `json:"behave,omitempty"`
		Compared []compared     `json:"compared,omitempty"`
	}{Run: r.Name, Before: r.Before, Note: r.Note, Verdict: r.Verdict, Manifest: r.Manifest, Metrics: r.Metrics}
	var err error
	if out.Behave, err = r.behaviour(); err != nil {
		return err
	}
	for i := range r.Systems {
		if s := &r.Systems[i]; s.Comparison != nil {
			out.Compared = append(out.Compared, compared{s.Name, s.Comparison, s.Speed})
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

// JUnit writes the verdict for a CI server; without one it is an error.
func (r *Report) JUnit(w io.Writer) error {
	if r.Verdict == nil {
		return fmt.Errorf("没有结论可写：%s", r.Note)
	}
	return r.Verdict.JUnit(w)
}

// TREC writes into a folder SYSTEM.run for every system that searched, and
// with Options.Data retrieval.qrels, and returns the names of the files.
func (r *Report) TREC(dir string) ([]string, error) {
	runs := map[string]metric.Run{}
	for i := range r.Systems {
		s := &r.Systems[i]
		for _, row := range s.Rows {
			if row.Suite != dataset.SuiteRetrieval || row.Error != "" {
				continue
			}
			if runs[s.Name] == nil {
				runs[s.Name] = metric.Run{}
			}
			found := []metric.Scored{}
			for _, c := range row.Ranking {
				found = append(found, metric.Scored{Document: c.ID, Score: c.Score})
			}
			runs[s.Name][row.ID] = found
		}
	}
	if len(runs) == 0 {
		return nil, errors.New("这次评测没有案例检索的结果，写不了 TREC 文件")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("建不了目录：%w", err)
	}
	var out []string
	write := func(name string, of func(io.Writer) error) error {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("写不了 %s：%w", path, err)
		}
		out = append(out, path)
		return errors.Join(of(f), f.Close())
	}
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		if err := write(name+".run", func(w io.Writer) error { return metric.WriteRun(w, runs[name], name) }); err != nil {
			return nil, err
		}
	}
	if r.Grades != nil {
		if err := write("retrieval.qrels", func(w io.Writer) error { return metric.WriteQrels(w, r.Grades) }); err != nil {
			return nil, err
		}
	}
	return out, nil
}
