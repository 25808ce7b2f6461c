//! What an index keeps of exports: which rows are in which file, and nothing of what stands in them.
//!
//! ```text
//! export        export  client  until_ms  spec  progress                  one row for each export
//! export_page   export  file  page  until_byte  body                      rows of a file, and how long their lines are
//! ```
//!
//! `client` is a term, and `spec`, `progress` and `body` are sealed, as rows of the index are. A file is made of the
//! index whenever it is sent: what was forgotten since is not in it, and no copy of a resource is kept for it.
//!
//! # Invariants
//!
//! * Pages are there together with the progress that names them, or not at all.
//! * Nothing is kept of an export that was forgotten: what goes on with it is told so.
//!
//! Not here: what is in a spec and in a progress, and who may see either.

use std::{collections::BTreeMap, fmt};

use keepwell_crypto::hash::digest;
use rand_core::Rng as _;

use super::*;

/// The id of an export: random, and written in hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ExportId([u8; 16]);

impl ExportId {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        UnwrapErr(SysRng).fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Reads an id, in the one way in which it is written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes)).filter(|it| it.to_string() == text)
    }
}

impl fmt::Display for ExportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

/// An export that begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewExport<'a> {
    pub(crate) id: ExportId,
    pub(crate) client: &'a str,
    /// Until when it is kept, in milliseconds since 1970.
    pub(crate) until_ms: u64,
    pub(crate) spec: &'a [u8],
    pub(crate) progress: &'a [u8],
}

/// What is kept of an export: what was asked for, and how far it is.
pub(crate) type KeptExport = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// Lines of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ExportPage {
    pub(crate) file: u32,
    pub(crate) page: u32,
    /// Bytes of the file up to the end of this page.
    pub(crate) until_byte: u64,
    /// Rows, and bytes of the line of each.
    pub(crate) lines: Vec<(u64, u32)>,
}

/// A look through all that was current at a snapshot, chart by chart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a> {
    pub(crate) at: Snapshot,
    /// What comes after this row of this chart.
    pub(crate) after: (ChartId, u64),
    /// Of these charts, [`FIND_TERMS_MAX`] at most; of all if it is not said.
    pub(crate) charts: Option<&'a [ChartId]>,
}

/// A row that a look found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) row: u64,
    pub(crate) chart: ChartId,
    /// Bytes of its sealed body.
    pub(crate) bytes: u64,
}

impl Index {
    /// The next rows of a look, [`ROWS_MAX`] at most.
    pub(crate) async fn scan(&self, scan: &Scan<'_>) -> Result<Vec<Head>, IndexError> {
        let charts = scan.charts.unwrap_or_default();
        if charts.len() > FIND_TERMS_MAX {
            return Err(IndexError::TooManyTerms { given: charts.len(), max: FIND_TERMS_MAX });
        }
        let among = match scan.charts {
            Some([]) => return Ok(Vec::new()),
            Some(charts) => format!(" AND chart IN ({})", places(5, charts.len())),
            None => String::new(),
        };
        let mut query = sqlx::query(AssertSqlSafe(format!(
            "SELECT row, chart, CAST(LENGTH(body) AS BIGINT) AS bytes FROM version
             WHERE chart >= $1 AND (chart > $1 OR row > $2) AND row <= $3 AND ends > $3{among}
             ORDER BY chart, row LIMIT $4"
        )))
        .bind(&scan.after.0.0[..])
        .bind(signed(scan.after.1))
        .bind(signed(scan.at.0))
        .bind(i64::from(ROWS_MAX));
        for chart in charts {
            query = query.bind(&chart.0[..]);
        }
        let head = |row: &AnyRow| -> Result<Head, IndexError> {
            let at: i64 = row.try_get("row")?;
            let chart: Vec<u8> = row.try_get("chart")?;
            let chart = ChartId(chart.try_into().map_err(|_| IndexError::Damaged(at))?);
            Ok(Head { row: unsigned(at)?, chart, bytes: unsigned(row.try_get("bytes")?)? })
        };
        query.fetch_all(&self.pool).await?.iter().map(head).collect()
    }

    /// What is here of these rows, [`FIND_TERMS_MAX`] at most, in their order.
    pub(crate) async fn rows(&self, rows: &[u64]) -> Result<Vec<Version>, IndexError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if rows.len() > FIND_TERMS_MAX {
            return Err(IndexError::TooManyTerms { given: rows.len(), max: FIND_TERMS_MAX });
        }
        let mut query = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM version WHERE row IN ({})",
            places(1, rows.len())
        )));
        for row in rows {
            query = query.bind(signed(*row));
        }
        let found = query.fetch_all(&self.pool).await?;
        let found = found.iter().map(|row| self.read(row)).collect::<Result<Vec<_>, _>>()?;
        let mut found: BTreeMap<_, _> = found.into_iter().map(|it| (it.row, it)).collect();
        Ok(rows.iter().filter_map(|row| found.remove(row)).collect())
    }

    /// Keeps an export that begins.
    pub(crate) async fn keep_export(&self, new: &NewExport<'_>) -> Result<(), IndexError> {
        let mut transaction = self.backend.begin(&self.pool).await?;
        sqlx::query(
            "INSERT INTO export (export, client, until_ms, spec, progress)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&new.id.0[..])
        .bind(&self.client_term(new.client)[..])
        .bind(signed(new.until_ms))
        .bind(self.seal_of(new.id, &[b"spec"], new.spec))
        .bind(self.seal_of(new.id, &[b"progress"], new.progress))
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// What is kept of an export.
    pub(crate) async fn export(&self, id: ExportId) -> Result<Option<KeptExport>, IndexError> {
        let found = sqlx::query("SELECT spec, progress FROM export WHERE export = $1")
            .bind(&id.0[..])
            .fetch_optional(&self.pool)
            .await?;
        let open = |row: AnyRow| -> Result<KeptExport, IndexError> {
            let spec = self.open_of(id, &[b"spec"], &row.try_get::<Vec<u8>, _>("spec")?)?;
            let progress: Vec<u8> = row.try_get("progress")?;
            Ok((spec, self.open_of(id, &[b"progress"], &progress)?))
        };
        found.map(open).transpose()
    }

    /// How many exports are kept, of a client and of all.
    pub(crate) async fn exports_of(&self, client: &str) -> Result<(usize, usize), IndexError> {
        let rows = sqlx::query("SELECT client FROM export").fetch_all(&self.pool).await?;
        let client = self.client_term(client);
        let mut own = 0;
        for row in &rows {
            own += usize::from(row.try_get::<Vec<u8>, _>("client")? == client);
        }
        Ok((own, rows.len()))
    }

    /// Keeps how far an export is, until when it is kept, and the pages that came to it. False if it was forgotten.
    pub(crate) async fn advance_export(
        &self,
        id: ExportId,
        (progress, until_ms): (&[u8], u64),
        pages: &[ExportPage],
    ) -> Result<bool, IndexError> {
        let mut transaction = self.backend.begin(&self.pool).await?;
        let done = sqlx::query("UPDATE export SET progress = $1, until_ms = $2 WHERE export = $3")
            .bind(self.seal_of(id, &[b"progress"], progress))
            .bind(signed(until_ms))
            .bind(&id.0[..])
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        for it in pages {
            let place = [it.file.to_be_bytes(), it.page.to_be_bytes()].concat();
            let lines = serde_json::to_vec(&it.lines).expect("numbers are JSON");
            sqlx::query(
                "INSERT INTO export_page (export, file, page, until_byte, body)
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(&id.0[..])
            .bind(i64::from(it.file))
            .bind(i64::from(it.page))
            .bind(signed(it.until_byte))
            .bind(self.seal_of(id, &[b"page", &place], &lines))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// The page of a file in which this byte is; nothing beyond its end, and of what was forgotten.
    pub(crate) async fn export_page(
        &self,
        id: ExportId,
        file: u32,
        byte: u64,
    ) -> Result<Option<ExportPage>, IndexError> {
        let found = sqlx::query(
            "SELECT page, until_byte, body FROM export_page
             WHERE export = $1 AND file = $2 AND until_byte > $3 ORDER BY page LIMIT 1",
        )
        .bind(&id.0[..])
        .bind(i64::from(file))
        .bind(signed(byte))
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = found else { return Ok(None) };
        let at: i64 = row.try_get("page")?;
        let page = u32::try_from(at).map_err(|_| IndexError::Damaged(at))?;
        let place = [file.to_be_bytes(), page.to_be_bytes()].concat();
        let body = self.open_of(id, &[b"page", &place], &row.try_get::<Vec<u8>, _>("body")?)?;
        let lines = serde_json::from_slice(&body).map_err(|_| IndexError::Damaged(at))?;
        let until_byte = unsigned(row.try_get("until_byte")?)?;
        Ok(Some(ExportPage { file, page, until_byte, lines }))
    }

    /// Forgets an export. False if it is none.
    pub(crate) async fn forget_export(&self, id: ExportId) -> Result<bool, IndexError> {
        Ok(self.forget_exports("export = $1", &id.0[..], None).await? > 0)
    }

    /// Forgets what was to be kept until now, in milliseconds since 1970: how many exports.
    pub(crate) async fn forget_exports_until(&self, now_ms: u64) -> Result<u64, IndexError> {
        // Whoever writes keeps others from it, and mostly there is nothing to write.
        let over = sqlx::query("SELECT 1 FROM export WHERE until_ms <= $1 LIMIT 1")
            .bind(signed(now_ms))
            .fetch_optional(&self.pool);
        if over.await?.is_none() {
            return Ok(0);
        }
        self.forget_exports("until_ms <= $1", &[], Some(signed(now_ms))).await
    }

    /// The exports that are kept.
    pub(crate) async fn exports(&self) -> Result<Vec<ExportId>, IndexError> {
        let rows = sqlx::query("SELECT export FROM export ORDER BY export").fetch_all(&self.pool);
        let id = |row: &AnyRow| -> Result<ExportId, IndexError> {
            let bytes: Vec<u8> = row.try_get("export")?;
            Ok(ExportId(bytes.try_into().map_err(|_| IndexError::Damaged(0))?))
        };
        rows.await?.iter().map(id).collect()
    }

    async fn forget_exports(
        &self,
        which: &'static str,
        term: &[u8],
        number: Option<i64>,
    ) -> Result<u64, IndexError> {
        let mut transaction = self.backend.begin(&self.pool).await?;
        let mut forgotten = 0;
        for statement in [
            format!(
                "DELETE FROM export_page WHERE export IN (SELECT export FROM export WHERE {which})"
            ),
            format!("DELETE FROM export WHERE {which}"),
        ] {
            let query = sqlx::query(AssertSqlSafe(statement));
            let query = match number {
                Some(number) => query.bind(number),
                None => query.bind(term),
            };
            forgotten = query.execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(forgotten)
    }

    fn client_term(&self, client: &str) -> Term {
        self.key.term(&[b"export client", client.as_bytes()])
    }

    fn seal_of(&self, id: ExportId, place: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        self.key.seal(&mut UnwrapErr(SysRng), &name_of(id, place), plain)
    }

    fn open_of(
        &self,
        id: ExportId,
        place: &[&[u8]],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, IndexError> {
        let opened = self.key.open(&name_of(id, place), sealed);
        opened.map_err(|error| IndexError::Sealed { row: 0, error })
    }
}

/// What stands in the place of a record's id for a part of an export, so that no part stands for another.
fn name_of(id: ExportId, place: &[&[u8]]) -> RecordId {
    let parts: Vec<&[u8]> = [&id.0[..]].into_iter().chain(place.iter().copied()).collect();
    RecordId(digest("keepwell/gateway/export/v1", &parts).0)
}

fn places(from: usize, count: usize) -> String {
    let all: Vec<_> = (from..from + count).map(|at| format!("${at}")).collect();
    all.join(", ")
}
