package qingting_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/qingting-ai/qingting"

// TestImportDirection holds the arrows of the architecture:
//
//	standard library ← qingting ← stages, eval, internal/* ← cmd/qingting
//
// Stages never import each other, nor what serves them.
func TestImportDirection(t *testing.T) {
	stages := []string{"classify", "sentiment", "retrieval", "suggest"}
	top := func(pkg string) string { return strings.SplitN(pkg, "/", 2)[0] }
	checked := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		require.NoError(t, err)
		from := filepath.ToSlash(filepath.Dir(path))
		for _, imp := range file.Imports {
			to := strings.Trim(imp.Path.Value, `"`)
			ours := to == module || strings.HasPrefix(to, module+"/")
			rel := strings.TrimPrefix(strings.TrimPrefix(to, module), "/")
			checked++
			switch {
			case from == ".":
				require.False(t, strings.Contains(top(to), "."), "%s: the root package imports the standard library only, not %s", path, to)
			case ours && top(rel) == "cmd":
				t.Errorf("%s: nothing imports cmd, but this imports %s", path, to)
			case ours && slices.Contains(stages, top(from)) && slices.Contains(stages, top(rel)) && top(from) != top(rel):
				t.Errorf("%s: stages never import each other, but this imports %s", path, to)
			case ours && slices.Contains(stages, top(from)) && (rel == "internal/store" || rel == "internal/web" || rel == "eval"):
				t.Errorf("%s: a stage must not know what serves or measures it, but this imports %s", path, to)
			case ours && strings.HasPrefix(from, "internal/") && (slices.Contains(stages, top(rel)) || rel == "eval") && from != "internal/web":
				t.Errorf("%s: internal packages serve the stages, but this imports %s", path, to)
			case strings.HasPrefix(to, "github.com/gin-gonic/") && !strings.HasPrefix(from, "internal/web"):
				t.Errorf("%s: only internal/web knows gin", path)
			case strings.HasPrefix(to, "github.com/yanyiwu/gojieba") && from != "internal/jieba":
				t.Errorf("%s: only internal/jieba knows gojieba", path)
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, checked, 50)
}
