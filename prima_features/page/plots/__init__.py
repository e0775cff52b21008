"""Figures of pages: drawn by matplotlib, written as SVG."""
