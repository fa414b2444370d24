//! Any state and not authenticated: CAPABILITY, ID, STARTTLS, LOGIN, AUTHENTICATE, LOGOUT.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_proto::types::{Atom, Authenticate, CommandBody, IdParameters, Secret, UntaggedData};

use crate::client::{Client, Started, Untagged};
use crate::connection::Io;
use crate::error::{Error, Result};
use crate::tls::Tls;

impl Client {
    /// What the server can do, asked if it has not said so by itself (RFC 9051 §6.1.1).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn capabilities(&mut self) -> Result<&[String]> {
        if !self.knows_capabilities() {
            let reply = self.run(CommandBody::Capability).await?;
            drop(self.sort(reply.untagged, |data| match data {
                UntaggedData::Capability(_) => Ok(()),
                other => Err(other),
            }));
        }
        Ok(self.known_capabilities())
    }

    /// NOOP: lets the server say what is new (RFC 9051 §6.1.2). It is unsolicited data.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn noop(&mut self) -> Result<()> {
        self.simple(CommandBody::Noop).await
    }

    /// LOGOUT, and the end of the connection (RFC 9051 §6.1.3).
    ///
    /// # Errors
    /// The connection failed before the server's answer.
    pub async fn logout(mut self) -> Result<()> {
        match self.run(CommandBody::Logout).await {
            // Some servers close after BYE without the tagged response.
            Ok(_) | Err(Error::Bye { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// ID: says who this is, and asks who the server is (RFC 2971).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn id(&mut self, parameters: IdParameters) -> Result<IdParameters> {
        let reply = self.run(CommandBody::Id(parameters)).await?;
        let ids = self.sort(reply.untagged, |data| match data {
            UntaggedData::Id(parameters) => Ok(parameters),
            other => Err(other),
        });
        Ok(ids.into_iter().next_back().flatten())
    }

    /// STARTTLS (RFC 9051 §6.2.1). What the server said about itself before is forgotten.
    ///
    /// # Errors
    /// As [`run`](Self::run); the handshake fails; the server sent something between its OK
    /// and the handshake, which an attacker may have put there.
    pub async fn starttls(&mut self, server_name: &str, tls: &Tls) -> Result<()> {
        self.simple(CommandBody::StartTls).await?;
        if self.connection.has_pending() {
            return Err(Error::Protocol(
                "there is data between STARTTLS and the handshake",
            ));
        }
        self.forget_capabilities();
        let (hole, _) = tokio::io::duplex(1);
        let plain: Box<dyn Io> = self.connection.replace_io(Box::new(hole));
        let encrypted = tls.connect(plain, server_name).await?;
        drop(self.connection.replace_io(encrypted));
        Ok(())
    }

    /// LOGIN (RFC 9051 §6.2.3). If the server does not tell its capabilities with its answer,
    /// they are asked for.
    ///
    /// # Errors
    /// As [`run`](Self::run); [`Error::No`] if the server does not know this user and password.
    pub async fn login(&mut self, user: &str, password: &str) -> Result<()> {
        let password = Secret::new(password.as_bytes().to_vec());
        let user = user.as_bytes().to_vec();
        self.authenticated(CommandBody::Login { user, password })
            .await
    }

    /// AUTHENTICATE PLAIN (RFC 4616), in one round if the server can (SASL-IR, IMAP4rev2).
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub async fn authenticate_plain(&mut self, user: &str, password: &str) -> Result<()> {
        let response = format!("\0{user}\0{password}").into_bytes();
        self.authenticate("PLAIN", response).await
    }

    /// AUTHENTICATE with a mechanism of one message from the client, such as PLAIN, EXTERNAL,
    /// XOAUTH2 and OAUTHBEARER.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub async fn authenticate(&mut self, mechanism: &str, response: Vec<u8>) -> Result<()> {
        let Some(mechanism) = Atom::new(mechanism) else {
            return Err(Error::Misuse("the mechanism's name is no atom"));
        };
        self.capabilities().await?;
        let at_once = self.has("SASL-IR") || self.has("IMAP4rev2");
        let response = Secret::new(response);
        if at_once {
            let initial_response = Some(response);
            let body = CommandBody::Authenticate(Authenticate {
                mechanism,
                initial_response,
            });
            return self.authenticated(body).await;
        }
        let body = CommandBody::Authenticate(Authenticate {
            mechanism,
            initial_response: None,
        });
        let told = self.capabilities_told();
        let started = self.start(body).await?;
        drop(self.wait_for_continuation(&started.tag).await?);
        self.connection
            .queue(STANDARD.encode(response.expose()).as_bytes());
        self.connection.queue(b"\r\n");
        self.finish_login(started, told).await
    }

    async fn authenticated(&mut self, body: CommandBody) -> Result<()> {
        let told = self.capabilities_told();
        let started = self.start(body).await?;
        self.finish_login(started, told).await
    }

    /// What a server can do changes with the login: it is asked unless it has told since then.
    async fn finish_login(&mut self, started: Started, told: u64) -> Result<()> {
        let reply = self.finish_or_answer(started).await?;
        reply
            .untagged
            .into_iter()
            .for_each(|untagged| match untagged {
                Untagged::Data(UntaggedData::Capability(_)) => {}
                other => self.deliver(other),
            });
        if self.capabilities_told() == told {
            self.forget_capabilities();
            self.capabilities().await?;
        }
        Ok(())
    }

    pub(crate) async fn simple(&mut self, body: CommandBody) -> Result<()> {
        let reply = self.run(body).await?;
        reply
            .untagged
            .into_iter()
            .for_each(|untagged| self.deliver(untagged));
        Ok(())
    }
}
