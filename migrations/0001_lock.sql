-- The lock beside the log: the newest end of it that was ever acted on. One row, moved by compare-and-swap.

CREATE TABLE lock (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  size  INTEGER NOT NULL CHECK (size > 0),
  last  BLOB NOT NULL CHECK (length(last) = 32),
  epoch INTEGER NOT NULL CHECK (epoch >= 0 AND epoch < size)
) STRICT;

CREATE TRIGGER lock_stays BEFORE DELETE ON lock
BEGIN SELECT RAISE(ABORT, 'the lock is never removed'); END;

CREATE TRIGGER lock_never_goes_back BEFORE UPDATE ON lock WHEN NEW.size < OLD.size OR NEW.epoch < OLD.epoch
BEGIN SELECT RAISE(ABORT, 'the lock never goes back'); END;

PRAGMA application_id = 1668508779;
PRAGMA user_version = 1;
