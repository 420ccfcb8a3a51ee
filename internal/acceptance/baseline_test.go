package acceptance

import (
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
)

// baseline is the least that answers as the service does: gin, one JSON
// message, one row in SQLite that is on the disk before the answer. Writes
// that wait together share a commit, as in internal/store. It reads nothing,
// knows nobody, and analyses nothing.
func baseline(addr, path string) error {
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE messages (conversation TEXT, id TEXT, role TEXT, text TEXT, PRIMARY KEY (conversation, id))`); err != nil {
		return err
	}
	type row struct {
		conversation, id, role, text string
		done                         chan error
	}
	queue := make(chan row, 4096)
	go func() {
		for first := range queue {
			batch := []row{first}
			for more := true; more && len(batch) < 512; {
				select {
				case r := <-queue:
					batch = append(batch, r)
				default:
					more = false
				}
			}
			err := func() error {
				tx, err := db.Begin()
				if err != nil {
					return err
				}
				defer tx.Rollback() //nolint:errcheck // after a commit it says so
				for _, r := range batch {
					if _, err := tx.Exec(`INSERT INTO messages VALUES (?, ?, ?, ?)`, r.conversation, r.id, r.role, r.text); err != nil {
						return err
					}
				}
				return tx.Commit()
			}()
			for _, r := range batch {
				r.done <- err
			}
		}
	}()
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.POST("/v1/conversations/:id/messages", func(c *gin.Context) {
		var body struct {
			Messages []say `json:"messages"`
		}
		if err := c.ShouldBindJSON(&body); err != nil || len(body.Messages) != 1 {
			c.Status(http.StatusBadRequest)
			return
		}
		m := body.Messages[0]
		r := row{c.Param("id"), m.ID, m.Role, m.Text, make(chan error, 1)}
		queue <- r
		if err := <-r.done; err != nil {
			c.Status(http.StatusServiceUnavailable)
			return
		}
		c.JSON(http.StatusCreated, gin.H{"message_id": m.ID, "status": "created"})
	})
	return http.ListenAndServe(addr, engine) //nolint:gosec // of a test
}

// startBaseline runs it in a process of its own and returns its address and
// what ends it.
func startBaseline(t *testing.T) (addr string, end func()) {
	t.Helper()
	addr = freePort(t)
	cmd := exec.Command(os.Args[0], addr, filepath.Join(t.TempDir(), "b.db"))
	cmd.Env = append(os.Environ(), jobVariable+"=baseline")
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	end = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	var c wire
	defer c.close()
	eventually(t, 10*time.Second, "baseline is ready", func() bool {
		status, _, _ := c.post(addr, "", oneMessage("ready", fmt.Sprint(time.Now().UnixNano()), 0))
		return status == http.StatusCreated
	})
	return addr, end
}
