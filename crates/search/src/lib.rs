//! Text matching, collation and threading of messages: pure functions, no store, no session.
//!
//! [`Collation`] says how SEARCH, SORT and THREAD compare (RFC 9051 §6.4.4, RFC 5255 §4.6), mostly by
//! `i;unicode-casemap` (RFC 5051), which is [`fold`]; [`Needle`] and [`Scan`] find a string in text of any length with
//! bounded memory; [`envelope_text`] reads the fields of a kept ENVELOPE; [`order`]
//! sorts by several criteria; [`thread`] builds the trees of RFC 5256.

mod casemap;
mod collation;
mod envelope;
mod needle;
mod sort;
pub mod thread;

pub use casemap::{fold, folded};
pub use collation::Collation;
pub use envelope::{EnvelopeField, envelope_text};
pub use needle::{Needle, Scan};
pub use sort::{Column, Texts, order};
