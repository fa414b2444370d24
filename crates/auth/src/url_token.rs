//! Tokens that authorize URLs (URLAUTH, RFC 4467): HMAC-SHA-256 of the URL.

use aws_lc_rs::{hmac, rand};

/// The first octet of a token names its algorithm, so that there can be another one (RFC 4467 §2.4.1).
const HMAC_SHA256: u8 = 1;

/// Makes a key. `None`: the system has no randomness.
pub fn fresh_key() -> Option<[u8; 32]> {
    let mut key = [0; 32];
    rand::fill(&mut key).ok()?;
    Some(key)
}

/// The token of a URL, as hexadecimal digits.
pub fn token(key: &[u8; 32], url: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), url);
    let octets = [HMAC_SHA256].iter().chain(tag.as_ref());
    octets.map(|octet| format!("{octet:02x}")).collect()
}

/// Whether a token is that of the URL. Takes the same time for each wrong one.
pub fn is_token(key: &[u8; 32], url: &[u8], token: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let octets = from_hex(token).unwrap_or_default();
    let (algorithm, tag) = octets.split_first().unwrap_or((&0, &[]));
    // What is no token at all is compared, too.
    let is_tag = hmac::verify(&key, url, tag).is_ok();
    is_tag && *algorithm == HMAC_SHA256
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let octets = pairs.iter().map(|[high, low]| {
        // Below 256.
        Some((digit(*high)? * 16 + digit(*low)?) as u8)
    });
    rest.is_empty().then(|| octets.collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_url_and_one_key() {
        let (one, other) = (fresh_key().expect("random"), fresh_key().expect("random"));
        let url = b"imap://joe@example.com/INBOX/;uid=20;urlauth=anonymous";
        let right = token(&one, url);
        assert_eq!(right.len(), 66);
        assert!(is_token(&one, url, &right));
        assert!(is_token(&one, url, &right.to_uppercase()));
        assert!(!is_token(&other, url, &right));
        assert!(!is_token(&one, &url[1..], &right));
        let another_algorithm = right.replacen("01", "02", 1);
        for wrong in [
            "",
            "01",
            "0",
            "xy",
            &right[..64],
            &right[2..],
            &another_algorithm,
            "é0",
        ] {
            assert!(!is_token(&one, url, wrong), "{wrong}");
        }
        assert!(!is_token(&one, url, &format!("{right}00")));
    }

    #[test]
    fn the_algorithm_is_what_it_says() {
        // RFC 4231 §4.2, with a key of 32 octets in place of 20.
        let token = token(&[0x0b; 32], b"Hi There");
        assert_eq!(
            token,
            "01198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
        );
    }
}
