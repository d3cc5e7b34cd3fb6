-- First answers. A meta row without any has the sum that it had before.
ALTER TABLE meta ADD COLUMN answers INTEGER NOT NULL DEFAULT 0;
CREATE TABLE answers(
    key BLOB PRIMARY KEY,
    expires_ms INTEGER NOT NULL,
    request BLOB NOT NULL,
    outcome BLOB NOT NULL,
    sum BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_expiry ON answers(expires_ms, key);
