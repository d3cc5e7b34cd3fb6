-- Who made the changes of a revision, where somebody is named and the program that executed it
-- had this version.
CREATE TABLE authors(
    revision INTEGER PRIMARY KEY,
    accessor INTEGER NOT NULL,
    issuer TEXT,
    subject TEXT,
    sum BLOB NOT NULL
) STRICT;
