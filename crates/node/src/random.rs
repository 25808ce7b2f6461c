//! Where a node's randomness comes from: the operating system, and nowhere else.

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// The system's generator. It panics if the system has no randomness, for which there is no remedy.
pub const fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
