//go:build !unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockData only makes the folder and the file: there is no flock here.
func lockData(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, dataError(fmt.Errorf("建不了数据目录 %s，请换一个可写的位置：%w", dir, err))
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, dataError(fmt.Errorf("数据目录 %s 不可写，请换一个可写的目录：%w", dir, err))
	}
	return f, nil
}
