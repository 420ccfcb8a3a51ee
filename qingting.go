// Package qingting is the vocabulary of the product: conversations, what is
// understood of them, past cases and drafts, and the interfaces of the stages
// that Pipeline runs one after another. Read this file first.
//
// It imports the standard library only. The stages (classify, sentiment,
// retrieval, suggest) import this package and never each other; cmd/qingting
// imports everybody.
//
// The JSON form of Analysis is the product's public answer, over HTTP and on
// the command line alike. Fields may be added to it, never renamed.
package qingting

import (
	"context"
	"errors"
	"time"
)

const (
	// SchemaVersion is the version of the analysis object.
	SchemaVersion = "1"
	// TaxonomyVersion is the version of the label guide the codes belong to.
	TaxonomyVersion = "1.3"
)

// Errors a caller branches on. Everything else is an internal failure.
var (
	// ErrInvalid is input that cannot be analysed; the message says what and where.
	ErrInvalid = errors.New("invalid input")
	// ErrTooLarge is input beyond a documented limit. Nothing is ever truncated.
	ErrTooLarge = errors.New("input too large")
	// ErrNotFound is a case that does not exist.
	ErrNotFound = errors.New("not found")
)

// Role says who wrote a message.
type Role string

// The roles. Labels come from the customer's words; the others give context.
const (
	RoleCustomer Role = "customer"
	RoleAgent    Role = "agent"
	RoleBot      Role = "bot"
	RoleSystem   Role = "system"
)

// Transcript is one conversation (会话). It is read in order of Message.Seq,
// messages without one in the order they are submitted.
type Transcript struct {
	ID          string    `json:"id,omitempty"`
	Channel     string    `json:"channel,omitempty"` // im, asr, ticket …; free text
	CustomerRef string    `json:"customer_ref,omitempty"`
	Messages    []Message `json:"messages"`
}

// Message is one turn (消息). Only Role and Text are required.
type Message struct {
	// ID is the message's own; a message delivered again under the same one is
	// read once.
	ID     string    `json:"message_id,omitempty"`
	Seq    int       `json:"seq,omitempty"` // place in the conversation, from 1; 0 is none
	Role   Role      `json:"role"`
	Text   string    `json:"text"` // as submitted; valid UTF-8
	SentAt time.Time `json:"sent_at,omitzero"`
	// IsFinal is false for a partial ASR result, which never raises a signal.
	// nil means final.
	IsFinal *bool `json:"is_final,omitempty"`
	ASR     *ASR  `json:"asr,omitempty"`
}

// Partial reports whether the message is an unfinished ASR result.
func (m *Message) Partial() bool { return m.IsFinal != nil && !*m.IsFinal }

// ASR is what a speech recogniser says of a message.
type ASR struct {
	Confidence float64 `json:"confidence,omitempty"` // in [0, 1]
	RateCPM    float64 `json:"rate_cpm,omitempty"`   // characters a minute
}

// Span is a half-open range of Unicode code points in the ORIGINAL text of
// one message: Quote is exactly text[Start:End].
type Span struct {
	Message   int    `json:"message"` // index into Transcript.Messages
	MessageID string `json:"message_id,omitempty"`
	Start     int    `json:"start"`
	End       int    `json:"end"`
	Quote     string `json:"quote"`
}

// Vector is a sentence embedding with Euclidean length 1, or nil.
type Vector []float32

// Token is one word of a cleaned message.
type Token struct {
	Text       string
	Start, End int // code points of Prepared.Clean
}

// Prepared is a message after cleaning, segmentation and encoding. It is
// computed once per message and kept; nobody changes it afterwards.
type Prepared struct {
	Message
	// Clean is simplified, half width, free of invisible characters.
	Clean []rune
	// From and To map Clean to Text, in code points: Clean[i] came from
	// Text[From[i]:To[i]]. Both have the length of Clean and never decrease;
	// characters of Text that cleaning dropped belong to nobody, and several
	// characters of Clean may come from the same one of Text.
	From, To []int32
	Tokens   []Token
	Slots    []SlotMatch
	Vector   Vector // nil in fast mode and for empty text
}

// Document is a transcript ready for the stages.
type Document struct {
	Transcript Transcript
	Messages   []*Prepared // one per Transcript.Messages
	Mode       Mode        // full or fast, as it was really prepared
	Hits       []Hit       // every rule that matched, guarded ones included, by (message, start, rule)
	Scores     Scores      // filled by the Scorer before the other stages run
}

// Span returns the original span of the non-empty range Clean[start:end] of
// message m.
func (d *Document) Span(m, start, end int) Span {
	p := d.Messages[m]
	from, to := int(p.From[start]), int(p.To[end-1])
	return Span{Message: m, MessageID: p.ID, Start: from, End: to, Quote: runeSlice(p.Text, from, to)}
}

// LastCustomer returns the index of the last final customer message that is
// not blank, or -1.
func (d *Document) LastCustomer() int {
	for i := len(d.Messages) - 1; i >= 0; i-- {
		if p := d.Messages[i]; p.Role == RoleCustomer && !p.Partial() && len(p.Clean) > 0 {
			return i
		}
	}
	return -1
}

// Guard says why a rule that matched does not count.
type Guard string

// The guards of the product description, section 2.
const (
	GuardNone         Guard = ""
	GuardNegated      Guard = "negated"      // 我不是要投诉
	GuardHypothetical Guard = "hypothetical" // 如果…就…, a question whether
	GuardQuoted       Guard = "quoted"       // someone else's words
	GuardPast         Guard = "past"         // a complaint of long ago, settled
	GuardRole         Guard = "role"         // not the customer's words
	GuardPartial      Guard = "partial"      // an unfinished ASR result
)

// Hit is one lexicon rule that matched in one message.
type Hit struct {
	Rule    string  // stable id, "signal.regulator.hotline"
	Field   Field   // what the rule speaks about
	Code    string  // the label it speaks for
	Weight  float64 // in (0, 1]: the share of matches in the training texts that were meant so
	Certain bool    // decides without the model
	Guard   Guard   // not empty: matched, but does not count
	Message int
	Start   int // code points of Prepared.Clean
	End     int
}

// Field names a part of the label guide.
type Field string

// The fields of the label guide.
const (
	FieldKind      Field = "kind"
	FieldType      Field = "type"
	FieldEmotion   Field = "emotion"
	FieldIntensity Field = "intensity"
	FieldSignal    Field = "signal"
	FieldClaim     Field = "claim"
	FieldStyle     Field = "style"
	FieldOutcome   Field = "outcome"
	FieldRisk      Field = "risk"
)

// Score is a label with its calibrated probability, in [0, 1].
type Score[L ~string] struct {
	Code       L       `json:"code"`
	Confidence float64 `json:"confidence"`
}

// Scores are the trained model's calibrated probabilities, each slice
// parallel to the list of codes of its field (Kinds, Types, …). An empty
// slice means that the model has no head for the field.
type Scores struct {
	Kind         []float64 // sums to 1
	Types        []float64 // independent; given that the text is a complaint or not
	Primary      []float64 // over Types; sums to 1
	Emotion      []float64 // sums to 1
	Intensity    []float64 // 0…3; sums to 1
	Risk         []float64 // low, medium, high; sums to 1
	Signals      []float64 // independent
	Claims       []float64 // independent
	Style        []float64 // sums to 1
	Outcome      []float64 // sums to 1
	Satisfaction []float64 // votes −2…2; sums to 1
	// TypeCut, SignalCut and ClaimCut are the probabilities from which the
	// label is given, parallel to Types, Signals and Claims; chosen on
	// out-of-fold predictions of the training texts. HighCut is the same for
	// the probability of high risk.
	TypeCut, SignalCut, ClaimCut []float64
	HighCut                      float64
	// Attribute says how much each character added to the score of a label:
	// parallel to Document.Messages, each entry nil or as long as the Clean
	// text of its message. Positive values speak for the label; only values of
	// one result can be compared. It is nil without a model, and must not be
	// called concurrently.
	Attribute func(field Field, code string) [][]float64
	// MessageEmotion and MessageIntensity hold, per message, the emotion
	// distribution of that message alone; nil for messages that are not the
	// customer's.
	MessageEmotion   [][]float64
	MessageIntensity [][]float64
}

// defaultCut is the probability from which a label without a cut is given.
const defaultCut = 0.5

// Cut returns the cut of label i out of TypeCut, SignalCut or ClaimCut: 0.5
// where there is none.
func (s *Scores) Cut(cut []float64, i int) float64 {
	if i < len(cut) && cut[i] > 0 {
		return cut[i]
	}
	return defaultCut
}

// Likeliest returns the index of the largest of p, the first of equals; 0 when
// p is empty.
func (s *Scores) Likeliest(p []float64) int {
	at := 0
	for i := range p {
		if p[i] > p[at] {
			at = i
		}
	}
	return at
}

// Claim is a demand of the customer (诉求).
type Claim struct {
	Code       ClaimCode `json:"code"`
	Amount     *float64  `json:"amount,omitempty"` // CNY
	Confidence float64   `json:"confidence"`
	Evidence   []Span    `json:"evidence"`
}

// TypeScore is one complaint type with the words that show it.
type TypeScore struct {
	Code       Type    `json:"code"`
	Confidence float64 `json:"confidence"`
	Evidence   []Span  `json:"evidence"`
}

// Emotion is how the customer feels at the end, and the way there.
type Emotion struct {
	Code       EmotionCode      `json:"code"`
	Intensity  int              `json:"intensity"` // 0…3; 0 always and only with calm
	Confidence float64          `json:"confidence"`
	Trend      Trend            `json:"trend"`
	Peak       *EmotionPeak     `json:"peak"` // nil when there is no customer message
	ByMessage  []MessageEmotion `json:"by_message"`
}

// EmotionPeak is the most intense customer message.
type EmotionPeak struct {
	Message   int `json:"message"`
	Intensity int `json:"intensity"`
}

// MessageEmotion is the emotion of one customer message.
type MessageEmotion struct {
	Message   int         `json:"message"`
	Code      EmotionCode `json:"code"`
	Intensity int         `json:"intensity"`
}

// Risk is the escalation risk with its ledger of evidence.
type Risk struct {
	Level    RiskLevel `json:"level"`
	Score    float64   `json:"score"` // calibrated probability of high
	Signals  []Signal  `json:"signals"`
	Conflict bool      `json:"conflict"` // rules and model disagree; the safer level is shown
}

// Signal is one line of the ledger. A signal that only the model sees carries
// the words that weighed most, with Source "model:<hash>".
type Signal struct {
	Code   SignalCode `json:"code"`
	Source string     `json:"source"` // "rule:<id>" or "model:<hash>"
	Weight float64    `json:"weight"` // in (0, 1]
	Span
}

// Slot is a fact the customer or agent stated.
type Slot struct {
	Kind  SlotKind `json:"kind"`
	Value string   `json:"value"` // normalised: digits, ISO dates, decimal amounts
	Span
}

// SlotMatch is a fact found in one cleaned message.
type SlotMatch struct {
	Kind       SlotKind
	Value      string // normalised as in Slot
	Start, End int    // code points of Prepared.Clean
}

// Labels are what a person said of a transcript by the label guide.
type Labels struct {
	Kind      Kind         `json:"kind"`
	Types     []Type       `json:"types"`
	Primary   Type         `json:"primary"` // "" for null
	Emotion   EmotionCode  `json:"emotion"`
	Intensity int          `json:"intensity"`
	Risk      RiskLevel    `json:"risk"`
	Signals   []SignalCode `json:"signals"`
	Claims    []ClaimCode  `json:"claims"`
	Style     Style        `json:"style"`
	Outcome   Outcome      `json:"outcome"`
}

// Classification is what the classify stage returns.
type Classification struct {
	Kind           Score[Kind]
	Types          []TypeScore // by falling confidence; empty unless Kind is complaint
	Primary        Type        // "" unless Kind is complaint
	Claims         []Claim
	Expectations   []Expectation
	Style          Score[Style]
	Responsibility Score[Responsibility]
	Outcome        Score[Outcome]
	Satisfaction   *Satisfaction
	Slots          []Slot
}

// Feeling is what the sentiment stage returns.
type Feeling struct {
	Emotion Emotion
	Risk    Risk
}

// Expectation is a demand made twice or more (潜在期望).
type Expectation struct {
	Code     ExpectationCode `json:"code"`
	Messages []int           `json:"messages"`
}

// Satisfaction is the expected distribution of human votes from −2 to 2.
type Satisfaction struct {
	Mean         float64            `json:"mean"`
	Distribution map[string]float64 `json:"distribution"` // keys "-2" … "2"; sums to 1
}

// Case is a past complaint with what was done about it (案例).
type Case struct {
	ID         string      `json:"id"`
	Title      string      `json:"title"`
	Type       Type        `json:"type"`
	Industry   string      `json:"industry,omitempty"` // 电商 通信 银行 餐饮 家电 出行 政务 …
	Product    string      `json:"product,omitempty"`
	Scene      string      `json:"scene,omitempty"` // when and where it happens, whom it strikes
	Problem    string      `json:"problem"`         // in the customer's words
	Solution   string      `json:"solution"`        // in one or two sentences
	Steps      []string    `json:"steps,omitempty"`
	Owner      string      `json:"owner,omitempty"` // who carried it out
	Outcome    CaseOutcome `json:"outcome"`
	Hours      float64     `json:"hours,omitempty"`        // from report to closing
	Cost       float64     `json:"cost,omitempty"`         // CNY spent on the remedy
	Satisfied  int         `json:"satisfaction,omitempty"` // 1…5, 0 unknown
	Reopened   bool        `json:"reopened,omitempty"`
	Style      Style       `json:"style,omitempty"` // of the customer
	Remedy     RemedyCode  `json:"remedy,omitempty"`
	Lesson     string      `json:"lesson,omitempty"` // of a failed case: what went wrong
	Source     string      `json:"source,omitempty"` // "starter" or who entered it
	ClosedAt   time.Time   `json:"closed_at,omitzero"`
	Vector     Vector      `json:"-"`
	VectorFrom string      `json:"-"` // Encoder.ID that made Vector
}

// CaseQuery asks the library for past cases.
type CaseQuery struct {
	Text   string  // what the customer complains about, cleaned
	Tokens []Token // of Text; nil: the library segments it itself
	Vector Vector  // nil: lexical search only
	Filter CaseFilter
	Limit  int // at most this many matches; 0 means 3
}

// CaseFilter narrows a search; zero fields do not narrow.
type CaseFilter struct {
	Types    []Type        `json:"types,omitempty"`
	Outcomes []CaseOutcome `json:"outcomes,omitempty"`
	Industry string        `json:"industry,omitempty"`
	Product  string        `json:"product,omitempty"`
	From     time.Time     `json:"from,omitzero"` // closed at or after
	To       time.Time     `json:"to,omitzero"`   // closed before
}

// Match is a case that was found, and why.
type Match struct {
	Case
	Score  float64    `json:"score"` // in [0, 1]: probability that the case is about the same problem
	Parts  MatchParts `json:"parts"`
	Why    []string   `json:"why"`
	Differ []string   `json:"differs"`
}

// MatchParts are the raw scores of the two searches.
type MatchParts struct {
	Dense   float64 `json:"dense"`   // cosine, in [−1, 1]; 0 without a vector
	Lexical float64 `json:"lexical"` // BM25
}

// Retrieval is what the retrieval stage returns.
type Retrieval struct {
	Status RetrievalStatus
	Cases  []Match // resolved ones, best first
	Failed *Match  // one failed look-alike, as a warning
}

// Suggestion is a draft for the agent to send or change (建议). Nothing
// reaches a customer without a person.
type Suggestion struct {
	ID      string     `json:"id"`
	Style   Style      `json:"style"`   // rational or emotional
	Default bool       `json:"default"` // the style that fits this customer
	Restate string     `json:"restate"` // 复述, at most 30 characters
	Text    string     `json:"text"`    // the whole draft
	Steps   []string   `json:"steps"`   // at most 3
	Confirm string     `json:"confirm"`
	Owner   string     `json:"owner"`
	DueAt   *time.Time `json:"due_at"`        // nil: no deadline can be named yet
	Due     string     `json:"due,omitempty"` // the same in words: 今天18点前
	Remedy  *Remedy    `json:"remedy"`
	Sources []string   `json:"sources"` // case ids and policy keys the draft rests on
	Origin  string     `json:"origin"`  // template or model
	Checks  []Check    `json:"checks"`
}

// Remedy is what the draft offers.
type Remedy struct {
	Code      RemedyCode `json:"code"`
	Amount    *float64   `json:"amount,omitempty"` // CNY
	Authority string     `json:"authority"`        // agent, or approval: then the text must not promise it
}

// Check is one rule a draft was held against.
type Check struct {
	Rule   string `json:"rule"`
	Passed bool   `json:"passed"`
}

// Unavailable names a component that did not take part, and why.
type Unavailable struct {
	Component string     `json:"component"`
	Code      string     `json:"code"`
	Since     *time.Time `json:"since"`
}

// Analysis is the answer for one transcript.
type Analysis struct {
	Schema         string                `json:"schema"`
	Taxonomy       string                `json:"taxonomy"`
	Model          string                `json:"model"` // hash of the weights and rules in force
	ID             *string               `json:"id"`    // null when none was given
	Mode           Mode                  `json:"mode"`
	Unavailable    []Unavailable         `json:"unavailable"`
	AsOf           AsOf                  `json:"as_of"`
	Kind           Score[Kind]           `json:"kind"`
	Types          []TypeScore           `json:"types"`
	Primary        *Type                 `json:"primary"`
	Emotion        Emotion               `json:"emotion"`
	Risk           Risk                  `json:"risk"`
	Priority       Priority              `json:"priority"`
	Routes         []Route               `json:"routes,omitempty"`
	Claims         []Claim               `json:"claims"`
	Expectations   []Expectation         `json:"expectations"`
	Style          Score[Style]          `json:"style"`
	Responsibility Score[Responsibility] `json:"responsibility"`
	Outcome        Score[Outcome]        `json:"outcome"`
	Satisfaction   *Satisfaction         `json:"satisfaction"`
	Slots          []Slot                `json:"slots"`
	Retrieval      RetrievalInfo         `json:"retrieval"`
	Cases          []Match               `json:"cases"`
	FailedCase     *Match                `json:"failed_case"`
	Suggestions    []Suggestion          `json:"suggestions"`
	Latency        Latency               `json:"latency_ms"`
}

// AsOf says how much of the conversation the analysis has seen.
type AsOf struct {
	// Message is the index of the last message of the conversation that was
	// read, in its order of seq; −1 when there are unfinished ASR results only.
	Message int `json:"message"`
}

// RetrievalInfo is the state of the case search.
type RetrievalInfo struct {
	Status RetrievalStatus `json:"status"`
}

// Latency is the time a transcript took, in milliseconds.
type Latency struct {
	Total  float64            `json:"total"`
	Stages map[string]float64 `json:"stages,omitempty"`
}

// Cleaner makes one text ready for every later step: valid, simplified, half
// width, without invisible characters. See Prepared for the result. It may be
// called concurrently.
type Cleaner interface {
	Clean(text string) (clean []rune, from, to []int32)
}

// SlotFinder finds stated facts in a cleaned text, by start, without overlap.
// Relative dates (昨天) are resolved against at unless it is zero. It may be
// called concurrently.
type SlotFinder interface {
	FindSlots(clean []rune, at time.Time) []SlotMatch
}

// Matcher finds every lexicon rule in a document, guards applied, in order of
// (message, start, rule). It may be called concurrently.
type Matcher interface {
	Match(doc *Document) []Hit
}

// Scorer is the trained model. It reads Messages and Hits of the document and
// returns calibrated probabilities. It may be called concurrently.
type Scorer interface {
	Score(doc *Document) Scores
	// ID is the hash of the weights.
	ID() string
}

// Classifier says what the complaint is. It reads the document, scores
// included, and may be called concurrently.
type Classifier interface {
	Classify(ctx context.Context, doc *Document) (Classification, error)
}

// Assessor says how the customer feels and how likely the case escalates.
// It may be called concurrently.
type Assessor interface {
	Assess(ctx context.Context, doc *Document, c *Classification) (Feeling, error)
}

// Retriever finds past cases for an analysed document. An empty result below
// the threshold is Status no_reliable_case, never a bad guess. It may be
// called concurrently.
type Retriever interface {
	Retrieve(ctx context.Context, doc *Document, a *Analysis) (Retrieval, error)
}

// Suggester drafts replies, the default style first. An empty result means
// that nothing can be said yet. It may be called concurrently.
type Suggester interface {
	Suggest(ctx context.Context, doc *Document, a *Analysis) ([]Suggestion, error)
}

// Encoder turns texts into vectors, one for each, in order. An empty text
// gives a nil vector. It may be called concurrently.
type Encoder interface {
	Encode(ctx context.Context, texts []string) ([]Vector, error)
	// ID names weights and preprocessing; an index refuses vectors of another.
	ID() string
	// Dim is the length of every vector.
	Dim() int
}

// Segmenter cuts cleaned text into words. Tokens cover the text in order,
// without white space. It may be called concurrently.
type Segmenter interface {
	Segment(clean []rune) []Token
}

func runeSlice(s string, from, to int) string {
	start, n := len(s), 0
	for i := range s {
		if n == from {
			start = i
		}
		if n == to {
			return s[start:i]
		}
		n++
	}
	if from >= n {
		return ""
	}
	return s[start:]
}
