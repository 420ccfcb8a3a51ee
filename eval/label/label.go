// Package label says how far labels can be trusted: how well annotators agree
// with each other (Measure), and which given labels a model trained without
// them finds hard to believe (Estimate, Inspect).
//
// It reads labels, ids and probabilities, never texts, and neither its reports
// nor its errors hold one. Nothing here changes a label: what it finds is for a
// person to look at.
package label

import (
	"slices"
	"strconv"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// field is one part of the label guide as the figures of this package read it.
type field struct {
	name  string
	codes []string // every code, in the order of the guide
	// values are the codes given; of a single-label field exactly one.
	values  func(*qingting.Labels) []string
	set     bool // any number of codes
	ordinal bool // codes are steps of one scale, lowest first
}

// noCode stands for the primary type of a conversation that has none.
const noCode = "none"

// fields lists the fields of the label guide. The first level of the primary
// type stands beside it, because confusing two leaves of one family costs less.
func fields() []field {
	of := func(f qingting.Field) func(*qingting.Labels) []string {
		return func(l *qingting.Labels) []string { return dataset.LabelValues(l, f) }
	}
	primary := func(l *qingting.Labels) string {
		if l.Primary == "" {
			return noCode
		}
		return string(l.Primary)
	}
	families := []string{noCode}
	for _, t := range qingting.Types() {
		if f := family(string(t)); !slices.Contains(families, f) {
			families = append(families, f)
		}
	}
	return []field{
		{name: "kind", codes: names(qingting.Kinds()), values: of(qingting.FieldKind)},
		{name: "types", codes: names(qingting.Types()), values: of(qingting.FieldType), set: true},
		{name: "primary", codes: append([]string{noCode}, names(qingting.Types())...), values: func(l *qingting.Labels) []string { return []string{primary(l)} }},
		{name: "primary_l1", codes: families, values: func(l *qingting.Labels) []string { return []string{family(primary(l))} }},
		{name: "emotion", codes: names(qingting.Emotions()), values: of(qingting.FieldEmotion)},
		{name: "intensity", codes: intensities(), values: of(qingting.FieldIntensity), ordinal: true},
		{name: "risk", codes: names(qingting.RiskLevels()), values: of(qingting.FieldRisk), ordinal: true},
		{name: "signals", codes: names(qingting.Signals()), values: of(qingting.FieldSignal), set: true},
		{name: "claims", codes: names(qingting.Claims()), values: of(qingting.FieldClaim), set: true},
		{name: "style", codes: names(qingting.Styles()), values: of(qingting.FieldStyle)},
		{name: "outcome", codes: names(qingting.Outcomes()), values: of(qingting.FieldOutcome)},
	}
}

// leastGiven is how often a code must be given before a figure of it alone is
// shown: below, one conversation more or less moves it by a fifth.
const leastGiven = 5

// mostIntensity is the top of the scale of intensities 0, 1, 2, 3.
const mostIntensity = 3

func intensities() []string {
	var out []string
	for i := range mostIntensity + 1 {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

func names[S ~string](codes []S) []string {
	out := make([]string, len(codes))
	for i, c := range codes {
		out[i] = string(c)
	}
	return out
}

func family(code string) string {
	first, _, _ := strings.Cut(code, ".")
	return first
}
