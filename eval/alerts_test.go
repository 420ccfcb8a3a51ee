package eval

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

func TestAlertCurve(t *testing.T) {
	row := func(gold, risk qingting.RiskLevel, p float64, signals ...qingting.SignalCode) *Row {
		return &Row{
			Suite: dataset.SuiteTriage, Gold: &qingting.Labels{Risk: gold},
			Answer: &Answer{Labels: &qingting.Labels{Kind: qingting.KindComplaint, Risk: risk, Signals: signals}, HighP: p},
		}
	}
	rows := []*Row{
		row(qingting.RiskHigh, qingting.RiskHigh, 0.9),
		row(qingting.RiskLow, qingting.RiskHigh, 0.4),
		row(qingting.RiskHigh, qingting.RiskMedium, 0.6, qingting.SignalRegulator), // P1
		row(qingting.RiskHigh, qingting.RiskLow, 0.1, qingting.SignalSafetyInjury), // P0: always loud
		row(qingting.RiskHigh, qingting.RiskLow, 0.8),                              // not alarming
		row(qingting.RiskLow, qingting.RiskLow, 0.2),                               //
		{Suite: dataset.SuiteTriage, Error: "timeout", Gold: &qingting.Labels{}},   // unscored
		{Suite: dataset.SuiteText, Values: map[string]float64{"text.script": 1}},   // another suite
	}
	curve, err := AlertCurve(rows)
	require.NoError(t, err)
	type point struct {
		threshold    float64
		loud, caught int
	}
	var got []point
	for _, p := range curve {
		require.Equal(t, 6, p.N)
		require.Equal(t, 4, p.High)
		got = append(got, point{p.Threshold, p.Loud, p.Caught})
	}
	require.Equal(t, []point{{0, 4, 3}, {0.4, 4, 3}, {0.6, 3, 3}, {0.9, 2, 2}}, got)
	require.InDelta(t, 0.75, float64(curve[0].Recall), 1e-12)
	require.Less(t, float64(curve[0].RecallLow), 0.75)

	curve, err = AlertCurve(rows[5:])
	require.NoError(t, err)
	require.Len(t, curve, 1)
	require.True(t, math.IsNaN(float64(curve[0].Precision)))
	_, err = AlertCurve(rows[6:])
	require.ErrorContains(t, err, "没有分诊")
}
