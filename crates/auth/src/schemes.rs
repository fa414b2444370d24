//! Stored passwords as other servers write them: Dovecot's `{SCHEME}` before the hash, and the `$id$` of
//! crypt(3).
//!
//! The scheme may end in `.HEX` or `.B64`, which says how what follows is written. Without a scheme the
//! text is one of crypt(3), or an argon2 hash. What a check costs is bounded before it begins.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, pbkdf2};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use md5::{Digest as _, Md5};
use thiserror::Error;
use yescrypt::PasswordVerifier as _;

use crate::Secret;
use crate::password::{self, PASSWORD_BYTES_MAX, PasswordError};
use crate::sasl::{ScramHash, ScramKeys};

/// Rounds of SHA-crypt: a second or less.
const SHA_CRYPT_ROUNDS_MAX: usize = 1_000_000;
/// The logarithm of bcrypt's rounds: each step doubles them; 15 takes about two seconds.
const BCRYPT_COST_MAX: u32 = 15;
/// Memory of yescrypt, which says how long it takes, too: systems' defaults are 16 MiB.
const YESCRYPT_BYTES_MAX: u64 = 256 << 20;
/// Rounds of PBKDF2 and SCRAM.
const PBKDF2_ROUNDS_MAX: u32 = 5_000_000;
/// The longest text that is read.
const STORED_BYTES_MAX: usize = 2048;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a stored password cannot be used.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum SchemeError {
    /// A scheme that is not known here.
    #[error("the scheme {0} is not known")]
    Unknown(String),
    /// DES, as crypt(3) once had it: no maintained library checks it, and nobody should wish for one.
    #[error(
        "crypt(3) with DES is not checked: what fits it is found in hours, and only the first eight characters \
         count; have the user set a new password, or store another hash (doveadm pw -s BLF-CRYPT makes one)"
    )]
    Des,
    /// What follows the scheme is not what it should be.
    #[error("not a stored password: {0}")]
    Malformed(&'static str),
    /// Every login would pay for it.
    #[error("checking a password against it would cost too much")]
    TooCostly,
    /// An argon2 hash that is none.
    #[error(transparent)]
    Argon2(#[from] PasswordError),
}

/// A stored password, understood.
enum Stored {
    Plain(Secret<Vec<u8>>),
    Argon2(String),
    ShaCrypt {
        long: bool,
        rounds: usize,
        salt: String,
        hash: String,
    },
    Bcrypt(String),
    Yescrypt(String),
    Md5Crypt {
        salt: String,
        hash: String,
    },
    Digest {
        algorithm: Algorithm,
        digest: Vec<u8>,
        salt: Vec<u8>,
    },
    Pbkdf2 {
        rounds: NonZeroU32,
        salt: String,
        hash: Vec<u8>,
    },
    Scram {
        hash: ScramHash,
        keys: ScramKeys,
    },
}

#[derive(Clone, Copy)]
enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    fn bytes(self) -> usize {
        match self {
            Algorithm::Md5 => 16,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }

    fn digest(self, parts: [&[u8]; 2]) -> Vec<u8> {
        let algorithm = match self {
            Algorithm::Md5 => return md5(&parts).to_vec(),
            Algorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => &digest::SHA256,
            Algorithm::Sha512 => &digest::SHA512,
        };
        let mut context = digest::Context::new(algorithm);
        parts.iter().for_each(|part| context.update(part));
        context.finish().as_ref().to_vec()
    }
}

/// Checks that a stored password can be understood, and that checking a password against it costs no
/// more than it may.
///
/// # Errors
/// [`SchemeError`].
pub fn check(stored: &str) -> Result<(), SchemeError> {
    Stored::parse(stored).map(drop)
}

/// Whether a password is the stored one. A text that is not understood is nobody's password.
pub fn verify(password: &str, stored: &str) -> bool {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    Stored::parse(stored).is_ok_and(|stored| stored.is_of(password))
}

/// Whether it is a hash as they are made here, not one that should be replaced when the password is
/// known.
pub fn is_current(stored: &str) -> bool {
    stored.starts_with("$argon2id$")
}

/// Whether it looks as a hash by DES: salt and hash in 13 letters, or an underscore and 19 (BSD's).
fn is_des(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
    let (hash, length) = match text.strip_prefix('_') {
        Some(rest) => (rest, 19),
        None => (text, 13),
    };
    hash.len() == length && hash.bytes().all(letters)
}

impl Stored {
    fn parse(text: &str) -> Result<Stored, SchemeError> {
        if text.len() > STORED_BYTES_MAX {
            return Err(SchemeError::Malformed("it is too long"));
        }
        let Some(text) = text.strip_prefix('{') else {
            return Stored::crypt(text);
        };
        let unclosed = SchemeError::Malformed("a { without }");
        let (scheme, data) = text.split_once('}').ok_or(unclosed)?;
        let scheme = scheme.to_ascii_uppercase();
        let (name, encoding) = match scheme.rsplit_once('.') {
            Some((name, encoding)) => (name, Some(encoding)),
            None => (scheme.as_str(), None),
        };
        let unknown = || SchemeError::Unknown(format!("{{{:.50}}}", scheme));
        let decoded = match encoding {
            Some("HEX") => Some(unhex(data)?),
            Some("B64" | "BASE64") => Some(unbase64(data)?),
            Some(_) => return Err(unknown()),
            None => None,
        };
        let plain = || Secret::new(decoded.clone().unwrap_or_else(|| data.as_bytes().to_vec()));
        let text = || {
            let text = String::from_utf8(plain().expose().clone());
            text.map_err(|_| SchemeError::Malformed("it is no text"))
        };
        let digest = |algorithm, salted| Stored::digest(algorithm, salted, data, decoded.clone());
        match name {
            "PLAIN" | "CLEARTEXT" | "CLEAR" => Ok(Stored::Plain(plain())),
            "ARGON2ID" | "ARGON2I" => {
                let text = text()?;
                let wanted = format!("${}$", name.to_ascii_lowercase());
                match text.starts_with(&wanted) {
                    true => Stored::crypt(&text),
                    false => Err(SchemeError::Malformed("another scheme than it says")),
                }
            }
            "SHA512-CRYPT" => Stored::sha_crypt(&text()?, true),
            "SHA256-CRYPT" => Stored::sha_crypt(&text()?, false),
            "BLF-CRYPT" => Stored::bcrypt(&text()?),
            "MD5-CRYPT" => Stored::md5_crypt(&text()?),
            "CRYPT" => Stored::crypt(&text()?),
            "DES-CRYPT" => Err(SchemeError::Des),
            "SHA" | "SHA1" => digest(Algorithm::Sha1, false),
            "SHA256" => digest(Algorithm::Sha256, false),
            "SHA512" => digest(Algorithm::Sha512, false),
            "SSHA" => digest(Algorithm::Sha1, true),
            "SSHA256" => digest(Algorithm::Sha256, true),
            "SSHA512" => digest(Algorithm::Sha512, true),
            "PLAIN-MD5" | "LDAP-MD5" => digest(Algorithm::Md5, false),
            "SMD5" => digest(Algorithm::Md5, true),
            "PBKDF2" => Stored::pbkdf2(&text()?),
            "SCRAM-SHA-1" => Stored::scram(&text()?, ScramHash::Sha1),
            "SCRAM-SHA-256" => Stored::scram(&text()?, ScramHash::Sha256),
            _ => Err(unknown()),
        }
    }

    /// What crypt(3) would understand, DES aside.
    fn crypt(text: &str) -> Result<Stored, SchemeError> {
        match text.get(..3) {
            _ if text.starts_with("$argon2") => {
                password::check_phc(text)?;
                Ok(Stored::Argon2(text.to_owned()))
            }
            Some("$1$") => Stored::md5_crypt(text),
            Some("$5$") => Stored::sha_crypt(text, false),
            Some("$6$") => Stored::sha_crypt(text, true),
            Some("$2a" | "$2b" | "$2y") => Stored::bcrypt(text),
            Some("$y$") => Stored::yescrypt(text),
            Some(id) if id.starts_with('$') => {
                let id: String = text[1..].chars().take_while(|c| *c != '$').collect();
                Err(SchemeError::Unknown(format!("${id:.20}$")))
            }
            _ if is_des(text) => Err(SchemeError::Des),
            _ => Err(SchemeError::Malformed("neither {SCHEME} nor $id$")),
        }
    }

    /// <https://www.akkadia.org/drepper/SHA-crypt.txt>
    fn sha_crypt(text: &str, long: bool) -> Result<Stored, SchemeError> {
        let malformed = SchemeError::Malformed("no hash of SHA-crypt");
        let rest = text.strip_prefix(if long { "$6$" } else { "$5$" });
        let mut rest = rest.ok_or(malformed.clone())?;
        let mut rounds = sha_crypt::ROUNDS_DEFAULT;
        if let Some(given) = rest.strip_prefix("rounds=") {
            let (number, after) = given.split_once('$').ok_or(malformed.clone())?;
            rounds = number.parse().map_err(|_| malformed.clone())?;
            rest = after;
        }
        if rounds > SHA_CRYPT_ROUNDS_MAX {
            return Err(SchemeError::TooCostly);
        }
        let (salt, hash) = rest.split_once('$').ok_or(malformed.clone())?;
        let length = if long { 86 } else { 43 };
        if rounds < sha_crypt::ROUNDS_MIN || salt.len() > 16 || hash.len() != length {
            return Err(malformed);
        }
        Ok(Stored::ShaCrypt {
            long,
            rounds,
            salt: salt.to_owned(),
            hash: hash.to_owned(),
        })
    }

    fn bcrypt(text: &str) -> Result<Stored, SchemeError> {
        let malformed = SchemeError::Malformed("no hash of bcrypt");
        let rest = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .find_map(|id| text.strip_prefix(id));
        let (cost, hash) = rest
            .and_then(|rest| rest.split_once('$'))
            .ok_or(malformed.clone())?;
        let cost: u32 = cost.parse().map_err(|_| malformed.clone())?;
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
        if cost < 4 || hash.len() != 53 || text.len() != 60 || !hash.bytes().all(letters) {
            return Err(malformed);
        }
        match cost <= BCRYPT_COST_MAX {
            true => Ok(Stored::Bcrypt(text.to_owned())),
            false => Err(SchemeError::TooCostly),
        }
    }

    /// `$y$parameters$salt$hash`: what Linux distributions have in /etc/shadow.
    fn yescrypt(text: &str) -> Result<Stored, SchemeError> {
        let malformed = SchemeError::Malformed("no hash of yescrypt");
        let parts: Vec<_> = text.split('$').collect();
        let ["", "y", parameters, salt, hash] = parts[..] else {
            return Err(malformed);
        };
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
        let written = salt.bytes().chain(hash.bytes()).all(letters);
        // Of the flavour that crypt(3) makes: no more than a size, in the first letters of each value, so that
        // nothing else makes it costly.
        let usual = parameters.len() == 3 && parameters.starts_with('j');
        if !usual || !written || salt.is_empty() || salt.len() > 86 || hash.len() != 43 {
            return Err(malformed);
        }
        let parameters: yescrypt::Params = parameters.parse().map_err(|_| malformed.clone())?;
        if parameters.n() < 4 || parameters.r() == 0 {
            return Err(malformed);
        }
        let blocks = parameters.n().checked_mul(parameters.r().into());
        match blocks.and_then(|blocks| blocks.checked_mul(128)) {
            Some(bytes) if bytes <= YESCRYPT_BYTES_MAX => Ok(Stored::Yescrypt(text.to_owned())),
            _ => Err(SchemeError::TooCostly),
        }
    }

    fn md5_crypt(text: &str) -> Result<Stored, SchemeError> {
        let parts = text
            .strip_prefix("$1$")
            .and_then(|rest| rest.split_once('$'));
        match parts {
            Some((salt, hash)) if salt.len() <= 8 && hash.len() == 22 => Ok(Stored::Md5Crypt {
                salt: salt.to_owned(),
                hash: hash.to_owned(),
            }),
            _ => Err(SchemeError::Malformed("no hash of MD5-crypt")),
        }
    }

    fn digest(
        algorithm: Algorithm,
        salted: bool,
        data: &str,
        decoded: Option<Vec<u8>>,
    ) -> Result<Stored, SchemeError> {
        let bytes = algorithm.bytes();
        let mut digest = match decoded {
            Some(decoded) => decoded,
            // Dovecot takes it for hexadecimal, too, where the length says so.
            None if !salted && data.len() == 2 * bytes => unhex(data)?,
            None => unbase64(data)?,
        };
        if digest.len() < bytes || (digest.len() > bytes) != salted {
            return Err(SchemeError::Malformed("a digest of another length"));
        }
        let salt = digest.split_off(bytes);
        Ok(Stored::Digest {
            algorithm,
            digest,
            salt,
        })
    }

    /// `$1$salt$rounds$hash`, as Dovecot writes it: SHA-1, the salt as it is, the hash in hexadecimal.
    fn pbkdf2(text: &str) -> Result<Stored, SchemeError> {
        let malformed = SchemeError::Malformed("no $1$salt$rounds$hash");
        let parts: Vec<_> = text.split('$').collect();
        let ["", "1", salt, rounds, hash] = parts[..] else {
            return Err(malformed);
        };
        let rounds = rounds.parse().map_err(|_| malformed.clone())?;
        let hash = unhex(hash)?;
        if salt.is_empty() || hash.len() != 20 {
            return Err(malformed);
        }
        Ok(Stored::Pbkdf2 {
            rounds: affordable(rounds)?,
            salt: salt.to_owned(),
            hash,
        })
    }

    /// `iterations,salt,stored key,server key`.
    fn scram(text: &str, hash: ScramHash) -> Result<Stored, SchemeError> {
        let malformed = SchemeError::Malformed("no keys of SCRAM");
        let parts: Vec<_> = text.split(',').collect();
        let [iterations, salt, stored_key, server_key] = parts[..] else {
            return Err(malformed);
        };
        let iterations: u32 = iterations.parse().map_err(|_| malformed.clone())?;
        affordable(iterations)?;
        let keys = ScramKeys::stored(
            hash,
            unbase64(salt)?,
            iterations,
            unbase64(stored_key)?,
            unbase64(server_key)?,
        );
        let keys = keys.map_err(|_| malformed)?;
        Ok(Stored::Scram { hash, keys })
    }

    fn is_of(&self, password: &str) -> bool {
        let bytes = password.as_bytes();
        match self {
            // Digests, so that the time does not tell how much is right.
            Stored::Plain(stored) => {
                let digest = |text: &[u8]| digest::digest(&digest::SHA256, text);
                same(digest(stored.expose()).as_ref(), digest(bytes).as_ref())
            }
            Stored::Argon2(phc) => password::verify(password, phc),
            Stored::ShaCrypt {
                long,
                rounds,
                salt,
                hash,
            } => sha_crypt_of(bytes, salt, *rounds, *long)
                .is_some_and(|made| same(made.as_bytes(), hash.as_bytes())),
            Stored::Bcrypt(hash) => bcrypt::verify(bytes, hash).unwrap_or(false),
            Stored::Yescrypt(hash) => {
                let verifier = yescrypt::Yescrypt::default();
                verifier.verify_password(bytes, hash.as_str()).is_ok()
            }
            Stored::Md5Crypt { salt, hash } => same(
                md5_crypt_of(bytes, salt.as_bytes()).as_bytes(),
                hash.as_bytes(),
            ),
            Stored::Digest {
                algorithm,
                digest,
                salt,
            } => same(&algorithm.digest([bytes, salt]), digest),
            Stored::Pbkdf2 { rounds, salt, hash } => {
                let algorithm = pbkdf2::PBKDF2_HMAC_SHA1;
                pbkdf2::verify(algorithm, *rounds, salt.as_bytes(), bytes, hash).is_ok()
            }
            Stored::Scram { hash, keys } => {
                let made =
                    ScramKeys::derive_with_salt(*hash, password, keys.salt(), keys.iterations());
                made.is_ok_and(|made| same(made.stored_key(), keys.stored_key()))
            }
        }
    }
}

fn affordable(rounds: u32) -> Result<NonZeroU32, SchemeError> {
    if rounds > PBKDF2_ROUNDS_MAX {
        return Err(SchemeError::TooCostly);
    }
    NonZeroU32::new(rounds).ok_or(SchemeError::Malformed("no rounds"))
}

fn same(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

fn unbase64(text: &str) -> Result<Vec<u8>, SchemeError> {
    let wrong = |_| SchemeError::Malformed("no base64");
    BASE64.decode(text).map_err(wrong)
}

fn unhex(text: &str) -> Result<Vec<u8>, SchemeError> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    let bytes = text.as_bytes().chunks(2).map(pair).collect::<Option<_>>();
    bytes.ok_or(SchemeError::Malformed("no hexadecimal digits"))
}

fn sha_crypt_of(password: &[u8], salt: &str, rounds: usize, long: bool) -> Option<String> {
    use sha_crypt::{Sha256Params, Sha512Params, sha256_crypt_b64, sha512_crypt_b64};
    if long {
        let params = Sha512Params::new(rounds).ok()?;
        sha512_crypt_b64(password, salt.as_bytes(), &params).ok()
    } else {
        let params = Sha256Params::new(rounds).ok()?;
        sha256_crypt_b64(password, salt.as_bytes(), &params).ok()
    }
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = Md5::new();
    parts.iter().for_each(|part| context.update(part));
    context.finalize().into()
}

/// MD5-crypt as in FreeBSD's crypt(3) of 1994: the 22 letters after the salt.
fn md5_crypt_of(password: &[u8], salt: &[u8]) -> String {
    let alternate = md5(&[password, salt, password]);
    let mut context = Md5::new();
    context.update(password);
    context.update(b"$1$");
    context.update(salt);
    for piece in password.chunks(16) {
        context.update(&alternate[..piece.len()]);
    }
    let mut length = password.len();
    while length > 0 {
        // The first byte of the password, or a NUL where the bit is set.
        context.update(if length & 1 == 1 {
            &[0]
        } else {
            &password[..1]
        });
        length >>= 1;
    }
    let mut hash: [u8; 16] = context.finalize().into();
    for round in 0..1000 {
        let odd = round % 2 == 1;
        let (first, last): (&[u8], &[u8]) = match odd {
            true => (password, &hash),
            false => (&hash, password),
        };
        let salt = if round % 3 == 0 { &[] } else { salt };
        let again = if round % 7 == 0 { &[] } else { password };
        hash = md5(&[first, salt, again, last]);
    }
    const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = String::with_capacity(22);
    let mut put = |mut value: usize, letters: usize| {
        for _ in 0..letters {
            out.push(char::from(LETTERS[value % 64]));
            value /= 64;
        }
    };
    let byte = |index: usize| usize::from(hash[index]);
    for (high, middle, low) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
        put(byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    put(byte(11), 2);
    out
}

#[cfg(test)]
mod tests;
