//! People and apps in a gateway's configuration: `[sign_in]`, `[[people]]` and `[[apps]]`.
//!
//! Not here: systems, which have keys of their own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use keepwell_gateway::smart::{App, Person, Provider, ProviderSettings, Registered, Signer, Smart};
use keepwell_types::access::Purpose;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{failure::Failure, profile::Session};

/// The organisation's OpenID provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInConfig {
    /// Its issuer, such as `https://login.hospital.example/realms/staff`.
    issuer: String,
    /// The gateway's client id there.
    client_id: String,
    /// A file with its secret there, if it has one.
    client_secret_file: Option<PathBuf>,
    /// The claim by which people are listed.
    #[serde(default = "sub")]
    claim: String,
}

/// A person who may sign in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonConfig {
    /// The claim's value.
    subject: String,
    /// The profile of the member in whose name they act.
    member: PathBuf,
    /// What for, by their choice.
    purposes: Vec<Purpose>,
    /// The resource that is about them, such as `Practitioner/1`.
    fhir_user: Option<String>,
}

/// An app that people use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppConfig {
    /// Its client id.
    pub(crate) id: String,
    /// How people know it.
    name: String,
    /// Where answers may be sent, to the letter.
    redirect_uris: Vec<String>,
    /// What it may ask for.
    scopes: Vec<String>,
    /// A file with its public keys, if it can keep a private one.
    keys: Option<PathBuf>,
}

fn sub() -> String {
    "sub".into()
}

impl SignInConfig {
    /// With paths from the configuration's folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.client_secret_file = self.client_secret_file.map(|it| folder.join(it));
        self
    }

    fn provider(&self) -> Result<Provider, Failure> {
        let secret = self.client_secret_file.as_ref().map(|path| {
            let text = fs::read_to_string(path).map_err(Failure::at(path))?;
            Ok::<_, Failure>(Zeroizing::new(text.trim().to_owned()))
        });
        let settings = ProviderSettings {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            secret: secret.transpose()?,
            claim: self.claim.clone(),
        };
        Provider::new(settings).map_err(misused)
    }
}

impl PersonConfig {
    /// With paths from the configuration's folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.member = folder.join(self.member);
        self
    }

    fn open(&self) -> Result<Person, Failure> {
        if self.subject.is_empty() || self.purposes.is_empty() {
            return Err(Failure::Misused(
                "a person has the subject by which the provider knows them, and purposes; give both".into(),
            ));
        }
        Ok(Person {
            subject: self.subject.clone(),
            actor: Session::open(&self.member)?.member()?.actor(),
            purposes: self.purposes.clone(),
            fhir_user: self.fhir_user.clone(),
        })
    }
}

impl AppConfig {
    /// With paths from the configuration's folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.keys = self.keys.map(|it| folder.join(it));
        self
    }

    fn register(&self) -> Result<App, Failure> {
        let keys = self.keys.as_ref().map(|path| {
            let text = fs::read(path).map_err(Failure::at(path))?;
            serde_json::from_slice(&text).map_err(|error| {
                Failure::Misused(format!("{} is no JSON Web Key Set: {error}", path.display()))
            })
        });
        App::new(Registered {
            id: self.id.clone(),
            name: self.name.clone(),
            redirect_uris: self.redirect_uris.clone(),
            scopes: self.scopes.clone(),
            keys: keys.transpose()?,
        })
        .map_err(misused)
    }
}

/// What people need to sign in, where they may.
pub(crate) fn smart(
    base: &str,
    sign_in: Option<&SignInConfig>,
    (apps, people): (&[AppConfig], &[PersonConfig]),
) -> Result<Option<Smart>, Failure> {
    let Some(sign_in) = sign_in else {
        if apps.is_empty() && people.is_empty() {
            return Ok(None);
        }
        return Err(Failure::Misused(
            "apps and people are configured, and no [sign_in]; give the issuer at which people sign in".into(),
        ));
    };
    once("apps", apps.iter().map(|it| it.id.as_str()))?;
    once("people", people.iter().map(|it| it.subject.as_str()))?;
    let apps = apps.iter().map(AppConfig::register).collect::<Result<_, _>>()?;
    let people = people.iter().map(PersonConfig::open).collect::<Result<_, _>>()?;
    let signer = Signer::generate().map_err(misused)?;
    Ok(Some(Smart::new(base.to_owned(), (apps, people), sign_in.provider()?, signer)))
}

fn once<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Failure::Misused(format!("two {what} are called {name:?}; leave one out")));
        }
    }
    Ok(())
}

fn misused(error: impl std::fmt::Display) -> Failure {
    Failure::Misused(error.to_string())
}
