//! What an app, a browser and a stranger may try.

use std::time::Instant;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
use keepwell_crypto::sign::SigningKey;
use keepwell_fhir::{
    interaction::{Id, Interaction, Method},
    search::form,
};
use keepwell_types::{
    id::{ChartId, MemberId},
    member::Party,
};
use serde_json::Value;

use super::{
    authorize::{Asked, Refused, Stage},
    code::{Allowed, challenge_of},
    kept::digest,
    *,
};
use crate::{
    auth::{ClientKey, Scope, Sessions, TokenError, assertion},
    gateway::Asker,
    sight::Sight,
};

const BASE: &str = "https://gateway.example/fhir";
const TOKENS: &str = "https://gateway.example/fhir/auth/token";
const VERIFIER: &str = "0123456789abcdefghijklmnopqrstuvwxyz-._~ABCDE";
const CALLBACK: &str = "https://growth.example/callback";
const SCOPES: [&str; 6] =
    ["openid", "fhirUser", "launch", "launch/patient", "patient/*.rs", "user/Condition.cruds"];

fn app(id: &str, keys: Option<&ClientKey>) -> App {
    App::new(Registered {
        id: id.into(),
        name: "Growth".into(),
        redirect_uris: vec![format!("https://{id}.example/callback"), "http://127.0.0.1:9/".into()],
        scopes: SCOPES.map(Into::into).into(),
        keys: keys.map(|it| serde_json::from_value(it.public.clone()).unwrap()),
    })
    .unwrap()
}

fn person() -> Person {
    let actor = Actor::new(Party::Member(MemberId([1; 16])), SigningKey::from_seed(&[1; 32]));
    let fhir_user = Some("Practitioner/7".into());
    Person { subject: "ana".into(), actor, purposes: vec![Purpose::Treatment], fhir_user }
}

fn smart(key: &ClientKey) -> Smart {
    let settings = ProviderSettings {
        issuer: "https://login.example".into(),
        client_id: "keepwell".into(),
        secret: None,
        claim: "sub".into(),
    };
    let apps = vec![app("growth", None), app("other", None), app("keyed", Some(key))];
    let provider = Provider::new(settings).unwrap();
    Smart::new(BASE.into(), (apps, vec![person()]), provider, Signer::generate().unwrap())
}

fn sessions() -> Sessions {
    Sessions::new(Vec::new(), TOKENS.into())
}

fn request() -> Vec<(String, String)> {
    let challenge = challenge_of(VERIFIER);
    [
        ("response_type", "code"),
        ("client_id", "growth"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid fhirUser launch/patient patient/Observation.rs"),
        ("state", "a&b=c"),
        ("aud", BASE),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("nonce", "of the app"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// The request with another value; without one, without the parameter.
fn with(name: &str, value: Option<&str>) -> Vec<(String, String)> {
    let mut pairs = request();
    pairs.retain(|it| it.0 != name);
    pairs.extend(value.map(|it| (name.to_owned(), it.to_owned())));
    pairs
}

fn asked(smart: &Smart, pairs: &[(String, String)]) -> Result<Asked, Refused> {
    smart.asked(Instant::now(), pairs)
}

#[test]
fn nothing_is_sent_to_whom_nobody_knows() {
    let smart = smart(&ClientKey::generate("keyed").unwrap());
    for (name, value) in [
        ("client_id", None),
        ("client_id", Some("nobody")),
        ("client_id", Some("")),
        // Another app's, and one of nobody's.
        ("client_id", Some("other")),
        ("redirect_uri", None),
        ("redirect_uri", Some("https://evil.example/callback")),
        ("redirect_uri", Some("https://growth.example/callback/")),
        ("redirect_uri", Some("https://growth.example/callback.evil")),
        ("redirect_uri", Some("https://growth.example/callback?next=https://evil.example")),
        ("redirect_uri", Some("https://growth.example/callback#x")),
        ("redirect_uri", Some("https://growth.example:8443/callback")),
        ("redirect_uri", Some("http://127.0.0.1:10/")),
        ("redirect_uri", Some("//growth.example/callback")),
        ("redirect_uri", Some("javascript:alert(1)")),
    ] {
        let refused = asked(&smart, &with(name, value)).unwrap_err();
        assert!(matches!(refused, Refused::Told(_)), "{name} {value:?}: {refused:?}");
    }
    for name in ["client_id", "redirect_uri"] {
        let mut twice = request();
        twice.push(twice.iter().find(|it| it.0 == name).unwrap().clone());
        assert!(matches!(asked(&smart, &twice), Err(Refused::Told(_))), "{name} twice");
    }
}

#[test]
fn what_is_wrong_is_told_to_the_app_with_its_state() {
    let smart = smart(&ClientKey::generate("keyed").unwrap());
    for (name, value, code) in [
        ("response_type", None, "unsupported_response_type"),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("code_challenge_method", Some("s256"), "invalid_request"),
        ("aud", None, "invalid_request"),
        ("aud", Some("https://elsewhere.example/fhir"), "invalid_request"),
        ("aud", Some("https://gateway.example/fhir/x"), "invalid_request"),
        ("scope", None, "invalid_scope"),
        ("scope", Some("system/*.rs offline_access"), "invalid_scope"),
        ("scope", Some("user/Observation.rs"), "invalid_scope"),
        ("scope", Some("launch patient/*.rs"), "invalid_request"),
        ("launch", Some("made up"), "invalid_request"),
        ("prompt", Some("none"), "interaction_required"),
        ("request", Some("a.b.c"), "request_not_supported"),
    ] {
        let refused = asked(&smart, &with(name, value)).unwrap_err();
        let Refused::Sent(url) = refused else { panic!("{name} {value:?}: {refused:?}") };
        let query = url.strip_prefix(&format!("{CALLBACK}?")).unwrap();
        let pairs = form::decode(query).unwrap();
        assert_eq!(pairs[0], ("error".into(), code.into()), "{name} {value:?}");
        assert!(pairs.contains(&("state".into(), "a&b=c".into())), "{query}");
    }
    let refused = asked(&smart, &with("state", None)).unwrap_err();
    assert!(matches!(refused, Refused::Sent(url) if url.contains("invalid_request")));
    let good = asked(&smart, &request()).unwrap();
    assert!(good.needs_patient());
    assert_eq!(good.scopes, [Scope::parse("patient/Observation.rs").unwrap()]);
}

#[test]
fn a_launch_is_good_once_and_for_a_while() {
    let smart = smart(&ClientKey::generate("keyed").unwrap());
    let now = Instant::now();
    let patient: Id = "p1".parse().unwrap();
    let open = || Launch { patient: patient.clone(), encounter: None };
    let launch = smart.launches.keep(now, open()).unwrap();
    let mut pairs = with("scope", Some("launch patient/*.rs"));
    pairs.push(("launch".into(), launch));
    // What is wrong otherwise does not use it up.
    let mut wrong = pairs.clone();
    wrong.retain(|it| it.0 != "aud");
    assert!(smart.asked(now, &wrong).is_err());
    let found = smart.asked(now, &pairs).unwrap();
    assert_eq!(found.launch, Some(open()));
    assert!(!found.needs_patient());
    assert!(smart.asked(now, &pairs).is_err(), "it was used");
    pairs.last_mut().unwrap().1 = smart.launches.keep(now, open()).unwrap();
    assert!(smart.asked(now + LAUNCH_TIME, &pairs).is_err(), "it was too late");
}

/// A code for what the growth app was allowed.
fn code(smart: &Smart, now: Instant) -> String {
    let asker = Asker { actor: person().actor, purpose: Purpose::Treatment, sight: Sight::ALL };
    let allowed = Allowed {
        asked: asked(smart, &request()).unwrap(),
        asker,
        subject: "of ana".into(),
        auth_time_s: 7,
        fhir_user: person().fhir_user,
        patient: Some(("p1".parse().unwrap(), ChartId([3; 32]))),
    };
    smart.codes.keep(now, Code::Fresh(Box::new(allowed))).unwrap()
}

fn form_of(code: &str) -> Vec<(String, String)> {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("client_id", "growth"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[test]
fn a_code_is_good_for_who_asked_for_it_once_and_for_a_minute() {
    let key = ClientKey::generate("keyed").unwrap();
    let (smart, sessions) = (smart(&key), sessions());
    let (now, now_s) = (Instant::now(), jsonwebtoken::get_current_timestamp());
    let other = VERIFIER.to_uppercase();
    for (name, value, refusal) in [
        ("code", "made up", TokenError::InvalidGrant),
        ("code_verifier", other.as_str(), TokenError::InvalidGrant),
        ("code_verifier", &challenge_of(VERIFIER), TokenError::InvalidGrant),
        ("code_verifier", "short", TokenError::InvalidGrant),
        ("code_verifier", "", TokenError::InvalidGrant),
        ("redirect_uri", "http://127.0.0.1:9/", TokenError::InvalidGrant),
        ("redirect_uri", "https://growth.example/callback/", TokenError::InvalidGrant),
        ("client_id", "other", TokenError::InvalidGrant),
        ("client_id", "nobody", TokenError::InvalidClient),
        // Who has a key shows it.
        ("client_id", "keyed", TokenError::InvalidClient),
    ] {
        let mut form = form_of(&code(&smart, now));
        form.iter_mut().find(|it| it.0 == name).unwrap().1 = value.to_owned();
        let refused = smart.token(&sessions, &form, (now, now_s)).unwrap_err();
        assert_eq!(refused, refusal, "{name} {value}");
        form.retain(|it| it.0 != name);
        let refused = smart.token(&sessions, &form, (now, now_s)).unwrap_err();
        assert_eq!(refused, TokenError::InvalidRequest, "without {name}");
    }
    let late = form_of(&code(&smart, now));
    let refused = smart.token(&sessions, &late, (now + CODE_TIME, now_s)).unwrap_err();
    assert_eq!(refused, TokenError::InvalidGrant, "too late");
    // A wrong verifier uses the code up.
    let once = code(&smart, now);
    let mut wrong = form_of(&once);
    wrong[3].1 = other;
    smart.token(&sessions, &wrong, (now, now_s)).unwrap_err();
    smart.token(&sessions, &form_of(&once), (now, now_s)).unwrap_err();
}

#[test]
fn a_code_that_comes_twice_ends_the_token_of_the_first() {
    let key = ClientKey::generate("keyed").unwrap();
    let (smart, sessions) = (smart(&key), sessions());
    let (now, now_s) = (Instant::now(), jsonwebtoken::get_current_timestamp());
    let form = form_of(&code(&smart, now));
    let given = smart.token(&sessions, &form, (now, now_s)).unwrap();
    let header = format!("Bearer {}", given["access_token"].as_str().unwrap());
    let session = sessions.of_header(&header).unwrap();
    for (method, path, may) in [
        (Method::Get, "Observation/1", true),
        (Method::Get, "Observation", true),
        (Method::Get, "Condition/1", false),
        (Method::Get, "Patient/p1/$everything", false),
        (Method::Post, "Observation", false),
        (Method::Put, "Observation/1", false),
    ] {
        let interaction = Interaction::parse(method, path, None).unwrap();
        assert_eq!(session.may(&interaction), may, "{method} {path}");
    }
    assert!(session.asker.sight.reaches(ChartId([3; 32])));
    assert!(!session.asker.sight.reaches(ChartId([4; 32])));
    let again = smart.token(&sessions, &form, (now, now_s)).unwrap_err();
    assert_eq!(again, TokenError::InvalidGrant);
    assert!(sessions.of_header(&header).is_none());
}

#[test]
fn a_token_comes_with_who_signed_in_and_which_patient() {
    let key = ClientKey::generate("keyed").unwrap();
    let (smart, sessions) = (smart(&key), sessions());
    let (now, now_s) = (Instant::now(), jsonwebtoken::get_current_timestamp());
    let given = smart.token(&sessions, &form_of(&code(&smart, now)), (now, now_s)).unwrap();
    assert_eq!(given["patient"], "p1");
    assert_eq!(given["scope"], "openid fhirUser launch/patient patient/Observation.rs");
    let keys: JwkSet = serde_json::from_value(smart.signer.public().clone()).unwrap();
    assert!(!smart.signer.public().to_string().contains("\"d\""));
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["growth"]);
    validation.set_issuer(&[BASE]);
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let token = given["id_token"].as_str().unwrap();
    let claims = decode::<Value>(token, &key, &validation).unwrap().claims;
    assert_eq!(claims["fhirUser"], format!("{BASE}/Practitioner/7"));
    assert_eq!(claims["nonce"], "of the app");
    assert_eq!((&claims["sub"], &claims["auth_time"]), (&"of ana".into(), &7.into()));
}

#[test]
fn an_app_with_a_key_signs_and_others_end_no_token_of_its() {
    let key = ClientKey::generate("keyed").unwrap();
    let (smart, sessions) = (smart(&key), sessions());
    let now_s = jsonwebtoken::get_current_timestamp();
    let form = |key: &ClientKey, id: &str| {
        let signed = assertion(id, &key.private_pem, TOKENS, now_s).unwrap();
        let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        [("client_assertion_type", jwt_bearer), ("client_assertion", &signed)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let good = form(&key, "keyed");
    assert_eq!(smart.client_of(&sessions, &good, now_s).unwrap(), "keyed");
    let again = smart.client_of(&sessions, &good, now_s).unwrap_err();
    assert_eq!(again, TokenError::InvalidClient, "it was used");
    let other = ClientKey::generate("keyed").unwrap();
    for form in [form(&other, "keyed"), form(&key, "growth")] {
        let refused = smart.client_of(&sessions, &form, now_s).unwrap_err();
        assert_eq!(refused, TokenError::InvalidClient);
    }
    let code = code(&smart, Instant::now());
    let given = smart.token(&sessions, &form_of(&code), (Instant::now(), now_s)).unwrap();
    let token = given["access_token"].as_str().unwrap();
    let header = format!("Bearer {token}");
    for (client, is_ended) in [("other", false), ("growth", true)] {
        sessions.revoke(client, token);
        assert_eq!(sessions.of_header(&header).is_none(), is_ended, "{client}");
    }
}

#[tokio::test]
async fn an_answer_of_the_provider_counts_in_the_browser_that_asked() {
    let smart = smart(&ClientKey::generate("keyed").unwrap());
    let now = Instant::now();
    let keep = || {
        let stage = Stage::Provider { nonce: "n".into(), verifier: VERIFIER.into() };
        let asked = asked(&smart, &request()).unwrap();
        smart.logins.keep(now, Login { asked, browser: digest("ours"), stage }).unwrap()
    };
    let (state, other) = (keep(), keep());
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let cookie = |login: &str, browser: &str| {
        let cookie = smart.cookie(login, browser);
        assert!(cookie.starts_with("__Host-keepwell-"), "{cookie}");
        assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        let value = HeaderValue::from_str(cookie.split(';').next().unwrap()).unwrap();
        HeaderMap::from_iter([(header::COOKIE, value)])
    };
    for (what, headers) in [
        ("no cookie", HeaderMap::new()),
        ("another secret", cookie(&state, "theirs")),
        ("of another login", cookie(&other, "ours")),
    ] {
        let pairs = [pair("state", &state), pair("code", "c")];
        let response = smart.signed_in(&pairs, &headers, now).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{what}");
    }
    let ours = cookie(&state, "ours");
    for pairs in [vec![pair("code", "c")], vec![pair("state", "made up"), pair("code", "c")]] {
        let response = smart.signed_in(&pairs, &ours, now).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    // What the provider says no to is told to the app, once.
    let denied = [pair("state", &state), pair("error", "access_denied")];
    let response = smart.signed_in(&denied, &ours, now).await;
    let location = response.headers()[header::LOCATION].to_str().unwrap();
    assert!(location.starts_with(&format!("{CALLBACK}?error=access_denied")), "{location}");
    assert_eq!(response.headers()[header::REFERRER_POLICY], "no-referrer");
    let response = smart.signed_in(&denied, &ours, now).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn scripts_of_registered_apps_alone_may_ask() {
    let smart = smart(&ClientKey::generate("keyed").unwrap());
    for (origin, is_known) in [
        ("https://growth.example", true),
        ("http://127.0.0.1:9", true),
        ("https://growth.example.evil.example", false),
        ("http://growth.example", false),
        ("https://evil.example", false),
        ("null", false),
        ("", false),
    ] {
        assert_eq!(smart.knows_origin(origin), is_known, "{origin}");
    }
}
