package behave

import (
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mozillazg/go-pinyin"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/text"
)

func testTables(t testing.TB) *tables {
	tables, err := newTables()
	require.NoError(t, err)
	return tables
}

// perturbed applies a perturbation to a customer's text.
func perturbed(tables *tables, p Perturbation, seed uint64, text string) string {
	c := said(text)
	return render(&qingting.Transcript{Messages: p.apply(tables, rand.New(rand.NewPCG(seed, 1)), nil, c.Messages)})
}

func TestPerturbationExamples(t *testing.T) {
	tables := testTables(t)
	for _, tt := range []struct {
		name string
		p    Perturbation
		in   string
		want []string // one of these
	}{
		{"繁体", Perturbation{Name: "traditional"}, "我的话费账单乱扣钱，头发、后面、台风不动", []string{"我的話費賬單亂扣錢，頭发、后面、台風不動", "我的話費账單亂扣錢，頭发、后面、台風不動", "我的話費帳單亂扣錢，頭发、后面、台風不動"}},
		{"简体", Perturbation{Name: "simplified"}, "亂扣話費！", []string{"乱扣话费！"}},
		{"全角", Perturbation{Name: "full_width"}, "扣了299元, ok", []string{"扣了２９９元，　ｏｋ"}},
		{"半角", Perturbation{Name: "half_width"}, "扣了２９９元，　ｏｋ！", []string{"扣了299元, ok!"}},
		{"拼音", Perturbation{Name: "pinyin", Words: []string{"投诉"}}, "我要投诉，投资不算", []string{"我要tousu，投资不算"}},
		{"圈号", Perturbation{Name: "circled", Words: []string{"12315"}, Count: 9}, "打12315，扣了235元", []string{"打①②③①⑤，扣了235元"}},
		{"热线念出来", Perturbation{Name: "spell_digits", Words: []string{"12315"}}, "打12315，扣了235元", []string{"打幺二三幺五，扣了235元"}},
		{"空格", Perturbation{Name: "spaces", Words: []string{"投诉"}}, "我要投诉你们", []string{"我要投 诉你们"}},
		{"看不见的字符", Perturbation{Name: "zero_width"}, "投诉 你", []string{"投\u200b诉 你"}},
		{"拖长", Perturbation{Name: "repeat_char"}, "好慢", []string{"好慢慢慢慢"}},
		{"标点", Perturbation{Name: "no_punct"}, "12:30，扣了1,299.5元！怎么（办）？5%", []string{"12:30扣了1,299.5元怎么办5%"}},
		{"多打标点", Perturbation{Name: "repeat_punct"}, "太慢了。", []string{"太慢了。。。"}},
		{"的得地", Perturbation{Name: "de"}, "我的", []string{"我得", "我地"}},
		{"语气词", Perturbation{Name: "fillers"}, "太慢了", []string{"嗯，太慢了", "那个，太慢了", "就是说，太慢了", "呃，太慢了", "然后呢，太慢了", "就是，太慢了"}},
		{"数字成中文", Perturbation{Name: "to_chinese_numerals"}, "2025年3月15日扣了1050.5元，等了2天，打了12次10086，订单A12件", []string{"二零二五年三月十五日扣了一千零五十点五元，等了两天，打了十二次10086，订单A12件"}},
		{"中文成数字", Perturbation{Name: "to_digits"}, "二零二五年三月十五日扣了一千零五十点五元，等了两天，三四个月，一个人，万一", []string{"2025年3月15日扣了1050.5元，等了2天，三四个月，一个人，万一"}},
		{"换名字", Perturbation{Name: "swap", Words: []string{"张三", "张三丰"}, With: []string{"李四"}}, "我是张三，他是张三丰", []string{"我是李四，他是李四"}},
		{"否定诉求", Perturbation{Name: "negate", Words: []string{"退款"}}, "质量太差，我要退款", []string{"质量太差，我不退款了"}},
		{"否定意图", Perturbation{Name: "negate", Words: []string{"投诉"}, With: []string{"不是要"}}, "我要投诉你们", []string{"我不是要投诉你们"}},
		{"程度", Perturbation{Name: "degree", With: []string{"非常"}}, "有点慢，差", []string{"非常慢，非常差"}},
		{"客气", Perturbation{Name: "polite"}, "包裹丢了。", []string{
			"您好，包裹丢了，麻烦您了", "您好，包裹丢了，麻烦帮忙看一下", "您好，包裹丢了，辛苦处理一下",
			"你好，请问在吗，包裹丢了，麻烦您了", "你好，请问在吗，包裹丢了，麻烦帮忙看一下", "你好，请问在吗，包裹丢了，辛苦处理一下",
			"客服您好，麻烦看一下，包裹丢了，麻烦您了", "客服您好，麻烦看一下，包裹丢了，麻烦帮忙看一下", "客服您好，麻烦看一下，包裹丢了，辛苦处理一下",
		}},
		{"表情", Perturbation{Name: "emoji", With: []string{"😡"}}, "太慢", []string{"太慢😡"}},
		{"前缀", Perturbation{Name: "prefix", With: []string{"在吗，"}}, "太慢", []string{"在吗，太慢"}},
		{"客服一句", Perturbation{Name: "agent_turn", With: []string{"请打12315"}}, "太慢", []string{"客户：太慢\n客服：请打12315"}},
		{"客服先说", Perturbation{Name: "first_agent", With: []string{"您好"}}, "太慢", []string{"客服：您好\n客户：太慢"}},
		{"客户再说", Perturbation{Name: "customer_turn", With: []string{"我要投诉"}}, "太慢", []string{"客户：太慢\n客户：我要投诉"}},
		{"拆开", Perturbation{Name: "split"}, "东西坏了，我要退款", []string{"客户：东西坏了\n客户：我要退款"}},
		{"拆不开", Perturbation{Name: "split"}, "东西坏了，", []string{"东西坏了，"}},
		{"调换句子", Perturbation{Name: "reorder"}, "坏了。退钱！快点", []string{"退钱！坏了。快点"}},
		{"只有一句", Perturbation{Name: "reorder"}, "坏了。", []string{"坏了。"}},
		{"相邻换位", Perturbation{Name: "swap_adjacent"}, "很慢", []string{"慢很"}},
		{"漏字", Perturbation{Name: "drop_char"}, "慢abc", []string{"abc"}},
		{"连着几步", Perturbation{Chain: []Perturbation{{Name: "suffix", With: []string{"。"}}, {Name: "repeat_punct"}}}, "慢", []string{"慢。。。"}},
		{"空串", Perturbation{Name: "homophones"}, "", []string{""}},
		{"坏字节", Perturbation{Name: "drop_char"}, "\xff慢", []string{"\ufffd"}},
	} {
		require.NoError(t, tt.p.check(), tt.name)
		require.Contains(t, tt.want, perturbed(tables, tt.p, 7, tt.in), tt.name)
	}
}

// TestPerturbationPlaces: a perturbation changes only the messages it names.
func TestPerturbationPlaces(t *testing.T) {
	tables := testTables(t)
	c, err := conversation("客户：一\n客服：二\n客户：三\n客服：四")
	require.NoError(t, err)
	for on, want := range map[Where]string{
		"":         "客户：一x\n客服：二\n客户：三x\n客服：四",
		OnCustomer: "客户：一x\n客服：二\n客户：三x\n客服：四",
		OnFirst:    "客户：一x\n客服：二\n客户：三\n客服：四",
		OnLast:     "客户：一\n客服：二\n客户：三x\n客服：四",
		OnAgent:    "客户：一\n客服：二x\n客户：三\n客服：四x",
	} {
		p := Perturbation{Name: "suffix", With: []string{"x"}, On: on}
		got := p.apply(tables, rand.New(rand.NewPCG(1, 1)), nil, c.Messages)
		require.Equal(t, want, render(&qingting.Transcript{Messages: got}), string(on))
	}
	require.Equal(t, "客户：一\n客服：二\n客户：三\n客服：四", render(&c), "the input stays as it is")
	merged := (&Perturbation{Name: "merge"}).apply(tables, nil, nil, []qingting.Message{
		{Role: qingting.RoleCustomer, Text: "在吗"}, {Role: qingting.RoleCustomer, Text: "坏了。"}, {Role: qingting.RoleCustomer, Text: "退钱"}, {Role: qingting.RoleAgent, Text: "好"},
	})
	require.Equal(t, "客户：在吗，坏了。退钱\n客服：好", render(&qingting.Transcript{Messages: merged}))
}

// every is one perturbation of each name, with parameters that work anywhere.
func every() []Perturbation {
	var out []Perturbation
	for _, name := range slices.Sorted(maps.Keys(changes())) {
		p := Perturbation{Name: name, Count: 2}
		if changes()[name].words {
			p.Words = []string{"退款", "2", "坏", "账号"}
		}
		if changes()[name].with {
			p.With = []string{"丙", "丁戊"}
		}
		out = append(out, p)
	}
	return out
}

// words are drawn into texts of customers.
func customerText() *rapid.Generator[string] {
	word := rapid.SampledFrom([]string{
		"我要", "退款", "投诉", "12315", "扣了", "299元", "2天", "三个月", "坏了", "很慢", "账号", "的", "得", "，", "。", "！", " ", "App", "😡", "垃圾",
		"客服", "说好", "发货", "乱扣", "差", "\n", "订单", "20", "%", "…", "头发", "后来", "里面",
	})
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(word, 0, 25).Draw(t, "words"), "") })
}

// TestPerturbationProperties holds for every perturbation: the same seed gives
// the same text, the input stays, kept words survive, and valid text stays
// valid.
func TestPerturbationProperties(t *testing.T) {
	tables := testTables(t)
	keep := []string{"投诉", "12315", "垃圾"}
	rapid.Check(t, func(t *rapid.T) {
		s, seed := customerText().Draw(t, "text"), rapid.Uint64().Draw(t, "seed")
		for _, p := range every() {
			p.Keep = keep
			in := []qingting.Message{{Role: qingting.RoleCustomer, Text: s}, {Role: qingting.RoleAgent, Text: s}}
			out := p.apply(tables, rand.New(rand.NewPCG(seed, 1)), nil, in)
			again := p.apply(tables, rand.New(rand.NewPCG(seed, 1)), nil, in)
			require.Equal(t, out, again, p.Name)
			require.Equal(t, s, in[0].Text, p.Name)
			var said strings.Builder
			for _, m := range out {
				if m.Role == qingting.RoleCustomer {
					said.WriteString(m.Text + "\n")
				} else if m.Text != s {
					require.Contains(t, p.With, m.Text, p.Name)
				}
			}
			require.True(t, utf8.ValidString(said.String()), p.Name)
			for _, w := range keep {
				require.GreaterOrEqual(t, strings.Count(said.String(), w), strings.Count(s, w), "%s lost %s of %q in %q", p.Name, w, s, said.String())
			}
		}
	})
}

// TestWayBack: what claims to be reversible is.
func TestWayBack(t *testing.T) {
	tables := testTables(t)
	cleaner, err := text.NewCleaner()
	require.NoError(t, err)
	require.Greater(t, len(tables.traditional), 1500, "a table that skips nearly everything perturbs nothing")
	rapid.Check(t, func(t *rapid.T) {
		s, seed := customerText().Draw(t, "text"), rapid.Uint64().Draw(t, "seed")
		there := perturbed(tables, Perturbation{Name: "traditional"}, seed, s)
		require.Equal(t, s, perturbed(tables, Perturbation{Name: "simplified"}, seed, there))
		was, _, _ := cleaner.Clean(s)
		is, _, _ := cleaner.Clean(there)
		require.Equal(t, string(was), string(is), there)

		wide := perturbed(tables, Perturbation{Name: "full_width"}, seed, s)
		require.NotRegexp(t, `[!-~]`, wide)
		narrow := perturbed(tables, Perturbation{Name: "half_width"}, seed, s)
		require.Equal(t, narrow, perturbed(tables, Perturbation{Name: "half_width"}, seed, wide))

		hidden := perturbed(tables, Perturbation{Name: "zero_width"}, seed, s)
		require.Equal(t, s, strings.ReplaceAll(hidden, "\u200b", ""))
		spaced := perturbed(tables, Perturbation{Name: "spaces"}, seed, s)
		require.Equal(t, strings.ReplaceAll(s, " ", ""), strings.ReplaceAll(spaced, " ", ""))
	})
}

// TestEverySimplifiedCharacter: each entry of the table is undone by the
// cleaner, which is the only judge of script the product has.
func TestEverySimplifiedCharacter(t *testing.T) {
	tables := testTables(t)
	cleaner, err := text.NewCleaner()
	require.NoError(t, err)
	for s, tr := range tables.traditional {
		back, _, _ := cleaner.Clean(string(tr))
		require.Equal(t, string(s), string(back), string(tr))
	}
	for _, ambiguous := range "发后里面台干只复历" {
		require.NotContains(t, tables.traditional, ambiguous, string(ambiguous))
	}
}

func TestNumerals(t *testing.T) {
	for n, want := range map[int]string{0: "零", 5: "五", 10: "十", 12: "十二", 20: "二十", 105: "一百零五", 110: "一百一十", 1050: "一千零五十", 1005: "一千零五", 10000: "一万", 20300: "二万零三百", 100000: "十万", 10_000_001: "一千万零一"} {
		require.Equal(t, want, reading(n))
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 99_999_999).Draw(t, "n")
		got, ok := value(reading(n))
		require.True(t, ok, reading(n))
		want, _ := digitwise(spelled(got))
		require.Equal(t, want, got)
		require.Equal(t, reading(n), reading(atoi(t, got)))
	})
	for _, no := range []string{"", "三四", "十百", "一二十", "万万", "百"} {
		_, ok := value(no)
		require.False(t, ok, no)
	}
}

func atoi(t require.TestingT, s string) int {
	n := 0
	for _, r := range s {
		require.True(t, r >= '0' && r <= '9', s)
		n = n*10 + int(r-'0')
	}
	return n
}

// TestTypingErrors: how much a typing error changes.
func TestTypingErrors(t *testing.T) {
	tables := testTables(t)
	args := pinyin.NewArgs()
	args.Style = pinyin.Tone3
	rapid.Check(t, func(t *rapid.T) {
		s, seed := customerText().Draw(t, "text"), rapid.Uint64().Draw(t, "seed")
		n := rapid.IntRange(1, 4).Draw(t, "count")
		was := []rune(s)
		is := []rune(perturbed(tables, Perturbation{Name: "homophones", Count: n}, seed, s))
		require.Len(t, is, len(was))
		differ := 0
		for i := range was {
			if was[i] != is[i] {
				differ++
				require.Equal(t, pinyin.SinglePinyin(was[i], args), pinyin.SinglePinyin(is[i], args))
			}
		}
		require.LessOrEqual(t, differ, n)

		swapped := []rune(perturbed(tables, Perturbation{Name: "swap_adjacent"}, seed, s))
		slices.Sort(swapped)
		sorted := slices.Clone(was)
		slices.Sort(sorted)
		require.Equal(t, sorted, swapped)

		hans := 0
		for _, r := range was {
			if han(r) {
				hans++
			}
		}
		require.Len(t, []rune(perturbed(tables, Perturbation{Name: "drop_char", Count: n}, seed, s)), len(was)-min(n, hans))
		long := len([]rune(perturbed(tables, Perturbation{Name: "repeat_char", Count: n}, seed, s))) - len(was)
		require.Zero(t, long%3)
		require.LessOrEqual(t, long, 3*n)
	})
}

var update = flag.Bool("update", false, "write sounds.txt")

// TestSounds derives sounds.txt again.
func TestSounds(t *testing.T) {
	tone := pinyin.NewArgs()
	tone.Style = pinyin.Tone3
	bySound := map[string][]rune{}
	gbk := simplifiedchinese.GBK.NewDecoder()
	n := 0
	for hi := byte(0xb0); hi <= 0xd7; hi++ {
		for lo := byte(0xa1); lo <= 0xfe; lo++ {
			s, err := gbk.String(string([]byte{hi, lo}))
			require.NoError(t, err)
			r, _ := utf8.DecodeRuneInString(s)
			if read := pinyin.SinglePinyin(r, tone); han(r) && len(read) > 0 {
				bySound[read[0]] = append(bySound[read[0]], r)
				n++
			}
		}
	}
	require.Equal(t, 3755, n)
	var b strings.Builder
	for _, sound := range slices.Sorted(maps.Keys(bySound)) {
		b.WriteString(sound + " " + string(bySound[sound]) + "\n")
	}
	if *update {
		require.NoError(t, os.WriteFile("sounds.txt", []byte(b.String()), 0o644))
		return
	}
	require.Equal(t, b.String(), soundsFile)
}
