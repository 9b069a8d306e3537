-- When the frames of the stretch were received: its ticks have these times.
CREATE TEMPORARY TABLE rebuild_frames (received_at timestamptz PRIMARY KEY) ON COMMIT DROP
