package dataset

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
)

// Unit is what Split has to know of a row.
type Unit struct {
	Key
	Label string // what to stratify by, such as the kind; may be empty
}

// Shares is how much of the rows each part gets: each in [0, 1], together 1.
type Shares struct {
	Train, Dev, Test float64
}

// roundedShares is how far from 1 the sum of shares may lie: 0.33, 0.33, 0.34
// add up to 1 only nearly.
const roundedShares = 1e-6

func (s Shares) list() ([3]float64, error) {
	l := [3]float64{s.Train, s.Dev, s.Test}
	total := 0.0
	for i, v := range l {
		if !(v >= 0 && v <= 1) { // nor NaN
			return l, fmt.Errorf("%s 的份额是 %v，要在 0 和 1 之间，如 0.8、0.1、0.1", Parts()[i], v)
		}
		total += v
	}
	if math.Abs(total-1) > roundedShares {
		return l, fmt.Errorf("train、dev、test 的份额 %v、%v、%v 加起来是 %.6g，要等于 1；不要的一份写 0", s.Train, s.Dev, s.Test, total)
	}
	for i := range l {
		l[i] /= total
	}
	return l, nil
}

// Split says for every unit which part it belongs to; the result is parallel
// to units. Rows of one group always share a part.
//
// By conversation and by customer the labels are stratified as far as the
// groups allow: the groups with the most rows are placed first, each into the
// part that lacks its labels most (after Sechidis et al., On the
// Stratification of Multi-label Data, 2011). The result depends on the seed
// and on the set of units, not on their order. By time the earliest
// conversations are train, then dev, the latest are test; conversations that
// begin at the same moment stay together, and labels are not stratified.
//
// It is an error when a unit lacks what it is grouped by.
func Split(units []Unit, by Group, shares Shares, seed uint64) ([]Part, error) {
	share, err := shares.list()
	if err != nil {
		return nil, err
	}
	groups, err := gather(units, by)
	if err != nil {
		return nil, err
	}
	if by == ByTime {
		inOrder(groups, len(units), share)
	} else {
		stratified(groups, units, share, seed)
	}
	out := make([]Part, len(units))
	for _, g := range groups {
		for _, i := range g.rows {
			out[i] = Parts()[g.part]
		}
	}
	return out, nil
}

// group is rows that stay together.
type group struct {
	key   string
	rows  []int
	begin time.Time // of its earliest row
	part  int       // index into Parts
	order uint64
}

func gather(units []Unit, by Group) ([]*group, error) {
	if !slices.Contains(Groups(), by) {
		return nil, fmt.Errorf("分组方式 %q 不认识，只能是 conversation、customer 或 time", by)
	}
	at := make(map[string]*group)
	var groups []*group
	lacking, first := 0, ""
	for i := range units {
		u := &units[i]
		key := u.Conversation()
		if by == ByCustomer {
			key = u.Customer
		}
		if key == "" || by == ByTime && u.Time.IsZero() {
			if lacking == 0 {
				first = fmt.Sprintf("第 %d 个样本", i+1)
			}
			lacking++
			continue
		}
		g := at[key]
		if g == nil {
			g = &group{key: key, begin: u.Time}
			at[key] = g
			groups = append(groups, g)
		}
		if u.Time.Before(g.begin) {
			g.begin = u.Time
		}
		g.rows = append(g.rows, i)
	}
	if lacking > 0 {
		field := map[Group]string{ByConversation: "id 或 group", ByCustomer: "customer", ByTime: "id 或 time"}[by]
		return nil, fmt.Errorf("有 %d 个样本没有 %s（从%s起），不能按 %s 切分；请补上，或换一种分组", lacking, field, first, by)
	}
	return groups, nil
}

// inOrder cuts the groups, oldest first, where the shares end.
func inOrder(groups []*group, n int, share [3]float64) {
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(a.begin.Compare(b.begin), strings.Compare(a.key, b.key))
	})
	done, part := 0, 0
	bound := share[0] * float64(n)
	for i, g := range groups {
		if i == 0 || !g.begin.Equal(groups[i-1].begin) {
			for part < 2 && float64(done) >= bound-0.5 {
				part++
				bound += share[part] * float64(n)
			}
		}
		g.part = part
		done += len(g.rows)
	}
}

// stratified gives every group the part that still lacks its labels most.
func stratified(groups []*group, units []Unit, share [3]float64, seed uint64) {
	for _, g := range groups {
		g.order = mix(seed, g.key)
	}
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(len(b.rows), len(a.rows)), cmp.Compare(a.order, b.order), strings.Compare(a.key, b.key))
	})
	var want [3]float64 // rows each part still lacks
	labels := make(map[string]*[3]float64)
	for i := range units {
		w := labels[units[i].Label]
		if w == nil {
			w = new([3]float64)
			labels[units[i].Label] = w
		}
		for p := range share {
			w[p] += share[p]
			want[p] += share[p]
		}
	}
	for _, g := range groups {
		var need [3]float64
		for _, i := range g.rows {
			for p, v := range labels[units[i].Label] {
				need[p] += v
			}
		}
		best := -1
		for p := range share {
			if share[p] == 0 {
				continue
			}
			if best < 0 || cmp.Or(cmp.Compare(need[p], need[best]), cmp.Compare(want[p], want[best])) > 0 {
				best = p
			}
		}
		g.part = best
		for _, i := range g.rows {
			labels[units[i].Label][best]--
			want[best]--
		}
	}
}

// Units reads what Split has to know of a file: the keys of its rows in order,
// and, in a file of labelled conversations, the label of the field (of several
// types the primary one). An empty field means no label.
func (d *Dataset) Units(f *File, field qingting.Field) ([]Unit, error) {
	var out []Unit
	for row, err := range d.Rows(f) {
		if err != nil {
			return nil, err
		}
		var v struct {
			Key
			Labels qingting.Labels `json:"labels"`
		}
		if err := decode(row.JSON, &v); err != nil {
			return nil, fmt.Errorf("%s%w", row.Where(), err)
		}
		u := Unit{Key: v.Key}
		if field == qingting.FieldType {
			u.Label = string(v.Labels.Primary)
		} else {
			u.Label = strings.Join(LabelValues(&v.Labels, field), ",")
		}
		out = append(out, u)
	}
	return out, nil
}

// WriteParts copies the rows of a file, as they are written there, to the
// writers of their parts. parts is Split's answer to Units of the same file; a
// part without a writer is left out.
func (d *Dataset) WriteParts(f *File, parts []Part, to map[Part]io.Writer) error {
	i := 0
	for row, err := range d.Rows(f) {
		if err != nil {
			return err
		}
		if i >= len(parts) {
			return fmt.Errorf("%s 在切分之后变长了，请重新切分", f.Path)
		}
		if w := to[parts[i]]; w != nil {
			if _, err := fmt.Fprintf(w, "%s\n", row.JSON); err != nil {
				return fmt.Errorf("写不了切分出来的 %s：%w", parts[i], err)
			}
		}
		i++
	}
	if i != len(parts) {
		return fmt.Errorf("%s 在切分之后变短了，请重新切分", f.Path)
	}
	return nil
}

// mix is a number that seed and key decide.
func mix(seed uint64, key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return finish(h.Sum64() ^ finish(seed+0x9e3779b97f4a7c15))
}

// finish is the finalizer of splitmix64 (Steele, Lea and Flood 2014).
func finish(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
