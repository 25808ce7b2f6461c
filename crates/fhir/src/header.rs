//! The HTTP headers that FHIR gives a meaning to, and their twins in a Bundle's entries: entity tags
//! (RFC 9110, 8.8.3 and 13.1), `Prefer` (RFC 7240) and dates (RFC 9110, 5.6.7).
//!
//! # Invariants
//!
//! * A version is a whole number; its tag is weak, as R4 writes it: `W/"3"`. Tags are compared weakly, and
//!   one that no version has matches none.
//! * A condition that cannot be read is an error, never no condition.
//! * A preference that is not known is no error (RFC 7240, section 2).
//!
//! Not here: deciding by the version. That is for the ledger, at the moment of the commit.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use thiserror::Error;

pub use crate::search::Handling;
use crate::{
    calendar::{self, DAY_SECONDS, civil, days, digits, offset, seconds_of_day},
    outcome::{IssueType, Outcome},
};

/// Characters of a header that is read.
pub const HEADER_CHARS_MAX: usize = 2_048;
/// Tags in one list.
pub const TAGS_MAX: usize = 32;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SECOND_MS: u64 = 1_000;

/// Why a header is refused. All are the sender's.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum HeaderError {
    /// It is longer than anyone needs.
    #[error("{0} has more than {HEADER_CHARS_MAX} characters; send a shorter one")]
    TooLong(&'static str),
    /// No list of entity tags.
    #[error("{0} is no list of entity tags; write W/\"3\" for version 3, or * for any")]
    NotTags(&'static str),
    /// More tags than are read.
    #[error("{0} lists more than {TAGS_MAX} entity tags; name the version that you have")]
    TooManyTags(&'static str),
    /// No date.
    #[error("{0} is no date; write Sun, 06 Nov 1994 08:49:37 GMT, or an instant inside a Bundle")]
    NotADate(&'static str),
    /// A preference that is known has a value that is not.
    #[error("Prefer: {0} has no such value; write handling=strict or handling=lenient")]
    BadPreference(&'static str),
}

impl From<HeaderError> for Outcome {
    fn from(error: HeaderError) -> Self {
        Self::error(IssueType::Value, &error.to_string())
    }
}

/// An entity tag.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EntityTag {
    /// Whether it says that what it names is equal in meaning rather than in bytes.
    pub weak: bool,
    tag: String,
}

impl EntityTag {
    /// The tag of a version: `W/"3"`.
    pub fn of_version(version: u64) -> Self {
        Self { weak: true, tag: version.to_string() }
    }

    /// The version that it names; nothing if it can be none of ours.
    pub fn version(&self) -> Option<u64> {
        version_of(&self.tag)
    }

    /// Reads one tag from the start of `text`, and gives what is behind it.
    fn read(text: &str) -> Option<(Self, &str)> {
        let (weak, rest) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (tag, rest) = rest.strip_prefix('"')?.split_once('"')?;
        let is_allowed = |c: char| c == '!' || (c > '"' && !c.is_control());
        tag.chars().all(is_allowed).then(|| (Self { weak, tag: tag.to_owned() }, rest))
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.tag)
    }
}

/// The version that `text` writes, if it writes it as we would: no sign, no zeros in front.
pub(crate) fn version_of(text: &str) -> Option<u64> {
    text.parse().ok().filter(|version: &u64| version.to_string() == text)
}

/// `If-Match` or `If-None-Match`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TagList {
    /// `*`: whatever exists.
    Any,
    /// These, at least one.
    Tags(Vec<EntityTag>),
}

impl TagList {
    /// Reads the header or element `name`.
    pub fn parse(name: &'static str, text: &str) -> Result<Self, HeaderError> {
        let mut rest = short(name, text)?.trim_matches(is_blank);
        if rest == "*" {
            return Ok(Self::Any);
        }
        let mut tags = Vec::new();
        loop {
            let (tag, behind) = EntityTag::read(rest).ok_or(HeaderError::NotTags(name))?;
            if tags.len() == TAGS_MAX {
                return Err(HeaderError::TooManyTags(name));
            }
            tags.push(tag);
            let behind = behind.trim_start_matches(is_blank);
            if behind.is_empty() {
                return Ok(Self::Tags(tags));
            }
            rest = behind.strip_prefix(',').ok_or(HeaderError::NotTags(name))?;
            rest = rest.trim_start_matches(is_blank);
        }
    }

    /// Whether `current`, the version that exists, is among these.
    pub fn matches(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Tags(tags), Some(_)) => tags.iter().any(|tag| tag.version() == current),
        }
    }

    /// The versions that it names, for a ledger to compare.
    pub fn versions(&self) -> impl Iterator<Item = u64> {
        let tags: &[EntityTag] = match self {
            Self::Any => &[],
            Self::Tags(tags) => tags,
        };
        tags.iter().filter_map(EntityTag::version)
    }
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn short<'a>(name: &'static str, text: &'a str) -> Result<&'a str, HeaderError> {
    let is_short = text.len() <= HEADER_CHARS_MAX;
    is_short.then_some(text).ok_or(HeaderError::TooLong(name))
}

/// What the body of an answer to a write is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Return {
    /// Nothing.
    Minimal,
    /// The resource.
    Representation,
    /// What was found while it was written.
    OperationOutcome,
}

/// The `Prefer` header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Prefer {
    /// `return=..`.
    pub returned: Option<Return>,
    /// `handling=..`.
    pub handling: Option<Handling>,
    /// `respond-async`.
    pub respond_async: bool,
}

impl Prefer {
    /// Reads the header; several are joined by commas first. Of a preference that stands twice the first
    /// holds, and its parameters are passed over (RFC 7240, section 2).
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        let mut prefer = Self::default();
        for preference in outside_quotes(short("Prefer", text)?, ',') {
            let word = outside_quotes(preference, ';').next().unwrap_or_default();
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let value = value.trim_matches(is_blank);
            let value =
                value.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(value);
            prefer.take(name.trim_matches(is_blank), value)?;
        }
        Ok(prefer)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        if name.eq_ignore_ascii_case("respond-async") {
            self.respond_async = true;
        } else if name.eq_ignore_ascii_case("return") && self.returned.is_none() {
            // RFC 7240, section 2: what is not recognised is passed over.
            self.returned = match value {
                "minimal" => Some(Return::Minimal),
                "representation" => Some(Return::Representation),
                "OperationOutcome" => Some(Return::OperationOutcome),
                _ => None,
            };
        } else if name.eq_ignore_ascii_case("handling") && self.handling.is_none() {
            self.handling = Some(match value {
                "strict" => Handling::Strict,
                "lenient" => Handling::Lenient,
                _ => return Err(HeaderError::BadPreference("handling")),
            });
        }
        Ok(())
    }
}

/// The parts of `text` between separators that stand in no quoted string.
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        if escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        } else {
            return !quoted && c == separator;
        }
        false
    })
}

/// The milliseconds since 1970 of an HTTP date in any of its three forms. `now_ms` decides the century
/// of a year with two digits: none is more than 50 years ahead. Nothing if it is no date: a condition that is
/// none is passed over (RFC 9110, 13.1.3).
pub fn http_date(text: &str, now_ms: u64) -> Option<u64> {
    let text = short("date", text).ok()?.trim_matches(is_blank);
    fixdate(text).or_else(|| rfc850(text, now_ms)).or_else(|| asctime(text))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn fixdate(text: &str) -> Option<u64> {
    let (weekday, rest) = text.split_once(", ")?;
    let is_weekday = DAYS.iter().any(|day| day.get(..3) == Some(weekday));
    let [day, month, year, time, "GMT"] = words(rest)? else { return None };
    let day = digits(day, 2)?;
    milliseconds((digits(year, 4)?, month_of(month)?, day), time).filter(|_| is_weekday)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850(text: &str, now_ms: u64) -> Option<u64> {
    let (weekday, rest) = text.split_once(", ")?;
    let [date, time, "GMT"] = words(rest)? else { return None };
    let mut parts = date.split('-');
    let (day, month) = (digits(parts.next()?, 2)?, month_of(parts.next()?)?);
    let short = digits(parts.next()?, 2)?;
    let (now, _, _) = civil(calendar::seconds(now_ms) / DAY_SECONDS);
    let year = now - now.rem_euclid(100) + short;
    let year = if year > now + 50 { year - 100 } else { year };
    let is_date = DAYS.contains(&weekday) && parts.next().is_none();
    milliseconds((year, month, day), time).filter(|_| is_date)
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime(text: &str) -> Option<u64> {
    // The day takes two places, the first of which may be blank; elsewhere one blank stands.
    let text = text.replacen("  ", " 0", 1);
    let [weekday, month, day, time, year] = words(&text)?;
    let is_weekday = DAYS.iter().any(|day| day.get(..3) == Some(weekday));
    let date = (digits(year, 4)?, month_of(month)?, digits(day, 2)?);
    milliseconds(date, time).filter(|_| is_weekday)
}

/// Exactly `N` words with one blank between them.
fn words<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut words = text.split(' ');
    let mut found = [""; N];
    for word in &mut found {
        *word = words.next()?;
    }
    words.next().is_none().then_some(found)
}

fn month_of(name: &str) -> Option<i64> {
    let at = MONTHS.iter().position(|month| *month == name)?;
    i64::try_from(at + 1).ok()
}

/// `time` is `08:49:37`; what was before 1970 counts as its beginning.
fn milliseconds((year, month, day): (i64, i64, i64), time: &str) -> Option<u64> {
    let seconds = days(year, month, day)? * DAY_SECONDS + seconds_of_day(time)?;
    u64::try_from(seconds).unwrap_or(0).checked_mul(SECOND_MS)
}

/// The milliseconds since 1970 of a FHIR instant (R4, data types): `2015-02-07T13:28:17.239+02:00`.
/// Digits beyond milliseconds are cut off.
pub fn parse_instant(name: &'static str, text: &str) -> Result<u64, HeaderError> {
    read_instant(short(name, text)?).ok_or(HeaderError::NotADate(name))
}

fn read_instant(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once('T')?;
    let day = calendar::days_of(date).filter(|days| days.end - days.start == 1)?.start;
    let (time, zone) = rest.split_at_checked(rest.find(['Z', '+', '-'])?)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    if !is_fraction {
        return None;
    }
    let thousandths: String = fraction.chars().chain("00".chars()).take(3).collect();
    let seconds = day * DAY_SECONDS + seconds_of_day(time)? - offset(zone)?;
    // What was before 1970 counts as its beginning.
    Some(u64::try_from(seconds * 1_000 + digits(&thousandths, 3)?).unwrap_or(0))
}

/// `Last-Modified`: `Sun, 06 Nov 1994 08:49:37 GMT`. What is under a second is cut off.
pub fn last_modified(at_ms: u64) -> String {
    let seconds = calendar::seconds(at_ms);
    let days = seconds / DAY_SECONDS;
    let (year, month, day) = civil(days);
    // 1970 began on a Thursday.
    let weekday = usize::try_from((days + 3).rem_euclid(7)).ok().and_then(|at| DAYS.get(at));
    let weekday = weekday.map_or("", |day| &day[..3]);
    let month = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"");
    let instant = calendar::instant(seconds);
    let time = instant.split(['T', 'Z']).nth(1).unwrap_or_default();
    format!("{weekday}, {day:02} {month} {year:04} {time} GMT")
}

/// `meta.lastUpdated`: `1994-11-06T08:49:37.000Z`.
pub fn instant(at_ms: u64) -> String {
    let whole = calendar::instant(calendar::seconds(at_ms));
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), at_ms % SECOND_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_790_000_000_000;

    /// Reads lines of `input => what was read`, `refused` for an error.
    fn check(read: impl Fn(&str) -> Option<String>, table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (input, expected) = line.split_once("=>").unwrap();
            let found = read(input.trim().trim_matches('|'));
            assert_eq!(found.as_deref().unwrap_or("refused"), expected.trim(), "{input}");
        }
    }

    #[test]
    fn tags_are_read_whole_or_not_at_all() {
        let read = |text: &str| match TagList::parse("If-Match", text).ok()? {
            TagList::Any => Some("any".to_owned()),
            TagList::Tags(tags) => {
                let version =
                    |tag: &EntityTag| tag.version().map_or("-".to_owned(), |v| v.to_string());
                Some(tags.iter().map(version).collect::<Vec<_>>().join(" "))
            }
        };
        check(
            read,
            r#"
            W/"3"                           => 3
            "3"                             => 3
            W/"3", "4" ,W/"18446744073709551615" => 3 4 18446744073709551615
            W/"18446744073709551616"        => -
            W/"03"                          => -
            W/"+3"                          => -
            W/""                            => -
            W/"a, b"                        => refused
            W/"é"                           => -
            *                               => any
            |                               => refused
            3                               => refused
            w/"3"                           => refused
            W/"3                            => refused
            W/"3""4"                        => refused
            W/"3",                          => refused
            *, "3"                          => refused
            W/'3'                           => refused
            "#,
        );
        let many = "\"1\",".repeat(TAGS_MAX) + "\"1\"";
        assert_eq!(TagList::parse("If-Match", &many), Err(HeaderError::TooManyTags("If-Match")));
        let long = "\"".repeat(HEADER_CHARS_MAX + 1);
        assert_eq!(TagList::parse("If-Match", &long), Err(HeaderError::TooLong("If-Match")));
    }

    #[test]
    fn a_tag_matches_what_exists() {
        let tags = |text| TagList::parse("If-Match", text).unwrap();
        assert!(tags("W/\"3\", \"4\"").matches(Some(4)));
        assert!(!tags("W/\"3\"").matches(Some(4)));
        assert!(tags("*").matches(Some(4)));
        assert!(!tags("*").matches(None));
        assert_eq!(EntityTag::of_version(3).to_string(), "W/\"3\"");
    }

    #[test]
    fn preferences_that_are_not_known_are_passed_over() {
        let read = |text: &str| {
            let prefer = Prefer::parse(text).ok()?;
            Some(format!("{:?} {:?} {}", prefer.returned, prefer.handling, prefer.respond_async))
        };
        check(
            read,
            r#"
            return=minimal                               => Some(Minimal) None false
            Return = "representation"                    => Some(Representation) None false
            return=OperationOutcome;a=b, handling=strict => Some(OperationOutcome) Some(Strict) false
            respond-async, wait=10; x="a,handling=strict" => None None true
            foo="\",return=minimal", handling=lenient    => None Some(Lenient) false
            return=minimal, return=representation        => Some(Minimal) None false
            |                                            => None None false
            ,,;,                                         => None None false
            return=maximal                               => None None false
            return                                       => None None false
            return=maximal, handling=strict              => None Some(Strict) false
            handling=STRICT                              => refused
            "#,
        );
    }

    #[test]
    fn dates_are_read_in_all_three_forms() {
        check(
            |text| http_date(text, NOW_MS).map(|ms| ms.to_string()),
            "
            Sun, 06 Nov 1994 08:49:37 GMT     => 784111777000
            Sunday, 06-Nov-94 08:49:37 GMT    => 784111777000
            Sun Nov  6 08:49:37 1994          => 784111777000
            Wed Nov 16 08:49:37 1994          => 784975777000
            Thursday, 01-Jan-76 00:00:00 GMT  => 3345062400000
            Saturday, 01-Jan-77 00:00:00 GMT  => 220924800000
            Sat, 31 Dec 2016 23:59:60 GMT     => 1483228799000
            Thu, 29 Feb 2024 00:00:00 GMT     => 1709164800000
            Wed, 29 Feb 2023 00:00:00 GMT     => refused
            Sun, 06 Nov 1994 08:49:37 UTC     => refused
            Sun, 06 Nov 1994 08:49:37         => refused
            Sun, 6 Nov 1994 08:49:37 GMT      => refused
            Son, 06 Nov 1994 08:49:37 GMT     => refused
            Sun, 06 nov 1994 08:49:37 GMT     => refused
            Sun, 06 Nov 1994 24:00:00 GMT     => refused
            Sun, 06 Nov 1994 08:49 GMT        => refused
            Sun, 06 Nov 1969 08:49:37 GMT     => 0
            Sun, 00 Nov 1994 08:49:37 GMT     => refused
            Sun,  06 Nov 1994 08:49:37 GMT    => refused
            1994-11-06T08:49:37Z              => refused
            |                                 => refused
            ",
        );
    }

    #[test]
    fn instants_have_a_zone() {
        check(
            |text| parse_instant("ifModifiedSince", text).ok().map(|ms| ms.to_string()),
            "
            1994-11-06T08:49:37Z              => 784111777000
            1994-11-06T10:49:37.5+02:00       => 784111777500
            1994-11-06T01:49:37.1239-07:00    => 784111777123
            1994-11-06T08:49:37               => refused
            1994-11-06T08:49Z                 => refused
            1994-11-06T08:49:37.Z             => refused
            1994-11-06T08:49:37+2             => refused
            1994-11-06T08:49:37+15:00         => refused
            1994-11-31T08:49:37Z              => refused
            1994-11-06                        => refused
            1970-01-01T00:00:00+01:00         => 0
            2016-12-31T23:59:60.5Z            => 1483228799500
            ",
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ms in 0_u64..253_402_300_800_000) {
            prop_assert_eq!(parse_instant("x", &instant(ms)), Ok(ms));
            prop_assert_eq!(http_date(&last_modified(ms), NOW_MS), Some(ms - ms % 1_000));
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let _ = TagList::parse("x", &text);
            let _ = Prefer::parse(&text);
            let _ = http_date(&text, NOW_MS);
            let _ = parse_instant("x", &text);
        }
    }
}
