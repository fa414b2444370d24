//! IDLE (RFC 2177, RFC 9051 §6.3.13).

use restante_proto::types::CommandBody;

use crate::client::{Client, Started, Untagged};
use crate::connection::Incoming;
use crate::error::{Error, Result};

/// A running IDLE: what the server tells, as it tells it. Dropped, it ends with the next command.
#[derive(Debug)]
pub struct Idle<'a> {
    client: &'a mut Client,
    started: Started,
}

impl Client {
    /// IDLE: the server tells what is new by itself until [`Idle::done`]. Servers may end sessions
    /// that are silent for 30 minutes: end it and begin anew before that (RFC 9051 §6.3.13).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn idle(&mut self) -> Result<Idle<'_>> {
        let started = self.start(CommandBody::Idle).await?;
        drop(self.wait_for_continuation(&started.tag).await?);
        self.idling = true;
        Ok(Idle {
            client: self,
            started,
        })
    }
}

impl Idle<'_> {
    /// The next thing that the server tells. Safe to cancel, so it can stand in a `select!` or a
    /// timeout.
    ///
    /// # Errors
    /// The connection ended, or the server ended the IDLE.
    pub async fn next(&mut self) -> Result<Untagged> {
        loop {
            let (own, done) = self.client.progress(&self.started.tag);
            let mut own = own.into_iter();
            if let Some(first) = own.next() {
                // One response is accepted at a time; more can only be there at the start.
                self.client.put_back(&self.started.tag, own);
                return Ok(first);
            }
            if done {
                self.client.idling = false;
                drop(self.client.finish(self.started.clone()).await?);
                return Err(Error::Protocol("the server ended IDLE"));
            }
            if let Incoming::Response(response) = self.client.incoming().await? {
                // A second continuation request means nothing here.
                drop(self.client.accept(response));
            }
        }
    }

    /// Ends the IDLE. What came in the meantime is unsolicited data.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn done(self) -> Result<()> {
        if std::mem::take(&mut self.client.idling) {
            self.client.connection.queue(b"DONE\r\n");
        }
        let reply = self.client.finish(self.started.clone()).await?;
        reply
            .untagged
            .into_iter()
            .for_each(|untagged| self.client.deliver(untagged));
        Ok(())
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        // After `done` this finds nothing.
        self.client.abandon(&self.started.tag);
    }
}
