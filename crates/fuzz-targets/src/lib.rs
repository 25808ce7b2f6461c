//! Fuzz targets: one for each decoder. Here is what they ask and where their inputs begin; the programs that
//! the fuzzer runs are in `fuzz/`, which only names them, since they need a nightly compiler.
//!
//! A target gives the decoder whatever the fuzzer made, and holds it to more than "does not panic":
//! what is accepted has one encoding, and what carries a proof is refused unless it is the seed that was
//! made with the keys. The fuzzer has no keys, so anything else that is accepted is a forgery.
//!
//! `cargo xtask fuzz` runs them all, from the seeds in [`seeds`]. An input that is found becomes a test of
//! the decoder's crate.

pub mod interop;
pub mod seeds;
pub mod targets;
