//! All about one patient (R4, Patient/$everything).
//!
//! A page is of a snapshot, as one of a search is; it goes on after a row of the index.
//!
//! Not here: dates of care (`start`, `end`), which would leave out what has none.

use keepwell_fhir::{
    header::parse_instant,
    interaction::{Id, Query, ResourceType},
    outcome::{IssueType, Outcome, Status},
    response::{self, Link, SearchMode},
    search::table,
};
use keepwell_types::id::ChartId;

use crate::{
    answer::{Answer, no_index, not_found},
    gateway::{Asker, Found, Gateway},
    index::{Find, Snapshot},
    read::shown_of,
    search::{HIDDEN_MAX, PAGE, Page, gone, hardly_any},
};

/// Resources of a page, unless the client says; and at most.
const COUNT: usize = 100;
const COUNT_MAX: usize = 200;

/// What is asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Everything {
    /// Of these types; of all if there are none.
    pub types: Vec<ResourceType>,
    since_ms: u64,
    count: Option<usize>,
    page: Option<Page>,
}

impl Everything {
    /// Reads the parameters.
    pub fn parse(query: &Query) -> Result<Self, Outcome> {
        let mut asked = Self::default();
        for (name, value) in query.parameters() {
            let bad = |what: &str| Outcome::error(IssueType::Value, &format!("{name} is {what}"));
            match name.as_str() {
                "_type" => {
                    for of in value.split(',') {
                        asked.types.push(of.parse().map_err(|_| bad("a list of resource types"))?);
                    }
                }
                "_since" => asked.since_ms = parse_instant("_since", &value)?,
                "_count" => {
                    let count = value.parse().ok().filter(|it| *it > 0);
                    asked.count = Some(count.ok_or_else(|| bad("a number from 1"))?);
                }
                PAGE => {
                    let page = Page::parse(&value);
                    asked.page = Some(page.ok_or_else(|| {
                        bad("none of this gateway's; follow its next links as they are")
                    })?);
                }
                "_format" => {}
                _ => {
                    let text = "everything is asked for with _type, _since and _count";
                    return Err(Outcome::error(IssueType::NotSupported, text));
                }
            }
        }
        Ok(asked)
    }
}

impl Gateway {
    /// A page of all about a patient that whoever asks may see, of the types for which `may` holds.
    pub async fn everything(
        &self,
        asker: &Asker,
        (id, asked): (&Id, &Everything),
        may: impl Fn(ResourceType) -> bool,
    ) -> Result<Answer, Outcome> {
        let patient: ResourceType = "Patient".parse().expect("R4 has it");
        let found = self.only_in_sight(asker, patient, id).await?.ok_or_else(not_found)?;
        let chart = found.version.chart;
        let now = self.index.now().await.map_err(|error| no_index(&error))?;
        let page = asked.page.unwrap_or(Page { at: now, offset: 0, until: None });
        if page.at > now {
            return Err(gone());
        }
        let wanted =
            |of: ResourceType| may(of) && (asked.types.is_empty() || asked.types.contains(&of));
        let is_new = |it: &Found| it.version.time.0 >= asked.since_ms;
        let mut shown = Vec::new();
        if page.offset == 0 {
            // Whoever may not see the patient learns nothing of their chart.
            let may_show = self.may_show(asker, &[&found.version]).await?;
            if may_show != [true] {
                return Err(not_found());
            }
            shown.extend(Some(found).filter(|it| wanted(patient) && is_new(it)));
        }
        let types = table::resource_types().filter_map(|of| of.parse().ok());
        let types: Vec<_> = types.filter(|of| *of != patient && wanted(*of)).collect();
        let count = asked.count.unwrap_or(COUNT).min(COUNT_MAX);
        let (more, next) = self
            .records(asker, (chart, &types), page, count - shown.len().min(count), is_new)
            .await?;
        shown.extend(more);
        Ok(self.of_everything(id, asked, &shown, next.map(|offset| Page { offset, ..page })))
    }

    /// Records of a chart after a page's row, `count` of them if there are so many; and where the next ones begin.
    async fn records(
        &self,
        asker: &Asker,
        (chart, types): (ChartId, &[ResourceType]),
        page: Page,
        count: usize,
        is_new: impl Fn(&Found) -> bool,
    ) -> Result<(Vec<Found>, Option<usize>), Outcome> {
        let kinds: Vec<_> =
            types.iter().map(|of| self.terms().kind_of(chart, of.as_str())).collect();
        let (mut shown, mut hidden) = (Vec::new(), 0);
        let mut after = page.offset as u64;
        if kinds.is_empty() {
            return Ok((shown, None));
        }
        loop {
            if hidden > HIDDEN_MAX {
                return Err(hardly_any());
            }
            let wanted = count - shown.len();
            let rows_max = u32::try_from(wanted).unwrap_or(u32::MAX).max(1);
            let find = Find { kinds: &kinds, terms: &[], at: page.at, after, rows_max };
            let rows = self.index.find(&find).await.map_err(|error| no_index(&error))?;
            let Some(last) = rows.last() else { return Ok((shown, None)) };
            if wanted == 0 {
                // There are more.
                let next = usize::try_from(after).unwrap_or(usize::MAX);
                return Ok((shown, Some(next)));
            }
            after = last.row;
            let is_wanted = |it: &Found| is_new(it) && asker.sight.shows_found(it);
            let found: Vec<_> = rows.into_iter().filter_map(Found::of).filter(is_wanted).collect();
            let versions: Vec<_> = found.iter().map(|it| &it.version).collect();
            let may = self.may_show(asker, &versions).await?;
            hidden += may.iter().filter(|may| !**may).count();
            shown.extend(found.into_iter().zip(may).filter_map(|(it, may)| may.then_some(it)));
        }
    }

    fn of_everything(
        &self,
        id: &Id,
        asked: &Everything,
        shown: &[Found],
        next: Option<Page>,
    ) -> Answer {
        let url = format!("{}/Patient/{id}/$everything", self.base());
        let types: Vec<_> = asked.types.iter().map(|of| of.as_str()).collect();
        let mut parameters = Vec::new();
        if !types.is_empty() {
            parameters.push(format!("_type={}", types.join(",")));
        }
        if asked.since_ms > 0 {
            parameters.push(format!("_since={}", keepwell_fhir::header::instant(asked.since_ms)));
        }
        parameters.extend(asked.count.map(|it| format!("_count={it}")));
        let with = |more: Option<String>| {
            let all: Vec<_> = parameters.iter().cloned().chain(more).collect();
            if all.is_empty() { url.clone() } else { format!("{url}?{}", all.join("&")) }
        };
        let itself = with(None);
        let next = next.map(|Page { at: Snapshot(rows), offset, .. }| {
            with(Some(format!("{PAGE}={rows}.{offset}")))
        });
        let mut links = vec![Link { relation: "self", url: &itself }];
        links.extend(next.iter().map(|url| Link { relation: "next", url }));
        let bodies: Vec<_> = shown
            .iter()
            .map(|it| (format!("{}/{}", self.base(), it.path()), shown_of(it)))
            .collect();
        let entries: Vec<_> = bodies
            .iter()
            .map(|(url, resource)| response::Found {
                full_url: Some(url),
                resource,
                mode: SearchMode::Match,
            })
            .collect();
        Answer::of(Status::OK, response::searchset(&links, None, &entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_or_refused() {
        let parse = |text: &str| Everything::parse(&Query::parse(text).unwrap());
        assert_eq!(parse("").unwrap(), Everything::default());
        let asked =
            parse("_type=Observation,Condition&_since=2026-01-01T00:00:00Z&_count=5&_page=9.7");
        let asked = asked.unwrap();
        assert_eq!(asked.types.len(), 2);
        assert_eq!((asked.since_ms, asked.count), (1_767_225_600_000, Some(5)));
        for bad in ["_type=Nothing", "_since=2026", "_count=0", "_count=x", "_page=1", "start=2026"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
