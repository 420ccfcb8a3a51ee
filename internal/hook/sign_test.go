package hook

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSign holds the test vector of the Standard Webhooks reference libraries
// (github.com/standard-webhooks/standard-webhooks, libraries/go, TestWebhookSign),
// and values computed by Python's hmac.
func TestSign(t *testing.T) {
	got, err := Sign([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", got)

	// Two secrets while a receiver changes over: the newest first.
	got, err = Sign([]string{testSecret, "whsec_b29vb29vb29vb29vb29vb29vb29vb29v"}, "evt_1", time.Unix(1700000000, 999), []byte(`{"文":"字"}`))
	require.NoError(t, err)
	require.Equal(t, "v1,TtmIgQBDYt/9MwDaCg+L0r6sDupeiz32+RDH1T7RMpw= v1,P4Qcczk0ysz0xoSjdGTvqm+gnE3ZKhs6cOhAFwV/TBA=", got)

	for _, bad := range [][]string{nil, {}, {""}, {"whsec_"}, {"whsec_%%%"}} {
		_, err = Sign(bad, "m", time.Unix(1, 0), nil)
		require.Error(t, err, "%q", bad)
		require.NotContains(t, err.Error(), "%%%")
	}
	require.NotEqual(t, NewSecret(), NewSecret())
	key, err := secretKey(NewSecret())
	require.NoError(t, err)
	require.Len(t, key, 32)
}

// TestRobotSigns holds values computed by Python's hmac as the documentation
// of 钉钉 and 飞书 shows it.
func TestRobotSigns(t *testing.T) {
	timestamp, sign := signDingTalk("SEC0123456789abcdef", time.UnixMilli(1700000000123))
	require.Equal(t, "1700000000123", timestamp)
	require.Equal(t, "V9VP5gL2WDsEZvZQHnbd9k4n+p56ibcLMh+WKMZRQas=", sign)
	timestamp, sign = signFeishu("feishu-secret-1", time.Unix(1700000000, 0))
	require.Equal(t, "1700000000", timestamp)
	require.Equal(t, "O+NhcBzGQTPcmDxsV+GPHkM1FmChG6fUDNuJCOKB2pM=", sign)
}

func TestRequest(t *testing.T) {
	now := time.Unix(1700000000, 123_000_000)
	it := waiting("1", "e1", now)
	it.Payload = []byte(`{"msg_type":"interactive"}`)

	req, err := request(&Endpoint{Kind: KindDingTalk, URL: "https://robot.example/send?access_token=abc", Secret: []byte("SEC0123456789abcdef")}, &it, now)
	require.NoError(t, err)
	require.Equal(t, "abc", req.URL.Query().Get("access_token"))
	require.Equal(t, "1700000000123", req.URL.Query().Get("timestamp"))
	require.Equal(t, "V9VP5gL2WDsEZvZQHnbd9k4n+p56ibcLMh+WKMZRQas=", req.URL.Query().Get("sign"))
	require.Empty(t, req.Header.Get("webhook-signature"))

	req, err = request(&Endpoint{Kind: KindFeishu, URL: "https://robot.example/hook/x", Secret: []byte("feishu-secret-1")}, &it, now)
	require.NoError(t, err)
	body := new(strings.Builder)
	require.NoError(t, req.Write(body))
	require.Contains(t, body.String(), `{"timestamp":"1700000000","sign":"O+NhcBzGQTPcmDxsV+GPHkM1FmChG6fUDNuJCOKB2pM=","msg_type":"interactive"}`)

	req, err = request(&Endpoint{Kind: KindWeCom, URL: "https://robot.example/send?key=k"}, &it, now)
	require.NoError(t, err)
	require.Equal(t, "https://robot.example/send?key=k", req.URL.String())
	require.Equal(t, http.MethodPost, req.Method)
}
