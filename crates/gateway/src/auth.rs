//! Who asks: SMART Backend Services (SMART App Launch 2.2, section 7), for systems that have a key of their own.
//!
//! ```text
//! client                                                    gateway
//!   |-- client_assertion, signed with its key, scopes --------> |   key, audience, time, never seen before
//!   |<------------- an opaque token, for five minutes --------- |
//!   |-- a request, with the token ----------------------------> |   as the member, for the purpose of the client
//! ```
//!
//! # Invariants
//!
//! * A client is one member of the ledger, and asks for one purpose: a token cannot say otherwise.
//! * An assertion is taken once, for this gateway, for five minutes at most, under ES384 or RS384 and a key that is
//!   registered. What is wrong with another is not said, beyond that it is.
//! * A token is 256 random bits, and only its digest is here.
//!
//! Not here: people who sign in ([`crate::smart`]), whose tokens are kept here too. Which assertions were taken is not kept
//! over a restart: for five minutes after one, whoever had read an assertion on its way could use it again, which TLS
//! prevents.

mod scope;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use getrandom::SysRng;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    jwk::{Jwk, JwkSet},
};
use keepwell_fhir::interaction::{
    Interaction, Operation, ResourceType, Scope as Of, Target, Within,
};
use keepwell_types::id::ChartId;
use rand_core::{Rng as _, UnwrapErr};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use self::scope::granted;
pub use self::scope::{Level, Permission, Scope};
use crate::{capability::Served, gateway::Asker, sight::Sight};

/// How long a token is good for.
pub const TOKEN_S: u64 = 300;
/// How far ahead the end of an assertion may be, in seconds (section 7.1.2).
const ASSERTION_S_MAX: u64 = 300;
/// How much clocks may differ, in seconds.
const SKEW_S: u64 = 30;
/// Bytes of an assertion.
const ASSERTION_BYTES_MAX: usize = 8 * 1024;
/// Characters of an assertion's id.
const ID_CHARS_MAX: usize = 256;
/// Tokens at one time, and assertions that are remembered.
const KEPT_MAX: usize = 100_000;

/// A system that may ask.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its client id.
    pub id: String,
    /// Its public keys.
    pub keys: JwkSet,
    /// What it may ask for.
    pub scopes: Vec<Scope>,
    /// As whom, and what for.
    pub asker: Asker,
    /// Whether it may open apps for the patient who is open in it (an EHR launch).
    pub launches: bool,
}

/// Why there is no token (RFC 6749, section 5.2).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum TokenError {
    /// The request is none.
    #[error(
        "send a form with each field once: of a system grant_type=client_credentials, client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer, client_assertion and scope; for a code grant_type=authorization_code, code, redirect_uri, code_verifier and client_id (or an assertion in its place)"
    )]
    InvalidRequest,
    /// A code that is not good, or not for this client.
    #[error(
        "the code is not good: it is used once, within a minute, by the client and with the redirect_uri that it was asked for with, and with the code_verifier of its challenge; send the person to authorize again"
    )]
    InvalidGrant,
    /// Another grant.
    #[error("only client_credentials and authorization_code are granted here")]
    UnsupportedGrantType,
    /// The assertion does not prove a client.
    #[error(
        "the assertion is not taken: it is signed under ES384 or RS384 with a registered key named by kid, has the client's id as iss and sub, this token endpoint as aud, an exp within five minutes and a jti that was never used"
    )]
    InvalidClient,
    /// Nothing of what is asked for may be had.
    #[error(
        "none of these scopes is granted to this client; metadata and its registration say which are"
    )]
    InvalidScope,
    /// Too many at once.
    #[error("too many tokens are out; ask again in a minute")]
    Busy,
}

impl TokenError {
    /// The error's code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidClient => "invalid_client",
            Self::InvalidScope => "invalid_scope",
            Self::Busy => "temporarily_unavailable",
        }
    }
}

/// A token as it is given.
#[derive(Clone, Debug, Serialize)]
pub struct Granted {
    /// The token.
    pub access_token: String,
    token_type: &'static str,
    expires_in: u64,
    /// What it is good for.
    pub scope: String,
}

/// Whoever has shown a token.
#[derive(Clone, Debug)]
pub struct Session {
    /// As whom it asks, and what for, with what may be found in sight.
    pub asker: Asker,
    /// Whose token it is.
    pub client: String,
    /// Whether it may say which patient is open in it.
    pub launches: bool,
    /// What may be read by its id.
    reads: Sight,
    scopes: Vec<Scope>,
    /// The chart of the patient whom scopes of one patient are of.
    chart: Option<ChartId>,
    until: Instant,
}

/// A token that is to be given.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) client: String,
    pub(crate) launches: bool,
    pub(crate) asker: Asker,
    pub(crate) scopes: Vec<Scope>,
    /// The chart of the patient whom scopes of one patient are of.
    pub(crate) chart: Option<ChartId>,
    pub(crate) token_s: u64,
}

impl Session {
    /// Whether the token is good for this interaction.
    pub fn may(&self, interaction: &Interaction) -> bool {
        let Some((of, permission)) = needed(interaction) else { return true };
        self.scopes.iter().any(|scope| scope.allows(of, permission))
    }

    /// What it is good for.
    pub(crate) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The chart of the patient whom its scopes of one patient are of.
    pub(crate) const fn chart(&self) -> Option<ChartId> {
        self.chart
    }

    /// Whether it is good for all that these scopes are.
    pub(crate) fn covers(&self, scopes: &[String]) -> bool {
        scopes.iter().all(|text| {
            let Some(scope) = Scope::parse(text) else { return false };
            self.scopes.iter().any(|it| it.and(&scope).as_ref() == Some(&scope))
        })
    }

    /// Who asks for what is served, with what is in sight for it.
    pub(crate) fn asker_of(&self, served: &Served) -> Asker {
        match served {
            Served::Read(..) | Served::VersionRead(..) => self.reader(),
            Served::Create(..)
            | Served::Update(..)
            | Served::Patch(..)
            | Served::History(..)
            | Served::Search(..)
            | Served::Bundle
            | Served::Everything(..)
            | Served::Summary(..)
            | Served::Export(..)
            | Served::ImportCcda
            | Served::Subscription(_)
            | Served::Validate(..) => self.asker.clone(),
        }
    }

    /// Who asks, with what may be read by its id in sight.
    pub(crate) fn reader(&self) -> Asker {
        Asker { sight: self.reads.clone(), ..self.asker.clone() }
    }
}

/// What an interaction needs; nothing for what anyone may ask.
fn needed(interaction: &Interaction) -> Option<(Option<ResourceType>, Permission)> {
    Some(match interaction {
        Interaction::Capabilities => return None,
        // Each entry is asked for again.
        Interaction::Bundle => return None,
        // Whether it is sent or stored its body says.
        Interaction::Operation(Operation::Validate | Operation::ImportCcda, ..) => return None,
        // It is of as much as the token is good for.
        Interaction::Operation(Operation::Export, Of::System | Of::Type(_), _) => return None,
        Interaction::Create(of, _) => (Some(*of), Permission::Create),
        Interaction::Read(of, _) | Interaction::VersionRead(of, _, _) => {
            (Some(*of), Permission::Read)
        }
        Interaction::Update(target) | Interaction::Patch(target) => {
            (Some(of_target(target)), Permission::Update)
        }
        Interaction::Delete(target) => (Some(of_target(target)), Permission::Delete),
        Interaction::Search(within, _) => {
            let of = match within {
                Within::Type(of) | Within::Compartment(_, _, Some(of)) => Some(*of),
                Within::System | Within::Compartment(_, _, None) => None,
            };
            (of, Permission::Search)
        }
        Interaction::History(level, _) | Interaction::Operation(_, level, _) => {
            let of = match level {
                Of::System => None,
                Of::Type(of) | Of::Instance(of, _) => Some(*of),
            };
            (of, Permission::Search)
        }
    })
}

const fn of_target(target: &Target) -> ResourceType {
    target.resource_type()
}

/// The clients of a gateway and their tokens.
#[derive(Debug)]
pub struct Sessions {
    clients: BTreeMap<String, Registration>,
    /// The audience of assertions: where tokens are asked for.
    audience: String,
    tokens: Mutex<BTreeMap<[u8; 32], Session>>,
    /// Assertions that were taken, and until when they would be.
    used: Mutex<BTreeMap<(String, String), Instant>>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: u64,
    jti: String,
}

impl Sessions {
    /// Sessions of these clients, whose assertions name `audience`.
    pub fn new(clients: Vec<Registration>, audience: String) -> Self {
        let clients = clients.into_iter().map(|it| (it.id.clone(), it)).collect();
        Self { clients, audience, tokens: Mutex::default(), used: Mutex::default() }
    }

    /// Whether a client is a system, which asks by itself and for no person.
    pub(crate) fn is_system(&self, client: &str) -> bool {
        self.clients.contains_key(client)
    }

    /// As whom a system asks that is still registered, and for what of these scopes it still may.
    pub(crate) fn known(&self, client: &str, scopes: &[String]) -> Option<(Asker, Vec<Scope>)> {
        let client = self.clients.get(client)?;
        let scopes = granted(&scopes.join(" "), &client.scopes);
        let sight = Sight::of(&scopes, Permission::Search, None, self.base());
        Some((Asker { sight, ..client.asker.clone() }, scopes))
    }

    /// Gives a token for a form that proves a client.
    pub fn grant(&self, form: &[(String, String)], now_s: u64) -> Result<Granted, TokenError> {
        let field = |name| match &form.iter().filter(|it| it.0 == name).collect::<Vec<_>>()[..] {
            [(_, value)] => Ok(value.as_str()),
            _ => Err(TokenError::InvalidRequest),
        };
        if field("grant_type")? != "client_credentials" {
            return Err(TokenError::UnsupportedGrantType);
        }
        let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        if field("client_assertion_type")? != jwt_bearer {
            return Err(TokenError::InvalidRequest);
        }
        let (assertion, scope) = (field("client_assertion")?, field("scope")?);
        let client = self.client_of(assertion, now_s)?;
        let scopes = granted(scope, &client.scopes);
        if scopes.is_empty() {
            return Err(TokenError::InvalidScope);
        }
        let texts: Vec<_> = scopes.iter().map(Scope::text).collect();
        let access_token = self.issue(New {
            client: client.id.clone(),
            launches: client.launches,
            asker: client.asker.clone(),
            scopes,
            chart: None,
            token_s: TOKEN_S,
        })?;
        let scope = texts.join(" ");
        Ok(Granted { access_token, token_type: "bearer", expires_in: TOKEN_S, scope })
    }

    /// Gives a token.
    pub(crate) fn issue(&self, new: New) -> Result<String, TokenError> {
        let token = secret();
        let now = Instant::now();
        let sight = |permission| Sight::of(&new.scopes, permission, new.chart, self.base());
        let session = Session {
            asker: Asker { sight: sight(Permission::Search), ..new.asker },
            client: new.client,
            launches: new.launches,
            reads: sight(Permission::Read),
            until: now + Duration::from_secs(new.token_s),
            scopes: new.scopes,
            chart: new.chart,
        };
        let mut tokens = lock(&self.tokens);
        tokens.retain(|_, it| it.until > now);
        if tokens.len() >= KEPT_MAX {
            return Err(TokenError::Busy);
        }
        tokens.insert(digest(&token), session);
        Ok(token)
    }

    /// Ends a token of a client, if it is one.
    pub(crate) fn revoke(&self, client: &str, token: &str) {
        let mut tokens = lock(&self.tokens);
        if tokens.get(&digest(token)).is_some_and(|it| it.client == client) {
            tokens.remove(&digest(token));
        }
    }

    /// The public address of the gateway, below which tokens are asked for.
    fn base(&self) -> &str {
        self.audience.strip_suffix("/auth/token").unwrap_or(&self.audience)
    }

    /// The session of an `Authorization` header.
    pub fn of_header(&self, header: &str) -> Option<Session> {
        let (scheme, token) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let session = lock(&self.tokens).get(&digest(token.trim())).cloned()?;
        (session.until > Instant::now()).then_some(session)
    }

    /// The client that signed an assertion, which is taken this once.
    fn client_of(&self, assertion: &str, now_s: u64) -> Result<&Registration, TokenError> {
        let known = self.clients.values().map(|it| (it.id.as_str(), &it.keys));
        let id = self.signer_of(assertion, known, now_s)?;
        self.clients.get(&id).ok_or(TokenError::InvalidClient)
    }

    /// Which of those who are known by their keys signed an assertion, which is taken this once.
    pub(crate) fn signer_of<'a>(
        &self,
        assertion: &str,
        known: impl Iterator<Item = (&'a str, &'a JwkSet)>,
        now_s: u64,
    ) -> Result<String, TokenError> {
        let refused = |_| TokenError::InvalidClient;
        if assertion.len() > ASSERTION_BYTES_MAX {
            return Err(TokenError::InvalidClient);
        }
        let header = decode_header(assertion).map_err(refused)?;
        let is_served = matches!(header.alg, Algorithm::ES384 | Algorithm::RS384);
        let kid = header.kid.as_deref().ok_or(TokenError::InvalidClient)?;
        // An extension that must be understood is not.
        if !is_served || header.crit.is_some() {
            return Err(TokenError::InvalidClient);
        }
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        (validation.leeway, validation.validate_nbf) = (SKEW_S, true);
        for (id, keys) in known {
            let Some(key) = keys.find(kid) else { continue };
            let Ok(key) = DecodingKey::from_jwk(key) else { continue };
            let Ok(found) = decode::<Claims>(assertion, &key, &validation) else { continue };
            let Claims { iss, sub, exp, jti } = found.claims;
            // Two clients may have one key, as two names of one system.
            if iss != id || sub != id {
                continue;
            }
            let is_short = exp <= now_s.saturating_add(ASSERTION_S_MAX + SKEW_S);
            if !is_short || jti.is_empty() || jti.len() > ID_CHARS_MAX {
                return Err(TokenError::InvalidClient);
            }
            self.use_once((iss.clone(), jti), exp.saturating_sub(now_s))?;
            return Ok(iss);
        }
        Err(TokenError::InvalidClient)
    }

    fn use_once(&self, id: (String, String), left_s: u64) -> Result<(), TokenError> {
        let now = Instant::now();
        let mut used = lock(&self.used);
        if used.len() >= KEPT_MAX {
            used.retain(|_, until| *until > now);
        }
        if used.len() >= KEPT_MAX {
            return Err(TokenError::Busy);
        }
        if used.get(&id).is_some_and(|until| *until > now) {
            return Err(TokenError::InvalidClient);
        }
        used.insert(id, now + Duration::from_secs(left_s + 2 * SKEW_S));
        Ok(())
    }
}

/// The key of a system that asks: made for it, where it brings none of its own.
#[derive(Clone, Debug)]
pub struct ClientKey {
    /// Its private key, PKCS #8 in PEM: P-384.
    pub private_pem: String,
    /// Its public key, as a JSON Web Key Set.
    pub public: serde_json::Value,
}

/// A key of a client that cannot be used.
#[derive(Debug, Error)]
pub enum ClientKeyError {
    /// It cannot be made.
    #[error("no key could be made: {0}; try again")]
    Make(#[from] rcgen::Error),
    /// It is no key.
    #[error(
        "the key cannot be used: {0}; it is a P-384 key in PEM, as `keepwell gateway client` makes it"
    )]
    Use(#[from] jsonwebtoken::errors::Error),
}

impl ClientKey {
    /// Draws a key. `id` is the client's, and names the key too.
    pub fn generate(id: &str) -> Result<Self, ClientKeyError> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?;
        let private_pem = pair.serialize_pem();
        let private = EncodingKey::from_ec_pem(private_pem.as_bytes())?;
        let mut public = Jwk::from_encoding_key(&private, Algorithm::ES384)?;
        public.common.key_id = Some(id.to_owned());
        Ok(Self { private_pem, public: serde_json::json!({ "keys": [public] }) })
    }
}

/// What a client signs to say who it is (section 7.1.2): good for a minute, for `endpoint` alone, with a P-384 key that is
/// called as the client.
pub fn assertion(
    id: &str,
    private_pem: &str,
    endpoint: &str,
    now_s: u64,
) -> Result<String, ClientKeyError> {
    let key = EncodingKey::from_ec_pem(private_pem.as_bytes())?;
    let mut header = Header::new(Algorithm::ES384);
    header.kid = Some(id.to_owned());
    let mut jti = [0; 16];
    UnwrapErr(SysRng).fill_bytes(&mut jti);
    let claims = serde_json::json!({
        "iss": id, "sub": id, "aud": endpoint, "exp": now_s + 60, "jti": hex::encode(jti),
    });
    Ok(encode(&header, &claims, &key)?)
}

/// 256 random bits, in hexadecimal.
pub(crate) fn secret() -> String {
    let mut bytes = [0; 32];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    hex::encode(bytes)
}

fn digest(token: &str) -> [u8; 32] {
    keepwell_crypto::hash::digest("keepwell/gateway/token/v1", &[token.as_bytes()]).0
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use keepwell_client::identity::Actor;
    use keepwell_crypto::sign::SigningKey;
    use keepwell_fhir::interaction::Method;
    use keepwell_types::{access::Purpose, id::MemberId, member::Party};

    use super::*;

    const ENDPOINT: &str = "https://gateway.example/fhir/auth/token";

    fn now_s() -> u64 {
        jsonwebtoken::get_current_timestamp()
    }

    fn registration(id: &str, key: &ClientKey, scopes: &[&str]) -> Registration {
        let actor = Actor::new(Party::Member(MemberId([1; 16])), SigningKey::from_seed(&[1; 32]));
        Registration {
            id: id.to_owned(),
            keys: serde_json::from_value(key.public.clone()).unwrap(),
            scopes: scopes.iter().map(|it| Scope::parse(it).unwrap()).collect(),
            asker: Asker { actor, purpose: Purpose::Treatment, sight: Sight::ALL },
            launches: false,
        }
    }

    fn sessions(key: &ClientKey) -> Sessions {
        let client = registration("ehr", key, &["system/Observation.rs", "system/Patient.cruds"]);
        Sessions::new(vec![client], ENDPOINT.to_owned())
    }

    fn form(assertion: &str, scope: &str) -> Vec<(String, String)> {
        [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
            ("scope", scope),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn interaction(method: Method, path: &str) -> Interaction {
        Interaction::parse(method, path, None).unwrap()
    }

    #[test]
    fn a_client_gets_what_it_asks_for_and_may_have() {
        let key = ClientKey::generate("ehr").unwrap();
        let sessions = sessions(&key);
        let assertion = assertion("ehr", &key.private_pem, ENDPOINT, now_s()).unwrap();
        let asked = "system/*.read openid system/Patient.u system/Practitioner.s";
        let granted = sessions.grant(&form(&assertion, asked), now_s()).unwrap();
        assert_eq!(granted.scope, "system/Observation.rs system/Patient.rs system/Patient.u");
        let session = sessions.of_header(&format!("bearer {}", granted.access_token)).unwrap();
        for (method, path, may) in [
            (Method::Get, "metadata", true),
            (Method::Get, "Observation/1", true),
            (Method::Get, "Observation", true),
            (Method::Put, "Observation/1", false),
            (Method::Post, "Observation", false),
            (Method::Put, "Patient/1", true),
            (Method::Post, "Patient", false),
            (Method::Delete, "Patient/1", false),
            (Method::Get, "Condition/1", false),
            (Method::Get, "_history", false),
            (Method::Get, "Patient/1/$everything", true),
        ] {
            assert_eq!(session.may(&interaction(method, path)), may, "{method} {path}");
        }
        for header in ["", "Bearer", "Bearer x", &granted.access_token] {
            assert!(sessions.of_header(header).is_none(), "{header}");
        }
    }

    #[test]
    fn an_assertion_that_proves_nothing_is_refused() {
        let (key, other) =
            (ClientKey::generate("ehr").unwrap(), ClientKey::generate("ehr").unwrap());
        let sessions = sessions(&key);
        let make = |id: &str, key: &ClientKey, endpoint: &str, now_s: u64| {
            assertion(id, &key.private_pem, endpoint, now_s).unwrap()
        };
        let (good, now) = (make("ehr", &key, ENDPOINT, now_s()), now_s());
        let cut = &good[..good.len() - 2];
        // What `none` and a shared secret would look like, with the good one's claims.
        let claims = good.split('.').nth(1).unwrap();
        let unsigned = format!("eyJhbGciOiJub25lIiwia2lkIjoiZWhyIn0.{claims}.");
        let mut header = Header::new(Algorithm::HS384);
        header.kid = Some("ehr".into());
        let body = serde_json::json!({ "iss": "ehr", "sub": "ehr", "aud": ENDPOINT, "exp": now + 60, "jti": "1" });
        let shared = encode(&header, &body, &EncodingKey::from_secret(b"ehr")).unwrap();
        for (what, assertion) in [
            ("another key", make("ehr", &other, ENDPOINT, now)),
            ("another client", make("lab", &key, ENDPOINT, now)),
            ("another audience", make("ehr", &key, "https://elsewhere.example/token", now)),
            ("too late", make("ehr", &key, ENDPOINT, now - 600)),
            ("for too long", make("ehr", &key, ENDPOINT, now + 600)),
            ("cut", cut.to_owned()),
            ("unsigned", unsigned),
            ("a shared secret", shared),
            ("nothing", String::new()),
            ("no token", "a.b.c".into()),
            ("long", "a".repeat(10_000)),
        ] {
            let refused = sessions.grant(&form(&assertion, "system/*.rs"), now).unwrap_err();
            assert_eq!(refused, TokenError::InvalidClient, "{what}");
        }
        sessions.grant(&form(&good, "system/*.rs"), now).unwrap();
        let again = sessions.grant(&form(&good, "system/*.rs"), now).unwrap_err();
        assert_eq!(again, TokenError::InvalidClient, "it was used");
    }

    #[test]
    fn a_request_for_a_token_says_all_that_it_must_once() {
        let key = ClientKey::generate("ehr").unwrap();
        let sessions = sessions(&key);
        let fresh = || assertion("ehr", &key.private_pem, ENDPOINT, now_s()).unwrap();
        for at in 0..4 {
            let mut less = form(&fresh(), "system/*.rs");
            let twice = less[at].clone();
            less.push(twice.clone());
            assert_eq!(sessions.grant(&less, now_s()).unwrap_err(), TokenError::InvalidRequest);
            less.retain(|it| it.0 != twice.0);
            assert_eq!(sessions.grant(&less, now_s()).unwrap_err(), TokenError::InvalidRequest);
        }
        for scope in ["", "system/Condition.rs", "patient/*.rs", "system/Patient.sr", "system/*.x"]
        {
            let refused = sessions.grant(&form(&fresh(), scope), now_s()).unwrap_err();
            assert_eq!(refused, TokenError::InvalidScope, "{scope}");
        }
        let mut other = form(&fresh(), "system/*.rs");
        other[0].1 = "password".into();
        assert_eq!(sessions.grant(&other, now_s()).unwrap_err(), TokenError::UnsupportedGrantType);
    }
}
