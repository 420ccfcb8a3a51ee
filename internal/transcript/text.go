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
	head    *regexp.Regexp // the speaker and the time on a line of their own
	dressed *regexp.Regexp // a line dressed like a turn whose speaker is unknown
	rule    *regexp.Regexp // --- between conversations
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
		turn: regexp.MustCompile(`(?i)^\s*` + before +
			`(?:` + role + name + `|[\[【(（]` + role + `[\]】)）]|[^\s：:，。,.!！?？]{1,12}[\[【(（]` + role + `[\]】)）]|[^\s：:，。,.!！?？]{1,12}[-_/|]` + role + `)` +
			behind + `\s*[：:](.*)$`),
		head:    regexp.MustCompile(`(?i)^\s*` + role + name + `\s*[\[(（]?\s*(` + stamp + `)\s*[\])）]?\s*$`),
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
	// colon near its beginning does not.
	colon := strings.IndexAny(s[:min(len(s), 200)], ":：")
	if colon < 0 {
		return turn{}, false
	}
	if role := g.roleOf(s[:colon]); role != "" {
		_, size := utf8.DecodeRuneInString(s[colon:])
		return turn{role: role, text: strings.TrimSpace(s[colon+size:])}, true
	}
	// The colon of 客户 10:40 belongs to the clock, so this form comes first.
	if m := g.head.FindStringSubmatch(s); m != nil {
		return turn{role: g.roleOf(m[1]), at: parseTime(m[2])}, true
	}
	if m := g.turn.FindStringSubmatch(s); m != nil {
		// Groups: two places for the time before, four for the role, one for
		// the time behind, the text.
		return turn{role: g.roleOf(m[3] + m[4] + m[5] + m[6]), at: parseTime(m[1] + m[2] + m[7]), text: strings.TrimSpace(m[8])}, true
	}
	return turn{}, false
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
	ahead   *line // the line that ended the conversation before
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
	return r.src.readLine()
}

func (r *textReader) next() (Record, error) {
	var (
		rec    Record
		b      textBuilder
		blank  int // blank lines since the last other one
		lines  int // that are not blank
		loose  int // line of the first words that nobody is named for
		spoken bool
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
