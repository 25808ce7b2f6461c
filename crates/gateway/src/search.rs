//! Search: the index narrows, `keepwell_fhir::search` decides, and the ledger allows what is shown.
//!
//! A page is of a snapshot: its `next` link names how many rows the index had, and how many matches were looked at, so that
//! nothing that is written meanwhile moves it. Where facts of the ledger were among them, it names the block too, up to
//! which they are. Matches that whoever asks may not see are passed over, and the page is
//! filled with the next ones.
//!
//! # Invariants
//!
//! * A search that is confined to no patient is refused, but for one that finds patients.
//! * The resources of a search are bounded ([`POOL_MAX`]); one that needs more is refused, never cut.
//!
//! Not here: searches in all types or in a compartment; `_total`, which would count what whoever asks may not see.

use std::collections::BTreeSet;

use keepwell_fhir::{
    header::instant,
    interaction::{Id, ResourceType},
    outcome::{Issue, IssueType, Outcome, Severity, Status},
    response::{self, Link, SearchMode},
    search::{
        Entry, Pool, Query, SearchError,
        shape::{self, Shape},
    },
};
use keepwell_types::id::{ChartId, Height};
use serde_json::value::RawValue;

use crate::{
    answer::{Answer, ambiguous, no_index},
    facts,
    gateway::{Asker, Found, Gateway},
    index::{Find, ROWS_MAX, Snapshot},
    read::shown_of,
    sight::Sight,
};

/// Resources among which one search looks.
pub const POOL_MAX: usize = 20_000;
/// Bytes of them.
const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Matches of a page, unless the client says.
const COUNT: usize = 20;
/// And at most.
const COUNT_MAX: usize = 200;
/// Matches of a page that may not be shown, before it is given up: each was refused by an entry, which the patient sees.
pub(crate) const HIDDEN_MAX: usize = 200;
/// Patients to whom one search may be confined, or whose records it may look at.
const CHARTS_MAX: usize = 50;
/// The parameter by which a page goes on: rows of the index, a dot, matches looked at; and of what has facts of the ledger a
/// dot and a height.
pub const PAGE: &str = "_page";

/// Where a page begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Page {
    pub(crate) at: Snapshot,
    pub(crate) offset: usize,
    /// The block up to which facts of the ledger are looked at.
    pub(crate) until: Option<Height>,
}

impl Page {
    /// Reads what a `next` link has.
    pub fn parse(text: &str) -> Option<Self> {
        let (rows, rest) = text.split_once('.')?;
        let (offset, until) = match rest.split_once('.') {
            Some((offset, height)) => (offset, Some(Height(height.parse().ok()?))),
            None => (rest, None),
        };
        Some(Self { at: Snapshot(rows.parse().ok()?), offset: offset.parse().ok()?, until })
    }
}

impl Gateway {
    /// A page of what a query finds.
    pub async fn search(
        &self,
        asker: &Asker,
        query: &Query,
        page: Option<Page>,
    ) -> Result<Answer, Outcome> {
        if query.shape == Shape::Count {
            let text = "nothing is counted here: a number would count what you may not see; ask without _summary=count";
            return Err(Outcome::error(IssueType::NotSupported, text));
        }
        let now = self.index.now().await.map_err(|error| no_index(&error))?;
        let page = page.unwrap_or(Page { at: now, offset: 0, until: None });
        // A page of an index that was built again since would be another one.
        if page.at > now {
            return Err(gone());
        }
        let (mut found, charts) = self.pool(query, page.at, &asker.sight).await?;
        // Before anything is decided by it: what is out of sight must not tell by a chain that it is there.
        found.retain(|it| asker.sight.shows_found(it));
        let until = self.add_facts(asker, &mut found, query, (&charts, page.until)).await?;
        let times: Vec<_> = found.iter().map(|it| instant(it.version.time.0)).collect();
        let entries = found.iter().zip(&times);
        // What came in Bundles may refer to each other as those called them.
        let entries = entries
            .map(|(it, time)| {
                let as_sent = format!("urn:uuid:{}", it.id());
                Entry::new(&it.resource, it.id(), time).with_full_url(&as_sent)
            })
            .collect();
        let pool = Pool::new(entries);
        let mut matches = query.select(&pool);
        query.sort(&pool, &mut matches, |at| found[at].version.row);

        let count = query.count.map_or(COUNT, |it| (it as usize).min(COUNT_MAX));
        let (shown, next) = self.fill(asker, &found, &matches, page.offset, count).await?;
        let included = query.include(&pool, &shown).entries;
        let allowed: Vec<_> = included.iter().map(|at| &found[*at]).collect();
        let allowed = self.may_show_all(asker, &allowed).await?;
        let included: Vec<_> =
            included.into_iter().zip(allowed).filter_map(|(at, may)| may.then_some(at)).collect();
        let next = next.map(|offset| Page { offset, until, ..page });
        Ok(self.searchset(query, &found, (&shown, &included), next))
    }

    /// What the index has now that a query finds in a chart, or among the Patients, whoever may see it: for conditions.
    pub(crate) async fn matching(
        &self,
        query: &Query,
        chart: Option<ChartId>,
    ) -> Result<Vec<Found>, Outcome> {
        let at = self.index.now().await.map_err(|error| no_index(&error))?;
        let mut found = Vec::new();
        match chart {
            Some(chart) => {
                let types = BTreeSet::from([query.resource_type]);
                self.load_chart(&mut found, query, (chart, &types), at).await?;
            }
            None => (found, _) = self.pool(query, at, &Sight::ALL).await?,
        }
        found.retain(|it| {
            query.matches(&Entry::new(&it.resource, it.id(), &instant(it.version.time.0)))
        });
        Ok(found)
    }

    /// Adds facts of the ledger that a query has to look at, up to a block or to the newest, and says up to which.
    async fn add_facts(
        &self,
        asker: &Asker,
        pool: &mut Vec<Found>,
        query: &Query,
        (charts, until): (&BTreeSet<ChartId>, Option<Height>),
    ) -> Result<Option<Height>, Outcome> {
        let types = query.types();
        // Of a query that looks at nothing else those are enough that match by themselves.
        let is_wanted = |it: &Entry<'_>| types.len() > 1 || query.matches(it);
        let mut least = until;
        for of in types.iter().filter(|of| facts::are_of(of)) {
            for chart in charts {
                let facts = self.facts(asker, (*chart, of), least, &is_wanted).await?;
                let Some((found, height)) = facts else { continue };
                least = Some(least.map_or(height, |least| least.min(height)));
                pool.extend(found);
                if pool.len() > POOL_MAX {
                    return Err(too_costly());
                }
            }
        }
        Ok(least)
    }

    /// All records that a query has to look at, and the charts that they are in.
    async fn pool(
        &self,
        query: &Query,
        at: Snapshot,
        sight: &Sight,
    ) -> Result<(Vec<Found>, BTreeSet<ChartId>), Outcome> {
        let mut pool = Vec::new();
        let mut types = query.types();
        let patient_type: ResourceType = "Patient".parse().expect("R4 has it");
        let charts = match query.patients() {
            Some(patients) => {
                let mut charts = BTreeSet::new();
                for patient in patients {
                    // Of whom nobody knows there are no records, and nothing is found.
                    if let Ok(id) = patient.parse::<Id>() {
                        let found = self.named(patient_type, &id).await?;
                        let found = found.iter().map(|it| it.version.chart);
                        let found: Vec<_> = found.filter(|it| sight.reaches(*it)).collect();
                        if found.len() > 1 {
                            return Err(ambiguous());
                        }
                        charts.extend(found);
                    }
                }
                charts
            }
            // Of whom else whoever asks may see nothing, nothing else is asked for.
            None if sight.only_chart().is_some() => sight.only_chart().into_iter().collect(),
            None if query.resource_type == "Patient" => {
                let groups = self.terms().of_query(None, query);
                self.load(&mut pool, self.terms().patients(), &groups, at).await?;
                types.remove("Patient");
                match types.is_empty() {
                    true => BTreeSet::new(),
                    false => pool.iter().map(|it: &Found| it.version.chart).collect(),
                }
            }
            None => match query.targets() {
                Some(targets) => self.charts_of(&targets, sight).await?,
                None => return Err(unconfined()),
            },
        };
        if charts.len() > CHARTS_MAX {
            return Err(too_costly());
        }
        for chart in &charts {
            self.load_chart(&mut pool, query, (*chart, &types), at).await?;
        }
        Ok((pool, charts))
    }

    /// The charts of resources, each `Type/id`.
    async fn charts_of(
        &self,
        targets: &BTreeSet<&str>,
        sight: &Sight,
    ) -> Result<BTreeSet<ChartId>, Outcome> {
        let mut charts = BTreeSet::new();
        for target in targets {
            let Some((of, id)) = target.split_once('/') else { continue };
            if let (Ok(of), Ok(id)) = (of.parse(), id.parse()) {
                let found = self.named(of, &id).await?;
                charts.extend(found.iter().map(|it| it.version.chart));
            }
        }
        charts.retain(|it| sight.reaches(*it));
        Ok(charts)
    }

    async fn load_chart(
        &self,
        pool: &mut Vec<Found>,
        query: &Query,
        (chart, types): (ChartId, &BTreeSet<&str>),
        at: Snapshot,
    ) -> Result<(), Outcome> {
        for resource_type in types {
            let kind = self.terms().kind_of(chart, resource_type);
            let mut groups = match *resource_type == query.resource_type {
                true => self.terms().of_query(Some(chart), query),
                false => Vec::new(),
            };
            if *resource_type == "Patient" {
                groups.push(vec![self.terms().patient_of(chart)]);
            }
            self.load(pool, kind, &groups, at).await?;
        }
        Ok(())
    }

    async fn load(
        &self,
        pool: &mut Vec<Found>,
        kind: keepwell_crypto::index::Term,
        terms: &[Vec<keepwell_crypto::index::Term>],
        at: Snapshot,
    ) -> Result<(), Outcome> {
        let mut after = 0;
        loop {
            let find = Find { kinds: &[kind], terms, at, after, rows_max: ROWS_MAX };
            let rows = self.index.find(&find).await.map_err(|error| no_index(&error))?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.row;
            pool.extend(rows.into_iter().filter_map(Found::of));
            let bytes: usize = pool.iter().map(|it| it.version.body.len()).sum();
            if pool.len() > POOL_MAX || bytes > POOL_BYTES_MAX {
                return Err(too_costly());
            }
        }
    }

    /// Matches from `offset` on, as many as a page has, that whoever asks may see; and where the next page begins.
    async fn fill(
        &self,
        asker: &Asker,
        found: &[Found],
        matches: &[usize],
        mut offset: usize,
        count: usize,
    ) -> Result<(Vec<usize>, Option<usize>), Outcome> {
        let (mut shown, mut hidden) = (Vec::new(), 0);
        while shown.len() < count && offset < matches.len() {
            if hidden > HIDDEN_MAX {
                return Err(hardly_any());
            }
            let until = matches.len().min(offset + count - shown.len());
            let some = &matches[offset..until];
            let some_found: Vec<_> = some.iter().map(|at| &found[*at]).collect();
            let may = self.may_show_all(asker, &some_found).await?;
            hidden += may.iter().filter(|may| !**may).count();
            shown.extend(some.iter().zip(may).filter_map(|(at, may)| may.then_some(*at)));
            offset = until;
        }
        Ok((shown, (count > 0 && offset < matches.len()).then_some(offset)))
    }

    fn searchset(
        &self,
        query: &Query,
        found: &[Found],
        (shown, included): (&[usize], &[usize]),
        next: Option<Page>,
    ) -> Answer {
        let url = format!("{}/{}", self.base(), query.resource_type);
        let canonical = query.canonical();
        let itself = match canonical.as_str() {
            "" => url.clone(),
            some => format!("{url}?{some}"),
        };
        let next = next.map(|it| {
            let and = if canonical.is_empty() { "?" } else { "&" };
            let height = it.until.map_or_else(String::new, |height| format!(".{height}"));
            format!("{itself}{and}{PAGE}={}.{}{height}", it.at.0, it.offset)
        });
        let mut links = vec![Link { relation: "self", url: &itself }];
        links.extend(next.iter().map(|url| Link { relation: "next", url }));

        let mut entries: Vec<(Option<String>, Box<RawValue>, SearchMode)> = Vec::new();
        for (at, mode) in shown
            .iter()
            .map(|at| (*at, SearchMode::Match))
            .chain(included.iter().map(|at| (*at, SearchMode::Include)))
        {
            let whole = shown_of(&found[at]);
            let part = match mode {
                SearchMode::Match => shape::shape(whole.get(), &query.shape).ok().flatten(),
                SearchMode::Include | SearchMode::Outcome => Some(whole.get().to_owned()),
            };
            let part = part.and_then(|json| RawValue::from_string(json).ok());
            if let Some(part) = part {
                let full_url = format!("{}/{}", self.base(), found[at].path());
                entries.push((Some(full_url), part, mode));
            }
        }
        if let Some(outcome) = told(&query.ignored) {
            let json = RawValue::from_string(outcome.to_json()).expect("an outcome is JSON");
            entries.push((None, json, SearchMode::Outcome));
        }
        let entries: Vec<_> = entries
            .iter()
            .map(|(url, resource, mode)| response::Found {
                full_url: url.as_deref(),
                resource,
                mode: *mode,
            })
            .collect();
        Answer::of(Status::OK, response::searchset(&links, None, &entries))
    }
}

/// What was left out of a query, as the answer tells it.
fn told(ignored: &[SearchError]) -> Option<Outcome> {
    let mut issues = ignored
        .iter()
        .map(|it| Issue::new(Severity::Warning, IssueType::NotSupported, &it.to_string()));
    let mut outcome = Outcome::new(issues.next()?);
    issues.for_each(|issue| outcome.push(issue));
    Some(outcome)
}

fn unconfined() -> Outcome {
    Outcome::error(
        IssueType::TooCostly,
        "this would look into the records of all patients, whose keys nobody has granted; name the patient (patient=ID), find patients with a search for Patient first, or ask for a research cohort with their consent",
    )
}

pub(crate) fn gone() -> Outcome {
    let text = "the page is of an index that is not there any more; search again";
    Outcome::error(IssueType::Expired, text).with_status(Status::GONE)
}

pub(crate) fn hardly_any() -> Outcome {
    Outcome::error(
        IssueType::TooCostly,
        "hardly anything of what this looks at may be shown, and each refusal is kept for the patient; ask for a grant, or name what was granted",
    )
}

pub(crate) fn too_costly() -> Outcome {
    Outcome::error(
        IssueType::TooCostly,
        "too many resources would have to be looked at; name a patient, a code or a day as well",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_of_which_index_it_is_and_where_it_begins() {
        let page = Page { at: Snapshot(12), offset: 40, until: None };
        assert_eq!(Page::parse("12.40"), Some(page));
        let page = Page { until: Some(Height(7)), ..page };
        assert_eq!(Page::parse("12.40.7"), Some(page));
        for bad in [
            "",
            "12",
            ".",
            "12.",
            ".40",
            "-1.0",
            "1.2.",
            "1.2.3.4",
            "a.b",
            "12.40 ",
            "99999999999999999999.1",
        ] {
            assert_eq!(Page::parse(bad), None, "{bad}");
        }
    }
}
