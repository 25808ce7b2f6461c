//! What is handed out for a while under a secret, of which only the digest is kept.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::auth::{lock, secret};

/// Values of one kind at one time.
const KEPT_MAX: usize = 20_000;

/// Values, each under a secret and until it is taken or its time is over.
#[derive(Debug)]
pub(super) struct Kept<T> {
    time: Duration,
    values: Mutex<BTreeMap<[u8; 32], (Instant, T)>>,
}

impl<T> Kept<T> {
    pub(super) fn for_time(time: Duration) -> Self {
        Self { time, values: Mutex::default() }
    }

    /// Keeps a value, and says under which secret; nothing if there are too many.
    pub(super) fn keep(&self, now: Instant, value: T) -> Option<String> {
        let key = secret();
        self.keep_as(now, &key, value).then_some(key)
    }

    /// Keeps a value under a secret that was drawn before.
    pub(super) fn keep_as(&self, now: Instant, key: &str, value: T) -> bool {
        let mut values = lock(&self.values);
        if values.len() >= KEPT_MAX {
            values.retain(|_, (until, _)| *until > now);
        }
        if values.len() >= KEPT_MAX {
            return false;
        }
        values.insert(digest(key), (now + self.time, value));
        true
    }

    /// Takes what is kept under a secret, if `may` holds of it; else it stays.
    pub(super) fn take_if(
        &self,
        now: Instant,
        key: &str,
        may: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        let mut values = lock(&self.values);
        let (until, value) = values.get(&digest(key))?;
        if *until <= now || !may(value) {
            return None;
        }
        values.remove(&digest(key)).map(|(_, value)| value)
    }

    /// Puts another value in the place of one, and returns that.
    pub(super) fn exchange(&self, now: Instant, key: &str, other: T) -> Option<T> {
        let mut values = lock(&self.values);
        let (until, value) = values.get_mut(&digest(key))?;
        (*until > now).then(|| std::mem::replace(value, other))
    }
}

/// Of a secret that was handed out.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    keepwell_crypto::hash::digest("keepwell/gateway/handed-out/v1", &[secret.as_bytes()]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_once_and_in_time() {
        let (kept, now) = (Kept::for_time(Duration::from_secs(60)), Instant::now());
        let late = now + Duration::from_secs(60);
        let key = kept.keep(now, 1).unwrap();
        assert_eq!(kept.take_if(now, "another", |_| true), None);
        assert_eq!(kept.take_if(now, &key, |_| false), None);
        assert_eq!(kept.take_if(late, &key, |_| true), None);
        assert_eq!(kept.exchange(late, &key, 2), None);
        assert_eq!(kept.exchange(now, &key, 2), Some(1));
        assert_eq!(kept.take_if(now, &key, |_| true), Some(2));
        assert_eq!(kept.take_if(now, &key, |_| true), None);
    }

    #[test]
    fn there_are_not_more_than_there_may_be() {
        let (kept, now) = (Kept::for_time(Duration::from_secs(60)), Instant::now());
        assert!((0..KEPT_MAX).all(|it| kept.keep(now, it).is_some()));
        assert_eq!(kept.keep(now, 0), None);
        assert!(kept.keep(now + Duration::from_secs(60), 0).is_some());
    }
}
