package transcript

import (
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
)

// speakers lists what people write before the colon. In plain text and CSV
// these words are accepted; JSON takes the four codes only.
func speakers() map[qingting.Role]string {
	return map[qingting.Role]string{
		qingting.RoleCustomer: `客户|客戶|顾客|顧客|用户|用戶|买家|買家|消费者|消費者|来电人|來電人|访客|訪客|乘客|会员|會員|投诉人|投訴人|我|customer|client|user|buyer|caller|visitor`,
		qingting.RoleAgent:    `人工客服|在线客服|客服人员|客服人員|客服专员|客服專員|客服|坐席|座席|商家|卖家|賣家|店家|店铺|店鋪|人工|专员|專員|工作人员|工作人員|接线员|接線員|话务员|話務員|customer service|agent|staff|seller|merchant|support|operator|representative`,
		qingting.RoleBot:      `智能客服|智能助手|机器人客服|机器人|機器人|小助手|chatbot|bot|robot|assistant`,
		qingting.RoleSystem:   `系统消息|系统提示|系统|系統消息|系統提示|系統|system`,
	}
}

// grammar holds the compiled patterns of plain text.
type grammar struct {
	roles   map[string]qingting.Role
	turn    *regexp.Regexp // a line on which somebody begins to speak
	bare    *regexp.Regexp // the same with the speaker in brackets, which needs no colon
	head    *regexp.Regexp // the speaker and the time, no colon, and perhaps words
	opening *regexp.Regexp // how a line of an unknown speaker may begin
	dressed *regexp.Regexp // a line dressed like a turn whose speaker is unknown
	rule    *regexp.Regexp // --- between conversations
	fields  []string       // how labels of what a customer fills in end
}

// plainText compiles the patterns once, when the first text is read: that
// takes longer than reading a conversation. They never change.
var plainText = sync.OnceValue(newGrammar)

func newGrammar() *grammar {
	roles := map[string]qingting.Role{}
	var words []string
	for _, role := range []qingting.Role{qingting.RoleAgent, qingting.RoleBot, qingting.RoleSystem, qingting.RoleCustomer} {
		words = append(words, speakers()[role])
		for w := range strings.SplitSeq(speakers()[role], "|") {
			roles[w] = role
		}
	}
	const (
		clock = `\d{1,2}[:：]\d{2}(?:[:：]\d{2}(?:[.,]\d+)?)?`
		date  = `(?:\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?|\d{1,2}[-/月]\d{1,2}日?)`
		stamp = `(?:` + date + `(?:[ T\t]*` + clock + `(?:Z|[+-]\d{2}:?\d{2})?)?|` + clock + `)`
		// before is what logs put before the speaker: a number, a time.
		before = `(?:[\[(（【<]\s*(` + stamp + `)\s*[\])）】>]|(` + stamp + `)|#?\d{1,5}[.、)）])?[\s,，|-]*`
		// A name may stand beside the role, but only dressed as one, so that
		// 客服态度太差了：… stays the customer's sentence.
		name   = `(?:[-_#]?[0-9A-Za-z]{1,12}|小\p{Han}{1,2}|[(（\[【][^)）\]】\n]{1,20}[)）\]】]| {1,2}(?:\p{Han}{1,4}|[0-9A-Za-z_]{1,20}))?`
		behind = `(?:\s*[\[(（]?\s*(` + stamp + `)\s*[\])）]?)?`
	)
	role := `(` + strings.Join(words, "|") + `)`
	return &grammar{
		roles: roles,
		fields: strings.Fields(`号 码 时间 日期 电话 手机 地址 姓名 名字 名称 金额 价格 单价 费用 余额 问题 情况 原因 经过 诉求 要求 需求 请求 目的 备注 说明 描述 内容 标题
		商品 产品 品牌 型号 规格 颜色 尺码 尺寸 数量 款式 链接 图片 截图 照片 视频 证据 附件 订单 网址 http https 邮箱 微信 QQ 状态 结果 结论 总结 补充 另外 还有 注 注意 PS
		第一 第二 第三 其一 其二 首先 其次 最后 上午 下午 中午 晚上 今天 昨天 前天 早上 次`),
		turn: regexp.MustCompile(`(?i)^\s*` + before +
			`(?:` + role + name + `|[\[【(（]` + role + `[\]】)）]|[^\s：:，。,.!！?？]{1,12}[\[【(（]` + role + `[\]】)）]|[^\s：:，。,.!！?？]{1,12}[-_/|]` + role + `)` +
			behind + `\s*[：:](.*)$`),
		bare: regexp.MustCompile(`(?i)^\s*` + before + `(?:[\[【(（]` + role + `[\]】)）]|【` + role + name + `】)` + behind + `\s*[：:]?(.*)$`),
		// Words may follow the time after a space, so that 客服 10:21前要给我
		// 答复 stays the customer's sentence.
		head: regexp.MustCompile(`(?i)^\s*` + role + name + `\s*[\[(（]?\s*(` + stamp + `)\s*[\])）]?(?:\s*$|\s*[：:]\s*(.*)$|\s+(.*)$)`),
		// Groups: 【label】, label and colon, a known word without colon.
		opening: regexp.MustCompile(`(?i)^\s*` + before + `(?:【([^】\s：:，。]{1,8})】|([\p{L}_][^\s：:，。,.!！?？、；;]{0,7})\s*[：:]|` + role + `(?:[ \t　|>\-—]|$))`),
		dressed: regexp.MustCompile(`^\s*(?:[\[(（【<]\s*` + stamp + `\s*[\])）】>]|` + date + `[ T\t]*` + clock + `)\s*([^\s：:，。,.!！?？\d][^\s：:，。,.!！?？]{0,11})\s*[：:]`),
		rule:    regexp.MustCompile(`^\s*(?:-{3,}|={3,}|\*{3,}|—{3,}|－{3,}|＝{3,})\s*$`),
	}
}

// roleOf finds the role for the word of a speaker, "" when it is unknown.
func (g *grammar) roleOf(word string) qingting.Role {
	return g.roles[strings.ToLower(strings.TrimSpace(word))]
}

// turn is one line on which somebody begins to speak.
type turn struct {
	role qingting.Role
	at   time.Time
	text string
}

// parse reads the beginning of a turn.
func (g *grammar) parse(s string) (turn, bool) {
	// Most lines need no pattern: 客户：… begins a turn, and a line without a
	// colon or a bracket near its beginning does not.
	start := s[:min(len(s), 200)]
	colon := strings.IndexAny(start, ":：")
	if colon < 0 {
		return g.parseBare(s)
	}
	if role := g.roleOf(s[:colon]); role != "" {
		_, size := utf8.DecodeRuneInString(s[colon:])
		return turn{role: role, text: strings.TrimSpace(s[colon+size:])}, true
	}
	// The colon of 客户 10:40 belongs to the clock, so this form comes first.
	if m := g.head.FindStringSubmatch(s); m != nil {
		return turn{role: g.roleOf(m[1]), at: parseTime(m[2]), text: strings.TrimSpace(m[3] + m[4])}, true
	}
	if t, ok := g.parseBare(s); ok {
		return t, true
	}
	if m := g.turn.FindStringSubmatch(s); m != nil {
		// Groups: two places for the time before, four for the role, one for
		// the time behind, the text.
		return turn{role: g.roleOf(m[3] + m[4] + m[5] + m[6]), at: parseTime(m[1] + m[2] + m[7]), text: strings.TrimSpace(m[8])}, true
	}
	return turn{}, false
}

// parseBare reads the beginning of a turn whose speaker stands in brackets
// with or without a colon: 【客户】我的快递呢.
func (g *grammar) parseBare(s string) (turn, bool) {
	if !strings.ContainsAny(s[:min(len(s), 200)], "]】)）") {
		return turn{}, false
	}
	m := g.bare.FindStringSubmatch(s)
	if m == nil {
		return turn{}, false
	}
	return turn{role: g.roleOf(m[3] + m[4]), at: parseTime(m[1] + m[2] + m[5]), text: strings.TrimSpace(m[6])}, true
}

// labels collects how the lines begin that nobody is named on, to tell a
// dialogue of unknown speakers from one customer's words.
type labels struct {
	order []string              // as they came
	lines map[string]int        // that begin with this label
	turns map[string]int        // messages of known speakers in which it occurs
	last  map[string]int        // number of the message it was seen in last
	known map[qingting.Role]int // lines that begin with a known word, but no colon
}

// add looks at one line; turn is the number of the message it would belong to.
func (l *labels) add(g *grammar, s string, turn int) {
	m := g.opening.FindStringSubmatch(s)
	if m == nil {
		return
	}
	if l.lines == nil {
		*l = labels{lines: map[string]int{}, turns: map[string]int{}, last: map[string]int{}, known: map[qingting.Role]int{}}
	}
	if m[5] != "" && m[5] != "我" {
		l.known[g.roleOf(m[5])]++
		return
	}
	label := m[3] + m[4]
	if label == "" || g.isField(label) {
		return
	}
	if l.lines[label] == 0 {
		l.order = append(l.order, label)
	}
	l.lines[label]++
	if l.last[label] != turn+1 {
		l.last[label] = turn + 1
		l.turns[label]++
	}
}

// isField tells what a customer fills in (订单号：…) from who is speaking. The
// last word of the label decides.
func (g *grammar) isField(label string) bool {
	for _, w := range g.fields {
		if len(label) >= len(w) && strings.EqualFold(label[len(label)-len(w):], w) {
			return true
		}
	}
	return false
}

// speakers names the labels of a dialogue, nil when it is none. lines counts
// the lines that are not blank; spoken says that known speakers occur too.
func (l *labels) speakers(g *grammar, lines int, spoken bool) []string {
	if spoken {
		// Between known speakers a label that comes back under another message
		// is somebody else, not part of what was said.
		var out []string
		for _, label := range l.order {
			if l.turns[label] > 1 {
				out = append(out, label)
			}
		}
		return out
	}
	if l.known[qingting.RoleCustomer] > 0 && len(l.known) > 1 {
		return []string{"客户", "客服"}
	}
	n, short := 0, true
	for _, label := range l.order {
		n += l.lines[label]
		short = short && (utf8.RuneCountInString(label) == 1 && strings.Contains("甲乙丙丁问答", label) || len(label) == 1)
	}
	// Half of the lines, because a message may have several.
	if n < 2 || 2*n < lines || len(l.order) > 6 || n == len(l.order) && !short {
		return nil
	}
	return l.order
}

// parseTime reads a date with a time of day; a clock alone says nothing about
// the day and gives the zero time. A time without a zone is Beijing time.
func parseTime(s string) time.Time {
	s = strings.TrimSpace(strings.NewReplacer("年", "-", "月", "-", "日", " ", "/", "-", "：", ":", "T", " ", "\t", " ", ",", ".").Replace(s))
	s = strings.Join(strings.Fields(s), " ")
	beijing := time.FixedZone("CST", 8*60*60)
	for _, layout := range []string{"2006-1-2 15:04:05Z07:00", "2006-1-2 15:04:05", "2006-1-2 15:04", "2006-1-2 15:04:05Z0700"} {
		if t, err := time.ParseInLocation(layout, s, beijing); err == nil {
			return t
		}
	}
	return time.Time{}
}

// textReader reads plain text. A rule (---), or a blank line before somebody
// speaks again, begins a new conversation. Blank lines inside a message stay
// in it. A conversation in which nobody is named is one message of the
// customer.
type textReader struct {
	src     *source
	grammar *grammar
	single  bool
	ahead   *line  // the line that ended the conversation before
	queue   []line // the rest of a line that was split at its carriage returns
	extra   int    // lines that were gained by splitting
}

func newTextReader(src *source, single bool) *textReader {
	return &textReader{src: src, grammar: plainText(), single: single}
}

func (r *textReader) readLine() (line, error) {
	if r.ahead != nil {
		l := *r.ahead
		r.ahead = nil
		return l, nil
	}
	if len(r.queue) > 0 {
		l := r.queue[0]
		r.queue = r.queue[1:]
		return l, nil
	}
	l, err := r.src.readLine()
	if err != nil {
		return line{}, err
	}
	l.no += r.extra
	if l.err != nil && r.extra > 0 {
		e := *l.err
		e.Line, l.err = l.no, &e
	}
	if !strings.Contains(l.text, "\r") {
		return l, nil
	}
	r.queue = splitLine(l)
	r.extra += len(r.queue) - 1
	l, r.queue = r.queue[0], r.queue[1:]
	return l, nil
}

// splitLine ends lines at lone carriage returns too, as old Macs and some
// chat tools write them. An error stays with the piece that has the bad bytes.
func splitLine(l line) []line {
	var out []line
	for i, text := range strings.Split(strings.TrimRight(l.text, "\r"), "\r") {
		piece := line{no: l.no + i, text: text}
		if l.err != nil && strings.ContainsRune(text, utf8.RuneError) {
			e := *l.err
			e.Line, piece.err = piece.no, &e
		}
		out = append(out, piece)
	}
	return out
}

func (r *textReader) next() (Record, error) {
	var (
		rec    Record
		b      textBuilder
		blank  int // blank lines since the last other one
		lines  int // that are not blank
		loose  int // line of the first words that nobody is named for
		spoken bool
		heads  labels
	)
	for {
		l, err := r.readLine()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Record{}, err
		}
		if rec.Line == 0 && l.err == nil && (strings.TrimSpace(l.text) == "" || (!r.single && r.grammar.rule.MatchString(l.text))) {
			continue
		}
		if rec.Line > 0 && !r.single && r.grammar.rule.MatchString(l.text) {
			break
		}
		if l.err == nil && strings.TrimSpace(l.text) == "" {
			blank++
			continue
		}
		t, begins := r.grammar.parse(l.text)
		// A blank line separates when somebody begins to speak after it, or
		// when nobody has been named so far: then every block is a customer.
		if blank > 0 && !r.single && rec.Line > 0 && (begins || !spoken) {
			r.ahead = &l
			break
		}
		if rec.Line == 0 {
			rec.Line = l.no
		}
		if l.err != nil && rec.Err == nil {
			rec.Err = l.err
		}
		switch {
		case begins:
			if loose > 0 && rec.Err == nil {
				rec.Err = errorAt(loose, "missing_role", "", "这一行没有说明是谁说的，请在开头写 客户： 或 客服：")
			}
			spoken = true
			b.begin(qingting.Message{Role: t.role, SentAt: t.at}, t.text)
		case !spoken:
			if loose == 0 {
				loose = l.no
				b.begin(qingting.Message{Role: qingting.RoleCustomer}, l.text)
			} else {
				b.add(blank, l.text)
			}
		default:
			b.add(blank, l.text)
		}
		if !begins {
			heads.add(r.grammar, l.text, len(b.messages))
		}
		if !begins && rec.Err == nil {
			// A line dressed like a turn belongs to somebody else than the
			// speaker before it; guessing who would put words in his mouth.
			if m := r.grammar.dressed.FindStringSubmatch(l.text); m != nil {
				rec.Err = errorAt(l.no, "unknown_role", "", "不认识的说话人 %q，请写成 客户、客服、机器人 或 系统", m[1])
			}
		}
		blank = 0
		lines++
		if b.size > MaxRecord {
			if rec.Err == nil {
				rec.Err = tooLarge(rec.Line, "transcript_too_long", "这个会话超过 %d MiB，请拆成多个会话", MaxRecord>>20)
			}
			b = textBuilder{}
			b.begin(qingting.Message{Role: qingting.RoleCustomer}, "") // later lines need a message to belong to
		}
	}
	if rec.Line == 0 {
		return Record{}, io.EOF
	}
	rec.Transcript.Messages = b.finish()
	if who := heads.speakers(r.grammar, lines, spoken); len(who) > 0 && rec.Err == nil {
		rec.Err = errorAt(rec.Line, "unknown_speakers", "", "看起来是几个人的对话，但是认不出“%s”是谁；请在每句开头写 客户：、客服：、机器人： 或 系统：", strings.Join(who, "”“"))
	}
	if !spoken && lines > 1 {
		rec.Note = "没有“客户：/客服：”这样的标签，全部当作客户的话；如果里面有客服的话，请在每句开头写明说话人"
	}
	return rec, nil
}

// textBuilder puts lines together to messages.
type textBuilder struct {
	messages []qingting.Message
	text     strings.Builder
	size     int
}

func (b *textBuilder) begin(m qingting.Message, text string) {
	b.flush()
	b.messages = append(b.messages, m)
	b.text.WriteString(text)
	b.size += len(text) + 64 // of the Message itself
}

func (b *textBuilder) add(blank int, text string) {
	if b.text.Len() > 0 {
		b.text.WriteString(strings.Repeat("\n", blank+1))
	}
	b.text.WriteString(text)
	b.size += len(text) + blank + 1
}

func (b *textBuilder) flush() {
	if n := len(b.messages); n > 0 {
		b.messages[n-1].Text = strings.TrimRight(b.text.String(), " \t\u3000\n")
	}
	b.text.Reset()
}

func (b *textBuilder) finish() []qingting.Message {
	b.flush()
	return b.messages
}

// short keeps error messages readable.
func short(s string) string {
	if utf8.RuneCountInString(s) <= 20 {
		return s
	}
	return string([]rune(s)[:20]) + "…"
}
