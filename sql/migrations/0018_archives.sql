-- Days of ticks that are in an archive outside the database, read back and found equal to it.

CREATE TABLE archives (
    day date PRIMARY KEY,
    location text NOT NULL,
    ticks bigint NOT NULL,
    standby_ticks bigint NOT NULL,
    candles bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    verified_at timestamptz NOT NULL,
    changed_at timestamptz,
    damage text
);
COMMENT ON TABLE archives IS 'Certificates: a row is written only after the files of a day were read back and found equal to the database.';
COMMENT ON COLUMN archives.sha256 IS 'Of the day''s ticks, whatever the files they are in.';
COMMENT ON COLUMN archives.changed_at IS 'Since when the database has ticks of the day that the archive lacks; NULL: none.';
COMMENT ON COLUMN archives.damage IS 'What the last verification found wrong, with the file; NULL: nothing.';

CREATE TABLE archive_files (
    day date NOT NULL REFERENCES archives ON DELETE CASCADE,
    path text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('ticks', 'standby_ticks', 'candles')),
    exchange text NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    PRIMARY KEY (day, path)
);
COMMENT ON COLUMN archive_files.path IS 'Below the location of the archive.';
