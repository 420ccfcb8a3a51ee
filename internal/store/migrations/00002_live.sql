-- +goose Up
-- The cases get a tenant; those of an installation without tenants belong to
-- 'default'. SQLite cannot change a primary key, so that the tables are made anew.
CREATE TABLE cases_of_tenants (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    title        TEXT NOT NULL,
    type         TEXT NOT NULL,
    industry     TEXT NOT NULL,
    product      TEXT NOT NULL,
    scene        TEXT NOT NULL,
    problem      TEXT NOT NULL,
    solution     TEXT NOT NULL,
    steps        TEXT NOT NULL, -- JSON list of strings
    owner        TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    hours        REAL NOT NULL,
    cost         REAL NOT NULL,
    satisfaction INTEGER NOT NULL,
    reopened     INTEGER NOT NULL,
    style        TEXT NOT NULL,
    remedy       TEXT NOT NULL,
    lesson       TEXT NOT NULL,
    source       TEXT NOT NULL,
    closed_at    INTEGER, -- microseconds since 1970 UTC, as are all times; NULL when not closed
    vector       BLOB,    -- float32, little endian; NULL when not encoded
    vector_from  TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    version      INTEGER NOT NULL, -- 1, and one more with every change
    PRIMARY KEY (tenant, id)
);
INSERT INTO cases_of_tenants
SELECT 'default', id, title, type, industry, product, scene, problem, solution, steps, owner, outcome, hours, cost,
       satisfaction, reopened, style, remedy, lesson, source, closed_at, vector, vector_from, created_at, updated_at, version
FROM cases;
DROP TABLE cases;
ALTER TABLE cases_of_tenants RENAME TO cases;
CREATE INDEX cases_by_type ON cases (tenant, type, outcome);
CREATE INDEX cases_by_closing ON cases (tenant, closed_at);

CREATE TABLE seeded_cases_of_tenants (
    tenant    TEXT NOT NULL,
    id        TEXT NOT NULL,
    seeded_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
INSERT INTO seeded_cases_of_tenants SELECT 'default', id, seeded_at FROM seeded_cases;
DROP TABLE seeded_cases;
ALTER TABLE seeded_cases_of_tenants RENAME TO seeded_cases;

CREATE TABLE conversations (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    channel      TEXT NOT NULL,
    customer_ref TEXT NOT NULL,
    team         TEXT NOT NULL,
    agent        TEXT NOT NULL,
    state        TEXT NOT NULL,
    messages     INTEGER NOT NULL,
    runes        INTEGER NOT NULL,
    last_seq     INTEGER NOT NULL, -- the greatest seq of the messages
    version      INTEGER NOT NULL,
    analysed     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    closing      TEXT,             -- JSON object; NULL while open
    kind         TEXT NOT NULL,    -- from here on what the latest analysis says
    primary_type TEXT NOT NULL,
    emotion      TEXT NOT NULL,
    intensity    INTEGER NOT NULL,
    risk         TEXT NOT NULL,
    score        REAL NOT NULL,
    priority     TEXT NOT NULL,
    quote        TEXT NOT NULL,
    earlier      TEXT NOT NULL,    -- JSON list of conversation ids
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX conversations_by_time ON conversations (tenant, updated_at, id);
CREATE INDEX conversations_by_team ON conversations (tenant, team, updated_at, id);
CREATE INDEX conversations_by_agent ON conversations (tenant, agent, updated_at, id) WHERE agent <> '';
CREATE INDEX conversations_by_risk ON conversations (tenant, risk, updated_at, id);
CREATE INDEX conversations_by_customer ON conversations (tenant, customer_ref, created_at, id);
CREATE INDEX conversations_behind ON conversations (tenant, id) WHERE analysed < version;

-- Messages lie in the order of their arrival: sorted by conversation, every
-- one of them would change a page of its own.
CREATE TABLE messages (
    n            INTEGER PRIMARY KEY,
    tenant       TEXT NOT NULL,
    conversation TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    id           TEXT NOT NULL,
    role         TEXT NOT NULL,
    text         TEXT NOT NULL,
    sent_at      INTEGER,       -- NULL when not known
    asr          TEXT,          -- JSON object, or NULL
    concealed    TEXT,          -- JSON list, or NULL
    received_at  INTEGER NOT NULL,
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX messages_by_id ON messages (tenant, conversation, id);

-- The latest analysis of a conversation.
CREATE TABLE analyses (
    tenant       TEXT NOT NULL,
    conversation TEXT NOT NULL,
    version      INTEGER NOT NULL, -- of the conversation, as it was read
    body         BLOB NOT NULL,
    PRIMARY KEY (tenant, conversation),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
);

-- What people said of a conversation by the label guide; it wins over the analysis.
CREATE TABLE labels (
    tenant       TEXT NOT NULL,
    conversation TEXT NOT NULL,
    field        TEXT NOT NULL,
    value        TEXT NOT NULL, -- JSON
    set_by       TEXT NOT NULL,
    set_at       INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation, field),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE alerts (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    conversation TEXT NOT NULL,
    team         TEXT NOT NULL,
    cause        TEXT NOT NULL,
    subject      TEXT NOT NULL,
    state        TEXT NOT NULL,
    open         INTEGER NOT NULL, -- 1 while somebody has to act
    level        TEXT NOT NULL,
    priority     TEXT NOT NULL,
    score        REAL NOT NULL,
    signals      TEXT NOT NULL,    -- JSON list
    owner        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    feedback     TEXT NOT NULL,
    quiet        INTEGER NOT NULL,
    tier         INTEGER NOT NULL,
    raised_at    INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    again_at     INTEGER,
    version      INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE UNIQUE INDEX alerts_one_open ON alerts (tenant, conversation, cause, subject) WHERE open = 1;
CREATE INDEX alerts_open ON alerts (tenant, raised_at, id) WHERE open = 1;
CREATE INDEX alerts_by_time ON alerts (tenant, raised_at, id);
CREATE INDEX alerts_by_team ON alerts (tenant, team, raised_at, id);
CREATE INDEX alerts_by_conversation ON alerts (tenant, conversation, raised_at, id);

CREATE TABLE alert_events (
    n          INTEGER PRIMARY KEY,
    tenant     TEXT NOT NULL,
    alert      TEXT NOT NULL,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    note       TEXT NOT NULL,
    FOREIGN KEY (tenant, alert) REFERENCES alerts (tenant, id) ON DELETE CASCADE
);
CREATE INDEX alert_events_by_alert ON alert_events (tenant, alert, n);

CREATE TABLE promises (
    tenant       TEXT NOT NULL,
    conversation TEXT NOT NULL,
    id           TEXT NOT NULL,
    team         TEXT NOT NULL,
    what         TEXT NOT NULL,
    owner        TEXT NOT NULL,
    amount       REAL,
    due_at       INTEGER,
    due_words    TEXT NOT NULL,
    state        TEXT NOT NULL,
    message      INTEGER NOT NULL, -- from here on the span that says it
    message_id   TEXT NOT NULL,
    span_start   INTEGER NOT NULL,
    span_end     INTEGER NOT NULL,
    quote        TEXT NOT NULL,
    warned       INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation, id),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX promises_open ON promises (tenant, due_at) WHERE state = 'open';

CREATE TABLE feedback (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    conversation TEXT NOT NULL,
    suggestion   TEXT NOT NULL, -- JSON object, as it was shown
    action       TEXT NOT NULL,
    text         TEXT NOT NULL,
    reason       TEXT NOT NULL,
    given_by     TEXT NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, conversation) REFERENCES conversations (tenant, id) ON DELETE CASCADE
);
CREATE INDEX feedback_by_conversation ON feedback (tenant, conversation, at, id);
CREATE INDEX feedback_by_time ON feedback (tenant, at, action);

CREATE TABLE teams (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    parent     TEXT NOT NULL, -- '' at the top
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

CREATE TABLE users (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    login      TEXT NOT NULL,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    team       TEXT NOT NULL,
    disabled   INTEGER NOT NULL,
    password   TEXT NOT NULL, -- the hash with its parameters
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX users_by_login ON users (login); -- of the whole installation

CREATE TABLE keys (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    start      TEXT NOT NULL,
    hash       TEXT NOT NULL,
    scopes     TEXT NOT NULL, -- JSON list
    team       TEXT NOT NULL,
    expires_at INTEGER,
    disabled   INTEGER NOT NULL,
    used_at    INTEGER,
    made_by    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX keys_by_hash ON keys (hash);

-- Sessions and tickets are found by a hashed secret; what is in them names the
-- tenant, and a login attempt has none yet.
CREATE TABLE sessions (
    token      TEXT PRIMARY KEY,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE tickets (
    hash       TEXT PRIMARY KEY,
    principal  TEXT NOT NULL, -- JSON object
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tickets_by_expiry ON tickets (expires_at);

CREATE TABLE login_attempts (
    n       INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,
    at      INTEGER NOT NULL
);
CREATE INDEX login_attempts_by_subject ON login_attempts (subject, at);
CREATE INDEX login_attempts_by_time ON login_attempts (at);

CREATE TABLE endpoints (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    url        TEXT NOT NULL,
    secret     BLOB NOT NULL,
    events     TEXT NOT NULL, -- JSON list; empty: all
    teams      TEXT NOT NULL, -- JSON list; empty: all
    disabled   INTEGER NOT NULL,
    reason     TEXT NOT NULL, -- why it is disabled
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

CREATE TABLE outbox (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    event        TEXT NOT NULL,
    type         TEXT NOT NULL,
    conversation TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    payload      BLOB NOT NULL,
    attempts     INTEGER NOT NULL,
    next_at      INTEGER NOT NULL, -- when it is due; while it is being sent, when the lease ends
    state        TEXT NOT NULL,
    status       INTEGER NOT NULL, -- HTTP status of the last answer, 0 when there was none
    error        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX outbox_due ON outbox (tenant, endpoint, next_at, id) WHERE state = 'pending';
CREATE INDEX outbox_by_time ON outbox (tenant, created_at, id);
CREATE INDEX outbox_by_state ON outbox (tenant, state, created_at, id);
CREATE INDEX outbox_by_endpoint ON outbox (tenant, endpoint, created_at, id);
CREATE INDEX outbox_settled ON outbox (updated_at) WHERE state <> 'pending';

CREATE TABLE jobs (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    kind       TEXT NOT NULL,
    state      TEXT NOT NULL,
    request    BLOB NOT NULL,
    result     BLOB NOT NULL,
    error      TEXT NOT NULL,
    total      INTEGER NOT NULL,
    done       INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    lease_at   INTEGER NOT NULL, -- when a running job may be taken over
    put_by     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX jobs_waiting ON jobs (created_at) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_by_time ON jobs (tenant, created_at, id);
CREATE INDEX jobs_settled ON jobs (updated_at) WHERE state NOT IN ('queued', 'running');

CREATE TABLE idempotency (
    tenant     TEXT NOT NULL,
    principal  TEXT NOT NULL,
    key        TEXT NOT NULL,
    body_hash  BLOB NOT NULL,
    status     INTEGER NOT NULL, -- 0 while the first request is in flight
    reply      BLOB,
    begun_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, principal, key)
);
CREATE INDEX idempotency_by_time ON idempotency (begun_at);
