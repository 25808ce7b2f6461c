//! The pages that a person sees: plain HTML, without scripts.
//!
//! # Invariants
//!
//! * Every value that comes from elsewhere is escaped, where it stands in a text or between quotes, and stands nowhere else.
//! * A page loads nothing, is shown in no frame, and sends its form to the gateway alone.

use std::fmt::Write as _;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use keepwell_types::access::Purpose;

use super::app::About;
use crate::auth::{Level, Permission, Scope};

const STYLE: &str = "body{font:1.1em/1.5 sans-serif;max-width:36em;margin:3em auto;padding:0 1em}\
fieldset{border:1px solid #999;margin:1em 0}input[type=text]{width:100%;font:inherit}\
button{font:inherit;padding:.5em 1.5em;margin-right:1em}.wrong{border-left:4px solid #b00;padding-left:1em}";

/// What a person is asked.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) app: &'a str,
    pub(super) scopes: &'a [Scope],
    pub(super) about: About,
    pub(super) purposes: &'a [Purpose],
    pub(super) needs_patient: bool,
    pub(super) is_launched: bool,
    /// The fields that are not shown: which login it is, and the form's secret.
    pub(super) login: &'a str,
    pub(super) csrf: &'a str,
    /// Where the form goes, and the origin that the app's answer goes to.
    pub(super) action: &'a str,
    pub(super) origin: &'a str,
    pub(super) wrong: Option<&'a str>,
}

/// A text as it stands in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html += "&amp;",
            '<' => html += "&lt;",
            '>' => html += "&gt;",
            '"' => html += "&quot;",
            '\'' => html += "&#39;",
            c => html.push(c),
        }
    }
    html
}

/// A page that tells something, and has nothing to choose.
pub(super) fn told(status: StatusCode, title: &str, text: &str) -> Response {
    let body = format!("<p>{}</p>", escaped(text));
    page(status, title, &body, None)
}

/// The page on which a person decides.
pub(super) fn question(question: &Question<'_>) -> Response {
    let app = escaped(question.app);
    let mut body = String::new();
    if let Some(wrong) = question.wrong {
        let _ = write!(body, "<p class=\"wrong\">{}</p>", escaped(wrong));
    }
    let _ = write!(body, "<p><strong>{app}</strong> asks to:</p><ul>");
    for text in words(question) {
        let _ = write!(body, "<li>{}</li>", escaped(&text));
    }
    let _ = write!(
        body,
        "</ul><p>Each record that it reads is an access in your name, which the patient sees.</p>\
         <form method=\"post\" action=\"{}\">\
         <input type=\"hidden\" name=\"login\" value=\"{}\">\
         <input type=\"hidden\" name=\"csrf\" value=\"{}\">\
         <fieldset><legend>What for</legend>",
        escaped(question.action),
        escaped(question.login),
        escaped(question.csrf),
    );
    for (at, purpose) in question.purposes.iter().enumerate() {
        let checked = if at == 0 { " checked" } else { "" };
        let _ = write!(
            body,
            "<label><input type=\"radio\" name=\"purpose\" value=\"{}\"{checked}> {}</label><br>",
            escaped(purpose.as_str()),
            purpose_words(*purpose),
        );
    }
    body += "</fieldset>";
    if question.needs_patient {
        body += "<fieldset><legend>Which patient</legend><label>The Patient's id, or an identifier as system|value\
                 <input type=\"text\" name=\"patient\" autocomplete=\"off\" maxlength=\"512\"></label></fieldset>";
    }
    body += "<button name=\"decision\" value=\"allow\">Allow</button>\
             <button name=\"decision\" value=\"deny\">Deny</button></form>";
    page(StatusCode::OK, "Allow an app?", &body, Some(question.origin))
}

fn page(status: StatusCode, title: &str, body: &str, origin: Option<&str>) -> Response {
    let title = escaped(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>{body}</body></html>"
    );
    let mut response = (status, html).into_response();
    // The answer to the form sends the browser on to the app, which browsers take for a part of it.
    let form = origin.map_or_else(|| "'none'".to_owned(), |it| format!("'self' {it}"));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action {form}; frame-ancestors 'none'; base-uri 'none'",
        style_digest()
    );
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // To the gateway itself, so that it sees that the form is its own; to others nothing.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = HeaderValue::from_str(&policy);
    let none = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.unwrap_or(none));
    response
}

fn style_digest() -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    BASE64_STANDARD.encode(keepwell_crypto::hash::sha256(&[STYLE.as_bytes()]).0)
}

/// What an app asks for, as a person says it.
fn words(question: &Question<'_>) -> Vec<String> {
    let mut all: Vec<_> = question.scopes.iter().map(scope_words).collect();
    if question.about.openid {
        all.push("know that you signed in, and tell you from others".into());
    }
    if question.about.fhir_user {
        all.push("know which record is about you".into());
    }
    if question.is_launched {
        all.push("know which patient is open in the system that opened it".into());
    } else if question.needs_patient {
        all.push("know which patient you choose".into());
    }
    all
}

fn scope_words(scope: &Scope) -> String {
    let of = scope.resource_type();
    let may = |permission| scope.allows(of, permission);
    let verbs = [
        (Permission::Read, "read"),
        (Permission::Search, "search"),
        (Permission::Create, "add"),
        (Permission::Update, "change"),
        (Permission::Delete, "delete"),
    ];
    let verbs: Vec<_> =
        verbs.into_iter().filter_map(|(it, verb)| may(it).then_some(verb)).collect();
    let what = of.map_or_else(|| "all records".to_owned(), |of| format!("{of} records"));
    let whose = match scope.level() {
        Level::Patient => "of this one patient",
        Level::User | Level::System => "of all patients whom you may see",
    };
    let narrowed =
        scope.narrowed().map_or_else(String::new, |it| format!(", only those with {it}"));
    format!("{} {what} {whose}{narrowed}", verbs.join(", "))
}

/// A purpose of use, as a person says it.
const fn purpose_words(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Treatment => "Treatment",
        Purpose::EmergencyTreatment => "Emergency treatment",
        Purpose::BreakGlass => "Breaking the glass in an emergency",
        Purpose::Coordination => "Coordination of care",
        Purpose::Payment => "Payment",
        Purpose::Operations => "Running the organisation",
        Purpose::Research => "Research",
        Purpose::ClinicalTrial => "A clinical trial",
        Purpose::PublicHealth => "Public health",
        Purpose::PatientRequest => "The patient asked for it",
        Purpose::FamilyRequest => "The family asked for it",
        Purpose::Legal => "Legal reasons",
        Purpose::Administration => "Administration of systems",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    const HOSTILE: &str = "\"'><script>alert(1)</script>&amp;";

    #[tokio::test]
    async fn what_others_say_stands_as_text() {
        let hostile = format!("patient/Observation.rs?category={HOSTILE}");
        let scopes: Vec<_> = Scope::parse(&hostile).into_iter().collect();
        let question = Question {
            app: HOSTILE,
            scopes: &scopes,
            about: About::default(),
            purposes: &[Purpose::Treatment],
            needs_patient: true,
            is_launched: false,
            login: HOSTILE,
            csrf: HOSTILE,
            action: HOSTILE,
            origin: "https://app.example",
            wrong: Some(HOSTILE),
        };
        for page in [super::question(&question), told(StatusCode::OK, HOSTILE, HOSTILE)] {
            let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
            assert!(policy.contains("default-src 'none'"), "{policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            let bytes = to_bytes(page.into_body(), 1 << 20).await.unwrap();
            let html = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(!html.contains("<script") && !html.contains("'><"), "{html}");
            assert!(html.contains("&lt;script&gt;"), "{html}");
        }
    }
}
