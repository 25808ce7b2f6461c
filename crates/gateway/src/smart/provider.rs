//! The organisation's OpenID provider, of which the gateway is a client (OpenID Connect Core 1.0, section 3.1; Discovery
//! 1.0, section 4).
//!
//! # Invariants
//!
//! * Where to ask, and by which keys to believe, is what the provider says at the configured issuer, over TLS.
//! * Of an id token the signature, issuer, audience, nonce and end are looked at before anything else is read.
//!
//! Not here: the user-info endpoint, encrypted id tokens, and answers by form post.

use std::time::{Duration, Instant};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use keepwell_fhir::search::form;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{app::is_loopback, code::challenge_of};

/// How long what the provider says of itself is kept; and how soon it is asked again for a key that is not in it.
const KNOWN_TIME: Duration = Duration::from_secs(3_600);
const AGAIN_TIME: Duration = Duration::from_secs(10);
/// How long the provider may take for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How much clocks may differ, in seconds.
const SKEW_S: u64 = 30;
/// What an id token may be signed with: nothing that both sides could make.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What is configured of a provider.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// Its issuer.
    pub issuer: String,
    /// The gateway's client id there.
    pub client_id: String,
    /// And its secret, if it has one.
    pub secret: Option<Zeroizing<String>>,
    /// The claim by which people are listed.
    pub claim: String,
}

/// Why nobody is signed in.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ProviderError {
    /// An address of it is not protected.
    #[error("{0:?} is not protected; an OpenID provider is at an address of https")]
    Open(String),
    /// It cannot be asked.
    #[error(
        "the OpenID provider cannot be asked: {0}; see whether it runs and its address is right"
    )]
    Unreachable(String),
    /// It is another one than is configured.
    #[error("the OpenID provider says that it is {given:?}, and {expected:?} is configured")]
    OtherIssuer {
        /// Said.
        given: String,
        /// Configured.
        expected: String,
    },
    /// It does not take the code.
    #[error("the OpenID provider refused the login")]
    Refused,
    /// What it says of the person does not hold.
    #[error("the OpenID provider's id token does not hold: {0}")]
    IdToken(String),
}

/// What the provider says of itself.
#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Clone, Debug)]
struct Known {
    metadata: Metadata,
    keys: JwkSet,
    at: Instant,
}

/// What an id token has to be of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) claim: &'a str,
}

/// Who signed in, and when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SignedIn {
    pub(super) subject: String,
    pub(super) auth_time_s: u64,
}

/// A provider.
#[derive(Debug)]
pub struct Provider {
    settings: ProviderSettings,
    http: reqwest::Client,
    known: Mutex<Option<Known>>,
}

impl Provider {
    /// A provider at an issuer of https, or on this computer.
    pub fn new(settings: ProviderSettings) -> Result<Self, ProviderError> {
        protected(&settings.issuer)?;
        let unreachable = |error: reqwest::Error| ProviderError::Unreachable(error.to_string());
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(unreachable)?;
        Ok(Self { settings, http, known: Mutex::default() })
    }

    /// The issuer.
    pub(super) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Where a browser is sent to sign in.
    pub(super) async fn address(
        &self,
        redirect_uri: &str,
        (state, nonce, verifier): (&str, &str, &str),
    ) -> Result<String, ProviderError> {
        let known = self.known(KNOWN_TIME).await?;
        let challenge = challenge_of(verifier);
        let pairs = [
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", redirect_uri),
            ("scope", "openid"),
            ("state", state),
            ("nonce", nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let endpoint = &known.metadata.authorization_endpoint;
        let and = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{and}{}", form::encode(&owned(&pairs))))
    }

    /// Who signed in, by the code that the provider gave for it.
    pub(super) async fn signed_in(
        &self,
        code: &str,
        redirect_uri: &str,
        (nonce, verifier): (&str, &str),
        now_s: u64,
    ) -> Result<SignedIn, ProviderError> {
        let known = self.known(KNOWN_TIME).await?;
        let token = self.id_token(&known, code, redirect_uri, verifier).await?;
        let settings = &self.settings;
        let expected = Expected {
            issuer: &settings.issuer,
            client_id: &settings.client_id,
            nonce,
            claim: &settings.claim,
        };
        let keys = match key_of(&token, &known.keys) {
            Some(_) => known.keys,
            // It may have a new one.
            None => self.known(AGAIN_TIME).await?.keys,
        };
        signed_in(&token, &keys, expected, now_s)
    }

    async fn id_token(
        &self,
        known: &Known,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<String, ProviderError> {
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        let request = self.http.post(&known.metadata.token_endpoint);
        let request = match &self.settings.secret {
            Some(secret) => {
                // RFC 6749, section 2.3.1: both are escaped as in a form.
                let [id, secret] = [self.settings.client_id.as_str(), secret.as_str()].map(escaped);
                request.basic_auth(id, Some(secret))
            }
            None => {
                pairs.push(("client_id", &self.settings.client_id));
                request
            }
        };
        let answer: Value = answer_of(request.form(&pairs)).await?;
        let token = answer.get("id_token").and_then(Value::as_str);
        token.map(ToOwned::to_owned).ok_or(ProviderError::Refused)
    }

    /// What the provider said of itself, not longer ago than this.
    async fn known(&self, time: Duration) -> Result<Known, ProviderError> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|it| it.at.elapsed() < time) {
            return Ok(known.clone());
        }
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = answer_of(self.http.get(url)).await?;
        if metadata.issuer != *issuer {
            let expected = issuer.clone();
            return Err(ProviderError::OtherIssuer { given: metadata.issuer, expected });
        }
        for url in [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri]
        {
            protected(url)?;
        }
        let keys: Value = answer_of(self.http.get(&metadata.jwks_uri)).await?;
        let found = Known { metadata, keys: readable(&keys), at: Instant::now() };
        Ok(known.insert(found).clone())
    }
}

/// The keys of a set that are read here: a kind of key that nobody knows makes the others no worse (RFC 7517, section 5).
fn readable(keys: &Value) -> JwkSet {
    let all = keys["keys"].as_array().into_iter().flatten();
    JwkSet { keys: all.filter_map(|it| Jwk::deserialize(it).ok()).collect() }
}

/// Who an id token is of, if it holds (OpenID Connect Core 1.0, section 3.1.3.7).
pub(super) fn signed_in(
    token: &str,
    keys: &JwkSet,
    expected: Expected<'_>,
    now_s: u64,
) -> Result<SignedIn, ProviderError> {
    let wrong = |what: &str| ProviderError::IdToken(what.to_owned());
    let unread = |error: jsonwebtoken::errors::Error| ProviderError::IdToken(error.to_string());
    let header = decode_header(token).map_err(unread)?;
    if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
        return Err(wrong("it is signed in a way that is not taken"));
    }
    let key = key_of(token, keys).ok_or_else(|| wrong("its key is none of the provider's"))?;
    let key = DecodingKey::from_jwk(key).map_err(unread)?;
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[expected.client_id]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    (validation.leeway, validation.validate_nbf) = (SKEW_S, true);
    let claims = decode::<Value>(token, &key, &validation).map_err(unread)?.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("nonce") != Some(expected.nonce) {
        return Err(wrong("its nonce is of another login"));
    }
    let is_of_several = claims["aud"].as_array().is_some_and(|it| it.len() > 1);
    if text("azp").is_some_and(|it| it != expected.client_id)
        || (is_of_several && text("azp").is_none())
    {
        return Err(wrong("it was made for another client"));
    }
    let subject = text(expected.claim).filter(|it| !it.is_empty());
    let subject = subject.ok_or_else(|| wrong("it lacks the claim by which people are listed"))?;
    let auth_time_s = claims["auth_time"].as_u64().unwrap_or(now_s).min(now_s);
    Ok(SignedIn { subject: subject.to_owned(), auth_time_s })
}

/// The key that a token names; where it names none, the only one there is.
fn key_of<'a>(token: &str, keys: &'a JwkSet) -> Option<&'a Jwk> {
    match decode_header(token).ok()?.kid {
        Some(kid) => keys.find(&kid),
        None => match keys.keys.as_slice() {
            [key] => Some(key),
            _ => None,
        },
    }
}

/// Refuses an address on whose way others could read or write.
fn protected(url: &str) -> Result<(), ProviderError> {
    let of_here = |rest: &str| is_loopback(rest.split(['/', '?', '#']).next().unwrap_or_default());
    let is_protected = url.starts_with("https://")
        || url.strip_prefix("http://").is_some_and(|rest| !rest.contains('@') && of_here(rest));
    is_protected.then_some(()).ok_or_else(|| ProviderError::Open(url.to_owned()))
}

async fn answer_of<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
) -> Result<T, ProviderError> {
    let unreachable =
        |error: reqwest::Error| ProviderError::Unreachable(error.without_url().to_string());
    let mut answer = request.send().await.map_err(unreachable)?;
    if answer.status().is_client_error() {
        return Err(ProviderError::Refused);
    }
    if !answer.status().is_success() {
        return Err(ProviderError::Unreachable(format!("it answers {}", answer.status())));
    }
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(ProviderError::Unreachable("its answer is too long".into()));
        }
    }
    serde_json::from_slice(&body)
        .map_err(|_| ProviderError::Unreachable("its answer is none of an OpenID provider".into()))
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn escaped(text: &str) -> String {
    let pair = [(String::new(), text.to_owned())];
    form::encode(&pair).trim_start_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;
    use crate::auth::ClientKey;

    const ISSUER: &str = "https://login.example";
    const EXPECTED: Expected<'_> =
        Expected { issuer: ISSUER, client_id: "keepwell", nonce: "n", claim: "sub" };

    fn sign(key: &ClientKey, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES384);
        header.kid = Some("login".into());
        let key = EncodingKey::from_ec_pem(key.private_pem.as_bytes()).unwrap();
        encode(&header, claims, &key).unwrap()
    }

    #[test]
    fn an_id_token_that_does_not_hold_signs_nobody_in() {
        let now = jsonwebtoken::get_current_timestamp();
        let (key, other) =
            (ClientKey::generate("login").unwrap(), ClientKey::generate("login").unwrap());
        let keys = readable(&key.public);
        let good = json!({
            "iss": ISSUER, "sub": "ana", "aud": "keepwell", "exp": now + 60, "nonce": "n",
        });
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            sign(&key, &claims)
        };
        let who = signed_in(&sign(&key, &good), &keys, EXPECTED, now).unwrap();
        assert_eq!(who, SignedIn { subject: "ana".into(), auth_time_s: now });
        let mut of_two = good.clone();
        (of_two["aud"], of_two["azp"]) = (json!(["keepwell", "other"]), json!("keepwell"));
        assert!(signed_in(&sign(&key, &of_two), &keys, EXPECTED, now).is_ok());

        let claims = sign(&key, &good).split('.').nth(1).unwrap().to_owned();
        // The public key as a shared secret, as some libraries took it once.
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("login".into());
        let public = key.public.to_string();
        let shared = encode(&header, &good, &EncodingKey::from_secret(public.as_bytes())).unwrap();
        for (what, token) in [
            ("another key", sign(&other, &good)),
            ("another issuer", with("iss", json!("https://evil.example"))),
            ("another audience", with("aud", json!("other"))),
            ("several without a party", with("aud", json!(["keepwell", "other"]))),
            ("another party", with("azp", json!("other"))),
            ("another nonce", with("nonce", json!("m"))),
            ("no nonce", with("nonce", Value::Null)),
            ("expired", with("exp", json!(now - 60))),
            ("no end", with("exp", Value::Null)),
            ("nobody", with("sub", json!(""))),
            ("a number", with("sub", json!(7))),
            ("none", format!("eyJhbGciOiJub25lIiwia2lkIjoibG9naW4ifQ.{claims}.")),
            ("a shared secret", shared),
            ("cut", sign(&key, &good)[..40].to_owned()),
            ("nothing", String::new()),
        ] {
            let refused = signed_in(&token, &keys, EXPECTED, now).unwrap_err();
            assert!(matches!(refused, ProviderError::IdToken(_)), "{what}: {refused}");
        }
        let other = Expected { claim: "email", ..EXPECTED };
        assert!(signed_in(&sign(&key, &good), &keys, other, now).is_err());
    }

    #[test]
    fn a_provider_is_asked_where_nobody_listens() {
        for (url, is_protected) in [
            ("https://login.example/realms/a", true),
            ("http://127.0.0.1:4000", true),
            ("http://localhost:4000/x", true),
            ("http://login.example", false),
            ("http://localhost.example", false),
            ("http://localhost@login.example", false),
            ("ftp://login.example", false),
            ("", false),
        ] {
            assert_eq!(protected(url).is_ok(), is_protected, "{url}");
        }
    }

    #[test]
    fn a_key_of_a_kind_that_nobody_knows_is_left_out() {
        let mut keys = ClientKey::generate("login").unwrap().public;
        for unknown in [json!({ "kty": "QUANTUM", "kid": "new" }), json!({ "kty": "EC" }), json!(7)]
        {
            keys["keys"].as_array_mut().unwrap().insert(0, unknown);
        }
        assert!(readable(&keys).find("login").is_some());
    }
}
