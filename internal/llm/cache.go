package llm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Mode says what a cache is for.
type Mode string

// The modes. No cache at all is a nil *Cache.
const (
	ModeLive   Mode = "live"   // what is recorded is answered from the recording, the rest is asked and recorded
	ModeRecord Mode = "record" // everything is asked anew and recorded
	ModeReplay Mode = "replay" // only what is recorded; nothing is asked
)

// Cache keeps answers in one file, a line of JSON each, appended. A line that
// a sudden end tore is skipped and asked again. Failures are never kept. It may
// be used concurrently; several processes may append to one file.
type Cache struct {
	mode Mode
	path string

	mu    sync.Mutex
	file  *os.File
	index map[string]place
	torn  int
}

// place is where a line lies in the file.
type place struct{ offset, length int64 }

// entry is one line. Sum is over the other fields, so that a line that was torn
// and happens to be JSON is noticed.
type entry struct {
	Key   string `json:"key"`
	Host  string `json:"host"`
	Model string `json:"model"`
	Text  string `json:"text"`
	Usage Usage  `json:"usage"`
	Sum   string `json:"sum"`
}

func (e entry) sum() string {
	e.Sum = ""
	b, _ := json.Marshal(e) // strings and integers cannot fail
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8])
}

// OpenCache opens a recording, or begins one unless mode is ModeReplay.
func OpenCache(path string, mode Mode) (*Cache, error) {
	c := &Cache{mode: mode, path: path, index: map[string]place{}}
	var err error
	switch mode {
	case ModeReplay:
		c.file, err = os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("没有录制文件 %s：先用 cache: record 录一次，或检查 cache_dir", path)
		}
	case ModeLive, ModeRecord:
		// Answers quote customers, masked, but still: nobody else reads them.
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			c.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		}
	default:
		return nil, fmt.Errorf("cache %q 不认识，可用的有 live、record、replay、off", mode)
	}
	if err != nil {
		return nil, fmt.Errorf("打不开录制文件：%w", err)
	}
	if err := c.load(); err != nil {
		c.file.Close()
		return nil, fmt.Errorf("读不了录制文件 %s：%w", path, err)
	}
	return c, nil
}

// load indexes the whole lines; of a key said twice the last counts.
func (c *Cache) load() error {
	r := bufio.NewReaderSize(c.file, 1<<16)
	offset := int64(0)
	for {
		line, err := r.ReadBytes('\n')
		if n := int64(len(line)); n > 0 {
			if e, ok := parseEntry(line); ok && line[n-1] == '\n' {
				c.index[e.Key] = place{offset, n}
			} else if len(bytes.TrimSpace(line)) > 0 {
				c.torn++
			}
			offset += n
			if line[n-1] != '\n' && c.mode != ModeReplay {
				// What is torn gets a line of its own.
				if _, err := c.file.Write([]byte{'\n'}); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func parseEntry(line []byte) (entry, bool) {
	var e entry
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.Key != "" && e.Sum == e.sum()
}

// Size returns how many answers are recorded, and how many lines were torn.
func (c *Cache) Size() (answers, torn int) {
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.index), c.torn
}

// Close closes the file.
func (c *Cache) Close() error {
	if c == nil {
		return nil
	}
	return c.file.Close()
}

func (c *Cache) get(key string) (Reply, bool, error) {
	if c == nil || c.mode == ModeRecord {
		return Reply{}, false, nil
	}
	c.mu.Lock()
	at, ok := c.index[key]
	c.mu.Unlock()
	if ok {
		line := make([]byte, at.length)
		if _, err := c.file.ReadAt(line, at.offset); err != nil {
			return Reply{}, false, &Error{Code: CodeCache, Message: fmt.Sprintf("读不了录制文件 %s 的第 %d 字节处", c.path, at.offset)}
		}
		if e, whole := parseEntry(line); whole && e.Key == key {
			return Reply{Text: e.Text, Usage: e.Usage, Cached: true}, true, nil
		}
	}
	if c.mode == ModeReplay {
		return Reply{}, false, &Error{Code: CodeNotRecorded, Message: fmt.Sprintf("录制里没有键 %s 的回答：提示词、模型或参数变了，用 cache: record 重新录制", key)}
	}
	return Reply{}, false, nil
}

func (c *Cache) put(key, host, model string, r Reply, secrets []string) error {
	if c == nil || c.mode == ModeReplay {
		return nil
	}
	e := entry{Key: key, Host: host, Model: model, Text: scrub(r.Text, secrets), Usage: r.Usage}
	e.Sum = e.sum()
	line, err := json.Marshal(e)
	if err != nil {
		return &Error{Code: CodeCache, Message: "录不了这条回答"}
	}
	line = append(line, '\n')
	c.mu.Lock()
	defer c.mu.Unlock()
	// One write: with O_APPEND it lands in one piece behind those of others.
	if _, err := c.file.Write(line); err != nil {
		return &Error{Code: CodeCache, Message: fmt.Sprintf("写不了录制文件 %s：检查磁盘空间和权限", c.path)}
	}
	end, err := c.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return &Error{Code: CodeCache, Message: fmt.Sprintf("写不了录制文件 %s", c.path)}
	}
	c.index[key] = place{end - int64(len(line)), int64(len(line))}
	return nil
}

// key names a question: SHA-256 over everything that may change the answer, in
// canonical JSON (fields in fixed order). The format that was negotiated is left
// out, so that a recording is found again whatever the service refused first.
func (c *Client) key(r *Request) (string, error) {
	var schema json.RawMessage
	if r.Schema != nil {
		schema = r.Schema.JSON
	}
	b, err := json.Marshal(struct {
		Host        string          `json:"host"`
		Model       string          `json:"model"`
		Turns       []Turn          `json:"turns"`
		Temperature *float64        `json:"temperature"`
		Seed        *int            `json:"seed"`
		MaxTokens   int             `json:"max_tokens"`
		Format      Format          `json:"format"`
		Schema      json.RawMessage `json:"schema"`
		Repeat      int             `json:"repeat"`
	}{c.o.Host, c.o.Model, r.Turns, c.o.Temperature, c.o.Seed, c.o.MaxTokens, c.o.Format, schema, r.Repeat})
	if err != nil {
		return "", fmt.Errorf("key of a question: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
