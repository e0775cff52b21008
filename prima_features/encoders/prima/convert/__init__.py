"""From the published checkpoint of Prima to a model directory."""
