// Package policy is what a deployment decides about replies: how much the
// front line may give away, which remedies fit which complaint, who owns a
// step and by when, where the legal classes go, and which phrases are banned.
// It is one YAML file; the default one is embedded and says in its comments
// which practice each number follows.
package policy

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	qingting "github.com/qingting-ai/qingting"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/qingting-ai/qingting/internal/strictyaml"
)

//go:embed policy.yaml
var defaultYAML []byte

// Version is the version of the file's shape that this program reads.
const Version = 1

// MaxBytes bounds a policy file; the default one has about 8 KB.
const MaxBytes = 1 << 20

// Policy is the whole file. It is plain data; nobody changes it after Parse.
type Policy struct {
	Version     int                           `yaml:"version"`
	Authority   Authority                     `yaml:"authority"`
	Service     map[qingting.Priority]Service `yaml:"service"`
	Types       map[qingting.Type]TypeRule    `yaml:"types"`
	Preferences []Preference                  `yaml:"preferences"`
	Routes      map[qingting.Route]RouteRule  `yaml:"routes"`
	Forbidden   []Phrase                      `yaml:"forbidden"`
	Tone        Tone                          `yaml:"tone"`
}

// Authority is what an agent may grant without asking, in CNY.
type Authority struct {
	Compensate float64               `yaml:"compensate"`
	Coupon     float64               `yaml:"coupon"`
	Refund     float64               `yaml:"refund"`
	Approval   []qingting.RemedyCode `yaml:"approval"` // remedies that need approval whatever the amount
	Approver   string                `yaml:"approver"`
}

// Service is how soon a priority is answered.
type Service struct {
	Contact  time.Duration `yaml:"contact"`  // first human answer
	Progress time.Duration `yaml:"progress"` // first progress note, at most 24 h
}

// Domain is the trade of the thing complained about, where it changes who is
// in charge or what must be known.
type Domain string

// The domains. The empty domain is unknown.
const (
	DomainNetwork  Domain = "network"
	DomainSoftware Domain = "software"
	DomainGoods    Domain = "goods"
	DomainParcel   Domain = "parcel"
	DomainFood     Domain = "food"
	DomainPlace    Domain = "place"
)

// Domains lists every domain.
func Domains() []Domain {
	return []Domain{DomainNetwork, DomainSoftware, DomainGoods, DomainParcel, DomainFood, DomainPlace}
}

// TypeRule is how one complaint type is handled.
type TypeRule struct {
	Owner    string                         `yaml:"owner"`
	OwnerBy  map[Domain]string              `yaml:"owner_by"`
	Check    string                         `yaml:"check"` // verb and object: 核对扣费明细
	CheckBy  map[Domain]string              `yaml:"check_by"`
	Due      time.Duration                  `yaml:"due"`
	Fault    qingting.Responsibility        `yaml:"fault"`
	Needs    []qingting.SlotKind            `yaml:"needs"`
	NeedsBy  map[Domain][]qingting.SlotKind `yaml:"needs_by"`
	Remedies []qingting.RemedyCode          `yaml:"remedies"`
	Severe   []qingting.RemedyCode          `yaml:"severe"` // empty: Remedies
	// RemediesBy replaces Remedies and Severe for a domain.
	RemediesBy map[Domain][]qingting.RemedyCode `yaml:"remedies_by"`
}

// Preference turns words of the customer into a remedy.
type Preference struct {
	Words  []string            `yaml:"words"`
	Remedy qingting.RemedyCode `yaml:"remedy"`
}

// RouteRule is where a legal class goes.
type RouteRule struct {
	Owner  string        `yaml:"owner"`
	Action string        `yaml:"action"`
	Due    time.Duration `yaml:"due"`
	Advice string        `yaml:"advice"` // what the customer does meanwhile
}

// Phrase is a banned wording with what to say instead.
type Phrase struct {
	Text    string `yaml:"text"`
	Rewrite string `yaml:"rewrite"`
	Reason  string `yaml:"reason"`
}

// Tone bounds the drafts.
type Tone struct {
	MaxRunes int  `yaml:"max_runes"` // of a whole draft
	Thanks   bool `yaml:"thanks"`    // close with thanks
}

// Default parses the embedded policy.
func Default() (Policy, error) { return Parse(defaultYAML) }

// DefaultText is the embedded policy as it is written, comments included: what
// a deployment starts its own from.
func DefaultText() string { return string(defaultYAML) }

// Error is a policy file that cannot be used: a Chinese sentence with the
// line where one is known.
type Error struct {
	Line    int // 1-based; 0 when the fault is not one line
	Message string
	key     string // of the fault, for Parse to find the line
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return "政策文件：" + e.Message
	}
	return fmt.Sprintf("政策文件第 %d 行：%s", e.Line, e.Message)
}

// Parse reads a policy strictly: unknown and repeated keys, wrong types and
// everything that Validate refuses are an *Error.
func Parse(b []byte) (Policy, error) {
	var p Policy
	switch {
	case len(b) > MaxBytes:
		return p, &Error{Message: "文件超过 1 MiB，请检查是不是选错了文件"}
	case !utf8.Valid(b):
		return p, &Error{Message: "不是 UTF-8 编码，请另存为 UTF-8 再试"}
	case len(strings.TrimSpace(string(b))) == 0:
		return p, &Error{Message: "是空的，请从 qingting policy show 的输出改起"}
	}
	if err := strictyaml.Unmarshal(b, &p); err != nil {
		return Policy{}, translate(err, b)
	}
	if err := p.Validate(); err != nil {
		var fault *Error
		if errors.As(err, &fault) {
			fault.Line = lineOf(b, fault.key)
		}
		return Policy{}, err
	}
	return p, nil
}

// lineOf is the line of a key like types.price.unfair.owner or forbidden[2],
// or of what stands above it when it is not written; 0 for nothing.
func lineOf(b []byte, key string) int {
	file, err := parser.ParseBytes(b, 0)
	if err != nil || len(file.Docs) == 0 {
		return 0
	}
	line := 0
	for at := file.Docs[0].Body; at != nil; {
		var next ast.Node
		switch n := at.(type) {
		case *ast.MappingNode:
			for _, entry := range n.Values {
				name := entry.Key.GetToken().Value
				if rest, ok := strings.CutPrefix(key, name); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
					next, key, line = entry.Value, strings.TrimPrefix(rest, "."), entry.Key.GetToken().Position.Line
					break
				}
			}
		case *ast.SequenceNode:
			var i int
			if _, err := fmt.Sscanf(key, "[%d]", &i); err == nil && i < len(n.Values) {
				_, key, _ = strings.Cut(key, "]")
				next, key = n.Values[i], strings.TrimPrefix(key, ".")
				line = next.GetToken().Position.Line
			}
		}
		at = next
	}
	return line
}

// badDuration is the line of the first duration that the time package refuses,
// or 0: the reader's own error does not say.
func badDuration(b []byte) int {
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return 0
	}
	line := 0
	for _, doc := range file.Docs {
		for _, entry := range ast.Filter(ast.MappingValueType, doc.Body) {
			n := entry.(*ast.MappingValueNode)
			switch n.Key.GetToken().Value {
			case "contact", "progress", "due":
				if _, err := time.ParseDuration(n.Value.GetToken().Value); err != nil && line == 0 {
					line = n.Key.GetToken().Position.Line
				}
			}
		}
	}
	return line
}

// translate puts the YAML reader's complaint into Chinese with its line.
func translate(err error, b []byte) error {
	line := func(t *token.Token) int {
		if t == nil || t.Position == nil {
			return 0
		}
		return t.Position.Line
	}
	var (
		unknown  *yaml.UnknownFieldError
		repeated *yaml.DuplicateKeyError
		wrong    *yaml.TypeError
		overflow *yaml.OverflowError
		node     *yaml.UnexpectedNodeTypeError
		syntax   *yaml.SyntaxError
	)
	value := func(t *token.Token) string {
		if t == nil {
			return ""
		}
		return t.Value
	}
	switch {
	case errors.As(err, &unknown):
		return &Error{Line: line(unknown.Token), Message: fmt.Sprintf("不认识的键 %q，请检查拼写或删掉它", value(unknown.Token))}
	case errors.As(err, &repeated):
		return &Error{Line: line(repeated.Token), Message: fmt.Sprintf("键 %q 写了两次，请只留一个", value(repeated.Token))}
	case errors.As(err, &wrong):
		return &Error{Line: line(wrong.Token), Message: fmt.Sprintf("值 %q 的类型不对，应为%s", value(wrong.Token), kindName(wrong.DstType))}
	case errors.As(err, &overflow):
		return &Error{Line: line(overflow.Token), Message: fmt.Sprintf("数 %q 太大", value(overflow.Token))}
	case errors.As(err, &node):
		return &Error{Line: line(node.Token), Message: "这里的结构不对，请对照默认政策的缩进和写法"}
	case errors.As(err, &syntax) && strings.Contains(syntax.Message, "already defined"):
		return &Error{Line: line(syntax.Token), Message: fmt.Sprintf("键 %q 写了两次，请只留一个", value(syntax.Token))}
	case errors.As(err, &syntax):
		return &Error{Line: line(syntax.Token), Message: "不是合法的 YAML，请检查缩进、冒号和引号"}
	}
	// Durations are parsed by the time package, whose error has no token.
	if strings.Contains(err.Error(), "time:") {
		return &Error{Line: badDuration(b), Message: "时长写法不对，请写成 30m、2h 或 24h"}
	}
	return &Error{Message: "读不懂，请对照默认政策的写法"}
}

func kindName(t reflect.Type) string {
	if t == nil {
		return "别的类型"
	}
	if t == reflect.TypeFor[time.Duration]() {
		return "时长（30m、2h、24h）"
	}
	switch t.Kind() {
	case reflect.Float64, reflect.Int, reflect.Int64:
		return "数字"
	case reflect.Bool:
		return "true 或 false"
	case reflect.Slice:
		return "列表"
	case reflect.Map, reflect.Struct:
		return "一组键值"
	}
	return "文字"
}

// Validate checks a policy that may have been built by hand. The error names
// the key in Chinese; it lists the first fault in the file's order.
func (p *Policy) Validate() error {
	if p.Version != Version {
		return fault("version", "是 %d，这个程序只认识 %d", p.Version, Version)
	}
	if err := p.Authority.validate(); err != nil {
		return err
	}
	if err := onlyKnown("service", p.Service, []qingting.Priority{qingting.PriorityP0, qingting.PriorityP1, qingting.PriorityP2, qingting.PriorityP3}); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(p.Service)) {
		s := p.Service[k]
		if s.Contact < time.Minute || s.Contact > 24*time.Hour || s.Progress < time.Minute || s.Progress > 24*time.Hour {
			return fault("service."+string(k), "时限要在 1m 到 24h 之间")
		}
	}
	if err := onlyKnown("types", p.Types, qingting.Types()); err != nil {
		return err
	}
	for _, t := range qingting.Types() {
		r := p.Types[t]
		if err := r.validate("types." + string(t)); err != nil {
			return err
		}
	}
	for i, f := range p.Preferences {
		at := fmt.Sprintf("preferences[%d]", i)
		if len(f.Words) == 0 || slices.ContainsFunc(f.Words, func(w string) bool { return utf8.RuneCountInString(w) < 2 }) {
			return fault(at, "words 不能为空，每个词至少两个字")
		}
		if !known(f.Remedy) {
			return fault(at, "补救方式 %q 不认识", f.Remedy)
		}
	}
	if err := onlyKnown("routes", p.Routes, []qingting.Route{qingting.RouteCompliance, qingting.RouteRecall, qingting.RouteInvestigation}); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(p.Routes)) {
		r, at := p.Routes[k], "routes."+string(k)
		if err := phrase(at+".owner", r.Owner, 12); err != nil {
			return err
		}
		if err := phrase(at+".action", r.Action, 30); err != nil {
			return err
		}
		if r.Due < time.Minute || r.Due > 24*time.Hour {
			return fault(at+".due", "时限要在 1m 到 24h 之间")
		}
		if utf8.RuneCountInString(r.Advice) > 60 {
			return fault(at+".advice", "不超过 60 个字")
		}
	}
	seen := map[string]bool{}
	for i, f := range p.Forbidden {
		at := fmt.Sprintf("forbidden[%d]", i)
		switch {
		case utf8.RuneCountInString(f.Text) < 2:
			return fault(at, "text 至少两个字，太短会误伤")
		case seen[f.Text]:
			return fault(at, "%q 写了两次", f.Text)
		case f.Reason == "":
			return fault(at, "缺少 reason，客服需要知道为什么不能说")
		case f.Rewrite != "" && strings.Contains(f.Rewrite, f.Text):
			return fault(at, "rewrite 里还有禁用语 %q 本身", f.Text)
		}
		seen[f.Text] = true
	}
	if p.Tone.MaxRunes < 120 || p.Tone.MaxRunes > 1000 {
		return fault("tone.max_runes", "要在 120 到 1000 之间")
	}
	return nil
}

func (a *Authority) validate() error {
	for _, f := range []struct {
		key   string
		value float64
	}{{"compensate", a.Compensate}, {"coupon", a.Coupon}, {"refund", a.Refund}} {
		if math.IsNaN(f.value) || f.value < 0 || f.value > 1e6 {
			return fault("authority."+f.key, "金额要在 0 到 1000000 元之间")
		}
	}
	for _, r := range a.Approval {
		if !known(r) {
			return fault("authority.approval", "补救方式 %q 不认识", r)
		}
	}
	return phrase("authority.approver", a.Approver, 10)
}

func (r *TypeRule) validate(at string) error {
	if err := phrase(at+".owner", r.Owner, 12); err != nil {
		return err
	}
	if err := phrase(at+".check", r.Check, 24); err != nil {
		return err
	}
	for _, d := range slices.Sorted(maps.Keys(r.OwnerBy)) {
		if err := phrase(at+".owner_by", r.OwnerBy[d], 12); err != nil {
			return err
		}
	}
	for _, d := range slices.Sorted(maps.Keys(r.CheckBy)) {
		if err := phrase(at+".check_by", r.CheckBy[d], 24); err != nil {
			return err
		}
	}
	for _, keys := range [][]Domain{
		slices.Sorted(maps.Keys(r.OwnerBy)), slices.Sorted(maps.Keys(r.CheckBy)), slices.Sorted(maps.Keys(r.NeedsBy)), slices.Sorted(maps.Keys(r.RemediesBy)),
	} {
		for _, d := range keys {
			if !slices.Contains(Domains(), d) {
				return fault(at, "行业 %q 不认识，只能是 network、software、goods、parcel、food、place", d)
			}
		}
	}
	if r.Due < time.Minute || r.Due > 24*time.Hour {
		return fault(at+".due", "时限要在 1m 到 24h 之间：任何投诉至少每 24 小时要有一次进展")
	}
	switch r.Fault {
	case qingting.ResponsibilityCompany, qingting.ResponsibilityExternal, qingting.ResponsibilityUnclear:
	default:
		return fault(at+".fault", "是 %q，只能是 company、external 或 unclear", r.Fault)
	}
	needs := slices.Clone(r.Needs)
	for _, n := range r.NeedsBy {
		needs = append(needs, n...)
	}
	for _, n := range needs {
		if n != qingting.SlotOrderNumber && n != qingting.SlotPhone && n != qingting.SlotAddress {
			return fault(at+".needs", "%q 不能问，只能是 order_number、phone 或 address", n)
		}
	}
	if len(r.Remedies) == 0 {
		return fault(at+".remedies", "至少要有一种补救方式")
	}
	for _, c := range slices.Concat(r.Remedies, r.Severe) {
		if !known(c) {
			return fault(at+".remedies", "补救方式 %q 不认识", c)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(r.RemediesBy)) {
		if len(r.RemediesBy[d]) == 0 {
			return fault(at+".remedies_by", "%s 至少要有一种补救方式", d)
		}
		for _, c := range r.RemediesBy[d] {
			if !known(c) {
				return fault(at+".remedies_by", "补救方式 %q 不认识", c)
			}
		}
	}
	return nil
}

// Order is the list of remedies for a complaint about a thing of a domain,
// best first.
func (r *TypeRule) Order(d Domain, severe bool) []qingting.RemedyCode {
	if by, ok := r.RemediesBy[d]; ok {
		return by
	}
	if severe && len(r.Severe) > 0 {
		return r.Severe
	}
	return r.Remedies
}

// Limit returns what an agent may grant of a remedy on her
// own, in CNY, and false for remedies without an amount.
func (a *Authority) Limit(c qingting.RemedyCode) (float64, bool) {
	switch c {
	case qingting.RemedyCompensate:
		return a.Compensate, true
	case qingting.RemedyCoupon:
		return a.Coupon, true
	case qingting.RemedyRefund:
		return a.Refund, true
	}
	return 0, false
}

func fault(key, format string, args ...any) error {
	return &Error{Message: key + " " + fmt.Sprintf(format, args...), key: key}
}

// phrase checks a wording that goes into a sentence: one line, no full stop
// of its own, no digits that could be taken for a promise.
func phrase(key, s string, most int) error {
	switch {
	case s == "":
		return fault(key, "不能为空")
	case utf8.RuneCountInString(s) > most:
		return fault(key, "不超过 %d 个字", most)
	case strings.ContainsAny(s, "。！？!?\n\r\t0123456789"):
		return fault(key, "只写短语，不要句号、换行和数字")
	}
	return nil
}

func known(c qingting.RemedyCode) bool {
	switch c {
	case qingting.RemedyRefund, qingting.RemedyExchange, qingting.RemedyResend, qingting.RemedyRepair,
		qingting.RemedyCompensate, qingting.RemedyCoupon, qingting.RemedyExplain, qingting.RemedyExpedite,
		qingting.RemedyCallback, qingting.RemedyCancel, qingting.RemedyApology, qingting.RemedyTransfer:
		return true
	}
	return false
}

// onlyKnown asks that a table has exactly the given keys.
func onlyKnown[K ~string, V any](at string, m map[K]V, want []K) error {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(want, k) {
			return &Error{Message: fmt.Sprintf("%s 里有不认识的代码 %q", at, k), key: at + "." + string(k)}
		}
	}
	for _, k := range want {
		if _, ok := m[k]; !ok {
			return fault(at, "里缺少 %q", k)
		}
	}
	return nil
}
