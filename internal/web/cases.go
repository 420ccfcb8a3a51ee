package web

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/qingting-ai/qingting"
	"github.com/qingting-ai/qingting/internal/access"
	"github.com/qingting-ai/qingting/retrieval"
)

const maxMatches = 20

// library is the case library of whoever asks.
func (s *Server) library(ctx context.Context) (Cases, error) {
	switch tenant := access.Of(ctx).Tenant; {
	case tenant == "" || tenant == qingting.DefaultTenant:
		return s.cases, nil
	case s.options.TenantCases == nil:
		return nil, errOff
	default:
		return s.options.TenantCases(tenant)
	}
}

func caseError(err error) error {
	if errors.Is(err, qingting.ErrNotFound) {
		return problem(http.StatusNotFound, "case_not_found", "没有这个编号的案例")
	}
	return err
}

func checkFilter(f qingting.CaseFilter) error {
	for _, t := range f.Types {
		if !slices.Contains(qingting.Types(), t) {
			return problem(http.StatusBadRequest, "bad_parameter", "不认识的投诉类型，可用的代码见 /v1/taxonomy")
		}
	}
	for _, o := range f.Outcomes {
		if o != qingting.CaseResolved && o != qingting.CaseFailed {
			return problem(http.StatusBadRequest, "bad_parameter", "案例结果只能是 resolved 或 failed")
		}
	}
	return nil
}

// casePage is a page of the library.
type casePage struct {
	Total  int             `json:"total"`
	Offset int             `json:"offset"`
	Limit  int             `json:"limit"`
	Cases  []qingting.Case `json:"cases"`
	Next   string          `json:"next_cursor,omitempty"`
}

func (s *Server) listCases(ctx context.Context, in *struct {
	Paged
	Offset   int                    `query:"offset" minimum:"0" maximum:"100000000" doc:"从第几个开始，不和 cursor 同用"`
	Types    []qingting.Type        `query:"type,explode"`
	Outcomes []qingting.CaseOutcome `query:"outcome,explode"`
	Industry string                 `query:"industry" maxLength:"64"`
	Product  string                 `query:"product" maxLength:"64"`
},
) (*answer[casePage], error) {
	f := qingting.CaseFilter{Industry: in.Industry, Product: in.Product, Types: in.Types, Outcomes: in.Outcomes}
	if err := checkFilter(f); err != nil {
		return nil, err
	}
	cases, err := s.library(ctx)
	if err != nil {
		return nil, err
	}
	offset := in.Offset
	if in.Cursor != "" {
		b, err := base64.RawURLEncoding.DecodeString(in.Cursor)
		if offset, _ = strconv.Atoi(string(b)); err != nil || offset <= 0 {
			return nil, errCursor
		}
	}
	out := casePage{Offset: offset, Limit: in.Limit}
	if out.Cases, out.Total = cases.List(f, offset, in.Limit); out.Cases == nil {
		out.Cases = []qingting.Case{}
	}
	if next := offset + len(out.Cases); len(out.Cases) > 0 && next < out.Total {
		out.Next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(next)))
	}
	return ok(out)
}

func (s *Server) getCase(ctx context.Context, in *ByID) (*answer[qingting.Case], error) {
	cases, err := s.library(ctx)
	if err != nil {
		return nil, err
	}
	found, err := cases.Get(in.ID)
	if err != nil {
		return nil, caseError(err)
	}
	return ok(found)
}

func (s *Server) addCase(ctx context.Context, in *struct{ Body qingting.Case }) (*answer[qingting.Case], error) {
	cases, err := s.library(ctx)
	if err != nil {
		return nil, err
	}
	made, err := cases.Add(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	s.tellCase(ctx, made)
	return created(made)
}

func (s *Server) changeCase(ctx context.Context, in *struct {
	ByID
	Body qingting.Case
},
) (*answer[qingting.Case], error) {
	cases, err := s.library(ctx)
	if err != nil {
		return nil, err
	}
	in.Body.ID = in.ID
	if err := cases.Update(ctx, in.Body); err != nil {
		return nil, caseError(err)
	}
	s.tellCase(ctx, in.Body)
	return ok(in.Body)
}

func (s *Server) deleteCase(ctx context.Context, in *ByID) (*none, error) {
	cases, err := s.library(ctx)
	if err != nil {
		return nil, err
	}
	if err := cases.Delete(ctx, in.ID); err != nil {
		return nil, caseError(err)
	}
	s.tellCase(ctx, qingting.Case{ID: in.ID})
	return nil, nil
}

// tellCase tells listeners that a case changed; one without a title is gone.
func (s *Server) tellCase(ctx context.Context, c qingting.Case) {
	if s.options.Live != nil {
		s.options.Live.Publish(qingting.Event{Type: qingting.EventCase, Tenant: access.Of(ctx).Tenant, Data: c})
	}
}

// found is the answer of a search.
type found struct {
	Status qingting.RetrievalStatus `json:"status"`
	Cases  []qingting.Match         `json:"cases"`
}

func (s *Server) searchCases(ctx context.Context, in *struct {
	Body struct {
		Query  string              `json:"query"`
		Limit  int                 `json:"limit"`
		Filter qingting.CaseFilter `json:"filter"`
	}
},
) (*answer[found], error) {
	q := &in.Body
	if n := utf8.RuneCountInString(q.Query); strings.TrimSpace(q.Query) == "" || n > qingting.MaxMessageRunes {
		return nil, problem(http.StatusUnprocessableEntity, "bad_query", "query 应当有 1 到 %d 个字", qingting.MaxMessageRunes)
	}
	if q.Limit < 0 || q.Limit > maxMatches {
		return nil, problem(http.StatusUnprocessableEntity, "bad_parameter", "limit 应当是 1 到 %d 的整数", maxMatches)
	}
	if err := checkFilter(q.Filter); err != nil {
		return nil, err
	}
	cases, err := s.library(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	matches, err := cases.SearchText(ctx, q.Query, q.Filter, q.Limit)
	if err != nil {
		return nil, err
	}
	out := found{qingting.RetrievalNoReliableCase, matches}
	if len(matches) > 0 && matches[0].Score >= retrieval.Reliable {
		out.Status = qingting.RetrievalOK
	}
	if out.Cases == nil {
		out.Cases = []qingting.Match{}
	}
	return ok(out)
}
