"""Room `cli`: a report as a page. Touches Jinja2 and pygal."""
