//! Listeners, TLS, LMTP, limits, configuration and control of the Restante server.
//!
//! [`prepare`] and [`serve`] run a server from a [`config::Config`] until it is told to stop. [`Admin`] reaches a
//! running server through its control socket, or opens its data when none runs. The IMAP semantics
//! are in `restante-session`; here are sockets, time, files and processes.

mod acl;
mod acme;
pub mod admin;
pub mod app_passwords;
mod authenticator;
mod background;
pub mod config;
mod control;
mod files;
mod gate;
mod http;
mod live;
mod lmtp;
pub mod logging;
mod mta;
mod net;
mod oauth;
pub mod purge;
pub mod record;
mod run;
mod sandbox;
mod service;
mod sources;
pub mod storage;
mod system;
pub mod throttle;
mod time;
pub mod tls;
pub mod transfer;
pub mod undelete;

/// The processes that check passwords with the system's PAM, for the hidden commands that they are.
pub mod pam {
    pub use crate::sources::pam::{run_broker, run_keeper, run_worker};
}

pub use control::{Admin, AdminError};
pub use run::{Origin, Prepared, ServeError, prepare, serve};
pub use service::{ServiceError, check as check_service};
pub use time::days as days_from_civil;

/// What each thread of a server does first, for the runtime that [`serve`] is run by.
pub fn thread_started() {
    system::reserve_heap();
}
