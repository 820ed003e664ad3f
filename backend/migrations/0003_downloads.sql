-- The queue of downloads. A row is a model; its files lie in the Hugging Face cache, whole or in part.

CREATE TABLE downloads (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  place    REAL    NOT NULL,             -- the order in which they are worked through
  repo     TEXT    NOT NULL,
  revision TEXT    NOT NULL,             -- what was asked for, a branch mostly
  commit_id TEXT   NOT NULL,             -- what that was then
  quant    TEXT    NOT NULL,
  license  TEXT    NOT NULL,
  files    TEXT    NOT NULL,             -- JSON: [{path, size, sha256}]
  bytes    INTEGER NOT NULL,
  done     INTEGER NOT NULL DEFAULT 0,   -- bytes
  state    TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'paused', 'failed', 'done', 'cancelled')),
  owner    TEXT,                         -- the process that works on it, while it is running
  speed    REAL    NOT NULL DEFAULT 0,   -- bytes a second
  still    REAL    NOT NULL DEFAULT 0,   -- seconds without a byte
  retries  INTEGER NOT NULL DEFAULT 0,
  words    TEXT    NOT NULL DEFAULT '',  -- what goes on, or why it is still
  error    TEXT    NOT NULL DEFAULT '',  -- JSON: {kind, message, hint}
  path     TEXT    NOT NULL DEFAULT '',  -- where it is, once it is whole
  sha256   TEXT    NOT NULL DEFAULT '',
  created  REAL    NOT NULL,             -- seconds since 1970
  updated  REAL    NOT NULL
) STRICT;

CREATE INDEX downloads_listed ON downloads (state, place);
