//! Any state and not authenticated: CAPABILITY, ID, STARTTLS, LOGIN, AUTHENTICATE, LOGOUT.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_auth::sasl::ScramHash;
use restante_auth::sasl::client::{ClientError, ClientMechanism, OneMessage, ScramClient};
use restante_proto::types::{Atom, Authenticate, CommandBody, IdParameters, Secret, UntaggedData};

use crate::client::{Client, Reply, Started, Untagged};
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
            drop(self.own(reply.untagged, |data| match data {
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
        let ids = self.own(reply.untagged, |data| match data {
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
        let (encrypted, channel) = tls.connect(plain, server_name).await?;
        drop(self.connection.replace_io(encrypted));
        self.channel = channel;
        Ok(())
    }

    /// COMPRESS DEFLATE (RFC 4978): from here on both sides compress. Once, and after STARTTLS if that is to come.
    ///
    /// # Errors
    /// As [`run`](Self::run); what the server sends then is no DEFLATE.
    pub async fn compress(&mut self) -> Result<()> {
        self.change_layer(CommandBody::CompressDeflate).await?;
        self.connection.start_deflate()
    }

    /// UNAUTHENTICATE (RFC 8437): the connection is as before the login, for another user. What was enabled and
    /// compression are off.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn unauthenticate(&mut self) -> Result<()> {
        let told = self.capabilities_told();
        self.change_layer(CommandBody::Unauthenticate).await?;
        self.connection.end_deflate();
        self.connection.mode = self.connection.mode.with_utf8(false);
        if self.capabilities_told() == told {
            self.forget_capabilities();
        }
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
        let mut mechanism = OneMessage::plain("", user, password);
        self.authenticate_with(&mut mechanism).await
    }

    /// AUTHENTICATE with the strongest of SCRAM that the server offers (RFC 5802, RFC 7677), bound to
    /// the TLS connection where it can be. The password is not sent, and the server has to show that
    /// it knows it, too.
    ///
    /// ```no_run
    /// # async fn example() -> restante_client::Result<()> {
    /// use restante_client::{Client, Tls};
    /// let tls = Tls::with_roots(&std::fs::read("/etc/ssl/certs/ca-certificates.crt")?)?;
    /// let mut client = Client::connect_tls(("mail.example.org", 993), "mail.example.org", &tls).await?;
    /// client.authenticate_scram("ada", "correct horse").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`login`](Self::login); [`Error::Sasl`] if the server is not the one that knows the password;
    /// [`Error::Misuse`] if it offers no SCRAM.
    pub async fn authenticate_scram(&mut self, user: &str, password: &str) -> Result<()> {
        self.capabilities().await?;
        let can_bind = self.channel.can_bind();
        let offered = |client: &Self, hash: ScramHash, end: &str| {
            client.has(&format!("AUTH={}{end}", hash.mechanism()))
        };
        let bound = ScramHash::ALL
            .into_iter()
            .find(|hash| can_bind && offered(self, *hash, "-PLUS"));
        let plain = ScramHash::ALL
            .into_iter()
            .find(|hash| offered(self, *hash, ""));
        let mut mechanism = match (bound, plain) {
            (Some(hash), _) => ScramClient::new(hash, true, user, password, &self.channel)?,
            (None, Some(hash)) => {
                let mechanism = ScramClient::new(hash, false, user, password, &self.channel)?;
                match can_bind {
                    true => mechanism.could_bind(),
                    false => mechanism,
                }
            }
            (None, None) => return Err(Error::Misuse("the server offers no SCRAM")),
        };
        self.authenticate_with(&mut mechanism).await
    }

    /// AUTHENTICATE OAUTHBEARER (RFC 7628) with an access token; `user` may be empty.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub async fn authenticate_oauth_bearer(&mut self, user: &str, token: &str) -> Result<()> {
        let mut mechanism = OneMessage::oauth_bearer(user, token);
        self.authenticate_with(&mut mechanism).await
    }

    /// AUTHENTICATE XOAUTH2, for servers that have no OAUTHBEARER.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub async fn authenticate_xoauth2(&mut self, user: &str, token: &str) -> Result<()> {
        let mut mechanism = OneMessage::xoauth2(user, token);
        self.authenticate_with(&mut mechanism).await
    }

    /// AUTHENTICATE EXTERNAL (RFC 4422 appendix A): as the one whom the client's certificate names, or
    /// as `user`, if it is not empty.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub async fn authenticate_external(&mut self, user: &str) -> Result<()> {
        self.authenticate_with(&mut OneMessage::external(user))
            .await
    }

    /// AUTHENTICATE ANONYMOUS (RFC 4505), with a word of who it is.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub async fn authenticate_anonymous(&mut self, trace: &str) -> Result<()> {
        self.authenticate_with(&mut OneMessage::anonymous(trace))
            .await
    }

    /// AUTHENTICATE with any mechanism. A success that comes before the mechanism is satisfied, as from
    /// a server that did not prove itself, is an error.
    ///
    /// # Errors
    /// As [`login`](Self::login); [`Error::Sasl`].
    pub async fn authenticate_with(&mut self, mechanism: &mut dyn ClientMechanism) -> Result<()> {
        let Some(name) = Atom::new(mechanism.name()) else {
            return Err(Error::Misuse("the mechanism's name is no atom"));
        };
        self.capabilities().await?;
        let mut first = Some(Secret::new(mechanism.step(b"")?));
        let at_once = self.has("SASL-IR") || self.has("IMAP4rev2");
        let told = self.capabilities_told();
        let started = self
            .start(CommandBody::Authenticate(Authenticate {
                mechanism: name,
                initial_response: first.take_if(|_| at_once),
            }))
            .await?;
        let reply = loop {
            let challenge = match self.finish_or_challenge(&started.tag).await? {
                Ok(reply) => break reply,
                Err(challenge) => challenge,
            };
            let response = match first.take() {
                Some(first) => Ok(first),
                None => match STANDARD.decode(&challenge) {
                    Ok(challenge) => mechanism.step(&challenge).map(Secret::new),
                    Err(_) => Err(ClientError::Malformed),
                },
            };
            match response {
                Ok(response) => {
                    let line = Secret::new(STANDARD.encode(response.expose()).into_bytes());
                    self.connection.queue(line.expose());
                    self.connection.queue(b"\r\n");
                }
                Err(error) => {
                    // RFC 9051 §6.2.2: the client gives up; the server's BAD is no news.
                    self.connection.queue(b"*\r\n");
                    return match self.finish_or_challenge(&started.tag).await {
                        Err(Error::Bad(_) | Error::No(_)) => Err(error.into()),
                        Err(other) => Err(other),
                        Ok(_) => Err(Error::Protocol("a cancelled login succeeded")),
                    };
                }
            }
        };
        if !mechanism.is_done() {
            return Err(Error::Protocol(
                "the server did not prove that it knows the password",
            ));
        }
        self.after_login(reply, told).await
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
        self.after_login(reply, told).await
    }

    async fn after_login(&mut self, reply: Reply, told: u64) -> Result<()> {
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

    /// As `simple`, for a command after which octets mean something else: a call that is dropped before its answer
    /// leaves a connection that cannot be used.
    async fn change_layer(&mut self, body: CommandBody) -> Result<()> {
        let started = self.start(body).await?;
        self.broken = true;
        let reply = self.finish(started).await;
        self.broken = false;
        let untagged = reply?.untagged;
        untagged.into_iter().for_each(|one| self.deliver(one));
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
