//! What all tests share: transcripts, throw-away servers, generators.
//!
//! - [`world`]: a server in memory: a store, users, mailboxes with messages, sessions over in-memory
//!   streams. Nothing listens, nothing is written to disk.
//! - [`door`]: a server that lets nobody in.
//! - [`strict`]: a client that insists on the grammar.
//! - [`survive`]: a session that is sent anything.
//! - [`transcript`]: dialogues as tests, one rule of an RFC in each file.

pub mod door;
pub mod strict;
pub mod survive;
mod tls;
pub mod transcript;
pub mod world;
