// Package lexicon finds what can be said with certainty, or at least hinted
// at, from the words alone: rules for signals, types, claims, feelings and
// outcomes, each with the guards that keep a negated, hypothetical, quoted or
// long settled use from counting.
//
// Rules are data. They live in rules/*.rules, in a line format described at
// Parse, and their weights in rules/weights.tsv, measured on labelled texts by
// Measure. A deployment adds rules of its own by passing their text to New.
package lexicon

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/qingting-ai/qingting/internal/pattern"
)

//go:embed rules
var embedded embed.FS

// Lexicon is an immutable set of rules. It may be used concurrently.
type Lexicon struct {
	id    string
	rules []Rule
	exprs []expr
	// index finds every word of rules and expressions, so that a text is read
	// once whatever the number of rules; words tells what each is for.
	index  *pattern.Words
	words  []word
	needs  int // sets of words that expressions need one of
	guards *guards
	spare  sync.Pool // of *scratch
}

// expr is a regular expression of a rule. It runs only on a sentence (or, for
// whole, a message) that holds a word of each set it needs.
type expr struct {
	*pattern.Pattern
	needs []int32
	// anchored expressions are tried where one of the words they are looked
	// for by begins; the others run once on the whole passage.
	anchored bool
	rule     int32
	whole    bool
	but      bool // what it matches takes matches of the rule away
}

// word is what finding a word means.
type word struct {
	rules []literal
	// sentence and message hold what it means for expressions that run on
	// sentences and on messages.
	sentence, message meaning
}

// literal is a pattern of a rule by itself.
type literal struct {
	rule int32
	but  bool
}

// meaning lists the expressions that a word starts and the sets it belongs to.
type meaning struct {
	starts, needs []int32
}

// New builds the lexicon of the embedded rules and, after them, of rules given
// as texts in the format of Parse. A later rule with the same id replaces the
// earlier one.
func New(extra ...string) (*Lexicon, error) {
	hash := sha256.New()
	var rules []Rule
	names, err := fs.Glob(embedded, "rules/*.rules")
	if err != nil {
		return nil, fmt.Errorf("list embedded rules: %w", err)
	}
	for _, name := range names {
		text, err := embedded.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read embedded rules: %w", err)
		}
		hash.Write(text)
		more, err := Parse(strings.TrimPrefix(name, "rules/"), string(text))
		if err != nil {
			return nil, err
		}
		rules = append(rules, more...)
	}
	weights, err := embedded.ReadFile("rules/weights.tsv")
	if err != nil {
		return nil, fmt.Errorf("read embedded weights: %w", err)
	}
	hash.Write(weights)
	stats, err := ParseWeights(string(weights))
	if err != nil {
		return nil, err
	}
	for i := range rules {
		if s, ok := stats[rules[i].ID]; ok {
			rules[i].Weight = s.Weight(rules[i].Weight)
		}
	}
	for i, text := range extra {
		hash.Write([]byte(text))
		more, err := Parse(fmt.Sprintf("自定义规则 %d", i+1), text)
		if err != nil {
			return nil, err
		}
		for _, r := range more {
			if at := slices.IndexFunc(rules, func(o Rule) bool { return o.ID == r.ID }); at >= 0 {
				rules[at] = r
			} else {
				rules = append(rules, r)
			}
		}
	}
	l, err := build(rules)
	if err != nil {
		return nil, err
	}
	l.id = hex.EncodeToString(hash.Sum(nil))[:12]
	return l, nil
}

// ID is a hash of rules and weights, 12 hexadecimal digits.
func (l *Lexicon) ID() string { return l.id }

// Rules returns a copy of every rule, in the order they were read.
func (l *Lexicon) Rules() []Rule { return slices.Clone(l.rules) }

// build compiles rules into a lexicon without an id.
func build(rules []Rule) (*Lexicon, error) {
	l := &Lexicon{rules: rules, index: pattern.NewWords(), guards: newGuards()}
	sets := map[string]int32{}
	for i, r := range rules {
		for _, set := range []struct {
			words, exprs []string
			but          bool
		}{{r.Words, r.Exprs, false}, {r.ButWords, r.ButExprs, true}} {
			for _, w := range set.words {
				at := l.word(w)
				at.rules = append(at.rules, literal{int32(i), set.but})
			}
			for _, text := range set.exprs {
				p, err := planFor(text)
				if err != nil {
					return nil, fmt.Errorf("规则 %s 的正则表达式 %q 写错了，或者没有必须出现的固定的字: %w", r.ID, text, err)
				}
				compiled, err := pattern.Compile(text)
				if err != nil {
					return nil, fmt.Errorf("规则 %s 的正则表达式 %q 写错了: %w", r.ID, text, err)
				}
				e := expr{Pattern: compiled, anchored: p.start != nil, rule: int32(i), whole: r.Whole, but: set.but}
				look := p.need[0]
				if e.anchored {
					look = p.start
				}
				for _, w := range look {
					at := l.meaning(w, r.Whole)
					at.starts = append(at.starts, int32(len(l.exprs)))
				}
				for _, need := range p.need {
					e.needs = append(e.needs, l.need(sets, need, r.Whole))
				}
				l.exprs = append(l.exprs, e)
			}
		}
	}
	return l, nil
}

// word returns what a word means, to be added to.
func (l *Lexicon) word(text string) *word {
	n := l.index.Add([]rune(text))
	if n == len(l.words) {
		l.words = append(l.words, word{})
	}
	return &l.words[n]
}

func (l *Lexicon) meaning(text string, whole bool) *meaning {
	if whole {
		return &l.word(text).message
	}
	return &l.word(text).sentence
}

// need returns the number of a set of words.
func (l *Lexicon) need(sets map[string]int32, words []string, whole bool) int32 {
	key := fmt.Sprintf("%t %q", whole, words)
	n, ok := sets[key]
	if !ok {
		n = int32(l.needs)
		sets[key] = n
		l.needs++
		for _, w := range words {
			m := l.meaning(w, whole)
			m.needs = append(m.needs, n)
		}
	}
	return n
}
