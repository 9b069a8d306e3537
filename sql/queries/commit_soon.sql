-- Commits of this connection do not wait for the disk. The journal holds what a crash of the server undoes.
SET synchronous_commit = off
