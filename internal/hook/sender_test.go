package hook

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// receiver is the far end without a network, so that time can be synctest's.
type receiver func(*http.Request) (*http.Response, error)

func (f receiver) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// running starts a sender for the test's bubble and returns what ends it.
func running(t *testing.T, m *memory, o Options, far receiver) (s *Sender, stop func()) {
	t.Helper()
	s, err := NewSender(m, o)
	require.NoError(t, err)
	if far != nil {
		s.use(far)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// TestSchedule runs all ten attempts through: their pauses, the total of about
// 76 hours, the dead letter, and the replay.
func TestSchedule(t *testing.T) {
	for name, random := range map[string]func() float64{
		"middle": func() float64 { return 0.5 }, "shortest": func() float64 { return 0 }, "longest": func() float64 { return 0.999999 }, "drawn": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				m := newMemory(webhook("e1", "https://hooks.example.com/"))
				m.add(waiting("1", "e1", start))
				var at []time.Duration
				s, err := NewSender(m, Options{Poll: 1000 * time.Hour}) // polling for days costs a test seconds
				require.NoError(t, err)
				if random != nil {
					s.random = random
				}
				s.use(receiver(func(r *http.Request) (*http.Response, error) {
					at = append(at, time.Since(start))
					require.Equal(t, "ev_1", r.Header.Get("webhook-id"), "the same in every attempt")
					require.Equal(t, strconv.FormatInt(time.Now().Unix(), 10), r.Header.Get("webhook-timestamp"), "of the attempt")
					// Whatever is no 2xx and no 410 is tried again.
					return answer([]int{500, 307, 404, 400, 401, 403, 422, 502, 503, 500}[len(at)-1], ""), nil
				}))
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- s.Run(ctx) }()
				for synctest.Wait(); m.get("1").State == StatePending; synctest.Wait() {
					time.Sleep(time.Until(m.get("1").Next))
					s.Wake()
				}
				require.Len(t, at, 10)
				for i, d := range Schedule() {
					gap := at[i]
					if i > 0 {
						gap -= at[i-1]
					}
					require.GreaterOrEqual(t, gap, d*8/10, "attempt %d", i+1)
					require.LessOrEqual(t, gap, d*12/10, "attempt %d", i+1)
				}
				total := at[9].Hours()
				switch name {
				case "middle":
					require.InDelta(t, 75.585, total, 0.01)
				case "shortest":
					require.InDelta(t, 0.8*75.585, total, 0.01)
				case "longest":
					require.InDelta(t, 1.2*75.585, total, 0.01)
				}
				it := m.get("1")
				require.Equal(t, StateDead, it.State)
				require.Equal(t, 10, it.Attempts)
				require.Equal(t, 500, it.Status)
				require.Equal(t, "接收方回答 500", it.Error)
				require.Equal(t, Stats{Failed: 10, Dead: 1}, s.Stats())
				cancel()
				require.NoError(t, <-done)
			})
		})
	}
}

// TestCrash holds at least once: the process dies between the receiver's
// answer and the note of it, and the item goes out again under the same id.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(webhook("e1", "https://hooks.example.com/"))
		for i := range 20 {
			m.add(waiting(strconv.Itoa(i), "e1", time.Now()))
		}
		m.lose = 7
		var mu sync.Mutex
		got := map[string]int{}
		far := receiver(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			got[r.Header.Get("webhook-id")]++
			return answer(204, ""), nil
		})
		_, stop := running(t, m, Options{}, far)
		time.Sleep(10 * time.Second)
		stop()
		require.Equal(t, 13, m.count(StateDone))
		require.Equal(t, 7, m.count(StatePending), "leased, not lost")
		_, stop = running(t, m, Options{}, far)
		defer stop()
		time.Sleep(5 * time.Minute)
		require.Equal(t, 20, m.count(StateDone))
		require.Len(t, got, 20)
		twice := 0
		for _, n := range got {
			require.LessOrEqual(t, n, 2)
			twice += n - 1
		}
		require.Equal(t, 7, twice)
	})
}

// TestStop holds that what is cut off at the end is due again at once, and
// that a stop is no failure of the receiver.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(webhook("e1", "https://hooks.example.com/"))
		m.add(waiting("1", "e1", time.Now()))
		s, stop := running(t, m, Options{}, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		require.Equal(t, 5*time.Second, time.Since(began), "drained, then cut")
		it := m.get("1")
		require.Equal(t, StatePending, it.State)
		require.False(t, it.Next.After(time.Now()))
		require.Zero(t, s.Stats().Failed)
	})
}

func TestAnswers(t *testing.T) {
	robot := func(k Kind) Endpoint {
		return Endpoint{Tenant: "t1", ID: "e1", Kind: k, URL: "https://robot.example/x"}
	}
	hook := webhook("e1", "https://hooks.example.com/")
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		what     string
		endpoint Endpoint
		response *http.Response
		want     result
	}{
		{"200", hook, answer(200, "ok"), result{status: 200}},
		{"204", hook, answer(204, ""), result{status: 204}},
		{"299 with garbage", hook, answer(299, "\x00\xff{"), result{status: 299}},
		{"301", hook, answer(301, "", "Location", "https://elsewhere.example/"), result{status: 301, problem: "接收方要求跳转（301），不会跟随；请把地址改成最终的地址"}},
		{"400", hook, answer(400, ""), result{status: 400, problem: "接收方回答 400"}},
		{"404", hook, answer(404, ""), result{status: 404, problem: "接收方回答 404"}},
		{"410", hook, answer(410, ""), result{status: 410, problem: "接收方回答 410（不再接收）", gone: true}},
		{"429", hook, answer(429, ""), result{status: 429, problem: "接收方回答 429（繁忙）", after: 30 * time.Second}},
		{"429 in a while", hook, answer(429, "", "Retry-After", "120"), result{status: 429, problem: "接收方回答 429（繁忙）", after: 2 * time.Minute}},
		{"503", hook, answer(503, ""), result{status: 503, problem: "接收方回答 503（繁忙）"}},
		{"503 until", hook, answer(503, "", "Retry-After", now.Add(time.Hour).Format(http.TimeFormat)), result{status: 503, problem: "接收方回答 503（繁忙）", after: time.Hour}},
		{"503 for ever", hook, answer(503, "", "Retry-After", "999999999999"), result{status: 503, problem: "接收方回答 503（繁忙）", after: 24 * time.Hour}},
		{"503 for longer than numbers", hook, answer(503, "", "Retry-After", "99999999999999999999999"), result{status: 503, problem: "接收方回答 503（繁忙）"}},
		{"503 in the past", hook, answer(503, "", "Retry-After", "-5"), result{status: 503, problem: "接收方回答 503（繁忙）"}},
		{"robot ok", robot(KindWeCom), answer(200, `{"errcode":0,"errmsg":"ok"}`), result{status: 200}},
		{"robot unknown", robot(KindWeCom), answer(200, `{"errcode":93000,"errmsg":"invalid webhook url"}`), result{status: 200, problem: "机器人回答错误 93000：invalid webhook url"}},
		{"robot too often", robot(KindWeCom), answer(200, `{"errcode":45009,"errmsg":"api freq out of limit"}`), result{status: 200, problem: "机器人回答错误 45009：api freq out of limit", after: time.Minute}},
		{"robot 钉钉 ok", robot(KindDingTalk), answer(200, `{"errcode":0,"errmsg":"ok"}`), result{status: 200}},
		{"robot 钉钉 sign", robot(KindDingTalk), answer(200, `{"errcode":310000,"errmsg":"sign not match"}`), result{status: 200, problem: "机器人回答错误 310000：sign not match"}},
		{"robot 钉钉 too often", robot(KindDingTalk), answer(200, `{"errcode":130101,"errmsg":"send too fast"}`), result{status: 200, problem: "机器人回答错误 130101：send too fast", after: 10 * time.Minute}},
		{"robot 飞书 ok", robot(KindFeishu), answer(200, `{"code":0,"msg":"success","data":{}}`), result{status: 200}},
		{"robot 飞书 ok, older", robot(KindFeishu), answer(200, `{"StatusCode":0,"StatusMessage":"success"}`), result{status: 200}},
		{"robot 飞书 sign", robot(KindFeishu), answer(200, `{"code":19021,"msg":"sign match fail"}`), result{status: 200, problem: "机器人回答错误 19021：sign match fail"}},
		{"robot 飞书 too often", robot(KindFeishu), answer(200, `{"code":11232,"msg":"frequency limited"}`), result{status: 200, problem: "机器人回答错误 11232：frequency limited", after: time.Minute}},
		{"robot 飞书 bad request", robot(KindFeishu), answer(200, `{"code":9499,"msg":"Bad Request"}`), result{status: 200, problem: "机器人回答错误 9499：Bad Request"}},
		{"robot garbage", robot(KindDingTalk), answer(200, `<html>登录</html>`), result{status: 200, problem: "机器人的回答不是它的接口格式，请检查地址"}},
		{"robot empty", robot(KindFeishu), answer(200, ``), result{status: 200, problem: "机器人的回答不是它的接口格式，请检查地址"}},
		{"robot of another kind", robot(KindFeishu), answer(200, `{"errcode":0}`), result{status: 200, problem: "机器人的回答不是它的接口格式，请检查地址"}},
		{"robot huge", robot(KindWeCom), answer(200, strings.Repeat(" ", maxResponse)+`{"errcode":0}`), result{status: 200, problem: "机器人的回答不是它的接口格式，请检查地址"}},
		{"robot 502", robot(KindWeCom), answer(502, `{"errcode":0}`), result{status: 502, problem: "接收方回答 502"}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			s, err := NewSender(newMemory(), Options{Now: func() time.Time { return now }})
			require.NoError(t, err)
			s.use(receiver(func(*http.Request) (*http.Response, error) { return tc.response, nil }))
			it := waiting("1", "e1", now)
			require.Equal(t, tc.want, s.attempt(t.Context(), &tc.endpoint, &it))
		})
	}
}

// TestGone holds that 410 ends it, for this item and all that wait.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(webhook("e1", "https://hooks.example.com/"))
		m.add(waiting("1", "e1", time.Now()), waiting("2", "e1", time.Now().Add(time.Minute)))
		asked := 0
		_, stop := running(t, m, Options{}, func(*http.Request) (*http.Response, error) { asked++; return answer(410, ""), nil })
		defer stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 1, asked)
		require.Equal(t, StateDead, m.get("1").State)
		require.Equal(t, StatePending, m.get("2").State, "waits until somebody enables it")
		require.True(t, m.endpoints[0].Disabled)
		require.Contains(t, m.endpoints[0].Reason, "410")
	})
}

// TestRetryAfter holds that a receiver that asks for patience gets it, for
// everything that is meant for it.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		m := newMemory(webhook("e1", "https://hooks.example.com/"))
		m.add(waiting("1", "e1", start), waiting("2", "e1", start.Add(3*time.Second)))
		var at []time.Duration
		s, stop := running(t, m, Options{}, func(*http.Request) (*http.Response, error) {
			at = append(at, time.Since(start))
			if len(at) == 1 {
				return answer(503, "", "Retry-After", "600"), nil
			}
			return answer(200, ""), nil
		})
		defer stop()
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		require.Equal(t, []time.Duration{0}, at)
		require.Equal(t, start.Add(10*time.Minute), m.get("1").Next, "not sooner than asked for")
		require.Equal(t, 1, s.Stats().Held)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Len(t, at, 3)
		require.Equal(t, 2, m.count(StateDone))
	})
}

// TestCircuit holds that one dead receiver costs the others nothing, is asked
// seldom while it is down, gets everything once it is back, and that what
// waited longer than its schedule is given up.
func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(webhook("dead", "https://dead.example.com/"), webhook("live", "https://live.example.com/"))
		for i := range 100 {
			m.add(waiting(fmt.Sprintf("d%03d", i), "dead", time.Now()))
		}
		var mu sync.Mutex
		asked, down := 0, true
		o := Options{Concurrency: 8, PerEndpoint: 4, Poll: 30 * time.Second}
		s, stop := running(t, m, o, func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "live.example.com" {
				return answer(200, ""), nil
			}
			mu.Lock()
			asked++
			is := down
			mu.Unlock()
			if is {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return answer(200, ""), nil
		})
		defer stop()
		for i := range 100 {
			m.add(waiting(fmt.Sprintf("l%03d", i), "live", time.Now()))
			s.Wake()
			time.Sleep(100 * time.Millisecond)
			require.Equal(t, StateDone, m.get(fmt.Sprintf("l%03d", i)).State, "at once, whatever the other does")
		}
		time.Sleep(time.Hour)
		mu.Lock()
		require.Less(t, asked, 40, "a probe every five minutes")
		down = false
		mu.Unlock()
		time.Sleep(6 * time.Minute)
		require.GreaterOrEqual(t, m.count(StateDone), 100+80, "those never tried, at least: the circuit closed")
		time.Sleep(time.Hour)
		require.Equal(t, 200, m.count(StateDone))

		mu.Lock()
		down = true
		mu.Unlock()
		for i := range 100 {
			m.add(waiting(fmt.Sprintf("x%03d", i), "dead", time.Now()))
		}
		time.Sleep(80 * time.Hour)
		require.Zero(t, m.count(StateDead), "not before the schedule is over")
		time.Sleep(20 * time.Hour)
		require.Equal(t, 100, m.count(StateDead))
		require.EqualValues(t, 100, s.Stats().Dead)
	})
}

// TestPoison holds that a receiver which refuses some events gets the others
// without delay.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(webhook("e1", "https://hooks.example.com/"))
		for i := range 200 {
			m.add(waiting(fmt.Sprintf("bad%03d", i), "e1", time.Now()), waiting(fmt.Sprintf("good%03d", i), "e1", time.Now()))
		}
		_, stop := running(t, m, Options{}, func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.Header.Get("webhook-id"), "ev_bad") {
				return answer(422, ""), nil
			}
			return answer(200, ""), nil
		})
		defer stop()
		time.Sleep(time.Second)
		require.Equal(t, 200, m.count(StateDone))
	})
}

// TestRobotRates holds the limits of the robots, in any window.
func TestRobotRates(t *testing.T) {
	for kind, limits := range map[Kind][]rate{
		KindWeCom: {{20, time.Minute}}, KindDingTalk: {{20, time.Minute}}, KindFeishu: {{5, time.Second}, {100, time.Minute}},
	} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const url = "https://robot.example/x"
				// Two endpoints through the same robot share its limit.
				m := newMemory(Endpoint{Tenant: "t1", ID: "e1", Kind: kind, URL: url}, Endpoint{Tenant: "t1", ID: "e2", Kind: kind, URL: url})
				for i := range 150 {
					m.add(waiting(fmt.Sprintf("a%03d", i), "e1", time.Now()), waiting(fmt.Sprintf("b%03d", i), "e2", time.Now()))
				}
				var mu sync.Mutex
				var at []time.Time
				_, stop := running(t, m, Options{}, func(*http.Request) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					at = append(at, time.Now())
					return answer(200, `{"errcode":0,"code":0}`), nil
				})
				defer stop()
				time.Sleep(17 * time.Minute)
				synctest.Wait()
				require.Len(t, at, 300)
				require.Equal(t, 300, m.count(StateDone), "late, but never in vain")
				for _, l := range limits {
					for i := range at[l.n:] {
						require.GreaterOrEqual(t, at[i+l.n].Sub(at[i]), l.per, "%d messages in %v", l.n+1, at[i+l.n].Sub(at[i]))
					}
				}
				require.Zero(t, at[min(19, limits[0].n-1)].Sub(at[0]), "an alert does not wait for nothing")
			})
		})
	}
}

// TestRobotSchedule holds that an alert which reached nobody for half an hour
// is not told a day later.
func TestRobotSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(Endpoint{Tenant: "t1", ID: "e1", Kind: KindWeCom, URL: "https://robot.example/x"})
		m.add(waiting("1", "e1", time.Now()))
		asked := 0
		_, stop := running(t, m, Options{}, func(*http.Request) (*http.Response, error) {
			asked++
			return answer(200, `{"errcode":-1,"errmsg":"system busy"}`), nil
		})
		defer stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 4, asked)
		require.Equal(t, StateDead, m.get("1").State)
	})
}

// local is a guard under which 127.0.0.1 stands for the internet.
func local() *Guard {
	return &Guard{HTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
}

// TestOverTheWire delivers to real servers that behave well and badly.
func TestOverTheWire(t *testing.T) {
	type seen struct {
		header http.Header
		body   string
	}
	var got atomic.Pointer[seen]
	block := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got.Store(&seen{r.Header, string(b)})
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-block:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) {
		for i := 0; r.Context().Err() == nil && i < 100; i++ {
			io.WriteString(w, " ")
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for range 1 << 10 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		for i := range 64 {
			w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1024))
		}
	})
	var followed atomic.Bool
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/followed", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/followed", func(w http.ResponseWriter, r *http.Request) { followed.Store(true) })
	plain := httptest.NewServer(mux)
	defer plain.Close()
	defer close(block)
	secure := httptest.NewUnstartedServer(mux)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()

	// A server that speaks no HTTP, one that hangs up, and one that is not there.
	garbage := tcpServer(t, func(c net.Conn) { io.WriteString(c, "\x15\x03\x01 你好\r\n\r\n") })
	hangup := tcpServer(t, func(net.Conn) {})
	gone := tcpServer(t, nil)

	s, err := NewSender(newMemory(), Options{Guard: local(), Timeout: 300 * time.Millisecond})
	require.NoError(t, err)
	transport := s.transport.(*http.Transport)
	defer transport.CloseIdleConnections()
	try := func(e Endpoint) result {
		it := waiting("1", "e1", time.Now())
		return s.attempt(t.Context(), &e, &it)
	}
	at := func(url string) Endpoint { return webhook("e1", url+"?key=topsecret") }

	require.Equal(t, result{status: 200}, try(at(plain.URL+"/good")))
	r := got.Load()
	require.Equal(t, `{"id":"ev_1"}`, r.body)
	require.Equal(t, "ev_1", r.header.Get("webhook-id"))
	require.Equal(t, "application/json; charset=utf-8", r.header.Get("Content-Type"))
	sent, err := strconv.ParseInt(r.header.Get("webhook-timestamp"), 10, 64)
	require.NoError(t, err)
	want, err := Sign([]string{testSecret}, "ev_1", time.Unix(sent, 0), []byte(r.body))
	require.NoError(t, err)
	require.Equal(t, want, r.header.Get("webhook-signature"))
	require.Empty(t, r.header.Get("Accept-Encoding"), "nothing is inflated")

	for _, tc := range []struct{ what, url, says string }{
		{"slow", plain.URL + "/slow", "300ms 内没有回答"},
		{"redirect", plain.URL + "/redirect", "跳转（307）"},
		{"endless headers", plain.URL + "/headers", "不是 HTTP"},
		{"garbage", garbage, "不是 HTTP"},
		{"hangs up", hangup, "中途断了"},
		{"not there", gone, "连不上"},
		{"untrusted certificate", secure.URL + "/good", "TLS 证书不可信"},
		{"plain to TLS", strings.Replace(secure.URL, "https", "http", 1) + "/good", "400"},
		{"TLS to plain", strings.Replace(plain.URL, "http", "https", 1) + "/good", "不是 HTTP"},
		{"unknown name", "http://nothing.invalid/", "解析不了"},
		{"inside", strings.Replace(plain.URL, "127.0.0.1", "localhost.", 1), ""},
		{"refused", strings.Replace(plain.URL, "127.0.0.1", "127.0.0.2", 1), "已拒绝"},
		{"metadata", "http://169.254.169.254/latest/meta-data/", "已拒绝"},
	} {
		r := try(at(tc.url))
		require.NotEmpty(t, r.problem, tc.what)
		require.Contains(t, r.problem, tc.says, tc.what)
		require.NotContains(t, r.problem, "topsecret", "an address is a secret")
	}
	require.False(t, followed.Load())
	// A 2xx is a success, whatever comes behind it, and nobody reads it all.
	began := time.Now()
	require.Equal(t, result{status: 200}, try(at(plain.URL+"/huge")))
	require.Equal(t, result{status: 200}, try(at(plain.URL+"/drip")))
	require.Less(t, time.Since(began), 2*time.Second)

	transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	transport.TLSClientConfig.RootCAs.AddCert(secure.Certificate())
	require.Equal(t, result{status: 200}, try(at(secure.URL+"/good")))
}

// tcpServer answers every connection with f and closes it; nil is a server
// that went away. It returns its address as a URL.
func tcpServer(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if f == nil {
		l.Close()
		return "http://" + l.Addr().String() + "/"
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 64<<10))
			f(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/"
}

// TestLoad runs a sender against a real server that refuses one item in ten
// twice, beside one that is down, and misses nothing.
func TestLoad(t *testing.T) {
	var mu sync.Mutex
	got := map[string]bool{}
	tries := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("webhook-id")
		tries[id]++
		if strings.HasSuffix(id, "3") && tries[id] < 3 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		got[id] = true
	}))
	defer server.Close()
	m := newMemory(webhook("up", server.URL), webhook("down", tcpServer(t, nil)))
	const items = 300
	for i := range items {
		m.add(waiting(fmt.Sprint("u", i), "up", time.Now()), waiting(fmt.Sprint("d", i), "down", time.Now()))
	}
	// The clock runs 300 times as fast, so that retries come within the test.
	began := time.Now()
	clock := func() time.Time { return began.Add(300 * time.Since(began)) }
	s, stop := running(t, m, Options{Guard: local(), Poll: 5 * time.Millisecond, Now: clock}, nil)
	defer stop()
	require.Eventually(t, func() bool { return m.count(StateDone) == items }, 8*time.Second, 5*time.Millisecond, "%+v", s)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, got, items)
}

func TestNewSender(t *testing.T) {
	_, err := NewSender(nil, Options{})
	require.Error(t, err)
	s, err := NewSender(newMemory(), Options{})
	require.NoError(t, err)
	require.Equal(t, 15*time.Second, s.o.Timeout)
	require.Equal(t, Stats{}, s.Stats())
	s.Wake()
	s.Wake() // never blocks
}
