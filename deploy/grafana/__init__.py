"""Which dashboards come with Headrace? Built in Python, committed as the JSON Grafana reads."""
