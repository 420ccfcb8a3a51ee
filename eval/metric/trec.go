package metric

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ReadQrels reads judgements in TREC form, "query iteration document grade" a
// line. It is strict: a line of another shape, a grade that is no whole number
// or a document judged twice is an error that names the line. Blank lines are
// passed over.
func ReadQrels(r io.Reader) (Qrels, error) {
	out := Qrels{}
	err := eachLine(r, 4, "query 0 document grade", func(f []string) error {
		grade, err := strconv.Atoi(f[3])
		if err != nil {
			return fmt.Errorf("等级 %q 不是整数", f[3])
		}
		if out[f[0]] == nil {
			out[f[0]] = map[string]int{}
		}
		if _, twice := out[f[0]][f[2]]; twice {
			return fmt.Errorf("查询 %s 的文档 %s 标注了两次", f[0], f[2])
		}
		out[f[0]][f[2]] = grade
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("读取 qrels：%w", err)
	}
	return out, nil
}

// ReadRun reads a run in TREC form, "query Q0 document rank score tag" a line,
// as strictly as ReadQrels. The rank is not used: trec_eval ranks by score.
func ReadRun(r io.Reader) (Run, error) {
	out := Run{}
	seen := map[[2]string]bool{}
	err := eachLine(r, 6, "query Q0 document rank score tag", func(f []string) error {
		if _, err := strconv.Atoi(f[3]); err != nil {
			return fmt.Errorf("名次 %q 不是整数", f[3])
		}
		score, err := strconv.ParseFloat(f[4], 64)
		if err != nil || math.IsNaN(score) || math.IsInf(score, 0) {
			return fmt.Errorf("分数 %q 不是有限的数", f[4])
		}
		if key := [2]string{f[0], f[2]}; seen[key] {
			return fmt.Errorf("查询 %s 的文档 %s 出现了两次", f[0], f[2])
		} else {
			seen[key] = true
		}
		out[f[0]] = append(out[f[0]], Scored{Document: f[2], Score: score})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("读取 TREC run：%w", err)
	}
	return out, nil
}

// maxLine bounds a line; ids are short, so a longer line is another file.
const maxLine = 1 << 20

func eachLine(r io.Reader, fields int, shape string, each func(fields []string) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		text := lines.Bytes()
		if n == 1 {
			text = bytes.TrimPrefix(text, []byte("\uFEFF"))
		}
		if !utf8.Valid(text) {
			return fmt.Errorf("第 %d 行不是合法的 UTF-8；请转换编码", n)
		}
		f := strings.Fields(string(text))
		if len(f) == 0 {
			continue
		}
		if len(f) != fields {
			return fmt.Errorf("第 %d 行有 %d 列，应当是 %d 列（%s）", n, len(f), fields, shape)
		}
		if err := each(f); err != nil {
			return fmt.Errorf("第 %d 行：%w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("第 %d 行之后：%w", n, err)
	}
	return nil
}

// WriteQrels writes judgements in TREC form, by query and document in byte
// order, so the same judgements give the same bytes.
func WriteQrels(w io.Writer, q Qrels) error {
	out := bufio.NewWriter(w)
	for _, query := range slices.Sorted(maps.Keys(q)) {
		for _, doc := range slices.Sorted(maps.Keys(q[query])) {
			if err := plainIDs(query, doc); err != nil {
				return err
			}
			fmt.Fprintf(out, "%s 0 %s %d\n", query, doc, q[query][doc])
		}
	}
	return out.Flush()
}

// WriteRun writes a run in TREC form, queries in byte order, each query's
// documents as given with ranks from 1. tag names the run.
func WriteRun(w io.Writer, run Run, tag string) error {
	out := bufio.NewWriter(w)
	for _, query := range slices.Sorted(maps.Keys(run)) {
		for i, d := range run[query] {
			if err := plainIDs(query, d.Document, tag); err != nil {
				return err
			}
			fmt.Fprintf(out, "%s Q0 %s %d %s %s\n", query, d.Document, i+1, strconv.FormatFloat(d.Score, 'g', -1, 64), tag)
		}
	}
	return out.Flush()
}

// plainIDs refuses what the columns of the form cannot carry.
func plainIDs(ids ...string) error {
	for _, id := range ids {
		if id == "" || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsSpace) || strings.HasPrefix(id, "\uFEFF") {
			return fmt.Errorf("编号 %q 为空、含空白或不是合法的 UTF-8，无法写成 TREC 格式", id)
		}
	}
	return nil
}
