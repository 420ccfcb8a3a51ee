package linear

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/qingting-ai/qingting"
)

// Cache is a qingting.Encoder that keeps every vector in a file, so that
// training again costs no encoding. It may be used concurrently by one
// process. The file holds hashes and vectors, no text.
type Cache struct {
	encoder qingting.Encoder
	mu      sync.Mutex
	known   map[[cacheKey]byte]qingting.Vector
	file    *os.File
}

// cacheKey is how much of a text's SHA-256 names it.
const cacheKey = 16

var _ qingting.Encoder = (*Cache)(nil)

// NewCache opens the file for this encoder in folder dir, which is made when
// it is not there. A record that was cut off is dropped. Close it.
func NewCache(dir string, e qingting.Encoder) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("建不了句向量缓存目录：%w", err)
	}
	id := sha256.Sum256([]byte(e.ID()))
	path := filepath.Join(dir, "vectors-"+hex.EncodeToString(id[:6])+".bin")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("打不开句向量缓存：%w", err)
	}
	c := &Cache{encoder: e, file: f, known: map[[cacheKey]byte]qingting.Vector{}}
	r := bufio.NewReaderSize(f, 1<<20)
	record := make([]byte, c.size())
	good := int64(0)
	for {
		if _, err := io.ReadFull(r, record); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			f.Close()
			return nil, fmt.Errorf("读不了句向量缓存 %s：%w", path, err)
		}
		v := make(qingting.Vector, e.Dim())
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(record[cacheKey+4*i:]))
		}
		c.known[[cacheKey]byte(record[:cacheKey])] = v
		good += int64(len(record))
	}
	if err := errors.Join(f.Truncate(good), seek(f, good)); err != nil {
		f.Close()
		return nil, fmt.Errorf("整理不了句向量缓存 %s：%w", path, err)
	}
	return c, nil
}

func seek(f *os.File, at int64) error {
	_, err := f.Seek(at, io.SeekStart)
	return err
}

func (c *Cache) size() int { return cacheKey + 4*c.encoder.Dim() }

// Close closes the file. It does not close the encoder.
func (c *Cache) Close() error { return c.file.Close() }

// ID is that of the encoder behind it.
func (c *Cache) ID() string { return c.encoder.ID() }

// Dim is that of the encoder behind it.
func (c *Cache) Dim() int { return c.encoder.Dim() }

// Encode returns kept vectors and encodes the rest. Vectors are shared: do not
// change them.
func (c *Cache) Encode(ctx context.Context, texts []string) ([]qingting.Vector, error) {
	out := make([]qingting.Vector, len(texts))
	var missing []string
	var at []int
	c.mu.Lock()
	for i, t := range texts {
		if v, ok := c.known[keyOf(t)]; ok {
			out[i] = v
		} else {
			missing, at = append(missing, t), append(at, i)
		}
	}
	c.mu.Unlock()
	if len(missing) == 0 {
		return out, ctx.Err()
	}
	vectors, err := c.encoder.Encode(ctx, missing)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, v := range vectors {
		out[at[i]] = v
		if len(v) != c.encoder.Dim() {
			continue // nil for a text without characters: quick to find again
		}
		key := keyOf(missing[i])
		if _, ok := c.known[key]; ok {
			continue
		}
		c.known[key] = v
		buf.Write(key[:])
		for _, x := range v {
			buf.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
		}
	}
	if _, err := c.file.Write(buf.Bytes()); err != nil {
		return nil, fmt.Errorf("写不了句向量缓存：%w", err)
	}
	return out, nil
}

func keyOf(text string) [cacheKey]byte {
	s := sha256.Sum256([]byte(text))
	return [cacheKey]byte(s[:cacheKey])
}
