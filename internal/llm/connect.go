package llm

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

// MaxResponse is how many bytes of one answer are read, framing included.
const MaxResponse = 1 << 20

var (
	errTooLarge = errors.New("response too large")
	errRedirect = errors.New("redirected")
)

// Connect makes the SDK client for a service. base is its address up to the
// version, as in https://api.example.com/v1; key may be empty. host names the
// service for Options.Host. transport may be nil.
func Connect(base, key string, transport http.RoundTripper) (chat *openai.Client, host string, err error) {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, "", fmt.Errorf("base_url %q 不是 http 或 https 地址，写成 https://主机/v1", short(base, 100))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, "", errors.New("base_url 里不能有用户名、密码、? 或 #；密钥放进环境变量，用 key_env 指明")
	}
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost = 16
		transport = own
	}
	config := openai.DefaultConfig(key)
	config.BaseURL = strings.TrimRight(base, "/")
	config.EmptyMessagesLimit = MaxResponse // the size is limited below, and time by the watchdog
	config.HTTPClient = doer{&http.Client{
		Transport: transport,
		// A redirect would carry the conversation to a place nobody has named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}}
	return openai.NewClientWithConfig(config), u.Host + strings.TrimRight(u.Path, "/"), nil
}

// headerNote brings home a header of the response: the SDK's errors have none.
type headerNote struct{ retryAfter time.Duration }

type noteKey struct{}

// doer limits the size of responses.
type doer struct{ client *http.Client }

func (d doer) Do(req *http.Request) (*http.Response, error) {
	resp, err := d.client.Do(req)
	if err != nil {
		if resp != nil {
			resp.Body.Close()
		}
		return nil, err
	}
	if note, ok := req.Context().Value(noteKey{}).(*headerNote); ok {
		note.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	resp.Body = &limitedBody{body: resp.Body, left: MaxResponse}
	return resp, nil
}

// limitedBody fails, instead of ending, at its limit. It closes itself at the
// end of the text, because the SDK does not close what it read an error from.
type limitedBody struct {
	body io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if b.left -= int64(n); b.left < 0 {
		err = errTooLarge
	}
	if err != nil {
		b.body.Close()
	}
	return n, err
}

func (b *limitedBody) Close() error { return b.body.Close() }

// retryAfter reads the header of that name: seconds or a date; 0 for none.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		if !(seconds > 0) {
			return 0
		}
		return time.Duration(min(seconds, 86400) * float64(time.Second))
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
