-- When the frames of the stretch were received: its ticks have these times. What stood by before the stretch may be told again
-- in it: that stays among what stood by, and may be a tick as well.
CREATE TEMPORARY TABLE rebuild_frames (
    received_at timestamptz PRIMARY KEY, stood_by_before boolean NOT NULL
) ON COMMIT DROP
