package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shot is one request of a run.
type shot struct {
	path string
	body []byte
}

// hit is what became of it.
type hit struct {
	status int           // 0: nobody answered
	took   time.Duration // from when it was due, not from when a connection was free for it
	sent   time.Duration // from when it went out
	retry  bool          // the answer had Retry-After
}

// paced sends requests at a rate, whether or not earlier ones have been
// answered, over at most so many connections. Latency counts from the moment a
// request was due: when the server stalls, those that had to wait for a
// connection have waited as well, and a slow server cannot slow down the
// client that measures it (coordinated omission).
type paced struct {
	addr, key   string
	rate        float64 // a second
	lasts       time.Duration
	connections int
	next        func(i int) shot                  // called concurrently
	done        func(i int, h hit, answer []byte) // the same; may be nil
}

// run returns the hits in the order they were due. The connections are plain:
// a request is one write, an answer is parsed by net/http, which costs a
// third of what http.Client does.
func (p paced) run(t *testing.T) []hit {
	t.Helper()
	total := int(p.rate * p.lasts.Seconds())
	hits := make([]hit, total)
	began := time.Now().Add(50 * time.Millisecond)
	var number atomic.Int64
	var all sync.WaitGroup
	for range min(p.connections, total) {
		all.Go(func() {
			var c wire
			defer c.close()
			for {
				i := int(number.Add(1)) - 1
				if i >= total {
					return
				}
				due := began.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
				time.Sleep(time.Until(due))
				s := p.next(i)
				sent := time.Now()
				status, header, answer := c.post(p.addr, p.key, s)
				now := time.Now()
				hits[i] = hit{status: status, took: now.Sub(due), sent: now.Sub(sent), retry: header.Get("Retry-After") != ""}
				if p.done != nil {
					p.done(i, hits[i], answer)
				}
			}
		})
	}
	all.Wait()
	return hits
}

// flood sends as fast as answers come over so many connections, and returns
// how many a second were answered with 2xx.
func flood(t *testing.T, addr, key string, connections int, lasts time.Duration, next func(i int) shot) float64 {
	t.Helper()
	var good, number atomic.Int64
	began := time.Now()
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			var c wire
			defer c.close()
			for time.Since(began) < lasts {
				if status, _, _ := c.post(addr, key, next(int(number.Add(1))-1)); status/100 == 2 {
					good.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(good.Load()) / time.Since(began).Seconds()
}

// wire is one connection that is opened when it is needed.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// post returns status 0 when nobody answered.
func (w *wire) post(addr, key string, s shot) (int, http.Header, []byte) {
	if w.conn == nil {
		conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			return 0, nil, nil
		}
		w.conn, w.in = conn, bufio.NewReaderSize(conn, 2048)
	}
	w.out = fmt.Appendf(w.out[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", s.path, addr, len(s.body))
	if key != "" {
		w.out = fmt.Appendf(w.out, "Authorization: Bearer %s\r\n", key)
	}
	w.out = append(append(w.out, "\r\n"...), s.body...)
	_ = w.conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := w.conn.Write(w.out); err != nil {
		w.close()
		return 0, nil, nil
	}
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		w.close()
		return 0, nil, nil
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.Close {
		w.close()
	}
	return resp.StatusCode, resp.Header, answer
}

// quantiles are of the latencies of a run.
type quantiles struct {
	n                  int
	p50, p95, p99, max time.Duration
}

func (q quantiles) String() string {
	ms := func(d time.Duration) float64 { return math.Round(float64(d.Microseconds())/10) / 100 }
	return fmt.Sprintf("n=%d p50=%gms p95=%gms p99=%gms max=%gms", q.n, ms(q.p50), ms(q.p95), ms(q.p99), ms(q.max))
}

// of sorts the durations.
func of(d []time.Duration) quantiles {
	if len(d) == 0 {
		return quantiles{}
	}
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[max(0, int(math.Ceil(q*float64(len(d))))-1)] }
	return quantiles{len(d), at(0.50), at(0.95), at(0.99), d[len(d)-1]}
}

// latencies are of the hits that keep returns true for.
func latencies(hits []hit, keep func(hit) bool) quantiles {
	var d []time.Duration
	for _, h := range hits {
		if keep(h) {
			d = append(d, h.took)
		}
	}
	return of(d)
}

func accepted(h hit) bool { return h.status/100 == 2 }

func anyHit(hit) bool { return true }

// statuses counts the answers by status.
func statuses(hits []hit) map[int]int {
	out := map[int]int{}
	for _, h := range hits {
		out[h.status]++
	}
	return out
}

// event is one event of a stream.
type event struct {
	id, kind string
	data     []byte
	at       time.Time // of arrival
}

// stream reads GET /v1/events until ctx ends or the server ends it, and calls
// take with each event. data is only good within the call.
func (s *server) stream(ctx context.Context, query string, opened func(), take func(event)) error {
	r := s.request(ctx, "GET", "/v1/events"+query, nil)
	// A connection of its own with small buffers: there may be a thousand.
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := r.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 4096)
	resp, err := http.ReadResponse(in, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("stream: %s", resp.Status)
	}
	lines := bufio.NewReaderSize(resp.Body, 4096)
	if opened != nil {
		opened()
	}
	var e event
	for {
		line, err := lines.ReadSlice('\n')
		for err == bufio.ErrBufferFull { // a long line: an analysis
			line = bytes.Clone(line)
			var more []byte
			more, err = lines.ReadSlice('\n')
			line = append(line, more...)
		}
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(line, []byte("id: ")):
			e.id = string(bytes.TrimSpace(line[4:]))
		case bytes.HasPrefix(line, []byte("event: ")):
			e.kind = string(bytes.TrimSpace(line[7:]))
		case bytes.HasPrefix(line, []byte("data: ")):
			e.data = append(e.data[:0], line[6:]...)
		case len(line) == 1 && e.kind != "":
			e.at = time.Now()
			take(e)
			e.kind = ""
		}
	}
}

// collect opens a stream that lives as long as the test and returns its
// events as they come.
func (s *server) collect(query string) <-chan event {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := make(chan event, 100_000)
	opened := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- s.stream(ctx, query, func() { close(opened) }, func(e event) {
			e.data = bytes.Clone(e.data)
			out <- e
		})
		close(out)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-opened:
	case err := <-ended:
		ended <- err
		require.NoError(s.t, err)
	}
	return out
}

// between is the text of b between two marks, "" when they are not there.
func between(b []byte, from, to string) string {
	_, rest, found := bytes.Cut(b, []byte(from))
	if !found {
		return ""
	}
	in, _, found := bytes.Cut(rest, []byte(to))
	if !found {
		return ""
	}
	return string(in)
}

// What customers and agents say. %d is a number that makes texts differ.
var (
	customerSays = []string{
		"你好，我上周买的豆浆机到现在还没收到，订单尾号%d", "都第%d天了，物流一直不动，到底发没发货", "你们这也太慢了吧……",
		"收到的东西跟图片不一样，颜色差好多", "我要退货，运费谁出？", "多扣了我%d块钱的会员费，我根本没开通过", "在吗在吗",
		"客服电话打了%d次都没人接，急死人了😡", "好的，那我再等等", "我昨天已经说过了，怎么又要我说一遍", "质量真的差，用了%d天就坏了",
		"能不能先给我退款，我不想再折腾了", "话费怎么扣了%d元？我没订过什么包", "师傅上门态度很差，话没说两句就走了", "行吧，谢谢",
		"退款说三天到账，现在都%d天了", "你们说好的补发呢", "发票抬头开错了，能重开吗", "没听明白，麻烦说清楚一点", "就这样吧",
	}
	agentSays = []string{
		"您好，很抱歉给您带来不便，请提供一下订单号", "我帮您查一下，请稍等", "这边看到包裹在中转站，预计明天送达", "已经为您登记，编号%d，24小时内有专员联系您",
		"您反映的扣费问题我核实一下", "给您申请补发，%d个工作日内发出",
	}
	alarming = "再不退款我就打12315投诉你们，律师函已经在准备了，还要发到网上让大家看看"
)

// said is a message that depends on nothing but n.
func said(n int) (role, text string) {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	role, list := "customer", customerSays
	if n%3 == 2 {
		role, list = "agent", agentSays
	}
	text = list[r.IntN(len(list))]
	if strings.Contains(text, "%d") {
		text = fmt.Sprintf(text, 2+r.IntN(90))
	}
	return role, text
}

// talk is n messages with ids.
func talk(from, n int) []say {
	out := make([]say, n)
	for i := range out {
		role, text := said(from + i)
		out[i] = say{ID: fmt.Sprintf("m%d", from+i), Role: role, Text: text}
	}
	return out
}
