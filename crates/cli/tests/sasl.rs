//! Every way to sign in, through TLS, with the client library and the server's own binary.

#![allow(missing_docs)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Server, command};
use restante_client::{Client, Error, Tls};
use restante_proto::types::Code;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

fn tls_of(server: &Server, versions: &[&'static SupportedProtocolVersion]) -> Tls {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(server.data.join("tls/cert.pem")).unwrap();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Tls::with_config(Arc::new(config))
}

async fn connect(server: &Server) -> Client {
    connect_by(server, &tls_of(server, rustls::ALL_VERSIONS)).await
}

async fn connect_by(server: &Server, tls: &Tls) -> Client {
    let address = ("127.0.0.1", server.imaps);
    Client::connect_tls(address, "localhost", tls)
        .await
        .unwrap()
}

fn refused(result: restante_client::Result<()>, code: &Code) {
    match result {
        Err(Error::No(refusal)) => assert_eq!(refusal.code.as_ref(), Some(code), "{refusal:?}"),
        other => panic!("{other:?}"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// SCRAM with both kinds of channel binding, over STARTTLS, too; after a change of the password the old
/// keys are gone and the new ones there.
#[test]
fn scram_bound_to_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    server.add_user("ada@example.org", "first");
    runtime().block_on(async {
        for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
            let tls = tls_of(&server, versions);
            let mut client = connect_by(&server, &tls).await;
            assert!(client.has("AUTH=SCRAM-SHA-256-PLUS") && client.has("AUTH=SCRAM-SHA-1-PLUS"));
            assert!(!client.has("AUTH=OAUTHBEARER") && !client.has("AUTH=ANONYMOUS"));
            client
                .authenticate_scram("Ada@Example.org", "first")
                .await
                .unwrap();
            client.logout().await.unwrap();
            let mut client = Client::connect(("127.0.0.1", server.imap)).await.unwrap();
            client.starttls("localhost", &tls).await.unwrap();
            client
                .authenticate_scram("ada@example.org", "first")
                .await
                .unwrap();
            let mut client = connect_by(&server, &tls).await;
            let wrong = client.authenticate_scram("ada@example.org", "second").await;
            refused(wrong, &Code::AuthenticationFailed);
            let nobody = client.authenticate_scram("eve@example.org", "second").await;
            refused(nobody, &Code::AuthenticationFailed);
        }
        let changed = server.command(
            &["user", "passwd", "ada@example.org", "--password-stdin"],
            "second\n",
        );
        assert!(changed.status.success(), "{changed:?}");
        let mut client = connect(&server).await;
        let old = client.authenticate_scram("ada@example.org", "first").await;
        refused(old, &Code::AuthenticationFailed);
        client
            .authenticate_scram("ada@example.org", "second")
            .await
            .unwrap();
    });
    for why in ["wrong password", "unknown user"] {
        let line = server.wait_for_log(why);
        assert!(line.contains("login failed"), "{line}");
    }
}

/// Who was taken over with a hash alone has keys after the first login with the password itself, and
/// none of an old one.
#[test]
fn keys_are_made_at_the_first_login() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let csv = dir.path().join("users.csv");
    std::fs::write(&csv, "name,password\nbob,kept\n").unwrap();
    let server = Server::start(&data);
    let added = command(&data, &["user", "add", "--csv", csv.to_str().unwrap()], "");
    assert!(added.status.success(), "{added:?}");
    runtime().block_on(async {
        let mut client = connect(&server).await;
        let early = client.authenticate_scram("bob", "kept").await;
        refused(early, &Code::AuthenticationFailed);
        client.login("bob", "kept").await.unwrap();
        let start = Instant::now();
        loop {
            let mut client = connect(&server).await;
            match client.authenticate_scram("bob", "kept").await {
                Ok(()) => break,
                Err(error) => assert!(start.elapsed() < Duration::from_secs(20), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_master_acts_for_those_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let settings = "[[login.masters]]\nname = \"migration\"\nusers = [\"*@example.org\"]\n";
    let server = Server::start_with(&dir.path().join("data"), settings);
    for name in ["ada@example.org", "eve@example.com", "migration"] {
        server.add_user(name, &format!("of {name}"));
    }
    let password = "of migration";
    runtime().block_on(async {
        let mut client = connect(&server).await;
        client
            .login("ada@example.org*migration", password)
            .await
            .unwrap();
        let mut client = connect(&server).await;
        client
            .authenticate_scram("ada@example.org*migration", password)
            .await
            .unwrap();
        let mut client = connect(&server).await;
        let both = b"ada@example.org\0migration\0of migration".to_vec();
        client.authenticate("PLAIN", both).await.unwrap();
        let mut client = connect(&server).await;
        for (name, password, code) in [
            (
                "eve@example.com*migration",
                password,
                Code::AuthorizationFailed,
            ),
            (
                "nobody@example.org*migration",
                password,
                Code::AuthorizationFailed,
            ),
            (
                "ada@example.org*migration",
                "of ada@example.org",
                Code::AuthenticationFailed,
            ),
            (
                "ada@example.org*eve@example.com",
                "of eve@example.com",
                Code::AuthenticationFailed,
            ),
        ] {
            refused(client.login(name, password).await, &code);
        }
    });
    server.wait_for_log("acts for another");
}

#[test]
fn anonymous_if_it_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    server.add_user("guest", "x");
    runtime().block_on(async {
        let mut client = connect(&server).await;
        refused(client.authenticate_anonymous("me").await, &Code::Cannot);
    });
    drop(server);
    // The settings of a section that is there already.
    let text = "[login]\nargon2_memory_kib = 8\nargon2_iterations = 1\nmechanisms = [\"ANONYMOUS\"]\n\
                anonymous_user = \"guest\"\n[log]\nformat = \"human\"\n";
    let config = dir.path().join("guests.toml");
    std::fs::write(&config, text).unwrap();
    let mut with = common::restante();
    with.args(["config", "check"]).arg(&config);
    assert!(with.status().unwrap().success());
}

/// Names of a megabyte, NULs, what is no base64, exchanges that are given up: one answer for each kind,
/// the reason in the log, and the next client notices nothing.
#[test]
fn bad_input_before_the_login() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(
        &dir.path().join("data"),
        "[limits]\nlogin_attempts = 1000\n",
    );
    server.add_user("ada", "right");
    let mut client = server.imaps();
    client.expect("* OK");
    let big = "x".repeat(1 << 20);
    // Beyond what is taken before a login: the literal is refused before it is sent, the line ends it.
    client.send(format!("a LOGIN {{{}}}\r\n", big.len()).as_bytes());
    client.expect("a BAD");
    client.send(b"b AUTHENTICATE PLAIN\r\n");
    client.expect("+");
    client.send(b"*\r\n");
    client.expect("b BAD");
    for line in ["%%%", "AA=A", "AGFkYQByaWdodA", "\u{e4}"] {
        client.send(b"c AUTHENTICATE PLAIN\r\n");
        client.expect("+");
        client.send(format!("{line}\r\n").as_bytes());
        client.expect("c BAD [CLIENTBUG] The response is not base64");
    }
    // \0ada\0right\0, \0a\0da\0right
    for response in ["AGFkYQByaWdodAA=", "AGEAZGEAcmlnaHQ="] {
        client.send(format!("d AUTHENTICATE PLAIN {response}\r\n").as_bytes());
        client.expect("d BAD [CLIENTBUG] The response is not of this mechanism's form");
    }
    client.send(b"e LOGIN ada right\r\n");
    client.expect("e OK");
    drop(client);
    let mut client = server.imaps();
    client.expect("* OK");
    client.send(b"b LOGIN ada\0 right\r\n");
    client.expect("b BAD NUL is never allowed");
    client.send(b"b AUTHENTICATE PLAIN %%%\r\n");
    client.expect("b BAD initial response is not base64");
    for command in [
        "LOGIN ada wrong",
        "LOGIN eve wrong",
        "AUTHENTICATE PLAIN AGV2ZQB3cm9uZw==",
    ] {
        client.send(format!("f {command}\r\n").as_bytes());
        client.expect("f NO [AUTHENTICATIONFAILED] User or password is wrong");
    }
    drop(client);
    let mut client = server.imaps();
    client.expect("* OK");
    // Sent in one piece, so that the answer is not lost with the connection.
    client.send(format!("g LOGIN {} x\r\n", &big[..9 << 10]).as_bytes());
    let refused = client.line();
    assert!(
        refused.starts_with("* BYE") || refused.starts_with("g BAD"),
        "{refused}"
    );
    let mut reasons = vec![
        "wrong password",
        "unknown user",
        "malformed response",
        "the response is not base64",
        "initial response is not base64",
        "NUL is never allowed",
        "literal too large",
        "login given up by the client",
    ];
    while !reasons.is_empty() {
        let line = server.log_line();
        reasons.retain(|reason| !line.contains(reason));
    }
    let mut client = server.imaps();
    client.expect("* OK");
    client.send(b"h LOGIN ada right\r\n");
    client.expect("h OK");
}
