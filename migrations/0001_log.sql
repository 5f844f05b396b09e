-- The log of one lattice: entries in order, each with the document that it judged, and the statements that came with
-- documents. Rows are added, never changed.
--
-- Triggers are a guard rail for honest hands; the hash chain inside `bytes` is the proof. REPLACE deletes without
-- firing delete triggers unless a connection asks for it, so it is stopped before the row goes in: a point lookup by
-- primary key on pages that the insert itself touches next, about a microsecond where the commit waits for the disk a
-- thousand. There is no other unique key through which it could come.

CREATE TABLE entries (
  idx      INTEGER PRIMARY KEY CHECK (idx >= 0),
  hash     BLOB NOT NULL CHECK (length(hash) = 32),
  bytes    BLOB NOT NULL CHECK (length(bytes) > 0),
  document BLOB
) STRICT;

-- Statements come again and again (the claims of a component, the inventory of a host) and are stored once. The
-- document of an entry is its own, so it lies beside it: whatever is appended is appended in one place.

CREATE TABLE evidence (
  sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
  bytes  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER entries_are_not_updated BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER entries_are_not_deleted BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER entries_are_not_replaced BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE idx = NEW.idx)
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER evidence_is_not_updated BEFORE UPDATE ON evidence
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER evidence_is_not_deleted BEFORE DELETE ON evidence
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

-- The same bytes may come again and are stored once; other bytes under a known digest may not.
CREATE TRIGGER evidence_is_not_replaced BEFORE INSERT ON evidence
WHEN EXISTS (SELECT 1 FROM evidence WHERE sha256 = NEW.sha256 AND bytes <> NEW.bytes)
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

PRAGMA application_id = 1668508775;
PRAGMA user_version = 1;
