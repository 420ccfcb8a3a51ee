package dataset

import (
	"io"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/text"
)

const suitePath = "../testdata/suite/dataset.yaml"

func newCleaner(t testing.TB) qingting.Cleaner {
	t.Helper()
	c, err := text.NewCleaner()
	require.NoError(t, err)
	return c
}

// starterCases reads the cases that the program carries.
func starterCases() (map[string]time.Time, error) {
	d := &Dataset{open: func(name string) (io.ReadCloser, error) { return os.Open(name) }}
	return d.CaseTimes(&File{Corpus: "../../retrieval/starter/cases.jsonl"})
}

func starterIDs(string) ([]string, error) {
	cases, err := starterCases()
	return slices.Collect(maps.Keys(cases)), err
}

// TestSuite holds our own suite to its own rules: lint is clean but for the
// warnings named here, every code of the guide occurs, and no text is twice.
func TestSuite(t *testing.T) {
	d, err := Open(suitePath)
	require.NoError(t, err)
	cleaner := newCleaner(t)
	r, err := d.Lint(LintOptions{Cleaner: cleaner, Builtin: starterIDs})
	require.NoError(t, err)
	t.Log(r)
	require.Zero(t, r.Errors)
	for _, f := range r.Findings {
		if f.Code == CodeNoRelevant && (f.ID == "r023" || f.ID == "r024") {
			continue // meant: the product has to say that it knows no case
		}
		t.Errorf("%s:%d %s %s %s", f.File, f.Line, f.ID, f.Code, f.Message)
	}
	require.GreaterOrEqual(t, r.Rows["triage"], 120)
	require.GreaterOrEqual(t, r.Rows["retrieval"], 24)
	require.Equal(t, 30, r.Rows["reply"])
	require.Equal(t, 40, r.Rows["text"])

	industries := map[string]bool{}
	scripts := map[string]int{}
	triage, err := d.File("triage")
	require.NoError(t, err)
	for e, err := range Read[Example](d, triage) {
		require.NoError(t, err)
		industries[e.Slices["industry"]] = true
		all := AllSlices(e.Slices, e.Messages, cleaner)
		scripts[all[SliceScript]]++
		require.Equal(t, RiskByTable(&e.Labels), e.Labels.Risk, e.ID)
	}
	for _, name := range []string{"电商", "通信", "银行", "餐饮", "家电", "出行", "政务"} {
		require.True(t, industries[name], name)
	}
	require.GreaterOrEqual(t, scripts["traditional"], 3)

	// Nothing of one suite is another one's answer.
	leak, err := Leak(d.Docs(triage), func(yield func(Doc, error) bool) {
		for _, f := range d.Files {
			if f.Suite == SuiteTriage {
				continue
			}
			for doc, err := range d.Docs(&f) {
				if !yield(doc, err) {
					return
				}
			}
		}
	}, LeakOptions{Cleaner: cleaner})
	require.NoError(t, err)
	require.Empty(t, leak.Pairs)

	// Every query was asked after the cases it may find were closed.
	retrieval, err := d.File("retrieval")
	require.NoError(t, err)
	qrels, err := d.Qrels(retrieval)
	require.NoError(t, err)
	closed, err := starterCases()
	require.NoError(t, err)
	var queries []Doc
	for doc, err := range d.Docs(retrieval) {
		require.NoError(t, err)
		queries = append(queries, doc)
		require.GreaterOrEqual(t, len(qrels[doc.ID]), 6, doc.ID)
	}
	later := Later(queries, closed, qrels)
	require.Empty(t, later.Pairs)
	require.Empty(t, later.Checks[0].Skipped)
}

// TestSuiteGold checks what the lint cannot know: that the invented numbers
// have the checksums that make them personal data at all.
func TestSuiteGold(t *testing.T) {
	d, err := Open(suitePath)
	require.NoError(t, err)
	f, err := d.File("text")
	require.NoError(t, err)
	kinds := map[qingting.SlotKind]int{}
	none := 0
	for e, err := range Read[Text](d, f) {
		require.NoError(t, err)
		if len(e.Spans) == 0 {
			none++
		}
		runes := []rune(e.Text)
		for _, s := range e.Spans {
			kinds[s.Kind]++
			digits := slices.DeleteFunc([]rune(string(runes[s.Start:s.End])), func(r rune) bool { return r == ' ' || r == '-' })
			for i, r := range digits {
				if r >= '０' && r <= '９' {
					digits[i] = r - '０' + '0'
				}
			}
			switch s.Kind {
			case qingting.SlotBankCard:
				require.True(t, luhn(digits), e.ID)
			case qingting.SlotIDCard:
				require.True(t, idCheck(digits), e.ID)
			}
		}
	}
	require.GreaterOrEqual(t, none, 10, "texts with nothing to mask")
	for _, k := range []qingting.SlotKind{qingting.SlotPhone, qingting.SlotIDCard, qingting.SlotBankCard, qingting.SlotPlate, qingting.SlotEmail, qingting.SlotAddress, qingting.SlotName, qingting.SlotOrderNumber} {
		require.GreaterOrEqual(t, kinds[k], 2, string(k))
	}
}

func luhn(digits []rune) bool {
	sum := 0
	for i := range digits {
		v := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// idCheck is the check character of GB 11643-1999.
func idCheck(id []rune) bool {
	if len(id) != 18 {
		return false
	}
	sum := 0
	for i, w := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += w * int(id[i]-'0')
	}
	last := id[17]
	if last == 'Ｘ' {
		last = 'X'
	}
	return last == rune("10X98765432"[sum%11])
}
