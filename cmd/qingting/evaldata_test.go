package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval"
	"github.com/qingting-ai/qingting/eval/dataset"
	"github.com/qingting-ai/qingting/eval/label"
)

const suiteFile = "../../eval/testdata/suite/dataset.yaml"

// secret stands in every text of the files below and in no output.
const secret = "蓝鲸牌热水壶"

// talk is a row of a labelled file. A number at the end keeps texts apart.
func talk(id, words, kind string, more string) string {
	labels := `"types":["product.quality"],"primary":"product.quality","emotion":"angry","intensity":2,"risk":"medium"`
	if kind != "complaint" {
		labels = `"types":[],"primary":null,"emotion":"calm","intensity":0,"risk":"low"`
	}
	return fmt.Sprintf(`{"id":%q,%s"messages":[{"role":"customer","text":%q}],"labels":{"kind":%q,%s,"signals":[],"claims":[],"style":"mixed","outcome":"pending"}}`, id, more, words+"，"+secret, kind, labels)
}

func jsonl(t *testing.T, name string, rows ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(rows, "\n")+"\n"), 0o644))
	return path
}

// evalData runs a command of eval and holds it to showing no text of the data.
func evalData(t *testing.T, want int, args ...string) (out, errOut string) {
	t.Helper()
	code, out, errOut := run(t, "", append([]string{"eval"}, args...)...)
	require.Equal(t, want, code, "%s\n%s", out, errOut)
	require.NotContains(t, out+errOut, secret)
	return out, errOut
}

func TestDataLint(t *testing.T) {
	out, errOut := evalData(t, 0, "data", "lint", suiteFile)
	require.Empty(t, errOut)
	require.Contains(t, out, "0 个错误，2 个警告")

	bad := jsonl(t, "train.jsonl",
		talk("1", "壶坏了", "complaint", ""), talk("2", "壶漏水 打我电话13812345678", "complaint", ""),
		strings.Replace(talk("3", "问一下保修", "inquiry", ""), "inquiry", "询问", 1), "{坏行")
	report := filepath.Join(t.TempDir(), "lint.json")
	out, _ = evalData(t, 1, "data", "lint", suiteFile, bad, "--json", report)
	for _, want := range []string{bad + "：检查了 1 个文件、3 行", ":2（2）", "是电话号码", ":3（3）", "标注手册里没有", ":4", "[json]"} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "class_small", "a training file needs no class to report on")
	var reports map[string]*dataset.LintReport
	b, err := os.ReadFile(report)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &reports))
	require.Equal(t, 3, reports[bad].Rows["train"])
	require.Positive(t, reports[bad].Counts[dataset.CodePersonal])

	votes := jsonl(t, "votes.jsonl", `{"id":"1","messages":[{"role":"customer","text":"谢谢"}],"votes":{"S":{"2":3},"A":{"1":3},"E":{"0":3}}}`)
	evalData(t, 1, "data", "lint", votes)
	evalData(t, 0, "data", "lint", votes, "--suite", "satisfaction")
	pairs := jsonl(t, "pairs.jsonl", `{"id":"1","a":"没收到货","b":"还没到货","label":1}`)
	evalData(t, 0, "data", "lint", pairs, "--suite", "pairs")

	_, errOut = evalData(t, 64, "data", "lint")
	require.Contains(t, errOut, "请给出数据集")
	_, errOut = evalData(t, 64, "data", "lint", bad, "--suite", "好评")
	require.Contains(t, errOut, `没有 suite "好评"`)
	_, errOut = evalData(t, 64, "data", "lint", bad, "--suite", "retrieval")
	require.Contains(t, errOut, "dataset.yaml")
	_, errOut = evalData(t, 65, "data", "lint", "没有.jsonl")
	require.Contains(t, errOut, "文件不存在")
	_, errOut = evalData(t, 64, "data", "lnit")
	require.Contains(t, errOut, `没有 "lnit" 这个命令`)
}

func TestDataSplitAndLeak(t *testing.T) {
	var rows []string
	for i := range 40 {
		kind := []string{"complaint", "complaint", "inquiry"}[i%3]
		rows = append(rows, talk(fmt.Sprint("r", i), fmt.Sprintf("第%d单有问题，%s", i, strings.Repeat(string(rune('一'+i)), 9)), kind, fmt.Sprintf(`"group":"g%d","customer":"c%d","time":"2026-01-%02dT10:00:00+08:00",`, i/2, i/4, i/2+1)))
	}
	all := jsonl(t, "all.jsonl", rows...)
	for _, by := range []string{"conversation", "customer", "time"} {
		t.Run(by, func(t *testing.T) {
			parts := filepath.Join(t.TempDir(), "parts")
			out, errOut := evalData(t, 0, "data", "split", all, "--out", parts, "--by", by, "--train", "0.6", "--dev", "0.2", "--test", "0.2")
			require.Empty(t, errOut)
			require.Contains(t, out, "complaint")
			d, err := dataset.Open(filepath.Join(parts, "dataset.yaml"))
			require.NoError(t, err)
			var sizes []int
			var back []string
			for _, part := range dataset.Parts() {
				n, err := d.Count(d.Select(dataset.SuiteTriage, part)[0])
				require.NoError(t, err)
				sizes = append(sizes, n)
				b, err := os.ReadFile(filepath.Join(parts, string(part)+".jsonl"))
				require.NoError(t, err)
				back = append(back, strings.Split(strings.TrimSpace(string(b)), "\n")...)
			}
			require.Equal(t, []int{24, 8, 8}, sizes)
			require.ElementsMatch(t, rows, back, "every row once, as it was written")
			out, _ = evalData(t, 0, "data", "leak", filepath.Join(parts, "dataset.yaml"), "--threshold", "1")
			require.Contains(t, out, "train → test\n泄漏检查：24 行对 8 行")
			require.Contains(t, out, "同一会话或客户：查了 8 行，命中 0 行")
			_, errOut = evalData(t, 64, "data", "split", all, "--out", parts)
			require.Contains(t, errOut, "不会覆盖")
		})
	}
	for want, args := range map[string][]string{
		"--out":             {"split", all},
		"train 的份额是 -1":     {"split", all, "--out", t.TempDir(), "--train", "-1"},
		"train 的份额是 1.2":    {"split", all, "--out", t.TempDir(), "--train", "1.2"},
		"dev 的份额是 NaN":      {"split", all, "--out", t.TempDir(), "--dev", "NaN"},
		"加起来是 1.1，要等于 1":    {"split", all, "--out", t.TempDir(), "--train", "0.9"},
		`--by 的值 "行"`:       {"split", all, "--out", t.TempDir(), "--by", "行"},
		`--stratify 的值 "x"`: {"split", all, "--out", t.TempDir(), "--stratify", "x"},
		"--file":            {"split", suiteFile, "--out", t.TempDir()},
		`没有 "甲"`:            {"split", suiteFile, "--file", "甲", "--out", t.TempDir()},
		"不能切分":              {"split", suiteFile, "--file", "retrieval", "--out", t.TempDir()},
		"没有 customer":       {"split", suiteFile, "--file", "triage", "--by", "customer", "--out", t.TempDir()},
		"只有一个部分":            {"leak", suiteFile},
		"--threshold 要大于 0": {"leak", all, all, "--threshold", "0"},
		"请给出一个数据集，或训练和评测两个": {"leak"},
	} {
		_, errOut := evalData(t, 64, append([]string{"data"}, args...)...)
		require.Contains(t, errOut, want)
	}
	evalData(t, 65, "data", "split", "没有.jsonl", "--out", t.TempDir())
	none := filepath.Join(t.TempDir(), "none")
	for want, args := range map[string][]string{
		"里没有一行数据，没有可切分的":                 {jsonl(t, "空.jsonl")},
		"4 行数据里会话太少，dev 要占 0.1 却一行也分不到":  {jsonl(t, "少.jsonl", rows[:4]...)},
		"5 行数据里客户太少，test 要占 0.1 却一行也分不到": {jsonl(t, "少.jsonl", rows[:5]...), "--by", "customer", "--dev", "0.5", "--train", "0.4"},
	} {
		_, errOut := evalData(t, 65, append([]string{"data", "split", "--out", none}, args...)...)
		require.Contains(t, errOut, want)
		require.NoDirExists(t, none)
	}

	// A row of the training file again: the same text, other punctuation.
	again := jsonl(t, "dev.jsonl", talk("新", "第3单有问题！！"+strings.Repeat("丄", 9), "inquiry", ""), talk("r3", "完全是别的事情，想改一下收货地址", "inquiry", ""))
	train := jsonl(t, "train.jsonl", talk("旧", "第3单有问题 "+strings.Repeat("丄", 9), "inquiry", ""), talk("其他", "安装师傅没有来", "complaint", `"group":"r3",`))
	report := filepath.Join(t.TempDir(), "leak.json")
	out, _ := evalData(t, 1, "data", "leak", train, again, "--json", report)
	require.Contains(t, out, "原文相同：查了 2 行，命中 1 行")
	require.Contains(t, out, "同一会话或客户：查了 2 行，命中 1 行")
	require.Contains(t, out, "（新）← ")
	var between []leakBetween
	b, err := os.ReadFile(report)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &between))
	require.Len(t, between, 1)
	require.Len(t, between[0].Report.Pairs, 2)
	evalData(t, 65, "data", "leak", train, "没有.jsonl")
	_, errOut := evalData(t, 65, "data", "leak", train, jsonl(t, "空.jsonl"))
	require.Contains(t, errOut, "空.jsonl 里没有一行数据，查不了泄漏")
}

// TestDataLeakLater: a case that was closed after its query was asked.
func TestDataLeakLater(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"dataset.yaml": "name: 检索\nversion: \"1\"\ntaxonomy: \"1.3\"\nsuites:\n  - {suite: retrieval, path: q.jsonl, qrels: q.qrels, corpus: cases.jsonl}\n",
		"q.jsonl":      `{"id":"q1","time":"2026-01-05T00:00:00Z","text":"壶漏水怎么办 ` + secret + `"}` + "\n",
		"q.qrels":      "q1 0 早 2\nq1 0 晚 2\n",
		"cases.jsonl":  `{"id":"早","closed_at":"2026-01-01T00:00:00Z"}` + "\n" + `{"id":"晚","closed_at":"2026-01-09T00:00:00Z"}` + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	out, _ := evalData(t, 1, "data", "leak", filepath.Join(dir, "dataset.yaml"))
	require.Contains(t, out, "案例晚于提问：查了 1 行，命中 1 行")
	require.Contains(t, out, "案例 晚")
	require.NotContains(t, out, "案例 早")
}

func TestDataIAA(t *testing.T) {
	var a, b, both []string
	for i := range 20 {
		id, one, other := fmt.Sprint("c", i), "complaint", "complaint"
		if i >= 12 {
			other = "inquiry"
		}
		if i >= 16 {
			one = "inquiry"
		}
		a, b = append(a, talk(id, "一", one, "")), append(b, talk(id, "二", other, ""))
		labels := func(row string) string { return row[strings.Index(row, `"labels":`)+len(`"labels":`) : len(row)-1] }
		both = append(both, fmt.Sprintf(`{"id":%q,"甲":%s,"乙":%s}`, id, labels(a[i]), labels(b[i])))
	}
	first, second := jsonl(t, "甲.jsonl", a...), jsonl(t, "乙.jsonl", b...)
	report := filepath.Join(t.TempDir(), "iaa.json")
	out, errOut := evalData(t, 0, "data", "iaa", first, second, "--json", report)
	require.Empty(t, errOut)
	for _, want := range []string{"2 个标注人（甲、乙），20 个会话", "0.800 [", "0.545 [", "complaint", "甲 标前者 4 次，乙 0 次"} {
		require.Contains(t, out, want)
	}
	var agreement label.Agreement
	content, err := os.ReadFile(report)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &agreement))
	require.InDelta(t, 6.0/11, float64(agreement.Fields[0].Kappa.Value), 1e-12)

	out, _ = evalData(t, 0, "data", "iaa", jsonl(t, "annotators.jsonl", both...), "--rounds", "50")
	require.Contains(t, out, "2 个标注人（乙、甲），20 个会话")
	require.Contains(t, out, "0.545 [")

	_, errOut = evalData(t, 65, "data", "iaa", first)
	require.Contains(t, errOut, "只有一份标注")
	_, errOut = evalData(t, 65, "data", "iaa", first, jsonl(t, "丙.jsonl", talk("别的", "一", "complaint", "")))
	require.Contains(t, errOut, "id 是不是对得上")
	_, errOut = evalData(t, 65, "data", "iaa", first, "没有.jsonl")
	require.Contains(t, errOut, "文件不存在")
	empty := jsonl(t, "空.jsonl")
	for _, args := range [][]string{{empty}, {first, empty}} {
		_, errOut = evalData(t, 65, append([]string{"data", "iaa"}, args...)...)
		require.Contains(t, errOut, "空.jsonl 里没有一行标注")
	}
	evalData(t, 64, "data", "iaa")
	evalData(t, 64, "data", "iaa", first, second, "--rounds", "0")
}

// TestDataNoise trains on conversations of two plain kinds, two of which are
// labelled the wrong way round.
func TestDataNoise(t *testing.T) {
	if testing.Short() {
		t.Skip("trains twice")
	}
	var rows []string
	for i := range 48 {
		kind, words := "complaint", []string{"质量太差了气死我了要退货", "又坏了真是垃圾东西退钱", "用两天就坏太失望了赔钱"}[i%3]
		if i%2 == 1 {
			kind, words = "inquiry", []string{"请问怎么预约安装呀", "想问一下几点下班呢", "请问这款有几种颜色"}[i%3]
		}
		if i == 10 || i == 31 {
			kind = map[string]string{"complaint": "inquiry", "inquiry": "complaint"}[kind]
		}
		rows = append(rows, talk(fmt.Sprintf("n%02d", i), fmt.Sprintf("%s %d", words, i), kind, ""))
	}
	report := filepath.Join(t.TempDir(), "noise.json")
	out, _ := evalData(t, 0, "data", "noise", "--data", jsonl(t, "train.jsonl", rows...), "--folds", "2", "--field", "kind", "--top", "1", "--json", report)
	require.Contains(t, out, "48 个会话")
	var r label.NoiseReport
	content, err := os.ReadFile(report)
	require.NoError(t, err)
	require.NotContains(t, string(content), secret)
	require.NoError(t, json.Unmarshal(content, &r))
	require.Len(t, r.Columns, 1)
	var first []string
	for _, s := range r.Suspicions[:2] {
		first = append(first, s.ID+" "+s.Given+" "+s.Suggested)
	}
	require.ElementsMatch(t, []string{"n10 inquiry complaint", "n31 complaint inquiry"}, first)
	require.Contains(t, out, r.Suspicions[0].ID)
	require.NotContains(t, out, r.Suspicions[1].ID, "--top 1")
}

func TestDataNoiseRefuses(t *testing.T) {
	dev := jsonl(t, "dev.jsonl", talk("1", "壶坏了", "complaint", ""))
	for want, args := range map[string][]string{
		"评测数据不能按模型的意见改标注":  {"--data", dev},
		"没有训练数据":           {"--data", suiteFile},
		"--folds 至少是 2":    {"--data", dev, "--folds", "1"},
		"--top 至少是 1":      {"--data", dev, "--top", "0"},
		`--method 的值 "猜"`:  {"--data", dev, "--method", "猜"},
		`不能检查字段 "primary"`: {"--data", dev, "--field", "kind,primary"},
	} {
		_, errOut := evalData(t, 64, append([]string{"data", "noise"}, args...)...)
		require.Contains(t, errOut, want)
	}
	_, errOut := evalData(t, 65, "data", "noise", "--data", t.TempDir())
	require.Contains(t, errOut, "没有 labelled/train*.jsonl")
	_, errOut = evalData(t, 65, "data", "noise", "--any", "--data", jsonl(t, "空.jsonl"))
	require.Contains(t, errOut, "里没有一行标注")
	_, errOut = evalData(t, 65, "data", "noise", "--data", "没有")
	require.Contains(t, errOut, "请检查 --data")
}

func TestPower(t *testing.T) {
	out, errOut := evalData(t, 0, "power", "--discordant", "0.15", "--delta", "0.03", "--n", "240")
	require.Empty(t, errOut)
	for _, want := range []string{"至少要 1306 个样本", "240 个样本能发现的最小差：0.0697", "功效：0.224", "10000            0.0108"} {
		require.Contains(t, out, want)
	}
	out, _ = evalData(t, 0, "power", "--sd", "0.4", "--cluster", "4", "--icc", "0.25")
	require.Contains(t, out, "标准差 0.4，设计效应 1.75")
	require.NotContains(t, out, "功效\n", "without a difference there is no power")
	out, _ = evalData(t, 0, "power", "--discordant", "0.05", "--n", "20")
	require.Contains(t, out, "20 个样本能发现的最小差：发现不了")
	for want, args := range map[string][]string{
		"请给出且只给出一个：--discordant": {"--n", "100"},
		"只给出一个":                 {"--discordant", "0.1", "--sd", "1"},
		"--cluster 和 --icc 要一起": {"--sd", "1", "--icc", "0.1"},
		"--cluster 至少是 1":       {"--sd", "1", "--icc", "2", "--cluster", "3"},
		"显著性水平":                 {"--sd", "1", "--alpha", "0"},
		"检验功效":                  {"--sd", "1", "--power", "1"},
		"样本数是 -5":               {"--sd", "1", "--n", "-5"},
		"--sd 是 0：标准差要大于 0":     {"--sd", "0"},
		"--sd 是 NaN":            {"--sd", "NaN"},
		"--discordant 是 2：只有一个": {"--discordant", "2"},
		"--delta 是 NaN":         {"--sd", "1", "--delta", "NaN"},
		"差值":                    {"--discordant", "0.1", "--delta", "0.2"},
		"--from 和 --figure 要一起": {"--from", "a", "b"},
		"--from 后面要给出两个系统":      {"--from", "a", "--figure", "type.kind"},
		"不能再给":                  {"--from", "a", "b", "--figure", "type.kind", "--sd", "1"},
	} {
		_, errOut := evalData(t, 64, append([]string{"power"}, args...)...)
		require.Contains(t, errOut, want)
	}
	evalData(t, 65, "power", "--from", "没有", "也没有", "--figure", "type.kind")
}

// answers writes the rows of a system that is right where right says so.
func answers(t *testing.T, n int, group func(int) string, right func(int) bool) string {
	t.Helper()
	var rows []string
	for i := range n {
		gold := qingting.Labels{
			Kind: qingting.KindComplaint, Types: []qingting.Type{qingting.TypeDelay}, Primary: qingting.TypeDelay, Emotion: qingting.EmotionAngry, Intensity: 2,
			Risk: qingting.RiskMedium, Style: qingting.StyleMixed, Outcome: qingting.OutcomePending,
		}
		said := gold
		if !right(i) {
			said.Kind, said.Types, said.Primary = qingting.KindInquiry, []qingting.Type{}, ""
			said.Emotion, said.Risk, said.Style, said.Outcome = qingting.EmotionCalm, qingting.RiskHigh, qingting.StyleRational, qingting.OutcomeResolved
		}
		b, err := json.Marshal(&eval.Row{
			Suite: dataset.SuiteTriage, File: "f", ID: fmt.Sprint(i), Hash: fmt.Sprintf("%064d", i), Group: group(i), Gold: &gold,
			Answer: &eval.Answer{Labels: &said, KindP: 0.9, TypesP: []float64{0.8}[:len(said.Types)], EmotionP: 0.9, StyleP: 0.9, OutcomeP: 0.9, HighP: 0.1},
		})
		require.NoError(t, err)
		rows = append(rows, string(b))
	}
	return filepath.Dir(jsonl(t, eval.RowsFile, rows...))
}

// TestPowerFrom estimates from rows of which 20 of 200 are right in one system
// only.
func TestPowerFrom(t *testing.T) {
	own := func(i int) string { return fmt.Sprint(i) }
	base := answers(t, 200, own, func(i int) bool { return i >= 14 })
	candidate := answers(t, 200, own, func(i int) bool { return i < 194 })
	for _, figure := range []string{"type.kind", "risk.level"} {
		out, errOut := evalData(t, 0, "power", "--from", base, candidate, "--figure", figure, "--delta", "0.04")
		require.Empty(t, errOut)
		require.Contains(t, out, "200 个样本，基线 0.930，候选 0.970；只有基线对 6 个，只有候选对 14 个", figure)
		require.Contains(t, out, "占 0.1\n", "no cluster, no design effect")
		require.Contains(t, out, "至少要 489 个样本")
	}
	// The same rows, four to a conversation that are right or wrong together.
	four := func(i int) string { return fmt.Sprint(i / 4) }
	clustered, now := answers(t, 200, four, func(i int) bool { return i >= 16 }), answers(t, 200, four, func(i int) bool { return i < 192 })
	out, _ := evalData(t, 0, "power", "--from", clustered, now, "--figure", "type.kind")
	var effect float64
	_, err := fmt.Sscanf(out[strings.Index(out, "设计效应")+len("设计效应 "):], "%f", &effect)
	require.NoError(t, err, out)
	require.InDelta(t, 4, effect, 0.5, "rows of a conversation are one")

	out, _ = evalData(t, 0, "power", "--from", base, candidate, "--figure", "type.types_micro")
	require.Contains(t, out, "逐样本差值的标准差")
	for want, args := range map[string][]string{
		"可选 type.kind": {base, candidate, "--figure", "准确率"},
		"已经按组重抽样":      {base, candidate, "--figure", "type.types_micro", "--cluster", "2", "--icc", "0.1"},
	} {
		_, errOut := evalData(t, 64, append([]string{"power", "--from"}, args...)...)
		require.Contains(t, errOut, want)
	}
	for _, figure := range []string{"type.kind", "type.types_micro"} {
		_, errOut := evalData(t, 65, "power", "--from", base, base, "--figure", figure)
		require.Contains(t, errOut, "估计不了")
	}
}

// TestXcheck needs no library: a python3 that says which are missing, one that
// is none, and none at all. The figures themselves are for package xcheck.
func TestXcheck(t *testing.T) {
	fake := func(answer string) string {
		path := filepath.Join(t.TempDir(), "python3")
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\ncat >/dev/null\n"+answer+"\n"), 0o755))
		return path
	}
	_, errOut := evalData(t, 64, "xcheck", "--python", filepath.Join(t.TempDir(), "python3"))
	require.Contains(t, errOut, "请安装 Python 3")
	_, errOut = evalData(t, 65, "xcheck", "--python", fake(`echo '{"missing": ["sklearn"]}'`))
	require.Contains(t, errOut, "缺少参考库 sklearn")
	_, errOut = evalData(t, 65, "xcheck", "--python", fake("exit 3"))
	require.Contains(t, errOut, "运行参考脚本")
	_, errOut = evalData(t, 64, "xcheck", "x")
	require.Contains(t, errOut, "不接受参数")
}
