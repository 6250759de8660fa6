"""What was measured, as pure data: a scan's rows, a prune's curve, and their files. No torch."""

from identikit.results.agreement import Agreement
from identikit.results.front import Front, Point
from identikit.results.header import DataInfo, Header, MetricInfo, SiteInfo
from identikit.results.read import read_result
from identikit.results.row import Cost, Row, Score
from identikit.results.scan import ScanResult

__all__ = [
    "Agreement",
    "Cost",
    "DataInfo",
    "Front",
    "Header",
    "MetricInfo",
    "Point",
    "Row",
    "ScanResult",
    "Score",
    "SiteInfo",
    "read_result",
]
