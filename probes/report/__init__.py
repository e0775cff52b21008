"""The HTML report of a probe: a page that opens offline, and text for a paper."""

from prima_features.probes.report.content import PageContent
from prima_features.probes.report.feature_map import FeatureMap, feature_map
from prima_features.probes.report.methods import methods_text
from prima_features.probes.report.page import write_page

__all__ = ["FeatureMap", "PageContent", "feature_map", "methods_text", "write_page"]
