//! Where notifications may go: an address that is read in one way, on a list, and not inside anybody's network.
//!
//! # Invariants
//!
//! * The text of an [`Endpoint`] is a subset of URLs in which every reader finds the same host: no user, no fragment,
//!   no backslash, no blank, no escape before the path, no number in another form than four decimal bytes.
//! * It is sent to a host and port that the operator has listed, and to nobody else.
//! * A name leads to addresses that everybody may reach ([`is_public`]), unless the operator has said which address it
//!   has.
//! * A header of a subscription is none that says where a request goes, how long it is, or how it is read.
//!
//! Not here: asking for the addresses of a name, which is done whenever a connection is made.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// Bytes of an address.
pub const ENDPOINT_BYTES_MAX: usize = 1_024;
/// Headers of a subscription.
pub const HEADERS_MAX: usize = 8;
/// Bytes of all of them.
pub const HEADER_BYTES_MAX: usize = 4_096;
const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;
/// Bytes of a host (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// What a subscription may not say, in small letters: what frames or routes a request, and what is said here.
const HEADERS_OF_OURS: [&str; 17] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-http-method-override",
];
const PREFIXES_OF_OURS: [&str; 4] = ["proxy-", "sec-", "x-forwarded-", "x-real-"];

/// Why nothing is sent there.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum EndpointError {
    /// It is no address that is read in one way.
    #[error(
        "the endpoint is an address such as https://hooks.example.org/fhir, in small letters up to the path, without a user, a fragment or anything but plain characters, in 1024 bytes"
    )]
    Unreadable,
    /// It is not on the list.
    #[error(
        "nothing is sent to this host and port: the gateway's operator lists those that may be told, in [subscriptions] endpoints"
    )]
    NotListed,
    /// It is not protected.
    #[error("the endpoint is not protected; notifications go to addresses of https")]
    Open,
}

/// Why headers are not sent.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum HeaderError {
    /// It is none.
    #[error(
        "a header is a name, a colon and a value of plain characters, as in Authorization: Bearer .."
    )]
    Unreadable,
    /// It is not the subscription's to say.
    #[error(
        "a header says neither where a request goes nor how it is framed or read; leave out Host, Content-.., Connection and their like"
    )]
    NotYours,
    /// It stands twice.
    #[error("each header stands once")]
    Twice,
    /// There are too many.
    #[error("a subscription has at most 8 headers of 4096 bytes together")]
    TooMany,
}

/// What stands in an entry that cannot be listed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "an endpoint is listed as HOST or HOST:PORT, without a port the one of https; HOST:PORT=ADDRESS says which address a name has, and alone lets it be one of a private network"
)]
pub struct ListError;

/// A host, and whether it is an address itself.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

/// Where to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    text: String,
    is_protected: bool,
    host: Host,
    port: u16,
}

impl Endpoint {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let is_plain = |c: char| c.is_ascii_graphic() && !"\"'<>\\^`{|}#".contains(c);
        if text.len() > ENDPOINT_BYTES_MAX || !text.chars().all(is_plain) {
            return Err(EndpointError::Unreadable);
        }
        let (is_protected, rest) =
            match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
                (Some(rest), _) => (true, rest),
                (None, Some(rest)) => (false, rest),
                (None, None) => return Err(EndpointError::Unreadable),
            };
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        let port = if is_protected { HTTPS_PORT } else { HTTP_PORT };
        let (host, port) = authority_of(authority, port).ok_or(EndpointError::Unreadable)?;
        Ok(Self { text: text.to_owned(), is_protected, host, port })
    }

    /// As it was sent.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The host and the port that are connected to.
    pub fn place(&self) -> (String, u16) {
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Address(IpAddr::V4(address)) => format!("{address}"),
        };
        (host, self.port)
    }
}

/// The hosts that may be told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Listed(Vec<Entry>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Entry {
    host: Host,
    port: u16,
    /// The address that the operator says a name has.
    pinned: Option<IpAddr>,
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let (authority, pinned) = match text.split_once('=') {
            Some((authority, address)) => (authority, Some(address.parse().ok()?)),
            None => (text, None),
        };
        let (host, port) = authority_of(authority, HTTPS_PORT)?;
        // An address has no other one.
        let is_good = pinned.is_none() || matches!(host, Host::Name(_));
        is_good.then_some(Self { host, port, pinned })
    }

    /// Where it is, as far as the operator has said.
    const fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Address(address) => Some(address),
            Host::Name(_) => self.pinned,
        }
    }
}

impl Listed {
    /// Reads a list.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, ListError> {
        let all = texts.into_iter().map(|it| Entry::parse(it).ok_or(ListError));
        Ok(Self(all.collect::<Result<_, _>>()?))
    }

    /// Whether nobody may be told anything.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses an endpoint that is not on the list, or where others could read on the way.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), EndpointError> {
        let is_it = |it: &&Entry| it.host == endpoint.host && it.port == endpoint.port;
        let entry = self.0.iter().find(is_it).ok_or(EndpointError::NotListed)?;
        let is_here = entry.address().is_some_and(|it| it.is_loopback());
        if endpoint.is_protected || is_here { Ok(()) } else { Err(EndpointError::Open) }
    }

    /// Of the addresses that a name has, those to which something may be sent; of one whose address was said, that one.
    pub fn allowed(&self, name: &str, found: &[IpAddr]) -> Vec<IpAddr> {
        let is_it = |it: &&Entry| matches!(&it.host, Host::Name(host) if host == name);
        let mut entries = self.0.iter().filter(is_it).peekable();
        if entries.peek().is_none() {
            return Vec::new();
        }
        let pinned: Vec<_> = entries.filter_map(|it| it.pinned).collect();
        match pinned.is_empty() {
            true => found.iter().copied().filter(|it| is_public(*it)).collect(),
            false => pinned,
        }
    }

    /// Whether the address of a name was said, and nobody needs to be asked for it.
    pub fn knows(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|it| it.pinned.is_some() && matches!(&it.host, Host::Name(host) if host == name))
    }
}

/// A host and a port, the port that goes without saying if there is none.
fn authority_of(text: &str, port: u16) -> Option<(Host, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let port = match rest.strip_prefix(':') {
                Some(port) => port_of(port)?,
                None => rest.is_empty().then_some(port)?,
            };
            return Some((Host::Address(IpAddr::V6(address)), port));
        }
        None => match text.split_once(':') {
            Some((host, digits)) => (host, port_of(digits)?),
            None => (text, port),
        },
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    // What ends with a number is an address to some readers (WHATWG URL, "ends in a number").
    if last.starts_with(|c: char| c.is_ascii_digit()) {
        let address: Ipv4Addr = host.parse().ok()?;
        return Some((Host::Address(IpAddr::V4(address)), port));
    }
    let is_label = |label: &str| {
        let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        !label.is_empty()
            && label.bytes().all(is_plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = host.len() <= HOST_BYTES_MAX && host.split('.').all(is_label);
    is_name.then(|| (Host::Name(host.to_owned()), port))
}

fn port_of(digits: &str) -> Option<u16> {
    let port: u16 = digits.parse().ok()?;
    // As it is written in one way, and none that means any.
    (port != 0 && alloc::string::ToString::to_string(&port) == digits).then_some(port)
}

/// Whether an address is one that everybody may reach (IANA's registries of special addresses), and not inside a
/// network.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => is_public_v4(it),
        // Global unicast alone: what maps, embeds or translates an address of IPv4 is elsewhere, or left out below.
        IpAddr::V6(it) => {
            let [first, second, ..] = it.segments();
            let is_global = first & 0xe000 == 0x2000;
            let is_special = match first {
                // Protocols, Teredo among them, and documentation.
                0x2001 => second < 0x0200 || second == 0x0db8,
                // 6to4.
                0x2002 => true,
                // Documentation.
                0x3fff => second < 0x1000,
                _ => false,
            };
            is_global && !is_special
        }
    }
}

const fn is_public_v4(it: Ipv4Addr) -> bool {
    let [a, b, c, _] = it.octets();
    let is_special = a == 0
        || it.is_private()
        || it.is_loopback()
        || it.is_link_local()
        // Carriers' own, protocols, benchmarks, a relay of 6to4, several at once, and what is reserved.
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || (a == 192 && b == 88 && c == 99)
        || it.is_documentation()
        || a >= 224;
    !is_special
}

/// A header that goes with each notification.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value: a secret, as a rule.
    pub value: String,
}

/// Reads headers, each a line as HTTP has it.
pub fn headers<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Header>, HeaderError> {
    let (mut all, mut bytes): (Vec<Header>, _) = (Vec::new(), 0_usize);
    for text in texts {
        let header = header(text)?;
        bytes = bytes.saturating_add(text.len());
        if all.len() == HEADERS_MAX || bytes > HEADER_BYTES_MAX {
            return Err(HeaderError::TooMany);
        }
        if all.iter().any(|it| it.name.eq_ignore_ascii_case(&header.name)) {
            return Err(HeaderError::Twice);
        }
        all.push(header);
    }
    Ok(all)
}

fn header(text: &str) -> Result<Header, HeaderError> {
    let (name, value) = text.split_once(':').ok_or(HeaderError::Unreadable)?;
    let value = value.trim_matches(' ');
    // RFC 9110, 5.6.2.
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    if name.is_empty()
        || !name.chars().all(is_token)
        || value.is_empty()
        || !value.chars().all(is_plain)
    {
        return Err(HeaderError::Unreadable);
    }
    let small = name.to_ascii_lowercase();
    let is_ours = HEADERS_OF_OURS.contains(&small.as_str())
        || PREFIXES_OF_OURS.iter().any(|it| small.starts_with(it));
    if is_ours {
        return Err(HeaderError::NotYours);
    }
    Ok(Header { name: name.to_owned(), value: value.to_owned() })
}
