//go:build unix

package eval

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockRun keeps every other run out of a folder until the returned file is
// closed. The lock is on the folder itself: no file is left in it, and the
// system drops the lock with the process, whatever ends it. A file system that
// cannot lock a folder, as NFS, goes without; checkRows then tells what two
// runs at once have done.
func lockRun(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("打不开评测目录：%w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		_ = f.Close()
		return nil, fmt.Errorf("另一个 eval run 正在写 %s：等它结束，或换一个 --out 目录", dir)
	}
	return f, nil
}
