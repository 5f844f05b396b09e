-- Which entries the fold rests on, so that a start reads those and passes the others. Each is named here by the
-- transaction that appends it; a log of before is read whole once, and then its entries are named.
--
-- It follows from the entries. A lock that stands behind the log holds a digest of all that it names, so that a row
-- which is left out is missed when the log is opened. What is named twice is named once: there is nothing to replace.

CREATE TABLE folds (
  idx INTEGER PRIMARY KEY CHECK (idx >= 0)
) STRICT;

CREATE TRIGGER folds_are_not_updated BEFORE UPDATE ON folds
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER folds_are_not_deleted BEFORE DELETE ON folds
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

PRAGMA user_version = 3;
