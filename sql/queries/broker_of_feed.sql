-- Which broker each number in column feed means.
SELECT feed, broker FROM feeds ORDER BY feed
