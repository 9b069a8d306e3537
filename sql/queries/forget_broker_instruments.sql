-- Opened and closed on one day: nobody could ask for it.
DELETE FROM broker_instruments WHERE broker = :broker AND valid_to = :today AND valid_from >= :today
