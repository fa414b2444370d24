//! PostgreSQL, over connections that are kept.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Config, Statement};
use tokio_rustls::TlsConnector;

use super::{Query, Row, means_yes};
use crate::config::UserSource;
use crate::sources::pool::Pool;
use crate::sources::{Down, UserName};

/// Silence before a connection is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

pub(super) struct Postgres {
    config: Config,
    tls: Tls,
    query: Query,
    pool: Pool<Connection>,
}

/// A connection with the query prepared.
struct Connection {
    client: Client,
    statement: Statement,
}

impl Postgres {
    pub(super) fn new(configured: &UserSource) -> Result<Postgres, String> {
        let mut config = parse(configured.database())?;
        if let Some(password) = configured.password()? {
            config.password(password.expose());
        }
        let tls = configured.tls.unwrap_or_else(|| !is_here(&config));
        config.ssl_mode(match tls {
            true => SslMode::Require,
            false => SslMode::Disable,
        });
        config.application_name("restante");
        config.keepalives_idle(KEEPALIVE);
        let trusted = crate::http::client_tls(configured.ca_file())?;
        Ok(Postgres {
            config,
            tls: Tls(TlsConnector::from(trusted)),
            query: Query::parse(configured.query(), '$')?,
            pool: Pool::new(configured.connections()),
        })
    }

    pub(super) async fn find(&self, name: UserName<'_>) -> Result<Option<Row>, Down> {
        let _permit = self.pool.permit().await?;
        // One that was kept may have been closed meanwhile, when the database was started again.
        while let Some(connection) = self.pool.take() {
            if connection.client.is_closed() {
                continue;
            }
            match self.ask(&connection, name).await {
                Err(error) if is_lost(&error) || connection.client.is_closed() => {}
                answer => return self.keep(connection, answer),
            }
        }
        let connection = self.connect().await?;
        let answer = self.ask(&connection, name).await;
        self.keep(connection, answer)
    }

    fn keep(
        &self,
        connection: Connection,
        answer: Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>,
    ) -> Result<Option<Row>, Down> {
        let lost = answer.as_ref().is_err_and(is_lost);
        if !lost && !connection.client.is_closed() {
            self.pool.put(connection);
        }
        match &answer.map_err(|error| Down(text(&error)))?[..] {
            [] => Ok(None),
            [row] => read(row).map(Some),
            _ => Err(Down("the query finds several users".to_owned())),
        }
    }

    async fn connect(&self) -> Result<Connection, Down> {
        let connected = self.config.connect(self.tls.clone()).await;
        let (client, connection) = connected.map_err(|error| self.pool.failed(text(&error)))?;
        // Ends when the client is dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = text(&error), "connection to PostgreSQL lost");
            }
        });
        // A query that is wrong, or a table that is not there: not a matter of the connection.
        let statement = client.prepare(&self.query.text).await;
        let statement = statement.map_err(|error| Down(text(&error)))?;
        Ok(Connection { client, statement })
    }

    async fn ask(
        &self,
        connection: &Connection,
        name: UserName<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
        let values = self.query.values(name);
        let values: Vec<_> = values.iter().map(|v| v as &(dyn ToSql + Sync)).collect();
        connection
            .client
            .query(&connection.statement, &values)
            .await
    }
}

/// Whether the connection is of no use any more: closed, or the server is going down or coming up (SQLSTATE
/// classes 08 and 57P).
fn is_lost(error: &tokio_postgres::Error) -> bool {
    let state = error.code().map(|state| state.code());
    error.is_closed()
        || state.is_some_and(|state| state.starts_with("57P") || state.starts_with("08"))
}

/// The settings of a connection, by a URL or as words.
pub(super) fn parse(database: &str) -> Result<Config, String> {
    if database.contains("sslmode") {
        return Err("has sslmode: `tls` says it, true or false".to_owned());
    }
    let config: Config = database
        .parse()
        .map_err(|error| format!("is no database: {}", text(&error)))?;
    match config.get_hosts().is_empty() {
        true => Err("names no host: host=/run/postgresql is the local one".to_owned()),
        false => Ok(config),
    }
}

/// Whether what is sent does not leave this machine.
fn is_here(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse()
                    .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
    })
}

/// The error with its cause, which is where the reason stands.
fn text(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn read(row: &tokio_postgres::Row) -> Result<Row, Down> {
    let column = |name: &str| {
        let columns = row.columns().iter();
        let mut columns = columns.enumerate();
        let found = columns.find(|(_, column)| column.name().eq_ignore_ascii_case(name));
        found.map(|(index, _)| index)
    };
    let text = |column: usize| {
        let value = row.try_get::<_, Option<String>>(column);
        value.map_err(|error| Down(text(&error)))
    };
    let password =
        column("password").ok_or_else(|| Down("the query has no column `password`".to_owned()))?;
    let disabled = match column("disabled") {
        None => false,
        Some(column) => {
            let value = row.try_get::<_, Option<Flag>>(column);
            let value = value.map_err(|error| Down(self::text(&error)))?;
            value.is_some_and(|Flag(yes)| yes)
        }
    };
    Ok(Row {
        stored: text(password)?.map(Into::into),
        user: column("user").map(text).transpose()?.flatten(),
        disabled,
    })
}

/// Yes or no, in any of the types that people use for it.
struct Flag(bool);

impl FromSql<'_> for Flag {
    fn from_sql(kind: &Type, raw: &[u8]) -> Result<Flag, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Flag(match *kind {
            Type::BOOL => bool::from_sql(kind, raw)?,
            // Big-endian numbers, whatever their width.
            Type::INT2 | Type::INT4 | Type::INT8 => raw.iter().any(|byte| *byte != 0),
            _ => means_yes(<&str>::from_sql(kind, raw)?),
        }))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::BOOL | Type::INT2 | Type::INT4 | Type::INT8)
            || <&str as FromSql<'_>>::accepts(kind)
    }
}

/// TLS with the certificate checked.
#[derive(Clone)]
struct Tls(TlsConnector);

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = TlsStream<S>;
    type TlsConnect = TlsTo;
    type Error = std::convert::Infallible;

    /// Called for every host, also where no TLS will be used and there is no name.
    fn make_tls_connect(&mut self, host: &str) -> Result<TlsTo, Self::Error> {
        Ok(TlsTo(self.0.clone(), host.to_owned()))
    }
}

struct TlsTo(TlsConnector, String);

impl<S> TlsConnect<S> for TlsTo
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = TlsStream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsStream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let TlsTo(connector, host) = self;
        Box::pin(async move {
            let host = ServerName::try_from(host).map_err(io::Error::other)?;
            let stream = connector.connect(host, stream).await?;
            Ok(TlsStream(Box::new(stream)))
        })
    }
}

struct TlsStream<S>(Box<tokio_rustls::client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> tokio_postgres::tls::TlsStream for TlsStream<S> {
    /// The certificate is checked against the host's name; a binding would add little.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tls_is_wanted() {
        for (database, here) in [
            ("host=/run/postgresql dbname=mail", true),
            ("postgresql://restante@localhost/mail", true),
            ("postgresql://restante@127.0.0.1,[::1]/mail", true),
            ("postgresql://restante@db.example.org/mail", false),
            ("host=localhost,db.example.org", false),
        ] {
            assert_eq!(is_here(&parse(database).unwrap()), here, "{database}");
        }
        for wrong in [
            "",
            "dbname=mail",
            "mysql://x/y",
            "postgresql://h/d?sslmode=prefer",
            "no=such",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
