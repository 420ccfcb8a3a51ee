package evidence

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
)

// shares is an attributor that gives every character of a word its weight.
type shares map[string]float64

func (s shares) attribute(doc *qingting.Document) func(qingting.Field, string) [][]float64 {
	if s == nil {
		return nil
	}
	out := make([][]float64, len(doc.Messages))
	for i, m := range doc.Messages {
		if m.Role != qingting.RoleCustomer {
			continue
		}
		out[i] = make([]float64, len(m.Clean))
		for word, w := range s {
			rest, base := string(m.Clean), 0
			for {
				at := strings.Index(rest, word)
				if at < 0 {
					break
				}
				start := base + len([]rune(rest[:at]))
				for k := range []rune(word) {
					out[i][start+k] += w
				}
				base = start + len([]rune(word))
				rest = rest[at+len(word):]
			}
		}
	}
	return func(qingting.Field, string) [][]float64 { return out }
}

// document builds messages whose words are separated by "|".
func document(texts ...string) *qingting.Document {
	doc := &qingting.Document{}
	for _, t := range texts {
		m := qingting.Message{Role: qingting.RoleCustomer}
		if rest, ok := strings.CutPrefix(t, "客服:"); ok {
			m.Role, t = qingting.RoleAgent, rest
		}
		p := &qingting.Prepared{}
		for _, w := range strings.Split(t, "|") {
			start := len(p.Clean)
			p.Clean = append(p.Clean, []rune(w)...)
			if w != "" {
				p.Tokens = append(p.Tokens, qingting.Token{Text: w, Start: start, End: len(p.Clean)})
			}
		}
		m.Text = string(p.Clean)
		p.Message = m
		for i := range p.Clean {
			p.From, p.To = append(p.From, int32(i)), append(p.To, int32(i+1))
		}
		doc.Messages = append(doc.Messages, p)
		doc.Transcript.Messages = append(doc.Transcript.Messages, m)
	}
	return doc
}

func quotes(spans []qingting.Span) []string {
	out := []string{}
	for _, s := range spans {
		out = append(out, s.Quote)
	}
	return out
}

func hit(m, start, end int, certain bool) qingting.Hit {
	return qingting.Hit{Rule: "type.product.quality.x", Field: qingting.FieldType, Code: "product.quality", Weight: 0.8, Certain: certain, Message: m, Start: start, End: end}
}

func TestFind(t *testing.T) {
	long := "昨天|买|的|那个|很|大|很|漂亮|的|银色|的|电饭锅|今天|早上|突然|就|坏|了"
	for _, c := range []struct {
		name string
		doc  *qingting.Document
		hits []qingting.Hit
		a    shares
		want []string
	}{
		{"a rule's words", document("锅|今天|坏|了"), []qingting.Hit{hit(0, 3, 5, true)}, nil, []string{"坏了"}},
		{"two rules in order of appearance", document("坏|了|，|真|坏|了"), []qingting.Hit{hit(0, 4, 6, true), hit(0, 0, 2, true)}, nil, []string{"坏了", "坏了"}},
		{"a weak second is left out", document("坏|了|，|锅|漏"), []qingting.Hit{hit(0, 0, 2, true), func() qingting.Hit { h := hit(0, 4, 5, false); h.Weight = 0.5; return h }()}, nil, []string{"坏了"}},
		{"a guarded hit is no evidence", document("没|坏|，|客气"), []qingting.Hit{func() qingting.Hit { h := hit(0, 1, 2, true); h.Guard = qingting.GuardNegated; return h }()}, shares{"客气": 1}, []string{"客气"}},
		{"the agent's words are no evidence", document("客服:坏|了", "嗯|嗯"), []qingting.Hit{hit(0, 0, 2, true)}, nil, []string{"嗯嗯"}},
		{"the model's words, whole", document("这个|电饭锅|漏水|怎么|办"), nil, shares{"漏": 1}, []string{"漏水"}},
		{"marks at the edge stay outside", document("气死|！|漏水|！"), nil, shares{"漏水": 1, "！": 0.5}, []string{"漏水"}},
		{"a long hit is narrowed", document(long), []qingting.Hit{hit(0, 0, 27, true)}, shares{"坏": 1, "了": 0.5}, []string{"坏了"}},
		{"a long hit is cut without a model", document(long), []qingting.Hit{hit(0, 0, 27, true)}, nil, []string{"昨天买的那个很大很漂亮的银色的电饭锅今天"[:60]}},
		{"nothing known: the opening of the longest", document("嗯", "我|想|问|一下"), nil, shares{}, []string{"我想问一下"}},
		{"no customer message", document("客服:您好"), nil, nil, []string{}},
	} {
		c.doc.Hits = c.hits
		c.doc.Scores.Attribute = c.a.attribute(c.doc)
		require.Equal(t, c.want, quotes(New(c.doc).Find(qingting.FieldType, "product.quality")), c.name)
	}
}

func TestFindLeavesPartialsOut(t *testing.T) {
	no := false
	doc := document("坏|了|坏|了", "嗯")
	doc.Messages[0].IsFinal = &no
	doc.Hits = []qingting.Hit{hit(0, 0, 2, true)}
	doc.Scores.Attribute = shares{"坏": 1}.attribute(doc)
	require.Equal(t, []string{"嗯"}, quotes(New(doc).Find(qingting.FieldType, "product.quality")))
}

func TestFindProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var texts []string
		for range rapid.IntRange(0, 3).Draw(t, "messages") {
			texts = append(texts, strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"网速", "慢", "，", "！", "a", "的", "宽带宽带宽带", "😀", "客服"}), 0, 20).Draw(t, "words"), "|"))
		}
		doc := document(texts...)
		a := shares{"网速": rapid.Float64Range(-1, 1).Draw(t, "w1"), "慢": rapid.Float64Range(-1, 1).Draw(t, "w2"), "宽": rapid.Float64Range(-1, 1).Draw(t, "w3")}
		doc.Scores.Attribute = a.attribute(doc)
		spans := New(doc).Find(qingting.FieldType, "product.performance")
		if len(spans) > 2 {
			t.Fatalf("%d spans", len(spans))
		}
		for i, s := range spans {
			rs := []rune(doc.Messages[s.Message].Text)
			if s.End-s.Start > MaxQuote || s.Start >= s.End || string(rs[s.Start:s.End]) != s.Quote {
				t.Fatalf("span %+v of %q", s, string(rs))
			}
			if i > 0 && spans[0].Message == s.Message && spans[0].End > s.Start {
				t.Fatalf("spans overlap: %+v", spans)
			}
		}
	})
}

// TestEmptyWordsShowNothing: greetings, thanks and order numbers give way to
// the next best words, and are quoted only when there is nothing else.
func TestEmptyWordsShowNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		doc  *qingting.Document
		a    shares
		want []string
	}{
		{"order number", document("订单号|20231188|，|快递|没|动"), shares{"订单号": 1, "20231188": 1, "没": 0.4, "动": 0.4}, []string{"没动"}},
		{"greeting and thanks", document("您好|，|好的|谢谢|，|漏水"), shares{"谢谢": 1, "您好": 1, "漏水": 0.9}, []string{"漏水"}},
		{"bare number", document("88|，|漏水"), shares{"88": 1, "漏水": 0.5}, []string{"漏水"}},
		{"nothing else", document("好的|谢谢"), shares{"谢谢": 1}, []string{"好的谢谢"}},
	} {
		c.doc.Scores.Attribute = c.a.attribute(c.doc)
		require.Equal(t, c.want, quotes(New(c.doc).Find(qingting.FieldType, "product.quality")), c.name)
	}
}
