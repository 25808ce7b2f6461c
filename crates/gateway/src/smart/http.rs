//! The addresses at which people and apps meet the gateway.
//!
//! ```text
//! BASE/auth/authorize                       a person's browser, from an app
//! BASE/auth/callback                        the same browser, from the provider
//! BASE/auth/decide                          the same browser, from the gateway's page
//! BASE/auth/launch                          a system
//! BASE/auth/revoke                          an app
//! BASE/auth/jwks, BASE/.well-known/openid-configuration      anyone
//! ```
//!
//! # Invariants
//!
//! * No log line has a code, a token, a state or a name.

use std::time::Instant;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use keepwell_fhir::{outcome::Outcome, search::form};
use serde_json::json;

use super::{
    LOGIN_TIME, Smart,
    app::origin_of,
    authorize::{Asked, Login, Refused, Stage},
    code::field,
    decide::{Decided, TRIES_MAX},
    kept::digest,
    page,
    provider::ProviderError,
};
use crate::{
    answer::without_ids,
    auth::{Session, Sessions, TokenError, secret},
    gateway::Gateway,
    server::{json, now_ms},
};

/// Bytes of a form, and of a launch.
const FORM_BYTES_MAX: usize = 64 * 1024;
const NOT_LISTED: &str = "You are signed in, but nobody has listed you as a person who may use this gateway. Ask whoever runs it to add you; nothing was shown to the app.";
const STRANGE: &str = "This page is of another browser, was used before, or is too old. Go back to the app and begin again there.";
const FAILED: &str = "You cannot be signed in at the moment. Go back to the app and try again in a while; if it stays so, tell whoever runs the gateway.";

/// Where a request goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    Authorize,
    Callback,
    Decide,
    Launch,
    Revoke,
    Keys,
    Provider,
}

impl Route {
    /// Of a path below the base.
    pub(crate) fn of(below: &str) -> Option<Self> {
        Some(match below {
            "/auth/authorize" => Self::Authorize,
            "/auth/callback" => Self::Callback,
            "/auth/decide" => Self::Decide,
            "/auth/launch" => Self::Launch,
            "/auth/revoke" => Self::Revoke,
            "/auth/jwks" => Self::Keys,
            "/.well-known/openid-configuration" => Self::Provider,
            _ => return None,
        })
    }

    const fn method(self) -> Method {
        match self {
            Self::Authorize | Self::Callback | Self::Keys | Self::Provider => Method::GET,
            Self::Decide | Self::Launch | Self::Revoke => Method::POST,
        }
    }
}

impl Smart {
    /// Answers a request. `session` is that of a token in it.
    pub(crate) async fn answer(
        &self,
        (gateway, sessions): (&Gateway, &Sessions),
        route: Route,
        session: Result<Session, Outcome>,
        request: Request,
    ) -> Result<Response, Outcome> {
        if request.method() != route.method() {
            let allowed = HeaderValue::from_static(match route.method() {
                Method::GET => "GET",
                _ => "POST",
            });
            let response = (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allowed)]);
            return Ok(response.into_response());
        }
        let now = Instant::now();
        let (parts, body) = request.into_parts();
        let query = || form::decode(parts.uri.query().unwrap_or_default()).unwrap_or_default();
        Ok(match route {
            Route::Authorize => self.authorize(&query(), now).await,
            Route::Callback => self.signed_in(&query(), &parts.headers, now).await,
            Route::Decide => {
                self.decision(gateway, &form_of(body).await, &parts.headers, now).await
            }
            Route::Launch => {
                let session = session?;
                let body = to_bytes(body, FORM_BYTES_MAX).await.unwrap_or_default();
                let launch = self.launch(gateway, &session, &body, now).await?;
                no_store(json(StatusCode::CREATED, &launch.to_string()))
            }
            Route::Revoke => self.revoke(sessions, &form_of(body).await),
            Route::Keys => json(StatusCode::OK, &self.signer.public().to_string()),
            Route::Provider => json(StatusCode::OK, &self.openid_configuration().to_string()),
        })
    }

    /// Sends a browser to the provider.
    async fn authorize(&self, pairs: &[(String, String)], now: Instant) -> Response {
        let asked = match self.asked(now, pairs) {
            Ok(asked) => asked,
            Err(Refused::Told(text)) => {
                return page::told(StatusCode::BAD_REQUEST, "This cannot be done", text);
            }
            Err(Refused::Sent(url)) => return found(&url),
        };
        let (nonce, verifier, browser) = (secret(), secret(), secret());
        let stage = Stage::Provider { nonce: nonce.clone(), verifier: verifier.clone() };
        let login = Login { asked, browser: digest(&browser), stage };
        let Some(state) = self.logins.keep(now, login) else {
            return page::told(StatusCode::SERVICE_UNAVAILABLE, "Try again", FAILED);
        };
        let callback = Self::callback(&self.base);
        match self.provider.address(&callback, (&state, &nonce, &verifier)).await {
            Ok(url) => {
                let mut response = found(&url);
                let cookie = HeaderValue::from_str(&self.cookie(&state, &browser));
                if let Ok(cookie) = cookie {
                    response.headers_mut().insert(header::SET_COOKIE, cookie);
                }
                response
            }
            Err(error) => failed(&error),
        }
    }

    /// Asks a person whom the provider knows.
    pub(super) async fn signed_in(
        &self,
        pairs: &[(String, String)],
        headers: &HeaderMap,
        now: Instant,
    ) -> Response {
        let strange = || page::told(StatusCode::BAD_REQUEST, "Begin again", STRANGE);
        let Ok(key) = field(pairs, "state") else { return strange() };
        let Some(browser) = self.browser(headers, key) else { return strange() };
        let browser = digest(&browser);
        let is_waiting =
            |it: &Login| it.browser == browser && matches!(it.stage, Stage::Provider { .. });
        let Some(login) = self.logins.take_if(now, key, is_waiting) else { return strange() };
        let Stage::Provider { nonce, verifier } = login.stage else { return strange() };
        // RFC 9207: an answer of another provider is none.
        if field(pairs, "iss").is_ok_and(|it| it != self.provider.issuer()) {
            return strange();
        }
        let Ok(code) = field(pairs, "code") else {
            return found(&login.asked.back(&[("error", "access_denied")]));
        };
        let callback = Self::callback(&self.base);
        let now_s = now_ms() / 1_000;
        let signed_in = self.provider.signed_in(code, &callback, (&nonce, &verifier), now_s).await;
        let who = match signed_in {
            Ok(who) => who,
            Err(error) => return failed(&error),
        };
        if !self.people.contains_key(&who.subject) {
            return page::told(StatusCode::FORBIDDEN, "You are not listed", NOT_LISTED);
        }
        let csrf = secret();
        let stage = Stage::Decision {
            subject: who.subject.clone(),
            auth_time_s: who.auth_time_s,
            csrf: csrf.clone(),
            tries_left: TRIES_MAX,
        };
        let next = Login { asked: login.asked.clone(), browser, stage };
        if !self.logins.keep_as(now, key, next) {
            return page::told(StatusCode::SERVICE_UNAVAILABLE, "Try again", FAILED);
        }
        self.question(key, &login.asked, (&who.subject, &csrf), None)
    }

    fn question(
        &self,
        login: &str,
        asked: &Asked,
        (subject, csrf): (&str, &str),
        wrong: Option<&str>,
    ) -> Response {
        let strange = || page::told(StatusCode::BAD_REQUEST, "Begin again", STRANGE);
        let (Some(app), Some(person)) = (self.apps.get(&asked.app), self.people.get(subject))
        else {
            return strange();
        };
        let mut about = asked.about;
        about.fhir_user &= about.openid && person.fhir_user.is_some();
        let Some(origin) = origin_of(&asked.redirect_uri) else { return strange() };
        page::question(&page::Question {
            app: app.name(),
            scopes: &asked.scopes,
            about,
            purposes: &person.purposes,
            needs_patient: asked.needs_patient(),
            is_launched: asked.launch.is_some(),
            login,
            csrf,
            action: &format!("{}/auth/decide", self.base),
            origin: &origin,
            wrong,
        })
    }

    async fn decision(
        &self,
        gateway: &Gateway,
        form: &[(String, String)],
        headers: &HeaderMap,
        now: Instant,
    ) -> Response {
        let strange = || page::told(StatusCode::BAD_REQUEST, "Begin again", STRANGE);
        let origin = headers.get(header::ORIGIN).map(|it| it.to_str().unwrap_or_default());
        if origin.is_some_and(|it| Some(it) != origin_of(&self.base).as_deref()) {
            return strange();
        }
        match self.decide(gateway, form, |key| self.browser(headers, key), now).await {
            Decided::Sent(url) => found(&url),
            Decided::Again { login, asked, subject, csrf } => {
                let wrong = "Nobody whom you may see for this purpose is called so. Look at the id or identifier again.";
                self.question(&login, &asked, (&subject, &csrf), Some(wrong))
            }
            Decided::Strange => strange(),
            Decided::Failed => page::told(StatusCode::SERVICE_UNAVAILABLE, "Try again", FAILED),
        }
    }

    /// Ends a token (RFC 7009). What is none is ended.
    fn revoke(&self, sessions: &Sessions, form: &[(String, String)]) -> Response {
        let revoked = self.client_of(sessions, form, now_ms() / 1_000).and_then(|app| {
            sessions.revoke(&app, field(form, "token")?);
            Ok(())
        });
        match revoked {
            Ok(()) => no_store(StatusCode::OK.into_response()),
            Err(error) => refused(error),
        }
    }

    /// What OpenID clients look for (OpenID Connect Discovery 1.0, section 3).
    fn openid_configuration(&self) -> serde_json::Value {
        let base = &self.base;
        json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/auth/authorize"),
            "token_endpoint": format!("{base}/auth/token"),
            "jwks_uri": format!("{base}/auth/jwks"),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES384", "RS384"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser"],
        })
    }

    /// The cookie by which the browser of a login is known: of this host alone, where there is TLS.
    pub(super) fn cookie(&self, login: &str, browser: &str) -> String {
        let name = self.cookie_name(login);
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let time_s = LOGIN_TIME.as_secs();
        format!("{name}={browser}; Path=/; Max-Age={time_s}; HttpOnly; SameSite=Lax{secure}")
    }

    fn cookie_name(&self, login: &str) -> String {
        let prefix = if self.is_secure() { "__Host-" } else { "" };
        format!("{prefix}keepwell-{}", hex::encode(&digest(login)[..8]))
    }

    fn is_secure(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// The secret that a browser has of a login.
    fn browser(&self, headers: &HeaderMap, login: &str) -> Option<String> {
        let name = self.cookie_name(login);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        let mut pairs =
            cookies.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
        pairs.find(|it| it.0 == name).map(|it| it.1.to_owned())
    }
}

/// The answer to a request for a token, or about one, that is refused (RFC 6749, section 5.2).
pub(crate) fn refused(error: TokenError) -> Response {
    let status = match error {
        TokenError::InvalidClient => StatusCode::UNAUTHORIZED,
        TokenError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        TokenError::InvalidRequest
        | TokenError::InvalidGrant
        | TokenError::UnsupportedGrantType
        | TokenError::InvalidScope => StatusCode::BAD_REQUEST,
    };
    let body = json!({ "error": error.code(), "error_description": error.to_string() });
    no_store(json(status, &body.to_string()))
}

fn failed(error: &ProviderError) -> Response {
    tracing::warn!(error = without_ids(error), "nobody can sign in");
    page::told(StatusCode::BAD_GATEWAY, "Try again", FAILED)
}

async fn form_of(body: Body) -> Vec<(String, String)> {
    let body = to_bytes(body, FORM_BYTES_MAX).await.unwrap_or_default();
    let text = std::str::from_utf8(&body).unwrap_or_default();
    form::decode(text).unwrap_or_default()
}

/// Sends a browser on, by GET, and tells nobody where it comes from.
fn found(url: &str) -> Response {
    let Ok(url) = HeaderValue::from_str(url) else {
        return page::told(StatusCode::BAD_REQUEST, "Begin again", STRANGE);
    };
    let headers = [
        (header::LOCATION, url),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    no_store((StatusCode::SEE_OTHER, headers).into_response())
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
