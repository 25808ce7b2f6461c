//! FHIR R4 search: a query read, answered over resources in memory, and written out again.
//!
//! Records are sealed, so no database can look into them. Whoever may open a chart opens it, and filters what
//! came out: that is this module. It knows nothing of keys; it says which patients a query is confined to
//! ([`Query::patients`]), so that a query that would need keys nobody granted can be refused before anything is
//! opened.
//!
//! ```text
//! ?name=..&_sort=..  -- decode -- parse -->  Query  -- patients() --> whose charts must be open
//!                                              |
//!        resource -- keys() --> index <--- probes()        may leave out what cannot match
//!                                              |
//!        resources --> Pool -------------- select, sort, include --> which, in which order
//!                                              |
//!                                            shape --> exact bytes, or a part of them marked SUBSETTED
//! ```
//!
//! # Invariants
//!
//! * What is served is one table, [`table`]: nothing is answered that it does not list, and all that it lists is
//!   answered. A modifier or chain that cannot be answered truly is refused.
//! * An unknown parameter is an error in strict handling, and in lenient handling is told in
//!   [`Query::ignored`] and left out of [`Query::canonical`]. A value that cannot be read is always an error.
//! * An index hit is a superset of matches: what matches a query has, for each group of its probes, a key that
//!   one of them hits.
//! * Numbers are compared as exact decimals, and nothing is compared as a database would: a value is only a value.
//! * A query's cost is bounded: its pairs, values, clauses and chains have limits, and answering it is linear in
//!   the resources for each clause.
//!
//! Not here: the server's paging and links, which need a snapshot; conversion between units, and terminology
//! (`:in`, `:not-in`, and `:above` and `:below` of codes), which need a service and are refused; `_text`,
//! `_content`, `_filter`, `_list`, `_query`, `_contained` and `_score`; matching inside contained resources;
//! phone numbers written otherwise. Times without a zone are read as UTC.

mod criterion;
mod decimal;
mod elements;
mod error;
pub mod form;
mod index;
mod path;
mod pool;
mod query;
pub mod read;
mod reference;
pub mod shape;
mod span;
pub mod table;
pub(crate) mod text;

pub use error::SearchError;
pub use index::{KEY_BYTES_MAX, KEYS_MAX, Key, Probe, keys};
pub use pool::{Entry, Included, Pool};
pub use query::{Handling, Options, Query, Total};
