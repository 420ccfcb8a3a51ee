package suggest

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	qingting "github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/suggest/policy"
)

//go:embed issues.txt
var issuesText string

//go:embed subjects.txt
var subjectsText string

// subject is a thing that is complained about.
type subject struct {
	name   string
	domain policy.Domain
}

// issue is one way something goes wrong and the sentence that tells it back.
type issue struct {
	typ     qingting.Type
	before  string // of the thing
	after   string
	thing   string // when none is named; "" when the sentence names none
	domains []policy.Domain
}

// tables are the embedded lists, compiled once by New.
type tables struct {
	subjects    []subject
	subjectTrie trie
	issues      []issue
	issueTrie   map[qingting.Type]*trie
}

func loadTables() (*tables, error) {
	t := &tables{issueTrie: map[qingting.Type]*trie{}}
	for n, line := range strings.Split(subjectsText, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		domain, words, ok := strings.Cut(line, "|")
		if !ok || !slices.Contains(policy.Domains(), policy.Domain(domain)) {
			return nil, fmt.Errorf("subjects.txt line %d: unknown domain", n+1)
		}
		for _, w := range strings.Fields(words) {
			written, name, other := strings.Cut(w, "=")
			if !other {
				name = written
			}
			t.subjectTrie.add(written, len(t.subjects))
			t.subjects = append(t.subjects, subject{name, policy.Domain(domain)})
		}
	}
	for n, line := range strings.Split(issuesText, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, "|")
		if len(parts) != 3 || !slices.Contains(qingting.Types(), qingting.Type(parts[0])) {
			return nil, fmt.Errorf("issues.txt line %d: want type|sentence|words", n+1)
		}
		e := issue{typ: qingting.Type(parts[0]), before: parts[1]}
		if i := strings.IndexByte(parts[1], '{'); i >= 0 {
			for rest := parts[1]; ; {
				a := strings.IndexByte(rest, '{')
				if a < 0 {
					break
				}
				b := strings.IndexByte(rest, '}')
				if b < a {
					return nil, fmt.Errorf("issues.txt line %d: unbalanced brace", n+1)
				}
				domains, thing, ok := strings.Cut(rest[a+1:b], ":")
				if ok {
					at := len(parts[1]) - len(rest)
					e.before, e.after, e.thing = parts[1][:at+a], parts[1][at+b+1:], thing
					for _, d := range strings.Split(domains, ",") {
						if !slices.Contains(policy.Domains(), policy.Domain(d)) {
							return nil, fmt.Errorf("issues.txt line %d: unknown domain %q", n+1, d)
						}
						e.domains = append(e.domains, policy.Domain(d))
					}
				}
				rest = rest[b+1:]
			}
		}
		words := strings.Fields(parts[2])
		if len(words) == 0 {
			return nil, fmt.Errorf("issues.txt line %d: no words", n+1)
		}
		tr := t.issueTrie[e.typ]
		if tr == nil {
			tr = &trie{}
			t.issueTrie[e.typ] = tr
		}
		for _, w := range words {
			tr.add(w, len(t.issues))
			// 信号差 is also said 信号极差, 信号特别差 …
			for _, tone := range []string{"差", "慢", "贵"} {
				if stem, ok := strings.CutSuffix(w, tone); ok && len(stem) >= len("信号") && plain(stem, 2, 3) {
					for _, very := range []string{"极", "特别", "非常", "超", "真", "太", "很", "好", "这么", "那么", "巨", "贼", "极其", "十分", "超级"} {
						tr.add(stem+very+tone, len(t.issues))
					}
				}
			}
		}
		t.issues = append(t.issues, e)
	}
	for _, typ := range qingting.Types() {
		if t.issueTrie[typ] == nil {
			return nil, fmt.Errorf("issues.txt: no line for %s", typ)
		}
	}
	return t, nil
}

// tell fills the sentence of an issue; empty time and amount vanish.
func (e *issue) tell(thing, when, amount string) string {
	s := e.before
	if e.thing != "" {
		if thing == "" {
			thing = e.thing
		}
		s += thing + e.after
	}
	s = strings.Replace(s, "{时}", when, 1)
	return strings.Replace(s, "{额}", amount, 1)
}
