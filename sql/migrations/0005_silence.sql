-- Streams tell of instruments that fell silent, of a journal that is full, and which process they are.

ALTER TABLE streams ADD COLUMN stale_instruments bigint[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN streams.stale_instruments IS 'Of which no packet comes though the connection lives and their exchange is open.';

ALTER TABLE streams DROP CONSTRAINT streams_state_check;
ALTER TABLE streams ADD CONSTRAINT streams_state_check CHECK (state IN (
    'starting', 'connecting', 'streaming', 'awaiting_login', 'journal_full', 'stopping', 'stopped', 'failed'
));

ALTER TABLE streams ADD COLUMN process text NOT NULL DEFAULT '';
COMMENT ON COLUMN streams.process IS 'Machine, process number and when it began: whether it lives can be told on its machine.';
