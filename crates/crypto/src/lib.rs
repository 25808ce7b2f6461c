//! Sign, seal, grant, release: the only crate that names an algorithm.
