-- All that is read until the end of the transaction is as it was at its first query.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
