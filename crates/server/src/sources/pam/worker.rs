//! The process that does one check, and tells what came of it by its exit code.

use std::io::Read;
use std::process::ExitCode;

use restante_auth::Secret;

use super::library::{self, Failure};
use super::{MESSAGE_BYTES_MAX, Outcome, Request};
use crate::system;

/// Exit codes: what PAM said of the password, or of the account, is added to these.
const RIGHT: i32 = 0;
const NO_LIBRARY: i32 = 40;
const NO_REQUEST: i32 = 41;
const OF_PASSWORD: i32 = 64;
const OF_ACCOUNT: i32 = 128;

/// Results of PAM (security/_pam_types.h of Linux-PAM).
const PERM_DENIED: i32 = 6;
const AUTH_ERR: i32 = 7;
const CRED_INSUFFICIENT: i32 = 8;
const AUTHINFO_UNAVAIL: i32 = 9;
const USER_UNKNOWN: i32 = 10;
const MAXTRIES: i32 = 11;
const NEW_AUTHTOK_REQD: i32 = 12;
const ACCT_EXPIRED: i32 = 13;
const AUTHTOK_EXPIRED: i32 = 27;

/// Does the check that is asked for on standard input.
pub fn run() -> ExitCode {
    system::keep_to_itself();
    let code = match read() {
        Some(request) => {
            match library::check(
                &request.service,
                &request.user,
                &request.password,
                &request.rhost,
            ) {
                Ok(()) => RIGHT,
                Err(Failure::Library) => NO_LIBRARY,
                Err(Failure::Password(code)) => OF_PASSWORD + code.clamp(1, 63),
                Err(Failure::Account(code)) => OF_ACCOUNT + code.clamp(1, 63),
            }
        }
        None => NO_REQUEST,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn read() -> Option<Request> {
    // One buffer of the largest size, so that no copy of the password is left behind by growing.
    let mut bytes = Vec::with_capacity(MESSAGE_BYTES_MAX);
    let limit = MESSAGE_BYTES_MAX as u64;
    std::io::stdin()
        .lock()
        .take(limit)
        .read_to_end(&mut bytes)
        .ok()?;
    let bytes = Secret::new(bytes);
    serde_json::from_slice(bytes.expose()).ok()
}

/// What an exit code means.
pub(super) fn outcome_of(code: Option<i32>) -> Outcome {
    let failed = |reason: String| Outcome::Failed(reason);
    match code {
        Some(RIGHT) => Outcome::Right,
        Some(NO_LIBRARY) => failed("libpam.so.0 is not there, or not what it should be".to_owned()),
        Some(code @ OF_ACCOUNT..) => match code - OF_ACCOUNT {
            PERM_DENIED | AUTH_ERR | ACCT_EXPIRED | USER_UNKNOWN => Outcome::Locked,
            NEW_AUTHTOK_REQD | AUTHTOK_EXPIRED => Outcome::Expired,
            code => failed(format!("PAM's account management says {code}")),
        },
        Some(code @ OF_PASSWORD..) => match code - OF_PASSWORD {
            PERM_DENIED | AUTH_ERR | CRED_INSUFFICIENT | USER_UNKNOWN | MAXTRIES => Outcome::Wrong,
            AUTHINFO_UNAVAIL => failed("PAM cannot reach what it asks".to_owned()),
            code => failed(format!("PAM says {code}")),
        },
        Some(code) => failed(format!("the worker has ended with {code}")),
        None => failed("the worker was killed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_right() {
        for code in 1..=255 {
            assert_ne!(outcome_of(Some(code)), Outcome::Right, "{code}");
        }
        assert_eq!(outcome_of(Some(RIGHT)), Outcome::Right);
        assert_eq!(outcome_of(Some(OF_PASSWORD + AUTH_ERR)), Outcome::Wrong);
        assert_eq!(outcome_of(Some(OF_ACCOUNT + AUTH_ERR)), Outcome::Locked);
        let expired = outcome_of(Some(OF_ACCOUNT + NEW_AUTHTOK_REQD));
        assert_eq!(expired, Outcome::Expired);
        for code in [
            None,
            Some(1),
            Some(101),
            Some(OF_PASSWORD + AUTHINFO_UNAVAIL),
        ] {
            assert!(matches!(outcome_of(code), Outcome::Failed(_)), "{code:?}");
        }
    }
}
