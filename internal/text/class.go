package text

import (
	"strings"
	"sync"
)

// charClass says in one look what a character may begin or be, so that text
// without personal data is passed at a few nanoseconds a character.
type charClass [0x10000]uint32

// Classes of a character.
const (
	classCity     uint32 = 1 << iota // first of a city name
	classAddress                     // first of a word that announces an address
	classUnit                        // first of a unit after a house number
	classStop                        // may end the name of a place
	classStopWord                    // first of a word that ends the name of a place
	classSuffix                      // first of a suffix of place names
	className                        // first of a word that announces a name
	classTitle                       // first of a form of address
	classSurname                     // a usual surname
	classRare                        // a rarer surname
	classPlate                       // first of a number plate
	classProduct                     // first of a product noun
	classBrand                       // first of a brand
	classDate                        // first of a date or time
	classNotName                     // first of a usual word that begins like a name
	classNameStop                    // first of a word that ends a name
	classAmount                      // first of a sum of money
	classFestival                    // first of a day with a name
	classPeriod                      // first of a part of a day
)

// cityList holds cities for the search by first character.
var cityList = sync.OnceValue(func() wordList { return newWordList(strings.Join(cities, " ")) })

// classes is built on the first use and never changes.
var classes = sync.OnceValue(func() *charClass {
	c := new(charClass)
	set := func(chars string, flag uint32) {
		for _, r := range chars {
			c[r] |= flag
		}
	}
	first := func(words []string, flag uint32) {
		for _, w := range words {
			for _, r := range w {
				c[r] |= flag
				break
			}
		}
	}
	first(cities, classCity)
	first(addressWords, classAddress)
	set("号单栋幢座层室弄户组队楼房床社", classUnit)
	set(placeStops, classStop)
	first(placeStopWords, classStopWord)
	set(suffixStarts, classSuffix)
	first(nameWords, className)
	first(titles, classTitle)
	set(surnames, classSurname)
	set(rareSurnames, classRare)
	set(plateProvinces, classPlate)
	first(ordinaryWords, classNotName)
	set(nameStops, classNameStop)
	first(nameStopWords, classNameStop)
	words := productWords()
	for _, list := range []wordList{words.nouns, words.brands} {
		flag := classProduct
		if list.brand {
			flag = classBrand
		}
		for r := range list.first {
			c[r] |= flag
			if r >= 'a' && r <= 'z' {
				c[r-'a'+'A'] |= flag
			}
		}
	}
	for _, f := range festivals {
		first([]string{f.words}, classFestival)
	}
	for _, p := range periods {
		first([]string{p.words}, classPeriod)
	}
	set("¥￥RrC人", classAmount)
	for r := rune(0); r < 0x10000; r++ {
		if startsDate(r) {
			c[r] |= classDate
		}
		if startsNumber(r) {
			c[r] |= classAmount
		}
	}
	return c
})

// is reports whether r belongs to one of the classes in flag.
func (c *charClass) is(r rune, flag uint32) bool {
	return uint32(r) < uint32(len(c)) && c[r]&flag != 0
}
