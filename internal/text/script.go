package text

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The dictionaries of OpenCC's conversion tw2s (Apache-2.0, opencc/LICENSE) as
// packaged by longbridgeapp/opencc v0.3.13. The module itself is not used: it
// links a double-array trie under the GPL into every program.
//
//go:embed opencc/*.txt
var openccFiles embed.FS

// tw2s are the two steps of the conversion; within a step the longest key
// wins.
var tw2s = [2][2]string{
	{"TWVariantsRevPhrases", "TWVariantsRev"}, // Taiwanese variants → standard
	{"TSPhrases", "TSCharacters"},             // standard → simplified
}

// script converts traditional to simplified characters. The tables come from
// OpenCC's conversion tw2s, flattened from its two steps (Taiwanese variants to
// standard traditional, then simplified) into one step over runes, which is
// what makes a text without traditional characters cost nothing. Every entry
// has the length of its key, so the offset map is not touched.
//
// tw2s supposes that its input is traditional and spoils simplified texts
// (什么 → 什幺, 显著 → 显着). So three characters that both scripts use (著 乾 徵)
// are converted only in a text that also has a character that only the
// traditional script uses, and the variants of simplified characters never.
type script struct {
	char    map[rune]rune
	phrases map[rune][]phrase // by first character, the longest first
	flag    [0x10000]uint8
}

type phrase struct {
	key, to []rune
	hard    bool // for 壹 only: not beside other capital numerals
}

// Flags of a character.
const (
	scriptChar   = 1 << iota // converted alone
	scriptSoft               // converted alone in traditional texts only
	scriptPhrase             // begins a phrase
)

const (
	// softChars belong to both scripts.
	softChars = "著乾徵"
	// keptChars are simplified characters that tw2s would make rare ones of.
	keptChars = "么抬捱吒榘薹醣摺"
)

// corrections to tw2s: what Taiwan writes and the dictionaries lack.
var corrections = [][2]string{
	{"妳", "你"},
	{"祇", "只"},
	{"姪", "侄"},
	{"燄", "焰"},
	{"麽", "么"},
	{"佔", "占"},
	{"囉", "啰"},
	{"喫", "吃"},
	{"衹", "只"},
	{"甚麼", "什么"},
	{"甚麽", "什么"},
	{"甚么", "什么"},
	{"沈默", "沉默"},
	{"摺疊", "折叠"},
	{"摺扣", "折扣"},
	{"打摺", "打折"},
	{"帳號", "账号"},
	{"帳戶", "账户"},
	{"帳單", "账单"},
	{"帳目", "账目"},
	{"帳款", "账款"},
	{"帳務", "账务"},
	{"帳面", "账面"},
	{"轉帳", "转账"},
	{"結帳", "结账"},
	{"記帳", "记账"},
	{"對帳", "对账"},
	{"入帳", "入账"},
	{"到帳", "到账"},
	{"出帳", "出账"},
	{"算帳", "算账"},
	{"賴帳", "赖账"},
	{"付帳", "付账"},
	{"還帳", "还账"},
	{"欠帳", "欠账"},
	{"查帳", "查账"},
	{"收帳", "收账"},
	{"壞帳", "坏账"},
	{"銷帳", "销账"},
	{"報帳", "报账"},
	{"進帳", "进账"},
	{"扣帳", "扣账"},
	{"買帳", "买账"},
	{"認帳", "认账"},
	// 著 where only 着 can be meant, though nothing else shows the script.
	{"等著", "等着"},
	{"看著", "看着"},
	{"想著", "想着"},
	{"拿著", "拿着"},
	{"跟著", "跟着"},
	{"穿著", "穿着"},
	{"活著", "活着"},
	{"坐著", "坐着"},
	{"站著", "站着"},
	{"忙著", "忙着"},
	{"笑著", "笑着"},
	{"哭著", "哭着"},
	{"拖著", "拖着"},
	{"放著", "放着"},
	{"欠著", "欠着"},
	{"留著", "留着"},
	{"守著", "守着"},
	{"盯著", "盯着"},
	{"睡著", "睡着"},
	{"催著", "催着"},
	{"憋著", "憋着"},
	{"著急", "着急"},
	{"沿著", "沿着"},
	{"用著", "用着"},
	{"干著", "干着"},
	// 著 that stays in simplified words tw2s does not know.
	{"显著", "显著"},
	{"原著", "原著"},
	{"土著", "土著"},
	{"卓著", "卓著"},
	{"编著", "编著"},
	{"专著", "专著"},
	{"论著", "论著"},
	{"译著", "译著"},
	{"遗著", "遗著"},
	{"著有", "著有"},
	{"所著", "所著"},
	{"執著", "执着"},
}

// numeralPhrases are uses of the capital 壹 that can only be a misread 一.
var numeralPhrases = []string{
	"个", "個", "下", "直", "样", "樣", "些", "次", "起", "天", "般", "定", "切", "旦", "边", "邊", "句", "点也", "點也", "时", "時", "共",
}

// newScript loads tw2s. It fails when a dictionary changes the length of a
// phrase, which the offset map does not allow.
func newScript() (*script, error) {
	steps, err := loadTW2S()
	if err != nil {
		return nil, err
	}
	s := &script{char: make(map[rune]rune), phrases: make(map[rune][]phrase)}
	variants := make(map[rune]rune)   // Taiwan → standard
	back := make(map[rune][]rune)     // standard → Taiwan
	simplified := make(map[rune]rune) // standard → simplified
	keys := make(map[string]struct{}) // phrases of either step
	for i, step := range steps {
		for k, v := range step.to {
			key, to := []rune(k), []rune(v)
			switch {
			case len(key) != len(to):
				return nil, fmt.Errorf("tw2s changes the length of %s", k)
			case len(key) > 1:
				keys[k] = struct{}{}
			case i == 0:
				variants[key[0]] = to[0]
				back[to[0]] = append(back[to[0]], key[0])
			default:
				simplified[key[0]] = to[0]
			}
		}
	}
	set := func(from, to rune) {
		// Results beyond the basic plane are characters no font or
		// dictionary of ours has.
		if from != to && from < 0x10000 && to < 0x10000 && !oneOf(from, keptChars) {
			s.char[from] = to
		}
	}
	for from, to := range simplified {
		set(from, to)
	}
	for from, to := range variants {
		if again, ok := simplified[to]; ok {
			to = again
		}
		set(from, to)
	}
	for _, c := range corrections {
		if k, v := []rune(c[0]), []rune(c[1]); len(k) == 1 {
			s.char[k[0]] = v[0]
		}
	}
	s.settle()

	// A phrase of the second step is met in Taiwanese spelling too.
	table := make(map[string]string)
	for key := range keys {
		for _, spelled := range spellings([]rune(key), back) {
			table[string(spelled)] = steps[1].convert(steps[0].convert(string(spelled)))
		}
	}
	for _, c := range corrections {
		if len([]rune(c[0])) > 1 {
			table[c[0]] = c[1]
		}
	}
	// What a phrase protects must survive a second cleaning.
	for _, to := range slices.Collect(maps.Values(table)) {
		if _, ok := table[to]; !ok {
			table[to] = to
		}
	}
	for key, to := range table {
		k, v := []rune(key), []rune(to)
		if len(k) != len(v) {
			return nil, fmt.Errorf("tw2s changes the length of %s", key)
		}
		if to != string(s.plain(k)) || slices.ContainsFunc(k, s.soft) {
			s.phrases[k[0]] = append(s.phrases[k[0]], phrase{key: k, to: v})
		}
	}
	for _, next := range numeralPhrases {
		k := []rune("壹" + next)
		s.phrases['壹'] = append(s.phrases['壹'], phrase{key: k, to: s.plain([]rune("一" + next)), hard: true})
	}
	for first, list := range s.phrases {
		slices.SortFunc(list, func(a, b phrase) int {
			if len(a.key) != len(b.key) {
				return len(b.key) - len(a.key)
			}
			return slices.Compare(a.key, b.key)
		})
		if first < 0x10000 {
			s.flag[first] |= scriptPhrase
		}
	}
	for r := range s.char {
		if s.soft(r) {
			s.flag[r] |= scriptSoft
		} else {
			s.flag[r] |= scriptChar
		}
	}
	return s, nil
}

// step is one dictionary lookup of OpenCC.
type step struct {
	to      map[string]string
	longest int // bytes of the longest key
}

func loadTW2S() (steps [2]step, err error) {
	for i, files := range tw2s {
		steps[i].to = make(map[string]string)
		for _, name := range files {
			content, err := openccFiles.ReadFile("opencc/" + name + ".txt")
			if err != nil {
				return steps, fmt.Errorf("load tw2s: %w", err)
			}
			for line := range strings.Lines(string(content)) {
				key, values, ok := strings.Cut(strings.TrimSpace(line), "\t")
				if !ok {
					continue
				}
				// Of several results OpenCC takes the first.
				value, _, _ := strings.Cut(values, " ")
				steps[i].to[key] = value
				steps[i].longest = max(steps[i].longest, len(key))
			}
		}
	}
	return steps, nil
}

// convert replaces the longest keys from left to right.
func (s *step) convert(text string) string {
	var b strings.Builder
next:
	for len(text) > 0 {
		for n := min(s.longest, len(text)); n > 0; n-- {
			if to, ok := s.to[text[:n]]; ok {
				b.WriteString(to)
				text = text[n:]
				continue next
			}
		}
		r := []rune(text)[0]
		b.WriteRune(r)
		text = text[len(string(r)):]
	}
	return b.String()
}

// settle follows conversions to their end (薴 → 苧 → 苎), so that converting
// twice changes nothing.
func (s *script) settle() {
	for from, to := range s.char {
		for range 4 {
			again, ok := s.char[to]
			if !ok || again == from {
				break
			}
			to = again
		}
		s.char[from] = to
	}
}

func (s *script) soft(r rune) bool {
	return oneOf(r, softChars)
}

// plain converts character by character.
func (s *script) plain(k []rune) []rune {
	out := slices.Clone(k)
	for i, r := range out {
		if to, ok := s.char[r]; ok {
			out[i] = to
		}
	}
	return out
}

// spellings returns key with every choice of Taiwanese variants.
func spellings(key []rune, back map[rune][]rune) [][]rune {
	out := [][]rune{slices.Clone(key)}
	for i, r := range key {
		for _, variant := range back[r] {
			for _, k := range out[:len(out):len(out)] {
				k = slices.Clone(k)
				k[i] = variant
				out = append(out, k)
			}
		}
	}
	return out
}

// touches reports whether convert can change a text with r in it.
func (s *script) touches(r rune) bool { return s.flag[r&0xffff] != 0 && r < 0x10000 }

// convert changes s to simplified characters in place.
func (s *script) convert(t []rune) {
	var seen uint8
	for _, r := range t {
		if r < 0x10000 {
			seen |= s.flag[r]
		}
	}
	traditional := seen&scriptChar != 0
	// A converted phrase can be the beginning of another one; the text is
	// settled after the second pass in practice, the bound is for safety.
	for range 4 {
		if !s.pass(t, traditional) {
			return
		}
	}
}

// pass converts once from left to right and reports a change.
func (s *script) pass(t []rune, traditional bool) bool {
	changed := false
	for i := 0; i < len(t); i++ {
		r := t[i]
		if r >= 0x10000 {
			continue
		}
		f := s.flag[r]
		if f == 0 {
			continue
		}
		if f&scriptPhrase != 0 {
			if p := s.match(t, i); p != nil {
				if !slices.Equal(t[i:i+len(p.to)], p.to) {
					copy(t[i:], p.to)
					changed = true
				}
				i += len(p.to) - 1
				continue
			}
		}
		if f&scriptChar != 0 || f&scriptSoft != 0 && traditional {
			t[i] = s.char[r]
			changed = true
		}
	}
	return changed
}

// match returns the longest phrase at i, or nil.
func (s *script) match(t []rune, i int) *phrase {
	list := s.phrases[t[i]]
	for j := range list {
		p := &list[j]
		if len(t)-i < len(p.key) || !slices.Equal(t[i:i+len(p.key)], p.key) {
			continue
		}
		if p.hard && i > 0 && capitalNumeral(t[i-1]) {
			continue
		}
		return p
	}
	return nil
}

func capitalNumeral(r rune) bool {
	switch r {
	case '壹', '贰', '貳', '叁', '參', '肆', '伍', '陆', '陸', '柒', '捌', '玖', '零', '拾', '佰', '仟', '万', '萬', '亿', '億':
		return true
	}
	return false
}
