//! What an app asks for by a person's browser (RFC 6749, section 4.1.1; RFC 7636; SMART App Launch 2.2, section 2.0.9).
//!
//! # Invariants
//!
//! * Nothing is sent to the app's address before app and address are known to belong together. What is wrong before that is
//!   told to the person, and to nobody else.

use std::time::Instant;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use keepwell_fhir::search::form;
use thiserror::Error;

use super::{Smart, app::About, launch::Launch};
use crate::auth::{Level, Scope};

/// Characters of `state` and of `nonce`.
const STATE_CHARS_MAX: usize = 2_048;

/// What a person is asked to allow.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) app: String,
    pub(super) redirect_uri: String,
    pub(super) state: String,
    /// `code_challenge`, by S256.
    pub(super) challenge: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) about: About,
    pub(super) nonce: Option<String>,
    /// What is open in the system that opened the app.
    pub(super) launch: Option<Launch>,
}

impl Asked {
    /// Whether the person has to say which patient it is about.
    pub(super) fn needs_patient(&self) -> bool {
        let is_of_one = self.scopes.iter().any(|it| it.level() == Level::Patient);
        self.launch.is_none() && (self.about.launch_patient || is_of_one)
    }

    /// The app's address with an answer.
    pub(super) fn back(&self, pairs: &[(&str, &str)]) -> String {
        back(&self.redirect_uri, Some(&self.state), pairs)
    }
}

/// Where a login is.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) asked: Asked,
    /// The digest of the secret that its browser keeps.
    pub(super) browser: [u8; 32],
    pub(super) stage: Stage,
}

/// What is waited for.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The provider.
    Provider { nonce: String, verifier: String },
    /// The person's decision, by a form with this secret.
    Decision { subject: String, auth_time_s: u64, csrf: String, tries_left: u32 },
}

/// Why an app gets no answer that it could use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    /// The person is told.
    Told(&'static str),
    /// The browser is sent back to the app.
    Sent(String),
}

/// What was wrong with a request of a known app (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(super) enum Wrong {
    #[error("each parameter stands once, and state is there")]
    Repeated,
    #[error("only response_type=code is served")]
    ResponseType,
    #[error("code_challenge_method=S256 and a code_challenge of 43 characters are needed")]
    Challenge,
    #[error("aud is the base of this FHIR server")]
    Audience,
    #[error("nothing that was asked for may be had")]
    Scope,
    #[error("the launch is used, over or none; open the app again from the system")]
    Launch,
    #[error("the person is asked always")]
    Prompt,
    #[error("a request by value or by reference is not served")]
    RequestObject,
}

impl Wrong {
    const fn code(self) -> &'static str {
        match self {
            Self::Repeated | Self::Challenge | Self::Audience | Self::Launch => "invalid_request",
            Self::ResponseType => "unsupported_response_type",
            Self::Scope => "invalid_scope",
            Self::Prompt => "interaction_required",
            Self::RequestObject => "request_not_supported",
        }
    }
}

/// Parameters, of which each is there once or not at all.
struct Parameters<'a>(&'a [(String, String)]);

impl<'a> Parameters<'a> {
    fn one(&self, name: &str) -> Result<Option<&'a str>, Wrong> {
        let mut all = self.0.iter().filter(|it| it.0 == name).map(|it| it.1.as_str());
        match (all.next(), all.next()) {
            (found, None) => Ok(found.filter(|it| !it.is_empty())),
            (_, Some(_)) => Err(Wrong::Repeated),
        }
    }
}

impl Smart {
    /// Reads the parameters of a request.
    pub(super) fn asked(&self, now: Instant, pairs: &[(String, String)]) -> Result<Asked, Refused> {
        let parameters = Parameters(pairs);
        let known = |name| parameters.one(name).ok().flatten();
        let app = known("client_id").and_then(|it| self.apps.get(it));
        let app = app.ok_or(Refused::Told(
            "The app that sent you here is not registered with this gateway. Ask whoever runs the gateway to register it.",
        ))?;
        let redirect_uri = known("redirect_uri").filter(|it| app.has_redirect_uri(it));
        let redirect_uri = redirect_uri.ok_or(Refused::Told(
            "The app that sent you here wants its answer at an address that is not registered for it. Nothing was sent there. Tell whoever runs the app.",
        ))?;
        let state = known("state").filter(|it| it.chars().count() <= STATE_CHARS_MAX);
        let sent = |wrong: Wrong| {
            let told = wrong.to_string();
            let pairs = [("error", wrong.code()), ("error_description", told.as_str())];
            Refused::Sent(back(redirect_uri, state, &pairs))
        };
        self.asked_by(now, (app.id(), redirect_uri, state), &parameters).map_err(sent)
    }

    fn asked_by(
        &self,
        now: Instant,
        (app, redirect_uri, state): (&str, &str, Option<&str>),
        parameters: &Parameters<'_>,
    ) -> Result<Asked, Wrong> {
        if parameters.one("request")?.or(parameters.one("request_uri")?).is_some() {
            return Err(Wrong::RequestObject);
        }
        if parameters.one("response_type")? != Some("code") {
            return Err(Wrong::ResponseType);
        }
        let state = state.ok_or(Wrong::Repeated)?;
        let is_digest =
            |it: &&str| BASE64_URL_SAFE_NO_PAD.decode(it).is_ok_and(|it| it.len() == 32);
        let challenge = parameters.one("code_challenge")?.filter(is_digest);
        let is_s256 = parameters.one("code_challenge_method")? == Some("S256");
        let challenge = challenge.filter(|_| is_s256).ok_or(Wrong::Challenge)?;
        let aud = parameters.one("aud")?.map(|it| it.trim_end_matches('/'));
        if aud != Some(self.base.as_str()) {
            return Err(Wrong::Audience);
        }
        let prompt = parameters.one("prompt")?.unwrap_or_default();
        if prompt.split(' ').any(|it| it == "none") {
            return Err(Wrong::Prompt);
        }
        let nonce = parameters.one("nonce")?.map(ToOwned::to_owned);
        if nonce.as_ref().is_some_and(|it| it.chars().count() > STATE_CHARS_MAX) {
            return Err(Wrong::Repeated);
        }
        let scope = parameters.one("scope")?.ok_or(Wrong::Scope)?;
        let (scopes, about) = self.apps[app].granted(scope);
        if scopes.is_empty() && !about.openid {
            return Err(Wrong::Scope);
        }
        // Last, since it is good once.
        let launch = match (parameters.one("launch")?, about.launch) {
            (Some(launch), true) => {
                Some(self.launches.take_if(now, launch, |_| true).ok_or(Wrong::Launch)?)
            }
            (None, false) => None,
            (Some(_), false) | (None, true) => return Err(Wrong::Launch),
        };
        Ok(Asked {
            app: app.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            state: state.to_owned(),
            challenge: challenge.to_owned(),
            scopes,
            about,
            nonce,
            launch,
        })
    }
}

fn back(redirect_uri: &str, state: Option<&str>, pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().copied().chain(state.map(|it| ("state", it)));
    let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let and = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{and}{}", form::encode(&pairs))
}
