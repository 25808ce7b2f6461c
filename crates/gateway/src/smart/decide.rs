//! A person's decision: for which purpose, about which patient, yes or no.
//!
//! # Invariants
//!
//! * It counts if it comes from the browser of the login, from a page of the gateway, with the secret of that page.
//! * A patient whom the person may not see reads like one who is not there.

use std::time::Instant;

use keepwell_crypto::hash;
use keepwell_fhir::{
    interaction::{Id, Query as Condition, ResourceType},
    outcome::{Outcome, Status},
};
use keepwell_types::{access::Purpose, id::ChartId};

use super::{
    Person, Smart,
    authorize::{Asked, Login, Stage},
    code::{Allowed, Code, field},
    kept::digest,
};
use crate::{
    auth::secret,
    gateway::{Asker, Gateway},
    sight::Sight,
    transaction::identifier_query,
};

/// How often a person may name a patient who is not there.
pub(super) const TRIES_MAX: u32 = 10;
/// Characters of what names a patient.
const PATIENT_CHARS_MAX: usize = 512;

/// What becomes of a form.
#[derive(Debug)]
pub(super) enum Decided {
    /// The browser is sent there.
    Sent(String),
    /// The person is asked again, by a login under this secret.
    Again { login: String, asked: Box<Asked>, subject: String, csrf: String },
    /// It is no form of this login, or too late.
    Strange,
    /// Too many sign in at once, or the gateway cannot look.
    Failed,
}

impl Smart {
    /// Does what a form says.
    pub(super) async fn decide(
        &self,
        gateway: &Gateway,
        form: &[(String, String)],
        browser: impl FnOnce(&str) -> Option<String>,
        now: Instant,
    ) -> Decided {
        let Ok(key) = field(form, "login") else { return Decided::Strange };
        let (Some(browser), Ok(csrf)) = (browser(key), field(form, "csrf")) else {
            return Decided::Strange;
        };
        let (browser, sent) = (digest(&browser), digest(csrf));
        let is_its_own = |login: &Login| match &login.stage {
            Stage::Provider { .. } => false,
            Stage::Decision { csrf, .. } => login.browser == browser && digest(csrf) == sent,
        };
        let Some(login) = self.logins.take_if(now, key, is_its_own) else {
            return Decided::Strange;
        };
        self.decide_login(gateway, form, (key, login), now).await
    }

    async fn decide_login(
        &self,
        gateway: &Gateway,
        form: &[(String, String)],
        (key, login): (&str, Login),
        now: Instant,
    ) -> Decided {
        let Login { asked, browser, stage } = login;
        let Stage::Decision { subject, auth_time_s, tries_left, .. } = stage else {
            return Decided::Strange;
        };
        let denied = |asked: &Asked| Decided::Sent(asked.back(&[("error", "access_denied")]));
        let person = self.people.get(&subject);
        let purpose = field(form, "purpose").ok().and_then(|it| it.parse::<Purpose>().ok());
        let purpose =
            purpose.filter(|it| person.is_some_and(|person| person.purposes.contains(it)));
        let (Ok("allow"), Some(person), Some(purpose)) = (field(form, "decision"), person, purpose)
        else {
            return denied(&asked);
        };
        let asker = Asker { actor: person.actor.clone(), purpose, sight: Sight::ALL };
        let named = field(form, "patient").unwrap_or_default();
        let patient = match self.patient(gateway, &asker, &asked, named).await {
            Ok(Some(patient)) => patient,
            Ok(None) if asked.needs_patient() && tries_left > 0 => {
                let csrf = secret();
                let stage = Stage::Decision {
                    subject: subject.clone(),
                    auth_time_s,
                    csrf: csrf.clone(),
                    tries_left: tries_left - 1,
                };
                let login = Login { asked: asked.clone(), browser, stage };
                if !self.logins.keep_as(now, key, login) {
                    return Decided::Failed;
                }
                let asked = Box::new(asked);
                return Decided::Again { login: key.to_owned(), asked, subject, csrf };
            }
            Ok(None) => return denied(&asked),
            Err(_) => return Decided::Sent(asked.back(&[("error", "temporarily_unavailable")])),
        };
        self.allow(person, (asked, asker, patient), auth_time_s, now)
    }

    fn allow(
        &self,
        person: &Person,
        (asked, asker, patient): (Asked, Asker, Option<(Id, ChartId)>),
        auth_time_s: u64,
        now: Instant,
    ) -> Decided {
        let allowed = Allowed {
            asked: asked.clone(),
            asker,
            subject: self.subject_of(person),
            auth_time_s,
            fhir_user: person.fhir_user.clone(),
            patient,
        };
        match self.codes.keep(now, Code::Fresh(Box::new(allowed))) {
            Some(code) => Decided::Sent(asked.back(&[("code", &code)])),
            None => Decided::Failed,
        }
    }

    /// Whom a token will be about: nobody if it is about nobody, and nothing if the person may not see them.
    async fn patient(
        &self,
        gateway: &Gateway,
        asker: &Asker,
        asked: &Asked,
        named: &str,
    ) -> Result<Option<Option<(Id, ChartId)>>, Outcome> {
        let named = match &asked.launch {
            Some(launch) => launch.patient.as_str(),
            None if asked.needs_patient() => named,
            None => return Ok(Some(None)),
        };
        Ok(gateway.patient_called(asker, named.trim()).await?.map(Some))
    }

    /// Who a person is to apps: always the same, and not what the provider calls them.
    fn subject_of(&self, person: &Person) -> String {
        let parts = [self.provider.issuer().as_bytes(), person.subject.as_bytes()];
        hash::digest("keepwell/gateway/subject/v1", &parts).to_string()
    }
}

impl Gateway {
    /// The patient with an id, or with an identifier as `system|value`, if whoever asks may see them.
    pub(super) async fn patient_called(
        &self,
        asker: &Asker,
        named: &str,
    ) -> Result<Option<(Id, ChartId)>, Outcome> {
        let of: ResourceType = "Patient".parse().expect("R4 has it");
        if named.is_empty() || named.chars().count() > PATIENT_CHARS_MAX {
            return Ok(None);
        }
        let Some((system, value)) = named.split_once('|') else {
            let Ok(id) = named.trim_start_matches("Patient/").parse::<Id>() else {
                return Ok(None);
            };
            return match self.one(asker, of, &id).await {
                Ok(found) => Ok(Some((id, found.version.chart))),
                // Nobody, or several: whom it means nobody can say.
                Err(it)
                    if matches!(it.status(), Status::NOT_FOUND | Status::PRECONDITION_FAILED) =>
                {
                    Ok(None)
                }
                Err(outcome) => Err(outcome),
            };
        };
        let Ok(condition) = Condition::parse(&identifier_query(system, value)) else {
            return Ok(None);
        };
        if condition.identifier().is_none() {
            return Ok(None);
        }
        let found = self.found_by(of, None, &condition).await?;
        let [found] = found.as_slice() else { return Ok(None) };
        let may = self.may_show(asker, &[&found.version]).await? == [true];
        let id = found.id().parse().ok().filter(|_| may);
        Ok(id.map(|id| (id, found.version.chart)))
    }
}
