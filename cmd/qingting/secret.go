package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// secretName is the file in the data folder with the key of the hashes that
// replace personal data. Whoever loses it links no customer to what was said
// before; whoever steals it can guess telephone numbers.
const secretName = "qingting.key"

const secretLength = 32

// readSecret returns the key of a data folder, and makes it at the first start.
func readSecret(data string) ([]byte, error) {
	path := filepath.Join(data, secretName)
	key, err := os.ReadFile(path)
	switch {
	case err == nil && len(key) == secretLength:
		return key, nil
	case err == nil:
		return nil, dataError(fmt.Errorf("密钥文件 %s 不完整：请从备份恢复，或删掉它重新生成（以前被隐去的客户编号将对不上）", path))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, dataError(fmt.Errorf("读不了密钥文件 %s：%w", path, err))
	}
	key = make([]byte, secretLength)
	_, _ = rand.Read(key) // it never fails
	// Under another name until it is complete: half a key would be refused.
	file, err := os.CreateTemp(data, secretName+".*")
	if err != nil {
		return nil, fmt.Errorf("写不了密钥文件 %s：%w", path, err)
	}
	_, err = file.Write(key)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("写不了密钥文件 %s：%w", path, err), os.Remove(file.Name()))
	}
	return key, nil
}
