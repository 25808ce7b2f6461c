//! A bulk export, as a client of it finds it (Bulk Data Access 2.0): how long it is until it is done, and how fast its files
//! come then.
//!
//! Not here: what is in the files.

use std::time::{Duration, Instant};

use reqwest::{Method, Response, StatusCode, header::CONTENT_LOCATION};
use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::{BenchError, Server};

/// Between two looks at whether it is done, and how often it is looked.
const PAUSE: Duration = Duration::from_millis(100);
const LOOKS_MAX: usize = 36_000;

/// How an export went.
#[derive(Debug, Serialize)]
pub(super) struct ExportLine {
    pub(super) resources: u64,
    pub(super) bytes: u64,
    /// From asking for it until it was done: accesses are decided meanwhile.
    pub(super) ready_s: f64,
    pub(super) ready_per_second: f64,
    /// Of one pass over all files, one after the other.
    pub(super) files_s: f64,
    pub(super) files_per_second: f64,
    /// How often all files were fetched.
    pub(super) passes: u32,
}

impl Server {
    /// Exports all that may be read, and fetches it over and over for so long.
    pub(super) async fn export(&self, for_s: Duration) -> Result<ExportLine, BenchError> {
        let begun = Instant::now();
        let answer = self.ask(Method::GET, &format!("{}/$export", self.base), true).await?;
        let status = answer.headers().get(CONTENT_LOCATION).and_then(|it| it.to_str().ok());
        let status = status.unwrap_or_default().to_owned();
        let manifest = self.manifest(&status).await?;
        let ready_s = begun.elapsed().as_secs_f64();
        let outputs = manifest["output"].as_array().cloned().unwrap_or_default();
        let (mut resources, mut bytes, mut passes) = (0, 0, 0);
        let begun = Instant::now();
        while passes == 0 || begun.elapsed() < for_s {
            (resources, bytes) = (0, 0);
            for output in &outputs {
                let url = output["url"].as_str().unwrap_or_default();
                let (lines, length) = self.lines_of(url).await?;
                resources += lines;
                bytes += length;
            }
            passes += 1;
        }
        let files_s = begun.elapsed().as_secs_f64() / f64::from(passes);
        self.ask(Method::DELETE, &status, false).await?;
        let (ready_per_second, files_per_second) =
            (resources as f64 / ready_s, resources as f64 / files_s);
        Ok(ExportLine {
            resources,
            bytes,
            ready_s,
            ready_per_second,
            files_s,
            files_per_second,
            passes,
        })
    }

    async fn manifest(&self, status: &str) -> Result<Value, BenchError> {
        for _ in 0..LOOKS_MAX {
            let answer = self.ask(Method::GET, status, false).await?;
            if answer.status() == StatusCode::OK {
                return Ok(serde_json::from_str(&answer.text().await.map_err(super::failed)?)?);
            }
            sleep(PAUSE).await;
        }
        Err(BenchError::AlwaysBusy)
    }

    /// Lines and bytes of a file.
    async fn lines_of(&self, url: &str) -> Result<(u64, u64), BenchError> {
        let mut answer = self.ask(Method::GET, url, false).await?;
        let (mut lines, mut bytes) = (0, 0);
        while let Some(chunk) = answer.chunk().await.map_err(super::failed)? {
            lines += chunk.iter().filter(|it| **it == b'\n').count() as u64;
            bytes += chunk.len() as u64;
        }
        Ok((lines, bytes))
    }

    async fn ask(&self, method: Method, url: &str, is_begun: bool) -> Result<Response, BenchError> {
        let mut ask = self.http.request(method.clone(), url);
        if let Some(token) = &self.token {
            ask = ask.bearer_auth(token);
        }
        if is_begun {
            ask = ask.header("prefer", "respond-async");
        }
        let answer = ask.send().await.map_err(super::failed)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let message = answer.text().await.map_err(super::failed)?;
        let of = format!("{method} of an export");
        Err(BenchError::Answer { of, status: status.as_u16(), message })
    }
}
