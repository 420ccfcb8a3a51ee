package eval

import (
	"context"
	"slices"

	"github.com/qingting-ai/qingting"
)

// maskRune replaces quoted characters. It stands for nothing in any rule,
// dictionary or vocabulary.
const maskRune = '■'

// Evidence says whether the quotes are what the answers rest on.
type Evidence struct {
	Quotes       int     // spans shown for types, claims and signals
	MedianRunes  int     // of a quote
	BadSpans     int     // spans whose quote is not the text at that place; must be 0
	Types        int     // (transcript, type) pairs checked
	TypesLowered int     // of them: with the type's quotes masked its probability falls, or it is gone
	Rules        int     // (transcript, signal) pairs with a rule behind them
	RulesRemoved int     // of them: with the signal's quotes masked no rule raises it
	LoweredShare float64 // TypesLowered / Types
}

// CheckEvidence analyses every transcript again with the quotes of each type
// and each rule's signal masked in the submitted text. It costs one analysis
// per type and signal shown.
func CheckEvidence(ctx context.Context, p *qingting.Pipeline, mode qingting.Mode, transcripts []qingting.Transcript, analyses []*qingting.Analysis) (Evidence, error) {
	var e Evidence
	var lengths []int
	for i, t := range transcripts {
		a := analyses[i]
		if a == nil {
			continue
		}
		check := func(spans []qingting.Span) {
			for _, s := range spans {
				text := []rune(t.Messages[s.Message].Text)
				e.Quotes++
				lengths = append(lengths, s.End-s.Start)
				if s.Start < 0 || s.End > len(text) || s.Start >= s.End || string(text[s.Start:s.End]) != s.Quote {
					e.BadSpans++
				}
			}
		}
		for _, claim := range a.Claims {
			check(claim.Evidence)
		}
		for _, ty := range a.Types {
			check(ty.Evidence)
			masked, err := p.Analyze(ctx, mask(t, ty.Evidence), mode)
			if err != nil {
				return e, err
			}
			e.Types++
			at := slices.IndexFunc(masked.Types, func(m qingting.TypeScore) bool { return m.Code == ty.Code })
			if at < 0 || masked.Types[at].Confidence < ty.Confidence {
				e.TypesLowered++
			}
		}
		bySignal := map[qingting.SignalCode][]qingting.Span{}
		for _, s := range a.Risk.Signals {
			check([]qingting.Span{s.Span})
			if fromRule(s) {
				bySignal[s.Code] = append(bySignal[s.Code], s.Span)
			}
		}
		for _, code := range qingting.Signals() {
			spans := bySignal[code]
			if len(spans) == 0 {
				continue
			}
			masked, err := p.Analyze(ctx, mask(t, spans), mode)
			if err != nil {
				return e, err
			}
			e.Rules++
			if !slices.ContainsFunc(masked.Risk.Signals, func(s qingting.Signal) bool { return s.Code == code && fromRule(s) }) {
				e.RulesRemoved++
			}
		}
	}
	if len(lengths) > 0 {
		slices.Sort(lengths)
		e.MedianRunes = lengths[len(lengths)/2]
	}
	if e.Types > 0 {
		e.LoweredShare = float64(e.TypesLowered) / float64(e.Types)
	}
	return e, nil
}

func fromRule(s qingting.Signal) bool {
	return len(s.Source) > 5 && s.Source[:5] == "rule:"
}

// mask returns a copy of the transcript with the spans' characters replaced.
func mask(t qingting.Transcript, spans []qingting.Span) qingting.Transcript {
	t.Messages = slices.Clone(t.Messages)
	for _, s := range spans {
		text := []rune(t.Messages[s.Message].Text)
		for k := s.Start; k < s.End; k++ {
			text[k] = maskRune
		}
		t.Messages[s.Message].Text = string(text)
	}
	return t
}
