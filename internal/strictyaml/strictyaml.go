// Package strictyaml reads YAML files that people write: unknown and repeated
// keys are errors, and no input makes the reader panic.
package strictyaml

import (
	"fmt"

	"github.com/goccy/go-yaml"
)

// Unmarshal reads b into the struct that to points to. The error is one of
// goccy/go-yaml, which knows its line (Describe), or says that the reader gave
// up: version 1.19.2 dereferences nil where a list is expected and a bare tag
// stands.
func Unmarshal(b []byte, to any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml reader: %v", v)
		}
	}()
	return yaml.UnmarshalWithOptions(b, to, yaml.Strict())
}

// Describe writes an error of Unmarshal with the lines around its place.
func Describe(err error) string { return yaml.FormatError(err, false, true) }
