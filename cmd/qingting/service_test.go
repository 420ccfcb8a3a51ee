package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/live"
)

// TestLiveConversation tells the whole service a conversation, as `serve` wires
// it: what was hidden is nowhere on the disk, every quote is the stored text at
// its place, the promise and the alert are there.
func TestLiveConversation(t *testing.T) {
	e, err := shared()
	require.NoError(t, err)
	s := newTestService(t, e)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, ln, nil) }()
	base := "http://" + ln.Addr().String()
	ask := func(method, path string, body any) []byte {
		sent, err := json.Marshal(body)
		require.NoError(t, err)
		r, err := http.NewRequest(method, base+path, bytes.NewReader(sent))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Less(t, answer.StatusCode, 300, string(got))
		return got
	}
	secrets := []string{"13812345678", "欧阳修远", "建国路88号"}
	said := []qingting.Message{
		{Role: qingting.RoleCustomer, Text: "我叫欧阳修远，电话13812345678，你们多扣了我30元"},
		{Role: qingting.RoleAgent, Text: "您好，我今天18点前给您回电话核实"},
		{Role: qingting.RoleCustomer, Text: "住在北京市朝阳区建国路88号，等了三天没人管，再不处理我就打12315"},
	}
	ask("POST", "/v1/conversations", map[string]any{"id": "c1", "messages": said[:1]})
	for _, m := range said[1:] {
		ask("POST", "/v1/conversations/c1/messages?wait=analysis", map[string]any{"messages": []qingting.Message{m}})
	}
	var state live.State
	got := ask("GET", "/v1/conversations/c1/state", nil)
	require.NoError(t, json.Unmarshal(got, &state))
	var a qingting.Analysis
	require.NoError(t, json.Unmarshal(state.Analysis, &a))
	require.Len(t, state.Messages, 3)
	for i, m := range state.Messages {
		require.Len(t, []rune(m.Text), len([]rune(said[i].Text)), "every character keeps its place")
	}
	spans := []qingting.Span{}
	for _, x := range a.Types {
		spans = append(spans, x.Evidence...)
	}
	for _, x := range a.Claims {
		spans = append(spans, x.Evidence...)
	}
	for _, x := range a.Risk.Signals {
		spans = append(spans, x.Span)
	}
	kinds := map[qingting.SlotKind]bool{}
	for _, x := range a.Slots {
		spans, kinds[x.Kind] = append(spans, x.Span), true
	}
	for _, p := range state.Promises {
		p.Message = 1 // a promise names its message by id
		spans = append(spans, p.Span)
	}
	for _, x := range spans {
		require.Equal(t, x.Quote, string([]rune(state.Messages[x.Message].Text)[x.Start:x.End]))
	}
	require.True(t, kinds[qingting.SlotPhone] && kinds[qingting.SlotName] && kinds[qingting.SlotAddress], "that it was told is known: %v", kinds)
	require.Equal(t, qingting.KindComplaint, a.Kind.Code)
	require.Len(t, state.Promises, 1)
	require.Equal(t, qingting.RemedyCallback, state.Promises[0].What)
	require.Equal(t, 18, state.Promises[0].Due.In(time.FixedZone("", 8*60*60)).Hour())
	require.Len(t, state.Alerts, 1)
	require.NotEmpty(t, a.Suggestions)

	require.Contains(t, string(ask("POST", "/v1/lint", map[string]any{"text": "这不是我们的责任"})), `"findings":[{`)
	require.Contains(t, string(ask("GET", "/v1/conversations/c1/handover", nil)), "12315")
	stop()
	require.NoError(t, <-ended)
	read := 0
	err = filepath.Walk(s.config.Data, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		read++
		for _, secret := range secrets {
			require.NotContains(t, string(b), secret, path)
			require.NotContains(t, string(got), secret)
		}
		return nil
	})
	require.NoError(t, err)
	require.Positive(t, read)
	require.True(t, strings.Contains(string(got), "***"))
}

// TestPartFails: when a part ends with an error the whole service stops and
// says so, instead of taking requests that nobody works on.
func TestPartFails(t *testing.T) {
	e, err := shared()
	require.NoError(t, err)
	s := newTestService(t, e)
	// A part that has run already refuses to run again.
	ran, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, s.live.Run(ran))
	var log syncBuffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	started := time.Now()
	err = s.run(t.Context(), ln, admin)
	require.ErrorContains(t, err, "部件 live 出错")
	require.Less(t, time.Since(started), 9*time.Second)
	require.Contains(t, log.String(), "part=live")
	for _, closed := range []net.Listener{ln, admin} {
		_, err = net.Dial("tcp", closed.Addr().String())
		require.Error(t, err)
	}
}

func TestLockData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "新的")
	lock, err := lockData(dir)
	require.NoError(t, err)
	_, err = lockData(dir)
	require.ErrorContains(t, err, dir)
	var exit *exitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, exitData, exit.code)
	// Other commands go on beside a service.
	out, err := account(t, dir, "", "team", "add", "售后")
	require.NoError(t, err, out)
	require.NoError(t, lock.Close())
	lock, err = lockData(dir)
	require.NoError(t, err)
	require.NoError(t, lock.Close())
}

func TestErrorOfACancelledCommand(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		code   int
		hidden bool
	}{
		"只是被中断": {context.Canceled, exitInterrupt, true},
		"还有别的错": {errors.New("磁盘坏了"), exitInterrupt, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var errs bytes.Buffer
			p := &program{in: strings.NewReader(""), out: io.Discard, err: &errs, getenv: func(string) string { return "" }, build: func(context.Context, buildOptions) (*engine, error) { return nil, c.err }}
			require.Equal(t, c.code, p.run(ctx, []string{"triage", "-"}), errs.String())
			require.Equal(t, c.hidden, !strings.Contains(errs.String(), "磁盘坏了"))
			require.Contains(t, errs.String(), "已中断")
		})
	}
	require.NoError(t, stopped(canceled(), context.Canceled), "a service that was told to stop before it was ready")
	require.Error(t, stopped(t.Context(), context.Canceled))
	require.Error(t, stopped(canceled(), errors.New("磁盘坏了")))
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestComponents: what is switched off is not what is broken.
func TestComponents(t *testing.T) {
	e, err := shared()
	require.NoError(t, err)
	s := newTestService(t, e)
	w := httptest.NewRecorder()
	s.admin().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Contains(t, w.Body.String(), `qingting_component_up{component="store"} 1`)
	require.NotContains(t, w.Body.String(), `component="llm"`)
	require.NotContains(t, w.Body.String(), "qingting_component_up{component=\"live\"} 0")
}
