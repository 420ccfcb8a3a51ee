package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/hook"
)

// killClients write at the same time in the process that is killed.
const killClients = 8

// appendForever writes conversations of two messages with a delivery from
// several clients, and prints the name of each that was acknowledged.
func appendForever(path, round string) error {
	ctx := context.Background()
	s, err := Open(ctx, path)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	errs := make([]error, killClients)
	for c := range killClients {
		all.Go(func() {
			for i := 0; errs[c] == nil; i++ {
				name := fmt.Sprintf("%s-%d-%d", round, c, i)
				_, errs[c] = s.Append(ctx, AppendRequest{
					Conversation: qingting.Conversation{Tenant: "t", ID: fmt.Sprint("c", c)},
					Messages:     []qingting.StoredMessage{message(name+"-a", 0, "还没发货"), message(name+"-b", 0, "到底什么时候")},
					Outbox: func(*Appended) ([]hook.Item, error) {
						return []hook.Item{{Tenant: "t", ID: name, Payload: []byte(name)}}, nil
					},
				})
				if errs[c] == nil {
					mu.Lock()
					fmt.Println(name)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return errs[0]
}

// TestKilledAtAnyMoment kills a writing process again and again on one file.
// Every write that was acknowledged is there, whole, and so are all before.
func TestKilledAtAnyMoment(t *testing.T) {
	ctx := context.Background()
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	path := filepath.Join(t.TempDir(), "q.db")
	acknowledged := map[string]bool{}
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "QINGTING_STORE_TEST_JOB=append", "QINGTING_STORE_TEST_FILE="+path, fmt.Sprint("QINGTING_STORE_TEST_ROUND=", round))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan(), "round %d wrote nothing", round)
		before := len(acknowledged)
		acknowledged[lines.Text()] = true
		killed := make(chan error, 1)
		go func() {
			time.Sleep(time.Duration(rand.IntN(40_000)) * time.Microsecond)
			killed <- cmd.Process.Kill()
		}()
		for lines.Scan() {
			acknowledged[lines.Text()] = true
		}
		require.NoError(t, <-killed)
		require.ErrorContains(t, cmd.Wait(), "killed")
		require.Greater(t, len(acknowledged), before)

		s, err := Open(ctx, path)
		require.NoError(t, err)
		require.NoError(t, s.Check(ctx))
		ids, err := list(ctx, s.reader, scanOf[string], `SELECT id FROM messages`)
		require.NoError(t, err)
		halves := map[string]int{}
		for _, id := range ids {
			halves[id[:strings.LastIndexByte(id, '-')]]++
		}
		items, err := list(ctx, s.reader, scanOf[string], `SELECT id FROM outbox`)
		require.NoError(t, err)
		delivered := map[string]bool{}
		for _, id := range items {
			delivered[id] = true
		}
		for name := range acknowledged {
			require.Equal(t, 2, halves[name], "round %d lost %s", round, name)
		}
		for name, n := range halves {
			require.Equal(t, 2, n, "half of %s", name)
			require.True(t, delivered[name], "%s tells nobody", name)
		}
		require.Len(t, delivered, len(halves))
		counted, err := list(ctx, s.reader, scanOf[int], `SELECT sum(messages) FROM conversations`)
		require.NoError(t, err)
		require.Equal(t, []int{len(ids)}, counted)
		require.NoError(t, s.Close())
	}
	t.Logf("%d acknowledged writes in %d rounds", len(acknowledged), rounds)
}
