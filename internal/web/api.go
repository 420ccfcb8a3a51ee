package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/danielgtaylor/huma/v2/validation"
	"github.com/gin-gonic/gin"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
)

// Two kinds of routes share the table. A typed one is a function of a struct;
// huma reads path, query and body into it, checks them against its schema and
// describes it in /openapi.json. A raw one holds the request itself, because
// its body is text in some charset, or its answer a stream or a file; it
// describes itself with the same structs.

// binding puts the handler of a route where it belongs.
type binding func(s *Server, r route, op huma.Operation)

// none is the input or output of a route that has none.
type none struct{}

// answer is the output of a typed route.
type answer[T any] struct {
	Status int
	Body   T
}

func ok[T any](v T) (*answer[T], error) { return &answer[T]{http.StatusOK, v}, nil }

func created[T any](v T) (*answer[T], error) { return &answer[T]{http.StatusCreated, v}, nil }

// typed binds a function of structs. nil without an error is 204.
func typed[I, O any](handle func(context.Context, *I) (*O, error)) binding {
	return func(s *Server, r route, op huma.Operation) {
		r.json = op.Method == http.MethodPost || op.Method == http.MethodPut || op.Method == http.MethodPatch
		huma.Register(huma.NewAPI(s.config, router{s, r}), op, func(ctx context.Context, in *I) (*O, error) {
			out, err := handle(ctx, in)
			if err != nil {
				p := s.problemOf(ctx, err)
				return nil, &p
			}
			return out, nil
		})
	}
}

// making is a binding whose usual answer is 201.
func making(bind binding) binding {
	return func(s *Server, r route, op huma.Operation) {
		op.DefaultStatus = http.StatusCreated
		bind(s, r, op)
	}
}

// answering is a raw binding with a status of its own, and others that answer
// the same.
func answering(bind binding, status int, others ...int) binding {
	return func(s *Server, r route, op huma.Operation) {
		op.DefaultStatus = status
		bind(s, r, op)
		responses := operationOf(s.config.OpenAPI.Paths[op.Path], op.Method).Responses
		for _, other := range others {
			same := *responses[strconv.Itoa(status)]
			same.Description = http.StatusText(other)
			responses[strconv.Itoa(other)] = &same
		}
	}
}

// raw binds a handler of requests. What it takes and answers is only
// described: I and O are read like those of a typed route.
func raw[I, O any](handle handler, media ...string) binding {
	return func(s *Server, r route, op huma.Operation) {
		huma.Register(huma.NewAPI(s.config, nowhere{}), op, func(context.Context, *I) (*O, error) { return nil, nil })
		if path := s.config.OpenAPI.Paths[op.Path]; path != nil {
			describe(operationOf(path, op.Method), media)
		}
		s.serve(r, handle)
	}
}

// operation is how a route is described, but for its input and output.
func (s *Server) operation(r route) huma.Operation {
	op := huma.Operation{
		Method: r.method, Path: r.path, Summary: r.says, OperationID: operationID(r.method, r.path), Tags: []string{tagOf(r.path)},
		MaxBodyBytes: MaxBody + 1, BodyReadTimeout: -1, // the gate has read the body within its limits
		Hidden: !strings.HasPrefix(r.path, "/v1/") && r.path != "/healthz" && r.path != "/readyz",
	}
	switch r.permit {
	case access.Public:
		op.Security = []map[string][]string{}
	default:
		op.Security = []map[string][]string{{"key": {}}, {"session": {}}}
		if r.long {
			op.Security = append(op.Security, map[string][]string{"ticket": {}})
		}
		op.Description = "权限：" + string(r.permit) + "。"
	}
	if r.once != never {
		op.Description += "可带 Idempotency-Key：同一请求重发得到第一次的应答。"
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: ptr(255)},
			Description: "24 小时内有效；同一个值用于不同的请求体是 422，正在处理是 409",
		})
	}
	return op
}

func ptr[T any](v T) *T { return &v }

// operationID names an operation: post-v1-alerts-id-claim.
func operationID(method, path string) string {
	return strings.ToLower(method) + strings.NewReplacer("/", "-", "{", "", "}", "", ".", "-").Replace(path)
}

func tagOf(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) > 2 {
		return parts[2]
	}
	return "service"
}

// describe gives request and answer other media types than JSON: the first of
// media is the answer's, unless it is "", the others the request's beside JSON.
func describe(op *huma.Operation, media []string) {
	if op == nil || len(media) == 0 {
		return
	}
	if media[0] != "" {
		for status, r := range op.Responses {
			if status != "default" {
				r.Content = map[string]*huma.MediaType{media[0]: {Schema: &huma.Schema{Type: huma.TypeString}}}
			}
		}
	}
	for _, m := range media[1:] {
		op.RequestBody.Content[m] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
}

func operationOf(path *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodGet:
		return path.Get
	case http.MethodPost:
		return path.Post
	case http.MethodPut:
		return path.Put
	case http.MethodPatch:
		return path.Patch
	case http.MethodDelete:
		return path.Delete
	}
	return nil
}

// nowhere serves nothing.
type nowhere struct{ http.Handler }

func (nowhere) Handle(*huma.Operation, func(huma.Context)) {}

// serve registers a handler with the router behind the gate, for HEAD as well
// where it is GET: net/http leaves the body out.
func (s *Server) serve(r route, handle handler) {
	methods := []string{r.method}
	if r.method == http.MethodGet {
		methods = append(methods, http.MethodHead)
	}
	s.engine.Match(methods, ginPath(r.path), s.gate(r), func(c *gin.Context) {
		if err := handle(c); err != nil {
			s.fail(c, err)
		}
	})
}

// ginPath writes /v1/cases/{id} as /v1/cases/:id.
func ginPath(path string) string { return strings.NewReplacer("{", ":", "}", "").Replace(path) }

// router is the adapter of huma for one route.
type router struct {
	s *Server
	r route
}

func (a router) Handle(op *huma.Operation, handle func(huma.Context)) {
	a.s.serve(a.r, func(c *gin.Context) error {
		handle(humagin.NewContext(op, c))
		return nil
	})
}

func (a router) ServeHTTP(w http.ResponseWriter, q *http.Request) { a.s.engine.ServeHTTP(w, q) }

// configure sets huma up without its own pages and hooks: they point at other
// hosts and change answers.
func (s *Server) configure() {
	format := huma.Format{
		Marshal: func(w io.Writer, v any) error {
			r, rendered := v.(rendered) // by finished
			if !rendered {
				return Encode(w, v, false)
			}
			if out, plain := w.(http.ResponseWriter); plain && r.status != 0 {
				out.WriteHeader(r.status)
			}
			_, _ = w.Write(r.data) // headers are out: an error now is a client that has gone
			return nil
		},
		Unmarshal: json.Unmarshal,
	}
	s.config = huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "倾听 Qingting", Version: "1",
				Description: "中文客服投诉分诊。错误用 application/problem+json（RFC 9457），code 不变，detail 是中文。字段只增不改，遇到不认识的代码请当作普通字符串。",
			},
			Components: &huma.Components{SecuritySchemes: map[string]*huma.SecurityScheme{
				"key":     {Type: "http", Scheme: "bearer", Description: "API 密钥，以 qt_ 开头"},
				"session": {Type: "apiKey", In: "cookie", Name: sessionCookie, Description: "网页登录后的会话"},
				"ticket":  {Type: "apiKey", In: "query", Name: "ticket", Description: "POST /v1/tickets 得到的一次性票据，只用于事件流"},
			}},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{s.finished},
	}
	s.config.AllowAdditionalPropertiesByDefault = true // unknown fields are ignored
	s.config.FieldsOptionalByDefault = true
	huma.NewAPI(s.config, nowhere{}) // makes the registry that all routes share
}

// librariesOnce guards what gin and huma keep for the whole program; it is the
// same for every server.
var librariesOnce sync.Once

func setLibraries() {
	gin.SetMode(gin.ReleaseMode)
	// huma's own errors repeat the bad value, which is what a customer wrote.
	huma.NewError = func(status int, _ string, _ ...error) huma.StatusError { return &Problem{Status: status} }
	huma.NewErrorWithContext = refuse
}

// finished completes a problem with what belongs to the request, before it is
// written.
func (s *Server) finished(ctx huma.Context, _ string, v any) (any, error) {
	p, failed := v.(*Problem)
	if failed {
		return s.complete(humagin.Unwrap(ctx), p), nil
	}
	data, err := encoded(v)
	if err == nil {
		ctx.SetHeader("Content-Type", "application/json; charset=utf-8")
		return rendered{data: data}, nil
	}
	wrong := s.problemOf(ctx.Context(), err)
	s.complete(humagin.Unwrap(ctx), &wrong)
	if data, err = encoded(&wrong); err != nil {
		return nil, err
	}
	ctx.SetHeader("Content-Type", problemMedia)
	return rendered{data, wrong.Status}, nil
}

// rendered is an answer that is JSON already, before its status is written:
// what cannot be said in JSON must not be a 200 with half a body.
type rendered struct {
	data   []byte
	status int // instead of the usual one; 0: that
}

// refuse turns what huma finds wrong with a request into a problem. It never
// repeats the value: that is what a customer wrote.
func refuse(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	if status >= http.StatusInternalServerError {
		p := *errInternal
		return &p
	}
	if message == "request body is required" {
		return problem(http.StatusBadRequest, "empty_input", "请求体是空的，请发送 JSON")
	}
	for _, err := range errs {
		d, ok := err.(*huma.ErrorDetail)
		if ok && d.Message == validation.MsgUnexpectedProperty {
			// Its name is not ours, and is not repeated.
			return problem(http.StatusUnprocessableEntity, "unknown_field", "请求体里有不认识的字段，可用的字段见 /openapi.json")
		}
		if !ok {
			continue
		}
		where, field, _ := strings.Cut(d.Location, ".")
		if where == "body" {
			return wrongField(field, d.Message)
		}
		return problem(http.StatusBadRequest, "bad_parameter", "%s %s", field, limits(ctx.Operation(), field))
	}
	return problem(http.StatusUnprocessableEntity, "invalid_body", "请求的内容不符合要求，请对照 /openapi.json")
}

// limits says what a parameter should be.
func limits(op *huma.Operation, name string) string {
	for _, p := range op.Parameters {
		if p.Name != name || p.Schema == nil {
			continue
		}
		sc := p.Schema
		if sc.Items != nil {
			sc = sc.Items
		}
		switch {
		case sc.Minimum != nil && sc.Maximum != nil:
			return fmt.Sprintf("应当是 %.0f 到 %.0f 的整数", *sc.Minimum, *sc.Maximum)
		case len(sc.Enum) > 0:
			return "只能是 " + oneOf(sc.Enum)
		case sc.MaxLength != nil:
			return fmt.Sprintf("最多 %d 个字", *sc.MaxLength)
		case sc.Type == huma.TypeBoolean:
			return "只能是 true 或 false"
		case sc.Format == "date-time":
			return "应当是 RFC 3339 时间，如 2026-01-02T15:04:05+08:00"
		}
	}
	return "的写法不对"
}

func oneOf(list []any) string {
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = fmt.Sprint(v)
	}
	return strings.Join(names, "、")
}

// wrongField translates a message of huma. Only numbers and names out of our
// own schemas are taken over.
func wrongField(field, message string) *Problem {
	code, said := "invalid_field", "的值不符合要求"
	after := func(prefix string) (string, bool) { return strings.CutPrefix(message, prefix) }
	if name, ok := after("expected required property "); ok {
		name = strings.TrimSuffix(name, " to be present")
		field = strings.TrimPrefix(field+"."+name, ".")
		code, said = "missing_field", "是必填的"
	} else if list, ok := after("expected value to be one of "); ok {
		said = "只能是 " + strings.ReplaceAll(strings.Trim(list, `"`), ", ", "、")
	} else if n, ok := after("expected length <= "); ok {
		said = "最多 " + n + " 个字"
	} else if n, ok := after("expected length >= "); ok {
		said = "至少 " + n + " 个字"
	} else if n, ok := after("expected array length <= "); ok {
		said = "最多 " + n + " 项"
	} else if n, ok := after("expected array length >= "); ok {
		said = "至少 " + n + " 项"
	} else if n, ok := after("expected number <= "); ok {
		said = "不能大于 " + n
	} else if n, ok := after("expected number >= "); ok {
		said = "不能小于 " + n
	} else if _, ok := after("expected string to be RFC 3339 date-time"); ok {
		code, said = "wrong_type", "应当是 RFC 3339 时间，如 2026-01-02T15:04:05+08:00"
	} else {
		for english, chinese := range map[string]string{
			"expected string": "字符串", "expected boolean": "true 或 false", "expected number": "数字", "expected integer": "整数",
			"expected array": "数组", "expected object": "对象",
		} {
			if message == english {
				code, said = "wrong_type", "应当是"+chinese
			}
		}
	}
	p := problem(http.StatusUnprocessableEntity, code, "字段 %s %s", field, said)
	if field == "" {
		p.Detail = "请求体" + said
	}
	p.Pointer = field
	return p
}

// GetStatus makes a problem an answer of huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457.
func (p *Problem) ContentType(string) string { return problemMedia }

const problemMedia = "application/problem+json; charset=utf-8"

// openapi answers GET /openapi.json. The document is made once: it says what
// the table says.
func (s *Server) openapi(c *gin.Context) error {
	c.Data(http.StatusOK, "application/openapi+json; charset=utf-8", s.document)
	return nil
}

// writeDocument renders the OpenAPI document.
func (s *Server) writeDocument() error {
	var b bytes.Buffer
	if err := Encode(&b, s.config.OpenAPI, false); err != nil {
		return fmt.Errorf("web: openapi: %w", err)
	}
	var document map[string]any
	if err := json.Unmarshal(b.Bytes(), &document); err != nil {
		return fmt.Errorf("web: openapi: %w", err)
	}
	s.sharpen(document)
	data, err := encoded(document)
	s.document = data
	return err
}

// sharpen says in the document what huma's schemas do not: which objects may
// be null, and what a message must have. It leaves the schemas themselves
// alone, by which requests are checked.
func (s *Server) sharpen(document map[string]any) {
	components, _ := document["components"].(map[string]any)
	schemas, _ := components["schemas"].(map[string]any)
	for name, v := range schemas {
		schema, _ := v.(map[string]any)
		properties, _ := schema["properties"].(map[string]any)
		t := s.config.OpenAPI.Components.Schemas.TypeFromRef("#/components/schemas/" + name)
		if t == nil || t.Kind() != reflect.Struct {
			continue
		}
		for _, f := range reflect.VisibleFields(t) {
			field, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			property, _ := properties[field].(map[string]any)
			if f.Type.Kind() == reflect.Pointer && !strings.Contains(options, "omitempty") && property["$ref"] != nil {
				properties[field] = map[string]any{"anyOf": []any{property, map[string]any{"type": "null"}}}
			}
		}
		if t == reflect.TypeFor[qingting.Message]() {
			schema["required"] = []string{"role", "text"}
		}
	}
}
