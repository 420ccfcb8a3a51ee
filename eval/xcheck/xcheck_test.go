package xcheck

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	python = flag.String("python", "", "python3 with the reference libraries; empty skips what needs it")
	update = flag.Bool("update", false, "write the reference figures of metric and stat anew; needs -python")
)

var fixtures = map[Scope]string{Metric: "../metric/testdata/reference.json.gz", Stat: "../stat/testdata/reference.json.gz"}

// TestRun asks the libraries again. With -update it also renews the fixtures.
func TestRun(t *testing.T) {
	if *python == "" {
		t.Skip("no -python given")
	}
	if *update {
		for scope, path := range fixtures {
			ref, err := Derive(context.Background(), *python, scope)
			require.NoError(t, err)
			var out bytes.Buffer
			require.NoError(t, ref.Write(&out))
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, out.Bytes(), 0o644))
		}
	}
	var out strings.Builder
	err := Run(context.Background(), *python, &out)
	t.Log("\n" + out.String())
	require.NoError(t, err)
}

func TestWithoutPython(t *testing.T) {
	err := Run(context.Background(), filepath.Join(t.TempDir(), "python3"), &bytes.Buffer{})
	require.ErrorContains(t, err, "请确认它是可用的 python3")
}

// TestWithoutLibraries stands a shell script in for a python3 that lacks a
// library, as the script reports it.
func TestWithoutLibraries(t *testing.T) {
	for answer, want := range map[string]string{
		`echo '{"missing": ["sklearn", "pytrec_eval"]}'`: "缺少参考库 sklearn、pytrec_eval;请安装:apt install python3-sklearn",
		"echo oops":                          "不是 JSON",
		"echo 'ImportError: 坏了' >&2; exit 3": "ImportError: 坏了",
	} {
		path := filepath.Join(t.TempDir(), "python3")
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\ncat >/dev/null\n"+answer+"\n"), 0o755))
		require.ErrorContains(t, Run(context.Background(), path, &bytes.Buffer{}), want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, Run(ctx, "sh", &bytes.Buffer{}), context.Canceled)
}

func fixture(t *testing.T, scope Scope) Reference {
	t.Helper()
	file, err := os.Open(fixtures[scope])
	require.NoError(t, err)
	defer file.Close()
	ref, err := Read(file)
	require.NoError(t, err)
	return ref
}

// TestCompareFinds is that a wrong answer, a missing one and an invented one do
// not go through.
func TestCompareFinds(t *testing.T) {
	half := 0.5
	spoil := map[string]func(figures map[string]*float64){
		"a wrong figure":              func(f map[string]*float64) { v := *f["mcnemar"] + 1e-8; f["mcnemar"] = &v },
		"a figure gone undefined":     func(f map[string]*float64) { f["mcnemar"] = nil },
		"a figure we do not have":     func(f map[string]*float64) { f["new"] = &half },
		"a figure they do not have":   func(f map[string]*float64) { delete(f, "mid_p") },
		"undefined where we have one": func(f map[string]*float64) { f["mid_p"] = nil },
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			ref := fixture(t, Stat)
			spoil(ref.Figures["tests"][7])
			results, err := ref.Compare(Stat)
			require.NoError(t, err)
			for _, r := range results {
				require.Equal(t, r.Family != "tests", r.OK(), r.Family)
				if r.Family == "tests" {
					require.Contains(t, r.Where, "#7 ")
				}
			}
			var out strings.Builder
			err = Print(&out, ref.Versions, results)
			require.True(t, errors.Is(err, ErrDisagree), "%v", err)
			require.Contains(t, err.Error(), "tests")
			require.Contains(t, out.String(), "scipy ")
		})
	}
	ref := fixture(t, Stat)
	ref.Figures["tests"] = ref.Figures["tests"][1:]
	_, err := ref.Compare(Stat)
	require.ErrorContains(t, err, "请重新生成")
}

func TestReadRefuses(t *testing.T) {
	_, err := Read(strings.NewReader("不是压缩包"))
	require.ErrorContains(t, err, "gzip")
	ref := Reference{Versions: map[string]string{"scipy": "1"}, Cases: map[string][]json.RawMessage{}}
	var a, b bytes.Buffer
	require.NoError(t, ref.Write(&a))
	require.NoError(t, ref.Write(&b))
	require.Equal(t, a.Bytes(), b.Bytes())
	back, err := Read(&a)
	require.NoError(t, err)
	require.Equal(t, ref.Versions, back.Versions)
}
