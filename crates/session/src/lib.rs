//! IMAP semantics of one connection: states, view, commands; no sockets.
//!
//! The server hands a byte stream to [`serve`] and gets nothing back until the session is over. What
//! a session needs of the world is in [`Env`]: the mail, who may log in, limits.
//!
//! # The way of a command
//!
//! ```text
//! bytes -> wire (frame, decode) -> table (allowed here? may it write?) -> cmd/<name>.rs
//!       -> view.resolve (numbers to UIDs) -> one snapshot or one transaction -> out
//!       -> sync point (what changed, told as untagged lines) -> tagged answer
//! ```
//!
//! One command at a time, to completion. Nothing is locked while the client is written to.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `serve.rs` | the loop: input, IDLE, timeouts, the tagged answer and the sync point before it |
//! | `conn.rs`, `wire.rs` | bytes in and out; the protocol crate's framer, decoder and encoder |
//! | `partial.rs` | pages of results (PARTIAL) |
//! | `place.rs` | whose mailbox a name is, and what this user may do with it |
//! | `notify.rs` | what NOTIFY asked for, other mailboxes than the selected one |
//! | `deflate.rs` | the compression layer of COMPRESS |
//! | `table.rs` | one row for each command: states, whether expunges may be told, whether it writes |
//! | `state.rs` | `State`, `Login`, `Selected`, `Writable` |
//! | `view.rs` | sequence numbers: snapshot plus ghosts, `*`, `$`; nothing else knows them |
//! | `sync.rs` | differences of snapshots as EXISTS, EXPUNGE, VANISHED, FETCH |
//! | `enabled.rs` | what IMAP4rev2, UTF8=ACCEPT, CONDSTORE and QRESYNC change |
//! | `capability.rs` | the capability words and when they hold |
//! | `switch.rs` | what each word allows, so that one that is off is refused |
//! | `reply.rs` | every error as NO, BAD or BYE with its response code |
//! | `convert.rs` | names, ids and dates between `proto` and `mailbox` |
//! | `language/` | the languages of texts, and their catalogue |
//! | `flags.rs` | flag words as text |
//! | `url.rs` | IMAP URLs of messages and their parts |
//! | `cmd/` | one file for each command |
//!
//! # Adding a command
//!
//! 1. Its row in `table.rs`. The match there is exhaustive, so it exists as soon as the protocol crate
//!    knows the command: check that the row says the right thing.
//! 2. `cmd/<name>.rs` with `pub(crate) async fn run(cx: &mut Cx, …, args) -> Outcome`, and its line in
//!    `cmd/mod.rs`. Ask for the state that you need as a type: `state.login()?` gives a `&Login`,
//!    `state.selected()?` a `(&Login, &mut Selected)`, `state.writable()?` a `Writable`.
//! 3. Return `Ok(Reply::ok("NAME completed"))`, with `.code(…)` if it has a response code. Errors: `?`
//!    on a `MailError` gives the right NO (`reply.rs`); `try_create` where the missing mailbox is a
//!    destination; `client_bug(…)` for BAD.
//! 4. Untagged data: `cx.data(&UntaggedData::…)` for single things; for many rows write into
//!    `cx.conn.out()` and call `cx.conn.flush_if_large().await?` every few hundred rows. `cx.line(…)`
//!    is for text of our own only: it knows no quoting.
//! 5. Sequence numbers: `selected.view.resolve(&set).await?` gives UIDs; `view.rows(&uids).await?` rows
//!    with their numbers (`iter` costs nothing for each row). What `resolve` gives may have UIDs that
//!    do not exist; ghosts (`view.ghosts()`) are rows that others have expunged already.
//! 6. A command that changes the selected mailbox tells two differences:
//!    `sync::advance(cx, selected, &stored.change.base, may_expunge, Tell::Flags)` for what others did, then
//!    the same with `&stored.change.after` and its own `Tell`. The sync point after the command does the
//!    rest: a command that only reads does not call `sync` at all.
//! 7. A CONDSTORE enabling command calls `cx.condstore_aware(Some(selected))` before it writes.
//! 8. Transcripts in `tests/transcripts/<area>/<rule>.txt` (language: `restante_testkit::transcript`).
//! 9. A new capability: its word in `capability.rs`, last.

mod capability;
mod cmd;
mod columns;
#[cfg(test)]
mod columns_tests;
mod conn;
mod convert;
mod cx;
mod deflate;
mod enabled;
mod env;
mod flags;
mod header_columns;
#[cfg(test)]
mod header_columns_tests;
mod io;
mod language;
mod message_limit;
mod notify;
mod partial;
mod place;
mod referral;
mod reply;
mod serve;
mod state;
mod switch;
mod sync;
mod table;
mod url;
mod view;
#[cfg(test)]
mod view_tests;
mod wire;

pub use capability::is_capability;
pub use enabled::Enabled;
pub use restante_auth::sasl::{Channel, ClientCertificate};

pub use env::{
    Answer, Authenticator, Env, HiddenFrom, Identity, Limits, LoginError, LoginSeen, Offers, Peer,
    Seat, TokenRefusal, Verdict,
};
pub use io::{Io, PlainIo, StartTls};
pub use place::{SeenOf, Sharing};
pub use referral::{MailboxReferral, Referral};
pub use serve::serve;
