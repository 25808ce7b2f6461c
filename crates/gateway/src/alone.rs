//! Being alone with what a condition asks for: of two at once, the second finds what the first made.
//!
//! # Invariants
//!
//! * Nobody waits for ever: whoever needs several tags takes them in their order.
//! * A tag that nobody holds or waits for takes no memory.
//!
//! Not here: other gateways of the organisation. The ledger refuses the second of two records with one tag, whoever adds
//! it; what is here saves the second one the trouble.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex as Lock, MutexGuard, PoisonError},
};

use keepwell_types::id::UniquenessTag;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The tags that somebody holds or waits for.
#[derive(Debug, Default)]
pub(crate) struct Tags(Lock<BTreeMap<UniquenessTag, Arc<Mutex<()>>>>);

/// Being alone with some tags, for as long as this lives.
pub(crate) struct Alone<'a> {
    tags: &'a Tags,
    held: Vec<OwnedMutexGuard<()>>,
    /// Those that are held, and one that may be waited for.
    taken: Vec<UniquenessTag>,
}

impl Tags {
    /// Waits until nobody else has any of these.
    pub(crate) async fn alone(&self, wanted: BTreeSet<UniquenessTag>) -> Alone<'_> {
        let mut alone = Alone { tags: self, held: Vec::new(), taken: Vec::new() };
        for tag in wanted {
            let lock = self.all().entry(tag).or_default().clone();
            // Noted before it is waited for: whoever gives up waiting leaves nothing here.
            alone.taken.push(tag);
            alone.held.push(lock.lock_owned().await);
        }
        alone
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<UniquenessTag, Arc<Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.held.clear();
        let mut all = self.tags.all();
        for tag in &self.taken {
            // Others who hold or wait for it have clones.
            if all.get(tag).is_some_and(|lock| Arc::strong_count(lock) == 1) {
                all.remove(tag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{join, task::yield_now, time::timeout};

    use super::*;

    fn tags(numbers: &[u8]) -> BTreeSet<UniquenessTag> {
        numbers.iter().map(|it| UniquenessTag([*it; 32])).collect()
    }

    /// Whether it is still waiting after everyone else has done what can be done.
    async fn waits(all: &Tags, numbers: &[u8]) -> bool {
        timeout(Duration::from_millis(1), all.alone(tags(numbers))).await.is_err()
    }

    #[tokio::test]
    async fn only_those_with_a_tag_in_common_wait() {
        let all = Tags::default();
        let first = all.alone(tags(&[1, 2])).await;
        for (wanted, expected) in
            [(&[3][..], false), (&[], false), (&[2], true), (&[2, 3], true), (&[0, 1], true)]
        {
            assert_eq!(waits(&all, wanted).await, expected, "{wanted:?}");
        }
        drop(first);
        assert!(!waits(&all, &[0, 1, 2, 3]).await);
        assert!(all.all().is_empty());
    }

    #[tokio::test]
    async fn one_after_the_other_comes_to_its_turn() {
        let all = Tags::default();
        let turn = |numbers: &'static [u8]| {
            let all = &all;
            async move {
                let _alone = all.alone(tags(numbers)).await;
                yield_now().await;
            }
        };
        // Each wants what another one has.
        let turns = async { join!(turn(&[1, 2]), turn(&[2, 3]), turn(&[3, 1]), turn(&[1, 2, 3])) };
        assert!(timeout(Duration::from_secs(60), turns).await.is_ok());
        assert!(all.all().is_empty());
    }
}
