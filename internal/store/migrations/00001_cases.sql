-- +goose Up
CREATE TABLE cases (
    id           TEXT PRIMARY KEY,
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
    closed_at    INTEGER, -- microseconds since 1970 UTC; NULL when not closed, as are the times below
    vector       BLOB,    -- float32, little endian; NULL when not encoded
    vector_from  TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    version      INTEGER NOT NULL -- 1, and one more with every change
);
CREATE INDEX cases_by_type ON cases (type, outcome);
CREATE INDEX cases_by_closing ON cases (closed_at);

-- Every case that was ever seeded, so that a deleted one stays deleted.
CREATE TABLE seeded_cases (
    id        TEXT PRIMARY KEY,
    seeded_at INTEGER NOT NULL
);

-- +goose Down
DROP TABLE seeded_cases;
DROP TABLE cases;
