package behave

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/encoding/traditionalchinese"

	"github.com/qingting-ai/qingting/internal/text"
)

// tables are what perturbations look up. They never change after newTables.
type tables struct {
	traditional map[rune]rune     // simplified → its only common traditional form
	simplified  map[rune]rune     // traditional → simplified
	homophones  map[rune][]rune   // common characters of the same syllable and tone
	syllable    map[rune]string   // without its tone
	steps       map[string]change // by name
}

// newTables derives the script tables from the cleaner, which holds OpenCC's
// dictionaries, and reads the homophones.
func newTables() (*tables, error) {
	cleaner, err := text.NewCleaner()
	if err != nil {
		return nil, fmt.Errorf("perturbations: %w", err)
	}
	t := &tables{
		traditional: map[rune]rune{}, simplified: map[rune]rune{}, homophones: map[rune][]rune{}, syllable: map[rune]string{}, steps: changes(),
	}
	t.scripts(cleaner)
	return t, t.sounds()
}

// scripts turns the conversion round. A simplified character whose traditional
// form depends on the word (发: 發 or 髮; 后: 後 or 后 itself) is left alone, so
// that converting there and back gives the same text. Common is what the
// first level of Big5 holds.
func (t *tables) scripts(cleaner *text.Cleaner) {
	forms := map[rune][]rune{}
	big5 := traditionalchinese.Big5.NewEncoder()
	common := func(r rune) bool {
		b, err := big5.String(string(r))
		return err == nil && len(b) == 2 && b[0] >= 0xa4 && b[0] <= 0xc6
	}
	for r := rune(0x4e00); r <= 0x9fff; r++ {
		clean, _, _ := cleaner.Clean(string(r))
		if len(clean) != 1 || clean[0] == r || !unicode.Is(unicode.Han, clean[0]) {
			continue
		}
		t.simplified[r] = clean[0]
		if common(r) {
			forms[clean[0]] = append(forms[clean[0]], r)
		}
	}
	for s, list := range forms {
		if len(list) == 1 && !common(s) {
			t.traditional[s] = list[0]
		}
	}
}

// soundsFile lists the 3755 characters of the first level of GB 2312 by how
// they are read, a syllable with its tone a line: "tou2 头投". It is made from
// go-pinyin v0.21.0 (MIT, sounds.LICENSE) by TestSounds. The module itself is not linked: its
// table would be built whenever the program starts.
//
//go:embed sounds.txt
var soundsFile string

// sounds reads the homophones.
func (t *tables) sounds() error {
	for line := range strings.Lines(soundsFile) {
		sound, list, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return fmt.Errorf("perturbations: broken line %q in sounds.txt", line)
		}
		like := []rune(list)
		for _, r := range like {
			t.syllable[r] = strings.TrimRight(sound, "1234")
			if others := slices.DeleteFunc(slices.Clone(like), func(o rune) bool { return o == r }); len(others) > 0 {
				t.homophones[r] = others
			}
		}
	}
	return nil
}
