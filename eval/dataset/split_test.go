package dataset

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/qingting-ai/qingting"
)

func at(day int) time.Time { return time.Date(2026, 1, day, 9, 0, 0, 0, time.UTC) }

func TestSplitStratifies(t *testing.T) {
	var units []Unit
	for i := range 1000 {
		label := "complaint"
		if i%10 == 0 {
			label = "praise"
		}
		units = append(units, Unit{Key: Key{ID: fmt.Sprint(i)}, Label: label})
	}
	parts, err := Split(units, ByConversation, Shares{Train: 0.8, Dev: 0.1, Test: 0.1}, 7)
	require.NoError(t, err)
	got := map[Part]map[string]int{Train: {}, Dev: {}, Test: {}}
	for i, p := range parts {
		got[p][units[i].Label]++
	}
	require.Equal(t, map[Part]map[string]int{
		Train: {"complaint": 720, "praise": 80},
		Dev:   {"complaint": 90, "praise": 10},
		Test:  {"complaint": 90, "praise": 10},
	}, got)
	other, err := Split(units, ByConversation, Shares{Train: 0.8, Dev: 0.1, Test: 0.1}, 8)
	require.NoError(t, err)
	require.NotEqual(t, parts, other, "another seed is another split")
}

func TestSplitByTime(t *testing.T) {
	// The second conversation began before the third but goes on after it.
	units := []Unit{
		{Key: Key{ID: "1", Time: at(1)}},
		{Key: Key{ID: "2a", Group: "2", Time: at(2)}},
		{Key: Key{ID: "3", Time: at(3)}},
		{Key: Key{ID: "2b", Group: "2", Time: at(9)}},
		{Key: Key{ID: "4", Time: at(4)}},
		{Key: Key{ID: "5", Time: at(5)}},
		{Key: Key{ID: "6", Time: at(5)}},
		{Key: Key{ID: "7", Time: at(7)}},
	}
	parts, err := Split(units, ByTime, Shares{Train: 0.5, Dev: 0.25, Test: 0.25}, 1)
	require.NoError(t, err)
	// 5 and 6 began at one moment and stay together.
	require.Equal(t, []Part{Train, Train, Train, Train, Dev, Dev, Dev, Test}, parts)

	parts, err = Split(units, ByTime, Shares{Test: 1}, 1)
	require.NoError(t, err)
	require.NotContains(t, parts, Train)
	require.NotContains(t, parts, Dev)
}

func TestSplitRefuses(t *testing.T) {
	units := []Unit{{Key: Key{ID: "1", Customer: "c", Time: at(1)}}, {Key: Key{ID: "2"}}, {}}
	_, err := Split(units, ByCustomer, Shares{Train: 1}, 0)
	require.EqualError(t, err, "有 2 个样本没有 customer（从第 2 个样本起），不能按 customer 切分；请补上，或换一种分组")
	_, err = Split(units, ByTime, Shares{Train: 1}, 0)
	require.ErrorContains(t, err, "2 个样本没有 id 或 time")
	_, err = Split(units, ByConversation, Shares{Train: 1}, 0)
	require.ErrorContains(t, err, "1 个样本没有 id 或 group（从第 3 个样本起）")
	_, err = Split(units, "row", Shares{Train: 1}, 0)
	require.ErrorContains(t, err, `"row"`)
	for want, s := range map[string]Shares{
		"加起来是 0，":              {},
		"train 的份额是 -1":        {Train: -1, Test: 2},
		"train 的份额是 NaN":       {Train: math.NaN(), Test: 1},
		"dev 的份额是 +Inf":        {Dev: math.Inf(1)},
		"test 的份额是 1.5":        {Test: 1.5},
		"加起来是 1.2，要等于 1；不要的一份": {Train: 0.8, Dev: 0.2, Test: 0.2},
		"加起来是 0.9":             {Train: 0.8, Test: 0.1},
	} {
		_, err = Split(units[:1], ByCustomer, s, 0)
		require.ErrorContains(t, err, want)
	}
	_, err = Split(units[:1], ByCustomer, Shares{Train: 0.333333, Dev: 0.333333, Test: 0.333334}, 0)
	require.NoError(t, err)
	parts, err := Split(nil, ByConversation, Shares{Train: 1}, 0)
	require.NoError(t, err)
	require.Empty(t, parts)
}

func TestWriteParts(t *testing.T) {
	lines := []string{good("1", `"id":"1",`, `"id": "1", "group":"g",`), good("2"), good("3", `"id":"3",`, `"id":"3","group":"g",`)}
	d := open(t, "  - {suite: triage, path: a.jsonl}\n", map[string]string{"a.jsonl": strings.Join(lines, "\n\n")})
	f := &d.Files[0]
	units, err := d.Units(f, qingting.FieldType)
	require.NoError(t, err)
	require.Equal(t, []string{"g", "2", "g"}, []string{units[0].Conversation(), units[1].Conversation(), units[2].Conversation()})
	require.Equal(t, "product.quality", units[0].Label)
	units, err = d.Units(f, qingting.FieldSignal)
	require.NoError(t, err)
	require.Equal(t, "repeat_contact", units[0].Label)

	var train, test bytes.Buffer
	require.NoError(t, d.WriteParts(f, []Part{Train, Test, Train}, map[Part]io.Writer{Train: &train, Test: &test}))
	require.Equal(t, lines[0]+"\n"+lines[2]+"\n", train.String())
	require.Equal(t, lines[1]+"\n", test.String())
	require.ErrorContains(t, d.WriteParts(f, []Part{Train}, nil), "变长")
	require.ErrorContains(t, d.WriteParts(f, []Part{Train, Train, Dev, Test}, nil), "变短")
}

// TestSplitProperties: no group is cut, the order of the rows does not matter,
// no part is further from its share than the largest group, and a part
// without a share stays empty.
func TestSplitProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		by := rapid.SampledFrom(Groups()).Draw(t, "by")
		n := rapid.IntRange(0, 120).Draw(t, "rows")
		units := make([]Unit, n)
		sizes := map[string]int{}
		largest := 0
		key := func(u *Unit) string {
			if by == ByCustomer {
				return u.Customer
			}
			return u.Group
		}
		for i := range units {
			units[i] = Unit{
				Key: Key{
					ID: fmt.Sprint(i), Group: fmt.Sprint("g", rapid.IntRange(0, 40).Draw(t, "group")),
					Customer: fmt.Sprint("c", rapid.IntRange(0, 20).Draw(t, "customer")), Time: at(rapid.IntRange(1, 28).Draw(t, "day")),
				},
				Label: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "label"),
			}
			sizes[key(&units[i])]++
			largest = max(largest, sizes[key(&units[i])])
		}
		shares := Shares{Dev: rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "dev"), Test: 0.2}
		shares.Train = 1 - shares.Dev - shares.Test
		seed := rapid.Uint64().Draw(t, "seed")
		parts, err := Split(units, by, shares, seed)
		require.NoError(t, err)
		of := map[string]Part{}
		count := map[Part]int{}
		for i, p := range parts {
			if before, ok := of[key(&units[i])]; ok {
				require.Equal(t, before, p, "a group is cut")
			}
			of[key(&units[i])] = p
			count[p]++
		}
		if shares.Dev == 0 {
			require.Zero(t, count[Dev])
		}
		if by == ByTime {
			begin := map[string]time.Time{}
			for i := range units {
				g := key(&units[i])
				if b, ok := begin[g]; !ok || units[i].Time.Before(b) {
					begin[g] = units[i].Time
				}
			}
			rank := map[Part]int{Train: 0, Dev: 1, Test: 2}
			for a, pa := range of {
				for b, pb := range of {
					if rank[pa] < rank[pb] {
						require.True(t, begin[a].Before(begin[b]), "%s in %s is not before %s in %s", a, pa, b, pb)
					}
				}
			}
		}
		shuffled := make([]Unit, n)
		order := rand.New(rand.NewPCG(seed, 1)).Perm(n)
		for i, j := range order {
			shuffled[j] = units[i]
		}
		again, err := Split(shuffled, by, shares, seed)
		require.NoError(t, err)
		for i, j := range order {
			require.Equal(t, parts[i], again[j], "the order of the rows matters")
		}
	})
}
