package dataset

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func docs(list ...Doc) iter.Seq2[Doc, error] {
	return func(yield func(Doc, error) bool) {
		for i, d := range list {
			if d.Line == 0 {
				d.File, d.Line = "x.jsonl", i+1
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

func TestLeak(t *testing.T) {
	c := newCleaner(t)
	const long = "我上个月在你们店里买的扫地机器人用了三天就不转了，客服让我寄回去检测，检测完又说是人为损坏不给修，这不是耍赖吗"
	r, err := Leak(
		docs(
			Doc{ID: "a", Text: "退款怎么还不到账？"},
			Doc{ID: "b", Text: long},
			Doc{ID: "c1", Group: "c", Text: "宽带断了"},
			Doc{ID: "d", Text: "好的"},
			Doc{ID: "e", Text: "  "},
			Doc{ID: "f", Text: "退款怎么还不到账"},
		),
		docs(
			Doc{ID: "p", Text: "退款 怎麼還不到賬！！"},                        // script and punctuation
			Doc{ID: "q", Text: strings.Replace(long, "三天", "四天", 1)}, // near
			Doc{ID: "c2", Group: "c", Text: "师傅来过了，还是断"},             // same conversation
			Doc{ID: "c", Text: "另一句话"},                               // its id is a train row's conversation
			Doc{ID: "b", Text: "同一个编号，别的话"},                          // same id
			Doc{ID: "s", Text: "好的。"},
			Doc{ID: "t", Text: "我想问问发票抬头开错了能不能改"},
			Doc{ID: "u", Text: "？？？"},
		),
		LeakOptions{Cleaner: c})
	require.NoError(t, err)
	require.True(t, r.Found())
	var got []string
	for _, p := range r.Pairs {
		got = append(got, p.Kind+" "+p.TestID+"←"+p.TrainID)
	}
	require.Equal(t, []string{"exact p←a", "near q←b", "group c2←c1", "group c←c1", "group b←b", "exact s←d"}, got)
	require.Equal(t, []LeakCheck{{Kind: LeakGroup, Rows: 8, Found: 3}, {Kind: LeakExact, Rows: 7, Found: 2}, {Kind: LeakNear, Rows: 7, Found: 1}}, r.Checks)
	require.Equal(t, "x.jsonl 第 2 行", r.Pairs[1].Train)
	require.Contains(t, r.String(), "相似度 0.8")

	clean, err := Leak(docs(), docs(Doc{Text: "？"}), LeakOptions{Cleaner: c})
	require.NoError(t, err)
	require.False(t, clean.Found())
	require.Contains(t, clean.String(), "未检查（样本没有 id，也没有 group）")

	_, err = Leak(docs(), docs(), LeakOptions{})
	require.Error(t, err)
	_, err = Leak(docs(), docs(), LeakOptions{Cleaner: c, Threshold: 1.5})
	require.Error(t, err)
	broken := func(yield func(Doc, error) bool) { yield(Doc{}, errors.New("第 3 行坏了")) }
	_, err = Leak(docs(), broken, LeakOptions{Cleaner: c})
	require.EqualError(t, err, "第 3 行坏了")
	_, err = Leak(broken, docs(), LeakOptions{Cleaner: c})
	require.EqualError(t, err, "第 3 行坏了")
}

// TestLeakCustomer: a customer in both parts is a leak only where the files are
// grouped by customer.
func TestLeakCustomer(t *testing.T) {
	rows := map[string]string{
		"a.jsonl": `{"id":"1","customer":"k7","messages":[{"role":"customer","text":"宽带断了"}]}`,
		"b.jsonl": `{"id":"2","customer":"k7","messages":[{"role":"customer","text":"发票怎么开"}]}`,
	}
	for group, want := range map[Group]int{ByCustomer: 1, ByConversation: 0} {
		d := open(t, fmt.Sprintf("  - {suite: triage, path: a.jsonl, split: train, group: %[1]s}\n  - {suite: triage, path: b.jsonl, group: %[1]s}\n", group), rows)
		r, err := Leak(d.Docs(&d.Files[0]), d.Docs(&d.Files[1]), LeakOptions{Cleaner: newCleaner(t)})
		require.NoError(t, err)
		require.Equal(t, want, r.Checks[0].Found, string(group))
	}
}

func TestLater(t *testing.T) {
	queries := []Doc{{ID: "1", Time: at(10)}, {ID: "2", Time: at(20)}, {ID: "3"}}
	closed := map[string]time.Time{"a": at(5), "b": at(15), "c": {}}
	qrels := Qrels{"1": {"a": 3, "b": 1, "c": 2}, "2": {"a": 2, "b": 2}, "3": {"b": 3}}
	r := Later(queries, closed, qrels)
	require.Equal(t, []LeakCheck{{Kind: LeakLater, Rows: 2, Found: 1}}, r.Checks)
	require.Len(t, r.Pairs, 1)
	require.Equal(t, "b", r.Pairs[0].TrainID)
	require.Contains(t, r.String(), "案例 b")

	// A case that was judged useless cannot help too early.
	require.False(t, Later(queries, closed, Qrels{"1": {"b": 0}}).Found())
	require.Equal(t, "案例没有结案时间", Later(queries, map[string]time.Time{"a": {}}, qrels).Checks[0].Skipped)
	require.Equal(t, "查询没有时间，或没有判过带时间的案例", Later(queries[2:], closed, qrels).Checks[0].Skipped)
}

func TestShingles(t *testing.T) {
	require.Len(t, shingles("退款不到账", nil), 1)
	require.Len(t, shingles("退款还不到账", nil), 2)
	require.Len(t, shingles("好的", nil), 1)
	require.Len(t, shingles("哈哈哈哈哈哈哈哈", nil), 1)
	require.Equal(t, shingles("退款😡到账了", nil), shingles("退款😡到账了", nil))
	require.NotEqual(t, shingles("退款不到账", nil), shingles("退款不到帐", nil))
	a, b := shingles("一二三四五六七", nil), shingles("一二三四五六八", nil) // 2 of 4
	require.Equal(t, 0.5, jaccard(a, b))
	require.Equal(t, 1.0, jaccard(a, a))
	require.Equal(t, 6, bandValues(0.8))
	require.Equal(t, 16, bandValues(1))
	require.Equal(t, 1, bandValues(0.05))
}

// synthetic is a text of characters drawn with the weights of speech: a few
// are frequent.
func synthetic(r *rand.Rand, n int) []rune {
	out := make([]rune, n)
	for i := range out {
		x := r.Float64()
		out[i] = rune(0x4e00 + int(x*x*3000))
	}
	return out
}

// TestLeakAgainstBruteForce compares with Jaccard over every pair: of the
// test texts with a training text at 0.85 or more at least 99 % are found, and
// nothing below the threshold is reported.
func TestLeakAgainstBruteForce(t *testing.T) {
	c := newCleaner(t)
	r := rand.New(rand.NewPCG(1, 2))
	var train, test []Doc
	for i := range 300 {
		text := synthetic(r, 40+r.IntN(200))
		train = append(train, Doc{ID: fmt.Sprint("a", i), Text: string(text)})
		for j := range 2 {
			near := slices.Clone(text)
			for range r.IntN(1 + len(near)/40) { // one change costs about five of the n-grams on either side
				near[r.IntN(len(near))] = rune(0x5000 + r.IntN(2000))
			}
			test = append(test, Doc{ID: fmt.Sprint("b", i, "-", j), Text: string(near) + string(synthetic(r, r.IntN(6)))})
		}
	}
	sets := make([][]uint64, len(train))
	normal := make([]string, len(train))
	for i := range train {
		normal[i] = Normal(c, train[i].Text)
		sets[i] = shingles(normal[i], nil)
	}
	report, err := Leak(docs(train...), docs(test...), LeakOptions{Cleaner: c})
	require.NoError(t, err)
	found := map[string]float64{}
	for _, p := range report.Pairs {
		found[p.TestID] = p.Similarity
	}
	high, hit := 0, 0
	for _, d := range test {
		text := Normal(c, d.Text)
		set := shingles(text, nil)
		best := 0.0
		for i := range sets {
			best = max(best, jaccard(set, sets[i]))
		}
		got, ok := found[d.ID]
		if ok {
			require.GreaterOrEqual(t, got, 0.8, d.ID)
			require.InDelta(t, best, got, 1e-12, d.ID)
		}
		if best >= 0.85 {
			high++
			if ok {
				hit++
			}
		}
	}
	t.Logf("J ≥ 0.85: %d of %d found", hit, high)
	require.Greater(t, high, 150)
	require.GreaterOrEqual(t, float64(hit)/float64(high), 0.99)
}

// TestLeakTemplate: thousands of texts of one template do not make the search
// quadratic.
func TestLeakTemplate(t *testing.T) {
	var train, test []Doc
	for i := range 2000 {
		text := fmt.Sprintf("您好，我的订单还没有收到，请帮忙催一下物流，麻烦尽快处理，编号%06d", i)
		if i%2 == 0 {
			train = append(train, Doc{ID: fmt.Sprint(i), Text: text})
		} else {
			test = append(test, Doc{ID: fmt.Sprint(i), Text: text})
		}
	}
	r, err := Leak(docs(train...), docs(test...), LeakOptions{Cleaner: newCleaner(t), Threshold: 0.7})
	require.NoError(t, err)
	require.Equal(t, len(test), r.Checks[2].Found)
}

// BenchmarkLeak compares 100,000 conversations with 20,000: one in ten of
// them is a near copy. It reports the memory
// that the index holds.
func BenchmarkLeak(b *testing.B) {
	c := newCleaner(b)
	const train, test = 100_000, 20_000
	text := func(i int) []rune {
		r := rand.New(rand.NewPCG(uint64(i), 9))
		return synthetic(r, 60+r.IntN(200))
	}
	for b.Loop() {
		var before, peak runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r, err := Leak(
			func(yield func(Doc, error) bool) {
				for i := range train {
					if !yield(Doc{ID: fmt.Sprint("a", i), Text: string(text(i))}, nil) {
						return
					}
				}
			},
			func(yield func(Doc, error) bool) {
				for i := range test {
					if i == test/2 {
						runtime.GC()
						runtime.ReadMemStats(&peak)
					}
					d := Doc{ID: fmt.Sprint("b", i)}
					if i%10 == 0 {
						near := text(i)
						near[len(near)/2] = '改'
						d.Text = string(near)
					} else {
						d.Text = string(text(train + i))
					}
					if !yield(d, nil) {
						return
					}
				}
			}, LeakOptions{Cleaner: c})
		require.NoError(b, err)
		require.InDelta(b, test/10, r.Checks[2].Found, test/100)
		b.ReportMetric(float64(peak.HeapAlloc-before.HeapAlloc)/1e6, "MB-live")

	}
}
