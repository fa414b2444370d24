use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::{Value, json};
use std::sync::Arc;

use super::*;

/// A small issuer on loopback: metadata, keys, introspection.
struct FakeIssuer {
    name: String,
    requests: Arc<AtomicUsize>,
    keys: Arc<Mutex<Value>>,
    down: Arc<Mutex<bool>>,
}

impl FakeIssuer {
    fn start(keys: Value) -> FakeIssuer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("http://{}/realm", listener.local_addr().unwrap());
        let issuer = FakeIssuer {
            name: name.clone(),
            requests: Arc::default(),
            keys: Arc::new(Mutex::new(keys)),
            down: Arc::default(),
        };
        let (requests, keys) = (Arc::clone(&issuer.requests), Arc::clone(&issuer.keys));
        let down = Arc::clone(&issuer.down);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                requests.fetch_add(1, Ordering::SeqCst);
                let mut reader = BufReader::new(stream);
                let (mut first, mut length) = (String::new(), 0);
                reader.read_line(&mut first).unwrap();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let body = String::from_utf8(body).unwrap();
                let path = first.split(' ').nth(1).unwrap().to_owned();
                let answer = match path.as_str() {
                    _ if *down.lock().unwrap() => None,
                    // OpenID's is missing, so that RFC 8414's is asked for.
                    "/.well-known/oauth-authorization-server/realm" => Some(json!({
                        "issuer": name,
                        "jwks_uri": format!("{name}/keys"),
                        "introspection_endpoint": format!("{name}/introspect"),
                    })),
                    "/realm/keys" => Some(keys.lock().unwrap().clone()),
                    "/realm/introspect" if body.contains("token=live") => {
                        Some(json!({"active": true, "email": "Ada@Example.org", "scope": "mail"}))
                    }
                    "/realm/introspect" if body.contains("token=other") => Some(
                        json!({"active": true, "email": "ada@example.org", "scope": "mail", "aud": "x"}),
                    ),
                    "/realm/introspect" => Some(json!({"active": false})),
                    _ => Some(Value::Null),
                };
                let (status, text) = match answer {
                    None => ("503 Down", String::new()),
                    Some(Value::Null) => ("404 Not Found", String::new()),
                    Some(value) => ("200 OK", value.to_string()),
                };
                let mut stream = reader.into_inner();
                let head = format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                );
                let _ = stream.write_all(format!("{head}{text}").as_bytes());
            }
        });
        issuer
    }

    fn oauth(&self) -> OAuth {
        let mut config = Config::default();
        config.oauth.issuer = self.name.clone();
        config.oauth.audience = vec!["mail".to_owned()];
        config.oauth.scope = "mail".to_owned();
        OAuth::new(&config).unwrap().unwrap()
    }
}

struct Signer {
    id: &'static str,
    pair: KeyPair,
}

impl Signer {
    fn new(id: &'static str) -> Signer {
        Signer {
            id,
            pair: KeyPair::generate().unwrap(),
        }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key_raw();
        assert_eq!(point.len(), 65);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..])})
    }

    fn token(&self, header: Header, claims: &Value) -> Secret<String> {
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        Secret::new(encode(&header, claims, &key).unwrap())
    }

    fn sign(&self, claims: &Value) -> Secret<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.to_owned());
        self.token(header, claims)
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() as i64
}

fn claims(issuer: &FakeIssuer) -> Value {
    json!({"iss": issuer.name, "aud": ["mail", "more"], "exp": now() + 300, "nbf": now() - 5,
        "scope": "openid mail", "email": "Ada@Example.org", "sub": "17"})
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

/// Why it was refused, and whether for the scope.
async fn refused(oauth: &OAuth, token: &Secret<String>) -> (String, bool) {
    match oauth.user(token).await {
        Err(LoginError::Token(refusal)) => {
            assert!(
                refusal
                    .configuration
                    .ends_with("/realm/.well-known/openid-configuration")
            );
            (refusal.reason, refusal.lacks_scope)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_good_and_bad() {
    let signer = Signer::new("one");
    let stranger = Signer::new("one");
    let issuer = FakeIssuer::start(json!({"keys": [
        {"kty": "oct", "kid": "shared", "k": "AAAA"}, {"kty": "XX"}, signer.jwk()]}));
    let oauth = issuer.oauth();
    let good = claims(&issuer);
    assert_eq!(
        oauth.user(&signer.sign(&good)).await,
        Ok("ada@example.org".to_owned())
    );
    for (name, value, reason) in [
        ("aud", json!("other"), "InvalidAudience"),
        ("aud", Value::Null, "Missing required claim: aud"),
        ("iss", json!("http://127.0.0.1/other"), "InvalidIssuer"),
        ("iss", Value::Null, "Missing required claim: iss"),
        ("exp", json!(now() - 120), "ExpiredSignature"),
        ("exp", Value::Null, "Missing required claim: exp"),
        ("nbf", json!(now() + 120), "ImmatureSignature"),
        ("email", Value::Null, "no claim email"),
        ("email", json!(""), "no claim email"),
        (
            "email_verified",
            json!(false),
            "the mail address is not verified",
        ),
    ] {
        let token = signer.sign(&with(good.clone(), name, value));
        assert_eq!(
            refused(&oauth, &token).await,
            (reason.to_owned(), false),
            "{name}"
        );
    }
    let narrow = signer.sign(&with(good.clone(), "scope", json!("openid")));
    assert_eq!(
        refused(&oauth, &narrow).await,
        ("the scope is missing".to_owned(), true)
    );
    let wrong = stranger.sign(&good);
    assert_eq!(refused(&oauth, &wrong).await.0, "InvalidSignature");
    // A good one with another's claims.
    let (head, rest) = wrong.expose().split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let forged = B64.encode(good.to_string());
    let forged = Secret::new(format!("{head}.{forged}.{signature}"));
    assert_eq!(refused(&oauth, &forged).await.0, "InvalidSignature");
}

/// RFC 8725 §2.1: no algorithm, a public key taken for a secret, algorithms of other keys.
#[tokio::test(flavor = "multi_thread")]
async fn the_algorithm_is_the_keys() {
    let signer = Signer::new("one");
    let issuer = FakeIssuer::start(json!({"keys": [signer.jwk()]}));
    let oauth = issuer.oauth();
    let good = claims(&issuer);
    let body = B64.encode(good.to_string());
    for alg in ["none", "None", "HS256", "dir"] {
        let head = B64.encode(json!({"alg": alg, "typ": "JWT", "kid": "one"}).to_string());
        let token = Secret::new(format!("{head}.{body}."));
        let (reason, _) = refused(&oauth, &token).await;
        assert!(reason.contains("is not accepted"), "{reason}");
    }
    // Signed by HMAC with the public key, which everybody has.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("one".to_owned());
    let public = EncodingKey::from_secret(signer.pair.public_key_raw());
    let confused = Secret::new(encode(&header, &good, &public).unwrap());
    assert!(
        refused(&oauth, &confused)
            .await
            .0
            .contains("is not accepted")
    );
    let head = B64.encode(json!({"alg": "RS256", "kid": "one"}).to_string());
    let other = Secret::new(format!("{head}.{body}.AAAA"));
    assert_eq!(
        refused(&oauth, &other).await.0,
        "a key that the issuer does not have"
    );
    let head = B64.encode(json!({"alg": "ES256", "kid": "one", "crit": ["x"]}).to_string());
    let critical = Secret::new(format!("{head}.{body}.AAAA"));
    assert!(refused(&oauth, &critical).await.0.contains("critical"));
    for bad in ["", ".", "..", "a.b.c", "e30.e30.e30", "x.y.z.w"] {
        refused(&oauth, &Secret::new(bad.to_owned())).await;
    }
    let mut strict = issuer.oauth();
    strict.settings.require_at_jwt = true;
    assert!(
        refused(&strict, &signer.sign(&good))
            .await
            .0
            .contains("type")
    );
    let mut header = Header::new(Algorithm::ES256);
    (header.kid, header.typ) = (Some("one".to_owned()), Some("at+JWT".to_owned()));
    assert!(strict.user(&signer.token(header, &good)).await.is_ok());
}

/// Known keys go on while the issuer is down; without any nobody is told that their token is wrong.
/// Tokens with keys that nobody has do not make us ask the issuer all the time.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = FakeIssuer::start(json!({"keys": [old.jwk()]}));
    let good = claims(&issuer);
    *issuer.down.lock().unwrap() = true;
    let oauth = issuer.oauth();
    let unavailable = oauth.user(&old.sign(&good)).await;
    assert!(
        matches!(unavailable, Err(LoginError::Unavailable(_))),
        "{unavailable:?}"
    );
    *issuer.down.lock().unwrap() = false;
    let oauth = issuer.oauth();
    assert!(oauth.user(&old.sign(&good)).await.is_ok());
    *issuer.down.lock().unwrap() = true;
    assert!(oauth.user(&old.sign(&good)).await.is_ok());
    let before = issuer.requests.load(Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(
            refused(&oauth, &new.sign(&good)).await.0,
            "a key that the issuer does not have"
        );
    }
    assert_eq!(issuer.requests.load(Ordering::SeqCst), before);
    // A new key is found when there is time to ask again.
    *issuer.down.lock().unwrap() = false;
    *issuer.keys.lock().unwrap() = json!({"keys": [new.jwk()]});
    oauth.issuer.forget_pause().await;
    assert!(oauth.user(&new.sign(&good)).await.is_ok());
    refused(&oauth, &old.sign(&good)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection() {
    let signer = Signer::new("one");
    let issuer = FakeIssuer::start(json!({"keys": [signer.jwk()]}));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "s3cret\n").unwrap();
    let mut config = Config::default();
    config.oauth.issuer = issuer.name.clone();
    config.oauth.audience = vec!["mail".to_owned()];
    config.oauth.scope = "mail".to_owned();
    config.oauth.strip_domains = vec!["example.org".to_owned()];
    config.oauth.client_id = "restante".to_owned();
    config.oauth.client_secret_file = file;
    let oauth = OAuth::new(&config).unwrap().unwrap();
    let token = |text: &str| Secret::new(text.to_owned());
    assert_eq!(oauth.user(&token("live")).await, Ok("ada".to_owned()));
    assert_eq!(
        refused(&oauth, &token("revoked")).await.0,
        "introspection: not active"
    );
    assert_eq!(
        refused(&oauth, &token("other")).await.0,
        "introspection: another audience"
    );
    assert_eq!(
        oauth.user(&signer.sign(&claims(&issuer))).await,
        Ok("ada".to_owned())
    );
    *issuer.down.lock().unwrap() = true;
    let down = oauth.user(&token("live")).await;
    assert!(matches!(down, Err(LoginError::Unavailable(_))), "{down:?}");
}
