-- When a database joined its cluster, and which replicas were taken out for good. A meta row
-- without them has the sum that it had before.
ALTER TABLE meta ADD COLUMN joined_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN removed TEXT;
