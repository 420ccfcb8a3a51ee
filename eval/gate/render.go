package gate

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"

	"github.com/mattn/go-runewidth"

	"github.com/qingting-ai/qingting/eval"
)

// Text writes the verdict as a table, the failing checks first.
func (v *Verdict) Text(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s  （%s 对比基线 %s，%d 项）\n\n", v.Status.Title(), v.Candidate, v.Base, len(v.Checks)); err != nil {
		return err
	}
	for _, status := range []Status{Missing, Breached, Inconclusive, Pass} {
		for _, c := range v.Checks {
			if c.Status != status {
				continue
			}
			_, err := fmt.Fprintf(w, "%s  %s %s  n=%-5d %6s → %6s  %s\n", runewidth.FillRight(status.Title(), 8), runewidth.FillRight(c.System, 10),
				runewidth.FillRight(c.Figure, 24), c.N, eval.Digits(float64(c.Base)), eval.Digits(float64(c.Candidate)), c.Reason)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// JSON writes the verdict as an object.
func (v *Verdict) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// The elements of a JUnit report, as CI servers read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitMessage `xml:"failure,omitempty"`
		Error   *junitMessage `xml:"error,omitempty"`
		Skipped *junitMessage `xml:"skipped,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
	}
)

// JUnit writes the verdict as a JUnit report: a breach is a failure, a missing
// figure an error, an inconclusive check skipped.
func (v *Verdict) JUnit(w io.Writer) error {
	s := junitSuite{Name: "qingting eval gate", Tests: len(v.Checks)}
	for _, c := range v.Checks {
		t := junitCase{Class: c.System, Name: c.Figure}
		m := &junitMessage{c.Reason}
		switch c.Status {
		case Breached:
			t.Failure = m
			s.Failures++
		case Missing:
			t.Error = m
			s.Errors++
		case Inconclusive:
			t.Skipped = m
			s.Skipped++
		}
		s.Cases = append(s.Cases, t)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(junitSuites{Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Skipped: s.Skipped, Suites: []junitSuite{s}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
