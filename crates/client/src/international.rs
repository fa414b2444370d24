//! Comparators (RFC 5255).

use restante_proto::types::{CommandBody, UntaggedData};

use crate::client::Client;
use crate::error::{Error, Result};

/// What a server compares texts by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparators {
    /// The one in use: `i;unicode-casemap`, say.
    pub active: String,
    /// All that were meant by what was asked for, if it was more than one.
    pub matching: Vec<String>,
}

impl Client {
    /// COMPARATOR (RFC 5255 §4.7): chooses the first that there is of these names, which can have `*` in
    /// them, or asks for the one in use.
    ///
    /// # Errors
    /// As [`run`](Self::run): NO with BADCOMPARATOR if there is none of them.
    pub async fn comparator(&mut self, names: &[&str]) -> Result<Comparators> {
        let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let reply = self.run(CommandBody::Comparator(names)).await?;
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        let told = self.sort(reply.untagged, |data| match data {
            UntaggedData::Comparator { active, matching } => Ok(Comparators {
                active: text(active),
                matching: matching.into_iter().map(text).collect(),
            }),
            other => Err(other),
        });
        told.into_iter()
            .next_back()
            .ok_or(Error::Protocol("no COMPARATOR response"))
    }
}
