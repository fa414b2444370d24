//! An asynchronous IMAP client library.
//!
//! Typed calls for the commands of IMAP4rev1 and IMAP4rev2 and their common extensions, on the
//! lenient half of [`restante_proto::client`], so that it gets along with the servers that exist.
//! It needs a tokio runtime. It does not pool connections, keep a cache or retry.
//!
//! ```no_run
//! use restante_client::{Client, Tls};
//! use restante_client::types::{FetchAttribute, MessageSet, SearchKey, SeqSet};
//!
//! # async fn example() -> restante_client::Result<()> {
//! let roots = std::fs::read("/etc/ssl/certs/ca-certificates.crt")?;
//! let tls = Tls::with_roots(&roots)?;
//! let mut client = Client::connect_tls("imap.example.org:993", "imap.example.org", &tls).await?;
//! client.login("joe", "secret").await?;
//! let inbox = client.select("INBOX").await?;
//! println!("{} messages", inbox.exists);
//! let unseen = client.search(SearchKey::Unseen).await?.numbers();
//! println!("{} of them not read", unseen.len());
//! let messages = MessageSet::Seq(SeqSet::all());
//! for message in client.fetch(messages, vec![FetchAttribute::Envelope]).await? {
//!     println!("{:?}", message.envelope().and_then(|envelope| envelope.subject.as_deref()));
//! }
//! let mut idle = client.idle().await?;
//! println!("news: {:?}", idle.next().await?);
//! idle.done().await?;
//! client.logout().await
//! # }
//! ```
//!
//! - A local cache that QRESYNC keeps in sync, in one screen: `examples/cache.rs`.
//! - Extensions have calls of their own (SORT, THREAD, NOTIFY, COMPRESS, CATENATE, ACL, QUOTA, METADATA, …); options of
//!   commands are in their types: PARTIAL in [`SearchReturn`](types::SearchReturn), say.
//! - Commands without a call of their own: [`Client::run`] with any
//!   [`CommandBody`](types::CommandBody).
//! - Several commands under way at once: [`Client::start`] and [`Client::finish`].
//! - What no command asked for: [`Client::take_unsolicited`] or [`Client::on_unsolicited`].
//! - Large messages: [`Client::append_from`] reads them while it sends,
//!   [`Client::fetch_stream`] gives them in chunks.
//! - For tests of servers: [`Client::over`] any stream with [`Mode::Strict`], and
//!   [`Client::send_raw`] with [`Client::read_response`].

// `Client::own` takes data by value and gives back what is not wanted: that is no error.
#![allow(clippy::result_large_err)]

mod acl;
mod append;
mod client;
mod connection;
mod deflate;
mod error;
mod idle;
mod international;
mod live;
mod login;
mod mailboxes;
mod messages;
mod metadata;
mod quota;
mod tls;
mod url_auth;

pub use restante_proto::client::{AppendMessage, Catenated, Mode, ResponseLimits};
pub use restante_proto::types;

pub use acl::ListedRights;
pub use append::{AppendFrom, AppendUid};
pub use client::{Client, ClientOptions, MessageLimit, Reply, Started, Untagged};
pub use connection::Io;
pub use error::{Error, Refusal, Result};
pub use idle::Idle;
pub use international::Comparators;
pub use live::LiveResult;
pub use mailboxes::Selected;
pub use messages::{FetchEvent, FetchStream, Fetched, Found, Gone, Sorted, Stored};
pub use quota::QuotaRoot;
pub use tls::Tls;
