//! Reading: a resource, one of its versions, its history (R4 RESTful API, 3.1.0.2 and following).
//!
//! Not here: histories of a type or of all.

use keepwell_fhir::{
    header::{TagList, instant},
    interaction::{Id, Method, ResourceType},
    outcome::{Outcome, Status},
    response::{self, Link, Response},
    splice,
};
use keepwell_types::time::BlockTime;
use serde_json::value::RawValue;

use crate::{
    answer::{Answer, no_index, not_found},
    gateway::{Asker, Found, Gateway},
};

/// Versions of one page of a history.
const HISTORY_MAX: usize = 100;

impl Gateway {
    /// The newest version of a resource. `none_match` is `If-None-Match`.
    pub async fn read(
        &self,
        asker: &Asker,
        (of, id): (ResourceType, &Id),
        none_match: Option<&TagList>,
    ) -> Result<Answer, Outcome> {
        let found = self.one(asker, of, id).await?;
        let mut answer = answer_of(&found);
        if none_match.is_some_and(|tags| tags.matches(Some(found.version.number))) {
            (answer.status, answer.body) = (Status::NOT_MODIFIED, None);
        }
        Ok(answer)
    }

    /// One version of a resource.
    pub async fn read_version(
        &self,
        asker: &Asker,
        (of, id): (ResourceType, &Id),
        version: &Id,
    ) -> Result<Answer, Outcome> {
        let number = version.version().ok_or_else(not_found)?;
        if let Some(fact) = self.shown_fact(asker, of, id).await? {
            let is_it = fact.version.number == number;
            return is_it.then(|| answer_of(&fact)).ok_or_else(not_found);
        }
        let newest = self.only_in_sight(asker, of, id).await?.ok_or_else(not_found)?;
        let (chart, name) = (newest.version.chart, newest.version.name);
        let version = self.index.version((chart, &name), number).await;
        let version = version.map_err(|error| no_index(&error))?;
        let found = version.and_then(Found::of).ok_or_else(not_found)?;
        match self.may_show(asker, &[&found.version]).await?.as_slice() {
            [true] => Ok(answer_of(&found)),
            _ => Err(not_found()),
        }
    }

    /// The versions of a resource that whoever asks may see, the newest first, below a number.
    pub async fn history(
        &self,
        asker: &Asker,
        (of, id): (ResourceType, &Id),
        (below, count): (Option<u64>, Option<usize>),
    ) -> Result<Answer, Outcome> {
        let count = count.unwrap_or(HISTORY_MAX).min(HISTORY_MAX);
        let below = below.unwrap_or(u64::MAX);
        let (page, next) = self.versions(asker, (of, id), (below, count)).await?;
        let path = format!("{of}/{id}");
        let url = format!("{}/{path}", self.base());
        let next = next.map(|last| format!("{url}/_history?_count={count}&_below={last}"));
        let itself = format!("{url}/_history");
        let mut links = vec![Link { relation: "self", url: &itself }];
        links.extend(next.iter().map(|url| Link { relation: "next", url }));
        let bodies: Vec<_> = page.iter().map(shown_of).collect();
        let entries = page.iter().zip(&bodies).map(|(found, body)| {
            let is_first = found.version.number == 1;
            let response = Response {
                version: Some(found.version.number),
                last_modified_ms: Some(found.version.time.0),
                ..Response::of(if is_first { Status::CREATED } else { Status::OK })
            };
            let (method, target) =
                if is_first { (Method::Post, of.as_str()) } else { (Method::Put, path.as_str()) };
            let resource = Some(&**body);
            response::Version { full_url: &url, resource, method, url: target, response }
        });
        let entries: Vec<_> = entries.collect();
        Ok(Answer::of(Status::OK, response::history(&links, None, &entries)))
    }

    /// Some versions of a resource, and below which number the next ones are, if there are more.
    async fn versions(
        &self,
        asker: &Asker,
        (of, id): (ResourceType, &Id),
        (below, count): (u64, usize),
    ) -> Result<(Vec<Found>, Option<u64>), Outcome> {
        if let Some(fact) = self.shown_fact(asker, of, id).await? {
            let is_below = fact.version.number < below;
            return Ok((is_below.then_some(fact).into_iter().collect(), None));
        }
        let newest = self.only_in_sight(asker, of, id).await?.ok_or_else(not_found)?;
        let (chart, name) = (newest.version.chart, newest.version.name);
        let versions = self.index.history((chart, &name), below).await;
        let versions = versions.map_err(|error| no_index(&error))?;
        let more = versions.len() > count;
        let page: Vec<_> = versions.into_iter().take(count).filter_map(Found::of).collect();
        let shown: Vec<_> = page.iter().map(|it| &it.version).collect();
        let shown = self.may_show(asker, &shown).await?;
        if !shown.contains(&true) {
            return Err(not_found());
        }
        let last = page.last().map(|it| it.version.number).filter(|_| more);
        let page = page.into_iter().zip(shown).filter_map(|(it, shown)| shown.then_some(it));
        Ok((page.collect(), last))
    }

    /// The newest version of a resource, once an access to it is allowed.
    pub(crate) async fn one(
        &self,
        asker: &Asker,
        of: ResourceType,
        id: &Id,
    ) -> Result<Found, Outcome> {
        if let Some(fact) = self.shown_fact(asker, of, id).await? {
            return Ok(fact);
        }
        let found = self.only_in_sight(asker, of, id).await?.ok_or_else(not_found)?;
        match self.may_show(asker, &[&found.version]).await?.as_slice() {
            [true] => Ok(found),
            _ => Err(not_found()),
        }
    }
}

impl Gateway {
    /// The fact with an id, once all accesses to it are allowed.
    async fn shown_fact(
        &self,
        asker: &Asker,
        of: ResourceType,
        id: &Id,
    ) -> Result<Option<Found>, Outcome> {
        let Some(fact) = self.fact(asker, of, id).await? else { return Ok(None) };
        match self.may_show_all(asker, &[&fact]).await?.as_slice() {
            [true] => Ok(Some(fact)),
            _ => Err(not_found()),
        }
    }
}

/// A resource as it is shown: its bytes, with version and time of what the ledger has.
pub(crate) fn shown(json: &str, number: u64, time: BlockTime) -> Box<RawValue> {
    RawValue::from_string(shown_text(json, number, time)).expect("a resource is JSON")
}

/// The same, as text.
pub(crate) fn shown_text(json: &str, number: u64, time: BlockTime) -> String {
    let edited = splice::with_meta(json, number, &instant(time.0));
    // What is here was read strictly when it came.
    edited.map_or_else(|_| json.to_owned(), |it| it.json)
}

/// What was found, as it is shown.
pub(crate) fn shown_of(found: &Found) -> Box<RawValue> {
    shown(found.json(), found.version.number, found.version.time)
}

/// An answer that shows a resource.
pub(crate) fn answer_of(found: &Found) -> Answer {
    let (number, time) = (found.version.number, found.version.time);
    Answer::shows(Status::OK, found.json(), (number, time))
}
