package behave

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// templateLimit is how many texts are made of one template.
const templateLimit = 6

// Cases are the cases of a test, the same for the same seed. A perturbation
// that changes nothing gives no case, and equal cases are one.
func (s *Suite) Cases(t *Test, seed uint64) ([]Case, error) {
	var out []Case
	seen := map[string]bool{}
	add := func(c Case) error {
		if err := c.After.Validate(); err != nil {
			return err
		}
		key := keyOf(&c.After)
		if c.Before != nil {
			key = keyOf(c.Before) + key
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, c)
		}
		return nil
	}
	sources, err := t.sources(seed)
	if err != nil {
		return nil, err
	}
	for i := range sources {
		if len(t.Perturb) == 0 {
			if t.Kind == MFT {
				if err := add(Case{After: sources[i]}); err != nil {
					return nil, err
				}
			}
			continue
		}
		key := keyOf(&sources[i])
		for p := range t.Perturb {
			for n := range max(t.Repeat, 1) {
				rnd := seeded(seed, t.Name, key, t.Perturb[p].String(), fmt.Sprint(p, n))
				changed := qingting.Transcript{Messages: t.Perturb[p].apply(s.tables, rnd, t.Keep, sources[i].Messages)}
				if keyOf(&changed) == key {
					continue
				}
				c := Case{After: changed, How: t.Perturb[p].String()}
				if t.Kind != MFT {
					c.Before = &sources[i]
				}
				if err := add(c); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, pair := range t.Pairs {
		from, err := conversation(pair.From)
		if err != nil {
			return nil, err
		}
		to, err := conversation(pair.To)
		if err != nil {
			return nil, err
		}
		if keyOf(&from) == keyOf(&to) {
			return nil, fmt.Errorf("pairs 里的 from 和 to 一样：%s", short(pair.From))
		}
		if err := add(Case{Before: &from, After: to}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sources are the conversations of a test before any perturbation.
func (t *Test) sources(seed uint64) ([]qingting.Transcript, error) {
	var out []qingting.Transcript
	for _, text := range t.Texts {
		out = append(out, said(text))
	}
	for _, template := range t.Templates {
		texts, err := t.fill(template, seed)
		if err != nil {
			return nil, err
		}
		for _, text := range texts {
			c, err := conversation(text)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	for _, text := range t.Conversations {
		c, err := conversation(text)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	for _, turns := range t.Messages {
		var c qingting.Transcript
		for _, turn := range turns {
			c.Messages = append(c.Messages, qingting.Message{Role: turn.Role, Text: turn.Text})
		}
		out = append(out, c)
	}
	for i := range out {
		if err := out[i].Validate(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func said(text string) qingting.Transcript {
	return qingting.Transcript{Messages: []qingting.Message{{Role: qingting.RoleCustomer, Text: text}}}
}

// conversation reads 客户：… / 客服：… lines; a text without them is the
// customer's.
func conversation(text string) (qingting.Transcript, error) {
	if strings.TrimSpace(text) == "" {
		return qingting.Transcript{}, fmt.Errorf("有一个空的会话，请写内容")
	}
	if !marked.MatchString(text) {
		return said(text), nil
	}
	t, err := transcript.One(strings.NewReader(text), transcript.Options{Format: transcript.FormatText})
	if err != nil {
		return t, fmt.Errorf("会话“%s”：%w", short(text), err)
	}
	return t, nil
}

var marked = regexp.MustCompile(`(?m)^\s*(客户|客服|机器人|系统)[：:]`)

var slotForm = regexp.MustCompile(`\{([^{}]*)\}`)

// fill makes texts of a template: all its combinations when they are few
// enough, else so many drawn ones.
func (t *Test) fill(template string, seed uint64) ([]string, error) {
	var names []string
	total := 1
	for _, m := range slotForm.FindAllStringSubmatch(template, -1) {
		if slices.Contains(names, m[1]) {
			continue
		}
		words := t.Slots[m[1]]
		if len(words) == 0 {
			return nil, fmt.Errorf("模板里的 {%s} 没有在 slots 里给出", m[1])
		}
		names = append(names, m[1])
		total = min(total*len(words), 1<<20)
	}
	if strings.ContainsAny(slotForm.ReplaceAllString(template, ""), "{}") {
		return nil, fmt.Errorf("模板“%s”的花括号不成对", short(template))
	}
	limit := t.Limit
	if limit == 0 {
		limit = templateLimit
	}
	rnd := seeded(seed, t.Name, template)
	var out []string
	seen := map[int]bool{}
	for len(seen) < min(limit, total) {
		n := len(seen)
		if total > limit {
			n = rnd.IntN(total)
			if seen[n] {
				// Few enough are drawn out of many: the next free one will do.
				for seen[n] {
					n = (n + 1) % total
				}
			}
		}
		seen[n] = true
		var pairs []string
		for _, name := range names {
			words := t.Slots[name]
			pairs = append(pairs, "{"+name+"}", words[n%len(words)])
			n /= len(words)
		}
		out = append(out, strings.NewReplacer(pairs...).Replace(template))
	}
	return out, nil
}

// seeded is a source of its own for everything drawn, so that a new test moves
// no other.
func seeded(seed uint64, names ...string) *rand.Rand {
	h := fnv.New64a()
	for _, n := range names {
		h.Write([]byte(n))
		h.Write([]byte{0})
	}
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// keyOf tells conversations apart.
func keyOf(t *qingting.Transcript) string {
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Sprint(*t) // only a time out of range, which our texts have not
	}
	return string(b)
}

// render is a conversation as people read it.
func render(t *qingting.Transcript) string {
	if len(t.Messages) == 1 && t.Messages[0].Role == qingting.RoleCustomer {
		return t.Messages[0].Text
	}
	names := map[qingting.Role]string{
		qingting.RoleCustomer: "客户", qingting.RoleAgent: "客服", qingting.RoleBot: "机器人", qingting.RoleSystem: "系统",
	}
	var lines []string
	for _, m := range t.Messages {
		lines = append(lines, names[m.Role]+"："+m.Text)
	}
	return strings.Join(lines, "\n")
}

// short keeps error messages readable.
func short(s string) string {
	r := []rune(strings.ReplaceAll(s, "\n", " / "))
	if len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return string(r)
}
