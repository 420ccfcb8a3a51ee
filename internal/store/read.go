package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/qingting-ai/qingting"
)

// querier reads: the pool of readers, or the connection of a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// scanner is a row of a result.
type scanner interface{ Scan(dest ...any) error }

// list reads every row of a query; none is an empty list, not nil.
func list[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, unavailable(rows.Err())
}

// one reads the only row of a query, or returns qingting.ErrNotFound with the
// name of what is missing.
func one[T any](ctx context.Context, q querier, what string, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	found, err := list(ctx, q, scan, query, args...)
	if err == nil && len(found) == 0 {
		err = notFound(what)
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return found[0], nil
}

// scanOf is the scan of a single column.
func scanOf[T any](row scanner) (v T, err error) {
	err = row.Scan(&v)
	return v, err
}

// notFound is the answer for what does not exist, or is another tenant's.
func notFound(what string) error { return fmt.Errorf("%w: 没有这%s", qingting.ErrNotFound, what) }

// page reads limit rows of a query that ends with "LIMIT ?", and returns the
// place where the next page begins, "" at the end.
func page[T any](ctx context.Context, q querier, limit int, scan func(scanner) (T, error), at func(T) (int64, string), query string, args ...any) ([]T, string, error) {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	rows, err := list(ctx, q, scan, query, append(args, limit+1)...)
	if err != nil {
		return nil, "", err
	}
	if len(rows) <= limit {
		return rows, "", nil
	}
	rows = rows[:limit]
	return rows, cursor(at(rows[limit-1])), nil
}

// maxPage is the length of the longest page, and of one without a limit.
const maxPage = 500

// cursor names the place behind a row in the order of (n, id).
func cursor(n int64, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(n, 10) + ":" + id))
}

// openCursor reads a cursor; somebody else's text is qingting.ErrInvalid.
func openCursor(c string) (n int64, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(c)
	if err == nil {
		var digits string
		var found bool
		if digits, id, found = strings.Cut(string(b), ":"); found {
			if n, err = strconv.ParseInt(digits, 10, 64); err == nil {
				return n, id, nil
			}
		}
	}
	return 0, "", &qingting.InputError{Code: "bad_cursor", Message: "翻页标记不认识，请原样使用上一页返回的 next，或从头开始", Where: "cursor"}
}

// where collects the conditions of a query.
type where struct {
	parts []string
	args  []any
}

func (w *where) add(condition string, args ...any) {
	w.parts, w.args = append(w.parts, condition), append(w.args, args...)
}

// in adds "column IN (…)" unless values is empty.
func in[T ~string](w *where, column string, values []T) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = string(v)
	}
	w.add(column+` IN (?`+strings.Repeat(`, ?`, len(values)-1)+`)`, args...)
}

// behind continues behind a cursor in the order of (column, id).
func (w *where) behind(column, c string, ascending bool) error {
	if c == "" {
		return nil
	}
	n, id, err := openCursor(c)
	if err != nil {
		return err
	}
	if ascending {
		w.add(`(`+column+`, id) > (?, ?)`, n, id)
	} else {
		w.add(`(`+column+`, id) < (?, ?)`, n, id)
	}
	return nil
}

func (w *where) String() string { return ` WHERE ` + strings.Join(w.parts, ` AND `) }

// encoded is a value as JSON in a column; nil pointers and empty lists that
// may be missing are given as NULL by optional.
func encoded(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// optional is a value as JSON, or NULL when it is not there.
func optional(v any, there bool) (sql.NullString, error) {
	if !there {
		return sql.NullString{}, nil
	}
	s, err := encoded(v)
	return sql.NullString{String: s, Valid: true}, err
}

// decode reads JSON of a column; NULL leaves v alone.
func decode(s sql.NullString, v any) error {
	if !s.Valid {
		return nil
	}
	return json.Unmarshal([]byte(s.String), v)
}

// Times are kept in microseconds, which every dialect and JSON can carry.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

// maybeMicros keeps the zero time as NULL.
func maybeMicros(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

func pointerMicros(t *time.Time) sql.NullInt64 {
	if t == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: true}
}

func fromMaybe(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return fromMicros(n.Int64)
}

func fromPointer(n sql.NullInt64) *time.Time {
	if !n.Valid {
		return nil
	}
	t := fromMicros(n.Int64)
	return &t
}
