use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_mailbox::{Mail, MailOptions};
use restante_store::{MemoryOptions, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use super::*;
use crate::config::Config;
use crate::net::Admission;

/// A server whose users are ann and the one with the odd name, with the password "secret".
async fn current() -> (Arc<Current>, watch::Sender<bool>) {
    let store = Store::memory(MemoryOptions::default());
    let mail = Mail::open(store, MailOptions::default()).await.unwrap();
    let mut config = Config::default();
    config.login.argon2_memory_kib = 8;
    config.login.argon2_iterations = 1;
    config.mail.local_domains = vec!["example.org".to_owned()];
    let hash = restante_auth::password::hash("secret", config.cost()).unwrap();
    mail.user_add("ann", Some(hash.clone())).await.unwrap();
    mail.user_add("full", Some(hash)).await.unwrap();
    let none = mail.user_set_quota("full", |quota| quota.bytes = Some(0));
    none.await.unwrap();
    let (down, shutdown) = watch::channel(false);
    let current = Current::new(&config, &mail, Admission::new(10, 10), None, shutdown).await;
    (Arc::new(current.unwrap()), down)
}

/// What is said to a client that says this and ends its sending.
async fn said(service: Service, current: &Arc<Current>, input: &[u8]) -> String {
    let (mut client, server): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 20);
    let current = Arc::clone(current);
    let serving = tokio::spawn(async move {
        let stream: Box<dyn Stream> = Box::new(server);
        match service {
            Service::Auth => auth::serve(stream, &current).await,
            Service::Policy => lookup::policy(stream, &current).await,
            Service::Socketmap => lookup::socketmap(stream, &current).await,
        }
    });
    client.write_all(input).await.unwrap();
    client.shutdown().await.unwrap();
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    let _ = serving.await.unwrap();
    String::from_utf8(said).unwrap()
}

/// What follows the greeting.
async fn auth_said(current: &Arc<Current>, input: &str) -> String {
    let all = said(Service::Auth, current, input.as_bytes()).await;
    let (greeting, rest) = all.split_once("DONE\n").unwrap();
    assert!(
        greeting.starts_with("VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n")
    );
    rest.to_owned()
}

fn plain(user: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{password}"))
}

#[tokio::test]
async fn logins_of_a_mail_server() {
    let (current, _down) = current().await;
    let hello = "VERSION\t1\t1\nCPID\t99\n";
    let rest = "service=smtp\tnologin\tlip=127.0.0.1\trip=192.0.2.1\tsecured";
    let request = format!(
        "{hello}AUTH\t1\tPLAIN\t{rest}\tresp={}\nAUTH\t2\tPLAIN\t{rest}\tresp={}\n\
         AUTH\t3\tPLAIN\t{rest}\nCONT\t3\t{}\n",
        plain("ANN", "secret"),
        plain("ann", "wrong"),
        plain("ann", "secret"),
    );
    assert_eq!(
        auth_said(&current, &request).await,
        "OK\t1\tuser=ann\nFAIL\t2\tuser=ann\nCONT\t3\t\nOK\t3\tuser=ann\n"
    );
    // Two prompts, base64 that is none, mechanisms that are not offered.
    let (name, password) = (STANDARD.encode("ann"), STANDARD.encode("secret"));
    let request = format!(
        "{hello}AUTH\t7\tLOGIN\t{rest}\nCONT\t7\t{name}\nCONT\t7\t{password}\n\
         AUTH\t8\tPLAIN\t{rest}\tresp=%%%\nAUTH\t9\tCRAM-MD5\t{rest}\nAUTH\t10\tEXTERNAL\t{rest}\tresp=\n"
    );
    let said = auth_said(&current, &request).await;
    let lines: Vec<_> = said.lines().collect();
    assert!(
        lines[0].starts_with("CONT\t7\t") && lines[1].starts_with("CONT\t7\t"),
        "{said}"
    );
    assert_eq!(lines[2], "OK\t7\tuser=ann");
    assert_eq!(lines[3], "FAIL\t8");
    assert_eq!(
        lines[4..],
        [
            "FAIL\t9\treason=unsupported mechanism",
            "FAIL\t10\treason=unsupported mechanism"
        ]
    );
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection() {
    let (current, _down) = current().await;
    for input in ["VERSION\t2\t0\n", "AUTH\tx\tPLAIN\n", "CONT\t5\tAAAA\n"] {
        assert_eq!(auth_said(&current, input).await, "", "{input}");
    }
    let long = format!("AUTH\t1\tPLAIN\tresp={}", "A".repeat(200_000));
    assert_eq!(auth_said(&current, &long).await, "");
    let huge = format!(
        "AUTH\t1\tPLAIN\tservice=smtp\tresp={}\n",
        plain(&"n".repeat(60_000), "x")
    );
    assert!(auth_said(&current, &huge).await.starts_with("FAIL\t1"));
    let nul = format!(
        "AUTH\t1\tPLAIN\tservice=smtp\tresp={}\n",
        plain("a\tb\nc", "x")
    );
    assert_eq!(
        auth_said(&current, &nul).await,
        "FAIL\t1\tuser=a\u{1}tb\u{1}nc\n"
    );
}

#[tokio::test]
async fn postfix_asks_whether_mail_would_be_taken() {
    let (current, _down) = current().await;
    let ask = |recipient: &str, size: u64| {
        format!(
            "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={recipient}\nsize={size}\n\n"
        )
    };
    let asked = [
        ask("ann@example.org", 0),
        ask("ann+lists@example.org", 100),
        ask("nobody@example.org", 0),
        ask("nobody@elsewhere.example", 0),
        ask("full@example.org", 0),
        ask("ann@example.org", 1 << 40),
        ask("", 0),
    ]
    .concat();
    assert_eq!(
        said(Service::Policy, &current, asked.as_bytes()).await,
        "action=DUNNO\n\naction=DUNNO\n\naction=550 5.1.1 No such user here\n\naction=DUNNO\n\n\
         action=552 5.2.2 Mailbox is full\n\naction=552 5.3.4 Message too large\n\naction=DUNNO\n\n"
    );
    let endless = "a=b\n".repeat(1000);
    assert_eq!(
        said(Service::Policy, &current, endless.as_bytes()).await,
        ""
    );
}

#[tokio::test]
async fn postfix_looks_up_users() {
    let (current, _down) = current().await;
    let netstring = |text: &str| format!("{}:{text},", text.len());
    let asked = [
        netstring("users ann@example.org"),
        netstring("users nobody@example.org"),
        netstring("users ann@elsewhere.example"),
        netstring("users a b c"),
        netstring("nothing"),
    ]
    .concat();
    assert_eq!(
        said(Service::Socketmap, &current, asked.as_bytes()).await,
        "6:OK ann,9:NOTFOUND ,9:NOTFOUND ,9:NOTFOUND ,32:PERM a name and a key are wanted,"
    );
    for wrong in ["x", "99999999:", "5:ab", "3:abcd", ":,", "20000:"] {
        assert_eq!(
            said(Service::Socketmap, &current, wrong.as_bytes()).await,
            "",
            "{wrong}"
        );
    }
}
