//! Password hashing and SASL mechanisms as pure state machines.
//!
//! What is here:
//!
//! * [`sasl`]: both halves of the mechanisms (RFC 4422). A mechanism is a state machine that is
//!   given the other side's messages and says what to do next; it does no I/O and asks no directory.
//! * [`password`]: argon2id hashes in PHC string form.
//! * [`schemes`]: the hashes of other servers, with Dovecot's scheme prefixes.
//! * [`Verifier`]: checks passwords on a bounded number of threads, with a short-lived cache of
//!   what was verified, so that a client that connects every minute costs microseconds.
//! * [`Secret`]: a value that is not printed and is wiped from memory when dropped.
//!
//! What is not here: where users come from (the caller looks the user up and hands the stored hash
//! to the [`Verifier`]), throttling, and the wire form of SASL in IMAP (base64, tags).

pub mod password;
mod prepare;
pub mod sasl;
pub mod schemes;
mod secret;
pub mod url_token;
mod verify;

pub use prepare::prepare;
pub use secret::Secret;
pub use verify::{Outcome, Verifier, VerifierOptions};
