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
