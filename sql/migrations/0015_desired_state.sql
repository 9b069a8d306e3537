-- Whether anything is to be streamed at all: what POST /api/ws/stop and /start change.

CREATE TABLE desired_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    is_streaming boolean NOT NULL DEFAULT true,
    changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO desired_state DEFAULT VALUES;
