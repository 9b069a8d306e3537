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
    damage text,
    keep_until timestamptz
);
COMMENT ON TABLE archives IS 'Certificates: a row is written only after the files of a day were read back and found equal to the database.';
COMMENT ON COLUMN archives.sha256 IS 'Of what the day''s ticks and stand-by ticks say, whatever the files they are in.';
COMMENT ON COLUMN archives.changed_at IS 'Since when the database has ticks of the day that the archive lacks; NULL: none.';
COMMENT ON COLUMN archives.damage IS 'What the last verification found wrong, with the file; NULL: nothing.';
COMMENT ON COLUMN archives.keep_until IS 'Ticks that were restored stay until then.';

CREATE TABLE archive_files (
    day date NOT NULL REFERENCES archives ON DELETE CASCADE,
    path text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('ticks', 'standby_ticks', 'candles', 'repaired_candles', 'instruments')),
    exchange text NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    content_sha256 text NOT NULL,
    is_dropped boolean NOT NULL DEFAULT false,
    PRIMARY KEY (day, path)
);
COMMENT ON COLUMN archive_files.path IS 'Below the location of the archive.';
COMMENT ON COLUMN archive_files.sha256 IS 'Of the file''s bytes.';
COMMENT ON COLUMN archive_files.content_sha256 IS 'Of the values in it: see market_pipeline/archive/digest.py.';
COMMENT ON COLUMN archive_files.is_dropped IS 'The database has what is in it no more: such a file is added to, never replaced.';

CREATE TABLE archive_work (
    day date PRIMARY KEY,
    begun_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz
);
COMMENT ON TABLE archive_work IS 'Days that are being archived, or were when the program ended.';
COMMENT ON COLUMN archive_work.changed_at IS 'When a tick of the day was written meanwhile: what was read may lack it.';

CREATE TABLE archive_leftovers (
    location text NOT NULL,
    path text NOT NULL,
    day date NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (location, path)
);
COMMENT ON TABLE archive_leftovers IS 'Files that were begun and are in no certificate, or no longer: they may be deleted, and no others.';

-- Whoever writes ticks of days that may be archived calls it in the same transaction, while holding the candle lock shared;
-- who archives holds it alone when a day is begun and when it is certified. The writer needs no right to the tables.
CREATE FUNCTION reopen_archives(days date[]) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE archives SET changed_at = now() WHERE day = ANY (days) AND changed_at IS NULL;
    UPDATE archive_work SET changed_at = now() WHERE day = ANY (days) AND changed_at IS NULL;
$$;

-- A day is archived when the threshold has passed it, so that each tick which is written later leaves its candle here.
CREATE FUNCTION reopen_invalidated_archives() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM reopen_archives(array_agg(DISTINCT (time AT TIME ZONE 'Asia/Kolkata')::date)) FROM written;
    RETURN NULL;
END
$$;
CREATE TRIGGER candles_invalidated AFTER INSERT ON candle_invalidations REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION reopen_invalidated_archives();
