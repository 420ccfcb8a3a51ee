package lexicon

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/qingting-ai/qingting"
)

// Rule is one entry of the lexicon. Patterns are written for Prepared.Clean:
// simplified characters, half width, Latin letters in lower case.
type Rule struct {
	ID      string // field.code.name
	Field   qingting.Field
	Code    string
	Certain bool    // decides without the model
	Weight  float64 // in (0, 1]; measured, or the prior of an unmeasured rule
	// Words and Exprs are the patterns; ButWords and ButExprs take away a match
	// that overlaps one of theirs.
	Words, Exprs, ButWords, ButExprs []string
	Role                             qingting.Role // whose words the rule reads
	// Whole runs the expressions on the whole message instead of on each
	// sentence.
	Whole bool
	// Last reads only the last final message of the role that is not blank.
	Last   bool
	Guards []qingting.Guard
}

// The weights a rule starts from, in measured matches of its kind: a rule
// nobody has matched yet is worth its prior.
const (
	priorCertain = 0.8
	priorHint    = 0.5
)

func prior(certain bool) float64 {
	if certain {
		return priorCertain
	}
	return priorHint
}

// Parse reads rules from text. The format is made for reading and for diffs:
//
//	# a comment
//	signal.regulator.hotline certain
//	  12315 12345 消协
//	  /投诉到.{0,4}工商/
//	  but 12315活动
//
// A rule opens with its id, field.code.name, and "certain" or "hint", followed
// by options: role=agent, whole, last, weight=0.9 (what the rule is worth before
// anybody measured it), guards=negated,quoted (or guards=none; without it the
// guards of the field apply). Indented lines hold its patterns: words separated
// by blanks, or one regular expression (RE2) between slashes. Lines that begin
// with "but" hold what takes a match away. In words "_" stands for a blank.
func Parse(name, text string) ([]Rule, error) {
	var rules []Rule
	seen := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		fail := func(format string, args ...any) error {
			return &LineError{Name: name, Line: i + 1, Message: fmt.Sprintf(format, args...)}
		}
		body := strings.TrimSpace(line)
		if body == "" || strings.HasPrefix(body, "#") {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			r, err := parseHead(strings.Fields(body))
			if err != nil {
				return nil, fail("%v", err)
			}
			if seen[r.ID] {
				return nil, fail("规则 %s 写了两次，请改一个名字", r.ID)
			}
			seen[r.ID] = true
			rules = append(rules, r)
			continue
		}
		if len(rules) == 0 {
			return nil, fail("词前面没有规则，请先写一行 field.code.name certain 或 hint")
		}
		r := &rules[len(rules)-1]
		words, exprs := &r.Words, &r.Exprs
		if rest, ok := strings.CutPrefix(body, "but "); ok {
			body, words, exprs = strings.TrimSpace(rest), &r.ButWords, &r.ButExprs
		}
		if len(body) > 1 && body[0] == '/' && body[len(body)-1] == '/' && body[1] != '/' {
			*exprs = append(*exprs, body[1:len(body)-1])
			continue
		}
		for _, w := range strings.Fields(body) {
			*words = append(*words, strings.ReplaceAll(strings.Map(fold, w), "_", " "))
		}
	}
	for _, r := range rules {
		if len(r.Words)+len(r.Exprs) == 0 {
			return nil, fmt.Errorf("%s：规则 %s 没有词也没有正则表达式", name, r.ID)
		}
	}
	return rules, nil
}

func parseHead(f []string) (Rule, error) {
	var r Rule
	r.ID = f[0]
	field, rest, ok1 := strings.Cut(r.ID, ".")
	dot := strings.LastIndexByte(rest, '.')
	if !ok1 || dot <= 0 {
		return r, fmt.Errorf("规则名 %q 应写成 field.code.name", r.ID)
	}
	r.Field, r.Code, r.Role = qingting.Field(field), rest[:dot], qingting.RoleCustomer
	codes, ok := codesOf(r.Field)
	if !ok {
		return r, fmt.Errorf("字段 %q 不认识", field)
	}
	if !slices.Contains(codes, r.Code) {
		return r, fmt.Errorf("字段 %s 没有代码 %q", field, r.Code)
	}
	r.Guards = defaultGuards(r.Field)
	if len(f) < 2 || f[1] != "certain" && f[1] != "hint" {
		return r, errors.New("规则名后面要写 certain 或 hint")
	}
	r.Certain = f[1] == "certain"
	r.Weight = prior(r.Certain)
	for _, opt := range f[2:] {
		key, value, _ := strings.Cut(opt, "=")
		switch key {
		case "whole":
			r.Whole = true
		case "weight":
			w, err := strconv.ParseFloat(value, 64)
			if err != nil || !(w > 0 && w <= 1) {
				return r, fmt.Errorf("weight 应是 0 到 1 之间的数，不能是 %q", value)
			}
			r.Weight = w
		case "last":
			r.Last = true
		case "role":
			r.Role = qingting.Role(value)
			if r.Role != qingting.RoleCustomer && r.Role != qingting.RoleAgent {
				return r, fmt.Errorf("role 只能是 customer 或 agent，不能是 %q", value)
			}
		case "guards":
			r.Guards = nil
			if value == "none" {
				continue
			}
			for _, g := range strings.Split(value, ",") {
				switch g := qingting.Guard(g); g {
				case qingting.GuardNegated, qingting.GuardHypothetical, qingting.GuardQuoted, qingting.GuardPast:
					r.Guards = append(r.Guards, g)
				default:
					return r, fmt.Errorf("guards 里的 %q 不认识", g)
				}
			}
		default:
			return r, fmt.Errorf("选项 %q 不认识", opt)
		}
	}
	return r, nil
}

// defaultGuards are the guards of a field: a signal must be meant, a type or
// a claim must only not be denied.
func defaultGuards(f qingting.Field) []qingting.Guard {
	switch f {
	case qingting.FieldSignal:
		return []qingting.Guard{qingting.GuardNegated, qingting.GuardHypothetical, qingting.GuardQuoted, qingting.GuardPast}
	case qingting.FieldType, qingting.FieldClaim, qingting.FieldEmotion:
		return []qingting.Guard{qingting.GuardNegated}
	}
	return nil
}

// codesOf lists the codes a rule of the field may speak for.
func codesOf(f qingting.Field) ([]string, bool) {
	switch f {
	case qingting.FieldKind:
		return texts(qingting.Kinds()), true
	case qingting.FieldType:
		return texts(qingting.Types()), true
	case qingting.FieldEmotion:
		return texts(qingting.Emotions()), true
	case qingting.FieldIntensity:
		return []string{"0", "1", "2", "3"}, true
	case qingting.FieldSignal:
		return texts(qingting.Signals()), true
	case qingting.FieldClaim:
		return texts(qingting.Claims()), true
	case qingting.FieldStyle:
		return texts(qingting.Styles()), true
	case qingting.FieldOutcome:
		return texts(qingting.Outcomes()), true
	}
	return nil, false
}

func texts[S ~string](codes []S) []string {
	out := make([]string, len(codes))
	for i, c := range codes {
		out[i] = string(c)
	}
	return out
}

// maxTriggers bounds the literals one expression is looked for by, maxClass
// those of a character class, maxJoined those made of two neighbours.
const (
	maxTriggers = 128
	maxClass    = 16
	maxJoined   = 48
)

// plan says how an expression is looked for.
type plan struct {
	// start holds literals one of which begins every match; nil when that is not
	// known. Then the expression runs on the whole passage once a literal of
	// need[0] is seen.
	start []string
	// need holds sets of literals: a literal of each stands in every match.
	need [][]string
}

// planFor finds the literals of an expression.
func planFor(text string) (plan, error) {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return plan{}, err
	}
	re = re.Simplify()
	p := plan{start: starts(re)}
	if set := triggers(re); set != nil {
		p.need = append(p.need, set)
	}
	for _, part := range conjuncts(re) {
		if set := triggers(part); set != nil && len(conjuncts(re)) > 1 {
			p.need = append(p.need, set)
		}
	}
	if len(p.need) == 0 {
		return plan{}, errors.New("no required literal")
	}
	return p, nil
}

// starts returns literals one of which begins every match, nil when that is
// not known.
func starts(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass:
		return triggers(re)
	case syntax.OpCapture, syntax.OpPlus:
		return starts(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return starts(re.Sub[0])
		}
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			set := starts(sub)
			if set == nil || len(all)+len(set) > maxTriggers {
				return nil
			}
			all = append(all, set...)
		}
		slices.Sort(all)
		return slices.Compact(all)
	case syntax.OpConcat:
		return startsOf(re.Sub)
	}
	return nil
}

func startsOf(parts []*syntax.Regexp) []string {
	if len(parts) == 0 {
		return nil
	}
	first := parts[0]
	if first.Op == syntax.OpQuest || first.Op == syntax.OpStar {
		with, without := starts(first.Sub[0]), startsOf(parts[1:])
		if with == nil || without == nil || len(with)+len(without) > maxTriggers {
			return nil
		}
		all := append(slices.Clone(with), without...)
		slices.Sort(all)
		return slices.Compact(all)
	}
	if set, exact := literals(first); exact {
		for _, part := range parts[1:] {
			more, exact := literals(part)
			if !exact || len(set)*len(more) > maxJoined {
				break
			}
			set = join(set, more)
		}
		return set
	}
	return starts(first)
}

// join returns every literal of a followed by every one of b.
func join(a, b []string) []string {
	out := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, x+y)
		}
	}
	return out
}

// conjuncts are the parts of an expression that every match must contain.
func conjuncts(re *syntax.Regexp) []*syntax.Regexp {
	switch re.Op {
	case syntax.OpConcat:
		var all []*syntax.Regexp
		for _, sub := range re.Sub {
			all = append(all, conjuncts(sub)...)
		}
		return all
	case syntax.OpCapture:
		return conjuncts(re.Sub[0])
	}
	return []*syntax.Regexp{re}
}

// triggers returns literals one of which stands in every match of the
// expression, nil when nothing is known.
func triggers(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{strings.ToLower(string(re.Rune))}
	case syntax.OpCharClass:
		var set []string
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if len(set) == maxClass {
					return nil
				}
				set = append(set, string(unicode.ToLower(r)))
			}
		}
		return set
	case syntax.OpCapture, syntax.OpPlus:
		return triggers(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return triggers(re.Sub[0])
		}
	case syntax.OpConcat:
		return concat(re.Sub)
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			set := triggers(sub)
			if set == nil || len(all)+len(set) > maxTriggers {
				return nil
			}
			all = append(all, set...)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	return nil
}

// concat returns the best literals of a sequence. Neighbours that match
// nothing but literals are joined: 投(?:诉|靠) is looked for as 投诉 and 投靠.
func concat(parts []*syntax.Regexp) []string {
	var best, run []string
	for _, part := range parts {
		set, exact := literals(part)
		if !exact {
			run = nil
			set = triggers(part)
		} else if len(run) > 0 && len(run)*len(set) <= maxJoined {
			set = join(run, set)
			run = set
		} else {
			run = set
		}
		if better(set, best) {
			best = set
		}
	}
	return best
}

// literals returns all that an expression matches when that is a small finite
// set of non-empty literals.
func literals(re *syntax.Regexp) (set []string, exact bool) {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass:
		set = triggers(re)
	case syntax.OpCapture:
		return literals(re.Sub[0])
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			more, exact := literals(sub)
			if !exact || len(set)+len(more) > maxTriggers {
				return nil, false
			}
			set = append(set, more...)
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			more, exact := literals(sub)
			if !exact || len(set)*len(more) > maxJoined {
				return nil, false
			}
			if set == nil {
				set = more
				continue
			}
			set = join(set, more)
		}
	}
	return set, len(set) > 0
}

// better prefers the set whose shortest literal is longer, then the smaller
// one: it will start the expression less often.
func better(a, b []string) bool {
	if a == nil || b == nil {
		return a != nil
	}
	la, lb := shortest(a), shortest(b)
	if la != lb {
		return la > lb
	}
	return len(a) < len(b)
}

func shortest(set []string) int {
	n := len([]rune(set[0]))
	for _, w := range set[1:] {
		n = min(n, len([]rune(w)))
	}
	return n
}
