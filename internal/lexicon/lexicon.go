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
	"regexp"
	"slices"
	"strings"
)

//go:embed rules
var embedded embed.FS

// Lexicon is an immutable set of rules. It may be used concurrently.
type Lexicon struct {
	id    string
	rules []Rule
	exprs []expr
	// index finds literals by their first two characters, so that a text is
	// read once whatever the number of rules.
	index  map[[2]rune][]literal
	guards *guards
}

// expr is a regular expression of a rule. It runs only on a sentence (or, for
// whole, a message) that holds one of its required literals.
type expr struct {
	re   *regexp.Regexp
	need [][]needle // one of each set stands in every match
	// anchored expressions are tried where one of the literals they are looked
	// for by begins; the others run once on the whole passage.
	anchored bool
	rule     int32
	whole    bool
	but      bool // what it matches takes matches of the rule away
}

// literal is a word to look for: a pattern of a rule by itself, or the
// trigger of a regular expression.
type literal struct {
	tail []rune // what follows the first two characters
	size int    // characters altogether
	rule int32  // index into rules, or −1 for a trigger
	expr int32  // index into exprs when rule is −1
	but  bool
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
			rules[i].Weight = s.Weight(rules[i].Certain)
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
	l := &Lexicon{rules: rules, index: map[[2]rune][]literal{}, guards: newGuards()}
	for i, r := range rules {
		for _, set := range []struct {
			words, exprs []string
			but          bool
		}{{r.Words, r.Exprs, false}, {r.ButWords, r.ButExprs, true}} {
			for _, w := range set.words {
				l.add(w, literal{rule: int32(i), but: set.but})
			}
			for _, text := range set.exprs {
				p, err := planFor(text)
				if err != nil {
					return nil, fmt.Errorf("规则 %s 的正则表达式 %q 写错了，或者没有必须出现的固定的字: %w", r.ID, text, err)
				}
				look := p.need[0]
				anchored := p.start != nil
				if anchored {
					look, text = p.start, "^(?:"+text+")"
				}
				re, err := regexp.Compile(text)
				if err != nil {
					return nil, fmt.Errorf("规则 %s 的正则表达式 %q 写错了: %w", r.ID, text, err)
				}
				l.exprs = append(l.exprs, expr{re: re, need: needles(p.need), anchored: anchored, rule: int32(i), whole: r.Whole, but: set.but})
				for _, w := range look {
					l.add(w, literal{rule: -1, expr: int32(len(l.exprs) - 1)})
				}
			}
		}
	}
	return l, nil
}

func needles(sets [][]string) [][]needle {
	out := make([][]needle, len(sets))
	for i, set := range sets {
		for _, w := range set {
			out[i] = append(out[i], newNeedle(w))
		}
	}
	return out
}

func (l *Lexicon) add(word string, lit literal) {
	rs := []rune(word)
	lit.size = len(rs)
	key := [2]rune{rs[0]}
	if len(rs) > 1 {
		key[1], lit.tail = rs[1], rs[2:]
	}
	l.index[key] = append(l.index[key], lit)
}
