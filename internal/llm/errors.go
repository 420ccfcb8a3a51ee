package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	openai "github.com/sashabaranov/go-openai"

	"github.com/qingting-ai/qingting/internal/text"
)

// The codes of failures. They are stable.
const (
	CodeTimeout     = "llm_timeout"      // no answer in time, or a stream that stalled
	CodeRateLimited = "llm_rate_limited" // 429
	CodeUnavailable = "llm_unavailable"  // network, 5xx, or what answers does not speak the protocol
	CodeBadJSON     = "llm_bad_json"     // not JSON, or not of the schema, also after a repair
	CodeBadLabel    = "llm_bad_label"    // a code that is not in the label guide, also after a repair
	CodeBudget      = "llm_budget"       // the budget is spent
	CodeRefused     = "llm_refused"      // the model, or a filter before it, will not answer
	CodeTruncated   = "llm_truncated"    // the answer reached max_tokens
	CodeTooLarge    = "llm_too_large"    // the answer is beyond MaxResponse
	CodeTooLong     = "llm_too_long"     // the conversation is beyond the model's context
	CodeConfig      = "llm_config"       // the service refuses the request: wrong model, address or parameter
	CodeAuth        = "llm_auth"         // the service refuses the key
	CodeNotRecorded = "llm_not_recorded" // replay has no answer for the key
	CodeCache       = "llm_cache"        // the recording cannot be read or written
)

// Error is a failed call. Its message never holds a key and never quotes the
// customer unmasked. It does not unwrap: what lies below may do both.
type Error struct {
	Code    string // one of the codes above
	Message string // Chinese: what is wrong and what to do
	Status  int    // HTTP status, 0 for none

	again       bool          // another try may help
	after       time.Duration // how long the service wants to be left alone
	formatDoubt bool          // the format of the answer may be what is refused
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Message + "（" + e.Code + "）"
}

// ErrorCode returns the stable code.
func (e *Error) ErrorCode() string { return e.Code }

func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return "failed"
}

func (c *Client) fail(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf("模型 %s：", c.o.Model) + fmt.Sprintf(format, args...)}
}

// errNoChoice is an answer of the right form without an answer in it.
var errNoChoice = errors.New("no choice")

// classify names what went wrong with a call. ctx is that of the call.
func (c *Client) classify(ctx context.Context, err error, after time.Duration) *Error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(err, errTooLarge):
		return c.fail(CodeTooLarge, "服务的回答超过 %d 字节，已停止接收", MaxResponse)
	case errors.Is(err, errRedirect):
		return c.fail(CodeConfig, "服务要求转到别的地址；会话内容不会跟着走，请把 base_url 写成最终的地址")
	case errors.Is(err, errStall):
		return c.fail(CodeTimeout, "回答中途停住了（开头等 %s，中间等 %s）", c.o.FirstToken, c.o.Stall)
	case errors.Is(cause, errTimeout):
		return c.fail(CodeTimeout, "%s 内没有答完：提高 timeout，或换快一些的服务", c.o.Timeout)
	case ctx.Err() != nil:
		return c.fail(CodeTimeout, "调用被中断")
	case errors.Is(err, openai.ErrChatCompletionInvalidModel), errors.Is(err, openai.ErrReasoningModelLimitationsOther):
		return c.fail(CodeConfig, "这个模型不接受这样的请求（名字或 temperature），请检查 model 和参数")
	}
	if status, message, code := refusedBy(err); status > 0 || message != "" || code != "" {
		return c.classifyStatus(status, message, code, after)
	}
	var syntax *json.SyntaxError
	var form *json.UnmarshalTypeError
	if errors.Is(err, errNoChoice) || errors.As(err, &syntax) || errors.As(err, &form) {
		return c.fail(CodeUnavailable, "服务的回答不是 OpenAI 协议的格式：检查 base_url（通常以 /v1 结尾）")
	}
	e := c.fail(CodeUnavailable, "连不上服务，或连接中途断了：检查 base_url 和网络")
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		e = c.fail(CodeUnavailable, "连接中途断了，回答不完整")
	}
	e.again = true
	return e
}

// refusedBy takes apart the SDK's two errors for an HTTP status. A RequestError
// is looked at first: it may wrap an APIError that was never filled in.
func refusedBy(err error) (status int, message, code string) {
	var raw *openai.RequestError
	if errors.As(err, &raw) {
		// Some services answer {"error":"…"}, others {"message":"…"}, others HTML.
		var body struct {
			Error   json.RawMessage `json:"error"`
			Message string          `json:"message"`
			Detail  json.RawMessage `json:"detail"`
		}
		if json.Unmarshal(raw.Body, &body) == nil {
			message = strings.TrimSpace(body.Message + " " + string(body.Error) + " " + string(body.Detail))
		}
		return raw.HTTPStatusCode, message, ""
	}
	var api *openai.APIError
	if errors.As(err, &api) {
		code = api.Type
		if api.Code != nil {
			code = fmt.Sprint(api.Code) + " " + code
		}
		if api.InnerError != nil {
			code += " " + api.InnerError.Code
		}
		return api.HTTPStatusCode, api.Message, strings.TrimSpace(code)
	}
	return 0, "", ""
}

func (c *Client) classifyStatus(status int, message, code string, after time.Duration) *Error {
	lower := strings.ToLower(code + " " + message)
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(lower, w) })
	}
	var e *Error
	switch {
	case says("response_format", "json_schema", "json_object"):
		// Not every service calls this a bad request: llama_cpp.server says 500.
		e = c.fail(CodeConfig, "服务不支持这种输出格式（HTTP %d）%s：把 format 改成 json_object 或 plain", status, c.quote(message))
		e.formatDoubt = true
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		// Some services quote the key in their message, so it is left out.
		e = c.fail(CodeAuth, "服务不接受密钥（HTTP %d）：检查 key_env 指的环境变量", status)
	case status == http.StatusTooManyRequests && says("insufficient_quota"):
		e = c.fail(CodeRateLimited, "服务方的额度用完了（HTTP 429）")
	case status == http.StatusTooManyRequests || status == 0 && says("rate_limit"):
		e = c.fail(CodeRateLimited, "调用太频繁（HTTP 429）：降低 concurrency，或等一会儿")
		e.again = true
	case status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented || status == 0:
		e = c.fail(CodeUnavailable, "服务出错（HTTP %d）%s", status, c.quote(message))
		e.again = true
	case says("content_filter", "content_policy", "data_inspection", "responsibleai", "sensitive"):
		e = c.fail(CodeRefused, "服务方的内容审查拒绝了这段会话（HTTP %d）", status)
	case status == http.StatusRequestEntityTooLarge || says("context_length", "context length", "maximum context", "context window", "too many tokens", "too long"):
		e = c.fail(CodeTooLong, "会话比模型能读的长（HTTP %d）：换上下文更长的模型", status)
	default:
		e = c.fail(CodeConfig, "服务不接受请求（HTTP %d）%s：检查 base_url、model 和参数", status, c.quote(message))
		e.formatDoubt = status == http.StatusBadRequest || status == http.StatusUnprocessableEntity || status == http.StatusNotImplemented
	}
	e.Status, e.after = status, after
	return e
}

// quote makes what a service said fit for a log: short, without keys, without
// personal data that it may have quoted from the request.
func (c *Client) quote(message string) string {
	message = strings.Join(strings.Fields(strings.ToValidUTF8(message, "")), " ")
	if message == "" {
		return ""
	}
	message, _ = text.Mask(scrub(message, c.o.Secrets))
	return "，说：" + short(message, 200)
}

// short cuts a text to n characters.
func short(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n]) + "…"
}

// scrub takes secrets out of a text.
func scrub(s string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) >= 4 {
			s = strings.ReplaceAll(s, secret, "[密钥]")
		}
	}
	return s
}
