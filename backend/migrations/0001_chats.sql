-- Conversations and their message trees, with full-text search.

CREATE TABLE conversations (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,  -- ids are never used again, so an undo cannot mix chats
  title    TEXT    NOT NULL DEFAULT '',
  model    TEXT    NOT NULL DEFAULT '',
  system   TEXT    NOT NULL DEFAULT '',
  pinned   INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),
  created  REAL    NOT NULL,                   -- seconds since 1970, UTC
  updated  REAL    NOT NULL,
  leaf_id  INTEGER REFERENCES messages (id) ON DELETE SET NULL,   -- end of the branch on show
  start_id INTEGER REFERENCES messages (id) ON DELETE SET NULL,   -- first message still sent, NULL: all
  deleted  REAL                                -- when it was hidden, NULL: it is not
) STRICT;

CREATE INDEX conversations_listed ON conversations (deleted, pinned DESC, updated DESC);

CREATE TABLE messages (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  conversation_id INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
  parent_id       INTEGER REFERENCES messages (id) ON DELETE CASCADE,
  role            TEXT    NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'tool')),
  content         TEXT    NOT NULL,
  reasoning       TEXT    NOT NULL DEFAULT '',
  model           TEXT    NOT NULL DEFAULT '',
  sampling        TEXT    NOT NULL DEFAULT '{}',   -- JSON object
  seed            INTEGER,
  stats           TEXT    NOT NULL DEFAULT '{}',   -- JSON object
  finish_reason   TEXT,                            -- NULL while it is being written
  writer          TEXT,                            -- the process that is writing it, else NULL
  created         REAL    NOT NULL
) STRICT;

CREATE INDEX messages_of ON messages (conversation_id, parent_id);
CREATE INDEX messages_after ON messages (parent_id);
CREATE INDEX messages_unfinished ON messages (id) WHERE finish_reason IS NULL;

-- The indexes hold no copy of the text; a message enters its index once it is complete.
CREATE VIRTUAL TABLE messages_found USING fts5 (
  content, content = 'messages', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TRIGGER messages_in AFTER INSERT ON messages WHEN new.finish_reason IS NOT NULL BEGIN
  INSERT INTO messages_found (rowid, content) VALUES (new.id, new.content);
END;

CREATE TRIGGER messages_out AFTER DELETE ON messages WHEN old.finish_reason IS NOT NULL BEGIN
  INSERT INTO messages_found (messages_found, rowid, content)
    VALUES ('delete', old.id, old.content);
END;

CREATE TRIGGER messages_left AFTER UPDATE OF content, finish_reason ON messages
WHEN old.finish_reason IS NOT NULL BEGIN
  INSERT INTO messages_found (messages_found, rowid, content)
    VALUES ('delete', old.id, old.content);
END;

CREATE TRIGGER messages_entered AFTER UPDATE OF content, finish_reason ON messages
WHEN new.finish_reason IS NOT NULL BEGIN
  INSERT INTO messages_found (rowid, content) VALUES (new.id, new.content);
END;

CREATE VIRTUAL TABLE titles_found USING fts5 (
  title, content = 'conversations', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TRIGGER titles_in AFTER INSERT ON conversations BEGIN
  INSERT INTO titles_found (rowid, title) VALUES (new.id, new.title);
END;

CREATE TRIGGER titles_out AFTER DELETE ON conversations BEGIN
  INSERT INTO titles_found (titles_found, rowid, title) VALUES ('delete', old.id, old.title);
END;

CREATE TRIGGER titles_changed AFTER UPDATE OF title ON conversations BEGIN
  INSERT INTO titles_found (titles_found, rowid, title) VALUES ('delete', old.id, old.title);
  INSERT INTO titles_found (rowid, title) VALUES (new.id, new.title);
END;
