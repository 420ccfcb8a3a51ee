// Command go shows how a program hands conversations to Qingting and acts on
// its alerts, with nothing but the standard library.
//
//	export QINGTING_URL=http://127.0.0.1:8080 QINGTING_KEY=qt_…
//	go run ./examples/go
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// client talks to one server with one key.
type client struct {
	base, key string
	http      *http.Client
}

func main() {
	c := &client{base: os.Getenv("QINGTING_URL"), key: os.Getenv("QINGTING_KEY"), http: &http.Client{Timeout: 15 * time.Second}}
	if err := run(c); err != nil {
		fmt.Fprintln(os.Stderr, "错误：", err)
		os.Exit(1)
	}
}

func run(c *client) error {
	// The id is our own, so that a second delivery is the same conversation.
	id := "demo-" + rand.Text()[:8]
	var talk struct {
		Conversation struct{ ID string }
		Analysis     struct {
			Risk     struct{ Level string }
			Priority string
		}
	}
	create := map[string]any{
		"id": id, "channel": "im",
		"messages": []map[string]any{{"message_id": "m1", "role": "customer", "text": "你们乱扣费，再不退我就打12315"}},
	}
	// Sending it twice does no harm: messages are known by their message_id.
	for range 2 {
		if err := c.do("POST", "/v1/conversations?wait=analysis", create, &talk); err != nil {
			return err
		}
	}
	reply := map[string]any{"message_id": "m2", "role": "agent", "text": "非常抱歉，我马上为您核实"}
	if err := c.do("POST", "/v1/conversations/"+id+"/messages", reply, nil); err != nil {
		return err
	}
	if talk.Analysis.Risk.Level == "high" {
		fmt.Println("高风险", talk.Analysis.Priority, talk.Conversation.ID)
	}
	var alerts struct {
		Items []struct{ ID, State string } `json:"items"`
	}
	if err := c.do("GET", "/v1/alerts?open=true&conversation_id="+id, nil, &alerts); err != nil {
		return err
	}
	for _, a := range alerts.Items {
		if err := c.do("POST", "/v1/alerts/"+a.ID+"/claim", nil, nil); err != nil {
			return err
		}
		fmt.Println("已认领", a.ID)
	}
	return nil
}

// do sends a request and reads the answer. 429 and 503 say when to come back;
// the Idempotency-Key makes trying again safe.
func (c *client) do(method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	repeat := rand.Text()
	for try := 0; ; try++ {
		q, err := http.NewRequest(method, c.base+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		if c.key != "" {
			q.Header.Set("Authorization", "Bearer "+c.key)
		}
		if in != nil {
			q.Header.Set("Content-Type", "application/json")
		}
		if method == http.MethodPost {
			q.Header.Set("Idempotency-Key", repeat)
		}
		r, err := c.http.Do(q)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return err
		}
		switch {
		case r.StatusCode < 300 && out == nil:
			return nil
		case r.StatusCode < 300:
			return json.Unmarshal(data, out)
		case (r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusServiceUnavailable) && try < 5:
			seconds, _ := strconv.Atoi(r.Header.Get("Retry-After"))
			time.Sleep(time.Duration(max(1, seconds)) * time.Second)
		default:
			var p struct{ Code, Detail string }
			_ = json.Unmarshal(data, &p)
			return fmt.Errorf("%s %s：%d %s %s", method, path, r.StatusCode, p.Code, p.Detail)
		}
	}
}
