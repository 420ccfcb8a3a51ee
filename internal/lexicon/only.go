package lexicon

import (
	"fmt"
	"strings"
)

// LineError is a rule that is written wrongly, and where.
type LineError struct {
	Name    string // of the text
	Line    int    // from 1
	Message string // a Chinese sentence
}

func (e *LineError) Error() string {
	return fmt.Sprintf("%s 第 %d 行：%s", e.Name, e.Line, e.Message)
}

// Only builds a lexicon of the rules of one text in the format of Parse,
// without the embedded ones, to try them. Its weights are those that the text
// gives. Whatever is wrong with the text is a *LineError.
func Only(text string) (*Lexicon, error) {
	const name = "规则"
	rules, err := Parse(name, text)
	if err == nil {
		var l *Lexicon
		if l, err = build(rules); err == nil {
			return l, nil
		}
	}
	if known, ok := err.(*LineError); ok {
		return nil, known
	}
	// A rule without patterns, or an expression that cannot be compiled: each
	// rule by itself tells which.
	heads := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		if f := strings.Fields(line); len(f) > 0 && line[0] != ' ' && line[0] != '\t' && f[0][0] != '#' {
			heads[f[0]] = i + 1
		}
	}
	for _, r := range rules {
		if _, bad := build([]Rule{r}); bad != nil {
			return nil, &LineError{name, lineOf(text, heads[r.ID], &r), bad.Error()}
		}
	}
	for id, line := range heads {
		if strings.Contains(err.Error(), "规则 "+id+" ") {
			return nil, &LineError{name, line, err.Error()}
		}
	}
	return nil, &LineError{name, 1, err.Error()}
}

// lineOf is the line of the first expression of a rule that cannot be
// compiled, from its head on.
func lineOf(text string, head int, r *Rule) int {
	lines := strings.Split(text, "\n")
	for _, e := range append(append([]string{}, r.Exprs...), r.ButExprs...) {
		alone := *r
		alone.Words, alone.Exprs, alone.ButWords, alone.ButExprs = nil, []string{e}, nil, nil
		if _, err := build([]Rule{alone}); err == nil {
			continue
		}
		for i := head; i < len(lines); i++ {
			if strings.Contains(lines[i], "/"+e+"/") {
				return i + 1
			}
		}
	}
	return head
}
