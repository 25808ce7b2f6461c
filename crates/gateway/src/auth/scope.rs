//! Scopes: what a token may be used for (SMART App Launch 2.2, section 3).
//!
//! ```text
//! system/Observation.rs                    a system, of all that its member may read
//! user/Observation.rs                      a person, likewise
//! patient/Observation.rs?category=vital    a person, of one patient and of what the search matches
//! ```
//!
//! # Invariants
//!
//! * What is granted is in what was asked for and in what is registered, at the same level.
//! * A token with a scope of one patient, or with one that a search narrows, reads and searches, and writes nothing but
//!   subscriptions, where it names their type.
//!
//! Not here: scopes that are narrowed by chains, modifiers or parameters of all types (`_tag`), and who may have a scope.

use keepwell_fhir::{
    interaction::ResourceType,
    search::{Handling, Options, Query, form},
};

/// Scopes of one request.
const SCOPES_MAX: usize = 256;
/// Bytes of the search that narrows one.
const NARROWED_BYTES_MAX: usize = 512;
/// The letters of a scope, in their order (section 3.0.2.2).
const LETTERS: &str = "cruds";

/// Of whom a scope is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// `system/`: of a system by itself.
    System,
    /// `user/`: of a person who signed in.
    User,
    /// `patient/`: of such a person, and of one patient.
    Patient,
}

impl Level {
    const ALL: [Self; 3] = [Self::System, Self::User, Self::Patient];

    const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Patient => "patient",
        }
    }
}

/// What may be done with the resources of a type, or of all: `system/Observation.rs`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    level: Level,
    of: Option<ResourceType>,
    /// Of `cruds`, in this order.
    may: [bool; 5],
    /// The search that its resources match, as it was written.
    narrowed: Option<String>,
}

/// What a scope allows (section 3.0.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Permission {
    /// `c`.
    Create = 0,
    /// `r`: read, and read of versions.
    Read = 1,
    /// `u`.
    Update = 2,
    /// `d`.
    Delete = 3,
    /// `s`: search, history.
    Search = 4,
}

impl Scope {
    /// Reads a scope, of version 2 or of version 1 (`read`, `write`, `*`). Nothing if it is none that is served.
    pub fn parse(text: &str) -> Option<Self> {
        let (level, rest) = text.split_once('/')?;
        let level = Level::ALL.into_iter().find(|it| it.as_str() == level)?;
        let (rest, narrowed) = match rest.split_once('?') {
            Some((rest, narrowed)) => (rest, Some(narrowed)),
            None => (rest, None),
        };
        let (of, may) = rest.split_once('.')?;
        let of = if of == "*" { None } else { Some(of.parse().ok()?) };
        let scope = Self { level, of, may: permissions(may)?, narrowed: narrowed.map(Into::into) };
        let is_readable = narrowed.is_none() || scope.query("").is_some();
        is_readable.then_some(scope)
    }

    /// Of whom it is.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The type that it is of; of all if there is none.
    pub const fn resource_type(&self) -> Option<ResourceType> {
        self.of
    }

    /// The search that its resources match.
    pub fn narrowed(&self) -> Option<&str> {
        self.narrowed.as_deref()
    }

    /// Whether it is good for less than all of a type.
    pub fn is_limited(&self) -> bool {
        self.level == Level::Patient || self.narrowed.is_some()
    }

    /// The search that narrows it, where one does.
    pub(crate) fn query(&self, base: &str) -> Option<Query> {
        let text = self.narrowed.as_deref().filter(|it| it.len() <= NARROWED_BYTES_MAX)?;
        let pairs = form::decode(text).ok().filter(|it| !it.is_empty())?;
        let is_plain = |name: &str| !name.starts_with('_') && !name.contains([':', '.']);
        if !pairs.iter().all(|(name, value)| is_plain(name) && !value.is_empty()) {
            return None;
        }
        let options = Options { base, now_ms: 0, handling: Handling::Strict };
        Query::parse(self.of?.as_str(), &pairs, options).ok()
    }

    /// What is in both.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let of = match (self.of, other.of) {
            _ if self.level != other.level => return None,
            (Some(one), Some(two)) if one != two => return None,
            (one, two) => one.or(two),
        };
        let narrowed = match (&self.narrowed, &other.narrowed) {
            (Some(one), Some(two)) if one != two => Some(format!("{one}&{two}")),
            (one, two) => one.clone().or(two.clone()),
        };
        let may = std::array::from_fn(|at| self.may[at] && other.may[at]);
        let both = Self { level: self.level, of, may, narrowed };
        // Two that are readable apart may be too long together.
        let is_readable = both.narrowed.is_none() || both.query("").is_some();
        (is_readable && may.contains(&true)).then_some(both)
    }

    /// Whether it allows this of resources of a type, or of all types.
    pub fn allows(&self, of: Option<ResourceType>, permission: Permission) -> bool {
        self.may[permission as usize] && (self.of.is_none() || self.of == of)
    }

    /// The same without what writes; nothing if nothing is left.
    fn reading(mut self) -> Option<Self> {
        for permission in [Permission::Create, Permission::Update, Permission::Delete] {
            self.may[permission as usize] = false;
        }
        self.may.contains(&true).then_some(self)
    }

    /// As it is written in version 2.
    pub fn text(&self) -> String {
        let letters = LETTERS.chars().zip(self.may).filter_map(|(it, may)| may.then_some(it));
        let letters: String = letters.collect();
        let of = self.of.map_or("*", |it| it.as_str());
        let narrowed = self.narrowed.as_ref().map_or_else(String::new, |it| format!("?{it}"));
        format!("{}/{of}.{letters}{narrowed}", self.level.as_str())
    }
}

fn permissions(text: &str) -> Option<[bool; 5]> {
    let letters = match text {
        "read" => "rs",
        "write" => "cud",
        "*" => LETTERS,
        letters => letters,
    };
    let mut all = LETTERS.char_indices();
    let mut granted = [false; 5];
    for letter in letters.chars() {
        // Each at most once, and in order (section 3.0.2.2).
        let (at, _) = all.find(|(_, it)| *it == letter)?;
        granted[at] = true;
    }
    (!letters.is_empty()).then_some(granted)
}

/// What of the scopes that are asked for may be had. What is not served is left out (RFC 6749, section 3.3).
pub(crate) fn granted(asked: &str, allowed: &[Scope]) -> Vec<Scope> {
    let asked: Vec<_> = asked.split(' ').take(SCOPES_MAX).filter_map(Scope::parse).collect();
    let mut all = Vec::new();
    for scope in asked.iter().flat_map(|asked| allowed.iter().filter_map(|it| asked.and(it))) {
        if !all.contains(&scope) {
            all.push(scope);
        }
    }
    bounded(all)
}

/// The scopes of one token: where one of them is of less than all of a type, none of them writes in a chart. Subscriptions
/// are in none, and show no more than the token does.
pub(crate) fn bounded(scopes: Vec<Scope>) -> Vec<Scope> {
    let is_of_subscriptions = |it: &Scope| it.of.is_some_and(|of| of.as_str() == "Subscription");
    if scopes.iter().any(Scope::is_limited) {
        let bound = |it: Scope| if is_of_subscriptions(&it) { Some(it) } else { it.reading() };
        scopes.into_iter().filter_map(bound).collect()
    } else {
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_both_versions_are_read() {
        let long = format!("patient/Observation.rs?code={}", "x".repeat(NARROWED_BYTES_MAX));
        for (text, written) in [
            ("system/*.cruds", Some("system/*.cruds")),
            ("system/Observation.read", Some("system/Observation.rs")),
            ("system/Observation.write", Some("system/Observation.cud")),
            ("system/*.*", Some("system/*.cruds")),
            ("system/Observation.s", Some("system/Observation.s")),
            ("user/Observation.rs", Some("user/Observation.rs")),
            ("patient/*.read", Some("patient/*.rs")),
            (
                "patient/Observation.rs?category=http://a|laboratory",
                Some("patient/Observation.rs?category=http://a|laboratory"),
            ),
            ("system/Observation.sr", None),
            ("system/Observation.rr", None),
            ("system/Observation.", None),
            ("system/Nothing.rs", None),
            ("Patient/Observation.rs", None),
            ("patient//Observation.rs", None),
            ("openid", None),
            ("launch/patient", None),
            ("patient/*.rs?category=x", None),
            ("patient/Observation.rs?", None),
            ("patient/Observation.rs?category=", None),
            ("patient/Observation.rs?nothing=x", None),
            ("patient/Observation.rs?category:not=x", None),
            ("patient/Observation.rs?subject.name=x", None),
            ("patient/Observation.rs?_has:Provenance:target:agent=x", None),
            ("patient/Observation.rs?_include=Observation:subject", None),
            (&long, None),
        ] {
            assert_eq!(Scope::parse(text).as_ref().map(Scope::text).as_deref(), written, "{text}");
        }
    }

    #[test]
    fn nothing_is_granted_that_was_not_asked_for_and_registered() {
        let lab = "patient/Observation.rs?category=laboratory";
        for (asked, registered, is_granted) in [
            ("patient/*.cruds", "patient/Observation.rs", "patient/Observation.rs"),
            ("patient/Observation.cruds", "patient/*.*", "patient/Observation.rs"),
            ("patient/Observation.rs", lab, lab),
            (lab, "patient/*.rs", lab),
            (
                lab,
                "patient/Observation.rs?code=a",
                "patient/Observation.rs?category=laboratory&code=a",
            ),
            ("user/*.cruds", "user/*.cruds", "user/*.cruds"),
            ("patient/Patient.c", "patient/*.cruds", ""),
            ("user/*.rs system/*.rs", "patient/*.rs", ""),
            ("patient/Condition.rs", lab, ""),
            ("openid launch/patient", "patient/*.rs", ""),
        ] {
            let registered = [Scope::parse(registered).unwrap()];
            let texts: Vec<_> = granted(asked, &registered).iter().map(Scope::text).collect();
            assert_eq!(texts.join(" "), is_granted, "{asked}");
        }
    }

    #[test]
    fn what_is_of_one_patient_writes_nothing() {
        let all = ["user/*.cruds", "patient/*.rs"].map(|it| Scope::parse(it).unwrap());
        let texts: Vec<_> = bounded(all.into()).iter().map(Scope::text).collect();
        assert_eq!(texts, ["user/*.rs", "patient/*.rs"]);
        let all =
            ["patient/Subscription.cruds", "patient/*.cruds"].map(|it| Scope::parse(it).unwrap());
        let texts: Vec<_> = bounded(all.into()).iter().map(Scope::text).collect();
        assert_eq!(texts, ["patient/Subscription.cruds", "patient/*.rs"]);
    }
}
