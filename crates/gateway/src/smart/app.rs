//! Apps that people use: what they may ask for, and where answers to them go.
//!
//! # Invariants
//!
//! * An address is compared as text, whole: nothing of it is optional (RFC 9700, section 4.1.3).
//! * What is registered can stand in a header, and in the policy of a page, as it is.

use jsonwebtoken::jwk::JwkSet;
use thiserror::Error;

use crate::auth::{Scope, granted};

/// What is registered of an app.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its client id.
    pub id: String,
    /// How people know it.
    pub name: String,
    /// Where answers may be sent.
    pub redirect_uris: Vec<String>,
    /// What it may ask for: scopes of people, `openid`, `fhirUser`, `launch` and `launch/patient`.
    pub scopes: Vec<String>,
    /// Its public keys, if it can keep a private one.
    pub keys: Option<JwkSet>,
}

/// An app, checked.
#[derive(Clone, Debug)]
pub struct App {
    id: String,
    name: String,
    redirect_uris: Vec<String>,
    origins: Vec<String>,
    scopes: Vec<Scope>,
    about: About,
    keys: Option<JwkSet>,
}

/// Why an app cannot be registered.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum AppError {
    /// It says no id or no name.
    #[error("an app has an id and a name that people know; give both")]
    Nameless,
    /// An address is not good.
    #[error(
        "{0:?} is no address that answers may be sent to; give a whole one, of https (or http on this computer, or a scheme of the app's own with a dot), without a fragment"
    )]
    RedirectUri(String),
    /// It has none.
    #[error("app {0:?} has no redirect_uris; give the addresses that answers are sent to")]
    NoRedirectUri(String),
    /// A scope is none.
    #[error(
        "{0:?} is no scope of an app; they are as in patient/Observation.rs, user/*.cruds, openid, fhirUser, launch and launch/patient"
    )]
    Scope(String),
}

/// Scopes that are about who signed in, and about what is open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct About {
    pub(super) openid: bool,
    pub(super) fhir_user: bool,
    pub(super) launch: bool,
    pub(super) launch_patient: bool,
}

impl About {
    /// The scopes by name.
    pub(crate) const NAMES: [&str; 4] = ["openid", "fhirUser", "launch", "launch/patient"];

    fn flags(&mut self) -> [&mut bool; 4] {
        [&mut self.openid, &mut self.fhir_user, &mut self.launch, &mut self.launch_patient]
    }

    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut about = Self::default();
        for word in words {
            let at = Self::NAMES.iter().position(|it| *it == word);
            if let Some(at) = at {
                *about.flags()[at] = true;
            }
        }
        about
    }

    fn and(mut self, mut other: Self) -> Self {
        let mut both = Self::default();
        let pairs = self.flags().into_iter().zip(other.flags());
        for (to, (one, two)) in both.flags().into_iter().zip(pairs) {
            *to = *one && *two;
        }
        both
    }

    pub(super) fn texts(mut self) -> Vec<&'static str> {
        let flags = self.flags().map(|it| *it);
        Self::NAMES.into_iter().zip(flags).filter_map(|(it, is)| is.then_some(it)).collect()
    }
}

impl App {
    /// Checks what is registered.
    pub fn new(registered: Registered) -> Result<Self, AppError> {
        let Registered { id, name, redirect_uris, scopes, keys } = registered;
        if id.trim().is_empty() || name.trim().is_empty() {
            return Err(AppError::Nameless);
        }
        if redirect_uris.is_empty() {
            return Err(AppError::NoRedirectUri(id));
        }
        let origins = redirect_uris
            .iter()
            .map(|it| origin_of(it).ok_or_else(|| AppError::RedirectUri(it.clone())))
            .collect::<Result<_, _>>()?;
        let about = About::of(scopes.iter().map(String::as_str));
        let of_data = scopes.iter().filter(|it| !About::NAMES.contains(&it.as_str()));
        let scopes = of_data
            .map(|it| {
                let scope = Scope::parse(it).filter(|it| it.level() != crate::auth::Level::System);
                scope.ok_or_else(|| AppError::Scope(it.clone()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { id, name, redirect_uris, origins, scopes, about, keys })
    }

    /// Its client id.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn keys(&self) -> Option<&JwkSet> {
        self.keys.as_ref()
    }

    pub(super) fn has_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|it| it == origin)
    }

    pub(super) fn has_redirect_uri(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|it| it == uri)
    }

    /// What of the scopes that are asked for it may have.
    pub(super) fn granted(&self, asked: &str) -> (Vec<Scope>, About) {
        (granted(asked, &self.scopes), About::of(asked.split(' ')).and(self.about))
    }
}

/// The origin of an address that answers may be sent to: of a scheme of an app's own, the scheme. Nothing if they may not.
pub(super) fn origin_of(uri: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"'<>\\^`{|};,#*".contains(c);
    let (scheme, rest) = uri.split_once(':')?;
    if !uri.chars().all(is_plain) {
        return None;
    }
    let host = rest.strip_prefix("//").map(|it| it.split(['/', '?']).next().unwrap_or_default());
    match (scheme, host) {
        // Who the address is of is not to be read in two ways.
        (_, Some(host)) if host.contains('@') => None,
        ("https", Some(host)) if !host.is_empty() => Some(format!("https://{host}")),
        ("http", Some(host)) if is_loopback(host) => Some(format!("http://{host}")),
        ("http" | "https", _) => None,
        // RFC 8252, section 7.1.
        (own, _)
            if own.contains('.')
                && own.bytes().all(|it| it.is_ascii_alphanumeric() || b".-+".contains(&it)) =>
        {
            Some(format!("{own}:"))
        }
        _ => None,
    }
}

/// Whether a host, with or without a port, is this computer.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered(uri: &str, scope: &str) -> Registered {
        Registered {
            id: "growth".into(),
            name: "Growth".into(),
            redirect_uris: vec![uri.into()],
            scopes: vec![scope.into()],
            keys: None,
        }
    }

    #[test]
    fn answers_are_sent_to_addresses_that_say_all() {
        for (uri, origin) in [
            ("https://app.example/callback?a=b", Some("https://app.example")),
            ("https://app.example:8443/", Some("https://app.example:8443")),
            ("https://app.example", Some("https://app.example")),
            ("http://127.0.0.1:9000/x", Some("http://127.0.0.1:9000")),
            ("http://localhost/x", Some("http://localhost")),
            ("http://[::1]:9/x", Some("http://[::1]:9")),
            ("org.example.app:/callback", Some("org.example.app:")),
            ("http://app.example/callback", None),
            ("http://localhost.evil.example/", None),
            ("http://127.0.0.1@evil.example/", None),
            ("https://app.example@evil.example/", None),
            ("https://app.example/#fragment", None),
            ("https://app.example/a b", None),
            ("https://app.example/;script-src *", None),
            ("https://*.example/", None),
            ("https:///x", None),
            ("https:/x", None),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("/callback", None),
            ("", None),
        ] {
            assert_eq!(origin_of(uri).as_deref(), origin, "{uri}");
            let app = App::new(registered(uri, "openid"));
            assert_eq!(app.is_ok(), origin.is_some(), "{uri}");
        }
    }

    #[test]
    fn an_app_asks_for_what_people_may() {
        for (scope, is_good) in [
            ("patient/*.rs", true),
            ("user/Observation.rs?category=lab", true),
            ("launch/patient", true),
            ("system/*.rs", false),
            ("offline_access", false),
            ("patient/Nothing.rs", false),
        ] {
            let app = App::new(registered("https://app.example/", scope));
            assert_eq!(app.is_ok(), is_good, "{scope}");
        }
    }

    #[test]
    fn an_address_is_compared_whole() {
        let app = App::new(registered("https://app.example/cb", "openid")).unwrap();
        assert!(app.has_redirect_uri("https://app.example/cb"));
        for other in [
            "https://app.example/cb/",
            "https://app.example/cb?x=1",
            "https://app.example/cb#x",
            "https://app.example:444/cb",
            "https://app.example/cb.evil",
            "https://app.example.evil/cb",
            "https://APP.example/cb",
            "http://app.example/cb",
            "",
        ] {
            assert!(!app.has_redirect_uri(other), "{other}");
        }
    }
}
