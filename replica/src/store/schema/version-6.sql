-- Out of an empty file. Was released, so it is never edited: what is to be otherwise is a
-- version of its own.
CREATE TABLE meta(
    one INTEGER PRIMARY KEY CHECK (one = 1),
    replica TEXT NOT NULL,
    cluster INTEGER,
    executed_below INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    hash BLOB NOT NULL,
    view TEXT,
    next_batch INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    compacted_below INTEGER NOT NULL,
    log_start INTEGER NOT NULL,
    log_start_hash BLOB NOT NULL,
    sum BLOB NOT NULL
) STRICT;
CREATE TABLE log(
    slot INTEGER PRIMARY KEY,
    ballot_round INTEGER NOT NULL,
    ballot_coordinator INTEGER NOT NULL,
    value BLOB NOT NULL,
    left_out BLOB,
    hash BLOB NOT NULL,
    revision INTEGER NOT NULL,
    sum BLOB NOT NULL
) STRICT;
CREATE TABLE versions(
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    revision INTEGER NOT NULL,
    created_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    sum BLOB NOT NULL,
    content_type TEXT,
    value BLOB
) STRICT;
CREATE UNIQUE INDEX versions_by_key ON versions(key, revision);
CREATE UNIQUE INDEX versions_by_revision ON versions(revision, key);
CREATE TABLE live(
    key BLOB PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE range_tombstones(
    revision INTEGER PRIMARY KEY,
    first BLOB NOT NULL,
    below BLOB NOT NULL,
    sum BLOB NOT NULL
) STRICT;
