-- How far what is compacted is swept. A meta row of a state of which nothing is has the sum
-- that it had before.
ALTER TABLE meta ADD COLUMN swept_through INTEGER NOT NULL DEFAULT 0;
