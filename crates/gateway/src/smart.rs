//! People who sign in: SMART App Launch 2.2 and OpenID Connect.
//!
//! ```text
//! app                    person's browser                gateway                     organisation's OpenID provider
//!  |-- authorize ---------------> | ----------------------> | who may ask, and for what          |
//!  |                              | <-- to the provider --- | state, nonce, challenge            |
//!  |                              | ---------------------------------------------- signs in ---> |
//!  |                              | -- callback ----------> | -- code, verifier ---------------> |
//!  |                              |                         | <--------------------- id token -- |
//!  |                              | <-- a page ------------ | which app, what for, which patient |
//!  |                              | -- decide ------------> |                                    |
//!  | <-------------------- code --|                         |
//!  |-- code, verifier ------------------------------------> |
//!  | <--------- token, patient, id token ------------------ | as the person's member, for the purpose they chose
//! ```
//!
//! In an EHR launch a system has said before, with a token of its own, which patient is open in it.
//!
//! # Invariants
//!
//! * A person is one member of the ledger. Who the provider knows and nobody listed gets a page that says so.
//! * Nothing is sent to an address that is not registered, to the letter, for the app that asks.
//! * A step is carried on in the browser in which the one before it was: each login has a cookie of its own, and a form a
//!   secret of its own besides.
//! * Whatever is handed out (login, code, launch) is 256 random bits, good once and for a while, and kept as a digest. A code
//!   that comes twice ends the token that the first one got.
//! * The patient of a token is one whom the person may see: an access to them, in the person's name, is committed first.
//!
//! Not here: refresh tokens (an app asks again when its hour is over), apps with a shared secret, registration by apps
//! themselves, introspection, WebAuthn, having a person sign in anew at the provider (`prompt=login`, `max_age`), ending
//! their session there. All of this is in memory: whoever is signing in while a gateway stops begins again.

mod app;
mod authorize;
mod code;
mod decide;
mod http;
mod identity;
mod kept;
mod launch;
mod page;
mod provider;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use keepwell_client::identity::Actor;
use keepwell_types::{access::Purpose, member::Party};

pub(crate) use self::http::{Route, refused};
pub use self::{
    app::{App, AppError, Registered},
    identity::{Signer, SignerError},
    provider::{Provider, ProviderError, ProviderSettings},
};
use self::{authorize::Login, code::Code, kept::Kept, launch::Launch};
use crate::auth::Scope;

/// How long a person has from the app to their decision.
const LOGIN_TIME: Duration = Duration::from_secs(600);
/// How long a code is good (RFC 6749, section 4.1.2, has ten minutes at most).
const CODE_TIME: Duration = Duration::from_secs(60);
/// How long a launch is good.
const LAUNCH_TIME: Duration = Duration::from_secs(300);
/// How long a person's token is good, in seconds.
pub const PERSON_TOKEN_S: u64 = 3_600;

/// A person who may sign in.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who they are to the provider: the value of the configured claim.
    pub subject: String,
    /// The member in whose name they act.
    pub actor: Actor,
    /// What for, by their choice.
    pub purposes: Vec<Purpose>,
    /// The resource that is about them, such as `Practitioner/1`.
    pub fhir_user: Option<String>,
}

/// What people need to sign in at a gateway.
#[derive(Debug)]
pub struct Smart {
    /// The gateway's public address, which is the issuer of its id tokens.
    base: String,
    apps: BTreeMap<String, App>,
    people: BTreeMap<String, Person>,
    provider: Provider,
    signer: Signer,
    logins: Kept<Login>,
    codes: Kept<Code>,
    launches: Kept<Launch>,
}

impl Smart {
    /// For these apps and these people, who sign in at a provider. `base` has no slash at the end.
    pub fn new(
        base: String,
        (apps, people): (Vec<App>, Vec<Person>),
        provider: Provider,
        signer: Signer,
    ) -> Self {
        Self {
            base,
            apps: apps.into_iter().map(|it| (it.id().to_owned(), it)).collect(),
            people: people.into_iter().map(|it| (it.subject.clone(), it)).collect(),
            provider,
            signer,
            logins: Kept::for_time(LOGIN_TIME),
            codes: Kept::for_time(CODE_TIME),
            launches: Kept::for_time(LAUNCH_TIME),
        }
    }

    /// Whether scripts of an origin may ask: one of an app that is registered.
    pub(crate) fn knows_origin(&self, origin: &str) -> bool {
        self.apps.values().any(|it| it.has_origin(origin))
    }

    /// As whom a person acts by an app, if both are still listed, and the app may ask for all of these scopes.
    pub(crate) fn known(
        &self,
        app: &str,
        (party, purpose): (Party, Purpose),
        scopes: &[String],
    ) -> Option<Actor> {
        let (granted, _) = self.apps.get(app)?.granted(&scopes.join(" "));
        let texts: Vec<_> = granted.iter().map(Scope::text).collect();
        let is_it = |it: &&Person| it.actor.party() == party && it.purposes.contains(&purpose);
        let person = self.people.values().find(is_it)?;
        scopes.iter().all(|it| texts.contains(it)).then(|| person.actor.clone())
    }

    /// Where the provider sends people back to.
    pub fn callback(base: &str) -> String {
        format!("{base}/auth/callback")
    }
}
