//! The keys of SCRAM: what a server keeps instead of a password (RFC 5802 §3).

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::{Secret, prepare};

/// Bytes of a salt that is made here.
pub(super) const SALT_BYTES: usize = 16;
/// The longest salt that is kept or believed.
const SALT_BYTES_MAX: usize = 255;

/// The hash functions of SCRAM that are spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// RFC 5802.
    Sha1,
    /// RFC 7677.
    Sha256,
}

impl ScramHash {
    /// All of them, the best first.
    pub const ALL: [ScramHash; 2] = [ScramHash::Sha256, ScramHash::Sha1];

    /// The mechanism's name without `-PLUS`.
    pub fn mechanism(self) -> &'static str {
        match self {
            ScramHash::Sha1 => "SCRAM-SHA-1",
            ScramHash::Sha256 => "SCRAM-SHA-256",
        }
    }

    /// The number by which a store knows it; never used again for another.
    pub fn number(self) -> u8 {
        match self {
            ScramHash::Sha1 => 1,
            ScramHash::Sha256 => 2,
        }
    }

    /// Bytes of a key.
    pub fn bytes(self) -> usize {
        match self {
            ScramHash::Sha1 => 20,
            ScramHash::Sha256 => 32,
        }
    }

    /// `H(text)`.
    pub(super) fn digest(self, text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            ScramHash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            ScramHash::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, text).as_ref().to_vec()
    }

    /// `HMAC(key, text)`.
    pub(super) fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            ScramHash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            ScramHash::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text)
            .as_ref()
            .to_vec()
    }

    /// `Hi(password, salt, iterations)`: slow by intention.
    pub(super) fn salted(
        self,
        password: &str,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Secret<Vec<u8>> {
        let algorithm = match self {
            ScramHash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            ScramHash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut out = vec![0; self.bytes()];
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut out);
        Secret::new(out)
    }
}

/// Why there are no keys.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ScramKeysError {
    /// The password has characters that SASLprep forbids (RFC 4013 §2.3).
    #[error("the password has characters that SASLprep forbids")]
    Password,
    /// No iterations, or a salt that is empty or too long, or keys of another length.
    #[error("not the keys of a SCRAM mechanism")]
    Malformed,
    /// The system gave no random bytes.
    #[error("the system's random generator failed")]
    Random,
}

/// What the server side of SCRAM needs of one user.
#[derive(Clone)]
pub struct ScramKeys {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: NonZeroU32,
    pub(super) stored_key: Secret<Vec<u8>>,
    pub(super) server_key: Secret<Vec<u8>>,
    /// False: of a user who does not exist. No proof is right.
    pub(super) real: bool,
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramKeys(…)")
    }
}

impl ScramKeys {
    /// Keys of a password with a fresh salt. Takes as long as the iterations do.
    ///
    /// # Errors
    /// See [`ScramKeysError`].
    pub fn derive(
        hash: ScramHash,
        password: &str,
        iterations: u32,
    ) -> Result<ScramKeys, ScramKeysError> {
        let mut salt = vec![0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| ScramKeysError::Random)?;
        Self::derive_with_salt(hash, password, &salt, iterations)
    }

    /// Keys of a password with this salt.
    ///
    /// # Errors
    /// See [`ScramKeysError`].
    pub fn derive_with_salt(
        hash: ScramHash,
        password: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ScramKeys, ScramKeysError> {
        let password = prepare(password).ok_or(ScramKeysError::Password)?;
        let count = NonZeroU32::new(iterations).ok_or(ScramKeysError::Malformed)?;
        let salted = hash.salted(password.expose(), salt, count);
        let client_key = Secret::new(hash.hmac(salted.expose(), b"Client Key"));
        Self::stored(
            hash,
            salt.to_vec(),
            iterations,
            hash.digest(client_key.expose()),
            hash.hmac(salted.expose(), b"Server Key"),
        )
    }

    /// Keys as a store has them.
    ///
    /// # Errors
    /// [`ScramKeysError::Malformed`].
    pub fn stored(
        hash: ScramHash,
        salt: Vec<u8>,
        iterations: u32,
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
    ) -> Result<ScramKeys, ScramKeysError> {
        let (stored_key, server_key) = (Secret::new(stored_key), Secret::new(server_key));
        let iterations = NonZeroU32::new(iterations).ok_or(ScramKeysError::Malformed)?;
        let lengths = [stored_key.expose().len(), server_key.expose().len()];
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX || lengths != [hash.bytes(); 2] {
            return Err(ScramKeysError::Malformed);
        }
        Ok(ScramKeys {
            salt,
            iterations,
            stored_key,
            server_key,
            real: true,
        })
    }

    /// Keys of a user who does not exist or has none: the same salt whenever the same name is asked
    /// for, as a user would have (RFC 5802 §9), and no password fits. `secret` is the server's, and
    /// stays the same over a restart.
    pub fn of_nobody(hash: ScramHash, secret: &[u8], user: &str, iterations: u32) -> ScramKeys {
        let text = [
            b"no such user\0",
            hash.mechanism().as_bytes(),
            b"\0",
            user.as_bytes(),
        ]
        .concat();
        let mut salt = ScramHash::Sha256.hmac(secret, &text);
        salt.truncate(SALT_BYTES);
        ScramKeys {
            salt,
            iterations: NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
            stored_key: Secret::new(vec![0; hash.bytes()]),
            server_key: Secret::new(vec![0; hash.bytes()]),
            real: false,
        }
    }

    /// As text (RFC 5803): `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`.
    pub fn to_text(&self, hash: ScramHash) -> String {
        format!(
            "{}${}:{}${}:{}",
            hash.mechanism(),
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key()),
            STANDARD.encode(self.server_key()),
        )
    }

    /// Reads what [`ScramKeys::to_text`] writes.
    ///
    /// # Errors
    /// [`ScramKeysError::Malformed`].
    pub fn from_text(text: &str) -> Result<(ScramHash, ScramKeys), ScramKeysError> {
        let read = || {
            let mut parts = text.split(['$', ':']);
            let name = parts.next()?;
            let hash = ScramHash::ALL
                .into_iter()
                .find(|hash| hash.mechanism() == name)?;
            let iterations = parts.next()?.parse().ok()?;
            let mut bytes = || STANDARD.decode(parts.next()?).ok();
            let (salt, stored, server) = (bytes()?, bytes()?, bytes()?);
            let keys = ScramKeys::stored(hash, salt, iterations, stored, server).ok()?;
            parts.next().is_none().then_some((hash, keys))
        };
        read().ok_or(ScramKeysError::Malformed)
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// How often the password is hashed.
    pub fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// `StoredKey`, by which a client's proof is checked.
    pub fn stored_key(&self) -> &[u8] {
        self.stored_key.expose()
    }

    /// `ServerKey`, by which the server proves itself.
    pub fn server_key(&self) -> &[u8] {
        self.server_key.expose()
    }

    /// Whether they are a user's: false for [`ScramKeys::of_nobody`].
    pub fn is_real(&self) -> bool {
        self.real
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_text() {
        for hash in ScramHash::ALL {
            let keys = ScramKeys::derive(hash, "pencil", 4096).unwrap();
            let text = keys.to_text(hash);
            let (read, again) = ScramKeys::from_text(&text).unwrap();
            assert_eq!((read, again.to_text(read)), (hash, text.clone()));
            assert!(ScramKeys::from_text(&format!("{text}:x")).is_err());
        }
        for bad in [
            "",
            "SCRAM-SHA-256",
            "SCRAM-SHA-256$0:AA==$AA==:AA==",
            "MD5$1:AA==$AA==:AA==",
        ] {
            assert!(ScramKeys::from_text(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ScramKeys::derive(ScramHash::Sha1, "a\u{7}", 4096).unwrap_err(),
            ScramKeysError::Password
        );
    }
}
