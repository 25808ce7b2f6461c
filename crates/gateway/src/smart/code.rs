//! Codes for tokens (RFC 6749, section 4.1.3; RFC 7636, section 4.6).

use std::time::Instant;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use keepwell_crypto::hash::sha256;
use keepwell_fhir::interaction::Id;
use keepwell_types::id::ChartId;
use serde_json::{Value, json};

use super::{PERSON_TOKEN_S, Smart, authorize::Asked};
use crate::{
    auth::{New, Scope, Sessions, TokenError},
    gateway::Asker,
};

/// What a code is for.
#[derive(Debug)]
pub(super) enum Code {
    /// A token.
    Fresh(Box<Allowed>),
    /// Nothing more: a token was given for it, which the next one who comes with it ends.
    Used { app: String, token: Option<String> },
}

/// What a person allowed.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    pub(super) asked: Asked,
    pub(super) asker: Asker,
    pub(super) subject: String,
    pub(super) auth_time_s: u64,
    pub(super) fhir_user: Option<String>,
    pub(super) patient: Option<(Id, ChartId)>,
}

impl Allowed {
    /// What is granted, as it is told to the app.
    pub(super) fn scope(&self) -> String {
        let mut about = self.asked.about;
        about.fhir_user &= about.openid && self.fhir_user.is_some();
        let of_data = self.asked.scopes.iter().map(Scope::text);
        let all: Vec<_> = about.texts().into_iter().map(Into::into).chain(of_data).collect();
        all.join(" ")
    }
}

/// A form, of which each field is there once or not at all.
pub(super) fn field<'a>(form: &'a [(String, String)], name: &str) -> Result<&'a str, TokenError> {
    let mut all = form.iter().filter(|it| it.0 == name);
    match (all.next(), all.next()) {
        (Some((_, value)), None) => Ok(value.as_str()),
        (None, _) | (_, Some(_)) => Err(TokenError::InvalidRequest),
    }
}

impl Smart {
    /// The token, with what belongs to it, for a code.
    pub(crate) fn token(
        &self,
        sessions: &Sessions,
        form: &[(String, String)],
        (now, now_s): (Instant, u64),
    ) -> Result<Value, TokenError> {
        let app = self.client_of(sessions, form, now_s)?;
        let code = field(form, "code")?;
        let (uri, verifier) = (field(form, "redirect_uri")?, field(form, "code_verifier")?);
        let used = || Code::Used { app: app.clone(), token: None };
        let allowed = match self.codes.exchange(now, code, used()) {
            Some(Code::Fresh(allowed)) => allowed,
            Some(Code::Used { app, token }) => {
                // Two have it, and who came first is not known to be the app.
                token.iter().for_each(|it| sessions.revoke(&app, it));
                return Err(TokenError::InvalidGrant);
            }
            None => return Err(TokenError::InvalidGrant),
        };
        let asked = &allowed.asked;
        let is_its_own = asked.app == app && asked.redirect_uri == uri;
        if !is_its_own || !is_verifier(verifier) || challenge_of(verifier) != asked.challenge {
            return Err(TokenError::InvalidGrant);
        }
        let given = self.given(sessions, &allowed, now_s)?;
        let token = given["access_token"].as_str().map(ToOwned::to_owned);
        self.codes.exchange(now, code, Code::Used { app, token });
        Ok(given)
    }

    fn given(
        &self,
        sessions: &Sessions,
        allowed: &Allowed,
        now_s: u64,
    ) -> Result<Value, TokenError> {
        let asked = &allowed.asked;
        let token = sessions.issue(New {
            client: asked.app.clone(),
            launches: false,
            asker: allowed.asker.clone(),
            scopes: asked.scopes.clone(),
            chart: allowed.patient.as_ref().map(|it| it.1),
            token_s: PERSON_TOKEN_S,
        })?;
        let mut given = json!({
            "access_token": token, "token_type": "Bearer", "expires_in": PERSON_TOKEN_S,
            "scope": allowed.scope(),
        });
        if let Some((patient, _)) = &allowed.patient {
            given["patient"] = json!(patient.as_str());
            // What is around the app is not known to show who the patient is.
            given["need_patient_banner"] = json!(true);
        }
        if let Some(encounter) = asked.launch.as_ref().and_then(|it| it.encounter.as_ref()) {
            given["encounter"] = json!(encounter.as_str());
        }
        if asked.about.openid {
            given["id_token"] = json!(self.id_token(allowed, now_s)?);
        }
        Ok(given)
    }

    fn id_token(&self, allowed: &Allowed, now_s: u64) -> Result<String, TokenError> {
        let asked = &allowed.asked;
        let mut claims = json!({
            "iss": self.base, "sub": allowed.subject, "aud": asked.app, "iat": now_s,
            "exp": now_s + PERSON_TOKEN_S, "auth_time": allowed.auth_time_s,
        });
        if let Some(nonce) = &asked.nonce {
            claims["nonce"] = json!(nonce);
        }
        if let Some(user) = allowed.fhir_user.as_ref().filter(|_| asked.about.fhir_user) {
            claims["fhirUser"] = json!(format!("{}/{user}", self.base));
        }
        self.signer.sign(&claims).map_err(|error| {
            tracing::error!(%error, "an id token could not be signed");
            TokenError::Busy
        })
    }

    /// The app that sends a form: by its signature if it has a key, or else by its id alone.
    pub(super) fn client_of(
        &self,
        sessions: &Sessions,
        form: &[(String, String)],
        now_s: u64,
    ) -> Result<String, TokenError> {
        if form.iter().any(|it| it.0 == "client_assertion") {
            let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            if field(form, "client_assertion_type")? != jwt_bearer {
                return Err(TokenError::InvalidRequest);
            }
            let known = self.apps.values().filter_map(|it| Some((it.id(), it.keys()?)));
            return sessions.signer_of(field(form, "client_assertion")?, known, now_s);
        }
        let id = field(form, "client_id")?;
        let app = self.apps.get(id).filter(|it| it.keys().is_none());
        app.map(|it| it.id().to_owned()).ok_or(TokenError::InvalidClient)
    }
}

/// RFC 7636, section 4.1.
fn is_verifier(text: &str) -> bool {
    let is_unreserved = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}

/// RFC 7636, section 4.2: S256.
pub(super) fn challenge_of(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sha256(&[verifier.as_bytes()]).0)
}
