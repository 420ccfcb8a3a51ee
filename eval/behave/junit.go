package behave

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitMessage `xml:"failure"`
		Skipped *junitMessage `xml:"skipped"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the reports for a CI server: a suite a system, a case a
// test, with up to so many failing cases as examples. With a list of known
// failures (nil: none) a failure that is listed is skipped, so that the server
// and the exit code of a check agree; the reason is in the message.
func WriteJUnit(w io.Writer, reports []*Report, known *Known, examples int) error {
	var all junitSuites
	for _, r := range reports {
		s := junitSuite{Name: "qingting eval behave " + r.System, Tests: len(r.Tests)}
		for i := range r.Tests {
			t := &r.Tests[i]
			c := junitCase{Class: r.System + "." + t.Capability, Name: t.Name}
			m := &junitMessage{Message: fmt.Sprintf("%s：%d 个用例失败 %d 个", t.Title, t.N, t.Failed), Text: t.examples(examples)}
			stands, _ := known.Stands(r.System, t)
			switch {
			case slices.Contains([]Standing{New, Worse, Unlisted}, stands):
				c.Failure = m
				s.Failures++
			case !t.Passed:
				m.Message += "；已知：" + known.Tests[t.Name].Why
				c.Skipped = m
				s.Skipped++
			}
			s.Cases = append(s.Cases, c)
		}
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Skipped += s.Skipped
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// examples are the first failing cases as a report for people shows them.
func (r *TestResult) examples(n int) string {
	var b strings.Builder
	for i := range min(n, len(r.Failures)) {
		r.Failures[i].write(&b)
	}
	return b.String()
}
