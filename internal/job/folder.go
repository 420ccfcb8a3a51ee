package job

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/store"
)

// Limits of an upload, from the service description.
const (
	MaxUpload = 64 << 20 // bytes, compressed or not
	MaxRatio  = 100      // of inflated to compressed bytes
	MaxRows   = 10_000
	MaxLine   = 2 << 20 // bytes of a line, or of the cells of a row
	// MaxWaiting is how many uploads of one tenant may wait.
	MaxWaiting = 20
)

// ErrTooMany is more uploads than MaxWaiting.
var ErrTooMany = errors.New("too many uploads wait")

// Folder keeps uploads until their job has ended: one file a job, that only
// the owner of the process may read, in a folder of the tenant. It may be used
// concurrently.
type Folder struct{ dir string }

// NewFolder returns the folder; it is made with the first upload.
func NewFolder(dir string) *Folder { return &Folder{dir} }

// of is the folder of a tenant, whose name may hold anything.
func (f *Folder) of(tenant string) string {
	return filepath.Join(f.dir, hex.EncodeToString([]byte(tenant)))
}

// Path is where the upload of a job lies.
func (f *Folder) Path(tenant, id string) string {
	return filepath.Join(f.of(tenant), filepath.Base(id))
}

// Remove deletes the upload of a job, if it is there.
func (f *Folder) Remove(tenant, id string) { _ = os.Remove(f.Path(tenant, id)) }

// Upload is a file that was received.
type Upload struct {
	Size int64
	SHA  string // of the bytes as they were inflated, hexadecimal
}

// Receive writes r to the file of the job, inflating it when gz is set. A file
// that is there already is an fs.ErrExist; with any error nothing is left.
// Beyond a limit the error is an *qingting.InputError that is ErrTooLarge.
func (f *Folder) Receive(tenant, id string, r io.Reader, gz bool) (_ Upload, err error) {
	dir := f.of(tenant)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Upload{}, fmt.Errorf("%w: make the folder of uploads: %w", store.ErrUnavailable, err)
	}
	waiting, err := os.ReadDir(dir)
	if err != nil {
		return Upload{}, fmt.Errorf("%w: look into the folder of uploads: %w", store.ErrUnavailable, err)
	}
	if len(waiting) >= MaxWaiting {
		return Upload{}, ErrTooMany
	}
	path := f.Path(tenant, id)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return Upload{}, err
	}
	if err != nil {
		return Upload{}, fmt.Errorf("%w: make the file of an upload: %w", store.ErrUnavailable, err)
	}
	to := &measured{w: file, sum: sha256.New()}
	defer func() {
		if closed := file.Close(); err == nil && closed != nil {
			err = fmt.Errorf("%w: %w", store.ErrUnavailable, closed)
		}
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if err := receive(to, r, gz); err != nil {
		return Upload{}, err
	}
	// The job is acknowledged when it is durable, and so must be its file.
	if err := file.Sync(); err != nil {
		return Upload{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return Upload{Size: to.n, SHA: hex.EncodeToString(to.sum.Sum(nil))}, nil
}

// measured counts and hashes what is written.
type measured struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (m *measured) Write(p []byte) (int, error) {
	if m.n += int64(len(p)); m.n > MaxUpload {
		return 0, errUpload()
	}
	m.sum.Write(p)
	n, err := m.w.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return n, err
}

func errUpload() error {
	return tooLarge("upload_too_large", "文件超过 %d MiB，请拆成几个，或在命令行处理", MaxUpload>>20)
}

func tooLarge(code, format string, args ...any) error {
	return &qingting.InputError{Code: code, Message: fmt.Sprintf(format, args...), Kind: qingting.ErrTooLarge}
}

// slack is what may be inflated before the ratio counts: the first bytes of a
// small file may well be worth hundreds.
const slack = 1 << 20

func receive(to *measured, r io.Reader, gz bool) error {
	in := &counted{r: io.LimitReader(r, MaxUpload+1)}
	if !gz {
		_, err := io.Copy(to, in)
		return err
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return notGzip(err)
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := z.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
			if to.n > slack && to.n > MaxRatio*in.n {
				return tooLarge("compression_ratio", "解压后是压缩前的 %d 倍以上，不接受这样的文件", MaxRatio)
			}
		}
		if err == io.EOF {
			return nil
		}
		if in.n > MaxUpload {
			return errUpload()
		}
		if err != nil {
			return notGzip(err)
		}
	}
}

func notGzip(err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &corrupt) {
		return &qingting.InputError{Code: "bad_gzip", Message: "Content-Encoding 写的是 gzip，内容却不是完整的 gzip"}
	}
	return err
}

type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// abandoned is how old an upload without a job must be before it is removed.
const abandoned = time.Hour

// Sweep removes uploads whose job has ended or never came to be, as after a
// crash. look returns qingting.ErrNotFound for an unknown job.
func (f *Folder) Sweep(ctx context.Context, now time.Time, look func(ctx context.Context, tenant, id string) (store.Job, error)) error {
	tenants, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, t := range tenants {
		name, err := hex.DecodeString(t.Name())
		if err != nil || !t.IsDir() {
			continue // not ours
		}
		files, err := os.ReadDir(filepath.Join(f.dir, t.Name()))
		if err != nil {
			return err
		}
		for _, file := range files {
			info, err := file.Info()
			if err != nil {
				continue // gone meanwhile
			}
			j, err := look(ctx, string(name), file.Name())
			switch {
			case err == nil && j.State != store.JobQueued && j.State != store.JobRunning,
				errors.Is(err, qingting.ErrNotFound) && now.Sub(info.ModTime()) > abandoned:
				_ = os.RemoveAll(filepath.Join(f.dir, t.Name(), file.Name()))
			case err != nil && !errors.Is(err, qingting.ErrNotFound):
				return err
			}
		}
	}
	return nil
}

// Rename gives an upload the name of its job; one that is there already is an
// fs.ErrExist, and the upload is removed.
func (f *Folder) Rename(tenant, from, to string) error {
	// A link, unlike renaming, fails when the name was taken meanwhile.
	err := os.Link(f.Path(tenant, from), f.Path(tenant, to))
	f.Remove(tenant, from)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}
