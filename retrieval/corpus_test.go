package retrieval

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

// TestCorpusRuns searches a corpus of one's own and writes TREC runs for any
// scorer: QINGTING_CORPUS is a folder with corpus.jsonl and dev-queries.jsonl
// (lines of transcripts with an id), QINGTING_RUNS the folder for run-*.txt.
// A query finds every conversation but itself.
func TestCorpusRuns(t *testing.T) {
	dir, out := os.Getenv("QINGTING_CORPUS"), os.Getenv("QINGTING_RUNS")
	if dir == "" || out == "" {
		t.Skip("QINGTING_CORPUS and QINGTING_RUNS are not set")
	}
	ctx := context.Background()
	parts, encoder := realTools(t), realEncoder(t)
	l, err := NewLibrary(ctx, Parts{Cleaner: parts.cleaner, Segmenter: parts.segmenter, Encoder: encoder, DeferEncoding: true})
	require.NoError(t, err)
	for _, c := range readTranscripts(t, filepath.Join(dir, "corpus.jsonl")) {
		require.NoError(t, l.keep(qingting.Case{ID: c.ID, Problem: words(c, qingting.RoleCustomer), Solution: words(c, qingting.RoleAgent)}))
	}
	require.NoError(t, l.EncodeMissing(ctx, nil))

	runs := map[string]*strings.Builder{}
	write := func(name, query string, found []string) {
		b := runs[name]
		if b == nil {
			b = &strings.Builder{}
			runs[name] = b
		}
		found = slices.DeleteFunc(found, func(id string) bool { return id == query })
		for i, id := range found[:min(100, len(found))] {
			fmt.Fprintf(b, "%s Q0 %s %d %d %s\n", query, id, i+1, 1000-i, name)
		}
	}
	for _, c := range readTranscripts(t, filepath.Join(dir, "dev-queries.jsonl")) {
		doc := document(t, encoder, c.Messages...)
		q := l.ask(doc, about(""))
		whole, err := encoder.Encode(ctx, []string{DenseText(parts.cleaner, &qingting.Case{Problem: words(c, qingting.RoleCustomer)})})
		require.NoError(t, err)
		search := func(name string, query Query) {
			query.Limit = 110
			found, err := l.index.Search(ctx, query)
			require.NoError(t, err)
			write(name, c.ID, candidateIDs(found))
		}
		search("lexical", Query{Terms: q.terms})
		search("dense", Query{Vector: q.vector})
		search("dense-whole", Query{Vector: whole[0]})
		search("fused", Query{Terms: q.terms, Vector: q.vector})
		matches, err := l.find(ctx, q, qingting.CaseFilter{}, 110)
		require.NoError(t, err)
		write("hybrid", c.ID, ids(matches))
		q.vector = whole[0]
		matches, err = l.find(ctx, q, qingting.CaseFilter{}, 110)
		require.NoError(t, err)
		write("hybrid-whole", c.ID, ids(matches))
	}
	for name, b := range runs {
		require.NoError(t, os.WriteFile(filepath.Join(out, "run-"+name+".txt"), []byte(b.String()), 0o644))
	}
}

func readTranscripts(t *testing.T, path string) []qingting.Transcript {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var out []qingting.Transcript
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c qingting.Transcript
		require.NoError(t, json.Unmarshal(lines.Bytes(), &c))
		out = append(out, c)
	}
	require.NoError(t, lines.Err())
	return out
}

// words joins what one side said.
func words(c qingting.Transcript, r qingting.Role) string {
	var out []string
	for _, m := range c.Messages {
		if m.Role == r {
			out = append(out, m.Text)
		}
	}
	return strings.Join(out, "\n")
}
