//! A consortium on one thread, faults from a seed, named checkers.
