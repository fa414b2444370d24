//! `restante recover`: data that lost its log is refused, and can be used again when the loss is
//! accepted.

mod common;

use std::{path::Path, process::Output};

use common::restante;

fn run(data: &Path, args: &[&str]) -> Output {
    restante()
        .args(args)
        .arg("--data")
        .arg(data)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_loss_is_refused_until_it_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let csv = dir.path().join("users.csv");
    std::fs::write(&csv, "anna,secret-of-anna\n").unwrap();
    let add = ["user", "add", "--csv", csv.to_str().unwrap()];
    let output = run(&data, &add);
    assert!(output.status.success(), "{}", text(&output));
    let output = run(&data, &["recover"]);
    assert!(
        !output.status.success(),
        "not without saying that the loss is accepted"
    );
    let output = run(&data, &["recover", "--accept-loss"]);
    assert!(
        text(&output).contains("nothing was changed"),
        "{}",
        text(&output)
    );

    let log = data.join("store/log");
    std::fs::remove_dir_all(&log).unwrap();
    let output = run(&data, &["user", "list"]);
    assert!(!output.status.success());
    assert!(
        text(&output).contains("restante recover --accept-loss"),
        "{}",
        text(&output)
    );

    let output = run(&data, &["recover", "--accept-loss"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("Lost: commits 1 to "),
        "{}",
        text(&output)
    );
    let output = run(&data, &["user", "list"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(!text(&output).contains("anna"));
    let output = run(&data, &add);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&run(&data, &["user", "list"])).contains("anna"));
}
