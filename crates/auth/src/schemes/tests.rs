use super::*;

/// What `doveadm pw -s SCHEME -p PASSWORD` of Dovecot 2.3.19 (Debian 12) wrote for this password.
const PASSWORD: &str = "pass:wörd 1";
const OF_DOVEADM: &[&str] = &[
    "{PLAIN}pass:wörd 1",
    "{CLEARTEXT}pass:wörd 1",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$qP7A7jy0ZtGeB+Su4M4msw$MJJHiCMEAHJZVSTMQ/jw7YeyMVr1/MRN+oN142IIlEM",
    "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$MK65HiaMU3Ow5wSEQ4r6Og$b0rfclG/eoTvrNrtQAF+VUZERCRDyrmcbRFR06Og33k",
    "{SHA512-CRYPT}$6$.3gKOTacIYqlxrIV$QnUDEdJEh1ttnDmu64vaLeKJwe.6Uc8QoNbV3vOgQHEb5jRVGPUWQntNrt9rnyeACx3gARkUwwDuCjT0eOamp0",
    "{SHA256-CRYPT}$5$81wUcIHI68pLK08w$ZOEf74bRAWo2OrFc.Xh2Tfo/nr6muLWWSkXRjb4sBq7",
    "{BLF-CRYPT}$2y$05$8IZLVFMapZxTbzeMIntPA.dYupOQQL.flHlzYFs3tRmjHFuTJjBQO",
    "{CRYPT}$2y$05$ZrcDeIcvUSUSaWog0Ok0kOktkfsD6pRoS2DHZ7ZlszmVj53c60GQi",
    "{SSHA512}KTOpXFZ5IRlMhJ4TtWnslV6Cb27pgOMh3gpb13a5yUr3w7tRqgQ5E3ER43OybGPX3w2p0l5ShArAuzseuLs4/mnarD4=",
    "{SSHA256}Kc+vmVBr9vkJaw1EKpaCjk1WTnNjKkO0pe0XYYWyiQ3y0EXx",
    "{SSHA}6rKdJq2hFs76NN0WJyXDigvlivvz7uTg",
    "{SHA512}6VRIL72t3k0biJk58LEQkQomRvBVj9eiihItZ/A++4R8AMibCUqz8o3Pr6CTsnBc1RY/hDqlsS0gjCUEZ5vSCA==",
    "{SHA256}OedruhydZQujtiZ1FPKW5Dy2JfCoBeni2MnjyCokEwA=",
    "{SHA}RdMdTfE3j6UxPwWPK4re93cFtQ4=",
    "{SHA1}RdMdTfE3j6UxPwWPK4re93cFtQ4=",
    "{PBKDF2}$1$MloT96/vusSgiNvU$5000$b4208fc4857ce4d275929b8c19fa247c2d9237f8",
    "{SCRAM-SHA-256}4096,xBZ3sU+tiNvyizHnLEd0ng==,oDAvsjV3hBvDkSSjr3QjIZcqE/mEYRjefwnO8OYiy1k=,03fhF17ulb7zemm+Kx83qRC1iIgKt+p7Dc+FHWrc2Vc=",
    "{SCRAM-SHA-1}4096,LFj2rExfiVpPDeziB1G55w==,FzRlHVtrqvEvj8s6MmuAu7yHaag=,qGQUm/zkXIYvT5sTgeVU7nBKPR0=",
    "{MD5-CRYPT}$1$UVEu/vbI$iP05Ap5r7duCiS9/XOFMV.",
    "{SSHA512.HEX}46245c50be339258111f9302e0259d539d4e56e3f08daabfc286c0f5baed795e4d3d22fec857de703c70487411b003ed03723adadc6e7558d22edf7657bb2f31d557a749",
    "{SSHA256.HEX}e637abb1a48dca80113d09138378bd1799a6d434ffac3c4078e6cfa4f54e7b734e5cd1e0",
    "{SSHA.HEX}8346da12084f22d1f968cb65c2340fe058f38f37218b2779",
    "{SHA512.HEX}e954482fbdadde4d1b889939f0b110910a2646f0558fd7a28a122d67f03efb847c00c89b094ab3f28dcfafa093b2705cd5163f843aa5b12d208c2504679bd208",
    "{SHA256.HEX}39e76bba1c9d650ba3b6267514f296e43cb625f0a805e9e2d8c9e3c82a241300",
    "{SHA512.B64}6VRIL72t3k0biJk58LEQkQomRvBVj9eiihItZ/A++4R8AMibCUqz8o3Pr6CTsnBc1RY/hDqlsS0gjCUEZ5vSCA==",
    "{SHA256.B64}OedruhydZQujtiZ1FPKW5Dy2JfCoBeni2MnjyCokEwA=",
    "{SHA.HEX}45d31d4df1378fa5313f058f2b8adef77705b50e",
    "{SHA1.B64}RdMdTfE3j6UxPwWPK4re93cFtQ4=",
    "{PLAIN.B64}cGFzczp3w7ZyZCAx",
    "{PLAIN.HEX}706173733a77c3b672642031",
    "{SMD5}GtmLmXo7rfbZUFpKOrUTDjd4FHU=",
    "{PLAIN-MD5}4a40e3d9af29adfa60edb2e1bc3dba7b",
    "{LDAP-MD5}SkDj2a8prfpg7bLhvD26ew==",
    "{CLEAR}pass:wörd 1",
    "{SSHA.B64}qRQlA9vFWqKA7cl7A7tFcjkm/Ap9BClA",
];

/// `doveadm pw -r ROUNDS`, for the password "x".
const WITH_ROUNDS: &[&str] = &[
    "{BLF-CRYPT}$2y$12$vh4fjx.mG8jan9If.ZHP7O9U8ZyZZ/N9LukpB/RmIjHsXu12Op3cq",
    "{SHA512-CRYPT}$6$rounds=100000$MaMBW00GPoYcQjPF$Ns52ZZ9JK1qo3I03Qe/N71k5/Vv22kxGwpMKBZ2T7BQsNE7xog2Y438hL/E8jCjEWggPvN53jx8cPJqCVnhFW0",
    "{PBKDF2}$1$r3UO6VRrZBf8Sorf$1000$1d45ae31bd541ceb6b12ddc568db5d3f7d114eaa",
];

#[test]
fn what_doveadm_writes_is_verified() {
    let schemes: std::collections::BTreeSet<_> = OF_DOVEADM
        .iter()
        .filter_map(|stored| stored.split_once('}'))
        .map(|(scheme, _)| scheme)
        .collect();
    assert!(schemes.len() >= 30, "{schemes:?}");
    for stored in OF_DOVEADM {
        assert_eq!(check(stored), Ok(()), "{stored}");
        assert!(verify(PASSWORD, stored), "{stored}");
        for wrong in [
            "pass:wörd 2",
            "pass:wörd",
            "pass:word 1",
            "",
            "pass:wörd 1 ",
        ] {
            assert!(!verify(wrong, stored), "{wrong:?} {stored}");
        }
        assert!(!is_current(stored));
    }
    for stored in WITH_ROUNDS {
        assert!(verify("x", stored) && !verify("y", stored), "{stored}");
    }
}

/// In any case, and crypt's without a scheme.
#[test]
fn schemes_may_be_written_otherwise() {
    let hex = "45d31d4df1378fa5313f058f2b8adef77705b50e";
    for stored in [
        "{plain}pass:wörd 1".to_owned(),
        format!("{{sha.hex}}{hex}"),
        format!("{{SHA}}{hex}"),
        format!("{{SHA}}{}", hex.to_uppercase()),
        "{SHA}RdMdTfE3j6UxPwWPK4re93cFtQ4".to_owned(),
        "{Plain.Base64}cGFzczp3w7ZyZCAx".to_owned(),
    ] {
        assert!(verify(PASSWORD, &stored), "{stored}");
    }
    for stored in OF_DOVEADM {
        let (scheme, hash) = stored.split_once('}').unwrap();
        if scheme.contains("CRYPT") || scheme.contains("ARGON2") {
            assert!(verify(PASSWORD, hash), "{hash}");
            assert!(verify(PASSWORD, &format!("{{CRYPT}}{hash}")), "{hash}");
        }
    }
}

/// By crypt(3) of libxcrypt 4.4.33 (Debian 12); Dovecot verifies them, too.
#[test]
fn yescrypt_as_in_etc_shadow() {
    let usual = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$SOySRyqhULdV7Wa6WcTAWU6xzSNLporTckFxyuUeoY5";
    let small = "$y$j75$saltsalt$Gtztd5zUp728UyZG5IA6qtNknB9RVEpxHqWZmvVOP57";
    for (password, stored) in [(PASSWORD, usual), ("x", small)] {
        assert_eq!(check(stored), Ok(()));
        assert!(verify(password, stored) && !verify("wrong", stored));
        assert!(verify(password, &format!("{{CRYPT}}{stored}")));
    }
    let hash = "x".repeat(43);
    for costly in [
        format!("$y$jFT$saltsalt${hash}"),
        format!("$y$jET$saltsalt${hash}"),
    ] {
        assert_eq!(check(&costly), Err(SchemeError::TooCostly), "{costly}");
    }
    for wrong in [
        "$y$j9T$saltsalt$",
        "$y$j9T$saltsalt",
        "$y$$saltsalt$x",
        &format!("$y$j9T$$${hash}"),
        &format!("$y$j9T$${hash}"),
        &format!("$y$.9T$saltsalt${hash}"),
        &format!("$y$j9T.0$saltsalt${hash}"),
        &format!("$y$j9T$saltsalt${hash}$x"),
        &format!("$y$j9T$salt!salt${hash}"),
    ] {
        assert!(
            matches!(check(wrong), Err(SchemeError::Malformed(_))),
            "{wrong}"
        );
        assert!(!verify("x", wrong) && !verify("", wrong));
    }
}

/// FreeBSD's and glibc's MD5-crypt for lengths around a block of MD5, by `openssl passwd -1`.
#[test]
fn md5_crypt_of_any_length() {
    for (password, stored) in [
        ("a", "$1$saltsalt$MzDjbImyzEz2m0NTiPzNW/"),
        ("0123456789abcdef", "$1$saltsalt$xXjYoUe111lGDGm6AfLHb1"),
        ("0123456789abcdef0", "$1$x$ckHlerO5hZnEPmIDVdwun1"),
    ] {
        assert!(verify(password, stored), "{password}");
    }
}

/// A crafted hash must not take the machine down, whoever wrote it.
#[test]
fn what_would_cost_too_much_is_refused() {
    let hash = "x".repeat(86);
    let argon2 = "m=4194304,t=9,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let key = "oDAvsjV3hBvDkSSjr3QjIZcqE/mEYRjefwnO8OYiy1k=";
    let start = std::time::Instant::now();
    for stored in [
        format!("{{SHA512-CRYPT}}$6$rounds=999999999$salt${hash}"),
        format!("$5$rounds=1000001$salt${}", &hash[..43]),
        format!("{{BLF-CRYPT}}$2y$31${}", &hash[..53]),
        format!("$2b$16${}", &hash[..53]),
        format!("{{PBKDF2}}$1$salt$4000000000${}", "0".repeat(40)),
        format!("{{SCRAM-SHA-256}}4294967295,c2FsdA==,{key},{key}"),
        format!("{{ARGON2ID}}$argon2id$v=19${argon2}"),
    ] {
        let refused = check(&stored).unwrap_err();
        let costly = matches!(refused, SchemeError::TooCostly | SchemeError::Argon2(_));
        assert!(costly && !verify("x", &stored), "{stored} {refused}");
    }
    // The cheapest of them would take seconds, the others hours.
    assert!(start.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn what_is_no_stored_password_is_nobodys() {
    let long = format!("{{PLAIN}}{}", "x".repeat(STORED_BYTES_MAX));
    for stored in [
        "",
        "x",
        "*",
        "!",
        "{",
        "{}",
        "{}x",
        "{PLAIN",
        "{PLAIN}",
        "{CLEARTEXT}",
        "{PLAIN.HEX}7",
        "{PLAIN.HEX}é",
        "{PLAIN.ROT13}x",
        "{NO-SUCH}x",
        "{SHA512.HEX}00",
        "{SSHA}RdMdTfE3j6UxPwWPK4re93cFtQ4=",
        "{SHA256}",
        "{SHA256}!",
        "{CRYPT}",
        "{CRYPT}*",
        "{CRYPT}ab012345678",
        "{CRYPT}$7$x",
        "$7$abc$def",
        "$6$",
        "$6$salt$",
        "$6$rounds=$salt$x",
        "$6$rounds=0$salt$x",
        "$6$rounds=-1$salt$x",
        "$2y$",
        "$2y$xx$x",
        "{BLF-CRYPT}$2y$05$é",
        "$1$salt$",
        "{PBKDF2}$1$salt$0$00",
        "{PBKDF2}$2$salt$1$00",
        "{SCRAM-SHA-256}4096",
        "{SCRAM-SHA-256}0,c2FsdA==,x,y",
        "{ARGON2ID}$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ",
        "{ARGON2ID}x",
        "{SHA512-CRYPT}$5$salt$x",
        &long,
    ] {
        for password in ["", "x", "\0", "{PLAIN}", stored] {
            assert!(
                !verify(password, stored) || stored == "{PLAIN}x",
                "{password:?} {stored:?}"
            );
        }
    }
    assert_eq!(
        check("$7$abc$def").unwrap_err().to_string(),
        "the scheme $7$ is not known"
    );
    assert_eq!(
        check("{NO-SUCH}x").unwrap_err().to_string(),
        "the scheme {NO-SUCH} is not known"
    );
}

/// Not checked, and said so with what to do: hashes of "secret" by doveadm and perl.
#[test]
fn des_is_refused_in_a_sentence() {
    for stored in [
        "{DES-CRYPT}2V6BlveZ5PKb2",
        "{CRYPT}2V6BlveZ5PKb2",
        "abNANd1rDfiNc",
        "_J9..rasmz0.F/jqjWck",
    ] {
        assert_eq!(check(stored), Err(SchemeError::Des), "{stored}");
        assert!(!verify("secret", stored));
    }
    let said = SchemeError::Des.to_string();
    assert!(said.contains("set a new password"), "{said}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(scheme in "(PLAIN|SHA|SSHA512|CRYPT|PBKDF2|SCRAM-SHA-1|MD5-CRYPT|BLF-CRYPT|SHA256-CRYPT)", encoding in "(|.HEX|.B64)", data in ".{0,80}", start in "(|\\$6\\$|\\$5\\$rounds=1000\\$|\\$2y\\$04\\$|\\$1\\$|\\$y\\$j[./0-9A-Z]5\\$)") {
        let stored = format!("{{{scheme}{encoding}}}{start}{data}");
        let _ = check(&stored);
        let _ = verify("password", &stored);
        let _ = verify("password", &format!("{start}{data}"));
    }
}
