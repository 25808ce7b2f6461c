//! The node's own clock, which says nothing on the ledger: only how old things look from here.

use std::time::{SystemTime, UNIX_EPOCH};

use keepwell_types::time::BlockTime;

/// Age of the newest block, in milliseconds, from which on a node holds itself for cut off: it is not
/// ready, and releases nothing.
pub const TIP_AGE_MS_MAX: u64 = 30_000;

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Now.
    pub fn now(self) -> BlockTime {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        BlockTime(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    /// Milliseconds since `time`; 0 if it is ahead.
    pub fn age_ms(self, time: BlockTime) -> u64 {
        self.now().ms_since(time)
    }

    /// Whether a newest block of this time means that the node is not cut off.
    pub fn is_fresh(self, time: BlockTime) -> bool {
        self.age_ms(time) <= TIP_AGE_MS_MAX
    }
}
