package dataset

import (
	"maps"
	"unicode"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
)

// Slices that are computed from the words, so that no row declares them.
const (
	SliceLength = "length" // short, medium or long: characters the customer wrote
	SliceTurns  = "turns"  // single, few or many: customer messages
	SliceScript = "script" // simplified, traditional or other (no Chinese)
	SlicePunct  = "punct"  // none or some: whether the customer's words have any punctuation
)

func derived(name string) bool {
	switch name {
	case SliceLength, SliceTurns, SliceScript, SlicePunct:
		return true
	}
	return false
}

// Bounds of the computed slices, in characters and messages of the customer.
// They cut chats of customer service roughly into thirds.
const (
	shortRunes  = 30
	mediumRunes = 120
	fewTurns    = 3
)

// AllSlices returns the slices of a conversation: the declared ones and the
// computed ones. The cleaner tells the scripts apart.
func AllSlices(declared map[string]string, messages []qingting.Message, cleaner qingting.Cleaner) map[string]string {
	out := make(map[string]string, len(declared)+4)
	maps.Copy(out, declared)
	turns := 0
	for i := range messages {
		if messages[i].Role == qingting.RoleCustomer {
			turns++
		}
	}
	text := customerText(messages)
	n := utf8.RuneCountInString(text)
	switch {
	case n < shortRunes:
		out[SliceLength] = "short"
	case n < mediumRunes:
		out[SliceLength] = "medium"
	default:
		out[SliceLength] = "long"
	}
	switch {
	case turns <= 1:
		out[SliceTurns] = "single"
	case turns <= fewTurns:
		out[SliceTurns] = "few"
	default:
		out[SliceTurns] = "many"
	}
	out[SliceScript] = script(text, cleaner)
	out[SlicePunct] = "none"
	for _, r := range text {
		if unicode.IsPunct(r) {
			out[SlicePunct] = "some"
			break
		}
	}
	return out
}

// script looks at what cleaning makes of the Chinese characters: two that
// only the traditional script has, or one in ten, show it.
func script(text string, cleaner qingting.Cleaner) string {
	original := []rune(text)
	clean, from, _ := cleaner.Clean(text)
	han, changed := 0, 0
	for i, r := range clean {
		o := original[from[i]]
		if !unicode.Is(unicode.Han, o) {
			continue
		}
		han++
		if o != r {
			changed++
		}
	}
	switch {
	case han == 0:
		return "other"
	case changed >= 2 || changed*10 >= han && changed > 0:
		return "traditional"
	}
	return "simplified"
}
