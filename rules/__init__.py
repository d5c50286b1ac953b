"""Alert and recording rules: typed tables, rendered for every kind of Prometheus they may run in.

`alerts` and `recordings` are the tables, `thresholds` the numbers in them that people tune, `known` the
way an expression reads a metric, `render` the files. `python -m rules` writes `rules/rendered/`.
"""
