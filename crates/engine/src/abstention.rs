//! A note that a validator may have forgotten how it voted.
//!
//! Who is restored from a backup, or begins from the state of others, has lost the votes that it cast since. Were it to
//! vote in a view in which it had voted otherwise, it would be a second validator with the same key; a consortium
//! survives `f` such, and no more. So it follows without a vote until it has a final block that was made after it
//! started: those who certified that block have left every view in which it can have voted. It votes in later ones.
//!
//! # Invariants
//!
//! * The note is on the disk before anything that follows from the loss, and until a block that ends it is there too.
//! * In a consortium whose quorum is all of its validators, it votes soon: nobody could make the block that it waits for.
//!   No block comes of what it may have voted twice, since all must have voted for it; but the others may take it for a
//!   liar, and hear it again only once they are restarted. [`crate::patience`] makes that rare. Where the others could, and too few of them run, its operator decides ([`forget`]).
//!
//! Not here: following without a vote ([`crate::epochs`]).

use commonware_runtime::{Clock, Error, Storage};
use keepwell_types::{limits::BLOCK_AHEAD_MS_MAX, time::BlockTime, validators::ValidatorSet};

use crate::application::now;

/// The one blob of the note.
const NAME: &[u8] = b"forgot";

/// Writes the note, durably.
pub(crate) async fn note<E: Storage>(context: &E, prefix: &str) -> Result<(), Error> {
    let (blob, _) = context.open(&partition(prefix), NAME).await?;
    drop(blob);
    Ok(())
}

/// Removes it, durably: a validator that is stopped votes again once it is started.
pub async fn forget<E: Storage>(context: &E, prefix: &str) -> Result<(), Error> {
    match context.remove(&partition(prefix), None).await {
        Ok(()) | Err(Error::PartitionMissing(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// If the note is there: a block that is later than this was made after now.
pub(crate) async fn since<E>(context: &E, prefix: &str) -> Result<Option<BlockTime>, Error>
where
    E: Clock + Storage,
{
    match context.scan(&partition(prefix)).await {
        Ok(names) => Ok((!names.is_empty()).then(|| now(context).plus_ms(BLOCK_AHEAD_MS_MAX))),
        Err(Error::PartitionMissing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a block can be certified by all validators but one.
pub(crate) fn others_suffice(set: &ValidatorSet) -> bool {
    set.seats.len() > set.quorum()
}

fn partition(prefix: &str) -> String {
    format!("{prefix}-abstention")
}
