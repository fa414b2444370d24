//! Languages and comparators (RFC 5255).

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
    /// LANGUAGE (RFC 5255 §3.2): the server answers people in the first that it has of these languages
    /// (`de-AT`, say), and the tag of that one is returned. Without any: the tags of all that it has.
    ///
    /// # Errors
    /// As [`run`](Self::run): NO if it has none of them.
    pub async fn language(&mut self, ranges: &[&str]) -> Result<Vec<String>> {
        let ranges = ranges.iter().map(|range| range.as_bytes().to_vec());
        let reply = self.run(CommandBody::Language(ranges.collect())).await?;
        let told = self.own(reply.untagged, |data| match data {
            UntaggedData::Language(tags) => Ok(tags),
            other => Err(other),
        });
        let tags = told.into_iter().next_back();
        let tags = tags.ok_or(Error::Protocol("no LANGUAGE response"))?;
        let text = |tag: &Vec<u8>| String::from_utf8_lossy(tag).into_owned();
        Ok(tags.iter().map(text).collect())
    }

    /// COMPARATOR (RFC 5255 §4.7): chooses the first that there is of these names, which can have `*` in
    /// them, or asks for the one in use.
    ///
    /// # Errors
    /// As [`run`](Self::run): NO with BADCOMPARATOR if there is none of them.
    pub async fn comparator(&mut self, names: &[&str]) -> Result<Comparators> {
        let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let reply = self.run(CommandBody::Comparator(names)).await?;
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        let told = self.own(reply.untagged, |data| match data {
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
