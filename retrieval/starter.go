package retrieval

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/qingting-ai/qingting"
)

// The starter library: invented cases of seven industries, so that the first
// day is not empty, and their vectors, so that starting needs no encoding.
//
//go:generate go test -run TestStarterVectors -update .
var (
	//go:embed starter/cases.jsonl
	starterCases []byte
	//go:embed starter/vectors.bin
	starterVectors []byte
)

// Starter returns the cases of the starter library, without vectors.
func Starter() ([]qingting.Case, error) {
	rows, problems, err := ReadCases(bytes.NewReader(starterCases))
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, errors.New("starter cases: " + problems[0].String())
	}
	out := make([]qingting.Case, len(rows))
	for i, r := range rows {
		out[i] = r.Case
		if out[i].Source == "" {
			out[i].Source = "starter"
		}
	}
	return out, nil
}

// StarterVectors returns the vectors of the starter library.
func StarterVectors() (*Vectors, error) { return ParseVectors(starterVectors) }

// Vectors are sentence vectors by the text they were made of.
type Vectors struct {
	Encoder string
	Dim     int
	rows    map[textHash]storedVector
}

type textHash [16]byte

// storedVector is scale·values; int8 keeps the file at half a kilobyte a case
// and changes a cosine by less than 0.001.
type storedVector struct {
	scale  float32
	values []int8
}

// vectorsMagic opens a vectors file and names its layout: encoder ID (length
// in two bytes, then the ID), dimension and count (four bytes each), then per
// vector the hash of its text, the scale and the values. Little endian.
const vectorsMagic = "QTVEC1\n"

// NewVectors makes an empty collection for the vectors of one encoder.
func NewVectors(encoderID string, dim int) *Vectors {
	return &Vectors{Encoder: encoderID, Dim: dim, rows: map[textHash]storedVector{}}
}

// Len is the number of vectors.
func (v *Vectors) Len() int { return len(v.rows) }

// Put keeps the vector of a text.
func (v *Vectors) Put(text string, vector qingting.Vector) error {
	if len(vector) != v.Dim {
		return fmt.Errorf("vector of %d dimensions among those of %d", len(vector), v.Dim)
	}
	s := storedVector{values: make([]int8, v.Dim)}
	s.scale = quantise(vector, s.values)
	v.rows[hashText(text)] = s
	return nil
}

// Lookup returns the vector of a text, nil when it is not known.
func (v *Vectors) Lookup(text string) qingting.Vector {
	s, ok := v.rows[hashText(text)]
	if !ok {
		return nil
	}
	out := make(qingting.Vector, len(s.values))
	norm := 0.0
	for i, n := range s.values {
		out[i] = float32(n) * s.scale
		norm += float64(out[i]) * float64(out[i])
	}
	if norm == 0 {
		return nil
	}
	norm = math.Sqrt(norm)
	for i := range out {
		out[i] = float32(float64(out[i]) / norm)
	}
	return out
}

// Marshal writes the file, the vectors in the order of texts; the same input
// gives the same bytes.
func (v *Vectors) Marshal(texts []string) ([]byte, error) {
	out := []byte(vectorsMagic)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(v.Encoder)))
	out = append(out, v.Encoder...)
	out = binary.LittleEndian.AppendUint32(out, uint32(v.Dim))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(texts)))
	for _, t := range texts {
		h := hashText(t)
		s, ok := v.rows[h]
		if !ok {
			return nil, fmt.Errorf("no vector for the text %.20s…", t)
		}
		out = append(out, h[:]...)
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(s.scale))
		for _, n := range s.values {
			out = append(out, byte(n))
		}
	}
	return out, nil
}

// ParseVectors reads what Marshal wrote. An empty file is an empty collection.
func ParseVectors(data []byte) (*Vectors, error) {
	if len(data) == 0 {
		return NewVectors("", 0), nil
	}
	bad := errors.New("vectors file is damaged or of another version")
	rest, ok := bytes.CutPrefix(data, []byte(vectorsMagic))
	if !ok || len(rest) < 2 {
		return nil, bad
	}
	n := int(binary.LittleEndian.Uint16(rest))
	if rest = rest[2:]; len(rest) < n+8 {
		return nil, bad
	}
	v := NewVectors(string(rest[:n]), int(binary.LittleEndian.Uint32(rest[n:])))
	count := int(binary.LittleEndian.Uint32(rest[n+4:]))
	rest = rest[n+8:]
	const head = len(textHash{}) + 4
	if v.Dim < 0 || v.Dim > 1<<16 || len(rest) != count*(head+v.Dim) {
		return nil, bad
	}
	for range count {
		var h textHash
		copy(h[:], rest)
		s := storedVector{scale: math.Float32frombits(binary.LittleEndian.Uint32(rest[len(h):])), values: make([]int8, v.Dim)}
		for i, b := range rest[head : head+v.Dim] {
			s.values[i] = int8(b)
		}
		v.rows[h] = s
		rest = rest[head+v.Dim:]
	}
	return v, nil
}

func hashText(text string) textHash {
	sum := sha256.Sum256([]byte(text))
	return textHash(sum[:16])
}
