//! Who is at the door, by network address, before anyone has said who they are.
//!
//! A signed request is bounded by what its party and organisation may ask ([`super::requests`]). What comes
//! before a signature is known to be good, or needs none, is bounded here by where it comes from.
//!
//! # Invariants
//!
//! * One address holds at most a part of the connections, and is answered at most so many requests a second
//!   that are public or refused. Whoever proves who they are does not pay for it.
//! * Memory is bounded: an address that has gone and is owed nothing is forgotten; where too many are
//!   remembered, new ones wait outside.
//! * An address is in no log and in no metric.
//!
//! A network of IPv6 (/64) counts as one address: whoever has one has all of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{
    extract::Request,
    http::{Method, StatusCode, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};

use super::error::ApiError;

/// Connections of one address at one time.
pub const ADDRESS_CONNECTIONS_MAX: usize = 1_024;
/// Requests of one address that are answered though nobody signed them, or refused: at once, and then each
/// second.
pub const ADDRESS_REQUESTS_MAX: u32 = 4_000;
/// See [`ADDRESS_REQUESTS_MAX`].
pub const ADDRESS_REQUESTS_PER_S: u32 = 1_000;
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 64 * 1024;

/// Everyone who is connected, or was a moment ago.
#[derive(Debug, Default)]
pub struct Visitors(Mutex<BTreeMap<IpAddr, Visits>>);

/// One address.
#[derive(Clone, Copy, Debug)]
struct Visits {
    connections: usize,
    /// Requests that it may still make, as of `at`.
    left: u32,
    at: Instant,
}

impl Visits {
    const fn new(at: Instant) -> Self {
        Self { connections: 0, left: ADDRESS_REQUESTS_MAX, at }
    }

    /// Gives back what time has earned.
    fn refill(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_millis();
        let earned = earned.saturating_mul(u128::from(ADDRESS_REQUESTS_PER_S)) / 1_000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(ADDRESS_REQUESTS_MAX);
            self.at = now;
        }
    }

    const fn is_forgotten(&self) -> bool {
        self.connections == 0 && self.left == ADDRESS_REQUESTS_MAX
    }
}

impl Visitors {
    /// Lets a connection in, unless its address has too many.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Visitor> {
        let (address, now) = (network(address), Instant::now());
        let mut all = self.all();
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&address) {
            all.retain(|_, it| {
                it.refill(now);
                !it.is_forgotten()
            });
            if all.len() >= ADDRESSES_MAX {
                return None;
            }
        }
        let visits = all.entry(address).or_insert(Visits::new(now));
        if visits.connections >= ADDRESS_CONNECTIONS_MAX {
            return None;
        }
        visits.connections += 1;
        drop(all);
        Some(Visitor(Arc::new(Stay { visitors: self.clone(), address })))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Visits>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever is at the other end of a connection; carried by each of its requests.
#[derive(Clone, Debug)]
pub struct Visitor(Arc<Stay>);

#[derive(Debug)]
struct Stay {
    visitors: Arc<Visitors>,
    address: IpAddr,
}

impl Visitor {
    /// Whether this address may ask now.
    fn may_ask(&self) -> bool {
        self.with(|it| it.left > 0)
    }

    /// Counts a request.
    fn count(&self) {
        self.with(|it| it.left = it.left.saturating_sub(1));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Visits) -> T) -> T {
        let now = Instant::now();
        let mut all = self.0.visitors.all();
        let visits = all.entry(self.0.address).or_insert(Visits::new(now));
        visits.refill(now);
        act(visits)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut all = self.visitors.all();
        if let Some(visits) = all.get_mut(&self.address) {
            visits.connections = visits.connections.saturating_sub(1);
            visits.refill(now);
            if visits.is_forgotten() {
                all.remove(&self.address);
            }
        }
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

/// Refuses whoever asks too much without saying who they are. Counted is what anyone may ask, and what was refused
/// over its form or its signature.
pub async fn bounded(request: Request, next: Next) -> Result<Response, ApiError> {
    let visitor = request.extensions().get::<Visitor>().cloned();
    let visitor = visitor.expect("the server says of each request whose it is");
    if !visitor.may_ask() {
        let message = format!(
            "more than {ADDRESS_REQUESTS_PER_S} requests a second from this address that nobody signed, or that were refused; ask more slowly"
        );
        return Err(ApiError::client(StatusCode::TOO_MANY_REQUESTS, "too_many_here", message));
    }
    let is_signed = request.headers().contains_key(AUTHORIZATION);
    // A command, and what is brought to a trustee, carries its own signatures, and pays if they are no good.
    let is_public = !is_signed && request.method() != Method::POST;
    if is_public {
        visitor.count();
    }
    let response = next.run(request).await;
    let status = response.status();
    let is_strangers = !is_signed && status == StatusCode::FORBIDDEN;
    if !is_public && (is_strangers || is_suspect(status)) {
        visitor.count();
    }
    Ok(response)
}

/// Whether an answer says that the request was none, or that its signer is not who they say.
fn is_suspect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_holds_a_part_of_the_connections() {
        let visitors = Arc::new(Visitors::default());
        let (greedy, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut held: Vec<_> =
            (0..ADDRESS_CONNECTIONS_MAX).map(|_| visitors.enter(greedy).unwrap()).collect();
        assert!(visitors.enter(greedy).is_none());
        // The same host under its IPv6 name for it.
        assert!(visitors.enter(address("::ffff:192.0.2.1")).is_none());
        assert!(visitors.enter(other).is_some());
        held.pop();
        assert!(visitors.enter(greedy).is_some());
        drop(held);
        assert!(visitors.all().is_empty(), "those who have gone are forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            assert_eq!(network(address(one)) == network(address(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn what_is_asked_too_fast_is_owed_until_time_has_passed() {
        let visitors = Arc::new(Visitors::default());
        let visitor = visitors.enter(address("192.0.2.1")).unwrap();
        // More than time can give back meanwhile.
        (0..4 * ADDRESS_REQUESTS_MAX).for_each(|_| visitor.count());
        assert!(!visitor.may_ask());
        // To come again on a new connection does not help.
        drop(visitor);
        let visitor = visitors.enter(address("192.0.2.1")).unwrap();
        assert!(!visitor.may_ask());
        let mut then = visitors.all()[&address("192.0.2.1")];
        let whole = ADDRESS_REQUESTS_MAX / ADDRESS_REQUESTS_PER_S;
        then.refill(Instant::now() + Duration::from_secs(u64::from(whole)));
        assert_eq!(then.left, ADDRESS_REQUESTS_MAX);
    }

    #[test]
    fn memory_is_bounded() {
        let visitors = Arc::new(Visitors::default());
        let stranger = |at: usize| IpAddr::from(u32::try_from(at).unwrap().to_be_bytes());
        // Each owes something, so none may be forgotten.
        let mut held: Vec<_> =
            (0..ADDRESSES_MAX).map(|at| visitors.enter(stranger(at)).unwrap()).collect();
        assert!(visitors.enter(stranger(ADDRESSES_MAX)).is_none());
        assert!(visitors.enter(stranger(1)).is_some(), "who is known already comes in");
        held.pop();
        assert!(visitors.enter(stranger(ADDRESSES_MAX)).is_some());
        assert!(visitors.all().len() <= ADDRESSES_MAX);
    }
}
