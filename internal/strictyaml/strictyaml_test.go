package strictyaml

import (
	"testing"

	"github.com/stretchr/testify/require"
)

type file struct {
	Name string `yaml:"name"`
	List []int  `yaml:"list"`
}

func TestUnmarshal(t *testing.T) {
	var f file
	require.NoError(t, Unmarshal([]byte("name: 甲\nlist: [1, 2]\n"), &f))
	require.Equal(t, file{"甲", []int{1, 2}}, f)
	for in, want := range map[string]string{
		"nam: 甲\n":         "第 1 行第 1 列：不认识的键 nam",
		"name: a\nname: b": "第 2 行第 1 列：这个键写了两次",
		"list: [a]":        "要的是整数",
		"list: 3":          "要的是一个列表",
		"list:\n ! 00":     "yaml reader",
	} {
		err := Unmarshal([]byte(in), &file{})
		require.Error(t, err, in)
		require.Contains(t, Describe(err), want, in)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("name: 甲\nlist: [1, 2]\n"))
	f.Add([]byte("list:\n ! 00"))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = Unmarshal(b, &file{}) })
}
