package store

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qingting-ai/qingting"
)

func fresh(t *testing.T) *Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "q.db"))
}

func mustConnect(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := connect(path, writerOptions)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	return db.DB
}

var received = time.Date(2026, 5, 6, 7, 8, 9, 123000, time.UTC)

func message(id string, seq int, text string) qingting.StoredMessage {
	return qingting.StoredMessage{Message: qingting.Message{ID: id, Seq: seq, Role: qingting.RoleCustomer, Text: text}, Received: received}
}

// say appends messages to a conversation and returns the result.
func say(t testing.TB, s *Store, key qingting.Key, messages ...qingting.StoredMessage) Appended {
	t.Helper()
	out, err := s.Append(context.Background(), AppendRequest{Conversation: qingting.Conversation{Tenant: key.Tenant, ID: key.ID}, Messages: messages})
	require.NoError(t, err)
	return out
}
