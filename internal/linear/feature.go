package linear

import (
	"unicode"

	"github.com/qingting-ai/qingting"
)

// block is a group of lexical features that is weighted and normalised as one.
type block int32

// The blocks. The customer's own come first: the topic base reads only those.
const (
	blockChar  block = iota // every customer message: characters 1–3
	blockWord               // every customer message: words 1–2
	blockHit                // lexicon rules, as presence
	blockShape              // lengths, marks, counts, as presence
	blockFirst              // first customer message: characters 1–3
	blockLast               // last customer message: characters 1–3
	blockAgent              // agent and bot messages: characters 1–3
	blockFinal              // last message of all, whoever wrote it: characters 1–3
	numBlocks
	customerBlocks = blockFirst
)

// counted reports whether the block's values are sublinear term frequencies
// times inverse document frequency, scaled to length 1. The others hold
// presence, scaled by how rarely a feature varies.
func (b block) counted() bool { return b != blockHit && b != blockShape }

// occurrence is one feature seen at one place.
type occurrence struct {
	block   block
	key     uint64 // hash over block and content
	message int    // −1 for features without a place
	start   int    // code points of Prepared.Clean
	end     int
}

// mix spreads the bits of x (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// gramKey hashes up to three characters. They are packed without loss before
// mixing, so two grams of a block never share a key.
func gramKey(b block, packed uint64) uint64 {
	return mix(packed + uint64(b+1)*0x9e3779b97f4a7c15)
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// text continues an FNV-1a hash; letters are folded to lower case.
func hashText(h uint64, s string) uint64 {
	for _, r := range s {
		h = (h ^ uint64(fold(r))) * fnvPrime
	}
	return h
}

func textKey(b block, kind byte, parts ...string) uint64 {
	h := uint64(fnvOffset) ^ uint64(b)<<8 ^ uint64(kind)
	for _, p := range parts {
		h = hashText(h*fnvPrime, p)
	}
	return mix(h)
}

func fold(r rune) rune {
	if r < 0x80 {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	return unicode.ToLower(r)
}

func space(r rune) bool { return r == ' ' || r == '\n' || r == '\t' || r == '\r' || r == '　' }

// reading says which messages a document's features come from.
type reading struct {
	customers, agents  []int
	first, last, final int // −1: none
}

// read lists the messages that count: final ones with text. System notices
// are nobody's words. With only ≥ 0 the document is that message alone, read
// as a customer's.
func (r *reading) read(doc *qingting.Document, only int) {
	r.customers, r.agents = r.customers[:0], r.agents[:0]
	r.first, r.last, r.final = -1, -1, -1
	for i, p := range doc.Messages {
		if p.Partial() || len(p.Clean) == 0 || only >= 0 && i != only {
			continue
		}
		switch p.Role {
		case qingting.RoleCustomer:
			r.customers = append(r.customers, i)
			if r.first < 0 {
				r.first = i
			}
			r.last, r.final = i, i
		case qingting.RoleAgent, qingting.RoleBot:
			r.agents = append(r.agents, i)
			r.final = i
		}
	}
}

// walk calls emit for every occurrence of every feature, in a fixed order.
// With only ≥ 0 it walks that message alone, and the customer blocks only.
func walk(doc *qingting.Document, r *reading, only int, emit func(occurrence)) {
	for _, i := range r.customers {
		grams(doc.Messages[i].Clean, i, emit, blockChar)
		words(doc.Messages[i], i, emit)
	}
	rules(doc, r, only, emit)
	shape(doc, r, emit)
	if only >= 0 {
		return
	}
	if r.first >= 0 {
		grams(doc.Messages[r.first].Clean, r.first, emit, blockFirst)
		grams(doc.Messages[r.last].Clean, r.last, emit, blockLast)
	}
	for _, i := range r.agents {
		grams(doc.Messages[i].Clean, i, emit, blockAgent)
	}
	if r.final >= 0 {
		grams(doc.Messages[r.final].Clean, r.final, emit, blockFinal)
	}
}

// rules emits the hits of the lexicon: rules that count, guarded ones, certain
// labels, and rules in the customer's last words.
func rules(doc *qingting.Document, r *reading, only int, emit func(occurrence)) {
	for i := range doc.Hits {
		h := &doc.Hits[i]
		if only >= 0 && h.Message != only || doc.Messages[h.Message].Partial() {
			continue
		}
		at := occurrence{block: blockHit, message: h.Message, start: h.Start, end: h.End}
		send := func(kind byte, parts ...string) { at.key = textKey(blockHit, kind, parts...); emit(at) }
		if h.Guard != qingting.GuardNone {
			send('g', h.Rule)
			continue
		}
		send('r', h.Rule)
		if h.Certain {
			send('c', string(h.Field), h.Code)
		}
		if h.Message == r.last && len(r.customers) > 1 {
			send('l', h.Rule)
		}
	}
}

// grams emits runs of one to three characters, white space left out.
func grams(clean []rune, m int, emit func(occurrence), b block) {
	var a, c uint64 // the two characters before, 0 for none
	var ia, ic int
	for i, r := range clean {
		if space(r) {
			continue
		}
		x := uint64(fold(r)) + 1
		emit(occurrence{b, gramKey(b, x), m, i, i + 1})
		if c != 0 {
			emit(occurrence{b, gramKey(b, c<<21|x), m, ic, i + 1})
		}
		if a != 0 {
			emit(occurrence{b, gramKey(b, a<<42|c<<21|x), m, ia, i + 1})
		}
		a, ia, c, ic = c, ic, x, i
	}
}

// words emits words and pairs of neighbouring words.
func words(p *qingting.Prepared, m int, emit func(occurrence)) {
	var before uint64
	start := 0
	for i, t := range p.Tokens {
		h := uint64(fnvOffset)
		for _, r := range p.Clean[t.Start:t.End] {
			h = (h ^ uint64(fold(r))) * fnvPrime
		}
		h = mix(h)
		emit(occurrence{blockWord, gramKey(blockWord, h), m, t.Start, t.End})
		if i > 0 {
			emit(occurrence{blockWord, gramKey(blockWord, before*31+h), m, start, t.End})
		}
		before, start = h, t.Start
	}
}

// marks counts what is visible of a text without reading it.
type marks struct {
	runes, exclaim, question, at, hash, digits, dots, repeats, brackets, bursts, you, links int
}

func (k *marks) add(s []rune) {
	k.runes += len(s)
	run, digit := 1, false
	for i, r := range s {
		if i > 0 && r == s[i-1] {
			if run++; run == 3 {
				k.repeats++
				if r == '.' || r == '。' || r == '…' {
					k.dots++
				}
			}
		} else {
			run = 1
		}
		shout := r == '!' || r == '！' || r == '?' || r == '？'
		if shout && i > 0 && (s[i-1] == '!' || s[i-1] == '！' || s[i-1] == '?' || s[i-1] == '？') {
			k.bursts++
		}
		switch r {
		case '!', '！':
			k.exclaim++
		case '?', '？':
			k.question++
		case '@':
			k.at++
		case '#':
			k.hash++
		case ']':
			for j := i - 1; j >= 0 && i-j <= 7; j-- {
				if s[j] == '[' {
					k.brackets++
					break
				}
			}
		case '们':
			if i > 0 && s[i-1] == '你' {
				k.you++
			}
		case 'p':
			if i > 2 && s[i-1] == 't' && s[i-2] == 't' && s[i-3] == 'h' {
				k.links++
			}
		}
		if d := r >= '0' && r <= '9'; d != digit {
			if digit = d; d {
				k.digits++
			}
		}
	}
}

// The steps at which a count becomes another feature.
var (
	fewSteps    = []int{1, 2, 3, 5, 8}
	lengthSteps = []int{5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 200, 300}
	turnSteps   = []int{2, 3, 4, 5, 6, 8}
	answerSteps = []int{1, 2, 3, 4, 5, 8}
)

// shape emits length, punctuation and course of the conversation.
func shape(doc *qingting.Document, r *reading, emit func(occurrence)) {
	send := func(id, value int, steps []int) {
		for _, s := range steps {
			if value < s {
				return
			}
			emit(occurrence{block: blockShape, key: gramKey(blockShape, uint64(id)<<32|uint64(s)), message: -1})
		}
	}
	send(1, len(r.customers), turnSteps)
	send(2, len(r.agents), answerSteps)
	if r.final >= 0 && doc.Messages[r.final].Role == qingting.RoleCustomer {
		send(3, 1, fewSteps[:1])
	}
	var all, first, last marks
	for _, i := range r.customers {
		all.add(doc.Messages[i].Clean)
	}
	if r.first >= 0 {
		first.add(doc.Messages[r.first].Clean)
		last.add(doc.Messages[r.last].Clean)
	}
	for i, k := range []*marks{&all, &first, &last} {
		id := (i + 1) * 100
		send(id, k.runes, lengthSteps)
		for j, v := range []int{k.exclaim, k.question, k.at, k.hash, k.digits, k.dots, k.repeats, k.brackets, k.bursts, k.you, k.links} {
			send(id+1+j, v, fewSteps)
		}
	}
	if n := len(r.agents); n > 0 {
		send(4, len(doc.Messages[r.agents[n-1]].Clean), lengthSteps)
	}
	if len(r.customers) > 1 && string(doc.Messages[r.first].Clean) == string(doc.Messages[r.last].Clean) {
		send(5, 1, fewSteps[:1])
	}
}
