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
		"nam: 甲\n":         "nam",
		"name: a\nname: b": "name",
		"list: [a]":        "list",
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
