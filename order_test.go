package qingting

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAsSaid(t *testing.T) {
	partial := new(bool)
	for name, tt := range map[string]struct {
		in   []Message
		from []int // nil: as submitted
		read int   // of lastRead, in the order as said
	}{
		"没有编号":       {[]Message{{Text: "一"}, {Text: "二"}}, nil, 1},
		"编号有序":       {[]Message{{Seq: 3}, {Seq: 7}, {Seq: 7}}, nil, 2},
		"编号乱了":       {[]Message{{Seq: 3}, {Seq: 1}, {Seq: 2}}, []int{1, 2, 0}, 2},
		"编号相同不动":     {[]Message{{Seq: 2, Text: "甲"}, {Seq: 1}, {Seq: 2, Text: "乙"}}, []int{1, 0, 2}, 2},
		"没编号的跟着前一条":  {[]Message{{Seq: 2}, {Text: "系统"}, {Seq: 1}, {Text: "系统"}}, []int{2, 3, 0, 1}, 3},
		"开头没编号":      {[]Message{{Text: "欢迎"}, {Seq: 2}, {Seq: 1}}, []int{0, 2, 1}, 2},
		"重发的只算一次":    {[]Message{{ID: "a"}, {ID: "b"}, {ID: "a"}}, []int{0, 1}, 1},
		"重发又乱序":      {[]Message{{ID: "b", Seq: 2}, {ID: "a", Seq: 1}, {ID: "b", Seq: 2}}, []int{1, 0}, 1},
		"没有编号不算重发":   {[]Message{{Text: "在吗"}, {Text: "在吗"}}, nil, 1},
		"半句和整句同一个编号": {[]Message{{ID: "a", IsFinal: partial}, {ID: "a"}}, nil, 1},
		"末尾是半句":      {[]Message{{Text: "一"}, {Text: "二", IsFinal: partial}}, nil, 0},
		"只有半句":       {[]Message{{IsFinal: partial}, {IsFinal: partial}}, nil, -1},
	} {
		in := Transcript{ID: "c", Messages: tt.in}
		before := append([]Message(nil), tt.in...)
		said, from := in.asSaid()
		require.Equal(t, tt.from, from, name)
		require.Equal(t, tt.read, said.lastRead(), name)
		require.Equal(t, before, in.Messages, "%s: the submitted order stays", name)
		if from == nil {
			require.Equal(t, in, said, name)
			continue
		}
		require.Len(t, said.Messages, len(from), name)
		for i, at := range from {
			require.Equal(t, tt.in[at], said.Messages[i], name)
		}
	}
}

// TestRenumberFindsEveryIndex fills an analysis by its type, so that a new
// field which counts messages cannot be forgotten.
func TestRenumberFindsEveryIndex(t *testing.T) {
	var a Analysis
	n := fill(t, reflect.ValueOf(&a).Elem(), "")
	require.Equal(t, 8, n, "places that count messages")
	a.renumber([]int{5, 0}) // every index is 1, or 0 in a list of two
	raw, err := json.Marshal(&a)
	require.NoError(t, err)
	require.NotContains(t, string(raw), `"message":1`)
	require.Contains(t, string(raw), `"messages":[0]`)
	require.NotContains(t, string(raw), `"messages":[1]`)

	none := Analysis{AsOf: AsOf{Message: -1}}
	none.renumber([]int{1, 0})
	require.Equal(t, -1, none.AsOf.Message)
}

// fill gives every slice one element and every pointer a value, sets every
// message index to 1, and counts them.
func fill(t *testing.T, v reflect.Value, name string) (n int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue
			}
			n += fill(t, v.Field(i), v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		n += fill(t, v.Index(0), name)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		n += fill(t, v.Elem(), name)
	case reflect.Int:
		if name == "Message" || name == "Messages" {
			v.SetInt(1)
			return 1
		}
	}
	return n
}
