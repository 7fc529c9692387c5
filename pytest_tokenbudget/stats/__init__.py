"""Statistics in plain floats, without any knowledge of tokens or tests.

Each procedure names its source:

* :mod:`~pytest_tokenbudget.stats.statistic`: the statistics of values, exact comparison, Benjamini-Hochberg;
* :mod:`~pytest_tokenbudget.stats.distributions`: Student's t, Fisher's exact test, beta and gamma functions;
* :mod:`~pytest_tokenbudget.stats.log_ratio`: the moderated robust log-ratio test, its location, scale and learned prior;
* :mod:`~pytest_tokenbudget.stats.ranks`: Mann-Whitney, exceedance test, distribution-free bounds of quantiles.

numpy and scipy would cost more to import than they save: samples have 1 to 100 values.
"""
