"""Grafana's dashboards as code: `python -m grafana.generator` writes grafana/dashboards/.

A dashboard is a module here with a function `build`, listed in `catalogue.py`. What all of them
share, from the data source to the colours, is in `frame.py`, `panels.py` and `look.py`; the SQL of
a panel is a file of sql/panels/.
"""

#: The version of Grafana that the dashboards are written for.
GRAFANA = "12.4.10"
