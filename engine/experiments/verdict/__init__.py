"""Verdicts on an experiment's counts: rates, lifts, intervals that hold at every look, and alarms.

The unit is the visitor: a variant's counts are a proportion, the visitors exposed and how many of them
converted at least once. Clicks are never counted here: clicks of one visitor are not independent of each
other, and an interval over them is too narrow.

| file | has |
|---|---|
| proportion | the counts of one variant |
| wilson | the interval of one rate, for one look planned beforehand |
| lift | the lift of a treatment, absolute and relative |
| mixture | the e-processes that all sequential results are made of |
| confidence_sequence | confidence sequences and p-values that hold at every look |
| srm | the test for sample-ratio mismatch, valid at every look |
| bayes | chance to be best, expected loss |
| fixed_horizon | z and Fisher, locked until the planned size |
| multiple_testing | Holm, Benjamini-Hochberg |
| power | sample size and duration |
| decision | superior, equivalent or harmful, by a rule set beforehand |
| summary | all of it for one look at an experiment |

Arguments are plain numbers and results named tuples; nothing here is drawn at random. Bad input
raises ValueError. SciPy is imported when it is first needed: `scipy.stats` alone takes 0.9 s.
"""
