package linear

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The weights file: magic, format, length of the body, body, SHA-256 of all
// that. Numbers are little endian.
const (
	magic  = "QTLINEAR"
	format = 1
	// maxWeights is far above what training ever writes.
	maxWeights = 64 << 20
)

type encoder struct{ buf bytes.Buffer }

// put writes the length of a slice and its elements.
func put[T uint64 | int32 | float32 | float64 | int8](e *encoder, v []T) {
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], uint32(len(v)))
	e.buf.Write(n[:])
	_ = binary.Write(&e.buf, binary.LittleEndian, v) // a bytes.Buffer does not fail
}

type decoder struct {
	rest []byte
	err  error
}

var errShort = errors.New("ends early")

func get[T uint64 | int32 | float32 | float64 | int8](d *decoder) []T {
	if d.err != nil {
		return nil
	}
	if len(d.rest) < 4 {
		d.err = errShort
		return nil
	}
	n := int(binary.LittleEndian.Uint32(d.rest))
	var one T
	size := binary.Size(one)
	if n > (len(d.rest)-4)/size {
		d.err = errShort
		return nil
	}
	v := make([]T, n)
	_, d.err = binary.Decode(d.rest[4:4+n*size], binary.LittleEndian, v)
	d.rest = d.rest[4+n*size:]
	return v
}

// marshal returns the weights file of the model.
func (m *Model) marshal() []byte {
	e := &encoder{}
	put(e, []int8(bytesToInt8(m.encoder)))
	put(e, m.vocab.keys)
	put(e, m.vocab.start[:])
	put(e, m.vocab.idf)
	if m.space == nil {
		put(e, []int32{0})
	} else {
		put(e, []int32{int32(m.space.dim)})
		put(e, m.space.mean)
		for _, rows := range [][]float32{m.space.customer, m.space.agent} {
			q, scale := quantise8(rows, m.space.dim)
			put(e, q)
			put(e, scale)
		}
	}
	towers := []*tower{m.fast}
	if m.full != nil {
		towers = append(towers, m.full)
	}
	put(e, []int32{int32(len(towers))})
	for _, t := range towers {
		for _, x := range []*matrix{t.doc, t.message} {
			put(e, []int32{int32(x.width)})
			put(e, x.q)
			for b := range numBlocks {
				put(e, x.scale[b])
			}
			put(e, x.bias)
			put(e, x.dense)
		}
		put(e, t.types)
		put(e, t.signal)
		put(e, t.claims)
		put(e, []float64{t.high})
	}
	body := e.buf.Bytes()
	out := append([]byte(magic), 0, 0, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(out[8:], format)
	binary.LittleEndian.PutUint32(out[12:], uint32(len(body)))
	out = append(out, body...)
	s := sha256.Sum256(out)
	return append(out, s[:]...)
}

func bytesToInt8(s string) []int8 {
	out := make([]int8, len(s))
	for i := range s {
		out[i] = int8(s[i])
	}
	return out
}

// Load reads a weights file. A file that is damaged, of another program or of
// another format is refused. The model keeps the slice.
func Load(file []byte) (*Model, error) {
	const header, tail = 16, sha256.Size
	switch {
	case len(file) < header+tail || string(file[:8]) != magic:
		return nil, errors.New("模型权重文件不是本程序的格式，请用 qingting train 重新训练，或重新安装本程序")
	case len(file) > maxWeights:
		return nil, fmt.Errorf("模型权重文件有 %d 字节，超过上限 %d 字节", len(file), maxWeights)
	case binary.LittleEndian.Uint32(file[8:]) != format:
		return nil, fmt.Errorf("模型权重文件的格式版本是 %d，本程序只认 %d，请用 qingting train 重新训练", binary.LittleEndian.Uint32(file[8:]), format)
	case int(binary.LittleEndian.Uint32(file[12:])) != len(file)-header-tail,
		sha256.Sum256(file[:len(file)-tail]) != [sha256.Size]byte(file[len(file)-tail:]):
		return nil, errors.New("模型权重文件已损坏（校验和不符），请重新安装或重新训练")
	}
	m, err := unmarshal(file[header : len(file)-tail])
	if err != nil {
		return nil, fmt.Errorf("模型权重文件的内容对不上，请用 qingting train 重新训练：%w", err)
	}
	m.id, m.file = hashOf(file), file
	return m, nil
}

func unmarshal(body []byte) (*Model, error) {
	d := &decoder{rest: body}
	m := &Model{heads: newHeads()}
	name := get[int8](d)
	for _, c := range name {
		m.encoder += string(rune(byte(c)))
	}
	m.vocab.keys = get[uint64](d)
	start := get[int32](d)
	m.vocab.idf = get[float32](d)
	dim := get[int32](d)
	if d.err != nil {
		return nil, d.err
	}
	n := len(m.vocab.keys)
	if n >= indexMask {
		return nil, errors.New("vocabulary: too many features")
	}
	if len(start) != int(numBlocks)+1 || len(m.vocab.idf) != n || len(dim) != 1 || dim[0] < 0 || dim[0] > 1<<14 {
		return nil, errors.New("vocabulary: sizes disagree")
	}
	copy(m.vocab.start[:], start)
	for b := range numBlocks {
		if start[b] < 0 || start[b] > start[b+1] {
			return nil, errors.New("vocabulary: blocks out of order")
		}
	}
	if int(start[numBlocks]) != n {
		return nil, errors.New("vocabulary: blocks do not cover it")
	}
	if dim[0] > 0 {
		m.space = &vectorSpace{dim: int(dim[0]), mean: get[float32](d)}
		for _, rows := range []*[]float32{&m.space.customer, &m.space.agent} {
			q, scale := get[int8](d), get[float32](d)
			if d.err != nil {
				return nil, d.err
			}
			if len(scale) < leastPrototypes || len(scale) > mostPrototypes || len(q) != len(scale)*m.space.dim || len(m.space.mean) != m.space.dim {
				return nil, errors.New("prototypes: sizes disagree")
			}
			*rows = dequantise8(q, scale, m.space.dim)
		}
		if len(m.space.agent) != len(m.space.customer) {
			return nil, errors.New("prototypes: sides differ")
		}
	}
	count := get[int32](d)
	if d.err != nil {
		return nil, d.err
	}
	if len(count) != 1 || count[0] < 1 || count[0] > 2 || (count[0] == 2) != (m.space != nil) {
		return nil, errors.New("number of modes")
	}
	for i := range count[0] {
		t, err := readTower(d, m, i == 1)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			m.fast = t
		} else {
			m.full = t
		}
	}
	if d.err == nil && len(d.rest) > 0 {
		return nil, errors.New("something follows the end")
	}
	if d.err != nil {
		return nil, d.err
	}
	m.vocab.index()
	return m, nil
}

func readTower(d *decoder, m *Model, dense bool) (*tower, error) {
	t := &tower{doc: &matrix{}, message: &matrix{}}
	prototypes := 0
	if dense {
		prototypes = m.space.prototypes()
	}
	wants := []struct {
		x                    *matrix
		width, rows, kernels int
		blocks               block
	}{
		{t.doc, width(m.heads), len(m.vocab.keys), int(numViews) * prototypes, numBlocks},
		{t.message, width(newMessageHeads()), int(m.vocab.start[customerBlocks]), prototypes, customerBlocks},
	}
	for _, w := range wants {
		size := get[int32](d)
		w.x.q = get[int8](d)
		for b := range numBlocks {
			w.x.scale[b] = get[float32](d)
		}
		w.x.bias, w.x.dense = get[float32](d), get[float32](d)
		if d.err != nil {
			return nil, d.err
		}
		if len(size) != 1 || int(size[0]) != w.width || len(w.x.q) != w.rows*w.width || len(w.x.bias) != w.width || len(w.x.dense) != w.kernels*w.width {
			return nil, errors.New("heads: sizes disagree")
		}
		for b := range w.blocks {
			if len(w.x.scale[b]) != w.width {
				return nil, errors.New("heads: scales are missing")
			}
		}
		for _, v := range w.x.bias {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, errors.New("heads: not a number")
			}
		}
		w.x.width = w.width
	}
	t.types, t.signal, t.claims = get[float64](d), get[float64](d), get[float64](d)
	high := get[float64](d)
	if d.err != nil {
		return nil, d.err
	}
	if len(t.types) != len(m.heads[headTypes].codes) || len(t.signal) != len(m.heads[headSignals].codes) || len(t.claims) != len(m.heads[headClaims].codes) || len(high) != 1 {
		return nil, errors.New("thresholds: sizes disagree")
	}
	t.high = high[0]
	return t, nil
}

// Bytes returns the weights file of the model. Do not change it.
func (m *Model) Bytes() []byte { return m.file }
