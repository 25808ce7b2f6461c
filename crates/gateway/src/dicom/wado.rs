//! WADO-RS (PS3.18, 10.4): instances out, as they were sent.
//!
//! # Invariants
//!
//! * One access for each 32 records is committed and allowed before any of them leaves. The first one is to the study's
//!   resource too: for whom it is refused the study is not there.
//! * An answer that cannot be finished has no closing boundary.
//!
//! Not here: other transfer syntaxes than the one that was sent.

use std::sync::Arc;

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse as _, Response},
};
use keepwell_client::{ClientError, error::UsageError, open::OpenedRecord};
use keepwell_fhir::outcome::{IssueType, Outcome, Status};
use keepwell_types::{id::ChartId, limits::ACCESS_RECORDS_MAX};
use tokio::io::{AsyncWriteExt as _, DuplexStream};

use super::{
    Target, address_of, multipart,
    study::{Instance, id_of, imaging_study, instances},
};
use crate::{
    answer::{not_found, without_ids},
    binary::name_of,
    content::finish,
    gateway::{Asker, Gateway},
    write::random_id,
};

/// What is still to be sent.
struct Retrieval {
    asker: Asker,
    chart: ChartId,
    /// Before each instance, and behind the last, where there is a boundary.
    boundary: Option<String>,
    address: String,
    study: String,
}

/// Answers with the instances of a study, a series, or one of them.
pub(crate) async fn retrieve(
    gateway: &Arc<Gateway>,
    asker: &Asker,
    target: &Target,
    headers: &HeaderMap,
) -> Result<Response, Outcome> {
    let is_single = is_single(headers, target)?;
    let study = target.study().ok_or_else(not_found)?;
    let found = gateway.only_shown(asker, imaging_study(), &id_of(study)).await?;
    let mut wanted: Vec<_> = instances(&found.resource);
    wanted.retain(|it| match target {
        Target::Studies | Target::Study(_) => true,
        Target::Series(_, series) => it.series == series.as_str(),
        Target::Instance(_, series, instance) => {
            it.series == series.as_str() && it.uid == instance.as_str()
        }
    });
    if wanted.is_empty() {
        return Err(not_found());
    }
    let chart = found.version.chart;
    let later = wanted.split_off(wanted.len().min(ACCESS_RECORDS_MAX - 1));
    let mut names = vec![name_of(&found)];
    names.extend(wanted.iter().map(|it| it.content.name));
    let mut first = gateway.open_content(asker, chart, &names).await?;
    first.remove(0);
    let bytes = wanted.iter().chain(&later).map(|it| it.content.bytes).sum();
    let boundary = (!is_single).then(|| random_id().to_string());
    let kind = match &boundary {
        Some(boundary) => {
            format!("multipart/related; type=\"application/dicom\"; boundary={boundary}")
        }
        None => "application/dicom".to_owned(),
    };
    let retrieval = Retrieval {
        asker: asker.clone(),
        chart,
        boundary,
        address: address_of(gateway.base()),
        study: study.as_str().to_owned(),
    };
    let body = gateway.streamed(bytes, move |gateway, mut output| {
        Box::pin(async move {
            retrieval.write(&gateway, (wanted, first), later, &mut output).await?;
            finish(output).await;
            Ok(())
        })
    });
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_str(&kind).map_err(|_| not_found())?),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]);
    Ok((StatusCode::OK, headers, body).into_response())
}

impl Retrieval {
    async fn write(
        &self,
        gateway: &Gateway,
        (some, opened): (Vec<Instance>, Vec<OpenedRecord>),
        later: Vec<Instance>,
        output: &mut DuplexStream,
    ) -> Result<(), ClientError> {
        self.write_some(gateway, (&some, &opened), output).await?;
        for some in later.chunks(ACCESS_RECORDS_MAX) {
            let names: Vec<_> = some.iter().map(|it| it.content.name).collect();
            let opened = gateway.open_content(&self.asker, self.chart, &names).await;
            let opened = opened.map_err(|outcome| {
                tracing::warn!(status = outcome.status().code(), "a study could not be sent whole");
                UsageError::Output(std::io::ErrorKind::PermissionDenied.into())
            })?;
            self.write_some(gateway, (some, &opened), output).await?;
        }
        if let Some(boundary) = &self.boundary {
            write(output, &format!("\r\n--{boundary}--")).await?;
        }
        Ok(())
    }

    async fn write_some(
        &self,
        gateway: &Gateway,
        (some, opened): (&[Instance], &[OpenedRecord]),
        output: &mut DuplexStream,
    ) -> Result<(), ClientError> {
        for (instance, record) in some.iter().zip(opened) {
            if let Some(boundary) = &self.boundary {
                let Instance { series, uid, .. } = instance;
                let (address, study) = (&self.address, &self.study);
                let head = format!(
                    "\r\n--{boundary}\r\nContent-Type: application/dicom\r\nContent-Location: {address}/studies/{study}/series/{series}/instances/{uid}\r\nContent-Length: {}\r\n\r\n",
                    instance.content.bytes
                );
                write(output, &head).await?;
            }
            gateway.write_content(&self.asker, record, output).await.inspect_err(|error| {
                tracing::warn!(error = without_ids(error), "an instance could not be sent whole");
            })?;
        }
        Ok(())
    }
}

async fn write(output: &mut DuplexStream, text: &str) -> Result<(), ClientError> {
    Ok(output.write_all(text.as_bytes()).await.map_err(UsageError::Output)?)
}

/// Whether one instance is asked for by itself, and not as a part.
fn is_single(headers: &HeaderMap, target: &Target) -> Result<bool, Outcome> {
    let all = headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok());
    let all: Vec<_> = all.flat_map(|it| it.split(',')).map(multipart::parameters).collect();
    let is = |it: &Vec<(String, String)>, kind: &str| it.first().is_some_and(|it| it.0 == kind);
    let of_dicom = |it: &Vec<(String, String)>| {
        let mut of = it.iter().filter(|it| it.0 == "type");
        of.all(|it| it.1.eq_ignore_ascii_case("application/dicom"))
    };
    if all.is_empty()
        || all.iter().any(|it| is(it, "*/*") || (is(it, "multipart/related") && of_dicom(it)))
    {
        return Ok(false);
    }
    if matches!(target, Target::Instance(..)) && all.iter().any(|it| is(it, "application/dicom")) {
        return Ok(true);
    }
    let text = "instances are served as they were sent: accept multipart/related; type=\"application/dicom\"";
    Err(Outcome::error(IssueType::NotSupported, text).with_status(Status::NOT_ACCEPTABLE))
}
