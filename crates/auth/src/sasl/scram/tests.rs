use super::super::client::{ClientMechanism, ScramClient};
use super::*;

const SALT_1: &str = "QSXCR+Q6sek8bf92";
const SALT_256: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

fn keys(hash: ScramHash) -> ScramKeys {
    let salt = match hash {
        ScramHash::Sha1 => SALT_1,
        ScramHash::Sha256 => SALT_256,
    };
    ScramKeys::derive_with_salt(hash, "pencil", &STANDARD.decode(salt).unwrap(), 4096).unwrap()
}

fn server(hash: ScramHash, plus: bool, channel: &Channel) -> Scram {
    let mut scram = Scram::new(hash, plus, channel);
    scram.nonce = Some(
        match hash {
            ScramHash::Sha1 => "3rfcNHYJY1ZVvWVs7j",
            ScramHash::Sha256 => "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        }
        .to_owned(),
    );
    scram
}

fn bindable() -> Channel {
    Channel {
        exporter: Some(vec![7; 32]),
        end_point: Some(vec![8; 32]),
        certificate: None,
    }
}

fn refused(step: Step) -> &'static str {
    match step {
        Step::Failed(SaslError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// Begins, and gives the server's first message.
fn begin(scram: &mut Scram, message: &str, keys: ScramKeys) -> String {
    assert!(matches!(scram.step(message.as_bytes()), Step::Keys(..)));
    match scram.keys(keys) {
        Step::Challenge(challenge) => String::from_utf8(challenge).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn is_right(step: Step) -> bool {
    match step {
        Step::Done(Credentials {
            proof: Proof::Scram(proof),
            ..
        }) => proof.is_right(),
        other => panic!("{other:?}"),
    }
}

/// RFC 5802 §5, RFC 7677 §3.
#[test]
fn the_examples_of_the_rfcs() {
    for (hash, first, challenge, last, signature) in [
        (
            ScramHash::Sha1,
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            ScramHash::Sha256,
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ] {
        let mut scram = server(hash, false, &Channel::default());
        assert_eq!(begin(&mut scram, first, keys(hash)), challenge);
        assert!(is_right(scram.step(last.as_bytes())));
        assert_eq!(scram.signature().unwrap(), signature.as_bytes());
        // Said again, it is nothing.
        assert!(matches!(
            scram.step(last.as_bytes()),
            Step::Failed(SaslError::Over)
        ));
        let mut wrong = server(hash, false, &Channel::default());
        let other = ScramKeys::derive(hash, "pen", 4096).unwrap();
        begin(&mut wrong, first, other);
        assert!(!is_right(wrong.step(last.as_bytes())));
        assert_eq!(wrong.signature(), None);
        // Nobody's keys let nobody in, and the proof that fits all-zero keys is not known anyway.
        let mut nobody = server(hash, false, &Channel::default());
        let keys = ScramKeys::of_nobody(hash, b"secret", "user", 4096);
        begin(&mut nobody, first, keys);
        assert!(!is_right(nobody.step(last.as_bytes())));
    }
}

#[test]
fn nobody_has_the_same_salt_every_time() {
    let salt = |user, secret: &[u8]| {
        ScramKeys::of_nobody(ScramHash::Sha256, secret, user, 4096)
            .salt()
            .to_vec()
    };
    assert_eq!(salt("eve", b"s"), salt("eve", b"s"));
    assert_ne!(salt("eve", b"s"), salt("eva", b"s"));
    assert_ne!(salt("eve", b"s"), salt("eve", b"t"));
    let real = ScramKeys::derive(ScramHash::Sha256, "x", 1).unwrap();
    assert_eq!(salt("eve", b"s").len(), real.salt().len());
}

/// Both halves with each other, in every way a channel can be bound.
fn run(server: &mut Scram, client: &mut ScramClient, password: &str) -> Result<bool, &'static str> {
    let hash = server.hash;
    let mut challenge = Vec::new();
    let mut right = false;
    loop {
        let response = client.step(&challenge).map_err(|_| "the client gives up")?;
        if right {
            return Ok(client.is_done());
        }
        match server.step(&response) {
            Step::Keys(..) => {
                let keys = ScramKeys::derive(hash, password, 4096).unwrap();
                let Step::Challenge(next) = server.keys(keys) else {
                    panic!("no challenge");
                };
                challenge = next;
            }
            step @ Step::Done(_) => {
                if !is_right(step) {
                    return Ok(false);
                }
                right = true;
                challenge = server.signature().unwrap();
            }
            Step::Failed(SaslError::Refused(reason)) => return Err(reason),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_bound_login_holds_on_its_own_channel_only() {
    let here = bindable();
    let there = Channel {
        exporter: Some(vec![9; 32]),
        end_point: Some(vec![9; 32]),
        certificate: None,
    };
    let end_point_only = Channel {
        exporter: None,
        ..bindable()
    };
    for hash in ScramHash::ALL {
        for channel in [&here, &end_point_only] {
            let mut scram = Scram::new(hash, true, channel);
            let mut client = ScramClient::new(hash, true, "user", "pencil", channel).unwrap();
            assert_eq!(run(&mut scram, &mut client, "pencil"), Ok(true));
        }
        let mut scram = Scram::new(hash, true, &here);
        let mut client = ScramClient::new(hash, true, "user", "pencil", &there).unwrap();
        assert_eq!(
            run(&mut scram, &mut client, "pencil"),
            Err("the channel binding is wrong")
        );
        let mut scram = Scram::new(hash, true, &end_point_only);
        let mut client = ScramClient::new(hash, true, "user", "pencil", &here).unwrap();
        assert_eq!(
            run(&mut scram, &mut client, "pencil"),
            Err("a channel binding that this connection has not")
        );
    }
}

#[test]
fn a_list_of_mechanisms_without_plus_is_noticed() {
    let first = "y,,n=user,r=abc";
    let mut scram = server(ScramHash::Sha256, false, &bindable());
    assert_eq!(
        refused(scram.step(first.as_bytes())),
        "the list of mechanisms was tampered with"
    );
    // Where there is nothing to bind to, the client is right.
    let mut scram = server(ScramHash::Sha256, false, &Channel::default());
    begin(&mut scram, first, keys(ScramHash::Sha256));
    for (plus, flag) in [
        (true, "n"),
        (true, "y"),
        (false, "p=tls-exporter"),
        (true, "p=tls-unique"),
    ] {
        let mut scram = server(ScramHash::Sha256, plus, &bindable());
        refused(scram.step(format!("{flag},,n=user,r=abc").as_bytes()));
    }
}

#[test]
fn a_wrong_password_a_wrong_server_and_odd_names() {
    for (typed, right) in [("pencil", true), ("pencils", false)] {
        let mut scram = Scram::new(ScramHash::Sha256, false, &Channel::default());
        let mut client = ScramClient::new(
            ScramHash::Sha256,
            false,
            "a,b=c",
            typed,
            &Channel::default(),
        )
        .unwrap();
        assert_eq!(run(&mut scram, &mut client, "pencil"), Ok(right));
    }
    // A server that does not know the keys cannot say what the client waits for.
    let mut scram = server(ScramHash::Sha256, false, &Channel::default());
    let mut client = ScramClient::new(
        ScramHash::Sha256,
        false,
        "user",
        "pencil",
        &Channel::default(),
    )
    .unwrap();
    let first = client.step(b"").unwrap();
    scram.step(&first);
    let Step::Challenge(challenge) = scram.keys(keys(ScramHash::Sha256)) else {
        panic!("no challenge");
    };
    client.step(&challenge).unwrap();
    assert!(client.step(b"v=AAAA").is_err());
    assert!(!client.is_done());
}

#[test]
fn replayed_and_malformed_messages() {
    let first = "n,,n=user,r=abc";
    let last = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    let mut scram = Scram::new(ScramHash::Sha1, false, &Channel::default());
    begin(&mut scram, first, keys(ScramHash::Sha1));
    assert_eq!(
        refused(scram.step(last.as_bytes())),
        "the nonce of another exchange"
    );
    for bad in [
        "",
        "n",
        "n,,",
        "n,,n=,r=abc",
        "n,,n=user,r=",
        "n,,n=us=er,r=abc",
        "n,,n=user\0,r=abc",
        "n,,r=abc,n=user",
        "x,,n=user,r=abc",
        "p=,,n=user,r=abc",
        "n,a=,n=user,r=abc",
        "n,,n=user,r=a\u{e9}",
    ] {
        let mut scram = Scram::new(ScramHash::Sha1, false, &Channel::default());
        let step = scram.step(bad.as_bytes());
        assert!(
            matches!(step, Step::Failed(SaslError::Malformed)),
            "{bad:?}: {step:?}"
        );
    }
    for first in [&b"n,,m=x,n=u,r=abc"[..], b"n,,n=u,r=abc,x=y,m=z"] {
        refused(Scram::new(ScramHash::Sha1, false, &Channel::default()).step(first));
    }
    let mut scram = Scram::new(ScramHash::Sha1, false, &Channel::default());
    begin(&mut scram, "n,,n=user,r=abc,x=y", keys(ScramHash::Sha1));
    refused(scram.step(b"c=biws,r=abc,m=z,p=AA=="));
    for bad in [
        "",
        "p=",
        "c=biws,p=AA==",
        "r=abc,c=biws,p=AA==",
        "c=*,r=abc,p=AA==",
    ] {
        let mut scram = Scram::new(ScramHash::Sha1, false, &Channel::default());
        begin(&mut scram, first, keys(ScramHash::Sha1));
        assert!(matches!(
            scram.step(bad.as_bytes()),
            Step::Failed(SaslError::Malformed)
        ));
    }
}
