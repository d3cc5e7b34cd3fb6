PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE answers(
    key BLOB PRIMARY KEY,
    expires_ms INTEGER NOT NULL,
    request BLOB NOT NULL,
    outcome BLOB NOT NULL,
    sum BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE authors(
    revision INTEGER PRIMARY KEY,
    accessor INTEGER NOT NULL,
    issuer TEXT,
    subject TEXT,
    sum BLOB NOT NULL
) STRICT;
INSERT INTO authors VALUES(1,7,NULL,NULL,X'd149e472141e370b');
INSERT INTO authors VALUES(3,8,'spiffe://synod','operator/ada',X'65445f46f444266f');
CREATE TABLE live(
    key BLOB PRIMARY KEY,
    revision INTEGER NOT NULL
, lease INTEGER) STRICT, WITHOUT ROWID;
INSERT INTO live VALUES(X'61',3,NULL);
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
INSERT INTO log VALUES(0,3,-1,X'0100',NULL,X'3fef9889d0520dfb13bcbf75f656a7c5596cb9ce975cb3549837ba52eb395b53',0,X'960dce9a100a0761');
INSERT INTO log VALUES(1,3,-1,X'0100',NULL,X'7b9dd90545aaec9fe1bc2eeb16bb33bad6209f830313ca1a28f8b31479afaa7b',4,X'6aa098870b0ef979');
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
, answers INTEGER NOT NULL DEFAULT 0, leases INTEGER NOT NULL DEFAULT 0, claims INTEGER NOT NULL DEFAULT 0, swept_through INTEGER NOT NULL DEFAULT 0, joined_at INTEGER NOT NULL DEFAULT 0, removed TEXT, tokens_since INTEGER, tokens INTEGER NOT NULL DEFAULT 0, policies INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO meta VALUES(1,'replica-1',7,2,4,X'7b9dd90545aaec9fe1bc2eeb16bb33bad6209f830313ca1a28f8b31479afaa7b',NULL,0,0,0,0,X'0000000000000000000000000000000000000000000000000000000000000000',X'eb230db39a03fc00',0,1,0,0,3,'[{"replica":"replica-3","slot":5,"epoch":2}]',1,1,1);
CREATE TABLE range_tombstones(
    revision INTEGER NOT NULL,
    first BLOB NOT NULL,
    below BLOB NOT NULL,
    sum BLOB NOT NULL,
    PRIMARY KEY (revision, below)
) STRICT, WITHOUT ROWID;
CREATE TABLE versions(
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    revision INTEGER NOT NULL,
    created_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    sum BLOB NOT NULL,
    content_type TEXT,
    value BLOB
, lease INTEGER) STRICT;
INSERT INTO versions VALUES(1,X'61',1,1,1,X'98f5b8ba40ac5d5829b1f5e1686a3749','text/plain',X'30',NULL);
INSERT INTO versions VALUES(2,X'62',2,2,1,X'0c139efa527417669607e95517831361','text/plain',X'32',NULL);
INSERT INTO versions VALUES(3,X'61',3,1,2,X'0d5fd5ff8fc5588bf595209fda5a5262','text/plain',X'31',NULL);
INSERT INTO versions VALUES(4,X'62',4,2,1,X'199170f32b44b279a1264adc839b5b04',NULL,NULL,NULL);
CREATE TABLE leases(
    id INTEGER PRIMARY KEY,
    ttl_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    has_keys INTEGER NOT NULL,
    sum BLOB NOT NULL
, owner INTEGER) STRICT;
INSERT INTO leases VALUES(2,600000,600000,0,X'59392a8a804ffd33',-7913003727026169714);
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
INSERT INTO tokens VALUES(-7913003727026169714,X'a80aaaf5b9a56ee211aa30f8a99bbfb6d30914121e51d3ebf81f641f6230420b','["readers","root"]','the first',NULL,1,NULL,X'0bfc4b247e5b8e41');
CREATE TABLE policies(
    name TEXT PRIMARY KEY,
    policy TEXT NOT NULL,
    sum BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO policies VALUES('readers','{"rules":[{"prefix":"a","rights":["read"]}],"cluster":[]}',X'6c74aa3f9f464b94');
CREATE UNIQUE INDEX versions_by_key ON versions(key, revision);
CREATE UNIQUE INDEX versions_by_revision ON versions(revision, key);
CREATE INDEX answers_by_expiry ON answers(expires_ms, key);
CREATE INDEX live_by_lease ON live(lease, key) WHERE lease IS NOT NULL;
CREATE UNIQUE INDEX ended_leases_by_revision ON ended_leases(revision);
COMMIT;
PRAGMA application_id = 1400467058;
PRAGMA user_version = 13;
