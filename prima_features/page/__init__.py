"""HTML pages that open offline: frame, style, blocks (tables, figures, text), plots and numbers.

A page is one HTML file. It loads nothing from elsewhere, and its content security policy forbids it.
"""

from prima_features.page.digits import count, minus, percent
from prima_features.page.html import template, write_html

__all__ = ["count", "minus", "percent", "template", "write_html"]
