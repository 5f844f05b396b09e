-- Old entries may lie offline. Each leaves its place and its leaf hash here, so that chain, tree and proofs are as they
-- were; a segment says which file holds them, and the checkpoint over its end is signed by the log's own key.
--
-- A log with rows here was written as a new file by `audit freeze`: `entries` is append-only all the same.

CREATE TABLE segments (
  size       INTEGER PRIMARY KEY CHECK (size > 0),
  first      INTEGER NOT NULL CHECK (first >= 0 AND first < size),
  sha256     BLOB NOT NULL CHECK (length(sha256) = 32),
  checkpoint BLOB NOT NULL CHECK (length(checkpoint) > 0)
) STRICT;

CREATE TABLE frozen (
  idx  INTEGER PRIMARY KEY CHECK (idx > 0),
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER segments_are_not_updated BEFORE UPDATE ON segments
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER segments_are_not_deleted BEFORE DELETE ON segments
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER segments_are_not_replaced BEFORE INSERT ON segments
WHEN EXISTS (SELECT 1 FROM segments WHERE size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER frozen_are_not_updated BEFORE UPDATE ON frozen
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER frozen_are_not_deleted BEFORE DELETE ON frozen
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER frozen_are_not_replaced BEFORE INSERT ON frozen
WHEN EXISTS (SELECT 1 FROM frozen WHERE idx = NEW.idx) OR EXISTS (SELECT 1 FROM entries WHERE idx = NEW.idx)
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

PRAGMA user_version = 2;
