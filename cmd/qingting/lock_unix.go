//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockData keeps every other service out of a data folder, which it makes,
// until the returned file is closed: two would analyse and deliver everything
// twice. Commands that only use the database do not ask. The system drops the
// lock with the process, whatever ends it; a file system that cannot lock goes
// without.
func lockData(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, dataError(fmt.Errorf("建不了数据目录 %s，请换一个可写的位置：%w", dir, err))
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, dataError(fmt.Errorf("数据目录 %s 不可写，请换一个可写的目录，或给运行程序的用户加上写权限：%w", dir, err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		_ = f.Close()
		return nil, dataError(fmt.Errorf("另一个 qingting serve 正在用数据目录 %s，请先停掉它，或用 --data 换一个目录", dir))
	}
	return f, nil
}
