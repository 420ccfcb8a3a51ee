package eval

import (
	"cmp"
	"context"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// Baselines are systems that read nothing. Any other must beat them to have
// said something: the commonest labels of the very data that is measured (which
// flatters them), and a risk that is always or never high.
func Baselines(d *dataset.Dataset, o *Options) ([]System, error) {
	common, err := commonest(d, o)
	if err != nil {
		return nil, err
	}
	constant := func(name string, change func(*qingting.Analysis)) System {
		return System{
			Name: name, Identity: map[string]string{"baseline": name},
			Analyze: func(context.Context, qingting.Transcript) (*qingting.Analysis, error) {
				a := *common
				change(&a)
				return &a, nil
			},
		}
	}
	return []System{
		constant("majority", func(*qingting.Analysis) {}),
		constant("always_high", func(a *qingting.Analysis) { a.Risk.Level, a.Risk.Score = qingting.RiskHigh, 1 }),
		constant("never_high", func(a *qingting.Analysis) {
			a.Risk.Score = 0
			if a.Risk.Level == qingting.RiskHigh {
				a.Risk.Level = qingting.RiskLow
			}
		}),
	}, nil
}

// tally counts labels.
type tally[C cmp.Ordered] map[C]int

// top is the commonest label, the first in order of equals, with its share of n.
func (t tally[C]) top(n int) (code C, share float64) {
	best := -1
	for c, k := range t {
		if k > best || k == best && c < code {
			code, best = c, k
		}
	}
	return code, float64(max(best, 0)) / float64(max(1, n))
}

// commonest is the analysis that is right most often without reading.
func commonest(d *dataset.Dataset, o *Options) (*qingting.Analysis, error) {
	var (
		n, complaints, high int
		kinds               = tally[qingting.Kind]{}
		types               = tally[qingting.Type]{}
		emotions            = tally[qingting.EmotionCode]{}
		intensities         = tally[int]{}
		risks               = tally[qingting.RiskLevel]{}
		styles              = tally[qingting.Style]{}
		outcomes            = tally[qingting.Outcome]{}
		votes               [5]float64
		rated               int
	)
	for i := range d.Files {
		f := &d.Files[i]
		switch {
		case !o.Takes(f):
		case f.Suite == dataset.SuiteTriage:
			for e, err := range dataset.Read[dataset.Example](d, f) {
				if err != nil {
					return nil, err
				}
				n++
				kinds[e.Labels.Kind]++
				emotions[e.Labels.Emotion]++
				intensities[e.Labels.Intensity]++
				risks[e.Labels.Risk]++
				styles[e.Labels.Style]++
				outcomes[e.Labels.Outcome]++
				if e.Labels.Primary != "" {
					complaints++
					types[e.Labels.Primary]++
				}
				if e.Labels.Risk == qingting.RiskHigh {
					high++
				}
			}
		case f.Suite == dataset.SuiteSatisfaction:
			for e, err := range dataset.Read[dataset.Rated](d, f) {
				if err != nil {
					return nil, err
				}
				rated++
				for k, share := range e.Votes.S.Shares() {
					votes[k] += share
				}
			}
		}
	}
	a := &qingting.Analysis{Claims: []qingting.Claim{}, Types: []qingting.TypeScore{}}
	a.Kind.Code, a.Kind.Confidence = kinds.top(n)
	if primary, share := types.top(complaints); a.Kind.Code == qingting.KindComplaint {
		a.Primary = &primary
		a.Types = append(a.Types, qingting.TypeScore{Code: primary, Confidence: share})
	}
	a.Emotion.Code, a.Emotion.Confidence = emotions.top(n)
	a.Emotion.Intensity, _ = intensities.top(n)
	a.Risk.Level, _ = risks.top(n)
	a.Risk.Score = float64(high) / float64(max(1, n))
	a.Style.Code, a.Style.Confidence = styles.top(n)
	a.Outcome.Code, a.Outcome.Confidence = outcomes.top(n)
	if rated > 0 {
		s := &qingting.Satisfaction{Distribution: map[string]float64{}}
		for i, name := range voteNames() {
			s.Distribution[name] = votes[i] / float64(rated)
			s.Mean += float64(i-2) * votes[i] / float64(rated)
		}
		a.Satisfaction = s
	}
	return a, nil
}

// voteNames are the scores of a vote as the analysis writes them, from −2 to 2.
func voteNames() []string { return []string{"-2", "-1", "0", "1", "2"} }
