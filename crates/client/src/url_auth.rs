//! URLs that let others read one message or part of it (RFC 4467).

use bytes::Bytes;
use restante_proto::types::{Atom, CommandBody, MailboxName, UntaggedData, UrlContent, UrlFetch};

use crate::client::Client;
use crate::error::{Error, Result};

impl Client {
    /// GENURLAUTH (RFC 4467 §7): authorizes URLs such as
    /// `imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+joe`, by the mechanism INTERNAL.
    ///
    /// # Errors
    /// As [`run`](Self::run): BAD if the server does not take one of them.
    pub async fn authorize_urls(&mut self, urls: &[&str]) -> Result<Vec<String>> {
        let mechanism = Atom::new("INTERNAL").ok_or(Error::Misuse("no mechanism"))?;
        let urls = urls.iter();
        let urls = urls.map(|url| (url.as_bytes().to_vec(), mechanism.clone()));
        let reply = self.run(CommandBody::GenUrlAuth(urls.collect())).await?;
        let told = self.own(reply.untagged, |data| match data {
            UntaggedData::GenUrlAuth(urls) => Ok(urls),
            other => Err(other),
        });
        let text = |url: &Vec<u8>| String::from_utf8_lossy(url).into_owned();
        Ok(told.iter().flatten().map(text).collect())
    }

    /// RESETKEY (RFC 4467 §7): takes back all that was authorized in a mailbox, or in all.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn reset_url_key(&mut self, mailbox: Option<&str>) -> Result<()> {
        self.simple(CommandBody::ResetKey {
            mailbox: mailbox.map(MailboxName::new),
            mechanisms: Vec::new(),
        })
        .await
    }

    /// URLFETCH (RFC 4467 §7): what authorized URLs name, in their order; `None` where the server gives
    /// nothing for one.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn fetch_urls(&mut self, urls: &[&str]) -> Result<Vec<Option<Bytes>>> {
        let wanted = urls.iter().map(|url| UrlFetch::simple(*url));
        let found = self.fetch_urls_with(wanted.collect()).await?;
        let octets = found.into_iter().map(|content| match content {
            UrlContent::Plain(data) => data.map(Bytes::from),
            UrlContent::Items { .. } => None,
        });
        Ok(octets.collect())
    }

    /// URLFETCH with the structure of parts, or decoded (RFC 5524 §3): what each URL names, in their order.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn fetch_urls_with(&mut self, wanted: Vec<UrlFetch>) -> Result<Vec<UrlContent>> {
        let urls: Vec<Vec<u8>> = wanted.iter().map(|wanted| wanted.url.clone()).collect();
        let reply = self.run(CommandBody::UrlFetch(wanted)).await?;
        let told = self.own(reply.untagged, |data| match data {
            UntaggedData::UrlFetch(urls) => Ok(urls),
            other => Err(other),
        });
        let mut told: Vec<_> = told.into_iter().flatten().collect();
        let mut found = Vec::with_capacity(urls.len());
        for url in urls {
            let at = told.iter().position(|told| told.url == url);
            let content = at.map(|at| told.swap_remove(at).content);
            found.push(content.unwrap_or(UrlContent::Plain(None)));
        }
        Ok(found)
    }
}
