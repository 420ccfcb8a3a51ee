package lexicon

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/qingting-ai/qingting"
)

// Stat counts how a rule fared on labelled transcripts.
type Stat struct {
	Rule    string
	Matched int // transcripts with a hit that counts
	Meant   int // those of them that carry the label
	Labeled int // transcripts that carry the label at all
	Guarded int // transcripts with guarded hits only
	Denied  int // those of them that do not carry the label: the guard was right
}

// Weight is the share of matches that were meant so, drawn towards the prior,
// the weight the rule has in its text, as two more matches would draw it.
func (s Stat) Weight(prior float64) float64 {
	const strength = 2
	return (float64(s.Meant) + strength*prior) / (float64(s.Matched) + strength)
}

// Measure matches every document, counts the hits of every rule against the
// labels of the same index, and returns one Stat for every rule, in the
// order of the rules. Types are given to complaints only, so their rules are
// measured on complaints.
func (l *Lexicon) Measure(docs []*qingting.Document, labels []qingting.Labels) ([]Stat, error) {
	if len(docs) != len(labels) {
		return nil, fmt.Errorf("measure: %d documents and %d labels", len(docs), len(labels))
	}
	stats := make([]Stat, len(l.rules))
	at := make(map[string]int, len(l.rules))
	for i, r := range l.rules {
		stats[i].Rule, at[r.ID] = r.ID, i
	}
	for d, doc := range docs {
		counts := map[int]bool{} // rule → has a hit that counts
		for _, h := range l.Match(doc) {
			i := at[h.Rule]
			if h.Guard == qingting.GuardRole || h.Field == qingting.FieldType && labels[d].Kind != qingting.KindComplaint {
				continue
			}
			counts[i] = counts[i] || h.Guard == qingting.GuardNone
		}
		for i := range l.rules {
			if Carries(&labels[d], l.rules[i].Field, l.rules[i].Code) {
				stats[i].Labeled++
			}
		}
		for i, live := range counts {
			meant := Carries(&labels[d], l.rules[i].Field, l.rules[i].Code)
			switch {
			case live && meant:
				stats[i].Matched++
				stats[i].Meant++
			case live:
				stats[i].Matched++
			case meant:
				stats[i].Guarded++
			default:
				stats[i].Guarded++
				stats[i].Denied++
			}
		}
	}
	return stats, nil
}

// Carries reports whether labels give the code to the field.
func Carries(l *qingting.Labels, field qingting.Field, code string) bool {
	switch field {
	case qingting.FieldKind:
		return string(l.Kind) == code
	case qingting.FieldType:
		return slices.Contains(l.Types, qingting.Type(code))
	case qingting.FieldEmotion:
		return string(l.Emotion) == code
	case qingting.FieldIntensity:
		return strconv.Itoa(l.Intensity) == code
	case qingting.FieldSignal:
		return slices.Contains(l.Signals, qingting.SignalCode(code))
	case qingting.FieldClaim:
		return slices.Contains(l.Claims, qingting.ClaimCode(code))
	case qingting.FieldStyle:
		return string(l.Style) == code
	case qingting.FieldOutcome:
		return string(l.Outcome) == code
	}
	return false
}

// WriteWeights writes the counts of the rules that matched, one line each:
// rule, matched, meant, separated by tabs.
func WriteWeights(w io.Writer, stats []Stat) error {
	for _, s := range stats {
		if s.Matched == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s\t%d\t%d\n", s.Rule, s.Matched, s.Meant); err != nil {
			return err
		}
	}
	return nil
}

// ParseWeights reads what WriteWeights wrote, by rule.
func ParseWeights(text string) (map[string]Stat, error) {
	stats := map[string]Stat{}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			return nil, fmt.Errorf("weights.tsv 第 %d 行应有 3 列，用制表符分开", i+1)
		}
		matched, err1 := strconv.Atoi(f[1])
		meant, err2 := strconv.Atoi(f[2])
		if err1 != nil || err2 != nil || meant < 0 || meant > matched {
			return nil, fmt.Errorf("weights.tsv 第 %d 行的次数不对：%q", i+1, line)
		}
		stats[f[0]] = Stat{Rule: f[0], Matched: matched, Meant: meant}
	}
	return stats, nil
}
