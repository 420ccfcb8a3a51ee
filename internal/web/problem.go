package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/internal/live"
	"github.com/qingting-ai/qingting/internal/store"
	"github.com/qingting-ai/qingting/internal/transcript"
)

// Problem is an error as clients see it (RFC 9457). Code is stable; Detail is
// a Chinese sentence and never repeats what the customer wrote.
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Code     string `json:"code"`
	Instance string `json:"instance,omitempty"`
	Pointer  string `json:"pointer,omitempty"` // field of the body: messages[3].role
	Line     int    `json:"line,omitempty"`    // of the body, from 1
	Column   int    `json:"column,omitempty"`  // character of the line, from 1
	Offset   *int64 `json:"offset,omitempty"`  // byte of the body, from 0

	retry time.Duration // of a 429 or 503; 0 is a second
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

func problem(status int, code, format string, args ...any) *Problem {
	return &Problem{Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

var (
	errInternal = problem(http.StatusInternalServerError, "internal", "服务内部出错，请把 instance 里的编号告诉管理员")
	errBusy     = problem(http.StatusServiceUnavailable, "busy", "正在分析的会话太多，请稍后重试")
	errUnknown  = problem(http.StatusUnauthorized, "unauthenticated", "请先登录，或在 Authorization 里给出有效的 API 密钥")
	errOff      = problem(http.StatusServiceUnavailable, "not_configured", "这个服务没有启用这项功能")
	errCursor   = problem(http.StatusBadRequest, "bad_parameter", "cursor 不对，请用上一页给出的 next_cursor，或不填从头读")
	errTimeout  = problem(http.StatusServiceUnavailable, "timeout", "没有在 10 秒内分析完，请把会话拆短或稍后重试")
)

func titleOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "请求无法解析"
	case http.StatusRequestTimeout:
		return "请求太慢"
	case http.StatusUnauthorized:
		return "需要登录"
	case http.StatusConflict:
		return "有冲突"
	case http.StatusTooManyRequests:
		return "请求太多"
	case http.StatusForbidden:
		return "不允许"
	case http.StatusNotFound:
		return "找不到"
	case http.StatusMethodNotAllowed:
		return "方法不支持"
	case http.StatusRequestEntityTooLarge:
		return "内容太长"
	case http.StatusUnsupportedMediaType:
		return "内容类型不支持"
	case http.StatusUnprocessableEntity:
		return "内容不符合要求"
	case http.StatusServiceUnavailable:
		return "暂时无法处理"
	case http.StatusMisdirectedRequest:
		return "访问地址不对"
	}
	return "服务内部出错"
}

// fail answers with the problem that an error stands for.
func (s *Server) fail(c *gin.Context, err error) {
	p := s.problemOf(c.Request.Context(), err)
	s.complete(c, &p)
	c.Header("Content-Type", p.ContentType(""))
	c.Status(p.Status)
	_ = Encode(c.Writer, p, false) // strings and numbers: an error is a client that has gone
}

// complete adds what every problem has.
func (s *Server) complete(c *gin.Context, p *Problem) *Problem {
	p.Type = "urn:qingting:problem:" + p.Code
	p.Title = titleOf(p.Status)
	p.Instance = "urn:qingting:request:" + c.GetString(requestID)
	switch p.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		c.Header("Retry-After", strconv.Itoa(max(1, int(math.Ceil(p.retry.Seconds())))))
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", `Bearer realm="qingting"`)
	}
	return p
}

// problemOf copies: the shared ones must not be changed.
func (s *Server) problemOf(ctx context.Context, err error) Problem {
	var (
		known     *Problem
		in        *qingting.InputError
		place     *transcript.Error
		large     *http.MaxBytesError
		throttled *access.ThrottledError
	)
	switch {
	case errors.As(err, &known):
		return *known
	case errors.As(err, &large):
		return *problem(http.StatusRequestEntityTooLarge, "body_too_large", "请求体超过 %d MiB；更长的记录请用 qingting triage 在命令行处理", MaxBody>>20)
	case errors.As(err, &in):
		p := *problem(statusOf(in), in.Code, "%s", in.Error())
		p.Pointer = in.Where
		if errors.As(err, &place) {
			p.Line, p.Column = place.Line, place.Column
			p.Detail = place.Error()
			if place.Offset >= 0 {
				p.Offset = &place.Offset
				p.Detail = fmt.Sprintf("请求体第 %d 个字节（偏移 %d）不是有效的编码；请发送 UTF-8，或在 Content-Type 里写明 charset", place.Offset+1, place.Offset)
			}
		}
		return p
	case errors.As(err, &throttled):
		p := *problem(http.StatusTooManyRequests, "too_many_logins", "登录尝试太多，请 %d 分钟后再试", int(math.Ceil(throttled.Retry.Minutes())))
		p.retry = throttled.Retry
		return p
	case errors.Is(err, access.ErrDenied):
		return *errUnknown
	case errors.Is(err, access.ErrTaken):
		return *problem(http.StatusConflict, "already_exists", "这个编号或登录名已经有人用了，请换一个")
	case errors.Is(err, live.ErrState):
		return *problem(http.StatusConflict, "wrong_state", "现在的状态不能这样做：可能已被别人认领或结束，请重新读取")
	case errors.Is(err, live.ErrBusy):
		return *errBusy
	case errors.Is(err, live.ErrClosed):
		return *problem(http.StatusServiceUnavailable, "draining", "服务正在停止")
	case errors.Is(err, store.ErrConflict):
		return *problem(http.StatusConflict, "conflict", "和已保存的内容冲突：可能刚被别人改过，请重新读取后再试")
	case errors.Is(err, store.ErrBusy):
		return *problem(http.StatusServiceUnavailable, "busy", "等待写入的请求太多，请稍后重试")
	case errors.Is(err, store.ErrUnavailable):
		return *problem(http.StatusServiceUnavailable, "storage_unavailable", "数据暂时写不进去（磁盘已满、只读或被占用），这次没有保存，请稍后重试；查询不受影响")
	case errors.Is(err, qingting.ErrNotFound):
		return *problem(http.StatusNotFound, "not_found", "没有这个编号，或者您无权查看")
	case errors.Is(err, context.DeadlineExceeded):
		return *errTimeout
	case errors.Is(err, context.Canceled):
		return *problem(499, "client_gone", "客户端已断开")
	}
	s.log.Error("请求失败", "id", requestOf(ctx), "kind", fmt.Sprintf("%T", err))
	return *errInternal
}

// statusOf tells what cannot be read (400) from what is too much (413) and
// from what is read but breaks a rule (422).
func statusOf(in *qingting.InputError) int {
	switch in.Code {
	case "bad_json", "bad_encoding", "json_too_deep", "duplicate_field", "lone_surrogate", "empty_input", "bad_parameter", "bad_cursor":
		return http.StatusBadRequest
	case "message_too_long":
		return http.StatusUnprocessableEntity
	}
	if errors.Is(in, qingting.ErrTooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusUnprocessableEntity
}

// body reads the request within the limit. The media type is one of those
// that are accepted; charset is "utf-8" unless the client names another.
func body(c *gin.Context, accepted ...string) (data []byte, media, charset string, err error) {
	if e := strings.TrimSpace(c.GetHeader("Content-Encoding")); e != "" && !strings.EqualFold(e, "identity") {
		c.Header("Accept-Encoding", "identity")
		return nil, "", "", problem(http.StatusUnsupportedMediaType, "compressed_body", "不接受压缩的请求体，请去掉 Content-Encoding")
	}
	media, charset, ok := mediaType(c.GetHeader("Content-Type"), accepted)
	if !ok {
		c.Header("Accept", strings.Join(accepted, ", "))
		return nil, "", "", problem(http.StatusUnsupportedMediaType, "unsupported_media_type", "请用 Content-Type: %s", strings.Join(accepted, " 或 "))
	}
	if !transcript.KnownCharset(charset) {
		return nil, "", "", problem(http.StatusUnsupportedMediaType, "unsupported_charset", "不支持这种字符集，可选 utf-8、gbk、gb18030、big5、utf-16")
	}
	data, err = limited(c)
	return data, media, charset, err
}

// limited reads the whole body, unless it is too long or too slow.
func limited(c *gin.Context) ([]byte, error) {
	var b bytes.Buffer
	if _, err := b.ReadFrom(http.MaxBytesReader(c.Writer, c.Request.Body, MaxBody)); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, problem(http.StatusRequestTimeout, "slow_body", "请求体没有在 %d 秒内收完，请检查网络后重发", int(readTimeout.Seconds()))
		}
		return nil, problem(http.StatusBadRequest, "incomplete_body", "请求体没有收完整，请重发")
	}
	return b.Bytes(), nil
}

func errorKind(err error) string { return fmt.Sprintf("%T", err) }
