-- The library: what was read of each model file, so that a second listing opens none of them; hashes,
-- which take long to compute; what the person noted. Paths are bytes: a file's name need not be UTF-8.

CREATE TABLE library_roots (
  path       BLOB PRIMARY KEY,
  filesystem TEXT NOT NULL             -- tells a disk that is away from a folder that was deleted
) STRICT;

CREATE TABLE library_models (
  place    BLOB    PRIMARY KEY,        -- the manifest that names it where there is one, else the path
  path     BLOB    NOT NULL,           -- of the first part of a split model
  root     BLOB    NOT NULL,
  store    TEXT    NOT NULL,
  name     TEXT    NOT NULL,           -- what the store calls it
  size     INTEGER NOT NULL,           -- bytes of all parts
  modified INTEGER NOT NULL,           -- nanoseconds since 1970, the newest part
  inode    INTEGER NOT NULL,
  parts    INTEGER NOT NULL,
  sha256   TEXT,                       -- of the one file, where it is known
  title    TEXT    NOT NULL,
  arch     TEXT    NOT NULL,
  params   INTEGER NOT NULL,
  quant    TEXT    NOT NULL,
  context  INTEGER,
  kind     TEXT    NOT NULL,
  error    TEXT
) STRICT;

CREATE TABLE library_hashes (
  path     BLOB    PRIMARY KEY,
  size     INTEGER NOT NULL,
  modified INTEGER NOT NULL,
  device   INTEGER NOT NULL,
  inode    INTEGER NOT NULL,
  sha256   TEXT    NOT NULL,
  at       REAL    NOT NULL,           -- when it was computed, seconds since 1970
  expected TEXT                        -- what it should have been, where it is not: damaged
) STRICT;

CREATE TABLE library_marks (
  path      BLOB    PRIMARY KEY,
  sha256    TEXT,                      -- so that they follow the content to another place
  favourite INTEGER NOT NULL DEFAULT 0 CHECK (favourite IN (0, 1)),
  alias     TEXT    NOT NULL DEFAULT '',
  note      TEXT    NOT NULL DEFAULT '',
  last_used REAL                       -- seconds since 1970
) STRICT;
