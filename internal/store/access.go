package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/qingting-ai/qingting/internal/access"
)

var _ access.Store = (*Store)(nil)

// Established implements access.Store.
func (s *Store) Established(ctx context.Context) (bool, error) {
	return one(ctx, s.reader, "个数", scanOf[bool], `SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM keys)`)
}

// added turns a broken UNIQUE into access.ErrTaken.
func added(_ int64, err error) error {
	if isTaken(err) {
		return fmt.Errorf("%w: %w", access.ErrTaken, err)
	}
	return err
}

const teamColumns = `tenant, id, name, parent, created_at`

func scanTeam(row scanner) (t access.Team, err error) {
	var created int64
	err = row.Scan(&t.Tenant, &t.ID, &t.Name, &t.Parent, &created)
	t.Created = fromMicros(created)
	return t, err
}

// AddTeam implements access.Store.
func (s *Store) AddTeam(ctx context.Context, team access.Team) error {
	return s.write(ctx, func(t *tx) error {
		return added(t.exec(`INSERT INTO teams (`+teamColumns+`) VALUES (?, ?, ?, ?, ?)`, team.Tenant, team.ID, team.Name, team.Parent, micros(team.Created)))
	})
}

// ChangeTeam implements access.Store.
func (s *Store) ChangeTeam(ctx context.Context, team access.Team) error {
	return s.write(ctx, func(t *tx) error {
		return found("个小组")(t.exec(`UPDATE teams SET name = ?, parent = ? WHERE tenant = ? AND id = ?`, team.Name, team.Parent, team.Tenant, team.ID))
	})
}

// DeleteTeam implements access.Store. A team that somebody or another team
// belongs to is ErrConflict.
func (s *Store) DeleteTeam(ctx context.Context, tenant, id string) error {
	return s.write(ctx, func(t *tx) error {
		used, err := one(context.Background(), t.conn, "个数", scanOf[bool], `SELECT EXISTS (SELECT 1 FROM users WHERE tenant = ? AND team = ?)
			OR EXISTS (SELECT 1 FROM keys WHERE tenant = ? AND team = ?) OR EXISTS (SELECT 1 FROM teams WHERE tenant = ? AND parent = ?)`,
			tenant, id, tenant, id, tenant, id)
		if err != nil {
			return err
		}
		if used {
			return fmt.Errorf("%w: 小组里还有人、密钥或下级小组，请先移走", ErrConflict)
		}
		return found("个小组")(t.exec(`DELETE FROM teams WHERE tenant = ? AND id = ?`, tenant, id))
	})
}

// Team implements access.Store.
func (s *Store) Team(ctx context.Context, tenant, id string) (access.Team, error) {
	return one(ctx, s.reader, "个小组", scanTeam, `SELECT `+teamColumns+` FROM teams WHERE tenant = ? AND id = ?`, tenant, id)
}

// Teams implements access.Store.
func (s *Store) Teams(ctx context.Context, tenant string) ([]access.Team, error) {
	return list(ctx, s.reader, scanTeam, `SELECT `+teamColumns+` FROM teams WHERE tenant = ? ORDER BY id`, tenant)
}

const userColumns = `tenant, id, login, name, role, team, disabled, password, created_at, updated_at`

func scanUser(row scanner) (u access.User, err error) {
	var created, updated int64
	err = row.Scan(&u.Tenant, &u.ID, &u.Login, &u.Name, &u.Role, &u.Team, &u.Disabled, &u.Password, &created, &updated)
	u.Created, u.Updated = fromMicros(created), fromMicros(updated)
	return u, err
}

// AddUser implements access.Store.
func (s *Store) AddUser(ctx context.Context, u access.User) error {
	return s.write(ctx, func(t *tx) error {
		return added(t.exec(`INSERT INTO users (`+userColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			u.Tenant, u.ID, u.Login, u.Name, string(u.Role), u.Team, u.Disabled, u.Password, micros(u.Created), micros(u.Updated)))
	})
}

// ChangeUser implements access.Store.
func (s *Store) ChangeUser(ctx context.Context, u access.User) error {
	return s.write(ctx, func(t *tx) error {
		return found("个用户")(t.exec(`UPDATE users SET name = ?, role = ?, team = ?, disabled = ?, password = ?, updated_at = ? WHERE tenant = ? AND id = ?`,
			u.Name, string(u.Role), u.Team, u.Disabled, u.Password, micros(u.Updated), u.Tenant, u.ID))
	})
}

// User implements access.Store.
func (s *Store) User(ctx context.Context, tenant, id string) (access.User, error) {
	return one(ctx, s.reader, "个用户", scanUser, `SELECT `+userColumns+` FROM users WHERE tenant = ? AND id = ?`, tenant, id)
}

// UserByLogin implements access.Store.
func (s *Store) UserByLogin(ctx context.Context, login string) (access.User, error) {
	return one(ctx, s.reader, "个用户", scanUser, `SELECT `+userColumns+` FROM users WHERE login = ?`, login)
}

// Users implements access.Store.
func (s *Store) Users(ctx context.Context, tenant string) ([]access.User, error) {
	return list(ctx, s.reader, scanUser, `SELECT `+userColumns+` FROM users WHERE tenant = ? ORDER BY login`, tenant)
}

const keyColumns = `tenant, id, name, start, hash, scopes, team, expires_at, disabled, used_at, made_by, created_at`

func scanKey(row scanner) (k access.Key, err error) {
	var scopes sql.NullString
	var expires, used sql.NullInt64
	var created int64
	err = row.Scan(&k.Tenant, &k.ID, &k.Name, &k.Start, &k.Hash, &scopes, &k.Team, &expires, &k.Disabled, &used, &k.By, &created)
	if err != nil {
		return k, err
	}
	k.Expires, k.Used, k.Created = fromPointer(expires), fromPointer(used), fromMicros(created)
	return k, decode(scopes, &k.Scopes)
}

// AddKey implements access.Store.
func (s *Store) AddKey(ctx context.Context, k access.Key) error {
	scopes, err := encoded(k.Scopes)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		return added(t.exec(`INSERT INTO keys (`+keyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.Tenant, k.ID, k.Name, k.Start, k.Hash, scopes, k.Team, pointerMicros(k.Expires), k.Disabled, pointerMicros(k.Used), k.By, micros(k.Created)))
	})
}

// ChangeKey implements access.Store.
func (s *Store) ChangeKey(ctx context.Context, k access.Key) error {
	scopes, err := encoded(k.Scopes)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		return found("个密钥")(t.exec(`UPDATE keys SET name = ?, scopes = ?, team = ?, expires_at = ?, disabled = ? WHERE tenant = ? AND id = ?`,
			k.Name, scopes, k.Team, pointerMicros(k.Expires), k.Disabled, k.Tenant, k.ID))
	})
}

// UseKey implements access.Store. When ctx ends it returns at once.
func (s *Store) UseKey(ctx context.Context, tenant, id string, at time.Time) error {
	return s.note(ctx, func(t *tx) error {
		return found("个密钥")(t.exec(`UPDATE keys SET used_at = ? WHERE tenant = ? AND id = ?`, micros(at), tenant, id))
	})
}

// Key implements access.Store.
func (s *Store) Key(ctx context.Context, tenant, id string) (access.Key, error) {
	return one(ctx, s.reader, "个密钥", scanKey, `SELECT `+keyColumns+` FROM keys WHERE tenant = ? AND id = ?`, tenant, id)
}

// KeyByHash implements access.Store.
func (s *Store) KeyByHash(ctx context.Context, hash string) (access.Key, error) {
	return one(ctx, s.reader, "个密钥", scanKey, `SELECT `+keyColumns+` FROM keys WHERE hash = ?`, hash)
}

// Keys implements access.Store.
func (s *Store) Keys(ctx context.Context, tenant string) ([]access.Key, error) {
	return list(ctx, s.reader, scanKey, `SELECT `+keyColumns+` FROM keys WHERE tenant = ? ORDER BY created_at, id`, tenant)
}

// Attempt implements access.Store.
func (s *Store) Attempt(ctx context.Context, subjects []string, at, since time.Time, limit int) (earliest time.Time, allowed bool, err error) {
	var first sql.NullInt64
	err = s.write(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM login_attempts WHERE at <= ?`, micros(since)); err != nil {
			return err
		}
		for _, subject := range subjects {
			var n int
			var oldest sql.NullInt64
			err := t.conn.QueryRowContext(context.Background(), `SELECT count(*), min(at) FROM login_attempts WHERE subject = ?`, subject).Scan(&n, &oldest)
			if err != nil {
				return err
			}
			if n >= limit && (!first.Valid || oldest.Int64 < first.Int64) {
				first = oldest
			}
		}
		if first.Valid {
			return nil
		}
		for _, subject := range subjects {
			if _, err := t.exec(`INSERT INTO login_attempts (subject, at) VALUES (?, ?)`, subject, micros(at)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return time.Time{}, false, err
	}
	return fromMaybe(first), !first.Valid, nil
}

// Forgive implements access.Store.
func (s *Store) Forgive(ctx context.Context, subjects []string, at time.Time) error {
	return s.write(ctx, func(t *tx) error {
		for _, subject := range subjects {
			query, args := `DELETE FROM login_attempts WHERE subject = ?`, []any{subject}
			if !at.IsZero() {
				query, args = query+` AND at = ?`, append(args, micros(at))
			}
			if _, err := t.exec(query, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// FindSession implements access.Store.
func (s *Store) FindSession(ctx context.Context, token string) (data []byte, ok bool, err error) {
	found, err := list(ctx, s.reader, scanOf[[]byte], `SELECT data FROM sessions WHERE token = ? AND expires_at > ?`, token, micros(s.now()))
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	return found[0], true, nil
}

// PutSession implements access.Store. When ctx ends it returns at once.
func (s *Store) PutSession(ctx context.Context, token string, data []byte, expires time.Time) error {
	return s.note(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO sessions (token, data, expires_at) VALUES (?, ?, ?)
			ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`, token, notNull(data), micros(expires))
		return err
	})
}

// DeleteSession implements access.Store.
func (s *Store) DeleteSession(ctx context.Context, token string) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM sessions WHERE token = ?`, token)
		return err
	})
}

// AddTicket implements access.Store.
func (s *Store) AddTicket(ctx context.Context, ticket access.Ticket) error {
	principal, err := encoded(ticket.Principal)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		return added(t.exec(`INSERT INTO tickets (hash, principal, expires_at) VALUES (?, ?, ?)`, ticket.Hash, principal, micros(ticket.Expires)))
	})
}

// TakeTicket implements access.Store.
func (s *Store) TakeTicket(ctx context.Context, hash string) (access.Ticket, error) {
	// A look first, so that guessing costs no commit.
	if _, err := one(ctx, s.reader, "张票", scanOf[int], `SELECT 1 FROM tickets WHERE hash = ?`, hash); err != nil {
		return access.Ticket{}, err
	}
	out := access.Ticket{Hash: hash}
	err := s.write(ctx, func(t *tx) error {
		var principal sql.NullString
		var expires int64
		err := t.conn.QueryRowContext(context.Background(), `DELETE FROM tickets WHERE hash = ? RETURNING principal, expires_at`, hash).Scan(&principal, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("张票")
		}
		if err != nil {
			return err
		}
		out.Expires = fromMicros(expires)
		return decode(principal, &out.Principal)
	})
	if err != nil {
		return access.Ticket{}, err
	}
	return out, nil
}

// ForgetExpired implements access.Store.
func (s *Store) ForgetExpired(ctx context.Context, now time.Time) error {
	return s.write(ctx, func(t *tx) error {
		for _, query := range []string{`DELETE FROM sessions WHERE expires_at <= ?`, `DELETE FROM tickets WHERE expires_at <= ?`} {
			if _, err := t.exec(query, micros(now)); err != nil {
				return err
			}
		}
		return nil
	})
}
