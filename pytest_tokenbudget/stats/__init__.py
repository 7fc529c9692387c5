"""Statistics in plain floats, without any knowledge of tokens or tests.

Each module is one procedure, with its source:

* :mod:`~pytest_tokenbudget.stats.special`: incomplete beta, digamma and trigamma functions;
* :mod:`~pytest_tokenbudget.stats.student`: Student's t distribution, tail and quantile;
* :mod:`~pytest_tokenbudget.stats.robust`: Huber's location and a moderated, winsorised pooled scale;
* :mod:`~pytest_tokenbudget.stats.log_ratio`: the moderated robust log-ratio test of two samples, its bounds and power;
* :mod:`~pytest_tokenbudget.stats.ranks`: the exact Mann-Whitney test, valid whatever the distribution;
* :mod:`~pytest_tokenbudget.stats.fisher`: Fisher's one-sided exact test;
* :mod:`~pytest_tokenbudget.stats.exact`: comparison in rational numbers;
* :mod:`~pytest_tokenbudget.stats.statistic`: the statistics that a gate may ask for;
* :mod:`~pytest_tokenbudget.stats.tails`: exceedance test and distribution-free bounds of quantiles;
* :mod:`~pytest_tokenbudget.stats.multiplicity`: Benjamini-Hochberg and the sharing of a level;
* :mod:`~pytest_tokenbudget.stats.moderation`: empirical-Bayes learning of a prior for variances.

numpy and scipy would cost more to import than they save: samples have 1 to 100 values.
"""
