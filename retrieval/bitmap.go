package retrieval

import "math/bits"

// word64 is 64 bits of a bitmap.
type word64 uint64

func (w word64) count() int { return bits.OnesCount64(uint64(w)) }

// each yields the positions of the bits that are set, in order.
func (w word64) each(yield func(uint32) bool) {
	for ; w != 0; w &= w - 1 {
		if !yield(uint32(bits.TrailingZeros64(uint64(w)))) {
			return
		}
	}
}

// bitmap is a set of slots.
type bitmap []word64

func (b bitmap) has(i uint32) bool { return b[i>>6]>>(i&63)&1 != 0 }
func (b bitmap) set(i uint32)      { b[i>>6] |= 1 << (i & 63) }
func (b bitmap) clear(i uint32)    { b[i>>6] &^= 1 << (i & 63) }

// grow makes room for n slots.
func (b *bitmap) grow(n int) {
	for len(*b) < (n+63)/64 {
		*b = append(*b, 0)
	}
}

// each yields the members in order. Clearing the one just yielded is allowed.
func (b bitmap) each(yield func(uint32) bool) {
	for i, w := range b {
		for s := range w.each {
			if !yield(uint32(i)<<6 + s) {
				return
			}
		}
	}
}
