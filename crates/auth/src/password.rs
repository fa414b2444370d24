//! Passwords as argon2id hashes in PHC string form (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`).

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use thiserror::Error;

/// The longest password that is hashed or checked, in bytes. Longer ones are refused: hashing
/// time grows with the length, and no person types one.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Why a password could not be hashed.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum PasswordError {
    /// An empty password would let everybody in.
    #[error("the password is empty")]
    Empty,
    /// Longer than [`PASSWORD_BYTES_MAX`].
    #[error("the password is longer than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// A client cannot send NUL in SASL PLAIN, CR or LF in a quoted string.
    #[error("the password contains a control character that clients cannot send")]
    ControlCharacter,
    /// The cost parameters are outside of what argon2 allows.
    #[error("argon2 cost parameters out of range: {0}")]
    Cost(String),
    /// Not a PHC string that this server can verify.
    #[error("not an argon2 hash in PHC string form: {0}")]
    NotPhc(String),
    /// The system gave no random bytes for the salt.
    #[error("the system's random generator failed")]
    Random,
}

/// What one argon2id hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes. They are computed one after the other.
    pub parallelism: u32,
}

impl Default for Cost {
    /// The OWASP minimum for argon2id: 19 MiB, two passes.
    fn default() -> Self {
        Cost {
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
        }
    }
}

impl Cost {
    fn params(self) -> Result<Params, PasswordError> {
        Params::new(self.memory_kib, self.iterations, self.parallelism, None)
            .map_err(|error| PasswordError::Cost(error.to_string()))
    }

    /// Checks that argon2 accepts these parameters.
    pub fn check(self) -> Result<(), PasswordError> {
        self.params().map(drop)
    }
}

/// Says whether a password can be used at all.
pub fn acceptable(password: &str) -> Result<(), PasswordError> {
    if password.is_empty() {
        Err(PasswordError::Empty)
    } else if password.len() > PASSWORD_BYTES_MAX {
        Err(PasswordError::TooLong)
    } else if password.bytes().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        Err(PasswordError::ControlCharacter)
    } else {
        Ok(())
    }
}

/// Hashes a password with a fresh salt. Takes tens of milliseconds by intention.
pub fn hash(password: &str, cost: Cost) -> Result<String, PasswordError> {
    acceptable(password)?;
    let mut salt = [0u8; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| PasswordError::Random)?;
    hash_with_salt(password, cost, &salt)
}

fn hash_with_salt(password: &str, cost: Cost, salt: &[u8]) -> Result<String, PasswordError> {
    let salt = SaltString::encode_b64(salt).map_err(|e| PasswordError::NotPhc(e.to_string()))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?)
        .hash_password(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|e| PasswordError::Cost(e.to_string()))
}

/// Checks that `phc` is a hash this server can verify (argon2id, argon2i or argon2d), so that
/// hashes made elsewhere can be taken over.
pub fn check_phc(phc: &str) -> Result<(), PasswordError> {
    let not = |reason: &str| PasswordError::NotPhc(reason.to_owned());
    let hash = PasswordHash::new(phc).map_err(|e| not(&e.to_string()))?;
    if !hash.algorithm.as_str().starts_with("argon2") {
        return Err(not("only argon2id, argon2i and argon2d are known"));
    }
    Params::try_from(&hash).map_err(|e| not(&e.to_string()))?;
    // Every check of a password pays this cost: a crafted string must not take the machine down.
    let memory = hash.params.get_decimal("m").unwrap_or(0);
    let passes = hash.params.get_decimal("t").unwrap_or(0);
    if memory > 1 << 20 || u64::from(memory) * u64::from(passes) > 8 << 20 {
        return Err(not("its cost is beyond 1 GiB of memory or 8 GiB of work"));
    }
    match (hash.salt, hash.hash) {
        (Some(_), Some(_)) => Ok(()),
        _ => Err(not("salt or hash is missing")),
    }
}

/// Checks a password against a PHC string. A string that cannot be read verifies nothing.
pub fn verify(password: &str, phc: &str) -> bool {
    if password.len() > PASSWORD_BYTES_MAX || check_phc(phc).is_err() {
        return false;
    }
    match PasswordHash::new(phc) {
        // The parameters are taken from the string, not from this instance.
        Ok(hash) => Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 8,
        iterations: 1,
        parallelism: 1,
    };

    #[test]
    fn a_password_verifies_against_its_hash_only() {
        let phc = hash("correct horse", CHEAP).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert!(verify("correct horse", &phc));
        assert!(!verify("correct horsf", &phc));
        assert!(!verify("", &phc));
    }

    #[test]
    fn the_same_password_gets_another_salt() {
        assert_ne!(hash("x", CHEAP).unwrap(), hash("x", CHEAP).unwrap());
    }

    /// Known answer from the reference implementation (phc-winner-argon2, test.c):
    /// argon2id, t=2, m=2^16, p=1, password "password", salt "somesalt".
    #[test]
    fn hashes_of_the_reference_implementation_verify() {
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
                   $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(verify("password", phc));
        assert!(!verify("Password", phc));
    }

    #[test]
    fn unusable_passwords_and_hashes_are_named() {
        assert_eq!(hash("", CHEAP), Err(PasswordError::Empty));
        assert_eq!(hash(&"x".repeat(1025), CHEAP), Err(PasswordError::TooLong));
        assert_eq!(hash("a\0b", CHEAP), Err(PasswordError::ControlCharacter));
        let none = Cost {
            memory_kib: 0,
            ..CHEAP
        };
        assert!(matches!(hash("x", none), Err(PasswordError::Cost(_))));
        for bad in [
            "",
            "plain",
            "$1$abc$def",
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ",
        ] {
            assert!(check_phc(bad).is_err(), "{bad}");
            assert!(!verify("x", bad));
        }
        let huge = "$argon2id$v=19$m=4194304,t=9,p=1$c29tZXNhbHQ\
                    $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(check_phc(huge).is_err());
    }
}
