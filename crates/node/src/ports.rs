//! Ports on loopback for consortia that are started to be tried: tests, measurements, and a pilot that takes free ones.
//!
//! A system gives the ports of its own range to whoever asks for any, and to each connection that goes out: one that was
//! found free there may be gone before its server starts, or while the server is down. These lie below that range, and where
//! a process begins depends on its id, so that several at once seldom meet.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Below what Linux (32768), macOS and Windows (49152) give out by themselves, and above what services are known by.
const RANGE: Range<u32> = 10_000..32_000;

/// How far apart two processes with neighbouring ids begin.
const STRIDE: u32 = 64;

/// Ports that nobody has now, no one twice in this process until all were given.
///
/// # Errors
///
/// When there are not so many.
pub fn free(count: usize) -> io::Result<Vec<u16>> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let first = process::id().wrapping_mul(STRIDE);
    let next = || {
        let at = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = RANGE.start + at % (RANGE.end - RANGE.start);
        u16::try_from(port).expect("the range is one of ports")
    };
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<_> = RANGE.map(|_| next()).filter(is_free).take(count).collect();
    if ports.len() < count {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "no more ports are free on loopback"));
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_nor_while_somebody_has_it() {
        let ports = free(8).unwrap();
        let next = u16::try_from(u32::from(ports[7]) + 1).unwrap();
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, next));
        let more = free(8).unwrap();
        let mut all = [ports, more.clone()].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 16);
        assert!(held.is_err() || !more.contains(&next));
        assert!(free(usize::try_from(RANGE.end).unwrap()).is_err());
    }
}
