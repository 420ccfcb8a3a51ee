package dataset

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/text"
)

// Level says how bad a finding is.
type Level string

// The levels. Data with an error must not be used; a warning is for a person
// to look at.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
)

// Codes of findings. They are stable.
const (
	CodeUnreadable        = "unreadable"         // a file cannot be opened or read
	CodeChanged           = "sha256_changed"     // not the pinned content
	CodeUTF8              = "encoding_utf8"      // invalid UTF-8, half a surrogate pair
	CodeBOM               = "encoding_bom"       // byte order mark
	CodeNUL               = "encoding_nul"       // NUL in a text
	CodeReplacement       = "encoding_lost"      // U+FFFD: a character was lost before
	CodeJSON              = "json"               // not JSON
	CodeDuplicateKey      = "duplicate_key"      // one key twice in an object
	CodeShape             = "shape"              // a field has the wrong type
	CodeMissing           = "missing_field"      // a required field is missing or empty
	CodeUnknownField      = "unknown_field"      // a field nobody reads; once a file
	CodeDuplicateID       = "duplicate_id"       // one id twice in a suite
	CodeDuplicateText     = "duplicate_text"     // one text twice, labels equal
	CodeDuplicateConflict = "duplicate_conflict" // one conversation twice, labels differ
	CodeMessage           = "message"            // role or length the product refuses
	CodeEmptyMessage      = "message_empty"      // a message without words
	CodeLabel             = "label_unknown"      // a code the label guide lacks
	CodeLabelRepeated     = "label_repeated"     // one code twice in a list
	CodeLabelTypes        = "label_types"        // complaint without types or the reverse
	CodeLabelPrimary      = "label_primary"      // primary is not one of the types
	CodeLabelIntensity    = "label_intensity"    // 0 exactly with calm, else 1 to 3
	CodeLabelRisk         = "label_risk"         // not what the table of the guide gives
	CodeLabelPrivacy      = "label_privacy"      // type privacy.leak without the signal
	CodePersonal          = "personal_data"      // something Mask would hide
	CodeClassSmall        = "class_small"        // fewer than 5 rows of a label to report on
	CodeSlice             = "slice"              // a slice declared that is computed
	CodeVotes             = "votes"              // no votes
	CodeQrels             = "qrels"              // a judgement that fits nothing
	CodeJudgedFew         = "judged_few"         // fewer than 5 judged cases for a query
	CodeNoRelevant        = "no_relevant"        // no judged case helps the query
	CodeFact              = "fact"               // a fact without wording, or demanded and forbidden
	CodeSpan              = "span"               // outside the text, overlapping, unknown kind
	CodeWords             = "words"              // do not add up to the text
	CodeRange             = "range"              // a number outside its range
)

// Finding is one thing Lint found. Message never contains the text itself.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"` // 0: the file as a whole
	ID      string `json:"id,omitempty"`
	Code    string `json:"code"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
}

// LintReport is the result of Lint.
type LintReport struct {
	Files    int                       `json:"files"`    // checked
	Rows     map[string]int            `json:"rows"`     // by file name
	Counts   map[string]int            `json:"counts"`   // findings by code, those not listed included
	Labels   map[string]map[string]int `json:"labels"`   // "part field" → label → rows, triage only
	Findings []Finding                 `json:"findings"` // by file and line; at most 200 of a code in a file
	Errors   int                       `json:"errors"`
	Warnings int                       `json:"warnings"`
}

// OK reports whether the data can be used.
func (r *LintReport) OK() bool { return r.Errors == 0 }

const (
	// mostFindings bounds how many findings of a code in a file are listed.
	mostFindings = 200
	// leastClass is the number of rows below which a figure of a label says
	// nothing: one row more or less moves it by 20 points.
	leastClass = 5
	// leastJudged is the number of judged cases below which nDCG of a query
	// rests mostly on cases nobody looked at.
	leastJudged = 5
)

// LintOptions adjust Lint.
type LintOptions struct {
	Cleaner qingting.Cleaner // required
	// Builtin lists the ids of a corpus that the program carries, by the name
	// after BuiltinCorpus. nil: ids in such a corpus are not checked.
	Builtin func(name string) ([]string, error)
	// Takes says which files are checked; nil: all.
	Takes func(*File) bool
	// Figures looks only for what would falsify figures. Personal data does not,
	// and to look for it is most of the work.
	Figures bool
}

// Lint checks the files of the dataset and goes on after a bad row. The
// error is a wrong option; what is wrong with the data are findings.
func (d *Dataset) Lint(o LintOptions) (*LintReport, error) {
	if o.Cleaner == nil {
		return nil, errors.New("缺少文本清洗器")
	}
	l := &linter{
		LintOptions: o, d: d,
		r:      &LintReport{Rows: map[string]int{}, Counts: map[string]int{}, Labels: map[string]map[string]int{}, Findings: []Finding{}},
		listed: map[[2]string]int{}, once: map[[2]string]bool{}, ids: map[[2]string]string{}, texts: map[[16]byte]earlier{},
	}
	for i := range d.Files {
		if f := &d.Files[i]; o.Takes == nil || o.Takes(f) {
			l.lintFile(f)
		}
	}
	l.classes()
	return l.r, nil
}

// linter is the state of one Lint.
type linter struct {
	LintOptions
	d      *Dataset
	r      *LintReport
	f      *File
	row    Row // the present one
	id     string
	listed map[[2]string]int    // file, code
	once   map[[2]string]bool   // file, field
	ids    map[[2]string]string // suite, id → where
	texts  map[[16]byte]earlier
}

// earlier is a text that was met before.
type earlier struct {
	where  string
	labels [16]byte
}

func (l *linter) add(level Level, code, format string, args ...any) {
	l.addAt(l.row.File, l.row.Line, level, code, format, args...)
}

func (l *linter) addAt(file string, line int, level Level, code, format string, args ...any) {
	l.r.Counts[code]++
	if level == LevelError {
		l.r.Errors++
	} else {
		l.r.Warnings++
	}
	at := [2]string{file, code}
	if l.listed[at]++; l.listed[at] > mostFindings {
		return
	}
	l.r.Findings = append(l.r.Findings, Finding{File: file, Line: line, ID: l.id, Code: code, Level: level, Message: fmt.Sprintf(format, args...)})
}

func (l *linter) lintFile(f *File) {
	l.f = f
	l.r.Files++
	l.row = Row{Place: Place{File: f.Path}}
	l.id = ""
	if _, err := l.d.Digests(f); err != nil {
		var changed *RowError
		if !errors.As(err, &changed) {
			l.add(LevelError, CodeUnreadable, "%v", err)
			return
		}
		l.add(LevelError, changed.Code, "%v", err)
	}
	queries := map[string]bool{}
	for row, err := range l.d.rows(f.Path, true) {
		l.row, l.id = row, ""
		if err != nil {
			l.fault(err)
			continue
		}
		l.r.Rows[f.Name]++
		l.lintRow(queries)
	}
	l.row, l.id = Row{Place: Place{File: f.Path}}, ""
	if l.r.Rows[f.Name] == 0 {
		l.add(LevelError, CodeMissing, "文件里没有一行可用的数据")
	}
	if f.Suite == SuiteRetrieval {
		l.qrels(queries)
	}
}

func (l *linter) fault(err error) {
	var row *RowError
	if errors.As(err, &row) {
		l.add(LevelError, row.Code, "这一行%s", row.Message)
		return
	}
	l.add(LevelError, CodeUnreadable, "%v", err)
}

// fields are what the rows of a suite may have beside those of Key.
var fields = map[Suite][]string{
	SuiteTriage:       {"messages", "labels"},
	SuiteSatisfaction: {"messages", "votes", "labels"},
	SuiteRetrieval:    {"text", "messages"},
	SuiteReply:        {"title", "text", "reply", "context", "turns", "must", "must_not"},
	SuitePairs:        {"a", "b", "label"},
	SuiteText:         {"text", "spans", "words", "clean"},
}

var (
	keyFields   = []string{"id", "source", "group", "customer", "time", "slices"}
	labelFields = []string{"kind", "types", "primary", "emotion", "intensity", "risk", "signals", "claims", "style", "outcome"}
)

// read decodes the row; on failure it says so and returns false.
func (l *linter) read(v any) bool {
	if err := decode(l.row.JSON, v); err != nil {
		l.fault(err)
		return false
	}
	return true
}

func (l *linter) lintRow(queries map[string]bool) {
	var raw map[string]json.RawMessage
	if !l.read(&raw) {
		return
	}
	var k Key
	if !l.read(&k) {
		return
	}
	l.id = l.quiet(k.ID)
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if !slices.Contains(keyFields, name) && !slices.Contains(fields[l.f.Suite], name) {
			l.unknown(name)
		}
	}
	l.key(&k)
	switch l.f.Suite {
	case SuiteTriage:
		var e Example
		if l.read(&e) {
			l.messages(e.Messages)
			l.labels(&e.Labels, raw["labels"])
			labels := sortedLabels(e.Labels)
			l.duplicate(e.Messages, labels)
			l.count(&e.Labels)
		}
	case SuiteSatisfaction:
		var e Rated
		if l.read(&e) {
			l.messages(e.Messages)
			if e.Votes.S == (Votes{}) {
				l.add(LevelError, CodeVotes, "votes.S 缺失或没有票")
			}
			l.duplicate(e.Messages, fmt.Sprint(e.Votes))
		}
	case SuiteRetrieval:
		var q Query
		if l.read(&q) {
			queries[q.ID] = true
			if len(q.Messages) > 0 {
				l.messages(q.Messages)
			} else {
				l.text("text", q.Text, true)
			}
			l.sameText(q.Words())
		}
	case SuiteReply:
		var e Reply
		if l.read(&e) {
			l.reply(&e)
		}
	case SuitePairs:
		var e Pair
		if l.read(&e) {
			l.text("a", e.A, true)
			l.text("b", e.B, true)
			if _, ok := raw["label"]; !ok {
				l.add(LevelError, CodeMissing, "缺少 label")
			} else if e.Label < 0 || e.Label > 5 {
				l.add(LevelError, CodeRange, "label 要在 0 到 5 之间")
			}
		}
	case SuiteText:
		var e Text
		if l.read(&e) {
			l.gold(&e)
		}
	}
}

func (l *linter) unknown(name string) {
	name = l.quiet(name)
	at := [2]string{l.f.Path, name}
	if !l.once[at] {
		l.once[at] = true
		l.add(LevelWarning, CodeUnknownField, "字段 %q 没有人读，请检查拼写（这个文件只提示一次）", name)
	}
}

// quiet is a name that may be shown: without personal data, and short. What
// only looks like an order number stays: ids often do.
func (l *linter) quiet(s string) string {
	masked, found := text.Mask(s)
	if slices.ContainsFunc(found, func(m text.Masked) bool { return personalNames[m.Kind].certain }) {
		s = masked
	}
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80]) + "…"
	}
	return s
}

func (l *linter) key(k *Key) {
	if k.ID == "" {
		l.add(LevelError, CodeMissing, "缺少 id")
	} else {
		at := [2]string{string(l.f.Suite), k.ID}
		if where, ok := l.ids[at]; ok {
			l.add(LevelError, CodeDuplicateID, "id 和 %s的重复", where)
		} else {
			l.ids[at] = l.row.Where()
		}
	}
	switch {
	case l.f.Group == ByCustomer && k.Customer == "":
		l.add(LevelError, CodeMissing, "按 customer 分组，但缺少 customer")
	case l.f.Group == ByTime && k.Time.IsZero():
		l.add(LevelError, CodeMissing, "按 time 分组，但缺少 time")
	}
	for _, name := range slices.Sorted(maps.Keys(k.Slices)) {
		if derived(name) {
			l.add(LevelError, CodeSlice, "slices.%s 是从文字算出来的，请删掉", name)
		} else if strings.TrimSpace(k.Slices[name]) == "" {
			l.add(LevelWarning, CodeSlice, "slices.%s 是空的", l.quiet(name))
		}
	}
}

// text checks one text for what encoding has lost and for personal data.
func (l *linter) text(field, s string, required bool) {
	if strings.TrimFunc(s, unicode.IsSpace) == "" {
		if required {
			l.add(LevelError, CodeMissing, "%s 缺失或是空的", field)
		}
		return
	}
	l.encoding(field, s)
	l.personal(field, s)
}

func (l *linter) encoding(field, s string) {
	if strings.ContainsRune(s, 0) {
		l.add(LevelError, CodeNUL, "%s 里有 NUL 字符（\\u0000），请重新导出", field)
	}
	if strings.ContainsRune(s, unicode.ReplacementChar) {
		l.add(LevelError, CodeReplacement, "%s 里有替换字符 U+FFFD，说明转码时丢了字，请从原始数据重新导出", field)
	}
	if strings.Contains(s, bom) {
		l.add(LevelWarning, CodeBOM, "%s 里有 BOM 字符（U+FEFF），请删掉", field)
	}
}

// personalNames are what Mask hides, in words, and whether it is certain:
// names, addresses and order numbers are guessed from their surroundings.
var personalNames = map[qingting.SlotKind]struct {
	name    string
	certain bool
}{
	qingting.SlotPhone:       {"电话号码", true},
	qingting.SlotIDCard:      {"身份证号", true},
	qingting.SlotBankCard:    {"银行卡号", true},
	qingting.SlotPlate:       {"车牌", true},
	qingting.SlotEmail:       {"邮箱", true},
	qingting.SlotAddress:     {"地址", false},
	qingting.SlotName:        {"姓名", false},
	qingting.SlotOrderNumber: {"单号", false},
}

func (l *linter) personal(field, s string) {
	if l.Figures {
		return
	}
	_, found := text.Mask(s)
	for _, m := range found {
		p, ok := personalNames[m.Kind]
		if !ok {
			continue
		}
		if p.certain {
			l.add(LevelError, CodePersonal, "%s 第 %d 到 %d 个字是%s，请先脱敏成 %s", field, m.Start+1, m.End, p.name, m.Placeholder)
		} else {
			l.add(LevelWarning, CodePersonal, "%s 第 %d 到 %d 个字像是%s，请确认已脱敏", field, m.Start+1, m.End, p.name)
		}
	}
}

func (l *linter) messages(messages []qingting.Message) {
	t := qingting.Transcript{Messages: messages}
	if err := t.Validate(); err != nil {
		l.add(LevelError, CodeMessage, "%v", err)
	}
	customer := false
	for i := range messages {
		m := &messages[i]
		field := fmt.Sprintf("messages[%d].text", i)
		if strings.TrimFunc(m.Text, unicode.IsSpace) == "" {
			l.add(LevelWarning, CodeEmptyMessage, "%s 是空的", field)
			continue
		}
		customer = customer || m.Role == qingting.RoleCustomer
		l.text(field, m.Text, false)
	}
	if len(messages) > 0 && !customer {
		l.add(LevelWarning, CodeEmptyMessage, "客户一句话也没有说")
	}
}

// RiskByTable is the risk that the table of the label guide gives to the
// other labels.
func RiskByTable(l *qingting.Labels) qingting.RiskLevel {
	has := func(codes ...qingting.SignalCode) bool {
		return slices.ContainsFunc(codes, func(c qingting.SignalCode) bool { return slices.Contains(l.Signals, c) })
	}
	angry := l.Emotion == qingting.EmotionAngry
	switch {
	case has(qingting.SignalRegulator, qingting.SignalMedia, qingting.SignalLegal, qingting.SignalSafetyInjury,
		qingting.SignalPrivacy, qingting.SignalDiscrimination, qingting.SignalVulnerable),
		angry && l.Intensity >= 3 && has(qingting.SignalRepeatContact, qingting.SignalBrokenPromise, qingting.SignalChurn, qingting.SignalFinancialLoss):
		return qingting.RiskHigh
	case l.Kind == qingting.KindComplaint && angry && l.Intensity >= 2,
		has(qingting.SignalRepeatContact, qingting.SignalBrokenPromise, qingting.SignalChurn, qingting.SignalSupervisorDemand, qingting.SignalFinancialLoss):
		return qingting.RiskMedium
	}
	return qingting.RiskLow
}

func (l *linter) labels(v *qingting.Labels, raw json.RawMessage) {
	var present map[string]json.RawMessage
	if err := json.Unmarshal(raw, &present); err != nil || present == nil {
		l.add(LevelError, CodeMissing, "缺少 labels")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(present)) {
		if !slices.Contains(labelFields, name) {
			l.unknown("labels." + name)
		}
	}
	for _, name := range labelFields {
		if _, ok := present[name]; !ok {
			l.add(LevelError, CodeMissing, "缺少 labels.%s", name)
		}
	}
	one(l, "kind", v.Kind, qingting.Kinds())
	one(l, "emotion", v.Emotion, qingting.Emotions())
	one(l, "risk", v.Risk, qingting.RiskLevels())
	one(l, "style", v.Style, qingting.Styles())
	one(l, "outcome", v.Outcome, qingting.Outcomes())
	many(l, "types", v.Types, qingting.Types())
	many(l, "signals", v.Signals, qingting.Signals())
	many(l, "claims", v.Claims, qingting.Claims())
	switch {
	case v.Kind == qingting.KindComplaint && len(v.Types) == 0:
		l.add(LevelError, CodeLabelTypes, "kind 是 complaint，types 至少要有一个")
	case v.Kind != qingting.KindComplaint && len(v.Types) > 0:
		l.add(LevelError, CodeLabelTypes, "kind 不是 complaint，types 应为空")
	}
	switch {
	case len(v.Types) > 0 && !slices.Contains(v.Types, v.Primary):
		l.add(LevelError, CodeLabelPrimary, "primary 应是 types 中的一个")
	case len(v.Types) == 0 && v.Primary != "":
		l.add(LevelError, CodeLabelPrimary, "types 是空的，primary 应为 null")
	}
	calm := v.Emotion == qingting.EmotionCalm
	if v.Intensity < 0 || v.Intensity > 3 || calm != (v.Intensity == 0) {
		l.add(LevelError, CodeLabelIntensity, "intensity 是 %d：只有 calm 是 0，其他情绪是 1 到 3", v.Intensity)
	}
	if want := RiskByTable(v); v.Risk != want && slices.Contains(qingting.RiskLevels(), v.Risk) {
		l.add(LevelWarning, CodeLabelRisk, "risk 是 %s，按标注手册的表应为 %s", v.Risk, want)
	}
	if slices.Contains(v.Types, qingting.TypeLeak) && !slices.Contains(v.Signals, qingting.SignalPrivacy) {
		l.add(LevelWarning, CodeLabelPrivacy, "types 有 privacy.leak，signals 一般也有 privacy")
	}
}

func one[T ~string](l *linter, field string, v T, known []T) {
	if !slices.Contains(known, v) {
		l.add(LevelError, CodeLabel, "labels.%s 是 %q，标注手册里没有", field, l.quiet(string(v)))
	}
}

func many[T ~string](l *linter, field string, list, known []T) {
	for i, v := range list {
		switch {
		case v == "none":
			l.add(LevelError, CodeLabel, "labels.%s 没有时请写空列表 []，不要写 none", field)
		case !slices.Contains(known, v):
			l.add(LevelError, CodeLabel, "labels.%s 里的 %q 标注手册里没有", field, l.quiet(string(v)))
		case slices.Contains(list[:i], v):
			l.add(LevelError, CodeLabelRepeated, "labels.%s 里的 %s 写了两次", field, v)
		}
	}
}

// sortedLabels writes labels so that the order of a list does not matter.
func sortedLabels(v qingting.Labels) string {
	sorted := func(s any) string { return fmt.Sprint(s) }
	return strings.Join([]string{
		string(v.Kind), sorted(slices.Sorted(slices.Values(v.Types))), string(v.Primary), string(v.Emotion), fmt.Sprint(v.Intensity), string(v.Risk),
		sorted(slices.Sorted(slices.Values(v.Signals))), sorted(slices.Sorted(slices.Values(v.Claims))), string(v.Style), string(v.Outcome),
	}, "|")
}

// duplicate compares whole conversations, everybody's words.
func (l *linter) duplicate(messages []qingting.Message, labels string) {
	var b strings.Builder
	for i := range messages {
		fmt.Fprintf(&b, "%s\t%s\n", messages[i].Role, Normal(l.Cleaner, messages[i].Text))
	}
	l.repeated(b.String(), labels)
}

func (l *linter) sameText(s string) { l.repeated(Normal(l.Cleaner, s), "") }

func (l *linter) repeated(normal, labels string) {
	if strings.TrimSpace(normal) == "" {
		return
	}
	key := short(string(l.f.Suite) + "\x00" + normal)
	now := earlier{l.row.Where(), short(labels)}
	before, ok := l.texts[key]
	switch {
	case !ok:
		l.texts[key] = now
	case before.labels != now.labels:
		l.add(LevelError, CodeDuplicateConflict, "和 %s是同一段会话，标注却不同，请定一个", before.where)
	default:
		l.add(LevelWarning, CodeDuplicateText, "和 %s的文字相同", before.where)
	}
}

func short(s string) [16]byte {
	sum := sha256.Sum256([]byte(s))
	return [16]byte(sum[:16])
}

func (l *linter) count(v *qingting.Labels) {
	for _, field := range LabelFields() {
		at := string(l.f.Split) + " " + string(field)
		if l.r.Labels[at] == nil {
			l.r.Labels[at] = map[string]int{}
		}
		for _, c := range LabelValues(v, field) {
			l.r.Labels[at][c]++
		}
	}
}

// LabelFields lists the fields that lint counts and a split may be stratified
// by, in the order of the label guide.
func LabelFields() []qingting.Field {
	return []qingting.Field{
		qingting.FieldKind, qingting.FieldType, qingting.FieldEmotion, qingting.FieldRisk,
		qingting.FieldSignal, qingting.FieldClaim, qingting.FieldStyle, qingting.FieldOutcome,
	}
}

// LabelValues returns the labels of one field: one for kind, emotion,
// intensity, risk, style and outcome, any number for type, signal and claim.
func LabelValues(v *qingting.Labels, field qingting.Field) []string {
	switch field {
	case qingting.FieldKind:
		return []string{string(v.Kind)}
	case qingting.FieldType:
		return codes(v.Types)
	case qingting.FieldEmotion:
		return []string{string(v.Emotion)}
	case qingting.FieldIntensity:
		return []string{strconv.Itoa(v.Intensity)}
	case qingting.FieldRisk:
		return []string{string(v.Risk)}
	case qingting.FieldSignal:
		return codes(v.Signals)
	case qingting.FieldClaim:
		return codes(v.Claims)
	case qingting.FieldStyle:
		return []string{string(v.Style)}
	case qingting.FieldOutcome:
		return []string{string(v.Outcome)}
	}
	return nil
}

func codes[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// classes warns of labels too rare to report on. What is trained on needs no
// figure.
func (l *linter) classes() {
	known := map[qingting.Field][]string{
		qingting.FieldKind: codes(qingting.Kinds()), qingting.FieldType: codes(qingting.Types()), qingting.FieldEmotion: codes(qingting.Emotions()),
		qingting.FieldRisk: codes(qingting.RiskLevels()), qingting.FieldSignal: codes(qingting.Signals()), qingting.FieldClaim: codes(qingting.Claims()),
		qingting.FieldStyle: codes(qingting.Styles()), qingting.FieldOutcome: codes(qingting.Outcomes()),
	}
	l.id = ""
	for _, part := range []Part{Dev, Test} {
		if len(l.r.Labels[string(part)+" kind"]) == 0 {
			continue
		}
		for _, field := range LabelFields() {
			n := l.r.Labels[string(part)+" "+string(field)]
			for _, c := range known[field] {
				if n[c] < leastClass {
					l.addAt(string(part), 0, LevelWarning, CodeClassSmall, "%s 的 %s %s 只有 %d 个样本，少于 %d 个，它的单项指标没有意义", part, field, c, n[c], leastClass)
				}
			}
		}
	}
}

func (l *linter) qrels(queries map[string]bool) {
	f := l.f
	ids, err := l.corpus(f)
	if err != nil {
		l.addAt(f.Corpus, 0, LevelError, CodeUnreadable, "%v", err)
	}
	judged := map[string]map[string]int{}
	for q, err := range l.d.judgements(f) {
		if err != nil {
			l.addAt(f.Qrels, q.line, LevelError, CodeQrels, "%v", err)
			continue
		}
		if judged[q.query] == nil {
			judged[q.query] = map[string]int{}
		}
		_, again := judged[q.query][q.id]
		judged[q.query][q.id] = q.grade
		switch {
		case again:
			l.addAt(f.Qrels, q.line, LevelError, CodeQrels, "同一个问题和案例判了两次，请只留一个")
		case !queries[q.query]:
			l.addAt(f.Qrels, q.line, LevelError, CodeQrels, "问题 %s 不在 %s 里", l.quiet(q.query), f.Path)
		case ids != nil && !ids[q.id]:
			l.addAt(f.Qrels, q.line, LevelError, CodeQrels, "案例 %s 不在 %s 里", l.quiet(q.id), f.Corpus)
		}
	}
	for _, q := range slices.Sorted(maps.Keys(queries)) {
		relevant := false
		for _, grade := range judged[q] {
			relevant = relevant || grade > 0
		}
		l.id = l.quiet(q)
		if len(judged[q]) < leastJudged {
			l.addAt(f.Qrels, 0, LevelWarning, CodeJudgedFew, "问题 %s 只判了 %d 个案例，少于 %d 个", l.id, len(judged[q]), leastJudged)
		}
		if !relevant {
			l.addAt(f.Qrels, 0, LevelWarning, CodeNoRelevant, "问题 %s 没有一个案例有用，只能用来检验拒答", l.id)
		}
		l.id = ""
	}
}

// corpus returns the ids of the cases of a retrieval file, nil when they are
// not known.
func (l *linter) corpus(f *File) (map[string]bool, error) {
	ids := map[string]bool{}
	if name, ok := strings.CutPrefix(f.Corpus, BuiltinCorpus); ok {
		if l.Builtin == nil {
			return nil, nil
		}
		list, err := l.Builtin(name)
		if err != nil {
			return nil, fmt.Errorf("没有内置案例库 %q：%w", name, err)
		}
		for _, id := range list {
			ids[id] = true
		}
		return ids, nil
	}
	times, err := l.d.CaseTimes(f)
	for id := range times {
		ids[id] = true
	}
	return ids, err
}

func (l *linter) reply(e *Reply) {
	words := e.Text
	switch {
	case len(e.Turns) > 0:
		for i, t := range e.Turns {
			l.text(fmt.Sprintf("turns[%d]", i), t.Text, true)
		}
		for i, c := range e.Context {
			l.text(fmt.Sprintf("context[%d]", i), c, false)
		}
		words = strings.Join(append(slices.Clone(e.Context), e.Turns[0].Text), "\n")
	default:
		l.text("text", e.Text, true)
		l.text("reply", e.Reply, false)
		if e.Reply == "" && len(e.Must) == 0 && len(e.MustNot) == 0 {
			l.add(LevelError, CodeMissing, "reply、must 和 must_not 至少要有一个")
		}
	}
	demanded := map[string]bool{}
	for i, list := range [2][]Fact{e.Must, e.MustNot} {
		name := [2]string{"must", "must_not"}[i]
		for j, f := range list {
			if f.Fact == "" || len(f.Any) == 0 || slices.Contains(f.Any, "") {
				l.add(LevelError, CodeFact, "%s[%d] 要有 fact 和至少一种说法 any，说法不能是空的", name, j)
			}
			for _, w := range f.Any {
				if i == 0 {
					demanded[w] = true
				} else if demanded[w] {
					l.add(LevelError, CodeFact, "must_not[%d] 的一种说法同时在 must 里", j)
				}
			}
			if i == 0 && e.Reply != "" && !f.Said(e.Reply) {
				l.add(LevelWarning, CodeFact, "自带的 reply 没有说到 must[%d]", j)
			}
			if i == 1 && e.Reply != "" && f.Said(e.Reply) {
				l.add(LevelWarning, CodeFact, "自带的 reply 说了 must_not[%d]", j)
			}
		}
	}
	l.sameText(words + "\n" + e.Reply)
}

// gold checks the answers for masking and segmentation. The text itself is
// meant to have (invented) personal data and broken characters.
func (l *linter) gold(e *Text) {
	if e.Text == "" {
		l.add(LevelError, CodeMissing, "text 缺失或是空的")
		return
	}
	if e.Spans == nil {
		l.add(LevelError, CodeMissing, "缺少 spans，没有要遮住的就写 []")
	}
	n, last := len([]rune(e.Text)), 0
	for i, s := range e.Spans {
		if _, ok := personalNames[s.Kind]; !ok {
			l.add(LevelError, CodeSpan, "spans[%d].kind %q 不是会遮住的种类", i, l.quiet(string(s.Kind)))
		}
		if s.Start < last || s.End <= s.Start || s.End > n {
			l.add(LevelError, CodeSpan, "spans[%d] 是 %d 到 %d：要按顺序、不重叠，并且在 0 到 %d 之间", i, s.Start, s.End, n)
		}
		last = max(last, s.End)
	}
	if len(e.Words) > 0 {
		bare := func(s string) string { return strings.Join(strings.Fields(s), "") }
		clean, _, _ := l.Cleaner.Clean(e.Text)
		if joined := bare(strings.Join(e.Words, "")); joined != bare(e.Text) && joined != bare(string(clean)) {
			l.add(LevelError, CodeWords, "words 连起来不是 text")
		}
	}
	l.sameText(e.Text)
}

// String lists the findings for a terminal: errors first, at most 50 of each
// level.
func (r *LintReport) String() string {
	var b strings.Builder
	rows := 0
	for _, n := range r.Rows {
		rows += n
	}
	fmt.Fprintf(&b, "检查了 %d 个文件、%d 行：%d 个错误，%d 个警告\n", r.Files, rows, r.Errors, r.Warnings)
	b.WriteString(r.List(LevelError, 50))
	b.WriteString(r.List(LevelWarning, 50))
	return b.String()
}

// List writes the first findings of a level, a line each.
func (r *LintReport) List(level Level, most int) string {
	var b strings.Builder
	name := map[Level]string{LevelError: "错误", LevelWarning: "警告"}[level]
	shown := 0
	for _, f := range r.Findings {
		if f.Level != level {
			continue
		}
		if shown++; shown > most {
			b.WriteString("  ……\n")
			break
		}
		fmt.Fprintf(&b, "  %s %s", name, f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		if f.ID != "" {
			fmt.Fprintf(&b, "（%s）", f.ID)
		}
		fmt.Fprintf(&b, "：%s [%s]\n", f.Message, f.Code)
	}
	return b.String()
}
