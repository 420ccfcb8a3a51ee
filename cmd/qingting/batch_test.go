package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/transcript"
)

func newBatch(t testing.TB, in io.Reader, workers int, analyze func(context.Context, qingting.Transcript) (*qingting.Analysis, error)) *batch {
	r, err := transcript.NewReader(in, transcript.Options{Format: transcript.FormatJSONL})
	require.NoError(t, err)
	return &batch{
		analyze: analyze, render: func(r *result) ([]byte, error) { return renderJSON(r, false) }, reader: r, workers: workers, started: time.Now(),
		kinds: map[qingting.Kind]int{}, risks: map[qingting.RiskLevel]int{},
	}
}

func echo(_ context.Context, t qingting.Transcript) (*qingting.Analysis, error) {
	return &qingting.Analysis{ID: &t.ID, Kind: qingting.Score[qingting.Kind]{Code: qingting.KindComplaint}, Risk: qingting.Risk{Level: qingting.RiskLow}}, nil
}

func conversations(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"c%d","messages":[{"role":"customer","text":"一"}]}`+"\n", i)
	}
	return b.String()
}

func TestBatchKeepsOrder(t *testing.T) {
	const n = 300
	in := strings.Replace(conversations(n), `{"id":"c7","messages":[{"role":"customer"`, `{"id":"c7","messages":[{"role":"老板"`, 1)
	in = strings.Replace(in, `{"id":"c9",`, `{"id":c9,`, 1)
	b := newBatch(t, strings.NewReader(in), 8, func(ctx context.Context, tr qingting.Transcript) (*qingting.Analysis, error) {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		if tr.ID == "c11" {
			panic("客户原话")
		}
		return echo(ctx, tr)
	})
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	require.NoError(t, b.run(t.Context(), w, false))
	require.NoError(t, w.Flush())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, n)
	for i, line := range lines {
		switch i {
		case 7:
			require.JSONEq(t, `{"line":8,"id":"c7","error":{"code":"unknown_role","message":"第 8 行 messages[0].role：不认识的角色 \"老板\"，只能是 customer、agent、bot 或 system"}}`, line)
		case 9:
			require.Contains(t, line, `{"line":10,"id":null,"error":{"code":"bad_json"`)
		case 11:
			require.Contains(t, line, `{"line":12,"id":"c11","error":{"code":"internal"`)
			require.NotContains(t, line, "客户原话")
		default:
			var a qingting.Analysis
			require.NoError(t, json.Unmarshal([]byte(line), &a))
			require.Equal(t, fmt.Sprintf("c%d", i), *a.ID)
		}
	}
	require.Equal(t, n, b.all)
	require.Equal(t, 3, b.failed)
	var exit *exitError
	require.ErrorAs(t, b.verdict(), &exit)
	require.Equal(t, exitInternal, exit.code)
	require.Contains(t, b.summary(), "共 300 个会话，失败 3 个")
	require.Contains(t, b.summary(), "性质：投诉 297　升级风险：低 297")
}

// TestBatchHoldsFewRecords: a slow consumer stops the reader.
func TestBatchHoldsFewRecords(t *testing.T) {
	var read atomic.Int64
	in := &countingReader{r: strings.NewReader(conversations(20_000)), n: &read}
	release := make(chan struct{})
	b := newBatch(t, in, 2, func(ctx context.Context, tr qingting.Transcript) (*qingting.Analysis, error) {
		<-release
		return echo(ctx, tr)
	})
	ended := make(chan error, 1)
	go func() { ended <- b.run(t.Context(), bufio.NewWriter(io.Discard), false) }()
	time.Sleep(100 * time.Millisecond)
	require.Less(t, read.Load(), int64(200_000), "of a megabyte")
	close(release)
	require.NoError(t, <-ended)
	require.Equal(t, 20_000, b.all)
}

type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestBatchAnswersBeforeTheEnd(t *testing.T) {
	r, w := io.Pipe()
	out, answers := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		b := newBatch(t, r, 2, echo)
		ended <- b.run(t.Context(), bufio.NewWriter(answers), false)
		answers.Close()
	}()
	lines := bufio.NewScanner(out)
	for i := range 3 {
		_, err := io.WriteString(w, fmt.Sprintf(`{"id":"c%d","messages":[{"role":"customer","text":"一"}]}`, i)+"\n"+strings.Repeat("\n", 70_000))
		require.NoError(t, err)
		require.True(t, lines.Scan())
		require.Contains(t, lines.Text(), fmt.Sprintf(`"id":"c%d"`, i))
	}
	w.Close()
	require.NoError(t, <-ended)
}

func TestBatchStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe() // never ends, like a terminal
	go io.WriteString(w, conversations(2000))
	b := newBatch(t, r, 2, func(ctx context.Context, tr qingting.Transcript) (*qingting.Analysis, error) {
		if tr.ID == "c50" {
			cancel()
		}
		return echo(ctx, tr)
	})
	require.ErrorIs(t, b.run(ctx, bufio.NewWriter(io.Discard), false), context.Canceled)
	w.Close()
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestBatchStopsAtAClosedPipe(t *testing.T) {
	b := newBatch(t, strings.NewReader(conversations(2000)), 2, echo)
	require.ErrorIs(t, b.run(t.Context(), bufio.NewWriter(closedPipe{}), true), syscall.EPIPE)
	require.Less(t, b.all, 50)
}

func TestBatchSaysWhereReadingEnded(t *testing.T) {
	r, err := transcript.NewReader(strings.NewReader(`[{"id":"a","messages":[{"role":"customer","text":"一"}]},{"id":`), transcript.Options{})
	require.NoError(t, err)
	b := newBatch(t, strings.NewReader("{}"), 2, echo)
	b.reader = r
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	err = b.run(t.Context(), w, false)
	w.Flush()
	var exit *exitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, exitData, exit.code)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[1], `"error":{"code":"bad_json"`)

	b = newBatch(t, io.MultiReader(strings.NewReader(conversations(2000)), failing{}), 2, echo)
	err = b.run(t.Context(), bufio.NewWriter(io.Discard), false)
	require.ErrorContains(t, err, "读输入时出错")
	require.Equal(t, 2000, b.all, "what was read before is answered")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk") }
