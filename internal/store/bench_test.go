package store

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func openBench(b *testing.B) *Store {
	b.Helper()
	s, err := Open(context.Background(), filepath.Join(b.TempDir(), "q.db"))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s
}

// clients runs b.N writes by several clients at once and reports how many were
// acknowledged in a second.
func clients(b *testing.B, n int, write func(client, i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	started := time.Now()
	for c := range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := write(c, int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(started).Seconds(), "acks/s")
}

// BenchmarkAppend adds single messages to 500 conversations: "group" as the
// service does it, "naive" with a commit for each.
func BenchmarkAppend(b *testing.B) {
	for _, how := range []string{"group", "naive"} {
		for _, n := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", how, n), func(b *testing.B) {
				s := openBench(b)
				if how == "naive" {
					require.NoError(b, s.writes.close())
					s.writer.DB = mustConnect(b, s.path)
					s.writes = newWriter(s.writer.DB, time.Now, 1)
				}
				clients(b, n, func(_, i int) error {
					_, err := s.Append(context.Background(), AppendRequest{
						Conversation: qingting.Conversation{Tenant: "t", ID: fmt.Sprintf("c%03d", i%500), Channel: "im", Team: "华东", CustomerRef: fmt.Sprintf("r%03d", i%500)},
						Messages:     []qingting.StoredMessage{message(fmt.Sprint("m", i), 0, "等了三天还没发货，你们到底管不管😡")},
					})
					return err
				})
			})
		}
	}
}

func BenchmarkSaveAnalysis(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openBench(b)
			ctx := context.Background()
			for i := range 500 {
				_, err := s.Append(ctx, AppendRequest{
					Conversation: qingting.Conversation{Tenant: "t", ID: fmt.Sprintf("c%03d", i)},
					Messages:     []qingting.StoredMessage{message("m", 0, "还没退款")},
				})
				require.NoError(b, err)
			}
			body := bytes.Repeat([]byte(`{"code":"regulator","quote":"我要打12315"},`), 200) // about 9 KB, as a real one
			clients(b, n, func(_, i int) error {
				_, err := s.SaveAnalysis(ctx, AnalysisRecord{
					Key: qingting.Key{Tenant: "t", ID: fmt.Sprintf("c%03d", i%500)}, Version: 1, Body: body,
					Overview: qingting.Overview{Kind: qingting.KindComplaint, Primary: qingting.TypeDelay, Risk: qingting.RiskMedium, Quote: "还没退款"},
				})
				return err
			})
		})
	}
}
