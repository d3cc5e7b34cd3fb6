-- Tokens and policies, whether tokens are required, and whose a lease is. A meta row without
-- any of it has the sum that it had before, and so has a lease that is nobody's.
ALTER TABLE meta ADD COLUMN tokens_since INTEGER;
ALTER TABLE meta ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN policies INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN owner INTEGER;
CREATE TABLE tokens(
    accessor INTEGER PRIMARY KEY,
    secret BLOB NOT NULL,
    policies TEXT NOT NULL,
    description TEXT NOT NULL,
    expires_ms INTEGER,
    created_revision INTEGER NOT NULL,
    created_by INTEGER,
    sum BLOB NOT NULL
) STRICT;
CREATE TABLE policies(
    name TEXT PRIMARY KEY,
    policy TEXT NOT NULL,
    sum BLOB NOT NULL
) STRICT, WITHOUT ROWID;
