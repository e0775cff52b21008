"""What pages that open offline have in common: frame, style, and how their templates are found.

A page is one HTML file. It asks for nothing from outside, and its content security policy forbids it.
"""

from prima_features.page.digits import count, minus, percent
from prima_features.page.template import template

__all__ = ["count", "minus", "percent", "template"]
