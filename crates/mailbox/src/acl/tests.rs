use super::*;

fn rights(letters: &str) -> Rights {
    letters
        .chars()
        .map(|letter| Rights::from_letter(letter).expect("a right"))
        .fold(Rights::NONE, |all, one| all | one)
}

#[test]
fn letters_and_those_of_before() {
    assert_eq!(rights("lrs").letters(), "lrs");
    assert_eq!(rights("lrd").letters(), "lrted");
    assert_eq!(rights("kt").letters(), "ktcd");
    assert_eq!(Rights::ALL.letters(), "lrswipkxteacd");
    assert_eq!(Rights::ALL.to_string(), "lrswipkxtea");
    assert_eq!(Rights::from_letter('q'), None);
    assert_eq!(Rights::from_letter('R'), None);
    assert_eq!(Rights::from_bits(u64::MAX), Rights::ALL);
}

#[test]
fn what_is_denied_is_taken_from_what_is_granted() {
    let acl: Acl = [
        ("bob", "lrs"),
        ("anyone", "lp"),
        ("$staff", "i"),
        ("-bob", "s"),
        ("-$guests", "lr"),
    ]
    .map(|(who, letters)| (who.into(), rights(letters)))
    .into();
    assert_eq!(Who::new("bob", ["staff"]).rights(&acl), rights("lrip"));
    assert_eq!(Who::new("bob", ["guests"]).rights(&acl), rights("p"));
    assert_eq!(Who::new("eve", []).rights(&acl), rights("lp"));
}

#[test]
fn a_user_is_no_group_and_no_denial_whatever_the_name() {
    let acl: Acl = [("$staff", "lr"), ("-bob", "sw"), ("anyone", "l")]
        .map(|(who, letters)| (who.into(), rights(letters)))
        .into();
    for name in ["$staff", "-bob", "anyone", "-$staff"] {
        assert_eq!(Who::new(name, []).rights(&acl), rights("l"), "{name}");
    }
    assert_eq!(Who::new("-bob", ["staff"]).rights(&acl), rights("lr"));
}

#[test]
fn flags_of_rights() {
    assert_eq!(rights("lr").flags(), Flags::NONE);
    assert_eq!(rights("s").flags(), Flags::SEEN);
    assert_eq!(rights("st").flags(), Flags::SEEN | Flags::DELETED);
    assert_eq!(rights("stw").flags(), Flags::ALL);
}

#[test]
fn identifiers() {
    for (given, canonical) in [
        ("Bob", Some("bob")),
        ("-Bob@Example.ORG", Some("-bob@example.org")),
        ("ANYONE", Some("anyone")),
        ("$Staff", Some("$staff")),
        ("", None),
        ("-", None),
        ("$", None),
        ("a b", None),
        ("a\0b", None),
    ] {
        assert_eq!(canonical_identifier(given).as_deref(), canonical, "{given}");
    }
    assert_eq!(canonical_identifier(&"x".repeat(300)), None);
}
