-- This one waits, and with it all before it are safe.
SET LOCAL synchronous_commit = on
