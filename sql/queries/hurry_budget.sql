-- A process that stops in the middle must not keep the others waiting; what a crash of the server
-- undoes is older than the longest pause between two requests when it is back.
SELECT
    set_config('idle_in_transaction_session_timeout', '2s', true),
    set_config('synchronous_commit', 'off', true)
