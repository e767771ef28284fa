"""What an experiment's counts say: rates, lifts, intervals that may be watched all day, and alarms.

The unit is the visitor: an arm is how many visitors were exposed and how many of them converted at least
once. Clicks are never counted here: those of one visitor are not independent of one another, and an
interval over them is too narrow.

| file | says |
|---|---|
| arm | the counts of one arm |
| wilson | the interval of one rate, at one moment set beforehand |
| lift | how much better, absolute and relative |
| mixture | the e-processes that whatever may be watched is made of |
| sequence | confidence sequences and p-values that may be watched |
| allocation | sample-ratio mismatch, may be watched |
| bayes | chance to be best, expected loss |
| fixed_horizon | z and Fisher, locked until the planned size |
| multiple | Holm, Benjamini-Hochberg |
| power | sample size and duration |
| decision | superior, equivalent or harmful, by a rule set beforehand |

Arguments are plain numbers and results named tuples; nothing here is drawn at random. Bad input
raises ValueError. SciPy is imported when it is first needed: `scipy.stats` alone takes 0.9 s.
"""
