"""The report's figures: functions of arrays that draw on axes, and the way from there to SVG in a page."""
