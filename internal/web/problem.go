package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
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
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

func problem(status int, code, format string, args ...any) *Problem {
	return &Problem{Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

var (
	errInternal = problem(http.StatusInternalServerError, "internal", "服务内部出错，请把 instance 里的编号告诉管理员")
	errBusy     = problem(http.StatusServiceUnavailable, "busy", "正在分析的会话太多，请稍后重试")
	errTimeout  = problem(http.StatusServiceUnavailable, "timeout", "没有在 10 秒内分析完，请把会话拆短或稍后重试")
)

func titleOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "请求无法解析"
	case http.StatusRequestTimeout:
		return "请求太慢"
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
	p := s.problemOf(c, err)
	p.Type = "urn:qingting:problem:" + p.Code
	p.Title = titleOf(p.Status)
	p.Instance = "urn:qingting:request:" + c.GetString(requestID)
	if p.Status == http.StatusServiceUnavailable {
		c.Header("Retry-After", "1")
	}
	c.Header("Content-Type", "application/problem+json; charset=utf-8")
	c.Status(p.Status)
	_ = Encode(c.Writer, p, false)
}

// problemOf copies: the shared ones must not be changed.
func (s *Server) problemOf(c *gin.Context, err error) Problem {
	var (
		known *Problem
		in    *qingting.InputError
		place *transcript.Error
		large *http.MaxBytesError
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
	case errors.Is(err, qingting.ErrNotFound):
		return *problem(http.StatusNotFound, "case_not_found", "没有这个编号的案例")
	case errors.Is(err, context.DeadlineExceeded):
		return *errTimeout
	case errors.Is(err, context.Canceled):
		return *problem(499, "client_gone", "客户端已断开")
	}
	s.log.Error("请求失败", "id", c.GetString(requestID), "route", c.FullPath(), "kind", fmt.Sprintf("%T", err))
	return *errInternal
}

// statusOf tells what cannot be read (400) from what is too much (413) and
// from what is read but breaks a rule (422).
func statusOf(in *qingting.InputError) int {
	switch in.Code {
	case "bad_json", "bad_encoding", "json_too_deep", "duplicate_field", "lone_surrogate", "empty_input", "bad_parameter":
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
	var b bytes.Buffer
	if _, err := b.ReadFrom(http.MaxBytesReader(c.Writer, c.Request.Body, MaxBody)); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, "", "", err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, "", "", problem(http.StatusRequestTimeout, "slow_body", "请求体没有在 %d 秒内收完，请检查网络后重发", int(readTimeout.Seconds()))
		}
		return nil, "", "", problem(http.StatusBadRequest, "incomplete_body", "请求体没有收完整，请重发")
	}
	return b.Bytes(), media, charset, nil
}
