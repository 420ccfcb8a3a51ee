package hook

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/qingting-ai/qingting"
)

// ErrRefused is a connection to an address that endpoints may not have.
var ErrRefused = errors.New("接收地址指向本机、内网或保留的网络地址，已拒绝连接；确有需要时请管理员把该网段列入允许名单")

// Guard decides where deliveries may connect to. Names are judged by what they
// resolve to, at the moment of connecting, so that a name that changes its mind
// between check and use gains nothing. The zero value allows https to public
// addresses only. It may be used concurrently.
type Guard struct {
	// Allow are networks that may be reached although they are not public.
	Allow []netip.Prefix
	// HTTP allows URLs without TLS.
	HTTP bool
	// Resolver looks names up; nil means that of the system.
	Resolver *net.Resolver
}

// maxURL bounds an endpoint's URL in bytes.
const maxURL = 2_048

// Check says in Chinese what is wrong with an endpoint's URL, as an
// *qingting.InputError; it looks no name up.
func (g *Guard) Check(raw string) error {
	bad := func(format string, args ...any) error {
		return &qingting.InputError{Code: "bad_url", Message: fmt.Sprintf(format, args...), Where: "url"}
	}
	if len(raw) > maxURL {
		return bad("地址超过 %d 个字节，请缩短", maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil { // err quotes the URL, which is a secret
		return bad("地址不是合法的 URL，请检查有没有空格或多余的符号")
	}
	switch {
	case u.Scheme == "http" && !g.HTTP:
		return bad("地址必须用 https；内网测试可由管理员在配置里允许 http")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("地址必须以 https:// 开头")
	case u.User != nil:
		return bad("地址里不能带用户名和密码（@ 之前的部分），请去掉")
	case u.Hostname() == "":
		return bad("地址里没有主机名")
	case u.Fragment != "":
		return bad("地址里不能有 # 和它后面的部分")
	}
	if p := u.Port(); p != "" {
		port, err := strconv.ParseUint(p, 10, 16)
		if err != nil || !allowedPort(uint16(port)) {
			return bad("端口 %s 不能用，可用 443、80 或 1024 以上的端口", p)
		}
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !g.allows(addr) {
		return bad("%s", ErrRefused.Error())
	}
	return nil
}

// allowedPort refuses the well-known ports of other protocols.
func allowedPort(p uint16) bool { return p == 443 || p == 80 || p >= 1024 }

// Control is a net.Dialer's: it refuses the address a name resolved to.
func (g *Guard) Control(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") || !allowedPort(at.Port()) || !g.allows(at.Addr()) {
		return ErrRefused
	}
	return nil
}

// allows reports whether an address may be connected to.
func (g *Guard) allows(a netip.Addr) bool {
	if a.Zone() != "" {
		return false // link-local, and no prefix contains it
	}
	a = a.Unmap()
	if slices.ContainsFunc(g.Allow, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return true
	}
	if inner, ok := embedded(a); ok {
		return g.allows(inner)
	}
	if a.Is4() {
		return !slices.ContainsFunc(special4, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return public6.Contains(a) && !slices.ContainsFunc(special6, func(p netip.Prefix) bool { return p.Contains(a) })
}

// What is not the public internet, from the IANA special-purpose address
// registries (RFC 6890 and its updates), multicast and the addresses reserved
// for later use included. Metadata services of clouds lie in 169.254/16,
// 100.64/10 and 192.0.0/24; the one of Azure has a public address.
var (
	special4 = prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
		"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"168.63.129.16/32")
	// public6 is all that is given out of IPv6; loopback, unspecified, private,
	// link-local and multicast lie outside.
	public6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20")
	nat64    = netip.MustParsePrefix("64:ff9b::/96")
	sixToIV  = netip.MustParsePrefix("2002::/16")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// embedded returns the IPv4 address that NAT64 (RFC 6052) or 6to4 (RFC 3056)
// would carry the packets to.
func embedded(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case !a.Is6():
		return netip.Addr{}, false
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToIV.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// Transport returns an http.Transport that connects to what the guard allows,
// uses no proxy and inflates nothing. The caller closes its idle connections.
func (g *Guard) Transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: g.Control, Resolver: g.Resolver}
	return &http.Transport{
		Proxy:                  nil, // a proxy would connect for us, unguarded
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        30 * time.Second,
	}
}

// Check says in Chinese what is wrong with the endpoint, as an
// *qingting.InputError.
func (e *Endpoint) Check(g *Guard) error {
	bad := func(code, where, message string) error {
		return &qingting.InputError{Code: code, Message: message, Where: where}
	}
	switch e.Kind {
	case KindWebhook:
		if len(e.secrets()) == 0 {
			return bad("no_secret", "secret", "缺少签名密钥，请生成一个 whsec_ 密钥")
		}
		for _, s := range e.secrets() {
			// 24 to 64 bytes are what the specification asks for.
			if key, err := secretKey(s); err != nil || !strings.HasPrefix(s, secretPrefix) || len(key) < 24 || len(key) > 64 {
				return bad("bad_secret", "secret", "签名密钥应当是 whsec_ 加 24 到 64 个字节的 base64，请重新生成")
			}
		}
	case KindWeCom, KindDingTalk, KindFeishu:
		if len(e.secrets()) > 1 {
			return bad("bad_secret", "secret", "群机器人最多一个签名密钥")
		}
	default:
		return bad("unknown_kind", "kind", "kind 不认识，只能是 webhook、wecom、dingtalk 或 feishu")
	}
	for i, t := range e.Events {
		if !slices.Contains(eventTypes, t) {
			return bad("unknown_event", fmt.Sprintf("events[%d]", i), "没有这种事件，可选："+joinTypes())
		}
		if e.Kind.Robot() && t != qingting.EventAlertRaised {
			return bad("unknown_event", fmt.Sprintf("events[%d]", i), "群机器人只接收 alert.raised")
		}
	}
	return g.Check(e.URL)
}

// eventTypes are the events that leave the service; unfinished ASR results do not.
var eventTypes = []qingting.EventType{
	qingting.EventMessage, qingting.EventAnalysis, qingting.EventConversation, qingting.EventAlertRaised,
	qingting.EventAlertChanged, qingting.EventPromise, qingting.EventCase,
}

func joinTypes() string {
	names := make([]string, len(eventTypes))
	for i, t := range eventTypes {
		names[i] = string(t)
	}
	return strings.Join(names, "、")
}
