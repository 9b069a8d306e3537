"""Market data from Indian brokers, in trustworthy ticks and candles.

The tick's journey:

1. `brokers/kite.py` receives a frame (bytes) from the broker's WebSocket.
2. `streaming/journal.py` appends it to a file before anything can fail.
3. `streaming/writer.py` reads the journal from the last committed position.
4. `brokers/kite_wire.py` decodes frames into columns, `streaming/observations.py` into ticks.
5. `storage/ticks.py` commits the rows and the new position in one transaction.
6. `sql/candles/` rolls ticks into candles inside the database.
"""
