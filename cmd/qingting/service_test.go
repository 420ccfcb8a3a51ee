package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
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
