package text

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var _ qingting.Cleaner = (*Cleaner)(nil)

// testCleaner is shared: building one for every test would only cost time.
var testCleaner = sync.OnceValues(NewCleaner)

func newTestCleaner(t testing.TB) *Cleaner {
	t.Helper()
	c, err := testCleaner()
	require.NoError(t, err)
	return c
}

func TestClean(t *testing.T) {
	c := newTestCleaner(t)
	for _, tc := range [][2]string{
		{"", ""},
		{"   \t\n　", ""},
		{"退款", "退款"},
		{"\x00\x01退\u200b款\ufeff", "退款"},
		{"退\xff\xfe款\xe4", "退款"},
		{"退\ufffd款", "退款"},
		{"\u202e投诉\u202c", "投诉"},
		{"投\u00ad诉\ufe0f", "投诉"},
		{"投\u0336诉\u0336", "投诉"},
		{"退款\r\n\r\n快点　　谢谢", "退款 快点 谢谢"},
		{"ＡＢＣａｂｃ１２３％＋－＝／＠＃＆＊", "ABCabc123%+-=/@#&*"},
		{"你好,快点退款!为什么?算了;", "你好，快点退款！为什么？算了；"},
		{"１，２９９", "1，299"},
		{"1,299.00元", "1,299.00元"},
		{"不行.退款.", "不行。退款。"},
		{"不行...", "不行。。。"},
		{"算了…", "算了…"},
		{"v1.2.3 a.b.com", "v1.2.3 a.b.com"},
		{"10:30到货,备注:加急", "10:30到货，备注：加急"},
		{"http://a.cn/b?c=1", "http://a.cn/b？c=1"},
		{"(加急)", "（加急）"},
		{"「退款」『加急』", "“退款”‘加急’"},
		{"①②⑴⒈❶㈠Ⅲ㎡㏄™℃", "12111一IIIm2ccTM℃"},
		{"1️⃣2️⃣3️⃣1️⃣5️⃣", "12315"},
		{"𝟏𝟐𝟑𝟏𝟓", "12315"},
		{"12③15", "12315"},
		{"1 2 3 1 5", "12315"},
		{"打1-2-3-1-5", "打12315"},
		{"2026-11-20", "2026-11-20"},
		{"138 0013 8000", "138 0013 8000"},
		{"1 2 3", "1 2 3"},
		{"我 要 投 诉 你们", "我要投诉 你们"},
		{"好吃 下次 再来", "好吃 下次 再来"},
		{"⼈⼯客服", "人工客服"},
		{"妳們甚麼態度", "你们什么态度"},
		{"這個帳號祇能用壹次", "这个账号只能用一次"},
		{"姪子的氣燄", "侄子的气焰"},
		{"打開裡面發現頭髮，麵條乾了，於是後悔", "打开里面发现头发，面条干了，于是后悔"},
		{"我等著", "我等着"},
		{"著名 显著 原著 乾隆 什么 瞭望", "著名 显著 原著 乾隆 什么 瞭望"},
		{"著名的品牌這麼差", "著名的品牌这么差"},
		{"臺灣來的快遞", "台湾来的快递"},
		{"務(wù)必處理", "务必处理"},
		{"服务（fúwù）太差(cha)", "服务太差（cha）"},
		{"壹个星期 壹直不理 壹佰贰拾壹个", "一个星期 一直不理 壹佰贰拾壹个"},
		{"气死我了😡😡😡！！！", "气死我了😡😡😡！！！"},
		{"👨‍👩‍👧", "👨👩👧"},
		{strings.Repeat("啊", 50), strings.Repeat("啊", 50)},
		{"￥１９９", "¥199"},
		{"我要tousu", "我要tousu"},
		{"´", "´"},
	} {
		clean, from, to := c.Clean(tc[0])
		require.Equal(t, tc[1], string(clean), "%q", tc[0])
		checkMap(t, tc[0], clean, from, to)
	}
}

// checkMap holds a result of Clean against the contract of Prepared.
func checkMap(t require.TestingT, text string, clean []rune, from, to []int32) {
	n := int32(utf8.RuneCountInString(text))
	require.Len(t, from, len(clean), "%q", text)
	require.Len(t, to, len(clean), "%q", text)
	for i := range clean {
		require.GreaterOrEqual(t, from[i], int32(0), "%q", text)
		require.Less(t, from[i], to[i], "%q", text)
		require.LessOrEqual(t, to[i], n, "%q", text)
		if i > 0 {
			require.GreaterOrEqual(t, from[i], from[i-1], "%q", text)
			require.GreaterOrEqual(t, to[i], to[i-1], "%q", text)
		}
	}
}

func checkClean(t require.TestingT, c *Cleaner, text string) {
	clean, from, to := c.Clean(text)
	checkMap(t, text, clean, from, to)
	once := string(clean)
	require.True(t, utf8.ValidString(once), "%q", text)
	again, _, _ := c.Clean(once)
	require.Equal(t, once, string(again), "%q", text)
	original := []rune(text)
	for i, r := range clean {
		if r >= 0x4e00 && r <= 0x9fff && original[from[i]] == r {
			require.Equal(t, from[i]+1, to[i])
		}
	}
}

func TestCleanOffsets(t *testing.T) {
	c := newTestCleaner(t)
	clean, from, to := c.Clean(" \x00退\xff ½\n款！")
	require.Equal(t, "退 1/2 款！", string(clean))
	require.Equal(t, []int32{2, 4, 5, 5, 5, 6, 7, 8}, from)
	require.Equal(t, []int32{3, 5, 6, 6, 6, 7, 8, 9}, to)
}

// TestCleanPlain holds that simplified text is left alone: every character
// of GB 2312 that is common in it, alone and in a row.
func TestCleanPlain(t *testing.T) {
	c := newTestCleaner(t)
	plain := "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运" +
		"著乾徵么抬捱吒榘醣摺瞭藉"
	clean, _, _ := c.Clean(plain)
	require.Equal(t, plain, string(clean))
	for _, r := range plain {
		clean, _, _ := c.Clean(string(r))
		require.Equal(t, string(r), string(clean))
	}
}

// TestScriptLikeOpenCC compares the flattened tables with what
// longbridgeapp/opencc v0.3.13 makes of texts in traditional characters that
// have none of our corrections in them.
func TestScriptLikeOpenCC(t *testing.T) {
	c := newTestCleaner(t)
	for _, tt := range []struct{ in, want string }{
		{"請問為什麼還沒發貨，訂單已經過了一個禮拜", "请问为什么还没发货，订单已经过了一个礼拜"},
		{"客服說會補償優惠券，結果沒有收到", "客服说会补偿优惠券，结果没有收到"},
		{"這裡的麵條裡面有頭髮，噁心", "这里的面条里面有头发，恶心"},
		{"後來發現是複製品，並不是原裝貨", "后来发现是复制品，并不是原装货"},
		{"乾淨的餐廳，價錢卻騙人", "干净的餐厅，价钱却骗人"},
		{"著名的品牌，質量卻這樣", "著名的品牌，质量却这样"},
		{"網路斷線兩天，師傅遲遲不來", "网路断线两天，师傅迟迟不来"},
		{"銀行櫃檯態度惡劣，還亂扣費用", "银行柜台态度恶劣，还乱扣费用"},
		{"準備去消費者協會檢舉", "准备去消费者协会检举"},
		{"電視機螢幕壞了，保固內不給修", "电视机萤幕坏了，保固内不给修"},
		{"簡訊驗證碼收不到", "简讯验证码收不到"},
		{"幹什麼吃的，隻字不提", "干什么吃的，只字不提"},
		{"余先生與餘額", "余先生与余额"},
		{"鬱悶，憂鬱，蔥鬱", "郁闷，忧郁，葱郁"},
		{"乾隆年間的乾坤", "乾隆年间的乾坤"},
		{"瞭解與瞭望", "了解与瞭望"},
		{"藉口與藉此", "借口与借此"},
		{"徵求意見與象徵", "征求意见与象征"},
		{"發現髮型，鬥爭一斗米", "发现发型，斗争一斗米"},
		{"穀物與山谷", "谷物与山谷"},
		{"製造與制度", "制造与制度"},
		{"週末與周圍", "周末与周围"},
		{"颱風和台北", "台风和台北"},
		{"嚐試品嘗", "尝试品尝"},
		{"捲入試卷", "卷入试卷"},
	} {
		runes := []rune(tt.in)
		c.script.convert(runes)
		require.Equal(t, tt.want, string(runes), "%s", tt.in)
	}
}

// TestFoldSettles holds for every character alone: cleaning twice changes
// nothing.
func TestFoldSettles(t *testing.T) {
	c := newTestCleaner(t)
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if r == 0x30000 {
			r = 0xe0000
		}
		once, _, _ := c.Clean(string(r))
		twice, _, _ := c.Clean(string(once))
		require.Equal(t, string(once), string(twice), "%U", r)
	}
}

// awkward are the pieces that random texts are made of: everything a pass
// of the cleaner looks for.
var awkward = []string{
	"1", "2", "9", " ", "  ", "-", ".", ",", ":", "，", "。", "！", "(", ")", "（", "wù", "wu", "務", "务", "我", "投", "诉", "要", "著", "名", "著名", "乾", "隆", "乾隆", "於", "麼", "甚", "甚麼", "么", "么么",
	"壹", "个", "個", "佰", "帳", "號", "瞭", "望", "後", "裡", "\u200b", "\x00", "\xff", "\u0301", "①", "⑴", "½", "Ⅲ", "㎡", "\ufe0f", "😡", "a", "Z", "/", "「", "徵", "等著", "沈", "默", "沈默", "\n", "　", "合著", "於夫羅", "藉", "摺", "疊", "𝟏", "丽", "ﬁ", "⼈", "吃口", "喫",
}

func TestCleanProperties(t *testing.T) {
	c := newTestCleaner(t)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom(awkward), 0, 40).Draw(t, "parts")
		checkClean(t, c, strings.Join(parts, ""))
	})
	rapid.Check(t, func(t *rapid.T) {
		checkClean(t, c, rapid.String().Draw(t, "text"))
	})
	rapid.Check(t, func(t *rapid.T) {
		checkClean(t, c, string(rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "bytes")))
	})
	// Every character and phrase the script tables know, in any order.
	var known []string
	for r := range c.script.char {
		known = append(known, string(r))
	}
	for _, list := range c.script.phrases {
		for _, p := range list {
			known = append(known, string(p.key), string(p.to))
		}
	}
	slices.Sort(known)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom(known), 0, 12).Draw(t, "parts")
		checkClean(t, c, strings.Join(parts, ""))
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "退款", "務(wù)必", "1 2 3 1 5", "我 要 投 诉", "\x00\xff\u200b", "著名這", "½①㎡", "乾隆 於夫羅", "1-2-3-4 5-6", strings.Repeat("著", 30)} {
		f.Add(s)
	}
	c := newTestCleaner(f)
	f.Fuzz(func(t *testing.T, s string) { checkClean(t, c, s) })
}

func TestCleanConcurrent(t *testing.T) {
	c := newTestCleaner(t)
	want, _, _ := c.Clean("這個帳號祇能用壹次，1 2 3 1 5")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				got, _, _ := c.Clean("這個帳號祇能用壹次，1 2 3 1 5")
				if string(got) != string(want) {
					t.Error("a concurrent call changed the result")
				}
			}
		})
	}
	wg.Wait()
}

const (
	simplifiedSample  = "我昨天在你们店里买的手机，今天就开不了机了，联系客服一直让我等，等了三个小时也没有人处理。我要求退款1999元，不然我就去12315投诉你们，态度太差了！"
	traditionalSample = "我昨天在你們店裡買的手機，今天就開不了機了，聯繫客服一直讓我等，等了三個小時也沒有人處理。我要求退款1999元，不然我就去12315投訴你們，態度太差了！"
	personalSample    = "我叫王小明，电话138 0013 8000，订单号2026112012345678，收货地址是浙江省杭州市西湖区文三路12号3栋2单元501室，请尽快处理退款1999元。"
)

func BenchmarkNewCleaner(b *testing.B) {
	for b.Loop() {
		if _, err := NewCleaner(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClean(b *testing.B) {
	c := newTestCleaner(b)
	for name, s := range map[string]string{"simplified": simplifiedSample, "traditional": traditionalSample} {
		b.Run(name, func(b *testing.B) {
			s := strings.Repeat(s, 6)
			b.SetBytes(int64(len(s)))
			b.ReportAllocs()
			for b.Loop() {
				c.Clean(s)
			}
		})
	}
}

func BenchmarkMask(b *testing.B) {
	for name, s := range map[string]string{"plain": simplifiedSample, "personal": personalSample} {
		b.Run(name, func(b *testing.B) {
			s := string([]rune(strings.Repeat(s, 8))[:500])
			b.SetBytes(int64(len(s)))
			b.ReportAllocs()
			for b.Loop() {
				Mask(s)
			}
		})
	}
}

func BenchmarkFindSlots(b *testing.B) {
	c := newTestCleaner(b)
	for name, s := range map[string]string{"plain": simplifiedSample, "personal": personalSample} {
		b.Run(name, func(b *testing.B) {
			clean, _, _ := c.Clean(strings.Repeat(s, 8))
			clean = clean[:500]
			at := friday()
			b.ReportAllocs()
			for b.Loop() {
				Slots{}.FindSlots(clean, at)
			}
		})
	}
}
