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
	Tenant       string        `db:"tenant"`
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
const caseColumns = `tenant, id, title, type, industry, product, scene, problem, solution, steps, owner, outcome, hours, cost,
	satisfaction, reopened, style, remedy, lesson, source, closed_at, vector, vector_from, created_at, updated_at, version`

const insertCase = `INSERT INTO cases (` + caseColumns + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`

const replaceCase = insertCase + ` ON CONFLICT (tenant, id) DO UPDATE SET
	title = excluded.title, type = excluded.type, industry = excluded.industry, product = excluded.product,
	scene = excluded.scene, problem = excluded.problem, solution = excluded.solution, steps = excluded.steps,
	owner = excluded.owner, outcome = excluded.outcome, hours = excluded.hours, cost = excluded.cost,
	satisfaction = excluded.satisfaction, reopened = excluded.reopened, style = excluded.style,
	remedy = excluded.remedy, lesson = excluded.lesson, source = excluded.source, closed_at = excluded.closed_at,
	vector = excluded.vector, vector_from = excluded.vector_from, updated_at = excluded.updated_at,
	version = cases.version + 1`

// CaseStore keeps the cases of one tenant. It may be used concurrently.
type CaseStore struct {
	s      *Store
	tenant string
}

// CasesOf returns the cases of a tenant, which need not have any.
func (s *Store) CasesOf(tenant string) *CaseStore { return &CaseStore{s, tenant} }

// PutCases adds or replaces cases by ID, all of them or, with an error, none.
func (c *CaseStore) PutCases(ctx context.Context, cases []qingting.Case) error {
	return c.s.write(ctx, func(t *tx) error { return t.putCases(c.tenant, replaceCase, cases) })
}

// SeedCases inserts those cases that were never seeded before and returns how
// many. A case that somebody deleted or entered himself is left alone.
func (c *CaseStore) SeedCases(ctx context.Context, cases []qingting.Case) (int, error) {
	n := 0
	err := c.s.write(ctx, func(t *tx) error {
		for i := range cases {
			fresh, err := t.exec(`INSERT INTO seeded_cases (tenant, id, seeded_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, c.tenant, cases[i].ID, t.now)
			if err != nil {
				return err
			}
			if fresh == 0 {
				continue
			}
			err = t.putCases(c.tenant, insertCase, cases[i:i+1])
			if isTaken(err) {
				continue
			}
			if err != nil {
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
func (c *CaseStore) GetCase(ctx context.Context, id string) (CaseRecord, error) {
	var r caseRow
	err := c.s.reader.GetContext(ctx, &r, `SELECT `+caseColumns+` FROM cases WHERE tenant = ? AND id = ?`, c.tenant, id)
	if errors.Is(err, sql.ErrNoRows) {
		return CaseRecord{}, fmt.Errorf("%w: 没有编号为 %q 的案例", qingting.ErrNotFound, id)
	}
	if err != nil {
		return CaseRecord{}, fmt.Errorf("read case %s: %w", id, unavailable(err))
	}
	return r.record()
}

// ListCases returns one page of the cases that pass the filter, by ID, and
// how many pass. The industry must be the same, the product contain the word;
// a case that is not closed passes no time filter. A limit of 0 means all.
func (c *CaseStore) ListCases(ctx context.Context, f qingting.CaseFilter, offset, limit int) ([]CaseRecord, int, error) {
	where, args, err := caseWhere(c.tenant, f)
	if err != nil {
		return nil, 0, err
	}
	if limit <= 0 {
		limit = -1
	}
	// One transaction, so that page and total are of the same moment.
	tx, err := c.s.reader.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, fmt.Errorf("list cases: %w", unavailable(err))
	}
	defer tx.Rollback()
	var total int
	if err := tx.GetContext(ctx, &total, `SELECT count(*) FROM cases`+where, args...); err != nil {
		return nil, 0, fmt.Errorf("count cases: %w", unavailable(err))
	}
	var rows []caseRow
	query := `SELECT ` + caseColumns + ` FROM cases` + where + ` ORDER BY id LIMIT ? OFFSET ?`
	if err := tx.SelectContext(ctx, &rows, query, append(args, limit, max(0, offset))...); err != nil {
		return nil, 0, fmt.Errorf("list cases: %w", unavailable(err))
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
func (c *CaseStore) EachCase(ctx context.Context, visit func(qingting.Case) error) error {
	rows, err := c.s.reader.QueryxContext(ctx, `SELECT `+caseColumns+` FROM cases WHERE tenant = ? ORDER BY id`, c.tenant)
	if err != nil {
		return fmt.Errorf("read cases: %w", unavailable(err))
	}
	defer rows.Close()
	for rows.Next() {
		var r caseRow
		if err := rows.StructScan(&r); err != nil {
			return fmt.Errorf("read cases: %w", unavailable(err))
		}
		record, err := r.record()
		if err != nil {
			return err
		}
		if err := visit(record.Case); err != nil {
			return err
		}
	}
	return unavailable(rows.Err())
}

// DeleteCase removes a case, or returns qingting.ErrNotFound.
func (c *CaseStore) DeleteCase(ctx context.Context, id string) error {
	return c.s.write(ctx, func(t *tx) error {
		n, err := t.exec(`DELETE FROM cases WHERE tenant = ? AND id = ?`, c.tenant, id)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: 没有编号为 %q 的案例", qingting.ErrNotFound, id)
		}
		return err
	})
}

// SetCaseVectors keeps the vectors of cases that are otherwise unchanged,
// made by the encoder named from. Cases that are gone are left out.
func (c *CaseStore) SetCaseVectors(ctx context.Context, from string, ids []string, vectors []qingting.Vector) error {
	return c.s.write(ctx, func(t *tx) error {
		for i, id := range ids {
			if _, err := t.exec(`UPDATE cases SET vector = ?, vector_from = ? WHERE tenant = ? AND id = ?`, packVector(vectors[i]), from, c.tenant, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) putCases(tenant, statement string, cases []qingting.Case) error {
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
		_, err = t.exec(statement, tenant, c.ID, c.Title, c.Type, c.Industry, c.Product, c.Scene, c.Problem, c.Solution, string(steps),
			c.Owner, c.Outcome, c.Hours, c.Cost, c.Satisfied, c.Reopened, c.Style, c.Remedy, c.Lesson, c.Source, closed,
			packVector(c.Vector), c.VectorFrom, t.now, t.now)
		if err != nil {
			return fmt.Errorf("write case %s: %w", c.ID, err)
		}
	}
	return nil
}

// caseWhere writes a filter as SQL with placeholders.
func caseWhere(tenant string, f qingting.CaseFilter) (where string, args []any, err error) {
	var parts []string
	add := func(sql string, values ...any) {
		parts, args = append(parts, sql), append(args, values...)
	}
	in := func(column string, values any) error {
		q, a, err := sqlx.In(column+` IN (?)`, values)
		add(q, a...)
		return err
	}
	add(`tenant = ?`, tenant)
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
