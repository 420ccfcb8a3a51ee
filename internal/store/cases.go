package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/qingting-ai/qingting"
)

// CaseRecord is a case with what the store knows of it.
type CaseRecord struct {
	qingting.Case
	Created time.Time
	Updated time.Time
	Version int // 1, and one more with every change
}

// caseRow is a row of the table cases.
type caseRow struct {
	ID           string        `db:"id"`
	Title        string        `db:"title"`
	Type         string        `db:"type"`
	Industry     string        `db:"industry"`
	Product      string        `db:"product"`
	Scene        string        `db:"scene"`
	Problem      string        `db:"problem"`
	Solution     string        `db:"solution"`
	Steps        string        `db:"steps"`
	Owner        string        `db:"owner"`
	Outcome      string        `db:"outcome"`
	Hours        float64       `db:"hours"`
	Cost         float64       `db:"cost"`
	Satisfaction int           `db:"satisfaction"`
	Reopened     bool          `db:"reopened"`
	Style        string        `db:"style"`
	Remedy       string        `db:"remedy"`
	Lesson       string        `db:"lesson"`
	Source       string        `db:"source"`
	ClosedAt     sql.NullInt64 `db:"closed_at"`
	Vector       []byte        `db:"vector"`
	VectorFrom   string        `db:"vector_from"`
	CreatedAt    int64         `db:"created_at"`
	UpdatedAt    int64         `db:"updated_at"`
	Version      int           `db:"version"`
}

// caseColumns is the order of the columns; every statement names them.
const caseColumns = `id, title, type, industry, product, scene, problem, solution, steps, owner, outcome, hours, cost,
	satisfaction, reopened, style, remedy, lesson, source, closed_at, vector, vector_from, created_at, updated_at, version`

const insertCase = `INSERT INTO cases (` + caseColumns + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`

const replaceCase = insertCase + ` ON CONFLICT (id) DO UPDATE SET
	title = excluded.title, type = excluded.type, industry = excluded.industry, product = excluded.product,
	scene = excluded.scene, problem = excluded.problem, solution = excluded.solution, steps = excluded.steps,
	owner = excluded.owner, outcome = excluded.outcome, hours = excluded.hours, cost = excluded.cost,
	satisfaction = excluded.satisfaction, reopened = excluded.reopened, style = excluded.style,
	remedy = excluded.remedy, lesson = excluded.lesson, source = excluded.source, closed_at = excluded.closed_at,
	vector = excluded.vector, vector_from = excluded.vector_from, updated_at = excluded.updated_at,
	version = cases.version + 1`

// PutCases adds or replaces cases by ID, all of them or, with an error, none.
func (s *Store) PutCases(ctx context.Context, cases []qingting.Case) error {
	return s.write(ctx, func(tx *sqlx.Tx) error { return putCases(ctx, tx, replaceCase, cases) })
}

// SeedCases inserts those cases that were never seeded before and returns how
// many. A case that somebody deleted or entered himself is left alone.
func (s *Store) SeedCases(ctx context.Context, cases []qingting.Case) (int, error) {
	n := 0
	err := s.write(ctx, func(tx *sqlx.Tx) error {
		now := micros(time.Now())
		for _, c := range cases {
			r, err := tx.ExecContext(ctx, `INSERT INTO seeded_cases (id, seeded_at) VALUES (?, ?) ON CONFLICT DO NOTHING`, c.ID, now)
			if err != nil {
				return err
			}
			if fresh, err := r.RowsAffected(); err != nil || fresh == 0 {
				if err != nil {
					return err
				}
				continue
			}
			var taken bool
			if err := tx.GetContext(ctx, &taken, `SELECT EXISTS (SELECT 1 FROM cases WHERE id = ?)`, c.ID); err != nil {
				return err
			}
			if taken {
				continue
			}
			if err := putCases(ctx, tx, insertCase, []qingting.Case{c}); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// GetCase returns a case, or qingting.ErrNotFound.
func (s *Store) GetCase(ctx context.Context, id string) (CaseRecord, error) {
	var r caseRow
	err := s.reader.GetContext(ctx, &r, `SELECT `+caseColumns+` FROM cases WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return CaseRecord{}, fmt.Errorf("%w: 没有编号为 %q 的案例", qingting.ErrNotFound, id)
	}
	if err != nil {
		return CaseRecord{}, fmt.Errorf("read case %s: %w", id, err)
	}
	return r.record()
}

// ListCases returns one page of the cases that pass the filter, by ID, and
// how many pass. The industry must be the same, the product contain the word;
// a case that is not closed passes no time filter. A limit of 0 means all.
func (s *Store) ListCases(ctx context.Context, f qingting.CaseFilter, offset, limit int) ([]CaseRecord, int, error) {
	where, args, err := caseWhere(f)
	if err != nil {
		return nil, 0, err
	}
	if limit <= 0 {
		limit = -1
	}
	// One transaction, so that page and total are of the same moment.
	tx, err := s.reader.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, fmt.Errorf("list cases: %w", err)
	}
	defer tx.Rollback()
	var total int
	if err := tx.GetContext(ctx, &total, `SELECT count(*) FROM cases`+where, args...); err != nil {
		return nil, 0, fmt.Errorf("count cases: %w", err)
	}
	var rows []caseRow
	query := `SELECT ` + caseColumns + ` FROM cases` + where + ` ORDER BY id LIMIT ? OFFSET ?`
	if err := tx.SelectContext(ctx, &rows, query, append(args, limit, max(0, offset))...); err != nil {
		return nil, 0, fmt.Errorf("list cases: %w", err)
	}
	out := make([]CaseRecord, len(rows))
	for i := range rows {
		if out[i], err = rows[i].record(); err != nil {
			return nil, 0, err
		}
	}
	return out, total, nil
}

// EachCase visits every case, by ID, until visit fails. Cases written
// meanwhile are not seen.
func (s *Store) EachCase(ctx context.Context, visit func(qingting.Case) error) error {
	rows, err := s.reader.QueryxContext(ctx, `SELECT `+caseColumns+` FROM cases ORDER BY id`)
	if err != nil {
		return fmt.Errorf("read cases: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r caseRow
		if err := rows.StructScan(&r); err != nil {
			return fmt.Errorf("read cases: %w", err)
		}
		c, err := r.record()
		if err != nil {
			return err
		}
		if err := visit(c.Case); err != nil {
			return err
		}
	}
	return rows.Err()
}

// DeleteCase removes a case, or returns qingting.ErrNotFound.
func (s *Store) DeleteCase(ctx context.Context, id string) error {
	return s.write(ctx, func(tx *sqlx.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM cases WHERE id = ?`, id)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: 没有编号为 %q 的案例", qingting.ErrNotFound, id)
		}
		return err
	})
}

// SetCaseVectors keeps the vectors of cases that are otherwise unchanged,
// made by the encoder named from. Cases that are gone are left out.
func (s *Store) SetCaseVectors(ctx context.Context, from string, ids []string, vectors []qingting.Vector) error {
	return s.write(ctx, func(tx *sqlx.Tx) error {
		for i, id := range ids {
			if _, err := tx.ExecContext(ctx, `UPDATE cases SET vector = ?, vector_from = ? WHERE id = ?`, packVector(vectors[i]), from, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// write runs f in a transaction: all of it happens, or nothing.
func (s *Store) write(ctx context.Context, f func(tx *sqlx.Tx) error) error {
	tx, err := s.writer.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func putCases(ctx context.Context, tx *sqlx.Tx, statement string, cases []qingting.Case) error {
	put, err := tx.PreparexContext(ctx, statement)
	if err != nil {
		return err
	}
	defer put.Close()
	now := micros(time.Now())
	for i := range cases {
		c := &cases[i]
		steps, err := json.Marshal(c.Steps)
		if err != nil {
			return err
		}
		var closed sql.NullInt64
		if !c.ClosedAt.IsZero() {
			closed = sql.NullInt64{Int64: micros(c.ClosedAt), Valid: true}
		}
		_, err = put.ExecContext(ctx, c.ID, c.Title, c.Type, c.Industry, c.Product, c.Scene, c.Problem, c.Solution, string(steps),
			c.Owner, c.Outcome, c.Hours, c.Cost, c.Satisfied, c.Reopened, c.Style, c.Remedy, c.Lesson, c.Source, closed,
			packVector(c.Vector), c.VectorFrom, now, now)
		if err != nil {
			return fmt.Errorf("write case %s: %w", c.ID, err)
		}
	}
	return nil
}

// caseWhere writes a filter as SQL with placeholders.
func caseWhere(f qingting.CaseFilter) (where string, args []any, err error) {
	var parts []string
	add := func(sql string, values ...any) {
		parts, args = append(parts, sql), append(args, values...)
	}
	in := func(column string, values any) error {
		q, a, err := sqlx.In(column+` IN (?)`, values)
		add(q, a...)
		return err
	}
	if len(f.Types) > 0 {
		if err := in(`type`, f.Types); err != nil {
			return "", nil, err
		}
	}
	if len(f.Outcomes) > 0 {
		if err := in(`outcome`, f.Outcomes); err != nil {
			return "", nil, err
		}
	}
	if s := strings.ToLower(strings.TrimSpace(f.Industry)); s != "" {
		add(`lower(trim(industry)) = ?`, s)
	}
	if s := strings.ToLower(strings.TrimSpace(f.Product)); s != "" {
		add(`instr(lower(product), ?) > 0`, s)
	}
	if !f.From.IsZero() {
		add(`closed_at >= ?`, micros(f.From))
	}
	if !f.To.IsZero() {
		add(`closed_at < ?`, micros(f.To))
	}
	if len(parts) == 0 {
		return "", nil, nil
	}
	return ` WHERE ` + strings.Join(parts, ` AND `), args, nil
}

func (r *caseRow) record() (CaseRecord, error) {
	out := CaseRecord{
		Case: qingting.Case{
			ID: r.ID, Title: r.Title, Type: qingting.Type(r.Type), Industry: r.Industry, Product: r.Product, Scene: r.Scene,
			Problem: r.Problem, Solution: r.Solution, Owner: r.Owner, Outcome: qingting.CaseOutcome(r.Outcome),
			Hours: r.Hours, Cost: r.Cost, Satisfied: r.Satisfaction, Reopened: r.Reopened, Style: qingting.Style(r.Style),
			Remedy: qingting.RemedyCode(r.Remedy), Lesson: r.Lesson, Source: r.Source, VectorFrom: r.VectorFrom,
		},
		Created: fromMicros(r.CreatedAt), Updated: fromMicros(r.UpdatedAt), Version: r.Version,
	}
	if err := json.Unmarshal([]byte(r.Steps), &out.Steps); err != nil {
		return out, fmt.Errorf("read steps of case %s: %w", r.ID, err)
	}
	if r.ClosedAt.Valid {
		out.ClosedAt = fromMicros(r.ClosedAt.Int64)
	}
	var err error
	if out.Vector, err = unpackVector(r.Vector); err != nil {
		return out, fmt.Errorf("read vector of case %s: %w", r.ID, err)
	}
	return out, nil
}

func packVector(v qingting.Vector) []byte {
	if v == nil {
		return nil
	}
	out := make([]byte, 0, 4*len(v))
	for _, f := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
	}
	return out
}

func unpackVector(b []byte) (qingting.Vector, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b)%4 != 0 {
		return nil, fmt.Errorf("%d bytes are no float32", len(b))
	}
	out := make(qingting.Vector, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out, nil
}

// Times are kept in microseconds, which every dialect and JSON can carry.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
