-- Leases and locks. A version that is bound to no lease has the sum that it had before, and
-- so has a meta row without leases and claims. The lease of a deletion is the one that it
-- went with.
ALTER TABLE versions ADD COLUMN lease INTEGER;
ALTER TABLE live ADD COLUMN lease INTEGER;
CREATE INDEX live_by_lease ON live(lease, key) WHERE lease IS NOT NULL;
ALTER TABLE meta ADD COLUMN leases INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN claims INTEGER NOT NULL DEFAULT 0;
CREATE TABLE leases(
    id INTEGER PRIMARY KEY,
    ttl_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    has_keys INTEGER NOT NULL,
    sum BLOB NOT NULL
) STRICT;
CREATE TABLE claims(
    name BLOB NOT NULL,
    since INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    fence INTEGER,
    sum BLOB NOT NULL,
    PRIMARY KEY (name, since)
) STRICT, WITHOUT ROWID;
CREATE TABLE ended_leases(
    lease INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    first BLOB NOT NULL,
    sum BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX ended_leases_by_revision ON ended_leases(revision);
