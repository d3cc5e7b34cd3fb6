-- A revision deletes several prefixes, where it is a transaction's.
ALTER TABLE range_tombstones RENAME TO range_tombstones_7;
CREATE TABLE range_tombstones(
    revision INTEGER NOT NULL,
    first BLOB NOT NULL,
    below BLOB NOT NULL,
    sum BLOB NOT NULL,
    PRIMARY KEY (revision, below)
) STRICT, WITHOUT ROWID;
INSERT INTO range_tombstones(revision, first, below, sum)
    SELECT revision, first, below, sum FROM range_tombstones_7;
DROP TABLE range_tombstones_7;
