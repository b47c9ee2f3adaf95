"""Tests of whole runs: charts in test functions are drawn quickly."""

from tests.support.quick_charts import quick_charts as quick_charts
