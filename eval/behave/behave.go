// Package behave tests how a triage system behaves, in the manner of CheckList
// (Ribeiro et al., "Beyond Accuracy: Behavioral Testing of NLP Models with
// CheckList", ACL 2020): small tests of one capability each, written by hand
// from the label guide, that say what must hold whatever the figures on a data
// set are.
//
//   - MFT, a minimum function test: these texts must have, or must not have,
//     these labels.
//   - INV, invariance: a perturbation (a filler, traditional script, a typo)
//     must not change the named fields.
//   - DIR, direction: a change (a threat added, a demand taken back) must move
//     the named fields one way, or not move them the other way.
//
// Tests are YAML files:
//
//	slots: {产品: [耳机, 音箱]}
//	tests:
//	  - name: robustness.typo
//	    title: 关键词以外打成同音字，来电性质和信号不变
//	    capability: robustness
//	    kind: INV
//	    templates: ["{产品}坏了，我要投诉到12315"]
//	    perturb: [{name: homophones, keep: [投诉, "12315"]}]
//	    unchanged: [kind, signals]
//
// The built-in suite is in testdata/suite, and the tests that fail today are
// listed in testdata/known.yaml. All texts are invented.
package behave

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/qingting-ai/qingting"
)

//go:embed testdata/suite/*.yaml testdata/known.yaml
var embedded embed.FS

// Builtin is the built-in suite, for Load.
func Builtin() (fs.FS, error) { return fs.Sub(embedded, "testdata/suite") }

// System is what is tested: the Analyze function of an evaluated system. It
// is called concurrently.
type System func(context.Context, qingting.Transcript) (*qingting.Analysis, error)

// Kind says what a test demands.
type Kind string

// The kinds of tests.
const (
	MFT Kind = "MFT" // minimum function: labels of a text
	INV Kind = "INV" // invariance: labels that stay
	DIR Kind = "DIR" // direction: where labels move
)

// Kinds lists the kinds of tests in the order of the report.
func Kinds() []Kind { return []Kind{MFT, INV, DIR} }

// Capabilities lists what tests may be about, in the order of the report, with
// their Chinese names.
func Capabilities() []Capability {
	return []Capability{
		{"kind", "来电性质"},
		{"type", "投诉类型"},
		{"claim", "诉求"},
		{"emotion", "情绪"},
		{"intensity", "强度"},
		{"escalation", "升级风险"},
		{"withdrawal", "撤回与和解"},
		{"negation", "否定"},
		{"hypothetical", "假设与询问"},
		{"quotation", "转述与引用"},
		{"agent", "客服的话"},
		{"robustness", "错字与改写"},
		{"evasion", "规避写法"},
		{"script", "繁简与全半角"},
		{"asr", "语音转写"},
		{"emoji", "表情符号"},
		{"numbers", "数字"},
		{"names", "人名与品牌"},
		{"privacy", "个人信息"},
		{"ordering", "顺序与拆分"},
		{"length", "长短"},
		{"fairness", "人群"},
	}
}

// Capability is a group of tests.
type Capability struct{ Code, Title string }

// Suite is a set of tests. It is plain data but for the tables its
// perturbations need; nobody changes it after Load, and its methods may be
// called concurrently.
type Suite struct {
	Tests []*Test
	// Hash names the files the suite was read from.
	Hash   string
	tables *tables
}

// Test is one test of a YAML file.
type Test struct {
	Name       string `yaml:"name"`  // unique: capability.words_in_ascii
	Title      string `yaml:"title"` // a Chinese sentence: what must hold
	Capability string `yaml:"capability"`
	Kind       Kind   `yaml:"kind"`

	// What is analysed: texts of a customer, templates whose {slots} are filled,
	// and conversations as 客户：… / 客服：… lines or as messages.
	Texts         []string            `yaml:"texts"`
	Templates     []string            `yaml:"templates"`
	Slots         map[string][]string `yaml:"slots"` // beside those of the file
	Limit         int                 `yaml:"limit"` // texts made of one template; 0: 6
	Conversations []string            `yaml:"conversations"`
	Messages      [][]Turn            `yaml:"messages"`
	// Pairs are a text before and after a change, for INV and DIR.
	Pairs []Pair `yaml:"pairs"`

	// Perturb lists perturbations; each makes cases of its own out of every text.
	Perturb []Perturbation `yaml:"perturb"`
	Repeat  int            `yaml:"repeat"` // times each is applied, each with another seed; 0: 1
	Keep    []string       `yaml:"keep"`   // words that no perturbation touches

	Expect    *Expect            `yaml:"expect"`    // MFT
	Unchanged []string           `yaml:"unchanged"` // INV: fields
	Tolerance map[string]float64 `yaml:"tolerance"` // INV and DIR: how far a numeric field may move all the same
	Direction *Direction         `yaml:"direction"` // DIR

	// Pass is the share of cases that must hold, in (0, 1]; 0 means 1.
	Pass float64 `yaml:"pass"`

	file string
	line int
}

// Turn is a message of a conversation.
type Turn struct {
	Role qingting.Role `yaml:"role"`
	Text string        `yaml:"text"`
}

// Pair is a text of a customer, or a conversation, before and after a change.
type Pair struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// Expect is what a minimum function test demands of an analysis. A list of a
// field with one value (kind, primary, risk, emotion, outcome, style, trend,
// priority) is a choice; of a field with several, all of them must be there,
// or one of the …_any, and none of the …_not. A type may be a family:
// "product.*".
type Expect struct {
	Kind         []string `yaml:"kind"`
	KindNot      []string `yaml:"kind_not"`
	Types        []string `yaml:"types"`
	TypesAny     []string `yaml:"types_any"`
	TypesNot     []string `yaml:"types_not"`
	Primary      []string `yaml:"primary"`
	Signals      []string `yaml:"signals"`
	SignalsAny   []string `yaml:"signals_any"`
	SignalsNot   []string `yaml:"signals_not"`
	NoSignals    bool     `yaml:"no_signals"`
	Claims       []string `yaml:"claims"`
	ClaimsAny    []string `yaml:"claims_any"`
	ClaimsNot    []string `yaml:"claims_not"`
	Risk         []string `yaml:"risk"`
	RiskMin      string   `yaml:"risk_min"`
	RiskMax      string   `yaml:"risk_max"`
	Emotion      []string `yaml:"emotion"`
	EmotionNot   []string `yaml:"emotion_not"`
	IntensityMin *int     `yaml:"intensity_min"`
	IntensityMax *int     `yaml:"intensity_max"`
	Trend        []string `yaml:"trend"`
	Style        []string `yaml:"style"`
	Outcome      []string `yaml:"outcome"`
	Priority     []string `yaml:"priority"`
	// Slots are facts as "kind=value", the value normalised: amount=299.
	Slots []string `yaml:"slots"`
	// Quotes are words of which each must lie in the quote of a signal.
	Quotes []string `yaml:"quotes"`
}

// Move says where a field may go: up and down demand a change, not_up and
// not_down forbid one.
type Move string

// The moves.
const (
	Up      Move = "up"
	Down    Move = "down"
	NotUp   Move = "not_up"
	NotDown Move = "not_down"
)

// Direction is what a direction test demands of two analyses. A code that
// appears was not there before; one that vanishes was.
type Direction struct {
	Risk           Move     `yaml:"risk"`
	RiskScore      Move     `yaml:"risk_score"`
	Intensity      Move     `yaml:"intensity"`
	Priority       Move     `yaml:"priority"` // up is more urgent
	SignalsAppear  []string `yaml:"signals_appear"`
	SignalsVanish  []string `yaml:"signals_vanish"`
	SignalsKept    bool     `yaml:"signals_kept"` // every signal from before is still there
	NoNewSignals   bool     `yaml:"no_new_signals"`
	ClaimsAppear   []string `yaml:"claims_appear"`
	ClaimsVanish   []string `yaml:"claims_vanish"`
	TypesKept      bool     `yaml:"types_kept"`
	EmotionAfter   []string `yaml:"emotion_after"`    // one of these, after
	EmotionLeaves  []string `yaml:"emotion_leaves"`   // was one of these before, is none of them after
	OutcomeAfter   []string `yaml:"outcome_after"`    // one of these, after
	OutcomeNotThen []string `yaml:"outcome_not_then"` // none of these, after
}

// Case is one thing to analyse, and for INV and DIR what it came from.
type Case struct {
	Before *qingting.Transcript // nil in a minimum function test
	After  qingting.Transcript
	How    string // the perturbations, "" for none
}

// Error is a test file that cannot be used: what is wrong and where.
type Error struct {
	File    string
	Line    int // from 1; 0 is the whole file
	Message string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s：%s", e.File, e.Message)
	}
	return fmt.Sprintf("%s 第 %d 行：%s", e.File, e.Line, e.Message)
}

// Load reads every .yaml file of fsys, in the order of their names, and makes
// the cases of every test once, so that a test without cases is found now. The
// errors are *Error, joined.
func Load(fsys fs.FS) (*Suite, error) {
	var names []string
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml")) {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("读不了测试目录：%w", err)
	}
	slices.Sort(names)
	sources := make([]Source, len(names))
	for i, name := range names {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("读不了测试文件 %s：%w", name, err)
		}
		sources[i] = Source{name, b}
	}
	return Parse(sources...)
}

// Source is the content of a test file.
type Source struct {
	Name    string // as errors name it
	Content []byte
}

// Parse reads test files; see Load.
func Parse(sources ...Source) (*Suite, error) {
	tables, err := newTables()
	if err != nil {
		return nil, err
	}
	s := &Suite{tables: tables, Hash: hashOf(sources)}
	var errs []error
	first := map[string]*Test{}
	for _, src := range sources {
		tests, err := parseFile(src)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, t := range tests {
			if err := s.add(t, first); err != nil {
				errs = append(errs, &Error{t.file, t.line, err.Error()})
			}
		}
	}
	if len(errs) == 0 && len(s.Tests) == 0 {
		return nil, errors.New("没有找到测试：请给出有 tests 的 .yaml 文件")
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

func (s *Suite) add(t *Test, first map[string]*Test) error {
	if err := t.check(); err != nil {
		return err
	}
	if was := first[t.Name]; was != nil {
		return fmt.Errorf("测试 %s 在 %s 第 %d 行已经有了，请换一个 name", t.Name, was.file, was.line)
	}
	first[t.Name] = t
	cases, err := s.Cases(t, 0)
	if err != nil {
		return fmt.Errorf("测试 %s：%w", t.Name, err)
	}
	if len(cases) == 0 {
		return fmt.Errorf("测试 %s 一个用例也没有：没有文本，或 perturb 什么也没改变", t.Name)
	}
	s.Tests = append(s.Tests, t)
	return nil
}

// Only returns the suite with the tests of these names; a name that ends in *
// stands for all that begin so.
func (s *Suite) Only(names []string) (*Suite, error) {
	out := &Suite{Hash: s.Hash, tables: s.tables}
	for _, name := range names {
		if !slices.ContainsFunc(s.Tests, func(t *Test) bool { return matches(name, t) }) {
			return nil, fmt.Errorf("没有测试 %q：写完整的名字、以 * 结尾的开头，或一种能力（如 negation）", name)
		}
	}
	for _, t := range s.Tests {
		if slices.ContainsFunc(names, func(name string) bool { return matches(name, t) }) {
			out.Tests = append(out.Tests, t)
		}
	}
	return out, nil
}

func matches(name string, t *Test) bool {
	start, wild := strings.CutSuffix(name, "*")
	return name == t.Name || name == t.Capability || wild && strings.HasPrefix(t.Name, start)
}

var nameForm = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*(\.[a-z0-9]+(_[a-z0-9]+)*)+$`)

// check finds what is wrong with a test beyond its YAML.
func (t *Test) check() error {
	at := func(format string, args ...any) error {
		return fmt.Errorf("测试 %s：%s", t.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case !nameForm.MatchString(t.Name):
		return fmt.Errorf("name %q 不对，应当像 negation.not_complaining：小写字母、数字和 _，用点分开", t.Name)
	case t.Title == "":
		return at("缺少 title，请用一句话写明必须怎样")
	case !slices.ContainsFunc(Capabilities(), func(c Capability) bool { return c.Code == t.Capability }):
		var codes []string
		for _, c := range Capabilities() {
			codes = append(codes, c.Code)
		}
		return at("capability %q 不认识，可用的有 %s", t.Capability, strings.Join(codes, "、"))
	case t.Pass < 0 || t.Pass > 1:
		return at("pass 是 %v，应当在 0 和 1 之间", t.Pass)
	case t.Limit < 0 || t.Limit > maxCases || t.Repeat < 0 || t.Repeat > maxCases:
		return at("limit 和 repeat 在 0 和 %d 之间", maxCases)
	}
	switch t.Kind {
	case MFT:
		if t.Expect == nil || reflect.ValueOf(*t.Expect).IsZero() {
			return at("MFT 要写 expect：对标签的要求")
		}
		if t.Unchanged != nil || t.Direction != nil || t.Pairs != nil || t.Tolerance != nil {
			return at("MFT 只写 expect，不写 unchanged、direction、pairs 和 tolerance")
		}
	case INV:
		if len(t.Unchanged) == 0 {
			return at("INV 要写 unchanged：哪些字段不能变")
		}
		if t.Expect != nil || t.Direction != nil {
			return at("INV 只写 unchanged，不写 expect 和 direction")
		}
	case DIR:
		if t.Direction == nil || reflect.ValueOf(*t.Direction).IsZero() {
			return at("DIR 要写 direction：往哪个方向变")
		}
		if t.Expect != nil || t.Unchanged != nil {
			return at("DIR 只写 direction，不写 expect 和 unchanged")
		}
	default:
		return at("kind %q 不认识，只能是 MFT、INV 或 DIR", t.Kind)
	}
	if t.Kind != MFT && len(t.Perturb) == 0 && len(t.Pairs) == 0 {
		return at("%s 要写 perturb 或 pairs", t.Kind)
	}
	if len(t.Perturb) == 0 && t.Repeat > 0 {
		return at("repeat 是 perturb 的次数，没有 perturb 就不要写")
	}
	for _, u := range t.Unchanged {
		if !slices.Contains(fields(), u) {
			return at("unchanged 里的 %q 不认识，可用的有 %s", u, strings.Join(fields(), "、"))
		}
	}
	for name, v := range t.Tolerance {
		if !slices.Contains(numericFields(), name) || v < 0 {
			return at("tolerance 只能给 %s，值不小于 0", strings.Join(numericFields(), "、"))
		}
	}
	for i := range t.Perturb {
		if err := t.Perturb[i].check(); err != nil {
			return at("perturb 第 %d 项：%s", i+1, err)
		}
	}
	if err := t.Expect.check(); err != nil {
		return at("expect：%s", err)
	}
	if err := t.Direction.check(); err != nil {
		return at("direction：%s", err)
	}
	return nil
}

// maxCases bounds limit and repeat, and with them the cases of a test.
const maxCases = 200
