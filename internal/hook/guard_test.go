package hook

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/qingting-ai/qingting"
)

func TestGuardAddresses(t *testing.T) {
	for _, tc := range []struct {
		what, addr string
		ok         bool
	}{
		{"public", "1.1.1.1:443", true},
		{"public, unprivileged port", "8.8.8.8:8443", true},
		{"public, plain port", "8.8.8.8:80", true},
		{"mail port", "8.8.8.8:25", false},
		{"ssh port", "8.8.8.8:22", false},
		{"public IPv6", "[2606:4700:4700::1111]:443", true},
		{"loopback", "127.0.0.1:443", false},
		{"loopback, elsewhere", "127.255.1.2:443", false},
		{"unspecified", "0.0.0.0:443", false},
		{"this network", "0.1.2.3:443", false},
		{"private 10", "10.0.0.1:443", false},
		{"private 172", "172.31.255.255:443", false},
		{"beside private 172", "172.32.0.1:443", true},
		{"private 192", "192.168.1.1:443", false},
		{"shared, CGNAT", "100.64.0.1:443", false},
		{"metadata of 阿里云", "100.100.100.200:80", false},
		{"beside CGNAT", "100.128.0.1:443", true},
		{"link-local", "169.254.1.1:443", false},
		{"metadata", "169.254.169.254:80", false},
		{"metadata of 腾讯云", "169.254.0.23:80", false},
		{"metadata of Azure", "168.63.129.16:80", false},
		{"metadata of Oracle", "192.0.0.192:80", false},
		{"benchmark", "198.19.0.1:443", false},
		{"documentation", "203.0.113.7:443", false},
		{"multicast", "224.0.0.1:443", false},
		{"reserved", "240.0.0.1:443", false},
		{"broadcast", "255.255.255.255:443", false},
		{"IPv6 loopback", "[::1]:443", false},
		{"IPv6 unspecified", "[::]:443", false},
		{"IPv6 link-local", "[fe80::1]:443", false},
		{"IPv6 link-local with zone", "[fe80::1%eth0]:443", false},
		{"public IPv6 with zone", "[2606:4700:4700::1111%eth0]:443", false},
		{"IPv6 unique local", "[fd00:ec2::254]:80", false},
		{"IPv6 site-local", "[fec0::1]:443", false},
		{"IPv6 multicast", "[ff02::1]:443", false},
		{"IPv6 documentation", "[2001:db8::1]:443", false},
		{"IPv6 documentation, new", "[3fff::1]:443", false},
		{"mapped loopback", "[::ffff:127.0.0.1]:443", false},
		{"mapped private", "[::ffff:10.1.2.3]:443", false},
		{"mapped metadata", "[::ffff:a9fe:a9fe]:80", false},
		{"mapped public", "[::ffff:1.1.1.1]:443", true},
		{"compatible loopback", "[::127.0.0.1]:443", false},
		{"NAT64 of private", "[64:ff9b::10.0.0.1]:443", false},
		{"NAT64 of metadata", "[64:ff9b::a9fe:a9fe]:80", false},
		{"NAT64 of public", "[64:ff9b::1.1.1.1]:443", true},
		{"local NAT64", "[64:ff9b:1::1.1.1.1]:443", false},
		{"6to4 of private", "[2002:c0a8:0101::1]:443", false},
		{"6to4 of loopback", "[2002:7f00:0001::]:443", false},
		{"6to4 of public", "[2002:0101:0101::1]:443", true},
		{"Teredo", "[2001:0:7f00:1::1]:443", false},
		{"a name", "localhost:443", false},
		{"nothing", "", false},
	} {
		t.Run(tc.what, func(t *testing.T) {
			err := (&Guard{}).Control("tcp", tc.addr, nil)
			if tc.ok {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrRefused)
			}
		})
	}
	require.ErrorIs(t, (&Guard{}).Control("udp", "1.1.1.1:443", nil), ErrRefused)
}

func TestGuardAllow(t *testing.T) {
	g := &Guard{Allow: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16"), netip.MustParsePrefix("fd12::/16")}}
	for addr, ok := range map[string]bool{
		"10.8.3.4:443": true, "10.9.3.4:443": false, "[::ffff:10.8.3.4]:8080": true, "[64:ff9b::10.8.3.4]:443": true,
		"[fd12::1]:443": true, "[fd13::1]:443": false, "127.0.0.1:443": false, "10.8.3.4:22": false,
	} {
		require.Equal(t, ok, g.Control("tcp", addr, nil) == nil, addr)
	}
}

func TestGuardCheck(t *testing.T) {
	for _, tc := range []struct {
		url  string
		says string // "" is fine
	}{
		{"https://hooks.example.com/qingting", ""},
		{"https://hooks.example.com:8443/a?b=c", ""},
		{"https://例子.中国/回调", ""},
		{"https://1.1.1.1/", ""},
		{"http://hooks.example.com/", "必须用 https"},
		{"ftp://hooks.example.com/", "https:// 开头"},
		{"file:///etc/passwd", "https:// 开头"},
		{"//hooks.example.com", "https:// 开头"},
		{"", "https:// 开头"},
		{"https://", "没有主机名"},
		{"https://:443/", "没有主机名"},
		{"https://user:pass@hooks.example.com/", "用户名和密码"},
		{"https://hooks.example.com@127.0.0.1/", "用户名和密码"},
		{"https://hooks.example.com/#x", "#"},
		{"https://hooks.example.com:25/", "端口 25"},
		{"https://hooks.example.com:0/", "端口 0"},
		{"https://hooks.example.com:99999/", "端口 99999"},
		{"https://127.0.0.1/", "已拒绝"},
		{"https://[::1]/", "已拒绝"},
		{"https://[::ffff:169.254.169.254]/", "已拒绝"},
		{"https://[fe80::1%25eth0]/", "已拒绝"},
		{"https://exa mple.com/", "不是合法的 URL"},
		{"https://hooks.example.com/\x00", "不是合法的 URL"},
		{"https://h.example.com/" + strings.Repeat("长", 700), "超过"},
	} {
		err := (&Guard{}).Check(tc.url)
		if tc.says == "" {
			require.NoError(t, err, tc.url)
			continue
		}
		var in *qingting.InputError
		require.ErrorAs(t, err, &in, tc.url)
		require.Contains(t, err.Error(), tc.says, tc.url)
	}
	require.NoError(t, (&Guard{HTTP: true}).Check("http://hooks.example.com/"))
}

// zone is a name server on loopback. Each name has one answer after another;
// the last one stays.
type zone struct {
	mu      sync.Mutex
	answers map[string][][]string
	asked   map[string]int
}

func (z *zone) serve(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			m.Response, m.Authoritative, m.RecursionAvailable = true, true, true
			m.Answers, m.Additionals = z.answer(m.Questions[0]), nil
			if out, err := m.Pack(); err == nil {
				conn.WriteTo(out, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z *zone) answer(q dnsmessage.Question) []dnsmessage.Resource {
	z.mu.Lock()
	defer z.mu.Unlock()
	name := strings.TrimSuffix(q.Name.String(), ".")
	rounds := z.answers[name]
	if len(rounds) == 0 {
		return nil
	}
	round := min(z.asked[name], len(rounds)-1)
	if q.Type == dnsmessage.TypeA {
		z.asked[name]++ // A and AAAA are asked for together
	}
	var out []dnsmessage.Resource
	for _, s := range rounds[round] {
		a := netip.MustParseAddr(s)
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 0}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			out = append(out, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			out = append(out, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return out
}

// TestGuardNames holds that a name is judged by the address it resolves to, at
// the time of connecting.
func TestGuardNames(t *testing.T) {
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		w.Header().Set("Connection", "close")
	}))
	defer server.Close()
	at, err := url.Parse(server.URL)
	require.NoError(t, err)
	z := &zone{asked: map[string]int{}, answers: map[string][][]string{
		"allowed.example":  {{"127.0.0.1"}},
		"private.example":  {{"10.0.0.7"}},
		"loop.example":     {{"127.0.0.2"}},
		"six.example":      {{"::1"}},
		"mapped.example":   {{"::ffff:127.0.0.2"}},
		"metadata.example": {{"169.254.169.254"}},
		"mixed.example":    {{"192.168.0.9", "127.0.0.2"}},
		"rebind.example":   {{"127.0.0.1"}, {"127.0.0.2"}},
	}}
	// 127.0.0.1 stands for the public internet; the server listens there.
	g := &Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, HTTP: true, Resolver: z.serve(t)}
	transport := g.Transport()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	get := func(host string) error {
		raw := "http://" + host + ":" + at.Port() + "/"
		require.NoError(t, g.Check(raw), "the name alone says nothing")
		resp, err := client.Get(raw)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return err
	}
	require.NoError(t, get("allowed.example"))
	require.EqualValues(t, 1, reached.Load())
	for _, host := range []string{"private.example", "loop.example", "six.example", "mapped.example", "metadata.example", "mixed.example", "localtest.example"} {
		err := get(host)
		require.Error(t, err, host)
		var dns *net.DNSError
		if host != "localtest.example" {
			require.ErrorIs(t, err, ErrRefused, host)
		} else {
			require.True(t, errors.As(err, &dns), "unknown name: %v", err)
		}
	}
	// The name passes once and then points inside.
	require.NoError(t, get("rebind.example"))
	require.ErrorIs(t, get("rebind.example"), ErrRefused)
	require.EqualValues(t, 2, reached.Load(), "nothing else connected")
}

// TestGuardNoProxy holds that the environment cannot route deliveries around
// the guard.
func TestGuardNoProxy(t *testing.T) {
	require.Nil(t, (&Guard{}).Transport().Proxy)
}

func TestEndpointCheck(t *testing.T) {
	good := webhook("e1", "https://hooks.example.com/")
	require.NoError(t, good.Check(&Guard{}))
	for _, tc := range []struct {
		says   string
		change func(*Endpoint)
	}{
		{"kind 不认识", func(e *Endpoint) { e.Kind = "slack" }},
		{"kind 不认识", func(e *Endpoint) { e.Kind = "" }},
		{"缺少签名密钥", func(e *Endpoint) { e.Secret = nil }},
		{"whsec_", func(e *Endpoint) { e.Secret = []byte("hunter2") }},
		{"whsec_", func(e *Endpoint) { e.Secret = []byte("whsec_c2hvcnQ=") }},
		{"whsec_", func(e *Endpoint) { e.Secret = []byte(testSecret + " whsec_!") }},
		{"最多一个", func(e *Endpoint) { e.Kind = KindDingTalk; e.Secret = []byte("SECa SECb") }},
		{"没有这种事件", func(e *Endpoint) { e.Events = []qingting.EventType{"alert.raise"} }},
		{"没有这种事件", func(e *Endpoint) { e.Events = []qingting.EventType{qingting.EventPartial} }},
		{"只接收 alert.raised", func(e *Endpoint) {
			e.Kind, e.Secret = KindFeishu, nil
			e.Events = []qingting.EventType{qingting.EventMessage}
		}},
		{"必须用 https", func(e *Endpoint) { e.URL = "http://hooks.example.com/" }},
	} {
		e := good
		tc.change(&e)
		err := e.Check(&Guard{})
		require.ErrorIs(t, err, qingting.ErrInvalid, tc.says)
		require.Contains(t, err.Error(), tc.says)
		require.NotContains(t, err.Error(), "hunter2")
	}
	rotating := good
	rotating.Secret = []byte(NewSecret() + " " + testSecret)
	require.NoError(t, rotating.Check(&Guard{}))
}
