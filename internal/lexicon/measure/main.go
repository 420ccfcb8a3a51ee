// Command measure counts how every lexicon rule fares on labelled texts and
// writes the weights the lexicon embeds:
//
//	go run ./internal/lexicon/measure DATA/labelled/train*.jsonl > internal/lexicon/rules/weights.tsv
//
// With -v it prints precision and recall of every rule instead, and with
// -show RULE or -miss FIELD.CODE the texts a rule is wrong about or no certain
// rule finds, for whoever writes rules.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/lexicon"
	"github.com/qingting-ai/qingting/internal/text"
)

func main() {
	verbose := flag.Bool("v", false, "print precision and recall of every rule")
	show := flag.String("show", "", "print texts where hits of this rule (or of ids that begin so) are wrong")
	miss := flag.String("miss", "", "print texts that carry this field.code without a certain hit")
	limit := flag.Int("n", 40, "print at most so many texts")
	flag.Parse()
	if err := run(os.Stdout, flag.Args(), *verbose, *show, *miss, *limit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer, files []string, verbose bool, show, miss string, limit int) error {
	lex, err := lexicon.New()
	if err != nil {
		return err
	}
	cleaner, err := text.NewCleaner()
	if err != nil {
		return err
	}
	var docs []*qingting.Document
	var labels []qingting.Labels
	for _, name := range files {
		if err := read(name, cleaner, &docs, &labels); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if show != "" || miss != "" {
		return explain(w, lex, docs, labels, show, miss, limit)
	}
	stats, err := lex.Measure(docs, labels)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	defer out.Flush()
	if !verbose {
		fmt.Fprintf(out, "# rule, transcripts with a hit, those that carry the label; %d labelled transcripts\n", len(docs))
		return lexicon.WriteWeights(out, stats)
	}
	for _, s := range stats {
		fmt.Fprintf(out, "%-44s hit %5d  precision %.3f  recall %.3f  guarded %4d (right %4d)\n", s.Rule, s.Matched,
			share(s.Meant, s.Matched), share(s.Meant, s.Labeled), s.Guarded, s.Denied)
	}
	return nil
}

func share(a, b int) float64 { return float64(a) / float64(max(1, b)) }

func read(name string, cleaner qingting.Cleaner, docs *[]*qingting.Document, labels *[]qingting.Labels) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	dec := json.NewDecoder(f)
	for {
		var row struct {
			Messages []qingting.Message
			Labels   qingting.Labels
		}
		if err := dec.Decode(&row); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		doc := &qingting.Document{Transcript: qingting.Transcript{Messages: row.Messages}}
		for _, m := range row.Messages {
			p := &qingting.Prepared{Message: m}
			p.Clean, p.From, p.To = cleaner.Clean(m.Text)
			doc.Messages = append(doc.Messages, p)
		}
		*docs, *labels = append(*docs, doc), append(*labels, row.Labels)
	}
}

// explain prints what a rule writer wants to see.
func explain(w io.Writer, lex *lexicon.Lexicon, docs []*qingting.Document, labels []qingting.Labels, show, miss string, limit int) error {
	for i, doc := range docs {
		var shown []string
		found := false
		for _, h := range lex.Match(doc) {
			if h.Guard != qingting.GuardNone {
				if h.Guard != qingting.GuardRole && show != "" && strings.HasPrefix("guard:"+h.Rule, show) {
					shown = append(shown, h.Rule+"〔"+string(doc.Messages[h.Message].Clean[h.Start:h.End])+"〕"+string(h.Guard))
				}
				continue
			}
			code := string(h.Field) + "." + h.Code
			found = found || h.Certain && code == miss
			if show != "" && strings.HasPrefix(h.Rule, show) && !lexicon.Carries(&labels[i], h.Field, h.Code) {
				shown = append(shown, h.Rule+"〔"+string(doc.Messages[h.Message].Clean[h.Start:h.End])+"〕")
			}
		}
		field, code, _ := strings.Cut(miss, ".")
		missed := miss != "" && !found && lexicon.Carries(&labels[i], qingting.Field(field), code)
		if len(shown) == 0 && !missed {
			continue
		}
		if limit--; limit < 0 {
			return nil
		}
		l := labels[i]
		fmt.Fprintln(w, "##", strings.Join(shown, " "), "|", l.Kind, l.Types, l.Emotion, l.Intensity, l.Signals, l.Claims, l.Style, l.Outcome)
		for _, m := range doc.Messages {
			mark := "   A "
			if m.Role == qingting.RoleCustomer {
				mark = "   C "
			}
			fmt.Fprintln(w, mark+string(m.Clean))
		}
	}
	return nil
}
