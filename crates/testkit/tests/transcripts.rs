//! Runs every transcript under `tests/transcripts` as a case of its own, without and with TLS.
//!
//! `cargo test -p restante-testkit --test transcripts -- select` runs those whose name has `select`.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use restante_testkit::transcript::{Case, cases, load};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts");
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let list = std::env::args().any(|argument| argument == "--list");
    let mut all = match cases(&root) {
        Ok(all) => all,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    all.retain(|case| {
        filters.is_empty()
            || filters
                .iter()
                .any(|filter| case.name.contains(filter.as_str()))
    });
    if list {
        for case in &all {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    println!("running {} transcripts", all.len());
    let start = Instant::now();
    let mut failed = Vec::new();
    let mut run_count = 0;
    for (case, tls) in all.iter().flat_map(|case| [(case, false), (case, true)]) {
        let way = if tls { ", TLS" } else { "" };
        run_count += 1;
        match run(case, tls) {
            Ok(()) => println!("transcript {}{way} ... ok", case.name),
            Err(reason) => {
                println!("transcript {}{way} ... FAILED", case.name);
                failed.push((case, way, reason));
            }
        }
    }
    for (case, way, reason) in &failed {
        println!("\n---- {}{way} ----\n{reason}", case.name);
    }
    println!(
        "\ntranscripts: {} passed; {} failed; {:.2}s\n",
        run_count - failed.len(),
        failed.len(),
        start.elapsed().as_secs_f64()
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(case: &Case, tls: bool) -> Result<(), String> {
    let transcript = load(&case.path)?;
    let describe = |what: String| {
        format!(
            "rule: {}\n  {}: {what}",
            transcript.rule,
            case.path.display()
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        match tokio::time::timeout(Duration::from_secs(30), transcript.run(case.version, tls)).await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(describe(failure.to_string())),
            Err(_) => Err(describe("did not end within 30 s".to_owned())),
        }
    })
}
