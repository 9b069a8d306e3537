SELECT value AS __value, label AS __text FROM dashboard_instruments('${__searchFilter}')
