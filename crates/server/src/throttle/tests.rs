use super::*;

const NOW: i64 = 1_790_000_000_000;

fn throttle() -> Throttle {
    Throttle {
        state: Mutex::default(),
        hasher: RandomState::new(),
    }
}

fn rules() -> Rules {
    Rules {
        longest: Duration::from_secs(10),
        exempt: vec!["198.51.100.0/24".parse().unwrap()],
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn wait(throttle: &Throttle, user: &str, from: &str, now_ms: i64) -> Duration {
    throttle.begin(&rules(), user, ip(from), now_ms).0
}

fn guess(throttle: &Throttle, user: &str, from: &str, times: usize) {
    for n in 0..times {
        throttle.failed(
            user,
            ip(from),
            Some(&format!("guess {n} {user} {from}")),
            NOW,
        );
    }
}

#[test]
fn who_guesses_waits_longer_each_time_and_is_forgiven() {
    let throttle = throttle();
    assert_eq!(wait(&throttle, "ann", "192.0.2.1", NOW), Duration::ZERO);
    guess(&throttle, "ann", "192.0.2.1", 3);
    assert_eq!(wait(&throttle, "ann", "192.0.2.1", NOW), Duration::ZERO);
    let mut waits = Vec::new();
    for n in 0..8 {
        throttle.failed("ANN ", ip("192.0.2.1"), Some(&n.to_string()), NOW);
        waits.push(wait(&throttle, "ann", "192.0.2.1", NOW));
    }
    assert!(waits.is_sorted() && waits[0] >= FIRST_WAIT, "{waits:?}");
    assert_eq!(waits[7], Duration::from_secs(10));
    let later = NOW + 60 * 60_000;
    assert_eq!(wait(&throttle, "ann", "192.0.2.1", later), Duration::ZERO);
    // A login says who it was.
    throttle.succeeded("ann", ip("192.0.2.1"), NOW);
    assert!(wait(&throttle, "ann", "192.0.2.1", NOW) < Duration::from_secs(1));
}

#[test]
fn an_attack_from_elsewhere_does_not_slow_the_owner() {
    let throttle = throttle();
    throttle.succeeded("ann", ip("2001:db8::1"), NOW);
    for n in 0..100 {
        guess(&throttle, "ann", &format!("192.0.2.{n}"), 2);
    }
    assert_eq!(
        wait(&throttle, "ann", "192.0.2.200", NOW),
        Duration::from_secs(10)
    );
    // Any address of the owner's /64.
    assert_eq!(wait(&throttle, "ann", "2001:db8::99", NOW), Duration::ZERO);
    assert!(wait(&throttle, "ann", "2001:db8:1::1", NOW) > Duration::ZERO);
    // Nor others.
    assert_eq!(wait(&throttle, "joe", "203.0.113.1", NOW), Duration::ZERO);
}

#[test]
fn a_network_that_tries_many_users_waits() {
    let throttle = throttle();
    for n in 0..40 {
        guess(&throttle, &format!("user{n}"), "192.0.2.7", 1);
    }
    assert_eq!(
        wait(&throttle, "somebody", "192.0.2.7", NOW),
        Duration::from_secs(10)
    );
    assert_eq!(
        wait(&throttle, "", "192.0.2.7", NOW),
        Duration::from_secs(10)
    );
    assert_eq!(
        wait(&throttle, "somebody", "192.0.2.8", NOW),
        Duration::ZERO
    );
    // A webmail on this machine has many users, and is told apart by them only.
    for n in 0..40 {
        guess(&throttle, &format!("user{n}"), "127.0.0.1", 1);
    }
    assert_eq!(
        wait(&throttle, "somebody", "127.0.0.1", NOW),
        Duration::ZERO
    );
}

#[test]
fn the_same_wrong_password_is_a_device_that_was_not_told() {
    let throttle = throttle();
    for _ in 0..100 {
        throttle.failed("ann", ip("192.0.2.1"), Some("the old one"), NOW);
    }
    assert_eq!(wait(&throttle, "ann", "192.0.2.1", NOW), Duration::ZERO);
}

#[test]
fn tries_at_once_wait_as_those_one_after_the_other() {
    let (throttle, rules) = (throttle(), rules());
    guess(&throttle, "ann", "192.0.2.1", 2);
    let begin = || throttle.begin(&rules, "ann", ip("192.0.2.1"), NOW);
    let tries: Vec<_> = (0..40).map(|_| begin()).collect();
    let waits: Vec<_> = tries.iter().map(|(wait, _)| *wait).collect();
    assert!(waits[..8].iter().all(Duration::is_zero), "{waits:?}");
    assert_eq!(waits[39], Duration::from_secs(10));
    drop(tries);
    assert!(throttle.lock().trying.is_empty());
}

#[test]
fn nobody_waits_from_exempt_networks_or_if_it_is_off() {
    let throttle = throttle();
    guess(&throttle, "ann", "198.51.100.9", 50);
    assert_eq!(wait(&throttle, "ann", "198.51.100.9", NOW), Duration::ZERO);
    let off = Rules::default();
    assert_eq!(
        throttle.begin(&off, "ann", ip("192.0.2.1"), NOW).0,
        Duration::ZERO
    );
}

#[test]
fn what_is_remembered_is_bounded() {
    let throttle = throttle();
    for n in 0..ACCOUNTS_MAX as u32 + 1000 {
        let from = IpAddr::from(n.to_be_bytes());
        throttle.failed(&format!("u{n}"), from, Some("x"), NOW);
        throttle.succeeded(&format!("k{n}"), from, NOW);
    }
    let state = throttle.lock();
    assert!(state.counts.len() <= 3 * ENTRIES_MAX + 3);
    assert!(state.known.len() <= ACCOUNTS_MAX);
    assert!(state.wrong.len() <= ENTRIES_MAX);
    drop(state);
    let huge = "é".repeat(1 << 20);
    throttle.failed(&huge, ip("192.0.2.1"), None, NOW);
    let named = |line: &ThrottleLine| line.user.as_ref().is_none_or(|user| user.len() <= 320);
    assert!(throttle.list(usize::MAX, NOW).iter().all(named));
}

#[tokio::test]
async fn it_outlives_a_restart_and_is_cleared() {
    let store = restante_store::Store::memory(restante_store::MemoryOptions::default());
    let mail = Mail::open(store, restante_mailbox::MailOptions::default());
    let mail = mail.await.unwrap();
    let now = crate::time::unix_ms();
    let first = Throttle::load(&mail).await.unwrap();
    first.succeeded("ann", ip("192.0.2.1"), now);
    for n in 0..30 {
        first.failed("ann", ip("192.0.2.9"), Some(&n.to_string()), now);
        first.failed("odd name \u{1F600}", ip("2001:db8::1"), None, now);
    }
    first.save(&mail).await;
    let second = Throttle::load(&mail).await.unwrap();
    let wait = |user: &str, from| second.begin(&rules(), user, ip(from), now).0;
    assert_eq!(wait("ann", "192.0.2.9"), Duration::from_secs(10));
    assert_eq!(wait("ann", "192.0.2.1"), Duration::ZERO);
    assert_eq!(second.list(100, now).len(), 6);
    assert_eq!(second.clear(Some("Ann"), None), 2);
    assert_eq!(second.clear(None, Some(ip("2001:db8::5"))), 2);
    second.save(&mail).await;
    let third = Throttle::load(&mail).await.unwrap();
    assert_eq!(third.list(100, now).len(), 2);
    assert_eq!(third.clear(None, None), 2);
}
