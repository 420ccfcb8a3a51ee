package llm

import (
	"errors"
	"sync"
)

// Budget is money for calls. Each call reserves the most it can cost before it
// is made, so that calls at once cannot overspend together. It may be used
// concurrently and shared by clients of the same price; nil is unlimited and
// free.
type Budget struct {
	limit     float64 // 0: unlimited
	in, out   float64 // price of a million tokens
	mu        sync.Mutex
	spent     float64
	reserved  float64
	overdrawn bool // a call was refused
}

// NewBudget takes a limit, 0 for none, and the prices of a million tokens sent
// and received, all in one currency.
func NewBudget(limit, priceIn, priceOut float64) (*Budget, error) {
	for _, v := range []float64{limit, priceIn, priceOut} {
		if !(v >= 0 && v < 1e12) {
			return nil, errors.New("budget、price_in、price_out 应当是不小于 0 的数")
		}
	}
	if limit > 0 && priceIn == 0 && priceOut == 0 {
		return nil, errors.New("有 budget 而没有价格，预算就永远用不完：填 price_in、price_out（每百万 token 的价格），或去掉 budget")
	}
	return &Budget{limit: limit, in: priceIn, out: priceOut}, nil
}

// Spent returns what was spent, and whether a call was refused for the limit.
func (b *Budget) Spent() (sum float64, exhausted bool) {
	if b == nil {
		return 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent, b.overdrawn
}

func (b *Budget) price(in, out int) float64 {
	return (float64(in)*b.in + float64(out)*b.out) / 1e6
}

func (b *Budget) reserve(in, out int) (held float64, ok bool) {
	if b == nil {
		return 0, true
	}
	held = b.price(in, out)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && b.spent+b.reserved+held > b.limit {
		b.overdrawn = true
		return 0, false
	}
	b.reserved += held
	return held, true
}

func (b *Budget) settle(held float64, u Usage) (cost float64) {
	if b == nil {
		return 0
	}
	cost = b.price(u.In, u.Out)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved -= held
	b.spent += cost
	return cost
}
