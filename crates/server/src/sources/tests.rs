use std::path::Path;
use std::time::Instant;

use restante_auth::password::Cost;
use restante_auth::{Verifier, VerifierOptions};
use restante_mailbox::MailOptions;
use restante_store::{MemoryOptions, Store};

use super::*;
use crate::app_passwords;
use crate::authenticator::Scram;
use crate::config::Config;
use crate::net::Seats;

const COST: Cost = Cost {
    memory_kib: 8192,
    iterations: 2,
    parallelism: 1,
};

struct World {
    mail: Arc<Mail>,
    sources: Arc<Sources>,
    dir: tempfile::TempDir,
}

/// Sources configured by this text, in which DIR is a directory with the files.
async fn world(text: &str, files: &[(&str, &str)]) -> World {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let text = text.replace("DIR", dir.path().to_str().unwrap());
    let config = Config::parse(Path::new("x.toml"), &text).unwrap();
    let store = Store::memory(MemoryOptions::default());
    let mail = Mail::open(store, MailOptions::default()).await.unwrap();
    let options = VerifierOptions {
        cost: COST,
        cache_for: Duration::ZERO,
        ..VerifierOptions::default()
    };
    let directory = Directory {
        mail: Arc::clone(&mail),
        verifier: Verifier::new(options).unwrap(),
        seats: Seats::new(10),
        scram: Scram {
            hashes: Vec::new(),
            iterations: 4096,
            secret: Secret::new([7; 32]),
        },
    };
    let sources = Sources::new(&config.users, &Arc::new(directory), None).unwrap();
    World {
        mail,
        sources: sources.unwrap(),
        dir,
    }
}

impl World {
    async fn login(&self, user: &str, password: &str) -> Result<String, LoginError> {
        let credentials = Credentials {
            user: user.to_owned(),
            acting_as: None,
            proof: Proof::Password(Secret::new(password.to_owned())),
        };
        let checked = self.sources.check(&credentials, &Peer::default()).await;
        checked.map(|identity| identity.name)
    }

    async fn add(&self, user: &str, password: Option<&str>) {
        let stored = password.map(|password| restante_auth::password::hash(password, COST));
        let stored = stored.transpose().unwrap();
        self.mail.user_add(user, stored).await.unwrap();
    }

    async fn recipient(&self, name: &str) -> Result<Option<String>, MailError> {
        let found = self.sources.recipient(name).await?;
        Ok(found.map(|found| found.name().to_owned()))
    }
}

const CHAIN: &str = "[[users]]\n\
    source = \"passwd-file\"\n\
    file = \"DIR/one\"\n\
    domains = [\"one.example\"]\n\
    make_accounts = true\n\
    [[users]]\n\
    source = \"passwd-file\"\n\
    file = \"DIR/two\"\n\
    [[users]]\n\
    source = \"directory\"\n";

fn rejected(outcome: &Result<String, LoginError>) -> bool {
    matches!(outcome, Err(LoginError::Rejected(_)))
}

fn not_authorized(outcome: &Result<String, LoginError>) -> bool {
    matches!(outcome, Err(LoginError::NotAuthorized(_)))
}

fn down(outcome: &Result<String, LoginError>) -> bool {
    matches!(outcome, Err(LoginError::Unavailable(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_that_knows_a_user_decides() {
    let files = [
        (
            "one",
            "ada@one.example:{PLAIN}one\nbob@two.example:{PLAIN}not asked\n",
        ),
        (
            "two",
            "ada@one.example:{PLAIN}two\ncarol:{PLAIN}two\nlocked:{PLAIN}x::::::nologin\nempty:\n",
        ),
    ];
    let world = world(CHAIN, &files).await;
    world.add("carol", Some("directory")).await;
    world.add("dave", Some("directory")).await;
    world.add("locked", None).await;
    let login = async |user: &str, password: &str| world.login(user, password).await;
    assert_eq!(
        login("Ada@ONE.example", "one").await.unwrap(),
        "ada@one.example"
    );
    assert!(world.mail.user("ada@one.example").await.unwrap().is_some());
    for (user, password) in [
        ("ada@one.example", "two"),
        ("bob@two.example", "not asked"),
        ("carol", "directory"),
        ("dave", "two"),
        ("nobody", "x"),
        ("nobody@one.example", "x"),
        ("empty", ""),
        ("empty", "x"),
        ("locked", "y"),
        ("carol", ""),
        ("carol", "two\0"),
        ("carol\0", "two"),
        ("*", "two"),
        ("carol@", "two"),
        ("@one.example", "two"),
        ("", "two"),
        ("carol) or (1=1", "two"),
        ("carol", &"x".repeat(1 << 20)),
        (&"x".repeat(1 << 20), "two"),
    ] {
        let outcome = login(user, password).await;
        assert!(rejected(&outcome), "{user:.50} {password:.50} {outcome:?}");
    }
    assert_eq!(login("carol", "two").await.unwrap(), "carol");
    assert_eq!(login("dave", "directory").await.unwrap(), "dave");
    assert!(not_authorized(&login("locked", "x").await));
    world.mail.user_set_disabled("dave", true).await.unwrap();
    assert!(not_authorized(&login("dave", "directory").await));
    world.mail.user_set_disabled("carol", true).await.unwrap();
    assert!(not_authorized(&login("carol", "two").await));
    assert!(rejected(&login("carol", "wrong").await));
    // Read again when it changes.
    std::fs::write(world.dir.path().join("two"), "carol:{PLAIN}three\n").unwrap();
    world.mail.user_set_disabled("carol", false).await.unwrap();
    assert!(rejected(&login("carol", "two").await));
    assert_eq!(login("carol", "three").await.unwrap(), "carol");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_account_and_gets_none() {
    let world = world(CHAIN, &[("one", ""), ("two", "erin:{PLAIN}x\n")]).await;
    assert!(not_authorized(&world.login("erin", "x").await));
    assert!(rejected(&world.login("erin", "y").await));
    assert_eq!(world.recipient("erin").await.unwrap(), None);
    assert!(world.mail.user("erin").await.unwrap().is_none());
    assert!(world.sources.identity("erin").await.is_err());
    world.add("erin", None).await;
    assert_eq!(world.login("erin", "x").await.unwrap(), "erin");
    assert!(world.sources.identity("erin").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_down_is_nobodys_wrong_password() {
    let world = world(CHAIN, &[("two", "")]).await;
    world.add("dave", Some("directory")).await;
    world.add("ada@one.example", None).await;
    let login = async |user: &str, password: &str| world.login(user, password).await;
    // Of another domain: not asked.
    assert!(rejected(&login("nobody@two.example", "x").await));
    for user in ["ada@one.example", "nobody@one.example"] {
        assert!(down(&login(user, "x").await), "{user}");
        assert!(matches!(
            world.sources.identity(user).await,
            Err(LoginError::Unavailable(_))
        ));
    }
    // Mail comes in for who has an account, and waits for who may get one.
    assert!(world.recipient("ada@one.example").await.unwrap().is_some());
    let waits = world.recipient("nobody@one.example").await;
    assert!(matches!(waits, Err(MailError::Unavailable { .. })));
    // The others go on, and who is found in one that answers is let in, or not.
    std::fs::remove_file(world.dir.path().join("two")).unwrap();
    assert_eq!(login("dave", "directory").await.unwrap(), "dave");
    assert!(rejected(&login("dave", "wrong").await));
    assert!(down(&login("nobody", "x").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn app_passwords_tokens_and_mail() {
    let files = [
        (
            "one",
            "ada@one.example:{PLAIN}one\nnew@one.example:{PLAIN}x\ngone@one.example:{PLAIN}x::::::nologin\n",
        ),
        ("two", ""),
    ];
    // Without the directory.
    let chain = CHAIN.split("[[users]]\nsource = \"directory\"").next();
    let world = world(chain.unwrap(), &files).await;
    let mail = &world.mail;
    for user in ["ada@one.example", "gone@one.example", "token-only"] {
        world.add(user, None).await;
        let account = mail.user(user).await.unwrap().unwrap().account;
        let (_, password) = app_passwords::add(mail, account, "phone").await.unwrap();
        let outcome = world.login(user, password.expose()).await;
        match user {
            "ada@one.example" => assert_eq!(outcome.unwrap(), user),
            _ => assert!(not_authorized(&outcome), "{user} {outcome:?}"),
        }
    }
    let identity = async |user: &str| {
        let identity = world.sources.identity(user).await;
        identity.map(|identity| identity.name)
    };
    assert_eq!(identity("token-only").await.unwrap(), "token-only");
    assert!(not_authorized(&identity("gone@one.example").await));
    assert!(rejected(&identity("nobody").await));
    // Asked for, nobody gets an account; a mail makes one.
    let new = world.recipient("New@one.example").await.unwrap();
    assert_eq!(new.as_deref(), Some("new@one.example"));
    assert!(mail.user("new@one.example").await.unwrap().is_none());
    let found = world.sources.recipient("new@one.example").await.unwrap();
    let user = found.unwrap().user(mail).await.unwrap();
    assert_eq!(
        mail.user("new@one.example").await.unwrap().unwrap().account,
        user.account
    );
    assert_eq!(world.recipient("nobody@one.example").await.unwrap(), None);
    assert_eq!(world.recipient("a*@one.example").await.unwrap(), None);
    assert_eq!(
        identity("new@one.example").await.unwrap(),
        "new@one.example"
    );
}

/// The work for an unknown user is that for a wrong password, wherever the user is: each source's one
/// check, against hashes of the same cost.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    let costly = restante_auth::password::hash("right", COST).unwrap();
    let users: String = (0..20)
        .map(|number| format!("user{number}:{{CRYPT}}{costly}\n"))
        .collect();
    let world = world(CHAIN, &[("one", ""), ("two", &users)]).await;
    world.add("dave", Some("directory")).await;
    let computed = || world.sources.directory.verifier.computed();
    for user in ["user7", "dave", "nobody", "nobody@one.example"] {
        let before = computed();
        assert!(rejected(&world.login(user, "wrong").await));
        let sources = if user.contains('@') { 3 } else { 2 };
        assert_eq!(computed() - before, sources, "{user}");
        // One that SASLprep changes is checked twice.
        assert!(rejected(&world.login(user, "wr\u{aa}ng").await));
        assert_eq!(computed() - before, 3 * sources, "{user}");
    }
    // What no source gets to see costs one check.
    let before = computed();
    assert!(rejected(&world.login("no body", "wrong").await));
    assert_eq!(computed() - before, 1);
}

/// A hash that came from elsewhere is replaced at the first login, and SCRAM works from then on.
#[tokio::test(flavor = "multi_thread")]
async fn hashes_of_others_are_replaced_in_the_directory() {
    let world = world("[[users]]\nsource = \"directory\"\n", &[]).await;
    let foreign = "{SSHA256}Kc+vmVBr9vkJaw1EKpaCjk1WTnNjKkO0pe0XYYWyiQ3y0EXx";
    let hash = Some(foreign.to_owned());
    world.mail.user_add("ada", hash).await.unwrap();
    assert!(rejected(&world.login("ada", "wrong").await));
    let stored = async || {
        let user = world.mail.user("ada").await.unwrap();
        user.unwrap().password.unwrap()
    };
    assert_eq!(stored().await, foreign);
    assert!(world.login("ada", "pass:wörd 1").await.is_ok());
    let deadline = Instant::now() + Duration::from_secs(60);
    while !stored().await.starts_with("$argon2id$") {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.login("ada", "pass:wörd 1").await.is_ok());
    assert!(rejected(&world.login("ada", "wrong").await));
}

proptest::proptest! {
    #[test]
    fn no_setting_and_no_name_panics(text in "[%undx'\"\\\\ a-z=()$*]{0,40}", name in ".{0,40}") {
        let name = UserName::new(&name);
        if let Ok(template) = Template::parse(&text) {
            let _ = template.plain(name);
        }
        let _ = Query::parse(&text, '$');
        let _ = check_filter(&text);
        let _ = check_database(&text);
    }
}
