package label

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/eval/dataset"
)

// keys are the fields of a row that are not an annotator's labels.
var keys = []string{"id", "source", "group", "customer", "time", "slices", "messages"}

// Annotated reads a file of rows {"id": …, "a": {labels}, "b": {labels}, …}:
// every key beside those of a row is an annotator, null where he did not label
// it. Annotators are in byte order. The error names file and line.
func Annotated(d *dataset.Dataset, f *dataset.File) (*Annotations, error) {
	byName := []map[string]*qingting.Labels{}
	out := &Annotations{}
	seen := map[string]bool{}
	for row, err := range d.Rows(f) {
		if err != nil {
			return nil, err
		}
		item, labels, err := annotatedRow(row.JSON)
		if err != nil {
			return nil, fmt.Errorf("%s：%w", row.Where(), err)
		}
		if seen[item.ID] {
			return nil, fmt.Errorf("%s：id 和前面的重复，请只留一行", row.Where())
		}
		seen[item.ID] = true
		for name := range labels {
			if !slices.Contains(out.Annotators, name) {
				out.Annotators = append(out.Annotators, name)
			}
		}
		out.Items, byName = append(out.Items, item), append(byName, labels)
	}
	slices.Sort(out.Annotators)
	for i := range out.Items {
		out.Items[i].Labels = make([]*qingting.Labels, len(out.Annotators))
		for a, name := range out.Annotators {
			out.Items[i].Labels[a] = byName[i][name]
		}
	}
	return out, nil
}

func annotatedRow(row []byte) (Item, map[string]*qingting.Labels, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(row, &raw); err != nil || raw == nil {
		return Item{}, nil, errors.New("应为一个 JSON 对象 {…}")
	}
	var item Item
	for name, to := range map[string]*string{"id": &item.ID, "group": &item.Group} {
		if b, ok := raw[name]; ok && json.Unmarshal(b, to) != nil {
			return Item{}, nil, fmt.Errorf("%s 应为文字", name)
		}
	}
	if item.ID == "" {
		return Item{}, nil, errors.New("缺少 id")
	}
	labels := map[string]*qingting.Labels{}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if slices.Contains(keys, name) {
			continue
		}
		var l *qingting.Labels
		if err := json.Unmarshal(raw[name], &l); err != nil || l != nil && !bytes.Contains(raw[name], []byte(`"kind"`)) {
			return Item{}, nil, fmt.Errorf("%s 应为一份标注 {kind, types, …}，或 null", short(name))
		}
		if l != nil {
			if err := check(l); err != nil {
				return Item{}, nil, fmt.Errorf("%s 的标注%w", short(name), err)
			}
		}
		labels[name] = l
	}
	return item, labels, nil
}

// Pair puts the rows of several datasets side by side by id, one annotator a
// dataset. Items are in the order in which their ids are first met.
func Pair(annotators []string, rows [][]dataset.Example) (*Annotations, error) {
	out := &Annotations{Annotators: annotators}
	at := map[string]int{}
	for a, list := range rows {
		for i := range list {
			e := &list[i]
			if err := check(&e.Labels); err != nil {
				return nil, fmt.Errorf("%s：标注%w", e.Where(), err)
			}
			k, ok := at[e.ID]
			if !ok {
				k = len(out.Items)
				at[e.ID] = k
				out.Items = append(out.Items, Item{ID: e.ID, Group: e.Conversation(), Labels: make([]*qingting.Labels, len(annotators))})
			}
			if out.Items[k].Labels[a] != nil {
				return nil, fmt.Errorf("%s：id 和前面的重复，请只留一行", e.Where())
			}
			out.Items[k].Labels[a] = &e.Labels
		}
	}
	return out, nil
}

// check refuses codes that the label guide lacks: counted as classes of their
// own they would look like disagreement.
func check(l *qingting.Labels) error {
	for _, f := range fields() {
		for _, code := range f.values(l) {
			if !slices.Contains(f.codes, code) {
				return fmt.Errorf("里 %s 的 %q 标注手册里没有；先用 qingting eval data lint 检查", f.name, short(code))
			}
		}
	}
	return nil
}

// short bounds what an error repeats of a file.
func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
