package job

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// eachCase reads the cases of the file. visit gets the faults of a row that is
// no case.
func eachCase(path, temporary string, req *ImportRequest, visit func(line int, c qingting.Case, faults []Fault) error) error {
	if req.Format != FormatJSONL {
		return eachRow(path, temporary, req, visit)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	set, err := charsetOf(file, req.Charset)
	if err != nil {
		return fatal(err)
	}
	l, err := newLines(file, set)
	if err != nil {
		return err
	}
	any := false
	for {
		text, fault, err := l.next()
		if err == io.EOF {
			if !any {
				return errEmpty()
			}
			return nil
		}
		if err != nil {
			return err
		}
		if fault == nil && strings.TrimSpace(text) == "" {
			continue
		}
		any = true
		var c qingting.Case
		if fault == nil {
			c, fault = parseCase(text)
		}
		if fault != nil {
			fault.Line = l.no
			err = visit(l.no, c, []Fault{*fault})
		} else {
			err = visit(l.no, c, nil)
		}
		if err != nil {
			return err
		}
	}
}

func errEmpty() error { return failure("文件里没有内容，请检查是不是选错了文件") }

// parseCase reads one line of JSON.
func parseCase(text string) (qingting.Case, *Fault) {
	var c qingting.Case
	bad := func(column, code, message string) *Fault { return &Fault{Column: column, Code: code, Message: message} }
	if err := transcript.CheckJSON([]byte(text)); err != nil {
		var at *transcript.Error
		if errors.As(err, &at) {
			return c, bad(at.Where, at.Code, at.Message)
		}
		return c, bad("", "bad_json", "不是完整的 JSON 对象，一行写一个案例")
	}
	err := json.Unmarshal([]byte(text), &c)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &wrong):
		return c, bad(wrong.Field, "wrong_type", "类型不对：文字要加引号，数字和 true、false 不加，步骤是列表")
	case strings.Contains(err.Error(), "parsing time"):
		return c, bad("closed_at", "bad_time", "时间要写成 2026-05-01T09:30:00+08:00 的样子")
	}
	return c, bad("", "bad_json", "不是完整的 JSON 对象，一行写一个案例")
}

// caseColumns are the headings of a table of cases that are understood, as
// heading writes them.
func caseColumns() map[string]string {
	return map[string]string{
		"id":           "id 编号 案例id 案例编号 caseid",
		"title":        "title 标题 名称 案例标题 案例名称 主题",
		"type":         "type 类型 投诉类型 分类 类别 category",
		"industry":     "industry 行业",
		"product":      "product 产品 商品 产品名称",
		"scene":        "scene 场景",
		"problem":      "problem 问题 问题描述 投诉内容 客户问题 客户诉求",
		"solution":     "solution 方案 解决方案 处理方案 做法 解决办法 处理办法 处理结果说明",
		"steps":        "steps 步骤 处理步骤",
		"owner":        "owner 负责 负责人 负责部门 处理人 处理部门",
		"outcome":      "outcome 结果 处理结果 是否解决",
		"hours":        "hours 小时 耗时 处理时长 用时 耗时小时",
		"cost":         "cost 成本 花费 费用 赔付金额 花费元",
		"satisfaction": "satisfaction 满意度 评分",
		"reopened":     "reopened 重开 曾重新打开 重复投诉",
		"style":        "style 风格 客户风格",
		"remedy":       "remedy 补救 补救措施 处理方式",
		"lesson":       "lesson 教训 经验教训",
		"source":       "source 来源",
		"closed_at":    "closedat 关闭时间 结案时间 完成时间",
	}
}

// eachRow reads a table of cases.
func eachRow(path, temporary string, req *ImportRequest, visit func(line int, c qingting.Case, faults []Fault) error) error {
	var t table
	if req.Format == FormatXLSX {
		s, err := openSheet(path, temporary)
		if err != nil {
			return err
		}
		t = s
	} else {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if t, err = newCSVTable(file, req.Charset); err != nil {
			return fatal(err)
		}
	}
	defer t.close()
	head, err := t.next()
	if err == io.EOF {
		return errEmpty()
	}
	if err != nil {
		return err
	}
	if head.fault != nil {
		return failure("表头（第 %d 行）读不了：%s", head.line, head.fault.Message)
	}
	columns, err := readHeading(head.cells)
	if err != nil {
		return err
	}
	for {
		r, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var c qingting.Case
		var faults []Fault
		if r.fault != nil {
			faults = []Fault{*r.fault}
		} else if n := len(head.cells); len(r.cells) > n && !blank(r.cells[n:]) {
			faults = []Fault{faultAt(r.line, "", "bad_csv", "有 %d 列，表头是 %d 列，请检查逗号和引号", len(r.cells), n)}
		} else {
			c, faults = caseOf(columns, head.cells, r)
		}
		if err := visit(r.line, c, faults); err != nil {
			return err
		}
	}
}

// readHeading finds the field of each column, "" for one that is not known.
func readHeading(cells []string) ([]string, error) {
	known := map[string]string{}
	for field, names := range caseColumns() {
		for name := range strings.FieldsSeq(names) {
			known[name] = field
		}
	}
	out := make([]string, len(cells))
	for i, cell := range cells {
		field := known[strings.NewReplacer("(", "", ")", "", "（", "", "）", "").Replace(heading(cell))]
		if field != "" && slices.Contains(out, field) {
			return nil, failure("表头里有两列都是“%s”（%s），请删掉一列", short(cell), field)
		}
		out[i] = field
	}
	var missing []string
	for _, need := range [][2]string{{"title", "标题"}, {"type", "类型"}, {"problem", "问题"}, {"solution", "方案"}, {"outcome", "结果"}} {
		if !slices.Contains(out, need[0]) {
			missing = append(missing, need[1]+"（"+need[0]+"）")
		}
	}
	if len(missing) > 0 {
		return nil, failure("表头里缺少这些列：%s。第一行要写列名，可用的还有 编号、行业、产品、场景、步骤、负责人、耗时、成本、满意度、重开、风格、补救、教训、来源、结案时间", strings.Join(missing, "、"))
	}
	return out, nil
}

// caseOf reads one row.
func caseOf(columns, names []string, r row) (qingting.Case, []Fault) {
	var c qingting.Case
	var faults []Fault
	for i, field := range columns {
		if field == "" || i >= len(r.cells) {
			continue
		}
		cell := strings.TrimSpace(r.cells[i])
		bad := func(code, message string) {
			faults = append(faults, Fault{r.line, strings.TrimSpace(names[i]), code, message})
		}
		number := func() float64 {
			if cell == "" {
				return 0
			}
			n, err := strconv.ParseFloat(strings.ReplaceAll(cell, ",", ""), 64)
			if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
				bad("wrong_type", "应当是数字，不带单位")
				return 0
			}
			return n
		}
		switch field {
		case "id":
			c.ID = cell
		case "title":
			c.Title = cell
		case "type":
			c.Type = byLabel(qingting.Types(), cell)
		case "industry":
			c.Industry = cell
		case "product":
			c.Product = cell
		case "scene":
			c.Scene = cell
		case "problem":
			c.Problem = cell
		case "solution":
			c.Solution = cell
		case "steps":
			c.Steps = steps(cell)
		case "owner":
			c.Owner = cell
		case "outcome":
			c.Outcome = outcome(cell)
		case "hours":
			c.Hours = number()
		case "cost":
			c.Cost = number()
		case "satisfaction":
			n := number()
			if n != math.Trunc(n) || math.Abs(n) > 100 {
				bad("wrong_type", "应当是 1 到 5 的整数")
				continue
			}
			c.Satisfied = int(n)
		case "reopened":
			switch strings.ToLower(cell) {
			case "", "0", "否", "没有", "无", "false", "no", "n":
			case "1", "是", "有", "true", "yes", "y":
				c.Reopened = true
			default:
				bad("wrong_type", "应当是 是 或 否")
			}
		case "style":
			c.Style = byLabel(qingting.Styles(), cell)
		case "remedy":
			c.Remedy = byLabel(remedies(), cell)
		case "lesson":
			c.Lesson = cell
		case "source":
			c.Source = cell
		case "closed_at":
			at, good := day(cell)
			if c.ClosedAt = at; !good {
				bad("bad_time", "时间看不懂，请写成 2026-03-01 09:30:00 的样子")
			}
		}
	}
	return c, faults
}

// byLabel is the code of a Chinese name; what is no name is taken for a code,
// which is checked later.
func byLabel[T ~string](codes []T, cell string) T {
	for _, c := range codes {
		if qingting.Label(string(c)) == cell {
			return c
		}
	}
	return T(cell)
}

func remedies() []qingting.RemedyCode {
	return []qingting.RemedyCode{
		qingting.RemedyRefund, qingting.RemedyExchange, qingting.RemedyResend, qingting.RemedyRepair, qingting.RemedyCompensate, qingting.RemedyCoupon,
		qingting.RemedyExplain, qingting.RemedyExpedite, qingting.RemedyCallback, qingting.RemedyCancel, qingting.RemedyApology, qingting.RemedyTransfer,
	}
}

func outcome(cell string) qingting.CaseOutcome {
	switch cell {
	case "已解决", "解决", "成功", "是", "resolved":
		return qingting.CaseResolved
	case "未成功", "未解决", "失败", "否", "failed":
		return qingting.CaseFailed
	}
	return qingting.CaseOutcome(cell)
}

// steps are written one a line, or with a bar or a semicolon between them.
func steps(cell string) []string {
	var out []string
	for s := range strings.FieldsFuncSeq(cell, func(r rune) bool { return strings.ContainsRune("\n|｜;；", r) }) {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// day reads a time, or a day, as people and sheets write them.
func day(cell string) (time.Time, bool) {
	if cell == "" {
		return time.Time{}, true
	}
	if t, err := time.Parse(time.RFC3339, cell); err == nil {
		return t, true
	}
	if t, ok := serial(cell); ok {
		return t, true
	}
	s := strings.Join(strings.Fields(strings.NewReplacer("年", "-", "月", "-", "日", " ", "/", "-", "：", ":", "T", " ").Replace(cell)), " ")
	for _, layout := range []string{"2006-1-2 15:04:05", "2006-1-2 15:04", "2006-1-2"} {
		if t, err := time.ParseInLocation(layout, s, china()); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
