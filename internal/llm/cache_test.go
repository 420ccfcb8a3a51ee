package llm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func openCache(t testing.TB, path string, mode Mode) *Cache {
	t.Helper()
	c, err := OpenCache(path, mode)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func with(c *Cache) func(*Options) { return func(o *Options) { o.Cache, o.Retries = c, -1 } }

func TestCacheModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "calls.jsonl")
	s := serve(t, refuses(400, "", "no"), says("第一次"), says("第二次"), says("第三次"))
	_, err := OpenCache(path, ModeReplay)
	require.ErrorContains(t, err, "没有录制文件")
	_, err = OpenCache(path, "off")
	require.Error(t, err)

	live := openCache(t, path, ModeLive)
	c := s.client(t, with(live))
	_, err = c.Complete(t.Context(), ask("在吗"))
	require.Equal(t, CodeConfig, codeOf(err))
	answers, _ := live.Size()
	require.Zero(t, answers, "a failure is never kept")
	first, err := c.Complete(t.Context(), ask("在吗"))
	require.NoError(t, err)
	require.Equal(t, "第一次", first.Text)
	require.False(t, first.Cached)
	again, err := c.Complete(t.Context(), ask("在吗"))
	require.NoError(t, err)
	require.Equal(t, Reply{Text: "第一次", Usage: Usage{In: 10, Out: 5}, Cached: true}, again)
	require.Len(t, s.calls(), 2)
	require.Equal(t, 1, c.Stats().Cached)
	require.Equal(t, 10, c.Stats().In, "a recorded answer costs nothing")
	require.NoError(t, live.Close())

	record := openCache(t, path, ModeRecord)
	got, err := s.client(t, with(record)).Complete(t.Context(), ask("在吗"))
	require.NoError(t, err)
	require.Equal(t, Reply{Text: "第二次", Usage: Usage{In: 10, Out: 5}}, got, "record asks anew")
	require.NoError(t, record.Close())

	replay := s.client(t, with(openCache(t, path, ModeReplay)))
	var streamed strings.Builder
	r := ask("在吗")
	r.OnText = func(part string) { streamed.WriteString(part) }
	got, err = replay.Complete(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, "第二次", got.Text, "of an answer recorded twice the last counts")
	require.Equal(t, "第二次", streamed.String())
	require.True(t, got.Cached)
	key, err := replay.key(&Request{Turns: []Turn{{"user", "没录过"}}})
	require.NoError(t, err)
	_, err = replay.Complete(t.Context(), ask("没录过"))
	require.Equal(t, CodeNotRecorded, codeOf(err))
	require.ErrorContains(t, err, key)
	require.Len(t, s.calls(), 3, "replay asks nobody")
}

func TestCacheKey(t *testing.T) {
	zero, one, seed := 0.0, 1.0, 3
	key := func(o Options, r Request) string {
		c, err := New(serveNobody{}, o)
		require.NoError(t, err)
		k, err := c.key(&r)
		require.NoError(t, err)
		return k
	}
	base := Options{Model: "m", Host: "h/v1"}
	r := ask("在吗")
	seen := map[string]string{"base": key(base, r)}
	add := func(name string, o Options, r Request) {
		k := key(o, r)
		for other, was := range seen {
			require.NotEqual(t, was, k, "%s and %s", other, name)
		}
		seen[name] = k
	}
	add("model", Options{Model: "n", Host: "h/v1"}, r)
	add("host", Options{Model: "m", Host: "g/v1"}, r)
	add("temperature", Options{Model: "m", Host: "h/v1", Temperature: &zero}, r)
	add("another temperature", Options{Model: "m", Host: "h/v1", Temperature: &one}, r)
	add("seed", Options{Model: "m", Host: "h/v1", Seed: &seed}, r)
	add("max tokens", Options{Model: "m", Host: "h/v1", MaxTokens: 9}, r)
	add("text", base, ask("在么"))
	add("role", base, Request{Turns: []Turn{{"system", "在吗"}}})
	add("parts", base, Request{Turns: []Turn{{"user", "在"}, {"user", "吗"}}})
	add("repeat", base, Request{Turns: r.Turns, Repeat: 1})
	add("schema", base, Request{Turns: r.Turns, Schema: &Schema{JSON: []byte("{}")}})

	same := base
	same.Timeout, same.Retries, same.Concurrency, same.Secrets = 1, 9, 9, []string{"key-of-mine"}
	require.Equal(t, seen["base"], key(same, r), "how a question is asked is no part of it")
}

// serveNobody is for clients that never ask.
type serveNobody struct{ Chat }

func TestCacheSurvivesTornLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	s := serve(t, says("一"), says("二"), says("三"))
	c := openCache(t, path, ModeRecord)
	client := s.client(t, with(c))
	for _, q := range []string{"甲", "乙"} {
		_, err := client.Complete(t.Context(), ask(q))
		require.NoError(t, err)
	}
	require.NoError(t, c.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(whole), "\n")
	require.Len(t, lines, 3)

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	for cut := range len(lines[1]) {
		require.NoError(t, os.WriteFile(path, []byte(lines[0]+lines[1][:cut]), 0o600))
		c := openCache(t, path, ModeLive)
		answers, torn := c.Size()
		require.Equal(t, 1, answers, "cut at %d", cut)
		require.Equal(t, min(cut, 1), torn)
		// The next answer stands on a line of its own.
		require.NoError(t, c.put("k", "h", "m", Reply{Text: "新"}, nil))
		require.NoError(t, c.Close())
		c = openCache(t, path, ModeReplay)
		got, ok, err := c.get("k")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "新", got.Text)
		require.NoError(t, c.Close())
	}

	// A line that was changed is not believed.
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(lines[0], "一", "壹", 1)+lines[1]), 0o600))
	answers, torn := openCache(t, path, ModeReplay).Size()
	require.Equal(t, []int{1, 1}, []int{answers, torn})
	// Nor is one that changes under an open recording.
	require.NoError(t, os.WriteFile(path, []byte(lines[0]+lines[1]), 0o600))
	c = openCache(t, path, ModeLive)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(whole), "一", "壹", 1)), 0o600))
	client = s.client(t, with(c))
	got, err := client.Complete(t.Context(), ask("甲"))
	require.NoError(t, err)
	require.Equal(t, Reply{Text: "三", Usage: Usage{In: 10, Out: 5}}, got)
}

func TestCacheConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	a, b := openCache(t, path, ModeLive), openCache(t, path, ModeLive) // two that append to one file
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			c := a
			if i%2 == 1 {
				c = b
			}
			key, text := fmt.Sprint("k", i), strings.Repeat("长", i)
			require.NoError(t, c.put(key, "h", "m", Reply{Text: text}, nil))
			got, ok, err := c.get(key)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, Reply{Text: text, Cached: true}, got)
		})
	}
	wg.Wait()
	answers, torn := openCache(t, path, ModeReplay).Size()
	require.Equal(t, []int{200, 0}, []int{answers, torn})
}

func TestCacheHoldsNoSecretsAndNoQuestions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	s := serve(t, says("你的密钥是 sk-secret-123"))
	_, err := s.client(t, with(openCache(t, path, ModeRecord))).Complete(t.Context(), ask("悄悄告诉你一件事"))
	require.NoError(t, err)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(b), "sk-secret-123")
	require.NotContains(t, string(b), "悄悄")
	require.Contains(t, string(b), "[密钥]")
}

func TestNilCache(t *testing.T) {
	var c *Cache
	_, ok, err := c.get("k")
	require.False(t, ok)
	require.NoError(t, err)
	require.NoError(t, c.put("k", "h", "m", Reply{}, nil))
	require.NoError(t, c.Close())
}

func FuzzCache(f *testing.F) {
	f.Add([]byte(`{"key":"k","host":"h","model":"m","text":"好","usage":{"in":1,"out":2},"sum":"0000000000000000"}` + "\n"))
	f.Add([]byte("{\n\n\x00\xff"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "calls.jsonl")
		require.NoError(t, os.WriteFile(path, b, 0o600))
		c, err := OpenCache(path, ModeLive)
		require.NoError(t, err)
		before, _ := c.Size()
		require.NoError(t, c.put("新的", "h", "m", Reply{Text: "好"}, nil))
		require.NoError(t, c.Close())
		c, err = OpenCache(path, ModeReplay)
		require.NoError(t, err)
		defer c.Close()
		after, _ := c.Size()
		require.Equal(t, before+1, after)
		got, ok, err := c.get("新的")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "好", got.Text)
	})
}
