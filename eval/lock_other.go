//go:build !unix

package eval

import (
	"fmt"
	"os"
)

// lockRun only opens the folder: there is no flock here, and checkRows tells
// what two runs at once have done.
func lockRun(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("打不开评测目录：%w", err)
	}
	return f, nil
}
