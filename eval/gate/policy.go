package gate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"

	"github.com/qingting-ai/qingting/internal/strictyaml"
)

// ReadPolicy reads a gates.yaml; unknown keys are errors. Errors are Chinese
// sentences that name the file and, where there is one, the line.
func ReadPolicy(path string) (*Policy, error) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("找不到门限文件 %s：请检查 --policy 的路径", path)
	case err != nil:
		return nil, fmt.Errorf("读不了门限文件 %s：%w", path, err)
	}
	var p Policy
	if err := strictyaml.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%s %s", path, inChinese(err))
	}
	p.Confidence = cmp.Or(p.Confidence, 0.95)
	// Written so that NaN, which compares as false, is refused as well.
	if !(p.Confidence > 0 && p.Confidence < 1) {
		return nil, fmt.Errorf("%s %sconfidence 是 %v，应当在 0 和 1 之间，例如 0.95", path, lineOf(b, "$.confidence"), p.Confidence)
	}
	if len(p.Gates) == 0 {
		return nil, fmt.Errorf("%s：gates 是空的，没有任何门限", path)
	}
	for i, g := range p.Gates {
		if what := g.wrong(); what != "" {
			return nil, fmt.Errorf("%s %s第 %d 条门限%s", path, lineOf(b, fmt.Sprintf("$.gates[%d]", i)), i+1, what)
		}
	}
	return &p, nil
}

// wrong says what is wrong with a gate, "" if nothing.
func (g *Gate) wrong() string {
	finite := func(x *float64) bool { return x == nil || !math.IsNaN(*x) && !math.IsInf(*x, 0) }
	switch {
	case g.Figure == "":
		return "没有 figure：写明是哪个指标，例如 type.kind"
	case g.Margin == nil && g.Floor == nil:
		return fmt.Sprintf("（%s）既没有 margin 也没有 floor", g.Figure)
	case !finite(g.Margin):
		return fmt.Sprintf("（%s）的 margin 是 %v：写一个有限的数，例如 0.03", g.Figure, *g.Margin)
	case !finite(g.Floor):
		return fmt.Sprintf("（%s）的 floor 是 %v：写一个有限的数，例如 0.8", g.Figure, *g.Floor)
	case g.Margin != nil && *g.Margin < 0:
		return fmt.Sprintf("（%s）的 margin 是负的；它是能容忍的下降，写 0 或正数", g.Figure)
	case g.Figure == SpeedFigure && g.Margin == nil:
		return fmt.Sprintf("（%s）要写 margin，例如 0.2 表示最多慢 20%%", g.Figure)
	case g.Figure == SpeedFigure && g.Floor != nil:
		return fmt.Sprintf("（%s）不能有 floor：用时只和基线比", g.Figure)
	}
	return ""
}

// lineOf is where a node of a file that was read stands, "" when it is not to be
// found: as in 第 3 行：.
func lineOf(file []byte, path string) string {
	at, err := yaml.PathString(path)
	if err != nil {
		return ""
	}
	tree, err := parser.ParseBytes(file, 0)
	if err != nil {
		return ""
	}
	node, err := at.FilterFile(tree)
	if err != nil || node == nil || node.GetToken() == nil || node.GetToken().Position == nil {
		return ""
	}
	return fmt.Sprintf("第 %d 行：", node.GetToken().Position.Line)
}

// quotedName is the name in an error of the YAML reader.
var quotedName = regexp.MustCompile(`"([^"]*)"`)

// inChinese says what the YAML reader found wrong, and on which line.
func inChinese(err error) string {
	var at yaml.Error
	if !errors.As(err, &at) {
		return "不是门限文件：gates 应当是一列 {figure: …, margin: …}"
	}
	line := ""
	token := at.GetToken()
	if token != nil && token.Position != nil {
		line = fmt.Sprintf("第 %d 行：", token.Position.Line)
	}
	name := ""
	if m := quotedName.FindStringSubmatch(at.GetMessage()); m != nil {
		name = m[1]
	} else if token != nil {
		name = strings.TrimSpace(token.Value)
	}
	var (
		unknown  *yaml.UnknownFieldError
		twice    *yaml.DuplicateKeyError
		kind     *yaml.TypeError
		overflow *yaml.OverflowError
		node     *yaml.UnexpectedNodeTypeError
	)
	switch {
	case errors.As(err, &unknown):
		return fmt.Sprintf("%s没有 %q 这个字段；文件有 confidence 和 gates，每条门限有 system、figure、margin、floor", line, name)
	case errors.As(err, &twice), strings.Contains(at.GetMessage(), "already defined"):
		return fmt.Sprintf("%s%q 写了两次", line, name)
	case errors.As(err, &kind), errors.As(err, &overflow), errors.As(err, &node):
		return fmt.Sprintf("%s%q 不是这里该有的值：margin、floor、confidence 写数字，system、figure 写文字，gates 写一列", line, name)
	}
	return fmt.Sprintf("%sYAML 写法不对（%s）", line, at.GetMessage())
}
