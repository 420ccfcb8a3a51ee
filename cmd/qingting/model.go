package main

import (
	"fmt"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/linear"
)

// trained is the model: it scores, and says which words weighed most.
type trained interface {
	qingting.Scorer
	// EncoderID names the encoder whose vectors it was trained on; "" for none.
	EncoderID() string
}

// loadModel returns the embedded model.
func loadModel() (trained, error) {
	m, err := linear.Default()
	if err != nil {
		return nil, fmt.Errorf("内置模型读不出来：%w", err)
	}
	return m, nil
}

// sameEncoder refuses vectors that the model was not trained on: it would
// answer with confidence, and wrongly.
func sameEncoder(model trained, encoder qingting.Encoder) error {
	if id := model.EncoderID(); id != "" && id != encoder.ID() {
		return fmt.Errorf("模型是用句向量 %s 训练的，程序里的是 %s：请用 qingting train 重新训练", id, encoder.ID())
	}
	return nil
}
