// Package eval measures the product: it loads labelled conversations, scores
// analyses against them, and checks that the quoted evidence is what the
// answers rest on.
package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/qingting-ai/qingting"
)

// Example is a conversation with the labels a person gave it.
type Example struct {
	ID       string             `json:"id"`
	Source   string             `json:"source"`
	Messages []qingting.Message `json:"messages"`
	Labels   qingting.Labels    `json:"labels"`
}

// Transcript returns the conversation without its labels.
func (e *Example) Transcript() qingting.Transcript {
	return qingting.Transcript{ID: e.ID, Messages: e.Messages}
}

// Load reads one JSONL file of labelled conversations. The error names file
// and line.
func Load(path string) ([]Example, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("打不开数据文件：%w", err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	var out []Example
	for line := 1; ; line++ {
		row, err := r.ReadBytes('\n')
		if len(bytes.TrimSpace(row)) > 0 {
			var e Example
			if err := json.Unmarshal(row, &e); err != nil {
				return nil, fmt.Errorf("%s 第 %d 行不是合法的 JSON：%w", path, line, err)
			}
			if e.Labels.Kind == "" {
				return nil, fmt.Errorf("%s 第 %d 行没有 labels.kind", path, line)
			}
			out = append(out, e)
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("读 %s：%w", path, err)
		}
	}
}

// LoadVotes reads the shares of satisfaction votes −2…2 by conversation from
// a JSONL file of rows {"id", "votes": {"S": {"-2": n, …, "2": n}}}.
func LoadVotes(path string) (map[string][5]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("打不开数据文件：%w", err)
	}
	defer f.Close()
	out := map[string][5]float64{}
	d := json.NewDecoder(bufio.NewReader(f))
	for row := 1; ; row++ {
		var r struct {
			ID    string
			Votes struct{ S map[string]float64 }
		}
		err := d.Decode(&r)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s 第 %d 行不是合法的 JSON：%w", path, row, err)
		}
		var shares [5]float64
		total := 0.0
		for i, vote := range []string{"-2", "-1", "0", "1", "2"} {
			shares[i] = r.Votes.S[vote]
			total += shares[i]
		}
		if total <= 0 {
			return nil, fmt.Errorf("%s 第 %d 行没有 votes.S", path, row)
		}
		for i := range shares {
			shares[i] /= total
		}
		out[r.ID] = shares
	}
}
