package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Sign returns the header webhook-signature of the Standard Webhooks
// specification (section "Signature scheme"): "v1," and the base64 of the
// HMAC-SHA256 of "id.timestamp.body", one for each secret, with spaces between.
// at must be the time of this attempt, in the header webhook-timestamp.
func Sign(secrets []string, id string, at time.Time, body []byte) (string, error) {
	if len(secrets) == 0 {
		return "", errors.New("没有签名密钥，请给接收地址设置一个 whsec_ 密钥")
	}
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		key, err := secretKey(s)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}

// secretKey returns the bytes of a whsec_ secret. The error does not quote it.
func secretKey(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil || len(key) == 0 {
		return nil, errors.New("签名密钥不是 whsec_ 加 base64 的形式，请重新生成")
	}
	return key, nil
}

// signDingTalk returns the query parameters timestamp and sign of 钉钉 custom
// robots. Source: 钉钉开放平台《自定义机器人安全设置》, 加签: milliseconds, the
// secret as key over "timestamp\nsecret"; an hour at most may pass until it arrives.
func signDingTalk(secret string, at time.Time) (timestamp, sign string) {
	timestamp = strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "\n" + secret))
	return timestamp, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// signFeishu returns the fields timestamp and sign of 飞书 custom bots. Source:
// 飞书开放平台《自定义机器人使用指南》, 签名校验: seconds, and "timestamp\nsecret"
// is the key over an empty message, unlike 钉钉.
func signFeishu(secret string, at time.Time) (timestamp, sign string) {
	timestamp = strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(timestamp+"\n"+secret))
	return timestamp, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
