-- What else the lock has seen of the log: a digest of the entries that the fold rests on, and the root of the tree. A
-- lock of before says neither; then the log is read whole once.

ALTER TABLE lock ADD COLUMN rests BLOB CHECK (length(rests) = 32);
ALTER TABLE lock ADD COLUMN root BLOB CHECK (length(root) = 32);

PRAGMA user_version = 2;
