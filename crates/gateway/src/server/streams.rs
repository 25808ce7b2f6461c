//! Requests whose bodies are not held in memory, or whose answers are not: a Binary as bytes, and images.
//!
//! # Invariants
//!
//! * Who asks is known, and that the token is good for it, before anything of a body is read.
//! * So many are worked on at once; others wait, and have sent nothing yet that is held here.
//!
//! Not here: what is done with them.

use super::*;
use crate::{
    binary::{Wanted, is_sent_as_bytes},
    dicom::{self, stow, wado},
};

/// Transfers at once.
pub(super) const STREAMS_MAX: usize = 8;

/// A request of this kind.
#[derive(Debug)]
pub(super) enum Streamed {
    SendBinary,
    ReadBinary(keepwell_fhir::interaction::Id, Wanted),
    Images(String),
}

impl Streamed {
    /// What a request is, if it is of this kind. `path` is the base's.
    pub(super) fn of(request: &Request, path: &str) -> Option<Self> {
        let given = request.uri().path();
        if let Some(below) = given.strip_prefix(&dicom::path_of(path))
            && (below.is_empty() || below.starts_with('/'))
        {
            return Some(Self::Images(below.to_owned()));
        }
        let below = given.strip_prefix(path)?.strip_prefix("/Binary")?;
        match (request.method().as_str(), below.strip_prefix('/')) {
            ("POST", None) if below.is_empty() && is_sent_as_bytes(request.headers()) => {
                Some(Self::SendBinary)
            }
            ("GET", Some(id)) => {
                Some(Self::ReadBinary(id.parse().ok()?, Wanted::of(request.headers())))
            }
            _ => None,
        }
    }
}

impl Service {
    /// Carries out a request of this kind; gives it back if the ordinary way shows what it asks for.
    pub(super) async fn stream(
        &self,
        streamed: Streamed,
        request: Request,
    ) -> Result<Response, Request> {
        let answered = match streamed {
            Streamed::SendBinary => self.send_binary(request).await,
            Streamed::ReadBinary(id, wanted) => {
                match self.read_binary(request.headers(), &id, &wanted).await {
                    Ok(None) => return Err(request),
                    Ok(Some(response)) => Ok(response),
                    Err(outcome) => Err(outcome),
                }
            }
            Streamed::Images(below) => self.images(&below, request).await,
        };
        Ok(answered.unwrap_or_else(|outcome| of_outcome(&outcome)))
    }

    async fn send_binary(&self, request: Request) -> Result<Response, Outcome> {
        let session = self.session(request.headers())?;
        let of: ResourceType = "Binary".parse().expect("R4 has it");
        in_scope(&session, Interaction::Create(of, RawQuery::default()))?;
        let prefer = Headers::read(request.headers())?.prefer.returned;
        // It is never closed.
        let _place = self.streams.acquire().await;
        let answer = self.gateway.create_binary(&session.asker, request).await?;
        Ok(of_answer(as_preferred(answer, prefer)))
    }

    async fn read_binary(
        &self,
        headers: &HeaderMap,
        id: &keepwell_fhir::interaction::Id,
        wanted: &Wanted,
    ) -> Result<Option<Response>, Outcome> {
        let session = self.session(headers)?;
        let of: ResourceType = "Binary".parse().expect("R4 has it");
        in_scope(&session, Interaction::Read(of, id.clone()))?;
        if *wanted == Wanted::Resource {
            acceptable(headers)?;
        }
        self.gateway.read_binary(&session.reader(), id, wanted).await
    }

    /// DICOMweb (PS3.18, section 10): a study's instances in, and out.
    async fn images(&self, below: &str, request: Request) -> Result<Response, Outcome> {
        let session = self.session(request.headers())?;
        let of: ResourceType = "ImagingStudy".parse().expect("R4 has it");
        let target = dicom::Target::parse(below)?;
        match request.method().as_str() {
            "POST" => {
                in_scope(&session, Interaction::Create(of, RawQuery::default()))?;
                let study = target.of_stow()?;
                let _place = self.streams.acquire().await;
                let answer = stow::store(&self.gateway, &session.asker, study, request).await?;
                let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::CONFLICT);
                let kind = HeaderValue::from_static("application/dicom+json");
                Ok((status, [(CONTENT_TYPE, kind)], answer.body).into_response())
            }
            "GET" => {
                let id = dicom::study::id_of(target.study().ok_or_else(no_query)?);
                in_scope(&session, Interaction::Read(of, id))?;
                wado::retrieve(&self.gateway, &session.reader(), &target, request.headers()).await
            }
            _ => Err(not_served()),
        }
    }
}

fn no_query() -> Outcome {
    let text = "studies are searched for over FHIR, as ImagingStudy?patient=ID or ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:UID";
    Outcome::error(IssueType::NotSupported, text)
}

fn in_scope(session: &Session, interaction: Interaction) -> Result<(), Outcome> {
    if session.may(&interaction) { Ok(()) } else { Err(not_in_scope()) }
}
